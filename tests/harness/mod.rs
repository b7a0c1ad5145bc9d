//! What the integration tests share.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod alpine_base;
pub mod alpine_shop;
pub mod apk;
pub mod blob;
pub mod build;
pub mod certificates;
pub mod checks;
pub mod container;
pub mod failure;
pub mod forward_proxy;
pub mod image_files;
pub mod layer;
pub mod layout;
pub mod locked;
pub mod locked_shop;
pub mod misbehaving;
pub mod native_code;
pub mod one_service;
pub mod package_manager;
pub mod package_tarball;
pub mod placed;
pub mod podman;
pub mod program;
pub mod proxy;
pub mod registry;
pub mod sample;
pub mod scratch;
pub mod service;
pub mod tarball_cache;
pub mod tiny_base;
pub mod token_server;
pub mod tree;
pub mod workspace;
pub mod yarn;

use std::fs::OpenOptions;
use std::io::Write as _;
use std::thread;

use sha2::{Digest as _, Sha256};

/// Says that a test was not run, and why: on standard error and in the file that `PIROGUE_TEST_SKIPS` names.
pub fn skip(reason: &str) {
    let line = format!("{}: {reason}\n", thread::current().name().unwrap_or("a test"));
    eprint!("skipped: {line}");
    let Some(path) = std::env::var_os("PIROGUE_TEST_SKIPS") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the list of skips can be opened");
    // In one write, since other tests write to it too.
    file.write_all(line.as_bytes()).expect("the list of skips can be written");
}

/// The digest of bytes, as it stands in a descriptor.
pub fn sha256(bytes: &[u8]) -> String {
    let hex: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
    format!("sha256:{hex}")
}
