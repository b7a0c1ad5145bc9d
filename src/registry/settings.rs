//! `registries.toml`: how the registries are reached from this machine. Everything in it is optional.
//!
//! It is a file of the user and not of a workspace: what a workspace brings along must not decide over whose certificate
//! is believed, or where passwords go.

use std::collections::BTreeMap;
use std::io;
use std::num::NonZero;
use std::path::{Path, PathBuf};

use url::Url;

use super::{ClientOptions, RegistryHost, Repository};
use crate::config::{ConfigError, Source, Table};

/// How many requests go to one host at a time where nobody says otherwise.
const USUAL_CONNECTIONS: usize = 4;
/// More is a slip of the finger.
const MOST_CONNECTIONS: u64 = 1000;

/// How registries are reached, by their hosts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RegistrySettings(BTreeMap<RegistryHost, HostSettings>);

/// How one registry is reached.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct HostSettings {
    pub(super) mirrors: Vec<Mirror>,
    pub(super) tls: Option<Tls>,
    /// A PEM file of CAs to trust next to the system's.
    pub(super) ca: Option<PathBuf>,
    /// PEM files of a client certificate and its key.
    pub(super) client: Option<(PathBuf, PathBuf)>,
    /// How many requests go to it at a time.
    pub(super) connections: Option<NonZero<usize>>,
}

/// How a connection is secured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tls {
    /// By a certificate that is checked.
    Verified,
    /// By a certificate of anybody.
    Unverified,
    /// Not at all: plain HTTP.
    None,
}

/// Another registry to pull from, and where in it the names begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Mirror {
    host: RegistryHost,
    prefix: Option<String>,
}

/// Why `registries.toml` cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// It cannot be read.
    #[error("cannot read the settings of registries ({source}): `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is wrong.
    #[error(transparent)]
    Config(#[from] ConfigError),
}

impl SettingsError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } => Some("PIROGUE_REGISTRIES names the file; without it there need not be one".to_owned()),
            Self::Config(error) => error.hint(),
        }
    }
}

impl RegistrySettings {
    /// Reads the file at `path`. The paths in it are relative to its directory.
    pub fn read(path: &Path) -> Result<Self, SettingsError> {
        let text =
            std::fs::read_to_string(path).map_err(|source| SettingsError::Read { path: path.to_owned(), source })?;
        Ok(Self::parse(&path.display().to_string(), &text, path.parent().unwrap_or(Path::new("")))?)
    }

    fn parse(file: &str, text: &str, dir: &Path) -> Result<Self, ConfigError> {
        let (source, document) = Source::parse(file, text)?;
        let table = Table::new(&source, document.as_table(), String::new());
        let mut hosts = BTreeMap::new();
        if let Some(each) = table.table("registry")? {
            for (name, own) in each.named_tables()? {
                let host: RegistryHost =
                    name.parse().map_err(|_| each.problem(&name, "is no `HOST` or `HOST:PORT` of a registry"))?;
                hosts.insert(host, HostSettings::read(&own, dir)?);
                own.finish()?;
            }
        }
        table.finish()?;
        Ok(Self(hosts))
    }

    pub(super) fn of(&self, host: &RegistryHost) -> Option<&HostSettings> {
        self.0.get(host)
    }
}

impl ClientOptions {
    /// How many requests go to the host of `url` at a time: as the caller says, else as `registries.toml` does.
    pub(super) fn connections(&self, url: &Url) -> usize {
        let own = || self.settings(url).and_then(|settings| settings.connections);
        self.concurrency.or_else(own).map_or(USUAL_CONNECTIONS, NonZero::get)
    }
}

impl HostSettings {
    fn read(table: &Table<'_>, dir: &Path) -> Result<Self, ConfigError> {
        let mirror = |text: String| {
            Mirror::parse(&text).ok_or_else(|| {
                table.problem("mirrors", format!("has an entry that is no `HOST[:PORT][/PREFIX]`: `{text}`"))
            })
        };
        let tls = match table.text("tls")?.as_deref() {
            None => None,
            Some("verified") => Some(Tls::Verified),
            Some("unverified") => Some(Tls::Unverified),
            Some("none") => Some(Tls::None),
            Some(other) => {
                let problem = format!("is neither `verified`, `unverified` nor `none`: `{other}`");
                return Err(table.problem("tls", problem));
            }
        };
        let path = |key| table.text(key).map(|path| path.map(|path| dir.join(path)));
        let client = match (path("client-certificate")?, path("client-key")?) {
            (Some(certificate), Some(key)) => Some((certificate, key)),
            (None, None) => None,
            (Some(_), None) => return Err(table.problem("client-certificate", "needs `client-key` beside it")),
            (None, Some(_)) => return Err(table.problem("client-key", "needs `client-certificate` beside it")),
        };
        let connections = match table.integer("connections", MOST_CONNECTIONS)? {
            Some(0) => return Err(table.problem("connections", "has to be 1 at least")),
            number => number.and_then(|number| usize::try_from(number).ok()).and_then(NonZero::new),
        };
        let mirrors = table.texts("mirrors")?.unwrap_or_default().into_iter().map(mirror).collect::<Result<_, _>>()?;
        Ok(Self { mirrors, tls, ca: path("ca")?, client, connections })
    }
}

