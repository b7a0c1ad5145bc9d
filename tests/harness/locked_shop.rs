//! A workspace with a lockfile of npm, and a registry with its one package `left`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::failure::failed_to;
use super::misbehaving::{Answer, Misbehaving};
use super::package_tarball::{Entry, tarball};
use super::tarball_cache::integrity;
use super::workspace::{BASE, Run, TestWorkspace};

/// The workspace, nothing of it installed.
pub struct LockedShop {
    pub workspace: TestWorkspace,
    pub registry: Misbehaving,
    lockfile: Value,
}

impl LockedShop {
    /// With a package that is as it should be.
    pub fn new() -> Self {
        Self::of(&tarball(&[
            Entry::file("package/package.json", r#"{"name": "left", "version": "1.2.0"}"#),
            Entry::file("package/index.js", "module.exports = 1;\n"),
        ]))
    }

    /// With a package whose tarball has these bytes, which is what the lockfile says.
    pub fn of(bytes: &[u8]) -> Self {
        let (body, locked) = (bytes.to_owned(), integrity(bytes));
        let registry = Misbehaving::start(move |_| Answer::new(200).body(body.clone()));
        let lockfile = json!({
            "name": "shop",
            "lockfileVersion": 3,
            "packages": {
                "": {"name": "shop", "workspaces": ["apps/*"]},
                "apps/web": {"name": "web", "version": "1.0.0", "dependencies": {"left": "^1.0.0"}},
                "node_modules/left": {"version": "1.2.0", "integrity": locked},
                "node_modules/web": {"resolved": "apps/web", "link": true},
            },
        });
        let workspace = TestWorkspace::new(&[
            (
                "package.json",
                r#"{"name": "shop", "private": true, "packageManager": "npm@11.0.0", "workspaces": ["apps/*"]}"#,
            ),
            (
                "apps/web/package.json",
                r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {"left": "^1.0.0"}}"#,
            ),
            ("apps/web/dist/main.js", "require('left');\n"),
            (".npmrc", &format!("registry=http://{}/\n", registry.host())),
            ("package-lock.json", &lockfile.to_string()),
        ]);
        Self { workspace, registry, lockfile }
    }

    /// With another lockfile.
    pub fn locked(mut self, change: impl FnOnce(&mut Value)) -> Self {
        change(&mut self.lockfile);
        let text = self.lockfile.to_string();
        self.and(&[("package-lock.json", &text)])
    }

    /// With other files.
    pub fn and(mut self, files: &[(&str, &str)]) -> Self {
        self.workspace = self.workspace.and(files);
        self
    }

    /// The arguments of a build of what need not start.
    pub fn arguments<'a>(base: &'a str, more: &[&'a str]) -> Vec<&'a str> {
        [&["build", "--no-check", "--packages", "lockfile", "--base", base, "--platform", "linux/amd64"], more].concat()
    }

    /// A build that has to fail, and what it said, with nothing in it of this machine.
    pub fn failed(&self, more: &[&str]) -> Run {
        let mut run = failed_to(&self.workspace, &Self::arguments(&base(), more));
        // What is told before that is about steps, of which some are taken at one time.
        let error = run.stderr.find("error: ").expect("there is an error");
        run.stderr.drain(..error);
        let locked = self.lockfile["packages"]["node_modules/left"]["integrity"].as_str().unwrap_or("none").to_owned();
        run.replaced(&self.registry.host(), "[REGISTRY]").replaced(&locked, "[LOCKED]")
    }

    /// A build that has to fail for what a package is, of which nothing stays in the cache.
    pub fn refused(&self, more: &[&str]) -> Run {
        let run = self.failed(more);
        assert_eq!(self.kept(), [].into(), "nothing is kept of what was refused");
        run
    }

    /// What the cache has of packages: blobs, and facts that lead to them.
    pub fn kept(&self) -> BTreeSet<String> {
        let cache = self.workspace.beside("cache");
        let names = |dir: &str| {
            let entries = fs::read_dir(cache.join(dir)).into_iter().flatten().flatten();
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect::<Vec<_>>()
        };
        let facts = names("facts").into_iter().filter(|name| name.starts_with("npm-") || name.starts_with("package-"));
        let of_base = |blob: &String| Path::new(BASE).join("blobs/sha256").join(blob).exists();
        let blobs = names("blobs/sha256").into_iter().filter(|blob| !of_base(blob));
        facts.chain(blobs).chain(names("tmp")).chain(names("pieces")).collect()
    }
}

/// The base image for tests, as an argument.
pub fn base() -> String {
    format!("oci:{BASE}:20-alpine")
}
