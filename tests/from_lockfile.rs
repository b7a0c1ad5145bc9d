//! The sample's images from its lockfile alone: the same as from what is installed, and the same each time.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;

use harness::build::Build;
use harness::container::Container;
use harness::image_files::{FileKind, ImageFiles};
use harness::registry::Registry;
use harness::sample::{self, SERVICES, locked_build};
use harness::service::serves;
use harness::{layout, program, sha256, tarball_cache, tree};
use tempfile::TempDir;

/// Only this service needs it.
const BCRYPT: (&str, &str) = ("bcrypt", "admin-service");
/// And this one needs none of it.
const OTHER: &str = "analytics-service";

/// The files of a package: mode, and digest or target, by path.
type PackageFiles = BTreeMap<String, (u32, String)>;

/// The packages of an image, `NAME@VERSION`, each with what its copies hold, nested packages aside.
fn packages(files: &ImageFiles) -> BTreeMap<String, BTreeSet<PackageFiles>> {
    let mut found: BTreeMap<String, BTreeSet<PackageFiles>> = BTreeMap::new();
    for (dir, label) in files.packages() {
        let below = format!("{dir}/");
        let inside = files.range(&below).take_while(|(path, _)| path.starts_with(&below));
        let inside = inside.map(|(path, file)| (&path[below.len()..], file));
        let own = inside.filter(|(path, _)| *path != "node_modules" && !path.starts_with("node_modules/"));
        let copy = own.map(|(path, file)| {
            let content = match &file.kind {
                FileKind::Directory => "a directory".to_owned(),
                FileKind::File(bytes) => sha256(bytes),
                FileKind::Symlink(target) => target.clone(),
            };
            (path.to_owned(), (file.mode, content))
        });
        found.entry(label).or_default().insert(copy.collect());
    }
    found
}

#[test]
fn every_service_has_the_packages_that_an_installation_would_give_it() {
    let Some((installed, locked)) = sample::built().zip(sample::built_from_lockfile()) else { return };
    for service in SERVICES {
        let theirs = packages(&installed.images[service].files);
        let ours = packages(&locked.sample.images[service].files);
        assert!(theirs.len() > 100, "{service}: {}", theirs.len());
        let labels = |of: &BTreeMap<String, _>| of.keys().cloned().collect::<Vec<_>>();
        assert_eq!(labels(&ours), labels(&theirs), "{service}");
        for (label, copies) in &theirs {
            assert_eq!(&ours[label], copies, "{service}: {label}");
        }
    }
}

/// All but packages and the links in `.bin` is the same at the same place.
#[test]
fn what_is_no_package_is_the_same() {
    let Some((installed, locked)) = sample::built().zip(sample::built_from_lockfile()) else { return };
    let others = |files: &ImageFiles| {
        let others = files.iter().filter(|(path, _)| !path.split('/').any(|name| name == "node_modules"));
        others.map(|(path, file)| (path.to_owned(), file.clone())).collect::<BTreeMap<_, _>>()
    };
    for service in SERVICES {
        let (installed, locked) = (&installed.images[service], &locked.sample.images[service]);
        assert!(others(&locked.files) == others(&installed.files), "{service}");
        assert_eq!(locked.config["config"], installed.config["config"], "{service}");
        for (path, _) in locked.files.iter().filter(|(path, _)| path.starts_with("app/")) {
            if locked.files.link(path).is_none() {
                continue;
            }
            let end = locked.files.link_leads_to(path).unwrap_or_else(|| panic!("{service}: {path}"));
            assert!(locked.files.get(&end).is_some(), "{service}: {path} leads to {end}, where nothing is");
        }
    }
}

#[test]
fn all_services_serve() {
    if !program::are_installed(&["jq", "runc", "umoci"]) {
        return;
    }
    let Some((locked, base)) = sample::built_from_lockfile().zip(sample::runnable_base()) else { return };
    let folder = TempDir::new().unwrap();
    let layout = folder.path().join("layout");
    let cache = folder.path().join("cache");
    tree::copy(&locked.cache, &cache, true);
    let build = Build::of(&locked.workspace, &cache).base(&base).locked().option("--offline");
    build.into_layout(&layout).run();
    assert!(layout::validate(&layout).keys().eq(SERVICES));
    let layout = layout.to_str().unwrap();
    thread::scope(|scope| {
        for service in SERVICES {
            scope.spawn(move || serves(service, &mut Container::start("run-image", &[layout, service])));
        }
    });
}

