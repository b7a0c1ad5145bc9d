//! Which fragments share a layer. The one place that decides it.
//!
//! Packages are grouped by the exact **set of services** that need them: each set is a layer, carried by these services
//! and no other, so that no image holds a package it does not need and no registry holds one twice. The sets are those of
//! the whole workspace, whichever services are built, so that building one service alone gives the image that building
//! all of them gives.
//!
//! What is there for the sake of an image's platform (see `closure::portability`) has layers of its own, grouped the same
//! way: all other layers of packages are the same on every platform, and stored once for all. This never depends on the
//! platforms that are built, so that an image built alone is the one built with others.
//!
//! An image has room for so many layers of packages. Where a service has more sets than that, the cheapest set is
//! dissolved: its packages go to a layer of each of its services alone. Cheap is what is small and shared by few, for
//! `size x (services - 1)` is what is stored twice then. Sizes are rounded to powers of two, so that a package that grows
//! a little seldom changes which set is the cheapest.
//!
//! Where there is room left, large sets are split: a dependency that changes then changes a part of their bytes, and parts
//! are sent while others are still packed. A package's name alone says which part it is in, so that nothing moves when
//! another one comes or goes.

mod parts;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::{Entry, FileTree, Fragment, Kind, LayerPlan, LayerRole, TreeError, identical_files};
use crate::path::ImagePath;

/// The fragment of the directories above all others.
pub(super) const DIRECTORIES: &str = "directories";

/// A set of services, by their names.
pub type ServiceSet = BTreeSet<String>;

/// Something that layers are made of: a package, or a link to one.
#[derive(Clone, Debug)]
pub struct Unit {
    /// The services of the whole workspace that need it.
    pub services: ServiceSet,
    /// The bytes of its files.
    pub bytes: u64,
}

/// Whether something is the same in images for every platform.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Portability {
    /// It is.
    Portable,
    /// It is there for the sake of this one.
    Bound,
}

/// Names a layer of packages: which services share it, and whether images for other platforms may too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PackageSet {
    /// Portable sets come first.
    pub portability: Portability,
    /// The services.
    pub services: ServiceSet,
    /// Which part of what they share, from 0.
    pub part: u32,
}

/// For each unit of a workspace, the layer that holds it.
#[derive(Clone, Debug, Default)]
pub struct PackageSets<K> {
    portable: ServiceSets<K>,
    /// `None` where an image has room for a single layer of packages, which then holds all.
    bound: Option<ServiceSets<K>>,
}

impl<K: Ord + Clone> PackageSets<K> {
    /// How many layers of an image may hold what is bound to its platform: what several services share, and the rest. The
    /// number is the same for images without such units, or one platform's could have other layers than another's.
    const BOUND_LAYERS: usize = 2;

    /// Groups `units` so that no service has more than `budget` layers of them, where that can be reached.
    pub fn of(units: BTreeMap<(Portability, K), Unit>, budget: usize) -> Self {
        let for_bound = Self::BOUND_LAYERS.min(budget / 2);
        let (mut portable, mut bound) = (BTreeMap::new(), BTreeMap::new());
        for ((portability, key), unit) in units {
            let is_bound = portability == Portability::Bound && for_bound > 0;
            let kind: &mut BTreeMap<K, Unit> = if is_bound { &mut bound } else { &mut portable };
            match kind.get_mut(&key) {
                Some(known) => known.services.extend(unit.services),
                None => _ = kind.insert(key, unit),
            }
        }
        let bound = (for_bound > 0).then(|| ServiceSets::of(bound, for_bound));
        Self { portable: ServiceSets::of(portable, budget - for_bound), bound }
    }

    /// The layer that holds a unit for `service`. Units of one name, such as the copies of a package, share a part of what
    /// the same services need.
    pub fn of_service(&self, unit: &K, name: &str, portability: Portability, service: &str) -> PackageSet {
        let (portability, sets) = match (portability, &self.bound) {
            (Portability::Bound, Some(sets)) => (portability, sets),
            _ => (Portability::Portable, &self.portable),
        };
        let services = sets.of_service(unit, service);
        let part = sets.part(&services, name);
        PackageSet { portability, services, part }
    }
}

