//! What refers to a manifest: the list that a registry keeps by itself, or the tag under which clients keep it.
//!
//! Sources: OCI distribution-spec, "Listing Referrers", "Referrers Tag Schema" and "Pushing Manifests with Subject".

use std::collections::BTreeMap;

use reqwest::header::{ACCEPT, HeaderValue, LINK};
use reqwest::{Method, StatusCode};
use tokio::time::sleep;
use url::Url;

use super::auth::Access;
use super::transport::Request;
use super::{Client, Reference, ReferenceError, RegistryError, Repository};
use crate::digest::Digest;
use crate::http::{redacted, same_origin};
use crate::manifest::{Descriptor, Format, Index, MANIFEST_LIMIT, Raw, media_type};

/// Lists come in pages; no image has more referrers than this many pages hold.
const PAGE_LIMIT: usize = 100;

/// The tag under which the referrers of a manifest are listed where the registry keeps no list: `sha256-HEX`.
pub fn referrers_tag(subject: Digest) -> String {
    format!("sha256-{}", subject.hex())
}

impl Client {
    /// The manifests that refer to `subject`, by the registry's own list or by the tag. None if there is neither.
    pub async fn referrers(&self, repository: &Repository, subject: Digest) -> Result<Vec<Descriptor>, RegistryError> {
        match self.listed_referrers(repository, subject).await? {
            Some(listed) if !listed.is_empty() => Ok(listed),
            // A registry that came to keep lists may have older ones under the tag still.
            _ => Ok(self.tagged_referrers(repository, subject).await?.into_values().collect()),
        }
    }

    /// Makes sure that manifests which were pushed and refer to `subject` are found: where the registry keeps no list, they
    /// are added to the one under the tag. Others may do the same at that moment, so the list is read again afterwards.
    pub async fn list_referrers(
        &self,
        repository: &Repository,
        subject: Digest,
        referrers: &[Descriptor],
    ) -> Result<(), RegistryError> {
        // That a registry names the subject in its answer to the push says nothing: ECR does, and keeps no list.
        if referrers.is_empty() || self.listed_referrers(repository, subject).await?.is_some() {
            return Ok(());
        }
        let tag = self.referrers_reference(repository, subject)?;
        let mut attempts = self.transport.attempts();
        loop {
            let mut list = self.tagged_referrers(repository, subject).await?;
            let before = list.len();
            list.extend(referrers.iter().map(|referrer| (referrer.digest, referrer.clone())));
            if list.len() == before {
                return Ok(());
            }
            let index = Raw::encode("image index", Index::new(Format::Oci, list.into_values().collect()))
                .map_err(|error| RegistryError::Setup(error.to_string()))?;
            self.push_manifest(&tag, media_type::INDEX, index.bytes().to_vec()).await?;
            let Some(wait) = attempts.next_wait(None) else { return Ok(()) };
            if self.tagged_referrers(repository, subject).await?.len() >= index.parsed().manifests.len() {
                return Ok(());
            }
            sleep(wait).await;
        }
    }

    /// The registry's own list; `None` if it keeps none. Registries say that with 404, 400, 405 and whatever else, so that
    /// only an index counts.
    pub(super) async fn listed_referrers(
        &self,
        repository: &Repository,
        subject: Digest,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        let mut url = self.url(repository, &format!("referrers/{subject}"))?;
        let mut listed = Vec::new();
        for _ in 0..PAGE_LIMIT {
            let mut request = Request::new(Method::GET, url);
            request.headers.insert(ACCEPT, HeaderValue::from_static(media_type::INDEX));
            request.access = Some(Access::pull(repository));
            let answer = match self.transport.send(&request).await {
                Ok(answer) if answer.status() == StatusCode::OK => answer,
                Ok(answer) if answer.status().is_server_error() && answer.status() != StatusCode::NOT_IMPLEMENTED => {
                    return Err(answer.refusal().await);
                }
                Ok(_) => return Ok(None),
                Err(error) if error.exchange().is_some() => return Ok(None),
                Err(error) => return Err(error),
            };
            let next = answer.header(LINK.as_str()).and_then(|link| next_page(link, &answer.url));
            let page = redacted(&answer.url);
            let bytes = answer.bytes(MANIFEST_LIMIT).await?;
            if bytes.len() as u64 > MANIFEST_LIMIT {
                return Err(RegistryError::ManifestTooLarge { url: page });
            }
            let Ok(index) = Raw::<Index>::parse("image index", bytes) else { return Ok(None) };
            listed.extend(index.parsed().manifests.iter().cloned());
            match next {
                Some(next) => url = next,
                None => break,
            }
        }
        Ok(Some(listed))
    }

    /// The list under the tag; empty if there is none, or if the tag names something else.
    async fn tagged_referrers(
        &self,
        repository: &Repository,
        subject: Digest,
    ) -> Result<BTreeMap<Digest, Descriptor>, RegistryError> {
        let tag = self.referrers_reference(repository, subject)?;
        let manifest = match self.manifest(&tag, &[media_type::INDEX]).await {
            Ok(manifest) => manifest,
            Err(RegistryError::NotFound(_) | RegistryError::RepositoryUnknown(_)) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let index = Raw::<Index>::parse("image index", manifest.bytes);
        let entries = index.map(|index| index.parsed().manifests.clone()).unwrap_or_default();
        Ok(entries.into_iter().map(|entry| (entry.digest, entry)).collect())
    }

    fn referrers_reference(&self, repository: &Repository, subject: Digest) -> Result<Reference, RegistryError> {
        let tagged = repository.with_tag(&referrers_tag(subject));
        tagged.map_err(|error: ReferenceError| RegistryError::Setup(error.to_string()))
    }
}

/// The next page that a `Link` header names, on the same server.
///
/// Source: RFC 8288.
fn next_page(link: &str, base: &Url) -> Option<Url> {
    let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = parameters.split(';').any(|part| matches!(part.trim(), "rel=\"next\"" | "rel=next"));
    let next = base.join(target).ok().filter(|next| is_next && same_origin(next, base))?;
    (next != *base).then_some(next)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages() {
        let base: Url = "https://r.example/v2/a/referrers/x".parse().unwrap();
        let table = [
            ("a path", "</v2/a/referrers/x?n=2>; rel=\"next\"", Some("https://r.example/v2/a/referrers/x?n=2")),
            ("another relation", "</v2/a>; rel=\"prev\"", None),
            ("another host", "<https://evil.example/>; rel=\"next\"", None),
            ("the same page", "<https://r.example/v2/a/referrers/x>; rel=next", None),
            ("no link", "next", None),
        ];
        for (comment, link, expected) in table {
            assert_eq!(next_page(link, &base).as_ref().map(Url::as_str), expected, "{comment}");
        }
    }
}
