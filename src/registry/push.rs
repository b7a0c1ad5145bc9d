//! Writing to a registry.
//!
//! Source: OCI distribution-spec, "Push".

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::time::sleep;

use super::answer::Answer;
use super::auth::Access;
use super::body::{Body, Meter};
use super::transport::Request;
use super::upload::Upload;
use super::upload::mount::Mount;
use super::upload::session::OpenSession;
use super::{Client, Reference, RegistryError, RegistryHost, Repository};
use crate::digest::Digest;
use crate::http::redacted;
use crate::manifest::{Descriptor, MANIFEST_LIMIT};

/// What a repository said to a blob it was offered.
#[derive(Debug)]
pub enum Offer {
    /// It has it.
    AlreadyThere,
    /// It took it from another repository of the registry.
    Mounted,
    /// It wants the bytes.
    Wanted(Session),
}

/// The upload that a registry opened of its own accord, if it did.
#[derive(Debug)]
pub struct Session(Option<OpenSession>);

impl Client {
    /// Offers a blob to `repository`: looks whether it is there, else has it mounted from `mount_from`. No byte of it is
    /// sent.
    pub async fn offer_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        mount_from: Option<&Repository>,
    ) -> Result<Offer, RegistryError> {
        if self.seems_there(repository, descriptor).await? {
            return Ok(Offer::AlreadyThere);
        }
        match mount_from {
            None => Ok(Offer::Wanted(Session(None))),
            Some(from) => Ok(match self.mount(repository, descriptor.digest, from).await? {
                Mount::Done => Offer::Mounted,
                Mount::Session(opened) => Offer::Wanted(Session(Some(opened))),
                Mount::Refused => Offer::Wanted(Session(None)),
            }),
        }
    }

    /// Sends a blob that `repository` wants from the file `source`. `on_bytes` is told of what is sent, never of more than
    /// the blob's size in all.
    pub async fn send_blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        source: &Path,
        session: Session,
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let meter = Meter::new(on_bytes);
        Upload::new(self, repository, descriptor, Arc::from(source), &meter).run(session.0).await?;
        meter.reach(descriptor.size);
        Ok(())
    }

    /// Puts a manifest or index under the reference's tag, or under its digest alone if it has no tag, and makes sure
    /// that the registry holds these bytes.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &str,
        bytes: impl Into<Bytes>,
    ) -> Result<Digest, RegistryError> {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        let name = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let repository = reference.repository();
        let mut request = Request::new(Method::PUT, self.url(repository, &format!("manifests/{name}"))?);
        let url = redacted(&request.url);
        if let Some(expected) = reference.digest().filter(|expected| *expected != digest) {
            return Err(RegistryError::WrongDigest { expected, actual: digest, url });
        }
        if bytes.len() as u64 > MANIFEST_LIMIT {
            return Err(RegistryError::ManifestTooLarge { url });
        }
        let kind = HeaderValue::from_str(media_type)
            .map_err(|_| RegistryError::Setup(format!("not a media type: `{media_type}`")))?;
        request.headers.insert(CONTENT_TYPE, kind);
        request.access = Some(Access::push(repository));
        request.body = Body::Bytes(bytes);
        let answer = match self.put_manifest(&request).await.map_err(|refusal| refusal.of_an_immutable_tag(reference)) {
            Ok(answer) => answer,
            // Some refuse even what changes nothing (ECR).
            Err(error @ RegistryError::ImmutableTag { .. }) => {
                let there = self.head_manifest(&reference.without_digest(), &[media_type]).await.ok().flatten();
                return if there.is_some_and(|there| there.digest == digest) { Ok(digest) } else { Err(error) };
            }
            Err(error) => return Err(error),
        };
        let announced = answer.header("docker-content-digest").and_then(|text| text.parse::<Digest>().ok());
        match announced {
            Some(announced) if announced == digest => Ok(digest),
            Some(actual) => {
                drop(answer);
                // What it holds counts, not what it says of it.
                let held = self.manifest(&repository.with_digest(digest), &[media_type]).await;
                held.map(|_| digest).map_err(|_| RegistryError::WrongDigest { expected: digest, actual, url })
            }
            None => {
                drop(answer);
                self.wait_for_manifest(&repository.with_digest(digest), media_type).await?;
                Ok(digest)
            }
        }
    }

    /// Sends a manifest. Blobs that were just taken may need a moment until the registry finds them everywhere.
    async fn put_manifest(&self, request: &Request<'_>) -> Result<Answer, RegistryError> {
        let mut attempts = self.transport.attempts();
        loop {
            let answer = self.transport.send(request).await?;
            if is_committed(answer.status()) {
                return Ok(answer);
            }
            let error = answer.refusal().await;
            let is_early = error.exchange().is_some_and(|exchange| exchange.has_code("MANIFEST_BLOB_UNKNOWN"));
            let wait = is_early.then(|| attempts.next_wait(None)).flatten();
            let Some(wait) = wait else { return Err(error) };
            sleep(wait).await;
        }
    }

    /// Whether a push that ended with this error is worth another. Where the manifest was refused as if for blobs of which
    /// the registry said that it has them, its word for that is no longer taken, but a byte of each asked for: once a
    /// registry.
    pub fn doubts_blobs_after(&self, error: &RegistryError, registry: &RegistryHost) -> bool {
        if !error.is_about_missing_blobs() {
            return false;
        }
        let believed = !self.experience.habits(registry).lies_to_head;
        self.experience.learn(registry, |habits| habits.lies_to_head = true);
        believed
    }

    /// Whether the blob is there, as far as the registry tells: some answer 401 or 403 for what they do not have
    /// (GitLab, Artifactory), and 500 for what a crash left half written (docker-registry: an empty link). The upload that
    /// follows mends the latter, and shows whether access is the true reason of the former.
    pub(super) async fn seems_there(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
    ) -> Result<bool, RegistryError> {
        match self.has_blob_as(Access::push(repository), descriptor).await {
            Err(error) if error.is_about_access() => Ok(false),
            Err(error) => match error.exchange() {
                Some(exchange) if exchange.status == StatusCode::INTERNAL_SERVER_ERROR || !error.is_temporary() => {
                    Ok(false)
                }
                _ => Err(error),
            },
            outcome => outcome,
        }
    }

    /// Waits until a manifest shows that the registry took without naming its digest: what answers every request with
    /// success is no registry, and a good one may need a moment.
    async fn wait_for_manifest(&self, reference: &Reference, media_type: &str) -> Result<(), RegistryError> {
        let mut attempts = self.transport.attempts();
        while self.head_manifest(reference, &[media_type]).await?.is_none() {
            let Some(wait) = attempts.next_wait(None) else {
                let url = self.url(reference.repository(), "manifests/")?;
                return Err(RegistryError::not_a_registry(&url, "it took a manifest and does not have it"));
            };
            sleep(wait).await;
        }
        Ok(())
    }
}

/// Whether a status says that what was put is there: 201 by the spec, some registries say 200, 202 or 204.
pub(super) fn is_committed(status: StatusCode) -> bool {
    matches!(status.as_u16(), 200 | 201 | 202 | 204)
}
