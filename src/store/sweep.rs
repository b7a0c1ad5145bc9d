//! What the store weighs, and making it lighter.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::{Store, StoreError};
use crate::path::HostPath;

/// What a store holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Usage {
    /// How many blobs: layers, layers of bases, configs.
    pub blobs: usize,
    /// Their bytes.
    pub blob_bytes: u64,
    /// The bytes of everything that can be learned again: listings, keys, tables of pieces, what is known of workspaces.
    pub fact_bytes: u64,
}

/// How much of a store stays.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// The most bytes; what was used last stays.
    pub max_bytes: u64,
    /// The longest time in seconds that something stays without being used.
    pub max_age: u64,
}

/// A store that nobody else uses: builds wait until it is dropped, as it waited for theirs.
pub struct Sweep {
    dir: HostPath,
    _lock: File,
}

/// A file of the store.
struct Kept {
    path: PathBuf,
    bytes: u64,
    used: SystemTime,
}

impl Store {
    /// What the store holds.
    pub fn usage(&self) -> Result<Usage, StoreError> {
        let sum = |dir: &str| -> Result<(usize, u64), StoreError> {
            let files = files(&self.dir.join(dir))?;
            Ok((files.len(), files.iter().map(|file| file.bytes).sum()))
        };
        let (blobs, blob_bytes) = sum("blobs/sha256")?;
        let fact_bytes = sum("facts")?.1 + sum("pieces")?.1;
        Ok(Usage { blobs, blob_bytes, fact_bytes })
    }

    /// Waits until no build uses the store in `dir`, and keeps others waiting.
    pub fn sweep(dir: &HostPath) -> Result<Sweep, StoreError> {
        Self::make(dir)?;
        let lock = Self::lock_file(dir)?;
        lock.lock().map_err(|source| StoreError::new("lock", dir, source))?;
        Ok(Sweep { dir: dir.clone(), _lock: lock })
    }
}

impl Sweep {
    /// Removes what is beyond `bounds`, what was left half written, and tables of blobs that are gone. `now` is the time in
    /// nanoseconds since 1970.
    pub fn collect(&self, bounds: Bounds, now: i64) -> Result<(), StoreError> {
        let now = UNIX_EPOCH + Duration::from_nanos(u64::try_from(now).unwrap_or(0));
        // Whoever wrote these is gone, for nobody else uses the store now.
        for file in files(&self.dir.join("tmp"))? {
            remove(&file)?;
        }
        let is_old =
            |file: &Kept| now.duration_since(file.used).is_ok_and(|age| age > Duration::from_secs(bounds.max_age));
        let mut blobs = files(&self.dir.join("blobs/sha256"))?;
        blobs.sort_by(|a, b| b.used.cmp(&a.used).then_with(|| a.path.cmp(&b.path)));
        let mut left = 0;
        for blob in &blobs {
            if is_old(blob) || left + blob.bytes > bounds.max_bytes {
                remove(blob)?;
            } else {
                left += blob.bytes;
            }
        }
        for table in files(&self.dir.join("pieces"))? {
            let blob = table.path.file_name().map(|hex| self.dir.join("blobs/sha256").join(hex));
            if blob.is_none_or(|blob| !blob.as_path().exists()) {
                remove(&table)?;
            }
        }
        for fact in files(&self.dir.join("facts"))?.iter().filter(|fact| is_old(fact)) {
            remove(fact)?;
        }
        Ok(())
    }
}

/// The files of a directory of the store.
fn files(dir: &HostPath) -> Result<Vec<Kept>, StoreError> {
    let error = |source: io::Error| StoreError::new("read", dir, source);
    let mut files = Vec::new();
    for entry in fs::read_dir(dir).map_err(error)? {
        let entry = entry.map_err(error)?;
        match entry.metadata() {
            Ok(metadata) if metadata.is_file() => files.push(kept(entry.path(), &metadata)),
            Ok(_) => {}
            // Another process has just renamed or removed it.
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => {}
            Err(source) => return Err(error(source)),
        }
    }
    Ok(files)
}

fn kept(path: PathBuf, metadata: &Metadata) -> Kept {
    Kept { path, bytes: metadata.len(), used: metadata.modified().unwrap_or(UNIX_EPOCH) }
}

fn remove(file: &Kept) -> Result<(), StoreError> {
    match fs::remove_file(&file.path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(StoreError::new("remove from", &HostPath::new(&file.path), error))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;
    use crate::layer::{FragmentKey, PackedPiece};
    use crate::manifest::Descriptor;

    const DAY: u64 = 86_400;

    fn age(path: &HostPath, days: u64) -> i64 {
        let now = SystemTime::now();
        File::open(path).unwrap().set_modified(now - Duration::from_secs(days * DAY)).unwrap();
        i64::try_from(now.duration_since(UNIX_EPOCH).unwrap().as_nanos()).unwrap()
    }

    #[test]
    fn what_is_old_or_too_much_goes_and_the_rest_stays_whole() {
        let dir = tempfile::tempdir().unwrap();
        let dir = HostPath::new(dir.path());
        let store = Store::open(&dir).unwrap();
        let piece = PackedPiece {
            fragment: FragmentKey::from_bytes([1; 32]),
            number: 0,
            offset: 0,
            length: 1,
            digest: Digest::of(b"x"),
        };
        let mut now = 0;
        for (content, days) in [("old", 40), ("recent", 2), ("newest", 1)] {
            let path = store.put(content.as_bytes()).unwrap();
            now = age(&path, days);
            store.put_pieces(&Digest::of(content.as_bytes()), &[piece]).unwrap();
        }
        fs::write(dir.join("tmp/left-by-a-killed-process"), "x").unwrap();
        drop(store);
        Store::sweep(&dir).unwrap().collect(Bounds { max_bytes: 8, max_age: 30 * DAY }, now).unwrap();
        let store = Store::open(&dir).unwrap();
        let has = |content: &str| store.blob(&Descriptor::of("x", content.as_bytes())).unwrap().is_some();
        assert_eq!([has("old"), has("recent"), has("newest")], [false, false, true]);
        assert_eq!(fs::read_dir(dir.join("pieces")).unwrap().count(), 1);
        assert_eq!(fs::read_dir(dir.join("tmp")).unwrap().count(), 0);
        let usage = store.usage().unwrap();
        assert_eq!((usage.blobs, usage.blob_bytes), (1, 6));
    }

    #[test]
    fn a_sweep_waits_for_builds() {
        let dir = tempfile::tempdir().unwrap();
        let dir = HostPath::new(dir.path());
        let store = Store::open(&dir).unwrap();
        let other = Store::open(&dir).unwrap();
        let lock = Store::lock_file(&dir).unwrap();
        assert!(lock.try_lock().is_err());
        drop((store, other));
        assert!(lock.try_lock().is_ok());
    }
}
