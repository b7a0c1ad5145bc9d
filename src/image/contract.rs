//! What an image says of its making, so that it can be moved to another base without its sources.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::{Certificate, ImageUser, ReliedOn, RunSettings, TimeZone};
use crate::digest::Digest;
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
    /// What is added to the base besides: packages of its distribution, an init.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub system: Option<AddedSystem>,
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

/// The packages and the init that are added to a base, as the user wants them of any base. Where packages come from and who
/// vouches for them is no part of it: that is up to whoever makes the layer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AddedSystem {
    /// The packages that were asked for, with or without a version, as apk's world has them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub packages: Vec<String>,
    /// Those of the packages that do without the scripts that their installation would run.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without_scripts: BTreeSet<String>,
    /// The container's first process.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub init: Option<AddedInit>,
    /// The packages that came along upon this base, `NAME-VERSION`, each behind what it needs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub installed: Vec<String>,
}

/// The program of a container's first process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", deny_unknown_fields)]
pub enum AddedInit {
    /// What the package of this name brings.
    Package(String),
    /// A program of one file, which lies in the lowest layer above the base.
    File {
        /// Where.
        place: ImagePath,
        /// The digest of its bytes.
        sha256: Digest,
    },
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
        let (version, recipe) = (VERSION, RECIPE.to_owned());
        Self { version, recipe, compression, hard_links, root, extension, system: None, run, base, layers }
    }

    /// The same contract with what is added to the base besides.
    pub fn adding(self, system: Option<AddedSystem>) -> Self {
        Self { system, ..self }
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

    /// The same contract for an image on another base, where `system` is added.
    pub fn on(&self, base: ReliedOn, system: Option<AddedSystem>, layers: Vec<LayerRole>) -> Self {
        Self { base, system, layers, ..self.clone() }
    }
}
