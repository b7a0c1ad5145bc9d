use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair};

/// A CA of one's own.
pub struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

impl Ca {
    pub fn new() -> Self {
        let key = KeyPair::generate().expect("a key can be made");
        let mut params = CertificateParams::default();
        // A certificate with the names of its issuer would count as signed by itself.
        params.distinguished_name.push(DnType::CommonName, "a CA of the tests");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).expect("a certificate can be made").pem();
        Self { issuer: Issuer::new(params, key), pem }
    }

    /// Its certificate.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// Writes `NAME.cert` and `NAME.key`: a certificate for a server of these names, or for a client without any.
    pub fn issue(&self, dir: &Path, name: &str, hosts: &[&str]) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().expect("a key can be made");
        let hosts = hosts.iter().map(|host| (*host).to_owned()).collect::<Vec<_>>();
        let usage =
            if hosts.is_empty() { ExtendedKeyUsagePurpose::ClientAuth } else { ExtendedKeyUsagePurpose::ServerAuth };
        let mut params = CertificateParams::new(hosts).expect("these are names of hosts");
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate can be made");
        let paths = (dir.join(format!("{name}.cert")), dir.join(format!("{name}.key")));
        fs::write(&paths.0, certificate.pem()).expect("a temporary folder can be written");
        fs::write(&paths.1, key.serialize_pem()).expect("a temporary folder can be written");
        paths
    }
}
