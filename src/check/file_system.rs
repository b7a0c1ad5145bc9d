//! The file system that a container of an image will have: that of the base under the planned layers. Nothing of it is
//! written anywhere; contents are read from where the plan takes them.

use std::borrow::Cow;
use std::ffi::OsStr;
use std::hash::BuildHasher as _;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use hashbrown::{DefaultHashBuilder, HashMap, HashSet, HashTable};

use super::CheckError;
use crate::digest::Digest;
use crate::host;
use crate::image::{BaseEntry, BaseFiles};
use crate::layer::{Content, Entry, FileTree, ForeignKind, Kind, LayerPlan, Owner};
use crate::path::{ImagePath, MOST_LINKS};

/// How paths are hashed. The layers of an image have the same, so that a path is hashed once for all of them.
#[derive(Clone, Debug, Default)]
pub struct PathHash(DefaultHashBuilder);

impl PathHash {
    fn of(&self, path: &[u8]) -> u64 {
        self.0.hash_one(path)
    }
}

/// The entries of a planned layer by their paths.
#[derive(Debug)]
pub struct LayerFiles {
    trees: Vec<Arc<FileTree>>,
    /// The tree of each entry and its position there.
    places: HashTable<(u32, u32)>,
    links: Vec<(u32, u32)>,
}

impl LayerFiles {
    /// The entries of a layer.
    pub fn of(plan: &LayerPlan, hash: &PathHash) -> Self {
        let trees: Vec<Arc<FileTree>> = plan.fragments.iter().map(|fragment| fragment.tree.clone()).collect();
        let count = trees.iter().map(|tree| tree.iter().count()).sum();
        let mut files = Self { places: HashTable::with_capacity(count), links: Vec::new(), trees };
        let positions = |count: usize| (0..).take(count);
        for (tree, entries) in positions(files.trees.len()).zip(&files.trees) {
            for (at, (path, entry)) in positions(entries.iter().count()).zip(entries.iter()) {
                let hash_of = |place: &(u32, u32)| hash.of(path_at(&files.trees, *place));
                let of_path = hash.of(bytes(path.as_path()));
                let is_it = |place: &(u32, u32)| path_at(&files.trees, *place) == bytes(path.as_path());
                // Where two fragments have a directory, the last one's entry counts, as when they are unpacked.
                match files.places.find_mut(of_path, is_it) {
                    Some(place) => *place = (tree, at),
                    None => _ = files.places.insert_unique(of_path, (tree, at), hash_of),
                }
                if matches!(entry.kind, Kind::Symlink(_)) {
                    files.links.push((tree, at));
                }
            }
        }
        files
    }

    fn get(&self, hash: u64, path: &[u8]) -> Option<&Entry> {
        let place = self.places.find(hash, |place| path_at(&self.trees, *place) == path)?;
        Some(self.at(*place)?.1)
    }

    fn at(&self, (tree, at): (u32, u32)) -> Option<(&ImagePath, &Entry)> {
        self.trees.get(tree as usize)?.at(at as usize)
    }

    fn iter(&self) -> impl Iterator<Item = (&ImagePath, &Entry)> {
        self.trees.iter().flat_map(|tree| tree.iter())
    }

    fn links(&self) -> impl Iterator<Item = (&ImagePath, &PathBuf)> {
        self.links.iter().filter_map(|place| match self.at(*place)? {
            (path, Entry { kind: Kind::Symlink(target), .. }) => Some((path, target)),
            _ => None,
        })
    }
}

fn path_at(trees: &[Arc<FileTree>], (tree, at): (u32, u32)) -> &[u8] {
    let path = trees.get(tree as usize).and_then(|tree| tree.at(at as usize));
    path.map(|(path, _)| bytes(path.as_path())).unwrap_or_default()
}

/// The merged file system of an image.
#[derive(Clone, Debug)]
pub struct ImageFiles {
    base: Arc<BaseFiles>,
    /// What the base has at its root: most of what is asked for lies elsewhere.
    base_roots: Arc<HashSet<Box<[u8]>>>,
    hash: PathHash,
    /// The uppermost first.
    layers: Vec<Arc<LayerFiles>>,
    /// Every symbolic link with its target.
    links: Arc<HashMap<Box<[u8]>, PathBuf>>,
}

