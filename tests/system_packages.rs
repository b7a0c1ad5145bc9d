//! Alpine packages in images, as `apk add` would have put them there; and an init.

mod harness;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;

use harness::alpine_base::AlpineBase;
use harness::apk::{self, Apk, Entry, Key, write_repository};
use harness::failure::failed_to;
use harness::layout::{self, Image};
use harness::misbehaving::{Answer, Misbehaving};
use harness::workspace::{Run, TestWorkspace};
use insta::assert_snapshot;
use serde_json::Value;

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

    /// The same with these packages, and with this at the end of `pirogue.toml`.
    fn wants(self, packages: &str, more: &str) -> Self {
        let toml = format!("base.packages = [{packages}]\nbase.repositories = [\"apks\"]\n{more}");
        Self { workspace: self.workspace.and(&[("pirogue.toml", &toml)]), ..self }
    }

    const BUILD: [&str; 8] =
        ["build", "--no-check", "--base", "oci:base", "--platform", "linux/amd64", "--to", "oci:images"];

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

/// What the checks say of permissions.
fn checked(shop: &Shop) -> Vec<String> {
    let run = shop.workspace.run(&["check", "--json", "--base", "oci:base", "--platform", "linux/amd64"]);
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    let findings = report["services"][0]["findings"].as_array().expect("a list").iter();
    let told = findings.map(|it| ["severity", "code", "message"].map(|key| it[key].as_str().expect("a text")));
    let told = told.filter(|[_, code, _]| ["setuid-file", "world-writable", "allowance-unused"].contains(code));
    told.map(|[severity, code, message]| format!("{severity} {code}: {message}")).collect()
}

