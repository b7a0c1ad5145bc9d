//! npm 7 and later: `package-lock.json` and `npm-shrinkwrap.json`, versions 2 and 3.
//!
//! `packages` says what lies at which place, so an edge is found by walking the places as Node walks directories.
//! Overrides need no rules: what they changed lies where it belongs.
//!
//! Source: npm's documentation, `package-lock.json`; `@npmcli/arborist`, `lib/shrinkwrap.js`.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::integrity::{Checksum, Integrity};
use super::limits::PlatformLimits;
use super::manifests::Manifests;
use super::source::Source;
use super::{DependencyKind, Edge, Importer, LockedPackage, Lockfile, LockfileProblem, PackageId, Target, places};
use crate::workspace::{PackageManager, WorkspacePath};

#[derive(Deserialize)]
struct Document {
    #[serde(rename = "lockfileVersion", default)]
    version: u32,
    #[serde(default)]
    packages: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    name: Option<String>,
    version: Option<String>,
    resolved: Option<String>,
    integrity: Option<String>,
    link: bool,
    in_bundle: bool,
    has_install_script: bool,
    dependencies: BTreeMap<String, String>,
    dev_dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
    peer_dependencies: BTreeMap<String, String>,
    peer_dependencies_meta: BTreeMap<String, PeerMeta>,
    #[serde(deserialize_with = "one_or_many")]
    os: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    cpu: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    libc: Vec<String>,
    bin: Option<Bin>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PeerMeta {
    optional: bool,
}

/// `bin` as npm writes it, or of a shape that only an old or a foreign writer leaves.
#[derive(Deserialize)]
#[serde(untagged)]
enum Bin {
    Commands(BTreeMap<String, String>),
    File(String),
    Other(IgnoredAny),
}

/// A list of texts, or a single one.
pub(super) fn one_or_many<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMany {
        One(String),
        Many(Vec<String>),
        Other(IgnoredAny),
    }
    Ok(match OneOrMany::deserialize(deserializer)? {
        OneOrMany::One(text) => vec![text],
        OneOrMany::Many(texts) => texts,
        OneOrMany::Other(_) => Vec::new(),
    })
}

/// Reads the text of the file.
pub(super) fn parse(text: &str, manifests: &Manifests) -> Result<Lockfile, LockfileProblem> {
    #[derive(Deserialize)]
    struct Stated {
        #[serde(rename = "lockfileVersion", default)]
        version: serde_json::Value,
    }
    let syntax = |error: serde_json::Error| LockfileProblem::Syntax(error.to_string());
    let Stated { version } = serde_json::from_str(text).map_err(syntax)?;
    if !matches!(version.as_u64(), Some(2 | 3)) {
        return Err(LockfileProblem::UnknownVersion {
            version: if version.is_null() { "none".to_owned() } else { version.to_string() },
            understood: "versions 2 and 3 of npm's lockfile",
            upgrade: "npm install --package-lock-only --lockfile-version 3",
        });
    }
    let document: Document = serde_json::from_str(text).map_err(syntax)?;
    let mut lockfile = Lockfile::new(PackageManager::Npm, document.version.to_string());
    let reader = Reader { entries: &document.packages, manifests };
    for (place, entry) in &document.packages {
        match WorkspacePath::new(place) {
            _ if entry.link => {}
            Some(dir) if manifests.contains(&dir) => {
                let importer = Importer { dependencies: reader.edges(place, entry), peers: BTreeMap::new() };
                lockfile.importers.insert(dir, importer);
            }
            dir => {
                lockfile.packages.insert(PackageId::new(place), reader.package(place, dir, entry));
            }
        }
    }
    Ok(lockfile)
}

struct Reader<'a> {
    entries: &'a BTreeMap<String, Entry>,
    manifests: &'a Manifests,
}

