//! The step that leaves out of packages what traced services cannot reach. What several services share keeps what several
//! of them reach, so that they go on sharing it; what only one of them does lies in a layer of that one.

mod sharers;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};

use rayon::prelude::*;
use sharers::{Place, Places, Sharer};
use tokio::task::block_in_place;

use super::inspection::{self, Inspection};
use super::pack::Packer;
use super::{BuildError, BuildPlan, Context, Decided, ImagePlan, ServicePlan, selection};
use crate::check::{self, BadPattern, KeepPatterns};
use crate::layer::{Entry, FileTree, Fragment, Kind, LayerPlan, LayerRole, LeftOut};
use crate::path::ImagePath;
use crate::workspace::Service;

/// What is left out of the packages of an image, since no service that shares them can reach it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Untraced {
    /// All of it together.
    pub left_out: LeftOut,
    /// By package, what saves most first.
    pub packages: Vec<TracedPackage>,
}

/// A package that came without some of its files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TracedPackage {
    /// `name@version`.
    pub label: String,
    /// What is left out of it.
    pub left_out: LeftOut,
    /// How many files it has still.
    pub kept_files: usize,
}

/// Leaves out of the layers of traced services what these cannot reach, and out of the plan the services that are not built.
pub(super) async fn trace(decided: &mut Decided, built: &[Service], context: &Context) -> Result<(), BuildError> {
    let services = &decided.plan.services;
    if services.iter().flat_map(|service| &service.images).any(|image| image.traced.is_some()) {
        let traces = traces(decided, context).await?;
        let plan = Tracing { decided, traces, built }.plan()?;
        decided.plan = plan;
    }
    Ok(())
}

/// What each traced image reaches of packages, by the positions of its service and of itself in the plan.
type Traces = BTreeMap<(usize, usize), BTreeSet<PathBuf>>;

async fn traces(decided: &Decided, context: &Context) -> Result<Traces, BuildError> {
    context.progress.step("tracing packages");
    let plan = &decided.plan;
    let fetched = decided.fetched();
    let packer = Packer { plan, locked: &fetched, context };
    let found = packer.look_up()?;
    let mut traces = Traces::new();
    let mut open = Vec::new();
    for (at, service) in plan.services.iter().enumerate() {
        let images = service.images.iter().enumerate().filter(|(_, image)| image.traced.is_some());
        for (of_platform, image) in images {
            let fact = inspection::fact_name("trace", decided, service, image, &found);
            let known = context.store.fact(&fact)?.and_then(|bytes| postcard::from_bytes(&bytes).ok());
            match known {
                Some(known) => _ = traces.insert((at, of_platform), known),
                None => open.push(((at, of_platform), service, image, fact)),
            }
        }
    }
    if open.is_empty() {
        return Ok(traces);
    }
    let layers = open.iter().flat_map(|(_, _, image, _)| &image.layers).filter_map(|index| plan.layers.get(*index));
    packer.have_contents(&layers.collect::<Vec<_>>()).await?;
    block_in_place(|| {
        let inspection = Inspection::open(decided, open.iter().map(|(_, _, image, _)| *image), context)?;
        let look = |(_, service, image, _): &(_, &ServicePlan, &ImagePlan, _)| {
            let patterns = service.settings.keep.as_deref().unwrap_or_default();
            let keep = KeepPatterns::parse(patterns)
                .map_err(|BadPattern { pattern, reason }| BuildError::Pattern { pattern, reason })?;
            inspection.look_into(service, image, |subject| check::trace(subject, &keep))
        };
        // In the order of the services, so that it is always the first one's error that is told.
        let found: Vec<Result<Option<BTreeSet<PathBuf>>, BuildError>> = open.par_iter().map(look).collect();
        for ((place, _, _, fact), trace) in open.iter().zip(found) {
            let Some(trace) = trace? else { continue };
            if let Ok(bytes) = postcard::to_allocvec(&trace) {
                context.store.put_fact(fact, &bytes)?;
            }
            traces.insert(*place, trace);
        }
        inspection.close()
    })?;
    Ok(traces)
}

/// A plan whose traced images become smaller.
struct Tracing<'a> {
    decided: &'a Decided,
    traces: Traces,
    built: &'a [Service],
}

