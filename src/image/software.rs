use super::{BaseFiles, BaseImage};
use crate::path::ImagePath;

/// What of a base a service notices: told by its config and by files that it holds. `None` where nothing tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseSoftware {
    /// The version of Node, such as `20.18.0`.
    pub node: Option<String>,
    /// The distribution with its version, such as `Alpine Linux 3.21.3`.
    pub os: Option<String>,
    /// The C library, with its version where a package database tells it, such as `musl 1.2.5-r9`.
    pub libc: Option<String>,
}

impl BaseSoftware {
    /// What a base has.
    pub fn of(image: &BaseImage, files: &BaseFiles) -> Self {
        let env = &image.config.parsed().config.env;
        let variable = env.iter().find_map(|variable| variable.strip_prefix("NODE_VERSION="));
        Self { node: variable.map(str::to_owned).or_else(|| node(files)), os: os(files), libc: libc(files) }
    }
}

fn text<'f>(files: &'f BaseFiles, path: &str) -> Option<&'f str> {
    files.kept_text(&ImagePath::new(path).ok()?)
}

/// Where nobody set `NODE_VERSION`: what Node's own header says, else a package of the distribution.
fn node(files: &BaseFiles) -> Option<String> {
    let headers = ["/usr/local/include/node/node_version.h", "/usr/include/node/node_version.h"];
    let header = headers.iter().find_map(|path| text(files, path));
    let number = |name: &str| {
        let mut definitions = header?.lines().filter_map(|line| line.strip_prefix("#define ")?.strip_prefix(name));
        definitions.find_map(|rest| rest.trim().parse::<u32>().ok())
    };
    let parts = ["NODE_MAJOR_VERSION ", "NODE_MINOR_VERSION ", "NODE_PATCH_VERSION "].map(number);
    match parts {
        [Some(major), Some(minor), Some(patch)] => Some(format!("{major}.{minor}.{patch}")),
        _ => package(files, "nodejs"),
    }
}

/// `NAME` of os-release, with the point release that Alpine and Debian keep elsewhere, else with `VERSION_ID`.
fn os(files: &BaseFiles) -> Option<String> {
    let release = text(files, "/etc/os-release").or_else(|| text(files, "/usr/lib/os-release"))?;
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim().trim_matches(['"', '\''])).filter(|value| !value.is_empty())
    };
    let precise = match value("ID") {
        Some("alpine") => text(files, "/etc/alpine-release"),
        Some("debian") => text(files, "/etc/debian_version"),
        _ => None,
    };
    let version = precise.map(str::trim).filter(|version| !version.is_empty()).or_else(|| value("VERSION_ID"));
    let name = value("NAME").or_else(|| value("ID"))?;
    Some(version.map_or_else(|| name.to_owned(), |version| format!("{name} {version}")))
}

fn libc(files: &BaseFiles) -> Option<String> {
    let kind = files.libc()?;
    let version = package(files, if kind == "musl" { "musl" } else { "libc6" });
    Some(version.map_or_else(|| kind.to_owned(), |version| format!("{kind} {version}")))
}

/// The version of an installed package, as apk's or dpkg's database has it.
///
/// Sources: apk-package(5) and the Alpine wiki, "Apk spec" (`P:`, `V:`); deb-control(5) (`Package:`, `Version:`).
fn package(files: &BaseFiles, name: &str) -> Option<String> {
    const DATABASES: [(&str, &str, &str); 4] = [
        ("/lib/apk/db/installed", "P:", "V:"),
        ("/usr/lib/apk/db/installed", "P:", "V:"),
        ("/var/lib/dpkg/status", "Package: ", "Version: "),
        ("/var/lib/dpkg/status.d/libc6", "Package: ", "Version: "),
    ];
    DATABASES.iter().find_map(|(path, name_key, version_key)| {
        let mut paragraphs = text(files, path)?.split("\n\n");
        let is_it = |paragraph: &&str| paragraph.lines().any(|line| line.strip_prefix(name_key) == Some(name));
        let version = paragraphs.find(is_it)?.lines().find_map(|line| line.strip_prefix(version_key));
        version.map(str::to_owned)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{ForeignEntry, ForeignKind, LayerListing};

    fn files(texts: &[(&str, &str)]) -> BaseFiles {
        let entry = |(path, text): &(&str, &str)| ForeignEntry {
            path: (*path).to_owned(),
            kind: ForeignKind::Text((*text).to_owned()),
            mode: 0o644,
            uid: 0,
            gid: 0,
        };
        BaseFiles::merge([&LayerListing { entries: texts.iter().map(entry).collect() }])
    }

    #[test]
    fn what_files_tell() {
        let alpine = "NAME=\"Alpine Linux\"\nID=alpine\nVERSION_ID=3.21.3\n";
        let debian =
            "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nNAME=\"Debian GNU/Linux\"\nVERSION_ID=\"12\"\nID=debian\n";
        let header = "#define NODE_MAJOR_VERSION 20\n#define NODE_MINOR_VERSION 18\n#define NODE_PATCH_VERSION 1\n";
        let installed = "C:Q1x=\nP:musl\nV:1.2.5-r9\n\nP:nodejs\nV:20.15.1-r0\n";
        let status = "Package: bash\nVersion: 5.2\n\nPackage: libc6\nStatus: install ok installed\nVersion: 2.36-9\n";
        type Row<'a> = (&'a str, &'a [(&'a str, &'a str)], [Option<&'a str>; 3]);
        let table: [Row<'_>; 6] = [
            (
                "Alpine with its own Node",
                &[
                    ("/etc/os-release", alpine),
                    ("/etc/alpine-release", "3.21.4\n"),
                    ("/lib/apk/db/installed", installed),
                    ("/lib/ld-musl-x86_64.so.1", ""),
                ],
                [Some("20.15.1-r0"), Some("Alpine Linux 3.21.4"), Some("musl 1.2.5-r9")],
            ),
            (
                "Debian with Node's headers",
                &[
                    ("/usr/lib/os-release", debian),
                    ("/etc/debian_version", "12.5\n"),
                    ("/var/lib/dpkg/status", status),
                    ("/usr/lib/x86_64-linux-gnu/libc.so.6", ""),
                    ("/usr/local/include/node/node_version.h", header),
                ],
                [Some("20.18.1"), Some("Debian GNU/Linux 12.5"), Some("glibc 2.36-9")],
            ),
            ("Debian without the rest", &[("/etc/os-release", debian)], [None, Some("Debian GNU/Linux 12"), None]),
            ("a distribution of no version", &[("/etc/os-release", "ID=wolfi\n")], [None, Some("wolfi"), None]),
            ("a loader alone", &[("/lib/ld-musl-x86_64.so.1", "")], [None, None, Some("musl")]),
            ("nothing", &[], [None, None, None]),
        ];
        for (comment, texts, expected) in table {
            let files = files(texts);
            let found = [node(&files), os(&files), libc(&files)];
            assert_eq!(found.each_ref().map(Option::as_deref), expected, "{comment}");
        }
    }
}
