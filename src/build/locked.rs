//! The step that does without an installation: from the lockfile to a `node_modules` whose contents lie in tarballs.

mod error;
mod install_script;
mod installed_copy;
mod patched;
mod supply;
mod tarballs;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use error::LockedError;
use futures_util::future::try_join;
use install_script::{InstallScript, own_script};
use installed_copy::installed_copy;
use patched::{is_patched, patched};
pub(super) use supply::{Place, Supply};
use tarballs::{ReadTarball, Tarballs};
use tokio::task::block_in_place;

use super::base::Resolving;
use super::plan::Closures;
use super::platforms::{Platforms, TargetPlatform};
use super::{BuildError, Context};
use crate::closure::{LockedProduction, NodeModules, NodePlatform, PlacedPackages};
use crate::config::Settings;
use crate::host::{self, StatIndex};
use crate::layer::{Collector, Entry, FileTree, LayerPlan, Owner};
use crate::path::ImagePath;
use crate::platform::Platform;
use crate::workspace::lockfiles::{LockedPackage, Lockfile, PackageId, Source};
use crate::workspace::{PackageJson, PackageManager, Workspace, WorkspacePath, commands};

/// The packages that a lockfile names, with all that images need of them.
pub(super) struct LockedPackages {
    lockfile: Lockfile,
    origins: BTreeMap<PackageId, Origin>,
    package_jsons: BTreeMap<PackageId, Arc<PackageJson>>,
    /// The platforms of services' images, for each platform that is built for: C libraries differ.
    platforms: BTreeMap<Platform, BTreeSet<NodePlatform>>,
    tarballs: Tarballs,
}

/// The packages of a lockfile at their places in images for one platform.
pub(super) struct LockedNodeModules<'a> {
    locked: &'a LockedPackages,
    workspace: &'a Workspace,
    node_modules: NodeModules,
    /// By the directory of the package or member.
    commands: BTreeMap<WorkspacePath, BTreeMap<String, String>>,
}

/// Where the files of a package are.
#[derive(Clone)]
enum Origin {
    /// In a tarball.
    Tarball(Arc<ReadTarball>),
    /// In a directory of the workspace: what a `file:` names, or an installed copy.
    Directory(WorkspacePath),
    /// In the tarball of the package in whose `node_modules` it lies.
    Bundled,
}

/// Says which scripts of the workspace's own the package manager would run after installing, such as those that generate
/// code or patch packages.
fn warn_of_own_scripts(workspace: &Workspace, context: &Context) {
    let root = (&WorkspacePath::default(), &workspace.package_json);
    let members = workspace.members.iter().map(|member| (&member.dir, &member.package_json));
    for (dir, package_json) in members.chain([root]).collect::<BTreeMap<_, _>>() {
        if let Some(text) = own_script(package_json) {
            context.progress.warn(&format!("nothing is installed, so the script of `{dir}` is not run: `{text}`"));
        }
    }
}

/// Yarn 2 and later let every package depend on it whose scripts name it or `prebuild-install`, to run them. Nothing is run
/// here.
///
/// Source: yarn 4, `packages/plugin-npm/sources/NpmSemverResolver.ts`, `resolve`.
const NODE_GYP: &str = "node-gyp";

/// Corrects what a lockfile says of a package by what its package.json says.
fn correct(package: &mut LockedPackage, manager: PackageManager, package_json: &PackageJson) {
    package.limits.get_or_insert_with(|| package_json.limits.clone());
    let fields = [&package_json.dependencies, &package_json.optional_dependencies, &package_json.peer_dependencies];
    if manager == PackageManager::YarnBerry && !fields.iter().any(|field| field.contains_key(NODE_GYP)) {
        package.dependencies.remove(NODE_GYP);
    }
}

/// Brings the packages of a workspace's lockfile into the store. Which variants of a package are right depends on the C
/// libraries of the bases of these services; what does not is fetched while the bases come.
pub(super) async fn provide(
    workspace: &Workspace,
    services: &BTreeSet<String>,
    bases: &mut Resolving,
    platforms: &mut Platforms<'_>,
    context: &Context,
) -> Result<LockedPackages, BuildError> {
    let settings = platforms.settings;
    let mut locked = LockedPackages::read(workspace, settings, context)?;
    let any: Vec<NodePlatform> = platforms.each().map(|platform| platform.of_any()).collect();
    let (bases, ()) = try_join(bases.finish(), locked.look_ahead(workspace, settings, &any, context)).await?;
    platforms.bases = Some(bases);
    let of_services = |target: TargetPlatform<'_>| services.iter().map(|service| target.of_service(service)).collect();
    locked.platforms = platforms.each().map(|target| (target.platform.clone(), of_services(target))).collect();
    locked.complete(workspace, settings, context).await?;
    Ok(locked)
}

