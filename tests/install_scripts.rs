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
