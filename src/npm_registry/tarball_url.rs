//! From a locked package to the places where its tarball may lie.
//!
//! Sources: npm's `@npmcli/arborist` (`replace-registry-host`); pnpm's `get-npm-tarball-url` for addresses that no
//! lockfile states.

use url::Url;

use super::settings::{NpmSettings, PUBLIC_HOSTS, PUBLIC_REGISTRY, ReplacedHost};
use super::{Mirror, NpmRegistryError};
use crate::http::redacted;
use crate::path::HostPath;
use crate::workspace::lockfiles::{LockedPackage, Source};

/// Where a tarball is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// At one address.
    Url(Url),
    /// In a directory, under one of these names.
    Directory(HostPath, Vec<String>),
}

impl Location {
    /// As it may be shown.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::Url(url) => redacted(url),
            Self::Directory(directory, _) => directory.to_string(),
        }
    }
}

/// Where the tarball of `package` lies, whose workspace is `project`.
pub(super) fn locate(
    package: &LockedPackage,
    settings: &NpmSettings,
    mirror: Option<&Mirror>,
    project: Option<&HostPath>,
) -> Result<Location, NpmRegistryError> {
    if let (Source::File(path), Some(project)) = (&package.source, project) {
        let dir = path.as_path().parent().map_or(project.clone(), |dir| project.join(dir));
        return Ok(Location::Directory(dir, vec![path.name()]));
    }
    let stated = stated_address(package)?;
    match mirror {
        Some(Mirror::Directory(directory)) => {
            Ok(Location::Directory(directory.clone(), FileName::of(package)?.in_mirror()))
        }
        Some(Mirror::Registry(registry)) => Ok(Location::Url(FileName::of(package)?.below(registry)?)),
        None => tarball_url(package, stated, settings).map(Location::Url),
    }
}

/// The address that the lockfile states, if it states one; an error for what no registry has.
fn stated_address(package: &LockedPackage) -> Result<Option<&str>, NpmRegistryError> {
    let origin = match &package.source {
        _ if package.bundled => "comes inside another package's tarball".to_owned(),
        Source::Registry { tarball } => return Ok(tarball.as_deref()),
        Source::Tarball { url } => return Ok(Some(url)),
        Source::Git { .. } => "comes from a git repository".to_owned(),
        Source::Directory(path) | Source::File(path) | Source::Link(path) => {
            format!("lies in the workspace, at `{path}`")
        }
        Source::Outside(_) => "lies outside of the workspace".to_owned(),
        Source::Unknown(_) => "comes from a place that only its package manager knows".to_owned(),
    };
    Err(NpmRegistryError::NoTarball { package: package.label(), origin })
}

fn tarball_url(package: &LockedPackage, stated: Option<&str>, settings: &NpmSettings) -> Result<Url, NpmRegistryError> {
    let configured = settings.configured_registry(&package.name);
    let Some(stated) = stated else {
        let public = public()?;
        return FileName::of(package)?.below(configured.unwrap_or(&public));
    };
    let url = Url::parse(stated).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let url = url.ok_or_else(|| NpmRegistryError::NoTarball {
        package: package.label(),
        origin: "has an address that is none of the web".to_owned(),
    })?;
    let host = url.host_str().unwrap_or_default();
    let gives_way = match settings.replaced_host.as_ref().unwrap_or(&ReplacedHost::Public) {
        _ if matches!(package.source, Source::Tarball { .. }) => false,
        ReplacedHost::Public => PUBLIC_HOSTS.contains(&host),
        ReplacedHost::Never => false,
        ReplacedHost::Always => true,
        ReplacedHost::Host(replaced) => replaced == host,
    };
    match configured {
        Some(registry) if gives_way => Ok(moved(&url, registry, &package.name)),
        // Yarn 1 shows npm's token to its own name of the public registry. Tokens are for one host: go there.
        None if gives_way && settings.credentials(&public()?).is_some() => Ok(moved(&url, &public()?, &package.name)),
        _ => Ok(url),
    }
}

fn public() -> Result<Url, NpmRegistryError> {
    Url::parse(PUBLIC_REGISTRY).map_err(|error| NpmRegistryError::Setup(error.to_string()))
}

