use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::Serialize;

use super::table::megabytes;
use crate::build::{ChainStep, Cost, ImageAnswer, PackageCopy, Removal, Why};
use crate::closure::{EdgeOrigin, ExclusionReason};

/// How many chains to a package people read, and how many names of packages in a row.
const CHAINS: usize = 5;
const NAMES: usize = 12;

/// Why a package is in an image, for people and for programs. Sizes are in bytes, before compression.
#[derive(Clone, Debug, Serialize)]
pub struct WhyReport {
    /// The service.
    pub service: String,
    /// What was asked for: `NAME` or `NAME@VERSION`.
    pub package: String,
    /// The answer for each of its images, one for each platform.
    pub images: Vec<ImageAnswerReport>,
}

/// The answer for the image for one platform.
#[derive(Clone, Debug, Serialize)]
pub struct ImageAnswerReport {
    /// The platform.
    pub platform: String,
    /// Its copies in the image; none if it is not there.
    pub copies: Vec<CopyReport>,
    /// What leaves the image with all copies at once, where there are several.
    pub together: Option<RemovalReport>,
    /// Who asked for it or a variant of it without getting it.
    pub excluded: Vec<ExclusionReport>,
    /// If the image has none: what the rest of the workspace has, and the services that need it.
    pub elsewhere: BTreeMap<String, BTreeSet<String>>,
    /// Whether the workspace names it for development, and nothing needs it in production.
    pub for_development: bool,
}

/// A package at one place.
#[derive(Clone, Debug, Serialize)]
pub struct CopyReport {
    /// `name@version`
    pub label: String,
    /// Its directory in the workspace.
    pub dir: String,
    /// One chain for each edge that leads to it, the shortest first.
    pub chains: Vec<Vec<StepReport>>,
    /// What its own files cost.
    pub alone: CostReport,
    /// What leaves the image with it.
    pub removal: RemovalReport,
    /// What the layer that holds it is for; `None` if it has no file.
    pub layer: Option<String>,
    /// The services that share that layer, if it holds packages.
    pub layer_services: Vec<String>,
    /// The services of the workspace that need this copy.
    pub needed_by: BTreeSet<String>,
}

/// One edge of a chain.
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// `name@version` of who has it.
    pub from: String,
    /// `name@version` of where it leads.
    pub to: String,
    /// `dependency`, `optional dependency`, `peer dependency`, `optional peer` or `import`.
    pub kind: String,
    /// The name under which it is declared or imported.
    pub name: String,
    /// The version range or specifier; `None` for an import.
    pub specifier: Option<String>,
    /// `FILE:LINE` of an import.
    pub place: Option<String>,
}

/// What leaves an image together.
#[derive(Clone, Debug, Serialize)]
pub struct RemovalReport {
    /// `name@version` by directory, what was asked for too.
    pub packages: BTreeMap<String, String>,
    /// What they cost.
    #[serde(flatten)]
    pub cost: CostReport,
}

/// What files cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct CostReport {
    /// How many.
    pub files: usize,
    /// Their bytes. What other files of the image are hard links to costs nothing.
    pub bytes: u64,
}

/// Somebody who asked for a package without getting it.
#[derive(Clone, Debug, Serialize)]
pub struct ExclusionReport {
    /// `name@version`, or a place in the code.
    pub from: String,
    /// Why not.
    pub reason: String,
}

impl WhyReport {
    /// Reports on an answer.
    pub fn new(why: &Why) -> Self {
        Self {
            service: why.service.clone(),
            package: why.query.to_string(),
            images: why.images.iter().map(ImageAnswerReport::new).collect(),
        }
    }
}

impl ImageAnswerReport {
    fn new(answer: &ImageAnswer) -> Self {
        let exclusion = |(from, reason): &(String, ExclusionReason)| ExclusionReport {
            from: from.clone(),
            reason: reason.to_string(),
        };
        Self {
            platform: answer.platform.to_string(),
            copies: answer.copies.iter().map(CopyReport::new).collect(),
            together: answer.together.as_ref().map(RemovalReport::new),
            excluded: answer.excluded.iter().map(exclusion).collect(),
            elsewhere: answer.elsewhere.clone(),
            for_development: answer.for_development,
        }
    }
}

impl CopyReport {
    fn new(copy: &PackageCopy) -> Self {
        Self {
            label: copy.label.clone(),
            dir: copy.dir.to_string(),
            chains: copy.chains.iter().map(|chain| chain.iter().map(StepReport::new).collect()).collect(),
            alone: CostReport::new(copy.alone),
            removal: RemovalReport::new(&copy.removal),
            layer: copy.layer.as_ref().map(|layer| layer.role.to_string()),
            layer_services: copy.layer.as_ref().map(|layer| layer.services.clone()).unwrap_or_default(),
            needed_by: copy.needed_by.clone(),
        }
    }
}

