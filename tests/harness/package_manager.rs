//! Package managers as they are published, each fetched by npx.

use std::path::Path;
use std::process::Command;

use super::program;
use super::workspace::TestWorkspace;
use super::yarn::is_unreachable;

/// A package manager that can write a lockfile without installing anything.
pub struct PackageManager {
    /// The package it is published as.
    package: &'static str,
    program: &'static str,
    lock: &'static [&'static str],
    /// What a workspace with members in `apps` and `packages` needs for it, besides `workspaces` in package.json.
    pub settings: &'static [(&'static str, &'static str)],
}

pub const NPM: PackageManager = PackageManager {
    package: "npm@11",
    program: "npm",
    lock: &["install", "--package-lock-only", "--ignore-scripts", "--no-audit", "--no-fund"],
    settings: &[],
};

pub const PNPM: PackageManager = PackageManager {
    package: "pnpm@9.15.9",
    program: "pnpm",
    lock: &["install", "--lockfile-only", "--ignore-scripts"],
    settings: &[("pnpm-workspace.yaml", "packages:\n  - apps/*\n  - packages/*\n")],
};

pub const YARN: PackageManager = PackageManager {
    package: "@yarnpkg/cli-dist@4.18.1",
    program: "yarn",
    lock: &["install", "--mode=update-lockfile"],
    settings: &[(".yarnrc.yml", "nodeLinker: node-modules\nenableTelemetry: false\n"), ("yarn.lock", "")],
};

pub const BUN: PackageManager = PackageManager {
    package: "bun@1.4.5",
    program: "bun",
    lock: &["install", "--lockfile-only", "--ignore-scripts"],
    settings: &[],
};

impl PackageManager {
    /// Lets it write the lockfile of a workspace; `None`, with a word on it, where it cannot.
    pub fn lock(&self, workspace: &TestWorkspace) -> Option<()> {
        if !program::are_installed(&["npx", "node"]) {
            return None;
        }
        run(&workspace.root(), self.package, self.program, self.lock).map(|_| ())
    }
}

/// Runs a package manager in a directory; its standard output, or `None`, with a word on it, where it cannot reach the
/// registry.
pub fn run(dir: &Path, package: &str, program: &str, arguments: &[&str]) -> Option<String> {
    let mut command = Command::new("npx");
    command.args(["--yes", "--loglevel=error", "--package", package, "--", program]).args(arguments);
    command.current_dir(dir).env("YARN_ENABLE_IMMUTABLE_INSTALLS", "false").env("CI", "1");
    if program == "pnpm" {
        // pnpm hoists by the order in which its members' files happened to be read: one after another makes it the same.
        command.env("UV_THREADPOOL_SIZE", "1");
    }
    let output = command.output().unwrap_or_else(|error| panic!("`npx` does not start: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let said = format!("{stdout}{}", String::from_utf8_lossy(&output.stderr));
    if !output.status.success() && is_unreachable(&said) {
        super::skip("the npm registry cannot be reached");
        return None;
    }
    assert!(output.status.success(), "{command:?}: {said}");
    Some(stdout)
}
