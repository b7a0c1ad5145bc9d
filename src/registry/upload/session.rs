//! An upload that a registry has opened: where it goes on, how far it is, and its end without a blob.
//!
//! Source: OCI distribution-spec, "Pushing blobs" and "Pushing a blob in chunks".

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures_util::future::join_all;
use reqwest::header::RANGE;
use reqwest::{Method, StatusCode};
use tokio::time::{Instant, timeout};
use url::Url;

use super::open_uploads::{Entry, OpenUploads};
use crate::http::same_origin;
use crate::registry::answer::Answer;
use crate::registry::auth::Access;
use crate::registry::push::is_committed;
use crate::registry::transport::Request;
use crate::registry::{Client, RegistryError, Repository, location};

const CHUNK_MIN_LENGTH: &str = "oci-chunk-min-length";
/// A failure is not told later than this for the sake of a clean registry.
const CANCEL_LIMIT: Duration = Duration::from_secs(3);
/// A session that nothing was sent into is not used after this long: a refusal of what is unknown would look like one of
/// the way in which blobs are sent.
const SPARE_LIFE: Duration = Duration::from_secs(60);

/// An upload that is open.
#[derive(Debug)]
pub(in crate::registry) struct OpenSession {
    /// The last `Location` that the registry gave.
    pub(in crate::registry) url: Url,
    /// How many bytes it holds, as far as that is known.
    pub(in crate::registry) position: u64,
    /// How many bytes of the blob were sent into it at most, whether they arrived or not.
    pub(in crate::registry) sent: u64,
    /// The size of the last body that was sent into it.
    pub(in crate::registry) last_body: u64,
    /// The `OCI-Chunk-Min-Length` it was opened with.
    pub(in crate::registry) least_chunk: u64,
    /// Whether something was sent after a break.
    pub(in crate::registry) resumed: bool,
    /// Whether the registry said that it is no more.
    pub(in crate::registry) gone: bool,
    entry: Entry,
}

impl OpenSession {
    /// What an answer opens that is no refusal; `None` if it does not say where.
    pub(in crate::registry) fn of(
        answer: &Answer,
        repository: &Repository,
        open: &OpenUploads,
    ) -> Result<Option<Self>, RegistryError> {
        let Some(url) = location::from_headers(answer.headers(), &answer.url)? else { return Ok(None) };
        let least_chunk = answer.header(CHUNK_MIN_LENGTH).and_then(|text| text.trim().parse().ok()).unwrap_or(0);
        let entry = open.add(repository, &url);
        Ok(Some(Self { url, position: 0, sent: 0, last_body: 0, least_chunk, resumed: false, gone: false, entry }))
    }

    /// Goes on where an answer says. Registries may move an upload with each answer; without a word, it stays.
    pub(in crate::registry) fn follow(&mut self, answer: &Answer) -> Result<(), RegistryError> {
        if let Some(url) = location::from_headers(answer.headers(), &answer.url)? {
            self.entry.moved(&url);
            self.url = url;
        }
        Ok(())
    }

    /// Leaves it as it is.
    pub(in crate::registry) fn end(self) {
        self.entry.remove();
    }
}

/// Uploads that were opened to see whether that is allowed, for the blobs that are sent next.
#[derive(Default)]
pub(in crate::registry) struct SpareSessions(Mutex<HashMap<Repository, (OpenSession, Instant)>>);

impl SpareSessions {
    fn put(&self, repository: &Repository, session: OpenSession) {
        self.lock().insert(repository.clone(), (session, Instant::now()));
    }

    fn take(&self, repository: &Repository) -> Option<(OpenSession, Instant)> {
        self.lock().remove(repository)
    }

