use std::collections::{BTreeMap, BTreeSet};

use super::{Libc, Library};

/// The directories in which loaders look for libraries, and below which distributions put others.
const DIRECTORIES: [&str; 5] = ["/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"];

/// What a base has for native code to be loaded with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BaseLibraries {
    /// Its C library; `None` where nothing of it says which.
    pub libc: Option<Libc>,
    /// The names of the files in its directories of libraries.
    pub names: BTreeSet<String>,
    /// What the C library and that of C++ offer, by the name under which files need them. Without that of the C library
    /// nothing can be said of libraries at all.
    pub described: BTreeMap<String, Library>,
}

/// Whether what a library of a base offers has to be known: the C libraries and that of C++.
pub fn is_described_library(path: &str) -> bool {
    needed_as(path).is_some()
}

/// The name under which files need a library of this path, for libraries that are described: versions may stand in the
/// name of the file to which that name is a link.
fn needed_as(path: &str) -> Option<&'static str> {
    let (dir, name) = path.rsplit_once('/')?;
    if !is_directory_of_libraries(dir) {
        return None;
    }
    match name {
        "libc.so.6" => Some("libc.so.6"),
        name if name.starts_with("libc-2.") && name.ends_with(".so") => Some("libc.so.6"),
        name if name.starts_with("ld-musl-") => Some("libc.so"),
        name if name.starts_with("libstdc++.so.6") && !name.ends_with(".py") => Some("libstdc++.so.6"),
        _ => None,
    }
}

fn is_directory_of_libraries(dir: &str) -> bool {
    DIRECTORIES.iter().any(|known| dir.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with('/')))
}

impl BaseLibraries {
    /// The libraries of a base with this C library, of the paths it has; `describe` gives what is known of the file at one.
    pub fn of<'a>(
        libc: Option<Libc>,
        paths: impl Iterator<Item = &'a str>,
        describe: impl Fn(&str) -> Option<&'a Library>,
    ) -> Self {
        let mut libraries = Self { libc, ..Self::default() };
        for path in paths {
            let Some((dir, name)) = path.rsplit_once('/').filter(|(dir, _)| is_directory_of_libraries(dir)) else {
                continue;
            };
            debug_assert!(!dir.is_empty());
            // Files of other kinds lie there too, in their thousands.
            if name.contains(".so") {
                libraries.names.insert(name.to_owned());
            }
            if let (Some(needed_as), Some(library)) = (needed_as(path), describe(path)) {
                libraries.described.insert(needed_as.to_owned(), library.clone());
            }
        }
        libraries
    }

    /// The C library, where it is known what it offers.
    pub(super) fn c_library(&self) -> Option<&Library> {
        self.described.get(match self.libc? {
            Libc::Musl => "libc.so",
            Libc::Glibc | Libc::Bionic => "libc.so.6",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_known_by_their_places() {
        let paths = [
            ("/lib/ld-musl-x86_64.so.1", Some("libc.so")),
            ("/usr/lib/x86_64-linux-gnu/libc.so.6", Some("libc.so.6")),
            ("/lib/x86_64-linux-gnu/libc-2.31.so", Some("libc.so.6")),
            ("/usr/lib/libstdc++.so.6.0.32", Some("libstdc++.so.6")),
            ("/usr/share/gdb/auto-load/usr/lib/libstdc++.so.6.0.32-gdb.py", None),
            ("/usr/lib/libz.so.1", None),
            ("/library/libc.so.6", None),
            ("libc.so.6", None),
        ];
        for (path, expected) in paths {
            assert_eq!(needed_as(path), expected, "{path}");
        }
        let library = Library { versions: BTreeSet::from(["GLIBC_2.36".to_owned()]), ..Library::default() };
        let describe = |path: &str| (path == "/lib64/libc.so.6").then_some(&library);
        let paths = ["/lib64/libc.so.6", "/opt/libx.so", "/usr/lib/os-release", "/usr/local/lib/a/libz.so.1"];
        let libraries = BaseLibraries::of(Some(Libc::Glibc), paths.into_iter(), describe);
        assert_eq!(libraries.names.iter().collect::<Vec<_>>(), ["libc.so.6", "libz.so.1"]);
        assert_eq!(libraries.c_library(), Some(&library));
    }
}
