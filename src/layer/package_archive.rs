//! Where the contents of packages come from that nobody installed: the archive inside a tarball, taken out when the first
//! content is packed.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use super::PackError;
use super::package_tarball::archive_inside;
use crate::digest::Digest;
use crate::host::HostError;
use crate::path::HostPath;

/// How much is inflated at a time.
const STEP: usize = 256 << 10;

/// An archive of no more than this many bytes may be held in memory.
const WHOLE: usize = 4 << 20;

thread_local! {
    /// A tarball and the archive inside, one after the other, so that no memory is asked for twice.
    static BUFFERS: RefCell<(Vec<u8>, Vec<u8>)> = const { RefCell::new((Vec::new(), Vec::new())) };
}

/// So many bytes of archives are kept before anybody has asked for them.
const KEPT_IN_ALL: u64 = 256 << 20;

/// A file without a name that holds the archives of a run, one behind the other, and what was made of them ahead of time.
/// It is made when the first one needs it, and gone when the run ends, however that is.
pub struct Scratch {
    dir: HostPath,
    file: Mutex<Option<(Arc<File>, u64)>>,
    /// Where archives start that were kept while their tarballs were read, by the tarballs' digests.
    kept: Mutex<BTreeMap<Digest, (Arc<File>, u64)>>,
}

impl fmt::Debug for Scratch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scratch").field("dir", &self.dir).finish_non_exhaustive()
    }
}

impl Scratch {
    /// A scratch file that will lie in `dir`.
    pub fn new(dir: &HostPath) -> Arc<Self> {
        Arc::new(Self { dir: dir.clone(), file: Mutex::default(), kept: Mutex::default() })
    }

    /// Keeps the archive inside the tarball with this digest, which was read just now, so that it need not be taken out
    /// again; not if that would be too much to keep on the off chance.
    pub fn keep(&self, tarball: Digest, archive: &SmallArchive) -> Result<(), PackError> {
        let Some(bytes) = archive.whole() else { return Ok(()) };
        let (file, start) = self.reserve(bytes.len() as u64)?;
        if start + bytes.len() as u64 <= KEPT_IN_ALL {
            file.write_all_at(bytes, start).map_err(|error| self.failed(error))?;
            self.kept.lock().unwrap_or_else(PoisonError::into_inner).insert(tarball, (file, start));
        }
        Ok(())
    }

    /// Puts bytes behind what is there. Gives the file, and where they start in it.
    pub fn put(&self, bytes: &[u8]) -> Result<(Arc<File>, u64), PackError> {
        let (file, start) = self.reserve(bytes.len() as u64)?;
        file.write_all_at(bytes, start).map_err(|error| self.failed(error))?;
        Ok((file, start))
    }

    fn kept(&self, tarball: &Digest) -> Option<(Arc<File>, u64)> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).get(tarball).cloned()
    }

    /// Room for so many bytes: the file, and where they start.
    fn reserve(&self, bytes: u64) -> Result<(Arc<File>, u64), PackError> {
        let mut slot = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let (file, end) = match slot.take() {
            Some(known) => known,
            None => (Arc::new(tempfile::tempfile_in(self.dir.as_path()).map_err(|error| self.failed(error))?), 0),
        };
        *slot = Some((file.clone(), end + bytes));
        Ok((file, end))
    }

    fn failed(&self, source: io::Error) -> PackError {
        PackError::Read(HostError::new("write to", &self.dir, source))
    }
}

/// Takes in an archive while its tarball is read; too large a one it lets pass.
#[derive(Default)]
pub struct SmallArchive {
    bytes: Vec<u8>,
    is_too_large: bool,
}

impl SmallArchive {
    /// All of it, if it is small.
    fn whole(&self) -> Option<&[u8]> {
        (!self.is_too_large).then_some(&self.bytes)
    }
}

impl Write for SmallArchive {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.is_too_large |= self.bytes.len() + bytes.len() > WHOLE;
        match self.is_too_large {
            true => self.bytes = Vec::new(),
            false => self.bytes.extend_from_slice(bytes),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The archive inside a package's tarball, of which [`PackageTarball`](super::PackageTarball) says what lies where.
pub struct PackageArchive {
    tarball: HostPath,
    digest: Digest,
    bytes: u64,
    scratch: Arc<Scratch>,
    /// The scratch file and where the archive starts in it, once it was taken out.
    inflated: Mutex<Option<(Arc<File>, u64)>>,
}

impl fmt::Debug for PackageArchive {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PackageArchive").field("tarball", &self.tarball).finish_non_exhaustive()
    }
}

impl PartialEq for PackageArchive {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest
    }
}

impl Eq for PackageArchive {}

impl PackageArchive {
    /// The archive of so many bytes inside the tarball with this digest, which lies or will lie in a file.
    pub fn new(tarball: HostPath, digest: Digest, bytes: u64, scratch: &Arc<Scratch>) -> Self {
        Self { tarball, digest, bytes, scratch: scratch.clone(), inflated: Mutex::default() }
    }

    /// The digest of the tarball.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// How many bytes the archive has.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Reads a part of the archive to the end of `buffer`.
    pub fn read(&self, offset: u64, size: usize, buffer: &mut Vec<u8>) -> Result<(), PackError> {
        let (file, start) = self.inflated()?;
        let at = buffer.len();
        buffer.resize(at + size, 0);
        file.read_exact_at(&mut buffer[at..], start + offset).map_err(|error| self.failed(error))
    }

