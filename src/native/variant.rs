//! Variants of native code for several platforms, in one package or in packages of their own: which of them an image
//! needs. What a file is, its headers say; its name only says what it is not meant for.

use std::collections::BTreeSet;

use super::{Fit, Libc, Misfit};

/// What can be said of a platform by a word in a name.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    System(&'static str),
    Cpu(&'static str),
    Libc(Libc),
    /// A runtime that loads its own builds of addons, and is not Node.
    OtherRuntime,
    /// Says nothing that matters here: an interface, a kind of file.
    Filler,
}

/// The words that name platforms, as `node-gyp-build`, `node-pre-gyp`, napi-rs, Prisma and others write them.
fn words_of(token: &str) -> &'static [Word] {
    use Word::{Cpu, Filler, OtherRuntime, System};
    match token {
        "linux" => &[System("linux")],
        "linuxmusl" | "alpine" => &[System("linux"), Word::Libc(Libc::Musl)],
        "linuxglibc" | "debian" | "rhel" => &[System("linux"), Word::Libc(Libc::Glibc)],
        "darwin" | "macos" | "mac" | "osx" => &[System("darwin")],
        "win32" | "windows" | "win" | "msvc" => &[System("win32")],
        "win64" => &[System("win32"), Cpu("x64")],
        "android" | "androideabi" => &[System("android")],
        "freebsd" => &[System("freebsd")],
        "openbsd" => &[System("openbsd")],
        "netbsd" => &[System("netbsd")],
        "sunos" => &[System("sunos")],
        "aix" => &[System("aix")],
        "ios" => &[System("ios")],
        "x64" | "amd64" | "64" => &[Cpu("x64")],
        "ia32" | "x86" | "32" | "i386" | "i686" => &[Cpu("ia32")],
        "arm64" | "aarch64" | "armv8" => &[Cpu("arm64")],
        "arm" | "armhf" | "armel" | "armv6" | "armv7" | "armv6l" | "armv7l" => &[Cpu("arm")],
        "ppc64" | "ppc64le" => &[Cpu("ppc64")],
        "s390x" => &[Cpu("s390x")],
        "riscv64" => &[Cpu("riscv64")],
        "loong64" => &[Cpu("loong64")],
        "musl" | "musleabihf" | "musleabi" => &[Word::Libc(Libc::Musl)],
        "glibc" | "gnu" | "gnueabihf" => &[Word::Libc(Libc::Glibc)],
        "electron" | "nw" => &[OtherRuntime],
        "node" | "napi" | "so" | "dll" | "dylib" | "universal" | "uv1" => &[Filler],
        _ => &[],
    }
}

/// The words of a path or name, in lower case.
fn tokens(name: &str) -> Vec<String> {
    let name = name.to_ascii_lowercase().replace("x86_64", "x64");
    name.split(['/', '-', '.', '_', '+', '@']).filter(|token| !token.is_empty()).map(str::to_owned).collect()
}

/// Whether a path or name says that what bears it is for another platform than this one.
fn is_for_another(name: &str, cpu: &str, libc: Option<Libc>) -> bool {
    let words: BTreeSet<Word> = tokens(name).iter().flat_map(|token| words_of(token)).copied().collect();
    let differs = |kind: fn(&Word) -> bool, own: Option<Word>| {
        let mut said = words.iter().filter(|word| kind(word)).peekable();
        said.peek().is_some() && own.is_some_and(|own| said.all(|word| *word != own))
    };
    let own_cpu = words.iter().find(|word| matches!(word, Word::Cpu(said) if *said == cpu)).copied();
    words.contains(&Word::OtherRuntime)
        || differs(|word| matches!(word, Word::System(_)), Some(Word::System("linux")))
        || differs(|word| matches!(word, Word::Cpu(_)), Some(own_cpu.unwrap_or(Word::Filler)))
        || differs(|word| matches!(word, Word::Libc(_)), libc.map(Word::Libc))
}

