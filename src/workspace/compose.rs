//! Compose files at the workspace's root: on which ports the services of a workspace meet the world and each other.
//!
//! Source: the Compose Specification, "Services top-level element" and "Interpolation".

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::WorkspacePath;
use crate::host::{self, HostError};
use crate::path::HostPath;

/// What a compose file says of its services, by their names. What it does not say in the words of the specification is left
/// out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComposeFile {
    /// The services.
    pub services: BTreeMap<String, ComposeService>,
}

/// A service of a compose file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ComposeService {
    /// The ports that it wants of the host.
    pub published: Vec<PublishedPort>,
    /// `host`, `service:NAME` and the like.
    pub network_mode: Option<String>,
    /// The variables that have a value.
    pub environment: BTreeMap<String, String>,
    /// The profiles that start it; none for one that always starts.
    pub profiles: BTreeSet<String>,
    /// The directory that it is built from, if it lies in the workspace.
    pub built_from: Option<WorkspacePath>,
}

/// A port of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// The address of the host; `None` for all of them.
    pub address: Option<String>,
    /// The port of the host.
    pub port: u16,
    /// Such as `tcp`.
    pub protocol: String,
}

/// A compose file that is not YAML.
#[derive(Debug, thiserror::Error)]
#[error("cannot be read: {0}")]
pub struct ComposeError(String);

/// The compose files at a workspace's root, by their names.
pub fn compose_files(root: &HostPath) -> Result<BTreeMap<String, Result<ComposeFile, ComposeError>>, HostError> {
    let mut files = BTreeMap::new();
    for entry in host::read_directory(root)? {
        let Some(name) = entry.name.to_str() else { continue };
        let is_yaml = [".yml", ".yaml"].iter().any(|end| name.ends_with(end));
        if is_yaml && (name.starts_with("docker-compose") || name.starts_with("compose")) {
            files.insert(name.to_owned(), ComposeFile::parse(&host::read(&root.join(name))?));
        }
    }
    Ok(files)
}

impl ComposeFile {
    /// Reads the bytes of a compose file.
    pub fn parse(bytes: &[u8]) -> Result<Self, ComposeError> {
        let document: Option<Value> =
            serde_saphyr::from_slice(bytes).map_err(|error| ComposeError(error.without_snippet().to_string()))?;
        let services = document.as_ref().and_then(|document| document.get("services")?.as_object());
        let services =
            services.into_iter().flatten().map(|(name, service)| (name.clone(), ComposeService::of(service)));
        Ok(Self { services: services.collect() })
    }
}

impl ComposeService {
    fn of(service: &Value) -> Self {
        let context = match service.get("build") {
            Some(Value::String(context)) => Some(context.as_str()),
            Some(build) => build.get("context").and_then(Value::as_str),
            None => None,
        };
        Self {
            published: list(service.get("ports")).iter().flat_map(published).collect(),
            network_mode: service.get("network_mode").and_then(text),
            environment: environment(service.get("environment")),
            profiles: list(service.get("profiles")).iter().filter_map(text).collect(),
            built_from: context.and_then(WorkspacePath::new),
        }
    }
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default()
}

/// The text of a scalar, if no variable in it lacks a default.
fn text(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => interpolated(text),
        Value::Number(number) => Some(number.to_string()),
        Value::Bool(yes) => Some(yes.to_string()),
        _ => None,
    }
}

/// A text with the defaults of its variables, as `${PORT:-3000}` has one; `None` where one has none.
fn interpolated(text: &str) -> Option<String> {
    let mut whole = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        whole.push_str(before);
        rest = match after.strip_prefix('$') {
            Some(after) => {
                whole.push('$');
                after
            }
            None => {
                let (variable, after) = after.strip_prefix('{')?.split_once('}')?;
                let (_, default) = variable.split_once(":-").or_else(|| variable.split_once('-'))?;
                whole.push_str(default);
                after
            }
        };
    }
    Some(whole + rest)
}

/// A list of `NAME=VALUE`, or a map.
fn environment(value: Option<&Value>) -> BTreeMap<String, String> {
    match value {
        Some(Value::Object(map)) => map.iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect(),
        other => {
            let pair = |pair: &Value| {
                let pair = text(pair)?;
                let (name, value) = pair.split_once('=')?;
                Some((name.to_owned(), value.to_owned()))
            };
            list(other).iter().filter_map(pair).collect()
        }
    }
}