/// The address below another registry: what follows the old registry's own path is kept.
fn moved(url: &Url, registry: &Url, name: &str) -> Url {
    let path = url.path();
    let own = path.find(&format!("/{name}/-/")).map_or(path, |start| &path[start..]);
    let mut moved = registry.clone();
    moved.set_path(&format!("{}{own}", registry.path().trim_end_matches('/')));
    moved.set_query(url.query());
    moved
}

/// A package's name and version, fit for addresses and files.
struct FileName<'a> {
    /// With its `@`.
    scope: Option<&'a str>,
    base: &'a str,
    /// Without build metadata, which no registry has in its addresses.
    version: &'a str,
}

impl<'a> FileName<'a> {
    fn of(package: &'a LockedPackage) -> Result<Self, NpmRegistryError> {
        let wrong = || NpmRegistryError::Name { package: package.label() };
        let (scope, base) = match package.name.split_once('/') {
            Some((scope, base)) if scope.len() > 1 && scope.starts_with('@') => (Some(scope), base),
            Some(_) => return Err(wrong()),
            None => (None, package.name.as_str()),
        };
        let version = package.version.as_deref().ok_or_else(wrong)?;
        let version = version.split('+').next().unwrap_or(version);
        // Old packages have capitals and more, but no part of a name leads anywhere else.
        let is_name = |part: &str| {
            !part.is_empty()
                && !matches!(part, "." | "..")
                && !part.contains(|c: char| matches!(c, '/' | '\\' | '%' | '?' | '#') || c.is_control())
        };
        match scope.is_none_or(is_name) && is_name(base) && is_name(version) {
            true => Ok(Self { scope, base, version }),
            false => Err(wrong()),
        }
    }

    /// `REGISTRY/[@SCOPE/]BASE/-/BASE-VERSION.tgz`
    fn below(&self, registry: &Url) -> Result<Url, NpmRegistryError> {
        let mut url = registry.clone();
        let Self { scope, base, version } = self;
        url.path_segments_mut()
            .map_err(|()| NpmRegistryError::Address { place: (*base).to_owned() })?
            .pop_if_empty()
            .extend(scope.iter().copied().chain([*base, "-", &format!("{base}-{version}.tgz")]));
        Ok(url)
    }

