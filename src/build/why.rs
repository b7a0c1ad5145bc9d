//! Why a package is in the image of a service, what it costs there, and who else has it.

mod package_files;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

pub use package_files::Cost;
use package_files::PackageFiles;

use super::closures::Closures;
use super::{BuildError, BuildPlan, BuildRequest, Context, ImagePlan};
use crate::closure::{ChainLink, ClosureError, EdgeOrigin, ExclusionReason, Packages};
use crate::layer::{LayerPlan, LayerRole};
use crate::platform::Platform;
use crate::workspace::{PackageJson, WorkspacePath};

/// How much a name has to look like the one that was asked for, from 0 to 1, to be offered instead.
const NEAR: f64 = 0.85;
/// How many of them are offered.
const OFFERED: usize = 5;

/// A package by its name, of any version or of one: `NAME` or `NAME@VERSION`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PackageQuery {
    /// The name in its package.json, or the one under which it is installed.
    pub name: String,
    /// Exactly this version.
    pub version: Option<String>,
}

/// A text that names no package.
#[derive(Debug, thiserror::Error)]
#[error("is no `NAME` or `NAME@VERSION`: `{0}`")]
pub struct NoPackageName(String);

impl FromStr for PackageQuery {
    type Err = NoPackageName;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, version) = match text.rsplit_once('@') {
            Some((name, version)) if !name.is_empty() => (name, Some(version.to_owned())),
            _ => (text, None),
        };
        match matches!(name, "" | "@") || version.as_ref().is_some_and(String::is_empty) {
            true => Err(NoPackageName(text.to_owned())),
            false => Ok(Self { name: name.to_owned(), version }),
        }
    }
}

impl fmt::Display for PackageQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.version {
            Some(version) => write!(f, "{}@{version}", self.name),
            None => f.write_str(&self.name),
        }
    }
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum WhyError {
    /// Nothing of that name is known.
    #[error("neither the image of `{service}` nor anything else in the workspace has a package `{name}`")]
    UnknownPackage {
        /// The service.
        service: String,
        /// The name asked for.
        name: String,
        /// Names that look like it.
        near: Vec<String>,
    },
    /// There is a package of that name, but not of that version.
    #[error("the image of `{service}` has other versions than `{query}`")]
    OtherVersion {
        /// The service.
        service: String,
        /// What was asked for.
        query: String,
        /// Those there are, as `name@version`.
        known: BTreeSet<String>,
    },
}

impl WhyError {
    fn unknown<'d>(service: &str, query: &PackageQuery, dependents: impl Iterator<Item = &'d Dependents>) -> Self {
        let names: BTreeSet<&String> = dependents.flat_map(Dependents::names).collect();
        let alike = |name: &&String| strsim::jaro_winkler(name, &query.name);
        let mut near: Vec<&String> = names.into_iter().filter(|name| alike(name) >= NEAR).collect();
        near.sort_by(|a, b| alike(b).total_cmp(&alike(a)));
        let near = near.into_iter().take(OFFERED).cloned().collect();
        Self::UnknownPackage { service: service.to_owned(), name: query.name.clone(), near }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        let list = |names: &mut dyn Iterator<Item = &String>| {
            names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
        };
        match self {
            Self::UnknownPackage { near, .. } if near.is_empty() => None,
            Self::UnknownPackage { near, .. } => Some(format!("did you mean {}?", list(&mut near.iter()))),
            Self::OtherVersion { known, .. } => Some(format!("there are: {}", list(&mut known.iter()))),
        }
    }
}

/// What a plan keeps to answer the question: who needs what on one platform.
#[derive(Clone, Debug, Default)]
pub struct Dependents {
    /// Every package and member that a production install holds, by its directory.
    places: BTreeMap<WorkspacePath, Needed>,
    /// What only development depends on, by name.
    development: BTreeSet<String>,
}

#[derive(Clone, Debug)]
struct Needed {
    name: String,
    version: Option<String>,
    label: String,
    /// The services of the whole workspace that declare that they need it, or something that does.
    services: BTreeSet<String>,
}

impl Dependents {
    /// What `closures` say of the whole workspace. Of services that are built they say more than package.json files do.
    pub(super) fn of(closures: &Closures, packages: &dyn Packages) -> Result<Self, ClosureError> {
        let mut dependents = Self::default();
        let built = closures.services.iter().map(|needs| (&needs.service.name, &needs.closure));
        let is_built = |name: &String| closures.services.iter().any(|needs| needs.service.name == *name);
        for (service, closure) in closures.fleet.iter().filter(|(name, _)| !is_built(name)).chain(built) {
            for (dir, package) in &closure.packages {
                dependents.add(dir, &package.package_json, Some(service));
            }
            for dir in closure.members.keys() {
                dependents.add(dir, &*packages.package_json(dir)?, Some(service));
            }
        }
        for (dir, package) in closures.production.packages() {
            dependents.add(dir, &package.package_json, None);
        }
        let workspace = packages.workspace();
        let members = workspace.members.iter().map(|member| &member.package_json).chain([&workspace.package_json]);
        dependents.development.extend(members.flat_map(|package_json| package_json.dev_dependencies.keys().cloned()));
        Ok(dependents)
    }

