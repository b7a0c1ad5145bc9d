//! The files of an image that may be native code, by the package they belong to.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use rayon::prelude::*;

use super::binaries::Binaries;
use super::refusal::{Reason, Refusal};
use crate::digest::Digest;
use crate::layer::{Content, Entry, FileTree, Kind};
use crate::native::{BaseLibraries, Binary, Fit, LibraryAnswers, Variants, Verdict, is_candidate};
use crate::path::ImagePath;
use crate::workspace::WorkspacePath;

/// No file of native code is smaller: the header of a 32-bit ELF file.
const SMALLEST: u64 = 52;

/// What an image is made of, as far as its native code is judged together: an installed package, a workspace package, the
/// service itself.
pub(super) struct Unit {
    /// `name@version`, or the member's directory.
    pub label: String,
    /// Its directory in the workspace.
    pub dir: WorkspacePath,
    /// The same, of an installed package.
    pub package: Option<WorkspacePath>,
    /// Where it lies in the image.
    pub top: ImagePath,
    /// Its files.
    pub tree: Arc<FileTree>,
    /// Those that may be native code.
    pub candidates: Arc<[NativeFile]>,
}

/// A file that may be native code.
pub(super) struct NativeFile {
    pub place: ImagePath,
    pub content: Content,
    pub digest: Digest,
}

/// The files of trees that may be native code. Most services share most trees, and each is gone through once.
#[derive(Default)]
pub(super) struct Candidates(BTreeMap<*const FileTree, (Arc<FileTree>, Arc<[NativeFile]>)>);

impl Candidates {
    /// Goes through trees on all cores.
    pub fn look_through<'t>(&mut self, trees: impl Iterator<Item = &'t Arc<FileTree>>) {
        let unknown: BTreeMap<_, _> = trees.map(|tree| (Arc::as_ptr(tree), tree)).collect();
        let unknown: Vec<_> = unknown.into_values().filter(|tree| !self.0.contains_key(&Arc::as_ptr(tree))).collect();
        let found: Vec<_> = unknown.par_iter().map(|tree| ((*tree).clone(), candidates(tree))).collect();
        self.0.extend(found.into_iter().map(|(tree, files)| (Arc::as_ptr(&tree), (tree, files))));
    }

    /// Those of a tree.
    pub fn of(&mut self, tree: &Arc<FileTree>) -> Arc<[NativeFile]> {
        // The tree is kept, so that no other comes to lie where it lies.
        let (_, known) = self.0.entry(Arc::as_ptr(tree)).or_insert_with(|| (tree.clone(), candidates(tree)));
        known.clone()
    }
}

fn candidates(tree: &FileTree) -> Arc<[NativeFile]> {
    let file = |(place, entry): (&ImagePath, &Entry)| match &entry.kind {
        Kind::File(content) if content.size() >= SMALLEST => {
            let is_candidate = is_candidate(place.as_path().to_str()?, entry.mode & 0o100 != 0);
            is_candidate.then(|| NativeFile {
                place: place.clone(),
                content: content.clone(),
                digest: content.digest(),
            })
        }
        _ => None,
    };
    tree.iter().filter_map(file).collect()
}

/// The platform that native code is loaded on.
pub(super) struct Host<'a> {
    pub cpu: &'a str,
    pub base: &'a BaseLibraries,
}

/// What becomes of the native code of a unit.
pub(super) struct Judged {
    pub variants: Variants,
    /// The files that are left out, by their places.
    pub left_out: BTreeSet<ImagePath>,
}

