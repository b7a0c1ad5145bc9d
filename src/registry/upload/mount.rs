//! A blob taken from another repository of the same registry.
//!
//! Source: OCI distribution-spec, "Mounting a blob from another repository".

use reqwest::{Method, StatusCode};
use url::form_urlencoded;

use super::session::OpenSession;
use crate::digest::Digest;
use crate::registry::auth::Access;
use crate::registry::transport::Request;
use crate::registry::{Client, RegistryError, Repository};

/// How a mount ended.
pub(in crate::registry) enum Mount {
    /// The blob is there.
    Done,
    /// The registry opened an upload instead; it is the one to use.
    Session(OpenSession),
    /// Nothing came of it.
    Refused,
}

impl Client {
    /// Has the registry take a blob from another of its repositories. Whatever it answers but success means: upload.
    /// Registries say no in many ways, 5xx among them, so that this is not repeated.
    pub(in crate::registry) async fn mount(
        &self,
        repository: &Repository,
        digest: Digest,
        from: &Repository,
    ) -> Result<Mount, RegistryError> {
        let pair = (repository.clone(), from.clone());
        let possible = repository.registry() == from.registry() && repository != from;
        if !possible || self.experience.is_unmountable(&pair) {
            return Ok(Mount::Refused);
        }
        let request = self.mount_request(repository, digest, from)?;
        let client = self.clone();
        self.open_uploads.opening(async move { client.try_to_mount(&request, pair).await }).await
    }

    async fn try_to_mount(
        &self,
        request: &Request<'_>,
        pair: (Repository, Repository),
    ) -> Result<Mount, RegistryError> {
        let answer = match self.transport.send(request).await {
            Ok(answer) => answer,
            Err(error) if error.exchange().is_some() => return Ok(self.unmountable(pair)),
            Err(error) if error.is_temporary() => return Ok(Mount::Refused),
            Err(error) => return Err(error),
        };
        match answer.status() {
            StatusCode::CREATED => Ok(Mount::Done),
            StatusCode::ACCEPTED => {
                Ok(OpenSession::of(&answer, &pair.0, &self.open_uploads)?.map_or(Mount::Refused, Mount::Session))
            }
            _ => Ok(self.unmountable(pair)),
        }
    }

    pub(in crate::registry) fn mount_request(
        &self,
        repository: &Repository,
        digest: Digest,
        from: &Repository,
    ) -> Result<Request<'static>, RegistryError> {
        let mut url = self.url(repository, "blobs/uploads/")?;
        let name: String = form_urlencoded::byte_serialize(from.name().as_bytes()).collect();
        url.set_query(Some(&format!("mount=sha256%3A{}&from={name}", digest.hex())));
        let mut request = Request::new(Method::POST, url);
        request.access = Some(Access::mount(repository, from));
        request.once = true;
        Ok(request)
    }

    fn unmountable(&self, pair: (Repository, Repository)) -> Mount {
        self.experience.note_unmountable(pair);
        Mount::Refused
    }
}
