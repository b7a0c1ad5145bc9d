//! The format of the images' documents, and what does not go together with it.

use super::{BuildRequest, Destination, ImagePlan, ServicePlan};
use crate::config::Settings;
use crate::image::ImageHealth;
use crate::layout::ArchiveForm;
use crate::manifest::Format;
use crate::manifest::media_type::Compression;
use crate::progress::Progress;

/// Why images cannot be had in a format.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    /// Docker's format has no zstd.
    #[error("Docker's format has no layers compressed with zstd")]
    Zstd,
    /// Layouts are the OCI's.
    #[error("an OCI layout holds no images in Docker's format, which readers of layouts do not take: `{0}`")]
    Layout(String),
}

impl FormatError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Zstd => "`--compression gzip`, or `--format oci`".into(),
            Self::Layout(_) => {
                "push to a registry, or use `--to docker-archive:FILE` or `--load`; or `--format oci`".into()
            }
        })
    }
}

/// The format that was asked for: the request's, else that of `pirogue.toml`.
fn asked_for(request: &BuildRequest, settings: &Settings) -> Option<Format> {
    request.format.or(settings.format)
}

/// The format to build in.
pub(super) fn chosen(request: &BuildRequest, settings: &Settings) -> Format {
    asked_for(request, settings).unwrap_or_default()
}

/// Refuses what the chosen format cannot do.
pub(super) fn refuse_what_it_lacks(
    request: &BuildRequest,
    settings: &Settings,
    destinations: &[Destination],
) -> Result<(), FormatError> {
    if chosen(request, settings) == Format::Oci {
        return Ok(());
    }
    if request.compression.or(settings.compression) == Some(Compression::Zstd) {
        return Err(FormatError::Zstd);
    }
    let layout = destinations.iter().find_map(|destination| match destination {
        Destination::Layout { dir, .. } => Some(format!("oci:{dir}")),
        Destination::Archive { form: ArchiveForm::Oci, file, .. } => Some(format!("oci-archive:{file}")),
        Destination::Archive { .. } | Destination::Daemon { .. } | Destination::Registry { .. } => None,
    });
    layout.map_or(Ok(()), |layout| Err(FormatError::Layout(layout)))
}

/// Says once a build that podman will not see the health checks, unless the user chose the format knowingly.
pub(super) fn note_lost_health(
    request: &BuildRequest,
    settings: &Settings,
    services: &[ServicePlan],
    progress: &dyn Progress,
) {
    let has_check = |image: &ImagePlan| matches!(image.contract.run.health, Some(ImageHealth::Check(_)));
    if asked_for(request, settings).is_none() && services.iter().flat_map(|service| &service.images).any(has_check) {
        progress.note(
            "the OCI format does not define health checks: Docker runs them, podman drops them; `--format docker` keeps \
             them, `--format oci` silences this",
        );
    }
}
