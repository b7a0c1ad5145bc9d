//! Where files and modules lie that code gets at by names it makes while it runs.

use std::collections::BTreeSet;

use oxc_ast::ast::{CallExpression, Expression};
use oxc_span::{GetSpan as _, Span};

use super::Reader;
use crate::javascript::constant_paths::{
    ConstantPath, called_name, constant_path, first, is_import_meta, leading_text, text,
};
use crate::javascript::{Origin, Reach, Request, RequestKind};

/// Functions that look at a path, and neither read what lies there nor hand it on.
const LOOK_AT_TEXT: [&str; 10] = [
    "startsWith",
    "endsWith",
    "indexOf",
    "lastIndexOf",
    "includes",
    "replace",
    "replaceAll",
    "split",
    "relative",
    "basename",
];

/// Functions that tell what lies in a directory, or below it.
const LIST_DIRECTORIES: [&str; 8] =
    ["readdir", "readdirSync", "opendir", "opendirSync", "glob", "globSync", "globby", "globbySync"];

/// What is found while code is read.
#[derive(Debug, Default)]
pub(super) struct ReachesReader {
    found: BTreeSet<Reach>,
    /// Texts that may be paths of modules relative to this file.
    relative: BTreeSet<String>,
    /// What names begin with that are put together, and may be those of modules: `x-driver-`.
    prefixes: BTreeSet<String>,
    /// Whether a module is asked for by a name of which nothing is known.
    any: bool,
    /// From where to where directories are only looked at.
    harmless: Vec<(u32, u32)>,
    /// Whether it lists directories.
    lists: bool,
}

impl ReachesReader {
    /// Says that nobody gets at what lies in directories that are named in this part of the text.
    pub fn is_harmless(&mut self, span: Span) {
        self.harmless.push((span.start, span.end));
    }

    /// What was found in this text. Relative texts and beginnings of names count only where something is done that may load
    /// them.
    pub fn finish(mut self, source: &str, requests: &[Request]) -> BTreeSet<Reach> {
        self.found.extend((self.lists && source.contains("node_modules")).then_some(Reach::Manifests));
        if self.any {
            let is_asked_for = |text: &String| requests.iter().any(|request| request.specifier == *text);
            let relative = self.relative.into_iter().filter(|text| !is_asked_for(text));
            self.found.extend(relative.map(|text| Reach::Files(text.trim_start_matches("./").to_owned())));
            self.found.extend(self.prefixes.into_iter().map(Reach::Modules));
        }
        self.found
    }
}

fn is_relative(text: &str) -> bool {
    text.starts_with("./") || text.starts_with("../")
}

/// Whether the name of a module may begin so, and end with more: `x-`, `@x/y-`, `x/lib/`.
fn begins_name(text: &str) -> bool {
    let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_./".contains(&byte);
    text.trim_start_matches('@').bytes().all(is_of_name) && text.len() > 1 && text.ends_with(['-', '/'])
}

impl Reader {
    /// Takes in a request for a module whose name is made while the code runs.
    pub(super) fn reach_by_request(&mut self, argument: &Expression<'_>) {
        if let Some(path) = constant_path(argument, &self.known).filter(|path| path.origin == Origin::ThisDirectory) {
            let start = path.normal().or_else(|| path.directory());
            self.reaches.found.extend(start.map(Reach::Files));
            return;
        }
        let start = leading_text(argument);
        match start.as_str() {
            "" => self.reaches.any = true,
            start if is_relative(start) => {
                _ = self.reaches.found.insert(Reach::Files(start.trim_start_matches("./").to_owned()));
            }
            start if start.starts_with('/') => {}
            start => _ = self.reaches.found.insert(Reach::Modules(start.to_owned())),
        }
    }

