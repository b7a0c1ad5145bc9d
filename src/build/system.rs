//! The step that adds to bases: packages of Alpine, and an init.

mod error;
mod init;

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::task::block_in_place;

pub use error::{StaticProgramError, SystemError};

use super::base::{BaseLock, ResolvedBase, base_name};
use super::closures::Closures;
use super::plan::node_in;
use super::platforms::{Platforms, TargetPlatform};
use super::{BuildError, Context};
use crate::apk::{
    AddedPackage, ApkError, BaseRecords, ChosenPackage, Dependency, PinnedPackage, PublicKey, Repository,
    RepositoryLine, SystemLayer, resolve,
};
use crate::apk_repository::{ApkClient, ApkClientOptions, FetchedPackage, RepositoryPlace};
use crate::config::{Init, Settings, SystemSettings};
use crate::host;
use crate::layer::{Content, FileTree, PackageArchive, Scratch};
use crate::path::{HostPath, ImagePath};
use crate::platform::Platform;

/// What is added to the bases of services.
#[derive(Default)]
pub(super) struct Systems(BTreeMap<String, Arc<ServiceSystem>>);

/// What is added to the base of a service.
#[derive(Debug, Default)]
pub(super) struct ServiceSystem {
    /// The entries of the layer.
    pub tree: FileTree,
    /// The packages, each behind what it needs.
    pub packages: Vec<PinnedPackage>,
    /// The words that start the init; none without one.
    init: Vec<String>,
}

impl Systems {
    /// What is added for a service.
    pub fn of_service(&self, name: &str) -> Arc<ServiceSystem> {
        self.0.get(name).cloned().unwrap_or_default()
    }

    /// Whether anything is added for anyone.
    pub fn are_any(&self) -> bool {
        self.0.values().any(|system| !system.tree.is_empty())
    }
}

impl ServiceSystem {
    /// What it is, for people: the packages with their versions, else the program that is the init.
    pub fn described(&self) -> Vec<String> {
        let packages = self.packages.iter().map(|package| format!("{}-{}", package.name, package.version));
        let program = self.init.first().filter(|_| self.packages.is_empty()).cloned();
        packages.chain(program).collect()
    }

    /// What the command is handed to: the init and what the service has configured. A base's own entrypoint gives way to
    /// an init, unless it is what starts node. `None` keeps the base's.
    pub fn entrypoint(&self, configured: Option<&[String]>, of_base: &[String]) -> Option<Vec<String>> {
        if self.init.is_empty() {
            return configured.map(<[String]>::to_vec);
        }
        let behind = configured.unwrap_or(if node_in(of_base).is_some() { of_base } else { &[] });
        Some([&self.init, behind].concat())
    }
}

/// What a service wants added to which base. Services that want the same share it.
#[derive(Clone, PartialEq, Eq)]
struct Wanted {
    base: String,
    settings: SystemSettings,
    init: Option<Init>,
}

/// Finds out what is added to the bases of services for one platform, and has it in the store. Of a package that the lock
/// names for a base only that very one is taken.
pub(super) async fn provide(
    closures: &Closures,
    target: TargetPlatform<'_>,
    lock: &BaseLock,
    context: &Context,
) -> Result<Systems, BuildError> {
    let Platforms { settings, request, bases: Some(bases), .. } = target.platforms else {
        return Ok(Systems::default());
    };
    let mut by_service = BTreeMap::new();
    let mut provided: Vec<(Wanted, Arc<ServiceSystem>)> = Vec::new();
    for needs in &closures.services {
        let name = &needs.service.name;
        let own = settings.of_service(name);
        let wanted = Wanted { base: base_name(name, settings, request), settings: own.system, init: own.init };
        let is_empty = wanted.settings.packages.as_ref().is_none_or(Vec::is_empty) && wanted.init.is_none();
        let Some(base) = bases.get(&wanted.base, target.platform).filter(|_| !is_empty) else { continue };
        let known = provided.iter().find(|(known, _)| *known == wanted).map(|(_, system)| system.clone());
        let system = match known {
            Some(system) => system,
            None => {
                let pins = lock.packages(&wanted.base, target.platform)?;
                let adding = Adding { wanted: &wanted, base, settings, dir: &request.dir, pins: &pins, context };
                let system = Arc::new(adding.system().await?);
                provided.push((wanted, system.clone()));
                system
            }
        };
        by_service.insert(name.clone(), system);
    }
    Ok(Systems(by_service))
}

