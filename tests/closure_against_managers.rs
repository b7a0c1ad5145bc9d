//! Closures from lockfiles against what the package managers themselves say or install for production.
//!
//! Differences that are chosen on purpose, each named in the test that meets it:
//! - a peer that a member develops against is needed when it runs, whoever else provides it;
//! - packages for other platforms stay in a closure from yarn 1's lockfile, which does not say what they are for.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use harness::locked::{Fixture, MEMBERS, assert_same};
use pirogue::closure::DependencyClosure;
use pirogue::workspace::WorkspacePath;
use serde_json::Value;

/// `packages/shared` asks for react as a peer and develops against this one. No manager installs it for production with
/// that member alone; where Node finds it from there, though another react is provided, npm and pnpm do not say so.
const PEER_OF_SHARED: [&str; 3] = ["react@18.2.0", "loose-envify@1.4.0", "js-tokens@4.0.0"];

/// `NAME@VERSION` of everything in any `node_modules` below a directory. Links are passed over: they are members.
fn installed(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<(PathBuf, bool)> = vec![(root.to_owned(), false)];
    while let Some((dir, in_modules)) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if !entry.file_type().unwrap().is_dir() || (name.starts_with('.') && name != ".bun") {
                continue;
            }
            // A package is what lies in `node_modules` itself, or there in a folder that is a scope.
            let is_package = in_modules && !name.starts_with('@');
            if is_package && entry.path().join("package.json").is_file() {
                let package_json: Value =
                    serde_json::from_slice(&fs::read(entry.path().join("package.json")).unwrap()).unwrap();
                let text = |field: &str| package_json[field].as_str().unwrap_or("?").to_owned();
                found.insert(format!("{}@{}", text("name"), text("version")));
            }
            let scope = in_modules && name.starts_with('@');
            left.push((entry.path(), name == "node_modules" || scope));
        }
    }
    found
}

/// Whether `packages/shared` is there, with the peer it develops against.
fn holds_shared(closure: &DependencyClosure, member: &str) -> bool {
    member == "packages/shared" || closure.members.contains_key(&WorkspacePath::new("packages/shared").unwrap())
}

#[test]
fn npm() {
    let Some(fixture) = Fixture::new("npm") else { return };
    let version = "npm@11";
    if fixture.run(version, "npm", &["ci", "--omit=dev", "--ignore-scripts", "--no-audit"]).is_none() {
        return;
    }
    for member in MEMBERS {
        let arguments = ["ls", "--omit=dev", "--all", "--json", "--long", "--workspace", member];
        let Some(said) = fixture.run(version, "npm", &arguments) else { return };
        let mut theirs = BTreeSet::new();
        npm_packages(&serde_json::from_str(&said).unwrap(), &mut theirs);
        theirs.retain(|label| !label.starts_with("@demo/"));
        theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        let ours = fixture.placed.labels_of(&fixture.placed.closure(member));
        assert_same(member, &ours, &theirs);
    }
}

fn npm_packages(node: &Value, found: &mut BTreeSet<String>) {
    for child in node["dependencies"].as_object().into_iter().flatten().map(|(_, child)| child) {
        let (name, version) = (child["name"].as_str(), child["version"].as_str());
        let missing = child["missing"] == Value::Bool(true) || child["path"].is_null();
        if let (Some(name), Some(version), false) = (name, version, missing) {
            found.insert(format!("{name}@{version}"));
        }
        npm_packages(child, found);
    }
}

#[test]
fn pnpm_8() {
    pnpm("pnpm-6", "pnpm@8.15.9");
}

#[test]
fn pnpm_9() {
    pnpm("pnpm-9", "pnpm@9.15.9");
}

#[test]
fn pnpm_12() {
    pnpm("pnpm-12", "pnpm@12.21.0");
}

