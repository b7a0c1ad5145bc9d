use std::fmt;

use serde::Serialize;

use super::table::{aligned, megabytes};
use crate::build::BuildPlan;
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
    /// What the container would run.
    pub command: Vec<String>,
    /// Its layers above the base, by their numbers in the plan.
    pub layers: Vec<usize>,
    /// Its packages with the reason why each is there.
    pub packages: Vec<(String, String)>,
    /// What was left out: one line each.
    pub excluded: Vec<String>,
}

/// One layer of a plan.
#[derive(Clone, Debug, Serialize)]
pub struct PlannedLayer {
    /// What it is for.
    pub role: String,
    /// The services that would have it.
    pub services: Vec<String>,
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
            command: service.run.command.clone(),
            layers: service.layers.clone(),
            packages: service
                .closure
                .packages
                .values()
                .map(|package| (package.package_json.label(), package.reason.to_string()))
                .collect(),
            excluded: super::exclusions(&service.closure),
        });
        let layers = plan.layers.iter().enumerate().map(|(index, layer)| planned_layer(plan, index, layer));
        Self { services: services.collect(), layers: layers.collect() }
    }
}

fn planned_layer(plan: &BuildPlan, index: usize, layer: &LayerPlan) -> PlannedLayer {
    let users = plan.services.iter().filter(|service| service.layers.contains(&index));
    PlannedLayer {
        role: layer.role.to_string(),
        services: users.map(|service| service.service.name.clone()).collect(),
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
        f.write_str(&aligned(&rows))?;
        for (index, layer) in self.layers.iter().enumerate() {
            writeln!(f, "\nlayer {index}: {}", layer.fragments.join(" "))?;
        }
        Ok(())
    }
}
