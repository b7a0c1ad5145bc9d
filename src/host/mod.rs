//! Reading the disk of the machine that builds: the standard library's calls, with the path in every error.

mod directory;
mod stamp;
mod stat_index;

use std::ffi::OsString;
use std::fs::{self, FileType, Metadata};
use std::io;
use std::path::PathBuf;

pub use directory::{Directory, StampedEntry};
pub use stamp::{Stamp, stamp};
pub use stat_index::{FileContent, StatIndex, StatIndexError};

use crate::path::HostPath;

/// A read of the host's disk that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action}: {source}: `{path}`")]
pub struct HostError {
    action: &'static str,
    path: HostPath,
    source: io::Error,
}

impl HostError {
    /// An error of `action` ("read the file") on `path`.
    pub fn new(action: &'static str, path: &HostPath, source: io::Error) -> Self {
        Self { action, path: path.clone(), source }
    }

    /// Whether what was to be read is not there.
    pub fn is_not_found(&self) -> bool {
        matches!(self.source.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
    }
}

/// One name in a directory.
#[derive(Debug)]
pub struct DirectoryEntry {
    /// The name, without the directory.
    pub name: OsString,
    /// What it is; links are not followed.
    pub kind: FileType,
}

/// The content of a file.
pub fn read(path: &HostPath) -> Result<Vec<u8>, HostError> {
    fs::read(path).map_err(|source| HostError::new("read the file", path, source))
}

/// The content of a file, or `None` where there is none.
pub fn read_if_present(path: &HostPath) -> Result<Option<Vec<u8>>, HostError> {
    present(read(path))
}

/// The names in a directory, sorted by their bytes, so that no result depends on the order of the file system.
pub fn read_directory(path: &HostPath) -> Result<Vec<DirectoryEntry>, HostError> {
    let error = |source| HostError::new("read the directory", path, source);
    let mut entries = Vec::new();
    for entry in fs::read_dir(path).map_err(error)? {
        let entry = entry.map_err(error)?;
        entries.push(DirectoryEntry { name: entry.file_name(), kind: entry.file_type().map_err(error)? });
    }
    entries.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// What lies at a path, links followed; `None` where there is nothing.
pub fn metadata(path: &HostPath) -> Result<Option<Metadata>, HostError> {
    present(fs::metadata(path).map_err(|source| HostError::new("look at", path, source)))
}

/// What lies at a path, links not followed; `None` where there is nothing.
pub fn link_metadata(path: &HostPath) -> Result<Option<Metadata>, HostError> {
    present(fs::symlink_metadata(path).map_err(|source| HostError::new("look at", path, source)))
}

/// Whether a regular file lies at the path, links followed.
pub fn is_file(path: &HostPath) -> Result<bool, HostError> {
    Ok(metadata(path)?.is_some_and(|metadata| metadata.is_file()))
}

/// Where a symbolic link points, as it is written in the link.
pub fn read_link(path: &HostPath) -> Result<PathBuf, HostError> {
    fs::read_link(path).map_err(|source| HostError::new("read the link", path, source))
}

/// The absolute path without links.
pub fn canonical(path: &HostPath) -> Result<HostPath, HostError> {
    fs::canonicalize(path).map(HostPath::new).map_err(|source| HostError::new("look at", path, source))
}

fn present<T>(result: Result<T, HostError>) -> Result<Option<T>, HostError> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.is_not_found() => Ok(None),
        Err(error) => Err(error),
    }
}
