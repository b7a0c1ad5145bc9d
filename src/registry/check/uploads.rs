//! Uploads that come to nothing: what a registry says of chunks and of large bodies, with no blob made.

use reqwest::Method;
use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, CONTENT_TYPE, HeaderValue};

use super::{Feature, Run, Verdict, in_words};
use crate::registry::RegistryError;
use crate::registry::auth::Access;
use crate::registry::body::Body;
use crate::registry::experience::takes_chunks;
use crate::registry::push::is_committed;
use crate::registry::transport::Request;
use crate::registry::upload::session::OpenSession;

/// Above what registries that limit a request's body are known to take (GHCR: 4 MiB).
const LARGE_BODY: usize = 5 << 20;
/// Two of these make the upload that tries chunks.
const CHUNK: usize = 64 << 10;

impl Run<'_> {
    /// Opens an upload.
    pub(super) async fn open(&self) -> Result<Result<OpenSession, String>, RegistryError> {
        match self.client.open_session(self.repository).await {
            Ok(session) => Ok(Ok(session)),
            Err(error) => match error.exchange() {
                Some(exchange) => Ok(Err(in_words(exchange))),
                None => Err(error),
            },
        }
    }

    /// Ends an upload. What remains of it if that fails is noted.
    pub(super) async fn cancel(&mut self, session: OpenSession) -> Result<Result<(), String>, RegistryError> {
        let mut request = Request::new(Method::DELETE, session.url.clone());
        session.end();
        request.access = Some(Access::push(self.repository));
        request.once = true;
        let refusal = match self.ask(&request).await? {
            Ok(answer) if answer.status().is_success() || answer.status() == StatusCode::NOT_FOUND => {
                return Ok(Ok(()));
            }
            Ok(answer) => in_words(&answer.exchange().await),
            Err(refusal) => refusal,
        };
        self.leave("uploads that were begun, which registries drop by themselves after a while");
        Ok(Err(refusal))
    }

    /// Sends a blob in two pieces, and asks after each where the upload stands.
    pub(super) async fn chunks(&mut self) -> Result<(), RegistryError> {
        if !takes_chunks(self.repository.registry()) {
            let observed = "not tried: this registry is known to keep the first piece alone, and to call that success";
            self.found(Feature::Chunks, Verdict::Fails, observed);
            return Ok(());
        }
        let mut session = match self.open().await? {
            Ok(session) => session,
            Err(refusal) => {
                self.found(Feature::Chunks, Verdict::Fails, refusal);
                return Ok(());
            }
        };
        let (verdict, observed) = self.two_chunks(&mut session).await?;
        self.found(Feature::Chunks, verdict, observed);
        self.cancel(session).await?.ok();
        Ok(())
    }

    async fn two_chunks(&mut self, session: &mut OpenSession) -> Result<(Verdict, String), RegistryError> {
        let least = usize::try_from(session.least_chunk).unwrap_or(usize::MAX);
        if least > LARGE_BODY {
            return Ok((Verdict::Untried, format!("it wants pieces of at least {least} bytes")));
        }
        let piece = CHUNK.max(least);
        for number in 0..2 {
            let start = number * piece;
            if let Err(refusal) = self.send_piece(session, start, piece).await? {
                return Ok((Verdict::Fails, format!("piece {} is refused: {refusal}", number + 1)));
            }
            session.sent = (start + piece) as u64;
            let held = self.client.session_position(self.repository, session).await;
            if held != Some(session.sent) {
                let told = held.map_or("nothing".to_owned(), |held| format!("{held} bytes"));
                let observed = format!("after {} bytes the upload says that it holds {told}", session.sent);
                return Ok((Verdict::Fails, observed));
            }
        }
        Ok((Verdict::Works, "two pieces arrived, and it told each time how far it was".to_owned()))
    }

    /// Sends zeros into an upload.
    async fn send_piece(
        &self,
        session: &mut OpenSession,
        start: usize,
        size: usize,
    ) -> Result<Result<(), String>, RegistryError> {
        let range = format!("{start}-{}", start + size.saturating_sub(1));
        let range = HeaderValue::try_from(range).map_err(|error| RegistryError::Setup(error.to_string()))?;
        let mut request = Request::new(Method::PATCH, session.url.clone());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
        request.headers.insert(CONTENT_RANGE, range);
        request.access = Some(Access::push(self.repository));
        request.body = Body::Bytes(vec![0; size].into());
        request.once = true;
        match self.ask(&request).await? {
            Ok(answer) if is_committed(answer.status()) => {
                session.follow(&answer)?;
                Ok(Ok(()))
            }
            Ok(answer) => Ok(Err(in_words(&answer.exchange().await))),
            Err(refusal) => Ok(Err(refusal)),
        }
    }

    /// Tries a body above the limits that are known of, in an upload that comes to nothing.
    pub(super) async fn large_body(&mut self) -> Result<(), RegistryError> {
        let Ok(mut session) = self.open().await? else { return Ok(()) };
        let observed = match self.send_piece(&mut session, 0, LARGE_BODY).await? {
            Ok(()) => "a body of 5 MiB is taken, no larger one was tried".to_owned(),
            Err(refusal) => format!("a PATCH of 5 MiB is refused ({refusal})"),
        };
        self.limits.push(observed);
        self.cancel(session).await?.ok();
        Ok(())
    }
}
