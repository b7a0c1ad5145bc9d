//! Indexes and packages, out of the store or into it.

use std::fs::File;
use std::io::{self, BufReader, Read, Write};

use futures_util::future::try_join_all;
use reqwest::header::{ETAG, HeaderMap, HeaderName, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, LAST_MODIFIED};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;
use url::Url;

use super::download::{Answer, Wanted};
use super::{ApkClient, ApkRepositoryError, RepositoryPlace};
use crate::apk::{Checksum, ChosenPackage, Package, PackageFile, PublicKey, signed_index};
use crate::cancel::Cancellation;
use crate::digest::{Digest, Hasher};
use crate::host::HostError;
use crate::http::redacted;
use crate::manifest::Descriptor;
use crate::path::HostPath;
use crate::store::{NewBlob, Store, StoreError};

/// What packages and indexes are, as the store's descriptors say it.
const MEDIA_TYPE: &str = "application/gzip";
/// The most bytes of an index as it travels. That of all of Alpine's community packages has two million.
const INDEX_LIMIT: u64 = 64 << 20;
/// The most bytes of a package whose size the index does not say.
const PACKAGE_LIMIT: u64 = 2 << 30;
/// So many bytes more than the index says are taken in.
const SIZE_MARGIN: u64 = 64 << 10;
const STEP: usize = 256 << 10;

/// A package that lies in the store.
#[derive(Clone, Debug)]
pub struct FetchedPackage {
    /// The digest of its bytes.
    pub digest: Digest,
    /// The size of its bytes.
    pub size: u64,
    /// What is in it.
    pub file: PackageFile,
}

/// What is remembered of an index.
#[derive(Serialize, Deserialize)]
struct RememberedIndex {
    digest: Digest,
    size: u64,
    etag: Option<String>,
    last_modified: Option<String>,
}

/// What is remembered of a package. What is in it stands behind.
#[derive(Serialize, Deserialize)]
struct RememberedPackage {
    digest: Digest,
    size: u64,
}

/// Where a file of a repository is.
enum Location {
    Url(Url),
    File(HostPath),
}

impl RepositoryPlace {
    fn file(&self, arch: &str, name: &str) -> Result<Location, ApkRepositoryError> {
        match self {
            Self::Folder(folder) => Ok(Location::File(folder.join(arch).join(name))),
            Self::Url(url) => {
                let mut url = url.clone();
                let mut path = url.path_segments_mut().map_err(|()| ApkRepositoryError::Address)?;
                path.pop_if_empty().push(arch).push(name);
                drop(path);
                Ok(Location::Url(url))
            }
        }
    }
}

/// A file on its way into the store.
struct Incoming {
    blob: NewBlob,
    hasher: Hasher,
    size: u64,
}

impl Incoming {
    fn new(store: &Store) -> Result<Self, ApkRepositoryError> {
        Ok(Self { blob: store.new_blob_of_known_digest()?, hasher: Hasher::default(), size: 0 })
    }

    fn keep(self) -> Result<Descriptor, StoreError> {
        let digest = self.hasher.finish();
        self.blob.keep(&digest)?;
        Ok(Descriptor::new(MEDIA_TYPE, digest, self.size))
    }
}

impl Write for Incoming {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.blob.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.blob.flush()
    }
}

