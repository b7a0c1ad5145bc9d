//! Native code that would be loaded, and cannot be.

use std::path::PathBuf;

use super::Service;
use crate::check::{Code, Finding, Place, Severity};
use crate::native::Misfit;
use crate::path::ImagePath;

/// Native code of a package that a base cannot load.
#[derive(Clone, Debug)]
pub(super) struct Refusal {
    /// `name@version`, or the directory of a member.
    pub label: String,
    /// The file, or the package.json of what lacks a variant: relative to the workspace's root.
    pub file: PathBuf,
    pub reason: Reason,
}

/// What is wrong with it.
#[derive(Clone, Debug)]
pub(super) enum Reason {
    /// The file cannot be loaded.
    File(Misfit),
    /// It comes in variants, and the one for the image, which is named here, is not there.
    NoVariant(String),
}

/// Whether the lockfile was asked for what fits, or could be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// It was asked, and has nothing that fits.
    Tried,
    /// It was not.
    NotTried,
}

impl Refusal {
    /// As a finding on a service, whose image has the workspace at `root`.
    pub fn finding(&self, service: &Service<'_>, root: &ImagePath, remedy: Remedy) -> Finding {
        let Self { label, file, reason } = self;
        let (base, platform) = (&service.base.image.name, service.described());
        let message = match reason {
            Reason::File(misfit) => format!("`{label}` cannot be loaded on {platform}: {misfit}: `{base}`"),
            Reason::NoVariant(fitting) => {
                format!(
                    "`{label}` has no native code for {platform}: its variant `{fitting}` is not installed: `{base}`"
                )
            }
        };
        Finding {
            severity: Severity::Error,
            code: Code::NativeMisfit,
            place: Some(Place::in_workspace(root, file, None)),
            message,
            fix: Some(self.fix(&platform, remedy)),
        }
    }

    fn fix(&self, platform: &str, remedy: Remedy) -> String {
        let lockfile = match remedy {
            Remedy::NotTried => {
                "`--fix-natives` takes what fits from the npm registry, where the lockfile has it; else "
            }
            Remedy::Tried => "the lockfile has nothing that fits: ",
        };
        let lacks_library = matches!(self.reason, Reason::File(Misfit::Library(_)));
        let library = match platform.ends_with("musl") && lacks_library {
            true => ", or add the package of Alpine that has the library to `base.packages`",
            false => "",
        };
        let name = name_of(&self.label);
        format!(
            "{lockfile}install it on {platform}, or name a base that it fits{library}; if nothing loads it there: \
             `native = \"keep\"` under `[package.\"{name}\"]` in pirogue.toml"
        )
    }
}

/// The name in `name@version`.
pub(super) fn name_of(label: &str) -> &str {
    label.rsplit_once('@').map_or(label, |(name, _)| name)
}
