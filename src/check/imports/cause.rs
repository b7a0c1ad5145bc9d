//! Why a module is not in the image, and what to do about it.

use std::path::{Path, PathBuf};

use super::Missing;
use crate::check::file_system::normal;
use crate::check::package::Package;
use crate::check::{CheckError, Subject};
use crate::closure::{ExclusionReason, package_of};
use crate::host;
use crate::javascript::{self, Request, RequestKind};
use crate::workspace::{Member, WorkspacePath};

/// Sources that compilers make `.js` files of.
const SOURCES: [&str; 4] = ["ts", "tsx", "mts", "cts"];

/// Why, as the end of a sentence, and what to do.
pub(super) struct Cause {
    pub why: String,
    pub fix: Option<String>,
}

impl Cause {
    fn new(why: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { why: why.into(), fix: Some(fix.into()) }
    }
}

/// Why what a file of `package` asks for is not there.
pub(super) fn of(
    subject: &Subject<'_>,
    from: &Path,
    package: Option<&Package<'_>>,
    request: &Request,
    missing: &Missing,
) -> Result<Cause, CheckError> {
    if let Missing::Unreadable(why) = missing {
        return Ok(Cause::new(format!("which cannot be read: {why}"), "install the package again"));
    }
    let specifier = request.specifier.as_str();
    match package_of(specifier) {
        _ if specifier.starts_with('#') => {
            let fix = "add it to `imports` of its package.json, or compile what that names";
            Ok(Cause::new("which `imports` of its package.json leads nowhere", fix))
        }
        Some(name) => of_package(subject, from, package, &name, request, missing),
        None => of_file(subject, from, package, specifier),
    }
}

fn of_package(
    subject: &Subject<'_>,
    from: &Path,
    package: Option<&Package<'_>>,
    name: &str,
    request: &Request,
    missing: &Missing,
) -> Result<Cause, CheckError> {
    let loader = javascript::loader_of(name).filter(|_| request.kind == RequestKind::Framework);
    let loader_at = loader.and_then(|loader| subject.package_near(from, loader));
    let there = subject.package_near(loader_at.as_deref().unwrap_or(from), name);
    if let Some(loader) = loader.filter(|_| there.is_none() && subject.package_near(from, name).is_some()) {
        let why = format!("which `{loader}` loads, and does not find from where it lies");
        let fix = format!("install both side by side: `{name}` in one version in the whole workspace, or at its root");
        return Ok(Cause::new(why, fix));
    }
    if let Some(member) = subject.workspace.members.iter().find(|member| member.name() == name) {
        return Ok(of_member(subject, package, member, there.is_some()));
    }
    if there.is_some() {
        let why = match missing {
            Missing::NotExported => format!("which `exports` of the `{name}` in the image does not offer"),
            _ if request.specifier == name => {
                let why = "which is in the image without the file that it is loaded by";
                return Ok(Cause::new(why, "install it again; one of types alone is for `import type`"));
            }
            _ => format!("which the `{name}` in the image does not have"),
        };
        return Ok(Cause::new(why, format!("use what this version of `{name}` offers, or another version of it")));
    }
    let manifest = |dir: &WorkspacePath| match dir.as_path().as_os_str().is_empty() {
        true => "package.json".to_owned(),
        false => format!("{dir}/package.json"),
    };
    let own = package.filter(|package| package.is_ours).map_or(&subject.service.dir, |package| &package.dir);
    let here = "which is not in the image";
    if let Some(package) = package.filter(|package| package.can_do_without(name)) {
        let why = format!("{here}: it is optional for `{}`", package.name());
        return Ok(Cause::new(why, format!("if you need it, add `{name}` to dependencies in {}", manifest(own))));
    }
    let develops = |member: &&Member| member.package_json.dev_dependencies.contains_key(name);
    let own_first = subject.workspace.members.iter().filter(|member| member.dir == *own);
    if let Some(member) = own_first.chain(&subject.workspace.members).find(develops) {
        let at = manifest(&member.dir);
        let fix = match member.dir == *own {
            true => format!("move `{name}` from devDependencies to dependencies in {at}"),
            false => format!("add `{name}` to dependencies in {}", manifest(own)),
        };
        return Ok(Cause::new(format!("{here}: `{name}` is a devDependency in {at}"), fix));
    }
    let excluded = subject.closure.excluded.iter().find(|exclusion| exclusion.name == name);
    let fix = format!("add `{name}` to dependencies in {}", manifest(own));
    Ok(match excluded.map(|exclusion| exclusion.why) {
        Some(why @ ExclusionReason::OtherPlatform) => {
            Cause { why: format!("which was left out of the image: {why}"), fix: None }
        }
        Some(why) => Cause::new(format!("which was left out of the image: {why}"), fix),
        None => {
            let declared = package
                .and_then(|package| package.package_json)
                .is_some_and(|json| json.dependencies.contains_key(name) || json.peer_dependencies.contains_key(name));
            let why = if declared { here.to_owned() } else { format!("{here}: its package.json does not declare it") };
            Cause::new(why, fix)
        }
    })
}

