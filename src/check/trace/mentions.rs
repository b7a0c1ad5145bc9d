//! Packages that code asks for by their names in quotes, wherever these stand: what lazy loaders are given
//! (`loadPackage('hbs')`, `target: 'pino-pretty'`). Only names count that the code's own package.json declares.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;

use crate::check::imports::Reached;
use crate::check::resolver::{Resolved, Resolver};
use crate::check::{CheckError, Subject};
use crate::closure::package_of;
use crate::javascript::{self, RequestKind};
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
        let is_declared = |text: &&str| package_of(text).is_some_and(|name| declared.contains(name.as_str()));
        let mentioned: BTreeSet<&str> = in_quotes(&text).filter(is_declared).collect();
        let is_asked_for = |text: &str| module.requests.iter().any(|request| request.specifier == text);
        let mut found = Vec::new();
        for specifier in mentioned.into_iter().filter(|text| !is_asked_for(text)) {
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

/// The texts between two quotes of one kind that may be specifiers of packages.
fn in_quotes(text: &[u8]) -> impl Iterator<Item = &str> {
    let is_quote = |byte: &u8| matches!(byte, b'\'' | b'"' | b'`');
    let is_of_specifier = |byte: &u8| byte.is_ascii_alphanumeric() || b"@/._~-".contains(byte);
    let starts = text.iter().enumerate().filter(move |(_, byte)| is_quote(byte)).map(|(at, _)| at);
    starts.filter_map(move |at| {
        let rest = text.get(at + 1..)?;
        let length = rest.iter().position(|byte| !is_of_specifier(byte))?;
        let ends = rest.get(length) == text.get(at) && length > 0;
        std::str::from_utf8(&rest[..length]).ok().filter(|_| ends)
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
            assert_eq!(in_quotes(text.as_bytes()).collect::<Vec<_>>(), expected, "{comment}");
        }
    }
}
