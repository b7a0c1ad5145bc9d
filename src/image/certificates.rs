//! Certificates of CAs that an image trusts besides those of its base.
//!
//! Sources: RFC 7468; `update-ca-certificates(8)`; Node's "Command-line API", `NODE_EXTRA_CA_CERTS`.

use std::collections::BTreeSet;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde::{Deserialize, Serialize};

use super::{BaseFiles, BaseFilesError};
use crate::layer::{Content, Entry, FileTree, ForeignKind, Owner, TreeError};
use crate::path::{ImagePath, ImagePathError};

/// Where distributions keep all trusted certificates in one file: Alpine and Debian, then others. Most are links to one of
/// the rest.
pub const CERTIFICATE_BUNDLES: [&str; 5] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/ssl/cert.pem",
    "/etc/ssl/ca-bundle.pem",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem",
];
/// Where certificates lie one by one for those who make the bundle anew: Red Hat's place, and everybody else's.
const ANCHORS: [&str; 2] = ["/etc/pki/ca-trust/source/anchors", "/usr/local/share/ca-certificates"];
/// Node looks at no bundle of the system's, but at the file that this variable names.
pub const NODE_VARIABLE: &str = "NODE_EXTRA_CA_CERTS";
/// That file. Its name is not one that the bundle is made of.
pub const NODE_FILE: &str = "/usr/local/share/ca-certificates/node-extra.pem";

const BEGIN: &str = "-----BEGIN ";
const DASHES: &str = "-----";
const ROOT: Owner = Owner { uid: 0, gid: 0 };

/// The certificate of a CA.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenCertificate", into = "WrittenCertificate")]
pub struct Certificate {
    /// The name of its file without the extension.
    name: String,
    der: Vec<u8>,
}

/// A certificate as it is written down.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenCertificate {
    name: String,
    pem: String,
}

impl TryFrom<WrittenCertificate> for Certificate {
    type Error = CertificateError;

    fn try_from(WrittenCertificate { name, pem }: WrittenCertificate) -> Result<Self, CertificateError> {
        match <[Self; 1]>::try_from(Self::read(&name, pem.as_bytes())?) {
            Ok([certificate]) => Ok(Self { name, ..certificate }),
            Err(_) => Err(CertificateError::None(name)),
        }
    }
}

impl From<Certificate> for WrittenCertificate {
    fn from(certificate: Certificate) -> Self {
        Self { pem: certificate.pem(), name: certificate.name }
    }
}

/// Why certificates cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CertificateError {
    /// A key in the file.
    #[error("`ca` names a file with a private key in it, which must not get into an image: `{0}`")]
    PrivateKey(String),
    /// Something else in the file.
    #[error("`ca` names a file that holds `{label}`, not only certificates: `{file}`")]
    Other {
        /// The file.
        file: String,
        /// What it holds, as PEM calls it.
        label: String,
    },
    /// No certificate in the file.
    #[error("`ca` names a file without a certificate in PEM: `{0}`")]
    None(String),
    /// A certificate that is none.
    #[error("`ca` names a file whose certificate {number} is damaged ({reason}): `{file}`")]
    Damaged {
        /// The file.
        file: String,
        /// Which of its certificates, from 1.
        number: usize,
        /// What is wrong.
        reason: String,
    },
    /// The base has certificates for Node that would no longer be found.
    #[error(
        "the base has certificates of its own for Node ({NODE_VARIABLE}), whose place those of `ca` would take: `{0}`"
    )]
    NodeOfBase(String),
    /// The base's own files cannot be extended.
    #[error(transparent)]
    Base(#[from] BaseFilesError),
    /// Two things at one place.
    #[error(transparent)]
    Tree(#[from] TreeError),
    /// A name that no image can have.
    #[error(transparent)]
    Path(#[from] ImagePathError),
}

impl CertificateError {
    /// What to type next.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::PrivateKey(file) | Self::Other { file, .. } => {
                Some(format!("write the certificates alone into a file: `openssl x509 -in {file} -out ca.pem`"))
            }
            Self::None(file) => Some(format!("if it is DER: `openssl x509 -inform der -in {file} -out ca.pem`")),
            Self::NodeOfBase(file) => Some(format!(
                "say which file Node reads, under `env` in pirogue.toml: `{NODE_VARIABLE} = \"{file}\"`, or \"{NODE_FILE}\" for those of `ca`"
            )),
            Self::Base(error) => error.hint(),
            Self::Damaged { .. } | Self::Tree(_) | Self::Path(_) => None,
        }
    }
}

