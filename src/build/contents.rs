//! What goes into the image of a service, and where.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use rayon::prelude::*;

use super::BuildError;
use super::locked::LockedPackages;
use super::plan::{Closures, LayerUnit, Weight};
use crate::closure::{ClosurePackage, DependencyClosure, Packages};
use crate::config::{ServiceSettings, Settings};
use crate::host::{self, StatIndex};
use crate::image::{BaseFiles, UserEntries};
use crate::layer::{
    CollectError, Collector, Entry, FileTree, ForeignKind, Fragment, ImageContents, Kind, LayerPlan, LeftOut, Owner,
    ServiceSet, ServiceSets, Slimming, group,
};
use crate::path::ImagePath;
use crate::workspace::{PackageJson, Service, ShippedFiles, Workspace, WorkspacePath};

/// The directory that stands for the workspace's root in images, where nobody names one.
const DEFAULT_ROOT: &str = "/app";

/// Collects the contents of images. A package that several services need is looked at once.
pub(super) struct Contents<'a> {
    /// The packages of the lockfile, where nothing is taken from the installed ones.
    locked: Option<&'a LockedPackages>,
    source: &'a dyn Packages,
    workspace: &'a Workspace,
    index: &'a StatIndex,
    root: ImagePath,
    packages: BTreeMap<(WorkspacePath, (u32, u32)), Collected>,
}

/// A package that was looked at.
struct Collected {
    whole: Arc<FileTree>,
    /// What the list of `slim` leaves out.
    slimming: Slimming,
    /// The tree without that, once somebody wants it.
    slim: OnceLock<Arc<FileTree>>,
}

impl Collected {
    fn slim(&self) -> Arc<FileTree> {
        match self.slimming.is_empty() {
            true => self.whole.clone(),
            false => self.slim.get_or_init(|| Arc::new(self.slimming.apply(&self.whole))).clone(),
        }
    }
}

/// What the image of one service is made of.
pub(super) struct Ingredients<'a> {
    pub service: &'a Service,
    pub settings: &'a ServiceSettings,
    pub closure: &'a DependencyClosure,
    /// The service's own files, relative to its directory.
    pub shipped: &'a [PathBuf],
    pub working_dir: &'a ImagePath,
    /// Which packages share a layer.
    pub sets: &'a ServiceSets<LayerUnit>,
    /// Whether packages come without what no running program reads.
    pub slim: bool,
    pub hard_links: bool,
}

impl<'a> Contents<'a> {
    /// The contents of images of the workspace, whose packages are those of the lockfile or the installed ones.
    pub fn new(
        packages: &'a dyn Packages,
        locked: Option<&'a LockedPackages>,
        settings: &Settings,
    ) -> Result<Self, BuildError> {
        let root = ImagePath::new(settings.root.as_deref().unwrap_or(DEFAULT_ROOT))?;
        let (workspace, index) = (packages.workspace(), packages.index());
        Ok(Self { locked, source: packages, workspace, index, root, packages: BTreeMap::new() })
    }

