use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::build::{BuildError, BuildPlan, ImagePlan};
use crate::layer::{Kind, LayerRole};
use crate::path::ImagePath;
use crate::workspace::WorkspacePath;

/// What files cost, before compression.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cost {
    /// How many.
    pub files: usize,
    /// Their bytes. A file that has several names in the image has its bytes once.
    pub bytes: u64,
}

/// A file by its place: the layer, and the path under which its bytes lie there.
type Place<'p> = (usize, &'p ImagePath);

/// The files of packages and workspace packages in an image, as it is planned.
pub(super) struct PackageFiles<'p> {
    /// Each name with the package that it belongs to: the one whose directory is the nearest above.
    names: BTreeMap<&'p WorkspacePath, Vec<Place<'p>>>,
    /// How many names each file has in the image, and its bytes.
    files: HashMap<Place<'p>, (usize, u64)>,
}

impl<'p> PackageFiles<'p> {
    /// Those of one image.
    pub fn of(plan: &'p BuildPlan, image: &'p ImagePlan) -> Result<Self, BuildError> {
        let closure = &image.closure;
        let mut owners = HashMap::new();
        for dir in closure.packages.keys().chain(closure.members.keys()) {
            owners.insert(image.root.join(dir.as_path())?, dir);
        }
        let mut found = Self { names: BTreeMap::new(), files: HashMap::new() };
        for &index in &image.layers {
            let Some(layer) = plan.layers.get(index) else { continue };
            if !matches!(layer.role, LayerRole::Packages | LayerRole::Workspace) {
                continue;
            }
            for (path, entry) in layer.fragments.iter().flat_map(|fragment| fragment.tree.iter()) {
                let (place, bytes) = match &entry.kind {
                    Kind::File(content) => ((index, path), content.size()),
                    Kind::HardLink(target) => ((index, target), 0),
                    Kind::Directory | Kind::Symlink(_) => continue,
                };
                let (names, size) = found.files.entry(place).or_default();
                *names += 1;
                *size += bytes;
                if let Some(owner) = path.ancestors().find_map(|above| owners.get(&above).copied()) {
                    found.names.entry(owner).or_default().push(place);
                }
            }
        }
        Ok(found)
    }

    /// What leaves the image with these packages.
    pub fn cost(&self, dirs: &BTreeSet<WorkspacePath>) -> Cost {
        let mut leaving: HashMap<Place<'_>, usize> = HashMap::new();
        for place in dirs.iter().filter_map(|dir| self.names.get(dir)).flatten() {
            *leaving.entry(*place).or_default() += 1;
        }
        let files = leaving.values().sum();
        // The bytes go with the last name.
        let last = leaving.iter().filter_map(|(place, names)| self.files.get(place).filter(|(all, _)| all == names));
        Cost { files, bytes: last.map(|(_, bytes)| bytes).sum() }
    }

    /// The layer in which a package's files lie.
    pub fn layer_of(&self, dir: &WorkspacePath) -> Option<usize> {
        self.names.get(dir)?.first().map(|(layer, _)| *layer)
    }
}
