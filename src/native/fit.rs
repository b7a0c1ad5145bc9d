//! Whether a base can load a file of native code, and why not.

use std::collections::BTreeSet;
use std::fmt;

use super::{BaseLibraries, Binary, Elf, ForeignFormat, Libc, Library, LibraryAnswers};

/// What musl takes for itself: names that begin with `lib`, one of these and a dot.
///
/// Source: musl, `ldso/dynlink.c`, `load_library`.
const OF_MUSL: [&str; 7] = ["c.", "pthread.", "rt.", "m.", "dl.", "util.", "xnet."];

/// The library that lets programs for glibc run with musl, if the base has it.
const GCOMPAT: &str = "libgcompat.so.0";

/// Why a base cannot load a file.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Misfit {
    /// It is for another system.
    System(&'static str),
    /// It is for another processor.
    Cpu {
        /// That of the file, as `process.arch` says it.
        made_for: String,
        /// That of the image.
        wanted: String,
    },
    /// It was linked against another C library.
    Libc {
        /// That of the file.
        made_for: Libc,
        /// That of the base.
        base: Libc,
        /// What the base lacks of it, where that is known.
        lacking: Option<String>,
    },
    /// It needs a version of a library's symbols that the base's does not have.
    Version {
        /// The library.
        library: String,
        /// The version needed.
        needed: String,
        /// The newest that the base has of that kind; empty if it has none.
        newest: String,
    },
    /// It needs a library that neither the base nor a package of the image has.
    Library(String),
    /// It is damaged.
    Damaged,
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System(system) => write!(f, "it is made for {system}"),
            Self::Cpu { made_for, wanted } => write!(f, "it is made for {made_for}, and the image is for {wanted}"),
            Self::Libc { made_for, base, lacking: None } => {
                write!(f, "it is made for {made_for}, and the base has {base}")
            }
            Self::Libc { made_for, base, lacking: Some(lacking) } => {
                write!(f, "it is made for {made_for}, and the base has {base}, without `{lacking}`")
            }
            Self::Version { library, needed, newest } if newest.is_empty() => {
                write!(f, "it needs {needed} of `{library}`, which the base's does not have")
            }
            Self::Version { library, needed, newest } => {
                write!(f, "it needs {needed} of `{library}`, and the base's ends with {newest}")
            }
            Self::Library(name) => {
                write!(f, "it needs `{name}`, which neither the base nor a package of the image has")
            }
            Self::Damaged => f.write_str("it is damaged"),
        }
    }
}

/// How well a file fits a base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fit {
    /// It is made for it, or for any system of this processor.
    Made,
    /// It is made for another C library, but can be loaded.
    Loadable,
    /// It cannot be loaded.
    Not(Misfit),
}

impl Fit {
    /// How a file fits a base with these libraries, in an image for this processor. `shipped` are the names of the libraries
    /// that packages of the image bring along. `None` for what is no native code. What was asked of the base joins `answers`.
    pub fn of(
        binary: &Binary,
        cpu: &str,
        base: &BaseLibraries,
        shipped: &BTreeSet<String>,
        answers: &mut LibraryAnswers,
    ) -> Option<Self> {
        let misfit = match binary {
            Binary::None => return None,
            Binary::Damaged => Some(Misfit::Damaged),
            Binary::Foreign(ForeignFormat::MacOs) => Some(Misfit::System("macOS")),
            Binary::Foreign(ForeignFormat::Windows) => Some(Misfit::System("Windows")),
            Binary::Elf(elf) if elf.cpu != cpu => {
                Some(Misfit::Cpu { made_for: elf.cpu.clone(), wanted: cpu.to_owned() })
            }
            Binary::Elf(elf) => misfit(elf, base, shipped, answers),
        };
        Some(match (misfit, binary) {
            (Some(misfit), _) => Self::Not(misfit),
            (None, Binary::Elf(elf)) if elf.libc().is_some_and(|libc| base.libc.is_some_and(|base| base != libc)) => {
                Self::Loadable
            }
            (None, _) => Self::Made,
        })
    }
}

