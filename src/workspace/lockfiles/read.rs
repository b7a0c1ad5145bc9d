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

const MERGE_MARKERS: [&str; 3] = ["<<<<<<< ", "=======", ">>>>>>> "];

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
    let [ours, middle, theirs] = MERGE_MARKERS;
    let mut first = None;
    for (number, line) in text.lines().enumerate() {
        if line.starts_with(ours) || line.starts_with(theirs) || line == middle {
            first.get_or_insert(number + 1);
        }
    }
    first
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
    let path = workspace.root.join("pnpm-workspace.yaml");
    if let Some(bytes) = host::read_if_present(&path)? {
        let content = |problem| LockfileError::Content { path: path.clone(), problem };
        let text = String::from_utf8(bytes).map_err(|_| content(LockfileProblem::NotUtf8))?;
        let settings: Option<PnpmWorkspace> = yaml::parse(&text).map_err(content)?;
        let settings = settings.unwrap_or_default();
        manifests.overrides.extend(settings.overrides.into_keys());
        manifests.patches.extend(settings.patched_dependencies);
    }
    Ok(manifests)
}

/// Yarn 2 and later installs with Plug'n'Play unless it is told otherwise.
fn refuse_plug_and_play(root: &HostPath) -> Result<(), LockfileError> {
    #[derive(Default, Deserialize)]
    #[serde(default, rename_all = "camelCase")]
    struct YarnSettings {
        node_linker: Option<String>,
    }
    let path = root.join(".yarnrc.yml");
    let text = host::read_if_present(&path)?.unwrap_or_default();
    let settings: Option<YarnSettings> = yaml::parse(&String::from_utf8_lossy(&text))
        .map_err(|problem| LockfileError::Content { path: path.clone(), problem })?;
    match settings.unwrap_or_default().node_linker.as_deref() {
        Some("node-modules" | "pnpm") => Ok(()),
        _ => Err(LockfileError::PlugAndPlay(path)),
    }
}
