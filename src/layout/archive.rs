//! The files of a foreign tar archive, found without unpacking it: nothing is written to the disk, so no name in it can
//! lead anywhere.
//!
//! Sources: POSIX `pax` (ustar, extended headers); GNU tar's long names.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

/// An archive of images has a few files for each layer; more than this is none.
const ENTRY_LIMIT: usize = 100_000;
/// The longest name, link or extended header that is read.
const NAME_LIMIT: u64 = 64 << 10;
const BLOCK: u64 = 512;
/// Links that lead to links: more in a row is a circle.
const LINK_LIMIT: usize = 8;

/// Where a file lies in an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Section {
    /// The position of its first byte.
    pub position: u64,
    /// How many bytes.
    pub size: u64,
}

/// What an archive holds: files and links by their names, without `./` at the front.
#[derive(Clone, Debug, Default)]
pub struct ArchiveFiles {
    files: BTreeMap<String, Section>,
    links: BTreeMap<String, String>,
}

/// Why bytes are no archive.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// Reading failed.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Compressed as a whole.
    #[error("it is compressed as a whole")]
    Compressed,
    /// A block that is no header of a tar.
    #[error("there is no tar header at byte {0}")]
    Header(u64),
    /// A file that is longer than the rest of the archive.
    #[error("it ends before the end of its file `{0}`")]
    CutShort(String),
    /// Two files of one name, so that readers differ in what they see.
    #[error("it has two files named `{0}`")]
    Twice(String),
    /// More entries than any image needs.
    #[error("it has more than {ENTRY_LIMIT} entries")]
    TooMany,
    /// A name longer than any file system takes.
    #[error("it has an entry with a name of more than {NAME_LIMIT} bytes")]
    LongName,
}

/// What extended headers say of the entry that follows them.
#[derive(Default)]
struct Extended {
    name: Option<String>,
    link: Option<String>,
    size: Option<u64>,
}

impl ArchiveFiles {
    /// Finds the files of a tar.
    pub fn scan(source: &mut (impl Read + Seek)) -> Result<Self, ArchiveError> {
        let length = source.seek(SeekFrom::End(0))?;
        let (mut found, mut extended) = (Self::default(), Extended::default());
        let mut position = 0;
        for _ in 0..ENTRY_LIMIT {
            let mut block = [0; BLOCK as usize];
            if length.saturating_sub(position) < BLOCK {
                return if position == 0 && length > 0 { Err(ArchiveError::Header(0)) } else { Ok(found) };
            }
            source.seek(SeekFrom::Start(position))?;
            source.read_exact(&mut block)?;
            if block.iter().all(|byte| *byte == 0) {
                return Ok(found);
            }
            let header = tar::Header::from_byte_slice(&block);
            let size = extended.size.take().or_else(|| header.entry_size().ok());
            let Some(size) = size.filter(|_| is_sound(&block, header)) else {
                let compressed = position == 0 && (block.starts_with(&[0x1f, 0x8b]) || block.starts_with(ZSTD));
                return Err(if compressed { ArchiveError::Compressed } else { ArchiveError::Header(position) });
            };
            let content = Section { position: position + BLOCK, size };
            let end = size.checked_next_multiple_of(BLOCK).and_then(|padded| content.position.checked_add(padded));
            found.take(source, header, content, length, &mut extended)?;
            position = end.ok_or(ArchiveError::Header(position))?;
        }
        Err(ArchiveError::TooMany)
    }

    /// Where the file of this name lies, links followed.
    pub fn get(&self, name: &str) -> Option<Section> {
        let mut name = name.to_owned();
        for _ in 0..LINK_LIMIT {
            if let Some(section) = self.files.get(&name) {
                return Some(*section);
            }
            name.clone_from(self.links.get(&name)?);
        }
        None
    }

