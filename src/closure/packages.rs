use std::sync::Arc;

use super::{ClosureError, EdgeKind, NodePlatform};
use crate::host::StatIndex;
use crate::workspace::{PackageJson, Workspace, WorkspacePath};

/// The packages under the `node_modules` directories of a workspace: those that lie on the disk, or those that would if the
/// lockfile were installed.
pub trait Packages: Sync {
    /// The workspace they belong to.
    fn workspace(&self) -> &Workspace;

    /// What is known of the workspace's files.
    fn index(&self) -> &StatIndex;

    /// Finds the package `name` as code in `from_dir` (a real directory, not one reached by a link) would: in the
    /// `node_modules` of that directory, then of each directory above, up to the workspace's root. `from` names who asks.
    ///
    /// Source: Node's documentation, "Modules: CommonJS modules", LOAD_NODE_MODULES and NODE_MODULES_PATHS.
    fn resolve(
        &self,
        name: &str,
        from_dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError>;

    /// The package.json of the package or member in `dir`; an empty one where it has none, as Node allows.
    fn package_json(&self, dir: &WorkspacePath) -> Result<Arc<PackageJson>, ClosureError>;

    /// What the package or member in `dir` needs in production, sorted by kind, then by name.
    fn edges(&self, dir: &WorkspacePath) -> Result<Vec<ProductionEdge>, ClosureError>;

    /// The error of a dependency that `from` has and that is not there.
    fn unresolved(&self, from: &str, name: &str, wanted: &str) -> ClosureError;

    /// Where an edge of the package or member in `dir` leads, if it leads anywhere. `from` names who has it.
    fn target(
        &self,
        edge: &ProductionEdge,
        dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        self.resolve(&edge.name, dir, from)
    }

    /// What a file in `from_dir` imports as `name`, where the file is one of the member in `member`. `from` names the import.
    fn imported(
        &self,
        name: &str,
        _member: &WorkspacePath,
        from_dir: &WorkspacePath,
        from: &str,
    ) -> Result<Option<ResolvedPackage>, ClosureError> {
        self.resolve(name, from_dir, from)
    }

    /// The link at which all packages find the one in `dir`, whether they declare it or not, where the package manager keeps
    /// packages in a store of its own.
    fn hoisted_link(&self, _dir: &WorkspacePath) -> Result<Option<WorkspacePath>, ClosureError> {
        Ok(None)
    }

    /// Whether the package manager installs nothing for a dependency on `name`, since it is made for other platforms than
    /// this one. Most install what is no optional dependency whatever it is made for.
    fn is_left_out(&self, _name: &str, _platform: &NodePlatform) -> bool {
        false
    }

    /// Whether the package in `dir` is made for a platform.
    fn runs_on(&self, dir: &WorkspacePath, platform: &NodePlatform) -> Result<bool, ClosureError> {
        Ok(platform.suits(&self.package_json(dir)?.limits))
    }
}

/// Where a package was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResolvedPackage {
    /// The place under `node_modules` at which Node meets it.
    pub found_at: WorkspacePath,
    /// The directory in which it really lies: the same, or where the link leads.
    pub dir: WorkspacePath,
}

/// A dependency that counts in production.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ProductionEdge {
    /// By which field of package.json.
    pub kind: EdgeKind,
    /// The name under which code imports it.
    pub name: String,
    /// The version range or specifier.
    pub wanted: String,
}
