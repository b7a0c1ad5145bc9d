use std::str::{FromStr, SplitTerminator};

use super::{ApkError, Checksum, Dependency, Version};

/// What repositories and databases say of a package: one block of lines such as `P:curl`.
///
/// Source: the APKINDEX format of the Alpine wiki, "Apk spec".
#[derive(Clone, Debug)]
pub struct Package {
    /// `P`: its name.
    pub name: String,
    /// `V`: its version.
    pub version: Version,
    /// `C`: the checksum of its control segment, which names everything in it. A database made by hand may lack it.
    pub checksum: Option<Checksum>,
    /// `A`: the processor it is for, or `noarch`.
    pub arch: String,
    /// `S`: the bytes of its file.
    pub size: u64,
    /// `o`: the package whose sources it was made of.
    pub origin: Option<String>,
    /// `t`: when it was made, in seconds since 1970.
    pub build_time: u64,
    /// `D`: what it needs, and what it cannot live with.
    pub depends: Vec<Dependency>,
    /// `p`: the names it answers to besides its own.
    pub provides: Vec<Provided>,
    /// `i`: what has to be there for it to come along by itself.
    pub install_if: Vec<Dependency>,
    /// `k`: which of several providers of a name without version is taken; 0: none by itself.
    pub provider_priority: u64,
    /// Its lines, as they came.
    pub lines: String,
    /// A field that a reader has to know and this one does not understand. Source: upper case letters are such in apk-tools.
    pub unknown_field: Option<char>,
}

/// A name that a package provides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Provided {
    /// The name.
    pub name: String,
    /// The version. Without one, any number of packages may provide the name side by side.
    pub version: Option<Version>,
}

impl FromStr for Provided {
    type Err = ApkError;

    fn from_str(text: &str) -> Result<Self, ApkError> {
        let (name, version) = text.split_once('=').map_or((text, None), |(name, version)| (name, Some(version)));
        let version = version.map(str::parse).transpose().map_err(|_| ApkError::Dependency(text.to_owned()))?;
        Ok(Self { name: name.to_owned(), version })
    }
}

impl Package {
    /// Reads the lines of one package. Those that belong to its files, in a database, are passed over.
    pub fn parse(block: &str) -> Result<Self, ApkError> {
        let (mut name, mut version) = (None, None);
        let mut package = Self {
            name: String::new(),
            version: Version::zero(),
            checksum: None,
            arch: String::new(),
            size: 0,
            origin: None,
            build_time: 0,
            depends: Vec::new(),
            provides: Vec::new(),
            install_if: Vec::new(),
            provider_priority: 0,
            lines: block.to_owned(),
            unknown_field: None,
        };
        for line in lines(block) {
            let malformed = || ApkError::Line(line.to_owned());
            let mut characters = line.chars();
            let (Some(key), Some(':')) = (characters.next(), characters.next()) else { return Err(malformed()) };
            let value = characters.as_str();
            let number = || value.parse().map_err(|_| malformed());
            match key {
                'P' => name = Some(value.to_owned()),
                'V' => version = Some(value.parse()?),
                'C' => package.checksum = value.parse().ok(),
                'A' => value.clone_into(&mut package.arch),
                'S' => package.size = number()?,
                'o' => package.origin = Some(value.to_owned()).filter(|origin| !origin.is_empty()),
                't' => package.build_time = number()?,
                // A package that is not understood spoils no repository: it is only not to be had.
                'D' | 'p' | 'i' => {
                    let read = package.read_names(key, value);
                    package.unknown_field = package.unknown_field.or(read.err().map(|_| key));
                }
                'k' => package.provider_priority = number()?,
                'I' | 'T' | 'U' | 'L' | 'F' | 'M' | 'R' | 'Z' => {}
                other if other.is_ascii_uppercase() => package.unknown_field = Some(other),
                _ => {}
            }
        }
        package.name = name.filter(|name| is_file_name(name)).ok_or_else(|| ApkError::Nameless(first_line(block)))?;
        package.version = version.ok_or_else(|| ApkError::Nameless(first_line(block)))?;
        Ok(package)
    }

    fn read_names(&mut self, key: char, value: &str) -> Result<(), ApkError> {
        match key {
            'D' => self.depends.extend(Dependency::parse_list(value)?),
            'i' => self.install_if.extend(Dependency::parse_list(value)?),
            _ => {
                let provided = value.split_ascii_whitespace().map(str::parse);
                self.provides.extend(provided.collect::<Result<Vec<_>, _>>()?);
            }
        }
        Ok(())
    }

