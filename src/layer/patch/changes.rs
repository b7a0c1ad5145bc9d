//! One change after the other, each seeing what those before it made.

use std::collections::BTreeMap;
use std::io;

use super::{Change, FileState, Operation, PackagePatch, PatchError, hunk};

/// The files that were changed so far, over those of the package.
pub(super) struct Changes<'a, R> {
    patch: &'a PackagePatch,
    read: R,
    files: BTreeMap<String, Option<FileState>>,
}

impl<'a, R: FnMut(&str) -> io::Result<Option<FileState>>> Changes<'a, R> {
    pub(super) fn new(patch: &'a PackagePatch, read: R) -> Self {
        Self { patch, read, files: BTreeMap::new() }
    }

    pub(super) fn make(&mut self, change: &Change) -> Result<(), PatchError> {
        let patch = || self.patch.name.clone();
        let (path, before) = match &change.operation {
            Operation::Remove(path) => {
                // What its lines were is not compared: no manager does.
                self.existing(path)?;
                self.files.insert(path.clone(), None);
                return Ok(());
            }
            Operation::Create(path) => {
                if self.file(path)?.is_some() {
                    return Err(PatchError::Exists { patch: patch(), path: path.clone() });
                }
                (path, FileState { content: Vec::new(), executable: false })
            }
            Operation::Modify(path) => (path, self.existing(path)?),
            Operation::Rename { from, to } => {
                let before = self.existing(from)?;
                self.files.insert(from.clone(), None);
                if self.file(to)?.is_some() {
                    return Err(PatchError::Exists { patch: patch(), path: to.clone() });
                }
                (to, before)
            }
        };
        let content = match change.hunks.is_empty() {
            true => before.content,
            false => hunk::apply(&change.hunks, &self.patch.bytes, &before.content)
                .map_err(|line| PatchError::Hunk { patch: patch(), line, path: path.clone() })?,
        };
        let executable = change.executable.unwrap_or(before.executable);
        self.files.insert(path.clone(), Some(FileState { content, executable }));
        Ok(())
    }

    /// The files, once it is sure that none lies below another.
    pub(super) fn finish(mut self) -> Result<BTreeMap<String, Option<FileState>>, PatchError> {
        let files = std::mem::take(&mut self.files);
        for (path, _) in files.iter().filter(|(_, file)| file.is_some()) {
            for above in path.match_indices('/').filter_map(|(slash, _)| path.get(..slash)) {
                let is_file = match files.get(above) {
                    Some(file) => file.is_some(),
                    None => self.file(above)?.is_some(),
                };
                if is_file {
                    return Err(PatchError::BelowFile { patch: self.patch.name.clone(), path: path.clone() });
                }
            }
        }
        Ok(files)
    }

    fn file(&mut self, path: &str) -> Result<Option<FileState>, PatchError> {
        if let Some(file) = self.files.get(path) {
            return Ok(file.clone());
        }
        (self.read)(path).map_err(|source| PatchError::Read {
            patch: self.patch.name.clone(),
            path: path.to_owned(),
            source,
        })
    }

    fn existing(&mut self, path: &str) -> Result<FileState, PatchError> {
        self.file(path)?.ok_or_else(|| PatchError::Missing { patch: self.patch.name.clone(), path: path.to_owned() })
    }
}
