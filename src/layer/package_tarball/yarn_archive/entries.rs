//! The entries that yarn's archive of a tarball has, in their order.

use std::collections::HashMap;
use std::io::{self, BufRead, Read, Write};
use std::rc::Rc;

use flate2::Crc;

use crate::layer::package_tarball::stream::{Inflated, State, Stop, uncompressed};
use crate::layer::package_tarball::{NAME_LIMIT, NAMES_LIMIT, TarballError, TarballLimits};

/// An entry of the archive.
#[derive(Debug)]
pub(super) struct Entry {
    /// Its path, without a slash at its end.
    pub(super) path: String,
    pub(super) kind: Kind,
}

#[derive(Debug)]
pub(super) enum Kind {
    Directory,
    File {
        executable: bool,
        /// Where the content starts in the tar.
        offset: u64,
        size: u64,
        crc: u32,
    },
    /// With its target.
    Link(String),
}

/// Reads a tarball to its end and writes the tar inside to `tar`. All entries lie below `prefix`.
pub(super) fn read(
    tarball: impl BufRead,
    tar: impl Write,
    prefix: &str,
    limits: &TarballLimits,
) -> Result<Vec<Entry>, TarballError> {
    let state = Rc::new(State { limits: *limits, ..State::default() });
    let mut reading = Reading {
        prefix: prefix.to_owned(),
        limits: *limits,
        entries: Vec::new(),
        places: HashMap::new(),
        current: String::new(),
        name_bytes: 0,
    };
    let result = reading.all(tarball, tar, &state);
    match (state.stopped.take(), result) {
        (Some(Stop::TooLarge), _) => Err(TarballError::TooLarge(reading.current)),
        (Some(Stop::Keep(source)), _) => Err(TarballError::Keep(source)),
        (None, Err(Problem::Io(source))) => Err(TarballError::Damaged { entry: reading.current, source }),
        (None, Err(Problem::NoArchive(problem))) => {
            Err(TarballError::NoYarnArchive { problem, entry: reading.current })
        }
        (None, Err(Problem::TooMany)) => Err(TarballError::TooManyEntries(reading.current)),
        (None, Ok(())) => Ok(reading.entries),
    }
}

/// What went wrong, before the entry's name is added to it.
enum Problem {
    Io(io::Error),
    NoArchive(&'static str),
    TooMany,
}

impl From<io::Error> for Problem {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

struct Reading {
    prefix: String,
    limits: TarballLimits,
    entries: Vec<Entry>,
    /// The position of each path in `entries`.
    places: HashMap<String, usize>,
    /// The last entry of the tarball that was met, for errors.
    current: String,
    name_bytes: usize,
}

/// What the entries before said of the one that follows.
#[derive(Default)]
struct Announced {
    path: Option<Vec<u8>>,
    target: Option<Vec<u8>>,
}

impl Reading {
    fn all(&mut self, tarball: impl BufRead, tar: impl Write, state: &Rc<State>) -> Result<(), Problem> {
        let plain = uncompressed(tarball, state)?;
        let mut tar = tar::Archive::new(Inflated(plain, tar, state.clone()));
        let mut announced = Announced::default();
        for (count, entry) in tar.entries()?.raw(true).enumerate() {
            let entry = entry?;
            if count >= self.limits.entries {
                return Err(Problem::TooMany);
            }
            match entry.header().entry_type() {
                tar::EntryType::XGlobalHeader => {}
                tar::EntryType::GNULongName => announced.path = Some(text(entry)?),
                tar::EntryType::GNULongLink => announced.target = Some(text(entry)?),
                tar::EntryType::XHeader => extension(entry, &mut announced)?,
                _ => self.entry(entry, std::mem::take(&mut announced))?,
            }
        }
        io::copy(&mut tar.into_inner(), &mut io::sink())?;
        Ok(())
    }

    fn entry<R: Read>(&mut self, mut entry: tar::Entry<'_, R>, announced: Announced) -> Result<(), Problem> {
        let name = announced.path.unwrap_or_else(|| entry.path_bytes().into_owned());
        let name = String::from_utf8_lossy(&name).into_owned();
        self.current.clone_from(&name);
        let stated = entry.header().link_name_bytes().map(|target| target.into_owned()).unwrap_or_default();
        // Old tars marked directories by their names only.
        let kind = match entry.header().entry_type() {
            tar::EntryType::Regular if name.ends_with('/') => tar::EntryType::Directory,
            kind => kind,
        };
        let Some(path) = path_in_package(&name) else { return Ok(()) };
        let path = format!("{}/{path}", self.prefix);
        match kind {
            tar::EntryType::Directory => self.directory_entry(path),
            tar::EntryType::Regular if !stated.is_empty() => Err(Problem::NoArchive("is a file and a link")),
            tar::EntryType::Regular if !is_read_alike(&name) => {
                Err(Problem::NoArchive("has another name for yarn than for npm"))
            }
            tar::EntryType::Regular => {
                let executable = entry.header().mode().is_ok_and(|mode| mode & 0o111 != 0);
                let (offset, size) = (entry.raw_file_position(), entry.size());
                let mut crc = Checksum(Crc::new());
                if io::copy(&mut entry, &mut crc)? != size {
                    return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                }
                self.file(path, Kind::File { executable, offset, size, crc: crc.0.sum() })
            }
            tar::EntryType::Symlink => {
                let target = announced.target.unwrap_or(stated);
                match target.is_empty() {
                    true => Ok(()),
                    false => self.link(path, String::from_utf8_lossy(&target).into_owned()),
                }
            }
            // Yarn passes over these, and npm does not.
            tar::EntryType::Continuous => Err(Problem::NoArchive("is a contiguous file")),
            _ => Ok(()),
        }
    }

