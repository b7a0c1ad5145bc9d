//! The bytes of a tarball before and after the decompressor: counted, bounded, kept.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;

use flate2::bufread::GzDecoder;

use super::TarballLimits;

/// The first bytes of a gzip stream. npm takes plain archives too.
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// A tarball without its compression, if it has one.
pub(super) fn uncompressed<'a>(mut tarball: impl BufRead + 'a, state: &Rc<State>) -> io::Result<Box<dyn Read + 'a>> {
    let is_gzip = tarball.fill_buf()?.starts_with(&GZIP);
    let compressed = Compressed(tarball, state.clone());
    Ok(match is_gzip {
        true => Box::new(Members(Some(GzDecoder::new(compressed)))),
        false => Box::new(compressed),
    })
}

/// Members of a gzip stream in a row. What follows the last of them and is none is padding, as it is for Node's zlib:
/// some old tarballs have it.
struct Members<R>(Option<GzDecoder<R>>);

impl<R: BufRead> Read for Members<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(mut member) = self.0.take() {
            let count = member.read(buffer)?;
            if count > 0 || buffer.is_empty() {
                self.0 = Some(member);
                return Ok(count);
            }
            let mut rest = member.into_inner();
            let next = rest.fill_buf()?;
            match !next.is_empty() && next.iter().zip(GZIP).all(|(byte, magic)| *byte == magic) {
                true => self.0 = Some(GzDecoder::new(rest)),
                false => _ = io::copy(&mut rest, &mut io::sink())?,
            }
        }
        Ok(0)
    }
}

/// Why the stream refuses to go on.
pub(super) enum Stop {
    TooLarge,
    Keep(io::Error),
}

/// What both ends of the decompressor count.
#[derive(Default)]
pub(super) struct State {
    pub(super) limits: TarballLimits,
    pub(super) compressed: Cell<u64>,
    pub(super) bytes: Cell<u64>,
    pub(super) stopped: RefCell<Option<Stop>>,
}

impl State {
    fn stop(&self, why: Stop) -> io::Error {
        *self.stopped.borrow_mut() = Some(why);
        io::Error::other("stopped")
    }
}

/// The tarball, counted.
struct Compressed<R>(R, Rc<State>);

impl<R: BufRead> Read for Compressed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.0.read(buffer)?;
        self.1.compressed.set(self.1.compressed.get() + count as u64);
        Ok(count)
    }
}

impl<R: BufRead> BufRead for Compressed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, count: usize) {
        self.1.compressed.set(self.1.compressed.get() + count as u64);
        self.0.consume(count);
    }
}

/// The archive inside, bounded and kept.
pub(super) struct Inflated<R, W>(pub(super) R, pub(super) W, pub(super) Rc<State>);

impl<R: Read, W: Write> Read for Inflated<R, W> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Self(reader, keep, state) = self;
        let count = reader.read(buffer)?;
        let bytes = state.bytes.get() + count as u64;
        let limits = &state.limits;
        let dense = bytes > limits.dense_bytes && bytes / limits.ratio.max(1) > state.compressed.get();
        if bytes > limits.bytes || dense {
            return Err(state.stop(Stop::TooLarge));
        }
        state.bytes.set(bytes);
        keep.write_all(&buffer[..count]).map_err(|error| state.stop(Stop::Keep(error)))?;
        Ok(count)
    }
}