/// A package of the workspace that is not there, or not whole.
fn of_member(subject: &Subject<'_>, package: Option<&Package<'_>>, member: &Member, is_there: bool) -> Cause {
    let name = member.name();
    match is_there {
        true => {
            let build = subject.workspace.package_manager.build_command();
            let why = format!(
                "but what its package.json names is not in the image: `{}` is most likely not compiled",
                member.dir
            );
            Cause::new(why, format!("compile `{name}`, such as with `{build}`; its `files` has to name the output"))
        }
        false => {
            let own = package.filter(|package| package.is_ours).map_or(&subject.service.dir, |package| &package.dir);
            let fix = format!("add `{name}` to dependencies in {own}/package.json");
            Cause::new("a package of the workspace that is not in the image", fix)
        }
    }
}

fn of_file(
    subject: &Subject<'_>,
    from: &Path,
    package: Option<&Package<'_>>,
    specifier: &str,
) -> Result<Cause, CheckError> {
    let here = "which is not in the image";
    let wanted = from.parent().and_then(|dir| normal(&dir.join(specifier)));
    let Some(wanted) = wanted else { return Ok(Cause { why: here.to_owned(), fix: None }) };
    if let Some(name) = of_other_case(subject, &wanted) {
        let why = format!("but the file is called `{name}`: Linux tells capital letters from small ones");
        return Ok(Cause::new(why, "write the name as the file has it"));
    }
    if subject.is_foreign(&wanted) {
        return Ok(Cause {
            why: "which was left out of the image: native code for another platform".to_owned(),
            fix: None,
        });
    }
    if package.is_some_and(|package| !package.is_ours) {
        let fix = "install it again; if the file is missing still, `exclude` in pirogue.toml may leave it out";
        return Ok(Cause::new(format!("{here}: the package is not whole"), fix));
    }
    let is_there = |path: PathBuf| -> Result<Option<WorkspacePath>, CheckError> {
        let Some(path) = subject.in_workspace(&path) else { return Ok(None) };
        Ok(host::is_file(&subject.workspace.on_host(&path))?.then_some(path))
    };
    let with_end = |end: &str| {
        let mut path = wanted.clone().into_os_string();
        path.push(end);
        PathBuf::from(path)
    };
    for path in [wanted.clone(), with_end(".js"), with_end(".json"), wanted.join("index.js")] {
        if let Some(path) = is_there(path)? {
            let fix = "let `files` of its package.json, or `include` in pirogue.toml, name it";
            return Ok(Cause::new(format!("{here}: `{path}` exists, but is not shipped"), fix));
        }
    }
    let mut sources = SOURCES.iter().flat_map(|end| [wanted.with_extension(end), with_end(&format!(".{end}"))]);
    let source = sources.find_map(|path| is_there(path).transpose()).transpose()?;
    let build = subject.workspace.package_manager.build_command();
    Ok(match source {
        Some(source) => Cause::new(format!("{here}: `{source}` is not compiled"), format!("compile: `{build}`")),
        None => Cause::new(here, format!("compile again (`{build}`), or correct the path")),
    })
}

/// The name of a file beside the wanted one that differs from it in capital letters only.
fn of_other_case(subject: &Subject<'_>, wanted: &Path) -> Option<String> {
    let lower = |path: &Path| path.file_stem().map(|name| name.to_string_lossy().to_lowercase());
    let dir = wanted.parent()?;
    let other = subject.files.below(dir).find(|path| {
        path.parent() == Some(dir) && path.file_stem() != wanted.file_stem() && lower(path) == lower(wanted)
    })?;
    Some(other.file_name()?.to_string_lossy().into_owned())
}
