//! Where an image is read from.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::sync::Arc;

use serde::Deserialize;
use serde::de::IgnoredAny;
use tempfile::TempPath;

use super::download::{download, download_and_read};
use super::{Context, Document, Place, TransferError, blocking, daemon};
use crate::digest::Digest;
use crate::layout::{ArchiveForm, Layout, LayoutEntry, LayoutError};
use crate::manifest::{Descriptor, media_type};
use crate::path::HostPath;
use crate::registry::{Client, PulledManifest, Reference, Repository};
use crate::store::Store;

/// An image that can be read: its documents and blobs, all verified.
#[derive(Clone, Debug)]
pub enum Source {
    /// In a registry.
    Registry(Client, Reference),
    /// In a layout or archive.
    Layout(Box<LayoutImage>),
}

/// An image of a layout or archive.
#[derive(Clone, Debug)]
pub struct LayoutImage {
    layout: Layout,
    entry: LayoutEntry,
    /// The archive, where it is only there to be read once.
    _temporary: Option<Arc<TempPath>>,
}

impl Source {
    /// Opens a place. Of an archive of Docker's, everything is read.
    pub async fn open(place: &Place, context: &Context) -> Result<Self, TransferError> {
        let (place, store) = (place.clone(), context.clone());
        match place {
            Place::Registry(reference) => Ok(Self::Registry(context.client.clone(), reference)),
            Place::Layout { dir, name } => Self::of_layout(Layout::open(&dir)?, name.as_deref()),
            Place::Archive { form: ArchiveForm::Oci, file, name } => {
                Self::of_layout(Layout::open_archive(&file)?, name.as_deref())
            }
            Place::Archive { form: ArchiveForm::Docker, file, name } => {
                let layout = blocking(move || Layout::open_docker_archive(&file)).await??;
                Self::of_layout(layout, name.as_deref())
            }
            Place::Daemon(reference) => {
                let archive = daemon::save(&reference, &store).await?;
                let path = HostPath::new(archive.to_path_buf());
                let layout = blocking(move || Layout::open_docker_archive(&path)).await??;
                let (entry, temporary) = (layout.find(None)?, Some(Arc::new(archive)));
                Ok(Self::Layout(Box::new(LayoutImage { layout, entry, _temporary: temporary })))
            }
        }
    }

    fn of_layout(layout: Layout, name: Option<&str>) -> Result<Self, TransferError> {
        let entry = layout.find(name)?;
        Ok(Self::Layout(Box::new(LayoutImage { layout, entry, _temporary: None })))
    }

    /// The manifest or index that the place names.
    pub async fn root(&self, context: &Context) -> Result<Document, TransferError> {
        match self {
            Self::Registry(client, reference) => pull(client, reference, &context.store).await,
            Self::Layout(image) => self.document(&image.entry.descriptor, context).await,
        }
    }

    /// A manifest or index, by digest.
    pub async fn document(&self, descriptor: &Descriptor, context: &Context) -> Result<Document, TransferError> {
        match self {
            Self::Registry(client, reference) => {
                pull(client, &reference.repository().with_digest(descriptor.digest), &context.store).await
            }
            Self::Layout(image) => {
                let bytes = image.layout.document(descriptor)?;
                let descriptor = Descriptor::of(&descriptor.media_type, &bytes);
                Ok(Document { descriptor, bytes })
            }
        }
    }

