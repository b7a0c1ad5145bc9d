use std::sync::Arc;

use super::Refusal;
use super::deployed::DeployedService;
use super::moving::Unmoved;
use crate::apk::ApkError;
use crate::build::base::{ResolvedBase, unread};
use crate::build::fleet::Fleet;
use crate::build::system::{Addition, Provided, ServiceSystem, StaticInit, SystemError};
use crate::build::{BuildError, Context};
use crate::digest::Digest;
use crate::image::{AddedInit, AddedSystem, OwnLayer};
use crate::layer::{ForeignKind, KeptFiles, LayerRole, list};
use crate::manifest::media_type::{self, Compression};
use crate::path::ImagePath;
use crate::transfer::Source;

/// What was added to the bases of images, added to their new bases. Images that want the same share it.
pub(super) struct AddedAgain<'a> {
    fleet: &'a Fleet,
    context: &'a Context,
    provided: Provided,
}

impl<'a> AddedAgain<'a> {
    pub fn new(fleet: &'a Fleet, context: &'a Context) -> Self {
        Self { fleet, context, provided: Provided::default() }
    }

    /// What an image with these layers of its own says was added to its base, added to another: nothing where it says
    /// nothing.
    pub async fn to(
        &mut self,
        base: &ResolvedBase,
        added: Option<&AddedSystem>,
        own: Option<&[OwnLayer]>,
        service: &DeployedService,
    ) -> Result<Arc<ServiceSystem>, Unmoved> {
        let Some(added) = added else { return Ok(Arc::default()) };
        let program = match &added.init {
            Some(AddedInit::File { place, sha256 }) => {
                Some(self.program(place, sha256, own.unwrap_or_default(), service).await?)
            }
            Some(AddedInit::Package(_)) | None => None,
        };
        let addition = Addition::remembered(added, program, &service.name, &self.fleet.settings);
        let addition = addition.map_err(refused)?;
        self.provided.add(addition, base, &self.fleet.dir, self.context).await.map_err(|error| match error {
            // A lock can be renewed, and a repository asked again.
            BuildError::System(
                error @ (SystemError::Repository(_) | SystemError::Apk(ApkError::LockDiffers { .. })),
            ) => Unmoved::Failed(error.into()),
            BuildError::System(error) => refused(error),
            error => Unmoved::Failed(error),
        })
    }

    /// The init of an image, which only its lowest layer has.
    async fn program(
        &self,
        place: &ImagePath,
        sha256: &Digest,
        own: &[OwnLayer],
        service: &DeployedService,
    ) -> Result<StaticInit, Unmoved> {
        let missing = || Unmoved::Refused(vec![Refusal::NoInit(place.clone())]);
        let layer = own.iter().find(|layer| layer.role == LayerRole::System).ok_or_else(missing)?;
        let compression = media_type::compression(&layer.descriptor.media_type).unwrap_or(Compression::None);
        let source = Source::Registry(self.context.client.clone(), service.reference.clone());
        let wanted = place.to_string();
        let read = move |blob| list(blob, compression, KeptFiles { texts: &[], whole: &[&wanted] });
        let listing = source.read(&layer.descriptor, &self.context.transfer(), read).await;
        let listing = listing.map_err(|error| Unmoved::Failed(unread(&service.reference.to_string(), error)))?;
        let listing = listing.map_err(|_| missing())?;
        let mut entries = listing.entries.into_iter().filter(|entry| entry.path == place.to_string());
        let bytes = match entries.next().map(|entry| entry.kind) {
            Some(ForeignKind::Bytes(bytes)) => bytes,
            Some(ForeignKind::Text(text)) => text.into_bytes(),
            _ => return Err(missing()),
        };
        StaticInit::of(&place.to_string(), bytes, sha256).map_err(|_| missing())
    }
}

fn refused(error: SystemError) -> Unmoved {
    Unmoved::Refused(vec![Refusal::System(error)])
}
