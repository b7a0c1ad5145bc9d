use std::fs;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const PROGRAM: &str = "docker-registry";
const PATIENCE: Duration = Duration::from_secs(20);

/// A real registry (Debian's `docker-registry`) on a free port of this machine, with its own storage. It ends when
/// dropped.
pub struct Registry {
    child: Child,
    host: String,
    _folder: TempDir,
}

impl Registry {
    /// Starts one that lets everybody in; `None`, with a word on it, where the program is not installed.
    pub fn start() -> Option<Self> {
        Self::start_configured(|_| String::new())
    }

    /// Starts one that deletes nothing.
    pub fn start_without_deletes() -> Option<Self> {
        Self::start_with_storage("delete: {enabled: false}", |_| String::new())
    }

    /// Starts one that takes manifests whose layers lie elsewhere.
    pub fn start_with_foreign_layers() -> Option<Self> {
        Self::start_configured(|_| "validation: {manifests: {urls: {allow: [\".*\"]}}}\n".to_owned())
    }

    /// Starts one behind TLS, and gives the certificate to trust, as PEM.
    pub fn start_with_tls() -> Option<(Self, Vec<u8>)> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
        let (certificate, key) = (made.cert.pem(), made.signing_key.serialize_pem());
        let registry = Self::start_configured(|folder| {
            let (certificate_file, key_file) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
            fs::write(&certificate_file, &certificate).expect("a temporary folder can be written");
            fs::write(&key_file, &key).expect("a temporary folder can be written");
            let (certificate, key) = (certificate_file.display(), key_file.display());
            format!("  tls: {{certificate: {certificate}, key: {key}}}\n")
        })?;
        Some((registry, certificate.into_bytes()))
    }

    /// Starts one that lets in one user.
    pub fn start_with_htpasswd(user: &str, password: &str) -> Option<Self> {
        Self::start_configured(|folder| {
            let hash = bcrypt::hash(password, 4).expect("bcrypt takes any password");
            let file = folder.path().join("htpasswd");
            fs::write(&file, format!("{user}:{hash}\n")).expect("a temporary folder can be written");
            format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display())
        })
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn start_configured(more: impl Fn(&TempDir) -> String) -> Option<Self> {
        Self::start_with_storage("delete: {enabled: true}", more)
    }

    fn start_with_storage(deletes: &str, more: impl Fn(&TempDir) -> String) -> Option<Self> {
        // Between finding a free port and listening on it someone else may take it.
        for _ in 0..5 {
            let folder = TempDir::new().expect("a temporary folder can be made");
            let host = free_address();
            let storage = folder.path().join("storage");
            let config = format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, {deletes}}}\n\
                 http:\n  addr: {host}\n{}",
                storage.display(),
                more(&folder)
            );
            let path = folder.path().join("config.yml");
            fs::write(&path, config).expect("a temporary folder can be written");
            let spawned = Command::new(PROGRAM)
                .arg("serve")
                .arg(&path)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let child = match spawned {
                Ok(child) => child,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    super::skip(&format!("`{PROGRAM}` is not installed"));
                    return None;
                }
                Err(error) => panic!("`{PROGRAM}` does not start: {error}"),
            };
            let mut registry = Self { child, host, _folder: folder };
            if registry.is_up() {
                return Some(registry);
            }
        }
        panic!("`{PROGRAM}` does not start");
    }

    fn is_up(&mut self) -> bool {
        let begin = Instant::now();
        while begin.elapsed() < PATIENCE {
            if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
                return false;
            }
            if TcpStream::connect(&self.host).is_ok() {
                return true;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_address() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    listener.local_addr().expect("a listener has an address").to_string()
}
