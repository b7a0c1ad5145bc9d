use std::fs::{self, File};
use std::io;

use super::{INDEX_FILE, LayoutError, MARKER};
use crate::digest::Digest;
use crate::manifest::{Descriptor, Index, REF_NAME, Raw};
use crate::path::HostPath;

/// A layout on this disk, for reading.
#[derive(Clone, Debug)]
pub struct Layout {
    dir: HostPath,
    index: Raw<Index>,
}

/// One image, or index of images, of a layout.
#[derive(Clone, Debug)]
pub struct LayoutEntry {
    /// The name by which the layout's index knows it.
    pub name: Option<String>,
    /// What it is.
    pub descriptor: Descriptor,
}

impl Layout {
    /// Opens the layout in `dir`.
    pub fn open(dir: &HostPath) -> Result<Self, LayoutError> {
        for file in [MARKER, INDEX_FILE] {
            if !dir.join(file).as_path().is_file() {
                return Err(LayoutError::NotALayout { dir: dir.clone(), missing: file });
            }
        }
        let path = dir.join(INDEX_FILE);
        let bytes = fs::read(&path).map_err(|source| LayoutError::new("read", &path, source))?;
        let index = Raw::parse("layout index", bytes).map_err(|source| LayoutError::Document { path, source })?;
        Ok(Self { dir: dir.clone(), index })
    }

    /// The entries of the layout's index.
    pub fn entries(&self) -> Vec<LayoutEntry> {
        let entry = |descriptor: &Descriptor| LayoutEntry {
            name: descriptor.annotations.get(REF_NAME).cloned(),
            descriptor: descriptor.clone(),
        };
        self.index.parsed().manifests.iter().map(entry).collect()
    }

    /// The entry with this name; without a name, the one entry there is.
    pub fn find(&self, name: Option<&str>) -> Result<Descriptor, LayoutError> {
        let entries = self.entries();
        let known = || {
            let mut known: Vec<String> = entries.iter().filter_map(|entry| entry.name.clone()).collect();
            known.sort();
            known
        };
        match name {
            Some(wanted) => entries
                .iter()
                .find(|entry| entry.name.as_deref() == Some(wanted))
                .map(|entry| entry.descriptor.clone())
                .ok_or_else(|| LayoutError::NoSuchName {
                    dir: self.dir.clone(),
                    wanted: wanted.to_owned(),
                    known: known(),
                }),
            None => match &entries[..] {
                [entry] => Ok(entry.descriptor.clone()),
                _ => Err(LayoutError::NameNeeded { dir: self.dir.clone(), known: known() }),
            },
        }
    }

    /// The file of a blob, whether it is there or not.
    pub fn blob_path(&self, digest: &Digest) -> HostPath {
        self.dir.join("blobs/sha256").join(digest.hex())
    }

    /// Opens a blob for reading. Its content is not verified.
    pub fn open_blob(&self, descriptor: &Descriptor) -> Result<File, LayoutError> {
        let path = self.blob_path(&descriptor.digest);
        File::open(&path).map_err(|source| LayoutError::new("read", &path, source))
    }

    /// The bytes of a document, verified by its digest.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let path = self.blob_path(&descriptor.digest);
        let bytes = fs::read(&path).map_err(|source| LayoutError::new("read", &path, source))?;
        let actual = Digest::of(&bytes);
        match actual == descriptor.digest {
            true => Ok(bytes),
            false => Err(LayoutError::Damaged { path, actual }),
        }
    }

    /// Copies a blob to `sink` and verifies it on the way. A damaged blob is an error after the last byte, so what was
    /// written must not be used then.
    pub fn copy_blob(&self, descriptor: &Descriptor, sink: &mut impl io::Write) -> Result<(), LayoutError> {
        let mut source = self.open_blob(descriptor)?;
        let path = self.blob_path(&descriptor.digest);
        let mut hashing = Hashing { sink, hasher: crate::digest::Hasher::default() };
        io::copy(&mut source, &mut hashing).map_err(|source| LayoutError::new("copy a blob of", &path, source))?;
        let actual = hashing.hasher.finish();
        match actual == descriptor.digest {
            true => Ok(()),
            false => Err(LayoutError::Damaged { path, actual }),
        }
    }
}

struct Hashing<'a, W> {
    sink: &'a mut W,
    hasher: crate::digest::Hasher,
}

impl<W: io::Write> io::Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
