use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::compression::Codec;
use super::key::{FragmentKey, LayerKeys};
use super::line::Line;
use super::run::Run;
use super::{Layer, LayerPlan};
use crate::cancel::{Cancellation, Cancelled};
use crate::digest::Digest;
use crate::host::HostError;
use crate::manifest::media_type::Compression;
use crate::path::HostPath;

/// How many bytes may wait for the piece that is written next, for each thread.
const AHEAD: u64 = 4 << 20;
/// The same for any number of threads.
const AHEAD_IN_ALL: u64 = 16 << 20;

/// How to pack.
#[derive(Clone, Copy)]
pub struct Packing<'a> {
    /// The time of every entry, in seconds since 1970.
    pub mtime: u64,
    /// How the tar is compressed.
    pub compression: Compression,
    /// How many threads work. The bytes do not depend on it.
    pub threads: usize,
    /// Where pieces that were compressed before are found.
    pub cache: &'a dyn PieceCache,
    /// Ends the work early.
    pub cancellation: &'a Cancellation,
    /// Told of every number of tar bytes that are done.
    pub on_bytes: &'a (dyn Fn(u64) + Sync),
}

/// Finds the compressed bytes of pieces.
pub trait PieceCache: Sync {
    /// Puts the compressed bytes of a fragment's piece, if they are at hand, into `compressed`. They are verified by whoever
    /// asks.
    fn find(&self, fragment: &FragmentKey, number: u64, compressed: &mut Vec<u8>) -> Option<FoundPiece>;
}

/// A piece that need not be compressed again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundPiece {
    /// The digest that the compressed bytes had when they were packed.
    pub digest: Digest,
    /// Whether that was in this very run.
    pub is_new: bool,
}

/// A packed layer, and where in it lies what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Packed {
    /// The layer.
    pub layer: Layer,
    /// Its pieces in their order.
    pub pieces: Vec<PackedPiece>,
    /// The labels of the fragments of which at least one piece had to be compressed.
    pub compressed: Vec<String>,
}

/// Where a piece of a fragment lies in a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PackedPiece {
    /// The fragment, or the run of fragments.
    pub fragment: FragmentKey,
    /// The number of the piece in it, from 0.
    pub number: u64,
    /// Where it starts in the blob.
    pub offset: u64,
    /// How many compressed bytes.
    pub length: u64,
    /// The digest of the compressed bytes.
    pub digest: Digest,
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
pub fn pack<W: Write + Send>(
    plan: &LayerPlan,
    keys: &LayerKeys,
    packing: Packing<'_>,
    sink: W,
) -> Result<Packed, PackError> {
    let runs = Run::of_layer(plan, keys, packing);
    let pieces: Vec<(usize, u64)> = runs
        .iter()
        .enumerate()
        .flat_map(|(place, run)| (0..run.stream.pieces()).map(move |number| (place, number)))
        .collect();
    let line = Line::new(sink, packing);
    let next = AtomicU64::new(0);
    let work = |number_of_threads: u64| -> Result<(), PackError> {
        let mut codec = Codec::new(packing.compression)?;
        // Threads run ahead of the slowest by a few mebibytes at most, which bounds the memory.
        let ahead = (number_of_threads * AHEAD).min(AHEAD_IN_ALL);
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(run, number)) = pieces.get(turn as usize) else { return Ok(()) };
            let done = line
                .wait_for_turn(turn, ahead, runs[run].stream.piece_length(number))
                .and_then(|buffers| runs[run].piece(number, packing.cache, &mut codec, buffers))
                .and_then(|piece| line.put(turn, piece));
            if let Err(error) = done {
                // Nobody may wait for a piece that never comes.
                line.stop();
                return Err(error);
            }
        }
    };
    run_on_threads(packing.threads.clamp(1, pieces.len().max(1)), &work)?;
    let (layer, places) = line.finish(plan)?;
    let piece = |(&(run, number), (offset, length, digest)): (&(usize, u64), (u64, u64, Digest))| {
        let fragment = runs[run].key;
        PackedPiece { fragment, number, offset, length, digest }
    };
    Ok(Packed {
        layer,
        pieces: pieces.iter().zip(places).map(piece).collect(),
        compressed: runs.iter().flat_map(Run::compressed).collect(),
    })
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

#[cfg(test)]
mod tests {
    use std::fs;
    use std::io::Read as _;
    use std::sync::Arc;

    use proptest::prelude::*;

    use super::*;
    use crate::digest::DiffId;
    use crate::layer::{Content, Entry, FileTree, Fragment, HostFile, LayerRole, Owner};
    use crate::path::ImagePath;

    const OWNER: Owner = Owner { uid: 1001, gid: 1001 };

    struct NoCache;

    impl PieceCache for NoCache {
        fn find(&self, _: &FragmentKey, _: u64, _: &mut Vec<u8>) -> Option<FoundPiece> {
            None
        }
    }

