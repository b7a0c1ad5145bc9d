//! Bun's text lockfile: `bun.lock`, versions 0 to 2.
//!
//! `packages` is a tree written flat: `a/b` is the `b` that `a` finds first. An edge is found by walking from the path of
//! who asks to the root. Each value is a list: the locator, then by its kind an address, what package.json says, an
//! integrity or tag.
//!
//! Source: bun, `src/install/lockfile/bun.lock.zig`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

use super::integrity::{Checksum, Integrity};
use super::limits::PlatformLimits;
use super::locator::split;
use super::manifests::Manifests;
use super::npm::one_or_many;
use super::source::{Patch, Source, is_git};
use super::{DependencyKind, Edge, Importer, LockedPackage, Lockfile, LockfileProblem, PackageId, Target, jsonc};
use crate::workspace::{PackageManager, WorkspacePath};

const VERSIONS: std::ops::RangeInclusive<u64> = 0..=2;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    #[serde(default)]
    lockfile_version: Value,
    #[serde(default)]
    workspaces: BTreeMap<String, Fields>,
    #[serde(default)]
    packages: BTreeMap<String, Vec<Value>>,
    #[serde(default)]
    patched_dependencies: BTreeMap<String, String>,
}

/// What the lockfile keeps of a package.json.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Fields {
    name: Option<String>,
    dependencies: BTreeMap<String, String>,
    dev_dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
    peer_dependencies: BTreeMap<String, String>,
    optional_peers: Vec<String>,
    bundled: bool,
    has_install_script: Option<bool>,
    #[serde(deserialize_with = "one_or_many")]
    os: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    cpu: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    libc: Vec<String>,
    bin: Value,
}

/// Reads the text of the file.
pub(super) fn parse(text: &str, manifests: &Manifests) -> Result<Lockfile, LockfileProblem> {
    let document: Document =
        serde_json::from_str(&jsonc::to_json(text)).map_err(|error| LockfileProblem::Syntax(error.to_string()))?;
    let version = &document.lockfile_version;
    if !version.as_u64().is_some_and(|version| VERSIONS.contains(&version)) {
        return Err(LockfileProblem::UnknownVersion {
            version: version.to_string(),
            understood: "versions 0 to 2 of bun's lockfile",
            upgrade: "bun install --lockfile-only",
        });
    }
    let mut lockfile = Lockfile::new(PackageManager::Bun, version.to_string());
    let reader = Reader { packages: &document.packages, workspaces: &document.workspaces, manifests };
    for (path, entry) in &document.packages {
        let damaged = || LockfileProblem::Syntax(format!("no package: `{path}`"));
        let locator = entry.first().and_then(Value::as_str).ok_or_else(damaged)?;
        if member_of(locator).is_some() {
            continue;
        }
        let mut package = reader.package(path, locator, entry).ok_or_else(damaged)?;
        if let Some(patch) = document.patched_dependencies.get(&package.label()) {
            let file = WorkspacePath::default().join(patch);
            package.patches.push(file.map_or_else(|| Patch::Outside(patch.clone()), Patch::File));
        }
        lockfile.packages.insert(PackageId::new(path), package);
    }
    for (dir, fields) in &document.workspaces {
        if let Some(dir) = WorkspacePath::new(dir).filter(|dir| manifests.contains(dir)) {
            let path = path_of(&dir, fields);
            let importer = Importer { dependencies: reader.edges(path, fields), peers: BTreeMap::new() };
            lockfile.importers.insert(dir, importer);
        }
    }
    Ok(lockfile)
}

/// The path from which the root or a member looks for what it depends on.
fn path_of<'a>(dir: &WorkspacePath, fields: &'a Fields) -> &'a str {
    fields.name.as_deref().filter(|_| *dir != WorkspacePath::default()).unwrap_or_default()
}

