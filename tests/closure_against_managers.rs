//! Closures from lockfiles against what the package managers themselves say or install for production.
//!
//! Differences that are chosen on purpose, each named in the test that meets it:
//! - a peer that a member develops against is needed when it runs, whoever else provides it;
//! - packages for other platforms stay in a closure from yarn 1's lockfile, which does not say what they are for.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use harness::program;
use harness::yarn::is_unreachable;
use pirogue::closure::{LockedClosure, NodeModules, NodePlatform};
use pirogue::digest::Digest;
use pirogue::layer::{PackageTarball, TarballLimits};
use pirogue::path::HostPath;
use pirogue::workspace::lockfiles::{Lockfile, Source};
use pirogue::workspace::{Workspace, WorkspacePath};
use serde_json::Value;
use tempfile::TempDir;

const MEMBERS: [&str; 3] = ["apps/api", "apps/web", "packages/shared"];

/// `packages/shared` asks for react as a peer and develops against this one. No manager installs it for production with
/// that member alone; where Node finds it from there, though another react is provided, npm and pnpm do not say so.
const PEER_OF_SHARED: [&str; 3] = ["react@18.2.0", "loose-envify@1.4.0", "js-tokens@4.0.0"];

/// A fixture, copied to where its package manager may write.
struct Fixture {
    folder: TempDir,
    lockfile: Lockfile,
    platform: NodePlatform,
}

impl Fixture {
    /// `None`, with a word on it, where the programs are not there.
    fn new(name: &str) -> Option<Self> {
        if !program::are_installed(&["npx", "node"]) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lockfiles").join(name), folder.path());
        let lockfile = Lockfile::read(&Workspace::discover(&HostPath::new(folder.path())).unwrap()).unwrap();
        Some(Self { folder, lockfile, platform: this_platform() })
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn closure(&self, member: &str) -> LockedClosure {
        LockedClosure::of(&self.lockfile, &WorkspacePath::new(member).unwrap(), &self.platform).unwrap()
    }

    /// `NAME@VERSION` of these packages, without copies of members.
    fn labels<'a>(
        &self,
        ids: impl IntoIterator<Item = &'a pirogue::workspace::lockfiles::PackageId>,
    ) -> BTreeSet<String> {
        let packages = ids.into_iter().map(|id| &self.lockfile.packages[id]);
        packages.filter(|it| !matches!(it.source, Source::Directory(_))).map(|it| it.label()).collect()
    }

    /// Runs a package manager; its standard output, or `None`, with a word on it, where it cannot reach the registry.
    fn run(&self, package: &str, program: &str, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new("npx");
        command.args(["--yes", "--loglevel=error", "--package", package, "--", program]).args(arguments);
        command.current_dir(self.path()).env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false").env("CI", "1");
        let output = command.output().unwrap_or_else(|error| panic!("`npx` does not start: {error}"));
        let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
        let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
        if !output.status.success() && is_unreachable(&said) {
            harness::skip("the npm registry cannot be reached");
            return None;
        }
        assert!(output.status.success(), "{command:?}: {said}");
        Some(stdout)
    }
}

/// What Node calls this machine.
fn this_platform() -> NodePlatform {
    let script = "const libc = process.report.getReport().header.glibcVersionRuntime ? 'glibc' : 'musl';\
                  console.log([process.platform, process.arch, libc].join(' '))";
    let said = program::run(Command::new("node").args(["-e", script]));
    let [os, cpu, libc] = said.split_whitespace().collect::<Vec<_>>()[..] else { panic!("{said}") };
    NodePlatform { os: os.into(), cpu: cpu.into(), libc: Some(libc.into()) }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { _ = fs::copy(&path, &target).unwrap() }
    }
}

