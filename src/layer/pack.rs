use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use libdeflater::{CompressionLvl, Compressor};

use super::piece::{PIECE, Stream};
use super::tar_entry::BLOCK;
use super::{Layer, LayerPlan};
use crate::cancel::{Cancellation, Cancelled};
use crate::digest::{DiffId, Hasher};
use crate::host::HostError;
use crate::manifest::{Descriptor, media_type};
use crate::path::HostPath;

/// libdeflate's level: measured as the best ratio that still keeps one core above 100 MB/s.
const LEVEL: i32 = 6;

/// How to pack.
#[derive(Clone, Copy)]
pub struct Packing<'a> {
    /// The time of every entry, in seconds since 1970.
    pub mtime: u64,
    /// How many threads work. The bytes do not depend on it.
    pub threads: usize,
    /// Ends the work early.
    pub cancellation: &'a Cancellation,
    /// Told of every number of tar bytes that are done.
    pub on_bytes: &'a (dyn Fn(u64) + Sync),
}

/// Why a layer cannot be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// A file could not be read.
    #[error(transparent)]
    Read(HostError),
    /// A file has another size than when it was planned.
    #[error("the file changed while it was packed: `{0}`")]
    Changed(HostPath),
    /// The blob could not be written.
    #[error("cannot write the layer: {0}")]
    Write(io::Error),
    /// No thread to work with.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    /// The compressor refused; it says so only when its output buffer is too small.
    #[error("cannot compress: {0}")]
    Compress(String),
    /// The user ended the build.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl PackError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Changed(_) => Some("wait until nothing writes to the workspace, then build again".into()),
            _ => None,
        }
    }
}

/// Packs a layer into `sink`. Memory stays below a few mebibytes for each thread, whatever the size of the layer or of a
/// file.
pub fn pack<W: Write + Send>(plan: &LayerPlan, packing: Packing<'_>, sink: W) -> Result<Layer, PackError> {
    let streams: Vec<Stream<'_>> =
        plan.fragments.iter().map(|fragment| Stream::of(&fragment.tree, packing.mtime)).collect();
    let pieces: Vec<(usize, u64)> = streams
        .iter()
        .enumerate()
        .flat_map(|(stream, described)| (0..described.pieces()).map(move |number| (stream, number)))
        .collect();
    let line = Line::new(sink, packing);
    let next = AtomicU64::new(0);
    let work = |number_of_threads: u64| -> Result<(), PackError> {
        let mut compressor = new_compressor();
        // A thread runs ahead of the slowest by a few pieces at most, which bounds the memory.
        let ahead = number_of_threads * 4;
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(stream, piece)) = pieces.get(number as usize) else { return Ok(()) };
            let done = line
                .wait_for_turn(number, ahead)
                .and_then(|()| make_piece(&streams[stream], piece, &mut compressor))
                .and_then(|piece| line.put(number, piece));
            if let Err(error) = done {
                // Nobody may wait for a piece that never comes.
                line.stop();
                return Err(error);
            }
        }
    };
    run_on_threads(packing.threads.clamp(1, pieces.len().max(1)), &work)?;
    line.finish(plan)
}

fn new_compressor() -> Compressor {
    // A level libdeflate does not know is impossible here; its default is the same level.
    Compressor::new(CompressionLvl::new(LEVEL).unwrap_or_default())
}

/// Runs `work` on this many threads, the caller's among them. The first error counts.
fn run_on_threads(threads: usize, work: &(dyn Fn(u64) -> Result<(), PackError> + Sync)) -> Result<(), PackError> {
    thread::scope(|scope| {
        let mut started = Vec::new();
        for _ in 1..threads {
            let thread = thread::Builder::new().spawn_scoped(scope, || work(threads as u64));
            started.push(thread.map_err(PackError::Thread)?);
        }
        let mut result = work(threads as u64);
        for thread in started {
            let other = thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
            // Those who were merely stopped know less than the one who failed.
            if matches!(result, Ok(()) | Err(PackError::Cancelled(_))) && other.is_err() {
                result = other;
            }
        }
        result
    })
}

/// A piece of the tar, and the same compressed.
struct Piece {
    tar: Vec<u8>,
    compressed: Vec<u8>,
}

