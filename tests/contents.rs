//! What is in the images of the sample, and what is not: the merged files, whichever layer they lie in.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;

use harness::build::Build;
use harness::image_files::{FileKind, ImageFiles};
use harness::layout::{self, Image};
use harness::sample;
use harness::tree::{self, Found};
use serde_json::Value;
use tempfile::TempDir;

const USER: (u64, u64) = (1001, 1001);

/// The names that only development needs: the compiler, its types, the test framework, the compiler's settings.
const DEVELOPMENT: [&str; 10] = [
    "@nestjs/testing",
    "@types/bcrypt",
    "@types/express",
    "@types/jsonwebtoken",
    "@types/lodash",
    "@types/node",
    "@types/uuid",
    "@wanzobe/tsconfig",
    "ts-node",
    "typescript",
];

#[test]
fn no_image_has_a_development_package() {
    let Some(sample) = sample::built() else { return };
    for Image { name, files, .. } in sample.images.values() {
        for (path, _) in files.iter() {
            let below = format!("/{path}/");
            let package = DEVELOPMENT.iter().find(|package| below.contains(&format!("/node_modules/{package}/")));
            assert!(package.is_none(), "{name}: {path}");
            assert!(!path.ends_with(".bin/tsc"), "{name}: {path}");
        }
        let packages: BTreeSet<&str> =
            files.iter().filter_map(|(path, _)| path.strip_prefix("app/packages/")).collect();
        assert!(!packages.iter().any(|path| path.starts_with("tsconfig")), "{name}: {packages:?}");
    }
}

#[test]
fn what_is_loaded_without_being_declared_is_there() {
    let Some(sample) = sample::built() else { return };
    let table = [
        ("imported, declared by a sibling alone", "gestion_commerciale_service", "decimal.js@10."),
        ("imported, declared by what is declared", "admin-service", "express@4."),
        ("loaded by @nestjs/common", "analytics-service", "class-validator@0.14."),
        ("loaded by @nestjs/common", "analytics-service", "class-transformer@0.5."),
        ("loaded by @nestjs/microservices", "accounting-service", "kafkajs@2."),
        ("loaded by the name of the driver", "accounting-service", "pg@8."),
        ("imported by a shared package copied into dist", "customer-service", "prom-client@15."),
        (
            "loaded by the hoisted @nestjs/common, which sees no version of the service",
            "customer-service",
            "class-validator@0.14.",
        ),
        ("the service's own version of the same", "customer-service", "class-validator@0.13."),
    ];
    for (comment, service, package) in table {
        let packages = sample.images[service].files.packages();
        assert!(packages.values().any(|found| found.starts_with(package)), "{comment}: {service}: {package}");
    }
}

#[test]
fn a_service_carries_only_what_it_needs() {
    let Some(sample) = sample::built() else { return };
    let table = [
        ("api-gateway", ["typeorm", "bcrypt", "winston", "jsonwebtoken", "pg"]),
        ("admin-service", ["typeorm", "axios", "winston", "helmet", "pg"]),
        ("analytics-service", ["typeorm", "bcrypt", "winston", "axios", "pg"]),
        ("accounting-service", ["bcrypt", "winston", "axios", "helmet", "jsonwebtoken"]),
        ("portfolio-institution-service", ["bcrypt", "winston", "@nestjs/schedule", "helmet", "jsonwebtoken"]),
        ("gestion_commerciale_service", ["bcrypt", "typeorm", "axios", "helmet", "pg"]),
        ("customer-service", ["bcrypt", "typeorm", "winston", "helmet", "pg"]),
    ];
    for (service, absent) in table {
        let packages = sample.images[service].files.packages();
        for name in absent {
            let found = packages.keys().find(|dir| dir.ends_with(&format!("/node_modules/{name}")));
            assert_eq!(found, None, "{service}");
        }
        for other in sample::SERVICES.iter().filter(|other| **other != service) {
            let link = format!("app/node_modules/{other}");
            assert!(sample.images[service].files.get(&link).is_none(), "{service}: {link}");
            let dir = format!("app/apps/{other}");
            assert!(sample.images[service].files.get(&dir).is_none(), "{service}: {dir}");
        }
    }
}

