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
fn put(layout: &Path, bytes: &[u8], media_type: &str) -> Value {
    let (blobs, digest) = (layout.join("blobs/sha256"), sha256(bytes));
    fs::create_dir_all(&blobs).expect("a directory can be made");
    fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes).expect("a file can be written");
    json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
}

/// Writes the image layout that `from` would be after an update: a layer of these files on top of each image, another
/// version of Node, and attestations beside the images.
pub fn write_renewed(from: &Path, layout: &Path, node: &str, files: &[(&str, &str)]) {
    let read = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
        fs::read(from.join("blobs/sha256").join(digest)).expect("a blob can be read")
    };
    let json = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).expect("the document is JSON");
    let mut root = json(fs::read(from.join("index.json")).expect("there is an index"));
    let mut index = json(read(&root["manifests"][0]));
    let directories: Vec<&str> = ["etc/", "lib/", "lib/apk/", "lib/apk/db/"].into();
    let tar = tar_of(&directories, files);
    let layer = put(layout, &tar, "application/vnd.oci.image.layer.v1.tar");
    let images = index["manifests"].as_array_mut().expect("a list");
    for image in images.iter_mut() {
        let mut manifest = json(read(image));
        let mut config = json(read(&manifest["config"]));
        for layer in manifest["layers"].as_array().expect("a list") {
            put(layout, &read(layer), layer["mediaType"].as_str().expect("a text"));
        }
        manifest["layers"].as_array_mut().expect("a list").push(layer.clone());
        config["rootfs"]["diff_ids"].as_array_mut().expect("a list").push(layer["digest"].clone());
        let step = json!({"created": "2025-06-01T00:00:00Z", "created_by": "an update"});
        config["history"].as_array_mut().expect("a list").push(step);
        config["created"] = json!("2025-06-01T00:00:00Z");
        config["config"]["Env"] = json!(["PATH=/usr/local/bin:/usr/bin:/bin", format!("NODE_VERSION={node}")]);
        manifest["config"] = put(layout, config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
        let platform = image["platform"].take();
        *image = put(layout, manifest.to_string().as_bytes(), "application/vnd.oci.image.manifest.v1+json");
        image["platform"] = platform;
    }
    let empty = put(layout, b"{}", "application/vnd.oci.empty.v1+json");
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let attestation = json!({"schemaVersion": 2, "mediaType": media_type, "config": empty, "layers": [empty]});
    let mut attestation = put(layout, attestation.to_string().as_bytes(), media_type);
    attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
    images.insert(0, attestation);
    let mut entry = put(layout, index.to_string().as_bytes(), "application/vnd.oci.image.index.v1+json");
    entry["annotations"] = root["manifests"][0]["annotations"].take();
    root["manifests"] = json!([entry]);
    fs::write(layout.join("index.json"), root.to_string()).expect("a file can be written");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file can be written");
}

fn tar(loader: &str) -> Vec<u8> {
    let files: Vec<(&str, &str)> = FILES.into_iter().chain([(loader, "no program\n")]).collect();
    tar_of(&DIRECTORIES, &files)
}

fn tar_of(directories: &[&str], files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    let directories = directories.iter().map(|path| (*path, EntryType::Directory, 0o755, ""));
    let files = files.iter().map(|(path, content)| (*path, EntryType::Regular, 0o644, *content));
    for (path, kind, mode, content) in directories.chain(files) {
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
