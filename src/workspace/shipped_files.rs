//! Which files of a member go into an image.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::entry_point::BUILD_OUTPUTS;
use super::{Member, WorkspaceError, WorkspacePath};
use crate::host;
use crate::path::HostPath;

/// What npm never publishes. Source: npm's documentation of `files` in package.json.
const NEVER: [&str; 14] = [
    ".git",
    ".svn",
    ".hg",
    "CVS",
    ".DS_Store",
    "._*",
    "*.orig",
    ".*.swp",
    ".npmrc",
    ".env",
    ".env.*",
    "npm-debug.log",
    "node_modules",
    ".lock-wscript",
];

/// What pirogue writes at the top of a workspace: an image must not depend on whether it was built before.
const OWN: &str = "/pirogue.lock";

/// What npm publishes of every package, at its top. Source: the same.
const ALWAYS: [&str; 4] = ["package.json", "/README*", "/LICENSE*", "/LICENCE*"];

/// The rule by which files of a member go into an image.
#[derive(Debug)]
pub struct ShippedFiles {
    /// Patterns in gitignore's syntax, read the other way round: what they match is shipped.
    shipped: Gitignore,
    /// What is left out all the same.
    excluded: Gitignore,
}

impl ShippedFiles {
    /// The files of a service: its package.json and its build output, whole. The build output is the top directory in
    /// which the entry point lies; a service that starts with a file at its top ships everything.
    pub fn of_service(
        member: &Member,
        dir: &HostPath,
        entry_file: &Path,
        include: &[String],
        exclude: &[String],
    ) -> Result<Self, WorkspaceError> {
        let mut patterns: Vec<String> = ["/package.json".to_owned()].into();
        patterns.push(top_directory(entry_file).map_or("/**".to_owned(), |top| format!("/{}/**", top.display())));
        patterns.extend(include.iter().cloned());
        Self::new(member, dir, patterns, exclude)
    }

    /// The files that a workspace package publishes: `files` in its package.json as npm reads it; without `files`, the
    /// build output that `main` and `exports` name; else everything. `.gitignore` does not count, since it names the
    /// build output as a rule.
    pub fn of_package(member: &Member, dir: &HostPath, exclude: &[String]) -> Result<Self, WorkspaceError> {
        let package_json = &member.package_json;
        let named = || package_json.main.iter().chain(&package_json.bin).chain(&package_json.exported_files);
        let mut patterns: Vec<String> = ALWAYS.map(str::to_owned).into();
        match &package_json.files {
            Some(files) => {
                patterns.extend(files.iter().flat_map(|file| published_pattern(file)));
                patterns.extend(named().filter(|file| !file.contains('*')).map(|file| anchored(file)));
            }
            None => {
                let tops: BTreeSet<Option<PathBuf>> = named().map(|file| top_directory(Path::new(file))).collect();
                let outputs = |top: &PathBuf| {
                    BUILD_OUTPUTS.iter().chain(&["lib", "esm", "cjs"]).any(|output| Path::new(output) == top)
                };
                if !tops.is_empty() && tops.iter().all(|top| top.as_ref().is_some_and(outputs)) {
                    patterns.extend(tops.iter().flatten().map(|top| format!("/{}/**", top.display())));
                } else {
                    patterns.push("/**".to_owned());
                }
            }
        }
        Self::new(member, dir, patterns, exclude)
    }

    fn new(member: &Member, dir: &HostPath, patterns: Vec<String>, exclude: &[String]) -> Result<Self, WorkspaceError> {
        let mut shipped = GitignoreBuilder::new(dir);
        for pattern in &patterns {
            add(&mut shipped, member, pattern)?;
        }
        let mut excluded = GitignoreBuilder::new(dir);
        // The last pattern that matches decides, so nothing that the user says lets in what must stay out.
        for pattern in exclude.iter().map(String::as_str).chain(NEVER).chain([OWN]) {
            add(&mut excluded, member, pattern)?;
        }
        Ok(Self { shipped: build(shipped, member)?, excluded: build(excluded, member)? })
    }

    /// The files of the member at `dir`, sorted, relative to it. Links count as files.
    pub fn list(&self, dir: &HostPath) -> Result<Vec<PathBuf>, WorkspaceError> {
        let mut files = Vec::new();
        self.walk(dir, Path::new(""), &mut files)?;
        files.sort();
        Ok(files)
    }

    fn walk(&self, dir: &HostPath, below: &Path, files: &mut Vec<PathBuf>) -> Result<(), WorkspaceError> {
        for entry in host::read_directory(&dir.join(below))? {
            let path = below.join(&entry.name);
            let is_dir = entry.kind.is_dir();
            if self.excluded.matched(&path, is_dir).is_ignore() {
                continue;
            }
            if is_dir {
                // A nested `node_modules` is a tree of packages, never a member's own file.
                self.walk(dir, &path, files)?;
            } else if self.shipped.matched_path_or_any_parents(&path, false).is_ignore() {
                files.push(path);
            }
        }
        Ok(())
    }
}

