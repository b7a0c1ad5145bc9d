//! Where a repository may be read: in the mirrors of its registry, and then in the registry itself. Nothing is ever written
//! to a mirror, and a mirror sees only credentials that are kept under its own name.

use url::Url;

use super::{Client, RegistryError, Repository};

/// One place where a repository may be read.
pub(super) struct Source {
    pub(super) repository: Repository,
    /// The registry that a mirror is asked for (containerd's `ns`).
    namespace: Option<String>,
    /// Whether there are others after it.
    pub(super) is_mirror: bool,
}

impl Source {
    /// The registry itself.
    pub(super) fn own(repository: &Repository) -> Self {
        Self { repository: repository.clone(), namespace: None, is_mirror: false }
    }

    /// A URL of this place, as it is asked for.
    pub(super) fn asked(&self, mut url: Url) -> Url {
        if let Some(namespace) = &self.namespace {
            url.query_pairs_mut().append_pair("ns", namespace);
        }
        url
    }
}

impl Client {
    /// The mirrors of a repository, in the order in which they are tried, without those that failed in this run.
    pub(super) fn mirrors(&self, repository: &Repository) -> Vec<Source> {
        let mirrors = self.transport.mirrors(repository.registry()).iter().filter_map(|mirror| {
            let namespace = mirror.namespace(repository).map(str::to_owned);
            Some(Source { repository: mirror.repository(repository)?, namespace, is_mirror: true })
        });
        mirrors.filter(|source| !self.experience.habits(source.repository.registry()).fails_as_mirror).collect()
    }

    /// A mirror did not give what was asked for. One that does not have it, or is busy, is asked again for other things; one
    /// that cannot be reached or lets us have nothing is not.
    pub(super) fn note_failed_mirror(&self, source: &Source, error: &RegistryError) {
        let mirror = source.repository.registry();
        tracing::debug!(%mirror, %error, "the mirror is passed over");
        let is_absent = matches!(error, RegistryError::NotFound(_) | RegistryError::RepositoryUnknown(_));
        let is_busy = error.exchange().is_some() && error.is_temporary();
        if !is_absent && !is_busy {
            self.experience.learn(mirror, |habits| habits.fails_as_mirror = true);
        }
    }
}
