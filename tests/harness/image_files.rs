use std::collections::BTreeMap;

use bytes::Bytes;

use super::layer::{EntryKind, Layer};

/// One thing in an image. A hard link is a file with the content of the other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageFile {
    pub kind: FileKind,
    pub mode: u32,
    pub uid: u64,
    pub gid: u64,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileKind {
    Directory,
    File(Bytes),
    Symlink(String),
}

/// The merged file system of an image, by path without a leading slash.
#[derive(Clone, Debug, Default)]
pub struct ImageFiles {
    files: BTreeMap<String, ImageFile>,
}

impl ImageFiles {
    /// Lays `layer` over what is there, and tells what a reader might stumble over.
    pub fn lay(&mut self, layer: &Layer) -> Vec<String> {
        let mut problems = Vec::new();
        for entry in &layer.entries {
            let path = &entry.path;
            if let Some((parent, _)) = path.rsplit_once('/')
                && !self.is_directory(parent)
            {
                problems.push(format!("{path}: comes before its directory, or has none"));
            }
            let kind = match &entry.kind {
                EntryKind::Directory => FileKind::Directory,
                EntryKind::File => FileKind::File(entry.bytes.clone()),
                EntryKind::Symlink(target) => FileKind::Symlink(target.clone()),
                EntryKind::HardLink(target) => match self.files.get(target) {
                    Some(other) if matches!(other.kind, FileKind::File(_)) => {
                        if (other.mode, other.uid, other.gid) != (entry.mode, entry.uid, entry.gid) {
                            problems.push(format!("{path}: a hard link with a mode or owner of its own"));
                        }
                        other.kind.clone()
                    }
                    _ => {
                        problems.push(format!("{path}: a hard link to no file: `{target}`"));
                        continue;
                    }
                },
            };
            let file = ImageFile { kind, mode: entry.mode, uid: entry.uid, gid: entry.gid };
            if let Some(below) = self.files.insert(path.clone(), file.clone())
                && (below.kind == FileKind::Directory) != (file.kind == FileKind::Directory)
            {
                problems.push(format!("{path}: a directory in place of something else, or the other way round"));
            }
        }
        problems
    }

    pub fn get(&self, path: &str) -> Option<&ImageFile> {
        self.files.get(path)
    }

    pub fn iter(&self) -> impl Iterator<Item = (&str, &ImageFile)> {
        self.files.iter().map(|(path, file)| (path.as_str(), file))
    }

    /// What comes from `path` on, in the order of the paths.
    pub fn range(&self, path: &str) -> impl Iterator<Item = (&str, &ImageFile)> {
        self.files.range(path.to_owned()..).map(|(path, file)| (path.as_str(), file))
    }

    pub fn is_directory(&self, path: &str) -> bool {
        self.get(path).is_some_and(|file| file.kind == FileKind::Directory)
    }

    /// The content of a file.
    pub fn bytes(&self, path: &str) -> Option<&Bytes> {
        match &self.get(path)?.kind {
            FileKind::File(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Where a link leads.
    pub fn link(&self, path: &str) -> Option<&str> {
        match &self.get(path)?.kind {
            FileKind::Symlink(target) => Some(target),
            _ => None,
        }
    }

    /// The place that a relative link leads to, without `..`.
    pub fn link_leads_to(&self, path: &str) -> Option<String> {
        let mut parts: Vec<&str> = path.split('/').collect();
        parts.pop();
        for part in self.link(path)?.split('/') {
            match part {
                "" => return None, // absolute
                "." => {}
                ".." => _ = parts.pop()?,
                name => parts.push(name),
            }
        }
        Some(parts.join("/"))
    }

    /// The installed packages: their directories, and `NAME@VERSION`.
    pub fn packages(&self) -> BTreeMap<&str, String> {
        let package_jsons = self.files.iter().filter_map(|(path, file)| {
            let dir = path.strip_suffix("/package.json")?;
            let (_, name) = dir.rsplit_once("/node_modules/")?;
            let is_package = name.split('/').count() == if name.starts_with('@') { 2 } else { 1 };
            match &file.kind {
                FileKind::File(bytes) if is_package => Some((dir, name, bytes)),
                _ => None,
            }
        });
        package_jsons
            .map(|(dir, name, bytes)| {
                let json: serde_json::Value = serde_json::from_slice(bytes).expect("a package.json is JSON");
                (dir, format!("{name}@{}", json["version"].as_str().unwrap_or("?")))
            })
            .collect()
    }
}
