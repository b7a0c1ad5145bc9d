//! What images share: every package lies in one layer of the images that need it and in no other image, and the bytes of
//! all layers are hardly more than those of each package once.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use harness::build::{Build, Report};
use harness::image_files::{FileKind, ImageFile, ImageFiles};
use harness::layer::{EntryKind, Layer};
use harness::layout::{self, Image};
use harness::{program, sample, scratch, sha256, tree};
use serde_json::Value;

/// One build of a workspace, found valid.
struct Built {
    report: Report,
    layout: PathBuf,
    images: BTreeMap<String, Image>,
}

impl Built {
    fn of(workspace: &Path, name: &str, options: &[(&str, &str)]) -> Self {
        let layout = scratch::folder().join(name);
        let build = Build::of(workspace, &scratch::folder().join(format!("{name}-cache")));
        let build = options.iter().fold(build, |build, (option, value)| build.with(option, value));
        let build = build.base(sample::SMALL_BASE).with("--platform", "linux/amd64");
        let report = build.into_layout(&layout).run();
        let images = layout::validate(&layout);
        assert!(images.keys().eq(sample::SERVICES), "{:?}", images.keys());
        Self { report, layout, images }
    }

    /// The layers above the base, by their digests.
    fn layers(&self) -> BTreeMap<&str, Layer> {
        let layers = self.report.layers().into_keys();
        layers.map(|digest| (digest, read_layer(&self.layout, digest))).collect()
    }

    /// The diff IDs of an image, the base's too.
    fn diff_ids(&self, service: &str) -> &Value {
        &self.images[service].config["rootfs"]["diff_ids"]
    }
}

fn read_layer(layout: &Path, digest: &str) -> Layer {
    let blob = fs::read(layout.join("blobs/sha256").join(digest.trim_start_matches("sha256:"))).unwrap();
    Layer::read("application/vnd.oci.image.layer.v1.tar+gzip", &blob)
}

/// A copy of the sample. Nothing in it is changed.
fn copy() -> Option<&'static PathBuf> {
    static COPY: OnceLock<PathBuf> = OnceLock::new();
    let workspace = sample::workspace()?;
    Some(COPY.get_or_init(|| {
        let copy = scratch::folder().join("copy");
        tree::copy(&workspace, &copy, false);
        copy
    }))
}

/// A copy whose files are those of the other copy, but for pirogue.toml, which begins with `settings`.
fn linked_copy(name: &str, settings: &str) -> Option<PathBuf> {
    let linked = scratch::folder().join(name);
    tree::copy(copy()?, &linked, true);
    let toml = linked.join("pirogue.toml");
    let text = fs::read_to_string(&toml).unwrap();
    fs::remove_file(&toml).unwrap();
    fs::write(toml, format!("{settings}\n{text}")).unwrap();
    Some(linked)
}

/// The sample without hard links, built once.
fn unlinked() -> Option<&'static Built> {
    static BUILT: OnceLock<Option<Built>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let workspace = linked_copy("no-links", "hard-links = false")?;
        Some(Built::of(&workspace, "unlinked", &[]))
    });
    built.as_ref()
}

#[test]
fn no_image_has_a_package_that_its_service_does_not_need() {
    let Some(sample) = sample::built() else { return };
    let mut foreign = 0;
    for (name, image) in &sample.images {
        let packages = image.files.packages();
        // The closure is held against yarn's elsewhere; here the image is held against the closure.
        let closure = sample.report.image(name)["packages"].as_u64().unwrap();
        assert_eq!(packages.len() as u64, closure, "{name}: {:?}", packages.keys());
        let bytes = |(path, file): (&str, &ImageFile)| match &file.kind {
            FileKind::File(bytes) if path.contains("/node_modules/") => bytes.len() as u64,
            _ => 0,
        };
        let below_packages: u64 = image.files.range("app").map(bytes).sum();
        foreign += below_packages.abs_diff(sample.report.image(name)["package_bytes"].as_u64().unwrap());
    }
    assert_eq!(foreign, 0, "bytes in a node_modules that belong to no package of the closure");
}

