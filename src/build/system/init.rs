//! The init of a container that is a program of one file.

use std::io::Cursor;

use super::{StaticProgramError, SystemError};
use crate::build::BuildError;
use crate::closure::NodePlatform;
use crate::digest::Digest;
use crate::host;
use crate::image::BaseFiles;
use crate::layer::{Content, Entry, Owner};
use crate::native::{Binary, read_binary};
use crate::path::{HostPath, ImagePath};
use crate::platform::Platform;

/// A program of one file, which is to be an init.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct StaticInit {
    /// Where it was found.
    from: String,
    bytes: Vec<u8>,
}

/// An init in an image.
pub(super) struct FileInit {
    /// Where it lies.
    pub place: ImagePath,
    pub entry: Entry,
    /// The words that start it.
    pub words: Vec<String>,
}

impl StaticInit {
    /// Reads a file in `dir`, whose bytes must be the expected ones.
    pub fn read(file: &str, expected: &Digest, dir: &HostPath) -> Result<Self, BuildError> {
        Ok(Self::of(file, host::read(&dir.join(file))?, expected)?)
    }

    /// The bytes that were found at `from`, which must be the expected ones.
    pub fn of(from: &str, bytes: Vec<u8>, expected: &Digest) -> Result<Self, SystemError> {
        let actual = Digest::of(&bytes);
        match actual == *expected {
            true => Ok(Self { from: from.to_owned(), bytes }),
            false => Err(SystemError::OtherInit { expected: *expected, actual, file: from.to_owned() }),
        }
    }

    /// The digest of its bytes.
    pub fn digest(&self) -> Digest {
        Digest::of(&self.bytes)
    }

    /// The init upon a base: it lies at `/sbin/NAME`. It must be a program that needs no library and runs on the platform.
    pub(super) fn laid(&self, platform: &Platform, base: &BaseFiles) -> Result<FileInit, BuildError> {
        let Self { from, bytes } = self;
        refuse_needy(bytes, platform).map_err(|source| SystemError::InitProgram {
            source,
            platform: Box::new(platform.clone()),
            file: from.clone(),
        })?;
        let name = from.rsplit('/').next().unwrap_or_default();
        let named = ImagePath::new("/sbin")?.child(name.as_ref());
        let place = base.real_path(&ImagePath::new("/sbin")?).child(name.as_ref());
        let entry = Entry::file(Content::Bytes(bytes.clone()), true, Owner { uid: 0, gid: 0 });
        Ok(FileInit { place, entry, words: vec![named.to_string(), "--".to_owned()] })
    }
}

/// Refuses what is no program for the platform, or one that needs a loader or libraries.
fn refuse_needy(bytes: &[u8], platform: &Platform) -> Result<(), StaticProgramError> {
    match read_binary(Cursor::new(bytes)) {
        Ok(Binary::Elf(elf)) if elf.cpu != NodePlatform::new(platform, None).cpu => Err(StaticProgramError::Machine),
        Ok(Binary::Elf(elf)) if elf.interpreter.is_some() || !elf.needed.is_empty() => Err(StaticProgramError::Dynamic),
        Ok(Binary::Elf(_)) => Ok(()),
        _ => Err(StaticProgramError::NotElf),
    }
}
