//! The pipeline of one build, step by step. Everything up to `plan` decides and writes nothing; `pack` and `deliver` do
//! the work.

mod base;
mod check;
mod closures;
mod contents;
mod deliver;
mod destination;
mod engines;
mod error;
mod extension;
mod fleet;
mod format;
mod inspection;
mod locked;
mod natives;
mod pack;
mod plan;
mod platforms;
mod rebase;
mod selection;
mod system;
mod trace;
mod weight;
mod why;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::task::block_in_place;

use base::BaseLock;
pub use base::{
    BaseChange, BaseLockError, BaseUpdate, DeployedImage, FoundImage, ImageChange, Match, PackageChange, base_status,
    update_bases,
};
pub use check::ServiceCheck;
pub use deliver::Delivery;
use deliver::{Ahead, Cargo};
pub use destination::{Destination, DestinationError};
pub use error::BuildError;
pub use format::FormatError;
pub use locked::LockedError;
use locked::{LockedPackages, Supply};
use natives::Natives;
pub use natives::{ForeignVariants, NativesError};
pub use pack::PackedLayers;
use pack::Packer;
use plan::Needs;
pub use plan::{BuildPlan, ImagePlan, ServicePlan};
use platforms::Platforms;
pub use rebase::{Outcome, Rebase, RebaseError, RebasedImage, Refusal, Refused, rebase};
pub use selection::SelectionError;
pub use system::SystemError;
pub use trace::{TracedPackage, Untraced};
pub use weight::Weight;
pub use why::{
    ChainStep, Cost, Dependents, HoldingLayer, ImageAnswer, NoPackageName, PackageCopy, PackageQuery, Removal, Why,
    WhyError, why,
};

use crate::cancel::Cancellation;
use crate::closure::{InstalledPackages, Packages};
use crate::config::{CheckLevel, PackagesFrom, Settings};
use crate::host::StatIndex;
use crate::image::PlatformImages;
use crate::manifest::Format;
use crate::manifest::media_type::Compression;
use crate::npm_registry::{Mirror, Variables};
use crate::path::HostPath;
use crate::platform::Platform;
use crate::progress::Progress;
use crate::registry::Client;
use crate::store::Store;
use crate::transfer;
use crate::workspace::Workspace;

/// What the user asks for. What is `None` or empty comes from `pirogue.toml`, else from the defaults.
#[derive(Clone, Debug, Default)]
pub struct BuildRequest {
    /// The workspace's root.
    pub dir: HostPath,
    /// The services, by name, package name or directory; empty means all.
    pub services: Vec<String>,
    /// The base image.
    pub base: Option<String>,
    /// Where the images go.
    pub destinations: Vec<String>,
    /// Their tags.
    pub tags: Vec<String>,
    /// Their platforms.
    pub platforms: Vec<Platform>,
    /// How their layers are compressed.
    pub compression: Option<Compression>,
    /// The format of their documents.
    pub format: Option<Format>,
    /// Where their packages come from.
    pub packages: Option<PackagesFrom>,
    /// Whether packages come without types, source maps, documentation and tests.
    pub slim: Option<bool>,
    /// Whether packages come with those files alone that the services can reach.
    pub trace: Option<bool>,
    /// Whether the plan keeps what it takes to say why a package is there: every edge, and who needs what.
    pub explain: bool,
    /// Whether `pirogue.lock` has to have every base, and may not change.
    pub locked: bool,
    /// Whether native code that the base cannot load is taken from the lockfile's packages instead; `None` where all
    /// packages come from there.
    pub fix_natives: Option<bool>,
    /// What becomes of what the checks find.
    pub check: Option<CheckLevel>,
    /// Whether the checks ask registries what the names of bases stand for now.
    pub online: bool,
}

/// What a build works with.
#[derive(Clone)]
pub struct Context {
    /// Blobs of the base, finished layers, and what was learned about blobs.
    pub store: Store,
    /// The client of all registries.
    pub client: Client,
    /// The way to packages that are not installed.
    pub npm: NpmAccess,
    /// How many threads pack.
    pub threads: usize,
    /// The time of every entry and image, in seconds since 1970.
    pub mtime: u64,
    /// When the run began, in nanoseconds since 1970.
    pub began: i64,
    /// Ends the build early.
    pub cancellation: Cancellation,
    /// Who listens.
    pub progress: Arc<dyn Progress>,
}

