//! The step that brings images to their destinations: blobs, then configs, then manifests, then names.

mod ahead;

use std::collections::{BTreeMap, BTreeSet};

pub(super) use ahead::Ahead;
use ahead::SentAhead;
use futures_util::future::try_join_all;

use super::base::{Bases, ResolvedBase};
use super::pack::Packer;
use super::{BuildError, BuildPlan, BuildRequest, Context, Destination, PackedLayers, ServicePlan, destination};
use crate::digest::Digest;
use crate::image::{Image, PlatformImages};
use crate::layout::{ArchiveForm, ArchiveWriter, ImageWriter, LayoutError, LayoutWriter};
use crate::manifest::{Descriptor, media_type};
use crate::path::HostPath;
use crate::registry::{Offer, Reference, Repository, Session};
use crate::store::StoreError;
use crate::transfer;

/// An image that has arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delivery {
    /// The service.
    pub service: String,
    /// Where it is, as it would be typed: `oci:DIR:NAME`, `HOST/REPOSITORY:TAG` and so on.
    pub name: String,
    /// Its manifest, or the index over those for several platforms.
    pub digest: Digest,
    /// How many bytes of blobs had to be sent; those that were there, were linked or were mounted do not count.
    pub sent_bytes: u64,
}

/// What is to be delivered.
pub(super) struct Cargo<'a> {
    /// Makes layers again that the store lost.
    pub packer: Packer<'a>,
    pub packed: &'a mut PackedLayers,
    /// What left for registries already.
    pub ahead: Ahead,
    /// By the services' names.
    pub images: &'a BTreeMap<String, PlatformImages>,
    pub bases: &'a Bases,
}

/// Delivers every image to every destination.
pub(super) async fn deliver(
    cargo: Cargo<'_>,
    destinations: &[Destination],
    request: &BuildRequest,
) -> Result<Vec<Delivery>, BuildError> {
    let Cargo { packer, packed, ahead, images, bases } = cargo;
    let shipments: Vec<Shipment<'_>> = packer
        .plan
        .services
        .iter()
        .filter_map(|service| {
            let images = images.get(&service.service.name)?;
            let tags = destination::tags(request, &service.settings);
            Some(Shipment { service, images, bases, tags })
        })
        .collect();
    let mut courier = Courier { packer, packed, ahead: ahead.arrived().await?, context: packer.context };
    let mut deliveries = Vec::new();
    for destination in destinations {
        deliveries.extend(match destination {
            Destination::Layout { dir, .. } => {
                let writer = || Ok(ImageWriter::Layout(LayoutWriter::open(dir)?));
                courier.fill(writer, &dir.to_string(), destination, &shipments).await?
            }
            Destination::Archive { form, file, .. } => {
                let writer = || Ok(ImageWriter::Archive(ArchiveWriter::create(file, *form)?));
                courier.fill(writer, &file.to_string(), destination, &shipments).await?
            }
            Destination::Daemon { .. } => courier.load(destination, &shipments).await?,
            Destination::Registry { .. } => courier.push_to_registry(destination, request, &shipments).await?,
        });
    }
    Ok(deliveries)
}

/// Asks the registries whether we may push to all these repositories: a refusal is better known before layers are packed
/// than after.
pub(super) async fn ask_to_push(
    plan: &BuildPlan,
    destinations: &[Destination],
    request: &BuildRequest,
    context: &Context,
) -> Result<(), BuildError> {
    let mut repositories: BTreeSet<Repository> = BTreeSet::new();
    for destination in destinations {
        for service in &plan.services {
            let references = references(service, destination, request)?;
            repositories.extend(references.iter().map(|reference| reference.repository().clone()));
        }
    }
    if !repositories.is_empty() {
        context.progress.step("asking whether pushing is allowed");
    }
    try_join_all(repositories.iter().map(|repository| context.client.ask_to_push(repository))).await?;
    Ok(())
}

