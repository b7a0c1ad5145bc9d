//! The program: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use mimalloc::MiMalloc;
use pirogue::cli::Cli;
use pirogue::commands;

/// A build asks for memory some hundred thousand times: a quarter of the time of one with nothing to do, with the
/// system's allocator.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    commands::run(&Cli::parse())
}
