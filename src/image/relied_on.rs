//! What of a base the layers above it rely on: what they say is only right upon a base that agrees in this.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::links::Dangling;
use super::{BaseFiles, BaseImage, BaseSoftware};
use crate::digest::{Digest, Hasher};
use crate::layer::{ForeignKind, Owner};
use crate::native::LibraryAnswers;
use crate::path::ImagePath;

/// What of a base the layers above it rely on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReliedOn {
    /// How many layers the base has.
    pub layers: usize,
    /// The chain ID of these layers. Source: OCI image-spec, `config.md`, "Layer ChainID".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub chain_id: Option<Digest>,
    /// Node's major version: native packages are made for one, and code is tried out on it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
    /// The C library, `musl` or `glibc`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub libc: Option<String>,
    /// What decided which native code the layers hold, and that it can be loaded.
    #[serde(default, skip_serializing_if = "LibraryAnswers::is_empty")]
    pub libraries: LibraryAnswers,
    /// The base's entrypoint, where the image keeps it and its command or health check was made for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Whom the files belong to.
    pub owner: Owner,
    /// What the base has at the places outside of the root where layers lie, and on the way there: a directory with its
    /// mode and owner, which layers repeat; a link, which they lie behind; nothing.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub places: BTreeMap<String, String>,
    /// The digest of what the base has in the root; `None` where that is nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_root: Option<Digest>,
}

/// What a layer relies on, and a base has not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Difference {
    /// Another Node.
    #[error("Node's major version changed, {} -> {}", shown(.0), shown(.1))]
    Node(Option<String>, Option<String>),
    /// Another C library.
    #[error("the C library changed, {} -> {}", shown(.0), shown(.1))]
    Libc(Option<String>, Option<String>),
    /// A library that native code needs, or one of its versions or symbols.
    #[error("native code in the image needs what the base no longer has: {0}")]
    Lacking(String),
    /// The same for native code that was left out, or taken from elsewhere, since it could not be loaded.
    #[error("native code was chosen for a base without what this one has: {0}")]
    Added(String),
    /// Another entrypoint.
    #[error("the base's entrypoint changed, {0:?} -> {1:?}")]
    Entrypoint(Vec<String>, Vec<String>),
    /// The base's user has other numbers.
    #[error("the numbers of the image's user changed, {}:{} -> {}:{}", .0.uid, .0.gid, .1.uid, .1.gid)]
    Owner(Owner, Owner),
    /// A directory, link or file.
    #[error("the base has something else where the image's layers lie, {was} -> {is}: `{path}`")]
    Place {
        /// Where.
        path: String,
        /// What was there.
        was: String,
        /// What is there.
        is: String,
    },
    /// What the root holds.
    #[error("the base holds other files where the image's layers lie: `{0}`")]
    InRoot(ImagePath),
}

fn shown(value: &Option<String>) -> &str {
    value.as_deref().unwrap_or("unknown")
}

/// What stands for a path that a JSON text cannot hold: no base has it, so that such an image stays where it is.
const UNREADABLE: &str = "unreadable";

impl ReliedOn {
    /// What an image with `owner` relies on that has files in `root` and at `outside` of it. `keeps_entrypoint` says whether
    /// anything of it was made for the base's entrypoint.
    pub fn of(
        image: &BaseImage,
        files: &BaseFiles,
        root: &ImagePath,
        outside: &BTreeSet<ImagePath>,
        keeps_entrypoint: bool,
        owner: Owner,
    ) -> Self {
        let mut ways = BTreeSet::new();
        outside.iter().chain([root]).for_each(|path| files.collect_way(path, &mut ways));
        let ways = ways.into_iter().filter(|path| !path.starts_with(root) && !files.lies_in_nothing(path));
        let places = ways.map(|path| match path.as_path().to_str() {
            Some(text) => (text.to_owned(), files.shown(&path)),
            None => (path.to_string(), UNREADABLE.to_owned()),
        });
        Self::with(image, files, root, places.collect(), keeps_entrypoint, owner)
    }

