//! The tarballs of a lockfile: fetched where the store lacks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, mpsc};

use rayon::prelude::*;
use tokio::task::block_in_place;

use super::ahead::PackingAhead;
use super::tarball::{Opening, ReadTarball};
use crate::build::platforms::Platforms;
use crate::build::{BuildError, Context};
use crate::config::Settings;
use crate::digest::Digest;
use crate::layer::{Content, Kind, LayerPlan, PackedAhead, Scratch};
use crate::npm_registry::{Mirror, NpmClient, NpmClientOptions, NpmSettings, Tarball};
use crate::store::StoreError;
use crate::workspace::lockfiles::LockedPackage;
use crate::workspace::{PackageManager, Service, Workspace, WorkspacePath};

/// The client of the registries, and what contents are read from.
pub(super) struct Tarballs {
    client: NpmClient,
    scratch: Arc<Scratch>,
    /// Who packs packages as soon as they are there.
    ahead: Option<Arc<PackingAhead>>,
}

impl Tarballs {
    pub fn new(
        workspace: &Workspace,
        manager: PackageManager,
        settings: &Settings,
        context: &Context,
    ) -> Result<Self, BuildError> {
        let npm = &context.npm;
        let registries = NpmSettings::read(manager, &workspace.root, npm.home.as_ref(), &npm.variables)?;
        for warning in registries.warnings() {
            context.progress.warn(warning);
        }
        let mirror = match (&npm.mirror, &settings.npm_mirror) {
            (Some(typed), _) => Some(typed.clone()),
            (None, Some(configured)) => Some(Mirror::parse(configured, &workspace.root)?),
            (None, None) => None,
        };
        let client = NpmClient::new(NpmClientOptions {
            settings: registries,
            mirror,
            offline: npm.offline,
            project: Some(workspace.root.clone()),
            ..NpmClientOptions::default()
        })?;
        Ok(Self { client, scratch: Scratch::new(&context.store.scratch_dir()), ahead: None })
    }

    /// From now on, has packages of these services packed as soon as they are there.
    pub fn pack_ahead(
        &mut self,
        services: &[Service],
        platforms: &Platforms<'_>,
        context: &Context,
    ) -> Result<(), BuildError> {
        self.ahead = PackingAhead::start(services, platforms, &self.scratch, context)?.map(Arc::new);
        Ok(())
    }

    /// What was packed until now; no more will be.
    pub fn packed_ahead(&self) -> Option<&PackedAhead> {
        self.ahead.as_ref().map(|ahead| ahead.finish())
    }

