//! The steps that make bytes: layers, then the documents of the images.

use std::collections::BTreeMap;
use std::io::BufWriter;

use rayon::prelude::*;
use tokio::task::{JoinHandle, block_in_place, spawn_blocking};

use super::base::Bases;
use super::locked::LockedPackages;
use super::{BuildError, BuildPlan, Context};
use crate::digest::Digest;
use crate::host::StatIndex;
use crate::image::{AssembleError, OwnLayer, PlatformImages, assemble};
use crate::layer::{
    self, FoundPiece, FragmentKey, Layer, LayerKeys, LayerPlan, PackError, PackedAhead, Packing, PieceCache,
};
use crate::path::HostPath;
use crate::store::{KnownPieces, StoreError};
use crate::workspace::Workspace;

/// The finished layers of a plan, and how much work they were.
#[derive(Clone, Debug, Default)]
pub struct PackedLayers {
    /// In the order of [`BuildPlan::layers`].
    pub layers: Vec<Layer>,
    /// How many of them had to be written; the others were known.
    pub written: usize,
    /// The labels of the fragments that had to be compressed; the others were copied from earlier layers.
    pub compressed: Vec<String>,
}

/// What is known of the workspace's files from earlier builds.
pub(super) fn open_index(workspace: &Workspace, context: &Context) -> Result<StatIndex, BuildError> {
    let bytes = context.store.fact(&index_name(&workspace.root))?;
    let index = StatIndex::decode(&workspace.root, bytes, context.began);
    Ok(index.cancelled_by(&context.cancellation))
}

/// Remembers what is known now.
pub(super) fn save_index(index: StatIndex, context: &Context) -> Result<(), BuildError> {
    let name = index_name(index.root());
    if let Some(bytes) = index.encode()? {
        context.store.put_fact(&name, &bytes)?;
    }
    Ok(())
}

/// Does that on another thread.
pub(super) fn save_index_meanwhile(index: StatIndex, context: &Context) -> JoinHandle<Result<(), BuildError>> {
    let context = context.clone();
    spawn_blocking(move || save_index(index, &context))
}

fn index_name(root: &HostPath) -> String {
    let root = root.as_path().as_os_str().as_encoded_bytes();
    format!("stat-index-{}", Digest::of(root).short())
}

/// Makes the layers of a plan.
#[derive(Clone, Copy)]
pub(super) struct Packer<'a> {
    pub plan: &'a BuildPlan,
    /// Where contents come from that are not installed.
    pub locked: &'a [&'a LockedPackages],
    pub context: &'a Context,
}

/// The layers of a plan in its order, each with what is known of it from earlier.
pub(super) struct FoundLayers<'a>(Vec<(&'a LayerPlan, LayerKeys, Option<Layer>)>);

impl FoundLayers<'_> {
    /// Whether none has to be made.
    pub fn are_all_known(&self) -> bool {
        self.unknown().is_empty()
    }

    /// The keys of all of them, in the order of the plan.
    pub fn keys(&self) -> Vec<&LayerKeys> {
        self.0.iter().map(|(_, keys, _)| keys).collect()
    }

    fn unknown(&self) -> Vec<&LayerPlan> {
        self.0.iter().filter(|(.., known)| known.is_none()).map(|(planned, ..)| *planned).collect()
    }
}

