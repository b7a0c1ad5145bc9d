//! Who reaches the files of a layer, of the services that share it.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use crate::check;
use crate::layer::{Entry, Kind};
use crate::path::ImagePath;

/// What a service reaches of packages.
pub(super) struct Sharer<'a> {
    /// Its position in the plan.
    pub service: usize,
    /// The files.
    pub reached: &'a BTreeSet<PathBuf>,
    /// Whether its image has a layer of its own for what it alone reaches.
    pub has_own_layer: bool,
}

/// In whose images a file lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Among what all share.
    Shared,
    /// With the service of this position alone.
    Own(usize),
}

/// Where the files of a layer lie that anybody reaches, by the bytes of their paths: as paths they would be compared name
/// by name.
pub(super) struct Places<'a>(BTreeMap<&'a [u8], Place>);

impl<'a> Places<'a> {
    /// For these services. What a single one of them reaches lies with that one, if it has room for it.
    pub fn of(sharers: &[Sharer<'a>]) -> Self {
        let mut places = BTreeMap::new();
        for sharer in sharers {
            let own = match sharer.has_own_layer && sharers.len() > 1 {
                true => Place::Own(sharer.service),
                false => Place::Shared,
            };
            for path in sharer.reached {
                places.entry(path.as_os_str().as_bytes()).and_modify(|place| *place = Place::Shared).or_insert(own);
            }
        }
        Self(places)
    }

    /// All of these files are shared.
    pub fn shared(paths: impl Iterator<Item = &'a Path>) -> Self {
        Self(paths.map(|path| (path.as_os_str().as_bytes(), Place::Shared)).collect())
    }

    /// Whether any file lies there.
    pub fn has(&self, place: Place) -> bool {
        self.0.values().any(|of_file| *of_file == place)
    }

    /// Where an entry lies that is no directory; `None` if nobody reaches it. A link lies where all does that it leads to.
    pub fn of_entry(&self, path: &ImagePath, entry: &Entry) -> Option<Place> {
        let path = path.as_path();
        match &entry.kind {
            Kind::Symlink(target) => {
                let target = path.parent().and_then(|dir| check::normal(&dir.join(target)));
                match target.filter(|target| check::package_top(target).is_some()) {
                    Some(target) => self.below(&target),
                    None => Some(Place::Shared),
                }
            }
            _ if check::package_top(path).is_none() => Some(Place::Shared),
            _ => self.0.get(path.as_os_str().as_bytes()).copied(),
        }
    }

    /// Where what a link leads to lies: a file, or all in a directory.
    fn below(&self, target: &Path) -> Option<Place> {
        let target = target.as_os_str().as_bytes();
        let inside = [target, b"/"].concat();
        let from = (Bound::Included(inside.as_slice()), Bound::Unbounded);
        let below = self.0.range::<[u8], _>(from).take_while(|(path, _)| path.starts_with(&inside));
        let places = self.0.get(target).into_iter().chain(below.map(|(_, place)| place)).copied();
        places.reduce(|all, place| if all == place { all } else { Place::Shared })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, Owner};

    const OWNER: Owner = Owner { uid: 0, gid: 0 };

    fn files(names: &str) -> BTreeSet<PathBuf> {
        names.chars().map(|name| PathBuf::from(format!("/app/node_modules/{name}/index.js"))).collect()
    }

    /// Where the files of packages lie that services reach, and links to these packages: `s` for shared, or the service.
    fn places(services: &[(&str, bool)], names: &str) -> (String, String) {
        let reached: Vec<_> = services.iter().map(|(names, _)| files(names)).collect();
        let sharers = services.iter().zip(&reached).enumerate();
        let sharers = sharers.map(|(service, ((_, has_own_layer), reached))| Sharer {
            service,
            reached,
            has_own_layer: *has_own_layer,
        });
        let places = Places::of(&sharers.collect::<Vec<_>>());
        let shown = |place: Option<Place>| match place {
            None => '-',
            Some(Place::Shared) => 's',
            Some(Place::Own(service)) => char::from_digit(service as u32, 10).unwrap(),
        };
        let path = |path: String| ImagePath::new(path).unwrap();
        let file = Entry::file(Content::Bytes(Vec::new()), false, OWNER);
        let link = |name: char| Entry { kind: Kind::Symlink(format!("../{name}").into()), ..file.clone() };
        let of_files =
            names.chars().map(|name| places.of_entry(&path(format!("/app/node_modules/{name}/index.js")), &file));
        let of_links =
            names.chars().map(|name| places.of_entry(&path(format!("/app/node_modules/.b/{name}")), &link(name)));
        (of_files.map(shown).collect(), of_links.map(shown).collect())
    }

    #[test]
    fn what_one_service_reaches_lies_with_it() {
        let table: [(&str, &[(&str, bool)], &str); 5] = [
            ("two services", &[("ab", true), ("ac", true)], "s01-"),
            ("three", &[("ab", true), ("ac", true), ("abd", true)], "ss12"),
            ("no layer of its own", &[("ab", false), ("ac", true)], "ss1-"),
            ("nobody shares", &[("ab", true)], "ss--"),
            ("nobody reaches anything", &[("", true), ("", true)], "----"),
        ];
        for (comment, services, expected) in table {
            assert_eq!(places(services, "abcd"), (expected.to_owned(), expected.to_owned()), "{comment}");
        }
    }

    #[test]
    fn a_link_lies_where_all_does_that_it_leads_to() {
        let reached = |file: &str| BTreeSet::from([PathBuf::from(format!("/app/node_modules/a/{file}.js"))]);
        let (one, other) = (reached("one"), reached("other"));
        let sharer = |service, reached| Sharer { service, reached, has_own_layer: true };
        let places = Places::of(&[sharer(0, &one), sharer(1, &other)]);
        let place = |path: &str, kind: Kind| {
            places.of_entry(&ImagePath::new(path).unwrap(), &Entry { kind, mode: 0o777, owner: OWNER })
        };
        let link = |target: &str| place("/app/node_modules/b/link", Kind::Symlink(target.into()));
        assert_eq!(link("../a"), Some(Place::Shared), "two services reach different files of it");
        assert_eq!(link("../a/one.js"), Some(Place::Own(0)));
        assert_eq!(link("../gone"), None);
        assert_eq!(link("../../dist"), Some(Place::Shared), "it leads out of all packages");
        assert_eq!(place("/app/dist/main.js", Kind::File(Content::Bytes(Vec::new()))), Some(Place::Shared));
    }
}
