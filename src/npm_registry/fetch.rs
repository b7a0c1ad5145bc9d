//! Many tarballs: what the store has, and the rest from the registries.

use std::collections::HashMap;
use std::time::Duration;

use rayon::prelude::*;
use tokio::task::{JoinSet, spawn_blocking};
use tokio::time::timeout;

use super::archive_check::ArchiveCheck;
use super::tarball_url::{Location, locate};
use super::{Mirror, NpmClient, NpmRegistryError, Tarball};
use crate::cancel::Cancellation;
use crate::digest::Digest;
use crate::manifest::Descriptor;
use crate::progress::Progress;
use crate::store::{Store, StoreError};
use crate::workspace::lockfiles::{Checksum, Integrity, LockedPackage};

/// How soon a request to end is seen while nothing arrives.
const CANCEL_PACE: Duration = Duration::from_millis(100);

/// A tarball that is wanted.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// `NAME@VERSION`
    pub(super) label: String,
    pub(super) location: Location,
    pub(super) expected: Expected,
    /// The name of the fact that leads to it.
    fact: String,
}

/// What is known of a tarball's bytes.
#[derive(Clone, Debug)]
pub(super) enum Expected {
    Integrity(Integrity),
    /// The lockfile only knows the archive that yarn makes of it, which can be made again.
    Archive(ArchiveCheck),
    /// The same, and it cannot; or the lockfile knows nothing.
    Unknown,
}

impl Wanted {
    fn new(package: &LockedPackage, client: &NpmClient) -> Result<Self, NpmRegistryError> {
        let options = &client.0.options;
        let location = locate(package, &options.settings, options.mirror.as_ref(), options.project.as_ref())?;
        let label = package.label();
        let (expected, key) = match &package.checksum {
            Some(Checksum::Tarball(integrity)) => (Expected::Integrity(integrity.clone()), integrity.to_string()),
            // One package, one archive: what it was made of is found again by it. What nobody checked once is not taken
            // for checked by whoever can.
            Some(Checksum::YarnCache(checksum)) => {
                let key = format!("{label} {}/{}", checksum.cache_key, checksum.sha512);
                match ArchiveCheck::new(&package.name, checksum) {
                    Some(check) => (Expected::Archive(check), format!("checked {key}")),
                    None => (Expected::Unknown, key),
                }
            }
            // Nothing but its place says which of all packages of this name and version it is.
            Some(Checksum::Unstated) => (Expected::Unknown, format!("{label} {}", location.shown())),
            None => return Err(NpmRegistryError::NoIntegrity { package: label, url: location.shown() }),
        };
        let fact = format!("npm-{}", Digest::of(key.as_bytes()).hex());
        Ok(Self { label, location, expected, fact })
    }

    /// The tarball in the store, if it is there whole.
    fn known(&self, store: &Store) -> Result<Option<Descriptor>, StoreError> {
        let Some(bytes) = store.fact(&self.fact)? else { return Ok(None) };
        let Ok(descriptor) = serde_json::from_slice::<Descriptor>(&bytes) else { return Ok(None) };
        Ok(store.intact_blob(&descriptor)?.map(|_| descriptor))
    }

    fn tarball(&self, descriptor: Descriptor) -> Tarball {
        Tarball { descriptor, is_verified: !matches!(self.expected, Expected::Unknown) }
    }
}

impl NpmClient {
    /// A name for the tarball of a package, which stays the same as long as the lockfile says the same of it.
    pub fn name(&self, package: &LockedPackage) -> Result<String, NpmRegistryError> {
        Ok(Wanted::new(package, self)?.fact)
    }

    /// Removes the tarball of a package from the store.
    pub fn forget(&self, package: &LockedPackage, store: &Store) -> Result<(), NpmRegistryError> {
        let wanted = Wanted::new(package, self)?;
        if let Some(descriptor) = wanted.known(store)? {
            store.forget(&descriptor.digest, &wanted.fact)?;
        }
        Ok(())
    }

