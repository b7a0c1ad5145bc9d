//! Ending a run early: one flag that everything with a loop looks at.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

/// The run was ended by the user.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
#[error("interrupted")]
pub struct Cancelled;

/// Asks a run to end. Clones are the same request.
#[derive(Clone, Debug, Default)]
pub struct Cancellation(Arc<AtomicBool>);

impl Cancellation {
    /// Asks for the end.
    pub fn cancel(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    /// An error once the end was asked for.
    pub fn check(&self) -> Result<(), Cancelled> {
        if self.0.load(Ordering::Relaxed) { Err(Cancelled) } else { Ok(()) }
    }
}
