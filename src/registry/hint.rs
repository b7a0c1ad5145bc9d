use std::time::Duration;

use super::credentials::given;
use super::host::Cloud;
use super::{Failure, RegistryError, RegistryHost};

impl RegistryError {
    /// The next thing to try, where that can be told.
    pub fn hint(&self) -> Option<String> {
        let text = match self {
            Self::CredentialsMissing { problem: Some(problem), .. } => problem.clone(),
            Self::CredentialsMissing { registry, .. } => match cloud(registry) {
                Some(cloud) => cloud.hint(),
                None => format!(
                    "log in with `pirogue login {registry} --user NAME` (or with docker or podman), or set {}",
                    given::variables_of(registry)
                ),
            },
            Self::CredentialsRefused { registry, .. } => match cloud(registry) {
                Some(cloud) => cloud.hint(),
                None => format!(
                    "the password may have expired: log in again with `pirogue login {registry} --user NAME`; what is \
                     in {} comes first",
                    given::variables_of(registry)
                ),
            },
            Self::Denied(_) => "ask for the right to push to (or pull from) this repository".to_owned(),
            Self::RepositoryUnknown(_) => "check the name; some registries, such as Amazon ECR, want the repository \
                 created before the first push"
                .to_owned(),
            Self::ImmutableTag { .. } => "push under a new tag (`--tag`), or let the registry's repository change its \
                 tags"
                .to_owned(),
            Self::Certificate { .. } => "certificates and keys are PEM files; registries.toml and the directories \
                 `certs.d` name them"
                .to_owned(),
            Self::UnsafeLocation { .. } => "name the registry by the address that it leads to, if that is trusted; \
                 pirogue follows nobody into a private network or away from TLS"
                .to_owned(),
            Self::RateLimited(exchange) => {
                let later = exchange.retry_after.map_or("later".to_owned(), in_minutes);
                format!("try {later}, or log in: registries allow more to those they know")
            }
            Self::WrongDigest { .. } => {
                "something between here and there gives out other bytes than were asked for: ask who \
                 runs the registry, or the mirror or proxy before it"
                    .to_owned()
            }
            Self::TooLarge(_) => "raise the limit of the proxy before the registry (nginx: \
                 `client_max_body_size 0`)"
                .to_owned(),
            Self::NotARegistry { .. } => "check the host: a web page or a proxy may answer there".to_owned(),
            Self::Unreachable { failure: Failure::Tls, reason, .. } if is_about_time(reason) => {
                "check this machine's clock; if it is right, the registry needs a new certificate".to_owned()
            }
            Self::Unreachable { failure, .. } => hint_for(*failure)?.to_owned(),
            _ => return None,
        };
        Some(text)
    }
}

/// The cloud of a registry, given as errors name it.
fn cloud(registry: &str) -> Option<Cloud> {
    registry.parse::<RegistryHost>().ok()?.cloud()
}

/// Whether a certificate is refused for the time. What is wrong with one is told in words only once TLS has failed.
fn is_about_time(reason: &str) -> bool {
    reason.contains("certificate expired") || reason.contains("certificate not valid yet")
}

/// `in 2 minutes`
fn in_minutes(wait: Duration) -> String {
    match wait.as_secs().div_ceil(60) {
        0 => "again".to_owned(),
        1 => "in a minute".to_owned(),
        minutes => format!("in {minutes} minutes"),
    }
}

fn hint_for(failure: Failure) -> Option<&'static str> {
    match failure {
        Failure::Refused => Some("is the registry running, and the port right?"),
        Failure::Name => Some("check the host's spelling, and DNS"),
        Failure::Tls => Some(
            "if the registry's certificate comes from your own CA, name a file with it in registries.toml: `ca = \"ca.pem\"`",
        ),
        Failure::NotTls => {
            Some("if the registry shall be spoken to in plain HTTP, say so in registries.toml: `tls = \"none\"`")
        }
        Failure::Silence | Failure::Broken => None,
    }
}
