//! What the package.json files of a workspace say, beside its lockfile.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use super::{DependencyKind, Peer};
use crate::workspace::{Member, PackageJson, WorkspacePath};

/// The package.json files that a lockfile was made from: of the root and of each member. Yarn's formats cannot be
/// understood without them, and every format is checked against them.
#[derive(Clone, Debug, Default)]
pub struct Manifests {
    by_dir: BTreeMap<WorkspacePath, PackageJson>,
    by_name: BTreeMap<String, WorkspacePath>,
    /// `resolutions` of the root, yarn's overrides
    pub(super) resolutions: Vec<(String, String)>,
    /// The keys of the root's `overrides`, of pnpm's too
    pub(super) overrides: Vec<String>,
    /// Patch files by what they change: pnpm's and bun's `patchedDependencies`
    pub(super) patches: BTreeMap<String, String>,
    /// What yarn's `catalog:NAME` stands for: by the catalog's name, empty for the default, and the package's
    pub(super) catalogs: BTreeMap<String, BTreeMap<String, String>>,
}

impl Manifests {
    /// The files of these members and of the root, whose bytes say more than [`PackageJson`] keeps.
    pub fn new(root: &[u8], members: &[Member]) -> Self {
        let mut manifests = Self::default();
        let fields: Map<String, Value> = serde_json::from_slice(root).unwrap_or_default();
        let pnpm = fields.get("pnpm");
        manifests.resolutions = entries(fields.get("resolutions"));
        for overrides in [fields.get("overrides"), pnpm.and_then(|pnpm| pnpm.get("overrides"))] {
            manifests.overrides.extend(entries_or_objects(overrides));
        }
        manifests.overrides.extend(manifests.resolutions.iter().map(|(pattern, _)| pattern.clone()));
        for patches in [pnpm.and_then(|pnpm| pnpm.get("patchedDependencies")), fields.get("patchedDependencies")] {
            manifests.patches.extend(entries(patches));
        }
        manifests.insert(WorkspacePath::default(), PackageJson::parse(root).unwrap_or_default());
        for member in members {
            manifests.insert(member.dir.clone(), member.package_json.clone());
        }
        manifests
    }

    fn insert(&mut self, dir: WorkspacePath, package_json: PackageJson) {
        if let Some(name) = &package_json.name {
            self.by_name.insert(name.clone(), dir.clone());
        }
        self.by_dir.insert(dir, package_json);
    }

    /// Each directory with its package.json, the root first.
    pub fn iter(&self) -> impl Iterator<Item = (&WorkspacePath, &PackageJson)> {
        self.by_dir.iter()
    }

    /// Whether this is the directory of a member or of the root.
    pub fn contains(&self, dir: &WorkspacePath) -> bool {
        self.by_dir.contains_key(dir)
    }

    /// The directory of the member with this name.
    pub fn named(&self, name: &str) -> Option<&WorkspacePath> {
        self.by_name.get(name)
    }

    /// Whether an override changes what the root and members ask for under this name.
    pub(super) fn overrides(&self, name: &str) -> bool {
        self.overrides.iter().any(|pattern| overridden_name(pattern) == name)
    }
}

/// The package that a key of `overrides` or `resolutions` is about: `a>@b/c@1` (pnpm) and `a/@b/c` (yarn) are about
/// `@b/c`.
///
/// Source: pnpm, `config/parse-overrides/src/index.ts`: a `>` after a blank, `|` or `@` belongs to a range.
pub(super) fn overridden_name(pattern: &str) -> &str {
    let bytes = pattern.as_bytes();
    let separates = |at: usize| bytes[at] == b'>' && at > 0 && !b" |@".contains(&bytes[at - 1]);
    let child = (0..bytes.len()).find(|at| separates(*at)).map_or(pattern, |at| &pattern[at + 1..]);
    let child = child.split_once(['>', '<', '=', ' ']).map_or(child, |(before, _)| before);
    let range = child.char_indices().find(|(at, c)| *c == '@' && *at > 0 && !child[..*at].ends_with('/'));
    let path = range.map_or(child, |(at, _)| &child[..at]);
    let scoped = path.rfind("/@").map(|slash| &path[slash + 1..]);
    match path.rsplit_once('/') {
        _ if path.starts_with('@') && path.matches('/').count() == 1 => path,
        Some((_, last)) => scoped.filter(|scoped| scoped.matches('/').count() == 1).unwrap_or(last),
        None => path,
    }
}

/// What a package.json asks for, by name: production over optional over development, as package managers have it.
pub(super) fn declared(package_json: &PackageJson) -> BTreeMap<&str, (DependencyKind, &str)> {
    let fields = [
        (DependencyKind::Development, &package_json.dev_dependencies),
        (DependencyKind::Optional, &package_json.optional_dependencies),
        (DependencyKind::Production, &package_json.dependencies),
    ];
    let all = fields.into_iter().flat_map(|(kind, field)| field.iter().map(move |edge| (kind, edge)));
    all.map(|(kind, (name, wanted))| (name.as_str(), (kind, wanted.as_str()))).collect()
}

/// The peers of a package.json.
pub(super) fn peers(package_json: &PackageJson) -> BTreeMap<String, Peer> {
    let peer = |optional| {
        move |(name, wanted): (&String, &String)| (name.clone(), Peer { specifier: wanted.clone(), optional })
    };
    let required = package_json.peer_dependencies.iter().map(peer(false));
    required.chain(package_json.optional_peers.iter().map(peer(true))).collect()
}

fn entries(value: Option<&Value>) -> Vec<(String, String)> {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

fn entries_or_objects(value: Option<&Value>) -> Vec<String> {
    value.and_then(Value::as_object).into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overrides_are_about() {
        let table = [
            ("a name", "a", "a"),
            ("with a scope", "@a/b", "@a/b"),
            ("a version", "a@1.0.0", "a"),
            ("a range with a sign", "a@>=1.0.0 <2", "a"),
            ("a range with a scope", "@a/b@<=7.29.0", "@a/b"),
            ("a parent, pnpm", "a@1>@b/c@^2", "@b/c"),
            ("a parent, yarn", "a/b", "b"),
            ("a parent with a scope", "@a/b/c", "c"),
            ("a child with a scope", "a/@b/c", "@b/c"),
            ("both with a scope", "@a/b/@c/d", "@c/d"),
            ("at any depth", "**/@a/b", "@a/b"),
            ("nothing", "", ""),
        ];
        for (comment, pattern, expected) in table {
            assert_eq!(overridden_name(pattern), expected, "{comment}");
        }
    }
}
