use std::collections::{BTreeSet, HashMap};
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue};
use reqwest::{Method, Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use crate::http::{Attempts, Connections, Limiter, Pace, printable, retry, same_origin};

use super::answer::Answer;
use super::auth::{self, Access, Authority};
use super::body::{Body, Meter};
use super::credentials::Credentials;
use super::credentials::helper::Answers;
use super::settings::Mirror;
use super::{ClientOptions, RegistryError, RegistryHost, Repository, foreign, location};

const REDIRECT_LIMIT: usize = 5;
/// How often one request is sent again with another authorization.
const AUTHORIZATION_LIMIT: u32 = 2;
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
    /// By scheme, host and port.
    clients: Mutex<HashMap<String, reqwest::Client>>,
    /// The registries that are pushed to.
    targets: Mutex<BTreeSet<RegistryHost>>,
}

impl Transport {
    pub(super) fn new(options: ClientOptions) -> Result<Self, RegistryError> {
        let connections = Connections::new(&options.user_agent, &options.extra_roots, Vec::new())
            .map_err(|error| RegistryError::Setup(format!("an extra CA certificate is no PEM ({error})")))?;
        let (limiters, authorities, clients, targets) = Default::default();
        Ok(Self { options, connections, limiters, authorities, clients, targets })
    }

    /// `https://HOST/v2/`, or plain HTTP where that crosses no wire or was asked for.
    pub(super) fn base_url(&self, registry: &RegistryHost) -> Result<Url, RegistryError> {
        let scheme = if self.options.uses_tls(registry) { "https" } else { "http" };
        let text = format!("{scheme}://{}/v2/", registry.api_host());
        Url::parse(&text).map_err(|error| RegistryError::Setup(format!("{error}: `{text}`")))
    }

    /// The credentials for a repository, or in words why there are none although some are configured.
    pub(super) async fn credentials(
        &self,
        repository: &Repository,
        answers: &mut Answers,
    ) -> Result<Option<Credentials>, String> {
        let given = self.options.given_credentials.lookup(repository.registry(), &locked(&self.targets))?;
        match given {
            Some(given) => Ok(Some(given)),
            None => self.options.credentials.lookup(repository, answers).await,
        }
    }

    /// The mirrors of a registry.
    pub(super) fn mirrors(&self, registry: &RegistryHost) -> &[Mirror] {
        self.options.registries.of(registry).map_or(&[], |settings| &settings.mirrors)
    }

    /// Whether a registry asked who we are.
    pub(super) async fn is_challenged_by(&self, registry: &RegistryHost) -> bool {
        shared(&self.authorities, registry, Authority::default).is_challenged().await
    }

