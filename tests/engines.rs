//! `engines` of the workspace and of its packages, against the Node of the base.

mod harness;

use harness::failure::not_passed;
use harness::workspace::{BASE, TestWorkspace};
use insta::assert_snapshot;

/// A workspace whose service and packages ask for these versions of Node. The base has 20.18.0.
fn workspace(service: &str, packages: &[(&str, &str)]) -> TestWorkspace {
    let dependencies: Vec<String> = packages.iter().map(|(name, _)| format!(r#""{name}": "1""#)).collect();
    let web = format!(
        r#"{{"name": "web", "version": "1.0.0", "main": "dist/main.js", "engines": {{"node": "{service}"}},
            "dependencies": {{{}}}}}"#,
        dependencies.join(", ")
    );
    let workspace = TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
        ("apps/web/package.json", &web),
        ("apps/web/dist/main.js", ""),
    ]);
    packages.iter().fold(workspace, |workspace, (name, wanted)| {
        let package_json = format!(r#"{{"name": "{name}", "version": "1.0.0", "engines": {{"node": "{wanted}"}}}}"#);
        workspace.and(&[(&format!("node_modules/{name}/package.json"), &package_json)])
    })
}

const PACKAGES: [(&str, &str); 5] =
    [("a", ">=22"), ("b", "^18 || ^20.19"), ("c", ">=24"), ("d", ">=23.1"), ("e", ">=14")];

fn arguments() -> [String; 5] {
    let base = format!("oci:{BASE}");
    ["build", "--platform", "linux/amd64", "--base", &base].map(str::to_owned)
}

fn refused(workspace: &TestWorkspace) -> String {
    not_passed(workspace, &arguments().each_ref().map(String::as_str)).to_string()
}

/// The warnings of a build that succeeds.
fn warnings(workspace: &TestWorkspace) -> String {
    let run = workspace.run(&arguments().each_ref().map(String::as_str));
    assert_eq!(run.code, Some(0), "{run}");
    run.stderr.lines().filter(|line| line.starts_with("warning")).collect::<Vec<_>>().join("\n")
}

#[test]
fn npm_warns() {
    assert_snapshot!(warnings(&workspace(">=22", &PACKAGES)), @"
    warning: web: apps/web/package.json: `engines` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    warning: web: /app/node_modules/a/package.json: `a@1.0.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    warning: web: /app/node_modules/b/package.json: `b@1.0.0` asks for Node `^18 || ^20.19`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    warning: web: /app/node_modules/c/package.json: `c@1.0.0` asks for Node `>=24`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    warning: web: /app/node_modules/d/package.json: `d@1.0.0` asks for Node `>=23.1`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    ");
    assert_snapshot!(warnings(&workspace(">=18", &[("e", ">=14")])), @r"

    ");
}

#[test]
fn npm_is_strict_where_it_is_told_so() {
    let strict = (".npmrc", "engine-strict=true\n");
    assert_snapshot!(refused(&workspace(">=22", &[]).and(&[strict])), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]
    planning layers
    error: the service `web` does not fit its base
      web: apps/web/package.json: `engines` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        correct it, or name a base with such a Node; where it does not matter: `engines = "warn"` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    assert_snapshot!(refused(&workspace("20", &PACKAGES).and(&[strict])), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/a/package.json: `a@1.0.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
      web: /app/node_modules/b/package.json: `b@1.0.0` asks for Node `^18 || ^20.19`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
      web: /app/node_modules/c/package.json: `c@1.0.0` asks for Node `>=24`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
      web: /app/node_modules/d/package.json: `d@1.0.0` asks for Node `>=23.1`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

#[test]
fn pnpm_refuses_members() {
    let pnpm = ("pnpm-workspace.yaml", "packages: ['apps/*']\n");
    let lockfile = ("pnpm-lock.yaml", "lockfileVersion: '9.0'\n");
    assert_snapshot!(warnings(&workspace("20", &PACKAGES).and(&[pnpm, lockfile])), @"
    warning: web: /app/node_modules/a/package.json: `a@1.0.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    warning: web: /app/node_modules/b/package.json: `b@1.0.0` asks for Node `^18 || ^20.19`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    warning: web: /app/node_modules/c/package.json: `c@1.0.0` asks for Node `>=24`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    warning: web: /app/node_modules/d/package.json: `d@1.0.0` asks for Node `>=23.1`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
    ");
    assert_snapshot!(refused(&workspace("22", &[]).and(&[pnpm, lockfile])), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]
    planning layers
    error: the service `web` does not fit its base
      web: apps/web/package.json: `engines` asks for Node `22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        correct it, or name a base with such a Node; where it does not matter: `engines = "warn"` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

#[test]
fn yarn_1_refuses_unless_told_otherwise() {
    let lockfile = ("yarn.lock", "# yarn lockfile v1\n");
    assert_snapshot!(refused(&workspace("20", &PACKAGES).and(&[lockfile])), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/a/package.json: `a@1.0.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
      web: /app/node_modules/b/package.json: `b@1.0.0` asks for Node `^18 || ^20.19`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
      web: /app/node_modules/c/package.json: `c@1.0.0` asks for Node `>=24`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
      web: /app/node_modules/d/package.json: `d@1.0.0` asks for Node `>=23.1`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    let lenient = (".yarnrc", "--ignore-engines true\n");
    assert_snapshot!(warnings(&workspace("22", &[]).and(&[lockfile, lenient])), @"warning: web: apps/web/package.json: `engines` asks for Node `22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]");
}

#[test]
fn pirogue_toml_has_the_last_word() {
    let said = |engines: &'static str| ("pirogue.toml", engines);
    let lockfile = ("yarn.lock", "# yarn lockfile v1\n");
    let of = |engines| workspace("22", &[]).and(&[lockfile, said(engines)]);
    assert_eq!(warnings(&of("engines = \"ignore\"\n")), "");
    assert_snapshot!(warnings(&of("engines = \"warn\"\n")), @"warning: web: apps/web/package.json: `engines` asks for Node `22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]");
    let npm = workspace("22", &[]).and(&[said("engines = \"error\"\n")]);
    assert_snapshot!(refused(&npm), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]
    planning layers
    error: the service `web` does not fit its base
      web: apps/web/package.json: `engines` asks for Node `22`, and the base has 20.18.0: `oci:[BASE]` [engines-mismatch]
        correct it, or name a base with such a Node; where it does not matter: `engines = "warn"` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}
