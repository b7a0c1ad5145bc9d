//! The steps that decide: closures, then for each service the layers and what the image runs. No byte of any file's
//! content is read but package.json files and the code that is scanned for imports.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::base::{Bases, ResolvedBase, base_name};
use super::contents::{Contents, Ingredients};
use super::extension::Extension;
use super::locked::LockedNodeModules;
use super::natives::ForeignVariants;
use super::platforms::TargetPlatform;
use super::system::{ServiceSystem, Systems};
use super::{BuildError, BuildRequest, Context, Destination, format};
use crate::apk::PinnedPackage;
use crate::closure::{DependencyClosure, NodePlatform, Packages, ProductionTree};
use crate::config::{Health, ServiceSettings, Settings};
use crate::image::{BaseFiles, HealthCheck, RunSettings, RunUser, UserEntries};
use crate::layer::{FileTree, LayerPlan, Owner, PackageSets, Portability, Unit};
use crate::manifest::media_type::Compression;
use crate::manifest::{ContainerConfig, Format};
use crate::path::ImagePath;
use crate::platform::Platform;
use crate::workspace::{Service, ShippedFiles, WorkspacePath};

/// How many layers an image has above its base at most, where nobody says.
const DEFAULT_LAYERS: usize = 12;
/// Layers that hold no packages: the user, workspace packages, the application; and packages of the system, if there are.
const OTHER_LAYERS: usize = 3;

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
    /// What packages have in place of what lies in their directories, if anything does.
    pub supplied: BTreeMap<WorkspacePath, Arc<FileTree>>,
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
    fn weight(&self, weights: &BTreeMap<WorkspacePath, Weight>) -> Weight {
        let supplied = self.supplied.values().map(|tree| Weight::of_tree(tree));
        let sum = supplied.fold(Weight::of(self.installed(), weights), Weight::plus);
        let (files, bytes) = self.foreign.in_packages;
        Weight { files: sum.files.saturating_sub(files), bytes: sum.bytes.saturating_sub(bytes), ..sum }
    }
}

/// Computes the closure of each service on one platform.
fn close(
    services: &[Service],
    settings: &Settings,
    destinations: &[Destination],
    packages: &dyn Packages,
    platform: TargetPlatform<'_>,
    context: &Context,
) -> Result<Closures, BuildError> {
    let production = ProductionTree::of(packages, &platform.of_any())?;
    let mut closures = Vec::new();
    for service in services {
        context.cancellation.check()?;
        let of_service = platform.of_service(&service.name);
        let closed = close_service(service, settings, packages, &production, &of_service)?;
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
            supplied: BTreeMap::new(),
        });
    }
    let configured = |name: &str| settings.of_service(name).entry_point.is_some();
    let mut fleet = BTreeMap::new();
    for (name, dir) in packages.workspace().fleet(configured) {
        let of_root = settings.of_service(&name).root_dependencies.unwrap_or(false);
        let of_service = platform.of_service(&name);
        fleet.insert(name, DependencyClosure::declared(&dir, packages, &production, &of_service, of_root)?);
    }
    Ok(Closures { production, services: closures, fleet })
}

/// Computes the closure of one service, with what it ships of its own; `None` for what is no member.
pub(super) fn close_service(
    service: &Service,
    settings: &Settings,
    packages: &dyn Packages,
    production: &ProductionTree,
    platform: &NodePlatform,
) -> Result<Option<(DependencyClosure, ShippedFiles)>, BuildError> {
    let own = settings.of_service(&service.name);
    let workspace = packages.workspace();
    let Some(member) = workspace.member_at(&service.dir) else { return Ok(None) };
    let dir = workspace.on_host(&service.dir);
    let include = own.include.unwrap_or_default();
    let exclude = own.exclude.unwrap_or_default();
    let shipped = ShippedFiles::of_service(member, &dir, &service.entry_point.file, &include, &exclude)?;
    let of_root = own.root_dependencies.unwrap_or(false);
    let closure = DependencyClosure::of(service, &shipped, packages, production, platform, of_root)?;
    Ok(Some((closure, shipped)))
}

impl Closures {
    /// What the user should know.
    pub fn warnings(&self) -> impl Iterator<Item = String> {
        let of_service = |needs: &ServiceClosure| {
            let name = needs.service.name.clone();
            needs.closure.warnings.clone().into_iter().map(move |warning| format!("{name}: {warning}"))
        };
        self.services.iter().flat_map(of_service)
    }