/// What a service is called in a destination; nothing in one that is no registry.
fn references(
    service: &ServicePlan,
    destination: &Destination,
    request: &BuildRequest,
) -> Result<Vec<Reference>, BuildError> {
    let Destination::Registry { repository, tag } = destination else { return Ok(Vec::new()) };
    let ServicePlan { service, settings, .. } = service;
    let tags = destination::tags(request, settings);
    Ok(Destination::references(repository, tag.as_deref(), &service.name, settings, tags)?)
}

/// The images of a service on their way, with what they are made of.
struct Shipment<'a> {
    service: &'a ServicePlan,
    images: &'a PlatformImages,
    bases: &'a Bases,
    tags: &'a [String],
}

/// A layer on its way.
#[derive(Clone, Copy)]
pub(super) struct ShippedLayer<'a> {
    pub descriptor: &'a Descriptor,
    /// The base it comes from; `None` for one that pirogue made.
    pub base: Option<&'a ResolvedBase>,
}

impl ShippedLayer<'_> {
    /// The file that holds it.
    async fn file(&self, context: &Context) -> Result<HostPath, BuildError> {
        match self.base {
            Some(base) => base.fetch(self.descriptor, context).await,
            None => own_blob(self.descriptor, context),
        }
    }
}

/// The file of a blob that pirogue made.
fn own_blob(descriptor: &Descriptor, context: &Context) -> Result<HostPath, BuildError> {
    context.store.blob(descriptor)?.ok_or_else(|| {
        let path = HostPath::new(descriptor.digest.to_string());
        let source = std::io::ErrorKind::NotFound.into();
        StoreError::Io { action: "find a finished layer in", path, source }.into()
    })
}

impl<'a> Shipment<'a> {
    fn name(&self) -> &'a str {
        &self.service.service.name
    }

    /// The configs, with their images.
    fn configs(&self) -> impl Iterator<Item = (&'a Descriptor, &'a Image)> {
        self.images.images().iter().map(|image| (&image.manifest.parsed().config, image))
    }

    /// The layers of all images, bottom first, each once.
    fn layers(&self) -> Vec<ShippedLayer<'a>> {
        let mut seen = BTreeSet::new();
        let of_image = |image: &'a Image| {
            let base = self.bases.get(&self.service.base, &image.platform);
            let of_base = image.base_layers().iter().map(move |descriptor| ShippedLayer { descriptor, base });
            of_base.chain(image.own_layers().iter().map(|descriptor| ShippedLayer { descriptor, base: None }))
        };
        let layers = self.images.images().iter().flat_map(of_image);
        layers.filter(|layer| seen.insert(layer.descriptor.digest)).collect()
    }

    /// The places in the plan of the own layers that are among `wanted`.
    fn planned(&self, wanted: &BTreeSet<Digest>, packed: &PackedLayers) -> Vec<usize> {
        let is_wanted = |&&index: &&usize| {
            packed.layers.get(index).is_some_and(|layer| wanted.contains(&layer.descriptor().digest))
        };
        let planned: BTreeSet<usize> = self.service.images.iter().flat_map(|image| image.layers.clone()).collect();
        planned.iter().filter(is_wanted).copied().collect()
    }
}

/// Brings shipments to destinations. What a destination has already is not read, whether the store has it or not.
struct Courier<'a> {
    packer: Packer<'a>,
    packed: &'a mut PackedLayers,
    ahead: SentAhead,
    context: &'a Context,
}

