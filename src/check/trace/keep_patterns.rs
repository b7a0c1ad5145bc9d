use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

/// Patterns of files that stay whatever code says, in gitignore's syntax: relative to the workspace, or to the directory that
/// any `node_modules` lies in.
#[derive(Clone, Debug)]
pub struct KeepPatterns(Gitignore);

/// A text that is no pattern.
#[derive(Debug, thiserror::Error)]
#[error("{reason}: `{pattern}`")]
pub struct BadPattern {
    /// The text.
    pub pattern: String,
    /// What is wrong with it.
    pub reason: String,
}

impl KeepPatterns {
    /// Reads patterns.
    pub fn parse(patterns: &[String]) -> Result<Self, BadPattern> {
        let mut builder = GitignoreBuilder::new("");
        let bad =
            |pattern: &str, error: ignore::Error| BadPattern { pattern: pattern.to_owned(), reason: error.to_string() };
        for pattern in patterns {
            builder.add_line(None, pattern).map_err(|error| bad(pattern, error))?;
        }
        Ok(Self(builder.build().map_err(|error| bad("keep", error))?))
    }

    /// Whether a file stays, given by its path relative to the workspace's root.
    pub fn keeps(&self, path: &Path) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let parts: Vec<_> = path.components().collect();
        let last = parts.iter().rposition(|part| part.as_os_str() == "node_modules").unwrap_or(0);
        let near: PathBuf = parts.iter().skip(last).collect();
        [path, &near].iter().any(|path| self.0.matched_path_or_any_parents(path, false).is_ignore())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_patterns_keep() {
        let table: [(&str, &str, &str, bool); 10] = [
            ("all of a package", "node_modules/x/**", "node_modules/x/lib/a.js", true),
            ("its directory", "node_modules/x/", "node_modules/x/lib/a.js", true),
            ("another package", "node_modules/x/**", "node_modules/xy/a.js", false),
            ("a copy elsewhere", "node_modules/x/**", "node_modules/y/node_modules/x/a.js", true),
            ("pnpm's", "node_modules/x/**", "node_modules/.pnpm/x@1/node_modules/x/a.js", true),
            ("a service's own copy alone", "apps/api/node_modules/x/**", "node_modules/x/a.js", false),
            ("the same", "apps/api/node_modules/x/**", "apps/api/node_modules/x/a.js", true),
            ("one name", "node_modules/x/*.wasm", "node_modules/x/a.wasm", true),
            ("not deeper", "node_modules/x/*.wasm", "node_modules/x/lib/a.wasm", false),
            ("anywhere", "*.wasm", "node_modules/x/lib/a.wasm", true),
        ];
        for (comment, pattern, path, expected) in table {
            let patterns = KeepPatterns::parse(&[pattern.to_owned()]).unwrap();
            assert_eq!(patterns.keeps(Path::new(path)), expected, "{comment}");
        }
        assert!(KeepPatterns::parse(&["node_modules/{x".to_owned()]).is_err());
    }
}
