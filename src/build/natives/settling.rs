//! One service: rounds in which packages are dropped, added and replaced, until its native code fits or is refused.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::task::block_in_place;

use super::binaries::Binaries;
use super::changes::Changes;
use super::missing::{MissingVariant, missing_variants};
use super::refusal::{Refusal, Remedy, name_of};
use super::unit::{Candidates, Judged, Unit, shipped_libraries};
use super::{ForeignVariants, Natives, Service};
use crate::build::BuildError;
use crate::build::closures::{self, ServiceClosure};
use crate::build::contents::{Contents, PackageTaste};
use crate::build::locked::{Place, Supply};
use crate::closure::{FittedPackages, ProductionTree};
use crate::native::{LibraryAnswers, is_candidate, names_a_platform};
use crate::path::ImagePath;
use crate::workspace::{ShippedFiles, WorkspacePath};

/// One service, while its native code is settled.
pub(super) struct Settling<'a, 'b> {
    pub natives: &'a Natives<'a>,
    pub service: &'a Service<'a>,
    pub binaries: &'b mut Binaries,
    pub candidates: &'b mut Candidates,
    pub supply: &'b mut Option<Supply>,
}

impl Settling<'_, '_> {
    /// Settles its closure, and says what is left out of it and what does not fit.
    pub async fn settle(
        &mut self,
        needs: &mut ServiceClosure,
        production: &ProductionTree,
        contents: &mut Contents<'_>,
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
            let (units, judged) = self.judge(needs, contents, &mut changes.answers).await?;
            if self.drop_foreign(needs, &units, &judged, &mut changes) || self.add_variants(needs, &mut changes).await?
            {
                self.close_again(needs, production, &changes)?;
                self.supply_added(needs, contents, &changes)?;
                continue;
            }
            if self.replace(needs, &units, &judged, contents, &mut changes).await? {
                continue;
            }
            self.refuse(needs, &units, &judged, &changes, contents.root());
            let dropped = before.keys().filter(|dir| !needs.closure.packages.contains_key(*dir));
            needs.foreign = self.left_out(dropped, &units, judged, contents);
            let fitted: Vec<WorkspacePath> = needs.fitted().cloned().collect();
            needs.closure.bound.extend(fitted);
            needs.libraries = changes.answers;
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
        let (platforms, platform) = (self.natives.target.platforms, &self.service.platform);
        let closed =
            block_in_place(|| closures::close_service(&needs.service, platforms, &packages, production, platform))?;
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
        answers: &mut LibraryAnswers,
    ) -> Result<(Vec<Unit>, Vec<Judged>), BuildError> {
        let units = block_in_place(|| self.units(needs, contents))?;
        let unread = |unit: &&Unit| unit.candidates.iter().any(|file| self.binaries.get(&file.digest).is_none());
        let unread: Vec<&Unit> = units.iter().filter(unread).collect();
        let packages = || unread.iter().filter_map(|unit| unit.package.as_ref());
        if let Some(locked) = self.natives.locked {
            locked.have(packages(), self.natives.context).await?;
        }
        if let Some(supply) = self.supply.as_ref() {
            supply.have(packages(), self.natives.context).await?;
        }
        block_in_place(|| self.binaries.read(&unread))?;
        let host = self.service.host();
        let shipped = shipped_libraries(units.iter().flat_map(|unit| unit.candidates.iter()), self.binaries, &host);
        let judged = units.iter().map(|unit| match self.is_kept(&unit.label) {
            true => Judged::unlooked(),
            false => unit.judge(self.binaries, &host, &shipped, answers),
        });
        let judged = judged.collect();
        Ok((units, judged))
    }

