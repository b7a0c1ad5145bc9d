//! Fragments that are packed before it is known which layer holds them, such as while others are still fetched.

use std::collections::HashMap;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{Arc, Mutex, PoisonError};

use super::compression::Codec;
use super::key::FragmentKey;
use super::line::Buffers;
use super::pack::{FoundPiece, PieceCache};
use super::package_archive::Scratch;
use super::run::is_packed_alone;
use super::{Fragment, PackError, identical_files};
use crate::digest::Digest;
use crate::layer::piece::Stream;
use crate::manifest::media_type::Compression;

/// The pieces of fragments that were packed ahead, in a file that ends with the run. A fragment that turns out otherwise in
/// its layer has another key, so that its pieces are not found and it is packed then.
pub struct PackedAhead {
    mtime: u64,
    compression: Compression,
    hard_links: bool,
    scratch: Arc<Scratch>,
    pieces: Mutex<HashMap<(FragmentKey, u64), KeptPiece>>,
}

/// Where the compressed bytes of a piece lie.
#[derive(Clone)]
struct KeptPiece {
    file: Arc<File>,
    start: u64,
    length: usize,
    digest: Digest,
}

/// Packs ahead, on a thread of its own.
pub struct AheadPacker<'a> {
    packed: &'a PackedAhead,
    codec: Codec,
    buffers: Buffers,
}

impl PackedAhead {
    /// Nothing yet, of fragments that are packed with this time and compression, in layers in which identical files of a
    /// package are hard links or not.
    pub fn new(mtime: u64, compression: Compression, hard_links: bool, scratch: Arc<Scratch>) -> Self {
        Self { mtime, compression, hard_links, scratch, pieces: Mutex::default() }
    }

    /// Somebody to pack.
    pub fn packer(&self) -> Result<AheadPacker<'_>, PackError> {
        Ok(AheadPacker { packed: self, codec: Codec::new(self.compression)?, buffers: Buffers::default() })
    }
}

impl AheadPacker<'_> {
    /// Packs a fragment as it is in a layer that holds no copy of the package before it. Ends early once `is_enough`.
    pub fn pack(&mut self, fragment: Fragment, is_enough: impl Fn() -> bool) -> Result<(), PackError> {
        let PackedAhead { mtime, compression, hard_links, scratch, pieces } = self.packed;
        let mut fragments = [fragment];
        if *hard_links {
            identical_files::link(&mut fragments);
        }
        let [fragment] = &fragments;
        if !is_packed_alone(fragment, *mtime, *compression) {
            return Ok(());
        }
        let key = FragmentKey::of(fragment, *mtime, *compression);
        let stream = Stream::of(fragment.tree.iter(), *mtime, *compression);
        for number in (0..stream.pieces()).take_while(|_| !is_enough()) {
            let Buffers { tar, compressed } = &mut self.buffers;
            stream.piece(number, tar)?;
            self.codec.compress(tar, compressed)?;
            let (file, start) = scratch.put(compressed)?;
            let kept = KeptPiece { file, start, length: compressed.len(), digest: Digest::of(compressed) };
            pieces.lock().unwrap_or_else(PoisonError::into_inner).insert((key, number), kept);
        }
        Ok(())
    }
}

