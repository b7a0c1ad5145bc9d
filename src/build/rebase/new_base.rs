//! The bases that images move to.

use std::collections::BTreeMap;

use super::Refusal;
use super::deployed::{DeployedImage, DeployedService};
use crate::build::base::{BaseError, Match, ResolvedBase, annotated_name, offered, resolve_pinned};
use crate::build::fleet::Fleet;
use crate::build::{BuildError, BuildRequest, Context};
use crate::lock::LockedBase;
use crate::path::HostPath;
use crate::platform::Platform;
use crate::transfer::Medium;

/// A base for all platforms that an image has.
pub(super) struct NewBase {
    /// As it was named.
    pub name: String,
    /// For each platform that was asked for: the base, or those that it has instead.
    resolved: Vec<(Platform, Result<ResolvedBase, Vec<Platform>>)>,
}

/// The bases of all services, by their names.
pub(super) struct NewBases {
    /// For each service the name of its base; `None` where nobody knows one.
    chosen: BTreeMap<String, Option<String>>,
    bases: BTreeMap<String, NewBase>,
}

/// The name of a base, and where a layout among such is.
struct Chosen {
    name: String,
    dir: HostPath,
    locked: Option<LockedBase>,
}

impl NewBases {
    /// Resolves the base of each service for its platforms. Services that name the same one share it.
    pub async fn resolve(
        deployed: &[DeployedService],
        fleet: &Fleet,
        request: &BuildRequest,
        context: &Context,
    ) -> Result<Self, BuildError> {
        let mut found = Self { chosen: BTreeMap::new(), bases: BTreeMap::new() };
        let mut locked: BTreeMap<String, LockedBase> = BTreeMap::new();
        for service in deployed.iter().filter(|service| service.digest.is_some()) {
            let chosen = choose(service, fleet, request);
            found.chosen.insert(service.reference.to_string(), chosen.as_ref().map(|chosen| chosen.name.clone()));
            let Some(Chosen { name, dir, locked: entry }) = chosen else { continue };
            if !locked.contains_key(&name) {
                context.progress.step(&format!("resolving the base {name}"));
                let known = match entry {
                    Some(entry) => entry,
                    None => offered(&name, &dir, context).await?,
                };
                locked.insert(name.clone(), known);
            }
            let Some(pinned) = locked.get(&name) else { continue };
            let base =
                found.bases.entry(name.clone()).or_insert_with(|| NewBase { name: name.clone(), resolved: Vec::new() });
            for platform in service.platforms(&request.platforms) {
                if base.resolved.iter().any(|(known, _)| *known == platform) {
                    continue;
                }
                let resolved = match resolve_pinned(&name, &dir, &platform, pinned, context).await {
                    Err(BuildError::Base(BaseError::NoSuchPlatform { offered, .. })) => Err(offered),
                    resolved => resolved?.ok_or_else(Vec::new),
                };
                base.resolved.push((platform, resolved));
            }
        }
        Ok(found)
    }

    /// The base that a service's images move to.
    pub fn of_service(&self, service: &DeployedService) -> Result<&NewBase, Refusal> {
        let name = self.chosen.get(&service.reference.to_string()).and_then(Option::as_ref);
        name.and_then(|name| self.bases.get(name)).ok_or(Refusal::NoBase)
    }
}

impl NewBase {
    /// The base for the platform of an image.
    pub fn of_image(&self, image: &DeployedImage) -> Result<&ResolvedBase, Refusal> {
        let accepted = |(platform, _): &&(Platform, _)| platform.accepts(&image.platform);
        match self.resolved.iter().find(accepted) {
            Some((_, Ok(base))) => Ok(base),
            Some((_, Err(offered))) => Err(Refusal::NoSuchPlatform(offered.clone())),
            None => Err(Refusal::NoSuchPlatform(Vec::new())),
        }
    }

    /// Whether an image lies on this base already.
    pub fn lies_below(&self, image: &DeployedImage) -> bool {
        self.of_image(image).is_ok_and(|base| {
            let (manifest, below) = (image.known.manifest.parsed(), &base.image.manifest);
            Match::of(manifest, below) == Match::Same
        })
    }
}

/// The base that a build of the service would take now: the request's, else that of `pirogue.toml`; where neither names one,
/// the one that the image says to lie on. The lock says what it stands for.
fn choose(service: &DeployedService, fleet: &Fleet, request: &BuildRequest) -> Option<Chosen> {
    let entry = |name: &str| fleet.lock.as_ref().and_then(|lock| lock.bases.get(name)).cloned();
    if let Some(name) = &request.base {
        // A directory that is typed is relative to where that was done, and so another than the same words in a file.
        let locked = if Medium::of(name).0 == Medium::Registry { entry(name) } else { None };
        return Some(Chosen { name: name.clone(), dir: HostPath::new(""), locked });
    }
    let dir = fleet.dir.clone();
    if let Some(name) = fleet.settings.of_service(&service.name).base {
        return Some(Chosen { locked: entry(&name), name, dir });
    }
    let said = service.base_name()?;
    let names = fleet.lock.iter().flat_map(|lock| lock.bases.keys());
    let name = names.into_iter().find(|name| annotated_name(name).as_ref() == Some(said)).unwrap_or(said).clone();
    Some(Chosen { locked: entry(&name), name, dir })
}
