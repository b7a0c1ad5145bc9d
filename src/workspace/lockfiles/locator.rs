//! Yarn's descriptors (`NAME@RANGE`) and locators (`NAME@REFERENCE`), with what they are bound to and nested in.
//!
//! Source: yarn 4, `packages/yarnpkg-core/sources/structUtils.ts`, `packages/plugin-patch/sources/patchUtils.ts`.

use super::source::{Patch, Source, is_git};
use crate::workspace::WorkspacePath;

/// How deep locators may be nested in each other: a patch of a patch of a package has three levels.
const DEPTH: usize = 8;

/// `NAME@REST` in two; a name may begin with `@`.
pub(super) fn split(text: &str) -> Option<(&str, &str)> {
    let at = text.char_indices().skip(1).find(|(_, c)| *c == '@')?.0;
    Some((&text[..at], &text[at + 1..]))
}

/// A range with its protocol: what has none is a version range or a tag of the registry.
pub(super) fn with_protocol(range: &str) -> String {
    let has_protocol = range.contains(':') || range.contains('/') && !range.contains(' ');
    if has_protocol { range.to_owned() } else { format!("npm:{range}") }
}

/// What `encodeURIComponent` made of a text, undone. Anything else is left as it is.
pub(super) fn decode(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let digits = bytes.get(at + 1..at + 3).and_then(|digits| std::str::from_utf8(digits).ok());
        let value = digits.filter(|_| *byte == b'%').and_then(|digits| u8::from_str_radix(digits, 16).ok());
        decoded.push(value.unwrap_or(*byte));
        at += if value.is_some() { 3 } else { 1 };
    }
    String::from_utf8(decoded).unwrap_or_else(|_| text.to_owned())
}

/// What `encodeURIComponent` makes of a text.
pub(super) fn encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' => encoded.push(byte.into()),
            b'-' | b'_' | b'.' | b'!' | b'~' | b'*' | b'\'' | b'(' | b')' => encoded.push(byte.into()),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

/// A reference without what it is bound to, and the parameters it is bound by: `file:./a::locator=…`.
fn unbind(reference: &str) -> (&str, Vec<(String, String)>) {
    let Some((reference, parameters)) = reference.split_once("::") else { return (reference, Vec::new()) };
    let pairs = parameters.split('&').filter_map(|pair| pair.split_once('='));
    (reference, pairs.map(|(name, value)| (name.to_owned(), decode(value))).collect())
}

/// The directory of the member that a reference is relative to.
fn base(parameters: &[(String, String)]) -> WorkspacePath {
    let locator = parameters.iter().find(|(name, _)| name == "locator").map(|(_, value)| value.as_str());
    let member = locator.and_then(split).and_then(|(_, reference)| reference.strip_prefix("workspace:"));
    member.and_then(WorkspacePath::new).unwrap_or_default()
}

/// What a locator's reference says.
pub(super) struct Locator {
    /// The name under which the package is published.
    pub name: String,
    /// Where it comes from.
    pub source: Source,
    /// What is changed in it, the innermost first.
    pub patches: Vec<Patch>,
}

impl Locator {
    /// Reads `NAME@REFERENCE`; `None` if it is none, or nested too deep.
    pub fn parse(text: &str) -> Option<Self> {
        Self::nested(text, DEPTH)
    }

    fn nested(text: &str, depth: usize) -> Option<Self> {
        let (name, reference) = split(text)?;
        let (reference, parameters) = unbind(reference);
        if let Some(patch) = reference.strip_prefix("patch:") {
            let (inner, selectors) = patch.split_once('#').unwrap_or((patch, ""));
            let mut locator = Self::nested(&decode(inner), depth.checked_sub(1)?)?;
            let base = base(&parameters);
            locator.patches.extend(selectors.split('&').filter(|it| !it.is_empty()).map(|it| patch_file(it, &base)));
            return Some(locator);
        }
        let named = |source| Some(Self { name: name.to_owned(), source, patches: Vec::new() });
        let (protocol, rest) = reference.split_once(':').unwrap_or(("npm", reference));
        match protocol {
            "npm" => {
                let archive = parameters.iter().find(|(name, _)| name == "__archiveUrl").map(|(_, url)| url.clone());
                let name = split(rest).map_or(name, |(name, _)| name);
                let source = Source::Registry { tarball: archive };
                Some(Self { name: name.to_owned(), source, patches: Vec::new() })
            }
            "file" => {
                let path = rest.split_once('#').map_or(rest, |(path, _)| path);
                named(Source::from_path(&base(&parameters), path))
            }
            "link" | "portal" => {
                let dir = base(&parameters).join(rest);
                named(dir.map_or_else(|| Source::Outside(reference.to_owned()), Source::Link))
            }
            _ => {
                let (address, fragment) = reference.split_once('#').unwrap_or((reference, ""));
                named(if is_git(address) || fragment.contains("commit=") {
                    Source::git(address, fragment)
                } else if protocol.starts_with("http") {
                    Source::Tarball { url: reference.to_owned() }
                } else {
                    Source::Unknown(reference.to_owned())
                })
            }
        }
    }
}

