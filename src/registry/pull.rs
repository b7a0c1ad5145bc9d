//! Reading from a registry.
//!
//! Source: OCI distribution-spec, "Pull".

use reqwest::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue, RANGE};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::io::AsyncWrite;
use url::Url;

use super::answer::Answer;
use super::auth::Access;
use super::download::Download;
use super::mirror::Source;
use super::transport::Request;
use super::{Client, Reference, RegistryError, Repository};
use crate::digest::Digest;
use crate::http::{redacted, retry};
use crate::manifest::{Descriptor, MANIFEST_LIMIT};

const CONTENT_DIGEST: &str = "docker-content-digest";

/// A manifest or index as a registry gave it, with exact bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PulledManifest {
    /// What the bytes are, computed from themselves.
    pub descriptor: Descriptor,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Client {
    /// Fetches the manifest or index that `reference` names, as one of the media types `accept`, from a mirror if there is
    /// one that has it. If the reference has a digest, the bytes have it too.
    pub async fn manifest(&self, reference: &Reference, accept: &[&str]) -> Result<PulledManifest, RegistryError> {
        for mirror in self.mirrors(reference.repository()) {
            match self.manifest_from(&mirror, reference, accept).await {
                Ok(manifest) => return Ok(manifest),
                Err(error) => self.note_failed_mirror(&mirror, &error),
            }
        }
        self.manifest_from(&Source::own(reference.repository()), reference, accept).await
    }

    async fn manifest_from(
        &self,
        source: &Source,
        reference: &Reference,
        accept: &[&str],
    ) -> Result<PulledManifest, RegistryError> {
        let request = self.manifest_request(Method::GET, source, reference, accept)?;
        let answer = self.transport.send(&request).await?;
        if answer.status() != StatusCode::OK {
            return Err(answer.refusal().await);
        }
        read_manifest(answer, reference.digest()).await
    }

    /// Gets the manifest or index that `reference` names as [`Client::manifest`] does, but fetches it only if `known`, which
    /// is asked by digest, does not have it. With a digest nothing is sent then; a tag is asked for by HEAD, which registries
    /// that count pulls do not count (Docker Hub).
    pub async fn manifest_unless_known(
        &self,
        reference: &Reference,
        accept: &[&str],
        known: &(dyn Fn(Digest) -> Option<PulledManifest> + Sync),
    ) -> Result<PulledManifest, RegistryError> {
        let digest = match reference.digest() {
            Some(digest) => Some(digest),
            None => self.tagged_digest(reference, accept).await?,
        };
        match digest.and_then(known) {
            Some(known) => Ok(known),
            // Whatever HEAD was answered, GET is what tells the reason.
            None => self.manifest(reference, accept).await,
        }
    }

    /// The digest behind a tag, from the first mirror that tells it, else from the registry if that does.
    async fn tagged_digest(&self, reference: &Reference, accept: &[&str]) -> Result<Option<Digest>, RegistryError> {
        let own = Source::own(reference.repository());
        for source in self.mirrors(reference.repository()).into_iter().chain([own]) {
            match self.transport.send(&self.manifest_request(Method::HEAD, &source, reference, accept)?).await {
                Ok(answer) => {
                    let found = answer.header(CONTENT_DIGEST).filter(|_| answer.status() == StatusCode::OK);
                    if let Some(digest) = found.and_then(|text| text.parse().ok()) {
                        return Ok(Some(digest));
                    }
                }
                Err(error) if source.is_mirror => self.note_failed_mirror(&source, &error),
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }

    /// Asks the registry itself what `reference` names, without fetching it where it allows that; `None` if there is
    /// nothing, or nothing that the registry can read: to a tag that a crash left half written docker-registry answers
    /// 500 until it is pushed again.
    pub async fn head_manifest(
        &self,
        reference: &Reference,
        accept: &[&str],
    ) -> Result<Option<Descriptor>, RegistryError> {
        let own = Source::own(reference.repository());
        let request = self.manifest_request(Method::HEAD, &own, reference, accept)?;
        let answer = self.transport.send(&request).await?;
        if matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::INTERNAL_SERVER_ERROR) {
            return Ok(None);
        }
        if answer.status() == StatusCode::OK
            && let Some(descriptor) = described(answer.headers())
            && reference.digest().is_none_or(|digest| digest == descriptor.digest)
        {
            return Ok(Some(descriptor));
        }
        if retry::is_temporary(answer.status()) {
            return Err(answer.refusal().await);
        }
        // Some registries know no HEAD, or leave out headers, and a refusal of HEAD has no body that gives the reason.
        drop(answer);
        match self.manifest_from(&own, reference, accept).await {
            Ok(manifest) => Ok(Some(manifest.descriptor)),
            Err(RegistryError::NotFound(_) | RegistryError::RepositoryUnknown(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Fetches a blob into `sink` and tells `on_bytes` of each piece. Digest and size are verified on the way: what the
    /// sink got counts only if this returns `Ok`. A download that breaks off goes on where it stopped, in the registry
    /// itself if it was a mirror's. What the registry does not have is fetched
    /// from the addresses of the descriptor, if it has any.
    pub async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        sink: &mut (impl AsyncWrite + Unpin + Send),
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut download = Download::of(descriptor, on_bytes);
        for source in self.mirrors(repository).into_iter().chain([Source::own(repository)]) {
            let mut request =
                Request::new(Method::GET, source.asked(self.blob_url(&source.repository, descriptor.digest)?));
            request.access = Some(Access::pull(&source.repository));
            request.once = source.is_mirror;
            match self.download(&mut request, &mut download, sink).await {
                Ok(()) => return download.finish(sink, &request.url).await,
                Err(error) if source.is_mirror && !matches!(error, RegistryError::Sink(_)) => {
                    self.note_failed_mirror(&source, &error);
                }
                Err(RegistryError::NotFound(_)) if !descriptor.urls.is_empty() && download.done == 0 => break,
                Err(error) => return Err(error),
            }
        }
        self.foreign_blob(repository.registry(), descriptor, sink, on_bytes).await
    }

    /// Whether the repository has the blob.
    pub async fn has_blob(&self, repository: &Repository, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        self.has_blob_as(Access::pull(repository), descriptor).await
    }

    pub(super) async fn has_blob_as(&self, access: Access, descriptor: &Descriptor) -> Result<bool, RegistryError> {
        let mut request = Request::new(Method::HEAD, self.blob_url(&access.repository, descriptor.digest)?);
        if self.experience.habits(access.repository.registry()).lies_to_head {
            request.method = Method::GET;
            request.headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        }
        request.access = Some(access);
        let answer = self.transport.send(&request).await?;
        match answer.status() {
            // An empty blob has no first byte.
            StatusCode::OK | StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            _ => Err(answer.refusal().await),
        }
    }

    pub(super) fn manifest_request(
        &self,
        method: Method,
        source: &Source,
        reference: &Reference,
        accept: &[&str],
    ) -> Result<Request<'static>, RegistryError> {
        let mut request = Request::new(method, source.asked(self.manifest_url(&source.repository, reference)?));
        request.once = source.is_mirror;
        let accept = HeaderValue::from_str(&accept.join(", "))
            .map_err(|_| RegistryError::Setup("a media type holds characters that HTTP does not allow".to_owned()))?;
        request.headers.insert(ACCEPT, accept);
        request.access = Some(Access::pull(&source.repository));
        Ok(request)
    }

    /// A digest is surer than a tag.
    fn manifest_url(&self, repository: &Repository, reference: &Reference) -> Result<Url, RegistryError> {
        let name = match (reference.digest(), reference.tag()) {
            (Some(digest), _) => digest.to_string(),
            (None, tag) => tag.unwrap_or("latest").to_owned(),
        };
        self.url(repository, &format!("manifests/{name}"))
    }

    pub(super) fn blob_url(&self, repository: &Repository, digest: Digest) -> Result<Url, RegistryError> {
        self.url(repository, &format!("blobs/{digest}"))
    }

    /// `https://HOST/v2/NAME/END`
    pub(super) fn url(&self, repository: &Repository, end: &str) -> Result<Url, RegistryError> {
        let base = self.transport.base_url(repository.registry())?;
        let path = format!("{}/{end}", repository.name());
        base.join(&path).map_err(|error| RegistryError::Setup(format!("{error}: `{path}`")))
    }
}

/// The descriptor in the headers of an answer to HEAD, if they are all there.
fn described(headers: &HeaderMap) -> Option<Descriptor> {
    let text = |name| headers.get(name)?.to_str().ok();
    let media_type = media_type(headers)?;
    let digest = text(CONTENT_DIGEST)?.parse().ok()?;
    let size = text(CONTENT_LENGTH.as_str())?.parse().ok()?;
    Some(Descriptor::new(&media_type, digest, size))
}

/// The media type without parameters; `None` for those that say nothing of a manifest.
fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    let essence = value.split(';').next()?.trim().to_ascii_lowercase();
    let is_telling = !matches!(essence.as_str(), "" | "application/json" | "application/octet-stream" | "text/plain");
    is_telling.then_some(essence)
}

async fn read_manifest(answer: Answer, wanted: Option<Digest>) -> Result<PulledManifest, RegistryError> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        media_type: Option<String>,
    }
    let url = answer.url.clone();
    let named = media_type(answer.headers());
    let announced = answer.header(CONTENT_DIGEST).and_then(|text| text.parse::<Digest>().ok());
    let bytes = answer.bytes(MANIFEST_LIMIT).await?;
    if bytes.len() as u64 > MANIFEST_LIMIT {
        return Err(RegistryError::ManifestTooLarge { url: redacted(&url) });
    }
    let actual = Digest::of(&bytes);
    if let Some(expected) = wanted.filter(|expected| *expected != actual) {
        return Err(RegistryError::WrongDigest { expected, actual, url: redacted(&url) });
    }
    if announced.is_some_and(|announced| announced != actual) {
        tracing::warn!("the registry announces another digest than its manifest has: `{}`", redacted(&url));
    }
    let kind: Kind = serde_json::from_slice(&bytes)
        .map_err(|_| RegistryError::not_a_registry(&url, "where a manifest belongs comes no JSON"))?;
    let media_type = named
        .or(kind.media_type)
        .ok_or_else(|| RegistryError::not_a_registry(&url, "it does not tell the manifest's media type"))?;
    Ok(PulledManifest { descriptor: Descriptor::of(&media_type, &bytes), bytes })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_types() {
        let oci = "application/vnd.oci.image.manifest.v1+json";
        let table = [
            (oci, Some(oci)),
            ("application/vnd.oci.image.manifest.v1+json; charset=utf-8", Some(oci)),
            ("application/json", None),
        ];
        for (value, expected) in table {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(media_type(&headers).as_deref(), expected, "{value}");
        }
    }
}
