//! Packages of any registry. The first byte says whether the rest is a tarball or the archive inside of one.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::digest::Digest;
use pirogue::layer::{PackageTarball, TarballLimits};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let mut rest = rest.to_vec();
    if choice % 2 == 0 {
        with_checksums(&mut rest);
    }
    let mut archive = Vec::new();
    let limits = TarballLimits { bytes: 16 << 20, ..TarballLimits::default() };
    let Ok(package) = PackageTarball::read(&rest[..], &mut archive, &limits) else { return };
    assert_eq!(package.archive_bytes, archive.len() as u64);
    assert!(package.files.is_sorted_by(|a, b| a.path < b.path));
    for file in &package.files {
        assert!(file.path.split('/').all(|name| !matches!(name, "" | "." | "..")), "{}", file.path);
        assert!(!file.path.contains(['\\', '\0']), "{}", file.path);
        let content = &archive[file.offset as usize..(file.offset + file.size) as usize];
        assert_eq!(file.digest, Digest::of(content));
    }
});

/// Makes the checksum of every header right, which random bytes never are.
fn with_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