/// One of the patches that a `patch:` reference names: `optional!builtin<…>`, `~/…` from the root, else from `base`.
fn patch_file(selector: &str, base: &WorkspacePath) -> Patch {
    let selector = selector.trim_start_matches("optional!");
    let plain = selector.trim_start_matches('~');
    if let Some(name) = plain.strip_prefix("builtin<").and_then(|name| name.strip_suffix('>')) {
        return Patch::BuiltIn(name.to_owned());
    }
    let path = match selector.strip_prefix("~/") {
        Some(path) => WorkspacePath::default().join(path),
        None => base.join(plain),
    };
    path.map_or_else(|| Patch::Outside(selector.to_owned()), Patch::File)
}

/// The locator of what a patch changes, beneath all patches; `None` if the locator is none of a patch.
pub(super) fn unpatched(locator: &str) -> Option<String> {
    let inner = |locator: &str| Some(decode(split(locator)?.1.strip_prefix("patch:")?.split_once('#')?.0));
    std::iter::successors(inner(locator), |locator| inner(locator)).take(DEPTH).last()
}

/// The package that a descriptor of one of yarn's own patches is about: its name and range, whatever they are wrapped in.
pub(super) fn built_in_patch_of(descriptor: &str) -> Option<(String, String)> {
    let (name, range) = split(descriptor)?;
    let (inner, selectors) = range.strip_prefix("patch:")?.split_once('#')?;
    let own = selectors.trim_start_matches("optional!").trim_start_matches('~').starts_with("builtin<");
    let inner = decode(inner);
    let (inner_name, inner_range) = split(&inner)?;
    (own && inner_name == name).then(|| (name.to_owned(), with_protocol(inner_range)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> WorkspacePath {
        WorkspacePath::new(text).unwrap()
    }

    #[test]
    fn locators() {
        let registry = || Source::Registry { tarball: None };
        let table = [
            ("a version", "@a/b@npm:1.0.0", "@a/b", registry(), vec![]),
            ("an alias", "c@npm:@a/b@1.0.0", "@a/b", registry(), vec![]),
            (
                "an address of its own",
                "a@npm:1.0.0::__archiveUrl=https%3A%2F%2Fr%2Fa.tgz",
                "a",
                Source::Registry { tarball: Some("https://r/a.tgz".into()) },
                vec![],
            ),
            (
                "a patch of the project",
                "a@patch:a@npm%3A1.0.0#~/.yarn/patches/a.patch::version=1.0.0&hash=1",
                "a",
                registry(),
                vec![Patch::File(path(".yarn/patches/a.patch"))],
            ),
            (
                "a patch of a patch",
                "a@patch:a@patch%3Aa@npm%253A1.0.0%23.%2Fx.patch#~builtin<compat/a>::version=1.0.0",
                "a",
                registry(),
                vec![Patch::File(path("x.patch")), Patch::BuiltIn("compat/a".into())],
            ),
            (
                "a patch of a member",
                "a@patch:a@npm%3A1.0.0#./a.patch::locator=m%40workspace%3Aapps%2Fm",
                "a",
                registry(),
                vec![Patch::File(path("apps/m/a.patch"))],
            ),
            (
                "a directory of a member",
                "a@file:../a#../a::hash=1&locator=m%40workspace%3Aapps%2Fm",
                "a",
                Source::Directory(path("apps/a")),
                vec![],
            ),
            ("a portal", "a@portal:./a::locator=r%40workspace%3A.", "a", Source::Link(path("a")), vec![]),
            ("outside", "a@link:../a::locator=r%40workspace%3A.", "a", Source::Outside("link:../a".into()), vec![]),
            ("a tarball", "a@https://h/a.tgz", "a", Source::Tarball { url: "https://h/a.tgz".into() }, vec![]),
            (
                "git",
                "a@https://h/o/a.git#commit=0123456789",
                "a",
                Source::Git {
                    repository: "https://h/o/a.git".into(),
                    commit: Some("0123456789".into()),
                    directory: None,
                },
                vec![],
            ),
            ("made by a script", "a@exec:./a.js", "a", Source::Unknown("exec:./a.js".into()), vec![]),
        ];
        for (comment, text, name, source, patches) in table {
            let locator = Locator::parse(text).unwrap();
            assert_eq!((locator.name.as_str(), locator.source, locator.patches), (name, source, patches), "{comment}");
        }
    }

    #[test]
    fn nesting_has_an_end() {
        let mut text = "a@npm:1".to_owned();
        for _ in 0..DEPTH + 1 {
            text = format!("a@patch:{}#x", encode(&text));
        }
        assert!(Locator::parse(&text).is_none());
    }

    #[test]
    fn encoding() {
        for text in ["root@workspace:.", "a b%/ü", ""] {
            assert_eq!(decode(&encode(text)), text);
        }
        assert_eq!(encode("root@workspace:."), "root%40workspace%3A.");
        assert_eq!(decode("%zz%"), "%zz%");
    }

    #[test]
    fn own_patches() {
        let table = [
            ("yarn 4", "a@patch:a@npm%3A^1.0#optional!builtin<compat/a>", Some("npm:^1.0")),
            ("yarn 2", "a@patch:a@^1.0#~builtin<compat/a>", Some("npm:^1.0")),
            ("a patch of the project", "a@patch:a@npm%3A^1.0#~/a.patch", None),
            ("no patch", "a@npm:1", None),
        ];
        for (comment, text, expected) in table {
            assert_eq!(built_in_patch_of(text).map(|(_, range)| range).as_deref(), expected, "{comment}");
        }
    }
}
