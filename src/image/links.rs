//! Symbolic links of the base, followed as a container would follow them: `/bin` of a merged `/usr`, `/var/run`.

use std::ffi::OsString;
use std::path::{Component, Path, PathBuf};

use super::BaseFiles;
use crate::layer::{Entry, FileTree, ForeignKind, Kind, TreeError};
use crate::path::{ImagePath, ImagePathError, MOST_LINKS};

/// Why an image cannot have something over the base's files.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum BaseFilesError {
    /// Links in a circle.
    #[error("a link of the base leads back to itself: `{0}`")]
    Loop(ImagePath),
    /// A link to nothing.
    #[error("a link of the base leads to `{target}`, where nothing is: `{link}`")]
    Dangling {
        /// The link.
        link: ImagePath,
        /// Where it leads in the image.
        target: ImagePath,
    },
    /// A file where a directory has to be.
    #[error("the base has a file where the image needs a directory: `{0}`")]
    FileInTheWay(ImagePath),
    /// A directory where a file has to be.
    #[error("the base has a directory where the image needs a file or link: `{0}`")]
    DirectoryInTheWay(ImagePath),
    /// A file that was to be extended, and whose content is not known.
    #[error("the base has a file that cannot be extended, for it is no small file in its usual place: `{0}`")]
    Unread(ImagePath),
    /// A path that no image can have.
    #[error(transparent)]
    Path(#[from] ImagePathError),
    /// Two things at one place, by way of links.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl BaseFilesError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Loop(_) | Self::Dangling { .. } | Self::FileInTheWay(_) => Some(
                "name another directory in pirogue.toml: `root`, `workdir`, `writable`, `to` of `files`, or the user's `home`".into(),
            ),
            Self::DirectoryInTheWay(path) => Some(format!("name a file in that directory, such as `to = \"{path}/NAME\"`")),
            Self::Unread(_) | Self::Path(_) | Self::Tree(_) => None,
        }
    }
}

/// What becomes of links that lead to nothing.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Dangling {
    /// They are an error.
    Refused,
    /// Where they lead is where something new comes to lie.
    Followed,
}

impl BaseFiles {
    /// The path without links in it, the last name's own included: where a file of this path really lies, or would. A link
    /// that leads in circles stays as it is.
    pub fn real_path(&self, path: &ImagePath) -> ImagePath {
        self.follow(path, true, Dangling::Followed).unwrap_or_else(|_| path.clone())
    }

    /// Where `path` leads in the base when every link on the way is followed, the last name's too. What the base does not
    /// have stays as it is. Never outside: `..` in the root is the root.
    pub fn resolve(&self, path: &ImagePath) -> Result<ImagePath, BaseFilesError> {
        self.follow(path, true, Dangling::Refused)
    }

    /// Where something new at `path` lies: links above it are followed, one in its own place would be replaced.
    pub fn place_of(&self, path: &ImagePath) -> Result<ImagePath, BaseFilesError> {
        self.follow(path, false, Dangling::Refused)
    }

    /// Whether the base has nothing in `dir`, and no link leads there: everything new in it lies where it says.
    pub fn leaves_free(&self, dir: &ImagePath) -> bool {
        let up = std::iter::once(dir.clone()).chain(dir.ancestors());
        let mut there = up.filter_map(|path| self.get(&path));
        there.all(|entry| entry.kind == ForeignKind::Directory) && !self.has_below(dir)
    }

    /// A tree as it lies over the base: what it has below a link of the base goes to where the link leads. `None` if
    /// everything stays where it is.
    pub fn lay(&self, tree: &FileTree) -> Result<Option<FileTree>, BaseFilesError> {
        let mut entries = Vec::new();
        let mut moved = false;
        for (path, entry) in tree.iter() {
            let (place, entry) = self.lay_entry(path, entry)?;
            moved |= place != *path;
            entries.push((place, entry));
        }
        Ok(if moved { Some(FileTree::of(entries)?) } else { None })
    }

