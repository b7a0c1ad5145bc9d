//! A package's tarball: read once, remembered.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::LockedError;
use crate::build::BuildError;
use crate::digest::Digest;
use crate::host::HostError;
use crate::layer::{
    Content, Entry, FileTree, Owner, PackError, PackageArchive, PackageFile, PackageTarball, Scratch, SmallArchive,
    TarballError, TarballLimits,
};
use crate::manifest::Descriptor;
use crate::npm_registry::{TARBALL_MEDIA_TYPE, Tarball};
use crate::path::ImagePath;
use crate::store::{Store, StoreError};
use crate::workspace::PackageJson;
use crate::workspace::lockfiles::LockedPackage;

/// How much of a tarball is read at a time.
const STEP: usize = 256 << 10;

/// A tarball that was read. Of its files it knows the outline; the list is read again when it is wanted, since a workspace
/// may have hundreds of thousands.
pub(super) struct ReadTarball {
    /// Its package.json; one with the lockfile's name and version where it has none.
    pub package_json: Arc<PackageJson>,
    /// Its commands and their files.
    pub commands: BTreeMap<String, String>,
    /// What its files are in all.
    pub outline: Outline,
    /// Where its contents come from.
    pub archive: Arc<PackageArchive>,
    files: Files,
    /// Its blob in the store.
    pub descriptor: Descriptor,
    /// Whether its bytes are what the lockfile says.
    pub is_verified: bool,
}

/// What the files of a package are in all.
#[derive(Clone, Copy, Serialize, Deserialize)]
pub(super) struct Outline {
    /// How many there are.
    pub files: usize,
    /// The bytes of their contents.
    pub bytes: u64,
    /// Whether it brings packages along in its own `node_modules`.
    pub has_bundled: bool,
    /// Whether npm would compile it.
    pub has_binding_gyp: bool,
}

impl Outline {
    fn of(files: &[PackageFile]) -> Self {
        Self {
            files: files.len(),
            bytes: files.iter().map(|file| file.size).sum(),
            has_bundled: files.iter().any(|file| file.path.starts_with("node_modules/")),
            has_binding_gyp: files.iter().any(|file| file.path == "binding.gyp"),
        }
    }
}

/// Where the list of a package's files is.
enum Files {
    /// In the store, with what is remembered under this name.
    Remembered(Store, String),
    /// Here, with the contents of those that are not as they were published.
    Patched(Vec<PackageFile>, BTreeMap<String, Vec<u8>>),
}

impl ReadTarball {
    /// The same with files that are patched.
    pub fn changed(&self, package: PackageTarball, patched: BTreeMap<String, Vec<u8>>) -> Self {
        let PackageTarball { files, package_json, commands, .. } = package;
        Self {
            package_json: package_json.map_or(self.package_json.clone(), Arc::new),
            commands,
            outline: Outline::of(&files),
            archive: self.archive.clone(),
            files: Files::Patched(files, patched),
            descriptor: self.descriptor.clone(),
            is_verified: self.is_verified,
        }
    }

    /// Its files, sorted by the bytes of their paths.
    pub fn files(&self) -> Result<Cow<'_, [PackageFile]>, StoreError> {
        match &self.files {
            Files::Patched(files, _) => Ok(Cow::Borrowed(files)),
            Files::Remembered(store, name) => {
                // The store is held by this run: only somebody else than pirogue can have taken it away.
                let lost = || StoreError::Lost(fact(name));
                let bytes = store.fact(&fact(name))?.ok_or_else(lost)?;
                let files =
                    postcard::take_from_bytes::<Remembered>(&bytes).and_then(|(_, rest)| postcard::from_bytes(rest));
                Ok(Cow::Owned(files.map_err(|_| lost())?))
            }
        }
    }

    /// Its files at a place of the image, without those that are left out.
    pub fn tree(
        &self,
        place: &ImagePath,
        owner: Owner,
        is_left_out: impl Fn(&PackageFile) -> bool,
    ) -> Result<FileTree, BuildError> {
        let mut entries = Vec::new();
        let files = self.files()?;
        let mut directories: BTreeSet<&str> = BTreeSet::new();
        for file in files.iter().filter(|file| !is_left_out(file)) {
            let above = file.path.match_indices('/').map(|(slash, _)| &file.path[..slash]);
            for directory in above.filter(|above| directories.insert(above)) {
                entries.push((place.join(directory)?, Entry::directory(owner)));
            }
            entries.push((place.join(&file.path)?, Entry::file(self.content(file), file.executable, owner)));
        }
        Ok(FileTree::of(entries)?)
    }

    fn content(&self, file: &PackageFile) -> Content {
        match &self.files {
            Files::Patched(_, contents) if contents.contains_key(&file.path) => {
                Content::Bytes(contents[&file.path].clone())
            }
            _ => file.content(&self.archive),
        }
    }
}

