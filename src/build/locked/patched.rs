use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io;

use super::LockedError;
use super::tarball::ReadTarball;
use crate::build::BuildError;
use crate::digest::Digest;
use crate::host;
use crate::layer::{FileState, PackageFile, PackagePatch, PackageTarball, TarballError};
use crate::workspace::lockfiles::{LockedPackage, Patch};
use crate::workspace::{PackageManager, Workspace};

const PACKAGE_JSON: &str = "package.json";

/// Whether a package is changed after it was unpacked. What yarn changes for Plug'n'Play only does not count.
pub(super) fn is_patched(package: &LockedPackage) -> bool {
    package.patches.iter().any(|patch| !matches!(patch, Patch::BuiltIn(_)))
}

/// A tarball's package with the patches of the workspace, one after the other.
pub(super) fn patched(
    package: &LockedPackage,
    tarball: &ReadTarball,
    workspace: &Workspace,
    manager: PackageManager,
) -> Result<ReadTarball, BuildError> {
    let wrong = |source| LockedError::Patch { package: package.label(), source };
    let files = tarball.files()?;
    let mut changed: BTreeMap<String, Option<FileState>> = BTreeMap::new();
    for patch in &package.patches {
        let path = match patch {
            Patch::BuiltIn(_) => continue,
            Patch::File(path) => path,
            Patch::Outside(_) | Patch::Hash(_) => return Err(LockedError::NoPatch(package.label()).into()),
        };
        let missing = || LockedError::MissingPatch { package: package.label(), patch: path.clone() };
        let bytes = host::read_if_present(&workspace.on_host(path))?.ok_or_else(missing)?;
        let patch = match manager {
            PackageManager::YarnBerry => PackagePatch::parse_as_yarn(path.to_string(), &bytes),
            _ => PackagePatch::parse(path.to_string(), &bytes),
        };
        let read = |path: &str| match changed.get(path) {
            Some(state) => Ok(state.clone()),
            None => published(tarball, &files, path),
        };
        let result = patch.map_err(wrong)?.apply(read).map_err(wrong)?;
        changed.extend(result);
    }
    with_changes(package, tarball, &files, changed)
}

/// A file as it was published.
fn published(tarball: &ReadTarball, files: &[PackageFile], path: &str) -> io::Result<Option<FileState>> {
    let Ok(at) = files.binary_search_by(|file| file.path.as_str().cmp(path)) else { return Ok(None) };
    let PackageFile { offset, size, executable, .. } = files[at];
    let mut content = Vec::new();
    let size = usize::try_from(size).map_err(io::Error::other)?;
    tarball.archive.read(offset, size, &mut content).map_err(io::Error::other)?;
    Ok(Some(FileState { content, executable }))
}

fn with_changes(
    package: &LockedPackage,
    tarball: &ReadTarball,
    published_files: &[PackageFile],
    changed: BTreeMap<String, Option<FileState>>,
) -> Result<ReadTarball, BuildError> {
    let wrong = |source| LockedError::Tarball { package: package.label(), source };
    let mut files: BTreeMap<String, PackageFile> =
        published_files.iter().map(|file| (file.path.clone(), file.clone())).collect();
    let mut contents = BTreeMap::new();
    for (path, state) in changed {
        match state {
            None => _ = files.remove(&path),
            Some(FileState { content, executable }) => {
                let (size, digest) = (content.len() as u64, Digest::of(&content));
                files.insert(path.clone(), PackageFile { path: path.clone(), executable, size, digest, offset: 0 });
                contents.insert(path, content);
            }
        }
    }
    let package_json = match contents.get(PACKAGE_JSON) {
        Some(patched) => Some(Cow::Borrowed(patched.as_slice())),
        None => published(tarball, published_files, PACKAGE_JSON)
            .map_err(|source| wrong(TarballError::Damaged { entry: PACKAGE_JSON.into(), source }))?
            .filter(|_| files.contains_key(PACKAGE_JSON))
            .map(|state| Cow::Owned(state.content)),
    };
    let files = files.into_values().collect();
    let read = PackageTarball::of_files(files, package_json.as_deref(), tarball.archive.bytes()).map_err(wrong)?;
    Ok(tarball.changed(read, contents))
}
