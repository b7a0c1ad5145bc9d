//! The step that resolves bases: from what the user wrote, and what the lock says it stands for, to a manifest, a config
//! and the merged file system.

mod error;
mod known;
mod lock;
mod name;
pub(super) mod offer;
mod status;
mod update;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::sync::Arc;

use futures_util::future::{join_all, try_join_all};
use tokio::task::JoinHandle;

pub use error::BaseError;
pub(super) use error::unread;
pub(super) use known::KnownImage;
pub(super) use lock::BaseLock;
pub use lock::BaseLockError;
pub(super) use name::annotated_name;
use name::public_name;
use offer::Offer;
pub(super) use status::if_it_can_be_had;
pub use status::{DeployedImage, FoundImage, Match, base_status};
pub use update::{BaseChange, BaseUpdate, ImageChange, PackageChange, update_bases};

use super::{BuildError, BuildRequest, Context};
use crate::apk::{self, PinnedPackage};
use crate::config::Settings;
use crate::image::{BaseFiles, BaseImage, CERTIFICATE_BUNDLES};
use crate::layer::{KeptFiles, LayerListing, list};
use crate::lock::LockedBase;
use crate::manifest::{Descriptor, ImageConfig, Manifest, Raw, media_type};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::{RegistryError, Repository};
use crate::transfer::{Document, Place, Source};

/// The base where nobody names one.
const DEFAULT_BASE: &str = "node:20-alpine";

/// The files of the base whose contents matter, besides what it has where.
const TEXTS: [&str; 11] = [
    "/etc/passwd",
    "/etc/group",
    "/etc/shadow",
    "/etc/os-release",
    "/usr/lib/os-release",
    "/etc/alpine-release",
    "/etc/debian_version",
    "/var/lib/dpkg/status",
    "/var/lib/dpkg/status.d/libc6",
    "/usr/local/include/node/node_version.h",
    "/usr/include/node/node_version.h",
];

/// A base, what it holds, and where its blobs are.
#[derive(Clone, Debug)]
pub struct ResolvedBase {
    /// Manifest and config.
    pub image: BaseImage,
    /// The merged file system.
    pub files: Arc<BaseFiles>,
    /// What its reference stands for, on every platform.
    pub locked: LockedBase,
    source: Source,
}

impl ResolvedBase {
    /// The repository the base was pulled from, from which a registry can mount its layers.
    pub fn repository(&self) -> Option<&Repository> {
        self.source.repository()
    }

    /// The packages that the lock has for it: of each it names only that very one may be added.
    pub fn pinned_packages(&self) -> Result<Vec<PinnedPackage>, BaseLockError> {
        lock::pinned_packages(&self.locked, &self.image.platform)
    }

    /// The file that holds a layer of the base: fetched and verified, unless the store has it.
    pub async fn fetch(&self, layer: &Descriptor, context: &Context) -> Result<HostPath, BuildError> {
        let fetched = self.source.fetch(layer, &context.transfer()).await;
        fetched.map_err(|error| unread(&self.image.name, error))
    }
}

/// The bases of a build, for each platform.
#[derive(Clone, Debug, Default)]
pub struct Bases(BTreeMap<String, Vec<ResolvedBase>>);

impl Bases {
    /// What the names of bases stand for.
    pub fn locked(&self) -> impl Iterator<Item = (&String, &LockedBase)> {
        self.0.iter().filter_map(|(name, bases)| Some((name, &bases.first()?.locked)))
    }

    /// The bases for a platform, by the names the user gave them.
    pub fn of_platform<'a>(&'a self, platform: &'a Platform) -> impl Iterator<Item = (&'a str, &'a ResolvedBase)> {
        self.0.keys().filter_map(|name| Some((name.as_str(), self.get(name, platform)?)))
    }

    /// The base that the user calls `name`, for a platform.
    pub fn get(&self, name: &str, platform: &Platform) -> Option<&ResolvedBase> {
        self.0.get(name)?.iter().find(|base| platform.accepts(&base.image.platform))
    }
}

/// Bases that are being resolved while other work goes on. Dropped, it ends that.
pub(super) struct Resolving {
    tasks: Vec<(String, JoinHandle<Result<Vec<ResolvedBase>, BuildError>>)>,
    resolved: Option<Arc<Bases>>,
}

impl Drop for Resolving {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }
}

impl Resolving {
    /// Waits for the bases.
    pub async fn finish(&mut self) -> Result<Arc<Bases>, BuildError> {
        if let Some(resolved) = &self.resolved {
            return Ok(resolved.clone());
        }
        let mut bases = Bases::default();
        for (name, task) in &mut self.tasks {
            let resolved = task.await.unwrap_or_else(|error| Err(BuildError::Task(error.into())))?;
            bases.0.insert(name.clone(), resolved);
        }
        Ok(self.resolved.insert(Arc::new(bases)).clone())
    }
}

