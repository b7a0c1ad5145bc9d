//! Identical files of one package become hard links to the first of them.

use std::collections::hash_map::Entry as Slot;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use rayon::prelude::*;

use super::{Entry, Fragment, Kind};
use crate::digest::Digest;
use crate::path::ImagePath;

/// Turns each file that an earlier fragment of the same name, or the same fragment, holds with the same content, mode and
/// owner into a hard link. Links lead only between copies of one package, in whatever versions: another package that
/// changes leaves a fragment's bytes as they are.
///
/// Contents decide, never the host's inodes: a pnpm tree is linked to its store, and a copy of it is not.
pub(super) fn link(fragments: &mut [Fragment]) {
    let mut copies: BTreeMap<String, Vec<&mut Fragment>> = BTreeMap::new();
    for fragment in fragments {
        copies.entry(fragment.name.clone()).or_default().push(fragment);
    }
    copies.into_values().collect::<Vec<_>>().into_par_iter().for_each(link_copies);
}

fn link_copies(mut fragments: Vec<&mut Fragment>) {
    let mut first: HashMap<(Digest, u32, u32), &ImagePath> = HashMap::new();
    let mut links: Vec<BTreeMap<usize, ImagePath>> = Vec::new();
    for fragment in &fragments {
        let mut of_fragment = BTreeMap::new();
        for (position, (path, entry)) in fragment.tree.iter().enumerate() {
            let Kind::File(content) = &entry.kind else { continue };
            if content.size() > 0 {
                match first.entry((content.digest(), entry.mode, entry.owner.uid)) {
                    Slot::Occupied(target) => {
                        of_fragment.insert(position, (*target.get()).clone());
                    }
                    Slot::Vacant(slot) => {
                        slot.insert(path);
                    }
                }
            }
        }
        links.push(of_fragment);
    }
    for (fragment, mut links) in fragments.iter_mut().zip(links).filter(|(_, links)| !links.is_empty()) {
        let link = |position: usize, entry: &Entry| {
            links.remove(&position).map(|target| Entry { kind: Kind::HardLink(target), ..*entry })
        };
        fragment.tree = Arc::new(fragment.tree.map(link));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, FileTree, Owner};

    const OWNER: Owner = Owner { uid: 1, gid: 1 };

    fn fragment(name: &str, files: &[(&str, &str, bool)]) -> Fragment {
        let entry = |(path, content, executable): &(&str, &str, bool)| {
            let content = Content::Bytes(content.as_bytes().to_vec());
            (ImagePath::new(path).unwrap(), Entry::file(content, *executable, OWNER))
        };
        Fragment::new(name, FileTree::of(files.iter().map(entry).collect()).unwrap())
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
