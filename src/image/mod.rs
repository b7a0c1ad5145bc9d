//! From a base, layers and settings to an image: config and manifest. Nothing here reads or writes.

mod assemble;
mod base;
mod run_settings;
mod static_program;
mod user;

pub use assemble::{AssembleError, Image, assemble};
pub use base::{BaseEntry, BaseFiles, BaseImage};
pub use run_settings::{HealthCheck, RunSettings};
pub use static_program::{StaticProgramError, check_static_program};
pub use user::{ImageUser, NewUser, UserEntries, UserError};
