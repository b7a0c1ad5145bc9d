//! One blob's bytes on their way into a repository: one PUT, PATCH and PUT, or chunks; and what follows when that fails.
//!
//! Source: OCI distribution-spec, "Pushing blobs" and "Pushing a blob in chunks".

pub(super) mod mount;
pub(super) mod open_uploads;
pub(super) mod session;

use std::path::Path;
use std::sync::Arc;

use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use tokio::time::sleep;
use url::Url;

use super::auth::Access;
use super::body::{Body, Meter};
use super::download::progress;
use super::experience::{Habits, Way, takes_chunks};
use super::push::is_committed;
use super::transport::Request;
use super::{Client, RegistryError, Repository, location};
use crate::http::Attempts;
use crate::manifest::Descriptor;
use session::OpenSession;

/// After a break, a larger blob goes by PATCH, which can be resumed and a PUT cannot. For a smaller one that is not
/// worth two more requests: at a mebibyte a second, all of it again takes some seconds, and registries with a limit on
/// PATCH are spared it.
const RESUMABLE_FROM: u64 = 8 << 20;

/// What follows a failure.
enum Next {
    /// More into the same session.
    GoOn,
    /// All of it into a new one.
    Anew,
    /// Nothing: the blob is there all the same.
    Done,
}

/// The upload of one blob, over all its tries.
pub(super) struct Upload<'a> {
    client: &'a Client,
    repository: &'a Repository,
    descriptor: &'a Descriptor,
    source: Arc<Path>,
    meter: &'a Meter<'a>,
    attempts: Attempts,
    way: Way,
    /// Whether the registry refused a PUT, but not for its size.
    put_refused: bool,
    /// Whether PATCH is our choice and not the registry's.
    patch_by_choice: bool,
    /// Whether sessions are taken up again after a break.
    resumes: bool,
    /// The furthest position that the registry ever confirmed.
    furthest: u64,
}

impl<'a> Upload<'a> {
    /// The upload of the file `source`, which `descriptor` describes.
    pub(super) fn new(
        client: &'a Client,
        repository: &'a Repository,
        descriptor: &'a Descriptor,
        source: Arc<Path>,
        meter: &'a Meter<'a>,
    ) -> Self {
        Self {
            client,
            repository,
            descriptor,
            source,
            meter,
            attempts: client.transport.attempts(),
            way: client.experience.habits(repository.registry()).way(descriptor.size),
            put_refused: false,
            patch_by_choice: false,
            resumes: takes_chunks(repository.registry()),
            furthest: 0,
        }
    }

    /// Sends the blob, into `session` first if one is open. What fails for the moment is taken up where the session
    /// says, or begins again in a new one: what an old one holds is anyone's guess otherwise (ECR).
    pub(super) async fn run(mut self, mut session: Option<OpenSession>) -> Result<(), RegistryError> {
        loop {
            let mut open = match session.take() {
                Some(open) => open,
                None => self.client.open_session(self.repository).await?,
            };
            let Err(error) = self.fill(&mut open).await else {
                open.end();
                break;
            };
            open.sent = open.sent.max(self.meter.position());
            open.gone |= is_gone(&error);
            let next = self.after(error, &mut open).await;
            if let Ok(Next::GoOn) = next {
                session = Some(open);
                continue;
            }
            if next.as_ref().is_err_and(shows_no_credentials) || matches!(next, Ok(Next::Done)) {
                open.end();
            } else {
                self.client.cancel_session(self.repository, open).await;
            }
            if let Next::Done = next? {
                return Ok(());
            }
        }
        if self.put_refused && self.way == Way::Patch {
            self.learn(|habits| habits.refuses_put = true);
        }
        Ok(())
    }

    /// Sends what the session does not hold, and ends the upload.
    async fn fill(&self, session: &mut OpenSession) -> Result<(), RegistryError> {
        let size = self.descriptor.size;
        let mut last_body = Body::Empty;
        match self.way {
            Way::Put => last_body = self.part(0, size),
            Way::Patch if session.position < size => self.send_part(session, size).await?,
            Way::Patch => {}
            Way::Chunks => {
                while session.position < size {
                    // Read anew each time: another upload may have learned meanwhile that it has to be smaller.
                    let chunk = self.habits().chunk(session.least_chunk).unwrap_or(size);
                    let end = session.position.saturating_add(chunk).min(size);
                    self.send_part(session, end).await?;
                }
            }
        }
        self.end(session, last_body).await
    }

