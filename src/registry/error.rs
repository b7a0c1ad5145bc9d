//! What can go wrong between pirogue and a registry, told as situations.

use std::fmt;
use std::io;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use url::Url;

use super::Reference;
use super::exchange::Exchange;
use crate::digest::Digest;
use crate::http::{Failure, failure, redacted, retry};

/// What went wrong between pirogue and a registry.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Answered 401, and there were no credentials to show.
    #[error("the registry `{registry}` wants credentials, and there are none for it, {exchange}")]
    CredentialsMissing {
        /// The registry.
        registry: String,
        /// Why none were found although some are configured.
        problem: Option<String>,
        /// The last answer.
        exchange: Box<Exchange>,
    },
    /// Answered 401 to the credentials shown.
    #[error("the registry `{registry}` does not accept the credentials, {exchange}")]
    CredentialsRefused {
        /// The registry.
        registry: String,
        /// The last answer.
        exchange: Box<Exchange>,
    },
    /// Answered 403.
    #[error("the registry denies access, {0}")]
    Denied(Box<Exchange>),
    /// The repository is not known.
    #[error("the registry does not know the repository, {0}")]
    RepositoryUnknown(Box<Exchange>),
    /// The manifest or blob is not there.
    #[error("the registry does not have it, {0}")]
    NotFound(Box<Exchange>),
    /// Too many requests, for longer than is worth waiting.
    #[error("the registry wants fewer requests, {0}")]
    RateLimited(Box<Exchange>),
    /// Something on the way takes no body this large.
    #[error("the body is too large for the registry or a proxy before it, {0}")]
    TooLarge(Box<Exchange>),
    /// The tag names another image already, and the registry lets no tag be changed.
    #[error("the registry keeps the tag `{tag}`, which names another image, {exchange}")]
    ImmutableTag {
        /// The tag.
        tag: String,
        /// The last answer.
        exchange: Box<Exchange>,
    },
    /// A certificate for a registry cannot be used.
    #[error("cannot use a certificate ({reason}): `{path}`")]
    Certificate {
        /// What is wrong with it.
        reason: String,
        /// The file or directory, or the host that it is for.
        path: String,
    },
    /// Any other refusal.
    #[error("the registry refused, {0}")]
    Refused(Box<Exchange>),
    /// No answer: the connection failed.
    #[error("cannot talk to the registry ({reason}): `{method} {url}`")]
    Unreachable {
        /// What kind of failure.
        failure: Failure,
        /// What the network said.
        reason: String,
        /// The method.
        method: Method,
        /// The URL, redacted.
        url: String,
    },
    /// The bytes are not those that were asked for or sent.
    #[error("the digest is `{actual}` and not `{expected}`: `{url}`")]
    WrongDigest {
        /// The digest asked for.
        expected: Digest,
        /// The digest of what came.
        actual: Digest,
        /// Where from, redacted.
        url: String,
    },
    /// More or fewer bytes than the descriptor says.
    #[error("the size is {actual} bytes (as far as read) and not {expected}: `{url}`")]
    WrongSize {
        /// The size asked for.
        expected: u64,
        /// How many bytes came.
        actual: u64,
        /// Where from, redacted.
        url: String,
    },
    /// A manifest of more than [`crate::manifest::MANIFEST_LIMIT`] bytes.
    #[error("a manifest is larger than {} bytes: `{url}`", crate::manifest::MANIFEST_LIMIT)]
    ManifestTooLarge {
        /// Where from or where to, redacted.
        url: String,
    },
    /// The answer is none a registry gives.
    #[error("the answer is not that of a registry ({reason}): `{url}`")]
    NotARegistry {
        /// What is odd about it.
        reason: String,
        /// The URL, redacted.
        url: String,
    },
    /// The registry sends its client where no client should go.
    #[error("the registry leads to an unsafe address: `{url}`")]
    UnsafeLocation {
        /// Where it leads, redacted.
        url: String,
    },
    /// A file to upload cannot be read, or changed since it was described.
    #[error("cannot read a blob to upload ({reason}): `{path}`")]
    Source {
        /// What is wrong.
        reason: String,
        /// The file.
        path: String,
    },
    /// The place that a download is written to takes no more.
    #[error("cannot write a downloaded blob: {0}")]
    Sink(#[source] io::Error),
    /// The HTTP client cannot be set up.
    #[error("cannot set up the HTTP client: {0}")]
    Setup(String),
}

