//! `pirogue base update`: what references stand for now, and what that changes.

use std::collections::{BTreeMap, BTreeSet};

use super::lock::BaseLock;
use super::{BaseError, BaseLockError, ResolvedBase, resolve_pinned};
use crate::build::{BuildError, BuildRequest, Context, platforms};
use crate::config::Settings;
use crate::digest::Digest;
use crate::image::BaseSoftware;
use crate::lock::LockedBase;
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
    let mut bases = Vec::new();
    for reference in wanted {
        context.cancellation.check()?;
        context.progress.step(&format!("resolving the base {reference}"));
        bases.push(change(reference, &lock, &platforms, &request.dir, context).await?);
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

async fn change(
    reference: String,
    lock: &BaseLock,
    platforms: &[Platform],
    dir: &HostPath,
    context: &Context,
) -> Result<BaseChange, BuildError> {
    let before = lock.entry(&reference);
    let after = super::offered(&reference, dir, context).await?;
    let mut images = BTreeMap::new();
    for wanted in platforms {
        let Some((platform, manifest)) = after.offered(wanted).cloned().zip(after.manifest(wanted)) else { continue };
        let old = before.filter(|old| old.manifest(wanted).is_some());
        if old.and_then(|old| old.manifest(wanted)) == Some(manifest) {
            continue;
        }
        let Some(new) = resolve_pinned(&reference, dir, wanted, &after, context).await? else { continue };
        let old = match old {
            Some(old) => if_still_there(resolve_pinned(&reference, dir, wanted, old, context).await)?,
            None => None,
        };
        images.insert(platform, ImageChange::between(old.as_ref(), &new));
    }
    Ok(BaseChange { before: before.cloned(), after, images, reference })
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
