//! The walk along production edges, breadth first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{
    ClosureError, ClosurePackage, DependencyClosure, EdgeKind, Exclusion, ExclusionReason, InstalledPackages,
    ProductionTree, Reason, ResolvedPackage,
};
use crate::platform::Platform;
use crate::workspace::{PackageJson, WorkspacePath};

/// What a walk does at the edges where services and the whole workspace differ.
pub(super) struct Walk<'a> {
    pub installed: &'a InstalledPackages<'a>,
    pub platform: &'a Platform,
    /// The packages that a production install of the workspace would hold; optional peers are taken only from there.
    /// `None` for the walk that finds out what these are, which takes no optional peer.
    pub production: Option<&'a ProductionTree>,
    /// Whether a dependency that is not installed is an error.
    pub strict: bool,
    pub closure: DependencyClosure,
    queue: VecDeque<WorkspacePath>,
}

impl<'a> Walk<'a> {
    pub fn new(
        installed: &'a InstalledPackages<'a>,
        platform: &'a Platform,
        production: Option<&'a ProductionTree>,
    ) -> Self {
        let strict = production.is_some();
        Self { installed, platform, production, strict, closure: DependencyClosure::default(), queue: VecDeque::new() }
    }

    /// Walks from the package or member in `dir` to everything it needs. `dir` itself does not join the closure.
    pub fn from(&mut self, dir: WorkspacePath) -> Result<(), ClosureError> {
        self.queue.push_back(dir);
        while let Some(dir) = self.queue.pop_front() {
            self.follow_edges_of(&dir)?;
        }
        Ok(())
    }

    /// Adds what was found as `resolved`, and walks on from it if it is new.
    pub fn add(&mut self, resolved: ResolvedPackage, reason: Reason) -> Result<(), ClosureError> {
        self.join(resolved, reason)?;
        while let Some(dir) = self.queue.pop_front() {
            self.follow_edges_of(&dir)?;
        }
        Ok(())
    }

    fn follow_edges_of(&mut self, dir: &WorkspacePath) -> Result<(), ClosureError> {
        let package_json = self.installed.package_json(dir)?;
        let from = package_json.label();
        for (kind, edges) in edges(&package_json) {
            for (name, wanted) in edges {
                self.follow(dir, &from, kind, name, wanted)?;
            }
        }
        Ok(())
    }

    fn follow(
        &mut self,
        dir: &WorkspacePath,
        from: &str,
        kind: EdgeKind,
        name: &str,
        wanted: &str,
    ) -> Result<(), ClosureError> {
        let exclusion = |why| Exclusion { name: name.to_owned(), from: from.to_owned(), why };
        let Some(resolved) = self.installed.resolve(name, dir, from)? else {
            if kind == EdgeKind::Production && self.strict {
                return Err(ClosureError::UnresolvedDependency {
                    from: from.to_owned(),
                    name: name.to_owned(),
                    wanted: wanted.to_owned(),
                    install: self.installed.workspace().package_manager.install_command(),
                });
            }
            self.closure.excluded.insert(exclusion(ExclusionReason::NotInstalled));
            return Ok(());
        };
        if matches!(kind, EdgeKind::Optional | EdgeKind::OptionalPeer) && self.is_placeholder(&resolved.dir)? {
            self.closure.excluded.insert(exclusion(ExclusionReason::NotInstalled));
            return Ok(());
        }
        if kind == EdgeKind::Optional && !self.runs_on_platform(&resolved.dir)? {
            self.closure.excluded.insert(exclusion(ExclusionReason::OtherPlatform));
            return Ok(());
        }
        if kind == EdgeKind::OptionalPeer && !self.production.is_some_and(|tree| tree.holds(&resolved.dir)) {
            self.closure.excluded.insert(exclusion(ExclusionReason::DevelopmentOnly));
            return Ok(());
        }
        self.join(resolved, Reason::Dependency { from: from.to_owned(), kind })
    }

    fn join(&mut self, resolved: ResolvedPackage, reason: Reason) -> Result<(), ClosureError> {
        let ResolvedPackage { found_at, dir } = resolved;
        if found_at != dir {
            self.closure.links.insert(found_at, dir.clone());
        }
        if self.installed.workspace().member_at(&dir).is_some() {
            if !self.closure.members.contains_key(&dir) {
                self.closure.members.insert(dir.clone(), reason);
                self.queue.push_back(dir);
            }
        } else if !self.closure.packages.contains_key(&dir) {
            let package_json = self.installed.package_json(&dir)?;
            self.closure.packages.insert(dir.clone(), ClosurePackage { package_json, reason });
            self.queue.push_back(dir);
        }
        Ok(())
    }

    /// Whether an installer put a name there instead of a package, as yarn's pnpm linker does for optional packages of other
    /// platforms. What is published has a version.
    fn is_placeholder(&self, dir: &WorkspacePath) -> Result<bool, ClosureError> {
        let is_member = self.installed.workspace().member_at(dir).is_some();
        Ok(!is_member && self.installed.package_json(dir)?.version.is_none())
    }

    fn runs_on_platform(&self, dir: &WorkspacePath) -> Result<bool, ClosureError> {
        let cpu = node_cpu(self.platform);
        Ok(self.installed.package_json(dir)?.runs_on(&self.platform.os, cpu))
    }
}

/// The processor in the words of Node, which npm's `cpu` field uses. Source: Node's documentation, `process.arch`.
pub(super) fn node_cpu(platform: &Platform) -> &str {
    match platform.architecture.as_str() {
        "amd64" => "x64",
        "386" => "ia32",
        "ppc64le" => "ppc64",
        other => other,
    }
}

type Edges<'p> = &'p BTreeMap<String, String>;

/// The production edges of a package, by kind.
fn edges(package_json: &PackageJson) -> [(EdgeKind, Edges<'_>); 4] {
    [
        (EdgeKind::Production, &package_json.dependencies),
        (EdgeKind::Optional, &package_json.optional_dependencies),
        (EdgeKind::Peer, &package_json.peer_dependencies),
        (EdgeKind::OptionalPeer, &package_json.optional_peers),
    ]
}

/// The directories of `closure`, of packages and members alike.
pub(super) fn directories(closure: &DependencyClosure) -> BTreeSet<WorkspacePath> {
    closure.packages.keys().chain(closure.members.keys()).cloned().collect()
}
