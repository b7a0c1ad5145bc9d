//! `pirogue base update`: what references stand for now, and what that changes.

use std::collections::{BTreeMap, BTreeSet};

use super::lock::{BaseLock, locked_package};
use super::{BaseError, BaseLockError, ResolvedBase, configured_base, resolve_pinned};
use crate::build::system::{Adding, Addition};
use crate::build::{BuildError, BuildRequest, Context, platforms};
use crate::config::Settings;
use crate::digest::Digest;
use crate::image::BaseSoftware;
use crate::lock::{LockedBase, LockedPackage};
use crate::manifest::Descriptor;
use crate::path::HostPath;
use crate::platform::Platform;
use crate::workspace::Workspace;

/// What became of a lock.
#[derive(Clone, Debug)]
pub struct BaseUpdate {
    /// Every base that was resolved.
    pub bases: Vec<BaseChange>,
    /// The bases that no service has and that left the lock.
    pub removed: Vec<String>,
    /// The lock, if it was written.
    pub written: Option<HostPath>,
}

/// One base, before and after.
#[derive(Clone, Debug)]
pub struct BaseChange {
    /// Its reference, as the user wrote it.
    pub reference: String,
    /// What the lock had; `None` for a new one.
    pub before: Option<LockedBase>,
    /// What it stands for now.
    pub after: LockedBase,
    /// The images that changed, for the platforms that are built.
    pub images: BTreeMap<Platform, ImageChange>,
    /// The packages added to it that changed, by platform and name.
    pub packages: BTreeMap<Platform, BTreeMap<String, PackageChange>>,
}

/// A package that is added to a base, before and after.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageChange {
    /// What the lock had; `None` for a new one.
    pub before: Option<LockedPackage>,
    /// What there is now; `None` for one that is added no more.
    pub after: Option<LockedPackage>,
}

/// The image of a base for one platform, before and after.
#[derive(Clone, Debug)]
pub struct ImageChange {
    /// What was in it; `None` for a new one, or one that is no longer there to be looked at.
    pub before: Option<BaseSoftware>,
    /// What is in it now.
    pub after: BaseSoftware,
    /// Its layers.
    pub layers: Vec<Descriptor>,
    /// Those of them that the image did not have before.
    pub new_layers: Vec<Descriptor>,
}

/// Resolves the bases of a workspace again, `only` these if there are any, and writes the lock unless this is a dry run.
pub async fn update_bases(
    request: &BuildRequest,
    only: &[String],
    dry_run: bool,
    context: &Context,
) -> Result<BaseUpdate, BuildError> {
    let workspace = Workspace::discover(&request.dir)?;
    let settings = Settings::read(&workspace.root)?;
    let lock = BaseLock::read(&workspace, &settings, request)?;
    let platforms = platforms::wanted(&request.platforms, &settings.platforms)?;
    let wanted = wanted(&lock, only)?;
    let renewing = Renewing { lock: &lock, settings: &settings, platforms: &platforms, dir: &request.dir, context };
    let mut bases = Vec::new();
    for reference in wanted {
        context.cancellation.check()?;
        context.progress.step(&format!("resolving the base {reference}"));
        bases.push(renewing.base(reference).await?);
    }
    let renewed = lock.with(&bases.iter().map(|base| (&base.reference, &base.after)).collect());
    let written = !dry_run && lock.write(&renewed)?;
    Ok(BaseUpdate { bases, removed: lock.unused().cloned().collect(), written: written.then(|| lock.path().clone()) })
}

/// The bases to resolve: those that were named, each of which some service has to have, else all.
fn wanted(lock: &BaseLock, only: &[String]) -> Result<BTreeSet<String>, BaseLockError> {
    let known = lock.configured();
    if let Some(name) = only.iter().find(|name| !known.contains(*name)) {
        return Err(BaseLockError::NoSuchBase { name: name.clone(), known: known.iter().cloned().collect() });
    }
    Ok(if only.is_empty() { known.clone() } else { only.iter().cloned().collect() })
}

/// Resolving bases again.
struct Renewing<'a> {
    lock: &'a BaseLock,
    settings: &'a Settings,
    /// Those that are built for.
    platforms: &'a [Platform],
    dir: &'a HostPath,
    context: &'a Context,
}

