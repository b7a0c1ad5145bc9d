//! Where packages lie and what is in them, as the lockfile and the tarballs say, against what npm lays out.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use harness::locked::{Fixture, assert_same};
use pirogue::closure::NodeModules;
use pirogue::digest::Digest;
use pirogue::layer::{PackageTarball, TarballLimits};

/// Directories of packages, and links with their targets, in any `node_modules` below a directory.
fn laid_out(root: &Path) -> (BTreeSet<String>, BTreeMap<String, PathBuf>) {
    let (mut packages, mut links) = (BTreeSet::new(), BTreeMap::new());
    let mut left: Vec<(PathBuf, bool)> = vec![(root.to_owned(), false)];
    while let Some((dir, in_modules)) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            let place = entry.path().strip_prefix(root).unwrap().to_str().unwrap().to_owned();
            let holds_packages = in_modules && (name.starts_with('@') || name == ".bin");
            if entry.file_type().unwrap().is_symlink() {
                links.insert(place, fs::read_link(entry.path()).unwrap());
            } else if entry.file_type().unwrap().is_dir() {
                left.push((entry.path(), name == "node_modules" || holds_packages));
                if in_modules && !holds_packages {
                    packages.insert(place);
                }
            }
        }
    }
    (packages, links)
}

#[test]
fn places_of_npm() {
    let Some(fixture) = Fixture::new("npm") else { return };
    if fixture.run("npm@11", "npm", &["ci", "--omit=dev", "--ignore-scripts", "--no-audit"]).is_none() {
        return;
    }
    let lockfile = &fixture.lockfile;
    let closures = lockfile.importers.keys().map(|dir| (dir.clone(), fixture.closure(&dir.to_string())));
    let ours = NodeModules::of(lockfile, &closures.collect()).unwrap();
    let (packages, mut links) = laid_out(fixture.path());
    assert_same("places", &ours.packages.keys().map(ToString::to_string).collect(), &packages);
    // npm links every member, whoever needs it.
    for member in ["api", "web"] {
        assert!(links.remove(&format!("node_modules/@demo/{member}")).is_some(), "{links:?}");
    }
    let bins = ours.bin_links(|_| true, |place| lockfile.packages[ours.packages.get(place)?].bins.as_ref());
    let bins = bins.into_iter().map(|(place, target)| (place.to_string(), target));
    let of_members = ours.links.iter().map(|(place, target)| {
        let up = place.as_path().components().skip(1).map(|_| "..").collect::<PathBuf>();
        (place.to_string(), up.join(target.as_path()))
    });
    assert_eq!(bins.chain(of_members).collect::<BTreeMap<_, _>>(), links);
}

/// Files below a directory without those of packages nested in it: digest, and whether they may be run.
fn files_of(dir: &Path) -> BTreeMap<String, (Digest, bool)> {
    let mut found = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(at) = left.pop() {
        for entry in fs::read_dir(&at).unwrap().map(Result::unwrap) {
            let path = entry.path().strip_prefix(dir).unwrap().to_str().unwrap().to_owned();
            if entry.file_type().unwrap().is_dir() {
                left.extend((path != "node_modules").then(|| entry.path()));
            } else {
                let executable = entry.metadata().unwrap().permissions().mode() & 0o100 != 0;
                found.insert(path, (Digest::of(&fs::read(entry.path()).unwrap()), executable));
            }
        }
    }
    found
}

#[test]
fn contents_of_npm() {
    let Some(fixture) = Fixture::new("npm") else { return };
    if fixture.run("npm@11", "npm", &["ci", "--omit=dev", "--ignore-scripts", "--no-audit"]).is_none() {
        return;
    }
    let lockfile = &fixture.lockfile;
    let closures = lockfile.importers.keys().map(|dir| (dir.clone(), fixture.closure(&dir.to_string())));
    let ours = NodeModules::of(lockfile, &closures.collect()).unwrap();
    let packed = ours.packages.iter().map(|(place, id)| (place, &lockfile.packages[id]));
    let packed: Vec<_> = packed.filter(|(_, package)| !package.bundled).collect();
    let labels: BTreeSet<String> = packed.iter().map(|(_, package)| package.label()).collect();
    let mut arguments = vec!["pack"];
    arguments.extend(labels.iter().map(String::as_str));
    if fixture.run("npm@11", "npm", &arguments).is_none() {
        return;
    }
    for (place, package) in packed {
        // As `npm pack` names files.
        let file = package.label().trim_start_matches('@').replace(['/', '@'], "-") + ".tgz";
        let tarball = BufReader::new(File::open(fixture.path().join(file)).unwrap());
        let read = PackageTarball::read(tarball, io::sink(), &TarballLimits::default());
        let read = read.unwrap_or_else(|error| panic!("{}: {error}", package.label()));
        let own = read.files.iter().filter(|file| !file.path.starts_with("node_modules/"));
        let own: BTreeMap<_, _> = own.map(|file| (file.path.clone(), (file.digest, file.executable))).collect();
        assert_eq!(own, files_of(&fixture.path().join(place.as_path())), "{place}");
    }
}
