//! One tarball, from its registry or mirror into the store.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime};

use reqwest::header::{ACCEPT_ENCODING, AUTHORIZATION, HeaderValue, LOCATION};
use reqwest::{Response, StatusCode};
use tokio::time::{sleep, timeout};
use url::Url;

use super::credentials::Credentials;
use super::fetch::{Expected, Wanted};
use super::tarball_url::Location;
use super::verification::Verification;
use super::{NpmClient, NpmRegistryError, TARBALL_MEDIA_TYPE};
use crate::cancel::Cancellation;
use crate::digest::Hasher;
use crate::host::{self, HostError};
use crate::http::{Attempts, Failure, Limiter, failure, redacted, retry, safe_redirect, same_origin};
use crate::manifest::Descriptor;
use crate::path::HostPath;
use crate::store::{NewBlob, Store};

const REDIRECT_LIMIT: usize = 5;
/// A connection on which nothing moves for this long is given up.
const SILENCE_LIMIT: Duration = Duration::from_secs(60);
const PIECE: usize = 256 << 10;

/// A try that failed.
struct Failed {
    error: NpmRegistryError,
    /// Whether the next one may succeed, and how long the registry wants to wait for it.
    again: Option<Option<Duration>>,
}

impl<E: Into<NpmRegistryError>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self { error: error.into(), again: None }
    }
}

