//! Blobs on their way into a registry.

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use super::tree::Branch;
use super::{Context, Source, TransferError};
use crate::digest::Digest;
use crate::manifest::{Descriptor, media_type};
use crate::path::HostPath;
use crate::registry::{Offer, Reference, Repository, Session};

/// Sends the blob that lies at `path` to a repository that wants it. Gives the number of its bytes.
pub async fn send(
    repository: &Repository,
    blob: &Descriptor,
    path: &HostPath,
    session: Session,
    context: &Context,
) -> Result<u64, TransferError> {
    context.cancellation.check()?;
    let task = context.progress.task(&format!("pushing {}", blob.digest.short()), blob.size);
    let on_bytes = |bytes| task.advance(bytes);
    context.client.send_blob(repository, blob, path.as_path(), session, &on_bytes).await?;
    Ok(blob.size)
}

/// Documents on their way from a source into one repository.
pub(super) struct Push<'a> {
    pub(super) source: &'a Source,
    pub(super) repository: &'a Repository,
    pub(super) context: &'a Context,
    /// What the repository is known to have.
    pub(super) held: BTreeSet<Digest>,
    /// How many bytes of blobs were sent.
    pub(super) sent_bytes: u64,
}

impl Push<'_> {
    /// Pushes documents with what they name, children before parents; the last one under the reference's tag.
    pub(super) async fn push(&mut self, branches: &[Branch], reference: &Reference) -> Result<(), TransferError> {
        let Some((last, others)) = branches.split_last() else { return Ok(()) };
        for branch in others {
            self.push_one(branch, &self.repository.with_digest(branch.document.descriptor.digest)).await?;
        }
        self.push_one(last, reference).await
    }

    async fn push_one(&mut self, branch: &Branch, reference: &Reference) -> Result<(), TransferError> {
        let client = &self.context.client;
        let digest = branch.document.descriptor.digest;
        let there = client.head_manifest(reference, &media_type::DOCUMENTS).await?;
        if there.is_some_and(|there| there.digest == digest) {
            return Ok(());
        }
        match self.push_whole(branch, reference).await {
            Err(TransferError::Registry(error)) if client.doubts_blobs_after(&error, self.repository.registry()) => {
                self.held.clear();
                self.push_whole(branch, reference).await
            }
            pushed => pushed,
        }
    }

    /// Pushes the blobs, then the document that names them.
    async fn push_whole(&mut self, branch: &Branch, reference: &Reference) -> Result<(), TransferError> {
        let (layers, config) = branch.blobs.split_at(branch.blobs.len().saturating_sub(1));
        self.push_blobs(layers).await?;
        self.push_blobs(config).await?;
        let Branch { document, .. } = branch;
        self.context.client.push_manifest(reference, &document.descriptor.media_type, document.bytes.clone()).await?;
        Ok(())
    }

    /// Offers the blobs, and sends what is wanted. Layers that may not be passed on stay where they are: the manifest has
    /// their addresses.
    async fn push_blobs(&mut self, blobs: &[Descriptor]) -> Result<(), TransferError> {
        let mount_from = self.source.repository();
        let (context, source, repository) = (self.context, self.source, self.repository);
        let stays = |blob: &&Descriptor| media_type::is_foreign_layer(&blob.media_type) && !blob.urls.is_empty();
        let offered = blobs.iter().filter(|blob| !self.held.contains(&blob.digest) && !stays(blob));
        let sendings = offered.map(async |blob| {
            context.cancellation.check()?;
            match context.client.offer_blob(repository, blob, mount_from).await? {
                Offer::AlreadyThere | Offer::Mounted => Ok(0),
                Offer::Wanted(session) => {
                    let path = source.fetch(blob, context).await?;
                    send(repository, blob, &path, session, context).await
                }
            }
        });
        self.sent_bytes += try_join_all(sendings).await?.into_iter().sum::<u64>();
        self.held.extend(blobs.iter().map(|blob| blob.digest));
        Ok(())
    }
}
