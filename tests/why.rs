//! `pirogue why`: the chains that bring a package into an image, what it costs, and who shares it.

mod harness;

use harness::sample;
use harness::workspace::{Run, TestWorkspace};
use insta::assert_snapshot;

/// Two services: `api` imports what nobody declares, and what a workspace package brings along.
fn shop() -> TestWorkspace {
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*", "packages/*"]}"#),
        ("package-lock.json", r#"{"name": "shop", "lockfileVersion": 3, "packages": {}}"#),
        (
            "apps/api/package.json",
            r#"{"name": "api", "version": "1.0.0", "main": "main.js", "dependencies": {"@shop/lib": "*", "x": "^1.0.0"},
                "optionalDependencies": {"win": "1"}, "devDependencies": {"tool": "1"}}"#,
        ),
        ("apps/api/main.js", "require('x');\nrequire('extra');\n"),
        (
            "apps/web/package.json",
            r#"{"name": "web", "version": "1.0.0", "main": "main.js", "dependencies": {"extra": "1", "y": "1"}}"#,
        ),
        ("apps/web/main.js", "require('y');\n"),
        (
            "packages/lib/package.json",
            r#"{"name": "@shop/lib", "version": "2.0.0", "types": "index.d.ts", "dependencies": {"y": "^2.0.0"}}"#,
        ),
        ("packages/lib/index.js", "require('y');\n"),
        (
            "node_modules/x/package.json",
            r#"{"name": "x", "version": "1.1.0", "dependencies": {"deep": "1", "y": "1"}}"#,
        ),
        ("node_modules/x/index.js", "exports.x = 'x';\n"),
        ("node_modules/y/package.json", r#"{"name": "y", "version": "1.2.0", "peerDependencies": {"extra": "*"}}"#),
        ("node_modules/y/index.js", "exports.y = 1;\n"),
        ("packages/lib/node_modules/y/package.json", r#"{"name": "y", "version": "2.0.0"}"#),
        ("node_modules/deep/package.json", r#"{"name": "deep", "version": "1.0.0", "dependencies": {"deeper": "1"}}"#),
        ("node_modules/deeper/package.json", r#"{"name": "deeper", "version": "1.0.0"}"#),
        ("node_modules/extra/package.json", r#"{"name": "extra", "version": "3.0.0"}"#),
        ("node_modules/win/package.json", r#"{"name": "win", "version": "1.0.0", "os": ["win32"]}"#),
        ("node_modules/tool/package.json", r#"{"name": "tool", "version": "1.0.0"}"#),
    ])
    .linked("node_modules/@shop/lib", "../../packages/lib")
}

fn why(workspace: &TestWorkspace, arguments: &[&str]) -> Run {
    let mut run =
        workspace.run(&[&["why", "--base", sample::SMALL_BASE, "--platform", "linux/amd64"], arguments].concat());
    // What a plan says on its way is held elsewhere.
    let is_answer = |line: &&str| line.starts_with("error") || line.starts_with("hint");
    run.stderr = run.stderr.lines().filter(is_answer).collect::<Vec<_>>().join("\n");
    run
}

#[test]
fn a_package_that_brings_others() {
    assert_snapshot!(why(&shop(), &["api", "x"]), @"
    exit code: 0
    ----- stdout
    x@1.1.0 in node_modules/x
      api@1.0.0 > x@1.1.0 (dependency x@^1.0.0)
      0.1 kB in 2 files; 0.3 kB in 6 files with 3 packages that only it brings: deep@1.0.0 deeper@1.0.0 y@1.2.0
      layer: packages, for api
      needed by: api
    ");
}

#[test]
fn copies_of_several_versions() {
    assert_snapshot!(why(&shop(), &["api", "y"]), @"
    exit code: 0
    ----- stdout
    y@1.2.0 in node_modules/y
      api@1.0.0 > x@1.1.0 (dependency x@^1.0.0) > y@1.2.0 (dependency y@1)
      0.1 kB in 2 files; it brings nothing that is not needed otherwise
      layer: packages, for api, web
      needed by: api, web

    y@2.0.0 in packages/lib/node_modules/y
      api@1.0.0 > @shop/lib@2.0.0 (dependency @shop/lib@*) > y@2.0.0 (dependency y@^2.0.0)
      0.0 kB in 1 file; it brings nothing that is not needed otherwise
      layer: packages, for api
      needed by: api

    All 2 copies: 0.1 kB in 3 files
    ");
    assert_snapshot!(why(&shop(), &["api", "y@2.0.0"]), @"
    exit code: 0
    ----- stdout
    y@2.0.0 in packages/lib/node_modules/y
      api@1.0.0 > @shop/lib@2.0.0 (dependency @shop/lib@*) > y@2.0.0 (dependency y@^2.0.0)
      0.0 kB in 1 file; it brings nothing that is not needed otherwise
      layer: packages, for api
      needed by: api
    ");
}

#[test]
fn an_import_that_nobody_declares() {
    assert_snapshot!(why(&shop(), &["api", "extra"]), @"
    exit code: 0
    ----- stdout
    extra@3.0.0 in node_modules/extra
      api@1.0.0 > extra@3.0.0 (import of extra, undeclared, apps/api/main.js:2)
      api@1.0.0 > x@1.1.0 (dependency x@^1.0.0) > y@1.2.0 (dependency y@1) > extra@3.0.0 (peer dependency extra@*)
      0.0 kB in 1 file; it brings nothing that is not needed otherwise
      layer: packages, for api, web
      needed by: api, web
    ");
}

#[test]
fn a_workspace_package() {
    assert_snapshot!(why(&shop(), &["apps/api", "@shop/lib"]), @"
    exit code: 0
    ----- stdout
    @shop/lib@2.0.0 in packages/lib
      api@1.0.0 > @shop/lib@2.0.0 (dependency @shop/lib@*)
      0.1 kB in 2 files; 0.1 kB in 3 files with 1 package that only it brings: y@2.0.0
      layer: workspace
      needed by: api
    ");
}

#[test]
fn what_is_not_there() {
    let shop = shop();
    let table = [
        ("made for another platform", "win"),
        ("for development", "tool"),
        ("another version", "y@3.0.0"),
        ("unknown", "extar"),
        ("nothing like it", "zzz"),
    ];
    let told = table.map(|(comment, package)| format!("{comment}: {}", why(&shop, &["api", package])));
    assert_snapshot!(told.join(""), @"
    made for another platform: exit code: 0
    ----- stdout
    The image of api has no win.

    Left out:
      for api@1.0.0: made for another platform
    for development: exit code: 0
    ----- stdout
    The image of api has no tool.
    It is named for development only (`devDependencies`).
    another version: exit code: 1
    ----- stderr
    error: the image of `api` has other versions than `y@3.0.0`
    hint: there are: `y@1.2.0`, `y@2.0.0`
    unknown: exit code: 1
    ----- stderr
    error: neither the image of `api` nor anything else in the workspace has a package `extar`
    hint: did you mean `extra`?
    nothing like it: exit code: 1
    ----- stderr
    error: neither the image of `api` nor anything else in the workspace has a package `zzz`
    ");
    assert_snapshot!(why(&shop, &["web", "x"]), @"
    exit code: 0
    ----- stdout
    The image of web has no x.

    Elsewhere in the workspace:
      x@1.1.0: needed by api
    ");
}

#[test]
fn as_json() {
    assert_snapshot!(why(&shop(), &["api", "deep", "--json"]), @r#"
    exit code: 0
    ----- stdout
    {
      "service": "api",
      "package": "deep",
      "images": [
        {
          "platform": "linux/amd64",
          "copies": [
            {
              "label": "deep@1.0.0",
              "dir": "node_modules/deep",
              "chains": [
                [
                  {
                    "from": "api@1.0.0",
                    "to": "x@1.1.0",
                    "kind": "dependency",
                    "name": "x",
                    "specifier": "^1.0.0",
                    "place": null
                  },
                  {
                    "from": "x@1.1.0",
                    "to": "deep@1.0.0",
                    "kind": "dependency",
                    "name": "deep",
                    "specifier": "1",
                    "place": null
                  }
                ]
              ],
              "alone": {
                "files": 1,
                "bytes": 69
              },
              "removal": {
                "packages": {
                  "node_modules/deep": "deep@1.0.0",
                  "node_modules/deeper": "deeper@1.0.0"
                },
                "files": 2,
                "bytes": 107
              },
              "layer": "packages",
              "layer_services": [
                "api"
              ],
              "needed_by": [
                "api"
              ]
            }
          ],
          "together": null,
          "excluded": [],
          "elsewhere": {},
          "for_development": false
        }
      ]
    }
    "#);
}

/// Copies of one package have their bytes once, as hard links: these leave with the last of them.
#[test]
fn copies_that_are_hard_links() {
    let depends = |name: &str| format!(r#"{{"name": "{name}", "version": "1.0.0", "dependencies": {{"same": "1"}}}}"#);
    let same = r#"{"name": "same", "version": "1.0.0"}"#;
    let workspace = TestWorkspace::shop().and(&[
        (
            "apps/web/package.json",
            r#"{"name": "web", "version": "1.0.0", "main": "main.js", "dependencies": {"a": "1", "b": "1"}}"#,
        ),
        ("node_modules/a/package.json", &depends("a")),
        ("node_modules/a/node_modules/same/package.json", same),
        ("node_modules/b/package.json", &depends("b")),
        ("node_modules/b/node_modules/same/package.json", same),
    ]);
    let answer: serde_json::Value = serde_json::from_str(&why(&workspace, &["web", "same", "--json"]).stdout).unwrap();
    let weight = |of: &serde_json::Value| [of["files"].as_u64().unwrap(), of["bytes"].as_u64().unwrap()];
    let bytes = same.len() as u64;
    assert_eq!(answer["images"][0]["copies"].as_array().unwrap().len(), 2);
    assert_eq!(weight(&answer["images"][0]["copies"][0]["alone"]), [1, 0], "the other copy keeps them");
    assert_eq!(weight(&answer["images"][0]["copies"][1]["removal"]), [1, 0]);
    assert_eq!(weight(&answer["images"][0]["together"]), [2, bytes]);
}

/// What it costs is what the image lacks without it.
#[test]
fn the_cost_is_what_a_build_without_it_saves() {
    let shop = shop();
    let answer = why(&shop, &["api", "x", "--json"]);
    let answer: serde_json::Value = serde_json::from_str(&answer.stdout).unwrap();
    let removal = &answer["images"][0]["copies"][0]["removal"];
    let weight = |shop: &TestWorkspace| -> [u64; 2] {
        let options = [
            "build",
            "--no-check",
            "--json",
            "--base",
            sample::SMALL_BASE,
            "--platform",
            "linux/amd64",
            "--to",
            "oci:../i",
        ];
        let run = shop.run(&[&options[..], &["api"]].concat());
        let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{run}"));
        let layers = report["services"][0]["images"][0]["layers"].as_array().unwrap();
        let packages = layers.iter().filter(|layer| layer["role"] == "packages");
        let files = packages.map(|layer| layer["files"].as_u64().unwrap()).sum();
        [files, report["services"][0]["images"][0]["package_bytes"].as_u64().unwrap()]
    };
    let before = weight(&shop);
    let package_json = r#"{"name": "api", "version": "1.0.0", "main": "main.js", "dependencies": {"@shop/lib": "*"}}"#;
    let after = weight(&shop.and(&[("apps/api/package.json", package_json), ("apps/api/main.js", "require('extra')")]));
    let cost = [removal["files"].as_u64().unwrap(), removal["bytes"].as_u64().unwrap()];
    assert_eq!([before[0] - after[0], before[1] - after[1]], cost);
    assert_eq!(removal["packages"].as_object().unwrap().len(), 4, "x, deep, deeper and the y that x needs: {removal}");
}

/// One answer for each platform, where they differ.
#[test]
fn on_two_platforms() {
    let variant =
        |cpu: &str| format!(r#"{{"name": "x-{cpu}", "version": "1.0.0", "os": ["linux"], "cpu": ["{cpu}"]}}"#);
    let x = r#"{"name": "x", "version": "1.1.0", "optionalDependencies": {"x-x64": "1", "x-arm64": "1"}}"#;
    let shop = shop().and(&[
        ("node_modules/x/package.json", x),
        ("node_modules/x-x64/package.json", &variant("x64")),
        ("node_modules/x-arm64/package.json", &variant("arm64")),
    ]);
    let why = |package: &str| why(&shop, &["--platform", "linux/arm64", "api", package]);
    assert_snapshot!(why("x"), @"
    exit code: 0
    ----- stdout
    The image of api for linux/amd64:

    x@1.1.0 in node_modules/x
      api@1.0.0 > x@1.1.0 (dependency x@^1.0.0)
      0.1 kB in 2 files; 0.2 kB in 3 files with 1 package that only it brings: x-x64@1.0.0
      layer: packages, for api
      needed by: api

    The image of api for linux/arm64/v8:

    x@1.1.0 in node_modules/x
      api@1.0.0 > x@1.1.0 (dependency x@^1.0.0)
      0.1 kB in 2 files; 0.2 kB in 3 files with 1 package that only it brings: x-arm64@1.0.0
      layer: packages, for api
      needed by: api
    ");
    assert_snapshot!(why("x-x64"), @"
    exit code: 0
    ----- stdout
    The image of api for linux/amd64:

    x-x64@1.0.0 in node_modules/x-x64
      api@1.0.0 > x@1.1.0 (dependency x@^1.0.0) > x-x64@1.0.0 (optional dependency x-x64@1)
      0.1 kB in 1 file; it brings nothing that is not needed otherwise
      layer: packages, for api
      needed by: api

    The image of api for linux/arm64/v8 has no x-x64.

    Left out:
      for x@1.1.0: made for another platform
    ");
}
