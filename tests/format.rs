//! Images in Docker's format, and what it is for: health checks that podman runs.

mod harness;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use harness::build::{Build, Report};
use harness::container::free_port;
use harness::one_service::{MAIN, workspace};
use harness::podman::Podman;
use harness::registry::Registry;
use harness::workspace::TestWorkspace;
use harness::{layout, program, sample};
use insta::assert_snapshot;
use serde_json::{Value, json};

const HEALTH: &str = "[service.web]\nport = 8080\nhealth = { path = \"/health\", start-period = 0, retries = 1 }\n";

/// A service that is well until somebody makes it sick.
fn shop() -> TestWorkspace {
    let main = r#"
        const fs = require("fs");
        const status = request => request.url === "/health" && !fs.existsSync("/tmp/sick") ? 200 : 503;
        require("http").createServer((request, answer) => answer.writeHead(status(request)).end()).listen(process.env.PORT);
        "#;
    workspace().and(&[(MAIN, main), ("pirogue.toml", HEALTH)])
}

fn build(workspace: &TestWorkspace, base: &str, to: &str) -> Build {
    let build = Build::of(&workspace.root(), &workspace.beside("cache"));
    build.base(base).to(to).with("--platform", "linux/amd64")
}

/// Pushes in Docker's format.
fn push(workspace: &TestWorkspace, base: &str, registry: &Registry) -> Report {
    build(workspace, base, &format!("{}/shop", registry.host())).with("--format", "docker").run()
}

