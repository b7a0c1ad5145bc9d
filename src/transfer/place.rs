use std::fmt;

use crate::layout::ArchiveForm;
use crate::path::HostPath;
use crate::registry::{Reference, ReferenceError};

/// The kinds of places where images lie, by what their names begin with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Medium {
    /// A registry, which has no prefix.
    Registry,
    /// `oci:`, a layout in a directory.
    Layout,
    /// `oci-archive:` and `docker-archive:`, a tar.
    Archive(ArchiveForm),
    /// `docker-daemon:`, what `docker` or `podman` keep on this machine.
    Daemon,
}

impl Medium {
    /// The medium that a text names, and the rest of the text.
    pub fn of(text: &str) -> (Self, &str) {
        let known = [Self::Layout, Self::Archive(ArchiveForm::Oci), Self::Archive(ArchiveForm::Docker), Self::Daemon];
        let found = known.into_iter().find_map(|medium| Some((medium, text.strip_prefix(medium.prefix())?)));
        found.unwrap_or((Self::Registry, text))
    }

    /// What names of such places begin with.
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Registry => "",
            Self::Layout => "oci:",
            Self::Archive(ArchiveForm::Oci) => "oci-archive:",
            Self::Archive(ArchiveForm::Docker) => "docker-archive:",
            Self::Daemon => "docker-daemon:",
        }
    }
}

