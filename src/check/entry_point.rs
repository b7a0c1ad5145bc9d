//! Whether what the container runs is there, and whether its user may read it.

use std::path::Path;

use super::file_system::Found;
use super::launch::{Launch, program};
use super::resolver::{Resolved, Resolver};
use super::{Code, Finding, Severity, Subject};
use crate::image::RunUser;
use crate::layer::Owner;

pub(super) fn check(subject: &Subject<'_>) -> Vec<Finding> {
    let launch = Launch::of(subject);
    let mut findings = programs(subject, &launch);
    findings.extend(main(subject, &launch));
    findings
}

fn error(code: Code, message: String, fix: String) -> Finding {
    Finding { severity: Severity::Error, code, place: None, message, fix: Some(fix) }
}

fn programs(subject: &Subject<'_>, launch: &Launch) -> Vec<Finding> {
    let missing: Vec<&String> = launch.programs.iter().filter(|word| program(subject, word).is_none()).collect();
    if !missing.is_empty() && !subject.files.base_has_programs() {
        let message = "the base has no programs, so nothing in it can run node".to_owned();
        let fix = Some("build on a base that has node, such as `base = \"node:22-alpine\"`".to_owned());
        return vec![Finding { severity: Severity::Note, code: Code::BaseWithoutPrograms, place: None, message, fix }];
    }
    let missing = missing.into_iter().map(|word| {
        let message = format!("the container runs a program that the image does not have: `{word}`");
        let fix = format!("build on a base that has `{word}`, or change `command` and `entrypoint` in pirogue.toml");
        error(Code::CommandNotFound, message, fix)
    });
    missing.collect()
}

fn main(subject: &Subject<'_>, launch: &Launch) -> Option<Finding> {
    let path = launch.main.as_ref()?;
    let Resolved::File(real) = Resolver::new(subject.files, true).program(path) else {
        let message = format!("node is started with a file that is not in the image: `{}`", path.display());
        let fix = "compile the service, or name the right file as `entry-point` or `command` in pirogue.toml";
        return Some(error(Code::EntryPointMissing, message, fix.to_owned()));
    };
    let hidden = real.ancestors().skip(1).find(|dir| !may(subject, dir, 0o1)).unwrap_or(&real);
    if hidden == real && may(subject, &real, 0o4) {
        return None;
    }
    let Owner { uid, gid } = subject.user.owner;
    let message =
        format!("the image's user (`{uid}:{gid}`) may not read what node is started with: `{}`", hidden.display());
    let fix = "put it where everyone may look, or change `user` in pirogue.toml".to_owned();
    Some(Finding { place: Some(subject.place(hidden, None)), ..error(Code::EntryPointUnreadable, message, fix) })
}

/// Whether the image's user has a permission (of the three bits of others: read 4, write 2, search 1) on what lies at a
/// path. Source: `path_resolution(7)`. Of a user in several groups it is not asked which: any of them may have it.
pub(super) fn may(subject: &Subject<'_>, path: &Path, permission: u32) -> bool {
    let RunUser { owner: user, in_other_groups } = subject.user;
    let bits = |found: Found<'_>| match found.owner() {
        owner if owner.uid == user.uid => found.mode() >> 6,
        owner if owner.gid == user.gid => found.mode() >> 3,
        _ if in_other_groups => found.mode() | found.mode() >> 3,
        _ => found.mode(),
    };
    user.uid == 0 || subject.files.find(path).is_some_and(|(_, found)| bits(found) & permission == permission)
}
