//! `pirogue check` on a workspace that a test wrote.

use serde_json::Value;

use super::workspace::{BASE, Run, TestWorkspace};

/// A service, `web`, with a package, and these files.
pub fn shop(files: &[(&str, &str)]) -> TestWorkspace {
    let root = r#"{"name": "shop", "private": true, "packageManager": "npm@10.8.2", "workspaces": ["apps/*"]}"#;
    let web = r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {"left": "1"}}"#;
    let own = [
        ("package.json", root),
        ("apps/web/package.json", web),
        ("apps/web/dist/main.js", "require('left')"),
        ("node_modules/left/package.json", r#"{"name": "left", "version": "1.2.0"}"#),
        ("node_modules/left/index.js", ""),
    ];
    TestWorkspace::new(&own).and(files)
}

/// pirogue on the base for tests.
pub fn run(workspace: &TestWorkspace, verb: &str, more: &[&str]) -> Run {
    let base = format!("oci:{BASE}:20-alpine");
    workspace.run(&[&[verb, "--base", &base, "--platform", "linux/amd64"], more].concat())
}

/// Severity, code and place of every finding but that the base for tests has no programs.
pub fn found(workspace: &TestWorkspace) -> Vec<String> {
    let run = run(workspace, "check", &["--json"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    let findings = report["services"].as_array().unwrap().iter().flat_map(|it| it["findings"].as_array().unwrap());
    let told = findings.filter(|it| it["code"] != "base-without-programs").map(|it| {
        let place = &it["place"];
        let path = place["source"].as_str().or(place["path"].as_str()).unwrap_or("nowhere");
        let line = place["line"].as_u64().map(|line| format!(":{line}")).unwrap_or_default();
        format!("{} {} {path}{line}", it["severity"].as_str().unwrap(), it["code"].as_str().unwrap())
    });
    told.collect()
}

/// Fails unless the findings begin with these texts, one each.
pub fn assert_found(workspace: &TestWorkspace, expected: &[&str], comment: &str) {
    let found = found(workspace);
    let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(it, start)| it.starts_with(start));
    assert!(fits, "{comment}: {found:#?}");
}
