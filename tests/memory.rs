//! Blobs go from the disk to a registry and back without being held.

mod harness;

use std::fs::{self, File};
use std::io::{Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use harness::registry::Registry;
use harness::tiny_base;
use harness::workspace::TestWorkspace;
use serde_json::json;
use sha2::{Digest as _, Sha256};

/// Many times what may be held.
const SIZE: u64 = 512 << 20;
/// KiB.
const LIMIT: u64 = 64 << 10;

#[test]
fn a_large_blob_takes_no_memory() {
    if !cfg!(target_os = "linux") {
        harness::skip("only Linux tells how much memory a program had");
        return;
    }
    let Some(registry) = Registry::start() else { return };
    let workspace = TestWorkspace::shop();
    let base = workspace.beside("base");
    write_large_base(&base);
    let (there, back) = (format!("{}/shop", registry.host()), format!("{}/shop/web", registry.host()));
    let (local, images) = (format!("oci:{}", base.display()), format!("oci:{}", workspace.beside("images").display()));
    for (comment, from, to, cache) in [("push", &local, &there, "a"), ("pull", &back, &images, "b")] {
        let arguments = ["build", "--platform", "linux/amd64", "--base", from, "--to", to];
        let mut command = workspace.pirogue(&arguments);
        let peak = peak(command.env("PIROGUE_CACHE_DIR", workspace.beside(cache)));
        assert!(peak < LIMIT, "{comment}: {peak} KiB");
    }
}

/// A base with one layer that holds a file of zeros, which takes no room on the disk.
fn write_large_base(layout: &Path) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let mut header = tar::Header::new_ustar();
    header.set_path("zeros").unwrap();
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(SIZE);
    header.set_cksum();
    let path = blobs.join("layer");
    let mut file = File::create(&path).unwrap();
    file.write_all(header.as_bytes()).unwrap();
    let size = 512 + SIZE + 1024;
    file.set_len(size).unwrap();
    let (mut hasher, mut file, mut piece) = (Sha256::new(), File::open(&path).unwrap(), vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut piece).unwrap();
        if read == 0 {
            break;
        }
        hasher.update(&piece[..read]);
    }
    let hex: String = hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    fs::rename(&path, blobs.join(&hex)).unwrap();
    let media_type = "application/vnd.oci.image.layer.v1.tar";
    tiny_base::write_upon(
        layout,
        "amd64",
        &json!({"mediaType": media_type, "digest": format!("sha256:{hex}"), "size": size}),
    );
}

/// Runs a program to its end, which has to be a good one. Gives the most memory it had, in KiB.
fn peak(command: &mut Command) -> u64 {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::inherit()).spawn().unwrap();
    let mut peak = 0;
    loop {
        // The kernel keeps the peak itself; what is lost is what the last moment adds.
        let status = fs::read_to_string(format!("/proc/{}/status", child.id())).unwrap_or_default();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        peak = line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(peak);
        if let Some(ended) = child.try_wait().unwrap() {
            assert!(ended.success(), "{ended}");
            assert!(peak > 0);
            return peak;
        }
        thread::sleep(Duration::from_millis(5));
    }
}
