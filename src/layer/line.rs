//! From pieces made in any order to the bytes of a blob.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::compression::Codec;
use super::tar_entry::BLOCK;
use super::{Layer, LayerPlan, PackError, Packing};
use crate::cancel::Cancelled;
use crate::digest::{DiffId, Digest, Hasher};
use crate::manifest::Descriptor;

/// A piece of the tar, and the same compressed.
pub(super) struct Piece {
    pub buffers: Buffers,
    /// Of the compressed bytes.
    pub digest: Digest,
}

/// What a piece is made in. Taken from the line and given back to it, so that no memory is asked for twice.
#[derive(Default)]
pub(super) struct Buffers {
    pub tar: Vec<u8>,
    pub compressed: Vec<u8>,
}

/// So many buffers are kept for later pieces at most.
const SPARE: usize = 4;

/// Where pieces made in any order are hashed and written in theirs.
pub(super) struct Line<'a, W> {
    state: Mutex<State<W>>,
    moved: Condvar,
    packing: Packing<'a>,
}

struct State<W> {
    /// The number of the piece to be written next.
    turn: u64,
    waiting: BTreeMap<u64, Piece>,
    /// How many bytes of tar wait.
    waiting_bytes: u64,
    spare: Vec<Buffers>,
    stopped: bool,
    /// Where pieces are written; away while somebody writes.
    output: Option<Output<W>>,
}

impl<W> State<W> {
    /// The smallest spare buffers for so many bytes: large ones are for large pieces, or all would become large.
    fn buffers(&mut self, length: usize) -> Buffers {
        let fits = |(_, spare): &(usize, &Buffers)| spare.tar.capacity() >= length;
        let best = self.spare.iter().enumerate().filter(fits).min_by_key(|(_, spare)| spare.tar.capacity());
        match best.map(|(place, _)| place) {
            Some(place) => self.spare.swap_remove(place),
            None => Buffers { tar: Vec::with_capacity(length), ..Buffers::default() },
        }
    }
}

/// What comes out of the line.
struct Output<W> {
    sink: W,
    tar: Hasher,
    tar_bytes: u64,
    blob: Hasher,
    blob_bytes: u64,
    pieces: Vec<(u64, u64, Digest)>,
}

impl<W: Write> Output<W> {
    fn write(&mut self, piece: &Piece) -> Result<(), PackError> {
        let Buffers { tar, compressed } = &piece.buffers;
        self.tar.update(tar);
        self.tar_bytes += tar.len() as u64;
        self.blob.update(compressed);
        self.pieces.push((self.blob_bytes, compressed.len() as u64, piece.digest));
        self.blob_bytes += compressed.len() as u64;
        self.sink.write_all(compressed).map_err(PackError::Write)
    }
}

impl<'a, W: Write> Line<'a, W> {
    pub fn new(sink: W, packing: Packing<'a>) -> Self {
        let output = Output {
            sink,
            tar: Hasher::default(),
            tar_bytes: 0,
            blob: Hasher::default(),
            blob_bytes: 0,
            pieces: Vec::new(),
        };
        let (waiting, spare) = (BTreeMap::new(), Vec::new());
        let state = State { turn: 0, waiting, waiting_bytes: 0, spare, stopped: false, output: Some(output) };
        Self { state: Mutex::new(state), moved: Condvar::new(), packing }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits as long as more than `ahead` bytes wait for an earlier piece than `number`. Gives buffers to make it in, whose
    /// tar will have `length` bytes.
    pub fn wait_for_turn(&self, number: u64, ahead: u64, length: usize) -> Result<Buffers, PackError> {
        self.packing.cancellation.check()?;
        let mut state = self.lock();
        while !state.stopped && number > state.turn && state.waiting_bytes > ahead {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped { Err(Cancelled.into()) } else { Ok(state.buffers(length)) }
    }

    /// Takes a piece, and writes all whose turn has come, unless another thread is at that already, which will not end
    /// before it has written this one too.
    pub fn put(&self, number: u64, piece: Piece) -> Result<(), PackError> {
        let mut state = self.lock();
        state.waiting_bytes += piece.buffers.tar.len() as u64;
        state.waiting.insert(number, piece);
        let Some(mut output) = state.output.take() else { return Ok(()) };
        loop {
            let turn = state.turn;
            let Some(piece) = state.waiting.remove(&turn) else { break };
            state.waiting_bytes -= piece.buffers.tar.len() as u64;
            drop(state);
            output.write(&piece)?;
            (self.packing.on_bytes)(piece.buffers.tar.len() as u64);
            state = self.lock();
            state.turn += 1;
            if state.spare.len() < SPARE {
                state.spare.push(piece.buffers);
            }
            self.moved.notify_all();
        }
        state.output = Some(output);
        Ok(())
    }

    /// Lets the others stop too.
    pub fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    /// Writes tar's end, two blocks of zeros. Gives the finished layer, and offset, length and digest of each piece before
    /// the end.
    pub fn finish(self, plan: &LayerPlan) -> Result<(Layer, Vec<(u64, u64, Digest)>), PackError> {
        let compression = self.packing.compression;
        let state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        // It is away only after a failure.
        let Some(mut output) = state.output else { return Err(Cancelled.into()) };
        let pieces = std::mem::take(&mut output.pieces);
        let mut buffers = Buffers { tar: vec![0; 2 * BLOCK], ..Buffers::default() };
        Codec::new(compression)?.compress(&buffers.tar, &mut buffers.compressed)?;
        output.write(&Piece { digest: Digest::of(&buffers.compressed), buffers })?;
        output.sink.flush().map_err(PackError::Write)?;
        let layer = Layer {
            descriptor: Descriptor::new(compression.media_type(), output.blob.finish(), output.blob_bytes),
            diff_id: DiffId::of_tar(output.tar.finish()),
            role: plan.role,
            tar_bytes: output.tar_bytes,
        };
        Ok((layer, pieces))
    }
}