impl<'a> Packer<'a> {
    /// Looks which layers of the plan are known from earlier.
    pub fn look_up(&self) -> Result<FoundLayers<'a>, BuildError> {
        let mut layers = Vec::new();
        for planned in &self.plan.layers {
            let keys = LayerKeys::of(planned, self.context.mtime, self.plan.compression);
            let known = known_layer(&keys, self.context)?;
            layers.push((planned, keys, known));
        }
        Ok(FoundLayers(layers))
    }

    /// Has every planned layer in the store: those that are known from earlier are not even read. `on_written` is told of
    /// each other one as soon as it is there, with its place in the plan.
    pub async fn pack(
        &self,
        found: FoundLayers<'_>,
        mut on_written: impl FnMut(usize, &Layer),
    ) -> Result<PackedLayers, BuildError> {
        let Self { plan, context, .. } = self;
        let unknown = found.unknown();
        let bytes = unknown.iter().map(|planned| planned.content_bytes()).sum();
        self.have_contents(&unknown).await?;
        if !unknown.is_empty() {
            context.progress.step(&format!("packing {} of {} layers", unknown.len(), plan.layers.len()));
        }
        let task = context.progress.task("packing", bytes);
        let pieces = context.store.known_pieces();
        let cache = self.found_pieces(&pieces);
        let on_bytes = |bytes| task.advance(bytes);
        let packing = self.packing(&cache, &on_bytes);
        let mut packed = PackedLayers { written: unknown.len(), ..PackedLayers::default() };
        // Packing keeps its own threads busy; the runtime's others go on with what they have.
        block_in_place(|| {
            for (planned, keys, known) in found.0 {
                let layer = match known {
                    Some(layer) => layer,
                    None => {
                        let written = write_layer(planned, &keys, packing, &pieces, context, &mut packed.compressed)?;
                        on_written(packed.layers.len(), &written);
                        written
                    }
                };
                packed.layers.push(layer);
            }
            Ok(packed)
        })
    }

    /// Makes sure that the layers at these places of a plan can be delivered: what an earlier build left is read whole, and
    /// packed again where it is damaged or gone.
    pub async fn mend(&self, packed: &mut PackedLayers, indices: &[usize]) -> Result<(), BuildError> {
        let damaged: Vec<usize> = block_in_place(|| {
            let damaged = indices.par_iter().map(|index| self.is_damaged(packed, *index));
            Ok::<_, BuildError>(damaged.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
        })?;
        let planned: Vec<&LayerPlan> = damaged.iter().filter_map(|index| self.plan.layers.get(*index)).collect();
        self.have_contents(&planned).await?;
        block_in_place(|| damaged.into_iter().try_for_each(|index| self.pack_again(packed, index)))
    }

    fn is_damaged(&self, packed: &PackedLayers, index: usize) -> Result<Option<usize>, BuildError> {
        self.context.cancellation.check()?;
        let Some(layer) = packed.layers.get(index) else { return Ok(None) };
        Ok(self.context.store.intact_blob(layer.descriptor())?.is_none().then_some(index))
    }

    fn pack_again(&self, packed: &mut PackedLayers, index: usize) -> Result<(), BuildError> {
        let Self { plan, context, .. } = self;
        let (Some(planned), Some(known)) = (plan.layers.get(index), packed.layers.get(index)) else { return Ok(()) };
        let expected = known.descriptor().digest;
        let what = if context.store.blob(known.descriptor())?.is_some() { "damaged in" } else { "missing from" };
        context.progress.step(&format!("packing {} again, which is {what} the cache", expected.short()));
        let pieces = context.store.known_pieces();
        let cache = self.found_pieces(&pieces);
        let packing = self.packing(&cache, &|_| ());
        let keys = LayerKeys::of(planned, context.mtime, plan.compression);
        let layer = write_layer(planned, &keys, packing, &pieces, context, &mut packed.compressed)?;
        packed.written += 1;
        let actual = layer.descriptor().digest;
        if actual != expected {
            return Err(StoreError::Digest { expected, actual }.into());
        }
        Ok(())
    }

    /// Has all tarballs in the store whose contents these layers hold.
    pub async fn have_contents(&self, layers: &[&LayerPlan]) -> Result<(), BuildError> {
        for locked in self.locked {
            locked.ensure(layers.iter().copied(), self.context).await?;
        }
        Ok(())
    }

    /// What need not be compressed. Nothing more is packed ahead from now on.
    fn found_pieces<'p>(&'p self, stored: &'p KnownPieces) -> FoundPieces<'p> {
        FoundPieces { ahead: self.locked.iter().filter_map(|locked| locked.packed_ahead()).collect(), stored }
    }

    fn packing<'p>(&'p self, cache: &'p dyn PieceCache, on_bytes: &'p (dyn Fn(u64) + Sync)) -> Packing<'p> {
        Packing {
            mtime: self.context.mtime,
            compression: self.plan.compression,
            threads: self.context.threads,
            cache,
            cancellation: &self.context.cancellation,
            on_bytes,
        }
    }
}

