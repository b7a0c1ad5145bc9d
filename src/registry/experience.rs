//! What a run has learned about registries, so that no refusal is provoked twice.

use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::host::Cloud;
use super::{RegistryHost, Repository};

/// The first chunk that is tried: below the 100 MB that CDNs let through, and large enough that the requests for a
/// layer can be counted on one's fingers.
const LARGEST_CHUNK: u64 = 64 << 20;
/// No chunk is smaller, but the last of a blob: it is what a proxy lets through whose limit nobody ever set (nginx).
const SMALLEST_CHUNK: u64 = 1 << 20;

/// What a run has learned.
#[derive(Default)]
pub(super) struct Experience {
    /// Target and source between which mounting was refused.
    unmountable: Mutex<HashSet<(Repository, Repository)>>,
    registries: Mutex<HashMap<RegistryHost, Habits>>,
}

impl Experience {
    /// Whether mounting between target and source was refused before.
    pub(super) fn is_unmountable(&self, pair: &(Repository, Repository)) -> bool {
        locked(&self.unmountable).contains(pair)
    }

    /// Mounting between target and source was refused.
    pub(super) fn note_unmountable(&self, pair: (Repository, Repository)) {
        locked(&self.unmountable).insert(pair);
    }

    /// What is known of a registry.
    pub(super) fn habits(&self, registry: &RegistryHost) -> Habits {
        locked(&self.registries).get(registry).copied().unwrap_or_default()
    }

    /// Adds to what is known of a registry; other uploads see it at once.
    pub(super) fn learn(&self, registry: &RegistryHost, lesson: impl FnOnce(&mut Habits)) {
        lesson(locked(&self.registries).entry(registry.clone()).or_default());
    }
}

/// The ways to send a blob, in the order they are tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// All of it in the PUT that ends the upload.
    Put,
    /// All of it in one PATCH, then an empty PUT.
    Patch,
    /// A PATCH for each chunk, then an empty PUT.
    Chunks,
}

/// How a registry, or a proxy before it, takes uploads.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Habits {
    /// It takes no blob in one PUT (old Artifactory).
    pub(super) refuses_put: bool,
    /// It takes no blob in one PATCH (GHCR answers 416, Google's registries know single PUTs only).
    pub(super) refuses_patch: bool,
    /// It refused a PATCH for its size as well as a PUT.
    pub(super) wants_chunks: bool,
    /// It does not let uploads be cancelled (Quay; others want a right that pushing does not need).
    pub(super) refuses_cancelling: bool,
    /// As a mirror it answered with an error, or not at all.
    pub(super) fails_as_mirror: bool,
    /// It says by HEAD that blobs are there which are not (Artifactory).
    pub(super) lies_to_head: bool,
    /// The size of the smallest body that was refused for its size.
    too_large: Option<u64>,
}

impl Habits {
    /// A body of this size was refused for it.
    pub(super) fn refused(&mut self, size: u64) {
        self.too_large = Some(self.too_large.map_or(size, |before| before.min(size)));
    }

    /// Whether a body of this size is sure to be refused.
    pub(super) fn is_too_large(&self, size: u64) -> bool {
        self.too_large.is_some_and(|refused| size >= refused)
    }

    /// The way that a blob of this size is most likely to be taken.
    pub(super) fn way(&self, size: u64) -> Way {
        if self.wants_chunks && self.chunk(0).is_some_and(|chunk| size > chunk) {
            Way::Chunks
        } else if self.refuses_put || (self.is_too_large(size) && !self.refuses_patch) {
            Way::Patch
        } else {
            Way::Put
        }
    }

    /// How large a chunk is to be: half of what was refused last, in powers of two, and at least what the session asks
    /// for. `None` if no chunk may be as small as it had to be; a session that asks for absurdly much ends here too.
    pub(super) fn chunk(&self, session_least: u64) -> Option<u64> {
        let refused = self.too_large?;
        let below = refused.checked_next_power_of_two().map_or(LARGEST_CHUNK, |power| power / 2);
        let chunk = below.min(LARGEST_CHUNK).max(session_least);
        (chunk >= SMALLEST_CHUNK && chunk < refused).then_some(chunk)
    }
}

/// Whether blobs may go to this registry in more than one PATCH. Amazon's drops the body of every PATCH but the first
/// and calls that success; Google's take single PUTs only.
pub(super) fn takes_chunks(registry: &RegistryHost) -> bool {
    !matches!(registry.cloud(), Some(Cloud::Amazon | Cloud::Google))
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_halve_down_to_a_floor() {
        const MIB: u64 = 1 << 20;
        let table = [
            ("nothing was refused", None, 0, None),
            ("a large blob", Some(1000 * MIB), 0, Some(64 * MIB)),
            ("the first chunk", Some(64 * MIB), 0, Some(32 * MIB)),
            ("a blob of any size", Some(5 * MIB + 1), 0, Some(4 * MIB)),
            ("just above the floor", Some(MIB + 1), 0, Some(MIB)),
            ("the floor", Some(MIB), 0, None),
            ("nothing at all", Some(0), 0, None),
            ("all there can be", Some(u64::MAX), 0, Some(64 * MIB)),
            ("a session with a wish", Some(8 * MIB), 5 * MIB, Some(5 * MIB)),
            ("a session with a small wish", Some(8 * MIB), 7, Some(4 * MIB)),
            ("a session that wants what is refused", Some(8 * MIB), 8 * MIB, None),
            ("a session that wants the moon", Some(8 * MIB), u64::MAX, None),
        ];
        for (comment, too_large, least, expected) in table {
            let habits = Habits { too_large, ..Habits::default() };
            assert_eq!(habits.chunk(least), expected, "{comment}");
        }
    }

    #[test]
    fn ways() {
        let base = Habits::default();
        let limited = Habits { too_large: Some(8 << 20), ..base };
        let chunked = Habits { wants_chunks: true, ..limited };
        let table = [
            ("nothing known", base, 100 << 20, Way::Put),
            ("no PUT", Habits { refuses_put: true, ..base }, 1, Way::Patch),
            ("as large as what was refused", limited, 8 << 20, Way::Patch),
            ("smaller", limited, (8 << 20) - 1, Way::Put),
            ("larger than a chunk", chunked, (4 << 20) + 1, Way::Chunks),
            ("one chunk", chunked, 4 << 20, Way::Put),
            ("one chunk, no PUT", Habits { refuses_put: true, ..chunked }, 4 << 20, Way::Patch),
        ];
        for (comment, habits, size, expected) in table {
            assert_eq!(habits.way(size), expected, "{comment}");
        }
    }
}
