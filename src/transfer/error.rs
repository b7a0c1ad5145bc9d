use std::io;

use super::PlaceError;
use crate::cancel::Cancelled;
use crate::digest::Digest;
use crate::layout::LayoutError;
use crate::manifest::DocumentError;
use crate::platform::Platform;
use crate::registry::RegistryError;
use crate::store::StoreError;

/// Why an image does not get from one place to another.
#[derive(Debug, thiserror::Error)]
pub enum TransferError {
    /// A place that is none.
    #[error(transparent)]
    Place(#[from] PlaceError),
    /// A registry refused or cannot be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A layout or archive cannot be read or written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A document is not what it should be.
    #[error("{source}: `{name}`")]
    Document {
        /// The image, or the digest of the document.
        name: String,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// Neither an image nor an index of images.
    #[error("neither an image nor an index of images but a `{media_type}`: `{name}`")]
    NotAnImage {
        /// The image, or the digest of the document.
        name: String,
        /// What it is.
        media_type: String,
    },
    /// An index of more than can be meant.
    #[error("the index leads to more documents than any image has: `{0}`")]
    TooManyDocuments(String),
    /// The image is not there for the wanted platform.
    #[error("there is no image for {wanted}, only for {}: `{name}`", list(.offered))]
    NoSuchPlatform {
        /// The image.
        name: String,
        /// The platform asked for.
        wanted: Box<Platform>,
        /// The platforms it has.
        offered: Vec<Platform>,
    },
    /// The image is to go to a place that is named with the digest of another.
    #[error("the image has the digest `{actual}`, not the one of the place it is to go to: `{target}`")]
    OtherDigest {
        /// The digest of the image.
        actual: Digest,
        /// Where it was to go.
        target: String,
    },
    /// Neither `docker` nor `podman`.
    #[error("`docker-daemon:` needs `docker` with a running daemon, or `podman`; {reason}: `{name}`")]
    NoDaemon {
        /// What was found.
        reason: String,
        /// The image.
        name: String,
    },
    /// `docker` or `podman` failed.
    #[error("`{program} {verb}` failed ({said}): `{name}`")]
    Daemon {
        /// `docker` or `podman`.
        program: &'static str,
        /// `load` or `save`.
        verb: &'static str,
        /// What it wrote to its standard error.
        said: String,
        /// The image.
        name: String,
    },
    /// A thread of the runtime died.
    #[error("a task ended unexpectedly: {0}")]
    Task(io::Error),
    /// The user ended the run.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

fn list(platforms: &[Platform]) -> String {
    platforms.iter().map(|platform| format!("`{platform}`")).collect::<Vec<_>>().join(", ")
}

impl TransferError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Place(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Layout(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::NoSuchPlatform { offered, .. } => {
                offered.first().map(|platform| format!("copy one it has: `--platform {platform}`"))
            }
            Self::NotAnImage { .. } => Some("name an image, or an index of images".into()),
            Self::OtherDigest { .. } => {
                Some("name the target by a tag alone, or copy one platform with `--platform`".into())
            }
            Self::NoDaemon { .. } => Some(
                "start Docker or install podman; or write an archive with `docker-archive:FILE`, and load it elsewhere"
                    .into(),
            ),
            Self::Daemon { program, .. } => Some(format!("see whether `{program} images` works on this machine")),
            Self::Document { .. } | Self::TooManyDocuments(_) | Self::Task(_) | Self::Cancelled(_) => None,
        }
    }
}