impl Certificate {
    /// Reads the certificates in the PEM file `file`. What stands around them is left out; anything else in PEM is refused.
    pub fn read(file: &str, bytes: &[u8]) -> Result<Vec<Self>, CertificateError> {
        let mut announced = 0;
        for label in labels(&String::from_utf8_lossy(bytes)) {
            match label {
                "CERTIFICATE" => announced += 1,
                key if key.contains("PRIVATE KEY") => return Err(CertificateError::PrivateKey(file.to_owned())),
                other => return Err(CertificateError::Other { file: file.to_owned(), label: other.to_owned() }),
            }
        }
        let name = Path::new(file).file_stem().and_then(|name| name.to_str()).unwrap_or("ca");
        let mut certificates = Vec::new();
        for (certificate, number) in CertificateDer::pem_slice_iter(bytes).zip(1..) {
            let damaged = |reason: String| CertificateError::Damaged { file: file.to_owned(), number, reason };
            let certificate = certificate.map_err(|error| damaged(error.to_string()))?;
            RootCertStore::empty().add(certificate.clone()).map_err(|error| damaged(error.to_string()))?;
            certificates.push(Self { name: name.to_owned(), der: certificate.to_vec() });
        }
        match (certificates.len(), announced) {
            (0, 0) => Err(CertificateError::None(file.to_owned())),
            (read, announced) if read < announced => {
                let reason = "it has no end".to_owned();
                Err(CertificateError::Damaged { file: file.to_owned(), number: read + 1, reason })
            }
            _ => Ok(certificates),
        }
    }

    /// What `certificates` mean for an image over `base`: they are added to its bundle, lie one by one where the bundle is
    /// made anew from, and in one file for Node.
    pub fn merged_into(certificates: &[Self], base: &BaseFiles) -> Result<FileTree, CertificateError> {
        let mut known = BTreeSet::new();
        let certificates: Vec<&Self> =
            certificates.iter().filter(|certificate| known.insert(&certificate.der)).collect();
        let all: String = certificates.iter().map(|certificate| certificate.pem()).collect();
        let mut tree = FileTree::default();
        let mut bundles = bundles(base)?;
        if bundles.is_empty() {
            let [bundle, link, ..] = CERTIFICATE_BUNDLES;
            bundles.insert(ImagePath::new(bundle)?);
            tree.insert(ImagePath::new(link)?, Entry::symlink("certs/ca-certificates.crt", ROOT))?;
        }
        for bundle in &bundles {
            let (place, entry) = base.appended(bundle, &all)?;
            tree.insert(place, entry)?;
        }
        let [red_hat, others] = ANCHORS;
        let red_hat = ImagePath::new(red_hat)?;
        let is_red_hat = base.get(&red_hat).is_some_and(|entry| entry.kind == ForeignKind::Directory);
        let anchors = if is_red_hat { red_hat } else { ImagePath::new(others)? };
        let file = |pem: String| Entry::file(Content::Bytes(pem.into_bytes()), false, ROOT);
        let mut names = BTreeSet::new();
        for certificate in certificates {
            let numbered = (1..).map(|number| match number {
                1 => format!("{}.crt", certificate.name),
                _ => format!("{}-{number}.crt", certificate.name),
            });
            // Of numbers without end one is free.
            let Some(name) = numbered.into_iter().find(|name| !names.contains(name)) else { continue };
            tree.insert(anchors.join(&name)?, file(certificate.pem()))?;
            names.insert(name);
        }
        tree.insert(ImagePath::new(NODE_FILE)?, file(all))?;
        Ok(tree)
    }

