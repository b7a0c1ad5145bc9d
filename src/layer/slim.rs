//! What `slim = true` leaves out of installed packages: types, source maps, documentation and tests, which no program
//! reads while it runs. The one place that says what these are; `docs/decisions/slim-by-a-list.md` says why so.

use std::collections::{BTreeSet, HashSet};

use serde::{Deserialize, Serialize};

use super::{Entry, FileTree, Kind};
use crate::path::ImagePath;
use crate::workspace::PackageJson;

/// Directories at the top of a package. Deeper ones of these names hold code at times (`googleapis/build/src/apis/docs`).
const DIRECTORIES_AT_THE_TOP: [&str; 5] = ["docs", "example", "examples", "test", "tests"];
/// A directory that holds tests wherever it lies.
const TESTS: &str = "__tests__";
/// Declarations of types.
const TYPES: [&str; 3] = [".d.ts", ".d.mts", ".d.cts"];
/// The package whose declarations are read while a program runs: a compiler needs those of the language itself.
const COMPILER: &str = "typescript";
/// What a source map is the map of: `x.js.map`, `x.min.map`.
const MAPPED: [&str; 10] = ["js", "cjs", "mjs", "jsx", "ts", "cts", "mts", "tsx", "css", "min"];
/// Extensions of code; a test is what has a code file of its name beside it.
const CODE: [&str; 8] = ["js", "cjs", "mjs", "jsx", "ts", "cts", "mts", "tsx"];
/// Names of files for people, in any case.
const DOCUMENTS: [&str; 8] =
    ["readme", "changelog", "changes", "history", "contributing", "code_of_conduct", "security", "upgrading"];
/// Their extensions. Without one they are written in capitals.
const DOCUMENT_EXTENSIONS: [&str; 7] = ["md", "markdown", "mkd", "txt", "rst", "adoc", "html"];
/// What Node adds to the name of a file that it is asked for.
const ADDED: [&str; 3] = [".js", ".json", ".node"];

/// What is, or would be, left out of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Slimming {
    /// The positions of the entries in the package's tree, in their order.
    entries: Vec<usize>,
    /// What the files among them weigh.
    pub left_out: LeftOut,
}

/// Files that are left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// How many.
    pub files: usize,
    /// How many bytes they have.
    pub bytes: u64,
}

impl LeftOut {
    /// Both together.
    pub fn plus(self, other: Self) -> Self {
        Self { files: self.files + other.files, bytes: self.bytes + other.bytes }
    }
}

impl Slimming {
    /// Finds out, by paths and sizes alone, what is left out of a package whose `tree` lies at `top`.
    pub fn of(tree: &FileTree, top: &ImagePath, package_json: &PackageJson) -> Self {
        let places = places(tree, top);
        let package = Package::new(tree, top, package_json, &places);
        let mut slimming = Self::default();
        // Directories above something that stays, and above something that goes. Nobody asks for their order.
        let (mut kept, mut emptied) = (Directories::default(), Directories::default());
        for Place { position, inside, entry, listed } in &places {
            if entry.kind == Kind::Directory {
                continue;
            } else if !package.leaves_out(inside, *listed) {
                kept.add_those_above(inside);
            } else {
                emptied.add_those_above(inside);
                slimming.entries.push(*position);
                if let Kind::File(content) = &entry.kind {
                    slimming.left_out = slimming.left_out.plus(LeftOut { files: 1, bytes: content.size() });
                }
            }
        }
        let goes = |place: &&Place<'_>| {
            place.entry.kind == Kind::Directory && emptied.has(place.inside) && !kept.has(place.inside)
        };
        slimming.entries.extend(places.iter().filter(goes).map(|place| place.position));
        slimming.entries.sort_unstable();
        slimming
    }

    /// The tree without what is left out.
    pub fn apply(&self, tree: &FileTree) -> FileTree {
        tree.without(&self.entries)
    }

    /// Whether nothing is left out.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }
}

