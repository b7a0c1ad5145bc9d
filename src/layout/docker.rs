//! Docker's archives: `manifest.json`, which names for each image its config, its layers and its tags.
//!
//! Source: moby's image-spec, "Combined Image JSON + Filesystem Changeset Format".

use std::collections::BTreeMap;
use std::io::{BufReader, Read};

use serde::{Deserialize, Serialize};

use super::{ArchiveFiles, Section};
use crate::digest::{DiffId, Digest, Hasher};
use crate::manifest::media_type::{self, Compression};
use crate::manifest::{Descriptor, DocumentError, Format, ImageConfig, Index, MANIFEST_LIMIT, Manifest, Raw};

/// The annotation by which containerd, and Docker with its store, know an entry of an index: a whole reference.
pub(super) const FULL_NAME: &str = "io.containerd.image.name";
pub(super) const MANIFEST_FILE: &str = "manifest.json";

/// One image of an archive, as `manifest.json` has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct DockerImage {
    /// The file of the config.
    pub(super) config: String,
    /// The tags. Docker writes them the short way, `node:20` for `docker.io/library/node:20`, and reads both; podman takes
    /// short ones for its own, `localhost/node:20`.
    #[serde(default, deserialize_with = "null_is_none")]
    pub(super) repo_tags: Vec<String>,
    /// The files of the layers, bottom first.
    pub(super) layers: Vec<String>,
}

/// Docker writes `null` where there are no tags.
fn null_is_none<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// Where the bytes of a blob are.
#[derive(Clone, Debug)]
pub(super) enum Held {
    /// In memory: a document.
    Bytes(Vec<u8>),
    /// In the archive.
    Section(Section),
}

/// Why an archive of Docker's cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum DockerArchiveError {
    /// Something it names is not in it.
    #[error("the archive lacks the file `{0}`, which its `manifest.json` names")]
    Missing(String),
    /// A layer that is not the one the config knows.
    #[error("the archive is damaged: its config says other contents of the layer `{0}`")]
    Layer(String),
    /// The numbers of layers differ.
    #[error("the archive is damaged: the config knows {known} layers, `manifest.json` {named}")]
    Layers {
        /// Of the config.
        known: usize,
        /// Of `manifest.json`.
        named: usize,
    },
    /// A config larger than any.
    #[error("the archive has a config of more than {MANIFEST_LIMIT} bytes: `{0}`")]
    TooLarge(String),
    /// A document is not what it should be.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// Reading failed.
    #[error("cannot read the archive: {0}")]
    Io(#[from] std::io::Error),
}

