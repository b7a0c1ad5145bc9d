use std::collections::{BTreeMap, BTreeSet};

use super::Credentials;
use crate::http::Secret;
use crate::registry::RegistryHost;

const USER: &str = "PIROGUE_REGISTRY_USER";
const PASSWORD: &str = "PIROGUE_REGISTRY_PASSWORD";

/// Credentials that are handed in, in variables or by hand. They come before those of files.
///
/// `PIROGUE_REGISTRY_USER_GHCR_IO` and `PIROGUE_REGISTRY_PASSWORD_GHCR_IO` are for `ghcr.io`: the host in upper case, with
/// `_` for everything that is neither a letter nor a digit. The pair without a host is for the one registry that a run
/// pushes to, and for no other: a base elsewhere does not get to see it.
#[derive(Clone, Debug, Default)]
pub struct GivenCredentials(BTreeMap<String, Pair>);

#[derive(Clone, Debug, Default)]
struct Pair {
    user: Option<String>,
    password: Option<Secret>,
}

impl GivenCredentials {
    /// Those among these variables.
    pub fn from_variables<'v>(variables: impl IntoIterator<Item = (&'v String, &'v String)>) -> Self {
        let mut pairs: BTreeMap<String, Pair> = BTreeMap::new();
        for (name, value) in variables.into_iter().filter(|(_, value)| !value.is_empty()) {
            if let Some(end) = name.strip_prefix(USER) {
                pairs.entry(end.to_owned()).or_default().user = Some(value.clone());
            } else if let Some(end) = name.strip_prefix(PASSWORD) {
                pairs.entry(end.to_owned()).or_default().password = Some(Secret::new(value));
            }
        }
        Self(pairs)
    }

    /// A user and a password for one registry.
    pub fn of(host: &RegistryHost, user: &str, password: Secret) -> Self {
        Self(BTreeMap::from([(ending(host), Pair { user: Some(user.to_owned()), password: Some(password) })]))
    }

    /// What is shown to `host`, where a run pushes to the registries `targets`; or in words what is missing.
    pub(in crate::registry) fn lookup(
        &self,
        host: &RegistryHost,
        targets: &BTreeSet<RegistryHost>,
    ) -> Result<Option<Credentials>, String> {
        let end = ending(host);
        let general = || targets.iter().eq([host]).then(|| (String::new(), self.0.get("")));
        let (end, pair) = match self.0.get(&end) {
            Some(pair) => (end, Some(pair)),
            None => general().unwrap_or((end, None)),
        };
        match pair.map(|pair| (&pair.user, &pair.password)) {
            None | Some((None, None)) => Ok(None),
            Some((Some(user), Some(password))) => Ok(Some(Credentials::from_pair(user, password.reveal()))),
            Some((Some(_), None)) => Err(format!("{USER}{end} is set, and {PASSWORD}{end} is not")),
            Some((None, Some(_))) => Err(format!("{PASSWORD}{end} is set, and {USER}{end} is not")),
        }
    }
}

/// How the names of a host's variables end: `_GHCR_IO`.
fn ending(host: &RegistryHost) -> String {
    let word = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' };
    format!("_{}", host.as_str().chars().map(word).collect::<String>())
}

/// The variables for a host, as a hint names them.
pub(in crate::registry) fn variables_of(host: &str) -> String {
    let end = host.parse::<RegistryHost>().map(|host| ending(&host)).unwrap_or_default();
    format!("{USER}{end} and {PASSWORD}{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_gets_what() {
        let general = [("PIROGUE_REGISTRY_USER", "g"), ("PIROGUE_REGISTRY_PASSWORD", "p")];
        let ghcr = [("PIROGUE_REGISTRY_USER_GHCR_IO", "h"), ("PIROGUE_REGISTRY_PASSWORD_GHCR_IO", "q")];
        let port = [("PIROGUE_REGISTRY_USER_LOCALHOST_5000", "l"), ("PIROGUE_REGISTRY_PASSWORD_LOCALHOST_5000", "r")];
        let hub = [("PIROGUE_REGISTRY_USER_DOCKER_IO", "d"), ("PIROGUE_REGISTRY_PASSWORD_DOCKER_IO", "s")];
        let half = [("PIROGUE_REGISTRY_USER", "g"), ("PIROGUE_REGISTRY_PASSWORD", "")];
        let other_half = [("PIROGUE_REGISTRY_PASSWORD_GHCR_IO", "q")];
        let pair = |user, password| Ok(Some(Credentials::from_pair(user, password)));
        let missing = |text: &str| Err(text.to_owned());
        let table: [(&str, &[(&str, &str)], &str, &[&str], Result<Option<Credentials>, String>); 12] = [
            ("nothing", &[], "ghcr.io", &["ghcr.io"], Ok(None)),
            ("the target", &general, "ghcr.io", &["ghcr.io"], pair("g", "p")),
            ("the base's registry", &general, "docker.io", &["ghcr.io"], Ok(None)),
            ("no target", &general, "ghcr.io", &[], Ok(None)),
            ("two targets", &general, "ghcr.io", &["ghcr.io", "quay.io"], Ok(None)),
            ("by host", &ghcr, "ghcr.io", &[], pair("h", "q")),
            ("another host", &ghcr, "quay.io", &[], Ok(None)),
            ("by host and port", &port, "localhost:5000", &[], pair("l", "r")),
            ("another port", &port, "localhost:5001", &[], Ok(None)),
            ("Docker Hub by another name", &hub, "index.docker.io", &[], pair("d", "s")),
            (
                "an empty password",
                &half,
                "ghcr.io",
                &["ghcr.io"],
                missing("PIROGUE_REGISTRY_USER is set, and PIROGUE_REGISTRY_PASSWORD is not"),
            ),
            (
                "no user",
                &other_half,
                "ghcr.io",
                &[],
                missing("PIROGUE_REGISTRY_PASSWORD_GHCR_IO is set, and PIROGUE_REGISTRY_USER_GHCR_IO is not"),
            ),
        ];
        for (comment, variables, host, targets, expected) in table {
            let variables: BTreeMap<_, _> =
                variables.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect();
            let targets = targets.iter().map(|host| host.parse().unwrap()).collect();
            let found = GivenCredentials::from_variables(&variables).lookup(&host.parse().unwrap(), &targets);
            assert_eq!(found, expected, "{comment}");
        }
        let host: RegistryHost = "ghcr.io".parse().unwrap();
        let by_hand = GivenCredentials::of(&host, "anna", Secret::new("hidden"));
        assert_eq!(by_hand.lookup(&host, &BTreeSet::new()), pair("anna", "hidden"));
        assert!(!format!("{by_hand:?}").contains("hidden"));
    }
}
