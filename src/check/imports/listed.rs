//! Code that the service's own code may load without naming its files: it lists a directory, or hands one or a pattern
//! to somebody who does. Plugins, routes, models and entities are loaded that way.

use std::path::{Path, PathBuf};

use globset::GlobMatcher;

use super::{Reached, Walk};
use crate::check::pattern::{is_pattern, matcher};
use crate::check::{CheckError, Subject, package_top};
use crate::javascript::{FileUse, Module, Reach, source_type};

/// Where tests lie, which nobody loads.
const TESTS: [&str; 3] = ["__tests__", "test", "tests"];

/// Goes on from such files, and gives them.
pub(super) fn follow(walk: &mut Walk<'_>) -> Result<Vec<PathBuf>, CheckError> {
    let (mut listed, mut seen) = (Vec::new(), 0);
    while seen < walk.len() {
        let places = walk.after(seen).iter().filter(|file| file.is_ours).flat_map(|file| places(walk.subject, file));
        let places: Vec<Place> = places.collect();
        seen = walk.len();
        if !places.is_empty() {
            let files = own_code(walk.subject).filter(|path| !walk.has(path));
            let files: Vec<PathBuf> =
                files.filter(|path| places.iter().any(|place| place.has(path))).map(Path::to_owned).collect();
            listed.extend(files.iter().cloned());
            walk.follow(files)?;
        }
    }
    Ok(listed)
}

/// All code that is developed in the workspace.
fn own_code<'a>(subject: &'a Subject<'_>) -> impl Iterator<Item = &'a Path> {
    let is_code = |path: &Path| source_type(&path.file_name().unwrap_or_default().to_string_lossy()).is_some();
    let files = subject.files.layer_files().filter(|path| package_top(path).is_none());
    files.filter(move |path| is_code(path) && subject.is_ours(path))
}

/// What is listed.
enum Place {
    /// All in a directory, however deep.
    Below(PathBuf),
    /// What lies in a directory itself, in which the code lies too that lists it.
    Beside(PathBuf),
    /// What a pattern matches.
    Pattern(GlobMatcher),
}

impl Place {
    fn has(&self, path: &Path) -> bool {
        let inside = match self {
            Self::Below(dir) => path.strip_prefix(dir).ok(),
            Self::Beside(dir) => path.strip_prefix(dir).ok().filter(|_| path.parent() == Some(dir)),
            Self::Pattern(pattern) => path.file_name().map(Path::new).filter(|_| pattern.is_match(path)),
        };
        inside.is_some_and(|inside| !is_test(inside))
    }
}

fn is_test(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.ends_with(".spec")
        || stem.ends_with(".test")
        || path.components().any(|part| TESTS.iter().any(|test| part.as_os_str() == *test))
}

fn places(subject: &Subject<'_>, file: &Reached) -> Vec<Place> {
    let Some(module) = file.module.as_deref() else { return Vec::new() };
    let is_directory = |path: &PathBuf| subject.files.find(path).is_some_and(|(_, found)| found.is_directory());
    let handed =
        module.files.iter().filter(|named| matches!(named.used, FileUse::Named | FileUse::Read | FileUse::ReadSync));
    let mut places: Vec<Place> = handed
        .filter_map(|named| {
            let path = subject.named_path(file, named)?;
            match is_pattern(&named.path) {
                true => matcher(&path).map(Place::Pattern),
                // Whoever names a directory above may mean anything in it.
                false => Some(path).filter(|path| !file.path.starts_with(path) && is_directory(path)).map(Place::Below),
            }
        })
        .collect();
    places.extend(computed(file, module, &is_directory));
    places
}

/// `require(path.join(__dirname, name))`, `` import(`./routes/${name}.js`) ``
fn computed(file: &Reached, module: &Module, is_directory: &dyn Fn(&PathBuf) -> bool) -> Vec<Place> {
    let Some(dir) = file.path.parent().filter(|_| !module.computed.is_empty()) else { return Vec::new() };
    let starts = module.reaches.iter().filter_map(|reach| match reach {
        Reach::Files(start) if start.is_empty() => Some(Place::Beside(dir.to_owned())),
        Reach::Files(start) if !start.starts_with("..") => Some(dir.join(start)).filter(is_directory).map(Place::Below),
        _ => None,
    });
    starts.collect()
}
