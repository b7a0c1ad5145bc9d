use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, redirect};
use url::Url;

use super::{ClientOptions, RegistryError};
use crate::http::is_loopback;

const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// The HTTP clients: one for this machine, which no proxy and no system certificate concerns, one for the rest of the
/// world, made when it is first needed, for reading the system's certificates takes a while.
pub(super) struct Connections {
    user_agent: String,
    roots: Vec<Certificate>,
    inward: OnceLock<Client>,
    outward: OnceLock<Client>,
}

impl Connections {
    pub(super) fn new(options: &ClientOptions) -> Result<Self, RegistryError> {
        let mut roots = Vec::new();
        for pem in &options.extra_roots {
            let found = Certificate::from_pem_bundle(pem)
                .map_err(|error| RegistryError::Setup(format!("an extra CA certificate is no PEM ({error})")))?;
            roots.extend(found);
        }
        Ok(Self { user_agent: options.user_agent.clone(), roots, inward: OnceLock::new(), outward: OnceLock::new() })
    }

    /// The client for requests to `url`.
    pub(super) fn to(&self, url: &Url) -> Result<&Client, RegistryError> {
        let (place, inward) = if is_loopback(url) { (&self.inward, true) } else { (&self.outward, false) };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = if inward { self.inward() } else { self.outward() };
        let client = client.map_err(|error| RegistryError::Setup(error.to_string()))?;
        Ok(place.get_or_init(|| client))
    }

    fn inward(&self) -> reqwest::Result<Client> {
        self.builder().no_proxy().tls_certs_only(self.roots.clone()).build()
    }

    /// With the system's certificates and our extra ones; on a machine without any certificates the extra ones alone.
    fn outward(&self) -> reqwest::Result<Client> {
        let with_system = self.builder().tls_certs_merge(self.roots.clone()).build();
        with_system.or_else(|error| {
            tracing::warn!("the system's CA certificates cannot be used: {error}");
            self.builder().tls_certs_only(self.roots.clone()).build()
        })
    }

    fn builder(&self) -> ClientBuilder {
        // One provider per process; it is no matter who was first to choose it.
        let _ = rustls::crypto::ring::default_provider().install_default();
        Client::builder()
            .user_agent(&self.user_agent)
            .redirect(redirect::Policy::none())
            .referer(false)
            .connect_timeout(CONNECT_LIMIT)
            .tcp_nodelay(true)
    }
}
