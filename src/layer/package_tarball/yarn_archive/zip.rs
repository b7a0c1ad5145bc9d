//! The bytes of the archive, as `libzip` writes them.
//!
//! Source: PKWARE, APPNOTE.TXT 6.3.9, 4.3 (headers) and 4.4 (their fields); `libzip`, `lib/zip_dirent.c`, `lib/zip_close.c`.

use std::io::{self, Read, Seek, SeekFrom};

use ring::digest::{Context, SHA512};

use super::entries::{Entry, Kind};
use crate::workspace::lockfiles::{Hash, HashAlgorithm};

const LOCAL_HEADER: u32 = 0x0403_4b50;
const DIRECTORY_HEADER: u32 = 0x0201_4b50;
const DIRECTORY_END: u32 = 0x0605_4b50;
const DIRECTORY_END_64: u32 = 0x0606_4b50;
const DIRECTORY_END_64_LOCATOR: u32 = 0x0706_4b50;

/// 1984-06-22 21:50:00, the one time of all entries, as MS-DOS has it: first the time, then the date.
const TIME: [u16; 2] = [21 << 11 | 50 << 5, 4 << 9 | 6 << 5 | 22];

/// Made on Unix (3), by version 6.3 of the specification.
const MADE_BY: u16 = 3 << 8 | 63;

const PIECE: usize = 64 << 10;

/// What both headers of an entry say.
struct Header<'a> {
    path: &'a str,
    is_directory: bool,
    /// File type and permissions, as Unix has them.
    mode: u32,
    crc: u32,
    size: u64,
    offset: u64,
}

/// The SHA-512 of the archive of these entries, whose contents lie in `tar`.
pub(super) fn hash(entries: &[Entry], mut tar: impl Read + Seek) -> io::Result<Hash> {
    let mut archive = Archive { context: Context::new(&SHA512), length: 0 };
    let mut offsets = Vec::with_capacity(entries.len());
    for entry in entries {
        offsets.push(archive.length);
        header(entry, archive.length).local(&mut archive)?;
        match &entry.kind {
            Kind::Directory => {}
            Kind::Link(target) => archive.take(target.as_bytes()),
            Kind::File { offset, size, .. } => archive.copy(&mut tar, *offset, *size)?,
        }
    }
    let start = archive.length;
    for (entry, offset) in entries.iter().zip(offsets) {
        header(entry, offset).directory(&mut archive)?;
    }
    archive.end(entries.len() as u64, start)?;
    let bytes = archive.context.finish().as_ref().to_vec();
    Hash::new(HashAlgorithm::Sha512, bytes).ok_or_else(|| io::Error::other("not a SHA-512"))
}

fn header(entry: &Entry, offset: u64) -> Header<'_> {
    let header = Header { path: &entry.path, is_directory: false, mode: 0, crc: 0, size: 0, offset };
    match &entry.kind {
        Kind::Directory => Header { is_directory: true, mode: 0o040_755, ..header },
        Kind::File { executable, size, crc, .. } => {
            let mode = if *executable { 0o100_755 } else { 0o100_644 };
            Header { mode, crc: *crc, size: *size, ..header }
        }
        Kind::Link(target) => {
            let mut crc = flate2::Crc::new();
            crc.update(target.as_bytes());
            Header { mode: 0o120_777, crc: crc.sum(), size: target.len() as u64, ..header }
        }
    }
}

impl Header<'_> {
    fn local(&self, archive: &mut Archive) -> io::Result<()> {
        archive.u32(&[LOCAL_HEADER]);
        self.common(archive)?;
        self.name(archive);
        Ok(())
    }

    fn directory(&self, archive: &mut Archive) -> io::Result<()> {
        archive.u32(&[DIRECTORY_HEADER]);
        archive.u16(&[MADE_BY]);
        self.common(archive)?;
        // No comment, on the first disk, without internal attributes.
        archive.u16(&[0; 3]);
        archive.u32(&[self.mode << 16]);
        archive.u32(&[small(self.offset)?]);
        self.name(archive);
        Ok(())
    }

    /// From the version that is needed to the length of the extra field.
    fn common(&self, archive: &mut Archive) -> io::Result<()> {
        let [time, date] = TIME;
        let needed = if self.is_directory { 20 } else { 10 };
        // The contents are stored.
        archive.u16(&[needed, self.flags(), 0, time, date]);
        let size = small(self.size)?;
        archive.u32(&[self.crc, size, size]);
        let length = self.path.len() + usize::from(self.is_directory);
        archive.u16(&[u16::try_from(length).map_err(|_| too_large())?]);
        archive.u16(&[0]);
        Ok(())
    }

    /// Bit 11 says that the name is UTF-8, which libzip guesses from its bytes.
    fn flags(&self) -> u16 {
        let is_text = !self.path.bytes().any(|byte| byte < b' ' && !matches!(byte, b'\t' | b'\n' | b'\r'));
        u16::from(!self.path.is_ascii() && is_text) << 11
    }

    fn name(&self, archive: &mut Archive) {
        archive.take(self.path.as_bytes());
        if self.is_directory {
            archive.take(b"/");
        }
    }
}

/// The archive, of which only the hash and the length are kept.
struct Archive {
    context: Context,
    length: u64,
}

impl Archive {
    fn take(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
        self.length += bytes.len() as u64;
    }

    fn u16(&mut self, fields: &[u16]) {
        fields.iter().for_each(|field| self.take(&field.to_le_bytes()));
    }

    fn u32(&mut self, fields: &[u32]) {
        fields.iter().for_each(|field| self.take(&field.to_le_bytes()));
    }

    fn u64(&mut self, fields: &[u64]) {
        fields.iter().for_each(|field| self.take(&field.to_le_bytes()));
    }

    fn copy(&mut self, tar: &mut (impl Read + Seek), offset: u64, size: u64) -> io::Result<()> {
        tar.seek(SeekFrom::Start(offset))?;
        let mut content = tar.take(size);
        let mut piece = vec![0; PIECE.min(usize::try_from(size).unwrap_or(PIECE))];
        let before = self.length;
        while self.length - before < size {
            match content.read(&mut piece)? {
                0 => return Err(io::Error::from(io::ErrorKind::UnexpectedEof)),
                count => self.take(&piece[..count]),
            }
        }
        Ok(())
    }

    /// What follows the last header of the directory, which started at `start`.
    fn end(&mut self, entries: u64, start: u64) -> io::Result<()> {
        let end = self.length;
        if entries > u64::from(u16::MAX) {
            self.u32(&[DIRECTORY_END_64]);
            // What follows of this record.
            self.u64(&[44]);
            self.u16(&[45; 2]);
            self.u32(&[0; 2]);
            self.u64(&[entries, entries, end - start, start]);
            self.u32(&[DIRECTORY_END_64_LOCATOR]);
            self.u32(&[0]);
            self.u64(&[end]);
            self.u32(&[1]);
        }
        self.u32(&[DIRECTORY_END]);
        let entries = u16::try_from(entries).unwrap_or(u16::MAX);
        self.u16(&[0, 0, entries, entries]);
        self.u32(&[small(end - start)?, small(start)?]);
        self.u16(&[0]);
        Ok(())
    }
}

/// A size or an offset, of which packages have none that needs more.
fn small(number: u64) -> io::Result<u32> {
    u32::try_from(number).map_err(|_| too_large())
}

fn too_large() -> io::Error {
    io::Error::from(io::ErrorKind::FileTooLarge)
}
