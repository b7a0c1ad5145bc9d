//! The step that resolves bases: from what the user wrote to a manifest, a config and the merged file system.

mod download;
mod source;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::sync::Arc;

use futures_util::future::try_join_all;
use source::{Source, pull};
use tokio::task::{JoinHandle, spawn_blocking};

use super::destination::split_layout;
use super::{BuildError, BuildRequest, Context};
use crate::config::Settings;
use crate::image::{BaseFiles, BaseImage};
use crate::layer::{LayerListing, ListingError, list};
use crate::layout::{Layout, LayoutError};
use crate::manifest::{Descriptor, DocumentError, ImageConfig, Index, Manifest, Raw, media_type};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::{Reference, ReferenceError, RegistryError, Repository};

/// The base where nobody names one.
const DEFAULT_BASE: &str = "node:20-alpine";

/// The files of the base whose contents matter, besides what it has where.
const TEXTS: [&str; 5] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/os-release", "/usr/lib/os-release"];

/// A base as the user names it.
#[derive(Clone, Debug)]
pub enum BaseReference {
    /// In a registry.
    Registry(Reference),
    /// `oci:DIR[:TAG]`
    Layout {
        /// The directory.
        dir: HostPath,
        /// The name of the image in it.
        name: Option<String>,
    },
}

/// Why a base cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The base is not there for the wanted platform.
    #[error("the base has no image for {wanted}, only for {}: `{base}`", list_platforms(.offered))]
    NoSuchPlatform {
        /// The base.
        base: String,
        /// The platform asked for.
        wanted: Platform,
        /// The platforms it has.
        offered: Vec<Platform>,
    },
    /// Not an image.
    #[error("not an image but a `{media_type}`: `{base}`")]
    NotAnImage {
        /// The base.
        base: String,
        /// What it is.
        media_type: String,
    },
    /// A layer that is no tar.
    #[error("a layer of the base has a media type that is no layer's, `{media_type}`: `{base}`")]
    UnknownLayer {
        /// The base.
        base: String,
        /// The media type.
        media_type: String,
    },
    /// A document is not what it should be.
    #[error("{source}: `{base}`")]
    Document {
        /// The base.
        base: String,
        /// What is wrong.
        source: DocumentError,
    },
    /// A layer cannot be read.
    #[error("{source}: `{base}`")]
    Listing {
        /// The base.
        base: String,
        /// What is wrong.
        source: ListingError,
    },
    /// No reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The registry refused or cannot be reached.
    #[error("cannot get the base `{base}`: {source}")]
    Registry {
        /// The base.
        base: String,
        /// Why.
        source: RegistryError,
    },
    /// The layout cannot be read.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

fn list_platforms(platforms: &[Platform]) -> String {
    platforms.iter().map(|platform| format!("`{platform}`")).collect::<Vec<_>>().join(", ")
}

impl BaseError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoSuchPlatform { offered, .. } => {
                offered.first().map(|platform| format!("build for one it has: `--platform {platform}`"))
            }
            Self::Registry { source, .. } => source
                .hint()
                .or_else(|| Some("to build without a registry: `--base oci:DIR`, an OCI layout on this disk".into())),
            Self::Layout(error) => error.hint(),
            Self::Reference(error) => error.hint(),
            Self::NotAnImage { .. } | Self::UnknownLayer { .. } => {
                Some("name a base that runs as a container, such as `--base node:20-alpine`".into())
            }
            Self::Document { .. } | Self::Listing { .. } => None,
        }
    }
}

impl BaseReference {
    /// Reads what the user wrote; a layout's directory is relative to `dir`.
    fn parse(text: &str, dir: &HostPath) -> Result<Self, BaseError> {
        match text.strip_prefix("oci:") {
            Some(layout) => {
                let (path, name) = split_layout(layout);
                Ok(Self::Layout { dir: dir.join(path), name })
            }
            None => Ok(Self::Registry(text.parse()?)),
        }
    }
}

