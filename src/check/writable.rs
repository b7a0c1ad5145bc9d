//! Whether the image's user may write where the service's own code makes files and directories.

use std::path::{Path, PathBuf};

use super::entry_point::may;
use super::file_system::normal;
use super::imports::{Graph, Reached};
use super::{Code, Finding, Severity, Subject};
use crate::javascript::{FileUse, NamedFile, Origin, When};
use crate::layer::Owner;

/// Write a directory, and look into it.
const WRITE: u32 = 0o3;

/// Where anybody may write while a container runs, whatever the image has there.
const MOUNTED: [&str; 3] = ["/dev", "/proc", "/tmp"];

/// One finding for each path that is made where the user may not.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph) -> Vec<Finding> {
    let own = graph.modules().filter(|(file, _)| file.is_ours);
    let made = own.flat_map(|(file, module)| module.files.iter().map(move |named| (file, named)));
    made.filter_map(|(file, named)| finding(subject, file, named)).collect()
}

fn finding(subject: &Subject<'_>, file: &Reached, named: &NamedFile) -> Option<Finding> {
    if !matches!(named.used, FileUse::Made | FileUse::MadeSync) {
        return None;
    }
    let path = subject.named_path(file, named)?;
    let (place, is_there) = nearest(subject, &path);
    if may(subject, &place, WRITE) || MOUNTED.iter().any(|dir| path.starts_with(dir)) {
        return None;
    }
    let is_certain = named.used == FileUse::MadeSync && file.when == When::AtStart && named.when == When::AtStart;
    let Owner { uid, gid } = subject.user.owner;
    Some(Finding {
        // A directory that is there need not be made.
        severity: if is_certain && !is_there { Severity::Error } else { Severity::Note },
        code: Code::DirectoryNotWritable,
        place: Some(subject.place(&file.path, Some(named.line))),
        message: format!(
            "the code makes `{}`, and the image's user (`{uid}:{gid}`) may not write `{}`",
            path.display(),
            place.display()
        ),
        fix: Some(fix(subject, &path)),
    })
}

/// The path itself, if it is there, else the nearest directory above that is; and which of the two.
fn nearest(subject: &Subject<'_>, path: &Path) -> (PathBuf, bool) {
    let there = path.ancestors().find(|path| subject.files.find(path).is_some()).unwrap_or(Path::new("/"));
    (there.to_owned(), there == path)
}

fn fix(subject: &Subject<'_>, path: &Path) -> String {
    // What has an ending is a file in the directory that has to be writable.
    let dir = path.parent().filter(|_| path.extension().is_some()).unwrap_or(path);
    match dir.strip_prefix(subject.run.working_dir.as_path()).ok().filter(|inside| !inside.as_os_str().is_empty()) {
        Some(inside) => format!("`writable = [\"{}\"]` in pirogue.toml", inside.display()),
        None => format!("`writable = [\"{}\"]` in pirogue.toml, or a path below the working directory", dir.display()),
    }
}

impl Subject<'_> {
    /// The path in the image that a file of code names.
    pub(super) fn named_path(&self, file: &Reached, named: &NamedFile) -> Option<PathBuf> {
        let origin = match named.origin {
            Origin::ThisDirectory => file.path.parent()?,
            Origin::WorkingDirectory => self.run.working_dir.as_path(),
            Origin::Root => Path::new("/"),
        };
        normal(&origin.join(&named.path))
    }
}
