//! Scripts that an installation would run, where nothing is installed.

mod harness;

use harness::locked_shop::{LockedShop, base};
use harness::package_tarball::{Entry, tarball};
use serde_json::json;

/// The shop with a package that runs `script`, and a second service that needs nothing.
fn shop(script: &str) -> LockedShop {
    let package_json = json!({"name": "left", "version": "1.2.0", "scripts": {"postinstall": script}}).to_string();
    let shop = LockedShop::of(&tarball(&[Entry::file("package/package.json", &package_json)]));
    let shop = shop.locked(|lockfile| {
        lockfile["packages"]["apps/worker"] = json!({"name": "worker", "version": "1.0.0"});
        lockfile["packages"]["node_modules/worker"] = json!({"resolved": "apps/worker", "link": true});
    });
    shop.and(&[
        ("apps/worker/package.json", r#"{"name": "worker", "version": "1.0.0", "main": "dist/main.js"}"#),
        ("apps/worker/dist/main.js", ""),
    ])
}

#[test]
fn only_scripts_of_what_is_built_count() {
    let table: [(&str, &str, &[&str], Option<i32>); 4] = [
        ("a service that needs it", "node download.js", &["web"], Some(1)),
        ("both", "node download.js", &[], Some(1)),
        ("another service", "node download.js", &["worker"], Some(0)),
        ("a script that does nothing", "exit 0", &[], Some(0)),
    ];
    for (comment, script, services, expected) in table {
        let shop = shop(script);
        let run = shop.workspace.run(&LockedShop::arguments(&base(), services));
        assert_eq!(run.code, expected, "{comment}: {run}");
        let images = shop.workspace.root().join("images");
        match expected {
            Some(0) => drop(harness::layout::validate(&images)),
            _ => assert!(!images.exists(), "{comment}"),
        }
    }
}

#[test]
fn scripts_of_the_workspace_itself_are_told() {
    let shop = shop("true").and(&[(
        "package.json",
        r#"{"name": "shop", "private": true, "packageManager": "npm@11.0.0", "workspaces": ["apps/*"],
            "scripts": {"postinstall": "patch-package"}}"#,
    )]);
    let run = shop.workspace.run(&LockedShop::arguments(&base(), &["worker"]));
    assert_eq!(run.code, Some(0), "{run}");
    let told = "warning: nothing is installed, so the script of `.` is not run: `patch-package`";
    assert!(run.stderr.contains(told), "{run}");
    assert_eq!(run.stderr.matches("is not run").count(), 1, "{run}");
}

#[test]
fn a_package_whose_script_ran_is_taken_as_it_is_installed() {
    let installed = |version: &str| {
        let package_json = json!({"name": "left", "version": version, "scripts": {"postinstall": "node build.js"}});
        shop("node build.js").and(&[
            ("pirogue.toml", "[package.left]\nfrom = \"installed\"\n"),
            ("node_modules/left/package.json", &package_json.to_string()),
            ("node_modules/left/build/left.node", "built here"),
        ])
    };
    let same = installed("1.2.0");
    let run = same.workspace.run(&LockedShop::arguments(&base(), &["web"]));
    assert_eq!(run.code, Some(0), "{run}");
    let images = harness::layout::validate(&same.workspace.root().join("images"));
    let built = images["web"].files.bytes("app/node_modules/left/build/left.node");
    assert_eq!(built.map(|bytes| &bytes[..]), Some(&b"built here"[..]), "what the script made");

    let other = installed("1.1.0");
    let run = other.workspace.run(&LockedShop::arguments(&base(), &["web"]));
    assert_eq!(run.code, Some(1), "the lockfile has another version: {run}");
    assert!(run.stderr.contains("left@1.2.0"), "{run}");
}
