//! From a workspace to its lockfile: which file, whether it is one, and whether it fits the package.json files.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::error::update_command;
use super::manifests::declared;
use super::{
    DependencyKind, Edge, Importer, Lockfile, LockfileError, LockfileProblem, Manifests, Target, bun, npm, pnpm, yaml,
    yarn_berry, yarn_classic,
};
use crate::host;
use crate::path::HostPath;
use crate::workspace::{PackageJson, PackageManager, Workspace, WorkspacePath};

/// A larger file is no lockfile: those of the largest known workspaces have less than a tenth of it.
const LARGEST: u64 = 128 << 20;

const YARN_SETTINGS: &str = ".yarnrc.yml";

const MERGE_MARKERS: [&str; 2] = ["<<<<<<< ", ">>>>>>> "];

impl Lockfile {
    /// The lockfile of a workspace: the first that its package manager would use.
    pub fn find(workspace: &Workspace) -> Result<HostPath, LockfileError> {
        let names = names(workspace.package_manager);
        for name in names {
            let path = workspace.root.join(name);
            if host::is_file(&path)? {
                return Ok(path);
            }
        }
        let binary = workspace.root.join("bun.lockb");
        if workspace.package_manager == PackageManager::Bun && host::is_file(&binary)? {
            return Err(LockfileError::Binary(binary));
        }
        Err(LockfileError::NotFound {
            manager: workspace.package_manager,
            expected: names.join("`, `"),
            root: workspace.root.clone(),
        })
    }

    /// Reads the lockfile of a workspace, and holds it against the package.json files.
    pub fn read(workspace: &Workspace) -> Result<Self, LockfileError> {
        let path = Self::find(workspace)?;
        let size = host::metadata(&path)?.map_or(0, |metadata| metadata.len());
        if size > LARGEST {
            return Err(LockfileError::TooLarge { path, size, limit: LARGEST });
        }
        let bytes = host::read(&path)?;
        let manifests = manifests(workspace)?;
        let lockfile = Self::parse(workspace.package_manager, &bytes, &manifests)
            .map_err(|problem| LockfileError::Content { path, problem })?;
        if lockfile.manager == PackageManager::YarnBerry {
            refuse_plug_and_play(&workspace.root)?;
        }
        lockfile.fits(&manifests)
    }

    /// Reads the bytes of a lockfile of this package manager; which of yarn's two formats it is, its content says.
    pub fn parse(manager: PackageManager, bytes: &[u8], manifests: &Manifests) -> Result<Self, LockfileProblem> {
        let text = std::str::from_utf8(bytes).map_err(|_| LockfileProblem::NotUtf8)?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if let Some(line) = merge_conflict(text) {
            return Err(LockfileProblem::MergeConflict { line, resolve: update_command(manager) });
        }
        let is_berry = || text.lines().any(|line| line.starts_with("__metadata:"));
        match manager {
            PackageManager::Npm => npm::parse(text, manifests),
            PackageManager::Pnpm => pnpm::parse(text, manifests),
            PackageManager::Bun => bun::parse(text, manifests),
            PackageManager::YarnClassic | PackageManager::YarnBerry if is_berry() => yarn_berry::parse(text, manifests),
            PackageManager::YarnClassic | PackageManager::YarnBerry => yarn_classic::parse(text, manifests),
        }
    }

    /// Holds the lockfile against the package.json files, as installers do that must not change it. What package.json
    /// says of an edge's kind counts, since formats differ in when they write that down.
    fn fits(mut self, manifests: &Manifests) -> Result<Self, LockfileError> {
        let update = update_command(self.manager);
        for (dir, package_json) in manifests.iter() {
            let root = *dir == WorkspacePath::default();
            let Some(importer) = self.importers.get_mut(dir) else {
                if root && declared(package_json).is_empty() {
                    continue;
                }
                return Err(LockfileError::UnknownMember { member: dir.clone(), update });
            };
            importer.fits(dir, package_json, manifests, update)?;
        }
        if self.manager == PackageManager::YarnBerry {
            yarn_berry::free_conditional_dependencies(&mut self);
        }
        Ok(self)
    }
}

