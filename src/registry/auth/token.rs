//! Tokens: what they allow, where they come from, how long they last.
//!
//! Sources: `docs/spec/auth/token.md` and `oauth.md` of `distribution`.

use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use reqwest::{Method, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::time::Instant;
use url::{Url, form_urlencoded};

use super::scope::Scope;
use crate::http::Secret;
use crate::registry::answer::Answer;
use crate::registry::body::Body;
use crate::registry::credentials::Credentials;
use crate::registry::transport::{Request, Transport};
use crate::registry::{RegistryError, RegistryHost};

/// A token that says nothing of its life lives this long, and none is taken to live shorter.
const SHORTEST_LIFE: Duration = Duration::from_secs(60);
/// None is taken to live longer, whatever it says.
const LONGEST_LIFE: Duration = Duration::from_secs(86_400);
/// A token this close to its end is not used for a new request.
const MARGIN: Duration = Duration::from_secs(10);
const TOKEN_LIMIT: u64 = 1 << 20;
/// The user who stands for "the password is a token".
const TOKEN_USER: &str = "<token>";

/// A token and what it was asked for.
#[derive(Debug)]
pub(in crate::registry) struct Token {
    pub(in crate::registry) header: HeaderValue,
    scopes: Vec<Scope>,
    ends: Instant,
}

impl Token {
    /// Whether it allows all of `scopes` and will for a while.
    pub(in crate::registry) fn serves(&self, scopes: &[Scope]) -> bool {
        let allows = |wanted: &Scope| self.scopes.iter().any(|scope| scope.covers(wanted));
        self.ends > Instant::now() + MARGIN && scopes.iter().all(allows)
    }
}

/// A token service, as a challenge names it.
pub(in crate::registry) struct TokenService<'a> {
    /// The registry that it is for.
    pub(in crate::registry) registry: &'a RegistryHost,
    /// Its URL.
    pub(in crate::registry) realm: &'a Url,
    /// The name under which it knows the registry.
    pub(in crate::registry) service: Option<&'a str>,
}

impl TokenService<'_> {
    /// Asks for a token that allows `scopes`, the first of them first: some services look at no other.
    pub(in crate::registry) async fn token(
        &self,
        transport: &Transport,
        credentials: Option<&Credentials>,
        scopes: &[Scope],
    ) -> Result<Token, RegistryError> {
        let asked = Instant::now();
        let answer = self.answer(transport, credentials, scopes).await?;
        let now = answer.header(DATE.as_str()).and_then(|date| httpdate::parse_http_date(date.trim()).ok());
        let bytes = answer.bytes(TOKEN_LIMIT).await?;
        let (secret, life) = read_token(&bytes, now)
            .ok_or_else(|| RegistryError::not_a_registry(self.realm, "the token service sent no token"))?;
        Ok(Token { header: bearer(&secret)?, scopes: scopes.to_vec(), ends: asked + life })
    }

    async fn answer(
        &self,
        transport: &Transport,
        credentials: Option<&Credentials>,
        scopes: &[Scope],
    ) -> Result<Answer, RegistryError> {
        let request = match credentials {
            Some(Credentials::Identity(refresh)) => {
                let answer = Box::pin(transport.send(&self.refresh(refresh, scopes))).await?;
                // Services that know no POST (Google 404, Artifactory 401, ACR 400, others 405) may take the same as a
                // password.
                if !matches!(answer.status().as_u16(), 400 | 401 | 404 | 405) {
                    return self.granted(answer, true).await;
                }
                drop(answer);
                self.get_as(TOKEN_USER, refresh, scopes)?
            }
            Some(Credentials::Password { user, password }) => self.get_as(user, password, scopes)?,
            Some(Credentials::Registry(_)) | None => self.get(scopes),
        };
        let shown = request.headers.contains_key(AUTHORIZATION);
        self.granted(Box::pin(transport.send(&request)).await?, shown).await
    }

    /// The answer, if it is one with a token.
    async fn granted(&self, answer: Answer, shown: bool) -> Result<Answer, RegistryError> {
        match answer.status() {
            StatusCode::OK => Ok(answer),
            StatusCode::UNAUTHORIZED => Err(answer.unauthorized(self.registry, shown, None).await),
            _ => Err(answer.refusal().await),
        }
    }

    fn get_as(&self, user: &str, password: &Secret, scopes: &[Scope]) -> Result<Request<'static>, RegistryError> {
        let mut request = self.get(scopes);
        request.headers.insert(AUTHORIZATION, basic(user, password)?);
        Ok(request)
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

