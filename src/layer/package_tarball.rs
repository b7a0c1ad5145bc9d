//! What an installer would put on disk for a package, read from its tarball without unpacking it.
//!
//! Contents stay where they are. While the tarball is read once, from the first byte to the last, the archive inside (the
//! plain tar) goes to a writer of the caller's choice, and each [`PackageFile`] keeps the offset of its content in that
//! archive. Who wants the list only lets the writer be a sink. Who packs takes the archive out of the tarball again
//! ([`PackageArchive`]): all cores then read the contents from it in any order, which a compressed stream would not let
//! them, and no file of the package is ever made.
//! Memory holds the names and package.json, both bounded; contents pass through.
//!
//! Modes, names and what is left out are npm's. Source: `pacote`, `lib/fetcher.js` (21.5.1, in npm 11), whose filter for
//! its tar reader leaves out every entry whose type ends in `Link`, makes modes `(mode | 0666) & ~umask` with the files of
//! `bin` executable, and takes `.gitignore` for `.npmignore` where that did not come before. Directories exist only as
//! those above files. What npm warns of and passes over (`..`, devices) or what depends on the disk (names that differ in
//! case only) is refused here.

mod gzip;
mod stream;
mod yarn_archive;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub(super) use self::gzip::archive_inside;
use self::stream::{Inflated, State, Stop, uncompressed};
pub use self::yarn_archive::YarnCompression;
use super::{Content, PackageArchive};
use crate::digest::{Digest, Hasher};
use crate::workspace::{PackageJson, commands};

/// The largest package.json, the longest name, and the most bytes of all names together.
const PACKAGE_JSON_LIMIT: u64 = 16 << 20;
const NAME_LIMIT: u64 = 4096;
const NAMES_LIMIT: usize = 64 << 20;

/// How much a tarball may hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TarballLimits {
    /// The most entries, of whatever type.
    pub entries: usize,
    /// The most bytes of the archive inside.
    pub bytes: u64,
    /// How many times as large as the tarball the archive inside may be, once it has `dense_bytes`.
    pub ratio: u64,
    /// An archive of no more than this many bytes may be of any ratio.
    pub dense_bytes: u64,
}

impl Default for TarballLimits {
    fn default() -> Self {
        Self { entries: 500_000, bytes: 2 << 30, ratio: 200, dense_bytes: 64 << 20 }
    }
}

/// A package as its tarball holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PackageTarball {
    /// The files, sorted by the bytes of their paths.
    pub files: Vec<PackageFile>,
    /// Its package.json; `None` where it has none, which Node can live with.
    pub package_json: Option<PackageJson>,
    /// Its commands and their files.
    pub commands: BTreeMap<String, String>,
    /// The bytes of the archive inside.
    pub archive_bytes: u64,
}

/// A file of a package.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageFile {
    /// Its path relative to the package's root, with `/` between names.
    pub path: String,
    /// Whether it may be run.
    pub executable: bool,
    /// The bytes of its content.
    pub size: u64,
    /// The digest of its content.
    pub digest: Digest,
    /// Where its content starts in the archive inside.
    pub offset: u64,
}

impl PackageFile {
    /// The content, in the archive that was inside.
    pub fn content(&self, archive: &Arc<PackageArchive>) -> Content {
        Content::Archived { archive: archive.clone(), offset: self.offset, size: self.size, digest: self.digest }
    }
}

