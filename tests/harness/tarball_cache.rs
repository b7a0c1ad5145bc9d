//! The tarballs of packages in a cache, as the lockfile knows them.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha512};

/// The `integrity` of bytes, as lockfiles state it.
pub fn integrity(bytes: &[u8]) -> String {
    format!("sha512-{}", STANDARD.encode(Sha512::digest(bytes)))
}

/// The blob of a cache that has this `integrity`; none if there is no such.
pub fn blob(cache: &Path, wanted: &str) -> Option<PathBuf> {
    let blobs = fs::read_dir(cache.join("blobs/sha256")).into_iter().flatten().flatten().map(|blob| blob.path());
    blobs.into_iter().find(|blob| fs::read(blob).is_ok_and(|bytes| integrity(&bytes) == wanted))
}

/// What a yarn.lock of version 1 says of a package's tarball.
pub fn in_yarn_lock(workspace: &Path, package: &str) -> String {
    let lockfile = fs::read_to_string(workspace.join("yarn.lock")).expect("there is a yarn.lock");
    let (name, version) = package.rsplit_once('@').expect("a name and a version");
    let entry = lockfile.split("\n\n").find(|entry| {
        let entry = entry.trim_start();
        let starts = [format!("{name}@"), format!("\"{name}@")].iter().any(|start| entry.starts_with(start));
        starts && entry.contains(&format!("  version \"{version}\""))
    });
    let lines = entry.unwrap_or_else(|| panic!("the lockfile has no {package}")).lines();
    lines.into_iter().find_map(|line| line.trim().strip_prefix("integrity ")).expect("it has an integrity").to_owned()
}
