//! Credentials written into a file, beside everything else that is in it.

use std::fs;
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

use super::key_path;
use crate::http::Secret;
use crate::registry::RegistryHost;

/// A file of credentials as JSON, so that keys which mean nothing to pirogue are kept.
pub(in crate::registry) struct CredentialFile<'p> {
    path: &'p Path,
    root: Map<String, Value>,
}

impl<'p> CredentialFile<'p> {
    /// Reads it; one that is not there is empty.
    pub(in crate::registry) fn read(path: &'p Path) -> io::Result<Self> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => b"{}".to_vec(),
            Err(error) => return Err(error),
        };
        // The JSON reader's own text could quote a secret.
        let root = serde_json::from_slice(&bytes).map_err(|error| {
            io::Error::new(io::ErrorKind::InvalidData, format!("line {} is no credentials JSON", error.line()))
        })?;
        Ok(Self { path, root })
    }

    /// Whether it has an entry for exactly this host.
    pub(in crate::registry) fn has(&self, host: &RegistryHost) -> bool {
        self.auths().is_some_and(|auths| auths.keys().any(|key| key_path(key) == host.as_str()))
    }

    /// Puts an entry for a host, under `key`, in place of those it has.
    pub(in crate::registry) fn put(&mut self, host: &RegistryHost, key: &str, user: &str, password: &Secret) {
        self.remove(host);
        let auth = STANDARD.encode(format!("{user}:{}", password.reveal()));
        let auths = self.root.entry("auths").or_insert_with(|| json!({}));
        if !auths.is_object() {
            *auths = json!({});
        }
        if let Some(auths) = auths.as_object_mut() {
            auths.insert(key.to_owned(), json!({ "auth": auth }));
        }
    }

    /// Takes out the entries of a host.
    pub(in crate::registry) fn remove(&mut self, host: &RegistryHost) {
        if let Some(auths) = self.root.get_mut("auths").and_then(Value::as_object_mut) {
            auths.retain(|key, _| key_path(key) != host.as_str());
        }
    }

    /// Writes it, whole or not at all, for nobody else to read. Where the path is a link, what it leads to is written.
    pub(in crate::registry) fn write(&self) -> io::Result<()> {
        let path = self.path.canonicalize().unwrap_or_else(|_| self.path.to_owned());
        let dir = path.parent().unwrap_or(Path::new("."));
        fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
        let mut file = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o600)).tempfile_in(dir)?;
        serde_json::to_writer_pretty(&mut file, &self.root)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    }

    fn auths(&self) -> Option<&Map<String, Value>> {
        self.root.get("auths")?.as_object()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_else_is_kept() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("new/config.json");
        let host: RegistryHost = "ghcr.io".parse().unwrap();
        let mut file = CredentialFile::read(&path).unwrap();
        assert!(!file.has(&host));
        file.put(&host, "ghcr.io", "anna", &Secret::new("s:e"));
        file.write().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));

        let text = r#"{"credsStore": "x", "auths": {"https://ghcr.io/v2/": {"auth": "b"}, "ghcr.io/acme": {"auth": "c"}},
            "HttpHeaders": {"A": "b"}}"#;
        fs::write(&path, text).unwrap();
        let link = dir.path().join("link.json");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let mut file = CredentialFile::read(&link).unwrap();
        assert!(file.has(&host));
        file.put(&host, "ghcr.io", "anna", &Secret::new("s:e"));
        file.write().unwrap();
        assert!(link.is_symlink(), "a link stays one");
        let written: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let auths = json!({"ghcr.io": {"auth": "YW5uYTpzOmU="}, "ghcr.io/acme": {"auth": "c"}});
        assert_eq!(written, json!({"credsStore": "x", "auths": auths, "HttpHeaders": {"A": "b"}}));

        let mut file = CredentialFile::read(&path).unwrap();
        file.remove(&host);
        assert!(!file.has(&host));
        file.write().unwrap();
        assert_eq!(fs::read_dir(path.parent().unwrap()).unwrap().count(), 1, "nothing half written stays");

        fs::write(&path, "{\"auths\": \n \"secret").unwrap();
        let error = CredentialFile::read(&path).err().unwrap().to_string();
        assert_eq!(error, "line 2 is no credentials JSON");
    }
}
