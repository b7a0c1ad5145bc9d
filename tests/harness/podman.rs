use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use super::program;

/// podman with a store of a test's own, gone when dropped. Its path is short, for podman bears no long one.
pub struct Podman {
    folder: TempDir,
}

impl Podman {
    /// `None`, with a word on it, where podman is not installed.
    pub fn new() -> Option<Self> {
        if !program::are_installed(&["podman", "runc"]) {
            return None;
        }
        let folder = TempDir::with_prefix_in("podman-", "/tmp").expect("a temporary folder can be made");
        let podman = Self { folder };
        let path = |name: &str| podman.path(name).display().to_string();
        // A machine for tests often has no systemd, and limits below podman's defaults.
        let containers = "[containers]\nnetns = \"host\"\n\
             default_ulimits = [\"nofile=1024:20000\", \"nproc=4096:4096\"]\n\
             [engine]\nruntime = \"runc\"\ncgroup_manager = \"cgroupfs\"\nlock_type = \"file\"\n";
        let storage =
            format!("[storage]\ndriver = \"vfs\"\ngraphroot = \"{}\"\nrunroot = \"{}\"\n", path("graph"), path("run"));
        fs::write(podman.path("containers.conf"), containers).expect("a temporary folder can be written");
        fs::write(podman.path("storage.conf"), storage).expect("a temporary folder can be written");
        fs::create_dir(podman.path("bin")).expect("a temporary folder can be written");
        let found = program::run(Command::new("sh").args(["-c", "command -v podman"]));
        symlink(found.trim(), podman.path("bin/podman")).expect("a temporary folder can be written");
        Some(podman)
    }

    /// Gives a command this store, and no other program of its kind.
    pub fn surround(&self, command: &mut Command) {
        command.env("PATH", self.path("bin"));
        command.env("CONTAINERS_CONF", self.path("containers.conf"));
        command.env("CONTAINERS_STORAGE_CONF", self.path("storage.conf"));
        command.env("TMPDIR", self.folder.path());
        // Health is checked when podman is told to; by itself it would ask systemd for a timer.
        command.env("DISABLE_HC_SYSTEMD", "true");
    }

    /// Runs podman in this store, and gives what it says. Panics if it fails.
    pub fn run(&self, arguments: &[&str]) -> String {
        program::run(&mut self.command(arguments))
    }

    /// Runs podman in this store, whatever comes of it.
    pub fn try_run(&self, arguments: &[&str]) {
        self.command(arguments).output().expect("podman starts");
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("bin/podman"));
        command.args(arguments);
        self.surround(&mut command);
        command
    }

    fn path(&self, name: &str) -> PathBuf {
        Path::new(self.folder.path()).join(name)
    }
}
