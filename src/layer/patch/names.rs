//! Names of files in the lines of a patch.

use std::borrow::Cow;

/// The longest path that is taken.
const PATH_LIMIT: usize = 4096;

/// Why a path is refused, and the path.
pub(super) type Refused = (&'static str, String);

/// The name that stands after `--- ` or `+++ `, without its prefix (`a/`, `b/`); `None` for no file.
pub(super) fn side(rest: &[u8]) -> Result<Option<String>, Refused> {
    let name = match rest.starts_with(b"\"") {
        true => plain(rest),
        // A name with a space ends with a tab; after it, others than git put a time.
        false => Cow::Borrowed(rest.split(|byte| *byte == b'\t').next().unwrap_or(rest)),
    };
    match &*name {
        b"/dev/null" => Ok(None),
        name => without_prefix(name).and_then(path).map(Some),
    }
}

/// The name that stands after `rename from ` or `rename to `.
pub(super) fn renamed(rest: &[u8]) -> Result<String, Refused> {
    path(&plain(rest))
}

/// The name that stands twice after `diff --git `; `None` if it is not the same twice, as in renames.
pub(super) fn both_sides(rest: &[u8]) -> Option<Result<String, Refused>> {
    // Between two names of the same length, there is the middle one of all bytes. Quoted they have the same length too.
    let (first, second) = rest.split_at_checked(rest.len() / 2)?;
    let (first, second) = (plain(first), plain(second.strip_prefix(b" ")?));
    (first.get(2..)? == second.get(2..)?).then(|| without_prefix(&first).and_then(path))
}

/// Git puts `a/` and `b/` before names; by its settings also another letter, but never a longer word that the commands
/// of package managers would let through.
fn without_prefix(name: &[u8]) -> Result<&[u8], Refused> {
    match name.split_at_checked(2) {
        Some(([_, b'/'], name)) => Ok(name),
        _ => Err(("has no `a/` or `b/` before it", String::from_utf8_lossy(name).into_owned())),
    }
}

/// The path in the package.
fn path(name: &[u8]) -> Result<String, Refused> {
    let refuse = |problem| Err((problem, String::from_utf8_lossy(name).chars().take(PATH_LIMIT).collect()));
    let Ok(text) = std::str::from_utf8(name) else { return refuse("is no UTF-8") };
    match text {
        _ if text.len() > PATH_LIMIT => return refuse("is too long"),
        _ if text.contains('\0') => return refuse("has a NUL byte"),
        _ if text.contains('\\') => return refuse("has a backslash"),
        _ if text.starts_with('/') => return refuse("is absolute"),
        _ if text.split('/').any(|part| part == "..") => return refuse("has `..`"),
        _ if text.ends_with('/') => return refuse("is that of a directory"),
        _ => {}
    }
    let path = text.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
    match path.is_empty() {
        true => refuse("is empty"),
        false => Ok(path),
    }
}

/// A name without the quotes and escapes that git writes it with if it has unusual bytes (git-diff(1),
/// `core.quotePath`).
fn plain(name: &[u8]) -> Cow<'_, [u8]> {
    let Some(quoted) = name.strip_prefix(b"\"") else { return Cow::Borrowed(name) };
    let mut plain = Vec::with_capacity(quoted.len());
    let mut rest = quoted.iter().copied();
    while let Some(byte) = rest.next().filter(|byte| *byte != b'"') {
        if byte != b'\\' {
            plain.push(byte);
            continue;
        }
        match rest.next() {
            Some(b'a') => plain.push(0x07),
            Some(b'b') => plain.push(0x08),
            Some(b't') => plain.push(b'\t'),
            Some(b'n') => plain.push(b'\n'),
            Some(b'v') => plain.push(0x0b),
            Some(b'f') => plain.push(0x0c),
            Some(b'r') => plain.push(b'\r'),
            Some(first @ b'0'..=b'3') => {
                let digits = [Some(first), rest.next(), rest.next()];
                let value = digits.into_iter().flatten().fold(0u8, |value, digit| (value << 3) | (digit & 7));
                plain.push(value);
            }
            Some(byte) => plain.push(byte),
            None => {}
        }
    }
    Cow::Owned(plain)
}
