//! One blob's way into a repository: mount, one PUT, or PATCH and PUT.
//!
//! Source: OCI distribution-spec, "Pushing blobs" and "Mounting a blob from another repository".

use std::collections::HashSet;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use reqwest::header::{CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::time::sleep;
use url::{Url, form_urlencoded};

use super::auth::Access;
use super::body::{Body, Meter};
use super::push::is_committed;
use super::transport::Request;
use super::{Client, RegistryError, RegistryHost, Repository, location};
use crate::digest::Digest;
use crate::manifest::Descriptor;

/// What a run has learned about registries, so that no refusal is provoked twice.
#[derive(Default)]
pub(super) struct Experience {
    /// Target and source between which mounting was refused.
    unmountable: Mutex<HashSet<(Repository, Repository)>>,
    /// Registries that take no blob in one PUT (old Artifactory).
    patch_only: Mutex<HashSet<RegistryHost>>,
}

/// How a mount ended.
pub(super) enum Mount {
    /// The blob is there.
    Done,
    /// The registry opened an upload instead; it is the one to use.
    Session(Url),
    /// Nothing came of it.
    Refused,
}

/// The ways to send a blob, in the order they are tried.
#[derive(Clone, Copy)]
enum Way {
    /// All of it in the PUT that ends the upload.
    Put,
    /// All of it in one PATCH, then an empty PUT.
    Patch,
}

impl Client {
    /// Has the registry take a blob from another of its repositories. Whatever it answers but success means: upload.
    /// Registries say no in many ways, 5xx among them, so that this is not repeated.
    pub(super) async fn mount(
        &self,
        repository: &Repository,
        digest: Digest,
        from: &Repository,
    ) -> Result<Mount, RegistryError> {
        let pair = (repository.clone(), from.clone());
        let possible = repository.registry() == from.registry() && repository != from;
        if !possible || contains(&self.experience.unmountable, &pair) {
            return Ok(Mount::Refused);
        }
        let mut url = self.url(repository, "blobs/uploads/")?;
        let name: String = form_urlencoded::byte_serialize(from.name().as_bytes()).collect();
        url.set_query(Some(&format!("mount=sha256%3A{}&from={name}", digest.hex())));
        let mut request = Request::new(Method::POST, url);
        request.access = Some(Access::mount(repository, from));
        request.once = true;
        let answer = match self.transport.send(&request).await {
            Ok(answer) => answer,
            Err(error) if error.exchange().is_some() => return Ok(self.unmountable(pair)),
            Err(error) if error.is_temporary() => return Ok(Mount::Refused),
            Err(error) => return Err(error),
        };
        match answer.status() {
            StatusCode::CREATED => Ok(Mount::Done),
            StatusCode::ACCEPTED => match location::from_headers(answer.headers(), &answer.url)? {
                Some(session) => Ok(Mount::Session(session)),
                None => Ok(Mount::Refused),
            },
            _ => Ok(self.unmountable(pair)),
        }
    }

    fn unmountable(&self, pair: (Repository, Repository)) -> Mount {
        insert(&self.experience.unmountable, pair);
        Mount::Refused
    }

    /// Sends a blob, into `session` if one is open. What fails for the moment is tried again in a new session, for what
    /// an old one holds is anyone's guess (ECR).
    pub(super) async fn upload(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        body: &Body,
        mut session: Option<Url>,
        meter: &Meter<'_>,
    ) -> Result<(), RegistryError> {
        let registry = repository.registry();
        let patch_only = contains(&self.experience.patch_only, registry);
        let mut way = if patch_only { Way::Patch } else { Way::Put };
        let mut attempts = self.transport.attempts();
        loop {
            let opened = match session.take() {
                Some(session) => session,
                None => self.open_session(repository).await?,
            };
            let error = match self.fill_session(repository, opened, descriptor, body, way, meter).await {
                Ok(()) => break,
                Err(error) => error,
            };
            if matches!(way, Way::Put) && wants_patch(&error) {
                way = Way::Patch;
                continue;
            }
            let wait = error.is_temporary().then(|| attempts.next_wait(None)).flatten();
            let Some(wait) = wait else { return Err(error) };
            sleep(wait).await;
            if self.seems_there(repository, descriptor).await? {
                return Ok(());
            }
        }
        if matches!(way, Way::Patch) {
            insert(&self.experience.patch_only, registry.clone());
        }
        Ok(())
    }

    async fn open_session(&self, repository: &Repository) -> Result<Url, RegistryError> {
        let mut request = Request::new(Method::POST, self.url(repository, "blobs/uploads/")?);
        request.access = Some(Access::push(repository));
        let answer = self.transport.send(&request).await?;
        if !is_committed(answer.status()) {
            return Err(answer.refusal().await);
        }
        location::from_headers(answer.headers(), &answer.url)?
            .ok_or_else(|| RegistryError::not_a_registry(&answer.url, "it opens an upload and does not say where"))
    }

    /// Sends the bytes and ends the upload.
    async fn fill_session(
        &self,
        repository: &Repository,
        session: Url,
        descriptor: &Descriptor,
        body: &Body,
        way: Way,
        meter: &Meter<'_>,
    ) -> Result<(), RegistryError> {
        let (url, last_body) = match way {
            Way::Put => (session, body.clone()),
            Way::Patch => {
                let request = self.sending(Method::PATCH, repository, session.clone(), body.clone(), meter);
                let answer = self.transport.send(&request).await?;
                if !is_committed(answer.status()) {
                    return Err(answer.refusal().await);
                }
                let next = location::from_headers(answer.headers(), &answer.url)?;
                (next.unwrap_or(session), Body::Empty)
            }
        };
        let url = location::with_digest(url, descriptor.digest);
        let request = self.sending(Method::PUT, repository, url, last_body, meter);
        let answer = self.transport.send(&request).await?;
        if !is_committed(answer.status()) {
            return Err(answer.refusal().await);
        }
        let (status, url) = (answer.status(), answer.url.clone());
        drop(answer);
        if status == StatusCode::OK { self.prove(repository, descriptor, &url).await } else { Ok(()) }
    }

    /// A request of an upload. It is not repeated as it is: only a new session is sure to be empty.
    fn sending<'a>(
        &self,
        method: Method,
        repository: &Repository,
        url: Url,
        body: Body,
        meter: &'a Meter<'a>,
    ) -> Request<'a> {
        let mut request = Request::new(method, url);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        request.access = Some(Access::push(repository));
        request.meter = matches!(body, Body::File { .. }).then_some(meter);
        request.body = body;
        request.once = true;
        request
    }

    /// 200 is what a proxy or a web page answers too: then the blob has to show.
    async fn prove(&self, repository: &Repository, descriptor: &Descriptor, url: &Url) -> Result<(), RegistryError> {
        if self.has_blob_as(Access::push(repository), descriptor).await? {
            return Ok(());
        }
        Err(RegistryError::not_a_registry(url, "it took a blob and does not have it"))
    }
}

/// Whether a refusal may be of the way and not of the blob.
fn wants_patch(error: &RegistryError) -> bool {
    let about_blob = ["DIGEST_INVALID", "SIZE_INVALID", "DENIED", "UNAUTHORIZED", "NAME_INVALID", "NAME_UNKNOWN"];
    let Some(exchange) = error.exchange() else { return false };
    exchange.status.is_client_error()
        && !error.is_about_access()
        && !error.is_temporary()
        && !matches!(error, RegistryError::TooLarge(_))
        && !about_blob.iter().any(|code| exchange.has_code(code))
}

fn contains<T: Eq + Hash>(set: &Mutex<HashSet<T>>, item: &T) -> bool {
    set.lock().unwrap_or_else(PoisonError::into_inner).contains(item)
}

fn insert<T: Eq + Hash>(set: &Mutex<HashSet<T>>, item: T) {
    set.lock().unwrap_or_else(PoisonError::into_inner).insert(item);
}
