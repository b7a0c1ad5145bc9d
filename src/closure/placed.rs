use std::collections::BTreeMap;
use std::sync::Arc;

use super::installed::production_edges;
use super::{ClosureError, EdgeKind, InstalledPackages, NodeModules, Packages, ProductionEdge, ResolvedPackage};
use crate::host::StatIndex;
use crate::workspace::lockfiles::{Edge, Lockfile, PackageId, Peer, Target, update_command};
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

    /// Whether what was found is the very package that the lockfile has as `name` for what lies in `dir`, if it has one.
    fn is_locked(&self, name: &str, dir: &WorkspacePath, found: &ResolvedPackage) -> bool {
        let edge = self.locked(dir).and_then(|(dependencies, _)| dependencies.get(name));
        match edge.map(|edge| &edge.target) {
            Some(Target::Package(id)) => self.node_modules.id_at(&found.dir) == Some(id),
            _ => true,
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

    fn unresolved(&self, from: &str, name: &str, wanted: &str) -> ClosureError {
        let (from, name, wanted) = (from.to_owned(), name.to_owned(), wanted.to_owned());
        ClosureError::NotLocked { from, name, wanted, update: update_command(self.lockfile.manager) }
    }

    /// What only development installs has no place, and another version of it may lie where its own would be found.
    fn target(
        &self,
        edge: &ProductionEdge,
        dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        let found = self.resolve(&edge.name, dir, from)?;
        Ok(found.filter(|found| edge.kind == EdgeKind::Production || self.is_locked(&edge.name, dir, found)))
    }

    /// The same holds of what the code of a member imports.
    fn imported(
        &self,
        name: &str,
        member: &WorkspacePath,
        from_dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        let found = self.resolve(name, from_dir, from)?;
        Ok(found.filter(|found| self.is_locked(name, member, found)))
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::{DependencyClosure, LockedProduction, NodePlatform, ProductionTree};
    use super::*;
    use crate::path::HostPath;
    use crate::workspace::ShippedFiles;

    #[test]
    fn what_is_for_development_is_no_other_version() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("package.json", r#"{"name":"shop","dependencies":{"top":"1"}}"#);
        write("pnpm-workspace.yaml", "packages: ['apps/*']\n");
        write("apps/web/package.json", r#"{"name":"web","dependencies":{"a":"1"},"devDependencies":{"p":"2"}}"#);
        write("apps/web/dist/main.js", "require('p');\nrequire('q');\n");
        write("apps/web/dist/main.test.js", "require('p');\n");
        let resolution = "    resolution: {integrity: sha512-x}\n";
        let lockfile = format!(
            "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      top:\n        specifier: '1'\n        \
             version: 1.0.0\n  apps/web:\n    dependencies:\n      a:\n        specifier: '1'\n        version: \
             1.0.0(p@2.0.0)\n    devDependencies:\n      p:\n        specifier: '2'\n        version: 2.0.0\n\
             packages:\n  a@1.0.0:\n{resolution}    peerDependencies:\n      p: '2'\n    peerDependenciesMeta:\n      \
             p:\n        optional: true\n  p@1.0.0:\n{resolution}  p@2.0.0:\n{resolution}  top@1.0.0:\n{resolution}\
             snapshots:\n  a@1.0.0(p@2.0.0):\n    optionalDependencies:\n      p: 2.0.0\n  p@1.0.0: {{}}\n  p@2.0.0: \
             {{}}\n  top@1.0.0:\n    dependencies:\n      p: 1.0.0\n"
        );
        write("pnpm-lock.yaml", &lockfile);
        let workspace = Workspace::discover(&HostPath::new(root.path())).unwrap();
        let lockfile = Lockfile::read(&workspace).unwrap();
        let platform = NodePlatform { os: "linux".to_owned(), cpu: "x64".to_owned(), libc: None };
        let locked = LockedProduction::of(&lockfile, [&platform]);
        let package_jsons = locked.packages.iter().map(|id| (id.clone(), Arc::default())).collect();
        let web = WorkspacePath::new("apps/web").unwrap();
        let node_modules = NodeModules::of(&lockfile, &locked).unwrap();
        let index = StatIndex::decode(&workspace.root, None, 0);
        let packages = PlacedPackages::new(&workspace, &index, &lockfile, &node_modules, &package_jsons);
        let production = ProductionTree::of(&packages, &platform).unwrap();
        let held: Vec<String> = production.packages().map(|(dir, _)| dir.to_string()).collect();
        assert_eq!(held, ["node_modules/a", "node_modules/p", "node_modules/top"]);
        let closure = DependencyClosure::declared(&web, &packages, &production, &platform, false).unwrap();
        let found: Vec<String> = closure.packages.keys().map(ToString::to_string).collect();
        assert_eq!(found, ["node_modules/a"]);
        assert!(closure.excluded.iter().any(|exclusion| exclusion.name == "p"));

        let (services, _) = workspace.services(|_| None, None).unwrap();
        let (service, member) = (&services[0], workspace.member_at(&web).unwrap());
        let file = &service.entry_point.file;
        let shipped = ShippedFiles::of_service(member, &workspace.on_host(&web), file, &[], &[]).unwrap();
        let closure = DependencyClosure::of(service, &shipped, &packages, &production, &platform, false).unwrap();
        let found: Vec<String> = closure.packages.keys().map(ToString::to_string).collect();
        assert_eq!(found, ["node_modules/a"]);
        let expected = [
            "`p` is imported by apps/web/dist/main.js:1 and one more file, but needed for development only, so it is left \
             out",
            "`q` is imported by apps/web/dist/main.js:2, but not installed",
        ];
        assert_eq!(closure.warnings.iter().collect::<Vec<_>>(), expected);
    }
}