    fn directory_entry(&mut self, path: String) -> Result<(), Problem> {
        self.directories_above(&path)?;
        match self.places.contains_key(&path) {
            true => Err(Problem::NoArchive("is a directory that is there already")),
            false => self.add(path, Kind::Directory),
        }
    }

    /// What comes later replaces what came before, in its place.
    fn file(&mut self, path: String, file: Kind) -> Result<(), Problem> {
        self.directories_above(&path)?;
        let place = self.places.get(&path).copied();
        match place.and_then(|place| self.entries.get_mut(place)) {
            None => self.add(path, file),
            Some(Entry { kind: kind @ Kind::File { .. }, .. }) => {
                *kind = file;
                Ok(())
            }
            Some(_) => Err(Problem::NoArchive("is a file where something else lies")),
        }
    }

    fn link(&mut self, path: String, target: String) -> Result<(), Problem> {
        self.directories_above(&path)?;
        match self.places.contains_key(&path) {
            true => Err(Problem::NoArchive("is a link where something else lies")),
            false => self.add(path, Kind::Link(target)),
        }
    }

    /// Adds the directories above a path that are not there yet, the outermost first.
    fn directories_above(&mut self, path: &str) -> Result<(), Problem> {
        // The last of them is there nearly always, and with it the others.
        let is_directory =
            |place: &usize| matches!(self.entries.get(*place), Some(Entry { kind: Kind::Directory, .. }));
        let parent = path.rsplit_once('/').map_or("", |(parent, _)| parent);
        if self.places.get(parent).is_some_and(is_directory) {
            return Ok(());
        }
        for (slash, _) in path.match_indices('/') {
            let above = &path[..slash];
            match self.places.get(above).and_then(|place| self.entries.get(*place)) {
                None => self.add(above.to_owned(), Kind::Directory)?,
                Some(Entry { kind: Kind::Directory, .. }) => {}
                Some(_) => return Err(Problem::NoArchive("lies below what is no directory")),
            }
        }
        Ok(())
    }

    fn add(&mut self, path: String, kind: Kind) -> Result<(), Problem> {
        self.name_bytes += path.len();
        // An entry may bring any number of directories with it.
        if self.name_bytes > NAMES_LIMIT || self.entries.len() > 2 * self.limits.entries {
            return Err(Problem::TooMany);
        }
        self.places.insert(path.clone(), self.entries.len());
        self.entries.push(Entry { path, kind });
        Ok(())
    }
}

/// The path of an entry below the package's root; `None` where yarn passes over it, as it lies outside or is the root.
fn path_in_package(name: &str) -> Option<String> {
    if name.starts_with('/') || name.len() as u64 > NAME_LIMIT || name.split('/').any(|part| part == "..") {
        return None;
    }
    let parts: Vec<&str> = parts(name).skip(1).collect();
    (!parts.is_empty()).then(|| parts.join("/"))
}

/// Whether the first name, which is left out, is the same before a path is made simple (npm) and after (yarn).
fn is_read_alike(name: &str) -> bool {
    name.split('/').next() == parts(name).next()
}

/// The names of a path that mean something.
fn parts(name: &str) -> impl Iterator<Item = &str> {
    name.split('/').filter(|part| !matches!(*part, "" | "."))
}

/// A name that was too long for a header.
fn text(entry: impl Read) -> Result<Vec<u8>, Problem> {
    let mut text = bounded(entry, NAME_LIMIT + 1)?;
    text.truncate(text.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1));
    Ok(text)
}

fn extension(entry: impl Read, announced: &mut Announced) -> Result<(), Problem> {
    for record in tar::PaxExtensions::new(&bounded(entry, 64 * NAME_LIMIT)?) {
        let record = record?;
        match record.key_bytes() {
            b"path" => announced.path = Some(record.value_bytes().to_owned()),
            b"linkpath" => announced.target = Some(record.value_bytes().to_owned()),
            _ => {}
        }
    }
    Ok(())
}

fn bounded(mut entry: impl Read, limit: u64) -> Result<Vec<u8>, Problem> {
    let mut bytes = Vec::new();
    entry.by_ref().take(limit + 1).read_to_end(&mut bytes)?;
    match bytes.len() as u64 > limit {
        true => Err(Problem::NoArchive("comes before one with too long a description")),
        false => Ok(bytes),
    }
}

/// Takes in what is written to it.
struct Checksum(Crc);

impl Write for Checksum {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
