//! Credentials for registries, and for which requests they may be used.
//!
//! Source: npm's `npm-registry-fetch` (`lib/auth.js`): credentials lie under `//HOST[:PORT]/PATH/`, and the longest
//! path that a request lies below wins.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use reqwest::header::HeaderValue;
use url::Url;

use crate::http::Secret;

/// The part of a registry's address that credentials are kept under: host, port and path without the scheme.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    /// In lower case, with the port where one is written.
    host: String,
    /// Begins and ends with a slash.
    path: String,
}

impl Place {
    /// Reads `//HOST[:PORT][/PATH][/]`, with or without a scheme before it.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let written = text.split_once("//").filter(|(scheme, _)| scheme.is_empty() || scheme.ends_with(':'))?.1;
        // Through a URL, so that both sides are written alike. The scheme's own port is left out there.
        let url = Url::parse(&format!("https://{written}")).ok()?;
        Self::of(&url)
    }

    /// The place of a URL.
    pub(super) fn of(url: &Url) -> Option<Self> {
        let host = match url.port().filter(|port| !matches!((url.scheme(), port), ("http", 80) | ("https", 443))) {
            Some(port) => format!("{}:{port}", url.host_str()?),
            None => url.host_str()?.to_owned(),
        };
        Some(Self { host, path: format!("{}/", url.path().trim_end_matches('/')) })
    }

    /// Whether a URL lies at this place or below it.
    fn holds(&self, other: &Self) -> bool {
        self.host == other.host && other.path.starts_with(&self.path)
    }
}

/// What is shown to a registry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) token: Option<Secret>,
    /// `USER:PASSWORD` in Base64.
    pub(super) basic: Option<Secret>,
    pub(super) user: Option<String>,
    pub(super) password: Option<Secret>,
    /// A variable that is named for them and not set.
    pub(super) unset: Option<String>,
    /// Whether they are shown only to who asks (yarn without `npmAlwaysAuth`).
    pub(super) on_demand: bool,
}

impl Credentials {
    /// The value of `Authorization`; `None` if they are not complete, or hold what HTTP does not allow.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        let value = match (&self.token, &self.basic, &self.user, &self.password) {
            (Some(token), ..) => format!("Bearer {}", token.reveal()),
            (None, Some(basic), ..) => format!("Basic {}", basic.reveal()),
            (None, None, Some(user), Some(password)) => {
                format!("Basic {}", STANDARD.encode(format!("{user}:{}", password.reveal())))
            }
            _ => return None,
        };
        let mut value = HeaderValue::try_from(value).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Takes what `other` has and this lacks.
    fn fill_from(&mut self, other: &Self) {
        if self == &Self::default() {
            *self = other.clone();
        }
    }
}

/// The credentials of all registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Keyring(BTreeMap<Place, Credentials>);

impl Keyring {
    /// The credentials for a place, to be changed.
    pub(super) fn entry(&mut self, place: Place) -> &mut Credentials {
        self.0.entry(place).or_default()
    }

    /// Those that the longest path leads to.
    pub(super) fn for_url(&self, url: &Url) -> Option<&Credentials> {
        let place = Place::of(url)?;
        let fitting = self.0.iter().filter(|(held, _)| held.holds(&place));
        fitting.max_by_key(|(held, _)| held.path.len()).map(|(_, credentials)| credentials)
    }

    /// Adds what `other` has for places that have nothing here.
    pub(super) fn fill_from(&mut self, other: Self) {
        for (place, credentials) in other.0 {
            self.entry(place).fill_from(&credentials);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(text: &str) -> Credentials {
        Credentials { token: Some(Secret::new(text)), ..Credentials::default() }
    }

    #[test]
    fn the_longest_path_of_the_right_host_wins() {
        let mut keyring = Keyring::default();
        for (place, text) in [("//h.example/", "host"), ("//h.example/a/", "a"), ("//h.example:8443/", "port")] {
            *keyring.entry(Place::parse(place).unwrap()) = token(text);
        }
        let table = [
            ("https://h.example/x/-/x-1.tgz", Some("host")),
            ("https://h.example/a/x/-/x-1.tgz", Some("a")),
            ("https://H.EXAMPLE/a/", Some("a")),
            ("https://h.example/a", Some("a")),
            ("https://h.example/ab/x.tgz", Some("host")),
            ("https://h.example:443/a/x", Some("a")),
            ("https://h.example:8443/a/x", Some("port")),
            ("https://h.example:9000/a/x", None),
            ("https://h.example.org/a/x", None),
            ("https://sub.h.example/a/x", None),
            ("https://other.example/h.example/a/", None),
        ];
        for (url, expected) in table {
            let found = keyring.for_url(&url.parse().unwrap()).cloned();
            assert_eq!(found, expected.map(token), "{url}");
        }
    }

    #[test]
    fn headers() {
        let secret = |text: &str| Some(Secret::new(text));
        let table = [
            ("a token", token("t"), Some("Bearer t")),
            ("encoded", Credentials { basic: secret("dTpw"), ..Credentials::default() }, Some("Basic dTpw")),
            (
                "user and password",
                Credentials { user: Some("u".into()), password: secret("p"), ..Credentials::default() },
                Some("Basic dTpw"),
            ),
            ("no password", Credentials { user: Some("u".into()), ..Credentials::default() }, None),
            ("a line break", token("a\nb"), None),
        ];
        for (comment, credentials, expected) in table {
            let header = credentials.header();
            assert_eq!(header.as_ref().map(HeaderValue::as_bytes), expected.map(str::as_bytes), "{comment}");
            assert!(header.is_none_or(|header| header.is_sensitive()), "{comment}");
            assert!(!format!("{credentials:?}").contains("dTpw"), "{comment}");
        }
    }

    #[test]
    fn places() {
        let table = [
            ("//h/", Some(("h", "/"))),
            ("//h", Some(("h", "/"))),
            ("https://h/a/b", Some(("h", "/a/b/"))),
            ("//H:4873/a/", Some(("h:4873", "/a/"))),
            ("h/", None),
            ("//", None),
            ("a b//h/", None),
        ];
        for (text, expected) in table {
            let expected = expected.map(|(host, path)| Place { host: host.into(), path: path.into() });
            assert_eq!(Place::parse(text), expected, "{text}");
        }
    }
}
