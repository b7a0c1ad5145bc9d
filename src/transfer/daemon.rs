//! What `docker` or `podman` keep on this machine, through their own programs.

use std::fs::File;
use std::io;
use std::process::{Output, Stdio};

use tempfile::TempPath;
use tokio::process::Command;

use super::{Context, TransferError};
use crate::http::printable;
use crate::path::HostPath;
use crate::registry::Reference;

/// In the order they are tried.
const PROGRAMS: [&str; 2] = ["docker", "podman"];

/// Hands the images of an archive of Docker's to `docker` or `podman`. `name` is what errors call them.
pub async fn load(archive: &HostPath, name: &str, context: &Context) -> Result<(), TransferError> {
    let program = program(name).await?;
    context.progress.step(&format!("loading {name} into {program}"));
    let file = File::open(archive).map_err(|error| context.store.read_error(archive, error))?;
    let mut command = command(program);
    command.arg("load").stdin(file);
    finish(program, "load", name, output(command).await)
}

/// Has `docker` or `podman` write an archive with one image. The file goes when the value is dropped.
pub(super) async fn save(reference: &Reference, context: &Context) -> Result<TempPath, TransferError> {
    let name = reference.to_string();
    let program = program(&name).await?;
    context.progress.step(&format!("saving {name} from {program}"));
    let error = |error| context.store.write_error(error);
    let file = context.scratch_archive()?;
    let mut command = command(program);
    command.args(["save", &name]).stdout(file.reopen().map_err(error)?);
    finish(program, "save", &name, output(command).await)?;
    Ok(file.into_temp_path())
}

/// The first program that is there and, in Docker's case, has a daemon to talk to.
async fn program(name: &str) -> Result<&'static str, TransferError> {
    let mut reasons = Vec::new();
    for program in PROGRAMS {
        let mut asked = command(program);
        asked.arg("version");
        match output(asked).await {
            Ok(output) if output.status.success() => return Ok(program),
            Ok(output) => reasons.push(format!("`{program}` says: {}", said(&output))),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                reasons.push(format!("`{program}` is not installed"));
            }
            Err(error) => reasons.push(format!("`{program}` does not start: {error}")),
        }
    }
    Err(TransferError::NoDaemon { reason: reasons.join(", "), name: name.to_owned() })
}

fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command
}

/// Runs a program to its end. What was said of its standard input and output holds.
async fn output(mut command: Command) -> io::Result<Output> {
    command.spawn()?.wait_with_output().await
}

fn finish(
    program: &'static str,
    verb: &'static str,
    name: &str,
    output: io::Result<Output>,
) -> Result<(), TransferError> {
    let failed = |said| TransferError::Daemon { program, verb, said, name: name.to_owned() };
    match output {
        Ok(output) if output.status.success() => Ok(()),
        Ok(output) => Err(failed(said(&output))),
        Err(error) => Err(failed(error.to_string())),
    }
}

/// The last line that a program wrote to its standard error.
fn said(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let last = text.lines().rev().find(|line| !line.trim().is_empty());
    last.map_or_else(|| output.status.to_string(), printable)
}