    /// The files whose names begin with `prefix`, by the rest of their names.
    pub fn below<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, Section)> {
        let files = self.files.range(prefix.to_owned()..);
        files.map_while(move |(name, section)| Some((name.strip_prefix(prefix)?, *section)))
    }

    /// Takes in one entry.
    fn take(
        &mut self,
        source: &mut (impl Read + Seek),
        header: &tar::Header,
        content: Section,
        length: u64,
        extended: &mut Extended,
    ) -> Result<(), ArchiveError> {
        let kind = header.entry_type();
        if kind.is_gnu_longname() || kind.is_gnu_longlink() || kind.is_pax_local_extensions() {
            let bytes = short(source, content)?;
            let text =
                || String::from_utf8_lossy(bytes.split(|byte| *byte == 0).next().unwrap_or_default()).into_owned();
            match () {
                () if kind.is_gnu_longname() => extended.name = Some(text()),
                () if kind.is_gnu_longlink() => extended.link = Some(text()),
                () => extended.read(&bytes),
            }
            return Ok(());
        }
        let Extended { name, link, .. } = std::mem::take(extended);
        let name = normal(&name.unwrap_or_else(|| String::from_utf8_lossy(&header.path_bytes()).into_owned()), "");
        let Some(name) = name else { return Ok(()) };
        if kind.is_file() {
            if content.position.saturating_add(content.size) > length {
                return Err(ArchiveError::CutShort(name));
            }
            return match self.files.insert(name.clone(), content) {
                Some(_) => Err(ArchiveError::Twice(name)),
                None => Ok(()),
            };
        }
        if kind.is_symlink() || kind.is_hard_link() {
            let written = header.link_name_bytes().unwrap_or_default();
            let target = link.unwrap_or_else(|| String::from_utf8_lossy(&written).into_owned());
            let folder = if kind.is_symlink() { name.rsplit_once('/').map_or("", |(folder, _)| folder) } else { "" };
            if let Some(target) = normal(&target, folder) {
                self.links.insert(name, target);
            }
        }
        Ok(())
    }
}

const ZSTD: &[u8] = &[0x28, 0xb5, 0x2f, 0xfd];

/// Whether the header's checksum is right.
fn is_sound(block: &[u8; BLOCK as usize], header: &tar::Header) -> bool {
    let sum = |range: &[u8]| range.iter().map(|byte| u32::from(*byte)).sum::<u32>();
    let blanks = 8 * u32::from(b' ');
    header.cksum().is_ok_and(|written| written == sum(&block[..148]) + blanks + sum(&block[156..]))
}

/// The content of an entry that only tells of the next.
fn short(source: &mut (impl Read + Seek), content: Section) -> Result<Vec<u8>, ArchiveError> {
    if content.size > NAME_LIMIT {
        return Err(ArchiveError::LongName);
    }
    let mut bytes = Vec::new();
    source.seek(SeekFrom::Start(content.position))?;
    source.take(content.size).read_to_end(&mut bytes)?;
    Ok(bytes)
}

impl Extended {
    /// Reads records `LENGTH KEY=VALUE\n`. What is malformed ends the reading.
    fn read(&mut self, bytes: &[u8]) {
        for extension in tar::PaxExtensions::new(bytes).map_while(Result::ok) {
            let value = String::from_utf8_lossy(extension.value_bytes()).into_owned();
            match extension.key_bytes() {
                b"path" => self.name = Some(value),
                b"linkpath" => self.link = Some(value),
                b"size" => self.size = value.parse().ok(),
                _ => {}
            }
        }
    }
}

