use crate::build::SystemError;
use crate::build::fleet::Fleet;
use crate::image::{ContractError, Difference, NODE_VARIABLE};
use crate::layer::RECIPE;
use crate::path::ImagePath;
use crate::platform::Platform;
use crate::registry::Reference;

/// Why images cannot be moved to another base.
#[derive(Debug, thiserror::Error)]
pub enum RebaseError {
    /// At least one image cannot; then none is.
    #[error("nothing was pushed, for not all images can be moved to another base{}", list(.0))]
    Refused(Vec<Refused>),
    /// None of the images is there.
    #[error("there is no image under any of these names: {}", names(.0))]
    NothingThere(Vec<String>),
    /// A name that cannot stand for another image.
    #[error("an image that is named by its digest cannot become another: `{0}`")]
    ByDigest(String),
}

/// An image that cannot be moved to another base, and one reason.
#[derive(Debug)]
pub struct Refused {
    /// The reference.
    pub image: Reference,
    /// The platform of which this holds; `None` if it is true of all.
    pub platform: Option<Platform>,
    /// The reason.
    pub reason: Refusal,
}

/// Why an image cannot be moved to another base.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// It has no contract.
    #[error("it says nothing of its making: another tool made it, or a pirogue that is too old")]
    NoContract,
    /// It cannot have a contract.
    #[error("it is in Docker's format, which has no place for what has to be known of its making")]
    DockerFormat,
    /// Its contract cannot be used.
    #[error(transparent)]
    Contract(#[from] ContractError),
    /// Its layers were made by other rules.
    #[error("its layers were made by other rules than this pirogue's, `{0}` and not `{RECIPE}`")]
    OtherRecipe(String),
    /// What was added to its base cannot be added to the new one.
    #[error("{0}")]
    System(SystemError),
    /// The certificates that are added would not be found, or those of the base.
    #[error("the base leads Node to other certificates, by {NODE_VARIABLE}")]
    NodeCertificates,
    /// Its init cannot be taken along.
    #[error("it does not hold the program that it says is its init: `{0}`")]
    NoInit(ImagePath),
    /// Somebody changed it.
    #[error("its layers are not those that it was made of: another tool changed it")]
    Changed,
    /// It says no time.
    #[error("it does not say when it was made, which is the time of all its files")]
    NoTime,
    /// Nobody knows its base.
    #[error("nothing says on which base it lies: it came from a directory")]
    NoBase,
    /// It is not there for this platform.
    #[error("there is no image for this platform to be moved")]
    NotBuiltFor,
    /// The base is not there for its platform.
    #[error("the base has no image for this platform, only for: {}", platforms(.0))]
    NoSuchPlatform(Vec<Platform>),
    /// Its layers rely on something else.
    #[error(transparent)]
    Difference(#[from] Difference),
    /// What extends the base's own files cannot extend those of the new one.
    #[error("{0}")]
    Extension(String),
}

/// A line for each image and reason, whatever platforms it holds for.
fn list(refused: &[Refused]) -> String {
    let mut lines: Vec<(&Reference, String, Vec<String>)> = Vec::new();
    for Refused { image, platform, reason } in refused {
        let (platform, reason) = (platform.as_ref().map(Platform::to_string), reason.to_string());
        match lines.iter_mut().find(|(known, why, _)| *known == image && *why == reason) {
            Some((.., platforms)) => platforms.extend(platform),
            None => lines.push((image, reason, platform.into_iter().collect())),
        }
    }
    let line = |(image, reason, platforms): &(&Reference, String, Vec<String>)| match &platforms[..] {
        [] => format!("\n  `{image}`: {reason}"),
        platforms => format!("\n  `{image}` ({}): {reason}", platforms.join(", ")),
    };
    lines.iter().map(line).collect()
}

fn names(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn platforms(platforms: &[Platform]) -> String {
    names(&platforms.iter().map(Platform::to_string).collect::<Vec<_>>())
}

impl RebaseError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Refused(refused) if refused.iter().all(|refused| matches!(refused.reason, Refusal::NoBase)) => {
                "name the base: `--base REFERENCE`".into()
            }
            Self::Refused(_) => {
                "build these from their sources, `pirogue build SERVICE`, or move only the others by naming them".into()
            }
            Self::NothingThere(_) => "name the registry and the tag that they were pushed to: `--to`, `--tag`".into(),
            Self::ByDigest(_) => "name its tag".into(),
        })
    }
}

/// An error if an image is named by its digest.
pub(super) fn refuse_digests(fleet: &Fleet) -> Result<(), RebaseError> {
    match fleet.images.iter().find(|(_, reference)| reference.digest().is_some()) {
        Some((_, reference)) => Err(RebaseError::ByDigest(reference.to_string())),
        None => Ok(()),
    }
}