/// A base, what it holds, and where its blobs are.
#[derive(Clone, Debug)]
pub struct ResolvedBase {
    /// Manifest and config.
    pub image: BaseImage,
    /// The merged file system.
    pub files: BaseFiles,
    source: Source,
}

impl ResolvedBase {
    /// The repository the base was pulled from, from which a registry can mount its layers.
    pub fn repository(&self) -> Option<&Repository> {
        match &self.source {
            Source::Registry(_, repository) => Some(repository),
            Source::Layout(_) => None,
        }
    }

    /// The file that holds a layer of the base: fetched and verified, unless the store has it.
    pub async fn fetch(&self, layer: &Descriptor, context: &Context) -> Result<HostPath, BuildError> {
        self.source.fetch(&self.image.name, layer, context).await
    }
}

/// Bases that are being resolved while other work goes on. Dropped, it ends that.
pub(super) struct Resolving {
    tasks: Vec<(String, JoinHandle<Result<ResolvedBase, BuildError>>)>,
    resolved: Option<Arc<BTreeMap<String, ResolvedBase>>>,
}

impl Drop for Resolving {
    fn drop(&mut self) {
        self.tasks.iter().for_each(|(_, task)| task.abort());
    }
}

impl Resolving {
    /// Waits for the bases, by the names the user gave them.
    pub async fn finish(&mut self) -> Result<Arc<BTreeMap<String, ResolvedBase>>, BuildError> {
        if let Some(resolved) = &self.resolved {
            return Ok(resolved.clone());
        }
        let mut by_name = BTreeMap::new();
        for (name, task) in &mut self.tasks {
            let resolved = task.await.unwrap_or_else(|error| Err(BuildError::Task(error.into())))?;
            by_name.insert(name.clone(), resolved);
        }
        Ok(self.resolved.insert(Arc::new(by_name)).clone())
    }
}

/// Starts to resolve the base of each of these services; services that name the same one share it.
pub(super) fn start(
    services: &BTreeSet<String>,
    settings: &Settings,
    request: &BuildRequest,
    platform: &Platform,
    context: &Context,
) -> Resolving {
    let mut resolving = Resolving { tasks: Vec::new(), resolved: None };
    for service in services {
        let name = base_name(service, settings, request);
        if resolving.tasks.iter().any(|(known, _)| *known == name) {
            continue;
        }
        // Typed by the user: relative to where it was typed. From pirogue.toml: relative to the workspace.
        let dir = if request.base.is_some() { HostPath::new("") } else { request.dir.clone() };
        context.progress.step(&format!("resolving the base {name}"));
        let (base, platform, context) = (name.clone(), platform.clone(), context.clone());
        let task = tokio::spawn(async move { resolve(&base, &dir, &platform, &context).await });
        resolving.tasks.push((name, task));
    }
    resolving
}

/// The base of a service, as the user names it.
pub(super) fn base_name(service: &str, settings: &Settings, request: &BuildRequest) -> String {
    let configured = || settings.of_service(service).base;
    request.base.clone().or_else(configured).unwrap_or_else(|| DEFAULT_BASE.to_owned())
}

async fn resolve(
    name: &str,
    dir: &HostPath,
    platform: &Platform,
    context: &Context,
) -> Result<ResolvedBase, BuildError> {
    let (source, mut found) = match BaseReference::parse(name, dir)? {
        BaseReference::Registry(reference) => {
            let source = Source::Registry(context.client.clone(), reference.repository().clone());
            (source, pull(name, &context.client, &reference, &context.store).await?)
        }
        BaseReference::Layout { dir, name } => {
            let layout = Layout::open(&dir).map_err(BaseError::Layout)?;
            let descriptor = layout.find(name.as_deref()).map_err(BaseError::Layout)?;
            let bytes = layout.document(&descriptor).map_err(BaseError::Layout)?;
            (Source::Layout(layout), (descriptor.media_type, bytes))
        }
    };
    let document = |source| BaseError::Document { base: name.to_owned(), source };
    // An index may hold indexes; no real one is deeper than this.
    for _ in 0..4 {
        let (media_type, bytes) = found;
        if !media_type::is_index(&media_type) {
            return resolved_image(name, platform, media_type, bytes, source, context).await;
        }
        let index: Raw<Index> = Raw::parse("image index", bytes).map_err(document)?;
        let chosen = choose(name, index.parsed(), platform)?;
        found = (chosen.media_type.clone(), source.document(name, &chosen, context).await?);
    }
    Err(BaseError::NotAnImage { base: name.to_owned(), media_type: media_type::INDEX.to_owned() }.into())
}

