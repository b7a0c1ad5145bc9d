//! Holds the code in `src/` to its own rules: who may import whom, who may speak to the world, and how long a file may be.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Which top-level modules each top-level module may name. From the top: the program, the pipeline, the edges of the
/// world, the pure core, the vocabulary. What is not here is not allowed; a new module gets a line of its own.
const MAY_NAME: &[(&str, &[&str])] = &[
    // The program.
    ("main", &["cli", "commands"]),
    (
        "commands",
        &[
            "build",
            "cancel",
            "cli",
            "config",
            "environment",
            "http",
            "npm_registry",
            "path",
            "progress",
            "registry",
            "report",
            "store",
            "transfer",
        ],
    ),
    ("cli", &["build", "config", "manifest", "path", "platform", "transfer"]),
    // The pipeline, and what it tells at its end.
    (
        "build",
        &[
            "apk",
            "apk_repository",
            "cancel",
            "check",
            "closure",
            "config",
            "digest",
            "host",
            "image",
            "layer",
            "layout",
            "lock",
            "manifest",
            "native",
            "npm_registry",
            "path",
            "platform",
            "progress",
            "registry",
            "store",
            "transfer",
            "workspace",
        ],
    ),
    ("report", &["build", "check", "closure", "image", "layer", "lock", "registry", "transfer"]),
    // Images between the edges.
    (
        "transfer",
        &["cancel", "digest", "http", "layout", "manifest", "path", "platform", "progress", "registry", "store"],
    ),
    // The edges. They do not name each other, but what moves blobs may name the store.
    ("environment", &["path", "registry"]),
    (
        "npm_registry",
        &["cancel", "digest", "host", "http", "layer", "manifest", "path", "progress", "store", "workspace"],
    ),
    ("apk_repository", &["apk", "cancel", "digest", "host", "http", "manifest", "path", "store"]),
    ("registry", &["config", "digest", "http", "manifest", "store"]),
    ("layout", &["digest", "manifest", "path", "store"]),
    ("store", &["digest", "layer", "manifest", "path"]),
    // The pure core, each naming only what stands below it.
    (
        "check",
        &[
            "closure",
            "digest",
            "host",
            "image",
            "javascript",
            "layer",
            "lock",
            "manifest",
            "path",
            "platform",
            "workspace",
        ],
    ),
    ("lock", &["config", "digest", "host", "path", "platform"]),
    ("config", &["apk", "digest", "host", "image", "layer", "manifest", "path"]),
    ("apk", &["digest", "image", "layer", "path"]),
    ("image", &["digest", "layer", "manifest", "native", "path", "platform"]),
    ("layer", &["cancel", "digest", "host", "manifest", "native", "path", "workspace"]),
    ("closure", &["host", "javascript", "path", "platform", "workspace"]),
    ("javascript", &[]),
    ("workspace", &["host", "path"]),
    ("manifest", &["digest", "platform"]),
    ("native", &[]),
    // The vocabulary.
    ("host", &["cancel", "digest", "path"]),
    ("http", &["cancel"]),
    ("cancel", &[]),
    ("digest", &[]),
    ("path", &[]),
    ("platform", &[]),
    ("progress", &[]),
];

/// The modules that decide: given the same files, they say the same, whatever the hour, the machine and the network.
const PURE: &[&str] = &[
    "apk",
    "cancel",
    "check",
    "closure",
    "config",
    "digest",
    "host",
    "image",
    "javascript",
    "layer",
    "lock",
    "manifest",
    "native",
    "path",
    "platform",
    "workspace",
];

/// What the pure modules never name.
const IMPURE: &[&str] = &["std::env", "std::net", "std::time::Instant", "std::time::SystemTime", "reqwest", "tokio"];

/// The one file that reads the environment, and the one that writes to the terminal.
const ENVIRONMENT: &str = "environment.rs";
const TERMINAL: &str = "commands/terminal.rs";

/// What ends the program, or shouts, without asking: errors are returned, and only the terminal prints.
const NOWHERE: &[&str] =
    &[".unwrap()", ".expect(", "panic!", "todo!", "unimplemented!", "unreachable!", "dbg!", "process::exit"];
const TERMINAL_ONLY: &[&str] = &["println!", "eprintln!", "print!", "eprint!", "io::stdout", "io::stderr"];

/// A longer file has two subjects as a rule.
const LONGEST_FILE: usize = 400;

