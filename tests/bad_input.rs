//! Inputs that cannot be built: each ends with a clear error that says what to do next, and leaves nothing behind.

mod harness;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::misbehaving::{Answer, Misbehaving};
use harness::workspace::{BASE, Run, TestWorkspace};
use insta::assert_snapshot;

/// One compiled service with one package.
const SHOP: [(&str, &str); 5] = [
    (
        "package.json",
        r#"{"name": "shop", "private": true, "packageManager": "npm@10.8.2", "workspaces": ["apps/*", "packages/*"]}"#,
    ),
    (
        "apps/web/package.json",
        r#"{"name": "web", "version": "1.0.0", "scripts": {"start": "node dist/main.js"}, "dependencies": {"left": "^1.0.0"}}"#,
    ),
    ("apps/web/dist/main.js", "require('left').listen(process.env.PORT || 3000);\n"),
    ("node_modules/left/package.json", r#"{"name": "left", "version": "1.2.0"}"#),
    ("node_modules/left/index.js", "module.exports = require('node:http').createServer();\n"),
];

/// A second one.
const API: [(&str, &str); 2] = [
    ("apps/api/package.json", r#"{"name": "api", "version": "1.0.0", "main": "dist/main.js"}"#),
    ("apps/api/dist/main.js", "console.log('up');\n"),
];

fn shop() -> TestWorkspace {
    TestWorkspace::new(&SHOP)
}

fn base() -> String {
    format!("oci:{BASE}:20-alpine")
}

/// The arguments of a build for amd64 over the base for tests.
fn arguments<'a>(base: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["build", "--base", base, "--platform", "linux/amd64"], more].concat()
}

/// A build for amd64 over the base for tests that has to fail.
fn failed(workspace: &TestWorkspace, more: &[&str]) -> Run {
    failed_to(workspace, &arguments(&base(), more))
}

/// A run that has to fail: with an error of the form that all have, and with everything as it was before.
fn failed_to(workspace: &TestWorkspace, arguments: &[&str]) -> Run {
    let before = workspace.paths();
    let run = workspace.run(arguments);
    assert_failed(&run, 1);
    assert_eq!(workspace.paths(), before, "a build that fails leaves nothing behind");
    assert_eq!(workspace.unfinished(), [].into(), "a build that fails leaves nothing half written in the cache");
    run
}

/// An error is a sentence without a period, and a hint follows it.
fn assert_failed(run: &Run, code: i32) {
    assert_eq!(run.code, Some(code), "{run}");
    assert_eq!(run.stdout, "", "{run}");
    let error = run.stderr.lines().position(|line| line.starts_with("error: ")).expect("there is an error");
    let (text, hint) = run.stderr.split_once("\nhint: ").unwrap_or_else(|| panic!("there is no hint:\n{run}"));
    assert!(!text.ends_with('.') && !hint.trim_end().ends_with('.'), "{run}");
    let error = run.stderr.lines().nth(error).unwrap_or_default();
    assert!(error.ends_with(['`', ':']) || text.lines().count() > 1 && text.ends_with('`'), "the value is last: {run}");
}

#[test]
fn no_package_json() {
    let workspace = TestWorkspace::new(&[("README.md", "nothing to build\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn no_directory() {
    assert_snapshot!(failed(&shop(), &["-C", "nowhere"]), @"");
}

#[test]
fn invalid_json() {
    let workspace = shop().and(&[("apps/web/package.json", "{\"name\": \"web\",\n \"main\" \"dist/main.js\"}")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn package_json_that_is_a_directory() {
    let workspace = shop().without("apps/web/package.json").and(&[("apps/web/package.json/x", "")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_service_that_does_not_exist() {
    assert_snapshot!(failed(&shop().and(&API), &["wbe"]), @"");
}

#[test]
fn a_member_without_an_entry_point() {
    let workspace = shop().and(&[("packages/types/package.json", r#"{"name": "types"}"#)]);
    assert_snapshot!(failed(&workspace, &["types"]), @"");
}

#[test]
fn no_services() {
    let workspace = shop().without("apps/web").and(&[("packages/types/package.json", r#"{"name": "types"}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn not_compiled() {
    assert_snapshot!(failed(&shop().without("apps/web/dist"), &[]), @"");
}

#[test]
fn not_compiled_and_no_start_script() {
    let source = [("apps/web/package.json", r#"{"name": "web"}"#), ("apps/web/src/main.ts", "")];
    assert_snapshot!(failed(&shop().without("apps/web/dist").and(&source), &[]), @"");
}

#[test]
fn two_entry_points() {
    let package_json = r#"{"name": "web", "main": "dist/main.js", "scripts": {"start": "node dist/server.js"}}"#;
    let workspace = shop().and(&[("apps/web/package.json", package_json), ("apps/web/dist/server.js", "")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn an_unknown_package_manager() {
    let workspace = shop().and(&[("package.json", r#"{"workspaces": ["apps/*"], "packageManager": "cnpm@9.4.0"}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn two_members_with_one_name() {
    let workspace = shop().and(&[("packages/web/package.json", r#"{"name": "web"}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_workspace_pattern_that_leaves_the_workspace() {
    let workspace = shop().and(&[("package.json", r#"{"workspaces": ["../*"]}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_workspace_pattern_that_is_none() {
    let workspace = shop().and(&[("package.json", r#"{"workspaces": ["apps/{web"]}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_pnpm_workspace_that_is_no_list() {
    let workspace = shop().and(&[("pnpm-workspace.yaml", "packages: 3\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_missing_package() {
    assert_snapshot!(failed(&shop().without("node_modules/left"), &[]), @"");
}

#[test]
fn a_package_linked_from_outside() {
    let workspace = shop().without("node_modules/left");
    fs::create_dir(workspace.beside("left")).unwrap();
    fs::write(workspace.beside("left/package.json"), r#"{"name": "left"}"#).unwrap();
    assert_snapshot!(failed(&workspace.linked("node_modules/left", "../../left"), &[]), @"");
}

#[test]
fn a_file_linked_from_outside() {
    let workspace = shop().linked("apps/web/dist/secrets.json", "/etc/hostname");
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn neither_file_nor_directory() {
    let workspace = shop();
    let pipe = workspace.root().join("node_modules/left/pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return harness::skip("`mkfifo` is not installed");
    }
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_base_without_the_platform() {
    assert_snapshot!(failed_to(&shop(), &["build", "--base", &base(), "--platform", "linux/s390x"]), @"");
}

/// A build over another base than the one for tests that has to fail.
fn failed_with_base(workspace: &TestWorkspace, base: &str) -> Run {
    failed_to(workspace, &["build", "--base", base, "--platform", "linux/amd64"])
}

#[test]
fn a_base_layout_that_does_not_exist() {
    assert_snapshot!(failed_with_base(&shop(), "oci:nowhere"), @"");
}

#[test]
fn a_base_tag_that_is_not_there() {
    assert_snapshot!(failed_with_base(&shop(), &format!("oci:{BASE}:22-alpine")), @"");
}

#[test]
fn a_base_that_is_no_reference() {
    assert_snapshot!(failed_with_base(&shop(), "Node:20 alpine"), @"");
}

/// A copy of the base for tests next to the workspace, in which every blob that `damage` is given is written anew.
fn damaged_base(workspace: &TestWorkspace, damage: impl Fn(&[u8]) -> Option<Vec<u8>>) {
    let blobs = workspace.beside("base/blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    for file in ["oci-layout", "index.json"] {
        fs::copy(Path::new(BASE).join(file), workspace.beside("base").join(file)).unwrap();
    }
    for entry in fs::read_dir(Path::new(BASE).join("blobs/sha256")).unwrap() {
        let entry = entry.unwrap();
        let bytes = fs::read(entry.path()).unwrap();
        fs::write(blobs.join(entry.file_name()), damage(&bytes).unwrap_or(bytes)).unwrap();
    }
}

#[test]
fn a_base_layout_with_a_damaged_document() {
    let workspace = shop();
    damaged_base(&workspace, |bytes| bytes.starts_with(b"{").then(|| bytes.to_ascii_uppercase()));
    assert_snapshot!(failed_with_base(&workspace, "oci:../base"), @"");
}

#[test]
fn a_base_layout_with_a_damaged_layer() {
    let workspace = shop();
    damaged_base(&workspace, |bytes| {
        let mut bytes = bytes.to_vec();
        bytes.starts_with(&[0x1f, 0x8b]).then(|| {
            bytes[100] ^= 1;
            bytes
        })
    });
    let run = failed_with_base(&workspace, "oci:../base");
    // Which of the layers comes first is the base's business.
    let (text, rest) = run.stderr.split_once("has the digest").unwrap();
    let hint = rest.split_once('\n').unwrap().1;
    assert_snapshot!(format!("{text}\n{hint}"), @"");
}

#[test]
fn a_base_layout_without_a_blob() {
    let workspace = shop();
    damaged_base(&workspace, |_| None);
    fs::remove_dir_all(workspace.beside("base/blobs")).unwrap();
    assert_snapshot!(failed_with_base(&workspace, "oci:../base"), @"");
}

#[test]
fn a_base_registry_that_is_not_there() {
    let host = closed_port();
    let run = failed_with_base(&shop(), &format!("{host}/node:20"));
    assert_snapshot!(run.replaced(&host, "[HOST]"), @"");
}

#[test]
fn an_unknown_setting() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nprot = 3000\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_setting_of_the_wrong_type() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nport = \"3000\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_setting_out_of_range() {
    let workspace = shop().and(&[("pirogue.toml", "port = 70000\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn settings_that_are_no_toml() {
    let workspace = shop().and(&[("pirogue.toml", "base = \n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn settings_of_an_unknown_service() {
    let workspace = shop().and(&[("pirogue.toml", "[service.wbe]\nport = 3000\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_platform_that_is_none_in_the_settings() {
    let workspace = shop().and(&[("pirogue.toml", "platform = \"amd64\"\n")]);
    assert_snapshot!(failed_to(&workspace, &["build", "--base", &base()]), @"");
}

#[test]
fn files_that_do_not_exist() {
    let workspace =
        shop().and(&[("pirogue.toml", "[[service.web.files]]\nfrom = \"certs/ca.pem\"\nto = \"/etc/ca.pem\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_pattern_that_is_none() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nexclude = [\"a[\"]\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_health_check_without_a_port() {
    let workspace = shop().and(&[
        ("pirogue.toml", "[service.web]\nhealth = \"/health\"\n"),
        ("apps/web/dist/main.js", "require('left');\n"),
    ]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_working_directory_over_a_file_of_the_base() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nworkdir = \"/etc/passwd\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_user_number_that_the_base_gave_another_name() {
    let workspace = shop().and(&[("pirogue.toml", "user = { name = \"web\", uid = 1000 }\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn a_user_that_the_base_does_not_have() {
    let workspace = shop().and(&[("pirogue.toml", "user = \"web\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"");
}

#[test]
fn one_name_for_two_images() {
    let workspace = shop().and(&API);
    assert_snapshot!(failed(&workspace, &["--to", "registry.example.com/shop:v1"]), @"");
}

#[test]
fn a_destination_without_a_host() {
    assert_snapshot!(failed(&shop(), &["--to", "acme/shop"]), @"");
}

#[test]
fn a_layout_without_a_directory() {
    assert_snapshot!(failed(&shop(), &["--to", "oci:"]), @"");
}

#[test]
fn a_tag_that_no_registry_takes() {
    assert_snapshot!(failed(&shop(), &["--to", "localhost:1/shop", "--tag", "feature/login"]), @"");
}

#[test]
fn a_destination_with_something_else_in_it() {
    let workspace = shop();
    fs::create_dir(workspace.beside("photos")).unwrap();
    fs::write(workspace.beside("photos/sea.jpg"), "").unwrap();
    assert_snapshot!(failed(&workspace, &["--to", "oci:../photos"]), @"");
}

#[test]
fn a_destination_that_is_a_file() {
    assert_snapshot!(failed(&shop(), &["--to", "oci:package.json"]), @"");
}

#[test]
fn a_cache_that_cannot_be_made() {
    let workspace = shop();
    let before = workspace.paths();
    let mut command = workspace.pirogue(&["build"]);
    let output = command.env("PIROGUE_CACHE_DIR", workspace.root().join("package.json")).output().unwrap();
    let run = workspace.told(&output);
    assert_failed(&run, 1);
    assert_eq!(workspace.paths(), before);
    assert_snapshot!(run, @"");
}

#[test]
fn a_time_that_is_none() {
    let workspace = shop();
    let output = workspace.pirogue(&["build"]).env("SOURCE_DATE_EPOCH", "yesterday").output().unwrap();
    let run = workspace.told(&output);
    assert_failed(&run, 1);
    assert_snapshot!(run, @"");
}

/// A port of this machine on which nobody listens.
fn closed_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().to_string()
}

#[test]
fn a_registry_that_is_not_there() {
    let host = closed_port();
    let begin = Instant::now();
    let run = failed(&shop(), &["--to", &format!("{host}/shop")]);
    assert!(begin.elapsed() < Duration::from_secs(10), "{:?}", begin.elapsed());
    assert_snapshot!(run.replaced(&host, "[HOST]"), @"");
}

#[test]
fn a_registry_that_denies_the_upload() {
    let registry = Misbehaving::start(|asked| match asked.method.as_str() {
        "HEAD" => Answer::new(404),
        "GET" => Answer::new(200),
        _ => Answer::new(403).body(r#"{"errors": [{"code": "DENIED", "message": "pushes are closed for the night"}]}"#),
    });
    let host = registry.host();
    let run = failed(&shop(), &["--to", &format!("{host}/shop")]);
    assert!(!registry.lines().iter().any(|line| line.starts_with("PUT")), "nothing gets a name: {:?}", registry.lines());
    // Several layers are pushed at once, and whichever is denied first is told.
    assert_snapshot!(run.replaced(&host, "[HOST]"), @"");
}

/// Runs pirogue with a file system of one megabyte at `full`; `None` where that cannot be had. What is left there
/// afterwards follows on standard output.
fn build_on_a_full_disk(workspace: &TestWorkspace, full: &Path, more: &[&str]) -> Option<Output> {
    let bwrap = |program: &[&str]| {
        let mut command = Command::new("bwrap");
        command.args(["--dev-bind", "/", "/", "--size", "1048576", "--tmpfs"]).arg(full).args(program);
        workspace.surround(&mut command);
        command
    };
    if !bwrap(&["true"]).output().is_ok_and(|output| output.status.success()) {
        harness::skip("`bwrap` cannot mount a small file system");
        return None;
    }
    let script = r#""$@"; code=$?; find "$FULL" -type f -not -path "*/blobs/*" -not -path "*/facts/*"; exit $code"#;
    let base = base();
    let program = [&["sh", "-c", script, "sh", env!("CARGO_BIN_EXE_pirogue")], &arguments(&base, more)[..]].concat();
    Some(bwrap(&program).env("FULL", full).output().unwrap())
}

#[test]
fn a_full_disk_under_the_cache() {
    let workspace = shop().with_noise("node_modules/left/model.bin", 4 << 20);
    let before = workspace.paths();
    let Some(output) = build_on_a_full_disk(&workspace, &workspace.beside("cache"), &[]) else { return };
    let run = workspace.told(&output);
    assert_failed(&run, 1);
    assert_eq!(workspace.paths(), before);
    assert_snapshot!(run, @"");
}

#[test]
fn a_full_disk_under_the_destination() {
    let workspace = shop().with_noise("node_modules/left/model.bin", 4 << 20);
    fs::create_dir(workspace.beside("full")).unwrap();
    let before = workspace.paths();
    let full = workspace.beside("full");
    let Some(output) = build_on_a_full_disk(&workspace, &full, &["--to", "oci:../full/images"]) else { return };
    let run = workspace.told(&output);
    assert_failed(&run, 1);
    assert_eq!(workspace.paths(), before);
    assert_eq!(workspace.unfinished(), [].into());
    let (text, hint) = run.stderr.split_once("\nhint: ").unwrap();
    let (text, _digest) = text.rsplit_once('/').unwrap();
    assert_snapshot!(format!("{text}/…\nhint: {hint}"), @"");
}

/// Starts a build, sends it a signal once it says `step`, and gives what it said in all.
fn interrupted(workspace: &TestWorkspace, more: &[&str], step: &str, signal: &str) -> Run {
    let mut child = workspace.pirogue(&arguments(&base(), more)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stderr = BufReader::new(child.stderr.take().unwrap());
    let mut said = String::new();
    while !said.lines().any(|line| line.starts_with(step)) {
        assert_ne!(stderr.read_line(&mut said).unwrap(), 0, "the build ends before `{step}`: {said}");
    }
    thread::sleep(Duration::from_millis(100));
    let sent = Command::new("sh").arg("-c").arg(format!("kill -{signal} {}", child.id())).status().unwrap();
    assert!(sent.success());
    let begin = Instant::now();
    stderr.read_to_string(&mut said).unwrap();
    let mut output = child.wait_with_output().unwrap();
    assert!(begin.elapsed() < Duration::from_secs(5), "it ends soon: {:?}", begin.elapsed());
    output.stderr = said.into_bytes();
    workspace.told(&output)
}

#[test]
fn ctrl_c_while_packing() {
    let workspace = shop().with_zeros("node_modules/left/model.bin", 20 << 30);
    let before = workspace.paths();
    for signal in ["INT", "TERM"] {
        let run = interrupted(&workspace, &[], "packing", signal);
        assert_eq!(workspace.paths(), before);
        assert_eq!(workspace.unfinished(), [].into());
        assert_snapshot!(run, @"");
    }
}

#[test]
fn ctrl_c_while_a_registry_does_not_answer() {
    let registry = Misbehaving::start(|_| {
        thread::sleep(Duration::from_secs(20));
        Answer::none()
    });
    let workspace = shop();
    let before = workspace.paths();
    let run = interrupted(&workspace, &["--to", &format!("{}/shop", registry.host())], "packing", "INT");
    assert_eq!(workspace.paths(), before);
    assert_eq!(workspace.unfinished(), [].into());
    assert_snapshot!(run, @"");
}

#[test]
fn usage_errors() {
    let workspace = shop();
    let before = workspace.paths();
    let table: [(&str, &[&str]); 6] = [
        ("no command", &[]),
        ("an unknown command", &["biuld"]),
        ("an unknown option", &["build", "--bsae", "x"]),
        ("a platform that is none", &["build", "--platform", "amd64"]),
        ("no threads", &["build", "--jobs", "0"]),
        ("an option without its value", &["build", "--to"]),
    ];
    let mut told = String::new();
    for (comment, arguments) in table {
        let run = workspace.run(arguments);
        assert_eq!(run.code, Some(2), "{comment}: {run}");
        assert_eq!(run.stdout, "", "{comment}");
        let first = run.stderr.lines().next().unwrap_or_default();
        told.push_str(&format!("{comment}: {first}\n"));
    }
    assert_eq!(workspace.paths(), before);
    assert_snapshot!(told, @"");
}

#[test]
fn a_build_that_succeeds() {
    let workspace = shop().and(&API);
    let before = workspace.paths();
    assert_snapshot!(workspace.run(&arguments(&base(), &["--to", "oci:../images"])), @"");
    let new: Vec<_> = workspace.paths().difference(&before).cloned().collect();
    assert!(new.iter().all(|path| path.starts_with(workspace.beside("images"))), "{new:?}");
    assert!(workspace.unfinished().is_empty());
}

#[test]
fn a_build_that_succeeds_as_json() {
    let run = shop().run(&arguments(&base(), &["--to", "oci:../images", "--tag", "v1", "--json"]));
    assert!(serde_json::from_str::<serde_json::Value>(&run.stdout).is_ok(), "standard output is one JSON document");
    assert_snapshot!(run, @"");
}
