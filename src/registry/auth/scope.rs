//! What a token allows.
//!
//! Source: `docs/spec/auth/scope.md` of `distribution`.

use std::collections::BTreeSet;
use std::fmt;

use crate::registry::Repository;

/// What may be done with one thing of a registry, such as `repository:acme/api:pull,push`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::registry) struct Scope {
    /// Its kind and name, such as `repository:acme/api`.
    resource: String,
    actions: BTreeSet<String>,
}

impl Scope {
    pub(in crate::registry) fn pull(repository: &Repository) -> Self {
        Self::of(repository, &["pull"])
    }

    pub(in crate::registry) fn push(repository: &Repository) -> Self {
        Self::of(repository, &["pull", "push"])
    }

    pub(in crate::registry) fn delete(repository: &Repository) -> Self {
        Self::of(repository, &["delete", "pull", "push"])
    }

    fn of(repository: &Repository, actions: &[&str]) -> Self {
        let resource = format!("repository:{}", repository.name());
        Self { resource, actions: actions.iter().map(|action| (*action).to_owned()).collect() }
    }

    /// The scopes that a challenge names: separated by blanks, each ending with its actions. What is none is passed over.
    pub(in crate::registry) fn read_all(text: &str) -> Vec<Self> {
        let scope = |text: &str| {
            let (resource, actions) = text.rsplit_once(':').filter(|(resource, _)| resource.contains(':'))?;
            let actions = actions.split(',').filter(|action| !action.is_empty()).map(str::to_owned);
            Some(Self { resource: resource.to_owned(), actions: actions.collect() })
        };
        text.split_ascii_whitespace().filter_map(scope).filter(|scope| !scope.actions.is_empty()).collect()
    }

    /// Whether a token for this does for `other` too.
    pub(in crate::registry) fn covers(&self, other: &Self) -> bool {
        let all = self.actions.contains("*");
        self.resource == other.resource && (all || other.actions.is_subset(&self.actions))
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let actions: Vec<&str> = self.actions.iter().map(String::as_str).collect();
        write!(f, "{}:{}", self.resource, actions.join(","))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_of_challenges() {
        let table: [(&str, &[&str]); 8] = [
            ("repository:a/b:pull", &["repository:a/b:pull"]),
            ("repository:a/b:push,pull", &["repository:a/b:pull,push"]),
            ("repository:a:pull registry:catalog:*", &["repository:a:pull", "registry:catalog:*"]),
            ("repository(plugin):a:pull", &["repository(plugin):a:pull"]),
            ("repository:host:5000/a:pull", &["repository:host:5000/a:pull"]),
            ("repository:a:", &[]),
            ("pull", &[]),
            ("", &[]),
        ];
        for (text, expected) in table {
            let found: Vec<String> = Scope::read_all(text).iter().map(Scope::to_string).collect();
            assert_eq!(found, expected, "{text}");
        }
    }

    #[test]
    fn what_covers_what() {
        let table = [
            ("repository:a:pull,push", "repository:a:pull", true),
            ("repository:a:pull", "repository:a:push,pull", false),
            ("repository:a:*", "repository:a:delete", true),
            ("repository:a:pull", "repository:ab:pull", false),
        ];
        for (held, wanted, expected) in table {
            let (held, wanted) = (Scope::read_all(held), Scope::read_all(wanted));
            assert_eq!(held[0].covers(&wanted[0]), expected, "{held:?} {wanted:?}");
        }
    }
}