/// Hence nested copies lie where they lay, packages are whole, and nothing was changed on the way.
#[test]
fn every_package_is_the_installed_one_at_its_place() {
    let Some((sample, workspace)) = sample::built().zip(sample::workspace()) else { return };
    let mut looked_at = BTreeMap::new();
    for Image { name, files, .. } in sample.images.values() {
        for (dir, package) in files.packages() {
            let place = dir.strip_prefix("app/").unwrap_or_else(|| panic!("{name}: {dir}"));
            let installed = looked_at.entry(dir.to_owned()).or_insert_with(|| {
                let mut installed = tree::files(&workspace.join(place));
                // What bcrypt brings for other processors is left out; the base has no C library that could tell more.
                installed.retain(|path, _| !path.starts_with("prebuilds/") || path.starts_with("prebuilds/linux-x64/"));
                installed
            });
            assert_same(&format!("{name}: {package}"), files, dir, installed);
        }
    }
    assert!(looked_at.len() > 200, "{}", looked_at.len());
    for nested in [
        "apps/customer-service/node_modules/class-validator",
        "apps/customer-service/node_modules/uuid",
        "apps/gestion_commerciale_service/node_modules/prom-client",
        "node_modules/typeorm/node_modules/uuid",
        "packages/customer-sync/node_modules/uuid",
    ] {
        assert!(looked_at.contains_key(&format!("app/{nested}")), "{nested}");
    }
}

#[test]
fn the_compiled_service_is_shipped_whole() {
    let Some((sample, workspace)) = sample::built().zip(sample::workspace()) else { return };
    for Image { name, files, .. } in sample.images.values() {
        let compiled = tree::files(&workspace.join("apps").join(name).join("dist"));
        assert!(compiled.keys().any(|path| path.ends_with("main.js")), "{name}: {compiled:?}");
        assert_same(name, files, &format!("app/apps/{name}/dist"), &compiled);

        let top = files.iter().filter_map(|(path, _)| path.strip_prefix(&format!("app/apps/{name}/")));
        let top: BTreeSet<&str> = top.filter(|path| !path.contains('/')).collect();
        let beside: Vec<&str> = top.into_iter().filter(|path| *path != "node_modules").collect();
        assert_eq!(beside, ["dist", "package.json"], "{name}");
    }
}

#[test]
fn links_are_relative_and_lead_somewhere() {
    let Some(sample) = sample::built() else { return };
    for Image { name, files, .. } in sample.images.values() {
        let links = files.iter().filter(|(path, _)| path.starts_with("app/") && files.link(path).is_some());
        let mut count = 0;
        for (path, _) in links {
            let end = files.link_leads_to(path);
            let end = end.unwrap_or_else(|| panic!("{name}: {path} -> {:?}", files.link(path)));
            assert!(files.get(&end).is_some(), "{name}: {path} leads to {end}, where nothing is");
            count += 1;
        }
        assert!(count > 1, "{name}");
        assert_eq!(files.link("app/node_modules/@wanzobe/shared"), Some("../../packages/shared"), "{name}");
        assert!(files.bytes("app/packages/shared/dist/index.js").is_some(), "{name}");
    }
    let customer_sync = |service: &str| sample.images[service].files.link("app/node_modules/@wanzobe/customer-sync");
    assert_eq!(customer_sync("customer-service"), Some("../../packages/customer-sync"));
    assert_eq!(customer_sync("api-gateway"), None);
}

