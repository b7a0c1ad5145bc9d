//! The lock in a run: what it pins, and when it is written.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::Permissions;
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::Builder;

use super::{Bases, configured_base};
use crate::apk::{ApkError, PinnedPackage};
use crate::build::{BuildError, BuildPlan, BuildRequest, Context, ImagePlan};
use crate::config::Settings;
use crate::layer::RECIPE;
use crate::lock::{FILE_NAME, Lock, LockError, LockedBase, LockedPackage};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::Reference;
use crate::transfer::Medium;
use crate::workspace::Workspace;

/// Why bases cannot be pinned.
#[derive(Debug, thiserror::Error)]
pub enum BaseLockError {
    /// The lock cannot be used.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// A package of the lock is none.
    #[error("a package in {FILE_NAME} is wrong: {0}")]
    Package(ApkError),
    /// With `--locked`: a base would be resolved.
    #[error("`--locked`, but {FILE_NAME} has no entry for the base: `{0}`")]
    NotLocked(String),
    /// With `--locked` and `--base`: the same.
    #[error("`--locked`, but nothing pins the base: `{0}`")]
    NotPinned(String),
    /// With `--locked`: a package would be chosen.
    #[error("`--locked`, but {FILE_NAME} does not have the package `{name}` that is added to the base: `{base}`")]
    PackageNotLocked {
        /// The package.
        name: String,
        /// The base.
        base: String,
    },
    /// With `--locked`: an entry would be removed.
    #[error("`--locked`, but {FILE_NAME} has an entry for a base that no service has: `{0}`")]
    Unused(String),
    /// With `--locked`: the recipe would be rewritten.
    #[error("`--locked`, but {FILE_NAME} was written for other rules of making layers, `{found}`: `{RECIPE}`")]
    OtherRecipe {
        /// The rules it names.
        found: String,
    },
    /// A name on the command line that no service has.
    #[error("no service has this base: `{name}`")]
    NoSuchBase {
        /// The name.
        name: String,
        /// The bases there are.
        known: Vec<String>,
    },
    /// The lock cannot be written.
    #[error("cannot write the lock: {source}: `{path}`")]
    Write {
        /// The file.
        path: HostPath,
        /// What the system answered.
        source: io::Error,
    },
}

impl BaseLockError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Lock(error) => error.hint(),
            Self::Package(_) => Some("renew the lock: `pirogue base update`".to_owned()),
            Self::NotLocked(_) | Self::PackageNotLocked { .. } | Self::Unused(_) | Self::OtherRecipe { .. } => {
                Some(format!("build once without `--locked`, and check {FILE_NAME} in"))
            }
            Self::NotPinned(_) => {
                Some("name it in pirogue.toml, or by its digest, such as `--base node@sha256:…`".to_owned())
            }
            Self::NoSuchBase { known, .. } => Some(format!(
                "there are: {}",
                known.iter().map(|base| format!("`{base}`")).collect::<Vec<_>>().join(", ")
            )),
            Self::Write { .. } => Some(format!("check a {FILE_NAME} in that has every base: then builds write none")),
        }
    }
}

/// A package as the lock has it.
pub(super) fn locked_package(PinnedPackage { name, version, checksum }: &PinnedPackage) -> LockedPackage {
    LockedPackage { name: name.clone(), version: version.to_string(), checksum: checksum.to_string() }
}

/// The packages of a base in the lock, of which no others may be taken.
pub(super) fn pinned_packages(base: &LockedBase, platform: &Platform) -> Result<Vec<PinnedPackage>, BaseLockError> {
    let packages = base.packages(platform).into_iter().flat_map(BTreeMap::values);
    let pinned = packages.map(|LockedPackage { name, version, checksum }| {
        Ok(PinnedPackage { name: name.clone(), version: version.parse()?, checksum: checksum.parse()? })
    });
    pinned.collect::<Result<_, ApkError>>().map_err(BaseLockError::Package)
}

/// The lock of a workspace in a run.
pub(in crate::build) struct BaseLock {
    path: HostPath,
    /// As it was read.
    known: Option<Lock>,
    /// The names of the workspace's services, and of those that have settings of their own; the empty one stands for
    /// services that only a name on the command line makes such.
    services: BTreeSet<String>,
    /// The bases that they have where nobody types one.
    configured: BTreeSet<String>,
    /// The base that was typed.
    typed: Option<String>,
    /// Whether it must not change.
    is_final: bool,
}

impl BaseLock {
    /// Reads the lock of a workspace.
    pub fn read(workspace: &Workspace, settings: &Settings, request: &BuildRequest) -> Result<Self, BuildError> {
        let known = Lock::read(&workspace.root).map_err(BaseLockError::from)?;
        let fleet = workspace.fleet(|name| settings.of_service(name).entry_point.is_some()).into_keys();
        // Services that only a name on the command line makes such have the base of all, or one of their own.
        let names = fleet.chain(settings.each.keys().cloned()).chain(settings.all.base.iter().map(|_| String::new()));
        let services: BTreeSet<String> = names.collect();
        let lock = Self {
            path: workspace.root.join(FILE_NAME),
            known,
            configured: services.iter().map(|name| configured_base(name, settings)).collect(),
            services,
            typed: request.base.clone(),
            is_final: request.locked,
        };
        if let (true, None, Some(known)) = (lock.is_final, &lock.typed, &lock.known) {
            lock.refuse_changes(known)?;
        }
        Ok(lock)
    }

