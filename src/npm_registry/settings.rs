//! What the files of npm, pnpm, yarn and bun say of registries, in one form.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use url::Url;

use super::credentials::{Credentials, Keyring, Place};
use super::variables::{Variables, expand};
use super::{NpmRegistryError, npmrc, yarnrc};
use crate::host;
use crate::http::Secret;
use crate::http::{is_loopback, redacted, same_origin};
use crate::path::HostPath;
use crate::workspace::PackageManager;

/// The public registry; yarn's name leads to the same packages.
pub(super) const PUBLIC_REGISTRY: &str = "https://registry.npmjs.org/";
/// The hosts under which the public registry is known.
pub(super) const PUBLIC_HOSTS: [&str; 2] = ["registry.npmjs.org", "registry.yarnpkg.com"];

/// Which hosts of a lockfile's addresses give way to the configured registry (npm's `replace-registry-host`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ReplacedHost {
    /// Those of the public registry.
    #[default]
    Public,
    /// None.
    Never,
    /// All.
    Always,
    /// This one.
    Host(String),
}

/// Registries, credentials and the way to them, as the project's and the user's files state them.
#[derive(Clone, Default)]
pub struct NpmSettings {
    pub(super) registry: Option<Url>,
    /// By scope, with its `@`.
    pub(super) scopes: BTreeMap<String, Url>,
    pub(super) keyring: Keyring,
    /// PEM files' bytes.
    pub(super) authorities: Vec<Vec<u8>>,
    pub(super) http_proxy: Option<Secret>,
    pub(super) https_proxy: Option<Secret>,
    pub(super) no_proxy: Option<String>,
    pub(super) replaced_host: Option<ReplacedHost>,
    pub(super) warnings: Vec<String>,
}

/// Where a setting stands and what it may name.
pub(super) struct Origin<'a> {
    pub(super) path: &'a HostPath,
    pub(super) home: Option<&'a HostPath>,
    pub(super) variables: &'a Variables,
}

impl NpmSettings {
    /// Reads the files that this package manager reads: the project's before the user's, and before both what the
    /// environment says.
    pub fn read(
        manager: PackageManager,
        project: &HostPath,
        home: Option<&HostPath>,
        variables: &Variables,
    ) -> Result<Self, NpmRegistryError> {
        if manager == PackageManager::YarnBerry {
            return yarnrc::read_berry(project, home, variables);
        }
        let mut settings = Self::default();
        for (name, value) in variables {
            let key = name.strip_prefix("npm_config_").or_else(|| name.strip_prefix("NPM_CONFIG_"));
            if key.is_some_and(|key| key.eq_ignore_ascii_case("registry")) && !value.is_empty() {
                settings.registry = Some(settings.address(value, name)?);
            }
        }
        let user = |name: &str| home.map(|home| home.join(name));
        if manager == PackageManager::YarnClassic {
            for path in [Some(project.join(".yarnrc")), user(".yarnrc")].into_iter().flatten() {
                settings.read_file(&path, home, variables, yarnrc::parse_classic)?;
            }
        }
        let named = ["npm_config_userconfig", "NPM_CONFIG_USERCONFIG"].iter().find_map(|name| variables.get(*name));
        let user = named.map(HostPath::new).or_else(|| user(".npmrc"));
        for path in [Some(project.join(".npmrc")), user].into_iter().flatten() {
            settings.read_file(&path, home, variables, npmrc::parse)?;
        }
        Ok(settings)
    }

    fn read_file(
        &mut self,
        path: &HostPath,
        home: Option<&HostPath>,
        variables: &Variables,
        parse: impl Fn(&str) -> Vec<(String, String)>,
    ) -> Result<(), NpmRegistryError> {
        let Some(bytes) = host::read_if_present(path)? else { return Ok(()) };
        let origin = Origin { path, home, variables };
        self.fill_from(Self::from_entries(parse(&String::from_utf8_lossy(&bytes)), &origin)?);
        Ok(())
    }

    /// The settings that one file's keys and values make. What is not about registries is passed over.
    pub(super) fn from_entries(
        entries: impl IntoIterator<Item = (String, String)>,
        origin: &Origin<'_>,
    ) -> Result<Self, NpmRegistryError> {
        let mut settings = Self::default();
        for (key, value) in entries {
            settings.set(&key, &value, origin)?;
        }
        Ok(settings)
    }

