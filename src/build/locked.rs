//! The step that does without an installation: from the lockfile to a `node_modules` whose contents lie in tarballs.

mod ahead;
mod error;
mod install_script;
mod installed_copy;
mod node_modules;
mod patched;
mod supply;
mod tarball;
mod tarballs;

use std::cell::LazyCell;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use error::LockedError;
use futures_util::future::try_join;
use install_script::own_script;
use installed_copy::installed_copy;
pub(super) use node_modules::LockedNodeModules;
use patched::{is_patched, patched};
pub(super) use supply::{Place, Supply};
use tarball::ReadTarball;
use tarballs::Tarballs;
use tokio::task::block_in_place;

use super::base::Resolving;
use super::platforms::{Platforms, TargetPlatform};
use super::{BuildError, Context};
use crate::closure::{LockedProduction, NodeModules, NodePlatform};
use crate::config::Settings;
use crate::layer::{LayerPlan, PackedAhead};
use crate::platform::Platform;
use crate::workspace::lockfiles::{LockedPackage, Lockfile, PackageId, Source};
use crate::workspace::{PackageJson, PackageManager, Service, Workspace, WorkspacePath};

/// The packages that a lockfile names, with all that images need of them.
pub(super) struct LockedPackages {
    lockfile: Lockfile,
    origins: BTreeMap<PackageId, Origin>,
    package_jsons: BTreeMap<PackageId, Arc<PackageJson>>,
    /// The platforms of services' images, for each platform that is built for: C libraries differ.
    platforms: BTreeMap<Platform, BTreeSet<NodePlatform>>,
    tarballs: Tarballs,
    /// The services whose packages are packed as they come.
    built: BTreeSet<WorkspacePath>,
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
/// libraries of the bases of these services; what does not is fetched while the bases come. Packages of services whose
/// layers will be `packed` are as soon as they are there.
pub(super) async fn provide(
    workspace: &Workspace,
    services: &BTreeSet<String>,
    bases: &mut Resolving,
    platforms: &mut Platforms<'_>,
    packed: &[Service],
    context: &Context,
) -> Result<LockedPackages, BuildError> {
    let settings = platforms.settings;
    let mut locked = LockedPackages::read(workspace, settings, context)?;
    locked.built = packed.iter().map(|service| service.dir.clone()).collect();
    locked.tarballs.pack_ahead(packed, platforms, context)?;
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
        Ok(Self::new(lockfile, tarballs))
    }

    /// Nothing is known of the packages yet.
    fn new(lockfile: Lockfile, tarballs: Tarballs) -> Self {
        let (origins, package_jsons, platforms, built) = Default::default();
        Self { lockfile, origins, package_jsons, platforms, tarballs, built }
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
        self.look_at(certain, platforms, workspace, settings, context).await
    }

    /// Brings everything into the store that is needed on the platforms.
    async fn complete(
        &mut self,
        workspace: &Workspace,
        settings: &Settings,
        context: &Context,
    ) -> Result<(), BuildError> {
        loop {
            let platforms: Vec<NodePlatform> = self.platforms.values().flatten().cloned().collect();
            let production = block_in_place(|| LockedProduction::of(&self.lockfile, &platforms));
            let unknown: Vec<PackageId> =
                production.packages.into_iter().filter(|id| !self.origins.contains_key(id)).collect();
            if unknown.is_empty() {
                break;
            }
            // What is learned may leave some of them out.
            self.look_at(unknown, &platforms, workspace, settings, context).await?;
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
        LockedNodeModules::new(self, workspace, node_modules)
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

    /// Where packages of the services that are built will lie, most likely: what is learned later may change that.
    fn expected_places(&self, platforms: &[NodePlatform]) -> BTreeMap<PackageId, Vec<WorkspacePath>> {
        let mut places: BTreeMap<PackageId, Vec<WorkspacePath>> = BTreeMap::new();
        let of_services = LockedProduction::of_members(self.built.clone(), &self.lockfile, platforms);
        // An error is told once it is certain.
        let node_modules =
            NodeModules::of(&self.lockfile, &LockedProduction::of(&self.lockfile, platforms)).unwrap_or_default();
        for (place, id) in node_modules.packages.into_iter().filter(|(_, id)| of_services.packages.contains(id)) {
            places.entry(id).or_default().push(place);
        }
        places
    }

    /// Learns of packages what their own files say.
    async fn look_at(
        &mut self,
        unknown: Vec<PackageId>,
        platforms: &[NodePlatform],
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
        let expected = LazyCell::new(|| self.expected_places(platforms));
        // What is patched is not packed as it comes.
        let places = |at: usize| match packages.get(at).is_some_and(|package| is_patched(package)) {
            true => Vec::new(),
            false => fetched.get(at).and_then(|id| expected.get(id)).cloned().unwrap_or_default(),
        };
        let read = self.tarballs.read_all(&packages, &places, context).await?;
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

    /// What was packed until now, while packages came; no more will be.
    pub fn packed_ahead(&self) -> Option<&PackedAhead> {
        self.tarballs.packed_ahead()
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
