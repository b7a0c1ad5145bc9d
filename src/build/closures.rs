//! What services need, before their layers are known: the closure of each, and what package.json files say of the rest.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::natives::ForeignVariants;
use super::platforms::{Lean, Platforms, TargetPlatform};
use super::weight::Weight;
use super::{BuildError, Context, Destination};
use crate::check::Finding;
use crate::closure::{DependencyClosure, NodePlatform, Packages, ProductionTree};
use crate::layer::{FileTree, Portability, Unit};
use crate::native::LibraryAnswers;
use crate::workspace::{Service, ShippedFiles, WorkspacePath};

/// What the services of a workspace need on one platform.
pub(super) struct Closures {
    /// What a production install of the whole workspace holds.
    pub production: ProductionTree,
    /// The services that are built, in their order.
    pub services: Vec<ServiceClosure>,
    /// By the name of each member that could be a service, built now or not: what package.json files say it needs.
    pub fleet: BTreeMap<String, DependencyClosure>,
}

/// What one service needs.
pub(super) struct ServiceClosure {
    pub service: Service,
    pub closure: DependencyClosure,
    /// The files of its own that it ships, relative to its directory.
    pub shipped: Vec<PathBuf>,
    /// What is left out of them all, once native code was looked at.
    pub foreign: ForeignVariants,
    /// What was asked of its base's libraries for that.
    pub libraries: LibraryAnswers,
    /// Where it does not fit its base.
    pub misfits: Vec<Finding>,
    /// What packages have in place of what lies in their directories, if anything does.
    pub supplied: BTreeMap<WorkspacePath, Arc<FileTree>>,
}

/// What layers of packages are made of: a package or a link to one, at its place, whole or without some files. Services
/// that want it otherwise do not share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LayerUnit {
    pub place: WorkspacePath,
    pub lean: Lean,
}

impl ServiceClosure {
    /// The directories of its packages, but for those that are supplied.
    pub fn installed(&self) -> impl Iterator<Item = &WorkspacePath> {
        self.closure.packages.keys().filter(|dir| !self.supplied.contains_key(*dir))
    }

    /// The directories of packages that are other than they came, for the platform's sake.
    pub fn fitted(&self) -> impl Iterator<Item = &WorkspacePath> {
        self.foreign.fitted.iter().chain(self.supplied.keys())
    }

    /// What its packages weigh.
    pub fn weight(&self, weights: &BTreeMap<WorkspacePath, Weight>) -> Weight {
        let supplied = self.supplied.values().map(|tree| Weight::of_tree(tree));
        let sum = supplied.fold(Weight::of(self.installed(), weights), Weight::plus);
        let (files, bytes) = self.foreign.in_packages;
        Weight { files: sum.files.saturating_sub(files), bytes: sum.bytes.saturating_sub(bytes), ..sum }
    }
}

/// Computes the closure of each service on one platform.
pub(super) fn close(
    services: &[Service],
    destinations: &[Destination],
    packages: &dyn Packages,
    production: &ProductionTree,
    platform: TargetPlatform<'_>,
    context: &Context,
) -> Result<Vec<ServiceClosure>, BuildError> {
    let mut closures = Vec::new();
    for service in services {
        context.cancellation.check()?;
        let of_service = platform.of_service(&service.name);
        let closed = close_service(service, platform.platforms, packages, production, &of_service)?;
        let Some((closure, shipped)) = closed else { continue };
        let dir = packages.workspace().on_host(&service.dir);
        let mut files = shipped.list(&dir)?;
        // Images that an earlier build left in the workspace are no part of the next.
        let layouts: Vec<PathBuf> = destinations.iter().filter_map(Destination::absolute_path).collect();
        files.retain(|file| !layouts.iter().any(|layout| dir.join(file).as_path().starts_with(layout)));
        closures.push(ServiceClosure {
            service: service.clone(),
            closure,
            shipped: files,
            foreign: ForeignVariants::default(),
            libraries: LibraryAnswers::default(),
            misfits: Vec::new(),
            supplied: BTreeMap::new(),
        });
    }
    Ok(closures)
}

