//! Packages of the lockfile from a mirror instead of their registry.

mod harness;

use std::fs;

use harness::layout;
use harness::locked_shop::{LockedShop, base};
use harness::misbehaving::{Answer, Misbehaving};
use harness::package_tarball::{Entry, tarball};
use harness::tarball_cache::integrity;
use serde_json::json;

fn bytes() -> Vec<u8> {
    tarball(&[
        Entry::file("package/package.json", r#"{"name": "@acme/left", "version": "1.2.0"}"#),
        Entry::file("package/index.js", "module.exports = 1;\n"),
    ])
}

/// A workspace that depends on `@acme/left`, whose own registry nobody reaches.
fn shop() -> LockedShop {
    let web =
        r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {"@acme/left": "^1.0.0"}}"#;
    let shop = LockedShop::new().and(&[
        (".npmrc", "registry=http://127.0.0.1:1/\n"),
        ("apps/web/dist/main.js", "require('@acme/left');\n"),
        ("apps/web/package.json", web),
    ]);
    shop.locked(|lockfile| {
        let packages = lockfile["packages"].as_object_mut().expect("it has packages");
        packages.remove("node_modules/left");
        packages["apps/web"]["dependencies"] = json!({"@acme/left": "^1.0.0"});
        let left = json!({"version": "1.2.0", "integrity": integrity(&bytes())});
        packages.insert("node_modules/@acme/left".to_owned(), left);
    })
}

/// Builds, and gives the digest of the image.
fn built(shop: &LockedShop, more: &[&str]) -> String {
    let run = shop.workspace.run(&LockedShop::arguments(&base(), more));
    assert_eq!(run.code, Some(0), "{run}");
    let images = layout::validate(&shop.workspace.root().join("images"));
    assert!(images["web"].files.packages().values().any(|label| label == "@acme/left@1.2.0"));
    images["web"].digest.clone()
}

#[test]
fn a_directory_by_any_name_and_a_registry_give_the_same_image() {
    let mut digests = Vec::new();
    for name in ["@acme/left-1.2.0.tgz", "acme-left-1.2.0.tgz"] {
        let shop = shop();
        let mirror = shop.workspace.beside("mirror");
        fs::create_dir_all(mirror.join("@acme")).unwrap();
        fs::write(mirror.join(name), bytes()).unwrap();
        digests.push(built(&shop, &["--offline", "--npm-mirror", mirror.to_str().unwrap()]));
        // What the cache has needs no mirror.
        fs::remove_dir_all(&mirror).unwrap();
        digests.push(built(&shop, &["--offline"]));
    }
    let server = Misbehaving::start(|_| Answer::new(200).body(bytes()));
    let url = format!("http://{}/npm", server.host());
    digests.push(built(&shop(), &["--npm-mirror", &url]));
    let configured = shop().and(&[("pirogue.toml", &format!("npm-mirror = \"{url}/\"\n"))]);
    digests.push(built(&configured, &[]));
    assert_eq!(server.lines(), ["GET /npm/@acme/left/-/left-1.2.0.tgz"; 2]);
    assert!(digests.iter().all(|digest| *digest == digests[0]), "{digests:?}");
}

#[test]
fn a_mirror_has_to_give_what_was_locked() {
    let server = Misbehaving::start(|_| Answer::new(200).body("something else"));
    let shop = shop();
    let run = shop.refused(&["--npm-mirror", &format!("http://{}", server.host())]);
    assert!(run.stderr.starts_with("error: `@acme/left@1.2.0` is not what the lockfile has: "), "{run}");
}
