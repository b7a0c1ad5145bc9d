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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::super::{ClosurePackage, Reason};
    use super::*;
    use crate::workspace::PackageJson;

    fn path(text: &str) -> WorkspacePath {
        WorkspacePath::new(text).unwrap()
    }

    fn package(limits: &str) -> ClosurePackage {
        let package_json = PackageJson::parse(format!("{{{limits}}}").as_bytes()).unwrap();
        let reason = Reason::UndeclaredImport { place: String::new() };
        ClosurePackage { package_json: Arc::new(package_json), reason }
    }

    #[test]
    fn what_only_variants_lead_to_is_bound() {
        let (x64, linux, none) = (r#""cpu": ["x64"]"#, r#""os": ["linux"]"#, "");
        // Each with what its package.json says, and each step as `from`, link, directory; `""` is the service or an import.
        type Case = (&'static str, Vec<(&'static str, &'static str)>, Vec<[&'static str; 3]>, &'static [&'static str]);
        let table: [Case; 7] = [
            ("nothing native", vec![("a", none), ("b", linux)], vec![["", "a", "a"], ["a", "b", "b"]], &[]),
            ("a variant", vec![("a", none), ("x", x64)], vec![["", "a", "a"], ["a", "x", "x"]], &["x"]),
            ("for a C library", vec![("x", r#""libc": ["musl"]"#)], vec![["", "x", "x"]], &["x"]),
            ("below it", vec![("x", x64), ("b", none)], vec![["", "x", "x"], ["x", "b", "b"]], &["b", "x"]),
            (
                "below it, and needed anyway",
                vec![("x", x64), ("b", none), ("c", none)],
                vec![["", "x", "x"], ["x", "b", "b"], ["", "b", "b"], ["b", "c", "c"], ["c", "x", "x"]],
                &["x"],
            ),
            (
                "links",
                vec![("s/x", x64), ("s/b", none), ("s/c", none)],
                vec![["", "x", "s/x"], ["s/x", "s/x/b", "s/b"], ["", "b", "s/b"], ["s/b", "c", "s/c"]],
                &["s/x", "s/x/b", "x"],
            ),
            (
                "a link that is there for all",
                vec![("s/x", x64), ("s/b", none)],
                vec![["", "b", "s/b"], ["s/b", "x", "s/x"]],
                &["hoisted/x", "s/x", "x"],
            ),
        ];
        for (comment, packages, steps, expected) in table {
            let mut closure = DependencyClosure::default();
            closure.packages.extend(packages.iter().map(|(dir, limits)| (path(dir), package(limits))));
            let links = steps.iter().filter(|[_, link, dir]| link != dir);
            closure.links.extend(links.map(|[_, link, dir]| (path(link), path(dir))));
            if comment == "a link that is there for all" {
                closure.links.extend([(path("hoisted/x"), path("s/x")), (path("hoisted/b"), path("s/b"))]);
            }
            let step = |[from, link, dir]: &[&str; 3]| Step {
                from: (!from.is_empty()).then(|| path(from)),
                to: ResolvedPackage { found_at: path(link), dir: path(dir) },
            };
            let steps: Vec<Step> = steps.iter().map(step).collect();
            let found: Vec<String> = bound(&closure, &steps).iter().map(ToString::to_string).collect();
            assert_eq!(found, expected, "{comment}");
        }
    }
}
