//! The step that looks at native code: what the image's base cannot load is left out where another variant fits, is taken
//! from the lockfile where that has what fits, and is a misfit of the service otherwise.

mod binaries;
mod changes;
mod error;
mod foundation;
mod missing;
mod refusal;
mod settling;
mod unit;

use std::collections::{BTreeMap, BTreeSet};

use binaries::Binaries;
pub use error::NativesError;
use foundation::{Foundation, Foundations};
use settling::Settling;
use unit::{Candidates, Host};

use super::base::{ResolvedBase, base_name};
use super::closures::Closures;
use super::contents::Contents;
use super::locked::{LockedNodeModules, Supply};
use super::platforms::{Platforms, TargetPlatform};
use super::system::Systems;
use super::{BuildError, Context};
use crate::closure::{NodePlatform, Packages};
use crate::layer::Owner;
use crate::native::BaseLibraries;
use crate::path::ImagePath;
use crate::workspace::WorkspacePath;

/// What native code was left out of an image, since another variant of it fits.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ForeignVariants {
    /// Whole packages, as `name@version`.
    pub packages: BTreeSet<String>,
    /// Files of other packages, by their places, and directories that hold nothing else.
    pub places: BTreeSet<ImagePath>,
    /// How many files these packages and places are.
    pub files: usize,
    /// How many bytes these files have.
    pub bytes: u64,
    /// The directories of packages that stay without some of their files.
    pub(super) fitted: BTreeSet<WorkspacePath>,
    /// How many of them are in packages that stay.
    pub(super) in_packages: (usize, u64),
}

/// What the step works with.
pub(super) struct Natives<'a> {
    /// All packages, as they are installed or placed.
    pub packages: &'a dyn Packages,
    /// The packages of the lockfile, if they come from there.
    pub locked: Option<&'a LockedNodeModules<'a>>,
    /// What is added to the bases, which may bring libraries.
    pub systems: &'a Systems,
    /// The platform of the images, with all bases known.
    pub target: TargetPlatform<'a>,
    /// Whether the lockfile may give what the installed packages do not have.
    pub fixes: bool,
    pub context: &'a Context,
}

/// A service whose native code is looked at.
struct Service<'a> {
    base: &'a ResolvedBase,
    libraries: &'a BaseLibraries,
    platform: NodePlatform,
    owner: Owner,
    keeps_foreign: bool,
}

impl Natives<'_> {
    /// Settles what each service has of native code, and what of it does not fit. Gives the packages that were taken from
    /// the lockfile instead.
    pub async fn settle(
        &self,
        closures: &mut Closures,
        contents: &mut Contents<'_>,
    ) -> Result<Option<Supply>, BuildError> {
        let Platforms { settings, request, bases: Some(bases), .. } = self.target.platforms else { return Ok(None) };
        let bases: BTreeMap<&str, &ResolvedBase> = bases.of_platform(self.target.platform).collect();
        let mut binaries = Binaries::remembered(&self.packages.workspace().root, self.context)?;
        let mut foundations = Foundations::default();
        let (mut supply, mut candidates) = (None, Candidates::default());
        for needs in &mut closures.services {
            self.context.cancellation.check()?;
            let name = base_name(&needs.service.name, settings, request);
            let Some(base) = bases.get(name.as_str()) else { continue };
            let system = self.systems.of_service(&needs.service.name);
            let Foundation { files, libraries, .. } = foundations.of(base, system);
            let settings = settings.of_service(&needs.service.name);
            let service = Service {
                base,
                libraries,
                platform: self.target.of_service(&needs.service.name),
                owner: settings.user.clone().unwrap_or_default().entries(files)?.owner,
                keeps_foreign: settings.keeps_foreign_variants.unwrap_or(false),
            };
            let mut settling = Settling {
                natives: self,
                service: &service,
                binaries: &mut binaries,
                candidates: &mut candidates,
                supply: &mut supply,
            };
            settling.settle(needs, &closures.production, contents).await?;
        }
        binaries.remember(self.context)?;
        Ok(supply)
    }
}

impl Service<'_> {
    /// The platform as people say it.
    fn described(&self) -> String {
        let NodePlatform { os, cpu, libc } = &self.platform;
        libc.as_ref().map_or_else(|| format!("{os}-{cpu}"), |libc| format!("{os}-{cpu} with {libc}"))
    }

    fn host(&self) -> Host<'_> {
        Host { cpu: &self.platform.cpu, base: self.libraries }
    }
}
