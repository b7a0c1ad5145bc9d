use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rayon::prelude::*;

use super::volatile_files::is_volatile;
use super::{Content, Entry, FileTree, HostFile, Owner, TreeError};
use crate::digest::Digest;
use crate::host::{self, Directory, FileContent, HostError, Stamp, StatIndex};
use crate::path::{HostPath, ImagePath, ImagePathError};
use crate::workspace::{Workspace, WorkspacePath};

/// Down to this depth below a package's root, directories are looked at on several cores; below it there are too many and
/// each is too small.
const SHARED_DEPTH: usize = 1;

/// Collects files of a workspace into trees, at the places they have in the image.
pub struct Collector<'a> {
    /// The workspace.
    pub workspace: &'a Workspace,
    /// The directory that stands for the workspace's root in the image.
    pub image_root: &'a ImagePath,
    /// Who owns everything.
    pub owner: Owner,
    /// What is known of the workspace's files.
    pub index: &'a StatIndex,
}

/// Why files cannot be collected.
#[derive(Debug, thiserror::Error)]
pub enum CollectError {
    /// A link that would dangle in the image.
    #[error("a link leads out of the workspace, where the image has nothing: `{0}`")]
    LinkLeavesWorkspace(HostPath),
    /// A socket, pipe or device.
    #[error("neither a file, a directory nor a link: `{0}`")]
    SpecialFile(HostPath),
    /// A name that no image can hold.
    #[error(transparent)]
    Path(#[from] ImagePathError),
    /// Two things at one place.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl CollectError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::LinkLeavesWorkspace(_) => Some("put what it leads to in its place, or remove it".into()),
            Self::SpecialFile(_) => Some("remove it: an image holds what a running program can make itself".into()),
            _ => None,
        }
    }
}

