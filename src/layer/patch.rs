//! What the patch files of package managers make of a package's files: yarn's `patch:`, pnpm's and bun's
//! `patchedDependencies`, and the files that `patch-package` writes.
//!
//! All of them are what `git diff` prints for several text files, and managers read them more leniently than git does.
//! A hunk is looked for where its header says that the old lines are (moved as far as the hunk before it had to be),
//! then in the lines around it, nearest first, the one above before the one below; lines are compared without the
//! white space at their ends. Sources: yarn 4, `packages/plugin-patch/sources/tools/{parse,apply}.ts`; `patch-package`
//! 8, `src/patch/{parse,apply}.ts`, which pnpm's is a copy of; bun, `src/patch`. Where these differ, and why this is
//! no library's work, stands in `docs/decisions/patches-of-packages.md`.
//!
//! Nothing is read from or written to a disk here. The files that change are held in memory.

mod changes;
mod hunk;
mod names;
mod parse;

use std::collections::BTreeMap;
use std::io;

use self::changes::Changes;
use self::hunk::Hunk;

/// The largest patch file.
const PATCH_LIMIT: usize = 64 << 20;

/// A patch file that was understood: changes of files, in their order.
#[derive(Clone, Debug)]
pub struct PackagePatch {
    /// The patch file, as errors call it.
    name: String,
    /// The patch file's bytes; hunks are ranges of them.
    bytes: Vec<u8>,
    changes: Vec<Change>,
}

/// A file with what a patch can change of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileState {
    /// Its content.
    pub content: Vec<u8>,
    /// Whether it may be run.
    pub executable: bool,
}

/// What is done to one file.
#[derive(Clone, Debug)]
struct Change {
    operation: Operation,
    /// Whether the file may be run then, if the patch says so.
    executable: Option<bool>,
    hunks: Vec<Hunk>,
}

/// Paths are relative to the package's root.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Operation {
    Create(String),
    Remove(String),
    Modify(String),
    Rename { from: String, to: String },
}

/// Why a patch cannot be understood or applied. `patch` is the patch file by the name that was given for it, `line` one
/// of its lines, counted from 1, and `path` a file of the package.
#[derive(Debug, thiserror::Error)]
pub enum PatchError {
    /// More bytes than any patch has.
    #[error("the patch has more than {} MiB: `{patch}`", PATCH_LIMIT >> 20)]
    TooLarge {
        /// The patch.
        patch: String,
    },
    /// Text, but none that changes a file.
    #[error("the file is no patch: `{patch}`")]
    NoPatch {
        /// The patch.
        patch: String,
    },
    /// A line that is none of a patch, or not at its place.
    #[error("line {line} of the patch {problem}: `{patch}`")]
    Malformed {
        /// The patch.
        patch: String,
        /// The line.
        line: usize,
        /// What is wrong there.
        problem: &'static str,
    },
    /// A path that leads out of the package, or that no package has.
    #[error("line {line} of the patch `{patch}` names a file whose path {problem}: `{path}`")]
    Path {
        /// The patch.
        patch: String,
        /// The line.
        line: usize,
        /// What is wrong with the path.
        problem: &'static str,
        /// The path.
        path: String,
    },
    /// A change that git can describe and no package manager makes.
    #[error("line {line} of the patch `{patch}` {what}, which package managers do not do, in `{path}`")]
    Unsupported {
        /// The patch.
        patch: String,
        /// The line.
        line: usize,
        /// What it would do.
        what: &'static str,
        /// The file, as far as it is known.
        path: String,
    },
    /// A change of a file that is not there.
    #[error("the patch `{patch}` changes a file that the package does not have: `{path}`")]
    Missing {
        /// The patch.
        patch: String,
        /// The file.
        path: String,
    },
    /// A new file where one is.
    #[error("the patch `{patch}` creates a file that the package already has: `{path}`")]
    Exists {
        /// The patch.
        patch: String,
        /// The file.
        path: String,
    },
    /// A new file in a directory that is none.
    #[error("the patch `{patch}` creates a file below another file: `{path}`")]
    BelowFile {
        /// The patch.
        patch: String,
        /// The new file.
        path: String,
    },
    /// Lines that are to be changed and are not there.
    #[error("the hunk in line {line} of the patch `{patch}` fits nowhere in the file `{path}`")]
    Hunk {
        /// The patch.
        patch: String,
        /// The line of the hunk's header.
        line: usize,
        /// The file.
        path: String,
    },
    /// A file of the package cannot be read.
    #[error("a file that the patch `{patch}` changes cannot be read: {source}, in `{path}`")]
    Read {
        /// The patch.
        patch: String,
        /// The file.
        path: String,
        /// What went wrong.
        source: io::Error,
    },
}

