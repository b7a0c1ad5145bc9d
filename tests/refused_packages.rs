//! Lockfiles and packages that no image is made of: each ends with a clear error that says what to do next, and nothing of
//! it stays in the cache.

mod harness;

use std::fs;

use harness::locked_shop::{LockedShop, base};
use harness::misbehaving::{Answer, Misbehaving};
use harness::package_tarball::{Entry, gzip, tarball};
use harness::tarball_cache::integrity;
use insta::assert_snapshot;
use serde_json::json;
use tar::EntryType;

const PACKAGE_JSON: Entry = Entry {
    name: "package/package.json",
    kind: EntryType::Regular,
    content: br#"{"name": "left", "version": "1.2.0"}"#,
};

/// What is said of a tarball with this entry besides its package.json.
fn refused_entry(name: &str, kind: EntryType, content: &[u8]) -> String {
    LockedShop::of(&tarball(&[PACKAGE_JSON, Entry { name, kind, content }])).refused(&[]).to_string()
}

#[test]
fn what_is_right_is_built_and_kept() {
    let shop = LockedShop::new();
    let run = shop.workspace.run(&LockedShop::arguments(&base(), &[]));
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(shop.registry.lines(), ["GET /left/-/left-1.2.0.tgz"]);
    let facts = shop.kept().into_iter().filter(|name| name.contains('-')).count();
    assert_eq!(facts, 2, "where it is, and what is in it: {:?}", shop.kept());
    harness::layout::validate(&shop.workspace.root().join("images"));
}

#[test]
fn no_lockfile() {
    let shop = LockedShop::new();
    fs::remove_file(shop.workspace.root().join("package-lock.json")).unwrap();
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: there is no lockfile of npm (`npm-shrinkwrap.json`, `package-lock.json`) in `[DIR]/workspace`
    hint: write one: `npm install --package-lock-only`
    ");
}