    /// Installed packages, workspace packages and the service itself.
    fn units(&mut self, needs: &ServiceClosure, contents: &mut Contents<'_>) -> Result<Vec<Unit>, BuildError> {
        let owner = self.service.owner;
        contents.collect(needs.installed(), owner)?;
        let own = self.natives.target.platforms.settings.of_service(&needs.service.name);
        let exclude = own.exclude.unwrap_or_default();
        let slim = self.natives.target.platforms.lean(&needs.service.name).slim;
        let nothing = BTreeSet::new();
        let taste = PackageTaste::new(owner, &exclude, &needs.supplied, &nothing, slim)?;
        let mut packages = Vec::new();
        for (dir, package) in &needs.closure.packages {
            let Some((tree, _)) = contents.package(dir, &package.package_json, &taste)? else { continue };
            packages.push((dir, package, tree));
        }
        self.candidates.look_through(packages.iter().map(|(.., tree)| tree));
        let mut units = Vec::new();
        for (dir, package, tree) in packages {
            let (label, top) = (package.package_json.label(), contents.root().join(dir.as_path())?);
            let candidates = self.candidates.of(&tree);
            units.push(Unit { label, dir: dir.clone(), package: Some(dir.clone()), top, tree, candidates });
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
        &mut self,
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
        let (top, candidates) = (contents.root().join(dir.as_path())?, self.candidates.of(&tree));
        Ok(Some(Unit { label: dir.to_string(), dir: dir.clone(), package: None, top, tree, candidates }))
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
            let is_variant = |name: &str| names_a_platform(name) && is_optional(name);
            judged.variants.is_foreign && judged.variants.refusal().is_some() && is_variant(name_of(&unit.label))
        });
        let count = changes.foreign.len();
        for (unit, judged) in foreign {
            changes.foreign.extend(unit.package.clone());
            changes.reasons.extend(unit.refusals(judged).next().map(|refusal| (unit.label.clone(), refusal)));
        }
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
            let supply = self.supply()?;
            places.extend(supply.variants_of(&missing.label, &missing.names, &missing.folder, platform, packages)?);
        }
        places.retain(|(place, _)| changes.asked.insert(place.clone()));
        if places.is_empty() {
            return Ok(false);
        }
        let workspace = self.natives.packages.workspace();
        let context = self.natives.context;
        let supply = self.supply()?;
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
        self.natives.target.platforms.settings.package.get(name_of(label)).is_some_and(|own| own.keeps_native)
    }

    fn supply(&mut self) -> Result<&mut Supply, BuildError> {
        let supply = match self.supply.take() {
            Some(supply) => supply,
            None => {
                let (workspace, settings) = (self.natives.packages.workspace(), self.natives.target.platforms.settings);
                Supply::open(workspace, settings, self.natives.context)?
            }
        };
        Ok(self.supply.insert(supply))
    }

    /// Gives packages that were added their files.
    fn supply_added(
        &self,
        needs: &mut ServiceClosure,
        contents: &Contents<'_>,
        changes: &Changes,
    ) -> Result<(), BuildError> {
        let Some(supply) = self.supply.as_ref() else { return Ok(()) };
        for dir in changes.added.keys().filter(|dir| needs.closure.packages.contains_key(*dir)) {
            if !needs.supplied.contains_key(dir) {
                let tree = contents.tree_of(self.service.owner, |collector| supply.tree(dir, collector))?;
                needs.supplied.insert(dir.clone(), Arc::new(tree));
            }
        }
        Ok(())
    }

    /// Takes packages that cannot be loaded as the registry has them, where these can be.
    async fn replace(
        &mut self,
        needs: &mut ServiceClosure,
        units: &[Unit],
        judged: &[Judged],
        contents: &Contents<'_>,
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
            let supply = self.supply()?;
            let Some(id) = supply.id_of(&unit.label).cloned() else { continue };
            supply.bring(&[(dir.clone(), id)], workspace, context).await?;
            if supply.brought(dir).is_none() {
                continue;
            }
            let tree = Arc::new(contents.tree_of(owner, |collector| supply.tree(dir, collector))?);
            supply.have(std::iter::once(dir), context).await?;
            let candidates = self.candidates.of(&tree);
            let (label, package, top) = (unit.label.clone(), unit.package.clone(), unit.top.clone());
            let unit = Unit { label, dir: dir.clone(), package, top, tree, candidates };
            block_in_place(|| self.binaries.read(&[&unit]))?;
            let host = self.service.host();
            let shipped = shipped_libraries(unit.candidates.iter(), self.binaries, &host);
            let judged = unit.judge(self.binaries, &host, &shipped, &mut changes.answers);
            if judged.variants.files.is_empty() || judged.variants.refusal().is_some() {
                continue;
            }
            needs.supplied.insert(dir.clone(), unit.tree.clone());
            let described = self.service.described();
            context
                .progress
                .warn(&format!("`{}` is taken as the registry has it, for {described}: `{dir}`", unit.label));
            replaced = true;
        }
        Ok(replaced)
    }

    /// Says what cannot be loaded: files that would be, and packages of which no variant is left.
    fn refuse(
        &self,
        needs: &mut ServiceClosure,
        units: &[Unit],
        judged: &[Judged],
        changes: &Changes,
        root: &ImagePath,
    ) {
        let missing = self.missing(needs);
        let units = units.iter().zip(judged);
        let mut refused: Vec<Refusal> =
            units.flat_map(|(unit, judged)| unit.refusals(judged).collect::<Vec<_>>()).collect();
        refused.extend(missing.iter().map(MissingVariant::refusal));
        refused.extend(without_variant(needs, &missing, changes));
        let remedy = if self.natives.fixes { Remedy::Tried } else { Remedy::NotTried };
        needs.misfits.extend(refused.iter().map(|refusal| refusal.finding(self.service, root, remedy)));
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
            let Some(tree) = contents.whole_package(dir, self.service.owner) else { continue };
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
            if !judged.left_out.is_empty() {
                foreign.fitted.extend(unit.package.clone());
            }
            foreign.places.extend(unit.with_empty_directories(judged.left_out));
        }
        foreign
    }
}

/// Variants that were dropped, of packages that nothing else says lack one and that have none left.
fn without_variant<'c>(needs: &ServiceClosure, missing: &[MissingVariant], changes: &'c Changes) -> Vec<Refusal> {
    if changes.reasons.is_empty() {
        return Vec::new();
    }
    let present: BTreeSet<&str> =
        needs.closure.packages.values().filter_map(|package| package.package_json.name.as_deref()).collect();
    let mut refused: BTreeMap<&str, &'c Refusal> = BTreeMap::new();
    for package in needs.closure.packages.values() {
        let optional = &package.package_json.optional_dependencies;
        let dropped = changes.reasons.iter().filter(|(label, _)| optional.contains_key(name_of(label)));
        let has_variant = || optional.keys().any(|name| names_a_platform(name) && present.contains(name.as_str()));
        let is_told = || missing.iter().any(|missing| missing.label == package.package_json.label());
        refused
            .extend(dropped.filter(|_| !has_variant() && !is_told()).map(|(label, reason)| (label.as_str(), reason)));
    }
    refused.into_values().cloned().collect()
}
