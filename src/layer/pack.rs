use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use super::compression::Codec;
use super::key::{FragmentKey, LayerKeys};
use super::line::{Buffers, Line, Piece};
use super::piece::Stream;
use super::{Fragment, Layer, LayerPlan};
use crate::cancel::{Cancellation, Cancelled};
use crate::digest::Digest;
use crate::host::HostError;
use crate::manifest::media_type::Compression;
use crate::path::HostPath;

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
    /// Puts the compressed bytes of a fragment's piece, if they are at hand, into `compressed`. Gives the digest they had
    /// when they were packed; they are verified by whoever asks.
    fn find(&self, fragment: &FragmentKey, number: u64, compressed: &mut Vec<u8>) -> Option<Digest>;
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
    /// The fragment.
    pub fragment: FragmentKey,
    /// The number of the piece in the fragment, from 0.
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
    let fragments = plan.fragments.iter().zip(&keys.fragments);
    let sources: Vec<Source<'_>> = fragments.map(|(fragment, key)| Source::of(fragment, *key, packing)).collect();
    let pieces: Vec<(usize, u64)> = sources
        .iter()
        .enumerate()
        .flat_map(|(source, described)| (0..described.stream.pieces()).map(move |number| (source, number)))
        .collect();
    let line = Line::new(sink, packing);
    let next = AtomicU64::new(0);
    let work = |number_of_threads: u64| -> Result<(), PackError> {
        let mut codec = Codec::new(packing.compression)?;
        // A thread runs ahead of the slowest by a few pieces at most, which bounds the memory.
        let ahead = number_of_threads * 4;
        loop {
            let turn = next.fetch_add(1, Ordering::Relaxed);
            let Some(&(source, number)) = pieces.get(turn as usize) else { return Ok(()) };
            let done = line
                .wait_for_turn(turn, ahead)
                .and_then(|buffers| sources[source].piece(number, packing.cache, &mut codec, buffers))
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
    let piece = |(&(source, number), (offset, length, digest)): (&(usize, u64), (u64, u64, Digest))| {
        let fragment = sources[source].key;
        PackedPiece { fragment, number, offset, length, digest }
    };
    Ok(Packed {
        layer,
        pieces: pieces.iter().zip(places).map(piece).collect(),
        compressed: sources.iter().filter(|source| source.compressed()).map(Source::label).collect(),
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

/// A fragment as the source of pieces.
struct Source<'p> {
    fragment: &'p Fragment,
    key: FragmentKey,
    stream: Stream<'p>,
    pieces_compressed: AtomicU64,
}

impl<'p> Source<'p> {
    fn of(fragment: &'p Fragment, key: FragmentKey, packing: Packing<'_>) -> Self {
        let stream = Stream::of(&fragment.tree, packing.mtime);
        Self { fragment, key, stream, pieces_compressed: AtomicU64::new(0) }
    }

    /// The piece from the cache, or made anew, in `buffers`. A damaged piece of the cache counts as none.
    fn piece(
        &self,
        number: u64,
        cache: &dyn PieceCache,
        codec: &mut Codec,
        mut buffers: Buffers,
    ) -> Result<Piece, PackError> {
        let length = self.stream.piece_length(number);
        // The checksums of gzip and zstd would let pass what is damaged outside of the content, as in a header.
        if let Some(digest) = cache.find(&self.key, number, &mut buffers.compressed)
            && Digest::of(&buffers.compressed) == digest
            && codec.decompress(&buffers.compressed, length, &mut buffers.tar)
        {
            return Ok(Piece { buffers, digest });
        }
        self.pieces_compressed.fetch_add(1, Ordering::Relaxed);
        self.stream.piece(number, &mut buffers.tar)?;
        codec.compress(&buffers.tar, &mut buffers.compressed)?;
        Ok(Piece { digest: Digest::of(&buffers.compressed), buffers })
    }

    fn compressed(&self) -> bool {
        self.pieces_compressed.load(Ordering::Relaxed) > 0
    }

    fn label(&self) -> String {
        self.fragment.label.clone()
    }
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
        fn find(&self, _: &FragmentKey, _: u64, _: &mut Vec<u8>) -> Option<Digest> {
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

    fn packed(plan: &LayerPlan, threads: usize) -> (Layer, Vec<u8>) {
        let mut blob = Vec::new();
        let cancellation = Cancellation::default();
        let packed = pack(plan, &keys(plan), packing(threads, &cancellation), &mut blob);
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
