pub(super) mod challenge;
pub(super) mod scope;
pub(super) mod token;

use std::collections::HashMap;

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderValue};
use tokio::sync::Mutex;
use url::Url;

use super::credentials::Credentials;
use super::credentials::helper::Answers;
use super::location;
use super::transport::{Request, Transport};
use super::{RegistryError, RegistryHost, Repository};
use challenge::Challenge;
use scope::Scope;
use token::{Token, TokenService};

/// What is known of how one registry wants to be asked: its challenge, our credentials, the tokens so far. Whoever
/// waits for a token holds the lock, so that many requests at once ask for one token.
#[derive(Default)]
pub(super) struct Authority {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    challenge: Option<Challenge>,
    credentials: HashMap<Repository, Option<Credentials>>,
    answers: Answers,
    problem: Option<String>,
    tokens: Vec<Token>,
}

/// On whose behalf a request goes to a registry.
#[derive(Clone)]
pub(super) struct Access {
    /// The repository that the request is about.
    pub(super) repository: Repository,
    /// What a token must allow, the request's own repository first.
    pub(super) scopes: Vec<Scope>,
}

impl Access {
    /// To the registry itself, for nothing of it.
    pub(super) fn registry(host: &RegistryHost) -> Self {
        Self { repository: Repository::root_of(host), scopes: Vec::new() }
    }

    pub(super) fn pull(repository: &Repository) -> Self {
        Self { repository: repository.clone(), scopes: vec![Scope::pull(repository)] }
    }

    pub(super) fn push(repository: &Repository) -> Self {
        Self { repository: repository.clone(), scopes: vec![Scope::push(repository)] }
    }

    /// To remove what was pushed, which is more than pushing needs.
    pub(super) fn delete(repository: &Repository) -> Self {
        Self { repository: repository.clone(), scopes: vec![Scope::delete(repository)] }
    }

    pub(super) fn mount(repository: &Repository, source: &Repository) -> Self {
        let mut scopes = vec![Scope::push(repository)];
        scopes.extend((repository != source).then(|| Scope::pull(source)));
        Self { repository: repository.clone(), scopes }
    }

    /// What a refusal with these `headers` says that a token is to allow besides (`insufficient_scope`).
    pub(super) fn missing_scopes(&self, headers: &HeaderMap) -> Vec<Scope> {
        let Some(Challenge::Bearer { scope: Some(scope), .. }) = challenge::from_headers(headers) else {
            return Vec::new();
        };
        let known = |wanted: &Scope| self.scopes.iter().any(|scope| scope.covers(wanted));
        Scope::read_all(&scope).into_iter().filter(|wanted| !known(wanted)).collect()
    }
}

impl Authority {
    /// The `Authorization` that the registry will want, as far as earlier answers tell.
    pub(super) async fn header(
        &self,
        transport: &Transport,
        access: &Access,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut state = self.state.lock().await;
        state.header(transport, access).await
    }

    /// What to send after a refusal with these `headers` of a request sent with `used`: `None` if there is nothing better.
    pub(super) async fn answer(
        &self,
        transport: &Transport,
        access: &Access,
        headers: &HeaderMap,
        used: Option<&HeaderValue>,
    ) -> Result<Option<HeaderValue>, RegistryError> {
        let mut state = self.state.lock().await;
        // A refused token is no good any more, nor are older ones. A newer one may be what another request just got.
        if let Some(at) = state.tokens.iter().position(|token| Some(&token.header) == used) {
            state.tokens.drain(..=at);
        }
        match challenge::from_headers(headers) {
            Some(challenge) => state.challenge = Some(challenge),
            None if state.challenge.is_none() => state.challenge = ping(transport, access).await?,
            None => {}
        }
        let header = state.header(transport, access).await?;
        Ok(header.filter(|header| Some(header) != used))
    }

    /// Whether the registry asked who we are.
    pub(super) async fn is_challenged(&self) -> bool {
        self.state.lock().await.challenge.is_some()
    }

