//! Packages that code asks for by their names in quotes, wherever these stand: what lazy loaders are given
//! (`loadPackage('hbs')`, `target: 'pino-pretty'`). Only names count that the code's own package.json declares, and none that
//! stand in comments alone.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

use super::file_name;
use crate::check::imports::Reached;
use crate::check::resolver::{Resolved, Resolver};
use crate::check::{CheckError, Subject};
use crate::closure::package_of;
use crate::javascript::{self, Request, RequestKind};
use crate::workspace::{PackageJson, WorkspacePath};

/// What code may mention.
pub(super) struct Mentions<'a> {
    subject: &'a Subject<'a>,
    /// By the directory of a package, the names that it declares.
    declared: HashMap<WorkspacePath, BTreeSet<&'a str>>,
}

impl<'a> Mentions<'a> {
    /// Of the code of an image.
    pub fn of(subject: &'a Subject<'a>) -> Self {
        let mut declared: HashMap<WorkspacePath, BTreeSet<&'a str>> = HashMap::new();
        for (dir, package) in &subject.closure.packages {
            declared.entry(dir.clone()).or_default().extend(names(&package.package_json));
        }
        let root = &subject.workspace.package_json;
        for member in &subject.workspace.members {
            declared.entry(member.dir.clone()).or_default().extend(names(&member.package_json).chain(names(root)));
        }
        Self { subject, declared }
    }

    /// The files that lie where names in the quotes of these files lead.
    pub fn of_files(&self, files: &[Reached], resolver: &Resolver) -> Result<Vec<PathBuf>, CheckError> {
        let code: Vec<&Reached> = files.iter().filter(|file| file.module.is_some()).collect();
        let found =
            javascript::on_deep_stacks(&code, |file| self.of_file(file, resolver)).map_err(CheckError::Thread)?;
        let mut paths = BTreeSet::new();
        for of_file in found {
            paths.extend(of_file?);
        }
        Ok(paths.into_iter().collect())
    }

    fn of_file(&self, file: &Reached, resolver: &Resolver) -> Result<Vec<PathBuf>, CheckError> {
        let package = self.subject.package_at(&file.path);
        let declared = package.and_then(|package| self.declared.get(&package.dir)).filter(|names| !names.is_empty());
        let (Some(declared), Some(module)) = (declared, &file.module) else { return Ok(Vec::new()) };
        let Some(text) = self.subject.files.read(&file.path)? else { return Ok(Vec::new()) };
        let text = String::from_utf8_lossy(&text);
        let is_declared = |text: &str| package_of(text).is_some_and(|name| declared.contains(name.as_str()));
        // Who asks where a package is, and does not find it that way, may load it in another.
        let is_found = |request: &Request| {
            !matches!(resolver.resolve(&file.path, &request.specifier, request.kind), Resolved::Missing(_))
        };
        let is_asked_for =
            |text: &str| module.requests.iter().any(|request| request.specifier == text && is_found(request));
        let mut mentioned: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, name) in in_quotes(&text).filter(|(_, name)| is_declared(name)) {
            mentioned.entry(name).or_default().push(at);
        }
        mentioned.retain(|name, _| !is_asked_for(name));
        let Some(source_type) = javascript::source_type(&file_name(&file.path)).filter(|_| !mentioned.is_empty())
        else {
            return Ok(Vec::new());
        };
        let comments = javascript::comments(&text, source_type);
        let is_code = |at: &usize| !comments.iter().any(|comment| comment.contains(at));
        mentioned.retain(|_, places| places.iter().any(is_code));
        let mut found = Vec::new();
        for specifier in mentioned.into_keys() {
            for kind in [RequestKind::Require, RequestKind::Import] {
                if let Resolved::File(path) = resolver.resolve(&file.path, specifier, kind) {
                    found.push(path);
                }
            }
        }
        Ok(found)
    }
}

/// All packages that a package.json says it works with.
fn names(json: &PackageJson) -> impl Iterator<Item = &str> {
    let edges = [&json.dependencies, &json.optional_dependencies, &json.peer_dependencies, &json.optional_peers];
    edges.into_iter().flat_map(|edges| edges.keys().map(String::as_str))
}

/// The texts between two quotes of one kind that may be specifiers of packages, each with where it begins.
fn in_quotes(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let is_quote = |byte: &u8| matches!(byte, b'\'' | b'"' | b'`');
    let is_of_specifier = |byte: u8| byte.is_ascii_alphanumeric() || b"@/._~-".contains(&byte);
    let bytes = text.as_bytes();
    let quotes = bytes.iter().enumerate().filter(move |(_, byte)| is_quote(byte)).map(|(at, _)| at);
    quotes.filter_map(move |quote| {
        let at = quote + 1;
        let length = bytes.get(at..)?.iter().position(|byte| !is_of_specifier(*byte))?;
        let ends = bytes.get(at + length) == bytes.get(quote) && length > 0;
        text.get(at..at + length).filter(|_| ends).map(|text| (at, text))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_in_quotes() {
        let table: [(&str, &str, &[&str]); 7] = [
            ("none", "load(name)", &[]),
            ("each kind", "f('a', \"@b/c\", `d/e.js`)", &["a", "@b/c", "d/e.js"]),
            ("quotes of two kinds", "'a\"", &[]),
            ("a text of words", "'not a name'", &[]),
            ("an empty one", "''", &[]),
            ("a template with an expression", "`a/${b}`", &[]),
            ("no end", "x = 'a", &[]),
        ];
        for (comment, text, expected) in table {
            assert_eq!(in_quotes(text).map(|(_, name)| name).collect::<Vec<_>>(), expected, "{comment}");
        }
    }
}
