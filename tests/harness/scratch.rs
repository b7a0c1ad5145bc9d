use std::fs;
use std::path::{Path, PathBuf};
use std::process;
use std::sync::OnceLock;

/// A folder for what the tests of one program share. Nothing tells a program that its last test is over, so the next
/// one removes what ended ones left.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let parent = Path::new(env!("CARGO_TARGET_TMPDIR"));
        for entry in fs::read_dir(parent).expect("cargo made the folder").flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let ended = |id: &str| Path::new("/proc/self").exists() && !Path::new("/proc").join(id).exists();
            if name.strip_prefix("tests-").is_some_and(ended) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let folder = parent.join(format!("tests-{}", process::id()));
        let _ = fs::remove_dir_all(&folder); // of an ended program that had the same number
        fs::create_dir(&folder).expect("a folder can be made");
        folder
    })
}