/// The name of a file without what names a platform, which variants have in common; empty for `node.napi.musl.node`.
fn addon(path: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    let tokens = tokens(name);
    // Versions of interfaces and of libraries, as in `napi-v3` and `openssl-3.0.x`.
    let is_version = |token: &str| {
        let digits = token.trim_start_matches(['v', 'a', 'b', 'i']);
        token == "x" || token == "openssl" || !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit())
    };
    let own = tokens.iter().filter(|token| words_of(token).is_empty() && !is_version(token));
    own.map(String::as_str).collect::<Vec<_>>().join("_")
}

/// Whether the end of a name is one that programs and libraries have on other systems alone.
fn is_of_another_system(path: &str) -> bool {
    [".exe", ".dll", ".dylib"].iter().any(|end| path.ends_with(end))
}

/// Whether Node loads a file as an addon.
fn is_addon(path: &str) -> bool {
    path.ends_with(".node")
}

/// Extensions of files that some packages mark as executable without need.
const TEXTS: [&str; 17] = [
    "cjs", "css", "flow", "html", "js", "json", "jsx", "map", "md", "mjs", "py", "sh", "ts", "tsx", "txt", "yaml",
    "yml",
];

/// Whether a file of this name may hold native code that something loads.
pub fn is_candidate(path: &str, executable: bool) -> bool {
    let name = path.rsplit('/').next().unwrap_or(path);
    let extension = name.rsplit_once('.').map_or("", |(_, extension)| extension);
    matches!(extension, "node" | "so" | "dll" | "dylib" | "exe")
        || name.contains(".so.")
        || executable && !TEXTS.contains(&extension)
}

/// What becomes of a file of native code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It goes into the image.
    Keep,
    /// Another variant fits, and this one is never loaded.
    LeaveOut,
    /// It would be loaded and cannot be.
    Refuse(Misfit),
}

/// The files of native code of one package, judged together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Variants {
    /// By path inside the package.
    pub files: Vec<(String, Verdict)>,
    /// Whether there are some and none of them fits.
    pub is_foreign: bool,
}

impl Variants {
    /// Judges the files of a package for an image for a processor and a C library. Paths are relative to the package.
    pub fn of(files: Vec<(String, Fit)>, cpu: &str, libc: Option<Libc>) -> Self {
        let is_for_another: Vec<bool> = files.iter().map(|(path, _)| is_for_another(path, cpu, libc)).collect();
        let addons: Vec<String> = files.iter().map(|(path, _)| addon(path)).collect();
        let is_variant = |a: usize, b: usize| {
            is_addon(&files[a].0) == is_addon(&files[b].0)
                && (addons[a] == addons[b] || addons[a].is_empty() || addons[b].is_empty())
        };
        let verdict = |at: usize| {
            let (path, fit) = &files[at];
            // What fits best and is meant for this platform, if the file at hand is another variant of it.
            let others = || (0..files.len()).filter(|&other| other != at && !is_for_another[other]);
            let has_made = || others().any(|other| files[other].1 == Fit::Made && is_variant(at, other));
            let has_fitting = || others().any(|other| !matches!(files[other].1, Fit::Not(_)));
            match fit {
                Fit::Made if is_for_another[at] && is_addon(path) && has_made() => Verdict::LeaveOut,
                Fit::Made => Verdict::Keep,
                Fit::Loadable if has_made() => Verdict::LeaveOut,
                Fit::Loadable => Verdict::Keep,
                Fit::Not(_) if is_for_another[at] && has_fitting() => Verdict::LeaveOut,
                Fit::Not(_) if others().any(|it| !matches!(files[it].1, Fit::Not(_)) && is_variant(at, it)) => {
                    Verdict::LeaveOut
                }
                // A helper for another system, which nothing here would start.
                Fit::Not(_) if is_of_another_system(path) => Verdict::Keep,
                Fit::Not(_) if is_for_another[at] && !is_addon(path) => Verdict::Keep,
                Fit::Not(misfit) => Verdict::Refuse(misfit.clone()),
            }
        };
        let verdicts: Vec<Verdict> = (0..files.len()).map(verdict).collect();
        let is_foreign = !files.is_empty() && files.iter().all(|(_, fit)| matches!(fit, Fit::Not(_)));
        let files = files.into_iter().map(|(path, _)| path).zip(verdicts).collect();
        Self { files, is_foreign }
    }

