use std::sync::OnceLock;
use std::time::Duration;

use reqwest::{Certificate, Client, ClientBuilder, NoProxy, Proxy, redirect};
use url::Url;

use super::{NpmClientOptions, NpmRegistryError, NpmSettings};
use crate::http::is_loopback;

const CONNECT_LIMIT: Duration = Duration::from_secs(20);

/// The HTTP clients: one for this machine, which no proxy and no system certificate concerns, one for the rest of the
/// world, made when it is first needed, for reading the system's certificates takes a while.
pub(super) struct Connections {
    user_agent: String,
    roots: Vec<Certificate>,
    /// Those of the settings. Without any, the system's count.
    proxies: Vec<Proxy>,
    inward: OnceLock<Client>,
    outward: OnceLock<Client>,
}

impl Connections {
    pub(super) fn new(options: &NpmClientOptions) -> Result<Self, NpmRegistryError> {
        let mut roots = Vec::new();
        for pem in options.settings.authorities.iter().chain(&options.extra_roots) {
            let found = Certificate::from_pem_bundle(pem).map_err(|error| {
                NpmRegistryError::Setup(format!("a CA certificate of the settings is no PEM ({error})"))
            })?;
            roots.extend(found);
        }
        Ok(Self {
            user_agent: options.user_agent.clone(),
            roots,
            proxies: proxies(&options.settings)?,
            inward: OnceLock::new(),
            outward: OnceLock::new(),
        })
    }

    /// The client for requests to `url`.
    pub(super) fn to(&self, url: &Url) -> Result<&Client, NpmRegistryError> {
        let (place, inward) = if is_loopback(url) { (&self.inward, true) } else { (&self.outward, false) };
        if let Some(client) = place.get() {
            return Ok(client);
        }
        let client = if inward { self.inward() } else { self.outward() };
        let client = client.map_err(|error| NpmRegistryError::Setup(error.to_string()))?;
        Ok(place.get_or_init(|| client))
    }

    fn inward(&self) -> reqwest::Result<Client> {
        self.builder().no_proxy().tls_certs_only(self.roots.clone()).build()
    }

    /// With the system's certificates and our extra ones; on a machine without any certificates the extra ones alone.
    fn outward(&self) -> reqwest::Result<Client> {
        let builder = || self.proxies.iter().cloned().fold(self.builder(), ClientBuilder::proxy);
        let with_system = builder().tls_certs_merge(self.roots.clone()).build();
        with_system.or_else(|error| {
            tracing::warn!("the system's CA certificates cannot be used: {error}");
            builder().tls_certs_only(self.roots.clone()).build()
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

/// As npm takes them: `proxy` is also for HTTPS where `https-proxy` says nothing. A proxy's address may hold a password
/// and is not shown.
fn proxies(settings: &NpmSettings) -> Result<Vec<Proxy>, NpmRegistryError> {
    let none = settings.no_proxy.as_deref().and_then(NoProxy::from_string);
    let mut proxies = Vec::new();
    let https = settings.https_proxy.as_ref().or(settings.http_proxy.as_ref());
    if let Some(address) = https {
        proxies.push(Proxy::https(address.reveal()).map_err(|_| no_proxy_address("https-proxy"))?);
    }
    if let Some(address) = &settings.http_proxy {
        proxies.push(Proxy::http(address.reveal()).map_err(|_| no_proxy_address("proxy"))?);
    }
    Ok(proxies.into_iter().map(|proxy| proxy.no_proxy(none.clone())).collect())
}

fn no_proxy_address(key: &str) -> NpmRegistryError {
    NpmRegistryError::Setup(format!("the setting is not the address of a proxy: `{key}`"))
}
