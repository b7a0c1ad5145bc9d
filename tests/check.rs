//! What `pirogue check` finds, each beside a twin that has nothing of the kind.

mod harness;

use std::path::Path;

use harness::sample;
use harness::workspace::{BASE, Run, TestWorkspace};
use insta::assert_snapshot;
use pirogue::check::Code;
use serde_json::Value;

/// A compiled service with a package and a library of the workspace.
const SHOP: [(&str, &str); 7] = [
    (
        "package.json",
        r#"{"name": "shop", "private": true, "packageManager": "npm@10.8.2", "workspaces": ["apps/*", "packages/*"]}"#,
    ),
    (
        "apps/web/package.json",
        r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js", "dependencies": {"left": "1", "lib": "*"}}"#,
    ),
    ("node_modules/left/package.json", r#"{"name": "left", "version": "1.2.0", "exports": {".": "./index.js"}}"#),
    ("node_modules/left/index.js", ""),
    ("node_modules/left/more.js", ""),
    (
        "packages/lib/package.json",
        r#"{"name": "lib", "version": "1.0.0", "main": "dist/lib.js", "types": "dist/lib.d.ts", "files": ["dist"]}"#,
    ),
    ("packages/lib/dist/lib.js", ""),
];

/// The workspace with this code as its service.
fn shop(main: &str) -> TestWorkspace {
    let workspace = TestWorkspace::new(&SHOP).and(&[("apps/web/dist/main.js", main)]);
    workspace.linked("node_modules/lib", "../packages/lib")
}

fn base() -> String {
    format!("oci:{BASE}:20-alpine")
}

fn run(workspace: &TestWorkspace, verb: &str, more: &[&str]) -> Run {
    workspace.run(&[&[verb, "--base", &base(), "--platform", "linux/amd64"], more].concat())
}

/// What the check says on its standard output.
fn said(workspace: &TestWorkspace) -> String {
    run(workspace, "check", &[]).stdout
}

/// Severity, code and message of every finding but that the base for tests has no programs.
fn found(workspace: &TestWorkspace) -> Vec<String> {
    let run = run(workspace, "check", &["--json"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    let findings = report["services"].as_array().unwrap().iter().flat_map(|it| it["findings"].as_array().unwrap());
    let told = findings.filter(|it| it["code"] != "base-without-programs").map(|it| {
        let text = |key: &str| it[key].as_str().unwrap().to_owned();
        format!("{} {}: {}", text("severity"), text("code"), text("message"))
    });
    let told: Vec<String> = told.collect();
    assert_eq!(run.code, Some(i32::from(told.iter().any(|it| it.starts_with("error")))), "{run}");
    told
}

#[test]
fn code_that_can_be_sure_of_its_imports() {
    let table: [(&str, &str, &[&str]); 63] = [
        ("all there", "require('left'); require('lib'); require('fs'); require('node:test'); import('left')", &[]),
        ("nowhere", "require('lost')", &["error import-missing: `web@1.0.0` asks at the start for `lost`"]),
        ("tried", "try { require('lost') } catch {}", &["note lazy-import-missing: `web@1.0.0` tries to load `lost`"]),
        ("tried without a catch", "try { require('lost') } finally {}", &["error import-missing"]),
        ("tried, and given up", "try { require('lost') } catch (e) { log(e); throw e }", &["error import-missing"]),
        ("tried, and ended", "try { require('lost') } catch { process.exit(1) }", &["error import-missing"]),
        ("given up in a case", "try { require('lost') } catch (e) { if (e.code) throw e }", &["note lazy-import-missing"]),
        ("given up unless", "try { require('lost') } catch (e) { if (a) return; throw e }", &["note lazy-import-missing"]),
        ("what follows a try in any case", "try {} catch {} finally { require('lost') }", &["error import-missing"]),
        ("in a function", "function f() { require('lost') }", &["note lazy-import-missing: `web@1.0.0` may later ask"]),
        ("in a method", "class A { a() { require('lost') } b = require('lost') }", &["note lazy-import-missing"]),
        ("in a static field", "class A { static a = require('lost') }", &["error import-missing"]),
        ("in a static block", "class A { static { require('lost') } }", &["error import-missing"]),
        ("if", "if (process.env.A) require('lost')", &["note lazy-import-missing"]),
        ("after a return", "if (process.env.A) { return } require('lost')", &["note lazy-import-missing"]),
        ("and", "process.env.A && require('lost')", &["note lazy-import-missing"]),
        ("either, or", "const a = process.env.A ? require('lost') : 1", &["note lazy-import-missing"]),
        ("if it runs in node", "if (typeof window === 'undefined') require('lost')", &["error import-missing"]),
        ("unless it does", "if (process.browser) {} else require('lost')", &["error import-missing"]),
        ("or it does", "const a = process.browser ? 1 : require('lost')", &["error import-missing"]),
        ("and it does", "typeof process === 'object' && require('lost')", &["error import-missing"]),
        ("if it does not", "typeof document === 'object' && require('lost')", &["note lazy-import-missing"]),
        ("after a browser's return", "if (process.browser) { return } require('lost')", &["error import-missing"]),
        ("its own window", "const window = x; if (typeof window === 'object') {} else require('lost')", &["note"]),
        ("case", "switch (process.env.A) { case '1': require('lost') }", &["note lazy-import-missing"]),
        ("loop", "while (process.env.A) require('lost')", &["note lazy-import-missing"]),
        ("called at once", "(function () { require('lost') })()", &["error import-missing"]),
        ("arrow called at once", "(() => { require('lost') })()", &["error import-missing"]),
        ("called by name", "main(); async function main() { require('lost') }", &["error import-missing"]),
        ("called by name, in vain", "if (x) main(); function main() { require('lost') }", &["note lazy-import-missing"]),
        ("an arrow, called by name", "const main = () => { require('lost') }; main().catch(x)", &["error import-missing"]),
        ("Nest's platform", "core_1.NestFactory.create(App, { cors: true })", &["error import-missing"]),
        ("Nest with an adapter", "core_1.NestFactory.create(App, new FastifyAdapter())", &[]),
        ("Nest's microservices", "NestFactory.createMicroservice(App)", &["error import-missing"]),
        ("Nest's validation", "new common_1.ValidationPipe()", &["error import-missing", "error import-missing"]),
        ("Nest's validation, by swc", "new _common.ValidationPipe({})", &["error import-missing", "error import-missing"]),
        (
            "Nest's validation, by its name",
            "const { ValidationPipe } = require('@nestjs/common'); new ValidationPipe()",
            &["error import-missing", "error import-missing", "error import-missing"],
        ),
        ("Nest's serializer", "new common_1.ClassSerializerInterceptor(reflector)", &["error import-missing"]),
        ("a serializer by others", "new common_1.ClassSerializerInterceptor(a, { transformerPackage })", &[]),
        ("Nest with a microservice", "app.connectMicroservice({})", &["error import-missing"]),
        ("Nest's platform, later", "start(() => NestFactory.create(App))", &["warning lazy-import-missing"]),
        ("Nest's platform, tried", "async () => { try { NestFactory.create(App) } catch {} }", &["note"]),
        ("validation of others", "new x.ValidationPipe(); new common_1.ValidationPipe({ validatorPackage })", &[]),
        ("called at once with this", "(function () { require('lost') }).call(this)", &["error import-missing"]),
        ("as TypeScript writes it", "__exportStar(require('lost'), exports)", &["error import-missing"]),
        ("import caught", "import('lost').catch(() => {})", &["note lazy-import-missing"]),
        ("import caught in vain", "import('lost').catch(() => process.exit(1))", &["error import-missing"]),
        ("import caught in vain, at length", "import('lost').catch(e => { throw e })", &["error import-missing"]),
        ("import not caught", "import('lost')", &["error import-missing"]),
        ("where it lies", "require.resolve('lost')", &["error import-missing"]),
        (
            "require by another name",
            "const load = require('module').createRequire(__filename); load('lost')",
            &["error import-missing"],
        ),
        ("hooks", "require('module').register('./lost.mjs', pathToFileURL(__filename))", &["error import-missing"]),
        ("hooks of a package", "module_1.register('lost', { parentURL: pathToFileURL(__filename) })", &["error import-missing"]),
        ("hooks that are there", "register('left', pathToFileURL(__filename))", &[]),
        ("what others call so", "app.register('./lost', { prefix: '/' }); register('lost')", &[]),
        ("a bundle's own require", "(function (require) { require('lost') })(x)", &[]),
        ("computed", "require(process.env.A)", &[]),
        ("a computed query", "import(`./lost.mjs?${Date.now()}`)", &["error import-missing"]),
        ("a computed query of what is there", "import('left?' + Date.now())", &[]),
        ("no query", "require(`./lost.js?${Date.now()}`)", &[]),
        (
            "not exported",
            "require('left/more')",
            &["error import-missing: `web@1.0.0` asks at the start for `left/more`, which `exports` of the `left`"],
        ),
        (
            "a bundle of webpack",
            "(() => { var __webpack_modules__ = ({ './a': (m, e, __webpack_require__) => { __webpack_require__('lost') },
              'lost': (m) => { m.exports = require('lost') }, 'far': (m) => { m.exports = require('far') } });
              function __webpack_require__(id) {} __webpack_require__('./a') })()",
            &["error import-missing: `web@1.0.0` asks at the start for `lost`", "note lazy-import-missing"],
        ),
        (
            "a bundle of esbuild",
            "var require_a = __commonJS({ 'a.js'(exports) { require('lost') } });
             var require_b = __commonJS({ 'b.js'(exports) { require('far') } }); require_a(); () => require_b();",
            &["error import-missing: `web@1.0.0` asks at the start for `lost`", "note lazy-import-missing"],
        ),
    ];
    for (comment, code, expected) in table {
        let found = found(&shop(code));
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(it, start)| it.starts_with(start));
        assert!(fits, "{comment}: {found:#?}");
    }
}

