//! Hunks: where they fit, and what they make of a file.

use std::ops::Range;

/// A hunk whose lines were counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hunk {
    /// The line of the patch that has its header.
    pub(super) line: usize,
    /// How many lines of the file come before it, by its header. That header's other number is where it lies in the new
    /// file; it is wrong in many patches that managers apply, and nothing is made of it.
    pub(super) lines_before: usize,
    /// Its lines in the patch.
    pub(super) body: Range<usize>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Context,
    Removed,
    Added,
}

/// A line of a hunk.
struct Line<'a> {
    kind: Kind,
    /// It without what ends it.
    text: &'a [u8],
    /// Whether a line feed ends it.
    ended: bool,
}

impl Hunk {
    fn lines<'a>(&self, patch: &'a [u8]) -> Lines<'a> {
        Lines(patch.get(self.body.clone()).unwrap_or_default())
    }
}

/// The lines of a hunk's body.
struct Lines<'a>(&'a [u8]);

impl<'a> Iterator for Lines<'a> {
    type Item = Line<'a>;

    fn next(&mut self) -> Option<Line<'a>> {
        loop {
            let line = self.take_line()?;
            let (kind, text) = match line.split_first() {
                Some((b'+', text)) => (Kind::Added, text),
                Some((b'-', text)) => (Kind::Removed, text),
                Some((b' ', text)) => (Kind::Context, text),
                Some((b'\\', _)) => continue,
                // An empty line, from which an editor took the space.
                _ => (Kind::Context, line),
            };
            return Some(Line { kind, text, ended: !self.0.starts_with(b"\\") });
        }
    }
}

impl<'a> Lines<'a> {
    fn take_line(&mut self) -> Option<&'a [u8]> {
        if self.0.is_empty() {
            return None;
        }
        let end = self.0.iter().position(|byte| *byte == b'\n').unwrap_or(self.0.len());
        let (line, rest) = self.0.split_at(end);
        self.0 = rest.get(1..).unwrap_or_default();
        Some(line)
    }
}

/// The file with all hunks made; the error is the line of the header of the one that fits nowhere.
pub(super) fn apply(hunks: &[Hunk], patch: &[u8], file: &[u8]) -> Result<Vec<u8>, usize> {
    let lines: Vec<&[u8]> = file.split_inclusive(|byte| *byte == b'\n').collect();
    let mut changed = Changed(Vec::with_capacity(file.len()));
    let mut rest = 0..lines.len();
    // How far the last hunk lay from where its header says, and in which direction.
    let mut shift = (0, 0);
    for hunk in hunks {
        let old = hunk.lines(patch).filter(|line| line.kind != Kind::Added).map(|line| trimmed(line.text));
        let expected = hunk.lines_before.saturating_add(shift.0).saturating_sub(shift.1);
        let place = place(&lines, &rest, &old.collect::<Vec<_>>(), expected).ok_or(hunk.line)?;
        shift = (place.saturating_sub(hunk.lines_before), hunk.lines_before.saturating_sub(place));
        // The file's own lines stay: its white space may be another than the patch's.
        let mut own = lines.iter().skip(rest.start);
        own.by_ref().take(place - rest.start).for_each(|line| changed.push(line));
        rest.start = place;
        for line in hunk.lines(patch) {
            match line.kind {
                Kind::Added => changed.push_text(line.text, line.ended),
                kind => {
                    let own = own.next().ok_or(hunk.line)?;
                    rest.start += 1;
                    if kind == Kind::Context {
                        changed.push(own);
                    }
                }
            }
        }
    }
    lines.iter().skip(rest.start).for_each(|line| changed.push(line));
    Ok(changed.0)
}

/// The number of lines before the place at which the lines `old` are, nearest to `expected`, and all in `rest`.
fn place(lines: &[&[u8]], rest: &Range<usize>, old: &[&[u8]], expected: usize) -> Option<usize> {
    let last = rest.end.checked_sub(old.len()).filter(|last| *last >= rest.start)?;
    if lines.is_empty() {
        return Some(0);
    }
    if old.is_empty() {
        // Nothing tells one place from another.
        return (rest.start..=last).contains(&expected).then_some(expected);
    }
    let fits = |place: &usize| {
        let candidates = lines.iter().skip(*place);
        candidates.zip(old).all(|(line, old)| trimmed(line) == *old)
    };
    let expected = expected.clamp(rest.start, last);
    (0..=(expected - rest.start).max(last - expected)).find_map(|distance| {
        let above = expected.checked_sub(distance).filter(|place| *place >= rest.start);
        let below = expected.checked_add(distance).filter(|place| *place <= last);
        above.filter(fits).or_else(|| below.filter(fits))
    })
}

/// A line as managers compare it.
fn trimmed(line: &[u8]) -> &[u8] {
    let is_space = |byte: &u8| matches!(byte, b' ' | b'\t'..=b'\r');
    let end = line.iter().rposition(|byte| !is_space(byte)).map_or(0, |last| last + 1);
    line.get(..end).unwrap_or(line)
}

/// A file that is being written.
struct Changed(Vec<u8>);

impl Changed {
    fn push(&mut self, line: &[u8]) {
        // What was the file's last line is no longer.
        if self.0.last().is_some_and(|last| *last != b'\n') {
            self.0.push(b'\n');
        }
        self.0.extend_from_slice(line);
    }

    fn push_text(&mut self, text: &[u8], ended: bool) {
        self.push(text);
        if ended {
            self.0.push(b'\n');
        }
    }
}
