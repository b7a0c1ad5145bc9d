use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::digest::{DiffId, Digest};
use crate::platform::Platform;

/// The image config: platform, what to run, and the diff IDs of the layers.
///
/// Source: OCI image-spec, `config.md`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// When the image was made, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Architecture, operating system and variant.
    #[serde(flatten)]
    pub platform: Platform,
    /// What a container of this image runs. `null` in some foreign images.
    #[serde(default, deserialize_with = "null_is_default")]
    pub config: ContainerConfig,
    /// The layers.
    pub rootfs: RootFs,
    /// One entry for each step that made the image; those that made a layer in the order of the layers.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub history: Vec<History>,
}

/// The diff IDs of the layers, bottom first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// The digests of the uncompressed tars, bottom first.
    pub diff_ids: Vec<DiffId>,
}

impl RootFs {
    /// The chain ID of the lowest `layers`, which names them and their order; `None` where there are not so many, or none.
    ///
    /// Source: OCI image-spec, `config.md`, "Layer ChainID".
    pub fn chain_id(&self, layers: usize) -> Option<Digest> {
        let (first, rest) = self.diff_ids.get(..layers)?.split_first()?;
        let with = |below: String, diff_id: &DiffId| Digest::of(format!("{below} {diff_id}").as_bytes()).to_string();
        rest.iter().fold(first.to_string(), with).parse().ok()
    }
}

impl ContainerConfig {
    /// The value of a variable; `None` where it is not set.
    pub fn variable(&self, name: &str) -> Option<&str> {
        self.env.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
    }
}

/// One step in the making of an image.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which command.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the step changed only the config, so that no layer belongs to it.
    #[serde(default, skip_serializing_if = "is_false")]
    pub empty_layer: bool,
}

/// What a container runs, and as whom.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct ContainerConfig {
    /// User, or `user:group`, by name or number.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub user: String,
    /// Ports the program listens on, such as `8000/tcp`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub exposed_ports: BTreeMap<String, Value>,
    /// The environment, `NAME=value`.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// The command that is always run.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub entrypoint: Vec<String>,
    /// The command, or the arguments of the entrypoint.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "Vec::is_empty")]
    pub cmd: Vec<String>,
    /// How Docker asks whether the service is well. No part of the OCI config; Docker reads it here all the same.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<Healthcheck>,
    /// Directories that hold what outlives the container.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub volumes: BTreeMap<String, Value>,
    /// The working directory.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub working_dir: String,
    /// Free notes that the runtime shows.
    #[serde(default, deserialize_with = "null_is_default", skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// The signal that stops the container.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub stop_signal: String,
    /// Whatever else the base's config says; carried over as it is.
    #[serde(flatten)]
    pub other: BTreeMap<String, Value>,
}

/// Docker's health check. Times are in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Healthcheck {
    /// `["NONE"]`, `["CMD", …]` or `["CMD-SHELL", command]`.
    #[serde(default)]
    pub test: Vec<String>,
    /// Time between two checks.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub interval: u64,
    /// How long a check may take.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub timeout: u64,
    /// Time for the service to start, in which failures do not count.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_period: u64,
    /// Time between two checks while the service starts.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub start_interval: u64,
    /// Failures in a row until the container counts as unhealthy.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub retries: u64,
}

/// Foreign configs write `null` where they mean "none".
fn null_is_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

fn is_false(value: &bool) -> bool {
    !value
}

fn is_zero(value: &u64) -> bool {
    *value == 0
}

#[cfg(test)]
mod tests {
    use crate::manifest::Raw;

    use super::*;

    #[test]
    fn foreign_nulls_mean_none_and_unknown_keys_are_kept() {
        let foreign = br#"{"architecture":"arm64","os":"linux","variant":"v8","config":{"Env":null,"Cmd":["node"],
            "OnBuild":null,"ArgsEscaped":true},"history":null,"rootfs":{"type":"layers","diff_ids":[]}}"#;
        let config: Raw<ImageConfig> = Raw::parse("image config", foreign.to_vec()).unwrap();
        assert_eq!(config.parsed().platform.to_string(), "linux/arm64/v8");
        assert_eq!(config.parsed().config.cmd, ["node"]);
        assert_eq!(config.parsed().config.other["ArgsEscaped"], true);
        assert!(config.parsed().history.is_empty());
    }
}
