//! One image on its way to another base.

use std::collections::BTreeMap;

use super::Refusal;
use super::added::AddedAgain;
use super::deployed::{DeployedImage, DeployedService};
use super::new_base::NewBase;
use crate::build::base::ResolvedBase;
use crate::build::deliver::{self, ShippedLayer};
use crate::build::extension::{Extension, are_found_by_node};
use crate::build::pack::{self, Packer};
use crate::build::{BuildError, BuildPlan, Context, PackedLayers, contents};
use crate::image::{BaseFiles, CONTRACT, Contract, Image, OwnLayer, PlatformImages, RunUser, assemble};
use crate::layer::{FileTree, ImageContents, LayerPlan, LayerRole, RECIPE};
use crate::manifest::{Format, media_type};
use crate::registry::Reference;

/// An image that can be moved: its contract holds upon the new base.
pub(super) struct Move<'a> {
    base: &'a ResolvedBase,
    /// What the image will say of its making.
    contract: Contract,
    user: RunUser,
    /// The layers that depend on the base, each unless there is nothing in it.
    remade: Vec<LayerPlan>,
    /// The layers that do not.
    kept: Vec<OwnLayer>,
    /// The time of everything in the image, in seconds since 1970.
    mtime: u64,
}

/// Why an image is not moved.
pub(super) enum Unmoved {
    /// It cannot be: every reason.
    Refused(Vec<Refusal>),
    /// What has to be known for it cannot be had now.
    Failed(BuildError),
}

impl<'a> Move<'a> {
    /// Checks an image against the base that it is to move to. `added` is what is added to bases again.
    pub async fn of(
        image: &DeployedImage,
        service: &DeployedService,
        base: &'a NewBase,
        added: &mut AddedAgain<'_>,
    ) -> Result<Self, Unmoved> {
        let contract = contract(image).map_err(|reason| Unmoved::Refused(vec![reason]))?;
        let mut refused = Vec::new();
        if contract.recipe != RECIPE {
            refused.push(Refusal::OtherRecipe(contract.recipe.clone()));
        }
        let mtime = image.known.created().and_then(pack::seconds);
        if mtime.is_none() {
            refused.push(Refusal::NoTime);
        }
        let own = own_layers(image, &contract);
        if own.is_none() {
            refused.push(Refusal::Changed);
        }
        let base = match base.of_image(image) {
            Ok(base) => base,
            Err(reason) => {
                refused.push(reason);
                return Err(Unmoved::Refused(refused));
            }
        };
        let system = match added.to(base, contract.system.as_ref(), own.as_deref(), service).await {
            Ok(system) => system,
            Err(Unmoved::Refused(reasons)) => {
                refused.extend(reasons);
                return Err(Unmoved::Refused(refused));
            }
            Err(failed) => return Err(failed),
        };
        let files = base.files.under(&system.tree);
        if !are_found_by_node(&contract, &base.image.config.parsed().config, &files) {
            refused.push(Refusal::NodeCertificates);
        }
        let extension = extend(&contract, &files, system.tree.clone());
        let owner = extension.as_ref().map_or(contract.base.owner, |(user, _)| user.owner);
        let relied_on = contract.base.on(&base.image, &files, &contract.root, owner);
        refused.extend(contract.base.differences(&relied_on, &contract.root).into_iter().map(Refusal::from));
        match (extension, own, mtime) {
            (Ok((user, remade)), Some(own), Some(mtime)) if refused.is_empty() => {
                let is_kept = |layer: &OwnLayer| !matches!(layer.role, LayerRole::System | LayerRole::User);
                let kept: Vec<OwnLayer> = own.into_iter().filter(is_kept).collect();
                let roles = remade.iter().map(|layer| layer.role).chain(kept.iter().map(|layer| layer.role));
                let contract = contract.on(relied_on, system.added.clone(), roles.collect());
                Ok(Self { base, contract, user, remade, kept, mtime })
            }
            (extension, ..) => {
                refused.extend(extension.err().map(|error| Refusal::Extension(error.to_string())));
                Err(Unmoved::Refused(refused))
            }
        }
    }

