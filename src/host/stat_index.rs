use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use self::block::{Block, KnownFile};
use self::saved::SavedIndex;
use super::{Directory, HostError, Stamp, StampedEntry, stamp};
use crate::cancel::Cancellation;
use crate::digest::{Digest, Hasher};
use crate::path::HostPath;

mod block;
mod saved;

/// Files changed less than this before the run began are not remembered: a change within the same tick of the file
/// system's clock would leave the stamp as it is. Two seconds is the coarsest tick in use. git calls such files "racily
/// clean"; source: git's documentation, `racy-git`.
const RACY_NANOSECONDS: i64 = 2_000_000_000;

/// The most bytes that are read at once.
const LONGEST_READ: usize = 1 << 18;

/// The contents of files up to this size are kept: nine of ten files in a tree of packages.
const KEPT_FILE: usize = 4 << 10;
/// So many bytes of contents are kept at most.
const KEPT_IN_ALL: u64 = 24 << 20;

thread_local! {
    /// Into which files are read, one for each thread.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// So many files of a directory are read by one thread before another is asked to help.
const FILES_AT_ONCE: usize = 16;

/// Remembers the digests of files by their stamps, so that a file which did not change is not opened again; and, for
/// some, what was read out of them.
///
/// Files are known by their paths relative to `root`, so that an index serves a directory that was moved.
pub struct StatIndex {
    root: HostPath,
    saved: SavedIndex,
    /// What was read in this run.
    fresh: Mutex<Fresh>,
    /// When the run began, in nanoseconds since 1970.
    began: i64,
    files_read: AtomicU64,
    kept_bytes: AtomicU64,
    cancellation: Cancellation,
}

/// The content of a file.
#[derive(Clone, Debug)]
pub struct FileContent {
    /// Its digest.
    pub digest: Digest,
    /// The content itself, if the file was read just now and is small: whoever wants it next need not open it again.
    pub kept: Option<Arc<[u8]>>,
}

/// What was read in a run, by paths relative to the root.
#[derive(Default)]
struct Fresh {
    /// Whole directories, as blocks.
    directories: HashMap<Box<[u8]>, Vec<u8>>,
    /// Single files, by directory and name.
    files: BTreeMap<Box<[u8]>, BTreeMap<Box<[u8]>, (Stamp, Digest)>>,
    derived: HashMap<Box<[u8]>, Derived>,
}

/// What was read out of a file.
#[derive(Clone, Serialize, Deserialize)]
struct Derived {
    stamp: Stamp,
    /// The reader's name.
    reader: String,
    /// The value, in the format of `postcard`.
    value: Vec<u8>,
}

/// An index that cannot be written down.
#[derive(Debug, thiserror::Error)]
#[error("cannot write down what is known of the workspace's files: {0}")]
pub struct StatIndexError(String);

impl StatIndex {
    /// An index of the files below `root`, from the bytes that [`StatIndex::encode`] gave. Bytes that cannot be read, of
    /// whatever origin, give an empty index. `began` is the time now, in nanoseconds since 1970.
    pub fn decode(root: &HostPath, bytes: Option<Vec<u8>>, began: i64) -> Self {
        Self {
            root: root.clone(),
            saved: bytes.and_then(SavedIndex::decode).unwrap_or_default(),
            fresh: Mutex::default(),
            began,
            files_read: AtomicU64::new(0),
            kept_bytes: AtomicU64::new(0),
            cancellation: Cancellation::default(),
        }
    }

    /// The index, of which long reads end with an error once the run is to end.
    pub fn cancelled_by(self, cancellation: &Cancellation) -> Self {
        Self { cancellation: cancellation.clone(), ..self }
    }

    /// What is known now; `None` if that is what was known before.
    pub fn encode(self) -> Result<Option<Vec<u8>>, StatIndexError> {
        if self.files_read() == 0 {
            return Ok(None);
        }
        let fresh = self.fresh.into_inner().unwrap_or_else(PoisonError::into_inner);
        let (mut directories, mut derived) = self.saved.kept();
        directories.extend(fresh.directories.iter().map(|(dir, block)| (dir.as_ref(), block.as_slice())));
        derived.extend(fresh.derived.iter().map(|(path, derived)| (path.as_ref(), derived)));
        let mut merged: Vec<(&[u8], Vec<u8>)> = Vec::new();
        for (dir, files) in &fresh.files {
            let known = directories.get(dir.as_ref()).copied().unwrap_or_default();
            merged.push((dir, with_files(Block(known), files, |stamp| is_racy(stamp, self.began))));
        }
        directories.extend(merged.iter().map(|(dir, block)| (*dir, block.as_slice())));
        derived.retain(|_, derived| !is_racy(&derived.stamp, self.began));
        saved::encode(&directories, &derived).map(Some).map_err(StatIndexError)
    }

    /// The directory whose files it knows.
    pub fn root(&self) -> &HostPath {
        &self.root
    }

    /// How many files were opened to read their contents.
    pub fn files_read(&self) -> u64 {
        self.files_read.load(Ordering::Relaxed)
    }

    /// The contents of `entries`, which are entries of `directory` in the order of their names; `None` for what is no
    /// regular file. Only files whose stamps are not the ones that are known are opened, on all cores.
    pub fn contents(
        &self,
        directory: &Directory,
        entries: &[StampedEntry],
    ) -> Result<Vec<Option<FileContent>>, HostError> {
        let key = self.key(directory.path());
        let mut known = self.saved.files(key).peekable();
        let mut contents = Vec::with_capacity(entries.len());
        let mut unknown = Vec::new();
        for (position, entry) in entries.iter().enumerate() {
            let name = entry.name.as_bytes();
            while known.next_if(|file| file.name < name).is_some() {}
            let same = known.next_if(|file| file.name == name).filter(|file| file.stamp == entry.stamp);
            contents.push(same.map(|file| FileContent { digest: file.digest, kept: None }));
            if same.is_none() && entry.stamp.is_file() {
                unknown.push(position);
            }
        }
        if unknown.is_empty() {
            return Ok(contents);
        }
        let read = |position: &usize| {
            let StampedEntry { name, stamp } = &entries[*position];
            let content = match self.read_before(key, name, stamp) {
                Some(digest) => FileContent { digest, kept: None },
                None => self.hash(directory.open_file(name)?, || directory.path().join(name), stamp.size)?,
            };
            Ok((*position, content))
        };
        let read: Vec<(usize, FileContent)> =
            unknown.par_iter().with_min_len(FILES_AT_ONCE).map(read).collect::<Result<_, HostError>>()?;
        for (position, content) in read {
            contents[position] = Some(content);
        }
        let mut block = Vec::new();
        for (StampedEntry { name, stamp }, content) in entries.iter().zip(&contents) {
            if let Some(FileContent { digest, .. }) = content.as_ref().filter(|_| !is_racy(stamp, self.began)) {
                KnownFile { name: name.as_bytes(), stamp: *stamp, digest: *digest }.append_to(&mut block);
            }
        }
        self.fresh().directories.insert(key.into(), block);
        Ok(contents)
    }

    /// The digest of a file's content. The file is opened only if its stamp is not the one that is known.
    pub fn digest(&self, path: &HostPath, stamp: &Stamp) -> Result<Digest, HostError> {
        let (dir, name) = self.place(path);
        let known = self.saved.files(dir).find(|file| file.name == name).filter(|file| file.stamp == *stamp);
        let known = known.map(|file| file.digest).or_else(|| self.read_before(dir, OsStr::from_bytes(name), stamp));
        if let Some(digest) = known {
            return Ok(digest);
        }
        let file = File::open(path).map_err(|source| HostError::new("read the file", path, source))?;
        let digest = self.hash(file, || path.clone(), stamp.size)?.digest;
        self.remember(path, stamp, digest);
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
        if let Some(known) = self.saved.derived(key)
            && known.stamp == stamp
            && known.reader == reader
            && let Ok(value) = postcard::from_bytes(&known.value)
        {
            return Ok(Some(value));
        }
        if let Some(known) = self.fresh().derived.get(key).filter(|it| it.stamp == stamp && it.reader == reader)
            && let Ok(value) = postcard::from_bytes(&known.value)
        {
            return Ok(Some(value));
        }
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let Some(bytes) = super::read_if_present(path)? else { return Ok(None) };
        let value = read(&bytes);
        if let Ok(encoded) = postcard::to_allocvec(&value) {
            let derived = Derived { stamp, reader: reader.to_owned(), value: encoded };
            self.fresh().derived.insert(key.into(), derived);
            self.remember(path, &stamp, Digest::of(&bytes));
        }
        Ok(Some(value))
    }

    /// The digest of a file that was read in this run.
    fn read_before(&self, dir: &[u8], name: &OsStr, stamp: &Stamp) -> Option<Digest> {
        let fresh = self.fresh();
        let (known, digest) = fresh.files.get(dir)?.get(name.as_bytes())?;
        (known == stamp).then_some(*digest)
    }

    fn remember(&self, path: &HostPath, stamp: &Stamp, digest: Digest) {
        let (dir, name) = self.place(path);
        self.fresh().files.entry(dir.into()).or_default().insert(name.into(), (*stamp, digest));
    }

    /// Reads a file piece by piece, whatever its size. `path` is for errors.
    fn hash(&self, mut file: File, path: impl Fn() -> HostPath, size: u64) -> Result<FileContent, HostError> {
        self.files_read.fetch_add(1, Ordering::Relaxed);
        let error = |source| HostError::new("read the file", &path(), source);
        let mut hasher = Hasher::default();
        let mut total = 0;
        BUFFER.with_borrow_mut(|buffer| {
            buffer.resize(LONGEST_READ, 0);
            loop {
                self.cancellation.check().map_err(|cancelled| error(std::io::Error::other(cancelled)))?;
                match file.read(buffer) {
                    Ok(count) => {
                        hasher.update(&buffer[..count]);
                        total += count as u64;
                        // Some file systems read less than was asked for before the end, too.
                        if count == 0 || (count < buffer.len() && total >= size) {
                            let kept = (total == size && count as u64 == total).then(|| self.keep(&buffer[..count]));
                            return Ok(FileContent { digest: hasher.finish(), kept: kept.flatten() });
                        }
                    }
                    Err(source) if source.kind() == std::io::ErrorKind::Interrupted => {}
                    Err(source) => return Err(error(source)),
                }
            }
        })
    }

    /// Keeps the content of a small file, as long as there is room.
    fn keep(&self, content: &[u8]) -> Option<Arc<[u8]>> {
        let fits = content.len() <= KEPT_FILE
            && self.kept_bytes.fetch_add(content.len() as u64, Ordering::Relaxed) < KEPT_IN_ALL;
        fits.then(|| Arc::from(content))
    }

    /// The path relative to the root, as bytes; the whole path of a file that lies elsewhere.
    fn key<'p>(&self, path: &'p HostPath) -> &'p [u8] {
        let path = path.as_path().as_os_str().as_bytes();
        match path.strip_prefix(self.root.as_path().as_os_str().as_bytes()) {
            Some([]) => &[],
            Some([b'/', below @ ..]) => below,
            _ => path,
        }
    }

    /// The directory of a file, as [`StatIndex::key`] gives it, and its name.
    fn place<'p>(&self, path: &'p HostPath) -> (&'p [u8], &'p [u8]) {
        let key = self.key(path);
        match key.iter().rposition(|&byte| byte == b'/') {
            Some(slash) => (&key[..slash], &key[slash + 1..]),
            None => (b"", key),
        }
    }

    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a file changed so shortly before the run that a later change might leave its stamp as it is.
