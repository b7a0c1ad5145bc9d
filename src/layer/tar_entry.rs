//! Canonical tar headers: the bytes before an entry's content.
//!
//! ustar (POSIX.1-1988), with a PAX record (POSIX.1-2001) only where ustar cannot hold a name or a size. No user or
//! group names, no access or change times, no process id in the name of a PAX record: nothing that differs by host.

use super::{Entry, Kind};
use crate::path::ImagePath;

/// Tar's unit: headers and contents fill whole blocks.
pub(super) const BLOCK: usize = 512;

/// The largest size that the eleven octal digits of a ustar header hold, and the largest owner for seven.
const USTAR_SIZE_LIMIT: u64 = 0o77_777_777_777;
const USTAR_ID_LIMIT: u32 = 0o7_777_777;

/// The header blocks of an entry.
pub(super) fn header(path: &ImagePath, entry: &Entry, mtime: u64) -> Vec<u8> {
    let mut name = path.tar_name().to_vec();
    let (kind, size, target) = match &entry.kind {
        Kind::Directory => {
            name.push(b'/');
            (b'5', 0, Vec::new())
        }
        Kind::File(content) => (b'0', content.size(), Vec::new()),
        Kind::Symlink(target) => (b'2', 0, target.as_os_str().as_encoded_bytes().to_vec()),
        // Relative to the layer's root: Docker refuses absolute targets of hard links.
        Kind::HardLink(target) => (b'1', 0, target.tar_name().to_vec()),
    };
    let mut records = Vec::new();
    let (prefix, short_name) = split_name(&name).unwrap_or_else(|| {
        records.extend(pax_record(b"path", &name));
        (&[], &name[..name.len().min(100)])
    });
    if target.len() > 100 || !target.is_ascii() {
        records.extend(pax_record(b"linkpath", &target));
    }
    if size > USTAR_SIZE_LIMIT {
        records.extend(pax_record(b"size", size.to_string().as_bytes()));
    }
    for (key, id) in [(&b"uid"[..], entry.owner.uid), (b"gid", entry.owner.gid)] {
        if id > USTAR_ID_LIMIT {
            records.extend(pax_record(key, id.to_string().as_bytes()));
        }
    }
    let mut bytes = Vec::with_capacity(BLOCK);
    if !records.is_empty() {
        let pax = Block {
            name: b"PaxHeader",
            mode: 0o644,
            size: records.len() as u64,
            mtime,
            kind: b'x',
            ..Block::default()
        };
        bytes.extend(pax.encode());
        bytes.extend(&records);
        bytes.resize(bytes.len().next_multiple_of(BLOCK), 0);
    }
    let block = Block {
        name: short_name,
        prefix,
        mode: entry.mode,
        uid: entry.owner.uid,
        gid: entry.owner.gid,
        size,
        mtime,
        kind,
        target: &target[..target.len().min(100)],
    };
    bytes.extend(block.encode());
    bytes
}

/// The length of [`header`], found out without making it where one block is enough, as for nearly every entry.
pub(super) fn header_length(path: &ImagePath, entry: &Entry, mtime: u64) -> u64 {
    let name = path.tar_name();
    let fits = match &entry.kind {
        Kind::Directory => name.len() < 100,
        Kind::File(content) => name.len() <= 100 && content.size() <= USTAR_SIZE_LIMIT,
        Kind::Symlink(_) | Kind::HardLink(_) => false,
    };
    let small_ids = entry.owner.uid <= USTAR_ID_LIMIT && entry.owner.gid <= USTAR_ID_LIMIT;
    match fits && small_ids && name.is_ascii() {
        true => BLOCK as u64,
        false => header(path, entry, mtime).len() as u64,
    }
}

/// Cuts a name at a slash into ustar's prefix (155 bytes) and name (100 bytes). `None` if it cannot be cut so, or holds
/// bytes that ustar leaves undefined.
fn split_name(name: &[u8]) -> Option<(&[u8], &[u8])> {
    if !name.is_ascii() {
        return None;
    }
    if name.len() <= 100 {
        return Some((&[], name));
    }
    // The last byte may be a directory's slash, at which no name can be cut.
    let cuts = (0..name.len() - 1).filter(|&at| name[at] == b'/');
    let cut = cuts.into_iter().find(|&at| name.len() - at - 1 <= 100)?;
    (1..=155).contains(&cut).then(|| (&name[..cut], &name[cut + 1..]))
}

/// `LENGTH KEY=VALUE\n`, where the length counts its own digits.
fn pax_record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let rest = key.len() + value.len() + 3;
    let mut length = rest + 1;
    while length != rest + length.to_string().len() {
        length = rest + length.to_string().len();
    }
    let mut record = length.to_string().into_bytes();
    record.push(b' ');
    record.extend(key);
    record.push(b'=');
    record.extend(value);
    record.push(b'\n');
    record
}