#[test]
fn what_leads_to_a_file_counts_too() {
    let table = [
        ("at the start", "require('./a')", "error"),
        ("later", "() => require('./a')", "note"),
        ("only its place is asked for", "require.resolve('./a')", "note"),
        ("in a worker", "new Worker(__dirname + '/a.js')", "note"),
        ("in a forked process", "fork(require('path').join(__dirname, 'a'))", "note"),
        ("by a path", "require(require('path').join(__dirname, './a'))", "error"),
    ];
    for (comment, code, expected) in table {
        let found = found(&shop(code).and(&[("apps/web/dist/a.js", "require('lost')")]));
        assert!(found.len() == 1 && found[0].starts_with(expected), "{comment}: {found:#?}");
    }
}

/// What is loaded by listing its directory is known as far as that: what it asks for and is not there, is told of.
#[test]
fn what_is_loaded_with_its_directory() {
    let (warning, note): (&[&str], &[&str]) = (&["warning lazy-import-missing"], &["note lazy-import-missing"]);
    let path = "const { join } = require('path'), fs = require('fs');";
    let table: [(&str, &str, &str, &str, &[&str]); 17] = [
        ("plugins", "app.register(load, { dir: join(__dirname, 'a') })", "a/b.js", "require('lost')", warning),
        ("deeper", "app.register(load, { dir: join(__dirname, 'a') })", "a/b/c.js", "require('lost')", warning),
        ("within a function", "() => load(join(__dirname, 'a'))", "a/b.js", "require('lost')", warning),
        ("all there", "load(join(__dirname, 'a'))", "a/b.js", "require('left')", &[]),
        ("of another directory", "load(join(__dirname, 'a'))", "b/b.js", "require('lost')", &[]),
        ("of a similar one", "load(join(__dirname, 'a'))", "ab/b.js", "require('lost')", &[]),
        ("itself lazy", "load(join(__dirname, 'a'))", "a/b.js", "() => require('lost')", note),
        ("itself tried", "load(join(__dirname, 'a'))", "a/b.js", "try { require('lost') } catch {}", note),
        ("tests", "load(join(__dirname, 'a'))", "a/b.spec.js", "require('lost')", &[]),
        ("for browsers", "static(join(__dirname, 'a'))", "a/b.mjs", "import '/lost.js'", note),
        (
            "a pattern",
            "orm({ entities: [__dirname + '/**/*.entity{.ts,.js}'] })",
            "a/b.entity.js",
            "require('lost')",
            warning,
        ),
        (
            "and what it does not match",
            "orm({ entities: [__dirname + '/*.js'] })",
            "a/b.entity.js",
            "require('lost')",
            &[],
        ),
        ("read", "fs.readdirSync(join(__dirname, 'a')).map((b) => require(b))", "a/b.js", "require('lost')", warning),
        (
            "its own",
            "fs.readdirSync(__dirname).map((b) => require(join(__dirname, b)))",
            "b.js",
            "require('lost')",
            warning,
        ),
        ("not below its own", "require(join(__dirname, b))", "a/b.js", "require('lost')", &[]),
        ("a computed name", "require(`./a/${b}.js`)", "a/b.js", "require('lost')", warning),
        ("above its own", "x(join(__dirname, '..'))", "a/b.js", "require('lost')", &[]),
    ];
    for (comment, main, file, code, expected) in table {
        let found = found(
            &shop(&format!("{path} {main}"))
                .and(&[(&format!("apps/web/dist/{file}"), code), ("apps/web/dist/a/c.txt", "")]),
        );
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(it, start)| it.starts_with(start));
        assert!(fits, "{comment}: {found:#?}");
    }
    let through = shop(&format!("{path} load(join(__dirname, 'a'))"))
        .and(&[("apps/web/dist/a/b.js", "require('left')"), ("node_modules/left/index.js", "require('lost')")]);
    assert!(found(&through)[0].starts_with("warning lazy-import-missing"), "by a package");
}

