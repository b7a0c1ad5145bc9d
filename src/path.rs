//! Paths: [`HostPath`] on this disk, [`ImagePath`] in an image. Two types, so that one is never taken for the other.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

use serde::{Deserialize, Serialize};

/// So many symbolic links are followed one after the other, as Linux does. Source: `path_resolution(7)`.
pub const MOST_LINKS: usize = 40;

/// A path on the disk of the machine that builds.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct HostPath(PathBuf);

impl HostPath {
    /// Wraps a path as the user or the file system gave it.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The path, for calls of the standard library.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// This path with `relative` below it.
    pub fn join(&self, relative: impl AsRef<Path>) -> Self {
        Self(self.0.join(relative))
    }

    /// The folder this path lies in, if it has one.
    pub fn parent(&self) -> Option<Self> {
        self.0.parent().map(|parent| Self(parent.to_owned()))
    }

    /// This path relative to `root`, or `None` if it does not lie below it.
    pub fn relative_to(&self, root: &Self) -> Option<&Path> {
        self.0.strip_prefix(&root.0).ok()
    }
}

impl fmt::Display for HostPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl AsRef<Path> for HostPath {
    fn as_ref(&self) -> &Path {
        &self.0
    }
}

/// A path in an image: absolute, normal (no `.`, no `..`, no doubled or trailing slash) and free of NUL bytes.
///
/// Kept as bytes, since file names on Linux are bytes; ordered by them, which puts parents before their children.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ImagePath(Vec<u8>);

/// Why a text or path cannot be a path in an image.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ImagePathError {
    /// It has to start with a slash.
    #[error("a path in an image starts with `/`: `{0}`")]
    NotAbsolute(String),
    /// `..` could lead out of the image.
    #[error("a path in an image has no `..`: `{0}`")]
    ParentComponent(String),
    /// No file system can hold such a name.
    #[error("a path in an image has no NUL byte: `{0}`")]
    Nul(String),
}

impl TryFrom<String> for ImagePath {
    type Error = ImagePathError;

    fn try_from(text: String) -> Result<Self, ImagePathError> {
        Self::new(text)
    }
}

impl From<ImagePath> for String {
    fn from(path: ImagePath) -> Self {
        path.to_string()
    }
}

impl ImagePath {
    /// The root directory.
    pub fn root() -> Self {
        Self(b"/".to_vec())
    }

    /// Checks and normalises `path`.
    pub fn new(path: impl AsRef<Path>) -> Result<Self, ImagePathError> {
        let path = path.as_ref();
        if !path.is_absolute() {
            return Err(ImagePathError::NotAbsolute(path.display().to_string()));
        }
        Self::root().join(path.strip_prefix("/").unwrap_or(path))
    }

    /// This path with `relative` below it. An empty `relative` gives the path itself.
    pub fn join(&self, relative: impl AsRef<Path>) -> Result<Self, ImagePathError> {
        let relative = relative.as_ref();
        let mut bytes = self.0.clone();
        for component in relative.components() {
            match component {
                Component::Normal(name) if name.as_bytes().contains(&0) => {
                    return Err(ImagePathError::Nul(relative.display().to_string()));
                }
                Component::Normal(name) => {
                    if bytes != b"/" {
                        bytes.push(b'/');
                    }
                    bytes.extend_from_slice(name.as_bytes());
                }
                Component::CurDir => {}
                Component::ParentDir => {
                    return Err(ImagePathError::ParentComponent(relative.display().to_string()));
                }
                Component::RootDir | Component::Prefix(_) => {
                    return Err(ImagePathError::NotAbsolute(relative.display().to_string()));
                }
            }
        }
        Ok(Self(bytes))
    }

    /// The path as the standard library's type.
    pub fn as_path(&self) -> &Path {
        Path::new(OsStr::from_bytes(&self.0))
    }

    /// The bytes without the leading slash, as tar entries name them.
    pub fn tar_name(&self) -> &[u8] {
        &self.0[1..]
    }

    /// The directory that holds this path; `None` for the root.
    pub fn parent(&self) -> Option<Self> {
        if self.0 == b"/" {
            return None;
        }
        let cut = self.0.iter().rposition(|&byte| byte == b'/')?;
        Some(Self(self.0[..cut.max(1)].to_vec()))
    }

    /// The directories above this path, nearest first, without the root.
    pub fn ancestors(&self) -> impl Iterator<Item = Self> {
        let root = Self::root();
        std::iter::successors(self.parent(), Self::parent).take_while(move |path| *path != root)
    }

