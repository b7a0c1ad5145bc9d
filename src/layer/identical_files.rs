//! Identical files of one package become hard links to the first of them.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use super::{Entry, FileTree, Fragment, Kind};
use crate::digest::Digest;
use crate::path::ImagePath;

/// Turns each file that an earlier fragment of the same name, or the same fragment, holds with the same content, mode and
/// owner into a hard link. Links lead only between copies of one package, in whatever versions: another package that
/// changes leaves a fragment's bytes as they are.
///
/// Contents decide, never the host's inodes: a pnpm tree is linked to its store, and a copy of it is not.
pub(super) fn link(fragments: &mut [Fragment]) {
    let names: BTreeSet<String> = fragments.iter().map(|fragment| fragment.name.clone()).collect();
    let names: BTreeMap<String, usize> = names.into_iter().zip(0..).collect();
    let mut first: HashMap<(usize, Digest, u32, u32), ImagePath> = HashMap::new();
    for fragment in fragments {
        let name = names.get(&fragment.name).copied().unwrap_or_default();
        let mut links: BTreeMap<ImagePath, ImagePath> = BTreeMap::new();
        for (path, entry) in fragment.tree.iter() {
            let Kind::File(content) = &entry.kind else { continue };
            if content.size() > 0 {
                match first.entry((name, content.digest(), entry.mode, entry.owner.uid)) {
                    Slot::Occupied(target) => {
                        links.insert(path.clone(), target.get().clone());
                    }
                    Slot::Vacant(slot) => {
                        slot.insert(path.clone());
                    }
                }
            }
        }
        if !links.is_empty() {
            fragment.tree = Arc::new(linked(&fragment.tree, &links));
        }
    }
}

/// The tree with these files as hard links to their targets.
fn linked(tree: &FileTree, links: &BTreeMap<ImagePath, ImagePath>) -> FileTree {
    let entry = |(path, entry): (&ImagePath, &Entry)| match links.get(path) {
        Some(target) => (path.clone(), Entry { kind: Kind::HardLink(target.clone()), ..entry.clone() }),
        None => (path.clone(), entry.clone()),
    };
    tree.iter().map(entry).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, Owner};

    const OWNER: Owner = Owner { uid: 1, gid: 1 };

    fn fragment(name: &str, files: &[(&str, &str, bool)]) -> Fragment {
        let entry = |(path, content, executable): &(&str, &str, bool)| {
            let content = Content::Bytes(content.as_bytes().to_vec());
            (ImagePath::new(path).unwrap(), Entry::file(content, *executable, OWNER))
        };
        Fragment::new(name, files.iter().map(entry).collect())
    }

    #[test]
    fn copies_of_a_package_are_linked() {
        let mut fragments = [
            fragment("a", &[("/1/x", "same", false), ("/1/y", "same", false), ("/1/empty", "", false)]),
            fragment("a", &[("/2/x", "same", false), ("/2/bin", "same", true), ("/2/empty", "", false)]),
            fragment("b", &[("/3/x", "same", false)]),
        ];
        link(&mut fragments);
        let kinds: Vec<String> = fragments
            .iter()
            .flat_map(|fragment| fragment.tree.iter())
            .map(|(path, entry)| match &entry.kind {
                Kind::HardLink(target) => format!("{path} -> {target}"),
                _ => path.to_string(),
            })
            .collect();
        let expected = ["/1/empty", "/1/x", "/1/y -> /1/x", "/2/bin", "/2/empty", "/2/x -> /1/x", "/3/x"];
        assert_eq!(kinds, expected);
    }
}
