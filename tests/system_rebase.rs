//! `pirogue rebase` of images to whose base something was added: packages of Alpine, an init.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use harness::alpine_base::AlpineBase;
use harness::alpine_shop::AlpineShop;
use harness::apk::{Apk, Entry};
use harness::native_code;
use harness::workspace::Run;
use harness::{layout, sha256};
use insta::assert_snapshot;
use serde_json::{Value, json};

const CONTRACT: &str = "dev.pirogue.contract";
const SERVICES: [&str; 2] = ["api", "web"];

/// Packages for both processors, in one version.
fn packages(version: &str) -> Vec<Apk> {
    let curl = Apk::new("curl", version)
        .depends("so:libcurl.so.4")
        .with(Entry::program("usr/bin/curl", format!("client {version}\n")))
        .with(Entry::directory("var/lib/curl").mode(0o750).owner(9, "curl", 9, "curl"));
    let library = Apk::new("libcurl", version).provides("so:libcurl.so.4=4.8.0");
    let library = library.with(Entry::program("usr/lib/libcurl.so.4", format!("library {version}\n")));
    let tool = Apk::new("tool", version).with(Entry::program("usr/bin/tool", format!("tool {version}\n")));
    let tool = tool.script("post-install", "#!/bin/sh\nexit 1\n");
    let tini = Apk::new("tini", version).with(Entry::program("sbin/tini", "an init\n"));
    let all = [curl, library, tool, tini];
    let arm = all.clone().into_iter().map(|package| package.arch("aarch64"));
    all.clone().into_iter().chain(arm).collect()
}

fn renewed_base() -> AlpineBase {
    AlpineBase { release: "3.21.4", ..AlpineBase::default() }
}

/// Has a shop push its images upon the first base, and moves base and packages on.
fn pushed(settings: &str) -> Option<AlpineShop> {
    let shop = AlpineShop::new(&packages("1-r0"), settings)?;
    let init = native_code::program(true);
    fs::create_dir(shop.workspace.root().join("bin")).unwrap();
    fs::write(shop.workspace.root().join("bin/my-init"), init).unwrap();
    shop.succeeds(&["build", "--no-check"]);
    shop.hold(&renewed_base());
    shop.publish(&packages("2-r0"));
    Some(shop)
}

/// A rebase in a directory with `pirogue.toml`, `pirogue.lock` and the folder of packages, on a machine that has seen nothing.
fn rebase(shop: &AlpineShop, more: &[&str]) -> Run {
    let operations = shop.workspace.beside("operations");
    if !operations.exists() {
        fs::create_dir(&operations).unwrap();
        symlink(shop.workspace.root().join("apks"), operations.join("apks")).unwrap();
    }
    for file in ["pirogue.toml", "pirogue.lock"] {
        fs::copy(shop.workspace.root().join(file), operations.join(file)).unwrap();
    }
    shop.run_in("operations-cache", &[&["rebase", "-C", "../operations", "api", "web"], more].concat())
}

fn deployed(shop: &AlpineShop) -> BTreeMap<String, String> {
    let state = shop.registry.state();
    let digest = |service: &str| state.repositories[&format!("shop/{service}")].tags["latest"].clone();
    SERVICES.iter().map(|service| ((*service).to_owned(), digest(service))).collect()
}

