//! The step that compares `engines` of package.json files with the Node of the base, by the rules of the workspace's
//! package manager.

use std::collections::{BTreeMap, BTreeSet};

use nodejs_semver::{Range, Version};

use super::base::{Bases, base_name};
use super::closures::ServiceClosure;
use super::plan::Needs;
use super::{BuildError, Context};
use crate::check::{Code, Finding, Place, Severity};
use crate::closure::{ClosurePackage, EdgeKind, Packages, Reason};
use crate::config::Engines;
use crate::image::{BaseFiles, BaseImage, BaseSoftware};
use crate::npm_registry::EngineRules;
use crate::path::ImagePath;
use crate::platform::Platform;
use crate::workspace::WorkspacePath;

/// Where ranges stand.
const PACKAGE_JSON: &str = "package.json";

/// Compares them for every service and platform. What asks for another Node is a misfit of the service.
pub(super) fn compare(needs: &mut [Needs<'_>], bases: &Bases, context: &Context) -> Result<(), BuildError> {
    let Some(Needs { packages, target, .. }) = needs.first() else { return Ok(()) };
    let (settings, request) = (target.platforms.settings, target.platforms.request);
    let workspace = packages.workspace();
    let rules = match settings.engines {
        Some(Engines::Ignore) => return Ok(()),
        Some(engines) => {
            let refuses = engines == Engines::Error;
            EngineRules { refuses_members: refuses, refuses_packages: refuses }
        }
        None => EngineRules::read(workspace.package_manager, &workspace.root, context.npm.home.as_ref())?,
    };
    let mut nodes: BTreeMap<(String, &Platform), Option<Node>> = BTreeMap::new();
    let mut unknown = BTreeSet::new();
    for Needs { target, packages, closures, contents, .. } in needs {
        for needs in &mut closures.services {
            let base = base_name(&needs.service.name, settings, request);
            let Some(resolved) = bases.get(&base, target.platform) else { continue };
            let node = || Some(Node::new(base.clone(), node_version(&resolved.image, &resolved.files)?));
            let node = nodes.entry((base.clone(), target.platform)).or_insert_with(node);
            let asked = Asked { packages: *packages, root: contents.root(), rules };
            match node {
                Some(node) => needs.misfits.extend(asked.misfits(needs, node)?),
                None if asked.anything(needs)? => _ = unknown.insert(base),
                None => {}
            }
        }
    }
    for base in unknown {
        context.progress.warn(&format!("`engines` are not looked at: nothing says which Node the base has: `{base}`"));
    }
    Ok(())
}

/// The Node of a base.
struct Node {
    base: String,
    version: Version,
    /// Ranges that were compared with it. Most packages ask for the same few.
    known: BTreeMap<String, bool>,
}

impl Node {
    fn new(base: String, version: Version) -> Self {
        Self { base, version, known: BTreeMap::new() }
    }

    fn satisfies(&mut self, wanted: &str) -> bool {
        if let Some(known) = self.known.get(wanted) {
            return *known;
        }
        let satisfies = satisfies(&self.version, wanted);
        self.known.insert(wanted.to_owned(), satisfies);
        satisfies
    }
}

/// What services and their packages ask for.
struct Asked<'a> {
    packages: &'a dyn Packages,
    /// The directory that stands for the workspace's root in images.
    root: &'a ImagePath,
    rules: EngineRules,
}

