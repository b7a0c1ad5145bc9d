//! What goes into the image of a service, and where.

mod links;
mod package_trees;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use package_trees::Collected;
pub(super) use package_trees::PackageTaste;
use rayon::prelude::*;

use super::BuildError;
use super::closures::{LayerUnit, portability};
use super::locked::LockedNodeModules;
use super::platforms::Lean;
use super::weight::Weight;
use crate::closure::{DependencyClosure, Packages};
use crate::config::{ServiceSettings, Settings};
use crate::host::{self, StatIndex};
use crate::image::BaseFiles;
use crate::layer::{
    CollectError, Collector, Entry, FileTree, Fragment, ImageContents, Kind, LayerPlan, LeftOut, Owner, PackageSet,
    PackageSets, group,
};
use crate::path::ImagePath;
use crate::workspace::{Service, ShippedFiles, Workspace, WorkspacePath};

/// The directory that stands for the workspace's root in images, where nobody names one.
const DEFAULT_ROOT: &str = "/app";
/// The name of the fragment of links to packages.
const LINKS: &str = "package links";

/// Collects the contents of images. A package that several services need is looked at once.
pub(super) struct Contents<'a> {
    /// The packages of the lockfile, where nothing is taken from the installed ones.
    locked: Option<&'a LockedNodeModules<'a>>,
    source: &'a dyn Packages,
    workspace: &'a Workspace,
    index: &'a StatIndex,
    root: ImagePath,
    packages: BTreeMap<(WorkspacePath, (u32, u32)), Arc<Collected>>,
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
    pub sets: &'a PackageSets<LayerUnit>,
    /// What files its packages do without.
    pub lean: Lean,
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
        Ok(Self { locked, source: packages, workspace, index, root, packages: BTreeMap::new() })
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
    pub fn look_ahead<'c>(
        &mut self,
        settings: &Settings,
        closures: impl Iterator<Item = (&'c String, &'c DependencyClosure)>,
    ) -> Result<(), BuildError> {
        for (service, closure) in closures {
            let user = settings.of_service(service).user.unwrap_or_default();
            if let Some(owner) = user.own_owner() {
                self.collect(closure.packages.keys(), owner)?;
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
        let look_at = |dir: &WorkspacePath| -> Result<_, BuildError> {
            let whole = tree(dir)?;
            let slimming = self.slimming(&whole, dir, &*self.source.package_json(dir)?)?;
            Ok((key(dir), Arc::new(Collected::new(whole, slimming))))
        };
        let collected: Result<Vec<_>, BuildError> = missing.into_par_iter().map(look_at).collect();
        self.packages.extend(collected?);
        Ok(())
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
            self.packages.iter().map(|((dir, _), package)| (dir, package.whole.as_ref())).collect();
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

    /// Everything above the base of one service, and what `slim` leaves out of it, or would.
    pub fn of_service(
        &self,
        image: &Ingredients<'_>,
        extension: Vec<Fragment>,
    ) -> Result<(ImageContents, LeftOut), BuildError> {
        let (own, packages) = rayon::join(|| self.own_fragments(image), || self.package_fragments(image, image.owner));
        let ((workspace, application), (packages, left_out)) = (own?, packages?);
        let contents = ImageContents {
            service: image.service.name.clone(),
            system: image.system.clone(),
            user: extension,
            packages,
            workspace,
            application: vec![application],
            hard_links: image.hard_links,
        };
        Ok((contents, left_out))
    }

    /// The workspace packages with the links to them, and the service's own files.
    fn own_fragments(&self, image: &Ingredients<'_>) -> Result<(Vec<Fragment>, Fragment), BuildError> {
        let Ingredients { closure, owner, .. } = *image;
        let mut application = self.collector(owner).files(&image.service.dir, image.shipped)?;
        application.retain(|path, _| !image.left_out.contains(path));
        application.extend(self.extra_files(image)?)?;
        application.extend(writable_directories(image.settings, owner, image.working_dir)?)?;
        application.extend(self.bin_links(closure, owner)?)?;
        let application = Fragment::new(image.service.dir.to_string(), application);
        let to_members = closure.links.iter().filter(|(_, target)| !closure.packages.contains_key(*target));
        let mut workspace = self.member_fragments(image, owner)?;
        workspace.push(Fragment::new("workspace links", self.links(to_members, owner)?));
        Ok((workspace, application))
    }

    /// Where outside of the root the image of a service has something.
    pub fn places_outside_root(&self, image: &Ingredients<'_>) -> Result<BTreeSet<ImagePath>, BuildError> {
        let mut tree = self.copied_files(image)?;
        tree.extend(writable_directories(image.settings, image.owner, image.working_dir)?)?;
        Ok(tree.iter().map(|(path, _)| path).filter(|path| !path.starts_with(&self.root)).cloned().collect())
    }

    /// The packages and the links to packages, by the layer that holds them; and what `slim` leaves out.
    fn package_fragments(
        &self,
        image: &Ingredients<'_>,
        owner: Owner,
    ) -> Result<(BTreeMap<PackageSet, Vec<Fragment>>, LeftOut), BuildError> {
        let service = &image.service.name;
        let set_of = |place: &WorkspacePath, unit_name: &str| {
            let unit = LayerUnit { place: place.clone(), lean: image.lean };
            image.sets.of_service(&unit, unit_name, portability(image.closure, place), service)
        };
        let mut left_out = LeftOut::default();
        let exclude = image.settings.exclude.as_deref().unwrap_or_default();
        let taste = PackageTaste::new(owner, exclude, image.supplied, image.left_out, image.lean.slim)?;
        let mut by_set: BTreeMap<PackageSet, Vec<Fragment>> = BTreeMap::new();
        for (dir, package) in &image.closure.packages {
            if lies_in_another(dir, image.closure) {
                continue;
            }
            let Some((tree, slimming)) = self.package(dir, &package.package_json, &taste)? else { continue };
            left_out = left_out.plus(slimming);
            let fragment = Fragment {
                name: package.package_json.name.clone().unwrap_or_else(|| dir.to_string()),
                label: package.package_json.label(),
                tree,
            };
            by_set.entry(set_of(dir, &fragment.name)).or_default().push(fragment);
        }
        let mut links: BTreeMap<PackageSet, Vec<(&WorkspacePath, &WorkspacePath)>> = BTreeMap::new();
        for (from, to) in image.closure.links.iter().filter(|(_, to)| image.closure.packages.contains_key(*to)) {
            links.entry(set_of(from, LINKS)).or_default().push((from, to));
        }
        for (set, links) in links {
            by_set.entry(set).or_default().push(Fragment::new(LINKS, self.links(links.into_iter(), owner)?));
        }
        Ok((by_set, left_out))
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

    /// The files that `files` in pirogue.toml names, without the directories that the base has.
    fn extra_files(&self, image: &Ingredients<'_>) -> Result<FileTree, BuildError> {
        let mut tree = self.copied_files(image)?;
        // A directory that the base has stays as it is, whatever is copied into it: /etc does not become the user's.
        let is_of_base =
            |path: &ImagePath| image.base.resolve(path).is_ok_and(|place| image.base.directory(&place).is_some());
        tree.retain(|path, entry| entry.kind != Kind::Directory || path.starts_with(&self.root) || !is_of_base(path));
        Ok(tree)
    }

    /// The files and directories that `files` in pirogue.toml names.
    fn copied_files(&self, image: &Ingredients<'_>) -> Result<FileTree, BuildError> {
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
            tree.extend(self.collector(image.owner).copied(&from, &to)?)?;
        }
        Ok(tree)
    }
}

/// The directory that stands for the workspace's root.
pub(super) fn root(settings: &Settings) -> Result<ImagePath, BuildError> {
    Ok(ImagePath::new(settings.root.as_deref().unwrap_or(DEFAULT_ROOT))?)
}

/// Groups contents into layers over a base, behind whose links they lie where the links lead. Directories that the base has
/// keep its mode and owner; those of the application, in `root`, belong to its user.
pub(super) fn layers(
    mut contents: ImageContents,
    root: &ImagePath,
    base: &BaseFiles,
    owner: Owner,
) -> Result<Vec<LayerPlan>, BuildError> {
    // Thousands of files of packages need not be looked at where nothing of the base is near them.
    let below_root = match base.leaves_free(root) {
        true => Vec::new(),
        false => contents.packages.values_mut().flatten().chain(&mut contents.workspace).collect(),
    };
    for fragment in below_root.into_iter().chain(&mut contents.user).chain(&mut contents.application) {
        if let Some(laid) = base.lay(&fragment.tree)? {
            fragment.tree = Arc::new(laid);
        }
    }
    let root = base.resolve(root)?;
    let directory = |path: &ImagePath| match path.starts_with(&root) {
        true => Entry::directory(owner),
        false => base.directory(path).unwrap_or_else(|| Entry::directory(Owner { uid: 0, gid: 0 })),
    };
    Ok(group(contents, directory)?)
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