    fn take_all(&self) -> Vec<(Repository, OpenSession)> {
        self.lock().drain().map(|(repository, (session, _))| (repository, session)).collect()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Repository, (OpenSession, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Client {
    /// Asks whether we may push to a repository, in the one way that all registries answer truly: a token that allows it is
    /// given to anybody by some (Docker Hub), so an upload is opened. The next blob for the repository goes into it; what
    /// is left of such uploads, [`Client::end_spare_uploads`] ends.
    pub async fn ask_to_push(&self, repository: &Repository) -> Result<(), RegistryError> {
        let session = self.open_new_session(repository).await?;
        self.spare.put(repository, session);
        Ok(())
    }

    /// Ends the uploads that were opened to ask and then not needed.
    pub async fn end_spare_uploads(&self) {
        let spare = self.spare.take_all();
        let ends = spare.into_iter().map(async |(repository, session)| self.cancel_session(&repository, session).await);
        join_all(ends).await;
    }

    /// A session for a blob: a spare one that is young enough to be known to the registry still, else a new one.
    pub(in crate::registry) async fn open_session(
        &self,
        repository: &Repository,
    ) -> Result<OpenSession, RegistryError> {
        match self.spare.take(repository) {
            Some((session, opened)) if opened.elapsed() < SPARE_LIFE => return Ok(session),
            Some((session, _)) => self.cancel_session(repository, session).await,
            None => {}
        }
        self.open_new_session(repository).await
    }

    async fn open_new_session(&self, repository: &Repository) -> Result<OpenSession, RegistryError> {
        let mut request = Request::new(Method::POST, self.url(repository, "blobs/uploads/")?);
        request.access = Some(Access::push(repository));
        let (client, repository) = (self.clone(), repository.clone());
        let opening = async move {
            let answer = client.transport.send(&request).await?;
            if !is_committed(answer.status()) {
                return Err(answer.refusal().await);
            }
            OpenSession::of(&answer, &repository, &client.open_uploads)?
                .ok_or_else(|| RegistryError::not_a_registry(&answer.url, "it opens an upload and does not say where"))
        };
        self.open_uploads.opening(opening).await
    }

    /// Asks a session how many bytes it holds. `None` if it does not tell, or tells what cannot be: then the session is
    /// of no more use, whatever the reason, so that none is kept.
    pub(in crate::registry) async fn session_position(
        &self,
        repository: &Repository,
        session: &mut OpenSession,
    ) -> Option<u64> {
        let mut request = Request::new(Method::GET, session.url.clone());
        request.access = Some(Access::push(repository));
        let answer = self.transport.send(&request).await.ok()?;
        session.gone |= matches!(answer.status(), StatusCode::NOT_FOUND | StatusCode::GONE);
        if answer.status() != StatusCode::NO_CONTENT {
            return None;
        }
        let held = held(&answer).filter(|held| *held <= session.sent)?;
        session.follow(&answer).ok()?;
        Some(held)
    }

    /// Ends a session without a blob. That the registry may refuse this, or be gone, changes nothing: it drops the
    /// session by itself some day.
    pub(in crate::registry) async fn cancel_session(&self, repository: &Repository, session: OpenSession) {
        if !session.gone {
            self.cancel(repository, session.url.clone()).await;
        }
        // Not before: dropped in the middle, it is still in the list of those that are to be cancelled.
        session.end();
    }

    /// Ends the uploads that were begun and that nobody will finish, when a run ends early. It takes some seconds at most.
    pub async fn cancel_uploads(&self) {
        let cancelling = async {
            self.open_uploads.settled().await;
            let open = self.open_uploads.take();
            join_all(open.into_iter().map(async |(repository, url)| self.cancel(&repository, url).await)).await;
        };
        // Best effort, as each of them is.
        let _ = timeout(CANCEL_LIMIT, cancelling).await;
    }

    async fn cancel(&self, repository: &Repository, url: Url) {
        let registry = repository.registry();
        // Storage elsewhere that a registry leads to knows no sessions.
        let own = self.transport.base_url(registry).is_ok_and(|base| same_origin(&url, &base));
        if !own || self.experience.habits(registry).refuses_cancelling {
            return;
        }
        let mut request = Request::new(Method::DELETE, url);
        request.access = Some(Access::push(repository));
        request.once = true;
        let refused = match timeout(CANCEL_LIMIT, self.transport.send(&request)).await {
            Ok(Ok(answer)) => answer.status().is_client_error() && answer.status() != StatusCode::NOT_FOUND,
            Ok(Err(error)) => error.is_about_access(),
            Err(_) => true,
        };
        if refused {
            self.experience.learn(registry, |habits| habits.refuses_cancelling = true);
        }
    }
}

/// How many bytes the `Range` of an answer says are held: `0-N` are N + 1, but `0-0` is what a session that holds
/// nothing says. Some write it as a range unit's, `bytes=0-N`.
pub(in crate::registry) fn held(answer: &Answer) -> Option<u64> {
    held_of(answer.header(RANGE.as_str())?)
}

fn held_of(range: &str) -> Option<u64> {
    let range = range.trim();
    match range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?.parse().ok()? {
        0 => Some(0),
        last => u64::checked_add(last, 1),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let table = [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-0", Some(0)),
            ("1-99", None),
            ("0-", None),
            ("0--1", None),
            ("-", None),
            ("", None),
            ("0-18446744073709551615", None),
            ("0-99/100", None),
        ];
        for (range, expected) in table {
            assert_eq!(held_of(range), expected, "`{range}`");
        }
    }
}
