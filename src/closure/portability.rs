//! What of a closure is the same on every platform.

use std::collections::{BTreeMap, BTreeSet};

use super::{DependencyClosure, ResolvedPackage};
use crate::workspace::WorkspacePath;

/// A step of the walk: from a package or member to something it needs.
pub(super) struct Step {
    /// The directory of what needs it; `None` for what code imports undeclared.
    pub from: Option<WorkspacePath>,
    /// What it needs.
    pub to: ResolvedPackage,
}

/// The places of packages and links to which all steps lead through a package that is made for some processors or C
/// libraries, that package included. Where a walk meets such a package depends on the platform; where it goes without it
/// does not.
pub(super) fn bound(closure: &DependencyClosure, steps: &[Step]) -> BTreeSet<WorkspacePath> {
    let is_variant = |dir: &WorkspacePath| {
        closure.packages.get(dir).is_some_and(|package| package.package_json.limits.tell_processors_apart())
    };
    if !closure.packages.keys().any(is_variant) {
        return BTreeSet::new();
    }
    let mut onward: BTreeMap<&WorkspacePath, Vec<&ResolvedPackage>> = BTreeMap::new();
    let mut next: Vec<&ResolvedPackage> = Vec::new();
    for Step { from, to } in steps {
        match from {
            Some(from) if closure.packages.contains_key(from) => onward.entry(from).or_default().push(to),
            // What a service or another member needs, and what it imports.
            _ => next.push(to),
        }
    }
    let mut portable: BTreeSet<&WorkspacePath> = BTreeSet::new();
    while let Some(to) = next.pop() {
        if is_variant(&to.dir) {
            continue;
        }
        portable.extend([&to.found_at, &to.dir]);
        next.extend(onward.remove(&to.dir).into_iter().flatten());
    }
    // A link that no step takes, for it is there for whoever looks, goes with the package it leads to.
    let taken: BTreeSet<&WorkspacePath> = steps.iter().map(|step| &step.to.found_at).collect();
    let untaken = closure.links.iter().filter(|(link, to)| !taken.contains(link) && portable.contains(to));
    let untaken: BTreeSet<&WorkspacePath> = untaken.map(|(link, _)| link).collect();
    let places = closure.packages.keys().chain(closure.links.keys());
    places.filter(|place| !portable.contains(place) && !untaken.contains(place)).cloned().collect()
}
