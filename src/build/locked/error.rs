use std::collections::BTreeMap;

use crate::layer::{PatchError, TarballError};
use crate::workspace::WorkspacePath;

/// Why packages of a lockfile cannot go into an image.
#[derive(Debug, thiserror::Error)]
pub enum LockedError {
    /// A tarball holds what no package may.
    #[error("{source}: `{package}`")]
    Tarball {
        /// `NAME@VERSION`
        package: String,
        /// What is wrong with it.
        source: TarballError,
    },
    /// Packages that are not complete until a script has run.
    #[error("packages run a script when they are installed, and nothing is run here{}", list(.0))]
    InstallScripts(BTreeMap<String, String>),
    /// A patch cannot be applied.
    #[error("{source}, of `{package}`")]
    Patch {
        /// `NAME@VERSION`
        package: String,
        /// What is wrong with it.
        source: PatchError,
    },
    /// The file of a patch is not there.
    #[error("the patch of `{package}` is missing: `{patch}`")]
    MissingPatch {
        /// `NAME@VERSION`
        package: String,
        /// Where the lockfile says it is.
        patch: WorkspacePath,
    },
    /// A package with a patch of which the lockfile does not say where it lies.
    #[error("a patch is to be applied to a package, and is no file of the workspace: `{0}`")]
    NoPatch(String),
    /// A package that is to be taken as installed.
    #[error("a package is to be taken from the installed ones, and is not among them: `{0}`")]
    NotInstalled(String),
}

fn list(scripts: &BTreeMap<String, String>) -> String {
    scripts.iter().map(|(package, script)| format!("\n  {package}: `{script}`")).collect()
}

impl LockedError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Tarball { source, .. } => source.hint(),
            Self::InstallScripts(scripts) => {
                let name =
                    scripts.keys().next().and_then(|label| label.rsplit_once('@')).map_or("NAME", |(name, _)| name);
                Some(format!(
                    "for each, in pirogue.toml under `[package.\"{name}\"]`: `install-script = \"skip\"` if it works \
                     without, `from = \"installed\"` to take it from node_modules; or use a package that needs none"
                ))
            }
            Self::Patch { source, .. } => source.hint(),
            Self::MissingPatch { patch, .. } => {
                Some(format!("bring it back, or remove it with the package manager: `git log -- {patch}`"))
            }
            Self::NoPatch(label) => {
                let name = label.rsplit_once('@').map_or(label.as_str(), |(name, _)| name);
                Some(format!("install it, and set `from = \"installed\"` under `[package.\"{name}\"]` in pirogue.toml"))
            }
            Self::NotInstalled(_) => {
                Some("install the workspace's packages, or remove `from` under its name in pirogue.toml".into())
            }
        }
    }
}