impl PatchError {
    /// What to do next.
    pub fn hint(&self) -> Option<String> {
        let hint = match self {
            Self::TooLarge { .. } | Self::NoPatch { .. } | Self::Malformed { .. } | Self::Path { .. } => {
                "make it again with the package manager's own command: `yarn patch`, `pnpm patch` or `bun patch`"
            }
            Self::Unsupported { .. } => "leave this file out of the patch, or let a script of the workspace change it",
            Self::Missing { .. } | Self::Exists { .. } | Self::BelowFile { .. } | Self::Hunk { .. } => {
                "the patch may be for another version of the package: make it again for the one that the lockfile has"
            }
            Self::Read { .. } => return None,
        };
        Some(hint.to_owned())
    }
}

impl PackagePatch {
    /// Reads a patch file. `name` is what errors call it. A file with nothing in it is a patch that changes nothing.
    pub fn parse(name: impl Into<String>, bytes: &[u8]) -> Result<Self, PatchError> {
        Self::parse_owned(name.into(), bytes.len(), || bytes.to_vec())
    }

    /// Reads a patch file as yarn does: a line ends with a line feed alone, whatever it ends with in the file. Lines
    /// that such a patch adds to a file have no carriage return, even if the file's other lines do.
    pub fn parse_as_yarn(name: impl Into<String>, bytes: &[u8]) -> Result<Self, PatchError> {
        Self::parse_owned(name.into(), bytes.len(), || with_line_feeds(bytes))
    }

    fn parse_owned(name: String, length: usize, bytes: impl FnOnce() -> Vec<u8>) -> Result<Self, PatchError> {
        if length > PATCH_LIMIT {
            return Err(PatchError::TooLarge { patch: name });
        }
        let mut bytes = bytes();
        // A last line without its end is a line all the same: what the file's end looks like, a line of its own says.
        if bytes.last().is_some_and(|last| *last != b'\n') {
            bytes.push(b'\n');
        }
        let changes = parse::changes(&name, &bytes)?;
        Ok(Self { name, bytes, changes })
    }

    /// What the package's files become: every path at which something changes, with the file that is there then, or
    /// `None` if there is none any more. `read` gives the file at a path relative to the package's root, `None` if
    /// there is none.
    ///
    /// That a new file has the name of a directory of the package cannot be seen here, since only files are asked for.
    pub fn apply(
        &self,
        read: impl FnMut(&str) -> io::Result<Option<FileState>>,
    ) -> Result<BTreeMap<String, Option<FileState>>, PatchError> {
        let mut changes = Changes::new(self, read);
        for change in &self.changes {
            changes.make(change)?;
        }
        changes.finish()
    }
}

