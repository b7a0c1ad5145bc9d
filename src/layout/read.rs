use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Cursor, Read};
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;

use super::docker::{self, DockerImage, FULL_NAME, Held};
use super::{ArchiveFiles, INDEX_FILE, LayoutError, MARKER, Section};
use crate::digest::{Digest, Hasher};
use crate::manifest::{Descriptor, Index, MANIFEST_LIMIT, REF_NAME, Raw};
use crate::path::HostPath;

/// A layout on this disk, for reading: in a directory, or in an archive.
#[derive(Clone, Debug)]
pub struct Layout {
    /// The directory or archive.
    path: HostPath,
    /// How a name in it is typed, such as `oci:`.
    prefix: &'static str,
    files: Files,
    index: Raw<Index>,
}

#[derive(Clone, Debug)]
enum Files {
    Directory,
    Archive { file: Arc<File>, blobs: Arc<BTreeMap<Digest, Held>> },
}

/// One image, or index of images, of a layout.
#[derive(Clone, Debug)]
pub struct LayoutEntry {
    /// The name by which the layout's index knows it.
    pub name: Option<String>,
    /// What it is.
    pub descriptor: Descriptor,
}

impl LayoutEntry {
    /// Whether it is called so, by any of its names.
    fn is_named(&self, wanted: &str) -> bool {
        [FULL_NAME, REF_NAME].iter().any(|key| {
            let name = self.descriptor.annotations.get(*key);
            name.is_some_and(|name| name == wanted || docker::familiar(name) == docker::familiar(wanted))
        })
    }
}

impl Layout {
    /// Opens the layout in `dir`.
    pub fn open(dir: &HostPath) -> Result<Self, LayoutError> {
        for file in [MARKER, INDEX_FILE] {
            if !dir.join(file).as_path().is_file() {
                return Err(LayoutError::NotALayout { dir: dir.clone(), missing: file });
            }
        }
        let path = dir.join(INDEX_FILE);
        let file = File::open(&path).map_err(|source| LayoutError::new("read", &path, source))?;
        let index = parse_index(file, &path)?;
        Ok(Self { path: dir.clone(), prefix: "oci:", files: Files::Directory, index })
    }

    /// Opens the archive `path`, which holds a layout.
    pub fn open_archive(path: &HostPath) -> Result<Self, LayoutError> {
        let (file, files) = scan(path)?;
        Self::in_archive(path, "oci-archive:", file, &files)
    }

    /// Opens the archive `path` of Docker's, and reads every byte of it once: it does not tell what its layers are. One
    /// that holds a layout too is read as that, so that digests stay what they were.
    pub fn open_docker_archive(path: &HostPath) -> Result<Self, LayoutError> {
        let prefix = "docker-archive:";
        let (file, files) = scan(path)?;
        if files.get(MARKER).is_some() && files.get(INDEX_FILE).is_some() {
            return Self::in_archive(path, prefix, file, &files);
        }
        let Some(section) = files.get(docker::MANIFEST_FILE) else {
            return Err(LayoutError::NotAnArchive { path: path.clone(), missing: docker::MANIFEST_FILE });
        };
        let document = |source| LayoutError::Document { path: path.clone(), source };
        let bytes = limited(Reading::new(&file, section), path)?;
        let images: Raw<Vec<DockerImage>> = Raw::parse(docker::MANIFEST_FILE, bytes).map_err(document)?;
        let open = |section| Reading::new(&file, section);
        let (index, blobs) = docker::convert(images.parsed(), &files, &open)
            .map_err(|source| LayoutError::DockerArchive { path: path.clone(), source })?;
        Ok(Self { path: path.clone(), prefix, files: Files::Archive { file, blobs: Arc::new(blobs) }, index })
    }

    fn in_archive(
        path: &HostPath,
        prefix: &'static str,
        file: Arc<File>,
        files: &ArchiveFiles,
    ) -> Result<Self, LayoutError> {
        let missing = [MARKER, INDEX_FILE].into_iter().find(|name| files.get(name).is_none());
        let (None, Some(section)) = (missing, files.get(INDEX_FILE)) else {
            return Err(LayoutError::NotAnArchive { path: path.clone(), missing: missing.unwrap_or(INDEX_FILE) });
        };
        let index = parse_index(Reading::new(&file, section), path)?;
        let digest = |hex: &str| format!("sha256:{hex}").parse::<Digest>().ok();
        let blobs = files.below("blobs/sha256/").filter_map(|(hex, at)| Some((digest(hex)?, Held::Section(at))));
        let blobs = Arc::new(blobs.collect());
        Ok(Self { path: path.clone(), prefix, files: Files::Archive { file, blobs }, index })
    }

    /// The entries of the layout's index.
    pub fn entries(&self) -> Vec<LayoutEntry> {
        let entry = |descriptor: &Descriptor| {
            let name = [FULL_NAME, REF_NAME].iter().find_map(|key| descriptor.annotations.get(*key).cloned());
            LayoutEntry { name, descriptor: descriptor.clone() }
        };
        self.index.parsed().manifests.iter().map(entry).collect()
    }