#[test]
fn an_unknown_place_of_packages() {
    let shop = LockedShop::new().and(&[("pirogue.toml", "packages = \"locked\"\n")]);
    assert_snapshot!(harness::failure::failed_to(&shop.workspace, &["build", "--base", &base()]), @r"
    exit code: 1
    ----- stderr
    error: `packages` is neither `installed` nor `lockfile`: `locked`: `pirogue.toml:1:1`
    ");
}

#[test]
fn a_lockfile_that_is_out_of_date() {
    let wants_more = r#"{"name": "web", "main": "dist/main.js", "dependencies": {"left": "^2.0.0"}}"#;
    let shop = LockedShop::new().and(&[("apps/web/package.json", wants_more)]);
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the lockfile is out of date: `apps/web` asks for `left@^2.0.0`, and the lockfile has `left@^1.0.0`
    hint: bring it up to date: `npm install --package-lock-only`
    ");
}

#[test]
fn a_lockfile_with_what_package_json_no_longer_names() {
    let shop = LockedShop::new().and(&[("apps/web/package.json", r#"{"name": "web", "main": "dist/main.js"}"#)]);
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the lockfile is out of date: package.json of `apps/web` does not name what it has, `left@^1.0.0`
    hint: bring it up to date: `npm install --package-lock-only`
    ");
}

#[test]
fn a_lockfile_that_does_not_know_a_member() {
    let shop = LockedShop::new().and(&[("apps/api/package.json", r#"{"name": "api"}"#)]);
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the lockfile is out of date: it does not know the member `apps/api`
    hint: bring it up to date: `npm install --package-lock-only`
    ");
}

#[test]
fn merge_markers() {
    let markers = "{\n<<<<<<< HEAD\n\"lockfileVersion\": 3,\n=======\n\"lockfileVersion\": 2,\n>>>>>>> topic\n}\n";
    assert_snapshot!(LockedShop::new().and(&[("package-lock.json", markers)]).refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the lockfile has merge conflicts, the first in line 2: `[DIR]/workspace/package-lock.json`
    hint: let the package manager resolve them: `npm install --package-lock-only`
    ");
}

#[test]
fn a_lockfile_of_another_time() {
    assert_snapshot!(LockedShop::new().locked(|lockfile| lockfile["lockfileVersion"] = json!(9)).refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the lockfile has version `9`, and pirogue reads versions 2 and 3 of npm's lockfile: `[DIR]/workspace/package-lock.json`
    hint: write it anew: `npm install --package-lock-only --lockfile-version 3`
    ");
}

#[test]
fn a_lockfile_that_is_cut() {
    assert_snapshot!(LockedShop::new().and(&[("package-lock.json", "{\"lockfileVersion\": 3,")]).refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the lockfile is damaged (EOF while parsing a value at line 1 column 22): `[DIR]/workspace/package-lock.json`
    hint: see what changed: `git diff -- [DIR]/workspace/package-lock.json`
    ");
}

#[test]
fn no_integrity() {
    let shop = LockedShop::new().locked(|lockfile| {
        lockfile["packages"]["node_modules/left"].as_object_mut().unwrap().remove("integrity");
    });
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the lockfile has no integrity for `left@1.2.0` that the tarball could be checked with: `http://[REGISTRY]/left/-/left-1.2.0.tgz`
    hint: let the package manager write the lockfile anew; it adds what the registry states
    ");
    assert!(shop.registry.lines().is_empty());
}

#[test]
fn a_package_that_is_not_what_was_locked() {
    let other = integrity(b"what was locked");
    let published = LockedShop::new();
    let actual = integrity(&tarball(&[
        Entry::file("package/package.json", r#"{"name": "left", "version": "1.2.0"}"#),
        Entry::file("package/index.js", "module.exports = 1;\n"),
    ]));
    let shop = published.locked(|lockfile| lockfile["packages"]["node_modules/left"]["integrity"] = other.into());
    assert_snapshot!(shop.refused(&[]).replaced(&actual, "[PUBLISHED]"), @r"
    exit code: 1
    ----- stderr
    error: `left@1.2.0` is not what the lockfile has: its hash is `[PUBLISHED]` and not `[LOCKED]`: `http://[REGISTRY]/left/-/left-1.2.0.tgz`
    hint: if a proxy or mirror changes what it passes on, ask the registry itself; if the package was published anew, find out why before you update the lockfile
    ");
}

#[test]
fn a_package_of_yarn_that_is_not_what_was_locked() {
    let shop = LockedShop::new();
    let locked = format!("checksum: 10c0/{}", "0f".repeat(64));
    let entry = |names: &str, version: &str, more: &str| {
        format!("\n\"{names}\":\n  version: {version}\n  resolution: \"{more}\n  languageName: node\n")
    };
    let lockfile = "__metadata:\n  version: 8\n  cacheKey: 10c0\n".to_owned()
        + &entry("left@npm:^1.0.0", "1.2.0", &format!("left@npm:1.2.0\"\n  {locked}"))
        + &entry("shop@workspace:.", "0.0.0-use.local", "shop@workspace:.\"")
        + &entry(
            "web@workspace:apps/web",
            "0.0.0-use.local",
            "web@workspace:apps/web\"\n  dependencies:\n    left: \"npm:^1.0.0\"",
        );
    let settings = format!("nodeLinker: node-modules\nnpmRegistryServer: \"http://{}\"\n", shop.registry.host());
    let shop = shop.and(&[
        ("package.json", r#"{"name": "shop", "packageManager": "yarn@4.18.1", "workspaces": ["apps/*"]}"#),
        (".yarnrc.yml", &settings),
        ("yarn.lock", &lockfile),
    ]);
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: `left@1.2.0` is not what the lockfile has: its hash is `10c0/871bd8954624a29678b2ede5cc803cd2919e0c4409e9135d543a39d5d2f02ce6ce5919617a17588c1a15b7a019d47bba5ad7f9ae134e919983e9dc673a06c02a` and not `10c0/0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f`: `http://[REGISTRY]/left/-/left-1.2.0.tgz`
    hint: if a proxy or mirror changes what it passes on, ask the registry itself; if the package was published anew, find out why before you update the lockfile
    ");
}

#[test]
fn a_package_of_a_git_repository() {
    let shop = LockedShop::new().locked(|lockfile| {
        let left = &mut lockfile["packages"]["node_modules/left"];
        left["resolved"] = format!("git+ssh://git@github.com/acme/left.git#{}", "0f".repeat(20)).into();
    });
    assert_snapshot!(shop.refused(&[]), @r#"
    exit code: 1
    ----- stderr
    error: a package has no tarball to fetch, since it comes from a git repository: `left@1.2.0`
    hint: install it, and set `from = "installed"` under its name in pirogue.toml: `[package."NAME"]`
    "#);
}

#[test]
fn an_entry_above_the_package() {
    assert_snapshot!(refused_entry("package/../../evil.js", EntryType::Regular, b"evil"), @r"
    exit code: 1
    ----- stderr
    error: the tarball has an entry whose name has `..`: `package/../../evil.js`: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

#[test]
fn an_entry_with_an_absolute_name() {
    assert_snapshot!(refused_entry("/etc/passwd", EntryType::Regular, b"evil"), @r"
    exit code: 1
    ----- stderr
    error: the tarball has an entry whose name is absolute: `/etc/passwd`: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

#[test]
fn a_device() {
    assert_snapshot!(refused_entry("package/null", EntryType::Char, b""), @r"
    exit code: 1
    ----- stderr
    error: the tarball has an entry that is neither a file, a directory nor a link: `package/null`: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

#[test]
fn names_that_differ_in_case_only() {
    assert_snapshot!(refused_entry("package/Package.json", EntryType::Regular, b"{}"), @r"
    exit code: 1
    ----- stderr
    error: the tarball has two entries that cannot lie side by side, `Package.json` and `package.json`: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

#[test]
fn a_file_that_is_also_a_directory() {
    assert_snapshot!(refused_entry("package/package.json/x.js", EntryType::Regular, b""), @r"
    exit code: 1
    ----- stderr
    error: the tarball has two entries that cannot lie side by side, `package.json` and `package.json/x.js`: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

#[test]
fn zeros_that_take_no_room() {
    assert_snapshot!(refused_entry("package/zeros", EntryType::Regular, &vec![0; 96 << 20]), @r"
    exit code: 1
    ----- stderr
    error: the tarball holds more bytes than a package may, at the latest in `package/zeros`: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

#[test]
fn zeros_after_the_end() {
    assert_snapshot!(LockedShop::of(&gzip(&vec![0; 96 << 20])).refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the tarball holds more bytes than a package may: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

#[test]
fn a_tarball_that_ends_early() {
    let noise: Vec<u8> = (0..100_000_u32).map(|at| (at.wrapping_mul(0x9e37_79b9) >> 13) as u8).collect();
    let whole = tarball(&[PACKAGE_JSON, Entry { name: "package/noise", kind: EntryType::Regular, content: &noise }]);
    assert_snapshot!(LockedShop::of(&whole[..whole.len() / 2]).refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the tarball is damaged after `package/noise`: incomplete deflate stream: `left@1.2.0`
    hint: download it again, or compare it with the one that the registry has
    ");
}

#[test]
fn a_package_json_that_is_none() {
    let entry = Entry::file("package/package.json", "{\"name\": ");
    assert_snapshot!(LockedShop::of(&tarball(&[entry])).refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: the tarball has a package.json that cannot be read: not valid JSON: EOF while parsing a value at line 1 column 9: `left@1.2.0`
    hint: no registry should hold such a package: look at who published it, or use another version
    ");
}

/// The first of the lockfile is told, whichever comes first, and of the others nothing stays either.
#[test]
fn several_at_once() {
    let bad = |name| tarball(&[PACKAGE_JSON, Entry { name, kind: EntryType::Fifo, content: b"" }]);
    let (left, right) = (bad("package/one"), bad("package/other"));
    let (first, second) = (integrity(&left), integrity(&right));
    let registry = Misbehaving::start(move |asked| match asked.target.starts_with("/right") {
        true => Answer::new(200).body(right.clone()),
        false => Answer::new(200).body(left.clone()),
    });
    let dependencies = r#"{"left": "^1.0.0", "right": "^1.0.0"}"#;
    let web = format!(r#"{{"name": "web", "main": "dist/main.js", "dependencies": {dependencies}}}"#);
    let shop = LockedShop::new()
        .and(&[(".npmrc", &format!("registry=http://{}/\n", registry.host())), ("apps/web/package.json", &web)]);
    let shop = shop.locked(|lockfile| {
        let packages = &mut lockfile["packages"];
        packages["apps/web"]["dependencies"] = serde_json::from_str(dependencies).unwrap();
        packages["node_modules/left"]["integrity"] = first.into();
        packages["node_modules/right"] = json!({"version": "1.2.0", "integrity": second});
    });
    for _ in 0..4 {
        assert!(shop.refused(&[]).stderr.contains("`package/one`: `left@1.2.0`"));
    }
}

#[test]
fn a_package_that_runs_a_script() {
    let json = r#"{"name": "left", "version": "1.2.0", "scripts": {"postinstall": "node download.js"}}"#;
    let shop = LockedShop::of(&tarball(&[Entry::file("package/package.json", json)]));
    assert_snapshot!(shop.failed(&[]), @r#"
    exit code: 1
    ----- stderr
    error: packages run a script when they are installed, and nothing is run here
      left@1.2.0: `node download.js`
    hint: for each, in pirogue.toml under `[package."left"]`: `install-script = "skip"` if it works without, `from = "installed"` to take it from node_modules; or use a package that needs none
    "#);
    let asked = shop.registry.lines().len();
    let shop = shop.and(&[("pirogue.toml", "[package.left]\ninstall-script = \"skip\"\n")]);
    let run = shop.workspace.run(&LockedShop::arguments(&base(), &["--offline"]));
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(shop.registry.lines().len(), asked, "the package itself was right, and was kept");
    harness::layout::validate(&shop.workspace.root().join("images"));
}

#[test]
fn a_package_to_be_taken_as_installed() {
    let shop = LockedShop::new().and(&[("pirogue.toml", "[package.left]\nfrom = \"installed\"\n")]);
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: a package is to be taken from the installed ones, and is not among them: `left@1.2.0`
    hint: install the workspace's packages, or remove `from` under its name in pirogue.toml
    ");
    let other = r#"{"name": "left", "version": "1.1.0"}"#;
    let shop = shop.and(&[("node_modules/left/package.json", other)]);
    assert!(shop.refused(&[]).stderr.contains("`left@1.2.0`"), "another version does not count");
}

#[test]
fn offline_with_an_empty_cache() {
    let shop = LockedShop::new();
    assert_snapshot!(shop.refused(&["--offline"]), @r"
    exit code: 1
    ----- stderr
    error: a package was never fetched, and nothing may be asked offline: `left@1.2.0`
    hint: run once without `--offline`, or name a mirror that has them
    ");
    assert!(shop.registry.lines().is_empty());
}

#[test]
fn a_mirror_that_lacks_a_package() {
    let shop = LockedShop::new();
    fs::create_dir(shop.workspace.beside("mirror")).unwrap();
    let shop = shop.and(&[("pirogue.toml", "npm-mirror = \"../mirror\"\n")]);
    assert_snapshot!(shop.refused(&["--offline"]), @r"
    exit code: 1
    ----- stderr
    error: the mirror has no tarball of `left@1.2.0`: `[DIR]/workspace/../mirror`
    hint: put the tarball there as `NAME-VERSION.tgz`: `npm pack NAME@VERSION`
    ");
}

#[test]
fn a_registry_that_is_down() {
    let shop = LockedShop::new().and(&[(".npmrc", "registry=http://127.0.0.1:1/\n")]);
    assert_snapshot!(shop.refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: cannot fetch `left@1.2.0` (Connection refused (os error 111)): `http://127.0.0.1:1/left/-/left-1.2.0.tgz`
    hint: is the registry running, and the port right?
    ");
}

#[test]
fn a_registry_that_lacks_the_package() {
    let registry = Misbehaving::start(|_| Answer::new(404));
    let shop = LockedShop::new().and(&[(".npmrc", &format!("registry=http://{}/\n", registry.host()))]);
    assert_snapshot!(shop.refused(&[]).replaced(&registry.host(), "[REGISTRY]"), @r"
    exit code: 1
    ----- stderr
    error: the registry does not have `left@1.2.0` (status 404): `http://[REGISTRY]/left/-/left-1.2.0.tgz`
    hint: check the registry of its scope in .npmrc or .yarnrc.yml; some registries also say this of private packages where there are no credentials
    ");
}