fn pnpm(fixture: &str, version: &str) {
    let Some(fixture) = Fixture::new(fixture) else { return };
    fixture.without_package_manager();
    if fixture.run(version, "pnpm", &["install", "--frozen-lockfile", "--prod", "--ignore-scripts"]).is_none() {
        return;
    }
    for member in MEMBERS {
        let closure = fixture.placed.closure(member);
        let mut theirs = BTreeSet::new();
        // `pnpm list` does not look into linked members, so they are asked for themselves.
        let dirs = closure.members.keys().map(|dir| dir.to_string()).chain([member.to_owned()]);
        for dir in dirs {
            let filter = format!("./{dir}");
            let arguments = ["list", "--prod", "--depth", "Infinity", "--json", "--filter", &filter];
            let Some(said) = fixture.run(version, "pnpm", &arguments) else { return };
            let said: Value = serde_json::from_str(&said).unwrap();
            said.as_array().unwrap().iter().for_each(|project| pnpm_packages(project, &mut theirs));
        }
        let ours = fixture.placed.labels_of(&closure);
        if holds_shared(&closure, member) {
            theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        }
        assert_same(member, &ours, &theirs);
    }
}

fn pnpm_packages(node: &Value, found: &mut BTreeSet<String>) {
    for field in ["dependencies", "optionalDependencies"] {
        for child in node[field].as_object().into_iter().flatten().map(|(_, child)| child) {
            let (name, version) = (child["from"].as_str().unwrap(), child["version"].as_str().unwrap());
            // What was not installed since it is for another platform has no directory.
            let there = child["path"].as_str().is_some_and(|path| Path::new(path).exists());
            if !version.starts_with("link:") && !version.starts_with("file:") && there {
                found.insert(format!("{name}@{version}"));
            }
            pnpm_packages(child, found);
        }
    }
}

#[test]
fn yarn_berry() {
    for (member, name) in MEMBERS.iter().zip(["@demo/api", "@demo/web", "@demo/shared"]) {
        let Some(fixture) = Fixture::new("yarn-berry") else { return };
        // For this machine only.
        let settings = "nodeLinker: node-modules\nenableScripts: false\nenableTelemetry: false\n";
        fs::write(fixture.path().join(".yarnrc.yml"), settings).unwrap();
        let arguments = ["workspaces", "focus", name, "--production"];
        if fixture.run("@yarnpkg/cli-dist@4.18.1", "yarn", &arguments).is_none() {
            return;
        }
        let mut theirs = installed(fixture.path());
        let closure = fixture.placed.closure(member);
        if holds_shared(&closure, member) {
            theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        }
        assert_same(member, &fixture.placed.labels_of(&closure), &theirs);
    }
}

#[test]
fn yarn_classic() {
    for member in MEMBERS {
        let Some(fixture) = Fixture::new("yarn-classic") else { return };
        let closure = fixture.placed.closure(member);
        let members: Vec<String> =
            closure.members.keys().map(|dir| dir.to_string()).chain([member.to_owned()]).collect();
        let root = fixture.path().join("package.json");
        let mut package_json: Value = serde_json::from_slice(&fs::read(&root).unwrap()).unwrap();
        package_json["workspaces"] = members.into();
        fs::write(&root, package_json.to_string()).unwrap();
        let arguments = ["install", "--production", "--pure-lockfile", "--ignore-scripts", "--non-interactive"];
        if fixture.run("yarn@1.22.22", "yarn", &arguments).is_none() {
            return;
        }
        let mut theirs = installed(fixture.path());
        if member == "packages/shared" {
            theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        }
        // Which of these are for this platform, only their package.json files say.
        let undecided = fixture.placed.labels(&fixture.placed.undecided(&closure));
        let decided = |labels: BTreeSet<String>| labels.difference(&undecided).cloned().collect();
        let ours = fixture.placed.labels_of(&closure);
        assert!(theirs.is_subset(&ours), "{member}: {:?}", theirs.difference(&ours));
        assert_same(member, &decided(ours), &decided(theirs));
    }
}

#[test]
fn bun() {
    for (member, name) in MEMBERS.iter().zip(["@demo/api", "@demo/web", "@demo/shared"]) {
        let Some(fixture) = Fixture::new("bun") else { return };
        let filter = ["--production", "--frozen-lockfile", "--ignore-scripts", "--linker", "hoisted", "--filter", name];
        if fixture.run("bun@1.4.5", "bun", &[&["install"][..], &filter].concat()).is_none() {
            return;
        }
        let theirs = installed(fixture.path());
        let ours = fixture.placed.labels_of(&fixture.placed.closure(member));
        assert_same(member, &ours, &theirs);
    }
}
