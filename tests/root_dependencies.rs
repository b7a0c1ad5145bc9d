//! Services that declare nothing, because everything is declared by the workspace's root, as users of npm do.

mod harness;

use std::fs;

use harness::build::Build;
use harness::workspace::TestWorkspace;
use harness::{layout, sample};

/// Two services that declare nothing; the root depends on `used`, which depends on `below`, on `loaded-by-name`, and for
/// development on `tool`.
fn workspace() -> TestWorkspace {
    TestWorkspace::new(&[
        (
            "package.json",
            r#"{"name": "root", "private": true, "workspaces": ["apps/*"],
                "dependencies": {"used": "1", "loaded-by-name": "1"}, "devDependencies": {"tool": "1"}}"#,
        ),
        ("package-lock.json", r#"{"name": "root", "lockfileVersion": 3, "packages": {}}"#),
        ("apps/one/package.json", r#"{"name": "one", "version": "1.0.0"}"#),
        ("apps/one/dist/main.js", "require('used'); require(process.env.PLUGIN)"),
        ("apps/two/package.json", r#"{"name": "two", "version": "1.0.0"}"#),
        ("apps/two/dist/main.js", "require('node:http')"),
        ("node_modules/used/package.json", r#"{"name": "used", "version": "1.0.0", "dependencies": {"below": "1"}}"#),
        ("node_modules/below/package.json", r#"{"name": "below", "version": "1.0.0"}"#),
        ("node_modules/loaded-by-name/package.json", r#"{"name": "loaded-by-name", "version": "1.0.0"}"#),
        ("node_modules/tool/package.json", r#"{"name": "tool", "version": "1.0.0"}"#),
    ])
    .linked("node_modules/one", "../apps/one")
    .linked("node_modules/two", "../apps/two")
}

fn packages(workspace: &TestWorkspace, service: &str) -> Vec<String> {
    let images = workspace.beside("images");
    let build = Build::of(&workspace.root(), &workspace.beside("cache")).base(sample::SMALL_BASE);
    build.with("--platform", "linux/amd64").into_layout(&images).run();
    layout::validate(&images)[service].files.packages().into_values().collect()
}

#[test]
fn the_roots_dependencies_come_along_if_that_is_asked_for() {
    let for_one = "[service.one]\nroot-dependencies = true\n";
    let table: [(&str, &str, &[&str], &[&str]); 3] = [
        ("by default what is imported", "", &["below@1.0.0", "used@1.0.0"], &[]),
        (
            "for all services",
            "root-dependencies = true\n",
            &["below@1.0.0", "loaded-by-name@1.0.0", "used@1.0.0"],
            &["below@1.0.0", "loaded-by-name@1.0.0", "used@1.0.0"],
        ),
        ("for one", for_one, &["below@1.0.0", "loaded-by-name@1.0.0", "used@1.0.0"], &[]),
    ];
    for (comment, settings, one, two) in table {
        let workspace = workspace().and(&[("pirogue.toml", settings)]);
        assert_eq!(packages(&workspace, "one"), one, "{comment}");
        fs::remove_dir_all(workspace.beside("images")).unwrap();
        assert_eq!(packages(&workspace, "two"), two, "{comment}");
    }
}

#[test]
fn a_warning_says_what_to_set() {
    let warned = |workspace: &TestWorkspace| {
        let arguments = ["plan", "--platform", "linux/amd64", "--base", sample::SMALL_BASE];
        let run = workspace.pirogue(&arguments).output().unwrap();
        assert!(run.status.success(), "{run:?}");
        String::from_utf8(run.stderr).unwrap()
    };
    let said = warned(&workspace());
    let expected = "one: `used` is imported, but declared by the workspace's root only";
    assert!(said.contains(expected) && said.contains("set `root-dependencies = true`"), "{said}");
    let said = warned(&workspace().and(&[("pirogue.toml", "root-dependencies = true\n")]));
    assert!(!said.contains("imported"), "{said}");
}
