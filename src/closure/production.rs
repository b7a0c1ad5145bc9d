use std::collections::{BTreeMap, BTreeSet};

use super::walk::{Walk, directories};
use super::{
    ClosureError, ClosurePackage, DependencyClosure, Exclusion, ExclusionReason, Import, NodePlatform, Packages,
    Reason, Scanned, scan,
};
use crate::path::HostPath;
use crate::workspace::{Service, ShippedFiles, WorkspacePath};

/// The packages that a production install of the whole workspace holds: whatever a production edge of any member, or of
/// the root, leads to. It tells a package that a sibling needs in production, and that works by hoisting, from one that
/// is there for development only.
#[derive(Clone, Debug)]
pub struct ProductionTree {
    closure: DependencyClosure,
    directories: BTreeSet<WorkspacePath>,
}

impl ProductionTree {
    /// Walks from every member and the root.
    pub fn of(packages: &dyn Packages, platform: &NodePlatform) -> Result<Self, ClosureError> {
        let mut walk = Walk::new(packages, platform, None);
        walk.from(WorkspacePath::default())?;
        for member in &packages.workspace().members {
            walk.from(member.dir.clone())?;
        }
        Ok(Self { directories: directories(&walk.closure), closure: walk.closure })
    }

    /// Whether a production install holds the package in `dir`.
    pub fn holds(&self, dir: &WorkspacePath) -> bool {
        self.directories.contains(dir)
    }

    /// The installed packages in it, by the directory in which they lie.
    pub fn packages(&self) -> impl Iterator<Item = (&WorkspacePath, &ClosurePackage)> {
        self.closure.packages.iter()
    }
}

impl DependencyClosure {
    /// What the package.json files alone say that the member in `dir` needs: its closure without what only code tells. It
    /// is the same whether the member is compiled or not. With `root_dependencies` the root's production edges are its own.
    pub fn declared(
        dir: &WorkspacePath,
        packages: &dyn Packages,
        production: &ProductionTree,
        platform: &NodePlatform,
        root_dependencies: bool,
    ) -> Result<Self, ClosureError> {
        let mut walk = Walk::new(packages, platform, Some(production));
        walk.strict = false;
        walk.from(dir.clone())?;
        if root_dependencies {
            walk.from(WorkspacePath::default())?;
        }
        Ok(walk.finish())
    }

    /// The closure of `service`: its production edges, the optional peers that resolve to production packages, and what
    /// its shipped code (`shipped`) or that of its workspace packages imports without declaring it. With
    /// `root_dependencies` the production edges of the workspace's root are its own too.
    pub fn of(
        service: &Service,
        shipped: &ShippedFiles,
        packages: &dyn Packages,
        production: &ProductionTree,
        platform: &NodePlatform,
        root_dependencies: bool,
    ) -> Result<Self, ClosureError> {
        let workspace = packages.workspace();
        let mut walk = Walk::new(packages, platform, Some(production));
        walk.from(service.dir.clone())?;
        if root_dependencies {
            walk.from(WorkspacePath::default())?;
        }
        let mut of_root = BTreeSet::new();
        let own = scan_member(packages, &service.dir, shipped)?;
        walk.closure.default_port = own.default_port();
        add_undeclared(&mut walk, production, &service.dir, &own.imports, &mut of_root)?;
        let mut scanned = BTreeSet::new();
        while let Some(dir) = walk.closure.members.keys().find(|dir| !scanned.contains(*dir)).cloned() {
            if let Some(member) = workspace.member_at(&dir) {
                let files = ShippedFiles::of_package(member, &workspace.on_host(&dir), &[])?;
                let imports = scan_member(packages, &dir, &files)?.imports;
                add_undeclared(&mut walk, production, &dir, &imports, &mut of_root)?;
            }
            scanned.insert(dir);
        }
        walk.closure.members.remove(&service.dir);
        walk.closure.warnings.extend(about_root(&of_root));
        Ok(walk.finish())
    }
}

/// Scans the shipped files of the member at `dir`; places are named relative to the workspace.
fn scan_member(packages: &dyn Packages, dir: &WorkspacePath, shipped: &ShippedFiles) -> Result<Scanned, ClosureError> {
    let on_host = packages.workspace().on_host(dir);
    let files: Vec<(WorkspacePath, HostPath)> = shipped
        .list(&on_host)?
        .into_iter()
        .filter_map(|file| Some((WorkspacePath::new(dir.as_path().join(&file))?, on_host.join(&file))))
        .collect();
    Ok(scan(&files, packages.index())?)
}

