//! From a base, layers and settings to an image: config and manifest, and an index over images. Nothing here reads or writes.

mod assemble;
mod base;
mod platforms;
mod run_settings;
mod software;
mod user;

pub use assemble::{AssembleError, Image, assemble};
pub use base::{BaseEntry, BaseFiles, BaseImage};
pub use platforms::PlatformImages;
pub use run_settings::{HealthCheck, RunSettings};
pub use software::BaseSoftware;
pub use user::{ImageUser, NewUser, UserEntries, UserError};
