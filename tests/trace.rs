//! `trace = true`: packages keep what services can reach, and services start and work with that.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::thread;

use harness::build::{Build, Report};
use harness::container::Container;
use harness::image_files::{FileKind, ImageFiles};
use harness::layout::{self, Image};
use harness::sample::{self, SERVICES};
use harness::service::serves;
use harness::workspace::TestWorkspace;
use harness::{program, scratch};
use insta::assert_snapshot;
use serde_json::{Value, json};
use tempfile::TempDir;

const BUILD: [&str; 7] = ["build", "--base", sample::SMALL_BASE, "--platform", "linux/amd64", "--to", "oci:../images"];

/// Builds a workspace with these options; gives the report and the images.
fn built(workspace: &TestWorkspace, options: &[&str]) -> (Value, BTreeMap<String, Image>) {
    let run = workspace.run(&[&BUILD[..], &["--json"], options].concat());
    assert_eq!(run.code, Some(0), "{run}");
    (serde_json::from_str(&run.stdout).unwrap(), layout::validate(&workspace.beside("images")))
}

/// The files and links of an image below its `node_modules`.
fn package_files(files: &ImageFiles) -> BTreeSet<String> {
    let is_file = |kind: &FileKind| !matches!(kind, FileKind::Directory);
    let files = files.iter().filter(|(_, file)| is_file(&file.kind));
    files.filter_map(|(path, _)| Some(path.strip_prefix("app/node_modules/")?.to_owned())).collect()
}