    fn set(&mut self, key: &str, value: &str, origin: &Origin<'_>) -> Result<(), NpmRegistryError> {
        if key.starts_with("//") {
            // A machine that only reads has no token to publish with: that matters once a registry asks for one.
            if let Ok(key) = expand(key, origin.variables) {
                self.set_credential(&key, value, origin);
            }
            return Ok(());
        }
        let value = || {
            expand(value, origin.variables).map_err(|unset| NpmRegistryError::UnsetVariable {
                name: unset.0,
                key: key.to_owned(),
                path: origin.path.clone(),
            })
        };
        match key {
            "registry" => self.registry = Some(self.address(&value()?, &format!("{key}` in `{}", origin.path))?),
            "cafile" => self.authorities.push(host::read(&origin.file(&value()?))?),
            "ca" | "ca[]" => {
                let pem = value()?.replace("\\n", "\n");
                self.authorities.extend((!matches!(pem.as_str(), "" | "null")).then(|| pem.into_bytes()));
            }
            "proxy" | "http-proxy" => self.http_proxy = proxy(&value()?),
            "https-proxy" => self.https_proxy = proxy(&value()?),
            "noproxy" | "no-proxy" => self.no_proxy = Some(value()?),
            "strict-ssl" if value()? == "false" => {
                self.warn(origin, "`strict-ssl=false` is not obeyed: name the registry's own CA with `cafile` instead")
            }
            "replace-registry-host" => {
                self.replaced_host = Some(match value()?.as_str() {
                    "npmjs" => ReplacedHost::Public,
                    "never" => ReplacedHost::Never,
                    "always" => ReplacedHost::Always,
                    host => ReplacedHost::Host(host.to_ascii_lowercase()),
                });
            }
            "_auth" | "_authToken" | "_password" => self.warn(
                origin,
                &format!("`{key}` is not obeyed, for it does not say for which registry: write `//HOST/:{key}`"),
            ),
            _ => {
                if let Some(scope) = key.strip_suffix(":registry").filter(|scope| scope.starts_with('@')) {
                    let address = self.address(&value()?, &format!("{key}` in `{}", origin.path))?;
                    self.scopes.insert(scope.to_owned(), address);
                }
            }
        }
        Ok(())
    }

    fn set_credential(&mut self, key: &str, value: &str, origin: &Origin<'_>) {
        let Some((place, name)) = key.rsplit_once(':') else { return };
        let Some(place) = Place::parse(place) else { return };
        if !matches!(name, "_authToken" | "_auth" | "username" | "_password") {
            return;
        }
        let credentials = self.keyring.entry(place);
        let value = match expand(value, origin.variables) {
            Ok(value) => value,
            Err(unset) => {
                credentials.unset = Some(unset.0);
                return;
            }
        };
        match name {
            "_authToken" => credentials.token = Some(Secret::new(value)),
            "_auth" => credentials.basic = Some(Secret::new(value)),
            "username" => credentials.user = Some(value),
            _ => {
                // npm keeps it in Base64.
                let decoded = STANDARD.decode(&value).ok().and_then(|bytes| String::from_utf8(bytes).ok());
                credentials.password = Some(Secret::new(decoded.unwrap_or(value)));
            }
        }
    }

    fn warn(&mut self, origin: &Origin<'_>, text: &str) {
        self.warnings.push(format!("{text}: `{}`", origin.path));
    }

    /// Reads a registry's address. A user and password in it become credentials. `place` says where it stands.
    pub(super) fn address(&mut self, text: &str, place: &str) -> Result<Url, NpmRegistryError> {
        let wrong = || NpmRegistryError::Address { place: place.to_owned() };
        let mut url = Url::parse(text.trim()).map_err(|_| wrong())?;
        if !matches!(url.scheme(), "http" | "https") || url.host_str().is_none() {
            return Err(wrong());
        }
        if let (user, Some(password)) = (url.username(), url.password())
            && let Some(place) = Place::of(&url)
        {
            let decoded = |text: &str| percent_decoded(text);
            *self.keyring.entry(place) = Credentials {
                user: Some(decoded(user)),
                password: Some(Secret::new(decoded(password))),
                ..Credentials::default()
            };
        }
        let _ = url.set_username("");
        let _ = url.set_password(None);
        url.set_query(None);
        url.set_fragment(None);
        if !url.path().ends_with('/') {
            let path = format!("{}/", url.path());
            url.set_path(&path);
        }
        Ok(url)
    }

