//! Packages with native code as they are published and installed on this machine, for bases with another C library.

mod harness;

use std::collections::BTreeSet;

use harness::build::Build;
use harness::container::Container;
use harness::failure::not_passed;
use harness::package_manager;
use harness::workspace::TestWorkspace;
use harness::{layout, program, sample, scratch};
use insta::assert_snapshot;

const ROOT: (&str, &str) = ("package.json", r#"{"name": "natives", "private": true, "workspaces": ["apps/*"]}"#);

/// A workspace whose service has these dependencies and this code, installed by npm on this machine without any script.
fn installed(dependencies: &str, code: &str) -> Option<TestWorkspace> {
    if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
        harness::skip("this machine's packages are not those for x86-64 with glibc");
        return None;
    }
    if !program::are_installed(&["npx", "node", "jq", "runc", "umoci"]) {
        return None;
    }
    let package_json =
        format!(r#"{{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {dependencies}}}"#);
    let workspace =
        TestWorkspace::new(&[ROOT, ("apps/web/package.json", &package_json), ("apps/web/dist/main.js", code)]);
    let install = ["install", "--ignore-scripts", "--no-audit", "--no-fund"];
    package_manager::run(&workspace.root(), "npm@11", "npm", &install)?;
    Some(workspace)
}

fn build(workspace: &TestWorkspace, base: &str) -> Build {
    Build::of(&workspace.root(), &scratch::folder().join("cache")).base(base).with("--platform", "linux/amd64")
}

/// What the service says in a container.
fn said(workspace: &TestWorkspace, build: Build) -> Option<String> {
    let layout = workspace.beside("layout");
    build.into_layout(&layout).run_if_packages_can_be_fetched()?;
    layout::validate(&layout);
    Some(Container::run("run-image", &[layout.to_str().unwrap(), "web"]).trim().to_owned())
}

/// What is refused, with nothing in it of this machine.
fn refused(workspace: &TestWorkspace, base: &str, options: &[&str]) -> String {
    let arguments = [&["build", "--platform", "linux/amd64", "--base", base], options].concat();
    not_passed(workspace, &arguments).replaced(base, "[BASE]").to_string()
}

#[test]
fn prebuilt_for_all_platforms_in_one_package() {
    let Some(base) = sample::runnable_base() else { return };
    let code = "console.log(require('bcrypt').hashSync('secret', 4).slice(0, 7))\n";
    let Some(workspace) = installed(r#"{"bcrypt": "6.0.0"}"#, code) else { return };
    let layout = workspace.beside("layout");
    let report = build(&workspace, &base).into_layout(&layout).run();
    let images = layout::validate(&layout);
    let addons = images["web"].files.iter().map(|(path, _)| path).filter(|path| path.ends_with(".node"));
    assert_eq!(addons.collect::<Vec<_>>(), ["app/node_modules/bcrypt/prebuilds/linux-x64/bcrypt.musl.node"]);
    let foreign = &report.image("web")["foreign_variants"];
    assert_eq!((foreign["files"].as_u64(), foreign["bytes"].as_u64().unwrap() > 500_000), (Some(9), true), "{foreign}");
    assert_eq!(Container::run("run-image", &[layout.to_str().unwrap(), "web"]).trim(), "$2b$04$");
}

#[test]
fn variants_for_this_machine_only() {
    let Some(base) = sample::runnable_base() else { return };
    let code = "const hash = require('@node-rs/argon2').hashSync('secret');\n\
                require('sharp')({ create: { width: 2, height: 2, channels: 3, background: 'red' } }).png().toBuffer()\n\
                .then(png => console.log(hash.slice(0, 9), png.toString('latin1', 1, 4)));\n";
    let Some(workspace) = installed(r#"{"@node-rs/argon2": "2.0.2", "sharp": "0.33.5"}"#, code) else { return };
    assert_snapshot!(refused(&workspace, &base, &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [BASE]
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/@node-rs/argon2/package.json: `@node-rs/argon2@2.0.2` has no native code for linux-x64 with musl: its variant `@node-rs/argon2-linux-x64-musl` is not installed: `[BASE]` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."@node-rs/argon2"]` in pirogue.toml
      web: /app/node_modules/sharp/package.json: `sharp@0.33.5` has no native code for linux-x64 with musl: its variant `@img/sharp-linuxmusl-x64` is not installed: `[BASE]` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."sharp"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);

    let fixed = build(&workspace, &base).option("--fix-natives");
    let Some(said) = said(&workspace, fixed) else { return };
    assert_eq!(said, "$argon2id PNG");
    let images = layout::validate(&workspace.beside("layout"));
    let packages = images["web"].files.packages();
    let variants = packages.values().filter(|label| label.contains("linux"));
    let expected = [
        "@img/sharp-libvips-linuxmusl-x64@1.0.4",
        "@img/sharp-linuxmusl-x64@0.33.5",
        "@node-rs/argon2-linux-x64-musl@2.0.2",
    ];
    assert_eq!(variants.collect::<BTreeSet<_>>(), expected.map(str::to_owned).iter().collect());
}

#[test]
fn a_variant_that_is_asked_for_by_name() {
    let Some(base) = sample::runnable_base() else { return };
    let Some(workspace) = installed(r#"{"@node-rs/argon2-linux-x64-gnu": "2.0.2"}"#, "\n") else { return };
    assert_snapshot!(refused(&workspace, &base, &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [BASE]
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/@node-rs/argon2-linux-x64-gnu/argon2.linux-x64-gnu.node: `@node-rs/argon2-linux-x64-gnu@2.0.2` cannot be loaded on linux-x64 with musl: it is made for glibc, and the base has musl, without `ld-linux-x86-64.so.2`: `[BASE]` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."@node-rs/argon2-linux-x64-gnu"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    assert_snapshot!(refused(&workspace, &base, &["--fix-natives"]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [BASE]
    fetching 1 of 1 packages
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/@node-rs/argon2-linux-x64-gnu/argon2.linux-x64-gnu.node: `@node-rs/argon2-linux-x64-gnu@2.0.2` cannot be loaded on linux-x64 with musl: it is made for glibc, and the base has musl, without `ld-linux-x86-64.so.2`: `[BASE]` [native-misfit]
        the lockfile has nothing that fits: install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."@node-rs/argon2-linux-x64-gnu"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
}

/// A package that was compiled here, and comes prebuilt too.
#[test]
fn what_was_compiled_here_gives_way_to_what_is_prebuilt() {
    let Some(base) = sample::runnable_base() else { return };
    let code = "console.log(require('bcrypt').hashSync('secret', 4).slice(0, 7))\n";
    let Some(workspace) = installed(r#"{"bcrypt": "6.0.0"}"#, code) else { return };
    let package = workspace.root().join("node_modules/bcrypt");
    let compiled = std::fs::read(package.join("prebuilds/linux-arm64/bcrypt.glibc.node")).unwrap();
    let workspace = workspace.without("node_modules/bcrypt/prebuilds");
    let workspace = workspace.with_bytes("node_modules/bcrypt/build/Release/bcrypt.node", &compiled);
    assert_snapshot!(refused(&workspace, &base, &[]), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [BASE]
    planning layers
    error: the service `web` does not fit its base
      web: /app/node_modules/bcrypt/build/Release/bcrypt.node: `bcrypt@6.0.0` cannot be loaded on linux-x64 with musl: it is made for arm64, and the image is for x64: `[BASE]` [native-misfit]
        `--fix-natives` takes what fits from the npm registry, where the lockfile has it; else install it on linux-x64 with musl, or name a base that it fits; if nothing loads it there: `native = "keep"` under `[package."bcrypt"]` in pirogue.toml
    hint: what each code means, and how to accept it, stands in docs/checks.md
    "#);
    let fixed = build(&workspace, &base).option("--fix-natives");
    let Some(said) = said(&workspace, fixed) else { return };
    assert_eq!(said, "$2b$04$");
}
