//! The step that adds to bases: packages of Alpine, and an init.

mod addition;
mod error;
mod init;
mod packages;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use error::{StaticProgramError, SystemError};

pub(super) use addition::Addition;
use addition::InitProgram;
use init::FileInit;
pub(super) use init::StaticInit;

use super::base::{ResolvedBase, base_name};
use super::closures::Closures;
use super::plan::node_in;
use super::platforms::{Platforms, TargetPlatform};
use super::{BuildError, Context};
use crate::apk::{ChosenPackage, PinnedPackage};
use crate::digest::Digest;
use crate::image::{AddedInit, AddedSystem};
use crate::layer::FileTree;
use crate::path::{HostPath, ImagePath};

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
    /// What an image says of it, if it is anything.
    pub added: Option<AddedSystem>,
    /// The words that start the init; none without one.
    init: Vec<String>,
}

impl Systems {
    /// What is added for a service.
    pub fn of_service(&self, name: &str) -> Arc<ServiceSystem> {
        self.0.get(name).cloned().unwrap_or_default()
    }
}

impl ServiceSystem {
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

/// Finds out what is added to the bases of services for one platform, and has it in the store.
pub(super) async fn provide(
    closures: &Closures,
    target: TargetPlatform<'_>,
    context: &Context,
) -> Result<Systems, BuildError> {
    let Platforms { settings, request, bases: Some(bases), .. } = target.platforms else {
        return Ok(Systems::default());
    };
    let mut by_service = BTreeMap::new();
    let mut provided = Provided::default();
    for needs in &closures.services {
        let name = &needs.service.name;
        let Some(base) = bases.get(&base_name(name, settings, request), target.platform) else { continue };
        let Some(addition) = Addition::configured(name, settings, &request.dir)? else { continue };
        by_service.insert(name.clone(), provided.add(addition, base, &request.dir, context).await?);
    }
    Ok(Systems(by_service))
}

/// What was added to bases. Who wants the same of a base shares it.
#[derive(Default)]
pub(super) struct Provided(Vec<(String, Digest, Addition, Arc<ServiceSystem>)>);

impl Provided {
    /// Adds to a base. Of a package that the lock names for it only that very one is taken.
    pub async fn add(
        &mut self,
        addition: Addition,
        base: &ResolvedBase,
        dir: &HostPath,
        context: &Context,
    ) -> Result<Arc<ServiceSystem>, BuildError> {
        let (name, digest) = (base.image.name.clone(), base.image.manifest.digest());
        let is_same =
            |(of, manifest, known, _): &&(_, _, Addition, _)| *of == name && *manifest == digest && *known == addition;
        if let Some((.., system)) = self.0.iter().find(is_same) {
            return Ok(system.clone());
        }
        let pins = base.pinned_packages()?;
        let system = Arc::new(Adding { addition: &addition, base, dir, pins: &pins, context }.system().await?);
        self.0.push((name, digest, addition, system.clone()));
        Ok(system)
    }
}

/// Adding to one base.
pub(super) struct Adding<'a> {
    pub addition: &'a Addition,
    pub base: &'a ResolvedBase,
    /// Where files and folders lie that the settings name.
    pub dir: &'a HostPath,
    /// The packages that the lock has.
    pub pins: &'a [PinnedPackage],
    pub context: &'a Context,
}

impl Adding<'_> {
    /// What is added, with everything in the store that it is made of.
    pub async fn system(&self) -> Result<ServiceSystem, BuildError> {
        let Addition { packages, init, .. } = self.addition;
        let mut system = ServiceSystem::default();
        let mut added =
            AddedSystem { packages: packages.iter().map(ToString::to_string).collect(), ..AddedSystem::default() };
        match init {
            None => {}
            Some(InitProgram::Package { name, path, .. }) => {
                system.init = vec![(*path).to_owned(), "--".to_owned()];
                added.init = Some(AddedInit::Package((*name).to_owned()));
            }
            Some(InitProgram::File(program)) => {
                let FileInit { place, entry, words } = program.laid(&self.base.image.platform, &self.base.files)?;
                added.init = Some(AddedInit::File { place: place.clone(), sha256: program.digest() });
                system.tree.insert(place, entry)?;
                system.init = words;
            }
        }
        let wanted = self.addition.wanted();
        if !wanted.is_empty() {
            let choice = self.choose(&wanted).await?;
            let fetched = self.fetch(&choice).await?;
            added.without_scripts = self.refuse_scripts(&choice.chosen, &fetched)?;
            let layer = self.layer(&choice, &wanted, &fetched)?;
            if let Some(InitProgram::Package { name, path }) = init {
                let path = ImagePath::new(path)?;
                if layer.tree.get(&path).is_none() && self.base.files.get(&self.base.files.real_path(&path)).is_none() {
                    return Err(SystemError::NoProgram { package: (*name).to_owned(), path }.into());
                }
            }
            system.tree.extend(layer.tree)?;
            system.packages = choice.chosen.iter().map(ChosenPackage::pinned).collect();
            added.installed = system.packages.iter().map(PinnedPackage::name_and_version).collect();
        }
        system.added = Some(added);
        Ok(system)
    }

    /// The packages that are added, of which nothing but what indexes say is looked at.
    pub async fn packages(&self) -> Result<Vec<PinnedPackage>, BuildError> {
        let wanted = self.addition.wanted();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        Ok(self.choose(&wanted).await?.chosen.iter().map(ChosenPackage::pinned).collect())
    }
}