    /// Sends the bytes from where the session stands up to `end` in one PATCH.
    async fn send_part(&self, session: &mut OpenSession, end: u64) -> Result<(), RegistryError> {
        let start = session.position;
        let mut request = self.request(Method::PATCH, session.url.clone(), self.part(start, end), session);
        let is_chunk = start > 0 || self.way == Way::Chunks;
        if is_chunk && let Some(last) = end.checked_sub(1) {
            // No unit and no total size: some registries refuse what RFC 9110 would have here (ACR).
            let range = HeaderValue::from_str(&format!("{start}-{last}"))
                .map_err(|error| RegistryError::Setup(format!("no value of a header ({error}): `{start}-{last}`")))?;
            request.headers.insert(CONTENT_RANGE, range);
        }
        let answer = self.client.transport.send(&request).await?;
        if !is_committed(answer.status()) {
            return Err(answer.refusal().await);
        }
        session.follow(&answer)?;
        session.sent = session.sent.max(end);
        session.position = end;
        let (told, url) = (session::held(&answer), answer.url.clone());
        drop(answer);
        // Some answer with a range that is not that of the session: a second look decides, and the digest in the end.
        if is_chunk
            && told.is_some_and(|told| told != end)
            && let Some(held) = self.client.session_position(self.repository, session).await
        {
            session.position = held;
            if held <= start {
                return Err(RegistryError::not_a_registry(&url, "it takes a chunk and does not keep it"));
            }
        }
        Ok(())
    }

    /// Ends the upload with a PUT of what is left.
    async fn end(&self, session: &mut OpenSession, body: Body) -> Result<(), RegistryError> {
        let url = location::with_digest(session.url.clone(), self.descriptor.digest);
        let request = self.request(Method::PUT, url, body, session);
        let answer = self.client.transport.send(&request).await?;
        if !is_committed(answer.status()) {
            return Err(answer.refusal().await);
        }
        // 200 is what a proxy or a web page answers too: then the blob has to show.
        if answer.status() != StatusCode::OK {
            return Ok(());
        }
        let url = answer.url.clone();
        drop(answer);
        if self.client.has_blob_as(Access::push(self.repository), self.descriptor).await? {
            return Ok(());
        }
        Err(RegistryError::not_a_registry(&url, "it took a blob and does not have it"))
    }