impl RegistryError {
    /// Names the situation of an error answer other than 401.
    pub(super) fn refused(exchange: Exchange) -> Self {
        let status = exchange.status;
        let name_unknown = exchange.has_code("NAME_UNKNOWN");
        let exchange = Box::new(exchange);
        match status {
            StatusCode::FORBIDDEN => Self::Denied(exchange),
            StatusCode::NOT_FOUND if name_unknown => Self::RepositoryUnknown(exchange),
            StatusCode::NOT_FOUND => Self::NotFound(exchange),
            StatusCode::TOO_MANY_REQUESTS => Self::RateLimited(exchange),
            StatusCode::PAYLOAD_TOO_LARGE => Self::TooLarge(exchange),
            _ => Self::Refused(exchange),
        }
    }

    /// A refusal of a manifest, as one of its tag if that is what the registry means. There is no code for it: ECR says
    /// `TAG_INVALID`, Harbor 412, ACR 405, Nexus 400; only their words tell.
    pub(super) fn of_an_immutable_tag(self, reference: &Reference) -> Self {
        const WORDS: [&str; 5] =
            ["immutab", "cannot be overwritten", "does not allow updating", "tag already exists", "tag is locked"];
        let (Some(tag), Some(exchange)) = (reference.tag(), self.exchange()) else { return self };
        let said = format!("{} {}", exchange.code.as_deref().unwrap_or(""), exchange.message.as_deref().unwrap_or(""));
        let said = said.to_lowercase();
        match exchange.status.is_client_error() && WORDS.iter().any(|words| said.contains(words)) {
            true => Self::ImmutableTag { tag: tag.to_owned(), exchange: Box::new(exchange.clone()) },
            false => self,
        }
    }

    pub(super) fn unreachable(method: &Method, url: &Url, error: reqwest::Error) -> Self {
        let error = error.without_url();
        Self::Unreachable {
            failure: Failure::of(&error),
            reason: failure::innermost(&error),
            method: method.clone(),
            url: redacted(url),
        }
    }

    pub(super) fn silence(method: &Method, url: &Url) -> Self {
        Self::Unreachable {
            failure: Failure::Silence,
            reason: "nothing came for too long".to_owned(),
            method: method.clone(),
            url: redacted(url),
        }
    }

    pub(super) fn cut_short(url: &Url, actual: u64, expected: u64) -> Self {
        Self::Unreachable {
            failure: Failure::Broken,
            reason: format!("{actual} of {expected} bytes came"),
            method: Method::GET,
            url: redacted(url),
        }
    }

    pub(super) fn not_a_registry(url: &Url, reason: &str) -> Self {
        Self::NotARegistry { reason: reason.to_owned(), url: redacted(url) }
    }

    pub(super) fn source(path: &std::path::Path, reason: impl fmt::Display) -> Self {
        Self::Source { reason: reason.to_string(), path: path.display().to_string() }
    }

    /// The request and answer behind this error, if there was an answer.
    pub fn exchange(&self) -> Option<&Exchange> {
        match self {
            Self::CredentialsMissing { exchange, .. }
            | Self::CredentialsRefused { exchange, .. }
            | Self::Denied(exchange)
            | Self::RepositoryUnknown(exchange)
            | Self::NotFound(exchange)
            | Self::RateLimited(exchange)
            | Self::TooLarge(exchange)
            | Self::ImmutableTag { exchange, .. }
            | Self::Refused(exchange) => Some(exchange),
            _ => None,
        }
    }

