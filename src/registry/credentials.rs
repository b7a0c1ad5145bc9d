//! Credentials, as `docker login` and `podman login` leave them: in a file, or with a helper program.
//!
//! Sources: Docker's `config.json` (`auths`, `credsStore`, `credHelpers`); `containers-auth.json(5)`;
//! the protocol of `docker-credential-helpers`.

pub(super) mod credential_file;
pub(super) mod given;
pub(super) mod helper;
pub(super) mod login;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use super::{RegistryHost, Repository};
use crate::http::Secret;
use helper::{Answers, Helper};

/// The files in which credentials are looked for. The caller finds them; this module reads no environment.
#[derive(Clone, Debug, Default)]
pub struct CredentialFiles {
    /// Docker's `config.json`.
    pub docker_config: Option<PathBuf>,
    /// podman's `auth.json`, or what `REGISTRY_AUTH_FILE` names. Comes before Docker's.
    pub auth_file: Option<PathBuf>,
}

/// What is shown to a registry or its token service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Credentials {
    /// A user and a password.
    Password { user: String, password: Secret },
    /// A refresh token for the token service (`identitytoken`).
    Identity(Secret),
    /// A token for the registry itself (`registrytoken`).
    Registry(Secret),
}

impl Credentials {
    pub(super) fn from_pair(user: &str, password: &str) -> Self {
        match user {
            "<token>" => Self::Identity(Secret::new(password)),
            _ => Self::Password { user: user.to_owned(), password: Secret::new(password) },
        }
    }
}

/// One of the files.
#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(super) struct ConfigFile {
    auths: BTreeMap<String, Entry>,
    creds_store: Option<String>,
    cred_helpers: BTreeMap<String, String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    auth: Option<String>,
    username: Option<String>,
    password: Option<String>,
    identitytoken: Option<String>,
    registrytoken: Option<String>,
}

impl CredentialFiles {
    /// The credentials for `repository`: `None` if there are none, and the reason in words if some are configured but
    /// cannot be had.
    pub(super) async fn lookup(
        &self,
        repository: &Repository,
        answers: &mut Answers,
    ) -> Result<Option<Credentials>, String> {
        for path in [&self.auth_file, &self.docker_config].into_iter().flatten() {
            let Some(config) = read(path).await? else { continue };
            if let Some(credentials) = config.lookup(repository, answers).await? {
                return Ok(Some(credentials));
            }
        }
        match repository.registry().cloud() {
            Some(cloud) => cloud.get(repository.registry(), answers).await,
            None => Ok(None),
        }
    }
}

pub(super) async fn read(path: &Path) -> Result<Option<ConfigFile>, String> {
    let bytes = match tokio::fs::read(path).await {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read the credentials ({error}): `{}`", path.display())),
    };
    match serde_json::from_slice(&bytes) {
        Ok(config) => Ok(Some(config)),
        // The JSON reader's own text could quote a secret: the place is enough.
        Err(error) => Err(format!("line {} is no credentials JSON: `{}`", error.line(), path.display())),
    }
}

impl ConfigFile {
    async fn lookup(&self, repository: &Repository, answers: &mut Answers) -> Result<Option<Credentials>, String> {
        let host = repository.registry();
        if let Some(name) = self.helper(host)
            && let Some(credentials) = answers.of(Helper::named(name)?, host).await?
        {
            return Ok(Some(credentials));
        }
        Ok(self.entry(repository).and_then(Entry::credentials))
    }

    /// The name of the helper that keeps a host's credentials.
    pub(super) fn helper(&self, host: &RegistryHost) -> Option<&str> {
        let own = self.cred_helpers.iter().find(|(key, _)| key_path(key) == host.as_str()).map(|(_, name)| name);
        own.or(self.creds_store.as_ref()).map(String::as_str).filter(|name| !name.is_empty())
    }

