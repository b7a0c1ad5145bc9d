use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt as _;
use std::sync::Arc;

use rustix::fs::{AtFlags, Mode, OFlags, RawDir};

use super::{HostError, Stamp};
use crate::path::HostPath;

/// How directories are opened.
const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// An open directory. What is looked at or opened relative to it spares the kernel the way there.
pub struct Directory {
    path: Arc<HostPath>,
    fd: OwnedFd,
}

/// One name in a directory, with its stamp.
#[derive(Clone, Debug)]
pub struct StampedEntry {
    /// The name, without the directory.
    pub name: OsString,
    /// What it is; links are not followed.
    pub stamp: Stamp,
}

impl Directory {
    /// Opens the directory at `path`.
    pub fn open(path: HostPath) -> Result<Self, HostError> {
        match rustix::fs::open(path.as_path(), DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Self { path: Arc::new(path), fd }),
            Err(errno) => Err(HostError::new("read the directory", &path, errno.into())),
        }
    }

    /// Opens a directory in it.
    pub fn open_directory(&self, name: &OsStr) -> Result<Self, HostError> {
        let path = self.path.join(name);
        match rustix::fs::openat(&self.fd, name, DIRECTORY, Mode::empty()) {
            Ok(fd) => Ok(Self { path: Arc::new(path), fd }),
            Err(errno) => Err(HostError::new("read the directory", &path, errno.into())),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Arc<HostPath> {
        &self.path
    }

    /// The names in it, sorted by their bytes, each with its stamp.
    pub fn entries(&self) -> Result<Vec<StampedEntry>, HostError> {
        let error = |source: io::Error| HostError::new("read the directory", &self.path, source);
        let mut buffer = Vec::with_capacity(1 << 13);
        let mut names: Vec<OsString> = Vec::new();
        let mut entries = RawDir::new(&self.fd, buffer.spare_capacity_mut());
        while let Some(entry) = entries.next() {
            let entry = entry.map_err(|errno| error(errno.into()))?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(OsStr::from_bytes(name).to_owned());
            }
        }
        names.sort_unstable();
        let stamped = |name: OsString| match rustix::fs::statat(&self.fd, name.as_os_str(), AtFlags::SYMLINK_NOFOLLOW) {
            Ok(stat) => Ok(StampedEntry { name, stamp: Stamp::of(&stat) }),
            Err(errno) => Err(HostError::new("look at", &self.path.join(&name), errno.into())),
        };
        names.into_iter().map(stamped).collect()
    }

    /// Opens a file in it to read it.
    pub fn open_file(&self, name: &OsStr) -> Result<File, HostError> {
        match rustix::fs::openat(&self.fd, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()) {
            Ok(fd) => Ok(File::from(fd)),
            Err(errno) => Err(HostError::new("read the file", &self.path.join(name), errno.into())),
        }
    }
}
