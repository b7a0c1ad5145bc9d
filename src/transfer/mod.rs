//! Images between places: what a place is, how an image is read from one, and how it is brought to another, byte for byte.
//!
//! Manifests are never encoded again, so digests stay what they are. Blobs go through the store, which verifies them while
//! they come and from which an upload can begin again; what the far side has is neither fetched nor sent.

mod copy;
mod daemon;
mod download;
mod error;
mod place;
mod referrers;
mod send;
mod source;
mod tree;

pub use copy::{Copied, CopyRequest, copy};
pub use daemon::load;
pub use error::TransferError;
pub use place::{Medium, Place, PlaceError, split_file, split_layout};
pub use send::send;
pub use source::Source;
pub use tree::Document;

use std::sync::Arc;

use tempfile::NamedTempFile;
use tokio::task::spawn_blocking;

use crate::cancel::Cancellation;
use crate::progress::Progress;
use crate::registry::Client;
use crate::store::Store;

/// What images are moved with.
#[derive(Clone)]
pub struct Context {
    /// Blobs on their way.
    pub store: Store,
    /// The client of all registries.
    pub client: Client,
    /// Ends the work early.
    pub cancellation: Cancellation,
    /// Who listens.
    pub progress: Arc<dyn Progress>,
}

impl Context {
    /// A file for an archive that is only handed on. It is gone when the value is dropped.
    pub fn scratch_archive(&self) -> Result<NamedTempFile, TransferError> {
        NamedTempFile::new_in(self.store.scratch_dir()).map_err(|source| self.store.write_error(source).into())
    }
}

/// Runs work that blocks on a thread of its own.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Result<T, TransferError> {
    spawn_blocking(work).await.map_err(|error| TransferError::Task(error.into()))
}
