use std::collections::{BTreeMap, BTreeSet};

use crate::config::{PackagesFrom, Settings};
use crate::workspace::{EntryPointError, Member, NotAService, Service, Workspace, WorkspaceError, WorkspacePath};

use super::platforms::Lean;
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
    /// A name that could mean either of two members.
    #[error("`{name}` could be either of two members: `{first}` and `{second}`")]
    Ambiguous {
        /// The name asked for.
        name: String,
        /// The directory of one.
        first: WorkspacePath,
        /// The directory of another.
        second: WorkspacePath,
    },
    /// Two services that would have one name.
    #[error("two services have the name `{name}`: `{first}` and `{second}`")]
    SameName {
        /// The name.
        name: String,
        /// The directory of one.
        first: WorkspacePath,
        /// The directory of the other.
        second: WorkspacePath,
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
    /// A traced service cannot be started, so that nobody knows which files of shared packages it needs.
    #[error("what `{service}` needs of the packages that it shares cannot be traced: {error}")]
    Untraceable {
        /// Why.
        error: EntryPointError,
        /// The service.
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
            Self::Ambiguous { first, .. } => Some(format!("name the directory, such as `{first}`")),
            Self::SameName { .. } => Some("rename one of the two directories".into()),
            Self::Untraceable { service, build_command, .. } => Some(format!(
                "compile it: `{build_command}`; or `trace = false` under `[service.{service}]` in pirogue.toml"
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
    let chosen = chosen(workspace, settings, wanted)?;
    let entry_point = |name: &str| settings.of_service(name).entry_point;
    let (services, others) = workspace.services(entry_point, chosen.as_deref()).map_err(|error| {
        let service = error.member().and_then(|dir| names.get(dir)).cloned().unwrap_or_default();
        SelectionError::EntryPoint { error, service, build_command: workspace.package_manager.build_command() }
    })?;
    if services.is_empty() {
        return Err(SelectionError::NoServices(others).into());
    }
    refuse_one_name_for_two(&services)?;
    Ok(services)
}

/// Services to build, with those that are planned beside them: where one is traced, all others of the workspace that are, as
/// what one of them reaches of a package lies in a layer that they share.
pub(super) fn with_traced(
    mut services: Vec<Service>,
    workspace: &Workspace,
    settings: &Settings,
    request: &BuildRequest,
) -> Result<Vec<Service>, BuildError> {
    let is_traced = |name: &str| Lean::of(request, &settings.of_service(name)).traced;
    if !services.iter().any(|service| is_traced(&service.name)) {
        return Ok(services);
    }
    let names = workspace.service_names();
    let all = self::names(workspace, settings, &[])?;
    let known: BTreeSet<WorkspacePath> = services.iter().map(|service| service.dir.clone()).collect();
    let others = names.into_iter().filter(|(dir, name)| all.contains(name) && is_traced(name) && !known.contains(dir));
    for (dir, service) in others {
        let entry_point = |name: &str| settings.of_service(name).entry_point;
        match workspace.services(entry_point, Some(&[dir])) {
            Ok((more, _)) => services.extend(more),
            // It has nothing to start with, and is no service at all.
            Err(EntryPointError::None { .. }) => {}
            Err(error) => {
                let build_command = workspace.package_manager.build_command();
                return Err(SelectionError::Untraceable { error, service, build_command }.into());
            }
        }
    }
    services.sort_by(|a, b| a.dir.cmp(&b.dir));
    Ok(services)
}

/// The names of the services that are meant, compiled or not.
pub(super) fn names(
    workspace: &Workspace,
    settings: &Settings,
    wanted: &[String],
) -> Result<BTreeSet<String>, BuildError> {
    let names = workspace.service_names();
    let fleet = || workspace.fleet(|name| settings.of_service(name).entry_point.is_some());
    Ok(match chosen(workspace, settings, wanted)? {
        Some(dirs) => dirs.iter().filter_map(|dir| names.get(dir).cloned()).collect(),
        None => fleet().into_keys().collect(),
    })
}

/// The members that somebody chose as services; `None` if all there are count.
fn chosen(
    workspace: &Workspace,
    settings: &Settings,
    wanted: &[String],
) -> Result<Option<Vec<WorkspacePath>>, BuildError> {
    let fleet = workspace.fleet(|name| settings.of_service(name).entry_point.is_some());
    let fleet: BTreeSet<WorkspacePath> = fleet.into_values().collect();
    match (wanted, &settings.services) {
        ([], None) => Ok(None),
        ([], Some(patterns)) => matching(workspace, &fleet, patterns).map(Some),
        (wanted, _) => {
            let dirs = wanted.iter().map(|name| find(workspace, &fleet, name));
            Ok(Some(dirs.collect::<Result<Vec<_>, _>>()?))
        }
    }
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

/// The path of one directory can be written like the name of another: `a-b/c` and `a/b-c`.
fn refuse_one_name_for_two(services: &[Service]) -> Result<(), SelectionError> {
    let mut known: BTreeMap<&str, &WorkspacePath> = BTreeMap::new();
    for Service { name, dir, .. } in services {
        if let Some(first) = known.insert(name, dir) {
            return Err(SelectionError::SameName { name: name.clone(), first: first.clone(), second: dir.clone() });
        }
    }
    Ok(())
}

/// The member that the user calls `wanted`: by the directory, the service's name, the package's, or the directory's last
/// name. Members that could be services (`fleet`) come before all others: a library is built only if nothing else is meant.
fn find(workspace: &Workspace, fleet: &BTreeSet<WorkspacePath>, wanted: &str) -> Result<WorkspacePath, SelectionError> {
    let names = workspace.service_names();
    let path = WorkspacePath::new(wanted.trim_end_matches('/'));
    if let Some(member) = path.and_then(|dir| workspace.member_at(&dir)) {
        return Ok(member.dir.clone());
    }
    let by_service = |member: &&Member| names.get(&member.dir).is_some_and(|name| name == wanted);
    let by_another = |member: &&Member| {
        member.package_json.name.as_deref() == Some(wanted) || member.dir.name().to_lowercase() == wanted
    };
    let tell = |found: Vec<&Member>| match found[..] {
        [] => Ok(None),
        [member] => Ok(Some(member.dir.clone())),
        [first, second, ..] => {
            let (first, second) = (first.dir.clone(), second.dir.clone());
            Err(SelectionError::Ambiguous { name: wanted.to_owned(), first, second })
        }
    };
    for could_be_a_service in [true, false] {
        let members = || workspace.members.iter().filter(|member| fleet.contains(&member.dir) == could_be_a_service);
        for found in [members().filter(by_service).collect(), members().filter(by_another).collect()] {
            if let Some(dir) = tell(found)? {
                return Ok(dir);
            }
        }
    }
    Err(SelectionError::UnknownService { name: wanted.to_owned(), known: names.into_values().collect() })
}

/// The members that `services` in pirogue.toml names, by directory pattern or name.
fn matching(
    workspace: &Workspace,
    fleet: &BTreeSet<WorkspacePath>,
    patterns: &[String],
) -> Result<Vec<WorkspacePath>, BuildError> {
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
            dirs.push(find(workspace, fleet, pattern)?);
        }
    }
    Ok(dirs)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::path::HostPath;
    use crate::workspace::{PackageJson, PackageManager};

    #[test]
    fn what_is_meant_by_a_name() {
        let library = r#","types":"index.d.ts""#;
        let members: [(&str, &str, &str); 7] = [
            ("packages/pds", "@a/pds", library),
            ("services/pds", "pds-service", ""),
            ("apps/web", "@a/web", ""),
            ("services/web", "@b/web", ""),
            ("packages/lib", "@a/lib", library),
            ("packages/db", "@a/database", library),
            ("other/db", "@b/store", library),
        ];
        let member = |(dir, name, more): &(&str, &str, &str)| Member {
            dir: WorkspacePath::new(dir).unwrap(),
            package_json: PackageJson::parse(format!(r#"{{"name":"{name}"{more}}}"#).as_bytes()).unwrap(),
        };
        let workspace = Workspace {
            root: HostPath::new("/nowhere"),
            package_json: PackageJson::default(),
            package_manager: PackageManager::Npm,
            members: members.iter().map(member).collect(),
        };
        let fleet: BTreeSet<WorkspacePath> = workspace.fleet(|_| false).into_values().collect();
        let table = [
            ("a service in a directory of that name, not the library called so", "pds", Ok("services/pds")),
            ("its name", "pds-service", Ok("services/pds")),
            ("a library by its package", "@a/pds", Ok("packages/pds")),
            ("a library by its directory", "packages/pds/", Ok("packages/pds")),
            ("a library that nothing else is called like", "lib", Ok("packages/lib")),
            ("two services", "web", Err("`web` could be either of two members: `apps/web` and `services/web`")),
            ("one of them", "services-web", Ok("services/web")),
            ("by package", "@a/web", Ok("apps/web")),
            ("two libraries", "db", Err("`db` could be either of two members: `packages/db` and `other/db`")),
            ("nothing", "wbe", Err("the workspace has no member `wbe`")),
        ];
        for (comment, wanted, expected) in table {
            let found = find(&workspace, &fleet, wanted).map(|dir| dir.to_string()).map_err(|error| error.to_string());
            assert_eq!(found.as_deref().map_err(String::as_str), expected, "{comment}");
        }
    }
}
