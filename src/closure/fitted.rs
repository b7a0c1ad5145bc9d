use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use super::installed::production_edges;
use super::{ClosureError, NodePlatform, Packages, ProductionEdge, ResolvedPackage};
use crate::host::StatIndex;
use crate::workspace::{PackageJson, Workspace, WorkspacePath};

/// Packages as an image needs them whose native code was looked at: without those that its platform cannot load, and with
/// those that are there in their place.
pub struct FittedPackages<'a> {
    /// All packages.
    pub packages: &'a dyn Packages,
    /// Those that the platform cannot load, whatever their package.json says.
    pub foreign: &'a BTreeSet<WorkspacePath>,
    /// Further ones by their directories, where nothing else lies.
    pub added: &'a BTreeMap<WorkspacePath, Arc<PackageJson>>,
}

impl FittedPackages<'_> {
    fn or_added(&self, found: Option<ResolvedPackage>, name: &str, from: &WorkspacePath) -> Option<ResolvedPackage> {
        found.or_else(|| {
            let is_folder = |dir: &&Path| dir.file_name().is_none_or(|last| last != "node_modules");
            from.as_path().ancestors().filter(is_folder).find_map(|dir| {
                let dir = WorkspacePath::new(dir.join("node_modules").join(name))?;
                self.added.contains_key(&dir).then(|| ResolvedPackage { found_at: dir.clone(), dir })
            })
        })
    }
}

impl Packages for FittedPackages<'_> {
    fn workspace(&self) -> &Workspace {
        self.packages.workspace()
    }

    fn index(&self) -> &StatIndex {
        self.packages.index()
    }

    fn resolve(
        &self,
        name: &str,
        from_dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        Ok(self.or_added(self.packages.resolve(name, from_dir, from)?, name, from_dir))
    }

    fn package_json(&self, dir: &WorkspacePath) -> Result<Arc<PackageJson>, ClosureError> {
        self.added.get(dir).map_or_else(|| self.packages.package_json(dir), |added| Ok(added.clone()))
    }

    fn edges(&self, dir: &WorkspacePath) -> Result<Vec<ProductionEdge>, ClosureError> {
        match self.added.get(dir) {
            Some(added) => Ok(production_edges(added).collect()),
            None => self.packages.edges(dir),
        }
    }

    fn unresolved(&self, from: &str, name: &str, wanted: &str) -> ClosureError {
        self.packages.unresolved(from, name, wanted)
    }

    fn target(
        &self,
        edge: &ProductionEdge,
        dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        Ok(self.or_added(self.packages.target(edge, dir, from)?, &edge.name, dir))
    }

    fn imported(
        &self,
        name: &str,
        member: &WorkspacePath,
        from_dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        Ok(self.or_added(self.packages.imported(name, member, from_dir, from)?, name, from_dir))
    }

    fn hoisted_link(&self, dir: &WorkspacePath) -> Result<Option<WorkspacePath>, ClosureError> {
        if self.added.contains_key(dir) { Ok(None) } else { self.packages.hoisted_link(dir) }
    }

    fn is_left_out(&self, name: &str, platform: &NodePlatform) -> bool {
        self.packages.is_left_out(name, platform)
    }

    fn runs_on(&self, dir: &WorkspacePath, platform: &NodePlatform) -> Result<bool, ClosureError> {
        match self.added.get(dir) {
            _ if self.foreign.contains(dir) => Ok(false),
            Some(added) => Ok(platform.suits(&added.limits)),
            None => self.packages.runs_on(dir, platform),
        }
    }
}
