use std::collections::BTreeMap;
use std::sync::Arc;

use super::installed::production_edges;
use super::{ClosureError, EdgeKind, InstalledPackages, NodeModules, Packages, ProductionEdge, ResolvedPackage};
use crate::host::StatIndex;
use crate::workspace::lockfiles::{DependencyKind, Edge, Lockfile, PackageId, Peer};
use crate::workspace::{PackageJson, PackageManager, Workspace, WorkspacePath};

/// The packages that a lockfile names, at the places they would be installed at. What they need, the lockfile says; what
/// they are, their own package.json.
pub struct PlacedPackages<'a> {
    lockfile: &'a Lockfile,
    node_modules: &'a NodeModules,
    package_jsons: &'a BTreeMap<PackageId, Arc<PackageJson>>,
    /// Members, and directories of the workspace that are used where they lie.
    on_disk: InstalledPackages<'a>,
}

impl<'a> PlacedPackages<'a> {
    /// The packages of `lockfile` at the places of `node_modules`. `package_jsons` are those of the packages that come from
    /// elsewhere than the workspace.
    pub fn new(
        workspace: &'a Workspace,
        index: &'a StatIndex,
        lockfile: &'a Lockfile,
        node_modules: &'a NodeModules,
        package_jsons: &'a BTreeMap<PackageId, Arc<PackageJson>>,
    ) -> Self {
        Self { lockfile, node_modules, package_jsons, on_disk: InstalledPackages::new(workspace, index) }
    }

    /// What the lockfile says of what lies in `dir`: its edges, and the peers it leaves open.
    fn locked(&self, dir: &WorkspacePath) -> Option<(&'a BTreeMap<String, Edge>, &'a BTreeMap<String, Peer>)> {
        match self.node_modules.id_at(dir) {
            Some(id) => self.lockfile.packages.get(id).map(|package| (&package.dependencies, &package.peers)),
            None => self.lockfile.importers.get(dir).map(|importer| (&importer.dependencies, &importer.peers)),
        }
    }
}

impl Packages for PlacedPackages<'_> {
    fn workspace(&self) -> &Workspace {
        self.on_disk.workspace()
    }

    fn index(&self) -> &StatIndex {
        self.on_disk.index()
    }

    fn resolve(&self, name: &str, from_dir: &WorkspacePath, _: &str) -> Result<Option<ResolvedPackage>, ClosureError> {
        Ok(self.node_modules.resolve(name, from_dir))
    }

    fn package_json(&self, dir: &WorkspacePath) -> Result<Arc<PackageJson>, ClosureError> {
        match self.node_modules.id_at(dir).and_then(|id| self.package_jsons.get(id)) {
            Some(package_json) => Ok(package_json.clone()),
            None => self.on_disk.package_json(dir),
        }
    }

    fn edges(&self, dir: &WorkspacePath) -> Result<Vec<ProductionEdge>, ClosureError> {
        let Some((dependencies, peers)) = self.locked(dir) else { return Ok(Vec::new()) };
        let locked = dependencies.iter().filter_map(|(name, edge)| {
            let kind = EdgeKind::of(edge.kind)?;
            Some(ProductionEdge { kind, name: name.clone(), wanted: edge.specifier.clone() })
        });
        let open = peers.iter().map(|(name, peer)| ProductionEdge {
            kind: if peer.optional { EdgeKind::OptionalPeer } else { EdgeKind::Peer },
            name: name.clone(),
            wanted: peer.specifier.clone(),
        });
        let mut edges: Vec<ProductionEdge> = locked.chain(open).collect();
        // Yarn 1 does not know peers: they are what lies where a package finds it.
        if self.lockfile.manager == PackageManager::YarnClassic && self.node_modules.id_at(dir).is_some() {
            let is_peer = |edge: &ProductionEdge| matches!(edge.kind, EdgeKind::Peer | EdgeKind::OptionalPeer);
            edges.extend(production_edges(&*self.package_json(dir)?).filter(is_peer));
        }
        edges.sort();
        Ok(edges)
    }
}

impl EdgeKind {
    /// The kind of an edge of a lockfile; `None` for one that counts in development only.
    pub(super) fn of(kind: DependencyKind) -> Option<Self> {
        match kind {
            DependencyKind::Development => None,
            DependencyKind::Production => Some(Self::Production),
            DependencyKind::Optional => Some(Self::Optional),
            DependencyKind::Peer => Some(Self::Peer),
            DependencyKind::OptionalPeer => Some(Self::OptionalPeer),
        }
    }
}
