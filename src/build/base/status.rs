//! `pirogue base status`: which bases the images that were pushed lie on, against the lock and against the bases' tags.

use std::collections::BTreeMap;

use futures_util::future::try_join_all;

use super::lock::BaseLock;
use super::{BaseError, base_name, config_of, offer, open, unread};
use crate::build::{BuildError, BuildRequest, Context, Destination, destination, selection};
use crate::config::Settings;
use crate::digest::Digest;
use crate::lock::LockedBase;
use crate::manifest::{BASE_DIGEST, BASE_NAME, Manifest, Raw, media_type};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::{Reference, RegistryError};
use crate::transfer::Source;
use crate::workspace::Workspace;

/// An image of a service in a registry; one for each platform where there are several.
#[derive(Clone, Debug)]
pub struct DeployedImage {
    /// The service.
    pub service: String,
    /// The reference that was asked for.
    pub reference: Reference,
    /// The base that the service has, as the user named it.
    pub base: String,
    /// What was found; `None` where there is no such image.
    pub found: Option<FoundImage>,
}

/// What a registry has under a service's name.
#[derive(Clone, Debug)]
pub struct FoundImage {
    /// The digest of the image's manifest.
    pub digest: Digest,
    /// The platform.
    pub platform: Platform,
    /// When it was made, as its config has it, RFC 3339.
    pub created: Option<String>,
    /// What it says to lie on: the reference.
    pub base_name: Option<String>,
    /// What it says to lie on: the digest of the manifest.
    pub base_digest: Option<String>,
    /// When what it lies on was made, RFC 3339, where the lock or the tag names just that.
    pub base_created: Option<String>,
    /// Whether it lies on the base in the lock.
    pub against_lock: Match,
    /// Whether it lies on what the base's reference stands for now.
    pub against_reference: Match,
}

/// How an image lies to a base.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    /// On it.
    Same,
    /// On its layers, but it says that they are another base's: one that differs in its config alone.
    SameLayers,
    /// On another.
    Other,
    /// It says so, but its layers are not the base's.
    Contradiction,
    /// There is nothing to compare with: the lock has no such base, or its registry cannot be asked.
    Unknown,
}

impl Match {
    fn of(image: &Manifest, base: &KnownImage) -> Self {
        let digests = |manifest: &Manifest| manifest.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>();
        let lies_on_layers = digests(image).starts_with(&digests(base.manifest.parsed()));
        let says = image.annotations.get(BASE_DIGEST);
        match (lies_on_layers, says.map(|digest| *digest == base.manifest.digest().to_string())) {
            (true, None | Some(true)) => Self::Same,
            (true, Some(false)) => Self::SameLayers,
            (false, Some(true)) => Self::Contradiction,
            (false, _) => Self::Other,
        }
    }
}

/// Asks the registries for the images of services, under the tags they are pushed with.
pub async fn base_status(request: &BuildRequest, context: &Context) -> Result<Vec<DeployedImage>, BuildError> {
    let workspace = Workspace::discover(&request.dir)?;
    let settings = Settings::read(&workspace.root)?;
    let lock = BaseLock::read(&workspace, &settings, request)?;
    let destinations = Destination::of(request, &settings, &workspace)?;
    context.client.push_to(destinations.iter().filter_map(Destination::registry));
    let services = selection::names(&workspace, &settings, &request.services)?;
    let mut questions = Vec::new();
    for destination in &destinations {
        let Destination::Registry { repository, tag } = destination else { continue };
        for service in &services {
            let own = settings.of_service(service);
            let tags = destination::tags(request, &own);
            let references = Destination::references(repository, tag.as_deref(), service, &own, tags)?;
            questions.extend(references.into_iter().map(|reference| (service, reference)));
        }
    }
    if questions.is_empty() {
        return Err(BaseError::NothingDeployed.into());
    }
    let mut bases = BTreeMap::new();
    for name in services.iter().map(|service| base_name(service, &settings, request)) {
        if !bases.contains_key(&name) {
            context.progress.step(&format!("resolving the base {name}"));
            let base = Base::ask(&name, lock.entry(&name), &request.dir, context).await?;
            bases.insert(name, base);
        }
    }
    context.progress.step("asking for the images that were pushed");
    let images = questions.into_iter().map(|(service, reference)| {
        let base = base_name(service, &settings, request);
        let bases = &bases;
        async move {
            let found = found(&reference, bases.get(&base), context).await?;
            let deployed = |found| DeployedImage {
                service: service.clone(),
                reference: reference.clone(),
                base: base.clone(),
                found,
            };
            Ok::<_, BuildError>(match found.is_empty() {
                true => vec![deployed(None)],
                false => found.into_iter().map(|found| deployed(Some(found))).collect(),
            })
        }
    });
    Ok(try_join_all(images).await?.into_iter().flatten().collect())
}

