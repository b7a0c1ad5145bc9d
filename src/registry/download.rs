//! A blob on its way in: over as many requests as it takes, verified while it comes.
//!
//! Source: RFC 9110, "Range Requests"; OCI distribution-spec, "Pulling blobs".

use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::time::sleep;
use url::Url;

use super::answer::Answer;
use super::body::Meter;
use super::transport::Request;
use super::{Client, RegistryError};
use crate::digest::Hasher;
use crate::http::redacted;
use crate::manifest::Descriptor;

/// A blob on its way in.
pub(super) struct Download<'a> {
    descriptor: &'a Descriptor,
    hasher: Hasher,
    pub(super) done: u64,
    meter: Meter<'a>,
    /// Whether the registry understands what to resume means, as far as is known.
    resumes: bool,
}

impl<'a> Download<'a> {
    pub(super) fn of(descriptor: &'a Descriptor, on_bytes: &'a (dyn Fn(u64) + Sync)) -> Self {
        Self { descriptor, hasher: Hasher::default(), done: 0, meter: Meter::new(on_bytes), resumes: true }
    }

    /// Whether what has come is the blob.
    pub(super) async fn finish(self, sink: &mut (impl AsyncWrite + Unpin), url: &Url) -> Result<(), RegistryError> {
        sink.flush().await.map_err(RegistryError::Sink)?;
        let (expected, actual) = (self.descriptor.digest, self.hasher.finish());
        match actual == expected {
            true => Ok(()),
            false => Err(RegistryError::WrongDigest { expected, actual, url: redacted(url) }),
        }
    }

    async fn take(
        &mut self,
        piece: &[u8],
        sink: &mut (impl AsyncWrite + Unpin + Send),
        url: &Url,
    ) -> Result<(), RegistryError> {
        let (expected, actual) = (self.descriptor.size, self.done + piece.len() as u64);
        if actual > expected {
            return Err(RegistryError::WrongSize { expected, actual, url: redacted(url) });
        }
        sink.write_all(piece).await.map_err(RegistryError::Sink)?;
        self.hasher.update(piece);
        self.done = actual;
        self.meter.reach(actual);
        Ok(())
    }
}

impl Client {
    /// Fetches a blob from where `request` leads into `sink`.
    pub(super) async fn blob_at(
        &self,
        mut request: Request<'_>,
        descriptor: &Descriptor,
        sink: &mut (impl AsyncWrite + Unpin + Send),
        on_bytes: &(dyn Fn(u64) + Sync),
    ) -> Result<(), RegistryError> {
        let mut download = Download::of(descriptor, on_bytes);
        self.download(&mut request, &mut download, sink).await?;
        download.finish(sink, &request.url).await
    }

    /// As many requests for a blob as it takes.
    pub(super) async fn download(
        &self,
        request: &mut Request<'_>,
        download: &mut Download<'_>,
        sink: &mut (impl AsyncWrite + Unpin + Send),
    ) -> Result<(), RegistryError> {
        let mut attempts = self.transport.attempts();
        loop {
            let before = download.done;
            let Err(error) = self.download_rest(request, download, sink).await else { return Ok(()) };
            if download.done >= before + progress(download.descriptor.size) {
                attempts.forget();
            }
            let wait = error.is_broken_transfer().then(|| attempts.next_wait(None)).flatten();
            let Some(wait) = wait else { return Err(error) };
            sleep(wait).await;
        }
    }

    /// Takes up a download where it stopped, and brings as much of it as comes.
    async fn download_rest(
        &self,
        request: &mut Request<'_>,
        download: &mut Download<'_>,
        sink: &mut (impl AsyncWrite + Unpin + Send),
    ) -> Result<(), RegistryError> {
        let (mut answer, mut skip) = self.ask_for_rest(request, download).await?;
        let end = loop {
            match answer.piece().await {
                Ok(Some(piece)) => {
                    let known = skip.min(piece.len() as u64);
                    skip -= known;
                    let piece = &piece[usize::try_from(known).unwrap_or(piece.len())..];
                    download.take(piece, sink, &answer.url).await?;
                }
                Ok(None) => break Err(RegistryError::cut_short(&answer.url, download.done, download.descriptor.size)),
                Err(error) => break Err(error),
            }
        };
        // How a connection ends is no matter once everything has come.
        if download.done == download.descriptor.size { Ok(()) } else { end }
    }

    /// An answer that brings what is missing of a blob, after so many bytes of what is there already.
    async fn ask_for_rest(
        &self,
        request: &mut Request<'_>,
        download: &mut Download<'_>,
    ) -> Result<(Answer, u64), RegistryError> {
        if download.done > 0 && download.resumes {
            request.headers.insert(RANGE, range_from(download.done)?);
            let answer = self.transport.send(request).await?;
            match answer.status() {
                StatusCode::PARTIAL_CONTENT if range_start(answer.headers()) == Some(download.done) => {
                    return Ok((answer, 0));
                }
                StatusCode::OK => return Ok((answer, download.done)),
                // Not what was asked for, or nobody says what it is.
                StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE => download.resumes = false,
                _ => return Err(answer.refusal().await),
            }
            request.headers.remove(RANGE);
        }
        let answer = self.transport.send(request).await?;
        match answer.status() {
            // What is there already comes again, and is passed over.
            StatusCode::OK => Ok((answer, download.done)),
            _ => Err(answer.refusal().await),
        }
    }
}

/// How much of a blob of this size is progress, so that failures before it are forgotten.
pub(super) fn progress(size: u64) -> u64 {
    (size / 16).clamp(1, 1 << 20)
}

fn range_from(start: u64) -> Result<HeaderValue, RegistryError> {
    HeaderValue::try_from(format!("bytes={start}-")).map_err(|error| RegistryError::Setup(error.to_string()))
}

/// Where the bytes of a partial answer begin: `bytes 5-9/10` -> 5.
fn range_start(headers: &HeaderMap) -> Option<u64> {
    let range = headers.get(CONTENT_RANGE)?.to_str().ok()?.strip_prefix("bytes ")?;
    range.split_once('-')?.0.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let table =
            [("bytes 5-9/10", Some(5)), ("bytes 0-9/*", Some(0)), ("bytes */10", None), ("5-9", None), ("", None)];
        for (value, expected) in table {
            let headers = HeaderMap::from_iter([(CONTENT_RANGE, value.parse().unwrap())]);
            assert_eq!(range_start(&headers), expected, "{value}");
        }
    }
}