    /// The run pushes to these registries, whatever it pulls from.
    pub(super) fn push_to(&self, registries: impl IntoIterator<Item = RegistryHost>) {
        locked(&self.targets).extend(registries);
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
                    let asked = answer.retry_after();
                    let wait = attempts.next_wait(asked);
                    self.hold_back(&limiter, answer.status(), asked.or(wait));
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

    /// Lets no other request find out what one was told: the host is overloaded.
    fn hold_back(&self, limiter: &Limiter, status: StatusCode, wait: Option<Duration>) {
        let Some(wait) = wait.filter(|wait| *wait <= self.options.retry.longest_wait) else { return };
        match status {
            StatusCode::TOO_MANY_REQUESTS => limiter.slow_down(wait),
            StatusCode::SERVICE_UNAVAILABLE => limiter.quiet(wait),
            _ => {}
        }
    }

    /// Sends it with what authorization we have, and again with a better one if the registry wants that: once after a 401,
    /// and once where it says that a token has to allow more.
    async fn send_authorized(&self, request: &Request<'_>, limiter: &Arc<Limiter>) -> Result<Answer, RegistryError> {
        let Some(access) = &request.access else { return self.follow(request, &request.url, None).await };
        let mut access = access.clone();
        let registry = access.repository.registry().clone();
        if !same_origin(&request.url, &self.base_url(&registry)?) {
            let answer = self.follow_in_turn(request, &request.url, None, limiter).await?;
            return self.answer_elsewhere(request, answer, &registry, limiter).await;
        }
        let authority = shared(&self.authorities, &registry, Authority::default);
        let mut used = authority.header(self, &access).await?;
        for tries in 0.. {
            let answer = self.follow_in_turn(request, &request.url, used.as_ref(), limiter).await?;
            if !same_origin(&answer.url, &request.url) {
                return self.answer_elsewhere(request, answer, &registry, limiter).await;
            }
            let refused = answer.status() == StatusCode::UNAUTHORIZED;
            if !refused && answer.status() != StatusCode::FORBIDDEN {
                return Ok(answer);
            }
            let missing = if used.is_some() { access.missing_scopes(answer.headers()) } else { Vec::new() };
            let again = (refused && tries == 0) || !missing.is_empty();
            access.scopes.extend(missing);
            let better = match again && tries < AUTHORIZATION_LIMIT {
                true => authority.answer(self, &access, answer.headers(), used.as_ref()).await?,
                false => None,
            };
            match better {
                Some(better) => used = Some(better),
                None if !refused => return Ok(answer),
                None => {
                    let shown = used.is_some() && authority.has_credentials(&access).await;
                    return Err(answer.unauthorized(&registry, shown, authority.problem().await).await);
                }
            }
        }
        Err(RegistryError::not_a_registry(&request.url, "it never stops asking for another token"))
    }

    /// The answer of a host that the registry led to. If it is a challenge of its own, the request goes there once more,
    /// with a token for nobody.
    async fn answer_elsewhere(
        &self,
        request: &Request<'_>,
        answer: Answer,
        registry: &RegistryHost,
        limiter: &Arc<Limiter>,
    ) -> Result<Answer, RegistryError> {
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let place = answer.url.clone();
        match auth::anonymous_token(self, registry, &place, answer.headers()).await? {
            None => Ok(answer),
            Some(token) => {
                drop(answer);
                self.follow_in_turn(request, &place, Some(&token), limiter).await
            }
        }
    }

    async fn follow_in_turn(
        &self,
        request: &Request<'_>,
        place: &Url,
        authorization: Option<&HeaderValue>,
        limiter: &Arc<Limiter>,
    ) -> Result<Answer, RegistryError> {
        let taken = limiter.enter().await;
        let mut answer = self.follow(request, place, authorization).await?;
        answer.place = Some(taken);
        Ok(answer)
    }

    /// Sends it to `place` and follows redirects. What is secret goes to the first host only.
    async fn follow(
        &self,
        request: &Request<'_>,
        place: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Answer, RegistryError> {
        let mut url = place.clone();
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
                let (method, pace) = (request.method.clone(), Pace::new(self.options.silence_limit));
                return Ok(Answer { response, method, url, place: None, pace, received: 0 });
            };
            if !same_origin(&next, place) {
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
        let client = if stranger { self.stranger()? } else { self.client(url)? };
        let sending = client.request(request.method.clone(), url.clone()).headers(headers).body(body).send();
        tokio::pin!(sending);
        let mut pace = Pace::new(self.options.silence_limit);
        loop {
            let outcome = timeout(METER_PACE, &mut sending).await;
            let position = sent.load(Ordering::Relaxed);
            if let Some(meter) = request.meter {
                meter.reach(request.body.start() + position);
            }
            if let Ok(outcome) = outcome {
                if let (Ok(response), Some(access)) = (&outcome, &request.access) {
                    self.options.warnings.note(access.repository.registry().as_str(), response.headers());
                }
                return outcome.map_err(|error| RegistryError::unreachable(&request.method, url, error));
            }
            if pace.left(position).is_none() {
                return Err(RegistryError::silence(&request.method, url));
            }
        }
    }

    /// The client for hosts that somebody else chose.
    fn stranger(&self) -> Result<reqwest::Client, RegistryError> {
        self.connections.to_stranger().cloned().map_err(|error| RegistryError::Setup(error.to_string()))
    }

    /// The client for a URL: the one for all, unless its host has certificates of its own.
    fn client(&self, url: &Url) -> Result<reqwest::Client, RegistryError> {
        let host = origin(url);
        if let Some(own) = locked(&self.clients).get(&host) {
            return Ok(own.clone());
        }
        let trust = self.options.trust(url)?;
        let client = match trust.is_usual() {
            true => self.connections.to(url).cloned().map_err(|error| RegistryError::Setup(error.to_string())),
            false => self.connections.with_trust(url, &trust).map_err(|error| RegistryError::Certificate {
                reason: printable(&error.to_string()),
                path: host.clone(),
            }),
        }?;
        Ok(locked(&self.clients).entry(host).or_insert(client).clone())
    }

    fn limiter(&self, url: &Url) -> Arc<Limiter> {
        shared(&self.limiters, &origin(url), || Limiter::new(self.options.connections(url)))
    }
}

/// Redirects are followed where the request stays what it is: a GET or HEAD always, others if the status says so.
fn follows(method: &Method, status: StatusCode) -> bool {
    let reads = matches!(*method, Method::GET | Method::HEAD);
    matches!(status.as_u16(), 307 | 308) || (reads && matches!(status.as_u16(), 301..=303))
}

/// Scheme, host and port of a URL.
fn origin(url: &Url) -> String {
    url[..url::Position::AfterPort].to_owned()
}

fn shared<K: Eq + Hash + Clone, V>(map: &Mutex<HashMap<K, Arc<V>>>, key: &K, new: impl FnOnce() -> V) -> Arc<V> {
    Arc::clone(locked(map).entry(key.clone()).or_insert_with(|| Arc::new(new())))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
