use std::collections::BTreeSet;
use std::path::Path;

use super::Contents;
use crate::build::BuildError;
use crate::closure::DependencyClosure;
use crate::layer::{FileTree, Owner};
use crate::workspace::WorkspacePath;

impl Contents<'_> {
    /// Links under `node_modules` and the directories they lead to.
    pub(super) fn links<'l>(
        &self,
        links: impl Iterator<Item = (&'l WorkspacePath, &'l WorkspacePath)>,
        owner: Owner,
    ) -> Result<FileTree, BuildError> {
        let collector = self.collector(owner);
        let links: Result<Vec<_>, _> = links.map(|(from, to)| collector.link(from, to)).collect();
        Ok(FileTree::of(links?)?)
    }

    /// The commands of the closure's packages, linked where npm links them.
    pub(super) fn bin_links(&self, closure: &DependencyClosure, owner: Owner) -> Result<FileTree, BuildError> {
        if let Some(locked) = self.locked {
            let is_kept =
                |place: &WorkspacePath| closure.packages.contains_key(place) || closure.links.contains_key(place);
            return locked.bin_links(&self.root, owner, is_kept);
        }
        let node_modules: BTreeSet<WorkspacePath> = closure
            .packages
            .keys()
            .chain(closure.links.keys())
            .flat_map(|dir| dir.as_path().ancestors().skip(1))
            .filter(|dir| dir.file_name().is_some_and(|name| name == "node_modules"))
            .filter_map(WorkspacePath::new)
            .collect();
        let collector = self.collector(owner);
        let is_kept = |target: &Path| {
            target
                .ancestors()
                .filter_map(WorkspacePath::new)
                .any(|dir| closure.packages.contains_key(&dir) || closure.links.contains_key(&dir))
        };
        let mut links = Vec::new();
        for dir in node_modules {
            links.extend(collector.bin_links(&dir, is_kept)?);
        }
        Ok(FileTree::of(links)?)
    }
}