#[derive(Default)]
struct Block<'a> {
    name: &'a [u8],
    prefix: &'a [u8],
    mode: u32,
    uid: u32,
    gid: u32,
    size: u64,
    mtime: u64,
    kind: u8,
    target: &'a [u8],
}

impl Block<'_> {
    fn encode(&self) -> [u8; BLOCK] {
        let mut block = [0; BLOCK];
        let mut put = |at: usize, bytes: &[u8]| block[at..at + bytes.len()].copy_from_slice(bytes);
        put(0, self.name);
        put(100, &octal(self.mode.into(), 7));
        put(108, &octal(id_or_zero(self.uid), 7));
        put(116, &octal(id_or_zero(self.gid), 7));
        put(124, &octal(if self.size > USTAR_SIZE_LIMIT { 0 } else { self.size }, 11));
        put(136, &octal(self.mtime, 11));
        put(148, b"        ");
        put(156, &[self.kind]);
        put(157, self.target);
        put(257, b"ustar\x0000");
        put(345, self.prefix);
        let checksum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(&[octal(checksum.into(), 6).as_slice(), b"\0"].concat());
        block
    }
}

/// What PAX records say instead is zero in the ustar header.
fn id_or_zero(id: u32) -> u64 {
    if id > USTAR_ID_LIMIT { 0 } else { id.into() }
}

fn octal(value: u64, digits: usize) -> Vec<u8> {
    format!("{value:0digits$o}").into_bytes()
}

#[cfg(test)]
mod tests {
    use std::io::Read as _;

    use super::*;
    use crate::layer::{Content, Owner};

    /// What an independent reader (the `tar` crate) makes of one entry.
    fn read_back(path: &str, entry: &Entry) -> (String, u32, u64, u64, u64, Option<String>, Vec<u8>) {
        let mut bytes = header(&ImagePath::new(path).unwrap(), entry, 1);
        if let Kind::File(Content::Bytes(content)) = &entry.kind {
            bytes.extend(content);
        }
        bytes.resize(bytes.len().next_multiple_of(BLOCK) + 2 * BLOCK, 0);
        let mut archive = tar::Archive::new(&bytes[..]);
        let mut read = archive.entries().unwrap().next().unwrap().unwrap();
        let mut content = Vec::new();
        read.read_to_end(&mut content).unwrap();
        (
            String::from_utf8(read.path_bytes().into_owned()).unwrap(),
            read.header().mode().unwrap(),
            read.header().uid().unwrap(),
            read.header().gid().unwrap(),
            read.header().mtime().unwrap(),
            read.link_name_bytes().map(|link| String::from_utf8(link.into_owned()).unwrap()),
            content,
        )
    }

    #[test]
    fn names_of_every_length_are_read_back() {
        let owner = Owner { uid: 1001, gid: 1002 };
        for length in (1..420).chain([1000, 5000]) {
            for slash_every in [7, 99, 100, 101, 160] {
                let name: String =
                    (1..=length).map(|i| if i % slash_every == 0 && i != length { '/' } else { 'x' }).collect();
                let path = format!("/{name}");
                let file = Entry::file(Content::Bytes(b"hi".to_vec()), true, owner);
                for entry in [&file, &Entry::directory(owner), &Entry::symlink("x", owner)] {
                    let place = ImagePath::new(&path).unwrap();
                    assert_eq!(header_length(&place, entry, 1), header(&place, entry, 1).len() as u64);
                }
                assert_eq!(read_back(&path, &file), (name.clone(), 0o755, 1001, 1002, 1, None, b"hi".to_vec()));
                let (read, ..) = read_back(&path, &Entry::directory(owner));
                assert_eq!(read, format!("{name}/"));
            }
        }
    }

    #[test]
    fn links_and_foreign_letters_are_read_back() {
        let owner = Owner { uid: 0, gid: 0 };
        for target in ["../../packages/shared", &"t/".repeat(80), "détour"] {
            let (.., link, _) = read_back("/app/liên-kết", &Entry::symlink(target, owner));
            assert_eq!(link.as_deref(), Some(target));
        }
        let (name, ..) = read_back("/app/é", &Entry::directory(owner));
        assert_eq!(name, "app/é/");
    }

    #[test]
    fn pax_records_count_their_own_digits() {
        for length in 0..1200 {
            let record = pax_record(b"path", &vec![b'a'; length]);
            let digits = record.split(|&byte| byte == b' ').next().unwrap();
            assert_eq!(std::str::from_utf8(digits).unwrap().parse::<usize>().unwrap(), record.len());
        }
    }
}
