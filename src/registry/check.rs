//! What a registry supports, found out by trying, and nothing left behind.
//!
//! Uploads that are opened are cancelled. Things are pushed only where it seems that they can be deleted again; what is
//! pushed holds random bytes, so that it is nobody else's, has no tag, and is deleted at the end.

mod probe;
mod uploads;

use reqwest::{Method, StatusCode};
use serde::Deserialize;

use super::answer::Answer;
use super::auth::Access;
use super::auth::challenge::{self, Challenge};
use super::credentials::helper::Answers;
use super::mirror::Source;
use super::transport::Request;
use super::upload::session::OpenSession;
use super::{Client, Exchange, Reference, RegistryError, Repository};
use crate::digest::Digest;
use crate::manifest::{Index, Manifest, Raw, media_type};
use probe::Probe;

const TAG_LIST_LIMIT: u64 = 1 << 20;

/// What was tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Feature {
    /// Who is let in, and how.
    Login,
    /// Reading the repository.
    Pull,
    /// Writing to it.
    Push,
    /// A blob in one request.
    SinglePut,
    /// A blob in pieces, going on where the registry says it stands.
    Chunks,
    /// Ending an upload without a blob.
    Cancel,
    /// Taking a blob from another repository.
    Mount,
    /// Images whose layers are compressed with zstd.
    Zstd,
    /// Lists of what refers to an image.
    Referrers,
    /// Deleting manifests and blobs.
    Delete,
    /// How large bodies may be, and how many requests there may be.
    Limits,
}

/// Whether it works.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It does.
    Works,
    /// It does not.
    Fails,
    /// It was not tried.
    Untried,
}

/// One thing that was tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub feature: Feature,
    /// Whether it works.
    pub verdict: Verdict,
    /// What was seen, in words.
    pub observed: String,
}

/// What was found out of a registry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// The repository that was tried.
    pub repository: Repository,
    /// Whether this user may push to it.
    pub may_push: bool,
    /// What was tried, in the order of [`Feature`].
    pub findings: Vec<Finding>,
    /// What could not be removed again.
    pub left_behind: Vec<String>,
}

impl Client {
    /// Finds out what the registry of `repository` supports, and whether this user may push there. An error means that it
    /// cannot be asked at all.
    pub async fn check(&self, repository: &Repository) -> Result<Check, RegistryError> {
        let check =
            Check { repository: repository.clone(), may_push: false, findings: Vec::new(), left_behind: Vec::new() };
        let mut run = Run { client: self, repository, check, image: None, limits: Vec::new() };
        run.login().await?;
        run.pull().await?;
        run.push().await?;
        if run.check.may_push {
            run.chunks().await?;
            if run.delete_seems_possible().await? {
                Probe::new(&mut run).run().await?;
            } else {
                run.without_pushing().await?;
            }
            run.large_body().await?;
        }
        run.limits();
        run.check.findings.sort_by_key(|finding| finding.feature);
        Ok(run.check)
    }
}

/// A check in the middle.
struct Run<'a> {
    client: &'a Client,
    repository: &'a Repository,
    check: Check,
    /// An image that the repository has.
    image: Option<Reference>,
    limits: Vec<String>,
}

