//! A repository of Alpine packages: a writer of packages and of the index, with a key of its own.
//!
//! Sources: the Alpine wiki, "Apk spec"; apk-package(5). Shares no code with the library.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::{Compression, write::GzEncoder};
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use std::io::Write as _;
use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::program;

/// An RSA key, made by openssl.
pub struct Key {
    /// As signatures name it.
    pub name: String,
    dir: TempDir,
}

impl Key {
    /// A new key; `None`, with a word on it, where openssl is not installed.
    pub fn new(name: &str) -> Option<Self> {
        if !program::are_installed(&["openssl"]) {
            return None;
        }
        let key = Self { name: name.to_owned(), dir: TempDir::new().expect("a temporary directory can be made") };
        let private = key.private();
        program::run(Command::new("openssl").args(["genrsa", "-out"]).arg(&private).arg("2048"));
        let public = key.dir.path().join("public.pem");
        program::run(Command::new("openssl").args(["rsa", "-pubout", "-in"]).arg(private).arg("-out").arg(public));
        Some(key)
    }

    fn private(&self) -> PathBuf {
        self.dir.path().join("private.pem")
    }

    /// The PEM of the public key.
    pub fn public(&self) -> String {
        fs::read_to_string(self.dir.path().join("public.pem")).expect("openssl wrote it")
    }

    /// The segment with a signature of `bytes`: `hash` is `sha1` or `sha256`.
    pub fn signature(&self, bytes: &[u8], hash: &str) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(["dgst", &format!("-{hash}"), "-sign"])
            .arg(self.private())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("openssl starts");
        child.stdin.take().expect("it is piped").write_all(bytes).expect("openssl reads");
        let output = child.wait_with_output().expect("openssl ends");
        assert!(output.status.success());
        let algorithm = if hash == "sha1" { "RSA" } else { "RSA256" };
        let name = format!(".SIGN.{algorithm}.{}", self.name);
        gzip(&cut(tar(&[Entry::file(&name, &output.stdout)])))
    }
}

/// Something in a package.
#[derive(Clone)]
pub struct Entry {
    pub path: String,
    pub kind: EntryType,
    pub content: Vec<u8>,
    pub target: String,
    pub mode: u32,
    pub owner: (u64, u64),
    /// The names of user and group.
    pub names: (String, String),
    /// PAX records besides the checksum.
    pub records: Vec<(String, String)>,
}

impl Entry {
    fn new(path: &str, kind: EntryType, mode: u32) -> Self {
        Self {
            path: path.to_owned(),
            kind,
            content: Vec::new(),
            target: String::new(),
            mode,
            owner: (0, 0),
            names: ("root".to_owned(), "root".to_owned()),
            records: Vec::new(),
        }
    }

    pub fn directory(path: &str) -> Self {
        Self::new(path, EntryType::Directory, 0o755)
    }

    pub fn file(path: &str, content: impl AsRef<[u8]>) -> Self {
        Self { content: content.as_ref().to_vec(), ..Self::new(path, EntryType::Regular, 0o644) }
    }

    pub fn program(path: &str, content: impl AsRef<[u8]>) -> Self {
        Self { mode: 0o755, ..Self::file(path, content) }
    }

