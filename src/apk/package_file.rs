use std::collections::BTreeMap;
use std::io::{self, BufRead, Read};

use ring::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use serde::{Deserialize, Serialize};

use super::segment::{Members, member};
use super::signature::{PublicKey, Verdict, verdict};
use super::signed_index::{ADB, signatures};
use super::{ApkError, Checksum, Dependency};
use crate::digest::{Digest, Hasher};

/// The most bytes of the control segment, of all files of a package, and the most files.
const CONTROL_LIMIT: u64 = 64 << 20;
const DATA_LIMIT: u64 = 8 << 30;
const ENTRIES_LIMIT: usize = 1_000_000;

/// The scripts that packages may have, by what apk calls them, and whether installing the package runs them.
///
/// Source: apk-package(5), "scripts".
const SCRIPTS: [(&str, bool); 7] = [
    ("pre-install", true),
    ("post-install", true),
    ("pre-upgrade", false),
    ("post-upgrade", false),
    ("pre-deinstall", false),
    ("post-deinstall", false),
    ("trigger", true),
];

/// What an installer takes out of a package's file (`.apk`, version 2): a gzip member with signatures, if any, one with
/// what is to be known of the package, and one with its files.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackageFile {
    /// What `.PKGINFO` says that the index does not.
    pub replaces: String,
    /// Which of two packages that replace each other's files wins.
    pub replaces_priority: u64,
    /// The directories, as patterns, whose changes its trigger is run for.
    pub triggers: Vec<String>,
    /// Its scripts, by their names without the dot.
    pub scripts: BTreeMap<String, Vec<u8>>,
    /// Its files in their order.
    pub entries: Vec<DataEntry>,
    /// The bytes of all its segments without compression, one behind the other.
    pub archive_bytes: u64,
}

/// One entry of the data segment.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataEntry {
    /// Its path without a leading slash.
    pub path: String,
    /// What it is.
    pub kind: DataKind,
    /// Its permission bits, with setuid and the like.
    pub mode: u32,
    /// Its owner's number and name; the name counts where the image knows it.
    pub uid: u32,
    /// Its owner's name.
    pub user: String,
    /// Its group's number.
    pub gid: u32,
    /// Its group's name.
    pub group: String,
}

/// What an entry is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DataKind {
    /// A directory.
    Directory,
    /// A file.
    File {
        /// Where its content starts in the archive of all segments.
        offset: u64,
        /// The bytes of its content.
        size: u64,
        /// The digest of its content.
        digest: Digest,
        /// The same in apk's way.
        checksum: Checksum,
    },
    /// A symbolic link and its target.
    Symlink(String),
    /// Another name of an earlier file.
    HardLink(String),
}

impl PackageFile {
    /// Reads the file of a package called `label`. Everything in it is what `expected`, the checksum of an index that was
    /// vouched for, says; where a trusted key signed the package itself, that holds too.
    pub fn read(
        mut file: impl BufRead,
        label: &str,
        expected: &Checksum,
        keys: &[PublicKey],
    ) -> Result<Self, ApkError> {
        let damaged = |source: io::Error| ApkError::DamagedPackage { source, package: label.to_owned() };
        if file.fill_buf().map_err(damaged)?.starts_with(ADB) {
            return Err(ApkError::PackageOfVersion3(label.to_owned()));
        }
        let (mut control, mut inside) = member(&mut file, CONTROL_LIMIT).map_err(damaged)?;
        let mut before = inside.len() as u64;
        let signatures = signatures(&inside);
        if !signatures.is_empty() {
            (control, inside) = member(&mut file, CONTROL_LIMIT).map_err(damaged)?;
            before += inside.len() as u64;
        }
        if !expected.is_of(&control) {
            return Err(ApkError::WrongControl { package: label.to_owned(), expected: expected.clone() });
        }
        if verdict(&signatures, &control, keys) == Verdict::Wrong {
            return Err(ApkError::WrongPackageSignature(label.to_owned()));
        }
        let Control { replaces, replaces_priority, triggers, scripts, data_hash } =
            Control::read(&inside).map_err(damaged)?;

        let mut data = Members::new(&mut file, Context::new(&SHA256), DATA_LIMIT);
        let entries = entries(&mut data, before, label)?;
        let (hash, data_bytes) = data.finish().map_err(damaged)?;
        let actual = hash.map(|hash| hex(hash.finish().as_ref()));
        match data_hash {
            Some(expected) if actual.as_ref() == Some(&expected) => {}
            // Without it nothing vouches for the files.
            Some(_) | None => return Err(ApkError::WrongData(label.to_owned())),
        }
        let archive_bytes = before + data_bytes;
        Ok(Self { replaces, replaces_priority, triggers, scripts, entries, archive_bytes })
    }

    /// The scripts that installing it would run.
    pub fn install_scripts(&self) -> impl Iterator<Item = &str> {
        SCRIPTS.iter().filter(|(name, is_run)| *is_run && self.scripts.contains_key(*name)).map(|(name, _)| *name)
    }

    /// Whose files it may take over.
    pub fn replaced(&self) -> Result<Vec<Dependency>, ApkError> {
        Dependency::parse_list(&self.replaces)
    }
}

/// The control segment.
#[derive(Default)]
struct Control {
    replaces: String,
    replaces_priority: u64,
    triggers: Vec<String>,
    scripts: BTreeMap<String, Vec<u8>>,
    data_hash: Option<String>,
}

