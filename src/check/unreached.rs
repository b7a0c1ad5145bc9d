//! How much of packages no import leads to: what `trace` would leave out at most. What it would keep besides, such as files
//! that code names, is found out only where it is asked for, since that takes as long as the checks.

use std::ffi::OsStr;
use std::path::Path;

use hashbrown::HashSet;

use super::imports::Graph;
use super::trace::stays_with_package;
use super::{Subject, package_top};
use crate::layer::LeftOut;

/// The files of packages that are not reached, but for those that stay with what is.
pub(super) fn weigh(subject: &Subject<'_>, graph: &Graph) -> LeftOut {
    // Every file is looked for, so as text: paths compare by their names, one after the other.
    let reached: HashSet<&OsStr> = graph.paths().map(Path::as_os_str).collect();
    let packages: HashSet<&OsStr> = graph.paths().filter_map(package_top).map(Path::as_os_str).collect();
    let is_left_out = |path: &&Path| {
        let Some(top) = package_top(path) else { return false };
        let stays = || stays_with_package(path) || **path == top.join("package.json");
        !reached.contains(path.as_os_str()) && (!packages.contains(top.as_os_str()) || !stays())
    };
    let sizes = subject.files.layer_files().filter(is_left_out).filter_map(|path| subject.files.size(path));
    sizes.fold(LeftOut::default(), |sum, bytes| sum.plus(LeftOut { files: 1, bytes }))
}
