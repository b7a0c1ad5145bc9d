use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::build::{Build, Report};
use super::layout::{self, Image};
use super::scratch;

/// The services of the sample.
pub const SERVICES: [&str; 7] = [
    "accounting-service",
    "admin-service",
    "analytics-service",
    "api-gateway",
    "customer-service",
    "gestion_commerciale_service",
    "portfolio-institution-service",
];

/// A base that looks like node:20-alpine and has no program in it.
pub const SMALL_BASE: &str = concat!("oci:", env!("CARGO_MANIFEST_DIR"), "/vendor-fixtures/base");

/// The sample workspace, installed and compiled; where it is not, the test is skipped.
pub fn workspace() -> Option<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-fixtures/wanzo");
    if !dir.join("node_modules/.yarn-integrity").exists() || !dir.join("apps/customer-service/dist").exists() {
        super::skip("the sample is not installed and compiled: run scripts/sample");
        return None;
    }
    Some(dir)
}

/// A base that looks the same, and can be run; where there is none, the test is skipped.
pub fn runnable_base() -> Option<String> {
    static BASE: OnceLock<Option<String>> = OnceLock::new();
    let base = BASE.get_or_init(|| {
        if let Ok(base) = std::env::var("PIROGUE_TEST_BASE") {
            return Some(base);
        }
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/base/build");
        let output = Command::new(build).stderr(Stdio::inherit()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim_end().to_owned())
    });
    if base.is_none() {
        super::skip("there is no base image that runs: see tests/base/build");
    }
    base.as_ref().map(|base| format!("oci:{base}"))
}

/// The images of all services.
pub struct Sample {
    pub report: Report,
    pub layout: PathBuf,
    /// By the name of the service.
    pub images: BTreeMap<String, Image>,
}

/// The sample as the README's quick start builds it: on the small base, from the lockfile, with nothing installed.
pub fn from_lockfile() -> Option<Report> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-fixtures/wanzo");
    let layout = scratch::folder().join("quickstart");
    let build = Build::of(&workspace, &scratch::folder().join("quickstart-cache")).base(SMALL_BASE);
    let build = build.with("--platform", "linux/amd64").with("--packages", "lockfile");
    let report = build.into_layout(&layout).run_if_packages_can_be_fetched()?;
    assert!(layout::validate(&layout).keys().eq(SERVICES));
    Some(report)
}

/// The sample on the small base, built once in a test program and found valid.
pub fn built() -> Option<&'static Sample> {
    static SAMPLE: OnceLock<Option<Sample>> = OnceLock::new();
    let sample = SAMPLE.get_or_init(|| {
        let workspace = workspace()?;
        let layout = scratch::folder().join("sample");
        let build = Build::of(&workspace, &scratch::folder().join("sample-cache"));
        let report = build.base(SMALL_BASE).with("--platform", "linux/amd64").into_layout(&layout).run();
        let images = layout::validate(&layout);
        assert!(images.keys().eq(SERVICES), "{:?}", images.keys());
        Some(Sample { report, layout, images })
    });
    if sample.is_none() {
        workspace(); // says why, once for each test
    }
    sample.as_ref()
}
