//! What should not be in an image: secrets, by what they look like and by the names of files that hold them, and paths of
//! the machine that built it.
//!
//! The base is not looked at. What a package ships is public since it was published: it is told as a note, and only files
//! whose names give reason are opened there.

mod keys;
mod logins;
mod names;
mod scanner;
mod tokens;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use rayon::prelude::*;

pub use scanner::{Scan, Scanner};
pub use tokens::Secret;

use super::{CheckError, Code, Finding, Severity, Subject, package_top};

/// A larger file is not read.
const LARGEST: u64 = 16 << 20;

const FIX: &str = "keep it out of the image, and give it to the container when it runs; if it is no secret, say so in \
                   pirogue.toml with `[[check.allow]]`";

/// One finding for each file of the service and the workspace, and one note for each package that ships such files.
pub(super) fn check(subject: &Subject<'_>) -> Result<Vec<Finding>, CheckError> {
    let (installed, own): (Vec<&Path>, Vec<&Path>) = subject.files.layer_files().partition(|path| is_installed(path));
    let mut findings = by_name(subject, &own, &installed);
    let host_dir = host_dir(subject);
    let scanner = Scanner::new(host_dir.as_deref())?;
    for (path, scan) in scan(subject, &scanner, &own)? {
        findings.extend(scan.secret.map(|(secret, line)| in_own_file(subject, path, secret, line)));
        findings.extend(scan.host_path.map(|line| host_path(subject, path, line, host_dir.as_deref())));
    }
    let suspicious: Vec<&Path> = installed.into_iter().filter(|path| names::is_suspicious(path)).collect();
    findings.extend(in_packages(subject, scan(subject, &scanner, &suspicious)?));
    Ok(findings)
}

fn is_installed(path: &Path) -> bool {
    package_top(path).is_some()
}

/// What the files say of which there is something to say.
fn scan<'p>(subject: &Subject<'_>, scanner: &Scanner, paths: &[&'p Path]) -> Result<Vec<(&'p Path, Scan)>, CheckError> {
    let scan = |path: &&'p Path| {
        if subject.files.size(path).is_none_or(|size| size > LARGEST) {
            return Ok(None);
        }
        let Some(text) = subject.files.read(path)? else { return Ok(None) };
        let scan = scanner.scan(path, &text);
        Ok((scan != Scan::default()).then_some((*path, scan)))
    };
    let scans: Result<Vec<Option<_>>, CheckError> = paths.par_iter().map(scan).collect();
    Ok(scans?.into_iter().flatten().collect())
}

/// The directory that paths of the build host begin with: the user's, if the workspace lies there, else the workspace. One
/// that images have too, or whose name is a common word, says nothing.
fn host_dir(subject: &Subject<'_>) -> Option<String> {
    let root = subject.workspace.root.as_path();
    let is_home = ["/home", "/Users"].iter().any(|homes| root.starts_with(homes));
    let dir: PathBuf = if is_home { root.components().take(3).collect() } else { root.to_owned() };
    let is_telling = dir.components().count() > 2 && !dir.starts_with(subject.root.as_path());
    dir.to_str().filter(|_| is_telling).map(str::to_owned)
}

fn by_name(subject: &Subject<'_>, own: &[&Path], installed: &[&Path]) -> Vec<Finding> {
    let secret = |path: &&Path| names::secret_by_name(path);
    let own: BTreeMap<PathBuf, &str> = own.iter().filter_map(secret).collect();
    let own = own.into_iter().map(|(path, what)| Finding {
        severity: Severity::Error,
        code: Code::SecretFile,
        place: Some(subject.place(&path, None)),
        message: format!("the image holds {what}, by the name of the file"),
        fix: Some(FIX.to_owned()),
    });
    let mut packages = Packages::default();
    for (path, what) in installed.iter().filter_map(secret) {
        packages.add(subject, what.to_owned(), path, None);
    }
    own.chain(packages.notes(subject, Code::SecretFile, "by the name of a file")).collect()
}

fn in_own_file(subject: &Subject<'_>, path: &Path, secret: Secret, line: u32) -> Finding {
    Finding {
        severity: Severity::Error,
        code: Code::SecretInFile,
        place: Some(subject.place(path, Some(line))),
        message: format!("{secret} lies in the image, where everyone who pulls it can read it"),
        fix: Some(FIX.to_owned()),
    }
}

fn in_packages(subject: &Subject<'_>, scans: Vec<(&Path, Scan)>) -> Vec<Finding> {
    let mut packages = Packages::default();
    for (path, scan) in scans {
        if let Some((secret, line)) = scan.secret {
            packages.add(subject, secret.to_string(), path.to_owned(), Some(line));
        }
    }
    packages.notes(subject, Code::SecretInFile, "in a file").collect()
}

/// What packages ship, by package and by what it is.
#[derive(Default)]
struct Packages(BTreeMap<(String, String), BTreeSet<(PathBuf, Option<u32>)>>);

impl Packages {
    fn add(&mut self, subject: &Subject<'_>, what: String, path: PathBuf, line: Option<u32>) {
        let package = subject.package_at(&path).map_or_else(|| path.display().to_string(), |package| package.label());
        self.0.entry((package, what)).or_default().insert((path, line));
    }

    fn notes(self, subject: &Subject<'_>, code: Code, how: &str) -> impl Iterator<Item = Finding> {
        self.0.into_iter().filter_map(move |((package, what), files)| {
            let (path, line) = files.first()?;
            let more = match files.len() {
                1 => String::new(),
                2 => ", and one more file".to_owned(),
                more => format!(", and {} more files", more - 1),
            };
            Some(Finding {
                severity: Severity::Note,
                code,
                place: Some(subject.place(path, *line)),
                message: format!("`{package}` ships {what}, {how}{more}; it is public, since the package is"),
                fix: None,
            })
        })
    }
}

fn host_path(subject: &Subject<'_>, path: &Path, line: u32, dir: Option<&str>) -> Finding {
    Finding {
        severity: Severity::Warning,
        code: Code::BuildHostPath,
        place: Some(subject.place(path, Some(line))),
        message: format!("a file names a directory of the machine that built it: `{}`", dir.unwrap_or_default()),
        fix: Some(
            "let the compiler write relative paths (`sourceRoot` in tsconfig.json, `output.devtoolModuleFilenameTemplate` \
             of webpack)"
                .to_owned(),
        ),
    }
}
