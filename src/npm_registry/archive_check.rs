//! Checking a tarball by the archive that yarn makes of it, which is all that its lockfile has the hash of.

use std::fs::File;
use std::io::{self, BufReader, Read};

use super::NpmRegistryError;
use super::fetch::Wanted;
use crate::cancel::Cancellation;
use crate::host::HostError;
use crate::layer::{PackageTarball, TarballLimits, YarnCompression};
use crate::manifest::Descriptor;
use crate::store::Store;
use crate::workspace::lockfiles::{Hash, HashAlgorithm, YarnCacheChecksum};

/// The most bytes of the tar inside a tarball that are kept in memory. Nearly all packages have fewer.
const IN_MEMORY: usize = 8 << 20;
const PIECE: usize = 256 << 10;

/// The archive that has to come out.
#[derive(Clone, Debug)]
pub(super) struct ArchiveCheck {
    /// The name of the package, under which its files lie there.
    name: String,
    compression: YarnCompression,
    cache_key: String,
    hash: Hash,
}

impl ArchiveCheck {
    /// `None` if an archive of this key cannot be made again.
    pub(super) fn new(name: &str, checksum: &YarnCacheChecksum) -> Option<Self> {
        let compression = YarnCompression::of_cache_key(&checksum.cache_key)?;
        let hash = Hash::from_hex(HashAlgorithm::Sha512, &checksum.sha512)?;
        Some(Self { name: name.to_owned(), compression, cache_key: checksum.cache_key.clone(), hash })
    }

    /// Makes the archive of a tarball in the store and compares it with the one that was locked.
    pub(super) fn check(
        &self,
        wanted: &Wanted,
        tarball: &Descriptor,
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<(), NpmRegistryError> {
        let lost = || NpmRegistryError::Ended("the tarball went missing while it was checked".to_owned());
        let path = store.blob(tarball)?.ok_or_else(lost)?;
        let file = File::open(&path).map_err(|source| HostError::new("read the file", &path, source))?;
        let reader = BufReader::with_capacity(PIECE, Ended(file, cancellation));
        let limits = TarballLimits::default();
        let scratch = store.scratch(IN_MEMORY);
        let result = PackageTarball::yarn_archive_hash(reader, &self.name, self.compression, scratch, &limits);
        cancellation.check()?;
        let package = wanted.label.clone();
        match result {
            Ok(hash) if hash == self.hash => Ok(()),
            Ok(hash) => Err(NpmRegistryError::WrongIntegrity {
                package,
                expected: self.shown(&self.hash),
                actual: self.shown(&hash),
                url: wanted.location.shown(),
            }),
            Err(source) => Err(NpmRegistryError::Unverifiable { package, source }),
        }
    }

    /// A hash as the lockfile has it.
    fn shown(&self, hash: &Hash) -> String {
        format!("{}/{}", self.cache_key, hash.hex())
    }
}

/// A file that ends with an error when the run does.
struct Ended<'a>(File, &'a Cancellation);

impl Read for Ended<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1.check().map_err(io::Error::other)?;
        self.0.read(buffer)
    }
}
