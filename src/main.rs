//! The program: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use libmimalloc_sys::{mi_option_set, mi_option_t, mi_option_use_numa_nodes};
use mimalloc::MiMalloc;
use pirogue::cli::Cli;
use pirogue::commands;

/// A build asks for memory some hundred thousand times: a quarter of the time of one with nothing to do, with the
/// system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// `mi_option_purge_delay`, of which the crate has no name yet: how many milliseconds memory that nobody uses is kept.
///
/// Source: mimalloc, `include/mimalloc.h`, `mi_option_e`, where it stands before `use_numa_nodes`.
const PURGE_DELAY: mi_option_t = mi_option_use_numa_nodes - 1;

fn main() -> ExitCode {
    // SAFETY: it sets a number of the allocator, before any thread is started.
    unsafe { mi_option_set(PURGE_DELAY, 0) };
    commands::run(&Cli::parse())
}
