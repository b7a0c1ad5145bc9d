use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use super::tree;

const YARN: &str = "yarn@1.22.22";

/// What yarn says where it cannot reach the registry, in the words of Node's errors.
const UNREACHABLE: [&str; 6] = ["ENOTFOUND", "EAI_AGAIN", "ECONNREFUSED", "ECONNRESET", "ETIMEDOUT", "network"];

/// Whether a package manager says that it cannot reach the registry.
pub fn is_unreachable(said: &str) -> bool {
    UNREACHABLE.iter().any(|word| said.contains(word))
}

/// Installs the production packages of a workspace as yarn does, in the folder `into`: from its package.json files, each
/// after `edit` (which gets its path), and its yarn.lock. Gives the packages by directory, as `NAME@VERSION`; `None`,
/// with a word on it, where the registry cannot be reached.
pub fn install_production(
    workspace: &Path,
    into: &Path,
    edit: impl Fn(&str, &mut Value),
) -> Option<BTreeMap<String, String>> {
    let members = ["apps", "packages"].map(|dir| fs::read_dir(workspace.join(dir)).expect("the sample has both"));
    let members = members.into_iter().flatten().flatten().map(|entry| entry.path().join("package.json"));
    for path in members.chain([workspace.join("package.json")]).filter(|path| path.exists()) {
        let name = path.strip_prefix(workspace).expect("it lies there").to_str().expect("names are UTF-8");
        let mut package_json = serde_json::from_slice(&fs::read(&path).expect("it can be read")).expect("it is JSON");
        edit(name, &mut package_json);
        let copy = into.join(name);
        fs::create_dir_all(copy.parent().expect("a file has a directory")).expect("a directory can be made");
        fs::write(copy, package_json.to_string()).expect("a file can be written");
    }
    fs::copy(workspace.join("yarn.lock"), into.join("yarn.lock")).expect("a file can be copied");

    // Two of them that fill one cache at a time spoil it.
    let mutex = format!("file:{}", std::env::temp_dir().join("pirogue-tests-yarn").display());
    let options = ["--production", "--pure-lockfile", "--prefer-offline", "--ignore-scripts", "--non-interactive"];
    let mut command = Command::new("npx");
    let output = command.args(["--yes", YARN, "install", "--mutex", &mutex]).args(options).current_dir(into).output();
    let output = output.unwrap_or_else(|error| panic!("`npx` does not start: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && is_unreachable(&said) {
        super::skip("the npm registry cannot be reached");
        return None;
    }
    assert!(output.status.success(), "yarn fails: {said}");
    Some(packages(into))
}

/// The packages in the `node_modules` directories of a workspace, nested ones too. Links to members do not count.
fn packages(workspace: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let mut left: BTreeSet<String> = ["".to_owned()].into();
    for dir in ["apps", "packages"] {
        let members = fs::read_dir(workspace.join(dir)).expect("the sample has both").flatten();
        left.extend(members.map(|member| format!("{dir}/{}/", member.file_name().to_string_lossy())));
    }
    while let Some(above) = left.pop_first() {
        let node_modules = format!("{above}node_modules");
        if !workspace.join(&node_modules).is_dir() {
            continue;
        }
        for (dir, package_json) in tree::packages(&workspace.join(&node_modules)) {
            let version = package_json["version"].as_str().unwrap_or("?").to_owned();
            let place = format!("{node_modules}/{dir}");
            left.insert(format!("{place}/"));
            found.insert(place, format!("{dir}@{version}"));
        }
    }
    found
}