/// `[[ADDRESS:]PORT:]CONTAINER[/PROTOCOL]`, with ranges, or the same as a map. A port that the host chooses is none.
fn published(value: &Value) -> Vec<PublishedPort> {
    let of_map = || {
        let published = text(value.get("published")?)?;
        let protocol = value.get("protocol").and_then(text);
        Some((value.get("host_ip").and_then(text), published, protocol))
    };
    let of_text = || {
        let text = text(value)?;
        let (ports, protocol) = text.split_once('/').unwrap_or((&text, "tcp"));
        let (before, _) = ports.rsplit_once(':')?;
        let (address, port) = match before.rsplit_once(':') {
            Some((address, port)) => (Some(address.trim_matches(['[', ']']).to_owned()), port),
            None => (None, before),
        };
        Some((address, port.to_owned(), Some(protocol.to_owned())))
    };
    let Some((address, ports, protocol)) = (if value.is_object() { of_map() } else { of_text() }) else {
        return Vec::new();
    };
    let (first, last) = ports.split_once('-').unwrap_or((&ports, &ports));
    let (Ok(first), Ok(last)) = (first.parse::<u16>(), last.parse::<u16>()) else { return Vec::new() };
    let address = address.filter(|address| !matches!(address.as_str(), "0.0.0.0" | "::" | ""));
    let protocol = protocol.unwrap_or_else(|| "tcp".to_owned());
    let port = |port| PublishedPort { address: address.clone(), port, protocol: protocol.clone() };
    (first.max(1)..=last).map(port).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ports() {
        let table: [(&str, &str, &[&str]); 12] = [
            ("of the container only", "3000", &[]),
            ("of the host", "'8080:80'", &["*:8080/tcp"]),
            ("of an address", "'127.0.0.1:8080:80'", &["127.0.0.1:8080/tcp"]),
            ("of every address", "'0.0.0.0:8080:80'", &["*:8080/tcp"]),
            ("of an address of IPv6", "'[::1]:8080:80'", &["::1:8080/tcp"]),
            ("another protocol", "'53:53/udp'", &["*:53/udp"]),
            ("a range", "'3000-3001:80-81'", &["*:3000/tcp", "*:3001/tcp"]),
            ("a default", "'${PORT:-3000}:80'", &["*:3000/tcp"]),
            ("unknown", "'${PORT}:80'", &[]),
            ("chosen by the host", "':80'", &[]),
            ("a map", "{ target: 80, published: 8080, host_ip: 127.0.0.1, protocol: udp }", &["127.0.0.1:8080/udp"]),
            ("a map with a text", "{ target: 80, published: '8080' }", &["*:8080/tcp"]),
        ];
        for (comment, port, expected) in table {
            let file = ComposeFile::parse(format!("services: {{ a: {{ ports: [{port}] }} }}").as_bytes()).unwrap();
            let name =
                |it: &PublishedPort| format!("{}:{}/{}", it.address.as_deref().unwrap_or("*"), it.port, it.protocol);
            assert_eq!(file.services["a"].published.iter().map(name).collect::<Vec<_>>(), expected, "{comment}");
        }
    }

    #[test]
    fn services() {
        let text = "services:\n  a:\n    build: { context: ./apps/a }\n    network_mode: host\n    profiles: [prod]\n    \
                    environment: [A=1, B, 'C=x$$y', 'D=${D}']\n  b: { build: apps/b, environment: { A: 1, B: null } }\n  \
                    c: { build: ../c }\n";
        let file = ComposeFile::parse(text.as_bytes()).unwrap();
        let [a, b, c] = ["a", "b", "c"].map(|name| &file.services[name]);
        assert_eq!(
            (a.built_from.as_ref(), b.built_from.as_ref()),
            (WorkspacePath::new("apps/a").as_ref(), WorkspacePath::new("apps/b").as_ref())
        );
        assert_eq!((c.built_from.as_ref(), a.network_mode.as_deref()), (None, Some("host")));
        assert_eq!(a.environment, [("A".into(), "1".into()), ("C".into(), "x$y".into())].into());
        assert_eq!(b.environment, [("A".into(), "1".into())].into());
        assert_eq!(a.profiles, ["prod".to_owned()].into());
        assert_eq!(ComposeFile::parse(b"").unwrap(), ComposeFile::default());
        assert!(ComposeFile::parse(b"services: [").is_err());
    }
}
