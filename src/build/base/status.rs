//! `pirogue base status`: which bases the images that were pushed lie on, against the lock and against the bases' tags.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;

use futures_util::future::try_join_all;

use super::{BaseError, KnownImage, base_name, offer, open};
use crate::build::fleet::Fleet;
use crate::build::{BuildError, BuildRequest, Context};
use crate::digest::Digest;
use crate::lock::LockedBase;
use crate::manifest::{BASE_DIGEST, BASE_NAME, Manifest, Raw};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::{Reference, RegistryError};
use crate::transfer::Source;

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
    /// Whether its layers are those of the base that it says to lie on; `None` where that cannot be looked at.
    pub base_proven: Option<bool>,
    /// When what it lies on was made, RFC 3339, where that is proven.
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
    pub(in crate::build) fn of(image: &Manifest, base: &Raw<Manifest>) -> Self {
        let digests = |manifest: &Manifest| manifest.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>();
        let lies_on_layers = digests(image).starts_with(&digests(base.parsed()));
        let says = image.annotations.get(BASE_DIGEST);
        match (lies_on_layers, says.map(|digest| *digest == base.digest().to_string())) {
            (true, None | Some(true)) => Self::Same,
            (true, Some(false)) => Self::SameLayers,
            (false, Some(true)) => Self::Contradiction,
            (false, _) => Self::Other,
        }
    }
}

/// Asks the registries for the images of services, under the tags they are pushed with.
pub async fn base_status(request: &BuildRequest, context: &Context) -> Result<Vec<DeployedImage>, BuildError> {
    let Fleet { settings, lock, dir, images: references } = Fleet::find(request, context)?;
    let mut bases = BTreeMap::new();
    for name in references.iter().map(|(service, _)| base_name(service, &settings, request)) {
        if let Entry::Vacant(unasked) = bases.entry(name) {
            context.progress.step(&format!("resolving the base {}", unasked.key()));
            let locked = lock.as_ref().and_then(|lock| lock.bases.get(unasked.key()));
            let base = Base::ask(unasked.key(), locked, &dir, context).await?;
            unasked.insert(base);
        }
    }
    context.progress.step("asking for the images that were pushed");
    let images = references.into_iter().filter_map(|(service, reference)| {
        let base = bases.get(&base_name(&service, &settings, request))?;
        Some(deployed(service, reference, base, context))
    });
    Ok(try_join_all(images).await?.into_iter().flatten().collect())
}

/// The images of a service under a reference; one that says that there is none where there is none.
async fn deployed(
    service: String,
    reference: Reference,
    base: &Base,
    context: &Context,
) -> Result<Vec<DeployedImage>, BuildError> {
    let found = found(&reference, base, context).await?;
    let image = DeployedImage { service, reference, base: base.name.clone(), found: None };
    if found.is_empty() {
        return Ok(vec![image]);
    }
    Ok(found.into_iter().map(|found| DeployedImage { found: Some(found), ..image.clone() }).collect())
}

/// The images that a reference leads to, by platform.
async fn found(reference: &Reference, base: &Base, context: &Context) -> Result<Vec<FoundImage>, BuildError> {
    let source = Source::Registry(context.client.clone(), reference.clone());
    let name = reference.to_string();
    let offered = match offer::of(&name, &source, context).await {
        Err(BuildError::Base(BaseError::Registry {
            source: RegistryError::NotFound(_) | RegistryError::RepositoryUnknown(_),
            ..
        })) => return Ok(Vec::new()),
        offered => offered?.locked,
    };
    let mut found = Vec::new();
    for (platform, digest) in offered.manifests {
        let image = KnownImage::read(&name, digest, &source, context).await?;
        let manifest = image.manifest.parsed();
        let locked = base.image(base.locked.as_ref(), &platform, context).await?;
        let current = base.image(base.current.as_ref(), &platform, context).await?;
        let said = base.said_by(manifest, context).await?;
        let fits = |base: &KnownImage| Match::of(manifest, &base.manifest);
        let against = |base: &Option<KnownImage>| base.as_ref().map_or(Match::Unknown, fits);
        let below = [&locked, &current, &said].into_iter().flatten().find(|base| fits(base) == Match::Same);
        found.push(FoundImage {
            digest,
            created: image.created().map(str::to_owned),
            base_name: manifest.annotations.get(BASE_NAME).cloned(),
            base_digest: manifest.annotations.get(BASE_DIGEST).cloned(),
            base_proven: said.as_ref().map(|said| fits(said) == Match::Same),
            base_created: below.and_then(KnownImage::created).map(str::to_owned),
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
            Some(source) => {
                if_it_can_be_had(offer::of(name, source, context).await, context)?.map(|offered| offered.locked)
            }
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

    /// The base that an image says to lie on, if it is found where the service's base is. An old one may be gone, and an
    /// image may lie on one from elsewhere.
    async fn said_by(&self, image: &Manifest, context: &Context) -> Result<Option<KnownImage>, BuildError> {
        let digest = image.annotations.get(BASE_DIGEST).and_then(|digest| digest.parse().ok());
        let (Some(source), Some(digest)) = (&self.source, digest) else { return Ok(None) };
        match KnownImage::read(&self.name, digest, source, context).await {
            Err(BuildError::Base(error)) if error.is_absence() => Ok(None),
            read => read.map(Some),
        }
    }
}

/// Images can be looked at where their bases cannot: that is told, and leaves one question open.
pub(in crate::build) fn if_it_can_be_had<T>(
    result: Result<T, BuildError>,
    context: &Context,
) -> Result<Option<T>, BuildError> {
    match result {
        Err(BuildError::Base(error)) if error.is_absence() => {
            context.progress.warn(&error.to_string());
            Ok(None)
        }
        result => result.map(Some),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::{Descriptor, Format, media_type};

    fn manifest(layers: &[&str], says: Option<Digest>) -> Manifest {
        let layer = |name: &&str| Descriptor::of(media_type::LAYER_TAR, name.as_bytes());
        let config = Descriptor::of(media_type::CONFIG, b"config");
        let mut manifest = Manifest::new(Format::Oci, config, layers.iter().map(layer).collect());
        manifest.annotations.extend(says.map(|digest| (BASE_DIGEST.to_owned(), digest.to_string())));
        manifest
    }

    #[test]
    fn layers_prove_what_annotations_say() {
        let base = Raw::encode("image manifest", manifest(&["os", "node"], None)).unwrap();
        let (own, other) = (Some(base.digest()), Some(Digest::of(b"other")));
        let table: [(&str, &[&str], Option<Digest>, Match); 7] = [
            ("on it", &["os", "node", "app"], own, Match::Same),
            ("on it, and says nothing", &["os", "node", "app"], None, Match::Same),
            ("on one with another config", &["os", "node", "app"], other, Match::SameLayers),
            ("on another", &["os", "node 2", "app"], other, Match::Other),
            ("on another, and says nothing", &["app"], None, Match::Other),
            ("on another, and says on it", &["os", "node 2", "app"], own, Match::Contradiction),
            ("in another order", &["node", "os", "app"], own, Match::Contradiction),
        ];
        for (comment, layers, says, expected) in table {
            assert_eq!(Match::of(&manifest(layers, says), &base), expected, "{comment}");
        }
    }
}