/// Why a tarball cannot be a package.
#[derive(Debug, thiserror::Error)]
pub enum TarballError {
    /// The bytes are no tar, or end too early.
    #[error("the tarball is damaged{}: {source}", met(" after", entry))]
    Damaged {
        /// The last entry that was met; empty if none was.
        entry: String,
        /// What the reader says.
        source: io::Error,
    },
    /// `..`, an absolute path, a NUL byte, a backslash or too long a name.
    #[error("the tarball has an entry whose name {problem}: `{entry}`")]
    Name {
        /// What is wrong with the name.
        problem: &'static str,
        /// The entry.
        entry: String,
    },
    /// A device, a pipe or what nobody knows.
    #[error("the tarball has an entry that is neither a file, a directory nor a link: `{0}`")]
    SpecialFile(String),
    /// Two entries that some disks hold as one, or a file where a directory is needed.
    #[error("the tarball has two entries that cannot lie side by side, `{first}` and `{second}`")]
    Collision {
        /// One.
        first: String,
        /// The other.
        second: String,
    },
    /// More entries, or longer names, than any package has.
    #[error("the tarball has too many entries, the last of them `{0}`")]
    TooManyEntries(String),
    /// More bytes than any package has, or far more than their compressed form lets expect.
    #[error("the tarball holds more bytes than a package may{}", met(", at the latest in", .0))]
    TooLarge(String),
    /// Its package.json says nothing.
    #[error("the tarball has a package.json that cannot be read: {0}")]
    PackageJson(String),
    /// Nothing that yarn could have locked.
    #[error("no archive of yarn's is made of the tarball, which has an entry that {problem}: `{entry}`")]
    NoYarnArchive {
        /// What is wrong with the entry, as the end of a sentence.
        problem: &'static str,
        /// The entry.
        entry: String,
    },
    /// The archive inside cannot be written.
    #[error("what the tarball holds cannot be kept: {0}")]
    Keep(io::Error),
}

/// Where it was met, if an entry was.
fn met(words: &str, entry: &str) -> String {
    if entry.is_empty() { String::new() } else { format!("{words} `{entry}`") }
}

impl TarballError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Keep(_) => None,
            Self::Damaged { .. } => Some("download it again, or compare it with the one that the registry has".into()),
            _ => {
                Some("no registry should hold such a package: look at who published it, or use another version".into())
            }
        }
    }
}

impl PackageTarball {
    /// Reads a tarball to its end, and writes the archive inside to `archive`.
    pub fn read(tarball: impl BufRead, archive: impl Write, limits: &TarballLimits) -> Result<Self, TarballError> {
        let state = Rc::new(State { limits: *limits, ..State::default() });
        let mut reading = Reading { state: state.clone(), ..Reading::default() };
        let result = reading.all(tarball, archive);
        // Why the stream stopped is better known than what the tar reader makes of that.
        match (state.stopped.take(), result) {
            (Some(Stop::TooLarge), _) => Err(TarballError::TooLarge(reading.entry)),
            (Some(Stop::Keep(source)), _) => Err(TarballError::Keep(source)),
            (None, Err(Problem::Io(source))) => Err(TarballError::Damaged { entry: reading.entry, source }),
            (None, Err(Problem::Refused(error))) => Err(error),
            (None, Ok(())) => reading.finish(),
        }
    }
}

impl PackageTarball {
    /// The package of these files, sorted by their paths, with the bytes of its package.json, in an archive of so many bytes.
    pub fn of_files(
        mut files: Vec<PackageFile>,
        package_json: Option<&[u8]>,
        archive_bytes: u64,
    ) -> Result<Self, TarballError> {
        refuse_collisions(&files)?;
        let commands = package_json.map(commands).unwrap_or_default();
        let package_json = package_json.map(PackageJson::parse).transpose().map_err(TarballError::PackageJson)?;
        let of_commands: BTreeSet<&str> = commands.values().map(String::as_str).collect();
        files.iter_mut().for_each(|file| file.executable |= of_commands.contains(file.path.as_str()));
        Ok(Self { files, package_json, commands, archive_bytes })
    }
}

