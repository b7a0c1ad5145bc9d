//! The same inputs give the same digests: whoever builds, wherever, however often, with as many threads as there are.

mod harness;

use std::collections::BTreeMap;
use std::fs::{self, File, FileTimes, Permissions};
use std::os::unix::fs::{PermissionsExt as _, lchown, symlink};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use harness::build::Build;
use harness::sample;
use harness::{layout, program, scratch, tree};
use rustix::process::geteuid;
use tempfile::TempDir;

/// The number of a user that this machine need not know.
const STRANGER: u32 = 54321;

/// A folder that everybody may look into.
fn open_folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    folder
}

/// Three services are enough: some packages are in one of them, some in two, some in all.
const SERVICES: [&str; 3] = ["admin-service", "customer-service", "gestion_commerciale_service"];

/// A build of the sample at `workspace` into `folder`, with an empty cache there.
fn build(workspace: &Path, folder: &Path) -> Build {
    let build = Build::of(workspace, &folder.join("cache")).services(&SERVICES);
    build.base(sample::SMALL_BASE).with("--platform", "linux/amd64").into_layout(&folder.join("layout"))
}

/// The build that the others are to be like, found valid; its folder, and the digests.
fn first() -> &'static (PathBuf, BTreeMap<String, String>) {
    static FIRST: OnceLock<(PathBuf, BTreeMap<String, String>)> = OnceLock::new();
    FIRST.get_or_init(|| {
        let folder = scratch::folder().join("first");
        let workspace = sample::workspace().expect("the caller has it");
        let report = build(&workspace, &folder).run();
        let images = layout::validate(&folder.join("layout"));
        assert!(images.into_iter().map(|(name, image)| (name, image.digest)).eq(report.digests()));
        (folder, report.digests())
    })
}

/// Builds, and asserts that every byte of the layout is what it was in the first build, and so as valid.
fn assert_same(build: Build, layout: &Path) {
    let (folder, digests) = first();
    assert_eq!(build.run().digests(), *digests);
    let (expected, found) = (tree::files(&folder.join("layout")), tree::files(layout));
    assert!(found.keys().eq(expected.keys()), "{:?}, first {:?}", found.keys(), expected.keys());
    for name in expected.keys() {
        let same = fs::read(folder.join("layout").join(name)).unwrap() == fs::read(layout.join(name)).unwrap();
        assert!(same, "{name}");
    }
}

#[test]
fn with_an_empty_cache() {
    let Some(workspace) = sample::workspace() else { return };
    let folder = open_folder();
    assert_same(build(&workspace, folder.path()), &folder.path().join("layout"));
}

#[test]
fn with_a_full_cache() {
    let Some(workspace) = sample::workspace() else { return };
    let folder = open_folder();
    let again = build(&workspace, folder.path()).env("PIROGUE_CACHE_DIR", first().0.join("cache"));
    assert_same(again, &folder.path().join("layout"));
}

#[test]
fn with_any_number_of_threads() {
    let Some(workspace) = sample::workspace() else { return };
    for threads in ["1", "2", "8"] {
        let folder = open_folder();
        assert_same(build(&workspace, folder.path()).with("--jobs", threads), &folder.path().join("layout"));
    }
}

#[test]
fn with_another_umask_time_zone_and_language() {
    let Some(workspace) = sample::workspace() else { return };
    let folder = open_folder();
    let elsewhere = build(&workspace, folder.path())
        .through(&["sh", "-c", "umask 077; exec \"$@\"", "sh"])
        .env("TZ", "Pacific/Kiritimati")
        .env("LANG", "tr_TR.UTF-8")
        .env("LC_ALL", "tr_TR.UTF-8");
    assert_same(elsewhere, &folder.path().join("layout"));
}