    /// The entry with the longest key that is the repository, a part of its path, or its host.
    fn entry(&self, repository: &Repository) -> Option<&Entry> {
        let wanted = repository.to_string();
        let covers = |key: &str| wanted.strip_prefix(key).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.auths
            .iter()
            .map(|(key, entry)| (key_path(key), entry))
            .filter(|(key, entry)| covers(key) && entry.credentials().is_some())
            .max_by_key(|(key, _)| key.len())
            .map(|(_, entry)| entry)
    }
}

/// A key of `auths` as a prefix of repository names: old keys are URLs, with a scheme and a path that mean nothing.
pub(super) fn key_path(key: &str) -> String {
    let (is_url, rest) = match key.split_once("://") {
        Some((_, rest)) => (true, rest),
        None => (false, key),
    };
    let rest = rest.trim_end_matches('/');
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let host = host.parse::<RegistryHost>().map_or_else(|_| host.to_owned(), |host| host.to_string());
    if is_url || matches!(path, "" | "v1" | "v2") { host } else { format!("{host}/{path}") }
}

impl Entry {
    fn credentials(&self) -> Option<Credentials> {
        let present = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if let Some(token) = present(&self.registrytoken) {
            return Some(Credentials::Registry(Secret::new(token)));
        }
        if let Some(token) = present(&self.identitytoken) {
            return Some(Credentials::Identity(Secret::new(token)));
        }
        if let Some(auth) = present(&self.auth) {
            let decoded = String::from_utf8(STANDARD.decode(auth.trim()).ok()?).ok()?;
            let (user, password) = decoded.split_once(':')?;
            return Some(Credentials::from_pair(user, password.trim_end_matches('\0')));
        }
        Some(Credentials::from_pair(&present(&self.username)?, &present(&self.password)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn password(user: &str, password: &str) -> Option<Credentials> {
        Some(Credentials::from_pair(user, password))
    }

    #[tokio::test]
    async fn the_longest_key_wins() {
        let text = r#"{"auths": {
            "https://index.docker.io/v1/": {"auth": "aHViOnNlY3JldA=="},
            "ghcr.io": {"username": "host", "password": "p"},
            "ghcr.io/acme": {"username": "group", "password": "p"},
            "ghcr.io/acme/api": {"username": "repo", "password": "p:q"},
            "https://quay.io/v2/": {"auth": "dTpw"},
            "localhost:5000": {"auth": "dTpw"},
            "azure.example": {"auth": "MDAwOg==", "identitytoken": "refresh"},
            "token.example": {"registrytoken": "bearer"},
            "pat.example": {"username": "<token>", "password": "refresh"},
            "empty.example": {},
            "broken.example": {"auth": "*"}
        }}"#;
        let config: ConfigFile = serde_json::from_str(text).unwrap();
        let table = [
            ("Docker Hub's key", "docker.io/library/node", password("hub", "secret")),
            ("host", "ghcr.io/other/api", password("host", "p")),
            ("group", "ghcr.io/acme/web", password("group", "p")),
            ("a longer name is not below", "ghcr.io/acmex/web", password("host", "p")),
            ("repository", "ghcr.io/acme/api", password("repo", "p:q")),
            ("URL key", "quay.io/a/b", password("u", "p")),
            ("port", "localhost:5000/a", password("u", "p")),
            ("another port", "localhost:5001/a", None),
            ("identity token", "azure.example/a", Some(Credentials::Identity(Secret::new("refresh")))),
            ("registry token", "token.example/a", Some(Credentials::Registry(Secret::new("bearer")))),
            ("token as user", "pat.example/a", Some(Credentials::Identity(Secret::new("refresh")))),
            ("empty entry", "empty.example/a", None),
            ("broken entry", "broken.example/a", None),
        ];
        for (comment, repository, expected) in table {
            let found = config.lookup(&repository.parse().unwrap(), &mut Answers::default()).await;
            assert_eq!(found, Ok(expected), "{comment}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", password("user", "hidden")).contains("hidden"));
    }
}
