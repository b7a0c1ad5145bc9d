use std::collections::BTreeSet;
use std::io::Read as _;

use bytes::Bytes;
use flate2::read::MultiGzDecoder;

use super::sha256;

const BLOCK: usize = 512;
const GZIP: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const ZSTD: &str = "application/vnd.oci.image.layer.v1.tar+zstd";
const TAR: &str = "application/vnd.oci.image.layer.v1.tar";
const DOCKER_GZIP: &str = "application/vnd.docker.image.rootfs.diff.tar.gzip";
const DOCKER_TAR: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// The records that stand in for what does not fit into a tar header. Any other would say something about the host.
const PAX_KEYS: [&str; 5] = ["gid", "linkpath", "path", "size", "uid"];

/// One entry of a layer.
#[derive(Clone, Debug)]
pub struct LayerEntry {
    /// Without a slash at either end.
    pub path: String,
    pub kind: EntryKind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
    pub mtime: u64,
    /// The content of a file.
    pub bytes: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EntryKind {
    Directory,
    File,
    Symlink(String),
    /// To an earlier entry of the same layer.
    HardLink(String),
}

/// A layer as a reader of our own sees it: every header field is looked at, and what should not be there is a problem.
#[derive(Debug)]
pub struct Layer {
    pub diff_id: String,
    pub entries: Vec<LayerEntry>,
    pub problems: Vec<String>,
}

impl Layer {
    pub fn read(media_type: &str, blob: &[u8]) -> Self {
        let mut problems = Vec::new();
        let mut tar = Vec::new();
        let read = match media_type {
            GZIP | DOCKER_GZIP => {
                // Flags and time of the first member: nothing there may differ from host to host.
                if blob.len() < 10 || blob[..3] != [0x1f, 0x8b, 8] || blob[3..8] != [0; 5] {
                    problems.push("the gzip header has a name, a time or a flag".to_owned());
                }
                MultiGzDecoder::new(blob).read_to_end(&mut tar)
            }
            ZSTD => zstd::Decoder::new(blob).and_then(|mut decoder| decoder.read_to_end(&mut tar)),
            TAR | DOCKER_TAR => (&mut &*blob).read_to_end(&mut tar),
            other => {
                problems.push(format!("`{other}` is no media type of a layer"));
                Ok(0)
            }
        };
        if let Err(error) = read {
            problems.push(format!("does not decompress: {error}"));
        }
        let mut layer = Self { diff_id: sha256(&tar), entries: Vec::new(), problems };
        if let Err(problem) = layer.read_tar(&Bytes::from(tar)) {
            layer.problems.push(problem);
        }
        layer.look_at_order();
        layer
    }

    fn read_tar(&mut self, tar: &Bytes) -> Result<(), String> {
        if !tar.len().is_multiple_of(BLOCK) {
            return Err("the tar ends inside a block".to_owned());
        }
        let mut at = 0;
        let mut pax = Vec::new();
        loop {
            let header = tar.get(at..at + BLOCK).ok_or("the tar has no end")?;
            if header.iter().all(|&byte| byte == 0) {
                break;
            }
            let header = Header(header);
            let name = header.name()?;
            header.refuse_oddities().map_err(|problem| format!("{name}: {problem}"))?;
            let size_in_header = header.number(124, 12)?;
            let size = record(&pax, "size").map_or(Ok(size_in_header), |size| size.parse().map_err(|_| "size"))?;
            let size = usize::try_from(size).map_err(|_| "size")?;
            let start = at + BLOCK;
            if start + size > tar.len() {
                return Err(format!("{name}: the tar ends inside the content"));
            }
            at = (start + size).next_multiple_of(BLOCK);
            if header.0[156] == b'x' {
                pax = pax_records(&tar[start..start + size])?;
                for (key, _) in pax.iter().filter(|(key, _)| !PAX_KEYS.contains(&key.as_str())) {
                    self.problems.push(format!("{name}: the PAX record `{key}`"));
                }
                continue;
            }
            let records = std::mem::take(&mut pax);
            let number = |key: &str, place, length| match record(&records, key) {
                Some(text) => text.parse().map_err(|_| format!("the PAX record {key} is no number: `{text}`")),
                None => header.number(place, length),
            };
            let name = record(&records, "path").map_or(name, str::to_owned);
            let target = record(&records, "linkpath").map_or(header.text(157, 100)?, str::to_owned);
            let kind = match header.0[156] {
                b'5' => EntryKind::Directory,
                b'0' => EntryKind::File,
                b'2' => EntryKind::Symlink(target),
                b'1' => EntryKind::HardLink(target),
                other => return Err(format!("{name}: an entry of the kind {:?}", char::from(other))),
            };
            if kind != EntryKind::File && size > 0 {
                self.problems.push(format!("{name}: has content, and is no file"));
            }
            if (kind == EntryKind::Directory) != name.ends_with('/') {
                self.problems.push(format!("{name}: a slash at the end is for directories, and for all of them"));
            }
            self.entries.push(LayerEntry {
                path: name.strip_suffix('/').unwrap_or(&name).to_owned(),
                kind,
                mode: u32::try_from(header.number(100, 8)?).map_err(|_| "mode")?,
                uid: number("uid", 108, 8)?,
                gid: number("gid", 116, 8)?,
                mtime: header.number(136, 12)?,
                bytes: tar.slice(start..start + size),
            });
        }
        let end = &tar[at..];
        if end.len() < 2 * BLOCK || end.iter().any(|&byte| byte != 0) {
            self.problems.push("the tar does not end with two blocks of zeros and nothing after".to_owned());
        }
        Ok(())
    }

