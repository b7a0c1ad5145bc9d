use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::RwLock;
use url::Url;

use crate::registry::{RegistryError, Repository};

/// The uploads that are open, so that those can be cancelled that nobody will finish: a call that is dropped in the middle
/// cannot do it.
#[derive(Clone, Debug, Default)]
pub(in crate::registry) struct OpenUploads {
    list: Arc<Mutex<List>>,
    /// Held by whoever is opening one.
    opening: Arc<RwLock<()>>,
}

#[derive(Debug, Default)]
struct List {
    last: u64,
    open: BTreeMap<u64, (Repository, Url)>,
}

/// An upload's place in the list. Dropped, it leaves it there.
#[derive(Debug)]
pub(in crate::registry) struct Entry {
    number: u64,
    list: OpenUploads,
}

impl OpenUploads {
    /// An upload was opened.
    pub(in crate::registry) fn add(&self, repository: &Repository, url: &Url) -> Entry {
        let mut list = self.locked();
        list.last += 1;
        let number = list.last;
        list.open.insert(number, (repository.clone(), url.clone()));
        Entry { number, list: self.clone() }
    }

    /// Sees a request through that may open an upload, even if nobody waits for it any more: only the answer tells which
    /// upload it is.
    pub(in crate::registry) async fn opening<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, RegistryError>> + Send + 'static,
    ) -> Result<T, RegistryError> {
        let guard = Arc::clone(&self.opening).read_owned().await;
        let work = tokio::spawn(async move {
            let _guard = guard;
            work.await
        });
        work.await.unwrap_or_else(|error| Err(RegistryError::Setup(error.to_string())))
    }

    /// Waits until no request is under way that may open one.
    pub(in crate::registry) async fn settled(&self) {
        drop(self.opening.write().await);
    }

    /// All that are open; from now on they are not.
    pub(in crate::registry) fn take(&self) -> Vec<(Repository, Url)> {
        std::mem::take(&mut self.locked().open).into_values().collect()
    }

    fn locked(&self) -> MutexGuard<'_, List> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Entry {
    /// The upload goes on elsewhere.
    pub(in crate::registry) fn moved(&self, url: &Url) {
        if let Some((_, known)) = self.list.locked().open.get_mut(&self.number) {
            known.clone_from(url);
        }
    }

    /// The upload is over, or nobody can do anything about it.
    pub(in crate::registry) fn remove(self) {
        self.list.locked().open.remove(&self.number);
    }
}