    /// The directory that stands for the workspace's root.
    pub fn root(&self) -> &ImagePath {
        &self.root
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
        let look_at = |dir: &WorkspacePath| -> Result<_, BuildError> {
            let whole = Arc::new(tree(dir)?);
            let slimming = self.slimming(&whole, dir, &*self.source.package_json(dir)?)?;
            Ok((key(dir), Collected { whole, slimming, slim: OnceLock::new() }))
        };
        let collected: Result<Vec<_>, BuildError> = missing.into_par_iter().map(look_at).collect();
        self.packages.extend(collected?);
        Ok(())
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
        user: UserEntries,
    ) -> Result<(ImageContents, LeftOut), BuildError> {
        let owner = user.owner;
        let closure = image.closure;
        let mut application = self.collector(owner).files(&image.service.dir, image.shipped)?;
        application.extend(self.extra_files(image, owner)?)?;
        application.extend(writable_directories(image.settings, owner, image.working_dir)?)?;
        application.extend(self.bin_links(closure, owner)?)?;
        let application = Fragment::new(image.service.dir.to_string(), application);
        let (_, to_members): (Vec<_>, Vec<_>) =
            closure.links.iter().partition(|(_, target)| closure.packages.contains_key(*target));
        let mut workspace = self.member_fragments(image, owner)?;
        workspace.push(Fragment::new("workspace links", self.links(&to_members, owner)?));
        let (packages, left_out) = self.package_fragments(image, owner)?;
        let contents = ImageContents {
            service: image.service.name.clone(),
            user: user.tree,
            packages,
            workspace,
            application: vec![application],
            hard_links: image.hard_links,
        };
        Ok((contents, left_out))
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

    /// The packages and the links to packages, by the set of services that share them; and what `slim` leaves out.
    fn package_fragments(
        &self,
        image: &Ingredients<'_>,
        owner: Owner,
    ) -> Result<(BTreeMap<ServiceSet, Vec<Fragment>>, LeftOut), BuildError> {
        let set = |place: &WorkspacePath| {
            let unit = LayerUnit { place: place.clone(), slim: image.slim };
            image.sets.of_service(&unit, &image.service.name)
        };
        let mut left_out = LeftOut::default();
        let excluded = excluded(image.settings.exclude.as_deref().unwrap_or_default())?;
        let mut by_set: BTreeMap<ServiceSet, Vec<Fragment>> = BTreeMap::new();
        for (dir, package) in &image.closure.packages {
            if lies_in_another(dir, image.closure) {
                continue;
            }
            let Some(collected) = self.packages.get(&(dir.clone(), (owner.uid, owner.gid))) else { continue };
            let (tree, slimming) = self.chosen(collected, dir, package, &excluded, image.slim)?;
            left_out = left_out.plus(slimming);
            let fragment = Fragment {
                name: package.package_json.name.clone().unwrap_or_else(|| dir.to_string()),
                label: package.package_json.label(),
                tree,
            };
            by_set.entry(set(dir)).or_default().push(fragment);
        }
        let mut links: BTreeMap<ServiceSet, Vec<(&WorkspacePath, &WorkspacePath)>> = BTreeMap::new();
        for (from, to) in image.closure.links.iter().filter(|(_, to)| image.closure.packages.contains_key(*to)) {
            links.entry(set(from)).or_default().push((from, to));
        }
        for (set, links) in links {
            by_set.entry(set).or_default().push(Fragment::new("package links", self.links(&links, owner)?));
        }
        Ok((by_set, left_out))
    }

    /// What `slim` leaves out of a package. What lies in no `node_modules` is the workspace's own, and stays whole.
    fn slimming(
        &self,
        tree: &FileTree,
        dir: &WorkspacePath,
        package_json: &PackageJson,
    ) -> Result<Slimming, BuildError> {
        let is_installed = dir.as_path().iter().any(|name| name == "node_modules");
        let top = self.root.join(dir.as_path())?;
        Ok(if is_installed { Slimming::of(tree, &top, package_json) } else { Slimming::default() })
    }

    /// A package's tree without what `exclude` in pirogue.toml matches, relative to the package, and what `slim` leaves
    /// out of the rest, or would.
    fn chosen(
        &self,
        collected: &Collected,
        dir: &WorkspacePath,
        package: &ClosurePackage,
        excluded: &Gitignore,
        slim: bool,
    ) -> Result<(Arc<FileTree>, LeftOut), BuildError> {
        if excluded.is_empty() {
            let tree = if slim { collected.slim() } else { collected.whole.clone() };
            return Ok((tree, collected.slimming.left_out));
        }
        let top = self.root.join(dir.as_path())?;
        let mut kept = collected.whole.as_ref().clone();
        kept.retain(|path| {
            let inside = path.as_path().strip_prefix(top.as_path()).unwrap_or(path.as_path());
            !excluded.matched_path_or_any_parents(inside, false).is_ignore()
        });
        let slimming = self.slimming(&kept, dir, &package.package_json)?;
        let tree = if slim { slimming.apply(&kept) } else { kept };
        Ok((Arc::new(tree), slimming.left_out))
    }

    fn member_fragments(&self, image: &Ingredients<'_>, owner: Owner) -> Result<Vec<Fragment>, BuildError> {
        let exclude = image.settings.exclude.as_deref().unwrap_or_default();
        let mut fragments = Vec::new();
        for dir in image.closure.members.keys() {
            let Some(member) = self.workspace.member_at(dir) else { continue };
            let on_host = self.workspace.on_host(dir);
            let files = ShippedFiles::of_package(member, &on_host, exclude)?.list(&on_host)?;
            fragments.push(Fragment::new(dir.to_string(), self.collector(owner).files(dir, &files)?));
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
            let missing = || BuildError::NoSuchFile { service: image.service.name.clone(), from: file.from.clone() };
            let from = WorkspacePath::new(&file.from).ok_or_else(missing)?;
            host::stamp(&self.workspace.on_host(&from)).map_err(CollectError::Host)?.ok_or_else(missing)?;
            let to = below(image.working_dir, &file.to)?;
            tree.extend(self.collector(owner).copied(&from, &to)?)?;
        }
        Ok(tree)
    }
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
