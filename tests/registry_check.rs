//! `pirogue registry check`: what is said of registries, and that they are left as they were.

mod harness;

use std::process::Command;
use std::sync::Mutex;

use harness::misbehaving::{Answer, Asked, Misbehaving};
use harness::program::run;
use harness::registry::Registry;
use harness::workspace::{BASE, Run, TestWorkspace};
use insta::assert_snapshot;
use serde_json::{Value, json};

fn check(host: &str, more: &[&str]) -> Run {
    let repository = format!("{host}/acme/api");
    let scratch = TestWorkspace::new(&[]);
    scratch.run(&[&["registry", "check", &repository], more].concat()).replaced(host, "[HOST]")
}

fn push_base(host: &str) {
    let scratch = TestWorkspace::new(&[]);
    let run = scratch.run(&["copy", &format!("oci:{BASE}:20-alpine"), &format!("{host}/acme/api:1")]);
    assert_eq!(run.code, Some(0), "{run}");
}

fn repositories(host: &str) -> Value {
    let catalog = run(Command::new("curl").args(["-s", &format!("http://{host}/v2/_catalog")]));
    serde_json::from_str::<Value>(&catalog).expect("a registry answers JSON")["repositories"].clone()
}

#[test]
fn a_registry_that_deletes() {
    let Some(registry) = Registry::start() else { return };
    push_base(registry.host());
    assert_snapshot!(check(registry.host(), &[]), @r"
    exit code: 0
    ----- stdout
    [HOST]/acme/api

    login          yes      over plain HTTP, without a login
                            -> credentials of docker and podman are used where it asks for them
    pull           yes      the repository has images
                            -> bases and images can be read from here
    push           yes      it opens uploads for this user
                            -> images can be pushed here
    single upload  yes      a blob arrived in one request
                            -> each blob goes in one request
    chunks         yes      two pieces arrived, and it told each time how far it was
                            -> large blobs go in pieces where a proxy wants it, and go on after a break
    cancel         yes      an upload that was opened is gone again
                            -> uploads that are given up are cancelled
    mount          yes      a blob that the registry has is taken from there
                            -> blobs that another repository here has are not sent again
    zstd           yes      an image with such a layer arrived
                            -> `--compression zstd` can be used
    referrers      no       it keeps no such lists
                            -> signatures and SBOMs are listed under the tag `sha256-HEX` instead
    delete         yes      what was pushed is gone again
                            -> nothing: pirogue deletes only what this check pushed
    limits                  a body of 5 MiB is taken, no larger one was tried
                            -> smaller pieces after a refusal for size, fewer requests when told to wait

    This user may push here.
    Nothing was left behind.
    ");
    assert_eq!(repositories(registry.host()), json!(["acme/api"]));
    let tags = run(Command::new("curl").args(["-s", &format!("http://{}/v2/acme/api/tags/list", registry.host())]));
    assert_eq!(tags.trim(), r#"{"name":"acme/api","tags":["1"]}"#);
}

#[test]
fn a_registry_that_deletes_nothing() {
    let Some(registry) = Registry::start_without_deletes() else { return };
    assert_snapshot!(check(registry.host(), &[]), @r"
    exit code: 0
    ----- stdout
    [HOST]/acme/api

    login          yes      over plain HTTP, without a login
                            -> credentials of docker and podman are used where it asks for them
    pull           yes      there is no such repository, or nothing in it yet
                            -> bases and images can be read from here
    push           yes      it opens uploads for this user
                            -> images can be pushed here
    single upload  unknown  not tried: what is pushed could not be deleted again
                            -> each blob goes in one request
    chunks         yes      two pieces arrived, and it told each time how far it was
                            -> large blobs go in pieces where a proxy wants it, and go on after a break
    cancel         yes      an upload that was opened is gone again
                            -> uploads that are given up are cancelled
    mount          unknown  not tried: there is no blob to take
                            -> where a mount is refused, the blob is sent
    zstd           unknown  not tried: what is pushed could not be deleted again
                            -> images are compressed with gzip, unless `--compression zstd` is asked for
    referrers      no       it keeps no such lists
                            -> signatures and SBOMs are listed under the tag `sha256-HEX` instead
    delete         no       DELETE is answered by 405, UNSUPPORTED, The operation is unsupported.
                            -> nothing: pirogue deletes only what this check pushed
    limits                  a body of 5 MiB is taken, no larger one was tried
                            -> smaller pieces after a refusal for size, fewer requests when told to wait

    This user may push here.
    Nothing was left behind.
    ");
    assert_eq!(repositories(registry.host()), json!([]), "nothing was pushed");
    // With an image in it there is a blob that can be mounted to where it is.
    push_base(registry.host());
    let report: Value = serde_json::from_str(&check(registry.host(), &["--json"]).stdout).expect("the report is JSON");
    let mount = report["findings"].as_array().into_iter().flatten().find(|finding| finding["feature"] == "mount");
    assert_snapshot!(serde_json::to_string_pretty(&mount).expect("a report can be written"), @r#"
    {
      "feature": "mount",
      "works": "yes",
      "observed": "a blob that the registry has is taken from there",
      "pirogue": "blobs that another repository here has are not sent again"
    }
    "#);
    assert_eq!((&report["may_push"], &report["left_behind"]), (&json!(true), &json!([])));
}

#[test]
fn a_registry_that_lets_nobody_in() {
    let Some(registry) = Registry::start_with_htpasswd("user", "password") else { return };
    assert_snapshot!(check(registry.host(), &[]), @r"
    exit code: 1
    ----- stdout
    [HOST]/acme/api

    login          yes      over plain HTTP, by user and password, and there are no credentials here
                            -> credentials of docker and podman are used where it asks for them
    pull           no       GET is answered by 401, UNAUTHORIZED, authentication required
                            -> nothing can be read from here: log in, or ask for the right to pull
    push           no       POST is answered by 401, UNAUTHORIZED, authentication required
                            -> images cannot be pushed here: log in, ask for the right to push, or create the repository
    limits                  it tells of none
                            -> smaller pieces after a refusal for size, fewer requests when told to wait

    This user may not push here.
    Nothing was left behind.
    ----- stderr
    error: this user may not push to the repository: `[HOST]/acme/api`
    hint: what the registry says stands above
    ");
}

/// A registry that keeps what it was sent, however it is asked to delete it, and takes no zstd.
#[test]
fn a_registry_that_only_seems_to_delete() {
    let held: Mutex<Vec<String>> = Mutex::default();
    let registry = Misbehaving::start(move |asked: &Asked| {
        let mut held = held.lock().expect("no test thread panics here");
        let end = asked.target.rsplit(['/', '=']).next().unwrap_or_default().replace("%3A", ":");
        match (asked.method.as_str(), asked.target.as_str()) {
            ("GET", "/v2/") => Answer::new(200),
            ("POST", target) if target.contains("mount=") => {
                Answer::new(202).header("Location", "/v2/acme/api/blobs/uploads/2")
            }
            ("POST", _) => Answer::new(202).header("Location", "/v2/acme/api/blobs/uploads/1"),
            ("PATCH", _) => Answer::new(416),
            ("PUT", target) if target.contains("/manifests/") => match String::from_utf8_lossy(&asked.body)
                .contains("zstd")
            {
                true => Answer::new(400).body(r#"{"errors":[{"code":"MANIFEST_INVALID","message":"no such layers"}]}"#),
                false => Answer::new(201).header("Docker-Content-Digest", harness::sha256(&asked.body)),
            },
            ("PUT", _) => {
                held.push(end);
                Answer::new(201)
            }
            ("DELETE", target) if target.contains("/uploads/") => Answer::new(405),
            ("DELETE", _) if held.contains(&end) => Answer::new(405),
            _ => Answer::new(404),
        }
    });
    let said = check(&registry.host(), &[]);
    let digests: Vec<String> = registry
        .asked()
        .iter()
        .filter(|asked| asked.method == "PUT" && asked.target.contains("/uploads/"))
        .map(|asked| harness::sha256(&asked.body))
        .collect();
    let said =
        digests.iter().enumerate().fold(said, |said, (at, digest)| said.replaced(digest, &format!("[BLOB {at}]")));
    assert_snapshot!(said, @r"
    exit code: 0
    ----- stdout
    [HOST]/acme/api

    login          yes      over plain HTTP, without a login
                            -> credentials of docker and podman are used where it asks for them
    pull           yes      there is no such repository, or nothing in it yet
                            -> bases and images can be read from here
    push           yes      it opens uploads for this user
                            -> images can be pushed here
    single upload  yes      a blob arrived in one request
                            -> each blob goes in one request
    chunks         no       piece 1 is refused: PATCH is answered by 416
                            -> blobs go whole, and begin again after a break
    cancel         no       DELETE is answered by 405
                            -> uploads that are given up are left for the registry to drop
    mount          no       it opens an upload instead (status 202)
                            -> where a mount is refused, the blob is sent
    zstd           no       PUT is answered by 400, MANIFEST_INVALID, no such layers
                            -> images are compressed with gzip, unless `--compression zstd` is asked for
    referrers      no       it keeps no such lists
                            -> signatures and SBOMs are listed under the tag `sha256-HEX` instead
    delete         no       blobs stay: DELETE is answered by 405
                            -> nothing: pirogue deletes only what this check pushed
    limits                  a PATCH of 5 MiB is refused (PATCH is answered by 416)
                            -> smaller pieces after a refusal for size, fewer requests when told to wait

    This user may push here.
    Left behind, since it could not be removed:
    - uploads that were begun, which registries drop by themselves after a while
    - the blob `[BLOB 0]` of some hundred bytes, for the registry to collect
    - the blob `[BLOB 1]` of some hundred bytes, for the registry to collect
    ");
}

#[test]
fn what_is_no_registry() {
    let page = Misbehaving::start(|_| Answer::new(404).header("Content-Type", "text/html").body("<html>"));
    assert_snapshot!(check(&page.host(), &[]), @r"
    exit code: 1
    ----- stderr
    error: the answer is not that of a registry (it answers with the status 404): `http://[HOST]/v2/`
    hint: check the host: a web page or a proxy may answer there
    ");
    let scratch = TestWorkspace::new(&[]);
    assert_snapshot!(scratch.run(&["registry", "check", "https://ghcr.io/acme/api"]), @r"
    exit code: 1
    ----- stderr
    error: an image reference has no scheme: `https://ghcr.io/acme/api`
    hint: leave out the scheme: `ghcr.io/acme/api`
    ");
}
