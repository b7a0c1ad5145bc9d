//! Bases with one C library or another, as far as their files can tell.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::image_files::FileKind;
use super::{layout, sha256};

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
    write_with(layout, architecture, &[(loader, b"no program\n")]);
}

/// The same with further files, such as libraries.
pub fn write_with(layout: &Path, architecture: &str, files: &[(&str, &[u8])]) {
    let layer = put(layout, &tar(files), "application/vnd.oci.image.layer.v1.tar");
    write_upon(layout, architecture, &layer);
}

/// Writes an image layout with the files of another base that holds one image, in one layer, and these links instead of
/// what is at their places: the files of a directory that becomes a link lie where the link leads. A link ends in a
/// directory, which is made if it is not there.
pub fn write_linked(layout: &Path, from: &Path, architecture: &str, links: &[(&str, &str)]) {
    let images = layout::validate(from);
    let image = images.values().next().expect("the base holds an image");
    let real = |path: &str| {
        let mut place = path.to_owned();
        while let Some((link, target)) = links.iter().find(|(link, _)| place.starts_with(&format!("{link}/"))) {
            let parent = link.rsplit_once('/').map_or("", |(parent, _)| parent);
            let target = match target.strip_prefix('/') {
                Some(absolute) => absolute.to_owned(),
                None => format!("{parent}/{target}").trim_start_matches('/').to_owned(),
            };
            let mut names: Vec<&str> = Vec::new();
            for name in target.split('/') {
                if name == ".." {
                    names.pop();
                } else {
                    names.push(name)
                }
            }
            place = format!("{}{}", names.join("/"), &place[link.len()..]);
        }
        place
    };
    let mut entries = BTreeMap::new();
    for (link, target) in links {
        entries.insert((*link).to_owned(), (EntryType::Symlink, 0o777, 0, 0, target.as_bytes()));
        let end = real(&format!("{link}/"));
        entries.insert(end.trim_end_matches('/').to_owned(), (EntryType::Directory, 0o755, 0, 0, &[][..]));
    }
    for (path, file) in image.files.iter() {
        let (kind, content): (EntryType, &[u8]) = match &file.kind {
            FileKind::Directory => (EntryType::Directory, &[]),
            FileKind::File(bytes) => (EntryType::Regular, bytes),
            FileKind::Symlink(target) => (EntryType::Symlink, target.as_bytes()),
        };
        entries.entry(real(path)).or_insert((kind, file.mode, file.uid, file.gid, content));
    }
    let mut tar = Builder::new(Vec::new());
    for (path, (kind, mode, uid, gid, content)) in entries {
        let mut header = header(kind, mode);
        header.set_uid(uid);
        header.set_gid(gid);
        let path = if kind == EntryType::Directory { format!("{path}/") } else { path };
        match kind {
            EntryType::Symlink => {
                let target = std::str::from_utf8(content).expect("a target is a text");
                tar.append_link(&mut header, path, target)
            }
            _ => {
                header.set_size(content.len() as u64);
                tar.append_data(&mut header, path, content)
            }
        }
        .expect("memory can be written");
    }
    let tar = tar.into_inner().expect("memory can be written");
    write_upon(layout, architecture, &put(layout, &tar, "application/vnd.oci.image.layer.v1.tar"));
}

/// Writes an image layout with an index: an image for each of these platforms, of which each config says the architecture
/// alone, and the attestation that builders put beside it.
pub fn write_index(layout: &Path, platforms: &[(Value, &str)]) {
    let layer =
        |loader: &str| put(layout, &tar(&[(loader, b"no program\n")]), "application/vnd.oci.image.layer.v1.tar");
    let images: Vec<_> = platforms.iter().map(|(platform, loader)| (platform.clone(), layer(loader))).collect();
    write_index_upon(layout, &images);
}

