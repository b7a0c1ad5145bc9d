use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock};

use super::real_directories::{RealDirectories, RealDirectory};
use super::{ClosureError, EdgeKind, NodePlatform, Packages, ProductionEdge, ResolvedPackage};
use crate::host::StatIndex;
use crate::workspace::lockfiles::{Lockfile, PlatformLimits};
use crate::workspace::{PackageJson, PackageManager, Workspace, WorkspaceError, WorkspacePath};

/// The name of the reader of package.json files, for the index. It changes when [`PackageJson`] does.
const READER: &str = "package.json 3";

/// The packages under the `node_modules` directories of a workspace, found as Node finds them. Remembers what it read.
pub struct InstalledPackages<'a> {
    workspace: &'a Workspace,
    index: &'a StatIndex,
    package_jsons: Mutex<HashMap<WorkspacePath, Arc<PackageJson>>>,
    resolved: Mutex<HashMap<(WorkspacePath, String), Option<ResolvedPackage>>>,
    directories: RealDirectories<'a>,
    /// Read when something is missing; `None` where it cannot be read.
    lockfile: OnceLock<Option<Lockfile>>,
}

impl<'a> InstalledPackages<'a> {
    /// The packages installed in `workspace`, whose files `index` knows.
    pub fn new(workspace: &'a Workspace, index: &'a StatIndex) -> Self {
        Self {
            workspace,
            index,
            package_jsons: Mutex::default(),
            resolved: Mutex::default(),
            directories: RealDirectories::new(workspace),
            lockfile: OnceLock::new(),
        }
    }

    fn look_at(&self, place: WorkspacePath, name: &str, from: &str) -> Result<Option<ResolvedPackage>, ClosureError> {
        match self.directories.of(&place)? {
            RealDirectory::Missing => Ok(None),
            RealDirectory::Inside(dir) => Ok(Some(ResolvedPackage { found_at: place, dir })),
            RealDirectory::Outside(target) => Err(ClosureError::OutsideWorkspace {
                from: from.to_owned(),
                name: name.to_owned(),
                target: target.to_string(),
            }),
        }
    }
}

impl Packages for InstalledPackages<'_> {
    fn workspace(&self) -> &Workspace {
        self.workspace
    }

    fn index(&self) -> &StatIndex {
        self.index
    }

    fn resolve(
        &self,
        name: &str,
        from_dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        let key = (from_dir.clone(), name.to_owned());
        if let Some(known) = lock(&self.resolved).get(&key) {
            return Ok(known.clone());
        }
        let mut found = None;
        for dir in from_dir.as_path().ancestors() {
            if dir.file_name().is_some_and(|last| last == "node_modules") {
                continue;
            }
            let Some(folder) = WorkspacePath::new(dir.join("node_modules")) else { break };
            if self.directories.of(&folder)? == RealDirectory::Missing {
                continue;
            }
            let Some(place) = WorkspacePath::new(folder.as_path().join(name)) else { break };
            found = self.look_at(place, name, from)?;
            if found.is_some() {
                break;
            }
        }
        lock(&self.resolved).insert(key, found.clone());
        Ok(found)
    }

    fn package_json(&self, dir: &WorkspacePath) -> Result<Arc<PackageJson>, ClosureError> {
        if let Some(known) = lock(&self.package_jsons).get(dir) {
            return Ok(known.clone());
        }
        let path = self.workspace.on_host(dir).join("package.json");
        let read = self.index.derived(&path, READER, PackageJson::parse)?.transpose();
        let read = read.map_err(|reason| WorkspaceError::InvalidPackageJson { path, reason })?;
        let package_json = Arc::new(read.unwrap_or_default());
        lock(&self.package_jsons).insert(dir.clone(), package_json.clone());
        Ok(package_json)
    }

    fn edges(&self, dir: &WorkspacePath) -> Result<Vec<ProductionEdge>, ClosureError> {
        Ok(production_edges(&*self.package_json(dir)?).collect())
    }

    fn unresolved(&self, from: &str, name: &str, wanted: &str) -> ClosureError {
        let (from, name, wanted) = (from.to_owned(), name.to_owned(), wanted.to_owned());
        let install = self.workspace.package_manager.install_command();
        ClosureError::UnresolvedDependency { from, name, wanted, install }
    }

    /// Yarn 2 and later say in their lockfile which packages they leave out. Where it cannot be read, what is missing is
    /// missing.
    fn is_left_out(&self, name: &str, platform: &NodePlatform) -> bool {
        if self.workspace.package_manager != PackageManager::YarnBerry {
            return false;
        }
        let lockfile = self.lockfile.get_or_init(|| Lockfile::read(self.workspace).ok());
        lockfile.as_ref().is_some_and(|lockfile| {
            let limits: Vec<&PlatformLimits> = lockfile.limits_of(name).collect();
            !limits.is_empty() && limits.into_iter().all(|limits| !platform.suits(limits))
        })
    }

    /// pnpm keeps packages at `STORE/ID/node_modules/NAME`. What it hoists is found from the store: in
    /// `STORE/node_modules`, or in that of the root (`shamefully-hoist`).
    fn hoisted_link(&self, dir: &WorkspacePath) -> Result<Option<WorkspacePath>, ClosureError> {
        let Some((folder, name)) = slot(dir.as_path()) else { return Ok(None) };
        let Some(store) = folder.ancestors().nth(2).and_then(WorkspacePath::new) else { return Ok(None) };
        match self.resolve(&name, &store, &dir.to_string()) {
            // Another package of that name, which nobody has to find.
            Err(ClosureError::OutsideWorkspace { .. }) => Ok(None),
            found => Ok(found?.filter(|found| found.dir == *dir && found.found_at != *dir).map(|found| found.found_at)),
        }
    }
}

