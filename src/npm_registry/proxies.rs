//! The proxies of the settings.

use reqwest::{NoProxy, Proxy};

use super::{NpmRegistryError, NpmSettings};

/// As npm takes them: `proxy` is also for HTTPS where `https-proxy` says nothing. A proxy's address may hold a password
/// and is not shown.
pub(super) fn proxies(settings: &NpmSettings) -> Result<Vec<Proxy>, NpmRegistryError> {
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
