//! Programs that keep credentials.
//!
//! Source: the protocol of `docker-credential-helpers`.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::process::{Output, Stdio};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::io::AsyncWriteExt as _;
use tokio::process::Command;

use super::Credentials;
use crate::http::{Secret, printable};
use crate::registry::RegistryHost;
use crate::registry::host::Cloud;

/// The name under which Docker's own tools keep Docker Hub's credentials.
pub(in crate::registry) const DOCKER_HUB_KEY: &str = "https://index.docker.io/v1/";
const PATIENCE: Duration = Duration::from_secs(60);

/// A credential helper.
#[derive(Debug)]
pub(in crate::registry) struct Helper {
    program: String,
}

/// What helpers said of one registry in this run, so that each is run once, however many repositories there are.
#[derive(Default)]
pub(in crate::registry) struct Answers(HashMap<String, Result<Option<Credentials>, String>>);

impl Answers {
    /// What a helper keeps for `host`.
    pub(in crate::registry) async fn of(
        &mut self,
        helper: Helper,
        host: &RegistryHost,
    ) -> Result<Option<Credentials>, String> {
        if let Some(known) = self.0.get(&helper.program) {
            return known.clone();
        }
        let answer = helper.get(host).await;
        self.0.entry(helper.program).or_insert(answer).clone()
    }
}

/// The name under which a registry's credentials are kept.
pub(in crate::registry) fn server(host: &RegistryHost) -> &str {
    if host.is_docker_hub() { DOCKER_HUB_KEY } else { host.as_str() }
}

impl Helper {
    /// The helper that a file of credentials calls `name`.
    pub(in crate::registry) fn named(name: &str) -> Result<Self, String> {
        match name.contains('/') {
            true => Err(format!("not a name of a credential helper: `{name}`")),
            false => Ok(Self { program: format!("docker-credential-{name}") }),
        }
    }

    /// The program.
    pub(in crate::registry) fn program(&self) -> &str {
        &self.program
    }

    /// What it keeps for `host`.
    pub(in crate::registry) async fn get(&self, host: &RegistryHost) -> Result<Option<Credentials>, String> {
        #[derive(Deserialize)]
        #[serde(rename_all = "PascalCase")]
        struct Answer {
            username: String,
            secret: String,
        }
        let Some(bytes) = self.run("get", server(host)).await? else { return Ok(None) };
        let answer: Answer =
            serde_json::from_slice(&bytes).map_err(|_| self.failed("get", &"its answer is no JSON"))?;
        Ok((!answer.secret.is_empty()).then(|| Credentials::from_pair(&answer.username, &answer.secret)))
    }

    /// Has it keep credentials for `host`.
    pub(in crate::registry) async fn store(
        &self,
        host: &RegistryHost,
        user: &str,
        password: &Secret,
    ) -> Result<(), String> {
        #[derive(Serialize)]
        #[serde(rename_all = "PascalCase")]
        struct Kept<'k> {
            #[serde(rename = "ServerURL")]
            server_url: &'k str,
            username: &'k str,
            secret: &'k str,
        }
        let kept = Kept { server_url: server(host), username: user, secret: password.reveal() };
        let text = serde_json::to_string(&kept).map_err(|error| self.failed("store", &error))?;
        self.run("store", &text).await.map(drop)
    }

    /// Has it forget what it keeps for `host`.
    pub(in crate::registry) async fn erase(&self, host: &RegistryHost) -> Result<(), String> {
        self.run("erase", server(host)).await.map(drop)
    }

    /// Runs it with `input` on its standard input. `None` if it says that it keeps nothing.
    async fn run(&self, verb: &str, input: &str) -> Result<Option<Vec<u8>>, String> {
        let output = tokio::time::timeout(PATIENCE, run(&self.program, verb, input))
            .await
            .map_err(|_| self.failed(verb, &"no answer"))?
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => self.missing(),
                _ => self.failed(verb, &error),
            })?;
        if output.status.success() {
            return Ok(Some(output.stdout));
        }
        let said = String::from_utf8_lossy(&output.stdout);
        match said.contains("credentials not found") {
            true => Ok(None),
            // What `get` prints may be a secret, whatever its end; the others are told none that they did not bring.
            false if verb == "get" => Err(self.failed(verb, &output.status)),
            false => Err(self.failed(verb, &format!("{}: {}", output.status, printable(&said)))),
        }
    }

    fn failed(&self, verb: &str, reason: &dyn fmt::Display) -> String {
        format!("the credential helper failed ({reason}): `{} {verb}`", self.program)
    }

    fn missing(&self) -> String {
        let cloud = Cloud::ALL.into_iter().find(|cloud| self.program == cloud.program());
        let from = cloud.map_or(String::new(), |cloud| format!(" (it is part of {})", cloud.origin()));
        format!("the credential helper is not installed{from}: `{}`", self.program)
    }
}

