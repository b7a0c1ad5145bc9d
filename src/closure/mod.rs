//! The production dependency closure of a service: which installed packages and workspace packages its image needs, each
//! with the reason why, and what was left out with the reason why not.

mod builtin_modules;
mod edges;
mod fitted;
mod imports;
mod installed;
mod locked;
mod node_modules;
mod node_platform;
mod packages;
mod placed;
mod portability;
mod production;
mod real_directories;
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

pub use builtin_modules::package_of;
pub use edges::{Chain, ChainLink, DependencyEdges, EdgeOrigin};
pub use fitted::FittedPackages;
pub use imports::{Import, ScanError, Scanned, scan};
pub use installed::InstalledPackages;
pub use locked::LockedProduction;
pub use node_modules::{NodeModules, PlacementError};
pub use node_platform::NodePlatform;
pub use packages::{Packages, ProductionEdge, ResolvedPackage};
pub use placed::PlacedPackages;
pub use production::ProductionTree;

use crate::host::HostError;
use crate::workspace::lockfiles::DependencyKind;
use crate::workspace::{PackageJson, WorkspaceError, WorkspacePath};

/// Everything a service needs at run time, besides its own files.
#[derive(Clone, Debug, Default)]
pub struct DependencyClosure {
    /// Installed packages by the directory in which they really lie.
    pub packages: BTreeMap<WorkspacePath, ClosurePackage>,
    /// Workspace packages by their directory; the service itself is not among them.
    pub members: BTreeMap<WorkspacePath, Reason>,
    /// Links under `node_modules` and the directories they lead to.
    pub links: BTreeMap<WorkspacePath, WorkspacePath>,
    /// The places of those packages and links that are there for the platform's sake: packages made for some processors or
    /// C libraries, and what nothing but these leads to. All others are the same on every platform.
    pub bound: BTreeSet<WorkspacePath>,
    /// What was considered and left out.
    pub excluded: BTreeSet<Exclusion>,
    /// What the user should know, one sentence each.
    pub warnings: BTreeSet<String>,
    /// The port that the service's code listens on when nobody sets `PORT`, where the code says just one.
    pub default_port: Option<u16>,
    /// All edges that were walked, where they were asked for.
    pub edges: Option<DependencyEdges>,
}

/// An installed package of a closure.
#[derive(Clone, Debug)]
pub struct ClosurePackage {
    /// What its package.json says.
    pub package_json: Arc<PackageJson>,
    /// Why it is there; where several edges lead to it, the first one met walking breadth first.
    pub reason: Reason,
}

/// Why a package is in a closure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Reason {
    /// A package or member depends on it.
    Dependency {
        /// `name@version` of the one that does.
        from: String,
        /// By which field of its package.json.
        kind: EdgeKind,
    },
    /// Nobody declares it, but shipped code imports it.
    UndeclaredImport {
        /// Where, as `FILE:LINE` relative to the workspace.
        place: String,
    },
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dependency { from, kind } => write!(f, "{kind} of {from}"),
            Self::UndeclaredImport { place } => write!(f, "undeclared, imported by {place}"),
        }
    }
}

/// The field of package.json that an edge comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum EdgeKind {
    /// `dependencies`
    Production,
    /// `optionalDependencies`
    Optional,
    /// `peerDependencies`
    Peer,
    /// `peerDependencies` that are marked optional
    OptionalPeer,
}

impl EdgeKind {
    /// The kind of an edge of a lockfile; `None` for one that counts in development only.
    pub(super) fn of(kind: DependencyKind) -> Option<Self> {
        match kind {
            DependencyKind::Development => None,
            DependencyKind::Production => Some(Self::Production),
            DependencyKind::Optional => Some(Self::Optional),
            DependencyKind::Peer => Some(Self::Peer),
            DependencyKind::OptionalPeer => Some(Self::OptionalPeer),
        }
    }
}

impl fmt::Display for EdgeKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Production => "dependency",
            Self::Optional => "optional dependency",
            Self::Peer => "peer dependency",
            Self::OptionalPeer => "optional peer",
        })
    }
}

/// Something that was left out of a closure.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Exclusion {
    /// The package's name.
    pub name: String,
    /// Who asked for it: `name@version`, or a place in the code.
    pub from: String,
    /// Why it is not there.
    pub why: ExclusionReason,
}

/// Why something was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ExclusionReason {
    /// An optional dependency or peer that is not installed.
    NotInstalled,
    /// An optional dependency made for another platform.
    OtherPlatform,
    /// There, but only for development: no production edge of the whole workspace leads to it.
    DevelopmentOnly,
}

impl fmt::Display for ExclusionReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotInstalled => "not installed",
            Self::OtherPlatform => "made for another platform",
            Self::DevelopmentOnly => "needed for development only",
        })
    }
}

/// Why a closure cannot be computed.
#[derive(Debug, thiserror::Error)]
pub enum ClosureError {
    /// A declared dependency is not installed.
    #[error("a dependency of `{from}` is not installed: `{name}@{wanted}`")]
    UnresolvedDependency {
        /// Who needs it.
        from: String,
        /// The name.
        name: String,
        /// The version range or specifier.
        wanted: String,
        /// The command that would install it.
        install: &'static str,
    },
    /// The lockfile has no package for a declared dependency.
    #[error("the lockfile has nothing for a dependency of `{from}`: `{name}@{wanted}`")]
    NotLocked {
        /// Who needs it.
        from: String,
        /// The name.
        name: String,
        /// The version range or specifier.
        wanted: String,
        /// The command that brings the lockfile up to date.
        update: &'static str,
    },
    /// A package is a link to a place that no image can hold.
    #[error("`{name}`, needed by `{from}`, is a link that leads out of the workspace: `{target}`")]
    OutsideWorkspace {
        /// Who needs it.
        from: String,
        /// The name.
        name: String,
        /// Where the link leads.
        target: String,
    },
    /// Scanning the shipped code failed.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// Reading a package failed.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl ClosureError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnresolvedDependency { install, .. } => Some(format!(
                "run `{install}` (if it still fails, the lockfile is out of date with package.json), or build without \
                     an installation: `--packages lockfile`"
            )),
            Self::NotLocked { update, .. } => Some(format!("bring it up to date: `{update}`")),
            Self::OutsideWorkspace { .. } => {
                Some("move the package into the workspace, or depend on a published version of it".into())
            }
            Self::Workspace(error) => error.hint(),
            _ => None,
        }
    }
}
