//! Scripts that installers run. Nothing is run here, so a package has to do without.

use std::collections::BTreeMap;

use crate::closure::NodePlatform;
use crate::layer::PackageFile;
use crate::workspace::PackageJson;
use crate::workspace::lockfiles::{DependencyKind, LockedPackage, Lockfile, Target};

/// The scripts of a package that an installer runs, in their order.
///
/// Source: npm's documentation, "Scripts", "Life Cycle Operation Order"; `prepare` runs only where a package is made.
const SCRIPTS: [&str; 3] = ["preinstall", "install", "postinstall"];

/// What npm runs where a package has sources to compile and does not say how.
const COMPILES: &str = "node-gyp rebuild";

/// What an installer would run.
pub(super) struct InstallScript {
    /// The commands.
    pub text: String,
}

impl InstallScript {
    /// The script of a package, if it has one; of one without a script if it has a `binding.gyp`.
    pub fn of(package_json: &PackageJson, has_binding_gyp: bool) -> Option<Self> {
        let scripts = &package_json.scripts;
        let named = named(scripts);
        let compiles = !scripts.contains_key("preinstall") && !scripts.contains_key("install");
        match named {
            text if compiles && has_binding_gyp => {
                let and_more = if text.is_empty() { text } else { format!("; {text}") };
                Some(Self { text: format!("{COMPILES}{and_more}") })
            }
            text => (!text.is_empty()).then_some(Self { text }),
        }
    }

    /// Whether what the script would bring is there without it: a variant for the platform, as an optional dependency that
    /// the lockfile has or as a file of the package.
    pub fn is_done(
        &self,
        files: &[PackageFile],
        locked: &LockedPackage,
        lockfile: &Lockfile,
        platform: &NodePlatform,
    ) -> bool {
        has_variant(locked, lockfile, platform) || has_prebuild(files, platform)
    }
}

/// The scripts that an installer runs, as one text; empty where they do nothing.
fn named(scripts: &BTreeMap<String, String>) -> String {
    let does_something = |text: &&str| !matches!(*text, "" | ":" | "true" | "exit 0");
    let texts = SCRIPTS.iter().filter_map(|name| scripts.get(*name)).map(|text| text.trim());
    texts.filter(does_something).collect::<Vec<_>>().join("; ")
}

/// What an installer would run for the root of a workspace or a member.
pub(super) fn own_script(package_json: &PackageJson) -> Option<String> {
    Some(named(&package_json.scripts)).filter(|text| !text.is_empty())
}

fn has_variant(locked: &LockedPackage, lockfile: &Lockfile, platform: &NodePlatform) -> bool {
    let optional = locked.dependencies.values().filter(|edge| edge.kind == DependencyKind::Optional);
    optional
        .filter_map(|edge| match &edge.target {
            Target::Package(id) => lockfile.packages.get(id)?.limits.as_ref(),
            Target::Member(_) | Target::Absent => None,
        })
        .any(|limits| {
            // What is made for everything is no variant.
            (!limits.os.is_empty() || !limits.cpu.is_empty()) && platform.suits(limits)
        })
}

/// Whether a package has what `node-gyp-build` looks for: `prebuilds/OS-CPU/TAGS.node`, of which the CPU may be several
/// with `+` between, and the tags may name a C library.
///
/// Source: `node-gyp-build`, `node-gyp-build.js` (4.8): `parseTuple`, `matchTuple`, `parseTags`, `matchTags`.
fn has_prebuild(files: &[PackageFile], platform: &NodePlatform) -> bool {
    files.iter().any(|file| {
        let mut parts = file.path.split('/');
        let (Some("prebuilds"), Some(directory), Some(name), None) =
            (parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return false;
        };
        let Some(tags) = name.strip_suffix(".node") else { return false };
        let Some((os, cpus)) = directory.split_once('-') else { return false };
        let libc = tags.split('.').find(|tag| matches!(*tag, "glibc" | "musl"));
        let other_runtime = tags.split('.').any(|tag| matches!(tag, "electron" | "node-webkit"));
        os == platform.os
            && cpus.split('+').any(|cpu| cpu == platform.cpu)
            && !other_runtime
            && libc.is_none_or(|libc| platform.libc.as_deref().is_none_or(|wanted| wanted == libc))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::Digest;

    #[test]
    fn scripts() {
        let table: [(&str, &str, bool, Option<&str>); 7] = [
            ("none", r#"{"scripts":{"test":"x","prepare":"y"}}"#, false, None),
            ("one", r#"{"scripts":{"postinstall":"node x"}}"#, false, Some("node x")),
            ("two", r#"{"scripts":{"postinstall":"b","install":"a"}}"#, false, Some("a; b")),
            ("nothing", r#"{"scripts":{"preinstall":" exit 0","postinstall":"true"}}"#, false, None),
            ("sources", "{}", true, Some("node-gyp rebuild")),
            ("sources and more", r#"{"scripts":{"postinstall":"b"}}"#, true, Some("node-gyp rebuild; b")),
            ("sources and how", r#"{"scripts":{"install":"a"}}"#, true, Some("a")),
        ];
        for (comment, json, has_binding_gyp, expected) in table {
            let package_json = PackageJson::parse(json.as_bytes()).unwrap();
            let found = InstallScript::of(&package_json, has_binding_gyp).map(|script| script.text);
            assert_eq!(found.as_deref(), expected, "{comment}");
        }
    }

    #[test]
    fn prebuilds() {
        let platform = NodePlatform { os: "linux".to_owned(), cpu: "x64".to_owned(), libc: Some("musl".to_owned()) };
        let table: [(&str, &str, bool); 8] = [
            ("of this library", "prebuilds/linux-x64/bcrypt.musl.node", true),
            ("of any library", "prebuilds/linux-x64/node.napi.node", true),
            ("of another library", "prebuilds/linux-x64/bcrypt.glibc.node", false),
            ("of two processors", "prebuilds/linux-arm64+x64/node.napi.musl.node", true),
            ("of another processor", "prebuilds/linux-arm64/node.napi.musl.node", false),
            ("of another system", "prebuilds/darwin-x64/node.napi.node", false),
            ("for another runtime", "prebuilds/linux-x64/electron.napi.node", false),
            ("no module", "prebuilds/linux-x64/readme.txt", false),
        ];
        for (comment, file, expected) in table {
            let (path, digest) = (file.to_owned(), Digest::of(b""));
            let file = PackageFile { path, executable: false, size: 0, digest, offset: 0 };
            assert_eq!(has_prebuild(&[file], &platform), expected, "{comment}");
        }
    }
}
