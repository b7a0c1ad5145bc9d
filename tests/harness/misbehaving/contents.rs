use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use super::super::sha256;

/// What one repository holds.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// By digest.
    pub blobs: BTreeMap<String, Vec<u8>>,
    /// By digest, with their media types.
    pub manifests: BTreeMap<String, (String, Vec<u8>)>,
    /// The digests of manifests.
    pub tags: BTreeMap<String, String>,
}

impl Contents {
    /// The manifest that a tag or digest names.
    pub fn manifest(&self, name: &str) -> Option<&(String, Vec<u8>)> {
        self.manifests.get(self.tags.get(name).map_or(name, String::as_str))
    }

    /// The digests that a manifest or index names and that are not here.
    pub fn missing(&self, manifest: &[u8]) -> Vec<String> {
        let document: Value = serde_json::from_slice(manifest).unwrap_or_default();
        let list = |key: &str| document[key].as_array().into_iter().flatten();
        let named = list("layers").chain(list("manifests")).chain(document.get("config"));
        let digests = named.filter_map(|descriptor| descriptor["digest"].as_str());
        let known = |digest: &str| self.blobs.contains_key(digest) || self.manifests.contains_key(digest);
        digests.filter(|digest| !known(digest)).map(str::to_owned).collect()
    }

    /// Takes all images of a layout; the first gets the tag.
    pub fn take_layout(&mut self, layout: &Path, tag: &str) {
        let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).expect("there is an index"))
            .expect("the index is JSON");
        let first = index["manifests"][0]["digest"].as_str().expect("the layout has an image");
        self.tags.insert(tag.to_owned(), first.to_owned());
        for file in fs::read_dir(layout.join("blobs/sha256")).expect("there are blobs").flatten() {
            let bytes = fs::read(file.path()).expect("a blob can be read");
            let document: Value = serde_json::from_slice(&bytes).unwrap_or_default();
            match document["mediaType"].as_str() {
                Some(media_type) => self.manifests.insert(sha256(&bytes), (media_type.to_owned(), bytes)).map(|_| ()),
                None => self.blobs.insert(sha256(&bytes), bytes).map(|_| ()),
            };
        }
    }

    /// Writes a layout with what a tag names, as it is held here: nothing is checked.
    pub fn write_layout(&self, tag: &str, layout: &Path) {
        let blobs = layout.join("blobs/sha256");
        fs::create_dir_all(&blobs).expect("a directory can be made");
        let manifests = self.manifests.iter().map(|(digest, (_, bytes))| (digest, bytes));
        for (digest, bytes) in manifests.chain(&self.blobs) {
            fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes).expect("a file can be written");
        }
        let digest = &self.tags[tag];
        let (media_type, bytes) = &self.manifests[digest];
        let descriptor = json!({
            "mediaType": media_type, "digest": digest, "size": bytes.len(),
            "annotations": {"org.opencontainers.image.ref.name": tag},
        });
        let media_type = "application/vnd.oci.image.index.v1+json";
        let index = json!({"schemaVersion": 2, "mediaType": media_type, "manifests": [descriptor]});
        fs::write(layout.join("index.json"), index.to_string()).expect("a file can be written");
        fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).expect("a file can be written");
    }
}
