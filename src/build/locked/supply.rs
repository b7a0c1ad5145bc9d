//! Single packages of the lockfile in place of installed ones that the image cannot use.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::task::block_in_place;

use super::tarballs::Tarballs;
use super::{LockedPackages, Origin};
use crate::build::{BuildError, Context};
use crate::closure::{NodePlatform, Packages};
use crate::config::Settings;
use crate::workspace::lockfiles::{DependencyKind, LockedPackage, Lockfile, PackageId, Target};
use crate::workspace::{PackageJson, Workspace, WorkspacePath};

/// A place for a package of the lockfile.
pub(in crate::build) type Place = (WorkspacePath, PackageId);

impl LockedPackages {
    /// The packages of the lockfile, with none of them placed: each gets its place when it is brought.
    pub async fn to_supply(workspace: &Workspace, settings: &Settings, context: &Context) -> Result<Self, BuildError> {
        let lockfile = block_in_place(|| Lockfile::read(workspace))?;
        let tarballs = Tarballs::new(workspace, lockfile.manager, settings, context)?;
        let (node_modules, origins, package_jsons, commands) = Default::default();
        Ok(Self { lockfile, node_modules, origins, package_jsons, commands, tarballs })
    }

    /// The package `name@version`, if the lockfile has it.
    pub fn id_of(&self, label: &str) -> Option<&PackageId> {
        let mut packages = self.lockfile.packages.iter();
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
        let Some(owner) = self.id_of(label).and_then(|id| self.lockfile.packages.get(id)) else { return Ok(places) };
        let mut left: VecDeque<(&LockedPackage, Option<&[String]>)> = VecDeque::from([(owner, Some(names))]);
        while let Some((package, names)) = left.pop_front() {
            for (name, edge) in &package.dependencies {
                let is_wanted = names.is_none_or(|names| names.contains(name));
                let (true, Target::Package(id)) = (is_wanted && edge.kind != DependencyKind::Development, &edge.target)
                else {
                    continue;
                };
                let Some(target) = self.lockfile.packages.get(id) else { continue };
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
        let unknown = places.iter().map(|(_, id)| id).filter(|id| !self.origins.contains_key(id)).cloned().collect();
        // Whatever is to be taken from the installed ones was not good enough.
        self.look_at(unknown, workspace, &Settings::default(), context).await?;
        self.node_modules.packages.extend(places.iter().cloned());
        Ok(())
    }

    /// What a package at one of its places says of itself, if it lies in a tarball.
    pub fn brought(&self, dir: &WorkspacePath) -> Option<Arc<PackageJson>> {
        match self.origin_at(dir)? {
            Origin::Tarball(tarball) => Some(tarball.package_json.clone()),
            Origin::Directory(_) | Origin::Bundled => None,
        }
    }

    /// Has the tarballs in the store of the packages in these directories, so that their files can be read.
    pub async fn have(&self, dirs: impl Iterator<Item = &WorkspacePath>, context: &Context) -> Result<(), BuildError> {
        let tarballs = dirs.filter_map(|dir| {
            let id = self.node_modules.id_at(dir)?;
            match self.origins.get(id)? {
                Origin::Tarball(tarball) => Some((self.lockfile.packages.get(id)?, tarball.as_ref())),
                Origin::Directory(_) | Origin::Bundled => None,
            }
        });
        self.tarballs.have(tarballs, context).await
    }
}
