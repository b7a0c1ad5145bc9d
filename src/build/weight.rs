use std::collections::BTreeMap;

use crate::layer::{FileTree, LeftOut};
use crate::workspace::WorkspacePath;

/// What packages weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many packages.
    pub packages: usize,
    /// How many files.
    pub files: usize,
    /// How many bytes the files have.
    pub bytes: u64,
}

impl Weight {
    /// What the packages in these directories weigh together.
    pub(super) fn of<'p>(
        dirs: impl Iterator<Item = &'p WorkspacePath>,
        weights: &BTreeMap<WorkspacePath, Self>,
    ) -> Self {
        dirs.filter_map(|dir| weights.get(dir)).copied().fold(Self::default(), Self::plus)
    }

    /// The same packages without some of their files.
    pub(super) fn without(self, left_out: LeftOut) -> Self {
        let files = self.files.saturating_sub(left_out.files);
        Self { files, bytes: self.bytes.saturating_sub(left_out.bytes), ..self }
    }

    pub(super) fn of_tree(tree: &FileTree) -> Self {
        Self { packages: 1, files: tree.files(), bytes: tree.content_bytes() }
    }

    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            packages: self.packages + other.packages,
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
        }
    }
}
