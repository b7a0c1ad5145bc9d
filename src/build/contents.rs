//! What goes into the image of a service, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::prelude::*;

use super::BuildError;
use super::locked::LockedNodeModules;
use super::plan::{Closures, Weight, portability};
use crate::closure::{DependencyClosure, Packages};
use crate::config::{ServiceSettings, Settings};
use crate::host::{self, StatIndex};
use crate::image::BaseFiles;
use crate::layer::{
    CollectError, Collector, Entry, FileTree, Fragment, ImageContents, Kind, LayerPlan, Owner, PackageSet, PackageSets,
    group,
};
use crate::path::ImagePath;
use crate::workspace::{Service, ShippedFiles, Workspace, WorkspacePath};

/// The directory that stands for the workspace's root in images, where nobody names one.
const DEFAULT_ROOT: &str = "/app";

/// Collects the contents of images. A package that several services need is looked at once.
pub(super) struct Contents<'a> {
    /// The packages of the lockfile, where nothing is taken from the installed ones.
    locked: Option<&'a LockedNodeModules<'a>>,
    workspace: &'a Workspace,
    index: &'a StatIndex,
    root: ImagePath,
    packages: BTreeMap<(WorkspacePath, (u32, u32)), Arc<FileTree>>,
}

/// What the image of one service is made of.
pub(super) struct Ingredients<'a> {
    pub service: &'a Service,
    pub settings: &'a ServiceSettings,
    pub closure: &'a DependencyClosure,
    /// The service's own files, relative to its directory.
    pub shipped: &'a [PathBuf],
    /// What packages have in place of what lies in their directories.
    pub supplied: &'a BTreeMap<WorkspacePath, Arc<FileTree>>,
    /// What is left out of everything.
    pub left_out: &'a BTreeSet<ImagePath>,
    pub working_dir: &'a ImagePath,
    /// What is added to the base.
    pub system: &'a FileTree,
    /// Which packages share a layer.
    pub sets: &'a PackageSets<WorkspacePath>,
    pub hard_links: bool,
    pub base: &'a BaseFiles,
    /// Whom its files belong to.
    pub owner: Owner,
}

impl<'a> Contents<'a> {
    /// The contents of images of the workspace, whose packages are those of the lockfile or the installed ones.
    pub fn new(
        packages: &'a dyn Packages,
        locked: Option<&'a LockedNodeModules<'a>>,
        settings: &Settings,
    ) -> Result<Self, BuildError> {
        let root = root(settings)?;
        let (workspace, index) = (packages.workspace(), packages.index());
        Ok(Self { locked, workspace, index, root, packages: BTreeMap::new() })
    }

    /// Takes over what was looked at for images of another platform. What is installed is the same for all; what the
    /// lockfile puts at a place may differ.
    pub fn take_over(&mut self, other: &Self) {
        if self.locked.is_none() {
            self.packages.clone_from(&other.packages);
        }
    }

    /// The directory that stands for the workspace's root.
    pub fn root(&self) -> &ImagePath {
        &self.root
    }

    /// The workspace.
    pub fn workspace(&self) -> &Workspace {
        self.workspace
    }

    /// Looks at the packages of those services of which it is known without the base who will own them.
    pub fn look_ahead(&mut self, settings: &Settings, closures: &Closures) -> Result<(), BuildError> {
        for needs in &closures.services {
            let user = settings.of_service(&needs.service.name).user.unwrap_or_default();
            if let Some(owner) = user.own_owner() {
                self.collect(needs.closure.packages.keys(), owner)?;
            }
        }
        Ok(())
    }

