//! Files that give more than their users should have: the rights of another user to who runs them, or a place in the image to
//! who wants to change it. Files of the workspace and of npm's packages never do, whatever the disk says of them; those of the
//! system's packages have the permissions that their packages give them. What the base has is not looked at.

use super::{Code, Finding, Severity, Subject};
use crate::layer::{Entry, Kind};
use crate::path::ImagePath;

/// Set-user-ID and set-group-ID. Source: `inode(7)`.
const SETUID_OR_SETGID: u32 = 0o6000;
/// Of what lies in the directory, only its owner may remove or rename it.
const STICKY: u32 = 0o1000;
const WRITABLE_BY_ALL: u32 = 0o002;

const FIX: &str = "do without what brings it; if it has to be so, say why in pirogue.toml with `[[check.allow]]`";

/// One finding for each entry of a layer that gives too much.
pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let own = subject.files.layer_entries().filter(|(path, entry)| !is_as_in_base(subject, path, entry));
    own.filter_map(|(path, entry)| {
        let (code, message) = too_much(entry)?;
        let message = format!("{message}, by its mode {:04o}: `{}`", entry.mode, path.as_path().display());
        let place = Some(subject.place(path.as_path(), None));
        Some(Finding { severity: Severity::Error, code, place, message, fix: Some(FIX.to_owned()) })
    })
    .collect()
}

/// Layers repeat directories of the base, and its files that change, as it has them.
fn is_as_in_base(subject: &Subject<'_>, path: &ImagePath, entry: &Entry) -> bool {
    subject.files.of_base(path).is_some_and(|known| known.mode == entry.mode)
}

fn too_much(entry: &Entry) -> Option<(Code, &'static str)> {
    let has = |bits: u32| entry.mode & bits != 0;
    match entry.kind {
        Kind::File(_) | Kind::HardLink(_) if has(SETUID_OR_SETGID) => {
            Some((Code::SetuidFile, "a program runs with the rights of its owner or group, whoever starts it"))
        }
        Kind::File(_) | Kind::HardLink(_) if has(WRITABLE_BY_ALL) => {
            Some((Code::WorldWritable, "every user may change this file"))
        }
        Kind::Directory if has(WRITABLE_BY_ALL) && !has(STICKY) => {
            Some((Code::WorldWritable, "every user may replace what lies in this directory"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, Owner};

    #[test]
    fn permissions_that_give_too_much() {
        let owner = Owner { uid: 0, gid: 0 };
        let file = |mode| Entry { mode, ..Entry::file(Content::Bytes(Vec::new()), true, owner) };
        let directory = |mode| Entry { mode, ..Entry::directory(owner) };
        let table = [
            ("as pirogue makes them", file(0o755), None),
            ("setuid", file(0o4755), Some(Code::SetuidFile)),
            ("setgid", file(0o2755), Some(Code::SetuidFile)),
            ("for all", file(0o666), Some(Code::WorldWritable)),
            ("for the group", file(0o664), None),
            ("a directory", directory(0o755), None),
            ("a directory for all", directory(0o777), Some(Code::WorldWritable)),
            ("a directory for all, as /tmp is", directory(0o1777), None),
            ("a directory that hands its group on", directory(0o2755), None),
            ("a link, whose permissions do not count", Entry::symlink("a", owner), None),
        ];
        for (comment, entry, expected) in table {
            assert_eq!(too_much(&entry).map(|(code, _)| code), expected, "{comment}");
        }
    }
}
