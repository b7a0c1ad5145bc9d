//! Which packages come along: everything that was asked for and what that needs, beside what the base has.
//!
//! As `apk add` decides it, with two differences: what the base has is never changed, and where choices lead nowhere others
//! are tried. Source: apk-world(5), and `src/solver.c` of apk-tools for what is preferred.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::rc::Rc;

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
    fn label(&self) -> String {
        format!("{}-{} ({})", self.name, self.version, self.checksum)
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

/// A package that could come along.
struct Candidate<'a> {
    package: &'a Package,
    checksum: &'a Checksum,
    repository: usize,
    tag: Option<&'a str>,
}

/// Everything there is.
struct World<'a> {
    installed: &'a [&'a Package],
    candidates: Vec<Candidate<'a>>,
    by_name: HashMap<&'a str, Vec<usize>>,
    /// Those that may come along by themselves.
    conditional: Vec<usize>,
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

impl<'a> World<'a> {
    fn new(
        installed: &'a [&'a Package],
        repositories: &'a [Repository],
        pins: &[PinnedPackage],
    ) -> Result<Self, ApkError> {
        let pins: BTreeMap<&str, &PinnedPackage> = pins.iter().map(|pin| (pin.name.as_str(), pin)).collect();
        let mut candidates: Vec<Candidate<'a>> = Vec::new();
        let mut differing: BTreeMap<&str, &Package> = BTreeMap::new();
        let mut found = BTreeSet::new();
        for (position, repository) in repositories.iter().enumerate() {
            for package in &repository.packages {
                // What a reader does not understand, or nobody can check, cannot be taken.
                let Some(checksum) = package.checksum.as_ref().filter(|_| package.unknown_field.is_none()) else {
                    continue;
                };
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
        let conditional =
            (0..candidates.len()).filter(|at| !candidates[*at].package.install_if.is_empty()).collect();
        Ok(Self { installed, candidates, by_name, conditional })
    }

    /// What is there: the base's packages and the chosen ones.
    fn present<'s>(&'s self, state: &'s State) -> impl Iterator<Item = &'a Package> + 's {
        let chosen = state.chosen.iter().map(|at| self.candidates[*at].package);
        self.installed.iter().copied().chain(chosen)
    }

    fn is_installed(&self, name: &str) -> bool {
        self.installed.iter().any(|package| package.name == name)
    }

    fn refuse_conflicts_with_base(&self, refused: &[Dependency]) -> Result<(), ApkError> {
        for dependency in refused {
            if let Some(package) = self.installed.iter().find(|package| package.satisfies(dependency)) {
                let chain = vec![dependency.to_string()];
                return Err(ApkError::BaseConflict { installed: package.label(), chain });
            }
        }
        Ok(())
    }

    /// The packages that come along because of what is there: all that is wanted for it is, and something of it is new.
    fn triggered(&self, state: &State) -> Vec<usize> {
        let is_new = |dependency: &Dependency| {
            state.chosen.iter().any(|at| self.candidates[*at].package.satisfies(dependency))
        };
        let holds = |dependency: &Dependency| {
            self.present(state).any(|package| package.satisfies(dependency)) != dependency.is_conflict
        };
        let wanted = self.conditional.iter().copied().filter(|at| {
            let Candidate { package, tag, .. } = &self.candidates[*at];
            let is_there = self.present(state).any(|present| present.name == package.name);
            tag.is_none() && !is_there && package.install_if.iter().all(holds) && package.install_if.iter().any(is_new)
        });
        let mut wanted: Vec<usize> = wanted.collect();
        wanted.sort_by(|a, b| self.order(&self.candidates[*a].package.name, *b, *a).then(a.cmp(b)));
        wanted
    }

    /// What could reach a goal, the best first.
    fn options(&self, goal: &Goal) -> Vec<usize> {
        let dependency = &goal.dependency;
        let known = self.by_name.get(dependency.name.as_str()).map_or(&[][..], Vec::as_slice);
        let mut options: Vec<usize> = known.iter().copied().filter(|at| {
            let candidate = &self.candidates[*at];
            let may_be_asked = candidate.tag.is_none_or(|tag| goal.tags.iter().any(|known| known == tag));
            may_be_asked && candidate.package.satisfies(dependency) && self.is_chosen_by_itself(candidate, dependency)
        }).collect();
        options.sort_by(|a, b| {
            let preferred = |at: usize| self.candidates[at].tag.is_some() && self.candidates[at].tag == dependency.tag.as_deref();
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
    fn missing(&self, goal: &Goal) -> ApkError {
        let chain = goal.chain();
        let name = goal.dependency.name.as_str();
        let in_base = self.installed.iter().find(|package| package.names().any(|(known, _)| known == name));
        if let Some(package) = in_base {
            return ApkError::BaseConflict { installed: package.label(), chain };
        }
        let known = self.by_name.get(name).map_or(&[][..], Vec::as_slice).iter();
        let satisfying: BTreeSet<String> = known
            .clone()
            .map(|at| self.candidates[*at].package)
            .filter(|package| package.satisfies(&goal.dependency))
            .map(|package| package.name.clone())
            .collect();
        let offered: BTreeSet<String> = known.map(|at| self.candidates[*at].package.label()).collect();
        match (satisfying.is_empty(), offered.is_empty()) {
            (_, true) => ApkError::NotFound { chain },
            (true, false) => ApkError::NoVersion { chain, offered: offered.into_iter().collect() },
            (false, false) => ApkError::Ambiguous { chain, offered: satisfying.into_iter().collect() },
        }
    }

    /// The chosen packages, each behind what it needs.
    fn in_order(&self, state: &State) -> Vec<ChosenPackage> {
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
            let options = self.world.options(&goal);
            let name = |at: &usize| &self.world.candidates[*at].package.name;
            let first = options.first().map(name);
            let is_open = options.len() != 1 && (options.is_empty() || options.iter().map(name).any(|it| Some(it) != first));
            if is_open && !is_last_resort {
                deferred.push_back(goal);
                continue;
            }
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