fn misfit(elf: &Elf, base: &BaseLibraries, shipped: &BTreeSet<String>, answers: &mut LibraryAnswers) -> Option<Misfit> {
    let base_libc = base.libc?;
    let other = elf.libc().filter(|libc| *libc != base_libc);
    let of_libc = |lacking| other.map(|made_for| Misfit::Libc { made_for, base: base_libc, lacking });
    // A base of which nothing is known but the name of its C library.
    if base.c_library().is_none() || other == Some(Libc::Bionic) {
        return of_libc(None);
    }
    if let Some(interpreter) = &elf.interpreter {
        let name = interpreter.rsplit('/').next().unwrap_or(interpreter);
        if !answers.has_library(base, name) {
            return of_libc(Some(name.to_owned())).or_else(|| Some(Misfit::Library(name.to_owned())));
        }
    }
    for name in &elf.needed {
        let is_of_itself = base_libc == Libc::Musl && is_of_musl(name);
        if !(is_of_itself || shipped.contains(name) || answers.has_library(base, name)) {
            let is_libc = name.starts_with("ld-") || name.starts_with("libc.");
            let of_libc = of_libc(Some(name.clone())).filter(|_| is_libc);
            return of_libc.or_else(|| Some(Misfit::Library(name.clone())));
        }
    }
    match base_libc {
        Libc::Musl if elf.glibc_symbols.is_empty() => None,
        Libc::Musl if shipped.contains(GCOMPAT) || answers.has_library(base, GCOMPAT) => None,
        Libc::Musl => {
            let lacking = elf.glibc_symbols.iter().find(|symbol| !answers.has_symbol(base, symbol));
            lacking.and_then(|symbol| of_libc(Some(symbol.clone())))
        }
        Libc::Glibc | Libc::Bionic => elf.versions.iter().find_map(|(library, needed)| {
            let offered = offered_versions(library, base, shipped)?;
            needed.iter().rev().find_map(|version| {
                answers.is_as_new(base, library, version);
                lacking_version(library, version, offered)
            })
        }),
    }
}

/// Whether musl is what a file gets that needs this library.
fn is_of_musl(name: &str) -> bool {
    name.strip_prefix("lib").is_some_and(|rest| OF_MUSL.iter().any(|own| rest.starts_with(own)))
}

/// Whether musl has a symbol of glibc: by this name, or by that without `64`, as its loader tries.
///
/// Source: musl, `ldso/dynlink.c`, `get_lfs64` (1.2.4).
pub(super) fn musl_has(musl: &Library, symbol: &str) -> bool {
    let has = |symbol: &str| musl.symbols.contains(symbol);
    has(symbol)
        || symbol.strip_suffix("64").is_some_and(has)
        || symbol.strip_suffix("64_r").is_some_and(|start| has(&format!("{start}_r")))
}

/// The versions of a library, where they are known: those of all of glibc's libraries are those of its largest.
pub(super) fn offered_versions<'a>(
    library: &str,
    base: &'a BaseLibraries,
    shipped: &BTreeSet<String>,
) -> Option<&'a BTreeSet<String>> {
    if shipped.contains(library) {
        return None;
    }
    let of_glibc = ["libm.so", "libpthread.so", "libdl.so", "librt.so", "libutil.so", "libc.so", "ld-linux", "ld64.so"];
    let name = if of_glibc.iter().any(|start| library.starts_with(start)) { "libc.so.6" } else { library };
    base.described.get(name).map(|library| &library.versions)
}