impl Importer {
    fn fits(
        &mut self,
        dir: &WorkspacePath,
        package_json: &PackageJson,
        manifests: &Manifests,
        update: &'static str,
    ) -> Result<(), LockfileError> {
        let declared = declared(package_json);
        for (name, (kind, wanted)) in &declared {
            let locked = match self.dependencies.get_mut(*name) {
                Some(Edge { target: Target::Absent, .. }) if *kind == DependencyKind::Optional => continue,
                Some(Edge { target: Target::Absent, .. }) => "no entry for it".to_owned(),
                Some(edge)
                    if edge.specifier == *wanted
                        || manifests.overrides(name)
                        || also_asks(package_json, name, &edge.specifier) =>
                {
                    // Who develops against a peer needs it all the same when it runs.
                    let peer = *kind == DependencyKind::Development
                        && package_json.peer_dependencies.contains_key(*name)
                        && !self.peers.contains_key(*name);
                    edge.kind = if peer { DependencyKind::Peer } else { *kind };
                    continue;
                }
                Some(edge) => format!("`{name}@{}`", edge.specifier),
                None if *kind == DependencyKind::Optional || wanted.starts_with("link:") => continue,
                None => "no entry for it".to_owned(),
            };
            let (name, wanted) = (name.to_string(), wanted.to_string());
            return Err(LockfileError::OutOfDate { member: dir.clone(), name, wanted, locked, update });
        }
        for (name, edge) in &mut self.dependencies {
            if package_json.peer_dependencies.contains_key(name) && !declared.contains_key(name.as_str()) {
                edge.kind = DependencyKind::Peer;
            } else if package_json.optional_peers.contains_key(name) && !declared.contains_key(name.as_str()) {
                edge.kind = DependencyKind::OptionalPeer;
            } else if !declared.contains_key(name.as_str()) {
                let (name, locked) = (name.clone(), edge.specifier.clone());
                return Err(LockfileError::Superfluous { member: dir.clone(), name, locked, update });
            }
        }
        Ok(())
    }
}

/// Whether another field of package.json asks for the same name with this specifier. Which field wins differs.
fn also_asks(package_json: &PackageJson, name: &str, specifier: &str) -> bool {
    let fields = [&package_json.dev_dependencies, &package_json.peer_dependencies, &package_json.optional_peers];
    fields.iter().any(|field| field.get(name).is_some_and(|wanted| wanted == specifier))
}

fn names(manager: PackageManager) -> &'static [&'static str] {
    match manager {
        PackageManager::Npm => &["npm-shrinkwrap.json", "package-lock.json"],
        PackageManager::YarnClassic | PackageManager::YarnBerry => &["yarn.lock"],
        PackageManager::Pnpm => &["pnpm-lock.yaml"],
        PackageManager::Bun => &["bun.lock"],
    }
}

/// The line of the first marker of a merge that was left unresolved.
fn merge_conflict(text: &str) -> Option<usize> {
    let line = text.lines().position(|line| MERGE_MARKERS.iter().any(|marker| line.starts_with(marker)))?;
    Some(line + 1)
}

/// The package.json files, with what pnpm-workspace.yaml says of overrides and patches.
fn manifests(workspace: &Workspace) -> Result<Manifests, LockfileError> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct PnpmWorkspace {
        overrides: BTreeMap<String, String>,
        patched_dependencies: BTreeMap<String, String>,
    }
    let root = host::read(&workspace.root.join("package.json"))?;
    let mut manifests = Manifests::new(&root, &workspace.members);
    let settings: PnpmWorkspace = yaml::settings(&workspace.root.join("pnpm-workspace.yaml"))?;
    manifests.overrides.extend(settings.overrides.into_keys());
    manifests.patches.extend(settings.patched_dependencies);
    let settings: YarnSettings = yaml::settings(&workspace.root.join(YARN_SETTINGS))?;
    manifests.catalogs = settings.catalogs;
    manifests.catalogs.insert(String::new(), settings.catalog);
    Ok(manifests)
}

/// What .yarnrc.yml says.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct YarnSettings {
    node_linker: Option<String>,
    catalog: BTreeMap<String, String>,
    catalogs: BTreeMap<String, BTreeMap<String, String>>,
}

