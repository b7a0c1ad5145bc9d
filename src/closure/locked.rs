//! The production closure of a member from the lockfile alone, with nothing installed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::walk::node_cpu;
use super::{ClosureError, EdgeKind, Exclusion, ExclusionReason, Reason};
use crate::platform::Platform;
use crate::workspace::WorkspacePath;
use crate::workspace::lockfiles::{Edge, LockedPackage, Lockfile, PackageId, Peer, PlatformLimits, Source, Target};

/// A platform in the words of package.json files.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct NodePlatform {
    /// As `process.platform` says it: `linux`
    pub os: String,
    /// As `process.arch` says it: `x64`
    pub cpu: String,
    /// `glibc` or `musl`; `None` where it is not known, so that packages for either stay
    pub libc: Option<String>,
}

impl NodePlatform {
    /// The platform of an image whose base has this C library.
    pub fn new(platform: &Platform, libc: Option<&str>) -> Self {
        Self { os: platform.os.clone(), cpu: node_cpu(platform).to_owned(), libc: libc.map(str::to_owned) }
    }

    /// Whether a package with these limits may be used on it.
    pub fn suits(&self, limits: &PlatformLimits) -> bool {
        limits.allow(&self.os, &self.cpu, self.libc.as_deref())
    }
}

/// Everything a member needs at run time, besides its own files, as the lockfile says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LockedClosure {
    /// Package instances, each with the first reason met walking breadth first.
    pub packages: BTreeMap<PackageId, Reason>,
    /// Other members, by directory; the one that was asked for is not among them.
    pub members: BTreeMap<WorkspacePath, Reason>,
    /// What was considered and left out.
    pub excluded: BTreeSet<Exclusion>,
    /// Those of `packages` that only optional dependencies lead to, of which the lockfile does not say for which platforms
    /// they are (yarn 1). Whoever reads their package.json can fill in [`LockedPackage::limits`] and walk again.
    pub undecided: BTreeSet<PackageId>,
}

impl LockedClosure {
    /// What a production install of the whole workspace holds: what the root and each member need. Nothing that is missing
    /// is an error here, since nobody may ask for it.
    pub fn of_workspace(lockfile: &Lockfile, platform: &NodePlatform) -> Result<Self, ClosureError> {
        let mut walk = Walk::new(lockfile, platform, None);
        lockfile.importers.keys().try_for_each(|dir| walk.from(dir))?;
        Ok(walk.finish())
    }

    /// Walks from the member in `member` along production edges, optional edges that suit the platform, and peers.
    ///
    /// An optional peer is no reason to ship a package, but is taken if a production install of the whole workspace would
    /// hold it: [`ProductionTree`](super::ProductionTree) is the same rule for installed packages.
    pub fn of(lockfile: &Lockfile, member: &WorkspacePath, platform: &NodePlatform) -> Result<Self, ClosureError> {
        let mut production = Walk::new(lockfile, platform, None);
        lockfile.importers.keys().try_for_each(|dir| production.from(dir))?;
        let production = production.packages_and_members();
        let mut walk = Walk::new(lockfile, platform, Some(&production));
        walk.from(member)?;
        walk.closure.members.remove(member);
        Ok(walk.finish())
    }
}

/// Where a walk stands: something with edges.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Node {
    Package(PackageId),
    Member(WorkspacePath),
}

/// What is left to do. Peers wait in line with everything else: a peer may have peers, as long as the lockfile likes.
enum Step {
    /// Follow the edges of a package or member.
    Follow(Node),
    /// Let a provider provide a peer of who is labelled so.
    Provide { provider: Node, label: String, name: String, optional: bool },
}

struct Walk<'a> {
    lockfile: &'a Lockfile,
    platform: &'a NodePlatform,
    /// What a production install of the workspace would hold; `None` for the walk that finds this out, which takes no
    /// optional peer and minds nothing that is missing.
    production: Option<&'a BTreeSet<Node>>,
    closure: LockedClosure,
    /// What an edge that is not optional leads to.
    required: BTreeSet<PackageId>,
    queue: VecDeque<Step>,
}

impl<'a> Walk<'a> {
    fn new(lockfile: &'a Lockfile, platform: &'a NodePlatform, production: Option<&'a BTreeSet<Node>>) -> Self {
        let (closure, required, queue) = (LockedClosure::default(), BTreeSet::new(), VecDeque::new());
        Self { lockfile, platform, production, closure, required, queue }
    }

    fn from(&mut self, dir: &WorkspacePath) -> Result<(), ClosureError> {
        // Nobody depends on the member that is asked for, so its own development dependencies provide its peers.
        if let Some(importer) = self.lockfile.importers.get(dir) {
            let provider = || Node::Member(dir.clone());
            for (name, peer) in &importer.peers {
                self.ask(provider(), &dir.to_string(), name, peer);
            }
        }
        self.queue.push_back(Step::Follow(Node::Member(dir.clone())));
        while let Some(step) = self.queue.pop_front() {
            match step {
                Step::Follow(node) => {
                    let label = self.label(&node);
                    for (name, edge) in self.edges(&node).into_iter().flatten() {
                        self.follow(&node, &label, name, edge)?;
                    }
                }
                Step::Provide { provider, label, name, optional } => {
                    self.follow_peer(&provider, &label, &name, optional)?;
                }
            }
        }
        Ok(())
    }

    fn packages_and_members(self) -> BTreeSet<Node> {
        let packages = self.closure.packages.into_keys().map(Node::Package);
        packages.chain(self.closure.members.into_keys().map(Node::Member)).collect()
    }

