//! pirogue.lock: whatever is wrong with it is told by its place, and what is read is written the same.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::lock::Lock;

fuzz_target!(|text: &str| {
    match Lock::parse(text) {
        Ok(lock) => {
            let written = lock.text();
            assert_eq!(Lock::parse(&written).expect("what is written can be read"), lock);
            for base in lock.bases.values() {
                assert!(base.manifests.keys().all(|platform| base.manifest(platform).is_some()));
            }
        }
        Err(error) => {
            assert!(error.to_string().contains("`pirogue.lock"), "an error has its place: {error}");
            let _ = error.hint();
        }
    }
});