/// For each unit of one kind, the sets of services that share it in a layer.
#[derive(Clone, Debug, Default)]
struct ServiceSets<K> {
    sets: BTreeMap<K, ServiceSet>,
    dissolved: BTreeSet<ServiceSet>,
    /// How many layers a set is split into, where that is more than one.
    parts: BTreeMap<ServiceSet, u32>,
}

impl<K: Ord + Clone> ServiceSets<K> {
    /// Groups `units` so that no service has more than `budget` layers of them, where that can be reached.
    fn of(units: BTreeMap<K, Unit>, budget: usize) -> Self {
        let mut sizes: BTreeMap<ServiceSet, u64> = BTreeMap::new();
        for unit in units.values() {
            *sizes.entry(unit.services.clone()).or_default() += unit.bytes;
        }
        let mut dissolved = BTreeSet::new();
        while let Some(cheapest) = cheapest_to_dissolve(&sizes, budget) {
            let bytes = sizes.remove(&cheapest).unwrap_or_default();
            for service in &cheapest {
                *sizes.entry(BTreeSet::from([service.clone()])).or_default() += bytes;
            }
            dissolved.insert(cheapest);
        }
        let sets = units.into_iter().map(|(key, unit)| (key, unit.services)).collect();
        Self { sets, dissolved, parts: parts::of(&sizes, budget) }
    }

    /// The part of a set that holds units of this name.
    fn part(&self, set: &ServiceSet, name: &str) -> u32 {
        self.parts.get(set).map_or(0, |&parts| parts::of_name(name, parts))
    }

    /// The set whose layer holds the unit for `service`: the unit's own set, or the service alone if that set is
    /// dissolved, or if only undeclared imports lead the service to the unit.
    fn of_service(&self, unit: &K, service: &str) -> ServiceSet {
        match self.sets.get(unit) {
            Some(set) if set.contains(service) && !self.dissolved.contains(set) => set.clone(),
            _ => BTreeSet::from([service.to_owned()]),
        }
    }
}

/// The set that costs least to dissolve, among those of a service that has more than `budget`; `None` if no service has,
/// or only sets of one service are left.
fn cheapest_to_dissolve(sizes: &BTreeMap<ServiceSet, u64>, budget: usize) -> Option<ServiceSet> {
    let mut layers: BTreeMap<&String, usize> = BTreeMap::new();
    for service in sizes.keys().flatten() {
        *layers.entry(service).or_default() += 1;
    }
    let is_crowded = |set: &ServiceSet| set.iter().any(|service| layers.get(service).is_some_and(|&n| n > budget));
    let cost = |set: &ServiceSet, bytes: u64| bytes.max(1).next_power_of_two() as u128 * (set.len() as u128 - 1);
    sizes
        .iter()
        .filter(|(set, _)| set.len() > 1 && is_crowded(set))
        .min_by_key(|(set, bytes)| (cost(set, **bytes), (*set).clone()))
        .map(|(set, _)| set.clone())
}

/// Everything that goes into one image above its base.
#[derive(Clone, Debug, Default)]
pub struct ImageContents {
    /// The service's name.
    pub service: String,
    /// Packages of the system, and an init.
    pub system: FileTree,
    /// What the base's own files are extended by: the user, certificates, the time zone.
    pub user: Vec<Fragment>,
    /// The fragments of installed packages and of links to them, by the layer that holds them.
    pub packages: BTreeMap<PackageSet, Vec<Fragment>>,
    /// One fragment for each workspace package, and one for the links to them.
    pub workspace: Vec<Fragment>,
    /// The service's own files.
    pub application: Vec<Fragment>,
    /// Whether identical files of a package's copies become hard links.
    pub hard_links: bool,
}

