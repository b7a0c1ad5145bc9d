//! Yarn 2 and later: `yarn.lock` with `__metadata`.
//!
//! Each entry lists the descriptors (`NAME@RANGE`) that were resolved to its locator. An edge is found by its descriptor,
//! after the root's `resolutions` and yarn's own patches had their say. Entries of members merge dependencies and
//! development dependencies, so a member's edges come from its package.json. Peers are not resolved in the file: whoever
//! depends on a package provides them.
//!
//! Source: yarn 4, `packages/yarnpkg-core/sources/Project.ts`, `CorePlugin.ts`; `packages/plugin-compat`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::integrity::{Checksum, YarnCacheChecksum};
use super::limits::PlatformLimits;
use super::locator::{Locator, built_in_patch_of, encode, split, unpatched, with_protocol};
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
    let checksums = entries.values().filter_map(|entry| Some((entry.resolution.as_str(), entry.checksum.as_deref()?)));
    let checksums = checksums.collect();
    let mut resolver = Resolver { manifests, checksums, descriptors: BTreeMap::new(), patched: BTreeMap::new() };
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
    settle_peers_with_own_dependencies(&mut lockfile);
    Ok(lockfile)
}

/// A package that is made for other platforms is left out whoever depends on it, as if it were optional for all.
///
/// Source: yarn 4, `Project.ts`, `disabledLocators`.
pub(super) fn free_conditional_dependencies(lockfile: &mut Lockfile) {
    let is_limited = |(_, package): &(&PackageId, &LockedPackage)| {
        package.limits.as_ref().is_some_and(|limits| *limits != PlatformLimits::default())
    };
    let limited: BTreeSet<PackageId> = lockfile.packages.iter().filter(is_limited).map(|(id, _)| id.clone()).collect();
    let of_packages = lockfile.packages.values_mut().map(|package| &mut package.dependencies);
    let of_all = of_packages.chain(lockfile.importers.values_mut().map(|importer| &mut importer.dependencies));
    for edge in of_all.flat_map(BTreeMap::values_mut) {
        let is_limited = matches!(&edge.target, Target::Package(id) if limited.contains(id));
        if is_limited && edge.kind == DependencyKind::Production {
            edge.kind = DependencyKind::Optional;
        }
    }
}

