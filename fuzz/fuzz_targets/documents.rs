//! Manifests, indexes and configs that a registry or layout gives.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::manifest::{ImageConfig, Index, Manifest, Raw};

fuzz_target!(|bytes: &[u8]| {
    if let Ok(manifest) = Raw::<Manifest>::parse("image manifest", bytes.to_vec()) {
        assert_eq!(manifest.bytes(), bytes, "foreign bytes are kept");
        again("image manifest", manifest.parsed());
    }
    if let Ok(index) = Raw::<Index>::parse("image index", bytes.to_vec()) {
        again("image index", index.parsed());
    }
    if let Ok(config) = Raw::<ImageConfig>::parse("image config", bytes.to_vec()) {
        again("image config", config.parsed());
    }
});

/// What was read can be written, what was written can be read, and the second time nothing changes any more.
fn again<T>(kind: &'static str, document: &T)
where
    T: Clone + serde::Serialize + serde::de::DeserializeOwned,
{
    let written = Raw::encode(kind, document.clone()).expect("what was read can be written");
    let read = Raw::<T>::parse(kind, written.bytes().to_vec()).expect("what was written can be read");
    let second = Raw::encode(kind, read.parsed().clone()).expect("what was read can be written");
    assert_eq!(written.bytes(), second.bytes());
}
