//! The tarballs of a lockfile: fetched where the store lacks them, read once, remembered.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader};
use std::sync::{Arc, mpsc};

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use tokio::task::block_in_place;

use super::LockedError;
use crate::build::{BuildError, Context};
use crate::config::Settings;
use crate::digest::Digest;
use crate::host::HostError;
use crate::layer::{
    Content, Entry, FileTree, Kind, LayerPlan, Owner, PackError, PackageArchive, PackageFile, PackageTarball, Scratch,
    SmallArchive, TarballError, TarballLimits,
};
use crate::manifest::Descriptor;
use crate::npm_registry::{Mirror, NpmClient, NpmClientOptions, NpmSettings, TARBALL_MEDIA_TYPE, Tarball};
use crate::path::ImagePath;
use crate::store::{Store, StoreError};
use crate::workspace::lockfiles::LockedPackage;
use crate::workspace::{PackageJson, PackageManager, Workspace};

/// How much of a tarball is read at a time.
const STEP: usize = 256 << 10;

/// The client of the registries, and what contents are read from.
pub(super) struct Tarballs {
    client: NpmClient,
    scratch: Arc<Scratch>,
}

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
    descriptor: Descriptor,
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

impl Tarballs {
    pub fn new(
        workspace: &Workspace,
        manager: PackageManager,
        settings: &Settings,
        context: &Context,
    ) -> Result<Self, BuildError> {
        let npm = &context.npm;
        let registries = NpmSettings::read(manager, &workspace.root, npm.home.as_ref(), &npm.variables)?;
        for warning in registries.warnings() {
            context.progress.warn(warning);
        }
        let mirror = match (&npm.mirror, &settings.npm_mirror) {
            (Some(typed), _) => Some(typed.clone()),
            (None, Some(configured)) => Some(Mirror::parse(configured, &workspace.root)?),
            (None, None) => None,
        };
        let client = NpmClient::new(NpmClientOptions {
            settings: registries,
            mirror,
            offline: npm.offline,
            project: Some(workspace.root.clone()),
            ..NpmClientOptions::default()
        })?;
        Ok(Self { client, scratch: Scratch::new(&context.store.scratch_dir()) })
    }

    /// The tarballs of these packages, in their order.
    pub async fn read_all(
        &self,
        packages: &[&LockedPackage],
        context: &Context,
    ) -> Result<Vec<Arc<ReadTarball>>, BuildError> {
        let names = packages.iter().map(|package| self.client.name(package)).collect::<Result<Vec<_>, _>>()?;
        // Instances that differ in their peers only have one tarball.
        let mut distinct: BTreeMap<&str, &LockedPackage> = BTreeMap::new();
        distinct.extend(names.iter().map(String::as_str).zip(packages.iter().copied()));
        let mut known: BTreeMap<&str, Remembered> = block_in_place(|| {
            let recalled = distinct.par_iter().map(|(name, _)| Ok(recall(name, &context.store)?.map(|it| (*name, it))));
            Ok::<_, StoreError>(recalled.collect::<Result<Vec<_>, StoreError>>()?.into_iter().flatten().collect())
        })?;
        let missing: Vec<(&str, &LockedPackage)> =
            distinct.iter().filter(|(name, _)| !known.contains_key(**name)).map(|(name, it)| (*name, *it)).collect();
        known.extend(self.fetch_and_read(&missing, context).await?);
        let mut read: BTreeMap<&str, Arc<ReadTarball>> = BTreeMap::new();
        for (name, remembered) in known {
            if let Some(package) = distinct.get(name) {
                read.insert(name, Arc::new(self.read_tarball(name, package, remembered, &context.store)));
            }
        }
        Ok(names.iter().filter_map(|name| read.get(name.as_str()).cloned()).collect())
    }

    fn read_tarball(&self, name: &str, package: &LockedPackage, remembered: Remembered, store: &Store) -> ReadTarball {
        let Remembered { digest, size, is_verified, archive_bytes, package_json, commands, outline } = remembered;
        let nameless = || PackageJson {
            name: Some(package.name.clone()),
            version: package.version.clone(),
            ..PackageJson::default()
        };
        let archive = PackageArchive::new(store.blob_path(&digest), digest, archive_bytes, &self.scratch);
        ReadTarball {
            package_json: Arc::new(package_json.unwrap_or_else(nameless)),
            commands,
            outline,
            archive: Arc::new(archive),
            files: Files::Remembered(store.clone(), name.to_owned()),
            descriptor: Descriptor::new(TARBALL_MEDIA_TYPE, digest, size),
            is_verified,
        }
    }

