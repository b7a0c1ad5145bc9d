use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::image_files::ImageFiles;
use super::layer::Layer;
use super::sha256;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const NAME: &str = "org.opencontainers.image.ref.name";

/// One image of a layout.
#[derive(Debug)]
pub struct Image {
    /// Its name in the layout.
    pub name: String,
    /// The digest of its manifest.
    pub digest: String,
    pub config: Value,
    pub files: ImageFiles,
}

/// Reads a whole image layout and checks all that the specification asks for, and what pirogue promises beyond: layers
/// that unpack the same everywhere. Gives the images by name; panics with everything that is wrong.
///
/// Shares no code with the library, so that a mistake is not made on both sides.
pub fn validate(dir: &Path) -> BTreeMap<String, Image> {
    let mut validation = Validation { dir: dir.to_owned(), ..Validation::default() };
    validation.layout();
    let problems = &validation.problems;
    assert!(problems.is_empty(), "{} is no good layout:\n  {}", dir.display(), problems.join("\n  "));
    validation.images
}

#[derive(Default)]
struct Validation {
    dir: PathBuf,
    problems: Vec<String>,
    /// Layers by the digest of their blob: images share them.
    layers: BTreeMap<String, Layer>,
    images: BTreeMap<String, Image>,
}

impl Validation {
    fn layout(&mut self) {
        let marker = self.json_file("oci-layout");
        self.expect(marker["imageLayoutVersion"] == "1.0.0", || "oci-layout: the version is not 1.0.0".to_owned());
        let mut index = self.json_file("index.json");
        if index["mediaType"].is_null() {
            index["mediaType"] = INDEX.into(); // optional, and skopeo 1.9 leaves it out
        }
        self.index_document("index.json", &index);
        let mut names = BTreeSet::new();
        for descriptor in entries(&index["manifests"]) {
            let name = descriptor["annotations"][NAME].as_str().unwrap_or_default().to_owned();
            self.expect(names.insert(name.clone()), || format!("index.json: the name `{name}` twice"));
            self.manifest_or_index(&name, descriptor);
        }
        for blob in fs::read_dir(self.dir.join("blobs/sha256")).into_iter().flatten().flatten() {
            let name = blob.file_name().to_string_lossy().into_owned();
            self.expect(is_hex(&name), || format!("blobs/sha256/{name}: no blob has such a name"));
        }
    }

    fn index_document(&mut self, whose: &str, index: &Value) {
        self.expect(index["schemaVersion"] == 2, || format!("{whose}: schemaVersion is not 2"));
        self.expect(index["mediaType"] == INDEX, || format!("{whose}: mediaType is {}", index["mediaType"]));
        self.expect(index["manifests"].is_array(), || format!("{whose}: no manifests"));
    }

    fn manifest_or_index(&mut self, name: &str, descriptor: &Value) {
        let Some(document) = self.json_blob(name, descriptor) else { return };
        match descriptor["mediaType"].as_str() {
            Some(INDEX) => {
                self.index_document(name, &document);
                for inner in entries(&document["manifests"]) {
                    let platform = &inner["platform"];
                    let platform = format!("{}/{}", platform["os"], platform["architecture"]).replace('"', "");
                    self.manifest_or_index(&format!("{name} {platform}"), inner);
                }
            }
            Some(MANIFEST) => self.manifest(name, descriptor, &document, CONFIG),
            Some(DOCKER_MANIFEST) => self.manifest(name, descriptor, &document, DOCKER_CONFIG),
            other => self.problems.push(format!("{name}: the media type {other:?}")),
        }
    }

