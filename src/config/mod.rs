//! `pirogue.toml` at the workspace's root: what the user decides, globally and per service. Everything in it is optional.

mod document;
mod error;
mod schema;

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

pub(crate) use document::{Source, Table};
pub use error::ConfigError;

use crate::apk::Dependency;
use crate::digest::Digest;
use crate::host;
use crate::image::{HealthCheck, ImageUser, TimeZone};
use crate::manifest::Format;
use crate::manifest::media_type::Compression;
use crate::path::HostPath;

/// The file's name.
pub const FILE_NAME: &str = "pirogue.toml";

/// The settings of a whole workspace.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Settings {
    /// Which members are services, by name, package name or directory; `None` finds them.
    pub services: Option<Vec<String>>,
    /// Where images go when the command line does not say.
    pub destinations: Vec<String>,
    /// The platforms that images are for; none where the file does not say.
    pub platforms: Vec<String>,
    /// The directory that stands for the workspace's root in images.
    pub root: Option<String>,
    /// How layers are compressed.
    pub compression: Option<Compression>,
    /// The format of the images' documents.
    pub format: Option<Format>,
    /// How many layers an image may have above its base.
    pub layers: Option<usize>,
    /// Whether identical files of a package's copies become hard links.
    pub hard_links: Option<bool>,
    /// Where packages come from.
    pub packages: Option<PackagesFrom>,
    /// What is asked for tarballs instead of the npm registries: an address, or a directory relative to the workspace.
    pub npm_mirror: Option<String>,
    /// What comes of packages that ask for another Node; `None` as the package manager has it.
    pub engines: Option<Engines>,
    /// What holds for single packages, by their names.
    pub package: BTreeMap<String, PackageSettings>,
    /// The Alpine packages that work without the scripts that their installation would run.
    pub apk_without_scripts: BTreeSet<String>,
    /// What holds for every service.
    pub all: ServiceSettings,
    /// What holds for one service, by its name, with the place in the file for errors.
    pub each: BTreeMap<String, (String, ServiceSettings)>,
}

/// Where the packages of images come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PackagesFrom {
    /// The `node_modules` of the workspace.
    Installed,
    /// The lockfile and the tarballs it names, with nothing installed.
    Lockfile,
}

/// What comes of `engines` that ask for another Node than the base has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Engines {
    /// An error.
    Error,
    /// A warning.
    Warn,
    /// Nothing.
    Ignore,
}

/// A text that names no place where packages come from.
#[derive(Debug, thiserror::Error)]
#[error("is neither `installed` nor `lockfile`: `{0}`")]
pub struct UnknownPackages(String);

impl FromStr for PackagesFrom {
    type Err = UnknownPackages;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "installed" => Ok(Self::Installed),
            "lockfile" => Ok(Self::Lockfile),
            other => Err(UnknownPackages(other.to_owned())),
        }
    }
}

/// What becomes of what the checks find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CheckLevel {
    /// Nothing is looked at.
    Off,
    /// Errors are told as warnings.
    Warn,
    /// Errors end a build.
    Error,
}

/// A text that says nothing about checks.
#[derive(Debug, thiserror::Error)]
#[error("is neither `error`, `warn` nor `off`: `{0}`")]
pub struct UnknownCheckLevel(String);

impl FromStr for CheckLevel {
    type Err = UnknownCheckLevel;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "off" => Ok(Self::Off),
            "warn" => Ok(Self::Warn),
            "error" => Ok(Self::Error),
            other => Err(UnknownCheckLevel(other.to_owned())),
        }
    }
}

/// The settings of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSettings {
    /// Whether it is taken as it is installed, where packages come from the lockfile.
    pub from_installed: bool,
    /// Whether it works without the script that its installation would run.
    pub skips_install_script: bool,
    /// Whether its native code is neither looked at nor left out.
    pub keeps_native: bool,
}

