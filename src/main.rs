//! The program: parse, run, exit code.

use std::process::ExitCode;

use clap::Parser as _;
use pirogue::cli::Cli;
use pirogue::commands;

fn main() -> ExitCode {
    commands::run(&Cli::parse())
}
