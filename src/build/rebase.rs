//! `pirogue rebase`: moves images that were pushed to another base by registry calls alone. Their sources are not needed, and
//! their layers are not read, but for an init of one file: what depends on the base is made again by what each image's
//! contract says.

mod added;
mod deployed;
mod moving;
mod new_base;
mod refusal;

pub use refusal::{RebaseError, Refusal, Refused};

use std::collections::BTreeSet;

use futures_util::future::try_join_all;

use added::AddedAgain;
use deployed::DeployedService;
use moving::{Move, MovedImage, Unmoved, adds_packages};
use new_base::NewBases;

use super::fleet::Fleet;
use super::{BuildError, BuildRequest, Context};
use crate::digest::Digest;
use crate::image::{AssembleError, PlatformImages};
use crate::platform::Platform;
use crate::registry::Reference;

/// What became of the images that a rebase was about.
#[derive(Clone, Debug)]
pub struct Rebase {
    /// By service and reference.
    pub images: Vec<RebasedImage>,
}

/// What became of the image that a reference names.
#[derive(Clone, Debug)]
pub struct RebasedImage {
    /// The service.
    pub service: String,
    /// The reference.
    pub reference: Reference,
    /// What became of it.
    pub outcome: Outcome,
}

/// What becomes of an image.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// There is no such image.
    NotThere,
    /// It lies on that base already.
    UpToDate {
        /// Its digest.
        digest: Digest,
        /// The base, as it was named.
        base: String,
    },
    /// It lies on that base now.
    Moved {
        /// What the reference stood for.
        before: Digest,
        /// What it stands for now.
        after: Digest,
        /// The base, as it was named.
        base: String,
        /// Its platforms.
        platforms: Vec<Platform>,
        /// How many bytes of blobs were sent.
        sent_bytes: u64,
    },
}

/// Moves the images of services to the base that a build would take now: the request's, else that of `pirogue.toml` and
/// `pirogue.lock`, else what the name of their own stands for. Nothing is pushed unless all can be moved, nor in a dry run.
pub async fn rebase(request: &BuildRequest, dry_run: bool, context: &Context) -> Result<Rebase, BuildError> {
    let rebased = run(request, dry_run, context).await;
    context.client.end_spare_uploads().await;
    rebased.map_err(|error| context.cancellation.check().err().map_or(error, BuildError::from))
}

async fn run(request: &BuildRequest, dry_run: bool, context: &Context) -> Result<Rebase, BuildError> {
    let fleet = Fleet::find(request, context)?;
    refusal::refuse_digests(&fleet)?;
    let deployed = deployed::read(&fleet, context).await?;
    let bases = NewBases::resolve(&deployed, &fleet, request, context).await?;
    let plans = check(&deployed, &bases, AddedAgain::new(&fleet, context), request).await?;
    let mut remade = Vec::new();
    for (service, plan) in deployed.iter().zip(plans) {
        remade.push(remake(service, plan, context).await?);
    }
    if !dry_run {
        ask_to_push(&remade, context).await?;
        for service in &mut remade {
            service.push(context).await?;
        }
    }
    Ok(Rebase { images: remade.into_iter().map(|service| service.result).collect() })
}

/// What is to be done with the image of one reference.
enum Plan<'a> {
    /// Nothing: it is not there, or it lies on the base.
    Nothing(Outcome),
    /// It moves, on each platform.
    Move {
        /// What the reference stands for.
        before: Digest,
        /// The base, as it was named.
        base: String,
        /// One for each platform.
        moves: Vec<Move<'a>>,
    },
}

