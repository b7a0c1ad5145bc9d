//! The code of any service. The first byte chooses the kind of file.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pirogue::closure::scan;
use pirogue::host::StatIndex;
use pirogue::path::HostPath;
use pirogue::workspace::WorkspacePath;
use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("a temporary directory can be made"));

fuzz_target!(|bytes: &[u8]| {
    let Some((choice, code)) = bytes.split_first() else { return };
    let name = ["a.js", "a.cjs", "a.mjs", "a.ts"][usize::from(choice % 4)];
    let path = HostPath::new(DIR.path().join("code"));
    fs::write(&path, code).expect("a temporary directory can be written");
    let file = WorkspacePath::new(name).expect("a name is a path");
    let index = StatIndex::decode(&HostPath::new(DIR.path()), None, 0);
    let scanned = scan(&[(file, path)], &index).expect("code that cannot be parsed is no error");
    let lines = 1 + code.iter().filter(|&&byte| byte == b'\n').count();
    assert!(scanned.imports.iter().all(|import| (1..=lines).contains(&import.line)));
    let _ = scanned.default_port();
});
