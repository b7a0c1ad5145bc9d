//! Yarn 2 and later: `yarn.lock` with `__metadata`.
//!
//! Each entry lists the descriptors (`NAME@RANGE`) that were resolved to its locator. An edge is found by its descriptor,
//! after the root's `resolutions` and yarn's own patches had their say. Entries of members merge dependencies and
//! development dependencies, so a member's edges come from its package.json. Peers are not resolved in the file: whoever
//! depends on a package provides them.
//!
//! Source: yarn 4, `packages/yarnpkg-core/sources/Project.ts`, `CorePlugin.ts`; `packages/plugin-compat`.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::integrity::{Checksum, YarnCacheChecksum};
use super::limits::PlatformLimits;
use super::locator::{Locator, built_in_patch_of, encode, split, with_protocol};
use super::manifests::{Manifests, declared, peers};
use super::source::Source;
use super::yaml;
use super::{DependencyKind, Edge, Importer, LockedPackage, Lockfile, LockfileProblem, PackageId, Peer, Target};
use crate::workspace::{PackageJson, PackageManager, WorkspacePath};

/// The versions that are read: of yarn 2.0 to 4.
const VERSIONS: std::ops::RangeInclusive<u32> = 4..=10;

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    version: String,
    resolution: String,
    dependencies: BTreeMap<String, String>,
    peer_dependencies: BTreeMap<String, String>,
    dependencies_meta: BTreeMap<String, Meta>,
    peer_dependencies_meta: BTreeMap<String, Meta>,
    bin: BTreeMap<String, String>,
    checksum: Option<String>,
    conditions: Option<String>,
    /// Of `__metadata` only.
    cache_key: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Meta {
    optional: bool,
}

/// Reads the text of the file.
pub(super) fn parse(text: &str, manifests: &Manifests) -> Result<Lockfile, LockfileProblem> {
    let mut entries: BTreeMap<String, Entry> = yaml::parse(text)?;
    let metadata = entries.remove("__metadata").unwrap_or_default();
    if !metadata.version.parse().is_ok_and(|version: u32| VERSIONS.contains(&version)) {
        return Err(LockfileProblem::UnknownVersion {
            version: metadata.version,
            understood: "versions 4 to 10 of yarn's lockfile",
            upgrade: "yarn install --mode=update-lockfile",
        });
    }
    let mut resolver = Resolver { manifests, descriptors: BTreeMap::new(), patched: BTreeMap::new() };
    for (descriptors, entry) in &entries {
        let target = target_of(entry);
        for descriptor in descriptors.split(", ") {
            if let Some(original) = built_in_patch_of(descriptor) {
                resolver.patched.insert(original, target.clone());
            }
            resolver.descriptors.insert(descriptor.to_owned(), target.clone());
        }
    }
    let mut lockfile = Lockfile::new(PackageManager::YarnBerry, metadata.version);
    for entry in entries.values() {
        if let Target::Package(id) = target_of(entry) {
            let package = resolver.package(entry, metadata.cache_key.as_deref())?;
            lockfile.packages.insert(id, package);
        }
    }
    for (dir, package_json) in manifests.iter() {
        lockfile.importers.insert(dir.clone(), resolver.importer(dir, package_json));
    }
    Ok(lockfile)
}

/// What an entry is: a member, or a package named by its locator.
fn target_of(entry: &Entry) -> Target {
    let member = split(&entry.resolution).and_then(|(_, reference)| reference.strip_prefix("workspace:"));
    match member.and_then(WorkspacePath::new) {
        Some(dir) => Target::Member(dir),
        None => Target::Package(PackageId::new(&entry.resolution)),
    }
}

struct Resolver<'a> {
    manifests: &'a Manifests,
    /// What each descriptor was resolved to.
    descriptors: BTreeMap<String, Target>,
    /// What yarn put in the place of packages it patches itself, by their name and range.
    patched: BTreeMap<(String, String), Target>,
}