/// One index for two processors: what the registry gives for each serves there.
#[test]
fn services_serve_on_both_platforms() {
    if !program::are_installed(&["jq", "qemu-aarch64-static", "runc", "skopeo", "umoci"]) {
        return;
    }
    let Some((locked, base)) = sample::built_from_lockfile().zip(sample::runnable_index()) else { return };
    let Some(registry) = Registry::start() else { return };
    let folder = TempDir::new().unwrap();
    let cache = folder.path().join("cache");
    tree::copy(&locked.cache, &cache, true);
    let build = Build::of(&locked.workspace, &cache).base(&base).locked().option("--offline");
    let build = build.with("--platform", "linux/arm64,linux/amd64").to(&format!("{}/wanzo", registry.host()));
    let report = build.run();
    let layouts = ["amd64", "arm64"].map(|architecture| {
        let layout = folder.path().join(architecture);
        for service in SERVICES {
            let from = format!("docker://{}/wanzo/{service}", registry.host());
            let options = ["--override-os", "linux", "--override-arch", architecture, "copy", "--quiet"];
            let to = format!("oci:{}:{service}", layout.display());
            program::run(Command::new("skopeo").args(options).arg("--src-tls-verify=false").args([from, to]));
        }
        for (service, image) in layout::validate(&layout) {
            assert_eq!(image.config["architecture"], architecture);
            assert!(report.platforms(&service).values().any(|digest| *digest == image.digest), "{service}");
        }
        layout
    });
    // An emulated processor is slow: a few services at a time.
    for layout in &layouts {
        for few in SERVICES.chunks(2) {
            thread::scope(|scope| {
                for service in few {
                    let layout = layout.to_str().unwrap();
                    scope.spawn(move || serves(service, &mut Container::start("run-image", &[layout, service])));
                }
            });
        }
    }
}

#[test]
fn a_second_run_asks_nobody_and_writes_nothing() {
    let Some(locked) = sample::built_from_lockfile() else { return };
    let folder = TempDir::new().unwrap();
    for layout in ["one", "another"].map(|name| folder.path().join(name)) {
        let build = locked_build(&locked.workspace, &locked.cache).option("--offline").into_layout(&layout);
        let report = build.run();
        assert_eq!(report.digests(), locked.sample.report.digests());
        assert_eq!(report.layers_written(), 0);
        assert!(layout::validate(&layout).keys().eq(SERVICES));
    }
}

#[test]
fn another_place_another_cache_and_one_thread_give_the_same() {
    let Some(locked) = sample::built_from_lockfile() else { return };
    let folder = TempDir::new().unwrap();
    let workspace = sample::uninstalled(&folder.path().join("deeper/elsewhere"));
    let layout = folder.path().join("layout");
    let build = locked_build(&workspace, &folder.path().join("cache")).with("--jobs", "1").into_layout(&layout);
    let Some(report) = build.run_if_packages_can_be_fetched() else { return };
    assert_eq!(report.digests(), locked.sample.report.digests());
    assert!(report.layers_written() > 0);
    assert!(layout::validate(&layout).keys().eq(SERVICES));
}

#[test]
fn a_service_alone_is_the_same_as_among_all() {
    let Some(locked) = sample::built_from_lockfile() else { return };
    let all = locked.sample.report.digests();
    let folder = TempDir::new().unwrap();
    for service in SERVICES {
        // The store of others may not matter: the tarballs only are those of all.
        let (cache, layout) = (folder.path().join(format!("{service}-cache")), folder.path().join(service));
        tree::copy(&locked.cache, &cache, true);
        let layers = fs::read_dir(cache.join("facts")).unwrap().flatten();
        for fact in layers.filter(|fact| fact.file_name().to_string_lossy().starts_with("layer")) {
            fs::remove_file(fact.path()).unwrap();
        }
        let build = locked_build(&locked.workspace, &cache).option("--offline").services(&[service]);
        let report = build.into_layout(&layout).run();
        assert!(report.layers_written() > 0, "{service}");
        assert_eq!(report.digests(), [(service.to_owned(), all[service].clone())].into(), "{service}");
        layout::validate(&layout);
    }
}

