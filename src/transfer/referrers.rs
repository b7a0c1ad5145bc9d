//! What refers to an image: signatures, SBOMs, attestations. They come along where asked for; an image never fails for
//! them.
//!
//! Sources: OCI distribution-spec, "Listing Referrers" and "Referrers Tag Schema".

use std::collections::BTreeMap;

use super::copy::put;
use super::send::Push;
use super::tree::{self, Branch};
use super::{Context, Source, TransferError};
use crate::digest::Digest;
use crate::layout::{ImageWriter, Layout};
use crate::manifest::{Descriptor, Format, Index, Manifest, Raw, media_type};
use crate::path::HostPath;
use crate::registry::referrers_tag;

/// A referrer may have referrers, such as an SBOM its signature; these may have, and there it ends.
const DEPTH_LIMIT: usize = 3;

/// The referrers of one manifest.
pub(super) struct Referrers {
    /// Of which one.
    pub(super) subject: Digest,
    /// As the list has them.
    pub(super) entries: Vec<Descriptor>,
    /// Each with what it leads to.
    trees: Vec<Vec<Branch>>,
}

/// All referrers of the documents of `image`, and theirs. One that cannot be read is left out, with a warning.
pub(super) async fn gather(
    source: &Source,
    image: &[Branch],
    context: &Context,
) -> Result<Vec<Referrers>, TransferError> {
    let mut lists = Vec::new();
    let mut subjects = tree::digests(image);
    for _ in 0..DEPTH_LIMIT {
        let mut next = Vec::new();
        for subject in subjects {
            let mut list = Referrers { subject, entries: Vec::new(), trees: Vec::new() };
            let mut found = source.referrers(subject).await.or_else(|error| survive(error, context))?;
            found.sort_by_key(|entry| entry.digest);
            found.dedup_by_key(|entry| entry.digest);
            for entry in found {
                match read(source, &entry, context).await {
                    Ok(tree) => {
                        next.push(entry.digest);
                        list.entries.push(entry);
                        list.trees.push(tree);
                    }
                    Err(error) => survive(error, context)?,
                }
            }
            if !list.entries.is_empty() {
                lists.push(list);
            }
        }
        subjects = next;
    }
    Ok(lists)
}

async fn read(source: &Source, entry: &Descriptor, context: &Context) -> Result<Vec<Branch>, TransferError> {
    tree::gather(source, source.document(entry, context).await?, context).await
}

/// Goes on without what failed, unless the user ended the run.
fn survive<T: Default>(error: TransferError, context: &Context) -> Result<T, TransferError> {
    context.cancellation.check()?;
    context.progress.warn(&format!("a referrer is left out: {error}"));
    Ok(T::default())
}

/// Pushes referrers, and lists them where the registry does not do that by itself.
pub(super) async fn push(push: &mut Push<'_>, list: &Referrers) -> Result<(), TransferError> {
    let (context, repository) = (push.context, push.repository);
    let mut pushed = Vec::new();
    for (entry, tree) in list.entries.iter().zip(&list.trees) {
        match push.push(tree, &repository.with_digest(entry.digest)).await {
            Ok(()) => pushed.push(entry.clone()),
            Err(error) => survive(error, context)?,
        }
    }
    let listed = context.client.list_referrers(repository, list.subject, &pushed).await;
    listed.or_else(|error| survive(error.into(), context))
}

/// Writes referrers, listed under the name that the tag schema gives. A layout's own list is added to.
pub(super) async fn write(
    writer: &mut ImageWriter,
    source: &Source,
    lists: &[Referrers],
    layout: Option<&HostPath>,
    context: &Context,
) -> Result<u64, TransferError> {
    let layout = layout.and_then(|dir| Layout::open(dir).ok());
    let mut written = 0;
    for list in lists {
        for tree in &list.trees {
            written += put(writer, source, tree, context).await?;
        }
        let mut entries: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        if let Some(layout) = &layout {
            entries.extend(of_layout(layout, list.subject)?.into_iter().map(|entry| (entry.digest, entry)));
        }
        entries.extend(list.entries.iter().map(|entry| (entry.digest, entry.clone())));
        let index = Raw::encode("image index", Index::new(Format::Oci, entries.into_values().collect()));
        let name = referrers_tag(list.subject);
        let index = index.map_err(|source| TransferError::Document { name: name.clone(), source })?;
        let descriptor = index.descriptor(media_type::INDEX);
        writer.put_bytes(&descriptor, index.bytes())?;
        writer.name(Some(&name), descriptor);
    }
    Ok(written)
}

/// The referrers that a layout has of a manifest: those of its list, and entries that name it as their subject, as oras
/// writes them.
pub(super) fn of_layout(layout: &Layout, subject: Digest) -> Result<Vec<Descriptor>, TransferError> {
    let tag = referrers_tag(subject);
    let mut found = Vec::new();
    for entry in layout.entries() {
        let descriptor = entry.descriptor;
        let name = || descriptor.digest.to_string();
        let document = |source| TransferError::Document { name: name(), source };
        if entry.name.as_deref() == Some(tag.as_str()) {
            let list: Raw<Index> = Raw::parse("image index", layout.document(&descriptor)?).map_err(document)?;
            found.extend(list.parsed().manifests.iter().cloned());
        } else if descriptor.digest != subject && media_type::is_manifest(&descriptor.media_type) {
            let manifest: Raw<Manifest> =
                Raw::parse("image manifest", layout.document(&descriptor)?).map_err(document)?;
            let manifest = manifest.parsed();
            if manifest.subject.as_ref().is_some_and(|named| named.digest == subject) {
                let mut listed = Descriptor::new(&descriptor.media_type, descriptor.digest, descriptor.size);
                let kind = manifest.artifact_type.clone();
                listed.artifact_type = Some(kind.unwrap_or_else(|| manifest.config.media_type.clone()));
                listed.annotations.clone_from(&manifest.annotations);
                found.push(listed);
            }
        }
    }
    Ok(found)
}
