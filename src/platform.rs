//! The operating system and processor an image is for.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An OCI platform, written `os/architecture[/variant]`: `linux/amd64`, `linux/arm64/v8`. Platforms are ordered as they are
/// written.
///
/// Source: OCI image-spec, `image-index.md`, property `platform`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The processor architecture, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The operating system, in Go's words: `linux`.
    pub os: String,
    /// The variant of the architecture, such as `v8` of `arm64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// The version of the operating system that the image needs, where that matters.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// What the image needs of the operating system, where that matters.
    #[serde(rename = "os.features", default, skip_serializing_if = "Vec::is_empty")]
    pub os_features: Vec<String>,
}

/// The text is no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a platform (`os/architecture[/variant]`, such as `linux/amd64`): `{0}`")]
pub struct PlatformError(String);

impl Platform {
    fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.map(str::to_owned),
            os_version: None,
            os_features: Vec::new(),
        }
    }

    /// The platform of the machine that builds, but always with `linux`, since that is what images run on.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self::new("linux", architecture, None)
    }

    /// Whether an image made for `offered` serves a wish for `self`. A wish without a variant takes any, and arm64's
    /// only variant, `v8`, may be left out on either side.
    pub fn accepts(&self, offered: &Self) -> bool {
        let variant = |platform: &Self| match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("arm64", None) => Some("v8".to_owned()),
            (_, variant) => variant.map(str::to_owned),
        };
        self.os == offered.os
            && self.architecture == offered.architecture
            && (self.variant.is_none() || variant(self) == variant(offered))
    }

    /// What a config says of its image, completed by what an index says of it: an index may be the only one to know the
    /// variant or the version of the system.
    pub fn completed_by(mut self, described: Self) -> Self {
        self.variant = self.variant.or(described.variant);
        self.os_version = self.os_version.or(described.os_version);
        if self.os_features.is_empty() {
            self.os_features = described.os_features;
        }
        self
    }

    /// Whether this is the `unknown/unknown` that marks attestation manifests in an index.
    pub fn is_unknown(&self) -> bool {
        self.os == "unknown" || self.architecture == "unknown"
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl Ord for Platform {
    fn cmp(&self, other: &Self) -> Ordering {
        let Self { architecture, os, variant, os_version, os_features } = self;
        let key = (os, architecture, variant, os_version, os_features);
        key.cmp(&(&other.os, &other.architecture, &other.variant, &other.os_version, &other.os_features))
    }
}

impl PartialOrd for Platform {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let fits =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let parts: Vec<&str> = text.split('/').collect();
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(fits) {
            return Err(PlatformError(text.to_owned()));
        }
        Ok(Self::new(parts[0], parts[1], parts.get(2).copied()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wishes_and_offers() {
        let table = [
            ("the same", "linux/amd64", "linux/amd64", true),
            ("another processor", "linux/amd64", "linux/arm64", false),
            ("arm64 is v8", "linux/arm64", "linux/arm64/v8", true),
            ("v8 is arm64", "linux/arm64/v8", "linux/arm64", true),
            ("another variant", "linux/arm/v6", "linux/arm/v7", false),
            ("attestation", "linux/amd64", "unknown/unknown", false),
        ];
        for (comment, wish, offer, expected) in table {
            let (wish, offer): (Platform, Platform) = (wish.parse().unwrap(), offer.parse().unwrap());
            assert_eq!(wish.accepts(&offer), expected, "{comment}");
        }
    }

    #[test]
    fn platforms_are_ordered_as_they_are_written() {
        let mut platforms: Vec<Platform> =
            ["windows/amd64", "linux/arm64", "linux/arm/v7", "linux/arm/v6", "linux/amd64"]
                .map(|text| text.parse().unwrap())
                .into();
        platforms.sort();
        let sorted: Vec<String> = platforms.iter().map(ToString::to_string).collect();
        assert_eq!(sorted, ["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64", "windows/amd64"]);
    }

    #[test]
    fn what_the_config_does_not_say_the_index_may() {
        let described = r#"{"architecture":"amd64","os":"windows","os.version":"10.0","os.features":["win32k"]}"#;
        let described: Platform = serde_json::from_str(described).unwrap();
        let table = [
            ("a variant", "linux/arm64", "linux/arm64/v8", "linux/arm64/v8"),
            ("the config comes first", "linux/arm/v7", "linux/arm/v6", "linux/arm/v7"),
        ];
        for (comment, config, index, expected) in table {
            let (config, index): (Platform, Platform) = (config.parse().unwrap(), index.parse().unwrap());
            assert_eq!(config.completed_by(index).to_string(), expected, "{comment}");
        }
        assert_eq!("windows/amd64".parse::<Platform>().unwrap().completed_by(described.clone()), described);
    }

    #[test]
    fn malformed_platforms_are_refused() {
        for text in ["", "linux", "linux/", "linux/amd64/v1/x", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