/// What went wrong inside, before the entry's name is added to it.
enum Problem {
    Io(io::Error),
    Refused(TarballError),
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl From<TarballError> for Problem {
    fn from(error: TarballError) -> Self {
        Self::Refused(error)
    }
}

/// What was read so far.
#[derive(Default)]
struct Reading {
    state: Rc<State>,
    /// The last entry that was met, for errors.
    entry: String,
    files: BTreeMap<String, PackageFile>,
    package_json: Option<Vec<u8>>,
    npmignores: BTreeSet<String>,
    name_bytes: usize,
}

/// What the entry before said of the one that follows.
#[derive(Default)]
struct Announced {
    path: Option<Vec<u8>>,
    size: Option<u64>,
}

impl Reading {
    fn all(&mut self, tarball: impl BufRead, mut archive: impl Write) -> Result<(), Problem> {
        let plain = uncompressed(tarball, &self.state)?;
        let mut tar = tar::Archive::new(Inflated(plain, &mut archive, self.state.clone()));
        let mut announced = Announced::default();
        // The entries as they are: names that come before them could be of any length.
        for (count, entry) in tar.entries()?.raw(true).enumerate() {
            let entry = entry?;
            if count >= self.state.limits.entries {
                return Err(TarballError::TooManyEntries(self.entry.clone()).into());
            }
            match entry.header().entry_type() {
                tar::EntryType::XGlobalHeader | tar::EntryType::GNULongLink => {}
                tar::EntryType::GNULongName => {
                    let mut name = self.bounded(entry, NAME_LIMIT + 1, "is too long")?;
                    name.truncate(name.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
                    announced.path = Some(name);
                }
                tar::EntryType::XHeader => self.extension(entry, &mut announced)?,
                _ => self.entry(entry, std::mem::take(&mut announced))?,
            }
        }
        // What follows the archive counts, and its checksum is checked.
        io::copy(&mut tar.into_inner(), &mut io::sink())?;
        archive.flush().map_err(|error| Problem::Refused(TarballError::Keep(error)))
    }

    /// All of an entry that says something of the next one.
    fn bounded(&self, mut entry: impl Read, limit: u64, problem: &'static str) -> Result<Vec<u8>, Problem> {
        let mut bytes = Vec::new();
        entry.by_ref().take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            let entry = format!("{}…", String::from_utf8_lossy(&bytes[..64]));
            return Err(TarballError::Name { problem, entry }.into());
        }
        Ok(bytes)
    }

    fn extension(&self, entry: impl Read, announced: &mut Announced) -> Result<(), Problem> {
        let bytes = self.bounded(entry, 64 * NAME_LIMIT, "has too long a description")?;
        for record in tar::PaxExtensions::new(&bytes) {
            let record = record?;
            match record.key_bytes() {
                b"path" => announced.path = Some(record.value_bytes().to_owned()),
                b"size" => announced.size = record.value().ok().and_then(|size| size.parse().ok()),
                _ => {}
            }
        }
        Ok(())
    }

    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>, announced: Announced) -> Result<(), Problem> {
        let name = announced.path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name).into_owned();
        self.entry.clone_from(&name);
        self.name_bytes += name.len();
        if self.name_bytes > NAMES_LIMIT {
            return Err(TarballError::TooManyEntries(name).into());
        }
        let path = path_in_package(&name)?;
        let size = entry.size();
        // Readers that believe the one size see other entries than readers that believe the other.
        if announced.size.is_some_and(|announced| announced != size) {
            return Err(io::Error::other("it states two sizes").into());
        }
        match entry.header().entry_type() {
            tar::EntryType::Link | tar::EntryType::Symlink | tar::EntryType::Directory => return Ok(()),
            tar::EntryType::Regular | tar::EntryType::Continuous if name.ends_with('/') => return Ok(()),
            tar::EntryType::Regular | tar::EntryType::Continuous => {}
            _ => return Err(TarballError::SpecialFile(name).into()),
        }
        let Some(mut path) = path else {
            return Err(TarballError::Name { problem: "has no directory before it", entry: name }.into());
        };
        if let Some(above) = name.strip_suffix(".gitignore").filter(|above| above.ends_with('/')) {
            if self.npmignores.contains(above) {
                return Ok(());
            }
            path = path_with_name(&path, ".npmignore");
        } else if let Some(above) = name.strip_suffix(".npmignore").filter(|above| above.ends_with('/')) {
            self.npmignores.insert(above.to_owned());
        }
        let offset = entry.raw_file_position();
        let executable = entry.header().mode().is_ok_and(|mode| mode & 0o100 != 0);
        let mut hasher = Hasher::default();
        let read = match path == "package.json" {
            true => {
                let bytes = self.bounded(&mut entry, PACKAGE_JSON_LIMIT, "is that of too large a file")?;
                hasher.update(&bytes);
                let read = bytes.len() as u64;
                self.package_json = Some(bytes);
                read
            }
            false => io::copy(&mut entry, &mut hasher)?,
        };
        if read != size {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        let file = PackageFile { path: path.clone(), executable, size, digest: hasher.finish(), offset };
        // As in npm, what comes later replaces what came before.
        self.files.insert(path, file);
        Ok(())
    }