    /// Whether the same call may succeed later, with nothing changed on this side.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Unreachable { failure, .. } => !matches!(failure, Failure::Tls | Failure::NotTls),
            _ => self.exchange().is_some_and(|exchange| retry::is_temporary(exchange.status)),
        }
    }

    /// How long the registry asks to be left alone.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        self.exchange()?.retry_after
    }

    /// Whether a registry says that it misses blobs which a manifest names. Artifactory says no more than that the manifest
    /// is invalid.
    pub(super) fn is_about_missing_blobs(&self) -> bool {
        let codes = ["MANIFEST_BLOB_UNKNOWN", "BLOB_UNKNOWN", "MANIFEST_INVALID"];
        self.exchange().is_some_and(|exchange| codes.iter().any(|code| exchange.has_code(code)))
    }

    /// Whether a transfer broke off on its way, so that it may be taken up where it stopped.
    pub(super) fn is_broken_transfer(&self) -> bool {
        matches!(self, Self::Unreachable { failure: Failure::Broken | Failure::Silence, .. })
    }

    /// Whether the registry's reason lies in who asks, not in what is asked.
    pub(super) fn is_about_access(&self) -> bool {
        matches!(self, Self::CredentialsMissing { .. } | Self::CredentialsRefused { .. } | Self::Denied(_))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(status: u16, body: &str) -> Exchange {
        let url: Url = "https://u:p@r.example/v2/a/blobs/uploads/1?_state=secret&digest=sha256:1&x".parse().unwrap();
        Exchange::new(&Method::PUT, &url, StatusCode::from_u16(status).unwrap(), body.as_bytes())
    }

    #[test]
    fn texts_hold_the_facts_and_no_secret() {
        let url = "`PUT https://r.example/v2/a/blobs/uploads/1?_state=***&digest=sha256:1&x`";
        let spec = r#"{"errors":[{"code":"NAME_UNKNOWN","message":"repository name\nnot known","detail":{}}]}"#;
        let table = [
            (
                404,
                spec,
                format!(
                    "the registry does not know the repository, status 404 `NAME_UNKNOWN` (repository name not known): {url}"
                ),
            ),
            (404, "<html>", format!("the registry does not have it, status 404: {url}")),
            (403, r#"{"errors":[]}"#, format!("the registry denies access, status 403: {url}")),
            (429, "", format!("the registry wants fewer requests, status 429: {url}")),
        ];
        for (status, body, expected) in table {
            assert_eq!(RegistryError::refused(exchange(status, body)).to_string(), expected);
        }
    }

    #[test]
    fn tags_that_are_kept() {
        let ecr = "The image tag '1.0' already exists in the 'shop/web' repository and cannot be overwritten because the \
                   repository is immutable.";
        let table = [
            ("ECR", 400, "TAG_INVALID", ecr, true),
            (
                "Harbor",
                412,
                "PRECONDITION",
                "Failed to process request due to 'web:1.0' configured as immutable.",
                true,
            ),
            ("Nexus", 400, "BLOB_UPLOAD_INVALID", "Repository does not allow updating assets: docker", true),
            ("a bad manifest", 400, "MANIFEST_INVALID", "manifest invalid", false),
            ("no right", 403, "DENIED", "requested access to the resource is denied", false),
            ("a broken registry", 500, "UNKNOWN", "immutable cache failed", false),
        ];
        let reference: Reference = "r.example/shop/web:1.0".parse().unwrap();
        for (comment, status, code, message, expected) in table {
            let body = serde_json::json!({"errors": [{"code": code, "message": message}]}).to_string();
            let error = RegistryError::refused(exchange(status, &body)).of_an_immutable_tag(&reference);
            assert_eq!(matches!(error, RegistryError::ImmutableTag { .. }), expected, "{comment}: {error}");
        }
    }

    #[test]
    fn statuses_that_pass() {
        let table = [(429, true), (503, true), (408, true), (404, false), (403, false), (501, false), (400, false)];
        for (status, expected) in table {
            assert_eq!(RegistryError::refused(exchange(status, "")).is_temporary(), expected, "{status}");
        }
    }
}
