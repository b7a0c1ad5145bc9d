//! From a base, layers and settings to an image: config and manifest. Nothing here reads or writes.

mod assemble;
mod base;
mod certificates;
mod links;
mod run_settings;
mod time_zone;
mod user;

pub use assemble::{AssembleError, Image, assemble};
pub use base::{BaseEntry, BaseFiles, BaseImage};
pub use certificates::{CERTIFICATE_BUNDLES, Certificate, CertificateError, NODE_FILE, NODE_VARIABLE};
pub use links::BaseFilesError;
pub use run_settings::{HealthCheck, RunSettings, RunUser};
pub use time_zone::{TimeZone, UnknownTimeZone};
pub use user::{ImageUser, NewUser, UserEntries, UserError};
