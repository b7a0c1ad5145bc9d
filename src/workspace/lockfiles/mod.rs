//! Lockfiles: what every package manager wrote down, in one normal form.
//!
//! A lockfile is read once, by the file of its format, into a [`Lockfile`]: for the root and each member an
//! [`Importer`] with its edges, for each resolved package instance a [`LockedPackage`] with its own. Edges lead to
//! packages by [`PackageId`] or to members by directory; what a format spreads over aliases, overrides, peer suffixes
//! and places under `node_modules` is resolved here and nowhere else.

mod bun;
mod error;
mod integrity;
mod jsonc;
mod limits;
mod locator;
mod manifests;
mod npm;
mod places;
mod pnpm;
mod pnpm_ref;
mod read;
mod source;
mod yaml;
mod yarn_berry;
mod yarn_classic;
mod yarn_syntax;

use std::collections::BTreeMap;
use std::fmt;

pub use error::{LockfileError, LockfileProblem, update_command};
pub use integrity::{Checksum, Hash, HashAlgorithm, Integrity, YarnCacheChecksum};
pub use limits::PlatformLimits;
pub use manifests::Manifests;
pub use source::{Patch, Source};

use super::{PackageManager, WorkspacePath};

/// A lockfile in normal form.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lockfile {
    /// Who wrote it.
    pub manager: PackageManager,
    /// The version of the format, as the file states it.
    pub version: String,
    /// The workspace's root and its members, by directory.
    pub importers: BTreeMap<WorkspacePath, Importer>,
    /// Every package instance.
    pub packages: BTreeMap<PackageId, LockedPackage>,
}

/// Names one resolved instance of a package in one lockfile. The text means nothing outside of it: two instances of one
/// name and version have two, where the lockfile gives them different peers or different places.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PackageId(String);

impl PackageId {
    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The lockfile's own text for the instance.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PackageId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The root or a member, as the lockfile sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Importer {
    /// What it depends on, by the name under which its code imports it.
    pub dependencies: BTreeMap<String, Edge>,
    /// Peers that the lockfile leaves to whoever depends on it.
    pub peers: BTreeMap<String, Peer>,
}

/// One instance of a package that is not developed in the workspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    /// The name it is published under, whatever alias leads to it.
    pub name: String,
    /// Its version; `None` for a directory whose version the lockfile does not state.
    pub version: Option<String>,
    /// Where it comes from.
    pub source: Source,
    /// What its bytes must be.
    pub checksum: Option<Checksum>,
    /// The platforms it is made for; `None` where the format does not say (yarn 1), so that only its package.json does.
    pub limits: Option<PlatformLimits>,
    /// Its commands and their files; `None` where the lockfile does not name them.
    pub bins: Option<BTreeMap<String, String>>,
    /// Whether it runs a script when it is installed; `None` where the lockfile does not say.
    pub has_install_script: Option<bool>,
    /// Whether it comes inside another package's tarball.
    pub bundled: bool,
    /// What it depends on, by the name under which its code imports it.
    pub dependencies: BTreeMap<String, Edge>,
    /// Peers that the lockfile leaves to whoever depends on it (yarn). Where a format resolves peers, they are edges.
    pub peers: BTreeMap<String, Peer>,
    /// The directories at which the lockfile puts it (npm); empty for formats that leave this to the installer.
    pub places: Vec<WorkspacePath>,
    /// What is changed in it after it was unpacked, in this order.
    pub patches: Vec<Patch>,
}

impl LockedPackage {
    fn new(name: impl Into<String>, version: Option<String>, source: Source) -> Self {
        Self {
            name: name.into(),
            version,
            source,
            checksum: None,
            limits: None,
            bins: None,
            has_install_script: None,
            bundled: false,
            dependencies: BTreeMap::new(),
            peers: BTreeMap::new(),
            places: Vec::new(),
            patches: Vec::new(),
        }
    }

    /// `name@version`, as people write it.
    pub fn label(&self) -> String {
        match &self.version {
            Some(version) => format!("{}@{version}", self.name),
            None => self.name.clone(),
        }
    }
}

/// A dependency and what it was resolved to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edge {
    /// By which field of package.json.
    pub kind: DependencyKind,
    /// The version range or specifier, as it was written.
    pub specifier: String,
    /// What it leads to.
    pub target: Target,
}

