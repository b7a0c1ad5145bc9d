use super::{CommandError, Session, terminal};
use crate::build;
use crate::cli::Why;
use crate::environment::Environment;
use crate::report::WhyReport;

/// `pirogue why`
pub(super) fn run(arguments: &Why, environment: &Environment) -> Result<(), CommandError> {
    let Why { service, package, build } = arguments;
    let session = Session::new(build, environment)?;
    let why = session.run(build::why(service, package, &build.request(), &session.context))?;
    let report = WhyReport::new(&why);
    let text = if build.json { terminal::json(&report) } else { report.to_string() };
    terminal::output(&text).map_err(CommandError::Output)
}
