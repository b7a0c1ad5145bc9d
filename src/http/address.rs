//! Where requests may go, and how their addresses are shown.

use std::net::IpAddr;

use url::{Host, Url};

const MESSAGE_LIMIT: usize = 400;

/// Checks a URL that an answer to `base` names. TLS is never given up: where a proxy in front of the registry made the
/// registry believe in plain HTTP the URL is put right, another host without TLS is refused. So is an address inside a
/// private network, unless the registry lives in one itself. What is refused is given back.
pub fn safe_redirect(mut url: Url, base: &Url) -> Result<Url, Url> {
    let same_host = url.host() == base.host();
    if base.scheme() == "https" && url.scheme() == "http" && same_host {
        let port = url.port();
        let _ = url.set_scheme("https");
        let _ = url.set_port(port.or(base.port()));
    }
    let is_web = matches!(url.scheme(), "http" | "https");
    let is_downgrade = base.scheme() == "https" && url.scheme() == "http";
    let leads_inside = !same_host && is_private(&url) && !is_private(base);
    if !is_web || is_downgrade || leads_inside || url.host().is_none() {
        return Err(url);
    }
    Ok(url)
}

/// Whether two URLs lead to one server, so that what is secret between it and us may go to both.
pub fn same_origin(a: &Url, b: &Url) -> bool {
    (a.scheme(), a.host(), a.port_or_known_default()) == (b.scheme(), b.host(), b.port_or_known_default())
}

/// Whether the URL's host is this machine.
pub fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost",
        Some(Host::Ipv4(v4)) => v4.is_loopback(),
        Some(Host::Ipv6(v6)) => v6.to_canonical().is_loopback(),
        None => false,
    }
}

/// Whether the URL's host is this machine or an address that only means something in a private network.
pub fn is_private(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(v4)) => is_private_address(v4.into()),
        Some(Host::Ipv6(v6)) => is_private_address(v6.into()),
        None => false,
    }
}

/// Whether an address is that of this machine, or only means something in a private network.
pub(super) fn is_private_address(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(v4) => {
            // RFC 6598, the networks of providers; one cloud has its metadata there.
            let is_shared = matches!(v4.octets(), [100, 64..=127, ..]);
            let is_this = v4.octets()[0] == 0;
            v4.is_loopback() || v4.is_private() || v4.is_link_local() || is_this || is_shared
        }
        IpAddr::V6(v6) => v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local() || v6.is_unspecified(),
    }
}

/// The URL as it may be shown: no user, no password, no query values but those that are public anyway.
pub fn redacted(url: &Url) -> String {
    let mut shown = url.clone();
    let _ = shown.set_username("");
    let _ = shown.set_password(None);
    shown.set_fragment(None);
    let Some(query) = url.query() else { return shown.into() };
    let pairs: Vec<_> = query.split('&').map(redacted_pair).collect();
    shown.set_query(Some(&pairs.join("&")));
    shown.into()
}

fn redacted_pair(pair: &str) -> String {
    match pair.split_once('=') {
        Some(("digest" | "mount" | "from" | "scope" | "service", _)) | None => pair.to_owned(),
        Some((name, _)) => format!("{name}=***"),
    }
}

/// A foreign text as one line of bounded length without control characters.
pub fn printable(text: &str) -> String {
    let line: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(MESSAGE_LIMIT).collect();
    line.trim().to_owned()
}
