//! Checking a tarball's bytes while they pass.

use ring::digest;

use crate::workspace::lockfiles::{Hash, HashAlgorithm, Integrity};

/// Hashes bytes with the strongest algorithm of an integrity.
pub(super) struct Verification<'a> {
    integrity: &'a Integrity,
    algorithm: HashAlgorithm,
    context: digest::Context,
}

impl<'a> Verification<'a> {
    /// `None` if the strongest hash is one that anybody can forge (MD5).
    pub(super) fn new(integrity: &'a Integrity) -> Option<Self> {
        let algorithm = integrity.strongest().next()?.algorithm();
        let context = digest::Context::new(match algorithm {
            HashAlgorithm::Md5 => return None,
            HashAlgorithm::Sha1 => &digest::SHA1_FOR_LEGACY_USE_ONLY,
            HashAlgorithm::Sha256 => &digest::SHA256,
            HashAlgorithm::Sha384 => &digest::SHA384,
            HashAlgorithm::Sha512 => &digest::SHA512,
        });
        Some(Self { integrity, algorithm, context })
    }

    /// Takes in the next bytes.
    pub(super) fn update(&mut self, bytes: &[u8]) {
        self.context.update(bytes);
    }

    /// Whether everything taken in is what the integrity says; if not, the expected hashes and the actual one.
    pub(super) fn finish(self) -> Result<(), (String, String)> {
        let bytes = self.context.finish().as_ref().to_vec();
        if self.integrity.strongest().any(|hash| hash.bytes() == bytes) {
            return Ok(());
        }
        let expected: Vec<_> = self.integrity.strongest().map(Hash::to_string).collect();
        let actual = Hash::new(self.algorithm, bytes).map_or_else(String::new, |hash| hash.to_string());
        Err((expected.join(" "), actual))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, bytes: &[u8]) -> Option<Result<(), (String, String)>> {
        let integrity = Integrity::parse(text).unwrap();
        let mut verification = Verification::new(&integrity)?;
        bytes.chunks(2).for_each(|piece| verification.update(piece));
        Some(verification.finish())
    }

    #[test]
    fn every_algorithm() {
        // Of the bytes `abc`, as in FIPS 180-2.
        let table = [
            "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=",
            "sha256-ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=",
            "sha384-ywB1P0WjXou1oD1pmsZQBycsMqsO3tFjGotgWkP/W+2AhgcroefMI1i67KE0yCWn",
            "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==",
        ];
        for text in table {
            assert_eq!(check(text, b"abc"), Some(Ok(())), "{text}");
            let (expected, actual) = check(text, b"abd").unwrap().unwrap_err();
            assert_eq!(expected, text);
            assert!(actual != text && actual.split('-').next() == text.split('-').next(), "{actual}");
        }
        assert_eq!(check("md5-kAFQmDzST7DWlj99KOF/cg==", b"abc"), None);
    }

    #[test]
    fn only_the_strongest_counts_and_any_of_them_does() {
        let right = "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";
        let wrong512 = format!("sha512-{}==", "A".repeat(86));
        let wrong1 = "sha1-AAAAAAAAAAAAAAAAAAAAAAAAAAA=";
        assert!(check(&format!("{right} {wrong512}"), b"abc").unwrap().is_err());
        assert!(check(&format!("{right} {wrong1}"), b"abc").unwrap().is_ok());
    }
}
