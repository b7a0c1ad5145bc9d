//! The step that brings images to their destinations: blobs, then configs, then manifests, then names.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::future::try_join_all;

use super::base::ResolvedBase;
use super::pack::Packer;
use super::{BuildError, BuildPlan, BuildRequest, Context, Destination, PackedLayers, ServicePlan, destination};
use crate::digest::Digest;
use crate::image::Image;
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
    /// Its manifest.
    pub digest: Digest,
    /// How many bytes of blobs had to be sent; those that were there, were linked or were mounted do not count.
    pub sent_bytes: u64,
}

/// Delivers every image to every destination.
pub(super) async fn deliver(
    packer: Packer<'_>,
    packed: &mut PackedLayers,
    images: &BTreeMap<String, Image>,
    destinations: &[Destination],
    bases: &BTreeMap<String, ResolvedBase>,
    request: &BuildRequest,
) -> Result<Vec<Delivery>, BuildError> {
    let shipments: Vec<Shipment<'_>> = packer
        .plan
        .services
        .iter()
        .filter_map(|service| {
            let image = images.get(&service.service.name)?;
            let base = bases.get(&service.base)?;
            let tags = destination::tags(request, &service.settings);
            Some(Shipment { service, image, base, tags })
        })
        .collect();
    let mut courier = Courier { packer, packed, context: packer.context };
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
            Destination::Registry { repository, tag } => {
                courier.push_to_registry(repository, tag.as_deref(), &shipments).await?
            }
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
        let Destination::Registry { repository, tag } = destination else { continue };
        for ServicePlan { service, settings, .. } in &plan.services {
            let tags = destination::tags(request, settings);
            let references = Destination::references(repository, tag.as_deref(), &service.name, settings, tags)?;
            repositories.extend(references.iter().map(|reference| reference.repository().clone()));
        }
    }
    if !repositories.is_empty() {
        context.progress.step("asking whether pushing is allowed");
    }
    try_join_all(repositories.iter().map(|repository| context.client.ask_to_push(repository))).await?;
    Ok(())
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

    /// The layers, bottom first, each with whether it is the base's.
    fn layers(&self) -> impl Iterator<Item = (&Descriptor, bool)> {
        let layers = self.image.manifest.parsed().layers.iter().enumerate();
        layers.map(|(position, layer)| (layer, position < self.image.base_layers))
    }

    /// The places in the plan of the own layers that are among `wanted`.
    fn planned(&self, wanted: &BTreeSet<Digest>, packed: &PackedLayers) -> Vec<usize> {
        let is_wanted = |&&index: &&usize| {
            packed.layers.get(index).is_some_and(|layer| wanted.contains(&layer.descriptor().digest))
        };
        self.service.layers.iter().filter(is_wanted).copied().collect()
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

/// Brings shipments to destinations. What a destination has already is not read, whether the store has it or not.
struct Courier<'a> {
    packer: Packer<'a>,
    packed: &'a mut PackedLayers,
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
            let Shipment { image, tags, .. } = shipment;
            writer.put_bytes(&shipment.config(), image.config.bytes())?;
            let manifest = image.descriptor();
            writer.put_bytes(&manifest, image.manifest.bytes())?;
            for name in destination.names(shipment.name(), &shipment.service.settings, tags)? {
                writer.name(Some(&name), manifest.clone());
                deliveries.push(Delivery {
                    service: shipment.name().to_owned(),
                    name: destination.place(&name),
                    digest: manifest.digest,
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
        let missing: Vec<(&Descriptor, bool)> =
            shipment.layers().filter(|(layer, _)| !writer.has_blob(layer)).collect();
        let wanted = missing.iter().map(|(layer, _)| layer.digest).collect();
        self.packer.mend(self.packed, &shipment.planned(&wanted, self.packed)).await?;
        for (layer, is_base) in missing {
            self.context.cancellation.check()?;
            let path = match is_base {
                true => shipment.base.fetch(layer, self.context).await?,
                false => shipment.own_blob(layer, self.context)?,
            };
            writer.put_file(layer, &path)?;
        }
        Ok(())
    }

    async fn push_to_registry(
        &mut self,
        repository: &str,
        tag: Option<&str>,
        shipments: &[Shipment<'_>],
    ) -> Result<Vec<Delivery>, BuildError> {
        let mut deliveries = Vec::new();
        // Where in the registry each blob is already, so that the others' repositories can mount it from there.
        let mut known: BTreeMap<Digest, Repository> = BTreeMap::new();
        for shipment in shipments {
            let settings = &shipment.service.settings;
            let references = Destination::references(repository, tag, shipment.name(), settings, shipment.tags)
                .map_err(BuildError::Destination)?;
            for reference in references {
                let (client, registry) = (&self.context.client, reference.repository().registry());
                let mut sent = 0;
                let digest = shipment.image.manifest.digest();
                if !is_there(&reference, digest, self.context).await? {
                    self.context.progress.step(&format!("pushing {reference}"));
                    sent = match self.push_image(shipment, &reference, &mut known).await {
                        Err(BuildError::Registry(error)) if client.doubts_blobs_after(&error, registry) => {
                            known.clear();
                            self.push_image(shipment, &reference, &mut known).await?
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

    /// Pushes the blobs, then the manifest under its name. Gives the number of bytes of blobs sent.
    async fn push_image(
        &mut self,
        shipment: &Shipment<'_>,
        reference: &Reference,
        known: &mut BTreeMap<Digest, Repository>,
    ) -> Result<u64, BuildError> {
        let sent = self.push_blobs(shipment, reference.repository(), known).await?;
        let Image { format, manifest, .. } = shipment.image;
        self.context.client.push_manifest(reference, format.manifest(), manifest.bytes().to_vec()).await?;
        Ok(sent)
    }

    /// Pushes the layers, then the config. Gives the number of bytes sent.
    async fn push_blobs(
        &mut self,
        shipment: &Shipment<'_>,
        repository: &Repository,
        known: &mut BTreeMap<Digest, Repository>,
    ) -> Result<u64, BuildError> {
        let client = &self.context.client;
        let base_repository = shipment.base.repository().filter(|base| base.registry() == repository.registry());
        let offers = shipment.layers().map(async |(layer, is_base)| {
            let mount_from = known.get(&layer.digest).or(base_repository.filter(|_| is_base));
            Ok::<_, BuildError>((layer, is_base, client.offer_blob(repository, layer, mount_from).await?))
        });
        let wanted: Vec<(&Descriptor, bool, Session)> = try_join_all(offers)
            .await?
            .into_iter()
            .filter_map(|(layer, is_base, offer)| match offer {
                Offer::Wanted(session) => Some((layer, is_base, session)),
                Offer::AlreadyThere | Offer::Mounted => None,
            })
            .collect();
        let digests = wanted.iter().map(|(layer, ..)| layer.digest).collect();
        self.packer.mend(self.packed, &shipment.planned(&digests, self.packed)).await?;
        let context = self.context;
        let sendings = wanted.into_iter().map(async |(layer, is_base, session)| {
            let path = match is_base {
                true => shipment.base.fetch(layer, context).await?,
                false => shipment.own_blob(layer, context)?,
            };
            Ok::<_, BuildError>(transfer::send(repository, layer, &path, session, &context.transfer()).await?)
        });
        let mut sent: u64 = try_join_all(sendings).await?.into_iter().sum();
        let config = shipment.config();
        if let Offer::Wanted(session) = client.offer_blob(repository, &config, None).await? {
            let path = shipment.own_blob(&config, context)?;
            sent += transfer::send(repository, &config, &path, session, &context.transfer()).await?;
        }
        for (layer, _) in shipment.layers() {
            known.entry(layer.digest).or_insert_with(|| repository.clone());
        }
        Ok(sent)
    }
}

/// Whether the tag names exactly this manifest already.
async fn is_there(reference: &Reference, digest: Digest, context: &Context) -> Result<bool, BuildError> {
    let found = context.client.head_manifest(reference, &media_type::DOCUMENTS).await?;
    Ok(found.is_some_and(|descriptor| descriptor.digest == digest))
}
