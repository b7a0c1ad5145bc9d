//! Names of images: [`Repository`], [`Reference`], and how people write them.
//!
//! Sources: OCI distribution-spec, "Pulling manifests" (repository and tag names); the reference grammar of
//! `distribution/reference`, which Docker, podman and everything after them share.

use std::fmt;
use std::str::FromStr;

use super::RegistryHost;
use crate::digest::Digest;

const NAME_LIMIT: usize = 255;
const TAG_LIMIT: usize = 128;

/// A repository: a registry and a name in it, such as `docker.io/library/node`, without a tag.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    registry: RegistryHost,
    name: String,
}

impl Repository {
    /// The registry.
    pub fn registry(&self) -> &RegistryHost {
        &self.registry
    }

    /// The name inside the registry, such as `library/node`.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What lies above all repositories of a registry.
    pub(super) fn root_of(registry: &RegistryHost) -> Self {
        Self { registry: registry.clone(), name: String::new() }
    }

    /// The image of this repository under `tag`.
    pub fn with_tag(&self, tag: &str) -> Result<Reference, ReferenceError> {
        Ok(Reference { repository: self.clone(), tag: Some(checked_tag(tag)?), digest: None })
    }

    /// The image of this repository with `digest`.
    pub fn with_digest(&self, digest: Digest) -> Reference {
        Reference { repository: self.clone(), tag: None, digest: Some(digest) }
    }
}

impl FromStr for Repository {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        check_beginning(text)?;
        let (registry, name) = match text.split_once('/') {
            Some((first, rest)) if RegistryHost::is_meant(first) => (first.parse()?, rest),
            _ => (RegistryHost::docker_hub(), text),
        };
        check_name(name)?;
        let alone = registry.is_docker_hub() && !name.contains('/');
        let name = if alone { format!("library/{name}") } else { name.to_owned() };
        // With its beginning the name may be too long after all.
        check_name(&name)?;
        Ok(Self { registry, name })
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.name)
    }
}

/// The name of an image, as `[HOST[:PORT]/]REPOSITORY[:TAG][@DIGEST]`. It always has a tag or a digest; where neither
/// is written the tag is `latest`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// What its tag names now, whatever that is.
    pub(super) fn without_digest(&self) -> Self {
        Self { digest: None, ..self.clone() }
    }

    /// The registry.
    pub fn registry(&self) -> &RegistryHost {
        &self.repository.registry
    }

    /// The repository, with its registry.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag, if one is given.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest, if one is given.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// The same repository under another tag, without a digest.
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        self.repository.with_tag(tag)
    }

    /// This very name, pinned to `digest`.
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        check_beginning(text)?;
        let (rest, digest) = match text.split_once('@') {
            Some((rest, digest)) => {
                (rest, Some(digest.parse().map_err(|_| ReferenceError::Digest(digest.to_owned()))?))
            }
            None => (text, None),
        };
        let name_start = rest.rfind('/').map_or(0, |slash| slash + 1);
        let (name, tag) = match rest[name_start..].split_once(':') {
            Some((name, tag)) => (&rest[..name_start + name.len()], Some(checked_tag(tag)?)),
            None => (rest, None),
        };
        let tag = tag.or_else(|| digest.is_none().then(|| "latest".to_owned()));
        Ok(Self { repository: name.parse()?, tag, digest })
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = self.digest {
            write!(f, "@{digest}")?;
        }
        Ok(())
    }
}

/// Why a text is no name of an image.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// Nothing is written.
    #[error("an image reference is empty")]
    Empty,
    /// A URL, where a name without a scheme belongs.
    #[error("an image reference has no scheme: `{0}`")]
    Scheme(String),
    /// The part before the first slash is no host.
    #[error("not a registry host: `{0}`")]
    Host(String),
    /// The repository's name breaks the rules.
    #[error(
        "a repository name consists of lower-case letters, digits and single separators (`.`, `_`, `-`), in parts \
         between slashes: `{0}`"
    )]
    Name(String),
    /// The repository's name is too long.
    #[error("a repository name has at most {NAME_LIMIT} characters: `{0}`")]
    TooLong(String),
    /// The tag breaks the rules.
    #[error(
        "a tag has 1 to {TAG_LIMIT} letters, digits, `_`, `.` and `-`, and starts with none of the last two: `{0}`"
    )]
    Tag(String),
    /// What follows `@` is no digest.
    #[error("not a digest (`sha256:` and 64 lower-case hexadecimal digits): `{0}`")]
    Digest(String),
}

impl ReferenceError {
    /// What to write instead, where that can be told.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Empty => Some("write one such as `ghcr.io/acme/api:1.0`".to_owned()),
            Self::Scheme(text) => {
                let name = text.split_once("://").map_or(text.as_str(), |(_, name)| name);
                Some(format!("leave out the scheme: `{name}`"))
            }
            Self::Name(name) if check_name(&name.to_lowercase()).is_ok() => {
                Some(format!("write it in lower case: `{}`", name.to_lowercase()))
            }
            Self::Name(name) if name.contains(':') => {
                Some("write the tag once, after the last part of the name: `HOST/NAME:TAG`".to_owned())
            }
            Self::Tag(tag) if tag.contains('@') => {
                Some("write the tag before the digest: `NAME:TAG@DIGEST`".to_owned())
            }
            Self::Tag(tag) => {
                let other = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-'));
                checked_tag(&tag.replace(other, "-")).ok().map(|tag| format!("write it as `{tag}`"))
            }
            _ => None,
        }
    }
}

fn check_beginning(text: &str) -> Result<(), ReferenceError> {
    match text {
        "" => Err(ReferenceError::Empty),
        _ if text.contains("://") => Err(ReferenceError::Scheme(text.to_owned())),
        _ => Ok(()),
    }
}