pub(super) fn lacking_version(library: &str, needed: &str, offered: &BTreeSet<String>) -> Option<Misfit> {
    let (kind, number) = needed.split_once('_')?;
    if offered.contains(needed) {
        return None;
    }
    let of_kind = offered.iter().filter_map(|version| version.strip_prefix(kind)?.strip_prefix('_'));
    let newest = of_kind.filter_map(|text| Some((numbers(text)?, text))).max();
    // glibc's smaller libraries have versions that its largest does not repeat: what counts is that it is as new.
    match (newest, numbers(number)) {
        (Some((newest, _)), Some(number)) if newest >= number => None,
        (newest, _) => Some(Misfit::Version {
            library: library.to_owned(),
            needed: needed.to_owned(),
            newest: newest.map(|(_, text)| format!("{kind}_{text}")).unwrap_or_default(),
        }),
    }
}

/// `2.34` as numbers; `None` for a version that is none, such as `PRIVATE`.
fn numbers(version: &str) -> Option<Vec<u32>> {
    version.split('.').map(|part| part.parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn names(names: &[&str]) -> BTreeSet<String> {
        names.iter().map(|name| (*name).to_owned()).collect()
    }

    fn glibc_base() -> BaseLibraries {
        let versions = |versions: &[&str]| Library { versions: names(versions), ..Library::default() };
        BaseLibraries {
            libc: Some(Libc::Glibc),
            names: names(&["libc.so.6", "libm.so.6", "libstdc++.so.6", "ld-linux-x86-64.so.2"]),
            described: BTreeMap::from([
                ("libc.so.6".to_owned(), versions(&["GLIBC_2.2.5", "GLIBC_2.9", "GLIBC_2.31", "GLIBC_PRIVATE"])),
                ("libstdc++.so.6".to_owned(), versions(&["GLIBCXX_3.4", "GLIBCXX_3.4.28", "CXXABI_1.3"])),
            ]),
        }
    }

    fn musl_base() -> BaseLibraries {
        let musl = Library { symbols: names(&["malloc", "open", "readdir_r"]), ..Library::default() };
        BaseLibraries {
            libc: Some(Libc::Musl),
            names: names(&["ld-musl-x86_64.so.1", "libc.musl-x86_64.so.1", "libstdc++.so.6"]),
            described: BTreeMap::from([("libc.so".to_owned(), musl)]),
        }
    }

    fn elf(needed: &[&str], versions: &[(&str, &[&str])], symbols: &[&str]) -> Elf {
        let versions = versions.iter().map(|(library, versions)| ((*library).to_owned(), names(versions)));
        Elf {
            cpu: "x64".into(),
            needed: needed.iter().map(|name| (*name).to_owned()).collect(),
            versions: versions.collect(),
            glibc_symbols: names(symbols),
            ..Elf::default()
        }
    }

    #[test]
    fn reasons() {
        let told = |elf: Elf, base: &BaseLibraries, shipped: &[&str]| match Fit::of(
            &Binary::Elf(elf),
            "x64",
            base,
            &names(shipped),
            &mut LibraryAnswers::default(),
        ) {
            Some(Fit::Not(misfit)) => misfit.to_string(),
            other => format!("{:?}", other.unwrap()),
        };
        let (glibc, musl) = (glibc_base(), musl_base());
        let nothing_known = BaseLibraries::default();
        let name_only = BaseLibraries { libc: Some(Libc::Musl), ..BaseLibraries::default() };
        let of_glibc = || elf(&["libc.so.6"], &[("libc.so.6", &["GLIBC_2.2.5"])], &["malloc"]);
        let of_musl = || elf(&["libc.musl-x86_64.so.1"], &[], &[]);
        let program = |interpreter: &str| Elf { interpreter: Some(interpreter.into()), ..elf(&[], &[], &[]) };
        let libc = |versions: &'static [&str]| elf(&["libc.so.6"], &[("libc.so.6", versions)], &[]);
        let cxx = |versions: &'static [&str]| elf(&["libstdc++.so.6"], &[("libstdc++.so.6", versions)], &[]);
        let table: Vec<(&str, Elf, &BaseLibraries, &[&str], &str)> = vec![
            ("the same library", of_glibc(), &glibc, &[], "Made"),
            ("needs no library", elf(&[], &[], &[]), &musl, &[], "Made"),
            ("glibc's symbols that musl has", of_glibc(), &musl, &[], "Loadable"),
            (
                "glibc's symbols that musl does not have",
                elf(&["libc.so.6"], &[("libc.so.6", &["GLIBC_2.4"])], &["__memcpy_chk", "malloc"]),
                &musl,
                &[],
                "it is made for glibc, and the base has musl, without `__memcpy_chk`",
            ),
            (
                "names that musl's loader knows otherwise",
                elf(&["libc.so.6"], &[("libc.so.6", &["GLIBC_2.2.5"])], &["open64", "readdir64_r"]),
                &musl,
                &[],
                "Loadable",
            ),
            (
                "glibc's loader",
                elf(&["libm.so.6", "ld-linux-x86-64.so.2"], &[], &[]),
                &musl,
                &[],
                "it is made for glibc, and the base has musl, without `ld-linux-x86-64.so.2`",
            ),
            (
                "musl on glibc",
                of_musl(),
                &glibc,
                &[],
                "it is made for musl, and the base has glibc, without `libc.musl-x86_64.so.1`",
            ),
            ("a program", program("/lib/ld-musl-x86_64.so.1"), &musl, &[], "Made"),
            (
                "a program for glibc",
                program("/lib64/ld-linux-x86-64.so.2"),
                &musl,
                &[],
                "it is made for glibc, and the base has musl, without `ld-linux-x86-64.so.2`",
            ),
            (
                "Android",
                program("/system/bin/linker64"),
                &glibc,
                &[],
                "it is made for Android's C library, and the base has glibc",
            ),
            ("as new", libc(&["GLIBC_2.31"]), &glibc, &[], "Made"),
            ("older, by numbers and not by letters", libc(&["GLIBC_2.14"]), &glibc, &[], "Made"),
            (
                "too new",
                libc(&["GLIBC_2.2.5", "GLIBC_2.34"]),
                &glibc,
                &[],
                "it needs GLIBC_2.34 of `libc.so.6`, and the base's ends with GLIBC_2.31",
            ),
            (
                "too new for the C++ library",
                cxx(&["CXXABI_1.3", "GLIBCXX_3.4.32"]),
                &glibc,
                &[],
                "it needs GLIBCXX_3.4.32 of `libstdc++.so.6`, and the base's ends with GLIBCXX_3.4.28",
            ),
            ("a C++ library of its own", cxx(&["GLIBCXX_3.4.32"]), &glibc, &["libstdc++.so.6"], "Made"),
            (
                "a library that nobody has",
                elf(&["libvips-cpp.so.42"], &[], &[]),
                &musl,
                &[],
                "it needs `libvips-cpp.so.42`, which neither the base nor a package of the image has",
            ),
            ("a library of a package", elf(&["libvips-cpp.so.42"], &[], &[]), &musl, &["libvips-cpp.so.42"], "Made"),
            ("a base that says nothing", of_musl(), &nothing_known, &[], "Made"),
            ("a base with a name only", of_musl(), &name_only, &[], "Made"),
            ("the other name", of_glibc(), &name_only, &[], "it is made for glibc, and the base has musl"),
            (
                "another processor",
                Elf { cpu: "arm64".into(), ..of_glibc() },
                &glibc,
                &[],
                "it is made for arm64, and the image is for x64",
            ),
        ];
        for (comment, elf, base, shipped, expected) in table {
            assert_eq!(told(elf, base, shipped), expected, "{comment}");
        }
        let of = |binary| Fit::of(&binary, "x64", &musl, &BTreeSet::new(), &mut LibraryAnswers::default());
        assert_eq!(of(Binary::None), None);
        assert_eq!(of(Binary::Foreign(ForeignFormat::MacOs)), Some(Fit::Not(Misfit::System("macOS"))));
        assert_eq!(of(Binary::Damaged), Some(Fit::Not(Misfit::Damaged)));
    }
}