    /// Why the package cannot be used: the first file that would be loaded and cannot be.
    pub fn refusal(&self) -> Option<(&str, &Misfit)> {
        self.refusals().next()
    }

    /// All files that cannot be loaded, and why.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, &Misfit)> {
        self.files.iter().filter_map(|(path, verdict)| match verdict {
            Verdict::Refuse(misfit) => Some((path.as_str(), misfit)),
            Verdict::Keep | Verdict::LeaveOut => None,
        })
    }
}

fn says(name: &str, word: fn(&Word) -> bool) -> bool {
    tokens(name).iter().flat_map(|token| words_of(token)).any(word)
}

/// Whether the name of a package says that it is a variant for a system and a processor.
pub fn names_a_platform(name: &str) -> bool {
    says(name, |word| matches!(word, Word::System(_))) && says(name, |word| matches!(word, Word::Cpu(_)))
}

/// Of names of packages, such as the optional dependencies of one, those that say they are for this platform, the one for
/// its C library first.
pub fn names_for<'n>(names: impl Iterator<Item = &'n str>, cpu: &str, libc: Option<Libc>) -> Vec<&'n str> {
    let mut fitting: Vec<&str> =
        names.filter(|name| names_a_platform(name) && !is_for_another(name, cpu, libc)).collect();
    // What a variant needs itself often bears a longer name, such as `sharp-libvips-linux-x64`.
    fitting.sort_by_key(|name| (!says(name, |word| matches!(word, Word::Libc(_))), name.len()));
    fitting
}

#[cfg(test)]
mod tests {
    use super::*;

    const MUSL: Option<Libc> = Some(Libc::Musl);

    #[test]
    fn names_of_other_platforms() {
        let table = [
            ("build/Release/bcrypt.node", false),
            ("prebuilds/linux-x64/bcrypt.musl.node", false),
            ("prebuilds/linux-x64/bcrypt.glibc.node", true),
            ("prebuilds/linux-x64/node.napi.node", false),
            ("prebuilds/linux-x64+arm64/node.napi.node", false),
            ("prebuilds/darwin-x64+arm64/node.napi.node", true),
            ("prebuilds/linux-arm64/node.napi.armv8.node", true),
            ("prebuilds/linux-arm/node.napi.armv7.node", true),
            ("prebuilds/linux-x64/electron.napi.node", true),
            ("lib/binding/napi-v3-linux-glibc-x64/a.node", true),
            ("lib/binding/napi-v3/a.node", false),
            ("argon2.linux-x64-gnu.node", true),
            ("argon2.linux-x64-musl.node", false),
            ("libquery_engine-linux-musl-openssl-3.0.x.so.node", false),
            ("libquery_engine-debian-openssl-3.0.x.so.node", true),
            ("query_engine-windows.dll.node", true),
            ("x86_64-unknown-linux-musl/tool", false),
            ("vendor/macos/term-size", true),
        ];
        for (path, expected) in table {
            assert_eq!(is_for_another(path, "x64", MUSL), expected, "{path}");
        }
        assert!(!is_for_another("prebuilds/linux-x64/bcrypt.glibc.node", "x64", None), "nobody knows the library");
    }

    #[test]
    fn variants_share_a_name() {
        let table = [
            ("prebuilds/linux-x64/bcrypt.musl.node", "bcrypt"),
            ("prebuilds/linux-x64/node.napi.node", ""),
            ("prebuilds/linux-x64/node.abi93.node", ""),
            ("argon2.linux-x64-gnu.node", "argon2"),
            ("libquery_engine-rhel-openssl-3.0.x.so.node", "libquery_engine"),
            ("build/Release/bcrypt_lib.node", "bcrypt_lib"),
        ];
        for (path, expected) in table {
            assert_eq!(addon(path), expected, "{path}");
        }
    }

