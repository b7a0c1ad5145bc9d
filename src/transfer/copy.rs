//! An image from one place to another.

use std::collections::BTreeSet;

use super::place::fitting_name;
use super::send::Push;
use super::tree::{self, Branch};
use super::{Context, Medium, Place, Source, TransferError, daemon, referrers};
use crate::digest::Digest;
use crate::layout::{ArchiveForm, ArchiveWriter, ImageWriter, LayoutWriter};
use crate::manifest::{Descriptor, media_type};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::Reference;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};

/// How many blobs are fetched ahead of the one that is being written.
const AHEAD: usize = 4;

/// What the user asks for.
#[derive(Clone, Debug)]
pub struct CopyRequest {
    /// Where the image is.
    pub source: Place,
    /// Where it goes.
    pub target: Place,
    /// The one platform of an index; `None` for all of them.
    pub platform: Option<Platform>,
    /// Whether signatures, SBOMs and what else refers to the image go with it.
    pub referrers: bool,
}

/// What became of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    /// Where the image is now.
    pub place: Place,
    /// Its manifest or index.
    pub digest: Digest,
    /// How many bytes of blobs were sent or written. What was there, or was mounted, does not count.
    pub sent_bytes: u64,
    /// How many manifests that refer to it were copied too.
    pub referrers: usize,
}

/// Copies an image: what it is made of first, then itself, then its name.
pub async fn copy(request: &CopyRequest, context: &Context) -> Result<Copied, TransferError> {
    let CopyRequest { source: from, target, .. } = request;
    context.progress.step(&format!("copying {from} to {target}"));
    let source = Source::open(from, context).await?;
    let mut root = source.root(context).await?;
    if let Some(platform) = request.platform.clone().or_else(|| target.one_platform(&root.descriptor)) {
        root = tree::choose(&source, &from.to_string(), root, &platform, context).await?;
    }
    let digest = root.descriptor.digest;
    let place = target.named_after(from, &source);
    let done = |sent_bytes, referrers| Copied { place: place.clone(), digest, sent_bytes, referrers };
    target.refuse_other(digest)?;
    if let Place::Registry(reference) = &place
        && !request.referrers
        && is_there(reference, digest, context).await?
    {
        return Ok(done(0, 0));
    }
    let image = tree::gather(&source, root, context).await?;
    let lists = match (request.referrers, place.holds_referrers()) {
        (false, _) => Vec::new(),
        (true, true) => referrers::gather(&source, &image, context).await?,
        (true, false) => {
            context.progress.warn("archives of Docker's hold no referrers: the image goes alone");
            Vec::new()
        }
    };
    let copied_referrers = lists.iter().map(|list| list.entries.len()).sum();
    let sent_bytes = match &place {
        Place::Registry(reference) => {
            let repository = reference.repository();
            let mut push = Push { source: &source, repository, context, held: BTreeSet::new(), sent_bytes: 0 };
            push.push(&image, reference).await?;
            for list in &lists {
                referrers::push(&mut push, list).await?;
            }
            push.sent_bytes
        }
        Place::Layout { dir, name } => {
            let mut writer = ImageWriter::Layout(LayoutWriter::open(dir)?);
            let written = fill(&mut writer, &source, &image, name.as_deref(), context).await?;
            let more = referrers::write(&mut writer, &source, &lists, Some(dir), context).await?;
            writer.finish()?;
            written + more
        }
        Place::Archive { form, file, name } => {
            let mut writer = ImageWriter::Archive(ArchiveWriter::create(file, *form)?);
            let written = fill(&mut writer, &source, &image, name.as_deref(), context).await?;
            let more = referrers::write(&mut writer, &source, &lists, None, context).await?;
            writer.finish()?;
            written + more
        }
        Place::Daemon(reference) => {
            let archive = context.scratch_archive()?;
            let path = HostPath::new(archive.path());
            let mut writer = ImageWriter::Archive(ArchiveWriter::create(&path, ArchiveForm::Docker)?);
            let name = reference.to_string();
            let written = fill(&mut writer, &source, &image, Some(&name), context).await?;
            writer.finish()?;
            daemon::load(&path, &name, context).await?;
            written
        }
    };
    Ok(done(sent_bytes, copied_referrers))
}

