use super::{Failure, RegistryError};

impl RegistryError {
    /// The next thing to try, where that can be told.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::CredentialsMissing { problem: Some(problem), .. } => problem.clone(),
            Self::CredentialsMissing { registry, .. } => format!(
                "log in with `docker login {registry}` or `podman login {registry}`; pirogue reads \
                 ~/.docker/config.json and the file that REGISTRY_AUTH_FILE names"
            ),
            Self::CredentialsRefused { registry, .. } => {
                format!("the password may have expired: log in again with `docker login {registry}`")
            }
            Self::Denied(_) => "ask for the right to push to (or pull from) this repository".to_owned(),
            Self::RepositoryUnknown(_) => "check the name; some registries, such as Amazon ECR, want the repository \
                 created before the first push"
                .to_owned(),
            Self::RateLimited(_) => "try later, or log in: registries allow more to those they know".to_owned(),
            Self::TooLarge(_) => "raise the limit of the proxy before the registry (nginx: \
                 `client_max_body_size 0`)"
                .to_owned(),
            Self::NotARegistry { .. } => "check the host: a web page or a proxy may answer there".to_owned(),
            Self::UnsafeLocation { .. } => "ask whoever runs the registry: pirogue follows no address into a private \
                 network, and none from TLS to plain HTTP"
                .to_owned(),
            Self::Unreachable { failure, .. } => hint_for(*failure)?.to_owned(),
            _ => return None,
        };
        Some(text)
    }
}

fn hint_for(failure: Failure) -> Option<&'static str> {
    match failure {
        Failure::Refused => Some("is the registry running, and the port right?"),
        Failure::Name => Some("check the host's spelling, and DNS"),
        Failure::Tls => {
            Some("if the registry's certificate comes from your own CA, name a file with it: `SSL_CERT_FILE=ca.pem`")
        }
        Failure::NotTls => Some("plain HTTP is spoken only to registries on this machine; put TLS before any other"),
        Failure::Silence | Failure::Broken => None,
    }
}
