use std::fs;

use super::alpine_base::AlpineBase;
use super::apk::{Apk, Key, write_repository};
use super::misbehaving::{PlayedRegistry, Profile};
use super::workspace::{Run, TestWorkspace};

const KEY: &str = "tests@example.com-1.rsa.pub";
const REPOSITORY: &str = "base/alpine";

/// A workspace with the services `web` and `api`, which lie on a base of Alpine in a registry and are pushed to it, and a
/// folder of packages, `apks`.
pub struct AlpineShop {
    pub workspace: TestWorkspace,
    pub registry: PlayedRegistry,
    pub key: Key,
}

impl AlpineShop {
    /// With these packages in the folder, and these settings beside the base; `None` where no key can be made.
    pub fn new(packages: &[Apk], settings: &str) -> Option<Self> {
        let key = Key::new(KEY)?;
        let registry = PlayedRegistry::start(Profile::named("plain"));
        let workspace = TestWorkspace::new(&[
            ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
            ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js"}"#),
            ("apps/web/dist/main.js", "console.log('web');\n"),
            ("apps/api/package.json", r#"{"name": "api", "version": "1.0.0", "main": "dist/main.js"}"#),
            ("apps/api/dist/main.js", "console.log('api');\n"),
        ]);
        let shop = Self { workspace, registry, key };
        shop.set(settings);
        shop.publish(packages);
        shop.hold(&AlpineBase::default());
        Some(shop)
    }

    /// Writes `pirogue.toml` with these settings beside the base.
    pub fn set(&self, settings: &str) {
        let host = self.registry.host();
        let toml = format!(
            "base.image = \"{host}/{REPOSITORY}:3\"\nbase.repositories = [\"apks\"]\nto = [\"{host}/shop\"]\n{settings}"
        );
        fs::write(self.workspace.root().join("pirogue.toml"), toml).expect("a file can be written");
    }

    /// Has the folder offer these packages and no others.
    pub fn publish(&self, packages: &[Apk]) {
        write_repository(&self.workspace.root().join("apks"), packages, &self.key);
    }

    /// Moves the tag of the base.
    pub fn hold(&self, base: &AlpineBase) {
        let layout = self.workspace.beside(&format!("base-{}", base.release));
        base.write_index(&layout, &self.key);
        self.registry.hold(REPOSITORY, "3", &layout);
    }

    /// pirogue in the workspace.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.run_in("cache", arguments)
    }

    /// The same with a cache of its own.
    pub fn run_in(&self, cache: &str, arguments: &[&str]) -> Run {
        let mut command = self.workspace.pirogue(arguments);
        command.env("PIROGUE_CACHE_DIR", self.workspace.beside(cache)).env("SOURCE_DATE_EPOCH", "1735776000");
        self.workspace.told(&command.output().expect("pirogue starts")).replaced(&self.registry.host(), "[HOST]")
    }

    /// A run that succeeds.
    pub fn succeeds(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "{run}");
        run
    }

    /// `pirogue.lock`.
    pub fn lock(&self) -> String {
        fs::read_to_string(self.workspace.root().join("pirogue.lock")).expect("there is a lock")
    }

    /// What the lock has of packages: platform, name and version of each.
    pub fn locked_packages(&self) -> Vec<String> {
        let value = |line: &str| line.split('"').nth(1).map(str::to_owned);
        let (lock, mut packages) = (self.lock(), Vec::new());
        for block in lock.split("[[base.package]]\n").skip(1) {
            let lines: Vec<String> = block.lines().take(3).filter_map(value).collect();
            packages.push(lines.join(" "));
        }
        packages
    }
}
