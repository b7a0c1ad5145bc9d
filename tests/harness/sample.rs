use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use super::build::{Build, Report};
use super::layout::{self, Image};
use super::scratch;
use super::tree::{self, Found};

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

/// Makes a copy of the sample in which nothing is installed.
pub fn uninstalled(to: &Path) -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-fixtures/wanzo");
    for (path, found) in tree::files(&workspace) {
        let copy = to.join(&path);
        fs::create_dir_all(copy.parent().expect("a file has a directory")).expect("a directory can be made");
        match found {
            // Members' `node_modules` lie deeper than the one that is passed over.
            _ if path.split('/').any(|name| name == "node_modules") => {}
            Found::File(file) => _ = fs::copy(file, copy).expect("a file can be copied"),
            Found::Symlink(target) => symlink(target, copy).expect("a link can be made"),
        }
    }
    to.to_owned()
}

/// A base that looks the same, and can be run; where there is none, the test is skipped.
pub fn runnable_base() -> Option<String> {
    static BASE: OnceLock<Option<String>> = OnceLock::new();
    built_base(&BASE, "PIROGUE_TEST_BASE", &[])
}

/// An index of two bases that can be run, for amd64 and arm64, with attestations; where there is none, the test is skipped.
pub fn runnable_index() -> Option<String> {
    static BASE: OnceLock<Option<String>> = OnceLock::new();
    built_base(&BASE, "PIROGUE_TEST_INDEX_BASE", &["--index"])
}

/// The layout that a variable names, else what `tests/base/build` makes.
fn built_base(base: &OnceLock<Option<String>>, variable: &str, options: &[&str]) -> Option<String> {
    let base = base.get_or_init(|| {
        if let Ok(base) = std::env::var(variable) {
            return Some(base);
        }
        let build = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/base/build");
        let output = Command::new(build).args(options).stderr(Stdio::inherit()).output().ok()?;
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

impl Sample {
    fn new(report: Report, layout: PathBuf) -> Self {
        let images = layout::validate(&layout);
        assert!(images.keys().eq(SERVICES), "{:?}", images.keys());
        Self { report, layout, images }
    }
}

/// The sample on the small base, built once in a test program and found valid.
pub fn built() -> Option<&'static Sample> {
    static SAMPLE: OnceLock<Option<Sample>> = OnceLock::new();
    let sample = SAMPLE.get_or_init(|| {
        let layout = scratch::folder().join("sample");
        let build = Build::of(&workspace()?, &scratch::folder().join("sample-cache"));
        let report = build.base(SMALL_BASE).with("--platform", "linux/amd64").into_layout(&layout).run();
        Some(Sample::new(report, layout))
    });
    if sample.is_none() {
        workspace(); // says why, once for each test
    }
    sample.as_ref()
}

/// The same as the README's quick start builds it: from the lockfile alone, with nothing installed.
pub fn built_from_lockfile() -> Option<&'static LockedSample> {
    static SAMPLE: OnceLock<Option<LockedSample>> = OnceLock::new();
    let sample = SAMPLE.get_or_init(|| {
        let cache = scratch::folder().join("locked-sample-cache");
        let workspace = uninstalled(&scratch::folder().join("locked-sample-workspace"));
        let layout = scratch::folder().join("locked-sample");
        let build = locked_build(&workspace, &cache).into_layout(&layout);
        Some(LockedSample { sample: Sample::new(build.run_if_packages_can_be_fetched()?, layout), workspace, cache })
    });
    if sample.is_none() {
        super::skip("the sample could not be built from its lockfile");
    }
    sample.as_ref()
}

/// A build of the sample from its lockfile, as it is shared.
pub fn locked_build(workspace: &Path, cache: &Path) -> Build {
    Build::of(workspace, cache).base(SMALL_BASE).with("--platform", "linux/amd64").locked()
}

/// The sample from the lockfile alone, with what it was built of.
pub struct LockedSample {
    pub sample: Sample,
    pub workspace: PathBuf,
    /// No test changes it.
    pub cache: PathBuf,
}
