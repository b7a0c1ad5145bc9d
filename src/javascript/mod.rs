//! What JavaScript code says about itself before anybody runs it: which modules it asks for, and when; which files it names;
//! on which port it listens. Read with a real parser; what only running would tell is counted and not guessed.

mod bundles;
mod comments;
mod conditions;
mod constant_paths;
mod control_flow;
mod file_uses;
mod frameworks;
mod lines;
mod module_kind;
mod ports;
mod reader;
mod requires;
mod serving;
mod threads;

use std::collections::BTreeSet;

use oxc_span::SourceType;
use serde::{Deserialize, Serialize};

pub use comments::comments;
pub use frameworks::loader_of;
pub use module_kind::Written;
pub use reader::{READER, read};
pub use serving::Serving;
pub use threads::on_deep_stacks;

/// What one file says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Module {
    /// What it asks for, in the order of lines.
    pub requests: Vec<Request>,
    /// Files it names by paths that are known before it runs, in the order of lines.
    pub files: Vec<NamedFile>,
    /// The lines at which it asks for a module whose name is computed.
    pub computed: Vec<u32>,
    /// Where files and modules lie that it may get at by names it makes while it runs.
    pub reaches: BTreeSet<Reach>,
    /// The ports it listens on where `PORT` is not set.
    pub ports: BTreeSet<u16>,
    /// Where it listens, and whether it answers.
    pub serving: Serving,
    /// As what it is written.
    pub written: Written,
    /// What the parser could not make sense of, if anything; the rest was understood all the same.
    pub syntax_error: Option<String>,
}

/// A module that code asks for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Request {
    /// The line, counted from 1.
    pub line: u32,
    /// What it asks for, as it is written.
    pub specifier: String,
    /// By which means.
    pub kind: RequestKind,
    /// Whether asking can be avoided.
    pub when: When,
    /// Whether somebody looks after its failure: `try`, `.catch(…)`.
    pub is_caught: bool,
    /// Whether a condition around it fails in node, or as long as no variable of the environment is set.
    pub is_unlikely: bool,
}

/// The means by which code asks for a module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum RequestKind {
    /// `require(…)`
    Require,
    /// `require.resolve(…)`: only where the module lies.
    RequireResolve,
    /// `import … from`, `export … from`
    Import,
    /// `import(…)`
    DynamicImport,
    /// `import.meta.resolve(…)`: only where the module lies.
    ImportResolve,
    /// A file, relative to this one, that runs in a thread or process of its own.
    Program,
    /// A call of a parameter that is called `require`: Node's own, or that of a bundle.
    Parameter,
    /// A call of a framework that loads it whenever it runs.
    Framework,
}

impl RequestKind {
    /// Whether the module is named by a URL, which a query may follow.
    pub fn is_by_url(self) -> bool {
        matches!(self, Self::Import | Self::DynamicImport | Self::ImportResolve)
    }
}

/// When code is reached that asks for something. The later, the less certain it is that it is reached at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum When {
    /// Always, as soon as the file is loaded.
    AtStart,
    /// As soon as the file is loaded, if a condition holds; or its failure is caught.
    Guarded,
    /// Within a function that somebody may call.
    Later,
}

/// What a path is relative to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// The directory of the file that names it.
    ThisDirectory,
    /// The working directory of the process.
    WorkingDirectory,
    /// The root of the file system.
    Root,
}

/// What is done with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum FileUse {
    /// It is read, and nothing goes on until that is done.
    ReadSync,
    /// It is read.
    Read,
    /// Its path is handed on.
    Named,
    /// It is removed or replaced, or asked whether it is there: nobody counts on it.
    Optional,
    /// It is made or written, and nothing goes on until that is done.
    MadeSync,
    /// It is made or written.
    Made,
}

/// A file or directory that code names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NamedFile {
    /// The line, counted from 1.
    pub line: u32,
    /// What the path is relative to.
    pub origin: Origin,
    /// The path, which may be a glob pattern.
    pub path: String,
    /// Whether more follows that is known only when the code runs: the path is that of a directory then.
    pub is_open: bool,
    /// What is done with it.
    pub used: FileUse,
    /// Whether somebody looks after it that asks for `ENOENT`: it may be missing.
    pub may_be_missing: bool,
    /// When.
    pub when: When,
}

/// Where something lies that code may get at by a name it makes while it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Reach {
    /// Any file whose path begins so, relative to the directory of the file that says it; all in that directory if empty.
    Files(String),
    /// Any module whose specifier begins so: `moment/locale/`.
    Modules(String),
    /// Anything in the package of this module, whose place it asks for: `dirname(require.resolve('x/package.json'))`.
    PackageOf(String),
    /// The package.json of any package: it knows of `node_modules`, and lists directories.
    Manifests,
}

/// How to parse a file, by its name; `None` for what is no code or never runs.
pub fn source_type(name: &str) -> Option<SourceType> {
    match name.rsplit_once('.')?.1 {
        "js" => Some(SourceType::unambiguous()),
        "cjs" => Some(SourceType::cjs()),
        "mjs" => Some(SourceType::mjs()),
        "ts" | "mts" | "cts" if [".d.ts", ".d.mts", ".d.cts"].iter().any(|end| name.ends_with(end)) => None,
        "ts" | "mts" | "cts" => Some(SourceType::ts()),
        _ => None,
    }
}