fn check_name(name: &str) -> Result<(), ReferenceError> {
    if name.len() > NAME_LIMIT {
        return Err(ReferenceError::TooLong(name.to_owned()));
    }
    if name.split('/').all(is_name_part) { Ok(()) } else { Err(ReferenceError::Name(name.to_owned())) }
}

/// `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`
fn is_name_part(part: &str) -> bool {
    let is_word = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let is_separator = |run: &str| matches!(run, "." | "_" | "__") || run.bytes().all(|b| b == b'-');
    let bounded = part.bytes().next().is_some_and(is_word) && part.bytes().last().is_some_and(is_word);
    bounded && part.split(|c: char| c.is_ascii() && is_word(c as u8)).filter(|run| !run.is_empty()).all(is_separator)
}

fn checked_tag(tag: &str) -> Result<String, ReferenceError> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let valid = tag.len() <= TAG_LIMIT
        && tag.bytes().next().is_some_and(is_word)
        && tag.bytes().all(|b| is_word(b) || matches!(b, b'.' | b'-'));
    if valid { Ok(tag.to_owned()) } else { Err(ReferenceError::Tag(tag.to_owned())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn references_and_their_normal_form() {
        let pinned = format!("docker.io/library/node@{DIGEST}");
        let both = format!("ghcr.io/acme/api:1.0@{DIGEST}");
        let table = [
            ("Docker Hub, short", "node", "docker.io/library/node:latest"),
            ("Docker Hub, tag", "node:20-alpine", "docker.io/library/node:20-alpine"),
            ("Docker Hub, user", "acme/api:1", "docker.io/acme/api:1"),
            ("Docker Hub, index host", "index.docker.io/node:20", "docker.io/library/node:20"),
            ("Docker Hub, API host", "registry-1.docker.io/library/node:20", "docker.io/library/node:20"),
            ("digest, no tag", &pinned.replace("docker.io/library/", ""), &pinned),
            ("tag and digest", &both, &both),
            ("port", "localhost:5000/api", "localhost:5000/api:latest"),
            ("localhost without a port", "localhost/api:1", "localhost/api:1"),
            ("IPv4", "127.0.0.1:5000/a/b/c:x", "127.0.0.1:5000/a/b/c:x"),
            ("IPv6", "[::1]:5000/api:1", "[::1]:5000/api:1"),
            ("IPv6 without a port", "[2001:db8::1]/api:1", "[2001:db8::1]/api:1"),
            ("upper-case host", "GHCR.io/acme/api:V1", "ghcr.io/acme/api:V1"),
            ("separators", "ghcr.io/a__b/c---d.e_f:1", "ghcr.io/a__b/c---d.e_f:1"),
        ];
        for (comment, text, expected) in table {
            let actual = text.parse::<Reference>().map(|reference| reference.to_string());
            assert_eq!(actual, Ok(expected.to_owned()), "{comment}");
            assert_eq!(
                expected.parse::<Reference>().map(|r| r.to_string()),
                Ok(expected.to_owned()),
                "{comment}, again"
            );
        }
    }

    #[test]
    fn what_is_no_reference_is_told_with_a_hint() {
        let long = "a".repeat(300);
        let table: [(&str, &str, ReferenceError, Option<&str>); 15] = [
            ("empty", "", ReferenceError::Empty, Some("write one such as `ghcr.io/acme/api:1.0`")),
            (
                "URL",
                "https://ghcr.io/acme/api",
                ReferenceError::Scheme("https://ghcr.io/acme/api".into()),
                Some("leave out the scheme: `ghcr.io/acme/api`"),
            ),
            (
                "upper case",
                "ghcr.io/Acme/api:1",
                ReferenceError::Name("Acme/api".into()),
                Some("write it in lower case: `acme/api`"),
            ),
            (
                "upper case that looks like a host to Docker",
                "Acme/api/v8",
                ReferenceError::Name("Acme/api/v8".into()),
                Some("write it in lower case: `acme/api/v8`"),
            ),
            ("double slash", "ghcr.io/acme//api", ReferenceError::Name("acme//api".into()), None),
            ("climbing", "ghcr.io/../api", ReferenceError::Name("../api".into()), None),
            ("separator at the end", "ghcr.io/acme-", ReferenceError::Name("acme-".into()), None),
            ("three underscores", "a___b", ReferenceError::Name("a___b".into()), None),
            ("empty tag", "ghcr.io/acme:", ReferenceError::Tag(String::new()), None),
            ("space in the tag", "acme:a b", ReferenceError::Tag("a b".into()), Some("write it as `a-b`")),
            ("short digest", "acme@sha256:12", ReferenceError::Digest("sha256:12".into()), None),
            ("port 0", "localhost:0/api", ReferenceError::Host("localhost:0".into()), None),
            ("bad IPv6", "[::zz]/api", ReferenceError::Host("[::zz]".into()), None),
            ("too long", &long, ReferenceError::TooLong(long.clone()), None),
            (
                "too long with `library/`",
                &long[..250],
                ReferenceError::TooLong(format!("library/{}", &long[..250])),
                None,
            ),
        ];
        for (comment, text, expected, hint) in table {
            let actual = text.parse::<Reference>();
            assert_eq!(actual.as_ref().err().and_then(ReferenceError::hint).as_deref(), hint, "{comment}");
            assert_eq!(actual, Err(expected), "{comment}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[a-zA-Z0-9.:/@_\\[\\]\u{e9} -]{0,40}|\\PC{0,20}") {
            if let Ok(reference) = text.parse::<Reference>() {
                proptest::prop_assert_eq!(reference.to_string().parse(), Ok(reference));
            }
        }
    }
}
