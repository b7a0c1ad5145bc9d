use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, BufWriter, Read, Write as _};
use std::os::unix::fs::PermissionsExt as _;

use tempfile::NamedTempFile;

use super::docker::{self, DockerImage, FULL_NAME};
use super::{INDEX_FILE, LayoutError, MARKER, MARKER_CONTENT};
use crate::digest::Digest;
use crate::manifest::{Descriptor, Format, Index, Manifest, REF_NAME, Raw, media_type};
use crate::path::HostPath;

/// How the names of files begin that are not finished.
const WRITING: &str = ".writing-";

/// What an archive is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ArchiveForm {
    /// An OCI image layout in a tar.
    Oci,
    /// The same, with Docker's `manifest.json` beside it: every Docker loads it, and readers of the OCI's form too.
    Docker,
}

/// Writes images into a new archive, in one go: the tar grows while blobs are put in, and takes its name only at the end.
/// A file of that name is replaced then. The same calls give the same bytes.
pub struct ArchiveWriter {
    path: HostPath,
    form: ArchiveForm,
    tar: tar::Builder<BufWriter<NamedTempFile>>,
    held: BTreeSet<Digest>,
    /// In Docker's form: the images put in, without their tags.
    images: BTreeMap<Digest, DockerImage>,
    entries: Vec<Descriptor>,
}

impl ArchiveWriter {
    /// Starts an archive that will be the file `path`.
    pub fn create(path: &HostPath, form: ArchiveForm) -> Result<Self, LayoutError> {
        let error = |source| LayoutError::new("write to", path, source);
        if path.as_path().is_dir() {
            return Err(error(io::ErrorKind::IsADirectory.into()));
        }
        let parent = path.parent().filter(|parent| !parent.as_path().as_os_str().is_empty());
        let folder = parent.unwrap_or_else(|| HostPath::new("."));
        fs::create_dir_all(&folder).map_err(error)?;
        let file = NamedTempFile::with_prefix_in(WRITING, &folder).map_err(error)?;
        let tar = tar::Builder::new(BufWriter::with_capacity(1 << 18, file));
        let (held, images, entries) = (BTreeSet::new(), BTreeMap::new(), Vec::new());
        let mut writer = Self { path: path.clone(), form, tar, held, images, entries };
        writer.append(MARKER, MARKER_CONTENT.as_bytes(), MARKER_CONTENT.len() as u64)?;
        for folder in ["blobs/", "blobs/sha256/"] {
            let mut header = header(0);
            header.set_entry_type(tar::EntryType::Directory);
            header.set_mode(0o755);
            writer.append_with(header, folder, io::empty())?;
        }
        Ok(writer)
    }

    /// Whether the archive holds a blob.
    pub fn has_blob(&self, descriptor: &Descriptor) -> bool {
        self.held.contains(&descriptor.digest)
    }

    /// Puts in the blob that lies at `source`, verified.
    pub fn put_file(&mut self, descriptor: &Descriptor, source: &HostPath) -> Result<(), LayoutError> {
        let error = |error| LayoutError::new("read a blob for", source, error);
        let file = File::open(source).map_err(error)?;
        let found = file.metadata().map_err(error)?.len();
        if found != descriptor.size {
            return Err(error(io::Error::other(format!("{found} bytes, not {}", descriptor.size))));
        }
        self.put(descriptor, file)
    }

    /// Puts in a document.
    pub fn put_bytes(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), LayoutError> {
        if self.form == ArchiveForm::Docker && media_type::is_manifest(&descriptor.media_type) {
            let manifest: Raw<Manifest> = Raw::parse("image manifest", bytes.to_vec())
                .map_err(|source| LayoutError::Document { path: self.path.clone(), source })?;
            let layers = manifest.parsed().layers.iter().map(|layer| blob_name(&layer.digest)).collect();
            let config = blob_name(&manifest.parsed().config.digest);
            self.images.insert(descriptor.digest, DockerImage { config, repo_tags: Vec::new(), layers });
        }
        self.put(descriptor, bytes)
    }

    /// Names a manifest or index whose blobs are all in. In Docker's form the name is a whole reference.
    pub fn name(&mut self, name: Option<&str>, mut descriptor: Descriptor) {
        match (name, self.form) {
            (None, _) => {}
            (Some(name), ArchiveForm::Oci) => {
                descriptor.annotations.insert(REF_NAME.to_owned(), name.to_owned());
            }
            (Some(name), ArchiveForm::Docker) => {
                descriptor.annotations.insert(REF_NAME.to_owned(), docker::tag(name).to_owned());
                descriptor.annotations.insert(FULL_NAME.to_owned(), name.to_owned());
                let tags = self.images.get_mut(&descriptor.digest).map(|image| &mut image.repo_tags);
                tags.into_iter().for_each(|tags| tags.push(name.to_owned()));
            }
        }
        self.entries.push(descriptor);
    }

    /// Ends the archive and gives it its name.
    pub fn finish(mut self) -> Result<(), LayoutError> {
        let document = |source| LayoutError::Document { path: self.path.clone(), source };
        let name = |entry: &Descriptor| {
            [FULL_NAME, REF_NAME].map(|key| entry.annotations.get(key).cloned().unwrap_or_default())
        };
        let mut entries = std::mem::take(&mut self.entries);
        entries.sort_by_key(|entry| (name(entry), entry.digest));
        let index = Raw::encode("layout index", Index::new(Format::Oci, entries)).map_err(document)?;
        let images: Vec<DockerImage> = std::mem::take(&mut self.images).into_values().collect();
        let images = Raw::encode("manifest.json", images).map_err(document)?;
        self.append(INDEX_FILE, index.bytes(), index.bytes().len() as u64)?;
        if self.form == ArchiveForm::Docker {
            self.append(docker::MANIFEST_FILE, images.bytes(), images.bytes().len() as u64)?;
        }
        let path = self.path;
        let error = |source| LayoutError::new("write to", &path, source);
        let mut buffered = self.tar.into_inner().map_err(error)?;
        buffered.flush().map_err(error)?;
        let file = buffered.into_inner().map_err(|failed| error(failed.into_error()))?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(error)?;
        file.persist(&path).map_err(|failed| error(failed.error))?;
        Ok(())
    }

    fn put(&mut self, descriptor: &Descriptor, content: impl Read) -> Result<(), LayoutError> {
        match self.held.insert(descriptor.digest) {
            true => self.append(&blob_name(&descriptor.digest), content, descriptor.size),
            false => Ok(()),
        }
    }

    fn append(&mut self, name: &str, content: impl Read, size: u64) -> Result<(), LayoutError> {
        self.append_with(header(size), name, content)
    }

    fn append_with(&mut self, mut header: tar::Header, name: &str, content: impl Read) -> Result<(), LayoutError> {
        let appended = self.tar.append_data(&mut header, name, content);
        appended.map_err(|source| LayoutError::new("write to", &self.path, source))
    }
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/sha256/{}", digest.hex())
}

/// A header that says nothing of this machine and this hour.
fn header(size: u64) -> tar::Header {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(size);
    header
}