    /// What the same image relies on of another base.
    pub fn on(&self, image: &BaseImage, files: &BaseFiles, root: &ImagePath, owner: Owner) -> Self {
        let place = |path: &String| Some((path.clone(), files.shown(&ImagePath::new(path).ok()?)));
        let places = self.places.keys().filter_map(place).collect();
        let libraries = match self.libraries.is_empty() {
            true => LibraryAnswers::default(),
            false => self.libraries.of(&files.libraries()),
        };
        Self { libraries, ..Self::with(image, files, root, places, self.entrypoint.is_some(), owner) }
    }

    fn with(
        image: &BaseImage,
        files: &BaseFiles,
        root: &ImagePath,
        places: BTreeMap<String, String>,
        keeps_entrypoint: bool,
        owner: Owner,
    ) -> Self {
        let config = image.config.parsed();
        let node = BaseSoftware::of(image, files).node;
        Self {
            layers: image.layers.len(),
            chain_id: config.rootfs.chain_id(image.layers.len()),
            node: node.map(|version| version.split('.').next().unwrap_or_default().to_owned()),
            libc: files.libc().map(str::to_owned),
            libraries: LibraryAnswers::default(),
            entrypoint: keeps_entrypoint.then(|| config.config.entrypoint.clone()),
            owner,
            places,
            in_root: files.digest_of(root),
        }
    }

    /// What another base has not that these layers rely on, as [`Self::on`] gave it.
    pub fn differences(&self, other: &Self, root: &ImagePath) -> Vec<Difference> {
        let mut found = Vec::new();
        if self.node != other.node {
            found.push(Difference::Node(self.node.clone(), other.node.clone()));
        }
        if self.libc != other.libc {
            found.push(Difference::Libc(self.libc.clone(), other.libc.clone()));
        } else {
            // All of another C library would be other.
            let contrary = self.libraries.contrary(&other.libraries).into_iter();
            found.extend(
                contrary.map(|(what, is)| if is { Difference::Added(what) } else { Difference::Lacking(what) }),
            );
        }
        if self.entrypoint != other.entrypoint {
            let of = |side: &Self| side.entrypoint.clone().unwrap_or_default();
            found.push(Difference::Entrypoint(of(self), of(other)));
        }
        if self.owner != other.owner {
            found.push(Difference::Owner(self.owner, other.owner));
        }
        found.extend(self.places.iter().filter_map(|(path, was)| {
            let is = other.places.get(path).map_or(UNREADABLE, String::as_str);
            (was != is).then(|| Difference::Place { path: path.clone(), was: was.clone(), is: is.to_owned() })
        }));
        if self.in_root != other.in_root {
            found.push(Difference::InRoot(root.clone()));
        }
        found
    }
}

impl BaseFiles {
    /// Adds the places that are looked at on the way to `path`.
    fn collect_way(&self, path: &ImagePath, ways: &mut BTreeSet<ImagePath>) {
        // A way that ends at an error is walked as far as it goes; what lies at its end is told when it is laid there.
        let _ = self.walk(path, true, Dangling::Refused, |place| _ = ways.insert(place.clone()));
    }

    /// Whether there is nothing at a path nor in it.
    fn is_free(&self, path: &ImagePath) -> bool {
        self.get(path).is_none() && !self.has_below(path)
    }

    /// Whether that holds for the directory above: then it says nothing new of the path.
    fn lies_in_nothing(&self, path: &ImagePath) -> bool {
        path.parent().is_some_and(|parent| parent != ImagePath::root() && self.is_free(&parent))
    }

    /// What lies at a path, in a few words.
    fn shown(&self, path: &ImagePath) -> String {
        match self.get(path) {
            None if self.has_below(path) => "a directory without an entry".to_owned(),
            None => "nothing".to_owned(),
            Some(entry) => match &entry.kind {
                ForeignKind::Directory => format!("{:04o} {}:{}", entry.mode, entry.owner.uid, entry.owner.gid),
                ForeignKind::Symlink(target) => format!("a link to {target}"),
                ForeignKind::File | ForeignKind::Text(_) | ForeignKind::Bytes(_) | ForeignKind::Library(_) => {
                    "a file".to_owned()
                }
            },
        }
    }