/// Computes the closure of one service, with what it ships of its own; `None` for what is no member.
pub(super) fn close_service(
    service: &Service,
    platforms: &Platforms<'_>,
    packages: &dyn Packages,
    production: &ProductionTree,
    platform: &NodePlatform,
) -> Result<Option<(DependencyClosure, ShippedFiles)>, BuildError> {
    let own = platforms.settings.of_service(&service.name);
    let workspace = packages.workspace();
    let Some(member) = workspace.member_at(&service.dir) else { return Ok(None) };
    let dir = workspace.on_host(&service.dir);
    let include = own.include.unwrap_or_default();
    let exclude = own.exclude.unwrap_or_default();
    let shipped = ShippedFiles::of_service(member, &dir, &service.entry_point.file, &include, &exclude)?;
    let of_root = own.root_dependencies.unwrap_or(false);
    let closure_of = if platforms.request.explain { DependencyClosure::with_edges } else { DependencyClosure::of };
    let closure = closure_of(service, &shipped, packages, production, platform, of_root)?;
    Ok(Some((closure, shipped)))
}

impl Closures {
    /// What package.json files alone say, without any service.
    pub fn declared(packages: &dyn Packages, platform: TargetPlatform<'_>) -> Result<Self, BuildError> {
        let settings = platform.platforms.settings;
        let production = ProductionTree::of(packages, &platform.of_any())?;
        let configured = |name: &str| settings.of_service(name).entry_point.is_some();
        let mut fleet = BTreeMap::new();
        for (name, dir) in packages.workspace().fleet(configured) {
            let of_root = settings.of_service(&name).root_dependencies.unwrap_or(false);
            let of_service = platform.of_service(&name);
            fleet.insert(name, DependencyClosure::declared(&dir, packages, &production, &of_service, of_root)?);
        }
        Ok(Self { production, services: Vec::new(), fleet })
    }

    /// What the user should know.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let of_service = |needs: &ServiceClosure| {
            let name = needs.service.name.clone();
            needs.closure.warnings.clone().into_iter().map(move |warning| format!("{name}: {warning}"))
        };
        self.services.iter().flat_map(of_service)
    }

    /// The directories of all packages that anybody needs.
    pub fn directories(&self) -> impl Iterator<Item = &WorkspacePath> {
        let fleet = self.fleet.values().flat_map(|closure| closure.packages.keys());
        let production = self.production.packages().map(|(dir, _)| dir);
        let built = self.services.iter().flat_map(ServiceClosure::installed);
        fleet.chain(production).chain(built)
    }

    /// Everything that layers of packages are made of, with the services of the whole workspace that need it.
    pub fn units(
        &self,
        weights: &BTreeMap<WorkspacePath, Weight>,
        lean: impl Fn(&str) -> Lean,
    ) -> BTreeMap<(Portability, LayerUnit), Unit> {
        // What is fitted to the platform for one service most likely is for others, whose native code nobody looked at.
        let fitted: BTreeSet<&WorkspacePath> = self.services.iter().flat_map(ServiceClosure::fitted).collect();
        let mut units = BTreeMap::new();
        for (service, closure) in &self.fleet {
            let lean = lean(service);
            let links = closure.links.iter().filter(|(_, to)| closure.packages.contains_key(*to)).map(|(from, _)| from);
            for place in closure.packages.keys().chain(links) {
                let bytes = weights.get(place).map_or(0, |weight| weight.bytes);
                let fitted = fitted.contains(place).then_some(Portability::Bound);
                for portability in BTreeSet::from_iter(fitted.into_iter().chain([portability(closure, place)])) {
                    let key = (portability, LayerUnit { place: place.clone(), lean });
                    let unit = units.entry(key).or_insert(Unit { services: BTreeSet::new(), bytes });
                    unit.services.insert(service.clone());
                }
            }
        }
        units
    }
}

/// Whether a package or link of a closure is the same on every platform.
pub(super) fn portability(closure: &DependencyClosure, place: &WorkspacePath) -> Portability {
    match closure.bound.contains(place) {
        true => Portability::Bound,
        false => Portability::Portable,
    }
}
