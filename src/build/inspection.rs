//! Looking into planned images: their file systems, and what their code says.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::pack::FoundLayers;
use super::{BuildError, Context, Decided, ImagePlan, ServicePlan, contents};
use crate::check::{self, CheckError, ImageFiles, KnownModules, LayerFiles, PathHash, Subject};
use crate::digest::Digest;
use crate::path::ImagePath;

/// What is known of planned images while they are looked into.
pub(super) struct Inspection<'a> {
    decided: &'a Decided,
    context: &'a Context,
    root: ImagePath,
    modules: KnownModules,
    hash: PathHash,
    layers: BTreeMap<usize, Arc<LayerFiles>>,
}

impl<'a> Inspection<'a> {
    /// Begins to look into these images, with what earlier runs know of the workspace's code.
    pub fn open<'i>(
        decided: &'a Decided,
        images: impl Iterator<Item = &'i ImagePlan>,
        context: &'a Context,
    ) -> Result<Self, BuildError> {
        let modules = KnownModules::decode(context.store.fact(&modules_name(decided))?);
        let root = contents::root(&decided.settings)?;
        let indexes: BTreeSet<usize> = images.flat_map(|image| &image.layers).copied().collect();
        let hash = PathHash::default();
        let files = |index: usize| Some((index, Arc::new(LayerFiles::of(decided.plan.layers.get(index)?, &hash))));
        let layers = indexes.into_par_iter().filter_map(files).collect();
        Ok(Self { decided, context, root, modules, hash, layers })
    }

    /// Looks into an image, whose layers' contents can be read; `None` for one without a base.
    pub fn look_into<T>(
        &self,
        service_plan: &ServicePlan,
        planned: &ImagePlan,
        look: impl FnOnce(&Subject<'_>) -> Result<T, CheckError>,
    ) -> Result<Option<T>, BuildError> {
        self.context.cancellation.check()?;
        let Decided { workspace, bases, .. } = self.decided;
        let Some(base) = bases.get(&service_plan.base, &planned.platform) else { return Ok(None) };
        let own: Vec<_> = planned.layers.iter().filter_map(|index| self.layers.get(index).cloned()).collect();
        let files = ImageFiles::new(base.files.clone(), &own, &self.hash);
        let subject = Subject {
            service: &service_plan.service,
            workspace,
            root: &self.root,
            closure: &planned.closure,
            foreign: &planned.foreign.places,
            user: planned.user,
            run: &planned.contract.run,
            base: &base.image.config.parsed().config,
            files: &files,
            health_path: None,
            misfits: &planned.misfits,
            allowed: &[],
            modules: &self.modules,
        };
        Ok(Some(look(&subject)?))
    }

    /// Remembers what is known of code now.
    pub fn close(self) -> Result<(), BuildError> {
        if let Some(bytes) = self.modules.encode() {
            self.context.store.put_fact(&modules_name(self.decided), &bytes)?;
        }
        Ok(())
    }
}

fn modules_name(decided: &Decided) -> String {
    let root = decided.workspace.root.as_path().as_os_str().as_encoded_bytes();
    format!("modules-{}", Digest::of(root).short())
}

/// The name under which it is remembered what looking into an image gave: made of all that it depends on.
pub(super) fn fact_name(
    what: &str,
    decided: &Decided,
    service: &ServicePlan,
    planned: &ImagePlan,
    found: &FoundLayers<'_>,
) -> String {
    let keys = found.keys();
    let layers = planned.layers.iter().filter_map(|index| Some(keys.get(*index)?.layer.to_string()));
    let base = decided.bases.get(&service.base, &planned.platform).map(|base| base.image.manifest.digest());
    let members: Vec<_> = decided.workspace.members.iter().map(|member| (&member.dir, &member.package_json)).collect();
    let ImagePlan { closure, user, contract, foreign, misfits, .. } = planned;
    let run = (user, &contract.run);
    let settings = decided.settings.of_service(&service.service.name);
    let inputs = format!(
        "{}\n{:?}\n{:?}\n{:?}\n{:?}\n{base:?}\n{:?}\n{run:?}\n{:?}\n{:?}\n{:?}\n{misfits:?}\n{members:?}",
        check::RECIPE,
        decided.workspace.root,
        settings.allow,
        settings.keep,
        layers.collect::<Vec<_>>(),
        service.service,
        closure.excluded,
        foreign.places,
        decided.settings.root,
    );
    format!("{what}-{}", Digest::of(inputs.as_bytes()).hex())
}
