use super::{CommandError, Session, terminal};
use crate::build::rebase;
use crate::cli::Rebase;
use crate::environment::Environment;
use crate::report::RebaseReport;

/// `pirogue rebase`
pub(super) fn run(arguments: &Rebase, environment: &Environment) -> Result<(), CommandError> {
    let session = Session::without_packages(environment)?;
    let rebased = session.run(rebase(&arguments.request(), arguments.dry_run, &session.context))?;
    let report = RebaseReport::new(&rebased, arguments.dry_run);
    let text = if arguments.json { terminal::json(&report) } else { report.to_string() };
    terminal::output(&text).map_err(CommandError::Output)
}
