//! The walk along production edges, breadth first.

use std::collections::BTreeSet;

use rayon::prelude::*;

use super::portability::{self, Step};
use super::{
    ClosureError, ClosurePackage, DependencyClosure, EdgeKind, EdgeOrigin, Exclusion, ExclusionReason, NodePlatform,
    Packages, ProductionEdge, ProductionTree, Reason, ResolvedPackage,
};
use crate::workspace::WorkspacePath;

/// What a walk does at the edges where services and the whole workspace differ.
pub(super) struct Walk<'a> {
    pub packages: &'a dyn Packages,
    pub platform: &'a NodePlatform,
    /// The packages that a production install of the workspace would hold; optional peers are taken only from there.
    /// `None` for the walk that finds out what these are, which takes no optional peer.
    pub production: Option<&'a ProductionTree>,
    /// Whether a dependency that is not installed is an error.
    pub strict: bool,
    pub closure: DependencyClosure,
    /// What was met and not followed yet, all as many edges away.
    queue: Vec<WorkspacePath>,
    steps: Vec<Step>,
}

impl<'a> Walk<'a> {
    pub fn new(packages: &'a dyn Packages, platform: &'a NodePlatform, production: Option<&'a ProductionTree>) -> Self {
        let strict = production.is_some();
        let (closure, queue, steps) = Default::default();
        Self { packages, platform, production, strict, closure, queue, steps }
    }

    /// Walks from the package or member in `dir` to everything it needs. `dir` itself does not join the closure.
    pub fn from(&mut self, dir: WorkspacePath) -> Result<(), ClosureError> {
        if let Some(edges) = &mut self.closure.edges {
            edges.start(dir.clone());
        }
        self.queue.push(dir);
        self.go_on()
    }

    /// Adds what was found as `resolved`, and walks on from it if it is new.
    pub fn add(&mut self, resolved: ResolvedPackage, reason: Reason) -> Result<(), ClosureError> {
        self.join(None, resolved, reason)?;
        self.go_on()
    }

    fn go_on(&mut self) -> Result<(), ClosureError> {
        while !self.queue.is_empty() {
            let nearest = std::mem::take(&mut self.queue);
            self.look_ahead(&nearest);
            nearest.iter().try_for_each(|dir| self.follow_edges_of(dir))?;
        }
        Ok(())
    }

    /// Has the packages remember, on all cores, where the edges of these directories lead. What goes wrong does so again
    /// when they are followed.
    fn look_ahead(&self, dirs: &[WorkspacePath]) {
        let look = |dir: &WorkspacePath| -> Result<(), ClosureError> {
            let from = self.packages.package_json(dir)?.label();
            for edge in self.packages.edges(dir)? {
                if let Some(target) = self.packages.target(&edge, dir, &from)? {
                    self.packages.package_json(&target.dir)?;
                    self.packages.hoisted_link(&target.dir)?;
                }
            }
            Ok(())
        };
        dirs.par_iter().for_each(|dir| drop(look(dir)));
    }

    fn follow_edges_of(&mut self, dir: &WorkspacePath) -> Result<(), ClosureError> {
        let from = self.packages.package_json(dir)?.label();
        for edge in self.packages.edges(dir)? {
            self.follow(dir, &from, &edge)?;
        }
        Ok(())
    }

    fn follow(&mut self, dir: &WorkspacePath, from: &str, edge: &ProductionEdge) -> Result<(), ClosureError> {
        let ProductionEdge { kind, name, wanted } = edge;
        let kind = *kind;
        let exclusion = |why| Exclusion { name: name.clone(), from: from.to_owned(), why };
        let Some(resolved) = self.packages.target(edge, dir, from)? else {
            if kind == EdgeKind::Production && self.packages.is_left_out(name, self.platform) {
                self.closure.excluded.insert(exclusion(ExclusionReason::OtherPlatform));
                return Ok(());
            }
            if kind == EdgeKind::Production && self.strict {
                return Err(self.packages.unresolved(from, name, wanted));
            }
            self.closure.excluded.insert(exclusion(ExclusionReason::NotInstalled));
            return Ok(());
        };
        if matches!(kind, EdgeKind::Optional | EdgeKind::OptionalPeer) && self.is_placeholder(&resolved.dir)? {
            self.closure.excluded.insert(exclusion(ExclusionReason::NotInstalled));
            return Ok(());
        }
        if kind == EdgeKind::Optional && !self.packages.runs_on(&resolved.dir, self.platform)? {
            self.closure.excluded.insert(exclusion(ExclusionReason::OtherPlatform));
            return Ok(());
        }
        if kind == EdgeKind::OptionalPeer && !self.production.is_some_and(|tree| tree.holds(&resolved.dir)) {
            self.closure.excluded.insert(exclusion(ExclusionReason::DevelopmentOnly));
            return Ok(());
        }
        let origin = || EdgeOrigin::Declared { kind, name: name.clone(), wanted: wanted.clone() };
        self.note(dir, &resolved, origin);
        self.join(Some(dir), resolved, Reason::Dependency { from: from.to_owned(), kind })
    }

    /// Keeps an edge, if somebody asked for all of them.
    pub fn note(&mut self, from: &WorkspacePath, to: &ResolvedPackage, origin: impl FnOnce() -> EdgeOrigin) {
        if let Some(edges) = &mut self.closure.edges {
            edges.add(from, &to.dir, origin());
        }
    }

    /// The closure, once the walk has been everywhere.
    pub fn finish(mut self) -> DependencyClosure {
        self.closure.bound = portability::bound(&self.closure, &self.steps);
        self.closure
    }

    fn join(
        &mut self,
        from: Option<&WorkspacePath>,
        resolved: ResolvedPackage,
        reason: Reason,
    ) -> Result<(), ClosureError> {
        self.steps.push(Step { from: from.cloned(), to: resolved.clone() });
        let ResolvedPackage { found_at, dir } = resolved;
        if found_at != dir {
            self.closure.links.insert(found_at, dir.clone());
        }
        if self.packages.workspace().member_at(&dir).is_some() {
            if !self.closure.members.contains_key(&dir) {
                self.closure.members.insert(dir.clone(), reason);
                self.queue.push(dir);
            }
        } else if !self.closure.packages.contains_key(&dir) {
            let package_json = self.packages.package_json(&dir)?;
            let hoisted = self.packages.hoisted_link(&dir)?;
            self.closure.links.extend(hoisted.map(|link| (link, dir.clone())));
            self.closure.packages.insert(dir.clone(), ClosurePackage { package_json, reason });
            self.queue.push(dir);
        }
        Ok(())
    }

    /// Whether an installer put a name there instead of a package, as yarn's pnpm linker does for optional packages of other
    /// platforms. What is published has a version.
    fn is_placeholder(&self, dir: &WorkspacePath) -> Result<bool, ClosureError> {
        let is_member = self.packages.workspace().member_at(dir).is_some();
        Ok(!is_member && self.packages.package_json(dir)?.version.is_none())
    }
}

/// The directories of `closure`, of packages and members alike.
pub(super) fn directories(closure: &DependencyClosure) -> BTreeSet<WorkspacePath> {
    closure.packages.keys().chain(closure.members.keys()).cloned().collect()
}
