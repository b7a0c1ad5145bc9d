use std::path::PathBuf;

use super::{BuildError, BuildRequest};
use crate::config::{ServiceSettings, Settings};
use crate::layout::ArchiveForm;
use crate::path::HostPath;
use crate::platform::Platform;
use crate::registry::{Reference, ReferenceError, RegistryHost, Repository};
use crate::transfer::{Medium, split_file, split_layout};
use crate::workspace::{Service, Workspace};

/// Where a service's name goes in a destination.
const SERVICE: &str = "{service}";
/// The tag where nobody names one.
const DEFAULT_TAG: &str = "latest";

/// Where images go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Destination {
    /// `oci:DIR[:TAG]`: an OCI layout that holds all services, each under its own name.
    Layout {
        /// The directory.
        dir: HostPath,
        /// The tag that follows the service's name.
        tag: Option<String>,
    },
    /// `oci-archive:FILE[:TAG]` or `docker-archive:FILE[:PREFIX]`: an archive that holds all services.
    Archive {
        /// Which of the two.
        form: ArchiveForm,
        /// The file.
        file: HostPath,
        /// In Docker's: what stands before the service's name.
        repository: String,
        /// The explicit tag.
        tag: Option<String>,
    },
    /// `docker-daemon:[PREFIX]`: what `docker` or `podman` keep on this machine.
    Daemon {
        /// What stands before the service's name.
        repository: String,
        /// The explicit tag.
        tag: Option<String>,
    },
    /// `HOST[:PORT]/PREFIX`: a registry, where each service has its own repository.
    Registry {
        /// As the user wrote it, without the tag.
        repository: String,
        /// The explicit tag.
        tag: Option<String>,
    },
}

/// Why a text is no destination.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// Nothing after `oci:`.
    #[error("a layout needs a directory, `oci:DIR`: `{0}`")]
    NoDirectory(String),
    /// Nothing after `oci-archive:` or `docker-archive:`.
    #[error("an archive needs a file, `oci-archive:FILE` or `docker-archive:FILE`: `{0}`")]
    NoFile(String),
    /// No registry to push to.
    #[error("neither a layout (`oci:DIR`) nor a registry (`HOST/PREFIX`): `{0}`")]
    NoHost(String),
    /// One name for several images.
    #[error("the destination names one image, but {services} services are built: `{destination}`")]
    OneName {
        /// The destination.
        destination: String,
        /// How many services.
        services: usize,
    },
    /// What holds one platform, for several.
    #[error("the destination holds images for one platform, but {} are built for: `{destination}`", list(platforms))]
    OnePlatform {
        /// The destination.
        destination: String,
        /// The platforms.
        platforms: Vec<Platform>,
    },
    /// A name that no registry takes.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
}

fn list(platforms: &[Platform]) -> String {
    platforms.iter().map(|platform| format!("`{platform}`")).collect::<Vec<_>>().join(", ")
}

impl DestinationError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoDirectory(_) => Some("such as `--to oci:images`".into()),
            Self::NoFile(text) => Some(format!("such as `--to {text}images.tar`")),
            Self::NoHost(text) => Some(format!("for Docker Hub: `--to docker.io/{text}`")),
            Self::OneName { destination, .. } => {
                let repository = destination.rsplit_once(':').map_or(destination.as_str(), |(name, _)| name);
                Some(format!("use `--to {repository}` with `--tag`, or put `{SERVICE}` into the name"))
            }
            Self::OnePlatform { platforms, .. } => platforms.first().map(|platform| {
                format!(
                    "build for one of them, `--platform {platform}`, or write an archive for all, `oci-archive:FILE`"
                )
            }),
            Self::Reference(error) => error.hint(),
        }
    }
}

