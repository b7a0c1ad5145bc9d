//! The least that any packer has to do with the same files, with all cores and nothing in order: no planning, no sorting,
//! no waiting for a turn, no disk and no network at the end.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use libdeflater::{CompressionLvl, Compressor};
use sha2::{Digest as _, Sha256};

const PIECE: usize = 1 << 20;
const BLOCK: usize = 512;

/// How the limit compresses.
#[derive(Clone, Copy)]
pub enum Level {
    None,
    Libdeflate(i32),
    Zstd(i32),
}

/// A compressor of one thread.
pub enum Squeezer {
    None,
    Libdeflate(Box<Compressor>, Vec<u8>),
    Zstd(Box<zstd::bulk::Compressor<'static>>, Vec<u8>),
}

impl Level {
    pub fn squeezer(self) -> Squeezer {
        match self {
            Self::None => Squeezer::None,
            Self::Libdeflate(level) => {
                let level = CompressionLvl::new(level).expect("a level of libdeflate");
                Squeezer::Libdeflate(Box::new(Compressor::new(level)), Vec::new())
            }
            Self::Zstd(level) => {
                let compressor = zstd::bulk::Compressor::new(level).expect("a level of zstd");
                Squeezer::Zstd(Box::new(compressor), Vec::new())
            }
        }
    }
}

impl Squeezer {
    /// `piece`, compressed.
    pub fn squeeze<'s>(&'s mut self, piece: &'s [u8]) -> &'s [u8] {
        match self {
            Self::None => piece,
            Self::Libdeflate(compressor, out) => {
                out.resize(compressor.gzip_compress_bound(piece.len()), 0);
                let length = compressor.gzip_compress(piece, out).expect("the bound is enough");
                &out[..length]
            }
            Self::Zstd(compressor, out) => {
                out.resize(zstd::zstd_safe::compress_bound(piece.len()), 0);
                let length = compressor.compress_to_buffer(piece, out).expect("the bound is enough");
                &out[..length]
            }
        }
    }
}

/// Reads `files` on this many threads, puts them behind a block each and in whole blocks into pieces of a mebibyte, hashes
/// each piece, compresses it and hashes that: all the bytes of a tar, in no order. Gives the compressed bytes' number.
pub fn pipeline(files: &[(PathBuf, u64)], level: Level, threads: usize) -> u64 {
    let next = AtomicUsize::new(0);
    let total = AtomicU64::new(0);
    on_threads(threads, || {
        let mut squeezer = level.squeezer();
        let mut piece = Vec::with_capacity(2 * PIECE);
        let mut finish = |piece: &mut Vec<u8>| {
            let bytes = &piece[..piece.len().min(PIECE)];
            std::hint::black_box(Sha256::digest(bytes));
            let compressed = squeezer.squeeze(bytes);
            std::hint::black_box(Sha256::digest(compressed));
            total.fetch_add(compressed.len() as u64, Ordering::Relaxed);
            piece.drain(..bytes.len());
        };
        // A few files at a time, so that the threads seldom meet and a piece is of neighbours, which compress together.
        loop {
            let from = next.fetch_add(64, Ordering::Relaxed);
            if from >= files.len() {
                break;
            }
            for (path, size) in &files[from..files.len().min(from + 64)] {
                piece.resize(piece.len() + BLOCK, 0);
                read(path, *size, &mut piece);
                piece.resize(piece.len().next_multiple_of(BLOCK), 0);
                while piece.len() >= PIECE {
                    finish(&mut piece);
                }
            }
        }
        if !piece.is_empty() {
            finish(&mut piece);
        }
    });
    total.into_inner()
}

/// Reads `files` on this many threads; hashes each if `hashing`. Gives the bytes' number.
pub fn read_all(files: &[(PathBuf, u64)], hashing: bool, threads: usize) -> u64 {
    let next = AtomicUsize::new(0);
    let total = AtomicU64::new(0);
    on_threads(threads, || {
        let mut content = Vec::new();
        while let Some((path, size)) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            content.clear();
            read(path, *size, &mut content);
            if hashing {
                std::hint::black_box(Sha256::digest(&content));
            }
            total.fetch_add(content.len() as u64, Ordering::Relaxed);
        }
    });
    total.into_inner()
}

