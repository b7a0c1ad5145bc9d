//! Which files of installed packages a service can need, told before it runs: what imports lead to, at the start or later,
//! and all that code may get at by names it makes while it runs. Where that cannot be told, files stay.

mod keep_patterns;
mod mentions;
mod package_files;

use std::borrow::Cow;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};

pub use keep_patterns::{BadPattern, KeepPatterns};
use mentions::Mentions;
use package_files::PackageFiles;

use super::file_system::normal;
use super::imports::{Reached, Walk};
use super::launch::{Launch, program};
use super::package::package_top;
use super::resolver::Resolved;
use super::{CheckError, Subject};
use crate::closure::package_of;
use crate::javascript::{self, FileUse, Module, NamedFile, Origin, Reach, RequestKind};
use crate::layer::{is_for_tools, is_license};

/// The files of packages that the image of a service has to keep, by their real paths.
pub fn trace(subject: &Subject<'_>, keep: &KeepPatterns) -> Result<BTreeSet<PathBuf>, CheckError> {
    let mut trace = Trace {
        subject,
        files: PackageFiles::of(subject.files),
        mentions: Mentions::of(subject),
        kept: BTreeSet::new(),
        packages: BTreeSet::new(),
        lists_packages: false,
        open: VecDeque::new(),
    };
    let mut walk = Walk::new(subject);
    let launch = Launch::of(subject);
    let programs = launch.programs.iter().filter_map(|word| program(subject, word));
    let mut next = walk.starts();
    next.extend(programs.filter(|path| subject.files.digest(path).is_some()));
    next.extend(subject.files.layer_files().filter(|path| is_own_code(subject, path)).map(Path::to_owned));
    let inside = |path: &Path| path.strip_prefix(subject.root.as_path()).unwrap_or(path).to_owned();
    trace.keep(trace.files.iter().filter(|path| keep.keeps(&inside(path))).map(Path::to_owned).collect());
    loop {
        next.extend(trace.open.drain(..));
        let before = walk.len();
        walk.follow(std::mem::take(&mut next))?;
        let met = walk.after(before);
        trace.keep(met.iter().map(|file| file.path.clone()).collect());
        for file in met {
            if let Some(module) = &file.module {
                trace.names(file, module);
                trace.reaches(file, module, &walk);
            }
        }
        trace.open.extend(trace.mentions.of_files(met, &walk.resolver)?);
        trace.whole_packages();
        trace.open.retain(|path| !walk.has(path));
        if trace.open.is_empty() {
            if launch.maps_sources {
                trace.keep_source_maps();
            }
            return Ok(trace.with_manifests());
        }
    }
}

/// Whether a file is code of the service itself. All of it stays in the image, so somebody may run any of it.
fn is_own_code(subject: &Subject<'_>, path: &Path) -> bool {
    let is_inside = subject.in_workspace(path).is_some_and(|path| {
        let own = &subject.service.dir;
        // Workspace packages may lie in the directory of a service.
        let mut inner =
            subject.closure.members.keys().filter(|dir| *dir != own && dir.as_path().starts_with(own.as_path()));
        path.as_path().starts_with(own.as_path()) && !inner.any(|dir| path.as_path().starts_with(dir.as_path()))
    });
    is_inside && package_top(path).is_none() && is_code(path)
}

fn is_code(path: &Path) -> bool {
    javascript::source_type(&file_name(path)).is_some()
}

fn file_name(path: &Path) -> Cow<'_, str> {
    path.file_name().unwrap_or_default().to_string_lossy()
}

/// What is known so far.
struct Trace<'a> {
    subject: &'a Subject<'a>,
    files: PackageFiles<'a>,
    mentions: Mentions<'a>,
    kept: BTreeSet<PathBuf>,
    /// The directories of the packages of which something is kept.
    packages: BTreeSet<PathBuf>,
    /// Whether code may list the installed packages.
    lists_packages: bool,
    /// What is kept and has to be followed.
    open: VecDeque<PathBuf>,
}

