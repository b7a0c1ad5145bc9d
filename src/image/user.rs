//! The user that an image runs as: one of the base's, or a new one merged into the base's passwd, group and shadow.
//!
//! Sources: passwd(5), group(5), shadow(5).

use super::BaseFiles;
use crate::layer::{Content, Entry, FileTree, Owner, TreeError};
use crate::path::{ImagePath, ImagePathError};

/// The user that an image runs as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImageUser {
    /// One that the base has, by its name.
    Existing(String),
    /// A number, and the group's, that need no entry anywhere.
    Number(Owner),
    /// One that is added unless the base has exactly it.
    New(NewUser),
}

/// A user to be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewUser {
    /// Its name, which is also that of its group.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// Its group's number.
    pub gid: u32,
    /// Its home, which is made.
    pub home: String,
    /// Its shell.
    pub shell: String,
}

impl Default for ImageUser {
    /// `nodeuser`, 1001.
    fn default() -> Self {
        Self::New(NewUser {
            name: "nodeuser".to_owned(),
            uid: 1001,
            gid: 1001,
            home: "/home/nodeuser".to_owned(),
            shell: "/bin/sh".to_owned(),
        })
    }
}

/// What a user means for an image.
#[derive(Clone, Debug)]
pub struct UserEntries {
    /// The owner of the image's files.
    pub owner: Owner,
    /// The changed files of the base and the home; empty if nothing changes.
    pub tree: FileTree,
}

/// Why a user cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The base has no such user.
    #[error("the base has no user named `{0}`")]
    Unknown(String),
    /// The number belongs to another name, or the name to another number.
    #[error("the base's {what} `{existing}` conflicts with the one wanted: `{wanted}`")]
    Conflict {
        /// `user` or `group`.
        what: &'static str,
        /// What was asked for, `name:number`.
        wanted: String,
        /// What the base has, `name:number`.
        existing: String,
        /// A number that nobody has.
        free: u32,
    },
    /// A name that would break the files' format.
    #[error("a user's {0} has a colon, a line break or nothing in it: `{1}`")]
    Malformed(&'static str, String),
    /// The home is no path of an image.
    #[error(transparent)]
    Path(#[from] ImagePathError),
    /// Two things at one place.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl UserError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Conflict { wanted, existing, free, .. } => {
                let (name, known) = (before_colon(wanted), before_colon(existing));
                Some(match name == known {
                    true => format!("use the base's own: `user = \"{name}\"` in pirogue.toml"),
                    false => format!("{free} is free: `user = {{ name = \"{name}\", uid = {free} }}` in pirogue.toml"),
                })
            }
            Self::Unknown(name) => {
                Some(format!("to add it, set `user = {{ name = \"{name}\", uid = 1001 }}` in pirogue.toml"))
            }
            _ => None,
        }
    }
}

fn before_colon(text: &str) -> &str {
    text.split(':').next().unwrap_or_default()
}

/// A line of passwd or group: a name and its number.
struct Line<'a> {
    name: &'a str,
    id: u32,
    /// The group's number, in passwd.
    second_id: Option<u32>,
}

/// The lines that have a name and a number. Others (comments, NIS's `+`) are kept as they are, but mean nothing here.
fn lines(text: &str) -> impl Iterator<Item = Line<'_>> {
    text.lines().filter_map(|line| {
        let mut fields = line.split(':');
        let (name, _password, id) = (fields.next()?, fields.next()?, fields.next()?.parse().ok()?);
        Some(Line { name, id, second_id: fields.next().and_then(|field| field.parse().ok()) })
    })
}

impl ImageUser {
    /// The owner of the image's files, if it does not depend on the base.
    pub fn own_owner(&self) -> Option<Owner> {
        match self {
            Self::Existing(_) => None,
            Self::Number(owner) => Some(*owner),
            Self::New(user) => Some(Owner { uid: user.uid, gid: user.gid }),
        }
    }

