//! From the lines of a patch file to its changes.

use super::hunk::Hunk;
use super::names::{self, Refused};
use super::{Change, Operation, PatchError};

/// What stands in yarn's patches before a `diff` that is for some versions only.
const EXCLUSIVITY: &[u8] = b"semver exclusivity ";

/// The changes, in their order.
pub(super) fn changes(patch: &str, bytes: &[u8]) -> Result<Vec<Change>, PatchError> {
    let bytes_without_mark = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    let mut reader = Reader { patch, bytes, offset: bytes.len() - bytes_without_mark.len(), line: 1 };
    let mut changes = Vec::new();
    let mut header = Header::default();
    let mut is_patch = bytes.trim_ascii().is_empty();
    while let Some(line) = reader.peek() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.starts_with(b"@@") {
            header.hunks.push(reader.hunk()?);
            continue;
        }
        if header.ends_before(line, reader.after_next()) {
            changes.extend(std::mem::take(&mut header).change(&reader)?);
        }
        header.read(line, &reader)?;
        is_patch |= header.is_git || header.has_sides;
        reader.advance();
    }
    changes.extend(header.change(&reader)?);
    match is_patch {
        true => Ok(changes),
        false => Err(PatchError::NoPatch { patch: patch.to_owned() }),
    }
}

/// The lines of a patch that were not yet read.
struct Reader<'a> {
    patch: &'a str,
    bytes: &'a [u8],
    offset: usize,
    /// The number of the next line.
    line: usize,
}

impl<'a> Reader<'a> {
    /// The next line, without its line feed.
    fn peek(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.offset..)?.split_inclusive(|byte| *byte == b'\n').next().map(without_line_feed)
    }

    /// The line after the next one.
    fn after_next(&self) -> Option<&'a [u8]> {
        self.bytes.get(self.offset..)?.split_inclusive(|byte| *byte == b'\n').nth(1).map(without_line_feed)
    }

    fn advance(&mut self) {
        if let Some(line) = self.peek() {
            self.offset += line.len() + 1;
            self.line += 1;
        }
    }

    fn malformed(&self, problem: &'static str) -> PatchError {
        PatchError::Malformed { patch: self.patch.to_owned(), line: self.line, problem }
    }

    fn refused(&self, (problem, path): Refused) -> PatchError {
        PatchError::Path { patch: self.patch.to_owned(), line: self.line, problem, path }
    }

    fn unsupported(&self, what: &'static str, header: &Header) -> PatchError {
        let path = header.new.clone().or(header.both.clone()).unwrap_or_default();
        PatchError::Unsupported { patch: self.patch.to_owned(), line: self.line, what, path }
    }

    /// A hunk from its header to the last of the lines that this counts.
    fn hunk(&mut self) -> Result<Hunk, PatchError> {
        let header = self.peek().and_then(ranges).ok_or_else(|| self.malformed("is no header of a hunk"))?;
        let ((start, mut old), (_, mut new)) = header;
        // Of no lines, the header names the line before.
        let lines_before = if old == 0 { start } else { start.saturating_sub(1) };
        let line = self.line;
        self.advance();
        let body = self.offset;
        while old > 0 || new > 0 {
            let counts = match self.peek().map(<[u8]>::first) {
                // Here a word in the language of whoever made the patch says that no line feed follows.
                Some(Some(b'\\')) if self.offset > body => Some((old, new)),
                Some(Some(b'-')) => old.checked_sub(1).map(|old| (old, new)),
                Some(Some(b'+')) => new.checked_sub(1).map(|new| (old, new)),
                Some(Some(b' ' | b'\r') | None) => old.checked_sub(1).zip(new.checked_sub(1)),
                Some(Some(_)) => None,
                None => return Err(self.malformed("is missing: the last hunk is shorter than its header says")),
            };
            (old, new) = counts.ok_or_else(|| self.malformed("is not one that the header of its hunk counts"))?;
            self.advance();
        }
        while self.peek().is_some_and(|line| line.starts_with(b"\\")) {
            self.advance();
        }
        let hunk = Hunk { line, lines_before, body: body..self.offset };
        // A line that nobody counted would be lost without a word. `-- ` is how mails end.
        let is_header = || self.after_next().is_some_and(|next| next.starts_with(b"+++ "));
        match self.peek() {
            Some(line) if line.starts_with(b"--- ") && is_header() => Ok(hunk),
            Some(b"-- " | b"-- \r") => Ok(hunk),
            Some([b' ' | b'+' | b'-', ..]) => Err(self.malformed("is not one that the header of its hunk counts")),
            _ => Ok(hunk),
        }
    }
}

fn without_line_feed(line: &[u8]) -> &[u8] {
    line.strip_suffix(b"\n").unwrap_or(line)
}

/// Start and length of the old and the new lines, from `@@ -1,2 +3,4 @@`.
fn ranges(header: &[u8]) -> Option<((usize, usize), (usize, usize))> {
    let mut words = header.split(|byte| *byte == b' ').skip(1);
    let mut range = |sign: u8| {
        let range = std::str::from_utf8(words.next()?.strip_prefix(&[sign])?).ok()?;
        match range.split_once(',') {
            Some((start, length)) => Some((number(start)?, number(length)?)),
            None => Some((number(range)?, 1)),
        }
    };
    let ranges = range(b'-').zip(range(b'+'));
    words.next()?.starts_with(b"@@").then_some(ranges)?
}

