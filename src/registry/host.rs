use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

use super::ReferenceError;

const DOCKER_HUB: &str = "docker.io";
const HOST_LIMIT: usize = 255;

/// A registry's host, with a port if one was given, such as `ghcr.io`, `localhost:5000` or `[::1]:5000`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegistryHost(String);

/// A cloud that runs registries with habits of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Cloud {
    /// ECR, public and private.
    Amazon,
    /// Artifact Registry and what was before it.
    Google,
    /// Azure Container Registry.
    Azure,
}

impl Cloud {
    pub(super) const ALL: [Self; 3] = [Self::Amazon, Self::Google, Self::Azure];

    fn has(self, host: &str) -> bool {
        match self {
            Self::Amazon => host == "public.ecr.aws" || (host.contains(".dkr.ecr") && host.contains(".amazonaws.com")),
            Self::Google => host == "gcr.io" || host.ends_with(".gcr.io") || host.ends_with("-docker.pkg.dev"),
            Self::Azure => host.ends_with(".azurecr.io"),
        }
    }
}

impl RegistryHost {
    /// The cloud whose registry this is.
    pub(super) fn cloud(&self) -> Option<Cloud> {
        let (host, _) = split_port(&self.0);
        Cloud::ALL.into_iter().find(|cloud| cloud.has(host))
    }

    /// Docker Hub, whose name nobody writes.
    pub fn docker_hub() -> Self {
        Self(DOCKER_HUB.to_owned())
    }

    /// Whether the part before the first slash is a host and not the first part of a name on Docker Hub.
    ///
    /// Docker takes `Acme` for a host too, for its upper case alone. Written in lower case, as a host is, that would be a
    /// name on Docker Hub, so here it is a wrong name.
    pub(super) fn is_meant(first: &str) -> bool {
        first.eq_ignore_ascii_case("localhost") || first.contains(['.', ':', '['])
    }

    /// The host that answers the API: Docker Hub's is not the one in its names.
    pub fn api_host(&self) -> &str {
        if self.0 == DOCKER_HUB { "registry-1.docker.io" } else { &self.0 }
    }

    /// The name as a person writes it: `docker.io` for all of Docker Hub's names.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is Docker Hub.
    pub fn is_docker_hub(&self) -> bool {
        self.0 == DOCKER_HUB
    }

    /// Whether the host is this very machine, where plain HTTP crosses no wire.
    pub fn is_loopback(&self) -> bool {
        let (host, _) = split_port(&self.0);
        let address = host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || address.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
    }
}

impl FromStr for RegistryHost {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        let malformed = || ReferenceError::Host(text.to_owned());
        let (host, port) = split_port(text);
        let valid_port = port.is_none_or(|port| {
            port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
        });
        if !valid_port || !(is_ipv6_literal(host) || is_host_name(host)) {
            return Err(malformed());
        }
        let host = text.to_ascii_lowercase();
        let hub = matches!(host.as_str(), DOCKER_HUB | "index.docker.io" | "registry-1.docker.io");
        Ok(Self(if hub { DOCKER_HUB.to_owned() } else { host }))
    }
}

impl fmt::Display for RegistryHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

fn split_port(host: &str) -> (&str, Option<&str>) {
    let bracket = host.rfind(']').unwrap_or(0);
    match host[bracket..].split_once(':') {
        Some((before, port)) => (&host[..bracket + before.len()], Some(port)),
        None => (host, None),
    }
}

fn is_ipv6_literal(host: &str) -> bool {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .is_some_and(|address| address.parse::<Ipv6Addr>().is_ok())
}

fn is_host_name(host: &str) -> bool {
    let is_label = |label: &str| {
        !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    host.len() <= HOST_LIMIT && host.split('.').all(is_label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clouds() {
        let table = [
            ("123456789012.dkr.ecr.eu-west-1.amazonaws.com", Some(Cloud::Amazon)),
            ("123456789012.dkr.ecr-fips.us-east-1.amazonaws.com", Some(Cloud::Amazon)),
            ("public.ecr.aws", Some(Cloud::Amazon)),
            ("gcr.io", Some(Cloud::Google)),
            ("eu.gcr.io", Some(Cloud::Google)),
            ("europe-west1-docker.pkg.dev", Some(Cloud::Google)),
            ("acme.azurecr.io", Some(Cloud::Azure)),
            ("ghcr.io", None),
            ("gcr.io.example.com", None),
            ("registry.example.com:5000", None),
        ];
        for (host, expected) in table {
            assert_eq!(host.parse::<RegistryHost>().map(|host| host.cloud()), Ok(expected), "{host}");
        }
    }

    #[test]
    fn loopback_is_this_machine_only() {
        let table = [
            ("localhost", true),
            ("localhost:5000", true),
            ("127.0.0.1:5000", true),
            ("127.8.9.1", true),
            ("[::1]:5000", true),
            ("10.0.0.1:5000", false),
            ("[2001:db8::1]", false),
            ("localhost.example.com", false),
            ("127.0.0.1.example.com", false),
        ];
        for (host, expected) in table {
            assert_eq!(host.parse::<RegistryHost>().map(|host| host.is_loopback()), Ok(expected), "{host}");
        }
    }
}
