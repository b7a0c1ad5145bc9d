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
    let reader = Reader { packages: &document.packages, manifests };
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
            let is_root = dir == WorkspacePath::default();
            let path = fields.name.as_deref().filter(|_| !is_root).unwrap_or_default();
            let importer = Importer { dependencies: reader.edges(path, fields), peers: BTreeMap::new() };
            lockfile.importers.insert(dir, importer);
        }
    }
    Ok(lockfile)
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
    manifests: &'a Manifests,
}

impl Reader<'_> {
    fn package(&self, path: &str, locator: &str, entry: &[Value]) -> Option<LockedPackage> {
        let (name, reference) = split(locator)?;
        let fields = entry.iter().find(|value| value.is_object());
        let fields: Fields = fields.map(Fields::deserialize).transpose().ok()?.unwrap_or_default();
        let mut texts = entry.iter().skip(1).filter_map(Value::as_str);
        let is_version = !reference.contains([':', '/']);
        let source = source(reference, texts.clone().next().filter(|_| is_version));
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

fn source(reference: &str, address: Option<&str>) -> Source {
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
        None => local(base),
        Some(_) => Source::Unknown(reference.to_owned()),
    }
}