/// Adding to one base.
struct Adding<'a> {
    wanted: &'a Wanted,
    base: &'a ResolvedBase,
    settings: &'a Settings,
    /// The workspace.
    dir: &'a HostPath,
    pins: &'a [PinnedPackage],
    context: &'a Context,
}

impl Adding<'_> {
    async fn system(&self) -> Result<ServiceSystem, BuildError> {
        let mut packages = self.wanted.settings.packages.clone().unwrap_or_default();
        let mut system = ServiceSystem::default();
        let init = match &self.wanted.init {
            None => None,
            Some(Init::File { file, sha256 }) => {
                let init = init::of_file(file, sha256, self.dir, &self.base.image.platform, &self.base.files)?;
                let (path, entry) = init.entry;
                system.tree.insert(path, entry)?;
                system.init = init.words;
                None
            }
            Some(named) => init::of_package(named),
        };
        if let Some((dependency, path)) = &init {
            let is_named = |package: &Dependency| package.name == dependency.name && !package.is_conflict;
            if !packages.iter().any(is_named) {
                packages.push(dependency.clone());
            }
            system.init = vec![(*path).to_owned(), "--".to_owned()];
        }
        if packages.is_empty() {
            return Ok(system);
        }
        let (layer, chosen) = self.packages(&packages).await?;
        if let Some((dependency, path)) = init {
            let path = ImagePath::new(path)?;
            if layer.tree.get(&path).is_none() && self.base.files.get(&self.base.files.real_path(&path)).is_none() {
                return Err(SystemError::NoProgram { package: dependency.name, path }.into());
            }
        }
        system.tree.extend(layer.tree)?;
        system.packages = chosen.iter().map(ChosenPackage::pinned).collect();
        Ok(system)
    }

    /// The layer with these packages and what they need.
    async fn packages(&self, wanted: &[Dependency]) -> Result<(SystemLayer, Vec<ChosenPackage>), BuildError> {
        let (context, files) = (self.context, &self.base.files);
        let Some(records) = BaseRecords::read(files).map_err(SystemError::from)? else {
            let (base, wants_init) = (self.wanted.base.clone(), self.wanted.init.is_some());
            let packages = self.wanted.settings.packages.iter().flatten().map(ToString::to_string).collect();
            return Err(SystemError::NotAlpine { base, packages, wants_init }.into());
        };
        context.progress.step("resolving Alpine packages");
        let keys = self.keys(&records)?;
        let arch = records.arch.clone().or_else(|| arch_of(&self.base.image.platform)).unwrap_or_default();
        let (lines, places) = self.repositories(&records)?;
        let options = ApkClientOptions { offline: context.npm.offline, ..ApkClientOptions::default() };
        let client = ApkClient::new(options).map_err(SystemError::from)?;
        let (store, cancellation) = (&context.store, &context.cancellation);
        let indexes = places.iter().map(|place| client.index(place, &arch, &keys, store, cancellation));
        let indexes = try_join_all(indexes).await.map_err(SystemError::from)?;
        let repositories: Vec<Repository> = lines
            .into_iter()
            .zip(indexes)
            .map(|(line, mut packages)| {
                packages.retain(|package| package.arch == arch || package.arch == "noarch");
                Repository { tag: line.tag, packages }
            })
            .collect();
        let installed: Vec<_> = records.installed.packages.iter().map(|installed| &installed.package).collect();
        let chosen = block_in_place(|| resolve(wanted, &installed, &repositories, self.pins));
        let chosen = chosen.map_err(SystemError::from)?;
        let fetched = client.packages(&chosen, &places, &arch, &keys, store, cancellation).await;
        let fetched = fetched.map_err(SystemError::from)?;
        self.refuse_scripts(&chosen, &fetched)?;
        let layer = self.layer(&records, wanted, &chosen, &fetched)?;
        self.tell(&layer);
        Ok((layer, chosen))
    }

    fn keys(&self, records: &BaseRecords) -> Result<Vec<PublicKey>, BuildError> {
        let mut keys = records.keys.clone();
        for file in self.wanted.settings.keys.iter().flatten() {
            let path = self.dir.join(file);
            let text = String::from_utf8_lossy(&host::read(&path)?).into_owned();
            let name = path.as_path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            keys.push(PublicKey::parse(&name, &text).map_err(SystemError::from)?);
        }
        Ok(keys)
    }

    /// The repositories that are configured, else those of the base.
    fn repositories(&self, records: &BaseRecords) -> Result<(Vec<RepositoryLine>, Vec<RepositoryPlace>), SystemError> {
        let lines = match &self.wanted.settings.repositories {
            Some(configured) => RepositoryLine::parse_list(&configured.join("\n"))?,
            // A folder that the base names would be one of the image.
            None => match records.repositories.iter().find(|line| !line.place.contains("://")) {
                Some(line) => return Err(ApkError::Repository(line.place.clone()).into()),
                None => records.repositories.clone(),
            },
        };
        let places = lines.iter().map(|line| RepositoryPlace::parse(&line.place, self.dir));
        let places = places.collect::<Result<_, _>>()?;
        Ok((lines, places))
    }

    /// Nothing is run here, so a package has to do without.
    fn refuse_scripts(&self, chosen: &[ChosenPackage], fetched: &[FetchedPackage]) -> Result<(), SystemError> {
        for (chosen, fetched) in chosen.iter().zip(fetched) {
            let package = &chosen.package.name;
            let scripts: Vec<String> = fetched.file.install_scripts().map(str::to_owned).collect();
            if !scripts.is_empty() && !self.settings.apk_without_scripts.contains(package) {
                return Err(ApkError::InstallScript { package: package.clone(), scripts }.into());
            }
        }
        Ok(())
    }

    fn layer(
        &self,
        records: &BaseRecords,
        wanted: &[Dependency],
        chosen: &[ChosenPackage],
        fetched: &[FetchedPackage],
    ) -> Result<SystemLayer, SystemError> {
        let store = &self.context.store;
        let scratch = Scratch::new(&store.scratch_dir());
        let archives = fetched.iter().map(|FetchedPackage { digest, file, .. }| {
            Arc::new(PackageArchive::new(store.blob_path(digest), *digest, file.archive_bytes, &scratch))
        });
        let contents: Vec<_> = archives
            .map(|archive| {
                move |offset, size, digest| Content::Archived { archive: archive.clone(), offset, size, digest }
            })
            .collect();
        let added: Vec<AddedPackage<'_>> = chosen
            .iter()
            .zip(fetched)
            .zip(&contents)
            .map(|((chosen, FetchedPackage { file, .. }), content)| AddedPackage { chosen, file, content })
            .collect();
        Ok(SystemLayer::new(&self.base.files, records, wanted, &added)?)
    }

    /// Tells what a reader of the Dockerfile that this replaces would want to know.
    fn tell(&self, layer: &SystemLayer) {
        let progress = &self.context.progress;
        for (package, directory) in &layer.triggers {
            progress.warn(&format!(
                "the trigger of the base's package `{package}` would run for a changed directory, and pirogue runs none: `{directory}`"
            ));
        }
    }
}

/// The processor of a platform, as Alpine calls it.
fn arch_of(platform: &Platform) -> Option<String> {
    let arch = match (platform.architecture.as_str(), platform.variant.as_deref()) {
        ("amd64", _) => "x86_64",
        ("arm64", _) => "aarch64",
        ("386", _) => "x86",
        ("arm", Some("v6")) => "armhf",
        ("arm", _) => "armv7",
        ("loong64", _) => "loongarch64",
        (same @ ("ppc64le" | "s390x" | "riscv64"), _) => same,
        _ => return None,
    };
    Some(arch.to_owned())
}
