//! The HTTP client of an OCI registry, and nothing else: references, credentials, pulling, pushing.
//!
//! Bytes that come are verified against their digest, whoever sent them; a download is given out while it comes and
//! counts only once the call has returned. Requests that may succeed later are repeated; credentials go to the registry
//! they are for and to its token service, never elsewhere, nor into errors and logs.
//!
//! Source: OCI distribution-spec. Where registries differ from it, the code names the registry.

mod auth;
mod body;
mod challenge;
mod check;
mod credentials;
mod error;
mod exchange;
mod experience;
mod foreign;
mod hint;
mod host;
mod location;
mod mount;
mod pull;
mod push;
mod reference;
mod referrers;
mod session;
mod token;
mod transport;
mod upload;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use experience::Experience;
use transport::Transport;

pub use crate::http::{Failure, RetryPolicy};
pub use check::{Check, Feature, Finding, Verdict};
pub use credentials::CredentialFiles;
pub use error::RegistryError;
pub use exchange::Exchange;
pub use host::RegistryHost;
pub use pull::PulledManifest;
pub use push::{Offer, Session};
pub use reference::{Reference, ReferenceError, Repository};
pub use referrers::referrers_tag;

/// How a [`Client`] behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// Where credentials are looked for.
    pub credentials: CredentialFiles,
    /// What the client calls itself.
    pub user_agent: String,
    /// How many requests go to one host at a time.
    pub concurrency: usize,
    /// Registries that speak plain HTTP. Those on this machine need not be named.
    pub insecure_hosts: BTreeSet<RegistryHost>,
    /// Certificates of CAs to trust next to the system's: PEM files' bytes, one or more certificates in each.
    pub extra_roots: Vec<Vec<u8>>,
    /// How often and how patiently requests are repeated.
    pub retry: RetryPolicy,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            credentials: CredentialFiles::default(),
            user_agent: concat!("pirogue/", env!("CARGO_PKG_VERSION")).to_owned(),
            concurrency: 4,
            insecure_hosts: BTreeSet::new(),
            extra_roots: Vec::new(),
            retry: RetryPolicy::default(),
        }
    }
}

/// A client of registries, one for a whole run: its clones share connections, tokens, limits and what was learned.
#[derive(Clone)]
pub struct Client {
    transport: Arc<Transport>,
    experience: Arc<Experience>,
}

impl Client {
    /// A client that behaves as `options` say. Nothing is sent.
    pub fn new(options: ClientOptions) -> Result<Self, RegistryError> {
        Ok(Self { transport: Arc::new(Transport::new(options)?), experience: Arc::default() })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").finish_non_exhaustive()
    }
}
