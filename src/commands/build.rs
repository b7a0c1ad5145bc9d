use super::{CommandError, Session, terminal};
use crate::build::{self, BuildRequest};
use crate::cli::Build;
use crate::config::CheckLevel;
use crate::environment::Environment;
use crate::report::{BuildReport, table};

/// `pirogue build`
pub(super) fn run(arguments: &Build, no_check: bool, environment: &Environment) -> Result<(), CommandError> {
    let session = Session::new(arguments, environment)?;
    let request = BuildRequest { check: no_check.then_some(CheckLevel::Off), ..arguments.request() };
    let built = session.run(build::build(&request, &session.context))?;
    let report = BuildReport::new(&built);
    let text = if arguments.json { terminal::json(&report) } else { table(&report) };
    // The program ends here, and the system takes back memory faster than it can be given back tree by tree.
    std::mem::forget(built);
    terminal::output(&text).map_err(CommandError::Output)
}