    /// A request of an upload. It is not repeated as it is: what the session holds after a failure has to be asked.
    fn request(&self, method: Method, url: Url, body: Body, session: &mut OpenSession) -> Request<'a> {
        let mut request = Request::new(method, url);
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        request.access = Some(Access::push(self.repository));
        request.meter = matches!(body, Body::File { .. }).then_some(self.meter);
        self.meter.begin(if request.meter.is_some() { body.start() } else { session.position });
        session.last_body = body.size();
        request.body = body;
        request.once = true;
        request
    }

    fn part(&self, start: u64, end: u64) -> Body {
        Body::File { path: Arc::clone(&self.source), size: self.descriptor.size, start, end }
    }

    /// What to do after a failure; an error if that is all there is to say.
    async fn after(&mut self, error: RegistryError, session: &mut OpenSession) -> Result<Next, RegistryError> {
        let by_patch = self.way != Way::Put;
        match error.exchange().map(|exchange| exchange.status) {
            Some(StatusCode::PAYLOAD_TOO_LARGE) => self.after_too_large(error, session),
            Some(StatusCode::RANGE_NOT_SATISFIABLE) if by_patch && self.resumes => {
                self.after_wrong_range(error, session).await
            }
            _ if error.is_temporary() || (by_patch && is_gone(&error)) => self.after_break(error, session).await,
            _ => self.after_refusal(error, session),
        }
    }

    /// Another way, or a smaller chunk.
    fn after_too_large(&mut self, error: RegistryError, session: &OpenSession) -> Result<Next, RegistryError> {
        if session.last_body == 0 {
            return Err(error);
        }
        self.learn(|habits| habits.refused(session.last_body));
        match self.way {
            Way::Put if !self.habits().refuses_patch => {
                self.way = Way::Patch;
                return Ok(Next::Anew);
            }
            Way::Patch if takes_chunks(self.repository.registry()) => self.learn(|habits| habits.wants_chunks = true),
            Way::Chunks => {}
            Way::Put | Way::Patch => return Err(error),
        }
        if self.habits().chunk(session.least_chunk).is_none() {
            return Err(error);
        }
        let next = if self.way == Way::Chunks { Next::GoOn } else { Next::Anew };
        self.way = Way::Chunks;
        Ok(next)
    }

    /// Goes on where the session stands. Where it stands as we thought, it is the size that is wrong (GHCR answers 416 to
    /// a PATCH of more than 4 MiB).
    async fn after_wrong_range(
        &mut self,
        error: RegistryError,
        session: &mut OpenSession,
    ) -> Result<Next, RegistryError> {
        let held = self.client.session_position(self.repository, session).await;
        if held == Some(session.position) {
            let limited = self.way == Way::Chunks || self.habits().is_too_large(self.descriptor.size);
            return if limited { self.after_too_large(error, session) } else { self.after_refusal(error, session) };
        }
        let Some(wait) = self.attempts.next_wait(None) else { return Err(error) };
        sleep(wait).await;
        Ok(held.map_or(Next::Anew, |held| self.resume(session, held)))
    }

    /// Goes on where the session stands if it tells, else in a new one.
    async fn after_break(&mut self, error: RegistryError, session: &mut OpenSession) -> Result<Next, RegistryError> {
        self.note_progress(session.position);
        let may_resume = self.way != Way::Put && self.resumes && !session.gone;
        let broken = error.is_broken_transfer();
        let Some(wait) = self.attempts.next_wait(error.retry_after()) else { return Err(error) };
        sleep(wait).await;
        if self.client.seems_there(self.repository, self.descriptor).await? {
            return Ok(Next::Done);
        }
        if may_resume && let Some(held) = self.client.session_position(self.repository, session).await {
            return Ok(self.resume(session, held));
        }
        let worth_it = self.descriptor.size > RESUMABLE_FROM && self.resumes;
        if self.way == Way::Put && broken && worth_it && !self.habits().refuses_patch {
            (self.way, self.patch_by_choice) = (Way::Patch, true);
        }
        Ok(Next::Anew)
    }

    /// Another way if the refusal may be of the way, not of the blob.
    fn after_refusal(&mut self, error: RegistryError, session: &OpenSession) -> Result<Next, RegistryError> {
        match self.way {
            Way::Put if is_of_the_way(&error) && !self.habits().refuses_patch => {
                (self.way, self.put_refused) = (Way::Patch, true);
            }
            Way::Patch if self.patch_by_choice && is_of_the_way(&error) => {
                self.learn(|habits| habits.refuses_patch = true);
                (self.way, self.patch_by_choice) = (Way::Put, false);
            }
            // What came together over a break is not the blob: once more, without trusting what a session tells.
            Way::Patch | Way::Chunks if session.resumed && is_of_the_bytes(&error) => self.resumes = false,
            _ => return Err(error),
        }
        Ok(Next::Anew)
    }

    fn resume(&mut self, session: &mut OpenSession, held: u64) -> Next {
        session.position = held;
        session.resumed = true;
        self.note_progress(held);
        Next::GoOn
    }

    fn note_progress(&mut self, position: u64) {
        if position >= self.furthest.saturating_add(progress(self.descriptor.size)) {
            self.furthest = position;
            self.attempts.forget();
        }
    }

    fn habits(&self) -> Habits {
        self.client.experience.habits(self.repository.registry())
    }

    fn learn(&self, lesson: impl FnOnce(&mut Habits)) {
        self.client.experience.learn(self.repository.registry(), lesson);
    }
}

/// Whether a refusal may be of the way and not of the blob.
fn is_of_the_way(error: &RegistryError) -> bool {
    let about_blob = ["DIGEST_INVALID", "SIZE_INVALID", "DENIED", "UNAUTHORIZED", "NAME_INVALID", "NAME_UNKNOWN"];
    let Some(exchange) = error.exchange() else { return false };
    exchange.status.is_client_error()
        && !error.is_about_access()
        && !error.is_temporary()
        && !matches!(error, RegistryError::TooLarge(_))
        && !about_blob.iter().any(|code| exchange.has_code(code))
}

/// Whether a registry says that what it got is not what the digest says.
fn is_of_the_bytes(error: &RegistryError) -> bool {
    let codes = ["DIGEST_INVALID", "SIZE_INVALID", "BLOB_UPLOAD_INVALID"];
    error.exchange().is_some_and(|exchange| codes.iter().any(|code| exchange.has_code(code)))
}

/// Whether a registry says that it knows nothing of an upload. GHCR does now and then of one it has just opened; what
/// old Artifactory answers to a PUT it does not want (404 `BLOB_UNKNOWN`) is something else.
fn is_gone(error: &RegistryError) -> bool {
    let Some(exchange) = error.exchange() else { return false };
    let status = matches!(exchange.status, StatusCode::NOT_FOUND | StatusCode::GONE);
    exchange.has_code("BLOB_UPLOAD_UNKNOWN") || (status && exchange.code.is_none())
}

/// Whether there is nothing to show that would be accepted; asking again may only lock an account.
fn shows_no_credentials(error: &RegistryError) -> bool {
    matches!(error, RegistryError::CredentialsMissing { .. } | RegistryError::CredentialsRefused { .. })
}
