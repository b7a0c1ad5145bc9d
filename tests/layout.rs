//! The validation that all other tests rely on finds what is wrong with a layout.

mod harness;

use std::fs;
use std::panic;
use std::path::Path;

use harness::{layout, sha256};
use serde_json::{Value, json};
use tempfile::TempDir;

const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An entry of a tar: its kind, name, link target and time.
type Entry = (u8, &'static str, &'static str, u64);

const DIRECTORY: u8 = b'5';
const FILE: u8 = b'0';
const HARD_LINK: u8 = b'1';

#[test]
fn a_good_layout_is_valid() {
    let folder = TempDir::new().unwrap();
    write(folder.path(), &[(DIRECTORY, "a/", "", 1), (FILE, "a/b", "", 1), (HARD_LINK, "a/c", "a/b", 1)], |_, _| {});
    let images = layout::validate(folder.path());
    assert_eq!(images["image"].files.bytes("a/c").unwrap(), "");
}

#[test]
fn entries_that_do_not_unpack_the_same_everywhere_are_found() {
    let table: [(&[Entry], &str); 8] = [
        (&[(FILE, "a/b", "", 1), (DIRECTORY, "a/", "", 1)], "a/b: comes before its directory"),
        (&[(FILE, "a", "", 1), (FILE, "a", "", 1)], "a: twice in one layer"),
        (&[(HARD_LINK, "a", "b", 1), (FILE, "b", "", 1)], "a: a hard link to no earlier file"),
        (&[(FILE, "a", "", 1), (HARD_LINK, "b", "/a", 1)], "b: a hard link to no earlier file"),
        (&[(FILE, "/a", "", 1)], "the name is absolute"),
        (&[(FILE, "../a", "", 1)], "the name is absolute"),
        (&[(FILE, "a", "", 1), (FILE, "b", "", 2)], "more than one time"),
        (&[(FILE, ".wh.a", "", 1)], "a whiteout"),
    ];
    for (entries, problem) in table {
        assert_invalid(entries, |_, _| {}, problem);
    }
}

#[test]
fn documents_at_odds_with_each_other_are_found() {
    type Change = fn(&mut Value, &mut Value);
    let table: [(Change, &str); 7] = [
        (|config, _| config["rootfs"]["diff_ids"][0] = sha256(b"").into(), "the diff ID is"),
        (|config, _| config["rootfs"]["diff_ids"] = json!([]), "0 diff IDs for 1 layers"),
        (|config, _| config["history"] = json!([]), "0 steps of history for 1 layers"),
        (|config, _| config["architecture"] = json!("arm64"), "the descriptor's architecture"),
        (|_, manifest| manifest["layers"][0]["size"] = json!(1), "bytes, not 1"),
        (|_, manifest| manifest["layers"][0]["digest"] = sha256(b"gone").into(), "there is no blob"),
        (|_, manifest| manifest["mediaType"] = Value::Null, "mediaType is null"),
    ];
    for (change, problem) in table {
        assert_invalid(&[(FILE, "a", "", 1)], change, problem);
    }
}

fn assert_invalid(entries: &[Entry], change: impl Fn(&mut Value, &mut Value), problem: &str) {
    let folder = TempDir::new().unwrap();
    write(folder.path(), entries, change);
    let found = panic::catch_unwind(|| layout::validate(folder.path())).expect_err(problem);
    let found = found.downcast_ref::<String>().expect("a panic says something");
    assert!(found.contains(problem), "wanted `{problem}`, found {found}");
}

/// Writes a layout of one image with one layer. `change` gets the config and the manifest; before the manifest, all is
/// as it should be.
fn write(dir: &Path, entries: &[Entry], change: impl Fn(&mut Value, &mut Value)) {
    let blob = |media_type: &str, bytes: &[u8]| {
        let digest = sha256(bytes);
        let path = dir.join("blobs").join(digest.replace(':', "/"));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let tar = tar(entries);
    let mut config = json!({
        "architecture": "amd64", "os": "linux", "history": [{}],
        "rootfs": {"type": "layers", "diff_ids": [sha256(&tar)]},
    });
    let mut manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": [blob(LAYER, &tar)],
    });
    change(&mut config, &mut manifest);
    manifest["config"] = blob("application/vnd.oci.image.config.v1+json", config.to_string().as_bytes());
    let mut image = blob("application/vnd.oci.image.manifest.v1+json", manifest.to_string().as_bytes());
    image["platform"] = json!({"architecture": "amd64", "os": "linux"});
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "image"});
    let index = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json", "manifests": [image],
    });
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion": "1.0.0"}"#).unwrap();
}

fn tar(entries: &[Entry]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (kind, name, target, mtime) in entries {
        let mut header = tar::Header::new_ustar();
        let fields = header.as_old_mut();
        // By hand, since the crate refuses names that are to be refused.
        fields.name[..name.len()].copy_from_slice(name.as_bytes());
        fields.linkname[..target.len()].copy_from_slice(target.as_bytes());
        fields.linkflag = [*kind];
        header.set_mode(0o644);
        header.set_uid(0);
        header.set_gid(0);
        header.set_size(0);
        header.set_mtime(*mtime);
        header.set_cksum();
        bytes.extend(header.as_bytes());
    }
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}