    /// Whether Node has to be led to added certificates by [`NODE_VARIABLE`], which `of_base` is the base's value of: not
    /// where that is a bundle that they are added to. Those in another file of the base's would be lost, which is an error.
    pub fn are_new_to_node(of_base: Option<&str>, base: &BaseFiles) -> Result<bool, CertificateError> {
        let Some(file) = of_base.filter(|file| !file.is_empty()) else { return Ok(true) };
        let others = || CertificateError::NodeOfBase(file.to_owned());
        let place = base.real_path(&ImagePath::new(file).map_err(|_| others())?);
        match base.get(&place) {
            // Node does without what is not there.
            None => Ok(true),
            Some(_) if bundles(base)?.contains(&place) => Ok(false),
            Some(_) => Err(others()),
        }
    }

    /// The certificate alone, in PEM.
    fn pem(&self) -> String {
        let body = STANDARD.encode(&self.der);
        let mut pem = format!("{BEGIN}CERTIFICATE{DASHES}\n");
        let mut rest = body.as_str();
        while !rest.is_empty() {
            let (line, more) = rest.split_at(rest.len().min(64));
            pem.push_str(line);
            pem.push('\n');
            rest = more;
        }
        pem.push_str("-----END CERTIFICATE-----\n");
        pem
    }
}

/// What a PEM text holds, by the lines that begin each part.
fn labels(text: &str) -> impl Iterator<Item = &str> {
    text.lines().filter_map(|line| line.trim().strip_prefix(BEGIN)?.strip_suffix(DASHES))
}

