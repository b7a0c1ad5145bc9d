use std::collections::HashMap;
use std::fs::File;
use std::io::Read as _;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::{HostError, Stamp, stamp};
use crate::cancel::Cancellation;
use crate::digest::{Digest, Hasher};
use crate::path::HostPath;

/// Files changed less than this before the run began are not remembered: a change within the same tick of the file
/// system's clock would leave the stamp as it is. Two seconds is the coarsest tick in use. git calls such files "racily
/// clean"; source: git's documentation, `racy-git`.
const RACY_NANOSECONDS: i64 = 2_000_000_000;

/// The most bytes that are read at once.
const LONGEST_READ: usize = 1 << 18;

/// The format's version. An index of another is forgotten.
const VERSION: u32 = 2;

/// Remembers the digests of files by their stamps, so that a file which did not change is not opened again; and, for
/// some, what was read out of them.
///
/// Files are known by their paths relative to `root`, so that an index serves a directory that was moved.
pub struct StatIndex {
    root: HostPath,
    known: HashMap<Vec<u8>, Known>,
    /// What was read in this run.
    fresh: Mutex<HashMap<Vec<u8>, Known>>,
    /// How many of the known files were asked for in this run.
    used: AtomicU64,
    /// When the run began, in nanoseconds since 1970.
    began: i64,
    files_read: AtomicU64,
    cancellation: Cancellation,
}

#[derive(Clone, Serialize, Deserialize)]
struct Known {
    stamp: Stamp,
    digest: Digest,
    /// What was read out of the file, by the reader's name, as JSON.
    derived: Option<(String, String)>,
}

/// An index that cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("cannot write down what is known of the workspace's files: {0}")]
pub struct StatIndexError(String);

impl StatIndex {
    /// An index of the files below `root`, from the bytes that [`StatIndex::encode`] gave. Bytes that cannot be read, of
    /// whatever origin, give an empty index. `began` is the time now, in nanoseconds since 1970.
    pub fn decode(root: &HostPath, bytes: Option<&[u8]>, began: i64) -> Self {
        let known = bytes.and_then(|bytes| postcard::from_bytes::<(u32, HashMap<Vec<u8>, Known>)>(bytes).ok());
        let known = known.filter(|(version, _)| *version == VERSION).map(|(_, known)| known).unwrap_or_default();
        Self {
            root: root.clone(),
            known,
            fresh: Mutex::default(),
            used: AtomicU64::new(0),
            began,
            files_read: AtomicU64::new(0),
            cancellation: Cancellation::default(),
        }
    }

    /// The index, of which long reads end with an error once the run is to end.
    pub fn cancelled_by(self, cancellation: &Cancellation) -> Self {
        Self { cancellation: cancellation.clone(), ..self }
    }

    /// What is known now; `None` if that is what was known before. Files that nobody asked for this time stay known,
    /// unless they have become most of the index.
    pub fn encode(self) -> Result<Option<Vec<u8>>, StatIndexError> {
        if self.files_read.into_inner() == 0 {
            return Ok(None);
        }
        let mut all = self.fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        let used = self.used.into_inner() + all.len() as u64;
        if (self.known.len() as u64) < 4 * used + 1000 {
            for (path, known) in self.known {
                all.entry(path).or_insert(known);
            }
        }
        let racy = self.began.saturating_sub(RACY_NANOSECONDS);
        all.retain(|_, known| known.stamp.modified < racy && known.stamp.changed < racy);
        postcard::to_allocvec(&(VERSION, all)).map(Some).map_err(|error| StatIndexError(error.to_string()))
    }

    /// The directory whose files it knows.
    pub fn root(&self) -> &HostPath {
        &self.root
    }

    /// How many files were opened to read their contents.
    pub fn files_read(&self) -> u64 {
        self.files_read.load(Ordering::Relaxed)
    }

    /// The digest of a file's content. The file is opened only if its stamp is not the one that is known.
    pub fn digest(&self, path: &HostPath, stamp: &Stamp) -> Result<Digest, HostError> {
        let key = self.key(path);
        if let Some(known) = self.known.get(key).filter(|known| known.stamp == *stamp) {
            self.used.fetch_add(1, Ordering::Relaxed);
            return Ok(known.digest);
        }
        if let Some(known) = self.fresh().get(key).filter(|known| known.stamp == *stamp) {
            return Ok(known.digest);
        }
        let digest = self.hash(path, stamp.size)?;
        self.fresh().insert(key.to_vec(), Known { stamp: *stamp, digest, derived: None });
        Ok(digest)
    }