/// What lies at a path of the image.
#[derive(Clone, Copy, Debug)]
pub enum Found<'a> {
    /// Of the base.
    Base(&'a ForeignKind, u32, Owner),
    /// Of a layer.
    Layer(&'a LayerFiles, &'a Entry),
}

impl Found<'_> {
    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        matches!(self, Self::Base(ForeignKind::Directory, ..))
            || matches!(self, Self::Layer(_, entry) if entry.kind == Kind::Directory)
    }

    /// Whether it is a regular file.
    pub fn is_file(&self) -> bool {
        matches!(self, Self::Base(ForeignKind::File | ForeignKind::Text(_) | ForeignKind::Bytes(_), ..))
            || matches!(self, Self::Layer(_, entry) if matches!(entry.kind, Kind::File(_) | Kind::HardLink(_)))
    }

    /// Its permission bits.
    pub fn mode(&self) -> u32 {
        match self {
            Self::Base(_, mode, _) => *mode,
            Self::Layer(_, entry) => entry.mode,
        }
    }

    /// Its owner.
    pub fn owner(&self) -> Owner {
        match self {
            Self::Base(.., owner) => *owner,
            Self::Layer(_, entry) => entry.owner,
        }
    }
}

impl ImageFiles {
    /// The file system of `layers`, bottom first, over a base; `hash` is that of all of them.
    pub fn new(base: Arc<BaseFiles>, layers: &[Arc<LayerFiles>], hash: &PathHash) -> Self {
        let mut links: HashMap<Box<[u8]>, PathBuf> = HashMap::new();
        let mut base_roots = HashSet::new();
        let mut add = |path: &ImagePath, target: PathBuf, above: &[Arc<LayerFiles>]| {
            let path = bytes(path.as_path());
            let of_path = hash.of(path);
            if above.iter().all(|layer| layer.get(of_path, path).is_none()) {
                links.insert(path.into(), target);
            }
        };
        for (path, entry) in base.iter() {
            let root = root_of(path.as_path());
            if !base_roots.contains(root) {
                base_roots.insert(root.into());
            }
            if let ForeignKind::Symlink(target) = &entry.kind {
                add(path, PathBuf::from(target), layers);
            }
        }
        for (at, layer) in layers.iter().enumerate() {
            layer.links().for_each(|(path, target)| add(path, target.clone(), &layers[at + 1..]));
        }
        Self {
            base,
            base_roots: Arc::new(base_roots),
            hash: hash.clone(),
            layers: layers.iter().rev().cloned().collect(),
            links: Arc::new(links),
        }
    }

