//! The npm registries, and nothing but fetching: settings of npm, pnpm, yarn and bun, and packages' tarballs, which are
//! verified while they come and kept in the store.
//!
//! A tarball is kept under the digest of its bytes; a fact named after the lockfile's hash leads to it, so that what
//! was fetched once is never asked for again. Credentials go to the registry they are for and nowhere else, nor into
//! errors and logs. What cannot be verified against the lockfile is not fetched. Yarn 2 and later locks the archive it
//! makes of a package and not the tarball: that archive is made again and checked, and where it cannot be, TLS is all
//! there is, as [`Tarball::is_verified`] tells.

mod archive_check;
mod credentials;
mod download;
mod engine_settings;
mod error;
mod fetch;
mod npmrc;
mod proxies;
mod settings;
mod tarball_url;
mod variables;
mod verification;
mod yarnrc;

use std::fmt;
use std::sync::Arc;

use url::Url;

pub use engine_settings::EngineRules;
pub use error::NpmRegistryError;
pub use npmrc::parse as parse_npmrc;
pub use settings::{NpmSettings, ReplacedHost};
pub use variables::Variables;

use crate::http::{Connections, Hosts, RetryPolicy};
use crate::manifest::Descriptor;
use crate::path::HostPath;

/// What a tarball is, as the store's descriptors say it.
pub const TARBALL_MEDIA_TYPE: &str = "application/gzip";

/// Where tarballs come from instead of the registries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// A directory of `NAME-VERSION.tgz`, `@SCOPE/NAME-VERSION.tgz` or, as `npm pack` calls them,
    /// `SCOPE-NAME-VERSION.tgz`.
    Directory(HostPath),
    /// A registry that is asked for every package.
    Registry(Url),
}

impl Mirror {
    /// Reads the address of a registry, or else a path relative to `dir`.
    pub fn parse(text: &str, dir: &HostPath) -> Result<Self, NpmRegistryError> {
        if !text.contains("://") {
            return Ok(Self::Directory(dir.join(text)));
        }
        NpmSettings::default().address(text, "mirror").map(Self::Registry)
    }
}

/// How an [`NpmClient`] behaves.
#[derive(Clone, Debug)]
pub struct NpmClientOptions {
    /// Registries, credentials and the way to them.
    pub settings: NpmSettings,
    /// Where everything comes from, if not from the registries.
    pub mirror: Option<Mirror>,
    /// Whether only the store, or a mirror that is a directory, may be asked.
    pub offline: bool,
    /// The root of the workspace, in which tarballs may lie (`file:`).
    pub project: Option<HostPath>,
    /// How many tarballs are fetched at a time.
    pub concurrency: usize,
    /// The most bytes a tarball may have.
    pub size_limit: u64,
    /// How often and how patiently requests are repeated.
    pub retry: RetryPolicy,
    /// Certificates of CAs to trust next to the system's and the settings': PEM files' bytes.
    pub extra_roots: Vec<Vec<u8>>,
    /// What the client calls itself.
    pub user_agent: String,
}

impl Default for NpmClientOptions {
    fn default() -> Self {
        Self {
            settings: NpmSettings::default(),
            mirror: None,
            offline: false,
            project: None,
            concurrency: 16,
            size_limit: 512 << 20,
            retry: RetryPolicy::default(),
            extra_roots: Vec::new(),
            user_agent: concat!("pirogue/", env!("CARGO_PKG_VERSION")).to_owned(),
        }
    }
}

/// A package's tarball in the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tarball {
    /// Names its bytes in the store.
    pub descriptor: Descriptor,
    /// Whether they are what the lockfile says. If not, the lockfile says nothing of them.
    pub is_verified: bool,
}

/// A client of npm registries, one for a whole run. Its clones share connections and limits.
#[derive(Clone)]
pub struct NpmClient(Arc<Shared>);

struct Shared {
    options: NpmClientOptions,
    hosts: Hosts,
}

impl NpmClient {
    /// A client that behaves as `options` say. Nothing is sent.
    pub fn new(options: NpmClientOptions) -> Result<Self, NpmRegistryError> {
        let authorities = options.settings.authorities.iter().chain(&options.extra_roots);
        let proxies = proxies::proxies(&options.settings)?;
        let connections = Connections::new(&options.user_agent, authorities, proxies).map_err(|error| {
            NpmRegistryError::Setup(format!("a CA certificate of the settings is no PEM ({error})"))
        })?;
        let hosts = Hosts::new(connections, options.concurrency, options.retry.clone());
        Ok(Self(Arc::new(Shared { options, hosts })))
    }
}

impl fmt::Debug for NpmClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NpmClient").finish_non_exhaustive()
    }
}
