//! One file of a repository over HTTP.

use std::io::Write;

use reqwest::StatusCode;
use reqwest::header::HeaderMap;
use url::Url;

use super::{ApkClient, ApkRepositoryError};
use crate::cancel::Cancellation;
use crate::http::{Failed, GetError, next_piece, redacted};

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

impl ApkClient {
    /// Fetches a file into what `new` makes, anew for each try.
    pub(super) async fn get<W: Write>(
        &self,
        wanted: &Wanted<'_>,
        cancellation: &Cancellation,
        new: impl Fn() -> Result<W, ApkRepositoryError>,
        write_error: impl Fn(std::io::Error) -> ApkRepositoryError,
    ) -> Result<Answer<W>, ApkRepositoryError> {
        let once = || async { self.get_once(wanted, cancellation, new()?, &write_error).await };
        self.0.hosts.patiently(wanted.url, cancellation, once).await
    }

    async fn get_once<W: Write>(
        &self,
        wanted: &Wanted<'_>,
        cancellation: &Cancellation,
        mut file: W,
        write_error: &impl Fn(std::io::Error) -> ApkRepositoryError,
    ) -> Result<Answer<W>, Failed<ApkRepositoryError>> {
        let failed = |failed: Failed<GetError>| failed.map(|error| ApkRepositoryError::of(error, wanted.what));
        let mut response = self.0.hosts.get(wanted.url, &wanted.headers, None).await.map_err(failed)?;
        match response.status() {
            StatusCode::OK => {}
            StatusCode::NOT_MODIFIED if !wanted.headers.is_empty() => return Ok(Answer::Unchanged),
            status => {
                let (what, url, status) = (wanted.what.to_owned(), redacted(wanted.url), status.as_u16());
                let error = match status {
                    404 | 410 => ApkRepositoryError::NotFound { what, status, url },
                    _ => ApkRepositoryError::Refused { what, status, url },
                };
                return Err(Failed::refused(error, &response));
            }
        }
        let mut bytes = 0;
        while let Some(piece) = next_piece(&mut response, wanted.url).await.map_err(failed)? {
            cancellation.check().map_err(ApkRepositoryError::from)?;
            bytes += piece.len() as u64;
            if bytes > wanted.limit {
                let (what, limit, from) = (wanted.what.to_owned(), wanted.limit, redacted(wanted.url));
                return Err(ApkRepositoryError::TooLarge { what, limit, from }.into());
            }
            file.write_all(&piece).map_err(write_error)?;
        }
        Ok(Answer::File(file, response.headers().clone()))
    }
}
