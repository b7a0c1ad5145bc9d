//! Whether files that the service's own code names are in the image: templates, schemas and the like, which compilers do
//! not copy.

use std::path::{Path, PathBuf};

use super::imports::{Graph, Reached};
use super::pattern::{is_pattern, matcher};
use super::{CheckError, Code, Finding, Severity, Subject};
use crate::host;
use crate::javascript::{FileUse, Module, NamedFile, Origin, When};

/// What programs make for themselves while they run; and what is never put into an image.
const MADE_LATER: [&str; 9] = ["logs", "log", "tmp", "temp", "uploads", "upload", "cache", ".cache", "coverage"];
const KEPT_OUT: &str = ".env";

/// One finding for each file that is named and missing.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph) -> Result<Vec<Finding>, CheckError> {
    let mut findings = Vec::new();
    for (file, module) in graph.modules() {
        // Packages name much that only those who publish them have; what they read as soon as they are loaded is there.
        let is_own = |named: &NamedFile| named.origin == Origin::ThisDirectory && is_certain(file, named);
        let counts = |named: &&NamedFile| (file.is_ours || is_own(named)) && is_counted_on(named, module);
        for named in module.files.iter().filter(counts) {
            findings.extend(missing(subject, file, named)?);
        }
    }
    Ok(findings)
}

/// Whether the code cannot do without it, as far as can be seen: nowhere does it make the file or ask whether it is there.
/// Nor does it count on what nobody misses.
fn is_counted_on(named: &NamedFile, module: &Module) -> bool {
    let path = Path::new(&named.path);
    let is_made = |other: &NamedFile| {
        matches!(other.used, FileUse::Optional | FileUse::Made | FileUse::MadeSync)
            && other.origin == named.origin
            && path.starts_with(&other.path)
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let is_made_later = path.components().any(|part| MADE_LATER.iter().any(|made| part.as_os_str() == *made));
    !named.may_be_missing && !is_made_later && !name.starts_with(KEPT_OUT) && !module.files.iter().any(is_made)
}

/// Whether the service does not start without it.
fn is_certain(file: &Reached, named: &NamedFile) -> bool {
    let is_read = named.used == FileUse::ReadSync && !named.is_open;
    is_read && file.when == When::AtStart && named.when == When::AtStart
}

fn missing(subject: &Subject<'_>, file: &Reached, named: &NamedFile) -> Result<Option<Finding>, CheckError> {
    let Some(wanted) = subject.named_path(file, named) else { return Ok(None) };
    if is_there(subject, &wanted, named) {
        return Ok(None);
    }
    let what = match (is_pattern(&named.path), named.is_open) {
        (true, _) => "a pattern that nothing in the image matches",
        (_, true) => "a directory that is not in the image",
        (_, false) => "a file that is not in the image",
    };
    Ok(Some(Finding {
        severity: if is_certain(file, named) { Severity::Error } else { Severity::Warning },
        code: Code::DataFileMissing,
        place: Some(subject.place(&file.path, Some(named.line))),
        message: format!("the code names {what}: `{}`", wanted.display()),
        fix: Some(fix(subject, &wanted)?),
    }))
}

fn is_there(subject: &Subject<'_>, wanted: &Path, named: &NamedFile) -> bool {
    if !is_pattern(&named.path) {
        // `templates/mail-` + name: the directory has to be there.
        let path = match named.is_open && !named.path.ends_with('/') {
            true => [Some(wanted), wanted.parent()],
            false => [Some(wanted), None],
        };
        return path.into_iter().flatten().any(|path| subject.files.find(path).is_some());
    }
    let Some(glob) = matcher(wanted) else { return true };
    let constant: PathBuf =
        wanted.components().take_while(|part| !is_pattern(&part.as_os_str().to_string_lossy())).collect();
    subject.files.below(&constant).any(|path| glob.is_match(path))
}

/// Where the file may be: in the workspace, but not shipped; or beside the sources, where the compiler left it.
fn fix(subject: &Subject<'_>, wanted: &Path) -> Result<String, CheckError> {
    let Some(path) = subject.in_workspace(wanted) else {
        return Ok("put it there with `files` in pirogue.toml".to_owned());
    };
    if host::metadata(&subject.workspace.on_host(&path))?.is_some() {
        return Ok(format!("`{path}` exists: let `include` in pirogue.toml name it"));
    }
    for output in ["dist", "build", "out"] {
        let text = path.to_string();
        let Some((before, after)) = text.split_once(&format!("/{output}/")) else { continue };
        let source = format!("{before}/src/{after}");
        if host::metadata(&subject.workspace.root.join(&source))?.is_some() {
            return Ok(format!(
                "`{source}` is not copied: let the compiler do it (`assets` in nest-cli.json), or `files` in pirogue.toml"
            ));
        }
    }
    Ok("let the build copy it, put it there with `files` in pirogue.toml, or correct the path".to_owned())
}
