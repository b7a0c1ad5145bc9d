//! Yarn 1: `yarn.lock` with `# yarn lockfile v1`.
//!
//! The file says to what each `NAME@SPECIFIER` anybody asks for was resolved, so an edge is found by its own text.
//! Resolutions need no rules here: yarn puts what it overrides under the key that was asked for. Members are not in the
//! file; a member's edges come from its package.json, and what has no key but a member's name is that member.
//!
//! Source: yarn 1.22, `src/lockfile/index.js`, `src/package-resolver.js`, `src/resolution-map.js`.

use std::collections::BTreeMap;

use super::integrity::{Checksum, Hash, HashAlgorithm, Integrity};
use super::manifests::{Manifests, declared, overridden_name, peers};
use super::source::Source;
use super::yarn_syntax::{Block, parse as blocks};
use super::{DependencyKind, Edge, Importer, LockedPackage, Lockfile, LockfileProblem, PackageId, Target};
use crate::workspace::{PackageManager, WorkspacePath};

const VERSION: &str = "1";
const MARK: &str = "# yarn lockfile v";

/// Reads the text of the file.
pub(super) fn parse(text: &str, manifests: &Manifests) -> Result<Lockfile, LockfileProblem> {
    let stated = text.lines().find_map(|line| line.strip_prefix(MARK)).map(str::trim);
    if let Some(version) = stated.filter(|version| *version != VERSION) {
        return Err(LockfileProblem::UnknownVersion {
            version: version.to_owned(),
            understood: "version 1 of yarn's classic lockfile",
            upgrade: "yarn install",
        });
    }
    let blocks = blocks(text)?;
    let keys = blocks.iter().filter_map(|block| Some((block, block.keys.first()?)));
    let keys: BTreeMap<&str, &str> =
        keys.flat_map(|(block, id)| block.keys.iter().map(|key| (key.as_str(), id.as_str()))).collect();
    let mut lockfile = Lockfile::new(PackageManager::YarnClassic, VERSION);
    let mut reader = Reader { lockfile: &mut lockfile, keys, manifests };
    for block in &blocks {
        reader.package(block);
    }
    for (dir, package_json) in manifests.iter() {
        let mut importer = Importer { dependencies: BTreeMap::new(), peers: peers(package_json) };
        for (name, (kind, specifier)) in declared(package_json) {
            importer.dependencies.insert(name.to_owned(), reader.edge(dir, name, kind, specifier));
        }
        reader.lockfile.importers.insert(dir.clone(), importer);
    }
    Ok(lockfile)
}

struct Reader<'a> {
    lockfile: &'a mut Lockfile,
    /// Each key, and the first of its block.
    keys: BTreeMap<&'a str, &'a str>,
    manifests: &'a Manifests,
}

impl Reader<'_> {
    fn package(&mut self, block: &Block) {
        let Some(first) = block.keys.first() else { return };
        let specifiers = block.keys.iter().filter_map(|key| split_key(key));
        let alias = specifiers.clone().find_map(|(_, specifier)| alias_name(specifier));
        let name = alias.or_else(|| specifiers.clone().next().map(|(name, _)| name)).unwrap_or(first);
        let specifier = specifiers.clone().next().map_or("", |(_, specifier)| specifier);
        let root = WorkspacePath::default();
        let source = match (block.fields.get("resolved"), specifier.strip_prefix("file:")) {
            (Some(resolved), _) => Source::from_resolved(resolved),
            (None, Some(path)) => Source::from_path(&root, path),
            (None, None) => Source::Registry { tarball: None },
        };
        let mut package = LockedPackage::new(name, block.fields.get("version").cloned(), source);
        package.checksum = checksum(block);
        let kinds = [
            (DependencyKind::Production, &block.dependencies),
            (DependencyKind::Optional, &block.optional_dependencies),
        ];
        for (kind, dependencies) in kinds {
            for (name, specifier) in dependencies {
                package.dependencies.insert(name.clone(), self.edge(&root, name, kind, specifier));
            }
        }
        self.lockfile.packages.insert(PackageId::new(first), package);
    }

    /// `from` is the directory that relative paths start at.
    fn edge(&mut self, from: &WorkspacePath, name: &str, kind: DependencyKind, specifier: &str) -> Edge {
        let member = |name| self.manifests.named(name).cloned().map(Target::Member);
        let target = if let Some(path) = specifier.strip_prefix("link:") {
            self.lockfile.link(name, from.join(path), specifier, self.manifests)
        } else {
            let key = format!("{name}@{specifier}");
            let package = || self.keys.get(key.as_str()).map(|id| Target::Package(PackageId::new(*id)));
            let overridden = || {
                let resolutions = self.manifests.resolutions.iter();
                let mut keys = resolutions.filter(|(pattern, _)| overridden_name(pattern) == name);
                let id = keys.find_map(|(_, range)| self.keys.get(format!("{name}@{range}").as_str()))?;
                Some(Target::Package(PackageId::new(*id)))
            };
            package().or_else(|| member(name)).or_else(overridden).unwrap_or(Target::Absent)
        };
        Edge { kind, specifier: specifier.to_owned(), target }
    }
}

/// `NAME@SPECIFIER` in two; a name may begin with `@`.
fn split_key(key: &str) -> Option<(&str, &str)> {
    let at = key.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some((&key[..at], &key[at + 1..]))
}