    fn finish(self) -> Result<PackageTarball, TarballError> {
        let files = self.files.into_values().collect();
        PackageTarball::of_files(files, self.package_json.as_deref(), self.state.bytes.get())
    }
}

/// The path of an entry without its first name, whatever that is; `None` for the package's root.
fn path_in_package(name: &str) -> Result<Option<String>, TarballError> {
    let refuse = |problem| Err(TarballError::Name { problem, entry: name.to_owned() });
    match name {
        _ if name.len() as u64 > NAME_LIMIT => return refuse("is too long"),
        _ if name.contains('\0') => return refuse("has a NUL byte"),
        _ if name.contains('\\') => return refuse("has a backslash"),
        _ if name.starts_with('/') => return refuse("is absolute"),
        _ if name.split('/').any(|part| part == "..") => return refuse("has `..`"),
        _ => {}
    }
    let parts = name.split('/').skip(1).filter(|part| !matches!(*part, "" | "."));
    let path = parts.collect::<Vec<_>>().join("/");
    Ok((!path.is_empty()).then_some(path))
}

/// The path with another last name.
fn path_with_name(path: &str, name: &str) -> String {
    match path.rsplit_once('/') {
        Some((above, _)) => format!("{above}/{name}"),
        None => name.to_owned(),
    }
}

