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
    pub tar: Vec<u8>,
    pub compressed: Vec<u8>,
    /// Of the compressed bytes.
    pub digest: Digest,
}

/// Where pieces made in any order are hashed and written in theirs.
pub(super) struct Line<'a, W> {
    state: Mutex<State<W>>,
    moved: Condvar,
    packing: Packing<'a>,
}

struct State<W> {
    sink: W,
    /// The number of the piece to be written next.
    turn: u64,
    waiting: BTreeMap<u64, Piece>,
    tar: Hasher,
    tar_bytes: u64,
    blob: Hasher,
    blob_bytes: u64,
    pieces: Vec<(u64, u64, Digest)>,
    stopped: bool,
}

impl<W: Write> State<W> {
    fn write(&mut self, piece: &Piece) -> Result<(), PackError> {
        self.tar.update(&piece.tar);
        self.tar_bytes += piece.tar.len() as u64;
        self.blob.update(&piece.compressed);
        self.pieces.push((self.blob_bytes, piece.compressed.len() as u64, piece.digest));
        self.blob_bytes += piece.compressed.len() as u64;
        self.sink.write_all(&piece.compressed).map_err(PackError::Write)
    }
}

impl<'a, W: Write> Line<'a, W> {
    pub fn new(sink: W, packing: Packing<'a>) -> Self {
        let state = State {
            sink,
            turn: 0,
            waiting: BTreeMap::new(),
            tar: Hasher::default(),
            tar_bytes: 0,
            blob: Hasher::default(),
            blob_bytes: 0,
            pieces: Vec::new(),
            stopped: false,
        };
        Self { state: Mutex::new(state), moved: Condvar::new(), packing }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until piece `number` is at most `ahead` pieces before its turn.
    pub fn wait_for_turn(&self, number: u64, ahead: u64) -> Result<(), PackError> {
        self.packing.cancellation.check()?;
        let mut state = self.lock();
        while !state.stopped && number > state.turn + ahead {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped { Err(Cancelled.into()) } else { Ok(()) }
    }

    /// Takes a piece, and writes all whose turn has come.
    pub fn put(&self, number: u64, piece: Piece) -> Result<(), PackError> {
        let mut state = self.lock();
        state.waiting.insert(number, piece);
        let mut written = 0;
        loop {
            let turn = state.turn;
            let Some(piece) = state.waiting.remove(&turn) else { break };
            state.write(&piece)?;
            state.turn += 1;
            written += piece.tar.len() as u64;
        }
        drop(state);
        self.moved.notify_all();
        (self.packing.on_bytes)(written);
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
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        let pieces = std::mem::take(&mut state.pieces);
        let tar = vec![0; 2 * BLOCK];
        let compressed = Codec::new(compression).compress(&tar)?;
        state.write(&Piece { digest: Digest::of(&compressed), tar, compressed })?;
        state.sink.flush().map_err(PackError::Write)?;
        let layer = Layer {
            descriptor: Descriptor::new(compression.media_type(), state.blob.finish(), state.blob_bytes),
            diff_id: DiffId::of_tar(state.tar.finish()),
            role: plan.role,
            tar_bytes: state.tar_bytes,
        };
        Ok((layer, pieces))
    }
}
