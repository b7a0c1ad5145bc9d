use std::collections::BTreeMap;
use std::fmt;
use std::io;

use crate::native::Misfit;

/// Why native code of packages cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NativesError {
    /// It would be loaded, and cannot be.
    #[error("native code in packages cannot be loaded on `{base}` ({platform}){}", list(.refused))]
    Unloadable {
        /// The base.
        base: String,
        /// Such as `linux-x64 with musl`.
        platform: String,
        /// By package, and for each the services that have it.
        refused: BTreeMap<String, (Refusal, Vec<String>)>,
        /// What `--fix-natives` could do.
        remedy: Remedy,
    },
    /// A file cannot be read.
    #[error("cannot read native code of `{package}`: {source}: `{path}`")]
    Read {
        /// The package.
        package: String,
        /// Its place in the image.
        path: String,
        /// What the system answered.
        source: io::Error,
    },
}

/// What is wrong with a package.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Refusal {
    /// A file of it cannot be loaded.
    File {
        /// Its path in the package.
        path: String,
        /// Why.
        misfit: Misfit,
    },
    /// It comes in variants, and the one for the image is not there.
    NoVariant {
        /// The package that would fit.
        fitting: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File { path, misfit } => write!(f, "{misfit}: `{path}`"),
            Self::NoVariant { fitting } => write!(f, "the variant that fits is not installed: `{fitting}`"),
        }
    }
}

/// Whether the lockfile was or could be asked for what fits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Remedy {
    /// It was asked, and has nothing that fits.
    Tried,
    /// It was not.
    NotTried,
}

fn list(refused: &BTreeMap<String, (Refusal, Vec<String>)>) -> String {
    let line = |(package, (refusal, services)): (&String, &(Refusal, Vec<String>))| {
        format!("\n  {package} (in {}): {refusal}", services.join(", "))
    };
    refused.iter().map(line).collect()
}

impl NativesError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        let Self::Unloadable { platform, refused, remedy, .. } = self else { return None };
        let name = refused.keys().next().and_then(|label| label.rsplit_once('@')).map_or("NAME", |(name, _)| name);
        let fix = match remedy {
            Remedy::NotTried => {
                "`--fix-natives` takes what fits from the npm registry, where the lockfile has it; else "
            }
            Remedy::Tried => "the lockfile has nothing that fits: ",
        };
        let lacks_library =
            |(refusal, _): &(Refusal, Vec<String>)| matches!(refusal, Refusal::File { misfit: Misfit::Library(_), .. });
        let library = match platform.ends_with("musl") && refused.values().any(lacks_library) {
            true => "; a library comes with the package of Alpine that has it, by `base.packages`",
            false => "",
        };
        Some(format!(
            "{fix}install the packages on {platform}, or name a base that they fit{library}; if nothing loads it there: \
             `native = \"keep\"` under `[package.\"{name}\"]` in pirogue.toml"
        ))
    }
}
