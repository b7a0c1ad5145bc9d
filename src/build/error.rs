use std::io;

use super::base::{BaseError, BaseLockError};
use super::check::FailedChecks;
use super::locked::LockedError;
use super::natives::NativesError;
use super::{DestinationError, FormatError, RebaseError, SelectionError, SystemError, WhyError};
use crate::cancel::Cancelled;
use crate::check::CheckError;
use crate::closure::{ClosureError, PlacementError};
use crate::config::ConfigError;
use crate::host::{HostError, StatIndexError};
use crate::image::{AssembleError, BaseFilesError, CertificateError, UserError};
use crate::layer::{CollectError, PackError, TreeError};
use crate::layout::LayoutError;
use crate::npm_registry::NpmRegistryError;
use crate::path::ImagePathError;
use crate::platform::PlatformError;
use crate::registry::RegistryError;
use crate::store::StoreError;
use crate::transfer::TransferError;
use crate::workspace::WorkspaceError;
use crate::workspace::lockfiles::LockfileError;

/// Why a build ends without its images.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The directory is no workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// `pirogue.toml` is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The services cannot be told.
    #[error(transparent)]
    Selection(#[from] SelectionError),
    /// A package of which nothing can be said.
    #[error(transparent)]
    Why(#[from] WhyError),
    /// A platform that is none.
    #[error(transparent)]
    Platform(#[from] PlatformError),
    /// A destination that is none.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// The images cannot be had in the wanted format.
    #[error(transparent)]
    Format(#[from] FormatError),
    /// A dependency closure cannot be computed.
    #[error(transparent)]
    Closure(#[from] ClosureError),
    /// The lockfile cannot be used.
    #[error(transparent)]
    Lockfile(#[from] LockfileError),
    /// The lockfile's packages have no place.
    #[error(transparent)]
    Placement(#[from] PlacementError),
    /// Packages cannot be fetched.
    #[error(transparent)]
    NpmRegistry(#[from] NpmRegistryError),
    /// Packages of the lockfile cannot go into an image.
    #[error(transparent)]
    Locked(#[from] LockedError),
    /// Native code of packages cannot be used.
    #[error(transparent)]
    Natives(#[from] NativesError),
    /// A file of the workspace cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The base cannot be had.
    #[error(transparent)]
    Base(#[from] BaseError),
    /// The bases cannot be pinned.
    #[error(transparent)]
    BaseLock(#[from] BaseLockError),
    /// What is to be added to the base cannot be had.
    #[error(transparent)]
    System(#[from] SystemError),
    /// The image's user cannot be had.
    #[error(transparent)]
    User(#[from] UserError),
    /// `ca` in `pirogue.toml` names something else than certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// Files cannot be collected.
    #[error(transparent)]
    Collect(#[from] CollectError),
    /// Two things at one place in the image.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A path that no image can have.
    #[error(transparent)]
    Path(#[from] ImagePathError),
    /// Something cannot lie where the base has something else.
    #[error(transparent)]
    BaseFiles(#[from] BaseFilesError),
    /// A pattern in `pirogue.toml` that is none.
    #[error("not a pattern ({reason}): `{pattern}`")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A key of `pirogue.toml` names a file that is not there.
    #[error("`{key}` of the service `{service}` names something that does not exist: `{from}`")]
    NoSuchFile {
        /// The key: `files` or `ca`.
        key: &'static str,
        /// The service.
        service: String,
        /// The path, relative to the workspace.
        from: String,
    },
    /// A health check over HTTP needs a port.
    #[error("the health check needs to know the port of the service: `{0}`")]
    HealthWithoutPort(String),
    /// Images cannot be moved to another base.
    #[error(transparent)]
    Rebase(#[from] RebaseError),
    /// The images cannot be checked.
    #[error(transparent)]
    Check(#[from] CheckError),
    /// The checks found what has to be mended.
    #[error(transparent)]
    FailedChecks(#[from] FailedChecks),
    /// A layer cannot be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// An image cannot be put together.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// What is known of the workspace cannot be written down.
    #[error(transparent)]
    Index(#[from] StatIndexError),
    /// A layout cannot be written.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// An image cannot be fetched or handed over.
    #[error(transparent)]
    Transfer(#[from] TransferError),
    /// A registry refused or cannot be reached.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A thread of the runtime died.
    #[error("a task ended unexpectedly: {0}")]
    Task(io::Error),
    /// The user ended the build.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl BuildError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Workspace(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Selection(error) => error.hint(),
            Self::Why(error) => error.hint(),
            Self::Destination(error) => error.hint(),
            Self::Format(error) => error.hint(),
            Self::Closure(error) => error.hint(),
            Self::Lockfile(error) => error.hint(),
            Self::Placement(error) => error.hint(),
            Self::NpmRegistry(error) => error.hint(),
            Self::Locked(error) => error.hint(),
            Self::Base(error) => error.hint(),
            Self::BaseLock(error) => error.hint(),
            Self::System(error) => error.hint(),
            Self::User(error) => error.hint(),
            Self::Rebase(error) => error.hint(),
            Self::Certificate(error) => error.hint(),
            Self::Collect(error) => error.hint(),
            Self::Pack(error) => error.hint(),
            Self::Assemble(error) => error.hint(),
            Self::FailedChecks(error) => Some(error.hint()),
            Self::Platform(_) => {
                Some("write such as `platform = \"linux/amd64\"` in pirogue.toml, or a list of them".into())
            }
            Self::Pattern { .. } => Some("patterns are those of .gitignore, such as `*.map` and `docs/`".into()),
            Self::NoSuchFile { .. } => Some("such paths start at the root of the workspace".into()),
            Self::Store(error) => error.hint(),
            Self::Layout(error) => error.hint(),
            Self::Registry(error) => error.hint(),
            Self::Transfer(error) => error.hint(),
            Self::HealthWithoutPort(service) => Some(format!("set `port` under `[service.{service}]` in pirogue.toml")),
            Self::BaseFiles(error) => error.hint(),
            _ => None,
        }
    }

    /// Whether the user ended the build.
    pub fn is_cancelled(&self) -> bool {
        matches!(
            self,
            Self::Cancelled(_) | Self::Pack(PackError::Cancelled(_)) | Self::Transfer(TransferError::Cancelled(_))
        )
    }
}
