//! What extends the base's own files under all else: the user, certificates, the time zone.

use std::collections::BTreeMap;

use super::BuildError;
use crate::config::ServiceSettings;
use crate::host;
use crate::image::{BaseExtension, BaseFiles, Certificate, Contract, NODE_FILE, NODE_VARIABLE, RunUser, UserEntries};
use crate::layer::Fragment;
use crate::manifest::ContainerConfig;
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

/// The variables that programs find it by in an image over `base`, where `env` does not say otherwise.
pub(super) fn variables(
    wanted: &BaseExtension,
    of_base: &ContainerConfig,
    base: &BaseFiles,
    env: &BTreeMap<String, String>,
) -> Result<BTreeMap<String, String>, BuildError> {
    let is_asked = !wanted.certificates.is_empty() && !env.contains_key(NODE_VARIABLE);
    let certificates = is_asked && Certificate::are_new_to_node(of_base.variable(NODE_VARIABLE), base)?;
    let certificates = certificates.then(|| (NODE_VARIABLE.to_owned(), NODE_FILE.to_owned()));
    let zone = wanted.time_zone.map(|zone| ("TZ".to_owned(), zone.name().to_owned()));
    Ok(certificates.into_iter().chain(zone).collect())
}

/// Whether Node finds the certificates in an image over `base` by the variables that it had over another.
pub(super) fn are_found_by_node(contract: &Contract, of_base: &ContainerConfig, base: &BaseFiles) -> bool {
    if contract.extension.certificates.is_empty() {
        return true;
    }
    let named = contract.run.env.get(NODE_VARIABLE).map(String::as_str);
    match Certificate::are_new_to_node(of_base.variable(NODE_VARIABLE), base) {
        // The user's own setting holds whatever the base has.
        _ if named.is_some_and(|named| named != NODE_FILE) => true,
        Ok(are_new) => are_new == named.is_some(),
        Err(_) => false,
    }
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
