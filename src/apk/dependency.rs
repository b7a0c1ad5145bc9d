use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use super::{ApkError, Version};

/// What a package needs, or must not meet: `[!]NAME[@TAG][OPERATOR VERSION]`, written as in `curl>=8.9.1-r1`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dependency {
    /// The name of a package, or one that packages provide, such as `so:libssl.so.3` or `cmd:curl`.
    pub name: String,
    /// Whether nothing of that name may be there.
    pub is_conflict: bool,
    /// The repository, by the tag that it has in the list of repositories.
    pub tag: Option<String>,
    /// Which versions will do; `None`: any.
    pub versions: Option<Versions>,
}

/// Which versions will do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Versions {
    operator: Operator,
    version: Version,
}

/// How a version is compared. Source: apk-world(5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Operator {
    less: bool,
    equal: bool,
    greater: bool,
    /// Whether everything that begins with the version is equal to it.
    prefix: bool,
}

impl Operator {
    /// Reads `=`, `<`, `<=`, `>`, `>=`, `~` and their mixtures. `><` names a checksum and no version.
    fn parse(text: &str) -> Option<Self> {
        let has = |c| text.contains(c);
        let (less, greater, prefix) = (has('<'), has('>'), has('~'));
        (!(less && greater)).then_some(Self { less, greater, prefix, equal: prefix || has('=') })
    }

    fn accepts(self, order: Ordering) -> bool {
        match order {
            Ordering::Less => self.less,
            Ordering::Equal => self.equal,
            Ordering::Greater => self.greater,
        }
    }
}

impl fmt::Display for Operator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.less {
            "<"
        } else if self.greater {
            ">"
        } else {
            ""
        })?;
        f.write_str(if self.prefix {
            "~"
        } else if self.equal {
            "="
        } else {
            ""
        })
    }
}

impl Versions {
    /// Whether this version will do.
    pub fn accept(&self, version: &Version) -> bool {
        let order = match self.operator.prefix {
            true => version.compare_with_prefix(&self.version),
            false => version.compare(&self.version),
        };
        self.operator.accepts(order)
    }
}

impl Dependency {
    /// Reads a list with spaces between, as packages' fields have it.
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ApkError> {
        text.split_ascii_whitespace().map(str::parse).collect()
    }

    /// Whether what is there under the wanted name will do, leaving aside whether it must not: with a version, only where
    /// the provider states one.
    pub fn accepts(&self, version: Option<&Version>) -> bool {
        match (&self.versions, version) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(versions), Some(version)) => versions.accept(version),
        }
    }
}

impl FromStr for Dependency {
    type Err = ApkError;

    fn from_str(text: &str) -> Result<Self, ApkError> {
        let malformed = || ApkError::Dependency(text.to_owned());
        let (rest, is_conflict) = text.strip_prefix('!').map_or((text, false), |rest| (rest, true));
        let start = rest.find(['<', '>', '=', '~']).unwrap_or(rest.len());
        let (name, comparison) = rest.split_at(start);
        let (name, tag) = name.split_once('@').map_or((name, None), |(name, tag)| (name, Some(tag)));
        if name.is_empty()
            || tag.is_some_and(str::is_empty)
            || text.contains(|c: char| c.is_whitespace() || c.is_control())
        {
            return Err(malformed());
        }
        let versions = match comparison {
            "" => None,
            _ => {
                let version = comparison.trim_start_matches(['<', '>', '=', '~']);
                let operator = Operator::parse(&comparison[..comparison.len() - version.len()]);
                let version: Version = version.parse().map_err(|_| malformed())?;
                if !version.is_regular() {
                    return Err(malformed());
                }
                Some(Versions { operator: operator.ok_or_else(malformed)?, version })
            }
        };
        Ok(Self { name: name.to_owned(), is_conflict, tag: tag.map(str::to_owned), versions })
    }
}

impl fmt::Display for Dependency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", if self.is_conflict { "!" } else { "" }, self.name)?;
        self.tag.iter().try_for_each(|tag| write!(f, "@{tag}"))?;
        self.versions.iter().try_for_each(|Versions { operator, version }| write!(f, "{operator}{version}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_dependencies() {
        let table = [
            ("a name", "curl", Ok("curl")),
            ("a version", "curl=8.9.1-r1", Ok("curl=8.9.1-r1")),
            ("at least", "so:libssl.so.3>=3.1", Ok("so:libssl.so.3>=3.1")),
            ("like", "nodejs~20", Ok("nodejs~20")),
            ("like, as some write it", "nodejs~=20", Ok("nodejs~20")),
            ("less or like", "a<~2", Ok("a<~2")),
            ("a conflict", "!busybox<1.30", Ok("!busybox<1.30")),
            ("a tag", "nodejs@edge>20", Ok("nodejs@edge>20")),
            ("a path", "/bin/sh", Ok("/bin/sh")),
            ("nothing", "", Err(())),
            ("no name", "=1", Err(())),
            ("no version", "a=", Err(())),
            ("a version that is none", "a>=x", Err(())),
            ("a checksum", "a><Q1abc=", Err(())),
            ("an empty tag", "a@", Err(())),
            ("two in one", "a b", Err(())),
        ];
        for (comment, text, expected) in table {
            let read = text.parse::<Dependency>().map(|dependency| dependency.to_string()).map_err(|_| ());
            assert_eq!(read.as_deref(), expected.as_ref().map(|text| &**text), "{comment}");
        }
    }

    #[test]
    fn which_versions_will_do() {
        let table = [
            ("any", "a", Some("1"), true),
            ("none stated", "a", None, true),
            ("one is wanted and none stated", "a=1", None, false),
            ("equal", "a=1.0", Some("1.0"), true),
            ("not equal", "a=1.0", Some("1.0-r1"), false),
            ("less", "a<2", Some("2"), false),
            ("less or equal", "a<=2", Some("2"), true),
            ("greater", "a>2", Some("2.0"), true),
            ("at least", "a>=2", Some("1.9"), false),
            ("like", "a~2", Some("2.1-r3"), true),
            ("not like", "a~2", Some("21"), false),
            ("at least like", "a>~2", Some("3"), true),
        ];
        for (comment, dependency, version, expected) in table {
            let dependency: Dependency = dependency.parse().unwrap();
            let version = version.map(|version| version.parse::<Version>().unwrap());
            assert_eq!(dependency.accepts(version.as_ref()), expected, "{comment}");
        }
    }
}
