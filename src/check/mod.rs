//! Whether an image will start, told before it exists: from the plan alone, over the file system its containers would have.
//!
//! Each kind of check is a file here that gives [`Finding`]s. To add one: a variant of [`Code`], its file, its line in
//! [`check`], its section in `docs/checks.md`.

mod addons;
mod allowance;
mod base;
mod code;
mod data_files;
mod entry_point;
mod file_system;
mod fleet;
mod imports;
mod known_modules;
mod launch;
mod module_kind;
mod package;
mod pattern;
mod permissions;
mod platforms;
mod requests;
mod resolver;
mod secrets;
mod trace;
mod unreached;
mod writable;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

pub use allowance::Allowance;
pub use base::{BaseDrift, unlocked_base};
pub use code::{Code, UnknownCode};
pub use file_system::{ImageFiles, LayerFiles, PathHash, normal};
pub use fleet::{FleetMember, check_fleet};
pub use known_modules::KnownModules;
pub use package::package_top;
pub use resolver::{Missing, Resolved, Resolver};
pub use secrets::{Scan, Scanner, Secret};
pub use trace::{BadPattern, KeepPatterns, trace};

use self::imports::Graph;
use crate::closure::DependencyClosure;
use crate::host::HostError;
use crate::image::{RunSettings, RunUser};
use crate::layer::{LeftOut, PackError};
use crate::manifest::ContainerConfig;
use crate::path::ImagePath;
use crate::workspace::{Service, Workspace};

/// The name of these checks, for whoever remembers what they found. It changes when what they find does.
pub const RECIPE: &str = "checks 8, javascript 9";

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The service does not start.
    Error,
    /// Something will most likely fail once it is asked for.
    Warning,
    /// Worth to know; nothing fails that was meant to work.
    Note,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Error => "error",
            Self::Warning => "warning",
            Self::Note => "note",
        })
    }
}

/// A place in an image.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Place {
    /// The path in the image.
    pub path: String,
    /// The same file in the workspace, relative to its root, where it is from there.
    pub source: Option<String>,
    /// The line, counted from 1.
    pub line: Option<u32>,
}

impl Place {
    /// A file of the workspace, whose root stands at `root` in the image. What is installed has no place in the workspace's
    /// own files.
    pub fn in_workspace(root: &ImagePath, file: &Path, line: Option<u32>) -> Self {
        let is_ours = !file.components().any(|part| part.as_os_str() == "node_modules");
        let source = is_ours.then(|| file.display().to_string());
        Self { path: root.as_path().join(file).display().to_string(), source, line }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.source.as_deref().unwrap_or(&self.path))?;
        self.line.map_or(Ok(()), |line| write!(f, ":{line}"))
    }
}

/// Something about an image that its user should know before it runs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is; `docs/checks.md` has a section on it.
    pub code: Code,
    /// Where, if it has a place.
    pub place: Option<Place>,
    /// What is wrong, in one sentence.
    pub message: String,
    /// What to do about it.
    pub fix: Option<String>,
}

/// What the checks of one service gave.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Checked {
    /// The findings, what matters most first.
    pub findings: Vec<Finding>,
    /// How many files of code can be reached from the entry point.
    pub reached: usize,
    /// Where modules are asked for whose names only running code knows: how many places in each package. Nothing is
    /// guessed about them.
    pub computed: BTreeMap<String, usize>,
    /// Files that were not read, each with the reason.
    pub unread: BTreeMap<String, String>,
    /// The files of packages that no import leads to.
    pub unreached: LeftOut,
}

impl Checked {
    /// How many findings there are of a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// Makes every error a warning, but for what planning found: its own settings decide on that.
    pub fn soften(&mut self) {
        for finding in self.findings.iter_mut().filter(|finding| !finding.code.is_of_plan()) {
            finding.severity = finding.severity.max(Severity::Warning);
        }
        self.findings.sort();
    }
}

