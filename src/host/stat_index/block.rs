//! What is known of the files of one directory, in a row of bytes, sorted by the files' names: read where it lies, for
//! most of it is read once and never kept.
//!
//! ```text
//! length of the name (2), name, size (8), mode (4), inode (8), modified (8), changed (8), digest (32)
//! ```
//!
//! All numbers are little endian.

use crate::digest::Digest;
use crate::host::Stamp;

/// A file as it is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownFile<'a> {
    /// Its name in its directory.
    pub name: &'a [u8],
    /// The stamp it had when it was read.
    pub stamp: Stamp,
    /// The digest of its content.
    pub digest: Digest,
}

/// The files of a block, in the order of their names. Ends early where the bytes are no record.
#[derive(Clone, Copy)]
pub struct Block<'a>(pub &'a [u8]);

impl KnownFile<'_> {
    /// Appends the record. No file system has a name that is too long for it; one that had would not be remembered.
    pub fn append_to(&self, block: &mut Vec<u8>) {
        let Ok(length) = u16::try_from(self.name.len()) else { return };
        block.extend(length.to_le_bytes());
        block.extend(self.name);
        block.extend(self.stamp.size.to_le_bytes());
        block.extend(self.stamp.mode.to_le_bytes());
        block.extend(self.stamp.inode.to_le_bytes());
        block.extend(self.stamp.modified.to_le_bytes());
        block.extend(self.stamp.changed.to_le_bytes());
        block.extend(self.digest.as_bytes());
    }
}

impl<'a> Iterator for Block<'a> {
    type Item = KnownFile<'a>;

    fn next(&mut self) -> Option<KnownFile<'a>> {
        let mut rest = self.0;
        let length = u16::from_le_bytes(take(&mut rest)?);
        let (name, after) = rest.split_at_checked(length.into())?;
        rest = after;
        let stamp = Stamp {
            size: u64::from_le_bytes(take(&mut rest)?),
            mode: u32::from_le_bytes(take(&mut rest)?),
            inode: u64::from_le_bytes(take(&mut rest)?),
            modified: i64::from_le_bytes(take(&mut rest)?),
            changed: i64::from_le_bytes(take(&mut rest)?),
        };
        let digest = Digest::from_bytes(take(&mut rest)?);
        self.0 = rest;
        Some(KnownFile { name, stamp, digest })
    }
}

/// The next `N` bytes.
fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_read_back_and_damage_ends_them() {
        let stamp = Stamp { size: 1, mode: 0o100_644, inode: 3, modified: -4, changed: 5 };
        let files =
            [(&b"a.js"[..], 7), (b"b", 8)].map(|(name, seed)| KnownFile { name, stamp, digest: Digest::of(&[seed]) });
        let mut block = Vec::new();
        files.iter().for_each(|file| file.append_to(&mut block));
        assert_eq!(Block(&block).collect::<Vec<_>>(), files);
        for cut in 0..block.len() {
            assert!(Block(&block[..cut]).count() < 2);
        }
    }
}
