//! The bytes of a tarball before and after the decompressor: counted, bounded, kept.

use std::cell::{Cell, RefCell};
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;

use super::{TarballLimits, archive_inside};

/// A tarball without its compression, if it has one.
pub(super) fn uncompressed<'a>(tarball: impl BufRead + 'a, state: &Rc<State>) -> io::Result<Box<dyn Read + 'a>> {
    archive_inside(Compressed(tarball, state.clone()))
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