    fn finish(mut self) -> LockedClosure {
        let undecided = self.closure.packages.keys().filter(|id| {
            let unknown = self.lockfile.packages.get(*id).is_some_and(|package| package.limits.is_none());
            unknown && !self.required.contains(*id)
        });
        self.closure.undecided = undecided.cloned().collect();
        self.closure
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

    /// `name@version` of a package, the directory of a member.
    fn label(&self, node: &Node) -> String {
        match node {
            Node::Package(id) => self.package(node).map_or_else(|| id.to_string(), LockedPackage::label),
            Node::Member(dir) => dir.to_string(),
        }
    }

    fn follow(&mut self, from: &Node, label: &str, name: &str, edge: &Edge) -> Result<(), ClosureError> {
        let Some(kind) = EdgeKind::of(edge.kind) else { return Ok(()) };
        self.take(from, label, name, kind, edge)
    }

    /// Takes what an edge leads to, or says why not.
    fn take(&mut self, from: &Node, label: &str, name: &str, kind: EdgeKind, edge: &Edge) -> Result<(), ClosureError> {
        let target = match &edge.target {
            Target::Package(id) if self.lockfile.packages.contains_key(id) => Node::Package(id.clone()),
            Target::Member(dir) => Node::Member(dir.clone()),
            Target::Package(_) | Target::Absent if kind == EdgeKind::Production && self.production.is_some() => {
                return Err(ClosureError::UnresolvedDependency {
                    from: label.to_owned(),
                    name: name.to_owned(),
                    wanted: edge.specifier.clone(),
                    install: self.lockfile.manager.install_command(),
                });
            }
            Target::Package(_) | Target::Absent => return self.leave_out(label, name, ExclusionReason::NotInstalled),
        };
        let package = self.package(&target);
        let limits = package.and_then(|package| package.limits.as_ref());
        if kind == EdgeKind::Optional && limits.is_some_and(|limits| !self.platform.suits(limits)) {
            return self.leave_out(label, name, ExclusionReason::OtherPlatform);
        }
        if kind == EdgeKind::OptionalPeer && !self.production.is_some_and(|held| held.contains(&target)) {
            return self.leave_out(label, name, ExclusionReason::DevelopmentOnly);
        }
        if let (Some(Source::Outside(path)), true) = (package.map(|it| &it.source), self.production.is_some()) {
            let (from, name, target) = (label.to_owned(), name.to_owned(), path.clone());
            return Err(ClosureError::OutsideWorkspace { from, name, target });
        }
        self.join(&target, label, kind);
        for (peer_name, peer) in self.peers(&target).into_iter().flatten() {
            self.provide(from, &target, peer_name, peer)?;
        }
        Ok(())
    }

    /// Lets `from`, which depends on `target`, provide a peer of `target`; the root does where nobody else can, since
    /// what it depends on lies where every package finds it.
    fn provide(&mut self, from: &Node, target: &Node, name: &str, peer: &Peer) -> Result<(), ClosureError> {
        let label = self.label(target);
        let asks_further = self.peers(from).is_some_and(|peers| peers.contains_key(name));
        let provides = |node: &Node| self.edges(node).is_some_and(|edges| edges.contains_key(name));
        let root = Node::Member(WorkspacePath::default());
        // A member with the peer among its own development dependencies gets it from there last.
        match [from, &root, target].into_iter().find(|node| provides(node)) {
            Some(provider) if provider == from || !asks_further => {
                self.ask(provider.clone(), &label, name, peer);
                Ok(())
            }
            // Whoever depends on `from` was or will be asked for it.
            _ if asks_further => Ok(()),
            _ => self.leave_out(&label, name, ExclusionReason::NotInstalled),
        }
    }

    fn ask(&mut self, provider: Node, label: &str, name: &str, peer: &Peer) {
        let (label, name) = (label.to_owned(), name.to_owned());
        self.queue.push_back(Step::Provide { provider, label, name, optional: peer.optional });
    }

    fn follow_peer(&mut self, provider: &Node, label: &str, name: &str, optional: bool) -> Result<(), ClosureError> {
        let edge = self.edges(provider).and_then(|edges| edges.get(name));
        let kind = if optional { EdgeKind::OptionalPeer } else { EdgeKind::Peer };
        let already = |target: &Target| match target {
            Target::Package(id) => self.closure.packages.contains_key(id),
            Target::Member(dir) => self.closure.members.contains_key(dir),
            Target::Absent => false,
        };
        match edge {
            Some(edge) if already(&edge.target) => Ok(()),
            Some(edge) => self.take(provider, label, name, kind, edge),
            None => self.leave_out(label, name, ExclusionReason::NotInstalled),
        }
    }

    fn join(&mut self, target: &Node, from: &str, kind: EdgeKind) {
        let reason = || Reason::Dependency { from: from.to_owned(), kind };
        match target {
            Node::Package(id) => {
                if kind != EdgeKind::Optional {
                    self.required.insert(id.clone());
                }
                if !self.closure.packages.contains_key(id) {
                    self.closure.packages.insert(id.clone(), reason());
                    self.queue.push_back(Step::Follow(target.clone()));
                }
            }
            Node::Member(dir) => {
                if !self.closure.members.contains_key(dir) {
                    self.closure.members.insert(dir.clone(), reason());
                    self.queue.push_back(Step::Follow(target.clone()));
                }
            }
        }
    }

    fn leave_out(&mut self, from: &str, name: &str, why: ExclusionReason) -> Result<(), ClosureError> {
        // The walk over the whole workspace is asked for what it takes only.
        if self.production.is_some() {
            self.closure.excluded.insert(Exclusion { name: name.to_owned(), from: from.to_owned(), why });
        }
        Ok(())
    }
}
