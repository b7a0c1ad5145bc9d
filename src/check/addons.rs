//! Whether packages that need native code have any: it is made or fetched by install scripts, which need not have run.

use std::collections::BTreeSet;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use super::imports::Graph;
use super::{Code, Finding, Severity, Subject, package_top};
use crate::closure::{ClosurePackage, EdgeKind, Reason};

/// What node-gyp makes an addon by.
const RECIPE: &str = "binding.gyp";

/// Packages that look for the addon of the one that depends on them.
const LOADERS: [&str; 5] =
    ["bindings", "node-gyp-build", "node-gyp-build-optional-packages", "@mapbox/node-pre-gyp", "node-pre-gyp"];

/// One finding for each package that code leads to, that would load an addon of its own and has none.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph) -> Vec<Finding> {
    // Every file is looked at, so by its bytes.
    let is_addon = |path: &&Path| path.as_os_str().as_bytes().ends_with(b".node");
    let with_addons: BTreeSet<&Path> = subject.files.layer_files().filter(is_addon).filter_map(package_top).collect();
    let reached: BTreeSet<&Path> = graph.modules().filter_map(|(file, _)| package_top(&file.path)).collect();
    let packages = subject.closure.packages.iter().filter_map(|(dir, package)| {
        let top = subject.root.as_path().join(dir.as_path());
        let lacks = reached.contains(top.as_path()) && !with_addons.contains(top.as_path());
        (lacks && needs_addon(subject, &top, package)).then(|| finding(subject, &top, package))
    });
    packages.collect()
}

fn needs_addon(subject: &Subject<'_>, top: &Path, package: &ClosurePackage) -> bool {
    // Who depends on it has to do without, as where it could not be compiled.
    let is_optional =
        matches!(package.reason, Reason::Dependency { kind: EdgeKind::Optional | EdgeKind::OptionalPeer, .. });
    let json = &package.package_json;
    // Those that have it from a package for each platform lack none of their own.
    let has_recipe = || subject.files.find(&top.join(RECIPE)).is_some_and(|(_, found)| found.is_file());
    let loads = || LOADERS.iter().any(|loader| json.dependencies.contains_key(*loader));
    !is_optional && json.optional_dependencies.is_empty() && (loads() || has_recipe())
}

fn finding(subject: &Subject<'_>, top: &Path, package: &ClosurePackage) -> Finding {
    let label = package.package_json.label();
    let manifest: PathBuf = top.join("package.json");
    Finding {
        severity: Severity::Warning,
        code: Code::AddonMissing,
        place: Some(subject.place(&manifest, None)),
        message: format!("`{label}` loads native code of its own, and has none in the image"),
        fix: Some(format!(
            "let its install script run on a machine like the base, such as with `npm rebuild {}`",
            package.package_json.name.as_deref().unwrap_or(&label)
        )),
    }
}
