use crate::apk::ApkError;
use crate::apk_repository::ApkRepositoryError;
use crate::digest::Digest;
use crate::path::ImagePath;
use crate::platform::Platform;

/// Why something cannot be added to a base.
#[derive(Debug, thiserror::Error)]
pub enum SystemError {
    /// A base without apk's database.
    #[error("packages can only be added to a base of Alpine, and this one has no database of apk: `{base}`")]
    NotAlpine {
        /// The base.
        base: String,
        /// The packages that were asked for.
        packages: Vec<String>,
        /// Whether it was an init that was asked for.
        wants_init: bool,
    },
    /// A package does not bring the program it is known for.
    #[error("the package `{package}` does not bring the init it is taken for: `{path}`")]
    NoProgram {
        /// The package.
        package: String,
        /// The program.
        path: ImagePath,
    },
    /// An image names an init that is not known.
    #[error("no init that this pirogue knows: `{0}`")]
    UnknownInit(String),
    /// Another file than the one that was meant.
    #[error("the init has the digest `{actual}`, not `{expected}`: `{file}`")]
    OtherInit {
        /// What pirogue.toml says.
        expected: Digest,
        /// What the file is.
        actual: Digest,
        /// The file.
        file: String,
    },
    /// A file that would not run.
    #[error("the init would not run on {platform}, for {source}: `{file}`")]
    InitProgram {
        /// What is wrong with it.
        source: StaticProgramError,
        /// The platform.
        platform: Box<Platform>,
        /// The file.
        file: String,
    },
    /// Packages do not go together, or their files are not what they should be.
    #[error(transparent)]
    Apk(#[from] ApkError),
    /// Packages cannot be fetched.
    #[error(transparent)]
    Repository(#[from] ApkRepositoryError),
}

impl SystemError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::NotAlpine { packages, wants_init, .. } => Some(match (packages.is_empty(), wants_init) {
                (true, true) => {
                    "name a static program: `init = { file = \"bin/tini-static\", sha256 = \"…\" }` in pirogue.toml"
                        .into()
                }
                _ => format!(
                    "take a base of Alpine, or one of your own that has {}; for an init alone: `init = {{ file = \"…\", sha256 = \"…\" }}`",
                    packages.iter().map(|package| format!("`{package}`")).collect::<Vec<_>>().join(", ")
                ),
            }),
            Self::OtherInit { actual, .. } => {
                Some(format!("if it is the right one: `sha256 = \"{}\"` in `init` of pirogue.toml", actual.hex()))
            }
            Self::InitProgram { .. } => {
                Some("take one that is linked statically, such as `tini-static` of its releases".into())
            }
            Self::NoProgram { .. } | Self::UnknownInit(_) => None,
            Self::Apk(error) => error.hint(),
            Self::Repository(error) => error.hint(),
        }
    }
}

/// Why a file is no program that runs on a platform without any library.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StaticProgramError {
    /// No ELF, or one that ends early.
    #[error("it is no program of Linux (ELF)")]
    NotElf,
    /// For another processor.
    #[error("it is for another processor")]
    Machine,
    /// It needs a loader and libraries.
    #[error("it needs a loader, and so libraries of the image")]
    Dynamic,
}
