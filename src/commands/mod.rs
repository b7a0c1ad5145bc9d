//! The verbs of the command line, one file each: call the core, render, give the exit code.

mod base;
mod build;
mod cache;
mod check;
mod copy;
mod login;
mod logout;
mod plan;
mod rebase;
mod registry;
mod session;
mod terminal;
mod why;

use std::process::ExitCode;

use session::Session;

use crate::build::BuildError;
use crate::cli::{Cli, Command};
use crate::environment::{Environment, EnvironmentError};
use crate::registry::{LoginError, ReferenceError, RegistryError, SettingsError};
use crate::store::StoreError;
use crate::transfer::TransferError;

/// The user ended the run, by Ctrl-C or SIGTERM. Source: the shell's custom, 128 + SIGINT.
const INTERRUPTED: u8 = 130;

/// Why a command fails.
#[derive(Debug, thiserror::Error)]
enum CommandError {
    #[error(transparent)]
    Build(#[from] BuildError),
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Registry(#[from] RegistryError),
    #[error(transparent)]
    Repository(#[from] ReferenceError),
    #[error("this user may not push to the repository: `{0}`")]
    MayNotPush(String),
    #[error("the checks found {0}")]
    Findings(String),
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Settings(#[from] SettingsError),
    #[error(transparent)]
    Host(ReferenceError),
    #[error(transparent)]
    Login(#[from] LoginError),
    #[error("there is no password: standard input is empty or no terminal")]
    NoPassword,
    #[error("cannot read the password: {0}")]
    Input(std::io::Error),
    #[error("cannot start: {0}")]
    Start(std::io::Error),
    #[error("cannot write to standard output: {0}")]
    Output(std::io::Error),
}

/// Runs what was typed.
pub fn run(cli: &Cli) -> ExitCode {
    let result = Environment::read().map_err(CommandError::from).and_then(|environment| match &cli.command {
        Command::Build(arguments) => build::run(arguments, &environment),
        Command::Check(arguments) => check::run(arguments, &environment),
        Command::Plan(arguments) => plan::run(arguments, &environment),
        Command::Why(arguments) => why::run(arguments, &environment),
        Command::Login(arguments) => login::run(arguments, &environment),
        Command::Logout { host } => logout::run(host, &environment),
        Command::Base { command } => base::run(command, &environment),
        Command::Rebase(arguments) => rebase::run(arguments, &environment),
        Command::Copy(arguments) => copy::run(arguments, &environment),
        Command::Registry { command } => registry::run(command, &environment),
        Command::Cache { command } => cache::run(command, &environment),
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let (hint, cancelled) = match &error {
                CommandError::Build(error) => (error.hint(), error.is_cancelled()),
                CommandError::Transfer(error) => (error.hint(), matches!(error, TransferError::Cancelled(_))),
                CommandError::Registry(error) => (error.hint(), false),
                CommandError::Repository(error) => (error.hint(), false),
                CommandError::MayNotPush(_) => (Some("what the registry says stands above".to_owned()), false),
                CommandError::Findings(_) => (Some("what each code means stands in docs/checks.md".to_owned()), false),
                CommandError::Environment(error) => (Some(error.hint()), false),
                CommandError::Store(error) => (error.hint(), false),
                CommandError::Settings(error) => (error.hint(), false),
                CommandError::Host(_) => {
                    (Some("a host without a path, such as `ghcr.io` or `registry.example.com:5000`".to_owned()), false)
                }
                CommandError::Login(error) => (error.hint(), false),
                CommandError::NoPassword => {
                    (Some("hand it in on standard input: `pirogue login … --password-stdin < FILE`".to_owned()), false)
                }
                CommandError::Input(_) | CommandError::Start(_) | CommandError::Output(_) => (None, false),
            };
            terminal::error(&error.to_string(), hint.as_deref());
            ExitCode::from(if cancelled { INTERRUPTED } else { 1 })
        }
    }
}