    /// The tarballs of `packages`, in their order. What the store lacks is fetched, many at a time; the first failure
    /// ends the others. `arrived` is told each as soon as it is there, with its position among `packages`: the first of
    /// those that share it.
    pub async fn fetch_all<'a>(
        &self,
        packages: impl IntoIterator<Item = &'a LockedPackage>,
        store: &Store,
        progress: &dyn Progress,
        cancellation: &Cancellation,
        arrived: &(dyn Fn(usize, &Tarball) + Sync),
    ) -> Result<Vec<Tarball>, NpmRegistryError> {
        // Instances that differ in their peers only have one tarball.
        let mut distinct: HashMap<String, usize> = HashMap::new();
        let (mut wanted, mut places) = (Vec::new(), Vec::new());
        let mut positions: Vec<usize> = Vec::new();
        for package in packages {
            let each = Wanted::new(package, self)?;
            places.push(*distinct.entry(each.fact.clone()).or_insert_with(|| {
                wanted.push(each);
                positions.push(places.len());
                wanted.len() - 1
            }));
        }
        let (wanted, mut found) = in_store(wanted, store.clone()).await?;
        for (at, descriptor) in found.iter().enumerate() {
            if let Some(descriptor) = descriptor {
                arrived(positions[at], &wanted[at].tarball(descriptor.clone()));
            }
        }
        let missing: Vec<usize> = (0..wanted.len()).filter(|at| found[*at].is_none()).collect();
        if let Some(first) = missing.first() {
            let is_local = matches!(self.0.options.mirror, Some(Mirror::Directory(_)));
            if self.0.options.offline && !is_local {
                let (package, count) = (wanted[*first].label.clone(), missing.len());
                return Err(NpmRegistryError::Offline { package, count });
            }
            progress.step(&format!("fetching {} of {} packages", missing.len(), wanted.len()));
            let task = progress.count("packages", missing.len() as u64);
            let fetched = |at: usize, descriptor: Descriptor| {
                arrived(positions[at], &wanted[at].tarball(descriptor.clone()));
                found[at] = Some(descriptor);
                task.advance(1);
            };
            self.fetch_missing(&wanted, missing, store, cancellation, fetched).await?;
        }
        let tarball = |at: usize| found[at].clone().map(|descriptor| wanted[at].tarball(descriptor));
        Ok(places.into_iter().filter_map(tarball).collect())
    }

    async fn fetch_missing(
        &self,
        wanted: &[Wanted],
        missing: Vec<usize>,
        store: &Store,
        cancellation: &Cancellation,
        mut fetched: impl FnMut(usize, Descriptor),
    ) -> Result<(), NpmRegistryError> {
        let mut left = missing.into_iter();
        // Dropped, it ends what it still runs.
        let mut running = JoinSet::new();
        loop {
            while running.len() < self.0.options.concurrency.max(1)
                && let Some(at) = left.next()
            {
                let (client, wanted, store) = (self.clone(), wanted[at].clone(), store.clone());
                let cancellation = cancellation.clone();
                running.spawn(async move {
                    let descriptor = client.download(&wanted, &store, &cancellation).await?;
                    check_archive(&wanted, &descriptor, &store, &cancellation).await?;
                    if let Ok(bytes) = serde_json::to_vec(&descriptor) {
                        store.put_fact(&wanted.fact, &bytes)?;
                    }
                    Ok::<_, NpmRegistryError>((at, descriptor))
                });
            }
            cancellation.check()?;
            match timeout(CANCEL_PACE, running.join_next()).await {
                Err(_) => {}
                Ok(None) => return Ok(()),
                Ok(Some(Ok(result))) => {
                    let (at, descriptor) = result?;
                    fetched(at, descriptor);
                }
                Ok(Some(Err(error))) => return Err(NpmRegistryError::Ended(error.to_string())),
            }
        }
    }
}

/// Checks what could not be checked while it came.
async fn check_archive(
    wanted: &Wanted,
    tarball: &Descriptor,
    store: &Store,
    cancellation: &Cancellation,
) -> Result<(), NpmRegistryError> {
    let Expected::Archive(check) = wanted.expected.clone() else { return Ok(()) };
    let (wanted, tarball, store, cancellation) = (wanted.clone(), tarball.clone(), store.clone(), cancellation.clone());
    let work = move || {
        let checked = check.check(&wanted, &tarball, &store, &cancellation);
        if let Err(NpmRegistryError::WrongIntegrity { .. } | NpmRegistryError::Unverifiable { .. }) = checked {
            store.forget(&tarball.digest, &wanted.fact)?;
        }
        checked
    };
    spawn_blocking(work).await.map_err(|error| NpmRegistryError::Ended(error.to_string()))?
}

/// What the store has of these.
async fn in_store(
    wanted: Vec<Wanted>,
    store: Store,
) -> Result<(Vec<Wanted>, Vec<Option<Descriptor>>), NpmRegistryError> {
    let look = move || {
        let found = wanted.par_iter().map(|each| each.known(&store)).collect::<Result<_, _>>()?;
        Ok((wanted, found))
    };
    spawn_blocking(look).await.map_err(|error| NpmRegistryError::Ended(error.to_string()))?
}
