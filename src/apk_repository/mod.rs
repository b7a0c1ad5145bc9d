//! Repositories of Alpine packages, and nothing but fetching: indexes and packages from addresses and folders, verified
//! while they come and kept in the store.
//!
//! A package is kept under the digest of its bytes; a fact named after the checksum in the index leads to it and to what is
//! in it. An index is asked for each time, and sent again only if it changed.

mod download;
mod error;
mod fetch;

use std::fmt;
use std::sync::Arc;

use url::Url;

pub use error::ApkRepositoryError;
pub use fetch::FetchedPackage;

use crate::http::{Connections, Hosts, RetryPolicy};
use crate::path::HostPath;

/// Where a repository is. Below it lies a directory for each processor.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RepositoryPlace {
    /// An address, `http:` or `https:`.
    Url(Url),
    /// A folder of this disk.
    Folder(HostPath),
}

impl RepositoryPlace {
    /// Reads an address, or else a path relative to `dir`.
    pub fn parse(text: &str, dir: &HostPath) -> Result<Self, ApkRepositoryError> {
        if !text.contains("://") {
            return Ok(Self::Folder(dir.join(text)));
        }
        let url = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
        // It may hold a password.
        url.map(Self::Url).ok_or(ApkRepositoryError::Address)
    }
}

/// How an [`ApkClient`] behaves.
#[derive(Clone, Debug)]
pub struct ApkClientOptions {
    /// Whether only the store and folders may be asked.
    pub offline: bool,
    /// How many requests go to one host at a time.
    pub concurrency: usize,
    /// How often and how patiently requests are repeated.
    pub retry: RetryPolicy,
    /// What the client calls itself.
    pub user_agent: String,
}

impl Default for ApkClientOptions {
    fn default() -> Self {
        Self {
            offline: false,
            concurrency: 8,
            retry: RetryPolicy::default(),
            user_agent: concat!("pirogue/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A client of repositories, one for a whole run. Its clones share connections and limits.
#[derive(Clone)]
pub struct ApkClient(Arc<Shared>);

struct Shared {
    options: ApkClientOptions,
    hosts: Hosts,
}

impl ApkClient {
    /// A client that behaves as `options` say. Nothing is sent.
    pub fn new(options: ApkClientOptions) -> Result<Self, ApkRepositoryError> {
        let connections = Connections::new(&options.user_agent, [], Vec::new());
        let connections = connections.map_err(|error| ApkRepositoryError::Setup(error.to_string()))?;
        let hosts = Hosts::new(connections, options.concurrency, options.retry.clone());
        Ok(Self(Arc::new(Shared { options, hosts })))
    }
}

impl fmt::Debug for ApkClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApkClient").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places() {
        let dir = HostPath::new("/workspace");
        let table = [
            (
                "an address",
                "https://mirror.example.com/alpine/v3.21/main",
                Some("https://mirror.example.com/alpine/v3.21/main"),
            ),
            ("a folder", "apks", Some("/workspace/apks")),
            ("another folder", "/media/apks", Some("/media/apks")),
            ("another scheme", "ftp://example.com/a", None),
            ("no host", "https://", None),
        ];
        for (comment, text, expected) in table {
            let shown = RepositoryPlace::parse(text, &dir).ok().map(|place| match place {
                RepositoryPlace::Url(url) => url.to_string(),
                RepositoryPlace::Folder(path) => path.to_string(),
            });
            assert_eq!(shown.as_deref(), expected, "{comment}");
        }
    }
}
