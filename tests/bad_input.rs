//! Inputs that cannot be built: each ends with a clear error that says what to do next, and leaves nothing behind.

mod harness;

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::failure::{assert_failed, failed_to};
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

#[test]
fn no_package_json() {
    let workspace = TestWorkspace::new(&[("README.md", "nothing to build\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: there is no `package.json` in `.`
    hint: name the root of the workspace: `pirogue build -C DIR`
    ");
}

#[test]
fn no_directory() {
    assert_snapshot!(failed(&shop(), &["-C", "nowhere"]), @r"
    exit code: 1
    ----- stderr
    error: there is no `package.json` in `nowhere`
    hint: name the root of the workspace: `pirogue build -C DIR`
    ");
}

#[test]
fn invalid_json() {
    let workspace = shop().and(&[("apps/web/package.json", "{\"name\": \"web\",\n \"main\" \"dist/main.js\"}")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: not valid JSON: expected `:` at line 2 column 9: `[DIR]/workspace/apps/web/package.json`
    hint: see what changed: `git diff -- [DIR]/workspace/apps/web/package.json`
    ");
}

#[test]
fn a_service_that_does_not_exist() {
    assert_snapshot!(failed(&shop().and(&API), &["wbe"]), @r"
    exit code: 1
    ----- stderr
    error: the workspace has no member `wbe`
    hint: there are: `api`, `web`
    ");
}

#[test]
fn a_member_without_an_entry_point() {
    let workspace = shop().and(&[("packages/types/package.json", r#"{"name": "types"}"#)]);
    assert_snapshot!(failed(&workspace, &["types"]), @r"
    exit code: 1
    ----- stderr
    error: nothing in `packages/types` could be an entry point: no `main`, `bin` or start script names a file, and there is no `main.js`, `server.js` or `index.js` under `dist`, `build` or `out`
    hint: set `entry-point` under `[service.types]` in pirogue.toml, or remove stale build output
    ");
}

#[test]
fn a_member_without_an_entry_point_whose_directory_has_a_common_name() {
    let packages = [
        ("packages/types/package.json", r#"{"name": "types"}"#),
        ("apps/types/package.json", r#"{"name": "@shop/types-service"}"#),
    ];
    assert_snapshot!(failed(&shop().and(&packages), &["types-service"]), @r"
    exit code: 1
    ----- stderr
    error: nothing in `apps/types` could be an entry point: no `main`, `bin` or start script names a file, and there is no `main.js`, `server.js` or `index.js` under `dist`, `build` or `out`
    hint: set `entry-point` under `[service.types-service]` in pirogue.toml, or remove stale build output
    ");
}

#[test]
fn no_services() {
    let workspace = shop().without("apps/web").and(&[("packages/types/package.json", r#"{"name": "types"}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @r#"
    exit code: 1
    ----- stderr
    error: no member of the workspace is a service
      has no entry point: `packages/types`
    hint: name one: `pirogue build SERVICE`, or `services = ["apps/*"]` in pirogue.toml
    "#);
}

#[test]
fn not_compiled() {
    assert_snapshot!(failed(&shop().without("apps/web/dist"), &[]), @r"
    exit code: 1
    ----- stderr
    error: the script `start` of `apps/web` names a file that does not exist: `dist/main.js`
    hint: compile first: `npm run build`
    ");
}

#[test]
fn not_compiled_and_no_start_script() {
    let source = [("apps/web/package.json", r#"{"name": "web"}"#), ("apps/web/src/main.ts", "")];
    assert_snapshot!(failed(&shop().without("apps/web/dist").and(&source), &[]), @r"
    exit code: 1
    ----- stderr
    error: there is no build output for the source `src/main.ts` of `apps/web`
    hint: compile first: `npm run build`
    ");
}

#[test]
fn two_entry_points() {
    let package_json = r#"{"name": "web", "main": "dist/main.js", "scripts": {"start": "node dist/server.js"}}"#;
    let workspace = shop().and(&[("apps/web/package.json", package_json), ("apps/web/dist/server.js", "")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: several files could be the entry point of `apps/web`: `dist/main.js`, `dist/server.js`
    hint: set `entry-point` under `[service.web]` in pirogue.toml, or remove stale build output
    ");
}

#[test]
fn an_unknown_package_manager() {
    let workspace = shop().and(&[("package.json", r#"{"workspaces": ["apps/*"], "packageManager": "cnpm@9.4.0"}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: the package manager is not one pirogue knows: `cnpm@9.4.0`
    hint: set `packageManager` in package.json to one of npm, yarn, pnpm, bun, with a version
    ");
}

#[test]
fn two_members_with_one_name() {
    let workspace = shop().and(&[("packages/web/package.json", r#"{"name": "web"}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: two members have the name `web`: `apps/web` and `packages/web`
    hint: change `name` in one of the two package.json files
    ");
}

#[test]
fn a_workspace_pattern_that_leaves_the_workspace() {
    let workspace = shop().and(&[("package.json", r#"{"workspaces": ["../*"]}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: not a pattern for files of the workspace (it leaves the workspace): `../*`
    hint: patterns are relative to the workspace, such as `apps/*`
    ");
}

#[test]
fn a_workspace_pattern_that_is_none() {
    let workspace = shop().and(&[("package.json", r#"{"workspaces": ["apps/{web"]}"#)]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: not a pattern for files of the workspace (unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?)): `apps/{web`
    hint: patterns are relative to the workspace, such as `apps/*`
    ");
}

#[test]
fn a_pnpm_workspace_that_is_no_list() {
    let workspace = shop().and(&[("pnpm-workspace.yaml", "packages: 3\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r#"
    exit code: 1
    ----- stderr
    error: not a list of packages (expected sequence start at line 1, column 11): `[DIR]/workspace/pnpm-workspace.yaml`
    hint: write a list of patterns, such as `packages: ["apps/*"]`
    "#);
}

#[test]
fn a_missing_package() {
    assert_snapshot!(failed(&shop().without("node_modules/left"), &[]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: a dependency of `web@1.0.0` is not installed: `left@^1.0.0`
    hint: run `npm ci` (if it still fails, the lockfile is out of date with package.json), or build without an installation: `--packages lockfile`
    ");
}

#[test]
fn a_package_linked_from_outside() {
    let workspace = shop().without("node_modules/left");
    fs::create_dir(workspace.beside("left")).unwrap();
    fs::write(workspace.beside("left/package.json"), r#"{"name": "left"}"#).unwrap();
    assert_snapshot!(failed(&workspace.linked("node_modules/left", "../../left"), &[]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: `left`, needed by `web@1.0.0`, is a link that leads out of the workspace: `[DIR]/left`
    hint: move the package into the workspace, or depend on a published version of it
    ");
}

#[test]
fn a_file_linked_from_outside() {
    let workspace = shop().linked("apps/web/dist/secrets.json", "/etc/hostname");
    assert_snapshot!(failed(&workspace, &[]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: a link leads out of the workspace, where the image has nothing: `[DIR]/workspace/apps/web/dist/secrets.json`
    hint: put what it leads to in its place, or remove it
    ");
}

#[test]
fn neither_file_nor_directory() {
    let workspace = shop();
    let pipe = workspace.root().join("node_modules/left/pipe");
    let made = Command::new("mkfifo").arg(&pipe).status();
    if !made.is_ok_and(|status| status.success()) {
        return harness::skip("`mkfifo` is not installed");
    }
    assert_snapshot!(failed(&workspace, &[]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: neither a file, a directory nor a link: `[DIR]/workspace/node_modules/left/pipe`
    hint: remove it: an image holds what a running program can make itself
    ");
}

#[test]
fn a_base_without_the_platform() {
    assert_snapshot!(failed_to(&shop(), &["build", "--base", &base(), "--platform", "linux/s390x"]), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: the base has no image for linux/s390x, only for `linux/amd64`, `linux/arm64/v8`: `oci:[BASE]:20-alpine`
    hint: build for one it has: `--platform linux/amd64`
    ");
}

/// A build over another base than the one for tests that has to fail.
fn failed_with_base(workspace: &TestWorkspace, base: &str) -> Run {
    failed_to(workspace, &["build", "--base", base, "--platform", "linux/amd64"])
}

#[test]
fn a_base_layout_that_does_not_exist() {
    assert_snapshot!(failed_with_base(&shop(), "oci:nowhere"), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:nowhere
    error: not an OCI image layout, for it has no `oci-layout`: `nowhere`
    hint: an image in a registry is named without `oci:`
    ");
}

#[test]
fn a_base_tag_that_is_not_there() {
    assert_snapshot!(failed_with_base(&shop(), &format!("oci:{BASE}:22-alpine")), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:22-alpine
    error: the layout has no image named `22-alpine`; it has `20-alpine`: `[BASE]`
    hint: name one it has, such as `oci:[BASE]:20-alpine`
    ");
}

#[test]
fn a_base_that_is_no_reference() {
    assert_snapshot!(failed_with_base(&shop(), "Node:20 alpine"), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base Node:20 alpine
    error: a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two: `20 alpine`
    hint: write it as `20-alpine`
    ");
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
    assert_snapshot!(failed_with_base(&workspace, "oci:../base"), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:../base
    error: a blob of the layout is damaged: its content has the digest `sha256:f9ddd951c1355eaeae169677cbc82042689d8fdb3b208111af2b6ee52750f651`: `../base/blobs/sha256/93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`
    hint: copy the layout anew from where it came
    ");
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
    let (text, rest) = run.stderr.split_once(" has the digest").unwrap();
    let hint = rest.split_once('\n').unwrap().1;
    assert_snapshot!(format!("{text}\n{hint}"), @r"
    computing dependency closures
    resolving the base oci:../base
    error: a blob of the layout is damaged: its content
    hint: copy the layout anew from where it came
    ");
}

#[test]
fn a_base_layout_without_a_blob() {
    let workspace = shop();
    damaged_base(&workspace, |_| None);
    fs::remove_dir_all(workspace.beside("base/blobs")).unwrap();
    assert_snapshot!(failed_with_base(&workspace, "oci:../base"), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:../base
    error: cannot read the layout: No such file or directory (os error 2): `../base/blobs/sha256/93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`
    hint: the layout is not whole: copy it anew from where it came
    ");
}

#[test]
fn a_base_registry_that_is_not_there() {
    let host = closed_port();
    let run = failed_with_base(&shop(), &format!("{host}/node:20"));
    assert_snapshot!(run.replaced(&host, "[HOST]"), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/node:20
    error: cannot get the base `[HOST]/node:20`: cannot talk to the registry (Connection refused (os error 111)): `HEAD http://[HOST]/v2/node/manifests/20`
    hint: is the registry running, and the port right?
    ");
}

#[test]
fn an_unknown_setting() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nprot = 3000\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: there is no setting `service.web.prot`: `pirogue.toml:2:1`
    hint: did you mean `port`?
    ");
}

#[test]
fn a_setting_of_the_wrong_type() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nport = \"3000\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: `service.web.port` has to be an integer, not a text: `pirogue.toml:2:1`
    ");
}

#[test]
fn a_setting_out_of_range() {
    let workspace = shop().and(&[("pirogue.toml", "port = 70000\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: `port` is not between 0 and 65535: `pirogue.toml:1:1`
    ");
}

#[test]
fn settings_that_are_no_toml() {
    let workspace = shop().and(&[("pirogue.toml", "base = \n")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: string values must be quoted, expected literal string: `pirogue.toml:1:8`
    ");
}

#[test]
fn settings_of_an_unknown_service() {
    let workspace = shop().and(&[("pirogue.toml", "[service.wbe]\nport = 3000\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r"
    exit code: 1
    ----- stderr
    error: there is no service `wbe` to configure: `pirogue.toml:1:10`
    hint: did you mean `web`?
    ");
}

#[test]
fn a_platform_that_is_none_in_the_settings() {
    let workspace = shop().and(&[("pirogue.toml", "platform = \"amd64\"\n")]);
    assert_snapshot!(failed_to(&workspace, &["build", "--base", &base()]), @r#"
    exit code: 1
    ----- stderr
    error: not a platform (`os/architecture[/variant]`, such as `linux/amd64`): `amd64`
    hint: write such as `platform = "linux/amd64"` in pirogue.toml, or a list of them
    "#);
}

#[test]
fn files_that_do_not_exist() {
    let workspace =
        shop().and(&[("pirogue.toml", "[[service.web.files]]\nfrom = \"certs/ca.pem\"\nto = \"/etc/ca.pem\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: `files` of the service `web` names something that does not exist: `certs/ca.pem`
    hint: such paths start at the root of the workspace
    ");
}

#[test]
fn a_pattern_that_is_none() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nexclude = [\"{a\"]\n")]);
    assert_snapshot!(failed(&workspace, &[]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: not a pattern for files of the workspace (error parsing glob '{a': unclosed alternate group; missing '}' (maybe escape '{' with '[{]'?) (of `apps/web`)): `{a`
    hint: patterns are relative to the workspace, such as `apps/*`
    ");
}

#[test]
fn a_health_check_without_a_port() {
    let workspace = shop().and(&[
        ("pirogue.toml", "[service.web]\nhealth = \"/health\"\n"),
        ("apps/web/dist/main.js", "require('left');\n"),
    ]);
    assert_snapshot!(failed(&workspace, &[]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the health check needs to know the port of the service: `web`
    hint: set `port` under `[service.web]` in pirogue.toml
    ");
}

#[test]
fn a_working_directory_over_a_file_of_the_base() {
    let workspace = shop().and(&[("pirogue.toml", "[service.web]\nworkdir = \"/etc/passwd\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the base has a file where the image needs a directory: `/etc/passwd`
    hint: name another directory in pirogue.toml: `root`, `workdir`, `writable`, `to` of `files`, or the user's `home`
    "#);
}

#[test]
fn a_user_number_that_the_base_gave_another_name() {
    let workspace = shop().and(&[("pirogue.toml", "user = { name = \"web\", uid = 1000 }\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: the base's user `node:1000` conflicts with the one wanted: `web:1000`
    hint: 1001 is free: `user = { name = "web", uid = 1001 }` in pirogue.toml
    "#);
}

#[test]
fn a_user_that_the_base_does_not_have() {
    let workspace = shop().and(&[("pirogue.toml", "user = \"web\"\n")]);
    assert_snapshot!(failed(&workspace, &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: the base has no user named `web`
    hint: to add it, set `user = { name = "web", uid = 1001 }` in pirogue.toml
    "#);
}

#[test]
fn one_name_for_two_images() {
    let workspace = shop().and(&API);
    assert_snapshot!(failed(&workspace, &["--to", "registry.example.com/shop:v1"]), @r"
    exit code: 1
    ----- stderr
    error: the destination names one image, but 2 services are built: `registry.example.com/shop:v1`
    hint: use `--to registry.example.com/shop` with `--tag`, or put `{service}` into the name
    ");
}

#[test]
fn a_destination_without_a_host() {
    assert_snapshot!(failed(&shop(), &["--to", "acme/shop"]), @r"
    exit code: 1
    ----- stderr
    error: neither a layout (`oci:DIR`) nor a registry (`HOST/PREFIX`): `acme/shop`
    hint: for Docker Hub: `--to docker.io/acme/shop`
    ");
}

#[test]
fn a_layout_without_a_directory() {
    assert_snapshot!(failed(&shop(), &["--to", "oci:"]), @r"
    exit code: 1
    ----- stderr
    error: a layout needs a directory, `oci:DIR`: `oci:`
    hint: such as `--to oci:images`
    ");
}

#[test]
fn a_tag_that_no_registry_takes() {
    assert_snapshot!(failed(&shop(), &["--to", "localhost:1/shop", "--tag", "feature/login"]), @r"
    exit code: 1
    ----- stderr
    error: a tag has 1 to 128 letters, digits, `_`, `.` and `-`, and starts with none of the last two: `feature/login`
    hint: write it as `feature-login`
    ");
}

#[test]
fn a_destination_with_something_else_in_it() {
    let workspace = shop();
    fs::create_dir(workspace.beside("photos")).unwrap();
    fs::write(workspace.beside("photos/sea.jpg"), "").unwrap();
    assert_snapshot!(failed(&workspace, &["--to", "oci:../photos"]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    packing 3 of 3 layers
    writing one image to ../photos
    error: the directory is neither empty nor an OCI image layout: `../photos`
    hint: name another directory, or empty this one
    ");
}

#[test]
fn a_destination_that_is_a_file() {
    assert_snapshot!(failed(&shop(), &["--to", "oci:package.json"]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    packing 3 of 3 layers
    writing one image to package.json
    error: cannot make the layout: File exists (os error 17): `package.json`
    hint: a file is in the way: name a directory with `oci:DIR`
    ");
}

#[test]
fn a_cache_that_cannot_be_made() {
    let workspace = shop();
    let before = workspace.paths();
    let mut command = workspace.pirogue(&["build"]);
    let output = command.env("PIROGUE_CACHE_DIR", workspace.root().join("package.json")).output().unwrap();
    let run = workspace.told(&output);
    assert_failed(&run);
    assert_eq!(workspace.paths(), before);
    assert_snapshot!(run, @r"
    exit code: 1
    ----- stderr
    error: cannot open the cache: Not a directory (os error 20): `[DIR]/workspace/package.json/blobs/sha256`
    hint: set PIROGUE_CACHE_DIR to a directory that you may write
    ");
}

#[test]
fn a_time_that_is_none() {
    let workspace = shop();
    let output = workspace.pirogue(&["build"]).env("SOURCE_DATE_EPOCH", "yesterday").output().unwrap();
    let run = workspace.told(&output);
    assert_failed(&run);
    assert_snapshot!(run, @r"
    exit code: 1
    ----- stderr
    error: SOURCE_DATE_EPOCH is not a number of seconds since 1970 of at most 8589934591: `yesterday`
    hint: for the time of the last commit: `export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)`
    ");
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
    assert_snapshot!(run.replaced(&host, "[HOST]"), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    error: cannot talk to the registry (Connection refused (os error 111)): `POST http://[HOST]/v2/shop/web/blobs/uploads/`
    hint: is the registry running, and the port right?
    ");
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
    assert!(
        !registry.lines().iter().any(|line| line.starts_with("PUT")),
        "nothing gets a name: {:?}",
        registry.lines()
    );
    // Several layers are pushed at once, and whichever is denied first is told.
    assert_snapshot!(run.replaced(&host, "[HOST]"), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    error: the registry denies access, status 403 `DENIED` (pushes are closed for the night): `POST http://[HOST]/v2/shop/web/blobs/uploads/`
    hint: ask for the right to push to (or pull from) this repository
    ");
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
    let script = r#""$@"; code=$?; find "$FULL" -type f -not -path "*/blobs/*" -not -path "*/facts/*" -not -path "*/pieces/*" -not -name lock; exit $code"#;
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
    assert_failed(&run);
    assert_eq!(workspace.paths(), before);
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    packing 3 of 3 layers
    error: cannot write to the cache: No space left on device (os error 28): `[DIR]/cache`
    hint: free some space, or set PIROGUE_CACHE_DIR to a directory on another disk
    ");
}

#[test]
fn a_full_disk_under_the_destination() {
    let workspace = shop().with_noise("node_modules/left/model.bin", 4 << 20);
    fs::create_dir(workspace.beside("full")).unwrap();
    let before = workspace.paths();
    let full = workspace.beside("full");
    let Some(output) = build_on_a_full_disk(&workspace, &full, &["--to", "oci:../full/images"]) else { return };
    let run = workspace.told(&output);
    assert_failed(&run);
    assert_eq!(workspace.paths(), before);
    assert_eq!(workspace.unfinished(), [].into());
    let (text, hint) = run.stderr.split_once("\nhint: ").unwrap();
    let (text, _digest) = text.rsplit_once('/').unwrap();
    assert_snapshot!(format!("{text}/…\nhint: {hint}"), @"
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    packing 3 of 3 layers
    writing one image to ../full/images
    error: cannot write to the layout: No space left on device (os error 28): `../full/images/blobs/sha256/…
    hint: free some space, or write to another disk
    ");
}

/// Starts a build, sends it a signal once it says `step`, and gives what it said in all.
fn interrupted(workspace: &TestWorkspace, more: &[&str], step: &str, signal: &str) -> Run {
    let mut child =
        workspace.pirogue(&arguments(&base(), more)).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
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
    let runs = ["INT", "TERM"].map(|signal| {
        let run = interrupted(&workspace, &[], "resolving", signal);
        assert_eq!(workspace.paths(), before);
        assert_eq!(workspace.unfinished(), [].into());
        run.to_string()
    });
    assert_eq!(runs[0], runs[1], "both signals end it alike");
    assert_snapshot!(runs[0], @"
    exit code: 130
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: interrupted
    ");
}

#[test]
fn ctrl_c_while_a_registry_does_not_answer() {
    let registry = Misbehaving::start(|_| {
        thread::sleep(Duration::from_secs(20));
        Answer::none()
    });
    let workspace = shop();
    let before = workspace.paths();
    let run = interrupted(&workspace, &["--to", &format!("{}/shop", registry.host())], "asking", "INT");
    assert_eq!(workspace.paths(), before);
    assert_eq!(workspace.unfinished(), [].into());
    assert_snapshot!(run, @"
    exit code: 130
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    error: interrupted
    ");
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
    assert_snapshot!(told, @r"
    no command: Minimal, reproducible OCI images of Node.js workspaces: one for each service, no Docker, no root, no
    an unknown command: error: unrecognized subcommand 'biuld'
    an unknown option: error: unexpected argument '--bsae' found
    a platform that is none: error: invalid value 'amd64' for '--platform <PLATFORM>': not a platform (`os/architecture[/variant]`, such as `linux/amd64`): `amd64`
    no threads: error: invalid value '0' for '--jobs <N>': number would be zero for non-zero type
    an option without its value: error: a value is required for '--to <DEST>' but none was supplied
    ");
}

/// What a run said, with neither digests nor packed sizes, which another recipe of layers would change.
fn masked(run: &Run) -> String {
    let is_packed_size = |line: &str| ["compressed_bytes", "tar_bytes"].iter().any(|key| line.contains(key));
    let is_digest = |word: &str| word.len() >= 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    let masked_line = |line: &str| {
        let line = if is_packed_size(line) { line.replace(|c: char| c.is_ascii_digit(), "") } else { line.to_owned() };
        let digests: Vec<_> = line.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| is_digest(word)).collect();
        digests.iter().fold(line.clone(), |line, digest| line.replace(digest, "[DIGEST]"))
    };
    run.to_string().lines().map(masked_line).collect::<Vec<_>>().join("\n")
}

#[test]
fn a_build_that_succeeds() {
    let workspace = shop().and(&API);
    let before = workspace.paths();
    let run = workspace.run(&arguments(&base(), &["--to", "oci:../images"]));
    assert_snapshot!(masked(&run), @"
    exit code: 0
    ----- stdout
    SERVICE  PACKAGES  FILES  UNPACKED  PACKED  packages  workspace     app  DIGEST
    api             0      5    0.9 kB  0.9 kB    0.0 kB     0.0 kB  0.3 kB  [DIGEST]
    web             1      7    1.0 kB  1.4 kB    0.4 kB     0.0 kB  0.4 kB  [DIGEST]

    Each lies on oci:[BASE]:20-alpine (linux/amd64), 2.5 kB packed.
    With all 1 production packages of the workspace (0.1 kB) in each image, the 2 images would carry 0.2 kB; they carry 0.1 kB: 0.1 kB less (50 %).
    The checks have 2 notes: `pirogue check --verbose`.

    oci:../images:api@sha256:[DIGEST]
    oci:../images:web@sha256:[DIGEST]
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    packing 4 of 4 layers
    writing 2 images to ../images
    ");
    let new: Vec<_> = workspace.paths().difference(&before).cloned().collect();
    assert!(new.iter().all(|path| path.starts_with(workspace.beside("images"))), "{new:?}");
    assert!(workspace.unfinished().is_empty());
}

#[test]
fn a_build_that_succeeds_as_json() {
    let run = shop().run(&arguments(&base(), &["--to", "oci:../images", "--tag", "v1", "--json"]));
    assert!(serde_json::from_str::<serde_json::Value>(&run.stdout).is_ok(), "standard output is one JSON document");
    assert_snapshot!(masked(&run), @r#"
    exit code: 0
    ----- stdout
    {
      "services": [
        {
          "name": "web",
          "dir": "apps/web",
          "base": "oci:[BASE]:20-alpine",
          "digest": "sha256:[DIGEST]",
          "entry_point_found_by": "the script `start`",
          "images": [
            {
              "platform": "linux/amd64",
              "digest": "sha256:[DIGEST]",
              "command": [
                "node",
                "dist/main.js"
              ],
              "port": 3000,
              "layers": [
                {
                  "role": "user",
                  "services": [],
                  "digest": "sha256:[DIGEST]",
                  "diff_id": "sha256:[DIGEST]",
                  "compressed_bytes": ,
                  "tar_bytes": ,
                  "files": 3
                },
                {
                  "role": "packages",
                  "services": [
                    "web"
                  ],
                  "digest": "sha256:[DIGEST]",
                  "diff_id": "sha256:[DIGEST]",
                  "compressed_bytes": ,
                  "tar_bytes": ,
                  "files": 2
                },
                {
                  "role": "application",
                  "services": [
                    "web"
                  ],
                  "digest": "sha256:[DIGEST]",
                  "diff_id": "sha256:[DIGEST]",
                  "compressed_bytes": ,
                  "tar_bytes": ,
                  "files": 2
                }
              ],
              "system_packages": [],
              "base_bytes": 2536,
              "compressed_bytes": ,
              "unpacked_bytes": 1044,
              "files": 7,
              "packages": 1,
              "package_bytes": 90,
              "leaner": {
                "slim": {
                  "taken": false,
                  "files": 0,
                  "bytes": 0
                },
                "trace": {
                  "taken": false,
                  "files": 0,
                  "bytes": 0
                }
              },
              "untraced": [],
              "undeclared": {},
              "excluded": [],
              "foreign_variants": {
                "packages": [],
                "files": 0,
                "bytes": 0
              },
              "warnings": []
            }
          ],
          "delivered": [
            {
              "name": "oci:../images:web:v1",
              "sent_bytes": 0
            }
          ]
        }
      ],
      "comparison": {
        "whole_tree_packages": 1,
        "whole_tree_bytes": 90,
        "whole_tree_in_each_bytes": 90,
        "closures_bytes": 90
      },
      "work": {
        "layers_written": 3,
        "fragments_compressed": [
          "directories",
          "user",
          "directories",
          "left@1.2.0",
          "directories",
          "apps/web"
        ]
      },
      "checks": {
        "warnings": 0,
        "notes": 1
      }
    }
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    packing 3 of 3 layers
    writing one image to ../images
    "#);
}
