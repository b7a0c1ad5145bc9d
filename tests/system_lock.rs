//! `pirogue.lock` and the Alpine packages that are added to a base: which are taken, and what renews them.

mod harness;

use std::fs;

use harness::alpine_base::AlpineBase;
use harness::alpine_shop::AlpineShop;
use harness::apk::{self, Apk, Entry, Key, write_repository};
use harness::container::Container;
use harness::workspace::{Run, TestWorkspace};
use harness::{layout, program, sample};
use insta::assert_snapshot;
use serde_json::Value;

const SETTINGS: &str = "platforms = [\"linux/amd64\"]\nbase.packages = [\"curl\"]\n";
const BUILD: [&str; 4] = ["build", "--no-check", "--to", "oci:../out"];
const LOCKED: [&str; 5] = ["build", "--no-check", "--to", "oci:../out", "--locked"];

fn curl(version: &str) -> Apk {
    let curl = Apk::new("curl", version).depends("so:libcurl.so.4");
    curl.with(Entry::program("usr/bin/curl", format!("client {version}\n")))
}

fn libcurl(version: &str) -> Apk {
    let library = Apk::new("libcurl", version).provides("so:libcurl.so.4=4.8.0");
    library.with(Entry::program("usr/lib/libcurl.so.4", format!("library {version}\n")))
}

