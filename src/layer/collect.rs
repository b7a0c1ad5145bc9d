use std::path::{Component, Path, PathBuf};

use rayon::prelude::*;

use super::volatile_files::is_volatile;
use super::{Content, Entry, FileTree, Owner, TreeError};
use crate::host::{self, HostError, Stamp, StatIndex};
use crate::path::{HostPath, ImagePath, ImagePathError};
use crate::workspace::{Workspace, WorkspacePath};

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
        let place = self.image_path(dir)?;
        Ok(self.directory(dir, Path::new(""), &place)?.into_iter().collect())
    }

    /// The entries below a directory of a package, which lies at `place` in the image. Directories and files are looked
    /// at on all cores.
    fn directory(
        &self,
        package: &WorkspacePath,
        below: &Path,
        place: &ImagePath,
    ) -> Result<Vec<(ImagePath, Entry)>, CollectError> {
        let host_dir = self.workspace.on_host(package).join(below);
        let entries = host::read_directory_with_stamps(&host_dir)?;
        let collected: Result<Vec<_>, CollectError> = entries
            .into_par_iter()
            .map(|entry| {
                let path = below.join(&entry.name);
                if path == Path::new("node_modules") || is_volatile(&path) {
                    return Ok(Vec::new());
                }
                let place = place.child(&entry.name);
                if !entry.stamp.is_dir() {
                    let in_workspace = package.as_path().join(&path);
                    let file = self.entry(&in_workspace, host_dir.join(&entry.name), &entry.stamp)?;
                    return Ok(vec![(place, file)]);
                }
                let mut collected = self.directory(package, &path, &place)?;
                collected.push((place, Entry::directory(self.owner)));
                Ok(collected)
            })
            .collect();
        Ok(collected?.into_iter().flatten().collect())
    }

    /// How many files a package has, and how many bytes, found out without opening one.
    pub fn weigh(&self, dir: &WorkspacePath) -> Result<(usize, u64), CollectError> {
        self.weigh_directory(dir, Path::new(""))
    }

    fn weigh_directory(&self, package: &WorkspacePath, below: &Path) -> Result<(usize, u64), CollectError> {
        let mut sum = (0, 0);
        for entry in host::read_directory_with_stamps(&self.workspace.on_host(package).join(below))? {
            let path = below.join(&entry.name);
            if path == Path::new("node_modules") || is_volatile(&path) {
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
        let mut tree = FileTree::default();
        for file in files {
            for parent in file.ancestors().skip(1).filter(|parent| !parent.as_os_str().is_empty()) {
                let path = self.image_root.join(dir.as_path().join(parent))?;
                tree.insert(path, Entry::directory(self.owner))?;
            }
            self.add(&dir.as_path().join(file), &mut tree)?;
        }
        Ok(tree)
    }

    /// A file, link or directory with all it holds, from anywhere in the workspace to anywhere in the image.
    pub fn copied(&self, from: &WorkspacePath, to: &ImagePath) -> Result<FileTree, CollectError> {
        let mut tree = FileTree::default();
        self.copy(from.as_path(), to, &mut tree)?;
        Ok(tree)
    }

    fn copy(&self, from: &Path, to: &ImagePath, tree: &mut FileTree) -> Result<(), CollectError> {
        let on_host = self.workspace.root.join(from);
        if host::stamp(&on_host)?.is_some_and(|stamp| stamp.is_dir()) {
            tree.insert(to.clone(), Entry::directory(self.owner))?;
            for entry in host::read_directory(&on_host)? {
                self.copy(&from.join(&entry.name), &to.join(&entry.name)?, tree)?;
            }
            return Ok(());
        }
        self.add_at(from, to.clone(), tree)
    }

    /// The links of `DIR/node_modules/.bin` to commands of packages and members that `is_kept`. Links to others, and the
    /// scripts that pnpm writes with paths of this host in them, are left out.
    pub fn bin_links(
        &self,
        node_modules: &WorkspacePath,
        is_kept: impl Fn(&Path) -> bool,
    ) -> Result<FileTree, CollectError> {
        let mut tree = FileTree::default();
        let bin = node_modules.as_path().join(".bin");
        let on_host = self.workspace.root.join(&bin);
        if !host::stamp(&on_host)?.is_some_and(|stamp| stamp.is_dir()) {
            return Ok(tree);
        }
        for entry in host::read_directory(&on_host)?.into_iter().filter(|entry| entry.kind.is_symlink()) {
            let target = host::read_link(&on_host.join(&entry.name))?;
            if lexically_joined(&bin, &target).is_some_and(|target| is_kept(&target)) {
                self.add(&bin.join(&entry.name), &mut tree)?;
            }
        }
        Ok(tree)
    }

    /// A link under `node_modules` to the directory in which a package really lies; relative, wherever the image's root
    /// is, and whatever the host's link says.
    pub fn link(&self, from: &WorkspacePath, to: &WorkspacePath) -> Result<FileTree, CollectError> {
        let place = self.image_path(from)?;
        let parent = place.parent().unwrap_or_else(ImagePath::root);
        let target = parent.relative_link_to(&self.image_path(to)?);
        let mut tree = FileTree::default();
        tree.insert(place, Entry::symlink(target, self.owner))?;
        Ok(tree)
    }

    /// Adds the file or link at a path relative to the workspace.
    fn add(&self, path: &Path, tree: &mut FileTree) -> Result<(), CollectError> {
        self.add_at(path, self.image_root.join(path)?, tree)
    }

    fn add_at(&self, path: &Path, place: ImagePath, tree: &mut FileTree) -> Result<(), CollectError> {
        let on_host = self.workspace.root.join(path);
        if let Some(stamp) = host::stamp(&on_host)? {
            tree.insert(place, self.entry(path, on_host, &stamp)?)?;
        }
        Ok(())
    }

    /// The file or link at a path relative to the workspace.
    fn entry(&self, path: &Path, on_host: HostPath, stamp: &Stamp) -> Result<Entry, CollectError> {
        if stamp.is_symlink() {
            return Ok(Entry::symlink(self.link_target(path, &on_host)?, self.owner));
        }
        if !stamp.is_file() {
            return Err(CollectError::SpecialFile(on_host));
        }
        let digest = self.index.digest(&on_host, stamp)?;
        let content = Content::Host { path: on_host, size: stamp.size, digest };
        Ok(Entry::file(content, stamp.is_executable(), self.owner))
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
        let parent = path.parent().unwrap_or(Path::new(""));
        lexically_joined(parent, &target).ok_or_else(leaves)?;
        Ok(target)
    }
}

/// `dir/target` without `..`; `None` if it is absolute or leads above the root that `dir` is relative to.
fn lexically_joined(dir: &Path, target: &Path) -> Option<PathBuf> {
    let mut joined = dir.to_owned();
    for component in target.components() {
        match component {
            Component::ParentDir => {
                if !joined.pop() {
                    return None;
                }
            }
            Component::Normal(name) => joined.push(name),
            Component::CurDir => {}
            Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(joined)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_stay_in_the_workspace() {
        let table = [
            ("node_modules/.bin", "../typeorm/cli.js", Some("node_modules/typeorm/cli.js")),
            ("a/b", "../../c", Some("c")),
            ("a/b", "../..", Some("")),
            ("a/b", "../../../c", None),
            ("a", "/etc/passwd", None),
            ("", "./x", Some("x")),
        ];
        for (dir, target, expected) in table {
            let found = lexically_joined(Path::new(dir), Path::new(target));
            assert_eq!(found, expected.map(PathBuf::from), "{dir} {target}");
        }
    }
}
