//! The first process of a container.

mod harness;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use harness::alpine_base::AlpineBase;
use harness::apk::{Apk, Entry, Key, write_repository};
use harness::build::Build;
use harness::container::Container;
use harness::failure::failed_to;
use harness::layout::{self, Image};
use harness::sample::{self, SERVICES};
use harness::workspace::TestWorkspace;
use harness::{native_code, program, sha256, tree};
use insta::assert_snapshot;
use serde_json::json;

const BUILD: [&str; 8] =
    ["build", "--no-check", "--base", "oci:base", "--platform", "linux/amd64", "--to", "oci:images"];
const KEY: &str = "tests@example.com-1.rsa.pub";
/// So long may a service take that is told to end. Docker kills after ten seconds.
const GRACE: Duration = Duration::from_secs(2);

/// A service that answers, and does nothing about signals.
const SERVER: &str = "require('node:http').createServer((_, answer) => answer.end('ok')).listen(process.env.PORT);\n";

fn workspace(toml: &str) -> TestWorkspace {
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
        ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js"}"#),
        ("apps/web/dist/main.js", SERVER),
        ("pirogue.toml", toml),
    ])
}

fn image(workspace: &TestWorkspace) -> Image {
    let run = workspace.run(&BUILD);
    assert_eq!(run.code, Some(0), "{run}");
    layout::validate(&workspace.root().join("images")).remove("web").expect("it was built")
}

#[test]
fn an_init_by_its_name_is_the_package_of_alpine() {
    let Some(key) = Key::new(KEY) else { return };
    let apks = [
        Apk::new("dumb-init", "1.2.5-r3").with(Entry::program("usr/bin/dumb-init", native_code::program(true))),
        Apk::new("tini", "0.19.0-r3").with(Entry::program("sbin/tini", native_code::program(true))),
    ];
    let table = [
        ("dumb-init", "", json!(["/usr/bin/dumb-init", "--"])),
        ("tini", "", json!(["/sbin/tini", "--"])),
        (
            "what is configured comes behind",
            "entrypoint = ['/bin/sh', 'start']\n",
            json!(["/sbin/tini", "--", "/bin/sh", "start"]),
        ),
    ];
    for (comment, more, expected) in table {
        let name = if comment == "dumb-init" { comment } else { "tini" };
        let workspace = workspace(&format!("init = \"{name}\"\nbase.repositories = [\"apks\"]\n{more}"));
        AlpineBase::default().write(&workspace.root().join("base"), &key);
        write_repository(&workspace.root().join("apks"), &apks, &key);
        let image = image(&workspace);
        assert_eq!(image.config["config"]["Entrypoint"], expected, "{comment}");
        let program = expected[0].as_str().unwrap().trim_start_matches('/');
        assert_eq!(image.files.get(program).map(|file| file.mode), Some(0o755), "{comment}");
        let world = image.files.bytes("etc/apk/world").expect("there is a list");
        assert!(String::from_utf8_lossy(world).contains(name), "{comment}");
    }
}

