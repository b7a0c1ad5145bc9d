//! What the bytes of a package must be.

use std::collections::BTreeSet;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// A hash function that lockfiles use, the weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum HashAlgorithm {
    /// MD5, which old lockfiles may hold
    Md5,
    /// SHA-1
    Sha1,
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

impl HashAlgorithm {
    const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The length of its hashes in bytes.
    pub fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }
}

impl fmt::Display for HashAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        })
    }
}

/// One hash: an algorithm and exactly as many bytes as it gives.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hash {
    algorithm: HashAlgorithm,
    bytes: Vec<u8>,
}

impl Hash {
    /// A hash of these bytes; `None` if the algorithm does not give so many.
    pub fn new(algorithm: HashAlgorithm, bytes: Vec<u8>) -> Option<Self> {
        (bytes.len() == algorithm.length()).then_some(Self { algorithm, bytes })
    }

    /// Reads hexadecimal digits.
    pub fn from_hex(algorithm: HashAlgorithm, text: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let pair = |pair: &[u8]| match pair {
            [high, low] => Some(digit(*high)? * 16 + digit(*low)?),
            _ => None,
        };
        Self::new(algorithm, text.as_bytes().chunks(2).map(pair).collect::<Option<_>>()?)
    }

    /// The hash function.
    pub fn algorithm(&self) -> HashAlgorithm {
        self.algorithm
    }

    /// Its result.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its result in hexadecimal digits, in lower case.
    pub fn hex(&self) -> String {
        self.bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.algorithm, STANDARD.encode(&self.bytes))
    }
}

/// The hashes of a tarball, any of the strongest of which has to fit.
///
/// Source: W3C, Subresource Integrity, "The integrity attribute"; the reader is as lenient as npm's `ssri`: what is no
/// hash it knows is passed over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Integrity(BTreeSet<Hash>);

impl Integrity {
    /// Reads `ALGORITHM-BASE64[?OPTIONS]`, any number of them between white space; `None` if there is not one.
    pub fn parse(text: &str) -> Option<Self> {
        let hashes: BTreeSet<Hash> = text.split_ascii_whitespace().filter_map(hash).collect();
        (!hashes.is_empty()).then_some(Self(hashes))
    }

    /// The integrity that is this one hash.
    pub fn of(hash: Hash) -> Self {
        Self([hash].into())
    }

    /// Adds a hash.
    pub fn insert(&mut self, hash: Hash) {
        self.0.insert(hash);
    }

    /// All hashes, the weakest algorithm first.
    pub fn hashes(&self) -> impl Iterator<Item = &Hash> {
        self.0.iter()
    }

    /// The hashes of the strongest algorithm: content is right if one of them is its own.
    pub fn strongest(&self) -> impl Iterator<Item = &Hash> {
        let strongest = self.0.last().map(Hash::algorithm);
        self.0.iter().filter(move |hash| Some(hash.algorithm) == strongest)
    }
}

impl fmt::Display for Integrity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let texts: Vec<String> = self.0.iter().map(Hash::to_string).collect();
        f.write_str(&texts.join(" "))
    }
}

fn hash(text: &str) -> Option<Hash> {
    let (name, rest) = text.split_once('-')?;
    let algorithm = HashAlgorithm::ALL.into_iter().find(|algorithm| algorithm.to_string() == name)?;
    let encoded = rest.split_once('?').map_or(rest, |(encoded, _)| encoded);
    Hash::new(algorithm, STANDARD.decode(encoded).ok()?)
}

/// What a lockfile says of a package's bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Checksum {
    /// Of the tarball, as it comes from a registry.
    Tarball(Integrity),
    /// Of the archive that yarn makes of it, before any patch. Of the tarball's own bytes it says nothing.
    YarnCache(YarnCacheChecksum),
    /// None, on purpose: yarn 2 and later state none for what is optional and made for some platforms only.
    ///
    /// Source: yarn, `packages/yarnpkg-core/sources/Project.ts` (4.18): `conditionalLocators` are `unstablePackages`.
    Unstated,
}

impl Checksum {
    /// What the tarball's bytes must be, where the lockfile says so.
    pub fn tarball(&self) -> Option<&Integrity> {
        match self {
            Self::Tarball(integrity) => Some(integrity),
            Self::YarnCache(_) | Self::Unstated => None,
        }
    }
}

/// The SHA-512 of the zip archive into which yarn 2 and later repacks a package.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct YarnCacheChecksum {
    /// The version of the archive's recipe, and its compression: `10c0`.
    pub cache_key: String,
    /// The hash in hexadecimal digits.
    pub sha512: String,
}

impl YarnCacheChecksum {
    /// Reads `[CACHEKEY/]HEX`; older lockfiles state the key once for all.
    pub(super) fn parse(text: &str, cache_key: Option<&str>) -> Option<Self> {
        let (key, hex) = match text.rsplit_once('/') {
            Some((key, hex)) => (key, hex),
            None => (cache_key.unwrap_or_default(), text),
        };
        Hash::from_hex(HashAlgorithm::Sha512, hex)?;
        Some(Self { cache_key: key.to_owned(), sha512: hex.to_ascii_lowercase() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integrity_is_read_as_ssri_does() {
        let sha1 = "sha1-Kq5sNclPz7QV2+lfQIuc6R7oRu8=";
        let sha512 = format!("sha512-{}==", "A".repeat(86));
        let table: [(&str, String, Option<String>); 7] = [
            ("one", sha1.into(), Some(sha1.into())),
            ("two, weakest first", format!("{sha512} {sha1}"), Some(format!("{sha1} {sha512}"))),
            ("options", format!("{sha512}?a=b"), Some(sha512.clone())),
            ("another algorithm beside", format!("sha3-AAAA {sha1}"), Some(sha1.into())),
            ("too short", "sha512-AAAA".into(), None),
            ("no base64", "sha1-!!".into(), None),
            ("nothing", "".into(), None),
        ];
        for (comment, text, expected) in table {
            assert_eq!(Integrity::parse(&text).map(|integrity| integrity.to_string()), expected, "{comment}");
        }
        let both = Integrity::parse(&format!("{sha1} {sha512}")).unwrap();
        assert_eq!(both.strongest().map(Hash::algorithm).collect::<Vec<_>>(), [HashAlgorithm::Sha512]);
    }

    #[test]
    fn hexadecimal_digits() {
        let table = [
            ("sha1", "da39a3ee5e6b4b0d3255bfef95601890afd80709", true),
            ("odd", "da3", false),
            ("other characters", "zz39a3ee5e6b4b0d3255bfef95601890afd80709", false),
            ("a sign", "+a39a3ee5e6b4b0d3255bfef95601890afd80709", false),
        ];
        for (comment, text, expected) in table {
            assert_eq!(Hash::from_hex(HashAlgorithm::Sha1, text).is_some(), expected, "{comment}");
        }
    }

    #[test]
    fn a_checksum_of_yarns_archive_is_none_of_a_tarball() {
        let hex = "0f".repeat(64);
        let table = [
            ("with its key", format!("10c0/{hex}"), Some("8"), Some("10c0")),
            ("the file's key", hex.clone(), Some("8"), Some("8")),
            ("no hash", "10c0/abc".into(), None, None),
        ];
        for (comment, text, key, expected) in table {
            let parsed = YarnCacheChecksum::parse(&text, key);
            assert_eq!(parsed.as_ref().map(|checksum| checksum.cache_key.as_str()), expected, "{comment}");
            assert!(parsed.is_none_or(|checksum| Checksum::YarnCache(checksum).tarball().is_none()), "{comment}");
        }
    }
}
