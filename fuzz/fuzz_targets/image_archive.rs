//! Archives of images, of the OCI's form and of Docker's: whatever is found lies inside the archive, and what is read of
//! it is what its digest says.
#![no_main]

use std::fs;
use std::io::{Cursor, Read as _};

use libfuzzer_sys::fuzz_target;
use pirogue::digest::Digest;
use pirogue::layout::{ArchiveFiles, Layout};
use pirogue::path::HostPath;

fuzz_target!(|bytes: &[u8]| {
    let mut bytes = bytes.to_vec();
    mend_checksums(&mut bytes);
    if let Ok(files) = ArchiveFiles::scan(&mut Cursor::new(&bytes)) {
        for (name, section) in files.below("") {
            assert!(section.position + section.size <= bytes.len() as u64, "`{name}` lies in the archive");
            assert!(!name.is_empty() && !name.split('/').any(|part| matches!(part, "" | "." | "..")), "`{name}` is normal");
            assert_eq!(files.get(name), Some(section));
        }
    }
    let path = std::env::temp_dir().join(format!("pirogue-fuzz-{}.tar", std::process::id()));
    fs::write(&path, &bytes).expect("a temporary file can be written");
    let path = HostPath::new(path);
    for layout in [Layout::open_archive(&path), Layout::open_docker_archive(&path)] {
        let layout = match layout {
            Ok(layout) => layout,
            Err(error) => {
                drop((error.to_string(), error.hint()));
                continue;
            }
        };
        let _ = layout.find(None);
        for entry in layout.entries() {
            if let Ok(document) = layout.document(&entry.descriptor) {
                assert_eq!(Digest::of(&document), entry.descriptor.digest);
            }
            let mut copied = Vec::new();
            if layout.copy_blob(&entry.descriptor, &mut copied).is_ok() {
                assert_eq!(Digest::of(&copied), entry.descriptor.digest);
            }
            if let Ok(blob) = layout.open_blob(&entry.descriptor.digest) {
                let _ = blob.take(1 << 20).read_to_end(&mut Vec::new());
            }
        }
    }
});

/// Makes the checksums of all blocks right, since no luck is enough to guess one.
fn mend_checksums(bytes: &mut [u8]) {
    for block in bytes.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}
