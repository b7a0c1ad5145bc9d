use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;

use tempfile::NamedTempFile;

use super::{INDEX_FILE, Layout, LayoutError, MARKER, MARKER_CONTENT};
use crate::manifest::{Descriptor, Format, Index, REF_NAME, Raw};
use crate::path::HostPath;

/// How the names of files begin that are not finished.
const WRITING: &str = ".writing-";

/// Writes images into a layout. What the layout holds already stays: an image of the same name is replaced, blobs that
/// are there are not written again.
///
/// Blobs come first and the index last, by renaming, so that a reader sees the old layout or the new one. A writer that is
/// dropped before [`LayoutWriter::finish`] takes back the blobs it wrote, and the directory if it made it.
pub struct LayoutWriter {
    dir: HostPath,
    /// The locked directory, held until the writer is dropped: one process at a time writes to a layout.
    _lock: File,
    made_dir: bool,
    /// Whether the directory became a layout by this writer.
    made_layout: bool,
    written: Vec<HostPath>,
    entries: Vec<Descriptor>,
    finished: bool,
}

impl LayoutWriter {
    /// Opens the layout in `dir` for writing, and waits for another process that writes to it.
    pub fn open(dir: &HostPath) -> Result<Self, LayoutError> {
        let io = |action: &'static str| move |source| LayoutError::new(action, dir, source);
        let (lock, made_dir) = lock(dir).map_err(io("make"))?;
        let is_layout = dir.join(MARKER).as_path().is_file();
        let unfinished = left_by_a_writer(dir).map_err(io("read"))?;
        let Some(unfinished) = unfinished.or(is_layout.then(Vec::new)) else {
            return Err(LayoutError::Occupied(dir.clone()));
        };
        let writer = Self {
            dir: dir.clone(),
            _lock: lock,
            made_dir,
            made_layout: !is_layout,
            written: Vec::new(),
            entries: Vec::new(),
            finished: false,
        };
        // Whoever wrote these is gone, for the lock is ours.
        unfinished.iter().try_for_each(fs::remove_file).map_err(io("write to"))?;
        fs::create_dir_all(dir.join("blobs/sha256")).map_err(io("make"))?;
        if !is_layout {
            writer.write_atomically(&dir.join(MARKER), |file| file.write_all(MARKER_CONTENT.as_bytes()))?;
        }
        Ok(writer)
    }

    /// Whether the layout holds a blob, by its name and size.
    pub fn has_blob(&self, descriptor: &Descriptor) -> bool {
        fs::metadata(self.blob_path(descriptor)).is_ok_and(|metadata| metadata.len() == descriptor.size)
    }

    /// Puts in the blob that lies at `source` (verified, as the store's blobs are): by a hard link where the file system
    /// allows it, else by a copy.
    pub fn put_file(&mut self, descriptor: &Descriptor, source: &HostPath) -> Result<(), LayoutError> {
        if self.has_blob(descriptor) {
            return Ok(());
        }
        let path = self.blob_path(descriptor);
        let linked = match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => fs::hard_link(source, &path),
        };
        if linked.is_err() {
            let mut from = File::open(source).map_err(|error| LayoutError::new("read a blob for", source, error))?;
            self.write_atomically(&path, |file| io::copy(&mut from, file).map(drop))?;
        }
        self.written.push(path);
        Ok(())
    }

    /// Puts in a document.
    pub fn put_bytes(&mut self, descriptor: &Descriptor, bytes: &[u8]) -> Result<(), LayoutError> {
        if self.has_blob(descriptor) {
            return Ok(());
        }
        let path = self.blob_path(descriptor);
        self.write_atomically(&path, |file| file.write_all(bytes))?;
        self.written.push(path);
        Ok(())
    }

    /// Names a manifest or index whose blobs are all in. Without a name it is found by its digest only.
    pub fn name(&mut self, name: Option<&str>, mut descriptor: Descriptor) {
        descriptor.annotations.extend(name.map(|name| (REF_NAME.to_owned(), name.to_owned())));
        self.entries.push(descriptor);
    }

    /// Writes the index: from here on readers see the new images.
    pub fn finish(mut self) -> Result<(), LayoutError> {
        let mut manifests = match Layout::open(&self.dir) {
            Ok(layout) => layout.entries().into_iter().map(|entry| entry.descriptor).collect(),
            Err(LayoutError::NotALayout { .. }) => Vec::new(),
            Err(error) => return Err(error),
        };
        let name = |descriptor: &Descriptor| descriptor.annotations.get(REF_NAME).cloned();
        let replaces = |new: &Descriptor, old: &Descriptor| match (name(new), name(old)) {
            (None, None) => new.digest == old.digest,
            (new, old) => new == old,
        };
        manifests.retain(|old| !self.entries.iter().any(|new| replaces(new, old)));
        manifests.append(&mut self.entries);
        manifests.sort_by_key(|descriptor| (name(descriptor), descriptor.digest));
        let path = self.dir.join(INDEX_FILE);
        let index = Raw::encode("layout index", Index::new(Format::Oci, manifests))
            .map_err(|source| LayoutError::Document { path: path.clone(), source })?;
        self.write_atomically(&path, |file| file.write_all(index.bytes()))?;
        self.finished = true;
        Ok(())
    }

    fn blob_path(&self, descriptor: &Descriptor) -> HostPath {
        self.dir.join("blobs/sha256").join(descriptor.digest.hex())
    }

    /// Writes a file under another name and renames it. The permissions are those of an ordinary new file.
    fn write_atomically(
        &self,
        path: &HostPath,
        write: impl FnOnce(&mut File) -> io::Result<()>,
    ) -> Result<(), LayoutError> {
        let error = |source| LayoutError::new("write to", path, source);
        let mut file = NamedTempFile::with_prefix_in(WRITING, &self.dir).map_err(error)?;
        write(file.as_file_mut()).map_err(error)?;
        file.as_file().set_permissions(fs::Permissions::from_mode(0o644)).map_err(error)?;
        file.persist(path).map_err(|failed| error(failed.error))?;
        Ok(())
    }
}

