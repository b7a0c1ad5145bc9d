//! The zip archive into which yarn 2 and later repacks a package's tarball, made again to know its hash: that hash, and
//! none of the tarball, is what yarn's lockfile states.
//!
//! Nothing of the archive is kept. The tarball is read once, from the first byte to the last; the tar inside goes to a
//! scratch file, from which contents are hashed in the order of the archive. Memory holds the names, and where contents
//! are compressed, one buffer.
//!
//! What this module takes for a package's files has to be what [`PackageTarball`] takes for them, or else a tarball could
//! be changed without changing the archive. So both read entries with the same reader; an entry that the one would take
//! and the other would not, or under another name, is refused; and so is what yarn itself makes no archive of.
//!
//! Source: yarn 4, `packages/yarnpkg-core/sources/tgzUtils.ts` (`extractArchiveTo`), `packages/yarnpkg-libzip/sources/
//! ZipFS.ts`, and `libzip` 1.5 and later, with which it writes; node-tar, with which it reads.

mod entries;
mod zip;

use std::io::{BufRead, Read, Seek, Write};

use super::{PackageTarball, TarballError, TarballLimits};
use crate::workspace::lockfiles::Hash;

/// How the contents of files lie in an archive of yarn's.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YarnCompression {
    /// As they are: `compressionLevel: 0`, what yarn 4 does unless told otherwise.
    Stored,
}

impl YarnCompression {
    /// The compression that a cache key such as `10c0` stands for; `None` if archives of that key cannot be made again.
    ///
    /// A key is the version of yarn's cache and, after a `c`, the level of compression. Source: yarn 4,
    /// `packages/yarnpkg-core/sources/Cache.ts` (`getCacheKey`).
    pub fn of_cache_key(cache_key: &str) -> Option<Self> {
        let (version, level) = cache_key.split_once('c')?;
        (KNOWN_VERSIONS.contains(&version) && level == "0").then_some(Self::Stored)
    }
}

/// The versions of yarn's cache whose archives were compared with those made here: of yarn 3 and 4. Yarn 2 gives entries another time.
const KNOWN_VERSIONS: [&str; 2] = ["8", "10"];

