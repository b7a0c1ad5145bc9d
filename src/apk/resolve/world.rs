//! What there is to choose from, and which of it is preferred.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{ChosenPackage, Goal, PinnedPackage, Repository, State};
use crate::apk::{ApkError, Checksum, Dependency, Package};

/// A package that could come along.
pub(super) struct Candidate<'a> {
    pub(super) package: &'a Package,
    pub(super) checksum: &'a Checksum,
    pub(super) repository: usize,
    pub(super) tag: Option<&'a str>,
}

/// Everything there is.
pub(super) struct World<'a> {
    pub(super) installed: &'a [&'a Package],
    pub(super) candidates: Vec<Candidate<'a>>,
    by_name: HashMap<&'a str, Vec<usize>>,
    /// Other versions of what the base has, which is never changed.
    withheld: Vec<&'a Package>,
    /// Those that may come along by themselves.
    conditional: Vec<usize>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        installed: &'a [&'a Package],
        repositories: &'a [Repository],
        pins: &[PinnedPackage],
    ) -> Result<Self, ApkError> {
        let pins: BTreeMap<&str, &PinnedPackage> = pins.iter().map(|pin| (pin.name.as_str(), pin)).collect();
        let mut candidates: Vec<Candidate<'a>> = Vec::new();
        let mut differing: BTreeMap<&str, &Package> = BTreeMap::new();
        let mut found = BTreeSet::new();
        let mut withheld = Vec::new();
        let in_base: BTreeSet<&str> = installed.iter().map(|package| package.name.as_str()).collect();
        for (position, repository) in repositories.iter().enumerate() {
            for package in &repository.packages {
                // What a reader does not understand, or nobody can check, cannot be taken.
                let Some(checksum) = package.checksum.as_ref().filter(|_| package.unknown_field.is_none()) else {
                    continue;
                };
                if in_base.contains(package.name.as_str()) {
                    withheld.push(package);
                    continue;
                }
                if let Some(pin) = pins.get(package.name.as_str()) {
                    if package.version != pin.version || *checksum != pin.checksum {
                        differing.insert(&package.name, package);
                        continue;
                    }
                    found.insert(package.name.as_str());
                }
                let tag = repository.tag.as_deref();
                candidates.push(Candidate { package, checksum, repository: position, tag });
            }
        }
        if let Some((name, package)) = differing.iter().find(|(name, _)| !found.contains(*name)) {
            let locked = pins.get(name).map(|pin| pin.label()).unwrap_or_default();
            let checksum = package.checksum.as_ref().map(ToString::to_string).unwrap_or_default();
            return Err(ApkError::LockDiffers { locked, found: format!("{} ({checksum})", package.label()) });
        }
        let mut by_name: HashMap<&str, Vec<usize>> = HashMap::new();
        for (at, candidate) in candidates.iter().enumerate() {
            for (name, _) in candidate.package.names() {
                let known = by_name.entry(name).or_default();
                if known.last() != Some(&at) {
                    known.push(at);
                }
            }
        }
        let conditional = (0..candidates.len()).filter(|at| !candidates[*at].package.install_if.is_empty()).collect();
        Ok(Self { installed, candidates, by_name, withheld, conditional })
    }

    /// What is there: the base's packages and the chosen ones.
    pub(super) fn present<'s>(&'s self, state: &'s State) -> impl Iterator<Item = &'a Package> + 's {
        let chosen = state.chosen.iter().map(|at| self.candidates[*at].package);
        self.installed.iter().copied().chain(chosen)
    }

    pub(super) fn is_installed(&self, name: &str) -> bool {
        self.installed.iter().any(|package| package.name == name)
    }

    pub(super) fn refuse_conflicts_with_base(&self, refused: &[Dependency]) -> Result<(), ApkError> {
        for dependency in refused {
            if let Some(package) = self.installed.iter().find(|package| package.satisfies(dependency)) {
                let chain = vec![dependency.to_string()];
                return Err(ApkError::BaseConflict { installed: package.label(), chain });
            }
        }
        Ok(())
    }

    /// The packages that come along because of what is there: all that is wanted for it is, and something of it is new.
    pub(super) fn triggered(&self, state: &State) -> Vec<usize> {
        let is_new =
            |dependency: &Dependency| state.chosen.iter().any(|at| self.candidates[*at].package.satisfies(dependency));
        let holds = |dependency: &Dependency| {
            self.present(state).any(|package| package.satisfies(dependency)) != dependency.is_conflict
        };
        // Of a repository with a tag, for what came from there.
        let is_asked = |tag: Option<&str>, package: &Package| {
            let mut from_there = state.chosen.iter().filter(|at| self.candidates[**at].tag == tag);
            tag.is_none()
                || from_there.any(|at| {
                    let chosen = self.candidates[*at].package;
                    package.install_if.iter().any(|dependency| !dependency.is_conflict && chosen.satisfies(dependency))
                })
        };
        let wanted = self.conditional.iter().copied().filter(|at| {
            let Candidate { package, tag, .. } = &self.candidates[*at];
            let is_there = self.present(state).any(|present| present.name == package.name);
            !is_there
                && is_asked(*tag, package)
                && package.install_if.iter().all(holds)
                && package.install_if.iter().any(is_new)
        });
        let mut wanted: Vec<usize> = wanted.collect();
        wanted.sort_by(|a, b| self.order(&self.candidates[*a].package.name, *b, *a).then(a.cmp(b)));
        wanted
    }

    /// What would do for a goal, whether or not it is taken without being named.
    fn satisfying(&self, goal: &Goal) -> impl Iterator<Item = usize> {
        let known = self.by_name.get(goal.dependency.name.as_str()).map_or(&[][..], Vec::as_slice);
        known.iter().copied().filter(|at| {
            let Candidate { package, tag, .. } = &self.candidates[*at];
            let may_be_asked = tag.is_none_or(|tag| goal.tags.iter().any(|known| known == tag));
            may_be_asked && package.satisfies(&goal.dependency)
        })
    }

    /// Whether a goal may be reached by what comes along for other reasons.
    pub(super) fn is_open(&self, goal: &Goal) -> bool {
        let mut names = self.satisfying(goal).map(|at| &self.candidates[at].package.name);
        let first = names.next();
        first.is_none() || names.any(|name| Some(name) != first) || self.options(goal).is_empty()
    }

    /// What could reach a goal, the best first.
    pub(super) fn options(&self, goal: &Goal) -> Vec<usize> {
        let dependency = &goal.dependency;
        let mut options: Vec<usize> =
            self.satisfying(goal).filter(|at| self.is_chosen_by_itself(&self.candidates[*at], dependency)).collect();
        options.sort_by(|a, b| {
            // That of the tag that was named, then those that are for everybody; others of a tag only where these do not do.
            let preferred = |at: usize| match self.candidates[at].tag {
                Some(tag) if dependency.tag.as_deref() == Some(tag) => 2,
                None => 1,
                Some(_) => 0,
            };
            preferred(*b).cmp(&preferred(*a)).then_with(|| self.order(&dependency.name, *b, *a)).then(a.cmp(b))
        });
        options
    }

    /// A name without version is nobody's alone: of its providers only those that say so are taken without being named.
    fn is_chosen_by_itself(&self, candidate: &Candidate<'_>, dependency: &Dependency) -> bool {
        let mut versions = candidate.package.names().filter(|(name, _)| *name == dependency.name);
        versions.any(|(_, version)| version.is_some()) || candidate.package.provider_priority > 0
    }

    /// Which of two is preferred where `name` is wanted: `Greater` for the first.
    fn order(&self, name: &str, a: usize, b: usize) -> Ordering {
        let (a, b) = (&self.candidates[a], &self.candidates[b]);
        let version = |candidate: &Candidate<'a>| {
            candidate.package.names().filter(|(known, _)| *known == name).find_map(|(_, version)| version)
        };
        let by_requested = match (version(a), version(b)) {
            (Some(a), Some(b)) => a.compare(b),
            _ => Ordering::Equal,
        };
        let by_own = || match a.package.name == b.package.name {
            true => a.package.version.compare(&b.package.version),
            false => Ordering::Equal,
        };
        let by_priority = || a.package.provider_priority.cmp(&b.package.provider_priority);
        by_requested.then_with(by_own).then_with(by_priority).then_with(|| b.repository.cmp(&a.repository))
    }

    /// Why nothing reaches a goal.
    pub(super) fn missing(&self, goal: &Goal) -> ApkError {
        let chain = goal.chain();
        let name = goal.dependency.name.as_str();
        let is_known = |package: &&&Package| package.names().any(|(known, _)| known == name);
        let newer = self.withheld.iter().find(|package| package.satisfies(&goal.dependency));
        let older = newer.and_then(|newer| self.installed.iter().find(|package| package.name == newer.name));
        if let Some(package) = self.installed.iter().find(is_known).or(older) {
            return ApkError::BaseConflict { installed: package.label(), chain };
        }
        let known = self.by_name.get(name).map_or(&[][..], Vec::as_slice).iter();
        let satisfying: BTreeSet<String> =
            self.satisfying(goal).map(|at| self.candidates[at].package.name.clone()).collect();
        let offered: BTreeSet<String> = known.map(|at| self.candidates[*at].package.label()).collect();
        match (satisfying.is_empty(), offered.is_empty()) {
            (_, true) => ApkError::NotFound { chain },
            (true, false) => ApkError::NoVersion { chain, offered: offered.into_iter().collect() },
            (false, false) => ApkError::Ambiguous { chain, offered: satisfying.into_iter().collect() },
        }
    }

    /// The chosen packages, each behind what it needs.
    pub(super) fn in_order(&self, state: &State) -> Vec<ChosenPackage> {
        let mut by_name: Vec<usize> = state.chosen.clone();
        by_name.sort_by_key(|at| &self.candidates[*at].package.name);
        let mut ordered: Vec<usize> = Vec::new();
        // Each with whether what it needs was looked at; packages that need each other come as they are met.
        let mut stack: Vec<(usize, bool)> = by_name.iter().rev().map(|at| (*at, false)).collect();
        let mut seen = BTreeSet::new();
        while let Some((at, is_done)) = stack.pop() {
            if is_done {
                ordered.push(at);
                continue;
            }
            if !seen.insert(at) {
                continue;
            }
            stack.push((at, true));
            let needs = &self.candidates[at].package.depends;
            let needed = by_name.iter().rev().filter(|other| {
                needs.iter().any(|need| !need.is_conflict && self.candidates[**other].package.satisfies(need))
            });
            stack.extend(needed.map(|other| (*other, false)));
        }
        let chosen = ordered.into_iter().map(|at| {
            let Candidate { package, checksum, repository, tag } = &self.candidates[at];
            ChosenPackage {
                package: (*package).clone(),
                checksum: (*checksum).clone(),
                repository: *repository,
                tag: tag.map(str::to_owned),
            }
        });
        chosen.collect()
    }
}
