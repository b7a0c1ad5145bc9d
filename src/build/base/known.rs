use super::{BaseError, config_of, unread};
use crate::build::{BuildError, Context};
use crate::digest::Digest;
use crate::manifest::{ImageConfig, Manifest, Raw, media_type};
use crate::transfer::Source;

/// An image of which manifest and config were read.
pub(in crate::build) struct KnownImage {
    pub media_type: String,
    pub manifest: Raw<Manifest>,
    pub config: Raw<ImageConfig>,
}

impl KnownImage {
    pub async fn read(name: &str, digest: Digest, source: &Source, context: &Context) -> Result<Self, BuildError> {
        let read = source.document_with(digest, &context.transfer()).await.map_err(|error| unread(name, error))?;
        let read = read.ok_or_else(|| BaseError::Gone { base: name.to_owned(), digest })?;
        let media_type = read.descriptor.media_type;
        if !media_type::is_manifest(&media_type) {
            return Err(BaseError::NotAnImage { base: name.to_owned(), media_type }.into());
        }
        let document = |source| BaseError::Document { base: name.to_owned(), source };
        let manifest: Raw<Manifest> = Raw::parse("image manifest", read.bytes).map_err(document)?;
        let config = config_of(name, manifest.parsed(), source, context).await?;
        Ok(Self { media_type, manifest, config })
    }

    /// When it was made, RFC 3339.
    pub fn created(&self) -> Option<&str> {
        self.config.parsed().created.as_deref()
    }
}