impl Mirror {
    fn parse(text: &str) -> Option<Self> {
        let (host, prefix) = match text.split_once('/') {
            Some((host, prefix)) => (host, Some(prefix.trim_end_matches('/').to_owned())),
            None => (text, None),
        };
        let mirror = Self { host: host.parse().ok()?, prefix };
        // A name below the prefix shows whether it can be one.
        mirror.repository_named("a/b").map(|_| mirror)
    }

    /// Where a repository of the mirrored registry lies in this one; `None` if its name would be too long here.
    pub(super) fn repository(&self, of: &Repository) -> Option<Repository> {
        self.repository_named(of.name())
    }

    /// The registry that a mirror without a prefix has to be told of, as containerd tells its mirrors: what lies below a
    /// prefix is one registry's.
    pub(super) fn namespace<'r>(&self, of: &'r Repository) -> Option<&'r str> {
        self.prefix.is_none().then_some(of.registry().as_str())
    }

    fn repository_named(&self, name: &str) -> Option<Repository> {
        let path = self.prefix.iter().map(String::as_str).chain([name]).collect::<Vec<_>>().join("/");
        let repository: Repository = format!("{}/{path}", self.host).parse().ok()?;
        (*repository.registry() == self.host).then_some(repository)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<RegistrySettings, ConfigError> {
        RegistrySettings::parse("registries.toml", text, Path::new("/etc/x"))
    }

    #[test]
    fn everything_can_be_said() {
        let text = r#"
            [registry."index.docker.io"]
            mirrors = ["mirror.gcr.io", "harbor.example.com:8443/hub/"]
            [registry."registry.example.com:5000"]
            tls = "unverified"
            ca = "ca.pem"
            client-certificate = "/abs/client.cert"
            client-key = "client.key"
            [registry."[2001:db8::1]:5000"]
            tls = "none"
            connections = 16
        "#;
        let settings = parse(text).unwrap();
        let hub = settings.of(&RegistryHost::docker_hub()).unwrap();
        let node: Repository = "node".parse().unwrap();
        let places: Vec<_> = hub.mirrors.iter().filter_map(|mirror| mirror.repository(&node)).collect();
        let names: Vec<String> = places.iter().map(Repository::to_string).collect();
        assert_eq!(names, ["mirror.gcr.io/library/node", "harbor.example.com:8443/hub/library/node"]);
        let namespaces: Vec<_> = hub.mirrors.iter().map(|mirror| mirror.namespace(&node)).collect();
        assert_eq!(namespaces, [Some("docker.io"), None]);
        let other = settings.of(&"registry.example.com:5000".parse().unwrap()).unwrap();
        assert_eq!(other.tls, Some(Tls::Unverified));
        assert_eq!(other.ca.as_deref(), Some(Path::new("/etc/x/ca.pem")));
        assert_eq!(other.client, Some(("/abs/client.cert".into(), "/etc/x/client.key".into())));
        assert_eq!(other.connections, None);
        let plain = settings.of(&"[2001:db8::1]:5000".parse().unwrap()).unwrap();
        assert_eq!((plain.tls, plain.connections), (Some(Tls::None), NonZero::new(16)));
        assert_eq!(settings.of(&"registry.example.com".parse().unwrap()), None, "another port is another registry");
    }

    #[test]
    fn errors_have_a_place() {
        let table = [
            ("no host", "[registry.\"a/b\"]", "is no `HOST` or `HOST:PORT` of a registry: `registries.toml:1:11`"),
            ("unknown", "[registry.a]\ntsl = 'none'", "no setting `registry.a.tsl`: `registries.toml:2:1`"),
            ("unknown at the top", "mirrors = []", "no setting `mirrors`: `registries.toml:1:1`"),
            ("tls", "[registry.a]\ntls = 'off'", "is neither `verified`, `unverified` nor `none`: `off`"),
            ("a URL", "[registry.a]\nmirrors = ['https://m']", "is no `HOST[:PORT][/PREFIX]`: `https://m`"),
            ("no prefix", "[registry.a]\nmirrors = ['m.example/A']", "is no `HOST[:PORT][/PREFIX]`: `m.example/A`"),
            ("none", "[registry.a]\nconnections = 0", "has to be 1 at least: `registries.toml:2:1`"),
            ("too many", "[registry.a]\nconnections = 1001", "is not between 0 and 1000: `registries.toml:2:1`"),
            ("half", "[registry.a]\nclient-key = 'k'", "needs `client-certificate` beside it: `registries.toml:2:1`"),
        ];
        for (comment, text, expected) in table {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{comment}: {error}");
        }
    }
}
