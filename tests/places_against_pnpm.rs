//! What lies in the root's `node_modules`, as the lockfile says, against what pnpm hoists there.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::locked::{Fixture, assert_same, this_platform};
use harness::package_manager::{self, PNPM};
use harness::placed::Placed;
use harness::workspace::TestWorkspace;
use pirogue::path::HostPath;
use pirogue::workspace::lockfiles::Lockfile;
use pirogue::workspace::{Workspace, WorkspacePath};
use serde_json::Value;

/// Members that need several versions of many packages, of which those most used are not those that pnpm hoists.
const MEMBERS: [(&str, &str); 6] = [
    ("package.json", r#"{"name": "hoisted", "private": true, "dependencies": {"semver": "5.7.2"}}"#),
    (
        "apps/api/package.json",
        r#"{"name": "api", "version": "1.0.0", "dependencies":
            {"chalk": "4.1.2", "debug": "2.6.9", "nanoid": "3.3.11", "react": "17.0.2", "react-redux": "8.1.3",
             "semver": "7.6.0", "@app/shared": "workspace:*"}}"#,
    ),
    (
        "apps/web/package.json",
        r#"{"name": "web", "version": "1.0.0", "dependencies":
            {"chalk": "2.4.2", "debug": "4.3.4", "express": "4.18.2", "nanoid": "4.0.2", "react": "18.2.0",
             "react-redux": "8.1.3", "yargs": "15.4.1"}}"#,
    ),
    (
        "apps/work/package.json",
        r#"{"name": "work", "version": "1.0.0", "dependencies": {"nanoid": "4.0.2", "semver": "7.6.0"},
            "optionalDependencies": {"cliui": "7.0.4"}}"#,
    ),
    (
        "packages/shared/package.json",
        r#"{"name": "@app/shared", "version": "1.0.0", "dependencies": {"ms": "1.0.0", "string-width": "5.1.2"}}"#,
    ),
    ("packages/a-tool/package.json", r#"{"name": "tool", "version": "1.0.0", "devDependencies": {"nanoid": "5.0.7"}}"#),
];

/// `NAME NAME@VERSION` of what lies in a `node_modules`, without members.
fn hoisted(node_modules: &Path) -> BTreeSet<String> {
    let names = |dir: &Path| -> Vec<PathBuf> {
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| !is_hidden(path)).collect()
    };
    let is_scope = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().starts_with('@');
    let (scopes, plain): (Vec<PathBuf>, Vec<PathBuf>) = names(node_modules).into_iter().partition(is_scope);
    let paths = plain.into_iter().chain(scopes.iter().flat_map(|scope| names(scope)));
    let of_packages = paths.filter(|path| fs::canonicalize(path).unwrap().to_str().unwrap().contains("/.pnpm/"));
    let lines = of_packages.map(|path| {
        let package_json: Value = serde_json::from_slice(&fs::read(path.join("package.json")).unwrap()).unwrap();
        let name = path.strip_prefix(node_modules).unwrap().to_str().unwrap();
        format!("{name} {}@{}", package_json["name"].as_str().unwrap(), package_json["version"].as_str().unwrap())
    });
    lines.collect()
}

fn is_hidden(path: &Path) -> bool {
    path.file_name().unwrap().to_str().unwrap().starts_with('.')
}

/// The same, as it lies in an image.
fn at_root(placed: &Placed) -> BTreeSet<String> {
    let name = |place: &WorkspacePath| {
        let name = place.to_string().strip_prefix("node_modules/").map(str::to_owned);
        name.filter(|name| !name.contains("/node_modules/"))
    };
    let packages = placed.node_modules.packages.iter();
    let lines = packages.filter_map(|(place, id)| Some((name(place)?, placed.lockfile.packages[id].label())));
    lines.map(|(name, label)| format!("{name} {label}")).collect()
}

#[test]
fn pnpm_9() {
    looked_at("pnpm@9.15.9", Some("pnpm-9"));
}

/// Its hashes of patches are others than those of the fixture's lockfile.
#[test]
fn pnpm_10() {
    looked_at("pnpm@10.34.9", None);
}

#[test]
fn pnpm_12() {
    looked_at("pnpm@12.21.0", Some("pnpm-12"));
}

fn looked_at(version: &str, fixture: Option<&str>) {
    for (option, dir) in [("--shamefully-hoist", None), ("--hoist", Some("node_modules/.pnpm/node_modules"))] {
        let arguments = ["install", "--frozen-lockfile", "--prod", "--ignore-scripts", option];
        let theirs = |root: &Path| {
            package_manager::run(root, version, "pnpm", &arguments)?;
            let dirs = [Some("node_modules"), dir].into_iter().flatten();
            Some(dirs.flat_map(|dir| hoisted(&root.join(dir))).collect::<BTreeSet<_>>())
        };
        let workspace = TestWorkspace::new(&MEMBERS).and(PNPM.settings);
        if PNPM.lock(&workspace).is_none() {
            return;
        }
        let lockfile = Lockfile::read(&Workspace::discover(&HostPath::new(workspace.root())).unwrap()).unwrap();
        let Some(expected) = theirs(&workspace.root()) else { return };
        assert!(expected.contains("nanoid nanoid@3.3.11"), "{expected:?}");
        let ours = at_root(&Placed::new(lockfile, &this_platform()));
        assert_same(option, &ours, &expected);

        let Some(fixture) = fixture.and_then(Fixture::new) else { continue };
        fixture.without_package_manager();
        let Some(mut expected) = theirs(fixture.path()) else { return };
        // A copy of a member lies where it finds its peers, the member itself at the top.
        expected.remove("@demo/shared @demo/shared@1.0.0");
        assert_same(option, &at_root(&fixture.placed), &expected);
    }
}
