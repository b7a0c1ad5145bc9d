//! The step that does without an installation: from the lockfile to a `node_modules` whose contents lie in tarballs.

mod error;
mod install_script;
mod installed_copy;
mod patched;
mod tarballs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use error::LockedError;
use install_script::InstallScript;
use installed_copy::installed_copy;
use patched::{is_patched, patched};
use tarballs::{ReadTarball, Tarballs};
use tokio::task::block_in_place;

use super::{BuildError, Context};
use crate::closure::{LockedClosure, NodeModules, NodePlatform, PlacedPackages};
use crate::config::Settings;
use crate::host::{self, StatIndex};
use crate::layer::{Collector, Entry, FileTree, LayerPlan, Owner};
use crate::path::ImagePath;
use crate::workspace::lockfiles::{LockedPackage, Lockfile, PackageId, PlatformLimits, Source};
use crate::workspace::{PackageJson, PackageManager, Workspace, WorkspacePath, commands};

/// The packages that a lockfile names, with all that an image needs of them.
pub(super) struct LockedPackages {
    lockfile: Lockfile,
    node_modules: NodeModules,
    contents: BTreeMap<PackageId, Contents>,
    package_jsons: BTreeMap<PackageId, Arc<PackageJson>>,
    tarballs: Tarballs,
}

/// Where the files of a package are.
#[derive(Clone)]
enum Contents {
    /// In a tarball.
    Tarball(Arc<ReadTarball>),
    /// In a directory of the workspace: what a `file:` names, or an installed copy.
    Directory(WorkspacePath),
    /// In the tarball of the package in whose `node_modules` it lies.
    Bundled,
}

/// Brings everything that the lockfile names for these platforms into the store, and finds its place.
pub(super) async fn provide(
    workspace: &Workspace,
    settings: &Settings,
    platforms: &BTreeSet<NodePlatform>,
    context: &Context,
) -> Result<LockedPackages, BuildError> {
    let lockfile = block_in_place(|| Lockfile::read(workspace))?;
    let tarballs = Tarballs::new(workspace, lockfile.manager, settings, context)?;
    let (node_modules, contents, package_jsons) = Default::default();
    let mut locked = LockedPackages { lockfile, node_modules, contents, package_jsons, tarballs };
    let closure = loop {
        let closure = locked.closure(platforms)?;
        let unknown: Vec<&PackageId> =
            closure.packages.keys().filter(|id| !locked.contents.contains_key(*id)).collect();
        if unknown.is_empty() {
            break closure;
        }
        locked.look_at(unknown.into_iter().cloned().collect(), workspace, settings, context).await?;
    };
    locked.refuse_install_scripts(&closure, settings, platforms)?;
    let members = locked.lockfile.importers.keys().map(|dir| (dir.clone(), LockedClosure::default()));
    let mut closures: BTreeMap<WorkspacePath, LockedClosure> = members.collect();
    closures.insert(WorkspacePath::default(), closure);
    locked.node_modules = block_in_place(|| NodeModules::of(&locked.lockfile, &closures))?;
    Ok(locked)
}

/// Yarn 2 and later let every package depend on it whose scripts name it or `prebuild-install`, to run them. Nothing is run
/// here.
///
/// Source: yarn 4, `packages/plugin-npm/sources/NpmSemverResolver.ts`, `resolve`.
const NODE_GYP: &str = "node-gyp";

/// Corrects what a lockfile says of a package by what its package.json says.
fn correct(package: &mut LockedPackage, manager: PackageManager, package_json: &PackageJson) {
    let limits = || PlatformLimits {
        os: package_json.os.clone(),
        cpu: package_json.cpu.clone(),
        libc: package_json.libc.clone(),
    };
    package.limits.get_or_insert_with(limits);
    let fields = [&package_json.dependencies, &package_json.optional_dependencies, &package_json.peer_dependencies];
    if manager == PackageManager::YarnBerry && !fields.iter().any(|field| field.contains_key(NODE_GYP)) {
        package.dependencies.remove(NODE_GYP);
    }
}

