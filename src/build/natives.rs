//! The step that looks at native code: what the image's base cannot load is left out where another variant fits, is taken
//! from the lockfile where that has what fits, and is an error otherwise.

mod binaries;
mod error;
mod missing;
mod unit;

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::block_in_place;

use binaries::Binaries;
pub use error::{NativesError, Refusal, Remedy};
use missing::{MissingVariant, missing_variants};
use unit::{Host, Judged, NativeFile, Unit, shipped_libraries};

use super::base::{ResolvedBase, base_name};
use super::contents::Contents;
use super::locked::{LockedPackages, Place};
use super::plan::{self, Closures, Platforms, ServiceClosure};
use super::{BuildError, Context};
use crate::closure::{FittedPackages, NodePlatform, Packages, ProductionTree};
use crate::layer::Owner;
use crate::native::{BaseLibraries, is_candidate, names_a_platform};
use crate::path::ImagePath;
use crate::workspace::{PackageJson, ShippedFiles, WorkspacePath};

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
    /// How many of them are in packages that stay.
    pub(super) in_packages: (usize, u64),
}

/// What the step works with.
pub(super) struct Natives<'a> {
    /// All packages, as they are installed or placed.
    pub packages: &'a dyn Packages,
    /// The packages of the lockfile, if they come from there.
    pub locked: Option<&'a LockedPackages>,
    /// The platforms of the services, with all bases known.
    pub platforms: &'a Platforms<'a>,
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
    /// Settles what each service has of native code. Gives the packages that were taken from the lockfile instead.
    pub async fn settle(
        &self,
        closures: &mut Closures,
        contents: &mut Contents<'_>,
    ) -> Result<Option<LockedPackages>, BuildError> {
        let Some(bases) = self.platforms.bases.as_deref() else { return Ok(None) };
        let mut binaries = Binaries::remembered(&self.packages.workspace().root, self.context)?;
        let libraries: BTreeMap<&str, BaseLibraries> =
            bases.iter().map(|(name, base)| (name.as_str(), base.files.libraries())).collect();
        let mut supply = None;
        let mut refused = Refused::default();
        for needs in &mut closures.services {
            self.context.cancellation.check()?;
            let name = base_name(&needs.service.name, self.platforms.settings, self.platforms.request);
            let (Some(base), Some(libraries)) = (bases.get(&name), libraries.get(name.as_str())) else { continue };
            let settings = self.platforms.settings.of_service(&needs.service.name);
            let service = Service {
                base,
                libraries,
                platform: self.platforms.of_service(&needs.service.name),
                owner: settings.user.clone().unwrap_or_default().entries(&base.files)?.owner,
                keeps_foreign: settings.keeps_foreign_variants.unwrap_or(false),
            };
            let mut settling =
                Settling { natives: self, service: &service, binaries: &mut binaries, supply: &mut supply };
            settling.settle(needs, &closures.production, contents, &mut refused).await?;
        }
        binaries.remember(self.context)?;
        refused.or(supply, self.fixes)
    }
}

/// What cannot be loaded, by base and platform, then by package.
#[derive(Default)]
struct Refused(BTreeMap<(String, String), BTreeMap<String, (Refusal, Vec<String>)>>);

impl Refused {
    fn add(&mut self, service: &Service<'_>, name: &str, package: String, refusal: Refusal) {
        let key = (service.base.image.name.clone(), service.described());
        let of_package = self.0.entry(key).or_default().entry(package).or_insert((refusal, Vec::new()));
        of_package.1.push(name.to_owned());
    }