    /// Whether there were credentials to show for this access.
    pub(super) async fn has_credentials(&self, access: &Access) -> bool {
        self.state.lock().await.credentials.get(&access.repository).is_some_and(Option::is_some)
    }

    /// Why no credentials were found although some are configured.
    pub(super) async fn problem(&self) -> Option<String> {
        self.state.lock().await.problem.clone()
    }
}

impl State {
    async fn header(&mut self, transport: &Transport, access: &Access) -> Result<Option<HeaderValue>, RegistryError> {
        let Some(challenge) = self.challenge.clone() else { return Ok(None) };
        let credentials = self.credentials(transport, &access.repository).await;
        match (challenge, credentials) {
            (_, Some(Credentials::Registry(token))) => token::bearer(&token).map(Some),
            (Challenge::Basic, Some(Credentials::Password { user, password })) => {
                token::basic(&user, &password).map(Some)
            }
            (Challenge::Basic, _) => Ok(None),
            (Challenge::Bearer { realm, service, .. }, credentials) => {
                let registry = access.repository.registry();
                let realm = realm_url(&realm, &transport.base_url(registry)?)?;
                let service = TokenService { registry, realm: &realm, service: service.as_deref() };
                self.token(transport, &service, credentials.as_ref(), &access.scopes).await.map(Some)
            }
        }
    }

    async fn token(
        &mut self,
        transport: &Transport,
        service: &TokenService<'_>,
        credentials: Option<&Credentials>,
        scopes: &[Scope],
    ) -> Result<HeaderValue, RegistryError> {
        if let Some(token) = self.tokens.iter().find(|token| token.serves(scopes)) {
            return Ok(token.header.clone());
        }
        let token = service.token(transport, credentials, scopes).await?;
        let header = token.header.clone();
        self.tokens.retain(|token| token.serves(&[]));
        self.tokens.push(token);
        Ok(header)
    }

    /// Looked up once per repository: podman keeps credentials by repository.
    async fn credentials(&mut self, transport: &Transport, repository: &Repository) -> Option<Credentials> {
        if let Some(known) = self.credentials.get(repository) {
            return known.clone();
        }
        let found = transport.credentials(repository, &mut self.answers).await.unwrap_or_else(|problem| {
            tracing::warn!("{problem}");
            self.problem = Some(problem);
            None
        });
        self.credentials.insert(repository.clone(), found.clone());
        found
    }
}

/// The token service's URL, which may be anywhere, but never less safe than the registry: it sees the password.
fn realm_url(realm: &str, base: &Url) -> Result<Url, RegistryError> {
    let url = Url::parse(realm).map_err(|_| RegistryError::not_a_registry(base, "its token service is no URL"))?;
    location::checked(url, base)
}

/// A token for nobody in particular, for a place that a registry led to and that challenges on its own: it is not the
/// registry, and our credentials are none of its business.
pub(super) async fn anonymous_token(
    transport: &Transport,
    registry: &RegistryHost,
    place: &Url,
    headers: &HeaderMap,
) -> Result<Option<HeaderValue>, RegistryError> {
    let Some(Challenge::Bearer { realm, service, scope }) = challenge::from_headers(headers) else { return Ok(None) };
    let realm = realm_url(&realm, place)?;
    let service = TokenService { registry, realm: &realm, service: service.as_deref() };
    let scopes = Scope::read_all(&scope.unwrap_or_default());
    Ok(Some(service.token(transport, None, &scopes).await?.header))
}

/// Asks the API's root for a challenge: some registries name none elsewhere (gcr.io).
async fn ping(transport: &Transport, access: &Access) -> Result<Option<Challenge>, RegistryError> {
    let url = transport.base_url(access.repository.registry())?;
    let answer = Box::pin(transport.send(&Request::new(Method::GET, url))).await?;
    Ok(challenge::from_headers(answer.headers()))
}
