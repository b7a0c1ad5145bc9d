//! pnpm 8 and later: `pnpm-lock.yaml`, versions 6 and 9.
//!
//! `importers` says for the root and each member what each dependency was resolved to. In version 9 `packages` holds what
//! is the same for all instances of a version and `snapshots` the edges of each instance; in version 6 `packages` holds
//! both. Peers are resolved: an instance is named by the peers it got. Overrides need no rules, since edges name what
//! they became.
//!
//! Source: pnpm, `lockfile/types/src/index.ts`, `lockfile/utils/src`; the lockfile of the newest pnpm is version 9 too.

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};

use super::integrity::{Checksum, Integrity};
use super::limits::PlatformLimits;
use super::manifests::Manifests;
use super::npm::one_or_many;
use super::pnpm_ref::{keys, name_and_version, patch_hash, split_suffix};
use super::source::{Patch, Source};
use super::yaml;
use super::{DependencyKind, Edge, Importer, LockedPackage, Lockfile, LockfileProblem, PackageId, Target};
use crate::workspace::{PackageManager, WorkspacePath};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Document {
    lockfile_version: String,
    #[serde(default)]
    importers: BTreeMap<String, Project>,
    #[serde(default)]
    packages: BTreeMap<String, Entry>,
    #[serde(default)]
    snapshots: Option<BTreeMap<String, Edges>>,
    #[serde(default)]
    patched_dependencies: BTreeMap<String, PatchedDependency>,
    // Of the one project, where a version 6 lockfile has no importers. Not flattened, which would copy the document.
    #[serde(default)]
    dependencies: BTreeMap<String, Resolved>,
    #[serde(default)]
    dev_dependencies: BTreeMap<String, Resolved>,
    #[serde(default)]
    optional_dependencies: BTreeMap<String, Resolved>,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Project {
    dependencies: BTreeMap<String, Resolved>,
    dev_dependencies: BTreeMap<String, Resolved>,
    optional_dependencies: BTreeMap<String, Resolved>,
}

#[derive(Deserialize)]
struct Resolved {
    specifier: String,
    version: String,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Entry {
    resolution: Resolution,
    name: Option<String>,
    version: Option<String>,
    #[serde(deserialize_with = "one_or_many")]
    os: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    cpu: Vec<String>,
    #[serde(deserialize_with = "one_or_many")]
    libc: Vec<String>,
    has_bin: bool,
    requires_build: Option<bool>,
    #[serde(deserialize_with = "bundled")]
    bundled_dependencies: Vec<String>,
    peer_dependencies: BTreeMap<String, String>,
    peer_dependencies_meta: BTreeMap<String, PeerMeta>,
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Resolution {
    integrity: Option<String>,
    tarball: Option<String>,
    directory: Option<String>,
    repo: Option<String>,
    commit: Option<String>,
    path: Option<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PeerMeta {
    optional: bool,
}

/// What only an instance has.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Edges {
    dependencies: BTreeMap<String, String>,
    optional_dependencies: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum PatchedDependency {
    WithPath { path: String },
    Hash(IgnoredAny),
}

/// A list of names; `true`, for all, is not needed as one.
fn bundled<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    one_or_many(deserializer)
}

/// Reads the text of the file.
pub(super) fn parse(text: &str, manifests: &Manifests) -> Result<Lockfile, LockfileProblem> {
    let text = last_document(text);
    // The version first, since other versions have other shapes.
    let version = stated_version(text).unwrap_or_default();
    let snapshots_apart = match version.split('.').next() {
        Some("6") => false,
        Some("9") => true,
        _ => {
            return Err(LockfileProblem::UnknownVersion {
                version,
                understood: "versions 6 and 9 of pnpm's lockfile",
                upgrade: "pnpm install --lockfile-only",
            });
        }
    };
    let mut document: Document = yaml::parse(text)?;
    let mut lockfile = Lockfile::new(PackageManager::Pnpm, &document.lockfile_version);
    if document.importers.is_empty() {
        let project = Project {
            dependencies: std::mem::take(&mut document.dependencies),
            dev_dependencies: std::mem::take(&mut document.dev_dependencies),
            optional_dependencies: std::mem::take(&mut document.optional_dependencies),
        };
        document.importers.insert(".".to_owned(), project);
    }
    let snapshots = match document.snapshots.take() {
        Some(snapshots) if snapshots_apart => snapshots,
        _ => document.packages.iter_mut().map(|(key, entry)| (key.clone(), entry.take_edges())).collect(),
    };
    let reader = Reader { document: &document, snapshots: &snapshots, manifests };
    for (key, edges) in &snapshots {
        let package = reader.package(key, edges, &mut lockfile);
        lockfile.packages.insert(PackageId::new(key), package);
    }
    for (dir, project) in &document.importers {
        if let Some(dir) = WorkspacePath::new(dir).filter(|dir| manifests.contains(dir)) {
            let importer = reader.importer(&dir, project, &mut lockfile);
            lockfile.importers.insert(dir, importer);
        }
    }
    Ok(lockfile)
}

/// The last of the documents in the file: pnpm 11 and later may put one about itself before the workspace's.
fn last_document(text: &str) -> &str {
    let starts = text.match_indices("---").filter(|(at, mark)| {
        let line_starts = *at == 0 || text[..*at].ends_with('\n');
        line_starts && text[at + mark.len()..].trim_start_matches([' ', '\r']).starts_with('\n')
    });
    starts.last().map_or(text, |(at, mark)| &text[at + mark.len()..])
}

fn stated_version(text: &str) -> Option<String> {
    let line = text.lines().find_map(|line| line.strip_prefix("lockfileVersion:"))?;
    Some(line.trim().trim_matches(['\'', '"']).to_owned())
}

impl Entry {
    fn take_edges(&mut self) -> Edges {
        Edges {
            dependencies: std::mem::take(&mut self.dependencies),
            optional_dependencies: std::mem::take(&mut self.optional_dependencies),
        }
    }
}

struct Reader<'a> {
    document: &'a Document,
    snapshots: &'a BTreeMap<String, Edges>,
    manifests: &'a Manifests,
}

impl Reader<'_> {
    fn importer(&self, dir: &WorkspacePath, project: &Project, lockfile: &mut Lockfile) -> Importer {
        let mut importer = Importer::default();
        let kinds = [
            (DependencyKind::Development, &project.dev_dependencies),
            (DependencyKind::Production, &project.dependencies),
            (DependencyKind::Optional, &project.optional_dependencies),
        ];
        for (kind, dependencies) in kinds {
            for (name, resolved) in dependencies {
                let target = self.target(dir, name, &resolved.version, lockfile);
                let specifier = resolved.specifier.clone();
                importer.dependencies.insert(name.clone(), Edge { kind, specifier, target });
            }
        }
        importer
    }

    fn package(&self, key: &str, edges: &Edges, lockfile: &mut Lockfile) -> LockedPackage {
        let (bare, suffix) = split_suffix(key);
        let none = Entry::default();
        let entry = self.document.packages.get(key).or_else(|| self.document.packages.get(bare)).unwrap_or(&none);
        let (name, version) = name_and_version(bare).unwrap_or((bare, ""));
        let name = entry.name.as_deref().unwrap_or(name);
        let is_version = !version.is_empty() && !version.contains([':', '/']);
        let version = entry.version.clone().or_else(|| is_version.then(|| version.to_owned()));
        let mut package = LockedPackage::new(name, version, entry.resolution.source());
        package.checksum = entry.resolution.integrity.as_deref().and_then(Integrity::parse).map(Checksum::Tarball);
        let (os, cpu, libc) = (entry.os.clone(), entry.cpu.clone(), entry.libc.clone());
        package.limits = Some(PlatformLimits { os, cpu, libc });
        package.bins = (!entry.has_bin).then(BTreeMap::new);
        // Version 6 says so of every package, version 9 of none.
        let states_builds = self.document.snapshots.is_none() && self.document.lockfile_version.starts_with('6');
        package.has_install_script = states_builds.then(|| entry.requires_build.unwrap_or(false));
        package.patches = patch_hash(suffix).map(|hash| self.patch(bare, name, hash)).into_iter().collect();
        let root = WorkspacePath::default();
        let own = match &package.source {
            Source::Directory(dir) => dir.clone(),
            _ => root,
        };
        let kinds = [
            (DependencyKind::Production, &edges.dependencies),
            (DependencyKind::Optional, &edges.optional_dependencies),
        ];
        for (kind, dependencies) in kinds {
            for (name, reference) in dependencies.iter().filter(|(name, _)| !entry.bundled_dependencies.contains(name))
            {
                let optional = entry.peer_dependencies_meta.get(name).is_some_and(|meta| meta.optional);
                let peer = entry.peer_dependencies.get(name).map(String::as_str).or(optional.then_some("*"));
                let kind = match peer {
                    Some(_) if optional => DependencyKind::OptionalPeer,
                    Some(_) => DependencyKind::Peer,
                    None => kind,
                };
                let specifier = peer.unwrap_or(reference).to_owned();
                let target = self.target(&own, name, reference, lockfile);
                package.dependencies.insert(name.clone(), Edge { kind, specifier, target });
            }
        }
        package
    }

    /// What an edge that starts in `from` leads to.
    fn target(&self, from: &WorkspacePath, name: &str, reference: &str, lockfile: &mut Lockfile) -> Target {
        if let Some(path) = reference.strip_prefix("link:") {
            // From an instance in the store, paths start at the root.
            let dir = if self.manifests.contains(from) { from.join(path) } else { WorkspacePath::new(path) };
            return lockfile.link(name, dir, reference, self.manifests);
        }
        let key = keys(name, reference).into_iter().find(|key| self.snapshots.contains_key(key));
        key.map_or(Target::Absent, |key| Target::Package(PackageId::new(key)))
    }

    fn patch(&self, bare: &str, name: &str, hash: &str) -> Patch {
        let of = [bare.strip_prefix('/').unwrap_or(bare), name];
        let stated = of.iter().find_map(|key| self.document.patched_dependencies.get(*key));
        let path = match stated {
            Some(PatchedDependency::WithPath { path }) => Some(path),
            Some(PatchedDependency::Hash(_)) | None => of.iter().find_map(|key| self.manifests.patches.get(*key)),
        };
        match path {
            Some(path) => WorkspacePath::default().join(path).map_or_else(|| Patch::Outside(path.clone()), Patch::File),
            None => Patch::Hash(hash.to_owned()),
        }
    }
}

impl Resolution {
    fn source(&self) -> Source {
        let root = WorkspacePath::default();
        match self {
            Self { directory: Some(path), .. } => match root.join(path) {
                Some(dir) => Source::Directory(dir),
                None => Source::Outside(path.clone()),
            },
            Self { repo: Some(repository), commit, path, .. } => Source::Git {
                repository: repository.clone(),
                commit: commit.clone(),
                directory: path.as_deref().map(|path| path.trim_matches('/').to_owned()),
            },
            Self { tarball: Some(tarball), .. } => Source::from_resolved(tarball),
            _ => Source::Registry { tarball: None },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::described::{all_edges, manifests, package};
    use super::*;

    #[test]
    fn edges_of_both_versions() {
        let table: [(&str, &[(&str, &str)], &str, &[&str]); 6] = [
            (
                "9: peers, aliases, links",
                &[("", "{}"), ("apps/x", "{}"), ("libs/y", "{}")],
                "lockfileVersion: '9.0'\nimporters:\n  apps/x:\n    dependencies:\n      y:\n        specifier: workspace:*\n        version: link:../../libs/y\n      old:\n        specifier: npm:a@1\n        version: a@1.0.0(p@2.0.0)\n    devDependencies:\n      p:\n        specifier: '2'\n        version: 2.0.0\npackages:\n  a@1.0.0:\n    resolution: {integrity: sha512-x}\n    peerDependencies:\n      p: '*'\n  p@2.0.0:\n    resolution: {integrity: sha512-x}\nsnapshots:\n  a@1.0.0(p@2.0.0):\n    dependencies:\n      p: 2.0.0\n  p@2.0.0: {}\n",
                &[
                    "apps/x Production old: a@1.0.0(p@2.0.0)",
                    "apps/x Development p: p@2.0.0",
                    "apps/x Production y: member libs/y",
                    "a@1.0.0(p@2.0.0) Peer p: p@2.0.0",
                ],
            ),
            (
                "6: peers, aliases",
                &[("", "{}")],
                "lockfileVersion: '6.0'\ndependencies:\n  old:\n    specifier: npm:@s/a@1\n    version: /@s/a@1.0.0(p@2.0.0)\npackages:\n  /@s/a@1.0.0(p@2.0.0):\n    resolution: {integrity: sha512-x}\n    peerDependencies:\n      p: '*'\n    peerDependenciesMeta:\n      p:\n        optional: true\n    dependencies:\n      p: 2.0.0\n  /p@2.0.0:\n    resolution: {integrity: sha512-x}\n",
                &[". Production old: /@s/a@1.0.0(p@2.0.0)", "/@s/a@1.0.0(p@2.0.0) OptionalPeer p: /p@2.0.0"],
            ),
            (
                "injected members are packages",
                &[("", "{}"), ("x", "{}"), ("y", "{}")],
                "lockfileVersion: '9.0'\nimporters:\n  x:\n    dependencies:\n      y:\n        specifier: workspace:*\n        version: file:y(p@1.0.0)\npackages:\n  y@file:y:\n    resolution: {directory: y, type: directory}\nsnapshots:\n  y@file:y(p@1.0.0):\n    dependencies:\n      z: link:y/z\n",
                &["x Production y: y@file:y(p@1.0.0)", "y@file:y(p@1.0.0) Production z: link:y/y/z"],
            ),
            (
                "optional dependencies that were left out",
                &[("", "{}")],
                "lockfileVersion: '9.0'\nimporters:\n  .:\n    optionalDependencies:\n      a:\n        specifier: '1'\n        version: 1.0.0\n",
                &[". Optional a: nothing"],
            ),
            (
                "a document about pnpm itself comes first",
                &[("", "{}")],
                "---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    packageManagerDependencies:\n      pnpm:\n        specifier: '12'\n        version: 12.0.0\n---\nlockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: '1'\n        version: 1.0.0\nsnapshots:\n  a@1.0.0: {}\n",
                &[". Production a: a@1.0.0"],
            ),
            ("nothing", &[("", "{}")], "lockfileVersion: '9.0'\n", &[]),
        ];
        for (comment, files, text, expected) in table {
            let lockfile = parse(text, &manifests(files)).unwrap();
            assert_eq!(all_edges(&lockfile), expected, "{comment}");
        }
    }

    #[test]
    fn kinds_of_packages() {
        let path = |text: &str| WorkspacePath::new(text).unwrap();
        let table = [
            ("the registry", "a@1.0.0", "{integrity: sha512-x}", Source::Registry { tarball: None }),
            (
                "a tarball",
                "a@https://h/a.tgz",
                "{tarball: https://h/a.tgz}",
                Source::Tarball { url: "https://h/a.tgz".into() },
            ),
            (
                "git",
                "a@git+https://h/a.git#0123",
                "{commit: '0123', repo: https://h/a.git, type: git, path: /sub}",
                Source::Git {
                    repository: "https://h/a.git".into(),
                    commit: Some("0123".into()),
                    directory: Some("sub".into()),
                },
            ),
            ("a directory", "a@file:libs/a", "{directory: libs/a, type: directory}", Source::Directory(path("libs/a"))),
            (
                "a local tarball",
                "a@file:a.tgz",
                "{integrity: sha512-x, tarball: file:a.tgz}",
                Source::File(path("a.tgz")),
            ),
            ("outside", "a@file:../a", "{directory: ../a, type: directory}", Source::Outside("../a".into())),
        ];
        for (comment, key, resolution, expected) in table {
            let text = format!(
                "lockfileVersion: '9.0'\npackages:\n  {key}:\n    resolution: {resolution}\nsnapshots:\n  {key}: {{}}\n"
            );
            let lockfile = parse(&text, &manifests(&[])).unwrap();
            assert_eq!(package(&lockfile, key).source, expected, "{comment}");
        }
    }

    #[test]
    fn patches() {
        let snapshot = "snapshots:\n  a@1.0.0(patch_hash=h): {}\n";
        let table = [
            (
                "with its file",
                "patchedDependencies:\n  a@1.0.0:\n    hash: h\n    path: p/a.patch\n",
                Patch::File(WorkspacePath::new("p/a.patch").unwrap()),
            ),
            ("the hash alone", "patchedDependencies:\n  a@1.0.0: h\n", Patch::Hash("h".into())),
            (
                "a file outside",
                "patchedDependencies:\n  a:\n    hash: h\n    path: ../a.patch\n",
                Patch::Outside("../a.patch".into()),
            ),
        ];
        for (comment, stated, expected) in table {
            let text = format!("lockfileVersion: '9.0'\n{stated}{snapshot}");
            let lockfile = parse(&text, &manifests(&[])).unwrap();
            assert_eq!(package(&lockfile, "a@1.0.0(patch_hash=h)").patches, [expected], "{comment}");
        }
    }

    #[test]
    fn other_versions_are_refused() {
        for text in ["lockfileVersion: 5.4\n", "lockfileVersion: '10.0'\n", "a: 1\n", ""] {
            let result = parse(text, &manifests(&[]));
            assert!(matches!(result, Err(LockfileProblem::UnknownVersion { .. })), "{text}: {result:?}");
        }
    }
}