impl PackageTarball {
    /// The SHA-512 of the archive that yarn makes of the tarball of the package called `name`. The tar inside is written
    /// to `scratch` and read from there.
    pub fn yarn_archive_hash(
        tarball: impl BufRead,
        name: &str,
        compression: YarnCompression,
        mut scratch: impl Read + Write + Seek,
        limits: &TarballLimits,
    ) -> Result<Hash, TarballError> {
        let entries = entries::read(tarball, &mut scratch, &format!("node_modules/{name}"), limits)?;
        let YarnCompression::Stored = compression;
        zip::hash(&entries, &mut scratch).map_err(TarballError::Keep)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    /// An entry: `(name, type, mode, content or target)`.
    type Item<'a> = (&'a str, u8, u32, &'a str);

    fn tar(items: &[Item]) -> Vec<u8> {
        let mut tar = Vec::new();
        for (name, kind, mode, content) in items {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(tar::EntryType::new(*kind));
            header.set_mode(*mode);
            let is_link = matches!(kind, b'1' | b'2');
            if is_link {
                header.set_link_name_literal(content).unwrap();
            }
            let content = if is_link { "" } else { content };
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.extend_from_slice(header.as_bytes());
            tar.extend_from_slice(content.as_bytes());
            tar.resize(tar.len().next_multiple_of(512), 0);
        }
        tar.resize(tar.len() + 1024, 0);
        tar
    }

    /// The hash of the archive of a package whose package.json stands before these entries.
    fn hash(name: &str, items: &[Item]) -> Result<String, TarballError> {
        let manifest = format!(r#"{{"name":"{name}","version":"1.0.0"}}"#);
        let items = [&[("package/package.json", b'0', 0o644, manifest.as_str())], items].concat();
        let (tarball, limits) = (tar(&items), TarballLimits::default());
        let scratch = Cursor::new(Vec::new());
        let name = format!("@s/{name}");
        PackageTarball::yarn_archive_hash(&tarball[..], &name, YarnCompression::Stored, scratch, &limits)
            .map(|hash| hash.hex())
    }

    /// The checksums are those of yarn 4.18.1 and, the same, of yarn 3.8.7 with `compressionLevel: 0`: tarballs with
    /// these entries were dependencies of an empty project, called `@s/NAME` and given as `file:./NAME.tgz`, and `yarn
    /// install --mode=update-lockfile` wrote its lockfile.
    #[test]
    fn archives_are_those_of_yarn() {
        let long = format!("package/{}/{}.js", "d".repeat(120), "f".repeat(150));
        let pax = format!("path={long}\n");
        let pax = format!("{} {pax}", pax.len() + 4);
        let table: [(&str, &[Item], &str); 9] = [
            (
                "plain",
                &[
                    ("package/a.js", b'0', 0o644, "a"),
                    ("package/bin/x", b'0', 0o755, "x"),
                    ("package/bin/g", b'0', 0o654, "g"),
                ],
                "6ca696c6ed80dfe23272eac9771eff77e52d21c01f229feb7e8aac0a7ac1c7ef\
                 5db50aff8cc9993f07b0705db902d13730fb9d81f68aa964fb69f4bf68a5027b",
            ),
            (
                "dup",
                &[
                    ("package/a.js", b'0', 0o755, "first"),
                    ("package/b.js", b'0', 0o644, "b"),
                    ("package/a.js", b'0', 0o644, "second, longer"),
                ],
                "6d8a9fcf3c363a12d62302e3b91bfefb166a776aa28212af0feddec48a28ee6c\
                 e7fb76873753a51280c3b994f1a44136aa98b6b9c2f9bcf2d569cb1f677db0cf",
            ),
            (
                "links",
                &[
                    ("package/l", b'2', 0o777, "a.js"),
                    ("package/hard", b'1', 0o644, "package/package.json"),
                    ("package/a.js", b'0', 0o644, "a"),
                ],
                "1b9a63b5728f54bec757e50cbf0584e43fb4031c45bf1f04929df47d5ce25f12\
                 bdf851e5ce8658ae6ad3632f56639ccb03d294cdc4ea2ed7ca297546067739a7",
            ),
            (
                "old",
                &[("package/o.js", b'\0', 0o644, "o"), ("package/lib/", b'\0', 0o755, "")],
                "41d4cee429ed3baa39632ce4eb469a9ac06e18c8a576585a238e83d710d08043\
                 674377c2adb937a5fddf754e2cc65a746a419a407b428bd7de50a13def21378b",
            ),
            (
                "utf",
                &[("package/ä-文.js", b'0', 0o644, "u")],
                "4dbbe4520a3f637575ad39f4d89e9a79d33364ee7ffe5e56f32c00575f4830b8\
                 35da37d2fbd9895c4637b6b506be29567380a07a013c3f8de55a069df867ead1",
            ),
            (
                "empty",
                &[("package/none", b'0', 0o644, "")],
                "f3b05d1bac8d57cdd092e142c6b979496aebd37cd967d880a6646d3779adbdf9\
                 db6d31613854d9b8d57211e892ce5d716694fe7fbbf00d0e5ece681999becb3f",
            ),
            (
                "longs",
                &[("././@LongLink", b'L', 0o644, &long), ("package/d", b'0', 0o644, "l")],
                "ea6044aa68102deea86167bed84929b7ef81341c9e829949cc13bfb72a89f79e\
                 6231d5e2d1d9db7092d70e34bcd9a6ea79ef5e062cf8b06eed4619f70e82755a",
            ),
            (
                "longs",
                &[("PaxHeader", b'x', 0o644, &pax), ("package/d", b'0', 0o644, "l")],
                "ea6044aa68102deea86167bed84929b7ef81341c9e829949cc13bfb72a89f79e\
                 6231d5e2d1d9db7092d70e34bcd9a6ea79ef5e062cf8b06eed4619f70e82755a",
            ),
            (
                "unnamed",
                &[
                    ("pax_global_header", b'g', 0o644, "11 comment=\n"),
                    ("package/../up.js", b'0', 0o644, "u"),
                    ("/package/up.js", b'0', 0o644, "u"),
                    ("up.js", b'0', 0o644, "u"),
                    ("package/fifo", b'6', 0o644, ""),
                    ("other//y/./z.js", b'0', 0o644, "z"),
                ],
                "64e5af0607551e961b7aff2dfa9b3f9821efe981fe77c2d06c6b821861ca555a\
                 41ec0a361488bc8922be9cee2ba5071b1f88fc746d8db2407750d347ad7264fe",
            ),
        ];
        for (name, items, expected) in table {
            assert_eq!(hash(name, items).unwrap(), expected, "{name}");
        }
    }

    /// More entries than the end of an archive can count without an extension. By the same yarns as above.
    #[test]
    fn archives_of_many_entries() {
        let names: Vec<String> = (0..65534).map(|number| format!("package/{number}")).collect();
        let items: Vec<Item> = names.iter().map(|name| (name.as_str(), b'0', 0o644, "")).collect();
        let expected = "5f9645f8dac08b3ba2bcc001e1fa7a700378c2ee600db8c01186812ff7b11e1a\
                        7a75839130dc7bb9bd25a3b88ee08bc4998cef69f1cd6a1c66fedb07aaa4dea2";
        assert_eq!(hash("many2", &items).unwrap(), expected);
    }

    #[test]
    fn every_byte_counts() {
        let items: [Item; 2] = [("package/a", b'0', 0o644, "a"), ("package/b", b'0', 0o644, "b")];
        let of = |items: &[Item]| hash("a", items).unwrap();
        let whole = of(&items);
        let changes: [(&str, [Item; 2]); 4] = [
            ("content", [("package/a", b'0', 0o644, "x"), items[1]]),
            ("mode", [("package/a", b'0', 0o755, "a"), items[1]]),
            ("name", [("package/c", b'0', 0o644, "a"), items[1]]),
            ("order", [items[1], items[0]]),
        ];
        for (comment, changed) in changes {
            assert_ne!(of(&changed), whole, "{comment}");
        }
        assert_ne!(of(&items[..1]), whole, "one less");
    }

    #[test]
    fn what_yarn_and_npm_read_differently_is_refused() {
        let file = |name| (name, b'0', 0o644, "a");
        let table: [(&str, &[Item]); 7] = [
            ("a contiguous file: `package/c`", &[("package/c", b'7', 0o644, "c")]),
            ("another name for yarn than for npm: `./package/a`", &[file("./package/a")]),
            ("a directory that is there already: `package/a`", &[file("package/a/b"), ("package/a", b'5', 0o755, "")]),
            ("below what is no directory: `package/a/b`", &[file("package/a"), file("package/a/b")]),
            ("below what is no directory: `package/l/b`", &[("package/l", b'2', 0o777, "a"), file("package/l/b")]),
            ("a file where something else lies: `package/l`", &[("package/l", b'2', 0o777, "a"), file("package/l")]),
            ("a link where something else lies: `package/l`", &[file("package/l"), ("package/l", b'2', 0o777, "a")]),
        ];
        for (expected, items) in table {
            let error = hash("a", items).expect_err(expected).to_string();
            assert!(error.contains(expected), "{expected}: {error}");
        }
    }

    #[test]
    fn limits_hold() {
        let limits = TarballLimits { entries: 3, bytes: 1 << 20, ratio: 50, dense_bytes: 100_000 };
        let of = |tarball: &[u8]| {
            let scratch = Cursor::new(Vec::new());
            PackageTarball::yarn_archive_hash(tarball, "a", YarnCompression::Stored, scratch, &limits)
        };
        let four = ["p/a", "p/b", "p/c", "p/d"].map(|name| (name, b'0', 0, ""));
        assert!(matches!(of(&tar(&four)), Err(TarballError::TooManyEntries(at)) if at == "p/c"));
        let deep = format!("p/{}", "d/".repeat(40));
        assert!(matches!(of(&tar(&[(&deep, b'5', 0, "")])), Err(TarballError::TooManyEntries(_))));
        let large = "x".repeat(2 << 20);
        assert!(matches!(of(&tar(&[("p/a", b'0', 0, &large)])), Err(TarballError::TooLarge(at)) if at == "p/a"));
        assert!(matches!(of(&tar(&four[..1])[..600]), Err(TarballError::Damaged { .. })));
    }

    #[test]
    fn keys_of_the_cache() {
        let stored = Some(YarnCompression::Stored);
        let table = [
            ("10c0", stored),
            ("8c0", stored),
            ("7c0", None),
            ("9c0", None),
            ("10c9", None),
            ("10", None),
            ("c0", None),
            ("", None),
        ];
        for (key, expected) in table {
            assert_eq!(YarnCompression::of_cache_key(key), expected, "{key}");
        }
    }

    proptest::proptest! {
        /// What the archive's hash is for: nobody can change a file and keep it.
        #[test]
        fn the_same_archive_means_the_same_files(
            changes in proptest::collection::vec((0..9_usize, 0..512_usize, 0_u8..), 1..4),
            types in proptest::collection::vec((0..9_usize, "[0-7gxLKSV\\x00]"), 0..3),
        ) {
            let mut changed = tar(&[
                ("package/package.json", b'0', 0o644, r#"{"name":"a"}"#),
                ("x", b'x', 0o644, "23 path=package/deep/x\n"),
                ("package/a.js", b'0', 0o644, "content"),
                ("package/l", b'2', 0o777, "a.js"),
                ("package/lib/b.js", b'0', 0o755, "other"),
            ]);
            let original = changed.clone();
            for (block, at, byte) in changes {
                changed[block * 512 + at] = byte;
            }
            for (block, kind) in types {
                changed[block * 512 + 156] = kind.as_bytes()[0];
            }
            for block in changed.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            let hash = |tarball: &[u8]| {
                let (scratch, limits) = (Cursor::new(Vec::new()), TarballLimits::default());
                PackageTarball::yarn_archive_hash(tarball, "a", YarnCompression::Stored, scratch, &limits).ok()
            };
            let files = |tarball: &[u8]| {
                let package = PackageTarball::read(tarball, std::io::sink(), &TarballLimits::default()).ok()?;
                Some(package.files.into_iter().map(|file| (file.path, file.digest)).collect::<Vec<_>>())
            };
            proptest::prop_assert!(hash(&original).is_some());
            if hash(&changed) == hash(&original) {
                proptest::prop_assert!(files(&changed).is_none_or(|changed| files(&original) == Some(changed)));
            }
        }
    }
}
