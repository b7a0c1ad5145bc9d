//! The steps that decide: closures, then for each service the layers and what the image runs. No byte of any file's
//! content is read but package.json files and the code that is scanned for imports.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use super::base::{ResolvedBase, base_name};
use super::contents::Contents;
use super::{BuildError, BuildRequest, Context};
use crate::closure::{DependencyClosure, InstalledPackages, ProductionTree};
use crate::config::{Health, ServiceSettings, Settings};
use crate::image::{HealthCheck, RunSettings};
use crate::layer::{LayerPlan, Owner};
use crate::path::ImagePath;
use crate::platform::Platform;
use crate::workspace::{Service, ShippedFiles, Workspace};

/// The directory that stands for the workspace's root in images, where nobody names one.
const DEFAULT_ROOT: &str = "/app";

/// What the services of a workspace need.
pub(super) struct Closures {
    /// What a production install of the whole workspace holds.
    pub production: ProductionTree,
    /// By the service's name: its closure, and the files of its own that it ships, relative to its directory.
    pub services: BTreeMap<String, (DependencyClosure, Vec<PathBuf>)>,
}

/// Computes the closure of each service.
pub(super) fn close(
    services: &[Service],
    settings: &Settings,
    installed: &InstalledPackages<'_>,
    platform: &Platform,
    context: &Context,
) -> Result<Closures, BuildError> {
    context.progress.step("computing dependency closures");
    let production = ProductionTree::of(installed, platform)?;
    let mut closures = BTreeMap::new();
    for service in services {
        context.cancellation.check()?;
        let own = settings.of_service(&service.name);
        let workspace = installed.workspace();
        let Some(member) = workspace.member_at(&service.dir) else { continue };
        let dir = workspace.on_host(&service.dir);
        let include = own.include.unwrap_or_default();
        let exclude = own.exclude.unwrap_or_default();
        let shipped = ShippedFiles::of_service(member, &dir, &service.entry_point.file, &include, &exclude)?;
        let closure = DependencyClosure::of(service, &shipped, installed, &production, platform)?;
        for warning in &closure.warnings {
            context.progress.warn(&format!("{}: {warning}", service.name));
        }
        closures.insert(service.name.clone(), (closure, shipped.list(&dir)?));
    }
    Ok(Closures { production, services: closures })
}

/// Every decision of a build.
#[derive(Clone, Debug)]
pub struct BuildPlan {
    /// The services in the order of their directories.
    pub services: Vec<ServicePlan>,
    /// The layers, each once, however many services share it.
    pub layers: Vec<LayerPlan>,
    /// What a production install of the whole workspace weighs.
    pub whole_tree: Weight,
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

impl BuildPlan {
    /// Decides everything. `bases` are by the name the user gave them.
    pub(super) fn new(
        workspace: &Workspace,
        settings: &Settings,
        services: Vec<Service>,
        closures: Closures,
        bases: &BTreeMap<String, ResolvedBase>,
        request: &BuildRequest,
    ) -> Result<Self, BuildError> {
        let root = ImagePath::new(settings.root.as_deref().unwrap_or(DEFAULT_ROOT))?;
        let mut contents = Contents::new(workspace, root);
        let mut plan = Self { services: Vec::new(), layers: Vec::new(), whole_tree: Weight::default() };
        for service in services {
            let Some((closure, shipped)) = closures.services.get(&service.name) else { continue };
            let base = base_name(&service, settings, request);
            let Some(resolved) = bases.get(&base) else { continue };
            let settings = settings.of_service(&service.name);
            let user = settings.user.clone().unwrap_or_default().entries(&resolved.files)?;
            let run = run_settings(&service, &settings, closure, contents.root(), user.owner)?;
            let image = contents.of_service(&service, &settings, closure, shipped, user, &run.working_dir)?;
            let layers = contents.layers(image, &resolved.files, run.user)?;
            let packages = contents.weigh(closure.packages.keys())?;
            let layers = layers.into_iter().map(|layer| plan.index_of(layer)).collect();
            plan.services.push(ServicePlan {
                service,
                settings,
                closure: closure.clone(),
                packages,
                base,
                run,
                layers,
            });
        }
        plan.whole_tree = contents.weigh(closures.production.packages().map(|(dir, _)| dir))?;
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
    Ok(RunSettings {
        user,
        working_dir: match &settings.workdir {
            Some(workdir) => ImagePath::new(workdir)?,
            None => root.join(service.dir.as_path())?,
        },
        entrypoint: settings.entrypoint.clone(),
        command: settings.command.clone().unwrap_or_else(|| command(service)),
        env,
        expose,
        labels: settings.labels.clone(),
        health,
    })
}

/// `node`, the options of the start script, and the entry point.
fn command(service: &Service) -> Vec<String> {
    let mut command = vec!["node".to_owned()];
    command.extend(service.entry_point.node_options.iter().cloned());
    command.push(service.entry_point.file.display().to_string());
    command
}
