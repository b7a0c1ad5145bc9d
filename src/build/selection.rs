use std::collections::BTreeSet;

use crate::config::{PackagesFrom, Settings};
use crate::platform::Platform;
use crate::workspace::{EntryPointError, NotAService, Service, Workspace, WorkspaceError, WorkspacePath};

use super::{BuildError, BuildRequest};

/// Why the services to build cannot be told.
#[derive(Debug, thiserror::Error)]
pub enum SelectionError {
    /// No member is a service.
    #[error("no member of the workspace is a service{}", list(.0))]
    NoServices(Vec<NotAService>),
    /// A name that no member has.
    #[error("the workspace has no member `{name}`")]
    UnknownService {
        /// The name asked for.
        name: String,
        /// The names there are.
        known: Vec<String>,
    },
    /// A service cannot be started.
    #[error("{error}")]
    EntryPoint {
        /// Why.
        error: EntryPointError,
        /// The name that the member has as a service.
        service: String,
        /// The command that compiles.
        build_command: &'static str,
    },
}

fn list(others: &[NotAService]) -> String {
    others.iter().map(|other| format!("\n  {}: `{}`", other.reason, other.dir)).collect()
}

impl SelectionError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NoServices(_) => {
                Some("name one: `pirogue build SERVICE`, or `services = [\"apps/*\"]` in pirogue.toml".into())
            }
            Self::UnknownService { known, .. } => Some(format!(
                "there are: {}",
                known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )),
            Self::EntryPoint { error, service, build_command } => match error {
                EntryPointError::Missing { .. } | EntryPointError::NotBuilt { .. } => {
                    Some(format!("compile first: `{build_command}`"))
                }
                EntryPointError::Several { .. } | EntryPointError::None { .. } => Some(format!(
                    "set `entry-point` under `[service.{service}]` in pirogue.toml, or remove stale build output"
                )),
                EntryPointError::Host(_) => None,
            },
        }
    }
}

/// The services to build: those that `wanted` names, else those that `pirogue.toml` lists, else all there are.
pub(super) fn select(
    workspace: &Workspace,
    settings: &Settings,
    wanted: &[String],
) -> Result<Vec<Service>, BuildError> {
    let names = workspace.service_names();
    let known: Vec<String> = names.values().cloned().collect();
    settings.refuse_unknown_services(&known)?;
    let chosen = match (wanted, &settings.services) {
        ([], None) => None,
        ([], Some(patterns)) => Some(matching(workspace, patterns)?),
        (wanted, _) => {
            let dirs = wanted.iter().map(|name| find(workspace, name));
            Some(dirs.collect::<Result<Vec<_>, _>>()?)
        }
    };
    let entry_point = |name: &str| settings.of_service(name).entry_point;
    let (services, others) = workspace.services(entry_point, chosen.as_deref()).map_err(|error| {
        let service = error.member().and_then(|dir| names.get(dir)).cloned().unwrap_or_default();
        SelectionError::EntryPoint { error, service, build_command: workspace.package_manager.build_command() }
    })?;
    if services.is_empty() {
        return Err(SelectionError::NoServices(others).into());
    }
    Ok(services)
}

/// The services whose bases have to be known: those that are built. Where packages come from the lockfile, those of the
/// whole fleet: which of its packages lie where must not depend on which services are built.
pub(super) fn services_with_bases(
    services: &[Service],
    from: PackagesFrom,
    workspace: &Workspace,
    settings: &Settings,
) -> BTreeSet<String> {
    let mut names: BTreeSet<String> = services.iter().map(|service| service.name.clone()).collect();
    if from == PackagesFrom::Lockfile {
        names.extend(workspace.fleet(|name| settings.of_service(name).entry_point.is_some()).into_keys());
    }
    names
}

/// The member that the user calls `wanted`: by the service's name, the package's, or the directory.
fn find(workspace: &Workspace, wanted: &str) -> Result<WorkspacePath, SelectionError> {
    let names = workspace.service_names();
    let dir = WorkspacePath::new(wanted.trim_end_matches('/'));
    let found = workspace.members.iter().find(|member| {
        names.get(&member.dir).is_some_and(|name| name == wanted)
            || member.package_json.name.as_deref() == Some(wanted)
            || dir.as_ref() == Some(&member.dir)
    });
    match found {
        Some(member) => Ok(member.dir.clone()),
        None => Err(SelectionError::UnknownService { name: wanted.to_owned(), known: names.into_values().collect() }),
    }
}

/// The members that `services` in pirogue.toml names, by directory pattern or name.
fn matching(workspace: &Workspace, patterns: &[String]) -> Result<Vec<WorkspacePath>, BuildError> {
    let mut dirs = Vec::new();
    for pattern in patterns {
        let glob = globset::GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| WorkspaceError::Pattern { pattern: pattern.clone(), reason: error.kind().to_string() })?
            .compile_matcher();
        let before = dirs.len();
        let matched = workspace.members.iter().filter(|member| glob.is_match(member.dir.as_path()));
        dirs.extend(matched.map(|member| member.dir.clone()));
        if dirs.len() == before {
            dirs.push(find(workspace, pattern)?);
        }
    }
    Ok(dirs)
}

/// The platform to build for: the request's, else that of `pirogue.toml`, else this machine's processor on Linux.
pub(super) fn platform(request: &BuildRequest, settings: &Settings) -> Result<Platform, BuildError> {
    match (&request.platform, &settings.platform) {
        (Some(platform), _) => Ok(platform.clone()),
        (None, Some(platform)) => Ok(platform.parse()?),
        (None, None) => Ok(Platform::of_this_machine()),
    }
}