/// The member's directory in `NAME@workspace:DIR`, and the root's in `NAME@root:`.
fn member_of(locator: &str) -> Option<WorkspacePath> {
    let (_, reference) = split(locator)?;
    match reference {
        "root:" => Some(WorkspacePath::default()),
        _ => WorkspacePath::new(reference.strip_prefix("workspace:")?),
    }
}

struct Reader<'a> {
    packages: &'a BTreeMap<String, Vec<Value>>,
    workspaces: &'a BTreeMap<String, Fields>,
    manifests: &'a Manifests,
}

impl Reader<'_> {
    fn package(&self, path: &str, locator: &str, entry: &[Value]) -> Option<LockedPackage> {
        let (name, reference) = split(locator)?;
        let fields = entry.iter().find(|value| value.is_object());
        let fields: Fields = fields.map(Fields::deserialize).transpose().ok()?.unwrap_or_default();
        let mut texts = entry.iter().skip(1).filter_map(Value::as_str);
        let is_version = !reference.contains([':', '/']);
        let source =
            source(reference, texts.clone().next().filter(|_| is_version), || self.declared_in(path, reference));
        let mut package = LockedPackage::new(name, is_version.then(|| reference.to_owned()), source);
        let integrity = texts.find(|text| text.starts_with("sha") && text.contains('-'));
        package.checksum = integrity.and_then(Integrity::parse).map(Checksum::Tarball);
        package.bins = match &fields.bin {
            Value::Object(bins) => {
                Some(bins.iter().filter_map(|(name, file)| Some((name.clone(), file.as_str()?.to_owned()))).collect())
            }
            Value::String(file) => Some([(name.rsplit('/').next()?.to_owned(), file.clone())].into()),
            _ => None,
        };
        package.has_install_script = fields.has_install_script;
        package.bundled = fields.bundled;
        package.dependencies = self.edges(path, &fields);
        package.limits = Some(PlatformLimits { os: fields.os, cpu: fields.cpu, libc: fields.libc });
        Some(package)
    }

    /// The directory that a path in the entry at `path` is relative to: bun keeps a tarball's as the member wrote it that
    /// depends on it, and everything else relative to the root.
    fn declared_in(&self, path: &str, reference: &str) -> WorkspacePath {
        let written = |specifier: &&String| specifier.strip_prefix("file:").unwrap_or(specifier) == reference;
        let declares = |dir: &WorkspacePath, fields: &Fields| {
            let fields_of_edges = [&fields.dependencies, &fields.dev_dependencies, &fields.optional_dependencies];
            fields_of_edges.into_iter().flatten().filter(|(_, specifier)| written(specifier)).any(|(name, _)| {
                let target = self.find(path_of(dir, fields), name);
                matches!(target, Target::Package(id) if id.as_str() == path)
            })
        };
        let dirs = self.workspaces.iter().filter_map(|(dir, fields)| Some((WorkspacePath::new(dir)?, fields)));
        dirs.into_iter().find(|(dir, fields)| declares(dir, fields)).map(|(dir, _)| dir).unwrap_or_default()
    }

    fn edges(&self, path: &str, fields: &Fields) -> BTreeMap<String, Edge> {
        let mut edges = BTreeMap::new();
        let optional_peer = |name: &String| fields.optional_peers.contains(name);
        let kinds = [
            (DependencyKind::Development, &fields.dev_dependencies),
            (DependencyKind::Peer, &fields.peer_dependencies),
            (DependencyKind::Production, &fields.dependencies),
            (DependencyKind::Optional, &fields.optional_dependencies),
        ];
        for (kind, field) in kinds {
            for (name, specifier) in field {
                let optional = kind == DependencyKind::Peer && optional_peer(name);
                let kind = if optional { DependencyKind::OptionalPeer } else { kind };
                let target = self.find(path, name);
                edges.insert(name.clone(), Edge { kind, specifier: specifier.clone(), target });
            }
        }
        edges
    }

    /// Walks from `path`, whose parts are the names of packages, to the root.
    fn find(&self, path: &str, name: &str) -> Target {
        let mut above = path;
        loop {
            let candidate = if above.is_empty() { name.to_owned() } else { format!("{above}/{name}") };
            if let Some(entry) = self.packages.get(&candidate) {
                let member = entry.first().and_then(Value::as_str).and_then(member_of);
                return match member {
                    Some(dir) if self.manifests.contains(&dir) => Target::Member(dir),
                    Some(_) => Target::Absent,
                    None => Target::Package(PackageId::new(candidate)),
                };
            }
            if above.is_empty() {
                return Target::Absent;
            }
            above = parent(above);
        }
    }
}