    fn add(&mut self, dir: &WorkspacePath, package_json: &PackageJson, service: Option<&String>) {
        let needed = self.places.entry(dir.clone()).or_insert_with(|| Needed {
            name: package_json.name.clone().unwrap_or_default(),
            version: package_json.version.clone(),
            label: package_json.label(),
            services: BTreeSet::new(),
        });
        needed.services.extend(service.cloned());
    }

    fn names(&self) -> impl Iterator<Item = &String> {
        self.places.values().map(|needed| &needed.name).chain(&self.development)
    }

    /// The packages of a name: that of their package.json, or the one they are installed under.
    fn called<'a>(&'a self, name: &'a str) -> impl Iterator<Item = (&'a WorkspacePath, &'a Needed)> {
        let installed_as = std::path::Path::new("node_modules").join(name);
        self.places.iter().filter(move |(dir, needed)| needed.name == name || dir.as_path().ends_with(&installed_as))
    }
}

/// The answer.
#[derive(Clone, Debug)]
pub struct Why {
    /// The service.
    pub service: String,
    /// What was asked for.
    pub query: PackageQuery,
    /// The answer for each of its images, in the order of their platforms.
    pub images: Vec<ImageAnswer>,
}

/// The answer for the image for one platform.
#[derive(Clone, Debug)]
pub struct ImageAnswer {
    /// The platform.
    pub platform: Platform,
    /// Its copies in the image, by their directories; empty if it is not there.
    pub copies: Vec<PackageCopy>,
    /// What leaves the image with all copies at once, where there are several.
    pub together: Option<Removal>,
    /// Why it, or some variant of it, was left out: who asked for it, and the reason.
    pub excluded: BTreeSet<(String, ExclusionReason)>,
    /// If the image has none: `name@version` of what the rest of the workspace has, and the services that need it.
    pub elsewhere: BTreeMap<String, BTreeSet<String>>,
    /// Whether a package.json of the workspace names it for development, and nothing needs it in production.
    pub for_development: bool,
}

/// A package at one place of an image.
#[derive(Clone, Debug)]
pub struct PackageCopy {
    /// `name@version`
    pub label: String,
    /// Its directory in the workspace.
    pub dir: WorkspacePath,
    /// One chain for each edge that leads to it, the shortest first.
    pub chains: Vec<Vec<ChainStep>>,
    /// What its own files cost.
    pub alone: Cost,
    /// What leaves the image if it does.
    pub removal: Removal,
    /// The layer that holds it; `None` if it has no file.
    pub layer: Option<HoldingLayer>,
    /// The services of the workspace that need the very same copy.
    pub needed_by: BTreeSet<String>,
}

/// One edge of a chain, for people.
#[derive(Clone, Debug)]
pub struct ChainStep {
    /// `name@version` of who has the edge.
    pub from: String,
    /// `name@version` of where it leads.
    pub to: String,
    /// Which edge it is.
    pub origin: EdgeOrigin,
}

/// What leaves an image together.
#[derive(Clone, Debug)]
pub struct Removal {
    /// `name@version` and directory of each, what was asked for too.
    pub packages: BTreeMap<WorkspacePath, String>,
    /// What they cost together.
    pub cost: Cost,
}

/// The layer that holds a package.
#[derive(Clone, Debug)]
pub struct HoldingLayer {
    /// What it is for.
    pub role: LayerRole,
    /// The services that share it, if it holds packages.
    pub services: Vec<String>,
}

impl HoldingLayer {
    fn of(plan: &LayerPlan) -> Self {
        Self { role: plan.role, services: plan.services.clone() }
    }
}

/// Says why the images of a service have a package.
pub async fn why(
    service: &str,
    query: &PackageQuery,
    request: &BuildRequest,
    context: &Context,
) -> Result<Why, BuildError> {
    let request = BuildRequest { services: vec![service.to_owned()], explain: true, ..request.clone() };
    let plan = super::plan(&request, context).await?;
    let service = plan.services.first().map_or(service, |known| &known.service.name);
    let images = || plan.services.iter().flat_map(|service| &service.images);
    let dependents = || images().filter_map(|image| image.dependents.as_deref());
    let answers: Result<Vec<ImageAnswer>, BuildError> =
        images().zip(dependents()).map(|(image, dependents)| answer(&plan, image, query, dependents)).collect();
    let why = Why { service: service.to_owned(), query: query.clone(), images: answers? };
    if why.images.iter().any(|image| !image.copies.is_empty()) {
        return Ok(why);
    }
    let known = images().zip(dependents()).flat_map(|(image, dependents)| of_image(image, query, dependents));
    let known: BTreeSet<String> = known.map(|(_, needed)| needed.label.clone()).collect();
    if !known.is_empty() {
        return Err(WhyError::OtherVersion { service: why.service, query: query.to_string(), known }.into());
    }
    match why.images.iter().any(ImageAnswer::says_why_not) {
        true => Ok(why),
        false => Err(WhyError::unknown(service, query, dependents()).into()),
    }
}

