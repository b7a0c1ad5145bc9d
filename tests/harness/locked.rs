//! Workspaces with the lockfiles of all package managers, from `tests/lockfiles`, and the managers themselves.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use pirogue::closure::NodePlatform;
use pirogue::path::HostPath;
use pirogue::workspace::Workspace;
use pirogue::workspace::lockfiles::Lockfile;
use serde_json::Value;
use tempfile::TempDir;

use super::placed::Placed;
use super::{package_manager, program};

/// The members of each of them.
pub const MEMBERS: [&str; 3] = ["apps/api", "apps/web", "packages/shared"];

/// A fixture, copied to where its package manager may write.
pub struct Fixture {
    folder: TempDir,
    pub placed: Placed,
}

impl Fixture {
    /// `None`, with a word on it, where the programs are not there.
    pub fn new(name: &str) -> Option<Self> {
        if !program::are_installed(&["npx", "node"]) {
            return None;
        }
        let folder = TempDir::new().unwrap();
        copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/lockfiles").join(name), folder.path());
        let lockfile = Lockfile::read(&Workspace::discover(&HostPath::new(folder.path())).unwrap()).unwrap();
        Some(Self { folder, placed: Placed::new(lockfile, &this_platform()) })
    }

    /// Where it lies now.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Leaves out the field `packageManager`: where package.json names a pnpm, pnpm 12 resolves itself for every platform
    /// before it does anything else.
    pub fn without_package_manager(&self) {
        let root = self.path().join("package.json");
        let mut package_json: Value = serde_json::from_slice(&fs::read(&root).unwrap()).unwrap();
        package_json.as_object_mut().unwrap().remove("packageManager");
        fs::write(&root, package_json.to_string()).unwrap();
    }

    /// Runs a package manager; its standard output, or `None`, with a word on it, where it cannot reach the registry.
    pub fn run(&self, package: &str, program: &str, arguments: &[&str]) -> Option<String> {
        package_manager::run(self.path(), package, program, arguments)
    }
}

/// What Node calls this machine.
pub fn this_platform() -> NodePlatform {
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

/// Both ways, with the differences in words.
pub fn assert_same(what: &str, ours: &BTreeSet<String>, theirs: &BTreeSet<String>) {
    let only_ours: Vec<_> = ours.difference(theirs).collect();
    let only_theirs: Vec<_> = theirs.difference(ours).collect();
    assert!(
        only_ours.is_empty() && only_theirs.is_empty(),
        "{what}: only ours {only_ours:?}, only theirs {only_theirs:?}"
    );
    assert!(!theirs.is_empty(), "{what}: nothing to compare");
}
