//! OCI image layouts, with `oci-layout`, `index.json` and `blobs/`: in a directory, or in an archive; and Docker's
//! archives, which are read as if they were layouts.
//!
//! Source: OCI image-spec, `image-layout.md`.

mod archive;
mod archive_write;
mod docker;
mod read;
mod write;

pub use archive::{ArchiveError, ArchiveFiles, Section};
pub use archive_write::{ArchiveForm, ArchiveWriter};
pub use docker::DockerArchiveError;
pub use read::{Layout, LayoutEntry};
pub use write::LayoutWriter;

use std::io;

use crate::digest::Digest;
use crate::manifest::{Descriptor, DocumentError, MANIFEST_LIMIT};
use crate::path::HostPath;

/// The file that marks a layout.
const MARKER: &str = "oci-layout";
/// Its content.
const MARKER_CONTENT: &str = r#"{"imageLayoutVersion":"1.0.0"}"#;
const INDEX_FILE: &str = "index.json";

/// Why a layout cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum LayoutError {
    /// Not a layout.
    #[error("not an OCI image layout, for it has no `{missing}`: `{dir}`")]
    NotALayout {
        /// The directory.
        dir: HostPath,
        /// The file it lacks.
        missing: &'static str,
    },
    /// Not an archive of images.
    #[error("not an archive of images, for it has no `{missing}`: `{path}`")]
    NotAnArchive {
        /// The file.
        path: HostPath,
        /// What it lacks.
        missing: &'static str,
    },
    /// Not an archive, or a damaged one.
    #[error("cannot read the archive, {source}: `{path}`")]
    Archive {
        /// The file.
        path: HostPath,
        /// What is wrong with it.
        source: ArchiveError,
    },
    /// An archive of Docker's that does not hold what it says.
    #[error("{source}: `{path}`")]
    DockerArchive {
        /// The file.
        path: HostPath,
        /// What is wrong with it.
        source: DockerArchiveError,
    },
    /// A document that is larger than any.
    #[error("a document of the layout has more than {MANIFEST_LIMIT} bytes: `{0}`")]
    TooLarge(HostPath),
    /// A directory that holds something else.
    #[error("the directory is neither empty nor an OCI image layout: `{0}`")]
    Occupied(HostPath),
    /// No entry has the wanted name.
    #[error("the layout has no image named `{wanted}`; it has {}: `{dir}`", list(known))]
    NoSuchName {
        /// The directory or archive.
        dir: HostPath,
        /// How it is typed, such as `oci:`.
        prefix: &'static str,
        /// The name asked for.
        wanted: String,
        /// The names it has.
        known: Vec<String>,
    },
    /// Several entries, and none was named.
    #[error("the layout has several images, {}: `{dir}`", list(known))]
    NameNeeded {
        /// The directory or archive.
        dir: HostPath,
        /// How it is typed, such as `oci:`.
        prefix: &'static str,
        /// The names it has.
        known: Vec<String>,
    },
    /// A document is not what it should be.
    #[error("{source}: `{path}`")]
    Document {
        /// The file.
        path: HostPath,
        /// What is wrong with it.
        source: DocumentError,
    },
    /// A blob is not what its name says.
    #[error("a blob of the layout is damaged: its content has the digest `{actual}`: `{path}`")]
    Damaged {
        /// The file.
        path: HostPath,
        /// The digest its content has.
        actual: Digest,
    },
    /// A call of the file system failed.
    #[error("cannot {action} the layout: {source}: `{path}`")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: HostPath,
        /// What the system answered.
        source: io::Error,
    },
}

fn list(names: &[String]) -> String {
    match names {
        [] => "none".to_owned(),
        names => names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    }
}

impl LayoutError {
    fn new(action: &'static str, path: &HostPath, source: io::Error) -> Self {
        Self::Io { action, path: path.clone(), source }
    }

    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotALayout { .. } => Some("an image in a registry is named without `oci:`".into()),
            Self::NameNeeded { dir, prefix, known } => {
                known.first().map(|name| format!("name one of them, such as `{prefix}{dir}:{name}`"))
            }
            Self::NoSuchName { dir, prefix, known, .. } => {
                known.first().map(|name| format!("name one it has, such as `{prefix}{dir}:{name}`"))
            }
            Self::NotAnArchive { missing: docker::MANIFEST_FILE, .. } => {
                Some("an archive of the OCI's form is named with `oci-archive:FILE`".into())
            }
            Self::NotAnArchive { .. } => Some("an archive of Docker's is named with `docker-archive:FILE`".into()),
            Self::Archive { path, source: ArchiveError::Compressed } => {
                Some(format!("uncompress it first, such as with `zcat {path}` or `zstdcat {path}` into another file"))
            }
            Self::Archive { .. } | Self::DockerArchive { .. } | Self::TooLarge(_) => {
                Some("write the archive anew with the tool it came from".into())
            }
            Self::Occupied(_) => Some("name another directory, or empty this one".into()),
            Self::Document { .. } | Self::Damaged { .. } => Some("copy the layout anew from where it came".into()),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => Some("free some space, or write to another disk".into()),
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    Some("a file is in the way: name a directory with `oci:DIR`".into())
                }
                io::ErrorKind::IsADirectory => {
                    Some("a directory is in the way: name a file, such as `oci-archive:FILE`".into())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("name a place that you may write, such as `oci:DIR`".into())
                }
                io::ErrorKind::NotFound => Some("the layout is not whole: copy it anew from where it came".into()),
                _ => None,
            },
        }
    }
}

/// Where images are written on this disk.
pub enum ImageWriter {
    /// Into a directory, next to what it holds.
    Layout(LayoutWriter),
    /// Into a new archive.
    Archive(ArchiveWriter),
}

impl ImageWriter {
    /// Whether a blob is there already.
    pub fn has_blob(&self, descriptor: &Descriptor) -> bool {
        match self {
            Self::Layout(writer) => writer.has_blob(descriptor),
            Self::Archive(writer) => writer.has_blob(descriptor),
        }
    }

    /// Puts in the blob that lies at `source`, verified.
    pub fn put_file(&mut self, descriptor: &Descriptor, source: &HostPath) -> Result<(), LayoutError> {
        match self {
            Self::Layout(writer) => writer.put_file(descriptor, source),
            Self::Archive(writer) => writer.put_file(descriptor, source),
        }
    }

    /// Puts in a document.
    pub fn put_bytes(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), LayoutError> {
        match self {
            Self::Layout(writer) => writer.put_bytes(descriptor, bytes),
            Self::Archive(writer) => writer.put_bytes(descriptor, bytes),
        }
    }

    /// Names a manifest or index whose blobs are all in.
    pub fn name(&mut self, name: Option<&str>, descriptor: Descriptor) {
        match self {
            Self::Layout(writer) => writer.name(name, descriptor),
            Self::Archive(writer) => writer.name(name, descriptor),
        }
    }

    /// From here on readers see the new images.
    pub fn finish(self) -> Result<(), LayoutError> {
        match self {
            Self::Layout(writer) => writer.finish(),
            Self::Archive(writer) => writer.finish(),
        }
    }
}
