//! `pirogue.lock` at the workspace's root: which bytes the names of its bases stand for. A tag moves, a digest does not.
//!
//! Pure: a text becomes a [`Lock`], and a lock becomes the one text it has. When it is written and what a build does with
//! it stands in `build::base`.

mod read;
mod write;

use std::collections::BTreeMap;

use crate::config::ConfigError;
use crate::digest::Digest;
use crate::host::{self, HostError};
use crate::path::HostPath;
use crate::platform::Platform;

/// The file's name.
pub const FILE_NAME: &str = "pirogue.lock";
/// The shape of the file that this pirogue reads and writes.
const VERSION: u64 = 1;

/// A whole lock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lock {
    /// The rules by which layers become bytes, as the pirogue that wrote the file had them.
    pub recipe: String,
    /// The bases, by their references as the user wrote them.
    pub bases: BTreeMap<String, LockedBase>,
}

/// What the reference of a base stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedBase {
    /// The digest of what the reference names: an index, or the one manifest.
    pub digest: Digest,
    /// The digest of the image's manifest for each platform there is. Never empty.
    pub manifests: BTreeMap<Platform, Digest>,
    /// The packages that are added to the base, for each platform they were resolved for, by their names.
    packages: BTreeMap<Platform, BTreeMap<String, LockedPackage>>,
}

/// A package of a Linux distribution, as it was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedPackage {
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// The checksum by which its repository's index names it, with its kind: Alpine's `Q1…`.
    pub checksum: String,
}

impl Lock {
    /// A lock of no base yet, written under these rules.
    pub fn new(recipe: &str) -> Self {
        Self { recipe: recipe.to_owned(), bases: BTreeMap::new() }
    }

    /// Reads `pirogue.lock` in the workspace's root; `None` where there is none.
    pub fn read(root: &HostPath) -> Result<Option<Self>, LockError> {
        let Some(bytes) = host::read_if_present(&root.join(FILE_NAME))? else { return Ok(None) };
        Self::parse(&String::from_utf8_lossy(&bytes)).map(Some)
    }

    /// Reads the text of a `pirogue.lock`.
    pub fn parse(text: &str) -> Result<Self, LockError> {
        read::lock(text)
    }

    /// The text that the file has: the same for the same lock, one line for each digest.
    pub fn text(&self) -> String {
        write::text(self)
    }

    /// The packages that were chosen for a base on a platform; `None` where none were resolved.
    pub fn packages(&self, base: &str, platform: &Platform) -> Option<&BTreeMap<String, LockedPackage>> {
        self.bases.get(base)?.packages(platform)
    }

    /// Remembers the packages that were chosen for a base on a platform, in place of those that were. Says whether there
    /// is such a base: packages without one have no place.
    #[must_use]
    pub fn set_packages(
        &mut self,
        base: &str,
        platform: &Platform,
        packages: impl IntoIterator<Item = LockedPackage>,
    ) -> bool {
        self.bases.get_mut(base).is_some_and(|base| base.set_packages(platform, packages))
    }
}

impl LockedBase {
    /// A base without packages.
    pub fn new(digest: Digest, manifests: BTreeMap<Platform, Digest>) -> Self {
        Self { digest, manifests, packages: BTreeMap::new() }
    }

    /// The platform of the base that serves a wish: the very same, else the first in order that does.
    pub fn offered(&self, wanted: &Platform) -> Option<&Platform> {
        let same = self.manifests.get_key_value(wanted).map(|(platform, _)| platform);
        same.or_else(|| self.manifests.keys().find(|offered| wanted.accepts(offered)))
    }

    /// The image for a platform: what it is for, and its manifest.
    pub fn image(&self, wanted: &Platform) -> Option<(&Platform, Digest)> {
        self.manifests.get_key_value(self.offered(wanted)?).map(|(platform, digest)| (platform, *digest))
    }

    /// The manifest of the image for a platform.
    pub fn manifest(&self, wanted: &Platform) -> Option<Digest> {
        Some(self.image(wanted)?.1)
    }

    /// The packages that were chosen for a platform; `None` where none were resolved.
    pub fn packages(&self, platform: &Platform) -> Option<&BTreeMap<String, LockedPackage>> {
        self.packages.get(self.offered(platform)?)
    }

    /// The platforms for which packages were chosen.
    pub fn platforms_with_packages(&self) -> impl Iterator<Item = &Platform> {
        self.packages.keys()
    }