impl Collector<'_> {
    /// Where a path of the workspace lies in the image.
    pub fn image_path(&self, path: &WorkspacePath) -> Result<ImagePath, CollectError> {
        Ok(self.image_root.join(path.as_path())?)
    }

    /// All that an installed package holds, without the directory of packages nested in it, and without what node-gyp
    /// wrote about the host.
    pub fn package(&self, dir: &WorkspacePath) -> Result<FileTree, CollectError> {
        self.package_at(dir, &self.image_path(dir)?)
    }

    /// The same at another place of the image.
    pub fn package_at(&self, dir: &WorkspacePath, place: &ImagePath) -> Result<FileTree, CollectError> {
        let mut entries = Vec::new();
        let directory = Directory::open(self.workspace.on_host(dir))?;
        self.directory(dir, Path::new(""), &directory, place, &mut entries)?;
        Ok(FileTree::of(entries)?)
    }

    /// The entries below a directory of a package, which lies at `place` in the image. Directories near the package's root
    /// are looked at on all cores.
    fn directory(
        &self,
        package: &WorkspacePath,
        below: &Path,
        directory: &Directory,
        place: &ImagePath,
        collected: &mut Vec<(ImagePath, Entry)>,
    ) -> Result<(), CollectError> {
        let mut entries = directory.entries()?;
        if may_be_left_out(below) {
            entries.retain(|entry| !is_left_out(&below.join(&entry.name)));
        }
        let contents = self.index.contents(directory, &entries)?;
        let mut directories = Vec::new();
        for (entry, content) in entries.iter().zip(contents) {
            let place = place.child(&entry.name);
            if entry.stamp.is_dir() {
                directories.push((&entry.name, place.clone()));
                collected.push((place, Entry::directory(self.owner)));
            } else if let Some(FileContent { digest, kept }) = content {
                let file = HostFile::new(directory.path(), &entry.name, kept);
                collected.push((place, self.file(file, &entry.stamp, digest)));
            } else {
                let on_host = directory.path().join(&entry.name);
                let path = package.as_path().join(below).join(&entry.name);
                collected.push((place, self.link_or_refuse(&path, on_host, &entry.stamp)?));
            }
        }
        let look = |(name, place): &(&OsString, ImagePath), collected: &mut Vec<_>| {
            let inside = directory.open_directory(name)?;
            self.directory(package, &below.join(name), &inside, place, collected)
        };
        if directories.len() < 2 || below.components().count() > SHARED_DEPTH {
            return directories.iter().try_for_each(|directory| look(directory, collected));
        }
        let look_apart = |directory| {
            let mut collected = Vec::new();
            look(directory, &mut collected).map(|()| collected)
        };
        let looked_at: Vec<_> = directories.par_iter().map(look_apart).collect::<Result<_, CollectError>>()?;
        collected.extend(looked_at.into_iter().flatten());
        Ok(())
    }

    /// How many files a package has, and how many bytes, found out without opening one.
    pub fn weigh(&self, dir: &WorkspacePath) -> Result<(usize, u64), CollectError> {
        self.weigh_directory(dir, Path::new(""))
    }

    fn weigh_directory(&self, package: &WorkspacePath, below: &Path) -> Result<(usize, u64), CollectError> {
        let mut sum = (0, 0);
        for entry in Directory::open(self.workspace.on_host(package).join(below))?.entries()? {
            let path = below.join(&entry.name);
            if is_left_out(&path) {
                continue;
            }
            let (files, bytes) = match entry.stamp.is_dir() {
                true => self.weigh_directory(package, &path)?,
                false => (usize::from(entry.stamp.is_file()), if entry.stamp.is_file() { entry.stamp.size } else { 0 }),
            };
            sum = (sum.0 + files, sum.1 + bytes);
        }
        Ok(sum)
    }

    /// These files, given relative to `dir`, with the directories between.
    pub fn files(&self, dir: &WorkspacePath, files: &[PathBuf]) -> Result<FileTree, CollectError> {
        let mut entries = Vec::new();
        let mut last_parent = None;
        for file in files {
            if file.parent() != last_parent {
                last_parent = file.parent();
                for parent in file.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
                    let path = self.image_root.join(dir.as_path().join(parent))?;
                    entries.push((path, Entry::directory(self.owner)));
                }
            }
            entries.extend(self.placed(&dir.as_path().join(file))?);
        }
        Ok(FileTree::of(entries)?)
    }

    /// A file, link or directory with all it holds, from anywhere in the workspace to anywhere in the image.
    pub fn copied(&self, from: &WorkspacePath, to: &ImagePath) -> Result<FileTree, CollectError> {
        let mut entries = Vec::new();
        self.copy(from.as_path(), to, &mut entries)?;
        Ok(FileTree::of(entries)?)
    }

    fn copy(&self, from: &Path, to: &ImagePath, entries: &mut Vec<(ImagePath, Entry)>) -> Result<(), CollectError> {
        let on_host = self.workspace.root.join(from);
        if host::stamp(&on_host)?.is_some_and(|stamp| stamp.is_dir()) {
            entries.push((to.clone(), Entry::directory(self.owner)));
            for entry in host::read_directory(&on_host)? {
                self.copy(&from.join(&entry.name), &to.join(&entry.name)?, entries)?;
            }
        } else if let Some(entry) = self.entry(from)? {
            entries.push((to.clone(), entry));
        }
        Ok(())
    }

    /// The links of `DIR/node_modules/.bin` to commands of packages and members that `is_kept`. Links to others, and the
    /// scripts that pnpm writes with paths of this host in them, are left out.
    pub fn bin_links(
        &self,
        node_modules: &WorkspacePath,
        is_kept: impl Fn(&Path) -> bool,
    ) -> Result<Vec<(ImagePath, Entry)>, CollectError> {
        let mut links = Vec::new();
        let Some(bin) = node_modules.join(".bin") else { return Ok(links) };
        let on_host = self.workspace.on_host(&bin);
        if !host::stamp(&on_host)?.is_some_and(|stamp| stamp.is_dir()) {
            return Ok(links);
        }
        for entry in host::read_directory(&on_host)?.into_iter().filter(|entry| entry.kind.is_symlink()) {
            let target = host::read_link(&on_host.join(&entry.name))?;
            if bin.join(&target).is_some_and(|target| is_kept(target.as_path())) {
                links.extend(self.placed(&bin.as_path().join(&entry.name))?);
            }
        }
        Ok(links)
    }

    /// A link under `node_modules` to the directory in which a package really lies; relative, wherever the image's root
    /// is, and whatever the host's link says.
    pub fn link(&self, from: &WorkspacePath, to: &WorkspacePath) -> Result<(ImagePath, Entry), CollectError> {
        let place = self.image_path(from)?;
        let parent = place.parent().unwrap_or_else(ImagePath::root);
        let target = parent.relative_link_to(&self.image_path(to)?);
        Ok((place, Entry::symlink(target, self.owner)))
    }

    /// The file or link at a path relative to the workspace, and its place in the image; `None` where there is nothing.
    fn placed(&self, path: &Path) -> Result<Option<(ImagePath, Entry)>, CollectError> {
        let place = self.image_root.join(path)?;
        Ok(self.entry(path)?.map(|entry| (place, entry)))
    }

    /// The file or link at a path relative to the workspace; `None` where there is nothing.
    fn entry(&self, path: &Path) -> Result<Option<Entry>, CollectError> {
        let on_host = self.workspace.root.join(path);
        let Some(stamp) = host::stamp(&on_host)? else { return Ok(None) };
        if let (true, Some(dir), Some(name)) = (stamp.is_file(), on_host.parent(), path.file_name()) {
            let digest = self.index.digest(&on_host, &stamp)?;
            return Ok(Some(self.file(HostFile::new(&Arc::new(dir), name, None), &stamp, digest)));
        }
        self.link_or_refuse(path, on_host, &stamp).map(Some)
    }

    fn file(&self, file: HostFile, stamp: &Stamp, digest: Digest) -> Entry {
        Entry::file(Content::Host { file, size: stamp.size, digest }, stamp.is_executable(), self.owner)
    }

    /// The link at a path relative to the workspace. What else is no file, an image cannot hold.
    fn link_or_refuse(&self, path: &Path, on_host: HostPath, stamp: &Stamp) -> Result<Entry, CollectError> {
        match stamp.is_symlink() {
            true => Ok(Entry::symlink(self.link_target(path, &on_host)?, self.owner)),
            false => Err(CollectError::SpecialFile(on_host)),
        }
    }

    /// What a link of the workspace holds in the image: the same if it is relative and stays in the workspace; a relative
    /// path instead of an absolute one into the workspace.
    fn link_target(&self, path: &Path, on_host: &HostPath) -> Result<PathBuf, CollectError> {
        let leaves = || CollectError::LinkLeavesWorkspace(on_host.clone());
        let target = host::read_link(on_host)?;
        if target.is_absolute() {
            let inside = HostPath::new(&target);
            let inside = self.workspace.from_host(&inside).ok_or_else(leaves)?;
            let parent = self.image_root.join(path)?.parent().unwrap_or_else(ImagePath::root);
            return Ok(parent.relative_link_to(&self.image_path(&inside)?));
        }
        let parent = path.parent().and_then(WorkspacePath::new).unwrap_or_default();
        parent.join(&target).ok_or_else(leaves)?;
        Ok(target)
    }
}

/// Whether a path, relative to the root of a package, is no part of the package.
fn is_left_out(path: &Path) -> bool {
    path == Path::new("node_modules") || is_volatile(path)
}

/// Whether a directory of a package can hold such paths; most cannot, and need not be asked name by name.
fn may_be_left_out(dir: &Path) -> bool {
    dir.as_os_str().is_empty() || dir.starts_with("build")
}
