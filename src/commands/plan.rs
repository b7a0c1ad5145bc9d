use super::{CommandError, Session, session, terminal};
use crate::build;
use crate::cli::Build;
use crate::environment::Environment;
use crate::report::PlanReport;

/// `pirogue plan`
pub(super) fn run(arguments: &Build, environment: &Environment) -> Result<(), CommandError> {
    let session = Session::new(arguments, environment)?;
    let plan = session.run(build::plan(&arguments.request(), &session.context))?;
    let report = PlanReport::new(&plan);
    let text = if arguments.json { terminal::json(&report) } else { report.to_string() };
    drop(report);
    session::leave_to_the_system(plan);
    terminal::output(&text).map_err(CommandError::Output)
}