/// The places of packages in images for each platform; `None` for each where packages are the installed ones.
pub(super) fn node_modules<'a>(
    locked: Option<&'a LockedPackages>,
    workspace: &'a Workspace,
    platforms: &Platforms<'_>,
) -> Result<Vec<Option<LockedNodeModules<'a>>>, BuildError> {
    let places = |target: TargetPlatform<'_>| locked.map(|locked| locked.node_modules(workspace, target.platform));
    platforms.each().map(|target| places(target).transpose()).collect()
}

impl LockedPackages {
    /// The packages of a workspace's lockfile, with nothing fetched yet.
    fn read(workspace: &Workspace, settings: &Settings, context: &Context) -> Result<Self, BuildError> {
        let lockfile = block_in_place(|| Lockfile::read(workspace))?;
        let tarballs = Tarballs::new(workspace, lockfile.manager, settings, context)?;
        warn_of_own_scripts(workspace, context);
        let (origins, package_jsons, platforms) = Default::default();
        Ok(Self { lockfile, origins, package_jsons, platforms, tarballs })
    }

    /// Brings into the store what is needed with whatever C library, before the bases tell which one it is.
    async fn look_ahead(
        &mut self,
        workspace: &Workspace,
        settings: &Settings,
        platforms: &[NodePlatform],
        context: &Context,
    ) -> Result<(), BuildError> {
        let production = block_in_place(|| LockedProduction::of(&self.lockfile, platforms));
        let is_for_any = |id: &PackageId| {
            let limits = self.lockfile.packages.get(id).and_then(|package| package.limits.as_ref());
            limits.is_none_or(|limits| limits.libc.is_empty())
        };
        let certain = production.packages.into_iter().filter(is_for_any).collect();
        self.look_at(certain, workspace, settings, context).await
    }

    /// Brings everything into the store that is needed on the platforms.
    async fn complete(
        &mut self,
        workspace: &Workspace,
        settings: &Settings,
        context: &Context,
    ) -> Result<(), BuildError> {
        loop {
            let platforms = self.platforms.values().flatten();
            let production = block_in_place(|| LockedProduction::of(&self.lockfile, platforms));
            let unknown: Vec<PackageId> =
                production.packages.into_iter().filter(|id| !self.origins.contains_key(id)).collect();
            if unknown.is_empty() {
                break;
            }
            // What is learned may leave some of them out.
            self.look_at(unknown, workspace, settings, context).await?;
        }
        self.warn_of_unverified(context);
        Ok(())
    }