    /// Finds the user in the base, or adds it: the base's own bytes are kept, its lines are appended.
    pub fn entries(&self, base: &BaseFiles) -> Result<UserEntries, UserError> {
        match self {
            Self::Number(owner) => Ok(UserEntries { owner: *owner, tree: FileTree::default() }),
            Self::Existing(name) => {
                let passwd = base.text(&path("/etc/passwd")?).unwrap_or_default();
                let line = lines(passwd).find(|line| line.name == name);
                let line = line.ok_or_else(|| UserError::Unknown(name.clone()))?;
                let owner = Owner { uid: line.id, gid: line.second_id.unwrap_or(line.id) };
                Ok(UserEntries { owner, tree: FileTree::default() })
            }
            Self::New(user) => user.merged_into(base),
        }
    }
}

impl NewUser {
    fn merged_into(&self, base: &BaseFiles) -> Result<UserEntries, UserError> {
        self.refuse_malformed()?;
        let Self { name, uid, gid, home, shell } = self;
        let owner = Owner { uid: *uid, gid: *gid };
        let mut tree = FileTree::default();
        let passwd = base.text(&path("/etc/passwd")?).unwrap_or_default();
        let group = base.text(&path("/etc/group")?).unwrap_or_default();
        let has_user = holds("user", name, *uid, passwd)?;
        let has_group = holds("group", name, *gid, group)?;
        if !has_user {
            append(&mut tree, base, "/etc/passwd", &format!("{name}:x:{uid}:{gid}::{home}:{shell}"))?;
        }
        if !has_group {
            append(&mut tree, base, "/etc/group", &format!("{name}:x:{gid}:"))?;
        }
        let shadow = base.text(&path("/etc/shadow")?);
        let in_shadow = |text: &str| text.lines().any(|line| line.split(':').next() == Some(name));
        if shadow.is_some_and(|text| !in_shadow(text)) {
            // "!" is no password that anyone could type. No day of the last change: it would differ from build to build.
            append(&mut tree, base, "/etc/shadow", &format!("{name}:!::0:99999:7:::"))?;
        }
        let home = path(home)?;
        if base.get(&home).is_none() && home != ImagePath::root() {
            tree.insert(home, Entry::directory(owner))?;
        }
        Ok(UserEntries { owner, tree })
    }

    fn refuse_malformed(&self) -> Result<(), UserError> {
        for (what, value) in [("name", &self.name), ("home", &self.home), ("shell", &self.shell)] {
            if value.is_empty() || value.contains([':', '\n', '\r', '\0']) {
                return Err(UserError::Malformed(what, value.clone()));
            }
        }
        Ok(())
    }
}

fn path(text: &str) -> Result<ImagePath, UserError> {
    Ok(ImagePath::new(text)?)
}

/// Whether `text` has exactly this name and number; an error if it has only one of them.
fn holds(what: &'static str, name: &str, id: u32, text: &str) -> Result<bool, UserError> {
    let Some(line) = lines(text).find(|line| line.name == name || line.id == id) else { return Ok(false) };
    if line.name == name && line.id == id {
        return Ok(true);
    }
    let free = (1001..).find(|&free| lines(text).all(|line| line.id != free)).unwrap_or(id);
    Err(UserError::Conflict {
        what,
        wanted: format!("{name}:{id}"),
        existing: format!("{}:{}", line.name, line.id),
        free,
    })
}

