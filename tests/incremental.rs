//! What did not change is not read, not compressed and not written again; what changed is, however it is disguised.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, FileTimes};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, SystemTime};

use harness::build::{Build, Report};
use harness::layout::{self, Image};
use harness::registry::Registry;
use harness::workspace::TestWorkspace;
use harness::{program, sample, scratch, tree};
use tempfile::TempDir;

/// The labels of fragments that are no packages.
const NO_PACKAGES: [&str; 4] = ["directories", "package links", "user", "workspace links"];

fn build(workspace: &Path, cache: &Path, layout: &Path) -> Build {
    Build::of(workspace, cache).base(sample::SMALL_BASE).with("--platform", "linux/amd64").into_layout(layout)
}

/// The first build of the sample, found valid: its report, its images, and its cache, which nobody else uses.
struct First {
    report: Report,
    images: BTreeMap<String, Image>,
    cache: PathBuf,
}

fn first() -> Option<&'static First> {
    static FIRST: OnceLock<First> = OnceLock::new();
    let workspace = sample::workspace()?;
    Some(FIRST.get_or_init(|| {
        let (cache, layout) = (scratch::folder().join("first-cache"), scratch::folder().join("first"));
        let report = build(&workspace, &cache, &layout).run();
        First { report, images: layout::validate(&layout), cache }
    }))
}

/// A copy of the sample that may be changed, and of the cache after its first build.
struct Changed {
    folder: TempDir,
}

impl Changed {
    fn new() -> Option<Self> {
        let (workspace, first) = sample::workspace().zip(first())?;
        let folder = TempDir::new_in(scratch::folder()).unwrap();
        tree::copy(&workspace, &folder.path().join("workspace"), false);
        tree::copy(&first.cache, &folder.path().join("cache"), false);
        Some(Self { folder })
    }

    fn path(&self, path: &str) -> PathBuf {
        self.folder.path().join("workspace").join(path)
    }

    fn replace(&self, path: &str, from: &str, to: &str) {
        let text = fs::read_to_string(self.path(path)).unwrap();
        assert!(text.contains(from), "{path}: {text}");
        fs::write(self.path(path), text.replacen(from, to, 1)).unwrap();
    }

    /// Builds it, and gives the images too.
    fn build(&self) -> (Report, BTreeMap<String, Image>) {
        let layout = self.folder.path().join("layout");
        let report = build(&self.path(""), &self.folder.path().join("cache"), &layout).run();
        (report, layout::validate(&layout))
    }
}

/// The layers that the second build has and the first has not, as `ROLE: SERVICES`, and the other way round.
fn differing(first: &Report, second: &Report) -> (Vec<String>, Vec<String>) {
    let named = |a: &Report, b: &Report| {
        let other = b.layers();
        let layers = a.layers().into_iter().filter(|(digest, _)| !other.contains_key(digest));
        layers.map(|(_, layer)| format!("{}: {}", layer["role"], layer["services"])).collect()
    };
    (named(second, first), named(first, second))
}

#[test]
fn the_second_build_opens_no_file_of_a_package_and_writes_no_layer() {
    let Some(workspace) = sample::workspace() else { return };
    if !program::are_installed(&["strace"]) {
        return;
    }
    let folder = TempDir::new().unwrap();
    let watched = |name: &str| {
        let log = folder.path().join(name);
        let options = ["-f", "-qq", "-y", "-e", "trace=open,openat", "-o", log.to_str().unwrap()];
        let strace: Vec<&str> = std::iter::once("strace").chain(options).collect();
        let layout = folder.path().join("layout");
        let report = build(&workspace, &folder.path().join("cache"), &layout).through(&strace).run();
        let log = fs::read_to_string(log).unwrap();
        // A call that another thread interrupts stands on two lines, the first of which says it all.
        let calls = log.lines().filter(|line| !line.contains(" resumed>"));
        let opened = calls.filter(|line| line.contains("/node_modules") && !line.contains("O_DIRECTORY"));
        (report, opened.map(str::to_owned).collect::<Vec<_>>(), layout::validate(&layout))
    };
    let (first, opened, _) = watched("first");
    assert!(opened.len() > 5000, "this way of counting finds what is opened: {}", opened.len());
    assert!(first.layers_written() > 7 && first.fragments_compressed().len() > 200);

    let (second, opened, images) = watched("second");
    assert!(opened.is_empty(), "{}: {:?}", opened.len(), &opened[..opened.len().min(9)]);
    assert_eq!((second.layers_written(), second.fragments_compressed()), (0, vec![]));
    assert_eq!(second.digests(), first.digests());
    assert!(images.into_iter().map(|(name, image)| (name, image.digest)).eq(first.digests()));
}