    fn lay_entry(&self, path: &ImagePath, entry: &Entry) -> Result<(ImagePath, Entry), BaseFilesError> {
        let is_directory = entry.kind == Kind::Directory;
        let place = self.follow(path, is_directory, Dangling::Refused)?;
        match self.get(&place).map(|existing| existing.kind == ForeignKind::Directory) {
            Some(false) if is_directory => return Err(BaseFilesError::FileInTheWay(place)),
            Some(true) if !is_directory => return Err(BaseFilesError::DirectoryInTheWay(place)),
            _ => {}
        }
        let mut entry = entry.clone();
        if place != *path {
            match &entry.kind {
                Kind::Symlink(target) => entry.kind = Kind::Symlink(self.retargeted(path, &place, target)?),
                Kind::HardLink(target) => entry.kind = Kind::HardLink(self.place_of(target)?),
                Kind::Directory | Kind::File(_) => {}
            }
        }
        Ok((place, entry))
    }

    /// The target of a link that was to lie at `path` and lies at `place`: a relative one leads to the same thing still.
    fn retargeted(&self, path: &ImagePath, place: &ImagePath, target: &Path) -> Result<PathBuf, BaseFilesError> {
        let (Some(from), Some(to)) = (path.parent(), place.parent()) else { return Ok(target.to_owned()) };
        if target.is_absolute() {
            return Ok(target.to_owned());
        }
        let meant = target.components().fold(from, |dir, component| match component {
            Component::ParentDir => dir.parent().unwrap_or(dir),
            Component::Normal(name) => dir.child(name),
            _ => dir,
        });
        Ok(to.relative_link_to(&self.place_of(&meant)?))
    }

    fn follow(&self, path: &ImagePath, last_too: bool, dangling: Dangling) -> Result<ImagePath, BaseFilesError> {
        self.walk(path, last_too, dangling, |_| {})
    }

    /// Follows a path, and tells `look` of every place that is looked at on the way.
    pub(super) fn walk(
        &self,
        path: &ImagePath,
        last_too: bool,
        dangling: Dangling,
        mut look: impl FnMut(&ImagePath),
    ) -> Result<ImagePath, BaseFilesError> {
        let mut place = ImagePath::root();
        // The names still to go, the next one last.
        let mut names = names(path.as_path());
        // The links that are being followed, each with how many names are left when it has been.
        let mut following: Vec<(ImagePath, usize)> = Vec::new();
        let mut count = 0;
        while let Some(name) = names.pop() {
            if name == ".." {
                place = place.parent().unwrap_or(place);
            } else {
                let next = place.child(&name);
                look(&next);
                match self.get(&next).map(|entry| &entry.kind) {
                    Some(ForeignKind::Symlink(target)) if last_too || !names.is_empty() => {
                        count += 1;
                        if count > MOST_LINKS {
                            return Err(BaseFilesError::Loop(following.first().map_or(next, |(link, _)| link.clone())));
                        }
                        following.push((next, names.len()));
                        if target.starts_with('/') {
                            place = ImagePath::root();
                        }
                        names.extend(self::names(Path::new(target)));
                    }
                    Some(ForeignKind::File | ForeignKind::Text(_)) if !names.is_empty() => {
                        return Err(BaseFilesError::FileInTheWay(next));
                    }
                    _ => place = next,
                }
            }
            while let Some((link, _)) = following.pop_if(|(_, left)| *left >= names.len()) {
                if dangling == Dangling::Refused && self.get(&place).is_none() && !self.has_below(&place) {
                    return Err(BaseFilesError::Dangling { link, target: place });
                }
            }
        }
        Ok(place)
    }
}

