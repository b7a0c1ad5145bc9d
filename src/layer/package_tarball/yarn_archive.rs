//! The zip archive into which yarn 2 and later repacks a package's tarball, made again to know its hash: that hash, and
//! none of the tarball, is what yarn's lockfile states.
//!
//! Nothing of the archive is kept. The tarball is read once, from the first byte to the last; the tar inside goes to a
//! scratch file, from which contents are hashed in the order of the archive. Memory holds the names, and where contents
//! are compressed, one buffer.
//!
//! What this module takes for a package's files has to be what [`PackageTarball`] takes for them, or else a tarball could
//! be changed without changing the archive. So both read entries with the same reader; an entry that the one would take
//! and the other would not, or under another name, is refused; and so is what yarn itself makes no archive of.
//!
//! Source: yarn 4, `packages/yarnpkg-core/sources/tgzUtils.ts` (`extractArchiveTo`), `packages/yarnpkg-libzip/sources/
//! ZipFS.ts`, and `libzip` 1.5 and later, with which it writes; node-tar, with which it reads.

mod entries;
mod zip;

use std::io::{BufRead, Read, Seek, Write};

use super::{PackageTarball, TarballError, TarballLimits};
use crate::workspace::lockfiles::Hash;

/// How the contents of files lie in an archive of yarn's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YarnCompression {
    /// As they are: `compressionLevel: 0`, what yarn 4 does unless told otherwise.
    Stored,
}

impl YarnCompression {
    /// The compression that a cache key such as `10c0` stands for; `None` if archives of that key cannot be made again.
    ///
    /// A key is the version of yarn's cache and, after a `c`, the level of compression. Source: yarn 4,
    /// `packages/yarnpkg-core/sources/Cache.ts` (`getCacheKey`).
    pub fn of_cache_key(cache_key: &str) -> Option<Self> {
        let (version, level) = cache_key.split_once('c')?;
        let is_known = version.parse().is_ok_and(|version: u32| KNOWN_VERSIONS.contains(&version));
        (is_known && level == "0").then_some(Self::Stored)
    }
}

/// The versions of yarn's cache whose archives were compared with those made here: of yarn 2.4 to 4.
const KNOWN_VERSIONS: std::ops::RangeInclusive<u32> = 7..=10;

impl PackageTarball {
    /// The SHA-512 of the archive that yarn makes of the tarball of the package called `name`. The tar inside is written
    /// to `scratch` and read from there.
    pub fn yarn_archive_hash(
        tarball: impl BufRead,
        name: &str,
        compression: YarnCompression,
        mut scratch: impl Read + Write + Seek,
        limits: &TarballLimits,
    ) -> Result<Hash, TarballError> {
        let entries = entries::read(tarball, &mut scratch, &format!("node_modules/{name}"), limits)?;
        let YarnCompression::Stored = compression;
        zip::hash(&entries, &mut scratch).map_err(TarballError::Keep)
    }
}
