//! A lockfile whose packages have places, and the closures of its members as a build computes them, with no tarball fetched.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use pirogue::closure::{
    DependencyClosure, EdgeKind, LockedProduction, NodeModules, NodePlatform, PlacedPackages, ProductionTree,
};
use pirogue::host::StatIndex;
use pirogue::path::HostPath;
use pirogue::workspace::lockfiles::{DependencyKind, LockedPackage, Lockfile, PackageId, Source, Target};
use pirogue::workspace::{Member, PackageJson, Workspace, WorkspacePath};

pub struct Placed {
    pub lockfile: Lockfile,
    pub production: LockedProduction,
    pub node_modules: NodeModules,
    platform: NodePlatform,
    workspace: Workspace,
    index: StatIndex,
    package_jsons: BTreeMap<PackageId, Arc<PackageJson>>,
}

impl Placed {
    pub fn new(lockfile: Lockfile, platform: &NodePlatform) -> Self {
        let production = LockedProduction::of(&lockfile, [platform]);
        let node_modules = NodeModules::of(&lockfile, &production).unwrap_or_else(|error| panic!("{error}"));
        let root = HostPath::new("/there is no such directory");
        let index = StatIndex::decode(&root, None, 0);
        let member = |dir: &WorkspacePath| Member { dir: dir.clone(), package_json: PackageJson::default() };
        let workspace = Workspace {
            root,
            package_json: PackageJson::default(),
            package_manager: lockfile.manager,
            members: lockfile.importers.keys().map(member).collect(),
        };
        let package_jsons = lockfile.packages.iter().map(|(id, it)| (id.clone(), Arc::new(package_json(it)))).collect();
        Self { lockfile, production, node_modules, platform: platform.clone(), workspace, index, package_jsons }
    }

    pub fn packages(&self) -> PlacedPackages<'_> {
        PlacedPackages::new(&self.workspace, &self.index, &self.lockfile, &self.node_modules, &self.package_jsons)
    }

    /// What a member needs.
    pub fn closure(&self, member: &str) -> DependencyClosure {
        let (packages, dir) = (self.packages(), WorkspacePath::new(member).unwrap());
        let production = ProductionTree::of(&packages, &self.platform).unwrap();
        let mut closure = DependencyClosure::declared(&dir, &packages, &production, &self.platform, false).unwrap();
        closure.members.remove(&dir);
        closure
    }

    /// The instances in a closure.
    pub fn ids(&self, closure: &DependencyClosure) -> BTreeSet<PackageId> {
        closure.packages.keys().map(|place| self.node_modules.id_at(place).unwrap().clone()).collect()
    }

    /// `NAME@VERSION` of these packages, without copies of members.
    pub fn labels<'a>(&self, ids: impl IntoIterator<Item = &'a PackageId>) -> BTreeSet<String> {
        let packages = ids.into_iter().map(|id| &self.lockfile.packages[id]);
        packages.filter(|it| !matches!(it.source, Source::Directory(_))).map(|it| it.label()).collect()
    }

    /// `NAME@VERSION` of what a closure holds, without copies of members.
    pub fn labels_of(&self, closure: &DependencyClosure) -> BTreeSet<String> {
        self.labels(&self.ids(closure))
    }

    /// Those of a closure that only optional dependencies lead to, of which the lockfile does not say for which platforms
    /// they are (yarn 1).
    pub fn undecided(&self, closure: &DependencyClosure) -> BTreeSet<PackageId> {
        let ids = self.ids(closure);
        let members = closure.members.keys().filter_map(|dir| self.lockfile.importers.get(dir));
        let edges = members.flat_map(|importer| importer.dependencies.values());
        let edges = edges.chain(ids.iter().flat_map(|id| self.lockfile.packages[id].dependencies.values()));
        let needed: BTreeSet<&PackageId> = edges
            .filter(|edge| edge.kind == DependencyKind::Production)
            .filter_map(|edge| if let Target::Package(id) = &edge.target { Some(id) } else { None })
            .collect();
        let of_member = |id: &PackageId| {
            closure.packages.iter().any(|(place, it)| {
                let kind =
                    matches!(&it.reason, pirogue::closure::Reason::Dependency { kind: EdgeKind::Production, .. });
                kind && self.node_modules.id_at(place) == Some(id)
            })
        };
        let is_undecided =
            |id: &PackageId| self.lockfile.packages[id].limits.is_none() && !needed.contains(id) && !of_member(id);
        ids.iter().filter(|id| is_undecided(id)).cloned().collect()
    }
}

/// What the lockfile knows of a package's package.json.
fn package_json(package: &LockedPackage) -> PackageJson {
    let limits = package.limits.clone().unwrap_or_default();
    PackageJson { name: Some(package.name.clone()), version: package.version.clone(), limits, ..PackageJson::default() }
}
