use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{ClosureError, EdgeKind, Packages};
use crate::workspace::WorkspacePath;

/// Every edge that was walked for a closure, for those who ask why a package is there. One edge for each two ends: what is
/// declared comes before what is imported, and a dependency before a peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DependencyEdges {
    /// Where the walk began: the service, and the root if its dependencies count.
    starts: BTreeSet<WorkspacePath>,
    /// From whom, to whom.
    edges: BTreeMap<WorkspacePath, BTreeMap<WorkspacePath, EdgeOrigin>>,
    /// `name@version` of every end.
    labels: BTreeMap<WorkspacePath, String>,
}

/// Where an edge comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeOrigin {
    /// package.json
    Declared {
        /// By which field.
        kind: EdgeKind,
        /// The name under which it is declared.
        name: String,
        /// The version range or specifier.
        wanted: String,
    },
    /// Code that imports what its package.json does not declare.
    Imported {
        /// The name.
        name: String,
        /// The first place, as `FILE:LINE` relative to the workspace.
        place: String,
    },
}

/// One edge of a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ChainLink {
    /// Who has it.
    pub from: WorkspacePath,
    /// Where it leads.
    pub to: WorkspacePath,
    /// Where it comes from.
    pub origin: EdgeOrigin,
}

/// Edges in a row, each beginning where the one before ends; the first begins with the service or the root.
pub type Chain = Vec<ChainLink>;

impl DependencyEdges {
    /// Adds a place where the walk begins.
    pub(super) fn start(&mut self, dir: WorkspacePath) {
        self.starts.insert(dir);
    }

    /// Adds an edge, if it is the first from the one to the other.
    pub(super) fn add(&mut self, from: &WorkspacePath, to: &WorkspacePath, origin: EdgeOrigin) {
        self.edges.entry(from.clone()).or_default().entry(to.clone()).or_insert(origin);
    }

    /// Looks up the label of every end.
    pub(super) fn label(&mut self, packages: &dyn Packages) -> Result<(), ClosureError> {
        let ends = self.edges.iter().flat_map(|(from, to)| std::iter::once(from).chain(to.keys())).chain(&self.starts);
        let labels = ends.map(|dir| Ok((dir.clone(), packages.package_json(dir)?.label())));
        self.labels = labels.collect::<Result<_, ClosureError>>()?;
        Ok(())
    }

    /// `name@version` of what lies in `dir`, which is part of the closure.
    pub fn label_of(&self, dir: &WorkspacePath) -> String {
        self.labels.get(dir).cloned().unwrap_or_else(|| dir.to_string())
    }

    /// What would leave the closure if what lies in these directories were not there: they, and whatever only they lead to.
    pub fn only_through(&self, removed: &BTreeSet<WorkspacePath>) -> BTreeSet<WorkspacePath> {
        let stays = self.reached_without(removed);
        let all = self.reached_without(&BTreeSet::new());
        all.into_keys().filter(|dir| !stays.contains_key(dir)).cloned().collect()
    }

    /// One chain for each edge that leads to `target`, the shortest that ends with this edge and meets the target at its end
    /// only. The shortest comes first.
    pub fn chains_to(&self, target: &WorkspacePath) -> Vec<Chain> {
        let reached = self.reached_without(&BTreeSet::from([target.clone()]));
        let mut chains: Vec<Chain> = Vec::new();
        for &from in reached.keys() {
            let Some(origin) = self.edges.get(from).and_then(|edges| edges.get(target)) else { continue };
            let mut chain = vec![ChainLink { from: from.clone(), to: target.clone(), origin: origin.clone() }];
            let mut end = from;
            while let Some(Some((before, origin))) = reached.get(end) {
                chain.push(ChainLink { from: (*before).clone(), to: end.clone(), origin: (*origin).clone() });
                end = before;
            }
            chain.reverse();
            chains.push(chain);
        }
        chains.sort_by(|a, b| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
        chains
    }

    /// Whatever can be reached without setting foot in `removed`, each with the edge by which a walk breadth first comes
    /// there; `None` for where it begins.
    fn reached_without(&self, removed: &BTreeSet<WorkspacePath>) -> BTreeMap<&WorkspacePath, Option<Step<'_>>> {
        let mut reached: BTreeMap<&WorkspacePath, Option<Step<'_>>> = BTreeMap::new();
        let mut queue: VecDeque<&WorkspacePath> = VecDeque::new();
        for start in self.starts.iter().filter(|start| !removed.contains(*start)) {
            reached.insert(start, None);
            queue.push_back(start);
        }
        while let Some(from) = queue.pop_front() {
            for (to, origin) in self.edges.get(from).into_iter().flatten() {
                if !removed.contains(to) && !reached.contains_key(to) {
                    reached.insert(to, Some((from, origin)));
                    queue.push_back(to);
                }
            }
        }
        reached
    }
}

/// From where, by what.
type Step<'e> = (&'e WorkspacePath, &'e EdgeOrigin);

#[cfg(test)]
mod tests {
    use super::*;

    fn dir(name: &str) -> WorkspacePath {
        WorkspacePath::new(name).unwrap()
    }

    /// Edges written as `from>to`, from `s`.
    fn edges(text: &str) -> DependencyEdges {
        let mut edges = DependencyEdges::default();
        edges.start(dir("s"));
        for (from, to) in text.split(' ').filter_map(|edge| edge.split_once('>')) {
            let origin = EdgeOrigin::Declared { kind: EdgeKind::Production, name: to.into(), wanted: "1".into() };
            edges.add(&dir(from), &dir(to), origin);
        }
        edges
    }

    #[test]
    fn chains_and_what_leaves() {
        let table = [
            ("straight", "s>a a>b", "b", "s>a>b", "b"),
            ("two ways, the shortest first", "s>a a>b b>x s>c c>x", "x", "s>c>x s>a>b>x", "x"),
            ("direct too", "s>a a>x s>x", "x", "s>x s>a>x", "x"),
            ("what only it brings", "s>a a>b b>c a>c s>d d>e e>b", "a", "s>a", "a"),
            ("and whatever that brings", "s>a a>b b>c s>d d>e", "a", "s>a", "a b c"),
            ("a circle through it is no way to it", "s>a a>b b>a", "a", "s>a", "a b"),
            ("back to the service", "s>a a>s a>b", "a", "s>a", "a b"),
            ("what it brings and others do too", "s>a a>b a>c s>c", "a", "s>a", "a b"),
        ];
        for (comment, text, target, chains, leaves) in table {
            let edges = edges(text);
            let told = edges.chains_to(&dir(target)).into_iter().map(|chain| {
                let ends: Vec<String> = chain.iter().map(|link| link.to.to_string()).collect();
                format!("s>{}", ends.join(">"))
            });
            assert_eq!(told.collect::<Vec<_>>().join(" "), chains, "{comment}");
            let removed = edges.only_through(&BTreeSet::from([dir(target)]));
            let removed: Vec<String> = removed.iter().map(ToString::to_string).collect();
            assert_eq!(removed.join(" "), leaves, "{comment}");
        }
    }
}