    fn collector(&self, owner: Owner) -> Collector<'_> {
        Collector { workspace: self.workspace, image_root: &self.root, owner, index: self.index }
    }

    /// Looks at the packages that nobody looked at yet, on all cores.
    pub fn collect<'p>(
        &mut self,
        dirs: impl Iterator<Item = &'p WorkspacePath>,
        owner: Owner,
    ) -> Result<(), BuildError> {
        let key = |dir: &WorkspacePath| (dir.clone(), (owner.uid, owner.gid));
        let missing: BTreeSet<_> = dirs.filter(|dir| !self.packages.contains_key(&key(dir))).collect();
        let collector = self.collector(owner);
        let tree = |dir: &WorkspacePath| match self.locked {
            Some(locked) => locked.tree(dir, &collector),
            None => Ok(collector.package(dir)?),
        };
        let collected: Result<Vec<_>, BuildError> =
            missing.into_par_iter().map(|dir| Ok((key(dir), Arc::new(tree(dir)?)))).collect();
        self.packages.extend(collected?);
        Ok(())
    }

    /// What a package puts into an image, without what `exclude` matches: what is `supplied` in its place, else what was
    /// looked at.
    pub fn package(
        &self,
        dir: &WorkspacePath,
        owner: Owner,
        exclude: &[String],
        supplied: &BTreeMap<WorkspacePath, Arc<FileTree>>,
    ) -> Result<Option<Arc<FileTree>>, BuildError> {
        let looked_at = || self.packages.get(&(dir.clone(), (owner.uid, owner.gid)));
        let Some(tree) = supplied.get(dir).or_else(looked_at) else { return Ok(None) };
        self.without(tree, dir, &excluded(exclude)?, &BTreeSet::new()).map(Some)
    }

    /// Files of a member, at their places.
    pub fn files(&self, dir: &WorkspacePath, files: &[PathBuf], owner: Owner) -> Result<FileTree, BuildError> {
        Ok(self.collector(owner).files(dir, files)?)
    }

    /// A tree that is made as those of packages are.
    pub fn tree_of(
        &self,
        owner: Owner,
        make: impl FnOnce(&Collector<'_>) -> Result<FileTree, BuildError>,
    ) -> Result<FileTree, BuildError> {
        make(&self.collector(owner))
    }

    /// What each of these packages weighs: known of those that were looked at, found out for the others without opening a
    /// file.
    pub fn weigh<'p>(
        &self,
        dirs: impl Iterator<Item = &'p WorkspacePath>,
    ) -> Result<BTreeMap<WorkspacePath, Weight>, BuildError> {
        let collected: BTreeMap<&WorkspacePath, &FileTree> =
            self.packages.iter().map(|((dir, _), tree)| (dir, tree.as_ref())).collect();
        let collector = self.collector(Owner { uid: 0, gid: 0 });
        let weigh = |dir: &WorkspacePath| {
            let (files, bytes) = match (collected.get(dir), self.locked) {
                (Some(tree), _) => (tree.files(), tree.content_bytes()),
                (None, Some(locked)) => locked.weigh(dir, &collector)?,
                (None, None) => collector.weigh(dir)?,
            };
            Ok((dir.clone(), Weight { packages: 1, files, bytes }))
        };
        let dirs: BTreeSet<&WorkspacePath> = dirs.collect();
        dirs.into_par_iter().map(weigh).collect()
    }

    /// Everything above the base of one service.
    pub fn of_service(&self, image: &Ingredients<'_>, extension: Vec<Fragment>) -> Result<ImageContents, BuildError> {
        let owner = image.owner;
        let closure = image.closure;
        let mut application = self.collector(owner).files(&image.service.dir, image.shipped)?;
        application.retain(|path, _| !image.left_out.contains(path));
        application.extend(self.extra_files(image, owner)?)?;
        application.extend(writable_directories(image.settings, owner, image.working_dir)?)?;
        application.extend(self.bin_links(closure, owner)?)?;
        let application = Fragment::new(image.service.dir.to_string(), application);
        let (_, to_members): (Vec<_>, Vec<_>) =
            closure.links.iter().partition(|(_, target)| closure.packages.contains_key(*target));
        let mut workspace = self.member_fragments(image, owner)?;
        workspace.push(Fragment::new("workspace links", self.links(&to_members, owner)?));
        Ok(ImageContents {
            service: image.service.name.clone(),
            system: image.system.clone(),
            user: extension,
            packages: self.package_fragments(image, owner)?,
            workspace,
            application: vec![application],
            hard_links: image.hard_links,
        })
    }

    /// Groups contents into layers over a base, behind whose links they lie where the links lead. Directories that the
    /// base has keep its mode and owner; those of the application belong to its user.
    pub fn layers(
        &self,
        mut contents: ImageContents,
        base: &BaseFiles,
        owner: Owner,
    ) -> Result<Vec<LayerPlan>, BuildError> {
        // Thousands of files of packages need not be looked at where nothing of the base is near them.
        let below_root = match base.leaves_free(&self.root) {
            true => Vec::new(),
            false => contents.packages.values_mut().flatten().chain(&mut contents.workspace).collect(),
        };
        for fragment in below_root.into_iter().chain(&mut contents.user).chain(&mut contents.application) {
            if let Some(laid) = base.lay(&fragment.tree)? {
                fragment.tree = Arc::new(laid);
            }
        }
        let root = base.resolve(&self.root)?;
        let directory = |path: &ImagePath| match path.starts_with(&root) {
            true => Entry::directory(owner),
            false => base.directory(path).unwrap_or_else(|| Entry::directory(Owner { uid: 0, gid: 0 })),
        };
        Ok(group(contents, directory)?)
    }

    /// The packages and the links to packages, by the layer that holds them.
    fn package_fragments(
        &self,
        image: &Ingredients<'_>,
        owner: Owner,
    ) -> Result<BTreeMap<PackageSet, Vec<Fragment>>, BuildError> {
        let name = &image.service.name;
        let excluded = excluded(image.settings.exclude.as_deref().unwrap_or_default())?;
        let set_of = |place| image.sets.of_service(place, portability(image.closure, place), name);
        let mut by_set: BTreeMap<PackageSet, Vec<Fragment>> = BTreeMap::new();
        for (dir, package) in &image.closure.packages {
            if lies_in_another(dir, image.closure) {
                continue;
            }
            let looked_at = || self.packages.get(&(dir.clone(), (owner.uid, owner.gid)));
            let Some(tree) = image.supplied.get(dir).or_else(looked_at) else { continue };
            let fragment = Fragment {
                name: package.package_json.name.clone().unwrap_or_else(|| dir.to_string()),
                label: package.package_json.label(),
                tree: self.without(tree, dir, &excluded, image.left_out)?,
            };
            by_set.entry(set_of(dir)).or_default().push(fragment);
        }
        let mut links: BTreeMap<PackageSet, Vec<(&WorkspacePath, &WorkspacePath)>> = BTreeMap::new();
        for (from, to) in image.closure.links.iter().filter(|(_, to)| image.closure.packages.contains_key(*to)) {
            links.entry(set_of(from)).or_default().push((from, to));
        }
        for (set, links) in links {
            by_set.entry(set).or_default().push(Fragment::new("package links", self.links(&links, owner)?));
        }
        Ok(by_set)
    }

    /// A package's tree without what `exclude` in pirogue.toml matches, relative to the package.
    fn without(
        &self,
        tree: &Arc<FileTree>,
        dir: &WorkspacePath,
        excluded: &Gitignore,
        left_out: &BTreeSet<ImagePath>,
    ) -> Result<Arc<FileTree>, BuildError> {
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

    fn member_fragments(&self, image: &Ingredients<'_>, owner: Owner) -> Result<Vec<Fragment>, BuildError> {
        let exclude = image.settings.exclude.as_deref().unwrap_or_default();
        let mut fragments = Vec::new();
        for dir in image.closure.members.keys() {
            let Some(member) = self.workspace.member_at(dir) else { continue };
            let on_host = self.workspace.on_host(dir);
            let files = ShippedFiles::of_package(member, &on_host, exclude)?.list(&on_host)?;
            let mut tree = self.collector(owner).files(dir, &files)?;
            tree.retain(|path, _| !image.left_out.contains(path));
            fragments.push(Fragment::new(dir.to_string(), tree));
        }
        Ok(fragments)
    }

    fn links(&self, links: &[(&WorkspacePath, &WorkspacePath)], owner: Owner) -> Result<FileTree, BuildError> {
        let mut tree = FileTree::default();
        for (from, to) in links {
            tree.extend(self.collector(owner).link(from, to)?)?;
        }
        Ok(tree)
    }

    /// The commands of the closure's packages, linked where npm links them.
    fn bin_links(&self, closure: &DependencyClosure, owner: Owner) -> Result<FileTree, BuildError> {
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
        let mut tree = FileTree::default();
        for dir in node_modules {
            tree.extend(collector.bin_links(&dir, is_kept)?)?;
        }
        Ok(tree)
    }

    /// The files that `files` in pirogue.toml names.
    fn extra_files(&self, image: &Ingredients<'_>, owner: Owner) -> Result<FileTree, BuildError> {
        let mut tree = FileTree::default();
        for file in image.settings.files.iter().flatten() {
            let missing = || BuildError::NoSuchFile {
                key: "files",
                service: image.service.name.clone(),
                from: file.from.clone(),
            };
            let from = WorkspacePath::new(&file.from).ok_or_else(missing)?;
            host::stamp(&self.workspace.on_host(&from)).map_err(CollectError::Host)?.ok_or_else(missing)?;
            let to = below(image.working_dir, &file.to)?;
            tree.extend(self.collector(owner).copied(&from, &to)?)?;
        }
        // A directory that the base has stays as it is, whatever is copied into it: /etc does not become the user's.
        let is_of_base =
            |path: &ImagePath| image.base.resolve(path).is_ok_and(|place| image.base.directory(&place).is_some());
        tree.retain(|path, entry| entry.kind != Kind::Directory || path.starts_with(&self.root) || !is_of_base(path));
        Ok(tree)
    }
}

/// The directory that stands for the workspace's root.
pub(super) fn root(settings: &Settings) -> Result<ImagePath, BuildError> {
    Ok(ImagePath::new(settings.root.as_deref().unwrap_or(DEFAULT_ROOT))?)
}

/// Whether the package in `dir` is part of another's own files, as one that a package brings along outside of its
/// `node_modules` and links to. The other's files hold it.
fn lies_in_another(dir: &WorkspacePath, closure: &DependencyClosure) -> bool {
    let outer = dir.as_path().ancestors().skip(1).filter_map(WorkspacePath::new);
    outer.filter(|outer| closure.packages.contains_key(outer)).any(|outer| {
        let inside = dir.as_path().strip_prefix(outer.as_path()).unwrap_or(dir.as_path());
        !inside.starts_with("node_modules")
    })
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