    /// Makes the layers that depend on the base, and puts the image together.
    pub async fn make(self, context: &Context) -> Result<MovedImage<'a>, BuildError> {
        let Self { base, contract, user, remade, kept, mtime } = self;
        let context = Context { mtime, ..context.clone() };
        let (compression, format) = (contract.compression, Format::Oci);
        let plan = BuildPlan { services: Vec::new(), layers: remade, compression, format };
        let packer = Packer { plan: &plan, locked: &[], context: &context };
        let packed = packer.pack(packer.look_up()?, |_, _| ()).await?;
        let own: Vec<OwnLayer> = packed.layers.iter().map(OwnLayer::from).chain(kept).collect();
        let image = assemble(&base.image, &own, user, &contract, format, &pack::rfc3339(mtime))?;
        context.store.put(image.config.bytes())?;
        Ok(MovedImage { base, plan, packed, image, context })
    }
}

/// What an image says of its making.
fn contract(image: &DeployedImage) -> Result<Contract, Refusal> {
    if image.known.media_type != media_type::MANIFEST {
        return Err(Refusal::DockerFormat);
    }
    let text = image.known.manifest.parsed().annotations.get(CONTRACT).ok_or(Refusal::NoContract)?;
    Ok(Contract::read(text)?)
}

/// Whether packages were added to the base of an image: then another lock may add others to the same base.
pub(super) fn adds_packages(image: &DeployedImage) -> bool {
    contract(image).is_ok_and(|contract| contract.system.is_some_and(|system| !system.installed.is_empty()))
}

/// The layers above the base, if manifest, config and contract agree in them and in those below.
fn own_layers(image: &DeployedImage, contract: &Contract) -> Option<Vec<OwnLayer>> {
    let (manifest, config) = (image.known.manifest.parsed(), image.known.config.parsed());
    let (layers, rootfs) = (&manifest.layers, &config.rootfs);
    let below = contract.base.layers;
    let agree = layers.len() == rootfs.diff_ids.len()
        && layers.len() == below.checked_add(contract.layers.len())?
        && rootfs.chain_id(below) == contract.base.chain_id;
    if !agree {
        return None;
    }
    let own = layers.iter().zip(&rootfs.diff_ids).skip(below).zip(&contract.layers);
    let own = own.map(|((descriptor, diff_id), role)| OwnLayer {
        descriptor: descriptor.clone(),
        diff_id: *diff_id,
        role: *role,
    });
    Some(own.collect())
}

/// What the contract means for a base to which `system` is added: as whom the container runs, and the layers.
fn extend(contract: &Contract, base: &BaseFiles, system: FileTree) -> Result<(RunUser, Vec<LayerPlan>), BuildError> {
    let Extension { fragments, user } = Extension::of(&contract.extension, base)?;
    let hard_links = contract.hard_links;
    let contents = ImageContents { system, user: fragments, hard_links, ..ImageContents::default() };
    Ok((user, contents::layers(contents, &contract.root, base, user.owner)?))
}

/// An image upon its new base, with what is new in it.
pub(super) struct MovedImage<'a> {
    pub image: Image,
    base: &'a ResolvedBase,
    plan: BuildPlan,
    packed: PackedLayers,
    /// With the time of this image's files.
    context: Context,
}

impl MovedImage<'_> {
    /// What its repository may lack: the base's layers, and those that were made.
    fn new_layers(&self) -> Vec<ShippedLayer<'_>> {
        let of_base = self.image.base_layers().iter();
        let of_base = of_base.map(|descriptor| ShippedLayer { descriptor, base: Some(self.base) });
        let made = self.packed.layers.iter().map(|layer| ShippedLayer { descriptor: layer.descriptor(), base: None });
        of_base.chain(made).collect()
    }

    /// Makes sure that the layers that were made can be sent.
    async fn mend(&mut self) -> Result<(), BuildError> {
        let indices: Vec<usize> = (0..self.packed.layers.len()).collect();
        Packer { plan: &self.plan, locked: &[], context: &self.context }.mend(&mut self.packed, &indices).await
    }
}

/// Pushes what a reference is to stand for. Gives the number of bytes of blobs sent.
pub(super) async fn push(
    images: &PlatformImages,
    moved: &mut [MovedImage<'_>],
    reference: &Reference,
    context: &Context,
) -> Result<u64, BuildError> {
    let (repository, known) = (reference.repository(), BTreeMap::new());
    let mut sent = 0;
    for image in moved {
        image.mend().await?;
        let layers = image.new_layers();
        let wanted = deliver::offer_layers(&layers, repository, &known, context).await?;
        sent += deliver::send_layers(wanted, repository, context).await?;
    }
    sent += deliver::push_configs(images, repository, context).await?;
    deliver::push_documents(images, reference, context).await?;
    Ok(sent)
}