    /// What can be said about the entries without the layers below.
    fn look_at_order(&mut self) {
        let problems = &mut self.problems;
        let mut files = BTreeSet::new();
        let mut seen = BTreeSet::new();
        for entry in &self.entries {
            let path = entry.path.as_str();
            if path.is_empty() || path.split('/').any(|part| matches!(part, "" | "." | "..")) {
                problems.push(format!("`{path}`: the name is absolute, or not the shortest"));
            }
            if path.rsplit('/').next().is_some_and(|name| name.starts_with(".wh.")) {
                problems.push(format!("{path}: a whiteout, where nothing is to be removed"));
            }
            if !seen.insert(path) {
                problems.push(format!("{path}: twice in one layer"));
            }
            match &entry.kind {
                EntryKind::File => _ = files.insert(path),
                EntryKind::HardLink(target) if !files.contains(target.as_str()) => {
                    problems.push(format!("{path}: a hard link to no earlier file of the layer: `{target}`"));
                }
                EntryKind::Symlink(target) if target.is_empty() => {
                    problems.push(format!("{path}: a link to nowhere"));
                }
                _ => {}
            }
        }
        let times: BTreeSet<u64> = self.entries.iter().map(|entry| entry.mtime).collect();
        if times.len() > 1 {
            problems.push(format!("more than one time: {times:?}"));
        }
    }
}

struct Header<'a>(&'a [u8]);

impl Header<'_> {
    fn text(&self, place: usize, length: usize) -> Result<String, String> {
        let field = &self.0[place..place + length];
        let end = field.iter().position(|&byte| byte == 0).unwrap_or(length);
        if field[end..].iter().any(|&byte| byte != 0) {
            return Err(format!("bytes after the end of a text at {place}"));
        }
        String::from_utf8(field[..end].to_vec()).map_err(|_| format!("a name that is not UTF-8 at {place}"))
    }

    fn number(&self, place: usize, length: usize) -> Result<u64, String> {
        let text = self.text(place, length)?;
        let text = text.trim_end();
        u64::from_str_radix(text, 8).map_err(|_| format!("no octal number at {place}: `{text}`"))
    }

    fn name(&self) -> Result<String, String> {
        let (prefix, name) = (self.text(345, 155)?, self.text(0, 100)?);
        Ok(if prefix.is_empty() { name } else { format!("{prefix}/{name}") })
    }

    fn refuse_oddities(&self) -> Result<(), String> {
        if &self.0[257..265] != b"ustar\x0000" {
            return Err("not POSIX ustar".to_owned());
        }
        let sum: u64 = self.0.iter().map(|&byte| u64::from(byte)).sum();
        let own: u64 = self.0[148..156].iter().map(|&byte| u64::from(byte)).sum();
        if self.number(148, 7)? != sum - own + 8 * u64::from(b' ') {
            return Err("a wrong checksum".to_owned());
        }
        for (what, place) in [("user", 265), ("group", 297)] {
            let name = self.text(place, 32)?;
            if !name.is_empty() {
                return Err(format!("the name of a {what}: `{name}`"));
            }
        }
        Ok(())
    }
}

fn record<'a>(records: &'a [(String, String)], key: &str) -> Option<&'a str> {
    records.iter().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
}

/// `LENGTH KEY=VALUE\n`, in a row. Source: POSIX.1-2001, pax Extended Header.
fn pax_records(mut bytes: &[u8]) -> Result<Vec<(String, String)>, String> {
    let mut records = Vec::new();
    while !bytes.is_empty() {
        let malformed = || "a malformed PAX record".to_owned();
        let space = bytes.iter().position(|&byte| byte == b' ').ok_or_else(malformed)?;
        let length: usize =
            std::str::from_utf8(&bytes[..space]).ok().and_then(|text| text.parse().ok()).ok_or_else(malformed)?;
        let record =
            bytes.get(space + 1..length).and_then(|record| record.strip_suffix(b"\n")).ok_or_else(malformed)?;
        let record = std::str::from_utf8(record).map_err(|_| malformed())?;
        let (key, value) = record.split_once('=').ok_or_else(malformed)?;
        records.push((key.to_owned(), value.to_owned()));
        bytes = &bytes[length..];
    }
    Ok(records)
}