impl Tracing<'_> {
    fn plan(&self) -> Result<BuildPlan, BuildError> {
        let Decided { workspace, settings, plan: whole, .. } = self.decided;
        let BuildPlan { compression, format, .. } = *whole;
        let mut plan = BuildPlan { services: Vec::new(), layers: Vec::new(), compression, format };
        // A service that is built by its name alone has no part in what those reach that are built without one.
        let fleet = selection::names(workspace, settings, &[])?;
        for (at, service) in whole.services.iter().enumerate() {
            if !self.built.iter().any(|built| built.dir == service.service.dir) {
                continue;
            }
            let mut images = Vec::new();
            for (of_platform, image) in service.images.iter().enumerate() {
                let reads_maps =
                    self.traces.get(&(at, of_platform)).is_some_and(|own| own.iter().any(|path| is_map(path)));
                let counts = |other: &ServicePlan, of_platform: &ImagePlan| {
                    of_platform.platform == image.platform
                        && (other.service.dir == service.service.dir
                            || (fleet.contains(&service.service.name) && fleet.contains(&other.service.name)))
                };
                images.push(self.image((at, image), counts, reads_maps, &mut plan)?);
            }
            plan.services.push(ServicePlan { images, ..service.clone() });
        }
        Ok(plan)
    }

    /// The image with its layers in `plan`, where those for which `counts` holds say what shared layers keep. Of their source
    /// maps, an image that reads none has none.
    fn image(
        &self,
        (at, image): (usize, &ImagePlan),
        counts: impl Fn(&ServicePlan, &ImagePlan) -> bool,
        reads_maps: bool,
        plan: &mut BuildPlan,
    ) -> Result<ImagePlan, BuildError> {
        let mut planned = ImagePlan { layers: Vec::new(), ..image.clone() };
        planned.contract.layers.clear();
        let mut packages = Vec::new();
        // What this service alone reaches of layers that it shares, and the next layer of its own has.
        let mut own_fragments: Vec<Fragment> = Vec::new();
        for &index in &image.layers {
            let Some(whole) = self.decided.plan.layers.get(index) else { continue };
            let layer = match (image.traced.is_some(), whole.role) {
                (true, LayerRole::Packages) => {
                    let places = Places::of(&self.sharers(index, &counts));
                    let place = |path: &ImagePath, entry: &Entry| {
                        places.of_entry(path, entry).filter(|_| reads_maps || !is_map(path.as_path()))
                    };
                    let keeping = |place_of_kept| {
                        whole
                            .keeping(image.contract.hard_links, |path, entry| place(path, entry) == Some(place_of_kept))
                    };
                    let shared = keeping(Place::Shared)?;
                    let own = match places.has(Place::Own(at)) {
                        true => keeping(Place::Own(at))?.fragments,
                        false => Vec::new(),
                    };
                    packages.extend(smaller_packages(whole, &[&shared.fragments, &own]));
                    own_fragments.extend(own);
                    match is_own(whole) {
                        true => shared.with(image.contract.hard_links, std::mem::take(&mut own_fragments))?,
                        false => shared,
                    }
                }
                // Commands of packages that are gone lead nowhere.
                (true, LayerRole::Application) => {
                    let layers = planned.layers.iter().filter_map(|index| plan.layers.get(*index));
                    let trees = layers.flat_map(|layer| &layer.fragments).map(|fragment| &fragment.tree);
                    let present = Places::shared(trees.flat_map(|tree| tree.iter()).map(|(path, _)| path.as_path()));
                    whole.keeping(image.contract.hard_links, |path, entry| match entry.kind {
                        Kind::Symlink(_) => present.of_entry(path, entry).is_some(),
                        _ => true,
                    })?
                }
                _ => whole.clone(),
            };
            if !layer.fragments.is_empty() {
                planned.contract.layers.push(layer.role);
                planned.layers.push(plan.index_of(layer));
            }
        }
        if image.traced.is_some() {
            packages.sort_by(|a, b| b.left_out.bytes.cmp(&a.left_out.bytes).then_with(|| a.label.cmp(&b.label)));
            let all = packages.iter().fold(LeftOut::default(), |sum, package| sum.plus(package.left_out));
            planned.packages = image.packages.without(all);
            planned.packages.packages -= packages.iter().filter(|package| package.kept_files == 0).count();
            planned.traced = Some(Untraced { left_out: all, packages });
        }
        Ok(planned)
    }

    /// What those images reach that have a layer.
    fn sharers<'a>(&'a self, layer: usize, counts: impl Fn(&ServicePlan, &ImagePlan) -> bool) -> Vec<Sharer<'a>> {
        let plan = &self.decided.plan;
        let of_image = |((service, of_platform), reached): (&(usize, usize), &'a BTreeSet<PathBuf>)| {
            let of_service = plan.services.get(*service)?;
            let image = of_service.images.get(*of_platform)?;
            let position = image.layers.iter().position(|index| *index == layer)?;
            let mut behind = image.layers.iter().skip(position).filter_map(|index| plan.layers.get(*index));
            let has_own_layer = behind.any(is_own);
            counts(of_service, image).then_some(Sharer { service: *service, reached, has_own_layer })
        };
        self.traces.iter().filter_map(of_image).collect()
    }
}

/// Whether a layer holds the packages of one service alone.
fn is_own(layer: &LayerPlan) -> bool {
    layer.role == LayerRole::Packages && layer.services.len() == 1
}

fn is_map(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "map")
}

/// The packages of a layer that have fewer files than before in what it became.
fn smaller_packages(whole: &LayerPlan, parts: &[&[Fragment]]) -> Vec<TracedPackage> {
    let is_of = |before: &Fragment, after: &Fragment| {
        after.tree.iter().next().is_some_and(|(path, _)| before.tree.get(path).is_some())
    };
    // A file that is linked to another counts whole, as everywhere in the weights of packages.
    let sizes: HashMap<&ImagePath, u64> = whole.fragments.iter().flat_map(|fragment| sizes(&fragment.tree)).collect();
    let weigh = |tree: &FileTree| {
        let of_entry = |(path, entry): (&ImagePath, &Entry)| match &entry.kind {
            Kind::HardLink(target) => sizes.get(target).copied(),
            _ => sizes.get(path).copied(),
        };
        tree.iter().filter_map(of_entry).fold(LeftOut::default(), |sum, bytes| sum.plus(LeftOut { files: 1, bytes }))
    };
    let mut smaller = Vec::new();
    for before in &whole.fragments {
        let after = parts.iter().copied().flatten().filter(|after| is_of(before, after));
        let kept = after.map(|after| weigh(&after.tree)).fold(LeftOut::default(), LeftOut::plus);
        let all = weigh(&before.tree);
        if kept.files < all.files {
            let left_out = LeftOut { files: all.files - kept.files, bytes: all.bytes.saturating_sub(kept.bytes) };
            smaller.push(TracedPackage { label: before.label.clone(), left_out, kept_files: kept.files });
        }
    }
    smaller
}

/// The files of a tree that are no links, with their sizes.
fn sizes(tree: &FileTree) -> impl Iterator<Item = (&ImagePath, u64)> {
    tree.iter().filter_map(|(path, entry)| match &entry.kind {
        Kind::File(content) => Some((path, content.size())),
        _ => None,
    })
}
