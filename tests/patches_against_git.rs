//! What patches make of a package's files, against the files from which git made the patches.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use pirogue::layer::{FileState, PackagePatch, PatchError};
use proptest::prelude::*;
use proptest::sample::{Index, select};

type Files = BTreeMap<String, FileState>;

/// Names that git writes plainly, with a tab after them, and in quotes.
const NAMES: [&str; 7] = ["index.js", "lib/a.js", "lib/deep/b.js", "with space.js", "ä.js", "quo\"te.js", "b b/b"];

/// Texts of lines, among them those that look like a patch's own.
const TEXTS: [&[u8]; 15] = [
    b"a",
    b"b",
    b"",
    b"}",
    b"  a",
    b"a ",
    b"a\r",
    b"\r",
    b"-- x",
    b"++ b/x",
    b"@@ -1 +1 @@",
    b"\\ No newline at end of file",
    b"diff --git a/x b/x",
    b"deleted file mode 100644",
    b"\x00\xff\xfe",
];

fn has_git() -> bool {
    static HAS_GIT: OnceLock<bool> = OnceLock::new();
    *HAS_GIT.get_or_init(|| {
        let has_git = Command::new("git").arg("--version").output().is_ok_and(|output| output.status.success());
        if !has_git {
            harness::skip("git is missing");
        }
        has_git
    })
}

/// The patch from some files to others, as the commands of package managers make it.
fn patch(old: &Files, new: &Files, options: &[&str]) -> Vec<u8> {
    let folder = tempfile::tempdir_in(harness::scratch::folder()).unwrap();
    write(&folder.path().join("old"), old);
    write(&folder.path().join("new"), new);
    let mut git = Command::new("git");
    git.args(["diff", "--no-index", "--text", "--full-index", "--no-color"]).args(options);
    git.args(["--src-prefix=a/", "--dst-prefix=b/", "old", "new"]).current_dir(folder.path());
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_CONFIG_GLOBAL", "/dev/null");
    let output = git.output().unwrap();
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    let names = ["a/old/", "a/new/", "b/old/", "b/new/", "from old/", "from \"old/", "to new/", "to \"new/"];
    let mut patch = output.stdout;
    for name in names {
        let start = name.trim_end_matches("old/").trim_end_matches("new/");
        patch = replaced(&patch, name.as_bytes(), start.as_bytes());
    }
    patch
}

fn write(root: &Path, files: &Files) {
    fs::create_dir_all(root).unwrap();
    for (name, file) in files {
        let path = root.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &file.content).unwrap();
        let mode = if file.executable { 0o755 } else { 0o644 };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    }
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let mut replaced = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(old) {
            Some(after) => {
                replaced.extend_from_slice(new);
                rest = after;
            }
            None => {
                replaced.push(*first);
                rest = after;
            }
        }
    }
    replaced
}

fn patched(old: &Files, patch: &[u8]) -> Result<Files, PatchError> {
    let changed = PackagePatch::parse("p.patch", patch)?.apply(|path| Ok(old.get(path).cloned()))?;
    let mut files = old.clone();
    for (path, file) in changed {
        match file {
            Some(file) => files.insert(path, file),
            None => files.remove(&path),
        };
    }
    Ok(files)
}

fn text() -> impl Strategy<Value = Vec<u8>> {
    let any = prop::collection::vec(any::<u8>().prop_filter("of one line", |byte| *byte != b'\n'), 0..8);
    prop_oneof![8 => select(&TEXTS[..]).prop_map(<[u8]>::to_vec), 1 => any]
}

fn lines() -> impl Strategy<Value = Vec<Vec<u8>>> {
    prop_oneof![4 => prop::collection::vec(text(), 0..40), 1 => prop::collection::vec(text(), 0..3)]
}

/// A file of these lines; the last may have no end.
fn file() -> impl Strategy<Value = FileState> {
    (lines(), any::<bool>(), any::<bool>()).prop_map(|(lines, ended, executable)| state(&lines, ended, executable))
}

fn state(lines: &[Vec<u8>], ended: bool, executable: bool) -> FileState {
    let mut content = lines.join(&b'\n');
    if ended && !lines.is_empty() {
        content.push(b'\n');
    }
    FileState { content, executable }
}

/// A file before and after: not there, new, removed, the same, changed a little, another.
fn change() -> impl Strategy<Value = (Option<FileState>, Option<FileState>)> {
    let edits = prop::collection::vec((any::<Index>(), prop::option::of(text()), any::<bool>()), 0..6);
    let edited = (lines(), edits, any::<[bool; 4]>()).prop_map(|(old, edits, [ended, new_ended, run, new_run])| {
        let mut new = old.clone();
        for (index, text, replaces) in edits {
            let at = index.index(new.len() + 1);
            if replaces && at < new.len() {
                new.remove(at);
            }
            new.splice(at..at, text);
        }
        (Some(state(&old, ended, run)), Some(state(&new, new_ended, new_run)))
    });
    prop_oneof![
        5 => edited,
        1 => (prop::option::of(file()), prop::option::of(file())),
        1 => file().prop_map(|file| (Some(file.clone()), Some(file))),
    ]
}

