//! Packages with variants for systems, processors and C libraries, from every manager's lockfile: an image has those that
//! its base can run, and no others.

mod harness;

use std::collections::BTreeSet;
use std::fs;

use harness::build::Build;
use harness::container::Container;
use harness::package_manager::{self, BUN, NPM, PNPM, PackageManager, YARN};
use harness::sample;
use harness::workspace::TestWorkspace;
use harness::{layout, program, scratch, tiny_base};

const WORKSPACE: [(&str, &str); 3] = [
    ("package.json", r#"{"name": "variants", "private": true, "workspaces": ["apps/*", "packages/*"]}"#),
    (
        "apps/web/package.json",
        r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js",
            "dependencies": {"@node-rs/argon2": "2.0.2", "esbuild": "0.25.0", "sharp": "0.33.5"}}"#,
    ),
    (
        "apps/web/dist/main.js",
        "const { code } = require('esbuild').transformSync('let answer: number = 42', { loader: 'ts' });\n\
         const hash = require('@node-rs/argon2').hashSync('secret');\n\
         require('sharp')({ create: { width: 2, height: 2, channels: 3, background: 'red' } }).png().toBuffer()\n\
         .then(png => console.log(code.trim(), hash.slice(0, 9), png.toString('latin1', 1, 4)));\n",
    ),
];

/// The names of all variants begin so.
const VARIANTS: [&str; 3] = ["@esbuild/", "@node-rs/argon2-", "@img/"];

/// What bases have, by the processor and the loader of their C library.
const BASES: [(&str, &str, &[&str]); 4] = [
    (
        "amd64",
        "lib/ld-musl-x86_64.so.1",
        &[
            "@esbuild/linux-x64",
            "@img/sharp-libvips-linuxmusl-x64",
            "@img/sharp-linuxmusl-x64",
            "@node-rs/argon2-linux-x64-musl",
        ],
    ),
    (
        "arm64",
        "lib/ld-musl-aarch64.so.1",
        &[
            "@esbuild/linux-arm64",
            "@img/sharp-libvips-linuxmusl-arm64",
            "@img/sharp-linuxmusl-arm64",
            "@node-rs/argon2-linux-arm64-musl",
        ],
    ),
    (
        "amd64",
        "lib64/ld-linux-x86-64.so.2",
        &[
            "@esbuild/linux-x64",
            "@img/sharp-libvips-linux-x64",
            "@img/sharp-linux-x64",
            "@node-rs/argon2-linux-x64-gnu",
        ],
    ),
    (
        "arm64",
        "lib/unknown-to-everybody.so",
        &[
            "@esbuild/linux-arm64",
            "@img/sharp-libvips-linux-arm64",
            "@img/sharp-libvips-linuxmusl-arm64",
            "@img/sharp-linux-arm64",
            "@img/sharp-linuxmusl-arm64",
            "@node-rs/argon2-linux-arm64-gnu",
            "@node-rs/argon2-linux-arm64-musl",
        ],
    ),
];

#[test]
fn npm() {
    let Some(workspace) = looked_at(&NPM) else { return };
    // And what is there works.
    if !program::are_installed(&["jq", "runc", "umoci"]) {
        return;
    }
    let Some(base) = sample::runnable_base() else { return };
    let layout = workspace.beside("runnable");
    if build(&workspace).base(&base).into_layout(&layout).run_if_packages_can_be_fetched().is_none() {
        return;
    }
    layout::validate(&layout);
    let said = Container::run("run-image", &[layout.to_str().unwrap(), "web"]);
    assert_eq!(said.trim(), "let answer = 42; $argon2id PNG");
}

#[test]
fn pnpm() {
    looked_at(&PNPM);
}

#[test]
fn yarn() {
    looked_at(&YARN);
}

#[test]
fn bun() {
    looked_at(&BUN);
}

/// Yarn 2 and later leave out what is made for other platforms, even where it is no optional dependency.
#[test]
fn yarn_leaves_out_dependencies_for_other_platforms() {
    let package_json = r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies":
        {"@esbuild/linux-x64": "0.25.0", "@esbuild/linux-arm64": "0.25.0", "@esbuild/darwin-arm64": "0.25.0"}}"#;
    let workspace = TestWorkspace::new(&WORKSPACE).and(YARN.settings);
    let workspace = workspace.and(&[("apps/web/package.json", package_json), ("apps/web/dist/main.js", "")]);
    if YARN.lock(&workspace).is_none()
        || package_manager::run(&workspace.root(), "@yarnpkg/cli-dist@4.18.1", "yarn", &["install"]).is_none()
    {
        return;
    }
    let installed = fs::read_dir(workspace.root().join("node_modules/@esbuild")).unwrap();
    let installed: BTreeSet<String> =
        installed.map(|entry| format!("@esbuild/{}@0.25.0", entry.unwrap().file_name().to_str().unwrap())).collect();
    assert_eq!(installed.len(), 1, "{installed:?}");
    let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
    let base = workspace.beside("base");
    tiny_base::write(&base, architecture, "lib/unknown-to-everybody.so");
    for packages in ["installed", "lockfile"] {
        let layout = workspace.beside(packages);
        let build = Build::of(&workspace.root(), &scratch::folder().join("cache")).with("--packages", packages);
        let build = build.base(&format!("oci:{}", base.display())).into_layout(&layout);
        if build.run_if_packages_can_be_fetched().is_none() {
            return;
        }
        let images = layout::validate(&layout);
        let found = images["web"].files.packages();
        let found: BTreeSet<String> = found.into_values().filter(|label| label.starts_with("@esbuild/")).collect();
        assert_eq!(found, installed, "{packages}");
    }
}

/// From the lockfile, with tarballs that all tests here share.
fn build(workspace: &TestWorkspace) -> Build {
    Build::of(&workspace.root(), &scratch::folder().join("cache")).locked()
}

/// Looks at the images on every base, with the lockfile of a manager. Gives the workspace, if all could be built.
fn looked_at(manager: &PackageManager) -> Option<TestWorkspace> {
    let workspace = TestWorkspace::new(&WORKSPACE).and(manager.settings);
    manager.lock(&workspace)?;
    assert!(!workspace.root().join("node_modules").exists(), "nothing is installed");
    for (architecture, loader, expected) in BASES {
        let name = loader.replace('/', " ");
        let (base, layout) = (workspace.beside(&format!("base {name}")), workspace.beside(&name));
        tiny_base::write(&base, architecture, loader);
        layout::validate(&base);
        let build = build(&workspace).base(&format!("oci:{}", base.display()));
        let build = build.with("--platform", &format!("linux/{architecture}"));
        build.into_layout(&layout).run_if_packages_can_be_fetched()?;
        let images = layout::validate(&layout);
        let packages = images["web"].files.packages();
        let names = packages.values().filter_map(|label| label.rsplit_once('@')).map(|(name, _)| name);
        let variants: BTreeSet<&str> =
            names.filter(|name| VARIANTS.iter().any(|start| name.starts_with(start))).collect();
        assert_eq!(variants, expected.iter().copied().collect(), "{architecture} {loader}");
    }
    Some(workspace)
}