impl Destination {
    /// Reads what the user wrote. A layout's directory is relative to `dir`.
    pub fn parse(text: &str, dir: &HostPath) -> Result<Self, DestinationError> {
        let (medium, rest) = Medium::of(text);
        let registry = |text: &str| {
            let (repository, tag) = split_tag(text);
            (repository.trim_end_matches('/').to_owned(), tag)
        };
        match medium {
            Medium::Layout => match split_layout(rest) {
                ("", _) => return Err(DestinationError::NoDirectory(text.to_owned())),
                (path, tag) => return Ok(Self::Layout { dir: dir.join(path), tag }),
            },
            Medium::Archive(form) => {
                let (path, name) = split_file(rest);
                if path.is_empty() {
                    return Err(DestinationError::NoFile(medium.prefix().to_owned()));
                }
                let (repository, tag) = match form {
                    ArchiveForm::Oci => (String::new(), name.map(str::to_owned)),
                    ArchiveForm::Docker => registry(name.unwrap_or_default()),
                };
                return Ok(Self::Archive { form, file: dir.join(path), repository, tag });
            }
            Medium::Daemon => {
                let (repository, tag) = registry(rest);
                return Ok(Self::Daemon { repository, tag });
            }
            Medium::Registry => {}
        }
        let (repository, tag) = registry(text);
        let host = repository.split('/').next().unwrap_or_default();
        if !(host.contains(['.', ':']) || host == "localhost") {
            return Err(DestinationError::NoHost(text.to_owned()));
        }
        Ok(Self::Registry { repository, tag })
    }

    /// The registry that is pushed to.
    pub(super) fn registry(&self) -> Option<RegistryHost> {
        match self {
            Self::Layout { .. } | Self::Archive { .. } | Self::Daemon { .. } => None,
            Self::Registry { repository, .. } => repository.split('/').next()?.parse().ok(),
        }
    }

    /// The absolute path of a layout or archive.
    pub(super) fn absolute_path(&self) -> Option<PathBuf> {
        match self {
            Self::Layout { dir: path, .. } | Self::Archive { file: path, .. } => std::path::absolute(path).ok(),
            Self::Daemon { .. } | Self::Registry { .. } => None,
        }
    }

    /// What a service's image is called there: one name for each tag.
    pub(super) fn names(
        &self,
        service: &str,
        settings: &ServiceSettings,
        tags: &[String],
    ) -> Result<Vec<String>, DestinationError> {
        match self {
            Self::Layout { tag, .. } | Self::Archive { form: ArchiveForm::Oci, tag, .. } => {
                Ok(Self::layout_names(tag.as_deref(), service, tags))
            }
            Self::Archive { repository, tag, .. }
            | Self::Daemon { repository, tag }
            | Self::Registry { repository, tag } => {
                let references = Self::references(repository, tag.as_deref(), service, settings, tags)?;
                Ok(references.iter().map(Reference::to_string).collect())
            }
        }
    }

    /// Where an image of that name is then, as it would be typed.
    pub(super) fn place(&self, name: &str) -> String {
        match self {
            Self::Layout { dir, .. } => format!("{}{dir}:{name}", Medium::Layout.prefix()),
            Self::Archive { form, file, .. } => format!("{}{file}:{name}", Medium::Archive(*form).prefix()),
            Self::Daemon { .. } => format!("{}{name}", Medium::Daemon.prefix()),
            Self::Registry { .. } => name.to_owned(),
        }
    }

    /// The destination without the names of images, as it would be typed.
    fn typed(&self) -> String {
        match self {
            Self::Layout { dir: path, .. } => format!("{}{path}", Medium::Layout.prefix()),
            Self::Archive { form, file, .. } => format!("{}{file}", Medium::Archive(*form).prefix()),
            Self::Daemon { repository, .. } => format!("{}{repository}", Medium::Daemon.prefix()),
            Self::Registry { repository, .. } => repository.clone(),
        }
    }

    /// The destinations of a build: the request's, else those of `pirogue.toml`, else the folder `images` in the
    /// workspace. Directories on the command line are relative to where it was typed, those of the file to the workspace.
    pub(super) fn of(
        request: &BuildRequest,
        settings: &Settings,
        workspace: &Workspace,
    ) -> Result<Vec<Self>, BuildError> {
        let typed = request.destinations.iter().map(|text| Self::parse(text, &HostPath::new("")));
        let configured = settings.destinations.iter().map(|text| Self::parse(text, &workspace.root));
        let destinations: Vec<Self> = match (request.destinations.is_empty(), settings.destinations.is_empty()) {
            (false, _) => typed.collect::<Result<_, _>>()?,
            (true, false) => configured.collect::<Result<_, _>>()?,
            (true, true) => vec![Self::Layout { dir: workspace.root.join("images"), tag: None }],
        };
        Ok(destinations)
    }