/// The names in a path, the first one last; `..` is kept.
fn names(path: &Path) -> Vec<OsString> {
    let names = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    });
    let mut names: Vec<OsString> = names.collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, ForeignEntry, LayerListing, Owner};

    const OWNER: Owner = Owner { uid: 7, gid: 7 };

    fn path(text: &str) -> ImagePath {
        ImagePath::new(text).unwrap()
    }

    /// A base with a merged `/usr`; what ends with a slash is a directory, what has an arrow a link.
    fn base() -> BaseFiles {
        let entries = [
            "/usr/",
            "/usr/bin/",
            "/usr/bin/node",
            "/bin -> usr/bin",
            "/run/",
            "/var/",
            "/var/run -> /run",
            "/var/lock -> run/lock",
            "/run/lock/",
            "/up -> ../../../usr",
            "/twice -> var/run/lock",
            "/usr/bin/sh -> node",
            "/round -> /about",
            "/about -> round",
            "/gone -> nowhere/at/all",
            "/app/",
            "/app/libs -> ../srv/libs",
            "/srv/libs/",
        ];
        let entry = |text: &str| {
            let (path, kind) = match (text.split_once(" -> "), text.strip_suffix('/')) {
                (Some((path, target)), _) => (path, ForeignKind::Symlink(target.to_owned())),
                (None, Some(dir)) => (dir, ForeignKind::Directory),
                (None, None) => (text, ForeignKind::File),
            };
            ForeignEntry { path: path.to_owned(), kind, mode: 0o755, uid: 0, gid: 0 }
        };
        BaseFiles::merge([&LayerListing { entries: entries.into_iter().map(entry).collect() }])
    }

    #[test]
    fn paths_lead_where_a_container_would_go() {
        let dangling = |link, target| Err(BaseFilesError::Dangling { link: path(link), target: path(target) });
        let table = [
            ("nothing on the way", "/srv/new", Ok("/srv/new")),
            ("a relative link", "/bin/tool", Ok("/usr/bin/tool")),
            ("an absolute one", "/var/run/app", Ok("/run/app")),
            ("one after the other", "/var/lock/app", Ok("/run/lock/app")),
            ("a link through a link", "/twice/app", Ok("/run/lock/app")),
            ("above the root is the root", "/up/bin/x", Ok("/usr/bin/x")),
            ("a link in the last place", "/var/run", Ok("/run")),
            ("to a file", "/bin/sh", Ok("/usr/bin/node")),
            ("through a file", "/bin/sh/x", Err(BaseFilesError::FileInTheWay(path("/usr/bin/node")))),
            ("in a circle", "/round/x", Err(BaseFilesError::Loop(path("/round")))),
            ("to nothing", "/gone/x", dangling("/gone", "/nowhere/at/all")),
            ("to nothing, in the last place", "/gone", dangling("/gone", "/nowhere/at/all")),
        ];
        for (comment, from, expected) in table {
            assert_eq!(base().resolve(&path(from)), expected.map(path), "{comment}");
        }
        assert_eq!(base().place_of(&path("/bin/sh")), Ok(path("/usr/bin/sh")), "a file would replace the link");
    }

    #[test]
    fn entries_lie_where_links_lead() {
        let file = || Entry::file(Content::Bytes(b"x".to_vec()), false, OWNER);
        let link = |target: &str| Entry::symlink(target, OWNER);
        let table = [
            ("a file", "/bin/tool", file(), Ok(Some(("/usr/bin/tool", file())))),
            ("a directory", "/var/run", Entry::directory(OWNER), Ok(Some(("/run", Entry::directory(OWNER))))),
            ("a file in place of a link", "/usr/bin/sh", file(), Ok(None)),
            ("nothing on the way", "/srv/a", file(), Ok(None)),
            (
                "a link out of the moved place",
                "/app/libs/a",
                link("../b"),
                Ok(Some(("/srv/libs/a", link("../../app/b")))),
            ),
            ("a link within it", "/app/libs/a", link("b"), Ok(Some(("/srv/libs/a", link("b"))))),
            ("an absolute link", "/app/libs/a", link("/b"), Ok(Some(("/srv/libs/a", link("/b"))))),
            (
                "a directory over a file",
                "/bin/node",
                Entry::directory(OWNER),
                Err(BaseFilesError::FileInTheWay(path("/usr/bin/node"))),
            ),
            (
                "a file over a directory",
                "/var/run/lock",
                file(),
                Err(BaseFilesError::DirectoryInTheWay(path("/run/lock"))),
            ),
        ];
        for (comment, from, entry, expected) in table {
            let tree = FileTree::of(vec![(path(from), entry)]).unwrap();
            let expected = expected.map(|laid| laid.map(|(to, entry)| FileTree::of(vec![(path(to), entry)]).unwrap()));
            assert_eq!(base().lay(&tree), expected, "{comment}");
        }
        let both = FileTree::of(vec![(path("/bin/a"), file()), (path("/usr/bin/a"), link("b"))]).unwrap();
        assert_eq!(base().lay(&both), Err(BaseFilesError::Tree(TreeError(path("/usr/bin/a")))));
    }

    #[test]
    fn what_the_base_leaves_free() {
        for (dir, expected) in
            [("/srv/libs", true), ("/opt", true), ("/app", false), ("/bin", false), ("/bin/x", false)]
        {
            assert_eq!(base().leaves_free(&path(dir)), expected, "{dir}");
        }
    }
}
