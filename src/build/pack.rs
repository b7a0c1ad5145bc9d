//! The steps that make bytes: layers, then the documents of the images.

use std::collections::BTreeMap;
use std::io::BufWriter;

use tokio::task::block_in_place;

use super::base::ResolvedBase;
use super::{BuildError, BuildPlan, Context};
use crate::image::{Image, assemble};
use crate::layer::{self, Layer, PackError, Packing};

/// Packs every planned layer into the store. The result has the order of [`BuildPlan::layers`].
pub(super) fn pack(plan: &BuildPlan, context: &Context) -> Result<Vec<Layer>, BuildError> {
    let bytes = plan.layers.iter().map(layer::LayerPlan::content_bytes).sum();
    context.progress.step(&format!("packing {} layers", plan.layers.len()));
    let task = context.progress.task("packing", bytes);
    let on_bytes = |bytes| task.advance(bytes);
    let packing = Packing {
        mtime: context.mtime,
        threads: context.threads,
        cancellation: &context.cancellation,
        on_bytes: &on_bytes,
    };
    // Packing keeps its own threads busy; the runtime's others go on with what they have.
    block_in_place(|| {
        let mut layers = Vec::new();
        for planned in &plan.layers {
            let mut blob = context.store.new_blob()?;
            let layer = layer::pack(planned, packing, BufWriter::with_capacity(1 << 20, &mut blob));
            let layer = layer.map_err(|error| match error {
                PackError::Write(source) => context.store.write_error(source).into(),
                error => BuildError::from(error),
            })?;
            blob.keep(&layer.descriptor().digest)?;
            layers.push(layer);
        }
        Ok(layers)
    })
}

/// Puts the images together, by the services' names.
pub(super) fn assemble_images(
    plan: &BuildPlan,
    layers: &[Layer],
    bases: &BTreeMap<String, ResolvedBase>,
    context: &Context,
) -> Result<BTreeMap<String, Image>, BuildError> {
    let created = rfc3339(context.mtime);
    let mut images = BTreeMap::new();
    for service in &plan.services {
        let Some(base) = bases.get(&service.base) else { continue };
        let own: Vec<Layer> = service.layers.iter().filter_map(|&index| layers.get(index)).cloned().collect();
        let image = assemble(&base.image, &own, &service.run, &created)?;
        for document in [image.config.bytes(), image.manifest.bytes()] {
            context.store.put(document)?;
        }
        images.insert(service.service.name.clone(), image);
    }
    Ok(images)
}

/// Seconds since 1970 as image configs write times.
fn rfc3339(seconds: u64) -> String {
    let seconds = i64::try_from(seconds).unwrap_or(i64::MAX);
    jiff::Timestamp::from_second(seconds).unwrap_or(jiff::Timestamp::MAX).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_configs_write_them() {
        assert_eq!(rfc3339(1), "1970-01-01T00:00:01Z");
        assert_eq!(rfc3339(1_735_689_600), "2025-01-01T00:00:00Z");
        assert!(rfc3339(u64::MAX).starts_with("9999-"));
    }
}