    /// Adds what `other` says and these settings leave open.
    pub(super) fn fill_from(&mut self, other: Self) {
        self.registry = self.registry.take().or(other.registry);
        for (scope, url) in other.scopes {
            self.scopes.entry(scope).or_insert(url);
        }
        self.keyring.fill_from(other.keyring);
        if self.authorities.is_empty() {
            self.authorities = other.authorities;
        }
        self.http_proxy = self.http_proxy.take().or(other.http_proxy);
        self.https_proxy = self.https_proxy.take().or(other.https_proxy);
        self.no_proxy = self.no_proxy.take().or(other.no_proxy);
        self.replaced_host = self.replaced_host.take().or(other.replaced_host);
        self.warnings.extend(other.warnings);
    }

    /// What the user should know of these settings: a sentence each.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// The registry that is configured for a package; `None` for the public one.
    pub(super) fn configured_registry(&self, name: &str) -> Option<&Url> {
        let scope = name.split_once('/').map(|(scope, _)| scope).filter(|scope| scope.starts_with('@'));
        scope.and_then(|scope| self.scopes.get(scope)).or(self.registry.as_ref())
    }

    /// The credentials for a request. Over plain HTTP they go only to this machine and to registries that are
    /// configured so.
    pub(super) fn credentials(&self, url: &Url) -> Option<&Credentials> {
        let registries = self.registry.iter().chain(self.scopes.values());
        let is_safe = url.scheme() == "https" || is_loopback(url);
        let may = is_safe || registries.into_iter().any(|registry| same_origin(registry, url));
        may.then(|| self.keyring.for_url(url)).flatten()
    }
}

impl fmt::Debug for NpmSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scopes: BTreeMap<_, _> = self.scopes.iter().map(|(scope, url)| (scope, redacted(url))).collect();
        let registry = self.registry.as_ref().map(redacted);
        f.debug_struct("NpmSettings").field("registry", &registry).field("scopes", &scopes).finish_non_exhaustive()
    }
}

impl Origin<'_> {
    /// The file that a setting names: `~/` is the user's directory, and what is relative lies beside the settings.
    pub(super) fn file(&self, name: &str) -> HostPath {
        match (name.strip_prefix("~/"), self.home, self.path.parent()) {
            (Some(below), Some(home), _) => home.join(below),
            (_, _, Some(beside)) => beside.join(name),
            _ => HostPath::new(name),
        }
    }
}

fn proxy(value: &str) -> Option<Secret> {
    (!matches!(value, "" | "null" | "false")).then(|| Secret::new(value))
}

