//! Layers: from a file tree to the bytes of a blob.
//!
//! A layer is a row of **fragments**, one for each package. A fragment's tar entries are cut into pieces of a mebibyte or
//! a few, each compressed on its own as a gzip member (RFC 1952 allows members in a row) or a zstd frame, so that all
//! cores work at one layer and its bytes never depend on how many there are. A piece that was compressed before, for
//! whatever layer, is copied from there. (Small neighbours share a zstd frame: see `run`.)

mod collect;
mod compression;
mod foreign;
mod grouping;
mod identical_files;
mod keeping;
mod key;
mod line;
mod pack;
mod pack_ahead;
mod package_archive;
mod package_tarball;
mod patch;
mod piece;
mod run;
mod slim;
mod tar_entry;
mod tree;
mod volatile_files;

pub use collect::{CollectError, Collector};
pub use foreign::{ForeignEntry, ForeignKind, KeptFiles, LayerListing, ListingError, list};
pub use grouping::{ImageContents, PackageSet, PackageSets, Portability, ServiceSet, Unit, group};
pub use key::{FragmentKey, LayerKey, LayerKeys};
pub use pack::{FoundPiece, PackError, Packed, PackedPiece, Packing, PieceCache, pack};
pub use pack_ahead::{AheadPacker, PackedAhead};
pub use package_archive::{PackageArchive, Scratch, SmallArchive};
pub use package_tarball::{PackageFile, PackageTarball, TarballError, TarballLimits, YarnCompression};
pub use patch::{FileState, PackagePatch, PatchError};
pub use slim::{LeftOut, Slimming, is_for_tools, is_license};
pub use tree::{Content, Entry, FileTree, HostFile, Kind, Owner, TreeError};

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::digest::DiffId;
use crate::manifest::Descriptor;

/// The rules by which trees become bytes: layers, order, modes, cutting, compressors with their levels. An upgrade that
/// changes any byte changes this text, which is part of every key.
pub const RECIPE: &str = "3: libdeflate 1.25 level 6, pieces of 1 MiB; zstd 1.5 level 3, pieces of 4 MiB, runs of 256 KiB; \
                          sets of packages in parts of 32 MiB";

/// What a layer is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LayerRole {
    /// Packages of the system, as apk would have added them.
    System,
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
            Self::System => "system packages",
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
    /// The package's name, the member's directory, or what else it is. Identical files of fragments of one name become
    /// hard links.
    pub name: String,
    /// `name@version`, or the name.
    pub label: String,
    /// The entries. Layers of several services share them.
    pub tree: Arc<FileTree>,
}

impl Fragment {
    /// A fragment that is no package's.
    pub fn new(name: impl Into<String>, tree: FileTree) -> Self {
        let name = name.into();
        Self { label: name.clone(), name, tree: Arc::new(tree) }
    }
}

/// A layer before it is packed: every entry is decided, no byte is read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerPlan {
    /// What it is for.
    pub role: LayerRole,
    /// The services that share it; for a layer of packages exactly those whose images have it.
    pub services: Vec<String>,
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

/// A finished layer. Only packing makes one, or the memory of a packing, so its digests are those of bytes that exist or
/// that packing again would give.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
