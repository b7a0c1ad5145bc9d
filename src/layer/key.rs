use std::fmt;

use rayon::prelude::*;

use super::{Fragment, Kind, LayerPlan, RECIPE};
use crate::digest::{Digest, Hasher};
use crate::manifest::media_type::Compression;

/// Names the bytes a fragment becomes, without making them: everything they depend on, hashed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FragmentKey(Digest);

/// Names the bytes a layer becomes, without making them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LayerKey(Digest);

impl FragmentKey {
    /// The key of `fragment` packed with this time and compression.
    pub fn of(fragment: &Fragment, mtime: u64, compression: Compression) -> Self {
        let mut hasher = KeyHasher::new(mtime, compression);
        for (path, entry) in fragment.tree.iter() {
            hasher.bytes(path.tar_name());
            hasher.number(entry.mode.into());
            hasher.number(entry.owner.uid.into());
            hasher.number(entry.owner.gid.into());
            match &entry.kind {
                Kind::Directory => hasher.bytes(b"directory"),
                Kind::File(content) => {
                    hasher.bytes(b"file");
                    hasher.number(content.size());
                    hasher.bytes(content.digest().as_bytes());
                }
                Kind::Symlink(target) => {
                    hasher.bytes(b"symlink");
                    hasher.bytes(target.as_os_str().as_encoded_bytes());
                }
                Kind::HardLink(target) => {
                    hasher.bytes(b"hard link");
                    hasher.bytes(target.tar_name());
                }
            }
        }
        Self(hasher.finish())
    }

    /// The key of fragments that are packed as one.
    pub fn of_run(keys: &[Self]) -> Self {
        if let [only] = keys {
            return *only;
        }
        let mut hasher = KeyHasher(Hasher::default());
        hasher.bytes(b"run");
        keys.iter().for_each(|key| hasher.bytes(key.as_bytes()));
        Self(hasher.finish())
    }

    /// The key that was written down.
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Digest::from_bytes(bytes))
    }

    /// The key as it is written down.
    pub fn as_bytes(&self) -> &[u8; 32] {
        self.0.as_bytes()
    }
}

/// The keys of a layer and of its fragments, in their order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerKeys {
    /// The layer's.
    pub layer: LayerKey,
    /// The fragments'.
    pub fragments: Vec<FragmentKey>,
}

impl LayerKeys {
    /// The keys of `plan` packed with this time and compression.
    pub fn of(plan: &LayerPlan, mtime: u64, compression: Compression) -> Self {
        let fragments: Vec<FragmentKey> =
            plan.fragments.par_iter().map(|fragment| FragmentKey::of(fragment, mtime, compression)).collect();
        let mut hasher = KeyHasher::new(mtime, compression);
        hasher.bytes(plan.role.to_string().as_bytes());
        for fragment in &fragments {
            hasher.bytes(fragment.as_bytes());
        }
        Self { layer: LayerKey(hasher.finish()), fragments }
    }
}

impl fmt::Display for LayerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.hex())
    }
}

/// Hashes values with their lengths, so that no two lists of values look the same.
struct KeyHasher(Hasher);

impl KeyHasher {
    fn new(mtime: u64, compression: Compression) -> Self {
        let mut hasher = Self(Hasher::default());
        hasher.bytes(RECIPE.as_bytes());
        hasher.number(mtime);
        hasher.bytes(format!("{compression:?}").as_bytes());
        hasher
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len() as u64);
        self.0.update(bytes);
    }

    fn number(&mut self, number: u64) {
        self.0.update(&number.to_le_bytes());
    }

    fn finish(self) -> Digest {
        self.0.finish()
    }
}
