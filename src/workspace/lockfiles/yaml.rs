//! YAML, as pnpm and yarn write it, within limits.

use serde::de::DeserializeOwned;
use serde_saphyr::Budget;

use super::{LockfileError, LockfileProblem};
use crate::host;
use crate::path::HostPath;

/// How deep a lockfile may be nested. pnpm's and yarn's have five levels.
const DEPTH: usize = 32;

/// Reads one document. The number of its nodes is bounded by the size of the file, which has a limit of its own;
/// neither pnpm nor yarn writes anchors, so there are none to grow from.
pub(super) fn parse<T: DeserializeOwned>(text: &str) -> Result<T, LockfileProblem> {
    let mut budget = Budget::default();
    budget.max_depth = DEPTH;
    budget.flow_nesting_limit = DEPTH;
    // Yarn lists everything that one entry was resolved from in its key.
    budget.simple_key_max_lookahead = 1 << 16;
    budget.max_anchors = 0;
    budget.max_aliases = 0;
    budget.max_documents = 1;
    budget.max_events = usize::MAX;
    budget.max_nodes = usize::MAX;
    budget.max_total_scalar_bytes = usize::MAX;
    budget.max_total_comment_bytes = usize::MAX;
    let options = serde_saphyr::options! { budget: Some(budget) };
    serde_saphyr::from_str_with_options(text, options)
        .map_err(|error| LockfileProblem::Syntax(error.without_snippet().to_string()))
}

/// Reads a file that people write, if there is one, with whatever YAML has, within the reader's own limits.
pub(super) fn settings<T: DeserializeOwned + Default>(path: &HostPath) -> Result<T, LockfileError> {
    let bytes = host::read_if_present(path)?.unwrap_or_default();
    let settings: Option<T> = serde_saphyr::from_slice(&bytes)
        .map_err(|error| LockfileError::Settings { path: path.clone(), reason: error.without_snippet().to_string() })?;
    Ok(settings.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn texts_stay_as_they_are_written() {
        let text = "a: 18\nb: 1e3\nc: 1.10\nd: true\ne: 0x1f\nf: ''\ng: \"1\"\nh: '>=1 <2'\ni: 2024-01-01\n";
        let read: BTreeMap<String, String> = parse(text).unwrap();
        let expected = ["18", "1e3", "1.10", "true", "0x1f", "", "1", ">=1 <2", "2024-01-01"];
        assert_eq!(read.values().map(String::as_str).collect::<Vec<_>>(), expected);
    }

    #[test]
    fn limits() {
        let deep = format!("{}1", "a: {".repeat(200));
        let table = [
            ("too deep", deep),
            ("brackets", "[".repeat(100_000)),
            ("anchors", "a: &x 1\nb: *x\n".to_owned()),
            ("a tab", "a:\n\tb: 1\n".to_owned()),
        ];
        for (comment, text) in table {
            let result = parse::<BTreeMap<String, serde_json::Value>>(&text);
            assert!(matches!(result, Err(LockfileProblem::Syntax(_))), "{comment}: {result:?}");
        }
    }
}