/// Groups the contents of an image into layers, what changes least first: packages of the system, the user, packages
/// (those that are the same on every platform first, of these those that most services share), workspace packages, the
/// application. Empty layers are left out.
///
/// Each layer starts with the directories above its entries, so that it can be unpacked alone; `directory` says what the
/// entry of such a directory is.
pub fn group(contents: ImageContents, directory: impl Fn(&ImagePath) -> Entry) -> Result<Vec<LayerPlan>, TreeError> {
    let alone = BTreeSet::from([contents.service]);
    let system = match contents.system.is_empty() {
        true => Vec::new(),
        false => vec![Fragment::new("system packages", contents.system)],
    };
    let mut packages: Vec<_> = contents.packages.into_iter().collect();
    packages.sort_by_key(|(set, _)| (set.portability, Reverse(set.services.len()), set.services.clone(), set.part));
    let below = [(LayerRole::System, BTreeSet::new(), system), (LayerRole::User, BTreeSet::new(), contents.user)];
    let groups = below
        .into_iter()
        .chain(packages.into_iter().map(|(set, fragments)| (LayerRole::Packages, set.services, fragments)))
        .chain([
            (LayerRole::Workspace, BTreeSet::new(), contents.workspace),
            (LayerRole::Application, alone, contents.application),
        ]);
    let mut plans = Vec::new();
    for (role, services, fragments) in groups {
        let mut fragments = ordered(fragments)?;
        if fragments.is_empty() {
            continue;
        }
        if contents.hard_links {
            identical_files::link(&mut fragments);
        }
        let fragments = with_directories(fragments, &directory)?;
        plans.push(LayerPlan { role, services: services.into_iter().collect(), fragments });
    }
    Ok(plans)
}

/// Fragments without the empty ones, sorted by the path of their first entry.
pub(super) fn ordered(fragments: Vec<Fragment>) -> Result<Vec<Fragment>, TreeError> {
    let mut by_first_path: BTreeMap<ImagePath, Fragment> = BTreeMap::new();
    for fragment in fragments {
        let Some(first) = fragment.tree.iter().next().map(|(path, _)| path.clone()) else { continue };
        if by_first_path.insert(first.clone(), fragment).is_some() {
            return Err(TreeError(first));
        }
    }
    Ok(by_first_path.into_values().collect())
}

