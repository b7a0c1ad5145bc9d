//! What `pirogue check` finds in packages that nobody installed.

mod harness;

use harness::locked_shop::{LockedShop, base};
use harness::package_tarball::{Entry, tarball};
use serde_json::Value;

/// The shop with this code, and a package of these files besides its package.json.
fn shop(code: &str, files: &[(&str, &str)]) -> LockedShop {
    let package_json = Entry::file("package/package.json", r#"{"name": "left", "version": "1.2.0"}"#);
    let named: Vec<(String, &str)> = files.iter().map(|(path, text)| (format!("package/{path}"), *text)).collect();
    let more = named.iter().map(|(path, text)| Entry::file(path, text));
    let entries: Vec<Entry> = [package_json].into_iter().chain(more).collect();
    LockedShop::of(&tarball(&entries)).and(&[("apps/web/dist/main.js", code)])
}

/// Severity, code and place of what is found but that the base for tests has no programs.
fn found(shop: &LockedShop) -> Vec<String> {
    let base = base();
    let arguments = ["check", "--json", "--packages", "lockfile", "--base", &base, "--platform", "linux/amd64"];
    let run = shop.workspace.run(&arguments);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    let findings = report["services"][0]["findings"].as_array().expect("a list").iter();
    let told = findings.filter(|it| it["code"] != "base-without-programs");
    let text = |value: &Value| value.as_str().expect("a text").to_owned();
    told.map(|it| format!("{} {} {}", text(&it["severity"]), text(&it["code"]), text(&it["place"]["path"]))).collect()
}

#[test]
fn packages_of_the_lockfile_are_read_as_installed_ones_are() {
    let index = "/app/node_modules/left/index.js";
    let table: [(&str, &str, &[(&str, &str)], &[String]); 7] = [
        ("all there", "require('left')", &[("index.js", "require('./more')"), ("more.js", "")], &[]),
        (
            "a file of the package is missing",
            "require('left')",
            &[("index.js", "\nrequire('./more')")],
            &[format!("error import-missing {index}")],
        ),
        (
            "the package does not declare what it needs",
            "require('left')",
            &[("index.js", "require('lost')")],
            &[format!("error import-missing {index}")],
        ),
        (
            "later",
            "require('left')",
            &[("index.js", "() => require('lost')")],
            &[format!("note lazy-import-missing {index}")],
        ),
        (
            "its main is missing",
            "require('left')",
            &[("other.js", "")],
            &["error import-missing /app/apps/web/dist/main.js".to_owned()],
        ),
        ("another file of it", "require('left/other')", &[("other.js", "")], &[]),
        (
            "a file that it reads",
            "require('left')",
            &[("index.js", "require('fs').readFileSync(__dirname + '/a.txt')")],
            &[format!("error data-file-missing {index}")],
        ),
    ];
    for (comment, code, files, expected) in table {
        assert_eq!(found(&shop(code, files)), expected, "{comment}");
    }
}