impl Cloud {
    /// The cloud's standard helper: its registries take passwords that only it can make.
    fn program(self) -> &'static str {
        match self {
            Self::Amazon => "docker-credential-ecr-login",
            Self::Google => "docker-credential-gcloud",
            Self::Azure => "docker-credential-acr-env",
        }
    }

    /// What has to be installed for it.
    fn origin(self) -> &'static str {
        match self {
            Self::Amazon => "amazon-ecr-credential-helper",
            Self::Google => "the Google Cloud CLI",
            Self::Azure => "chrismellard/docker-credential-acr-env",
        }
    }

    /// What the cloud's helper gives, where it is installed although no file of credentials names it. Without it the
    /// registry is asked as nobody: much of a cloud is public.
    pub(in crate::registry) async fn get(
        self,
        host: &RegistryHost,
        answers: &mut Answers,
    ) -> Result<Option<Credentials>, String> {
        let helper = Helper { program: self.program().to_owned() };
        let missing = helper.missing();
        match answers.of(helper, host).await {
            Err(problem) if problem == missing => Ok(None),
            found => found,
        }
    }

    /// What to do to be known there.
    pub(in crate::registry) fn hint(self) -> String {
        let (program, origin) = (self.program(), self.origin());
        format!("install `{program}` ({origin}); pirogue runs it for this registry once it is in PATH")
    }
}

async fn run(program: &str, verb: &str, input: &str) -> io::Result<Output> {
    let mut child = Command::new(program)
        .arg(verb)
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

    #[tokio::test]
    async fn a_helper_is_run() {
        let program = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/docker-credential-fixed");
        let helper = Helper { program: program.to_owned() };
        let table = [
            ("known", "known.example", Ok(Some(Credentials::from_pair("anna", "secret")))),
            ("Docker Hub", "docker.io", Ok(Some(Credentials::Identity(Secret::new("refresh"))))),
            ("unknown", "other.example", Ok(None)),
            (
                "broken",
                "broken.example",
                Err(format!("the credential helper failed (its answer is no JSON): `{program} get`")),
            ),
        ];
        for (comment, host, expected) in table {
            assert_eq!(helper.get(&host.parse().unwrap()).await, expected, "{comment}");
        }
    }

    #[tokio::test]
    async fn a_helper_is_run_once_for_a_registry() {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("docker-credential-counting");
        let script = "#!/bin/sh\necho x >> \"$0.calls\"\necho '{\"Username\":\"u\",\"Secret\":\"p\"}'\n";
        std::fs::write(&program, script).unwrap();
        std::fs::set_permissions(&program, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let (mut answers, host) = (Answers::default(), "r.example".parse().unwrap());
        for _ in 0..3 {
            let helper = Helper { program: program.display().to_string() };
            assert_eq!(answers.of(helper, &host).await, Ok(Some(Credentials::from_pair("u", "p"))));
        }
        let calls = std::fs::read_to_string(dir.path().join("docker-credential-counting.calls")).unwrap();
        assert_eq!(calls, "x\n");
    }

    #[tokio::test]
    async fn a_missing_helper_is_named() {
        let table = [
            ("pirogue-has-no-such", "the credential helper is not installed: `docker-credential-pirogue-has-no-such`"),
            (
                "ecr-login",
                "the credential helper is not installed (it is part of amazon-ecr-credential-helper): \
                 `docker-credential-ecr-login`",
            ),
        ];
        for (name, expected) in table {
            let problem = Helper::named(name).unwrap().missing();
            assert_eq!(problem, expected);
        }
        let problem = Helper::named("pirogue-has-no-such").unwrap().get(&"ghcr.io".parse().unwrap()).await;
        assert_eq!(problem, Err(table[0].1.to_owned()));
        assert!(Helper::named("../evil").is_err());
    }
}
