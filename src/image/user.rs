//! The user that an image runs as: one of the base's, or a new one merged into the base's passwd, group and shadow.
//!
//! Sources: passwd(5), group(5), shadow(5).

use std::collections::BTreeSet;

use super::{BaseFiles, BaseFilesError};
use crate::layer::{Entry, FileTree, Owner, TreeError};
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
    /// The base's groups that it is a member of besides its own.
    pub groups: Vec<String>,
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
            groups: Vec::new(),
        })
    }
}

/// What a user means for an image.
#[derive(Clone, Debug)]
pub struct UserEntries {
    /// The owner of the image's files.
    pub owner: Owner,
    /// Whether it is a member of groups besides its own.
    pub in_other_groups: bool,
    /// The changed files of the base and the home; empty if nothing changes.
    pub tree: FileTree,
}

/// Why a user cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum UserError {
    /// The base has no such user.
    #[error("the base has no user named `{name}`")]
    Unknown {
        /// The name asked for.
        name: String,
        /// A number that no user and no group has.
        free: u32,
    },
    /// The base has no such group.
    #[error("the base has no group named `{name}`")]
    UnknownGroup {
        /// The name asked for.
        name: String,
        /// The groups there are.
        known: Vec<String>,
    },
    /// The number belongs to another name, or the name to another number.
    #[error("the base's {what} `{existing}` conflicts with the one wanted: `{wanted}`")]
    Conflict {
        /// `user` or `group`.
        what: &'static str,
        /// What was asked for, `name:number`.
        wanted: String,
        /// What the base has, `name:number`.
        existing: String,
        /// A number that no user and no group has.
        free: u32,
    },
    /// A name that would break the files' format.
    #[error("a user's {0} is empty, or has a colon, comma, slash or line break in it: `{1}`")]
    Malformed(&'static str, String),
    /// The base's own files cannot be extended.
    #[error(transparent)]
    Base(#[from] BaseFilesError),
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
            Self::Conflict { what, wanted, existing, free } => {
                let split = |text| str::split_once(text, ':').unwrap_or((text, ""));
                let ((name, _), (known, id)) = (split(wanted), split(existing));
                Some(match (name == known, *what) {
                    (true, "user") => format!("use the base's own: `user = \"{name}\"` in pirogue.toml"),
                    (true, _) => format!("to take that group, set `gid = {id}` for `user` in pirogue.toml"),
                    (false, _) => {
                        format!("{free} is free: `user = {{ name = \"{name}\", uid = {free} }}` in pirogue.toml")
                    }
                })
            }
            Self::Unknown { name, free } => {
                Some(format!("to add it, set `user = {{ name = \"{name}\", uid = {free} }}` in pirogue.toml"))
            }
            Self::UnknownGroup { known, .. } => Some(format!(
                "there are: {}",
                known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
            )),
            Self::Base(error) => error.hint(),
            Self::Malformed(..) | Self::Path(_) | Self::Tree(_) => None,
        }
    }
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
            // A number is nobody's name, and so in no group but its own.
            Self::Number(owner) => Ok(UserEntries { owner: *owner, in_other_groups: false, tree: FileTree::default() }),
            Self::Existing(name) => {
                let accounts = Accounts::of(base)?;
                let line = lines(accounts.passwd).find(|line| line.name == name);
                let line = line.ok_or_else(|| UserError::Unknown { name: name.clone(), free: accounts.free() })?;
                let owner = Owner { uid: line.id, gid: line.second_id.unwrap_or(line.id) };
                let in_other_groups = !accounts.other_groups(name, owner.gid).is_empty();
                Ok(UserEntries { owner, in_other_groups, tree: FileTree::default() })
            }
            Self::New(user) => user.merged_into(base),
        }
    }
}

/// The base's users and groups.
struct Accounts<'a> {
    passwd: &'a str,
    group: &'a str,
}

impl<'a> Accounts<'a> {
    fn of(base: &'a BaseFiles) -> Result<Self, UserError> {
        let text = |place| Ok::<_, UserError>(base.text(&path(place)?)?.unwrap_or_default());
        Ok(Self { passwd: text("/etc/passwd")?, group: text("/etc/group")? })
    }