/// What NestJS loads is found from where NestJS lies, whatever the service has beside it.
#[test]
fn what_a_framework_finds() {
    let package_json = r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js",
        "dependencies": {"@nestjs/common": "1", "class-validator": "1", "class-transformer": "1"}}"#;
    let file = |dir: &str, name: &str| {
        let package_json = format!(r#"{{"name": "{name}", "version": "1.0.0"}}"#);
        let top = format!("{dir}node_modules/{name}");
        [(format!("{top}/package.json"), package_json), (format!("{top}/index.js"), String::new())]
    };
    let with = |dir: &str| {
        let packages =
            [file("", "@nestjs/common"), file("", "class-transformer"), file(dir, "class-validator")].concat();
        let packages: Vec<(&str, &str)> = packages.iter().map(|(path, text)| (path.as_str(), text.as_str())).collect();
        shop("start(() => new common_1.ValidationPipe())")
            .and(&[("apps/web/package.json", package_json)])
            .and(&packages)
    };
    assert_eq!(found(&with("")), [""; 0]);
    let own = found(&with("apps/web/"));
    assert!(own.len() == 1 && own[0].starts_with("warning lazy-import-missing: `web@1.0.0` may later"), "{own:#?}");
    assert!(own[0].contains("which `@nestjs/common` loads, and does not find from where it lies"), "{own:#?}");
    let damaged = found(&with("").without("node_modules/class-validator/index.js"));
    assert!(damaged.len() == 1 && damaged[0].contains("without the file that it is loaded by"), "{damaged:#?}");
}