    /// The directories of all packages that anybody needs.
    fn directories(&self) -> impl Iterator<Item = &WorkspacePath> {
        let fleet = self.fleet.values().flat_map(|closure| closure.packages.keys());
        let production = self.production.packages().map(|(dir, _)| dir);
        let built = self.services.iter().flat_map(ServiceClosure::installed);
        fleet.chain(production).chain(built)
    }

    /// Everything that layers of packages are made of, with the services of the whole workspace that need it.
    fn units(&self, weights: &BTreeMap<WorkspacePath, Weight>) -> BTreeMap<(Portability, WorkspacePath), Unit> {
        // What is fitted to the platform for one service most likely is for others, whose native code nobody looked at.
        let fitted: BTreeSet<&WorkspacePath> = self.services.iter().flat_map(ServiceClosure::fitted).collect();
        let mut units = BTreeMap::new();
        for (service, closure) in &self.fleet {
            let links = closure.links.iter().filter(|(_, to)| closure.packages.contains_key(*to)).map(|(from, _)| from);
            for place in closure.packages.keys().chain(links) {
                let bytes = weights.get(place).map_or(0, |weight| weight.bytes);
                let fitted = fitted.contains(place).then_some(Portability::Bound);
                for portability in BTreeSet::from_iter(fitted.into_iter().chain([portability(closure, place)])) {
                    let key = (portability, place.clone());
                    let unit = units.entry(key).or_insert(Unit { services: BTreeSet::new(), bytes });
                    unit.services.insert(service.clone());
                }
            }
        }
        units
    }
}

/// Every decision of a build.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    /// The services in the order of their directories.
    pub services: Vec<ServicePlan>,
    /// The layers, each once, however many services share it.
    pub layers: Vec<LayerPlan>,
    /// How they are compressed.
    pub compression: Compression,
    /// The format of the images' documents.
    pub format: Format,
}

/// Every decision about one service.
#[derive(Clone, Debug)]
pub struct ServicePlan {
    /// The service.
    pub service: Service,
    /// Its settings.
    pub settings: ServiceSettings,
    /// Its base, as the user names it.
    pub base: String,
    /// Its images, in the order of their platforms.
    pub images: Vec<ImagePlan>,
}

/// Every decision about the image of a service for one platform.
#[derive(Clone, Debug)]
pub struct ImagePlan {
    /// The platform, as its base has it.
    pub platform: Platform,
    /// What the service needs on it.
    pub closure: DependencyClosure,
    /// What its packages weigh.
    pub packages: Weight,
    /// What is left out of them, since it is native code for other platforms.
    pub foreign: ForeignVariants,
    /// What a production install of the whole workspace weighs.
    pub whole_tree: Weight,
    /// What the container runs.
    pub run: RunSettings,
    /// The packages that are added to the base's own, each behind what it needs.
    pub system_packages: Vec<PinnedPackage>,
    /// Its layers above the base, by their place in [`BuildPlan::layers`].
    pub layers: Vec<usize>,
}

/// What packages weigh.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    /// How many packages.
    pub packages: usize,
    /// How many files.
    pub files: usize,
    /// How many bytes the files have.
    pub bytes: u64,
}

impl Weight {
    /// What the packages in these directories weigh together.
    fn of<'p>(dirs: impl Iterator<Item = &'p WorkspacePath>, weights: &BTreeMap<WorkspacePath, Self>) -> Self {
        dirs.filter_map(|dir| weights.get(dir)).copied().fold(Self::default(), Self::plus)
    }

    fn of_tree(tree: &FileTree) -> Self {
        Self { packages: 1, files: tree.files(), bytes: tree.content_bytes() }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            packages: self.packages + other.packages,
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// What the images for one platform are made of.
pub(super) struct Needs<'a> {
    pub target: TargetPlatform<'a>,
    pub packages: &'a dyn Packages,
    /// Where they lie, if they are the lockfile's.
    pub locked: Option<&'a LockedNodeModules<'a>>,
    pub closures: Closures,
    /// What is added to the bases, once that is known.
    pub systems: Systems,
    pub contents: Contents<'a>,
}