    /// What `read` makes of a file's content; `None` where there is no file. It is remembered under the name of the
    /// reader, which changes when the reader does.
    pub fn derived<T: Serialize + DeserializeOwned>(
        &self,
        path: &HostPath,
        reader: &str,
        read: impl FnOnce(&[u8]) -> T,
    ) -> Result<Option<T>, HostError> {
        let Some(mut stamp) = stamp(path)? else { return Ok(None) };
        if stamp.is_symlink() {
            // The content is that of the file behind the link, which has a stamp of its own.
            let target = super::canonical(path)?;
            match super::stamp(&target)? {
                Some(behind) => stamp = behind,
                None => return Ok(None),
            }
        }
        let key = self.key(path);
        if let Some(known) = self.known.get(key).filter(|known| known.stamp == stamp)
            && let Some((name, json)) = &known.derived
            && name == reader
            && let Ok(value) = serde_json::from_str(json)
        {
            self.used.fetch_add(1, Ordering::Relaxed);
            return Ok(Some(value));
        }
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let Some(bytes) = super::read_if_present(path)? else { return Ok(None) };
        let value = read(&bytes);
        if let Ok(json) = serde_json::to_string(&value) {
            let derived = Some((reader.to_owned(), json));
            self.fresh().insert(key.to_vec(), Known { stamp, digest: Digest::of(&bytes), derived });
        }
        Ok(Some(value))
    }

    /// Reads a file piece by piece, whatever its size.
    fn hash(&self, path: &HostPath, size: u64) -> Result<Digest, HostError> {
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let error = |source| HostError::new("read the file", path, source);
        let mut file = File::open(path).map_err(error)?;
        let mut hasher = Hasher::default();
        // Most files are small; a byte more than there is shows their end in one read.
        let mut buffer = vec![0; usize::try_from(size).unwrap_or(LONGEST_READ).saturating_add(1).min(LONGEST_READ)];
        let mut total = 0;
        loop {
            self.cancellation.check().map_err(|cancelled| error(std::io::Error::other(cancelled)))?;
            match file.read(&mut buffer) {
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    total += count as u64;
                    // Some file systems read less than was asked for before the end, too.
                    if count == 0 || (count < buffer.len() && total >= size) {
                        return Ok(hasher.finish());
                    }
                }
                Err(source) if source.kind() == std::io::ErrorKind::Interrupted => {}
                Err(source) => return Err(error(source)),
            }
        }
    }

    /// The path relative to the root, as bytes; the whole path of a file that lies elsewhere.
    fn key<'p>(&self, path: &'p HostPath) -> &'p [u8] {
        let path = path.as_path().as_os_str().as_bytes();
        let below = path.strip_prefix(self.root.as_path().as_os_str().as_bytes());
        below.and_then(|below| below.strip_prefix(b"/")).unwrap_or(path)
    }

    fn fresh(&self) -> MutexGuard<'_, HashMap<Vec<u8>, Known>> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LATER: i64 = i64::MAX;

    fn reopened(index: StatIndex, root: &HostPath) -> StatIndex {
        let bytes = index.encode().unwrap();
        StatIndex::decode(root, bytes.as_deref(), LATER)
    }

    #[test]
    fn an_unchanged_file_is_not_opened_again() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostPath::new(dir.path());
        let file = root.join("a.js");
        fs::write(&file, "one").unwrap();
        let look = |index: &StatIndex| index.digest(&file, &stamp(&file).unwrap().unwrap()).unwrap();
        let index = StatIndex::decode(&root, None, LATER);
        assert_eq!(look(&index), Digest::of(b"one"));
        assert_eq!(index.files_read(), 1);
        let index = reopened(index, &root);
        assert_eq!(look(&index), Digest::of(b"one"));
        assert_eq!(index.files_read(), 0);
        fs::write(&file, "two").unwrap();
        assert_eq!(look(&index), Digest::of(b"two"), "the same size, another time");
    }

    #[test]
    fn a_file_changed_in_the_same_tick_is_not_remembered() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostPath::new(dir.path());
        let file = root.join("a.js");
        fs::write(&file, "one").unwrap();
        let stamp = stamp(&file).unwrap().unwrap();
        let index = StatIndex::decode(&root, None, stamp.changed + RACY_NANOSECONDS / 2);
        index.digest(&file, &stamp).unwrap();
        let index = reopened(index, &root);
        index.digest(&file, &stamp).unwrap();
        assert_eq!(index.files_read(), 1, "it was read again");
    }

    #[test]
    fn what_was_read_out_of_a_file_is_remembered_for_its_reader() {
        let dir = tempfile::tempdir().unwrap();
        let root = HostPath::new(dir.path());
        let file = root.join("package.json");
        fs::write(&file, "12345").unwrap();
        let length = |index: &StatIndex, reader: &str| index.derived(&file, reader, <[u8]>::len).unwrap();
        let index = StatIndex::decode(&root, None, LATER);
        assert_eq!(length(&index, "length 1"), Some(5));
        let index = reopened(index, &root);
        assert_eq!(length(&index, "length 1"), Some(5));
        assert_eq!(index.files_read(), 0);
        assert_eq!(length(&index, "length 2"), Some(5));
        assert_eq!(index.files_read(), 1, "another reader reads for itself");
        fs::remove_file(&file).unwrap();
        assert_eq!(length(&index, "length 1"), None);
    }

    #[test]
    fn damaged_bytes_give_an_empty_index() {
        for bytes in [&b"{"[..], b"\x02", b""] {
            let index = StatIndex::decode(&HostPath::new("/"), Some(bytes), LATER);
            assert!(index.known.is_empty());
        }
    }
}