impl Unit {
    /// The path of a file inside the package it belongs to, which is another if this one brings it along, and where that one
    /// lies.
    fn inside<'p>(&self, place: &'p ImagePath) -> (&'p str, &'p str) {
        let path = place.as_path().to_str().unwrap_or_default();
        let top = self.top.as_path().to_str().unwrap_or_default();
        let inside = path.strip_prefix(top).map_or(path, |rest| rest.trim_start_matches('/'));
        let Some(at) = inside.rfind("node_modules/") else { return ("", inside) };
        let below = &inside[at + "node_modules/".len()..];
        let names = if below.starts_with('@') { 2 } else { 1 };
        match below.match_indices('/').nth(names - 1) {
            Some((slash, _)) => inside.split_at(at + "node_modules/".len() + slash + 1),
            None => ("", inside),
        }
    }

    /// What of it cannot be loaded, by the file.
    pub fn refusals(&self, judged: &Judged) -> impl Iterator<Item = Refusal> {
        judged.variants.refusals().map(|(path, misfit)| Refusal {
            label: self.label.clone(),
            file: self.dir.as_path().join(path),
            reason: Reason::File(misfit.clone()),
        })
    }

    /// How many files these are, and how many bytes.
    pub fn weight(&self, places: &BTreeSet<ImagePath>) -> (usize, u64) {
        let sizes =
            self.tree.iter().filter(|(place, _)| places.contains(*place)).filter_map(|(_, entry)| match &entry.kind {
                Kind::File(content) => Some(content.size()),
                _ => None,
            });
        sizes.fold((0, 0), |(files, bytes), size| (files + 1, bytes + size))
    }

    /// These places, and the directories that hold nothing else.
    pub fn with_empty_directories(&self, mut places: BTreeSet<ImagePath>) -> BTreeSet<ImagePath> {
        if places.is_empty() {
            return places;
        }
        let kept = self.tree.iter().filter(|(place, entry)| entry.kind != Kind::Directory && !places.contains(*place));
        let parents = |place: &ImagePath| std::iter::successors(place.parent(), ImagePath::parent).collect::<Vec<_>>();
        let filled: BTreeSet<ImagePath> = kept.flat_map(|(place, _)| parents(place)).collect();
        let emptied: BTreeSet<ImagePath> = places.iter().flat_map(parents).collect();
        places.extend(emptied.into_iter().filter(|dir| !filled.contains(dir) && self.tree.get(dir).is_some()));
        places
    }

    /// Judges its native code. What was asked of the base for that joins `answers`.
    pub fn judge(
        &self,
        binaries: &Binaries,
        host: &Host<'_>,
        shipped: &BTreeSet<String>,
        answers: &mut LibraryAnswers,
    ) -> Judged {
        let mut by_package: BTreeMap<&str, Vec<(String, Fit)>> = BTreeMap::new();
        for file in self.candidates.iter() {
            let binary = binaries.get(&file.digest);
            let fit = binary.and_then(|binary| Fit::of(binary, host.cpu, host.base, shipped, answers));
            let (package, path) = self.inside(&file.place);
            by_package.entry(package).or_default().extend(fit.map(|fit| (path.to_owned(), fit)));
        }
        let mut judged = Judged { variants: Variants::default(), left_out: BTreeSet::new() };
        let mut is_foreign = Vec::new();
        for (package, files) in by_package {
            let variants = Variants::of(files, host.cpu, host.base.libc);
            is_foreign.extend((!variants.files.is_empty()).then_some(variants.is_foreign));
            for (path, verdict) in variants.files {
                let path = format!("{package}{path}");
                if verdict == Verdict::LeaveOut {
                    judged.left_out.extend(self.top.join(&path));
                }
                judged.variants.files.push((path, verdict));
            }
        }
        judged.variants.is_foreign = !is_foreign.is_empty() && is_foreign.iter().all(|foreign| *foreign);
        judged
    }
}

impl Judged {
    /// What is said where nobody is to look.
    pub fn unlooked() -> Self {
        Self { variants: Variants::default(), left_out: BTreeSet::new() }
    }
}

/// The names of the libraries among files, as far as they are for this platform.
pub(super) fn shipped_libraries<'f>(
    files: impl Iterator<Item = &'f NativeFile>,
    binaries: &Binaries,
    host: &Host<'_>,
) -> BTreeSet<String> {
    let is_for_host = |file: &&NativeFile| match binaries.get(&file.digest) {
        Some(Binary::Elf(elf)) => elf.cpu == host.cpu && elf.libc().is_none_or(|libc| Some(libc) == host.base.libc),
        _ => false,
    };
    files.filter(is_for_host).filter_map(|file| Some(file.place.as_path().file_name()?.to_str()?.to_owned())).collect()
}