/// An entry of a package's tree, as the list sees it.
struct Place<'a> {
    position: usize,
    /// Its path relative to the package.
    inside: &'a str,
    entry: &'a Entry,
    /// The directory of the list that it lies in.
    listed: Option<&'a str>,
}

/// The entries of a package's tree. Those whose paths are no text are left out: the list says nothing about them.
fn places<'a>(tree: &'a FileTree, top: &ImagePath) -> Vec<Place<'a>> {
    // Most entries lie where the one before them does.
    let (mut last_parent, mut last_listed) = ("", None);
    let place = |(position, (path, entry)): (usize, (&'a ImagePath, &'a Entry))| {
        let inside = inside(path, top)?;
        let parent = inside.rsplit_once('/').map_or("", |(parent, _)| parent);
        if parent != last_parent {
            (last_parent, last_listed) = (parent, directory_of_the_list(inside));
        }
        Some(Place { position, inside, entry, listed: last_listed })
    };
    tree.iter().enumerate().filter_map(place).collect()
}

/// Directories of a package.
#[derive(Default)]
struct Directories<'a> {
    known: HashSet<&'a str>,
    last: &'a str,
}

impl<'a> Directories<'a> {
    /// Adds the directories above a path. Where one is known, those above it are.
    fn add_those_above(&mut self, path: &'a str) {
        let mut above = path.rsplit_once('/').map(|(above, _)| above);
        if above.is_none_or(|above| above == self.last) {
            return;
        }
        self.last = above.unwrap_or_default();
        while let Some(directory) = above.filter(|directory| self.known.insert(directory)) {
            above = directory.rsplit_once('/').map(|(above, _)| above);
        }
    }

    fn has(&self, directory: &str) -> bool {
        self.known.contains(directory)
    }
}

/// What the list has to know of a package.
struct Package<'a> {
    tree: &'a FileTree,
    top: &'a ImagePath,
    /// What its package.json names to be run, without `./`; what ends with `/` stands for all that begins so.
    named: BTreeSet<&'a str>,
    is_compiler: bool,
    has_license: bool,
    /// The directories that are left out but for licences.
    directories: BTreeSet<&'a str>,
}

impl<'a> Package<'a> {
    fn new(tree: &'a FileTree, top: &'a ImagePath, package_json: &'a PackageJson, places: &[Place<'a>]) -> Self {
        let mut package = Self {
            tree,
            top,
            named: package_json.run_files().map(literal).filter(|name| !name.is_empty()).collect(),
            is_compiler: package_json.name.as_deref() == Some(COMPILER),
            has_license: false,
            directories: BTreeSet::new(),
        };
        for Place { inside, listed, .. } in places {
            package.has_license |= !inside.contains('/') && is_license(inside);
            let is_new = |directory: &&str| !package.directories.contains(directory) && !package.is_entry(directory);
            package.directories.extend(listed.filter(is_new));
        }
        package
    }

    /// Whether others may import a directory, or a file in it: package.json names it, or it has a package.json of its own.
    fn is_entry(&self, directory: &str) -> bool {
        let is_inside =
            |named: &&str| named.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        self.named.iter().any(is_inside) || self.has(&format!("{directory}/package.json"))
    }

    fn has(&self, inside: &str) -> bool {
        self.top.join(inside).is_ok_and(|path| self.tree.get(&path).is_some())
    }

    /// Whether package.json names a file, with or without its extension.
    fn names(&self, file: &str) -> bool {
        let added = || ADDED.iter().filter_map(|added| file.strip_suffix(added));
        self.named.contains(file) || added().any(|stem| self.named.contains(stem))
    }

    fn leaves_out(&self, file: &str, listed: Option<&str>) -> bool {
        let name = file.rsplit('/').next().unwrap_or(file);
        // What a package brings along in a `node_modules` of its own has another package.json.
        let is_of_another = file.contains("node_modules") && file.split('/').any(|name| name == "node_modules");
        if is_of_another || is_license(name) || self.names(file) {
            return false;
        }
        listed.is_some_and(|directory| self.directories.contains(directory))
            || is_map(name)
            || (!self.is_compiler && TYPES.iter().any(|end| name.ends_with(end)))
            // Where there is no licence's file, its text stands in the README.
            || (is_document(name) && (self.has_license || file.contains('/')))
            || self.is_test(file)
    }

    /// Whether a file is the test of one beside it. (`core-js/modules/es.regexp.test.js` is none: it is the module for
    /// `RegExp.prototype.test`.)
    fn is_test(&self, file: &str) -> bool {
        let Some((stem, extension)) = file.rsplit_once('.') else { return false };
        let tested = stem.strip_suffix(".test").or_else(|| stem.strip_suffix(".spec"));
        let Some(tested) = tested.filter(|_| CODE.contains(&extension)) else { return false };
        CODE.iter().any(|extension| self.has(&format!("{tested}.{extension}")))
    }
}