/// The packages of an image that have the name.
fn of_image<'a>(
    image: &'a ImagePlan,
    query: &'a PackageQuery,
    dependents: &'a Dependents,
) -> impl Iterator<Item = (&'a WorkspacePath, &'a Needed)> {
    dependents.called(&query.name).filter(|(dir, _)| has(image, dir))
}

fn has(image: &ImagePlan, dir: &WorkspacePath) -> bool {
    image.closure.packages.contains_key(dir) || image.closure.members.contains_key(dir)
}

fn answer(
    plan: &BuildPlan,
    image: &ImagePlan,
    query: &PackageQuery,
    dependents: &Dependents,
) -> Result<ImageAnswer, BuildError> {
    let is_wanted = |needed: &Needed| query.version.is_none() || needed.version == query.version;
    let here = of_image(image, query, dependents).filter(|(_, needed)| is_wanted(needed));
    let dirs: BTreeSet<WorkspacePath> = here.map(|(dir, _)| dir.clone()).collect();
    match dirs.is_empty() {
        true => Ok(absent(image, query, dependents)),
        false => present(plan, image, query, &dirs, dependents),
    }
}

/// The answer for a package that the image has in these directories.
fn present(
    plan: &BuildPlan,
    image: &ImagePlan,
    query: &PackageQuery,
    dirs: &BTreeSet<WorkspacePath>,
    dependents: &Dependents,
) -> Result<ImageAnswer, BuildError> {
    let edges = image.closure.edges.clone().unwrap_or_default();
    let files = PackageFiles::of(plan, image)?;
    let removal = |removed: &BTreeSet<WorkspacePath>| {
        let leaving = edges.only_through(removed);
        let cost = files.cost(&leaving);
        Removal { packages: leaving.into_iter().map(|dir| (dir.clone(), edges.label_of(&dir))).collect(), cost }
    };
    let step = |link: ChainLink| ChainStep {
        from: edges.label_of(&link.from),
        to: edges.label_of(&link.to),
        origin: link.origin,
    };
    let copy = |dir: &WorkspacePath| {
        let itself = BTreeSet::from([dir.clone()]);
        PackageCopy {
            label: edges.label_of(dir),
            dir: dir.clone(),
            chains: edges.chains_to(dir).into_iter().map(|chain| chain.into_iter().map(step).collect()).collect(),
            alone: files.cost(&itself),
            removal: removal(&itself),
            layer: files.layer_of(dir).and_then(|index| plan.layers.get(index)).map(HoldingLayer::of),
            needed_by: dependents.places.get(dir).map(|needed| needed.services.clone()).unwrap_or_default(),
        }
    };
    Ok(ImageAnswer {
        platform: image.platform.clone(),
        copies: dirs.iter().map(copy).collect(),
        together: (dirs.len() > 1).then(|| removal(dirs)),
        excluded: exclusions(image, query),
        elsewhere: BTreeMap::new(),
        for_development: false,
    })
}

/// The answer for a package that the image does not have.
fn absent(image: &ImagePlan, query: &PackageQuery, dependents: &Dependents) -> ImageAnswer {
    let excluded = exclusions(image, query);
    let elsewhere: Vec<&Needed> =
        dependents.called(&query.name).filter(|(dir, _)| !has(image, dir)).map(|(_, needed)| needed).collect();
    let for_development = elsewhere.is_empty() && dependents.development.contains(&query.name);
    let mut by_label: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    // What was left out here and is needed by nobody else was told already.
    for needed in elsewhere.into_iter().filter(|needed| excluded.is_empty() || !needed.services.is_empty()) {
        by_label.entry(needed.label.clone()).or_default().extend(needed.services.iter().cloned());
    }
    ImageAnswer {
        platform: image.platform.clone(),
        copies: Vec::new(),
        together: None,
        excluded,
        elsewhere: by_label,
        for_development,
    }
}

impl ImageAnswer {
    /// Whether anything is known of a package that the image does not have.
    fn says_why_not(&self) -> bool {
        !self.excluded.is_empty() || !self.elsewhere.is_empty() || self.for_development
    }
}

fn exclusions(image: &ImagePlan, query: &PackageQuery) -> BTreeSet<(String, ExclusionReason)> {
    let excluded = image.closure.excluded.iter().filter(|exclusion| exclusion.name == query.name);
    excluded.map(|exclusion| (exclusion.from.clone(), exclusion.why)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packages_by_name_and_version() {
        let table = [
            ("a name", "lodash", Some(("lodash", None))),
            ("with a scope", "@nestjs/core", Some(("@nestjs/core", None))),
            ("and a version", "lodash@4.17.21", Some(("lodash", Some("4.17.21")))),
            ("both", "@nestjs/core@10.0.0", Some(("@nestjs/core", Some("10.0.0")))),
            ("nothing", "", None),
            ("no version", "lodash@", None),
            ("no name", "@", None),
        ];
        for (comment, text, expected) in table {
            let query = text.parse::<PackageQuery>().ok();
            let found = query.as_ref().map(|query| (query.name.as_str(), query.version.as_deref()));
            assert_eq!(found, expected, "{comment}");
        }
    }
}
