//! Native code that a base can load or not: made by the C compiler, for bases whose C library is made by it too.

mod harness;

use std::collections::BTreeSet;

use harness::build::Build;
use harness::failure::not_passed;
use harness::native_code::{can_be_made, for_machine, library, linked_library, versioned};
use harness::workspace::TestWorkspace;
use harness::{layout, tiny_base};
use insta::assert_snapshot;
use serde_json::Value;

/// ELF's number of the 64-bit ARM.
const AARCH64: u16 = 183;

const WEB: [(&str, &str); 3] = [
    ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
    (
        "apps/web/package.json",
        r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {"addon": "1"}}"#,
    ),
    ("apps/web/dist/main.js", "exports.load = () => require('addon')\n"),
];
const ADDON: (&str, &str) = ("node_modules/addon/package.json", r#"{"name": "addon", "version": "1.0.0"}"#);
const RELEASE: &str = "node_modules/addon/build/Release/addon.node";

/// A workspace with one addon, and bases beside it.
struct Case {
    workspace: TestWorkspace,
    /// The addon as it is built on a system with glibc 2.31, and one with 2.34.
    glibc: [Vec<u8>; 2],
    /// The addon as it is built on Alpine.
    musl: Vec<u8>,
}

impl Case {
    /// `None` where nothing can be compiled.
    fn new() -> Option<Self> {
        if !can_be_made() {
            return None;
        }
        let workspace = TestWorkspace::new(&WEB).and(&[ADDON]);
        let source = "int of_libc(void); int addon(void) { return of_libc(); }";
        let glibc = ["GLIBC_2.31", "GLIBC_2.34"].map(|newest| {
            let libc = versioned("libc.so.6", "of_libc", &["GLIBC_2.2.5", newest]);
            linked_library(source, &[("libc.so.6", &libc)])
        });
        let musl = library("int of_libc(void) { return 0; }", &["-Wl,-soname,libc.musl-x86_64.so.1"]);
        let musl = linked_library(source, &[("libc.musl-x86_64.so.1", &musl)]);
        let case = Self { workspace, glibc, musl };
        // Alpine's libc.musl-x86_64.so.1 is a link to its loader.
        let of_musl = library("int malloc(void) { return 0; }", &[]);
        let files: [(&str, &[u8]); 2] =
            [("lib/ld-musl-x86_64.so.1", &of_musl), ("lib/libc.musl-x86_64.so.1", b"a link\n")];
        tiny_base::write_with(&case.workspace.beside("musl"), "amd64", &files);
        let of_glibc = versioned("libc.so.6", "of_libc", &["GLIBC_2.2.5", "GLIBC_2.31"]);
        let files: [(&str, &[u8]); 2] = [("lib64/libc.so.6", &of_glibc), ("lib64/ld-linux-x86-64.so.2", &of_glibc)];
        tiny_base::write_with(&case.workspace.beside("glibc"), "amd64", &files);
        Some(case)
    }

    fn with(self, path: &str, file: &[u8]) -> Self {
        Self { workspace: self.workspace.with_bytes(path, file), ..self }
    }

    fn and(self, files: &[(&str, &str)]) -> Self {
        Self { workspace: self.workspace.and(files), ..self }
    }

    fn refused(&self, base: &str, options: &[&str]) -> String {
        let base = format!("oci:{}", self.workspace.beside(base).display());
        let arguments = [&["build", "--platform", "linux/amd64", "--base", &base], options].concat();
        not_passed(&self.workspace, &arguments).to_string()
    }

    /// The files below the addon's package in the image, and how many bytes were left out.
    fn built(&self, base: &str) -> (BTreeSet<String>, u64) {
        let (cache, images) = (self.workspace.beside("cache"), self.workspace.beside("images"));
        let build = Build::of(&self.workspace.root(), &cache).with("--platform", "linux/amd64");
        let base = format!("oci:{}", self.workspace.beside(base).display());
        let report = build.base(&base).into_layout(&images).run();
        let images = layout::validate(&images);
        let top = "app/node_modules/addon";
        let files = images["web"].files.iter().filter_map(|(path, _)| path.strip_prefix(top)?.strip_prefix('/'));
        let files = files.filter(|path| *path != "package.json").map(str::to_owned).collect();
        (files, report.image("web")["foreign_variants"]["bytes"].as_u64().unwrap())
    }
}

fn set(paths: &[&str]) -> BTreeSet<String> {
    paths.iter().map(|path| (*path).to_owned()).collect()
}

#[test]
fn what_fits_is_taken() {
    let Some(case) = Case::new() else { return };
    let glibc = case.glibc[0].clone();
    let case = case.with(RELEASE, &glibc);
    assert_eq!(case.built("glibc"), (set(&["build", "build/Release", "build/Release/addon.node"]), 0));
}

#[test]
fn another_c_library() {
    let Some(case) = Case::new() else { return };
    let glibc = case.glibc[0].clone();
    let case = case.with(RELEASE, &glibc);
    assert_snapshot!(case.refused("musl", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/musl
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/build/Release/addon.node: `addon@1.0.0` cannot be loaded on linux-x64 with musl: it is made for glibc, and the base has musl, without `of_libc`: `oci:[DIR]/musl` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

#[test]
fn musl_on_glibc() {
    let Some(case) = Case::new() else { return };
    let musl = case.musl.clone();
    let case = case.with(RELEASE, &musl);
    assert_snapshot!(case.refused("glibc", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/glibc
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/build/Release/addon.node: `addon@1.0.0` cannot be loaded on linux-x64 with glibc: it is made for musl, and the base has glibc, without `libc.musl-x86_64.so.1`: `oci:[DIR]/glibc` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with glibc, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

#[test]
fn too_new_a_c_library() {
    let Some(case) = Case::new() else { return };
    let newer = case.glibc[1].clone();
    let case = case.with(RELEASE, &newer);
    assert_snapshot!(case.refused("glibc", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/glibc
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/build/Release/addon.node: `addon@1.0.0` cannot be loaded on linux-x64 with glibc: it needs GLIBC_2.34 of `libc.so.6`, and the base's ends with GLIBC_2.31: `oci:[DIR]/glibc` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with glibc, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

#[test]
fn a_library_that_nobody_has() {
    let Some(case) = Case::new() else { return };
    let shapes = library("int draw(void) { return 0; }", &["-Wl,-soname,libshapes.so.3"]);
    let addon = linked_library("int draw(void); int addon(void) { return draw(); }", &[("libshapes.so.3", &shapes)]);
    let case = case.with(RELEASE, &addon);
    assert_snapshot!(case.refused("glibc", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/glibc
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/build/Release/addon.node: `addon@1.0.0` cannot be loaded on linux-x64 with glibc: it needs `libshapes.so.3`, which neither the base nor a package of the image has: `oci:[DIR]/glibc` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with glibc, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    // Next to it, it is found.
    let case = case.with("node_modules/addon/build/Release/libshapes.so.3", &shapes);
    assert_eq!(case.built("glibc").0.len(), 4);
}

#[test]
fn another_processor_and_another_system() {
    let Some(case) = Case::new() else { return };
    let arm = for_machine(case.glibc[0].clone(), AARCH64);
    let case = case.with(RELEASE, &arm);
    assert_snapshot!(case.refused("glibc", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/glibc
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/build/Release/addon.node: `addon@1.0.0` cannot be loaded on linux-x64 with glibc: it is made for arm64, and the image is for x64: `oci:[DIR]/glibc` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with glibc, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    let mac = [&b"\xcf\xfa\xed\xfe"[..], &[0; 100]].concat();
    let case = case.with(RELEASE, &mac);
    assert_snapshot!(case.refused("glibc", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/glibc
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/build/Release/addon.node: `addon@1.0.0` cannot be loaded on linux-x64 with glibc: it is made for macOS: `oci:[DIR]/glibc` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with glibc, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

#[test]
fn variants_in_one_package() {
    let Some(case) = Case::new() else { return };
    let (glibc, musl) = (case.glibc[0].clone(), case.musl.clone());
    let arm = for_machine(glibc.clone(), AARCH64);
    let place = |name: &str| format!("node_modules/addon/prebuilds/{name}");
    let case = case.with(&place("linux-x64/addon.glibc.node"), &glibc).with(&place("linux-x64/addon.musl.node"), &musl);
    let case = case.with(&place("linux-arm64/addon.glibc.node"), &arm).with(RELEASE, &glibc);
    let all = [&arm, &glibc, &musl].map(|file| file.len() as u64).iter().sum::<u64>();
    let (files, bytes) = case.built("musl");
    assert_eq!(files, set(&["prebuilds", "prebuilds/linux-x64", "prebuilds/linux-x64/addon.musl.node"]));
    assert_eq!(bytes, all - musl.len() as u64 + glibc.len() as u64);
    let (files, bytes) = case.built("glibc");
    let release = ["build", "build/Release", "build/Release/addon.node"];
    let prebuilt = ["prebuilds", "prebuilds/linux-x64", "prebuilds/linux-x64/addon.glibc.node"];
    assert_eq!(files, set(&[release, prebuilt].concat()));
    assert_eq!(bytes, all - glibc.len() as u64);

    let case = case.and(&[("pirogue.toml", "[service.web]\nforeign-variants = \"keep\"\n")]);
    let (files, bytes) = case.built("musl");
    assert_eq!((files.iter().filter(|path| path.ends_with(".node")).count(), bytes), (4, 0));
}

#[test]
fn a_package_that_is_not_looked_at() {
    let Some(case) = Case::new() else { return };
    let glibc = case.glibc[0].clone();
    let case = case.with(RELEASE, &glibc).and(&[("pirogue.toml", "[package.addon]\nnative = \"keep\"\n")]);
    assert_eq!(case.built("musl").0.len(), 3);
}

/// Of packages that are variants of one, whatever their package.json says or does not say.
#[test]
fn variants_as_packages() {
    let Some(case) = Case::new() else { return };
    let (glibc, musl) = (case.glibc[0].clone(), case.musl.clone());
    let optional = r#"{"name": "addon", "version": "1.0.0",
        "optionalDependencies": {"addon-linux-x64-gnu": "1", "addon-linux-x64-musl": "1"}}"#;
    let variant = |libc: &str| format!(r#"{{"name": "addon-linux-x64-{libc}", "version": "1.0.0"}}"#);
    let case = case.and(&[
        ("node_modules/addon/package.json", optional),
        ("node_modules/addon-linux-x64-gnu/package.json", &variant("gnu")),
        ("node_modules/addon-linux-x64-musl/package.json", &variant("musl")),
    ]);
    let case = case.with("node_modules/addon-linux-x64-gnu/addon.node", &glibc);
    let case = case.with("node_modules/addon-linux-x64-musl/addon.node", &musl);
    let (cache, images) = (case.workspace.beside("cache"), case.workspace.beside("images"));
    for (base, expected) in [("musl", "addon-linux-x64-musl@1.0.0"), ("glibc", "addon-linux-x64-gnu@1.0.0")] {
        let build = Build::of(&case.workspace.root(), &cache).with("--platform", "linux/amd64");
        let base = format!("oci:{}", case.workspace.beside(base).display());
        build.base(&base).into_layout(&images).run();
        let images = layout::validate(&images);
        let packages: BTreeSet<String> = images["web"].files.packages().into_values().collect();
        assert_eq!(packages, set(&["addon@1.0.0", expected]));
    }
    // The one that is there does not fit, and the other is not there.
    let case = Case { workspace: case.workspace.without("node_modules/addon-linux-x64-musl"), ..case };
    assert_snapshot!(case.refused("musl", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/musl
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon/package.json: `addon@1.0.0` has no native code for linux-x64 with musl: its variant `addon-linux-x64-musl` is not installed: `oci:[DIR]/musl` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

/// It names no C library, and there is no other.
#[test]
fn the_only_variant() {
    let Some(case) = Case::new() else { return };
    let glibc = case.glibc[0].clone();
    let optional = r#"{"name": "addon", "version": "1.0.0", "optionalDependencies": {"addon-linux-x64": "1"}}"#;
    let case = case.and(&[
        ("node_modules/addon/package.json", optional),
        ("node_modules/addon-linux-x64/package.json", r#"{"name": "addon-linux-x64", "version": "1.0.0"}"#),
    ]);
    let case = case.with("node_modules/addon-linux-x64/addon.node", &glibc);
    assert_snapshot!(case.refused("musl", &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[DIR]/musl
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/addon-linux-x64/addon.node: `addon-linux-x64@1.0.0` cannot be loaded on linux-x64 with musl: it is made for glibc, and the base has musl, without `of_libc`: `oci:[DIR]/musl` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."addon-linux-x64"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

/// What code asks for by its path, and what was left out since the platform cannot load it.
#[test]
fn the_checks_know_what_was_left_out() {
    let Some(case) = Case::new() else { return };
    let (musl, arm) = (case.musl.clone(), for_machine(case.musl.clone(), AARCH64));
    let asks = |arch: &str| format!("require('./prebuilds/linux-{arch}/addon.node')\n");
    let place = |arch: &str| format!("node_modules/addon/prebuilds/linux-{arch}/addon.node");
    let case = case.with(&place("x64"), &musl).with(&place("arm64"), &arm);
    let case = case.and(&[("apps/web/dist/main.js", "require('addon')\n")]);
    let errors = |workspace: &TestWorkspace| {
        let run = workspace.run(&["check", "--json", "--base", "oci:../musl", "--platform", "linux/amd64"]);
        let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
        let findings = report["services"][0]["findings"].as_array().expect("a list").iter();
        let imports = findings.filter(|it| it["code"] == "import-missing");
        imports.map(|it| it["message"].as_str().expect("a text").to_owned()).collect::<Vec<_>>()
    };
    let case = case.and(&[("node_modules/addon/index.js", &asks("arm64"))]);
    assert_snapshot!(errors(&case.workspace).join("\n"), @"`addon@1.0.0` asks at the start for `./prebuilds/linux-arm64/addon.node`, which was left out of the image: native code for another platform");
    let case = case.and(&[("node_modules/addon/index.js", &asks("x64"))]);
    assert_eq!(errors(&case.workspace), [""; 0]);
}
