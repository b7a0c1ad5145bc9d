//! What is found in an installed tree is what its lockfile says, for the trees of every package manager: hoisted, nested,
//! and linked to a store of packages, with development packages beside.

mod harness;

use std::collections::BTreeSet;
use std::fs;

use harness::locked::{Fixture, MEMBERS, assert_same};
use pirogue::closure::{DependencyClosure, InstalledPackages, NodePlatform, Packages, ProductionTree};
use pirogue::host::StatIndex;
use pirogue::path::HostPath;
use pirogue::platform::Platform;
use pirogue::workspace::lockfiles::Source;
use pirogue::workspace::{Workspace, WorkspacePath};

/// Installs with this manager, then compares the closures of all members.
fn compare(fixture: &Fixture, manager: &str, program: &str, install: &[&str]) {
    if fixture.run(manager, program, install).is_none() {
        return;
    }
    let workspace = Workspace::discover(&HostPath::new(fixture.path().canonicalize().unwrap())).unwrap();
    let index = StatIndex::decode(&workspace.root, None, i64::MAX);
    let installed = InstalledPackages::new(&workspace, &index);
    let platform = NodePlatform::new(&Platform::of_this_machine(), None);
    let production = ProductionTree::of(&installed, &platform).unwrap();
    for member in MEMBERS {
        let dir = WorkspacePath::new(member).unwrap();
        let found = DependencyClosure::declared(&dir, &installed, &production, &platform, false).unwrap();
        let locked = fixture.closure(member);
        // Directories that are copied into the tree: members and `file:` dependencies, which have no version there.
        let copied = locked.packages.keys().map(|id| &fixture.lockfile.packages[id]);
        let copied: BTreeSet<&String> =
            copied.filter(|it| matches!(it.source, Source::Directory(_))).map(|it| &it.name).collect();
        let packages = found.packages.values().map(|package| &package.package_json);
        let packages = packages.filter(|it| !it.name.as_ref().is_some_and(|name| copied.contains(name)));
        let ours: BTreeSet<String> = packages.map(|package_json| package_json.label()).collect();
        let undecided = fixture.labels(&locked.undecided);
        let mut theirs = fixture.labels(locked.packages.keys());
        // A peer is the one that Node finds from where the package lies. Hoisting may make that another than the lockfile
        // says: `packages/shared` develops against a react of its own, and pnpm's hoisted linker puts
        // use-sync-external-store beside that one instead of the one of apps/web.
        let places = found.packages.keys().chain(found.members.keys()).chain([&dir]);
        for place in
            places.filter(|place| installed.package_json(place).unwrap().peer_dependencies.contains_key("react"))
        {
            let react = installed.resolve("react", place, "").unwrap().unwrap();
            theirs.insert(installed.package_json(&react.dir).unwrap().label());
        }
        let decided = |labels: BTreeSet<String>| labels.difference(&undecided).cloned().collect();
        assert_same(&format!("{manager}, {member}"), &decided(ours), &decided(theirs));
    }
}

#[test]
fn npm() {
    let Some(fixture) = Fixture::new("npm") else { return };
    compare(&fixture, "npm@11", "npm", &["ci", "--ignore-scripts", "--no-audit"]);
}

#[test]
fn npm_nested() {
    let Some(fixture) = Fixture::new("npm") else { return };
    let install = ["install", "--install-strategy=nested", "--ignore-scripts", "--no-audit"];
    // It is written anew, with the same versions at other places.
    compare(&fixture, "npm@11", "npm", &install);
}

#[test]
fn pnpm_8() {
    pnpm("pnpm-6", "pnpm@8.15.9", &[]);
}

#[test]
fn pnpm_9() {
    pnpm("pnpm-9", "pnpm@9.15.9", &[]);
}

#[test]
fn pnpm_9_hoisted() {
    pnpm("pnpm-9", "pnpm@9.15.9", &["--config.node-linker=hoisted"]);
}

#[test]
fn pnpm_12() {
    pnpm("pnpm-12", "pnpm@12.21.0", &[]);
}

fn pnpm(fixture: &str, version: &str, more: &[&str]) {
    let Some(fixture) = Fixture::new(fixture) else { return };
    fixture.without_package_manager();
    compare(&fixture, version, "pnpm", &[&["install", "--frozen-lockfile", "--ignore-scripts"], more].concat());
}

#[test]
fn yarn_berry() {
    for linker in ["node-modules", "pnpm"] {
        let Some(fixture) = Fixture::new("yarn-berry") else { return };
        let settings = format!("nodeLinker: {linker}\nenableScripts: false\nenableTelemetry: false\n");
        fs::write(fixture.path().join(".yarnrc.yml"), settings).unwrap();
        compare(&fixture, "@yarnpkg/cli-dist@4.18.1", "yarn", &["install"]);
    }
}

#[test]
fn yarn_classic() {
    let Some(fixture) = Fixture::new("yarn-classic") else { return };
    let install = ["install", "--frozen-lockfile", "--ignore-scripts", "--non-interactive"];
    compare(&fixture, "yarn@1.22.22", "yarn", &install);
}

#[test]
fn bun() {
    let Some(fixture) = Fixture::new("bun") else { return };
    let install = ["install", "--frozen-lockfile", "--ignore-scripts", "--linker", "hoisted"];
    compare(&fixture, "bun@1.4.5", "bun", &install);
}
