use std::fmt::Write as _;

use serde::Serialize;

use super::{CommandError, terminal};
use crate::cli::Cache;
use crate::environment::Environment;
use crate::report::megabytes;
use crate::store::{Bounds, Store, Usage};

const DAY: u64 = 86_400;

#[derive(Serialize)]
struct CacheReport {
    directory: String,
    #[serde(flatten)]
    usage: Usage,
}

/// `pirogue cache`
pub(super) fn run(command: &Cache, environment: &Environment) -> Result<(), CommandError> {
    let dir = &environment.cache_dir;
    let bounds = match command {
        Cache::Info { .. } => None,
        Cache::Gc { max_size, max_age } => Some(Bounds { max_bytes: *max_size, max_age: max_age.saturating_mul(DAY) }),
        Cache::Clear => Some(Bounds { max_bytes: 0, max_age: 0 }),
    };
    let before = Store::open(dir)?.usage()?;
    if let Some(bounds) = bounds {
        Store::sweep(dir)?.collect(bounds, environment.now)?;
    }
    let usage = Store::open(dir)?.usage()?;
    let mut text = String::new();
    match command {
        Cache::Info { json: true } => {
            text = terminal::json(&CacheReport { directory: dir.to_string(), usage });
        }
        _ => {
            let freed = (before.blob_bytes + before.fact_bytes).saturating_sub(usage.blob_bytes + usage.fact_bytes);
            if bounds.is_some() {
                let _ = writeln!(text, "freed {}", megabytes(freed));
            }
            let (blobs, facts) = (megabytes(usage.blob_bytes), megabytes(usage.fact_bytes));
            let _ = writeln!(
                text,
                "{dir}: {} blobs, {blobs}; what is known of them and of workspaces, {facts}",
                usage.blobs
            );
        }
    }
    terminal::output(&text).map_err(CommandError::Output)
}
