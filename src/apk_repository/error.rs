use crate::apk::ApkError;
use crate::cancel::Cancelled;
use crate::host::HostError;
use crate::http::{Failure, GetError};
use crate::path::HostPath;
use crate::store::StoreError;

/// What went wrong between pirogue and repositories of Alpine packages. Addresses are shown without user, password and
/// query.
#[derive(Debug, thiserror::Error)]
pub enum ApkRepositoryError {
    /// Not an address. It may hold a password and is not shown.
    #[error("a repository of Alpine packages has an address that is none (`https://HOST/PATH`)")]
    Address,
    /// Answered 404 or 410.
    #[error("the repository does not have {what} (status {status}): `{url}`")]
    NotFound {
        /// A package, or the index.
        what: String,
        /// 404 or 410.
        status: u16,
        /// Where.
        url: String,
    },
    /// Any other refusal.
    #[error("the repository does not give {what} (status {status}): `{url}`")]
    Refused {
        /// A package, or the index.
        what: String,
        /// The status.
        status: u16,
        /// Where.
        url: String,
    },
    /// No answer, or not a whole one.
    #[error("cannot fetch {what} ({reason}): `{url}`")]
    Unreachable {
        /// A package, or the index.
        what: String,
        /// What kind of failure.
        failure: Failure,
        /// What the network said.
        reason: String,
        /// Where.
        url: String,
    },
    /// The repository sends its client where no client should go, or in circles.
    #[error("the repository leads to an unsafe address for {what}: `{url}`")]
    UnsafeRedirect {
        /// A package, or the index.
        what: String,
        /// Where it leads.
        url: String,
    },
    /// More bytes than there can be.
    #[error("{what} has more than {limit} bytes: `{from}`")]
    TooLarge {
        /// A package, or the index.
        what: String,
        /// The most bytes that are taken.
        limit: u64,
        /// Where from.
        from: String,
    },
    /// Not in the folder.
    #[error("the folder of packages does not have {what}: `{path}`")]
    NotInFolder {
        /// A package, or the index.
        what: String,
        /// Where it would lie.
        path: HostPath,
    },
    /// Nothing may be asked, and something is missing.
    #[error("{what} is not in the cache, and no repository may be asked: `{url}`")]
    Offline {
        /// A package, or the index.
        what: String,
        /// Where it would come from.
        url: String,
    },
    /// What came is not what it should be.
    #[error(transparent)]
    Apk(#[from] ApkError),
    /// The client cannot be made.
    #[error("cannot fetch packages: {0}")]
    Setup(String),
    /// A thread ended.
    #[error("a task ended unexpectedly: {0}")]
    Ended(String),
    /// A file cannot be read.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The user ended the run.
    #[error(transparent)]
    Cancelled(#[from] Cancelled),
}

impl ApkRepositoryError {
    /// Why `what` did not come.
    pub(super) fn of(error: GetError, what: &str) -> Self {
        let what = what.to_owned();
        match error {
            GetError::Unreachable { failure, reason, url } => Self::Unreachable { what, failure, reason, url },
            GetError::UnsafeRedirect { url } => Self::UnsafeRedirect { what, url },
            GetError::Setup(reason) => Self::Setup(reason),
        }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Apk(error) => error.hint(),
            Self::Store(error) => error.hint(),
            Self::Offline { .. } => Some(
                "build once without `--offline`, or name a folder: `repositories = [\"DIR\"]` in `base` of pirogue.toml"
                    .into(),
            ),
            Self::Unreachable { failure: Failure::Tls, .. } => {
                Some("if the server's certificate is of your own CA, name its file in SSL_CERT_FILE".into())
            }
            Self::Unreachable { .. } | Self::NotFound { .. } | Self::Refused { .. } | Self::Address => {
                Some("to take another mirror, or a folder: `repositories = [\"…\"]` in `base` of pirogue.toml".into())
            }
            Self::TooLarge { .. } => Some("it is not the one that the index names: try another mirror".into()),
            Self::NotInFolder { .. } => {
                Some("a folder of packages has one for each processor, such as `x86_64`, with an `APKINDEX.tar.gz`".into())
            }
            _ => None,
        }
    }
}