#[test]
fn packages_that_lack_a_file_of_their_own() {
    let left = "node_modules/left/index.js";
    let (warning, note): (&[&str], &[&str]) = (&["warning lazy-import-missing"], &["note lazy-import-missing"]);
    let table: [(&str, &str, &[&str]); 18] = [
        ("at the start", "require('./gone')", &["error import-missing"]),
        ("if", "if (a) require('./gone')", &["warning lazy-import-missing: `left@1.2.0` may ask for `./gone`"]),
        ("or else", "if (process.env.A) {} else require('./gone')", warning),
        ("after a return", "if (a) { return } require('./gone')", warning),
        ("in place of what failed", "try { require('./index.js') } catch { require('./gone') }", warning),
        ("if a variable is set", "if (process.env.A) require('./gone')", note),
        ("one for two", "module.exports = process.env.A ? require('./gone') : require('./index.js')", note),
        ("unless it is production", "if (process.env.NODE_ENV !== 'production') require('./gone')", note),
        ("in production", "if (process.env.NODE_ENV === 'production') require('./gone')", warning),
        ("for browsers", "if (typeof window !== 'undefined') () => require('./gone')", note),
        ("in a function", "() => require('./gone')", &["warning lazy-import-missing"]),
        ("tried in a function", "() => { try { require('./gone') } catch { throw x } }", &["note lazy-import-missing"]),
        ("tried", "try { require('./gone') } catch {}", &["note lazy-import-missing"]),
        ("an addon", "() => require('./gone.node')", &["note lazy-import-missing"]),
        ("another package", "() => require('lost')", &["note lazy-import-missing"]),
        ("what it reads when it is loaded", "fs.readFileSync(__dirname + '/a.css')", &["error data-file-missing"]),
        ("what it reads later", "() => fs.readFileSync(__dirname + '/a.css')", &[]),
        ("what it may find in the working directory", "fs.readFileSync('./a.css')", &[]),
    ];
    for (comment, code, expected) in table {
        let found = found(&shop("require('left')").and(&[(left, code)]));
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(it, start)| it.starts_with(start));
        assert!(fits, "{comment}: {found:#?}");
    }
    let later = shop("() => require('left')");
    assert!(found(&later.and(&[(left, "require('./gone')")]))[0].starts_with("warning lazy-import-missing"));
}

