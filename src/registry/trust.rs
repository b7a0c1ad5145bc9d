//! Which certificates count between pirogue and one registry: those of `registries.toml`, and those of `certs.d`.
//!
//! Source: `containers-certs.d(5)`; Docker's "Verify repository client with certificates".

use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use url::Url;

use super::settings::{HostSettings, Tls};
use super::{ClientOptions, RegistryError, RegistryHost};
use crate::http::Trust;

const PEM: &[u8] = b"-----BEGIN CERTIFICATE-----";

impl ClientOptions {
    /// Whether a registry is spoken to over TLS. One on this machine is only where that was asked for, or where it has
    /// certificates: what crosses no wire needs none.
    pub(super) fn uses_tls(&self, registry: &RegistryHost) -> bool {
        let settings = self.registries.of(registry);
        match settings.and_then(|settings| settings.tls) {
            Some(tls) => tls != Tls::None,
            None if !registry.is_loopback() => true,
            None => {
                let named = settings.is_some_and(|settings| settings.ca.is_some() || settings.client.is_some());
                named || self.certificate_dirs(&[registry.as_str().to_owned()]).next().is_some()
            }
        }
    }

    /// What counts for the host of `url`.
    pub(super) fn trust(&self, url: &Url) -> Result<Trust, RegistryError> {
        let mut trust = Trust::default();
        if url.scheme() != "https" {
            return Ok(trust);
        }
        if let Some(settings) = self.settings(url) {
            trust.unverified = settings.tls == Some(Tls::Unverified);
            if let Some(ca) = &settings.ca {
                trust.authorities.push(certificates(ca)?);
            }
            if let Some((certificate, key)) = &settings.client {
                trust.identity = Some(identity(certificate, key)?);
            }
        }
        for dir in self.certificate_dirs(&names(url)) {
            add(&mut trust, &dir)?;
        }
        Ok(trust)
    }

    /// What `registries.toml` says of the host of `url`.
    pub(super) fn settings(&self, url: &Url) -> Option<&HostSettings> {
        let hosts = names(url).into_iter().filter_map(|name| name.parse().ok());
        hosts.filter_map(|host: RegistryHost| self.registries.of(&host)).next()
    }

    /// The directories of certificates for a host that has these names.
    fn certificate_dirs(&self, names: &[String]) -> impl Iterator<Item = PathBuf> {
        let dirs = self.certificate_dirs.iter();
        dirs.flat_map(move |dir| names.iter().map(move |name| dir.join(name))).filter(|dir| dir.is_dir())
    }
}

/// What the host of a URL may be called, in the order in which names count.
fn names(url: &Url) -> Vec<String> {
    let host = url.host_str().unwrap_or_default().to_owned();
    let mut names = Vec::new();
    if let Some(port) = url.port_or_known_default() {
        names.push(format!("{host}:{port}"));
    }
    // A URL tells no port that its scheme implies.
    if url.port().is_none() {
        let hub = host.parse::<RegistryHost>().is_ok_and(|host| host.is_docker_hub());
        names.push(host);
        names.extend(hub.then(|| RegistryHost::docker_hub().to_string()));
    }
    names
}

/// Adds what lies in a directory: `*.crt` are CAs, `*.cert` and `*.key` a client certificate and its key.
fn add(trust: &mut Trust, dir: &Path) -> Result<(), RegistryError> {
    let entries = fs::read_dir(dir).and_then(Iterator::collect::<io::Result<Vec<_>>>);
    let mut paths: Vec<PathBuf> =
        entries.map_err(|error| unusable(dir, &error))?.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        match path.extension().and_then(OsStr::to_str) {
            Some("crt") => trust.authorities.push(certificates(&path)?),
            Some("cert") if trust.identity.is_none() => {
                trust.identity = Some(identity(&path, &path.with_extension("key"))?);
            }
            _ => {}
        }
    }
    Ok(())
}

fn identity(certificate: &Path, key: &Path) -> Result<Vec<u8>, RegistryError> {
    let mut pem = read(key)?;
    pem.push(b'\n');
    pem.extend(certificates(certificate)?);
    Ok(pem)
}

/// The bytes of a file with certificates. One without any would go unnoticed until nobody is trusted.
fn certificates(path: &Path) -> Result<Vec<u8>, RegistryError> {
    let bytes = read(path)?;
    match bytes.windows(PEM.len()).any(|window| window == PEM) {
        true => Ok(bytes),
        false => Err(unusable(path, &"it holds no certificate in PEM")),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, RegistryError> {
    fs::read(path).map_err(|error| unusable(path, &error))
}

fn unusable(path: &Path, reason: &dyn fmt::Display) -> RegistryError {
    RegistryError::Certificate { reason: reason.to_string(), path: path.display().to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_their_names() {
        let table: [(&str, &[&str]); 4] = [
            ("https://r.example/v2/", &["r.example:443", "r.example"]),
            ("https://r.example:5000/", &["r.example:5000"]),
            ("https://[::1]:5000/", &["[::1]:5000"]),
            ("https://registry-1.docker.io/", &["registry-1.docker.io:443", "registry-1.docker.io", "docker.io"]),
        ];
        for (url, expected) in table {
            assert_eq!(names(&url.parse().unwrap()), expected, "{url}");
        }
    }

    #[test]
    fn when_tls_is_used() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("localhost:5001")).unwrap();
        let file = dir.path().join("registries.toml");
        let text = "[registry.\"plain.example\"]\ntls = 'none'\n[registry.\"localhost:5002\"]\ntls = 'unverified'\n\
                    [registry.\"localhost:5003\"]\nca = 'x'\n[registry.\"localhost:5004\"]\nmirrors = ['a.example']\n";
        fs::write(&file, text).unwrap();
        let registries = super::super::RegistrySettings::read(&file).unwrap();
        let certificate_dirs = vec![dir.path().to_owned()];
        let options = ClientOptions { registries, certificate_dirs, ..ClientOptions::default() };
        let table = [
            ("r.example", true),
            ("10.0.0.1:5000", true),
            ("plain.example", false),
            ("localhost:5000", false),
            ("[::1]:5000", false),
            ("localhost:5001", true),
            ("localhost:5002", true),
            ("localhost:5003", true),
            ("localhost:5004", false),
        ];
        for (host, expected) in table {
            assert_eq!(options.uses_tls(&host.parse().unwrap()), expected, "{host}");
        }
    }
}
