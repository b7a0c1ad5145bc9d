//! What an image says of its making, so that it can be moved to another base without its sources.

use serde::{Deserialize, Serialize};

use super::{Certificate, ImageUser, ReliedOn, RunSettings, TimeZone};
use crate::layer::{LayerRole, RECIPE};
use crate::manifest::media_type::Compression;
use crate::path::ImagePath;

/// The annotation of a manifest that holds the contract.
pub const CONTRACT: &str = "dev.pirogue.contract";
/// The shape of contracts that this pirogue writes and reads.
const VERSION: u32 = 1;

/// Everything by which the parts of an image are made again that depend on its base, and what the other parts rely on.
///
/// No key, no file of the workspace and no secret is in it but what the image's config and files show anyway.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contract {
    version: u32,
    /// The rules by which the layers became bytes.
    pub recipe: String,
    /// How the layers are compressed.
    pub compression: Compression,
    /// Whether identical files of one fragment are hard links.
    pub hard_links: bool,
    /// The directory that stands for the workspace's root.
    pub root: ImagePath,
    /// What is added to the base's own files.
    pub extension: BaseExtension,
    /// The packages of the base's distribution that are added to it, with their versions. An image that has any cannot be
    /// moved to another base yet.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub system_packages: Vec<String>,
    /// What the container runs.
    pub run: RunSettings,
    /// What the other layers rely on.
    pub base: ReliedOn,
    /// The layers above the base, bottom first.
    pub layers: Vec<LayerRole>,
}

/// What is added to the base's own files, as the user wants it of any base.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BaseExtension {
    /// As whom the container runs.
    pub user: ImageUser,
    /// The CAs that it trusts besides those of the base.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub certificates: Vec<Certificate>,
    /// Its time zone; `None` keeps the base's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_zone: Option<TimeZone>,
}

/// Why a contract cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContractError {
    /// Made by a later pirogue, or by none.
    #[error("its contract is of another version than this pirogue's, which is {VERSION}: `{0}`")]
    Version(u64),
    /// Not a contract.
    #[error("its contract cannot be read: {0}")]
    Malformed(String),
}

impl Contract {
    /// A contract for layers that are made now.
    pub fn new(
        compression: Compression,
        hard_links: bool,
        root: ImagePath,
        extension: BaseExtension,
        run: RunSettings,
        base: ReliedOn,
        layers: Vec<LayerRole>,
    ) -> Self {
        let (version, recipe, system_packages) = (VERSION, RECIPE.to_owned(), Vec::new());
        Self { version, recipe, compression, hard_links, root, extension, system_packages, run, base, layers }
    }

    /// Reads the text of the annotation.
    pub fn read(text: &str) -> Result<Self, ContractError> {
        #[derive(Deserialize)]
        struct Versioned {
            version: u64,
        }
        let malformed = |error: serde_json::Error| ContractError::Malformed(error.to_string());
        let Versioned { version } = serde_json::from_str(text).map_err(malformed)?;
        if version != u64::from(VERSION) {
            return Err(ContractError::Version(version));
        }
        serde_json::from_str(text).map_err(malformed)
    }

    /// The text of the annotation: the same for the same contract.
    pub fn text(&self) -> Result<String, ContractError> {
        serde_json::to_string(self).map_err(|error| ContractError::Malformed(error.to_string()))
    }

    /// The same contract for an image on another base.
    pub fn on(&self, base: ReliedOn, layers: Vec<LayerRole>) -> Self {
        Self { base, layers, ..self.clone() }
    }
}