/// What is remembered of a tarball, under the name that its locked hash gives it. The list of its files stands behind.
#[derive(Serialize, Deserialize)]
struct Remembered {
    digest: Digest,
    size: u64,
    is_verified: bool,
    archive_bytes: u64,
    package_json: Option<PackageJson>,
    commands: BTreeMap<String, String>,
    outline: Outline,
}

/// Why a tarball cannot be read.
pub(super) enum ReadError {
    Store(StoreError),
    Host(HostError),
    Tarball(TarballError),
    Keep(PackError),
}

impl ReadError {
    pub fn of(self, package: &LockedPackage) -> BuildError {
        match self {
            Self::Store(error) => error.into(),
            Self::Host(error) => PackError::Read(error).into(),
            Self::Keep(error) => error.into(),
            Self::Tarball(source) => LockedError::Tarball { package: package.label(), source }.into(),
        }
    }
}

/// What it takes to open a tarball.
#[derive(Clone)]
pub(super) struct Opening {
    /// The name under which it is remembered.
    name: String,
    /// What stands for its package.json if it has none.
    package: PackageJson,
    store: Store,
    scratch: Arc<Scratch>,
}

impl Opening {
    pub fn new(name: &str, package: &LockedPackage, store: &Store, scratch: &Arc<Scratch>) -> Self {
        let package = PackageJson {
            name: Some(package.name.clone()),
            version: package.version.clone(),
            ..PackageJson::default()
        };
        Self { name: name.to_owned(), package, store: store.clone(), scratch: scratch.clone() }
    }

    /// The tarball, if what is in it is remembered.
    pub fn recall(self) -> Result<Option<ReadTarball>, StoreError> {
        let Some(bytes) = self.store.fact(&fact(&self.name))? else { return Ok(None) };
        let remembered = postcard::take_from_bytes(&bytes).ok();
        Ok(remembered.map(|(remembered, _)| self.recalled(remembered)))
    }

    /// Reads a tarball of the store, and remembers what is in it.
    pub fn read(self, tarball: &Tarball) -> Result<ReadTarball, ReadError> {
        let remembered = read(&self.name, tarball, &self.store, &self.scratch)?;
        Ok(self.recalled(remembered))
    }

    /// The tarball that was read before.
    fn recalled(self, remembered: Remembered) -> ReadTarball {
        let Self { name, package, store, scratch } = self;
        let Remembered { digest, size, is_verified, archive_bytes, package_json, commands, outline } = remembered;
        ReadTarball {
            package_json: Arc::new(package_json.unwrap_or(package)),
            commands,
            outline,
            archive: Arc::new(PackageArchive::new(store.blob_path(&digest), digest, archive_bytes, &scratch)),
            files: Files::Remembered(store, name),
            descriptor: Descriptor::new(TARBALL_MEDIA_TYPE, digest, size),
            is_verified,
        }
    }
}

/// Reads a tarball of the store, and remembers what is in it.
fn read(name: &str, tarball: &Tarball, store: &Store, scratch: &Scratch) -> Result<Remembered, ReadError> {
    let path = store.blob_path(&tarball.descriptor.digest);
    let file = File::open(path.as_path())
        .map_err(|source| ReadError::Host(HostError::new("read the package's tarball", &path, source)))?;
    let limits = TarballLimits::default();
    let mut archive = SmallArchive::default();
    let package = PackageTarball::read(BufReader::with_capacity(STEP, file), &mut archive, &limits)
        .map_err(ReadError::Tarball)?;
    scratch.keep(tarball.descriptor.digest, &archive).map_err(ReadError::Keep)?;
    let PackageTarball { files, package_json, commands, archive_bytes } = package;
    let remembered = Remembered {
        digest: tarball.descriptor.digest,
        size: tarball.descriptor.size,
        is_verified: tarball.is_verified,
        archive_bytes,
        package_json,
        commands,
        outline: Outline::of(&files),
    };
    let bytes = postcard::to_allocvec(&remembered).and_then(|bytes| postcard::to_extend(&files, bytes));
    let bytes = bytes.map_err(|error| ReadError::Tarball(TarballError::Keep(io::Error::other(error))))?;
    store.put_fact(&fact(name), &bytes).map_err(ReadError::Store)?;
    Ok(remembered)
}

/// The number changes when the shape of what is remembered does, or what reading makes of a tarball.
fn fact(name: &str) -> String {
    format!("package-3-{name}")
}