    /// The digest of which paths there are in `dir` and what they are, wherever links lead from there; `None` where `dir` is
    /// free.
    fn digest_of(&self, dir: &ImagePath) -> Option<Digest> {
        if self.leaves_free(dir) {
            return None;
        }
        let mut found: BTreeMap<ImagePath, String> = BTreeMap::new();
        let mut open = vec![dir.clone()];
        while let Some(path) = open.pop() {
            let mut places = BTreeSet::new();
            self.collect_way(&path, &mut places);
            let end = self.resolve(&path).unwrap_or(path);
            places.extend(self.below(&end).cloned());
            for place in places {
                if found.insert(place.clone(), self.shown(&place)).is_none()
                    && self.get(&place).is_some_and(|entry| matches!(entry.kind, ForeignKind::Symlink(_)))
                {
                    open.push(place);
                }
            }
        }
        let mut hasher = Hasher::default();
        for (path, shown) in found {
            for text in [path.tar_name(), shown.as_bytes()] {
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text);
            }
        }
        Some(hasher.finish())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{ForeignEntry, LayerListing};

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    /// A base; what ends with a slash is a directory, what has an arrow a link.
    fn base(entries: &[&str]) -> BaseFiles {
        let entry = |text: &&str| {
            let (path, kind) = match (text.split_once(" -> "), text.strip_suffix('/')) {
                (Some((path, target)), _) => (path, ForeignKind::Symlink(target.to_owned())),
                (None, Some(dir)) => (dir, ForeignKind::Directory),
                (None, None) => (*text, ForeignKind::File),
            };
            ForeignEntry { path: path.to_owned(), kind, mode: 0o755, uid: 0, gid: 0 }
        };
        BaseFiles::merge([&LayerListing { entries: entries.iter().map(entry).collect() }])
    }

    #[test]
    fn ways_end_where_nothing_is() {
        let base = base(&["/usr/", "/usr/share/", "/var/", "/var/run -> /run", "/run/", "/opt/a/b"]);
        let table: [(&str, &str, &[(&str, &str)]); 4] = [
            (
                "what is there, and the first that is not",
                "/usr/share/fonts/acme/a.ttf",
                &[("/usr", "0755 0:0"), ("/usr/share", "0755 0:0"), ("/usr/share/fonts", "nothing")],
            ),
            (
                "behind a link",
                "/var/run/shop",
                &[("/run", "0755 0:0"), ("/run/shop", "nothing"), ("/var", "0755 0:0"), ("/var/run", "a link to /run")],
            ),
            (
                "a directory that no layer lists",
                "/opt/b",
                &[("/opt", "a directory without an entry"), ("/opt/b", "nothing")],
            ),
            ("nothing at all", "/srv/shop/deep", &[("/srv", "nothing")]),
        ];
        for (comment, to, expected) in table {
            let mut ways = BTreeSet::new();
            base.collect_way(&path(to), &mut ways);
            ways.retain(|way| !base.lies_in_nothing(way));
            let found: Vec<_> = ways.iter().map(|way| (way.to_string(), base.shown(way))).collect();
            let expected: Vec<_> = expected.iter().map(|(way, is)| ((*way).to_owned(), (*is).to_owned())).collect();
            assert_eq!(found, expected, "{comment}");
        }
    }

    #[test]
    fn what_the_root_holds_has_a_digest_wherever_links_lead() {
        let of = |entries: &[&str]| base(entries).digest_of(&path("/app"));
        let own = of(&["/app/", "/app/libs -> /srv/libs", "/srv/", "/srv/libs/"]);
        assert!(own.is_some());
        let table: [(&str, &[&str], bool); 5] = [
            (
                "the same, and more elsewhere",
                &["/app/", "/app/libs -> /srv/libs", "/srv/", "/srv/libs/", "/srv/x"],
                true,
            ),
            ("more in it", &["/app/", "/app/a", "/app/libs -> /srv/libs", "/srv/", "/srv/libs/"], false),
            ("a link to elsewhere", &["/app/", "/app/libs -> /srv", "/srv/", "/srv/libs/"], false),
            ("more where it leads", &["/app/", "/app/libs -> /srv/libs", "/srv/", "/srv/libs/", "/srv/libs/x"], false),
            ("nothing", &["/app/"], false),
        ];
        for (comment, entries, same) in table {
            assert_eq!(of(entries) == own, same, "{comment}");
        }
        assert_eq!(of(&["/app/"]), None, "an empty directory is free");
    }
}