/// Compresses `tar` in pieces on this many threads. Gives the compressed bytes' number.
pub fn compress(tar: &[u8], level: Level, threads: usize) -> u64 {
    let pieces: Vec<&[u8]> = tar.chunks(PIECE).collect();
    let next = AtomicUsize::new(0);
    let total = AtomicU64::new(0);
    on_threads(threads, || {
        let mut squeezer = level.squeezer();
        while let Some(piece) = pieces.get(next.fetch_add(1, Ordering::Relaxed)) {
            total.fetch_add(squeezer.squeeze(piece).len() as u64, Ordering::Relaxed);
        }
    });
    total.into_inner()
}

/// The blobs of a layout that are compressed with gzip: the layers of a base.
pub fn gzip_blobs(layout: &Path) -> Vec<PathBuf> {
    let blobs = std::fs::read_dir(layout.join("blobs/sha256")).expect("a layout of the base can be read");
    let blobs = blobs.map(|blob| blob.expect("a layout of the base can be read").path());
    let is_gzip = |path: &PathBuf| {
        let mut magic = [0; 2];
        File::open(path).and_then(|mut file| file.read_exact(&mut magic)).is_ok() && magic == [0x1f, 0x8b]
    };
    blobs.filter(is_gzip).collect()
}

/// Reads, hashes and decompresses blobs, a thread for each at a time: what has to be done once for a base that was never
/// seen, whoever does what else. Gives the number of bytes that come out.
pub fn decompress(blobs: &[PathBuf], threads: usize) -> u64 {
    let next = AtomicUsize::new(0);
    let total = AtomicU64::new(0);
    on_threads(threads, || {
        while let Some(blob) = blobs.get(next.fetch_add(1, Ordering::Relaxed)) {
            let blob = std::fs::read(blob).expect("a layer of the base can be read");
            std::hint::black_box(Sha256::digest(&blob));
            let mut tar = flate2::read::MultiGzDecoder::new(&blob[..]);
            let bytes = std::io::copy(&mut tar, &mut std::io::sink()).expect("a layer of the base is whole");
            total.fetch_add(bytes, Ordering::Relaxed);
        }
    });
    total.into_inner()
}

/// Looks at everything below `dir` on this many threads, without opening a file. Gives the number of files.
pub fn walk(dir: &Path, threads: usize) -> u64 {
    use rustix::fs::{AtFlags, FileType, Mode, OFlags, RawDir, open, statat};
    let directories = Mutex::new(vec![dir.to_owned()]);
    let open_directories = AtomicUsize::new(1);
    let files = AtomicU64::new(0);
    on_threads(threads, || {
        let mut buffer = Vec::with_capacity(1 << 16);
        while open_directories.load(Ordering::Acquire) > 0 {
            let Some(dir) = directories.lock().expect("nobody panics").pop() else {
                thread::yield_now();
                continue;
            };
            let mut below = Vec::new();
            let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let handle = open(&dir, flags, Mode::empty()).expect("a directory can be opened");
            let mut entries = RawDir::new(&handle, buffer.spare_capacity_mut());
            while let Some(Ok(entry)) = entries.next() {
                let name = entry.file_name();
                if matches!(name.to_bytes(), b"." | b"..") {
                    continue;
                }
                let stat = statat(&handle, name, AtFlags::SYMLINK_NOFOLLOW).expect("what is listed is there");
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => below.push(dir.join(name.to_string_lossy().as_ref())),
                    _ => _ = files.fetch_add(1, Ordering::Relaxed),
                }
            }
            open_directories.fetch_add(below.len(), Ordering::AcqRel);
            directories.lock().expect("nobody panics").extend(below);
            open_directories.fetch_sub(1, Ordering::AcqRel);
        }
    });
    files.into_inner()
}

fn read(path: &Path, size: u64, content: &mut Vec<u8>) {
    let mut file = File::open(path).expect("a file of the payload can be opened");
    let start = content.len();
    content.resize(start + size as usize, 0);
    file.read_exact(&mut content[start..]).expect("a file of the payload keeps its size");
}

fn on_threads(threads: usize, work: impl Fn() + Sync) {
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(&work);
        }
        work();
    });
}
