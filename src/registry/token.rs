//! Tokens: what they allow, where they come from, how long they last.
//!
//! Sources: `docs/spec/auth/token.md` and `oauth.md` of `distribution`.

use std::fmt;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::body::Body;
use super::credentials::Credentials;
use super::transport::{Request, Transport};
use super::{RegistryError, Repository};
use crate::http::Secret;

/// A token that says nothing of its life lives this long, and none is taken to live shorter.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
/// A token this close to its end is not used for a new request.
const MARGIN: Duration = Duration::from_secs(10);
const TOKEN_LIMIT: u64 = 1 << 20;

/// What a token must allow on one repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    name: String,
    push: bool,
    delete: bool,
}

impl Scope {
    pub(super) fn pull(repository: &Repository) -> Self {
        Self { name: repository.name().to_owned(), push: false, delete: false }
    }

    pub(super) fn push(repository: &Repository) -> Self {
        Self { name: repository.name().to_owned(), push: true, delete: false }
    }

    pub(super) fn delete(repository: &Repository) -> Self {
        Self { delete: true, ..Self::push(repository) }
    }

    fn covers(&self, other: &Self) -> bool {
        self.name == other.name && (self.push || !other.push) && (self.delete || !other.delete)
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions = match (self.push, self.delete) {
            (_, true) => "pull,push,delete",
            (true, false) => "pull,push",
            (false, false) => "pull",
        };
        write!(f, "repository:{}:{actions}", self.name)
    }
}

/// A token and what it was asked for.
#[derive(Debug)]
pub(super) struct Token {
    pub(super) header: HeaderValue,
    scopes: Vec<Scope>,
    ends: Instant,
}

impl Token {
    /// Whether it allows all of `scopes` and will for a while.
    pub(super) fn serves(&self, scopes: &[Scope]) -> bool {
        let allows = |wanted: &Scope| self.scopes.iter().any(|scope| scope.covers(wanted));
        self.ends > Instant::now() + MARGIN && scopes.iter().all(allows)
    }
}

/// A token service, as a challenge names it.
pub(super) struct TokenService<'a> {
    /// Its URL.
    pub(super) realm: &'a Url,
    /// The name under which it knows the registry.
    pub(super) service: Option<&'a str>,
}

impl TokenService<'_> {
    /// Asks for a token that allows `scopes`, the first of them first: some services look at no other.
    pub(super) async fn token(
        &self,
        transport: &Transport,
        credentials: Option<&Credentials>,
        scopes: &[Scope],
    ) -> Result<Token, RegistryError> {
        let asked = Instant::now();
        let request = match credentials {
            Some(Credentials::Identity(refresh)) => self.refresh(refresh, scopes),
            Some(Credentials::Password { user, password }) => {
                let mut request = self.get(scopes);
                request.headers.insert(AUTHORIZATION, basic(user, password)?);
                request
            }
            Some(Credentials::Registry(_)) | None => self.get(scopes),
        };
        let answer = Box::pin(transport.send(&request)).await?;
        if answer.status() != StatusCode::OK {
            return Err(answer.refusal().await);
        }
        let bytes = answer.bytes(TOKEN_LIMIT).await?;
        let (secret, life) = read_token(&bytes)
            .ok_or_else(|| RegistryError::not_a_registry(self.realm, "the token service sent no token"))?;
        Ok(Token { header: bearer(&secret)?, scopes: scopes.to_vec(), ends: asked + life })
    }

    fn get(&self, scopes: &[Scope]) -> Request<'static> {
        let mut url = self.realm.clone();
        let scopes = scopes.iter().map(|scope| ("scope", scope.to_string()));
        url.query_pairs_mut().extend_pairs(self.service.map(|service| ("service", service))).extend_pairs(scopes);
        Request::new(Method::GET, url)
    }

    fn refresh(&self, token: &Secret, scopes: &[Scope]) -> Request<'static> {
        let scopes: Vec<_> = scopes.iter().map(Scope::to_string).collect();
        let form = form_urlencoded::Serializer::new(String::new())
            .append_pair("grant_type", "refresh_token")
            .append_pair("client_id", "pirogue")
            .append_pair("service", self.service.unwrap_or_default())
            .append_pair("scope", &scopes.join(" "))
            .append_pair("refresh_token", token.reveal())
            .finish();
        let mut request = Request::new(Method::POST, self.realm.clone());
        request.headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
        request.body = Body::Bytes(form.into());
        request
    }
}

/// The token and its life, from a service's answer.
fn read_token(bytes: &[u8]) -> Option<(Secret, Duration)> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<u32>,
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
    let life = answer.expires_in.map_or(SHORTEST_LIFE, |seconds| Duration::from_secs(seconds.into()));
    Some((Secret::new(token), life.max(SHORTEST_LIFE)))
}

/// `Authorization: Bearer …`
pub(super) fn bearer(token: &Secret) -> Result<HeaderValue, RegistryError> {
    secret_header(&format!("Bearer {}", token.reveal()))
}

/// `Authorization: Basic …`
pub(super) fn basic(user: &str, password: &Secret) -> Result<HeaderValue, RegistryError> {
    secret_header(&format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal()))))
}

fn secret_header(text: &str) -> Result<HeaderValue, RegistryError> {
    let mut value = HeaderValue::from_str(text)
        .map_err(|_| RegistryError::Setup("a token holds characters that HTTP does not allow".to_owned()))?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_and_their_life() {
        let table = [
            ("token", r#"{"token":"t"}"#, Some(("t", 60))),
            ("access token", r#"{"access_token":"a","expires_in":300}"#, Some(("a", 300))),
            ("empty token", r#"{"token":"","access_token":"a"}"#, Some(("a", 60))),
            ("too short a life", r#"{"token":"t","expires_in":1}"#, Some(("t", 60))),
            ("none", r#"{"expires_in":1}"#, None),
            ("no JSON", "<html>", None),
        ];
        for (comment, body, expected) in table {
            let expected = expected.map(|(token, life)| (Secret::new(token), Duration::from_secs(life)));
            assert_eq!(read_token(body.as_bytes()), expected, "{comment}");
        }
    }

    #[test]
    fn push_covers_pull() {
        let (a, b): (Repository, Repository) = ("r.example/a".parse().unwrap(), "r.example/b".parse().unwrap());
        let ends = Instant::now() + SHORTEST_LIFE;
        let token =
            Token { header: HeaderValue::from_static("x"), scopes: vec![Scope::push(&a), Scope::pull(&b)], ends };
        let table: [(&[Scope], bool); 5] = [
            (&[Scope::push(&a)], true),
            (&[Scope::pull(&a)], true),
            (&[Scope::push(&a), Scope::pull(&b)], true),
            (&[Scope::push(&b)], false),
            (&[], true),
        ];
        for (scopes, expected) in table {
            assert_eq!(token.serves(scopes), expected, "{scopes:?}");
        }
        assert!(!Token { ends: Instant::now(), ..token }.serves(&[]), "about to end");
    }
}