/// `name` as it lies in the archive, seen from `folder`: without `.`, with `..` resolved. `None` if it leads out of it or
/// is the archive's top.
fn normal(name: &str, folder: &str) -> Option<String> {
    let mut parts: Vec<&str> = folder.split('/').filter(|part| !part.is_empty()).collect();
    for part in name.split('/') {
        match part {
            "" | "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    fn archive(entries: &[(tar::EntryType, &str, &str)]) -> Vec<u8> {
        let mut builder = tar::Builder::new(Vec::new());
        for (kind, name, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            match kind.is_file() {
                true => {
                    header.set_size(content.len() as u64);
                    builder.append_data(&mut header, name, content.as_bytes()).unwrap();
                }
                false => {
                    header.set_size(0);
                    builder.append_link(&mut header, name, content).unwrap();
                }
            }
        }
        builder.into_inner().unwrap()
    }

    fn read(bytes: &[u8], name: &str) -> Option<String> {
        let section = ArchiveFiles::scan(&mut Cursor::new(bytes)).unwrap().get(name)?;
        let start = usize::try_from(section.position).unwrap();
        Some(String::from_utf8_lossy(&bytes[start..start + usize::try_from(section.size).unwrap()]).into_owned())
    }

    #[test]
    fn files_and_links() {
        use tar::EntryType::{Regular, Symlink};
        let long = "long/".repeat(60) + "name";
        let bytes = archive(&[
            (Regular, "./index.json", "one"),
            (Regular, &long, "two"),
            (Regular, "a/layer.tar", "three"),
            (Symlink, "b/layer.tar", "../a/layer.tar"),
            (Symlink, "c", "../../etc/passwd"),
            (Symlink, "d", "d"),
        ]);
        let table = [
            ("a name with a dot", "index.json", Some("one")),
            ("a long name", &long, Some("two")),
            ("a link, as docker writes for a layer that two images have", "b/layer.tar", Some("three")),
            ("a link that leads out", "c", None),
            ("a link to itself", "d", None),
            ("nothing", "e", None),
        ];
        for (comment, name, expected) in table {
            assert_eq!(read(&bytes, name).as_deref(), expected, "{comment}");
        }
    }

    #[test]
    fn what_is_no_archive_is_told() {
        use tar::EntryType::Regular;
        let scan =
            |bytes: &[u8]| ArchiveFiles::scan(&mut Cursor::new(bytes)).map(drop).map_err(|error| error.to_string());
        let good = archive(&[(Regular, "a", &"x".repeat(2000))]);
        let twice = archive(&[(Regular, "a", "1"), (Regular, "./a", "2")]);
        let table: [(&str, &[u8], Result<(), &str>); 6] = [
            ("an archive", &good, Ok(())),
            ("nothing", b"", Ok(())),
            ("a file cut short", &good[..1024], Err("it ends before the end of its file `a`")),
            ("two of a name", &twice, Err("it has two files named `a`")),
            ("text", &[b'x'; 600], Err("there is no tar header at byte 0")),
            ("gzip", &[&[0x1f, 0x8b][..], &[0; 600]].concat(), Err("it is compressed as a whole")),
        ];
        for (comment, bytes, expected) in table {
            assert_eq!(scan(bytes), expected.map_err(str::to_owned), "{comment}");
        }
    }

    proptest::proptest! {
        #[test]
        fn whatever_is_found_lies_in_the_archive(changes in proptest::collection::vec((0usize..6000, 0u8..), 0..8)) {
            use tar::EntryType::{Regular, Symlink};
            let long = "long/".repeat(60) + "name";
            let mut bytes = archive(&[(Regular, "a", "one"), (Regular, &long, "two"), (Symlink, "b", "./a")]);
            for (at, byte) in changes {
                let at = at % bytes.len();
                bytes[at] = byte;
            }
            // No luck is enough to guess a checksum.
            for block in bytes.chunks_exact_mut(512).filter(|block| &block[257..262] == b"ustar") {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            if let Ok(files) = ArchiveFiles::scan(&mut Cursor::new(&bytes)) {
                for (name, section) in files.below("") {
                    proptest::prop_assert!(section.position + section.size <= bytes.len() as u64);
                    proptest::prop_assert!(!name.split('/').any(|part| matches!(part, "" | "." | "..")), "`{}`", name);
                }
            }
        }
    }
}
