//! `.yarnrc.yml` of yarn 2 and later, and `.yarnrc` of yarn 1.
//!
//! Sources: yarn's `plugin-npm` (`npmConfigUtils.ts`, `npmHttpUtils.ts`) and its configuration reference; yarn 1's
//! `src/lockfile/parse.js`, which reads its settings too.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::NpmRegistryError;
use super::credentials::{Credentials, Place};
use super::settings::{NpmSettings, Origin, PUBLIC_REGISTRY};
use super::variables::{Variables, expand};
use crate::host;
use crate::http::Secret;
use crate::path::HostPath;

/// The keys and values of yarn 1's `.yarnrc`: two words to a line, in quotes where they need them.
pub(super) fn parse_classic(text: &str) -> Vec<(String, String)> {
    let lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| word(line).and_then(|(key, rest)| Some((key, word(rest)?.0)))).collect()
}

/// The first word, without its quotes, and what follows it.
fn word(text: &str) -> Option<(String, &str)> {
    let text = text.trim_start();
    if !text.starts_with('"') {
        let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
        return (!word.is_empty()).then(|| (word.to_owned(), rest));
    }
    let mut words = serde_json::Deserializer::from_str(text).into_iter::<String>();
    let word = words.next()?.ok()?;
    Some((word, &text[words.byte_offset()..]))
}

/// What `.yarnrc.yml` says of registries. Yarn has more settings, which are none of our business.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Document {
    #[serde(flatten)]
    registry: Registry,
    npm_scopes: BTreeMap<String, Registry>,
    npm_registries: BTreeMap<String, Registry>,
    https_ca_file_path: Option<String>,
    http_proxy: Option<String>,
    https_proxy: Option<String>,
    enable_strict_ssl: Option<bool>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Registry {
    npm_registry_server: Option<String>,
    npm_auth_token: Option<String>,
    npm_auth_ident: Option<String>,
    npm_always_auth: Option<bool>,
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").finish_non_exhaustive()
    }
}

/// Reads the project's and the user's `.yarnrc.yml`, the environment's `YARN_NPM_…` before both.
pub(super) fn read_berry(
    project: &HostPath,
    home: Option<&HostPath>,
    variables: &Variables,
) -> Result<NpmSettings, NpmRegistryError> {
    let get = |name: &str| variables.get(name).filter(|value| !value.is_empty()).cloned();
    let registry = Registry {
        npm_registry_server: get("YARN_NPM_REGISTRY_SERVER"),
        npm_auth_token: get("YARN_NPM_AUTH_TOKEN"),
        npm_auth_ident: get("YARN_NPM_AUTH_IDENT"),
        npm_always_auth: get("YARN_NPM_ALWAYS_AUTH").map(|value| matches!(value.as_str(), "true" | "1")),
    };
    let mut settings = NpmSettings::default();
    // The address of the registry may stand in one file and its token in another.
    let mut default = Registry::default();
    let environment = HostPath::new("YARN_NPM_REGISTRY_SERVER");
    let mut files = vec![(environment, Document { registry, ..Document::default() })];
    for dir in [Some(project), home].into_iter().flatten() {
        let path = dir.join(".yarnrc.yml");
        if let Some(bytes) = host::read_if_present(&path)? {
            files.push((path.clone(), parse_berry(&bytes, &path)?));
        }
    }
    for (path, document) in files {
        let origin = Origin { path: &path, home, variables };
        default.fill_from(&document.registry);
        let mut found = NpmSettings::default();
        found.take(document, &origin)?;
        settings.fill_from(found);
    }
    let path = project.join(".yarnrc.yml");
    let origin = Origin { path: &path, home, variables };
    let server = default.npm_registry_server.clone();
    let server = server.map(|server| settings.registry_address(&server, "npmRegistryServer", &origin)).transpose()?;
    let place = server.as_ref().and_then(Place::of).or_else(|| Place::parse(PUBLIC_REGISTRY));
    settings.registry = server;
    settings.add_credentials(place, &default, !default.npm_always_auth.unwrap_or(false), variables);
    Ok(settings)
}