/// Decides what is to be done with each image. All reasons why one cannot be moved are told at once.
async fn check<'a>(
    deployed: &'a [DeployedService],
    bases: &'a NewBases,
    mut added: AddedAgain<'_>,
    request: &BuildRequest,
) -> Result<Vec<Plan<'a>>, BuildError> {
    let (mut plans, mut refused) = (Vec::new(), Vec::new());
    for service in deployed {
        let Some(digest) = service.digest else {
            plans.push(Plan::Nothing(Outcome::NotThere));
            continue;
        };
        let mut refuse = |platform: Option<&Platform>, reasons: Vec<Refusal>| {
            let refuse = |reason| Refused { image: service.reference.clone(), platform: platform.cloned(), reason };
            refused.extend(reasons.into_iter().map(refuse));
        };
        let base = match bases.of_service(service) {
            Ok(base) => base,
            Err(reason) => {
                refuse(None, vec![reason]);
                continue;
            }
        };
        if request.platforms.is_empty()
            && service.images.iter().all(|image| base.lies_below(image) && !adds_packages(image))
        {
            plans.push(Plan::Nothing(Outcome::UpToDate { digest, base: base.name.clone() }));
            continue;
        }
        let mut moves = Vec::new();
        for wanted in service.platforms(&request.platforms) {
            let Some(image) = service.image(&wanted) else {
                refuse(Some(&wanted), vec![Refusal::NotBuiltFor]);
                continue;
            };
            match Move::of(image, service, base, &mut added).await {
                Ok(moved) => moves.push(moved),
                Err(Unmoved::Refused(reasons)) => refuse(Some(&wanted), reasons),
                Err(Unmoved::Failed(error)) => return Err(error),
            }
        }
        plans.push(Plan::Move { before: digest, base: base.name.clone(), moves });
    }
    match refused.is_empty() {
        true => Ok(plans),
        false => Err(RebaseError::Refused(refused).into()),
    }
}

/// What a reference is going to stand for, with what it is made of.
struct Remade<'a> {
    result: RebasedImage,
    /// Nothing where nothing has to be pushed.
    images: Option<(PlatformImages, Vec<MovedImage<'a>>)>,
}

/// Makes the images that move.
async fn remake<'a>(service: &DeployedService, plan: Plan<'a>, context: &Context) -> Result<Remade<'a>, BuildError> {
    let result =
        |outcome| RebasedImage { service: service.name.clone(), reference: service.reference.clone(), outcome };
    let (before, base, moves) = match plan {
        Plan::Nothing(outcome) => return Ok(Remade { result: result(outcome), images: None }),
        Plan::Move { before, base, moves } => (before, base, moves),
    };
    let mut moved = Vec::new();
    for one in moves {
        moved.push(one.make(context).await?);
    }
    let images = moved.iter().map(|moved| moved.image.clone()).collect();
    let images = PlatformImages::of(images).map_err(AssembleError::from)?;
    let after = images.descriptor().digest;
    if after == before {
        return Ok(Remade { result: result(Outcome::UpToDate { digest: after, base }), images: None });
    }
    let platforms = images.images().iter().map(|image| image.platform.clone()).collect();
    let outcome = Outcome::Moved { before, after, base, platforms, sent_bytes: 0 };
    Ok(Remade { result: result(outcome), images: Some((images, moved)) })
}

/// Asks the registries whether we may push before anything is.
async fn ask_to_push(remade: &[Remade<'_>], context: &Context) -> Result<(), BuildError> {
    let pushed = remade.iter().filter(|service| service.images.is_some());
    let repositories: BTreeSet<_> = pushed.map(|service| service.result.reference.repository()).collect();
    try_join_all(repositories.into_iter().map(|repository| context.client.ask_to_push(repository))).await?;
    Ok(())
}

impl Remade<'_> {
    /// Pushes what the registry lacks: blobs, then configs, then the manifests of an index, then what has the tag.
    async fn push(&mut self, context: &Context) -> Result<(), BuildError> {
        let Some((images, moved)) = &mut self.images else { return Ok(()) };
        let reference = &self.result.reference;
        context.progress.step(&format!("pushing {reference}"));
        let sent = match moving::push(images, moved, reference, context).await {
            Err(BuildError::Registry(error)) if context.client.doubts_blobs_after(&error, reference.registry()) => {
                moving::push(images, moved, reference, context).await?
            }
            pushed => pushed?,
        };
        if let Outcome::Moved { sent_bytes, .. } = &mut self.result.outcome {
            *sent_bytes = sent;
        }
        Ok(())
    }
}
