//! The root of a workspace: package.json, then, after a byte that neither file has, pnpm-workspace.yaml.
#![no_main]

use std::fs;
use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use pirogue::path::HostPath;
use pirogue::workspace::Workspace;
use tempfile::TempDir;

static DIR: LazyLock<TempDir> = LazyLock::new(|| {
    let dir = TempDir::new().expect("a temporary directory can be made");
    for member in ["apps/web", "apps/api", "packages/shared"] {
        let member = dir.path().join("root").join(member);
        fs::create_dir_all(member.join("dist")).expect("a temporary directory can be written");
        fs::write(member.join("package.json"), "{}").expect("a temporary directory can be written");
        fs::write(member.join("dist/main.js"), "").expect("a temporary directory can be written");
    }
    dir
});

fuzz_target!(|bytes: &[u8]| {
    let root = DIR.path().join("root");
    let (package_json, pnpm) = match bytes.iter().position(|&byte| byte == 0) {
        Some(cut) => (&bytes[..cut], Some(&bytes[cut + 1..])),
        None => (bytes, None),
    };
    fs::write(root.join("package.json"), package_json).expect("a temporary directory can be written");
    match pnpm {
        Some(pnpm) => fs::write(root.join("pnpm-workspace.yaml"), pnpm).expect("a temporary directory can be written"),
        None => drop(fs::remove_file(root.join("pnpm-workspace.yaml"))),
    }
    match Workspace::discover(&HostPath::new(root)) {
        Ok(workspace) => {
            assert!(workspace.members.len() <= 4);
            let _ = workspace.services(|_| None, None);
        }
        Err(error) => drop(error.hint()),
    }
});
