//! From a base, layers and settings to an image: config and manifest, and an index over images. Nothing here reads or writes.

mod assemble;
mod base;
mod certificates;
mod contract;
mod links;
mod platforms;
mod relied_on;
mod run_settings;
mod software;
mod time_zone;
mod user;

pub use assemble::{AssembleError, Image, OwnLayer, assemble};
pub use base::{BaseEntry, BaseFiles, BaseImage};
pub use certificates::{CERTIFICATE_BUNDLES, Certificate, CertificateError, NODE_FILE, NODE_VARIABLE};
pub use contract::{AddedInit, AddedSystem, BaseExtension, CONTRACT, Contract, ContractError};
pub use links::BaseFilesError;
pub use platforms::PlatformImages;
pub use relied_on::{Difference, ReliedOn};
pub use run_settings::{HealthCheck, ImageHealth, RunSettings, RunUser};
pub use software::BaseSoftware;
pub use time_zone::{TimeZone, UnknownTimeZone};
pub use user::{ImageUser, NewUser, UserEntries, UserError};
