use std::num::NonZero;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{CommandError, terminal};
use crate::build::{self, BuildError, Context};
use crate::cancel::{Cancellation, Cancelled};
use crate::cli::Build;
use crate::environment::Environment;
use crate::path::HostPath;
use crate::registry::{Client, ClientOptions};
use crate::report::{BuildReport, table};
use crate::store::Store;

/// `pirogue build`
pub(super) fn run(arguments: &Build, environment: &Environment) -> Result<(), CommandError> {
    let options = ClientOptions { credentials: environment.credentials.clone(), ..ClientOptions::default() };
    let temporary = match arguments.no_cache {
        true => Some(tempfile::tempdir().map_err(CommandError::Start)?),
        false => None,
    };
    let cache_dir = temporary.as_ref().map_or(environment.cache_dir.clone(), |dir| HostPath::new(dir.path()));
    let context = Context {
        store: Store::open(&cache_dir).map_err(BuildError::from)?,
        client: Client::new(options).map_err(BuildError::from)?,
        threads: arguments.jobs.map_or(environment.threads, NonZero::get),
        mtime: environment.epoch,
        began: environment.now,
        cancellation: Cancellation::default(),
        progress: terminal::progress(),
    };
    let runtime = Runtime::new().map_err(CommandError::Start)?;
    let report = runtime.block_on(until_interrupted(arguments, &context))?;
    let text = match arguments.json {
        true => json(&report),
        false => table(&report),
    };
    terminal::output(&text).map_err(CommandError::Output)
}

/// Runs the build; Ctrl-C and SIGTERM end it, and it takes back what it has half written.
async fn until_interrupted(arguments: &Build, context: &Context) -> Result<BuildReport, CommandError> {
    let interrupted = std::sync::Arc::new(Notify::new());
    let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Start)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Start)?;
    let (notify, cancellation) = (interrupted.clone(), context.cancellation.clone());
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        cancellation.cancel();
        notify.notify_one();
    });
    let request = arguments.request();
    tokio::select! {
        result = build::build(&request, context) => Ok(BuildReport::new(&result?)),
        () = interrupted.notified() => Err(BuildError::from(Cancelled).into()),
    }
}

fn json(report: &BuildReport) -> String {
    // A report has no maps with other keys than texts, so it can always be written.
    let mut text = serde_json::to_string_pretty(report).unwrap_or_default();
    text.push('\n');
    text
}