    fn packing(threads: usize, cancellation: &Cancellation) -> Packing<'_> {
        let (mtime, compression) = (1, Compression::Gzip);
        Packing { mtime, compression, threads, cache: &NoCache, cancellation, on_bytes: &|_| () }
    }

    fn keys(plan: &LayerPlan) -> LayerKeys {
        LayerKeys::of(plan, 1, Compression::Gzip)
    }

    fn packed(plan: &LayerPlan, threads: usize, compression: Compression) -> (Layer, Vec<u8>) {
        let mut blob = Vec::new();
        let cancellation = Cancellation::default();
        let packing = Packing { compression, ..packing(threads, &cancellation) };
        let packed = pack(plan, &LayerKeys::of(plan, 1, compression), packing, &mut blob);
        (packed.unwrap().layer, blob)
    }

    fn plan_of(files: &[(String, Vec<u8>)]) -> LayerPlan {
        let fragments = files.chunks(3).enumerate().map(|(number, files)| {
            let mut tree = FileTree::default();
            for (name, content) in files {
                let path = ImagePath::new(format!("/{number}/{name}")).unwrap();
                tree.insert(path, Entry::file(Content::Bytes(content.clone()), false, OWNER)).unwrap();
            }
            Fragment::new(number.to_string(), tree)
        });
        LayerPlan { role: LayerRole::Packages, services: Vec::new(), fragments: fragments.collect() }
    }

    /// The tar, as independent readers give it.
    fn decompressed(blob: &[u8], compression: Compression) -> Vec<u8> {
        let mut tar = Vec::new();
        match compression {
            Compression::None => tar.extend_from_slice(blob),
            Compression::Gzip => drop(flate2::read::MultiGzDecoder::new(blob).read_to_end(&mut tar).unwrap()),
            Compression::Zstd => drop(zstd::Decoder::new(blob).unwrap().read_to_end(&mut tar).unwrap()),
        }
        tar
    }

    /// Names and contents, as an independent reader sees them.
    fn unpacked(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
        let mut archive = tar::Archive::new(tar);
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
            let expected: Vec<_> = plan
                .fragments
                .iter()
                .flat_map(|fragment| fragment.tree.iter())
                .map(|(path, entry)| {
                    let crate::layer::Kind::File(Content::Bytes(bytes)) = &entry.kind else { unreachable!() };
                    (path.to_string()[1..].to_owned(), bytes.clone())
                })
                .collect();
            for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
                let (layer, blob) = packed(&plan, 1, compression);
                prop_assert_eq!(layer.descriptor().digest, Digest::of(&blob));
                prop_assert_eq!(layer.descriptor().size, blob.len() as u64);
                let tar = decompressed(&blob, compression);
                prop_assert_eq!(layer.diff_id(), DiffId::of_tar(Digest::of(&tar)));
                prop_assert_eq!(layer.tar_bytes(), tar.len() as u64);
                prop_assert_eq!(&unpacked(&tar), &expected);
                for threads in [2, 8] {
                    prop_assert_eq!(&packed(&plan, threads, compression), &(layer.clone(), blob.clone()));
                }
            }
        }
    }

    /// Guards the recipe: if one of these changes, `RECIPE` has to change with it.
    #[test]
    fn golden_bytes() {
        let content: Vec<u8> =
            (0u32..700_000).flat_map(|i| (i.wrapping_mul(2_654_435_761) >> 20).to_le_bytes()).collect();
        let digests = |files: &[(&str, &[u8])], compression| {
            let files: Vec<_> = files.iter().map(|(name, content)| ((*name).to_owned(), content.to_vec())).collect();
            let (layer, _) = packed(&plan_of(&files), 2, compression);
            [layer.diff_id().to_string(), layer.descriptor().digest.to_string()]
        };
        let gzip = digests(&[("a", &content), ("b", b"b")], Compression::Gzip);
        assert_eq!(gzip[0], "sha256:2f10ade8636f805752d896d77b595828dcbb5595ef40ef5bc44d4d3cf0391916");
        assert_eq!(gzip[1], "sha256:c0cafc3509b7c7595b1f21f5ebda3bfb3b922cceab1cd1e689d95da5fd55df7a");
        let small: [(&str, &[u8]); 8] = ["b", "c", "d", "e", "f", "g", "h", "i"].map(|name| (name, name.as_bytes()));
        let zstd = digests(&[&[("a", &content[..])], &small[..]].concat(), Compression::Zstd);
        assert_eq!(zstd[0], "sha256:61f4006d938c0ecb229b0c02eb04fefa5820e5ba981d24ed5000eb20a1895ba7");
        assert_eq!(zstd[1], "sha256:a2ffece753e88a0be89185de4790559e4880d29b1eafae70f05fef37a8668142");
    }

    #[test]
    fn a_file_that_changes_is_an_error() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("a");
        let host = HostFile::new(&Arc::new(HostPath::new(dir.path())), "a".as_ref(), None);
        for (comment, content) in [("shorter", "1234"), ("longer", "123456")] {
            fs::write(&path, content).unwrap();
            let mut tree = FileTree::default();
            let content = Content::Host { file: host.clone(), size: 5, digest: Digest::of(b"12345") };
            let file = Entry::file(content, false, OWNER);
            tree.insert(ImagePath::new("/a").unwrap(), file).unwrap();
            let fragments = vec![Fragment::new("a", tree)];
            let plan = LayerPlan { role: LayerRole::Packages, services: Vec::new(), fragments };
            let cancellation = Cancellation::default();
            let result = pack(&plan, &keys(&plan), packing(2, &cancellation), io::sink());
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
            let packing = packing(threads, &cancellation);
            assert!(matches!(pack(&plan, &keys(&plan), packing, Full), Err(PackError::Write(_))));
            let on_bytes = |_| cancellation.cancel();
            let packing = Packing { on_bytes: &on_bytes, ..packing };
            assert!(matches!(pack(&plan, &keys(&plan), packing, io::sink()), Err(PackError::Cancelled(_))));
        }
    }
}
