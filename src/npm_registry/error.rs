//! What can go wrong on the way to packages' tarballs, told as situations. No text holds a credential: addresses are
//! shown without user, password and query.

use crate::cancel::Cancelled;
use crate::host::HostError;
use crate::http::{Failure, GetError};
use crate::layer::TarballError;
use crate::path::HostPath;
use crate::store::StoreError;

/// What went wrong between pirogue and the npm registries.
#[derive(Debug, thiserror::Error)]
pub enum NpmRegistryError {
    /// A file of settings is damaged.
    #[error("the settings cannot be read ({reason}): `{path}`")]
    Settings {
        /// The file.
        path: HostPath,
        /// What is wrong, and where.
        reason: String,
    },
    /// A setting names a variable that is not set.
    #[error("the variable `{name}` is not set, which `{key}` names: `{path}`")]
    UnsetVariable {
        /// The variable.
        name: String,
        /// The key of the setting.
        key: String,
        /// The file.
        path: HostPath,
    },
    /// A registry's address is none. It may hold a password and is not shown.
    #[error("not the address of a registry (`https://HOST/`): `{place}`")]
    Address {
        /// The key, and the file it stands in.
        place: String,
    },
    /// A name or version could not be part of an address or a file's name.
    #[error("not a package's name and version: `{package}`")]
    Name {
        /// As the lockfile has it.
        package: String,
    },
    /// No registry has the package: it comes from somewhere else.
    #[error("a package has no tarball to fetch, since it {origin}: `{package}`")]
    NoTarball {
        /// The package.
        package: String,
        /// Where it comes from, as the end of a sentence.
        origin: String,
    },
    /// The lockfile has no hash that could be trusted.
    #[error("the lockfile has no integrity for `{package}` that the tarball could be checked with: `{url}`")]
    NoIntegrity {
        /// The package.
        package: String,
        /// Where it would come from.
        url: String,
    },
    /// The bytes are not those that were locked.
    #[error("`{package}` is not what the lockfile has: its hash is `{actual}` and not `{expected}`: `{url}`")]
    WrongIntegrity {
        /// The package.
        package: String,
        /// What the lockfile has.
        expected: String,
        /// What came.
        actual: String,
        /// Where from: an address, or a file of the mirror.
        url: String,
    },
    /// The archive that yarn locked cannot be made of the bytes that came.
    #[error("`{package}` is not what the lockfile has, the hash of an archive that yarn made: {source}")]
    Unverifiable {
        /// The package.
        package: String,
        /// What its tarball is.
        source: TarballError,
    },
    /// More bytes than any package has.
    #[error("the tarball of `{package}` has more than {limit} bytes: `{url}`")]
    TooLarge {
        /// The package.
        package: String,
        /// The most bytes that are taken.
        limit: u64,
        /// Where from.
        url: String,
    },
    /// Answered 401 or 403, and no credentials were shown.
    #[error(
        "the registry gives `{package}` only to those it knows, and there are no credentials (status {status}): `{url}`"
    )]
    CredentialsMissing {
        /// The package.
        package: String,
        /// 401 or 403.
        status: u16,
        /// The variable that would hold them and is not set.
        unset: Option<String>,
        /// Where.
        url: String,
    },
    /// Answered 401 or 403 to the credentials shown.
    #[error("the registry does not give `{package}` for the credentials shown (status {status}): `{url}`")]
    CredentialsRefused {
        /// The package.
        package: String,
        /// 401 or 403.
        status: u16,
        /// Where.
        url: String,
    },
    /// Answered 404 or 410.
    #[error("the registry does not have `{package}` (status {status}): `{url}`")]
    NotFound {
        /// The package.
        package: String,
        /// 404 or 410.
        status: u16,
        /// Where.
        url: String,
    },
    /// Too many requests, for longer than is worth waiting.
    #[error("the registry wants fewer requests and does not give `{package}` (status 429): `{url}`")]
    RateLimited {
        /// The package.
        package: String,
        /// Where.
        url: String,
    },
    /// Any other refusal.
    #[error("the registry does not give `{package}` (status {status}): `{url}`")]
    Refused {
        /// The package.
        package: String,
        /// The status.
        status: u16,
        /// Where.
        url: String,
    },
    /// No answer, or not a whole one.
    #[error("cannot fetch `{package}` ({reason}): `{url}`")]
    Unreachable {
        /// The package.
        package: String,
        /// What kind of failure.
        failure: Failure,
        /// What the network said.
        reason: String,
        /// Where.
        url: String,
    },
    /// The registry sends its client where no client should go, or in circles.
    #[error("the registry leads to an unsafe address for `{package}`: `{url}`")]
    UnsafeRedirect {
        /// The package.
        package: String,
        /// Where it leads.
        url: String,
    },
    /// The mirror lacks a package.
    #[error("the mirror has no tarball of `{package}`: `{directory}`")]
    NotInMirror {
        /// The package.
        package: String,
        /// The mirror.
        directory: HostPath,
    },
    /// Nothing may be asked, and something is missing.
    #[error("{}: `{package}`", missing(*.count))]
    Offline {
        /// The first one that is missing.
        package: String,
        /// How many are.
        count: usize,
    },
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
    /// A task ended before its work did.
    #[error("fetching packages ended early: {0}")]
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