    /// Takes in a path that leads to the directory of this file, or one above it: whoever gets it may read all there.
    pub(super) fn reach_directory(&mut self, path: &ConstantPath, span: Span) {
        let is_harmless = |(start, end): &(u32, u32)| *start <= span.start && span.end <= *end;
        if path.origin == Origin::ThisDirectory && !self.reaches.harmless.iter().any(is_harmless) {
            self.reaches.found.extend(path.directory().map(Reach::Files));
        }
    }

    /// Takes in a directory that is handed on, or a text that may be a module's path.
    pub(super) fn reach_by_expression(&mut self, expression: &Expression<'_>) {
        if expression.span().end <= self.path_end {
            return;
        }
        match expression {
            Expression::Identifier(_) => {
                if let Some(path) = constant_path(expression, &self.known) {
                    self.reach_directory(&path, expression.span());
                }
            }
            Expression::StaticMemberExpression(member) if is_import_meta(&member.object) => {
                if let Some(path) = constant_path(expression, &self.known) {
                    self.reach_directory(&path, expression.span());
                }
            }
            Expression::StringLiteral(literal) if is_relative(&literal.value) => {
                let names_something = literal.value.bytes().any(|byte| byte.is_ascii_alphanumeric());
                self.reaches.relative.extend(names_something.then(|| literal.value.to_string()));
            }
            Expression::TemplateLiteral(_) | Expression::BinaryExpression(_) => {
                let start = leading_text(expression);
                match is_relative(&start) {
                    true => _ = self.reaches.relative.insert(start),
                    false => self.reaches.prefixes.extend(begins_name(&start).then_some(start)),
                }
            }
            _ => {}
        }
    }

    /// Takes in a call that leads to a whole package, or that only looks at the path of a directory.
    pub(super) fn reach_by_call(&mut self, call: &CallExpression<'_>) {
        let argument = first(&call.arguments);
        self.reaches.lists |= called_name(&call.callee).is_some_and(|name| LIST_DIRECTORIES.contains(&name));
        // `dirname(require.resolve('x'))`, `require.resolve('x/package.json')`
        let resolved = |expression: &Expression<'_>| match expression.get_inner_expression() {
            Expression::CallExpression(inner) => {
                let kind = self.requires.kind_of_call(inner, self.position.require_is_parameter);
                let only_place = matches!(kind, Some(RequestKind::RequireResolve | RequestKind::ImportResolve));
                first(&inner.arguments).filter(|_| only_place).and_then(text)
            }
            _ => None,
        };
        let kind = self.requires.kind_of_call(call, self.position.require_is_parameter);
        let only_place = matches!(kind, Some(RequestKind::RequireResolve | RequestKind::ImportResolve));
        let own = argument.filter(|_| only_place).and_then(text).filter(|text| text.ends_with("/package.json"));
        let by_path =
            ["dirname", "join", "resolve", "fileURLToPath"].iter().any(|name| called_name(&call.callee) == Some(name));
        let whole = argument.filter(|_| by_path).and_then(resolved).or(own);
        self.reaches.found.extend(whole.map(Reach::PackageOf));
        let looks_at_text = called_name(&call.callee).is_some_and(|name| LOOK_AT_TEXT.contains(&name));
        if looks_at_text || only_place || finds_addons(&call.callee) {
            call.arguments.iter().for_each(|argument| self.reaches.is_harmless(argument.span()));
        }
    }
}

/// Whether a function finds the native code of the package whose directory it is given, all of which is looked after
/// elsewhere: `bindings`, `node-gyp-build`, `node-pre-gyp` and their kin.
fn finds_addons(callee: &Expression<'_>) -> bool {
    let says_so = |name: &str| {
        let name = name.to_lowercase();
        ["gyp", "binding", "prebuil"].iter().any(|word| name.contains(word))
    };
    match callee.get_inner_expression() {
        Expression::Identifier(id) => says_so(&id.name),
        Expression::StaticMemberExpression(member) => says_so(&member.property.name) || finds_addons(&member.object),
        Expression::CallExpression(call) => first(&call.arguments).and_then(text).is_some_and(|name| says_so(&name)),
        _ => false,
    }
}
