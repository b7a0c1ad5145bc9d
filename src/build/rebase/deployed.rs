//! The images that are in registries now.

use futures_util::future::try_join_all;

use crate::build::base::{BaseError, KnownImage, offer};
use crate::build::fleet::Fleet;
use crate::build::{BuildError, Context, platforms};
use crate::digest::Digest;
use crate::manifest::BASE_NAME;
use crate::platform::Platform;
use crate::registry::{Reference, RegistryError};
use crate::transfer::Source;

/// What a service's reference stands for now.
pub(super) struct DeployedService {
    pub name: String,
    pub reference: Reference,
    /// What it stands for: an index, or the one manifest; `None` where there is no such image.
    pub digest: Option<Digest>,
    /// The images, in the order of their platforms.
    pub images: Vec<DeployedImage>,
}

/// An image for one platform: its documents, and no layer.
pub(super) struct DeployedImage {
    pub platform: Platform,
    pub known: KnownImage,
}

impl DeployedService {
    /// What its images say that they lie on.
    pub fn base_name(&self) -> Option<&String> {
        self.images.iter().find_map(|image| image.known.manifest.parsed().annotations.get(BASE_NAME))
    }

    /// The platforms to move: those that were typed, else all.
    pub fn platforms(&self, typed: &[Platform]) -> Vec<Platform> {
        match typed {
            [] => self.images.iter().map(|image| image.platform.clone()).collect(),
            typed => platforms::each_once(typed.to_vec()),
        }
    }

    /// The image for a platform.
    pub fn image(&self, wanted: &Platform) -> Option<&DeployedImage> {
        self.images.iter().find(|image| wanted.accepts(&image.platform))
    }
}

/// Reads the documents of all images. An error if there is none at all.
pub(super) async fn read(fleet: &Fleet, context: &Context) -> Result<Vec<DeployedService>, BuildError> {
    context.progress.step("asking for the images that were pushed");
    let images = fleet.images.iter().map(|(name, reference)| read_one(name, reference, context));
    let deployed = try_join_all(images).await?;
    match deployed.iter().any(|service| service.digest.is_some()) {
        true => Ok(deployed),
        false => {
            let references = deployed.iter().map(|service| service.reference.to_string()).collect();
            Err(super::RebaseError::NothingThere(references).into())
        }
    }
}

async fn read_one(name: &str, reference: &Reference, context: &Context) -> Result<DeployedService, BuildError> {
    let source = Source::Registry(context.client.clone(), reference.clone());
    let place = reference.to_string();
    let mut service =
        DeployedService { name: name.to_owned(), reference: reference.clone(), digest: None, images: Vec::new() };
    let offered = match offer::of(&place, &source, context).await {
        Err(BuildError::Base(BaseError::Registry {
            source: RegistryError::NotFound(_) | RegistryError::RepositoryUnknown(_),
            ..
        })) => return Ok(service),
        offered => offered?.locked,
    };
    service.digest = Some(offered.digest);
    for (platform, digest) in offered.manifests {
        let known = KnownImage::read(&place, digest, &source, context).await?;
        service.images.push(DeployedImage { platform, known });
    }
    Ok(service)
}
