//! The images of services that were pushed: which references they have, with or without the services' sources.

use std::collections::BTreeSet;

use super::base::BaseError;
use super::{BuildError, BuildRequest, Context, Destination, destination, selection};
use crate::config::Settings;
use crate::host;
use crate::lock::Lock;
use crate::path::HostPath;
use crate::registry::Reference;
use crate::workspace::Workspace;

/// The images of services that were pushed.
pub(super) struct Fleet {
    /// What `pirogue.toml` says, if it is there.
    pub settings: Settings,
    /// `pirogue.lock`, if it is there.
    pub lock: Option<Lock>,
    /// The directory that both lie in.
    pub dir: HostPath,
    /// The name of each service with a reference that its image has.
    pub images: Vec<(String, Reference)>,
}

impl Fleet {
    /// The images that a request is about. Nothing but `pirogue.toml` is needed where that names the services, and not even
    /// that where the request does; with the sources there, their services are known and checked.
    pub fn find(request: &BuildRequest, context: &Context) -> Result<Self, BuildError> {
        let workspace = workspace(&request.dir)?;
        let dir = workspace.as_ref().map_or(&request.dir, |workspace| &workspace.root).clone();
        let settings = Settings::read(&dir)?;
        let lock = Lock::read(&dir).map_err(super::BaseLockError::from)?;
        let destinations = Destination::of(request, &settings, &dir)?;
        context.client.push_to(destinations.iter().filter_map(Destination::registry));
        let (whole, names): (Vec<&String>, Vec<&String>) =
            request.services.iter().partition(|name| is_whole_reference(name));
        let mut images = Vec::new();
        for reference in whole {
            let reference: Reference = reference.parse().map_err(super::DestinationError::from)?;
            let name = reference.repository().name().rsplit('/').next().unwrap_or_default().to_owned();
            images.push((name, reference));
        }
        if !names.is_empty() || request.services.is_empty() {
            let names: Vec<String> = names.into_iter().cloned().collect();
            for service in services(workspace.as_ref(), &settings, &names)? {
                let references = references(&service, &destinations, &settings, request)?;
                images.extend(references.into_iter().map(|reference| (service.clone(), reference)));
            }
        }
        match images.is_empty() {
            true => Err(BaseError::NothingDeployed.into()),
            false => Ok(Self { settings, lock, dir, images }),
        }
    }
}

/// The workspace, if its sources are there.
fn workspace(dir: &HostPath) -> Result<Option<Workspace>, BuildError> {
    match host::is_file(&dir.join("package.json"))? {
        true => Ok(Some(Workspace::discover(dir)?)),
        false => Ok(None),
    }
}

/// Whether a name of a service is one of an image in a registry: it begins with a host.
fn is_whole_reference(name: &str) -> bool {
    let host = name.split_once('/').map_or("", |(host, _)| host);
    host.contains(['.', ':']) || host == "localhost"
}

/// The services that are meant: those that are named, else those that there are, or that `pirogue.toml` names where their
/// sources are not there.
fn services(
    workspace: Option<&Workspace>,
    settings: &Settings,
    wanted: &[String],
) -> Result<BTreeSet<String>, BuildError> {
    if let Some(workspace) = workspace {
        return selection::names(workspace, settings, wanted);
    }
    let is_name = |text: &&String| !text.contains(['*', '?', '[', '{', '/']);
    let listed = settings.services.iter().flatten().filter(is_name);
    let named: BTreeSet<String> = match wanted {
        [] => listed.chain(settings.each.keys()).cloned().collect(),
        wanted => wanted.iter().cloned().collect(),
    };
    match named.is_empty() {
        true => Err(BaseError::UnknownServices.into()),
        false => Ok(named),
    }
}

/// What the image of a service is called in registries.
fn references(
    service: &str,
    destinations: &[Destination],
    settings: &Settings,
    request: &BuildRequest,
) -> Result<Vec<Reference>, BuildError> {
    let own = settings.of_service(service);
    let tags = destination::tags(request, &own);
    let mut references = Vec::new();
    for destination in destinations {
        let Destination::Registry { repository, tag } = destination else { continue };
        references.extend(Destination::references(repository, tag.as_deref(), service, &own, tags)?);
    }
    Ok(references)
}
