//! The passwd, group and shadow of any base, cut at bytes that no such file has.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::image::{BaseFiles, ImageUser};
use pirogue::layer::{ForeignEntry, ForeignKind, LayerListing};

fuzz_target!(|text: &str| {
    let mut listing = LayerListing::default();
    for (path, text) in ["/etc/passwd", "/etc/group", "/etc/shadow"].iter().zip(text.split('\0')) {
        listing.entries.push(ForeignEntry {
            path: (*path).to_owned(),
            kind: ForeignKind::Text(text.to_owned()),
            mode: 0o644,
            uid: 0,
            gid: 0,
        });
    }
    let base = BaseFiles::merge(&[listing]);
    for user in [ImageUser::default(), ImageUser::Existing("node".to_owned())] {
        match user.entries(&base) {
            Ok(entries) => assert!(entries.tree.iter().count() <= 4),
            Err(error) => drop(error.hint()),
        }
    }
});
