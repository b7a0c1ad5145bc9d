use std::io;

use super::Checksum;
use crate::layer::TreeError;
use crate::path::{ImagePath, ImagePathError};

/// Why packages of Alpine cannot be had, as far as their formats and each other are concerned.
#[derive(Debug, thiserror::Error)]
pub enum ApkError {
    /// Not a version.
    #[error("not a version of an Alpine package: `{0}`")]
    Version(String),
    /// Not a dependency.
    #[error("not the name of an Alpine package, with or without a version: `{0}`")]
    Dependency(String),
    /// Not a checksum.
    #[error("not a checksum of an Alpine package: `{0}`")]
    Checksum(String),
    /// A line that is none.
    #[error("an index or database of Alpine packages has a line that is none: `{0}`")]
    Line(String),
    /// A package without name or version.
    #[error("an index or database has a package without a name and a version that can be one, after the line `{0}`")]
    Nameless(String),
    /// A key that is none.
    #[error("not the PEM file of an RSA public key: `{0}`")]
    Key(String),
    /// The index cannot be read.
    #[error("the index of packages is damaged ({source}): `{from}`")]
    DamagedIndex {
        /// What the reader says.
        source: io::Error,
        /// Where it is from.
        from: String,
    },
    /// An index that nobody signed.
    #[error("the index of packages has no signature: `{0}`")]
    UnsignedIndex(String),
    /// An index that somebody unknown signed.
    #[error(
        "the index of packages is signed by no key that the base has, only by {}: `{from}`",
        list(.signers)
    )]
    UnknownIndexKey {
        /// The names of the keys that signed it.
        signers: Vec<String>,
        /// Where it is from.
        from: String,
    },
    /// An index that is not what was signed.
    #[error("the index of packages is not what its signature says: `{0}`")]
    WrongIndexSignature(String),
    /// An index of version 3.
    #[error("the index of packages has the format of apk 3 (ADB), which pirogue does not read: `{0}`")]
    IndexOfVersion3(String),
    /// A package of version 3.
    #[error("the package has the format of apk 3 (ADB), which pirogue does not read: `{0}`")]
    PackageOfVersion3(String),
    /// The package cannot be read.
    #[error("the package is damaged ({source}): `{package}`")]
    DamagedPackage {
        /// What the reader says.
        source: io::Error,
        /// The package.
        package: String,
    },
    /// A package that is not the one of the index.
    #[error("the package is not the one that the index has, whose checksum is `{expected}`: `{package}`")]
    WrongControl {
        /// The package.
        package: String,
        /// What the index has.
        expected: Checksum,
    },
    /// A package that is not what was signed.
    #[error("the package is not what its own signature says: `{0}`")]
    WrongPackageSignature(String),
    /// A package whose files are not its own.
    #[error("the package's files are not those that its control segment says: `{0}`")]
    WrongData(String),
    /// A path that no image can have.
    #[error("the package `{package}` has an entry with an impossible name: `{path}`")]
    Name {
        /// The package.
        package: String,
        /// The entry.
        path: String,
    },
    /// A device, a pipe or a socket.
    #[error("the package `{package}` has an entry that is neither a file, a directory nor a link: `{path}`")]
    SpecialFile {
        /// The package.
        package: String,
        /// The entry.
        path: String,
    },
    /// Layers here have no extended attributes.
    #[error(
        "the package `{package}` has a file with the extended attribute `{attribute}`, which a layer cannot hold: `{path}`"
    )]
    ExtendedAttribute {
        /// The package.
        package: String,
        /// Such as `security.capability`.
        attribute: String,
        /// The file.
        path: String,
    },
    /// A file that belongs to another.
    #[error("two packages have one file, `{package}` and `{owner}`: `{path}`")]
    FileConflict {
        /// The package that is added.
        package: String,
        /// The package whose file it is.
        owner: String,
        /// The file.
        path: ImagePath,
    },
    /// Something else is there already.
    #[error("the package `{package}` needs a place where something else is: `{path}`")]
    InTheWay {
        /// The package.
        package: String,
        /// The place.
        path: ImagePath,
    },
    /// A hard link to nothing.
    #[error("the package `{package}` has a hard link to a file that it does not have: `{path}`")]
    HardLink {
        /// The package.
        package: String,
        /// The link.
        path: String,
    },
    /// A script that would have to be run.
    #[error("the package runs a script when it is installed ({}): `{package}`", .scripts.join(", "))]
    InstallScript {
        /// The package's name.
        package: String,
        /// The scripts.
        scripts: Vec<String>,
    },
    /// Nothing has this name.
    #[error("no repository of the base has what is wanted: {}", path(.chain))]
    NotFound {
        /// What is wanted, and who wants it, up to what was asked for.
        chain: Vec<String>,
    },
    /// Something has this name, but not as it is wanted.
    #[error("there is only {}, which will not do: {}", list(.offered), path(.chain))]
    NoVersion {
        /// What is wanted, and who wants it, up to what was asked for.
        chain: Vec<String>,
        /// What there is.
        offered: Vec<String>,
    },
    /// Only packages that are not taken by themselves provide it.
    #[error("nothing says whether {} is to be taken: {}", list(.offered), path(.chain))]
    Ambiguous {
        /// What is wanted, and who wants it, up to what was asked for.
        chain: Vec<String>,
        /// Their names.
        offered: Vec<String>,
    },
    /// The base has it, but not as it is wanted.
    #[error("the base has `{installed}`, which will not do: {}", path(.chain))]
    BaseConflict {
        /// What the base has.
        installed: String,
        /// What is wanted, and who wants it, up to what was asked for.
        chain: Vec<String>,
    },
    /// Two packages that cannot live together.
    #[error("`{other}` cannot be there together with what is wanted: {}", path(.chain))]
    Conflict {
        /// The one that is there.
        other: String,
        /// The other, and who wants it, up to what was asked for.
        chain: Vec<String>,
    },
    /// The search for packages that go together has no end in sight.
    #[error("no set of packages was found that go together, after many tries, for `{0}`")]
    TooHard(String),
    /// The lock says otherwise.
    #[error("the lock has another package than the repository, `{locked}` and `{found}`")]
    LockDiffers {
        /// What the lock has.
        locked: String,
        /// What the repository has.
        found: String,
    },
    /// The base's own records cannot be read.
    #[error("the base's record of its packages cannot be read ({source}): `{path}`")]
    Record {
        /// The file.
        path: ImagePath,
        /// What is wrong.
        source: Box<ApkError>,
    },
    /// A database that is no text, a tar that is none.
    #[error("it is damaged: {0}")]
    Damaged(io::Error),
    /// A line of the list of repositories that cannot be used.
    #[error("not a repository of Alpine packages that can be asked from here: `{0}`")]
    Repository(String),
    /// A path that no image can have.
    #[error(transparent)]
    Path(#[from] ImagePathError),
    /// Two things at one place.
    #[error(transparent)]
    Tree(#[from] TreeError),
}

impl ApkError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::UnknownIndexKey { .. } => {
                "if you trust it, name its key: `keys = [\"KEY.rsa.pub\"]` in `base` of pirogue.toml".into()
            }
            Self::UnsignedIndex(_) => "sign it with `abuild-sign`: nothing vouches for its packages otherwise".into(),
            Self::WrongIndexSignature(_)
            | Self::DamagedIndex { .. }
            | Self::WrongControl { .. }
            | Self::WrongData(_)
            | Self::WrongPackageSignature(_)
            | Self::DamagedPackage { .. } => {
                "somebody changed it on its way, or the mirror is half renewed: try again, or another mirror".into()
            }
            Self::IndexOfVersion3(_) | Self::PackageOfVersion3(_) => {
                "name a repository with packages of version 2, as all of Alpine's are".into()
            }
            Self::InstallScript { package, .. } => format!(
                "pirogue runs no scripts; if it works without: `install-script = \"skip\"` under `[apk.{package}]` in pirogue.toml"
            ),
            Self::BaseConflict { .. } => {
                "packages of the base are never changed: take a newer base, or another version".into()
            }
            Self::Conflict { .. } | Self::FileConflict { .. } => "leave one of them out".into(),
            Self::Ambiguous { .. } => "name one of them in `packages` of `base` in pirogue.toml".into(),
            Self::NotFound { .. } | Self::NoVersion { .. } => {
                "the repositories are those of the base, or `repositories` of `base` in pirogue.toml".into()
            }
            Self::TooHard(_) => "name versions of the packages that you want, such as `curl=8.9.1-r1`".into(),
            Self::ExtendedAttribute { .. } => "put it into a base of your own".into(),
            Self::LockDiffers { .. } => "renew the lock: `pirogue base update`".into(),
            Self::Repository(_) => {
                "name an address or a folder: `repositories = [\"https://…\"]` in `base` of pirogue.toml".into()
            }
            Self::Record { source, .. } => return source.hint(),
            Self::Name { .. } | Self::SpecialFile { .. } | Self::InTheWay { .. } | Self::HardLink { .. } => {
                "take another version of the package, or put it into a base of your own".into()
            }
            Self::Key(_) => "keys are those that `abuild-keygen` makes, such as `NAME.rsa.pub`".into(),
            Self::Version(_)
            | Self::Dependency(_)
            | Self::Checksum(_)
            | Self::Line(_)
            | Self::Nameless(_)
            | Self::Damaged(_)
            | Self::Path(_)
            | Self::Tree(_) => return None,
        })
    }
}

fn list(texts: &[String]) -> String {
    texts.iter().map(|text| format!("`{text}`")).collect::<Vec<_>>().join(", ")
}

/// `` `c` needs `b` needs `a` ``: from what was asked for to what is wanted.
fn path(chain: &[String]) -> String {
    chain.iter().rev().map(|link| format!("`{link}`")).collect::<Vec<_>>().join(" needs ")
}