impl Place {
    /// The platform without which an image cannot be kept here: archives of Docker's, and Docker itself, take one image.
    fn one_platform(&self, root: &Descriptor) -> Option<Platform> {
        let takes_one = matches!(self, Self::Daemon(_) | Self::Archive { form: ArchiveForm::Docker, .. });
        (takes_one && media_type::is_index(&root.media_type)).then(Platform::of_this_machine)
    }

    /// This place, with a name if it is one for several images and the user gave none.
    fn named_after(&self, from: &Self, source: &Source) -> Self {
        let known = match from {
            Self::Registry(reference) | Self::Daemon(reference) => {
                reference.tag().and_then(|tag| reference.with_tag(tag).ok()).map(|reference| reference.to_string())
            }
            Self::Layout { .. } | Self::Archive { .. } => source.name().map(str::to_owned),
        };
        let fitting = |medium| known.as_deref().and_then(|name| fitting_name(name, medium));
        let mut named = self.clone();
        match &mut named {
            // Of a tag and a digest, the tag is what is to be set.
            Self::Registry(reference) => {
                let tagged = reference.tag().and_then(|tag| reference.with_tag(tag).ok());
                *reference = tagged.unwrap_or_else(|| reference.clone());
            }
            Self::Layout { name, .. } if name.is_none() => *name = fitting(Medium::Layout),
            Self::Archive { name, form, .. } if name.is_none() => *name = fitting(Medium::Archive(*form)),
            _ => {}
        }
        named
    }

    /// An error if this place is named with the digest of another image.
    fn refuse_other(&self, actual: Digest) -> Result<(), TransferError> {
        let Self::Registry(reference) = self else { return Ok(()) };
        match reference.digest().filter(|expected| *expected != actual) {
            Some(_) => Err(TransferError::OtherDigest { actual, target: reference.to_string() }),
            None => Ok(()),
        }
    }

    /// Whether lists of referrers have a place here.
    fn holds_referrers(&self) -> bool {
        !matches!(self, Self::Daemon(_) | Self::Archive { form: ArchiveForm::Docker, .. })
    }
}

/// Whether the reference names exactly this manifest already.
async fn is_there(reference: &Reference, digest: Digest, context: &Context) -> Result<bool, TransferError> {
    let found = context.client.head_manifest(reference, &media_type::DOCUMENTS).await?;
    Ok(found.is_some_and(|descriptor| descriptor.digest == digest))
}

/// Writes an image, and names it. Gives how many bytes of blobs were not there yet.
async fn fill(
    writer: &mut ImageWriter,
    source: &Source,
    image: &[Branch],
    name: Option<&str>,
    context: &Context,
) -> Result<u64, TransferError> {
    let written = put(writer, source, image, context).await?;
    if let Some(root) = image.last() {
        writer.name(name, root.document.descriptor.clone());
    }
    Ok(written)
}

/// Writes documents and what they name, children before parents, always in the same order.
pub(super) async fn put(
    writer: &mut ImageWriter,
    source: &Source,
    branches: &[Branch],
    context: &Context,
) -> Result<u64, TransferError> {
    let mut seen = BTreeSet::new();
    let blobs = branches.iter().flat_map(|branch| &branch.blobs);
    let missing: Vec<&Descriptor> = blobs.filter(|blob| seen.insert(blob.digest) && !writer.has_blob(blob)).collect();
    let written = missing.iter().map(|blob| blob.size).sum();
    let fetched =
        missing.into_iter().map(async |blob| Ok::<_, TransferError>((blob, source.fetch(blob, context).await?)));
    let mut fetched = stream::iter(fetched).buffered(AHEAD);
    while let Some((blob, path)) = fetched.try_next().await? {
        context.cancellation.check()?;
        writer.put_file(blob, &path)?;
    }
    drop(fetched);
    for branch in branches {
        writer.put_bytes(&branch.document.descriptor, &branch.document.bytes)?;
    }
    Ok(written)
}
