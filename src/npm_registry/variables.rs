//! `${VARIABLE}` in settings.
//!
//! Sources: npm's `@npmcli/config` (`lib/env-replace.js`); pnpm's and yarn's `${VARIABLE-default}`.

use std::collections::BTreeMap;

/// The variables of the environment that settings may name. The caller reads them; this module never does.
pub type Variables = BTreeMap<String, String>;

/// A variable that is named and not set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Unset(pub(super) String);

/// Puts in variables: `${NAME}`, `${NAME?}` (nothing if unset), `${NAME-DEFAULT}` (if unset) and `${NAME:-DEFAULT}` (if
/// unset or empty). A backslash before `$` keeps the text as it is.
pub(super) fn expand(text: &str, variables: &Variables) -> Result<String, Unset> {
    let mut expanded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find("${") {
        let (before, from) = rest.split_at(start);
        let Some(end) = from.find('}') else { break };
        rest = &from[end + 1..];
        if let Some(kept) = before.strip_suffix('\\') {
            expanded.push_str(kept);
            expanded.push_str(&from[..=end]);
            continue;
        }
        expanded.push_str(before);
        expanded.push_str(value(&from[2..end], variables)?);
    }
    expanded.push_str(rest);
    Ok(expanded)
}

fn value<'a>(inside: &'a str, variables: &'a Variables) -> Result<&'a str, Unset> {
    let get = |name: &str| variables.get(name).map(String::as_str);
    if let Some(name) = inside.strip_suffix('?') {
        return Ok(get(name).unwrap_or_default());
    }
    match inside.split_once('-') {
        Some((name, default)) => Ok(match name.strip_suffix(':') {
            Some(name) => get(name).filter(|value| !value.is_empty()).unwrap_or(default),
            None => get(name).unwrap_or(default),
        }),
        None => get(inside).ok_or_else(|| Unset(inside.to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_with_variables() {
        let variables = Variables::from([("A".into(), "1".into()), ("EMPTY".into(), String::new())]);
        let table = [
            ("none", "a $A b", Ok("a $A b")),
            ("one", "x${A}y", Ok("x1y")),
            ("two", "${A}${A}", Ok("11")),
            ("unset", "${B}", Err("B")),
            ("unset, and may be", "a${B?}", Ok("a")),
            ("default for unset", "${B-2}", Ok("2")),
            ("default for empty", "${EMPTY:-2}", Ok("2")),
            ("no default for empty", "${EMPTY-2}", Ok("")),
            ("default not needed", "${A-2}", Ok("1")),
            ("a default with a dash", "${B-a-b}", Ok("a-b")),
            ("escaped", r"\${A}", Ok("${A}")),
            ("not closed", "a${A", Ok("a${A")),
            ("what is put in stays", "${A}${", Ok("1${")),
        ];
        for (comment, text, expected) in table {
            let expected = expected.map(str::to_owned).map_err(|name: &str| Unset(name.to_owned()));
            assert_eq!(expand(text, &variables), expected, "{comment}");
        }
    }
}