    /// The places of packages in images for one platform. They do not depend on which others are built for.
    fn node_modules<'a>(
        &'a self,
        workspace: &'a Workspace,
        platform: &Platform,
    ) -> Result<LockedNodeModules<'a>, BuildError> {
        let production = LockedProduction::of(&self.lockfile, self.platforms.get(platform).into_iter().flatten());
        let node_modules = NodeModules::of(&self.lockfile, &production)?;
        let mut placed = LockedNodeModules { locked: self, workspace, node_modules, commands: BTreeMap::new() };
        placed.commands = placed.commands()?;
        Ok(placed)
    }

    /// Says how many packages came without anything to check them by.
    fn warn_of_unverified(&self, context: &Context) {
        let unverified = self.origins.iter().filter_map(|(id, origin)| match origin {
            Origin::Tarball(tarball) if !tarball.is_verified => {
                self.lockfile.packages.get(id).map(LockedPackage::label)
            }
            _ => None,
        });
        let unverified: BTreeSet<String> = unverified.collect();
        if let Some(first) = unverified.first() {
            context.progress.warn(&format!(
                "the lockfile has no hash of some tarballs, or that of archives that yarn compressed, with which they \
                 cannot be checked; {} packages are as the registry gave them, such as `{first}`",
                unverified.len()
            ));
        }
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
            let origin = match &package.source {
                _ if package.bundled => Origin::Bundled,
                _ if from_installed => Origin::Directory(installed_copy(workspace, package)?),
                Source::Directory(dir) | Source::Link(dir) => Origin::Directory(dir.clone()),
                _ => {
                    fetched.push(id);
                    continue;
                }
            };
            if let Origin::Directory(dir) = &origin {
                let path = workspace.on_host(dir).join("package.json");
                let package_json = PackageJson::read(&path)?.unwrap_or_default();
                self.learn(&id, Arc::new(package_json));
            }
            self.origins.insert(id, origin);
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
            self.origins.insert(id.clone(), Origin::Tarball(tarball));
            self.learn(&id, package_json);
        }
        Ok(())
    }

    /// Fills in what the lockfile does not say (yarn 1 does not know platforms), and takes out what it says too much.
    fn learn(&mut self, id: &PackageId, package_json: Arc<PackageJson>) {
        let manager = self.lockfile.manager;
        if let Some(package) = self.lockfile.packages.get_mut(id) {
            correct(package, manager, &package_json);
        }
        self.package_jsons.insert(id.clone(), package_json);
    }

    /// Has the tarballs of packages in the store, so that their files can be read.
    async fn have(&self, ids: impl Iterator<Item = &PackageId>, context: &Context) -> Result<(), BuildError> {
        let tarballs = ids.filter_map(|id| match self.origins.get(id)? {
            Origin::Tarball(tarball) => Some((self.lockfile.packages.get(id)?, tarball.as_ref())),
            Origin::Directory(_) | Origin::Bundled => None,
        });
        self.tarballs.have(tarballs, context).await
    }

    /// Makes sure that the tarballs are there whole from which these layers would be packed.
    pub async fn ensure(&self, layers: impl Iterator<Item = &LayerPlan>, context: &Context) -> Result<(), BuildError> {
        let tarballs = self.origins.iter().filter_map(|(id, origin)| match origin {
            Origin::Tarball(tarball) => Some((self.lockfile.packages.get(id)?, tarball.as_ref())),
            Origin::Directory(_) | Origin::Bundled => None,
        });
        self.tarballs.ensure(layers, tarballs, context).await
    }
}

/// The place of the package in the `node_modules` of the one in `dir` that `file`, relative to that, belongs to.
fn nested_place(dir: &WorkspacePath, file: &str) -> Option<WorkspacePath> {
    let mut names = file.strip_prefix("node_modules/")?.splitn(3, '/');
    let name = match (names.next()?, names.next()) {
        (scope, Some(name)) if scope.starts_with('@') => format!("{scope}/{name}"),
        (name, _) => name.to_owned(),
    };
    dir.join("node_modules")?.join(name)
}

impl<'a> LockedNodeModules<'a> {
    /// The packages, as closures are computed of them.
    pub fn placed<'s>(&'s self, index: &'s StatIndex) -> PlacedPackages<'s> {
        let LockedPackages { lockfile, package_jsons, .. } = self.locked;
        PlacedPackages::new(self.workspace, index, lockfile, &self.node_modules, package_jsons)
    }

    /// An error if a service that is built needs a package that is not complete until a script has run.
    pub fn refuse_install_scripts(
        &self,
        closures: &Closures,
        target: TargetPlatform<'_>,
        settings: &Settings,
    ) -> Result<(), BuildError> {
        let LockedPackages { lockfile, origins, .. } = self.locked;
        let mut refused = BTreeMap::new();
        for needs in &closures.services {
            let platform = target.of_service(&needs.service.name);
            for id in needs.closure.packages.keys().filter_map(|place| self.node_modules.id_at(place)) {
                let Some(Origin::Tarball(tarball)) = origins.get(id) else { continue };
                let is_skipped = |package: &LockedPackage| {
                    settings.package.get(&package.name).is_some_and(|own| own.skips_install_script)
                };
                let package = lockfile.packages.get(id).filter(|package| !is_skipped(package));
                let script = InstallScript::of(&tarball.package_json, tarball.outline.has_binding_gyp);
                if let (Some(package), Some(script)) = (package, script)
                    && !script.is_done(&tarball.files()?, package, lockfile, &platform)
                {
                    refused.insert(package.label(), script.text);
                }
            }
        }
        if refused.is_empty() { Ok(()) } else { Err(LockedError::InstallScripts(refused).into()) }
    }

