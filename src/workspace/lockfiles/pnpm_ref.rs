//! The texts by which pnpm's lockfile refers to packages: `NAME@VERSION(PEER@VERSION)…`, in version 6 with a slash first.
//!
//! Source: pnpm, `packages/dependency-path/src/index.ts`.

/// A reference without the peers (and the hash of a patch) at its end, and these.
pub(super) fn split_suffix(reference: &str) -> (&str, &str) {
    let mut depth = 0_usize;
    let mut end = reference.len();
    for (at, byte) in reference.bytes().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    end = at;
                }
            }
            // Between two groups there is nothing.
            _ if depth == 0 => break,
            _ => {}
        }
    }
    reference.split_at(end)
}

/// The hash of the patch in a suffix.
pub(super) fn patch_hash(suffix: &str) -> Option<&str> {
    let (_, rest) = suffix.split_once("(patch_hash=")?;
    Some(rest.split_once(')')?.0)
}

/// The name and the version, or whatever stands in its place, of a key without suffix.
pub(super) fn name_and_version(key: &str) -> Option<(&str, &str)> {
    let key = key.strip_prefix('/').unwrap_or(key);
    let at = key.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some((&key[..at], &key[at + 1..]))
}

/// The keys that what an edge says may mean, the likeliest first.
pub(super) fn keys(name: &str, reference: &str) -> [String; 3] {
    [format!("{name}@{reference}"), reference.to_owned(), format!("/{name}@{reference}")]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suffixes() {
        let table = [
            ("none", "a@1.0.0", "a@1.0.0", ""),
            ("one peer", "a@1.0.0(b@2.0.0)", "a@1.0.0", "(b@2.0.0)"),
            ("peers of peers", "a@1.0.0(b@2.0.0(c@3.0.0))(d@4.0.0)", "a@1.0.0", "(b@2.0.0(c@3.0.0))(d@4.0.0)"),
            ("a path with brackets", "a@file:x(y)/z(b@1.0.0)", "a@file:x(y)/z", "(b@1.0.0)"),
            ("not closed", "a@1(b", "a@1(b", ""),
            ("not opened", "a@1)", "a@1)", ""),
        ];
        for (comment, reference, key, suffix) in table {
            assert_eq!(split_suffix(reference), (key, suffix), "{comment}");
        }
    }

    #[test]
    fn parts() {
        assert_eq!(patch_hash("(patch_hash=abc)(b@1)"), Some("abc"));
        assert_eq!(patch_hash("(b@1)"), None);
        let table = [
            ("a@1.0.0", Some(("a", "1.0.0"))),
            ("/@a/b@1.0.0", Some(("@a/b", "1.0.0"))),
            ("@a/b@https://h/x@1.tgz", Some(("@a/b", "https://h/x@1.tgz"))),
            ("file:a", None),
        ];
        for (key, expected) in table {
            assert_eq!(name_and_version(key), expected, "{key}");
        }
    }
}
