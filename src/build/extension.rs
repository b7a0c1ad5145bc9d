//! What extends the base's own files under all else: the user, certificates, the time zone.

use std::collections::BTreeMap;

use super::BuildError;
use crate::config::ServiceSettings;
use crate::host;
use crate::image::{BaseFiles, Certificate, NODE_FILE, NODE_VARIABLE};
use crate::layer::{FileTree, Fragment};
use crate::workspace::{Workspace, WorkspacePath};

/// What extends a base for one service.
pub(super) struct Extension {
    /// What goes into the lowest layer above the base.
    pub fragments: Vec<Fragment>,
    /// The variables that programs find it by.
    pub env: BTreeMap<String, String>,
}

impl Extension {
    /// What `settings` want of `base`, with `user`, what its user means for the base's files.
    pub fn of(
        service: &str,
        settings: &ServiceSettings,
        workspace: &Workspace,
        base: &BaseFiles,
        user: FileTree,
    ) -> Result<Self, BuildError> {
        let mut extension = Self { fragments: vec![Fragment::new("user", user)], env: BTreeMap::new() };
        let certificates = certificates(service, settings, workspace)?;
        if !certificates.is_empty() {
            let tree = Certificate::merged_into(&certificates, base)?;
            extension.fragments.push(Fragment::new("certificates", tree));
            extension.env.insert(NODE_VARIABLE.to_owned(), NODE_FILE.to_owned());
        }
        if let Some(zone) = settings.time_zone {
            extension.fragments.push(Fragment::new("time zone", zone.entries(base)?));
            extension.env.insert("TZ".to_owned(), zone.name().to_owned());
        }
        Ok(extension)
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
