use super::LockedError;
use crate::build::BuildError;
use crate::host;
use crate::workspace::lockfiles::LockedPackage;
use crate::workspace::{PackageJson, Workspace, WorkspacePath};

/// Where a package is installed, in this very version.
pub(super) fn installed_copy(workspace: &Workspace, package: &LockedPackage) -> Result<WorkspacePath, BuildError> {
    for dir in candidates(workspace, package)? {
        let Some(found) = PackageJson::read(&workspace.on_host(&dir).join("package.json"))? else { continue };
        if found.name.as_deref() == Some(&package.name)
            && package.version.as_ref().is_none_or(|wanted| found.version.as_ref() == Some(wanted))
        {
            // What lies behind a link is collected where it lies.
            let real = host::canonical(&workspace.on_host(&dir))?;
            return Ok(workspace.from_host(&real).unwrap_or(dir));
        }
    }
    Err(LockedError::NotInstalled(package.label()).into())
}

/// Where installers put it: where the lockfile says, at the root, below a member, or in pnpm's store.
fn candidates(workspace: &Workspace, package: &LockedPackage) -> Result<Vec<WorkspacePath>, BuildError> {
    let mut dirs = package.places.clone();
    let below = |dir: &WorkspacePath| dir.join("node_modules").and_then(|below| below.join(&package.name));
    dirs.extend(below(&WorkspacePath::default()));
    dirs.extend(workspace.members.iter().filter_map(|member| below(&member.dir)));
    for store in ["node_modules/.pnpm", "node_modules/.store"] {
        let on_host = workspace.root.join(store);
        if host::metadata(&on_host)?.is_none() {
            continue;
        }
        let start = package.label().replace('/', "+");
        for entry in host::read_directory(&on_host)? {
            let name = entry.name.to_string_lossy();
            if name.starts_with(&start) || name.starts_with(&start.replace('@', "-")) {
                dirs.extend(WorkspacePath::new(format!("{store}/{name}")).as_ref().and_then(below));
            }
        }
    }
    Ok(dirs)
}
