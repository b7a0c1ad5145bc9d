use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::path::{Component, Path, PathBuf};

/// A path relative to the workspace's root, normal and never leaving it. Empty for the root itself.
#[derive(Clone, Debug, Default)]
pub struct WorkspacePath(PathBuf);

impl PartialEq for WorkspacePath {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for WorkspacePath {}

impl PartialOrd for WorkspacePath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The order of [`Path`], name by name. Since the path is normal it can be told by the first byte that differs, where a
/// slash, which ends a name, comes before all others.
impl Ord for WorkspacePath {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (self.as_bytes(), other.as_bytes());
        let rank = |byte: u8| if byte == b'/' { 0 } else { byte };
        let differs = own.iter().zip(others).find(|(own, other)| own != other);
        differs.map_or(own.len().cmp(&others.len()), |(own, other)| rank(*own).cmp(&rank(*other)))
    }
}

impl Hash for WorkspacePath {
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        self.as_bytes().hash(hasher);
    }
}

impl WorkspacePath {
    fn as_bytes(&self) -> &[u8] {
        self.0.as_os_str().as_encoded_bytes()
    }

    /// Takes a relative path without `..`; `None` if it is another.
    pub fn new(path: impl AsRef<Path>) -> Option<Self> {
        let mut normal = PathBuf::new();
        for component in path.as_ref().components() {
            match component {
                Component::Normal(name) => normal.push(name),
                Component::CurDir => {}
                _ => return None,
            }
        }
        Some(Self(normal))
    }

    /// This path with `relative` behind it, which may go up; `None` where it leaves the workspace.
    pub fn join(&self, relative: impl AsRef<Path>) -> Option<Self> {
        let mut joined = self.0.clone();
        for component in relative.as_ref().components() {
            match component {
                Component::Normal(name) => joined.push(name),
                Component::CurDir => {}
                Component::ParentDir if joined.pop() => {}
                _ => return None,
            }
        }
        Some(Self(joined))
    }

    /// The path for calls of the standard library, relative to the root.
    pub fn as_path(&self) -> &Path {
        &self.0
    }

    /// The last name of the path; empty for the root.
    pub fn name(&self) -> String {
        self.0.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }
}

impl fmt::Display for WorkspacePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.as_os_str().is_empty() { f.write_str(".") } else { self.0.display().fmt(f) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_names(
            one in "[a.-]{1,2}(/[a.-]{1,2}){0,3}",
            other in "[a.-]{1,2}(/[a.-]{1,2}){0,3}",
        ) {
            let (Some(one), Some(other)) = (WorkspacePath::new(one), WorkspacePath::new(other)) else { return Ok(()) };
            prop_assert_eq!(one.cmp(&other), one.as_path().cmp(other.as_path()));
            prop_assert_eq!(one == other, one.as_path() == other.as_path());
        }
    }
}
