//! The commands of a package, as npm reads the field `bin`.

use std::collections::BTreeMap;

use serde_json::Value;

/// The commands of a package and their files relative to its root, from the bytes of its package.json. What is no JSON or
/// of a shape that npm passes over has none.
///
/// Source: npm's `npm-normalize-package-bin`: a text is a command of the package's name without its scope, a list names
/// files whose own names are the commands, and neither names nor files lead out of where they belong.
pub fn commands(package_json: &[u8]) -> BTreeMap<String, String> {
    let bytes = package_json.strip_prefix(b"\xef\xbb\xbf").unwrap_or(package_json);
    let Ok(Value::Object(fields)) = serde_json::from_slice::<Value>(bytes) else { return BTreeMap::new() };
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let pairs: Vec<(String, String)> = match fields.get("bin") {
        Some(Value::String(file)) => {
            fields.get("name").and_then(text).map(|name| (name, file.clone())).into_iter().collect()
        }
        Some(Value::Array(files)) => files.iter().filter_map(text).map(|file| (file.clone(), file)).collect(),
        Some(Value::Object(files)) => {
            files.iter().filter_map(|(name, file)| Some((name.clone(), text(file)?))).collect()
        }
        _ => Vec::new(),
    };
    normal_commands(pairs.iter().map(|(name, file)| (name.as_str(), file.as_str())))
}

/// Commands and their files, such as lockfiles repeat them, without what would lead out of `.bin` or out of the package.
pub fn normal_commands<'a>(commands: impl IntoIterator<Item = (&'a str, &'a str)>) -> BTreeMap<String, String> {
    let normal = |(name, file): (&str, &str)| {
        let name = name.replace([':', '\\'], "/");
        let name = name.trim_end_matches('/').rsplit('/').next().filter(|name| !matches!(*name, "" | "." | ".."));
        let file = below_root(&file.replace('\\', "/"));
        name.filter(|name| !name.contains('\0')).map(str::to_owned).zip(file)
    };
    commands.into_iter().filter_map(normal).collect()
}

/// The path without `.` and `..`, which at the root leads to the root; `None` where nothing is left.
fn below_root(path: &str) -> Option<String> {
    let mut names: Vec<&str> = Vec::new();
    for name in path.split('/') {
        match name {
            "" | "." => {}
            ".." => _ = names.pop(),
            name => names.push(name),
        }
    }
    (!names.is_empty() && !path.contains('\0')).then(|| names.join("/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_npm_reads_them() {
        let table: [(&str, &str, &[(&str, &str)]); 10] = [
            ("a text", r#"{"name":"a","bin":"./cli.js"}"#, &[("a", "cli.js")]),
            ("a scope", r#"{"name":"@s/a","bin":"cli.js"}"#, &[("a", "cli.js")]),
            ("a text without a name", r#"{"bin":"cli.js"}"#, &[]),
            ("names", r#"{"bin":{"x":"a/../b.js","y":"c.js"}}"#, &[("x", "b.js"), ("y", "c.js")]),
            ("a list", r#"{"bin":["bin/x","bin/y.js"]}"#, &[("x", "bin/x"), ("y.js", "bin/y.js")]),
            ("out of the package", r#"{"bin":{"x":"../../etc/passwd"}}"#, &[("x", "etc/passwd")]),
            ("out of .bin", r#"{"bin":{"../../x":"x.js","..":"y.js","a\\b":"z.js"}}"#, &[("b", "z.js"), ("x", "x.js")]),
            ("other shapes", r#"{"name":"a","bin":{"x":7,"y":null}}"#, &[]),
            ("the package itself", r#"{"name":"a","bin":"./"}"#, &[]),
            ("no JSON", "{", &[]),
        ];
        for (comment, text, expected) in table {
            let expected = expected.iter().map(|(name, file)| (name.to_string(), file.to_string())).collect();
            assert_eq!(commands(text.as_bytes()), expected, "{comment}");
        }
    }
}
