//! What files of native code need: read once, and remembered by the digests of their contents.

use std::collections::BTreeMap;
use std::io::{self, Cursor, Read, Seek, SeekFrom};

use rayon::prelude::*;

use super::NativesError;
use super::unit::{NativeFile, Unit};
use crate::build::{BuildError, Context};
use crate::digest::Digest;
use crate::layer::{Content, PackageArchive};
use crate::native::{Binary, read_binary};
use crate::path::HostPath;

/// Beyond so many, only what the last run met is kept.
const MOST_REMEMBERED: usize = 20_000;

/// Files of native code by their contents.
#[derive(Default)]
pub(super) struct Binaries {
    fact: String,
    known: BTreeMap<Digest, Binary>,
    /// What was read in this run.
    fresh: BTreeMap<Digest, Binary>,
}

impl Binaries {
    /// What is remembered of the workspace at `root`.
    pub fn remembered(root: &HostPath, context: &Context) -> Result<Self, BuildError> {
        let root = root.as_path().as_os_str().as_encoded_bytes();
        // The number changes when what is remembered or how it is read does.
        let fact = format!("native-1-{}", Digest::of(root).short());
        let known = context.store.fact(&fact)?.and_then(|bytes| postcard::from_bytes(&bytes).ok()).unwrap_or_default();
        Ok(Self { fact, known, fresh: BTreeMap::new() })
    }

    /// What a file is, if it was read.
    pub fn get(&self, content: &Digest) -> Option<&Binary> {
        self.fresh.get(content).or_else(|| self.known.get(content))
    }

    /// Reads what may be native code of these and is not known, on all cores.
    pub fn read(&mut self, units: &[&Unit]) -> Result<(), BuildError> {
        let files = units.iter().flat_map(|unit| unit.candidates.iter().map(|file| (unit.label.as_str(), file)));
        let unknown: BTreeMap<Digest, (&str, &NativeFile)> =
            files.filter(|(_, file)| self.get(&file.digest).is_none()).map(|it| (it.1.digest, it)).collect();
        let read = unknown.into_par_iter().map(|(digest, (package, file))| {
            let failed =
                |source| NativesError::Read { package: package.to_owned(), path: file.place.to_string(), source };
            Ok((digest, binary(&file.content).map_err(failed)?))
        });
        self.fresh.extend(read.collect::<Result<Vec<_>, NativesError>>()?);
        Ok(())
    }

    /// Remembers what was read.
    pub fn remember(mut self, context: &Context) -> Result<(), BuildError> {
        if self.fresh.is_empty() {
            return Ok(());
        }
        if self.known.len() > MOST_REMEMBERED {
            self.known.clear();
        }
        self.known.extend(self.fresh);
        let bytes = postcard::to_allocvec(&self.known).unwrap_or_default();
        Ok(context.store.put_fact(&self.fact, &bytes)?)
    }
}

fn binary(content: &Content) -> io::Result<Binary> {
    match content {
        Content::Bytes(bytes) => read_binary(Cursor::new(bytes)),
        Content::Host { file, .. } => match file.kept() {
            Some(kept) => read_binary(Cursor::new(kept)),
            None => read_binary(file.open().map_err(io::Error::other)?),
        },
        Content::Archived { archive, offset, size, .. } => {
            read_binary(ArchivedFile { archive, offset: *offset, size: *size, position: 0 })
        }
    }
}

/// A file in the archive of a package.
struct ArchivedFile<'a> {
    archive: &'a PackageArchive,
    offset: u64,
    size: u64,
    position: u64,
}

impl Read for ArchivedFile<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.size.saturating_sub(self.position)).unwrap_or(usize::MAX);
        let count = buffer.len().min(left);
        let mut bytes = Vec::with_capacity(count);
        self.archive.read(self.offset + self.position, count, &mut bytes).map_err(io::Error::other)?;
        buffer[..count].copy_from_slice(&bytes);
        self.position += count as u64;
        Ok(count)
    }
}

impl Seek for ArchivedFile<'_> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let (from, by) = match to {
            SeekFrom::Start(position) => (position, 0),
            SeekFrom::End(by) => (self.size, by),
            SeekFrom::Current(by) => (self.position, by),
        };
        self.position = from.checked_add_signed(by).ok_or(io::ErrorKind::InvalidInput)?;
        Ok(self.position)
    }
}