fn make_piece(stream: &Stream<'_>, number: u64, compressor: &mut Compressor) -> Result<Piece, PackError> {
    let mut tar = Vec::with_capacity(PIECE.min(stream.length()) as usize + 1);
    stream.piece(number, &mut tar)?;
    compress(tar, compressor)
}

/// One gzip member: no time, no name, and "unknown" as the operating system, as libdeflate writes it.
fn compress(tar: Vec<u8>, compressor: &mut Compressor) -> Result<Piece, PackError> {
    let mut compressed = vec![0; compressor.gzip_compress_bound(tar.len())];
    let length =
        compressor.gzip_compress(&tar, &mut compressed).map_err(|error| PackError::Compress(error.to_string()))?;
    compressed.truncate(length);
    Ok(Piece { tar, compressed })
}

/// Where pieces made in any order are hashed and written in theirs.
struct Line<'a, W> {
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
    stopped: bool,
}

impl<W: Write> State<W> {
    fn write(&mut self, piece: &Piece) -> Result<(), PackError> {
        self.tar.update(&piece.tar);
        self.tar_bytes += piece.tar.len() as u64;
        self.blob.update(&piece.compressed);
        self.blob_bytes += piece.compressed.len() as u64;
        self.sink.write_all(&piece.compressed).map_err(PackError::Write)
    }
}

impl<'a, W: Write> Line<'a, W> {
    fn new(sink: W, packing: Packing<'a>) -> Self {
        let state = State {
            sink,
            turn: 0,
            waiting: BTreeMap::new(),
            tar: Hasher::default(),
            tar_bytes: 0,
            blob: Hasher::default(),
            blob_bytes: 0,
            stopped: false,
        };
        Self { state: Mutex::new(state), moved: Condvar::new(), packing }
    }

