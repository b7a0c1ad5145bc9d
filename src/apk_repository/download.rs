//! One file of a repository over HTTP.

use std::io::Write;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT_ENCODING, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use super::{ApkClient, ApkRepositoryError};
use crate::cancel::Cancellation;
use crate::http::{Attempts, Failure, Limiter, failure, redacted, retry, safe_redirect};

const REDIRECT_LIMIT: usize = 5;
/// A connection on which nothing moves for this long is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// A file that is wanted.
pub(super) struct Wanted<'a> {
    /// As errors call it.
    pub what: &'a str,
    pub url: &'a Url,
    /// Under which conditions, such as `If-None-Match`.
    pub headers: HeaderMap,
    /// The most bytes it may have.
    pub limit: u64,
}

/// What came of asking.
pub(super) enum Answer<W> {
    /// The file, and what the answer said of it.
    File(W, HeaderMap),
    /// It is what it was.
    Unchanged,
}

/// A try that failed.
struct Failed {
    error: ApkRepositoryError,
    /// Whether the next one may succeed, and how long the host wants to wait for it.
    again: Option<Option<Duration>>,
}

impl<E: Into<ApkRepositoryError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), again: None }
    }
}

impl ApkClient {
    /// Fetches a file into what `new` makes, anew for each try.
    pub(super) async fn get<W: Write>(
        &self,
        wanted: &Wanted<'_>,
        cancellation: &Cancellation,
        new: impl Fn() -> Result<W, ApkRepositoryError>,
        write_error: impl Fn(std::io::Error) -> ApkRepositoryError,
    ) -> Result<Answer<W>, ApkRepositoryError> {
        let limiter = self.limiter(wanted.url);
        let mut attempts = Attempts::new(&self.0.options.retry);
        loop {
            cancellation.check()?;
            let place = limiter.enter().await;
            let failed = match self.get_once(wanted, cancellation, new()?, &write_error).await {
                Ok(answer) => return Ok(answer),
                Err(failed) => failed,
            };
            drop(place);
            let wait = failed.again.and_then(|asked| Some((asked, attempts.next_wait(asked)?)));
            let Some((asked, wait)) = wait else { return Err(failed.error) };
            tracing::debug!("again in {wait:?}: {}", failed.error);
            if asked.is_some() {
                limiter.quiet(wait);
            }
            sleep(wait).await;
        }
    }

    async fn get_once<W: Write>(
        &self,
        wanted: &Wanted<'_>,
        cancellation: &Cancellation,
        mut file: W,
        write_error: &impl Fn(std::io::Error) -> ApkRepositoryError,
    ) -> Result<Answer<W>, Failed> {
        let mut response = self.follow(wanted).await?;
        let status = response.status();
        if status == StatusCode::NOT_MODIFIED && !wanted.headers.is_empty() {
            return Ok(Answer::Unchanged);
        }
        if status != StatusCode::OK {
            let again = retry::is_temporary(status).then(|| retry::retry_after(response.headers(), SystemTime::now()));
            let (what, url, status) = (wanted.what.to_owned(), redacted(wanted.url), status.as_u16());
            let error = match status {
                404 | 410 => ApkRepositoryError::NotFound { what, status, url },
                _ => ApkRepositoryError::Refused { what, status, url },
            };
            return Err(Failed { error, again });
        }
        let mut bytes = 0;
        loop {
            cancellation.check()?;
            let piece = match timeout(SILENCE_LIMIT, response.chunk()).await {
                Ok(Ok(Some(piece))) => piece,
                Ok(Ok(None)) => return Ok(Answer::File(file, response.headers().clone())),
                Ok(Err(error)) => return Err(unreachable(wanted, error)),
                Err(_) => return Err(silence(wanted)),
            };
            bytes += piece.len() as u64;
            if bytes > wanted.limit {
                let (what, limit, from) = (wanted.what.to_owned(), wanted.limit, redacted(wanted.url));
                return Err(ApkRepositoryError::TooLarge { what, limit, from }.into());
            }
            file.write_all(&piece).map_err(write_error)?;
        }
    }

    async fn follow(&self, wanted: &Wanted<'_>) -> Result<Response, Failed> {
        let mut url = wanted.url.clone();
        let unsafe_redirect =
            |url: &Url| ApkRepositoryError::UnsafeRedirect { what: wanted.what.to_owned(), url: redacted(url) };
        for _ in 0..=REDIRECT_LIMIT {
            let client = self.0.connections.to(&url);
            let client = client.map_err(|error| ApkRepositoryError::Setup(error.to_string()))?;
            let request = client.get(url.clone()).headers(wanted.headers.clone());
            // Packages are compressed as they are; nobody is to take that off on the way.
            let request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            let response = match timeout(SILENCE_LIMIT, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(unreachable(wanted, error)),
                Err(_) => return Err(silence(wanted)),
            };
            let is_redirect = matches!(response.status().as_u16(), 301..=303 | 307 | 308);
            let Some(location) = response.headers().get(LOCATION).filter(|_| is_redirect) else { return Ok(response) };
            let next = String::from_utf8_lossy(location.as_bytes());
            let next = url.join(next.trim()).map_err(|_| unsafe_redirect(&url))?;
            url = safe_redirect(next, &url).map_err(|next| unsafe_redirect(&next))?;
        }
        Err(unsafe_redirect(&url).into())
    }

    fn limiter(&self, url: &Url) -> Arc<Limiter> {
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let mut limiters = self.0.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limiters.entry(host).or_insert_with(|| Arc::new(Limiter::new(self.0.options.concurrency))))
    }
}

fn unreachable(wanted: &Wanted<'_>, error: reqwest::Error) -> Failed {
    let error = error.without_url();
    let failure = Failure::of(&error);
    let (what, url) = (wanted.what.to_owned(), redacted(wanted.url));
    let error = ApkRepositoryError::Unreachable { what, failure, reason: failure::innermost(&error), url };
    Failed { error, again: (!matches!(failure, Failure::Tls | Failure::NotTls)).then_some(None) }
}

fn silence(wanted: &Wanted<'_>) -> Failed {
    let reason = "nothing came for too long".to_owned();
    let (what, failure, url) = (wanted.what.to_owned(), Failure::Silence, redacted(wanted.url));
    Failed { error: ApkRepositoryError::Unreachable { what, failure, reason, url }, again: Some(None) }
}