/// Puts the directories above all entries, where no fragment has them itself, into a fragment of their own at the front.
pub(super) fn with_directories(
    fragments: Vec<Fragment>,
    directory: &impl Fn(&ImagePath) -> Entry,
) -> Result<Vec<Fragment>, TreeError> {
    let mut tree = FileTree::default();
    for fragment in &fragments {
        // The directories of the tree that the last entry lies in, as far as they come one after the other.
        let mut inside: Vec<&ImagePath> = Vec::new();
        let mut last_parent = None;
        for (path, entry) in fragment.tree.iter() {
            while inside.pop_if(|dir| !path.lies_in(dir)).is_some() {}
            let has_parent = !inside.is_empty();
            if entry.kind == Kind::Directory {
                inside.push(path);
            }
            let parent = path.parent();
            if has_parent || parent == last_parent {
                continue;
            }
            last_parent = parent;
            for above in path.ancestors() {
                if tree.get(&above).is_some() || fragment.tree.get(&above).is_some() {
                    break;
                }
                let entry = directory(&above);
                tree.insert(above, entry)?;
            }
        }
    }
    if tree.is_empty() {
        return Ok(fragments);
    }
    Ok(std::iter::once(Fragment::new(DIRECTORIES, tree)).chain(fragments).collect())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Portability::{Bound, Portable};
    use super::*;

    fn set(services: &str) -> ServiceSet {
        services.chars().map(String::from).collect()
    }

    fn grouped(units: &[(&'static str, &str, u64)], budget: usize) -> ServiceSets<&'static str> {
        let unit = |(name, services, bytes): &(&'static str, &str, u64)| {
            (*name, Unit { services: set(services), bytes: *bytes })
        };
        ServiceSets::of(units.iter().map(unit).collect(), budget)
    }

    #[test]
    fn units_are_grouped_by_their_services() {
        let units = [("core", "abc", 100), ("ab", "ab", 10), ("a", "a", 5), ("c", "c", 5)];
        let sets = grouped(&units, 9);
        assert_eq!(sets.of_service(&"core", "b"), set("abc"));
        assert_eq!(sets.of_service(&"ab", "a"), set("ab"));
        assert_eq!(sets.of_service(&"ab", "c"), set("c"), "undeclared there: a copy of its own");
        assert_eq!(sets.of_service(&"unknown", "c"), set("c"));
    }

    #[test]
    fn the_cheapest_set_is_dissolved() {
        let units = [("core", "abc", 1000), ("big", "ab", 500), ("small", "ac", 20), ("own", "a", 1)];
        let sets = grouped(&units, 3);
        assert_eq!(sets.of_service(&"small", "a"), set("a"));
        assert_eq!(sets.of_service(&"small", "c"), set("c"));
        assert_eq!(sets.of_service(&"big", "a"), set("ab"));
        assert_eq!(sets.of_service(&"core", "a"), set("abc"));
    }

    fn package_sets(units: &[(Portability, &'static str, &str, u64)], budget: usize) -> PackageSets<&'static str> {
        let unit = |(portability, name, services, bytes): &(Portability, &'static str, &str, u64)| {
            ((*portability, *name), Unit { services: set(services), bytes: *bytes })
        };
        PackageSets::of(units.iter().map(unit).collect(), budget)
    }

    #[test]
    fn what_is_bound_to_a_platform_lies_apart() {
        let own = [
            (Portable, "core", "abc", 1000),
            (Portable, "ab", "ab", 10),
            (Portable, "a", "a", 1),
            (Bound, "image", "abc", 500),
            (Bound, "hash", "ab", 20),
            (Bound, "core", "c", 1),
        ];
        let layer = |portability, services| PackageSet { portability, services: set(services), part: 0 };
        let table = [
            ("shared by all platforms", 9, Portable, "core", "a", layer(Portable, "abc")),
            ("of one platform", 9, Bound, "image", "a", layer(Bound, "abc")),
            ("there for one service's variant, for another anyway", 9, Bound, "core", "c", layer(Bound, "c")),
            ("its own budget: the cheapest is dissolved", 3, Bound, "hash", "a", layer(Bound, "a")),
            ("and another for what is portable", 3, Portable, "ab", "a", layer(Portable, "a")),
            ("that is not asked what is bound", 3, Portable, "core", "a", layer(Portable, "abc")),
            ("room for one layer", 1, Bound, "image", "a", layer(Portable, "a")),
        ];
        for (comment, budget, portability, unit, service, expected) in table {
            assert_eq!(package_sets(&own, budget).of_service(&unit, unit, portability, service), expected, "{comment}");
        }
    }

    /// Whatever is bound to a platform, the other layers are the same.
    #[test]
    fn what_is_bound_changes_no_other_layer() {
        let portable = [(Portable, "core", "abc", 1000), (Portable, "ab", "ab", 500), (Portable, "a", "a", 20)];
        let bound = [(Bound, "x", "ab", 9000), (Bound, "y", "abc", 1), (Bound, "z", "ac", 1)];
        for budget in 1..6 {
            let (without, with) = (package_sets(&portable, budget), package_sets(&[portable, bound].concat(), budget));
            for ((_, unit, ..), service) in portable.iter().zip(["a", "b", "c"]) {
                let of = |sets: &PackageSets<_>| sets.of_service(unit, unit, Portable, service);
                assert!(budget == 1 || of(&without) == of(&with), "{budget}: {unit}");
            }
        }
    }

    proptest! {
        #[test]
        fn the_budget_holds_and_nothing_is_carried_in_vain(
            units in proptest::collection::vec((0usize..32, 1u64..1_000_000), 1..60),
            budget in 1usize..6,
        ) {
            let letters = ["a", "b", "c", "d", "e"];
            let services = |bits: usize| -> ServiceSet {
                let bits = if bits == 0 { 1 } else { bits };
                (0..5).filter(|bit| bits >> bit & 1 == 1).map(|bit| letters[bit].to_owned()).collect()
            };
            let units: BTreeMap<usize, Unit> = units
                .iter()
                .enumerate()
                .map(|(key, (bits, bytes))| (key, Unit { services: services(*bits), bytes: *bytes }))
                .collect();
            let sets = ServiceSets::of(units.clone(), budget);
            for service in letters {
                let mut layers = BTreeSet::new();
                for (key, unit) in units.iter().filter(|(_, unit)| unit.services.contains(service)) {
                    let set = sets.of_service(key, service);
                    prop_assert!(set.contains(service));
                    prop_assert!(set.is_subset(&unit.services), "a layer reaches a service that does not need it");
                    layers.insert(set);
                }
                prop_assert!(layers.len() <= budget.max(1));
            }
        }
    }
}