/// The files of a package before and after; some have another name then.
fn package() -> impl Strategy<Value = (Files, Files)> {
    let names = (prop::collection::vec(change(), NAMES.len()), Just(NAMES.to_vec()).prop_shuffle(), any::<bool>());
    names.prop_map(|(changes, new_names, renames)| {
        let (mut old, mut new) = (Files::new(), Files::new());
        for ((before, after), (name, new_name)) in changes.into_iter().zip(NAMES.iter().zip(new_names)) {
            old.extend(before.map(|file| ((*name).to_owned(), file)));
            // A name of its own, since git sees a renaming only where neither name is in both.
            let new_name = if renames { format!("moved/{new_name}") } else { (*name).to_owned() };
            new.extend(after.map(|file| (new_name, file)));
        }
        (old, new)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// With any context, with and without renamings, the patch gives the new files byte for byte.
    #[test]
    fn patches_give_what_they_were_made_from(
        (old, new) in package(),
        context in select(vec!["-U0", "-U1", "-U3", "-U25"]),
        renames in select(vec!["--no-renames", "-M10%", "-B10%"]),
        removal in select(vec!["--no-ext-diff", "--irreversible-delete"]),
    ) {
        if has_git() {
            let patch = patch(&old, &new, &[context, renames, removal]);
            let patched = patched(&old, &patch);
            prop_assert!(patched.is_ok(), "{patched:?} from\n{}", String::from_utf8_lossy(&patch));
            prop_assert_eq!(patched.unwrap(), new, "from\n{}", String::from_utf8_lossy(&patch));
        }
    }

    /// Of a file in which no line is twice, a patch also fits another version: one with other lines before and after,
    /// and other white space at the ends of lines.
    #[test]
    fn patches_find_their_lines_again(
        count in 1..60_usize,
        edits in prop::collection::vec((any::<Index>(), any::<bool>(), 0..3_usize), 1..6),
        (before, after) in (0..50_usize, 0..50_usize),
        white_space in select(vec!["", " ", "\t", "\r"]),
    ) {
        if has_git() {
            let mut new: Vec<(usize, bool)> = (0..count).map(|number| (number, false)).collect();
            for (edit, (index, removes, adds)) in edits.into_iter().enumerate() {
                let at = index.index(new.len() + 1);
                if removes && at < new.len() {
                    new.remove(at);
                }
                new.splice(at..at, (0..adds).map(|added| (1000 * (edit + 1) + added, true)));
            }
            // Lines that the patch adds are as it has them; others are the file's own.
            let text = |lines: &[(usize, bool)], space: &str| -> String {
                lines.iter().map(|(number, added)| format!("{number}{}\n", if *added { "" } else { space })).collect()
            };
            let old: Vec<(usize, bool)> = (0..count).map(|number| (number, false)).collect();
            let files = |content: String| -> Files {
                [("f".to_owned(), FileState { content: content.into_bytes(), executable: false })].into()
            };
            let others = |middle: String| {
                let line = |name: &'static str| move |number| format!("{name} {number}\n");
                let (before, after): (String, String) =
                    ((0..before).map(line("before")).collect(), (0..after).map(line("after")).collect());
                files(format!("{before}{middle}{after}"))
            };
            let patch = patch(&files(text(&old, "")), &files(text(&new, "")), &[]);
            let patched = patched(&others(text(&old, white_space)), &patch);
            prop_assert!(patched.is_ok(), "{patched:?} from\n{}", String::from_utf8_lossy(&patch));
            prop_assert_eq!(patched.unwrap(), others(text(&new, white_space)));
        }
    }

    /// A damaged patch is applied or refused, and an error names it.
    #[test]
    fn damaged_patches_are_applied_or_refused(
        (old, new) in package(),
        damage in prop::collection::vec((any::<Index>(), select(&b"\n\r\\-+ @\"/.0\xff"[..]), any::<bool>()), 1..8),
        end in any::<Index>(),
    ) {
        if has_git() {
            let mut patch = patch(&old, &new, &["-U1"]);
            for (index, byte, inserts) in damage {
                let at = index.index(patch.len() + 1);
                patch.splice(at..(at + usize::from(!inserts)).min(patch.len()), [byte]);
            }
            patch.truncate(patch.len() - end.index(patch.len() + 1) / 8);
            if let Err(error) = patched(&old, &patch) {
                prop_assert!(error.to_string().contains("`p.patch`"), "{error}");
            }
        }
    }
}
