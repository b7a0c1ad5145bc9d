//! An image with everything it leads to: index, manifests, and the blobs they name.

use std::collections::BTreeSet;

use super::{Context, Source, TransferError};
use crate::digest::Digest;
use crate::manifest::{Descriptor, ImageConfig, Index, Manifest, Raw, media_type};
use crate::platform::Platform;

/// An image for every platform there is, with attestations, has a few dozen.
const DOCUMENT_LIMIT: usize = 1000;
/// An index may hold indexes; no real one is deeper than this.
const DEPTH_LIMIT: usize = 4;

/// A manifest or index with its exact bytes.
#[derive(Clone, Debug)]
pub struct Document {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// What a document leads to.
#[derive(Clone, Debug)]
pub(super) enum Links {
    /// An index's manifests and indexes.
    Children(Vec<Descriptor>),
    /// A manifest's layers, and its config at the end.
    Blobs(Vec<Descriptor>),
}

impl Document {
    /// What it leads to.
    pub(super) fn links(&self) -> Result<Links, TransferError> {
        let name = || self.descriptor.digest.to_string();
        let document = |source| TransferError::Document { name: name(), source };
        let media_type = &self.descriptor.media_type;
        if media_type::is_index(media_type) {
            let index: Raw<Index> = Raw::parse("image index", self.bytes.clone()).map_err(document)?;
            Ok(Links::Children(index.parsed().manifests.clone()))
        } else if media_type::is_manifest(media_type) {
            let manifest: Raw<Manifest> = Raw::parse("image manifest", self.bytes.clone()).map_err(document)?;
            let Manifest { config, layers, .. } = manifest.parsed();
            Ok(Links::Blobs(layers.iter().chain([config]).cloned().collect()))
        } else {
            Err(TransferError::NotAnImage { name: name(), media_type: media_type.clone() })
        }
    }
}

/// A document, and the blobs it names.
#[derive(Clone, Debug)]
pub(super) struct Branch {
    pub(super) document: Document,
    /// Each once, in the order of the manifest, the config last.
    pub(super) blobs: Vec<Descriptor>,
}

/// Everything that `root` leads to: children before what names them, `root` last; each once.
pub(super) async fn gather(source: &Source, root: Document, context: &Context) -> Result<Vec<Branch>, TransferError> {
    let mut known = BTreeSet::new();
    let mut branches = Vec::new();
    // What is still to be looked at, with what comes after its children.
    let mut open = vec![(root, DEPTH_LIMIT, false)];
    while let Some((document, depth, looked_at)) = open.pop() {
        if looked_at {
            branches.push(Branch { document, blobs: Vec::new() });
            continue;
        }
        if !known.insert(document.descriptor.digest) {
            continue;
        }
        if known.len() > DOCUMENT_LIMIT || depth == 0 {
            return Err(TransferError::TooManyDocuments(document.descriptor.digest.to_string()));
        }
        match document.links()? {
            Links::Blobs(mut blobs) => {
                let mut seen = BTreeSet::new();
                blobs.retain(|blob| seen.insert(blob.digest));
                branches.push(Branch { document, blobs });
            }
            Links::Children(children) => {
                let mut fetched = Vec::new();
                for child in children.iter().filter(|child| !known.contains(&child.digest)) {
                    fetched.push((source.document(child, context).await?, depth - 1, false));
                }
                open.push((document, depth, true));
                open.extend(fetched.into_iter().rev());
            }
        }
    }
    Ok(branches)
}

/// The image of `root` for one platform: itself, if it is one.
pub(super) async fn choose(
    source: &Source,
    name: &str,
    mut root: Document,
    wanted: &Platform,
    context: &Context,
) -> Result<Document, TransferError> {
    let document = |source| TransferError::Document { name: name.to_owned(), source };
    let no_such =
        |offered| TransferError::NoSuchPlatform { name: name.to_owned(), wanted: Box::new(wanted.clone()), offered };
    for _ in 0..DEPTH_LIMIT {
        if !media_type::is_index(&root.descriptor.media_type) {
            break;
        }
        let index: Raw<Index> = Raw::parse("image index", root.bytes).map_err(document)?;
        let chosen = index.parsed().choose(wanted).map_err(no_such)?;
        root = source.document(chosen, context).await?;
    }
    let Links::Blobs(blobs) = root.links()? else {
        return Err(TransferError::TooManyDocuments(name.to_owned()));
    };
    let Some(config) = blobs.last().filter(|config| media_type::is_image_config(&config.media_type)) else {
        return Ok(root);
    };
    let path = source.fetch(config, context).await?;
    let bytes = std::fs::read(&path).map_err(|error| context.store.read_error(&path, error))?;
    let config: Raw<ImageConfig> = Raw::parse("image config", bytes).map_err(document)?;
    let offered = &config.parsed().platform;
    if wanted.accepts(offered) { Ok(root) } else { Err(no_such(vec![offered.clone()])) }
}

/// The digests of the documents of a tree.
pub(super) fn digests(branches: &[Branch]) -> Vec<Digest> {
    branches.iter().map(|branch| branch.document.descriptor.digest).collect()
}