impl ApkClient {
    /// The packages that a repository has for a processor, as somebody trusted signed it.
    pub async fn index(
        &self,
        place: &RepositoryPlace,
        arch: &str,
        keys: &[PublicKey],
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<Vec<Package>, ApkRepositoryError> {
        let (bytes, from) = match place.file(arch, "APKINDEX.tar.gz")? {
            Location::File(path) => (read_file(&path, "the index", INDEX_LIMIT)?, path.to_string()),
            Location::Url(url) => (self.index_bytes(&url, store, cancellation).await?, redacted(&url)),
        };
        let keys = keys.to_vec();
        let parse = move || signed_index(&bytes, &keys, &from).map_err(ApkRepositoryError::from);
        spawn_blocking(parse).await.map_err(|error| ApkRepositoryError::Ended(error.to_string()))?
    }

    async fn index_bytes(
        &self,
        url: &Url,
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<Vec<u8>, ApkRepositoryError> {
        let what = "the index";
        let fact = format!("apk-index-{}.json", Digest::of(url.as_str().as_bytes()).hex());
        let remembered = store.fact(&fact)?.and_then(|bytes| serde_json::from_slice::<RememberedIndex>(&bytes).ok());
        let known = match &remembered {
            Some(known) => store.intact_blob(&Descriptor::new(MEDIA_TYPE, known.digest, known.size))?,
            None => None,
        };
        let known = known.zip(remembered);
        if self.0.options.offline {
            let (path, _) =
                known.ok_or_else(|| ApkRepositoryError::Offline { what: what.to_owned(), url: redacted(url) })?;
            return read_file(&path, what, INDEX_LIMIT);
        }
        let headers = known.as_ref().map(|(_, known)| conditions(known)).unwrap_or_default();
        let wanted = Wanted { what, url, headers, limit: INDEX_LIMIT };
        let answer =
            self.get(&wanted, cancellation, || Ok(Vec::new()), |error| store.write_error(error).into()).await?;
        match (answer, known) {
            (Answer::Unchanged, Some((path, _))) => read_file(&path, what, INDEX_LIMIT),
            // Without a condition nobody answers so.
            (Answer::Unchanged, None) => {
                Err(ApkRepositoryError::Refused { what: what.to_owned(), status: 304, url: redacted(url) })
            }
            (Answer::File(bytes, headers), _) => {
                store.put(&bytes)?;
                let header =
                    |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok()).map(str::to_owned);
                let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
                let known = RememberedIndex { digest, size, etag: header(ETAG), last_modified: header(LAST_MODIFIED) };
                store.put_fact(&fact, &serde_json::to_vec(&known).unwrap_or_default())?;
                Ok(bytes)
            }
        }
    }

    /// Packages of repositories, in their order, each in the store and read: `places` are those of the repositories by
    /// their positions.
    pub async fn packages(
        &self,
        chosen: &[ChosenPackage],
        places: &[RepositoryPlace],
        arch: &str,
        keys: &[PublicKey],
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<Vec<FetchedPackage>, ApkRepositoryError> {
        let fetch = |package: &ChosenPackage| {
            let place = places.get(package.repository).cloned();
            let package = package.clone();
            async move {
                let place = place.ok_or(ApkRepositoryError::Address)?;
                self.package(&package, &place, arch, keys, store, cancellation).await
            }
        };
        try_join_all(chosen.iter().map(fetch)).await
    }

    async fn package(
        &self,
        chosen: &ChosenPackage,
        place: &RepositoryPlace,
        arch: &str,
        keys: &[PublicKey],
        store: &Store,
        cancellation: &Cancellation,
    ) -> Result<FetchedPackage, ApkRepositoryError> {
        let fact = format!("apk-package-1-{}", chosen.checksum.hex());
        if let Some(known) = recall(&fact, store)? {
            return Ok(known);
        }
        let label = chosen.package.label();
        let what = format!("the package `{label}`");
        // What it is, its checksum says; the size only bounds what is taken in to see that.
        let limit = if chosen.package.size == 0 { PACKAGE_LIMIT } else { chosen.package.size + SIZE_MARGIN };
        let incoming = match place.file(arch, &format!("{label}.apk"))? {
            Location::File(path) => copy(&path, &what, limit, store, cancellation)?,
            Location::Url(url) if self.0.options.offline => {
                return Err(ApkRepositoryError::Offline { what, url: redacted(&url) });
            }
            Location::Url(url) => {
                let wanted = Wanted { what: &what, url: &url, headers: HeaderMap::new(), limit };
                let new = || Incoming::new(store);
                match self.get(&wanted, cancellation, new, |error| store.write_error(error).into()).await? {
                    Answer::File(incoming, _) => incoming,
                    Answer::Unchanged => {
                        return Err(ApkRepositoryError::Refused { what, status: 304, url: redacted(&url) });
                    }
                }
            }
        };
        let (checksum, keys, store) = (chosen.checksum.clone(), keys.to_vec(), store.clone());
        let read = move || keep(incoming, &label, &checksum, &keys, &fact, &store);
        spawn_blocking(read).await.map_err(|error| ApkRepositoryError::Ended(error.to_string()))?
    }
}

/// Reads a package that came, and keeps it if it is what it should be. Another one leaves nothing.
fn keep(
    incoming: Incoming,
    label: &str,
    checksum: &Checksum,
    keys: &[PublicKey],
    fact: &str,
    store: &Store,
) -> Result<FetchedPackage, ApkRepositoryError> {
    let bytes = incoming.blob.reopen()?;
    let file = PackageFile::read(BufReader::with_capacity(STEP, bytes), label, checksum, keys)?;
    let Descriptor { digest, size, .. } = incoming.keep()?;
    let remembered = postcard::to_allocvec(&RememberedPackage { digest, size });
    let remembered = remembered.and_then(|bytes| postcard::to_extend(&file, bytes));
    let remembered = remembered.map_err(|error| store.write_error(io::Error::other(error)))?;
    store.put_fact(fact, &remembered)?;
    Ok(FetchedPackage { digest, size, file })
}

/// A package that the store has whole.
fn recall(fact: &str, store: &Store) -> Result<Option<FetchedPackage>, StoreError> {
    let Some(bytes) = store.fact(fact)? else { return Ok(None) };
    let Ok((RememberedPackage { digest, size }, rest)) = postcard::take_from_bytes(&bytes) else { return Ok(None) };
    let Ok(file) = postcard::from_bytes(rest) else { return Ok(None) };
    let is_there = store.intact_blob(&Descriptor::new(MEDIA_TYPE, digest, size))?.is_some();
    Ok(is_there.then_some(FetchedPackage { digest, size, file }))
}

/// The headers that ask for an index only if it changed.
fn conditions(known: &RememberedIndex) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: &Option<String>| {
        if let Some(value) = value.as_ref().and_then(|value| HeaderValue::from_str(value).ok()) {
            headers.insert(name, value);
        }
    };
    put(IF_NONE_MATCH, &known.etag);
    put(IF_MODIFIED_SINCE, &known.last_modified);
    headers
}

fn open(path: &HostPath, what: &str) -> Result<File, ApkRepositoryError> {
    File::open(path).map_err(|source| match source.kind() {
        io::ErrorKind::NotFound => ApkRepositoryError::NotInFolder { what: what.to_owned(), path: path.clone() },
        _ => HostError::new("read the file", path, source).into(),
    })
}

fn too_large(path: &HostPath, what: &str, limit: u64) -> ApkRepositoryError {
    ApkRepositoryError::TooLarge { what: what.to_owned(), limit, from: path.to_string() }
}

fn read_file(path: &HostPath, what: &str, limit: u64) -> Result<Vec<u8>, ApkRepositoryError> {
    let mut bytes = Vec::new();
    let read = open(path, what)?.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|source| HostError::new("read the file", path, source))?;
    if bytes.len() as u64 > limit { Err(too_large(path, what, limit)) } else { Ok(bytes) }
}

fn copy(
    path: &HostPath,
    what: &str,
    limit: u64,
    store: &Store,
    cancellation: &Cancellation,
) -> Result<Incoming, ApkRepositoryError> {
    let mut file = open(path, what)?;
    let mut incoming = Incoming::new(store)?;
    let mut step = vec![0; STEP];
    loop {
        cancellation.check()?;
        let count = file.read(&mut step).map_err(|source| HostError::new("read the file", path, source))?;
        if count == 0 {
            return Ok(incoming);
        }
        if incoming.size + count as u64 > limit {
            return Err(too_large(path, what, limit));
        }
        incoming.write_all(&step[..count]).map_err(|error| store.write_error(error))?;
    }
}
