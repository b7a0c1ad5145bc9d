//! Alpine packages in images, as `apk add` would have put them there; and an init.

mod harness;

use std::fs;

use harness::alpine_base::AlpineBase;
use harness::apk::{Apk, Entry, Key, write_repository};
use harness::failure::failed_to;
use harness::image_files::FileKind;
use harness::layout::{self, Image};
use harness::workspace::{Run, TestWorkspace};
use insta::assert_snapshot;

/// The name of the key in all repositories here.
const KEY: &str = "tests@example.com-1.rsa.pub";

/// A workspace with a service, a base of Alpine and a folder of packages.
struct Shop {
    workspace: TestWorkspace,
    key: Key,
}

impl Shop {
    /// With these packages; `None` where no key can be made.
    fn new(packages: &[Apk]) -> Option<Self> {
        Self::on(&AlpineBase::default(), packages)
    }

    fn on(base: &AlpineBase, packages: &[Apk]) -> Option<Self> {
        let key = Key::new(KEY)?;
        let workspace = TestWorkspace::new(&[
            ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
            ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js"}"#),
            ("apps/web/dist/main.js", "console.log('web');\n"),
        ]);
        base.write(&workspace.root().join("base"), &key);
        write_repository(&workspace.root().join("apks"), packages, &key);
        Some(Self { workspace, key })
    }

    /// The same with this in `pirogue.toml`, above what says where packages are.
    fn wants(self, packages: &str, more: &str) -> Self {
        let toml = format!("{more}\nbase.packages = [{packages}]\nbase.repositories = [\"apks\"]\n");
        let toml = match more.split_once("\n[") {
            Some((top, tables)) => {
                format!("{top}\nbase.packages = [{packages}]\nbase.repositories = [\"apks\"]\n[{tables}")
            }
            None => toml,
        };
        Self { workspace: self.workspace.and(&[("pirogue.toml", &toml)]), ..self }
    }

    const BUILD: [&str; 7] = ["build", "--base", "oci:base", "--platform", "linux/amd64", "--to", "oci:images"];

    fn run(&self) -> Run {
        self.workspace.run(&Self::BUILD)
    }

    fn image(&self) -> Image {
        let run = self.run();
        assert_eq!(run.code, Some(0), "{run}");
        layout::validate(&self.workspace.root().join("images")).remove("web").expect("it was built")
    }

    fn refused(&self) -> Run {
        failed_to(&self.workspace, &Self::BUILD)
    }
}

fn text(image: &Image, path: &str) -> String {
    let bytes = image.files.bytes(path).unwrap_or_else(|| panic!("{path} is there"));
    String::from_utf8(bytes.to_vec()).expect("it is text")
}

fn curl() -> [Apk; 2] {
    let curl = Apk::new("curl", "8.9.1-r1")
        .depends("so:libcurl.so.4")
        .depends("so:libc.musl-x86_64.so.1")
        .provides("cmd:curl=8.9.1-r1")
        .with(Entry::program("usr/bin/curl", "a client\n"))
        .with(Entry::hard_link("usr/bin/acurl", "usr/bin/curl"))
        .with(Entry::directory("var/lib/curl").mode(0o750).owner(9, "curl", 9, "unknown"))
        .with(Entry::program("usr/libexec/curl-helper", "setuid\n").mode(0o4755));
    let library = Apk::new("libcurl", "8.9.1-r1")
        .info("origin", "curl")
        .provides("so:libcurl.so.4=4.8.0")
        .with(Entry::symlink("usr/lib/libcurl.so.4", "libcurl.so.4.8.0"))
        .with(Entry::program("usr/lib/libcurl.so.4.8.0", "a library\n"));
    [curl, library]
}

#[test]
fn packages_lie_in_the_image_and_apk_knows_them() {
    let Some(shop) = Shop::new(&curl()) else { return };
    let shop = shop.wants(r#""curl""#, "");
    let image = shop.image();
    let file = |path: &str| image.files.get(path).unwrap_or_else(|| panic!("{path} is there"));
    assert_eq!(text(&image, "usr/bin/curl"), "a client\n");
    assert_eq!(text(&image, "usr/bin/acurl"), "a client\n");
    assert_eq!(image.files.link("usr/lib/libcurl.so.4"), Some("libcurl.so.4.8.0"));
    assert_eq!((file("usr/libexec/curl-helper").mode, file("usr/bin/curl").mode), (0o4755, 0o755));
    let dir = file("var/lib/curl");
    // The image knows the user by another number; the group it does not know.
    assert_eq!((dir.mode, dir.uid, dir.gid), (0o750, 700, 9));
    assert!(image.files.get(".PKGINFO").is_none());
    assert_eq!(text(&image, "etc/apk/world"), "alpine-release\nbusybox\ncurl\nmusl\n");
    let installed = text(&image, "lib/apk/db/installed");
    let base = AlpineBase::default().installed();
    let added: String = installed.split_inclusive("\n\n").filter(|block| !base.contains(block)).collect();
    let checksum = |line: &str| if line.starts_with("C:Q1") || line.starts_with("S:") { format!("{}…", &line[..2]) } else { line.to_owned() };
    let added: Vec<String> = added.lines().map(checksum).collect();
    assert_snapshot!(added.join("\n"));
    let names: Vec<&str> = installed.lines().filter_map(|line| line.strip_prefix("P:")).collect();
    assert_eq!(names, ["alpine-release", "busybox", "curl", "libcurl", "musl"], "sorted, as the base has them");
    let run = shop.run();
    assert!(run.stderr.contains("runs with its owner's rights: `/usr/libexec/curl-helper`"), "{run}");
    assert!(!run.stderr.contains("trigger"), "that of busybox would do nothing: {run}");
}