    fn inflated(&self) -> Result<(Arc<File>, u64), PackError> {
        // Who comes second waits, and does not do it again.
        let mut inflated = self.inflated.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((file, start)) = &*inflated {
            return Ok((file.clone(), *start));
        }
        if let Some(kept) = self.scratch.kept(&self.digest) {
            return Ok(inflated.insert(kept).clone());
        }
        let (file, start) = self.scratch.reserve(self.bytes)?;
        if self.inflate_whole(&file, start)? {
            *inflated = Some((file.clone(), start));
            return Ok((file, start));
        }
        let mut end = start;
        self.inflate(|bytes| {
            if end + bytes.len() as u64 > start + self.bytes {
                return Err(PackError::Changed(self.tarball.clone()));
            }
            file.write_all_at(bytes, end).map_err(|error| self.scratch.failed(error))?;
            end += bytes.len() as u64;
            Ok(())
        })?;
        if end != start + self.bytes {
            return Err(PackError::Changed(self.tarball.clone()));
        }
        *inflated = Some((file.clone(), start));
        Ok((file, start))
    }

    /// Writes the archive at once, which is faster, where it is small and its tarball is one gzip member; its length is
    /// known.
    fn inflate_whole(&self, file: &File, start: u64) -> Result<bool, PackError> {
        let Some(length) = usize::try_from(self.bytes).ok().filter(|bytes| *bytes <= WHOLE) else { return Ok(false) };
        BUFFERS.with_borrow_mut(|(tarball, archive)| {
            tarball.clear();
            let read = File::open(self.tarball.as_path()).and_then(|file| file.take(WHOLE as u64).read_to_end(tarball));
            read.map_err(|error| self.failed(error))?;
            archive.resize(length, 0);
            if libdeflater::Decompressor::new().gzip_decompress(tarball, archive) != Ok(length) {
                return Ok(false);
            }
            file.write_all_at(archive, start).map_err(|error| self.scratch.failed(error))?;
            Ok(true)
        })
    }

    fn inflate(&self, mut take: impl FnMut(&[u8]) -> Result<(), PackError>) -> Result<(), PackError> {
        let file = File::open(self.tarball.as_path()).map_err(|error| self.failed(error))?;
        let tarball = BufReader::with_capacity(STEP, file);
        let mut archive = archive_inside(tarball).map_err(|error| self.failed(error))?;
        let mut step = vec![0; STEP.min(usize::try_from(self.bytes).unwrap_or(STEP).max(1))];
        loop {
            match archive.read(&mut step) {
                Ok(0) => return Ok(()),
                Ok(count) => take(&step[..count])?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.failed(error)),
            }
        }
    }

    fn failed(&self, source: io::Error) -> PackError {
        PackError::Read(HostError::new("read the package's tarball", &self.tarball, source))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    #[test]
    fn parts_of_many_archives_are_read_in_any_order() {
        let dir = tempfile::tempdir().unwrap();
        let dir = HostPath::new(dir.path());
        let scratch = Scratch::new(&dir);
        let archives: Vec<(Vec<u8>, PackageArchive)> = (0..5_u8)
            .map(|number| {
                let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at % 251) as u8 ^ number).collect();
                let tarball = if number == 4 { bytes.clone() } else { gzip(&bytes) };
                let path = dir.join(number.to_string());
                fs::write(path.as_path(), &tarball).unwrap();
                let archive = PackageArchive::new(path, Digest::of(&tarball), bytes.len() as u64, &scratch);
                (bytes, archive)
            })
            .collect();
        for (offset, size) in [(299_000, 1000), (0, 1), (0, 300_000), (70_000, 65_536)] {
            std::thread::scope(|threads| {
                for (bytes, archive) in &archives {
                    threads.spawn(move || {
                        let mut read = vec![7];
                        archive.read(offset, size, &mut read).unwrap();
                        assert!(read[1..] == bytes[offset as usize..offset as usize + size]);
                    });
                }
            });
        }
        assert_eq!(fs::read_dir(dir.as_path()).unwrap().count(), 5, "the scratch file has no name");
    }

    #[test]
    fn what_was_read_just_now_is_not_taken_out_again() {
        let dir = tempfile::tempdir().unwrap();
        let dir = HostPath::new(dir.path());
        for (comment, bytes, is_kept) in [("small", vec![1; 10], true), ("large", vec![2; WHOLE + 1], false)] {
            let scratch = Scratch::new(&dir);
            let mut archive = SmallArchive::default();
            bytes.chunks(1 << 20).for_each(|chunk| archive.write_all(chunk).unwrap());
            scratch.keep(Digest::of(b"tarball"), &archive).unwrap();
            // Nothing lies there: what is not kept cannot be read.
            let archive =
                PackageArchive::new(dir.join("none.tgz"), Digest::of(b"tarball"), bytes.len() as u64, &scratch);
            let mut read = Vec::new();
            assert_eq!(archive.read(0, bytes.len(), &mut read).is_ok(), is_kept, "{comment}");
            assert_eq!(read == bytes, is_kept, "{comment}");
        }
    }

    #[test]
    fn a_tarball_that_changed_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = HostPath::new(dir.path()).join("a.tgz");
        let scratch = Scratch::new(&HostPath::new(dir.path()));
        let read = |bytes: u64| {
            PackageArchive::new(path.clone(), Digest::of(b""), bytes, &scratch).read(0, 1, &mut Vec::new())
        };
        fs::write(path.as_path(), gzip(b"content")).unwrap();
        assert!(read(7).is_ok());
        assert!(matches!(read(6), Err(PackError::Changed(_))));
        assert!(matches!(read(8), Err(PackError::Changed(_))));
        fs::write(path.as_path(), &gzip(b"content")[..12]).unwrap();
        assert!(matches!(read(7), Err(PackError::Read(_))));
    }
}
