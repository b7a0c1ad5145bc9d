use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A workspace that a test wrote, alone in a temporary directory with a cache and a home of its own.
pub struct TestWorkspace {
    /// Without links, so that paths in messages are found again.
    dir: PathBuf,
    _guard: TempDir,
}

impl TestWorkspace {
    /// Writes a workspace of these files, each given by its path and content.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let guard = TempDir::new().expect("a temporary directory can be made");
        let dir = guard.path().canonicalize().expect("a directory that was just made can be found");
        for part in ["workspace", "cache", "home"] {
            fs::create_dir(dir.join(part)).expect("a temporary directory can be written");
        }
        let workspace = Self { dir, _guard: guard };
        workspace.and(files)
    }

    /// A workspace with one service, `web`, that needs no package.
    pub fn shop() -> Self {
        Self::new(&[
            ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
            ("package-lock.json", r#"{"name": "shop", "lockfileVersion": 3, "packages": {}}"#),
            ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "main": "main.js"}"#),
            ("apps/web/main.js", "console.log('up');\n"),
        ])
    }

    /// The same workspace with more files, or other contents.
    pub fn and(self, files: &[(&str, &str)]) -> Self {
        for (path, content) in files {
            fs::write(self.place(path), content).expect("a temporary directory can be written");
        }
        self
    }

    /// The same workspace with a file that is no text.
    pub fn with_bytes(self, path: &str, content: &[u8]) -> Self {
        fs::write(self.place(path), content).expect("a temporary directory can be written");
        self
    }

    /// The same workspace without a file or directory.
    pub fn without(self, path: &str) -> Self {
        let path = self.root().join(path);
        let removed = if path.is_dir() { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        removed.expect("what is to be removed is there");
        self
    }

    /// The same workspace with a symbolic link.
    pub fn linked(self, path: &str, target: impl AsRef<Path>) -> Self {
        symlink(target, self.place(path)).expect("a temporary directory can be written");
        self
    }

    /// The same workspace with a file of `size` zeros, which takes no space.
    pub fn with_zeros(self, path: &str, size: u64) -> Self {
        let file = fs::File::create(self.place(path)).expect("a temporary directory can be written");
        file.set_len(size).expect("a file can be made long");
        self
    }

    /// The same workspace with a file of `size` bytes that cannot be compressed.
    pub fn with_noise(self, path: &str, size: u64) -> Self {
        let byte = |at: u64| ((at ^ (at >> 7)).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29) >> 51) as u8;
        fs::write(self.place(path), (0..size).map(byte).collect::<Vec<_>>())
            .expect("a temporary directory can be written");
        self
    }

    /// The workspace's root.
    pub fn root(&self) -> PathBuf {
        self.dir.join("workspace")
    }

    /// A place next to the workspace.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// A path of the workspace, whose directory is made.
    fn place(&self, path: &str) -> PathBuf {
        let path = self.root().join(path);
        let parent = path.parent().expect("every file lies in a directory");
        fs::create_dir_all(parent).expect("a temporary directory can be written");
        path
    }

    /// Every path of the workspace and of what lies beside it, without the cache and the home.
    pub fn paths(&self) -> BTreeSet<PathBuf> {
        let mut paths = BTreeSet::new();
        for entry in fs::read_dir(&self.dir).expect("the directory can be read").flatten() {
            if entry.file_name() != "cache" && entry.file_name() != "home" {
                collect(&entry.path(), &mut paths);
            }
        }
        paths
    }

    /// What is half written in the cache.
    pub fn unfinished(&self) -> BTreeSet<PathBuf> {
        let (dir, mut paths) = (self.dir.join("cache/tmp"), BTreeSet::new());
        if dir.exists() {
            collect(&dir, &mut paths);
            paths.remove(&dir);
        }
        paths
    }

    /// pirogue in the workspace, with an environment that is the same on every machine.
    pub fn pirogue(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pirogue"));
        command.args(arguments);
        self.surround(&mut command);
        command
    }

    /// Gives a command the workspace's directory and environment.
    pub fn surround(&self, command: &mut Command) {
        command.current_dir(self.root()).env_clear();
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("HOME", self.dir.join("home")).env("PIROGUE_CACHE_DIR", self.dir.join("cache"));
        command.env("LANG", "C.UTF-8").env("TZ", "UTC");
    }

    /// Runs pirogue and gives what it said, with nothing in it of this machine.
    pub fn run(&self, arguments: &[&str]) -> Run {
        self.told(&self.pirogue(arguments).output().expect("pirogue starts"))
    }

    /// What a program said, with nothing in it of this machine.
    pub fn told(&self, output: &Output) -> Run {
        let text = |bytes: &[u8]| {
            let text = String::from_utf8(bytes.to_vec()).expect("pirogue writes UTF-8");
            text.replace(&self.dir.display().to_string(), "[DIR]").replace(BASE, "[BASE]")
        };
        Run { code: output.status.code(), stdout: text(&output.stdout), stderr: text(&output.stderr) }
    }
}

/// The base image for tests.
pub const BASE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/vendor-fixtures/base");

fn collect(path: &Path, paths: &mut BTreeSet<PathBuf>) {
    paths.insert(path.to_owned());
    if path.is_dir() && !path.is_symlink() {
        for entry in fs::read_dir(path).expect("the directory can be read").flatten() {
            collect(&entry.path(), paths);
        }
    }
}

/// What a run said.
pub struct Run {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Run {
    /// The same with another text wherever `text` stood: for ports and the like.
    pub fn replaced(mut self, text: &str, by: &str) -> Self {
        self.stdout = self.stdout.replace(text, by);
        self.stderr = self.stderr.replace(text, by);
        self
    }
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let code = self.code.map_or("none".to_owned(), |code| code.to_string());
        writeln!(f, "exit code: {code}")?;
        for (name, text) in [("stdout", &self.stdout), ("stderr", &self.stderr)] {
            if !text.is_empty() {
                writeln!(f, "----- {name}\n{}", text.trim_end())?;
            }
        }
        Ok(())
    }
}