/// Starts to resolve the base of each of these services for each platform; services that name the same one share it.
pub(super) fn start(
    services: &BTreeSet<String>,
    settings: &Settings,
    request: &BuildRequest,
    platforms: &[Platform],
    lock: &BaseLock,
    context: &Context,
) -> Result<Resolving, BuildError> {
    let mut resolving = Resolving { tasks: Vec::new(), resolved: None };
    for service in services {
        let name = base_name(service, settings, request);
        if resolving.tasks.iter().any(|(known, _)| *known == name) {
            continue;
        }
        // Typed by the user: relative to where it was typed. From pirogue.toml: relative to the workspace.
        let dir = if request.base.is_some() { HostPath::new("") } else { request.dir.clone() };
        let pinned = lock.pinned(&name)?;
        context.progress.step(&format!("resolving the base {name}"));
        let (base, platforms, context) = (name.clone(), platforms.to_vec(), context.clone());
        let task = tokio::spawn(async move { resolve(&base, &dir, &platforms, pinned, &context).await });
        resolving.tasks.push((name, task));
    }
    Ok(resolving)
}

/// The base of a service, as the user names it.
pub(super) fn base_name(service: &str, settings: &Settings, request: &BuildRequest) -> String {
    request.base.clone().unwrap_or_else(|| configured_base(service, settings))
}

/// The base of a service where nobody types one.
fn configured_base(service: &str, settings: &Settings) -> String {
    settings.of_service(service).base.unwrap_or_else(|| DEFAULT_BASE.to_owned())
}

/// What the reference of a base stands for now.
pub(super) async fn offered(name: &str, dir: &HostPath, context: &Context) -> Result<LockedBase, BuildError> {
    Ok(offer::of(name, &open(name, dir, context).await?, context).await?.locked)
}

async fn open(name: &str, dir: &HostPath, context: &Context) -> Result<Source, BuildError> {
    let place = Place::parse(name, dir).map_err(BaseError::Place)?;
    Source::open(&place, &context.transfer()).await.map_err(|error| unread(name, error))
}

/// Resolves a base for each platform: as `pinned`, else as its place names it now. What its name stands for is asked once,
/// so that all are of one make.
async fn resolve(
    name: &str,
    dir: &HostPath,
    platforms: &[Platform],
    pinned: Option<LockedBase>,
    context: &Context,
) -> Result<Vec<ResolvedBase>, BuildError> {
    let source = open(name, dir, context).await?;
    let own_digest = if let Source::Registry(_, reference) = &source { reference.digest() } else { None };
    if let Some(pinned) = pinned.as_ref().filter(|pinned| own_digest.is_some_and(|digest| digest != pinned.digest)) {
        return Err(BaseError::LockedToAnother { base: name.to_owned(), digest: pinned.digest }.into());
    }
    // A name with a digest is gone like any other, and no lock can be blamed for it.
    let locked_to = pinned.as_ref().filter(|_| own_digest.is_none()).map(|pinned| pinned.digest);
    let gone = |error| match (error, locked_to) {
        (BuildError::Base(BaseError::Registry { source: RegistryError::NotFound(_), base }), Some(digest)) => {
            BaseError::Gone { base, digest }.into()
        }
        (other, _) => other,
    };
    let offered = match &pinned {
        Some(pinned) => offer::with_digest(name, pinned.digest, &source, context).await.map_err(gone)?,
        None => offer::of(name, &source, context).await?,
    };
    let locked = pinned.as_ref().unwrap_or(&offered.locked);
    let resolving = platforms.iter().map(async |platform| {
        let image = of_platform(name, platform, locked, &offered, &source, context).await;
        image.map_err(gone)
    });
    // All are waited for, so that it is always the first platform's error that is told.
    join_all(resolving).await.into_iter().collect()
}

/// Resolves a pinned base for one platform.
pub(super) async fn resolve_pinned(
    name: &str,
    dir: &HostPath,
    platform: &Platform,
    pinned: &LockedBase,
    context: &Context,
) -> Result<Option<ResolvedBase>, BuildError> {
    Ok(resolve(name, dir, std::slice::from_ref(platform), Some(pinned.clone()), context).await?.pop())
}

