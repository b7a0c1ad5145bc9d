use super::{CommandError, session, terminal};
use crate::cancel::Cancellation;
use crate::cli::Copy;
use crate::environment::Environment;
use crate::report::CopyReport;
use crate::transfer::{self, Context, TransferError};

/// `pirogue copy`
pub(super) fn run(arguments: &Copy, environment: &Environment) -> Result<(), CommandError> {
    let request = arguments.request().map_err(TransferError::from)?;
    let cache = session::Cache::new(arguments.no_cache, environment)?;
    let context = Context {
        store: cache.store.clone(),
        client: session::client(environment)?,
        cancellation: Cancellation::default(),
        progress: terminal::progress(),
    };
    let copied = session::run(transfer::copy(&request, &context), &context.cancellation)?;
    let report = CopyReport::new(&copied);
    let text = if arguments.json { terminal::json(&report) } else { report.to_string() };
    terminal::output(&text).map_err(CommandError::Output)
}