/// The token and its life, from a service's answer. A token that the service made some time before lives shorter: its age
/// is the difference of two times of that service, so that it is no matter what our clock shows.
fn read_token(bytes: &[u8], service_time: Option<SystemTime>) -> Option<(Secret, Duration)> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
        expires_in: Option<Value>,
        issued_at: Option<Value>,
    }
    let answer: Answer = serde_json::from_slice(bytes).ok()?;
    let token = [answer.token, answer.access_token].into_iter().flatten().find(|token| !token.is_empty())?;
    let life = answer.expires_in.as_ref().and_then(seconds).unwrap_or_default().max(SHORTEST_LIFE).min(LONGEST_LIFE);
    let issued = answer.issued_at.as_ref().and_then(Value::as_str).and_then(|text| text.parse::<Timestamp>().ok());
    let age = service_time.zip(issued).and_then(|(now, issued)| now.duration_since(issued.into()).ok());
    Some((Secret::new(token), life.saturating_sub(age.unwrap_or_default())))
}

/// A number of seconds, which some services write as a text or with a fraction.
fn seconds(value: &Value) -> Option<Duration> {
    let number = value.as_f64().or_else(|| value.as_str()?.trim().parse().ok())?;
    Duration::try_from_secs_f64(number).ok()
}

/// `Authorization: Bearer …`
pub(in crate::registry) fn bearer(token: &Secret) -> Result<HeaderValue, RegistryError> {
    secret_header(&format!("Bearer {}", token.reveal()))
}

/// `Authorization: Basic …`
pub(in crate::registry) fn basic(user: &str, password: &Secret) -> Result<HeaderValue, RegistryError> {
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
            ("both", r#"{"token":"t","access_token":"a","expires_in":300}"#, Some(("t", 300))),
            ("empty token", r#"{"token":"","access_token":"a"}"#, Some(("a", 60))),
            ("null", r#"{"token":null,"access_token":"a","expires_in":null}"#, Some(("a", 60))),
            ("too short a life", r#"{"token":"t","expires_in":1}"#, Some(("t", 60))),
            ("a life as text", r#"{"token":"t","expires_in":"120"}"#, Some(("t", 120))),
            ("a life with a fraction", r#"{"token":"t","expires_in":120.0}"#, Some(("t", 120))),
            ("a life before it began", r#"{"token":"t","expires_in":-5}"#, Some(("t", 60))),
            ("a life without end", r#"{"token":"t","expires_in":1e300}"#, Some(("t", 60))),
            ("a year", r#"{"token":"t","expires_in":31536000}"#, Some(("t", 86_400))),
            ("just made", r#"{"token":"t","expires_in":300,"issued_at":"2026-07-06T12:00:00Z"}"#, Some(("t", 300))),
            ("made before", r#"{"token":"t","expires_in":300,"issued_at":"2026-07-06T11:58:00Z"}"#, Some(("t", 180))),
            ("over", r#"{"token":"t","expires_in":300,"issued_at":"2026-07-06T11:00:00Z"}"#, Some(("t", 0))),
            ("made later", r#"{"token":"t","expires_in":300,"issued_at":"2026-07-06T12:05:00Z"}"#, Some(("t", 300))),
            ("no time", r#"{"token":"t","expires_in":300,"issued_at":"yesterday"}"#, Some(("t", 300))),
            ("a time as number", r#"{"token":"t","expires_in":300,"issued_at":0}"#, Some(("t", 300))),
            ("none", r#"{"expires_in":1}"#, None),
            ("no JSON", "<html>", None),
        ];
        let now = httpdate::parse_http_date("Mon, 06 Jul 2026 12:00:00 GMT").unwrap();
        for (comment, body, expected) in table {
            let expected = expected.map(|(token, life)| (Secret::new(token), Duration::from_secs(life)));
            assert_eq!(read_token(body.as_bytes(), Some(now)), expected, "{comment}");
        }
        let aged = br#"{"token":"t","expires_in":300,"issued_at":"2026-07-06T11:58:00Z"}"#;
        let life = read_token(aged, None).map(|(_, life)| life);
        assert_eq!(life, Some(Duration::from_secs(300)), "without the service's time its age is not known");
    }

    #[test]
    fn push_covers_pull() {
        use crate::registry::Repository;
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
