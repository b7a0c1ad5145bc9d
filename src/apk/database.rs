//! What apk knows of an image's packages: the database of what is installed, the list of what was asked for, the scripts
//! and the triggers.
//!
//! Source: apk-tools, `doc/` and the files themselves in Alpine's images.

use std::fmt::Write as _;
use std::io::{self, Read};

use super::index::{blocks, lines};
use super::{ApkError, ChosenPackage, Dependency, Package, PackageFile};

/// The order in which apk writes what an index says of a package.
const HEADER: [char; 17] = ['C', 'P', 'V', 'A', 'S', 'I', 'T', 'U', 'L', 'o', 'm', 't', 'c', 'k', 'D', 'p', 'i'];

/// The packages that are installed, in the order of the database.
#[derive(Clone, Debug, Default)]
pub struct Installed {
    /// The packages.
    pub packages: Vec<InstalledPackage>,
}

/// An installed package and its files.
#[derive(Clone, Debug)]
pub struct InstalledPackage {
    /// What is known of it.
    pub package: Package,
    /// `r`: whose files it may take over.
    pub replaces: Vec<Dependency>,
    /// `q`: which of two packages that replace each other's files wins.
    pub replaces_priority: u64,
    /// Its directories, in the order of its archive.
    pub directories: Vec<InstalledDirectory>,
}

/// A directory of a package, with the package's files in it.
#[derive(Clone, Debug, Default)]
pub struct InstalledDirectory {
    /// `F`: its path without a leading slash; empty for the root.
    pub path: String,
    /// `M`: owner and mode, where they are not 0:0 and 755.
    pub access: Option<String>,
    /// The files.
    pub files: Vec<InstalledFile>,
}

/// A file of a package.
#[derive(Clone, Debug, Default)]
pub struct InstalledFile {
    /// `R`: its name in the directory.
    pub name: String,
    /// `a`: owner and mode, where they are not 0:0 and 644.
    pub access: Option<String>,
    /// `Z`: the checksum of its content, or of a link's target.
    pub checksum: Option<String>,
}

impl Installed {
    /// Reads the database.
    pub fn parse(text: &str) -> Result<Self, ApkError> {
        let packages = blocks(text).map(InstalledPackage::parse).collect::<Result<_, _>>()?;
        Ok(Self { packages })
    }

    /// Adds a package where apk would have it.
    pub fn add(&mut self, package: InstalledPackage) {
        let name = |installed: &InstalledPackage| installed.package.name.clone();
        // Newer versions of apk sort them by name, older ones append.
        let place = match self.packages.is_sorted_by_key(name) {
            true => self.packages.partition_point(|installed| installed.package.name < package.package.name),
            false => self.packages.len(),
        };
        self.packages.insert(place, package);
    }

    /// The text of the database.
    pub fn text(&self) -> String {
        let mut text = String::new();
        for InstalledPackage { package, directories, .. } in &self.packages {
            lines(&package.lines).for_each(|line| line_to(&mut text, line));
            for directory in directories {
                line_to(&mut text, &format!("F:{}", directory.path));
                directory.access.iter().for_each(|access| line_to(&mut text, &format!("M:{access}")));
                for file in &directory.files {
                    line_to(&mut text, &format!("R:{}", file.name));
                    file.access.iter().for_each(|access| line_to(&mut text, &format!("a:{access}")));
                    file.checksum.iter().for_each(|checksum| line_to(&mut text, &format!("Z:{checksum}")));
                }
            }
            text.push('\n');
        }
        text
    }
}

fn line_to(text: &mut String, line: &str) {
    text.push_str(line);
    text.push('\n');
}

impl InstalledPackage {
    fn parse(block: &str) -> Result<Self, ApkError> {
        let files = lines(block).position(|line| line.starts_with("F:")).unwrap_or(usize::MAX);
        let header: Vec<&str> = lines(block).take(files).collect();
        let mut installed = Self {
            package: Package::parse(&header.join("\n"))?,
            replaces: Vec::new(),
            replaces_priority: 0,
            directories: Vec::new(),
        };
        for line in &header {
            let malformed = || ApkError::Line((*line).to_owned());
            match line.split_once(':') {
                Some(("r", replaces)) => installed.replaces = Dependency::parse_list(replaces)?,
                Some(("q", priority)) => installed.replaces_priority = priority.parse().map_err(|_| malformed())?,
                _ => {}
            }
        }
        for line in lines(block).skip(files) {
            let malformed = || ApkError::Line(line.to_owned());
            let (key, value) = line.split_once(':').ok_or_else(malformed)?;
            let value = value.to_owned();
            if key == "F" {
                installed.directories.push(InstalledDirectory { path: value, ..InstalledDirectory::default() });
                continue;
            }
            let directory = installed.directories.last_mut().ok_or_else(malformed)?;
            match (key, directory.files.last_mut()) {
                ("R", _) => directory.files.push(InstalledFile { name: value, ..InstalledFile::default() }),
                ("M", _) => directory.access = Some(value),
                ("a", Some(file)) => file.access = Some(value),
                ("Z", Some(file)) => file.checksum = Some(value),
                _ => return Err(malformed()),
            }
        }
        Ok(installed)
    }

