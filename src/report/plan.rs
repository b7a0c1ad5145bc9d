use std::collections::BTreeSet;
use std::fmt;

use serde::Serialize;

use super::UntracedPackage;
use super::table::{aligned, megabytes};
use super::{SystemPackage, system_packages};
use crate::build::{BuildPlan, ImagePlan};
use crate::layer::LayerPlan;

/// What would be built, for people and for programs. Sizes are in bytes, before compression.
#[derive(Clone, Debug, Serialize)]
pub struct PlanReport {
    /// The services in the order of their directories.
    pub services: Vec<PlannedService>,
    /// The layers, each once.
    pub layers: Vec<PlannedLayer>,
}

/// One service of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedService {
    /// Its name.
    pub name: String,
    /// Its base, as the user named it.
    pub base: String,
    /// Its images, one for each platform.
    pub images: Vec<PlannedImage>,
}

/// The image of a service for one platform.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedImage {
    /// The platform.
    pub platform: String,
    /// What the container would run.
    pub command: Vec<String>,
    /// The packages that would be added to the base, by their names.
    pub system_packages: Vec<SystemPackage>,
    /// Its layers above the base, by their numbers in the plan.
    pub layers: Vec<usize>,
    /// Its packages with the reason why each is there.
    pub packages: Vec<(String, String)>,
    /// What was left out: one line each.
    pub excluded: Vec<String>,
    /// The packages that `trace` leaves files out of, what saves most first.
    pub untraced: Vec<UntracedPackage>,
}

/// One layer of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedLayer {
    /// What it is for.
    pub role: String,
    /// The services that would have it.
    pub services: Vec<String>,
    /// The platforms whose images would have it.
    pub platforms: Vec<String>,
    /// The files' bytes.
    pub bytes: u64,
    /// How many files.
    pub files: usize,
    /// The packages, members and other parts in it.
    pub fragments: Vec<String>,
}

impl PlanReport {
    /// Reports on a plan.
    pub fn new(plan: &BuildPlan) -> Self {
        let services = plan.services.iter().map(|service| PlannedService {
            name: service.service.name.clone(),
            base: service.base.clone(),
            images: service.images.iter().map(planned_image).collect(),
        });
        let layers = plan.layers.iter().enumerate().map(|(index, layer)| planned_layer(plan, index, layer));
        Self { services: services.collect(), layers: layers.collect() }
    }

    fn has_several_platforms(&self) -> bool {
        self.services.iter().any(|service| service.images.len() > 1)
    }
}

fn planned_image(image: &ImagePlan) -> PlannedImage {
    let packages = image.closure.packages.values();
    PlannedImage {
        platform: image.platform.to_string(),
        command: image.contract.run.command.clone(),
        system_packages: SystemPackage::of(image),
        layers: image.layers.clone(),
        packages: packages.map(|package| (package.package_json.label(), package.reason.to_string())).collect(),
        excluded: super::exclusions(&image.closure),
        untraced: super::untraced(image),
    }
}

fn planned_layer(plan: &BuildPlan, index: usize, layer: &LayerPlan) -> PlannedLayer {
    let has_it = |image: &&ImagePlan| image.layers.contains(&index);
    let users = plan.services.iter().filter(|service| service.images.iter().any(|image| has_it(&image)));
    let images = plan.services.iter().flat_map(|service| &service.images).filter(has_it);
    let platforms: BTreeSet<_> = images.map(|image| &image.platform).collect();
    PlannedLayer {
        role: layer.role.to_string(),
        services: users.map(|service| service.service.name.clone()).collect(),
        platforms: platforms.into_iter().map(ToString::to_string).collect(),
        bytes: layer.content_bytes(),
        files: layer.files(),
        fragments: layer.fragments.iter().map(|fragment| fragment.label.clone()).collect(),
    }
}

/// The layers as a table, then what lies in each.
impl fmt::Display for PlanReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rows = vec![["LAYER", "FOR", "PARTS", "FILES", "SIZE", "SERVICES"].map(str::to_owned).to_vec()];
        rows.extend(self.layers.iter().enumerate().map(|(index, layer)| {
            vec![
                index.to_string(),
                layer.role.clone(),
                layer.fragments.len().to_string(),
                layer.files.to_string(),
                megabytes(layer.bytes),
                layer.services.join(" "),
            ]
        }));
        if self.has_several_platforms() {
            let platforms = self.layers.iter().map(|layer| layer.platforms.join(" "));
            let cells = std::iter::once("PLATFORMS".to_owned()).chain(platforms);
            rows.iter_mut().zip(cells).for_each(|(row, cell)| row.insert(2, cell));
        }
        f.write_str(&aligned(&rows))?;
        for (index, layer) in self.layers.iter().enumerate() {
            writeln!(f, "\nlayer {index}: {}", layer.fragments.join(" "))?;
        }
        let images = self.services.iter().flat_map(|service| {
            service.images.iter().map(|image| (&service.name, &image.platform, &image.system_packages))
        });
        for line in system_packages::lines(images, self.has_several_platforms()) {
            writeln!(f, "\n{line}")?;
        }
        for service in &self.services {
            for image in service.images.iter().filter(|image| !image.untraced.is_empty()) {
                let platform =
                    if self.has_several_platforms() { format!(" ({})", image.platform) } else { String::new() };
                write!(f, "\n{}{platform}: {}", service.name, Left(&image.untraced))?;
            }
        }
        Ok(())
    }
}

/// So many packages are shown one by one.
const SHOWN: usize = 20;

/// What `trace` leaves out of an image, package by package.
struct Left<'a>(&'a [UntracedPackage]);

impl fmt::Display for Left<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(packages) = self;
        let sum: u64 = packages.iter().map(|package| package.bytes).sum();
        let files: usize = packages.iter().map(|package| package.files).sum();
        let whole = packages.iter().filter(|package| package.kept_files == 0).count();
        writeln!(
            f,
            "no code leads to {files} files ({}) of {} packages, {whole} of them whole",
            megabytes(sum),
            packages.len()
        )?;
        let mut rows = vec![["PACKAGE", "LEFT OUT", "FILES", "KEPT"].map(str::to_owned).to_vec()];
        rows.extend(packages.iter().take(SHOWN).map(|package| {
            let kept = if package.kept_files == 0 { "nothing".to_owned() } else { package.kept_files.to_string() };
            vec![package.package.clone(), megabytes(package.bytes), package.files.to_string(), kept]
        }));
        f.write_str(&aligned(&rows))?;
        match packages.len().checked_sub(SHOWN) {
            Some(more @ 1..) => writeln!(f, "and {more} more: `--json`"),
            _ => Ok(()),
        }
    }
}