    pub fn symlink(path: &str, target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::new(path, EntryType::Symlink, 0o777) }
    }

    pub fn hard_link(path: &str, target: &str) -> Self {
        Self { target: target.to_owned(), ..Self::new(path, EntryType::Link, 0o755) }
    }

    pub fn mode(self, mode: u32) -> Self {
        Self { mode, ..self }
    }

    pub fn owner(self, uid: u64, user: &str, gid: u64, group: &str) -> Self {
        Self { owner: (uid, gid), names: (user.to_owned(), group.to_owned()), ..self }
    }

    pub fn record(mut self, name: &str, value: &str) -> Self {
        self.records.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A package as it is written.
#[derive(Clone, Default)]
pub struct Apk {
    pub name: String,
    pub version: String,
    pub arch: String,
    /// Lines of `.PKGINFO` besides the usual ones, such as `depend = musl`, which are fields of the index too.
    pub info: Vec<(String, String)>,
    pub entries: Vec<Entry>,
    /// By their names without a dot.
    pub scripts: Vec<(String, String)>,
}

/// The fields of the index that lines of `.PKGINFO` become.
const FIELDS: [(&str, char); 5] =
    [("origin", 'o'), ("provider_priority", 'k'), ("depend", 'D'), ("provides", 'p'), ("install_if", 'i')];

/// A package's file, and what the index says of it.
pub struct Built {
    pub bytes: Vec<u8>,
    pub index: String,
    /// `Q1…`
    pub checksum: String,
}

impl Apk {
    pub fn new(name: &str, version: &str) -> Self {
        Self { name: name.to_owned(), version: version.to_owned(), arch: "x86_64".to_owned(), ..Self::default() }
    }

    pub fn info(mut self, key: &str, value: &str) -> Self {
        self.info.push((key.to_owned(), value.to_owned()));
        self
    }

    /// For another processor.
    pub fn arch(self, arch: &str) -> Self {
        Self { arch: arch.to_owned(), ..self }
    }

    pub fn depends(self, on: &str) -> Self {
        self.info("depend", on)
    }

    pub fn provides(self, name: &str) -> Self {
        self.info("provides", name)
    }

    /// With an entry, and the directories above it.
    pub fn with(mut self, entry: Entry) -> Self {
        for (slash, _) in entry.path.match_indices('/') {
            let directory = &entry.path[..slash];
            if !self.entries.iter().any(|known| known.path == directory) {
                self.entries.push(Entry::directory(directory));
            }
        }
        self.entries.push(entry);
        self
    }

    pub fn script(mut self, name: &str, text: &str) -> Self {
        self.scripts.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Writes it, signed with a key or not.
    pub fn build(&self, key: Option<&Key>) -> Built {
        let data = gzip(&tar(&self.entries));
        let data_hash = super::sha256(&data).replace("sha256:", "");
        let Self { name, version, arch, .. } = self;
        let size: usize = self.entries.iter().map(|entry| entry.content.len()).sum();
        let mut info = format!(
            "pkgname = {name}\npkgver = {version}\npkgdesc = for tests\nurl = https://example.com\nbuilddate = 1722000000\n\
             size = {size}\narch = {arch}\nlicense = MIT\n"
        );
        for (key, value) in &self.info {
            info.push_str(&format!("{key} = {value}\n"));
        }
        info.push_str(&format!("datahash = {data_hash}\n"));
        let mut control = vec![Entry::file(".PKGINFO", info)];
        control.extend(self.scripts.iter().map(|(name, text)| Entry::program(&format!(".{name}"), text)));
        let control = gzip(&cut(tar(&control)));
        let checksum = format!("Q1{}", STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &control)));
        let signature = key.map(|key| key.signature(&control, "sha1")).unwrap_or_default();
        let bytes = [signature, control, data].concat();
        let mut index = format!(
            "C:{checksum}\nP:{name}\nV:{version}\nA:{arch}\nS:{}\nI:{size}\nT:for tests\nU:https://example.com\nL:MIT\n",
            bytes.len()
        );
        index.push_str("t:1722000000\n");
        for (key, field) in FIELDS {
            let values: Vec<&str> =
                self.info.iter().filter(|(known, _)| known == key).map(|(_, value)| value.as_str()).collect();
            if !values.is_empty() {
                index.push_str(&format!("{field}:{}\n", values.join(" ")));
            }
        }
        Built { bytes, index, checksum }
    }
}

/// An index of these packages, as it is signed.
pub fn index(packages: &[Built], key: Option<&Key>, hash: &str) -> Vec<u8> {
    let text: String = packages.iter().map(|package| format!("{}\n", package.index)).collect();
    let index = gzip(&tar(&[Entry::file("DESCRIPTION", "tests"), Entry::file("APKINDEX", text)]));
    let signature = key.map(|key| key.signature(&index, hash)).unwrap_or_default();
    [signature, index].concat()
}