#[test]
fn what_packages_give_to_everybody_is_found() {
    let jobs = |mode: u32, program: u32| {
        Apk::new("spooler", "1.0-r0")
            .with(Entry::program("usr/bin/spool", "a program\n").mode(program))
            .with(Entry::file("etc/spool.conf", "").mode(program & 0o666))
            .with(Entry::directory("var/spool/jobs").mode(mode))
    };
    let Some(shop) = Shop::new(&[jobs(0o777, 0o6757)]) else { return };
    let shop = shop.wants(r#""spooler""#, "");
    assert_snapshot!(checked(&shop).join("\n"), @r"
    error setuid-file: a program runs with the rights of its owner or group, whoever starts it, by its mode 6757: `/usr/bin/spool`
    error world-writable: every user may change this file, by its mode 0646: `/etc/spool.conf`
    error world-writable: every user may replace what lies in this directory, by its mode 0777: `/var/spool/jobs`
    ");
    let allow = |path: &str, code: &str| format!("[[check.allow]]\npath = '{path}'\ncode = '{code}'\nreason = 'so'\n");
    let allowed = [
        allow("/usr/bin/spool", "setuid-file"),
        allow("/etc/spool.conf", "world-writable"),
        allow("/var/spool/jobs", "world-writable"),
    ];
    assert_eq!(checked(&shop.wants(r#""spooler""#, &allowed.concat())), [""; 0]);
    let Some(twin) = Shop::new(&[jobs(0o1777, 0o755)]) else { return };
    assert_eq!(checked(&twin.wants(r#""spooler""#, "")), [""; 0]);
}

/// A user may write what a group may that it is in besides its own.
#[test]
fn what_a_group_may_write() {
    let directory = Entry::directory("var/spool/jobs").mode(0o775).owner(0, "root", 700, "curl");
    let Some(shop) = Shop::new(&[Apk::new("spooler", "1.0-r0").with(directory)]) else { return };
    let main = ("apps/web/dist/main.js", "const fs = require('fs');\nfs.mkdirSync('/var/spool/jobs/web');\n");
    let shop = Shop { workspace: shop.workspace.and(&[main]), ..shop };
    let said = |shop: &Shop| shop.workspace.run(&["check", "--base", "oci:base", "--platform", "linux/amd64"]).stdout;
    let user = |groups: &str| format!("user = {{ name = 'app', uid = 2000, groups = [{groups}] }}");
    let alone = shop.wants(r#""spooler""#, &user(""));
    assert!(said(&alone).contains("error[directory-not-writable]"), "{}", said(&alone));
    let member = alone.wants(r#""spooler""#, &user("'curl'"));
    let said = said(&member);
    assert!(said.starts_with("web (1 file of code)") && !said.contains("directory-not-writable"), "{said}");
}

/// Whatever the disk says of files of the workspace and of npm's packages, images have them as they should be.
#[test]
fn what_the_disk_gives_to_everybody_is_not_in_images() {
    let Some(shop) = Shop::new(&[]) else { return };
    let shop = shop.wants("", "");
    let everybody = Permissions::from_mode(0o6777);
    fs::set_permissions(shop.workspace.root().join("apps/web/dist/main.js"), everybody).unwrap();
    assert_eq!(checked(&shop), [""; 0]);
    let image = shop.image();
    assert_eq!(image.files.get("app/apps/web/dist/main.js").map(|file| file.mode), Some(0o755));
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
    let checksum = |line: &str| {
        if line.starts_with("C:Q1") || line.starts_with("S:") { format!("{}…", &line[..2]) } else { line.to_owned() }
    };
    let added: Vec<String> = added.lines().map(checksum).collect();
    assert_snapshot!(added.join("\n"), @r"
    C:…
    P:curl
    V:8.9.1-r1
    A:x86_64
    S:…
    I:16
    T:for tests
    U:https://example.com
    L:MIT
    t:1722000000
    D:so:libcurl.so.4 so:libc.musl-x86_64.so.1
    p:cmd:curl=8.9.1-r1
    F:usr
    F:usr/bin
    R:curl
    a:0:0:755
    Z:Q1i4XzgpCjhPdDT+Y9HVtaeXxIh8M=
    R:acurl
    a:0:0:755
    Z:Q1i4XzgpCjhPdDT+Y9HVtaeXxIh8M=
    F:var
    F:var/lib
    F:var/lib/curl
    M:700:9:750
    F:usr/libexec
    R:curl-helper
    a:0:0:4755
    Z:Q1sIP+9XkMFHr9D7UlY2MrRKi3sgM=

    C:…
    P:libcurl
    V:8.9.1-r1
    A:x86_64
    S:…
    I:10
    T:for tests
    U:https://example.com
    L:MIT
    o:curl
    t:1722000000
    p:so:libcurl.so.4=4.8.0
    F:usr
    F:usr/lib
    R:libcurl.so.4
    a:0:0:777
    Z:Q1DHp/h26nd6KEWd20xlB9ckuXP9M=
    R:libcurl.so.4.8.0
    a:0:0:755
    Z:Q1SRvCo0HUmgxCAoWDSIuWq++nhHw=
    ");
    let names: Vec<&str> = installed.lines().filter_map(|line| line.strip_prefix("P:")).collect();
    assert_eq!(names, ["alpine-release", "busybox", "curl", "libcurl", "musl"], "sorted, as the base has them");
    let run = shop.run();
    assert!(!run.stderr.contains("trigger"), "that of busybox would do nothing: {run}");
}

#[test]
fn what_is_unchanged_is_not_made_again() {
    let Some(shop) = Shop::new(&curl()) else { return };
    let shop = shop.wants(r#""curl""#, "");
    let first = shop.image();
    let blobs = shop.workspace.root().join("images/blobs/sha256");
    let before: Vec<_> = fs::read_dir(&blobs).unwrap().flatten().map(|blob| blob.file_name()).collect();
    fs::remove_dir_all(shop.workspace.root().join("apks/x86_64")).unwrap();
    let run = shop.run();
    assert_eq!(run.code, Some(1), "the folder is asked for its index: {run}");
    write_repository(&shop.workspace.root().join("apks"), &curl(), &shop.key);
    for package in ["curl", "libcurl"] {
        fs::remove_file(shop.workspace.root().join(format!("apks/x86_64/{package}-8.9.1-r1.apk"))).unwrap();
    }
    assert_eq!(shop.image().digest, first.digest, "packages are not asked for again");
    assert_eq!(fs::read_dir(&blobs).unwrap().count(), before.len());
}

#[test]
fn directories_that_are_links_stay_links() {
    let base = AlpineBase { merged: vec!["bin", "lib", "sbin"], ..AlpineBase::default() };
    let tool = Apk::new("tool", "1-r0")
        .with(Entry::program("bin/tool", "a tool\n"))
        .with(Entry::file("lib/tool/data", "data\n"))
        .with(Entry::hard_link("sbin/tool", "bin/tool"));
    let Some(shop) = Shop::on(&base, &[tool]) else { return };
    let image = shop.wants(r#""tool""#, "").image();
    assert_eq!(image.files.link("bin"), Some("usr/bin"));
    assert_eq!(text(&image, "usr/bin/tool"), "a tool\n");
    assert_eq!(text(&image, "usr/lib/tool/data"), "data\n");
    assert_eq!(text(&image, "usr/sbin/tool"), "a tool\n");
    let installed = text(&image, "usr/lib/apk/db/installed");
    assert!(installed.contains("F:bin\nR:tool\n"), "named as the package names it: {installed}");
    assert!(text(&image, "usr/lib/apk/db/scripts.tar").contains("busybox"));
}

#[test]
fn a_file_of_the_base_is_only_taken_over_by_whoever_may() {
    let other = |info: &[(&str, &str)]| {
        let package = Apk::new("othermusl", "2-r0").with(Entry::program("lib/ld-musl-x86_64.so.1", "another\n"));
        info.iter().fold(package, |package, (key, value)| package.info(key, value))
    };
    let Some(shop) = Shop::new(&[other(&[])]) else { return };
    assert_snapshot!(shop.wants(r#""othermusl""#, "").refused(), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: two packages have one file, `othermusl-2-r0` and `musl-1.2.5-r9`: `/lib/ld-musl-x86_64.so.1`
    hint: leave one of them out
    ");
    let Some(shop) = Shop::new(&[other(&[("replaces", "musl<2"), ("replaces_priority", "5")])]) else { return };
    let image = shop.wants(r#""othermusl""#, "").image();
    assert_eq!(text(&image, "lib/ld-musl-x86_64.so.1"), "another\n");
    let installed = text(&image, "lib/apk/db/installed");
    assert_eq!(installed.matches("R:ld-musl-x86_64.so.1\n").count(), 1, "one owner: {installed}");
    assert!(installed.contains("r:musl<2\nq:5\n"), "{installed}");
    // One that the base's package takes back.
    let base = AlpineBase { musl: "r:othermusl\nq:9\n".into(), ..AlpineBase::default() };
    let Some(shop) = Shop::on(&base, &[other(&[("replaces", "musl"), ("replaces_priority", "5")])]) else { return };
    let image = shop.wants(r#""othermusl""#, "").image();
    assert_eq!(text(&image, "lib/ld-musl-x86_64.so.1"), "no program\n");
}

#[test]
fn settings_of_the_base_are_not_lost() {
    let package = Apk::new("issue", "1-r0")
        .with(Entry::file("etc/apk/world", "mine\n"))
        .with(Entry::file("etc/issue", "hello\n"));
    let Some(shop) = Shop::new(&[package]) else { return };
    let image = shop.wants(r#""issue""#, "").image();
    assert_eq!(text(&image, "etc/issue"), "hello\n");
    assert_eq!(text(&image, "etc/apk/world.apk-new"), "mine\n");
    assert!(text(&image, "etc/apk/world").contains("issue"));
}

#[test]
fn scripts_are_refused_or_kept_for_apk() {
    let tool = Apk::new("tool", "1-r0")
        .info("triggers", "/usr/share/tool/*")
        .with(Entry::program("usr/bin/tool", "a tool\n"))
        .script("post-install", "#!/bin/sh\nexit 1\n")
        .script("post-upgrade", "#!/bin/sh\nexit 1\n")
        .script("trigger", "#!/bin/sh\nexit 1\n");
    let Some(shop) = Shop::new(&[tool]) else { return };
    let shop = shop.wants(r#""tool""#, "");
    assert_snapshot!(shop.refused(), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package runs a script when it is installed (post-install, trigger): `tool`
    hint: pirogue runs no scripts; if it works without: `install-script = "skip"` under `[apk.tool]` in pirogue.toml
    "#);
    let image = shop.wants(r#""tool""#, "\n[apk.tool]\ninstall-script = \"skip\"\n").image();
    let scripts = text(&image, "lib/apk/db/scripts.tar");
    let mut tar = tar::Archive::new(scripts.as_bytes());
    let names: Vec<String> = tar
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string().replace('=', ""))
        .map(|name| name.rsplit_once('.').unwrap().1.to_owned())
        .collect();
    assert_eq!(names, ["trigger", "post-install", "post-upgrade", "trigger"]);
    assert!(text(&image, "lib/apk/db/triggers").ends_with("= /usr/share/tool/*\n"));
}

#[test]
fn triggers_of_the_base_are_told() {
    let modules = Apk::new("modules", "1-r0").with(Entry::file("lib/modules/6.1/a.ko", "a module\n"));
    let Some(shop) = Shop::new(&[modules]) else { return };
    let run = shop.wants(r#""modules""#, "").run();
    assert!(run.stderr.contains("the trigger of the base's package `busybox` would run"), "{run}");
}

/// A change to the files of a repository, and what is said then.
fn tampered(change: impl FnOnce(&Shop, &std::path::Path)) -> String {
    let Some(shop) = Shop::new(&curl()) else { return String::new() };
    let shop = shop.wants(r#""curl""#, "");
    change(&shop, &shop.workspace.root().join("apks/x86_64"));
    let said = shop.refused().to_string();
    // A checksum is that of bytes that were compressed here.
    let words = said.split('`').map(|word| if word.starts_with("Q1") { "Q1…" } else { word });
    words.collect::<Vec<_>>().join("`")
}

/// The bytes of a file with one of them changed, counted from the end.
fn damage(path: &std::path::Path, from_end: usize) {
    let mut bytes = fs::read(path).unwrap();
    let place = bytes.len() - from_end;
    bytes[place] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[test]
fn an_index_that_somebody_changed() {
    let said = tampered(|_, folder| damage(&folder.join("APKINDEX.tar.gz"), 9));
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the index of packages is not what its signature says: `./apks/x86_64/APKINDEX.tar.gz`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror
    ");
}

#[test]
fn an_index_that_nobody_signed() {
    let said = tampered(|_, folder| fs::write(folder.join("APKINDEX.tar.gz"), apk::index(&[], None, "sha1")).unwrap());
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the index of packages has no signature: `./apks/x86_64/APKINDEX.tar.gz`
    hint: sign it with `abuild-sign`: nothing vouches for its packages otherwise
    ");
}

#[test]
fn an_index_that_a_stranger_signed() {
    let Some(stranger) = Key::new("stranger@example.com-1.rsa.pub") else { return };
    let said = tampered(|_, folder| {
        fs::write(folder.join("APKINDEX.tar.gz"), apk::index(&[], Some(&stranger), "sha1")).unwrap();
    });
    assert_snapshot!(said, @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the index of packages is signed by no key that the base has, only by `stranger@example.com-1.rsa.pub`: `./apks/x86_64/APKINDEX.tar.gz`
    hint: if you trust it, name its key: `keys = ["KEY.rsa.pub"]` in `base` of pirogue.toml
    "#);
}

#[test]
fn an_index_that_a_stranger_signed_in_the_name_of_another() {
    let Some(stranger) = Key::new(KEY) else { return };
    let said = tampered(|_, folder| {
        fs::write(folder.join("APKINDEX.tar.gz"), apk::index(&[], Some(&stranger), "sha256")).unwrap();
    });
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the index of packages is not what its signature says: `./apks/x86_64/APKINDEX.tar.gz`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror
    ");
}

/// A key has its name, and is another's.
#[test]
fn a_key_that_somebody_changed() {
    let Some(stranger) = Key::new(KEY) else { return };
    let said = tampered(|shop, _| AlpineBase::default().write(&shop.workspace.root().join("base"), &stranger));
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the index of packages is not what its signature says: `./apks/x86_64/APKINDEX.tar.gz`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror
    ");
    let configured = |text: &str| {
        let Some(shop) = Shop::new(&curl()) else { return String::new() };
        fs::write(shop.workspace.root().join("other.rsa.pub"), text).unwrap();
        shop.wants(r#""curl""#, "base.keys = [\"other.rsa.pub\"]\n").refused().to_string()
    };
    let cut_off = stranger.public().replace("-----END PUBLIC KEY-----", "");
    assert_snapshot!(configured(&cut_off), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: not the PEM file of an RSA public key: `other.rsa.pub`
    hint: keys are those that `abuild-keygen` makes, such as `NAME.rsa.pub`
    ");
    assert_eq!(configured("no key\n"), configured(&cut_off));
}

#[test]
fn an_index_of_another_version() {
    let said = tampered(|_, folder| fs::write(folder.join("APKINDEX.tar.gz"), b"ADBd1234").unwrap());
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the index of packages has the format of apk 3 (ADB), which pirogue does not read: `./apks/x86_64/APKINDEX.tar.gz`
    hint: name a repository with packages of version 2, as all of Alpine's are
    ");
}

#[test]
fn a_package_of_another_version() {
    let said = tampered(|_, folder| fs::write(folder.join("libcurl-8.9.1-r1.apk"), b"ADBd1234").unwrap());
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package has the format of apk 3 (ADB), which pirogue does not read: `libcurl-8.9.1-r1`
    hint: name a repository with packages of version 2, as all of Alpine's are
    ");
}

#[test]
fn a_package_that_is_another() {
    let said = tampered(|shop, folder| {
        let other = Apk::new("libcurl", "8.9.1-r1").build(Some(&shop.key));
        fs::write(folder.join("libcurl-8.9.1-r1.apk"), other.bytes).unwrap();
    });
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package is not the one that the index has, whose checksum is `Q1…`: `libcurl-8.9.1-r1`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror
    ");
}

#[test]
fn a_package_with_other_files() {
    let said = tampered(|shop, folder| {
        // Its own control segment, and the files of another one of the same size.
        let [_, library] = curl();
        let mut other = library.clone();
        other.entries.last_mut().unwrap().content = b"aaaaaaaaaa".to_vec();
        let control = library.build(None).bytes;
        let (control, data) = (segments(&control), segments(&other.build(None).bytes).pop().unwrap());
        let signature = segments(&library.build(Some(&shop.key)).bytes).remove(0);
        fs::write(folder.join("libcurl-8.9.1-r1.apk"), [&signature[..], &control[0], &data].concat()).unwrap();
    });
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package's files are not those that its control segment says: `libcurl-8.9.1-r1`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror
    ");
}

#[test]
fn a_package_that_somebody_else_signed() {
    let said = tampered(|shop, folder| {
        let path = folder.join("libcurl-8.9.1-r1.apk");
        let rest = segments(&fs::read(&path).unwrap()).split_off(1).concat();
        let signature = shop.key.signature(b"something else", "sha1");
        fs::write(path, [signature, rest].concat()).unwrap();
    });
    assert_snapshot!(said, @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package is not what its own signature says: `libcurl-8.9.1-r1`
    hint: somebody changed it on its way, or the mirror is half renewed: try again, or another mirror
    ");
}

#[test]
fn a_package_that_is_cut_off() {
    let said = tampered(|_, folder| {
        let path = folder.join("libcurl-8.9.1-r1.apk");
        let bytes = fs::read(&path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 20]).unwrap();
    });
    assert!(said.contains("the package is damaged (") && said.contains("`libcurl-8.9.1-r1`"), "{said}");
}

/// The gzip members of a file.
fn segments(bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut rest = bytes;
    let mut segments = Vec::new();
    while !rest.is_empty() {
        let before = rest;
        let mut decoder = flate2::bufread::GzDecoder::new(&mut rest);
        std::io::copy(&mut decoder, &mut std::io::sink()).unwrap();
        segments.push(before[..before.len() - rest.len()].to_vec());
    }
    segments
}

/// Packages that no image gets.
fn refused(packages: &[Apk], wanted: &str) -> String {
    Shop::new(packages).map(|shop| shop.wants(wanted, "").refused().to_string()).unwrap_or_default()
}

#[test]
fn packages_that_do_not_go_together() {
    let [curl, _] = curl();
    let old = Apk::new("tool", "1-r0").depends("musl<1");
    let enemy = Apk::new("enemy", "1-r0").depends("!tool");
    let one = Apk::new("one", "1-r0").provides("service");
    let two = Apk::new("two", "1-r0").provides("service");
    let said = [
        ("nothing provides it", refused(&[curl], r#""curl""#)),
        ("no such version", refused(&[Apk::new("tool", "1-r0")], r#""tool>=2""#)),
        ("the base has another version", refused(&[old], r#""tool""#)),
        ("enemies", refused(&[enemy, Apk::new("tool", "1-r0")], r#""tool", "enemy""#)),
        ("nobody says which", refused(&[one, two], r#""service""#)),
    ];
    let said: String = said.iter().map(|(comment, said)| format!("# {comment}\n{said}\n")).collect();
    assert_snapshot!(said, @r"
    # nothing provides it
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: no repository of the base has what is wanted: `curl-8.9.1-r1` needs `so:libcurl.so.4`
    hint: the repositories are those of the base, or `repositories` of `base` in pirogue.toml

    # no such version
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: there is only `tool-1-r0`, which will not do: `tool>=2`
    hint: the repositories are those of the base, or `repositories` of `base` in pirogue.toml

    # the base has another version
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the base has `musl-1.2.5-r9`, which will not do: `tool-1-r0` needs `musl<1`
    hint: packages of the base are never changed: take a newer base, or another version

    # enemies
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: `tool-1-r0` cannot be there together with what is wanted: `enemy-1-r0`
    hint: leave one of them out

    # nobody says which
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: nothing says whether `one`, `two` is to be taken: `service`
    hint: name one of them in `packages` of `base` in pirogue.toml
    ");
}

#[test]
fn packages_that_no_layer_can_hold() {
    let with = |entry: Entry| [Apk { entries: vec![entry], ..Apk::new("tool", "1-r0") }];
    let capability = Entry::program("usr/bin/ping", "x").record("SCHILY.xattr.security.capability", "x");
    let device = Entry { kind: tar::EntryType::Char, ..Entry::file("dev/null", "") };
    let said = [
        ("a capability", refused(&with(capability), r#""tool""#)),
        ("a device", refused(&with(device), r#""tool""#)),
        ("a path that leads out", refused(&with(Entry::file("../etc/passwd", "x")), r#""tool""#)),
        ("a hard link to nothing", refused(&with(Entry::hard_link("bin/a", "bin/b")), r#""tool""#)),
        ("a file in place of a directory", refused(&with(Entry::file("usr", "x")), r#""tool""#)),
    ];
    let said: String = said.iter().map(|(comment, said)| format!("# {comment}\n{said}\n")).collect();
    assert_snapshot!(said, @r"
    # a capability
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package `tool-1-r0` has a file with the extended attribute `security.capability`, which a layer cannot hold: `usr/bin/ping`
    hint: put it into a base of your own

    # a device
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package `tool-1-r0` has an entry that is neither a file, a directory nor a link: `dev/null`
    hint: take another version of the package, or put it into a base of your own

    # a path that leads out
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package `tool-1-r0` has an entry with an impossible name: `../etc/passwd`
    hint: take another version of the package, or put it into a base of your own

    # a hard link to nothing
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package `tool-1-r0` has a hard link to a file that it does not have: `bin/a`
    hint: take another version of the package, or put it into a base of your own

    # a file in place of a directory
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the package `tool-1-r0` needs a place where something else is: `/usr`
    hint: take another version of the package, or put it into a base of your own
    ");
}

#[test]
fn bases_that_are_not_of_alpine() {
    let shop = |toml: &str| {
        TestWorkspace::new(&[
            ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
            ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js"}"#),
            ("apps/web/dist/main.js", "console.log('web');\n"),
            ("pirogue.toml", toml),
        ])
    };
    let refused = |toml: &str| {
        let workspace = shop(toml);
        harness::tiny_base::write(&workspace.root().join("base"), "amd64", "lib64/ld-linux-x86-64.so.2");
        failed_to(&workspace, &Shop::BUILD)
    };
    assert_snapshot!(refused(r#"base.packages = ["curl"]"#), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    error: packages can only be added to a base of Alpine, and this one has no database of apk: `oci:base`
    hint: take a base of Alpine, or one of your own that has `curl`; for an init alone: `init = { file = "…", sha256 = "…" }`
    "#);
    assert_snapshot!(refused(r#"init = "dumb-init""#), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    error: packages can only be added to a base of Alpine, and this one has no database of apk: `oci:base`
    hint: name a static program: `init = { file = "bin/tini-static", sha256 = "…" }` in pirogue.toml
    "#);
}

#[test]
fn packages_come_over_http_and_are_kept() {
    let Some(shop) = Shop::new(&curl()) else { return };
    let folder = shop.workspace.root().join("apks");
    let server = Misbehaving::start(move |asked| {
        let path = asked.line().trim_start_matches("GET /alpine/").to_owned();
        match fs::read(folder.join(path)) {
            Ok(_) if asked.header("if-none-match") == "\"1\"" => Answer::new(304),
            Ok(bytes) => Answer::new(200).header("ETag", "\"1\"").body(bytes),
            Err(_) => Answer::new(404),
        }
    });
    let toml = format!("base.packages = [\"curl\"]\nbase.repositories = [\"http://{}/alpine\"]\n", server.host());
    let shop = Shop { workspace: shop.workspace.and(&[("pirogue.toml", &toml)]), ..shop };
    let first = shop.image();
    let mut asked = server.lines();
    asked.sort();
    assert_eq!(
        asked,
        [
            "GET /alpine/x86_64/APKINDEX.tar.gz",
            "GET /alpine/x86_64/curl-8.9.1-r1.apk",
            "GET /alpine/x86_64/libcurl-8.9.1-r1.apk"
        ]
    );
    assert_eq!(shop.image().digest, first.digest);
    assert_eq!(server.lines().len(), 4, "only whether the index changed: {:?}", server.lines());
    let offline = [&Shop::BUILD[..], &["--offline"]].concat();
    let run = shop.workspace.run(&offline);
    assert_eq!((run.code, server.lines().len()), (Some(0), 4), "{run}");
    fs::remove_dir_all(shop.workspace.beside("cache")).unwrap();
    let run = failed_to(&shop.workspace, &offline);
    assert_snapshot!(run.replaced(&server.host(), "[HOST]"), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the index is not in the cache, and no repository may be asked: `http://[HOST]/alpine/x86_64/APKINDEX.tar.gz`
    hint: build once without `--offline`, or name a folder: `repositories = ["DIR"]` in `base` of pirogue.toml
    "#);
    fs::remove_dir_all(shop.workspace.root().join("apks/x86_64")).unwrap();
    assert_snapshot!(shop.refused().replaced(&server.host(), "[HOST]"), @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:base
    resolving Alpine packages
    error: the repository does not have the index (status 404): `http://[HOST]/alpine/x86_64/APKINDEX.tar.gz`
    hint: to take another mirror, or a folder: `repositories = ["…"]` in `base` of pirogue.toml
    "#);
}
