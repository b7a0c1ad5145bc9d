//! The step that compares `engines` of package.json files with the Node of the base, by the rules of the workspace's
//! package manager.

use std::collections::{BTreeMap, BTreeSet};

use nodejs_semver::{Range, Version};

use super::base::{Bases, base_name};
use super::plan::{Needs, ServiceClosure};
use super::platforms::Platforms;
use super::{BuildError, Context};
use crate::closure::{EdgeKind, Packages, Reason};
use crate::config::Engines;
use crate::image::{BaseFiles, BaseImage, BaseSoftware};
use crate::npm_registry::EngineRules;
use crate::workspace::WorkspacePath;

/// How many packages a message names.
const NAMED: usize = 3;

/// Why a base has the wrong Node.
#[derive(Debug, thiserror::Error)]
pub enum EnginesError {
    /// The root or a member asks for another.
    #[error("`{base}` has Node {version}, and `engines` asks for `{wanted}`: `{file}`")]
    Member {
        /// The base.
        base: String,
        /// Its Node.
        version: String,
        /// The range asked for.
        wanted: String,
        /// The package.json that does.
        file: String,
    },
    /// Packages do.
    #[error("{asking} another Node than the {version} of the base ({packages}): `{base}`")]
    Packages {
        /// The base.
        base: String,
        /// Its Node.
        version: String,
        /// Such as `5 packages ask for`.
        asking: String,
        /// Some of them.
        packages: String,
    },
}

impl EnginesError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some("name a base with such a Node, such as `--base node:22-alpine`; or set `engines = \"warn\"` in pirogue.toml".into())
    }
}

/// Compares them for every service and platform, and says of each base once what is wrong.
pub(super) fn compare(needs: &[Needs<'_>], bases: &Bases, context: &Context) -> Result<(), BuildError> {
    let Some(Needs { packages, target, .. }) = needs.first() else { return Ok(()) };
    let Platforms { settings, request, .. } = target.platforms;
    let workspace = packages.workspace();
    let rules = match settings.engines {
        Some(Engines::Ignore) => return Ok(()),
        Some(engines) => {
            let refuses = engines == Engines::Error;
            EngineRules { refuses_members: refuses, refuses_packages: refuses }
        }
        None => EngineRules::read(workspace.package_manager, &workspace.root, context.npm.home.as_ref())?,
    };
    let mut asked: BTreeMap<(String, Option<Version>), Asked> = BTreeMap::new();
    for Needs { target, packages, closures, .. } in needs {
        for needs in &closures.services {
            let base = base_name(&needs.service.name, settings, request);
            let Some(resolved) = bases.get(&base, target.platform) else { continue };
            let version = node_version(&resolved.image, &resolved.files);
            asked.entry((base, version)).or_default().add(needs, *packages)?;
        }
    }
    for ((base, version), asked) in asked {
        asked.compare(&base, version, rules, context)?;
    }
    Ok(())
}

/// What is asked for on one base: by file or package, the range.
#[derive(Default)]
struct Asked {
    members: BTreeSet<(String, String)>,
    packages: BTreeSet<(String, String)>,
}

impl Asked {
    /// Adds what a service and its packages ask for.
    fn add(&mut self, needs: &ServiceClosure, packages: &dyn Packages) -> Result<(), BuildError> {
        let members = needs.closure.members.keys().chain([&needs.service.dir]).cloned();
        for dir in members.chain([WorkspacePath::default()]) {
            let package_json = packages.package_json(&dir)?;
            let file = dir.as_path().join("package.json").display().to_string();
            self.members.extend(package_json.node.clone().map(|wanted| (file, wanted)));
        }
        for package in needs.closure.packages.values() {
            // What is optional is left out by installers, and does not have to work.
            let is_optional = matches!(package.reason, Reason::Dependency { kind: EdgeKind::Optional, .. });
            let wanted = package.package_json.node.clone().filter(|_| !is_optional);
            self.packages.extend(wanted.map(|wanted| (package.package_json.label(), wanted)));
        }
        Ok(())
    }

    fn compare(
        self,
        base: &str,
        version: Option<Version>,
        rules: EngineRules,
        context: &Context,
    ) -> Result<(), EnginesError> {
        let base = base.to_owned();
        let Some(version) = version else {
            if !self.members.is_empty() || !self.packages.is_empty() {
                context
                    .progress
                    .warn(&format!("`engines` are not looked at: nothing says which Node the base has: `{base}`"));
            }
            return Ok(());
        };
        for (file, wanted) in self.members.into_iter().filter(|(_, wanted)| !satisfies(&version, wanted)) {
            let error = EnginesError::Member { base: base.clone(), version: version.to_string(), wanted, file };
            told(error, rules.refuses_members, context)?;
        }
        let mut others: Vec<(String, String)> =
            self.packages.into_iter().filter(|(_, wanted)| !satisfies(&version, wanted)).collect();
        if others.is_empty() {
            return Ok(());
        }
        // Those first that ask for the newest.
        others.sort_by_key(|(_, wanted)| {
            std::cmp::Reverse(Range::parse(wanted).ok().and_then(|range| range.min_version()))
        });
        let (asking, packages) = (asking(others.len()), list(&others));
        let error = EnginesError::Packages { base, version: version.to_string(), asking, packages };
        told(error, rules.refuses_packages, context)
    }
}

fn told(error: EnginesError, refuses: bool, context: &Context) -> Result<(), EnginesError> {
    if refuses {
        return Err(error);
    }
    context.progress.warn(&error.to_string());
    Ok(())
}

fn asking(count: usize) -> String {
    if count == 1 { "one package asks for".to_owned() } else { format!("{count} packages ask for") }
}

fn list(packages: &[(String, String)]) -> String {
    let named = packages.iter().take(NAMED).map(|(label, wanted)| format!("`{label}`: `{wanted}`"));
    let more = packages.len().saturating_sub(NAMED);
    let and_more = if more > 0 { format!(", and {more} more") } else { String::new() };
    format!("{}{and_more}", named.collect::<Vec<_>>().join(", "))
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

    #[test]
    fn lists_name_a_few() {
        let package = |name: &str| (name.to_owned(), ">=22".to_owned());
        assert_eq!(list(&[package("a@1")]), "`a@1`: `>=22`");
        let many: Vec<_> = ["a@1", "b@1", "c@1", "d@1", "e@1"].map(package).into();
        assert_eq!(list(&many), "`a@1`: `>=22`, `b@1`: `>=22`, `c@1`: `>=22`, and 2 more");
    }
}