    /// This path with one name below it, as a directory listing gives it: without a slash or a NUL byte.
    pub fn child(&self, name: &OsStr) -> Self {
        let mut bytes = Vec::with_capacity(self.0.len() + 1 + name.len());
        bytes.extend_from_slice(&self.0);
        if bytes != b"/" {
            bytes.push(b'/');
        }
        bytes.extend_from_slice(name.as_bytes());
        Self(bytes)
    }

    /// Whether this path is one of the names in the directory `dir`.
    pub fn lies_in(&self, dir: &Self) -> bool {
        let inside = self.0.strip_prefix(dir.0.as_slice()).and_then(|inside| match dir.0.as_slice() {
            b"/" => Some(inside),
            _ => inside.strip_prefix(b"/"),
        });
        inside.is_some_and(|name| !name.is_empty() && !name.contains(&b'/'))
    }

    /// The range that holds exactly the paths below this one, in the order of paths.
    pub fn below(&self) -> std::ops::Range<Self> {
        let with = |last: u8| {
            let mut bytes = self.0.clone();
            if bytes != b"/" {
                bytes.push(b'/');
            }
            // What follows is at least one byte, and greater than none.
            if let Some(end) = bytes.last_mut() {
                *end = last;
            }
            Self(bytes)
        };
        // Right behind a slash in the order of bytes comes `0`.
        with(b'/')..with(b'0')
    }

    /// Whether this path lies below `other` (or is it).
    pub fn starts_with(&self, other: &Self) -> bool {
        self.as_path().starts_with(other.as_path())
    }

    /// The relative path that leads from the directory `self` to `target`, as a symlink lying in `self` holds it.
    pub fn relative_link_to(&self, target: &Self) -> PathBuf {
        let (from, to) = (self.as_path(), target.as_path());
        let shared = from.components().zip(to.components()).take_while(|(a, b)| a == b).count();
        let up = from.components().count() - shared;
        let mut link: PathBuf =
            std::iter::repeat_n(Component::ParentDir, up).chain(to.components().skip(shared)).collect();
        if link.as_os_str().is_empty() {
            link.push(".");
        }
        link
    }
}

impl fmt::Display for ImagePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_path().display().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(path: &str) -> ImagePath {
        ImagePath::new(path).unwrap()
    }

    #[test]
    fn image_paths_are_absolute_and_normal() {
        let table = [
            ("as it is", "/app/dist", Ok("/app/dist")),
            ("the root", "/", Ok("/")),
            ("doubled and trailing slashes", "//app//dist/", Ok("/app/dist")),
            ("dots", "/app/./dist", Ok("/app/dist")),
            ("relative", "app", Err(ImagePathError::NotAbsolute("app".into()))),
            ("climbing", "/app/../etc", Err(ImagePathError::ParentComponent("app/../etc".into()))),
            ("NUL", "/a\0b", Err(ImagePathError::Nul("a\0b".into()))),
        ];
        for (comment, text, expected) in table {
            let actual = ImagePath::new(text).map(|path| path.to_string());
            assert_eq!(actual, expected.map(str::to_owned), "{comment}");
        }
    }

    #[test]
    fn links_are_relative() {
        let table = [
            ("sibling folder", "/app/node_modules/@w", "/app/packages/shared", "../../packages/shared"),
            ("below", "/app", "/app/a/b", "a/b"),
            ("itself", "/app", "/app", "."),
            ("the root", "/app", "/", ".."),
        ];
        for (comment, from, to, expected) in table {
            assert_eq!(image(from).relative_link_to(&image(to)), Path::new(expected), "{comment}");
        }
    }

    #[test]
    fn the_range_below_holds_what_lies_below() {
        let range = image("/app/a").below();
        let table =
            [("/app/a/b", true), ("/app/a/b/c", true), ("/app/a", false), ("/app/a-b", false), ("/app/a0", false)];
        for (path, expected) in table {
            assert_eq!(range.contains(&image(path)), expected, "{path}");
        }
        assert!(ImagePath::root().below().contains(&image("/app")));
        assert_eq!(image("/app").child(OsStr::new("a")), image("/app/a"));
        assert_eq!(ImagePath::root().child(OsStr::new("a")), image("/a"));
    }

    #[test]
    fn ancestors_go_up_to_the_root() {
        let above: Vec<_> = image("/app/apps/a").ancestors().map(|path| path.to_string()).collect();
        assert_eq!(above, ["/app/apps", "/app"]);
        assert_eq!(image("/app").ancestors().count(), 0);
        assert_eq!(ImagePath::root().ancestors().count(), 0);
    }
}
