use super::{CommandError, session, terminal};
use crate::cancel::Cancellation;
use crate::cli::Copy;
use crate::environment::Environment;
use crate::report::CopyReport;
use crate::transfer::{self, Context, Place, TransferError};

/// `pirogue copy`
pub(super) fn run(arguments: &Copy, environment: &Environment) -> Result<(), CommandError> {
    let request = arguments.request().map_err(TransferError::from)?;
    let cache = session::Cache::new(arguments.no_cache, environment)?;
    let progress = terminal::progress();
    let context = Context {
        store: cache.store.clone(),
        client: session::client(environment, &progress)?,
        cancellation: Cancellation::default(),
        progress,
    };
    if let Place::Registry(target) = &request.target {
        context.client.push_to([target.repository().registry().clone()]);
    }
    let copied = session::run(transfer::copy(&request, &context), &context.cancellation, &context.client)?;
    let report = CopyReport::new(&copied);
    let text = if arguments.json { terminal::json(&report) } else { report.to_string() };
    terminal::output(&text).map_err(CommandError::Output)
}