    /// The services that may have a base in it.
    pub fn services(&self) -> &BTreeSet<String> {
        &self.services
    }

    /// The bases that services have where nobody types one.
    pub fn configured(&self) -> &BTreeSet<String> {
        &self.configured
    }

    /// Where it lies.
    pub fn path(&self) -> &HostPath {
        &self.path
    }

    /// What a base is in the lock.
    pub fn entry(&self, base: &str) -> Option<&LockedBase> {
        self.known.as_ref()?.bases.get(base)
    }

    /// Whether there is a lock that should have a base, and does not.
    pub fn lacks(&self, base: &str) -> bool {
        self.typed.is_none() && self.known.as_ref().is_some_and(|known| !known.bases.contains_key(base))
    }

    /// The entries for bases that no service has.
    pub fn unused(&self) -> impl Iterator<Item = &String> {
        let known = self.known.iter().flat_map(|lock| lock.bases.keys());
        known.filter(|base| !self.configured.contains(*base))
    }

    fn refuse_changes(&self, known: &Lock) -> Result<(), BaseLockError> {
        if known.recipe != RECIPE {
            return Err(BaseLockError::OtherRecipe { found: known.recipe.clone() });
        }
        match self.unused().next() {
            Some(unused) => Err(BaseLockError::Unused(unused.clone())),
            None => Ok(()),
        }
    }

    /// What a base is pinned to; `None` if it is to be resolved.
    pub fn pinned(&self, base: &str) -> Result<Option<LockedBase>, BaseLockError> {
        let is_typed = self.typed.is_some();
        // A directory that is typed is relative to where that was done, and so another than the same words in a file.
        let counts = !is_typed || Medium::of(base).0 == Medium::Registry;
        let entry = self.entry(base).filter(|_| counts);
        let pins_itself = || base.parse::<Reference>().is_ok_and(|reference| reference.digest().is_some());
        match (entry, self.is_final, is_typed) {
            (Some(entry), ..) => Ok(Some(entry.clone())),
            (None, false, _) => Ok(None),
            (None, true, true) if pins_itself() => Ok(None),
            (None, true, true) => Err(BaseLockError::NotPinned(base.to_owned())),
            (None, true, false) => Err(BaseLockError::NotLocked(base.to_owned())),
        }
    }

    /// The lock after a run that resolved these bases; what no service has is gone from it.
    pub fn with(&self, resolved: &BTreeMap<&String, &LockedBase>) -> Lock {
        let mut lock = Lock::new(RECIPE);
        lock.bases.extend(self.known.iter().flat_map(|known| known.bases.clone()));
        lock.bases.extend(resolved.iter().map(|(name, base)| ((*name).clone(), (*base).clone())));
        lock.bases.retain(|name, _| self.configured.contains(name) || resolved.contains_key(name));
        lock
    }

    /// Writes down what a build resolved. A base that was typed is nobody's but this run's, and leaves the lock alone.
    pub fn record(&self, bases: &Bases, plan: &BuildPlan, context: &Context) -> Result<(), BuildError> {
        if self.typed.is_some() {
            return Ok(());
        }
        let mut lock = self.with(&bases.locked().collect());
        for service in &plan.services {
            for image in service.images.iter().filter(|image| !image.system_packages.is_empty()) {
                self.add_packages(&mut lock, &service.base, image)?;
            }
        }
        if self.is_final {
            return Ok(());
        }
        if self.known.as_ref().is_some_and(|known| known.recipe != lock.recipe) {
            context.progress.warn(&format!(
                "{FILE_NAME} was written by a pirogue that makes layers by other rules: images get other digests"
            ));
        }
        if self.write(&lock)? {
            context.progress.step(&format!("writing {FILE_NAME}"));
        }
        Ok(())
    }

    /// Adds the packages of an image's base to those of other services on it, which may not be built now.
    fn add_packages(&self, lock: &mut Lock, base: &str, image: &ImagePlan) -> Result<(), BaseLockError> {
        let mut packages = lock.packages(base, &image.platform).cloned().unwrap_or_default();
        for package in image.system_packages.iter().map(locked_package) {
            if self.is_final && !packages.contains_key(&package.name) {
                return Err(BaseLockError::PackageNotLocked { name: package.name, base: base.to_owned() });
            }
            packages.insert(package.name.clone(), package);
        }
        match lock.set_packages(base, &image.platform, packages.into_values()) {
            true => Ok(()),
            false => Err(BaseLockError::NotLocked(base.to_owned())),
        }
    }

    /// Writes a lock, unless it is the one that is there. Says whether it was written.
    pub fn write(&self, lock: &Lock) -> Result<bool, BaseLockError> {
        if self.known.as_ref() == Some(lock) {
            return Ok(false);
        }
        let error = |source| BaseLockError::Write { path: self.path.clone(), source };
        let dir = self.path.parent().unwrap_or_else(|| HostPath::new("."));
        // A reader sees the old file or the new one, and never a part.
        let permissions = Permissions::from_mode(0o644);
        let mut file =
            Builder::new().permissions(permissions).prefix(".pirogue.lock-").tempfile_in(dir).map_err(error)?;
        file.write_all(lock.text().as_bytes()).map_err(error)?;
        file.persist(&self.path).map_err(|failed| error(failed.error))?;
        Ok(true)
    }
}
