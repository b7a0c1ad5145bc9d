//! Compose files, which people write.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::workspace::ComposeFile;

fuzz_target!(|bytes: &[u8]| {
    let Ok(file) = ComposeFile::parse(bytes) else { return };
    for service in file.services.values() {
        assert!(service.published.iter().all(|published| published.port != 0));
    }
});
