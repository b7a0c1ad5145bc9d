use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use ignore::gitignore::{Gitignore, GitignoreBuilder};

use super::Contents;
use crate::build::BuildError;
use crate::layer::{FileTree, LeftOut, Owner, Slimming};
use crate::path::ImagePath;
use crate::workspace::{PackageJson, WorkspacePath};

/// A package that was looked at.
pub(super) struct Collected {
    pub whole: Arc<FileTree>,
    /// What the list of `slim` leaves out.
    pub slimming: Slimming,
    /// The tree without that, once somebody wants it.
    slim: OnceLock<Arc<FileTree>>,
}

impl Collected {
    pub fn new(whole: FileTree, slimming: Slimming) -> Self {
        Self { whole: Arc::new(whole), slimming, slim: OnceLock::new() }
    }

    fn slim(&self) -> Arc<FileTree> {
        match self.slimming.is_empty() {
            true => self.whole.clone(),
            false => self.slim.get_or_init(|| Arc::new(self.slimming.apply(&self.whole))).clone(),
        }
    }
}

/// What an image takes of the packages that it has.
pub struct PackageTaste<'a> {
    /// Whom their files belong to.
    pub owner: Owner,
    /// What packages have in place of what lies in their directories.
    pub supplied: &'a BTreeMap<WorkspacePath, Arc<FileTree>>,
    /// What is left out of everything, by its place.
    pub left_out: &'a BTreeSet<ImagePath>,
    /// Whether they come without what no running program reads.
    pub slim: bool,
    excluded: Gitignore,
}

impl<'a> PackageTaste<'a> {
    /// `exclude` has patterns of what is left out, relative to each package.
    pub fn new(
        owner: Owner,
        exclude: &[String],
        supplied: &'a BTreeMap<WorkspacePath, Arc<FileTree>>,
        left_out: &'a BTreeSet<ImagePath>,
        slim: bool,
    ) -> Result<Self, BuildError> {
        Ok(Self { owner, supplied, left_out, slim, excluded: excluded(exclude)? })
    }
}

impl Contents<'_> {
    /// What a package puts into an image, and what `slim` leaves out of it, or would. `None` for one that nobody looked at.
    pub fn package(
        &self,
        dir: &WorkspacePath,
        package_json: &PackageJson,
        taste: &PackageTaste<'_>,
    ) -> Result<Option<(Arc<FileTree>, LeftOut)>, BuildError> {
        let looked_at = self.looked_at(dir, taste.owner);
        let Some(whole) = taste.supplied.get(dir).or(looked_at.map(|package| &package.whole)) else { return Ok(None) };
        let kept = self.without(whole, dir, taste)?;
        if let Some(collected) = looked_at.filter(|collected| Arc::ptr_eq(&kept, &collected.whole)) {
            let tree = if taste.slim { collected.slim() } else { kept };
            return Ok(Some((tree, collected.slimming.left_out)));
        }
        let slimming = self.slimming(&kept, dir, package_json)?;
        let tree = if taste.slim && !slimming.is_empty() { Arc::new(slimming.apply(&kept)) } else { kept };
        Ok(Some((tree, slimming.left_out)))
    }

    /// All files of a package that was looked at.
    pub fn whole_package(&self, dir: &WorkspacePath, owner: Owner) -> Option<&FileTree> {
        self.looked_at(dir, owner).map(|package| package.whole.as_ref())
    }

    fn looked_at(&self, dir: &WorkspacePath, owner: Owner) -> Option<&Collected> {
        self.packages.get(&(dir.clone(), (owner.uid, owner.gid))).map(Arc::as_ref)
    }

    /// What `slim` leaves out of a package. What lies in no `node_modules` is the workspace's own, and stays whole.
    pub(super) fn slimming(
        &self,
        tree: &FileTree,
        dir: &WorkspacePath,
        package_json: &PackageJson,
    ) -> Result<Slimming, BuildError> {
        let is_installed = dir.as_path().iter().any(|name| name == "node_modules");
        let top = self.root.join(dir.as_path())?;
        Ok(if is_installed { Slimming::of(tree, &top, package_json) } else { Slimming::default() })
    }

    /// A package's tree without what `exclude` in pirogue.toml matches and what is left out of everything: the very same
    /// tree if that is nothing.
    fn without(
        &self,
        tree: &Arc<FileTree>,
        dir: &WorkspacePath,
        taste: &PackageTaste<'_>,
    ) -> Result<Arc<FileTree>, BuildError> {
        let PackageTaste { excluded, left_out, .. } = taste;
        if excluded.is_empty() && !left_out.iter().any(|place| tree.get(place).is_some()) {
            return Ok(tree.clone());
        }
        let top = self.root.join(dir.as_path())?;
        let mut kept = tree.as_ref().clone();
        kept.retain(|path, _| {
            let inside = path.as_path().strip_prefix(top.as_path()).unwrap_or(path.as_path());
            !left_out.contains(path) && !excluded.matched_path_or_any_parents(inside, false).is_ignore()
        });
        Ok(Arc::new(kept))
    }
}

fn excluded(patterns: &[String]) -> Result<Gitignore, BuildError> {
    let mut builder = GitignoreBuilder::new("");
    let error = |pattern: &str, error: ignore::Error| BuildError::Pattern {
        pattern: pattern.to_owned(),
        reason: error.to_string(),
    };
    for pattern in patterns {
        builder.add_line(None, pattern).map_err(|reason| error(pattern, reason))?;
    }
    builder.build().map_err(|reason| error("exclude", reason))
}
