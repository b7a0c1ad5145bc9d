//! What a workspace's settings say about `engines`: whether a package for another Node is an error.

use serde::Deserialize;

use super::{npmrc, yarnrc};
use crate::host::{self, HostError};
use crate::path::HostPath;
use crate::workspace::PackageManager;

/// Whether what asks for another Node is an error to the package manager of a workspace, or a warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EngineRules {
    /// Of the root and the members.
    pub refuses_members: bool,
    /// Of packages.
    pub refuses_packages: bool,
}

impl EngineRules {
    /// The rules of a package manager, as the project's settings and the user's have them.
    ///
    /// Source: npm's documentation, "config", `engine-strict`; pnpm's, "Settings", `engineStrict` ("installation will always
    /// fail if a project specifies an incompatible version"); yarn 1, `src/package-compatibility.js` and `ignore-engines`.
    /// Yarn 2 and later, and bun, do not look at `engines`.
    pub fn read(manager: PackageManager, project: &HostPath, home: Option<&HostPath>) -> Result<Self, HostError> {
        let both = |refuses| Self { refuses_members: refuses, refuses_packages: refuses };
        let says =
            |file: &str, key: &str, parse: fn(&str) -> Vec<(String, String)>| -> Result<Option<bool>, HostError> {
                for dir in [Some(project), home].into_iter().flatten() {
                    let Some(bytes) = host::read_if_present(&dir.join(file))? else { continue };
                    let entries = parse(&String::from_utf8_lossy(&bytes));
                    let said = entries.into_iter().rev().find(|(name, _)| name.trim_start_matches("--") == key);
                    if let Some((_, value)) = said {
                        return Ok(Some(value == "true"));
                    }
                }
                Ok(None)
            };
        let strict = || says(".npmrc", "engine-strict", npmrc::parse);
        Ok(match manager {
            PackageManager::Npm => both(strict()?.unwrap_or(false)),
            PackageManager::Pnpm => {
                let in_workspace = host::read_if_present(&project.join("pnpm-workspace.yaml"))?;
                let in_workspace = in_workspace.and_then(|bytes| of_pnpm(&String::from_utf8_lossy(&bytes)));
                let refuses_packages = in_workspace.or(strict()?).unwrap_or(false);
                Self { refuses_members: true, refuses_packages }
            }
            PackageManager::YarnClassic => {
                let ignores = says(".yarnrc", "ignore-engines", yarnrc::parse_classic)?;
                let ignores = ignores.or(says(".yarnrc", "install.ignore-engines", yarnrc::parse_classic)?);
                both(!ignores.unwrap_or(false))
            }
            PackageManager::YarnBerry | PackageManager::Bun => both(false),
        })
    }
}

/// What `pnpm-workspace.yaml` says; a file that cannot be read says nothing, and was refused before where it matters.
fn of_pnpm(text: &str) -> Option<bool> {
    #[derive(Deserialize)]
    struct Settings {
        #[serde(rename = "engineStrict")]
        engine_strict: Option<bool>,
    }
    serde_saphyr::from_str::<Settings>(text).ok()?.engine_strict
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn rules() {
        use PackageManager::{Bun, Npm, Pnpm, YarnBerry, YarnClassic};
        let table: [(&str, PackageManager, &[(&str, &str)], (bool, bool)); 10] = [
            ("npm", Npm, &[], (false, false)),
            ("npm, strict", Npm, &[(".npmrc", "engine-strict=true\n")], (true, true)),
            (
                "npm, the project's first",
                Npm,
                &[(".npmrc", "engine-strict=false"), ("home/.npmrc", "engine-strict=true")],
                (false, false),
            ),
            ("npm, the user's", Npm, &[("home/.npmrc", "engine-strict = true")], (true, true)),
            ("pnpm", Pnpm, &[], (true, false)),
            ("pnpm, strict", Pnpm, &[("pnpm-workspace.yaml", "packages: [a]\nengineStrict: true\n")], (true, true)),
            ("yarn 1", YarnClassic, &[(".npmrc", "engine-strict=false")], (true, true)),
            ("yarn 1, lenient", YarnClassic, &[(".yarnrc", "--install.ignore-engines true\n")], (false, false)),
            ("yarn 4", YarnBerry, &[], (false, false)),
            ("bun", Bun, &[], (false, false)),
        ];
        for (comment, manager, files, (refuses_members, refuses_packages)) in table {
            let dir = tempfile::tempdir().unwrap();
            fs::create_dir(dir.path().join("home")).unwrap();
            files.iter().for_each(|(name, text)| fs::write(dir.path().join(name), text).unwrap());
            let project = HostPath::new(dir.path());
            let found = EngineRules::read(manager, &project, Some(&project.join("home"))).unwrap();
            assert_eq!(found, EngineRules { refuses_members, refuses_packages }, "{comment}");
        }
    }
}
