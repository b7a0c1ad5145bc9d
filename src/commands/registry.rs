use super::{CommandError, session, terminal};
use crate::cancel::Cancellation;
use crate::cli::Registry;
use crate::environment::Environment;
use crate::registry::Repository;
use crate::report::CheckReport;

/// `pirogue registry`
pub(super) fn run(command: &Registry, environment: &Environment) -> Result<(), CommandError> {
    let Registry::Check { repository, json } = command;
    let repository: Repository = repository.parse()?;
    let client = session::client(environment, &terminal::progress())?;
    client.push_to([repository.registry().clone()]);
    let check = session::run(client.check(&repository), &Cancellation::default(), &client)?;
    let report = CheckReport::new(&check);
    let text = if *json { terminal::json(&report) } else { report.to_string() };
    terminal::output(&text).map_err(CommandError::Output)?;
    match check.may_push {
        true => Ok(()),
        false => Err(CommandError::MayNotPush(repository.to_string())),
    }
}
