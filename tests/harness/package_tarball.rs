//! Tarballs of packages, right ones and others.

use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use tar::{Builder, EntryType, Header};

/// An entry with any name, of any type.
pub struct Entry<'a> {
    pub name: &'a str,
    pub kind: EntryType,
    pub content: &'a [u8],
}

impl<'a> Entry<'a> {
    /// A file, `package/` included in its name.
    pub fn file(name: &'a str, content: &'a str) -> Self {
        Self { name, kind: EntryType::Regular, content: content.as_bytes() }
    }
}

/// The tarball of a package that has these entries.
pub fn tarball(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        header.as_old_mut().name[..entry.name.len()].copy_from_slice(entry.name.as_bytes());
        header.set_entry_type(entry.kind);
        header.set_mode(0o644);
        header.set_size(entry.content.len() as u64);
        header.set_cksum();
        tar.append(&header, entry.content).expect("memory can be written");
    }
    gzip(&tar.into_inner().expect("memory can be written"))
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory can be written");
    encoder.finish().expect("memory can be written")
}
