use std::fmt;
use std::str::FromStr;

use super::media_type;

/// The family of documents that an image consists of. All documents of an image are of one family: registries refuse
/// images that mix them.
///
/// Sources: OCI image-spec, `media-types.md`; Docker image manifest version 2, schema 2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// The OCI's.
    #[default]
    Oci,
    /// Docker's, version 2, schema 2. Its config has health checks, its layers no zstd.
    Docker,
}

/// A text that names no format.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("is neither `oci` nor `docker`: `{0}`")]
pub struct UnknownFormat(String);

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(text: &str) -> Result<Self, UnknownFormat> {
        match text {
            "oci" => Ok(Self::Oci),
            "docker" => Ok(Self::Docker),
            _ => Err(UnknownFormat(text.to_owned())),
        }
    }
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Oci => "oci",
            Self::Docker => "docker",
        })
    }
}

impl Format {
    /// The media type of an image's manifest.
    pub fn manifest(self) -> &'static str {
        match self {
            Self::Oci => media_type::MANIFEST,
            Self::Docker => media_type::DOCKER_MANIFEST,
        }
    }

    /// The media type of an index over images for several platforms.
    pub fn index(self) -> &'static str {
        match self {
            Self::Oci => media_type::INDEX,
            Self::Docker => media_type::DOCKER_MANIFEST_LIST,
        }
    }

    /// The media type of an image's config.
    pub fn config(self) -> &'static str {
        match self {
            Self::Oci => media_type::CONFIG,
            Self::Docker => media_type::DOCKER_CONFIG,
        }
    }

    /// The media type in this format of a layer that has `media_type` in either; `None` if there is none.
    pub fn layer(self, media_type: &str) -> Option<&'static str> {
        let oci = media_type::oci_layer(media_type)?;
        match (self, oci) {
            (Self::Oci, _) => Some(oci),
            (Self::Docker, media_type::LAYER_TAR) => Some(media_type::DOCKER_LAYER_TAR),
            (Self::Docker, media_type::LAYER_GZIP) => Some(media_type::DOCKER_LAYER_GZIP),
            (Self::Docker, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_have_a_type_in_each_format() {
        let docker = "application/vnd.docker.image.rootfs.diff.tar";
        let docker_gzip = "application/vnd.docker.image.rootfs.diff.tar.gzip";
        let table = [
            ("plain", media_type::LAYER_TAR, Some(media_type::LAYER_TAR), Some(docker)),
            ("gzip", media_type::LAYER_GZIP, Some(media_type::LAYER_GZIP), Some(docker_gzip)),
            ("zstd, which Docker's format lacks", media_type::LAYER_ZSTD, Some(media_type::LAYER_ZSTD), None),
            ("Docker's plain", docker, Some(media_type::LAYER_TAR), Some(docker)),
            ("Docker's gzip", docker_gzip, Some(media_type::LAYER_GZIP), Some(docker_gzip)),
            ("no layer", media_type::CONFIG, None, None),
        ];
        for (comment, from, oci, docker) in table {
            assert_eq!((Format::Oci.layer(from), Format::Docker.layer(from)), (oci, docker), "{comment}");
        }
    }

    #[test]
    fn formats_by_name() {
        let table = [("oci", Ok(Format::Oci)), ("docker", Ok(Format::Docker)), ("OCI", Err(()))];
        for (text, expected) in table {
            assert_eq!(text.parse::<Format>().map_err(drop), expected, "{text}");
            assert!(expected.is_err() || expected.is_ok_and(|format| format.to_string() == text), "{text}");
        }
    }
}