/// The place of one image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// `HOST/REPOSITORY[:TAG][@DIGEST]`
    Registry(Reference),
    /// `oci:DIR[:TAG]`
    Layout {
        /// The directory.
        dir: HostPath,
        /// The image's name in it.
        name: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:REF]`
    Archive {
        /// Which of the two.
        form: ArchiveForm,
        /// The file.
        file: HostPath,
        /// The image's name in it; a whole reference in Docker's.
        name: Option<String>,
    },
    /// `docker-daemon:REF`
    Daemon(Reference),
}

/// Why a text is no place.
#[derive(Debug, thiserror::Error)]
pub enum PlaceError {
    /// Nothing after the prefix.
    #[error("a layout needs a directory, `oci:DIR`: `{0}`")]
    NoDirectory(String),
    /// Nothing after the prefix.
    #[error("an archive needs a file, `oci-archive:FILE` or `docker-archive:FILE`: `{0}`")]
    NoFile(String),
    /// A place to write to that may be meant as a directory, or as a repository of Docker Hub.
    #[error(
        "neither a file (`oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`), `docker-daemon:REF` nor a registry (`HOST/REPOSITORY`): `{0}`"
    )]
    NoHost(String),
    /// A prefix of other tools.
    #[error("pirogue knows no such kind of place: `{0}`")]
    Foreign(String),
    /// Where a tag is needed, a digest alone.
    #[error("an image on this machine needs a tag: `{0}`")]
    NoTag(String),
    /// No reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

impl PlaceError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoDirectory(_) => Some("such as `oci:images`".into()),
            Self::NoFile(text) => Some(format!("such as `{text}images.tar`")),
            Self::NoHost(text) if text.is_empty() => Some("such as `oci:images` or `ghcr.io/acme/api:1.0`".into()),
            Self::NoHost(text) => Some(format!("for Docker Hub: `docker.io/{text}`; for a directory: `oci:{text}`")),
            Self::Foreign(text) => match text.strip_prefix("docker://") {
                Some(reference) => Some(format!("an image in a registry has no prefix: `{reference}`")),
                None => Some("a layout is named with `oci:DIR`".into()),
            },
            Self::NoTag(_) => Some("such as `docker-daemon:api:1.0`".into()),
            Self::Reference(error) => error.hint(),
        }
    }
}

impl Place {
    /// Reads what the user wrote. Files are relative to `dir`.
    pub fn parse(text: &str, dir: &HostPath) -> Result<Self, PlaceError> {
        if ["docker://", "ocidir://"].iter().any(|prefix| text.starts_with(prefix)) {
            return Err(PlaceError::Foreign(text.to_owned()));
        }
        let (medium, rest) = Medium::of(text);
        match medium {
            Medium::Registry => Ok(Self::Registry(rest.parse()?)),
            Medium::Layout => match split_layout(rest) {
                ("", _) => Err(PlaceError::NoDirectory(text.to_owned())),
                (path, name) => Ok(Self::Layout { dir: dir.join(path), name }),
            },
            Medium::Archive(form) => match split_file(rest) {
                ("", _) => Err(PlaceError::NoFile(medium.prefix().to_owned())),
                (path, name) => {
                    let name = match (form, name) {
                        (ArchiveForm::Docker, Some(name)) => Some(tagged(name)?.to_string()),
                        (_, name) => name.map(str::to_owned),
                    };
                    Ok(Self::Archive { form, file: dir.join(path), name })
                }
            },
            Medium::Daemon => Ok(Self::Daemon(tagged(rest)?)),
        }
    }

    /// The same for a place to write to: a registry is named with its host, so that a directory that lacks its `oci:` is
    /// not taken for a repository of Docker Hub.
    pub fn parse_target(text: &str, dir: &HostPath) -> Result<Self, PlaceError> {
        let is_registry = !text.contains("://") && Medium::of(text).0 == Medium::Registry;
        let host = text.split_once('/').map_or("", |(host, _)| host);
        let names_host = !host.starts_with('.') && (host.contains(['.', ':']) || host == "localhost");
        if is_registry && !names_host {
            return Err(PlaceError::NoHost(text.to_owned()));
        }
        Self::parse(text, dir)
    }
}

/// What an image of this name is called in another medium: by a whole reference where names are such, else by its tag.
/// `None` if the name says nothing there.
pub(super) fn fitting_name(name: &str, medium: Medium) -> Option<String> {
    let whole = matches!(medium, Medium::Daemon | Medium::Archive(ArchiveForm::Docker));
    match (whole, name.contains('/')) {
        (true, _) => tagged(name).ok().map(|reference| reference.to_string()),
        (false, true) => tagged(name).ok().and_then(|reference| reference.tag().map(str::to_owned)),
        (false, false) => Some(name.to_owned()),
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (prefix, path, name) = match self {
            Self::Registry(reference) => return reference.fmt(f),
            Self::Daemon(reference) => return write!(f, "{}{reference}", Medium::Daemon.prefix()),
            Self::Layout { dir, name } => (Medium::Layout.prefix(), dir, name),
            Self::Archive { form, file, name } => (Medium::Archive(*form).prefix(), file, name),
        };
        write!(f, "{prefix}{path}")?;
        name.iter().try_for_each(|name| write!(f, ":{name}"))
    }
}

/// A reference with a tag.
fn tagged(text: &str) -> Result<Reference, PlaceError> {
    let reference: Reference = text.parse()?;
    match reference.tag() {
        Some(_) => Ok(reference),
        None => Err(PlaceError::NoTag(text.to_owned())),
    }
}

/// Cuts `DIR[:TAG]`. A colon before a slash belongs to the directory.
pub fn split_layout(text: &str) -> (&str, Option<String>) {
    match text.split_once(':') {
        Some((dir, tag)) if !tag.contains('/') && !tag.is_empty() => (dir, Some(tag.to_owned())),
        _ => (text, None),
    }
}

/// Cuts `FILE[:NAME]` at the first colon: names of images in archives may hold slashes.
pub fn split_file(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((file, name)) => (file, Some(name).filter(|name| !name.is_empty())),
        None => (text, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_and_their_normal_form() {
        let table = [
            ("a registry", "ghcr.io/acme/api:1", Ok("ghcr.io/acme/api:1")),
            ("Docker Hub", "node:20", Ok("docker.io/library/node:20")),
            ("a layout", "oci:images", Ok("oci:/w/images")),
            ("an image of a layout", "oci:/images:api", Ok("oci:/images:api")),
            ("an archive", "oci-archive:a.tar", Ok("oci-archive:/w/a.tar")),
            (
                "a name as podman writes it",
                "oci-archive:a.tar:localhost/api:1",
                Ok("oci-archive:/w/a.tar:localhost/api:1"),
            ),
            (
                "Docker's archive",
                "docker-archive:a.tar:api",
                Ok("docker-archive:/w/a.tar:docker.io/library/api:latest"),
            ),
            ("this machine", "docker-daemon:acme/api:1", Ok("docker-daemon:docker.io/acme/api:1")),
            ("no directory", "oci:", Err("a layout needs a directory, `oci:DIR`: `oci:`")),
            (
                "no file",
                "docker-archive::x",
                Err("an archive needs a file, `oci-archive:FILE` or `docker-archive:FILE`: `docker-archive:`"),
            ),
            ("no image", "docker-daemon:", Err("an image reference is empty")),
            ("skopeo's prefix", "docker://node:20", Err("pirogue knows no such kind of place: `docker://node:20`")),
        ];
        for (comment, text, expected) in table {
            let place = Place::parse(text, &HostPath::new("/w"));
            let found = place.map(|place| place.to_string()).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{comment}");
        }
    }

    #[test]
    fn a_registry_to_write_to_is_named_with_its_host() {
        let table = [
            ("ghcr.io/acme/api:1", true),
            ("localhost/api", true),
            ("localhost:5000/api", true),
            ("docker.io/node", true),
            ("oci:images", true),
            ("images", false),
            ("acme/api", false),
            ("./images", false),
            ("../images", false),
            ("", false),
        ];
        for (text, expected) in table {
            assert_eq!(Place::parse_target(text, &HostPath::new("")).is_ok(), expected, "{text}");
        }
    }

    #[test]
    fn names_that_come_along() {
        let docker = Medium::Archive(ArchiveForm::Docker);
        let table = [
            ("ghcr.io/acme/api:1", Medium::Layout, Some("1")),
            ("ghcr.io/acme/api:1", docker, Some("ghcr.io/acme/api:1")),
            ("api", Medium::Layout, Some("api")),
            ("api:1", Medium::Archive(ArchiveForm::Oci), Some("api:1")),
            ("api", docker, Some("docker.io/library/api:latest")),
            ("No Name", docker, None),
            ("No/Name", Medium::Layout, None),
        ];
        for (name, to, expected) in table {
            assert_eq!(fitting_name(name, to).as_deref(), expected, "{name} {to:?}");
        }
    }
}
