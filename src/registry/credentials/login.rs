//! Credentials kept for later runs, and forgotten again.

use std::path::Path;

use reqwest::{Method, StatusCode};

use super::CredentialFiles;
use super::credential_file::CredentialFile;
use super::helper::{self, Helper};
use crate::http::Secret;
use crate::registry::auth::Access;
use crate::registry::transport::Request;
use crate::registry::{Client, RegistryError, RegistryHost};

/// What a registry said to credentials.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Login {
    /// It takes them.
    Accepted,
    /// It asked for none, so that nothing is known of them.
    NotAsked,
}

/// What was there to forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Logout {
    /// The files and programs that kept credentials.
    pub kept_by: Vec<String>,
}

/// Why credentials cannot be kept or forgotten.
#[derive(Debug, thiserror::Error)]
pub enum LoginError {
    /// The registry refuses them, or cannot be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// A helper program failed.
    #[error("cannot keep the credentials: {0}")]
    Helper(String),
    /// The file that names the helper cannot be read.
    #[error("cannot keep the credentials: {0}")]
    Unreadable(String),
    /// A file cannot be written.
    #[error("cannot keep the credentials ({reason}): `{path}`")]
    File {
        /// What is wrong.
        reason: String,
        /// The file.
        path: String,
    },
    /// There is no file to keep them in.
    #[error("there is no file to keep credentials in: neither DOCKER_CONFIG nor HOME is set")]
    NoFile,
}

impl LoginError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Registry(RegistryError::CredentialsRefused { .. }) => Some(
                "check the user and the password; many registries want a token in place of the password".to_owned(),
            ),
            Self::Registry(error) => error.hint(),
            Self::Helper(_) => {
                Some("`credsStore` and `credHelpers` in Docker's config.json name the helper".to_owned())
            }
            Self::Unreadable(_) | Self::File { .. } => {
                Some("mend the file or the rights to it; where there is none, one is made".to_owned())
            }
            Self::NoFile => Some("set DOCKER_CONFIG to a directory that you may write".to_owned()),
        }
    }
}

impl Client {
    /// Shows the registry the credentials that this client has for it.
    pub async fn log_in(&self, host: &RegistryHost) -> Result<Login, RegistryError> {
        let mut request = Request::new(Method::GET, self.transport.base_url(host)?);
        request.access = Some(Access::registry(host));
        let answer = self.transport.send(&request).await?;
        if answer.status() != StatusCode::OK {
            return Err(answer.refusal().await);
        }
        drop(answer);
        Ok(if self.transport.is_challenged_by(host).await { Login::Accepted } else { Login::NotAsked })
    }
}

impl CredentialFiles {
    /// Keeps credentials for a registry: with the helper that Docker's `config.json` names for it; else in the file that
    /// has some for it already, since that one would be asked first; else in `config.json`. Gives the file or program.
    pub async fn keep(&self, host: &RegistryHost, user: &str, password: &Secret) -> Result<String, LoginError> {
        if let Some(helper) = self.helper(host).await? {
            helper.store(host, user, password).await.map_err(LoginError::Helper)?;
            if let Some(path) = &self.docker_config {
                forget_in(path, host)?;
            }
            return Ok(helper.program().to_owned());
        }
        let own = match &self.auth_file {
            Some(path) => CredentialFile::read(path).map_err(|error| failed(path, error))?.has(host),
            None => false,
        };
        let path = self.auth_file.as_ref().filter(|_| own).or(self.docker_config.as_ref()).ok_or(LoginError::NoFile)?;
        let failed = |error| failed(path, error);
        let mut file = CredentialFile::read(path).map_err(failed)?;
        let key = if Some(path) == self.docker_config.as_ref() { helper::server(host) } else { host.as_str() };
        file.put(host, key, user, password);
        file.write().map_err(failed)?;
        Ok(path.display().to_string())
    }

    /// Forgets what the files and their helper keep for a registry.
    pub async fn forget(&self, host: &RegistryHost) -> Result<Logout, LoginError> {
        let mut logout = Logout::default();
        if let Some(helper) = self.helper(host).await?
            && helper.get(host).await.map_err(LoginError::Helper)?.is_some()
        {
            helper.erase(host).await.map_err(LoginError::Helper)?;
            logout.kept_by.push(helper.program().to_owned());
        }
        for path in [&self.auth_file, &self.docker_config].into_iter().flatten() {
            if forget_in(path, host)? {
                logout.kept_by.push(path.display().to_string());
            }
        }
        Ok(logout)
    }

    /// The helper that Docker's `config.json` names for a registry.
    async fn helper(&self, host: &RegistryHost) -> Result<Option<Helper>, LoginError> {
        let Some(path) = &self.docker_config else { return Ok(None) };
        let config = super::read(path).await.map_err(LoginError::Unreadable)?;
        let name = config.as_ref().and_then(|config| config.helper(host));
        name.map(Helper::named).transpose().map_err(LoginError::Helper)
    }
}

/// Whether there was something to forget.
fn forget_in(path: &Path, host: &RegistryHost) -> Result<bool, LoginError> {
    let failed = |error| failed(path, error);
    let mut file = CredentialFile::read(path).map_err(failed)?;
    if !file.has(host) {
        return Ok(false);
    }
    file.remove(host);
    file.write().map_err(failed)?;
    Ok(true)
}

fn failed(path: &Path, error: std::io::Error) -> LoginError {
    LoginError::File { reason: error.to_string(), path: path.display().to_string() }
}
