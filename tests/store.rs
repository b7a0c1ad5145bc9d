//! The cache under strain: several processes at once, processes that are killed, files larger than the memory.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use harness::build::Build;
use harness::workspace::{BASE, TestWorkspace};
use harness::{layout, sample, sha256};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

fn build(workspace: &Path, cache: &Path, layout: &Path) -> Build {
    Build::of(workspace, cache).base(sample::SMALL_BASE).with("--platform", "linux/amd64").into_layout(layout)
}

/// A service with a package that has no contents yet.
fn small_workspace() -> TestWorkspace {
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "root", "private": true, "workspaces": ["apps/*"]}"#),
        ("yarn.lock", "# yarn lockfile v1\n"),
        ("apps/one/package.json", r#"{"name": "one", "version": "1.0.0", "dependencies": {"big": "1"}}"#),
        ("apps/one/dist/main.js", "require('big')"),
        ("node_modules/big/package.json", r#"{"name": "big", "version": "1.0.0"}"#),
    ])
    .linked("node_modules/one", "../apps/one")
}

#[test]
fn builds_that_share_a_cache_at_the_same_time_do_not_disturb_each_other() {
    let Some(workspace) = sample::workspace() else { return };
    let services = ["admin-service", "customer-service"];
    let folder = TempDir::new().unwrap();
    let alone = build(&workspace, &folder.path().join("another-cache"), &folder.path().join("alone"));
    let expected = alone.services(&services).run().digests();
    thread::scope(|scope| {
        for number in 0..8 {
            let (workspace, folder, expected) = (&workspace, &folder, &expected);
            scope.spawn(move || {
                let layout = folder.path().join(format!("layout-{number}"));
                let digests =
                    build(workspace, &folder.path().join("cache"), &layout).services(&services).run().digests();
                assert_eq!(digests, *expected, "build {number}");
                let images = layout::validate(&layout).into_iter().map(|(name, image)| (name, image.digest));
                assert_eq!(images.collect::<BTreeMap<_, _>>(), *expected, "build {number}");
            });
        }
    });
    assert_sound(&folder.path().join("cache"));
    assert_eq!(fs::read_dir(folder.path().join("cache/tmp")).unwrap().count(), 0);
}

/// Asserts that every blob of a cache is what its name says, and that nothing speaks of a blob that is not there.
fn assert_sound(cache: &Path) {
    let names = |dir: &str| -> Vec<String> {
        let entries = fs::read_dir(cache.join(dir)).unwrap();
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
    };
    for blob in names("blobs/sha256") {
        assert_eq!(sha256(&fs::read(cache.join("blobs/sha256").join(&blob)).unwrap()), format!("sha256:{blob}"));
    }
    let has_blob = |hex: &str| cache.join("blobs/sha256").join(hex).exists();
    for table in names("pieces") {
        assert!(has_blob(&table), "pieces of a blob that is not there: {table}");
    }
    for fact in names("facts").iter().filter(|name| name.starts_with("layer-") && !name.starts_with("layer-listing")) {
        let bytes = fs::read(cache.join("facts").join(fact)).unwrap();
        let (bytes, digest) = bytes.split_last_chunk::<32>().unwrap();
        let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(sha256(bytes), format!("sha256:{digest}"), "a fact is damaged: {fact}");
        let layer: Value = serde_json::from_slice(bytes).unwrap();
        let digest = layer["descriptor"]["digest"].as_str().unwrap();
        assert!(has_blob(digest.trim_start_matches("sha256:")), "a layer whose blob is not there: {digest}");
    }
}

/// Builds a small workspace into `layout`. With another time in the images, so that nothing is known of their layers.
fn start(workspace: &TestWorkspace, layout: &Path, epoch: u64) -> Child {
    let (to, base) = (format!("oci:{}", layout.display()), format!("oci:{BASE}"));
    let mut command: Command =
        workspace.pirogue(&["build", "--no-check", "--platform", "linux/amd64", "--base", &base, "--to", &to]);
    command.env("SOURCE_DATE_EPOCH", epoch.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn a_hundred_killed_builds_leave_a_sound_cache_and_sound_layouts() {
    let workspace = small_workspace().with_noise("node_modules/big/noise", 1_500_000);
    let (cache, layout) = (workspace.beside("cache"), workspace.beside("layout"));
    let expected = build(&workspace.root(), &workspace.beside("another-cache"), &workspace.beside("alone")).run();

    let mut random = fastrand::Rng::with_seed(7);
    let (mut killed, mut ended, mut longest) = (0, 0, Duration::from_millis(100));
    while killed < 100 {
        let mut child = start(&workspace, &layout, 1000 + killed + ended);
        let begin = Instant::now();
        let patience = longest.mul_f64(random.f64());
        while begin.elapsed() < patience && child.try_wait().unwrap().is_none() {
            thread::sleep(Duration::from_millis(1));
        }
        let _ = child.kill();
        let status = child.wait().unwrap();
        match status.signal() {
            Some(signal) => {
                assert_eq!(signal, Signal::KILL.as_raw(), "{status}");
                killed += 1;
                longest = longest.mul_f64(1.05); // until most of them come to their end
            }
            None => {
                assert!(status.success(), "{status}");
                ended += 1;
                longest = begin.elapsed();
            }
        }
        if layout.join("index.json").exists() {
            layout::validate(&layout);
        }
    }
    println!("{killed} killed, {ended} came to their end");
    assert_sound(&cache);
    let report = build(&workspace.root(), &cache, &layout).run();
    assert_eq!(report.digests(), expected.digests());
    assert_eq!(layout::validate(&layout)["one"].digest, expected.digests()["one"]);
    assert_sound(&cache);
}

#[test]
fn a_file_larger_than_the_memory_it_may_take_is_packed() {
    const SIZE: u64 = 3 << 30;
    const MOST: u64 = 128 << 20;
    if !Path::new("/proc/self/status").exists() {
        return harness::skip("there is no /proc to look at the memory of a process");
    }
    let workspace =
        small_workspace().with_noise("node_modules/big/noise", 1 << 20).with_zeros("node_modules/big/zeros", SIZE);
    let layout = workspace.beside("layout");
    let (to, base) = (format!("oci:{}", layout.display()), format!("oci:{BASE}"));
    // Compressing takes long where the compressor is built without optimisation, and no more memory.
    let options = [
        "build",
        "--no-check",
        "--platform",
        "linux/amd64",
        "--compression",
        "none",
        "--json",
        "--base",
        &base,
        "--to",
        &to,
    ];
    let begin = Instant::now();
    let mut child = workspace.pirogue(&options).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let mut peak = 0;
    let status = loop {
        peak = peak.max(peak_memory(child.id()));
        if let Some(status) = child.try_wait().unwrap() {
            break status;
        }
        thread::sleep(Duration::from_millis(2));
    };
    assert!(status.success(), "{status}");
    println!("at most {} MiB of memory, {:.1} s", peak >> 20, begin.elapsed().as_secs_f64());
    assert!(peak > 4 << 20 && peak <= MOST, "{peak} bytes");
    let layers = fs::read_dir(layout.join("blobs/sha256")).unwrap().map(|blob| blob.unwrap().metadata().unwrap().len());
    assert!(layers.max().unwrap() > SIZE);
}

/// The most memory that a process had so far, in bytes; 0 once it is gone.
fn peak_memory(process: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let peak =
        status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse::<u64>().ok());
    peak.unwrap_or_default() * 1024
}