/// The images of a Docker archive as OCI images: an index that names them, and what the index leads to. Layers stay as
/// they are in the archive, plain tars as a rule, and the config keeps its bytes; only the manifest is ours, since the
/// archive has none.
pub(super) fn convert<R: Read>(
    images: &[DockerImage],
    files: &ArchiveFiles,
    open: &dyn Fn(Section) -> R,
) -> Result<(Raw<Index>, BTreeMap<Digest, Held>), DockerArchiveError> {
    let mut blobs = BTreeMap::new();
    let mut layers: BTreeMap<&str, (Descriptor, DiffId)> = BTreeMap::new();
    let mut entries = Vec::new();
    for image in images {
        let section = files.get(&image.config).ok_or_else(|| DockerArchiveError::Missing(image.config.clone()))?;
        if section.size > MANIFEST_LIMIT {
            return Err(DockerArchiveError::TooLarge(image.config.clone()));
        }
        let mut bytes = Vec::new();
        open(section).read_to_end(&mut bytes)?;
        let config: Raw<ImageConfig> = Raw::parse("image config", bytes)?;
        let diff_ids = &config.parsed().rootfs.diff_ids;
        if diff_ids.len() != image.layers.len() {
            return Err(DockerArchiveError::Layers { known: diff_ids.len(), named: image.layers.len() });
        }
        let mut descriptors = Vec::new();
        for (name, expected) in image.layers.iter().zip(diff_ids) {
            let section = files.get(name).ok_or_else(|| DockerArchiveError::Missing(name.clone()))?;
            let (layer, diff_id) = match layers.get(name.as_str()) {
                Some(known) => known.clone(),
                None => describe(section.size, &mut || open(section))?,
            };
            if diff_id != *expected {
                return Err(DockerArchiveError::Layer(name.clone()));
            }
            blobs.insert(layer.digest, Held::Section(section));
            layers.insert(name, (layer.clone(), diff_id));
            descriptors.push(layer);
        }
        let manifest = Manifest::new(Format::Oci, config.descriptor(media_type::CONFIG), descriptors);
        let manifest = Raw::encode("image manifest", manifest)?;
        let mut entry = manifest.descriptor(media_type::MANIFEST);
        entry.platform = Some(config.parsed().platform.clone());
        blobs.insert(config.digest(), Held::Bytes(config.bytes().to_vec()));
        blobs.insert(manifest.digest(), Held::Bytes(manifest.bytes().to_vec()));
        if image.repo_tags.is_empty() {
            entries.push(entry.clone());
        }
        for tag in &image.repo_tags {
            entry.annotations.insert(FULL_NAME.to_owned(), tag.clone());
            entries.push(entry.clone());
        }
    }
    Ok((Raw::encode("layout index", Index::new(Format::Oci, entries))?, blobs))
}

/// Reads a layer: what it is, by its first bytes, and the digest of the tar in it.
fn describe<R: Read>(size: u64, open: &mut dyn FnMut() -> R) -> Result<(Descriptor, DiffId), DockerArchiveError> {
    let mut hasher = Hasher::default();
    std::io::copy(&mut open(), &mut hasher)?;
    let digest = hasher.finish();
    let mut start = [0; 4];
    let mut first = open();
    let mut known = 0;
    while known < start.len() {
        match first.read(&mut start[known..])? {
            0 => break,
            read => known += read,
        }
    }
    let compression = match start {
        [0x1f, 0x8b, ..] => Compression::Gzip,
        [0x28, 0xb5, 0x2f, 0xfd] => Compression::Zstd,
        _ => Compression::None,
    };
    let mut tar = Hasher::default();
    let contents = match compression {
        Compression::None => digest,
        Compression::Gzip => {
            std::io::copy(&mut flate2::read::MultiGzDecoder::new(BufReader::new(open())), &mut tar)?;
            tar.finish()
        }
        Compression::Zstd => {
            std::io::copy(&mut zstd::Decoder::new(open())?, &mut tar)?;
            tar.finish()
        }
    };
    Ok((Descriptor::new(compression.media_type(), digest, size), DiffId::of_tar(contents)))
}

/// A reference the short way, as Docker writes it: without what it adds by itself.
pub(super) fn familiar(reference: &str) -> &str {
    let hub = reference.strip_prefix("docker.io/").unwrap_or(reference);
    hub.strip_prefix("library/").filter(|rest| hub.len() < reference.len() && !rest.contains('/')).unwrap_or(hub)
}

/// The tag at the end of a reference.
pub(super) fn tag(reference: &str) -> &str {
    let name = reference.rfind('/').map_or(0, |slash| slash + 1);
    reference[name..].split_once(':').map_or("latest", |(_, tag)| tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_names_and_tags() {
        let table = [
            ("docker.io/library/node:20", "node:20", "20"),
            ("docker.io/acme/web:1", "acme/web:1", "1"),
            ("localhost:5000/web", "localhost:5000/web", "latest"),
            ("ghcr.io/library/web:1", "ghcr.io/library/web:1", "1"),
            ("library/web:1", "library/web:1", "1"),
        ];
        for (reference, short, expected) in table {
            assert_eq!((familiar(reference), tag(reference)), (short, expected), "{reference}");
        }
    }
}