    #[test]
    fn candidates() {
        let table = [
            ("a.node", false, true),
            ("lib/libvips-cpp.so.42", false, true),
            ("bin/esbuild", true, true),
            ("bin/esbuild", false, false),
            ("bin/cli.js", true, false),
            ("a.js", false, false),
            ("node", false, false),
        ];
        for (path, executable, expected) in table {
            assert_eq!(is_candidate(path, executable), expected, "{path}");
        }
    }

    #[test]
    fn verdicts() {
        let misfit = || Misfit::Libc { made_for: Libc::Glibc, base: Libc::Musl, lacking: None };
        let (made, loadable, not) = (|| Fit::Made, || Fit::Loadable, || Fit::Not(misfit()));
        let refuse = || Verdict::Refuse(misfit());
        use Verdict::{Keep, LeaveOut};
        let table: Vec<(&str, Vec<(&str, Fit)>, Vec<Verdict>)> = vec![
            ("one that fits", vec![("a.node", made())], vec![Keep]),
            ("one that does not", vec![("build/Release/a.node", not())], vec![refuse()]),
            (
                "a variant for each platform",
                vec![
                    ("prebuilds/darwin-x64/a.node", not()),
                    ("prebuilds/linux-x64/a.glibc.node", loadable()),
                    ("prebuilds/linux-x64/a.musl.node", made()),
                ],
                vec![LeaveOut, LeaveOut, Keep],
            ),
            (
                "none fits",
                vec![("prebuilds/darwin-x64/a.node", not()), ("prebuilds/linux-x64/a.glibc.node", not())],
                vec![refuse(), refuse()],
            ),
            ("loaded where there is nothing better", vec![("prebuilds/linux-x64/a.node", loadable())], vec![Keep]),
            (
                "built here, and prebuilt for the image",
                vec![("build/Release/a.node", not()), ("prebuilds/linux-x64/node.napi.musl.node", made())],
                vec![LeaveOut, Keep],
            ),
            (
                "two addons, of which one fits",
                vec![("build/Release/a.node", made()), ("build/Release/b.node", not())],
                vec![Keep, refuse()],
            ),
            (
                "a helper for another system",
                vec![("vendor/windows/size.exe", not()), ("vendor/macos/size", not())],
                vec![Keep, Keep],
            ),
            (
                "a helper for another system, by the end of its name",
                vec![("util/agent.exe", not()), ("lib/a.dylib", not()), ("util/agent", not())],
                vec![Keep, Keep, refuse()],
            ),
            (
                "for another runtime",
                vec![
                    ("prebuilds/linux-x64/electron.napi.node", made()),
                    ("prebuilds/linux-x64/node.napi.node", made()),
                ],
                vec![LeaveOut, Keep],
            ),
        ];
        for (comment, files, expected) in table {
            let files = files.into_iter().map(|(path, fit)| (path.to_owned(), fit)).collect();
            let found: Vec<Verdict> =
                Variants::of(files, "x64", MUSL).files.into_iter().map(|(_, verdict)| verdict).collect();
            assert_eq!(found, expected, "{comment}");
        }
    }

    #[test]
    fn packages_that_would_fit() {
        let names = ["@img/sharp-linux-x64", "@img/sharp-linuxmusl-x64", "@img/sharp-darwin-x64", "semver"];
        assert_eq!(names_for(names.into_iter(), "x64", MUSL), ["@img/sharp-linuxmusl-x64", "@img/sharp-linux-x64"]);
        assert_eq!(
            names_for(["@esbuild/linux-x64", "@esbuild/linux-arm64"].into_iter(), "arm64", MUSL),
            ["@esbuild/linux-arm64"]
        );
    }
}