    /// The names of a service in a layout: its own, with the tags if there are any.
    fn layout_names(tag: Option<&str>, service: &str, tags: &[String]) -> Vec<String> {
        let tags: Vec<&str> = match tag {
            Some(tag) => vec![tag],
            None => tags.iter().map(String::as_str).collect(),
        };
        match tags.is_empty() {
            true => vec![service.to_owned()],
            false => tags
                .into_iter()
                .map(|tag| match tag.contains(SERVICE) {
                    true => tag.replace(SERVICE, service),
                    false => format!("{service}:{tag}"),
                })
                .collect(),
        }
    }

    /// The references of a service in a registry, or on this machine: one for each tag.
    pub(super) fn references(
        repository: &str,
        tag: Option<&str>,
        service: &str,
        settings: &ServiceSettings,
        tags: &[String],
    ) -> Result<Vec<Reference>, DestinationError> {
        let name = settings.repository.as_deref().unwrap_or(service);
        let repository = match (repository.contains(SERVICE), tag) {
            (true, _) => repository.replace(SERVICE, name),
            (false, Some(_)) => repository.to_owned(),
            (false, None) if repository.is_empty() => name.to_owned(),
            (false, None) => format!("{repository}/{name}"),
        };
        let tags: Vec<String> = match tag {
            Some(tag) => vec![tag.replace(SERVICE, name)],
            None if tags.is_empty() => vec![DEFAULT_TAG.to_owned()],
            None => tags.to_vec(),
        };
        let repository: Repository = repository.parse()?;
        tags.iter().map(|tag| Ok(repository.with_tag(tag)?)).collect()
    }
}

/// Cuts `REPOSITORY[:TAG]`. A host and its port alone have no tag.
fn split_tag(text: &str) -> (&str, Option<String>) {
    match text.rsplit_once(':') {
        Some((repository, tag)) if !tag.contains('/') && repository.contains(['/', '{']) => {
            (repository, Some(tag.to_owned()))
        }
        _ => (text, None),
    }
}

/// The tags of a service: the request's, else those of `pirogue.toml`.
pub(super) fn tags<'a>(request: &'a BuildRequest, settings: &'a ServiceSettings) -> &'a [String] {
    match (&request.tags[..], &settings.tags) {
        ([], Some(configured)) => configured,
        (typed, _) => typed,
    }
}

/// An error if a destination that names one image would get several, or an image would get a name that no registry takes:
/// before anything is packed.
pub(super) fn refuse_bad_names(
    destinations: &[Destination],
    services: &[Service],
    settings: &Settings,
    request: &BuildRequest,
) -> Result<(), DestinationError> {
    for destination in destinations {
        for service in services {
            let own = settings.of_service(&service.name);
            destination.names(&service.name, &own, tags(request, &own))?;
        }
        if let Destination::Registry { repository, tag: Some(tag) }
        | Destination::Daemon { repository, tag: Some(tag) }
        | Destination::Archive { form: ArchiveForm::Docker, repository, tag: Some(tag), .. } = destination
            && services.len() > 1
            && !repository.contains(SERVICE)
            && !tag.contains(SERVICE)
        {
            let destination = destination.place(&format!("{repository}:{tag}"));
            return Err(DestinationError::OneName { destination, services: services.len() });
        }
    }
    Ok(())
}