#[test]
fn by_another_user() {
    let Some(workspace) = sample::workspace() else { return };
    if !geteuid().is_root() {
        return harness::skip("only root can become another user");
    }
    if !program::are_installed(&["setpriv"]) {
        return;
    }
    // Where the sample and the program lie, another user may have no business.
    let folder = open_folder();
    let copy = folder.path().join("workspace");
    Copy::default().of(&workspace, &copy);
    let base = folder.path().join("base");
    Copy::default().of(Path::new(sample::SMALL_BASE.trim_start_matches("oci:")), &base);
    let pirogue = folder.path().join("pirogue");
    fs::copy(env!("CARGO_BIN_EXE_pirogue"), &pirogue).unwrap();
    let home = folder.path().join("home");
    fs::create_dir(&home).unwrap();
    lchown(&home, Some(STRANGER), Some(STRANGER)).unwrap();

    let user = STRANGER.to_string();
    let layout = home.join("layout");
    let build = Build::of(&copy, &home.join(".cache"))
        .services(&SERVICES)
        .program(&pirogue)
        .base(&format!("oci:{}", base.display()))
        .with("--platform", "linux/amd64")
        .into_layout(&layout)
        .through(&[
            "setpriv",
            "--reuid",
            &user,
            "--regid",
            &user,
            "--clear-groups",
            "sh",
            "-c",
            "umask 027; exec \"$@\"",
            "sh",
        ])
        .env("HOME", &home);
    assert_same(build, &layout);
}

#[test]
fn from_files_with_other_times() {
    let Some(workspace) = sample::workspace() else { return };
    let folder = open_folder();
    let copy = folder.path().join("workspace");
    Copy { times: true, ..Copy::default() }.of(&workspace, &copy);
    assert_same(build(&copy, folder.path()), &folder.path().join("layout"));
}

#[test]
fn from_files_made_in_another_order_by_another_user_under_another_umask() {
    let Some(workspace) = sample::workspace() else { return };
    let folder = open_folder();
    let copy = folder.path().join("some where/else"); // and with a space in the path
    let owner = geteuid().is_root().then_some(STRANGER);
    Copy { reversed: true, private: true, owner, ..Copy::default() }.of(&workspace, &copy);
    assert_same(build(&copy, folder.path()), &folder.path().join("layout"));
}

/// How a copy differs from what it is a copy of.
#[derive(Default)]
struct Copy {
    /// Made from the last name to the first.
    reversed: bool,
    /// Each file and directory with a time of its own.
    times: bool,
    /// Nobody else may read it.
    private: bool,
    /// Belongs to this user and group.
    owner: Option<u32>,
}

impl Copy {
    fn of(&self, from: &Path, to: &Path) {
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        self.directory(from, to, &mut 0);
    }

    fn directory(&self, from: &Path, to: &Path, count: &mut u64) {
        fs::create_dir(to).unwrap();
        let mut names: Vec<_> = fs::read_dir(from).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        if self.reversed {
            names.reverse();
        }
        for name in names {
            let (from, to): (PathBuf, PathBuf) = (from.join(&name), to.join(&name));
            if name == "typescript" {
                continue; // large, and in no image
            }
            let metadata = fs::symlink_metadata(&from).unwrap();
            if metadata.is_dir() {
                self.directory(&from, &to, count);
            } else if metadata.is_symlink() {
                symlink(fs::read_link(&from).unwrap(), &to).unwrap();
                self.alter(&to, None, count);
            } else {
                fs::copy(&from, &to).unwrap();
                self.alter(&to, Some(metadata.permissions().mode()), count);
            }
        }
        self.alter(to, Some(0o755), count);
    }

    fn alter(&self, path: &Path, mode: Option<u32>, count: &mut u64) {
        *count += 1;
        if let Some(mode) = mode {
            if self.times {
                let time = SystemTime::UNIX_EPOCH + Duration::from_secs(*count * 86_399);
                File::open(path).unwrap().set_times(FileTimes::new().set_modified(time)).unwrap();
            }
            if self.private {
                fs::set_permissions(path, Permissions::from_mode(mode & 0o700)).unwrap();
            }
        }
        if let Some(owner) = self.owner {
            lchown(path, Some(owner), Some(owner)).unwrap();
        }
    }
}