/// A package that names another among its dependencies and among its peers gets the one that is provided to it, and its own
/// where none is. Here it is the one or the other for all that depend on it: the provided one if each of them provides one.
///
/// Source: yarn 4, `Project.ts`, `resolvePeerDependencies`, where a peer that is missing is deleted if there is a dependency.
fn settle_peers_with_own_dependencies(lockfile: &mut Lockfile) {
    let both = |(id, package): (&PackageId, &LockedPackage)| {
        let names: Vec<String> =
            package.peers.keys().filter(|name| package.dependencies.contains_key(*name)).cloned().collect();
        (!names.is_empty()).then(|| (id.clone(), names))
    };
    let both: Vec<(PackageId, Vec<String>)> = lockfile.packages.iter().filter_map(both).collect();
    for (id, names) in both {
        let leads_here =
            |edge: &Edge| edge.kind != DependencyKind::Development && edge.target == Target::Package(id.clone());
        let of_packages = lockfile.packages.values().map(|package| &package.dependencies);
        let of_all = of_packages.chain(lockfile.importers.values().map(|importer| &importer.dependencies));
        let dependents: Vec<_> = of_all.filter(|edges| edges.values().any(leads_here)).collect();
        let provides = |edges: &BTreeMap<String, Edge>, name: &String| {
            edges
                .get(name)
                .is_some_and(|edge| edge.kind != DependencyKind::Development && edge.target != Target::Absent)
        };
        let provided: Vec<bool> =
            names.iter().map(|name| dependents.iter().all(|edges| provides(edges, name))).collect();
        let Some(package) = lockfile.packages.get_mut(&id) else { continue };
        for (name, provided) in names.iter().zip(provided) {
            if provided {
                package.dependencies.remove(name);
            } else {
                package.peers.remove(name);
            }
        }
    }
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
    /// Of each locator that has one.
    checksums: BTreeMap<&'a str, &'a str>,
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
        let checksum = self.checksum(entry, cache_key).map(Checksum::YarnCache);
        let unstated = checksum.is_none() && entry.checksum.is_none() && entry.conditions.is_some();
        package.checksum = checksum.or_else(|| unstated.then_some(Checksum::Unstated));
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

    /// The checksum of the archive that is made of the package's tarball: a patch has another one, of the archive that
    /// was changed.
    fn checksum(&self, entry: &Entry, cache_key: Option<&str>) -> Option<YarnCacheChecksum> {
        let own = || YarnCacheChecksum::parse(entry.checksum.as_deref()?, cache_key);
        let Some(original) = unpatched(&entry.resolution) else { return own() };
        let of_original = self.checksums.get(original.as_str()).copied();
        let checksum = of_original.and_then(|text| YarnCacheChecksum::parse(text, cache_key));
        // No key is one that nobody can make an archive of.
        checksum.or_else(|| Some(YarnCacheChecksum { cache_key: String::new(), ..own()? }))
    }

    /// What the package at `parent` gets when it asks for `name`.
    fn resolve(&self, parent: &str, name: &str, specifier: &str) -> Target {
        let root = self.manifests.iter().next().and_then(|(_, root)| root.name.as_deref()).unwrap_or_default();
        let catalog = specifier.strip_prefix("catalog:").and_then(|catalog| self.manifests.catalogs.get(catalog));
        let range = with_protocol(catalog.and_then(|catalog| catalog.get(name)).map_or(specifier, String::as_str));
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

#[cfg(test)]
mod tests {
    use super::super::described::{all_edges, manifests, package};
    use super::*;
    use crate::workspace::lockfiles::Patch;

    fn entry(keys: &str, resolution: &str, more: &str) -> String {
        format!("\"{keys}\":\n  version: 1.0.0\n  resolution: \"{resolution}\"\n{more}\n")
    }

    #[test]
    fn edges_are_found_by_their_descriptors() {
        let table: [(&str, &[(&str, &str)], String, &[&str]); 9] = [
            (
                "a range, with its protocol or without",
                &[("", r#"{"name":"r","dependencies":{"a":"^1"}}"#)],
                entry("a@npm:^1, a@npm:~1.0", "a@npm:1.0.0", "  dependencies:\n    b: 2\n")
                    + &entry("b@npm:2", "b@npm:2.0.0", ""),
                &[". Production a: a@npm:1.0.0", "a@npm:1.0.0 Production b: b@npm:2.0.0"],
            ),
            (
                "members",
                &[("", "{}"), ("x", r#"{"name":"x","dependencies":{"y":"workspace:^"}}"#), ("y", r#"{"name":"y"}"#)],
                entry("y@workspace:^, y@workspace:y", "y@workspace:y", ""),
                &["x Production y: member y"],
            ),
            (
                "an alias and an optional dependency",
                &[("", r#"{"name":"r","dependencies":{"c":"npm:a@^1"}}"#)],
                entry(
                    "c@npm:a@^1",
                    "a@npm:1.0.0",
                    "  dependencies:\n    d: \"npm:1\"\n  dependenciesMeta:\n    d:\n      optional: true\n",
                ),
                &[". Production c: a@npm:1.0.0", "a@npm:1.0.0 Optional d: nothing"],
            ),
            (
                "resolutions: everywhere, below one parent, of one range",
                &[(
                    "",
                    r#"{"name":"r","dependencies":{"a":"1","b":"1","c":"1"},
                        "resolutions":{"a":"2","b/x":"3","c@npm:1":"4"}}"#,
                )],
                entry("a@npm:2", "a@npm:2.0.0", "")
                    + &entry("b@npm:1", "b@npm:1.0.0", "  dependencies:\n    x: \"npm:1\"\n")
                    + &entry("c@npm:4", "c@npm:4.0.0", "  dependencies:\n    x: \"npm:1\"\n")
                    + &entry("x@npm:1", "x@npm:1.0.0", "")
                    + &entry("x@npm:3", "x@npm:3.0.0", ""),
                &[
                    ". Production a: a@npm:2.0.0",
                    ". Production b: b@npm:1.0.0",
                    ". Production c: c@npm:4.0.0",
                    "b@npm:1.0.0 Production x: x@npm:3.0.0",
                    "c@npm:4.0.0 Production x: x@npm:1.0.0",
                ],
            ),
            (
                "yarn's own patch stands in for what it patches",
                &[("", r#"{"name":"r","dependencies":{"a":"^1"}}"#)],
                entry("a@npm:^1", "a@npm:1.0.0", "")
                    + &entry(
                        "a@patch:a@npm%3A^1#optional!builtin<compat/a>",
                        "a@patch:a@npm%3A1.0.0#optional!builtin<compat/a>::version=1.0.0&hash=0",
                        "",
                    ),
                &[". Production a: a@patch:a@npm%3A1.0.0#optional!builtin<compat/a>::version=1.0.0&hash=0"],
            ),
            (
                "a dependency that is a peer too, where all provide it",
                &[("", r#"{"name":"r","dependencies":{"a":"1","b":"2"}}"#)],
                entry("a@npm:1", "a@npm:1.0.0", "  dependencies:\n    b: \"npm:1\"\n  peerDependencies:\n    b: 1\n")
                    + &entry("b@npm:1", "b@npm:1.0.0", "")
                    + &entry("b@npm:2", "b@npm:2.0.0", ""),
                &[". Production a: a@npm:1.0.0", ". Production b: b@npm:2.0.0"],
            ),
            (
                "a dependency that is a peer too, where one does not provide it",
                &[
                    ("", r#"{"name":"r","dependencies":{"a":"1","b":"2"}}"#),
                    ("x", r#"{"name":"x","dependencies":{"a":"1"},"devDependencies":{"b":"2"}}"#),
                ],
                entry("a@npm:1", "a@npm:1.0.0", "  dependencies:\n    b: \"npm:1\"\n  peerDependencies:\n    b: 1\n")
                    + &entry("b@npm:1", "b@npm:1.0.0", "")
                    + &entry("b@npm:2", "b@npm:2.0.0", ""),
                &[
                    ". Production a: a@npm:1.0.0",
                    ". Production b: b@npm:2.0.0",
                    "x Production a: a@npm:1.0.0",
                    "x Development b: b@npm:2.0.0",
                    "a@npm:1.0.0 Production b: b@npm:1.0.0",
                ],
            ),
            (
                "relative to a member",
                &[("", "{}"), ("x", r#"{"name":"x","dependencies":{"a":"portal:../a"}}"#)],
                entry("a@portal:../a::locator=x%40workspace%3Ax", "a@portal:../a::locator=x%40workspace%3Ax", ""),
                &["x Production a: a@portal:../a::locator=x%40workspace%3Ax"],
            ),
            (
                "yarn resolves the range of the development dependency",
                &[("", r#"{"name":"r","dependencies":{"a":"1"},"devDependencies":{"a":"^1"}}"#)],
                entry("a@npm:^1", "a@npm:1.0.0", ""),
                &[". Production a: a@npm:1.0.0"],
            ),
        ];
        for (comment, files, entries, expected) in table {
            let text = format!("__metadata:\n  version: 8\n  cacheKey: 10c0\n\n{entries}");
            let lockfile = parse(&text, &manifests(files)).unwrap();
            assert_eq!(all_edges(&lockfile), expected, "{comment}");
        }
    }

    #[test]
    fn what_an_entry_says() {
        let hex = "0f".repeat(64);
        let more = format!(
            "  peerDependencies:\n    p: 18\n    q: \"*\"\n  peerDependenciesMeta:\n    q:\n      optional: true\n    s:\n      optional: true\n  bin:\n    run: ./run.js\n  checksum: 10c0/{hex}\n  conditions: os=linux & libc=musl\n"
        );
        let id = "a@patch:a@npm%3A1.0.0#~/a.patch::version=1.0.0&hash=0";
        let text = format!("__metadata:\n  version: 4\n\n{}", entry("a@patch:a@npm%3A1.0.0#~/a.patch", id, &more));
        let lockfile = parse(&text, &manifests(&[])).unwrap();
        let found = package(&lockfile, id);
        let peers: Vec<_> = found.peers.iter().map(|(name, peer)| (name.as_str(), peer.optional)).collect();
        assert_eq!(peers, [("p", false), ("q", true), ("s", true)]);
        assert_eq!(found.patches, [Patch::File(WorkspacePath::new("a.patch").unwrap())]);
        assert_eq!(found.bins.as_ref().unwrap()["run"], "./run.js");
        assert!(found.checksum.as_ref().is_some_and(|checksum| checksum.tarball().is_none()));
        let limits = found.limits.as_ref().unwrap();
        assert!(limits.allow("linux", "x64", Some("musl")) && !limits.allow("linux", "x64", Some("glibc")));
    }

    #[test]
    fn a_patched_package_has_the_checksum_of_its_tarball() {
        let hex = |digit: &str| digit.repeat(128);
        let of = |key: &str, hash: &str| format!("  checksum: {key}/{}\n", hex(hash));
        let once = "a@patch:a@npm%3A1.0.0#~/a.patch::version=1.0.0&hash=0";
        let twice =
            "a@patch:a@patch%3Aa@npm%253A1.0.0%23~/a.patch%3A%3Aversion=1.0.0&hash=0#~/b.patch::version=1.0.0&hash=1";
        let table = [
            ("its own", "a@npm:1.0.0", true, "10c0", "a"),
            ("a patch", once, true, "10c0", "a"),
            ("a patch of a patch", twice, true, "10c0", "a"),
            ("a patch of what is not there cannot be checked", once, false, "", "b"),
        ];
        for (comment, id, has_original, key, hash) in table {
            let mut entries = String::new();
            if has_original {
                entries += &entry("a@npm:1.0.0", "a@npm:1.0.0", &of("10c0", "a"));
            }
            if id != "a@npm:1.0.0" {
                entries += &entry(id, id, &of("10c0", "b"));
            }
            let lockfile = parse(&format!("__metadata:\n  version: 8\n\n{entries}"), &manifests(&[])).unwrap();
            let expected = YarnCacheChecksum { cache_key: key.into(), sha512: hex(hash) };
            assert_eq!(package(&lockfile, id).checksum, Some(Checksum::YarnCache(expected)), "{comment}");
        }
    }

    #[test]
    fn only_what_is_for_some_platforms_may_be_without_a_checksum() {
        let entries =
            entry("a@npm:1", "a@npm:1.0.0", "  conditions: os=linux\n") + &entry("b@npm:1", "b@npm:1.0.0", "");
        let lockfile = parse(&format!("__metadata:\n  version: 8\n\n{entries}"), &manifests(&[])).unwrap();
        assert_eq!(package(&lockfile, "a@npm:1.0.0").checksum, Some(Checksum::Unstated));
        assert_eq!(package(&lockfile, "b@npm:1.0.0").checksum, None);
    }

    #[test]
    fn catalogs() {
        let mut manifests = manifests(&[("", r#"{"name":"r","dependencies":{"a":"catalog:","b":"catalog:old"}}"#)]);
        for (catalog, name, range) in [("", "a", "^2"), ("", "b", "^2"), ("old", "b", "^1")] {
            manifests.catalogs.entry(catalog.into()).or_default().insert(name.into(), range.into());
        }
        let entries = entry("a@npm:^2", "a@npm:2.0.0", "") + &entry("b@npm:^1", "b@npm:1.0.0", "");
        let lockfile = parse(&format!("__metadata:\n  version: 8\n\n{entries}"), &manifests).unwrap();
        assert_eq!(all_edges(&lockfile), [". Production a: a@npm:2.0.0", ". Production b: b@npm:1.0.0"]);
    }

    #[test]
    fn other_versions_are_refused() {
        for version in ["3", "11", "x", "\"\""] {
            let result = parse(&format!("__metadata:\n  version: {version}\n"), &manifests(&[]));
            assert!(matches!(result, Err(LockfileProblem::UnknownVersion { .. })), "{version}: {result:?}");
        }
    }
}
