use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, Format};

/// The annotation with the whole reference of the image that this one lies on. Source: OCI image-spec, `annotations.md`.
pub const BASE_NAME: &str = "org.opencontainers.image.base.name";
/// The annotation with the digest of the manifest of the image that this one lies on. Source: the same.
pub const BASE_DIGEST: &str = "org.opencontainers.image.base.digest";

/// An image manifest: one config and the layers, bottom first.
///
/// Source: OCI image-spec, `manifest.md`. Docker's schema 2 has the same shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// The manifest's own media type. Old registries leave it out; pirogue always writes it, for ECR refuses a manifest
    /// without.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of thing this is if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, bottom first.
    pub layers: Vec<Descriptor>,
    /// The manifest that this one is about, which makes it a referrer of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Manifest {
    /// The manifest of an image, whose config and layers have media types of the same format.
    pub fn new(format: Format, config: Descriptor, layers: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(format.manifest().to_owned()),
            artifact_type: None,
            config,
            layers,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}
