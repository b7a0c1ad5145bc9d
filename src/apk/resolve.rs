//! Which packages come along: everything that was asked for and what that needs, beside what the base has.
//!
//! As `apk add` decides it, with two differences: what the base has is never changed, and where choices lead nowhere others
//! are tried. Source: apk-world(5), and `src/solver.c` of apk-tools for what is preferred.

mod world;

use std::collections::VecDeque;
use std::rc::Rc;

use self::world::{Candidate, World};
use super::{ApkError, Checksum, Dependency, Package, Version};

/// After so many steps nobody waits any more.
const STEPS: usize = 200_000;

/// The packages of a repository.
#[derive(Clone, Debug)]
pub struct Repository {
    /// The tag by which its packages have to be asked for; `None`: it is for everybody.
    pub tag: Option<String>,
    /// What it has.
    pub packages: Vec<Package>,
}

/// A package as a lock names it: exactly this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PinnedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: Version,
    /// The checksum of its control segment, which names everything in it.
    pub checksum: Checksum,
}

impl PinnedPackage {
    /// `NAME-VERSION`, as apk lists it.
    pub fn name_and_version(&self) -> String {
        format!("{}-{}", self.name, self.version)
    }

    fn label(&self) -> String {
        format!("{} ({})", self.name_and_version(), self.checksum)
    }
}

/// A package that comes along.
#[derive(Clone, Debug)]
pub struct ChosenPackage {
    /// What its repository says of it.
    pub package: Package,
    /// Its checksum, by which it is fetched.
    pub checksum: Checksum,
    /// The repository that has it, by its position.
    pub repository: usize,
    /// The tag of that repository.
    pub tag: Option<String>,
}

impl ChosenPackage {
    /// The package as a lock names it.
    pub fn pinned(&self) -> PinnedPackage {
        let Package { name, version, .. } = &self.package;
        PinnedPackage { name: name.clone(), version: version.clone(), checksum: self.checksum.clone() }
    }
}

/// Chooses the packages for `wanted`, each behind what it needs. Of a package that `pins` names only that very one is
/// taken.
pub fn resolve(
    wanted: &[Dependency],
    installed: &[&Package],
    repositories: &[Repository],
    pins: &[PinnedPackage],
) -> Result<Vec<ChosenPackage>, ApkError> {
    let world = World::new(installed, repositories, pins)?;
    let mut search = Search { world: &world, steps: 0 };
    let goals = wanted.iter().filter(|dependency| !dependency.is_conflict);
    let goals = goals.map(|dependency| Goal {
        dependency: dependency.clone(),
        asked_by: None,
        tags: dependency.tag.iter().cloned().collect(),
    });
    let refused = wanted.iter().filter(|dependency| dependency.is_conflict).cloned().collect();
    let state = State { chosen: Vec::new(), refused, goals: goals.collect() };
    world.refuse_conflicts_with_base(&state.refused)?;
    let mut state = search.solve(state)?;
    // What comes along by itself may make more come along.
    while let Some(next) = world.triggered(&state).into_iter().find_map(|at| {
        let mut next = state.clone();
        search.take(&mut next, at, &None, &[]).ok()?;
        search.solve(next).ok()
    }) {
        state = next;
    }
    Ok(world.in_order(&state))
}

/// Something that has to be there.
#[derive(Clone)]
struct Goal {
    dependency: Dependency,
    asked_by: Option<Rc<Link>>,
    /// The tags whose repositories may be asked too, as they are for whoever asks.
    tags: Vec<String>,
}

/// Who asks, and who asked for that.
struct Link {
    label: String,
    asked_by: Option<Rc<Link>>,
}

impl Goal {
    /// What is wanted, and who wants it.
    fn chain(&self) -> Vec<String> {
        let above = std::iter::successors(self.asked_by.as_ref(), |link| link.asked_by.as_ref());
        std::iter::once(self.dependency.to_string()).chain(above.map(|link| link.label.clone())).collect()
    }
}

/// How far a search has come.
#[derive(Clone)]
struct State {
    chosen: Vec<usize>,
    /// What must not be there, whoever says so.
    refused: Vec<Dependency>,
    goals: VecDeque<Goal>,
}

/// A search for packages that go together.
struct Search<'w, 'a> {
    world: &'w World<'a>,
    steps: usize,
}

