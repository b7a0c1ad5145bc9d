use std::time::{Duration, SystemTime};

use bytes::Bytes;
use reqwest::header::HeaderMap;
use reqwest::{Method, Response, StatusCode};
use tokio::time::timeout;
use url::Url;

use super::{Exchange, RegistryError, RegistryHost};
use crate::http::{Pace, Place, retry};

const ERROR_BODY_LIMIT: u64 = 64 << 10;

/// A registry's answer. Its place with the limiter is kept until it is read or dropped.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) method: Method,
    /// Where it came from, after redirects.
    pub(super) url: Url,
    pub(super) place: Option<Place>,
    pub(super) pace: Pace,
    /// How much of the body has come.
    pub(super) received: u64,
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

    /// How long the registry asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        retry::retry_after(self.headers(), SystemTime::now())
    }

    /// The next piece of the body; `None` at its end.
    pub(super) async fn piece(&mut self) -> Result<Option<Bytes>, RegistryError> {
        let silence = || RegistryError::silence(&self.method, &self.url);
        let left = self.pace.left(self.received).ok_or_else(silence)?;
        let piece = timeout(left, self.response.chunk()).await.map_err(|_| silence())?;
        let piece = piece.map_err(|error| RegistryError::unreachable(&self.method, &self.url, error))?;
        self.received += piece.as_ref().map_or(0, |piece| piece.len() as u64);
        Ok(piece)
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

    /// This answer as the 401 that it is, where credentials were `shown` or not.
    pub(super) async fn unauthorized(
        self,
        registry: &RegistryHost,
        shown: bool,
        problem: Option<String>,
    ) -> RegistryError {
        let (registry, exchange) = (registry.to_string(), Box::new(self.exchange().await));
        match shown {
            true => RegistryError::CredentialsRefused { registry, exchange },
            false => RegistryError::CredentialsMissing { registry, problem, exchange },
        }
    }

    /// This answer with what it says, for error texts.
    pub(super) async fn exchange(self) -> Exchange {
        let (method, url, status, retry_after) =
            (self.method.clone(), self.url.clone(), self.status(), self.retry_after());
        let body = self.bytes(ERROR_BODY_LIMIT).await.unwrap_or_default();
        Exchange { retry_after, ..Exchange::new(&method, &url, status, &body) }
    }
}