    /// The names under which a directory may have it.
    fn in_mirror(&self) -> Vec<String> {
        let Self { scope, base, version } = self;
        match scope {
            None => vec![format!("{base}-{version}.tgz")],
            Some(scope) => vec![
                format!("{scope}/{base}-{version}.tgz"),
                // As `npm pack` calls it.
                format!("{}-{base}-{version}.tgz", &scope[1..]),
            ],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::npm_registry::settings::Origin;
    use crate::npm_registry::{Variables, npmrc};
    use crate::workspace::WorkspacePath;

    /// A package as a yarn 1 lockfile has it, with another source.
    fn package(name: &str, version: &str, source: Source) -> LockedPackage {
        LockedPackage {
            name: name.into(),
            version: Some(version.into()),
            source,
            checksum: None,
            limits: None,
            bins: None,
            has_install_script: None,
            bundled: false,
            dependencies: Default::default(),
            peers: Default::default(),
            places: Vec::new(),
            patches: Vec::new(),
        }
    }

    fn settings(npmrc: &str) -> NpmSettings {
        let (path, variables) = (HostPath::new("/p/.npmrc"), Variables::new());
        let origin = Origin { path: &path, home: None, variables: &variables };
        NpmSettings::from_entries(npmrc::parse(npmrc), &origin).unwrap()
    }

    fn url(npmrc: &str, package: &LockedPackage) -> String {
        match locate(package, &settings(npmrc), None, None) {
            Ok(Location::Url(url)) => url.into(),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn without_an_address() {
        let table = [
            ("public", "", "a", "1.0.0", "https://registry.npmjs.org/a/-/a-1.0.0.tgz"),
            ("scoped", "", "@s/a", "1.0.0", "https://registry.npmjs.org/@s/a/-/a-1.0.0.tgz"),
            ("build metadata", "", "a", "1.0.0-rc.1+b", "https://registry.npmjs.org/a/-/a-1.0.0-rc.1.tgz"),
            ("configured", "registry=https://h/npm", "a", "1.0.0", "https://h/npm/a/-/a-1.0.0.tgz"),
            (
                "its scope",
                "registry=https://h/\n@s:registry=https://s/",
                "@s/a",
                "1.0.0",
                "https://s/@s/a/-/a-1.0.0.tgz",
            ),
            (
                "another scope",
                "@s:registry=https://s/",
                "@t/a",
                "1.0.0",
                "https://registry.npmjs.org/@t/a/-/a-1.0.0.tgz",
            ),
            ("odd characters", "", "a b", "1.0.0", "https://registry.npmjs.org/a%20b/-/a%20b-1.0.0.tgz"),
        ];
        for (comment, npmrc, name, version, expected) in table {
            assert_eq!(url(npmrc, &package(name, version, Source::Registry { tarball: None })), expected, "{comment}");
        }
    }

    #[test]
    fn with_an_address() {
        let npm = "https://registry.npmjs.org/a/-/a-1.0.0.tgz";
        let yarn = "https://registry.yarnpkg.com/a/-/a-1.0.0.tgz";
        let own = "https://own.example/repository/npm/a/-/a-1.0.0.tgz";
        let table = [
            ("as it is", "", npm, npm),
            ("yarn's name of it", "", yarn, yarn),
            ("yarn's name and npm's token", "//registry.npmjs.org/:_authToken=t", yarn, npm),
            ("npm's gives way", "registry=https://h/npm/", npm, "https://h/npm/a/-/a-1.0.0.tgz"),
            ("yarn's gives way", "registry=https://h/npm/", yarn, "https://h/npm/a/-/a-1.0.0.tgz"),
            ("another stays", "registry=https://h/npm/", own, own),
            ("never", "registry=https://h/\nreplace-registry-host=never", npm, npm),
            ("always", "registry=https://h/x\nreplace-registry-host=always", own, "https://h/x/a/-/a-1.0.0.tgz"),
            ("one host", "registry=https://h/\nreplace-registry-host=own.example", own, "https://h/a/-/a-1.0.0.tgz"),
            ("one host and no other", "registry=https://h/\nreplace-registry-host=own.example", npm, npm),
        ];
        for (comment, npmrc, stated, expected) in table {
            let source = Source::Registry { tarball: Some(stated.into()) };
            assert_eq!(url(npmrc, &package("a", "1.0.0", source)), expected, "{comment}");
        }
        let tarball = Source::Tarball { url: npm.into() };
        assert_eq!(url("registry=https://h/", &package("a", "1.0.0", tarball)), npm, "asked for by its address");
    }

    #[test]
    fn mirrors() {
        let find = |name: &str, mirror: &str| {
            let package = package(name, "1.0.0", Source::Registry { tarball: Some("https://h/x/-/x.tgz".into()) });
            locate(&package, &NpmSettings::default(), Some(&Mirror::parse(mirror, &HostPath::new("")).unwrap()), None)
                .unwrap()
        };
        let directory = HostPath::new("/m");
        assert_eq!(find("a", "/m"), Location::Directory(directory.clone(), vec!["a-1.0.0.tgz".into()]));
        assert_eq!(
            find("@s/a", "/m"),
            Location::Directory(directory, vec!["@s/a-1.0.0.tgz".into(), "s-a-1.0.0.tgz".into()])
        );
        assert_eq!(find("@s/a", "http://m/n"), Location::Url("http://m/n/@s/a/-/a-1.0.0.tgz".parse().unwrap()));
    }

    #[test]
    fn what_has_no_tarball_or_no_name() {
        let registry = || Source::Registry { tarball: None };
        let git = Source::Git { repository: "https://h/r.git".into(), commit: None, directory: None };
        let table = [
            ("a", git, "a package has no tarball to fetch, since it comes from a git repository: `a@1`"),
            (
                "a",
                Source::File(WorkspacePath::new("a.tgz").unwrap()),
                "a package has no tarball to fetch, since it lies in the workspace, at `a.tgz`: `a@1`",
            ),
            ("../a", registry(), "not a package's name and version: `../a@1`"),
            ("@s/../a", registry(), "not a package's name and version: `@s/../a@1`"),
            ("..", registry(), "not a package's name and version: `..@1`"),
            ("@../a", registry(), "https://registry.npmjs.org/@../a/-/a-1.tgz"),
            ("", registry(), "not a package's name and version: `@1`"),
        ];
        for (name, source, expected) in table {
            let said = match locate(&package(name, "1", source), &NpmSettings::default(), None, None) {
                Ok(Location::Url(url)) => url.to_string(),
                Ok(other) => format!("{other:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(said, expected, "{name}");
        }
    }
}