fn parse_berry(bytes: &[u8], path: &HostPath) -> Result<Document, NpmRegistryError> {
    let document: Option<Document> = serde_saphyr::from_slice(bytes).map_err(|error| {
        // A snippet could show a token.
        NpmRegistryError::Settings { path: path.clone(), reason: error.without_snippet().to_string() }
    })?;
    Ok(document.unwrap_or_default())
}

impl Registry {
    fn fill_from(&mut self, other: &Self) {
        let fill = |mine: &mut Option<String>, theirs: &Option<String>| {
            *mine = mine.take().or_else(|| theirs.clone());
        };
        fill(&mut self.npm_registry_server, &other.npm_registry_server);
        fill(&mut self.npm_auth_token, &other.npm_auth_token);
        fill(&mut self.npm_auth_ident, &other.npm_auth_ident);
        self.npm_always_auth = self.npm_always_auth.or(other.npm_always_auth);
    }
}

impl NpmSettings {
    /// Takes what does not depend on the other file.
    fn take(&mut self, document: Document, origin: &Origin<'_>) -> Result<(), NpmRegistryError> {
        for (scope, registry) in &document.npm_scopes {
            let server = registry.npm_registry_server.as_deref();
            let server = server.map(|server| self.registry_address(server, "npmRegistryServer", origin)).transpose()?;
            let place = server.as_ref().and_then(Place::of).or_else(|| Place::parse(PUBLIC_REGISTRY));
            self.add_credentials(place, registry, false, origin.variables);
            if let Some(server) = server {
                self.scopes.insert(format!("@{}", scope.trim_start_matches('@')), server);
            }
        }
        for (address, registry) in &document.npm_registries {
            let on_demand = !registry.npm_always_auth.unwrap_or(false);
            self.add_credentials(Place::parse(address), registry, on_demand, origin.variables);
        }
        let entries = [
            ("cafile", document.https_ca_file_path),
            ("proxy", document.http_proxy),
            ("https-proxy", document.https_proxy),
        ];
        let entries = entries.into_iter().filter_map(|(key, value)| Some((key.to_owned(), value?)));
        self.fill_from(Self::from_entries(entries, origin)?);
        if document.enable_strict_ssl == Some(false) {
            let text =
                "`enableStrictSsl: false` is not obeyed: name the registry's own CA with `httpsCaFilePath` instead";
            self.warnings.push(format!("{text}: `{}`", origin.path));
        }
        Ok(())
    }

    fn registry_address(&mut self, text: &str, key: &str, origin: &Origin<'_>) -> Result<url::Url, NpmRegistryError> {
        let text = expand(text, origin.variables).map_err(|unset| NpmRegistryError::UnsetVariable {
            name: unset.0,
            key: key.to_owned(),
            path: origin.path.clone(),
        })?;
        self.address(&text, &format!("{key}` in `{}", origin.path))
    }

