use std::io::{self, Read};

use super::segment::member;
use super::signature::{PublicKey, Signature, Verdict, verdict};
use super::{ApkError, Package, parse_index};

/// The most bytes of an index; that of all of Alpine's community packages has ten million.
const LIMIT: u64 = 256 << 20;

/// What a file of version 3 of apk's formats begins with.
pub(super) const ADB: &[u8] = b"ADB";

/// The packages of a repository, by its `APKINDEX.tar.gz`, which somebody trusted must have signed.
pub fn signed_index(bytes: &[u8], keys: &[PublicKey], from: &str) -> Result<Vec<Package>, ApkError> {
    if bytes.starts_with(ADB) {
        return Err(ApkError::IndexOfVersion3(from.to_owned()));
    }
    let damaged = |source: io::Error| ApkError::DamagedIndex { source, from: from.to_owned() };
    let mut rest = bytes;
    // Of an index that nobody signed the first member is all there is.
    let (_, first) = member(&mut rest, LIMIT).map_err(damaged)?;
    let signatures = signatures(&first);
    if signatures.is_empty() {
        return Err(ApkError::UnsignedIndex(from.to_owned()));
    }
    match verdict(&signatures, rest, keys) {
        Verdict::Valid => {}
        Verdict::Wrong => return Err(ApkError::WrongIndexSignature(from.to_owned())),
        Verdict::Unknown => {
            let signers = signatures.into_iter().map(|signature| signature.key).collect();
            return Err(ApkError::UnknownIndexKey { signers, from: from.to_owned() });
        }
    }
    let (_, tar) = member(&mut rest, LIMIT).map_err(damaged)?;
    let mut archive = tar::Archive::new(&tar[..]);
    for entry in archive.entries().map_err(damaged)? {
        let mut entry = entry.map_err(damaged)?;
        if *entry.path_bytes() == *b"APKINDEX" {
            let mut text = String::new();
            entry.read_to_string(&mut text).map_err(damaged)?;
            return parse_index(&text);
        }
    }
    Err(damaged(io::Error::other("there is no `APKINDEX` in it")))
}

/// The signatures that a segment's tar holds; none where it is not one of signatures.
pub(super) fn signatures(tar: &[u8]) -> Vec<Signature> {
    let mut signatures = Vec::new();
    let mut archive = tar::Archive::new(tar);
    let Ok(entries) = archive.entries() else { return signatures };
    for mut entry in entries.map_while(Result::ok) {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut bytes = Vec::new();
        // One that is cut off is none.
        if entry.read_to_end(&mut bytes).is_ok() {
            signatures.extend(Signature::of_file(&name, bytes));
        }
    }
    signatures
}
