use std::collections::BTreeMap;

use super::{BaseError, config_of, unread};
use crate::build::{BuildError, Context};
use crate::digest::Digest;
use crate::lock::LockedBase;
use crate::manifest::{Descriptor, DocumentError, Index, Manifest, Raw, media_type};
use crate::platform::Platform;
use crate::transfer::{Document, Source};

/// An index may hold indexes; no real one is deeper than this, or holds more.
const INDEX_LIMIT: usize = 16;

/// What a place has of a base.
pub(in crate::build) struct Offer {
    /// As the lock has it.
    pub locked: LockedBase,
    /// What an index says of the platform of each image, or its config.
    described: BTreeMap<Digest, Platform>,
}

impl Offer {
    /// The image for a platform: what all that is known of it says, and its manifest.
    pub fn image(&self, wanted: &Platform) -> Option<(&Platform, Digest)> {
        let digest = self.locked.manifest(wanted)?;
        Some((self.described.get(&digest)?, digest))
    }
}

/// What a place names now.
pub(in crate::build) async fn of(name: &str, source: &Source, context: &Context) -> Result<Offer, BuildError> {
    let root = source.root(&context.transfer()).await.map_err(|error| unread(name, error))?;
    below(name, root, source, context).await
}

/// What a place has under a digest, whatever its name stands for now.
pub(super) async fn with_digest(
    name: &str,
    digest: Digest,
    source: &Source,
    context: &Context,
) -> Result<Offer, BuildError> {
    let root = source.document_with(digest, &context.transfer()).await.map_err(|error| unread(name, error))?;
    let root = root.ok_or_else(|| BaseError::Gone { base: name.to_owned(), digest })?;
    below(name, root, source, context).await
}

/// The images of an index by their platforms, or the one image. Attestations, which have the platform `unknown`, are passed
/// over; of two images for one platform the first counts.
async fn below(name: &str, root: Document, source: &Source, context: &Context) -> Result<Offer, BuildError> {
    let digest = root.descriptor.digest;
    let mut offer = Listing { name, source, context, manifests: BTreeMap::new(), described: BTreeMap::new() };
    if !media_type::is_index(&root.descriptor.media_type) {
        offer.add_image(root).await?;
        return Ok(offer.of(digest));
    }
    let (mut indexes, mut nameless, mut read) = (vec![root], Vec::new(), 0);
    while let Some(index) = indexes.pop() {
        read += 1;
        let index: Raw<Index> = Raw::parse("image index", index.bytes).map_err(|error| offer.document(error))?;
        for entry in &index.parsed().manifests {
            match &entry.platform {
                _ if media_type::is_index(&entry.media_type) && read + indexes.len() < INDEX_LIMIT => {
                    indexes.push(offer.read(entry).await?);
                }
                Some(platform) if platform.is_unknown() => {}
                Some(platform) => offer.add(platform.clone(), entry.digest),
                None => nameless.push(entry.clone()),
            }
        }
    }
    // One image that says nothing of its platform: its config will.
    if let ([only], true) = (&nameless[..], offer.manifests.is_empty()) {
        let image = offer.read(only).await?;
        offer.add_image(image).await?;
    }
    if offer.manifests.is_empty() {
        let (base, media_type) = (name.to_owned(), media_type::INDEX.to_owned());
        return Err(BaseError::NotAnImage { base, media_type }.into());
    }
    Ok(offer.of(digest))
}

/// What was found so far.
struct Listing<'a> {
    name: &'a str,
    source: &'a Source,
    context: &'a Context,
    manifests: BTreeMap<Platform, Digest>,
    described: BTreeMap<Digest, Platform>,
}

impl Listing<'_> {
    /// What was found below this digest.
    fn of(self, digest: Digest) -> Offer {
        Offer { locked: LockedBase::new(digest, self.manifests), described: self.described }
    }

    /// Adds an image. The lock names platforms as people write them, without versions of their systems.
    fn add(&mut self, platform: Platform, manifest: Digest) {
        self.described.entry(manifest).or_insert_with(|| platform.clone());
        let platform = Platform { os_version: None, os_features: Vec::new(), ..platform };
        self.manifests.entry(platform).or_insert(manifest);
    }

    /// Adds an image whose config says what it is for.
    async fn add_image(&mut self, image: Document) -> Result<(), BuildError> {
        let Document { descriptor: Descriptor { media_type, digest, .. }, bytes } = image;
        if !media_type::is_manifest(&media_type) {
            return Err(BaseError::NotAnImage { base: self.name.to_owned(), media_type }.into());
        }
        let manifest: Raw<Manifest> = Raw::parse("image manifest", bytes).map_err(|error| self.document(error))?;
        let config = config_of(self.name, manifest.parsed(), self.source, self.context).await?;
        self.add(config.parsed().platform.clone(), digest);
        Ok(())
    }

    async fn read(&self, entry: &Descriptor) -> Result<Document, BuildError> {
        let read = self.source.document(entry, &self.context.transfer()).await;
        read.map_err(|error| unread(self.name, error))
    }

    fn document(&self, source: DocumentError) -> BuildError {
        BaseError::Document { base: self.name.to_owned(), source }.into()
    }
}