/// A path of a package's tree relative to the package; `None` for one that is no text, about which the list says nothing.
fn inside<'p>(path: &'p ImagePath, top: &ImagePath) -> Option<&'p str> {
    let inside = path.tar_name().strip_prefix(top.tar_name())?.strip_prefix(b"/")?;
    std::str::from_utf8(inside).ok()
}

/// What package.json names, as far as it is no pattern.
fn literal(named: &str) -> &str {
    let named = named.strip_prefix("./").unwrap_or(named);
    named.split('*').next().unwrap_or(named)
}

/// The outermost directory of the list that a file or directory lies in.
fn directory_of_the_list(inside: &str) -> Option<&str> {
    let mut end = 0;
    for name in inside.split('/') {
        end += name.len();
        if end == inside.len() {
            return None;
        }
        if name == TESTS || (end == name.len() && DIRECTORIES_AT_THE_TOP.contains(&name)) {
            return Some(&inside[..end]);
        }
        end += 1;
    }
    None
}

/// Whether a file of this name is a licence or a notice, or says who holds the rights: what has to come along with the code.
pub fn is_license(name: &str) -> bool {
    let name = name.as_bytes();
    let begins = |at: usize, word: &str| {
        name.get(at..at + word.len()).is_some_and(|start| start.eq_ignore_ascii_case(word.as_bytes()))
    };
    let has = |words: &[&str]| (0..name.len()).any(|at| words.iter().any(|word| begins(at, word)));
    ["copying", "copyright", "authors", "patents"].iter().any(|word| begins(0, word))
        // Most names have none of the letters that these words have in common.
        || name.iter().any(|byte| matches!(byte, b'c' | b'C')) && has(&["license", "licence", "notice"])
}

/// Whether a file of this name declares types or is a source map: what tools read, and no program on its own account.
pub fn is_for_tools(name: &str) -> bool {
    is_map(name) || TYPES.iter().any(|end| name.ends_with(end))
}

fn is_map(name: &str) -> bool {
    let mapped = name.strip_suffix(".map").and_then(|mapped| mapped.rsplit_once('.'));
    mapped.is_some_and(|(_, extension)| MAPPED.contains(&extension))
}