    /// The tarballs of these packages, in their order. `places` says where one of them will lie in images, most likely.
    pub async fn read_all(
        &self,
        packages: &[&LockedPackage],
        places: &dyn Fn(usize) -> Vec<WorkspacePath>,
        context: &Context,
    ) -> Result<Vec<Arc<ReadTarball>>, BuildError> {
        let names = packages.iter().map(|package| self.client.name(package)).collect::<Result<Vec<_>, _>>()?;
        // Instances that differ in their peers only have one tarball.
        let mut distinct: BTreeMap<&str, &LockedPackage> = BTreeMap::new();
        distinct.extend(names.iter().map(String::as_str).zip(packages.iter().copied()));
        let opening = |name, package| Opening::new(name, package, &context.store, &self.scratch);
        let mut known: BTreeMap<&str, Arc<ReadTarball>> = block_in_place(|| {
            let recalled = distinct.par_iter().map(|(name, package)| {
                let recalled = opening(name, package).recall()?;
                Ok(recalled.map(|tarball| (*name, Arc::new(tarball))))
            });
            Ok::<_, StoreError>(recalled.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
        })?;
        let mut missing: BTreeMap<&str, Missing<'_>> = BTreeMap::new();
        for (at, (name, &package)) in names.iter().zip(packages).enumerate() {
            if !known.contains_key(name.as_str()) {
                let opening = opening(name, package);
                let missing = missing.entry(name).or_insert(Missing { package, opening, places: Vec::new() });
                missing.places.extend(self.ahead.iter().flat_map(|_| places(at)));
            }
        }
        known.extend(self.fetch_and_read(missing, context).await?);
        Ok(names.iter().filter_map(|name| known.get(name.as_str()).cloned()).collect())
    }

    /// Fetches what is not remembered, and reads each tarball as soon as it is there.
    async fn fetch_and_read<'a>(
        &self,
        missing: BTreeMap<&'a str, Missing<'_>>,
        context: &Context,
    ) -> Result<BTreeMap<&'a str, Arc<ReadTarball>>, BuildError> {
        let (sender, receiver) = mpsc::channel();
        let store = &context.store;
        let missing: Vec<(&str, Missing<'_>)> = missing.into_iter().collect();
        let arrived = |at: usize, tarball: &Tarball| {
            let (sender, ahead, tarball) = (sender.clone(), self.ahead.clone(), tarball.clone());
            let (_, Missing { opening, places, .. }) = &missing[at];
            let (opening, places) = (opening.clone(), places.clone());
            rayon::spawn(move || {
                let read = opening.read(&tarball).map(Arc::new);
                if let (Some(ahead), Ok(read)) = (ahead, &read) {
                    ahead.take(read, &places);
                }
                // Who waits for it may have ended.
                _ = sender.send((at, read));
            });
        };
        let packages = missing.iter().map(|(_, missing)| missing.package);
        let fetched = self.client.fetch_all(packages, store, &*context.progress, &context.cancellation, &arrived).await;
        drop(sender);
        let mut found = BTreeMap::new();
        // By position: what is told of several that cannot be read does not depend on which was there first.
        let mut refused = BTreeMap::new();
        for (at, read) in block_in_place(|| receiver.iter().collect::<Vec<_>>()) {
            let (name, Missing { package, .. }) = &missing[at];
            match read {
                Ok(read) => _ = found.insert(*name, read),
                Err(error) => {
                    self.client.forget(package, store)?;
                    refused.insert(at, error.of(package));
                }
            }
        }
        fetched?;
        refused.into_values().next().map_or(Ok(found), Err)
    }

    /// Has the tarballs in the store that are needed to pack these layers.
    pub async fn ensure<'a>(
        &self,
        layers: impl Iterator<Item = &LayerPlan>,
        tarballs: impl Iterator<Item = (&'a LockedPackage, &'a ReadTarball)>,
        context: &Context,
    ) -> Result<(), BuildError> {
        let entries = layers.flat_map(|layer| &layer.fragments).flat_map(|fragment| fragment.tree.iter());
        let needed: BTreeSet<Digest> = entries
            .filter_map(|(_, entry)| match &entry.kind {
                Kind::File(Content::Archived { archive, .. }) => Some(archive.digest()),
                _ => None,
            })
            .collect();
        self.have(tarballs.filter(|(_, tarball)| needed.contains(&tarball.descriptor.digest)), context).await
    }

    /// Fetches again what is not in the store any more.
    pub async fn have<'a>(
        &self,
        tarballs: impl Iterator<Item = (&'a LockedPackage, &'a ReadTarball)>,
        context: &Context,
    ) -> Result<(), BuildError> {
        let needed: BTreeMap<Digest, (&LockedPackage, &ReadTarball)> =
            tarballs.map(|(package, tarball)| (tarball.descriptor.digest, (package, tarball))).collect();
        let is_lost = |(package, tarball): &(&'a LockedPackage, &ReadTarball)| {
            let found = context.store.intact_blob(&tarball.descriptor)?;
            Ok::<_, StoreError>(found.is_none().then_some((*package, tarball.descriptor.digest)))
        };
        let lost = block_in_place(|| needed.par_iter().map(|(_, each)| is_lost(each)).collect::<Result<Vec<_>, _>>())?;
        let (lost, digests): (Vec<&LockedPackage>, Vec<Digest>) = lost.into_iter().flatten().unzip();
        let fetched =
            self.client.fetch_all(lost, &context.store, &*context.progress, &context.cancellation, &|_, _| ()).await?;
        for (expected, fetched) in digests.into_iter().zip(fetched) {
            let actual = fetched.descriptor.digest;
            if actual != expected {
                return Err(StoreError::Digest { expected, actual }.into());
            }
        }
        Ok(())
    }
}
/// A tarball that the store does not have.
struct Missing<'a> {
    package: &'a LockedPackage,
    opening: Opening,
    /// Where its files will lie in images, most likely.
    places: Vec<WorkspacePath>,
}
