//! What extends the base's own files under all else: the user, certificates, the time zone.

use std::collections::BTreeMap;

use super::BuildError;
use crate::config::ServiceSettings;
use crate::host;
use crate::image::{BaseExtension, BaseFiles, Certificate, NODE_FILE, NODE_VARIABLE, RunUser, UserEntries};
use crate::layer::Fragment;
use crate::workspace::{Workspace, WorkspacePath};

/// What extends one base.
pub(super) struct Extension {
    /// What goes into the lowest layer above the base.
    pub fragments: Vec<Fragment>,
    /// As whom the container runs.
    pub user: RunUser,
}

impl Extension {
    /// What `wanted` means for `base`.
    pub fn of(wanted: &BaseExtension, base: &BaseFiles) -> Result<Self, BuildError> {
        let UserEntries { owner, in_other_groups, tree } = wanted.user.entries(base)?;
        let mut fragments = vec![Fragment::new("user", tree)];
        if !wanted.certificates.is_empty() {
            let tree = Certificate::merged_into(&wanted.certificates, base)?;
            fragments.push(Fragment::new("certificates", tree));
        }
        if let Some(zone) = wanted.time_zone {
            fragments.push(Fragment::new("time zone", zone.entries(base)?));
        }
        Ok(Self { fragments, user: RunUser { owner, in_other_groups } })
    }
}

/// What the settings of a service add to any base.
pub(super) fn wanted(
    service: &str,
    settings: &ServiceSettings,
    workspace: &Workspace,
) -> Result<BaseExtension, BuildError> {
    Ok(BaseExtension {
        user: settings.user.clone().unwrap_or_default(),
        certificates: certificates(service, settings, workspace)?,
        time_zone: settings.time_zone,
    })
}

/// The variables that programs find it by.
pub(super) fn variables(wanted: &BaseExtension) -> BTreeMap<String, String> {
    let certificates = (!wanted.certificates.is_empty()).then(|| (NODE_VARIABLE.to_owned(), NODE_FILE.to_owned()));
    let zone = wanted.time_zone.map(|zone| ("TZ".to_owned(), zone.name().to_owned()));
    certificates.into_iter().chain(zone).collect()
}

/// The certificates in the files that `ca` names.
fn certificates(
    service: &str,
    settings: &ServiceSettings,
    workspace: &Workspace,
) -> Result<Vec<Certificate>, BuildError> {
    let mut certificates = Vec::new();
    for file in settings.ca.iter().flatten() {
        let missing = || BuildError::NoSuchFile { key: "ca", service: service.to_owned(), from: file.clone() };
        let path = WorkspacePath::new(file).ok_or_else(missing)?;
        let bytes = host::read_if_present(&workspace.on_host(&path))?.ok_or_else(missing)?;
        certificates.extend(Certificate::read(file, &bytes)?);
    }
    Ok(certificates)
}
