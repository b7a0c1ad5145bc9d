//! The init of a container: a program of one file, or what an Alpine package brings.

use std::io::Cursor;

use super::{StaticProgramError, SystemError};
use crate::apk::Dependency;
use crate::build::BuildError;
use crate::closure::NodePlatform;
use crate::config::Init;
use crate::digest::Digest;
use crate::host;
use crate::image::BaseFiles;
use crate::layer::{Content, Entry, Owner};
use crate::native::{Binary, read_binary};
use crate::path::{HostPath, ImagePath};
use crate::platform::Platform;

/// An init of one file.
pub(super) struct FileInit {
    /// Its place in the image, and itself.
    pub entry: (ImagePath, Entry),
    /// The words that start it.
    pub words: Vec<String>,
}

/// The package of a named init, and the program it brings.
pub(super) fn of_package(init: &Init) -> Option<(Dependency, &'static str)> {
    let (name, path) = match init {
        Init::Tini => ("tini", "/sbin/tini"),
        Init::DumbInit => ("dumb-init", "/usr/bin/dumb-init"),
        Init::File { .. } => return None,
    };
    let dependency = Dependency { name: name.to_owned(), is_conflict: false, tag: None, versions: None };
    Some((dependency, path))
}

/// The init that a file of the workspace is: it lies at `/sbin/NAME`. Its bytes must be the expected ones, and those of a
/// program that needs no library and runs on the platform.
pub(super) fn of_file(
    file: &str,
    expected: &Digest,
    dir: &HostPath,
    platform: &Platform,
    base: &BaseFiles,
) -> Result<FileInit, BuildError> {
    let path = dir.join(file);
    let bytes = host::read(&path)?;
    let actual = Digest::of(&bytes);
    if actual != *expected {
        return Err(SystemError::OtherInit { expected: *expected, actual, file: file.to_owned() }.into());
    }
    refuse_needy(&bytes, platform).map_err(|source| SystemError::InitProgram {
        source,
        platform: Box::new(platform.clone()),
        file: file.to_owned(),
    })?;
    let name = path.as_path().file_name().unwrap_or_default();
    let named = ImagePath::new("/sbin")?.child(name);
    let place = base.real_path(&ImagePath::new("/sbin")?).child(name);
    let entry = Entry::file(Content::Bytes(bytes), true, Owner { uid: 0, gid: 0 });
    Ok(FileInit { entry: (place, entry), words: vec![named.to_string(), "--".to_owned()] })
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
