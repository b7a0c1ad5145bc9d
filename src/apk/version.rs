use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::ApkError;

/// What a suffix such as `_rc` counts: those before a release are negative. Source: apk-package(5), "pkgver".
const SUFFIXES: [(&str, i8); 9] =
    [("alpha", -4), ("beta", -3), ("pre", -2), ("rc", -1), ("cvs", 1), ("svn", 2), ("git", 3), ("hg", 4), ("p", 5)];

/// A version of a package: `DIGITS[.DIGITS…][LETTER][_SUFFIX[NUMBER]…][~HASH][-rNUMBER]`.
///
/// Kept as it was written; the order is apk's. Two texts can be equal as versions (`1.0-r0`, `01.0-r0`). Real repositories
/// hold versions that are not of this form (`0.99f7-r0`): they are ordered as far as they are, then as texts.
#[derive(Clone, Debug)]
pub struct Version(String);

/// One part of a version. The order of the variants is that of how much of a version is left behind them: where two
/// versions part, the one with more to say is the greater.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part<'t> {
    First(&'t str),
    Further(&'t str),
    Letter(u8),
    Suffix(i8),
    SuffixNumber(&'t str),
    Hash(&'t str),
    Revision(&'t str),
    End,
    /// What cannot stand there, to the end.
    Other(&'t str),
}

impl Part<'_> {
    fn rank(self) -> u8 {
        match self {
            Self::First(_) => 0,
            Self::Further(_) => 1,
            Self::Letter(_) => 2,
            Self::Suffix(_) => 3,
            Self::SuffixNumber(_) => 4,
            Self::Hash(_) => 5,
            Self::Revision(_) => 6,
            Self::End => 7,
            Self::Other(_) => 8,
        }
    }

    /// The order of two parts of one kind.
    fn compare(self, other: Self) -> Ordering {
        match (self, other) {
            // As in Gentoo: with a leading zero, digits behind a dot are those of a fraction.
            (Self::Further(a), Self::Further(b)) if a.starts_with('0') || b.starts_with('0') => a.cmp(b),
            (Self::First(a), Self::First(b))
            | (Self::Further(a), Self::Further(b))
            | (Self::SuffixNumber(a), Self::SuffixNumber(b))
            | (Self::Revision(a), Self::Revision(b)) => number(a).cmp(&number(b)),
            (Self::Letter(a), Self::Letter(b)) => a.cmp(&b),
            (Self::Suffix(a), Self::Suffix(b)) => a.cmp(&b),
            (Self::Hash(a), Self::Hash(b)) | (Self::Other(a), Self::Other(b)) => a.cmp(b),
            _ => Ordering::Equal,
        }
    }
}

/// What digits are ordered by, however many there are.
fn number(digits: &str) -> (usize, &str) {
    let digits = digits.trim_start_matches('0');
    (digits.len(), digits)
}

/// Reads a version part by part.
struct Parts<'t> {
    rest: &'t str,
    last: Option<u8>,
}

impl<'t> Parts<'t> {
    fn new(text: &'t str) -> Self {
        Self { rest: text, last: None }
    }

    fn take_while(&mut self, holds: impl Fn(char) -> bool) -> Option<&'t str> {
        let end = self.rest.find(|c| !holds(c)).unwrap_or(self.rest.len());
        let (taken, rest) = self.rest.split_at(end);
        self.rest = rest;
        (!taken.is_empty()).then_some(taken)
    }

    fn digits(&mut self) -> Option<&'t str> {
        self.take_while(|c| c.is_ascii_digit())
    }

    fn next(&mut self) -> Part<'t> {
        let rest = self.rest;
        let part = self.read().unwrap_or(Part::Other(rest));
        self.last = Some(part.rank());
        part
    }

    fn read(&mut self) -> Option<Part<'t>> {
        let Some(last) = self.last else { return self.digits().map(Part::First) };
        let Some(first) = self.rest.chars().next() else { return Some(Part::End) };
        let in_digits = last <= Part::Further("").rank();
        match first {
            'a'..='z' if in_digits => {
                self.rest = &self.rest[1..];
                Some(Part::Letter(first as u8))
            }
            '.' if in_digits => {
                self.rest = &self.rest[1..];
                self.digits().map(Part::Further)
            }
            '0'..='9' if last == Part::Suffix(0).rank() => self.digits().map(Part::SuffixNumber),
            '_' if last <= Part::SuffixNumber("").rank() => {
                self.rest = &self.rest[1..];
                let name = self.take_while(|c| c.is_ascii_lowercase())?;
                SUFFIXES.iter().find(|(suffix, _)| *suffix == name).map(|(_, value)| Part::Suffix(*value))
            }
            '~' if last < Part::Hash("").rank() => {
                self.rest = &self.rest[1..];
                self.take_while(|c| matches!(c, '0'..='9' | 'a'..='f')).map(Part::Hash)
            }
            '-' if last < Part::Revision("").rank() => {
                self.rest = self.rest.strip_prefix("-r")?;
                self.digits().map(Part::Revision)
            }
            _ => None,
        }
    }
}

impl Version {
    /// The least.
    pub(super) fn zero() -> Self {
        Self("0".to_owned())
    }

    /// Whether it is of the form that versions have.
    pub fn is_regular(&self) -> bool {
        let mut parts = Parts::new(&self.0);
        loop {
            match parts.next() {
                Part::End => return true,
                Part::Other(_) => return false,
                _ => {}
            }
        }
    }

    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The order of two versions.
    pub fn compare(&self, other: &Self) -> Ordering {
        self.compare_up_to(other, false)
    }