impl Asked<'_> {
    /// The service itself, the members and the root, each with the range it asks for.
    fn of_members(&self, needs: &ServiceClosure) -> Result<Vec<(WorkspacePath, String)>, BuildError> {
        let own = &needs.service.dir;
        let root = WorkspacePath::default();
        let others: BTreeSet<&WorkspacePath> = needs.closure.members.keys().chain([&root]).collect();
        let mut asked = Vec::new();
        for dir in [own].into_iter().chain(others.into_iter().filter(|dir| *dir != own)) {
            let wanted = self.packages.package_json(dir)?.node.clone();
            asked.extend(wanted.map(|wanted| (dir.clone(), wanted)));
        }
        Ok(asked)
    }

    fn anything(&self, needs: &ServiceClosure) -> Result<bool, BuildError> {
        Ok(of_packages(needs).next().is_some() || !self.of_members(needs)?.is_empty())
    }

    fn misfits(&self, needs: &ServiceClosure, node: &mut Node) -> Result<Vec<Finding>, BuildError> {
        let mut misfits = Vec::new();
        let mut by_range: BTreeMap<String, Vec<WorkspacePath>> = BTreeMap::new();
        for (dir, wanted) in self.of_members(needs)? {
            by_range.entry(wanted).or_default().push(dir);
        }
        by_range.retain(|wanted, _| !node.satisfies(wanted));
        for (wanted, dirs) in &by_range {
            let Some((dir, others)) = dirs.split_first() else { continue };
            let who = match others.len() {
                0 => "`engines` asks".to_owned(),
                1 => "`engines` (as that of another package.json of the workspace) asks".to_owned(),
                more => format!("`engines` (as that of {more} more package.json files of the workspace) asks"),
            };
            let fix = "correct it, or name a base with such a Node";
            misfits.push(self.misfit(dir, &who, wanted, node, fix, self.rules.refuses_members));
        }
        for (dir, package, wanted) in of_packages(needs) {
            if !node.satisfies(wanted) {
                let who = format!("`{}` asks", package.package_json.label());
                let fix =
                    format!("name a base with such a Node, or install a version for Node {}", node.version.major());
                misfits.push(self.misfit(dir, &who, wanted, node, &fix, self.rules.refuses_packages));
            }
        }
        Ok(misfits)
    }

    fn misfit(&self, dir: &WorkspacePath, who: &str, wanted: &str, node: &Node, fix: &str, refuses: bool) -> Finding {
        let Node { base, version, .. } = node;
        let (severity, accepting) = if refuses { (Severity::Error, "warn") } else { (Severity::Warning, "ignore") };
        Finding {
            severity,
            code: Code::EnginesMismatch,
            place: Some(Place::in_workspace(self.root, &dir.as_path().join(PACKAGE_JSON), None)),
            message: format!("{who} for Node `{wanted}`, and the base has {version}: `{base}`"),
            fix: Some(format!("{fix}; where it does not matter: `engines = \"{accepting}\"` in pirogue.toml")),
        }
    }
}

/// The packages of a service that ask for a Node, each with the range. What is optional is left out by installers, and does
/// not have to work.
fn of_packages(needs: &ServiceClosure) -> impl Iterator<Item = (&WorkspacePath, &ClosurePackage, &str)> {
    let is_optional =
        |package: &ClosurePackage| matches!(package.reason, Reason::Dependency { kind: EdgeKind::Optional, .. });
    let packages = needs.closure.packages.iter().filter(move |(_, package)| !is_optional(package));
    packages.filter_map(|(dir, package)| Some((dir, package, package.package_json.node.as_deref()?)))
}

/// Whether a version is in a range, as npm has it: a version before a release counts too. A text that is no range says
/// nothing.
fn satisfies(version: &Version, wanted: &str) -> bool {
    Range::parse(wanted).map_or(true, |range| range.satisfies_with_prerelease(version, true))
}

/// The Node of a base. A distribution's package has a revision after its version, which is none of Node's.
fn node_version(image: &BaseImage, files: &BaseFiles) -> Option<Version> {
    let said = BaseSoftware::of(image, files).node?;
    let is_revision = |revision: &str| revision.strip_prefix('r').is_some_and(|number| number.parse::<u32>().is_ok());
    let version = said.rsplit_once('-').filter(|(_, revision)| is_revision(revision)).map_or(&*said, |(it, _)| it);
    Version::parse(version.trim_start_matches('v')).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges() {
        let table = [
            (">=18", true),
            ("^20.1 || >=22", true),
            (">= 20.19.0", false),
            ("20.x", true),
            ("<20", false),
            ("*", true),
            ("", true),
            ("no range at all", true),
        ];
        for (wanted, expected) in table {
            assert_eq!(satisfies(&Version::parse("20.18.0").unwrap(), wanted), expected, "{wanted}");
        }
    }
}
