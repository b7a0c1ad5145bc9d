use std::fs;
use std::path::PathBuf;

use pirogue::manifest::Descriptor;
use tempfile::TempDir;

/// Bytes that no short pattern repeats, in a file, with their descriptor. What a test does with them is written there.
pub struct Blob {
    pub bytes: Vec<u8>,
    pub path: PathBuf,
    pub descriptor: Descriptor,
    _folder: TempDir,
}

impl Blob {
    pub fn new(size: usize) -> Self {
        let bytes: Vec<u8> = (0..size as u64).map(|at| (at.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        let folder = TempDir::new().expect("a temporary directory can be made");
        let path = folder.path().join("blob");
        fs::write(&path, &bytes).expect("a temporary directory can be written");
        let descriptor = Descriptor::of("application/octet-stream", &bytes);
        Self { bytes, path, descriptor, _folder: folder }
    }
}
