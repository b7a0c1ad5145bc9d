//! One tarball, from its registry or mirror into the store.

use std::fs::File;
use std::io::{Read as _, Write as _};

use reqwest::header::{HeaderMap, HeaderValue};
use reqwest::{Response, StatusCode};
use url::Url;

use super::credentials::Credentials;
use super::fetch::{Expected, Wanted};
use super::tarball_url::Location;
use super::verification::Verification;
use super::{NpmClient, NpmRegistryError, TARBALL_MEDIA_TYPE};
use crate::cancel::Cancellation;
use crate::digest::Hasher;
use crate::host::{self, HostError};
use crate::http::{Failed, GetError, next_piece, redacted};
use crate::manifest::Descriptor;
use crate::path::HostPath;
use crate::store::{NewBlob, Store};

const PIECE: usize = 256 << 10;

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
        let once = || self.download_once(wanted, url, store, cancellation);
        self.0.hosts.patiently(url, cancellation, once).await
    }

    async fn download_once(
        &self,
        wanted: &Wanted,
        url: &Url,
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<Descriptor, Failed<NpmRegistryError>> {
        let mut response = self.ask(wanted, url).await?;
        let announced = response.content_length();
        let mut tarball = Incoming::new(wanted, redacted(url), self.0.options.size_limit, store)?;
        if let Some(announced) = announced {
            tarball.fits(announced)?;
        }
        while let Some(piece) = next_piece(&mut response, url).await.map_err(|failed| wanted.failed(failed))? {
            cancellation.check().map_err(NpmRegistryError::from)?;
            tarball.take(&piece)?;
        }
        let finished = tarball.finish();
        finished.map_err(|error| {
            // Where nobody said how many bytes there are, the connection may have ended early.
            let may_be_short = announced.is_none() && matches!(error, NpmRegistryError::WrongIntegrity { .. });
            Failed::perhaps(error, may_be_short)
        })
    }

    /// The answer that holds the tarball.
    async fn ask(&self, wanted: &Wanted, url: &Url) -> Result<Response, Failed<NpmRegistryError>> {
        let credentials = self.0.options.settings.credentials(url);
        let header = credentials.and_then(Credentials::header);
        let at_once = header.clone().filter(|_| credentials.is_none_or(|credentials| !credentials.on_demand));
        let mut shown = at_once.is_some();
        let mut response = self.get(wanted, url, at_once.as_ref()).await?;
        if response.status() == StatusCode::UNAUTHORIZED && !shown && header.is_some() {
            shown = true;
            response = self.get(wanted, url, header.as_ref()).await?;
        }
        let status = response.status();
        if status.is_success() && status != StatusCode::PARTIAL_CONTENT {
            return Ok(response);
        }
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
        Err(Failed::refused(error, &response))
    }

    async fn get(
        &self,
        wanted: &Wanted,
        url: &Url,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, Failed<NpmRegistryError>> {
        let answer = self.0.hosts.get(url, &HeaderMap::new(), authorization).await;
        answer.map_err(|failed| wanted.failed(failed))
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
}

impl Wanted {
    fn failed(&self, failed: Failed<GetError>) -> Failed<NpmRegistryError> {
        failed.map(|error| NpmRegistryError::of(error, &self.label))
    }
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
