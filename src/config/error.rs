use super::nearest;
use crate::host::HostError;
use crate::image::UnknownTimeZone;

/// Why the settings cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// Not TOML.
    #[error("{message}: `{place}`")]
    Syntax {
        /// FILE:LINE:COLUMN
        place: String,
        /// What is wrong.
        message: String,
    },
    /// A key that means nothing.
    #[error("there is no setting `{key}`: `{place}`")]
    UnknownKey {
        /// FILE:LINE:COLUMN
        place: String,
        /// The key.
        key: String,
        /// The right key that looks most like it, or all there are.
        hint: String,
    },
    /// A value of another type.
    #[error("`{key}` has to be {expected}, not {found}: `{place}`")]
    WrongType {
        /// FILE:LINE:COLUMN
        place: String,
        /// The key.
        key: String,
        /// Such as `a text`.
        expected: &'static str,
        /// Such as `an integer`.
        found: &'static str,
    },
    /// A value of the right type that cannot be right.
    #[error("`{key}` {problem}: `{place}`")]
    Value {
        /// FILE:LINE:COLUMN
        place: String,
        /// The key.
        key: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A time zone that does not exist.
    #[error("{error}: `{place}`")]
    TimeZone {
        /// FILE:LINE:COLUMN
        place: String,
        /// The name.
        error: UnknownTimeZone,
    },
    /// A service that the workspace does not have.
    #[error("there is no service `{name}` to configure: `{place}`")]
    UnknownService {
        /// FILE:LINE:COLUMN
        place: String,
        /// The name.
        name: String,
        /// The services there are.
        known: Vec<String>,
    },
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl ConfigError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::UnknownKey { hint, .. } => Some(hint.clone()),
            Self::TimeZone { error, .. } => {
                let names: Vec<String> = error.nearest.iter().map(|name| format!("`{name}`")).collect();
                Some(format!("zones that are written like it: {}", names.join(", ")))
            }
            Self::UnknownService { name, known, .. } => Some(nearest(name, known.iter().map(String::as_str))),
            _ => None,
        }
    }
}
