//! Content-addressed blobs and small remembered documents in one directory on this disk.
//!
//! ```text
//! blobs/sha256/HEX     a blob, named by its digest
//! pieces/HEX           which pieces of fragments a layer's blob holds
//! facts/NAME           what was learned about a blob or a workspace, and can be learned again; its digest at the end
//! tmp/                 files that are being written
//! lock                 held shared by whoever uses the store, alone by whoever sweeps it
//! ```
//!
//! A blob appears under its name whole or not at all: it is written in `tmp` and renamed. Nothing is synchronised to the
//! disk (no `fsync`), for everything here can be made again; so after a power cut a blob may be shorter than its
//! descriptor says or hold zeros, which is why [`Store::blob`] looks at the size, and [`Store::intact_blob`] at every
//! byte, before it gives one out.

mod pieces;
mod sweep;

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::sync::{Arc, Mutex, PoisonError};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW};
use tempfile::{NamedTempFile, SpooledTempFile};

pub use pieces::KnownPieces;
pub use sweep::{Bounds, Sweep, Usage};

use crate::digest::{Digest, Hasher};
use crate::manifest::Descriptor;
use crate::path::HostPath;

/// How long the digest at the end of a fact is.
const DIGEST_BYTES: usize = 32;

/// A store in a directory of this disk. Several processes may use one at the same time.
#[derive(Clone, Debug)]
pub struct Store {
    dir: HostPath,
    /// Held as long as anybody has the store: nothing is swept from under a build.
    _lock: Arc<File>,
    /// The blobs that were written or read whole since the store was opened.
    verified: Arc<Mutex<BTreeSet<Digest>>>,
}

/// Why the store cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// A call of the file system failed.
    #[error("cannot {action} the cache: {source}: `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: HostPath,
        /// What the system answered.
        source: io::Error,
    },
    /// What was written is not what was announced.
    #[error("the content has the digest `{actual}`, not the announced `{expected}`")]
    Digest {
        /// What was announced.
        expected: Digest,
        /// What came.
        actual: Digest,
    },
    /// What was there when the run began is gone, though nothing of pirogue takes it away meanwhile.
    #[error("something else than pirogue took away what the cache had remembered: `{0}`")]
    Lost(String),
}

impl StoreError {
    fn new(action: &'static str, path: &HostPath, source: io::Error) -> Self {
        Self::Io { action, path: path.clone(), source }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    Some("free some space, or set PIROGUE_CACHE_DIR to a directory on another disk".into())
                }
                io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
                | io::ErrorKind::AlreadyExists
                | io::ErrorKind::NotADirectory => {
                    Some("set PIROGUE_CACHE_DIR to a directory that you may write".into())
                }
                _ => None,
            },
            Self::Lost(_) => Some("run it again: what is not in the cache is made anew".into()),
            Self::Digest { .. } => None,
        }
    }
}

impl Store {
    /// Opens the store in `dir`, which is made if it is not there.
    pub fn open(dir: &HostPath) -> Result<Self, StoreError> {
        Self::make(dir)?;
        let lock = Self::lock_file(dir)?;
        lock.lock_shared().map_err(|source| StoreError::new("lock", dir, source))?;
        Ok(Self { dir: dir.clone(), _lock: Arc::new(lock), verified: Arc::default() })
    }

    fn make(dir: &HostPath) -> Result<(), StoreError> {
        for part in ["blobs/sha256", "pieces", "facts", "tmp"] {
            let part = dir.join(part);
            fs::create_dir_all(&part).map_err(|source| StoreError::new("open", &part, source))?;
        }
        Ok(())
    }

    fn lock_file(dir: &HostPath) -> Result<File, StoreError> {
        let path = dir.join("lock");
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(|source| StoreError::new("lock", &path, source))
    }

    /// The file that holds a blob; `None` if the store does not have it, or has only a part of it.
    pub fn blob(&self, descriptor: &Descriptor) -> Result<Option<HostPath>, StoreError> {
        let path = self.blob_path(&descriptor.digest);
        match fs::metadata(&path) {
            Ok(metadata) if metadata.len() != descriptor.size => Ok(None),
            Ok(_) => {
                // What is used now is swept last. Where the time cannot be set, the blob only seems unused.
                let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
                let times = Timestamps { last_access: now, last_modification: now };
                let _ = rustix::fs::utimensat(CWD, path.as_path(), &times, AtFlags::empty());
                Ok(Some(path))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::new("read", &path, source)),
        }
    }

