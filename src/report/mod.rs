//! What was done, for people and for programs: a build, a copy, the check of a registry.

mod base_status;
mod base_update;
mod check;
mod copy;
mod findings;
mod plan;
mod rebase;
mod sarif;
mod system_packages;
mod table;
mod why;

pub use base_status::BaseStatusReport;
pub use base_update::BaseUpdateReport;
pub use check::CheckReport;
pub use copy::CopyReport;
pub use findings::{FindingsReport, ServiceFindings};
pub use plan::PlanReport;
pub use rebase::RebaseReport;
pub use sarif::sarif;
pub use system_packages::SystemPackage;
pub use table::{megabytes, table};
pub use why::WhyReport;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::build::{BuildPlan, Built, Delivery, ImagePlan, ServicePlan, TracedPackage, Weight};
use crate::check::Severity;
use crate::closure::{DependencyClosure, Exclusion, Reason};
use crate::image::{Image, PlatformImages};
use crate::layer::{Layer, LayerRole, LeftOut};

/// What a build did. Sizes are in bytes.
#[derive(Clone, Debug, Serialize)]
pub struct BuildReport {
    /// The services in the order of their directories.
    pub services: Vec<ServiceReport>,
    /// What the same services would weigh if each image carried every production package of the workspace.
    pub comparison: Comparison,
    /// What had to be done anew.
    pub work: Work,
    /// What the checks before it found, all services together.
    pub checks: Checks,
}

/// What the checks of a build found; `pirogue check` shows it.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Checks {
    /// How many warnings.
    pub warnings: usize,
    /// How many notes.
    pub notes: usize,
}

/// What a build did anew; everything else was known from earlier builds.
#[derive(Clone, Debug, Serialize)]
pub struct Work {
    /// How many layers were written.
    pub layers_written: usize,
    /// The labels of the fragments that were compressed.
    pub fragments_compressed: Vec<String>,
}

/// What became of one service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceReport {
    /// Its name.
    pub name: String,
    /// Its directory in the workspace.
    pub dir: String,
    /// Its base, as the user named it.
    pub base: String,
    /// The digest of the image's manifest; of the index, if there are several platforms.
    pub digest: String,
    /// How the entry point was found.
    pub entry_point_found_by: String,
    /// Its images, one for each platform.
    pub images: Vec<ImageReport>,
    /// Where it is now.
    pub delivered: Vec<DeliveryReport>,
}

/// The image of a service for one platform.
#[derive(Clone, Debug, Serialize)]
pub struct ImageReport {
    /// The platform.
    pub platform: String,
    /// The digest of its manifest.
    pub digest: String,
    /// What the container runs.
    pub command: Vec<String>,
    /// `PORT` in its environment.
    pub port: Option<u16>,
    /// Its layers above the base.
    pub layers: Vec<LayerReport>,
    /// The packages that are added to the base, by their names.
    pub system_packages: Vec<SystemPackage>,
    /// The compressed size of the base's layers.
    pub base_bytes: u64,
    /// The compressed size of the layers above the base.
    pub compressed_bytes: u64,
    /// The size of the files in the layers above the base.
    pub unpacked_bytes: u64,
    /// How many files lie in the layers above the base.
    pub files: usize,
    /// How many installed packages it has, and what they weigh.
    pub packages: usize,
    /// The files of the packages, in bytes.
    pub package_bytes: u64,
    /// What leaving out what its packages do not need at run time saves.
    pub leaner: Leaner,
    /// The packages that `trace` left files out of, what saves most first.
    pub untraced: Vec<UntracedPackage>,
    /// Why packages are there that nobody declares: `name@version`, reason.
    pub undeclared: BTreeMap<String, String>,
    /// What was left out: one line each.
    pub excluded: Vec<String>,
    /// What was left out since it is native code for other platforms.
    pub foreign_variants: ForeignVariantsReport,
    /// What the user should know.
    pub warnings: Vec<String>,
}

/// What was left out since it is native code for other platforms.
#[derive(Clone, Debug, Serialize)]
pub struct ForeignVariantsReport {
    /// Packages of which nothing is there, as `name@version`.
    pub packages: Vec<String>,
    /// How many files, with those of packages that are there.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
}

