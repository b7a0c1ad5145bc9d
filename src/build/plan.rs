//! The steps that decide: closures, then for each service the layers and what the image runs. No byte of any file's
//! content is read but package.json files and the code that is scanned for imports.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::base::{Bases, ResolvedBase, base_name};
use super::closures::{self, Closures, ServiceClosure};
use super::contents::{self, Contents, Ingredients};
use super::extension::{self, Extension};
use super::locked::LockedNodeModules;
use super::natives::ForeignVariants;
use super::platforms::{Lean, TargetPlatform};
use super::system::{ServiceSystem, Systems};
use super::trace::Untraced;
use super::weight::Weight;
use super::why::Dependents;
use super::{BuildError, BuildRequest, Context, Destination, format};
use crate::apk::PinnedPackage;
use crate::check::Finding;
use crate::closure::{DependencyClosure, Packages};
use crate::config::{Health, ServiceSettings, Settings};
use crate::image::{BaseExtension, BaseFiles, Contract, HealthCheck, ImageHealth, ReliedOn, RunSettings, RunUser};
use crate::layer::{LayerPlan, LeftOut, PackageSets};
use crate::manifest::media_type::Compression;
use crate::manifest::{ContainerConfig, Format};
use crate::path::ImagePath;
use crate::platform::Platform;
use crate::workspace::Service;

/// How many layers an image has above its base at most, where nobody says.
const DEFAULT_LAYERS: usize = 12;
/// Layers that hold no packages: the user, workspace packages, the application; and packages of the system, if there are.
const OTHER_LAYERS: usize = 3;

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
    /// Where the directory that stands for the workspace's root lies in it.
    pub root: ImagePath,
    /// Whether its packages come without what no running program reads.
    pub slim: bool,
    /// What that leaves out of them, or would.
    pub slimming: LeftOut,
    /// What is left out of them since the services cannot reach it, where that was looked at.
    pub traced: Option<Untraced>,
    /// What is left out of them, since it is native code for other platforms.
    pub foreign: ForeignVariants,
    /// Where the service and its packages do not fit the base.
    pub misfits: Vec<Finding>,
    /// What a production install of the whole workspace weighs.
    pub whole_tree: Weight,
    /// Who needs what, where the plan is to be explained.
    pub dependents: Option<Arc<Dependents>>,
    /// As whom the container runs.
    pub user: RunUser,
    /// What the container runs, and what the image says of its making.
    pub contract: Contract,
    /// The packages that are added to the base's own, each behind what it needs.
    pub system_packages: Vec<PinnedPackage>,
    /// Its layers above the base, by their place in [`BuildPlan::layers`].
    pub layers: Vec<usize>,
}

/// How layers are compressed.
pub(super) fn compression(request: &BuildRequest, settings: &Settings) -> Compression {
    request.compression.or(settings.compression).unwrap_or(Compression::Gzip)
}

/// Whether identical files of a package's copies are hard links.
pub(super) fn hard_links(settings: &Settings) -> bool {
    settings.hard_links.unwrap_or(true)
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
        let mut closures = Closures::declared(packages, target)?;
        let mut contents = Contents::new(packages, locked, settings)?;
        others.last().into_iter().for_each(|other| contents.take_over(&other.contents));
        // Most of what services need they declare: their packages are looked at while their code is.
        let (closed, looked_ahead) = rayon::join(
            || closures::close(services, destinations, packages, &closures.production, target, context),
            || contents.look_ahead(settings, services.iter().filter_map(|it| closures.fleet.get_key_value(&it.name))),
        );
        closures.services = closed?;
        looked_ahead?;
        let told: BTreeSet<String> = others.iter().flat_map(|other| other.closures.warnings()).collect();
        closures.warnings().filter(|text| !told.contains(text)).for_each(|text| context.progress.warn(&text));
        if let Some(locked) = locked {
            locked.refuse_install_scripts(&closures, target, settings)?;
        }
        let closed = closures.services.iter().map(|needs| (&needs.service.name, &needs.closure));
        contents.look_ahead(settings, closed)?;
        Ok(Self { target, packages, locked, closures, systems: Systems::default(), contents })
    }
}