/// The same around layers, plain tars, which lie in the layout already.
pub fn write_index_upon(layout: &Path, images: &[(Value, Value)]) {
    let mut manifests = Vec::new();
    for (platform, layer) in images {
        let architecture = platform["architecture"].as_str().expect("a platform has an architecture");
        let mut manifest = image(layout, architecture, layer);
        let mut attestation = image(layout, "unknown", &put(layout, b"{}", "application/vnd.in-toto+json"));
        attestation["platform"] = json!({"architecture": "unknown", "os": "unknown"});
        attestation["annotations"] = json!({"vnd.docker.reference.type": "attestation-manifest"});
        manifest["platform"] = platform.clone();
        manifests.extend([attestation, manifest]);
    }
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": manifests});
    name(layout, put(layout, index.to_string().as_bytes(), media_type));
}

/// Writes an image layout around a layer, a plain tar, which lies in it already.
pub fn write_upon(layout: &Path, architecture: &str, layer: &Value) {
    let mut manifest = image(layout, architecture, layer);
    manifest["platform"] = json!({"architecture": architecture, "os": "linux"});
    name(layout, manifest);
}

/// Puts an image of one layer into a layout. Gives the descriptor of its manifest.
fn image(layout: &Path, architecture: &str, layer: &Value) -> Value {
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
    put(manifest.to_string().as_bytes(), media_type)
}

/// Gives the manifest or index in a layout its name.
fn name(layout: &Path, mut descriptor: Value) {
    descriptor["annotations"] = json!({"org.opencontainers.image.ref.name": "tiny"});
    let media_type = "application/vnd.oci.image.index.v1+json";
    let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [descriptor]});
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

/// Writes the image layout that `from` would be after an update: a layer of these files on top of each image, another
/// version of Node, and attestations beside the images.
pub fn write_renewed(from: &Path, layout: &Path, node: &str, files: &[(&str, &str)]) {
    let directories = ["etc/", "lib/", "lib/apk/", "lib/apk/db/"].map(|path| (path, 0o755, ""));
    let files = files.iter().map(|(path, content)| (*path, 0o644, *content));
    let entries: Vec<(&str, u32, &str)> = directories.into_iter().chain(files).collect();
    write_changed(from, layout, &entries, |config| {
        config["config"]["Env"] = json!(["PATH=/usr/local/bin:/usr/bin:/bin", format!("NODE_VERSION={node}")]);
    });
}

/// Writes the image layout that `from` would be with another layer on top of each image, of these files and directories (each
/// a path, which of a directory ends with a slash, a mode and a content), after `change` of its config, with attestations
/// beside the images.
pub fn write_changed(from: &Path, layout: &Path, entries: &[(&str, u32, &str)], change: impl Fn(&mut Value)) {
    let read = |descriptor: &Value| {
        let digest = descriptor["digest"].as_str().expect("a digest").trim_start_matches("sha256:").to_owned();
        fs::read(from.join("blobs/sha256").join(digest)).expect("a blob can be read")
    };
    let json = |bytes: Vec<u8>| serde_json::from_slice::<Value>(&bytes).expect("the document is JSON");
    let mut root = json(fs::read(from.join("index.json")).expect("there is an index"));
    let mut index = json(read(&root["manifests"][0]));
    let entries: Vec<_> = entries.iter().map(|(path, mode, text)| (*path, *mode, text.as_bytes())).collect();
    let tar = tar_of(&entries);
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
        change(&mut config);
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

fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let directories = DIRECTORIES.iter().map(|path| (*path, 0o755, &b""[..]));
    let own = FILES.into_iter().map(|(path, text)| (path, 0o644, text.as_bytes()));
    let files = files.iter().map(|(path, content)| (*path, 0o644, *content));
    tar_of(&directories.chain(own).chain(files).collect::<Vec<_>>())
}

fn tar_of(entries: &[(&str, u32, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, mode, content) in entries {
        let kind = if path.ends_with('/') { EntryType::Directory } else { EntryType::Regular };
        let mut header = header(kind, *mode);
        header.set_path(path).expect("the name is short");
        header.set_size(content.len() as u64);
        header.set_cksum();
        tar.append(&header, *content).expect("memory can be written");
    }
    tar.into_inner().expect("memory can be written")
}

/// The header of an entry of root's, without path and size.
fn header(kind: EntryType, mode: u32) -> Header {
    let mut header = Header::new_ustar();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(0);
    header.set_size(0);
    header
}
