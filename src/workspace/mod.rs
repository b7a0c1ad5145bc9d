//! The workspace on disk: its root, its members, its package manager.

mod commands;
mod compose;
mod entry_point;
pub mod lockfiles;
mod members;
mod package_json;
mod package_manager;
mod path;
mod service;
mod shipped_files;

pub use commands::{commands, normal_commands};
pub use compose::{ComposeError, ComposeFile, ComposeService, PublishedPort, compose_files};
pub use entry_point::{EntryPoint, EntryPointError};
pub use package_json::PackageJson;
pub use package_manager::PackageManager;
pub use path::WorkspacePath;
pub use service::{NotAService, Service};
pub use shipped_files::ShippedFiles;

use crate::host::{self, HostError};
use crate::path::HostPath;

/// A workspace: a root with a `package.json`, and the packages that are developed in it.
#[derive(Clone, Debug)]
pub struct Workspace {
    /// The root, absolute and without links.
    pub root: HostPath,
    /// The root's own `package.json`.
    pub package_json: PackageJson,
    /// What installs the packages.
    pub package_manager: PackageManager,
    /// The members, sorted by their directory. A project without workspaces has one member, its root.
    pub members: Vec<Member>,
}

/// A package that is developed in the workspace.
#[derive(Clone, Debug)]
pub struct Member {
    /// Its directory.
    pub dir: WorkspacePath,
    /// Its `package.json`.
    pub package_json: PackageJson,
}

impl Member {
    /// The name its `package.json` gives it, else that of its directory.
    pub fn name(&self) -> String {
        self.package_json.name.clone().unwrap_or_else(|| self.dir.name())
    }
}

/// Why a directory is not a workspace that pirogue can build.
#[derive(Debug, thiserror::Error)]
pub enum WorkspaceError {
    /// There is no `package.json` at the root.
    #[error("there is no `package.json` in `{0}`")]
    NoPackageJson(HostPath),
    /// A JSON file that is not one.
    #[error("{reason}: `{path}`")]
    InvalidPackageJson {
        /// The file.
        path: HostPath,
        /// What the reader met, with line and column.
        reason: String,
    },
    /// A pattern under `workspaces` that is not one.
    #[error("not a pattern for files of the workspace ({reason}): `{pattern}`")]
    Pattern {
        /// The pattern.
        pattern: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A package manager nobody knows.
    #[error("the package manager is not one pirogue knows: `{0}`")]
    UnknownPackageManager(String),
    /// Yarn's Plug'n'Play, which installs no `node_modules`.
    #[error("the workspace uses Yarn's Plug'n'Play, which has no `node_modules` to build from: `{0}`")]
    PlugAndPlay(HostPath),
    /// `pnpm-workspace.yaml` that cannot be read.
    #[error("not a list of packages ({reason}): `{path}`")]
    PnpmWorkspace {
        /// The file.
        path: HostPath,
        /// What the reader met.
        reason: String,
    },
    /// Two members with one name.
    #[error("two members have the name `{name}`: `{first}` and `{second}`")]
    DuplicateName {
        /// The name.
        name: String,
        /// The directory of the first.
        first: WorkspacePath,
        /// The directory of the second.
        second: WorkspacePath,
    },
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl WorkspaceError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoPackageJson(_) => Some("name the root of the workspace: `pirogue build -C DIR`".into()),
            Self::UnknownPackageManager(_) => {
                Some("set `packageManager` in package.json to one of npm, yarn, pnpm, bun, with a version".into())
            }
            Self::PlugAndPlay(_) => Some("set `nodeLinker: node-modules` in .yarnrc.yml and run `yarn install`".into()),
            Self::InvalidPackageJson { path, .. } => Some(format!("see what changed: `git diff -- {path}`")),
            Self::Pattern { .. } => Some("patterns are relative to the workspace, such as `apps/*`".into()),
            Self::PnpmWorkspace { .. } => Some("write a list of patterns, such as `packages: [\"apps/*\"]`".into()),
            Self::DuplicateName { .. } => Some("change `name` in one of the two package.json files".into()),
            Self::Host(_) => None,
        }
    }
}

impl Workspace {
    /// Reads the workspace whose root is `dir`.
    pub fn discover(dir: &HostPath) -> Result<Self, WorkspaceError> {
        let no_package_json = || WorkspaceError::NoPackageJson(dir.clone());
        if host::metadata(dir)?.is_none() {
            return Err(no_package_json());
        }
        let root = host::canonical(dir)?;
        let package_json = PackageJson::read(&root.join("package.json"))?.ok_or_else(no_package_json)?;
        let package_manager = PackageManager::detect(&root, &package_json)?;
        let plug_and_play = root.join(".pnp.cjs");
        if host::is_file(&plug_and_play)? {
            return Err(WorkspaceError::PlugAndPlay(plug_and_play));
        }
        let members = members::find(&root, &package_json)?;
        Ok(Self { root, package_json, package_manager, members })
    }

    /// The member that lies exactly at `dir`.
    pub fn member_at(&self, dir: &WorkspacePath) -> Option<&Member> {
        self.members.iter().find(|member| member.dir == *dir)
    }

    /// A path of the workspace on this disk.
    pub fn on_host(&self, path: &WorkspacePath) -> HostPath {
        self.root.join(path.as_path())
    }

    /// A path on this disk as one of the workspace; `None` if it lies outside.
    pub fn from_host(&self, path: &HostPath) -> Option<WorkspacePath> {
        WorkspacePath::new(path.relative_to(&self.root)?)
    }
}
