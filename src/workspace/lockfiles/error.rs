//! What can be wrong with a lockfile.

use crate::host::HostError;
use crate::path::HostPath;
use crate::workspace::{PackageManager, WorkspacePath};

/// Why a workspace's lockfile cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockfileError {
    /// There is none.
    #[error("there is no lockfile of {manager} (`{expected}`) in `{root}`")]
    NotFound {
        /// The workspace's package manager.
        manager: PackageManager,
        /// The names it could have.
        expected: String,
        /// The workspace's root.
        root: HostPath,
    },
    /// Bun's binary lockfile.
    #[error("bun's binary lockfile is not read: `{0}`")]
    Binary(HostPath),
    /// Larger than anything a package manager writes.
    #[error("the lockfile has {size} bytes, more than the {limit} that are read: `{path}`")]
    TooLarge {
        /// The file.
        path: HostPath,
        /// Its size.
        size: u64,
        /// What is read.
        limit: u64,
    },
    /// Yarn 2 and later without `node_modules`.
    #[error("yarn installs with Plug'n'Play here, which has no `node_modules`: `{0}`")]
    PlugAndPlay(HostPath),
    /// Its content.
    #[error("{problem}: `{path}`")]
    Content {
        /// The file.
        path: HostPath,
        /// What is wrong with it.
        problem: LockfileProblem,
    },
    /// Settings that belong to the lockfile, and cannot be read.
    #[error("not settings of the package manager ({reason}): `{path}`")]
    Settings {
        /// The file.
        path: HostPath,
        /// What the reader met.
        reason: String,
    },
    /// It does not fit a package.json.
    #[error("the lockfile is out of date: `{member}` asks for `{name}@{wanted}`, and the lockfile has {locked}")]
    OutOfDate {
        /// The member's directory.
        member: WorkspacePath,
        /// The dependency.
        name: String,
        /// What package.json says.
        wanted: String,
        /// What the lockfile says.
        locked: String,
        /// The command that brings it up to date.
        update: &'static str,
    },
    /// It names a dependency that package.json no longer does.
    #[error("the lockfile is out of date: package.json of `{member}` does not name what it has, `{name}@{locked}`")]
    Superfluous {
        /// The member's directory.
        member: WorkspacePath,
        /// The dependency.
        name: String,
        /// What the lockfile says.
        locked: String,
        /// The command that brings it up to date.
        update: &'static str,
    },
    /// It does not know a member.
    #[error("the lockfile is out of date: it does not know the member `{member}`")]
    UnknownMember {
        /// The member's directory.
        member: WorkspacePath,
        /// The command that brings it up to date.
        update: &'static str,
    },
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

/// What is wrong with the content of a lockfile.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum LockfileProblem {
    /// Both sides of a merge.
    #[error("the lockfile has merge conflicts, the first in line {line}")]
    MergeConflict {
        /// The line of the first marker.
        line: usize,
        /// The command that resolves them.
        resolve: &'static str,
    },
    /// Not text.
    #[error("the lockfile is no UTF-8 text")]
    NotUtf8,
    /// Not what its format asks for.
    #[error("the lockfile is damaged ({0})")]
    Syntax(String),
    /// A format that is too old or too new.
    #[error("the lockfile has version `{version}`, and pirogue reads {understood}")]
    UnknownVersion {
        /// The version it states.
        version: String,
        /// The versions that are read.
        understood: &'static str,
        /// The command that writes one of these.
        upgrade: &'static str,
    },
}

impl LockfileError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotFound { manager, .. } => Some(format!("write one: `{}`", update_command(*manager))),
            Self::Binary(_) => Some("write it as text: `bun install --save-text-lockfile --lockfile-only`".into()),
            Self::PlugAndPlay(_) => Some("set `nodeLinker: node-modules` in .yarnrc.yml and run `yarn install`".into()),
            Self::OutOfDate { update, .. } | Self::Superfluous { update, .. } | Self::UnknownMember { update, .. } => {
                Some(format!("bring it up to date: `{update}`"))
            }
            Self::Content { problem, path } => Some(match problem {
                LockfileProblem::MergeConflict { resolve, .. } => {
                    format!("let the package manager resolve them: `{resolve}`")
                }
                LockfileProblem::UnknownVersion { upgrade, .. } => format!("write it anew: `{upgrade}`"),
                LockfileProblem::NotUtf8 | LockfileProblem::Syntax(_) => {
                    format!("see what changed: `git diff -- {path}`")
                }
            }),
            Self::Settings { path, .. } => Some(format!("see what changed: `git diff -- {path}`")),
            Self::TooLarge { .. } | Self::Host(_) => None,
        }
    }
}

/// The command that writes the lockfile and installs nothing, where there is one.
pub fn update_command(manager: PackageManager) -> &'static str {
    match manager {
        PackageManager::Npm => "npm install --package-lock-only",
        PackageManager::YarnClassic => "yarn install",
        PackageManager::YarnBerry => "yarn install --mode=update-lockfile",
        PackageManager::Pnpm => "pnpm install --lockfile-only",
        PackageManager::Bun => "bun install --lockfile-only",
    }
}