/// Resolves a base for one platform: as it is `offered`, which has to be what is `locked`.
async fn of_platform(
    name: &str,
    platform: &Platform,
    locked: &LockedBase,
    offered: &Offer,
    source: &Source,
    context: &Context,
) -> Result<ResolvedBase, BuildError> {
    let base = || name.to_owned();
    let Some((described, digest)) = offered.image(platform) else {
        let (wanted, offered) = (Box::new(platform.clone()), offered.locked.manifests.keys().cloned().collect());
        return Err(BaseError::NoSuchPlatform { base: base(), wanted, offered }.into());
    };
    if locked.manifest(platform) != Some(digest) {
        return Err(BaseError::LockContradiction { base: base(), digest }.into());
    }
    let found = source.document_with(digest, &context.transfer()).await.map_err(|error| unread(name, error))?;
    let found = found.ok_or_else(|| BaseError::Gone { base: base(), digest })?;
    let (image, files) = read_image(name, platform, found, described, source, context).await?;
    Ok(ResolvedBase { image, files: Arc::new(files), locked: locked.clone(), source: source.clone() })
}

/// Reads an image's documents and what its layers hold. `described` is what an index says of its platform.
async fn read_image(
    name: &str,
    platform: &Platform,
    found: Document,
    described: &Platform,
    source: &Source,
    context: &Context,
) -> Result<(BaseImage, BaseFiles), BuildError> {
    let Document { descriptor: Descriptor { media_type, .. }, bytes } = found;
    if !media_type::is_manifest(&media_type) {
        return Err(BaseError::NotAnImage { base: name.to_owned(), media_type }.into());
    }
    let document = |source| BaseError::Document { base: name.to_owned(), source };
    let manifest: Raw<Manifest> = Raw::parse("image manifest", bytes).map_err(document)?;
    let config = config_of(name, manifest.parsed(), source, context).await?;
    let offered = config.parsed().platform.clone().completed_by(described.clone());
    if !platform.accepts(&offered) {
        let (base, wanted) = (name.to_owned(), Box::new(platform.clone()));
        return Err(BaseError::NoSuchPlatform { base, wanted, offered: vec![offered] }.into());
    }
    let mut layers = Vec::new();
    for layer in &manifest.parsed().layers {
        let Some(media_type) = media_type::oci_layer(&layer.media_type) else {
            let (base, media_type) = (name.to_owned(), layer.media_type.clone());
            return Err(BaseError::UnknownLayer { base, media_type }.into());
        };
        layers.push(Descriptor::new(media_type, layer.digest, layer.size));
    }
    let (name, reference) = (name.to_owned(), public_name(source));
    let image = BaseImage { name, reference, platform: offered, manifest, config, layers };
    let listings = image.layers.iter().map(|layer| listing(&image.name, layer, source, context));
    let listings = try_join_all(listings).await?;
    Ok((image, BaseFiles::merge(&listings)))
}

/// The config that a manifest names.
async fn config_of(
    name: &str,
    manifest: &Manifest,
    source: &Source,
    context: &Context,
) -> Result<Raw<ImageConfig>, BuildError> {
    let path = source.fetch(&manifest.config, &context.transfer()).await.map_err(|error| unread(name, error))?;
    let config = std::fs::read(&path).map_err(|error| context.store.read_error(&path, error))?;
    let document = |source| BaseError::Document { base: name.to_owned(), source };
    Ok(Raw::parse("image config", config).map_err(document)?)
}

/// What a layer holds: remembered by its digest, so that a layer is fetched for this once.
async fn listing(
    name: &str,
    layer: &Descriptor,
    source: &Source,
    context: &Context,
) -> Result<LayerListing, BuildError> {
    let fact = format!("layer-listing-3-{}.json", layer.digest.hex());
    if let Some(bytes) = context.store.fact(&fact)? {
        // One that cannot be read, of whatever origin, is made again.
        if let Ok(listing) = serde_json::from_slice(&bytes) {
            return Ok(listing);
        }
    }
    // Only layers get here.
    let compression = media_type::compression(&layer.media_type).unwrap_or(media_type::Compression::None);
    let read = move |blob: Box<dyn Read + Send>| {
        let texts = [&TEXTS[..], &CERTIFICATE_BUNDLES].concat();
        list(BufReader::with_capacity(1 << 16, blob), compression, KeptFiles { texts: &texts, whole: &apk::RECORDS })
    };
    let listing = source.read(layer, &context.transfer(), read).await.map_err(|error| unread(name, error))?;
    let listing = listing.map_err(|source| BaseError::Listing { base: name.to_owned(), source })?;
    let bytes = serde_json::to_vec(&listing).unwrap_or_default();
    context.store.put_fact(&fact, &bytes)?;
    Ok(listing)
}