#[test]
fn the_base_stays_as_it_is_but_for_the_user() {
    let Some(sample) = sample::built() else { return };
    let bases = layout::validate(Path::new(sample::SMALL_BASE.trim_start_matches("oci:")));
    let base = &bases["20-alpine linux/amd64"].files;
    let added = BTreeMap::from([
        ("etc/passwd", "nodeuser:x:1001:1001::/home/nodeuser:/bin/sh\n"),
        ("etc/group", "nodeuser:x:1001:\n"),
        ("etc/shadow", "nodeuser:!::0:99999:7:::\n"),
    ]);
    for Image { name, files, .. } in sample.images.values() {
        for (path, file) in base.iter() {
            let Some(line) = added.get(path) else {
                assert_eq!(files.get(path), Some(file), "{name}: {path}");
                continue;
            };
            let merged = files.get(path).unwrap();
            assert_eq!((merged.mode, merged.uid, merged.gid), (file.mode, file.uid, file.gid), "{name}: {path}");
            let expected = [base.bytes(path).unwrap(), line.as_bytes()].concat();
            assert!(files.bytes(path).unwrap() == &expected, "{name}: {path}");
        }
        let own = |path: &&str| !["app", "home/nodeuser"].iter().any(|dir| Path::new(path).starts_with(dir));
        let new: Vec<&str> =
            files.iter().map(|(path, _)| path).filter(own).filter(|path| base.get(path).is_none()).collect();
        assert!(new.is_empty(), "{name}: {new:?}");
    }
}

#[test]
fn the_service_owns_its_files_and_its_working_directory() {
    let Some(sample) = sample::built() else { return };
    for Image { name, files, config, .. } in sample.images.values() {
        assert_eq!(config["config"]["User"], "1001:1001", "{name}");
        let working_dir = format!("app/apps/{name}");
        assert_eq!(config["config"]["WorkingDir"], format!("/{working_dir}"), "{name}");
        assert!(files.is_directory(&working_dir) && files.is_directory("home/nodeuser"), "{name}");
        for (path, file) in
            files.iter().filter(|(path, _)| path.starts_with("app") || path.starts_with("home/nodeuser"))
        {
            assert_eq!((file.uid, file.gid), USER, "{name}: {path}");
            let modes: &[u32] = match file.kind {
                FileKind::Directory => &[0o755],
                FileKind::File(_) => &[0o644, 0o755],
                FileKind::Symlink(_) => &[0o777],
            };
            assert!(modes.contains(&file.mode), "{name}: {path}: {:o}", file.mode);
        }
    }
}

#[test]
fn every_document_says_what_it_is() {
    let Some(sample) = sample::built() else { return };
    // The rest is checked of every image; this one others may leave out.
    let index: Value = serde_json::from_slice(&fs::read(sample.layout.join("index.json")).unwrap()).unwrap();
    assert_eq!(index["mediaType"], "application/vnd.oci.image.index.v1+json");
}