fn skopeo(arguments: &[&str]) -> Value {
    let said = program::run(Command::new("skopeo").args(arguments));
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// What a pirogue says that builds on the small base.
fn told(workspace: &TestWorkspace, more: &[&str]) -> String {
    let run = workspace.run(&[&["build", "--platform", "linux/amd64", "--base", sample::SMALL_BASE], more].concat());
    let lines = run.stderr.lines().filter(|line| line.contains(": "));
    lines.collect::<Vec<_>>().join("\n")
}

#[test]
fn a_registry_takes_them_and_other_tools_read_them() {
    if !program::are_installed(&["skopeo"]) {
        return;
    }
    let Some(registry) = Registry::start() else { return };
    let shop = shop();
    let first = push(&shop, sample::SMALL_BASE, &registry);
    assert!(first.sent_bytes() > 0);
    let image = format!("docker://{}/shop/web:latest", registry.host());
    let manifest = skopeo(&["inspect", "--tls-verify=false", "--raw", &image]);
    assert_eq!(manifest["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(manifest["config"]["mediaType"], "application/vnd.docker.container.image.v1+json");
    let layers = manifest["layers"].as_array().expect("an image has layers");
    assert!(layers.len() > 2, "the base's and our own: {manifest}");
    for layer in layers {
        assert_eq!(layer["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    }
    let inspected = skopeo(&["inspect", "--tls-verify=false", &image]);
    assert_eq!(Value::from(first.digests()["web"].clone()), inspected["Digest"]);

    let copy = shop.beside("copy");
    let from = format!("{}/shop/web:latest", registry.host());
    let run = shop.run(&["copy", &from, &format!("oci:{}:web", copy.display())]);
    assert_eq!(run.code, Some(0), "{run}");
    let images = layout::validate(&copy);
    assert_eq!(images["web"].digest, first.digests()["web"]);
    let health = &images["web"].config["config"]["Healthcheck"];
    assert_eq!((&health["Test"][0], &health["Test"][1]), (&json!("CMD"), &json!("node")), "{health}");
    assert_eq!((&health["Interval"], &health["Retries"]), (&json!(30_000_000_000_u64), &json!(1)));

    let second = push(&shop, sample::SMALL_BASE, &registry);
    assert_eq!(second.sent_bytes(), 0, "the tag names it already");
    assert_eq!(second.digests(), first.digests());
}

/// The bytes of layers are the same in both formats, so the registry has them all once it has one.
#[test]
fn both_formats_share_their_layers() {
    let Some(registry) = Registry::start() else { return };
    let shop = shop();
    let oci = build(&shop, sample::SMALL_BASE, &format!("{}/shop", registry.host())).run();
    let docker = push(&shop, sample::SMALL_BASE, &registry);
    assert_ne!(oci.digests(), docker.digests());
    assert_eq!(docker.sent_bytes(), 0, "the config has the same bytes too");
}

#[test]
fn layers_of_the_base_are_mounted() {
    let Some(registry) = Registry::start() else { return };
    let shop = shop();
    let base = format!("{}/base/node:20", registry.host());
    let run = shop.run(&["copy", sample::SMALL_BASE, &base]);
    assert_eq!(run.code, Some(0), "{run}");
    let sent = |base: &str, to: &str| {
        let build = build(&shop, base, &format!("{}/{to}", registry.host())).with("--format", "docker");
        build.run().sent_bytes()
    };
    let (whole, own) = (sent(sample::SMALL_BASE, "whole"), sent(&base, "own"));
    assert!(own > 0 && own < whole, "{own} of {whole}");
}

#[test]
fn podman_finds_a_service_healthy_and_unhealthy() {
    let Some((podman, base)) = Podman::new().zip(sample::runnable_base()) else { return };
    let Some(registry) = Registry::start() else { return };
    push(&shop(), &base, &registry);
    let image = format!("{}/shop/web:latest", registry.host());
    let health = Health::start(&podman, &["--tls-verify=false", &image]);
    assert_eq!(health.checked_until("healthy"), "healthy");
    podman.run(&["exec", "web", "touch", "/tmp/sick"]);
    assert_eq!(health.checked_until("unhealthy"), "unhealthy");
}

/// Of an archive that is an OCI layout too, podman reads the part that has health checks.
#[test]
fn podman_keeps_the_check_of_a_loaded_image() {
    let Some((podman, base)) = Podman::new().zip(sample::runnable_base()) else { return };
    let shop = shop();
    let archive = shop.beside("images.tar");
    build(&shop, &base, &format!("docker-archive:{}", archive.display())).with("--format", "docker").run();
    let loaded = podman.run(&["load", "--quiet", "--input", archive.to_str().expect("a plain name")]);
    let name = loaded.trim().rsplit(' ').next().expect("podman names it");
    let health = Health::start(&podman, &[name]);
    assert_eq!(health.checked_until("healthy"), "healthy");
    let unpacked = shop.beside("unpacked");
    fs::create_dir(&unpacked).expect("a directory can be made");
    unpack(&archive, &unpacked);
    assert!(!layout::validate(&unpacked).is_empty());
}

fn unpack(archive: &Path, to: &Path) {
    let file = fs::File::open(archive).expect("the archive is there");
    tar::Archive::new(file).unpack(to).expect("the archive is a tar");
    fs::remove_file(to.join("manifest.json")).expect("it is in Docker's form");
}

/// A container `web` whose health podman looks at when it is told to: by itself it would need systemd.
struct Health<'p>(&'p Podman);

impl<'p> Health<'p> {
    fn start(podman: &'p Podman, image: &[&str]) -> Self {
        let port = format!("PORT={}", free_port());
        podman.run(&[&["run", "--detach", "--name", "web", "--env", &port], image].concat());
        Self(podman)
    }

    /// Has the health checked until it is as expected, or for long enough. Gives what it is.
    fn checked_until(&self, expected: &str) -> String {
        let begin = Instant::now();
        loop {
            self.0.try_run(&["healthcheck", "run", "web"]);
            let status = self.0.run(&["inspect", "--format", "{{.State.Health.Status}}", "web"]).trim().to_owned();
            if status == expected || begin.elapsed() > Duration::from_secs(60) {
                return status;
            }
            thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Health<'_> {
    fn drop(&mut self) {
        self.0.try_run(&["rm", "--force", "--time", "0", "web"]);
    }
}

#[test]
fn what_the_format_cannot_do_is_refused() {
    let shop = workspace();
    assert_snapshot!(told(&shop, &["--format", "docker"]), @"
    error: an OCI layout holds no images in Docker's format, which readers of layouts do not take: `oci:[DIR]/workspace/images`
    hint: push to a registry, or use `--to docker-archive:FILE` or `--load`; or `--format oci`
    ");
    assert_snapshot!(told(&shop, &["--format", "docker", "--to", "oci-archive:a.tar"]), @"
    error: an OCI layout holds no images in Docker's format, which readers of layouts do not take: `oci-archive:a.tar`
    hint: push to a registry, or use `--to docker-archive:FILE` or `--load`; or `--format oci`
    ");
    let zstd = ["--format", "docker", "--to", "docker-archive:a.tar", "--compression", "zstd"];
    assert_snapshot!(told(&shop, &zstd), @"
    error: Docker's format has no layers compressed with zstd
    hint: `--compression gzip`, or `--format oci`
    ");
    let shop = shop.and(&[("pirogue.toml", "format = \"dokcer\"\n")]);
    assert_snapshot!(told(&shop, &[]), @"error: `format` is neither `oci` nor `docker`: `dokcer`: `pirogue.toml:1:1`");
}

/// Here it is the base that has them: an image that pirogue made, with another on top.
#[test]
fn layers_of_the_base_that_the_format_lacks_are_refused() {
    let shop = workspace();
    let base = shop.beside("base");
    let built =
        build(&shop, sample::SMALL_BASE, &format!("oci:{}", base.display())).with("--compression", "zstd").run();
    let base = format!("oci:{}:web", base.display());
    let archive = format!("docker-archive:{}", shop.beside("a.tar").display());
    let error = build(&shop, &base, &archive).with("--format", "docker").report().unwrap_err();
    let text = "Docker's format has no layers of the media type `application/vnd.oci.image.layer.v1.tar+zstd`";
    assert!(error.contains(text) && error.contains("hint: `--format oci`"), "{error}");
    let images = shop.beside("again");
    let again = build(&shop, &base, &format!("oci:{}", images.display())).run();
    assert_ne!(again.digests(), built.digests());
    assert_eq!(layout::validate(&images).len(), 1);
}

#[test]
fn the_oci_format_says_once_that_podman_drops_health_checks() {
    let shop = shop();
    assert_snapshot!(told(&shop, &[]), @"note: the OCI format does not define health checks: Docker runs them, podman drops them; `--format docker` keeps them, `--format oci` silences this");
    assert_eq!(told(&shop, &["--format", "oci"]), "", "chosen knowingly");
    assert_eq!(told(&workspace(), &[]), "", "no health check");
}