impl Context {
    /// What moves images needs no more than this.
    fn transfer(&self) -> transfer::Context {
        transfer::Context {
            store: self.store.clone(),
            client: self.client.clone(),
            cancellation: self.cancellation.clone(),
            progress: self.progress.clone(),
        }
    }
}

/// What leads to the npm registries, beside the files of settings in the workspace.
#[derive(Clone, Default)]
pub struct NpmAccess {
    /// The user's home, where settings may lie.
    pub home: Option<HostPath>,
    /// The variables that settings may name.
    pub variables: Variables,
    /// What is asked instead of the registries.
    pub mirror: Option<Mirror>,
    /// Whether only the store, or a mirror that is a directory, may be asked.
    pub offline: bool,
}

/// What a build made of its plan.
#[derive(Clone, Debug)]
pub struct Built {
    /// Every decision.
    pub plan: BuildPlan,
    /// What was found out about the images before they were made.
    pub checks: Vec<ServiceCheck>,
    /// The finished layers.
    pub packed: PackedLayers,
    /// The images, by the services' names.
    pub images: BTreeMap<String, PlatformImages>,
    /// Where they are now.
    pub deliveries: Vec<Delivery>,
}

/// Builds and delivers the images of a workspace's services.
///
/// Whatever fails once the run was to end counts as interrupted.
pub async fn build(request: &BuildRequest, context: &Context) -> Result<Built, BuildError> {
    let built = run(request, context).await;
    built.map_err(|error| context.cancellation.check().err().map_or(error, BuildError::from))
}

/// Decides everything about the images, and makes none.
pub async fn plan(request: &BuildRequest, context: &Context) -> Result<BuildPlan, BuildError> {
    let decided = decide(request, Purpose::Look, context).await;
    let (decided, index) =
        decided.map_err(|error| context.cancellation.check().err().map_or(error, BuildError::from))?;
    // Whoever wants it explained most likely looks for what to mend.
    if !request.explain {
        check::refuse_errors(&check::misfits(&decided)?, context)?;
    }
    pack::save_index(index, context)?;
    Ok(decided.plan)
}

/// Decides everything about the images, and looks whether they would start. Makes none.
pub async fn check(request: &BuildRequest, context: &Context) -> Result<(BuildPlan, Vec<ServiceCheck>), BuildError> {
    let checked = check_steps(request, context).await;
    checked.map_err(|error| context.cancellation.check().err().map_or(error, BuildError::from))
}

async fn check_steps(request: &BuildRequest, context: &Context) -> Result<(BuildPlan, Vec<ServiceCheck>), BuildError> {
    let (decided, index) = decide(request, Purpose::Look, context).await?;
    let fetched = decided.fetched();
    let packer = Packer { plan: &decided.plan, locked: &fetched, context };
    let checks = check::check(&decided, &packer.look_up()?, &packer).await?;
    pack::save_index(index, context)?;
    Ok((decided.plan, checks))
}

async fn run(request: &BuildRequest, context: &Context) -> Result<Built, BuildError> {
    let built = run_steps(request, context).await;
    // However it ended, registries are left without uploads that lead nowhere.
    context.client.end_spare_uploads().await;
    built
}

async fn run_steps(request: &BuildRequest, context: &Context) -> Result<Built, BuildError> {
    let (decided, index) = decide(request, Purpose::Make, context).await?;
    let Decided { plan, bases, destinations, .. } = &decided;
    let fetched = decided.fetched();
    let packer = Packer { plan, locked: &fetched, context };
    let found = packer.look_up()?;
    let checks = check::check(&decided, &found, &packer).await?;
    check::refuse_errors(&checks, context)?;
    decided.lock.record(bases, plan, context)?;

    // With nothing to pack the registries are asked for the images at once, and most likely have them.
    if !found.are_all_known() {
        deliver::ask_to_push(plan, destinations, request, context).await?;
    }
    let mut ahead = Ahead::new(plan, destinations, request, context)?;
    let mut packed = packer.pack(found, |index, layer| ahead.send(index, layer)).await?;
    let saving = pack::save_index_meanwhile(index, context);
    let images = pack::assemble_images(plan, &packed, bases, context)?;

    let cargo = Cargo { packer, packed: &mut packed, ahead, images: &images, bases };
    let delivered = deliver::deliver(cargo, destinations, request).await;
    // Whatever comes of the delivery, what was learned is kept.
    saving.await.unwrap_or_else(|error| Err(BuildError::Task(error.into())))?;
    let deliveries = delivered?;
    Ok(Built { plan: decided.plan, checks, packed, images, deliveries })
}