/// The real name behind `npm:NAME@RANGE`.
fn alias_name(specifier: &str) -> Option<&str> {
    let target = specifier.strip_prefix("npm:")?;
    Some(split_key(target).map_or(target, |(name, _)| name))
}

/// `integrity`, and the SHA-1 behind `resolved`, which is all that old entries have.
fn checksum(block: &Block) -> Option<Checksum> {
    let integrity = block.fields.get("integrity").and_then(|text| Integrity::parse(text));
    let hex = block.fields.get("resolved").and_then(|resolved| resolved.split_once('#')).map(|(_, hex)| hex);
    let sha1 = hex.and_then(|hex| Hash::from_hex(HashAlgorithm::Sha1, hex));
    let is_commit =
        block.fields.get("resolved").is_some_and(|it| super::source::is_git(it.split('#').next().unwrap_or(it)));
    match (integrity, sha1.filter(|_| !is_commit)) {
        (Some(integrity), _) => Some(integrity),
        (None, Some(sha1)) => Some(Integrity::of(sha1)),
        (None, None) => None,
    }
    .map(Checksum::Tarball)
}

#[cfg(test)]
mod tests {
    use super::super::described::{all_edges, manifests, package};
    use super::*;

    #[test]
    fn edges_are_found_by_their_own_text() {
        let table: [(&str, &[(&str, &str)], &str, &[&str]); 7] = [
            (
                "merged keys, one of them with blanks",
                &[("", r#"{"dependencies":{"a":">= 1 < 2"},"devDependencies":{"b":"1"}}"#)],
                "\"a@>= 1 < 2\", a@^1:\n  version \"1.2.0\"\n\nb@1:\n  version \"1.0.0\"\n  dependencies:\n    a \"^1\"\n",
                &[". Production a: a@>= 1 < 2", ". Development b: b@1", "b@1 Production a: a@>= 1 < 2"],
            ),
            (
                "an alias",
                &[("", r#"{"dependencies":{"old":"npm:@s/a@1"}}"#)],
                "\"old@npm:@s/a@1\":\n  version \"1.2.0\"\n",
                &[". Production old: old@npm:@s/a@1"],
            ),
            (
                "members by their name, unless the registry's is asked for",
                &[
                    ("", r#"{"private":true}"#),
                    ("a", r#"{"name":"a","dependencies":{"b":"1.0.0"}}"#),
                    ("b", r#"{"name":"b","dependencies":{"a":"^0.1"}}"#),
                ],
                "a@^0.1:\n  version \"0.1.0\"\n",
                &["a Production b: member b", "b Production a: a@^0.1"],
            ),
            (
                "a resolution whose key yarn did not write",
                &[("", r#"{"dependencies":{"a":"1"},"resolutions":{"**/a":"2.0.0"}}"#)],
                "a@2.0.0:\n  version \"2.0.0\"\n",
                &[". Production a: a@2.0.0"],
            ),
            (
                "links are not in the file",
                &[("", r#"{"dependencies":{"a":"link:libs/a"}}"#)],
                "",
                &[". Production a: link:libs/a"],
            ),
            (
                "optional dependencies",
                &[("", r#"{"dependencies":{"a":"1"}}"#)],
                "a@1:\n  version \"1.0.0\"\n  optionalDependencies:\n    b \"1\"\n    c \"1\"\n\nb@1:\n  version \"1.0.0\"\n",
                &[". Production a: a@1", "a@1 Optional b: b@1", "a@1 Optional c: nothing"],
            ),
            ("out of date", &[("", r#"{"dependencies":{"a":"1"}}"#)], "", &[". Production a: nothing"]),
        ];
        for (comment, files, text, expected) in table {
            let lockfile = parse(text, &manifests(files)).unwrap();
            assert_eq!(all_edges(&lockfile), expected, "{comment}");
        }
    }

    #[test]
    fn what_a_block_says() {
        let text = "\"old@npm:a@1\":\n  version \"1.0.0\"\n  resolved \"https://r/a/-/a-1.0.0.tgz#da39a3ee5e6b4b0d3255bfef95601890afd80709\"\n\n\"g@git+https://h/g.git\":\n  version \"2.0.0\"\n  resolved \"git+https://h/g.git#da39a3ee5e6b4b0d3255bfef95601890afd80709\"\n";
        let lockfile = parse(text, &manifests(&[])).unwrap();
        let old = package(&lockfile, "old@npm:a@1");
        assert_eq!((old.label().as_str(), old.limits.is_none()), ("a@1.0.0", true));
        let hashes = |package: &LockedPackage| package.checksum.as_ref().map(|sum| sum.tarball().unwrap().to_string());
        assert_eq!(hashes(old).as_deref(), Some("sha1-2jmj7l5rSw0yVb/vlWAYkK/YBwk="));
        let git = package(&lockfile, "g@git+https://h/g.git");
        assert!(matches!(&git.source, Source::Git { commit: Some(_), .. }), "{:?}", git.source);
        assert_eq!(hashes(git), None, "a commit is no hash of a tarball");
        assert!(matches!(parse("# yarn lockfile v2\n", &manifests(&[])), Err(LockfileProblem::UnknownVersion { .. })));
    }
}