    /// A number that no user and no group has.
    fn free(&self) -> u32 {
        let users = lines(self.passwd).flat_map(|line| [Some(line.id), line.second_id]).flatten();
        let taken: BTreeSet<u32> = users.chain(lines(self.group).map(|line| line.id)).collect();
        (1001..).find(|free| !taken.contains(free)).unwrap_or(u32::MAX)
    }

    /// The groups that a user is a member of besides its own.
    fn other_groups(&self, name: &str, gid: u32) -> BTreeSet<&'a str> {
        let is_member = |line: &&str| members(line).any(|member| member == name);
        let groups = self.group.lines().filter(is_member).flat_map(lines);
        groups.filter(|group| group.id != gid).map(|group| group.name).collect()
    }

    /// Whether `text` has exactly this name and number; an error if it has only one of them.
    fn holds(&self, what: &'static str, text: &str, name: &str, id: u32) -> Result<bool, UserError> {
        if lines(text).any(|line| line.name == name && line.id == id) {
            return Ok(true);
        }
        let Some(line) = lines(text).find(|line| line.name == name || line.id == id) else { return Ok(false) };
        let (wanted, existing) = (format!("{name}:{id}"), format!("{}:{}", line.name, line.id));
        Err(UserError::Conflict { what, wanted, existing, free: self.free() })
    }

    /// An error if the base's user of that name has another group of its own.
    fn refuse_another_group(&self, name: &str, owner: Owner) -> Result<(), UserError> {
        let own = lines(self.passwd).find(|line| line.name == name).and_then(|line| line.second_id);
        match own.filter(|gid| *gid != owner.gid) {
            None => Ok(()),
            Some(gid) => Err(UserError::Conflict {
                what: "user",
                wanted: format!("{name}:{}:{}", owner.uid, owner.gid),
                existing: format!("{name}:{}:{gid}", owner.uid),
                free: self.free(),
            }),
        }
    }
}

/// The members of a group, by its line.
fn members(line: &str) -> impl Iterator<Item = &str> {
    line.split(':').nth(3).unwrap_or_default().split(',').map(str::trim).filter(|name| !name.is_empty())
}

impl NewUser {
    fn merged_into(&self, base: &BaseFiles) -> Result<UserEntries, UserError> {
        self.refuse_malformed()?;
        let Self { name, uid, gid, home, shell, groups } = self;
        let owner = Owner { uid: *uid, gid: *gid };
        let mut tree = FileTree::default();
        let mut put = |(place, entry)| tree.insert(place, entry);
        let accounts = Accounts::of(base)?;
        if accounts.holds("user", accounts.passwd, name, *uid)? {
            accounts.refuse_another_group(name, owner)?;
        } else {
            put(base.appended(&path("/etc/passwd")?, &format!("{name}:x:{uid}:{gid}::{home}:{shell}\n"))?)?;
        }
        let mut group = self.joined(&accounts)?;
        if !accounts.holds("group", accounts.group, name, *gid)? {
            end_line(&mut group);
            group.push_str(&format!("{name}:x:{gid}:\n"));
        }
        if group != accounts.group {
            put(base.rewritten(&path("/etc/group")?, group)?)?;
        }
        let shadow = base.text(&path("/etc/shadow")?)?;
        let in_shadow = |text: &str| text.lines().any(|line| line.split(':').next() == Some(name));
        if shadow.is_some_and(|text| !in_shadow(text)) {
            // "!" is no password that anyone could type. No day of the last change: it would differ from build to build.
            put(base.appended(&path("/etc/shadow")?, &format!("{name}:!::0:99999:7:::\n"))?)?;
        }
        let home = path(home)?;
        let at_home = base.resolve(&home)?;
        if base.get(&at_home).is_none() && at_home != ImagePath::root() {
            put((home, Entry::directory(owner)))?;
        }
        let in_other_groups = !groups.is_empty() || !accounts.other_groups(name, *gid).is_empty();
        Ok(UserEntries { owner, in_other_groups, tree })
    }