    /// The same, if everything counts as equal that begins with `prefix`: `1.2.3-r4` with `1.2`.
    pub fn compare_with_prefix(&self, prefix: &Self) -> Ordering {
        self.compare_up_to(prefix, true)
    }

    fn compare_up_to(&self, other: &Self, is_prefix: bool) -> Ordering {
        let (mut these, mut those) = (Parts::new(&self.0), Parts::new(&other.0));
        loop {
            let (a, b) = (these.next(), those.next());
            match (a, b) {
                (Part::End, Part::End) => return Ordering::Equal,
                (Part::Other(a), Part::Other(b)) => return a.cmp(b),
                (_, Part::End) if is_prefix => return Ordering::Equal,
                (a, b) if a.rank() == b.rank() => match a.compare(b) {
                    Ordering::Equal => {}
                    different => return different,
                },
                (Part::Suffix(value), _) if value < 0 => return Ordering::Less,
                (_, Part::Suffix(value)) if value < 0 => return Ordering::Greater,
                (a, b) => return b.rank().cmp(&a.rank()),
            }
        }
    }
}

impl FromStr for Version {
    type Err = ApkError;

    fn from_str(text: &str) -> Result<Self, ApkError> {
        // It is part of a file's name.
        let is_fit = !text.is_empty() && !text.contains(|c: char| c == '/' || c.is_whitespace() || c.is_control());
        if is_fit { Ok(Self(text.to_owned())) } else { Err(ApkError::Version(text.to_owned())) }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl PartialEq for Version {
    fn eq(&self, other: &Self) -> bool {
        self.compare(other) == Ordering::Equal
    }
}

impl Eq for Version {}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(text: &str) -> Version {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn the_order_of_versions() {
        use Ordering::{Equal, Greater, Less};
        let table = [
            ("numbers, not texts", "2.34", "2.9", Greater),
            ("of any length", "20240101000000000000001", "20240101000000000000000", Greater),
            ("more parts", "1.0.1", "1.0", Greater),
            ("revisions", "1.0.4-r3", "1.0.4-r4", Less),
            ("no revision", "1.2.2", "1.2.2-r1", Less),
            ("revisions are numbers", "1.0-r10", "1.0-r9", Greater),
            ("alpha before the release", "1.3_alpha", "1.3", Less),
            ("alpha with a number", "1.3_alpha2", "1.3_alpha", Greater),
            ("alpha, beta", "1.3_alpha8", "1.3_beta1", Less),
            ("beta, pre", "1.3_beta", "1.3_pre", Less),
            ("pre, rc", "1.3_pre1", "1.3_rc1", Less),
            ("rc before the release with a revision", "1.3_rc1", "1.3-r0", Less),
            ("a patch after the release", "1.3_p1", "1.3", Greater),
            ("a patch after the release with a revision", "1.3_p1", "1.3-r5", Greater),
            ("snapshots", "1.3_cvs1", "1.3_svn1", Less),
            ("of git", "1.3_git20240101", "1.3_hg1", Less),
            ("several suffixes", "1.3_rc1_p1", "1.3_rc1", Greater),
            ("letters", "1.0a", "1.0b", Less),
            ("a letter after none", "1.0a", "1.0", Greater),
            ("another part beats a letter", "1.0.1", "1.0z", Greater),
            ("a leading zero is a fraction", "1.06", "1.1", Less),
            ("a leading zero at the front is not", "006", "1.0.0", Greater),
            ("equal with zeros at the front", "01.0", "1.0", Equal),
            ("a hash", "1.0~ab12", "1.0~ab13", Less),
            ("the same", "0.2.0-r1", "0.2.0-r1", Equal),
            ("another form", "0.99f7-r0", "0.99f7-r1", Less),
            ("another form, as far as it goes", "0.99f7-r0", "0.99e-r0", Greater),
        ];
        for (comment, a, b, expected) in table {
            assert_eq!(version(a).compare(&version(b)), expected, "{comment}");
            assert_eq!(version(b).compare(&version(a)), expected.reverse(), "{comment}, the other way round");
        }
    }

    #[test]
    fn prefixes() {
        use Ordering::{Equal, Greater, Less};
        let table = [
            ("the same", "1.2.3-r4", "1.2.3-r4", Equal),
            ("without the revision", "1.2.3-r4", "1.2.3", Equal),
            ("two parts", "1.2.3-r4", "1.2", Equal),
            ("not within a number", "1.23", "1.2", Greater),
            ("more than there is", "1.2", "1.2.3", Less),
            ("another", "1.3-r0", "1.2", Greater),
        ];
        for (comment, text, prefix, expected) in table {
            assert_eq!(version(text).compare_with_prefix(&version(prefix)), expected, "{comment}");
        }
    }

    #[test]
    fn what_is_no_version() {
        for text in [
            "",
            "a",
            ".1",
            "1.",
            "1.0bc",
            "1.0_foo",
            "1.0-",
            "1.0-1",
            "1.0-rx",
            "1.0 ",
            "1.0-r1-r2",
            "1..2",
            "1a.2",
            "0.99f7-r0",
        ] {
            assert!(text.parse::<Version>().map_or(true, |version| !version.is_regular()), "{text}");
        }
    }
}
