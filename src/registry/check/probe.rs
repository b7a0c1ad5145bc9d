//! A small image that is pushed, looked at and deleted again.

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};

use super::{Feature, Run, Verdict, in_words, refused_in_words};
use crate::digest::{DiffId, Digest};
use crate::manifest::{Descriptor, Format, Manifest, Raw, media_type};
use crate::registry::auth::Access;
use crate::registry::body::Body;
use crate::registry::push::is_committed;
use crate::registry::transport::Request;
use crate::registry::{RegistryError, location};

/// What the artifact is that refers to the image.
const ARTIFACT: &str = "application/vnd.pirogue.check.v1";
const TAR_BLOCK: usize = 512;

/// The small image on its way through a registry.
pub(super) struct Probe<'a, 'r> {
    run: &'a mut Run<'r>,
    blobs: Vec<Digest>,
    manifests: Vec<Digest>,
}

impl<'a, 'r> Probe<'a, 'r> {
    pub(super) fn new(run: &'a mut Run<'r>) -> Self {
        Self { run, blobs: Vec::new(), manifests: Vec::new() }
    }

    /// Pushes, looks, and deletes whatever came of it, also where something failed on the way.
    pub(super) async fn run(mut self) -> Result<(), RegistryError> {
        let pushed = self.push().await;
        let deleted = self.delete().await;
        pushed.and(deleted)
    }

    async fn push(&mut self) -> Result<(), RegistryError> {
        let setup = |error: String| RegistryError::Setup(error);
        let tar = tar();
        let layer = zstd::encode_all(&tar[..], 0).map_err(|error| setup(error.to_string()))?;
        let layer_descriptor = Descriptor::of(media_type::LAYER_ZSTD, &layer);
        let config = config(&tar).map_err(setup)?;
        let config_descriptor = Descriptor::of(media_type::CONFIG, &config);
        let (verdict, observed) = match self.put_blob(&layer_descriptor, layer).await? {
            Ok(()) => (Verdict::Works, "a blob arrived in one request".to_owned()),
            Err(refusal) => (Verdict::Fails, refusal),
        };
        self.run.found(Feature::SinglePut, verdict, observed);
        if verdict == Verdict::Fails || self.put_blob(&config_descriptor, config).await?.is_err() {
            let why = "not tried: no blob could be pushed for it";
            for feature in [Feature::Mount, Feature::Zstd, Feature::Referrers] {
                self.run.found(feature, Verdict::Untried, why);
            }
            return Ok(());
        }
        self.run.mount(layer_descriptor.digest).await?;
        let image = Manifest::new(Format::Oci, config_descriptor.clone(), vec![layer_descriptor]);
        let image = Raw::encode("image manifest", image).map_err(|error| setup(error.to_string()))?;
        match self.put_manifest(&image).await? {
            Ok(()) => self.run.found(Feature::Zstd, Verdict::Works, "an image with such a layer arrived"),
            Err(refusal) => self.run.found(Feature::Zstd, Verdict::Fails, refusal),
        }
        self.refer(&image.descriptor(media_type::MANIFEST), config_descriptor).await
    }

    /// Pushes an artifact that refers to the image, and looks whether the registry lists it.
    async fn refer(&mut self, image: &Descriptor, config: Descriptor) -> Result<(), RegistryError> {
        let mut artifact = Manifest::new(Format::Oci, config, Vec::new());
        artifact.artifact_type = Some(ARTIFACT.to_owned());
        artifact.subject = Some(image.clone());
        let artifact =
            Raw::encode("image manifest", artifact).map_err(|error| RegistryError::Setup(error.to_string()))?;
        let (verdict, observed) = match self.put_manifest(&artifact).await? {
            Err(refusal) => (Verdict::Fails, format!("a manifest that refers to an image is refused: {refusal}")),
            Ok(()) => match self.run.client.listed_referrers(self.run.repository, image.digest).await {
                Ok(Some(listed)) if listed.iter().any(|entry| entry.digest == artifact.digest()) => {
                    (Verdict::Works, "it lists what refers to an image".to_owned())
                }
                Ok(Some(_)) => (Verdict::Fails, "it has such lists, but not what was pushed just now".to_owned()),
                Ok(None) => (Verdict::Fails, "it keeps no such lists".to_owned()),
                Err(error) => (Verdict::Fails, refused_in_words(error)?),
            },
        };
        self.run.found(Feature::Referrers, verdict, observed);
        Ok(())
    }