impl Reader<'_> {
    fn package(&self, place: &str, dir: Option<WorkspacePath>, entry: &Entry) -> LockedPackage {
        let installed = places::name_at(place);
        let name = entry.name.as_deref().or(installed).unwrap_or(place);
        let source = match (&entry.resolved, installed, &dir) {
            (Some(resolved), Some(_), _) => Source::from_resolved(resolved),
            (None, Some(_), _) => Source::Registry { tarball: None },
            (_, None, Some(dir)) => Source::Link(dir.clone()),
            (_, None, None) => Source::Outside(place.to_owned()),
        };
        let mut package = LockedPackage::new(name, entry.version.clone(), source);
        package.checksum = entry.integrity.as_deref().and_then(Integrity::parse).map(Checksum::Tarball);
        let (os, cpu, libc) = (entry.os.clone(), entry.cpu.clone(), entry.libc.clone());
        package.limits = Some(PlatformLimits { os, cpu, libc });
        package.bins = Some(match &entry.bin {
            Some(Bin::Commands(commands)) => commands.clone(),
            Some(Bin::File(file)) => [(name.rsplit('/').next().unwrap_or(name).to_owned(), file.clone())].into(),
            Some(Bin::Other(_)) | None => BTreeMap::new(),
        });
        package.has_install_script = Some(entry.has_install_script);
        package.bundled = entry.in_bundle;
        package.dependencies = self.edges(place, entry);
        package.dependencies.retain(|_, edge| edge.kind != DependencyKind::Development);
        package.places = dir.filter(|_| installed.is_some()).into_iter().collect();
        package
    }

    /// The edges of what lies at a place. One name has one edge, of the field that npm lets win.
    fn edges(&self, place: &str, entry: &Entry) -> BTreeMap<String, Edge> {
        let is_optional = |name: &String| entry.peer_dependencies_meta.get(name).is_some_and(|meta| meta.optional);
        let peers = entry.peer_dependencies.iter().map(|(name, wanted)| {
            let optional = is_optional(name);
            (if optional { DependencyKind::OptionalPeer } else { DependencyKind::Peer }, name, wanted.as_str())
        });
        let meta_only = entry.peer_dependencies_meta.keys().filter(|name| is_optional(name));
        let meta_only = meta_only.map(|name| (DependencyKind::OptionalPeer, name, "*"));
        let of =
            |kind, field| BTreeMap::iter(field).map(move |(name, wanted): (_, &String)| (kind, name, wanted.as_str()));
        let all = of(DependencyKind::Development, &entry.dev_dependencies)
            .chain(meta_only)
            .chain(peers)
            .chain(of(DependencyKind::Production, &entry.dependencies))
            .chain(of(DependencyKind::Optional, &entry.optional_dependencies));
        let edge = |(kind, name, specifier): (_, &String, &str)| {
            (name.clone(), Edge { kind, specifier: specifier.to_owned(), target: self.find(place, name) })
        };
        all.map(edge).collect()
    }

    fn find(&self, place: &str, name: &str) -> Target {
        let found = places::candidates(place, name).find_map(|place| self.entries.get_key_value(&place));
        let Some((place, entry)) = found else { return Target::Absent };
        let real = match (&entry.resolved, entry.link) {
            (Some(real), true) => real,
            _ => place,
        };
        match WorkspacePath::new(real).filter(|dir| self.manifests.contains(dir)) {
            Some(member) => Target::Member(member),
            None if self.entries.get(real).is_some_and(|entry| !entry.link) => Target::Package(PackageId::new(real)),
            None => Target::Absent,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::described::{all_edges, manifests, package};
    use super::*;

    #[test]
    fn edges_are_found_by_place() {
        let table: [(&str, &[(&str, &str)], &str, &[&str]); 6] = [
            (
                "nearest first",
                &[("", "{}")],
                r#""":{"dependencies":{"a":"1","b":"1"}},"node_modules/a":{"dependencies":{"b":"2"}},
                   "node_modules/a/node_modules/b":{},"node_modules/b":{}"#,
                &[
                    ". Production a: node_modules/a",
                    ". Production b: node_modules/b",
                    "node_modules/a Production b: node_modules/a/node_modules/b",
                ],
            ),
            (
                "members are links",
                &[("", "{}"), ("apps/x", "{}"), ("libs/y", "{}")],
                r#""apps/x":{"dependencies":{"y":"*","a":"1"}},"apps/x/node_modules/a":{},"libs/y":{},
                   "node_modules/y":{"resolved":"libs/y","link":true}"#,
                &["apps/x Production a: apps/x/node_modules/a", "apps/x Production y: member libs/y"],
            ),
            (
                "a linked directory that is no member",
                &[("", "{}")],
                r#""":{"dependencies":{"y":"file:y"}},"y":{"dependencies":{"a":"1"}},"node_modules/a":{},
                   "node_modules/y":{"resolved":"y","link":true}"#,
                &[". Production y: y", "y Production a: node_modules/a"],
            ),
            (
                "optional wins, peers may be missing, development only of members",
                &[("", "{}")],
                r#""":{"dependencies":{"a":"1"}},"node_modules/a":{"dependencies":{"o":"1"},"optionalDependencies":{"o":"1"},
                   "devDependencies":{"d":"1"},"peerDependencies":{"p":"1","q":"1"},
                   "peerDependenciesMeta":{"q":{"optional":true},"r":{"optional":true}}}"#,
                &[
                    ". Production a: node_modules/a",
                    "node_modules/a Optional o: nothing",
                    "node_modules/a Peer p: nothing",
                    "node_modules/a OptionalPeer q: nothing",
                    "node_modules/a OptionalPeer r: nothing",
                ],
            ),
            (
                "a link that leads to a link leads nowhere",
                &[("", "{}")],
                r#""":{"dependencies":{"a":"1"}},"node_modules/a":{"resolved":"node_modules/a","link":true}"#,
                &[". Production a: nothing"],
            ),
            ("nothing", &[("", "{}")], "", &[]),
        ];
        for (comment, files, packages, expected) in table {
            let text = format!(r#"{{"lockfileVersion":3,"packages":{{{packages}}}}}"#);
            let lockfile = parse(&text, &manifests(files)).unwrap();
            assert_eq!(all_edges(&lockfile), expected, "{comment}");
        }
    }

    #[test]
    fn what_an_entry_says() {
        let text = r#"{"lockfileVersion":2,"packages":{
            "node_modules/old":{"name":"@s/new","version":"1.0.0","resolved":"https://r/@s/new/-/new-1.0.0.tgz",
              "bin":"cli.js","hasInstallScript":true,"os":["linux"],"cpu":"x64","libc":["musl"]},
            "node_modules/b":{"version":"2.0.0","inBundle":true,"bin":{"b":"b.js"}}}}"#;
        let lockfile = parse(text, &manifests(&[("", "{}")])).unwrap();
        let old = package(&lockfile, "node_modules/old");
        assert_eq!(old.label(), "@s/new@1.0.0");
        assert_eq!(old.bins.as_ref().unwrap()["new"], "cli.js");
        assert_eq!((old.has_install_script, old.bundled), (Some(true), false));
        assert_eq!(old.places, [WorkspacePath::new("node_modules/old").unwrap()]);
        assert!(!old.limits.as_ref().unwrap().allow("linux", "arm64", None));
        let bundled = package(&lockfile, "node_modules/b");
        assert_eq!((bundled.has_install_script, bundled.bundled), (Some(false), true));
    }

    #[test]
    fn other_versions_are_refused() {
        for version in ["1", "4", "\"3\"", "null", "{}"] {
            let result = parse(&format!(r#"{{"lockfileVersion":{version}}}"#), &manifests(&[]));
            assert!(matches!(result, Err(LockfileProblem::UnknownVersion { .. })), "{version}: {result:?}");
        }
        let deep = format!(r#"{{"lockfileVersion":3,"x":{}"#, "[".repeat(100_000));
        assert!(matches!(parse(&deep, &manifests(&[])), Err(LockfileProblem::Syntax(_))));
    }
}