    /// The manifest or index with this digest, whatever name the place has for it; `None` if a layout does not hold it.
    pub async fn document_with(&self, digest: Digest, context: &Context) -> Result<Option<Document>, TransferError> {
        match self {
            Self::Registry(client, reference) => {
                pull(client, &reference.repository().with_digest(digest), &context.store).await.map(Some)
            }
            Self::Layout(image) => {
                #[derive(Deserialize)]
                #[serde(rename_all = "camelCase")]
                struct Kind {
                    media_type: Option<String>,
                    manifests: Option<IgnoredAny>,
                }
                let bytes = match image.layout.document(&Descriptor::new(media_type::MANIFEST, digest, 0)) {
                    Err(LayoutError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => return Ok(None),
                    read => read?,
                };
                let media_type = match serde_json::from_slice(&bytes) {
                    Ok(Kind { media_type: Some(media_type), .. }) => media_type,
                    Ok(Kind { manifests: Some(_), .. }) => media_type::INDEX.to_owned(),
                    // Who reads it as a manifest says what is wrong.
                    Ok(_) | Err(_) => media_type::MANIFEST.to_owned(),
                };
                Ok(Some(Document { descriptor: Descriptor::of(&media_type, &bytes), bytes }))
            }
        }
    }

    /// The name by which a layout or archive knows the image.
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Registry(..) => None,
            Self::Layout(image) => image.entry.name.as_deref(),
        }
    }

    /// The repository it is in, from which a registry can mount its blobs.
    pub fn repository(&self) -> Option<&Repository> {
        match self {
            Self::Registry(_, reference) => Some(reference.repository()),
            Self::Layout(_) => None,
        }
    }

    /// What `read` makes of a blob. One that has to be downloaded is read while it comes; what was made of it counts only
    /// if this returns `Ok`.
    pub async fn read<T: Send + 'static>(
        &self,
        descriptor: &Descriptor,
        context: &Context,
        read: impl FnOnce(Box<dyn Read + Send>) -> T + Send + 'static,
    ) -> Result<T, TransferError> {
        if let Self::Registry(client, reference) = self
            && context.store.blob(descriptor)?.is_none()
        {
            return download_and_read(client, reference.repository(), descriptor, context, read).await;
        }
        let path = self.fetch(descriptor, context).await?;
        let store = context.store.clone();
        blocking(move || match File::open(&path) {
            Ok(file) => Ok(read(Box::new(file))),
            Err(source) => Err(store.read_error(&path, source).into()),
        })
        .await?
    }

    /// The file of the store that holds a blob, verified while it came.
    pub async fn fetch(&self, descriptor: &Descriptor, context: &Context) -> Result<HostPath, TransferError> {
        let (store, wanted) = (context.store.clone(), descriptor.clone());
        if let Some(path) = blocking(move || store.intact_blob(&wanted)).await?? {
            return Ok(path);
        }
        context.cancellation.check()?;
        match self {
            Self::Layout(image) => {
                let (layout, descriptor, store) = (image.layout.clone(), descriptor.clone(), context.store.clone());
                blocking(move || {
                    let mut blob = store.new_blob_of_known_digest()?;
                    layout.copy_blob(&descriptor, &mut blob)?;
                    Ok(blob.keep(&descriptor.digest)?)
                })
                .await?
            }
            Self::Registry(client, reference) => download(client, reference.repository(), descriptor, context).await,
        }
    }

    /// The manifests that are about the one with this digest.
    pub(super) async fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, TransferError> {
        match self {
            Self::Registry(client, reference) => Ok(client.referrers(reference.repository(), subject).await?),
            Self::Layout(image) => super::referrers::of_layout(&image.layout, subject),
        }
    }
}

/// Gets a manifest or index from a registry, or from what earlier runs remembered of it.
async fn pull(client: &Client, reference: &Reference, store: &Store) -> Result<Document, TransferError> {
    let remembered = |digest| remembered(store, digest);
    let pulled = client.manifest_unless_known(reference, &media_type::DOCUMENTS, &remembered).await?;
    let PulledManifest { descriptor, bytes } = pulled;
    if remembered(descriptor.digest).is_none() {
        let fact = [descriptor.media_type.as_bytes(), b"\n", &bytes].concat();
        store.put_fact(&fact_of(descriptor.digest), &fact)?;
    }
    Ok(Document { descriptor, bytes })
}

/// A manifest or index that an earlier run got. What cannot be read is fetched again.
fn remembered(store: &Store, digest: Digest) -> Option<PulledManifest> {
    let fact = store.fact(&fact_of(digest)).ok()??;
    let line = fact.iter().position(|byte| *byte == b'\n')?;
    let (media_type, bytes) = (std::str::from_utf8(&fact[..line]).ok()?, fact.get(line + 1..)?.to_vec());
    let descriptor = Descriptor::of(media_type, &bytes);
    (descriptor.digest == digest).then_some(PulledManifest { descriptor, bytes })
}

/// The media type of a manifest, a line break, its bytes.
fn fact_of(digest: Digest) -> String {
    format!("manifest-1-{}", digest.hex())
}