/// A source file without its tests, and its text without comments and literals.
struct Source {
    /// Relative to `src`.
    path: String,
    code: String,
    lines: usize,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        let code = without_tests(&without_comments_and_literals(text));
        // Taking out a test keeps its line breaks out too, so what is left counts the lines of the rest.
        let tests = without_comments_and_literals(text).lines().count() - code.lines().count();
        Self { path: path.to_owned(), code, lines: text.lines().count() - tests }
    }

    /// The modules that lead to this file, outermost first: `build`, `base`. Empty for `lib.rs`.
    fn modules(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs");
        path.split('/').filter(|part| *part != "mod" && *part != "lib").collect()
    }

    /// The top-level modules that this file names, without its own.
    fn named_modules(&self) -> BTreeSet<String> {
        let modules = self.modules();
        let mut named: BTreeSet<String> = BTreeSet::new();
        let to_root = format!("{}::", vec!["super"; modules.len()].join("::"));
        for root in ["crate::", "pirogue::", &to_root] {
            // `super::super::x` is found as `super::x` as well, which leads only so far.
            let paths = paths_from(&self.code, root, root.starts_with("super"));
            named.extend(paths.into_iter().filter_map(|path| path.split("::").next().map(str::to_owned)));
        }
        named.retain(|module| Some(&module.as_str()) != modules.first() && !module.is_empty() && module != "self");
        named
    }
}

/// Everything that follows `root`, with groups in braces written out: `use crate::{a, b::{c, d}}` gives `a`, `b::c`,
/// `b::d`. With `from_start`, only where nothing like `super::` stands before it.
fn paths_from(code: &str, root: &str, from_start: bool) -> Vec<String> {
    let mut paths = Vec::new();
    for (at, _) in code.match_indices(root) {
        let before = code[..at].chars().next_back();
        let continues_a_word = before.is_some_and(|c| c.is_alphanumeric() || c == '_');
        if continues_a_word || (from_start || root != "super::") && before == Some(':') {
            continue;
        }
        expand(&code[at + root.len()..], "", &mut paths);
    }
    paths
}

/// Reads one path, or a group of them, and gives what follows it.
fn expand<'c>(code: &'c str, prefix: &str, paths: &mut Vec<String>) -> &'c str {
    let code = code.trim_start();
    if let Some(mut rest) = code.strip_prefix('{') {
        while !rest.trim_start().starts_with('}') && !rest.trim_start().is_empty() {
            let before = rest.len();
            rest = expand(rest, prefix, paths).trim_start();
            rest = rest.strip_prefix(',').unwrap_or(rest);
            if rest.len() == before {
                break;
            }
        }
        return rest.trim_start().strip_prefix('}').unwrap_or(rest);
    }
    let end = code.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(code.len());
    let (word, rest) = code.split_at(end);
    let path = if prefix.is_empty() { word.to_owned() } else { format!("{prefix}::{word}") };
    match rest.strip_prefix("::") {
        Some(deeper) if deeper.trim_start().starts_with(|c: char| c == '{' || c.is_alphabetic() || c == '_') => {
            expand(deeper, &path, paths)
        }
        _ => {
            paths.push(path);
            // `x as y`
            match rest.trim_start().strip_prefix("as ") {
                Some(alias) => alias.trim_start().trim_start_matches(|c: char| c.is_alphanumeric() || c == '_'),
                None => rest,
            }
        }
    }
}

/// The code with blanks for comments and for what stands in literals. Lines stay lines.
fn without_comments_and_literals(text: &str) -> String {
    let mut code = String::with_capacity(text.len());
    let mut rest = text;
    let blank = |code: &mut String, text: &str| code.extend(text.chars().map(|c| if c == '\n' { c } else { ' ' }));
    while let Some(first) = rest.chars().next() {
        let continues_a_word = code.ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let length = match first {
            '/' if rest.starts_with("//") => rest.find('\n').unwrap_or(rest.len()),
            '/' if rest.starts_with("/*") => rest.find("*/").map_or(rest.len(), |end| end + 2),
            '"' => quoted(rest, '"'),
            'r' | 'b' if !continues_a_word => {
                let hashes = rest.trim_start_matches(['b', 'r']).chars().take_while(|c| *c == '#').count();
                let opening = ["r", "br"].map(|prefix| format!("{prefix}{}\"", "#".repeat(hashes)));
                match opening.iter().find(|opening| rest.starts_with(opening.as_str())) {
                    Some(opening) => {
                        let closing = format!("\"{}", "#".repeat(hashes));
                        let inside = &rest[opening.len()..];
                        opening.len() + inside.find(&closing).map_or(inside.len(), |end| end + closing.len())
                    }
                    None => 0,
                }
            }
            // A character, and not a lifetime.
            '\'' if rest[1..].starts_with('\\') || rest.chars().nth(2) == Some('\'') => quoted(rest, '\''),
            _ => 0,
        };
        match length {
            0 => {
                code.push(first);
                rest = &rest[first.len_utf8()..];
            }
            _ => {
                blank(&mut code, &rest[..length]);
                rest = &rest[length..];
            }
        }
    }
    code
}

