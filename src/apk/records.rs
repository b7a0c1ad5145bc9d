use std::io::{Read as _, Write as _};

use super::database::{self, Installed};
use super::{ApkError, ChosenPackage, Dependency, PackageFile, PublicKey};
use crate::image::BaseFiles;
use crate::path::{ImagePath, ImagePathError};

/// The files and directories of a base in which apk keeps what it knows. Source: apk(8), "FILES".
pub const RECORDS: [&str; 14] = [
    "/etc/apk/arch",
    "/etc/apk/keys/",
    "/etc/apk/repositories",
    "/etc/apk/repositories.d/",
    "/etc/apk/world",
    "/lib/apk/db/installed",
    "/lib/apk/db/scripts.tar",
    "/lib/apk/db/scripts.tar.gz",
    "/lib/apk/db/triggers",
    "/usr/lib/apk/db/installed",
    "/usr/lib/apk/db/scripts.tar",
    "/usr/lib/apk/db/scripts.tar.gz",
    "/usr/lib/apk/db/triggers",
    "/usr/share/apk/keys/",
];

/// What apk knows of a base.
#[derive(Clone, Debug)]
pub struct BaseRecords {
    /// The directory of the database.
    pub directory: ImagePath,
    /// The packages.
    pub installed: Installed,
    /// What was asked for.
    pub world: String,
    /// The patterns of directories for whose changes a package's trigger is run, behind a checksum that names it.
    pub triggers: String,
    /// Where packages come from.
    pub repositories: Vec<RepositoryLine>,
    /// Who is trusted.
    pub keys: Vec<PublicKey>,
    /// The processor that packages are for, as apk calls it.
    pub arch: Option<String>,
    scripts: Scripts,
}

/// The tar of packages' scripts, which newer versions of apk compress.
#[derive(Clone, Debug)]
struct Scripts {
    name: &'static str,
    tar: Vec<u8>,
}

/// A repository as a list has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepositoryLine {
    /// The tag by which its packages have to be asked for.
    pub tag: Option<String>,
    /// An address or a path.
    pub place: String,
}

impl RepositoryLine {
    /// Reads the lines of a list: addresses, each with a tag before it or none. Source: apk-repositories(5).
    pub fn parse_list(text: &str) -> Result<Vec<Self>, ApkError> {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        let parse = |line: &str| match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
            [place] if !place.starts_with('@') => Ok(Self { tag: None, place: place.to_owned() }),
            [tag, place] if tag.len() > 1 && tag.starts_with('@') => {
                Ok(Self { tag: Some(tag[1..].to_owned()), place: place.to_owned() })
            }
            _ => Err(ApkError::Repository(line.to_owned())),
        };
        lines.map(parse).collect()
    }
}

impl BaseRecords {
    /// Reads what apk knows of a base; `None` where it has no database of apk's.
    pub fn read(base: &BaseFiles) -> Result<Option<Self>, ApkError> {
        let text = |path: &ImagePath| base.kept_text(path);
        let mut found = None;
        for directory in ["/lib/apk/db", "/usr/lib/apk/db"] {
            let directory = base.real_path(&ImagePath::new(directory)?);
            let database = directory.join("installed")?;
            if let Some(installed) = text(&database) {
                found = Some((directory, database, installed));
                break;
            }
        }
        let Some((directory, database, installed)) = found else { return Ok(None) };
        let in_record = |path: &ImagePath, source| ApkError::Record { path: path.clone(), source: Box::new(source) };
        let installed = Installed::parse(installed).map_err(|source| in_record(&database, source))?;
        let mut repositories = Vec::new();
        let mut keys = Vec::new();
        for (path, name, content) in files(base)? {
            if path == "/etc/apk/repositories"
                || path.starts_with("/etc/apk/repositories.d/") && name.ends_with(".list")
            {
                repositories.extend(RepositoryLine::parse_list(content)?);
            } else if name.ends_with(".pub") {
                // One of another kind, such as Ed25519, vouches for nothing here.
                keys.extend(PublicKey::parse(name, content));
            }
        }
        let scripts = Scripts::read(base, &directory)?;
        let triggers = text(&directory.join("triggers")?).unwrap_or_default().to_owned();
        let world = text(&ImagePath::new("/etc/apk/world")?).unwrap_or_default().to_owned();
        let arch = text(&ImagePath::new("/etc/apk/arch")?).map(|arch| arch.trim().to_owned());
        Ok(Some(Self { directory, installed, world, triggers, repositories, keys, arch, scripts }))
    }

