use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{self, Algorithm, SHA1_FOR_LEGACY_USE_ONLY, SHA256};

use super::ApkError;

/// A checksum as apk writes it: `Q1` and the base64 of a SHA-1, or `Q2` and that of a SHA-256.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum(Vec<u8>);

impl Checksum {
    /// The SHA-1 of some bytes.
    pub fn sha1(bytes: &[u8]) -> Self {
        Self::of(&SHA1_FOR_LEGACY_USE_ONLY, bytes)
    }

    fn of(algorithm: &'static Algorithm, bytes: &[u8]) -> Self {
        Self(digest::digest(algorithm, bytes).as_ref().to_vec())
    }

    /// The SHA-1 that 40 hexadecimal digits are.
    pub fn from_sha1_hex(hex: &str) -> Option<Self> {
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let bytes = hex.as_bytes().chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?));
        bytes.collect::<Option<Vec<u8>>>().filter(|bytes| bytes.len() == 20 && hex.len() == 40).map(Self)
    }

    /// The checksum that this digest is.
    pub fn from_digest(digest: &digest::Digest) -> Self {
        Self(digest.as_ref().to_vec())
    }

    /// Whether these bytes have it.
    pub fn is_of(&self, bytes: &[u8]) -> bool {
        let algorithm = if self.0.len() == SHA256.output_len() { &SHA256 } else { &SHA1_FOR_LEGACY_USE_ONLY };
        *self == Self::of(algorithm, bytes)
    }

    /// Its hexadecimal digits: fit for a file's name.
    pub fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for Checksum {
    type Err = ApkError;

    fn from_str(text: &str) -> Result<Self, ApkError> {
        let malformed = || ApkError::Checksum(text.to_owned());
        let (base64, length) = match text.split_at_checked(2) {
            Some(("Q1", base64)) => (base64, SHA1_FOR_LEGACY_USE_ONLY.output_len()),
            Some(("Q2", base64)) => (base64, SHA256.output_len()),
            _ => return Err(malformed()),
        };
        let bytes = STANDARD.decode(base64).map_err(|_| malformed())?;
        if bytes.len() == length { Ok(Self(bytes)) } else { Err(malformed()) }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let prefix = if self.0.len() == SHA256.output_len() { "Q2" } else { "Q1" };
        write!(f, "{prefix}{}", STANDARD.encode(&self.0))
    }
}

impl serde::Serialize for Checksum {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for Checksum {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_and_checksums() {
        let sha1 = Checksum::sha1(b"");
        assert_eq!(sha1.to_string(), "Q12jmj7l5rSw0yVb/vlWAYkK/YBwk=");
        assert_eq!(Checksum::from_sha1_hex(&sha1.hex()), Some(sha1.clone()));
        let table = [
            ("SHA-1", "Q12jmj7l5rSw0yVb/vlWAYkK/YBwk=", true),
            ("SHA-256", "Q247DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", true),
            ("too short", "Q12jmj7l5rSw0yVb", false),
            ("no prefix", "2jmj7l5rSw0yVb/vlWAYkK/YBwk=", false),
            ("an old form", "da39a3ee5e6b4b0d3255bfef95601890afd80709", false),
            ("nothing", "", false),
        ];
        for (comment, text, expected) in table {
            assert_eq!(text.parse::<Checksum>().is_ok_and(|checksum| checksum.is_of(b"")), expected, "{comment}");
        }
        let sha256 = "Q247DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=".parse::<Checksum>().unwrap();
        assert!(sha256.is_of(b"") && sha256.hex().starts_with("e3b0c442"));
        for hex in ["", "zz", &sha1.hex()[1..], &"é".repeat(20)] {
            assert_eq!(Checksum::from_sha1_hex(hex), None, "{hex}");
        }
    }
}
