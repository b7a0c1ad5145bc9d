use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, sleep, timeout};
use url::Url;

use crate::http::{Attempts, Connections, Limiter, retry, same_origin};

use super::auth::{Access, Authority};
use super::body::{Body, Meter};
use super::credentials::CredentialFiles;
use super::{ClientOptions, Exchange, RegistryError, RegistryHost, foreign, location};

const REDIRECT_LIMIT: usize = 5;
const ERROR_BODY_LIMIT: u64 = 64 << 10;
/// A connection on which nothing moves for this long is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(120);
const METER_PACE: Duration = Duration::from_millis(100);

/// One request, whole: it can be sent again as it is.
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    pub(super) headers: HeaderMap,
    pub(super) body: Body,
    /// On whose behalf; without it the request goes without our authorization, past the limiter.
    pub(super) access: Option<Access>,
    /// The registry whose manifest named the URL, of which nobody knows where it leads.
    pub(super) stranger_to: Option<Url>,
    /// Told how much of the body is sent.
    pub(super) meter: Option<&'a Meter<'a>>,
    /// Whether the caller does the repeating.
    pub(super) once: bool,
}

impl Request<'_> {
    pub(super) fn new(method: Method, url: Url) -> Self {
        let headers = HeaderMap::from_iter([(ACCEPT_ENCODING, HeaderValue::from_static("identity"))]);
        Self { method, url, headers, body: Body::Empty, access: None, stranger_to: None, meter: None, once: false }
    }
}

/// Sends requests: with authorization, in turn, again where that may help.
pub(super) struct Transport {
    options: ClientOptions,
    connections: Connections,
    limiters: Mutex<HashMap<String, Arc<Limiter>>>,
    authorities: Mutex<HashMap<RegistryHost, Arc<Authority>>>,
}

impl Transport {
    pub(super) fn new(options: ClientOptions) -> Result<Self, RegistryError> {
        let connections = Connections::new(&options.user_agent, &options.extra_roots, Vec::new())
            .map_err(|error| RegistryError::Setup(format!("an extra CA certificate is no PEM ({error})")))?;
        Ok(Self { connections, options, limiters: Mutex::default(), authorities: Mutex::default() })
    }

    /// `https://HOST/v2/`, or plain HTTP where that is safe or was asked for.
    pub(super) fn base_url(&self, registry: &RegistryHost) -> Result<Url, RegistryError> {
        let plain = registry.is_loopback() || self.options.insecure_hosts.contains(registry);
        let scheme = if plain { "http" } else { "https" };
        let text = format!("{scheme}://{}/v2/", registry.api_host());
        Url::parse(&text).map_err(|error| RegistryError::Setup(format!("{error}: `{text}`")))
    }

    pub(super) fn credentials(&self) -> &CredentialFiles {
        &self.options.credentials
    }

    pub(super) fn attempts(&self) -> Attempts {
        Attempts::new(&self.options.retry)
    }

    /// Sends `request` and gives the last answer, whatever its status; but a 401 that we cannot better is an error.
    pub(super) async fn send(&self, request: &Request<'_>) -> Result<Answer, RegistryError> {
        let mut attempts = if request.once { Attempts::only_one() } else { self.attempts() };
        loop {
            let limiter = self.limiter(&request.url);
            let (wait, outcome) = match self.send_authorized(request, &limiter).await {
                Ok(answer) if retry::is_temporary(answer.status()) => {
                    let asked = retry::retry_after(answer.headers(), SystemTime::now());
                    let wait = attempts.next_wait(asked);
                    if let (StatusCode::TOO_MANY_REQUESTS, Some(quiet)) = (answer.status(), asked.or(wait))
                        && quiet <= self.options.retry.longest_wait
                    {
                        limiter.quiet(quiet);
                    }
                    (wait, Ok(answer))
                }
                Err(error) if error.is_temporary() => (attempts.next_wait(None), Err(error)),
                outcome => return outcome,
            };
            let Some(wait) = wait else { return outcome };
            tracing::debug!(?wait, method = %request.method, host = request.url.host_str(), "trying again");
            drop(outcome);
            sleep(wait).await;
        }
    }

    /// Sends it with what authorization we have, and once more with a better one if the registry wants that.
    async fn send_authorized(&self, request: &Request<'_>, limiter: &Limiter) -> Result<Answer, RegistryError> {
        let Some(access) = &request.access else { return self.follow(request, None).await };
        let registry = access.repository.registry();
        if !same_origin(&request.url, &self.base_url(registry)?) {
            return self.follow_in_turn(request, None, limiter).await;
        }
        let authority = shared(&self.authorities, registry, Authority::default);
        let used = authority.header(self, access).await?;
        let answer = self.follow_in_turn(request, used.as_ref(), limiter).await?;
        if answer.status() != StatusCode::UNAUTHORIZED || !same_origin(&answer.url, &request.url) {
            return Ok(answer);
        }
        let better = authority.answer(self, access, answer.headers(), used.as_ref()).await?;
        let (answer, shown) = match better {
            Some(better) => {
                drop(answer);
                (self.follow_in_turn(request, Some(&better), limiter).await?, true)
            }
            None => (answer, used.is_some()),
        };
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let (registry, problem) = (registry.to_string(), authority.problem().await);
        let exchange = Box::new(answer.exchange().await);
        Err(match (shown, authority.has_credentials(access).await) {
            (true, true) => RegistryError::CredentialsRefused { registry, exchange },
            _ => RegistryError::CredentialsMissing { registry, problem, exchange },
        })
    }