/// The settings of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSettings {
    /// The base image.
    pub base: Option<String>,
    /// What is added to the base.
    pub system: SystemSettings,
    /// The program that starts the service, hands signals on to it and reaps what is left of its children.
    pub init: Option<Init>,
    /// The user.
    pub user: Option<ImageUser>,
    /// Files of the workspace with certificates of CAs that it trusts besides those of the base.
    pub ca: Option<Vec<String>>,
    /// Its time zone.
    pub time_zone: Option<TimeZone>,
    /// The port it listens on: `PORT` in its environment, and exposed.
    pub port: Option<u16>,
    /// Environment variables.
    pub env: BTreeMap<String, String>,
    /// The file it starts with, relative to the member.
    pub entry_point: Option<String>,
    /// The command.
    pub command: Option<Vec<String>>,
    /// The entrypoint, such as an init.
    pub entrypoint: Option<Vec<String>>,
    /// The working directory.
    pub workdir: Option<String>,
    /// Ports besides `port`, such as `9000/udp`.
    pub expose: Option<Vec<String>>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// The health check.
    pub health: Option<Health>,
    /// Files from anywhere in the workspace to anywhere in the image.
    pub files: Option<Vec<ExtraFile>>,
    /// Files of the member that are shipped besides the build output; patterns in gitignore's syntax.
    pub include: Option<Vec<String>>,
    /// Files that are left out; patterns in gitignore's syntax, for the member's files and for packages.
    pub exclude: Option<Vec<String>>,
    /// Whether native code for other platforms stays where a variant for this one is there.
    pub keeps_foreign_variants: Option<bool>,
    /// Whether what the workspace's root depends on comes along.
    pub root_dependencies: Option<bool>,
    /// Whether packages come without types, source maps, documentation and tests.
    pub slim: Option<bool>,
    /// Whether packages come with those files alone that the services can reach.
    pub trace: Option<bool>,
    /// Patterns of files of packages that stay then, whatever code says.
    pub keep: Option<Vec<String>>,
    /// Directories that the service may write, relative to the working directory or absolute.
    pub writable: Option<Vec<String>>,
    /// What becomes of what the checks find.
    pub check: Option<CheckLevel>,
    /// What of it is accepted.
    pub allow: Vec<Allowed>,
    /// The repository under a registry destination; the service's name otherwise.
    pub repository: Option<String>,
    /// The tags.
    pub tags: Option<Vec<String>>,
}

/// What is added to a base of Alpine, and where it comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemSettings {
    /// The packages.
    pub packages: Option<Vec<Dependency>>,
    /// The repositories, in place of the base's own: addresses, or folders relative to the workspace, with or without a
    /// tag before them.
    pub repositories: Option<Vec<String>>,
    /// Files of keys to trust next to the base's own, relative to the workspace.
    pub keys: Option<Vec<String>>,
}

impl SystemSettings {
    fn over(self, all: Self) -> Self {
        Self {
            packages: self.packages.or(all.packages),
            repositories: self.repositories.or(all.repositories),
            keys: self.keys.or(all.keys),
        }
    }
}

/// A program for the first process of a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Init {
    /// `tini`, of the Alpine package of that name.
    Tini,
    /// `dumb-init`, of the Alpine package of that name.
    DumbInit,
    /// A program of one file that needs no library, relative to the workspace.
    File {
        /// The file.
        file: String,
        /// What its bytes are.
        sha256: Digest,
    },
}

/// A health check as the file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
    /// None, whatever the base has.
    Off,
    /// A path that answers over HTTP, on the service's port; the times of the check.
    Http(String, HealthCheck),
    /// A command.
    Command(HealthCheck),
}

/// A finding of the checks that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowed {
    /// The file: relative to the workspace's root, or absolute in the image.
    pub path: String,
    /// The name of the finding, such as `secret-in-file`.
    pub code: String,
    /// Why it is accepted.
    pub reason: String,
    /// FILE:LINE:COLUMN
    pub place: String,
}