fn is_document(name: &str) -> bool {
    let (stem, extension) = match name.split_once('.') {
        Some((stem, rest)) => (stem, rest.rsplit('.').next()),
        None => (name, None),
    };
    let is_one = |names: &[&str], name: &str| names.iter().any(|known| known.eq_ignore_ascii_case(name));
    is_one(&DOCUMENTS, stem)
        && match extension {
            Some(extension) => is_one(&DOCUMENT_EXTENSIONS, extension),
            None => stem.chars().all(|letter| letter.is_ascii_uppercase() || letter == '_'),
        }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use proptest::prelude::*;

    use super::*;
    use crate::layer::{Content, Owner};

    const OWNER: Owner = Owner { uid: 1, gid: 1 };
    const TOP: &str = "/app/node_modules/x";

    fn tree(files: &[&str]) -> FileTree {
        let top = ImagePath::new(TOP).unwrap();
        let mut entries = Vec::new();
        for file in files {
            let above = Path::new(file).ancestors().skip(1).filter(|dir| !dir.as_os_str().is_empty());
            entries.extend(above.map(|dir| (top.join(dir).unwrap(), Entry::directory(OWNER))));
            let content = Content::Bytes(file.as_bytes().to_vec());
            entries.push((top.join(file).unwrap(), Entry::file(content, false, OWNER)));
        }
        FileTree::of(entries).unwrap()
    }

    /// The paths that stay, directories too.
    fn kept(files: &[&str], package_json: &str) -> (Vec<String>, LeftOut) {
        let tree = tree(files);
        let package_json = PackageJson::parse(package_json.as_bytes()).unwrap();
        let slimming = Slimming::of(&tree, &ImagePath::new(TOP).unwrap(), &package_json);
        let slim = slimming.apply(&tree);
        let left_out =
            LeftOut { files: tree.files() - slim.files(), bytes: tree.content_bytes() - slim.content_bytes() };
        assert_eq!(slimming.left_out, left_out);
        let paths = slim.iter().map(|(path, _)| path.to_string()[TOP.len() + 1..].to_owned());
        (paths.collect(), left_out)
    }

    #[test]
    fn the_list() {
        // Beside each file lie a licence and a code file, so that what they decide is decided.
        let table: [(&str, &str, &str, bool); 52] = [
            ("types", "{}", "dist/index.d.ts", false),
            ("types of modules", "{}", "index.d.mts", false),
            ("types of scripts", "{}", "index.d.cts", false),
            ("types of a compiler", r#"{"name":"typescript"}"#, "lib/lib.es5.d.ts", true),
            ("types that `types` names", r#"{"types":"index.d.ts"}"#, "index.d.ts", false),
            ("types that a condition names", r#"{"exports":{".":{"types":"./i.d.ts"}}}"#, "i.d.ts", false),
            ("types of a version", r#"{"exports":{".":{"types@<5":"./i.d.ts"}}}"#, "i.d.ts", false),
            ("types that are exported", r#"{"exports":{"./i.d.ts":"./i.d.ts"}}"#, "i.d.ts", true),
            ("TypeScript that runs", "{}", "src/index.ts", true),
            ("a source map", "{}", "dist/index.js.map", false),
            ("of a style", "{}", "a.css.map", false),
            ("of minified code", "{}", "a.min.map", false),
            ("of types", "{}", "index.d.ts.map", false),
            ("another map", "{}", "world.map", true),
            ("a README", "{}", "README.md", false),
            ("in another case", "{}", "Readme.markdown", false),
            ("in another language", "{}", "README.zh-CN.md", false),
            ("deeper", "{}", "lib/README", false),
            ("a changelog", "{}", "CHANGELOG.md", false),
            ("a history", "{}", "HISTORY.md", false),
            ("a history that is code", "{}", "history.js", true),
            ("a command without extension", "{}", "bin/changes", true),
            ("another text", "{}", "prompt.md", true),
            ("documentation", "{}", "docs/a/guide.html", false),
            ("code in a deeper directory of that name", "{}", "build/apis/docs/index.js", true),
            ("documentation that is a file", "{}", "docs", true),
            ("the directory of `main`", r#"{"main":"docs"}"#, "docs/index.js", true),
            ("the directory of a command", r#"{"bin":"./docs/x.js"}"#, "docs/y.js", true),
            ("an exported directory", r#"{"exports":{"./test/*":"./test/*.js"}}"#, "test/a.js", true),
            ("all is exported", r#"{"exports":{"./*":"./*"}}"#, "test/a.js", false),
            ("a directory with a longer name", r#"{"main":"testing/a.js"}"#, "test/a.js", false),
            ("a named directory", r#"{"module":"./example/index.mjs"}"#, "example/b.js", true),
            ("imported by the package", r##"{"imports":{"#x":"./test/x.js"}}"##, "test/x.js", true),
            ("in place of others in browsers", r#"{"browser":{"./a.js":"./test/x.js"}}"#, "test/x.js", true),
            ("examples", "{}", "examples/a.js", false),
            ("tests", "{}", "test/a.js", false),
            ("more tests", "{}", "tests/a/b.js", false),
            ("deeper tests", "{}", "lib/test/a.js", true),
            ("tests of jest", "{}", "lib/__tests__/a.js", false),
            ("another name", "{}", "lib/my__tests__/a.js", true),
            ("a test of a file beside it", "{}", "lib/code.test.js", false),
            ("a specification", "{}", "lib/code.spec.mjs", false),
            ("named so", r#"{"main":"lib/code.spec"}"#, "lib/code.spec.js", true),
            ("a test of nothing", "{}", "lib/es.regexp.test.js", true),
            ("a licence", "{}", "docs/LICENSE.md", true),
            ("another spelling", "{}", "test/a/licence", true),
            ("the licences of a bundle", "{}", "docs/index.js.LICENSE.txt", true),
            ("a notice", "{}", "examples/NOTICE", true),
            ("what is to be copied along", "{}", "tests/COPYING.LESSER", true),
            ("who holds the rights", "{}", "docs/AUTHORS", true),
            ("of another package", "{}", "node_modules/y/README.md", true),
            ("code", "{}", "lib/index.js", true),
        ];
        for (comment, package_json, file, expected) in table {
            let files = ["LICENSE", "lib/code.js", file];
            assert_eq!(kept(&files, package_json).0.contains(&file.to_owned()), expected, "{comment}: {file}");
        }
    }

    #[test]
    fn what_depends_on_other_files() {
        let table: [(&str, &[&str], &[&str]); 6] = [
            ("a README is the licence where there is none", &["README.md", "a/README.md"], &["README.md"]),
            (
                "a directory with a package.json",
                &["test/package.json", "test/a.js"],
                &["test", "test/a.js", "test/package.json"],
            ),
            ("a package.json deeper is none", &["test/a/package.json", "index.js"], &["index.js"]),
            ("directories go with what was in them", &["docs/a/b.md", "lib/a.d.ts", "x.js"], &["x.js"]),
            ("but not above a licence", &["docs/a/LICENSE", "docs/b/c.md"], &["docs", "docs/a", "docs/a/LICENSE"]),
            ("nothing of the list", &["lib/a.js"], &["lib", "lib/a.js"]),
        ];
        for (comment, files, expected) in table {
            let found: Vec<String> = kept(files, "{}").0;
            assert_eq!(found, expected.iter().map(ToString::to_string).collect::<Vec<_>>(), "{comment}");
        }
    }

    proptest! {
        /// Whatever lies where: licences, package.json files and what is named stay, with the directories above them.
        #[test]
        fn licences_and_what_is_named_stay(
            places in prop::collection::btree_set(
                prop::collection::vec(prop::sample::select(&["docs", "test", "lib", "__tests__", "examples"][..]), 0..4),
                1..8,
            ),
            names in prop::collection::vec(
                prop::sample::select(&["LICENSE", "licence.txt", "COPYING", "NOTICE.md", "README.md", "a.d.ts", "a.js"][..]),
                8,
            ),
            named in 0usize..8,
        ) {
            let files: Vec<String> = places
                .iter()
                .zip(&names)
                .map(|(place, name)| place.iter().chain([name]).copied().collect::<Vec<_>>().join("/"))
                .collect();
            let main = &files[named % files.len()];
            let files: Vec<&str> = files.iter().map(String::as_str).chain(["package.json"]).collect();
            let (kept, _) = kept(&files, &format!(r#"{{"main":"./{main}"}}"#));
            for file in files.iter().filter(|file| is_license(Path::new(file).file_name().unwrap().to_str().unwrap())) {
                prop_assert!(kept.contains(&(*file).to_owned()), "{file}");
            }
            prop_assert!(kept.contains(main) && kept.contains(&"package.json".to_owned()));
            for path in &kept {
                let above = Path::new(path).parent().unwrap().to_str().unwrap().to_owned();
                prop_assert!(above.is_empty() || kept.contains(&above), "{path} lies in a directory that stays");
            }
        }
    }
}
