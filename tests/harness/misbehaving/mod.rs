//! Registries that tests play.
//!
//! [`Misbehaving`] is a server that answers as a test says and keeps what it was asked. [`PlayedRegistry`] is a whole
//! registry upon it, with storage, uploads, tokens and mounts, which does as the specification says but for its
//! [`Profile`]. [`profiles`] lists the habits of real registries and of the proxies before them, each by a name.
#![allow(unused_imports, reason = "each test program uses a part of it")]

mod access;
mod contents;
mod profile;
mod profiles;
mod registry;
mod server;
mod uploads;

pub use access::{Door, PASSWORD, USER};
pub use profile::{Part, Profile};
pub use profiles::{IDENTITY, profiles};
pub use registry::PlayedRegistry;
pub use server::{Answer, Asked, Misbehaving};
pub use uploads::{Leads, Told, Uploads};
