//! Which packages shipped code imports, found with a real JavaScript parser.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use serde::{Deserialize, Serialize};

use super::builtin_modules::package_of;
use crate::host::{HostError, StatIndex};
use crate::javascript::{self, Module, Request};
use crate::path::HostPath;
use crate::workspace::WorkspacePath;

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
    let sources: Vec<_> =
        files.iter().filter_map(|(file, path)| Some((file, path, javascript::source_type(&file.name())?))).collect();
    let results = javascript::on_deep_stacks(&sources, |(file, path, source_type)| {
        let read = |bytes: &[u8]| found(javascript::read(&String::from_utf8_lossy(bytes), *source_type));
        Ok(index.derived(path, javascript::READER, read)?.map(|found| ((*file).clone(), found)))
    });
    let mut scanned = Scanned::default();
    for result in results.map_err(ScanError::Thread)? {
        let Some((file, found)): Option<(WorkspacePath, Found)> = result.map_err(ScanError::Host)? else { continue };
        let import = |(package, line)| Import { file: file.clone(), package, line };
        scanned.imports.extend(found.packages.into_iter().map(import));
        scanned.ports.extend(found.ports);
    }
    scanned.imports.sort();
    Ok(scanned)
}

/// The packages that a module asks for.
fn found(module: Module) -> Found {
    let mut packages = BTreeMap::new();
    for Request { specifier, line, .. } in module.requests {
        if let Some(package) = package_of(&specifier) {
            let line = line as usize;
            let first = packages.entry(package).or_insert(line);
            *first = line.min(*first);
        }
    }
    Found { packages, ports: module.ports }
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
