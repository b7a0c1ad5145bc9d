//! A lockfile of yarn 2 and later, and what of it counts.
#![no_main]

use libfuzzer_sys::fuzz_target;
use pirogue::closure::{LockedProduction, NodePlatform};
use pirogue::workspace::PackageManager;
use pirogue::workspace::lockfiles::{Lockfile, Manifests};

fuzz_target!(|bytes: &[u8]| {
    let root = br#"{"name":"r","dependencies":{"a":"1","b":"workspace:*"},"resolutions":{"a/b":"2"}}"#;
    let Ok(lockfile) = Lockfile::parse(PackageManager::YarnBerry, bytes, &Manifests::new(root, &[])) else { return };
    let platform = NodePlatform { os: "linux".into(), cpu: "x64".into(), libc: Some("musl".into()) };
    let production = LockedProduction::of(&lockfile, [&platform]);
    assert!(production.packages.iter().all(|id| lockfile.packages.contains_key(id)), "what counts is locked");
});
