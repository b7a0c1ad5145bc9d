use std::fmt;

use super::{PackageJson, WorkspaceError};
use crate::host;
use crate::path::HostPath;

/// What installs a workspace's packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackageManager {
    /// npm, and whatever leaves a `package-lock.json`
    Npm,
    /// Yarn 1, "classic"
    YarnClassic,
    /// Yarn 2 and later, "berry"
    YarnBerry,
    /// pnpm
    Pnpm,
    /// Bun
    Bun,
}

impl PackageManager {
    /// Finds it out: by `packageManager` in the root's package.json (Node's corepack), else by the lockfile; npm where
    /// neither is there, since it comes with Node.
    pub fn detect(root: &HostPath, package_json: &PackageJson) -> Result<Self, WorkspaceError> {
        match &package_json.package_manager {
            Some(field) => Self::from_field(field).ok_or_else(|| WorkspaceError::UnknownPackageManager(field.clone())),
            None => Self::from_lockfile(root),
        }
    }

    /// Reads `NAME@VERSION[+HASH]`.
    fn from_field(field: &str) -> Option<Self> {
        let (name, version) = field.split_once('@').unwrap_or((field, ""));
        match name {
            "npm" => Some(Self::Npm),
            "yarn" if version.is_empty() || version.starts_with("1.") || version == "1" => Some(Self::YarnClassic),
            "yarn" => Some(Self::YarnBerry),
            "pnpm" => Some(Self::Pnpm),
            "bun" => Some(Self::Bun),
            _ => None,
        }
    }

    fn from_lockfile(root: &HostPath) -> Result<Self, WorkspaceError> {
        if let Some(lockfile) = host::read_if_present(&root.join("yarn.lock"))? {
            // Berry's lockfile is YAML and starts with its own metadata; classic's says "# yarn lockfile v1".
            let berry = lockfile.windows(b"__metadata:".len()).any(|window| window == b"__metadata:");
            return Ok(if berry { Self::YarnBerry } else { Self::YarnClassic });
        }
        for (lockfile, manager) in [
            ("package-lock.json", Self::Npm),
            ("npm-shrinkwrap.json", Self::Npm),
            ("pnpm-lock.yaml", Self::Pnpm),
            ("bun.lock", Self::Bun),
            ("bun.lockb", Self::Bun),
        ] {
            if host::is_file(&root.join(lockfile))? {
                return Ok(manager);
            }
        }
        Ok(Self::Npm)
    }

    /// The command that installs what the lockfile names.
    pub fn install_command(self) -> &'static str {
        match self {
            Self::Npm => "npm ci",
            Self::YarnClassic => "yarn install --frozen-lockfile",
            Self::YarnBerry => "yarn install --immutable",
            Self::Pnpm => "pnpm install --frozen-lockfile",
            Self::Bun => "bun install --frozen-lockfile",
        }
    }

    /// The command that runs the script `build`.
    pub fn build_command(self) -> &'static str {
        match self {
            Self::Npm => "npm run build",
            Self::YarnClassic | Self::YarnBerry => "yarn build",
            Self::Pnpm => "pnpm build",
            Self::Bun => "bun run build",
        }
    }
}

impl fmt::Display for PackageManager {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Npm => "npm",
            Self::YarnClassic => "yarn 1",
            Self::YarnBerry => "yarn",
            Self::Pnpm => "pnpm",
            Self::Bun => "bun",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_field_names_the_manager() {
        let table = [
            ("npm@10.2.0", Some(PackageManager::Npm)),
            ("yarn@1.22.22", Some(PackageManager::YarnClassic)),
            ("yarn@1.22.22+sha512.abc", Some(PackageManager::YarnClassic)),
            ("yarn@4.5.0", Some(PackageManager::YarnBerry)),
            ("pnpm@9.1.0", Some(PackageManager::Pnpm)),
            ("bun@1.1.0", Some(PackageManager::Bun)),
            ("cnpm@1.0.0", None),
            ("", None),
        ];
        for (field, expected) in table {
            assert_eq!(PackageManager::from_field(field), expected, "{field}");
        }
    }
}
