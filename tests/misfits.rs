//! Services that do not fit their bases, as planning finds it: as findings beside all others, for a service and a platform
//! each.

mod harness;

use harness::checks::{assert_found, found, run, shop};
use harness::failure::not_passed;
use harness::native_code::{for_machine, program};
use harness::workspace::{BASE, TestWorkspace};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// ELF's number of the 64-bit ARM.
const AARCH64: u16 = 183;

const ADDON: &str = "node_modules/left/build/Release/left.node";

/// A package that asks for another Node than the base has, 20.18.0.
const NEWER: (&str, &str) =
    ("node_modules/left/package.json", r#"{"name": "left", "version": "1.2.0", "engines": {"node": ">=22"}}"#);

/// A service that asks for this Node.
fn service(node: &str) -> String {
    let engines = format!(r#""engines": {{"node": "{node}"}}, "dependencies": {{"left": "1"}}"#);
    format!(r#"{{"name": "web", "version": "1.0.0", "main": "dist/main.js", {engines}}}"#)
}

/// A second service, with this code, that needs no package.
fn with_api(workspace: TestWorkspace, code: &str) -> TestWorkspace {
    let package_json = r#"{"name": "api", "version": "1.0.0", "main": "main.js"}"#;
    workspace.and(&[("apps/api/package.json", package_json), ("apps/api/main.js", code)])
}

/// Native code for the other processor than the images are for.
fn for_arm64() -> Vec<u8> {
    for_machine(program(true), AARCH64)
}

/// The shop with it.
fn with_addon() -> TestWorkspace {
    shop(&[]).with_bytes(ADDON, &for_arm64())
}

fn messages(workspace: &TestWorkspace) -> Vec<String> {
    let report = report(workspace, &[]);
    let findings = report["services"][0]["findings"].as_array().unwrap().iter();
    findings.map(|it| it["message"].as_str().unwrap().to_owned()).collect()
}

fn report(workspace: &TestWorkspace, more: &[&str]) -> Value {
    let run = run(workspace, "check", &[&["--json"], more].concat());
    serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"))
}

#[test]
fn another_node_than_the_base_has() {
    let strict = ("pirogue.toml", "engines = 'error'");
    let of_service = |node: &str| shop(&[("apps/web/package.json", &service(node))]);
    let member = "engines-mismatch apps/web/package.json";
    let package = "engines-mismatch /app/node_modules/left/package.json";
    assert_found(&of_service(">=22"), &[&format!("warning {member}")], "npm warns of members");
    assert_found(&of_service(">=22").and(&[strict]), &[&format!("error {member}")], "which may be an error");
    assert_found(&of_service(">=20").and(&[strict]), &[], "that fits");
    assert_found(&shop(&[NEWER]), &[&format!("warning {package}")], "npm warns of packages");
    assert_found(&shop(&[NEWER, strict]), &[&format!("error {package}")], "which may be an error");
    let older = NEWER.1.replace(">=22", ">=18");
    assert_found(&shop(&[(NEWER.0, &older), strict]), &[], "that fits");
    let ignored = ("pirogue.toml", "engines = 'ignore'");
    assert_found(&shop(&[NEWER, ignored]), &[], "nobody asks");
    let root = r#"{"private": true, "workspaces": ["apps/*"], "engines": {"node": "18"}}"#;
    assert_found(&shop(&[("package.json", root)]), &["warning engines-mismatch package.json"], "the root");

    // One finding for a range, however many files of the workspace ask for it.
    let root = root.replace("18", ">=22");
    let same = of_service(">=22").and(&[("package.json", &root)]);
    assert_found(&same, &[&format!("warning {member}")], "the service and the root");
    assert!(messages(&same)[0].starts_with("`engines` (as that of another package.json of the workspace) asks"));

    let both = of_service("^22").and(&[NEWER, strict]);
    assert_snapshot!(run(&both, "check", &[]), @r#"
    exit code: 1
    ----- stdout
    web (2 files of code)
      error[engines-mismatch] apps/web/package.json
        `engines` asks for Node `^22`, and the base has 20.18.0: `oci:[BASE]:20-alpine`
        fix: correct it, or name a base with such a Node; where it does not matter: `engines = "warn"` in pirogue.toml
      error[engines-mismatch] /app/node_modules/left/package.json
        `left@1.2.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]:20-alpine`
        fix: name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = "warn"` in pirogue.toml

    2 errors, no warnings, 1 note (`--verbose` shows them)
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the checks found 2 errors
    hint: what each code means stands in docs/checks.md
    "#);
}

#[test]
fn native_code_that_the_base_cannot_load() {
    let error = format!("error native-misfit /app/{ADDON}");
    assert_found(&with_addon(), &[&error], "it is for another processor");
    assert_found(&shop(&[]).with_bytes(ADDON, &program(true)), &[], "it is for this one");
    let kept = ("pirogue.toml", "[package.left]\nnative = 'keep'");
    assert_found(&with_addon().and(&[kept]), &[], "nobody loads it");
    let second = "node_modules/left/build/Release/right.node";
    let both = with_addon().with_bytes(second, &for_arm64());
    assert_found(&both, &[&error, &format!("error native-misfit /app/{second}")], "each file is told");
    let own = shop(&[]).with_bytes("apps/web/dist/own.node", &for_arm64());
    assert_found(&own, &["error native-misfit apps/web/dist/own.node"], "of the service itself");
    assert_snapshot!(run(&with_addon(), "check", &[]), @r#"
    exit code: 1
    ----- stdout
    web (2 files of code)
      error[native-misfit] /app/node_modules/left/build/Release/left.node
        `left@1.2.0` cannot be loaded on linux-x64: it is made for arm64, and the image is for x64: `oci:[BASE]:20-alpine`
        fix: `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."left"]` in pirogue.toml

    1 error, no warnings, 1 note (`--verbose` shows them)
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the checks found an error
    hint: what each code means stands in docs/checks.md
    "#);
}

#[test]
fn a_variant_that_is_not_installed() {
    let optional = r#"{"name": "left", "version": "1.2.0",
        "optionalDependencies": {"left-linux-x64": "1", "left-linux-arm64": "1"}}"#;
    let variant = r#"{"name": "left-linux-arm64", "version": "1.0.0", "os": ["linux"], "cpu": ["arm64"]}"#;
    let arm = [("node_modules/left/package.json", optional), ("node_modules/left-linux-arm64/package.json", variant)];
    assert_found(&shop(&arm), &["error native-misfit /app/node_modules/left/package.json"], "for another processor");
    let x64 = variant.replace("arm64", "x64");
    let workspace = shop(&arm).and(&[("node_modules/left-linux-x64/package.json", &x64)]);
    assert_found(&workspace, &[], "one fits");
    assert_snapshot!(run(&shop(&arm), "check", &[]).stdout, @r#"
    web (2 files of code)
      error[native-misfit] /app/node_modules/left/package.json
        `left@1.2.0` has no native code for linux-x64: its variant `left-linux-x64` is not installed: `oci:[BASE]:20-alpine`
        fix: `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."left"]` in pirogue.toml

    1 error, no warnings, 1 note (`--verbose` shows them)
    "#);
}

/// Neither hides what else is found, of the same service or of another.
#[test]
fn what_does_not_fit_hides_nothing() {
    let workspace = with_api(with_addon().and(&[NEWER, ("pirogue.toml", "engines = 'error'")]), "require('lost')");
    let workspace = workspace.and(&[("apps/web/dist/main.js", "require('left'); require('gone')")]);
    let addon = format!("error native-misfit /app/{ADDON}");
    let expected = [
        "error import-missing apps/api/main.js:1",
        "error import-missing apps/web/dist/main.js:1",
        "error engines-mismatch /app/node_modules/left/package.json",
        &addon,
    ];
    assert_found(&workspace, &expected, "all of both services");
    let codes = |service: &Value| {
        let findings = service["findings"].as_array().unwrap().iter();
        let errors = findings.filter(|it| it["severity"] == "error");
        errors.map(|it| it["code"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let report = report(&workspace, &[]);
    let [api, web] = report["services"].as_array().unwrap().as_slice() else { panic!("{report:#}") };
    assert_eq!(codes(api), ["import-missing"]);
    assert_eq!(codes(web), ["import-missing", "engines-mismatch", "native-misfit"]);
    assert_eq!(report["errors"], 4);
    // Of a service that is not asked for nothing is said.
    let run = run(&workspace, "check", &["api", "--json"]);
    assert!(!run.stdout.contains("misfit") && !run.stdout.contains("mismatch"), "{run}");
}

#[test]
fn for_programs() {
    let workspace = with_addon().and(&[NEWER]);
    let whole = report(&workspace, &[]);
    assert_eq!((&whole["errors"], &whole["warnings"]), (&json!(1), &json!(1)));
    assert_snapshot!(serde_json::to_string_pretty(&whole["services"][0]["findings"]).unwrap(), @r#"
    [
      {
        "severity": "error",
        "code": "native-misfit",
        "place": {
          "path": "/app/node_modules/left/build/Release/left.node",
          "source": null,
          "line": null
        },
        "message": "`left@1.2.0` cannot be loaded on linux-x64: it is made for arm64, and the image is for x64: `oci:[BASE]:20-alpine`",
        "fix": "`--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64, or name a base that it fits; if nothing loads it there: `native = \"keep\"` under `[package.\"left\"]` in pirogue.toml"
      },
      {
        "severity": "warning",
        "code": "engines-mismatch",
        "place": {
          "path": "/app/node_modules/left/package.json",
          "source": null,
          "line": null
        },
        "message": "`left@1.2.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]:20-alpine`",
        "fix": "name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = \"ignore\"` in pirogue.toml"
      },
      {
        "severity": "note",
        "code": "base-without-programs",
        "place": null,
        "message": "the base has no programs, so nothing in it can run node",
        "fix": "build on a base that has node, such as `base = \"node:22-alpine\"`"
      }
    ]
    "#);
    let run = run(&workspace, "check", &["--sarif"]);
    assert_eq!(run.code, Some(1));
    let sarif: Value = serde_json::from_str(&run.stdout).unwrap();
    let results = sarif["runs"][0]["results"].as_array().unwrap();
    let own = |result: &&Value| result["ruleId"] == "native-misfit" || result["ruleId"] == "engines-mismatch";
    let own: Vec<&Value> = results.iter().filter(own).collect();
    assert_snapshot!(serde_json::to_string_pretty(&own).unwrap(), @r#"
    [
      {
        "ruleId": "native-misfit",
        "ruleIndex": 24,
        "level": "error",
        "message": {
          "text": "web: `left@1.2.0` cannot be loaded on linux-x64: it is made for arm64, and the image is for x64: `oci:[BASE]:20-alpine`\nFix: `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64, or name a base that it fits; if nothing loads it there: `native = \"keep\"` under `[package.\"left\"]` in pirogue.toml"
        },
        "properties": {
          "service": "web"
        },
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "app/node_modules/left/build/Release/left.node"
              }
            }
          }
        ]
      },
      {
        "ruleId": "engines-mismatch",
        "ruleIndex": 23,
        "level": "warning",
        "message": {
          "text": "web: `left@1.2.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]:20-alpine`\nFix: name a base with such a Node, or install a version for Node 20; where it does not matter: `engines = \"ignore\"` in pirogue.toml"
        },
        "properties": {
          "service": "web"
        },
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "app/node_modules/left/package.json"
              }
            }
          }
        ]
      }
    ]
    "#);
    for result in results {
        let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
    }
}