/// A plan, and what checking it and carrying it out need besides.
struct Decided {
    workspace: Workspace,
    settings: Settings,
    /// What becomes of what the checks find, where the command line says so.
    check: Option<CheckLevel>,
    /// Whether they ask registries what the names of bases stand for now.
    online: bool,
    plan: BuildPlan,
    bases: Arc<base::Bases>,
    lock: BaseLock,
    destinations: Vec<Destination>,
    locked: Option<LockedPackages>,
    /// Packages of the lockfile in place of installed ones.
    supplies: Vec<Supply>,
}

impl Decided {
    /// All packages that nobody installed.
    fn fetched(&self) -> Vec<&LockedPackages> {
        self.locked.iter().chain(self.supplies.iter().map(Supply::packages)).collect()
    }
}

/// What is decided for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Purpose {
    /// To be looked at.
    Look,
    /// To be made. Packages of the lockfile are packed while others still come.
    Make,
}

async fn decide(
    request: &BuildRequest,
    purpose: Purpose,
    context: &Context,
) -> Result<(Decided, StatIndex), BuildError> {
    let workspace = Workspace::discover(&request.dir)?;
    let settings = Settings::read(&workspace.root)?;
    let destinations = Destination::of(request, &settings, &workspace.root)?;
    format::refuse_what_it_lacks(request, &settings, &destinations)?;
    let built = selection::select(&workspace, &settings, &request.services)?;
    destination::refuse_bad_names(&destinations, &built, &settings, request)?;
    context.client.push_to(destinations.iter().filter_map(Destination::registry));
    let wanted = platforms::wanted(&request.platforms, &settings.platforms)?;
    destination::refuse_several_platforms(&destinations, &wanted)?;
    let lock = BaseLock::read(&workspace, &settings, request)?;
    let services = selection::with_traced(built.clone(), &workspace, &settings, request)?;

    let index = pack::open_index(&workspace, context)?;
    context.progress.step("computing dependency closures");
    let from = request.packages.or(settings.packages).unwrap_or(PackagesFrom::Installed);
    // Networks are slow: while bases come, the workspace is looked at.
    let based = selection::services_with_bases(&services, from, &workspace, &settings);
    let mut resolving = base::start(&based, &settings, request, &wanted, &lock, context)?;
    let mut platforms = Platforms { wanted: &wanted, settings: &settings, request, bases: None };
    let locked = match from {
        PackagesFrom::Installed => None,
        PackagesFrom::Lockfile => {
            let packed = if purpose == Purpose::Make { &services[..] } else { &[] };
            Some(locked::provide(&workspace, &based, &mut resolving, &mut platforms, packed, context).await?)
        }
    };
    let installed = InstalledPackages::new(&workspace, &index);
    let in_tarballs = block_in_place(|| locked::node_modules(locked.as_ref(), &workspace, &platforms))?;
    let placed: Vec<_> = in_tarballs.iter().map(|locked| locked.as_ref().map(|locked| locked.placed(&index))).collect();
    let mut needs: Vec<Needs<'_>> = Vec::new();
    for ((platform, locked), placed) in platforms.each().zip(&in_tarballs).zip(&placed) {
        let packages: &dyn Packages = placed.as_ref().map_or(&installed, |placed| placed);
        let found = || Needs::of(platform, packages, locked.as_ref(), &services, &destinations, &needs, context);
        needs.push(block_in_place(found)?);
    }
    let bases = resolving.finish().await?;
    let platforms = Platforms { wanted: &wanted, settings: &settings, request, bases: Some(bases.clone()) };
    let fixes = request.fix_natives.unwrap_or(from == PackagesFrom::Lockfile);
    let mut supplies = Vec::new();
    for (needs, target) in needs.iter_mut().zip(platforms.each()) {
        needs.systems = system::provide(&needs.closures, target, context).await?;
        let Needs { packages, locked, ref systems, .. } = *needs;
        let natives = Natives { packages, locked, systems, target, fixes, context };
        supplies.extend(natives.settle(&mut needs.closures, &mut needs.contents).await?);
    }
    engines::compare(&mut needs, &bases, context)?;
    context.progress.step("planning layers");
    let plan = BuildPlan::new(needs, &settings, &bases, request)?;
    let BuildRequest { check, online, .. } = *request;
    let mut decided = Decided { workspace, settings, check, online, plan, bases, lock, destinations, locked, supplies };
    trace::trace(&mut decided, &built, context).await?;
    format::note_lost_health(request, &decided.settings, &decided.plan.services, context.progress.as_ref());
    Ok((decided, index))
}
