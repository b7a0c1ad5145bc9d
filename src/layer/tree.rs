use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::path::PathBuf;

use crate::digest::Digest;
use crate::path::{HostPath, ImagePath};

/// The owner of an entry, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// Where the bytes of a file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of this disk.
    Host {
        /// Its path.
        path: HostPath,
        /// Its size in bytes when it was looked at. If it has another when it is read, packing fails.
        size: u64,
        /// The digest of its content when it was looked at.
        digest: Digest,
    },
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Content {
    /// How many bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Host { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Host { digest, .. } => *digest,
            Self::Bytes(bytes) => Digest::of(bytes),
        }
    }
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A directory.
    Directory,
    /// A regular file.
    File(Content),
    /// A symbolic link, with its target as the link holds it.
    Symlink(PathBuf),
    /// The same file as one that comes earlier in the same layer.
    HardLink(ImagePath),
}

/// One entry of a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// What it is.
    pub kind: Kind,
    /// The permission bits.
    pub mode: u32,
    /// The owner.
    pub owner: Owner,
}

impl Entry {
    /// A directory that everyone may read and its owner may write.
    pub fn directory(owner: Owner) -> Self {
        Self { kind: Kind::Directory, mode: 0o755, owner }
    }

    /// A file that everyone may read, and run if it is `executable`. The umask of whoever made the original plays no
    /// part.
    pub fn file(content: Content, executable: bool, owner: Owner) -> Self {
        Self { kind: Kind::File(content), mode: if executable { 0o755 } else { 0o644 }, owner }
    }

    /// A symbolic link.
    pub fn symlink(target: impl Into<PathBuf>, owner: Owner) -> Self {
        Self { kind: Kind::Symlink(target.into()), mode: 0o777, owner }
    }
}

/// A path that a tree already holds as something else.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("two different things would lie at one place in the image: `{0}`")]
pub struct TreeError(pub ImagePath);

/// Entries sorted by the bytes of their paths, which puts parents before children and makes duplicates impossible.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FileTree {
    entries: BTreeMap<ImagePath, Entry>,
}

impl FromIterator<(ImagePath, Entry)> for FileTree {
    /// Entries whose paths are known to differ.
    fn from_iter<I: IntoIterator<Item = (ImagePath, Entry)>>(entries: I) -> Self {
        Self { entries: entries.into_iter().collect() }
    }
}

impl FileTree {
    /// Adds an entry. The same entry twice is no error.
    pub fn insert(&mut self, path: ImagePath, entry: Entry) -> Result<(), TreeError> {
        match self.entries.entry(path) {
            Slot::Vacant(slot) => {
                slot.insert(entry);
                Ok(())
            }
            Slot::Occupied(slot) if *slot.get() == entry => Ok(()),
            Slot::Occupied(slot) => Err(TreeError(slot.key().clone())),
        }
    }

    /// Adds all entries of `other`.
    pub fn extend(&mut self, other: Self) -> Result<(), TreeError> {
        other.entries.into_iter().try_for_each(|(path, entry)| self.insert(path, entry))
    }

    /// Leaves out the entries for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&ImagePath) -> bool) {
        self.entries.retain(|path, _| keep(path));
    }

    /// The entry at a path.
    pub fn get(&self, path: &ImagePath) -> Option<&Entry> {
        self.entries.get(path)
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&ImagePath, &Entry)> {
        self.entries.iter()
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of files, by whatever names.
    pub fn files(&self) -> usize {
        self.entries.values().filter(|entry| matches!(entry.kind, Kind::File(_) | Kind::HardLink(_))).count()
    }

    /// The bytes of the files' contents; a hard link has none of its own.
    pub fn content_bytes(&self) -> u64 {
        let sizes = self.entries.values().map(|entry| match &entry.kind {
            Kind::File(content) => content.size(),
            _ => 0,
        });
        sizes.sum()
    }
}
