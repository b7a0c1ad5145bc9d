//! From the patterns under `workspaces` to the members on disk.

use std::collections::{BTreeMap, BTreeSet};

use globset::{GlobBuilder, GlobMatcher};
use serde::Deserialize;

use super::{Member, PackageJson, WorkspaceError, WorkspacePath};
use crate::host;
use crate::path::HostPath;

/// Finds the members: every directory with a `package.json` that the patterns name. The root is the one member of a
/// project without workspaces.
pub(super) fn find(root: &HostPath, package_json: &PackageJson) -> Result<Vec<Member>, WorkspaceError> {
    let Some(patterns) = patterns(root, package_json)? else {
        return Ok(vec![Member { dir: WorkspacePath::default(), package_json: package_json.clone() }]);
    };
    let mut dirs = BTreeSet::new();
    for pattern in &patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) => {
                let excluded = matcher(pattern)?;
                dirs.retain(|dir: &WorkspacePath| !excluded.is_match(dir.as_path()));
            }
            None => expand(root, pattern, &mut dirs)?,
        }
    }
    let mut members = Vec::new();
    for dir in dirs {
        if let Some(package_json) = PackageJson::read(&root.join(dir.as_path()).join("package.json"))? {
            members.push(Member { dir, package_json });
        }
    }
    refuse_duplicate_names(&members)?;
    Ok(members)
}

/// The patterns of package.json (npm, yarn, bun) or of pnpm-workspace.yaml.
fn patterns(root: &HostPath, package_json: &PackageJson) -> Result<Option<Vec<String>>, WorkspaceError> {
    #[derive(Deserialize)]
    struct PnpmWorkspace {
        #[serde(default)]
        packages: Option<Vec<String>>,
    }
    let path = root.join("pnpm-workspace.yaml");
    if let Some(bytes) = host::read_if_present(&path)? {
        let parsed: PnpmWorkspace = serde_saphyr::from_slice(&bytes)
            .map_err(|error| WorkspaceError::PnpmWorkspace { path, reason: error.without_snippet().to_string() })?;
        if parsed.packages.is_some() {
            return Ok(parsed.packages);
        }
    }
    Ok(package_json.workspaces.clone())
}

fn matcher(pattern: &str) -> Result<GlobMatcher, WorkspaceError> {
    let normal = pattern.trim_start_matches("./").trim_end_matches('/');
    match GlobBuilder::new(normal).literal_separator(true).build() {
        Ok(glob) => Ok(glob.compile_matcher()),
        Err(error) => Err(WorkspaceError::Pattern { pattern: pattern.to_owned(), reason: error.kind().to_string() }),
    }
}

/// Adds the directories that `pattern` names. Only the part of the disk that can match is read, and no `node_modules`.
fn expand(root: &HostPath, pattern: &str, dirs: &mut BTreeSet<WorkspacePath>) -> Result<(), WorkspaceError> {
    let matcher = matcher(pattern)?;
    let is_glob = |segment: &&str| segment.contains(['*', '?', '[', '{']);
    let segments: Vec<&str> = pattern.split('/').filter(|segment| !segment.is_empty() && *segment != ".").collect();
    let literal = segments.iter().take_while(|segment| !is_glob(segment)).copied().collect::<Vec<_>>();
    let refused = |reason: &str| WorkspaceError::Pattern { pattern: pattern.to_owned(), reason: reason.to_owned() };
    let start = WorkspacePath::new(literal.join("/")).ok_or_else(|| refused("it leaves the workspace"))?;
    let depth = match segments.iter().any(|segment| segment.contains("**")) {
        true => usize::MAX,
        false => segments.len() - literal.len(),
    };
    search(root, start, depth, &matcher, dirs)
}

fn search(
    root: &HostPath,
    dir: WorkspacePath,
    depth: usize,
    matcher: &GlobMatcher,
    dirs: &mut BTreeSet<WorkspacePath>,
) -> Result<(), WorkspaceError> {
    let host_dir = root.join(dir.as_path());
    if !host::metadata(&host_dir)?.is_some_and(|metadata| metadata.is_dir()) {
        return Ok(());
    }
    if depth > 0 {
        for entry in host::read_directory(&host_dir)? {
            if entry.kind.is_dir() && entry.name != "node_modules" && entry.name != ".git" {
                let Some(below) = dir.join(&entry.name) else { continue };
                search(root, below, depth - 1, matcher, dirs)?;
            }
        }
    }
    if matcher.is_match(dir.as_path()) {
        dirs.insert(dir);
    }
    Ok(())
}

fn refuse_duplicate_names(members: &[Member]) -> Result<(), WorkspaceError> {
    let mut seen = BTreeMap::new();
    for member in members {
        if let Some(first) = seen.insert(member.name(), &member.dir) {
            return Err(WorkspaceError::DuplicateName {
                name: member.name(),
                first: first.clone(),
                second: member.dir.clone(),
            });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn patterns_name_members() {
        let root = tempfile::tempdir().unwrap();
        for dir in ["apps/a", "apps/b", "apps/b/deep", "apps/node_modules/x", "packages/c", "apps/no-package-json"] {
            fs::create_dir_all(root.path().join(dir)).unwrap();
            if !dir.contains("no-package") {
                fs::write(root.path().join(dir).join("package.json"), format!(r#"{{"name":"{dir}"}}"#)).unwrap();
            }
        }
        let table: [(&str, &[&str], &[&str]); 8] = [
            ("one level", &["apps/*"], &["apps/a", "apps/b"]),
            ("literal", &["packages/c"], &["packages/c"]),
            ("written with a dot and a slash", &["./packages/c/"], &["packages/c"]),
            ("any depth", &["apps/**"], &["apps/a", "apps/b", "apps/b/deep"]),
            ("negated", &["apps/*", "!apps/b"], &["apps/a"]),
            ("braces", &["{apps,packages}/*"], &["apps/a", "apps/b", "packages/c"]),
            ("no such folder", &["libs/*"], &[]),
            ("no list", &[], &[]),
        ];
        let root = HostPath::new(root.path());
        for (comment, patterns, expected) in table {
            let patterns = patterns.iter().map(|pattern| pattern.to_string()).collect();
            let package_json = PackageJson { workspaces: Some(patterns), ..PackageJson::default() };
            let found = find(&root, &package_json).unwrap();
            let dirs: Vec<_> = found.iter().map(|member| member.dir.to_string()).collect();
            assert_eq!(dirs, expected, "{comment}");
        }
    }

    #[test]
    fn bad_patterns_are_errors() {
        for pattern in ["../outside/*", "apps/[", "/absolute/*"] {
            let package_json = PackageJson { workspaces: Some(vec![pattern.into()]), ..PackageJson::default() };
            let result = find(&HostPath::new("/nonexistent"), &package_json);
            // An absolute pattern is read as relative to the root, where nothing lies.
            assert!(result.is_err() || result.is_ok_and(|members| members.is_empty()), "{pattern}");
        }
    }
}
