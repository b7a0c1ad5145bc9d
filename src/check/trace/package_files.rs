use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::check::{ImageFiles, package_top};

/// The files of an image's installed packages, in the order of the bytes of their paths.
pub(super) struct PackageFiles<'a>(BTreeSet<&'a [u8]>);

impl<'a> PackageFiles<'a> {
    /// Of an image's layers.
    pub fn of(files: &'a ImageFiles) -> Self {
        let of_packages = files.layer_files().filter(|path| package_top(path).is_some());
        Self(of_packages.map(|path| path.as_os_str().as_bytes()).collect())
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &'a Path> {
        self.0.iter().map(|bytes| path(bytes))
    }

    /// The package.json of each package.
    pub fn manifests(&self) -> impl Iterator<Item = &'a Path> {
        self.iter().filter(|path| package_top(path).is_some_and(|top| *path == top.join("package.json")))
    }

    /// Whether there is one at this path.
    pub fn has(&self, path: &Path) -> bool {
        self.0.contains(path.as_os_str().as_bytes())
    }

    /// Those whose paths begin so, as texts.
    pub fn beginning(&self, start: &Path) -> Box<dyn Iterator<Item = &'a Path> + '_> {
        self.from(start.as_os_str().as_bytes().to_owned())
    }

    /// Those in a directory, however deep.
    pub fn below(&self, directory: &Path) -> Box<dyn Iterator<Item = &'a Path> + '_> {
        self.from([directory.as_os_str().as_bytes(), b"/"].concat())
    }

    /// Those of the package in this directory, without those of packages in its own `node_modules`.
    pub fn of_package(&self, top: &Path) -> Vec<PathBuf> {
        self.below(top).filter(|path| package_top(path) == Some(top)).map(Path::to_owned).collect()
    }

    fn from(&self, start: Vec<u8>) -> Box<dyn Iterator<Item = &'a Path> + '_> {
        let first = self.0.range::<[u8], _>((std::ops::Bound::Included(start.as_slice()), std::ops::Bound::Unbounded));
        let first: Vec<&'a [u8]> = first.copied().take_while(|path| path.starts_with(&start)).collect();
        Box::new(first.into_iter().map(path))
    }
}

fn path(bytes: &[u8]) -> &Path {
    Path::new(std::ffi::OsStr::from_bytes(bytes))
}