impl StepReport {
    fn new(step: &ChainStep) -> Self {
        let (kind, name, specifier, place) = match &step.origin {
            EdgeOrigin::Declared { kind, name, wanted } => (kind.to_string(), name, Some(wanted.clone()), None),
            EdgeOrigin::Imported { name, place } => ("import".to_owned(), name, None, Some(place.clone())),
        };
        Self { from: step.from.clone(), to: step.to.clone(), kind, name: name.clone(), specifier, place }
    }
}

impl RemovalReport {
    fn new(removal: &Removal) -> Self {
        let packages = removal.packages.iter().map(|(dir, label)| (dir.to_string(), label.clone())).collect();
        Self { packages, cost: CostReport::new(removal.cost) }
    }
}

impl CostReport {
    fn new(Cost { files, bytes }: Cost) -> Self {
        Self { files, bytes }
    }
}

impl fmt::Display for WhyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, image) in self.images.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            let on = match self.images.len() {
                1 => String::new(),
                _ => format!(" for {}", image.platform),
            };
            match image.copies.is_empty() {
                true => writeln!(f, "{gap}The image of {}{on} has no {}.", self.service, self.package)?,
                false if on.is_empty() => {}
                false => writeln!(f, "{gap}The image of {}{on}:\n", self.service)?,
            }
            image.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for ImageAnswerReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, copy) in self.copies.iter().enumerate() {
            let gap = if index > 0 { "\n" } else { "" };
            write!(f, "{gap}{copy}")?;
        }
        if let Some(together) = &self.together {
            write!(f, "\nAll {} copies: ", self.copies.len())?;
            let own: Vec<&str> = self.copies.iter().map(|copy| copy.dir.as_str()).collect();
            together.brings(&own, f)?;
        }
        if !self.excluded.is_empty() {
            writeln!(f, "\nLeft out:")?;
        }
        for ExclusionReport { from, reason } in &self.excluded {
            writeln!(f, "  for {from}: {reason}")?;
        }
        if !self.elsewhere.is_empty() {
            writeln!(f, "\nElsewhere in the workspace:")?;
        }
        for (label, services) in &self.elsewhere {
            let services: Vec<&str> = services.iter().map(String::as_str).collect();
            let who = if services.is_empty() { "no service".to_owned() } else { services.join(", ") };
            writeln!(f, "  {label}: needed by {who}")?;
        }
        if self.for_development {
            writeln!(f, "It is named for development only (`devDependencies`).")?;
        }
        Ok(())
    }
}

impl fmt::Display for CopyReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} in {}", self.label, self.dir)?;
        for chain in self.chains.iter().take(CHAINS) {
            let first = chain.first().map(|step| step.from.as_str()).unwrap_or_default();
            write!(f, "  {first}")?;
            for step in chain {
                write!(f, " > {} ({step})", step.to)?;
            }
            writeln!(f)?;
        }
        if self.chains.len() > CHAINS {
            writeln!(f, "  and {} more", self.chains.len() - CHAINS)?;
        }
        write!(f, "  {}; ", self.alone)?;
        self.removal.brings(&[&self.dir], f)?;
        match &self.layer {
            None => writeln!(f, "  layer: none, it has no file")?,
            Some(role) if self.layer_services.is_empty() => writeln!(f, "  layer: {role}")?,
            Some(role) => writeln!(f, "  layer: {role}, for {}", self.layer_services.join(", "))?,
        }
        let needed_by: Vec<&str> = self.needed_by.iter().map(String::as_str).collect();
        writeln!(f, "  needed by: {}", needed_by.join(", "))
    }
}

impl fmt::Display for StepReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.specifier, &self.place) {
            (Some(specifier), _) => write!(f, "{} {}@{specifier}", self.kind, self.name),
            (None, Some(place)) => write!(f, "import of {}, undeclared, {place}", self.name),
            (None, None) => write!(f, "{} of {}", self.kind, self.name),
        }
    }
}

impl RemovalReport {
    /// Says what comes with the packages in `own`, and with nothing else.
    fn brings(&self, own: &[&str], f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let others = self.packages.iter().filter(|(dir, _)| !own.contains(&dir.as_str()));
        let mut others: Vec<&str> = others.map(|(_, label)| label.as_str()).collect();
        others.sort_unstable();
        let bring = if own.len() == 1 { "it brings" } else { "they bring" };
        let packages = if others.len() == 1 { "package" } else { "packages" };
        match others.len() {
            0 if own.len() > 1 => return writeln!(f, "{}", self.cost),
            0 => return writeln!(f, "it brings nothing that is not needed otherwise"),
            count => write!(f, "{} with {count} {packages} that only {bring}: ", self.cost)?,
        }
        f.write_str(&others.iter().take(NAMES).copied().collect::<Vec<_>>().join(" "))?;
        match others.len().saturating_sub(NAMES) {
            0 => writeln!(f),
            more => writeln!(f, " and {more} more"),
        }
    }
}

impl fmt::Display for CostReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let files = if self.files == 1 { "file" } else { "files" };
        write!(f, "{} in {} {files}", megabytes(self.bytes), self.files)
    }
}
