use std::path::Path;

use super::{Place, Subject};
use crate::workspace::{PackageJson, WorkspacePath};

/// The package that a file of the image belongs to.
#[derive(Clone, Debug)]
pub(super) struct Package<'a> {
    /// Its directory in the workspace.
    pub dir: WorkspacePath,
    /// What its package.json says, where it is known.
    pub package_json: Option<&'a PackageJson>,
    /// Whether it is developed in the workspace.
    pub is_ours: bool,
}

impl Package<'_> {
    /// Its name.
    pub fn name(&self) -> String {
        self.package_json.and_then(|json| json.name.clone()).unwrap_or_else(|| self.dir.to_string())
    }

    /// Its name and version.
    pub fn label(&self) -> String {
        self.package_json.filter(|json| json.name.is_some()).map_or_else(|| self.dir.to_string(), PackageJson::label)
    }

    /// Whether it says itself that it can do without a package of this name.
    pub fn can_do_without(&self, name: &str) -> bool {
        self.package_json
            .is_some_and(|json| json.optional_dependencies.contains_key(name) || json.optional_peers.contains_key(name))
    }
}

impl Subject<'_> {
    /// A path of the image as one of the workspace, where it lies below its root.
    pub(super) fn in_workspace(&self, path: &Path) -> Option<WorkspacePath> {
        path.strip_prefix(self.root.as_path()).ok().and_then(WorkspacePath::new)
    }

    /// A place in a file of the image.
    pub(super) fn place(&self, path: &Path, line: Option<u32>) -> Place {
        let is_ours = !path.components().any(|part| part.as_os_str() == "node_modules");
        let source = self.in_workspace(path).filter(|_| is_ours).map(|path| path.to_string());
        Place { path: path.display().to_string(), source, line }
    }

    /// The package that a file belongs to, given by its real path.
    pub(super) fn package_at(&self, path: &Path) -> Option<Package<'_>> {
        let path = self.in_workspace(path)?;
        let installed = path.as_path().ancestors().filter_map(WorkspacePath::new).find_map(|dir| {
            let package = self.closure.packages.get(&dir)?;
            Some(Package { dir, package_json: Some(package.package_json.as_ref()), is_ours: false })
        });
        installed.or_else(|| {
            let dir = path
                .as_path()
                .ancestors()
                .filter_map(WorkspacePath::new)
                .find(|dir| self.workspace.member_at(dir).is_some())?;
            let package_json = self.workspace.member_at(&dir).map(|member| &member.package_json);
            Some(Package { dir, package_json, is_ours: true })
        })
    }
}
