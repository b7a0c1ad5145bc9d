//! The packages in the images against those that yarn, asked in its own words, installs for production.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Mutex;
use std::{fs, thread};

use harness::sample::{self, SERVICES};
use harness::{program, yarn};
use serde_json::{Value, json};
use tempfile::TempDir;

/// Two at a time: an install is mostly waiting for the disk.
const AT_ONCE: usize = 2;

#[test]
fn no_image_has_what_a_production_install_of_the_workspace_has_not() {
    let Some((sample, workspace)) = sample::built().zip(sample::workspace()) else { return };
    if !program::are_installed(&["npx"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let Some(production) = yarn::install_production(&workspace, folder.path(), |_, _| {}) else { return };
    let production: BTreeSet<String> = production.into_values().collect();
    for (name, image) in &sample.images {
        let beyond: Vec<String> = image.files.packages().into_values().filter(|it| !production.contains(it)).collect();
        assert!(beyond.is_empty(), "{name}: {beyond:?}");
    }
}

/// Each service alone: a workspace of the service and the shared packages, where those that the service does not use
/// lose their dependencies. What yarn then installs has to be in the image, except for what the root asks for itself.
/// Beyond that, the image has what is loaded without being declared on the way: undeclared imports and optional peers.
#[test]
fn each_image_has_what_a_production_install_of_its_service_has() {
    let Some((sample, workspace)) = sample::built().zip(sample::workspace()) else { return };
    if !program::are_installed(&["npx"]) {
        return;
    }
    let waiting = Mutex::new(SERVICES.to_vec());
    let next = || waiting.lock().expect("nobody panics here").pop();
    let installed = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                while let Some(service) = next() {
                    let found = install_alone(&workspace, service);
                    installed.lock().expect("nobody panics here").insert(service, found);
                }
            });
        }
    });
    let installed = installed.into_inner().expect("nobody panics here");
    let Some(installed) = installed.into_iter().map(|(service, found)| Some((service, found?))).collect() else {
        harness::skip("yarn could not install every service");
        return;
    };
    let installed: BTreeMap<&str, BTreeSet<String>> = installed;

    let mut table =
        "| service | in the image | by yarn | only in the image | only by yarn |\n|---|---|---|---|---|\n".to_owned();
    let mut missing = Vec::new();
    for (service, by_yarn) in installed {
        let in_image: BTreeSet<String> = sample.images[service].files.packages().into_values().collect();
        let only_in_image: Vec<_> = in_image.difference(&by_yarn).map(String::as_str).collect();
        let only_by_yarn: Vec<_> = by_yarn.difference(&in_image).map(String::as_str).collect();
        let (ours, theirs) = (in_image.len(), by_yarn.len());
        let (more, less) = (only_in_image.join(", "), only_by_yarn.join(", "));
        writeln!(table, "| `{service}` | {ours} | {theirs} | {more} | {less} |").unwrap();
        let root = dependencies(&package_json(&workspace, "package.json"));
        let needed = only_by_yarn.iter().filter(|package| {
            let name = package.rsplit_once('@').map_or(**package, |(name, _)| name);
            !root.contains(name)
        });
        missing.extend(needed.map(|package| format!("{service}: {package}")));
    }
    eprintln!("{table}");
    assert!(missing.is_empty(), "installed by yarn, but not in the image: {missing:#?}");
}

/// What yarn installs for `service` alone.
fn install_alone(workspace: &Path, service: &str) -> Option<BTreeSet<String>> {
    let members: BTreeMap<String, Value> = fs::read_dir(workspace.join("packages"))
        .unwrap()
        .map(|entry| {
            let path = format!("packages/{}/package.json", entry.unwrap().file_name().to_str().unwrap());
            let member = package_json(workspace, &path);
            (member["name"].as_str().unwrap().to_owned(), member)
        })
        .collect();
    let mut used = BTreeSet::new();
    let mut left = dependencies(&package_json(workspace, &format!("apps/{service}/package.json")));
    while let Some(name) = left.pop_first() {
        if let Some(member) = members.get(&name) {
            left.extend(dependencies(member));
            used.insert(name);
        }
    }
    let folder = TempDir::new().unwrap();
    let found = yarn::install_production(workspace, folder.path(), |path, package_json| {
        let name = package_json["name"].as_str().unwrap_or_default();
        if path == "package.json" {
            package_json["workspaces"] = json!([format!("apps/{service}"), "packages/*"]);
        } else if path.starts_with("packages/") && !used.contains(name) {
            package_json["dependencies"] = json!({});
        }
    });
    Some(found?.into_values().collect())
}

fn package_json(workspace: &Path, path: &str) -> Value {
    serde_json::from_slice(&fs::read(workspace.join(path)).unwrap()).unwrap()
}

/// The names of its production dependencies.
fn dependencies(package_json: &Value) -> BTreeSet<String> {
    package_json["dependencies"].as_object().into_iter().flatten().map(|(name, _)| name.clone()).collect()
}
