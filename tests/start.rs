//! The images do what they are for: a registry takes them, other tools read them, and the services in them serve.

mod harness;

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use harness::build::{Build, Report};
use harness::container::Container;
use harness::registry::Registry;
use harness::sample::{self, SERVICES};
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

/// A service answers, as the user it should be; and what only some services do works too.
fn serves(service: &str, container: &mut Container) {
    let (status, body) = container.get("/health");
    assert_eq!(status, 200, "{service}: {body}");
    assert!(body.contains(r#""status":"ok""#) && body.contains(service), "{service}: {body}");
    let (status, body) = container.get("/metrics");
    assert_eq!(status, 200, "{service}: {body}");
    assert!(body.contains("# TYPE "), "{service}: {body}");

    let process = container.process();
    assert_eq!(process.ids(), (1001, 1001), "{service}");
    let inside = fs::metadata(process.path("app/apps").join(service)).unwrap();
    let working_dir = fs::metadata(process.working_dir()).unwrap();
    assert_eq!(
        (working_dir.dev(), working_dir.ino()),
        (inside.dev(), inside.ino()),
        "{service}: its working directory"
    );

    match service {
        "admin-service" => {
            // The password's hash was made by the native addon at the start; now it compares.
            let login = |password| format!(r#"{{"email": "awa@example.org", "password": "{password}"}}"#);
            let (status, body) = container.post("/auth/login", &login("wanzo"));
            assert!(status == 201 && body.contains("token"), "{status} {body}");
            let (status, body) = container.post("/auth/login", &login("wrong"));
            assert_eq!(status, 401, "{body}");
        }
        "gestion_commerciale_service" => {
            let log = process.working_dir().join("logs/gestion.log");
            assert!(fs::read_to_string(log).unwrap().contains("starting"), "the log is in ./logs");
        }
        _ => {}
    }
}
