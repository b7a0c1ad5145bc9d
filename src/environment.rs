//! The one place that reads the environment: variables, the user's directories, the clock, the
//! number of cores.

use std::collections::BTreeMap;
use std::env;
use std::ffi::OsString;
use std::num::NonZero;
use std::path::PathBuf;
use std::thread;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::path::HostPath;
use crate::registry::CredentialFiles;

/// The time of every entry where `SOURCE_DATE_EPOCH` says nothing: one second after the beginning of 1970, since some
/// tools take zero for "no time".
const DEFAULT_EPOCH: u64 = 1;

/// Where podman and docker look for certificates of registries.
const CERTIFICATE_DIRS: [&str; 2] = ["/etc/containers/certs.d", "/etc/docker/certs.d"];

/// What the environment says.
#[derive(Clone)]
pub struct Environment {
    /// Where blobs are kept: `PIROGUE_CACHE_DIR`, else `pirogue` in the user's cache directory.
    pub cache_dir: HostPath,
    /// `SOURCE_DATE_EPOCH` in seconds since 1970, else 1.
    pub epoch: u64,
    /// The files that may hold credentials for registries.
    pub credentials: CredentialFiles,
    /// The file that says how registries are reached, if there is one: what `PIROGUE_REGISTRIES` names, else
    /// `pirogue/registries.toml` in the user's configuration.
    pub registries: Option<PathBuf>,
    /// The directories in which certificates of registries lie by host.
    pub certificate_dirs: Vec<PathBuf>,
    /// The user's home.
    pub home: Option<HostPath>,
    /// All variables, which settings of package managers may name. Some are secrets.
    pub variables: BTreeMap<String, String>,
    /// The number of cores.
    pub threads: usize,
    /// The time now, in nanoseconds since 1970.
    pub now: i64,
}

/// A variable that is not what it should be.
#[derive(Debug, thiserror::Error)]
pub enum EnvironmentError {
    /// Not a number of seconds.
    #[error("SOURCE_DATE_EPOCH is not a number of seconds since 1970 of at most {MAX_EPOCH}: `{0}`")]
    Epoch(String),
    /// Nowhere to keep blobs.
    #[error("there is no directory for the cache: neither PIROGUE_CACHE_DIR, XDG_CACHE_HOME nor HOME is set")]
    NoCacheDir,
}

impl EnvironmentError {
    /// What to type next.
    pub fn hint(&self) -> String {
        match self {
            Self::Epoch(_) => "for the time of the last commit: `export SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)`",
            Self::NoCacheDir => "set PIROGUE_CACHE_DIR to a directory that you may write",
        }
        .to_owned()
    }
}

/// The largest time that a tar entry holds without an extension.
const MAX_EPOCH: u64 = 0o77_777_777_777;

impl Environment {
    /// Reads the environment.
    pub fn read() -> Result<Self, EnvironmentError> {
        let epoch = match env::var("SOURCE_DATE_EPOCH") {
            Err(_) => DEFAULT_EPOCH,
            Ok(text) => match text.parse() {
                Ok(epoch) if epoch <= MAX_EPOCH => epoch,
                _ => return Err(EnvironmentError::Epoch(text)),
            },
        };
        let home = dir("HOME");
        let cache_dir = dir("PIROGUE_CACHE_DIR")
            .or_else(|| dir("XDG_CACHE_HOME").map(|cache| cache.join("pirogue")))
            .or_else(|| home.as_ref().map(|home| home.join(".cache/pirogue")))
            .ok_or(EnvironmentError::NoCacheDir)?;
        let docker = dir("DOCKER_CONFIG").or_else(|| home.as_ref().map(|home| home.join(".docker")));
        let config = dir("XDG_CONFIG_HOME").or_else(|| home.as_ref().map(|home| home.join(".config")));
        let in_config = |path: &str| config.as_ref().map(|config| config.join(path)).filter(|path| path.exists());
        let auth_file = dir("REGISTRY_AUTH_FILE")
            .or_else(|| dir("XDG_RUNTIME_DIR").map(|run| run.join("containers/auth.json")).filter(|path| path.exists()))
            .or_else(|| in_config("containers/auth.json"));
        let registries = dir("PIROGUE_REGISTRIES").or_else(|| in_config("pirogue/registries.toml"));
        let certificate_dirs = in_config("containers/certs.d").into_iter();
        let certificate_dirs = certificate_dirs.chain(CERTIFICATE_DIRS.map(PathBuf::from)).collect();
        let credentials = CredentialFiles { docker_config: docker.map(|dir| dir.join("config.json")), auth_file };
        let threads = thread::available_parallelism().map_or(1, NonZero::get);
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let now = i64::try_from(since_1970.as_nanos()).unwrap_or(i64::MAX);
        let text = |(name, value): (OsString, OsString)| Some((name.into_string().ok()?, value.into_string().ok()?));
        let variables = env::vars_os().filter_map(text).collect();
        let home = home.map(HostPath::new);
        Ok(Self {
            cache_dir: HostPath::new(cache_dir),
            epoch,
            credentials,
            registries,
            certificate_dirs,
            home,
            variables,
            threads,
            now,
        })
    }
}

/// A variable that names a directory or file; empty means unset.
fn dir(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value: &OsString| !value.is_empty()).map(PathBuf::from)
}