    /// A package that is added, without files yet: its lines are those that apk would write.
    pub fn new(chosen: &ChosenPackage, file: &PackageFile) -> Result<Self, ApkError> {
        let given: Vec<&str> = lines(&chosen.package.lines).collect();
        let mut text = String::new();
        for key in HEADER {
            let of_key = given.iter().filter(|line| line.starts_with(key) && line[1..].starts_with(':'));
            of_key.for_each(|line| line_to(&mut text, line));
        }
        if !file.replaces.is_empty() {
            line_to(&mut text, &format!("r:{}", file.replaces));
        }
        if file.replaces_priority != 0 {
            line_to(&mut text, &format!("q:{}", file.replaces_priority));
        }
        if let Some(tag) = &chosen.tag {
            line_to(&mut text, &format!("s:{tag}"));
        }
        let package = Package { lines: text, ..chosen.package.clone() };
        Ok(Self {
            package,
            replaces: file.replaced()?,
            replaces_priority: file.replaces_priority,
            directories: Vec::new(),
        })
    }

    /// The directory of this path, which is added if it is not there.
    pub fn directory(&mut self, path: &str) -> &mut InstalledDirectory {
        let place = self.directories.iter().position(|directory| directory.path == path).unwrap_or_else(|| {
            self.directories.push(InstalledDirectory { path: path.to_owned(), ..InstalledDirectory::default() });
            self.directories.len() - 1
        });
        &mut self.directories[place]
    }

    /// Forgets a file that another package has taken over.
    pub fn forget(&mut self, directory: &str, name: &str) {
        for known in self.directories.iter_mut().filter(|known| known.path == directory) {
            known.files.retain(|file| file.name != name);
        }
    }
}

/// The list of what was asked for, with more on it. What is asked for anew counts as it is asked for now.
pub fn world(text: &str, wanted: &[Dependency]) -> String {
    // apk sorts by names, whatever is said of versions, or that there must be none.
    let name = |line: &str| line.parse::<Dependency>().map_or_else(|_| line.to_owned(), |known| known.name);
    let is_asked_anew = |line: &&str| wanted.iter().any(|dependency| dependency.name == name(line));
    let mut lines: Vec<String> =
        text.split_ascii_whitespace().filter(|line| !is_asked_anew(line)).map(str::to_owned).collect();
    let is_sorted = lines.is_sorted_by_key(|line| name(line));
    lines.extend(wanted.iter().map(ToString::to_string));
    if is_sorted {
        lines.sort_by_cached_key(|line| name(line));
    }
    lines.iter().map(|line| format!("{line}\n")).collect()
}

/// The list of triggers with those of added packages: a checksum that names the package, and its patterns.
pub fn triggers(text: &str, added: &[(&ChosenPackage, &PackageFile)]) -> String {
    let mut text = text.to_owned();
    for (chosen, file) in added.iter().filter(|(_, file)| !file.triggers.is_empty()) {
        // Writing to a text does not fail.
        let _ = writeln!(text, "{} {}", chosen.checksum, file.triggers.join(" "));
    }
    text
}

/// The tar of packages' scripts with those of added packages.
pub fn scripts(tar: &[u8], added: &[(&ChosenPackage, &PackageFile)]) -> Result<Vec<u8>, ApkError> {
    let mut builder = tar::Builder::new(entries_of(tar).map_err(ApkError::Damaged)?);
    for (chosen, file) in added {
        for (script, content) in &file.scripts {
            let mut header = tar::Header::new_ustar();
            header.set_mode(0o755);
            header.set_size(content.len() as u64);
            header.set_mtime(chosen.package.build_time);
            header.set_uid(0);
            header.set_gid(0);
            let name = format!("{}.{}.{script}", chosen.package.label(), chosen.checksum);
            // A `/` of the checksum is part of the name, as apk writes and reads it.
            builder.append_data(&mut header, name, &content[..]).map_err(ApkError::Damaged)?;
        }
    }
    builder.into_inner().map_err(ApkError::Damaged)
}

/// The entries of a tar without the zeros at its end.
fn entries_of(tar: &[u8]) -> io::Result<Vec<u8>> {
    const BLOCK: u64 = 512;
    let mut end = 0;
    for entry in tar::Archive::new(tar).entries()? {
        let mut entry = entry?;
        let size = io::copy(&mut entry.by_ref(), &mut io::sink())?;
        end = entry.raw_file_position() + size.next_multiple_of(BLOCK);
    }
    let end = usize::try_from(end).unwrap_or(usize::MAX);
    tar.get(..end).map(<[u8]>::to_vec).ok_or_else(|| io::Error::from(io::ErrorKind::UnexpectedEof))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_asked_for() {
        let table = [
            ("sorted", "busybox\nmusl\n", "curl", "busybox curl musl"),
            ("by name", "curl-dev\nmusl\n", "!nano curl>=8", "curl>=8 curl-dev musl !nano"),
            ("not sorted", "musl\nbusybox\n", "curl", "musl busybox curl"),
            ("anew", "busybox\ncurl\nmusl\n", "curl=8", "busybox curl=8 musl"),
            ("nothing yet", "", "curl", "curl"),
        ];
        for (comment, text, wanted, expected) in table {
            let wanted = Dependency::parse_list(wanted).unwrap();
            assert_eq!(world(text, &wanted).split_whitespace().collect::<Vec<_>>().join(" "), expected, "{comment}");
        }
    }

    #[test]
    fn what_is_written_is_what_was_read() {
        let table = [
            ("a package and its files", "P:a\nV:1\nF:usr\nM:0:0:700\nR:b\na:0:0:755\nZ:Q1x=\n\n"),
            ("a package without files", "P:a\nV:1\n\n"),
            ("carriage returns", "P:a\nV:1\nT:one\r\r\nF:usr\r\n\n"),
            ("a carriage return alone", "P:a\nV:1\nT:one\rtwo\n\n"),
        ];
        for (comment, text) in table {
            assert_eq!(Installed::parse(text).unwrap().text(), text, "{comment}");
        }
        let odd = "P:a\r\nV:1\n\n";
        assert!(matches!(Installed::parse(odd), Err(ApkError::Nameless(_))), "a name does not end with one");
    }
}