#[test]
fn a_layer_of_packages_is_in_exactly_the_images_that_it_names() {
    let Some(sample) = sample::built() else { return };
    for (digest, layer) in sample.report.layers() {
        if layer["role"] != "packages" {
            continue;
        }
        let has_it = |name: &&str| {
            let layers = sample.report.image(name)["layers"].as_array().unwrap();
            layers.iter().any(|layer| layer["digest"] == digest)
        };
        let named: Vec<&str> = layer["services"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
        assert_eq!(sample::SERVICES.iter().copied().filter(has_it).collect::<Vec<_>>(), named, "{digest}");
    }
}

/// The installed packages of a layer: their directories, and `NAME@VERSION` with the name that package.json has.
fn packages(layer: &Layer) -> BTreeMap<String, String> {
    let mut files = ImageFiles::default();
    files.lay(layer);
    let label = |dir: &str| {
        let json: Value = serde_json::from_slice(files.bytes(&format!("{dir}/package.json")).unwrap()).unwrap();
        format!("{}@{}", json["name"].as_str().unwrap(), json["version"].as_str().unwrap())
    };
    files.packages().into_keys().map(|dir| (dir.to_owned(), label(dir))).collect()
}

#[test]
fn no_tar_and_no_package_is_stored_twice() {
    let Some(sample) = sample::built() else { return };
    let tars: BTreeSet<&str> =
        sample.report.layers().values().map(|layer| layer["diff_id"].as_str().unwrap()).collect();
    assert_eq!(tars.len(), sample.report.layers().len());
    for name in sample::SERVICES {
        let mut seen = BTreeSet::new();
        for layer in sample.report.image(name)["layers"].as_array().unwrap() {
            for (dir, label) in packages(&read_layer(&sample.layout, layer["digest"].as_str().unwrap())) {
                assert!(seen.insert(dir.clone()), "{name}: {label} in {dir} twice");
            }
        }
    }
}

/// A registry is to hold hardly more than every package once: three percent for directories, for the copies that
/// dissolved sets leave, and for starting the compressor anew in each piece.
#[test]
fn all_layers_of_packages_weigh_what_each_package_once_weighs() {
    let Some((sample, unlinked)) = sample::built().zip(unlinked()) else { return };
    let mut distinct: BTreeMap<String, usize> = BTreeMap::new();
    for image in sample.images.values() {
        for (dir, label) in image.files.packages() {
            let tar = tar_of(image, dir);
            let key = format!("{label} {}", sha256(&tar));
            distinct.entry(key).or_insert_with(|| gzip(&tar));
        }
    }
    let once: usize = distinct.values().sum();
    println!("{} packages, once each: {once} bytes", distinct.len());
    for (comment, report) in [("with hard links", &sample.report), ("without", &unlinked.report)] {
        let layers = report.layers().into_values().filter(|layer| layer["role"] == "packages");
        let stored: u64 = layers.map(|layer| layer["compressed_bytes"].as_u64().unwrap()).sum();
        let ratio = stored as f64 / once as f64;
        println!("all layers of packages, {comment}: {stored} bytes, {ratio:.4} of that");
        assert!(ratio <= 1.03, "{comment}: {stored} bytes stored for {once}");
    }
}

/// A package's own files in a tar, by their names in the package.
fn tar_of(image: &Image, dir: &str) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let nested = format!("{dir}/node_modules/");
    let below = format!("{dir}/");
    let inside = image.files.range(&below).take_while(|(path, _)| path.starts_with(&below));
    for (path, file) in inside.filter(|(path, _)| !path.starts_with(&nested)) {
        let mut header = tar::Header::new_ustar();
        header.set_mode(file.mode);
        let name = &path[dir.len() + 1..];
        match &file.kind {
            FileKind::File(bytes) => {
                header.set_size(bytes.len() as u64);
                tar.append_data(&mut header, name, &bytes[..]).unwrap();
            }
            FileKind::Directory => {
                header.set_entry_type(tar::EntryType::Directory);
                header.set_size(0);
                tar.append_data(&mut header, name, &[][..]).unwrap();
            }
            FileKind::Symlink(target) => {
                header.set_entry_type(tar::EntryType::Symlink);
                header.set_size(0);
                tar.append_link(&mut header, name, target).unwrap();
            }
        }
    }
    tar.into_inner().unwrap()
}

/// The size of what the same compressor makes of the bytes in one go.
fn gzip(bytes: &[u8]) -> usize {
    let mut compressor = libdeflater::Compressor::new(libdeflater::CompressionLvl::new(6).unwrap());
    let mut buffer = vec![0; compressor.gzip_compress_bound(bytes.len())];
    compressor.gzip_compress(bytes, &mut buffer).unwrap()
}

