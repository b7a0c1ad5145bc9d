//! Patches of packages. The first byte says how a patch is read, and how long the patch is that comes before the file that
//! it changes; the file has the name `f`.
#![no_main]

use std::collections::BTreeMap;

use libfuzzer_sys::fuzz_target;
use pirogue::layer::{FileState, PackagePatch, PatchError};

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, rest)) = bytes.split_first() else { return };
    let (patch, content) = rest.split_at(rest.len() * usize::from(choice / 2) / 127);
    let patch = match choice % 2 {
        0 => PackagePatch::parse("p", patch),
        _ => PackagePatch::parse_as_yarn("p", patch),
    };
    let file = FileState { content: content.to_vec(), executable: false };
    let files = BTreeMap::from([("f", file)]);
    let changed = patch.and_then(|patch| patch.apply(|path| Ok(files.get(path).cloned())));
    let changed = match changed {
        Ok(changed) => changed,
        Err(PatchError::Read { .. }) => panic!("everything can be read"),
        Err(_) => return,
    };
    for (path, file) in &changed {
        assert!(path.split('/').all(|name| !matches!(name, "" | "." | "..")), "{path}");
        assert!(!path.contains(['\\', '\0']), "{path}");
        let below = format!("{path}/");
        let is_above = changed.iter().any(|(other, file)| file.is_some() && other.starts_with(&below));
        assert!(file.is_none() || !is_above, "{path}");
    }
});