    /// `NAME-VERSION`, as apk writes it.
    pub fn label(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    /// The names it answers to, its own first.
    pub fn names(&self) -> impl Iterator<Item = (&str, Option<&Version>)> {
        let own = (self.name.as_str(), Some(&self.version));
        std::iter::once(own).chain(self.provides.iter().map(|given| (given.name.as_str(), given.version.as_ref())))
    }

    /// Whether it is there under a name, and with a version that will do.
    pub fn satisfies(&self, dependency: &Dependency) -> bool {
        self.names().any(|(name, version)| name == dependency.name && dependency.accepts(version))
    }
}

/// A package's file is named after it, and its name stands in addresses: neither leads anywhere else.
fn is_file_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('.') && !name.contains(|c: char| matches!(c, '/' | '\\') || c.is_control())
}

fn first_line(block: &str) -> String {
    lines(block).next().unwrap_or_default().to_owned()
}

/// The packages of a repository, by the text of its `APKINDEX`: blocks of lines with an empty line between.
pub fn parse_index(text: &str) -> Result<Vec<Package>, ApkError> {
    blocks(text).map(Package::parse).collect()
}

/// The lines of a block. As for apk, nothing but a line feed ends one: a carriage return is part of what stands there.
pub(super) fn lines(block: &str) -> SplitTerminator<'_, char> {
    block.split_terminator('\n')
}

/// The blocks of an index or a database.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = &str> {
    text.split("\n\n").map(|block| block.trim_matches('\n')).filter(|block| !block.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CURL: &str = "C:Q12jmj7l5rSw0yVb/vlWAYkK/YBwk=\nP:curl\nV:8.9.1-r1\nA:x86_64\nS:120\nI:300\nT:a client\n\
                        U:https://curl.se/\nL:curl\no:curl\nt:1722000000\nk:10\nD:so:libcurl.so.4 !wget<1\n\
                        p:cmd:curl=8.9.1-r1 fetcher\ni:a b=1\n";

    #[test]
    fn an_index_is_read() {
        let packages = parse_index(&format!("{CURL}\nP:b\nV:1\n\n")).unwrap();
        let [curl, other] = &packages[..] else { panic!("{packages:?}") };
        assert_eq!(
            (curl.label(), curl.arch.as_str(), curl.size, curl.build_time),
            ("curl-8.9.1-r1".into(), "x86_64", 120, 1_722_000_000)
        );
        assert!(curl.checksum.as_ref().is_some_and(|checksum| checksum.is_of(b"")));
        assert_eq!(curl.depends.iter().map(ToString::to_string).collect::<Vec<_>>(), ["so:libcurl.so.4", "!wget<1"]);
        assert_eq!((curl.provides.len(), curl.install_if.len(), curl.provider_priority), (2, 2, 10));
        assert_eq!(other.label(), "b-1");
        let table =
            [("curl>8", true), ("cmd:curl=8.9.1-r1", true), ("fetcher", true), ("fetcher=1", false), ("wget", false)];
        for (dependency, expected) in table {
            assert_eq!(curl.satisfies(&dependency.parse().unwrap()), expected, "{dependency}");
        }
    }

    #[test]
    fn what_is_no_package() {
        let table = [
            ("no name", "V:1", "without a name"),
            ("no version", "P:a", "without a name"),
            ("a name that leads elsewhere", "P:../a\nV:1", "without a name"),
            ("a line without a key", "P:a\nV:1\nhello", "hello"),
            ("a size that is none", "P:a\nV:1\nS:x", "S:x"),
            ("a version that leads elsewhere", "P:a\nV:1/2", "`1/2`"),
        ];
        for (comment, text, expected) in table {
            let error = parse_index(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{comment}: {error}");
        }
        let twice = parse_index("P:a\nV:1\np:b\np:c=1\nD:d\nD:e").unwrap();
        assert_eq!((twice[0].provides.len(), twice[0].depends.len()), (2, 2), "a field in two lines");
        assert_eq!(parse_index("P:a\nV:1\nX:new").unwrap()[0].unknown_field, Some('X'));
        assert_eq!(parse_index("P:a\nV:1\nD:b>=x").unwrap()[0].unknown_field, Some('D'));
        assert_eq!(parse_index("P:a\nV:1\nx:new").unwrap()[0].unknown_field, None);
    }
}
