use rustix::fs::{AtFlags, CWD, FileType, Stat};
use serde::{Deserialize, Serialize};

use super::HostError;
use crate::path::HostPath;

/// What the file system says of a file without opening it. As long as none of it changes, the content is taken to be the
/// same; `ctime` cannot be set back by programs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// Size in bytes.
    pub size: u64,
    /// Type and permission bits.
    pub mode: u32,
    /// The file's number on its device.
    pub inode: u64,
    /// The last change of the content, in nanoseconds since 1970.
    pub modified: i64,
    /// The last change of the content or of anything else about the file, in nanoseconds since 1970.
    pub changed: i64,
}

impl Stamp {
    pub(super) fn of(stat: &Stat) -> Self {
        let nanoseconds = |seconds: i64, rest: i64| seconds.saturating_mul(1_000_000_000).saturating_add(rest);
        Self {
            size: u64::try_from(stat.st_size).unwrap_or(0),
            mode: stat.st_mode,
            inode: stat.st_ino,
            modified: nanoseconds(stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0)),
            changed: nanoseconds(stat.st_ctime, i64::try_from(stat.st_ctime_nsec).unwrap_or(0)),
        }
    }

    /// Whether it is a directory.
    pub fn is_dir(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Directory
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::RegularFile
    }

    /// Whether it is a symbolic link.
    pub fn is_symlink(&self) -> bool {
        FileType::from_raw_mode(self.mode) == FileType::Symlink
    }

    /// Whether its owner may run it. The others' bits are the umask's.
    pub fn is_executable(&self) -> bool {
        self.mode & 0o100 != 0
    }
}

/// The stamp of what lies at a path, links not followed; `None` where there is nothing.
pub fn stamp(path: &HostPath) -> Result<Option<Stamp>, HostError> {
    match rustix::fs::statat(CWD, path.as_path(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(Stamp::of(&stat))),
        Err(rustix::io::Errno::NOENT | rustix::io::Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(HostError::new("look at", path, errno.into())),
    }
}