/// The client in the image that was built last.
fn client(shop: &AlpineShop) -> String {
    let images = layout::validate(&shop.workspace.beside("out"));
    let bytes = images["web"].files.bytes("usr/bin/curl").expect("the package is there");
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

#[test]
fn a_locked_package_stays_until_it_is_renewed() {
    let Some(shop) = AlpineShop::new(&[curl("8.9.1-r1"), libcurl("8.9.1-r1")], SETTINGS) else { return };
    shop.succeeds(&BUILD);
    let lock = shop.lock().replace(&shop.registry.host(), "[HOST]");
    let packages = lock[lock.find("[[base.package]]").expect("there are packages")..].to_owned();
    assert_snapshot!(without_checksums(&packages), @r#"
    [[base.package]]
    platform = "linux/amd64"
    name = "curl"
    version = "8.9.1-r1"
    checksum = "Q1…"

    [[base.package]]
    platform = "linux/amd64"
    name = "libcurl"
    version = "8.9.1-r1"
    checksum = "Q1…"
    "#);

    // The repository has a newer one beside it.
    shop.publish(&[curl("8.9.1-r1"), curl("8.9.1-r2"), libcurl("8.9.1-r1"), libcurl("8.9.1-r2")]);
    shop.succeeds(&LOCKED);
    assert_eq!(client(&shop), "client 8.9.1-r1\n");

    // The repository has only the newer one.
    shop.publish(&[curl("8.9.1-r2"), libcurl("8.9.1-r2")]);
    let refused = shop.run(&BUILD);
    assert_snapshot!(without_checksums(&refused.to_string()), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/alpine:3
    resolving Alpine packages
    error: the lock has another package than the repository, `curl-8.9.1-r1 (Q1…)` and `curl-8.9.1-r2 (Q1…)`
    hint: renew the lock: `pirogue base update`
    ");
    let before = shop.lock();

    let dry = shop.succeeds(&["base", "update", "--dry-run"]);
    assert_eq!(shop.lock(), before);
    let updated = shop.succeeds(&["base", "update"]);
    assert_snapshot!(without_digests(&updated.stdout), @r"
    [HOST]/base/alpine:3
      unchanged: [HEX]
      linux/amd64  packages added to it
        curl 8.9.1-r1 -> 8.9.1-r2
        libcurl 8.9.1-r1 -> 8.9.1-r2

    written: [DIR]/workspace/pirogue.lock
    ");
    let changes = |text: &str| text.lines().filter(|line| line.contains("curl")).collect::<Vec<_>>().join("\n");
    assert_eq!(changes(&dry.stdout), changes(&updated.stdout));
    assert_eq!(shop.locked_packages(), ["linux/amd64 curl 8.9.1-r2", "linux/amd64 libcurl 8.9.1-r2"]);
    shop.succeeds(&LOCKED);
    assert_eq!(client(&shop), "client 8.9.1-r2\n");
    let again = shop.succeeds(&["base", "update"]);
    assert!(again.stdout.contains("The lock is up to date."), "{again}");
}

/// Checksums are of bytes that were compressed here.
fn without_checksums(text: &str) -> String {
    let masked = |part: &str| match part.find(['"', ')']) {
        Some(end) => format!("…{}", &part[end..]),
        None => part.to_owned(),
    };
    let mut parts = text.split("Q1");
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |text, part| format!("{text}Q1{}", masked(part)))
}

#[test]
fn locked_refuses_packages_that_the_lock_does_not_have() {
    let packages = [curl("8.9.1-r1"), libcurl("8.9.1-r1"), Apk::new("tini", "0.19.0-r3")];
    let Some(shop) = AlpineShop::new(&packages, SETTINGS) else { return };
    assert_snapshot!(shop.run(&LOCKED), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    error: `--locked`, but pirogue.lock has no entry for the base: `[HOST]/base/alpine:3`
    hint: build once without `--locked`, and check pirogue.lock in
    ");
    shop.succeeds(&BUILD);
    shop.set("platforms = [\"linux/amd64\"]\nbase.packages = [\"curl\", \"tini\"]\n");
    let before = shop.lock();
    assert_snapshot!(shop.run(&LOCKED), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/alpine:3
    resolving Alpine packages
    planning layers
    error: `--locked`, but pirogue.lock does not have the package `tini` that is added to the base: `[HOST]/base/alpine:3`
    hint: build once without `--locked`, and check pirogue.lock in
    ");
    assert_eq!(shop.lock(), before);
    shop.succeeds(&["base", "update"]);
    shop.succeeds(&LOCKED);
    // What no service wants leaves the lock with the next update.
    shop.set(SETTINGS);
    let updated = shop.succeeds(&["base", "update", "--json"]);
    let report: Value = serde_json::from_str(&updated.stdout).unwrap();
    assert_snapshot!(report["bases"][0]["packages"], @r#"[{"platform":"linux/amd64","name":"tini","version_before":"0.19.0-r3","version":null}]"#);
    shop.succeeds(&LOCKED);
}

#[test]
fn reports_and_plans_name_the_packages() {
    let packages = [curl("8.9.1-r1"), libcurl("8.9.1-r1"), Apk::new("tini", "0.19.0-r3")];
    let settings = format!("{SETTINGS}[service.web]\nbase.packages = [\"curl\", \"tini\"]\n");
    let Some(shop) = AlpineShop::new(&packages, &settings) else { return };
    let lines = |run: Run| run.stdout.lines().filter(|line| line.starts_with("Added")).collect::<Vec<_>>().join("\n");
    let built = lines(shop.succeeds(&BUILD));
    assert_snapshot!(built, @r"
    Added to the base of api: curl 8.9.1-r1, libcurl 8.9.1-r1.
    Added to the base of web: curl 8.9.1-r1, libcurl 8.9.1-r1, tini 0.19.0-r3.
    ");
    assert_eq!(lines(shop.succeeds(&["plan"])), built);
    for (verb, more) in [("build", &BUILD[1..]), ("plan", &[])] {
        let run = shop.succeeds(&[&[verb, "--json", "web"], more].concat());
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        let packages = report["services"][0]["images"][0]["system_packages"].to_string();
        assert_eq!(
            packages,
            r#"[{"name":"curl","version":"8.9.1-r1"},{"name":"libcurl","version":"8.9.1-r1"},{"name":"tini","version":"0.19.0-r3"}]"#,
            "{verb}"
        );
    }
}

#[test]
fn each_platform_has_its_packages() {
    let both = |apk: Apk| [apk.clone(), apk.arch("aarch64")];
    let first: Vec<Apk> = [curl("1-r0"), libcurl("1-r0")].into_iter().flat_map(both).collect();
    let settings = SETTINGS.replace("[\"linux/amd64\"]", "[\"linux/amd64\", \"linux/arm64\"]");
    let Some(shop) = AlpineShop::new(&first, &settings) else { return };
    shop.succeeds(&BUILD);
    let second: Vec<Apk> = [curl("2-r0"), libcurl("2-r0")].into_iter().flat_map(both).collect();
    shop.publish(&second);
    // Those that this machine does not build are renewed as well.
    shop.succeeds(&["base", "update", "--platform", "linux/amd64"]);
    let expected =
        ["linux/amd64 curl 2-r0", "linux/amd64 libcurl 2-r0", "linux/arm64 curl 2-r0", "linux/arm64 libcurl 2-r0"];
    assert_eq!(shop.locked_packages(), expected);
    let added = shop.succeeds(&LOCKED);
    assert_snapshot!(added.stdout.lines().find(|line| line.starts_with("Added")).unwrap_or_default(), @"Added to the base of all images: curl 2-r0, libcurl 2-r0.");
    // An index of arm64 that nobody signed counts for nothing on amd64.
    let index = shop.workspace.root().join("apks/aarch64/APKINDEX.tar.gz");
    fs::write(&index, apk::index(&[], None, "sha1")).unwrap();
    shop.succeeds(&[&LOCKED[..], &["--platform", "linux/amd64"]].concat());
    let refused = shop.run(&LOCKED);
    assert!(refused.stderr.contains("has no signature: `./apks/aarch64/APKINDEX.tar.gz`"), "{refused}");
}

/// What a package brings is there for either processor, and programs find it.
#[test]
fn packages_work_on_both_platforms() {
    if !program::are_installed(&["jq", "qemu-aarch64-static", "runc", "umoci"]) {
        return;
    }
    let (Some(base), Some(key)) = (sample::runnable_index(), Key::new("tests@example.com-1.rsa.pub")) else { return };
    let greeting = |arch: &str| {
        let code = format!("module.exports = `hello from ${{process.arch}}, packed for {arch}`;\n");
        Apk::new("greeting", "1-r0").arch(arch).with(Entry::file("usr/share/greeting/index.js", code))
    };
    let workspace = TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
        ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "main": "main.js"}"#),
        ("apps/web/main.js", "console.log(require('/usr/share/greeting'));\n"),
        (
            "pirogue.toml",
            &format!(
                "[base]\nimage = \"{base}\"\npackages = [\"greeting\"]\nrepositories = [\"apks\"]\nkeys = [\"{}\"]\n",
                key.name
            ),
        ),
        (&key.name, &key.public()),
    ]);
    write_repository(&workspace.root().join("apks"), &[greeting("x86_64"), greeting("aarch64")], &key);
    let run = workspace.run(&["build", "--platform", "linux/amd64,linux/arm64", "--to", "oci:../images"]);
    assert_eq!(run.code, Some(0), "{run}");
    layout::validate(&workspace.beside("images"));
    for (architecture, expected) in
        [("amd64", "hello from x64, packed for x86_64\n"), ("arm64", "hello from arm64, packed for aarch64\n")]
    {
        let to = workspace.beside(architecture);
        let arguments = ["copy", "--platform", &format!("linux/{architecture}"), "oci:../images:web"];
        let run = workspace.run(&[&arguments[..], &[&format!("oci:../{architecture}:web")]].concat());
        assert_eq!(run.code, Some(0), "{run}");
        assert_eq!(Container::run("run-image", &[to.to_str().unwrap(), "web"]), expected);
    }
}

/// Its checksum is what vouches for a package.
#[test]
fn a_lock_that_somebody_changed() {
    let Some(shop) = AlpineShop::new(&[curl("8.9.1-r1"), libcurl("8.9.1-r1")], SETTINGS) else { return };
    shop.succeeds(&BUILD);
    let (path, lock) = (shop.workspace.root().join("pirogue.lock"), shop.lock());
    let checksum = lock.split("checksum = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("there is one");
    let another = format!("Q1{}", "A".repeat(27) + "=");
    let table = [("another checksum", another.as_str()), ("none", "Q1!"), ("another kind", "Q9abc=")];
    let mut said = String::new();
    for (comment, changed) in table {
        fs::write(&path, lock.replace(checksum, changed)).unwrap();
        // With everything in the cache, too.
        for cache in ["cache", "new-cache"] {
            let run = shop.run_in(cache, &BUILD);
            assert_eq!(run.code, Some(1), "{comment}: {run}");
            let error = run.stderr.lines().skip_while(|line| !line.starts_with("error")).collect::<Vec<_>>().join("\n");
            let error = error.replace(checksum, "Q1…");
            if cache == "cache" {
                said.push_str(&format!("# {comment}\n{error}\n"));
            } else {
                assert!(said.contains(&error), "{comment}: {error}");
            }
        }
    }
    assert_snapshot!(said, @r"
    # another checksum
    error: the lock has another package than the repository, `curl-8.9.1-r1 (Q1AAAAAAAAAAAAAAAAAAAAAAAAAAA=)` and `curl-8.9.1-r1 (Q1…)`
    hint: renew the lock: `pirogue base update`
    # none
    error: a package in pirogue.lock is wrong: not a checksum of an Alpine package: `Q1!`
    hint: renew the lock: `pirogue base update`
    # another kind
    error: a package in pirogue.lock is wrong: not a checksum of an Alpine package: `Q9abc=`
    hint: renew the lock: `pirogue base update`
    ");
    fs::write(&path, lock.replace("8.9.1-r1", "8.9.1-r0")).unwrap();
    assert!(shop.run(&LOCKED).stderr.contains("the lock has another package than the repository"));
    fs::write(&path, lock).unwrap();
    shop.succeeds(&LOCKED);
}

#[test]
fn another_base_and_its_packages_at_once() {
    let Some(shop) = AlpineShop::new(&[curl("8.9.1-r1"), libcurl("8.9.1-r1")], SETTINGS) else { return };
    shop.succeeds(&BUILD);
    shop.hold(&AlpineBase { release: "3.21.4", ..AlpineBase::default() });
    shop.publish(&[curl("8.10.0-r0"), libcurl("8.10.0-r0")]);
    assert_snapshot!(without_digests(&shop.succeeds(&["base", "update"]).stdout), @r"
    [HOST]/base/alpine:3
      [HEX] -> [HEX]
      linux/amd64  [HEX] -> [HEX]
        Node   unknown, unchanged
        OS     unknown, unchanged
        libc   musl 1.2.5-r9, unchanged
        layers 1 of 1 new, 28.2 kB
      linux/arm64  [HEX] -> [HEX]
      linux/amd64  packages added to it
        curl 8.9.1-r1 -> 8.10.0-r0
        libcurl 8.9.1-r1 -> 8.10.0-r0

    written: [DIR]/workspace/pirogue.lock
    ");
    shop.succeeds(&LOCKED);
    assert_eq!(client(&shop), "client 8.10.0-r0\n");
}

/// Layers here have the signing key of this run.
fn without_digests(text: &str) -> String {
    let is_hex = |word: &str| word.len() == 12 && word.bytes().all(|byte| byte.is_ascii_hexdigit());
    text.split(' ')
        .map(|word| if is_hex(word.trim()) { word.replace(word.trim(), "[HEX]") } else { word.to_owned() })
        .collect::<Vec<_>>()
        .join(" ")
}