    /// Pushes a blob in one PUT; where that is refused, in a PATCH and a PUT, so that the rest can be tried.
    async fn put_blob(&mut self, blob: &Descriptor, bytes: Vec<u8>) -> Result<Result<(), String>, RegistryError> {
        let session = match self.run.open().await? {
            Ok(session) => session,
            Err(refusal) => return Ok(Err(refusal)),
        };
        let mut request = Request::new(Method::PUT, location::with_digest(session.url.clone(), blob.digest));
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        request.access = Some(Access::push(self.run.repository));
        request.body = Body::Bytes(bytes.into());
        // Whatever is answered, it may be there now.
        self.blobs.push(blob.digest);
        let refusal = match self.run.ask(&request).await? {
            Ok(answer) if is_committed(answer.status()) => return Ok(Ok(())),
            Ok(answer) => in_words(&answer.exchange().await),
            Err(refusal) => refusal,
        };
        self.run.cancel(session).await?.ok();
        Ok(Err(refusal))
    }

    /// Pushes a manifest by its digest alone.
    async fn put_manifest(&mut self, manifest: &Raw<Manifest>) -> Result<Result<(), String>, RegistryError> {
        let reference = self.run.repository.with_digest(manifest.digest());
        self.manifests.push(manifest.digest());
        let pushed = self.run.client.push_manifest(&reference, media_type::MANIFEST, manifest.bytes().to_vec()).await;
        match pushed {
            Ok(_) => Ok(Ok(())),
            Err(error) => refused_in_words(error).map(Err),
        }
    }

    /// Deletes what was pushed, what refers to something first.
    async fn delete(&mut self) -> Result<(), RegistryError> {
        let mut refusals = Vec::new();
        let manifests = self.manifests.iter().rev().map(|digest| (format!("manifests/{digest}"), "manifest", digest));
        let blobs = self.blobs.iter().map(|digest| (format!("blobs/{digest}"), "blob", digest));
        let pushed: Vec<_> = manifests.chain(blobs).collect();
        let mut left = Vec::new();
        for (end, kind, digest) in &pushed {
            match self.run.delete(end).await? {
                Ok(()) | Err((StatusCode::NOT_FOUND, _)) => {}
                Err((_, refusal)) => {
                    left.push(match *kind {
                        "blob" => format!("the blob `{digest}` of some hundred bytes, for the registry to collect"),
                        kind => format!("the {kind} `{digest}`, without a tag"),
                    });
                    refusals.push(format!("{kind}s stay: {refusal}"));
                }
            }
        }
        left.into_iter().for_each(|what| self.run.leave(what));
        refusals.dedup();
        match refusals.is_empty() {
            true => self.run.found(Feature::Delete, Verdict::Works, "what was pushed is gone again"),
            false => self.run.found(Feature::Delete, Verdict::Fails, refusals.join("; ")),
        }
        Ok(())
    }
}

/// Bytes that nobody has.
pub(super) fn random_bytes() -> Vec<u8> {
    std::iter::repeat_with(|| fastrand::u8(..)).take(32).collect()
}

/// A tar with one small file of random bytes.
fn tar() -> Vec<u8> {
    let content = random_bytes();
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    header.as_old_mut().name[..7].copy_from_slice(b"pirogue");
    header.set_cksum();
    let mut tar = header.as_bytes().to_vec();
    tar.extend(content);
    tar.resize(4 * TAR_BLOCK, 0);
    tar
}

fn config(tar: &[u8]) -> Result<Vec<u8>, String> {
    let diff_id = DiffId::of_tar(Digest::of(tar));
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created_by": "pirogue registry check"}],
    });
    serde_json::to_vec(&config).map_err(|error| error.to_string())
}