/// The bytes with every CR LF, and every CR alone, as a LF.
fn with_line_feeds(bytes: &[u8]) -> Vec<u8> {
    let mut lines = Vec::with_capacity(bytes.len());
    let mut rest = bytes.iter().copied().peekable();
    while let Some(byte) = rest.next() {
        if byte == b'\r' {
            rest.next_if_eq(&b'\n');
            lines.push(b'\n');
        } else {
            lines.push(byte);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    type Files<'a> = &'a [(&'a str, &'a str)];

    /// What the patch makes of files that may not be run: each path with `-` for a removed file, with `x ` before the
    /// content of a file that may be run.
    fn applied(patch: &PackagePatch, files: Files) -> Result<Vec<(String, String)>, PatchError> {
        let changed = patch.apply(|path| {
            let content = files.iter().find(|(name, _)| *name == path).map(|(_, content)| content.as_bytes().to_vec());
            Ok(content.map(|content| FileState { content, executable: false }))
        })?;
        let shown = |file: FileState| {
            let content = String::from_utf8_lossy(&file.content).into_owned();
            if file.executable { format!("x {content}") } else { content }
        };
        Ok(changed.into_iter().map(|(path, file)| (path, file.map_or_else(|| "-".to_owned(), shown))).collect())
    }

    fn parsed(text: &str) -> Result<PackagePatch, PatchError> {
        PackagePatch::parse("p.patch", text.as_bytes())
    }

    fn apply(text: &str, files: Files) -> Result<Vec<(String, String)>, PatchError> {
        applied(&parsed(text)?, files)
    }

    fn modifying(hunks: &str) -> String {
        format!("diff --git a/f b/f\nindex 1..2 100644\n--- a/f\n+++ b/f\n{hunks}")
    }

    #[test]
    fn changes_of_files() {
        let new = "diff --git a/d/n b/d/n\nnew file mode 100755\nindex 0000000..1\n\
               --- /dev/null\n+++ b/d/n\n@@ -0,0 +1 @@\n+new\n";
        let rename = "diff --git a/f b/g\nsimilarity index 90%\nrename from f\nrename to g\n";
        let removal = "diff --git a/f b/f\ndeleted file mode 100644\nindex 1..0\n";
        let table: &[(&str, String, Files)] = &[
        ("nothing", String::new(), &[]),
        ("empty lines", "\n \r\n".into(), &[]),
        ("a new file that may be run", new.into(), &[("d/n", "x new\n")]),
        ("mail", format!("From 1\nSubject: x\n\n---\n d/n | 1 +\n\n{new}-- \n2.47.3\n\n"), &[("d/n", "x new\n")]),
        ("a byte order mark", format!("\u{feff}{new}"), &[("d/n", "x new\n")]),
        ("no line feed at the patch's end", new.trim_end().into(), &[("d/n", "x new\n")]),
        ("an empty new file", "diff --git a/e b/e\nnew file mode 100644\nindex 0..0\n".into(), &[("e", "")]),
        ("a removed file", format!("{removal}--- a/f\n+++ /dev/null\n@@ -1,2 +0,0 @@\n-1\n-2\n"), &[("f", "-")]),
        ("git diff --irreversible-delete", removal.into(), &[("f", "-")]),
        ("removed whatever it holds", format!("{removal}--- a/f\n+++ /dev/null\n@@ -1 +0,0 @@\n-?\n"), &[("f", "-")]),
        ("old mode, new mode", "diff --git a/f b/f\nold mode 100644\nnew mode 100755\n".into(), &[("f", "x 1\n2\n")]),
        ("renamed", rename.into(), &[("f", "-"), ("g", "1\n2\n")]),
        (
            "renamed and changed, may be run",
            format!("{rename}old mode 100644\nnew mode 100755\n--- a/f\n+++ b/g\n@@ -1,2 +1,2 @@\n-1\n+one\n 2\n"),
            &[("f", "-"), ("g", "x one\n2\n")],
        ),
        (
            "twice the same file",
            modifying("@@ -1 +1 @@\n-1\n+one\n") + &modifying("@@ -1 +1 @@\n-one\n+eins\n"),
            &[("f", "eins\n2\n")],
        ),
        (
            "removed, and made again below its name",
            format!("{removal}diff --git a/f/g b/f/g\nnew file mode 100644\n"),
            &[("f", "-"), ("f/g", "")],
        ),
        ("compared, and the same", "diff --git a/f b/f\nindex 1..2 100644\n".into(), &[]),
        (
            "as diff -u writes it",
            "Only in b: x\n--- a/f\t2020-01-01\n+++ b/f\t2020-01-02\n@@ -1 +1 @@\n-1\n+0\n".into(),
            &[("f", "0\n2\n")],
        ),
        (
            "without lines `diff --git`, as old ones of patch-package",
            "--- a/f\n+++ b/f\n@@ -1 +1 @@\n-1\n+0\nnew file mode 100755\n--- /dev/null\n+++ b/n\n@@ -0,0 +1 @@\n+n\n\
             deleted file mode 100644\n--- a/o\n+++ /dev/null\n@@ -1 +0,0 @@\n-o\n"
                .into(),
            &[("f", "0\n2\n"), ("n", "x n\n"), ("o", "-")],
        ),
        (
            "a name with a space",
            "diff --git a/a b/c b/a b/c\n--- a/a b/c\t\n+++ b/a b/c\t\n@@ -1 +1 @@\n-s\n+t\n".into(),
            &[("a b/c", "t\n")],
        ),
        (
            "a name with a space, in the line of git alone",
            "diff --git a/a b/c b/a b/c\nold mode 100644\nnew mode 100755\n".into(),
            &[("a b/c", "x s\n")],
        ),
        (
            "a quoted name",
            "diff --git \"a/\\303\\244\\\"\\t\" \"b/\\303\\244\\\"\\t\"\nnew file mode 100644\n".into(),
            &[("ä\"\t", "")],
        ),
        ("a name that leads nowhere else", new.replace("/d/n", "/./d//n"), &[("d/n", "x new\n")]),
    ];
        for (comment, patch, expected) in table {
            let expected: Vec<_> = expected.iter().map(|(path, file)| (path.to_string(), file.to_string())).collect();
            let files = [("f", "1\n2\n"), ("a b/c", "s\n"), ("o", "o\n")];
            assert_eq!(apply(patch, &files).unwrap(), expected, "{comment}");
        }
    }

    #[test]
    fn hunks() {
        let table = [
            ("one line", "1\n2\n3\n", "@@ -2 +2 @@ function\n-2\n+two\n", "1\ntwo\n3\n"),
            ("no context, added", "1\n2\n", "@@ -1,0 +2,2 @@\n+a\n+b\n", "1\na\nb\n2\n"),
            ("no context, added at the end", "1\n2\n", "@@ -2,0 +3 @@\n+a\n", "1\n2\na\n"),
            ("no context, removed", "1\n2\n2\n3\n", "@@ -3 +2,0 @@\n-2\n", "1\n2\n3\n"),
            ("into an empty file", "", "@@ -0,0 +1 @@\n+a\n", "a\n"),
            ("all away", "a\n", "@@ -1 +0,0 @@\n-a\n", ""),
            ("lines like headers", "-- a\n@@ b\n", "@@ -1,2 +1,2 @@\n--- a\n+++ a\n @@ b\n", "++ a\n@@ b\n"),
            ("an empty line without its space", "1\n\n3\n", "@@ -1,3 +1,3 @@\n-1\n+a\n\n 3\n", "a\n\n3\n"),
            ("empty lines after the hunk", "1\n", "@@ -1 +1 @@\n-1\n+a\n\n\n", "a\n"),
            // The end of the file.
            (
                "end kept away",
                "1",
                "@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+2\n\\ No newline at end of file\n",
                "2",
            ),
            ("end added", "1", "@@ -1 +1 @@\n-1\n\\ No newline at end of file\n+1\n", "1\n"),
            ("end taken", "1\n", "@@ -1 +1 @@\n-1\n+1\n\\ Kein Zeilenumbruch am Dateiende\n", "1"),
            ("end in the context", "1\n2", "@@ -1,2 +1,2 @@\n-1\n+a\n 2\n\\ No newline at end of file\n", "a\n2"),
            ("added after an end that the patch did not know", "1", "@@ -1 +1,2 @@\n 1\n+2\n", "1\n2\n"),
            ("no end in the middle", "1\n2\n", "@@ -1 +1,2 @@\n 1\n+a\n\\ No newline at end of file\n", "1\na\n2\n"),
            // White space at the ends of lines.
            ("the file's own white space stays", "1 \t\r\n2\r\n", "@@ -1,2 +1,2 @@\n 1\n-2 \n+b\r\n", "1 \t\r\nb\r\n"),
            ("not that at the beginning", " 2\n2\n", "@@ -1 +1 @@\n-2\n+b\n", " 2\nb\n"),
            ("carriage returns", "1\r\n2\r\n", "@@ -1,2 +1,2 @@\r\n 1\r\n-2\r\n+b\r\n", "1\r\nb\r\n"),
            // Other places than the stated.
            ("below", "0\n0\n1\n", "@@ -1 +1 @@\n-1\n+a\n", "0\n0\na\n"),
            ("above", "1\n0\n0\n", "@@ -3 +3 @@\n-1\n+a\n", "a\n0\n0\n"),
            ("far above", "1\n0\n", "@@ -400 +400 @@\n-1\n+a\n", "a\n0\n"),
            ("the stated of many", "1\n1\n1\n1\n", "@@ -3 +3 @@\n-1\n+a\n", "1\n1\na\n1\n"),
            ("the one above, if both are as near", "1\n0\n1\n", "@@ -2 +2 @@\n-1\n+a\n", "a\n0\n1\n"),
            ("the nearer one", "1\n0\n0\n1\n", "@@ -3 +3 @@\n-1\n+a\n", "1\n0\n0\na\n"),
            (
                "as far as the one before",
                "0\n0\n1\n1\n1\n",
                "@@ -1 +1 @@\n-1\n+a\n@@ -3 +3 @@\n-1\n+b\n",
                "0\n0\na\n1\nb\n",
            ),
            ("never before the last", "2\n1\n2\n", "@@ -2 +2 @@\n-1\n+a\n@@ -3,1 +3,1 @@\n-2\n+b\n", "2\na\nb\n"),
            // Yarn's patches often have such; by the second number, both would lie elsewhere or overlap.
            (
                "a wrong place in the new file",
                "1\n2\n1\n2\n1\n2\n",
                "@@ -1 +1,5 @@\n 1\n+a\n+a\n+a\n+a\n@@ -3,2 +1,3 @@\n 1\n+b\n 2\n",
                "1\na\na\na\na\n2\n1\nb\n2\n1\n2\n",
            ),
        ];
        for (comment, file, hunks, expected) in table {
            let changed = apply(&modifying(hunks), &[("f", file)]).unwrap();
            assert_eq!(changed, [("f".to_owned(), expected.to_owned())], "{comment}");
        }
    }

    #[test]
    fn what_is_refused() {
        let one = modifying("@@ -1 +1 @@\n-1\n+a\n");
        let mode = |mode: &str| {
            format!("diff --git a/l b/l\nnew file mode {mode}\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+f\n")
        };
        let created = |name: &str| format!("--- /dev/null\n+++ {name}\n@@ -0,0 +1 @@\n+f\n");
        let table = [
            ("no patch", "hello\n".into(), "the file is no patch: `p.patch`"),
            (
                "hunks alone",
                "@@ -1 +1 @@\n-1\n+a\n".into(),
                "line 4 of the patch ends a change that names no file: `p.patch`",
            ),
            (
                "fits nowhere",
                one.replace("-1\n", "-?\n"),
                "the hunk in line 5 of the patch `p.patch` fits nowhere in the file `f`",
            ),
            (
                "the second fits nowhere",
                modifying("@@ -1 +1 @@\n-1\n+a\n@@ -1 +1 @@\n-1\n+a\n"),
                "the hunk in line 8 of the patch `p.patch` fits nowhere in the file `f`",
            ),
            (
                "longer than the file",
                modifying("@@ -1,3 +1 @@\n 1\n-2\n-3\n"),
                "the hunk in line 5 of the patch `p.patch` fits nowhere in the file `f`",
            ),
            (
                "added without context behind the end",
                modifying("@@ -7,0 +8 @@\n+1\n"),
                "the hunk in line 5 of the patch `p.patch` fits nowhere in the file `f`",
            ),
            (
                "a new file with old lines",
                mode("100644").replace("+f", " f").replace("-0,0", "-1"),
                "the hunk in line 5 of the patch `p.patch` fits nowhere in the file `l`",
            ),
            (
                "is not there",
                one.replace("/f", "/o"),
                "the patch `p.patch` changes a file that the package does not have: `o`",
            ),
            (
                "cannot be removed",
                "diff --git a/o b/o\ndeleted file mode 100644\n".into(),
                "the patch `p.patch` changes a file that the package does not have: `o`",
            ),
            (
                "cannot be renamed",
                "diff --git a/o b/f\nrename from o\nrename to f\n".into(),
                "the patch `p.patch` changes a file that the package does not have: `o`",
            ),
            (
                "renamed onto another",
                "diff --git a/f b/g\nrename from f\nrename to g\n".into(),
                "the patch `p.patch` creates a file that the package already has: `g`",
            ),
            ("is there", created("b/f"), "the patch `p.patch` creates a file that the package already has: `f`"),
            ("below a file", created("b/f/x"), "the patch `p.patch` creates a file below another file: `f/x`"),
            (
                "below a new file",
                created("b/x/y/z") + &created("b/x"),
                "the patch `p.patch` creates a file below another file: `x/y/z`",
            ),
            (
                "changed after it was removed",
                "diff --git a/f b/f\ndeleted file mode 100644\n".to_owned() + &one,
                "the patch `p.patch` changes a file that the package does not have: `f`",
            ),
            (
                "upwards",
                created("b/x/../../y"),
                "line 2 of the patch `p.patch` names a file whose path has `..`: `x/../../y`",
            ),
            (
                "absolute",
                created("b//etc/x"),
                "line 2 of the patch `p.patch` names a file whose path is absolute: `/etc/x`",
            ),
            (
                "NUL",
                created("\"b/x\\000\""),
                "line 2 of the patch `p.patch` names a file whose path has a NUL byte: `x\0`",
            ),
            (
                "backslash",
                created("b/x\\y"),
                "line 2 of the patch `p.patch` names a file whose path has a backslash: `x\\y`",
            ),
            (
                "no UTF-8",
                created("\"b/\\377\""),
                "line 2 of the patch `p.patch` names a file whose path is no UTF-8: `\u{fffd}`",
            ),
            ("empty", created("b/."), "line 2 of the patch `p.patch` names a file whose path is empty: `.`"),
            (
                "a directory",
                created("b/x/"),
                "line 2 of the patch `p.patch` names a file whose path is that of a directory: `x/`",
            ),
            (
                "no prefix",
                created("lib/x"),
                "line 2 of the patch `p.patch` names a file whose path has no `a/` or `b/` before it: `lib/x`",
            ),
            (
                "upwards by renaming",
                "diff --git a/f b/../f\nrename from f\nrename to ../f\n".into(),
                "line 3 of the patch `p.patch` names a file whose path has `..`: `../f`",
            ),
            (
                "binary",
                "diff --git a/i.png b/i.png\nindex 1..2 100644\nBinary files a/i.png and b/i.png differ\n".into(),
                "line 3 of the patch `p.patch` changes a binary file, which package managers do not do, in `i.png`",
            ),
            (
                "binary with its bytes",
                "diff --git a/i.png b/i.png\nindex 1..2 100644\nGIT binary patch\ndelta 6\nNcmZ\n".into(),
                "line 3 of the patch `p.patch` changes a binary file, which package managers do not do, in `i.png`",
            ),
            (
                "a link",
                mode("120000"),
                "line 2 of the patch `p.patch` makes or removes a link or a submodule, \
             which package managers do not do, in `l`",
            ),
            ("no mode", mode("rwx"), "line 2 of the patch has no mode of a file: `p.patch`"),
            (
                "a copy",
                "diff --git a/f b/f\ncopy from f\ncopy to g\n".into(),
                "line 2 of the patch `p.patch` copies a file, which package managers do not do, in `f`",
            ),
            (
                "two names",
                modifying("@@ -1 +1 @@\n-1\n+a\n").replace("+++ b/f", "+++ b/g"),
                "line 8 of the patch ends a change that names two files, but is no renaming: `p.patch`",
            ),
            ("no file at all", created("/dev/null"), "line 5 of the patch ends a change that names no file: `p.patch`"),
            ("no numbers", modifying("@@\n-1\n+a\n"), "line 5 of the patch is no header of a hunk: `p.patch`"),
            ("signs", modifying("@@ -+1 +1 @@\n-1\n+a\n"), "line 5 of the patch is no header of a hunk: `p.patch`"),
            (
                "two parents",
                modifying("@@@ -1 -1 +1 @@@\n--1\n++a\n"),
                "line 5 of the patch is no header of a hunk: `p.patch`",
            ),
            (
                "cut off",
                modifying("@@ -1,2 +1,2 @@\n-1\n+a\n"),
                "line 8 of the patch is missing: the last hunk is shorter than its header says: `p.patch`",
            ),
            (
                "too few lines",
                modifying("@@ -1,2 +1 @@\n-1\n+a\n@@ -1 +1 @@\n-1\n+a\n"),
                "line 8 of the patch is not one that the header of its hunk counts: `p.patch`",
            ),
            (
                "too many lines",
                modifying("@@ -1 +1 @@\n-1\n+a\n+b\n"),
                "line 8 of the patch is not one that the header of its hunk counts: `p.patch`",
            ),
            (
                "too many lines of one kind",
                modifying("@@ -1 +1,2 @@\n-1\n-2\n+a\n"),
                "line 7 of the patch is not one that the header of its hunk counts: `p.patch`",
            ),
        ];
        for (comment, patch, expected) in table {
            let error = apply(&patch, &[("f", "1\n2\n"), ("g", "")]).expect_err(comment);
            assert_eq!(error.to_string(), expected, "{comment}");
            assert!(error.hint().is_some(), "{comment}");
        }
    }

    #[test]
    fn limits_and_files_that_cannot_be_read() {
        let error = PackagePatch::parse("p.patch", &vec![b'\n'; PATCH_LIMIT + 1]).unwrap_err();
        assert_eq!(error.to_string(), "the patch has more than 64 MiB: `p.patch`");
        let patch = parsed(&modifying("@@ -1 +1 @@\n-1\n+a\n")).unwrap();
        let error = patch.apply(|_| Err(io::Error::other("disk on fire"))).unwrap_err();
        assert_eq!(error.to_string(), "a file that the patch `p.patch` changes cannot be read: disk on fire, in `f`");
    }

    #[test]
    fn changes_of_some_versions_only() {
        let text = format!("semver exclusivity ^3\n{}", modifying("@@ -1 +1 @@\n-1\n+a\n"));
        let error = parsed(&text).unwrap_err().to_string();
        assert_eq!(error, "line 1 of the patch is about some versions of the package only: `p.patch`");
    }

    #[test]
    fn line_ends_of_a_patch() {
        let text = modifying("@@ -1,2 +1,2 @@\n 1\n-2\n+b\n").replace('\n', "\r\n")
            + "\rdiff --git a/n b/n\rnew file mode 100644\r";
        let files = [("f", "1\r\n2\r\n")];
        let patch = PackagePatch::parse_as_yarn("p.patch", text.as_bytes()).unwrap();
        let changed = applied(&patch, &files).unwrap();
        assert_eq!(changed, [("f".to_owned(), "1\r\nb\n".to_owned()), ("n".to_owned(), String::new())]);
        let text = text.split("\rdiff").next().unwrap();
        assert_eq!(apply(text, &files).unwrap(), [("f".to_owned(), "1\r\nb\r\n".to_owned())]);
    }
}