/// The `node_modules` that a directory of a package lies in, and the name it has there.
fn slot(dir: &Path) -> Option<(&Path, String)> {
    let folder = dir.ancestors().skip(1).find(|above| above.file_name().is_some_and(|last| last == "node_modules"))?;
    let name = dir.strip_prefix(folder).ok()?.to_str()?;
    let names = if name.starts_with('@') { 2 } else { 1 };
    (name.split('/').count() == names).then(|| (folder, name.to_owned()))
}

/// The edges that a package.json declares and that count in production.
pub(super) fn production_edges(package_json: &PackageJson) -> impl Iterator<Item = ProductionEdge> {
    let fields = [
        (EdgeKind::Production, &package_json.dependencies),
        (EdgeKind::Optional, &package_json.optional_dependencies),
        (EdgeKind::Peer, &package_json.peer_dependencies),
        (EdgeKind::OptionalPeer, &package_json.optional_peers),
    ];
    let edge = |kind| {
        move |(name, wanted): (&String, &String)| ProductionEdge { kind, name: name.clone(), wanted: wanted.clone() }
    };
    fields.into_iter().flat_map(move |(kind, field)| field.iter().map(edge(kind)))
}

/// What was remembered is whole even if a thread died while it held the lock: entries are inserted in one step.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::super::{DependencyClosure, NodePlatform, ProductionTree};
    use super::*;
    use crate::path::HostPath;

    #[test]
    fn what_pnpm_hoists_is_found_by_all_packages() {
        let root = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        write("package.json", r#"{"name":"shop"}"#);
        write("pnpm-workspace.yaml", "packages: ['apps/*']\n");
        write("apps/web/package.json", r#"{"name":"web","dependencies":{"a":"1"}}"#);
        let store = "node_modules/.pnpm";
        let packages = [
            ("a@1", "a", r#"{"@s/c":"1","b":"1","d":"1"}"#),
            ("b@1", "b", "{}"),
            ("b@2", "b", "{}"),
            ("@s+c@1", "@s/c", "{}"),
            ("d@1", "d", r#"{"b":"2"}"#),
            ("e@1", "e", "{}"),
        ];
        for (id, name, dependencies) in packages {
            let package_json = format!(r#"{{"name":"{name}","version":"1.0.0","dependencies":{dependencies}}}"#);
            write(&format!("{store}/{id}/node_modules/{name}/package.json"), &package_json);
        }
        let link = |place: &str, id: &str, name: &str| {
            let place = root.path().join(place);
            fs::create_dir_all(place.parent().unwrap()).unwrap();
            symlink(root.path().join(format!("{store}/{id}/node_modules/{name}")), place).unwrap();
        };
        let declared = [
            ("apps/web/node_modules/a", "a@1", "a"),
            ("node_modules/.pnpm/a@1/node_modules/@s/c", "@s+c@1", "@s/c"),
            ("node_modules/.pnpm/a@1/node_modules/b", "b@1", "b"),
            ("node_modules/.pnpm/a@1/node_modules/d", "d@1", "d"),
            ("node_modules/.pnpm/d@1/node_modules/b", "b@2", "b"),
        ];
        let hoisted = [
            ("node_modules/.pnpm/node_modules/@s/c", "@s+c@1", "@s/c"),
            ("node_modules/.pnpm/node_modules/b", "b@1", "b"),
            ("node_modules/d", "d@1", "d"),
        ];
        let of_others = [("node_modules/.pnpm/node_modules/e", "e@1", "e")];
        for (place, id, name) in declared.iter().chain(&hoisted).chain(&of_others) {
            link(place, id, name);
        }
        let workspace = Workspace::discover(&HostPath::new(root.path().canonicalize().unwrap())).unwrap();
        let index = StatIndex::decode(&workspace.root, None, 0);
        let installed = InstalledPackages::new(&workspace, &index);
        let platform = NodePlatform { os: "linux".to_owned(), cpu: "x64".to_owned(), libc: None };
        let production = ProductionTree::of(&installed, &platform).unwrap();
        let web = WorkspacePath::new("apps/web").unwrap();
        let closure = DependencyClosure::declared(&web, &installed, &production, &platform, false).unwrap();
        let found: Vec<String> = closure.links.keys().map(ToString::to_string).collect();
        let mut expected: Vec<&str> = declared.iter().chain(&hoisted).map(|(place, ..)| *place).collect();
        expected.sort_by_key(|place| WorkspacePath::new(place));
        assert_eq!(found, expected);
    }
}
