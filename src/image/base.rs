use std::borrow::Cow;
use std::collections::BTreeMap;

use super::BaseFilesError;
use crate::layer::{Content, Entry, FileTree, ForeignEntry, ForeignKind, Kind, LayerListing, Owner};
use crate::manifest::{Descriptor, ImageConfig, Manifest, Raw};
use crate::native::{BaseLibraries, Libc};
use crate::path::ImagePath;
use crate::platform::Platform;

/// The image that services are stacked on, resolved for one platform.
#[derive(Clone, Debug)]
pub struct BaseImage {
    /// As the user named it.
    pub name: String,
    /// The whole reference of the image in a registry, without the digest unless there is no tag; `None` where it comes
    /// from this machine's disk, whose names mean nothing elsewhere.
    pub reference: Option<String>,
    /// The platform it is for: what its config says, completed by what its index says.
    pub platform: Platform,
    /// Its manifest, as it came.
    pub manifest: Raw<Manifest>,
    /// Its config, as it came.
    pub config: Raw<ImageConfig>,
    /// Its layers, bottom first, with OCI media types whatever the manifest calls them.
    pub layers: Vec<Descriptor>,
}

/// The base's merged file system: which path is what, with the contents of a few small files.
#[derive(Clone, Debug, Default)]
pub struct BaseFiles {
    entries: BTreeMap<ImagePath, BaseEntry>,
}

/// One path of the base.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BaseEntry {
    /// What it is.
    pub kind: ForeignKind,
    /// Its permission bits.
    pub mode: u32,
    /// Its owner.
    pub owner: Owner,
}

/// Marks a path of a lower layer as deleted. Source: OCI image-spec, `layer.md`, "Whiteouts".
const WHITEOUT: &str = ".wh.";
/// Marks everything of lower layers in its directory as deleted. Source: the same, "Opaque Whiteout".
const OPAQUE: &str = ".wh..wh..opq";