    /// The files in which apk keeps what it knows, as they are once these packages were added.
    pub fn with(
        &self,
        installed: &Installed,
        wanted: &[Dependency],
        added: &[(&ChosenPackage, &PackageFile)],
    ) -> Result<Vec<(ImagePath, Vec<u8>)>, ApkError> {
        let mut files = vec![
            (ImagePath::new("/etc/apk/world")?, database::world(&self.world, wanted).into_bytes()),
            (self.directory.join("installed")?, installed.text().into_bytes()),
        ];
        if added.iter().any(|(_, file)| !file.scripts.is_empty()) {
            let tar = database::scripts(&self.scripts.tar, added)?;
            files.push((self.directory.join(self.scripts.name)?, self.scripts.packed(tar)?));
        }
        if added.iter().any(|(_, file)| !file.triggers.is_empty()) {
            files.push((self.directory.join("triggers")?, database::triggers(&self.triggers, added).into_bytes()));
        }
        Ok(files)
    }

    /// The triggers of the base: the package, and the patterns.
    pub fn base_triggers(&self) -> impl Iterator<Item = (&str, Vec<&str>)> {
        self.triggers.lines().filter_map(|line| {
            let (checksum, patterns) = line.split_once(' ')?;
            let is_of = |package: &&super::InstalledPackage| {
                package.package.checksum.as_ref().is_some_and(|known| known.to_string() == checksum)
            };
            let package = self.installed.packages.iter().find(is_of)?;
            Some((package.package.name.as_str(), patterns.split_ascii_whitespace().collect()))
        })
    }
}

/// The lists of repositories and the keys: path, name and content of each. Keys that are links into another directory of
/// the base count as they lie there.
fn files(base: &BaseFiles) -> Result<Vec<(String, &str, &str)>, ImagePathError> {
    let mut files = Vec::new();
    for directory in ["/etc/apk", "/usr/share/apk/keys"] {
        for (path, _) in base.below(&base.real_path(&ImagePath::new(directory)?)) {
            let Some(content) = base.kept_text(path) else { continue };
            let Some(name) = path.as_path().file_name().and_then(|name| name.to_str()) else { continue };
            files.push((path.to_string(), name, content));
        }
    }
    Ok(files)
}

impl Scripts {
    fn read(base: &BaseFiles, directory: &ImagePath) -> Result<Self, ApkError> {
        const PLAIN: &str = "scripts.tar";
        const PACKED: &str = "scripts.tar.gz";
        if let Some(bytes) = base.bytes(&directory.join(PACKED)?) {
            let mut tar = Vec::new();
            flate2::read::MultiGzDecoder::new(bytes).read_to_end(&mut tar).map_err(ApkError::Damaged)?;
            return Ok(Self { name: PACKED, tar });
        }
        let tar = base.bytes(&directory.join(PLAIN)?).unwrap_or_default().to_vec();
        Ok(Self { name: PLAIN, tar })
    }

    fn packed(&self, tar: Vec<u8>) -> Result<Vec<u8>, ApkError> {
        if self.name.ends_with(".tar") {
            return Ok(tar);
        }
        let mut writer = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
        writer.write_all(&tar).map_err(ApkError::Damaged)?;
        writer.finish().map_err(ApkError::Damaged)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_repositories() {
        let line =
            |tag: Option<&str>, place: &str| RepositoryLine { tag: tag.map(str::to_owned), place: place.to_owned() };
        let table = [
            ("none", "\n# https://a\n", Some(vec![])),
            (
                "two",
                "https://a/main\n  https://a/community \n",
                Some(vec![line(None, "https://a/main"), line(None, "https://a/community")]),
            ),
            ("a tag", "@edge https://a", Some(vec![line(Some("edge"), "https://a")])),
            ("a path", "/media/cdrom/apks", Some(vec![line(None, "/media/cdrom/apks")])),
            ("a tag without a place", "@edge", None),
            ("an empty tag", "@ https://a", None),
            ("more than a place", "v3 https://a https://b", None),
        ];
        for (comment, text, expected) in table {
            assert_eq!(RepositoryLine::parse_list(text).ok(), expected, "{comment}");
        }
    }
}