/// What an edge leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// An instance in the lockfile.
    Package(PackageId),
    /// The root or a member.
    Member(WorkspacePath),
    /// The lockfile has no entry. For an optional dependency or a peer that is normal; for any other the lockfile is
    /// damaged, which matters only to who needs it.
    Absent,
}

/// A peer that whoever depends on the package has to provide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    /// The version range.
    pub specifier: String,
    /// Whether the package can do without.
    pub optional: bool,
}

/// The field of package.json that an edge of a lockfile comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum DependencyKind {
    /// `dependencies`
    Production,
    /// `devDependencies`, of the root and of members only
    Development,
    /// `optionalDependencies`
    Optional,
    /// `peerDependencies`
    Peer,
    /// `peerDependencies` that are marked optional
    OptionalPeer,
}

impl Lockfile {
    fn new(manager: PackageManager, version: impl Into<String>) -> Self {
        Self { manager, version: version.into(), importers: BTreeMap::new(), packages: BTreeMap::new() }
    }

    /// What each package that a dependency of this name leads to is made for.
    pub fn limits_of(&self, name: &str) -> impl Iterator<Item = &PlatformLimits> {
        let of_packages = self.packages.values().map(|package| &package.dependencies);
        let edges = of_packages.chain(self.importers.values().map(|importer| &importer.dependencies));
        edges.filter_map(move |edges| match &edges.get(name)?.target {
            Target::Package(id) => self.packages.get(id)?.limits.as_ref(),
            _ => None,
        })
    }

    /// Adds a directory that is linked but no member, such as `link:` and `portal:` name it, and gives the edge's target.
    fn link(&mut self, name: &str, dir: Option<WorkspacePath>, written: &str, manifests: &Manifests) -> Target {
        let source = match dir {
            Some(dir) if manifests.contains(&dir) => return Target::Member(dir),
            Some(dir) => Source::Link(dir),
            None => Source::Outside(written.to_owned()),
        };
        let id = match &source {
            Source::Link(dir) => PackageId::new(format!("link:{dir}")),
            _ => PackageId::new(format!("{name}@{written}")),
        };
        self.packages.entry(id.clone()).or_insert_with(|| LockedPackage::new(name, None, source));
        Target::Package(id)
    }
}

#[cfg(test)]
mod described {
    use super::*;
    use crate::workspace::{Member, PackageJson};

    /// The workspace of a root and members: `(directory, package.json)`, the root's directory empty.
    pub fn manifests(files: &[(&str, &str)]) -> Manifests {
        let root = files.iter().find(|(dir, _)| dir.is_empty()).map_or("{}", |(_, text)| text);
        let members = files.iter().filter(|(dir, _)| !dir.is_empty()).map(|(dir, text)| Member {
            dir: WorkspacePath::new(dir).unwrap(),
            package_json: PackageJson::parse(text.as_bytes()).unwrap(),
        });
        Manifests::new(root.as_bytes(), &members.collect::<Vec<_>>())
    }

    fn edges(from: &str, dependencies: &BTreeMap<String, Edge>, lines: &mut Vec<String>) {
        for (name, edge) in dependencies {
            let target = match &edge.target {
                Target::Package(id) => id.to_string(),
                Target::Member(dir) => format!("member {dir}"),
                Target::Absent => "nothing".to_owned(),
            };
            lines.push(format!("{from} {:?} {name}: {target}", edge.kind));
        }
    }

    /// Every edge as `FROM KIND NAME: TARGET`, importers first.
    pub fn all_edges(lockfile: &Lockfile) -> Vec<String> {
        let mut lines = Vec::new();
        lockfile.importers.iter().for_each(|(dir, it)| edges(&dir.to_string(), &it.dependencies, &mut lines));
        lockfile.packages.iter().for_each(|(id, it)| edges(id.as_str(), &it.dependencies, &mut lines));
        lines
    }

    /// The package with this id.
    pub fn package<'a>(lockfile: &'a Lockfile, id: &str) -> &'a LockedPackage {
        lockfile.packages.get(&PackageId::new(id)).unwrap_or_else(|| panic!("{id}: {:?}", lockfile.packages.keys()))
    }
}
