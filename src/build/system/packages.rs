//! Packages of Alpine upon a base: chosen, fetched and laid into a layer.

use std::collections::BTreeSet;
use std::sync::Arc;

use futures_util::future::try_join_all;
use tokio::task::block_in_place;

use super::{Adding, InitProgram, SystemError};
use crate::apk::{
    AddedPackage, ApkError, BaseRecords, ChosenPackage, Dependency, PublicKey, Repository, RepositoryLine, SystemLayer,
    resolve,
};
use crate::apk_repository::{ApkClient, ApkClientOptions, FetchedPackage, RepositoryPlace};
use crate::build::BuildError;
use crate::host;
use crate::layer::{Content, PackageArchive, Scratch};
use crate::platform::Platform;

/// The packages that come along, and all that it takes to have them.
pub(super) struct Choice {
    pub chosen: Vec<ChosenPackage>,
    records: BaseRecords,
    client: ApkClient,
    /// Those of the repositories, by their positions.
    places: Vec<RepositoryPlace>,
    /// The processor, as Alpine calls it.
    arch: String,
    keys: Vec<PublicKey>,
}

impl Adding<'_> {
    /// Chooses the packages for `wanted`: what indexes say is enough for it.
    pub(super) async fn choose(&self, wanted: &[Dependency]) -> Result<Choice, BuildError> {
        let (context, files) = (self.context, &self.base.files);
        let Some(records) = BaseRecords::read(files).map_err(SystemError::from)? else {
            let packages = self.addition.packages.iter().map(ToString::to_string).collect();
            let wants_init = matches!(self.addition.init, Some(InitProgram::Package { .. }));
            return Err(SystemError::NotAlpine { base: self.base.image.name.clone(), packages, wants_init }.into());
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
        Ok(Choice { chosen, records, client, places, arch, keys })
    }

    /// The chosen packages, in the store.
    pub(super) async fn fetch(&self, choice: &Choice) -> Result<Vec<FetchedPackage>, SystemError> {
        let Choice { chosen, client, places, arch, keys, .. } = choice;
        Ok(client.packages(chosen, places, arch, keys, &self.context.store, &self.context.cancellation).await?)
    }

    fn keys(&self, records: &BaseRecords) -> Result<Vec<PublicKey>, BuildError> {
        let mut keys = records.keys.clone();
        for file in self.addition.keys.iter().flatten() {
            let path = self.dir.join(file);
            let text = String::from_utf8_lossy(&host::read(&path)?).into_owned();
            let name = path.as_path().file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            keys.push(PublicKey::parse(&name, &text).map_err(SystemError::from)?);
        }
        Ok(keys)
    }

    /// The repositories that are configured, else those of the base.
    fn repositories(&self, records: &BaseRecords) -> Result<(Vec<RepositoryLine>, Vec<RepositoryPlace>), SystemError> {
        let lines = match &self.addition.repositories {
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

    /// Nothing is run here, so a package has to do without. Gives those that somebody says do.
    pub(super) fn refuse_scripts(
        &self,
        chosen: &[ChosenPackage],
        fetched: &[FetchedPackage],
    ) -> Result<BTreeSet<String>, SystemError> {
        let mut without_scripts = BTreeSet::new();
        for (chosen, fetched) in chosen.iter().zip(fetched) {
            let package = &chosen.package.name;
            let scripts: Vec<String> = fetched.file.install_scripts().map(str::to_owned).collect();
            if scripts.is_empty() {
                continue;
            }
            if !self.addition.without_scripts.contains(package) {
                return Err(ApkError::InstallScript { package: package.clone(), scripts }.into());
            }
            without_scripts.insert(package.clone());
        }
        Ok(without_scripts)
    }

    /// The layer with the chosen packages. Tells what a reader of the Dockerfile that it replaces would want to know.
    pub(super) fn layer(
        &self,
        choice: &Choice,
        wanted: &[Dependency],
        fetched: &[FetchedPackage],
    ) -> Result<SystemLayer, SystemError> {
        let Choice { chosen, records, .. } = choice;
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
        let layer = SystemLayer::new(&self.base.files, records, wanted, &added)?;
        self.tell(&layer);
        Ok(layer)
    }

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
