//! `slim = true`: what is left out of packages, that services start without it, and that services share packages only
//! with those that want them the same.

mod harness;

use std::collections::BTreeMap;
use std::path::Path;

use harness::build::Build;
use harness::container::Container;
use harness::image_files::{FileKind, ImageFiles};
use harness::layout::{self, Image};
use harness::sample::{self, SERVICES, locked_build};
use harness::service::serves;
use harness::workspace::TestWorkspace;
use harness::{program, scratch, tree};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

/// A workspace of two services that need the same packages.
fn shop(settings: &str) -> TestWorkspace {
    let service = |name: &str| {
        format!(
            r#"{{"name": "{name}", "version": "1.0.0", "main": "main.js", "dependencies": {{"x": "1", "y": "1"}}}}"#
        )
    };
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
        ("package-lock.json", r#"{"name": "shop", "lockfileVersion": 3, "packages": {}}"#),
        ("pirogue.toml", settings),
        ("apps/api/package.json", &service("api")),
        ("apps/api/main.js", "require('x')"),
        ("apps/api/README.md", "The service's own."),
        ("apps/web/package.json", &service("web")),
        ("apps/web/main.js", "require('x')"),
        ("node_modules/x/package.json", r#"{"name": "x", "version": "1.0.0", "main": "docs/index.js"}"#),
        ("node_modules/x/LICENSE", "MIT"),
        ("node_modules/x/README.md", &"Documentation".repeat(1000)),
        ("node_modules/x/docs/index.js", "exports.x = 1"),
        ("node_modules/x/docs/index.d.ts", "export const x: number"),
        ("node_modules/x/test/x.js", "it('works')"),
        ("node_modules/x/test/LICENSE", "of a fixture"),
        ("node_modules/y/package.json", r#"{"name": "y", "version": "1.0.0"}"#),
        ("node_modules/y/index.js", "exports.y = 1"),
    ])
}

const BUILD: [&str; 7] = ["build", "--base", sample::SMALL_BASE, "--platform", "linux/amd64", "--to", "oci:../images"];

/// Builds a workspace with these options; gives the report and the images.
fn built(workspace: &TestWorkspace, options: &[&str]) -> (Value, BTreeMap<String, Image>) {
    let run = workspace.run(&[&BUILD[..], &["--json"], options].concat());
    assert_eq!(run.code, Some(0), "{run}");
    (serde_json::from_str(&run.stdout).unwrap(), layout::validate(&workspace.beside("images")))
}

/// The files of an image's packages, with their sizes.
fn package_files(files: &ImageFiles) -> BTreeMap<&str, usize> {
    let in_packages = |path: &str| path.split('/').any(|name| name == "node_modules");
    let size = |kind: &FileKind| if let FileKind::File(bytes) = kind { Some(bytes.len()) } else { None };
    files
        .iter()
        .filter(|(path, _)| in_packages(path))
        .filter_map(|(path, file)| Some((path, size(&file.kind)?)))
        .collect()
}

/// The services that share the layers of a service's packages.
fn sharers(report: &Value, service: usize) -> Vec<&Value> {
    let layers = report["services"][service]["images"][0]["layers"].as_array().unwrap();
    layers.iter().filter(|layer| layer["role"] == "packages").map(|layer| &layer["services"]).collect()
}

#[test]
fn packages_are_shared_by_services_that_want_them_the_same() {
    let workspace = shop("[service.api]\nslim = true\n");
    let (report, images) = built(&workspace, &[]);
    let api: Vec<&str> = package_files(&images["api"].files).into_keys().collect();
    assert_eq!(
        api,
        [
            "app/node_modules/x/LICENSE",
            "app/node_modules/x/docs/index.js",
            "app/node_modules/x/package.json",
            "app/node_modules/x/test/LICENSE",
            "app/node_modules/y/index.js",
            "app/node_modules/y/package.json",
        ]
    );
    assert_eq!(package_files(&images["web"].files).len(), api.len() + 3);
    assert!(images["api"].files.get("app/apps/api/README.md").is_some(), "the service's own files are not packages");
    assert_eq!((sharers(&report, 0), sharers(&report, 1)), (vec![&json!(["api"])], vec![&json!(["web"])]));
    for (service, taken) in [(0, true), (1, false)] {
        let saving = json!({"taken": taken, "files": 3, "bytes": 13_033});
        assert_eq!(report["services"][service]["images"][0]["leaner"]["slim"], saving);
        let name = report["services"][service]["name"].as_str().unwrap();
        let bytes: usize = package_files(&images[name].files).values().sum();
        assert_eq!(report["services"][service]["images"][0]["package_bytes"], bytes);
    }

    let (report, slim) = built(&workspace, &["--slim"]);
    assert_eq!(
        (sharers(&report, 0), sharers(&report, 1)),
        (vec![&json!(["api", "web"])], vec![&json!(["api", "web"])])
    );
    assert_eq!(package_files(&slim["web"].files), package_files(&images["api"].files));
}

#[test]
fn what_is_excluded_anyway_is_not_saved() {
    let workspace = shop("exclude = [\"*.d.ts\", \"/test\"]\n");
    let (report, _) = built(&workspace, &["web"]);
    assert_eq!(
        report["services"][0]["images"][0]["leaner"]["slim"],
        json!({"taken": false, "files": 1, "bytes": 13_000})
    );
}

#[test]
fn the_table_says_what_is_saved() {
    let workspace = shop("[service.api]\nslim = true\n");
    let run = workspace.run(&BUILD);
    let lines: Vec<&str> = run.stdout.lines().filter(|line| line.contains("slim")).collect();
    assert_snapshot!(lines.join("\n"), @"
    Of the packages of one image, `slim` left out 13.0 kB: types, source maps, documentation and tests.
    Of the packages of one image, `slim = true` would leave out 13.0 kB: types, source maps, documentation and tests.
    ");
}

#[test]
fn a_slim_sample_is_the_whole_one_without_the_list_and_serves() {
    let Some(whole) = sample::built() else { return };
    let Some(workspace) = sample::workspace() else { return };
    let cache = scratch::folder().join("slim-cache");
    let layout = scratch::folder().join("slim");
    let build = Build::of(&workspace, &cache).base(sample::SMALL_BASE).with("--platform", "linux/amd64");
    let report = build.option("--slim").into_layout(&layout).run();
    let images = layout::validate(&layout);
    assert!(images.keys().eq(SERVICES));
    for service in SERVICES {
        let (all, slim) = (package_files(&whole.images[service].files), package_files(&images[service].files));
        let left_out: BTreeMap<_, _> = all.iter().filter(|(path, _)| !slim.contains_key(*path)).collect();
        assert!(slim.iter().all(|(path, size)| all.get(path) == Some(size)), "{service}: nothing is new");
        let saved = json!({"taken": true, "files": left_out.len(), "bytes": left_out.values().copied().sum::<usize>()});
        assert_eq!(report.image(service)["leaner"]["slim"], saved, "{service}");
        let mut would_save = whole.report.image(service)["leaner"]["slim"].clone();
        would_save["taken"] = json!(true);
        assert_eq!(would_save, saved, "{service}: as was said before");
        for (path, _) in left_out {
            let name = path.rsplit('/').next().unwrap().to_lowercase();
            let is_license = ["license", "licence", "copying", "notice"].iter().any(|start| name.starts_with(start));
            assert!(!is_license && name != "package.json", "{service}: {path}");
        }
    }

    if !program::are_installed(&["jq", "runc", "umoci"]) {
        return;
    }
    let (Some(base), service) = (sample::runnable_base(), "customer-service") else { return };
    let runnable = TempDir::new().unwrap();
    let layout = runnable.path().join("layout");
    Build::of(&workspace, &cache).base(&base).option("--slim").services(&[service]).into_layout(&layout).run();
    serves(service, &mut Container::start("run-image", &[layout.to_str().unwrap(), service]));
}

/// Packages of both ways lie at places of their own, but hold the same.
#[test]
fn from_the_lockfile_the_same_is_left_out() {
    let (Some(installed), Some(locked)) = (sample::workspace(), sample::built_from_lockfile()) else { return };
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    tree::copy(&locked.cache, &cache, true);
    let service = "api-gateway";
    let build = |build: Build, name: &str| {
        let layout = folder.path().join(name);
        build.option("--slim").services(&[service]).into_layout(&layout).run();
        layout::validate(&layout)
    };
    let theirs = Build::of(&installed, &cache).base(sample::SMALL_BASE).with("--platform", "linux/amd64");
    let theirs = build(theirs, "installed");
    let ours = build(locked_build(&locked.workspace, &cache).option("--offline"), "locked");
    let by_package = |image: &Image| {
        let mut found: BTreeMap<String, BTreeMap<String, usize>> = BTreeMap::new();
        let packages = image.files.packages();
        for (path, size) in package_files(&image.files) {
            let dir = Path::new(path).ancestors().find_map(|dir| packages.get_key_value(dir.to_str()?)).unwrap();
            found.entry(dir.1.clone()).or_default().insert(path[dir.0.len()..].to_owned(), size);
        }
        found
    };
    let (ours, theirs) = (by_package(&ours[service]), by_package(&theirs[service]));
    assert!(ours.len() > 100);
    for (package, files) in &theirs {
        assert_eq!(ours.get(package), Some(files), "{package}");
    }
}
