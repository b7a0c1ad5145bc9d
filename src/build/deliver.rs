//! The step that brings images to their destinations: blobs, then configs, then manifests, then names.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::base::ResolvedBase;
use super::{BuildError, BuildPlan, BuildRequest, Context, Destination, PackedLayers, ServicePlan, destination, pack};
use crate::digest::Digest;
use crate::image::Image;
use crate::layout::LayoutWriter;
use crate::manifest::{Descriptor, media_type};
use crate::path::HostPath;
use crate::registry::{Pushed, Reference, Repository};
use crate::store::StoreError;

/// An image that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The service.
    pub service: String,
    /// Where it is, as other tools name it: `oci:DIR:NAME` or `HOST/REPOSITORY:TAG`.
    pub name: String,
    /// Its manifest.
    pub digest: Digest,
    /// How many bytes of blobs had to be sent; those that were there, were linked or were mounted do not count.
    pub sent_bytes: u64,
}

/// Delivers every image to every destination.
pub(super) async fn deliver(
    plan: &BuildPlan,
    packed: &mut PackedLayers,
    images: &BTreeMap<String, Image>,
    destinations: &[Destination],
    bases: &BTreeMap<String, ResolvedBase>,
    request: &BuildRequest,
    context: &Context,
) -> Result<Vec<Delivery>, BuildError> {
    let shipments: Vec<Shipment<'_>> = plan
        .services
        .iter()
        .filter_map(|service| {
            let image = images.get(&service.service.name)?;
            let base = bases.get(&service.base)?;
            let tags = destination::tags(request, &service.settings);
            Some(Shipment { service, image, base, tags })
        })
        .collect();
    let mut deliveries = Vec::new();
    for destination in destinations {
        match destination {
            Destination::Layout { dir, tag } => {
                deliveries.extend(to_layout(dir, tag.as_deref(), &shipments, plan, packed, context).await?);
            }
            Destination::Registry { repository, tag } => {
                deliveries.extend(to_registry(repository, tag.as_deref(), &shipments, plan, packed, context).await?);
            }
        }
    }
    Ok(deliveries)
}

/// An image on its way, with what it is made of.
struct Shipment<'a> {
    service: &'a ServicePlan,
    image: &'a Image,
    base: &'a ResolvedBase,
    tags: &'a [String],
}

impl Shipment<'_> {
    fn name(&self) -> &str {
        &self.service.service.name
    }

    fn config(&self) -> Descriptor {
        self.image.manifest.parsed().config.clone()
    }

    /// The file of a blob that pirogue made.
    fn own_blob(&self, descriptor: &Descriptor, context: &Context) -> Result<HostPath, BuildError> {
        context.store.blob(descriptor)?.ok_or_else(|| {
            let path = HostPath::new(descriptor.digest.to_string());
            let source = std::io::ErrorKind::NotFound.into();
            StoreError::Io { action: "find a finished layer in", path, source }.into()
        })
    }
}

