//! Into how many layers a set of packages is split, and which of them holds a package.

use std::collections::BTreeMap;

use super::ServiceSet;
use crate::digest::Digest;

/// The least that the files of a part have, in bytes: about five mebibytes when they are compressed. A registry is asked
/// three times for every layer, so that smaller ones gain nothing.
const PART_BYTES: u64 = 32 << 20;

/// For each set that is worth it, given the bytes of all, the number of layers it is split into. No service gets more than
/// `budget` layers by that. The set whose parts are the largest is split first; sizes are rounded down to powers of two, so
/// that they seldom change a number.
pub(super) fn of(sizes: &BTreeMap<ServiceSet, u64>, budget: usize) -> BTreeMap<ServiceSet, u32> {
    let mut layers: BTreeMap<&String, usize> = BTreeMap::new();
    for service in sizes.keys().flatten() {
        *layers.entry(service).or_default() += 1;
    }
    // An undeclared import may need a layer of the service alone.
    for (service, layers) in &mut layers {
        *layers += usize::from(!sizes.contains_key(&ServiceSet::from([(*service).clone()])));
    }
    let mut parts: BTreeMap<ServiceSet, u32> = BTreeMap::new();
    loop {
        let has_room = |set: &ServiceSet| set.iter().all(|service| layers.get(service).is_some_and(|&n| n < budget));
        let part_bytes = |set: &ServiceSet, bytes: u64| rounded(bytes) / u64::from(number(&parts, set));
        let is_worth_it =
            |set: &ServiceSet, bytes: u64| rounded(bytes) / (u64::from(number(&parts, set)) + 1) >= PART_BYTES;
        let largest = sizes
            .iter()
            .filter(|(set, bytes)| is_worth_it(set, **bytes) && has_room(set))
            .max_by_key(|(set, bytes)| (part_bytes(set, **bytes), *set));
        let Some((set, _)) = largest else { return parts };
        let more = number(&parts, set) + 1;
        parts.insert(set.clone(), more);
        for service in set {
            layers.entry(service).and_modify(|layers| *layers += 1);
        }
    }
}

fn number(parts: &BTreeMap<ServiceSet, u32>, set: &ServiceSet) -> u32 {
    parts.get(set).copied().unwrap_or(1)
}

fn rounded(bytes: u64) -> u64 {
    bytes.checked_ilog2().map_or(0, |power| 1 << power)
}

/// The part, of so many, that holds the package of this name. With one part more, only those packages move that are in
/// the new one then.
///
/// Source: Lamping and Veach, "A Fast, Minimal Memory, Consistent Hash Algorithm", 2014.
pub(super) fn of_name(name: &str, parts: u32) -> u32 {
    let digest = Digest::of(name.as_bytes());
    let mut key = digest.as_bytes().iter().take(8).fold(0, |key: u64, byte| key << 8 | u64::from(*byte));
    let (mut part, mut next) = (0, 0);
    while next < u64::from(parts) {
        part = next;
        key = key.wrapping_mul(2_862_933_555_777_941_757).wrapping_add(1);
        next = (part + 1).saturating_mul(1 << 31) / ((key >> 33) + 1);
    }
    part as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const MIB: u64 = 1 << 20;

    fn set(services: &str) -> ServiceSet {
        services.chars().map(String::from).collect()
    }

    #[test]
    fn large_sets_are_split_where_there_is_room() {
        let table: [(&str, &[(&str, u64)], usize, &[(&str, u32)]); 8] = [
            ("small", &[("a", 63)], 9, &[]),
            ("just enough for two", &[("a", 64)], 9, &[("a", 2)]),
            ("up to the next power of two", &[("a", 255)], 9, &[("a", 4)]),
            ("no more than there is room for", &[("a", 1024)], 3, &[("a", 3)]),
            ("no room at all", &[("a", 1024), ("ab", 1)], 2, &[]),
            ("the largest first", &[("a", 64), ("ab", 128), ("b", 1)], 4, &[("ab", 3)]),
            (
                "room in every service that shares it",
                &[("a", 1), ("ab", 512), ("b", 1), ("bc", 1), ("c", 1)],
                4,
                &[("ab", 2)],
            ),
            ("room is kept for what only code tells", &[("ab", 512)], 2, &[]),
        ];
        for (comment, sizes, budget, expected) in table {
            let sizes = sizes.iter().map(|(services, mib)| (set(services), mib * MIB)).collect();
            let expected = expected.iter().map(|(services, parts)| (set(services), *parts)).collect();
            assert_eq!(of(&sizes, budget), expected, "{comment}");
        }
    }

    #[test]
    fn names_are_spread_and_never_move_but_into_a_new_part() {
        let names: Vec<String> = (0..4000).map(|n| format!("@scope/package-{n}")).collect();
        for parts in 1..12 {
            let mut sizes = vec![0; parts as usize];
            for name in &names {
                let (part, then) = (of_name(name, parts), of_name(name, parts + 1));
                sizes[part as usize] += 1;
                assert!(then == part || then == parts, "{name} moves from {part} to {then} of {parts}");
            }
            let even = names.len() / parts as usize;
            assert!(sizes.iter().all(|&size| size > even * 8 / 10 && size < even * 12 / 10), "{sizes:?}");
        }
    }

    /// The parts of published images depend on these.
    #[test]
    fn golden_parts() {
        let table = [("lodash", 4, 2), ("@nestjs/core", 4, 0), ("typeorm", 4, 2), ("express", 7, 1), ("rxjs", 2, 1)];
        for (name, parts, expected) in table {
            assert_eq!(of_name(name, parts), expected, "{name} of {parts}");
        }
    }

    proptest! {
        #[test]
        fn no_service_gets_more_layers_than_there_is_room_for(
            sizes in proptest::collection::btree_map("[a-d]{1,4}", 0u64..4096, 1..12),
            budget in 1usize..12,
        ) {
            let sizes: BTreeMap<ServiceSet, u64> =
                sizes.into_iter().map(|(services, mib)| (set(&services), mib * MIB)).collect();
            let parts = of(&sizes, budget);
            for service in ["a", "b", "c", "d"] {
                let own = sizes.keys().filter(|set| set.contains(service));
                let whole = own.clone().count();
                let split: u32 = own.map(|set| number(&parts, set)).sum();
                prop_assert!(split as usize <= whole.max(budget), "{service}: {split} for {whole}");
            }
        }
    }
}