/// A file or directory to be put into the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtraFile {
    /// Relative to the workspace's root.
    pub from: String,
    /// In the image, absolute or relative to the working directory.
    pub to: String,
}

impl Settings {
    /// Reads `pirogue.toml` in the workspace's root; the defaults where there is none.
    pub fn read(root: &HostPath) -> Result<Self, ConfigError> {
        let Some(bytes) = host::read_if_present(&root.join(FILE_NAME))? else { return Ok(Self::default()) };
        Self::parse(&String::from_utf8_lossy(&bytes))
    }

    /// Reads the text of a `pirogue.toml`.
    pub fn parse(text: &str) -> Result<Self, ConfigError> {
        schema::settings(text)
    }

    /// The settings of one service: what is said for it, over what is said for all. Maps are merged, lists replaced.
    pub fn of_service(&self, name: &str) -> ServiceSettings {
        match self.each.get(name) {
            Some((_, own)) => own.clone().over(&self.all),
            None => self.all.clone(),
        }
    }

    /// Whether anything is added to the base of any service.
    pub fn add_to_bases(&self) -> bool {
        let adds = |own: &ServiceSettings| {
            own.init.is_some() || own.system.packages.as_ref().is_some_and(|packages| !packages.is_empty())
        };
        adds(&self.all) || self.each.values().any(|(_, own)| adds(own))
    }

    /// An error if a service is configured that is not among `known`.
    pub fn refuse_unknown_services(&self, known: &[String]) -> Result<(), ConfigError> {
        match self.each.iter().find(|(name, _)| !known.contains(name)) {
            Some((name, (place, _))) => {
                Err(ConfigError::UnknownService { place: place.clone(), name: name.clone(), known: known.to_vec() })
            }
            None => Ok(()),
        }
    }
}

impl ServiceSettings {
    fn over(self, all: &Self) -> Self {
        let all = all.clone();
        let merged = |mut under: BTreeMap<String, String>, over| {
            under.extend(over);
            under
        };
        Self {
            base: self.base.or(all.base),
            system: self.system.over(all.system),
            init: self.init.or(all.init),
            user: self.user.or(all.user),
            ca: self.ca.or(all.ca),
            time_zone: self.time_zone.or(all.time_zone),
            port: self.port.or(all.port),
            env: merged(all.env, self.env),
            entry_point: self.entry_point.or(all.entry_point),
            command: self.command.or(all.command),
            entrypoint: self.entrypoint.or(all.entrypoint),
            workdir: self.workdir.or(all.workdir),
            expose: self.expose.or(all.expose),
            labels: merged(all.labels, self.labels),
            health: self.health.or(all.health),
            files: self.files.or(all.files),
            include: self.include.or(all.include),
            exclude: self.exclude.or(all.exclude),
            keeps_foreign_variants: self.keeps_foreign_variants.or(all.keeps_foreign_variants),
            root_dependencies: self.root_dependencies.or(all.root_dependencies),
            slim: self.slim.or(all.slim),
            trace: self.trace.or(all.trace),
            keep: self.keep.or(all.keep),
            writable: self.writable.or(all.writable),
            check: self.check.or(all.check),
            allow: all.allow.into_iter().chain(self.allow).collect(),
            repository: self.repository.or(all.repository),
            tags: self.tags.or(all.tags),
        }
    }
}

/// `did you mean` for the nearest of the known words, or all of them when none is near.
fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str> + Clone) -> String {
    let distance = |candidate: &&str| strsim::damerau_levenshtein(word, candidate);
    match known.clone().min_by_key(distance) {
        Some(best) if distance(&best) <= word.len().max(3) / 2 => format!("did you mean `{best}`?"),
        _ => format!("there are: {}", known.map(|word| format!("`{word}`")).collect::<Vec<_>>().join(", ")),
    }
}
