use std::collections::HashMap;
use std::path::{Component, Path};
use std::sync::{Mutex, PoisonError};

use crate::host::{self, HostError};
use crate::path::{HostPath, MOST_LINKS};
use crate::workspace::{Workspace, WorkspacePath};

/// Where the directories of a workspace really lie. Each is looked at once: package managers that link packages to a store
/// lead to the same few thousand directories from many times as many places.
pub(super) struct RealDirectories<'a> {
    workspace: &'a Workspace,
    known: Mutex<HashMap<WorkspacePath, RealDirectory>>,
}

/// Where a path leads, links followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RealDirectory {
    /// To no directory.
    Missing,
    /// To this directory of the workspace: the path itself where there is no link on the way.
    Inside(WorkspacePath),
    /// Out of the workspace.
    Outside(HostPath),
}

impl<'a> RealDirectories<'a> {
    pub fn new(workspace: &'a Workspace) -> Self {
        Self { workspace, known: Mutex::default() }
    }

    /// Where a path of the workspace leads.
    pub fn of(&self, path: &WorkspacePath) -> Result<RealDirectory, HostError> {
        self.behind(path, MOST_LINKS)
    }

    /// The same, where so many links may still be met.
    fn behind(&self, path: &WorkspacePath, links: usize) -> Result<RealDirectory, HostError> {
        if let Some(known) = self.lock().get(path) {
            return Ok(known.clone());
        }
        let real = self.look_at(path, links)?;
        self.lock().insert(path.clone(), real.clone());
        Ok(real)
    }

    fn look_at(&self, path: &WorkspacePath, links: usize) -> Result<RealDirectory, HostError> {
        let above = path.as_path().parent().and_then(WorkspacePath::new);
        let (Some(above), Some(name)) = (above, path.as_path().file_name()) else {
            return Ok(RealDirectory::Inside(path.clone()));
        };
        let above = match self.behind(&above, links)? {
            RealDirectory::Missing => return Ok(RealDirectory::Missing),
            RealDirectory::Outside(above) => return self.of_host(&above.join(name)),
            RealDirectory::Inside(above) => above,
        };
        let Some(place) = above.join(name) else { return Ok(RealDirectory::Missing) };
        let on_host = self.workspace.on_host(&place);
        match host::stamp(&on_host)? {
            Some(stamp) if stamp.is_dir() => Ok(RealDirectory::Inside(place)),
            Some(stamp) if stamp.is_symlink() => self.follow(&above, &on_host, links),
            _ => Ok(RealDirectory::Missing),
        }
    }

    /// Where a link leads that lies in the directory `above`.
    fn follow(&self, above: &WorkspacePath, link: &HostPath, links: usize) -> Result<RealDirectory, HostError> {
        let target = host::read_link(link)?;
        let target = match target.is_absolute() {
            true => self.workspace.from_host(&HostPath::new(target)),
            false if is_plain(&target) => above.join(target),
            false => None,
        };
        match (target, links.checked_sub(1)) {
            (Some(target), Some(links)) => self.behind(&target, links),
            _ => self.of_host(link),
        }
    }

    /// The kernel's own answer.
    fn of_host(&self, path: &HostPath) -> Result<RealDirectory, HostError> {
        if !host::metadata(path)?.is_some_and(|metadata| metadata.is_dir()) {
            return Ok(RealDirectory::Missing);
        }
        let real = host::canonical(path)?;
        Ok(self.workspace.from_host(&real).map_or(RealDirectory::Outside(real), RealDirectory::Inside))
    }

    /// What was remembered is whole even if a thread died while it held the lock: entries are inserted in one step.
    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<WorkspacePath, RealDirectory>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether a link's text goes up at its beginning only. Behind a name, which may be a link, `..` leads elsewhere than the
/// text says.
fn is_plain(target: &Path) -> bool {
    let mut below = target.components().skip_while(|component| *component == Component::ParentDir);
    below.all(|component| matches!(component, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn links_are_followed_as_the_kernel_does() {
        let (root, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let root_path = root.path().canonicalize().unwrap();
        fs::create_dir_all(root_path.join("store/x/node_modules/x/lib")).unwrap();
        fs::create_dir_all(root_path.join("app/node_modules/@scope")).unwrap();
        fs::create_dir_all(outside.path().join("y/lib")).unwrap();
        fs::write(root_path.join("package.json"), "{}").unwrap();
        let absolute = root_path.join("store/x");
        let links: [(&str, &str); 13] = [
            ("app/node_modules/x", "../../store/x/node_modules/x"),
            ("app/node_modules/@scope/x", "../../../store/x/node_modules/x"),
            ("app/node_modules/through", "x"),
            ("app/node_modules/up", "x/../../node_modules"),
            ("app/node_modules/dot", "./x/."),
            ("app/node_modules/absolute", absolute.to_str().unwrap()),
            ("app/node_modules/outside", outside.path().to_str().unwrap()),
            ("app/node_modules/above", "../../.."),
            ("app/node_modules/file", "../../package.json"),
            ("app/node_modules/nowhere", "../../store/y"),
            ("linked", "app/node_modules"),
            ("one", "two/x"),
            ("two", "one/y"),
        ];
        links.iter().for_each(|(place, target)| symlink(target, root_path.join(place)).unwrap());
        let workspace = Workspace::discover(&HostPath::new(&root_path)).unwrap();
        let directories = RealDirectories::new(&workspace);
        let deeper =
            ["app/node_modules/x/lib", "linked/x/lib", "linked/outside/y/lib", "linked/above", "linked/nowhere"];
        let others =
            ["", "app", "app/node_modules", "store/x/node_modules/x", "nothing", "package.json", "package.json/x"];
        for path in links.iter().map(|(place, _)| *place).chain(deeper).chain(others) {
            let path = WorkspacePath::new(path).unwrap();
            let on_host = workspace.on_host(&path);
            let expected = match fs::canonicalize(on_host.as_path()) {
                Ok(real) if real.is_dir() => {
                    let real = HostPath::new(real);
                    Some(workspace.from_host(&real).map_or(RealDirectory::Outside(real), RealDirectory::Inside))
                }
                Ok(_) => Some(RealDirectory::Missing),
                Err(error) if error.raw_os_error() == Some(40) => None,
                Err(_) => Some(RealDirectory::Missing),
            };
            assert_eq!(directories.of(&path).ok(), expected, "{path}");
        }
    }
}
