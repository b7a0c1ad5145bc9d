//! Layers of any base. The first byte chooses the compression.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::apk::BaseRecords;
use pirogue::image::{BaseFiles, ImageUser};
use pirogue::layer::{KeptFiles, list};
use pirogue::manifest::media_type::Compression;

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, layer)) = bytes.split_first() else { return };
    let compression = match choice % 3 {
        0 => Compression::None,
        1 => Compression::Gzip,
        _ => Compression::Zstd,
    };
    let kept = KeptFiles { texts: &["/etc/passwd", "/etc/group", "/etc/shadow"], whole: &pirogue::apk::RECORDS };
    if let Ok(listing) = list(layer, compression, kept) {
        assert!(listing.entries.iter().all(|entry| entry.path.starts_with('/')));
        let files = BaseFiles::merge(&[listing.clone(), listing]);
        let _ = ImageUser::default().entries(&files);
        let _ = BaseRecords::read(&files);
    }
});