impl BaseFiles {
    /// Merges layers, bottom first.
    pub fn merge<'a>(layers: impl IntoIterator<Item = &'a LayerListing>) -> Self {
        let mut merged = Self::default();
        for layer in layers {
            // Whiteouts speak of lower layers only, wherever in the layer they stand.
            layer.entries.iter().for_each(|entry| merged.white_out(entry));
            layer.entries.iter().for_each(|entry| merged.add(entry));
        }
        merged
    }

    /// What the base has at a path.
    pub fn get(&self, path: &ImagePath) -> Option<&BaseEntry> {
        self.entries.get(path)
    }

    /// Everything the base has, in the order of paths.
    pub fn iter(&self) -> impl Iterator<Item = (&ImagePath, &BaseEntry)> {
        self.entries.iter()
    }

    /// Whether the base has anything in a directory.
    pub fn has_below(&self, dir: &ImagePath) -> bool {
        self.entries.range(dir.below()).next().is_some()
    }

    /// The paths that the base has in a directory.
    pub fn below(&self, dir: &ImagePath) -> impl Iterator<Item = &ImagePath> {
        self.entries.range(dir.below()).map(|(path, _)| path)
    }

    /// The text of the file that a path leads to; `None` if there is none. An error if it is not among those that were kept.
    pub fn text(&self, path: &ImagePath) -> Result<Option<&str>, BaseFilesError> {
        let place = self.resolve(path)?;
        match self.get(&place).map(|entry| &entry.kind) {
            None => Ok(None),
            Some(ForeignKind::Text(text)) => Ok(Some(text)),
            Some(_) => Err(BaseFilesError::Unread(place)),
        }
    }

    /// The file that a path leads to, with `text` after its own, and where it lies.
    pub fn appended(&self, path: &ImagePath, text: &str) -> Result<(ImagePath, Entry), BaseFilesError> {
        let mut whole = self.text(path)?.unwrap_or_default().to_owned();
        if !whole.is_empty() && !whole.ends_with('\n') {
            whole.push('\n');
        }
        whole.push_str(text);
        self.rewritten(path, whole)
    }

    /// The file that a path leads to, with another text and the mode and owner it has, and where it lies.
    pub fn rewritten(&self, path: &ImagePath, text: String) -> Result<(ImagePath, Entry), BaseFilesError> {
        let place = self.resolve(path)?;
        let mut entry = Entry::file(Content::Bytes(text.into_bytes()), false, Owner { uid: 0, gid: 0 });
        if let Some(existing) = self.get(&place) {
            entry.mode = existing.mode;
            entry.owner = existing.owner;
        }
        Ok((place, entry))
    }

    /// The text of the file that a path leads to, if it is among those that were kept.
    pub fn kept_text(&self, path: &ImagePath) -> Option<&str> {
        self.text(path).ok().flatten()
    }

    /// The content of a file that was kept, as bytes.
    pub fn bytes(&self, path: &ImagePath) -> Option<&[u8]> {
        match &self.get(path)?.kind {
            ForeignKind::Text(text) => Some(text.as_bytes()),
            ForeignKind::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The files under a layer's entries: what a layer above both finds.
    pub fn under(&self, tree: &FileTree) -> Cow<'_, Self> {
        if tree.is_empty() {
            return Cow::Borrowed(self);
        }
        let mut files = self.clone();
        for (path, entry) in tree.iter() {
            let kind = match &entry.kind {
                Kind::Directory => ForeignKind::Directory,
                Kind::Symlink(target) => ForeignKind::Symlink(target.to_string_lossy().into_owned()),
                Kind::File(Content::Bytes(bytes)) => match String::from_utf8(bytes.clone()) {
                    Ok(text) => ForeignKind::Text(text),
                    Err(error) => ForeignKind::Bytes(error.into_bytes()),
                },
                Kind::File(_) | Kind::HardLink(_) => ForeignKind::File,
            };
            if kind != ForeignKind::Directory {
                files.remove_below(path);
            }
            files.entries.insert(path.clone(), BaseEntry { kind, mode: entry.mode, owner: entry.owner });
        }
        Cow::Owned(files)
    }

    /// The directory at a path as a layer above would repeat it, so that nothing about it changes.
    pub fn directory(&self, path: &ImagePath) -> Option<Entry> {
        let entry = self.get(path).filter(|entry| entry.kind == ForeignKind::Directory)?;
        Some(Entry { kind: Kind::Directory, mode: entry.mode, owner: entry.owner })
    }

    /// The C library that programs of the base use, in npm's words: `musl` or `glibc`; `None` where it has neither. A base
    /// of musl may have glibc's loader too, for programs made elsewhere; Node is not one of them.
    pub fn libc(&self) -> Option<&'static str> {
        let holds = |dirs: &[&str], starts: &[&str]| {
            dirs.iter().filter_map(|dir| ImagePath::new(dir).ok()).any(|dir| {
                let names =
                    self.entries.range(dir.below()).filter_map(|(path, _)| path.as_path().file_name()?.to_str());
                names.into_iter().any(|name| starts.iter().any(|start| name.starts_with(start)))
            })
        };
        if holds(&["/lib", "/usr/lib"], &["ld-musl-"]) {
            return Some("musl");
        }
        let glibc = holds(&["/lib", "/lib64", "/usr/lib", "/usr/lib64"], &["ld-linux", "libc.so.6", "ld64.so"]);
        glibc.then_some("glibc")
    }

    /// The libraries that native code is loaded with.
    pub fn libraries(&self) -> BaseLibraries {
        let paths = self.entries.keys().filter_map(|path| path.as_path().to_str());
        let described = |path: &str| match &self.entries.get(&ImagePath::new(path).ok()?)?.kind {
            ForeignKind::Library(library) => Some(library),
            _ => None,
        };
        BaseLibraries::of(self.libc().and_then(Libc::named), paths, described)
    }

    fn white_out(&mut self, entry: &ForeignEntry) {
        let Ok(path) = ImagePath::new(&entry.path) else { return };
        let Some((parent, name)) = path.parent().zip(path.as_path().file_name().and_then(|name| name.to_str())) else {
            return;
        };
        if name == OPAQUE {
            self.remove_below(&parent);
        } else if let Some(target) = name.strip_prefix(WHITEOUT).and_then(|name| parent.join(name).ok()) {
            self.remove_below(&target);
            self.entries.remove(&target);
        }
    }

    fn add(&mut self, entry: &ForeignEntry) {
        let Ok(path) = ImagePath::new(&entry.path) else { return };
        let is_whiteout =
            path.as_path().file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(WHITEOUT.as_bytes()));
        if is_whiteout {
            return;
        }
        if entry.kind != ForeignKind::Directory {
            self.remove_below(&path);
        }
        let owner = Owner { uid: entry.uid, gid: entry.gid };
        self.entries.insert(path, BaseEntry { kind: entry.kind.clone(), mode: entry.mode, owner });
    }

    fn remove_below(&mut self, dir: &ImagePath) {
        let below: Vec<ImagePath> = self.entries.range(dir.below()).map(|(path, _)| path.clone()).collect();
        for path in below {
            self.entries.remove(&path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(entries: &[(&str, ForeignKind)]) -> LayerListing {
        let entry = |(path, kind): &(&str, ForeignKind)| ForeignEntry {
            path: (*path).to_owned(),
            kind: kind.clone(),
            mode: 0o755,
            uid: 0,
            gid: 0,
        };
        LayerListing { entries: entries.iter().map(entry).collect() }
    }

    #[test]
    fn the_c_library_is_told_by_its_loader() {
        let table: [(&str, &[&str], Option<&str>); 5] = [
            ("Alpine", &["/lib/ld-musl-x86_64.so.1", "/lib/libc.musl-x86_64.so.1"], Some("musl")),
            ("Alpine with gcompat", &["/lib/ld-musl-x86_64.so.1", "/lib64/ld-linux-x86-64.so.2"], Some("musl")),
            ("Debian", &["/usr/lib/x86_64-linux-gnu/libc.so.6"], Some("glibc")),
            ("Debian on arm64", &["/lib/ld-linux-aarch64.so.1"], Some("glibc")),
            ("nothing", &["/node"], None),
        ];
        for (comment, files, expected) in table {
            let entries: Vec<_> = files.iter().map(|file| (*file, ForeignKind::File)).collect();
            assert_eq!(BaseFiles::merge([&listing(&entries)]).libc(), expected, "{comment}");
        }
    }

    #[test]
    fn paths_without_links() {
        let link = |target: &str| ForeignKind::Symlink(target.to_owned());
        let base = BaseFiles::merge([&listing(&[
            ("/usr", ForeignKind::Directory),
            ("/usr/lib", ForeignKind::Directory),
            ("/lib", link("usr/lib")),
            ("/lib64", link("/lib")),
            ("/usr/lib64", link("../lib")),
            ("/var/run", link("../run")),
            ("/circle", link("circle")),
            ("/above", link("../../usr")),
        ])]);
        let table = [
            ("no link", "/usr/lib/a", "/usr/lib/a"),
            ("one", "/lib/a/b", "/usr/lib/a/b"),
            ("two", "/lib64/a", "/usr/lib/a"),
            ("up, and another", "/usr/lib64/a", "/usr/lib/a"),
            ("to what is not there", "/var/run/a", "/run/a"),
            ("the link itself", "/lib", "/usr/lib"),
            ("a circle", "/circle/a", "/circle/a"),
            ("above the root", "/above/lib", "/usr/lib"),
            ("the root", "/", "/"),
        ];
        for (comment, path, expected) in table {
            let real = base.real_path(&ImagePath::new(path).unwrap());
            assert_eq!(real.to_string(), expected, "{comment}");
        }
    }

    #[test]
    fn upper_layers_replace_and_delete() {
        use ForeignKind::{Directory, File, Symlink, Text};
        let text = |text: &str| Text(text.to_owned());
        let lower = listing(&[
            ("/etc", Directory),
            ("/etc/passwd", text("root")),
            ("/etc/gone", File),
            ("/var", Directory),
            ("/var/run", Directory),
            ("/var/run/a", File),
            ("/opt", Directory),
            ("/opt/old", File),
        ]);
        let upper = listing(&[
            ("/etc/passwd", text("root, node")),
            ("/etc/.wh.gone", File),
            ("/var/run", Symlink("/run".to_owned())),
            ("/opt/new", File),
            ("/opt/.wh..wh..opq", File),
        ]);
        let merged = BaseFiles::merge([&lower, &upper]);
        let path = |path: &str| ImagePath::new(path).unwrap();
        assert_eq!(merged.text(&path("/etc/passwd")), Ok(Some("root, node")));
        assert_eq!(merged.get(&path("/etc/gone")), None);
        assert_eq!(merged.get(&path("/var/run/a")), None);
        assert!(matches!(merged.get(&path("/var/run")).unwrap().kind, Symlink(_)));
        assert_eq!(merged.get(&path("/opt/old")), None);
        assert!(merged.get(&path("/opt/new")).is_some());
        assert!(merged.directory(&path("/etc")).is_some());
        assert!(merged.directory(&path("/var/run")).is_none());
    }
}
