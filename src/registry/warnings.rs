//! What registries tell their users in the headers of answers.
//!
//! Sources: OCI distribution-spec, "Warnings"; RFC 7234, section 5.5.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use reqwest::header::{HeaderMap, WARNING};

use crate::http::printable;

/// A registry that has more to say than this is not listened to.
const LIMIT: usize = 20;

/// Who is told of warnings: of each once.
#[derive(Clone, Default)]
pub struct Warnings {
    listener: Option<Arc<dyn Fn(&str) + Send + Sync>>,
    told: Arc<Mutex<BTreeSet<String>>>,
}

impl Warnings {
    /// Tells `listener`.
    pub fn to(listener: impl Fn(&str) + Send + Sync + 'static) -> Self {
        Self { listener: Some(Arc::new(listener)), told: Arc::default() }
    }

    /// Passes on what these headers of an answer of `host` say.
    pub(super) fn note(&self, host: &str, headers: &HeaderMap) {
        let Some(listener) = &self.listener else { return };
        for text in headers.get_all(WARNING).iter().filter_map(|value| value.to_str().ok()).flat_map(texts) {
            let text = format!("the registry {host} says: {}", printable(&text));
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.len() < LIMIT && told.insert(text.clone()) {
                drop(told);
                listener(&text);
            }
        }
    }
}

impl fmt::Debug for Warnings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Warnings").finish_non_exhaustive()
    }
}

/// The texts of a header's value, which may hold several warnings: `299 - "text"`, with a date after it or without.
/// Other codes are of caches on the way and say nothing of the registry.
fn texts(value: &str) -> Vec<String> {
    let mut texts = Vec::new();
    let mut rest = value;
    while let Some((head, quoted)) = rest.split_once('"') {
        let (mut text, mut length, mut escaped) = (String::new(), quoted.len(), false);
        for (at, c) in quoted.char_indices() {
            match c {
                '"' if !escaped => {
                    length = at + 1;
                    break;
                }
                '\\' if !escaped => escaped = true,
                _ => {
                    escaped = false;
                    text.push(c);
                }
            }
        }
        if head.trim_start_matches([',', ' ', '\t']).starts_with("299 ") && !text.trim().is_empty() {
            texts.push(text);
        }
        rest = &quoted[length..];
    }
    texts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn warnings_in_headers() {
        let table: [(&str, &str, &[&str]); 9] = [
            ("one", r#"299 - "Your quota is 90% used""#, &["Your quota is 90% used"]),
            ("with a host", r#"299 r.example "text""#, &["text"]),
            ("several", r#"299 - "one", 299 - "two, three""#, &["one", "two, three"]),
            ("with a date", r#"299 - "one" "Mon, 06 Jul 2026 12:00:00 GMT", 299 - "two""#, &["one", "two"]),
            ("escapes", r#"299 - "a \"b\" \\c""#, &[r#"a "b" \c"#]),
            ("of a cache", r#"110 - "Response is Stale""#, &[]),
            ("no end", r#"299 - "text"#, &["text"]),
            ("no text", "299 - text", &[]),
            ("nothing", r#"299 - """#, &[]),
        ];
        for (comment, value, expected) in table {
            assert_eq!(texts(value), expected, "{comment}");
        }
    }

    #[test]
    fn each_is_told_once() {
        let heard = Arc::new(Mutex::new(Vec::new()));
        let ear = Arc::clone(&heard);
        let warnings = Warnings::to(move |text| ear.lock().unwrap().push(text.to_owned()));
        for value in ["299 - \"a\"", "299 - \"a\", 299 - \"b\tc\"", "299 - \"a\""] {
            warnings.note("r.example", &HeaderMap::from_iter([(WARNING, value.parse().unwrap())]));
        }
        assert_eq!(*heard.lock().unwrap(), ["the registry r.example says: a", "the registry r.example says: b c"]);
        for number in 0..100 {
            let value = format!("299 - \"{number}\"").parse().unwrap();
            warnings.note("r.example", &HeaderMap::from_iter([(WARNING, value)]));
        }
        assert_eq!(heard.lock().unwrap().len(), LIMIT);
    }

    proptest::proptest! {
        #[test]
        fn any_header_is_read(value in "[29 \",\\\\-]{0,30}|\\PC{0,20}") {
            texts(&value);
        }
    }
}
