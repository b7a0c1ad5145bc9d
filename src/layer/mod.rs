//! Layers: from a file tree to the bytes of a blob.
//!
//! A layer is a run of **fragments**, one for each package. A fragment's tar entries are cut into pieces of one
//! mebibyte, each compressed as a gzip member of its own (RFC 1952 allows members in a row), so that all cores work at one
//! layer and its bytes never depend on how many there are.

mod collect;
mod foreign;
mod grouping;
mod pack;
mod piece;
mod tar_entry;
mod tree;
mod volatile_files;

pub use collect::{CollectError, Collector};
pub use foreign::{ForeignEntry, ForeignKind, LayerListing, ListingError, list};
pub use grouping::{ImageContents, group};
pub use pack::{PackError, Packing, pack};
pub use tree::{Content, Entry, FileTree, Kind, Owner, TreeError};

use std::fmt;

use crate::digest::DiffId;
use crate::manifest::Descriptor;

/// The version of the rules by which trees become bytes: order, modes, cutting, compressor (libdeflate 1.x, level 6). An
/// upgrade that changes any byte changes this number.
pub const RECIPE: u32 = 1;

/// What a layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum LayerRole {
    /// passwd, group and shadow with the image's user, and its home.
    User,
    /// Installed packages.
    Packages,
    /// Packages of the workspace.
    Workspace,
    /// The service itself.
    Application,
}

impl fmt::Display for LayerRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user",
            Self::Packages => "packages",
            Self::Workspace => "workspace",
            Self::Application => "application",
        })
    }
}

/// The entries of one package, or the directories above those of all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fragment {
    /// `name@version`, a member's directory, or `directories`.
    pub label: String,
    /// The entries.
    pub tree: FileTree,
}

/// A layer before it is packed: every entry is decided, no byte is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// What it is for.
    pub role: LayerRole,
    /// The fragments in the order in which they are packed.
    pub fragments: Vec<Fragment>,
}

impl LayerPlan {
    /// The number of regular files.
    pub fn files(&self) -> usize {
        self.fragments.iter().map(|fragment| fragment.tree.files()).sum()
    }

    /// The bytes of the files' contents.
    pub fn content_bytes(&self) -> u64 {
        self.fragments.iter().map(|fragment| fragment.tree.content_bytes()).sum()
    }
}

/// A finished layer. Only packing makes one, so its digests are those of bytes that exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    descriptor: Descriptor,
    diff_id: DiffId,
    role: LayerRole,
    tar_bytes: u64,
}

impl Layer {
    /// Media type, digest and size of the compressed blob.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// The digest of the uncompressed tar.
    pub fn diff_id(&self) -> DiffId {
        self.diff_id
    }

    /// What it is for.
    pub fn role(&self) -> LayerRole {
        self.role
    }

    /// The size of the uncompressed tar.
    pub fn tar_bytes(&self) -> u64 {
        self.tar_bytes
    }
}
