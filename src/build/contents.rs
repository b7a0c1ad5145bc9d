//! What goes into the image of a service, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::prelude::*;

use super::BuildError;
use super::plan::Weight;
use crate::closure::DependencyClosure;
use crate::config::ServiceSettings;
use crate::host;
use crate::image::{BaseFiles, UserEntries};
use crate::layer::{
    CollectError, Collector, Entry, FileTree, ForeignKind, Fragment, ImageContents, Kind, LayerPlan, Owner, group,
};
use crate::path::ImagePath;
use crate::workspace::{Service, ShippedFiles, Workspace, WorkspacePath};

/// Collects the contents of images. A package that several services need is looked at once.
pub(super) struct Contents<'a> {
    workspace: &'a Workspace,
    root: ImagePath,
    packages: BTreeMap<(WorkspacePath, (u32, u32)), FileTree>,
}

impl<'a> Contents<'a> {
    /// `root` is the directory that stands for the workspace's root.
    pub fn new(workspace: &'a Workspace, root: ImagePath) -> Self {
        Self { workspace, root, packages: BTreeMap::new() }
    }

    /// The directory that stands for the workspace's root.
    pub fn root(&self) -> &ImagePath {
        &self.root
    }

    fn collector(&self, owner: Owner) -> Collector<'_> {
        Collector { workspace: self.workspace, image_root: &self.root, owner }
    }

    /// Everything above the base of one service.
    pub fn of_service(
        &mut self,
        service: &Service,
        settings: &ServiceSettings,
        closure: &DependencyClosure,
        shipped: &[PathBuf],
        user: UserEntries,
        working_dir: &ImagePath,
    ) -> Result<ImageContents, BuildError> {
        let owner = user.owner;
        let excluded = excluded(settings.exclude.as_deref().unwrap_or_default())?;
        let (to_packages, to_members): (Vec<_>, Vec<_>) =
            closure.links.iter().partition(|(_, target)| closure.packages.contains_key(*target));
        let mut packages = self.package_fragments(closure, owner, &excluded)?;
        packages.push(self.links("package links", &to_packages, owner)?);
        packages.push(self.bin_links(closure, owner)?);
        let mut workspace = self.member_fragments(closure, owner)?;
        workspace.push(self.links("workspace links", &to_members, owner)?);
        let mut application = self.collector(owner).files(&service.dir, shipped)?;
        application.extend(self.extra_files(service, settings, owner, working_dir)?)?;
        application.extend(writable_directories(settings, owner, working_dir)?)?;
        let application = vec![Fragment { label: service.dir.to_string(), tree: application }];
        Ok(ImageContents { user: user.tree, packages, workspace, application })
    }

    /// Groups contents into layers over a base. Directories that the base has keep its mode and owner; those of the
    /// application belong to its user.
    pub fn layers(
        &self,
        contents: ImageContents,
        base: &BaseFiles,
        owner: Owner,
    ) -> Result<Vec<LayerPlan>, BuildError> {
        let directory = |path: &ImagePath| match path.starts_with(&self.root) {
            true => Entry::directory(owner),
            false => base.directory(path).unwrap_or_else(|| Entry::directory(Owner { uid: 0, gid: 0 })),
        };
        let layers = group(contents, directory)?;
        let entries = layers.iter().flat_map(|layer| &layer.fragments).flat_map(|fragment| fragment.tree.iter());
        for (path, _) in entries.filter(|(_, entry)| entry.kind == Kind::Directory) {
            // A directory over a link of the base would replace it: /var/run, or /bin of a merged /usr.
            if base.get(path).is_some_and(|existing| existing.kind != ForeignKind::Directory) {
                return Err(BuildError::BaseInTheWay(path.clone()));
            }
        }
        Ok(layers)
    }

    /// What these packages weigh.
    pub fn weigh<'p>(&mut self, dirs: impl Iterator<Item = &'p WorkspacePath>) -> Result<Weight, BuildError> {
        let dirs: BTreeSet<WorkspacePath> = dirs.cloned().collect();
        // Owners weigh nothing, so any that was collected will do.
        let owner = self.packages.keys().next().map_or((0, 0), |(_, owner)| *owner);
        self.collect(&dirs, Owner { uid: owner.0, gid: owner.1 })?;
        let trees = dirs.iter().filter_map(|dir| self.packages.get(&(dir.clone(), owner)));
        Ok(trees.fold(Weight { packages: dirs.len(), ..Weight::default() }, |sum, tree| Weight {
            files: sum.files + tree.files(),
            bytes: sum.bytes + tree.content_bytes(),
            ..sum
        }))
    }

    /// Looks at the packages that nobody looked at yet, on all cores.
    fn collect(&mut self, dirs: &BTreeSet<WorkspacePath>, owner: Owner) -> Result<(), BuildError> {
        let key = |dir: &WorkspacePath| (dir.clone(), (owner.uid, owner.gid));
        let missing: Vec<_> = dirs.iter().filter(|dir| !self.packages.contains_key(&key(dir))).collect();
        let collector = self.collector(owner);
        let collected: Result<Vec<_>, BuildError> =
            missing.into_par_iter().map(|dir| Ok((key(dir), collector.package(dir)?))).collect();
        self.packages.extend(collected?);
        Ok(())
    }

    fn package_fragments(
        &mut self,
        closure: &DependencyClosure,
        owner: Owner,
        excluded: &Gitignore,
    ) -> Result<Vec<Fragment>, BuildError> {
        self.collect(&closure.packages.keys().cloned().collect(), owner)?;
        let mut fragments = Vec::new();
        for (dir, package) in &closure.packages {
            let key = (dir.clone(), (owner.uid, owner.gid));
            let mut tree = self.packages.get(&key).cloned().unwrap_or_default();
            if !excluded.is_empty() {
                let top = self.root.join(dir.as_path())?;
                tree.retain(|path| {
                    let inside = path.as_path().strip_prefix(top.as_path()).unwrap_or(path.as_path());
                    !excluded.matched_path_or_any_parents(inside, false).is_ignore()
                });
            }
            fragments.push(Fragment { label: package.package_json.label(), tree });
        }
        Ok(fragments)
    }

    fn member_fragments(&self, closure: &DependencyClosure, owner: Owner) -> Result<Vec<Fragment>, BuildError> {
        let mut fragments = Vec::new();
        for dir in closure.members.keys() {
            let Some(member) = self.workspace.member_at(dir) else { continue };
            let on_host = self.workspace.on_host(dir);
            let files = ShippedFiles::of_package(member, &on_host)?.list(&on_host)?;
            fragments.push(Fragment { label: dir.to_string(), tree: self.collector(owner).files(dir, &files)? });
        }
        Ok(fragments)
    }

    fn links(
        &self,
        label: &str,
        links: &[(&WorkspacePath, &WorkspacePath)],
        owner: Owner,
    ) -> Result<Fragment, BuildError> {
        let mut tree = FileTree::default();
        for (from, to) in links {
            tree.extend(self.collector(owner).link(from, to)?)?;
        }
        Ok(Fragment { label: label.to_owned(), tree })
    }

    /// The commands of the closure's packages, linked where npm links them.
    fn bin_links(&self, closure: &DependencyClosure, owner: Owner) -> Result<Fragment, BuildError> {
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
        let mut tree = FileTree::default();
        for dir in node_modules {
            tree.extend(collector.bin_links(&dir, is_kept)?)?;
        }
        Ok(Fragment { label: "commands".to_owned(), tree })
    }

    /// The files that `files` in pirogue.toml names.
    fn extra_files(
        &self,
        service: &Service,
        settings: &ServiceSettings,
        owner: Owner,
        working_dir: &ImagePath,
    ) -> Result<FileTree, BuildError> {
        let mut tree = FileTree::default();
        for file in settings.files.iter().flatten() {
            let missing = || BuildError::NoSuchFile { service: service.name.clone(), from: file.from.clone() };
            let from = WorkspacePath::new(&file.from).ok_or_else(missing)?;
            host::metadata(&self.workspace.on_host(&from)).map_err(CollectError::Host)?.ok_or_else(missing)?;
            let to = below(working_dir, &file.to)?;
            tree.extend(self.collector(owner).copied(&from, &to)?)?;
        }
        Ok(tree)
    }
}

/// A path in the image, absolute or relative to the working directory.
fn below(working_dir: &ImagePath, path: &str) -> Result<ImagePath, BuildError> {
    match path.starts_with('/') {
        true => Ok(ImagePath::new(path)?),
        false => Ok(working_dir.join(path)?),
    }
}

/// The working directory, which the service may write, and the directories that `writable` names.
fn writable_directories(
    settings: &ServiceSettings,
    owner: Owner,
    working_dir: &ImagePath,
) -> Result<FileTree, BuildError> {
    let mut tree = FileTree::default();
    if *working_dir != ImagePath::root() {
        tree.insert(working_dir.clone(), Entry::directory(owner))?;
    }
    for dir in settings.writable.iter().flatten() {
        tree.insert(below(working_dir, dir)?, Entry::directory(owner))?;
    }
    Ok(tree)
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