/// Writes a repository into a folder, for x86_64 and whatever other processors its packages are for. Its index names these
/// packages alone; files of others stay.
pub fn write_repository(folder: &Path, packages: &[Apk], key: &Key) {
    let arches: BTreeSet<&str> = packages.iter().map(|package| package.arch.as_str()).chain(["x86_64"]).collect();
    for arch in arches {
        let folder = folder.join(arch);
        fs::create_dir_all(&folder).expect("a directory can be made");
        let mut all = Vec::new();
        for package in packages.iter().filter(|package| package.arch == arch) {
            let built = package.build(Some(key));
            let name = format!("{}-{}.apk", package.name, package.version);
            fs::write(folder.join(name), &built.bytes).expect("a file can be written");
            all.push(built);
        }
        fs::write(folder.join("APKINDEX.tar.gz"), index(&all, Some(key), "sha1")).expect("a file can be written");
    }
}

/// A tar as abuild makes it: a PAX record with the checksum of each file and link.
fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for entry in entries {
        let mut header = Header::new_ustar();
        header.set_entry_type(entry.kind);
        header.set_mode(entry.mode);
        header.set_uid(entry.owner.0);
        header.set_gid(entry.owner.1);
        header.set_username(&entry.names.0).expect("the name is short");
        header.set_groupname(&entry.names.1).expect("the name is short");
        header.set_mtime(1_722_000_000);
        header.set_size(entry.content.len() as u64);
        if !entry.target.is_empty() {
            header.set_link_name(&entry.target).expect("the target is short");
        }
        let summed = if entry.kind == EntryType::Symlink { entry.target.as_bytes() } else { &entry.content };
        let checksum: String =
            digest(&SHA1_FOR_LEGACY_USE_ONLY, summed).as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
        let mut records: Vec<(&str, &[u8])> = Vec::new();
        if matches!(entry.kind, EntryType::Regular | EntryType::Symlink) && !entry.path.starts_with('.') {
            records.push(("APK-TOOLS.checksum.SHA1", checksum.as_bytes()));
        }
        records.extend(entry.records.iter().map(|(name, value)| (name.as_str(), value.as_bytes())));
        append_records(&mut tar, &records);
        // As it is, so that a test can write names that should not be.
        let name = header.as_ustar_mut().expect("it is one");
        assert!(entry.path.len() < 100);
        name.name[..entry.path.len()].copy_from_slice(entry.path.as_bytes());
        header.set_cksum();
        tar.append(&header, &entry.content[..]).expect("memory can be written");
    }
    tar.into_inner().expect("memory can be written")
}

/// The records of an entry, with every field of their header filled in: apk reads them all.
fn append_records(tar: &mut Builder<Vec<u8>>, records: &[(&str, &[u8])]) {
    if records.is_empty() {
        return;
    }
    let mut content = Vec::new();
    for (name, value) in records {
        // The length counts its own digits.
        let rest = name.len() + value.len() + 3;
        let length = (1..).map(|digits| rest + digits).find(|length| length.to_string().len() + rest == *length);
        content.extend(format!("{} {name}=", length.expect("there is one")).into_bytes());
        content.extend(*value);
        content.push(b'\n');
    }
    let mut header = Header::new_ustar();
    header.set_path("PaxHeaders").expect("the name is short");
    header.set_entry_type(EntryType::XHeader);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(content.len() as u64);
    header.set_cksum();
    tar.append(&header, &content[..]).expect("memory can be written");
}

/// A tar without the zeros at its end, so that another may follow.
fn cut(mut tar: Vec<u8>) -> Vec<u8> {
    tar.truncate(tar.len() - 1024);
    tar
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut writer = GzEncoder::new(Vec::new(), Compression::default());
    writer.write_all(bytes).expect("memory can be written");
    writer.finish().expect("memory can be written")
}

/// The checksum of a file as databases have it.
pub fn checksum(content: &[u8]) -> String {
    format!("Q1{}", STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, content)))
}