#[test]
fn modules_of_the_kind_that_node_takes_them_for() {
    let wrong: &[&str] = &["error wrong-module-kind"];
    let (es, commonjs) = (r#", "type": "module""#, r#", "type": "commonjs""#);
    let table: [(&str, &str, &str, &[&str]); 13] = [
        ("CommonJS", "", "require('fs'); module.exports = 1", &[]),
        ("CommonJS, said", commonjs, "exports.a = 1", &[]),
        ("an ES module", es, "export const a = 1", &[]),
        ("an ES module for an old Node that is not told", "", "export const a = 1", wrong),
        ("an ES module in CommonJS", commonjs, "import 'fs'", wrong),
        ("CommonJS in an ES module", es, "exports.a = 1", wrong),
        ("`require` in an ES module", es, "const fs = require('fs')", wrong),
        (
            "its own `require`",
            es,
            "import {createRequire as c} from 'module'; const require = c(import.meta.url); require('fs')",
            &[],
        ),
        ("asks whether it is there", es, "typeof module === 'object' && (module.exports = 1)", &[]),
        ("later", es, "export const f = () => __dirname", &[]),
        ("an ES module is asked for", "", "require('./es.mjs')", wrong),
        ("an ES module is asked for later", "", "() => require('./later.cjs')", &["warning wrong-module-kind"]),
        ("an ES module is imported", "", "import('./es.mjs')", &[]),
    ];
    for (comment, kind, code, expected) in table {
        let web = format!(r#"{{"name": "web", "main": "dist/main.js", "dependencies": {{"left": "1"}}{kind}}}"#);
        let found = found(&shop(code).and(&[
            ("apps/web/package.json", &web),
            ("apps/web/dist/es.mjs", "export {}"),
            ("apps/web/dist/later.cjs", "require('./es.mjs')"),
        ]));
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(it, start)| it.starts_with(start));
        assert!(fits, "{comment}: {found:#?}");
    }
    let newer = "env = { NODE_VERSION = '22.12.0' }";
    let found =
        found(&shop("require('./es.mjs')").and(&[("apps/web/dist/es.mjs", "export {}"), ("pirogue.toml", newer)]));
    assert_eq!(found, [""; 0], "Node 22.12 loads it");
}

#[test]
fn es_modules_name_files_whole() {
    let table: [(&str, &str, &[&str]); 8] = [
        ("whole", "import './a.js'", &[]),
        ("without the end", "import './a'", &["error import-missing"]),
        ("a directory", "import './b'", &["error import-missing"]),
        ("require has its own rules", "import {createRequire as c} from 'module'; c(import.meta.url)('./a')", &[]),
        ("hooks", "import { register } from 'module'; register('./a.js', import.meta.url)", &[]),
        ("hooks without the end", "register('./a', import.meta.url); export {}", &["error import-missing"]),
        ("only types", "import 'node:fs'; export {}", &[]),
        ("a file of data", "new URL('./c.txt', import.meta.url)", &["warning data-file-missing"]),
    ];
    for (comment, code, expected) in table {
        let workspace = shop("").and(&[("apps/web/dist/a.js", ""), ("apps/web/dist/b/index.js", "")]);
        let manifest = r#"{"name": "web", "type": "module", "main": "dist/main.js", "dependencies": {"left": "1"}}"#;
        let workspace = workspace.and(&[("apps/web/package.json", manifest), ("apps/web/dist/main.js", code)]);
        let found = found(&workspace);
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(it, start)| it.starts_with(start));
        assert!(fits, "{comment}: {found:#?}");
    }
}

#[test]
fn data_files() {
    let path = "const {join} = require('path'), fs = require('fs');";
    let table: [(&str, &str, &[&str]); 20] = [
        ("there", "fs.readFileSync(join(__dirname, 'there.txt'))", &[]),
        ("read at the start", "fs.readFileSync(join(__dirname, 'a.txt'))", &["error data-file-missing"]),
        ("read later", "() => fs.readFileSync(join(__dirname, 'a.txt'))", &["warning data-file-missing"]),
        ("by a sum", "fs.readFileSync(__dirname + '/a.txt')", &["error data-file-missing"]),
        ("by a template", "fs.readFileSync(`${__dirname}/../a.txt`)", &["error data-file-missing"]),
        ("handed on", "x({ views: join(__dirname, '..', 'views') })", &["warning data-file-missing"]),
        ("the rest is computed", "x(join(__dirname, 'views', name))", &["warning data-file-missing"]),
        ("a prefix of a name", "x(join(__dirname, 'th') + name)", &[]),
        ("by a variable", "const a = join(__dirname, 'a'); fs.mkdirSync(a); fs.readdirSync(a)", &[]),
        ("asked for before", "if (fs.existsSync(__dirname + '/a')) fs.readFileSync(__dirname + '/a')", &[]),
        (
            "asked for by a variable in a function",
            "async () => { const a = join(__dirname, 'a'); await fs.promises.access(a); await fs.promises.readFile(a) }",
            &[],
        ),
        (
            "made by another name of the variable",
            "const a = join(__dirname, 'a'); () => { const b = a; fs.rename(old, b); fs.readFile(b) }",
            &[],
        ),
        (
            "only read by a variable in a function",
            "async () => { const a = join(__dirname, 'a'); await fs.promises.readFile(a) }",
            &["warning data-file-missing"],
        ),
        ("not missed", "try { fs.readFileSync(__dirname + '/a') } catch (e) { if (e.code !== 'ENOENT') throw e }", &[]),
        ("missed", "try { fs.readFileSync(__dirname + '/a') } catch (e) { throw e }", &["error data-file-missing"]),
        (
            "not missed by a promise",
            "fs.promises.readFile(__dirname + '/a').catch((e) => { if (e.code !== 'ENOENT') throw e })",
            &[],
        ),
        ("made later", "x(join(__dirname, 'logs/a.log')); x(join(__dirname, '../.env'))", &[]),
        (
            "a pattern",
            "x(join(__dirname, '**/*.{txt,md}')); x(join(__dirname, '*.hbs'))",
            &["warning data-file-missing"],
        ),
        ("in the working directory", "fs.readFileSync('./a.txt')", &["error data-file-missing"]),
        ("above", "x(join(process.cwd(), 'dist')); x(join(process.cwd(), 'src'))", &["warning data-file-missing"]),
    ];
    for (comment, code, expected) in table {
        let found = found(&shop(&format!("{path} {code}")).and(&[("apps/web/dist/there.txt", "")]));
        let fits = found.len() == expected.len() && found.iter().zip(expected).all(|(it, start)| it.starts_with(start));
        assert!(fits, "{comment}: {found:#?}");
    }
}