    /// The same, for a blob whose bytes are what its digest says. They are looked at once in the life of this store. A
    /// damaged blob counts as absent, so that it is made again, which replaces it.
    pub fn intact_blob(&self, descriptor: &Descriptor) -> Result<Option<HostPath>, StoreError> {
        let Some(path) = self.blob(descriptor)? else { return Ok(None) };
        if self.verified.lock().unwrap_or_else(PoisonError::into_inner).contains(&descriptor.digest) {
            return Ok(Some(path));
        }
        let mut hasher = Hasher::default();
        match File::open(&path).and_then(|mut file| io::copy(&mut file, &mut hasher)) {
            Ok(_) if hasher.finish() == descriptor.digest => {
                self.is_verified(descriptor.digest);
                Ok(Some(path))
            }
            Ok(_) => Ok(None),
            Err(source) if source.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::new("read", &path, source)),
        }
    }

    fn is_verified(&self, digest: Digest) {
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(digest);
    }

    /// Starts a blob. Dropped without [`NewBlob::keep`], it leaves nothing behind.
    pub fn new_blob(&self) -> Result<NewBlob, StoreError> {
        let tmp = self.dir.join("tmp");
        let file = NamedTempFile::new_in(&tmp).map_err(|source| StoreError::new("write to", &tmp, source))?;
        Ok(NewBlob { store: self.clone(), file, hasher: Some(Hasher::default()) })
    }

    /// Starts a blob whose writer computes the digest itself, of every byte it writes: it is not computed a second time.
    pub fn new_blob_of_known_digest(&self) -> Result<NewBlob, StoreError> {
        Ok(NewBlob { hasher: None, ..self.new_blob()? })
    }

    /// A nameless file for work in progress, which is in memory until it has more than `in_memory` bytes.
    pub fn scratch(&self, in_memory: usize) -> SpooledTempFile {
        SpooledTempFile::new_in(in_memory, self.dir.join("tmp"))
    }

    /// The error of a blob whose writing failed.
    pub fn write_error(&self, source: io::Error) -> StoreError {
        StoreError::new("write to", &self.dir, source)
    }

    /// The error of a file of the store that cannot be read.
    pub fn read_error(&self, path: &HostPath, source: io::Error) -> StoreError {
        StoreError::new("read", path, source)
    }

    /// Stores `bytes`.
    pub fn put(&self, bytes: &[u8]) -> Result<HostPath, StoreError> {
        let mut blob = self.new_blob()?;
        blob.write_all(bytes).map_err(|source| StoreError::new("write to", &self.dir, source))?;
        blob.keep(&Digest::of(bytes))
    }

    /// A remembered document; `None` if there is none, or if its bytes are not those that were remembered.
    pub fn fact(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let path = self.dir.join("facts").join(name);
        match fs::read(&path) {
            Ok(mut bytes) => {
                let Some(start) = bytes.len().checked_sub(DIGEST_BYTES) else { return Ok(None) };
                let digest = bytes.split_off(start);
                Ok((Digest::of(&bytes).as_bytes()[..] == digest[..]).then_some(bytes))
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(source) => Err(StoreError::new("read", &path, source)),
        }
    }

    /// Remembers a document.
    pub fn put_fact(&self, name: &str, bytes: &[u8]) -> Result<(), StoreError> {
        let digest = Digest::of(bytes);
        self.write_named(&self.dir.join("facts").join(name), &[bytes, digest.as_bytes()])
    }

    /// The directory for files that no run needs after it has ended.
    pub fn scratch_dir(&self) -> HostPath {
        self.dir.join("tmp")
    }

    /// Removes a blob that turned out to be of no use, and a fact.
    pub fn forget(&self, digest: &Digest, fact: &str) -> Result<(), StoreError> {
        for path in [self.blob_path(digest), self.dir.join("facts").join(fact)] {
            match fs::remove_file(&path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(StoreError::new("remove", &path, source));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The file in which a blob lies if the store has it.
    pub fn blob_path(&self, digest: &Digest) -> HostPath {
        self.dir.join("blobs/sha256").join(digest.hex())
    }
}

/// Gives a file its name. Blobs may be linked into layouts, so everyone may read them.
fn persist(file: NamedTempFile, path: &HostPath) -> Result<(), StoreError> {
    let permissions = fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(permissions).map_err(|source| StoreError::new("write to", path, source))?;
    match file.persist(path) {
        Ok(_) => Ok(()),
        Err(error) => Err(StoreError::new("write to", path, error.error)),
    }
}

/// A blob that is being written. Hashes what passes, unless its writer does.
pub struct NewBlob {
    store: Store,
    file: NamedTempFile,
    hasher: Option<Hasher>,
}

impl NewBlob {
    /// Ends the blob and gives it its name, if its digest is the one `expected`, or if that is what its writer computed.
    pub fn keep(self, expected: &Digest) -> Result<HostPath, StoreError> {
        let actual = self.hasher.map_or(*expected, Hasher::finish);
        if actual != *expected {
            return Err(StoreError::Digest { expected: *expected, actual });
        }
        let path = self.store.blob_path(expected);
        persist(self.file, &path)?;
        self.store.is_verified(*expected);
        Ok(path)
    }

    /// A second handle of the file, to read what was written.
    pub fn reopen(&self) -> Result<File, StoreError> {
        self.file.reopen().map_err(|source| StoreError::new("read", &self.store.dir, source))
    }
}

impl Write for NewBlob {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Through the file itself: the wrapper would put the name of a temporary file into every error.
        let written = self.file.as_file_mut().write(bytes)?;
        if let Some(hasher) = &mut self.hasher {
            hasher.update(&bytes[..written]);
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn blobs_appear_whole_or_not_at_all() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&HostPath::new(dir.path())).unwrap();
        let descriptor = Descriptor::of("text/plain", b"content");
        assert_eq!(store.blob(&descriptor).unwrap(), None);

        let mut dropped = store.new_blob().unwrap();
        dropped.write_all(b"content").unwrap();
        drop(dropped);
        assert_eq!(store.blob(&descriptor).unwrap(), None);
        assert_eq!(fs::read_dir(dir.path().join("tmp")).unwrap().count(), 0);

        let mut wrong = store.new_blob().unwrap();
        wrong.write_all(b"other").unwrap();
        assert!(matches!(wrong.keep(&descriptor.digest), Err(StoreError::Digest { .. })));
        assert_eq!(store.blob(&descriptor).unwrap(), None);

        store.put(b"content").unwrap();
        let path = store.blob(&descriptor).unwrap().unwrap();
        fs::write(&path, b"cont").unwrap();
        assert_eq!(store.blob(&descriptor).unwrap(), None, "a blob that lost its end counts as absent");
    }

    #[test]
    fn a_damaged_blob_counts_as_absent_until_it_is_put_again() {
        let dir = tempfile::tempdir().unwrap();
        let open = || Store::open(&HostPath::new(dir.path())).unwrap();
        let descriptor = Descriptor::of("text/plain", b"content");
        let path = open().put(b"content").unwrap();
        assert_eq!(open().intact_blob(&descriptor).unwrap().as_ref(), Some(&path));
        fs::write(&path, b"CONTENT").unwrap();
        assert_eq!(open().intact_blob(&descriptor).unwrap(), None);
        open().put(b"content").unwrap();
        assert_eq!(open().intact_blob(&descriptor).unwrap().as_ref(), Some(&path));
    }

    #[test]
    fn facts_are_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&HostPath::new(dir.path())).unwrap();
        assert_eq!(store.fact("a").unwrap(), None);
        store.put_fact("a", b"1").unwrap();
        store.put_fact("a", b"2").unwrap();
        assert_eq!(store.fact("a").unwrap().as_deref(), Some(&b"2"[..]));
        let path = dir.path().join("facts/a");
        let bytes = fs::read(&path).unwrap();
        for damaged in (0..bytes.len()).map(|at| [&bytes[..at], &[bytes[at] ^ 1], &bytes[at + 1..]].concat()) {
            fs::write(&path, damaged).unwrap();
            assert_eq!(store.fact("a").unwrap(), None, "a bit is another");
        }
        fs::write(&path, b"").unwrap();
        assert_eq!(store.fact("a").unwrap(), None);
    }
}