/// Adds the file `place` to the tree: the base's text with `line` appended, mode and owner kept.
fn append(tree: &mut FileTree, base: &BaseFiles, place: &str, line: &str) -> Result<(), UserError> {
    let place = path(place)?;
    let mut text = base.text(&place).unwrap_or_default().to_owned();
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
    text.push_str(line);
    text.push('\n');
    let mut entry = Entry::file(Content::Bytes(text.into_bytes()), false, Owner { uid: 0, gid: 0 });
    if let Some(existing) = base.get(&place) {
        entry.mode = existing.mode;
        entry.owner = existing.owner;
    }
    tree.insert(place, entry)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{ForeignEntry, ForeignKind, Kind, LayerListing};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# remark\nnode:x:1000:1000::/home/node:/bin/sh";
    const GROUP: &str = "root:x:0:root\nnode:x:1000:node\nstaff:x:1002:\n";

    fn base() -> BaseFiles {
        let file = |path: &str, text: &str, mode, gid| ForeignEntry {
            path: path.into(),
            kind: ForeignKind::Text(text.into()),
            mode,
            uid: 0,
            gid,
        };
        let entries = vec![
            file("/etc/passwd", PASSWD, 0o644, 0),
            file("/etc/group", GROUP, 0o644, 0),
            file("/etc/shadow", "root:*::0:::::\n", 0o640, 42),
        ];
        BaseFiles::merge([&LayerListing { entries }])
    }

    fn new(name: &str, uid: u32, gid: u32) -> ImageUser {
        let ImageUser::New(default) = ImageUser::default() else { unreachable!() };
        ImageUser::New(NewUser { name: name.into(), uid, gid, ..default })
    }

    fn text(tree: &FileTree, place: &str) -> String {
        let Some(Entry { kind: Kind::File(Content::Bytes(bytes)), .. }) = tree.get(&ImagePath::new(place).unwrap())
        else {
            panic!("{place}")
        };
        String::from_utf8(bytes.clone()).unwrap()
    }

    #[test]
    fn lines_are_appended_and_the_rest_is_kept() {
        let entries = ImageUser::default().entries(&base()).unwrap();
        assert_eq!(entries.owner, Owner { uid: 1001, gid: 1001 });
        let added = "nodeuser:x:1001:1001::/home/nodeuser:/bin/sh\n";
        assert_eq!(text(&entries.tree, "/etc/passwd"), format!("{PASSWD}\n{added}"));
        assert_eq!(text(&entries.tree, "/etc/group"), format!("{GROUP}nodeuser:x:1001:\n"));
        assert!(text(&entries.tree, "/etc/shadow").ends_with("nodeuser:!::0:99999:7:::\n"));
        let shadow = entries.tree.get(&ImagePath::new("/etc/shadow").unwrap()).unwrap();
        assert_eq!((shadow.mode, shadow.owner), (0o640, Owner { uid: 0, gid: 42 }));
    }

    #[test]
    fn a_base_without_users_gets_the_files() {
        let entries = ImageUser::default().entries(&BaseFiles::default()).unwrap();
        assert_eq!(text(&entries.tree, "/etc/group"), "nodeuser:x:1001:\n");
        assert!(entries.tree.get(&ImagePath::new("/etc/shadow").unwrap()).is_none());
    }

    #[test]
    fn users_of_the_base_and_conflicts() {
        let table: [(&str, ImageUser, Result<(u32, u32), &str>); 7] = [
            ("by name", ImageUser::Existing("node".into()), Ok((1000, 1000))),
            ("no such name", ImageUser::Existing("nobody".into()), Err("no user named")),
            ("number", ImageUser::Number(Owner { uid: 7, gid: 8 }), Ok((7, 8))),
            ("the same as the base's", new("node", 1000, 1000), Ok((1000, 1000))),
            ("the number of another", new("nodeuser", 1000, 1001), Err("`node:1000`")),
            ("the name with another number", new("node", 1001, 1001), Err("`node:1000`")),
            ("the group of another", new("nodeuser", 1001, 1002), Err("`staff:1002`")),
        ];
        for (comment, user, expected) in table {
            match (user.entries(&base()), expected) {
                (Ok(entries), Ok((uid, gid))) => assert_eq!(entries.owner, Owner { uid, gid }, "{comment}"),
                (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{comment}: {error}"),
                (actual, _) => panic!("{comment}: {actual:?}"),
            }
        }
        let hint = new("nodeuser", 1000, 1001).entries(&base()).unwrap_err().hint().unwrap();
        assert!(hint.contains("1001 is free"), "{hint}");
    }

    #[test]
    fn names_that_would_break_the_format_are_refused() {
        for name in ["", "a:b", "a\nroot:x:0:0"] {
            assert!(matches!(new(name, 1001, 1001).entries(&base()), Err(UserError::Malformed(..))), "{name:?}");
        }
    }
}
