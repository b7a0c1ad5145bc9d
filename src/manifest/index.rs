use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Descriptor, Format};
use crate::platform::Platform;

/// The annotation by which a layout's index names an entry.
/// Source: OCI image-spec, `annotations.md` and `image-layout.md`.
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";

/// An index: manifests by platform, or the entries of a layout.
///
/// Source: OCI image-spec, `image-index.md`. Docker's manifest list has the same shape.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// The index's own media type.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub media_type: Option<String>,
    /// What kind of thing this is if it is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The manifests, or further indexes.
    pub manifests: Vec<Descriptor>,
    /// The manifest that this index is about, which makes it a referrer of that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Free notes.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Index {
    /// The manifest of the wanted platform, else the platforms there are. Attestations, which have the platform `unknown`,
    /// are passed over.
    pub fn choose(&self, wanted: &Platform) -> Result<&Descriptor, Vec<Platform>> {
        let accepted = |offered: &Platform| wanted.accepts(offered);
        if let Some(found) = self.manifests.iter().find(|entry| entry.platform.as_ref().is_some_and(accepted)) {
            return Ok(found);
        }
        let known = |entry: &&Descriptor| entry.platform.as_ref().is_none_or(|platform| !platform.is_unknown());
        match &self.manifests.iter().filter(known).collect::<Vec<_>>()[..] {
            // One manifest that says nothing of its platform: its config will.
            [only] if only.platform.is_none() => Ok(only),
            others => Err(others.iter().filter_map(|entry| entry.platform.clone()).collect()),
        }
    }

    /// An index over `manifests`.
    pub fn new(format: Format, manifests: Vec<Descriptor>) -> Self {
        Self {
            schema_version: 2,
            media_type: Some(format.index().to_owned()),
            artifact_type: None,
            manifests,
            subject: None,
            annotations: BTreeMap::new(),
        }
    }
}