/// The length of the literal that `text` begins with.
fn quoted(text: &str, quote: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            _ if c == quote => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// The code without the items that are compiled for tests only.
fn without_tests(code: &str) -> String {
    const MARK: &str = "#[cfg(test)]";
    let mut kept = String::new();
    let mut rest = code;
    while let Some(start) = rest.find(MARK) {
        kept.push_str(&rest[..start]);
        rest = &rest[start + MARK.len()..];
        let mut depth = 0;
        let end = rest.char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0 && matches!(c, '}' | ';')
        });
        rest = end.map_or("", |(end, _)| &rest[end + 1..]);
    }
    kept + rest
}

fn sources() -> Vec<Source> {
    fn walk(dir: &Path, paths: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(dir).expect("the sources can be read") {
            let path = entry.expect("the sources can be read").path();
            match path.is_dir() {
                true => walk(&path, paths),
                false => paths.push(path),
            }
        }
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut paths = Vec::new();
    walk(&root, &mut paths);
    paths.sort();
    let read = |path: &PathBuf| {
        let relative = path.strip_prefix(&root).expect("it was found there").display().to_string();
        Source::new(&relative, &fs::read_to_string(path).expect("the sources can be read"))
    };
    paths.iter().filter(|path| path.extension().is_some_and(|end| end == "rs")).map(read).collect()
}

fn table() -> BTreeMap<&'static str, BTreeSet<&'static str>> {
    MAY_NAME.iter().map(|(module, named)| (*module, named.iter().copied().collect())).collect()
}

/// Edges that the table does not allow.
fn forbidden_edges(sources: &[Source]) -> Vec<String> {
    let table = table();
    let mut forbidden = Vec::new();
    for source in sources {
        let modules = source.modules();
        let Some(module) = modules.first() else { continue };
        for named in source.named_modules() {
            // What the crate's own macros and constants are called is no module.
            if !table.contains_key(named.as_str()) && named.starts_with(char::is_uppercase) {
                continue;
            }
            if !table.get(module).is_some_and(|allowed| allowed.contains(named.as_str())) {
                forbidden.push(format!("src/{}: `{module}` may not name `{named}`", source.path));
            }
        }
    }
    forbidden
}

/// Names of the world where no such name belongs.
fn forbidden_names(sources: &[Source]) -> Vec<String> {
    let mut forbidden = Vec::new();
    for source in sources {
        let mut refuse = |name: &str| forbidden.push(format!("src/{}: `{name}` has no place here", source.path));
        // With groups written out, `use std::{env, io::{stdout, Write}}` hides nothing.
        let std = paths_from(&source.code, "std::", false).into_iter().map(|path| format!("std::{path}"));
        let std: BTreeSet<String> = std.filter(|path| !path.starts_with("std::env::consts")).collect();
        let names = |name: &str| match name.starts_with("std::") {
            true => std.iter().any(|path| path == name || path.starts_with(&format!("{name}::"))),
            false => source.code.match_indices(name).any(|(at, _)| {
                let before = source.code[..at].chars().next_back();
                let word = name.starts_with(char::is_alphabetic);
                !(word && before.is_some_and(|c| c.is_alphanumeric() || c == '_'))
            }),
        };
        if source.modules().first().is_some_and(|module| PURE.contains(module)) {
            IMPURE.iter().filter(|name| names(name)).for_each(|name| refuse(name));
        }
        NOWHERE.iter().filter(|name| names(name)).for_each(|name| refuse(name));
        if source.path != ENVIRONMENT && names("std::env") {
            refuse("std::env");
        }
        if source.path != TERMINAL {
            let printing = TERMINAL_ONLY.iter().copied().chain(["std::io::stdout", "std::io::stderr"]);
            printing.filter(|name| names(name)).for_each(refuse);
        }
    }
    forbidden
}

fn assert_none(broken: &[String]) {
    assert!(broken.is_empty(), "\n{}\n", broken.join("\n"));
}

#[test]
fn modules_name_only_what_stands_below_them() {
    let sources = sources();
    assert!(sources.len() > 50, "the sources are found: {}", sources.len());
    assert_none(&forbidden_edges(&sources));
}

#[test]
fn every_module_has_a_line_in_the_table() {
    let table = table();
    let sources = sources();
    let modules: BTreeSet<&str> = sources.iter().filter_map(|source| source.modules().first().copied()).collect();
    assert_eq!(modules, table.keys().copied().collect(), "modules of src/, and lines of the table");
}

/// The pipeline gives a report, and the report is made of the pipeline's plan; nothing else goes in a circle.
#[test]
fn the_table_has_no_circle() {
    let mut left = table();
    left.get_mut("report").expect("there is a report").remove("build");
    while !left.is_empty() {
        let ends: Vec<&str> = left.iter().filter(|(_, named)| named.is_empty()).map(|(module, _)| *module).collect();
        assert!(!ends.is_empty(), "these name each other: {left:?}");
        for end in ends {
            left.remove(end);
            left.values_mut().for_each(|named| {
                named.remove(end);
            });
        }
    }
}

#[test]
fn only_the_edges_touch_the_world() {
    assert_none(&forbidden_names(&sources()));
}

#[test]
fn no_file_has_two_subjects() {
    let long = |source: &Source| {
        (source.lines > LONGEST_FILE).then(|| format!("src/{}: {} lines without its tests", source.path, source.lines))
    };
    assert_none(&sources().iter().filter_map(long).collect::<Vec<_>>());
}

/// The scanner itself: what it has to find, and what only looks so.
#[test]
fn the_scanner_finds_what_is_forbidden() {
    let table: [(&str, &str, &str, &[&str]); 18] = [
        ("an edge upwards", "layer/pack.rs", "use crate::registry::Client;", &["may not name `registry`"]),
        ("an allowed edge", "layer/pack.rs", "use crate::path::HostPath;", &[]),
        ("one of a group", "store/mod.rs", "use crate::{digest::Digest, layout::{Layout, self}};", &["name `layout`"]),
        ("a path in the code", "workspace/mod.rs", "fn a() { crate::image::b() }", &["may not name `image`"]),
        ("by super", "workspace/members.rs", "use super::super::image::Image;", &["may not name `image`"]),
        ("super within the module", "workspace/members.rs", "use super::Member;", &[]),
        ("super in a top-level file", "digest.rs", "use super::registry;", &["may not name `registry`"]),
        ("the program's own", "main.rs", "use pirogue::store::Store;", &["may not name `store`"]),
        ("an unknown module", "path.rs", "use crate::misc::x;", &["may not name `misc`"]),
        ("a comment", "layer/pack.rs", "// crate::registry\n/* panic! */ /// crate::cli", &[]),
        ("a text", "layer/pack.rs", "let a = \"crate::cli \\\" panic!\"; let b = r#\"\" todo!\"#; let c = '\"';", &[]),
        ("the clock", "closure/mod.rs", "use std::time::{Duration, Instant};", &["`std::time::Instant`"]),
        ("a duration", "closure/mod.rs", "use std::time::Duration;", &[]),
        ("the environment", "registry/auth.rs", "use std::{env, io};", &["`std::env`"]),
        ("a constant of the compiler", "platform.rs", "match std::env::consts::ARCH {}", &[]),
        ("the network", "image/base.rs", "fn a<'a>(x: &'a str) { reqwest::get(x) }", &["`reqwest`"]),
        (
            "printing",
            "build/plan.rs",
            "println!(); eprint!(); std::io::stdout();",
            &["print", "print", "stdout", "stdout"],
        ),
        (
            "giving up",
            "build/plan.rs",
            "x.unwrap(); y.unwrap_or(1); a_panic!(); std::process::exit(1)",
            &["unwrap", "exit"],
        ),
    ];
    for (comment, path, text, expected) in table {
        let sources = [Source::new(path, text)];
        let found = [forbidden_edges(&sources), forbidden_names(&sources)].concat();
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(text, part)| text.contains(part));
        assert!(fits, "{comment}: {found:#?}");
    }
}

#[test]
fn the_scanner_leaves_out_tests() {
    let text = "fn a() {}\n#[cfg(test)]\nmod tests {\n    fn b() { x.unwrap(); }\n    // }\n}\n#[cfg(test)]\nuse crate::cli;\nfn c() { todo!() }\n";
    let source = Source::new("path.rs", text);
    assert!(!source.code.contains("unwrap") && !source.code.contains("cli"), "{}", source.code);
    assert!(source.code.contains("fn a()") && source.code.contains("todo!"), "{}", source.code);
    assert_eq!(source.lines, 4, "an item for tests leaves the line of its mark");
}