impl Run<'_> {
    fn found(&mut self, feature: Feature, verdict: Verdict, observed: impl Into<String>) {
        self.check.findings.push(Finding { feature, verdict, observed: observed.into() });
    }

    /// Sends a request. A refusal is something to tell; no answer at all ends the check.
    async fn ask(&self, request: &Request<'_>) -> Result<Result<Answer, String>, RegistryError> {
        match self.client.transport.send(request).await {
            Ok(answer) => Ok(Ok(answer)),
            Err(error) => match error.exchange() {
                Some(exchange) => Ok(Err(in_words(exchange))),
                None => Err(error),
            },
        }
    }

    async fn login(&mut self) -> Result<(), RegistryError> {
        let transport = &self.client.transport;
        let url = transport.base_url(self.repository.registry())?;
        let answer = transport.send(&Request::new(Method::GET, url.clone())).await?;
        let by = if url.scheme() == "https" { "over TLS" } else { "over plain HTTP" };
        let challenge = challenge::from_headers(answer.headers());
        let credentials = transport.credentials(self.repository, &mut Answers::default()).await;
        let with = match &credentials {
            Ok(Some(_)) => "with the credentials found here".to_owned(),
            Ok(None) => "and there are no credentials here".to_owned(),
            Err(problem) => format!("and the credentials cannot be read: {problem}"),
        };
        let observed = match (answer.status(), challenge) {
            (StatusCode::OK, _) => format!("{by}, without a login"),
            (StatusCode::UNAUTHORIZED, Some(Challenge::Basic)) => format!("{by}, by user and password, {with}"),
            (StatusCode::UNAUTHORIZED, Some(Challenge::Bearer { .. })) => format!("{by}, by tokens, {with}"),
            (StatusCode::UNAUTHORIZED, None) => format!("{by}, in a way it does not tell, {with}"),
            (status, _) if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
                return Err(answer.refusal().await);
            }
            (status, _) => {
                let reason = format!("it answers with the status {}", status.as_u16());
                return Err(RegistryError::not_a_registry(&url, &reason));
            }
        };
        self.found(Feature::Login, Verdict::Works, observed);
        Ok(())
    }

    async fn pull(&mut self) -> Result<(), RegistryError> {
        #[derive(Deserialize)]
        struct TagList {
            tags: Option<Vec<String>>,
        }
        let mut url = self.client.url(self.repository, "tags/list")?;
        url.set_query(Some("n=1"));
        let mut request = Request::new(Method::GET, url);
        request.access = Some(Access::pull(self.repository));
        let answer = match self.ask(&request).await? {
            Ok(answer) => answer,
            Err(refusal) => {
                self.found(Feature::Pull, Verdict::Fails, refusal);
                return Ok(());
            }
        };
        match answer.status() {
            StatusCode::OK => {
                let bytes = answer.bytes(TAG_LIST_LIMIT).await?;
                let list: Option<TagList> = serde_json::from_slice(&bytes).ok();
                let tag = list.and_then(|list| list.tags).and_then(|tags| tags.into_iter().next());
                let observed = if tag.is_some() { "the repository has images" } else { "the repository has no tags" };
                self.found(Feature::Pull, Verdict::Works, observed);
                if let Some(reference) = tag.and_then(|tag| self.repository.with_tag(&tag).ok()) {
                    self.look_at(&reference).await?;
                }
            }
            StatusCode::NOT_FOUND => {
                self.found(Feature::Pull, Verdict::Works, "there is no such repository, or nothing in it yet");
            }
            _ => {
                let refusal = in_words(&answer.exchange().await);
                self.found(Feature::Pull, Verdict::Fails, refusal);
            }
        }
        Ok(())
    }

    /// Looks at an image that is there, which costs no pull: the answer may tell of limits.
    async fn look_at(&mut self, reference: &Reference) -> Result<(), RegistryError> {
        let request = self.client.manifest_request(
            Method::HEAD,
            &Source::own(reference.repository()),
            reference,
            &media_type::DOCUMENTS,
        )?;
        if let Ok(answer) = self.ask(&request).await? {
            let left = answer.header("ratelimit-remaining").and_then(|text| text.split(';').next());
            self.limits.extend(left.map(|left| format!("{left} more pulls for now")));
        }
        self.image = Some(reference.clone());
        Ok(())
    }

    /// The config of an image, or of the first one of an index.
    async fn config_of(&self, reference: &Reference) -> Result<Option<Digest>, RegistryError> {
        let mut found = self.client.manifest(reference, &media_type::DOCUMENTS).await?;
        if media_type::is_index(&found.descriptor.media_type) {
            let index = Raw::<Index>::parse("image index", found.bytes).ok();
            let first = index.and_then(|index| index.parsed().manifests.first().map(|first| first.digest));
            let Some(first) = first else { return Ok(None) };
            found = self.client.manifest(&self.repository.with_digest(first), &media_type::DOCUMENTS).await?;
        }
        let manifest = Raw::<Manifest>::parse("image manifest", found.bytes).ok();
        Ok(manifest.map(|manifest| manifest.parsed().config.digest))
    }

    /// The right to push shows when an upload is opened: tokens are given out more freely (Docker Hub).
    async fn push(&mut self) -> Result<(), RegistryError> {
        match self.open().await? {
            Ok(session) => {
                self.check.may_push = true;
                self.found(Feature::Push, Verdict::Works, "it opens uploads for this user");
                if session.least_chunk > 0 {
                    self.limits.push(format!("pieces of at least {} bytes", session.least_chunk));
                }
                let cancelled = self.cancel(session).await?;
                match cancelled {
                    Ok(()) => self.found(Feature::Cancel, Verdict::Works, "an upload that was opened is gone again"),
                    Err(refusal) => self.found(Feature::Cancel, Verdict::Fails, refusal),
                }
            }
            Err(refusal) => self.found(Feature::Push, Verdict::Fails, refusal),
        }
        Ok(())
    }

    fn leave(&mut self, what: impl Into<String>) {
        let what = what.into();
        if !self.check.left_behind.contains(&what) {
            self.check.left_behind.push(what);
        }
    }

    /// Asks for the deletion of what is not there: where that is found missing, deleting is possible.
    async fn delete_seems_possible(&mut self) -> Result<bool, RegistryError> {
        let nothing = Digest::of(&probe::random_bytes());
        let refusal = match self.delete(&format!("manifests/{nothing}")).await? {
            Ok(()) => return Ok(true),
            Err((StatusCode::NOT_FOUND, _)) => return Ok(true),
            Err((_, refusal)) => refusal,
        };
        self.found(Feature::Delete, Verdict::Fails, refusal);
        Ok(false)
    }

    /// Deletes a manifest or blob.
    async fn delete(&self, end: &str) -> Result<Result<(), (StatusCode, String)>, RegistryError> {
        let mut request = Request::new(Method::DELETE, self.client.url(self.repository, end)?);
        request.access = Some(Access::delete(self.repository));
        match self.client.transport.send(&request).await {
            Ok(answer) if answer.status().is_success() => Ok(Ok(())),
            Ok(answer) => Ok(Err((answer.status(), in_words(&answer.exchange().await)))),
            Err(error) => match error.exchange() {
                Some(exchange) => Ok(Err((exchange.status, in_words(exchange)))),
                None => Err(error),
            },
        }
    }

    /// What can be tried where nothing that is pushed would go away again.
    async fn without_pushing(&mut self) -> Result<(), RegistryError> {
        let would_stay = "not tried: what is pushed could not be deleted again";
        self.found(Feature::SinglePut, Verdict::Untried, would_stay);
        self.found(Feature::Zstd, Verdict::Untried, would_stay);
        let known = match &self.image {
            Some(image) => self.config_of(image).await.ok().flatten(),
            None => None,
        };
        match known {
            Some(blob) => self.mount(blob).await?,
            None => self.found(Feature::Mount, Verdict::Untried, "not tried: there is no blob to take"),
        }
        let nothing = Digest::of(&probe::random_bytes());
        match self.client.listed_referrers(self.repository, nothing).await {
            Ok(Some(_)) => self.found(Feature::Referrers, Verdict::Works, "it lists what refers to an image"),
            Ok(None) => self.found(Feature::Referrers, Verdict::Fails, "it keeps no such lists"),
            Err(error) => self.found(Feature::Referrers, Verdict::Fails, refused_in_words(error)?),
        }
        Ok(())
    }

    /// Has a blob mounted from the repository that has it into this very one, which leaves everything as it is.
    async fn mount(&mut self, blob: Digest) -> Result<(), RegistryError> {
        let request = self.client.mount_request(self.repository, blob, self.repository)?;
        let (verdict, observed) = match self.ask(&request).await? {
            Ok(answer) if answer.status() == StatusCode::CREATED => {
                (Verdict::Works, "a blob that the registry has is taken from there".to_owned())
            }
            Ok(answer) if answer.status() == StatusCode::ACCEPTED => {
                let session = OpenSession::of(&answer, self.repository, &self.client.open_uploads)?;
                drop(answer);
                if let Some(session) = session {
                    self.cancel(session).await?.ok();
                }
                (Verdict::Fails, "it opens an upload instead (status 202)".to_owned())
            }
            Ok(answer) => (Verdict::Fails, in_words(&answer.exchange().await)),
            Err(refusal) => (Verdict::Fails, refusal),
        };
        self.found(Feature::Mount, verdict, observed);
        Ok(())
    }

    fn limits(&mut self) {
        let observed = match self.limits.is_empty() {
            true => "it tells of none".to_owned(),
            false => self.limits.join("; "),
        };
        self.found(Feature::Limits, Verdict::Untried, observed);
    }
}

/// An answer as a person is told of it.
fn in_words(exchange: &Exchange) -> String {
    let mut words = format!("{} is answered by {}", exchange.method, exchange.status.as_u16());
    for more in [&exchange.code, &exchange.message].into_iter().flatten() {
        words.push_str(&format!(", {more}"));
    }
    words
}

/// A refusal as a person is told of it; anything else ends the check.
fn refused_in_words(error: RegistryError) -> Result<String, RegistryError> {
    match error.exchange() {
        Some(exchange) => Ok(in_words(exchange)),
        None => Err(error),
    }
}
