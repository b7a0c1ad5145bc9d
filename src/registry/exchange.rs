use std::fmt;
use std::time::Duration;

use reqwest::{Method, StatusCode};
use serde::Deserialize;
use url::Url;

use crate::http::{printable, redacted};

/// One request and the answer that ended it, for error texts. Holds no secret: of the URL's query only the names stay.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The method, such as `GET`.
    pub method: Method,
    /// The URL, with the values of its query blotted out.
    pub url: String,
    /// The status.
    pub status: StatusCode,
    /// The error code of the distribution-spec ("Error Codes"), such as `NAME_UNKNOWN`.
    pub code: Option<String>,
    /// The registry's own words.
    pub message: Option<String>,
    /// How long the registry asks to be left alone, `Retry-After`.
    pub retry_after: Option<Duration>,
}

impl Exchange {
    /// Reads an error answer's body: JSON by the spec, or else nothing. Statuses tell more than bodies do.
    pub(super) fn new(method: &Method, url: &Url, status: StatusCode, body: &[u8]) -> Self {
        #[derive(Deserialize)]
        struct Body {
            errors: Vec<Entry>,
        }
        #[derive(Deserialize)]
        struct Entry {
            code: Option<String>,
            message: Option<String>,
        }
        let entry = serde_json::from_slice::<Body>(body).ok().and_then(|body| body.errors.into_iter().next());
        let (code, message) = entry.map_or((None, None), |entry| (entry.code, entry.message));
        Self {
            method: method.clone(),
            url: redacted(url),
            status,
            code: code.map(|text| printable(&text)),
            message: message.map(|text| printable(&text)).filter(|text| !text.is_empty()),
            retry_after: None,
        }
    }

    /// Whether the registry named this error code of the distribution-spec.
    pub fn has_code(&self, code: &str) -> bool {
        self.code.as_deref() == Some(code)
    }
}

impl fmt::Display for Exchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "status {}", self.status.as_u16())?;
        if let Some(code) = &self.code {
            write!(f, " `{code}`")?;
        }
        if let Some(message) = &self.message {
            write!(f, " ({message})")?;
        }
        write!(f, ": `{} {}`", self.method, self.url)
    }
}
