//! Whether the base that an image lies on is still what its name stands for.

use super::{Code, Finding, Place, Severity};
use crate::digest::Digest;
use crate::lock::FILE_NAME;
use crate::platform::Platform;

/// The base in the lock, and what its name stands for now, for one platform.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseDrift<'a> {
    /// The base, as the user named it.
    pub name: &'a str,
    /// The platform of the image on it.
    pub platform: &'a Platform,
    /// The manifest that the lock has.
    pub locked: Digest,
    /// The manifest that the name stands for; `None` where it has no image for the platform any more.
    pub current: Option<Digest>,
}

impl BaseDrift<'_> {
    /// What is to be told of it; nothing where the name stands for what the lock has.
    pub fn finding(&self) -> Option<Finding> {
        let Self { name, platform, locked, current } = self;
        let now = match current {
            Some(current) if current == locked => return None,
            Some(current) => format!("now stands for another image, {}", current.short()),
            None => "has no image any more".to_owned(),
        };
        Some(Finding {
            severity: Severity::Warning,
            code: Code::BaseStale,
            place: Some(lock()),
            message: format!("the image lies on {} for {platform}, and the base {now}: `{name}`", locked.short()),
            fix: Some("`pirogue base update` says what is new, and writes it down".to_owned()),
        })
    }
}

/// Tells that the lock says nothing of a base.
pub fn unlocked_base(name: &str) -> Finding {
    Finding {
        severity: Severity::Note,
        code: Code::BaseNotLocked,
        place: Some(lock()),
        message: format!("the lock does not say what the base stands for, so that is asked each time: `{name}`"),
        fix: Some(format!("`pirogue base update`, or any build, writes it down; check {FILE_NAME} in")),
    }
}

fn lock() -> Place {
    Place { path: FILE_NAME.to_owned(), source: Some(FILE_NAME.to_owned()), line: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_name_stands_for_now() {
        let platform = "linux/amd64".parse().unwrap();
        let [old, new] = [b"old", b"new"].map(|bytes| Digest::of(bytes));
        let table = [
            ("the same", Some(old), None),
            ("another", Some(new), Some("now stands for another image")),
            ("none", None, Some("has no image any more")),
        ];
        for (comment, current, expected) in table {
            let drift = BaseDrift { name: "node:20", platform: &platform, locked: old, current };
            let told = drift.finding().map(|finding| finding.message);
            assert_eq!(told.is_some(), expected.is_some(), "{comment}");
            assert!(told.unwrap_or_default().contains(expected.unwrap_or_default()), "{comment}");
        }
    }
}
