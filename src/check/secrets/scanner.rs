use std::path::Path;

use aho_corasick::AhoCorasick;

use super::logins;
use super::tokens::{MARKS, Secret};
use crate::check::CheckError;

/// Looks through the bytes of files once for all that should not be in them.
pub struct Scanner {
    /// The marks of secrets, then the directory of the build host.
    marks: AhoCorasick,
}

/// What stands in a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scan {
    /// The first of its secrets, with the line, counted from 1.
    pub secret: Option<(Secret, u32)>,
    /// The line of the first path of the build host.
    pub host_path: Option<u32>,
}

impl Scanner {
    /// A scanner for secrets, and for paths below a directory of the build host.
    pub fn new(host_dir: Option<&str>) -> Result<Self, CheckError> {
        let marks = MARKS.iter().map(|(mark, _)| *mark).chain(host_dir);
        Ok(Self { marks: AhoCorasick::new(marks).map_err(CheckError::Marks)? })
    }

    /// Looks through a file. Its name says whether it is configuration in which every password is known by its key.
    pub fn scan(&self, path: &Path, text: &[u8]) -> Scan {
        let mut scan = Scan { secret: by_name(path, text), host_path: None };
        for found in self.marks.find_iter(text) {
            let (before, from) = text.split_at(found.start());
            match MARKS.get(found.pattern().as_usize()) {
                Some((_, confirm)) if scan.secret.is_none() => {
                    scan.secret = confirm(before, from).map(|secret| (of_document(secret, text), line(before)));
                }
                Some(_) => {}
                None if scan.host_path.is_none() && is_whole(before, &text[found.end()..]) => {
                    scan.host_path = Some(line(before));
                }
                None => {}
            }
        }
        scan
    }
}

fn by_name(path: &Path, text: &[u8]) -> Option<(Secret, u32)> {
    let name = path.file_name()?.to_str()?;
    match name {
        ".npmrc" | ".yarnrc.yml" => logins::in_package_configuration(text).map(|line| (Secret::PackageRegistry, line)),
        ".yarnrc" => logins::in_yarnrc(text).map(|line| (Secret::PackageRegistry, line)),
        "bunfig.toml" | ".bunfig.toml" => logins::in_bunfig(text).then_some((Secret::PackageRegistry, 1)),
        ".dockercfg" | ".dockerconfigjson" => has_password(text),
        "config.json" if path.parent().is_some_and(|dir| dir.ends_with(".docker")) => has_password(text),
        _ => None,
    }
}

fn has_password(text: &[u8]) -> Option<(Secret, u32)> {
    logins::has_image_registry_password(text).then_some((Secret::ImageRegistry, 1))
}

/// A private key within a document on a service account is that account's.
fn of_document(secret: Secret, text: &[u8]) -> Secret {
    const MARK: &[u8] = b"\"service_account\"";
    match secret {
        Secret::PrivateKey if text.windows(MARK.len()).any(|window| window == MARK) => Secret::GoogleServiceAccount,
        other => other,
    }
}

/// Whether a directory is named there, and not one whose name goes on, or one below another.
fn is_whole(before: &[u8], after: &[u8]) -> bool {
    let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.');
    !before.last().is_some_and(is_name) && !after.first().is_some_and(is_name)
}

fn line(before: &[u8]) -> u32 {
    let breaks = before.iter().filter(|byte| **byte == b'\n').count();
    u32::try_from(breaks + 1).unwrap_or(u32::MAX)
}