    /// Fetches what is not remembered, and reads each tarball as soon as it is there.
    async fn fetch_and_read<'a>(
        &self,
        missing: &[(&'a str, &LockedPackage)],
        context: &Context,
    ) -> Result<BTreeMap<&'a str, Remembered>, BuildError> {
        let (sender, receiver) = mpsc::channel();
        let store = &context.store;
        let arrived = |at: usize, tarball: &Tarball| {
            let (sender, store, scratch) = (sender.clone(), store.clone(), self.scratch.clone());
            let tarball = tarball.clone();
            let name = missing[at].0.to_owned();
            // Who waits for it may have ended.
            rayon::spawn(move || _ = sender.send((at, read(&name, &tarball, &store, &scratch))));
        };
        let packages = missing.iter().map(|(_, package)| *package);
        let fetched = self.client.fetch_all(packages, store, &*context.progress, &context.cancellation, &arrived).await;
        drop(sender);
        let mut found = BTreeMap::new();
        // By position: what is told of several that cannot be read does not depend on which was there first.
        let mut refused = BTreeMap::new();
        for (at, remembered) in block_in_place(|| receiver.iter().collect::<Vec<_>>()) {
            let (name, package) = missing[at];
            match remembered {
                Ok(remembered) => _ = found.insert(name, remembered),
                Err(error) => {
                    self.client.forget(package, store)?;
                    refused.insert(at, error.of(package));
                }
            }
        }
        fetched?;
        refused.into_values().next().map_or(Ok(found), Err)
    }

    /// Has the tarballs in the store that are needed to pack these layers.
    pub async fn ensure<'a>(
        &self,
        layers: impl Iterator<Item = &LayerPlan>,
        tarballs: impl Iterator<Item = (&'a LockedPackage, &'a ReadTarball)>,
        context: &Context,
    ) -> Result<(), BuildError> {
        let entries = layers.flat_map(|layer| &layer.fragments).flat_map(|fragment| fragment.tree.iter());
        let needed: BTreeSet<Digest> = entries
            .filter_map(|(_, entry)| match &entry.kind {
                Kind::File(Content::Archived { archive, .. }) => Some(archive.digest()),
                _ => None,
            })
            .collect();
        self.have(tarballs.filter(|(_, tarball)| needed.contains(&tarball.descriptor.digest)), context).await
    }

    /// Fetches again what is not in the store any more.
    pub async fn have<'a>(
        &self,
        tarballs: impl Iterator<Item = (&'a LockedPackage, &'a ReadTarball)>,
        context: &Context,
    ) -> Result<(), BuildError> {
        let needed: BTreeMap<Digest, (&LockedPackage, &ReadTarball)> =
            tarballs.map(|(package, tarball)| (tarball.descriptor.digest, (package, tarball))).collect();
        let is_lost = |(package, tarball): &(&'a LockedPackage, &ReadTarball)| {
            let found = context.store.intact_blob(&tarball.descriptor)?;
            Ok::<_, StoreError>(found.is_none().then_some((*package, tarball.descriptor.digest)))
        };
        let lost = block_in_place(|| needed.par_iter().map(|(_, each)| is_lost(each)).collect::<Result<Vec<_>, _>>())?;
        let (lost, digests): (Vec<&LockedPackage>, Vec<Digest>) = lost.into_iter().flatten().unzip();
        let fetched =
            self.client.fetch_all(lost, &context.store, &*context.progress, &context.cancellation, &|_, _| ()).await?;
        for (expected, fetched) in digests.into_iter().zip(fetched) {
            let actual = fetched.descriptor.digest;
            if actual != expected {
                return Err(StoreError::Digest { expected, actual }.into());
            }
        }
        Ok(())
    }
}

/// Why a tarball cannot be read.
enum ReadError {
    Store(StoreError),
    Host(HostError),
    Tarball(TarballError),
    Keep(PackError),
}

impl ReadError {
    fn of(self, package: &LockedPackage) -> BuildError {
        match self {
            Self::Store(error) => error.into(),
            Self::Host(error) => PackError::Read(error).into(),
            Self::Keep(error) => error.into(),
            Self::Tarball(source) => LockedError::Tarball { package: package.label(), source }.into(),
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

/// What is remembered of the tarball of this name.
fn recall(name: &str, store: &Store) -> Result<Option<Remembered>, StoreError> {
    let Some(bytes) = store.fact(&fact(name))? else { return Ok(None) };
    Ok(postcard::take_from_bytes(&bytes).ok().map(|(remembered, _)| remembered))
}

/// The number changes when the shape of what is remembered does, or what reading makes of a tarball.
fn fact(name: &str) -> String {
    format!("package-3-{name}")
}
