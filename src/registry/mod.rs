//! The HTTP client of an OCI registry, and nothing else: references, credentials, pulling, pushing.
//!
//! Bytes that come are verified against their digest, whoever sent them; a download is given out while it comes and
//! counts only once the call has returned. Requests that may succeed later are repeated; credentials go to the registry
//! they are for and to its token service, never elsewhere, nor into errors and logs.
//!
//! Source: OCI distribution-spec. Where registries differ from it, the code names the registry.

mod answer;
mod auth;
mod body;
mod check;
mod credentials;
mod download;
mod error;
mod exchange;
mod experience;
mod foreign;
mod hint;
mod host;
mod location;
mod mirror;
mod pull;
mod push;
mod reference;
mod referrers;
mod settings;
mod transport;
mod trust;
mod upload;
mod warnings;

use std::fmt;
use std::num::NonZero;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use experience::Experience;
use transport::Transport;
use upload::open_uploads::OpenUploads;
use upload::session::SpareSessions;

pub use crate::http::{Failure, RetryPolicy};
pub use check::{Check, Feature, Finding, Verdict};
pub use credentials::CredentialFiles;
pub use credentials::given::GivenCredentials;
pub use credentials::login::{Login, LoginError, Logout};
pub use error::RegistryError;
pub use exchange::Exchange;
pub use host::RegistryHost;
pub use pull::PulledManifest;
pub use push::{Offer, Session};
pub use reference::{Reference, ReferenceError, Repository};
pub use referrers::referrers_tag;
pub use settings::{RegistrySettings, SettingsError};
pub use warnings::Warnings;

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Where credentials are looked for.
    pub credentials: CredentialFiles,
    /// Credentials that come before those.
    pub given_credentials: GivenCredentials,
    /// What the client calls itself.
    pub user_agent: String,
    /// How many requests go to one host at a time, whatever `registries` say; `None` for what they say, else 4.
    pub concurrency: Option<NonZero<usize>>,
    /// How single registries are reached.
    pub registries: RegistrySettings,
    /// Directories with certificates of registries, each in a directory named by the host (`certs.d`).
    pub certificate_dirs: Vec<PathBuf>,
    /// Certificates of CAs to trust next to the system's: PEM files' bytes, one or more certificates in each.
    pub extra_roots: Vec<Vec<u8>>,
    /// How often and how patiently requests are repeated.
    pub retry: RetryPolicy,
    /// Who hears what registries have to say.
    pub warnings: Warnings,
    /// A connection on which nothing, or as good as nothing, moves for this long is given up.
    pub silence_limit: Duration,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            credentials: CredentialFiles::default(),
            given_credentials: GivenCredentials::default(),
            user_agent: concat!("pirogue/", env!("CARGO_PKG_VERSION")).to_owned(),
            concurrency: None,
            registries: RegistrySettings::default(),
            certificate_dirs: Vec::new(),
            extra_roots: Vec::new(),
            retry: RetryPolicy::default(),
            warnings: Warnings::default(),
            silence_limit: Duration::from_secs(120),
        }
    }
}

/// A client of registries, one for a whole run: its clones share connections, tokens, limits and what was learned.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    experience: Arc<Experience>,
    spare: Arc<SpareSessions>,
    open_uploads: OpenUploads,
}

impl Client {
    /// A client that behaves as `options` say. Nothing is sent.
    pub fn new(options: ClientOptions) -> Result<Self, RegistryError> {
        Ok(Self {
            transport: Arc::new(Transport::new(options)?),
            experience: Arc::default(),
            open_uploads: OpenUploads::default(),
            spare: Arc::default(),
        })
    }

    /// Says which registries this run pushes to: credentials that were given for no host in particular are for the only
    /// one of them.
    pub fn push_to(&self, registries: impl IntoIterator<Item = RegistryHost>) {
        self.transport.push_to(registries);
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
