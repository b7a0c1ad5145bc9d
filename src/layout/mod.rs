//! An OCI image layout: a directory with `oci-layout`, `index.json` and `blobs/`.
//!
//! Source: OCI image-spec, `image-layout.md`.

mod read;
mod write;

pub use read::{Layout, LayoutEntry};
pub use write::LayoutWriter;

use std::io;

use crate::digest::Digest;
use crate::manifest::DocumentError;
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
    /// A directory that holds something else.
    #[error("the directory is neither empty nor an OCI image layout: `{0}`")]
    Occupied(HostPath),
    /// No entry has the wanted name.
    #[error("the layout has no image named `{wanted}`; it has {}: `{dir}`", list(known))]
    NoSuchName {
        /// The directory.
        dir: HostPath,
        /// The name asked for.
        wanted: String,
        /// The names it has.
        known: Vec<String>,
    },
    /// Several entries, and none was named.
    #[error("the layout has several images, {}: `{dir}`", list(known))]
    NameNeeded {
        /// The directory.
        dir: HostPath,
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
            Self::NameNeeded { dir, known } => {
                known.first().map(|name| format!("name one of them, such as `oci:{dir}:{name}`"))
            }
            Self::NoSuchName { dir, known, .. } => {
                known.first().map(|name| format!("name one it has, such as `oci:{dir}:{name}`"))
            }
            Self::Occupied(_) => Some("name another directory, or empty this one".into()),
            Self::Document { .. } | Self::Damaged { .. } => Some("copy the layout anew from where it came".into()),
            Self::Io { source, .. } => match source.kind() {
                io::ErrorKind::StorageFull => {
                    Some("free some space, or write to another disk with `--to oci:DIR`".into())
                }
                io::ErrorKind::AlreadyExists | io::ErrorKind::NotADirectory => {
                    Some("a file is in the way: name a directory with `--to oci:DIR`".into())
                }
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => {
                    Some("name a directory that you may write with `--to oci:DIR`".into())
                }
                io::ErrorKind::NotFound => Some("the layout is not whole: copy it anew from where it came".into()),
                _ => None,
            },
        }
    }
}