/// The ways to leave files out of packages that are there anyway, each with what it saves.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Leaner {
    /// `slim`: types, source maps, documentation and tests. Of a traced image, what is left of them counts for nothing.
    pub slim: Saving,
    /// `trace`: what the services cannot reach; `None` where nobody looked. Where it was not taken, what no import leads to,
    /// on the platform where that is most: `trace` would leave out less.
    pub trace: Option<Saving>,
}

/// What one of these ways saves.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Saving {
    /// Whether it was taken; if not, the figures are what it would save.
    pub taken: bool,
    /// How many files.
    pub files: usize,
    /// The bytes of these files.
    pub bytes: u64,
}

/// A package without some of its files, since no service that shares it can reach them.
#[derive(Clone, Debug, Serialize)]
pub struct UntracedPackage {
    /// `name@version`.
    pub package: String,
    /// How many files are left out.
    pub files: usize,
    /// Their bytes.
    pub bytes: u64,
    /// How many files are there still.
    pub kept_files: usize,
}

/// One layer.
#[derive(Clone, Debug, Serialize)]
pub struct LayerReport {
    /// What it is for.
    pub role: String,
    /// The services that share it, if it holds packages.
    pub services: Vec<String>,
    /// The digest of the blob.
    pub digest: String,
    /// The digest of its tar.
    pub diff_id: String,
    /// The size of the blob.
    pub compressed_bytes: u64,
    /// The size of its tar.
    pub tar_bytes: u64,
    /// How many files.
    pub files: usize,
}

/// One place that an image was delivered to.
#[derive(Clone, Debug, Serialize)]
pub struct DeliveryReport {
    /// As other tools name it.
    pub name: String,
    /// How many bytes were sent.
    pub sent_bytes: u64,
}

/// The packages of all images, against the same images carrying the whole production tree each.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Comparison {
    /// Packages in the whole production tree of the first platform.
    pub whole_tree_packages: usize,
    /// Its files' bytes.
    pub whole_tree_bytes: u64,
    /// The bytes of the tree in each image, added up.
    pub whole_tree_in_each_bytes: u64,
    /// The bytes of the packages that the images really carry, added up.
    pub closures_bytes: u64,
}

impl BuildReport {
    /// Reports on a finished build.
    pub fn new(built: &Built) -> Self {
        let Built { plan, checks, packed, images, deliveries } = built;
        let services: Vec<ServiceReport> = plan
            .services
            .iter()
            .filter_map(|service| {
                let images = images.get(&service.service.name)?;
                let unreached = checks.iter().find(|check| check.service == service.service.name);
                let unreached = unreached.map(|check| check.checked.unreached);
                Some(ServiceReport::new(service, plan, &packed.layers, images, deliveries, unreached))
            })
            .collect();
        let planned = || plan.services.iter().flat_map(|service| &service.images);
        let Weight { packages, bytes, .. } = planned().next().map(|image| image.whole_tree).unwrap_or_default();
        let comparison = Comparison {
            whole_tree_packages: packages,
            whole_tree_bytes: bytes,
            whole_tree_in_each_bytes: planned().map(|image| image.whole_tree.bytes).sum(),
            closures_bytes: planned().map(|image| image.packages.bytes).sum(),
        };
        let work = Work { layers_written: packed.written, fragments_compressed: packed.compressed.clone() };
        let found = |severity| checks.iter().map(|check| check.checked.count(severity)).sum();
        let checks = Checks { warnings: found(Severity::Warning), notes: found(Severity::Note) };
        Self { services, comparison, work, checks }
    }
}