/// The manifest of the wanted platform. Attestations, which have the platform `unknown`, are passed over.
fn choose(name: &str, index: &Index, wanted: &Platform) -> Result<Descriptor, BaseError> {
    let known = |descriptor: &&Descriptor| descriptor.platform.as_ref().is_none_or(|platform| !platform.is_unknown());
    let accepted =
        |descriptor: &&Descriptor| descriptor.platform.as_ref().is_some_and(|offered| wanted.accepts(offered));
    if let Some(descriptor) = index.manifests.iter().find(accepted) {
        return Ok(descriptor.clone());
    }
    match &index.manifests.iter().filter(known).collect::<Vec<_>>()[..] {
        // One manifest that says nothing of its platform: its config will.
        [only] if only.platform.is_none() => Ok((*only).clone()),
        others => Err(BaseError::NoSuchPlatform {
            base: name.to_owned(),
            wanted: wanted.clone(),
            offered: others.iter().filter_map(|descriptor| descriptor.platform.clone()).collect(),
        }),
    }
}

async fn resolved_image(
    name: &str,
    platform: &Platform,
    media_type: String,
    bytes: Vec<u8>,
    source: Source,
    context: &Context,
) -> Result<ResolvedBase, BuildError> {
    if !media_type::is_manifest(&media_type) {
        return Err(BaseError::NotAnImage { base: name.to_owned(), media_type }.into());
    }
    let document = |source| BaseError::Document { base: name.to_owned(), source };
    let manifest: Raw<Manifest> = Raw::parse("image manifest", bytes).map_err(document)?;
    let config = source.config(name, &manifest.parsed().config, context).await?;
    let config: Raw<ImageConfig> = Raw::parse("image config", config).map_err(document)?;
    let offered = config.parsed().platform.clone();
    if !platform.accepts(&offered) {
        let (base, wanted) = (name.to_owned(), platform.clone());
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
    let image = BaseImage { name: name.to_owned(), platform: offered, manifest, config, layers };
    let listings = image.layers.iter().map(|layer| listing(name, layer, &source, context));
    let listings = try_join_all(listings).await?;
    Ok(ResolvedBase { image, files: BaseFiles::merge(&listings), source })
}

/// What a layer holds: remembered by its digest, so that a layer is fetched for this once.
async fn listing(
    name: &str,
    layer: &Descriptor,
    source: &Source,
    context: &Context,
) -> Result<LayerListing, BuildError> {
    let fact = format!("layer-listing-1-{}.json", layer.digest.hex());
    if let Some(bytes) = context.store.fact(&fact)? {
        // One that cannot be read, of whatever origin, is made again.
        if let Ok(listing) = serde_json::from_slice(&bytes) {
            return Ok(listing);
        }
    }
    let base = name.to_owned();
    // Only layers get here.
    let compression = media_type::compression(&layer.media_type).unwrap_or(media_type::Compression::None);
    let read = move |blob: Box<dyn Read + Send>| {
        let damaged = |source| BaseError::Listing { base, source };
        Ok(list(BufReader::with_capacity(1 << 16, blob), compression, &TEXTS).map_err(damaged)?)
    };
    let listing = source.read(name, layer, context, read).await?;
    let bytes = serde_json::to_vec(&listing).unwrap_or_default();
    context.store.put_fact(&fact, &bytes)?;
    Ok(listing)
}

/// Runs work that blocks on a thread of its own.
pub(super) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, BuildError> + Send + 'static,
) -> Result<T, BuildError> {
    spawn_blocking(work).await.unwrap_or_else(|error| Err(BuildError::Task(error.into())))
}