fn missing(count: usize) -> String {
    match count {
        1 => "a package was never fetched, and nothing may be asked offline".to_owned(),
        count => format!("{count} packages were never fetched, and nothing may be asked offline; the first"),
    }
}

impl NpmRegistryError {
    /// Why a package did not come.
    pub(super) fn of(error: GetError, package: &str) -> Self {
        let package = package.to_owned();
        match error {
            GetError::Unreachable { failure, reason, url } => Self::Unreachable { package, failure, reason, url },
            GetError::UnsafeRedirect { url } => Self::UnsafeRedirect { package, url },
            GetError::Setup(reason) => Self::Setup(reason),
        }
    }

    /// The next thing to type, where that can be told.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::UnsetVariable { name, .. } => format!("set it: `export {name}=…`"),
            Self::Address { .. } => "write the whole address, such as `https://registry.npmjs.org/`".to_owned(),
            Self::NoTarball { .. } => {
                "install it, and set `from = \"installed\"` under its name in pirogue.toml: `[package.\"NAME\"]`"
                    .to_owned()
            }
            Self::NoIntegrity { .. } => {
                "let the package manager write the lockfile anew; it adds what the registry states".to_owned()
            }
            Self::WrongIntegrity { .. } => {
                "if a proxy or mirror changes what it passes on, ask the registry itself; if the package was published \
                 anew, find out why before you update the lockfile"
                    .to_owned()
            }
            Self::CredentialsMissing { unset: Some(name), .. } => {
                format!("the credentials for it are in the variable `{name}`, which is not set: `export {name}=…`")
            }
            Self::CredentialsMissing { .. } => {
                "add `//HOST/:_authToken=${NPM_TOKEN}` to ~/.npmrc (yarn 2 and later: `npmAuthToken` in .yarnrc.yml)"
                    .to_owned()
            }
            Self::CredentialsRefused { .. } => {
                "the token may have expired, or may not read this package: log in again with `npm login`".to_owned()
            }
            Self::NotFound { .. } => {
                "check the registry of its scope in .npmrc or .yarnrc.yml; some registries also say this of private \
                 packages where there are no credentials"
                    .to_owned()
            }
            Self::RateLimited { .. } => "try later, or ask for less at a time".to_owned(),
            Self::NotInMirror { .. } => {
                "put the tarball there as `NAME-VERSION.tgz`: `npm pack NAME@VERSION`".to_owned()
            }
            Self::Offline { .. } => "run once without `--offline`, or name a mirror that has them".to_owned(),
            Self::Unreachable { failure, .. } => hint_for(*failure)?.to_owned(),
            Self::Unverifiable { source, .. } => return source.hint(),
            Self::Store(error) => return error.hint(),
            _ => return None,
        };
        Some(text)
    }
}

fn hint_for(failure: Failure) -> Option<&'static str> {
    match failure {
        Failure::Refused => Some("is the registry running, and the port right?"),
        Failure::Name => Some("check the host's spelling, DNS, and the proxy's settings"),
        Failure::Tls => {
            Some("if the registry's certificate comes from your own CA, name it in .npmrc: `cafile=ca.pem`")
        }
        Failure::NotTls => Some("the registry speaks plain HTTP: write `http://` if that is meant to be"),
        Failure::Silence | Failure::Broken => None,
    }
}