#[test]
fn why_and_what_to_do() {
    let nothing = "no errors, no warnings, 1 note (`--verbose` shows them)";
    let dev = r#"{"name": "web", "main": "dist/main.js", "devDependencies": {"dev": "1"}}"#;
    let workspace = shop("require('dev')").and(&[
        ("apps/web/package.json", dev),
        ("node_modules/dev/package.json", r#"{"name": "dev", "version": "1.0.0"}"#),
        ("node_modules/dev/index.js", ""),
    ]);
    assert_snapshot!(said(&workspace), @"
    web (1 file of code)
      error[import-missing] apps/web/dist/main.js:1
        `web` asks at the start for `dev`, which is not in the image: `dev` is a devDependency in apps/web/package.json
        fix: move `dev` from devDependencies to dependencies in apps/web/package.json

    1 error, no warnings, 1 note (`--verbose` shows them)
    ");
    let workspace = workspace.and(&[("apps/web/package.json", &dev.replace("devDep", "dep"))]);
    assert!(said(&workspace).ends_with(&format!("{nothing}\n")));

    let workspace = shop("\nrequire('lib')").without("packages/lib/dist");
    assert_snapshot!(said(&workspace), @"
    web (1 file of code)
      error[import-missing] apps/web/dist/main.js:2
        `web@1.0.0` asks at the start for `lib`, but what its package.json names is not in the image: `packages/lib` is most likely not compiled
        fix: compile `lib`, such as with `npm run build`; its `files` has to name the output

    1 error, no warnings, 1 note (`--verbose` shows them)
    ");
    let workspace = workspace.and(&[("packages/lib/dist/lib.js", "")]);
    assert!(said(&workspace).ends_with(&format!("{nothing}\n")));

    let code = "require('./Money'); require('./rates'); require('./routes'); require('./nothing')";
    let workspace = shop(code).and(&[
        ("apps/web/dist/money.js", ""),
        ("apps/web/dist/rates.ts", ""),
        ("apps/web/dist/nothing/of/this", ""),
    ]);
    assert_snapshot!(said(&workspace), @"
    web (1 file of code)
      error[import-missing] apps/web/dist/main.js:1
        `web@1.0.0` asks at the start for `./Money`, but the file is called `money.js`: Linux tells capital letters from small ones
        fix: write the name as the file has it
      error[import-missing] apps/web/dist/main.js:1
        `web@1.0.0` asks at the start for `./nothing`, which is not in the image
        fix: compile again (`npm run build`), or correct the path
      error[import-missing] apps/web/dist/main.js:1
        `web@1.0.0` asks at the start for `./rates`, which is not in the image: `apps/web/dist/rates.ts` is not compiled
        fix: compile: `npm run build`
      error[import-missing] apps/web/dist/main.js:1
        `web@1.0.0` asks at the start for `./routes`, which is not in the image
        fix: compile again (`npm run build`), or correct the path

    4 errors, no warnings, 1 note (`--verbose` shows them)
    ");
}

#[test]
fn what_the_container_runs() {
    let workspace = shop("").and(&[("pirogue.toml", "command = ['node', 'dist/server.js']")]);
    assert_snapshot!(said(&workspace), @"
    web (0 files of code)
      error[entry-point-missing]
        node is started with a file that is not in the image: `/app/apps/web/dist/server.js`
        fix: compile the service, or name the right file as `entry-point` or `command` in pirogue.toml

    1 error, no warnings, 1 note (`--verbose` shows them)
    ");
    let workspace = workspace.and(&[("pirogue.toml", "command = ['node', '--enable-source-maps', 'dist/main']")]);
    assert_eq!(found(&workspace), [""; 0]);

    let files = "[[files]]\nfrom = 'apps/web/dist/main.js'\nto = '/root/main.js'";
    let workspace = workspace.and(&[("pirogue.toml", &format!("command = ['node', '/root/main.js']\n{files}"))]);
    assert_snapshot!(said(&workspace), @"
    web (1 file of code)
      error[entry-point-unreadable] /root
        the image's user (`1001:1001`) may not read what node is started with: `/root`
        fix: put it where everyone may look, or change `user` in pirogue.toml

    1 error, no warnings, 1 note (`--verbose` shows them)
    ");
    let as_root = format!("command = ['node', '/root/main.js']\nuser = '0:0'\n{files}");
    assert_eq!(found(&workspace.and(&[("pirogue.toml", &as_root)])), [""; 0]);
}

#[test]
fn a_program_that_the_base_does_not_have() {
    let Some(base) = sample::runnable_base() else { return };
    let workspace = shop("").and(&[("pirogue.toml", "entrypoint = ['dumb-init', '--']")]);
    let check =
        |workspace: &TestWorkspace| workspace.run(&["check", "--base", &base, "--platform", "linux/amd64"]).stdout;
    assert_snapshot!(check(&workspace), @"
    web (1 file of code)
      error[command-not-found]
        the container runs a program that the image does not have: `dumb-init`
        fix: build on a base that has `dumb-init`, or change `command` and `entrypoint` in pirogue.toml

    1 error, no warnings, no notes
    ");
    let workspace = workspace.without("pirogue.toml");
    assert_snapshot!(check(&workspace), @"
    web (1 file of code)

    no errors, no warnings, no notes
    ");
}

#[test]
fn what_node_loads_first() {
    let with =
        |command: &str| shop("").and(&[("pirogue.toml", command), ("apps/web/dist/first.js", "require('lost')")]);
    let table = [
        ("by an option", "command = ['node', '-r', './dist/first.js', 'dist/main.js']"),
        ("by a variable", "command = ['node', 'dist/main.js']\nenv = { NODE_OPTIONS = '--require=./dist/first.js' }"),
    ];
    for (comment, command) in table {
        let found = found(&with(command));
        assert!(found.len() == 1 && found[0].starts_with("error import-missing"), "{comment}: {found:#?}");
    }
    assert_eq!(found(&with("")), [""; 0]);
}

#[test]
fn code_that_is_none() {
    assert_snapshot!(said(&shop("const a = ;")), @"
    web (1 file of code)
      warning[syntax-error] apps/web/dist/main.js
        this is not JavaScript as the parser knows it: Unexpected token

    no errors, 1 warning, 1 note (`--verbose` shows them)
    ");
}

#[test]
fn a_build_ends_before_anything_is_packed() {
    let workspace = shop("require('lost')");
    let to = ["--to", "oci:images", "--json"];
    assert_snapshot!(run(&workspace, "build", &to), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    warning: web: `lost` is imported by apps/web/dist/main.js:1, but not installed
    planning layers
    error: the service `web` does not pass the checks
      web: apps/web/dist/main.js:1: `web@1.0.0` asks at the start for `lost`, which was left out of the image: not installed [import-missing]
        add `lost` to dependencies in apps/web/package.json
    hint: what each code means stands in docs/checks.md; to build all the same: `--no-check`
    ");
    assert!(!workspace.root().join("images").exists());
    let built = |workspace: &TestWorkspace, more: &[&str]| {
        let run = run(workspace, "build", &[&to[..], more].concat());
        assert_eq!(run.code, Some(0), "{run}");
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        (report["checks"]["warnings"].as_u64().unwrap(), run.stderr.contains("[import-missing]"))
    };
    assert_eq!(built(&workspace, &["--no-check"]), (0, false));
    let workspace = workspace.and(&[("pirogue.toml", "check = 'warn'")]);
    assert_eq!(built(&workspace, &[]), (1, true));
    let workspace = workspace.and(&[("pirogue.toml", "check = 'error'\n[service.web]\ncheck = 'off'")]);
    assert_eq!(built(&workspace, &[]), (0, false));
}

#[test]
fn for_programs() {
    let workspace = shop("require('lost'); () => require('mqtt'); require(process.argv[2])");
    assert_snapshot!(run(&workspace, "check", &["--json"]), @r#"
    exit code: 1
    ----- stdout
    {
      "errors": 1,
      "warnings": 0,
      "notes": 2,
      "services": [
        {
          "name": "web",
          "findings": [
            {
              "severity": "error",
              "code": "import-missing",
              "place": {
                "path": "/app/apps/web/dist/main.js",
                "source": "apps/web/dist/main.js",
                "line": 1
              },
              "message": "`web@1.0.0` asks at the start for `lost`, which was left out of the image: not installed",
              "fix": "add `lost` to dependencies in apps/web/package.json"
            },
            {
              "severity": "note",
              "code": "base-without-programs",
              "place": null,
              "message": "the base has no programs, so nothing in it can run node",
              "fix": "build on a base that has node, such as `base = \"node:22-alpine\"`"
            },
            {
              "severity": "note",
              "code": "lazy-import-missing",
              "place": {
                "path": "/app/apps/web/dist/main.js",
                "source": "apps/web/dist/main.js",
                "line": 1
              },
              "message": "`web@1.0.0` may later ask for `mqtt`, which was left out of the image: not installed",
              "fix": "add `mqtt` to dependencies in apps/web/package.json"
            }
          ],
          "reached_files": 1,
          "computed_imports": {
            "web@1.0.0": 1
          },
          "unread_files": {}
        }
      ]
    }
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    warning: web: `lost` is imported by apps/web/dist/main.js:1, but not installed
    warning: web: `mqtt` is imported by apps/web/dist/main.js:1, but not installed
    planning layers
    error: the checks found an error
    hint: what each code means stands in docs/checks.md
    "#);
    assert_snapshot!(run(&workspace, "check", &["--verbose"]), @r#"
    exit code: 1
    ----- stdout
    web (1 file of code)
      error[import-missing] apps/web/dist/main.js:1
        `web@1.0.0` asks at the start for `lost`, which was left out of the image: not installed
        fix: add `lost` to dependencies in apps/web/package.json
      note[base-without-programs]
        the base has no programs, so nothing in it can run node
        fix: build on a base that has node, such as `base = "node:22-alpine"`
      note[lazy-import-missing] apps/web/dist/main.js:1
        `web@1.0.0` may later ask for `mqtt`, which was left out of the image: not installed
        fix: add `mqtt` to dependencies in apps/web/package.json
      not followed: web@1.0.0 computes the names of modules at one place

    1 error, no warnings, 2 notes
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    warning: web: `lost` is imported by apps/web/dist/main.js:1, but not installed
    warning: web: `mqtt` is imported by apps/web/dist/main.js:1, but not installed
    planning layers
    error: the checks found an error
    hint: what each code means stands in docs/checks.md
    "#);
    let run = run(&workspace, "check", &["--sarif"]);
    let sarif: Value = serde_json::from_str(&run.stdout).unwrap();
    assert_snapshot!(serde_json::to_string_pretty(&sarif["runs"][0]["results"]).unwrap(), @r#"
    [
      {
        "ruleId": "import-missing",
        "ruleIndex": 4,
        "level": "error",
        "message": {
          "text": "web: `web@1.0.0` asks at the start for `lost`, which was left out of the image: not installed\nFix: add `lost` to dependencies in apps/web/package.json"
        },
        "properties": {
          "service": "web"
        },
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "apps/web/dist/main.js",
                "uriBaseId": "WORKSPACE"
              },
              "region": {
                "startLine": 1
              }
            }
          }
        ]
      },
      {
        "ruleId": "base-without-programs",
        "ruleIndex": 3,
        "level": "note",
        "message": {
          "text": "web: the base has no programs, so nothing in it can run node\nFix: build on a base that has node, such as `base = \"node:22-alpine\"`"
        },
        "properties": {
          "service": "web"
        }
      },
      {
        "ruleId": "lazy-import-missing",
        "ruleIndex": 5,
        "level": "note",
        "message": {
          "text": "web: `web@1.0.0` may later ask for `mqtt`, which was left out of the image: not installed\nFix: add `mqtt` to dependencies in apps/web/package.json"
        },
        "properties": {
          "service": "web"
        },
        "locations": [
          {
            "physicalLocation": {
              "artifactLocation": {
                "uri": "apps/web/dist/main.js",
                "uriBaseId": "WORKSPACE"
              },
              "region": {
                "startLine": 1
              }
            }
          }
        ]
      }
    ]
    "#);
    for result in sarif["runs"][0]["results"].as_array().unwrap() {
        let rule = &sarif["runs"][0]["tool"]["driver"]["rules"][result["ruleIndex"].as_u64().unwrap() as usize];
        assert_eq!(rule["id"], result["ruleId"]);
    }
}

#[test]
fn a_second_look_gives_the_same() {
    let workspace = shop("() => require('mqtt')");
    let first = run(&workspace, "check", &["--json"]);
    // What is known of the code is not needed again, for the result is.
    let facts = || std::fs::read_dir(workspace.beside("cache/facts")).unwrap().map(|fact| fact.unwrap().path());
    let modules = facts().find(|fact| fact.to_string_lossy().contains("modules-")).expect("it is remembered");
    std::fs::remove_file(&modules).unwrap();
    assert_eq!(first.stdout, run(&workspace, "check", &["--json"]).stdout);
    assert!(!modules.exists(), "no code was read");
    let workspace = workspace.and(&[("apps/web/dist/main.js", "() => require('amqp')")]);
    assert!(found(&workspace)[0].contains("`amqp`"));
}

/// Each code has a section of its own, and each section is of a code.
#[test]
fn every_code_is_documented() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/checks.md");
    let text = std::fs::read_to_string(path).expect("there is docs/checks.md");
    let sections = text.split("\n## `").skip(1);
    let documented: Vec<&str> = sections.clone().filter_map(|section| section.split('`').next()).collect();
    assert_eq!(documented, Code::ALL.map(Code::name));
    for section in sections {
        assert!(section.contains("```") && section.contains("\nFix"), "an example and a fix: {section}");
    }
}

#[test]
fn the_sample_has_no_errors() {
    let Some(workspace) = sample::workspace() else { return };
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pirogue"))
        .args(["check", "--json", "--no-cache", "--base", sample::SMALL_BASE, "--platform", "linux/amd64", "-C"])
        .arg(workspace)
        .output()
        .expect("pirogue starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    assert_eq!(report["services"].as_array().map(Vec::len), Some(sample::SERVICES.len()));
    assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &0.into()), "{report:#}");
}
