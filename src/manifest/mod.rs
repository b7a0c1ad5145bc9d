//! The documents of the OCI image-spec: descriptor, manifest, index, config; and their exact bytes.

mod config;
mod descriptor;
mod format;
mod image_manifest;
mod index;
pub mod media_type;
mod raw;

pub use config::{ContainerConfig, Healthcheck, History, ImageConfig, RootFs};
pub use descriptor::Descriptor;
pub use format::{Format, UnknownFormat};
pub use image_manifest::{BASE_DIGEST, BASE_NAME, Manifest};
pub use index::{Index, REF_NAME};
pub use raw::{DocumentError, Raw};

/// The largest manifest or index that is read: registries refuse larger ones, so a larger one is no manifest.
/// Source: OCI distribution-spec, "Pushing Manifests" (4 MiB).
pub const MANIFEST_LIMIT: u64 = 4 << 20;
