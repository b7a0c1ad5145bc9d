//! What a registry asks for when it answers 401: the challenges of `WWW-Authenticate`.
//!
//! Sources: RFC 9110, section 11.6.1; `docs/spec/auth/token.md` of `distribution`.

use std::collections::BTreeMap;

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// A way to authenticate that pirogue knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) enum Challenge {
    /// The registry takes user and password itself.
    Basic,
    /// The registry takes a token, which the service at `realm` hands out.
    Bearer {
        /// The URL of the token service.
        realm: String,
        /// The name under which the token service knows the registry.
        service: Option<String>,
        /// What the token is to allow, as the registry says it.
        scope: Option<String>,
    },
}

/// The best challenge that pirogue can answer: a token before a password. Others (`Negotiate`) are passed over.
pub(in crate::registry) fn from_headers(headers: &HeaderMap) -> Option<Challenge> {
    let challenges: Vec<_> =
        headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok()).flat_map(parse).collect();
    let bearer = challenges.iter().find(|challenge| matches!(challenge, Challenge::Bearer { .. }));
    bearer.or(challenges.first()).cloned()
}

/// The challenges in one header value, which may hold several.
fn parse(value: &str) -> Vec<Challenge> {
    let mut challenges = Vec::new();
    let mut current: Option<(String, BTreeMap<String, String>)> = None;
    for item in split_items(value) {
        let (scheme, parameter) = split_scheme(item);
        if let Some(scheme) = scheme {
            challenges.extend(current.take().and_then(known));
            current = Some((scheme.to_ascii_lowercase(), BTreeMap::new()));
        }
        if let (Some((_, parameters)), Some((name, value))) = (&mut current, parameter.split_once('=')) {
            parameters.insert(name.trim().to_ascii_lowercase(), unquote(value.trim()));
        }
    }
    challenges.extend(current.and_then(known));
    challenges
}

fn known((scheme, mut parameters): (String, BTreeMap<String, String>)) -> Option<Challenge> {
    match scheme.as_str() {
        "basic" => Some(Challenge::Basic),
        "bearer" => {
            let mut parameter = |name| parameters.remove(name);
            Some(Challenge::Bearer {
                realm: parameter("realm")?,
                service: parameter("service"),
                scope: parameter("scope"),
            })
        }
        _ => None,
    }
}

/// Splits at commas outside quotes: a scope's actions hold commas too.
fn split_items(value: &str) -> Vec<&str> {
    let mut items = Vec::new();
    let (mut start, mut quoted, mut escaped) = (0, false, false);
    for (at, byte) in value.bytes().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted => {
                items.push(value[start..at].trim());
                start = at + 1;
            }
            _ => {}
        }
    }
    items.push(value[start..].trim());
    items
}

/// `Bearer realm="x"` is a scheme and its first parameter, `service="y"` a further parameter of the scheme before,
/// `Negotiate` a scheme alone.
fn split_scheme(item: &str) -> (Option<&str>, &str) {
    let word = item.find([' ', '=']).unwrap_or(item.len());
    let rest = item[word..].trim_start();
    if item.is_empty() || rest.starts_with('=') { (None, item) } else { (Some(&item[..word]), rest) }
}

fn unquote(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"') else { return value.to_owned() };
    let inner = inner.strip_suffix('"').unwrap_or(inner);
    let mut text = String::with_capacity(inner.len());
    let mut characters = inner.chars();
    while let Some(character) = characters.next() {
        text.extend(if character == '\\' { characters.next() } else { Some(character) });
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: service.map(str::to_owned), scope: None }
    }

    fn scoped(realm: &str, service: &str, scope: &str) -> Challenge {
        Challenge::Bearer { realm: realm.into(), service: Some(service.into()), scope: Some(scope.into()) }
    }

    #[test]
    fn the_best_known_challenge_is_taken() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let table: [(&str, &[&str], Option<Challenge>); 11] = [
            ("none", &[], None),
            ("basic", &[r#"Basic realm="Registry Realm""#], Some(Challenge::Basic)),
            (
                "Docker Hub",
                &[hub],
                Some(scoped("https://auth.docker.io/token", "registry.docker.io", "repository:a/b:pull,push")),
            ),
            ("two headers", &["Negotiate", "Basic realm=x"], Some(Challenge::Basic)),
            ("two in one header", &["Negotiate, Basic realm=\"x\""], Some(Challenge::Basic)),
            (
                "a token before a password",
                &[r#"Basic realm="x", Bearer realm="https://t/""#],
                Some(bearer("https://t/", None)),
            ),
            ("spaces and case", &[r#"bEARER Realm = "https://t/" , SERVICE=s"#], Some(bearer("https://t/", Some("s")))),
            ("escapes", &[r#"Bearer realm="https://t/",service="a\"b,c""#], Some(bearer("https://t/", Some("a\"b,c")))),
            ("no realm", &[r#"Bearer service="s""#], None),
            ("unknown only", &["Negotiate abc=="], None),
            ("rubbish", &[",,=\"", "\"", ""], None),
        ];
        for (comment, values, expected) in table {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(WWW_AUTHENTICATE, value.parse().unwrap());
            }
            assert_eq!(from_headers(&headers), expected, "{comment}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(value in "[a-zA-Z \t=,\"\\\\]{0,40}|\\PC{0,20}") {
            parse(&value);
        }
    }
}
