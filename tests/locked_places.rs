//! Packages from every manager's lockfile lie where Node finds them, whatever way leads to them: aliases, two versions,
//! peers of two services, tarballs and directories of the workspace, links, patches. Node itself is asked, in a container.

mod harness;

use std::fs;

use harness::build::Build;
use harness::container::Container;
use harness::package_manager::{BUN, NPM, PNPM, PackageManager, YARN};
use harness::package_tarball::{Entry, tarball};
use harness::workspace::TestWorkspace;
use harness::{layout, program, sample, scratch};
use serde_json::{Map, Value, json};

/// What is in the workspace whoever manages it. `apps/web` gets its dependencies from the test.
const WORKSPACE: [(&str, &str); 11] = [
    (
        "apps/api/package.json",
        r#"{"name": "api", "version": "1.0.0", "main": "dist/main.js",
            "dependencies": {"react": "17.0.2", "use-sync-external-store": "1.2.0"}}"#,
    ),
    ("apps/api/dist/main.js", MAIN),
    ("apps/web/dist/main.js", MAIN),
    (
        "packages/shared/package.json",
        r#"{"name": "shared", "version": "1.0.0", "dependencies": {"is-number": "4.0.0"}, "peerDependencies": {"react": "*"},
            "devDependencies": {"react": "16.14.0"}}"#,
    ),
    ("packages/shared/index.js", "exports.react = require('react').version;\n"),
    (
        "vendor/directory/package.json",
        r#"{"name": "directory", "version": "1.0.0", "dependencies": {"is-number": "5.0.0"}}"#,
    ),
    ("vendor/directory/index.js", "exports.version = require('is-number/package.json').version;\n"),
    ("vendor/linked/package.json", r#"{"name": "linked", "version": "1.0.0"}"#),
    ("vendor/linked/index.js", "exports.value = 'linked';\n"),
    ("vendor/portal/package.json", r#"{"name": "portal", "version": "1.0.0", "dependencies": {"ms": "2.1.3"}}"#),
    ("vendor/portal/index.js", "exports.version = require('ms/package.json').version;\n"),
];

/// Loads all that its package.json declares, and prints what it finds of what may go wrong.
const MAIN: &str = r#"
const { createRequire } = require('node:module');
const { dependencies } = require('../package.json');
const from = (...names) => names.reduce((outer, name) => createRequire(outer.resolve(name)), require);
Object.keys(dependencies).forEach(name => require(name));
const asked = [
  ['is-number', 'own version', () => require('is-number/package.json').version],
  ['is-odd', 'version of a dependency', () => from('is-odd')('is-number/package.json').version],
  ['is-odd', 'patch', () => require('is-odd')('a patch')],
  ['alias', 'alias', () => require('alias').VERSION],
  ['use-sync-external-store', 'peer', () => from('use-sync-external-store')('react').version],
  ['tarball', 'tarball', () => require('tarball').value],
  ['tarball', 'bundled', () => require('tarball').bundled],
  ['directory', 'directory', () => require('directory').version],
  ['linked', 'linked', () => require('linked').value],
  ['portal', 'dependency of a portal', () => require('portal').version],
  ['shared', 'peer of a member', () => require('shared').react],
];
const answers = asked.filter(([name]) => name in dependencies).map(([, what, answer]) => {
  try { return [what, String(answer())]; } catch (error) { return [what, error.message]; }
});
console.log(JSON.stringify(Object.fromEntries(answers)));
"#;

/// Of is-odd 3.0.1.
const PATCH: &str = "\
diff --git a/index.js b/index.js
--- a/index.js
+++ b/index.js
@@ -10,4 +10,5 @@
 const isNumber = require('is-number');
 
 module.exports = function isOdd(value) {
+  if (value === 'a patch') return 'applied';
   const n = Math.abs(value);
";

/// A workspace in which `apps/web` depends on what all managers understand, and on `more`.
fn workspace(manager: &PackageManager, root: Value, more: Value) -> TestWorkspace {
    let mut dependencies = json!({
        "alias": "npm:lodash@3.10.1",
        "is-number": "7.0.0",
        "is-odd": "3.0.1",
        "lodash": "4.17.21",
        "react": "18.2.0",
        "tarball": "file:../../vendor/tarball-1.0.0.tgz",
        "use-sync-external-store": "1.2.0",
    });
    merge(&mut dependencies, more);
    let mut root_json = json!({"name": "root", "private": true, "workspaces": ["apps/*", "packages/*"]});
    merge(&mut root_json, root);
    let mut web = json!({"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": dependencies});
    if manager.settings.iter().any(|(file, _)| file.starts_with("pnpm")) {
        web["dependenciesMeta"] = json!({"shared": {"injected": true}});
    }
    let workspace = TestWorkspace::new(&WORKSPACE).and(manager.settings);
    let workspace =
        workspace.and(&[("package.json", &root_json.to_string()), ("apps/web/package.json", &web.to_string())]);
    let bundled = r#"{"name": "isarray", "version": "1.0.0"}"#;
    let bytes = tarball(&[
        Entry::file(
            "package/package.json",
            r#"{"name": "tarball", "version": "1.0.0", "dependencies": {"isarray": "1.0.0"}, "bundleDependencies": ["isarray"]}"#,
        ),
        Entry::file("package/index.js", "exports.value = 'tarball';\nexports.bundled = require('isarray').bundled;\n"),
        Entry::file("package/node_modules/isarray/package.json", bundled),
        Entry::file("package/node_modules/isarray/index.js", "exports.bundled = 'bundled';\n"),
    ]);
    fs::write(workspace.root().join("vendor/tarball-1.0.0.tgz"), bytes).unwrap();
    workspace
}

fn merge(into: &mut Value, more: Value) {
    let empty = Map::new();
    for (key, value) in more.as_object().unwrap_or(&empty) {
        into[key] = value.clone();
    }
}

/// Builds with a lockfile of the manager's own, and compares what Node finds in `web` with what it should, besides what is
/// the same for all.
fn assert_found(manager: &PackageManager, workspace: &TestWorkspace, more: Value) {
    if !program::are_installed(&["jq", "runc", "umoci"]) {
        return;
    }
    let Some(base) = sample::runnable_base() else { return };
    if manager.lock(workspace).is_none() {
        return;
    }
    assert!(!workspace.root().join("node_modules").exists(), "nothing is installed");
    let layout = workspace.beside("layout");
    let build = Build::of(&workspace.root(), &scratch::folder().join("cache")).locked();
    if build.base(&base).into_layout(&layout).run_if_packages_can_be_fetched().is_none() {
        return;
    }
    let images = layout::validate(&layout);
    let found = |service: &str| -> Value {
        let said = Container::run("run-image", &[layout.to_str().unwrap(), service]);
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    };
    let mut expected = json!({
        "own version": "7.0.0",
        "version of a dependency": "6.0.0",
        "alias": "3.10.1",
        "peer": "18.2.0",
        "tarball": "tarball",
        "bundled": "bundled",
    });
    merge(&mut expected, more);
    assert_eq!(found("web"), expected);
    assert_eq!(found("api"), json!({"peer": "17.0.2"}));

    if expected["patch"] == "applied" {
        let files = &images["web"].files;
        let is_odd = files.packages().into_iter().find(|(_, label)| label == "is-odd@3.0.1").expect("it is there").0;
        let patched = String::from_utf8_lossy(files.bytes(&format!("{is_odd}/index.js")).expect("it is there"));
        assert!(patched.contains("  if (value === 'a patch') return 'applied';\n"), "{patched}");
    }
}

#[test]
fn npm() {
    let more = json!({"directory": "file:../../vendor/directory", "shared": "1.0.0"});
    let workspace = workspace(&NPM, json!({"packageManager": "npm@11.0.0"}), more);
    // A member lies at one place, and develops against a react of its own. npm itself puts the one copy of what asks for
    // a peer next to the react of `api`.
    let more = json!({
        "directory": "5.0.0",
        "patch": "expected a number",
        "peer": "17.0.2",
        "peer of a member": "16.14.0",
    });
    assert_found(&NPM, &workspace, more);
}

#[test]
fn pnpm() {
    let more = json!({
        "directory": "file:../../vendor/directory",
        "linked": "link:../../vendor/linked",
        "shared": "workspace:*",
    });
    let root = json!({"pnpm": {"patchedDependencies": {"is-odd@3.0.1": "patches/is-odd.patch"}}});
    let workspace = workspace(&PNPM, root, more).and(&[("patches/is-odd.patch", PATCH)]);
    // The member is injected: a copy of its own, with the react of whom it is copied for.
    let more = json!({"directory": "5.0.0", "linked": "linked", "patch": "applied", "peer of a member": "18.2.0"});
    assert_found(&PNPM, &workspace, more);
}

#[test]
fn yarn() {
    let more = json!({
        "directory": "file:../../vendor/directory",
        "is-odd": "patch:is-odd@npm%3A3.0.1#~/patches/is-odd.patch",
        "linked": "link:../../vendor/linked",
        "portal": "portal:../../vendor/portal",
        "shared": "workspace:*",
    });
    let workspace = workspace(&YARN, json!({}), more).and(&[("patches/is-odd.patch", PATCH)]);
    let more = json!({
        "dependency of a portal": "2.1.3",
        "directory": "5.0.0",
        "linked": "linked",
        "patch": "applied",
        "peer of a member": "16.14.0",
    });
    assert_found(&YARN, &workspace, more);
}

#[test]
fn bun() {
    let more = json!({"directory": "file:../../vendor/directory", "shared": "workspace:*"});
    let root = json!({"patchedDependencies": {"is-odd@3.0.1": "patches/is-odd.patch"}});
    let workspace = workspace(&BUN, root, more).and(&[("patches/is-odd.patch", PATCH)]);
    // One copy of what asks for a peer, as with bun's hoisted linker: next to the react of `api`.
    let more = json!({"directory": "5.0.0", "patch": "applied", "peer": "17.0.2", "peer of a member": "16.14.0"});
    assert_found(&BUN, &workspace, more);
}
