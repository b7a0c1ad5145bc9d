//! What every client of an HTTP service needs, whatever the service: how often to try again, how many requests at a
//! time, through which connections, where a redirect may lead, what of an address may be shown, and how a connection
//! failed.

mod address;
mod connection;
pub mod failure;
mod hosts;
mod limiter;
mod pace;
mod public_names;
pub mod retry;
mod secret;

pub use address::{is_loopback, is_private, printable, redacted, safe_redirect, same_origin};
pub use connection::{Connections, Trust};
pub use failure::Failure;
pub use hosts::{Failed, GetError, Hosts, next_piece};
pub use limiter::{Limiter, Place};
pub use pace::Pace;
pub use retry::{Attempts, RetryPolicy};
pub use secret::Secret;