/// What a build of the sources would push now.
fn fresh(shop: &AlpineShop) -> BTreeMap<String, String> {
    let built = shop.succeeds(&["build", "--no-check", "--json", "--locked", "--to", "oci:../fresh"]);
    let report: Value = serde_json::from_str(&built.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let services = report["services"].as_array().unwrap().iter();
    services.map(|service| (text(&service["name"]), text(&service["digest"]))).collect()
}

const BOTH: &str = "platforms = [\"linux/amd64\", \"linux/arm64\"]\n";
const ONE: &str = "platforms = [\"linux/amd64\"]\n";

#[test]
fn a_moved_image_has_the_packages_that_a_build_would_add() {
    let init = sha256(&native_code::program(true)).replace("sha256:", "");
    let of_file = format!("init = {{ file = \"bin/my-init\", sha256 = \"{init}\" }}\n");
    let table = [
        ("packages", format!("{BOTH}base.packages = [\"curl\"]\n")),
        ("an init", format!("{BOTH}init = \"tini\"\n")),
        (
            "packages with a version, of one service, and an init before an entrypoint",
            format!(
                "{BOTH}[service.web]\nbase.packages = [\"curl>0\", \"tini\"]\ninit = \"tini\"\nentrypoint = [\"/bin/sh\"]\n"
            ),
        ),
        (
            "a package without its script",
            format!("{BOTH}base.packages = [\"tool\"]\n[apk.tool]\ninstall-script = \"skip\"\n"),
        ),
        ("an init of one file", format!("{ONE}{of_file}")),
        (
            "that and packages, in a directory of theirs",
            format!("{ONE}{of_file}base.packages = [\"curl\"]\nwritable = [\"/var/lib/curl/shop\"]\n"),
        ),
    ];
    for (comment, settings) in table {
        let Some(shop) = pushed(&settings) else { return };
        let before = deployed(&shop);
        shop.succeeds(&["base", "update"]);
        let moved = rebase(&shop, &["--json"]);
        assert_eq!(moved.code, Some(0), "{comment}: {moved}");
        let now = deployed(&shop);
        assert_eq!(now, fresh(&shop), "{comment}");
        assert!(SERVICES.iter().all(|service| now[*service] != before[*service]), "{comment}");

        let out = shop.workspace.beside("out");
        for service in SERVICES {
            let from = format!("{}/shop/{service}", shop.registry.host());
            shop.succeeds(&["copy", &from, &format!("oci:{}:{service}", out.display())]);
        }
        let images = layout::validate(&out);
        let has_packages = images.values().filter_map(|image| image.files.bytes("lib/apk/db/installed"));
        let old = has_packages.filter(|text| String::from_utf8_lossy(text).contains("V:1-r0"));
        assert_eq!(old.count(), 0, "{comment}: the packages are those of now");
        let again = rebase(&shop, &[]);
        assert!(again.stdout.contains("up to date"), "{comment}: {again}");
        assert_eq!(deployed(&shop), now, "{comment}");
    }
}

/// The contract of a service's image for the first platform.
fn contract(shop: &AlpineShop, service: &str) -> Value {
    let state = shop.registry.state();
    let contents = &state.repositories[&format!("shop/{service}")];
    let read = |digest: &str| serde_json::from_slice::<Value>(&contents.manifests[digest].1).unwrap();
    let mut manifest = read(&contents.tags["latest"]);
    if let Some(list) = manifest["manifests"].as_array() {
        manifest = read(list[0]["digest"].as_str().unwrap());
    }
    serde_json::from_str(manifest["annotations"][CONTRACT].as_str().unwrap()).unwrap()
}

/// Has a service's image say something else of its making.
fn with_contract(shop: &AlpineShop, service: &str, alter: impl Fn(&mut Value)) {
    let mut contract = contract(shop, service);
    alter(&mut contract);
    let mut state = shop.registry.state();
    let contents = state.repositories.get_mut(&format!("shop/{service}")).unwrap();
    let mut manifest: Value = serde_json::from_slice(&contents.manifests[&contents.tags["latest"]].1).unwrap();
    manifest["annotations"][CONTRACT] = contract.to_string().into();
    let bytes = manifest.to_string().into_bytes();
    contents.tags.insert("latest".to_owned(), sha256(&bytes));
    contents.manifests.insert(sha256(&bytes), (manifest["mediaType"].as_str().unwrap().to_owned(), bytes));
}

#[test]
fn what_an_image_says_of_what_was_added() {
    let init = sha256(&native_code::program(true));
    let settings = format!(
        "{ONE}init = {{ file = \"bin/my-init\", sha256 = \"{}\" }}\nbase.packages = [\"curl\", \"tool\"]\n\
         [apk.tool]\ninstall-script = \"skip\"\n[apk.other]\ninstall-script = \"skip\"\n",
        init.replace("sha256:", "")
    );
    let Some(shop) = pushed(&settings) else { return };
    let said = contract(&shop, "web")["system"].to_string().replace(&init, "[DIGEST]");
    assert_snapshot!(said, @r#"{"packages":["curl","tool"],"without_scripts":["tool"],"init":{"file":{"place":"/sbin/my-init","sha256":"[DIGEST]"}},"installed":["libcurl-1-r0","curl-1-r0","tool-1-r0"]}"#);
}

#[test]
fn what_cannot_be_added_again() {
    let settings = format!("{ONE}base.packages = [\"curl\"]\n");
    let refused = |change: &dyn Fn(&AlpineShop)| {
        let Some(shop) = pushed(&settings) else { return String::new() };
        change(&shop);
        let before = deployed(&shop);
        let run = rebase(&shop, &[]);
        assert_eq!(run.code, Some(1), "{run}");
        assert_eq!(deployed(&shop), before, "nothing was pushed");
        let error = run.stderr.lines().skip_while(|line| !line.starts_with("error"));
        let error: Vec<_> = error.collect();
        // Checksums are of bytes that were compressed here.
        let masked = |part: &str| part.find([')', '`']).map_or(part.to_owned(), |end| format!("…{}", &part[end..]));
        let text = error.join("\n");
        let mut parts = text.split("Q1");
        let first = parts.next().unwrap_or_default().to_owned();
        parts.fold(first, |text, part| format!("{text}Q1{}", masked(part)))
    };
    let renewed = |shop: &AlpineShop| _ = shop.succeeds(&["base", "update"]);
    let without_curl = |shop: &AlpineShop| {
        renewed(shop);
        let mut packages = packages("2-r0");
        packages.retain(|package| package.name != "curl");
        shop.publish(&packages);
    };
    let with_script = |shop: &AlpineShop| {
        let mut packages = packages("3-r0");
        packages.iter_mut().for_each(|package| package.scripts = vec![("post-install".into(), "#!/bin/sh\n".into())]);
        shop.publish(&packages);
        renewed(shop);
    };
    let tampered = |shop: &AlpineShop| {
        renewed(shop);
        let index = shop.workspace.root().join("apks/x86_64/APKINDEX.tar.gz");
        let mut bytes = fs::read(&index).unwrap();
        let place = bytes.len() - 9;
        bytes[place] ^= 1;
        fs::write(index, bytes).unwrap();
    };
    let another_package = |shop: &AlpineShop| {
        renewed(shop);
        let file = shop.workspace.root().join("apks/x86_64/curl-2-r0.apk");
        fs::write(file, Apk::new("curl", "2-r0").build(Some(&shop.key)).bytes).unwrap();
    };
    let strange = |shop: &AlpineShop| {
        renewed(shop);
        with_contract(shop, "web", |contract| contract["system"]["packages"] = json!(["curl|sh"]));
        with_contract(shop, "api", |contract| contract["system"]["init"] = json!({"package": "upstart"}));
    };
    let said = [
        ("the repository moved on, and the lock did not", refused(&|_| ())),
        ("the repository lost it", refused(&without_curl)),
        ("it has a script now", refused(&with_script)),
        ("somebody changed the index", refused(&tampered)),
        ("somebody changed the package", refused(&another_package)),
        ("the contract asks for what is no package", refused(&strange)),
    ];
    let said: String = said.iter().map(|(comment, said)| format!("# {comment}\n{said}\n\n")).collect();
    assert_snapshot!(said, @r"
    # the repository moved on, and the lock did not
    error: the lock has another package than the repository, `curl-1-r0 (Q1…)` and `curl-2-r0 (Q1…)`
    hint: renew the lock: `pirogue base update`

    # the repository lost it
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): no repository of the base has what is wanted: `curl`
      `[HOST]/shop/web:latest` (linux/amd64): no repository of the base has what is wanted: `curl`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them

    # it has a script now
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): the package runs a script when it is installed (post-install): `libcurl`
      `[HOST]/shop/web:latest` (linux/amd64): the package runs a script when it is installed (post-install): `libcurl`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them

    # somebody changed the index
    error: the index of packages is not what its signature says: `../operations/apks/x86_64/APKINDEX.tar.gz`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror

    # somebody changed the package
    error: the package is not the one that the index has, whose checksum is `Q1…`: `curl-2-r0`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror

    # the contract asks for what is no package
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): no init that this pirogue knows: `upstart`
      `[HOST]/shop/web:latest` (linux/amd64): no repository of the base has what is wanted: `curl|sh`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
}