fn write_layer(
    planned: &LayerPlan,
    keys: &LayerKeys,
    packing: Packing<'_>,
    pieces: &KnownPieces,
    context: &Context,
    compressed: &mut Vec<String>,
) -> Result<Layer, BuildError> {
    let mut blob = context.store.new_blob_of_known_digest()?;
    let packed = layer::pack(planned, keys, packing, BufWriter::with_capacity(1 << 20, &mut blob));
    let packed = packed.map_err(|error| match error {
        PackError::Write(source) => context.store.write_error(source).into(),
        error => BuildError::from(error),
    })?;
    let digest = packed.layer.descriptor().digest;
    blob.keep(&digest)?;
    context.store.put_pieces(&digest, &packed.pieces)?;
    pieces.add(&digest, &packed.pieces);
    let fact = serde_json::to_vec(&packed.layer).unwrap_or_default();
    context.store.put_fact(&layer_name(keys), &fact)?;
    compressed.extend(packed.compressed);
    Ok(packed.layer)
}

/// A layer that was packed before. Its blob may be gone: it is made again if a destination wants it.
fn known_layer(keys: &LayerKeys, context: &Context) -> Result<Option<Layer>, BuildError> {
    let Some(bytes) = context.store.fact(&layer_name(keys))? else { return Ok(None) };
    let Ok(layer) = serde_json::from_slice::<Layer>(&bytes) else { return Ok(None) };
    // What is asked for is swept last.
    context.store.blob(layer.descriptor())?;
    Ok(Some(layer))
}

fn layer_name(keys: &LayerKeys) -> String {
    format!("layer-{}", keys.layer)
}

/// Finds pieces among those that were packed ahead, and in the blobs of the store.
struct FoundPieces<'a> {
    ahead: Vec<&'a PackedAhead>,
    stored: &'a KnownPieces,
}

impl PieceCache for FoundPieces<'_> {
    fn find(&self, fragment: &FragmentKey, number: u64, compressed: &mut Vec<u8>) -> Option<FoundPiece> {
        let mut ahead = self.ahead.iter();
        ahead.find_map(|ahead| ahead.find(fragment, number, compressed)).or_else(|| {
            let digest = self.stored.read(fragment, number, compressed)?;
            Some(FoundPiece { digest, is_new: false })
        })
    }
}

/// Puts the images together, by the services' names.
pub(super) fn assemble_images(
    plan: &BuildPlan,
    packed: &PackedLayers,
    bases: &Bases,
    context: &Context,
) -> Result<BTreeMap<String, PlatformImages>, BuildError> {
    let created = rfc3339(context.mtime);
    let mut images = BTreeMap::new();
    for service in &plan.services {
        let mut of_service = Vec::new();
        for planned in &service.images {
            let Some(base) = bases.get(&service.base, &planned.platform) else { continue };
            let own: Vec<OwnLayer> =
                planned.layers.iter().filter_map(|&index| packed.layers.get(index)).map(OwnLayer::from).collect();
            let image = assemble(&base.image, &own, planned.user, &planned.contract, plan.format, &created)?;
            context.store.put(image.config.bytes())?;
            of_service.push(image);
        }
        let of_service = PlatformImages::of(of_service).map_err(AssembleError::from)?;
        images.insert(service.service.name.clone(), of_service);
    }
    Ok(images)
}

/// The seconds since 1970 of a time that [`rfc3339`] wrote; `None` for others.
pub(super) fn seconds(time: &str) -> Option<u64> {
    let seconds = time.parse::<jiff::Timestamp>().ok()?.as_second().try_into().ok()?;
    (rfc3339(seconds) == time).then_some(seconds)
}

/// Seconds since 1970 as image configs write times.
pub(super) fn rfc3339(seconds: u64) -> String {
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