/// A number of digits alone, which `parse` is not strict about.
fn number(digits: &str) -> Option<usize> {
    digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())?
}

/// What was read of one file's change. Names, modes and hunks may each be missing.
#[derive(Default)]
struct Header {
    /// Whether there was a line `diff --git`.
    is_git: bool,
    /// The path in it.
    both: Option<String>,
    /// The path after `---`, and the one after `+++`.
    old: Option<String>,
    new: Option<String>,
    /// Whether there were such lines.
    has_sides: bool,
    rename_from: Option<String>,
    rename_to: Option<String>,
    creates: bool,
    removes: bool,
    executable: Option<bool>,
    hunks: Vec<Hunk>,
}

impl Header {
    /// Whether a line is of the next file's change.
    fn ends_before(&self, line: &[u8], after: Option<&[u8]>) -> bool {
        let starts_diff = |line: &[u8]| line.starts_with(b"diff --git ");
        match line {
            _ if starts_diff(line) => self.is_git || self.has_sides,
            _ if line.starts_with(EXCLUSIVITY) => !self.hunks.is_empty() || after.is_some_and(starts_diff),
            // Old files of patch-package have no line `diff --git`.
            _ if line.starts_with(b"--- ") => self.has_sides && after.is_some_and(|line| line.starts_with(b"+++ ")),
            _ => {
                !self.hunks.is_empty()
                    && [&b"new file mode "[..], b"deleted file mode ", b"old mode ", b"rename from "]
                        .iter()
                        .any(|start| line.starts_with(start))
            }
        }
    }

    fn read(&mut self, line: &[u8], reader: &Reader) -> Result<(), PatchError> {
        let refused = |error| reader.refused(error);
        let rest = |start: &str| line.strip_prefix(start.as_bytes());
        if let Some(names) = rest("diff --git ") {
            self.is_git = true;
            self.both = names::both_sides(names).transpose().map_err(refused)?;
        } else if line.starts_with(EXCLUSIVITY) {
            return Err(reader.malformed("is about some versions of the package only"));
        } else if let Some(name) = rest("--- ") {
            self.old = names::side(name).map_err(refused)?;
            self.has_sides = true;
        } else if let Some(name) = rest("+++ ") {
            self.new = names::side(name).map_err(refused)?;
            self.creates |= self.has_sides && self.old.is_none();
            self.removes |= self.new.is_none();
            self.has_sides = true;
        } else if let Some(name) = rest("rename from ") {
            self.rename_from = Some(names::renamed(name).map_err(refused)?);
        } else if let Some(name) = rest("rename to ") {
            self.rename_to = Some(names::renamed(name).map_err(refused)?);
        } else if let Some(mode) = rest("new file mode ") {
            self.executable = Some(self.executable_of(mode, reader)?);
            self.creates = true;
        } else if let Some(mode) = rest("deleted file mode ") {
            self.executable_of(mode, reader)?;
            self.removes = true;
        } else if let Some(mode) = rest("new mode ") {
            self.executable = Some(self.executable_of(mode, reader)?);
        } else if rest("copy from ").is_some() {
            return Err(reader.unsupported("copies a file", self));
        } else if self.is_git && (rest("GIT binary patch").is_some() || rest("Binary files ").is_some()) {
            return Err(reader.unsupported("changes a binary file", self));
        }
        Ok(())
    }

    fn executable_of(&self, mode: &[u8], reader: &Reader) -> Result<bool, PatchError> {
        let mode = std::str::from_utf8(mode).ok().and_then(|mode| u32::from_str_radix(mode.trim(), 8).ok());
        match mode.ok_or_else(|| reader.malformed("has no mode of a file"))? {
            mode if matches!(mode & 0o170_000, 0 | 0o100_000) => Ok(mode & 0o100 != 0),
            _ => Err(reader.unsupported("makes or removes a link or a submodule", self)),
        }
    }

    /// The change, if the lines are more than what may stand between those of changes.
    fn change(self, reader: &Reader) -> Result<Option<Change>, PatchError> {
        let Self { both, old, new, executable, hunks, .. } = self;
        let two_names = "ends a change that names two files, but is no renaming";
        let no_name = "ends a change that names no file";
        let operation = match (self.rename_from, self.rename_to) {
            (Some(from), Some(to)) => Operation::Rename { from, to },
            _ if self.creates && self.removes => return Err(reader.malformed(no_name)),
            _ if self.removes => Operation::Remove(old.or(both).ok_or_else(|| reader.malformed(no_name))?),
            _ if self.creates => Operation::Create(new.or(both).ok_or_else(|| reader.malformed(no_name))?),
            _ => match (old, new, both) {
                (Some(old), Some(new), _) if old != new => return Err(reader.malformed(two_names)),
                (Some(path), ..) | (_, Some(path), _) | (.., Some(path)) => Operation::Modify(path),
                _ if self.is_git => return Err(reader.malformed(two_names)),
                _ if !hunks.is_empty() => return Err(reader.malformed(no_name)),
                _ => return Ok(None),
            },
        };
        // Such as a line that only names what git compared.
        if matches!(operation, Operation::Modify(_)) && hunks.is_empty() && executable.is_none() {
            return Ok(None);
        }
        Ok(Some(Change { operation, executable, hunks }))
    }
}