impl<'a> Needs<'a> {
    /// What these services need on one platform, and what is known of that without their bases. `others` are those of the
    /// platforms before.
    pub fn of(
        target: TargetPlatform<'a>,
        packages: &'a dyn Packages,
        locked: Option<&'a LockedNodeModules<'a>>,
        services: &[Service],
        destinations: &[Destination],
        others: &[Self],
        context: &Context,
    ) -> Result<Self, BuildError> {
        let settings = target.platforms.settings;
        let closures = close(services, settings, destinations, packages, target, context)?;
        let told: BTreeSet<String> = others.iter().flat_map(|other| other.closures.warnings()).collect();
        closures.warnings().filter(|text| !told.contains(text)).for_each(|text| context.progress.warn(&text));
        if let Some(locked) = locked {
            locked.refuse_install_scripts(&closures, target, settings)?;
        }
        let mut contents = Contents::new(packages, locked, settings)?;
        others.last().into_iter().for_each(|other| contents.take_over(&other.contents));
        contents.look_ahead(settings, &closures)?;
        Ok(Self { target, packages, locked, closures, systems: Systems::default(), contents })
    }
}

/// An image whose base and user are known, before its layers are.
struct Draft<'a> {
    needs: ServiceClosure,
    settings: ServiceSettings,
    base: String,
    resolved: &'a ResolvedBase,
    owner: Owner,
    extension: Extension,
    system: Arc<ServiceSystem>,
    /// Of the base, and of what the system layer brings.
    files: Cow<'a, BaseFiles>,
    run: RunSettings,
}

impl<'a> Draft<'a> {
    fn new(
        needs: ServiceClosure,
        contents: &Contents<'_>,
        platform: &Platform,
        settings: &Settings,
        bases: &'a Bases,
        systems: &Systems,
        request: &BuildRequest,
    ) -> Result<Option<Self>, BuildError> {
        let service = &needs.service;
        let base = base_name(&service.name, settings, request);
        let Some(resolved) = bases.get(&base, platform) else { return Ok(None) };
        let settings = settings.of_service(&service.name);
        let system = systems.of_service(&service.name);
        let files = match system.tree.is_empty() {
            true => Cow::Borrowed(&*resolved.files),
            false => Cow::Owned(resolved.files.under(&system.tree)),
        };
        let UserEntries { owner, in_other_groups, tree } = settings.user.clone().unwrap_or_default().entries(&files)?;
        let extension = Extension::of(&service.name, &settings, contents.workspace(), &files, tree)?;
        let base_config = &resolved.image.config.parsed().config;
        let user = RunUser { owner, in_other_groups };
        let entrypoint = system.entrypoint(settings.entrypoint.as_deref(), &base_config.entrypoint);
        let run = run_settings(&needs, &settings, contents.root(), user, &extension.env, entrypoint, base_config)?;
        Ok(Some(Self { needs, settings, base, resolved, owner, extension, system, files, run }))
    }
}

impl BuildPlan {
    /// Decides everything. What is decided for one platform does not depend on which others there are.
    pub(super) fn new(
        needs: Vec<Needs<'_>>,
        settings: &Settings,
        bases: &Bases,
        request: &BuildRequest,
    ) -> Result<Self, BuildError> {
        let compression = request.compression.or(settings.compression).unwrap_or(Compression::Gzip);
        let format = format::chosen(request, settings);
        let mut plan = Self { services: Vec::new(), layers: Vec::new(), compression, format };
        for of_platform in needs {
            plan.add(of_platform, settings, bases, request)?;
        }
        for service in &mut plan.services {
            service.images.sort_by(|a, b| a.platform.cmp(&b.platform));
            // Two wishes, such as `linux/arm` and `linux/arm/v7`, may lead to one image.
            service.images.dedup_by(|a, b| a.platform == b.platform);
        }
        Ok(plan)
    }

