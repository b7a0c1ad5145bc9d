//! A planned layer without some of its files.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::grouping::{DIRECTORIES, ordered, with_directories};
use super::{Entry, FileTree, Fragment, Kind, LayerPlan, Owner, TreeError, identical_files};
use crate::path::ImagePath;

impl LayerPlan {
    /// The layer with only those files and links for which `is_kept` holds, and without the directories that held others
    /// alone; exactly what [`group`](super::group) would have made of them. Identical files become hard links anew if
    /// `hard_links` says so.
    pub fn keeping(&self, hard_links: bool, is_kept: impl Fn(&ImagePath, &Entry) -> bool) -> Result<Self, TreeError> {
        let entries = || self.fragments.iter().flat_map(|fragment| fragment.tree.iter());
        let mut files: HashMap<&ImagePath, &Entry> = HashMap::new();
        let mut directories: HashMap<&ImagePath, &Entry> = HashMap::new();
        let (mut above_kept, mut emptied): (HashSet<ImagePath>, HashSet<ImagePath>) = Default::default();
        for (path, entry) in entries() {
            match entry.kind {
                Kind::Directory => _ = directories.insert(path, entry),
                Kind::File(_) => _ = files.insert(path, entry),
                _ => {}
            }
            if entry.kind != Kind::Directory {
                let dirs = if is_kept(path, entry) { &mut above_kept } else { &mut emptied };
                let mut above = std::iter::successors(path.parent(), ImagePath::parent);
                // Where one is known, those above it are.
                while above.next().is_some_and(|dir| dirs.insert(dir)) {}
            }
        }
        // The first of identical files may go, and others stay.
        let whole = |entry: &Entry| match &entry.kind {
            Kind::HardLink(target) => files.get(target).map_or_else(|| entry.clone(), |file| (*file).clone()),
            _ => entry.clone(),
        };
        let mut fragments = Vec::new();
        for fragment in self.fragments.iter().filter(|fragment| fragment.name != DIRECTORIES) {
            let stays = |(path, entry): &(&ImagePath, &Entry)| match entry.kind {
                Kind::Directory => above_kept.contains(*path) || !emptied.contains(*path),
                _ => is_kept(path, entry),
            };
            let kept = fragment.tree.iter().filter(stays).map(|(path, entry)| (path.clone(), whole(entry)));
            let tree = Arc::new(FileTree::of(kept.collect())?);
            fragments.push(Fragment { name: fragment.name.clone(), label: fragment.label.clone(), tree });
        }
        let mut fragments = ordered(fragments)?;
        if hard_links {
            identical_files::link(&mut fragments);
        }
        let directory = |path: &ImagePath| {
            let known = directories.get(path).map(|entry| (*entry).clone());
            known.unwrap_or_else(|| Entry::directory(Owner { uid: 0, gid: 0 }))
        };
        let fragments = with_directories(fragments, &directory)?;
        Ok(Self { role: self.role, services: self.services.clone(), fragments })
    }

    /// The layer with the files of these fragments more, which are of other packages than its own.
    pub fn with(mut self, hard_links: bool, others: Vec<Fragment>) -> Result<Self, TreeError> {
        let has_files = |fragment: &Fragment| fragment.tree.iter().any(|(_, entry)| entry.kind != Kind::Directory);
        if !others.iter().any(has_files) {
            return Ok(self);
        }
        let wanted = others.into_iter().filter(|other| other.name == DIRECTORIES || has_files(other));
        self.fragments.extend(wanted);
        self.keeping(hard_links, |_, _| true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layer::{Content, LayerRole};

    const OWNER: Owner = Owner { uid: 1, gid: 1 };

    fn fragment(name: &str, files: &[(&str, &str)]) -> Fragment {
        let mut entries = Vec::new();
        for (path, text) in files {
            let path = ImagePath::new(format!("/app/{path}")).unwrap();
            let package = std::iter::successors(path.parent(), ImagePath::parent)
                .take_while(|dir| !dir.as_path().ends_with("node_modules"));
            entries.extend(package.map(|dir| (dir, Entry::directory(OWNER))));
            entries.push((path, Entry::file(Content::Bytes(text.as_bytes().to_vec()), false, OWNER)));
        }
        Fragment::new(name, FileTree::of(entries).unwrap())
    }

    /// A layer as it is planned for these fragments.
    fn layer(mut fragments: Vec<Fragment>) -> LayerPlan {
        identical_files::link(&mut fragments);
        let directory = |_: &ImagePath| Entry::directory(OWNER);
        let fragments = with_directories(ordered(fragments).unwrap(), &directory).unwrap();
        LayerPlan { role: LayerRole::Packages, services: vec!["api".to_owned()], fragments }
    }

    #[test]
    fn what_stays_is_what_a_plan_of_it_alone_would_be() {
        let all = || {
            vec![
                fragment("a", &[("node_modules/a/first.js", "same"), ("node_modules/a/lib/second.js", "same")]),
                fragment("b", &[("node_modules/b/index.js", "b"), ("node_modules/b/deep/x/y.js", "y")]),
            ]
        };
        let second = || fragment("a", &[("node_modules/a/lib/second.js", "same")]);
        let table: [(&str, &[&str], Vec<Fragment>); 4] = [
            ("all", &["first.js", "second.js", "index.js", "y.js"], all()),
            ("the second of two identical files", &["second.js", "index.js", "y.js"], vec![second(), all().remove(1)]),
            (
                "a file less",
                &["second.js", "index.js"],
                vec![second(), fragment("b", &[("node_modules/b/index.js", "b")])],
            ),
            ("a package less", &["second.js"], vec![second()]),
        ];
        for (comment, kept, expected) in table {
            let is_kept = |path: &ImagePath, _: &Entry| kept.iter().any(|name| path.as_path().ends_with(name));
            let layer = layer(all()).keeping(true, is_kept).unwrap();
            assert_eq!(layer, self::layer(expected), "{comment}");
        }
        let nothing = layer(all()).keeping(true, |_, _| false).unwrap();
        assert_eq!(nothing.fragments, [], "nothing");
    }

    #[test]
    fn files_of_other_packages_join_a_layer() {
        let own = || fragment("own", &[("node_modules/own/index.js", "own")]);
        let other =
            || vec![fragment("a", &[("node_modules/a/first.js", "same"), ("node_modules/a/second.js", "same")])];
        let others = |kept: &[&str]| {
            let is_kept = |path: &ImagePath, _: &Entry| kept.iter().any(|name| path.as_path().ends_with(name));
            layer(other()).keeping(true, is_kept).unwrap().fragments
        };
        let second = fragment("a", &[("node_modules/a/second.js", "same")]);
        let table: [(&str, &[&str], Vec<Fragment>); 3] = [
            ("nothing", &[], vec![own()]),
            ("one file", &["second.js"], vec![own(), second]),
            ("identical ones", &["first.js", "second.js"], [other(), vec![own()]].concat()),
        ];
        for (comment, kept, expected) in table {
            let layer = layer(vec![own()]).with(true, others(kept)).unwrap();
            assert_eq!(layer, self::layer(expected), "{comment}");
        }
    }
}