/// An error if images for several platforms would go where an image is for one: what Docker writes and keeps.
pub(super) fn refuse_several_platforms(
    destinations: &[Destination],
    platforms: &[Platform],
) -> Result<(), DestinationError> {
    let holds_one = |destination: &&Destination| {
        matches!(destination, Destination::Daemon { .. } | Destination::Archive { form: ArchiveForm::Docker, .. })
    };
    match destinations.iter().find(holds_one) {
        Some(destination) if platforms.len() > 1 => {
            let platforms = platforms.to_vec();
            Err(DestinationError::OnePlatform { destination: destination.typed(), platforms })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations() {
        let layout = |dir: &str, tag: Option<&str>| {
            Ok(Destination::Layout { dir: HostPath::new(dir), tag: tag.map(str::to_owned) })
        };
        let registry = |repository: &str, tag: Option<&str>| {
            Ok(Destination::Registry { repository: repository.into(), tag: tag.map(str::to_owned) })
        };
        let archive = |form, repository: &str, tag: Option<&str>| {
            let (file, tag) = (HostPath::new("a.tar"), tag.map(str::to_owned));
            Ok(Destination::Archive { form, file, repository: repository.into(), tag })
        };
        let daemon = |repository: &str, tag: Option<&str>| {
            Ok(Destination::Daemon { repository: repository.into(), tag: tag.map(str::to_owned) })
        };
        let table = [
            ("oci:images", layout("images", None)),
            ("oci:/abs/images:v1", layout("/abs/images", Some("v1"))),
            ("oci:a:b/c", layout("a:b/c", None)),
            ("oci:", Err("a layout needs a directory")),
            ("oci-archive:a.tar:v1", archive(ArchiveForm::Oci, "", Some("v1"))),
            ("docker-archive:a.tar", archive(ArchiveForm::Docker, "", None)),
            (
                "docker-archive:a.tar:ghcr.io/acme/{service}:v1",
                archive(ArchiveForm::Docker, "ghcr.io/acme/{service}", Some("v1")),
            ),
            ("docker-archive:", Err("an archive needs a file")),
            ("docker-daemon:", daemon("", None)),
            ("docker-daemon:acme", daemon("acme", None)),
            ("docker-daemon:{service}:v1", daemon("{service}", Some("v1"))),
            ("localhost:5000", registry("localhost:5000", None)),
            ("localhost/acme", registry("localhost/acme", None)),
            ("127.0.0.1:5000/acme/", registry("127.0.0.1:5000/acme", None)),
            ("ghcr.io/acme/{service}:v1", registry("ghcr.io/acme/{service}", Some("v1"))),
            ("registry.example.com:5000/a/b:c", registry("registry.example.com:5000/a/b", Some("c"))),
            ("acme", Err("neither a layout")),
            ("acme/web", Err("neither a layout")),
            ("", Err("neither a layout")),
        ];
        for (text, expected) in table {
            match (Destination::parse(text, &HostPath::new("")), expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{text}: {error}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
    }

    #[test]
    fn names_in_a_registry() {
        let settings = ServiceSettings::default();
        let renamed = ServiceSettings { repository: Some("team/web".into()), ..ServiceSettings::default() };
        let table: [(&str, Option<&str>, &ServiceSettings, &[&str], &[&str]); 7] = [
            ("", None, &settings, &[], &["docker.io/library/gateway:latest"]),
            ("localhost:5000", None, &settings, &[], &["localhost:5000/gateway:latest"]),
            ("ghcr.io/acme", None, &settings, &["1", "2"], &["ghcr.io/acme/gateway:1", "ghcr.io/acme/gateway:2"]),
            ("ghcr.io/acme/x-{service}", None, &settings, &[], &["ghcr.io/acme/x-gateway:latest"]),
            ("ghcr.io/acme/one", Some("v1"), &settings, &["2"], &["ghcr.io/acme/one:v1"]),
            ("ghcr.io/acme/all", Some("{service}-v1"), &settings, &[], &["ghcr.io/acme/all:gateway-v1"]),
            ("ghcr.io", None, &renamed, &[], &["ghcr.io/team/web:latest"]),
        ];
        for (repository, tag, settings, tags, expected) in table {
            let tags: Vec<String> = tags.iter().map(|tag| tag.to_string()).collect();
            let found = Destination::references(repository, tag, "gateway", settings, &tags).unwrap();
            let found: Vec<String> = found.iter().map(Reference::to_string).collect();
            assert_eq!(found, expected, "{repository}");
        }
    }
}
