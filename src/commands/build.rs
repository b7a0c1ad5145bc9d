use super::{CommandError, Session, session, terminal};
use crate::build::{self, BuildRequest};
use crate::cli::BuildAndCheck;
use crate::config::CheckLevel;
use crate::environment::Environment;
use crate::report::{BuildReport, table};

/// `pirogue build`
pub(super) fn run(arguments: &BuildAndCheck, environment: &Environment) -> Result<(), CommandError> {
    let session = Session::new(&arguments.build, environment)?;
    let request = BuildRequest { check: arguments.no_check.then_some(CheckLevel::Off), ..arguments.build.request() };
    let built = session.run(build::build(&request, &session.context))?;
    let report = BuildReport::new(&built);
    let text = if arguments.build.json { terminal::json(&report) } else { table(&report) };
    session::leave_to_the_system(built);
    terminal::output(&text).map_err(CommandError::Output)
}
