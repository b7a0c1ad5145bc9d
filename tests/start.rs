//! The images do what they are for: a registry takes them, other tools read them, and the services in them serve.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use harness::build::{Build, Report};
use harness::container::Container;
use harness::registry::Registry;
use harness::sample::{self, SERVICES};
use harness::service::serves;
use harness::{layout, program, scratch};
use tempfile::TempDir;

/// What every test here needs: a workspace, a base that runs, a registry.
struct Start {
    workspace: PathBuf,
    base: String,
    registry: Registry,
}

impl Start {
    fn new() -> Option<Self> {
        Some(Self { workspace: sample::workspace()?, base: sample::runnable_base()?, registry: Registry::start()? })
    }

    /// Builds and pushes. All tests share a cache, so a layer is packed once.
    fn push(&self, services: &[&str]) -> Report {
        let build = Build::of(&self.workspace, &scratch::folder().join("cache"));
        build.base(&self.base).to(&format!("{}/wanzo", self.registry.host())).services(services).run()
    }

    fn image(&self, service: &str) -> String {
        format!("docker://{}/wanzo/{service}:latest", self.registry.host())
    }

    /// Fetches an image with skopeo, into a layout.
    fn pull(&self, service: &str, layout: &Path) {
        let destination = format!("oci:{}:{service}", layout.display());
        let options = ["copy", "--quiet", "--src-tls-verify=false"];
        program::run(Command::new("skopeo").args(options).arg(self.image(service)).arg(destination));
    }
}

#[test]
fn all_services_serve_from_what_the_registry_gives_back() {
    if !program::are_installed(&["jq", "runc", "skopeo", "umoci"]) {
        return;
    }
    let Some(start) = Start::new() else { return };
    let report = start.push(&[]);
    let folder = TempDir::new().unwrap();
    let layout = folder.path().join("pulled");
    for service in SERVICES {
        start.pull(service, &layout);
    }
    let images = layout::validate(&layout);
    let pulled = images.iter().map(|(name, image)| (name.clone(), image.digest.clone()));
    assert_eq!(pulled.collect::<Vec<_>>(), report.digests().into_iter().collect::<Vec<_>>());
    drop(images); // and with them all the files

    let layout = layout.to_str().unwrap();
    thread::scope(|scope| {
        for service in SERVICES {
            scope.spawn(move || serves(service, &mut Container::start("run-image", &[layout, service])));
        }
    });
}

#[test]
fn podman_runs_them_straight_from_the_registry() {
    if !program::are_installed(&["podman", "runc"]) {
        return;
    }
    let Some(start) = Start::new() else { return };
    let services = ["accounting-service", "gestion_commerciale_service"];
    start.push(&services);
    let start = &start;
    thread::scope(|scope| {
        for service in services {
            scope.spawn(move || serves(service, &mut Container::start("podman-run", &[&start.image(service)])));
        }
    });
}

#[test]
fn a_second_push_sends_nothing() {
    let Some(start) = Start::new() else { return };
    let first = start.push(&[]);
    assert!(first.sent_bytes() > 0);
    let second = start.push(&[]);
    assert_eq!(second.sent_bytes(), 0);
    assert_eq!(second.digests(), first.digests());
}

/// What one registry has, no service sends again: neither the base nor a layer that services share.
#[test]
fn a_blob_is_sent_once_for_all_services() {
    let Some(start) = Start::new() else { return };
    let folder = TempDir::new().unwrap();
    let layout = folder.path().join("layout");
    let build = Build::of(&start.workspace, &scratch::folder().join("cache")).base(&start.base);
    build.into_layout(&layout).run();
    let images = layout::validate(&layout);
    let blobs = fs::read_dir(layout.join("blobs/sha256")).unwrap().flatten();
    let all: u64 = blobs.map(|blob| blob.metadata().unwrap().len()).sum();
    let manifests: u64 = images
        .values()
        .map(|image| fs::metadata(layout.join("blobs").join(image.digest.replace(':', "/"))).unwrap().len())
        .sum();
    assert_eq!(start.push(&[]).sent_bytes(), all - manifests);
}
