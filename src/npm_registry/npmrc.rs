//! `.npmrc`: the keys and values of one file.
//!
//! Source: the npm package `ini` (`lib/ini.js`), which npm and pnpm read it with.

/// The keys and values outside of sections, in their order. Nothing in such a file is an error.
pub fn parse(text: &str) -> Vec<(String, String)> {
    let mut entries = Vec::new();
    for line in text.trim_start_matches('\u{feff}').lines().map(str::trim) {
        if line.starts_with(['#', ';']) || line.is_empty() {
            continue;
        }
        // npm has no settings in sections.
        if line.starts_with('[') && line.ends_with(']') {
            break;
        }
        let (key, value) = match line.split_once('=') {
            Some((key, value)) => (unquoted(key), unquoted(value)),
            None => (unquoted(line), "true".to_owned()),
        };
        entries.push((key, value));
    }
    entries
}

/// A key or value without quotes and comments.
fn unquoted(text: &str) -> String {
    let text = text.trim();
    for quote in ['"', '\''] {
        if let Some(inner) = text.strip_prefix(quote).and_then(|text| text.strip_suffix(quote)) {
            // In double quotes stands a JSON string, as far as it is one.
            let json = (quote == '"').then(|| serde_json::from_str(text).ok()).flatten();
            return json.unwrap_or_else(|| inner.to_owned());
        }
    }
    let mut value = String::with_capacity(text.len());
    let mut escaped = false;
    for c in text.chars() {
        match (escaped, c) {
            (true, '\\' | ';' | '#') => value.push(c),
            (true, _) => value.extend(['\\', c]),
            (false, ';' | '#') => break,
            (false, '\\') => {}
            (false, _) => value.push(c),
        }
        escaped = !escaped && c == '\\';
    }
    if escaped {
        value.push('\\');
    }
    value.trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines() {
        let table: [(&str, &str, &[(&str, &str)]); 12] = [
            ("plain", "registry=https://h/", &[("registry", "https://h/")]),
            ("spaces", " registry = https://h/ \r\n", &[("registry", "https://h/")]),
            ("comments", "# a=b\n; c=d\n\n", &[]),
            ("a comment behind", "a=b ; c\nd=e#f", &[("a", "b"), ("d", "e")]),
            ("no comment", r"a=b\;c\#d", &[("a", "b;c#d")]),
            ("an equals sign in a token", "//h/:_auth=YQ==", &[("//h/:_auth", "YQ==")]),
            ("alone", "always-auth", &[("always-auth", "true")]),
            ("quotes", r#"a="x;y\nz""#, &[("a", "x;y\nz")]),
            ("single quotes", "a='x;y'", &[("a", "x;y")]),
            ("lists", "ca[]=x\nca[]=y", &[("ca[]", "x"), ("ca[]", "y")]),
            ("sections", "a=b\n[s]\nc=d", &[("a", "b")]),
            ("a variable stays", r"a=\${X} ${Y}", &[("a", r"\${X} ${Y}")]),
        ];
        for (comment, text, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
            assert_eq!(parse(text), expected, "{comment}");
        }
    }

    proptest! {
        /// Whatever a key and value hold, written as JSON strings they are read back.
        #[test]
        fn what_is_quoted_is_read_back(key in "[a-z@/:_-]{1,12}", value in any::<String>()) {
            let text = format!("{key}={}\n", serde_json::to_string(&value).unwrap());
            prop_assert_eq!(parse(&text), vec![(key, value)]);
        }

        /// No text is refused, and no key or value is longer than its line.
        #[test]
        fn any_text_is_read(text in any::<String>()) {
            for (key, value) in parse(&text) {
                prop_assert!(key.len() + value.len() <= text.len() + "true".len());
            }
        }
    }
}