/// Two files whose names differ in case only, and a file that is also a directory.
fn refuse_collisions(files: &[PackageFile]) -> Result<(), TarballError> {
    let mut folded: HashMap<String, &str> = HashMap::with_capacity(files.len());
    let collision =
        |first: &str, second: &str| Err(TarballError::Collision { first: first.to_owned(), second: second.to_owned() });
    for file in files {
        if let Some(first) = folded.insert(file.path.to_lowercase(), &file.path) {
            return collision(first, &file.path);
        }
    }
    for file in files {
        let path = file.path.to_lowercase();
        let above = path.match_indices('/').map(|(slash, _)| &path[..slash]);
        if let Some(first) = above.into_iter().find_map(|above| folded.get(above)) {
            return collision(first, &file.path);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::Scratch;
    use crate::path::HostPath;

    /// An entry with any name: `(name, type, mode, content)`.
    type Item<'a> = (&'a str, u8, u32, &'a [u8]);

    fn tar(items: &[Item]) -> Vec<u8> {
        let mut archive = Vec::new();
        for (name, kind, mode, content) in items {
            let mut header = tar::Header::new_ustar();
            header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(tar::EntryType::new(*kind));
            header.set_mode(*mode);
            header.set_size(content.len() as u64);
            header.set_cksum();
            archive.extend_from_slice(header.as_bytes());
            archive.extend_from_slice(content);
            archive.resize(archive.len().next_multiple_of(512), 0);
        }
        archive.resize(archive.len() + 1024, 0);
        archive
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        writer.write_all(bytes).unwrap();
        writer.finish().unwrap()
    }

    fn read(items: &[Item]) -> Result<PackageTarball, TarballError> {
        PackageTarball::read(&gzip(&tar(items))[..], io::sink(), &TarballLimits::default())
    }

    fn names(package: &PackageTarball) -> Vec<(&str, bool)> {
        package.files.iter().map(|file| (file.path.as_str(), file.executable)).collect()
    }

    #[test]
    fn what_npm_would_put_on_disk() {
        let json = br#"{"name":"@s/a","bin":"./lib/cli.js"}"#;
        let package = read(&[
            ("pax_global_header", b'g', 0o644, b"11 comment=\n"),
            ("package/", b'5', 0o755, b""),
            ("package/package.json", b'0', 0o600, json),
            ("package/run.sh", b'0', 0o744, b"run"),
            ("package/lib/cli.js", b'0', 0o644, b"cli"),
            ("package/lib/group.sh", b'0', 0o654, b""),
            ("other//./deep/file", b'\0', 0o644, b"old"),
            ("package/dir-by-name/", b'0', 0o644, b""),
            ("package/link", b'2', 0o777, b""),
            ("package/hard", b'1', 0o644, b""),
        ])
        .unwrap();
        let expected = [
            ("deep/file", false),
            ("lib/cli.js", true),
            ("lib/group.sh", false),
            ("package.json", false),
            ("run.sh", true),
        ];
        assert_eq!(names(&package), expected);
        assert_eq!(package.package_json.unwrap().name.as_deref(), Some("@s/a"));
        assert_eq!(package.commands["a"], "lib/cli.js");
    }

    #[test]
    fn ignore_files_have_npms_name() {
        let cases: [(&[&str], &[&str]); 4] = [
            (&["p/.gitignore"], &[".npmignore"]),
            (&["p/.npmignore", "p/.gitignore"], &[".npmignore"]),
            (&["p/a/.gitignore", "p/.npmignore"], &[".npmignore", "a/.npmignore"]),
            (&["p/x.gitignore", "p/.gitignore/b"], &[".gitignore/b", "x.gitignore"]),
        ];
        for (entries, expected) in cases {
            let items: Vec<Item> = entries.iter().map(|name| (*name, b'0', 0o644, name.as_bytes())).collect();
            let package = read(&items).unwrap();
            let found: Vec<&str> = package.files.iter().map(|file| file.path.as_str()).collect();
            assert_eq!(found, expected);
        }
        let both = [("p/.npmignore", b'0', 0o644, &b"npm"[..]), ("p/.gitignore", b'0', 0o644, b"git")];
        assert_eq!(read(&both).unwrap().files[0].digest, Digest::of(b"npm"));
    }

    #[test]
    fn contents_lie_where_it_is_said() {
        let long = format!("package/{}/long.js", "d".repeat(200));
        let record = format!("path={long}\n");
        let record = format!("{} {record}", record.len() + 4);
        let items: [Item; 6] = [
            ("package/a", b'0', 0o644, b"first"),
            ("package/a", b'0', 0o644, b"second"),
            ("PaxHeader", b'x', 0o644, record.as_bytes()),
            ("package/short", b'0', 0o644, b"pax"),
            ("././@LongLink", b'L', 0o644, b"package/gnu\0"),
            ("package/short", b'0', 0o644, b"gnu"),
        ];
        let (whole, two) = (gzip(&tar(&items)), [gzip(&tar(&items)[..700]), gzip(&tar(&items)[700..])].concat());
        let padded = [&whole[..], &[0; 700]].concat();
        for tarball in [whole, tar(&items), two, padded] {
            let mut archive = Vec::new();
            let package = PackageTarball::read(&tarball[..], &mut archive, &TarballLimits::default()).unwrap();
            assert_eq!(archive, tar(&items));
            assert_eq!(package.archive_bytes, archive.len() as u64);
            let found: Vec<(&str, &[u8])> = package
                .files
                .iter()
                .map(|file| (file.path.as_str(), &archive[file.offset as usize..][..file.size as usize]))
                .collect();
            assert_eq!(found, [("a", &b"second"[..]), (&long[8..], b"pax"), ("gnu", b"gnu")]);
            assert!(package.files.iter().zip(&found).all(|(file, (_, bytes))| file.digest == Digest::of(bytes)));
        }
    }

    #[test]
    fn contents_are_packed_from_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let dir = HostPath::new(folder.path());
        let items = [("p/a", b'0', 0o644, &b"first"[..]), ("p/b", b'0', 0o644, b"second")];
        let tarball = gzip(&tar(&items));
        let package = PackageTarball::read(&tarball[..], io::sink(), &TarballLimits::default()).unwrap();
        let path = dir.join("p.tgz");
        std::fs::write(path.as_path(), &tarball).unwrap();
        let archive = PackageArchive::new(path, Digest::of(&tarball), package.archive_bytes, &Scratch::new(&dir));
        let archive = Arc::new(archive);
        for (file, (.., expected)) in package.files.iter().zip(items) {
            let content = file.content(&archive);
            let mut bytes = Vec::new();
            crate::layer::piece::append_content(&content, 1, content.size(), &mut bytes).unwrap();
            assert_eq!(bytes, expected[1..]);
            assert_eq!(content.digest(), Digest::of(expected));
        }
    }

    #[test]
    fn bad_tarballs_are_refused_by_entry() {
        let table: [(&str, &[Item], &str); 13] = [
            ("up", &[("package/../../x", b'0', 0, b"")], "has `..`: `package/../../x`"),
            ("up at once", &[("../x", b'0', 0, b"")], "has `..`"),
            ("a link up", &[("package/../x", b'2', 0, b"")], "has `..`"),
            ("absolute", &[("/etc/passwd", b'0', 0, b"")], "is absolute: `/etc/passwd`"),
            ("backslash", &[("package/a\\b", b'0', 0, b"")], "has a backslash"),
            ("NUL", &[("x", b'L', 0, b"p/a\0b"), ("y", b'0', 0, b"")], "NUL"),
            ("case", &[("p/A.js", b'0', 0, b""), ("p/a.js", b'0', 0, b"")], "`A.js` and `a.js`"),
            ("a file above", &[("p/a", b'0', 0, b""), ("p/a/b", b'0', 0, b"")], "`a` and `a/b`"),
            ("a file above, by case", &[("p/a", b'0', 0, b""), ("p/A/b", b'0', 0, b"")], "`a` and `A/b`"),
            ("a pipe", &[("p/fifo", b'6', 0, b"")], "`p/fifo`"),
            ("no directory", &[("package.json", b'0', 0, b"{}")], "no directory before it: `package.json`"),
            ("no JSON", &[("p/package.json", b'0', 0, b"{")], "package.json that cannot be read"),
            ("two sizes", &[("x", b'x', 0, b"10 size=9\n"), ("p/a", b'0', 0, b"")], "two sizes"),
        ];
        for (comment, items, expected) in table {
            let error = read(items).expect_err(comment).to_string();
            assert!(error.contains(expected), "{comment}: {error}");
        }
        let sides = [("p/A/x", b'0', 0, &b""[..]), ("p/a/y", b'0', 0, b"")];
        assert_eq!(read(&sides).unwrap().files.len(), 2, "directories may differ in case");
    }

    #[test]
    fn bombs_are_refused_in_bounded_memory() {
        let limits = TarballLimits { entries: 3, bytes: 1 << 20, ratio: 50, dense_bytes: 100_000 };
        let of = |items: &[Item]| PackageTarball::read(&gzip(&tar(items))[..], io::sink(), &limits);
        let zeros = vec![0; 2 << 20];
        let noise: Vec<u8> = std::iter::repeat_with(|| fastrand::u8(..)).take(2 << 20).collect();
        assert!(matches!(of(&[("p/noise", b'0', 0, &noise)]), Err(TarballError::TooLarge(at)) if at == "p/noise"));
        assert!(matches!(of(&[("p/zeros", b'0', 0, &zeros[..500_000])]), Err(TarballError::TooLarge(_))));
        assert!(of(&[("p/zeros", b'0', 0, &zeros[..50_000])]).is_ok());
        let four = ["p/a", "p/b", "p/c", "p/d"].map(|name| (name, b'0', 0, &b""[..]));
        assert!(matches!(of(&four), Err(TarballError::TooManyEntries(at)) if at == "p/c"));
        assert!(of(&four[..3]).is_ok());
        let name = vec![b'n'; 100_000];
        assert!(matches!(of(&[("x", b'L', 0, &name)]), Err(TarballError::Name { .. })));
        assert!(of(&[("x", b'K', 0, &noise[..50_000])]).is_ok(), "where links lead plays no part");
    }

    #[test]
    fn damage_is_noticed() {
        let whole = gzip(&tar(&[("p/a", b'0', 0o644, b"content")]));
        let limits = TarballLimits::default();
        for cut in [1, 9, whole.len() / 2, whole.len() - 1] {
            let result = PackageTarball::read(&whole[..cut], io::sink(), &limits);
            assert!(matches!(result, Err(TarballError::Damaged { .. })), "{cut}: {result:?}");
        }
        let mut changed = whole.clone();
        let checksum = changed.len() - 6;
        changed[checksum] ^= 1;
        assert!(matches!(PackageTarball::read(&changed[..], io::sink(), &limits), Err(TarballError::Damaged { .. })));
        let half_a_member = [&whole[..], &whole[..9]].concat();
        let result = PackageTarball::read(&half_a_member[..], io::sink(), &limits);
        assert!(matches!(result, Err(TarballError::Damaged { .. })), "{result:?}");
        let short = &tar(&[("p/a", b'0', 0o644, b"content")])[..515];
        let error = PackageTarball::read(short, io::sink(), &limits).unwrap_err().to_string();
        assert!(error.contains("damaged after `p/a`"), "{error}");
    }

    #[test]
    fn a_full_disk_is_no_damage() {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let result = PackageTarball::read(&tar(&[])[..], Full, &TarballLimits::default());
        assert!(matches!(result, Err(TarballError::Keep(_))), "{result:?}");
    }
    proptest::proptest! {
        #[test]
        fn damaged_archives_never_lead_out(changes in proptest::collection::vec((0..4096_usize, 0_u8..), 0..6), start in 0..512_usize) {
            let mut archive = tar(&[
                ("package/package.json", b'0', 0o644, br#"{"name":"a","bin":"cli.js"}"#),
                ("x", b'x', 0o644, b"19 path=package/deep\n"),
                ("package/cli.js", b'0', 0o644, b"content"),
            ]);
            for (at, byte) in changes {
                // Mostly in headers, where they mean most.
                let at = if at % 3 == 0 { at } else { at / 1024 * 1024 + (start + at) % 512 };
                if let Some(changed) = archive.get_mut(at) {
                    *changed = byte;
                }
            }
            for block in archive.chunks_exact_mut(512).filter(|block| block.iter().any(|byte| *byte != 0)) {
                block[148..156].fill(b' ');
                let sum: u32 = block.iter().map(|byte| u32::from(*byte)).sum();
                block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
            }
            if let Ok(package) = PackageTarball::read(&archive[..], io::sink(), &TarballLimits::default()) {
                for file in &package.files {
                    let names: Vec<&str> = file.path.split('/').collect();
                    assert!(names.iter().all(|name| !matches!(*name, "" | "." | "..")), "{}", file.path);
                    let content = &archive[file.offset as usize..][..file.size as usize];
                    assert_eq!(file.digest, Digest::of(content));
                }
            }
        }
    }
}
