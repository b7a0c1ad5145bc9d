//! The operating system and processor an image is for.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An OCI platform, written `os/architecture[/variant]`: `linux/amd64`, `linux/arm64/v8`.
///
/// Source: OCI image-spec, `image-index.md`, property `platform`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Platform {
    /// The processor architecture, in Go's words: `amd64`, `arm64`.
    pub architecture: String,
    /// The operating system, in Go's words: `linux`.
    pub os: String,
    /// The variant of the architecture, such as `v8` of `arm64`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// The text is no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a platform (`os/architecture[/variant]`, such as `linux/amd64`): `{0}`")]
pub struct PlatformError(String);

impl Platform {
    /// The platform of the machine that builds, but always with `linux`, since that is what images run on.
    pub fn of_this_machine() -> Self {
        let architecture = match std::env::consts::ARCH {
            "x86_64" => "amd64",
            "aarch64" => "arm64",
            "x86" => "386",
            "powerpc64" => "ppc64le",
            other => other,
        };
        Self { architecture: architecture.to_owned(), os: "linux".to_owned(), variant: None }
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

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let fits =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-".contains(&b));
        let parts: Vec<&str> = text.split('/').collect();
        if !(2..=3).contains(&parts.len()) || !parts.iter().all(fits) {
            return Err(PlatformError(text.to_owned()));
        }
        Ok(Self {
            os: parts[0].to_owned(),
            architecture: parts[1].to_owned(),
            variant: parts.get(2).map(|&variant| variant.to_owned()),
        })
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
    fn malformed_platforms_are_refused() {
        for text in ["", "linux", "linux/", "linux/amd64/v1/x", "linux/am d64"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }
}