/// The bundles that a base has.
fn bundles(base: &BaseFiles) -> Result<BTreeSet<ImagePath>, CertificateError> {
    let mut bundles = BTreeSet::new();
    for bundle in CERTIFICATE_BUNDLES {
        let place = base.resolve(&ImagePath::new(bundle)?)?;
        if base.get(&place).is_some() {
            bundles.insert(place);
        }
    }
    Ok(bundles)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{ForeignEntry, Kind, LayerListing};

    #[test]
    fn what_node_is_led_to() {
        let text = || ForeignKind::Text("-----BEGIN CERTIFICATE-----\n".to_owned());
        let base = base(&[
            ("/etc/ssl/certs/ca-certificates.crt", text()),
            ("/etc/ssl/cert.pem", ForeignKind::Symlink("certs/ca-certificates.crt".to_owned())),
            ("/opt/ca.pem", ForeignKind::File),
        ]);
        let table = [
            ("nothing", None, Some(true)),
            ("an empty name", Some(""), Some(true)),
            ("a file that is not there", Some("/opt/other.pem"), Some(true)),
            ("the bundle", Some("/etc/ssl/certs/ca-certificates.crt"), Some(false)),
            ("the bundle by a link", Some("/etc/ssl/cert.pem"), Some(false)),
            ("another file", Some("/opt/ca.pem"), None),
            ("a file that depends on the working directory", Some("ca.pem"), None),
        ];
        for (comment, of_base, expected) in table {
            assert_eq!(Certificate::are_new_to_node(of_base, &base).ok(), expected, "{comment}");
        }
    }

    fn made() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(["ca.example".to_owned()]).unwrap();
        (made.cert.pem().replace("\r\n", "\n"), made.signing_key.serialize_pem())
    }

    fn base(entries: &[(&str, ForeignKind)]) -> BaseFiles {
        let entry = |(path, kind): &(&str, ForeignKind)| ForeignEntry {
            path: (*path).to_owned(),
            kind: kind.clone(),
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        BaseFiles::merge([&LayerListing { entries: entries.iter().map(entry).collect() }])
    }

    fn found(tree: &FileTree) -> Vec<(String, String)> {
        let content = |entry: &Entry| match &entry.kind {
            Kind::File(Content::Bytes(bytes)) => String::from_utf8(bytes.clone()).unwrap(),
            Kind::Symlink(target) => format!("-> {}", target.display()),
            other => panic!("{other:?}"),
        };
        tree.iter().map(|(path, entry)| (path.to_string(), content(entry))).collect()
    }

    #[test]
    fn certificates_are_read_and_anything_else_is_refused() {
        let (certificate, key) = made();
        let cut = &certificate[..certificate.len() - 40];
        let damaged = certificate.replacen("MII", "AAA", 1);
        let table = [
            ("one, in words", format!("Corp CA\n{certificate}"), Ok(1)),
            ("two", format!("{certificate}{certificate}"), Ok(2)),
            ("a key too", format!("{certificate}{key}"), Err("a private key")),
            ("an indented key", format!("{certificate}  -----BEGIN RSA PRIVATE KEY-----\n"), Err("a private key")),
            ("a request", "-----BEGIN CERTIFICATE REQUEST-----\n".to_owned(), Err("holds `CERTIFICATE REQUEST`")),
            ("nothing", String::new(), Err("without a certificate in PEM")),
            ("garbage", damaged, Err("certificate 1 is damaged")),
            ("no base64", certificate.replacen("MII", "???", 1), Err("certificate 1 is damaged")),
            ("cut off", format!("{certificate}{cut}"), Err("certificate 2 is damaged")),
        ];
        for (comment, text, expected) in table {
            match (Certificate::read("certs/corp.pem", text.as_bytes()), expected) {
                (Ok(read), Ok(count)) => {
                    assert_eq!(read.len(), count, "{comment}");
                    assert_eq!(read[0].pem(), certificate, "{comment}");
                }
                (Err(error), Err(text)) => {
                    let said = error.to_string();
                    assert!(said.contains(text) && said.ends_with(": `certs/corp.pem`"), "{comment}: {said}");
                }
                (actual, _) => panic!("{comment}: {actual:?}"),
            }
        }
    }

    #[test]
    fn bundles_are_extended_wherever_the_base_has_them() {
        let (pem, _) = made();
        let certificates = Certificate::read("corp.pem", pem.repeat(2).as_bytes()).unwrap();
        let merged =
            |entries: &[(&str, ForeignKind)]| found(&Certificate::merged_into(&certificates, &base(entries)).unwrap());
        let text = |text: &str| ForeignKind::Text(text.to_owned());
        let link = |target: &str| ForeignKind::Symlink(target.to_owned());
        let own = |anchors: &str| [(format!("{anchors}/corp.crt"), pem.clone()), (NODE_FILE.to_owned(), pem.clone())];
        let others = own("/usr/local/share/ca-certificates");
        let expected = |bundles: &[(&str, &str)], own: &[(String, String)]| {
            let bundles = bundles.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
            let mut all: Vec<_> = bundles.chain(own.iter().cloned()).collect();
            all.sort();
            all
        };

        let alpine = [
            ("/etc/ssl/certs/ca-certificates.crt", text("old\n")),
            ("/etc/ssl/cert.pem", link("certs/ca-certificates.crt")),
        ];
        assert_eq!(
            merged(&alpine),
            expected(&[("/etc/ssl/certs/ca-certificates.crt", &format!("old\n{pem}"))], &others)
        );
        let none = expected(
            &[("/etc/ssl/certs/ca-certificates.crt", &pem), ("/etc/ssl/cert.pem", "-> certs/ca-certificates.crt")],
            &others,
        );
        assert_eq!(merged(&[]), none);
        let red_hat = [
            ("/etc/pki/ca-trust/source/anchors", ForeignKind::Directory),
            ("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", text("old")),
            ("/etc/pki/tls/certs/ca-bundle.crt", link("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem")),
            ("/etc/ssl/certs", link("../pki/tls/certs")),
        ];
        let bundle = [("/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", &*format!("old\n{pem}"))];
        assert_eq!(merged(&red_hat), expected(&bundle, &own("/etc/pki/ca-trust/source/anchors")));
    }

    #[test]
    fn a_bundle_that_was_not_read_is_not_replaced() {
        let certificates = Certificate::read("corp.pem", made().0.as_bytes()).unwrap();
        let base = base(&[("/etc/ssl/cert.pem", ForeignKind::File)]);
        let error = Certificate::merged_into(&certificates, &base).unwrap_err();
        assert!(matches!(error, CertificateError::Base(BaseFilesError::Unread(_))), "{error}");
    }

    #[test]
    fn certificates_of_one_name_get_numbers() {
        let certificates: Vec<Certificate> =
            (0..2).flat_map(|_| Certificate::read("corp.pem", made().0.as_bytes()).unwrap()).collect();
        let tree = Certificate::merged_into(&certificates, &BaseFiles::default()).unwrap();
        for name in ["corp.crt", "corp-2.crt"] {
            let path = ImagePath::new(format!("/usr/local/share/ca-certificates/{name}")).unwrap();
            assert!(tree.get(&path).is_some(), "{name}");
        }
    }
}