/// Native code for one processor, in the images for two.
#[test]
fn on_one_platform_only() {
    let base = format!("oci:{BASE}:20-alpine");
    let both = ["check", "--base", &base, "--platform", "linux/amd64,linux/arm64"];
    assert_snapshot!(with_addon().run(&both), @r#"
    exit code: 1
    ----- stdout
    web (2 files of code)
      error[native-misfit] /app/node_modules/left/build/Release/left.node
        `left@1.2.0` cannot be loaded on linux-x64: it is made for arm64, and the image is for x64: `oci:[BASE]:20-alpine` (only for linux/amd64)
        fix: `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."left"]` in pirogue.toml

    1 error, no warnings, 1 note (`--verbose` shows them)
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the checks found an error
    hint: what each code means stands in docs/checks.md
    "#);
    let checked = shop(&[NEWER]).run(&both);
    let told = "asks for Node `>=22`, and the base has 20.18.0";
    assert!(checked.stdout.contains(told) && !checked.stdout.contains("only for"), "the same on both: {checked}");
}

/// The checks may be softened or off; what does not fit has settings of its own.
#[test]
fn checks_that_are_soft_or_off() {
    let base = format!("oci:{BASE}:20-alpine");
    let build = ["build", "--base", &base, "--platform", "linux/amd64", "--to", "oci:images"];
    let workspace = with_addon().and(&[("apps/web/dist/main.js", "require('left'); require('lost')")]);
    assert_snapshot!(not_passed(&workspace, &build), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    warning: web: `lost` is imported by apps/web/dist/main.js:1, but not installed
    planning layers
    error: the service `web` does not pass the checks
      web: apps/web/dist/main.js:1: `web@1.0.0` asks at the start for `lost`, which was left out of the image: not installed [import-missing]
        add `lost` to dependencies in apps/web/package.json
      web: /app/node_modules/left/build/Release/left.node: `left@1.2.0` cannot be loaded on linux-x64: it is made for arm64, and the image is for x64: `oci:[BASE]:20-alpine` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."left"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    let unchecked = [&build[..], &["--no-check"]].concat();
    assert_snapshot!(not_passed(&workspace, &unchecked), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    warning: web: `lost` is imported by apps/web/dist/main.js:1, but not installed
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/left/build/Release/left.node: `left@1.2.0` cannot be loaded on linux-x64: it is made for arm64, and the image is for x64: `oci:[BASE]:20-alpine` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."left"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    let off = workspace.and(&[("pirogue.toml", "check = 'off'")]);
    assert_eq!(not_passed(&off, &build).stderr, not_passed(&off, &unchecked).stderr);
    assert_eq!(found(&off), [format!("error native-misfit /app/{ADDON}")]);
    let soft = off.and(&[("pirogue.toml", "check = 'warn'")]);
    let said = not_passed(&soft, &build);
    assert!(said.stderr.contains("warning: web: apps/web/dist/main.js:1: "), "{said}");
    assert_eq!(found(&soft)[0], format!("error native-misfit /app/{ADDON}"));
    let plan = [&["plan"], &build[1..]].concat();
    assert!(not_passed(&soft, &plan).stderr.contains("[native-misfit]"));
    let why = soft.run(&["why", "web", "left", "--base", &base, "--platform", "linux/amd64"]);
    assert_eq!(why.code, Some(0), "what is to be mended is explained: {why}");

    let allowed =
        format!("check.allow = [{{ path = '/app/{ADDON}', code = 'native-misfit', reason = 'never loaded' }}]");
    let accepted = soft.and(&[("pirogue.toml", &allowed), ("apps/web/dist/main.js", "require('left')")]);
    assert_found(&accepted, &[], "it is accepted");
    for arguments in [&build[..], &unchecked, &plan] {
        let run = accepted.run(arguments);
        assert_eq!(run.code, Some(0), "{run}");
    }
    assert_found(&accepted.with_bytes(ADDON, &program(true)), &["note allowance-unused nowhere"], "in vain");
}

/// A base is not pinned by a build that nothing came of.
#[test]
fn what_does_not_fit_is_not_locked() {
    let toml = format!("base = 'oci:{BASE}:20-alpine'\nplatform = 'linux/amd64'\n");
    let workspace = with_addon().and(&[("pirogue.toml", &toml)]);
    let build = ["build", "--to", "oci:images", "--no-check"];
    not_passed(&workspace, &build);
    let fits = workspace.with_bytes(ADDON, &program(true));
    let lock = fits.root().join("pirogue.lock");
    assert!(!lock.exists());
    let run = fits.run(&build);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(lock.exists());
}

/// Warnings do not end a build, and are told once for all services that have them.
#[test]
fn what_is_a_warning_only() {
    let needs = r#"{"name": "api", "version": "1.0.0", "main": "main.js", "dependencies": {"left": "1"}}"#;
    let workspace = with_api(shop(&[NEWER]), "require('left')").and(&[("apps/api/package.json", needs)]);
    let run = run(&workspace, "build", &["--to", "oci:images"]);
    assert_eq!(run.code, Some(0), "{run}");
    let warnings: Vec<&str> = run.stderr.lines().filter(|line| line.starts_with("warning")).collect();
    assert_snapshot!(warnings.join("\n"), @"warning: api, web: /app/node_modules/left/package.json: `left@1.2.0` asks for Node `>=22`, and the base has 20.18.0: `oci:[BASE]:20-alpine` [engines-mismatch]");
}