/// What to say of packages that only the workspace's root declares.
fn about_root(of_root: &BTreeSet<String>) -> Option<String> {
    let named: Vec<String> = of_root.iter().take(3).map(|package| format!("`{package}`")).collect();
    let more = if of_root.len() > 3 { format!(" and {} more", of_root.len() - 3) } else { String::new() };
    let (are, come) = if of_root.len() == 1 { ("is", "comes") } else { ("are", "come") };
    (!of_root.is_empty()).then(|| {
        format!(
            "{}{more} {are} imported, but declared by the workspace's root only; what is imported {come} along; if the \
             service is to have all that the root declares, set `root-dependencies = true` in pirogue.toml",
            named.join(", ")
        )
    })
}

/// Adds the packages that `imports` name and nothing declares. Those that the root declares join `of_root`.
fn add_undeclared(
    walk: &mut Walk<'_>,
    production: &ProductionTree,
    member: &WorkspacePath,
    imports: &[Import],
    of_root: &mut BTreeSet<String>,
) -> Result<(), ClosureError> {
    let root = WorkspacePath::default();
    let declared_by_root = walk.packages.package_json(&root)?;
    let own = walk.packages.package_json(member)?;
    let is_for_development = |package: &String| {
        own.dev_dependencies.contains_key(package) || declared_by_root.dev_dependencies.contains_key(package)
    };
    let mut left_out: BTreeMap<&str, (ExclusionReason, Vec<String>)> = BTreeMap::new();
    for import in imports {
        if Some(&import.package) == own.name.as_ref() {
            continue;
        }
        let place = import.place();
        let file_dir = import.file.as_path().parent().and_then(WorkspacePath::new).unwrap_or_default();
        let found = walk.packages.imported(&import.package, member, &file_dir, &place)?;
        let Some(resolved) = found else {
            let why = match is_for_development(&import.package) {
                true => ExclusionReason::DevelopmentOnly,
                false => ExclusionReason::NotInstalled,
            };
            left_out.entry(&import.package).or_insert((why, Vec::new())).1.push(place);
            continue;
        };
        if walk.closure.packages.contains_key(&resolved.dir) {
            continue;
        }
        let known_member = resolved.dir == *member || walk.closure.members.contains_key(&resolved.dir);
        if known_member && walk.closure.links.contains_key(&resolved.found_at) {
            continue;
        }
        if !production.holds(&resolved.dir) {
            let why = ExclusionReason::DevelopmentOnly;
            left_out.entry(&import.package).or_insert((why, Vec::new())).1.push(place);
            continue;
        }
        let edges = [&declared_by_root.dependencies, &declared_by_root.optional_dependencies];
        if *member != root && edges.iter().any(|edges| edges.contains_key(&import.package)) {
            of_root.insert(import.package.clone());
            walk.add(resolved, Reason::UndeclaredImport { place })?;
            continue;
        }
        walk.closure.warnings.insert(format!(
            "`{}` is imported by {place}, but not declared in `{}`; it works because something else installs it",
            import.package,
            member.as_path().join("package.json").display()
        ));
        walk.add(resolved, Reason::UndeclaredImport { place })?;
    }
    for (package, (why, places)) in left_out {
        walk.closure.warnings.insert(about_left_out(package, why, &places));
        let exclusion = |from| Exclusion { name: package.to_owned(), from, why };
        walk.closure.excluded.extend(places.into_iter().map(exclusion));
    }
    Ok(())
}

/// What to say of a package that is imported and left out: once, however many files import it.
fn about_left_out(package: &str, why: ExclusionReason, places: &[String]) -> String {
    let first = places.first().map(String::as_str).unwrap_or_default();
    let more = match places.len() {
        0 | 1 => String::new(),
        2 => " and one more file".to_owned(),
        count => format!(" and {} more files", count - 1),
    };
    let so = if why == ExclusionReason::DevelopmentOnly { ", so it is left out" } else { "" };
    format!("`{package}` is imported by {first}{more}, but {why}{so}")
}