impl Search<'_, '_> {
    /// Reaches all goals of a state. The error is that of the choices that were preferred.
    fn solve(&mut self, mut state: State) -> Result<State, ApkError> {
        // Goals that several packages could reach wait until all others are: one of these may do.
        let mut deferred = VecDeque::new();
        loop {
            let (goal, is_last_resort) = match state.goals.pop_front() {
                Some(goal) => (goal, false),
                None => match deferred.pop_front() {
                    Some(goal) => (goal, true),
                    None => return Ok(state),
                },
            };
            self.steps += 1;
            if self.steps > STEPS {
                return Err(ApkError::TooHard(goal.dependency.to_string()));
            }
            if self.world.present(&state).any(|package| package.satisfies(&goal.dependency)) {
                continue;
            }
            if !is_last_resort && self.world.is_open(&goal) {
                deferred.push_back(goal);
                continue;
            }
            let options = self.world.options(&goal);
            let mut failed = None;
            for at in &options {
                let mut next = state.clone();
                next.goals.extend(deferred.iter().cloned());
                let tried = self.take(&mut next, *at, &goal.asked_by, &goal.tags);
                // With nothing to choose there is nothing to come back to.
                if let (Ok(()), 1) = (&tried, options.len()) {
                    state = next;
                    deferred.clear();
                    failed = None;
                    break;
                }
                match tried.and_then(|()| self.solve(next)) {
                    Ok(solved) => return Ok(solved),
                    Err(error @ ApkError::TooHard(_)) => return Err(error),
                    Err(error) => failed = failed.or(Some(error)),
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            if options.is_empty() {
                return Err(self.world.missing(&goal));
            }
        }
    }

    /// Adds a package, if it can be there with all that is.
    fn take(&self, state: &mut State, at: usize, asked_by: &Option<Rc<Link>>, tags: &[String]) -> Result<(), ApkError> {
        let world = self.world;
        let Candidate { package, tag, .. } = &world.candidates[at];
        let link = Rc::new(Link { label: package.label(), asked_by: asked_by.clone() });
        let chain = || {
            let links = std::iter::successors(Some(&link), |link| link.asked_by.as_ref());
            links.map(|link| link.label.clone()).collect::<Vec<_>>()
        };
        let conflict = |other: &Package| match world.is_installed(&other.name) {
            true => ApkError::BaseConflict { installed: other.label(), chain: chain() },
            false => ApkError::Conflict { other: other.label(), chain: chain() },
        };
        for other in world.present(state) {
            if other.name == package.name || share_a_name(other, package) {
                return Err(conflict(other));
            }
            let refuses = |one: &Package, two: &Package| {
                one.depends.iter().any(|dependency| dependency.is_conflict && two.satisfies(dependency))
            };
            if refuses(package, other) || refuses(other, package) {
                return Err(conflict(other));
            }
        }
        if let Some(refused) = state.refused.iter().find(|dependency| package.satisfies(dependency)) {
            return Err(ApkError::Conflict { other: refused.to_string(), chain: chain() });
        }
        let mut tags = tags.to_vec();
        tags.extend(tag.map(str::to_owned));
        let needs = package.depends.iter().filter(|dependency| !dependency.is_conflict);
        state.goals.extend(needs.map(|dependency| Goal {
            dependency: dependency.clone(),
            asked_by: Some(link.clone()),
            tags: tags.clone(),
        }));
        state.chosen.push(at);
        Ok(())
    }
}

/// Whether two packages provide one name, of which there can only be one where either states a version.
fn share_a_name(a: &Package, b: &Package) -> bool {
    a.names().any(|(name, version)| {
        b.names().any(|(other, other_version)| name == other && (version.is_some() || other_version.is_some()))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::apk::parse_index;

    /// The packages of an index in which each has a checksum, made of its name and version.
    fn packages(text: &str) -> Vec<Package> {
        let mut packages = parse_index(text).unwrap();
        for package in &mut packages {
            package.checksum = Some(Checksum::sha1(package.label().as_bytes()));
        }
        packages
    }

    /// What comes along with `wanted`, or why nothing does. Repositories are given with their tags.
    fn resolved(wanted: &str, base: &str, repositories: &[(&str, &str)], pins: &[PinnedPackage]) -> String {
        let base = packages(base);
        let repository = |(tag, text): &(&str, &str)| Repository {
            tag: Some((*tag).to_owned()).filter(|tag| !tag.is_empty()),
            packages: packages(text),
        };
        let repositories: Vec<Repository> = repositories.iter().map(repository).collect();
        let wanted = Dependency::parse_list(wanted).unwrap();
        match resolve(&wanted, &base.iter().collect::<Vec<_>>(), &repositories, pins) {
            Ok(chosen) => chosen.iter().map(|chosen| chosen.package.label()).collect::<Vec<_>>().join(" "),
            Err(error) => error.to_string(),
        }
    }

    const BASE: &str = "P:musl\nV:1.2.5-r9\np:so:libc.musl=1\n\nP:busybox\nV:1.37\nD:so:libc.musl\np:/bin/sh\n";

    #[test]
    fn what_comes_along() {
        let table = [
            ("one", "a", "P:a\nV:1", "a-1"),
            ("the latest", "a", "P:a\nV:1\n\nP:a\nV:2\n\nP:a\nV:1.5", "a-2"),
            ("another version", "a<2", "P:a\nV:1\n\nP:a\nV:2", "a-1"),
            (
                "what it needs, before it",
                "a",
                "P:a\nV:1\nD:b so:c=1\n\nP:b\nV:1\nD:so:c\n\nP:c\nV:1\np:so:c=1",
                "c-1 b-1 a-1",
            ),
            ("what the base has", "a musl", "P:a\nV:1\nD:so:libc.musl /bin/sh\n\nP:musl\nV:2", "a-1"),
            ("in a circle", "a", "P:a\nV:1\nD:b\n\nP:b\nV:1\nD:a", "b-1 a-1"),
            ("what provides the highest version", "v", "P:a\nV:1\np:v=1\n\nP:b\nV:1\np:v=2", "b-1"),
            ("by priority", "v", "P:a\nV:1\np:v\nk:1\n\nP:b\nV:1\np:v\nk:2", "b-1"),
            ("what was named", "v b", "P:a\nV:1\np:v\nk:1\n\nP:b\nV:1\np:v", "b-1"),
            ("what another one brings", "v c", "P:a\nV:1\np:v\nk:1\n\nP:b\nV:1\np:v\n\nP:c\nV:1\nD:b", "b-1 c-1"),
            ("what nothing but another one brings", "v c", "P:b\nV:1\np:v\n\nP:c\nV:1\nD:b", "b-1 c-1"),
            (
                "the one that goes with the rest",
                "v c",
                "P:a\nV:1\np:v=2\n\nP:b\nV:1\np:v=1\n\nP:c\nV:1\nD:!a",
                "b-1 c-1",
            ),
            (
                "an older one that goes with the rest",
                "a b",
                "P:a\nV:2\nD:c=2\n\nP:a\nV:1\nD:c\n\nP:b\nV:1\nD:c=1\n\nP:c\nV:1\n\nP:c\nV:2",
                "c-1 a-1 b-1",
            ),
            ("by itself", "a", "P:a\nV:1\n\nP:a-doc\nV:1\ni:a=1 busybox\n\nP:b-doc\nV:1\ni:b", "a-1 a-doc-1"),
            ("not by itself with the base alone", "a", "P:a\nV:1\n\nP:b\nV:1\ni:musl busybox", "a-1"),
            ("one after the other by itself", "a", "P:a\nV:1\n\nP:b\nV:1\ni:a\n\nP:c\nV:1\ni:b !d", "a-1 b-1 c-1"),
            ("not what is not understood", "a", "P:a\nV:2\nX:new\n\nP:a\nV:1", "a-1"),
            ("of the first repository", "a", "P:a\nV:1\nT:first", "a-1"),
        ];
        for (comment, wanted, repository, expected) in table {
            assert_eq!(resolved(wanted, BASE, &[("", repository)], &[]), expected, "{comment}");
        }
    }

    #[test]
    fn why_nothing_comes_along() {
        let table = [
            ("nothing has the name", "a", "P:b\nV:1", "no repository of the base has what is wanted: `a`"),
            (
                "three steps away",
                "a",
                "P:a\nV:1\nD:b\n\nP:b\nV:2\nD:so:c",
                "no repository of the base has what is wanted: `a-1` needs `b-2` needs `so:c`",
            ),
            ("no such version", "a>1", "P:a\nV:1", "there is only `a-1`, which will not do: `a>1`"),
            (
                "the base has another",
                "musl>2",
                "P:musl\nV:3",
                "the base has `musl-1.2.5-r9`, which will not do: `musl>2`",
            ),
            (
                "the base has another, that is needed",
                "a",
                "P:a\nV:1\nD:so:libc.musl=2\n\nP:musl\nV:3\np:so:libc.musl=2",
                "the base has `musl-1.2.5-r9`, which will not do: `a-1` needs `so:libc.musl=2`",
            ),
            ("what the base has is refused", "!musl", "", "the base has `musl-1.2.5-r9`, which will not do: `!musl`"),
            (
                "one that refuses the base",
                "a",
                "P:a\nV:1\nD:!busybox",
                "the base has `busybox-1.37`, which will not do: `a-1`",
            ),
            (
                "two that refuse each other",
                "a b",
                "P:a\nV:1\n\nP:b\nV:1\nD:!a",
                "`a-1` cannot be there together with what is wanted: `b-1`",
            ),
            (
                "what is refused",
                "a !b",
                "P:a\nV:1\nD:b\n\nP:b\nV:1",
                "`!b` cannot be there together with what is wanted: `a-1` needs `b-1`",
            ),
            (
                "two of one name",
                "a b",
                "P:a\nV:1\np:v=1\n\nP:b\nV:1\np:v=1",
                "`a-1` cannot be there together with what is wanted: `b-1`",
            ),
            (
                "nobody says which",
                "v",
                "P:a\nV:1\np:v\n\nP:b\nV:1\np:v",
                "nothing says whether `a`, `b` is to be taken: `v`",
            ),
        ];
        for (comment, wanted, repository, expected) in table {
            assert_eq!(resolved(wanted, BASE, &[("", repository)], &[]), expected, "{comment}");
        }
    }

    #[test]
    fn repositories_with_tags() {
        let edge = "P:a\nV:2\nD:b\n\nP:b\nV:2\n\nP:c\nV:2\nD:b>1\n\nP:d\nV:2\n\nP:d-doc\nV:2\ni:d";
        let table = [
            ("not without being asked", "a", "P:a\nV:1", "a-1"),
            ("asked by its tag, with what it needs", "a@edge", "P:a\nV:1\n\nP:c\nV:1", "b-2 a-2"),
            ("what it needs from where others come too", "a@edge", "P:b\nV:3", "b-3 a-2"),
            ("that first, though it is older", "a@edge", "P:b\nV:1", "b-1 a-2"),
            ("unless it will not do", "c@edge", "P:b\nV:1", "b-2 c-2"),
            ("by itself, for what came from there", "d@edge", "", "d-2 d-doc-2"),
            ("not for what did not", "d", "P:d\nV:1", "d-1"),
            (
                "not for others",
                "c",
                "P:c\nV:1\nD:b>1\n\nP:b\nV:1",
                "there is only `b-1`, `b-2`, which will not do: `c-1` needs `b>1`",
            ),
        ];
        for (comment, wanted, repository, expected) in table {
            assert_eq!(resolved(wanted, BASE, &[("", repository), ("edge", edge)], &[]), expected, "{comment}");
        }
    }

    #[test]
    fn what_is_locked_is_taken_or_nothing() {
        let pin = |version: &str, of: &str| PinnedPackage {
            name: "a".into(),
            version: version.parse().unwrap(),
            checksum: Checksum::sha1(of.as_bytes()),
        };
        let repository = "P:a\nV:1\n\nP:a\nV:2";
        let is = |pin: PinnedPackage, wanted: &str| resolved(wanted, BASE, &[("", repository)], &[pin]);
        assert_eq!(is(pin("1", "a-1"), "a"), "a-1");
        assert!(is(pin("1", "another"), "a").starts_with("the lock has another package than the repository, `a-1 (Q1"));
        assert!(is(pin("3", "a-3"), "a").contains(" and `a-2 (Q1"));
        assert!(is(pin("1", "a-1"), "a>1").starts_with("there is only `a-1`"));
    }
}