    fn origin_at(&self, dir: &WorkspacePath) -> Option<&'a Origin> {
        self.locked.origins.get(self.node_modules.id_at(dir)?)
    }

    /// What the package in `dir` puts into an image, at its place there. A package that comes in another's tarball lies in
    /// the files of that one.
    pub fn tree(&self, dir: &WorkspacePath, collector: &Collector<'_>) -> Result<FileTree, BuildError> {
        let place = collector.image_path(dir)?;
        match self.origin_at(dir) {
            Some(Origin::Tarball(tarball)) => {
                tarball.tree(&place, collector.owner, |file| self.is_replaced(dir, &file.path))
            }
            Some(Origin::Directory(from)) => Ok(collector.package_at(from, &place)?),
            Some(Origin::Bundled) => Ok(FileTree::default()),
            None => Ok(collector.package(dir)?),
        }
    }

    /// Has the tarballs in the store of the packages in these directories.
    pub async fn have(&self, dirs: impl Iterator<Item = &WorkspacePath>, context: &Context) -> Result<(), BuildError> {
        self.locked.have(dirs.filter_map(|dir| self.node_modules.id_at(dir)), context).await
    }

    /// Whether a file that a package brings along in its own `node_modules` belongs to a package that the lockfile puts
    /// there itself.
    fn is_replaced(&self, dir: &WorkspacePath, file: &str) -> bool {
        let origin = nested_place(dir, file).and_then(|place| self.origin_at(&place));
        origin.is_some_and(|origin| !matches!(origin, Origin::Bundled))
    }

    /// How many files the package in `dir` has, and how many bytes.
    pub fn weigh(&self, dir: &WorkspacePath, collector: &Collector<'_>) -> Result<(usize, u64), BuildError> {
        match self.origin_at(dir) {
            Some(Origin::Tarball(tarball)) if tarball.outline.has_bundled => {
                let files = tarball.files()?;
                let kept = || files.iter().filter(|file| !self.is_replaced(dir, &file.path));
                Ok((kept().count(), kept().map(|file| file.size).sum()))
            }
            Some(Origin::Tarball(tarball)) => Ok((tarball.outline.files, tarball.outline.bytes)),
            Some(Origin::Directory(from)) => Ok(collector.weigh(from)?),
            Some(Origin::Bundled) => Ok((0, 0)),
            None => Ok(collector.weigh(dir)?),
        }
    }

    /// The commands of what lies in each directory, and their files.
    fn commands(&self) -> Result<BTreeMap<WorkspacePath, BTreeMap<String, String>>, BuildError> {
        let on_disk = |dir: &WorkspacePath| -> Result<_, BuildError> {
            let bytes = host::read_if_present(&self.workspace.on_host(dir).join("package.json"))?;
            Ok(bytes.as_deref().map(commands).unwrap_or_default())
        };
        let mut by_dir = BTreeMap::new();
        for dir in self.node_modules.links.values().chain(self.node_modules.packages.keys()) {
            let of_dir = match self.origin_at(dir) {
                Some(Origin::Tarball(tarball)) => tarball.commands.clone(),
                Some(Origin::Bundled) => {
                    let package = self.node_modules.id_at(dir).and_then(|id| self.locked.lockfile.packages.get(id));
                    package.and_then(|package| package.bins.clone()).unwrap_or_default()
                }
                Some(Origin::Directory(from)) => on_disk(from)?,
                None => on_disk(dir)?,
            };
            by_dir.insert(dir.clone(), of_dir);
        }
        Ok(by_dir)
    }

    /// The links of every `.bin` to commands of what `is_kept`.
    pub fn bin_links(
        &self,
        root: &ImagePath,
        owner: Owner,
        is_kept: impl Fn(&WorkspacePath) -> bool,
    ) -> Result<FileTree, BuildError> {
        let mut links = Vec::new();
        for (link, target) in self.node_modules.bin_links(is_kept, |dir| self.commands.get(dir)) {
            links.push((root.join(link.as_path())?, Entry::symlink(target, owner)));
        }
        Ok(FileTree::of(links)?)
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
