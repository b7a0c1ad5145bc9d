use super::{CommandError, Session, session, terminal};
use crate::build::{self, BuildRequest};
use crate::cli::Check;
use crate::environment::Environment;
use crate::report::{FindingsReport, sarif};

/// `pirogue check`
pub(super) fn run(arguments: &Check, environment: &Environment) -> Result<(), CommandError> {
    let session = Session::new(&arguments.build, environment)?;
    let request = BuildRequest { online: arguments.online, ..arguments.build.request() };
    let (plan, checks) = session.run(build::check(&request, &session.context))?;
    session::leave_to_the_system(plan);
    let report = FindingsReport::new(&checks);
    let text = match (arguments.build.json, arguments.sarif) {
        (true, _) => terminal::json(&report),
        (_, true) => terminal::json(&sarif(&report)),
        _ => report.text(arguments.verbose),
    };
    terminal::output(&text).map_err(CommandError::Output)?;
    match report.errors {
        0 => Ok(()),
        1 => Err(CommandError::Findings("an error".to_owned())),
        errors => Err(CommandError::Findings(format!("{errors} errors"))),
    }
}