    async fn follow_in_turn(
        &self,
        request: &Request<'_>,
        authorization: Option<&HeaderValue>,
        limiter: &Limiter,
    ) -> Result<Answer, RegistryError> {
        let permit = limiter.enter().await;
        let mut answer = self.follow(request, authorization).await?;
        answer.permit = permit;
        Ok(answer)
    }

    /// Sends it and follows redirects. What is secret goes to the first host only.
    async fn follow(
        &self,
        request: &Request<'_>,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut url = request.url.clone();
        let mut headers = request.headers.clone();
        if let Some(authorization) = authorization {
            headers.insert(AUTHORIZATION, authorization.clone());
        }
        for _ in 0..=REDIRECT_LIMIT {
            if let Some(own) = &request.stranger_to {
                foreign::check(&url, own)?;
            }
            let response = self.exchange(request, &url, &headers).await?;
            let next = match follows(&request.method, response.status()) {
                true => location::from_headers(response.headers(), &url)?,
                false => None,
            };
            let Some(next) = next else {
                return Ok(Answer { response, method: request.method.clone(), url, permit: None });
            };
            if !same_origin(&next, &request.url) {
                headers.remove(AUTHORIZATION);
            }
            url = next;
        }
        Err(RegistryError::not_a_registry(&request.url, "it redirects without end"))
    }

    /// One request, one answer.
    async fn exchange(&self, request: &Request<'_>, url: &Url, headers: &HeaderMap) -> Result<Response, RegistryError> {
        let sent = Arc::new(AtomicU64::new(0));
        let body = request.body.open(&sent).await?;
        let mut headers = headers.clone();
        if !matches!(request.method, Method::GET | Method::HEAD) {
            headers.insert(CONTENT_LENGTH, request.body.size().into());
        }
        let stranger = request.stranger_to.as_ref().is_some_and(|own| own.host() != url.host());
        let client = if stranger { self.connections.to_stranger() } else { self.connections.to(url) };
        let client = client.map_err(|error| RegistryError::Setup(error.to_string()))?;
        let sending = client.request(request.method.clone(), url.clone()).headers(headers).body(body).send();
        tokio::pin!(sending);
        let (mut before, mut moved) = (0, Instant::now());
        loop {
            let outcome = timeout(METER_PACE, &mut sending).await;
            let position = sent.load(Ordering::Relaxed);
            if let Some(meter) = request.meter {
                meter.reach(request.body.start() + position);
            }
            if let Ok(outcome) = outcome {
                return outcome.map_err(|error| RegistryError::unreachable(&request.method, url, error));
            }
            if position != before {
                (before, moved) = (position, Instant::now());
            }
            if moved.elapsed() > SILENCE_LIMIT {
                return Err(RegistryError::silence(&request.method, url));
            }
        }
    }

    fn limiter(&self, url: &Url) -> Arc<Limiter> {
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        shared(&self.limiters, &host, || Limiter::new(self.options.concurrency))
    }
}

/// Redirects are followed where the request stays what it is: a GET or HEAD always, others if the status says so.
fn follows(method: &Method, status: StatusCode) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    matches!(status.as_u16(), 307 | 308) || (reads && matches!(status.as_u16(), 301..=303))
}

fn shared<K: Eq + Hash + Clone, V>(map: &Mutex<HashMap<K, Arc<V>>>, key: &K, new: impl FnOnce() -> V) -> Arc<V> {
    let mut map = map.lock().unwrap_or_else(PoisonError::into_inner);
    Arc::clone(map.entry(key.clone()).or_insert_with(|| Arc::new(new())))
}

/// A registry's answer. Its place with the limiter is kept until it is read or dropped.
pub(super) struct Answer {
    response: Response,
    method: Method,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    permit: Option<OwnedSemaphorePermit>,
}

impl Answer {
    pub(super) fn status(&self) -> StatusCode {
        self.response.status()
    }

    pub(super) fn headers(&self) -> &HeaderMap {
        self.response.headers()
    }

    /// A header's value as text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers().get(name)?.to_str().ok()
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        match timeout(SILENCE_LIMIT, self.response.chunk()).await {
            Ok(piece) => piece.map_err(|error| RegistryError::unreachable(&self.method, &self.url, error)),
            Err(_) => Err(RegistryError::silence(&self.method, &self.url)),
        }
    }

    /// The whole body, or its first bytes if it has more than `limit`: then one byte too many is there to tell.
    pub(super) async fn bytes(mut self, limit: u64) -> Result<Vec<u8>, RegistryError> {
        let room = usize::try_from(limit).unwrap_or(usize::MAX).saturating_add(1);
        let mut bytes = Vec::new();
        while bytes.len() < room
            && let Some(piece) = self.piece().await?
        {
            bytes.extend_from_slice(&piece[..piece.len().min(room - bytes.len())]);
        }
        Ok(bytes)
    }

    /// This answer as a refusal.
    pub(super) async fn refusal(self) -> RegistryError {
        RegistryError::refused(self.exchange().await)
    }

    /// This answer with what it says, for error texts.
    pub(super) async fn exchange(self) -> Exchange {
        let (method, url, status) = (self.method.clone(), self.url.clone(), self.status());
        let body = self.bytes(ERROR_BODY_LIMIT).await.unwrap_or_default();
        Exchange::new(&method, &url, status, &body)
    }
}