impl Control {
    fn read(tar: &[u8]) -> io::Result<Self> {
        let mut control = Self::default();
        let mut has_info = false;
        for entry in tar::Archive::new(tar).entries()? {
            let mut entry = entry?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes)?;
            let script = name.strip_prefix('.').filter(|name| SCRIPTS.iter().any(|(script, _)| script == name));
            if name == ".PKGINFO" {
                has_info = true;
                control.read_info(&String::from_utf8_lossy(&bytes));
            } else if let Some(script) = script {
                control.scripts.insert(script.to_owned(), bytes);
            }
        }
        if has_info { Ok(control) } else { Err(io::Error::other("there is no `.PKGINFO` in it")) }
    }

    /// Source: apk-package(5): lines `KEY = VALUE`, comments with `#`.
    fn read_info(&mut self, text: &str) {
        for (key, value) in text.lines().filter_map(|line| line.split_once(" = ")) {
            match key {
                "replaces" => self.replaces = [self.replaces.as_str(), value].join(" ").trim().to_owned(),
                "replaces_priority" => self.replaces_priority = value.trim().parse().unwrap_or(0),
                "triggers" => self.triggers = value.split_ascii_whitespace().map(str::to_owned).collect(),
                "datahash" => self.data_hash = Some(value.trim().to_owned()),
                _ => {}
            }
        }
    }
}

/// Lists the data segment. Its tar begins at `before` of the archive of all segments.
fn entries(data: &mut impl Read, before: u64, label: &str) -> Result<Vec<DataEntry>, ApkError> {
    let damaged = |source: io::Error| ApkError::DamagedPackage { source, package: label.to_owned() };
    let mut entries = Vec::new();
    let mut archive = tar::Archive::new(data);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        let Ok(path) = String::from_utf8(entry.path_bytes().into_owned()) else {
            return Err(ApkError::Name {
                package: label.to_owned(),
                path: entry.path().map_or_else(|_| String::new(), |path| path.display().to_string()),
            });
        };
        let path = path.trim_end_matches('/').to_owned();
        let is_bad = path.starts_with('/') || path.split('/').any(|name| matches!(name, ".." | "."));
        if is_bad || path.contains(char::is_control) {
            return Err(ApkError::Name { package: label.to_owned(), path });
        }
        // What is hidden at the top tells of the package, and is none of its files; apk leaves out `.keep_` files too.
        let file_name = path.rsplit('/').next().unwrap_or_default();
        let is_directory = entry.header().entry_type().is_dir();
        if path.is_empty() || path.starts_with('.') || !is_directory && file_name.starts_with(".keep_") {
            continue;
        }
        if entries.len() == ENTRIES_LIMIT {
            return Err(damaged(io::Error::other(format!("it has more than {ENTRIES_LIMIT} files"))));
        }
        if let Some(attribute) = extended_attribute(&mut entry).map_err(damaged)? {
            return Err(ApkError::ExtendedAttribute { package: label.to_owned(), attribute, path });
        }
        let link = entry.link_name_bytes().map(|target| String::from_utf8_lossy(&target).into_owned());
        let kind = match (entry.header().entry_type(), link) {
            (tar::EntryType::Directory, _) => DataKind::Directory,
            (tar::EntryType::Symlink, Some(target)) => DataKind::Symlink(target),
            (tar::EntryType::Link, Some(target)) => DataKind::HardLink(target.trim_start_matches("./").to_owned()),
            (kind, _) if kind.is_file() => file(&mut entry, before).map_err(damaged)?,
            _ => return Err(ApkError::SpecialFile { package: label.to_owned(), path }),
        };
        let header = entry.header();
        let id = |id: io::Result<u64>| id.map(|id| u32::try_from(id).unwrap_or(u32::MAX)).map_err(damaged);
        let name = |name: Option<&[u8]>| String::from_utf8_lossy(name.unwrap_or_default()).into_owned();
        entries.push(DataEntry {
            path,
            kind,
            mode: header.mode().map_err(damaged)? & 0o7777,
            uid: id(header.uid())?,
            user: name(header.username_bytes()),
            gid: id(header.gid())?,
            group: name(header.groupname_bytes()),
        });
    }
    Ok(entries)
}

/// The name of an extended attribute, such as a capability, that an entry is to have.
fn extended_attribute(entry: &mut tar::Entry<'_, impl Read>) -> io::Result<Option<String>> {
    for extension in entry.pax_extensions()?.into_iter().flatten() {
        let extension = extension?;
        if let Some(attribute) = String::from_utf8_lossy(extension.key_bytes()).strip_prefix("SCHILY.xattr.") {
            return Ok(Some(attribute.to_owned()));
        }
    }
    Ok(None)
}

fn file(entry: &mut tar::Entry<'_, impl Read>, before: u64) -> io::Result<DataKind> {
    let offset = before + entry.raw_file_position();
    let (mut hasher, mut sha1) = (Hasher::default(), Context::new(&SHA1_FOR_LEGACY_USE_ONLY));
    let mut step = vec![0; 64 << 10];
    let mut size = 0;
    loop {
        let count = entry.read(&mut step)?;
        if count == 0 {
            break;
        }
        hasher.update(&step[..count]);
        sha1.update(&step[..count]);
        size += count as u64;
    }
    Ok(DataKind::File { offset, size, digest: hasher.finish(), checksum: Checksum::from_digest(&sha1.finish()) })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
