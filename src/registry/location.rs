//! Where a registry sends its client next: `Location` headers and token services, and which of them are followed.
//!
//! Source: OCI distribution-spec, "Pushing blobs"; RFC 9110, section 10.2.2.

use reqwest::header::{HeaderMap, LOCATION};
use url::Url;

use crate::digest::Digest;
use crate::http::{self, redacted};

use super::RegistryError;

/// The URL that the `Location` of an answer to `base` names, if there is one: relative, or absolute and then checked.
pub(super) fn from_headers(headers: &HeaderMap, base: &Url) -> Result<Option<Url>, RegistryError> {
    let Some(value) = headers.get(LOCATION) else { return Ok(None) };
    let text = String::from_utf8_lossy(value.as_bytes());
    let joined = base.join(text.trim()).map_err(|_| RegistryError::not_a_registry(base, "its `Location` is no URL"))?;
    checked(joined, base).map(Some)
}

/// Checks a URL that an answer to `base` names.
pub(super) fn checked(url: Url, base: &Url) -> Result<Url, RegistryError> {
    http::safe_redirect(url, base).map_err(|url| RegistryError::UnsafeLocation { url: redacted(&url) })
}

/// The URL that ends an upload: `digest` is appended, everything that is there stays as it is, byte for byte.
pub(super) fn with_digest(mut url: Url, digest: Digest) -> Url {
    let digest = format!("digest=sha256%3A{}", digest.hex());
    let query = match url.query() {
        None | Some("") => digest,
        Some(query) => format!("{query}&{digest}"),
    };
    url.set_query(Some(&query));
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    fn resolve(base: &str, location: &str) -> Option<String> {
        let headers = HeaderMap::from_iter([(LOCATION, location.parse().unwrap())]);
        from_headers(&headers, &base.parse().unwrap()).ok().flatten().map(String::from)
    }

    #[test]
    fn locations() {
        let base = "https://r.example/v2/a/blobs/uploads/";
        let table = [
            ("absolute path", base, "/v2/a/blobs/uploads/1", Some("https://r.example/v2/a/blobs/uploads/1")),
            ("relative path", base, "1?x=y", Some("https://r.example/v2/a/blobs/uploads/1?x=y")),
            ("another host", base, "https://s3.example/b?sig=a%2Fb+c", Some("https://s3.example/b?sig=a%2Fb+c")),
            ("without a scheme", base, "//s3.example/b", Some("https://s3.example/b")),
            ("TLS proxy", base, "http://r.example/v2/u", Some("https://r.example/v2/u")),
            ("TLS proxy, port", "https://r.example:8443/v2/", "http://r.example/u", Some("https://r.example:8443/u")),
            ("downgrade", base, "http://s3.example/b", None),
            ("file", base, "file:///etc/passwd", None),
            ("metadata service", base, "https://169.254.169.254/", None),
            ("private", base, "https://10.1.2.3/", None),
            ("mapped", base, "https://[::ffff:127.0.0.1]/", None),
            (
                "private to private",
                "http://127.0.0.1:5000/v2/",
                "http://127.0.0.1:6000/u",
                Some("http://127.0.0.1:6000/u"),
            ),
            ("upgrade", "http://127.0.0.1:5000/v2/", "https://r.example/u", Some("https://r.example/u")),
        ];
        for (comment, base, location, expected) in table {
            assert_eq!(resolve(base, location).as_deref(), expected, "{comment}");
        }
    }

    #[test]
    fn the_digest_is_appended() {
        let digest = Digest::of(b"");
        let end = format!("digest=sha256%3A{}", digest.hex());
        let table = [
            ("no query", "https://r/u", format!("https://r/u?{end}")),
            ("empty query", "https://r/u?", format!("https://r/u?{end}")),
            (
                "state",
                "https://r/u?_state=a%2B/==&_nouploadcache",
                format!("https://r/u?_state=a%2B/==&_nouploadcache&{end}"),
            ),
        ];
        for (comment, url, expected) in table {
            assert_eq!(with_digest(url.parse().unwrap(), digest).as_str(), expected, "{comment}");
        }
    }
}
