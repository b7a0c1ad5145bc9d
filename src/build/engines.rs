//! The step that compares `engines` of package.json files with the Node of the base, by the rules of the workspace's
//! package manager.

use std::collections::{BTreeMap, BTreeSet};

use nodejs_semver::{Range, Version};

use super::base::{ResolvedBase, base_name};
use super::plan::{Closures, Platforms};
use super::{BuildError, Context};
use crate::closure::{EdgeKind, Packages, Reason};
use crate::config::Engines;
use crate::image::BaseFiles;
use crate::npm_registry::EngineRules;
use crate::path::ImagePath;
use crate::workspace::WorkspacePath;

/// Where Node's headers say its version.
const HEADERS: [&str; 2] = ["/usr/local/include/node/node_version.h", "/usr/include/node/node_version.h"];

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

/// Compares them for every service, and says of each base once what is wrong.
pub(super) fn compare(
    closures: &Closures,
    packages: &dyn Packages,
    platforms: &Platforms<'_>,
    context: &Context,
) -> Result<(), BuildError> {
    let said = platforms.settings.engines;
    let Some(bases) = platforms.bases.as_deref().filter(|_| said != Some(Engines::Ignore)) else { return Ok(()) };
    let workspace = packages.workspace();
    let rules = match said {
        Some(engines) => {
            let refuses = engines == Engines::Error;
            EngineRules { refuses_members: refuses, refuses_packages: refuses }
        }
        None => EngineRules::read(workspace.package_manager, &workspace.root, context.npm.home.as_ref())?,
    };
    let mut asked: BTreeMap<String, Asked> = BTreeMap::new();
    for needs in &closures.services {
        let base = base_name(&needs.service.name, platforms.settings, platforms.request);
        let asked = asked.entry(base).or_default();
        let members = needs.closure.members.keys().chain([&needs.service.dir]).cloned();
        for dir in members.chain([WorkspacePath::default()]) {
            let package_json = packages.package_json(&dir)?;
            let file = dir.as_path().join("package.json").display().to_string();
            asked.members.extend(package_json.node.clone().map(|wanted| (file, wanted)));
        }
        for package in needs.closure.packages.values() {
            // What is optional is left out by installers, and does not have to work.
            let is_optional = matches!(package.reason, Reason::Dependency { kind: EdgeKind::Optional, .. });
            let wanted = package.package_json.node.clone().filter(|_| !is_optional);
            asked.packages.extend(wanted.map(|wanted| (package.package_json.label(), wanted)));
        }
    }
    for (base, asked) in asked {
        if let Some(resolved) = bases.get(&base) {
            asked.compare(&base, node_version(resolved), rules, context)?;
        }
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

/// The Node of a base: what its environment says, as Node's own images have it, else what Node's headers say.
fn node_version(base: &ResolvedBase) -> Option<Version> {
    let env = &base.image.config.parsed().config.env;
    let said = env.iter().find_map(|variable| variable.strip_prefix("NODE_VERSION="));
    let said = said.and_then(|version| Version::parse(version.trim_start_matches('v')).ok());
    said.or_else(|| version_of_headers(&base.files))
}

fn version_of_headers(files: &BaseFiles) -> Option<Version> {
    let header = HEADERS.iter().find_map(|path| files.text(&ImagePath::new(path).ok()?))?;
    let number = |name: &str| -> Option<u64> {
        let lines = header.lines().filter_map(|line| line.strip_prefix("#define "));
        let mut values = lines.filter_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        values.next()?.trim().parse().ok()
    };
    let (major, minor) = (number("NODE_MAJOR_VERSION")?, number("NODE_MINOR_VERSION")?);
    Version::parse(format!("{major}.{minor}.{}", number("NODE_PATCH_VERSION")?)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{ForeignEntry, ForeignKind, LayerListing};

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

    #[test]
    fn headers_say_the_version() {
        let text =
            "#ifndef X\n#define NODE_MAJOR_VERSION 22\n#define NODE_MINOR_VERSION 4\n#define NODE_PATCH_VERSION 1\n";
        let files = |text: &str| {
            let kind = ForeignKind::Text(text.to_owned());
            let entry = ForeignEntry { path: HEADERS[0].to_owned(), kind, mode: 0o644, uid: 0, gid: 0 };
            BaseFiles::merge([&LayerListing { entries: vec![entry] }])
        };
        assert_eq!(version_of_headers(&files(text)), Version::parse("22.4.1").ok());
        assert_eq!(version_of_headers(&files("")), None);
    }
}
