use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use super::{ClosureError, EdgeKind, Packages, ProductionEdge, ResolvedPackage};
use crate::host::{self, StatIndex};
use crate::workspace::{PackageJson, Workspace, WorkspaceError, WorkspacePath};

/// The name of the reader of package.json files, for the index. It changes when [`PackageJson`] does.
const READER: &str = "package.json 2";

/// The packages under the `node_modules` directories of a workspace, found as Node finds them. Remembers what it read.
pub struct InstalledPackages<'a> {
    workspace: &'a Workspace,
    index: &'a StatIndex,
    package_jsons: Mutex<HashMap<WorkspacePath, Arc<PackageJson>>>,
    resolved: Mutex<HashMap<(WorkspacePath, String), Option<ResolvedPackage>>>,
    folders: Mutex<HashMap<PathBuf, Folder>>,
}

/// What lies where a folder of packages may be: a `node_modules`, or a scope in it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Folder {
    Missing,
    Real,
    Link,
}

impl<'a> InstalledPackages<'a> {
    /// The packages installed in `workspace`, whose files `index` knows.
    pub fn new(workspace: &'a Workspace, index: &'a StatIndex) -> Self {
        Self {
            workspace,
            index,
            package_jsons: Mutex::default(),
            resolved: Mutex::default(),
            folders: Mutex::default(),
        }
    }

    fn look_at(&self, place: WorkspacePath, name: &str, from: &str) -> Result<Option<ResolvedPackage>, ClosureError> {
        let on_host = self.workspace.on_host(&place);
        let Some(stamp) = host::stamp(&on_host)? else { return Ok(None) };
        if stamp.is_dir() && self.is_reached_without_links(&place)? {
            return Ok(Some(ResolvedPackage { dir: place.clone(), found_at: place }));
        }
        let Some(metadata) = host::metadata(&on_host)? else { return Ok(None) };
        if !metadata.is_dir() {
            return Ok(None);
        }
        let real = host::canonical(&on_host)?;
        let dir = self.workspace.from_host(&real).ok_or_else(|| ClosureError::OutsideWorkspace {
            from: from.to_owned(),
            name: name.to_owned(),
            target: real.to_string(),
        })?;
        Ok(Some(ResolvedPackage { found_at: place, dir }))
    }

    /// Whether neither the scope nor the `node_modules` that the package at `place` lies in is a link. What is above them
    /// is a real directory.
    fn is_reached_without_links(&self, place: &WorkspacePath) -> Result<bool, ClosureError> {
        for folder in place.as_path().ancestors().skip(1) {
            if self.folder(folder)? != Folder::Real {
                return Ok(false);
            }
            if folder.file_name().is_some_and(|name| name == "node_modules") {
                break;
            }
        }
        Ok(true)
    }

    fn folder(&self, path: &Path) -> Result<Folder, ClosureError> {
        if let Some(known) = lock(&self.folders).get(path) {
            return Ok(*known);
        }
        let folder = match host::stamp(&self.workspace.root.join(path))? {
            Some(stamp) if stamp.is_dir() => Folder::Real,
            Some(stamp) if stamp.is_symlink() => Folder::Link,
            _ => Folder::Missing,
        };
        lock(&self.folders).insert(path.to_owned(), folder);
        Ok(folder)
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
            let folder = dir.join("node_modules");
            if self.folder(&folder)? == Folder::Missing {
                continue;
            }
            let Some(place) = WorkspacePath::new(folder.join(name)) else { break };
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