impl PieceCache for PackedAhead {
    fn find(&self, fragment: &FragmentKey, number: u64, compressed: &mut Vec<u8>) -> Option<FoundPiece> {
        let pieces = self.pieces.lock().unwrap_or_else(PoisonError::into_inner);
        let KeptPiece { file, start, length, digest } = pieces.get(&(*fragment, number))?.clone();
        drop(pieces);
        compressed.resize(length, 0);
        // One that cannot be read is made anew.
        file.read_exact_at(compressed, start).ok()?;
        Some(FoundPiece { digest, is_new: true })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cancel::Cancellation;
    use crate::layer::{Content, Entry, FileTree, LayerKeys, LayerPlan, LayerRole, Owner, Packing, pack};
    use crate::path::{HostPath, ImagePath};

    const OWNER: Owner = Owner { uid: 1, gid: 1 };

    fn fragment(name: &str, version: u32, bytes: usize) -> Fragment {
        let content = |salt: u32| {
            let content = (0..bytes as u32).map(|at| (at.wrapping_mul(2_654_435_761 + salt) >> 24) as u8);
            Content::Bytes(content.collect())
        };
        let file = |path: &str, salt| {
            let path = ImagePath::new(format!("/{name}/{version}/{path}")).unwrap();
            (path, Entry::file(content(salt), false, OWNER))
        };
        let tree = FileTree::of(vec![file("a", version), file("b", version), file("c", 9)]).unwrap();
        Fragment::new(name, tree)
    }

    /// Whatever was packed ahead, the layer is the same; and what was is not packed again.
    #[test]
    fn layers_are_the_same_with_what_was_packed_ahead() {
        let dir = tempfile::tempdir().unwrap();
        let cancellation = Cancellation::default();
        let (long, short) = (300 << 10, 100);
        let table: [(&str, Compression, &[Fragment], &[&str]); 4] = [
            ("nothing", Compression::Gzip, &[], &["x", "y"]),
            ("another version", Compression::Gzip, &[fragment("x", 2, long)], &["x", "y"]),
            (
                "what is in the layer",
                Compression::Gzip,
                &[fragment("x", 1, long), fragment("y", 1, short)],
                &["x", "y"],
            ),
            ("what shares a frame", Compression::Zstd, &[fragment("x", 1, long), fragment("y", 1, short)], &["x", "y"]),
        ];
        for (comment, compression, ahead, expected) in table {
            let plan_of = |mut fragments: Vec<Fragment>| {
                identical_files::link(&mut fragments);
                LayerPlan { role: LayerRole::Packages, services: Vec::new(), fragments }
            };
            let plan = plan_of(vec![fragment("x", 1, long), fragment("y", 1, short)]);
            let packed = |cache: &dyn PieceCache| {
                let (mtime, threads, on_bytes) = (1, 2, &|_| ());
                let packing = Packing { mtime, compression, threads, cache, cancellation: &cancellation, on_bytes };
                let mut bytes = Vec::new();
                (pack(&plan, &LayerKeys::of(&plan, 1, compression), packing, &mut bytes).unwrap(), bytes)
            };
            let packed_ahead = || PackedAhead::new(1, compression, true, Scratch::new(&HostPath::new(dir.path())));
            let (empty, known) = (packed_ahead(), packed_ahead());
            ahead.iter().for_each(|it| known.packer().unwrap().pack(it.clone(), || false).unwrap());
            let ((with, with_bytes), (without, without_bytes)) = (packed(&known), packed(&empty));
            assert_eq!(with, without, "{comment}");
            assert!(with_bytes == without_bytes, "{comment}");
            assert_eq!(with.compressed, expected, "{comment}: it was compressed in this run, sooner or later");
        }
    }

    #[test]
    fn pieces_are_found_by_what_they_hold_and_no_more_are_made_than_wanted() {
        let dir = tempfile::tempdir().unwrap();
        let known = PackedAhead::new(1, Compression::Gzip, true, Scratch::new(&HostPath::new(dir.path())));
        let package = fragment("x", 1, 2 << 20);
        let mut linked = [package.clone()];
        identical_files::link(&mut linked);
        let key = FragmentKey::of(&linked[0], 1, Compression::Gzip);
        let found = |number| known.find(&key, number, &mut Vec::new()).is_some();
        known.packer().unwrap().pack(package.clone(), || true).unwrap();
        assert!(!found(0));
        known.packer().unwrap().pack(package, || false).unwrap();
        assert!(found(0) && found(1));
        assert!(!found(99));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "the file has no name");
    }
}