    /// What lies at a path whose directories are no links; a link at its end is not followed.
    fn at(&self, path: &Path) -> Option<Found<'_>> {
        let hash = self.hash.of(bytes(path));
        for layer in &self.layers {
            if let Some(entry) = layer.get(hash, bytes(path)) {
                return Some(Found::Layer(layer, entry));
            }
        }
        if !self.base_roots.contains(root_of(path)) {
            return None;
        }
        let entry = self.base.get(&ImagePath::new(path).ok()?)?;
        Some(Found::Base(&entry.kind, entry.mode, entry.owner))
    }

    /// What lies at a path, links followed, with its real path.
    pub fn find(&self, path: &Path) -> Option<(PathBuf, Found<'_>)> {
        let real = self.real(path, true)?;
        if real == Path::new("/") {
            return Some((real, Found::Base(&ForeignKind::Directory, 0o755, Owner { uid: 0, gid: 0 })));
        }
        let found = self.at(&real)?;
        Some((real, found))
    }

    /// The target of a link, if one lies at the path.
    pub fn link(&self, path: &Path) -> Option<&Path> {
        self.links.get(bytes(&self.real(path, false)?)).map(PathBuf::as_path)
    }

    /// The path without links in it; with `whole`, its last name is no link either. What lies there need not exist.
    fn real(&self, path: &Path, whole: bool) -> Option<PathBuf> {
        let mut path = normal(path)?;
        for _ in 0..MOST_LINKS {
            let text = bytes(&path);
            let slashes = text.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
            let mut prefixes = slashes.chain(whole.then_some(text.len()));
            let Some((end, target)) = prefixes.find_map(|end| Some((end, self.links.get(&text[..end])?))) else {
                return Some(path);
            };
            let (link, rest) =
                (Path::new(OsStr::from_bytes(&text[..end])), text[end..].strip_prefix(b"/").unwrap_or_default());
            path = normal(&link.parent()?.join(target).join(OsStr::from_bytes(rest)))?;
        }
        None
    }

    /// The digest of a file's content, where it is known without reading it: of what layers hold.
    pub fn digest(&self, real: &Path) -> Option<Digest> {
        self.content(real).map(Content::digest)
    }

    /// The number of bytes of a file of a layer.
    pub fn size(&self, real: &Path) -> Option<u64> {
        self.content(real).map(Content::size)
    }

    fn content(&self, real: &Path) -> Option<&Content> {
        let Found::Layer(layer, entry) = self.at(real)? else { return None };
        let entry = match &entry.kind {
            Kind::HardLink(target) => {
                let target = bytes(target.as_path());
                layer.get(self.hash.of(target), target)?
            }
            _ => entry,
        };
        match &entry.kind {
            Kind::File(content) => Some(content),
            _ => None,
        }
    }

    /// The content of a file, given by its real path; `None` where there is none, or only the base knows it.
    pub fn read(&self, real: &Path) -> Result<Option<Cow<'_, [u8]>>, CheckError> {
        match self.content(real) {
            None => Ok(None),
            Some(Content::Bytes(bytes)) => Ok(Some(Cow::Borrowed(bytes))),
            Some(Content::Host { file, .. }) => match file.kept() {
                Some(kept) => Ok(Some(Cow::Borrowed(kept))),
                None => Ok(Some(Cow::Owned(host::read(&file.path())?))),
            },
            Some(Content::Archived { archive, offset, size, .. }) => {
                let mut buffer = Vec::new();
                archive.read(*offset, usize::try_from(*size).unwrap_or(usize::MAX), &mut buffer)?;
                Ok(Some(Cow::Owned(buffer)))
            }
        }
    }

    /// The paths of all files that layers hold, links apart.
    pub fn layer_files(&self) -> impl Iterator<Item = &Path> {
        self.layer_entries()
            .filter(|(_, entry)| matches!(entry.kind, Kind::File(_) | Kind::HardLink(_)))
            .map(|(path, _)| path.as_path())
    }

    /// Everything that layers hold.
    pub fn layer_entries(&self) -> impl Iterator<Item = (&ImagePath, &Entry)> {
        self.layers.iter().flat_map(|layer| layer.iter())
    }

    /// What the base has at a path, whatever a layer lays over it.
    pub fn of_base(&self, path: &ImagePath) -> Option<&BaseEntry> {
        self.base.get(path)
    }

    /// The paths of all files and directories that layers have below a directory.
    pub fn below<'a>(&'a self, directory: &'a Path) -> impl Iterator<Item = &'a Path> {
        // Every path of the image is compared, so by its bytes.
        let above = bytes(directory).strip_suffix(b"/").unwrap_or(bytes(directory));
        let is_below = move |path: &&Path| bytes(path).strip_prefix(above).is_some_and(|rest| rest.starts_with(b"/"));
        self.layer_entries().map(|(path, _)| path.as_path()).filter(is_below)
    }

    /// Whether the base has a program anywhere: a file that can be run and is no script of a shell.
    pub fn base_has_programs(&self) -> bool {
        let is_program = |path: &ImagePath| path.as_path().extension() != Some(OsStr::new("sh"));
        self.base.iter().any(|(path, entry)| {
            entry.kind == ForeignKind::File
                && entry.mode & 0o111 != 0
                && is_program(path)
                && path.parent().is_some_and(|dir| dir.as_path().ends_with("bin"))
        })
    }
}

/// The first name of an absolute path.
fn root_of(path: &Path) -> &[u8] {
    bytes(path).split(|byte| *byte == b'/').nth(1).unwrap_or_default()
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_bytes()
}

/// An absolute path without `.`, `..` and doubled slashes, as far as its text tells; `None` if it is relative.
pub fn normal(path: &Path) -> Option<PathBuf> {
    let is_name = |name: &[u8]| !matches!(name, b"" | b"." | b"..");
    if bytes(path).strip_prefix(b"/").is_some_and(|path| path.split(|byte| *byte == b'/').all(is_name)) {
        return Some(path.to_owned());
    }
    let mut normal = PathBuf::new();
    for component in path.components() {
        match component {
            Component::RootDir => normal.push("/"),
            Component::Normal(name) => normal.push(name),
            Component::ParentDir => _ = normal.pop(),
            Component::CurDir | Component::Prefix(_) => {}
        }
    }
    normal.is_absolute().then_some(normal)
}