#[test]
fn an_init_of_one_file() {
    let with = |bytes: &[u8], digest: &str| {
        let workspace = workspace(&format!("init = {{ file = \"bin/my-init\", sha256 = \"{digest}\" }}\n"));
        fs::create_dir(workspace.root().join("bin")).unwrap();
        fs::write(workspace.root().join("bin/my-init"), bytes).unwrap();
        harness::tiny_base::write(&workspace.root().join("base"), "amd64", "lib64/ld-linux-x86-64.so.2");
        workspace
    };
    let digest = |bytes: &[u8]| sha256(bytes).replace("sha256:", "");
    let image = image(&with(&native_code::program(true), &digest(&native_code::program(true))));
    assert_eq!(image.config["config"]["Entrypoint"], json!(["/sbin/my-init", "--"]));
    assert_eq!(image.files.get("sbin/my-init").map(|file| (file.mode, file.uid)), Some((0o755, 0)));

    let other = failed_to(&with(&native_code::program(true), &"0".repeat(64)), &BUILD).to_string();
    assert_snapshot!(other, @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    error: the init has the digest `sha256:c9aa9f710ad7378b310300eb2216ac54460998dfc74d5b071e01228999c92ce0`, not `sha256:0000000000000000000000000000000000000000000000000000000000000000`: `bin/my-init`
    hint: if it is the right one: `sha256 = "c9aa9f710ad7378b310300eb2216ac54460998dfc74d5b071e01228999c92ce0"` in `init` of pirogue.toml
    "#);
    let dynamic =
        failed_to(&with(&native_code::program(false), &digest(&native_code::program(false))), &BUILD).to_string();
    assert_snapshot!(dynamic, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    error: the init would not run on linux/amd64, for it needs a loader, and so libraries of the image: `bin/my-init`
    hint: take one that is linked statically, such as `tini-static` of its releases
    ");
    let script = failed_to(&with(b"#!/bin/sh\n", &digest(b"#!/bin/sh\n")), &BUILD).to_string();
    assert_snapshot!(script, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    error: the init would not run on linux/amd64, for it is no program of Linux (ELF): `bin/my-init`
    hint: take one that is linked statically, such as `tini-static` of its releases
    ");
}

/// A program of this machine as a package, and its libraries as another.
fn of_this_machine(program: &str) -> [Apk; 2] {
    let path = program::run(Command::new("which").arg(program));
    let ldd = program::run(Command::new("ldd").arg(path.trim()));
    let libraries = ldd.split_whitespace().filter(|word| word.starts_with('/'));
    let runtime = Apk::new("runtime", "1-r0").provides("so:libc.so.6=6");
    let add = |apk: Apk, path: &str| apk.with(Entry::program(path.trim_start_matches('/'), fs::read(path).unwrap()));
    let init = Apk::new("dumb-init", "1.2.5-r3").depends("so:libc.so.6");
    let init = init.with(Entry::program("usr/bin/dumb-init", fs::read(path.trim()).unwrap()));
    [init, libraries.fold(runtime, add)]
}

/// Node as the first process of a container would not even hear that it is to end.
#[test]
fn a_service_under_an_init_ends_when_it_is_told_to() {
    if !program::are_installed(&["dumb-init", "jq", "ldd", "runc", "umoci", "which"]) {
        return;
    }
    let (Some(base), Some(key)) = (sample::runnable_base(), Key::new(KEY)) else { return };
    let workspace = workspace(&format!(
        "init = \"dumb-init\"\n[base]\nimage = \"{base}\"\nrepositories = [\"apks\"]\nkeys = [\"{KEY}\"]\n"
    ));
    fs::write(workspace.root().join(KEY), key.public()).unwrap();
    write_repository(&workspace.root().join("apks"), &of_this_machine("dumb-init"), &key);
    let run = workspace.run(&["build", "--platform", "linux/amd64", "--to", "oci:images"]);
    assert_eq!(run.code, Some(0), "{run}");
    let images: &Path = &workspace.root().join("images");
    layout::validate(images);

    let mut container = Container::start("run-image", &[images.to_str().unwrap(), "web"]);
    assert_eq!(container.get("/").0, 200);
    let node = container.process();
    let init = node.parent();
    assert_eq!(init.words()[..2], ["/usr/bin/dumb-init", "--"]);
    assert_eq!(init.numbers().1, 1, "it is the first process of the container");
    init.terminate();
    container.wait_until("the service ends", || node.has_ended() && init.has_ended());
}

/// Each service of the sample hears through its init that it is to end, and does.
#[test]
fn every_service_of_the_sample_ends_when_it_is_told_to() {
    if !program::are_installed(&["dumb-init", "jq", "ldd", "runc", "umoci", "which"]) {
        return;
    }
    let (Some(sample), Some(base), Some(key)) = (sample::workspace(), sample::runnable_base(), Key::new(KEY)) else {
        return;
    };
    let place = TestWorkspace::new(&[]);
    let workspace = place.beside("sample");
    tree::copy(&sample, &workspace, false);
    let own = fs::read_to_string(workspace.join("pirogue.toml")).unwrap();
    let settings = format!("init = \"dumb-init\"\nbase.repositories = [\"apks\"]\nbase.keys = [\"{KEY}\"]\n{own}");
    fs::write(workspace.join("pirogue.toml"), settings).unwrap();
    fs::write(workspace.join(KEY), key.public()).unwrap();
    write_repository(&workspace.join("apks"), &of_this_machine("dumb-init"), &key);
    let images = place.beside("images");
    let build = Build::of(&workspace, &place.beside("cache")).base(&base).with("--platform", "linux/amd64");
    build.into_layout(&images).run();
    assert!(layout::validate(&images).keys().eq(SERVICES));
    let images = images.to_str().unwrap();
    thread::scope(|scope| {
        for service in SERVICES {
            scope.spawn(move || {
                let mut container = Container::start("run-image", &[images, service]);
                assert_eq!(container.get("/health").0, 200, "{service}");
                let node = container.process();
                let init = node.parent();
                assert_eq!(init.words()[..2], ["/usr/bin/dumb-init", "--"], "{service}");
                assert_eq!(init.numbers().1, 1, "{service}: it is the first process of the container");
                let told = Instant::now();
                init.terminate();
                container.wait_until("the service ends", || node.has_ended() && init.has_ended());
                let passed = told.elapsed();
                assert!(passed < GRACE, "{service} ended {} ms after SIGTERM", passed.as_millis());
            });
        }
    });
}
