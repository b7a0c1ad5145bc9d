use serde::Serialize;
use serde::de::DeserializeOwned;

use super::Descriptor;
use crate::digest::Digest;

/// A JSON document together with its exact bytes. Foreign documents are never encoded again: their bytes are the truth
/// that digests speak of.
#[derive(Clone, Debug)]
pub struct Raw<T> {
    bytes: Vec<u8>,
    digest: Digest,
    parsed: T,
}

/// Why bytes are not the document they were taken for.
#[derive(Debug, thiserror::Error)]
#[error("not a valid {kind}: {reason}")]
pub struct DocumentError {
    /// What was expected, such as `image manifest`.
    kind: &'static str,
    /// What the JSON reader found.
    reason: String,
}

impl<T: DeserializeOwned> Raw<T> {
    /// Reads foreign bytes as a `kind` (for the error text, such as `image manifest`).
    pub fn parse(kind: &'static str, bytes: Vec<u8>) -> Result<Self, DocumentError> {
        match serde_json::from_slice(&bytes) {
            Ok(parsed) => Ok(Self { digest: Digest::of(&bytes), bytes, parsed }),
            Err(error) => Err(DocumentError { kind, reason: error.to_string() }),
        }
    }
}

impl<T: Serialize> Raw<T> {
    /// Encodes a document of our own in its canonical form: no white space, fields in the order of the struct, maps
    /// sorted by key.
    pub fn encode(kind: &'static str, document: T) -> Result<Self, DocumentError> {
        match serde_json::to_vec(&document) {
            Ok(bytes) => Ok(Self { digest: Digest::of(&bytes), bytes, parsed: document }),
            Err(error) => Err(DocumentError { kind, reason: error.to_string() }),
        }
    }
}

impl<T> Raw<T> {
    /// The exact bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The digest of the exact bytes.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// The document, read.
    pub fn parsed(&self) -> &T {
        &self.parsed
    }

    /// The descriptor of the bytes as a `media_type`.
    pub fn descriptor(&self, media_type: &str) -> Descriptor {
        Descriptor::new(media_type, self.digest, self.bytes.len() as u64)
    }
}