impl Drop for LayoutWriter {
    fn drop(&mut self) {
        if self.finished {
            return;
        }
        // What cannot be taken back here is an unreferenced blob, which no reader looks at.
        for path in &self.written {
            let _ = fs::remove_file(path);
        }
        if self.made_layout {
            let _ = fs::remove_file(self.dir.join(MARKER));
            for dir in ["blobs/sha256", "blobs"] {
                let _ = fs::remove_dir(self.dir.join(dir));
            }
        }
        if self.made_dir {
            let _ = fs::remove_dir(&self.dir);
        }
    }
}

/// What a writer that was killed left in a directory: nothing but blobs, perhaps the marker, and the unfinished files that
/// are given. `None` if there is anything else.
fn left_by_a_writer(dir: &HostPath) -> io::Result<Option<Vec<PathBuf>>> {
    let mut unfinished = Vec::new();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        match entry.file_name().to_str() {
            Some("blobs" | MARKER | INDEX_FILE) => {}
            Some(name) if name.starts_with(WRITING) => unfinished.push(entry.path()),
            _ => return Ok(None),
        }
    }
    Ok(Some(unfinished))
}

/// Makes the directory if it is not there, and locks it. Says too whether it was made.
fn lock(dir: &HostPath) -> io::Result<(File, bool)> {
    loop {
        let made = !dir.as_path().exists();
        fs::create_dir_all(dir)?;
        let lock = File::open(dir)?;
        lock.lock()?;
        // A writer that gave up may have removed the directory while this one waited for the lock.
        match fs::metadata(dir) {
            Ok(there) if there.ino() == lock.metadata()?.ino() => return Ok((lock, made)),
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::manifest::media_type;

    fn write(dir: &HostPath, name: &str, content: &[u8]) -> Descriptor {
        let descriptor = Descriptor::of(media_type::MANIFEST, content);
        let mut writer = LayoutWriter::open(dir).unwrap();
        writer.put_bytes(&descriptor, content).unwrap();
        writer.name(Some(name), descriptor.clone());
        writer.finish().unwrap();
        descriptor
    }

    #[test]
    fn images_are_added_and_replaced_by_name() {
        let parent = tempfile::tempdir().unwrap();
        let dir = HostPath::new(parent.path().join("images"));
        let first = write(&dir, "a", b"{}");
        let second = write(&dir, "b", b"{ }");
        let layout = Layout::open(&dir).unwrap();
        assert_eq!(layout.find(Some("a")).unwrap().descriptor.digest, first.digest);
        assert_eq!(layout.find(Some("b")).unwrap().descriptor.digest, second.digest);
        assert!(matches!(layout.find(None), Err(LayoutError::NameNeeded { .. })));
        assert!(matches!(layout.find(Some("c")), Err(LayoutError::NoSuchName { .. })));
        let third = write(&dir, "a", b"{  }");
        let layout = Layout::open(&dir).unwrap();
        assert_eq!(layout.entries().len(), 2);
        assert_eq!(layout.find(Some("a")).unwrap().descriptor.digest, third.digest);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing lies beside the layout");
    }

    #[test]
    fn an_unfinished_writer_leaves_nothing() {
        let parent = tempfile::tempdir().unwrap();
        let dir = HostPath::new(parent.path().join("images"));
        let mut writer = LayoutWriter::open(&dir).unwrap();
        writer.put_bytes(&Descriptor::of("x", b"x"), b"x").unwrap();
        drop(writer);
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0);
    }

    #[test]
    fn what_a_killed_writer_left_is_no_obstacle() {
        let parent = tempfile::tempdir().unwrap();
        let dir = HostPath::new(parent.path().join("images"));
        fs::create_dir_all(dir.join("blobs/sha256")).unwrap();
        fs::write(dir.join(".writing-x1Y2z3"), "half").unwrap();
        let written = write(&dir, "a", b"{}");
        assert_eq!(Layout::open(&dir).unwrap().find(Some("a")).unwrap().descriptor.digest, written.digest);
        assert!(!dir.join(".writing-x1Y2z3").as_path().exists());
    }

    #[test]
    fn a_directory_with_something_else_is_refused() {
        let parent = tempfile::tempdir().unwrap();
        fs::write(parent.path().join("a.txt"), "mine").unwrap();
        let result = LayoutWriter::open(&HostPath::new(parent.path()));
        assert!(matches!(result, Err(LayoutError::Occupied(_))));
        assert!(parent.path().join("a.txt").exists());
    }
}
