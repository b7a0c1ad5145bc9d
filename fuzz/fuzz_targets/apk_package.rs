//! Alpine packages of any repository: the input is the tar of the files.
#![no_main]

use std::io::Write as _;

use flate2::{Compression, write::GzEncoder};
use libfuzzer_sys::fuzz_target;
use pirogue::apk::{Checksum, DataKind, PackageFile};
use pirogue::digest::Digest;

fuzz_target!(|bytes: &[u8]| {
    let mut tar = bytes.to_vec();
    with_checksums(&mut tar);
    let data = gzip(&tar);
    let info = format!("pkgname = a\ndatahash = {}\n", Digest::of(&data).hex());
    let mut control = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_ustar();
    header.set_size(info.len() as u64);
    control.append_data(&mut header, ".PKGINFO", info.as_bytes()).expect("memory can be written");
    let control = control.into_inner().expect("memory can be written");
    let before = control.len() as u64;
    let control = gzip(&control);
    let checksum = Checksum::sha1(&control);
    let file = [control, data].concat();
    let Ok(package) = PackageFile::read(&file[..], "a-1", &checksum, &[]) else { return };
    assert_eq!(package.archive_bytes, before + tar.len() as u64);
    for entry in &package.entries {
        assert!(entry.path.split('/').all(|name| !matches!(name, "." | "..")), "{}", entry.path);
        assert!(!entry.path.starts_with(['/', '.']), "{}", entry.path);
        if let DataKind::File { offset, size, digest, .. } = &entry.kind {
            let start = (offset - before) as usize;
            assert_eq!(*digest, Digest::of(&tar[start..start + *size as usize]));
        }
    }
});

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::none());
    writer.write_all(bytes).expect("memory can be written");
    writer.finish().expect("memory can be written")
}

/// Makes the checksum of every header right, which random bytes never are.
fn with_checksums(archive: &mut [u8]) {
    for block in archive.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
