//! A base with a database of apk's that holds together, in which no program can run.

use std::path::Path;

use serde_json::{Value, json};
use tar::{Builder, EntryType, Header};

use super::apk::{Key, checksum};
use super::tiny_base;

/// A file of the base: its path, content and mode.
type File = (String, Vec<u8>, u32);

/// What differs from base to base.
pub struct AlpineBase {
    /// Directories that are links into `usr`, such as `lib`.
    pub merged: Vec<&'static str>,
    /// The list of repositories.
    pub repositories: String,
    /// Lines at the end of the record of musl.
    pub musl: String,
    /// The version of Alpine.
    pub release: &'static str,
    /// Libraries by their paths, besides a loader that is none or in its place.
    pub libraries: Vec<(&'static str, Vec<u8>)>,
}

impl Default for AlpineBase {
    fn default() -> Self {
        Self {
            merged: Vec::new(),
            repositories: "https://apk.example.com/main\n".to_owned(),
            musl: "p:so:libc.musl-x86_64.so.1=1\n".to_owned(),
            release: "3.21.3",
            libraries: Vec::new(),
        }
    }
}

const BUSYBOX: &[u8] = b"no program\n";
const BUSYBOX_TRIGGER: &[u8] = b"#!/bin/sh\nexit 0\n";

impl AlpineBase {
    /// The text of the database.
    pub fn installed(&self) -> String {
        let record = |name: &str, version: &str, more: &str, files: &str| {
            format!(
                "C:{}\nP:{name}\nV:{version}\nA:x86_64\nS:1\nI:1\nT:for tests\nU:https://example.com\nL:MIT\n\
                 o:{name}\nt:1722000000\n{more}{files}\n",
                checksum(name.as_bytes())
            )
        };
        let version = format!("{}-r0", self.release);
        let release = format!("F:etc\nR:alpine-release\nZ:{}\n", checksum(self.release_file().as_bytes()));
        let busybox = format!(
            "F:bin\nR:busybox\na:0:0:755\nZ:{}\nR:sh\na:0:0:777\nZ:{}\n",
            checksum(BUSYBOX),
            checksum(b"/bin/busybox")
        );
        let musl = format!("F:lib\nR:ld-musl-x86_64.so.1\na:0:0:755\nZ:{}\n", checksum(BUSYBOX));
        [
            record("alpine-release", &version, "", &release),
            record("busybox", "1.37.0-r12", "D:so:libc.musl-x86_64.so.1\np:/bin/sh cmd:busybox=1.37.0-r12\n", &busybox),
            record("musl", "1.2.5-r9", &self.musl, &musl),
        ]
        .concat()
    }

    fn release_file(&self) -> String {
        format!("{}\n", self.release)
    }

    /// Writes the base into a layout, trusting `key`.
    pub fn write(&self, layout: &Path, key: &Key) {
        tiny_base::write_upon(layout, "amd64", &self.layer(layout, key, "x86_64"));
    }

    /// Writes the base for amd64 and for arm64 into a layout.
    pub fn write_index(&self, layout: &Path, key: &Key) {
        let image = |architecture: &str, arch| {
            (json!({"architecture": architecture, "os": "linux"}), self.layer(layout, key, arch))
        };
        tiny_base::write_index_upon(layout, &[image("amd64", "x86_64"), image("arm64", "aarch64")]);
    }

    /// Puts the layer for a processor, as apk calls it, into a layout.
    fn layer(&self, layout: &Path, key: &Key, arch: &str) -> Value {
        let of_arch = |text: &str| text.replace("x86_64", arch);
        let text = |path: &str, text: &str| (path.to_owned(), text.as_bytes().to_vec(), 0o644);
        let trigger = format!("busybox-1.37.0-r12.{}.trigger", checksum(b"busybox"));
        let mut files: Vec<File> = vec![
            text("etc/alpine-release", &self.release_file()),
            text("etc/apk/arch", &format!("{arch}\n")),
            text(&format!("etc/apk/keys/{}", key.name), &key.public()),
            text("etc/apk/repositories", &self.repositories),
            text("etc/apk/world", "alpine-release\nbusybox\nmusl\n"),
            text("etc/group", "root:x:0:\ncurl:x:700:\nshadow:x:42:\n"),
            text("etc/passwd", "root:x:0:0:root:/root:/bin/sh\ncurl:x:700:700::/:/bin/sh\n"),
            text("etc/shadow", "root:*::0:::::\n"),
            text("lib/apk/db/installed", &of_arch(&self.installed())),
            text("lib/apk/db/triggers", &format!("{} /bin /usr/bin /lib/modules/*\n", checksum(b"busybox"))),
            ("lib/apk/db/scripts.tar".to_owned(), scripts(&trigger), 0o644),
            ("lib/apk/db/lock".to_owned(), Vec::new(), 0o600),
            ("bin/busybox".to_owned(), BUSYBOX.to_vec(), 0o755),
            (of_arch("lib/ld-musl-x86_64.so.1"), BUSYBOX.to_vec(), 0o755),
            text("usr/local/bin/node", "no program\n"),
        ];
        for (path, library) in &self.libraries {
            files.retain(|(known, ..)| known != path);
            files.push(((*path).to_owned(), library.clone(), 0o755));
        }
        let layer = self.tar(files);
        tiny_base::put(layout, &layer, "application/vnd.oci.image.layer.v1.tar")
    }

    fn tar(&self, files: Vec<File>) -> Vec<u8> {
        let place = |path: &str| {
            let top = path.split('/').next().unwrap_or_default();
            if self.merged.contains(&top) { format!("usr/{path}") } else { path.to_owned() }
        };
        let directories = [
            "bin",
            "etc",
            "etc/apk",
            "etc/apk/keys",
            "home",
            "lib",
            "lib/apk",
            "lib/apk/db",
            "root",
            "sbin",
            "usr",
            "usr/bin",
            "usr/lib",
            "usr/local",
            "usr/local/bin",
            "usr/sbin",
            "var",
            "var/cache",
            "var/cache/apk",
        ];
        let mut tar = Builder::new(Vec::new());
        let mut directories: Vec<String> = directories.into_iter().map(place).collect();
        directories.sort();
        directories.dedup();
        for path in directories {
            append(&mut tar, &format!("{path}/"), EntryType::Directory, 0o755, b"", "");
        }
        for merged in &self.merged {
            append(&mut tar, merged, EntryType::Symlink, 0o777, b"", &format!("usr/{merged}"));
        }
        append(&mut tar, &place("bin/sh"), EntryType::Symlink, 0o777, b"", "/bin/busybox");
        for (path, content, mode) in files {
            append(&mut tar, &place(&path), EntryType::Regular, mode, &content, "");
        }
        tar.into_inner().expect("memory can be written")
    }
}

/// The tar with the one script of the base.
fn scripts(name: &str) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    append(&mut tar, name, EntryType::Regular, 0o755, BUSYBOX_TRIGGER, "");
    tar.into_inner().expect("memory can be written")
}

fn append(tar: &mut Builder<Vec<u8>>, path: &str, kind: EntryType, mode: u32, content: &[u8], target: &str) {
    let mut header = Header::new_ustar();
    header.set_path(path).expect("the name is short");
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(content.len() as u64);
    if !target.is_empty() {
        header.set_link_name(target).expect("the target is short");
    }
    header.set_cksum();
    tar.append(&header, content).expect("memory can be written");
}