#[test]
fn an_image_has_no_more_layers_than_it_may() {
    let Some((sample, workspace)) = sample::built().zip(linked_copy("five-layers", "layers = 5")) else { return };
    let few = Built::of(&workspace, "five", &[]);
    for name in sample::SERVICES {
        let count = |report: &Report| report.image(name)["layers"].as_array().unwrap().len();
        let (many, few_layers) = (count(&sample.report), count(&few.report));
        println!("{name}: {many} layers, of at most 5: {few_layers}");
        assert!((4..=12).contains(&many) && (4..=5).contains(&few_layers), "{name}: {many}, {few_layers}");
        assert!(few.images[name].files.iter().eq(sample.images[name].files.iter()), "{name}: the same contents");
    }
}

/// The name of the package that a path lies in, as its package.json says: an alias has another directory.
fn package_of<'a>(packages: &'a BTreeMap<String, String>, path: &str) -> &'a str {
    let above = Path::new(path).ancestors().filter_map(Path::to_str);
    let label = above.filter_map(|dir| packages.get(dir)).next().unwrap_or_else(|| panic!("{path}: in no package"));
    label.rsplit_once('@').expect("a label has a version").0
}

#[test]
fn hard_links_join_copies_of_one_package_in_one_layer() {
    let Some(sample) = sample::built() else { return };
    let mut links = 0;
    for digest in sample.report.layers().into_keys() {
        // That a link leads to an earlier file of its layer is part of the validation.
        let layer = read_layer(&sample.layout, digest);
        let packages = packages(&layer);
        for entry in &layer.entries {
            let EntryKind::HardLink(target) = &entry.kind else { continue };
            let (own, other) = (package_of(&packages, &entry.path), package_of(&packages, target));
            assert_eq!(own, other, "{} -> {target}", entry.path);
            links += 1;
        }
    }
    assert!(links > 0);
    println!("{links} hard links");
}

#[test]
fn without_hard_links_the_contents_are_the_same() {
    let Some((sample, built)) = sample::built().zip(unlinked()) else { return };
    for (digest, layer) in built.layers() {
        let link = layer.entries.iter().find(|entry| matches!(entry.kind, EntryKind::HardLink(_)));
        assert!(link.is_none(), "{digest}: {link:?}");
    }
    for (name, image) in &built.images {
        assert!(image.files.iter().eq(sample.images[name].files.iter()), "{name}");
    }
}

/// As pnpm's stores and copy-on-write tools leave them.
#[test]
fn files_that_are_linked_on_the_host_give_the_same_digests() {
    let Some((sample, linked)) = sample::built().zip(linked_copy("linked", "")) else { return };
    assert_eq!(Built::of(copy().unwrap(), "of-copy", &[]).report.digests(), sample.report.digests());
    assert_eq!(Built::of(&linked, "of-linked", &[]).report.digests(), sample.report.digests());
}

/// The sample with another compression than gzip, built once.
fn compressed(compression: &'static str) -> Option<&'static Built> {
    static BUILT: [OnceLock<Built>; 2] = [OnceLock::new(), OnceLock::new()];
    let workspace = sample::workspace()?;
    let place = &BUILT[usize::from(compression == "none")];
    Some(place.get_or_init(|| Built::of(&workspace, compression, &[("--compression", compression)])))
}

#[test]
fn the_compression_changes_no_tar() {
    for compression in ["zstd", "none"] {
        let Some((sample, built)) = sample::built().zip(compressed(compression)) else { return };
        for (name, image) in &built.images {
            let expected = &sample.images[name].config["rootfs"]["diff_ids"];
            assert_eq!(built.diff_ids(name), expected, "{compression}: {name}");
            assert_ne!(image.digest, sample.images[name].digest, "{compression}: {name}");
            assert!(image.files.iter().eq(sample.images[name].files.iter()), "{compression}: {name}");
        }
    }
}

#[test]
fn skopeo_reads_layers_of_zstd() {
    if !program::are_installed(&["skopeo"]) {
        return;
    }
    let Some(built) = compressed("zstd") else { return };
    let name = "customer-service";
    let to = scratch::folder().join("read-by-skopeo");
    let (from, into) = (format!("oci:{}:{name}", built.layout.display()), format!("dir:{}", to.display()));
    program::run(Command::new("skopeo").args([
        "--insecure-policy",
        "copy",
        "--quiet",
        "--dest-decompress",
        &from,
        &into,
    ]));
    let expected: Vec<&str> = built.diff_ids(name).as_array().unwrap().iter().filter_map(Value::as_str).collect();
    let found: BTreeSet<String> =
        tree::files(&to).into_keys().map(|file| sha256(&fs::read(to.join(file)).unwrap())).collect();
    assert!(expected.iter().all(|diff_id| found.contains(*diff_id)), "{expected:?}, skopeo wrote {found:?}");
}