impl ServiceReport {
    fn new(
        service: &ServicePlan,
        plan: &BuildPlan,
        layers: &[Layer],
        images: &PlatformImages,
        deliveries: &[Delivery],
        unreached: Option<LeftOut>,
    ) -> Self {
        let name = &service.service.name;
        let of_platforms = service.images.iter().zip(images.images());
        Self {
            name: name.clone(),
            dir: service.service.dir.to_string(),
            base: service.base.clone(),
            digest: images.descriptor().digest.to_string(),
            entry_point_found_by: service.service.entry_point.found_by.clone(),
            images: of_platforms
                .map(|(planned, image)| ImageReport::new(planned, plan, layers, image, unreached))
                .collect(),
            delivered: deliveries
                .iter()
                .filter(|delivery| delivery.service == *name)
                .map(|delivery| DeliveryReport { name: delivery.name.clone(), sent_bytes: delivery.sent_bytes })
                .collect(),
        }
    }
}

impl ImageReport {
    fn new(
        of_platform: &ImagePlan,
        plan: &BuildPlan,
        layers: &[Layer],
        image: &Image,
        unreached: Option<LeftOut>,
    ) -> Self {
        let ImagePlan { closure, packages, foreign, contract, .. } = of_platform;
        let planned =
            || of_platform.layers.iter().filter_map(|&index| Some((plan.layers.get(index)?, layers.get(index)?)));
        let undeclared = closure.packages.values().filter_map(|package| match &package.reason {
            reason @ Reason::UndeclaredImport { .. } => Some((package.package_json.label(), reason.to_string())),
            Reason::Dependency { .. } => None,
        });
        Self {
            platform: image.platform.to_string(),
            digest: image.manifest.digest().to_string(),
            command: contract.run.command.clone(),
            port: contract.run.env.get("PORT").and_then(|port| port.parse().ok()),
            layers: planned()
                .map(|(plan, layer)| LayerReport {
                    role: layer.role().to_string(),
                    services: plan.services.clone(),
                    digest: layer.descriptor().digest.to_string(),
                    diff_id: layer.diff_id().to_string(),
                    compressed_bytes: layer.descriptor().size,
                    tar_bytes: layer.tar_bytes(),
                    files: plan.files(),
                })
                .collect(),
            system_packages: SystemPackage::of(of_platform),
            base_bytes: image.base_layers().iter().map(|layer| layer.size).sum(),
            compressed_bytes: image.own_layers().iter().map(|layer| layer.size).sum(),
            unpacked_bytes: planned().map(|(plan, _)| plan.content_bytes()).sum(),
            files: planned().map(|(plan, _)| plan.files()).sum(),
            packages: packages.packages,
            package_bytes: packages.bytes,
            leaner: Leaner {
                slim: Saving::of(of_platform.slim, of_platform.slimming),
                trace: match &of_platform.traced {
                    Some(untraced) => Some(Saving::of(true, untraced.left_out)),
                    None => unreached.map(|unreached| Saving::of(false, unreached)),
                },
            },
            untraced: untraced(of_platform),
            undeclared: undeclared.collect(),
            excluded: exclusions(closure),
            foreign_variants: ForeignVariantsReport {
                packages: foreign.packages.iter().cloned().collect(),
                files: foreign.files,
                bytes: foreign.bytes,
            },
            warnings: closure.warnings.iter().cloned().collect(),
        }
    }

    /// The compressed size of the layers with a role.
    fn bytes_of(&self, role: LayerRole) -> u64 {
        let role = role.to_string();
        self.layers.iter().filter(|layer| layer.role == role).map(|layer| layer.compressed_bytes).sum()
    }
}

impl Saving {
    fn of(taken: bool, LeftOut { files, bytes }: LeftOut) -> Self {
        Self { taken, files, bytes }
    }
}

/// What `trace` left out of an image.
fn untraced(image: &ImagePlan) -> Vec<UntracedPackage> {
    let packages = image.traced.iter().flat_map(|untraced| &untraced.packages);
    let package = |TracedPackage { label, left_out, kept_files }: &TracedPackage| UntracedPackage {
        package: label.clone(),
        files: left_out.files,
        bytes: left_out.bytes,
        kept_files: *kept_files,
    };
    packages.map(package).collect()
}

/// What a closure left out, one line each.
fn exclusions(closure: &DependencyClosure) -> Vec<String> {
    let line = |exclusion: &Exclusion| format!("{} of {}: {}", exclusion.name, exclusion.from, exclusion.why);
    closure.excluded.iter().map(line).collect()
}
