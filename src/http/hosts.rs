//! Files from hosts of which nothing more is wanted than a GET that is patient: registries of npm, repositories of Alpine
//! packages.

use std::collections::HashMap;
use std::fmt::Display;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderMap, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use super::{
    Attempts, Connections, Failure, Limiter, RetryPolicy, failure, redacted, retry, safe_redirect, same_origin,
};
use crate::cancel::{Cancellation, Cancelled};

const REDIRECT_LIMIT: usize = 5;
/// A connection on which nothing moves for this long is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);

/// The hosts that files come from: each gets so many requests at a time, and is left alone for as long as it asks.
pub struct Hosts {
    connections: Connections,
    concurrency: usize,
    retry: RetryPolicy,
    /// By host and port.
    limiters: Mutex<HashMap<String, Arc<Limiter>>>,
}

/// Why there is no answer, or not a whole one. Addresses are shown without user, password and query.
#[derive(Clone, Debug)]
pub enum GetError {
    /// The connection failed.
    Unreachable {
        /// How.
        failure: Failure,
        /// What the network said.
        reason: String,
        /// Where.
        url: String,
    },
    /// The host sends its client where no client should go, or in circles.
    UnsafeRedirect {
        /// Where it leads.
        url: String,
    },
    /// No client can be made.
    Setup(String),
}

/// A try that failed.
#[derive(Debug)]
pub struct Failed<E> {
    error: E,
    /// Whether the next one may succeed, and how long the host wants to wait for it.
    again: Option<Option<Duration>>,
}

impl<E> From<E> for Failed<E> {
    /// Another try would fail too.
    fn from(error: E) -> Self {
        Self { error, again: None }
    }
}

impl<E> Failed<E> {
    /// A try after which another may succeed, if `is_temporary`.
    pub fn perhaps(error: E, is_temporary: bool) -> Self {
        Self { error, again: is_temporary.then_some(None) }
    }

    /// A refusal: its status and headers tell whether another try may succeed.
    pub fn refused(error: E, refusal: &Response) -> Self {
        let wait = || retry::retry_after(refusal.headers(), SystemTime::now());
        Self { error, again: retry::is_temporary(refusal.status()).then(wait) }
    }

    /// The same in the words of whoever wanted the file.
    pub fn map<F>(self, words: impl FnOnce(E) -> F) -> Failed<F> {
        Failed { error: words(self.error), again: self.again }
    }
}

impl Hosts {
    /// Hosts over these connections, with at most `concurrency` requests to each at a time.
    pub fn new(connections: Connections, concurrency: usize, retry: RetryPolicy) -> Self {
        Self { connections, concurrency, retry, limiters: Mutex::default() }
    }

    /// What comes of `once`, which talks to the host of `url`, tried for as long as it may succeed.
    pub async fn patiently<T, E, F>(
        &self,
        url: &Url,
        cancellation: &Cancellation,
        mut once: impl FnMut() -> F,
    ) -> Result<T, E>
    where
        E: Display + From<Cancelled>,
        F: Future<Output = Result<T, Failed<E>>>,
    {
        let limiter = self.limiter(url);
        let mut attempts = Attempts::new(&self.retry);
        loop {
            cancellation.check()?;
            let place = limiter.enter().await;
            let failed = match once().await {
                Ok(outcome) => return Ok(outcome),
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

    /// Sends one GET and follows redirects. `authorization` is shown to the first host, and to nobody once that led
    /// elsewhere.
    pub async fn get(
        &self,
        first: &Url,
        headers: &HeaderMap,
        mut authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failed<GetError>> {
        let mut url = first.clone();
        for _ in 0..=REDIRECT_LIMIT {
            let client = self.connections.to(&url).map_err(|error| GetError::Setup(error.to_string()))?;
            let mut request = client.get(url.clone()).headers(headers.clone());
            // Packages are compressed as they are; nobody is to take that off on the way.
            request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(authorization) = authorization {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = within_silence(request.send(), &url).await?;
            let location = response.headers().get(LOCATION).filter(|_| is_redirect(response.status()));
            let Some(location) = location else { return Ok(response) };
            let next = String::from_utf8_lossy(location.as_bytes());
            let next = url.join(next.trim()).map_err(|_| unsafe_redirect(&url))?;
            url = safe_redirect(next, &url).map_err(|next| unsafe_redirect(&next))?;
            authorization = authorization.filter(|_| same_origin(&url, first));
        }
        Err(unsafe_redirect(&url).into())
    }

    fn limiter(&self, url: &Url) -> Arc<Limiter> {
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let mut limiters = self.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limiters.entry(host).or_insert_with(|| Arc::new(Limiter::new(self.concurrency))))
    }
}

/// The next bytes of the body that `url` answered with; `None` at its end.
pub async fn next_piece(response: &mut Response, url: &Url) -> Result<Option<Bytes>, Failed<GetError>> {
    within_silence(response.chunk(), url).await
}

async fn within_silence<T>(answer: impl Future<Output = reqwest::Result<T>>, url: &Url) -> Result<T, Failed<GetError>> {
    let (failure, reason) = match timeout(SILENCE_LIMIT, answer).await {
        Ok(Ok(answer)) => return Ok(answer),
        Ok(Err(error)) => {
            let error = error.without_url();
            (Failure::of(&error), failure::innermost(&error))
        }
        Err(_) => (Failure::Silence, "nothing came for too long".to_owned()),
    };
    let is_temporary = !matches!(failure, Failure::Tls | Failure::NotTls);
    Err(Failed::perhaps(GetError::Unreachable { failure, reason, url: redacted(url) }, is_temporary))
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301..=303 | 307 | 308)
}

fn unsafe_redirect(url: &Url) -> GetError {
    GetError::UnsafeRedirect { url: redacted(url) }
}