    /// The entry with this name; without a name, the one image there is. Lists of referrers, which are entries too, are
    /// found by their names only.
    pub fn find(&self, name: Option<&str>) -> Result<LayoutEntry, LayoutError> {
        let entries = self.entries();
        let named = |wanted: &str| entries.iter().find(|entry| entry.is_named(wanted)).cloned();
        let images = || entries.iter().filter(|entry| !entry.name.as_deref().is_some_and(is_referrers_tag));
        let known = || {
            let mut known: Vec<String> = images().filter_map(|entry| entry.name.clone()).collect();
            known.sort();
            known
        };
        let (path, prefix) = (self.path.clone(), self.prefix);
        match name {
            Some(wanted) => named(wanted).ok_or_else(|| LayoutError::NoSuchName {
                dir: path,
                prefix,
                wanted: wanted.to_owned(),
                known: known(),
            }),
            None => match &images().collect::<Vec<_>>()[..] {
                [entry] => Ok((*entry).clone()),
                // Several names of one image are no choice.
                [first, rest @ ..] if rest.iter().all(|entry| entry.descriptor.digest == first.descriptor.digest) => {
                    Ok((*first).clone())
                }
                _ => Err(LayoutError::NameNeeded { dir: path, prefix, known: known() }),
            },
        }
    }

    /// Opens a blob for reading. Its content is not verified.
    pub fn open_blob(&self, digest: &Digest) -> Result<Box<dyn Read + Send>, LayoutError> {
        match &self.files {
            Files::Directory => {
                let path = self.blob_path(digest);
                let file = File::open(&path).map_err(|source| LayoutError::new("read", &path, source))?;
                Ok(Box::new(file))
            }
            Files::Archive { file, blobs } => match blobs.get(digest) {
                Some(Held::Bytes(bytes)) => Ok(Box::new(Cursor::new(bytes.clone()))),
                Some(Held::Section(section)) => Ok(Box::new(Reading::new(file, *section))),
                None => Err(LayoutError::new("read", &self.blob_path(digest), io::ErrorKind::NotFound.into())),
            },
        }
    }

    /// The bytes of a document, verified by its digest.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let path = self.blob_path(&descriptor.digest);
        let bytes = limited(self.open_blob(&descriptor.digest)?, &path)?;
        let actual = Digest::of(&bytes);
        match actual == descriptor.digest {
            true => Ok(bytes),
            false => Err(LayoutError::Damaged { path, actual }),
        }
    }

    /// Copies a blob to `sink` and verifies it on the way. A damaged blob is an error after the last byte, so what was
    /// written must not be used then.
    pub fn copy_blob(&self, descriptor: &Descriptor, sink: &mut impl io::Write) -> Result<(), LayoutError> {
        // One byte more than there should be is enough to tell.
        let mut source = self.open_blob(&descriptor.digest)?.take(descriptor.size.saturating_add(1));
        let path = self.blob_path(&descriptor.digest);
        let mut hashing = Hashing { sink, hasher: Hasher::default() };
        io::copy(&mut source, &mut hashing).map_err(|source| LayoutError::new("copy a blob of", &path, source))?;
        let actual = hashing.hasher.finish();
        match actual == descriptor.digest {
            true => Ok(()),
            false => Err(LayoutError::Damaged { path, actual }),
        }
    }

    /// The file of a blob, or what it would be called in an archive that was unpacked.
    fn blob_path(&self, digest: &Digest) -> HostPath {
        self.path.join("blobs/sha256").join(digest.hex())
    }
}

/// Whether a name is that of the list of a manifest's referrers.
///
/// Source: OCI distribution-spec, "Referrers Tag Schema".
fn is_referrers_tag(name: &str) -> bool {
    name.strip_prefix("sha256-").is_some_and(|hex| format!("sha256:{hex}").parse::<Digest>().is_ok())
}

fn scan(path: &HostPath) -> Result<(Arc<File>, ArchiveFiles), LayoutError> {
    let mut file = File::open(path).map_err(|source| LayoutError::new("read", path, source))?;
    let files = ArchiveFiles::scan(&mut file).map_err(|source| LayoutError::Archive { path: path.clone(), source })?;
    Ok((Arc::new(file), files))
}

fn parse_index(source: impl Read, path: &HostPath) -> Result<Raw<Index>, LayoutError> {
    let document = |source| LayoutError::Document { path: path.clone(), source };
    Raw::parse("layout index", limited(source, path)?).map_err(document)
}

/// All bytes of a document, unless it is larger than any.
fn limited(source: impl Read, path: &HostPath) -> Result<Vec<u8>, LayoutError> {
    let mut bytes = Vec::new();
    let read = source.take(MANIFEST_LIMIT + 1).read_to_end(&mut bytes);
    read.map_err(|source| LayoutError::new("read", path, source))?;
    match bytes.len() as u64 > MANIFEST_LIMIT {
        true => Err(LayoutError::TooLarge(path.clone())),
        false => Ok(bytes),
    }
}

/// A file in an archive, read on its own.
struct Reading {
    file: Arc<File>,
    position: u64,
    left: u64,
}

impl Reading {
    fn new(file: &Arc<File>, section: Section) -> Self {
        Self { file: Arc::clone(file), position: section.position, left: section.size }
    }
}

impl Read for Reading {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(usize::try_from(self.left).unwrap_or(usize::MAX));
        let read = self.file.read_at(&mut buffer[..wanted], self.position)?;
        self.position += read as u64;
        self.left -= read as u64;
        Ok(read)
    }
}

struct Hashing<'a, W> {
    sink: &'a mut W,
    hasher: Hasher,
}

impl<W: io::Write> io::Write for Hashing<'_, W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.sink.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.sink.flush()
    }
}
