use std::sync::{Arc, OnceLock};
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, Identity, Proxy, redirect};
use url::Url;

use super::is_loopback;
use super::public_names::PublicNames;

const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// What one host is trusted by, and what it is shown, where that differs from the rest of the world.
#[derive(Clone, Default)]
pub struct Trust {
    /// CAs to trust next to the system's: PEM files' bytes.
    pub authorities: Vec<Vec<u8>>,
    /// A client certificate and its key, as the bytes of one PEM file.
    pub identity: Option<Vec<u8>>,
    /// Whether any certificate will do.
    pub unverified: bool,
}

impl Trust {
    /// Whether it differs from the rest of the world at all.
    pub fn is_usual(&self) -> bool {
        self.authorities.is_empty() && self.identity.is_none() && !self.unverified
    }
}

/// The HTTP clients: one for this machine, which no proxy and no system certificate concerns, one for the rest of the
/// world, made when it is first needed, for reading the system's certificates takes a while.
pub struct Connections {
    user_agent: String,
    roots: Vec<Certificate>,
    /// Without any, the system's count.
    proxies: Vec<Proxy>,
    inward: OnceLock<Client>,
    outward: OnceLock<Client>,
    stranger: OnceLock<Client>,
}

impl Connections {
    /// Clients that call themselves `user_agent`, trust the CAs of these PEM files next to the system's, and go through
    /// these proxies. An error is that of a PEM file that is none.
    pub fn new<'p>(
        user_agent: &str,
        authorities: impl IntoIterator<Item = &'p Vec<u8>>,
        proxies: Vec<Proxy>,
    ) -> reqwest::Result<Self> {
        let mut roots = Vec::new();
        for pem in authorities {
            roots.extend(Certificate::from_pem_bundle(pem)?);
        }
        let (inward, outward, stranger) = (OnceLock::new(), OnceLock::new(), OnceLock::new());
        Ok(Self { user_agent: user_agent.to_owned(), roots, proxies, inward, outward, stranger })
    }

    /// The client for requests to `url`.
    pub fn to(&self, url: &Url) -> reqwest::Result<&Client> {
        let (place, inward) = if is_loopback(url) { (&self.inward, true) } else { (&self.outward, false) };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = if inward { self.inward()? } else { self.outward(&self.roots, |builder| builder)? };
        Ok(place.get_or_init(|| client))
    }

    /// A client of its own for the host of `url`. An error is that of a PEM file that is none.
    pub fn with_trust(&self, url: &Url, trust: &Trust) -> reqwest::Result<Client> {
        let mut roots = self.roots.clone();
        for pem in &trust.authorities {
            roots.extend(Certificate::from_pem_bundle(pem)?);
        }
        let identity = trust.identity.as_deref().map(Identity::from_pem).transpose()?;
        let trusting = |builder: ClientBuilder| {
            let builder = builder.tls_danger_accept_invalid_certs(trust.unverified);
            identity.iter().cloned().fold(builder, ClientBuilder::identity)
        };
        match is_loopback(url) {
            true => trusting(self.builder()).no_proxy().tls_certs_only(roots).build(),
            false => self.outward(&roots, trusting),
        }
    }

    /// The client for requests to a host that somebody else chose: names that stand for addresses of a private network are
    /// not found. Where a proxy looks names up, it is the proxy that decides.
    pub fn to_stranger(&self) -> reqwest::Result<&Client> {
        if let Some(client) = self.stranger.get() {
            return Ok(client);
        }
        let client = self.outward(&self.roots, |builder| builder.dns_resolver(Arc::new(PublicNames)))?;
        Ok(self.stranger.get_or_init(|| client))
    }

    fn inward(&self) -> reqwest::Result<Client> {
        self.builder().no_proxy().tls_certs_only(self.roots.clone()).build()
    }

    /// With the system's certificates and our extra ones; on a machine without any certificates the extra ones alone.
    fn outward(
        &self,
        roots: &[Certificate],
        changed: impl Fn(ClientBuilder) -> ClientBuilder,
    ) -> reqwest::Result<Client> {
        let builder = || changed(self.proxies.iter().cloned().fold(self.builder(), ClientBuilder::proxy));
        let with_system = builder().tls_certs_merge(roots.to_vec()).build();
        with_system.or_else(|error| {
            tracing::warn!("the system's CA certificates cannot be used: {error}");
            builder().tls_certs_only(roots.to_vec()).build()
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
