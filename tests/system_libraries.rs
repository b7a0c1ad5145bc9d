//! Native code, and the libraries for it that a base of Alpine has or that packages add to it: when images are built, and
//! when they are moved to another base.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;

use harness::alpine_base::AlpineBase;
use harness::alpine_shop::AlpineShop;
use harness::apk::{Apk, Entry};
use harness::native_code::{can_be_made, library, linked_library};
use harness::workspace::Run;
use insta::assert_snapshot;
use serde_json::Value;

const SHAPES: &str = "usr/lib/libshapes.so.3";
const LOADER: &str = "lib/ld-musl-x86_64.so.1";
const SETTINGS: &str = "platforms = [\"linux/amd64\"]\n";

/// A shop whose service `web` has an addon that needs a library; on a base whose C library is one.
struct Shapes {
    shop: AlpineShop,
    library: Vec<u8>,
}

impl Shapes {
    /// `None` where nothing can be compiled or signed.
    fn new(settings: &str) -> Option<Self> {
        if !can_be_made() {
            return None;
        }
        let library = library("int draw(void) { return 0; }", &["-Wl,-soname,libshapes.so.3"]);
        let addon = linked_library("int draw(void); int a(void) { return draw(); }", &[("libshapes.so.3", &library)]);
        let shop = AlpineShop::new(&[], &format!("{SETTINGS}{settings}"))?;
        let workspace = shop.workspace.and(&[
            (
                "apps/web/package.json",
                r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {"addon": "1"}}"#,
            ),
            ("node_modules/addon/package.json", r#"{"name": "addon", "version": "1.0.0"}"#),
        ]);
        let workspace = workspace.with_bytes("node_modules/addon/addon.node", &addon);
        Some(Self { shop: AlpineShop { workspace, ..shop }, library })
    }

    /// Moves the tag of the base to one with these libraries.
    fn hold(&self, release: &'static str, libraries: &[&'static str]) {
        let loader = (LOADER, library("int malloc(void) { return 0; }", &[]));
        let others = libraries.iter().map(|path| (*path, self.library.clone()));
        self.shop.hold(&AlpineBase {
            release,
            libraries: [loader].into_iter().chain(others).collect(),
            ..AlpineBase::default()
        });
    }

    /// Has the folder offer a package with the library under this name.
    fn publish(&self, version: &str, path: &str) {
        self.shop.publish(&[Apk::new("shapes", version).with(Entry::program(path, &self.library))]);
    }

    fn build(&self) -> Run {
        self.shop.run(&["build", "--no-check"])
    }

    /// Has the lock follow the base, and moves the images where there are no sources.
    fn rebase(&self) -> Run {
        self.shop.succeeds(&["base", "update"]);
        let (workspace, operations) = (&self.shop.workspace, self.shop.workspace.beside("operations"));
        if !operations.exists() {
            fs::create_dir(&operations).unwrap();
            symlink(workspace.root().join("apks"), operations.join("apks")).unwrap();
        }
        for file in ["pirogue.toml", "pirogue.lock"] {
            fs::copy(workspace.root().join(file), operations.join(file)).unwrap();
        }
        self.shop.run(&["rebase", "-C", "../operations", "api", "web"])
    }

    /// What the services' tags name, and what a build of the sources would push.
    fn deployed_and_fresh(&self) -> [BTreeMap<String, String>; 2] {
        let built = self.shop.succeeds(&["build", "--no-check", "--json", "--locked", "--to", "oci:../fresh"]);
        let report: Value = serde_json::from_str(&built.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let services = report["services"].as_array().unwrap().iter();
        let fresh: BTreeMap<_, _> =
            services.map(|service| (text(&service["name"]), text(&service["digest"]))).collect();
        let state = self.shop.registry.state();
        let deployed =
            fresh.keys().map(|name| (name.clone(), state.repositories[&format!("shop/{name}")].tags["latest"].clone()));
        [deployed.collect(), fresh]
    }
}

#[test]
fn a_package_of_alpine_brings_what_native_code_needs() {
    let Some(shapes) = Shapes::new("") else { return };
    shapes.hold("3.21.3", &[]);
    shapes.publish("1-r0", SHAPES);
    assert_snapshot!(shapes.build(), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/alpine:3
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/addon.node: `addon@1.0.0` cannot be loaded on linux-x64 with musl: it needs `libshapes.so.3`, which neither the base nor a package of the image has: `[HOST]/base/alpine:3` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits, or add the package of Alpine that has the library to `base.packages`; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    shapes.shop.set(&format!("{SETTINGS}base.packages = [\"shapes\"]\n"));
    let run = shapes.build();
    assert_eq!(run.code, Some(0), "{run}");
    // Of one service alone it helps no other.
    shapes.shop.set(&format!("{SETTINGS}[service.api]\nbase.packages = [\"shapes\"]\n"));
    let run = shapes.build();
    assert!(run.stderr.contains("web: /app/node_modules/addon/addon.node: `addon@1.0.0` cannot be loaded"), "{run}");
}

#[test]
fn a_base_that_keeps_the_library() {
    let Some(shapes) = Shapes::new("") else { return };
    shapes.hold("3.21.3", &[SHAPES]);
    let run = shapes.build();
    assert_eq!(run.code, Some(0), "{run}");
    shapes.hold("3.21.4", &[SHAPES, "usr/lib/libother.so.1"]);
    let run = shapes.rebase();
    assert_eq!(run.code, Some(0), "{run}");
    let [deployed, fresh] = shapes.deployed_and_fresh();
    assert_eq!(deployed, fresh);
}

#[test]
fn a_base_that_lost_the_library() {
    let Some(shapes) = Shapes::new("") else { return };
    shapes.hold("3.21.3", &[SHAPES]);
    assert_eq!(shapes.build().code, Some(0));
    shapes.hold("3.21.4", &[]);
    assert_snapshot!(shapes.rebase(), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/alpine:3
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/web:latest` (linux/amd64): native code in the image needs what the base no longer has: `libshapes.so.3`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
}

#[test]
fn a_package_that_lost_the_library() {
    let Some(shapes) = Shapes::new("base.packages = [\"shapes\"]\n") else { return };
    shapes.hold("3.21.3", &[]);
    shapes.publish("1-r0", SHAPES);
    assert_eq!(shapes.build().code, Some(0));
    shapes.publish("2-r0", SHAPES);
    let run = shapes.rebase();
    assert_eq!(run.code, Some(0), "{run}");
    let [deployed, fresh] = shapes.deployed_and_fresh();
    assert_eq!(deployed, fresh);
    shapes.publish("3-r0", "usr/lib/libshapes.so.4");
    let run = shapes.rebase();
    assert!(run.stderr.contains("no longer has: `libshapes.so.3`"), "{run}");
}

/// What was left out for want of a library would come along where the base has it.
#[test]
fn a_base_that_gained_the_library() {
    let Some(shapes) = Shapes::new("") else { return };
    let plain = library("int a(void) { return 0; }", &[]);
    let workspace = shapes.shop.workspace.with_bytes("node_modules/addon/build/Release/addon.node", &plain);
    let shapes = Shapes { shop: AlpineShop { workspace, ..shapes.shop }, ..shapes };
    shapes.hold("3.21.3", &[]);
    let run = shapes.build();
    assert_eq!(run.code, Some(0), "{run}");
    shapes.hold("3.21.4", &[SHAPES]);
    assert_snapshot!(shapes.rebase(), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/alpine:3
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/web:latest` (linux/amd64): native code was chosen for a base without what this one has: `libshapes.so.3`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
}