impl NpmClient {
    /// Brings a tarball into the store.
    pub(super) async fn download(
        &self,
        wanted: &Wanted,
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<Descriptor, NpmRegistryError> {
        let url = match &wanted.location {
            Location::Url(url) => url,
            Location::Directory(directory, names) => return self.copy(wanted, directory, names, store, cancellation),
        };
        let limiter = self.limiter(url);
        let mut attempts = Attempts::new(&self.0.options.retry);
        loop {
            cancellation.check()?;
            let permit = limiter.enter().await;
            let failed = match self.download_once(wanted, url, store, cancellation).await {
                Ok(descriptor) => return Ok(descriptor),
                Err(failed) => failed,
            };
            drop(permit);
            let wait = failed.again.and_then(|asked| Some((asked, attempts.next_wait(asked)?)));
            let Some((asked, wait)) = wait else { return Err(failed.error) };
            tracing::debug!("again in {wait:?}: {}", failed.error);
            if asked.is_some() {
                limiter.quiet(wait);
            }
            sleep(wait).await;
        }
    }

    async fn download_once(
        &self,
        wanted: &Wanted,
        url: &Url,
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<Descriptor, Failed> {
        let mut response = self.ask(wanted, url).await?;
        let announced = response.content_length();
        let mut tarball = Incoming::new(wanted, redacted(url), self.0.options.size_limit, store)?;
        if let Some(announced) = announced {
            tarball.fits(announced)?;
        }
        loop {
            cancellation.check()?;
            match timeout(SILENCE_LIMIT, response.chunk()).await {
                Ok(Ok(Some(piece))) => tarball.take(&piece)?,
                Ok(Ok(None)) => break,
                Ok(Err(error)) => return Err(unreachable(wanted, url, error)),
                Err(_) => return Err(silence(wanted, url)),
            }
        }
        let finished = tarball.finish();
        finished.map_err(|error| {
            // Where nobody said how many bytes there are, the connection may have ended early.
            let may_be_short = announced.is_none() && matches!(error, NpmRegistryError::WrongIntegrity { .. });
            Failed { error, again: may_be_short.then_some(None) }
        })
    }

    /// The answer that holds the tarball.
    async fn ask(&self, wanted: &Wanted, url: &Url) -> Result<Response, Failed> {
        let credentials = self.0.options.settings.credentials(url);
        let header = credentials.and_then(Credentials::header);
        let at_once = header.clone().filter(|_| credentials.is_none_or(|credentials| !credentials.on_demand));
        let mut shown = at_once.is_some();
        let mut response = self.follow(wanted, url, at_once.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && !shown && header.is_some() {
            shown = true;
            response = self.follow(wanted, url, header.as_ref()).await?;
        }
        let status = response.status();
        if status.is_success() && status != StatusCode::PARTIAL_CONTENT {
            return Ok(response);
        }
        let again = retry::is_temporary(status).then(|| retry::retry_after(response.headers(), SystemTime::now()));
        let (package, url, code) = (wanted.label.clone(), redacted(url), status.as_u16());
        let unset = credentials.and_then(|credentials| credentials.unset.clone());
        let error = match status {
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if shown => {
                NpmRegistryError::CredentialsRefused { package, status: code, url }
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                NpmRegistryError::CredentialsMissing { package, status: code, unset, url }
            }
            StatusCode::NOT_FOUND | StatusCode::GONE => NpmRegistryError::NotFound { package, status: code, url },
            StatusCode::TOO_MANY_REQUESTS => NpmRegistryError::RateLimited { package, url },
            _ => NpmRegistryError::Refused { package, status: code, url },
        };
        Err(Failed { error, again })
    }

    /// Sends a request and follows redirects. What is secret goes to the first host only.
    async fn follow(
        &self,
        wanted: &Wanted,
        first: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failed> {
        let (mut url, mut authorization) = (first.clone(), authorization);
        for _ in 0..=REDIRECT_LIMIT {
            let client = self.0.connections.to(&url);
            let client = client.map_err(|error| NpmRegistryError::Setup(error.to_string()))?;
            let request = client.get(url.clone());
            let mut request = request.header(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
            if let Some(authorization) = authorization {
                request = request.header(AUTHORIZATION, authorization.clone());
            }
            let response = match timeout(SILENCE_LIMIT, request.send()).await {
                Ok(Ok(response)) => response,
                Ok(Err(error)) => return Err(unreachable(wanted, &url, error)),
                Err(_) => return Err(silence(wanted, &url)),
            };
            let location = response.headers().get(LOCATION).filter(|_| follows(response.status()));
            let Some(location) = location else { return Ok(response) };
            let next = String::from_utf8_lossy(location.as_bytes());
            let next = url.join(next.trim()).map_err(|_| unsafe_redirect(wanted, &url))?;
            let next = safe_redirect(next, &url).map_err(|next| unsafe_redirect(wanted, &next))?;
            if !same_origin(&next, first) {
                authorization = None;
            }
            url = next;
        }
        Err(unsafe_redirect(wanted, &url).into())
    }

    /// The same from a directory.
    fn copy(
        &self,
        wanted: &Wanted,
        directory: &HostPath,
        names: &[String],
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<Descriptor, NpmRegistryError> {
        for path in names.iter().map(|name| directory.join(name)) {
            if !host::is_file(&path)? {
                continue;
            }
            let error = |source| HostError::new("read the file", &path, source);
            let mut file = File::open(&path).map_err(error)?;
            let mut tarball = Incoming::new(wanted, path.to_string(), self.0.options.size_limit, store)?;
            let mut piece = vec![0; PIECE];
            loop {
                cancellation.check()?;
                match file.read(&mut piece).map_err(error)? {
                    0 => return tarball.finish(),
                    length => tarball.take(&piece[..length])?,
                }
            }
        }
        Err(NpmRegistryError::NotInMirror { package: wanted.label.clone(), directory: directory.clone() })
    }

    fn limiter(&self, url: &Url) -> Arc<Limiter> {
        let host = url[url::Position::BeforeHost..url::Position::AfterPort].to_owned();
        let mut limiters = self.0.limiters.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(limiters.entry(host).or_insert_with(|| Arc::new(Limiter::new(self.0.options.concurrency))))
    }
}

fn follows(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301..=303 | 307 | 308)
}

fn unreachable(wanted: &Wanted, url: &Url, error: reqwest::Error) -> Failed {
    let error = error.without_url();
    let failure = Failure::of(&error);
    let error = NpmRegistryError::Unreachable {
        package: wanted.label.clone(),
        failure,
        reason: failure::innermost(&error),
        url: redacted(url),
    };
    Failed { error, again: (!matches!(failure, Failure::Tls | Failure::NotTls)).then_some(None) }
}

fn silence(wanted: &Wanted, url: &Url) -> Failed {
    let error = NpmRegistryError::Unreachable {
        package: wanted.label.clone(),
        failure: Failure::Silence,
        reason: "nothing came for too long".to_owned(),
        url: redacted(url),
    };
    Failed { error, again: Some(None) }
}

fn unsafe_redirect(wanted: &Wanted, url: &Url) -> NpmRegistryError {
    NpmRegistryError::UnsafeRedirect { package: wanted.label.clone(), url: redacted(url) }
}

/// A tarball on its way into the store. Dropped without [`Incoming::finish`], it leaves nothing behind.
struct Incoming<'a> {
    wanted: &'a Wanted,
    /// As it may be shown.
    from: String,
    limit: u64,
    store: &'a Store,
    blob: NewBlob,
    hasher: Hasher,
    verification: Option<Verification<'a>>,
    size: u64,
}

impl<'a> Incoming<'a> {
    fn new(wanted: &'a Wanted, from: String, limit: u64, store: &'a Store) -> Result<Self, NpmRegistryError> {
        let verification = match &wanted.expected {
            Expected::Integrity(integrity) => {
                let no_integrity =
                    || NpmRegistryError::NoIntegrity { package: wanted.label.clone(), url: from.clone() };
                Some(Verification::new(integrity).ok_or_else(no_integrity)?)
            }
            // The archive is made of a whole tarball.
            Expected::Archive(_) | Expected::Unknown => None,
        };
        let blob = store.new_blob_of_known_digest()?;
        Ok(Self { wanted, from, limit, store, blob, hasher: Hasher::default(), verification, size: 0 })
    }

    /// Whether a tarball of this size is taken.
    fn fits(&self, size: u64) -> Result<(), NpmRegistryError> {
        if size <= self.limit {
            return Ok(());
        }
        let package = self.wanted.label.clone();
        Err(NpmRegistryError::TooLarge { package, limit: self.limit, url: self.from.clone() })
    }

    fn take(&mut self, piece: &[u8]) -> Result<(), NpmRegistryError> {
        self.size += piece.len() as u64;
        self.fits(self.size)?;
        if let Some(verification) = &mut self.verification {
            verification.update(piece);
        }
        self.hasher.update(piece);
        Ok(self.blob.write_all(piece).map_err(|error| self.store.write_error(error))?)
    }

    fn finish(self) -> Result<Descriptor, NpmRegistryError> {
        if let Some(Err((expected, actual))) = self.verification.map(Verification::finish) {
            let package = self.wanted.label.clone();
            return Err(NpmRegistryError::WrongIntegrity { package, expected, actual, url: self.from });
        }
        let digest = self.hasher.finish();
        self.blob.keep(&digest)?;
        Ok(Descriptor::new(TARBALL_MEDIA_TYPE, digest, self.size))
    }
}
