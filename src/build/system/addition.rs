use std::collections::BTreeSet;

use super::SystemError;
use super::init::StaticInit;
use crate::apk::{ApkError, Dependency};
use crate::build::BuildError;
use crate::config::{Init, Settings, SystemSettings};
use crate::image::{AddedInit, AddedSystem};
use crate::path::HostPath;

/// What is to be added to a base: as the settings of a service say, or as an image remembers it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) struct Addition {
    /// The packages that are asked for.
    pub packages: Vec<Dependency>,
    pub init: Option<InitProgram>,
    /// The packages that do without the scripts of their installation.
    pub without_scripts: BTreeSet<String>,
    /// Where packages come from, in place of the base's own repositories; relative to the settings.
    pub repositories: Option<Vec<String>>,
    /// Files of keys to trust beside the base's own.
    pub keys: Option<Vec<String>>,
}

/// The program of a container's first process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::build) enum InitProgram {
    /// What a package brings.
    Package {
        /// The package.
        name: &'static str,
        /// The program.
        path: &'static str,
    },
    /// One of a single file.
    File(StaticInit),
}

impl InitProgram {
    const TINI: Self = Self::Package { name: "tini", path: "/sbin/tini" };
    const DUMB_INIT: Self = Self::Package { name: "dumb-init", path: "/usr/bin/dumb-init" };

    /// The init that a package of this name brings.
    fn of_package(name: &str) -> Option<Self> {
        let is_known = |init: &Self| matches!(init, Self::Package { name: known, .. } if *known == name);
        [Self::TINI, Self::DUMB_INIT].into_iter().find(is_known)
    }
}

impl Addition {
    /// What the settings add for a service; `None` if that is nothing. The files that they name lie in `dir`.
    pub fn configured(service: &str, settings: &Settings, dir: &HostPath) -> Result<Option<Self>, BuildError> {
        let own = settings.of_service(service);
        let SystemSettings { packages, repositories, keys } = own.system;
        let packages = packages.unwrap_or_default();
        let init = match own.init {
            None if packages.is_empty() => return Ok(None),
            None => None,
            Some(Init::Tini) => Some(InitProgram::TINI),
            Some(Init::DumbInit) => Some(InitProgram::DUMB_INIT),
            Some(Init::File { file, sha256 }) => Some(InitProgram::File(StaticInit::read(&file, &sha256, dir)?)),
        };
        let without_scripts = settings.apk_without_scripts.clone();
        Ok(Some(Self { packages, init, without_scripts, repositories, keys }))
    }

    /// What an image says was added for it; where packages come from and who vouches for them, the settings say. `program`
    /// is its init, if that is a file.
    pub fn remembered(
        added: &AddedSystem,
        program: Option<StaticInit>,
        service: &str,
        settings: &Settings,
    ) -> Result<Self, SystemError> {
        let SystemSettings { repositories, keys, .. } = settings.of_service(service).system;
        let packages = added.packages.iter().map(|text| text.parse()).collect::<Result<_, ApkError>>()?;
        let init = match &added.init {
            None => None,
            Some(AddedInit::Package(name)) => {
                Some(InitProgram::of_package(name).ok_or_else(|| SystemError::UnknownInit(name.clone()))?)
            }
            Some(AddedInit::File { .. }) => program.map(InitProgram::File),
        };
        let without_scripts = added.without_scripts.union(&settings.apk_without_scripts).cloned().collect();
        Ok(Self { packages, init, without_scripts, repositories, keys })
    }

    /// The packages to be resolved: those that are asked for, and the init's.
    pub fn wanted(&self) -> Vec<Dependency> {
        let mut wanted = self.packages.clone();
        if let Some(InitProgram::Package { name, .. }) = &self.init
            && !wanted.iter().any(|package| package.name == *name && !package.is_conflict)
        {
            wanted.push(Dependency { name: (*name).to_owned(), is_conflict: false, tag: None, versions: None });
        }
        wanted
    }
}