impl Resolver<'_> {
    fn importer(&self, dir: &WorkspacePath, package_json: &PackageJson) -> Importer {
        let locator = format!("{}@workspace:{dir}", package_json.name.as_deref().unwrap_or_default());
        let edges = declared(package_json).into_iter().map(|(name, (kind, specifier))| {
            // Where two fields name one package, yarn resolves what the development dependency asks for.
            let specifier = package_json.dev_dependencies.get(name).map_or(specifier, String::as_str);
            let target = self.resolve(&locator, name, specifier);
            (name.to_owned(), Edge { kind, specifier: specifier.to_owned(), target })
        });
        Importer { dependencies: edges.collect(), peers: peers(package_json) }
    }

    fn package(&self, entry: &Entry, cache_key: Option<&str>) -> Result<LockedPackage, LockfileProblem> {
        let locator = Locator::parse(&entry.resolution)
            .ok_or_else(|| LockfileProblem::Syntax(format!("not a locator: `{}`", entry.resolution)))?;
        let mut package = LockedPackage::new(locator.name, Some(entry.version.clone()), locator.source);
        if let Source::Link(_) = package.source {
            package.version = None;
        }
        let checksum = entry.checksum.as_deref().and_then(|text| YarnCacheChecksum::parse(text, cache_key));
        package.checksum = checksum.map(Checksum::YarnCache);
        package.limits = Some(entry.conditions.as_deref().map(PlatformLimits::from_conditions).unwrap_or_default());
        package.bins = Some(entry.bin.clone());
        package.patches = locator.patches;
        for (name, specifier) in &entry.dependencies {
            let optional = entry.dependencies_meta.get(name).is_some_and(|meta| meta.optional);
            let kind = if optional { DependencyKind::Optional } else { DependencyKind::Production };
            let target = self.resolve(&entry.resolution, name, specifier);
            package.dependencies.insert(name.clone(), Edge { kind, specifier: specifier.clone(), target });
        }
        let meta_only = entry.peer_dependencies_meta.iter().filter(|(_, meta)| meta.optional);
        for (name, _) in meta_only {
            package.peers.insert(name.clone(), Peer { specifier: "*".to_owned(), optional: true });
        }
        for (name, specifier) in &entry.peer_dependencies {
            let optional = entry.peer_dependencies_meta.get(name).is_some_and(|meta| meta.optional);
            package.peers.insert(name.clone(), Peer { specifier: specifier.clone(), optional });
        }
        Ok(package)
    }

    /// What the package at `parent` gets when it asks for `name`.
    fn resolve(&self, parent: &str, name: &str, specifier: &str) -> Target {
        let root = self.manifests.iter().next().and_then(|(_, root)| root.name.as_deref()).unwrap_or_default();
        let range = with_protocol(specifier);
        let overridden = self.manifests.resolutions.iter().find(|(pattern, _)| applies(pattern, parent, name, &range));
        let found = overridden
            .and_then(|(_, reference)| self.look_up(&format!("{root}@workspace:."), name, &with_protocol(reference)));
        found.or_else(|| self.look_up(parent, name, &range)).unwrap_or(Target::Absent)
    }

    fn look_up(&self, parent: &str, name: &str, range: &str) -> Option<Target> {
        let patched = self.patched.get(&(name.to_owned(), range.to_owned()));
        let plain = || self.descriptors.get(&format!("{name}@{range}"));
        // `file:`, `link:`, `portal:` and `patch:` are relative to who asks, which is part of their key.
        let bound = || self.descriptors.get(&format!("{name}@{range}::locator={}", encode(parent)));
        let bare = || self.descriptors.get(&format!("{name}@{}", range.strip_prefix("npm:")?));
        let member = || range.strip_prefix("workspace:").and_then(|_| self.manifests.named(name).cloned());
        let found = patched.or_else(plain).or_else(bound).or_else(bare).cloned();
        found.or_else(|| member().map(Target::Member))
    }
}

/// Whether a pattern of `resolutions`, `[PARENT[@REFERENCE]/]NAME[@RANGE]`, is about this edge.
fn applies(pattern: &str, parent: &str, name: &str, range: &str) -> bool {
    let is = |text: &str, wanted_name: &str, wanted: &str| {
        let (text_name, rest) = split(text).map_or((text, None), |(name, rest)| (name, Some(rest)));
        text_name == wanted_name && rest.is_none_or(|rest| with_protocol(rest) == wanted)
    };
    let (first, rest) = split_pattern(pattern);
    match (rest, split(parent)) {
        (None, _) => is(first, name, range),
        (Some(rest), Some((parent_name, reference))) => is(first, parent_name, reference) && is(rest, name, range),
        (Some(_), None) => false,
    }
}

/// The part of a pattern before the slash that ends a parent, and what follows.
fn split_pattern(pattern: &str) -> (&str, Option<&str>) {
    let scope = if pattern.starts_with('@') { pattern.find('/').map_or(0, |slash| slash + 1) } else { 0 };
    // A reference may have slashes of its own: `a@patch:a@npm%3A1#./x` is no parent.
    match pattern[scope..].find('/').map(|slash| pattern.split_at(scope + slash)) {
        Some((first, rest)) if !first.contains("patch:") && !first.contains("://") => (first, Some(&rest[1..])),
        _ => (pattern, None),
    }
}