impl Renewing<'_> {
    async fn base(&self, reference: String) -> Result<BaseChange, BuildError> {
        let before = self.lock.entry(&reference);
        let mut after = super::offered(&reference, self.dir, self.context).await?;
        let images = self.images(&reference, before, &after).await?;
        let packages = self.packages(&reference, before, &mut after).await?;
        Ok(BaseChange { before: before.cloned(), after, images, packages, reference })
    }

    /// The images that changed.
    async fn images(
        &self,
        reference: &str,
        before: Option<&LockedBase>,
        after: &LockedBase,
    ) -> Result<BTreeMap<Platform, ImageChange>, BuildError> {
        let mut images = BTreeMap::new();
        for wanted in self.platforms {
            let Some((platform, manifest)) = after.image(wanted) else { continue };
            let old = before.filter(|old| old.manifest(wanted).is_some());
            if old.and_then(|old| old.manifest(wanted)) == Some(manifest) {
                continue;
            }
            let Some(new) = resolve_pinned(reference, self.dir, wanted, after, self.context).await? else { continue };
            let old = match old {
                Some(old) => if_still_there(resolve_pinned(reference, self.dir, wanted, old, self.context).await)?,
                None => None,
            };
            images.insert(platform.clone(), ImageChange::between(old.as_ref(), &new));
        }
        Ok(images)
    }

    /// Chooses the packages anew that services add to a base, on the platforms that are built for and on those that the
    /// lock had packages for. Gives what changed.
    async fn packages(
        &self,
        reference: &str,
        before: Option<&LockedBase>,
        after: &mut LockedBase,
    ) -> Result<BTreeMap<Platform, BTreeMap<String, PackageChange>>, BuildError> {
        let additions = self.additions(reference)?;
        let locked = before.into_iter().flat_map(LockedBase::platforms_with_packages);
        let wanted = self.platforms.iter().chain(locked).filter_map(|platform| after.offered(platform).cloned());
        let mut changes = BTreeMap::new();
        for platform in wanted.collect::<BTreeSet<_>>() {
            let mut chosen = BTreeMap::new();
            if !additions.is_empty() {
                let base = resolve_pinned(reference, self.dir, &platform, after, self.context).await?;
                let Some(base) = base else { continue };
                for addition in &additions {
                    let adding = Adding { addition, base: &base, dir: self.dir, pins: &[], context: self.context };
                    let packages = adding.packages().await?;
                    chosen.extend(packages.iter().map(locked_package).map(|package| (package.name.clone(), package)));
                }
            }
            let changed = PackageChange::between(before.and_then(|before| before.packages(&platform)), &chosen);
            if !changed.is_empty() {
                changes.insert(platform.clone(), changed);
            }
            // The platform is one that the base has.
            let _ = after.set_packages(&platform, chosen.into_values());
        }
        Ok(changes)
    }

    /// What is added to a base, each once, whichever services want it.
    fn additions(&self, reference: &str) -> Result<Vec<Addition>, BuildError> {
        let mut additions = Vec::new();
        for service in self.lock.services().iter().filter(|name| configured_base(name, self.settings) == reference) {
            let addition = Addition::configured(service, self.settings, self.dir)?;
            additions.extend(addition.filter(|addition| !additions.contains(addition)));
        }
        Ok(additions)
    }
}

impl PackageChange {
    fn between(
        before: Option<&BTreeMap<String, LockedPackage>>,
        after: &BTreeMap<String, LockedPackage>,
    ) -> BTreeMap<String, Self> {
        let mut either: BTreeMap<String, Self> = BTreeMap::new();
        for (name, package) in before.into_iter().flatten() {
            either.insert(name.clone(), Self { before: Some(package.clone()), after: None });
        }
        for (name, package) in after {
            let change = either.entry(name.clone()).or_insert(Self { before: None, after: None });
            change.after = Some(package.clone());
        }
        either.retain(|_, change| change.before != change.after);
        either
    }
}

/// A base that was locked may be gone from its registry, or the lock may be wrong: then nothing is known of it.
fn if_still_there(resolved: Result<Option<ResolvedBase>, BuildError>) -> Result<Option<ResolvedBase>, BuildError> {
    match resolved {
        Err(BuildError::Base(
            BaseError::Gone { .. } | BaseError::LockedToAnother { .. } | BaseError::LockContradiction { .. },
        )) => Ok(None),
        resolved => resolved,
    }
}

impl ImageChange {
    fn between(before: Option<&ResolvedBase>, after: &ResolvedBase) -> Self {
        let software = |base: &ResolvedBase| BaseSoftware::of(&base.image, &base.files);
        let had: BTreeSet<Digest> =
            before.iter().flat_map(|base| &base.image.layers).map(|layer| layer.digest).collect();
        let layers = after.image.layers.clone();
        let new_layers = layers.iter().filter(|layer| !had.contains(&layer.digest)).cloned().collect();
        Self { before: before.map(software), after: software(after), layers, new_layers }
    }
}