    fn lock(&self) -> MutexGuard<'_, State<W>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until piece `number` is at most `ahead` pieces before its turn.
    fn wait_for_turn(&self, number: u64, ahead: u64) -> Result<(), PackError> {
        self.packing.cancellation.check()?;
        let mut state = self.lock();
        while !state.stopped && number > state.turn + ahead {
            state = self.moved.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.stopped { Err(Cancelled.into()) } else { Ok(()) }
    }

    /// Takes a piece, and writes all whose turn has come.
    fn put(&self, number: u64, piece: Piece) -> Result<(), PackError> {
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
    fn stop(&self) {
        self.lock().stopped = true;
        self.moved.notify_all();
    }

    /// Writes tar's end, two blocks of zeros, and gives the finished layer.
    fn finish(self, plan: &LayerPlan) -> Result<Layer, PackError> {
        let mut state = self.state.into_inner().unwrap_or_else(PoisonError::into_inner);
        state.write(&compress(vec![0; 2 * BLOCK], &mut new_compressor())?)?;
        state.sink.flush().map_err(PackError::Write)?;
        Ok(Layer {
            descriptor: Descriptor::new(media_type::LAYER_GZIP, state.blob.finish(), state.blob_bytes),
            diff_id: DiffId::of_tar(state.tar.finish()),
            role: plan.role,
            tar_bytes: state.tar_bytes,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;

    use proptest::prelude::*;

    use super::*;
    use crate::digest::Digest;
    use crate::layer::{Content, Entry, FileTree, Fragment, LayerRole, Owner};
    use crate::path::ImagePath;

    const OWNER: Owner = Owner { uid: 1001, gid: 1001 };

    fn packed(plan: &LayerPlan, threads: usize) -> (Layer, Vec<u8>) {
        let mut blob = Vec::new();
        let cancellation = Cancellation::default();
        let layer =
            pack(plan, Packing { mtime: 1, threads, cancellation: &cancellation, on_bytes: &|_| () }, &mut blob);
        (layer.unwrap(), blob)
    }

    fn plan_of(files: &[(String, Vec<u8>)]) -> LayerPlan {
        let fragments = files.chunks(3).enumerate().map(|(number, files)| {
            let mut tree = FileTree::default();
            for (name, content) in files {
                let path = ImagePath::new(format!("/{number}/{name}")).unwrap();
                tree.insert(path, Entry::file(Content::Bytes(content.clone()), false, OWNER)).unwrap();
            }
            Fragment { label: number.to_string(), tree }
        });
        LayerPlan { role: LayerRole::Packages, fragments: fragments.collect() }
    }

    /// Names and contents, as an independent reader sees them.
    fn unpacked(blob: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(flate2::read::MultiGzDecoder::new(blob));
        let read = archive.entries().unwrap().map(|entry| {
            let mut entry = entry.unwrap();
            let name = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            (name, content)
        });
        read.collect()
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        #[test]
        fn any_tree_comes_back_and_threads_do_not_matter(
            sizes in proptest::collection::btree_map("[a-z]{1,120}", 0usize..3_000_000, 1..7)
        ) {
            let files: Vec<_> = sizes
                .into_iter()
                .map(|(name, size)| (name, (0..size).map(|i| (i * 31 % 251) as u8).collect::<Vec<_>>()))
                .collect();
            let plan = plan_of(&files);
            let (layer, blob) = packed(&plan, 1);
            prop_assert_eq!(layer.descriptor().digest, Digest::of(&blob));
            prop_assert_eq!(layer.descriptor().size, blob.len() as u64);
            let mut tar = Vec::new();
            flate2::read::MultiGzDecoder::new(&blob[..]).read_to_end(&mut tar).unwrap();
            prop_assert_eq!(layer.diff_id(), DiffId::of_tar(Digest::of(&tar)));
            prop_assert_eq!(layer.tar_bytes(), tar.len() as u64);
            let expected: Vec<_> = plan
                .fragments
                .iter()
                .flat_map(|fragment| fragment.tree.iter())
                .map(|(path, entry)| {
                    let crate::layer::Kind::File(Content::Bytes(bytes)) = &entry.kind else { unreachable!() };
                    (path.to_string()[1..].to_owned(), bytes.clone())
                })
                .collect();
            prop_assert_eq!(unpacked(&blob), expected);
            for threads in [2, 8] {
                prop_assert_eq!(&packed(&plan, threads), &(layer.clone(), blob.clone()));
            }
        }
    }

    /// Guards the recipe: if one of these changes, `RECIPE` has to change with it.
    #[test]
    fn golden_bytes() {
        let content: Vec<u8> =
            (0u32..700_000).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        let (layer, _) = packed(&plan_of(&[("a".into(), content), ("b".into(), b"b".to_vec())]), 2);
        assert_eq!(
            layer.diff_id().to_string(),
            "sha256:2f10ade8636f805752d896d77b595828dcbb5595ef40ef5bc44d4d3cf0391916"
        );
        assert_eq!(
            layer.descriptor().digest.to_string(),
            "sha256:c0cafc3509b7c7595b1f21f5ebda3bfb3b922cceab1cd1e689d95da5fd55df7a"
        );
    }

    #[test]
    fn a_file_that_changes_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = HostPath::new(dir.path().join("a"));
        for (comment, content) in [("shorter", "1234"), ("longer", "123456")] {
            fs::write(&path, content).unwrap();
            let mut tree = FileTree::default();
            let file = Entry::file(Content::Host { path: path.clone(), size: 5 }, false, OWNER);
            tree.insert(ImagePath::new("/a").unwrap(), file).unwrap();
            let fragments = vec![Fragment { label: "a".into(), tree }];
            let plan = LayerPlan { role: LayerRole::Packages, fragments };
            let cancellation = Cancellation::default();
            let packing = Packing { mtime: 1, threads: 2, cancellation: &cancellation, on_bytes: &|_| () };
            let result = pack(&plan, packing, io::sink());
            assert!(matches!(result, Err(PackError::Changed(_))), "{comment}");
        }
    }

    #[test]
    fn cancelling_and_a_full_disk_end_it() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let files: Vec<_> = (0..40).map(|i| (format!("{i}"), vec![7; 1 << 20])).collect();
        let plan = plan_of(&files);
        for threads in [1, 2, 8] {
            let cancellation = Cancellation::default();
            let packing = Packing { mtime: 1, threads, cancellation: &cancellation, on_bytes: &|_| () };
            assert!(matches!(pack(&plan, packing, Full), Err(PackError::Write(_))));
            let on_bytes = |_| cancellation.cancel();
            let packing = Packing { on_bytes: &on_bytes, ..packing };
            assert!(matches!(pack(&plan, packing, io::sink()), Err(PackError::Cancelled(_))));
        }
    }
}