impl Trace<'_> {
    fn keep(&mut self, paths: Vec<PathBuf>) {
        for path in paths {
            if self.kept.contains(&path) {
                continue;
            }
            self.open.extend(is_code(&path).then(|| path.clone()));
            // All else stays anyway.
            if package_top(&path).is_some() {
                self.kept.insert(path);
            }
        }
    }

    /// Keeps the files that code names by paths that are known.
    fn names(&mut self, file: &Reached, module: &Module) {
        let is_made = |named: &&NamedFile| matches!(named.used, FileUse::Made | FileUse::MadeSync);
        for named in module.files.iter().filter(|named| !is_made(named) && named.origin != Origin::Root) {
            let Some(path) = self.subject.named_path(file, named) else { continue };
            match named.is_open {
                true => self.keep_what_begins(file, &path, named.path.ends_with('/')),
                false if named.path.contains(['*', '{']) => {
                    let constant =
                        path.components().take_while(|part| !part.as_os_str().to_string_lossy().contains(['*', '{']));
                    self.keep_what_begins(file, &constant.collect::<PathBuf>(), true);
                }
                false => self.keep_place(file, &path),
            }
        }
    }

    /// Keeps what lies at a path: a file, a module whose name lacks its end, or a whole directory.
    fn keep_place(&mut self, file: &Reached, path: &Path) {
        match self.subject.files.find(path) {
            Some((real, found)) if found.is_file() => self.keep(vec![real]),
            Some((real, _)) => self.keep_what_begins(file, &real, true),
            None => {
                let ends = [".js", ".cjs", ".mjs", ".json", ".node"].into_iter().map(|end| {
                    let mut path = path.as_os_str().to_owned();
                    path.push(end);
                    PathBuf::from(path)
                });
                let found = ends.filter_map(|path| self.subject.files.find(&path)).map(|(real, _)| real);
                self.keep(found.collect());
            }
        }
    }

    /// Keeps all files whose paths begin so, in one package: the one that the path leads into, or that of the file that says
    /// it, where the path leads out of all.
    fn keep_what_begins(&mut self, file: &Reached, path: &Path, is_directory: bool) {
        let own = package_top(&file.path);
        let top = match (package_top(path), own) {
            (Some(top), _) => top,
            (None, Some(own)) if own.starts_with(path) => return self.keep_what_begins(file, own, true),
            _ => return,
        };
        let kept = match is_directory || top == path {
            true => self.files.below(path),
            false => self.files.beginning(path),
        };
        // Where code may read any file, it still reads none that is written for other programs, unless it names it.
        let is_read = |path: &&Path| !is_for_others(path);
        let is_of_package = |path: &&Path| package_top(path) == Some(top);
        self.keep(kept.filter(is_of_package).filter(is_read).map(Path::to_owned).collect());
    }

    /// Keeps what code may get at by names it makes.
    fn reaches(&mut self, file: &Reached, module: &Module, walk: &Walk<'_>) {
        let Some(dir) = file.path.parent() else { return };
        for reach in &module.reaches {
            match reach {
                Reach::Files(start) => {
                    let Some(path) = normal(&dir.join(start)) else { continue };
                    self.keep_what_begins(file, &path, start.is_empty() || start.ends_with('/'));
                    // A path in quotes may lack its end, or lead through a package.json.
                    if let Resolved::File(path) =
                        walk.resolver.resolve(&file.path, &format!("./{start}"), RequestKind::Require)
                    {
                        self.keep(vec![path]);
                    }
                }
                Reach::Modules(start) => self.keep_modules(file, start),
                Reach::Manifests => self.lists_packages = true,
                Reach::PackageOf(specifier) => {
                    let top = package_of(specifier).and_then(|name| self.subject.package_near(dir, &name));
                    top.into_iter().for_each(|top| self.keep(self.files.of_package(&top)));
                }
            }
        }
    }

    /// Keeps what specifiers may lead to that begin so: `moment/locale/`, or `@img/sharp-` of several packages.
    fn keep_modules(&mut self, file: &Reached, start: &str) {
        let Some(dir) = file.path.parent() else { return };
        let names = if start.starts_with('@') { 2 } else { 1 };
        let (name, rest) = match start.match_indices('/').nth(names - 1) {
            Some((slash, _)) => (&start[..slash], Some(&start[slash + 1..])),
            None => (start, None),
        };
        match rest {
            Some(rest) => {
                let Some(top) = self.subject.package_near(dir, name) else { return };
                let has_exports = self
                    .subject
                    .package_at(&top)
                    .and_then(|package| package.package_json)
                    .is_some_and(|json| !json.exported_files.is_empty());
                match has_exports {
                    true => self.keep(self.files.of_package(&top)),
                    false => {
                        let Some(path) = normal(&top.join(rest)) else { return };
                        self.keep_what_begins(file, &path, rest.is_empty() || rest.ends_with('/'));
                    }
                }
            }
            None => {
                let packages = self.subject.closure.packages.values();
                let fitting: BTreeSet<&str> = packages
                    .filter_map(|package| package.package_json.name.as_deref())
                    .filter(|package| package.starts_with(name))
                    .collect();
                for name in fitting {
                    let top = self.subject.package_near(dir, name);
                    top.into_iter().for_each(|top| self.keep(self.files.of_package(&top)));
                }
            }
        }
    }

    /// Keeps of each package of which anything is kept what belongs to it whatever its code says: native code, and
    /// packages that hold its native code; licences.
    fn whole_packages(&mut self) {
        let tops = self.kept.iter().filter_map(|path| package_top(path)).filter(|top| !self.packages.contains(*top));
        let tops: BTreeSet<PathBuf> = tops.map(Path::to_owned).collect();
        for top in tops {
            let own = self.files.of_package(&top);
            self.keep(own.into_iter().filter(|path| stays_with_package(path)).collect());
            let optional = self.subject.package_at(&top).and_then(|package| package.package_json);
            for name in
                optional.iter().flat_map(|json| json.optional_dependencies.keys().chain(json.dependencies.keys()))
            {
                let Some(other) = self.subject.package_near(&top, name) else { continue };
                let files = self.files.of_package(&other);
                let is_optional = optional.is_some_and(|json| json.optional_dependencies.contains_key(name));
                let is_bound =
                    self.subject.in_workspace(&other).is_some_and(|dir| self.subject.closure.bound.contains(&dir));
                let has_native = || files.iter().any(|path| is_native(&file_name(path)));
                if is_bound || (is_optional && has_native()) {
                    self.keep(files);
                }
            }
            self.packages.insert(top);
        }
    }

    /// Keeps the source maps of the code that is kept, which node reads beside it.
    fn keep_source_maps(&mut self) {
        let map_of = |path: &PathBuf| {
            let mut map = path.clone().into_os_string();
            map.push(".map");
            PathBuf::from(map)
        };
        let maps: Vec<PathBuf> = self.kept.iter().filter(|path| is_code(path)).map(map_of).collect();
        self.kept.extend(maps.into_iter().filter(|map| self.files.has(map)));
    }

    /// All that is kept, with the package.json files that Node reads on the way to it, and those of packages that the service
    /// itself declares, or of all where code may list them.
    fn with_manifests(mut self) -> BTreeSet<PathBuf> {
        let mut manifests = BTreeSet::new();
        for path in &self.kept {
            let Some(top) = package_top(path) else { continue };
            let above = path.ancestors().skip(1).take_while(|dir| dir.starts_with(top));
            manifests.extend(above.map(|dir| dir.join("package.json")).filter(|path| self.files.has(path)));
        }
        // Who looks whether a package is there, and goes without, opens this and no more.
        let dir = self.subject.root.as_path().join(self.subject.service.dir.as_path());
        let service = self.subject.workspace.member_at(&self.subject.service.dir);
        let declared = service.iter().flat_map(|service| service.package_json.dependencies.keys());
        let tops = declared.filter_map(|name| self.subject.package_near(&dir, name));
        manifests.extend(tops.map(|top| top.join("package.json")).filter(|path| self.files.has(path)));
        if self.lists_packages {
            manifests.extend(self.files.manifests().map(Path::to_owned));
        }
        self.kept.append(&mut manifests);
        self.kept
    }
}

/// Whether a file stays whatever code says, where anything of its package does: native code and licences. Code is neither,
/// such as `isLicensePlate.js`.
pub(super) fn stays_with_package(path: &Path) -> bool {
    let name = file_name(path);
    is_native(&name) || (is_license(&name) && !is_code(path))
}

/// Whether a file is for other programs than a service: types and source maps, pages for `man`, what Python compiled.
fn is_for_others(path: &Path) -> bool {
    let name = file_name(path);
    let is_section = |end: &str| matches!(end.as_bytes(), [b'1'..=b'9']);
    let is_of_man = path.parent().is_some_and(|dir| file_name(dir).starts_with("man"));
    is_for_tools(&name)
        || name.ends_with(".pyc")
        || (is_of_man && name.rsplit_once('.').is_some_and(|(_, end)| is_section(end)))
}

/// Whether a file of this name is native code that code loads or links to: `.node`, `.so`, `.so.1`.
fn is_native(name: &str) -> bool {
    name.ends_with(".node") || name.ends_with(".so") || name.contains(".so.")
}