#[test]
fn a_changed_file_of_a_service_changes_the_layer_of_that_service_alone() {
    let Some((changed, first)) = Changed::new().zip(first()) else { return };
    let main = entry_point(&first.report);
    let text = format!("{}\n// changed\n", fs::read_to_string(changed.path(&main)).unwrap());
    fs::write(changed.path(&main), &text).unwrap();

    let (report, images) = changed.build();
    assert_eq!(report.layers_written(), 1);
    assert_eq!(report.fragments_compressed(), ["apps/customer-service"]);
    let expected = [r#""application": ["customer-service"]"#.to_owned()];
    assert_eq!(differing(&first.report, &report), (expected.to_vec(), expected.to_vec()));
    assert!(images["customer-service"].files.bytes(&format!("app/{main}")).unwrap() == text.as_bytes());
    let differ = |(name, digest): &(&String, &String)| first.report.digests()[*name] != **digest;
    let digests = report.digests();
    assert_eq!(digests.iter().filter(differ).map(|(name, _)| name).collect::<Vec<_>>(), ["customer-service"]);
}

/// Where customer-service begins, relative to the workspace.
fn entry_point(report: &Report) -> String {
    let command = report.image("customer-service")["command"].as_array().unwrap();
    format!("apps/customer-service/{}", command.last().unwrap().as_str().unwrap())
}

#[test]
fn a_new_version_of_a_package_is_compressed_alone_and_changes_one_layer() {
    let Some((changed, first)) = Changed::new().zip(first()) else { return };
    changed.replace("node_modules/pg/package.json", "\"version\": \"8.", "\"version\": \"8.99");
    changed.replace("node_modules/pg/lib/index.js", "'use strict'", "'use strict'\n// a new version");
    fs::write(changed.path("node_modules/pg/lib/new.js"), "module.exports = 1\n").unwrap();

    let (report, images) = changed.build();
    let compressed = report.fragments_compressed();
    assert_eq!(compressed.len(), 1, "{compressed:?}");
    assert!(compressed[0].starts_with("pg@8.99"), "{compressed:?}");
    assert_eq!(report.layers_written(), 1);
    let (new, old) = differing(&first.report, &report);
    assert_eq!((new.len(), &new), (1, &old));
    for (name, image) in &images {
        let has_it = first.images[name].files.get("app/node_modules/pg").is_some();
        assert_eq!(image.files.bytes("app/node_modules/pg/lib/new.js").is_some(), has_it, "{name}");
        assert_eq!(image.digest != first.images[name].digest, has_it, "{name}");
    }
}

#[test]
fn services_built_one_after_another_compress_only_what_is_theirs() {
    let Some((workspace, first)) = sample::workspace().zip(first()) else { return };
    let folder = TempDir::new().unwrap();
    let (cache, layout) = (folder.path().join("cache"), folder.path().join("layout"));
    let mut packed: BTreeSet<(String, String)> = BTreeSet::new();
    for service in sample::SERVICES {
        let report = build(&workspace, &cache, &layout).services(&[service]).run();
        assert_eq!(report.digests()[service], first.report.digests()[service]);
        let packages = first.images[service].files.packages();
        let new: BTreeSet<String> = packages
            .iter()
            .filter(|(dir, label)| packed.insert((dir.to_string(), label.to_string())))
            .map(|(_, label)| label.clone())
            .collect();
        let compressed = report.fragments_compressed().into_iter();
        let compressed = compressed.filter(|label| !NO_PACKAGES.contains(&label.as_str()) && label.contains('@'));
        let compressed: BTreeSet<String> = compressed.filter(|label| !label.starts_with("packages/")).collect();
        let in_vain: Vec<&String> = compressed.difference(&new).collect();
        assert!(in_vain.is_empty(), "{service}: {in_vain:?}");
        let apps: Vec<String> =
            report.fragments_compressed().into_iter().filter(|label| label.starts_with("apps/")).collect();
        assert_eq!(apps, [format!("apps/{service}")]);
        println!("{service}: {} of {} packages compressed", compressed.len(), packages.len());
    }
    let images = layout::validate(&layout);
    assert!(images.into_iter().map(|(name, image)| (name, image.digest)).eq(first.report.digests()));
}

#[test]
fn a_service_built_alone_is_the_one_that_is_built_with_all() {
    let Some((workspace, first)) = sample::workspace().zip(first()) else { return };
    for service in sample::SERVICES {
        let folder = TempDir::new().unwrap();
        let layout = folder.path().join("layout");
        let report = build(&workspace, &folder.path().join("cache"), &layout).services(&[service]).run();
        assert_eq!(report.digests(), BTreeMap::from([(service.to_owned(), first.report.digests()[service].clone())]));
        assert_eq!(layout::validate(&layout)[service].digest, first.report.digests()[service]);
    }
}

/// A service with a package of several pieces.
fn small_workspace() -> TestWorkspace {
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "root", "private": true, "workspaces": ["apps/*"]}"#),
        ("yarn.lock", "# yarn lockfile v1\n"),
        ("apps/one/package.json", r#"{"name": "one", "version": "1.0.0", "dependencies": {"big": "1", "few": "1"}}"#),
        ("apps/one/dist/main.js", "require('big')"),
        ("node_modules/big/package.json", r#"{"name": "big", "version": "1.0.0"}"#),
        ("node_modules/few/package.json", r#"{"name": "few", "version": "1.0.0"}"#),
        ("node_modules/few/index.js", "module.exports = 'before'"),
    ])
    .linked("node_modules/one", "../apps/one")
    .with_noise("node_modules/big/noise", 1_200_000)
}

/// Waits until every file is so old that a build remembers it.
fn until_old(root: &Path) {
    let newest = |dir: &Path| tree::files(dir).into_keys().map(|path| changed_at(&dir.join(path))).max();
    let newest = ["apps/one", "node_modules/big", "node_modules/few"].iter().filter_map(|dir| newest(&root.join(dir)));
    let old = newest.max().unwrap() + Duration::from_millis(2100);
    while SystemTime::now() < old {
        thread::sleep(Duration::from_millis(20));
    }
}

fn changed_at(path: &Path) -> SystemTime {
    let metadata = fs::symlink_metadata(path).unwrap();
    let nanoseconds = u32::try_from(metadata.ctime_nsec()).unwrap();
    SystemTime::UNIX_EPOCH + Duration::new(u64::try_from(metadata.ctime()).unwrap(), nanoseconds)
}

#[test]
fn a_change_that_keeps_size_and_time_is_noticed() {
    let workspace = small_workspace();
    let file = workspace.root().join("node_modules/few/index.js");
    let (cache, layout) = (workspace.beside("cache"), workspace.beside("layout"));
    until_old(&workspace.root());
    build(&workspace.root(), &cache, &layout).run();
    let again = build(&workspace.root(), &cache, &layout).run();
    assert_eq!(again.layers_written(), 0);

    let before = fs::metadata(&file).unwrap();
    fs::write(&file, "module.exports = 'AFTER!'").unwrap();
    File::options().write(true).open(&file).unwrap().set_times(times_of(&before)).unwrap();
    let after = fs::metadata(&file).unwrap();
    assert_eq!((after.len(), after.modified().unwrap()), (before.len(), before.modified().unwrap()));

    let report = build(&workspace.root(), &cache, &layout).run();
    assert_eq!(report.fragments_compressed(), ["few@1.0.0"]);
    let images = layout::validate(&layout);
    let bytes = images["one"].files.bytes("app/node_modules/few/index.js").unwrap();
    assert!(&bytes[..] == b"module.exports = 'AFTER!'");
}

fn times_of(metadata: &fs::Metadata) -> FileTimes {
    FileTimes::new().set_modified(metadata.modified().unwrap()).set_accessed(metadata.accessed().unwrap())
}

/// Damages every blob of a cache.
fn damage(cache: &Path, damage: impl Fn(&File, u64)) {
    let mut count = 0;
    for blob in fs::read_dir(cache.join("blobs/sha256")).unwrap() {
        let file = File::options().read(true).write(true).open(blob.unwrap().path()).unwrap();
        damage(&file, file.metadata().unwrap().len());
        count += 1;
    }
    assert!(count > 5, "{count}");
}

fn flip(file: &File, at: u64) {
    let mut byte = [0];
    file.read_exact_at(&mut byte, at).unwrap();
    file.write_all_at(&[byte[0] ^ 0x10], at).unwrap();
}

#[test]
fn what_is_damaged_in_the_cache_reaches_no_image() {
    let table: [(&str, fn(&File, u64)); 6] = [
        ("flipped in the middle", |file, size| flip(file, size / 2)),
        ("flipped in the header", |file, size| flip(file, size.min(6) - 1)),
        ("flipped at the end", |file, size| flip(file, size - 1)),
        ("zeros at the end", |file, size| file.write_all_at(&vec![0; (size / 2) as usize], size - size / 2).unwrap()),
        ("truncated", |file, size| file.set_len(size / 2).unwrap()),
        ("empty", |file, _| file.set_len(0).unwrap()),
    ];
    for compression in ["gzip", "zstd", "none"] {
        let workspace = small_workspace();
        let (cache, layout) = (workspace.beside("cache"), workspace.beside("layout"));
        let build = || build(&workspace.root(), &cache, &layout).with("--compression", compression).run();
        let first = build();
        for (comment, harm) in table {
            for forget_layers in [false, true] {
                let comment = format!("{compression}, {comment}, layers forgotten: {forget_layers}");
                fs::remove_dir_all(&layout).unwrap();
                damage(&cache, harm);
                if forget_layers {
                    // Then layers are put together from the pieces of damaged blobs.
                    let facts = fs::read_dir(cache.join("facts")).unwrap().map(|fact| fact.unwrap().path());
                    let layers = facts.filter(|fact| fact.file_name().unwrap().to_str().unwrap().starts_with("layer-"));
                    layers.for_each(|layer| fs::remove_file(layer).unwrap());
                }
                let report = build();
                assert_eq!(report.digests(), first.digests(), "{comment}");
                assert_eq!(report.layers_written(), 3, "{comment}");
                assert_eq!(layout::validate(&layout)["one"].digest, first.digests()["one"], "{comment}");
            }
        }
    }
}

#[test]
fn what_a_registry_has_is_neither_made_again_nor_read() {
    let (Some(registry), Some(another)) = (Registry::start(), Registry::start()) else { return };
    let workspace = small_workspace();
    let cache = workspace.beside("cache");
    let push = |registry: &Registry, tag: &str| {
        let build = Build::of(&workspace.root(), &cache).base(sample::SMALL_BASE).with("--platform", "linux/amd64");
        build.to(&format!("{}/shop", registry.host())).with("--tag", tag).run()
    };
    let first = push(&registry, "first");
    assert_eq!(first.layers_written(), 3);
    let remove_blobs = || {
        for blob in fs::read_dir(cache.join("blobs/sha256")).unwrap() {
            fs::remove_file(blob.unwrap().path()).unwrap();
        }
    };
    let losses: [(&str, &dyn Fn()); 2] =
        [("damaged", &|| damage(&cache, |file, _| flip(file, 9))), ("gone", &remove_blobs)];
    for (loss, lose) in losses {
        lose();
        let again = push(&registry, loss);
        assert_eq!(again.digests(), first.digests(), "{loss}");
        assert_eq!((again.layers_written(), again.sent_bytes()), (0, 0), "{loss}");
        assert_eq!(again.fragments_compressed(), [""; 0], "{loss}");
    }
    let elsewhere = push(&another, "first");
    assert_eq!(elsewhere.digests(), first.digests(), "what the other lacks is made again");
    assert_eq!(elsewhere.layers_written(), 3);
}
