//! The step that resolves bases: from what the user wrote to a manifest, a config and the merged file system.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufReader, Read};
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::task::JoinHandle;

use super::{BuildError, BuildRequest, Context};
use crate::config::Settings;
use crate::image::{BaseFiles, BaseImage};
use crate::layer::{LayerListing, ListingError, list};
use crate::layout::LayoutError;
use crate::manifest::{Descriptor, DocumentError, ImageConfig, Index, Manifest, Raw, media_type};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::{RegistryError, Repository};
use crate::transfer::{Document, Place, PlaceError, Source, TransferError};

/// The base where nobody names one.
const DEFAULT_BASE: &str = "node:20-alpine";

/// The files of the base whose contents matter, besides what it has where.
const TEXTS: [&str; 5] = ["/etc/passwd", "/etc/group", "/etc/shadow", "/etc/os-release", "/usr/lib/os-release"];

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
    /// No name of a place.
    #[error(transparent)]
    Place(#[from] PlaceError),
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
            Self::Place(error) => error.hint(),
            Self::NotAnImage { .. } | Self::UnknownLayer { .. } => {
                Some("name a base that runs as a container, such as `--base node:20-alpine`".into())
            }
            Self::Document { .. } | Self::Listing { .. } => None,
        }
    }
}

/// A failure of reading the base, told as that.
fn unread(base: &str, error: TransferError) -> BuildError {
    match error {
        TransferError::Registry(source) => BaseError::Registry { base: base.to_owned(), source }.into(),
        TransferError::Layout(source) => BaseError::Layout(source).into(),
        other => other.into(),
    }
}

/// A base, what it holds, and where its blobs are.
#[derive(Clone, Debug)]
pub struct ResolvedBase {
    /// Manifest and config.
    pub image: BaseImage,
    /// The merged file system.
    pub files: Arc<BaseFiles>,
    source: Source,
}

impl ResolvedBase {
    /// The repository the base was pulled from, from which a registry can mount its layers.
    pub fn repository(&self) -> Option<&Repository> {
        self.source.repository()
    }

    /// The file that holds a layer of the base: fetched and verified, unless the store has it.
    pub async fn fetch(&self, layer: &Descriptor, context: &Context) -> Result<HostPath, BuildError> {
        let fetched = self.source.fetch(layer, &context.transfer()).await;
        fetched.map_err(|error| unread(&self.image.name, error))
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
    let place = Place::parse(name, dir).map_err(BaseError::Place)?;
    let source = Source::open(&place, &context.transfer()).await.map_err(|error| unread(name, error))?;
    let mut found = source.root(&context.transfer()).await.map_err(|error| unread(name, error))?;
    let document = |source| BaseError::Document { base: name.to_owned(), source };
    // An index may hold indexes; no real one is deeper than this.
    for _ in 0..4 {
        if !media_type::is_index(&found.descriptor.media_type) {
            return resolved_image(name, platform, found, source, context).await;
        }
        let index: Raw<Index> = Raw::parse("image index", found.bytes).map_err(document)?;
        let chosen = index.parsed().choose(platform).map_err(|offered| {
            let (base, wanted) = (name.to_owned(), platform.clone());
            BaseError::NoSuchPlatform { base, wanted, offered }
        })?;
        found = source.document(chosen, &context.transfer()).await.map_err(|error| unread(name, error))?;
    }
    Err(BaseError::NotAnImage { base: name.to_owned(), media_type: media_type::INDEX.to_owned() }.into())
}

async fn resolved_image(
    name: &str,
    platform: &Platform,
    found: Document,
    source: Source,
    context: &Context,
) -> Result<ResolvedBase, BuildError> {
    let Document { descriptor: Descriptor { media_type, .. }, bytes } = found;
    if !media_type::is_manifest(&media_type) {
        return Err(BaseError::NotAnImage { base: name.to_owned(), media_type }.into());
    }
    let document = |source| BaseError::Document { base: name.to_owned(), source };
    let manifest: Raw<Manifest> = Raw::parse("image manifest", bytes).map_err(document)?;
    let path = source.fetch(&manifest.parsed().config, &context.transfer()).await;
    let path = path.map_err(|error| unread(name, error))?;
    let config = std::fs::read(&path).map_err(|error| context.store.read_error(&path, error))?;
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
    Ok(ResolvedBase { image, files: Arc::new(BaseFiles::merge(&listings)), source })
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
    // Only layers get here.
    let compression = media_type::compression(&layer.media_type).unwrap_or(media_type::Compression::None);
    let read = move |blob: Box<dyn Read + Send>| list(BufReader::with_capacity(1 << 16, blob), compression, &TEXTS);
    let listing = source.read(layer, &context.transfer(), read).await.map_err(|error| unread(name, error))?;
    let listing = listing.map_err(|source| BaseError::Listing { base: name.to_owned(), source })?;
    let bytes = serde_json::to_vec(&listing).unwrap_or_default();
    context.store.put_fact(&fact, &bytes)?;
    Ok(listing)
}