/// `NAME@VERSION` of everything in any `node_modules` below a directory. Links are passed over: they are members.
fn installed(root: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut left: Vec<(PathBuf, bool)> = vec![(root.to_owned(), false)];
    while let Some((dir, in_modules)) = left.pop() {
        for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let name = entry.file_name().into_string().unwrap();
            if !entry.file_type().unwrap().is_dir() || (name.starts_with('.') && name != ".bun") {
                continue;
            }
            // A package is what lies in `node_modules` itself, or there in a folder that is a scope.
            let is_package = in_modules && !name.starts_with('@');
            if is_package && entry.path().join("package.json").is_file() {
                let package_json: Value =
                    serde_json::from_slice(&fs::read(entry.path().join("package.json")).unwrap()).unwrap();
                let text = |field: &str| package_json[field].as_str().unwrap_or("?").to_owned();
                found.insert(format!("{}@{}", text("name"), text("version")));
            }
            let scope = in_modules && name.starts_with('@');
            left.push((entry.path(), name == "node_modules" || scope));
        }
    }
    found
}

/// Both ways, with the differences in words.
fn assert_same(what: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
    let only_ours: Vec<_> = ours.difference(theirs).collect();
    let only_theirs: Vec<_> = theirs.difference(ours).collect();
    assert!(
        only_ours.is_empty() && only_theirs.is_empty(),
        "{what}: only ours {only_ours:?}, only theirs {only_theirs:?}"
    );
    assert!(!theirs.is_empty(), "{what}: nothing to compare");
}

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
    let bins = ours.bin_links(|place| lockfile.packages[ours.packages.get(place)?].bins.as_ref());
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

#[test]
fn npm() {
    let Some(fixture) = Fixture::new("npm") else { return };
    let version = "npm@11";
    if fixture.run(version, "npm", &["ci", "--omit=dev", "--ignore-scripts", "--no-audit"]).is_none() {
        return;
    }
    for member in MEMBERS {
        let arguments = ["ls", "--omit=dev", "--all", "--json", "--long", "--workspace", member];
        let Some(said) = fixture.run(version, "npm", &arguments) else { return };
        let mut theirs = BTreeSet::new();
        npm_packages(&serde_json::from_str(&said).unwrap(), &mut theirs);
        theirs.retain(|label| !label.starts_with("@demo/"));
        theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        let ours = fixture.labels(fixture.closure(member).packages.keys());
        assert_same(member, &ours, &theirs);
    }
}

fn npm_packages(node: &Value, found: &mut BTreeSet<String>) {
    for child in node["dependencies"].as_object().into_iter().flatten().map(|(_, child)| child) {
        let (name, version) = (child["name"].as_str(), child["version"].as_str());
        let missing = child["missing"] == Value::Bool(true) || child["path"].is_null();
        if let (Some(name), Some(version), false) = (name, version, missing) {
            found.insert(format!("{name}@{version}"));
        }
        npm_packages(child, found);
    }
}

#[test]
fn pnpm_8() {
    pnpm("pnpm-6", "pnpm@8.15.9");
}

#[test]
fn pnpm_9() {
    pnpm("pnpm-9", "pnpm@9.15.9");
}

#[test]
fn pnpm_12() {
    pnpm("pnpm-12", "pnpm@12.21.0");
}

fn pnpm(fixture: &str, version: &str) {
    let Some(fixture) = Fixture::new(fixture) else { return };
    // Where package.json names a pnpm, pnpm 12 resolves itself for every platform before it does anything else.
    let root = fixture.path().join("package.json");
    let mut package_json: Value = serde_json::from_slice(&fs::read(&root).unwrap()).unwrap();
    package_json.as_object_mut().unwrap().remove("packageManager");
    fs::write(&root, package_json.to_string()).unwrap();
    if fixture.run(version, "pnpm", &["install", "--frozen-lockfile", "--prod", "--ignore-scripts"]).is_none() {
        return;
    }
    for member in MEMBERS {
        let closure = fixture.closure(member);
        let mut theirs = BTreeSet::new();
        // `pnpm list` does not look into linked members, so they are asked for themselves.
        let dirs = closure.members.keys().map(|dir| dir.to_string()).chain([member.to_owned()]);
        for dir in dirs {
            let filter = format!("./{dir}");
            let arguments = ["list", "--prod", "--depth", "Infinity", "--json", "--filter", &filter];
            let Some(said) = fixture.run(version, "pnpm", &arguments) else { return };
            let said: Value = serde_json::from_str(&said).unwrap();
            said.as_array().unwrap().iter().for_each(|project| pnpm_packages(project, &mut theirs));
        }
        let ours = fixture.labels(closure.packages.keys());
        if closure.members.contains_key(&WorkspacePath::new("packages/shared").unwrap()) || member == "packages/shared"
        {
            theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        }
        assert_same(member, &ours, &theirs);
    }
}

