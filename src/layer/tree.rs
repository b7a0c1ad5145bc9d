use std::ffi::OsStr;
use std::fs::File;
use std::path::PathBuf;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::PackageArchive;
use crate::digest::Digest;
use crate::host::HostError;
use crate::path::{HostPath, ImagePath};

/// The owner of an entry, by number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Owner {
    /// The user's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
}

/// A file of this disk. Those of one directory share its path.
#[derive(Clone, Debug)]
pub struct HostFile {
    dir: Arc<HostPath>,
    name: Box<OsStr>,
    kept: Option<Arc<[u8]>>,
}

impl PartialEq for HostFile {
    fn eq(&self, other: &Self) -> bool {
        self.dir == other.dir && self.name == other.name
    }
}

impl Eq for HostFile {}

impl HostFile {
    /// The file `name` in `dir`; `kept` is its content if it was read just now and is small.
    pub fn new(dir: &Arc<HostPath>, name: &OsStr, kept: Option<Arc<[u8]>>) -> Self {
        Self { dir: dir.clone(), name: name.into(), kept }
    }

    /// The content, if it was kept.
    pub fn kept(&self) -> Option<&[u8]> {
        self.kept.as_deref()
    }

    /// Its path.
    pub fn path(&self) -> HostPath {
        self.dir.join(&*self.name)
    }

    /// Opens it to read it.
    pub fn open(&self) -> Result<File, HostError> {
        let path = self.path();
        File::open(&path).map_err(|source| HostError::new("read the file", &path, source))
    }
}

/// Where the bytes of a file come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    /// A file of this disk.
    Host {
        /// The file.
        file: HostFile,
        /// Its size in bytes when it was looked at. If it has another when it is read, packing fails.
        size: u64,
        /// The digest of its content when it was looked at.
        digest: Digest,
    },
    /// A part of the archive inside a package's tarball.
    Archived {
        /// The archive.
        archive: Arc<PackageArchive>,
        /// Where the content starts in it.
        offset: u64,
        /// How many bytes it has.
        size: u64,
        /// The digest of these bytes.
        digest: Digest,
    },
    /// These bytes.
    Bytes(Vec<u8>),
}

impl Content {
    /// How many bytes.
    pub fn size(&self) -> u64 {
        match self {
            Self::Host { size, .. } | Self::Archived { size, .. } => *size,
            Self::Bytes(bytes) => bytes.len() as u64,
        }
    }

    /// The digest of the bytes.
    pub fn digest(&self) -> Digest {
        match self {
            Self::Host { digest, .. } | Self::Archived { digest, .. } => *digest,
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
    entries: Vec<(ImagePath, Entry)>,
}

impl FileTree {
    /// The tree of these entries. The same entry twice is no error.
    pub fn of(mut entries: Vec<(ImagePath, Entry)>) -> Result<Self, TreeError> {
        entries.sort_by(|(a, _), (b, _)| a.cmp(b));
        entries.dedup_by(|next, first| next == first);
        match entries.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(TreeError(pair[0].0.clone())),
            None => Ok(Self { entries }),
        }
    }

    /// Adds an entry. The same entry twice is no error.
    pub fn insert(&mut self, path: ImagePath, entry: Entry) -> Result<(), TreeError> {
        match self.place(&path) {
            Err(place) => self.entries.insert(place, (path, entry)),
            Ok(place) if self.entries[place].1 == entry => {}
            Ok(_) => return Err(TreeError(path)),
        }
        Ok(())
    }

    /// Adds all entries of `other`.
    pub fn extend(&mut self, other: Self) -> Result<(), TreeError> {
        let mut entries = std::mem::take(&mut self.entries);
        entries.extend(other.entries);
        *self = Self::of(entries)?;
        Ok(())
    }

    /// Leaves out the entries for which `keep` is false.
    pub fn retain(&mut self, keep: impl Fn(&ImagePath, &Entry) -> bool) {
        self.entries.retain(|(path, entry)| keep(path, entry));
    }

    /// The tree without the entries at these positions, which are in their order.
    pub fn without(&self, positions: &[usize]) -> Self {
        let mut positions = positions.iter().copied().peekable();
        let stays = |(position, _): &(usize, _)| positions.next_if_eq(position).is_none();
        Self { entries: self.entries.iter().enumerate().filter(stays).map(|(_, entry)| entry.clone()).collect() }
    }

    /// The entry at a path.
    pub fn get(&self, path: &ImagePath) -> Option<&Entry> {
        self.place(path).ok().map(|place| &self.entries[place].1)
    }

    /// The path and the entry at a position in their order.
    pub fn at(&self, position: usize) -> Option<(&ImagePath, &Entry)> {
        self.entries.get(position).map(|(path, entry)| (path, entry))
    }

    /// The entries in their order.
    pub fn iter(&self) -> impl Iterator<Item = (&ImagePath, &Entry)> {
        self.entries.iter().map(|(path, entry)| (path, entry))
    }

    /// The tree with other entries at the same paths: what `change` gives for the position and the entry; `None` leaves an
    /// entry as it is.
    pub fn map(&self, mut change: impl FnMut(usize, &Entry) -> Option<Entry>) -> Self {
        let changed = |(position, (path, entry)): (usize, &(ImagePath, Entry))| {
            (path.clone(), change(position, entry).unwrap_or_else(|| entry.clone()))
        };
        Self { entries: self.entries.iter().enumerate().map(changed).collect() }
    }

    /// Whether there is no entry.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The number of files, by whatever names.
    pub fn files(&self) -> usize {
        let is_file = |(_, entry): &&(ImagePath, Entry)| matches!(entry.kind, Kind::File(_) | Kind::HardLink(_));
        self.entries.iter().filter(is_file).count()
    }

    /// The bytes of the files' contents; a hard link has none of its own.
    pub fn content_bytes(&self) -> u64 {
        let sizes = self.entries.iter().map(|(_, entry)| match &entry.kind {
            Kind::File(content) => content.size(),
            _ => 0,
        });
        sizes.sum()
    }

    fn place(&self, path: &ImagePath) -> Result<usize, usize> {
        self.entries.binary_search_by(|(known, _)| known.cmp(path))
    }
}
