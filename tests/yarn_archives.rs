//! The archives that pirogue makes of packages' tarballs against those that yarn, run here, made of them.

mod harness;

use std::fs;
use std::process::Command;

use harness::program;
use harness::yarn::is_unreachable;
use pirogue::cancel::Cancellation;
use pirogue::npm_registry::{NpmClient, NpmClientOptions};
use pirogue::path::HostPath;
use pirogue::progress::Silent;
use pirogue::store::Store;
use pirogue::workspace::Workspace;
use pirogue::workspace::lockfiles::{LockedPackage, Lockfile, Patch};
use tempfile::TempDir;

/// With what they need, they have a scope, commands, files that may be run, a patch of yarn's, another first directory than
/// `package`.
const DEPENDENCIES: &str = r#"{
    "name": "root",
    "version": "1.0.0",
    "private": true,
    "dependencies": {
        "@types/node": "20.11.0",
        "express": "4.19.2",
        "is-odd": "3.0.1",
        "mkdirp": "0.5.6",
        "resolve": "1.22.8",
        "uuid": "9.0.1"
    }
}"#;

/// A project with these dependencies and the lockfile that yarn wrote for it.
fn locked_by(yarn: &str, settings: &str) -> Option<(TempDir, Lockfile)> {
    if !program::are_installed(&["npx"]) {
        return None;
    }
    let folder = TempDir::new().unwrap();
    let settings = format!("enableTelemetry: false\nnodeLinker: node-modules\n{settings}");
    for (file, text) in [("package.json", DEPENDENCIES), ("yarn.lock", ""), (".yarnrc.yml", &settings)] {
        fs::write(folder.path().join(file), text).unwrap();
    }
    let mut command = Command::new("npx");
    command.args(["--yes", "--loglevel=error", "--package", yarn, "--", "yarn", "install", "--mode=update-lockfile"]);
    let global = folder.path().join("global");
    command.current_dir(folder.path()).env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false").env("YARN_GLOBAL_FOLDER", global);
    let output = command.output().unwrap_or_else(|error| panic!("`npx` does not start: {error}"));
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && is_unreachable(&said) {
        harness::skip("the npm registry cannot be reached");
        return None;
    }
    assert!(output.status.success(), "{command:?}: {said}");
    let lockfile = Lockfile::read(&Workspace::discover(&HostPath::new(folder.path())).unwrap()).unwrap();
    Some((folder, lockfile))
}

/// How many packages the lockfile has, and how many of their tarballs were checked.
fn checked(yarn: &str, settings: &str) -> Option<(usize, usize)> {
    let (folder, lockfile) = locked_by(yarn, settings)?;
    let packages: Vec<&LockedPackage> = lockfile.packages.values().filter(|it| it.checksum.is_some()).collect();
    let is_patched = |package: &&&LockedPackage| matches!(package.patches[..], [Patch::BuiltIn(_)]);
    assert!(packages.len() > 60 && packages.iter().filter(is_patched).count() == 1, "{}", packages.len());
    let store = Store::open(&HostPath::new(folder.path().join("store"))).unwrap();
    let client = NpmClient::new(NpmClientOptions::default()).unwrap();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let cancellation = Cancellation::default();
    let fetched = client.fetch_all(packages.iter().copied(), &store, &Silent, &cancellation, &|_, _| {});
    let tarballs = runtime.block_on(fetched).unwrap();
    Some((packages.len(), tarballs.iter().filter(|tarball| tarball.is_verified).count()))
}

#[test]
fn archives_of_yarn_4() {
    let Some((packages, checked)) = checked("@yarnpkg/cli-dist@4.18.1", "") else { return };
    assert_eq!(checked, packages);
}

#[test]
fn archives_of_yarn_3_without_compression() {
    let Some((packages, checked)) = checked("@yarnpkg/cli-dist@3.8.7", "compressionLevel: 0\n") else { return };
    assert_eq!(checked, packages);
}
