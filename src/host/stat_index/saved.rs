//! An index as it was saved: read from one row of bytes, most of which stays as it is.
//!
//! ```text
//! version (4), number of directories (4)
//! each directory: length of its path (4), path, length of its block (4), block
//! what was read out of files, by their paths, in the format of `postcard`
//! ```

use std::collections::HashMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use super::Derived;
use super::block::Block;

/// The format's version. An index of another is forgotten.
const VERSION: u32 = 3;

/// What an earlier run knew.
#[derive(Default)]
pub struct SavedIndex {
    bytes: Vec<u8>,
    directories: HashMap<Box<[u8]>, (Range<usize>, Used)>,
    derived: HashMap<Vec<u8>, (Derived, Used)>,
}

/// Whether somebody asked for it in this run.
#[derive(Default)]
struct Used(AtomicBool);

impl Used {
    fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    fn is_marked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl SavedIndex {
    /// Reads what [`encode`] wrote; `None` if the bytes are something else.
    pub fn decode(bytes: Vec<u8>) -> Option<Self> {
        let mut at = 0;
        if number(&bytes, &mut at)? != VERSION {
            return None;
        }
        let count = number(&bytes, &mut at)?;
        let mut directories = HashMap::with_capacity(count.min(1 << 16) as usize);
        for _ in 0..count {
            let path = range(&bytes, &mut at)?;
            let block = range(&bytes, &mut at)?;
            directories.insert(Box::from(&bytes[path]), (block, Used::default()));
        }
        let derived: Vec<(Vec<u8>, Derived)> = postcard::from_bytes(&bytes[at..]).ok()?;
        let derived = derived.into_iter().map(|(path, derived)| (path, (derived, Used::default()))).collect();
        Some(Self { bytes, directories, derived })
    }

    /// The files of a directory.
    pub fn files(&self, dir: &[u8]) -> Block<'_> {
        let Some((range, used)) = self.directories.get(dir) else { return Block(&[]) };
        used.mark();
        Block(&self.bytes[range.clone()])
    }

    /// What was read out of a file.
    pub fn derived(&self, path: &[u8]) -> Option<&Derived> {
        let (derived, used) = self.derived.get(path)?;
        used.mark();
        Some(derived)
    }

    /// The directories and what was read out of files. Those that nobody asked for in this run are among them, unless they
    /// have become most of the index.
    pub fn kept(&self) -> (HashMap<&[u8], &[u8]>, HashMap<&[u8], &Derived>) {
        let used = self.directories.values().filter(|(_, used)| used.is_marked()).count();
        let keep_unused = self.directories.len() < 4 * used + 1000;
        let directories = self.directories.iter().filter(|(_, (_, used))| keep_unused || used.is_marked());
        let derived = self.derived.iter().filter(|(_, (_, used))| keep_unused || used.is_marked());
        (
            directories.map(|(path, (range, _))| (path.as_ref(), &self.bytes[range.clone()])).collect(),
            derived.map(|(path, (derived, _))| (path.as_slice(), derived)).collect(),
        )
    }

    /// Whether it holds nothing.
    #[cfg(test)]
    pub fn is_empty(&self) -> bool {
        self.directories.is_empty() && self.derived.is_empty()
    }
}

/// The bytes of an index with these directories and their blocks, and with what was read out of files.
pub fn encode(directories: &HashMap<&[u8], &[u8]>, derived: &HashMap<&[u8], &Derived>) -> Result<Vec<u8>, String> {
    let short = |number: usize| u32::try_from(number).map(u32::to_le_bytes).map_err(|error| error.to_string());
    let length: usize = directories.iter().map(|(path, block)| path.len() + block.len() + 8).sum();
    let mut bytes = Vec::with_capacity(length + 8);
    bytes.extend(VERSION.to_le_bytes());
    bytes.extend(short(directories.len())?);
    for (path, block) in directories {
        for part in [path, block] {
            bytes.extend(short(part.len())?);
            bytes.extend_from_slice(part);
        }
    }
    let derived: Vec<(&&[u8], &&Derived)> = derived.iter().collect();
    postcard::to_extend(&derived, bytes).map_err(|error| error.to_string())
}

fn number(bytes: &[u8], at: &mut usize) -> Option<u32> {
    let number = u32::from_le_bytes(*bytes.get(*at..)?.first_chunk()?);
    *at += 4;
    Some(number)
}

/// The place of the bytes whose number stands before them.
fn range(bytes: &[u8], at: &mut usize) -> Option<Range<usize>> {
    let length = number(bytes, at)? as usize;
    let range = *at..at.checked_add(length)?;
    *at = range.end;
    bytes.get(range.clone()).map(|_| range)
}
