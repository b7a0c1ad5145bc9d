//! Packages that come in variants, one a package, of which none is there for an image.

use std::collections::{BTreeMap, BTreeSet};

use super::refusal::{Reason, Refusal};
use crate::closure::{DependencyClosure, ExclusionReason, NodePlatform};
use crate::native::{Libc, names_for};
use crate::workspace::WorkspacePath;

/// A package without its variant.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct MissingVariant {
    /// `name@version` of the package that has variants.
    pub label: String,
    /// Where it lies.
    pub dir: WorkspacePath,
    /// The folder of packages in which it lies, a `node_modules`.
    pub folder: WorkspacePath,
    /// The names of variants that say they fit and are not there, the best first.
    pub names: Vec<String>,
}

impl MissingVariant {
    /// What is to be said of it where none can be had.
    pub fn refusal(&self) -> Refusal {
        Refusal {
            label: self.label.clone(),
            file: self.dir.as_path().join("package.json"),
            reason: Reason::NoVariant(self.names.first().cloned().unwrap_or_default()),
        }
    }
}

/// What was left out of what a package asks for.
#[derive(Default)]
struct Excluded<'a> {
    is_for_others: bool,
    /// What is not installed.
    absent: BTreeSet<&'a str>,
}

/// The packages of a closure of which a variant for another platform was left out, none that says it fits is there, and
/// one that does is not installed. Where no variant at all is installed, somebody wanted it so (`--omit=optional`).
pub(super) fn missing_variants(closure: &DependencyClosure, platform: &NodePlatform) -> Vec<MissingVariant> {
    let libc = platform.libc.as_deref().and_then(Libc::named);
    let mut excluded: BTreeMap<&str, Excluded<'_>> = BTreeMap::new();
    for exclusion in &closure.excluded {
        let of_package = excluded.entry(&exclusion.from).or_default();
        match exclusion.why {
            ExclusionReason::OtherPlatform => of_package.is_for_others = true,
            ExclusionReason::NotInstalled => _ = of_package.absent.insert(&exclusion.name),
            ExclusionReason::DevelopmentOnly => {}
        }
    }
    excluded.retain(|_, excluded| excluded.is_for_others && !excluded.absent.is_empty());
    if excluded.is_empty() {
        return Vec::new();
    }
    let present: BTreeSet<&str> =
        closure.packages.values().filter_map(|package| package.package_json.name.as_deref()).collect();
    let mut missing = Vec::new();
    for (dir, package) in &closure.packages {
        let label = package.package_json.label();
        let Some(Excluded { absent, .. }) = excluded.get(label.as_str()) else { continue };
        let optional = package.package_json.optional_dependencies.keys().map(String::as_str);
        let fitting = names_for(optional, &platform.cpu, libc);
        let names: Vec<String> =
            fitting.iter().filter(|name| absent.contains(*name)).map(|name| (*name).to_owned()).collect();
        let folder = dir.as_path().ancestors().skip(1).find(|above| above.ends_with("node_modules"));
        if let (false, Some(folder)) = (names.is_empty(), folder.and_then(WorkspacePath::new))
            && !fitting.iter().any(|name| present.contains(name))
        {
            missing.push(MissingVariant { label, dir: dir.clone(), folder, names });
        }
    }
    missing
}