    /// The error, if there is one.
    fn or<T>(self, settled: T, fixes: bool) -> Result<T, BuildError> {
        let Some(((base, platform), refused)) = self.0.into_iter().next() else { return Ok(settled) };
        let remedy = if fixes { Remedy::Tried } else { Remedy::NotTried };
        Err(NativesError::Unloadable { base, platform, refused, remedy }.into())
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

/// One service, while its native code is settled.
struct Settling<'a, 'b> {
    natives: &'a Natives<'a>,
    service: &'a Service<'a>,
    binaries: &'b mut Binaries,
    supply: &'b mut Option<LockedPackages>,
}

/// What differs from the packages as they are installed.
#[derive(Default)]
struct Changes {
    /// Packages that the base cannot load.
    foreign: BTreeSet<WorkspacePath>,
    /// Packages of the lockfile where nothing was.
    added: BTreeMap<WorkspacePath, Arc<PackageJson>>,
    /// What the lockfile was asked for, whatever came of it.
    asked: BTreeSet<WorkspacePath>,
}

impl Settling<'_, '_> {
    async fn settle(
        &mut self,
        needs: &mut ServiceClosure,
        production: &ProductionTree,
        contents: &mut Contents<'_>,
        refused: &mut Refused,
    ) -> Result<(), BuildError> {
        let before = needs.closure.packages.clone();
        let mut changes = Changes::default();
        let suits = |needs: &ServiceClosure| {
            needs.closure.packages.values().all(|package| self.service.platform.suits(&package.package_json.limits))
        };
        if !self.service.keeps_foreign && !suits(needs) {
            self.close_again(needs, production, &changes)?;
        }
        // Each round but the last drops packages or asks the lockfile for further ones, which it does once for each.
        loop {
            let (units, judged) = self.judge(needs, contents).await?;
            if self.drop_foreign(needs, &units, &judged, &mut changes) || self.add_variants(needs, &mut changes).await?
            {
                self.close_again(needs, production, &changes)?;
                self.put_added(needs, contents)?;
                continue;
            }
            if self.replace(&units, &judged, contents, &mut changes).await? {
                continue;
            }
            self.refuse(needs, &units, &judged, refused);
            let dropped = before.keys().filter(|dir| !needs.closure.packages.contains_key(*dir));
            needs.foreign = self.left_out(dropped, &units, judged, contents);
            return Ok(());
        }
    }

    /// Computes the closure again.
    fn close_again(
        &self,
        needs: &mut ServiceClosure,
        production: &ProductionTree,
        changes: &Changes,
    ) -> Result<(), BuildError> {
        let packages =
            FittedPackages { packages: self.natives.packages, foreign: &changes.foreign, added: &changes.added };
        let settings = self.natives.platforms.settings;
        let platform = &self.service.platform;
        let closed = block_in_place(|| plan::close_service(&needs.service, settings, &packages, production, platform))?;
        if let Some((closure, _)) = closed {
            for warning in closure.warnings.difference(&needs.closure.warnings) {
                self.natives.context.progress.warn(&format!("{}: {warning}", needs.service.name));
            }
            needs.closure = closure;
        }
        Ok(())
    }

    /// What the image would hold, and what is to be said of its native code.
    async fn judge(
        &mut self,
        needs: &ServiceClosure,
        contents: &mut Contents<'_>,
    ) -> Result<(Vec<Unit>, Vec<Judged>), BuildError> {
        let units = block_in_place(|| self.units(needs, contents))?;
        let files: Vec<NativeFile<'_>> = units.iter().flat_map(Unit::candidates).collect();
        let unread = |unit: &&Unit| unit.candidates().iter().any(|file| self.binaries.get(&file.digest).is_none());
        let unread: Vec<&WorkspacePath> =
            units.iter().filter(unread).filter_map(|unit| unit.package.as_ref()).collect();
        for locked in [self.natives.locked, self.supply.as_ref()].into_iter().flatten() {
            locked.have(unread.iter().copied(), self.natives.context).await?;
        }
        block_in_place(|| self.binaries.read(&files.iter().collect::<Vec<_>>()))?;
        let host = self.service.host();
        let shipped = shipped_libraries(files.iter(), self.binaries, &host);
        let judged = units.iter().map(|unit| match self.is_kept(&unit.label) {
            true => Judged::unlooked(),
            false => unit.judge(self.binaries, &host, &shipped),
        });
        let judged = judged.collect();
        Ok((units, judged))
    }

    /// Installed packages, workspace packages and the service itself.
    fn units(&self, needs: &ServiceClosure, contents: &mut Contents<'_>) -> Result<Vec<Unit>, BuildError> {
        let owner = self.service.owner;
        contents.collect(needs.closure.packages.keys(), owner)?;
        let own = self.natives.platforms.settings.of_service(&needs.service.name);
        let exclude = own.exclude.unwrap_or_default();
        let mut units = Vec::new();
        for (dir, package) in &needs.closure.packages {
            let Some(tree) = contents.package(dir, owner, &exclude)? else { continue };
            let top = contents.root().join(dir.as_path())?;
            units.push(Unit { label: package.package_json.label(), package: Some(dir.clone()), top, tree });
        }
        let workspace = self.natives.packages.workspace();
        for dir in needs.closure.members.keys() {
            let Some(member) = workspace.member_at(dir) else { continue };
            let on_host = workspace.on_host(dir);
            units.extend(self.unit_of_files(
                dir,
                &ShippedFiles::of_package(member, &on_host, &exclude)?.list(&on_host)?,
                contents,
            )?);
        }
        units.extend(self.unit_of_files(&needs.service.dir, &needs.shipped, contents)?);
        Ok(units)
    }

    /// The addons and libraries among the files of a member. (A program in it would be of its own making.)
    fn unit_of_files(
        &self,
        dir: &WorkspacePath,
        files: &[PathBuf],
        contents: &Contents<'_>,
    ) -> Result<Option<Unit>, BuildError> {
        let is_native = |file: &&PathBuf| file.to_str().is_some_and(|path| is_candidate(path, false));
        let files: Vec<PathBuf> = files.iter().filter(is_native).cloned().collect();
        if files.is_empty() {
            return Ok(None);
        }
        let tree = Arc::new(contents.files(dir, &files, self.service.owner)?);
        Ok(Some(Unit { label: dir.to_string(), package: None, top: contents.root().join(dir.as_path())?, tree }))
    }

    /// Drops packages that are variants by their names and hold nothing that the base can load, if they are optional.
    /// Whether what they are variants of has one that fits is found out without them.
    fn drop_foreign(&self, needs: &ServiceClosure, units: &[Unit], judged: &[Judged], changes: &mut Changes) -> bool {
        if self.service.keeps_foreign {
            return false;
        }
        let is_optional = |name: &str| {
            let mut others = needs.closure.packages.values();
            others.any(|package| package.package_json.optional_dependencies.contains_key(name))
        };
        let foreign = units.iter().zip(judged).filter(|(unit, judged)| {
            let is_variant = |(name, _)| names_a_platform(name) && is_optional(name);
            judged.variants.is_foreign
                && judged.variants.refusal().is_some()
                && unit.label.rsplit_once('@').is_some_and(is_variant)
        });
        let count = changes.foreign.len();
        changes.foreign.extend(foreign.filter_map(|(unit, _)| unit.package.clone()));
        changes.foreign.len() > count
    }

    /// Takes variants that are not installed from the lockfile.
    async fn add_variants(&mut self, needs: &ServiceClosure, changes: &mut Changes) -> Result<bool, BuildError> {
        if !self.natives.fixes || self.natives.locked.is_some() {
            return Ok(false);
        }
        let mut places: Vec<Place> = Vec::new();
        for missing in self.missing(needs) {
            let (packages, platform) = (self.natives.packages, &self.service.platform);
            let supply = self.supply().await?;
            places.extend(supply.variants_of(&missing.label, &missing.names, &missing.folder, platform, packages)?);
        }
        places.retain(|(place, _)| changes.asked.insert(place.clone()));
        if places.is_empty() {
            return Ok(false);
        }
        let workspace = self.natives.packages.workspace();
        let context = self.natives.context;
        let supply = self.supply().await?;
        supply.bring(&places, workspace, context).await?;
        let brought: Vec<_> =
            places.into_iter().filter_map(|(place, _)| supply.brought(&place).map(|it| (place, it))).collect();
        for (place, package_json) in &brought {
            context.progress.warn(&format!(
                "`{}` is not installed and taken from the lockfile, for {}: `{place}`",
                package_json.label(),
                self.service.described()
            ));
        }
        changes.added.extend(brought);
        Ok(true)
    }

    /// The packages without their variants, but for those of which nobody is to look at native code.
    fn missing(&self, needs: &ServiceClosure) -> Vec<MissingVariant> {
        let mut missing = missing_variants(&needs.closure, &self.service.platform);
        missing.retain(|missing| !self.is_kept(&missing.label));
        missing
    }

    /// Whether the native code of the package `name@version` is taken as it is.
    fn is_kept(&self, label: &str) -> bool {
        let name = label.rsplit_once('@').map_or(label, |(name, _)| name);
        self.natives.platforms.settings.package.get(name).is_some_and(|own| own.keeps_native)
    }

    async fn supply(&mut self) -> Result<&mut LockedPackages, BuildError> {
        let supply = match self.supply.take() {
            Some(supply) => supply,
            None => {
                let (workspace, settings) = (self.natives.packages.workspace(), self.natives.platforms.settings);
                LockedPackages::to_supply(workspace, settings, self.natives.context).await?
            }
        };
        Ok(self.supply.insert(supply))
    }

    /// Gives packages that were added their files.
    fn put_added(&self, needs: &ServiceClosure, contents: &mut Contents<'_>) -> Result<(), BuildError> {
        let Some(supply) = self.supply.as_ref() else { return Ok(()) };
        for dir in needs.closure.packages.keys().filter(|dir| supply.brought(dir).is_some()) {
            contents.put(dir, self.service.owner, |collector| supply.brought_tree(dir, collector))?;
        }
        Ok(())
    }

    /// Takes packages that cannot be loaded as the registry has them, where these can be.
    async fn replace(
        &mut self,
        units: &[Unit],
        judged: &[Judged],
        contents: &mut Contents<'_>,
        changes: &mut Changes,
    ) -> Result<bool, BuildError> {
        if !self.natives.fixes {
            return Ok(false);
        }
        let refused = units.iter().zip(judged).filter(|(_, judged)| judged.variants.refusal().is_some());
        let refused: Vec<(&Unit, &WorkspacePath)> =
            refused.filter_map(|(unit, _)| Some((unit, unit.package.as_ref()?))).collect();
        let refused: Vec<_> = refused.into_iter().filter(|(_, dir)| changes.asked.insert((*dir).clone())).collect();
        let mut replaced = false;
        for (unit, dir) in refused {
            let workspace = self.natives.packages.workspace();
            let (context, owner) = (self.natives.context, self.service.owner);
            let supply = self.supply().await?;
            let Some(id) = supply.id_of(&unit.label).cloned() else { continue };
            supply.bring(&[(dir.clone(), id)], workspace, context).await?;
            if supply.brought(dir).is_none() {
                continue;
            }
            let tree = Arc::new(contents.tree_of(owner, |collector| supply.brought_tree(dir, collector))?);
            let (label, package, top) = (unit.label.clone(), unit.package.clone(), unit.top.clone());
            let unit = Unit { label, package, top, tree };
            supply.have(std::iter::once(dir), context).await?;
            block_in_place(|| self.binaries.read(&unit.candidates().iter().collect::<Vec<_>>()))?;
            let host = self.service.host();
            let shipped = shipped_libraries(unit.candidates().iter(), self.binaries, &host);
            let judged = unit.judge(self.binaries, &host, &shipped);
            if judged.variants.files.is_empty() || judged.variants.refusal().is_some() {
                continue;
            }
            contents.put(dir, owner, |_| Ok(unit.tree.as_ref().clone()))?;
            let described = self.service.described();
            context
                .progress
                .warn(&format!("`{}` is taken as the registry has it, for {described}: `{dir}`", unit.label));
            replaced = true;
        }
        Ok(replaced)
    }

    fn refuse(&self, needs: &ServiceClosure, units: &[Unit], judged: &[Judged], refused: &mut Refused) {
        let name = &needs.service.name;
        for (unit, judged) in units.iter().zip(judged) {
            if let Some((path, misfit)) = judged.variants.refusal() {
                let refusal = Refusal::File { path: path.to_owned(), misfit: misfit.clone() };
                refused.add(self.service, name, unit.label.clone(), refusal);
            }
        }
        for missing in self.missing(needs) {
            let fitting = missing.names.into_iter().next().unwrap_or_default();
            refused.add(self.service, name, missing.label, Refusal::NoVariant { fitting });
        }
    }

    /// What is left out of the image in the end.
    fn left_out<'d>(
        &self,
        dropped: impl Iterator<Item = &'d WorkspacePath>,
        units: &[Unit],
        judged: Vec<Judged>,
        contents: &Contents<'_>,
    ) -> ForeignVariants {
        let mut foreign = ForeignVariants::default();
        for dir in dropped {
            let Ok(Some(tree)) = contents.package(dir, self.service.owner, &[]) else { continue };
            let label = self.natives.packages.package_json(dir).map(|package_json| package_json.label());
            foreign.packages.extend(label);
            foreign.files += tree.files();
            foreign.bytes += tree.content_bytes();
        }
        if self.service.keeps_foreign {
            return foreign;
        }
        for (unit, judged) in units.iter().zip(judged) {
            let (files, bytes) = unit.weight(&judged.left_out);
            foreign.files += files;
            foreign.bytes += bytes;
            if unit.package.is_some() {
                foreign.in_packages = (foreign.in_packages.0 + files, foreign.in_packages.1 + bytes);
            }
            foreign.places.extend(unit.with_empty_directories(judged.left_out));
        }
        foreign
    }
}