    /// Adds the images for one platform.
    fn add(
        &mut self,
        needs: Needs<'_>,
        settings: &Settings,
        bases: &Bases,
        request: &BuildRequest,
    ) -> Result<(), BuildError> {
        let Needs { target, closures, systems, mut contents, .. } = needs;
        let weights = contents.weigh(closures.directories())?;
        let others = OTHER_LAYERS + usize::from(systems.are_any());
        let package_layers = settings.layers.unwrap_or(DEFAULT_LAYERS).saturating_sub(others).max(1);
        let sets = PackageSets::of(closures.units(&weights), package_layers);
        let whole_tree = Weight::of(closures.production.packages().map(|(dir, _)| dir), &weights);
        for needs in closures.services {
            let draft = Draft::new(needs, &contents, target.platform, settings, bases, &systems, request)?;
            let Some(draft) = draft else { continue };
            let Draft { needs, settings: own, base, resolved, owner, extension, system, files, run } = draft;
            contents.collect(needs.installed(), owner)?;
            let ingredients = Ingredients {
                service: &needs.service,
                settings: &own,
                closure: &needs.closure,
                shipped: &needs.shipped,
                supplied: &needs.supplied,
                left_out: &needs.foreign.places,
                working_dir: &run.working_dir,
                system: &system.tree,
                sets: &sets,
                hard_links: settings.hard_links.unwrap_or(true),
                base: &files,
                owner,
            };
            let layers = contents.layers(contents.of_service(&ingredients, extension.fragments)?, &files, owner)?;
            let layers = layers.into_iter().map(|layer| self.index_of(layer)).collect();
            let packages = needs.weight(&weights);
            let ServiceClosure { service, closure, foreign, .. } = needs;
            let (platform, system_packages) = (resolved.image.platform.clone(), system.packages.clone());
            let image = ImagePlan { platform, closure, packages, foreign, whole_tree, system_packages, run, layers };
            match self.services.iter_mut().find(|known| known.service.dir == service.dir) {
                Some(known) => known.images.push(image),
                None => self.services.push(ServicePlan { service, settings: own, base, images: vec![image] }),
            }
        }
        Ok(())
    }

    /// The place of a layer among those planned, which it joins if it is new.
    fn index_of(&mut self, layer: LayerPlan) -> usize {
        self.layers.iter().position(|known| *known == layer).unwrap_or_else(|| {
            self.layers.push(layer);
            self.layers.len() - 1
        })
    }
}

/// Whether a package or link of a closure is the same on every platform.
pub(super) fn portability(closure: &DependencyClosure, place: &WorkspacePath) -> Portability {
    match closure.bound.contains(place) {
        true => Portability::Bound,
        false => Portability::Portable,
    }
}

fn run_settings(
    needs: &ServiceClosure,
    settings: &ServiceSettings,
    root: &ImagePath,
    user: RunUser,
    found_by: &BTreeMap<String, String>,
    entrypoint: Option<Vec<String>>,
    base: &ContainerConfig,
) -> Result<RunSettings, BuildError> {
    let ServiceClosure { service, closure, .. } = needs;
    let port = settings.port.or(closure.default_port);
    let mut env = BTreeMap::from([("NODE_ENV".to_owned(), "production".to_owned())]);
    env.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    env.extend(found_by.clone());
    env.extend(settings.env.clone());
    let mut expose: BTreeSet<String> = port.iter().map(|port| format!("{port}/tcp")).collect();
    expose.extend(settings.expose.iter().flatten().cloned());
    let starts = entrypoint.as_ref().unwrap_or(&base.entrypoint);
    let health = match &settings.health {
        None => None,
        Some(Health::Command(check)) => Some(check.clone()),
        Some(Health::Http(path, times)) => {
            let port = port.ok_or_else(|| BuildError::HealthWithoutPort(service.name.clone()))?;
            let http = HealthCheck::http(node_in(starts).unwrap_or("node"), path, port);
            Some(HealthCheck { command: http.command, ..times.clone() })
        }
    };
    let command = settings.command.clone().unwrap_or_else(|| command(service, starts));
    Ok(RunSettings {
        user,
        working_dir: match &settings.workdir {
            Some(workdir) => ImagePath::new(workdir)?,
            None => root.join(service.dir.as_path())?,
        },
        entrypoint,
        command,
        env,
        expose,
        labels: settings.labels.clone(),
        health,
    })
}

/// Node itself, where an entrypoint ends with it.
pub(super) fn node_in(entrypoint: &[String]) -> Option<&str> {
    let last = entrypoint.last()?;
    matches!(last.rsplit('/').next(), Some("node" | "nodejs")).then_some(last)
}

/// `node`, the options of the start script, and the entry point; without `node` where the entrypoint is node itself, as in
/// distroless bases.
fn command(service: &Service, entrypoint: &[String]) -> Vec<String> {
    let mut command = if node_in(entrypoint).is_some() { Vec::new() } else { vec!["node".to_owned()] };
    command.extend(service.entry_point.node_options.iter().cloned());
    command.push(service.entry_point.file.display().to_string());
    command
}
