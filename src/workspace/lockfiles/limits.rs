//! The platforms a package is made for.

use serde::{Deserialize, Serialize};

/// What a package's `os`, `cpu` and `libc` allow: names, `!name` forbids, an empty list allows all.
///
/// Source: npm's `package.json` documentation, fields `os`, `cpu` and `libc`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlatformLimits {
    /// In the words of Node's `process.platform`
    pub os: Vec<String>,
    /// In the words of Node's `process.arch`
    pub cpu: Vec<String>,
    /// `glibc`, `musl`
    pub libc: Vec<String>,
}

impl PlatformLimits {
    /// Whether the package may be used there. A C library nobody knows (`None`) is no reason against it.
    pub fn allow(&self, os: &str, cpu: &str, libc: Option<&str>) -> bool {
        list_allows(&self.os, os)
            && list_allows(&self.cpu, cpu)
            && libc.is_none_or(|libc| list_allows(&self.libc, libc))
    }

    /// Whether they tell platforms of one operating system apart, as those of a native package's variants do.
    pub fn tell_processors_apart(&self) -> bool {
        self.cpu.iter().chain(&self.libc).any(|name| name != "any")
    }

    /// Reads yarn's `conditions`: `os=linux & cpu=x64 & libc=glibc`, alternatives as `(os=darwin | os=linux)`.
    pub(super) fn from_conditions(text: &str) -> Self {
        let mut limits = Self::default();
        for condition in text.split('&').flat_map(|group| group.split('|')) {
            let condition = condition.trim_matches(|c: char| c.is_whitespace() || c == '(' || c == ')');
            let (not, condition) = match condition.strip_prefix('!') {
                Some(condition) => ("!", condition),
                None => ("", condition),
            };
            let list = match condition.split_once('=') {
                Some(("os", name)) => (&mut limits.os, name),
                Some(("cpu", name)) => (&mut limits.cpu, name),
                Some(("libc", name)) => (&mut limits.libc, name),
                _ => continue,
            };
            list.0.push(format!("{not}{}", list.1));
        }
        limits
    }
}

/// Whether one such list allows a name.
fn list_allows(list: &[String], wanted: &str) -> bool {
    let forbidden = list.iter().any(|entry| entry.strip_prefix('!') == Some(wanted));
    let mut allowed = list.iter().filter(|entry| !entry.starts_with('!')).peekable();
    !forbidden && (allowed.peek().is_none() || allowed.any(|entry| entry == wanted || entry == "any"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn conditions_of_yarn() {
        let table = [
            ("one", "os=darwin", ["darwin", "", ""]),
            ("all three", "os=linux & cpu=x64 & libc=musl", ["linux", "x64", "musl"]),
            ("alternatives", "(os=darwin | os=linux) & !cpu=ia32", ["darwin linux", "!ia32", ""]),
            ("another word", "engine=node", ["", "", ""]),
            ("nothing", "", ["", "", ""]),
        ];
        for (comment, text, expected) in table {
            let limits = PlatformLimits::from_conditions(text);
            assert_eq!([limits.os.join(" "), limits.cpu.join(" "), limits.libc.join(" ")], expected, "{comment}");
        }
    }

    #[test]
    fn what_limits_allow() {
        let table = [
            ("no limits", "", Some("musl"), true),
            ("this platform", "os=linux & cpu=x64", Some("musl"), true),
            ("another system", "os=darwin", Some("musl"), false),
            ("another processor", "os=linux & cpu=arm64", Some("musl"), false),
            ("another C library", "os=linux & libc=glibc", Some("musl"), false),
            ("the C library is not known", "os=linux & libc=glibc", None, true),
            ("forbidden", "!os=linux", None, false),
            ("another one is forbidden", "!os=win32", None, true),
        ];
        for (comment, text, libc, expected) in table {
            assert_eq!(PlatformLimits::from_conditions(text).allow("linux", "x64", libc), expected, "{comment}");
        }
    }
}
