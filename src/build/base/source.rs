//! Where the blobs of a base lie, and how they are fetched.

use std::fs::File;
use std::io::Read;

use super::download::{download, download_and_read};
use super::{BaseError, blocking};
use crate::build::{BuildError, Context};
use crate::digest::Digest;
use crate::layout::Layout;
use crate::manifest::{Descriptor, media_type};
use crate::path::HostPath;
use crate::registry::{Client, PulledManifest, Reference, Repository};
use crate::store::{Store, StoreError};

/// Where the blobs of a base lie.
#[derive(Clone, Debug)]
pub(super) enum Source {
    Registry(Client, Repository),
    Layout(Layout),
}

/// Gets a manifest or index from a registry, or from what earlier builds remembered of it: its media type and bytes.
pub(super) async fn pull(
    name: &str,
    client: &Client,
    reference: &Reference,
    store: &Store,
) -> Result<(String, Vec<u8>), BuildError> {
    let accept =
        [media_type::INDEX, media_type::MANIFEST, media_type::DOCKER_MANIFEST_LIST, media_type::DOCKER_MANIFEST];
    let remembered = |digest| remembered(store, digest);
    let pulled = client.manifest_unless_known(reference, &accept, &remembered).await;
    let pulled = pulled.map_err(|source| BaseError::Registry { base: name.to_owned(), source })?;
    let PulledManifest { descriptor, bytes } = pulled;
    if remembered(descriptor.digest).is_none() {
        let fact = [descriptor.media_type.as_bytes(), b"\n", &bytes].concat();
        store.put_fact(&fact_of(descriptor.digest), &fact)?;
    }
    Ok((descriptor.media_type, bytes))
}

/// A manifest or index that an earlier build got. What cannot be read is fetched again.
fn remembered(store: &Store, digest: Digest) -> Option<PulledManifest> {
    let fact = store.fact(&fact_of(digest)).ok()??;
    let line = fact.iter().position(|byte| *byte == b'\n')?;
    let (media_type, bytes) = (std::str::from_utf8(&fact[..line]).ok()?, fact.get(line + 1..)?.to_vec());
    let descriptor = Descriptor::of(media_type, &bytes);
    (descriptor.digest == digest).then_some(PulledManifest { descriptor, bytes })
}

/// The media type of a manifest, a line break, its bytes.
fn fact_of(digest: Digest) -> String {
    format!("base-manifest-1-{}", digest.hex())
}

impl Source {
    /// A manifest or index, by digest.
    pub async fn document(
        &self,
        base: &str,
        descriptor: &Descriptor,
        context: &Context,
    ) -> Result<Vec<u8>, BuildError> {
        match self {
            Self::Registry(client, repository) => {
                Ok(pull(base, client, &repository.with_digest(descriptor.digest), &context.store).await?.1)
            }
            Self::Layout(layout) => Ok(layout.document(descriptor).map_err(BaseError::Layout)?),
        }
    }

    /// The config, which is a blob.
    pub async fn config(&self, base: &str, descriptor: &Descriptor, context: &Context) -> Result<Vec<u8>, BuildError> {
        let path = self.fetch(base, descriptor, context).await?;
        Ok(std::fs::read(&path).map_err(|source| StoreError::Io { action: "read", path, source })?)
    }

    /// What `read` makes of a blob. One that has to be downloaded is read while it comes.
    pub async fn read<T: Send + 'static>(
        &self,
        base: &str,
        descriptor: &Descriptor,
        context: &Context,
        read: impl FnOnce(Box<dyn Read + Send>) -> Result<T, BuildError> + Send + 'static,
    ) -> Result<T, BuildError> {
        if let Self::Registry(client, repository) = self
            && context.store.blob(descriptor)?.is_none()
        {
            return download_and_read(base, client, repository, descriptor, context, read).await;
        }
        let path = self.fetch(base, descriptor, context).await?;
        blocking(move || match File::open(&path) {
            Ok(file) => read(Box::new(file)),
            Err(source) => Err(StoreError::Io { action: "read", path, source }.into()),
        })
        .await
    }

    /// The file that holds a blob, verified while it came.
    pub async fn fetch(&self, base: &str, descriptor: &Descriptor, context: &Context) -> Result<HostPath, BuildError> {
        let (store, wanted) = (context.store.clone(), descriptor.clone());
        if let Some(path) = blocking(move || Ok(store.intact_blob(&wanted)?)).await? {
            return Ok(path);
        }
        context.cancellation.check()?;
        match self {
            Self::Layout(layout) => {
                let (layout, descriptor, store) = (layout.clone(), descriptor.clone(), context.store.clone());
                blocking(move || {
                    let mut blob = store.new_blob()?;
                    layout.copy_blob(&descriptor, &mut blob).map_err(BaseError::Layout)?;
                    Ok(blob.keep(&descriptor.digest)?)
                })
                .await
            }
            Self::Registry(client, repository) => download(base, client, repository, descriptor, context).await,
        }
    }
}