/// A path without its last name, which has two parts where it has a scope.
fn parent(path: &str) -> &str {
    let Some((above, _)) = path.rsplit_once('/') else { return "" };
    match above.rsplit_once('/') {
        Some((further, last)) if last.starts_with('@') => further,
        None if above.starts_with('@') => "",
        _ => above,
    }
}

fn source(reference: &str, address: Option<&str>, declared_in: impl Fn() -> WorkspacePath) -> Source {
    let (base, fragment) = reference.split_once('#').unwrap_or((reference, ""));
    let local = |path: &str| Source::from_path(&WorkspacePath::default(), path);
    match base.split_once(':') {
        None if !base.contains('/') => {
            // An address that is no tarball is the registry's own.
            let tarball = address.filter(|address| address.ends_with(".tgz"));
            Source::Registry { tarball: tarball.map(str::to_owned) }
        }
        Some(("file", path)) => local(path),
        Some(("link", path)) => match WorkspacePath::default().join(path) {
            Some(dir) => Source::Link(dir),
            None => Source::Outside(path.to_owned()),
        },
        Some(("github", repository)) => {
            // Bun shortens the commit, which GitHub understands.
            Source::git(&format!("https://github.com/{repository}.git"), fragment)
        }
        _ if is_git(base) => Source::git(base, fragment),
        Some(("http" | "https", _)) => Source::Tarball { url: reference.to_owned() },
        None => Source::from_path(&declared_in(), base),
        Some(_) => Source::Unknown(reference.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::described::{all_edges, manifests, package};
    use super::*;

    #[test]
    fn edges_are_found_by_path() {
        let table: [(&str, &[(&str, &str)], &str, &str, &[&str]); 4] = [
            (
                "nearest first",
                &[("", "{}")],
                r#""":{"dependencies":{"a":"1","@s/b":"1"}},"#,
                r#""a":["a@1.0.0","",{"dependencies":{"@s/b":"2"}},"sha512-x"],"@s/b":["@s/b@1.0.0","",{},""],
                   "a/@s/b":["@s/b@2.0.0","",{"dependencies":{"a":"1"}},""],"#,
                &[
                    ". Production @s/b: @s/b",
                    ". Production a: a",
                    "a Production @s/b: a/@s/b",
                    "a/@s/b Production a: a",
                ],
            ),
            (
                "members, and what only a member finds",
                &[("", "{}"), ("x", "{}"), ("y", "{}")],
                r#""x":{"name":"@m/x","dependencies":{"@m/y":"workspace:*","a":"2"}},"y":{"name":"@m/y"},"#,
                r#""@m/x":["@m/x@workspace:x"],"@m/y":["@m/y@workspace:y"],"a":["a@1.0.0","",{},""],
                   "@m/x/a":["a@2.0.0","",{},""],"#,
                &["x Production @m/y: member y", "x Production a: @m/x/a"],
            ),
            (
                "optional peers",
                &[("", "{}")],
                r#""":{"dependencies":{"a":"1"}},"#,
                r#""a":["a@1.0.0","",{"peerDependencies":{"p":"*","q":"*"},"optionalPeers":["q"]},""],"#,
                &[". Production a: a", "a Peer p: nothing", "a OptionalPeer q: nothing"],
            ),
            ("nothing", &[("", "{}")], "", "", &[]),
        ];
        for (comment, files, workspaces, packages, expected) in table {
            let text = format!(
                "{{\n  // bun\n  \"lockfileVersion\": 1,\n  \"workspaces\":{{{workspaces}}},\"packages\":{{{packages}}},\n}}"
            );
            let lockfile = parse(&text, &manifests(files)).unwrap();
            assert_eq!(all_edges(&lockfile), expected, "{comment}");
        }
    }

    #[test]
    fn kinds_of_packages() {
        let commit = "0123456789";
        let git = |repository: &str| Source::Git {
            repository: repository.to_owned(),
            commit: Some(commit.to_owned()),
            directory: None,
        };
        let table = [
            ("the registry", r#"["a@1.0.0","",{},"sha512-x"]"#.to_owned(), Source::Registry { tarball: None }),
            (
                "at its own address",
                r#"["a@1.0.0","https://r/a/-/a-1.0.0.tgz",{},"sha512-x"]"#.to_owned(),
                Source::Registry { tarball: Some("https://r/a/-/a-1.0.0.tgz".into()) },
            ),
            ("github", format!(r#"["a@github:o/a#{commit}",{{}},"o-a-{commit}"]"#), git("https://github.com/o/a.git")),
            ("git", format!(r#"["a@git+https://h/a.git#{commit}",{{}},"{commit}"]"#), git("git+https://h/a.git")),
            ("a tarball", r#"["a@https://h/a.tgz",{}]"#.to_owned(), Source::Tarball { url: "https://h/a.tgz".into() }),
            (
                "a directory",
                r#"["a@file:libs/a",{}]"#.to_owned(),
                Source::Directory(WorkspacePath::new("libs/a").unwrap()),
            ),
            ("a link", r#"["a@link:libs/a",{}]"#.to_owned(), Source::Link(WorkspacePath::new("libs/a").unwrap())),
        ];
        for (comment, entry, expected) in table {
            let text = format!(r#"{{"lockfileVersion":0,"packages":{{"a":{entry}}}}}"#);
            let lockfile = parse(&text, &manifests(&[])).unwrap();
            assert_eq!(package(&lockfile, "a").source, expected, "{comment}");
        }
    }

    /// As bun 1.4 writes them.
    #[test]
    fn paths_of_tarballs_are_relative_to_who_depends_on_them() {
        let text = r#"{"lockfileVersion":2,
            "workspaces":{
                "":{"name":"r","dependencies":{"t":"./v/t.tgz"}},
                "x":{"name":"@m/x","dependencies":{"a":"file:../v/a.tgz"}},
                "y/z":{"name":"z","dependencies":{"a":"file:../v/a.tgz","d":"file:../v/d"}}},
            "packages":{
                "a":["a@../v/a.tgz",{},"sha512-x"],"z/a":["a@../v/a.tgz",{},"sha512-y"],
                "d":["d@file:y/v/d",{}],"t":["t@./v/t.tgz",{},"sha512-z"]}}"#;
        let lockfile = parse(text, &manifests(&[("", "{}"), ("x", "{}"), ("y/z", "{}")])).unwrap();
        for (id, file) in [("a", "v/a.tgz"), ("z/a", "y/v/a.tgz"), ("t", "v/t.tgz")] {
            assert_eq!(package(&lockfile, id).source, Source::File(WorkspacePath::new(file).unwrap()), "{id}");
        }
        assert_eq!(package(&lockfile, "d").source, Source::Directory(WorkspacePath::new("y/v/d").unwrap()));
    }

    #[test]
    fn other_versions_are_refused() {
        for version in ["3", "\"1\"", "null"] {
            let result = parse(&format!(r#"{{"lockfileVersion":{version}}}"#), &manifests(&[]));
            assert!(matches!(result, Err(LockfileProblem::UnknownVersion { .. })), "{version}: {result:?}");
        }
        assert!(matches!(
            parse(r#"{"lockfileVersion":1,"packages":{"a":[]}}"#, &manifests(&[])),
            Err(LockfileProblem::Syntax(_))
        ));
    }
}
