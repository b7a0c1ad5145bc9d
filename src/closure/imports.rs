//! Which packages shipped code imports, found with a real JavaScript parser.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::thread;

use oxc_allocator::Allocator;
use oxc_ast::ast::{CallExpression, Expression, ImportExpression, LogicalExpression, TSImportEqualsDeclaration};
use oxc_ast::ast::{TSModuleReference, VariableDeclarator};
use oxc_ast_visit::{Visit, walk};
use oxc_parser::Parser;
use oxc_span::SourceType;
use serde::{Deserialize, Serialize};

use super::builtin_modules::package_of;
use crate::host::{HostError, StatIndex};
use crate::path::HostPath;
use crate::workspace::WorkspacePath;

/// Deeply nested expressions, such as the long sums of strings that bundlers write, need a deep stack. Only what is used
/// of it takes memory.
const STACK_BYTES: usize = 256 << 20;

/// The name of this reader of code, for the index. It changes when what is found does.
const READER: &str = "imports 1";

/// An import of a package, by its first place in a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Import {
    /// The file, relative to the workspace.
    pub file: WorkspacePath,
    /// The package's name.
    pub package: String,
    /// The line, counted from 1.
    pub line: usize,
}

impl Import {
    /// `FILE:LINE`
    pub fn place(&self) -> String {
        format!("{}:{}", self.file, self.line)
    }
}

/// What a scan of files found.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// Sorted by file, then package; one for each file and package.
    pub imports: Vec<Import>,
    ports: BTreeSet<u16>,
}

impl Scanned {
    /// The port the code listens on when `PORT` is not set, if it says exactly one.
    pub fn default_port(&self) -> Option<u16> {
        if self.ports.len() == 1 { self.ports.first().copied() } else { None }
    }
}

/// Why code cannot be scanned.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// No thread to scan with.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// What was found in one file, as the index remembers it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Found {
    /// Packages with the line of their first import.
    packages: BTreeMap<String, usize>,
    ports: BTreeSet<u16>,
}

