//! Single packages of the lockfile in place of installed ones that the image cannot use.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;

use tokio::task::block_in_place;

use super::node_modules::nested_place;
use super::tarballs::Tarballs;
use super::{LockedPackages, Origin};
use crate::build::{BuildError, Context};
use crate::closure::{NodePlatform, Packages};
use crate::config::Settings;
use crate::layer::{Collector, FileTree};
use crate::workspace::lockfiles::{DependencyKind, LockedPackage, Lockfile, PackageId, Target};
use crate::workspace::{PackageJson, Workspace, WorkspacePath};

/// A place for a package of the lockfile.
pub(in crate::build) type Place = (WorkspacePath, PackageId);

/// Packages of the lockfile that are taken one by one.
pub(in crate::build) struct Supply {
    locked: LockedPackages,
    places: BTreeMap<WorkspacePath, PackageId>,
}

impl Supply {
    /// The packages of the lockfile, with none of them placed: each gets its place when it is brought.
    pub fn open(workspace: &Workspace, settings: &Settings, context: &Context) -> Result<Self, BuildError> {
        let lockfile = block_in_place(|| Lockfile::read(workspace))?;
        let tarballs = Tarballs::new(workspace, lockfile.manager, settings, context)?;
        Ok(Self { locked: LockedPackages::new(lockfile, tarballs), places: BTreeMap::new() })
    }

    /// All that was brought.
    pub fn packages(&self) -> &LockedPackages {
        &self.locked
    }

    /// The package `name@version`, if the lockfile has it.
    pub fn id_of(&self, label: &str) -> Option<&PackageId> {
        let mut packages = self.locked.lockfile.packages.iter();
        packages.find(|(_, package)| package.label() == label).map(|(id, _)| id)
    }

    /// The variants that the package `label` has as optional dependencies of these names, and what they need themselves,
    /// each to lie in the folder of packages at `folder`, as far as they may run on a platform and nothing is there yet.
    pub fn variants_of(
        &self,
        label: &str,
        names: &[String],
        folder: &WorkspacePath,
        platform: &NodePlatform,
        packages: &dyn Packages,
    ) -> Result<Vec<Place>, BuildError> {
        let mut places: Vec<Place> = Vec::new();
        let lockfile = &self.locked.lockfile;
        let Some(owner) = self.id_of(label).and_then(|id| lockfile.packages.get(id)) else { return Ok(places) };
        let mut left: VecDeque<(&LockedPackage, Option<&[String]>)> = VecDeque::from([(owner, Some(names))]);
        while let Some((package, names)) = left.pop_front() {
            for (name, edge) in &package.dependencies {
                let is_wanted = names.is_none_or(|names| names.contains(name));
                let (true, Target::Package(id)) = (is_wanted && edge.kind != DependencyKind::Development, &edge.target)
                else {
                    continue;
                };
                let Some(target) = lockfile.packages.get(id) else { continue };
                let Some(place) = folder.join(name) else { continue };
                let suits = target.limits.as_ref().is_none_or(|limits| platform.suits(limits));
                let is_there = packages.resolve(name, folder, label)?.is_some();
                if suits && !is_there && places.iter().all(|(known, _)| *known != place) {
                    places.push((place, id.clone()));
                    left.push_back((target, None));
                }
            }
        }
        Ok(places)
    }

    /// Brings packages into the store and gives them their places.
    pub async fn bring(
        &mut self,
        places: &[Place],
        workspace: &Workspace,
        context: &Context,
    ) -> Result<(), BuildError> {
        let is_unknown = |id: &&PackageId| !self.locked.origins.contains_key(*id);
        let unknown = places.iter().map(|(_, id)| id).filter(is_unknown).cloned().collect();
        // Whatever is to be taken from the installed ones was not good enough.
        self.locked.look_at(unknown, &[], workspace, &Settings::default(), context).await?;
        self.places.extend(places.iter().cloned());
        Ok(())
    }

    /// What a package at one of its places says of itself, if it lies in a tarball.
    pub fn brought(&self, dir: &WorkspacePath) -> Option<Arc<PackageJson>> {
        match self.origin_at(dir)? {
            Origin::Tarball(tarball) => Some(tarball.package_json.clone()),
            Origin::Directory(_) | Origin::Bundled => None,
        }
    }

    /// What the package at one of its places puts into an image.
    pub fn tree(&self, dir: &WorkspacePath, collector: &Collector<'_>) -> Result<FileTree, BuildError> {
        match self.origin_at(dir) {
            Some(Origin::Tarball(tarball)) => {
                let is_replaced = |file: &str| nested_place(dir, file).is_some_and(|it| self.places.contains_key(&it));
                tarball.tree(&collector.image_path(dir)?, collector.owner, |file| is_replaced(&file.path))
            }
            Some(Origin::Directory(_) | Origin::Bundled) | None => Ok(FileTree::default()),
        }
    }

    fn origin_at(&self, dir: &WorkspacePath) -> Option<&Origin> {
        self.locked.origins.get(self.places.get(dir)?)
    }

    /// Has the tarballs in the store of the packages in these directories, so that their files can be read.
    pub async fn have(&self, dirs: impl Iterator<Item = &WorkspacePath>, context: &Context) -> Result<(), BuildError> {
        self.locked.have(dirs.filter_map(|dir| self.places.get(dir)), context).await
    }
}