impl LockedPackages {
    /// The packages at their places, as closures are computed of them.
    pub fn placed<'a>(&'a self, workspace: &'a Workspace, index: &'a StatIndex) -> PlacedPackages<'a> {
        PlacedPackages::new(workspace, index, &self.lockfile, &self.node_modules, &self.package_jsons)
    }

    /// What a production install holds, on any of the platforms.
    fn closure(&self, platforms: &BTreeSet<NodePlatform>) -> Result<LockedClosure, BuildError> {
        let mut all = LockedClosure::default();
        for platform in platforms {
            let closure = block_in_place(|| LockedClosure::of_workspace(&self.lockfile, platform))?;
            all.packages.extend(closure.packages);
            all.members.extend(closure.members);
        }
        Ok(all)
    }

    /// Learns of packages what their own files say.
    async fn look_at(
        &mut self,
        unknown: Vec<PackageId>,
        workspace: &Workspace,
        settings: &Settings,
        context: &Context,
    ) -> Result<(), BuildError> {
        let mut fetched = Vec::new();
        for id in unknown {
            let Some(package) = self.lockfile.packages.get(&id) else { continue };
            let from_installed = settings.package.get(&package.name).is_some_and(|own| own.from_installed);
            let contents = match &package.source {
                _ if package.bundled => Contents::Bundled,
                _ if from_installed => Contents::Directory(installed_copy(workspace, package)?),
                Source::Directory(dir) | Source::Link(dir) => Contents::Directory(dir.clone()),
                _ => {
                    fetched.push(id);
                    continue;
                }
            };
            if let Contents::Directory(dir) = &contents {
                let path = workspace.on_host(dir).join("package.json");
                let package_json = PackageJson::read(&path)?.unwrap_or_default();
                self.complete(&id, Arc::new(package_json));
            }
            self.contents.insert(id, contents);
        }
        let packages: Vec<&LockedPackage> = fetched.iter().filter_map(|id| self.lockfile.packages.get(id)).collect();
        let read = self.tarballs.read_all(&packages, context).await?;
        for (id, mut tarball) in fetched.into_iter().zip(read) {
            if let Some(package) = self.lockfile.packages.get(&id).filter(|package| is_patched(package)) {
                self.tarballs.have(std::iter::once((package, tarball.as_ref())), context).await?;
                let manager = self.lockfile.manager;
                tarball = Arc::new(block_in_place(|| patched(package, &tarball, workspace, manager))?);
            }
            let package_json = tarball.package_json.clone();
            self.contents.insert(id.clone(), Contents::Tarball(tarball));
            self.complete(&id, package_json);
        }
        Ok(())
    }

    /// Fills in what the lockfile does not say (yarn 1 does not know platforms), and takes out what it says too much.
    fn complete(&mut self, id: &PackageId, package_json: Arc<PackageJson>) {
        let manager = self.lockfile.manager;
        if let Some(package) = self.lockfile.packages.get_mut(id) {
            correct(package, manager, &package_json);
        }
        self.package_jsons.insert(id.clone(), package_json);
    }

    fn refuse_install_scripts(
        &self,
        closure: &LockedClosure,
        settings: &Settings,
        platforms: &BTreeSet<NodePlatform>,
    ) -> Result<(), BuildError> {
        let mut refused = BTreeMap::new();
        for id in closure.packages.keys() {
            let (Some(package), Some(Contents::Tarball(tarball))) =
                (self.lockfile.packages.get(id), self.contents.get(id))
            else {
                continue;
            };
            let is_skipped = settings.package.get(&package.name).is_some_and(|own| own.skips_install_script);
            let Some(script) = InstallScript::of(&tarball.package).filter(|_| !is_skipped) else { continue };
            if !platforms.iter().all(|platform| script.is_done(&tarball.package, package, &self.lockfile, platform)) {
                refused.insert(package.label(), script.text);
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(LockedError::InstallScripts(refused).into()) }
    }

    /// What the package in `dir` puts into an image, at its place there. A package that comes in another's tarball lies in
    /// the files of that one.
    pub fn tree(&self, dir: &WorkspacePath, collector: &Collector<'_>) -> Result<FileTree, BuildError> {
        let contents = self.node_modules.id_at(dir).and_then(|id| self.contents.get(id));
        match contents {
            Some(Contents::Tarball(tarball)) => self.tarball_tree(dir, tarball, collector),
            Some(Contents::Directory(from)) => Ok(collector.package_at(from, &collector.image_path(dir)?)?),
            Some(Contents::Bundled) => Ok(FileTree::default()),
            None => Ok(collector.package(dir)?),
        }
    }

    fn tarball_tree(
        &self,
        dir: &WorkspacePath,
        tarball: &ReadTarball,
        collector: &Collector<'_>,
    ) -> Result<FileTree, BuildError> {
        let place = collector.image_path(dir)?;
        let owner = collector.owner;
        let mut entries = Vec::new();
        let mut directories: BTreeSet<&str> = BTreeSet::new();
        for file in &tarball.package.files {
            if self.is_replaced(dir, &file.path) {
                continue;
            }
            let above = file.path.match_indices('/').map(|(slash, _)| &file.path[..slash]);
            for directory in above.filter(|above| directories.insert(above)) {
                entries.push((place.join(directory)?, Entry::directory(owner)));
            }
            let content = tarball.content(file);
            entries.push((place.join(&file.path)?, Entry::file(content, file.executable, owner)));
        }
        Ok(FileTree::of(entries)?)
    }

    /// Whether a file that a package brings along in its own `node_modules` belongs to a package that the lockfile puts
    /// there itself.
    fn is_replaced(&self, dir: &WorkspacePath, file: &str) -> bool {
        let Some(inside) = file.strip_prefix("node_modules/") else { return false };
        let mut names = inside.splitn(3, '/');
        let name = match (names.next(), names.next()) {
            (Some(scope), Some(name)) if scope.starts_with('@') => format!("{scope}/{name}"),
            (Some(name), _) => name.to_owned(),
            (None, _) => return false,
        };
        let place = dir.join("node_modules").and_then(|below| below.join(name));
        let id = place.and_then(|place| self.node_modules.packages.get(&place));
        id.and_then(|id| self.contents.get(id)).is_some_and(|it| !matches!(it, Contents::Bundled))
    }

    /// How many files the package in `dir` has, and how many bytes.
    pub fn weigh(&self, dir: &WorkspacePath, collector: &Collector<'_>) -> Result<(usize, u64), BuildError> {
        match self.node_modules.id_at(dir).and_then(|id| self.contents.get(id)) {
            Some(Contents::Tarball(tarball)) => {
                let files = || tarball.package.files.iter().filter(|file| !self.is_replaced(dir, &file.path));
                Ok((files().count(), files().map(|file| file.size).sum()))
            }
            Some(Contents::Directory(from)) => Ok(collector.weigh(from)?),
            Some(Contents::Bundled) => Ok((0, 0)),
            None => Ok(collector.weigh(dir)?),
        }
    }

    /// The links of every `.bin` to commands of what `is_kept`.
    pub fn bin_links(
        &self,
        workspace: &Workspace,
        root: &ImagePath,
        owner: Owner,
        is_kept: impl Fn(&WorkspacePath) -> bool,
    ) -> Result<FileTree, BuildError> {
        let mut from_disk: BTreeMap<WorkspacePath, BTreeMap<String, String>> = BTreeMap::new();
        for dir in self.node_modules.links.values().chain(self.node_modules.packages.keys()) {
            let directory = match self.node_modules.id_at(dir).map(|id| self.contents.get(id)) {
                None => dir,
                Some(Some(Contents::Directory(from))) => from,
                Some(_) => continue,
            };
            let bytes = host::read_if_present(&workspace.on_host(directory).join("package.json"))?;
            from_disk.insert(dir.clone(), bytes.as_deref().map(commands).unwrap_or_default());
        }
        let commands_of = |dir: &WorkspacePath| match self.node_modules.id_at(dir).and_then(|id| self.contents.get(id))
        {
            Some(Contents::Tarball(tarball)) => Some(&tarball.package.commands),
            Some(Contents::Bundled) => {
                let id = self.node_modules.id_at(dir)?;
                self.lockfile.packages.get(id)?.bins.as_ref()
            }
            _ => from_disk.get(dir),
        };
        let mut links = Vec::new();
        for (link, target) in self.node_modules.bin_links(is_kept, commands_of) {
            links.push((root.join(link.as_path())?, Entry::symlink(target, owner)));
        }
        Ok(FileTree::of(links)?)
    }

    /// Makes sure that the tarballs are there whole from which these layers would be packed.
    pub async fn ensure(&self, layers: impl Iterator<Item = &LayerPlan>, context: &Context) -> Result<(), BuildError> {
        let tarballs = self.contents.iter().filter_map(|(id, contents)| match contents {
            Contents::Tarball(tarball) => Some((self.lockfile.packages.get(id)?, tarball.as_ref())),
            Contents::Directory(_) | Contents::Bundled => None,
        });
        self.tarballs.ensure(layers, tarballs, context).await
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::path::HostPath;

    #[test]
    fn what_yarn_adds_for_scripts_is_left_out() {
        let root = tempfile::tempdir().unwrap();
        fs::write(root.path().join("package.json"), r#"{"name":"r","dependencies":{"a":"1"}}"#).unwrap();
        let entry = |name: &str, more: &str| {
            format!("\"{name}@npm:1\":\n  version: 1.0.0\n  resolution: \"{name}@npm:1.0.0\"\n{more}")
        };
        let text = "__metadata:\n  version: 8\n\n".to_owned()
            + &entry("a", "  dependencies:\n    b: \"npm:1\"\n    node-gyp: \"npm:1\"\n")
            + &entry("b", "")
            + &entry("node-gyp", "");
        fs::write(root.path().join("yarn.lock"), text).unwrap();
        fs::write(root.path().join(".yarnrc.yml"), "nodeLinker: node-modules\n").unwrap();
        let workspace = Workspace::discover(&HostPath::new(root.path())).unwrap();
        let lockfile = Lockfile::read(&workspace).unwrap();
        let package = lockfile.packages.values().find(|package| package.name == "a").unwrap();
        let table: [(&str, PackageManager, &str, &[&str]); 3] = [
            ("not declared", PackageManager::YarnBerry, r#"{"dependencies":{"b":"1"}}"#, &["b"]),
            ("declared", PackageManager::YarnBerry, r#"{"dependencies":{"node-gyp":"1"}}"#, &["b", "node-gyp"]),
            ("another manager", PackageManager::Npm, "{}", &["b", "node-gyp"]),
        ];
        for (comment, manager, package_json, expected) in table {
            let mut package = package.clone();
            correct(&mut package, manager, &PackageJson::parse(package_json.as_bytes()).unwrap());
            assert_eq!(package.dependencies.keys().collect::<Vec<_>>(), expected, "{comment}");
        }
    }
}
