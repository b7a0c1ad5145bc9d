//! Where a specifier leads inside an image, as Node would look for it.

use std::io;
use std::path::{Path, PathBuf};

use oxc_resolver::{FileMetadata, FileSystem, ResolveError, ResolveOptions, ResolverGeneric};
use url::Url;

use super::file_system::ImageFiles;
use crate::closure::package_of;
use crate::javascript::RequestKind;
use crate::workspace::PackageJson;

/// What resolving gave.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Resolved {
    /// The real path of a file.
    File(PathBuf),
    /// A module that Node brings along, or no file at all.
    Builtin,
    /// Nothing.
    Missing(Missing),
}

/// Why nothing was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Missing {
    /// There is no such file or package.
    NotFound,
    /// The package is there, and its `exports` or `imports` do not offer this.
    NotExported,
    /// Something that is read on the way is damaged.
    Unreadable(String),
}

/// Resolves specifiers in an image.
pub struct Resolver {
    files: ImageFiles,
    require: ResolverGeneric<OfImage>,
    import: ResolverGeneric<OfImage>,
}

/// The image as the library wants to see it.
struct OfImage(Option<ImageFiles>);

impl Resolver {
    /// `module_sync` says whether Node offers the condition of that name.
    ///
    /// Source: Node's documentation, "Modules: Packages", "Conditional exports": added in 22.10 and 20.19.
    pub fn new(files: &ImageFiles, module_sync: bool) -> Self {
        let options = |kind: &str, fully_specified| {
            let mut names = vec!["node", kind, "node-addons"];
            names.extend(module_sync.then_some("module-sync"));
            ResolveOptions {
                cwd: Some("/".into()),
                condition_names: names.into_iter().map(str::to_owned).collect(),
                extensions: [".js", ".json", ".node"].map(str::to_owned).into(),
                builtin_modules: true,
                node_path: false,
                fully_specified,
                ..ResolveOptions::default()
            }
        };
        let of_image = OfImage(Some(files.clone()));
        let require = ResolverGeneric::new_with_file_system(of_image, options("require", false));
        let import = require.clone_with_options(options("import", true));
        Self { files: files.clone(), require, import }
    }

    /// Where `specifier` leads from a file, given by its real path.
    pub fn resolve(&self, from: &Path, specifier: &str, kind: RequestKind) -> Resolved {
        let is_import = kind.is_by_url();
        let specifier = match specifier.split_once(':') {
            Some(("node", _)) => return Resolved::Builtin,
            Some(("data" | "http" | "https" | "blob", _)) if is_import => return Resolved::Builtin,
            Some(("file", path)) if is_import => path.trim_start_matches("//"),
            _ => specifier,
        };
        let dir = from.parent().unwrap_or(Path::new("/"));
        // What `import` takes for the query of a URL is a part of the name for `require`.
        if !is_import && specifier.contains('?') {
            return match self.files.find(&dir.join(specifier)) {
                Some((real, found)) if found.is_file() => Resolved::File(real),
                _ => Resolved::Missing(Missing::NotFound),
            };
        }
        let unescaped = is_import.then(|| unescaped(from, specifier)).flatten();
        let specifier = unescaped.as_deref().unwrap_or(specifier);
        let resolver = if is_import { &self.import } else { &self.require };
        match resolver.resolve(dir, specifier) {
            Ok(resolution) => {
                let path = resolution.into_path_buf();
                match self.ends_before(dir, specifier, is_import, &path) {
                    true => Resolved::Missing(Missing::NotFound),
                    false => Resolved::File(path),
                }
            }
            Err(ResolveError::Builtin { .. }) => Resolved::Builtin,
            Err(
                ResolveError::PackagePathNotExported { .. }
                | ResolveError::PackageImportNotDefined(..)
                | ResolveError::InvalidModuleSpecifier(..)
                | ResolveError::InvalidPackageTarget(..),
            ) => Resolved::Missing(Missing::NotExported),
            Err(ResolveError::Json(error)) => {
                Resolved::Missing(Missing::Unreadable(format!("{}: {}", error.message, error.path.display())))
            }
            Err(_) => Resolved::Missing(Missing::NotFound),
        }
    }

    /// Whether Node gives up at a nearer package of this name, where the library went on to the one that has `path`:
    /// `require` at a package whose `main` is not there, `import` at any.
    ///
    /// Source: Node's `lib/internal/modules/cjs/loader.js`, `tryPackage`; its documentation, "Modules: ECMAScript modules",
    /// "Resolution Algorithm Specification", `PACKAGE_RESOLVE`.
    fn ends_before(&self, dir: &Path, specifier: &str, is_import: bool, path: &Path) -> bool {
        let Some(package) = package_of(specifier).filter(|package| is_import || package == specifier) else {
            return false;
        };
        let dirs = dir.ancestors().filter(|dir| !dir.ends_with("node_modules"));
        let mut packages = dirs.filter_map(|dir| self.files.find(&dir.join("node_modules").join(&package)));
        match packages.find(|(_, found)| found.is_directory()) {
            Some((nearest, _)) => !path.starts_with(&nearest) && (is_import || self.has_main_inside(&nearest)),
            None => false,
        }
    }

    fn has_main_inside(&self, package: &Path) -> bool {
        let text = self.files.read(&package.join("package.json")).ok().flatten();
        let package_json = text.and_then(|text| PackageJson::parse(&text).ok());
        let main = package_json.and_then(|package_json| package_json.main);
        main.is_some_and(|main| !main.is_empty() && !main.contains(".."))
    }

    /// The file that node is started with, whose name may lack its end.
    pub fn program(&self, path: &Path) -> Resolved {
        match self.files.find(path) {
            Some((real, found)) if found.is_file() => Resolved::File(real),
            _ => self.resolve(Path::new("/_"), &path.to_string_lossy(), RequestKind::Require),
        }
    }
}

/// The path that a relative specifier with `%20` and the like means, which is a URL for `import`.
fn unescaped(from: &Path, specifier: &str) -> Option<String> {
    let is_path = specifier.starts_with(['.', '/']) && specifier.contains('%');
    let url = Url::from_file_path(from).ok().filter(|_| is_path)?.join(specifier).ok()?;
    Some(url.to_file_path().ok()?.to_str()?.to_owned())
}

fn not_found() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl OfImage {
    fn files(&self) -> io::Result<&ImageFiles> {
        self.0.as_ref().ok_or_else(not_found)
    }
}

impl FileSystem for OfImage {
    fn new() -> Self {
        Self(None)
    }

    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let files = self.files()?;
        let (real, _) = files.find(path).filter(|(_, found)| found.is_file()).ok_or_else(not_found)?;
        let content = files.read(&real).map_err(io::Error::other)?.ok_or_else(not_found)?;
        Ok(content.into_owned())
    }

    fn read_to_string(&self, path: &Path) -> io::Result<String> {
        String::from_utf8(self.read(path)?).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }

    fn metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        let (_, found) = self.files()?.find(path).ok_or_else(not_found)?;
        Ok(FileMetadata::new(found.is_file(), found.is_directory(), false))
    }

    fn symlink_metadata(&self, path: &Path) -> io::Result<FileMetadata> {
        match self.files()?.link(path) {
            Some(_) => Ok(FileMetadata::new(false, false, true)),
            None => self.metadata(path),
        }
    }

    fn read_link(&self, path: &Path) -> Result<PathBuf, ResolveError> {
        let link = self.files().ok().and_then(|files| files.link(path));
        link.map(Path::to_owned).ok_or_else(|| not_found().into())
    }

    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.files()?.find(path).map(|(real, _)| real).ok_or_else(not_found)
    }
}
