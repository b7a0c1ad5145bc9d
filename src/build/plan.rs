//! The steps that decide: closures, then for each service the layers and what the image runs. No byte of any file's
//! content is read but package.json files and the code that is scanned for imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

use super::base::{ResolvedBase, base_name};
use super::contents::{Contents, Ingredients};
use super::why::Needs;
use super::{BuildError, BuildRequest, Context, Destination};
use crate::closure::{DependencyClosure, NodePlatform, Packages, ProductionTree};
use crate::config::{Health, ServiceSettings, Settings};
use crate::image::{HealthCheck, RunSettings, UserEntries};
use crate::layer::{LayerPlan, LeftOut, Owner, ServiceSets, Unit};
use crate::manifest::ContainerConfig;
use crate::manifest::media_type::Compression;
use crate::path::ImagePath;
use crate::platform::Platform;
use crate::workspace::{Service, ShippedFiles, WorkspacePath};

/// How many layers an image has above its base at most, where nobody says.
const DEFAULT_LAYERS: usize = 12;
/// Layers that hold no packages: the user, workspace packages, the application.
const OTHER_LAYERS: usize = 3;

/// What the services of a workspace need.
pub(super) struct Closures {
    /// What a production install of the whole workspace holds.
    pub production: ProductionTree,
    /// The services that are built, in their order.
    pub services: Vec<ServiceClosure>,
    /// By the name of each member that could be a service, built now or not: what package.json files say it needs.
    pub fleet: BTreeMap<String, DependencyClosure>,
    /// Who needs what, where the plan is to be explained.
    pub needs: Option<Needs>,
}

/// What one service needs.
pub(super) struct ServiceClosure {
    pub service: Service,
    pub closure: DependencyClosure,
    /// The files of its own that it ships, relative to its directory.
    pub shipped: Vec<PathBuf>,
}

/// What layers of packages are made of: a package or a link to one, at its place, whole or slim. Services that want it
/// otherwise do not share it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct LayerUnit {
    pub place: WorkspacePath,
    pub slim: bool,
}

/// Whether the packages of a service come without what no running program reads.
fn is_slim(name: &str, settings: &Settings, request: &BuildRequest) -> bool {
    request.slim.or(settings.of_service(name).slim).unwrap_or(false)
}

/// The platform of each service's image. Its C library is that of its base.
pub(super) struct Platforms<'a> {
    pub platform: &'a Platform,
    pub settings: &'a Settings,
    pub request: &'a BuildRequest,
    /// The bases that are known yet; without one, packages for either library stay.
    pub bases: Option<Arc<BTreeMap<String, ResolvedBase>>>,
}

impl Platforms<'_> {
    /// What holds whatever the C library is.
    pub fn of_any(&self) -> NodePlatform {
        NodePlatform::new(self.platform, None)
    }

    /// The platform of a service's image.
    pub fn of_service(&self, name: &str) -> NodePlatform {
        let base = self.bases.as_ref().and_then(|bases| bases.get(&base_name(name, self.settings, self.request)));
        NodePlatform::new(self.platform, base.and_then(|base| base.files.libc()))
    }
}

/// Computes the closure of each service.
pub(super) fn close(
    services: Vec<Service>,
    settings: &Settings,
    destinations: &[Destination],
    packages: &dyn Packages,
    platforms: &Platforms<'_>,
    context: &Context,
) -> Result<Closures, BuildError> {
    let explain = platforms.request.explain;
    let production = ProductionTree::of(packages, &platforms.of_any())?;
    let mut closures = Vec::new();
    for service in services {
        context.cancellation.check()?;
        let own = settings.of_service(&service.name);
        let workspace = packages.workspace();
        let Some(member) = workspace.member_at(&service.dir) else { continue };
        let dir = workspace.on_host(&service.dir);
        let include = own.include.unwrap_or_default();
        let exclude = own.exclude.unwrap_or_default();
        let shipped = ShippedFiles::of_service(member, &dir, &service.entry_point.file, &include, &exclude)?;
        let of_root = own.root_dependencies.unwrap_or(false);
        let platform = platforms.of_service(&service.name);
        let closure_of = if explain { DependencyClosure::with_edges } else { DependencyClosure::of };
        let closure = closure_of(&service, &shipped, packages, &production, &platform, of_root)?;
        for warning in &closure.warnings {
            context.progress.warn(&format!("{}: {warning}", service.name));
        }
        let mut files = shipped.list(&dir)?;
        // Images that an earlier build left in the workspace are no part of the next.
        let layouts: Vec<PathBuf> = destinations.iter().filter_map(Destination::absolute_path).collect();
        files.retain(|file| !layouts.iter().any(|layout| dir.join(file).as_path().starts_with(layout)));
        closures.push(ServiceClosure { service, closure, shipped: files });
    }
    let configured = |name: &str| settings.of_service(name).entry_point.is_some();
    let mut fleet = BTreeMap::new();
    for (name, dir) in packages.workspace().fleet(configured) {
        let of_root = settings.of_service(&name).root_dependencies.unwrap_or(false);
        let platform = platforms.of_service(&name);
        fleet.insert(name, DependencyClosure::declared(&dir, packages, &production, &platform, of_root)?);
    }
    let mut closures = Closures { production, services: closures, fleet, needs: None };
    if explain {
        closures.needs = Some(Needs::of(&closures, packages)?);
    }
    Ok(closures)
}