/// An image whose base and user are known, before its layers are.
struct Draft<'a> {
    needs: ServiceClosure,
    settings: ServiceSettings,
    base: String,
    resolved: &'a ResolvedBase,
    wanted: BaseExtension,
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
        let files = resolved.files.under(&system.tree);
        let wanted = extension::wanted(&service.name, &settings, contents.workspace())?;
        let extension = Extension::of(&wanted, &files)?;
        let base_config = &resolved.image.config.parsed().config;
        let entrypoint = system.entrypoint(settings.entrypoint.as_deref(), &base_config.entrypoint);
        let variables = extension::variables(&wanted, base_config, &files, &settings.env)?;
        let run = run_settings(&needs, &settings, contents.root(), variables, entrypoint, base_config)?;
        Ok(Some(Self { needs, settings, base, resolved, wanted, extension, system, files, run }))
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
        let compression = compression(request, settings);
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
        let Needs { target, packages, closures, systems, mut contents, .. } = needs;
        let weights = contents.weigh(closures.directories())?;
        let dependents = match request.explain {
            true => Some(Arc::new(Dependents::of(&closures, packages)?)),
            false => None,
        };
        let others = OTHER_LAYERS + usize::from(settings.add_to_bases());
        let package_layers = settings.layers.unwrap_or(DEFAULT_LAYERS).saturating_sub(others).max(1);
        let sets = PackageSets::of(closures.units(&weights, |name| target.platforms.lean(name)), package_layers);
        let whole_tree = Weight::of(closures.production.packages().map(|(dir, _)| dir), &weights);
        for needs in closures.services {
            let draft = Draft::new(needs, &contents, target.platform, settings, bases, &systems, request)?;
            let Some(draft) = draft else { continue };
            let Draft { needs, settings: own, base, resolved, wanted, extension, system, files, run } = draft;
            let (owner, hard_links) = (extension.user.owner, hard_links(settings));
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
                lean: target.platforms.lean(&needs.service.name),
                hard_links,
                base: &files,
                owner,
            };
            let Lean { slim, traced } = ingredients.lean;
            let (above, slimming) = contents.of_service(&ingredients, extension.fragments)?;
            let layers = contents::layers(above, contents.root(), &files, owner)?;
            let (root, outside) = (contents.root(), contents.places_outside_root(&ingredients)?);
            let relied_on = ReliedOn::of(&resolved.image, &files, root, &outside, is_made_for_entrypoint(&own), owner);
            let relied_on = ReliedOn { libraries: needs.libraries.clone(), ..relied_on };
            let roles = layers.iter().map(|layer| layer.role).collect();
            let contract = Contract::new(self.compression, hard_links, root.clone(), wanted, run, relied_on, roles);
            let contract = contract.adding(system.added.clone());
            let layers = layers.into_iter().map(|layer| self.index_of(layer)).collect();
            let whole = needs.weight(&weights);
            let ServiceClosure { service, closure, foreign, misfits, .. } = needs;
            let image = ImagePlan {
                platform: resolved.image.platform.clone(),
                closure,
                packages: if slim { whole.without(slimming) } else { whole },
                root: files.resolve(contents.root())?,
                slim,
                slimming,
                traced: traced.then(Untraced::default),
                foreign,
                misfits,
                whole_tree,
                dependents: dependents.clone(),
                user: extension.user,
                contract,
                system_packages: system.packages.clone(),
                layers,
            };
            match self.services.iter_mut().find(|known| known.service.dir == service.dir) {
                Some(known) => known.images.push(image),
                None => self.services.push(ServicePlan { service, settings: own, base, images: vec![image] }),
            }
        }
        Ok(())
    }

    /// The place of a layer among those planned, which it joins if it is new.
    pub(super) fn index_of(&mut self, layer: LayerPlan) -> usize {
        self.layers.iter().position(|known| *known == layer).unwrap_or_else(|| {
            self.layers.push(layer);
            self.layers.len() - 1
        })
    }
}

fn run_settings(
    needs: &ServiceClosure,
    settings: &ServiceSettings,
    root: &ImagePath,
    found_by: BTreeMap<String, String>,
    entrypoint: Option<Vec<String>>,
    base: &ContainerConfig,
) -> Result<RunSettings, BuildError> {
    let ServiceClosure { service, closure, .. } = needs;
    let port = settings.port.or(closure.default_port);
    let mut env = BTreeMap::from([("NODE_ENV".to_owned(), "production".to_owned())]);
    env.extend(port.map(|port| ("PORT".to_owned(), port.to_string())));
    env.extend(found_by);
    env.extend(settings.env.clone());
    let mut expose: BTreeSet<String> = port.iter().map(|port| format!("{port}/tcp")).collect();
    expose.extend(settings.expose.iter().flatten().cloned());
    let starts = entrypoint.as_ref().unwrap_or(&base.entrypoint);
    let health = match &settings.health {
        None => None,
        Some(Health::Off) => Some(ImageHealth::Off),
        Some(Health::Command(check)) => Some(ImageHealth::Check(check.clone())),
        Some(Health::Http(path, times)) => {
            let port = port.ok_or_else(|| BuildError::HealthWithoutPort(service.name.clone()))?;
            let http = HealthCheck::http(node_in(starts).unwrap_or("node"), path, port);
            Some(ImageHealth::Check(HealthCheck { command: http.command, ..times.clone() }))
        }
    };
    let command = settings.command.clone().unwrap_or_else(|| command(service, starts));
    Ok(RunSettings {
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

/// Whether the entrypoint behind an init, the command or the health check is one thing upon one entrypoint of the base, and
/// another upon another.
fn is_made_for_entrypoint(settings: &ServiceSettings) -> bool {
    let asks_node = matches!(settings.health, Some(Health::Http(..)));
    settings.entrypoint.is_none() && (settings.init.is_some() || settings.command.is_none() || asks_node)
}

/// Node itself, where an entrypoint ends with it.
pub(super) fn node_in(entrypoint: &[String]) -> Option<&str> {
    let last = entrypoint.last()?;
    matches!(last.rsplit('/').next(), Some("node" | "nodejs")).then_some(last)
}

/// `node`, the options of the start script, the entry point, and what the script hands to it; without `node` where the entrypoint is node itself, as in
/// distroless bases.
fn command(service: &Service, entrypoint: &[String]) -> Vec<String> {
    let mut command = if node_in(entrypoint).is_some() { Vec::new() } else { vec!["node".to_owned()] };
    command.extend(service.entry_point.node_options.iter().cloned());
    command.push(service.entry_point.file.display().to_string());
    command.extend(service.entry_point.arguments.iter().cloned());
    command
}
