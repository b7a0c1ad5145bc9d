use std::fmt;

use serde::Serialize;

use super::megabytes;
use crate::transfer::Copied;

/// What became of a copied image, for people and for programs.
#[derive(Clone, Debug, Serialize)]
pub struct CopyReport {
    /// Where it is now, as it would be typed.
    pub place: String,
    /// The digest of its manifest or index.
    pub digest: String,
    /// How many bytes of blobs were sent or written; what was there, or was mounted, does not count.
    pub sent_bytes: u64,
    /// How many manifests that refer to it were copied too.
    pub referrers: usize,
}

impl CopyReport {
    /// The report on a copy.
    pub fn new(copied: &Copied) -> Self {
        let Copied { place, digest, sent_bytes, referrers } = copied;
        let (place, digest) = (place.to_string(), digest.to_string());
        Self { place, digest, sent_bytes: *sent_bytes, referrers: *referrers }
    }
}

impl fmt::Display for CopyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.sent_bytes {
            0 => write!(f, "no blob had to be sent")?,
            bytes => write!(f, "sent {}", megabytes(bytes))?,
        }
        match self.referrers {
            0 => writeln!(f)?,
            1 => writeln!(f, ", with one manifest that refers to the image")?,
            count => writeln!(f, ", with {count} manifests that refer to the image")?,
        }
        // A place that was typed with a digest says it already.
        match self.place.ends_with(&self.digest) {
            true => writeln!(f, "{}", self.place),
            false => writeln!(f, "{}@{}", self.place, self.digest),
        }
    }
}