/// Of an image with an init of one file its lowest layer is read.
#[test]
fn a_layer_that_somebody_changed() {
    let init = sha256(&native_code::program(true));
    let settings = format!("{ONE}init = {{ file = \"bin/my-init\", sha256 = \"{}\" }}\n", init.replace("sha256:", ""));
    let Some(shop) = pushed(&settings) else { return };
    shop.succeeds(&["base", "update"]);
    for service in SERVICES {
        let mut state = shop.registry.state();
        let contents = state.repositories.get_mut(&format!("shop/{service}")).unwrap();
        let manifest: Value = serde_json::from_slice(&contents.manifests[&contents.tags["latest"]].1).unwrap();
        let layer = manifest["layers"][1]["digest"].as_str().unwrap();
        let bytes = contents.blobs.get_mut(layer).unwrap();
        let place = bytes.len() / 2;
        bytes[place] ^= 1;
    }
    let before = deployed(&shop);
    let run = rebase(&shop, &[]);
    assert_eq!(run.code, Some(1), "{run}");
    assert_eq!(deployed(&shop), before, "nothing was pushed");
    let error = run.stderr.lines().find(|line| line.starts_with("error")).unwrap_or_default();
    assert!(error.contains("the digest is `sha256:"), "{run}");
}

/// It comes from the image, where anybody who may push could have changed it.
#[test]
fn an_init_that_is_not_what_the_image_says() {
    let init = sha256(&native_code::program(true));
    let settings = format!("{ONE}init = {{ file = \"bin/my-init\", sha256 = \"{}\" }}\n", init.replace("sha256:", ""));
    let Some(shop) = pushed(&settings) else { return };
    shop.succeeds(&["base", "update"]);
    with_contract(&shop, "web", |contract| contract["system"]["init"]["file"]["sha256"] = json!(sha256(b"another")));
    with_contract(&shop, "api", |contract| contract["system"]["init"]["file"]["place"] = json!("/sbin/another"));
    assert_snapshot!(rebase(&shop, &[]), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/alpine:3
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): it does not hold the program that it says is its init: `/sbin/another`
      `[HOST]/shop/web:latest` (linux/amd64): it does not hold the program that it says is its init: `/sbin/my-init`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
}