/// The text of a part of a URL.
fn percent_decoded(text: &str) -> String {
    let pairs = format!("a={}", text.replace('+', "%2B"));
    url::form_urlencoded::parse(pairs.as_bytes()).next().map_or_else(String::new, |(_, value)| value.into_owned())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn authorization(settings: &NpmSettings, url: &str) -> Option<String> {
        let header = settings.credentials(&url.parse().unwrap())?.header()?;
        Some(header.to_str().unwrap().to_owned())
    }

    #[test]
    fn the_environment_comes_before_the_project_and_that_before_the_user() {
        let dir = tempfile::tempdir().unwrap();
        let (project, home) = (HostPath::new(dir.path().join("project")), HostPath::new(dir.path().join("home")));
        [&project, &home].iter().for_each(|dir| fs::create_dir_all(dir).unwrap());
        fs::write(home.join(".npmrc"), "registry=https://user.example\n//h.example/:_authToken=${TOKEN}\nnoproxy=a\n")
            .unwrap();
        fs::write(home.join(".yarnrc"), "registry \"https://yarn.example/npm\"\n").unwrap();
        let read = |manager, variables: &[(&str, &str)]| {
            let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
            NpmSettings::read(manager, &project, Some(&home), &variables).unwrap()
        };
        let registry = |settings: &NpmSettings| settings.registry.as_ref().map(Url::to_string).unwrap_or_default();
        let npm = read(PackageManager::Npm, &[("TOKEN", "t")]);
        assert_eq!(registry(&npm), "https://user.example/");
        assert_eq!(authorization(&npm, "https://h.example/a").as_deref(), Some("Bearer t"));
        assert_eq!(registry(&read(PackageManager::YarnClassic, &[])), "https://yarn.example/npm/");
        fs::write(project.join(".npmrc"), "registry=https://project.example/\n").unwrap();
        let npm = read(PackageManager::Npm, &[]);
        assert_eq!(registry(&npm), "https://project.example/");
        assert_eq!(npm.no_proxy.as_deref(), Some("a"));
        assert_eq!(authorization(&npm, "https://h.example/a"), None, "the variable is not set, which is no error");
        let npm = read(PackageManager::Npm, &[("npm_config_registry", "https://env.example/")]);
        assert_eq!(registry(&npm), "https://env.example/");
        let elsewhere = dir.path().join("npmrc");
        fs::write(&elsewhere, "//h.example/:_authToken=ci\n").unwrap();
        let npm = read(PackageManager::Npm, &[("NPM_CONFIG_USERCONFIG", elsewhere.to_str().unwrap())]);
        assert_eq!(authorization(&npm, "https://h.example/a").as_deref(), Some("Bearer ci"));
    }

    fn settings(text: &str) -> Result<NpmSettings, NpmRegistryError> {
        let (path, variables) = (HostPath::new("/p/.npmrc"), Variables::new());
        NpmSettings::from_entries(npmrc::parse(text), &Origin { path: &path, home: None, variables: &variables })
    }

    #[test]
    fn every_kind_of_credentials() {
        let table = [
            ("//h.example/:_auth=dTpw", Some("Basic dTpw")),
            ("//h.example/:username=u\n//h.example/:_password=cA==", Some("Basic dTpw")),
            ("registry=https://u:p@h.example", Some("Basic dTpw")),
            ("registry=https://u%40x:p@h.example", Some("Basic dUB4OnA=")),
            ("//h.example/:email=a@b", None),
            ("_authToken=t", None),
        ];
        for (text, expected) in table {
            let settings = settings(text).unwrap();
            assert_eq!(authorization(&settings, "https://h.example/a/-/a-1.tgz").as_deref(), expected, "{text}");
        }
    }

    #[test]
    fn plain_http_shows_no_credentials_unless_it_is_configured() {
        let url = "http://h.example/a/-/a-1.tgz";
        assert_eq!(authorization(&settings("//h.example/:_authToken=t").unwrap(), url), None);
        let configured = settings("//h.example/:_authToken=t\nregistry=http://h.example/").unwrap();
        assert_eq!(authorization(&configured, url).as_deref(), Some("Bearer t"));
        let here = settings("//localhost:4873/:_authToken=t").unwrap();
        assert_eq!(authorization(&here, "http://localhost:4873/a").as_deref(), Some("Bearer t"));
    }

    #[test]
    fn what_is_wrong_is_said_and_what_is_secret_is_not() {
        let table = [
            ("registry=${NOT_SET}", "the variable `NOT_SET` is not set, which `registry` names: `/p/.npmrc`"),
            ("registry=https:/u:secret@", "not the address of a registry (`https://HOST/`): `registry` in `/p/.npmrc`"),
            ("@a:registry=ftp://h/", "not the address of a registry (`https://HOST/`): `@a:registry` in `/p/.npmrc`"),
        ];
        for (text, expected) in table {
            let said = settings(text).err().map(|error| error.to_string()).unwrap_or_default();
            assert_eq!(said, expected, "{text}");
        }
        let warned = settings("strict-ssl=false\n_authToken=secret").unwrap();
        assert_eq!(warned.warnings().len(), 2);
        assert!(!format!("{warned:?}{:?}", warned.warnings()).contains("secret"));
        assert!(settings("cafile=/nowhere/ca.pem").is_err());
    }
}
