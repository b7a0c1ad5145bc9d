//! Bases with one C library or another, as far as their files can tell.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::sha256;

const DIRECTORIES: [&str; 8] = ["etc/", "home/", "lib/", "lib64/", "root/", "usr/", "usr/local/", "usr/local/bin/"];
const FILES: [(&str, &str); 4] = [
    ("etc/group", "root:x:0:\n"),
    ("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n"),
    ("etc/shadow", "root:*::0:::::\n"),
    ("usr/local/bin/node", "no program\n"),
];

/// Writes an image layout with one image for linux, in which no program can run. `loader` is the path of the C library's
/// loader.
pub fn write(layout: &Path, architecture: &str, loader: &str) {
    let layer = put(layout, &tar(loader), "application/vnd.oci.image.layer.v1.tar");
    write_upon(layout, architecture, &layer);
}

/// Writes an image layout around a layer, a plain tar, which lies in it already.
pub fn write_upon(layout: &Path, architecture: &str, layer: &Value) {
    let put = |bytes: &[u8], media_type: &str| put(layout, bytes, media_type);
    let config = json!({
        "architecture": architecture, "os": "linux",
        "config": {"Env": ["PATH=/usr/local/bin:/usr/bin:/bin"], "Cmd": ["node"]},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
        "history": [{"created": "2025-01-01T00:00:00Z", "created_by": "files"}],
    });
    let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": media_type, "config": config, "layers": [layer]});
    let mut manifest = put(manifest.to_string().as_bytes(), media_type);
    manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
    manifest["annotations"] = json!({"org.opencontainers.image.ref.name": "tiny"});
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [manifest]});
    fs::write(layout.join("index.json"), index.to_string()).expect("a file can be written");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file can be written");
}

/// Puts a blob into a layout. Gives its descriptor.
pub fn put(layout: &Path, bytes: &[u8], media_type: &str) -> Value {
    let (blobs, digest) = (layout.join("blobs/sha256"), sha256(bytes));
    fs::create_dir_all(&blobs).expect("a directory can be made");
    fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes).expect("a file can be written");
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

fn tar(loader: &str) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let directories = DIRECTORIES.map(|path| (path, EntryType::Directory, 0o755, ""));
    let files = FILES.into_iter().chain([(loader, "no program\n")]);
    let files = files.map(|(path, content)| (path, EntryType::Regular, 0o644, content));
    for (path, kind, mode, content) in directories.into_iter().chain(files) {
        let mut header = Header::new_ustar();
        header.set_path(path).expect("the name is short");
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(0);
        header.set_gid(0);
        header.set_mtime(0);
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, content.as_bytes()).expect("memory can be written");
    }
    tar.into_inner().expect("memory can be written")
}
