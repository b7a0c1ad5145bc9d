//! Patterns of files that code names: `path.join(__dirname, '*.entity.js')`.

use std::path::Path;

use globset::{GlobBuilder, GlobMatcher};

/// Whether a path that code names is a pattern.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '{'])
}

/// What says whether a path is one of a pattern's; `None` for a pattern that nobody understands.
pub(super) fn matcher(pattern: &Path) -> Option<GlobMatcher> {
    let glob = GlobBuilder::new(&pattern.to_string_lossy()).literal_separator(true).build().ok()?;
    Some(glob.compile_matcher())
}