    /// Remembers the packages that were chosen for a platform, in place of those that were. Says whether there is such a
    /// platform.
    #[must_use]
    pub fn set_packages(&mut self, platform: &Platform, packages: impl IntoIterator<Item = LockedPackage>) -> bool {
        let Some(platform) = self.offered(platform).cloned() else { return false };
        let by_name: BTreeMap<_, _> = packages.into_iter().map(|package| (package.name.clone(), package)).collect();
        match by_name.is_empty() {
            true => _ = self.packages.remove(&platform),
            false => _ = self.packages.insert(platform, by_name),
        }
        true
    }

    /// How many packages were chosen, all platforms together.
    pub fn package_count(&self) -> usize {
        self.packages.values().map(BTreeMap::len).sum()
    }
}

/// Why a lock cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// Not the document it should be.
    #[error(transparent)]
    Document(#[from] ConfigError),
    /// A merge that nobody finished.
    #[error("a merge left both sides in the lock: `{FILE_NAME}:{line}:1`")]
    Conflict {
        /// The line of the first mark.
        line: usize,
    },
    /// A shape that is not known here.
    #[error("the lock has version {found}, and this pirogue knows only {VERSION}: `{place}`")]
    Version {
        /// Its version.
        found: u64,
        /// FILE:LINE:COLUMN
        place: String,
    },
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl LockError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Document(_) => Some(format!(
                "take it back from version control, `git checkout -- {FILE_NAME}`; or remove it, and the next build writes it anew"
            )),
            Self::Conflict { .. } => Some(format!(
                "take either side, such as `git checkout --ours -- {FILE_NAME}`, and renew it with `pirogue base update`"
            )),
            Self::Version { .. } => Some("a newer pirogue wrote it: use that one, or a later".into()),
            Self::Host(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn digest(of: &str) -> Digest {
        Digest::of(of.as_bytes())
    }

    fn platform(text: &str) -> Platform {
        text.parse().unwrap()
    }

    fn base(platforms: &[&str]) -> LockedBase {
        let manifests = platforms.iter().map(|text| (platform(text), digest(text)));
        LockedBase::new(digest("index"), manifests.collect())
    }

    fn package(name: &str) -> LockedPackage {
        LockedPackage { name: name.into(), version: "1.2.3-r4".into(), checksum: "Q1abc=".into() }
    }

    #[test]
    fn a_wish_finds_its_platform() {
        let base = base(&["linux/amd64", "linux/arm/v6", "linux/arm/v7", "linux/arm64/v8"]);
        let table = [
            ("the same", "linux/amd64", Some("linux/amd64")),
            ("a variant that may be left out", "linux/arm64", Some("linux/arm64/v8")),
            ("the wanted one of two", "linux/arm/v7", Some("linux/arm/v7")),
            ("any of two", "linux/arm", Some("linux/arm/v6")),
            ("none", "linux/s390x", None),
        ];
        for (comment, wanted, expected) in table {
            assert_eq!(base.manifest(&platform(wanted)), expected.map(digest), "{comment}");
        }
    }

    #[test]
    fn packages_belong_to_a_base_and_a_platform() {
        let mut lock = Lock::new("1");
        lock.bases.insert("node:20-alpine".into(), base(&["linux/amd64", "linux/arm64/v8"]));
        assert!(lock.set_packages("node:20-alpine", &platform("linux/arm64"), [package("curl"), package("apk")]));
        assert!(!lock.set_packages("node:22-alpine", &platform("linux/arm64"), [package("curl")]), "no such base");
        assert!(!lock.set_packages("node:20-alpine", &platform("linux/386"), [package("curl")]), "no such platform");
        let names = |lock: &Lock, on: &str| {
            lock.packages("node:20-alpine", &platform(on)).map(|found| found.keys().cloned().collect::<Vec<_>>())
        };
        assert_eq!(names(&lock, "linux/arm64/v8"), Some(vec!["apk".to_owned(), "curl".to_owned()]));
        assert_eq!(names(&lock, "linux/amd64"), None);
        assert_eq!(lock.bases["node:20-alpine"].package_count(), 2);
        assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
        assert!(lock.set_packages("node:20-alpine", &platform("linux/arm64"), []));
        assert_eq!(names(&lock, "linux/arm64"), None);
    }

    #[test]
    fn the_text_is_sorted_and_has_a_line_for_each_digest() {
        let mut lock = Lock::new("2: gzip");
        lock.bases.insert("oci:base \"x\"".into(), base(&["linux/arm64/v8"]));
        lock.bases.insert("node:20-alpine".into(), base(&["linux/arm64/v8", "linux/amd64"]));
        assert!(lock.set_packages("node:20-alpine", &platform("linux/amd64"), [package("tini"), package("curl")]));
        insta::assert_snapshot!(lock.text(), @r#"
        # Written by pirogue; `pirogue base update` renews it. Keep it under version control.
        version = 1
        recipe = "2: gzip"

        [[base]]
        reference = "node:20-alpine"
        digest = "sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6"

        [base.manifests]
        "linux/amd64" = "sha256:baf0239e48ff4c47ebac3ba02b5cf1506b69cd5a0c0d0c825a53ba65976fb942"
        "linux/arm64/v8" = "sha256:ddfa17b80e3d96ad44cd69f3a0dcb39e84143ffe057b2d3bfde0e72d8c0cf2c1"

        [[base.package]]
        platform = "linux/amd64"
        name = "curl"
        version = "1.2.3-r4"
        checksum = "Q1abc="

        [[base.package]]
        platform = "linux/amd64"
        name = "tini"
        version = "1.2.3-r4"
        checksum = "Q1abc="

        [[base]]
        reference = 'oci:base "x"'
        digest = "sha256:1bc04b5291c26a46d918139138b992d2de976d6851d0893b0476b85bfbdfc6e6"

        [base.manifests]
        "linux/arm64/v8" = "sha256:ddfa17b80e3d96ad44cd69f3a0dcb39e84143ffe057b2d3bfde0e72d8c0cf2c1"
        "#);
        assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
    }

    #[test]
    fn errors_have_a_place_and_a_hint() {
        let d = digest("x");
        let base = |more: &str| format!("version = 1\nrecipe = 'r'\n[[base]]\nreference = 'a'\n{more}");
        let whole = base(&format!("digest = '{d}'\n[base.manifests]\n'linux/amd64' = '{d}'\n"));
        assert!(Lock::parse(&whole).is_ok());
        let table = [
            ("no TOML", "version = ".to_owned(), "`pirogue.lock:1:"),
            ("cut off", whole[..whole.len() - 3].to_owned(), "`pirogue.lock:7:"),
            ("no version", "recipe = 'r'".to_owned(), "`version` is missing: `pirogue.lock`"),
            (
                "a version to come",
                "version = 2\nx = 1".to_owned(),
                "has version 2, and this pirogue knows only 1: `pirogue.lock:1:1`",
            ),
            ("no recipe", "version = 1".to_owned(), "`recipe` is missing"),
            (
                "an unknown key",
                "version = 1\nrecipe = 'r'\nbsae = 1".to_owned(),
                "no setting `bsae`: `pirogue.lock:3:1`",
            ),
            ("no digest", base(""), "`base.reference` has no `digest` beside it: `pirogue.lock:4:1`"),
            ("a digest that is none", base("digest = 'sha256:12'"), "`base.digest` is no digest"),
            ("no platform", base(&format!("digest = '{d}'")), "`base.reference` has no `manifests` beside it"),
            ("a platform that is none", whole.replace("linux/amd64", "linux"), "`base.manifests.linux` is no platform"),
            ("a manifest that is none", whole.replace("4' = 'sha256:", "4' = 'sha1:"), "`pirogue.lock:7:1`"),
            ("a base twice", format!("{whole}{}", &whole[25..]), "`base.reference` stands there twice: `pirogue.lock:"),
            (
                "a package of no platform",
                format!("{whole}[[base.package]]\nplatform = 'linux/386'\nname = 'a'\nversion = '1'\nchecksum = 'Q1'"),
                "`base.package.platform` is none of the base's: `pirogue.lock:9:1`",
            ),
            (
                "a package without a checksum",
                format!("{whole}[[base.package]]\nplatform = 'linux/amd64'\nname = 'a'\nversion = '1'"),
                "`base.package.name` has no `checksum` beside it: `pirogue.lock:10:1`",
            ),
            (
                "a merge",
                format!("version = 1\n<<<<<<< HEAD\n{whole}"),
                "a merge left both sides in the lock: `pirogue.lock:2:1`",
            ),
            ("the end of a merge", format!("{whole}>>>>>>> theirs\n"), "both sides in the lock: `pirogue.lock:8:1`"),
        ];
        for (comment, text, expected) in table {
            let error = Lock::parse(&text).unwrap_err();
            assert!(error.to_string().contains(expected), "{comment}: {error}");
            assert!(error.hint().is_some(), "{comment}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            recipe in ".{0,20}",
            names in proptest::collection::btree_map(".{0,20}", 0..3_usize, 0..4),
        ) {
            let offered = ["linux/amd64", "linux/arm64/v8", "linux/s390x"];
            let mut lock = Lock::new(&recipe);
            for (name, count) in &names {
                lock.bases.insert(name.clone(), base(&offered[..=*count]));
                let chosen = [LockedPackage { name: name.clone(), version: recipe.clone(), checksum: "Q1".into() }];
                prop_assert!(lock.set_packages(name, &platform(offered[*count]), chosen));
            }
            prop_assert_eq!(Lock::parse(&lock.text()).unwrap(), lock);
        }
    }
}