    /// The base's groups with this user among the members of those it joins.
    fn joined(&self, accounts: &Accounts<'_>) -> Result<String, UserError> {
        let names: BTreeSet<&str> = lines(accounts.group).map(|line| line.name).collect();
        if let Some(unknown) = self.groups.iter().find(|group| !names.contains(group.as_str())) {
            let known = names.into_iter().map(str::to_owned).collect();
            return Err(UserError::UnknownGroup { name: unknown.clone(), known });
        }
        let join = |line: &str| {
            let text = line.trim_end_matches('\n');
            let joins = self.groups.iter().any(|group| text.split(':').next() == Some(group));
            match joins && members(text).all(|member| member != self.name) {
                false => line.to_owned(),
                true => {
                    let comma = if members(text).next().is_some() { "," } else { "" };
                    format!("{text}{comma}{}{}", self.name, &line[text.len()..])
                }
            }
        };
        Ok(accounts.group.split_inclusive('\n').map(join).collect())
    }

    fn refuse_malformed(&self) -> Result<(), UserError> {
        for (what, value) in [("name", &self.name), ("home", &self.home), ("shell", &self.shell)] {
            if value.is_empty()
                || value.contains([':', '\n', '\r', '\0'])
                || what == "name" && value.contains([',', '/'])
            {
                return Err(UserError::Malformed(what, value.clone()));
            }
        }
        Ok(())
    }
}

fn path(text: &str) -> Result<ImagePath, UserError> {
    Ok(ImagePath::new(text)?)
}

fn end_line(text: &mut String) {
    if !text.is_empty() && !text.ends_with('\n') {
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, ForeignEntry, ForeignKind, Kind, LayerListing};

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# remark\nnode:x:1000:1000::/home/node:/bin/sh";
    const GROUP: &str = "root:x:0:root\nnode:x:1000:node\nstaff:x:1002:\nvideo:x:27:root,node\n";

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
        let table: [(&str, ImageUser, Result<(u32, u32), &str>); 8] = [
            ("the base's user with another group", new("node", 1000, 1002), Err("`node:1000:1000`")),
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
        let hints = [
            (
                "free for users and groups",
                new("nodeuser", 1000, 1000),
                "1001 is free: `user = { name = \"nodeuser\", uid = 1001 }`",
            ),
            ("the user itself", new("node", 1001, 1001), "use the base's own: `user = \"node\"`"),
            ("a group of that name", new("staff", 1001, 1001), "set `gid = 1002` for `user`"),
            ("to be added", ImageUser::Existing("app".into()), "`user = { name = \"app\", uid = 1001 }`"),
        ];
        for (comment, user, expected) in hints {
            let hint = user.entries(&base()).unwrap_err().hint().unwrap();
            assert!(hint.contains(expected), "{comment}: {hint}");
        }
    }

    #[test]
    fn a_free_number_is_free_for_users_and_groups() {
        let accounts = Accounts { passwd: "a:x:1001:1003::/:\nb:x:1004:0::/:\n", group: "c:x:1002:\n" };
        assert_eq!(accounts.free(), 1005);
    }

    #[test]
    fn groups_besides_ones_own() {
        let joining = |groups: &[&str]| {
            let ImageUser::New(user) = new("app", 1001, 1001) else { unreachable!() };
            ImageUser::New(NewUser { groups: groups.iter().map(|group| (*group).to_owned()).collect(), ..user })
        };
        let table = [
            ("none", joining(&[]), false, None),
            ("the base's says so", ImageUser::Existing("node".into()), true, None),
            ("a number is in none", ImageUser::Number(Owner { uid: 1000, gid: 1000 }), false, None),
            (
                "joined, with and without members",
                joining(&["video", "staff"]),
                true,
                Some("root:x:0:root\nnode:x:1000:node\nstaff:x:1002:app\nvideo:x:27:root,node,app\napp:x:1001:\n"),
            ),
        ];
        for (comment, user, expected, group) in table {
            let entries = user.entries(&base()).unwrap();
            assert_eq!(entries.in_other_groups, expected, "{comment}");
            if let Some(group) = group {
                assert_eq!(text(&entries.tree, "/etc/group"), group, "{comment}");
            }
        }
        let error = joining(&["vdeo"]).entries(&base()).unwrap_err();
        assert_eq!(error.to_string(), "the base has no group named `vdeo`");
        assert_eq!(error.hint().unwrap(), "there are: `node`, `root`, `staff`, `video`");
    }

    #[test]
    fn names_that_would_break_the_format_are_refused() {
        for name in ["", "a:b", "a,b", "a/b", "a\nroot:x:0:0"] {
            assert!(matches!(new(name, 1001, 1001).entries(&base()), Err(UserError::Malformed(..))), "{name:?}");
        }
    }
}