async fn to_layout(
    dir: &HostPath,
    tag: Option<&str>,
    shipments: &[Shipment<'_>],
    plan: &BuildPlan,
    packed: &mut PackedLayers,
    context: &Context,
) -> Result<Vec<Delivery>, BuildError> {
    let images = if shipments.len() == 1 { "one image".to_owned() } else { format!("{} images", shipments.len()) };
    context.progress.step(&format!("writing {images} to {dir}"));
    let mut writer = LayoutWriter::open(dir)?;
    let mut deliveries = Vec::new();
    for shipment in shipments {
        let Shipment { image, base, tags, .. } = shipment;
        for layer in image.base_layers() {
            if !writer.has_blob(layer) {
                writer.put_file(layer, &base.fetch(layer, context).await?)?;
            }
        }
        let missing =
            |&&index: &&usize| packed.layers.get(index).is_some_and(|layer| !writer.has_blob(layer.descriptor()));
        let missing: Vec<usize> = shipment.service.layers.iter().filter(missing).copied().collect();
        pack::mend(plan, packed, &missing, context)?;
        for layer in image.own_layers() {
            context.cancellation.check()?;
            writer.put_file(layer, &shipment.own_blob(layer, context)?)?;
        }
        writer.put_bytes(&shipment.config(), image.config.bytes())?;
        let manifest = image.descriptor();
        writer.put_bytes(&manifest, image.manifest.bytes())?;
        for name in Destination::layout_names(tag, shipment.name(), tags) {
            writer.name(&name, manifest.clone());
            deliveries.push(Delivery {
                service: shipment.name().to_owned(),
                name: format!("oci:{dir}:{name}"),
                digest: manifest.digest,
                sent_bytes: 0,
            });
        }
    }
    writer.finish()?;
    Ok(deliveries)
}

async fn to_registry(
    repository: &str,
    tag: Option<&str>,
    shipments: &[Shipment<'_>],
    plan: &BuildPlan,
    packed: &mut PackedLayers,
    context: &Context,
) -> Result<Vec<Delivery>, BuildError> {
    let mut deliveries = Vec::new();
    // Where in the registry each blob is already, so that the others' repositories can mount it from there.
    let mut known: BTreeMap<Digest, Repository> = BTreeMap::new();
    for shipment in shipments {
        let settings = &shipment.service.settings;
        let references = Destination::references(repository, tag, shipment.name(), settings, shipment.tags)
            .map_err(BuildError::Destination)?;
        for reference in references {
            let mut sent = 0;
            let digest = shipment.image.manifest.digest();
            if !is_there(&reference, digest, context).await? {
                context.progress.step(&format!("pushing {reference}"));
                pack::mend(plan, packed, &shipment.service.layers, context)?;
                sent = push_blobs(shipment, reference.repository(), &mut known, context).await?;
                let manifest = shipment.image.manifest.bytes().to_vec();
                context.client.push_manifest(&reference, media_type::MANIFEST, manifest).await?;
            }
            let name = reference.to_string();
            deliveries.push(Delivery { service: shipment.name().to_owned(), name, digest, sent_bytes: sent });
        }
    }
    Ok(deliveries)
}

/// Whether the tag names exactly this manifest already.
async fn is_there(reference: &Reference, digest: Digest, context: &Context) -> Result<bool, BuildError> {
    let found = context.client.head_manifest(reference, &[media_type::MANIFEST, media_type::INDEX]).await?;
    Ok(found.is_some_and(|descriptor| descriptor.digest == digest))
}

/// Pushes the layers, then the config. Gives the number of bytes sent.
async fn push_blobs(
    shipment: &Shipment<'_>,
    repository: &Repository,
    known: &mut BTreeMap<Digest, Repository>,
    context: &Context,
) -> Result<u64, BuildError> {
    let base_repository = shipment.base.repository().filter(|base| base.registry() == repository.registry());
    let pushes = shipment.image.manifest.parsed().layers.iter().enumerate().map(|(index, layer)| {
        let is_base = index < shipment.image.base_layers;
        let mount_from = known.get(&layer.digest).or(base_repository.filter(|_| is_base));
        push_blob(shipment, repository, layer, is_base, mount_from, context)
    });
    let mut sent: u64 = try_join_all(pushes).await?.into_iter().sum();
    sent += push_blob(shipment, repository, &shipment.config(), false, None, context).await?;
    for layer in &shipment.image.manifest.parsed().layers {
        known.entry(layer.digest).or_insert_with(|| repository.clone());
    }
    Ok(sent)
}

async fn push_blob(
    shipment: &Shipment<'_>,
    repository: &Repository,
    blob: &Descriptor,
    is_base: bool,
    mount_from: Option<&Repository>,
    context: &Context,
) -> Result<u64, BuildError> {
    context.cancellation.check()?;
    // A layer of the base is fetched only if the registry lacks it.
    if is_base && context.store.blob(blob)?.is_none() && context.client.has_blob(repository, blob).await? {
        return Ok(0);
    }
    let path = match is_base {
        true => shipment.base.fetch(blob, context).await?,
        false => shipment.own_blob(blob, context)?,
    };
    let task = context.progress.task(&format!("pushing {}", blob.digest.short()), blob.size);
    let on_bytes = |bytes| task.advance(bytes);
    match context.client.push_blob(repository, blob, path.as_path(), mount_from, &on_bytes).await? {
        Pushed::Uploaded => Ok(blob.size),
        Pushed::AlreadyThere | Pushed::Mounted => Ok(0),
    }
}
