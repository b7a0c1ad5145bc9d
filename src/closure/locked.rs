//! What of a lockfile counts, with nothing installed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::{EdgeKind, NodePlatform};
use crate::workspace::WorkspacePath;
use crate::workspace::lockfiles::{Edge, LockedPackage, Lockfile, PackageId, Peer, Target};

/// What a production install of the whole workspace would hold: what the root and each member need. These are the packages
/// that are fetched and placed; the closures of services are computed of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedProduction {
    /// Package instances.
    pub packages: BTreeSet<PackageId>,
    /// The root and all members.
    pub members: BTreeSet<WorkspacePath>,
}

impl LockedProduction {
    /// Walks from the root and each member along production edges, peers, and optional edges that suit one of the
    /// platforms. Where the lockfile does not say for which platforms a package is (yarn 1), it stays. Nothing that is
    /// missing is an error here, since nobody may ask for it.
    pub fn of<'a>(lockfile: &Lockfile, platforms: impl IntoIterator<Item = &'a NodePlatform>) -> Self {
        Self::of_members(lockfile.importers.keys().cloned().collect(), lockfile, platforms)
    }

    /// The same for some of the members.
    pub fn of_members<'a>(
        members: BTreeSet<WorkspacePath>,
        lockfile: &Lockfile,
        platforms: impl IntoIterator<Item = &'a NodePlatform>,
    ) -> Self {
        let mut production = Self { packages: BTreeSet::new(), members };
        for platform in platforms {
            let mut walk = Walk { lockfile, platform, taken: BTreeSet::new(), queue: VecDeque::new() };
            production.members.iter().for_each(|dir| walk.from(dir));
            production.packages.extend(walk.taken.into_iter().filter_map(|node| match node {
                Node::Package(id) => Some(id),
                Node::Member(_) => None,
            }));
        }
        production
    }
}

/// Something with edges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Package(PackageId),
    Member(WorkspacePath),
}

/// What is left to do. Peers wait in line with everything else: a peer may have peers, as long as the lockfile likes.
enum Step {
    /// Follow the edges of a package or member.
    Follow(Node),
    /// Let a provider provide a peer.
    Provide { provider: Node, name: String },
}

struct Walk<'a> {
    lockfile: &'a Lockfile,
    platform: &'a NodePlatform,
    taken: BTreeSet<Node>,
    queue: VecDeque<Step>,
}

impl<'a> Walk<'a> {
    fn from(&mut self, dir: &WorkspacePath) {
        // Nobody depends on the member that is begun with, so its own development dependencies provide its peers.
        if let Some(importer) = self.lockfile.importers.get(dir) {
            for (name, _) in importer.peers.iter().filter(|(_, peer)| !peer.optional) {
                self.queue.push_back(Step::Provide { provider: Node::Member(dir.clone()), name: name.clone() });
            }
        }
        self.queue.push_back(Step::Follow(Node::Member(dir.clone())));
        while let Some(step) = self.queue.pop_front() {
            match step {
                Step::Follow(node) => {
                    for edge in self.edges(&node).into_iter().flat_map(BTreeMap::values) {
                        if let Some(kind) = EdgeKind::of(edge.kind) {
                            self.take(&node, kind, edge);
                        }
                    }
                }
                Step::Provide { provider, name } => {
                    let edge = self.edges(&provider).and_then(|edges| edges.get(&name));
                    if let Some(edge) = edge.filter(|edge| !self.has(edge)) {
                        self.take(&provider, EdgeKind::Peer, edge);
                    }
                }
            }
        }
    }

    fn package(&self, node: &Node) -> Option<&'a LockedPackage> {
        match node {
            Node::Package(id) => self.lockfile.packages.get(id),
            Node::Member(_) => None,
        }
    }

    fn edges(&self, node: &Node) -> Option<&'a BTreeMap<String, Edge>> {
        match node {
            Node::Package(id) => self.lockfile.packages.get(id).map(|package| &package.dependencies),
            Node::Member(dir) => self.lockfile.importers.get(dir).map(|importer| &importer.dependencies),
        }
    }

    fn peers(&self, node: &Node) -> Option<&'a BTreeMap<String, Peer>> {
        match node {
            Node::Package(id) => self.lockfile.packages.get(id).map(|package| &package.peers),
            Node::Member(dir) => self.lockfile.importers.get(dir).map(|importer| &importer.peers),
        }
    }

    /// Takes what an edge of `from` leads to. An optional peer is no reason to install a package.
    fn take(&mut self, from: &Node, kind: EdgeKind, edge: &Edge) {
        let target = match &edge.target {
            Target::Package(id) if self.lockfile.packages.contains_key(id) => Node::Package(id.clone()),
            Target::Member(dir) => Node::Member(dir.clone()),
            Target::Package(_) | Target::Absent => return,
        };
        let limits = self.package(&target).and_then(|package| package.limits.as_ref());
        let suits = limits.is_none_or(|limits| self.platform.suits(limits));
        if kind == EdgeKind::OptionalPeer || kind == EdgeKind::Optional && !suits {
            return;
        }
        for (name, _) in self.peers(&target).into_iter().flatten().filter(|(_, peer)| !peer.optional) {
            self.provide(from, &target, name);
        }
        if self.taken.insert(target.clone()) {
            self.queue.push_back(Step::Follow(target));
        }
    }

    /// Lets `from`, which depends on `target`, provide a peer of `target`; the root does where nobody else can, since
    /// what it depends on lies where every package finds it.
    fn provide(&mut self, from: &Node, target: &Node, name: &str) {
        let asks_further = self.peers(from).is_some_and(|peers| peers.contains_key(name));
        let root = Node::Member(WorkspacePath::default());
        // A member with the peer among its own development dependencies gets it from there last.
        let provides = |node: &&Node| self.edges(node).is_some_and(|edges| edges.contains_key(name));
        let provider = [from, &root, target].into_iter().find(provides).cloned();
        // If `from` only asks for it too, whoever depends on `from` was or will be asked for it.
        if let Some(provider) = provider.filter(|provider| provider == from || !asks_further) {
            let is_new = !self.edges(&provider).and_then(|edges| edges.get(name)).is_some_and(|edge| self.has(edge));
            if is_new {
                self.queue.push_back(Step::Provide { provider, name: name.to_owned() });
            }
        }
    }

    fn has(&self, edge: &Edge) -> bool {
        match &edge.target {
            Target::Package(id) => self.taken.contains(&Node::Package(id.clone())),
            Target::Member(dir) => self.taken.contains(&Node::Member(dir.clone())),
            Target::Absent => true,
        }
    }
}
