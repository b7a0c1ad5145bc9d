//! Credentials, as `docker login` and `podman login` leave them: in a file, or with a helper program.
//!
//! Sources: Docker's `config.json` (`auths`, `credsStore`, `credHelpers`); `containers-auth.json(5)`;
//! the protocol of `docker-credential-helpers`.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::{RegistryHost, Repository};
use crate::http::Secret;

/// The name under which Docker's own tools keep Docker Hub's credentials.
const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const HELPER_PATIENCE: Duration = Duration::from_secs(60);

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
struct ConfigFile {
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
    pub(super) async fn lookup(&self, repository: &Repository) -> Result<Option<Credentials>, String> {
        for path in [&self.auth_file, &self.docker_config].into_iter().flatten() {
            let Some(config) = read(path).await? else { continue };
            if let Some(credentials) = config.lookup(repository).await? {
                return Ok(Some(credentials));
            }
        }
        Ok(None)
    }
}

async fn read(path: &Path) -> Result<Option<ConfigFile>, String> {
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
    async fn lookup(&self, repository: &Repository) -> Result<Option<Credentials>, String> {
        let host = repository.registry();
        let helper = self.cred_helpers.iter().find(|(key, _)| key_path(key) == host.as_str()).map(|(_, name)| name);
        if let Some(name) = helper.or(self.creds_store.as_ref()).filter(|name| !name.is_empty())
            && let Some(credentials) = ask_helper(name, host).await?
        {
            return Ok(Some(credentials));
        }
        Ok(self.entry(repository).and_then(Entry::credentials))
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
fn key_path(key: &str) -> String {
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

async fn ask_helper(name: &str, host: &RegistryHost) -> Result<Option<Credentials>, String> {
    if name.contains('/') {
        return Err(format!("not a name of a credential helper: `{name}`"));
    }
    ask_program(&format!("docker-credential-{name}"), host).await
}

/// Runs `PROGRAM get`, the host on its standard input.
async fn ask_program(program: &str, host: &RegistryHost) -> Result<Option<Credentials>, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Answer {
        username: String,
        secret: String,
    }
    let failed = |reason: &dyn fmt::Display| format!("the credential helper failed ({reason}): `{program} get`");
    let server = if host.is_docker_hub() { DOCKER_HUB_KEY } else { host.as_str() };
    let output = tokio::time::timeout(HELPER_PATIENCE, run(program, server))
        .await
        .map_err(|_| failed(&"no answer"))?
        .map_err(|error| failed(&error))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stdout);
        let nothing = said.contains("credentials not found");
        return if nothing { Ok(None) } else { Err(failed(&output.status)) };
    }
    let answer: Answer = serde_json::from_slice(&output.stdout).map_err(|_| failed(&"its answer is no JSON"))?;
    Ok((!answer.secret.is_empty()).then(|| Credentials::from_pair(&answer.username, &answer.secret)))
}

async fn run(program: &str, input: &str) -> std::io::Result<std::process::Output> {
    let mut child = Command::new(program)
        .arg("get")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // A helper that ends without reading breaks the pipe; what it prints counts.
        let _ = stdin.write_all(input.as_bytes()).await;
    }
    child.wait_with_output().await
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
            assert_eq!(config.lookup(&repository.parse().unwrap()).await, Ok(expected), "{comment}");
        }
    }

    #[tokio::test]
    async fn a_broken_helper_is_told() {
        let config: ConfigFile = serde_json::from_str(r#"{"credsStore": "pirogue-has-no-such"}"#).unwrap();
        let problem = config.lookup(&"ghcr.io/a".parse().unwrap()).await.unwrap_err();
        assert!(problem.ends_with("`docker-credential-pirogue-has-no-such get`"), "{problem}");
    }

    #[tokio::test]
    async fn a_helper_is_run() {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/docker-credential-fixed");
        let table = [
            ("known", "known.example", Ok(password("anna", "secret"))),
            ("Docker Hub", "docker.io", Ok(Some(Credentials::Identity(Secret::new("refresh"))))),
            ("unknown", "other.example", Ok(None)),
            (
                "broken",
                "broken.example",
                Err(format!("the credential helper failed (its answer is no JSON): `{program} get`")),
            ),
        ];
        for (comment, host, expected) in table {
            assert_eq!(ask_program(program, &host.parse().unwrap()).await, expected, "{comment}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        assert!(!format!("{:?}", password("user", "hidden")).contains("hidden"));
    }
}