fn is_racy(stamp: &Stamp, began: i64) -> bool {
    let racy = began.saturating_sub(RACY_NANOSECONDS);
    stamp.modified >= racy || stamp.changed >= racy
}

/// The block with these files in it, whatever it knew of them; racy ones are left out.
fn with_files(
    known: Block<'_>,
    files: &BTreeMap<Box<[u8]>, (Stamp, Digest)>,
    is_racy: impl Fn(&Stamp) -> bool,
) -> Vec<u8> {
    let mut by_name: BTreeMap<&[u8], (Stamp, Digest)> =
        known.map(|file| (file.name, (file.stamp, file.digest))).collect();
    by_name.extend(files.iter().map(|(name, known)| (name.as_ref(), *known)));
    let mut block = Vec::new();
    for (name, (stamp, digest)) in by_name.into_iter().filter(|(_, (stamp, _))| !is_racy(stamp)) {
        KnownFile { name, stamp, digest }.append_to(&mut block);
    }
    block
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const LATER: i64 = i64::MAX;

    fn reopened(index: StatIndex, root: &HostPath) -> StatIndex {
        let bytes = index.encode().unwrap();
        StatIndex::decode(root, bytes, LATER)
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
        for bytes in [&b"{"[..], b"\x03\0\0\0\x01\0\0\0\xff\xff\xff\xff", b""] {
            let index = StatIndex::decode(&HostPath::new("/"), Some(bytes.to_vec()), LATER);
            assert!(index.saved.is_empty());
        }
    }
}