/// The images that a reference leads to, by platform.
async fn found(reference: &Reference, base: Option<&Base>, context: &Context) -> Result<Vec<FoundImage>, BuildError> {
    let source = Source::Registry(context.client.clone(), reference.clone());
    let name = reference.to_string();
    let offered = match offer::of(&name, &source, context).await {
        Err(BuildError::Base(BaseError::Registry { source, .. }))
            if matches!(source, RegistryError::NotFound(_) | RegistryError::RepositoryUnknown(_)) =>
        {
            return Ok(Vec::new());
        }
        offered => offered?,
    };
    let mut found = Vec::new();
    for (platform, digest) in offered.manifests {
        let image = KnownImage::read(&name, digest, &source, context).await?;
        let manifest = image.manifest.parsed();
        let (locked, current) = match base {
            Some(base) => (
                base.image(base.locked.as_ref(), &platform, context).await?,
                base.image(base.current.as_ref(), &platform, context).await?,
            ),
            None => (None, None),
        };
        let against =
            |base: &Option<KnownImage>| base.as_ref().map_or(Match::Unknown, |base| Match::of(manifest, base));
        let below = [&locked, &current].into_iter().flatten().find(|base| Match::of(manifest, base) == Match::Same);
        found.push(FoundImage {
            digest,
            created: image.created.clone(),
            base_name: manifest.annotations.get(BASE_NAME).cloned(),
            base_digest: manifest.annotations.get(BASE_DIGEST).cloned(),
            base_created: below.and_then(|base| base.created.clone()),
            against_lock: against(&locked),
            against_reference: against(&current),
            platform,
        });
    }
    Ok(found)
}

/// A base that services have.
struct Base {
    name: String,
    /// Where it is, if that can be read.
    source: Option<Source>,
    /// What the lock says that it is.
    locked: Option<LockedBase>,
    /// What its reference stands for now.
    current: Option<LockedBase>,
}

impl Base {
    async fn ask(
        name: &str,
        locked: Option<&LockedBase>,
        dir: &HostPath,
        context: &Context,
    ) -> Result<Self, BuildError> {
        let source = if_it_can_be_had(open(name, dir, context).await, context)?;
        let current = match &source {
            Some(source) => if_it_can_be_had(offer::of(name, source, context).await, context)?,
            None => None,
        };
        Ok(Self { name: name.to_owned(), source, locked: locked.cloned(), current })
    }

    /// The image of `base`, which is this one now or in the lock, for a platform.
    async fn image(
        &self,
        base: Option<&LockedBase>,
        platform: &Platform,
        context: &Context,
    ) -> Result<Option<KnownImage>, BuildError> {
        let digest = base.and_then(|base| base.manifest(platform));
        let (Some(source), Some(digest)) = (&self.source, digest) else { return Ok(None) };
        if_it_can_be_had(KnownImage::read(&self.name, digest, source, context).await, context)
    }
}

/// Images can be looked at where their bases cannot: that is told, and leaves one question open.
fn if_it_can_be_had<T>(result: Result<T, BuildError>, context: &Context) -> Result<Option<T>, BuildError> {
    match result {
        Err(BuildError::Base(error @ (BaseError::Registry { .. } | BaseError::Layout(_) | BaseError::Gone { .. }))) => {
            context.progress.warn(&error.to_string());
            Ok(None)
        }
        result => result.map(Some),
    }
}

/// An image of which manifest and config were read.
struct KnownImage {
    manifest: Raw<Manifest>,
    created: Option<String>,
}

impl KnownImage {
    async fn read(name: &str, digest: Digest, source: &Source, context: &Context) -> Result<Self, BuildError> {
        let read = source.document_with(digest, &context.transfer()).await.map_err(|error| unread(name, error))?;
        let read = read.ok_or_else(|| BaseError::Gone { base: name.to_owned(), digest })?;
        let media_type = read.descriptor.media_type;
        if !media_type::is_manifest(&media_type) {
            return Err(BaseError::NotAnImage { base: name.to_owned(), media_type }.into());
        }
        let document = |source| BaseError::Document { base: name.to_owned(), source };
        let manifest: Raw<Manifest> = Raw::parse("image manifest", read.bytes).map_err(document)?;
        let config = config_of(name, manifest.parsed(), source, context).await?;
        Ok(Self { created: config.parsed().created.clone(), manifest })
    }
}