/// What installers and developers leave about is no part of an image, and what only has the same name is.
#[test]
fn files_of_the_host_are_left_out_and_their_namesakes_kept() {
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("workspace");
    let kept = [
        ("apps/one/dist/main.js", "require('addon')"),
        ("apps/one/dist/config.gypi", "an application's file"),
        ("apps/one/package.json", r#"{"name": "one", "version": "1.0.0", "dependencies": {"addon": "1.0.0"}}"#),
        ("node_modules/addon/.cache/kept", "a package's file"),
        ("node_modules/addon/.npmrc", "a package's file"),
        ("node_modules/addon/.yarn-integrity", "a package's file"),
        ("node_modules/addon/build/Release/addon.node", "a native addon"),
        ("node_modules/addon/index.js", "module.exports = 1"),
        ("node_modules/addon/lib/.package-lock.json", "a package's file"),
        ("node_modules/addon/lib/build/Makefile", "a package's file"),
        ("node_modules/addon/lib/build/config.gypi", "a package's file"),
        ("node_modules/addon/package.json", r#"{"name": "addon", "version": "1.0.0"}"#),
    ];
    let left_out = [
        (".env", "SECRET=1"),
        (".npmrc", "//registry.example.org/:_authToken=1"),
        ("apps/one/.env", "SECRET=1"),
        ("apps/one/.env.production", "SECRET=1"),
        ("apps/one/.npmrc", "//registry.example.org/:_authToken=1"),
        ("apps/one/node_modules/.cache/left", "out"),
        ("apps/one/node_modules/.yarn-integrity", "{}"),
        ("apps/one/src/main.ts", "import 'addon'"),
        ("node_modules/.cache/left", "out"),
        ("node_modules/.package-lock.json", "{}"),
        ("node_modules/.yarn-integrity", "{}"),
        ("node_modules/addon/build/Makefile", "# Do not edit: generated on this host"),
        ("node_modules/addon/build/Release/obj.target/addon.o", "an object file"),
        ("node_modules/addon/build/addon.target.mk", "# generated on this host"),
        ("node_modules/addon/build/config.gypi", "# generated on this host"),
        ("node_modules/stray/index.js", "module.exports = 2"),
        ("node_modules/stray/package.json", r#"{"name": "stray", "version": "1.0.0"}"#),
        ("package.json", r#"{"name": "root", "private": true, "workspaces": ["apps/*"]}"#),
        ("yarn.lock", "# yarn lockfile v1\n\n\naddon@1.0.0:\n  version \"1.0.0\"\n"),
    ];
    for (path, content) in kept.iter().chain(&left_out) {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
    symlink("../apps/one", root.join("node_modules/one")).unwrap();

    let layout = folder.path().join("layout");
    Build::of(&root, &folder.path().join("cache")).base(sample::SMALL_BASE).into_layout(&layout).run();
    let images = layout::validate(&layout);
    let files = &images["one"].files;
    let in_image = files.iter().filter(|(path, file)| path.starts_with("app/") && file.kind != FileKind::Directory);
    let in_image: BTreeSet<&str> = in_image.map(|(path, _)| path.trim_start_matches("app/")).collect();
    assert_eq!(in_image, kept.iter().map(|(path, _)| *path).collect());
    for (path, content) in kept {
        assert!(files.bytes(&format!("app/{path}")).unwrap() == content.as_bytes(), "{path}");
    }
}

/// Asserts that a directory of an image has exactly these files, but for the packages nested in it.
fn assert_same(comment: &str, files: &ImageFiles, dir: &str, expected: &BTreeMap<String, Found>) {
    let inside = |path: &&str| path.strip_prefix(dir).is_some_and(|rest| rest.starts_with('/'));
    let found: BTreeSet<&str> = files
        .range(dir)
        .map(|(path, _)| path)
        .take_while(|path| path.starts_with(dir))
        .filter(inside)
        .map(|path| &path[dir.len() + 1..])
        .filter(|path| *path != "node_modules" && !path.starts_with("node_modules/"))
        .filter(|path| !files.is_directory(&format!("{dir}/{path}")))
        .collect();
    assert!(
        found.iter().eq(expected.keys()),
        "{comment}: in the image {found:?}, on this machine {:?}",
        expected.keys()
    );
    for (path, file) in expected {
        let in_image = files.get(&format!("{dir}/{path}")).unwrap();
        match (&in_image.kind, file) {
            (FileKind::File(bytes), Found::File(on_host)) => {
                assert!(*bytes == fs::read(on_host).unwrap(), "{comment}: {path}");
                let executable = fs::metadata(on_host).unwrap().permissions().mode() & 0o100 != 0;
                assert_eq!(in_image.mode & 0o100 != 0, executable, "{comment}: {path}");
            }
            (FileKind::Symlink(target), Found::Symlink(on_host)) => assert_eq!(target, on_host, "{comment}: {path}"),
            _ => panic!("{comment}: {path}"),
        }
    }
}
