use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::refusal::Refusal;
use crate::native::LibraryAnswers;
use crate::workspace::{PackageJson, WorkspacePath};

/// What differs from the packages as they are installed.
#[derive(Default)]
pub(super) struct Changes {
    /// Packages that the base cannot load.
    pub foreign: BTreeSet<WorkspacePath>,
    /// Why, by `name@version`.
    pub reasons: BTreeMap<String, Refusal>,
    /// Packages of the lockfile where nothing was.
    pub added: BTreeMap<WorkspacePath, Arc<PackageJson>>,
    /// What the lockfile was asked for, whatever came of it.
    pub asked: BTreeSet<WorkspacePath>,
    /// What was asked of the base.
    pub answers: LibraryAnswers,
}
