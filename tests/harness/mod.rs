//! What the integration tests share.
#![allow(dead_code, reason = "each test program uses a part of it")]

pub mod misbehaving;
pub mod registry;
pub mod workspace;

use std::fs::OpenOptions;
use std::io::Write as _;

/// Says that a test was not run, and why: on standard error and in the file that `PIROGUE_TEST_SKIPS` names.
pub fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
    let Some(path) = std::env::var_os("PIROGUE_TEST_SKIPS") else { return };
    let mut file = OpenOptions::new().create(true).append(true).open(path).expect("the list of skips can be opened");
    writeln!(file, "{reason}").expect("the list of skips can be written");
}
