//! The checks against Node itself: where specifiers lead, and which conditions hold.

mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use harness::program;
use pirogue::check::{ImageFiles, LayerFiles, PathHash, Resolved, Resolver};
use pirogue::image::BaseFiles;
use pirogue::javascript::{RequestKind, When, read, source_type};
use pirogue::layer::{Content, Entry, FileTree, Fragment, LayerPlan, LayerRole, Owner};
use pirogue::path::ImagePath;
use tempfile::TempDir;

const FILES: [(&str, &str); 50] = [
    (
        "app/package.json",
        r##"{"name": "app", "exports": {".": "./main.js", "./public/*": "./src/*.js"},
        "imports": {"#own": "./own.js", "#own/*": "./src/*.js", "#dep": "conditional", "#gone": "./gone.js"}}"##,
    ),
    ("app/main.js", ""),
    ("app/own.js", ""),
    ("app/data.json", "{}"),
    ("app/both.js", ""),
    ("app/both/index.js", ""),
    ("app/dir/index.js", ""),
    ("app/json/index.json", "{}"),
    ("app/empty/nothing.txt", ""),
    ("app/with-main/package.json", r#"{"main": "lib/start"}"#),
    ("app/with-main/lib/start.js", ""),
    ("app/bad-main/package.json", r#"{"main": "lib/gone"}"#),
    ("app/bad-main/index.js", ""),
    ("app/main-dir/package.json", r#"{"main": "lib"}"#),
    ("app/main-dir/lib/index.js", ""),
    ("app/module.mjs", ""),
    ("app/old.cjs", ""),
    ("app/src/a.js", ""),
    ("app/sp ace.js", ""),
    ("app/100%.js", ""),
    ("node_modules/plain/package.json", r#"{"name": "plain", "main": "lib/plain.js"}"#),
    ("node_modules/plain/lib/plain.js", ""),
    ("node_modules/plain/other.js", ""),
    ("node_modules/plain/dir/index.js", ""),
    ("node_modules/bare/index.js", ""),
    ("node_modules/bare-mjs/index.mjs", ""),
    ("node_modules/no-end/package.json", r#"{"name": "no-end", "main": "./lib/no-end"}"#),
    ("node_modules/no-end/lib/no-end.js", ""),
    (
        "node_modules/conditional/package.json",
        r#"{"name": "conditional", "exports": {
        ".": {"types": "./x.d.ts", "browser": "./browser.js", "import": "./esm.mjs", "require": "./cjs.js"},
        "./node": {"node": "./node.js", "default": "./browser.js"},
        "./only-import": {"import": "./esm.mjs"}, "./default": {"browser": "./browser.js", "default": "./cjs.js"},
        "./nested": {"node": {"import": "./esm.mjs", "require": "./cjs.js"}, "default": "./browser.js"},
        "./list": ["not valid", "./cjs.js"], "./list-gone": ["./gone.js", "./cjs.js"],
        "./features/*": "./features/*.js", "./features/private/*": null,
        "./deep/*.js": "./features/*.js", "./package.json": "./package.json", "./gone": "./gone.js"}}"#,
    ),
    ("node_modules/conditional/esm.mjs", ""),
    ("node_modules/conditional/cjs.js", ""),
    ("node_modules/conditional/node.js", ""),
    ("node_modules/conditional/browser.js", ""),
    ("node_modules/conditional/features/x.js", ""),
    ("node_modules/conditional/features/private/y.js", ""),
    ("node_modules/string/package.json", r#"{"name": "string", "exports": "./string.js", "main": "gone.js"}"#),
    ("node_modules/string/string.js", ""),
    ("node_modules/@scope/name/package.json", r#"{"name": "@scope/name"}"#),
    ("node_modules/@scope/name/index.js", ""),
    ("node_modules/@scope/name/sub.js", ""),
    ("node_modules/events/index.js", ""),
    ("app/node_modules/near/index.js", ""),
    ("node_modules/near/index.js", ""),
    ("app/node_modules/main-gone/package.json", r#"{"name": "main-gone", "main": "gone.js"}"#),
    ("node_modules/main-gone/index.js", ""),
    ("node_modules/main-gone/other.js", ""),
    ("app/node_modules/hollow/readme.md", ""),
    ("node_modules/hollow/index.js", ""),
    ("node_modules/hollow/other.js", ""),
    ("real/linked/index.js", ""),
];

const SPECIFIERS: [&str; 72] = [
    "./own",
    "./own.js",
    "./own.mjs",
    "./data",
    "./data.json",
    "./both",
    "./both/",
    "./both.js",
    "./dir",
    "./dir/",
    "./dir/index",
    "./json",
    "./empty",
    "./with-main",
    "./bad-main",
    "./main-dir",
    "./module",
    "./module.mjs",
    "./old",
    "./old.cjs",
    "./src/a",
    "./src/a.js",
    ".",
    "./",
    "..",
    "../app/own.js",
    "./gone",
    "./own.js/",
    "./sp ace.js",
    "./sp%20ace.js",
    "./own.js?query",
    "plain",
    "plain/other",
    "plain/other.js",
    "plain/dir",
    "plain/lib/plain",
    "plain/gone",
    "plain/package.json",
    "bare",
    "bare/index.js",
    "bare/index",
    "bare-mjs",
    "no-end",
    "conditional",
    "conditional/node",
    "conditional/only-import",
    "conditional/default",
    "conditional/nested",
    "conditional/list",
    "conditional/list-gone",
    "conditional/features/x",
    "conditional/features/x.js",
    "conditional/features/private/y",
    "conditional/deep/x.js",
    "conditional/package.json",
    "conditional/gone",
    "conditional/cjs.js",
    "string",
    "string/string.js",
    "@scope/name",
    "@scope/name/sub.js",
    "@scope",
    "near",
    "main-gone",
    "main-gone/other.js",
    "hollow",
    "hollow/other.js",
    "linked",
    "#own",
    "#own/a",
    "#dep",
    "#gone",
];

/// More that say something of the app itself.
const SELF: [&str; 6] = ["app", "app/public/a", "app/own.js", "app/main.js", "events", "node:events"];

/// What Node says: for each specifier where `require` and `import` lead, or the code of the error.
const JUDGE: &str = r"
    const { createRequire } = require('node:module');
    const { pathToFileURL, fileURLToPath } = require('node:url');
    const fs = require('node:fs');
    const own = process.argv[2] + '/app/main.js';
    const load = createRequire(own);
    const told = {};
    const attempt = (work) => { try { return work() } catch (error) { return 'missing' } };
    for (const specifier of JSON.parse(process.argv[3])) {
        const required = attempt(() => load.resolve(specifier));
        const imported = attempt(() => {
            const url = new URL(IMPORT_META_RESOLVE(specifier, pathToFileURL(own).href));
            if (url.protocol === 'node:') return url.href;
            const path = fileURLToPath(url);
            return fs.statSync(path).isFile() && !url.pathname.endsWith('/') ? fs.realpathSync(path) : 'missing';
        });
        told[specifier] = [required, imported];
    }
    console.log(JSON.stringify(told));
";

#[test]
fn specifiers_lead_where_node_says() {
    if !program::are_installed(&["node"]) {
        return;
    }
    let dir = TempDir::new().unwrap();
    let root = dir.path().canonicalize().unwrap();
    let owner = Owner { uid: 0, gid: 0 };
    let mut entries = Vec::new();
    let mut directories = BTreeSet::new();
    let mut place = |path: &str| {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        directories.extend(path.ancestors().skip(1).filter(|dir| dir.starts_with(&root)).map(Path::to_owned));
        path
    };
    for (path, text) in FILES {
        let path = place(path);
        fs::write(&path, text).unwrap();
        let content = Content::Bytes(text.as_bytes().to_vec());
        entries.push((ImagePath::new(&path).unwrap(), Entry::file(content, false, owner)));
    }
    let link = place("node_modules/linked");
    symlink("../real/linked", &link).unwrap();
    entries.push((ImagePath::new(&link).unwrap(), Entry::symlink("../real/linked", owner)));
    entries.extend(directories.into_iter().map(|dir| (ImagePath::new(dir).unwrap(), Entry::directory(owner))));
    let fragments = vec![Fragment::new("all", FileTree::of(entries).unwrap())];
    let plan = LayerPlan { role: LayerRole::Application, services: Vec::new(), fragments };
    let hash = PathHash::default();
    let files = ImageFiles::new(Arc::new(BaseFiles::default()), &[Arc::new(LayerFiles::of(&plan, &hash))], &hash);
    let resolver = Resolver::new(&files, true);

    let specifiers: Vec<&str> = SPECIFIERS.into_iter().chain(SELF).collect();
    let judge = JUDGE.replace("IMPORT_META_RESOLVE", "RESOLVE");
    let script = format!(
        "import {{ createRequire as c }} from 'node:module'; const require = c(import.meta.url);\n\
         const RESOLVE = (specifier, from) => import.meta.resolve(specifier, from);\n{judge}"
    );
    let path = root.join("judge.mjs");
    fs::write(&path, script).unwrap();
    let mut node = Command::new("node");
    node.args(["--experimental-import-meta-resolve", "--no-warnings"]).arg(&path);
    let said = program::run(node.arg(&root).arg(serde_json::to_string(&specifiers).unwrap()));
    let told: BTreeMap<String, [String; 2]> = serde_json::from_str(&said).unwrap();

    let from = root.join("app/main.js");
    let mut differences = Vec::new();
    for specifier in specifiers {
        for (kind, expected) in [RequestKind::Require, RequestKind::Import].into_iter().zip(&told[specifier]) {
            let found = match resolver.resolve(&from, specifier, kind) {
                Resolved::File(path) => path.display().to_string(),
                Resolved::Builtin => "builtin".to_owned(),
                Resolved::Missing(_) => "missing".to_owned(),
            };
            let is_builtin = found == "builtin" && !expected.starts_with('/') && expected != "missing";
            if found != *expected && !is_builtin {
                differences.push(format!("{kind:?} {specifier}: node says {expected}, pirogue {found}"));
            }
        }
    }
    assert_eq!(differences, [""; 0], "{}", differences.join("\n"));
}

/// What conditions on where code runs are made of.
const CONDITIONS: [&str; 34] = [
    "process",
    "process.browser",
    "process['type'] === 'renderer'",
    "process.__nwjs",
    "process?.versions?.node",
    "process.versions.electron == null",
    "process.version !== ''",
    "process.platform === 'win32'",
    "process.platform == 'linux'",
    "typeof process === 'object'",
    "typeof process.env !== 'undefined'",
    "typeof process.browser",
    "typeof window === 'undefined'",
    "typeof document != 'undefined'",
    "typeof self === 'object'",
    "typeof importScripts === 'function'",
    "typeof XMLHttpRequest === 'undefined'",
    "typeof Deno !== 'undefined'",
    "'undefined' == typeof Bun",
    "typeof globalThis === 'object'",
    "typeof global !== typeof undefined",
    "process.env.NODE_ENV === 'production'",
    "process.env.NODE_ENV !== 'development'",
    "process.env['NODE_ENV']",
    "process.env.A",
    "process.env.A === '1'",
    "typeof process.env.A === 'string'",
    "process.env.PORT",
    "undefined === null",
    "undefined == null",
    "1",
    "0 === '0'",
    "''",
    "Math.random",
];

/// What Node says, with and without variables of the environment; nothing where that fails.
const WHETHER: &str = r"
    const whether = (condition) => { try { return Boolean(eval(condition)) } catch { return null } };
    console.log(JSON.stringify(require('./conditions.json').map(whether)));
";

#[test]
fn conditions_hold_where_node_says() {
    if !program::are_installed(&["node"]) {
        return;
    }
    let pairs = CONDITIONS.into_iter().flat_map(|a| CONDITIONS.into_iter().map(move |b| (a, b)));
    let sums = pairs.flat_map(|(a, b)| {
        let negated = format!("!({a}) || ({b})");
        [format!("({a}) && ({b})"), format!("({a}) || ({b})"), format!("!(({a}) && {b})"), negated]
    });
    let conditions: Vec<String> = CONDITIONS.into_iter().map(str::to_owned).chain(sums).collect();
    let dir = TempDir::new().unwrap();
    let script = dir.path().join("whether.js");
    fs::write(&script, WHETHER).unwrap();
    fs::write(dir.path().join("conditions.json"), serde_json::to_string(&conditions).unwrap()).unwrap();
    let said = |environment: &[(&str, &str)]| -> Vec<Option<bool>> {
        let mut node = Command::new("node");
        node.env_remove("A").env_remove("PORT");
        serde_json::from_str(&program::run(node.envs(environment.iter().copied()).arg(&script))).unwrap()
    };
    let image = said(&[("NODE_ENV", "production")]);
    let others = [said(&[("NODE_ENV", "development"), ("A", "1"), ("PORT", "1")]), said(&[("NODE_ENV", "")])];

    let (mut certain, mut unlikely, mut differences) = (0, 0, Vec::new());
    for (at, condition) in conditions.iter().enumerate() {
        let code = format!("if ({condition}) require('if'); else require('else')");
        let requests = read(&code, source_type("code.cjs").unwrap()).requests;
        for request in requests {
            // Whether node gets there.
            let reaches = |said: &[Option<bool>]| said[at].map(|holds| holds == (request.specifier == "if"));
            let by_default = reaches(&image);
            let is_wrong = match request.when {
                When::AtStart => {
                    certain += 1;
                    others.iter().map(|other| reaches(other)).chain([by_default]).any(|it| it == Some(false))
                }
                _ if request.is_unlikely => {
                    unlikely += 1;
                    by_default == Some(true)
                }
                _ => false,
            };
            if is_wrong {
                differences.push(format!("{condition}: {request:?}, and node gets there: {by_default:?}"));
            }
        }
    }
    assert_eq!(differences, [""; 0], "{}", differences.join("\n"));
    assert!(certain > 2000 && unlikely > 3000, "{certain} and {unlikely} of {}", conditions.len());
}