/// Yarn 2 and later installs with Plug'n'Play unless it is told otherwise.
fn refuse_plug_and_play(root: &HostPath) -> Result<(), LockfileError> {
    let path = root.join(YARN_SETTINGS);
    match yaml::settings::<YarnSettings>(&path)?.node_linker.as_deref() {
        Some("node-modules" | "pnpm") => Ok(()),
        _ => Err(LockfileError::PlugAndPlay(path)),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Reads the workspace of these files.
    fn read(files: &[(&str, &str)]) -> Result<Lockfile, LockfileError> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        Lockfile::read(&Workspace::discover(&HostPath::new(root.path())).unwrap())
    }

    #[test]
    fn what_is_wrong_is_said_and_what_to_do() {
        let npm = |dependencies: &str| format!(r#"{{"packageManager":"npm@10","dependencies":{{{dependencies}}}}}"#);
        let locked =
            r#"{"lockfileVersion":3,"packages":{"":{"dependencies":{"a":"1"}},"node_modules/a":{"version":"1.0.0"}}}"#;
        let berry = r#"{"packageManager":"yarn@4.0.0"}"#;
        let table: [(&str, &[(&str, &str)], &str, &str); 12] = [
            ("none", &[("package.json", &npm(""))], "no lockfile of npm", "npm install --package-lock-only"),
            (
                "version 1 of npm",
                &[("package.json", &npm("")), ("package-lock.json", r#"{"lockfileVersion":1}"#)],
                "version `1`, and pirogue reads versions 2 and 3",
                "--lockfile-version 3",
            ),
            (
                "a changed specifier",
                &[("package.json", &npm(r#""a":"2""#)), ("package-lock.json", locked)],
                "`.` asks for `a@2`, and the lockfile has `a@1`",
                "npm install --package-lock-only",
            ),
            (
                "a new dependency",
                &[("package.json", &npm(r#""a":"1","b":"1""#)), ("package-lock.json", locked)],
                "`.` asks for `b@1`, and the lockfile has no entry for it",
                "npm install",
            ),
            (
                "a dependency that is gone",
                &[("package.json", &npm("")), ("package-lock.json", locked)],
                "package.json of `.` does not name what it has, `a@1`",
                "npm install",
            ),
            (
                "a new member",
                &[
                    ("package.json", r#"{"workspaces":["x"]}"#),
                    ("x/package.json", r#"{"name":"x"}"#),
                    ("package-lock.json", r#"{"lockfileVersion":3,"packages":{"":{}}}"#),
                ],
                "does not know the member `x`",
                "npm install",
            ),
            (
                "a merge",
                &[("package.json", &npm("")), ("package-lock.json", "{\n<<<<<<< HEAD\n=======\n>>>>>>> x\n}")],
                "merge conflicts, the first in line 2",
                "npm install",
            ),
            ("bun's binary", &[("package.json", "{}"), ("bun.lockb", "x")], "binary", "--save-text-lockfile"),
            (
                "Plug'n'Play",
                &[("package.json", berry), ("yarn.lock", "__metadata:\n  version: 8\n")],
                "Plug'n'Play",
                "nodeLinker: node-modules",
            ),
            (
                "an old pnpm",
                &[("package.json", "{}"), ("pnpm-lock.yaml", "lockfileVersion: 5.4\n")],
                "version `5.4`, and pirogue reads versions 6 and 9",
                "pnpm install",
            ),
            ("no JSON", &[("package.json", &npm("")), ("package-lock.json", "{")], "damaged", "git diff"),
            (
                "a yarn 1 lockfile without what is asked for",
                &[("package.json", r#"{"dependencies":{"a":"^1"}}"#), ("yarn.lock", "a@1:\n  version \"1.0.0\"\n")],
                "`.` asks for `a@^1`, and the lockfile has no entry for it",
                "yarn install",
            ),
        ];
        for (comment, files, error, hint) in table {
            let found = read(files).unwrap_err();
            assert!(found.to_string().contains(error), "{comment}: {found}");
            assert!(found.hint().is_some_and(|text| text.contains(hint)), "{comment}: {:?}", found.hint());
        }
    }

    #[test]
    fn what_fits_though_it_differs() {
        let table: [(&str, &[(&str, &str)]); 3] = [
            (
                "npm-shrinkwrap.json comes first",
                &[
                    ("package.json", r#"{"packageManager":"npm@10"}"#),
                    ("npm-shrinkwrap.json", r#"{"lockfileVersion":3,"packages":{"":{}}}"#),
                    ("package-lock.json", "no JSON"),
                ],
            ),
            (
                "pnpm writes what an override made of a specifier",
                &[
                    ("package.json", r#"{"dependencies":{"a":"^1"}}"#),
                    ("pnpm-workspace.yaml", "overrides:\n  a@>=1 <1.5: ^1.5\n"),
                    (
                        "pnpm-lock.yaml",
                        "lockfileVersion: '9.0'\nimporters:\n  .:\n    dependencies:\n      a:\n        specifier: ^1.5\n        version: 1.5.0\nsnapshots:\n  a@1.5.0: {}\n",
                    ),
                ],
            ),
            (
                "yarn's file says which yarn wrote it",
                &[
                    ("package.json", r#"{"packageManager":"yarn@1.22.22"}"#),
                    // With an anchor, which people write and package managers do not.
                    (".yarnrc.yml", "nodeLinker: &linker node-modules\nx: *linker\n"),
                    ("yarn.lock", "__metadata:\n  version: 8\n"),
                ],
            ),
        ];
        for (comment, files) in table {
            let result = read(files);
            assert!(result.is_ok(), "{comment}: {result:?}");
        }
    }
}