fn add(builder: &mut GitignoreBuilder, member: &Member, pattern: &str) -> Result<(), WorkspaceError> {
    match builder.add_line(None, pattern) {
        Ok(_) => Ok(()),
        Err(error) => Err(pattern_error(member, pattern, &error)),
    }
}

fn build(builder: GitignoreBuilder, member: &Member) -> Result<Gitignore, WorkspaceError> {
    builder.build().map_err(|error| pattern_error(member, "files", &error))
}

fn pattern_error(member: &Member, pattern: &str, error: &ignore::Error) -> WorkspaceError {
    WorkspaceError::Pattern { pattern: pattern.to_owned(), reason: format!("{error} (of `{}`)", member.dir) }
}

/// The first directory of `file`, if it lies in one.
fn top_directory(file: &Path) -> Option<PathBuf> {
    let file = WorkspacePath::new(file)?;
    let mut components = file.as_path().components();
    let first = components.next()?;
    components.next().map(|_| PathBuf::from(first.as_os_str()))
}

/// An entry of `files` in gitignore's syntax: npm reads it from the package's top, a directory with all it holds.
fn published_pattern(entry: &str) -> Vec<String> {
    match entry.strip_prefix('!') {
        Some(negated) => vec![format!("!{}", anchored(negated))],
        None => {
            let pattern = anchored(entry);
            let directory = format!("{}/**", pattern.trim_end_matches('/'));
            vec![pattern, directory]
        }
    }
}

fn anchored(pattern: &str) -> String {
    let pattern = pattern.trim_start_matches("./").trim_start_matches('/');
    if pattern.starts_with("**") { pattern.to_owned() } else { format!("/{pattern}") }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace::PackageJson;

    const FILES: [&str; 11] = [
        "package.json",
        "README.md",
        "LICENSE",
        "dist/main.js",
        "dist/views/a.hbs",
        "src/main.ts",
        ".env",
        ".npmrc",
        "node_modules/x/index.js",
        "lib/index.js",
        "dist/main.js.map",
    ];

    fn member(package_json: &str) -> (tempfile::TempDir, Member, HostPath) {
        let dir = tempfile::tempdir().unwrap();
        for file in FILES {
            let file = dir.path().join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        let package_json = PackageJson::parse(package_json.as_bytes()).unwrap();
        let host = HostPath::new(dir.path());
        (dir, Member { dir: WorkspacePath::new("p").unwrap(), package_json }, host)
    }

    fn listed(shipped: &ShippedFiles, dir: &HostPath) -> Vec<String> {
        shipped.list(dir).unwrap().iter().map(|path| path.display().to_string()).collect()
    }

    #[test]
    fn packages_ship_what_they_publish() {
        let all = [
            "LICENSE",
            "README.md",
            "dist/main.js",
            "dist/main.js.map",
            "dist/views/a.hbs",
            "lib/index.js",
            "package.json",
            "src/main.ts",
        ];
        let table: [(&str, &str, &[&str]); 6] = [
            (
                "files",
                r#"{"files":["dist"]}"#,
                &["LICENSE", "README.md", "dist/main.js", "dist/main.js.map", "dist/views/a.hbs", "package.json"],
            ),
            (
                "files and a main outside",
                r#"{"files":["dist/*.js"],"main":"./lib/index.js"}"#,
                &["LICENSE", "README.md", "dist/main.js", "lib/index.js", "package.json"],
            ),
            (
                "files with a negation",
                r#"{"files":["dist","!dist/*.map"]}"#,
                &["LICENSE", "README.md", "dist/main.js", "dist/views/a.hbs", "package.json"],
            ),
            (
                "build output of main",
                r#"{"main":"dist/main.js"}"#,
                &["LICENSE", "README.md", "dist/main.js", "dist/main.js.map", "dist/views/a.hbs", "package.json"],
            ),
            ("main in the source", r#"{"main":"src/main.ts"}"#, &all),
            ("nothing said", "{}", &all),
        ];
        for (comment, package_json, expected) in table {
            let (_guard, member, dir) = member(package_json);
            assert_eq!(listed(&ShippedFiles::of_package(&member, &dir, &[]).unwrap(), &dir), expected, "{comment}");
        }
    }

    #[test]
    fn services_ship_their_build_output() {
        let (_guard, member, dir) = member("{}");
        let shipped = |entry: &str, include: &[&str], exclude: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|text| text.to_string()).collect::<Vec<_>>();
            let rule = ShippedFiles::of_service(&member, &dir, Path::new(entry), &texts(include), &texts(exclude));
            listed(&rule.unwrap(), &dir)
        };
        assert_eq!(
            shipped("dist/main.js", &[], &[]),
            ["dist/main.js", "dist/main.js.map", "dist/views/a.hbs", "package.json"]
        );
        assert_eq!(
            shipped("dist/main.js", &["/lib/**"], &["*.map"]),
            ["dist/main.js", "dist/views/a.hbs", "lib/index.js", "package.json"]
        );
        assert_eq!(shipped("main.js", &[], &[]).len(), 8);
    }
}
