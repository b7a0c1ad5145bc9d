//! The syntax of yarn 1's lockfile: blocks by indentation, keys and values with or without quotes.
//!
//! Source: yarn 1.22, `src/lockfile/parse.js` and `stringify.js`. YAML's readers do not do: values follow their keys
//! after a space, and one block has several keys.

use std::collections::BTreeMap;

use super::LockfileProblem;

/// One block of the file: what a set of specifiers was resolved to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Block {
    /// `NAME@SPECIFIER`, those that share the block
    pub keys: Vec<String>,
    /// `version`, `resolved`, `integrity`
    pub fields: BTreeMap<String, String>,
    /// `dependencies`
    pub dependencies: BTreeMap<String, String>,
    /// `optionalDependencies`
    pub optional_dependencies: BTreeMap<String, String>,
}

/// Reads the blocks of the file.
pub(super) fn parse(text: &str) -> Result<Vec<Block>, LockfileProblem> {
    let mut blocks: Vec<Block> = Vec::new();
    let mut section = String::new();
    for (number, line) in text.lines().enumerate() {
        let content = line.trim_start_matches(' ');
        if content.trim().is_empty() || content.starts_with('#') {
            continue;
        }
        let damaged = |what: &str| LockfileProblem::Syntax(format!("{what} in line {}", number + 1));
        let tokens = tokens(content).ok_or_else(|| damaged("no key or value"))?;
        let (indent, block) = (line.len() - content.len(), blocks.last_mut());
        match (indent, tokens, block) {
            (0, Line::Keys(keys), _) => {
                section.clear();
                blocks.push(Block { keys, ..Block::default() });
            }
            (2, Line::Pair(key, value), Some(block)) => {
                section.clear();
                block.fields.insert(key, value);
            }
            (2, Line::Keys(keys), Some(_)) => section = keys.into_iter().next().unwrap_or_default(),
            (4, Line::Pair(key, value), Some(block)) => match section.as_str() {
                "dependencies" => _ = block.dependencies.insert(key, value),
                "optionalDependencies" => _ = block.optional_dependencies.insert(key, value),
                "" => return Err(damaged("a value that belongs to nothing")),
                _ => {}
            },
            (0 | 2 | 4, _, _) => return Err(damaged("a key without a value, or a value without a key")),
            _ => return Err(damaged("an indentation that is not 0, 2 or 4")),
        }
    }
    Ok(blocks)
}

enum Line {
    /// `a, "b":`
    Keys(Vec<String>),
    /// `key value`
    Pair(String, String),
}

fn tokens(content: &str) -> Option<Line> {
    let (first, mut rest) = token(content)?;
    if !rest.starts_with([',', ':']) {
        let (value, rest) = token(rest.trim_start())?;
        return rest.trim().is_empty().then_some(Line::Pair(first, value));
    }
    let mut keys = vec![first];
    while let Some(next) = rest.strip_prefix(',') {
        let (key, after) = token(next.trim_start())?;
        keys.push(key);
        rest = after;
    }
    (rest.trim_end() == ":").then_some(Line::Keys(keys))
}

/// One key or value, and what follows it.
fn token(text: &str) -> Option<(String, &str)> {
    if !text.starts_with('"') {
        // A colon ends a key only where the line ends: `a@npm:b@1` has one inside.
        let ends = |(at, c): (usize, char)| c == ' ' || c == ',' || (c == ':' && text[at + 1..].trim().is_empty());
        let end = text.char_indices().find(|found| ends(*found)).map_or(text.len(), |(at, _)| at);
        let (token, rest) = text.split_at(end);
        return (!token.is_empty()).then(|| (token.to_owned(), rest));
    }
    let mut escaped = false;
    let end = text.bytes().enumerate().skip(1).find(|(_, byte)| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    // What stands in quotes is a JSON text.
    let (literal, rest) = text.split_at(end?.0 + 1);
    Some((serde_json::from_str(literal).ok()?, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_with_everything() {
        let text = r#"# yarn lockfile v1


"@a/b@^1.0.0", "@a/b@npm:c@^1 || ^2", d@*:
  version "1.2.3"
  resolved "https://r/@a/b/-/b-1.2.3.tgz#abc"
  integrity sha512-x==
  dependencies:
    "@e/f" "^1.0.0"
    g ">= 1 < 2"
  optionalDependencies:
    h "1"
"#;
        let blocks = parse(text).unwrap();
        let pairs = |pairs: &[(&str, &str)]| pairs.iter().map(|(a, b)| (a.to_string(), b.to_string())).collect();
        let expected = Block {
            keys: ["@a/b@^1.0.0", "@a/b@npm:c@^1 || ^2", "d@*"].map(str::to_owned).into(),
            fields: pairs(&[
                ("version", "1.2.3"),
                ("resolved", "https://r/@a/b/-/b-1.2.3.tgz#abc"),
                ("integrity", "sha512-x=="),
            ]),
            dependencies: pairs(&[("@e/f", "^1.0.0"), ("g", ">= 1 < 2")]),
            optional_dependencies: pairs(&[("h", "1")]),
        };
        assert_eq!(blocks, [expected]);
    }

    #[test]
    fn damaged_lines_are_named() {
        let table = [
            ("no colon", "a@1\n", "line 1"),
            ("a field of nothing", "  version \"1\"\n", "line 1"),
            ("an open quote", "a@1:\n  version \"1\n", "line 2"),
            ("a wrong indentation", "a@1:\n   version \"1\"\n", "line 2"),
            ("a dependency of no section", "a@1:\n    b \"1\"\n", "line 2"),
            ("more than a value", "a@1:\n  version \"1\" \"2\"\n", "line 2"),
        ];
        for (comment, text, expected) in table {
            let problem = parse(text).unwrap_err();
            assert!(problem.to_string().contains(expected), "{comment}: {problem}");
        }
    }
}