/// What is checked: the image that a service would have.
pub struct Subject<'a> {
    /// The service.
    pub service: &'a Service,
    /// The workspace it belongs to.
    pub workspace: &'a Workspace,
    /// The directory that stands for the workspace's root in the image.
    pub root: &'a ImagePath,
    /// What it needs.
    pub closure: &'a DependencyClosure,
    /// What is not in the image, since it is native code for other platforms: files and whole directories.
    pub foreign: &'a BTreeSet<ImagePath>,
    /// As whom the container runs.
    pub user: RunUser,
    /// What the container runs.
    pub run: &'a RunSettings,
    /// What the base says a container runs.
    pub base: &'a ContainerConfig,
    /// The image's file system.
    pub files: &'a ImageFiles,
    /// The path that the health check asks for, if it does so over HTTP.
    pub health_path: Option<&'a str>,
    /// What planning found: where the service and its packages do not fit the base.
    pub misfits: &'a [Finding],
    /// What its user knows about and accepts.
    pub allowed: &'a [Allowance],
    /// What is known of code from earlier runs and from other services.
    pub modules: &'a KnownModules,
}

/// Why an image cannot be checked.
#[derive(Debug, thiserror::Error)]
pub enum CheckError {
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
    /// The content of a package cannot be read.
    #[error(transparent)]
    Content(#[from] PackError),
    /// Nothing can be looked for.
    #[error("cannot look for secrets: {0}")]
    Marks(aho_corasick::BuildError),
    /// No thread to read code with.
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
}

/// Checks the image of a service.
pub fn check(subject: &Subject<'_>) -> Result<Checked, CheckError> {
    let mut checked = Checked::default();
    checked.findings.extend(subject.misfits.iter().cloned());
    checked.findings.extend(entry_point::check(subject));
    let (reached, secrets) = rayon::join(|| imports::reach(subject), || secrets::check(subject));
    let reached = reached?;
    let (kinds, (others, unreached)) = rayon::join(
        || module_kind::check(subject, &reached),
        || rayon::join(|| of_code(subject, &reached), || unreached::weigh(subject, &reached)),
    );
    checked.findings.extend(kinds?);
    checked.findings.extend(others?);
    checked.reached = reached.len();
    checked.computed = reached.computed(subject);
    checked.unread = reached.unread();
    checked.unreached = unreached;
    checked.findings.extend(secrets?);
    allowance::apply(subject, &mut checked.findings);
    checked.findings.sort();
    checked.findings.dedup();
    Ok(checked)
}

/// What is wrong with what code asks for and does.
fn of_code(subject: &Subject<'_>, reached: &Graph) -> Result<Vec<Finding>, CheckError> {
    let mut findings = reached.findings(subject)?;
    findings.extend(data_files::check(subject, reached)?);
    findings.extend(addons::check(subject, reached));
    findings.extend(writable::check(subject, reached));
    findings.extend(requests::check(subject, reached)?);
    findings.extend(permissions::check(subject));
    Ok(findings)
}

impl Subject<'_> {
    /// The command that a container runs, word by word.
    fn command(&self) -> Vec<String> {
        let entrypoint = self.run.entrypoint.as_ref().unwrap_or(&self.base.entrypoint);
        entrypoint.iter().chain(&self.run.command).cloned().collect()
    }

    /// Whether what would lie at a path was left out, since it is native code for another platform.
    fn is_foreign(&self, path: &Path) -> bool {
        path.ancestors().any(|path| ImagePath::new(path).is_ok_and(|path| self.foreign.contains(&path)))
    }

    /// Whether the base's Node has what came with 20.19 and with this minor version of 22; where its version is not told, it
    /// is taken for a new one.
    fn node_is_at_least(&self, minor_of_22: u32) -> bool {
        let version = self.variable("NODE_VERSION").unwrap_or_default();
        let mut numbers = version.split('.').map(|part| part.parse::<u32>().ok());
        match (numbers.next().flatten(), numbers.next().flatten()) {
            (Some(20), Some(minor)) => minor >= 19,
            (Some(22), Some(minor)) => minor >= minor_of_22,
            (Some(major), _) => major > 22,
            (None, _) => true,
        }
    }

    /// A variable of the container's environment.
    fn variable(&self, name: &str) -> Option<&str> {
        let of_base = || self.base.env.iter().find_map(|pair| pair.strip_prefix(name)?.strip_prefix('='));
        self.run.env.get(name).map(String::as_str).or_else(of_base)
    }
}
