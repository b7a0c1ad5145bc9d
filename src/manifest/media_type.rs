//! Media types of the OCI image-spec and of Docker's image format, and what they say about a blob.
//!
//! Sources: OCI image-spec, `media-types.md`; Docker image manifest version 2, schema 2.

/// An OCI image index.
pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
/// An OCI image manifest.
pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
/// An OCI image config.
pub const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
/// An OCI layer: a plain tar.
pub const LAYER_TAR: &str = "application/vnd.oci.image.layer.v1.tar";
/// An OCI layer: a tar compressed with gzip.
pub const LAYER_GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
/// An OCI layer: a tar compressed with zstd.
pub const LAYER_ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
/// Docker's manifest list, its counterpart of the index.
pub const DOCKER_MANIFEST_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
/// Docker's image manifest.
pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";

/// Docker's image config.
pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
/// A layer in Docker's format: a plain tar.
pub const DOCKER_LAYER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";
/// A layer in Docker's format: a tar compressed with gzip.
pub const DOCKER_LAYER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";

/// What a registry is asked for: any index or manifest.
pub const DOCUMENTS: [&str; 4] = [INDEX, MANIFEST, DOCKER_MANIFEST_LIST, DOCKER_MANIFEST];

/// How the tar of a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip (RFC 1952), one member or several in a row.
    Gzip,
    /// zstd (RFC 8878), one frame or several in a row.
    Zstd,
}

/// A text that names no compression.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("is none of `gzip`, `zstd` and `none`: `{0}`")]
pub struct UnknownCompression(String);

impl std::str::FromStr for Compression {
    type Err = UnknownCompression;

    fn from_str(text: &str) -> Result<Self, UnknownCompression> {
        match text {
            "none" => Ok(Self::None),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            _ => Err(UnknownCompression(text.to_owned())),
        }
    }
}

impl Compression {
    /// The OCI media type of a layer that is compressed so.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::None => LAYER_TAR,
            Self::Gzip => LAYER_GZIP,
            Self::Zstd => LAYER_ZSTD,
        }
    }
}

/// Whether `media_type` is an index or Docker's manifest list.
pub fn is_index(media_type: &str) -> bool {
    matches!(media_type, INDEX | DOCKER_MANIFEST_LIST)
}

/// Whether `media_type` is an image manifest, of the OCI or of Docker.
pub fn is_manifest(media_type: &str) -> bool {
    matches!(media_type, MANIFEST | DOCKER_MANIFEST)
}

/// Whether `media_type` is an image's config, of the OCI or of Docker; artifacts have configs of their own.
pub fn is_image_config(media_type: &str) -> bool {
    matches!(media_type, CONFIG | DOCKER_CONFIG)
}

/// Whether a layer of this media type may not be passed on: its registry holds addresses of it, and not its bytes.
///
/// Sources: OCI image-spec, `layer.md`, "Non-Distributable Layers"; Docker image manifest version 2, schema 2.
pub fn is_foreign_layer(media_type: &str) -> bool {
    media_type.starts_with("application/vnd.oci.image.layer.nondistributable.v1.tar")
        || media_type.starts_with("application/vnd.docker.image.rootfs.foreign.diff.tar")
}

/// The OCI media type for a layer of this media type, whose bytes are the same in both worlds; `None` if the bytes are
/// not a layer pirogue knows. Images never mix the two families: registries refuse that.
pub fn oci_layer(media_type: &str) -> Option<&'static str> {
    match media_type {
        LAYER_TAR | DOCKER_LAYER_TAR => Some(LAYER_TAR),
        LAYER_GZIP | DOCKER_LAYER_GZIP => Some(LAYER_GZIP),
        LAYER_ZSTD => Some(LAYER_ZSTD),
        _ => None,
    }
}

/// How a layer of this media type is compressed; `None` if it is no layer pirogue knows.
pub fn compression(media_type: &str) -> Option<Compression> {
    match oci_layer(media_type)? {
        LAYER_TAR => Some(Compression::None),
        LAYER_GZIP => Some(Compression::Gzip),
        _ => Some(Compression::Zstd),
    }
}