    fn manifest(&mut self, name: &str, descriptor: &Value, manifest: &Value, config_type: &str) {
        self.expect(manifest["schemaVersion"] == 2, || format!("{name}: schemaVersion is not 2"));
        let (said, is) = (&manifest["mediaType"], &descriptor["mediaType"]);
        self.expect(said == is, || format!("{name}: mediaType is {said}, in the descriptor {is}"));
        let said = &manifest["config"]["mediaType"];
        self.expect(said == config_type, || format!("{name}: the config's media type is {said}"));
        let family = config_type.split('.').take(2).collect::<Vec<_>>().join(".");
        for layer in entries(&manifest["layers"]) {
            let said = layer["mediaType"].as_str().unwrap_or_default();
            let agree = said.starts_with(&family);
            self.expect(agree, || format!("{name}: a layer of the type `{said}` under a config of `{config_type}`"));
        }
        let Some(config) = self.json_blob(name, &manifest["config"]) else { return };
        self.config(name, &config, entries(&manifest["layers"]).count());
        for key in ["os", "architecture", "variant"] {
            let (said, is) = (&descriptor["platform"][key], &config[key]);
            let agree = descriptor["platform"].is_null() || said == is;
            self.expect(agree, || format!("{name}: the descriptor's {key} is {said}, the config's {is}"));
        }
        let mut files = ImageFiles::default();
        for (number, descriptor) in entries(&manifest["layers"]).enumerate() {
            let whose = format!("{name}, layer {number}");
            let Some(layer) = self.layer(&whose, descriptor) else { continue };
            let diff_id = config["rootfs"]["diff_ids"][number].as_str().unwrap_or_default();
            let mut problems = files.lay(layer);
            if layer.diff_id != diff_id {
                problems.push(format!("the diff ID is {}, the config says `{diff_id}`", layer.diff_id));
            }
            self.problems.extend(problems.iter().map(|problem| format!("{whose}: {problem}")));
        }
        let digest = descriptor["digest"].as_str().unwrap_or_default().to_owned();
        self.images.insert(name.to_owned(), Image { name: name.to_owned(), digest, config, files });
    }

    fn config(&mut self, name: &str, config: &Value, layers: usize) {
        self.expect(config["rootfs"]["type"] == "layers", || format!("{name}: rootfs is not of layers"));
        let diff_ids = entries(&config["rootfs"]["diff_ids"]).count();
        self.expect(diff_ids == layers, || format!("{name}: {diff_ids} diff IDs for {layers} layers"));
        let history = entries(&config["history"]).filter(|step| step["empty_layer"] != true).count();
        self.expect(history == layers, || format!("{name}: {history} steps of history for {layers} layers"));
        for key in ["os", "architecture"] {
            self.expect(config[key].is_string(), || format!("{name}: the config has no {key}"));
        }
    }

    /// A layer, read once however many images have it.
    fn layer(&mut self, whose: &str, descriptor: &Value) -> Option<&Layer> {
        let (digest, media_type) = (descriptor["digest"].as_str()?.to_owned(), descriptor["mediaType"].as_str()?);
        if !self.layers.contains_key(&digest) {
            let blob = self.blob(whose, descriptor)?;
            let layer = Layer::read(media_type, &blob);
            self.problems.extend(layer.problems.iter().map(|problem| format!("{whose}: {problem}")));
            self.layers.insert(digest.clone(), layer);
        }
        self.layers.get(&digest)
    }

    /// The bytes that a descriptor names, if they are what it says.
    fn blob(&mut self, whose: &str, descriptor: &Value) -> Option<Vec<u8>> {
        let digest = descriptor["digest"].as_str().unwrap_or_default();
        let hex = digest.strip_prefix("sha256:").filter(|hex| is_hex(hex));
        let bytes = hex.and_then(|hex| fs::read(self.dir.join("blobs/sha256").join(hex)).ok());
        self.expect(bytes.is_some(), || format!("{whose}: there is no blob `{digest}`"));
        let bytes = bytes?;
        let size = &descriptor["size"];
        let agree = size.as_u64() == Some(bytes.len() as u64);
        self.expect(agree, || format!("{whose}: {digest} has {} bytes, not {size}", bytes.len()));
        let actual = sha256(&bytes);
        self.expect(actual == digest, || format!("{whose}: the blob `{digest}` is really `{actual}`"));
        Some(bytes)
    }

    fn json_blob(&mut self, whose: &str, descriptor: &Value) -> Option<Value> {
        let bytes = self.blob(whose, descriptor)?;
        let parsed = serde_json::from_slice(&bytes);
        self.expect(parsed.is_ok(), || format!("{whose}: {} is not JSON", descriptor["digest"]));
        parsed.ok()
    }

    fn json_file(&mut self, name: &str) -> Value {
        let parsed = fs::read(self.dir.join(name)).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
        self.expect(parsed.is_some(), || format!("{name} is missing, or not JSON"));
        parsed.unwrap_or_default()
    }

    fn expect(&mut self, holds: bool, problem: impl FnOnce() -> String) {
        if !holds {
            self.problems.push(problem());
        }
    }
}

fn entries(array: &Value) -> impl Iterator<Item = &Value> {
    array.as_array().into_iter().flatten()
}

fn is_hex(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}