/// Scans the JavaScript and TypeScript files among `files`; each is given by its path in the workspace and on this disk.
/// Code that does not parse gives what was understood of it: whether it is right is for Node to say.
pub fn scan(files: &[(WorkspacePath, HostPath)], index: &StatIndex) -> Result<Scanned, ScanError> {
    let sources: Vec<_> = files.iter().filter_map(|(file, path)| Some((file, path, source_type(file)?))).collect();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let worker = || -> Result<(), HostError> {
        while let Some((file, path, source_type)) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            let read = |bytes: &[u8]| scan_source(&String::from_utf8_lossy(bytes), *source_type);
            if let Some(found) = index.derived(path, READER, read)? {
                results.lock().unwrap_or_else(PoisonError::into_inner).push(((*file).clone(), found));
            }
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads = rayon::current_num_threads().min(sources.len());
        let mut started = Vec::new();
        for _ in 0..threads {
            let thread = thread::Builder::new().stack_size(STACK_BYTES).spawn_scoped(scope, worker);
            started.push(thread.map_err(ScanError::Thread)?);
        }
        for thread in started {
            match thread.join() {
                Ok(result) => result?,
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        Ok::<(), ScanError>(())
    })?;
    let mut scanned = Scanned::default();
    for (file, found) in results.into_inner().unwrap_or_else(PoisonError::into_inner) {
        let import = |(package, line)| Import { file: file.clone(), package, line };
        scanned.imports.extend(found.packages.into_iter().map(import));
        scanned.ports.extend(found.ports);
    }
    scanned.imports.sort();
    Ok(scanned)
}

/// How to parse a file, by its extension; `None` for what is no code or never runs.
fn source_type(file: &WorkspacePath) -> Option<SourceType> {
    let name = file.name();
    match name.rsplit_once('.')?.1 {
        "js" => Some(SourceType::unambiguous()),
        "cjs" => Some(SourceType::cjs()),
        "mjs" => Some(SourceType::mjs()),
        "ts" | "mts" | "cts" if [".d.ts", ".d.mts", ".d.cts"].iter().any(|end| name.ends_with(end)) => None,
        "ts" | "mts" | "cts" => Some(SourceType::ts()),
        _ => None,
    }
}

fn scan_source(text: &str, source_type: SourceType) -> Found {
    let allocator = Allocator::default();
    let parsed = Parser::new(&allocator, text, source_type).parse();
    let mut visitor = Visitor::default();
    for (specifier, requests) in &parsed.module_record.requested_modules {
        let runs = requests.iter().filter(|request| !request.is_type);
        visitor.specifiers.extend(runs.map(|request| (specifier.to_string(), request.statement_span.start)));
    }
    visitor.visit_program(&parsed.program);
    let line = |offset: u32| 1 + text.bytes().take(offset as usize).filter(|&byte| byte == b'\n').count();
    let mut packages = BTreeMap::new();
    for (specifier, offset) in visitor.specifiers {
        if let Some(package) = package_of(&specifier) {
            let line = line(offset);
            let first = packages.entry(package).or_insert(line);
            *first = line.min(*first);
        }
    }
    Found { packages, ports: visitor.ports }
}

/// Collects specifiers with the offset of their place, and default ports.
#[derive(Default)]
struct Visitor {
    specifiers: Vec<(String, u32)>,
    ports: BTreeSet<u16>,
}

impl<'a> Visit<'a> for Visitor {
    /// `require('x')` and `require.resolve('x')`
    fn visit_call_expression(&mut self, call: &CallExpression<'a>) {
        let is_require =
            call.callee.is_specific_id("require") || call.callee.is_specific_member_access("require", "resolve");
        let first = call.arguments.first().and_then(|argument| argument.as_expression());
        if let (true, Some(specifier)) = (is_require, first.and_then(constant_text)) {
            self.specifiers.push((specifier, call.span.start));
        }
        walk::walk_call_expression(self, call);
    }

    /// `import('x')`
    fn visit_import_expression(&mut self, import: &ImportExpression<'a>) {
        if let Some(specifier) = constant_text(&import.source) {
            self.specifiers.push((specifier, import.span.start));
        }
        walk::walk_import_expression(self, import);
    }

    /// TypeScript's `import x = require('x')`
    fn visit_ts_import_equals_declaration(&mut self, import: &TSImportEqualsDeclaration<'a>) {
        if let TSModuleReference::ExternalModuleReference(reference) = &import.module_reference
            && import.import_kind.is_value()
        {
            self.specifiers.push((reference.expression.value.to_string(), import.span.start));
        }
        walk::walk_ts_import_equals_declaration(self, import);
    }

    /// `process.env.PORT || 3000` and `process.env.PORT ?? 3000`
    fn visit_logical_expression(&mut self, expression: &LogicalExpression<'a>) {
        if mentions_port(&expression.left) {
            self.ports.extend(port(&expression.right));
        }
        walk::walk_logical_expression(self, expression);
    }

    /// `const { PORT = 3000 } = process.env`
    fn visit_variable_declarator(&mut self, declarator: &VariableDeclarator<'a>) {
        if let (Some(init), oxc_ast::ast::BindingPattern::ObjectPattern(pattern)) = (&declarator.init, &declarator.id)
            && init.is_specific_member_access("process", "env")
        {
            for property in &pattern.properties {
                if let (Some("PORT"), oxc_ast::ast::BindingPattern::AssignmentPattern(value)) =
                    (property.key.static_name().as_deref(), &property.value)
                {
                    self.ports.extend(port(&value.right));
                }
            }
        }
        walk::walk_variable_declarator(self, declarator);
    }
}

/// The text of a string literal, or of a template without expressions.
fn constant_text(expression: &Expression<'_>) -> Option<String> {
    match expression {
        Expression::StringLiteral(literal) => Some(literal.value.to_string()),
        Expression::TemplateLiteral(template) => template.single_quasi().map(|text| text.to_string()),
        _ => None,
    }
}

/// Whether the expression is `process.env.PORT`, bare or inside a conversion to a number.
fn mentions_port(expression: &Expression<'_>) -> bool {
    match expression {
        Expression::StaticMemberExpression(member) => {
            member.property.name == "PORT" && member.object.is_specific_member_access("process", "env")
        }
        Expression::CallExpression(call) => {
            call.arguments.iter().filter_map(|argument| argument.as_expression()).any(mentions_port)
        }
        Expression::UnaryExpression(unary) => mentions_port(&unary.argument),
        Expression::ParenthesizedExpression(inner) => mentions_port(&inner.expression),
        _ => false,
    }
}

/// A literal that can be a port.
fn port(expression: &Expression<'_>) -> Option<u16> {
    let port = match expression {
        Expression::NumericLiteral(number) => number.value.to_string().parse().ok()?,
        Expression::StringLiteral(text) => text.value.parse().ok()?,
        _ => return None,
    };
    (port != 0).then_some(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scans one file with this name and text.
    fn scanned(name: &str, text: &str) -> Scanned {
        let dir = tempfile::tempdir().unwrap();
        let root = HostPath::new(dir.path());
        std::fs::write(root.join(name), text).unwrap();
        let file = WorkspacePath::new(name).unwrap();
        scan(&[(file, root.join(name))], &StatIndex::decode(&root, None, 0)).unwrap()
    }

    #[test]
    fn imports_are_found() {
        let table: [(&str, &str, &str, &[&str]); 12] = [
            ("require", "a.js", "const a = require('express')", &["express:1"]),
            ("deep and scoped", "a.js", "\nrequire('@nestjs/core/x/y')", &["@nestjs/core:2"]),
            ("resolve", "a.js", "require.resolve(`pg`)", &["pg:1"]),
            ("in a function, in a try", "a.js", "function f(){\n try { require('a') } catch {} }", &["a:2"]),
            (
                "import",
                "a.mjs",
                "import x from 'a'; import 'b'; export * from 'c'; export {d} from 'd'",
                &["a:1", "b:1", "c:1", "d:1"],
            ),
            ("dynamic import", "a.js", "async () => await import('a')", &["a:1"]),
            (
                "builtin, relative, computed",
                "a.js",
                "require('fs'); require('./b'); require('node:x'); require(name)",
                &[],
            ),
            ("comments and texts", "a.js", "// require('a')\n const s = \"require('b')\"", &[]),
            ("a type is not loaded", "a.ts", "import type {A} from 'a'; import b = require('b')", &["b:1"]),
            ("the first place counts", "a.js", "\nrequire('a')\nrequire('a/b')", &["a:2"]),
            ("return at the top, as CommonJS may", "a.cjs", "if (x) return; require('a')", &["a:1"]),
            ("hash bang", "a.js", "#!/usr/bin/env node\nrequire('a')", &["a:2"]),
        ];
        for (comment, name, text, expected) in table {
            let found: Vec<_> = scanned(name, text)
                .imports
                .iter()
                .map(|import| format!("{}:{}", import.package, import.line))
                .collect();
            assert_eq!(found, expected, "{comment}");
        }
    }

    #[test]
    fn default_ports() {
        let table = [
            ("or", "app.listen(process.env.PORT || 3000)", Some(3000)),
            ("nullish, a text", "listen(process.env.PORT ?? '8080')", Some(8080)),
            ("converted", "listen(Number(process.env.PORT) || 3001)", Some(3001)),
            ("parsed", "listen(parseInt(process.env.PORT, 10) || 3001)", Some(3001)),
            ("destructured", "const { PORT = 3002 } = process.env", Some(3002)),
            ("two", "process.env.PORT || 1; process.env.PORT || 2", None),
            ("another variable", "process.env.METRICS_PORT || 9000", None),
            ("computed", "process.env.PORT || base + 1", None),
        ];
        for (comment, text, expected) in table {
            assert_eq!(scanned("a.js", text).default_port(), expected, "{comment}");
        }
    }

    #[test]
    fn deep_nesting_is_survived() {
        let sum = vec!["'a'"; 20_000].join("+");
        let found = scanned("a.js", &format!("x = {sum}; require('a')"));
        assert_eq!(found.imports.len(), 1);
    }
}
