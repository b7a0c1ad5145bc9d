use crate::build::BuildError;
use crate::digest::Digest;
use crate::layer::ListingError;
use crate::layout::LayoutError;
use crate::manifest::DocumentError;
use crate::platform::Platform;
use crate::registry::RegistryError;
use crate::transfer::{PlaceError, TransferError};

/// Why a base cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The base is not there for the wanted platform.
    #[error("the base has no image for {wanted}, only for {}: `{base}`", list_platforms(.offered))]
    NoSuchPlatform {
        /// The base.
        base: String,
        /// The platform asked for.
        wanted: Box<Platform>,
        /// The platforms it has.
        offered: Vec<Platform>,
    },
    /// Not an image.
    #[error("not an image but a `{media_type}`: `{base}`")]
    NotAnImage {
        /// The base.
        base: String,
        /// What it is.
        media_type: String,
    },
    /// A layer that is no tar.
    #[error("a layer of the base has a media type that is no layer's, `{media_type}`: `{base}`")]
    UnknownLayer {
        /// The base.
        base: String,
        /// The media type.
        media_type: String,
    },
    /// A document is not what it should be.
    #[error("{source}: `{base}`")]
    Document {
        /// The base.
        base: String,
        /// What is wrong.
        source: DocumentError,
    },
    /// A layer cannot be read.
    #[error("{source}: `{base}`")]
    Listing {
        /// The base.
        base: String,
        /// What is wrong.
        source: ListingError,
    },
    /// The lock names an image that its place does not have, or no longer.
    #[error("the base is locked to an image that is not there, `{digest}`: `{base}`")]
    Gone {
        /// The base.
        base: String,
        /// The digest in the lock.
        digest: Digest,
    },
    /// The lock says of a reference with a digest that it stands for another.
    #[error("the base is locked to another image than its own name says, `{digest}`: `{base}`")]
    LockedToAnother {
        /// The base.
        base: String,
        /// The digest in the lock.
        digest: Digest,
    },
    /// The lock says of an image for the platform what the index that it names does not say.
    #[error("the lock has another image for the platform than the index that it names, which has `{digest}`: `{base}`")]
    LockContradiction {
        /// The base.
        base: String,
        /// The digest in the index.
        digest: Digest,
    },
    /// Neither sources nor settings that name services.
    #[error("nothing says which services there are: neither sources nor pirogue.toml name one")]
    UnknownServices,
    /// No registry to ask for images.
    #[error("no registry is named in which images could be")]
    NothingDeployed,
    /// No name of a place.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// The registry refused or cannot be reached.
    #[error("cannot get the base `{base}`: {source}")]
    Registry {
        /// The base.
        base: String,
        /// Why.
        source: RegistryError,
    },
    /// The layout cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

fn list_platforms(platforms: &[Platform]) -> String {
    platforms.iter().map(|platform| format!("`{platform}`")).collect::<Vec<_>>().join(", ")
}

impl BaseError {
    /// Whether the base is out of reach or gone, so that nothing can be said of it, good or bad.
    pub(super) fn is_absence(&self) -> bool {
        matches!(self, Self::Registry { .. } | Self::Layout(_) | Self::Gone { .. })
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchPlatform { offered, .. } => {
                offered.first().map(|platform| format!("build for one it has: `--platform {platform}`"))
            }
            Self::Gone { base, .. } | Self::LockedToAnother { base, .. } | Self::LockContradiction { base, .. } => {
                Some(format!("take what its name stands for now: `pirogue base update {base}`"))
            }
            Self::UnknownServices => Some("name them, or their images: `HOST/REPOSITORY:TAG`".into()),
            Self::NothingDeployed => {
                Some("name the one that they are pushed to: `--to HOST/PREFIX`, or `to` in pirogue.toml".into())
            }
            Self::Registry { source, .. } => source
                .hint()
                .or_else(|| Some("to build without a registry: `--base oci:DIR`, an OCI layout on this disk".into())),
            Self::Layout(error) => error.hint(),
            Self::Place(error) => error.hint(),
            Self::NotAnImage { .. } | Self::UnknownLayer { .. } => {
                Some("name a base that runs as a container, such as `--base node:20-alpine`".into())
            }
            Self::Document { .. } | Self::Listing { .. } => None,
        }
    }
}

/// A failure of reading the base, told as that.
pub(in crate::build) fn unread(base: &str, error: TransferError) -> BuildError {
    match error {
        TransferError::Registry(source) => BaseError::Registry { base: base.to_owned(), source }.into(),
        TransferError::Layout(source) => BaseError::Layout(source).into(),
        other => other.into(),
    }
}
