//! Layers that leave for registries while others are packed.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use super::{own_blob, references};
use crate::build::{BuildError, BuildPlan, BuildRequest, Context, Destination};
use crate::digest::Digest;
use crate::layer::Layer;
use crate::manifest::Descriptor;
use crate::registry::{Offer, Repository};
use crate::transfer;

/// Sends each layer that was just packed to the registries that will want it: of each the repository of the first service
/// that has the layer, from where the others' mount it.
pub struct Ahead {
    /// By the layer's place in the plan.
    repositories: Vec<BTreeSet<Repository>>,
    sendings: JoinSet<Result<(Repository, Digest, u64), BuildError>>,
    context: Context,
}

/// Layers that repositories have since they were sent ahead.
#[derive(Debug, Default)]
pub struct SentAhead(BTreeMap<Repository, BTreeMap<Digest, u64>>);

impl Ahead {
    /// Knows where the layers of a plan will go.
    pub fn new(
        plan: &BuildPlan,
        destinations: &[Destination],
        request: &BuildRequest,
        context: &Context,
    ) -> Result<Self, BuildError> {
        let mut repositories = vec![BTreeSet::new(); plan.layers.len()];
        for destination in destinations {
            let mut first: BTreeMap<usize, Repository> = BTreeMap::new();
            for service in &plan.services {
                let Some(reference) = references(service, destination, request)?.into_iter().next() else { continue };
                for &layer in service.images.iter().flat_map(|image| &image.layers) {
                    first.entry(layer).or_insert_with(|| reference.repository().clone());
                }
            }
            for (layer, repository) in first {
                if let Some(repositories) = repositories.get_mut(layer) {
                    repositories.insert(repository);
                }
            }
        }
        Ok(Self { repositories, sendings: JoinSet::new(), context: context.clone() })
    }

    /// Sends a layer, given its place in the plan.
    pub fn send(&mut self, index: usize, layer: &Layer) {
        for repository in self.repositories.get(index).into_iter().flatten() {
            let (repository, descriptor) = (repository.clone(), layer.descriptor().clone());
            self.sendings.spawn(send(repository, descriptor, self.context.clone()));
        }
    }

    /// Waits until all have arrived.
    pub async fn arrived(mut self) -> Result<SentAhead, BuildError> {
        let mut sent = SentAhead::default();
        while let Some(ended) = self.sendings.join_next().await {
            let (repository, digest, bytes) = ended.map_err(|error| BuildError::Task(error.into()))??;
            sent.0.entry(repository).or_default().insert(digest, bytes);
        }
        Ok(sent)
    }
}

async fn send(
    repository: Repository,
    descriptor: Descriptor,
    context: Context,
) -> Result<(Repository, Digest, u64), BuildError> {
    let sent = match context.client.offer_blob(&repository, &descriptor, None).await? {
        Offer::Wanted(session) => {
            let path = own_blob(&descriptor, &context)?;
            transfer::send(&repository, &descriptor, &path, session, &context.transfer()).await?
        }
        Offer::AlreadyThere | Offer::Mounted => 0,
    };
    Ok((repository, descriptor.digest, sent))
}

impl SentAhead {
    /// Whether a repository has a blob since it was sent ahead.
    pub fn has(&self, repository: &Repository, digest: &Digest) -> bool {
        self.0.get(repository).is_some_and(|sent| sent.contains_key(digest))
    }

    /// The repositories that have blobs, by the blobs' digests.
    pub fn places(&self) -> impl Iterator<Item = (Digest, &Repository)> {
        self.0.iter().flat_map(|(repository, sent)| sent.keys().map(move |digest| (*digest, repository)))
    }

    /// How many bytes were sent to a repository, of which nobody was told yet.
    pub fn take_bytes(&mut self, repository: &Repository) -> u64 {
        self.0.get_mut(repository).map_or(0, |sent| sent.values_mut().map(std::mem::take).sum())
    }

    /// Forgets what repositories are said to have.
    pub fn doubt(&mut self) {
        self.0.clear();
    }
}
