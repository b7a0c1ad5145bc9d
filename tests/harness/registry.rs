use std::fs;
use std::io::{self, ErrorKind};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rcgen::{Certificate, CertificateParams, KeyPair};
use tempfile::TempDir;

use super::certificates::Ca;
use super::token_server::TokenServer;

const PROGRAM: &str = "docker-registry";
const PATIENCE: Duration = Duration::from_secs(20);

/// A real registry (Debian's `docker-registry`) on a free port of this machine, with its own storage. It ends when
/// dropped.
pub struct Registry {
    child: Child,
    host: String,
    folder: TempDir,
}

impl Registry {
    /// Starts one that lets everybody in; `None`, with a word on it, where the program is not installed.
    pub fn start() -> Option<Self> {
        Self::start_configured(|_| String::new())
    }

    /// Starts one that deletes nothing.
    pub fn start_without_deletes() -> Option<Self> {
        Self::start_at("127.0.0.1:0", "delete: {enabled: false}", |_| String::new())
    }

    /// Starts one that takes manifests whose layers lie elsewhere.
    pub fn start_with_foreign_layers() -> Option<Self> {
        Self::start_configured(|_| "validation: {manifests: {urls: {allow: [\".*\"]}}}\n".to_owned())
    }

    /// Starts one behind TLS, and gives the certificate to trust, as PEM.
    pub fn start_with_tls() -> Option<(Self, Vec<u8>)> {
        let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).expect("a certificate can be made");
        Self::start_with_certificate(&made.cert, &made.signing_key)
    }

    /// Starts one behind TLS whose certificate ended long ago.
    pub fn start_with_tls_of_yesteryear() -> Option<(Self, Vec<u8>)> {
        let key = KeyPair::generate().expect("a key can be made");
        let mut parameters = CertificateParams::new(["127.0.0.1".to_owned()]).expect("an address is a name");
        parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
        parameters.not_after = rcgen::date_time_ymd(2020, 2, 1);
        let certificate = parameters.self_signed(&key).expect("a certificate can be made");
        Self::start_with_certificate(&certificate, &key)
    }

    fn start_with_certificate(certificate: &Certificate, key: &KeyPair) -> Option<(Self, Vec<u8>)> {
        let (certificate, key) = (certificate.pem(), key.serialize_pem());
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

    /// Starts one behind TLS, with a certificate of `ca` for `hosts`. Where `asks_clients` says so, it talks to nobody
    /// without a certificate of the same CA.
    pub fn start_under(ca: &Ca, hosts: &[&str], asks_clients: bool) -> Option<Self> {
        Self::start_configured(|folder| {
            let (certificate, key) = ca.issue(folder.path(), "server", hosts);
            let ca_file = folder.path().join("ca.pem");
            fs::write(&ca_file, ca.pem()).expect("a temporary folder can be written");
            let clients = if asks_clients { format!(", clientcas: [{}]", ca_file.display()) } else { String::new() };
            format!("  tls: {{certificate: {}, key: {}{clients}}}\n", certificate.display(), key.display())
        })
    }

    /// Starts one that wants tokens of a server.
    pub fn start_with_tokens(tokens: &TokenServer) -> Option<Self> {
        let (realm, certificate) = (tokens.realm(), tokens.certificate.display().to_string());
        Self::start_configured(|_| {
            format!(
                "auth: {{token: {{realm: \"{realm}\", service: registry, issuer: tests, rootcertbundle: {certificate}}}}}\n"
            )
        })
    }

    /// Starts a pull-through cache of another registry.
    pub fn start_as_mirror(of: &str) -> Option<Self> {
        Self::start_configured(|_| format!("proxy: {{remoteurl: \"http://{of}\"}}\n"))
    }

    /// Starts one that listens on IPv6.
    pub fn start_on_ipv6() -> Option<Self> {
        Self::start_at("[::1]:0", "delete: {enabled: true}", |_| String::new())
    }

    /// Ends it at once, whatever it is about, and starts it again with the same storage.
    pub fn restart(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        self.child = spawn(&self.folder.path().join("config.yml")).expect("it was started before");
        assert!(self.is_up(), "`{PROGRAM}` does not start again");
    }

    /// Leaves the repositories as a crash may: every link to a blob or a manifest is there, and empty. Gives their number.
    pub fn empty_links(&self) -> usize {
        let repositories = self.folder.path().join("storage/docker/registry/v2/repositories");
        let files = ignore::Walk::new(repositories).map(|entry| entry.expect("a folder lists").into_path());
        let links = files.filter(|path| path.file_name().is_some_and(|name| name == "link"));
        links.map(|link| fs::write(link, "").expect("a link is a file")).count()
    }

    /// Host and port.
    pub fn host(&self) -> &str {
        &self.host
    }

    fn start_configured(more: impl Fn(&TempDir) -> String) -> Option<Self> {
        Self::start_at("127.0.0.1:0", "delete: {enabled: true}", more)
    }

    fn start_at(any_port: &str, deletes: &str, more: impl Fn(&TempDir) -> String) -> Option<Self> {
        // Between finding a free port and listening on it someone else may take it.
        for _ in 0..5 {
            let folder = TempDir::new().expect("a temporary folder can be made");
            let host = free_address(any_port);
            let storage = folder.path().join("storage");
            let config = format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, {deletes}}}\n\
                 http:\n  addr: \"{host}\"\n{}",
                storage.display(),
                more(&folder)
            );
            let path = folder.path().join("config.yml");
            fs::write(&path, config).expect("a temporary folder can be written");
            let child = match spawn(&path) {
                Ok(child) => child,
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    super::skip(&format!("`{PROGRAM}` is not installed"));
                    return None;
                }
                Err(error) => panic!("`{PROGRAM}` does not start: {error}"),
            };
            let mut registry = Self { child, host, folder };
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

fn spawn(config: &Path) -> io::Result<Child> {
    let mut command = Command::new(PROGRAM);
    command.arg("serve").arg(config).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn()
}

fn free_address(any_port: &str) -> String {
    let listener = TcpListener::bind(any_port).expect("a port is free");
    listener.local_addr().expect("a listener has an address").to_string()
}
