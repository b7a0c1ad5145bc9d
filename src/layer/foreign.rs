//! What a foreign layer holds: its listing, and the contents of a few small files.

use std::io::{self, Cursor, Read};

use serde::{Deserialize, Serialize};

use crate::manifest::media_type::Compression;
use crate::native::{Library, is_described_library, read_library};
use crate::path::ImagePath;

/// What a layer of the base holds, in the order of its tar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerListing {
    /// The entries.
    pub entries: Vec<ForeignEntry>,
}

/// One entry of a foreign layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeignEntry {
    /// Its path, with a leading slash.
    pub path: String,
    /// What it is.
    pub kind: ForeignKind,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
}

/// What a foreign entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ForeignKind {
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Symlink(String),
    /// A file whose content was asked for, as text.
    Text(String),
    /// A library that native code is loaded with, and what it offers.
    Library(Library),
    /// Any other file.
    File,
}

/// Why a foreign layer cannot be listed.
#[derive(Debug, thiserror::Error)]
pub enum ListingError {
    /// The bytes are not a tar, or not compressed as the media type says.
    #[error("the layer is damaged: {0}")]
    Damaged(#[from] io::Error),
    /// An entry lies outside the image.
    #[error("the layer has an entry with an impossible name: `{0}`")]
    Name(String),
}

/// The largest file that is kept as text. Real passwd files have a few kilobytes, bundles of certificates some hundred.
const TEXT_LIMIT: u64 = 1 << 20;

/// The largest library that is looked at. The largest that are known have three megabytes.
const LIBRARY_LIMIT: u64 = 64 << 20;

/// Lists the layer that `blob` yields. The contents of the files named `texts` (absolute paths) are kept, and what the
/// libraries offer that native code is loaded with.
pub fn list(blob: impl Read, compression: Compression, texts: &[&str]) -> Result<LayerListing, ListingError> {
    let tar: Box<dyn Read + '_> = match compression {
        Compression::None => Box::new(blob),
        Compression::Gzip => Box::new(flate2::read::MultiGzDecoder::new(blob)),
        Compression::Zstd => Box::new(zstd::Decoder::new(blob)?),
    };
    let mut archive = tar::Archive::new(tar);
    let mut listing = LayerListing::default();
    for entry in archive.entries()? {
        let mut entry = entry?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = ImagePath::root()
            .join(name.trim_start_matches('/'))
            .map_err(|_| ListingError::Name(name.clone()))?
            .to_string();
        let header = entry.header();
        let (mode, uid, gid) = (header.mode()?, header.uid()?, header.gid()?);
        let kind = match header.entry_type() {
            tar::EntryType::Directory => ForeignKind::Directory,
            tar::EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default();
                ForeignKind::Symlink(String::from_utf8_lossy(&target).into_owned())
            }
            kind if kind.is_file() && texts.contains(&path.as_str()) && entry.size() <= TEXT_LIMIT => {
                let mut text = Vec::new();
                entry.read_to_end(&mut text)?;
                ForeignKind::Text(String::from_utf8_lossy(&text).into_owned())
            }
            kind if kind.is_file() && is_described_library(&path) && entry.size() <= LIBRARY_LIMIT => {
                let mut bytes = Vec::new();
                entry.read_to_end(&mut bytes)?;
                read_library(Cursor::new(bytes))?.map_or(ForeignKind::File, ForeignKind::Library)
            }
            _ => ForeignKind::File,
        };
        let id = |id: u64| u32::try_from(id).unwrap_or(u32::MAX);
        listing.entries.push(ForeignEntry { path, kind, mode: mode & 0o7777, uid: id(uid), gid: id(gid) });
    }
    Ok(listing)
}