/// Each kind of thing that code needs of packages: what it is, the files of one package (a star before those that have to
/// stay), its package.json, and how the service uses it.
const RULES: [(&str, &[(&str, &str)], &str, &str); 33] = [
    ("imports", &[("*index.js", "require('./a')"), ("*a.js", ""), ("b.js", "")], "{}", "require('x')"),
    (
        "lazy ones",
        &[("*index.js", "exports.f = () => import('./a.js')"), ("*a.js", ""), ("b.js", "")],
        "{}",
        "require('x')",
    ),
    ("tried ones", &[("*index.js", "try { require('./a') } catch {}"), ("*a.js", "")], "{}", "require('x')"),
    ("nobody asks for it", &[("index.js", ""), ("LICENSE", "")], "{}", ""),
    (
        "a package.json on the way",
        &[("*lib/index.js", ""), ("*lib/package.json", "{}"), ("other/package.json", "{}")],
        r#"{"main": "lib/index.js"}"#,
        "require('x')",
    ),
    (
        "licences",
        &[
            ("*index.js", ""),
            ("*LICENSE", "MIT"),
            ("*lib/NOTICE.txt", ""),
            ("lib/isLicensePlate.js", ""),
            ("README.md", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "a file beside the code",
        &[("*index.js", "fs.readFileSync(path.join(__dirname, 'a.txt'))"), ("*a.txt", ""), ("b.txt", "")],
        "{}",
        "require('x')",
    ),
    (
        "by its URL",
        &[("*index.mjs", "readFileSync(new URL('./a.wasm', import.meta.url))"), ("*a.wasm", ""), ("b.wasm", "")],
        r#"{"exports": "./index.mjs"}"#,
        "import('x')",
    ),
    (
        "a directory that is listed",
        &[
            ("*index.js", "fs.readdirSync(path.join(__dirname, 'locales'))"),
            ("*locales/de/a.json", "{}"),
            ("*locales/README.md", ""),
            ("locales/a.d.ts", ""),
            ("locales/a.js.map", "{}"),
            ("b.json", "{}"),
        ],
        "{}",
        "require('x')",
    ),
    (
        "its own directory, handed on",
        &[("*lib/index.js", "exports.path = __dirname"), ("*lib/a.css", ""), ("b.css", "")],
        r#"{"main": "lib/index.js"}"#,
        "require('x')",
    ),
    (
        "its own directory, looked at",
        &[("*index.js", "exports.f = (path) => typeof __dirname && path.startsWith(__dirname)"), ("a.css", "")],
        "{}",
        "require('x')",
    ),
    (
        "a variable that holds it",
        &[
            ("*lib/index.js", "const root = path.join(__dirname, '..'); serve(path.join(root, 'a'))"),
            ("*a/a.css", ""),
            ("b.css", ""),
        ],
        r#"{"main": "lib/index.js"}"#,
        "require('x')",
    ),
    (
        "computed names in a directory",
        &[("*index.js", "exports.f = (name) => require('./locale/' + name)"), ("*locale/de.js", ""), ("src/de.js", "")],
        "{}",
        "require('x')",
    ),
    (
        "by another name of `require`",
        &[
            ("*index.js", "let load; load = require; load('./locale/' + name)"),
            ("*locale/de.js", ""),
            ("src/de.js", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "computed names by a template",
        &[
            ("*index.js", "exports.f = (name) => import(`./locale/${name}.js`)"),
            ("*locale/de.js", ""),
            ("src/de.js", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "and what these ask for",
        &[
            ("*index.js", "module.exports = (name) => require(path.join(__dirname, 'a', name))"),
            ("*a/1.js", "require('../b')"),
            ("*b.js", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "from a list of paths",
        &[
            ("*index.js", "['./a', './b/'].map((name) => require(name))"),
            ("*a.js", ""),
            ("*b/index.js", ""),
            ("c.js", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "computed names of the package, in the service",
        &[("index.js", ""), ("*locale/de.js", ""), ("src/de.js", "")],
        "{}",
        "const f = (name) => require('x/locale/' + name)",
    ),
    (
        "computed names of the package, by a variable",
        &[("index.js", ""), ("*locale/de.js", ""), ("src/de.js", "")],
        "{}",
        "let name; name = 'x/locale/' + a; require(name)",
    ),
    ("a name in quotes", &[("*index.js", ""), ("b.js", "")], "{}", "load('x')"),
    ("a name in quotes, in a comment", &[("index.js", "")], "{}", "/* load('x') */ // or 'x'"),
    (
        "a place that is asked for in vain",
        &[("*index.mjs", ""), ("b.js", "")],
        r#"{"exports": {"import": "./index.mjs"}}"#,
        "try { load(require.resolve('x')) } catch { load('x') }",
    ),
    (
        "files for other programs, in a directory that is handed on",
        &[
            ("*index.js", "fs.readdirSync(path.join(__dirname, 'a'))"),
            ("*a/b.py", ""),
            ("a/__pycache__/b.cpython-313.pyc", ""),
            ("a/man/man1/b.1", ""),
            ("*a/b.1", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "a module of it in quotes",
        &[("index.js", ""), ("*hook.mjs", "")],
        "{}",
        "register('x/hook.mjs', import.meta.url)",
    ),
    (
        "hooks for imports",
        &[
            ("*index.js", "require('module').register('./hooks.mjs', url.pathToFileURL(__filename))"),
            ("*hooks.mjs", "import './a.js'"),
            ("*a.js", ""),
            ("b.mjs", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "hooks for imports, by an option",
        &[("*index.mjs", "register('./hooks.mjs', { parentURL: import.meta.url })"), ("*hooks.mjs", ""), ("b.mjs", "")],
        r#"{"exports": "./index.mjs"}"#,
        "import('x')",
    ),
    (
        "a module with a computed query",
        &[("*index.js", "exports.f = () => import(`./a.js?${Date.now()}`)"), ("*a.js", ""), ("b.js", "")],
        "{}",
        "require('x')",
    ),
    (
        "what else is called so",
        &[("*index.js", "app.register('./a.js', { prefix: '/a' })"), ("a.js", "")],
        "{}",
        "require('x')",
    ),
    (
        "native code",
        &[
            ("*index.js", "require('bindings')('x')"),
            ("*build/Release/x.node", "\x7fELF"),
            ("*lib/libx.so.1", ""),
            ("src/x.cc", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "a worker",
        &[
            ("*index.js", "new Worker(path.join(__dirname, 'worker.js'))"),
            ("*worker.js", "require('./a')"),
            ("*a.js", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "a process",
        &[
            ("*index.js", "spawn(process.execPath, [path.resolve(__dirname, 'child')])"),
            ("*child.js", ""),
            ("b.js", ""),
        ],
        "{}",
        "require('x')",
    ),
    (
        "a package whose place is asked for",
        &[("*index.js", ""), ("*static/a.css", "")],
        "{}",
        "path.join(path.dirname(require.resolve('x/package.json')), 'static')",
    ),
    ("kept by a pattern", &[("*a.proto", ""), ("b.js", ""), ("*lib/c.proto", "")], "{}", "// keep"),
];

#[test]
fn what_stays_of_a_package() {
    for (comment, files, package_json, main) in RULES {
        let mut package: Value = serde_json::from_str(package_json).unwrap();
        package["name"] = "x".into();
        package["version"] = "1.0.0".into();
        let package = package.to_string();
        let settings =
            if main == "// keep" { "trace = true\nkeep = [\"node_modules/x/**/*.proto\"]\n" } else { "trace = true\n" };
        let named: Vec<(String, &str)> = files
            .iter()
            .map(|(file, text)| (format!("node_modules/x/{}", file.trim_start_matches('*')), *text))
            .collect();
        let mut all = vec![
            ("package.json", r#"{"name": "api", "version": "1.0.0", "main": "main.js", "dependencies": {"x": "1"}}"#),
            ("package-lock.json", r#"{"name": "api", "lockfileVersion": 3, "packages": {}}"#),
            ("pirogue.toml", settings),
            ("main.js", main),
            ("node_modules/x/package.json", package.as_str()),
        ];
        all.extend(named.iter().map(|(path, text)| (path.as_str(), *text)));
        let workspace = TestWorkspace::new(&all);
        let (_, images) = built(&workspace, &["--no-check"]);
        let kept = files.iter().filter_map(|(file, _)| file.strip_prefix('*')).map(|file| format!("x/{file}"));
        let expected: BTreeSet<String> = kept.chain(["x/package.json".to_owned()]).collect();
        assert_eq!(package_files(&images["api"].files), expected, "{comment}");
    }
}

/// A service of two packages, of which it only asks for `x`, with this code and this command.
fn of_two_packages(code: &str, command: &str) -> BTreeSet<String> {
    let workspace = TestWorkspace::new(&[
        (
            "package.json",
            r#"{"name": "api", "version": "1.0.0", "main": "main.js", "dependencies": {"x": "1"}, "optionalDependencies": {"y": "1"}}"#,
        ),
        ("package-lock.json", r#"{"name": "api", "lockfileVersion": 3, "packages": {}}"#),
        ("pirogue.toml", &format!("trace = true\n[service.api]\ncommand = {command}\n")),
        ("main.js", code),
        ("node_modules/x/package.json", r#"{"name": "x", "version": "1.0.0"}"#),
        ("node_modules/x/index.js", "require('./a')"),
        ("node_modules/x/index.js.map", "{}"),
        ("node_modules/x/a.js", ""),
        ("node_modules/x/a.js.map", "{}"),
        ("node_modules/x/b.js.map", "{}"),
        ("node_modules/x/a.d.ts.map", "{}"),
        ("node_modules/y/package.json", r#"{"name": "y", "version": "1.0.0"}"#),
        ("node_modules/y/index.js", ""),
        ("node_modules/y/LICENSE", ""),
        ("node_modules/y/lib/package.json", "{}"),
    ]);
    let (_, images) = built(&workspace, &["--no-check"]);
    package_files(&images["api"].files)
}

/// Who looks for plugins opens the package.json of all that is installed.
#[test]
fn packages_keep_their_package_json_where_code_lists_them() {
    let command = r#"["node", "main.js"]"#;
    let asked_for = ["x/a.js", "x/index.js", "x/package.json"];
    let listing = "require('x'); fs.readdirSync(path.join(dir, 'node_modules'))";
    let listed = asked_for.into_iter().chain(["y/package.json"]);
    assert_eq!(of_two_packages(listing, command), listed.map(str::to_owned).collect());
    for other in ["require('x'); fs.readdirSync(dir)", "require('x'); path.join(dir, 'node_modules')"] {
        assert_eq!(of_two_packages(other, command), asked_for.map(str::to_owned).into(), "{other}");
    }
}

#[test]
fn source_maps_stay_where_node_reads_them() {
    let with_maps = ["x/a.js", "x/a.js.map", "x/index.js", "x/index.js.map", "x/package.json"];
    let asked_for = ["x/a.js", "x/index.js", "x/package.json"];
    let found = of_two_packages("require('x')", r#"["node", "--enable-source-maps", "main.js"]"#);
    assert_eq!(found, with_maps.map(str::to_owned).into());
    let found = of_two_packages("require('x')", r#"["node", "main.js"]"#);
    assert_eq!(found, asked_for.map(str::to_owned).into());
}

/// A workspace of two services that need the same packages, and different files of them.
fn shop(settings: &str) -> TestWorkspace {
    let service = |name: &str| {
        format!(
            r#"{{"name": "{name}", "version": "1.0.0", "scripts": {{"start": "node main.js"}}, "dependencies": {{"x": "1", "y": "1"}}}}"#
        )
    };
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
        ("package-lock.json", r#"{"name": "shop", "lockfileVersion": 3, "packages": {}}"#),
        ("pirogue.toml", settings),
        ("apps/api/package.json", &service("api")),
        ("apps/api/main.js", "require('x/a')"),
        ("apps/web/package.json", &service("web")),
        ("apps/web/main.js", "require('x/b')"),
        ("node_modules/x/package.json", r#"{"name": "x", "version": "1.0.0", "bin": "a.js"}"#),
        ("node_modules/x/a.js", "exports.same = 'the same in two files'"),
        ("node_modules/x/b.js", "exports.same = 'the same in two files'"),
        ("node_modules/x/c.js", &"exports.c = 1\n".repeat(1000)),
        ("node_modules/y/package.json", r#"{"name": "y", "version": "1.0.0", "bin": "index.js"}"#),
        ("node_modules/y/index.js", "exports.y = 1"),
    ])
    .linked("node_modules/.bin/x", "../x/a.js")
    .linked("node_modules/.bin/y", "../y/index.js")
}

#[test]
fn services_share_what_any_of_them_reaches() {
    let workspace = shop("trace = true\n");
    let (report, both) = built(&workspace, &[]);
    let shared = BTreeSet::from(["x/a.js", "x/b.js", "x/package.json", ".bin/x", "y/package.json"].map(str::to_owned));
    for service in ["api", "web"] {
        assert_eq!(package_files(&both[service].files), shared, "{service}: `y` is gone, and its command");
    }
    let layers = |service: usize| &report["services"][service]["images"][0]["layers"];
    assert_eq!(layers(0)[1]["role"], "packages");
    assert_eq!(layers(0)[1]["digest"], layers(1)[1]["digest"]);
    let left_out = &report["services"][0]["images"][0];
    assert_eq!(left_out["untraced"][0], json!({"package": "x@1.0.0", "files": 1, "bytes": 14_000, "kept_files": 3}));
    assert_eq!(left_out["leaner"]["trace"], json!({"taken": true, "files": 2, "bytes": 14_013}));
    let (whole, _) = built(&shop(""), &[]);
    let would_save = |service: usize| whole["services"][service]["images"][0]["leaner"]["trace"].clone();
    // `x/b.js`, `x/c.js`, and the files of `y`, whose package.json would stay.
    assert_eq!(would_save(0), json!({"taken": false, "files": 4, "bytes": 14_103}));
    let (unchecked, _) = built(&shop(""), &["--no-check"]);
    assert_eq!(unchecked["services"][0]["images"][0]["leaner"]["trace"], Value::Null, "nobody looked");

    let (_, alone) = built(&shop("trace = true\n"), &["api"]);
    assert_eq!(alone["api"].digest, both["api"].digest, "the same image, built alone");
}

/// The same, where each has a package besides that the other does not need.
fn shop_of_two_kinds(settings: &str) -> TestWorkspace {
    let service = |name: &str| {
        format!(
            r#"{{"name": "{name}", "version": "1.0.0", "scripts": {{"start": "node main.js"}}, "dependencies": {{"x": "1", "z-{name}": "1"}}}}"#
        )
    };
    shop(settings).and(&[
        ("apps/api/package.json", &service("api")),
        ("apps/api/main.js", "require('x/a'); require('x/all'); require('z-api')"),
        ("apps/web/package.json", &service("web")),
        ("apps/web/main.js", "require('x/b'); require('x/all'); require('z-web')"),
        ("node_modules/x/all.js", ""),
        ("node_modules/x/all.js.map", "{}"),
        ("node_modules/z-api/package.json", r#"{"name": "z-api", "version": "1.0.0"}"#),
        ("node_modules/z-api/index.js", ""),
        ("node_modules/z-web/package.json", r#"{"name": "z-web", "version": "1.0.0"}"#),
        ("node_modules/z-web/index.js", ""),
    ])
}

/// A service that has a layer of packages of its own holds there what it alone reaches of others, and nobody else does.
#[test]
fn what_one_service_reaches_lies_in_a_layer_of_its_own() {
    let (report, both) = built(&shop_of_two_kinds("trace = true\n"), &[]);
    let files = |service: &str| package_files(&both[service].files).into_iter().collect::<Vec<_>>();
    // The command of `x` is `a.js`.
    let of_api = [".bin/x", "x/a.js", "x/all.js", "x/package.json", "z-api/index.js", "z-api/package.json"];
    assert_eq!(files("api"), of_api);
    assert_eq!(files("web"), ["x/all.js", "x/b.js", "x/package.json", "z-web/index.js", "z-web/package.json"]);
    let layers = |service: usize| &report["services"][service]["images"][0]["layers"];
    assert_eq!(layers(0)[1]["digest"], layers(1)[1]["digest"], "what both reach is shared");
    assert_eq!(layers(0)[2]["role"], "packages");
    let left_out = &report["services"][0]["images"][0]["untraced"][0];
    assert_eq!(*left_out, json!({"package": "x@1.0.0", "files": 3, "bytes": 14_040, "kept_files": 3}));

    let (_, alone) = built(&shop_of_two_kinds("trace = true\n"), &["api"]);
    assert_eq!(alone["api"].digest, both["api"].digest, "the same image, built alone");
}

#[test]
fn source_maps_that_one_service_reads_lie_with_it() {
    let settings = "trace = true\n[service.web]\ncommand = [\"node\", \"--enable-source-maps\", \"main.js\"]\n";
    let (report, images) = built(&shop_of_two_kinds(settings), &["--no-check"]);
    let has_map = |service: &str| package_files(&images[service].files).contains("x/all.js.map");
    assert_eq!(["api", "web"].map(has_map), [false, true]);
    let shared = |service: usize| &report["services"][service]["images"][0]["layers"][1]["digest"];
    assert_eq!(shared(0), shared(1));
}

/// Maps weigh as much as code, and who reads none needs none.
#[test]
fn services_without_source_maps_get_none_of_others() {
    let settings = "trace = true\n[service.web]\ncommand = [\"node\", \"--enable-source-maps\", \"main.js\"]\n";
    let maps = [("node_modules/x/a.js.map", "{}"), ("node_modules/x/b.js.map", "{}")];
    let (_, images) = built(&shop(settings).and(&maps), &["--no-check"]);
    let of = |service: &str| package_files(&images[service].files).into_iter().filter(|file| file.starts_with("x/"));
    assert_eq!(of("api").collect::<Vec<_>>(), ["x/a.js", "x/b.js", "x/package.json"]);
    let with_maps = ["x/a.js", "x/b.js", "x/b.js.map", "x/package.json"];
    assert_eq!(of("web").collect::<Vec<_>>(), with_maps);
}

#[test]
fn services_that_are_not_traced_share_nothing_with_those_that_are() {
    let (_, images) = built(&shop("[service.api]\ntrace = true\n"), &[]);
    let of_api = BTreeSet::from(["x/a.js", "x/package.json", ".bin/x", "y/package.json"].map(str::to_owned));
    assert_eq!(package_files(&images["api"].files), of_api);
    assert!(package_files(&images["web"].files).contains("y/index.js"));
}

#[test]
fn a_service_that_is_not_compiled_cannot_be_traced_with() {
    let workspace = shop("trace = true\n").without("apps/web/main.js");
    assert_snapshot!(workspace.run(&[&BUILD[..], &["api"]].concat()), @"
    exit code: 1
    ----- stderr
    error: what `web` needs of the packages that it shares cannot be traced: the script `start` of `apps/web` names a file that does not exist: `main.js`
    hint: compile it: `npm run build`; or `trace = false` under `[service.web]` in pirogue.toml
    ");
    let workspace = shop("[service.api]\ntrace = true\n").without("apps/web/main.js");
    let (_, images) = built(&workspace, &["api"]);
    assert_eq!(package_files(&images["api"].files).len(), 4, "untraced services do not count");
}

#[test]
fn plans_and_reports_say_what_is_left_out() {
    let workspace = shop("trace = true\n");
    assert_snapshot!(workspace.run(&["plan", "--base", sample::SMALL_BASE, "--platform", "linux/amd64"]), @"
    exit code: 0
    ----- stdout
    LAYER          FOR  PARTS  FILES    SIZE  SERVICES
    0             user      2      3  0.8 kB  api web
    1         packages      3      4  0.1 kB  api web
    2      application      2      2  0.1 kB  api
    3      application      2      2  0.1 kB  web

    layer 0: directories user

    layer 1: directories x@1.0.0 y@1.0.0

    layer 2: directories apps/api

    layer 3: directories apps/web

    api: no code leads to 2 files (14.0 kB) of 2 packages, 0 of them whole
    PACKAGE  LEFT OUT  FILES  KEPT
    x@1.0.0   14.0 kB      1  3
    y@1.0.0    0.0 kB      1  1

    web: no code leads to 2 files (14.0 kB) of 2 packages, 0 of them whole
    PACKAGE  LEFT OUT  FILES  KEPT
    x@1.0.0   14.0 kB      1  3
    y@1.0.0    0.0 kB      1  1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]
    planning layers
    tracing packages
    ");
    let run = workspace.run(&BUILD);
    let line = run.stdout.lines().find(|line| line.contains("`trace`")).unwrap_or_else(|| panic!("{run}"));
    assert_snapshot!(line, @"Of the packages of 2 images, `trace` left out 28.0 kB in 4 files, which no service that shares them can reach: `pirogue plan`.");
    let bad = shop("trace = true\nkeep = [\"node_modules/{x\"]\n");
    assert_snapshot!(bad.run(&BUILD), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]
    planning layers
    tracing packages
    error: not a pattern (error parsing glob 'node_modules/{x': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)): `node_modules/{x`
    hint: patterns are those of .gitignore, such as `*.map` and `docs/`
    ");
}

#[test]
fn threads_and_the_cache_change_nothing() {
    let digests = |images: &BTreeMap<String, Image>| -> Vec<String> {
        images.values().map(|image| image.digest.clone()).collect()
    };
    let workspace = shop("trace = true\nslim = true\n");
    let (_, first) = built(&workspace, &["--jobs", "1"]);
    let (_, again) = built(&workspace, &["--jobs", "8"]);
    let (_, anew) = built(&shop("trace = true\nslim = true\n"), &["--jobs", "8", "--no-cache"]);
    assert_eq!(digests(&first), digests(&again));
    assert_eq!(digests(&first), digests(&anew));
}

/// Whether something lies at a path of an image, links followed.
fn is_there(files: &ImageFiles, path: &str) -> bool {
    let ends = path.match_indices('/').map(|(at, _)| at).chain([path.len()]);
    for end in ends {
        let Some(file) = files.get(&path[..end]) else { return false };
        if let FileKind::Symlink(target) = &file.kind {
            let mut names: Vec<&str> = path[..end].split('/').collect();
            names.pop();
            for name in target.split('/').chain(path[end..].split('/')).filter(|name| !name.is_empty()) {
                if name == ".." { _ = names.pop() } else { names.push(name) }
            }
            return is_there(files, &names.join("/"));
        }
    }
    true
}

/// The sample with and without `trace`, each built once.
struct Traced {
    whole: PathBuf,
    traced: PathBuf,
    whole_report: Report,
    report: Report,
    images: BTreeMap<String, Image>,
}

fn traced() -> Option<&'static Traced> {
    static TRACED: OnceLock<Option<Traced>> = OnceLock::new();
    let traced = TRACED.get_or_init(|| {
        let (workspace, base) = (sample::workspace()?, sample::runnable_base()?);
        let (whole, traced) = (scratch::folder().join("whole"), scratch::folder().join("traced"));
        let build = || Build::of(&workspace, &scratch::folder().join("trace-cache")).base(&base);
        let whole_report = build().into_layout(&whole).run();
        let report = build().option("--trace").into_layout(&traced).run();
        let images = layout::validate(&traced);
        Some(Traced { whole, traced, whole_report, report, images })
    });
    if traced.is_none() {
        harness::skip("the sample could not be built");
    }
    traced.as_ref()
}

/// Every service of the sample answers without what it cannot reach.
#[test]
fn traced_services_serve() {
    if !program::are_installed(&["jq", "runc", "umoci"]) {
        return;
    }
    let Some(traced) = traced() else { return };
    let layout = traced.traced.to_str().unwrap();
    thread::scope(|scope| {
        for service in SERVICES {
            scope.spawn(move || serves(service, &mut Container::start("run-image", &[layout, service])));
        }
    });
}

/// What a service opens when it starts and answers, in an image with all files, is in the traced image too.
#[test]
fn nothing_is_left_out_that_a_service_opens() {
    if !program::are_installed(&["jq", "strace", "umoci", "unshare"]) {
        return;
    }
    let Some(traced) = traced() else { return };
    let folder = TempDir::new().unwrap();
    let layout = traced.whole.to_str().unwrap();
    for services in SERVICES.chunks(2) {
        thread::scope(|scope| {
            for service in services {
                let log = folder.path().join(service);
                scope.spawn(move || {
                    let mut watched = Container::start("watch-image", &[layout, service, log.to_str().unwrap()]);
                    let (status, body) = watched.get("/health");
                    assert_eq!(status, 200, "{service}: {body}");
                });
            }
        });
    }
    for service in SERVICES {
        let log = fs::read_to_string(folder.path().join(service)).unwrap();
        let opened = log.lines().filter(|line| !line.contains(" = -1 ")).filter_map(|line| line.split('"').nth(1));
        let opened: BTreeSet<&str> = opened.filter_map(|path| path.strip_prefix("/app/")).collect();
        let of_packages = opened.iter().filter(|path| path.contains("node_modules/")).count();
        assert!(of_packages > 300, "{service} opens {of_packages} files of packages");
        let files = &traced.images[service].files;
        let missing: Vec<&&str> = opened.iter().filter(|path| !is_there(files, &format!("app/{path}"))).collect();
        assert!(missing.is_empty(), "{service}: {missing:#?}");

        let bytes = |report: &Report| report.image(service)["package_bytes"].as_u64().unwrap();
        let (whole, traced) = (bytes(&traced.whole_report), bytes(&traced.report));
        eprintln!("{service}: {of_packages} files opened; {whole} bytes of packages, traced {traced}");
        assert!(traced < whole / 2, "{service}: {traced} of {whole} bytes of packages");
    }
}
