//! Who vouches for an index or a package: RSA signatures over the bytes of a gzip member, and the keys that a base trusts.
//!
//! Sources: the Alpine wiki, "Apk spec" (`.SIGN.RSA.KEY`); RFC 5280 (SubjectPublicKeyInfo); RFC 8017 (RSASSA-PKCS1-v1_5).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::signature::{
    RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY, RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
    RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY, RsaParameters, UnparsedPublicKey,
};

use super::ApkError;

/// The object identifier rsaEncryption, 1.2.840.113549.1.1.1, as DER has it.
const RSA_ENCRYPTION: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 1, 1, 1];

/// A public key that signatures name by its file's name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    /// Such as `alpine-devel@lists.alpinelinux.org-6165ee59.rsa.pub`.
    pub name: String,
    /// The RSAPublicKey of RFC 8017.
    der: Vec<u8>,
}

impl PublicKey {
    /// Reads the PEM file of this name.
    pub fn parse(name: &str, pem: &str) -> Result<Self, ApkError> {
        let malformed = || ApkError::Key(name.to_owned());
        let inside = pem.split_once("-----BEGIN PUBLIC KEY-----").map(|(_, rest)| rest);
        let (base64, _) = inside.and_then(|rest| rest.split_once("-----END PUBLIC KEY-----")).ok_or_else(malformed)?;
        let base64: String = base64.split_ascii_whitespace().collect();
        let info = STANDARD.decode(base64).map_err(|_| malformed())?;
        let der = rsa_public_key(&info).ok_or_else(malformed)?.to_vec();
        Ok(Self { name: name.to_owned(), der })
    }
}

/// The key inside a SubjectPublicKeyInfo.
fn rsa_public_key(info: &[u8]) -> Option<&[u8]> {
    const SEQUENCE: u8 = 0x30;
    let (info, _) = der_value(info, SEQUENCE)?;
    let (algorithm, rest) = der_value(info, SEQUENCE)?;
    let (algorithm, _) = der_value(algorithm, 0x06)?;
    let (bits, _) = der_value(rest, 0x03)?;
    // The first byte says how many bits at the end are none.
    (algorithm == RSA_ENCRYPTION).then_some(bits.strip_prefix(&[0])?)
}

/// The value of the element of this tag that `der` begins with, and what follows it.
fn der_value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (&[found, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (length.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    (found == tag).then_some(rest.split_at_checked(length)?)
}

/// A signature, as the file `.SIGN.ALGORITHM.KEY` holds it.
#[derive(Clone, Debug)]
pub struct Signature {
    /// The name of the key.
    pub key: String,
    algorithm: &'static RsaParameters,
    bytes: Vec<u8>,
}

impl Signature {
    /// The signature that a file of this name holds; `None` if the name is not one of a signature that can be checked.
    pub fn of_file(name: &str, bytes: Vec<u8>) -> Option<Self> {
        let (algorithm, key) = name.strip_prefix(".SIGN.")?.split_once('.')?;
        let algorithm = match algorithm {
            "RSA" => &RSA_PKCS1_1024_8192_SHA1_FOR_LEGACY_USE_ONLY,
            "RSA256" => &RSA_PKCS1_1024_8192_SHA256_FOR_LEGACY_USE_ONLY,
            "RSA512" => &RSA_PKCS1_1024_8192_SHA512_FOR_LEGACY_USE_ONLY,
            _ => return None,
        };
        Some(Self { key: key.to_owned(), algorithm, bytes })
    }

    /// Whether the key's owner signed these bytes.
    pub fn is_valid(&self, key: &PublicKey, signed: &[u8]) -> bool {
        UnparsedPublicKey::new(self.algorithm, &key.der).verify(signed, &self.bytes).is_ok()
    }
}

/// What became of signatures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// One is of a key that is trusted, and valid.
    Valid,
    /// None is of a key that is trusted.
    Unknown,
    /// One is of a key that is trusted, and is not over these bytes.
    Wrong,
}

/// Checks the signatures over some bytes.
pub fn verdict(signatures: &[Signature], signed: &[u8], keys: &[PublicKey]) -> Verdict {
    let known = signatures.iter().flat_map(|signature| {
        keys.iter().filter(|key| key.name == signature.key).map(move |key| signature.is_valid(key, signed))
    });
    known.fold(Verdict::Unknown, |verdict, is_valid| match (verdict, is_valid) {
        (Verdict::Wrong, _) | (_, false) => Verdict::Wrong,
        (_, true) => Verdict::Valid,
    })
}

#[cfg(test)]
mod tests {
    use std::slice::from_ref;

    use super::*;

    /// Of 1024 bits, made with openssl for this test alone.
    const KEY: &str = include_str!("../../tests/fixtures/apk-signature/test.rsa.pub");
    const SIGNED: &[u8] = b"pirogue";

    fn signature(name: &str) -> Signature {
        let base64 = match name {
            ".SIGN.RSA.test.rsa.pub" => include_str!("../../tests/fixtures/apk-signature/pirogue.sha1"),
            _ => include_str!("../../tests/fixtures/apk-signature/pirogue.sha256"),
        };
        let base64: String = base64.split_ascii_whitespace().collect();
        Signature::of_file(name, STANDARD.decode(base64).unwrap()).unwrap()
    }

    #[test]
    fn verdicts() {
        let key = PublicKey::parse("test.rsa.pub", KEY).unwrap();
        let other = PublicKey { name: "other.rsa.pub".into(), ..key.clone() };
        let (sha1, sha256) = (signature(".SIGN.RSA.test.rsa.pub"), signature(".SIGN.RSA256.test.rsa.pub"));
        let mut damaged = sha256.clone();
        damaged.bytes[0] ^= 1;
        let keys = [other.clone(), key];
        let table: [(&str, &[Signature], &[u8], &[PublicKey], Verdict); 8] = [
            ("SHA-1", from_ref(&sha1), SIGNED, &keys, Verdict::Valid),
            ("SHA-256", from_ref(&sha256), SIGNED, &keys, Verdict::Valid),
            ("both", &[sha1.clone(), sha256.clone()], SIGNED, &keys, Verdict::Valid),
            ("none", &[], SIGNED, &keys, Verdict::Unknown),
            ("of a key that is not there", from_ref(&sha1), SIGNED, &keys[..1], Verdict::Unknown),
            ("other bytes", from_ref(&sha1), b"Pirogue", &keys, Verdict::Wrong),
            ("another signature", from_ref(&damaged), SIGNED, &keys, Verdict::Wrong),
            ("one of two", &[sha1.clone(), damaged.clone()], SIGNED, &keys, Verdict::Wrong),
        ];
        for (comment, signatures, signed, keys, expected) in table {
            assert_eq!(verdict(signatures, signed, keys), expected, "{comment}");
        }
    }

    #[test]
    fn what_is_no_key_or_signature() {
        for pem in ["", "-----BEGIN PUBLIC KEY-----", &KEY.replace("MIGf", "MIGe"), &KEY.replace("MIGf", "!!!!")] {
            assert!(PublicKey::parse("test", pem).is_err(), "{pem}");
        }
        for name in [".PKGINFO", ".SIGN.DSA.a", ".SIGN.RSA", ".SIGN.", "SIGN.RSA.a"] {
            assert!(Signature::of_file(name, Vec::new()).is_none(), "{name}");
        }
    }
}