/// A tarball that the cache does not have whole is fetched by who needs it, and by nobody else.
#[test]
fn a_lost_or_damaged_tarball_is_fetched_again_when_it_is_needed() {
    let Some(locked) = sample::built_from_lockfile() else { return };
    let label = packages(&locked.sample.images[BCRYPT.1].files);
    let label = label.keys().find(|label| label.starts_with("bcrypt@")).expect("it has it");
    let integrity = tarball_cache::in_yarn_lock(&locked.workspace, label);
    let table: [(&str, fn(&Path)); 3] = [
        ("lost", |blob| fs::remove_file(blob).unwrap()),
        ("other bytes", |blob| replace(blob, |bytes| bytes[100] ^= 1)),
        ("cut", |blob| replace(blob, |bytes| bytes.truncate(bytes.len() / 2))),
    ];
    for (comment, harm) in table {
        let folder = TempDir::new().unwrap();
        let cache = folder.path().join("cache");
        tree::copy(&locked.cache, &cache, true);
        let blob = tarball_cache::blob(&cache, &integrity).expect("the cache has it");
        harm(&blob);
        let build = |name: &str| {
            let layout = folder.path().join(name);
            (locked_build(&locked.workspace, &cache).into_layout(&layout), layout)
        };

        let (again, layout) = build("again");
        let report = again.option("--offline").services(&[BCRYPT.1]).run();
        assert_eq!(report.layers_written(), 0, "{comment}: nothing has to be packed");
        layout::validate(&layout);

        let (other, layout) = build("other");
        let report = other.option("--offline").with("--compression", "zstd").services(&[OTHER]).run();
        assert!(report.layers_written() > 0, "{comment}: packed without it");
        layout::validate(&layout);

        let (offline, _) = build("offline");
        let said = offline.option("--offline").with("--compression", "zstd").report().unwrap_err();
        assert!(said.contains("a package was never fetched"), "{comment}: {said}");
        assert!(said.contains(&format!("`{label}`")), "{comment}: {said}");

        let (online, layout) = build("online");
        let online = online.with("--compression", "zstd").services(&[BCRYPT.1]);
        let Some(report) = online.run_if_packages_can_be_fetched() else { return };
        assert!(report.layers_written() > 0, "{comment}");
        let images = layout::validate(&layout);
        let ours = packages(&images[BCRYPT.1].files);
        assert_eq!(ours, packages(&locked.sample.images[BCRYPT.1].files), "{comment}");
        assert!(tarball_cache::blob(&cache, &integrity).is_some(), "{comment}: the cache has it again");
    }
}

/// Writes a file anew, so that what is linked to it stays as it is.
fn replace(path: &Path, change: impl Fn(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::remove_file(path).unwrap();
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_cache_may_be_swept_or_cleared_between_runs() {
    let Some(locked) = sample::built_from_lockfile() else { return };
    let table: [(&str, &[&str], bool); 3] = [
        ("swept, with all in use", &["gc"], true),
        ("swept to nothing", &["gc", "--max-size", "0"], false),
        ("cleared", &["clear"], false),
    ];
    for (comment, arguments, is_offline) in table {
        let folder = TempDir::new().unwrap();
        let (cache, layout) = (folder.path().join("cache"), folder.path().join("layout"));
        tree::copy(&locked.cache, &cache, true);
        let mut command = Command::new(env!("CARGO_BIN_EXE_pirogue"));
        program::run(command.arg("cache").args(arguments).env("PIROGUE_CACHE_DIR", &cache));
        let build = locked_build(&locked.workspace, &cache).services(&[OTHER]).into_layout(&layout);
        let build = if is_offline { build.option("--offline") } else { build };
        let Some(report) = build.run_if_packages_can_be_fetched() else { return };
        assert_eq!(report.digests()[OTHER], locked.sample.report.digests()[OTHER], "{comment}");
        layout::validate(&layout);
    }
}