impl Closures {
    /// The directories of all packages that anybody needs.
    fn directories(&self) -> impl Iterator<Item = &WorkspacePath> {
        let fleet = self.fleet.values().flat_map(|closure| closure.packages.keys());
        let production = self.production.packages().map(|(dir, _)| dir);
        let built = self.services.iter().flat_map(|needs| needs.closure.packages.keys());
        fleet.chain(production).chain(built)
    }

    /// Everything that layers of packages are made of, with the services of the whole workspace that need it.
    fn units(
        &self,
        weights: &BTreeMap<WorkspacePath, Weight>,
        is_slim: impl Fn(&str) -> bool,
    ) -> BTreeMap<LayerUnit, Unit> {
        let mut units: BTreeMap<LayerUnit, Unit> = BTreeMap::new();
        for (service, closure) in &self.fleet {
            let slim = is_slim(service);
            let links = closure.links.iter().filter(|(_, to)| closure.packages.contains_key(*to)).map(|(from, _)| from);
            for place in closure.packages.keys().chain(links) {
                let bytes = weights.get(place).map_or(0, |weight| weight.bytes);
                let key = LayerUnit { place: place.clone(), slim };
                let unit = units.entry(key).or_insert(Unit { services: BTreeSet::new(), bytes });
                unit.services.insert(service.clone());
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
    /// What a production install of the whole workspace weighs.
    pub whole_tree: Weight,
    /// The directory that stands for the workspace's root in the images.
    pub root: ImagePath,
    /// Who needs what, where the plan is to be explained.
    pub needs: Option<Needs>,
}

/// Every decision about one service.
#[derive(Clone, Debug)]
pub struct ServicePlan {
    /// The service.
    pub service: Service,
    /// Its settings.
    pub settings: ServiceSettings,
    /// What it needs.
    pub closure: DependencyClosure,
    /// What its packages weigh.
    pub packages: Weight,
    /// Whether they come without what no running program reads.
    pub slim: bool,
    /// What that leaves out of them, or would.
    pub slimming: LeftOut,
    /// Its base, as the user names it.
    pub base: String,
    /// What the container runs.
    pub run: RunSettings,
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

    /// The same packages without some of their files.
    fn without(self, left_out: LeftOut) -> Self {
        let files = self.files.saturating_sub(left_out.files);
        Self { files, bytes: self.bytes.saturating_sub(left_out.bytes), ..self }
    }

    fn plus(self, other: Self) -> Self {
        Self {
            packages: self.packages + other.packages,
            files: self.files + other.files,
            bytes: self.bytes + other.bytes,
        }
    }
}

/// A service whose base and user are known, before its layers are.
struct Draft<'a> {
    needs: ServiceClosure,
    settings: ServiceSettings,
    base: String,
    resolved: &'a ResolvedBase,
    user: UserEntries,
    run: RunSettings,
}

impl<'a> Draft<'a> {
    fn new(
        needs: ServiceClosure,
        root: &ImagePath,
        settings: &Settings,
        bases: &'a BTreeMap<String, ResolvedBase>,
        request: &BuildRequest,
    ) -> Result<Option<Self>, BuildError> {
        let service = &needs.service;
        let base = base_name(&service.name, settings, request);
        let Some(resolved) = bases.get(&base) else { return Ok(None) };
        let settings = settings.of_service(&service.name);
        let user = settings.user.clone().unwrap_or_default().entries(&resolved.files)?;
        let base_config = &resolved.image.config.parsed().config;
        let run = run_settings(service, &settings, &needs.closure, root, user.owner, base_config)?;
        Ok(Some(Self { needs, settings, base, resolved, user, run }))
    }
}

impl BuildPlan {
    /// Decides everything. `bases` are by the name the user gave them.
    pub(super) fn new(
        mut contents: Contents<'_>,
        settings: &Settings,
        closures: Closures,
        bases: &BTreeMap<String, ResolvedBase>,
        request: &BuildRequest,
    ) -> Result<Self, BuildError> {
        let weights = contents.weigh(closures.directories())?;
        let units = closures.units(&weights, |name| is_slim(name, settings, request));
        let sets = ServiceSets::of(units, settings.layers.unwrap_or(DEFAULT_LAYERS) - OTHER_LAYERS);
        let mut plan = Self {
            services: Vec::new(),
            layers: Vec::new(),
            compression: request.compression.or(settings.compression).unwrap_or(Compression::Gzip),
            whole_tree: Weight::of(closures.production.packages().map(|(dir, _)| dir), &weights),
            root: contents.root().clone(),
            needs: closures.needs,
        };
        for needs in closures.services {
            let Some(draft) = Draft::new(needs, contents.root(), settings, bases, request)? else { continue };
            let Draft { needs, settings: own, base, resolved, user, run } = draft;
            let owner = user.owner;
            contents.collect(needs.closure.packages.keys(), owner)?;
            let ingredients = Ingredients {
                service: &needs.service,
                settings: &own,
                closure: &needs.closure,
                shipped: &needs.shipped,
                working_dir: &run.working_dir,
                sets: &sets,
                slim: is_slim(&needs.service.name, settings, request),
                hard_links: settings.hard_links.unwrap_or(true),
            };
            let slim = ingredients.slim;
            let (above, slimming) = contents.of_service(&ingredients, user)?;
            let layers = contents.layers(above, &resolved.files, owner)?;
            let layers = layers.into_iter().map(|layer| plan.index_of(layer)).collect();
            let whole = Weight::of(needs.closure.packages.keys(), &weights);
            let packages = if slim { whole.without(slimming) } else { whole };
            let ServiceClosure { service, closure, .. } = needs;
            plan.services.push(ServicePlan {
                service,
                settings: own,
                closure,
                packages,
                slim,
                slimming,
                base,
                run,
                layers,
            });
        }
        Ok(plan)
    }

    /// The place of a layer among those planned, which it joins if it is new.
    fn index_of(&mut self, layer: LayerPlan) -> usize {
        self.layers.iter().position(|known| *known == layer).unwrap_or_else(|| {
            self.layers.push(layer);
            self.layers.len() - 1
        })
    }
}

fn run_settings(
    service: &Service,
    settings: &ServiceSettings,
    closure: &DependencyClosure,
    root: &ImagePath,
    user: Owner,
    base: &ContainerConfig,
) -> Result<RunSettings, BuildError> {
    let port = settings.port.or(closure.default_port);
    let mut env = BTreeMap::from([("NODE_ENV".to_owned(), "production".to_owned())]);
    env.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    env.extend(settings.env.clone());
    let mut expose: BTreeSet<String> = port.iter().map(|port| format!("{port}/tcp")).collect();
    expose.extend(settings.expose.iter().flatten().cloned());
    let health = match &settings.health {
        None => None,
        Some(Health::Command(check)) => Some(check.clone()),
        Some(Health::Http(path, times)) => {
            let port = port.ok_or_else(|| BuildError::HealthWithoutPort(service.name.clone()))?;
            let http = HealthCheck::http(path, port);
            Some(HealthCheck { command: http.command, ..times.clone() })
        }
    };
    let entrypoint = settings.entrypoint.as_ref().unwrap_or(&base.entrypoint);
    Ok(RunSettings {
        user,
        working_dir: match &settings.workdir {
            Some(workdir) => ImagePath::new(workdir)?,
            None => root.join(service.dir.as_path())?,
        },
        entrypoint: settings.entrypoint.clone(),
        command: settings.command.clone().unwrap_or_else(|| command(service, entrypoint)),
        env,
        expose,
        labels: settings.labels.clone(),
        health,
    })
}

/// `node`, the options of the start script, and the entry point; without `node` where the entrypoint is node itself, as in
/// distroless bases.
fn command(service: &Service, entrypoint: &[String]) -> Vec<String> {
    let starts_node = entrypoint.last().is_some_and(|last| matches!(last.rsplit('/').next(), Some("node" | "nodejs")));
    let mut command = if starts_node { Vec::new() } else { vec!["node".to_owned()] };
    command.extend(service.entry_point.node_options.iter().cloned());
    command.push(service.entry_point.file.display().to_string());
    command
}
