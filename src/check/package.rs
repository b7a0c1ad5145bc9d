use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::{Place, Subject};
use crate::workspace::{PackageJson, WorkspacePath};

/// The package that a file of the image belongs to.
#[derive(Clone, Debug)]
pub(super) struct Package<'a> {
    /// Its directory in the workspace.
    pub dir: WorkspacePath,
    /// What its package.json says, where it is known.
    pub package_json: Option<&'a PackageJson>,
    /// Whether it is developed in the workspace.
    pub is_ours: bool,
}

impl Package<'_> {
    /// Its name.
    pub fn name(&self) -> String {
        self.package_json.and_then(|json| json.name.clone()).unwrap_or_else(|| self.dir.to_string())
    }

    /// Its name and version.
    pub fn label(&self) -> String {
        self.package_json.filter(|json| json.name.is_some()).map_or_else(|| self.dir.to_string(), PackageJson::label)
    }

    /// Whether it says itself that it can do without a package of this name.
    pub fn can_do_without(&self, name: &str) -> bool {
        self.package_json
            .is_some_and(|json| json.optional_dependencies.contains_key(name) || json.optional_peers.contains_key(name))
    }
}

impl Subject<'_> {
    /// A path of the image as one of the workspace, where it lies below its root.
    pub(super) fn in_workspace(&self, path: &Path) -> Option<WorkspacePath> {
        path.strip_prefix(self.root.as_path()).ok().and_then(WorkspacePath::new)
    }

    /// A place in a file of the image.
    pub(super) fn place(&self, path: &Path, line: Option<u32>) -> Place {
        match self.in_workspace(path) {
            Some(file) => Place::in_workspace(self.root, file.as_path(), line),
            None => Place { path: path.display().to_string(), source: None, line },
        }
    }

    /// The package that a file belongs to, given by its real path.
    pub(super) fn package_at(&self, path: &Path) -> Option<Package<'_>> {
        let path = self.in_workspace(path)?;
        let installed = || directories(&path).find_map(|dir| self.installed_in(dir));
        let nearest = installed_above(&path).and_then(|dir| self.installed_in(dir));
        nearest.or_else(installed).or_else(|| self.member_of(&path))
    }

    /// Whether a file is of a package that is developed in the workspace.
    pub(super) fn is_ours(&self, path: &Path) -> bool {
        let Some(path) = self.in_workspace(path) else { return false };
        let is_installed = |dir| self.closure.packages.contains_key(&dir);
        installed_above(&path).is_none_or(|dir| !is_installed(dir))
            && !directories(&path).any(is_installed)
            && self.member_of(&path).is_some()
    }

    /// The real directory of the package that code at a path, or in a directory, gets by this name.
    pub(super) fn package_near(&self, path: &Path, name: &str) -> Option<PathBuf> {
        let mut places = path.ancestors().map(|dir| dir.join("node_modules").join(name));
        places.find_map(|place| self.files.find(&place).filter(|(_, found)| found.is_directory())).map(|it| it.0)
    }

    fn installed_in(&self, dir: WorkspacePath) -> Option<Package<'_>> {
        let package = self.closure.packages.get(&dir)?;
        Some(Package { dir, package_json: Some(package.package_json.as_ref()), is_ours: false })
    }

    fn member_of(&self, path: &WorkspacePath) -> Option<Package<'_>> {
        let dir = directories(path).find(|dir| self.workspace.member_at(dir).is_some())?;
        let package_json = self.workspace.member_at(&dir).map(|member| &member.package_json);
        Some(Package { dir, package_json, is_ours: true })
    }
}

/// A path and all directories above it.
fn directories(path: &WorkspacePath) -> impl Iterator<Item = WorkspacePath> {
    path.as_path().ancestors().filter_map(WorkspacePath::new)
}

/// The directory of the nearest `node_modules` in which a file lies: nearly always that of its package.
fn installed_above(path: &WorkspacePath) -> Option<WorkspacePath> {
    package_top(path.as_path()).and_then(WorkspacePath::new)
}

/// The directory of the installed package that lies at this path, or that something at this path belongs to: the one in the
/// nearest `node_modules`.
pub fn package_top(path: &Path) -> Option<&Path> {
    let bytes = path.as_os_str().as_bytes();
    let (mut at, mut top) = (0, None);
    for name in bytes.split(|byte| *byte == b'/') {
        at += name.len() + 1;
        top = if name == b"node_modules" { Some(at) } else { top };
    }
    let below = bytes.get(top?..).filter(|below| !below.is_empty())?;
    let mut ends = below.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(end, _)| end).chain([below.len()]);
    let end = ends.nth(usize::from(below.starts_with(b"@")))?;
    Some(Path::new(OsStr::from_bytes(&bytes[..top? + end])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_package_that_a_path_belongs_to() {
        let table = [
            ("a file", "/app/node_modules/x/lib/a.js", Some("/app/node_modules/x")),
            ("the package itself", "/app/node_modules/x", Some("/app/node_modules/x")),
            ("of a scope", "/app/node_modules/@s/x/a.js", Some("/app/node_modules/@s/x")),
            ("a scope alone", "/app/node_modules/@s", None),
            ("brought along", "/app/node_modules/x/node_modules/y/a.js", Some("/app/node_modules/x/node_modules/y")),
            (
                "of pnpm",
                "/app/node_modules/.pnpm/x@1/node_modules/x/a",
                Some("/app/node_modules/.pnpm/x@1/node_modules/x"),
            ),
            ("the service's own", "/app/apps/api/dist/main.js", None),
            ("the directory of all", "/app/node_modules", None),
        ];
        for (comment, path, expected) in table {
            assert_eq!(package_top(Path::new(path)), expected.map(Path::new), "{comment}");
        }
    }
}
