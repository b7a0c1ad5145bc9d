//! `pirogue.toml` at the workspace's root: what the user decides, globally and per service. Everything in it is optional.

mod document;
mod schema;

use std::collections::BTreeMap;
use std::str::FromStr;

pub(crate) use document::{Source, Table};

use crate::host::{self, HostError};
use crate::image::{HealthCheck, ImageUser};
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
    /// The platform that images are for.
    pub platform: Option<String>,
    /// The directory that stands for the workspace's root in images.
    pub root: Option<String>,
    /// How layers are compressed.
    pub compression: Option<Compression>,
    /// How many layers an image may have above its base.
    pub layers: Option<usize>,
    /// Whether identical files of a package's copies become hard links.
    pub hard_links: Option<bool>,
    /// Where packages come from.
    pub packages: Option<PackagesFrom>,
    /// What is asked for tarballs instead of the npm registries: an address, or a directory relative to the workspace.
    pub npm_mirror: Option<String>,
    /// What holds for single packages, by their names.
    pub package: BTreeMap<String, PackageSettings>,
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

/// The settings of a package, where packages come from the lockfile.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PackageSettings {
    /// Whether it is taken as it is installed all the same.
    pub from_installed: bool,
    /// Whether it works without the script that its installation would run.
    pub skips_install_script: bool,
}

/// The settings of a service.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceSettings {
    /// The base image.
    pub base: Option<String>,
    /// The user.
    pub user: Option<ImageUser>,
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
    /// Whether what the workspace's root depends on comes along.
    pub root_dependencies: Option<bool>,
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

/// A health check as the file gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Health {
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

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML.
    #[error("{message}: `{place}`")]
    Syntax {
        /// FILE:LINE:COLUMN
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A key that means nothing.
    #[error("there is no setting `{key}`: `{place}`")]
    UnknownKey {
        /// FILE:LINE:COLUMN
        place: String,
        /// The key.
        key: String,
        /// The right key that looks most like it, or all there are.
        hint: String,
    },
    /// A value of another type.
    #[error("`{key}` has to be {expected}, not {found}: `{place}`")]
    WrongType {
        /// FILE:LINE:COLUMN
        place: String,
        /// The key.
        key: String,
        /// Such as `a text`.
        expected: &'static str,
        /// Such as `an integer`.
        found: &'static str,
    },
    /// A value of the right type that cannot be right.
    #[error("`{key}` {problem}: `{place}`")]
    Value {
        /// FILE:LINE:COLUMN
        place: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A service that the workspace does not have.
    #[error("there is no service `{name}` to configure: `{place}`")]
    UnknownService {
        /// FILE:LINE:COLUMN
        place: String,
        /// The name.
        name: String,
        /// The services there are.
        known: Vec<String>,
    },
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl ConfigError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { hint, .. } => Some(hint.clone()),
            Self::UnknownService { name, known, .. } => Some(nearest(name, known.iter().map(String::as_str))),
            _ => None,
        }
    }
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
            user: self.user.or(all.user),
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
            root_dependencies: self.root_dependencies.or(all.root_dependencies),
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