impl Courier<'_> {
    /// Writes the images into what `open` opens.
    async fn fill(
        &mut self,
        open: impl FnOnce() -> Result<ImageWriter, LayoutError>,
        place: &str,
        destination: &Destination,
        shipments: &[Shipment<'_>],
    ) -> Result<Vec<Delivery>, BuildError> {
        let images = if shipments.len() == 1 { "one image".to_owned() } else { format!("{} images", shipments.len()) };
        self.context.progress.step(&format!("writing {images} to {place}"));
        let mut writer = open()?;
        let mut deliveries = Vec::new();
        for shipment in shipments {
            self.write_layers(&mut writer, shipment).await?;
            let Shipment { images, tags, .. } = shipment;
            for (config, image) in shipment.configs() {
                writer.put_bytes(config, image.config.bytes())?;
            }
            for image in images.children() {
                writer.put_bytes(&image.descriptor(), image.manifest.bytes())?;
            }
            let root = images.descriptor();
            writer.put_bytes(&root, images.bytes())?;
            for name in destination.names(shipment.name(), &shipment.service.settings, tags)? {
                writer.name(Some(&name), root.clone());
                deliveries.push(Delivery {
                    service: shipment.name().to_owned(),
                    name: destination.place(&name),
                    digest: root.digest,
                    sent_bytes: 0,
                });
            }
        }
        writer.finish()?;
        Ok(deliveries)
    }

    /// Hands the images to `docker` or `podman`, in an archive.
    async fn load(
        &mut self,
        destination: &Destination,
        shipments: &[Shipment<'_>],
    ) -> Result<Vec<Delivery>, BuildError> {
        let context = self.context.transfer();
        let archive = context.scratch_archive()?;
        let path = HostPath::new(archive.path());
        let writer = || Ok(ImageWriter::Archive(ArchiveWriter::create(&path, ArchiveForm::Docker)?));
        let deliveries = self.fill(writer, "an archive", destination, shipments).await?;
        let names: Vec<&str> = deliveries.iter().map(|delivery| delivery.name.as_str()).collect();
        transfer::load(&path, &names.join(", "), &context).await?;
        Ok(deliveries)
    }

    async fn write_layers(&mut self, writer: &mut ImageWriter, shipment: &Shipment<'_>) -> Result<(), BuildError> {
        let mut missing = shipment.layers();
        missing.retain(|layer| !writer.has_blob(layer.descriptor));
        let wanted = missing.iter().map(|layer| layer.descriptor.digest).collect();
        self.packer.mend(self.packed, &shipment.planned(&wanted, self.packed)).await?;
        for layer in missing {
            self.context.cancellation.check()?;
            writer.put_file(layer.descriptor, &layer.file(self.context).await?)?;
        }
        Ok(())
    }

    async fn push_to_registry(
        &mut self,
        destination: &Destination,
        request: &BuildRequest,
        shipments: &[Shipment<'_>],
    ) -> Result<Vec<Delivery>, BuildError> {
        let mut deliveries = Vec::new();
        // Where in the registry each blob is already, so that the others' repositories can mount it from there.
        let mut known: BTreeMap<Digest, Repository> = BTreeMap::new();
        for shipment in shipments {
            for reference in references(shipment.service, destination, request)? {
                let (client, registry) = (&self.context.client, reference.repository().registry());
                let mut sent = 0;
                let digest = shipment.images.descriptor().digest;
                if !is_there(&reference, digest, self.context).await? {
                    self.context.progress.step(&format!("pushing {reference}"));
                    sent = match self.push_images(shipment, &reference, &mut known).await {
                        Err(BuildError::Registry(error)) if client.doubts_blobs_after(&error, registry) => {
                            known.clear();
                            self.ahead.doubt();
                            self.push_images(shipment, &reference, &mut known).await?
                        }
                        pushed => pushed?,
                    };
                }
                let name = reference.to_string();
                deliveries.push(Delivery { service: shipment.name().to_owned(), name, digest, sent_bytes: sent });
            }
        }
        Ok(deliveries)
    }

    /// Pushes the blobs, then the manifests of several platforms by digest, then what has the name. Gives the number of bytes
    /// of blobs sent.
    async fn push_images(
        &mut self,
        shipment: &Shipment<'_>,
        reference: &Reference,
        known: &mut BTreeMap<Digest, Repository>,
    ) -> Result<u64, BuildError> {
        let sent = self.push_blobs(shipment, reference.repository(), known).await?;
        push_documents(shipment.images, reference, self.context).await?;
        Ok(sent)
    }

    /// Pushes the layers, then the configs. Gives the number of bytes sent.
    async fn push_blobs(
        &mut self,
        shipment: &Shipment<'_>,
        repository: &Repository,
        known: &mut BTreeMap<Digest, Repository>,
    ) -> Result<u64, BuildError> {
        let mut layers = shipment.layers();
        for (digest, place) in self.ahead.places().filter(|(_, place)| place.registry() == repository.registry()) {
            known.entry(digest).or_insert_with(|| place.clone());
        }
        layers.retain(|layer| !self.ahead.has(repository, &layer.descriptor.digest));
        let wanted = offer_layers(&layers, repository, known, self.context).await?;
        let digests = wanted.iter().map(|(layer, _)| layer.descriptor.digest).collect();
        self.packer.mend(self.packed, &shipment.planned(&digests, self.packed)).await?;
        let mut sent = self.ahead.take_bytes(repository);
        sent += send_layers(wanted, repository, self.context).await?;
        sent += push_configs(shipment.images, repository, self.context).await?;
        for layer in layers {
            known.entry(layer.descriptor.digest).or_insert_with(|| repository.clone());
        }
        Ok(sent)
    }
}

/// Offers layers to a repository, which may have them or mount them from where the registry has them: `known`, or the base's
/// repository. Gives those that it wants.
pub(super) async fn offer_layers<'l, 'a>(
    layers: &'l [ShippedLayer<'a>],
    repository: &Repository,
    known: &BTreeMap<Digest, Repository>,
    context: &Context,
) -> Result<Vec<(&'l ShippedLayer<'a>, Session)>, BuildError> {
    let offers = layers.iter().map(async |layer| {
        let of_base = layer.base.and_then(ResolvedBase::repository);
        let of_base = of_base.filter(|base| base.registry() == repository.registry());
        let mount_from = known.get(&layer.descriptor.digest).or(of_base);
        Ok::<_, BuildError>((layer, context.client.offer_blob(repository, layer.descriptor, mount_from).await?))
    });
    let wanted = try_join_all(offers).await?.into_iter().filter_map(|(layer, offer)| match offer {
        Offer::Wanted(session) => Some((layer, session)),
        Offer::AlreadyThere | Offer::Mounted => None,
    });
    Ok(wanted.collect())
}

/// Sends the layers that a repository wants. Gives the number of bytes.
pub(super) async fn send_layers(
    wanted: Vec<(&ShippedLayer<'_>, Session)>,
    repository: &Repository,
    context: &Context,
) -> Result<u64, BuildError> {
    let sendings = wanted.into_iter().map(async |(layer, session)| {
        let path = layer.file(context).await?;
        Ok::<_, BuildError>(transfer::send(repository, layer.descriptor, &path, session, &context.transfer()).await?)
    });
    Ok(try_join_all(sendings).await?.into_iter().sum())
}

/// Pushes the configs that a repository lacks. Gives the number of bytes.
pub(super) async fn push_configs(
    images: &PlatformImages,
    repository: &Repository,
    context: &Context,
) -> Result<u64, BuildError> {
    let mut sent = 0;
    for config in images.images().iter().map(|image| &image.manifest.parsed().config) {
        if let Offer::Wanted(session) = context.client.offer_blob(repository, config, None).await? {
            let path = own_blob(config, context)?;
            sent += transfer::send(repository, config, &path, session, &context.transfer()).await?;
        }
    }
    Ok(sent)
}

/// Pushes the manifests that only an index names by digest, then what has the name.
pub(super) async fn push_documents(
    images: &PlatformImages,
    reference: &Reference,
    context: &Context,
) -> Result<(), BuildError> {
    let client = &context.client;
    for image in images.children() {
        let by_digest = reference.repository().with_digest(image.manifest.digest());
        client.push_manifest(&by_digest, image.format.manifest(), image.manifest.bytes().to_vec()).await?;
    }
    let root = images.descriptor();
    client.push_manifest(reference, &root.media_type, images.bytes().to_vec()).await?;
    Ok(())
}

/// Whether the tag names exactly this manifest already.
async fn is_there(reference: &Reference, digest: Digest, context: &Context) -> Result<bool, BuildError> {
    let found = context.client.head_manifest(reference, &media_type::DOCUMENTS).await?;
    Ok(found.is_some_and(|descriptor| descriptor.digest == digest))
}