fn pnpm_packages(node: &Value, found: &mut BTreeSet<String>) {
    for field in ["dependencies", "optionalDependencies"] {
        for child in node[field].as_object().into_iter().flatten().map(|(_, child)| child) {
            let (name, version) = (child["from"].as_str().unwrap(), child["version"].as_str().unwrap());
            // What was not installed since it is for another platform has no directory.
            let there = child["path"].as_str().is_some_and(|path| Path::new(path).exists());
            if !version.starts_with("link:") && !version.starts_with("file:") && there {
                found.insert(format!("{name}@{version}"));
            }
            pnpm_packages(child, found);
        }
    }
}

#[test]
fn yarn_berry() {
    for (member, name) in MEMBERS.iter().zip(["@demo/api", "@demo/web", "@demo/shared"]) {
        let Some(fixture) = Fixture::new("yarn-berry") else { return };
        // For this machine only.
        let settings = "nodeLinker: node-modules\nenableScripts: false\nenableTelemetry: false\n";
        fs::write(fixture.path().join(".yarnrc.yml"), settings).unwrap();
        let arguments = ["workspaces", "focus", name, "--production"];
        if fixture.run("@yarnpkg/cli-dist@4.18.1", "yarn", &arguments).is_none() {
            return;
        }
        let mut theirs = installed(fixture.path());
        if *member == "packages/shared" {
            theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        }
        assert_same(member, &fixture.labels(fixture.closure(member).packages.keys()), &theirs);
    }
}

#[test]
fn yarn_classic() {
    for member in MEMBERS {
        let Some(fixture) = Fixture::new("yarn-classic") else { return };
        let closure = fixture.closure(member);
        let members: Vec<String> =
            closure.members.keys().map(|dir| dir.to_string()).chain([member.to_owned()]).collect();
        let root = fixture.path().join("package.json");
        let mut package_json: Value = serde_json::from_slice(&fs::read(&root).unwrap()).unwrap();
        package_json["workspaces"] = members.into();
        fs::write(&root, package_json.to_string()).unwrap();
        let arguments = ["install", "--production", "--pure-lockfile", "--ignore-scripts", "--non-interactive"];
        if fixture.run("yarn@1.22.22", "yarn", &arguments).is_none() {
            return;
        }
        let mut theirs = installed(fixture.path());
        if member == "packages/shared" {
            theirs.extend(PEER_OF_SHARED.map(str::to_owned));
        }
        // Which of these are for this platform, only their package.json files say.
        let undecided = fixture.labels(&closure.undecided);
        let decided = |labels: BTreeSet<String>| labels.difference(&undecided).cloned().collect();
        let ours = fixture.labels(closure.packages.keys());
        assert!(theirs.is_subset(&ours), "{member}: {:?}", theirs.difference(&ours));
        assert_same(member, &decided(ours), &decided(theirs));
    }
}

#[test]
fn bun() {
    for (member, name) in MEMBERS.iter().zip(["@demo/api", "@demo/web", "@demo/shared"]) {
        let Some(fixture) = Fixture::new("bun") else { return };
        let filter = ["--production", "--frozen-lockfile", "--ignore-scripts", "--linker", "hoisted", "--filter", name];
        if fixture.run("bun@1.4.5", "bun", &[&["install"][..], &filter].concat()).is_none() {
            return;
        }
        let theirs = installed(fixture.path());
        let ours = fixture.labels(fixture.closure(member).packages.keys());
        assert_same(member, &ours, &theirs);
    }
}