    fn add_credentials(&mut self, place: Option<Place>, from: &Registry, on_demand: bool, variables: &Variables) {
        let Some(place) = place else { return };
        let mut added = Credentials { on_demand, ..Credentials::default() };
        let mut text = |text: &Option<String>| match expand(text.as_ref()?, variables) {
            Ok(text) => Some(text).filter(|text| !text.is_empty()),
            Err(unset) => {
                added.unset = Some(unset.0);
                None
            }
        };
        let (token, ident) = (text(&from.npm_auth_token), text(&from.npm_auth_ident));
        added.token = token.map(Secret::new);
        // `USER:PASSWORD`, or that in Base64.
        added.basic = ident.map(|ident| Secret::new(if ident.contains(':') { STANDARD.encode(ident) } else { ident }));
        let says_something = added.token.is_some() || added.basic.is_some() || added.unset.is_some();
        let credentials = self.keyring.entry(place);
        if says_something && *credentials == Credentials::default() {
            *credentials = added;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace::PackageManager;

    #[test]
    fn classic() {
        let text = "# comment\nregistry \"https://h/\"\n\"@a:registry\" \"https://a/\"\nstrict-ssl false\nalone\n\n\"b";
        let expected = [("registry", "https://h/"), ("@a:registry", "https://a/"), ("strict-ssl", "false")];
        assert_eq!(parse_classic(text), expected.map(|(key, value)| (key.to_owned(), value.to_owned())));
    }

    fn read(project: &str, home: &str, variables: &[(&str, &str)]) -> Result<NpmSettings, NpmRegistryError> {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("project", project), ("home", home)] {
            fs::create_dir(dir.path().join(name)).unwrap();
            fs::write(dir.path().join(name).join(".yarnrc.yml"), text).unwrap();
        }
        let variables = variables.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
        let [project, home] = ["project", "home"].map(|name| HostPath::new(dir.path().join(name)));
        NpmSettings::read(PackageManager::YarnBerry, &project, Some(&home), &variables)
    }

    fn shown(settings: &NpmSettings, url: &str) -> Option<(String, bool)> {
        let credentials = settings.credentials(&url.parse().unwrap())?;
        Some((credentials.header()?.to_str().unwrap().to_owned(), credentials.on_demand))
    }

    #[test]
    fn berry() {
        let project = "nodeLinker: node-modules\nnpmRegistryServer: https://h.example/npm\nnpmScopes:\n  a:\n    \
                       npmRegistryServer: \"https://a.example\"\n    npmAuthToken: ${A_TOKEN:-t}\nhttpProxy: http://p:1\n\
                       npmRegistries:\n  //b.example/x:\n    npmAuthIdent: u:p\n    npmAlwaysAuth: true\n";
        let settings = read(project, "npmAuthToken: home\nnpmRegistryServer: https://other.example\n", &[]).unwrap();
        assert_eq!(settings.configured_registry("x").unwrap().as_str(), "https://h.example/npm/");
        assert_eq!(settings.configured_registry("@a/x").unwrap().as_str(), "https://a.example/");
        assert_eq!(settings.configured_registry("@b/x").unwrap().as_str(), "https://h.example/npm/");
        let table = [
            ("https://h.example/npm/x", Some(("Bearer home", true))),
            ("https://h.example/x", None),
            ("https://other.example/x", None),
            ("https://a.example/x", Some(("Bearer t", false))),
            ("https://b.example/x/y", Some(("Basic dTpw", false))),
        ];
        for (url, expected) in table {
            assert_eq!(shown(&settings, url), expected.map(|(text, on_demand)| (text.to_owned(), on_demand)), "{url}");
        }
        assert_eq!(settings.http_proxy.as_ref().map(Secret::reveal), Some("http://p:1"));
    }

    #[test]
    fn berry_from_the_environment_and_with_faults() {
        let variables = [("YARN_NPM_REGISTRY_SERVER", "https://env.example"), ("YARN_NPM_AUTH_TOKEN", "e")];
        let settings = read("npmRegistryServer: https://h.example\n", "", &variables).unwrap();
        assert_eq!(shown(&settings, "https://env.example/x"), Some(("Bearer e".into(), true)));
        let unset = read("npmAuthToken: ${NONE}\nenableStrictSsl: false\n", "", &[]).unwrap();
        let url = "https://registry.npmjs.org/x".parse().unwrap();
        assert_eq!(unset.credentials(&url).unwrap().unset.as_deref(), Some("NONE"));
        assert_eq!(unset.warnings().len(), 1);
        for text in ["npmRegistryServer: ${NONE}", "npmRegistryServer: h.example", "npmScopes: [secret"] {
            let error = read(text, "", &[]).unwrap_err().to_string();
            assert!(error.contains(".yarnrc.yml") && !error.contains("secret"), "{error}");
        }
    }
}
