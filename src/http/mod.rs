//! What every client of an HTTP service needs, whatever the service: how often to try again, how many requests at a
//! time, where a redirect may lead, what of an address may be shown, and how a connection failed.

mod address;
pub mod failure;
mod limiter;
pub mod retry;

pub use address::{is_loopback, printable, redacted, safe_redirect, same_origin};
pub use failure::Failure;
pub use limiter::Limiter;
pub use retry::{Attempts, RetryPolicy};
