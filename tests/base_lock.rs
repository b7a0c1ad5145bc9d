//! `pirogue.lock`: what is pinned, what is asked for, when it is written; `pirogue base`.

mod harness;

use std::fs;
use std::path::{Path, PathBuf};

use harness::misbehaving::{PlayedRegistry, Profile};
use harness::workspace::{BASE, Run, TestWorkspace};
use harness::{layout, sha256, tiny_base};
use insta::assert_snapshot;
use serde_json::Value;

const REPOSITORY: &str = "base/node";
const UPDATE: [(&str, &str); 3] = [
    ("lib/ld-musl-x86_64.so.1", "no program\n"),
    ("etc/alpine-release", "3.21.4\n"),
    ("lib/apk/db/installed", "P:musl\nV:1.2.5-r10\nA:x86_64\n\nP:busybox\nV:1.37.0-r12\n"),
];

/// A workspace of one service whose base lies in a registry under a tag, or in a layout.
struct Shop {
    workspace: TestWorkspace,
    registry: PlayedRegistry,
}

impl Shop {
    /// On a base in a registry.
    fn new() -> Self {
        let registry = PlayedRegistry::start(Profile::named("plain"));
        registry.hold(REPOSITORY, "20-alpine", Path::new(BASE));
        let base = format!("{}/{REPOSITORY}:20-alpine", registry.host());
        Self { workspace: workspace(&base), registry }
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.told(arguments, "cache")
    }

    /// A run with a cache of its own.
    fn told(&self, arguments: &[&str], cache: &str) -> Run {
        let mut command = self.workspace.pirogue(arguments);
        command.env("PIROGUE_CACHE_DIR", self.workspace.beside(cache));
        self.workspace.told(&command.output().expect("pirogue starts")).replaced(&self.registry.host(), "[HOST]")
    }

    fn build(&self, more: &[&str]) -> Run {
        self.build_with("cache", more)
    }

    fn build_with(&self, cache: &str, more: &[&str]) -> Run {
        self.told(&[&["build", "--platform", "linux/amd64", "--to", "oci:../out"], more].concat(), cache)
    }

    /// Moves the tag of the base to its next version.
    fn move_tag(&self) {
        let next = next_base(&self.workspace);
        self.registry.hold(REPOSITORY, "20-alpine", &next);
    }

    fn lock(&self) -> String {
        lock(&self.workspace).expect("there is a lock").replace(&self.registry.host(), "[HOST]")
    }

    /// How often the registry was asked while `work` ran, and for what.
    fn asked_while(&self, work: impl FnOnce()) -> Vec<String> {
        let before = self.registry.server.lines().len();
        work();
        self.registry.server.lines().split_off(before)
    }
}

fn workspace(base: &str) -> TestWorkspace {
    TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
        ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "scripts": {"start": "node dist/main.js"}}"#),
        ("apps/web/dist/main.js", "console.log('up');\n"),
        ("pirogue.toml", &format!("base = \"{base}\"\n")),
    ])
}

fn next_base(workspace: &TestWorkspace) -> PathBuf {
    let next = workspace.beside("next-base");
    tiny_base::write_renewed(Path::new(BASE), &next, "20.19.0", &UPDATE);
    next
}

fn lock(workspace: &TestWorkspace) -> Option<String> {
    fs::read_to_string(workspace.root().join("pirogue.lock")).ok()
}

fn succeeds(run: &Run) {
    assert_eq!(run.code, Some(0), "{run}");
}

/// The manifest of the service's image.
fn manifest(workspace: &TestWorkspace) -> Value {
    let out = workspace.beside("out");
    let images = layout::validate(&out);
    let digest = images["web"].digest.trim_start_matches("sha256:");
    serde_json::from_slice(&fs::read(out.join("blobs/sha256").join(digest)).unwrap()).unwrap()
}

/// What the service's image says of its base.
fn base_annotations(workspace: &TestWorkspace) -> String {
    let mut annotations = manifest(workspace)["annotations"].take();
    annotations.as_object_mut().expect("there are annotations").retain(|key, _| key.contains(".image.base."));
    annotations.to_string()
}

/// The digest at the end of what a build prints.
fn built(run: &Run) -> &str {
    run.stdout.trim_end().rsplit('@').next().unwrap_or_default()
}

#[test]
fn a_build_writes_the_lock_and_the_next_asks_nobody() {
    let shop = Shop::new();
    let first = shop.build(&[]);
    assert_snapshot!(first.stderr, @r"
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    planning layers
    writing pirogue.lock
    packing 2 of 2 layers
    writing one image to ../out
    ");
    assert_snapshot!(shop.lock(), @r#"
    # Written by pirogue; `pirogue base update` renews it. Keep it under version control.
    version = 1
    recipe = "3: libdeflate 1.25 level 6, pieces of 1 MiB; zstd 1.5 level 3, pieces of 4 MiB, runs of 256 KiB; sets of packages in parts of 32 MiB"

    [[base]]
    reference = "[HOST]/base/node:20-alpine"
    digest = "sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b"

    [base.manifests]
    "linux/amd64" = "sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c"
    "linux/arm64/v8" = "sha256:9a700c997cb8b48bb89786c2dcc845e62b27de5ce4e64ca329256565eac703c4"
    "#);
    let annotations = base_annotations(&shop.workspace).replace(&shop.registry.host(), "[HOST]");
    assert_snapshot!(annotations, @r#"{"org.opencontainers.image.base.digest":"sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c","org.opencontainers.image.base.name":"[HOST]/base/node:20-alpine"}"#);

    let mut second = None;
    let asked = shop.asked_while(|| second = Some(shop.build(&["--locked"])));
    let second = second.unwrap();
    assert_eq!(asked, [""; 0]);
    assert_eq!(built(&second), built(&first));
    assert!(!second.stderr.contains("writing pirogue.lock"), "{second}");
}

#[test]
fn a_tag_that_moves_moves_nothing() {
    let shop = Shop::new();
    let first = shop.build(&[]);
    shop.move_tag();
    for (cache, more) in [("cache", &[][..]), ("new-cache", &[]), ("locked-cache", &["--locked"])] {
        let mut again = None;
        let asked = shop.asked_while(|| again = Some(shop.build_with(cache, more)));
        let again = again.unwrap();
        assert_eq!(built(&again), built(&first), "{cache}: {again}");
        assert!(asked.iter().all(|line| line.contains("/sha256:") || line == "GET /v2/"), "{cache}: {asked:?}");
        assert_eq!(asked.is_empty(), cache == "cache", "{asked:?}");
    }
    // Another machine's platform is in the lock already.
    let arm = shop.told(&["build", "--locked", "--platform", "linux/arm64", "--to", "oci:../arm"], "cache");
    succeeds(&arm);
    layout::validate(&shop.workspace.beside("arm"));
}

#[test]
fn mirrors_serve_what_is_locked() {
    let shop = Shop::new();
    let first = shop.build(&[]);
    shop.move_tag();
    // A mirror has what the lock names, under a tag of its own: the registry itself is not asked.
    let mirror = PlayedRegistry::start(Profile::named("mirror"));
    mirror.hold(REPOSITORY, "any", Path::new(BASE));
    let settings = shop.workspace.beside("registries.toml");
    let host = shop.registry.host();
    fs::write(&settings, format!("[registry.\"{host}\"]\nmirrors = [\"{}\"]\n", mirror.host())).unwrap();
    let mut again = None;
    let asked = shop.asked_while(|| {
        let arguments = ["build", "--locked", "--platform", "linux/amd64", "--to", "oci:../out"];
        let mut command = shop.workspace.pirogue(&arguments);
        command.env("PIROGUE_CACHE_DIR", shop.workspace.beside("mirror-cache")).env("PIROGUE_REGISTRIES", &settings);
        again = Some(shop.workspace.told(&command.output().unwrap()));
    });
    let again = again.unwrap();
    assert_eq!(built(&again), built(&first), "{again}");
    assert_eq!(asked, [""; 0]);
}

#[test]
fn what_does_not_write_the_lock() {
    let shop = Shop::new();
    succeeds(&shop.run(&["plan", "--platform", "linux/amd64"]));
    assert_eq!(lock(&shop.workspace), None, "a plan");
    succeeds(&shop.build(&["--base", &format!("oci:{BASE}:20-alpine")]));
    assert_eq!(lock(&shop.workspace), None, "a base that was typed");
    let failed = shop.build(&["--locked"]);
    assert_eq!(lock(&shop.workspace), None, "a build that may not: {failed}");
    succeeds(&shop.build(&[]));
    let written = lock(&shop.workspace);
    shop.move_tag();
    succeeds(&shop.build(&["--base", &format!("{}/{REPOSITORY}:20-alpine", shop.registry.host())]));
    succeeds(&shop.build(&["--base", &format!("oci:{}", shop.workspace.beside("next-base").display())]));
    assert_eq!(lock(&shop.workspace), written, "a base that was typed");
}

#[test]
fn an_image_does_not_hold_the_lock() {
    let shop = Shop::new();
    let workspace = TestWorkspace::new(&[
        (
            "package.json",
            r#"{"name": "web", "version": "1.0.0", "main": "index.js", "scripts": {"start": "node index.js"}}"#,
        ),
        ("index.js", "console.log('up');\n"),
        ("pirogue.toml", &format!("base = \"{}/{REPOSITORY}:20-alpine\"\n", shop.registry.host())),
    ]);
    let build = || workspace.run(&["build", "--platform", "linux/amd64", "--to", "oci:../out"]);
    let (first, second) = (build(), build());
    succeeds(&first);
    assert!(lock(&workspace).is_some());
    assert_eq!(built(&first), built(&second));
    let images = layout::validate(&workspace.beside("out"));
    assert!(
        images["web"].files.get("app/pirogue.toml").is_some() && images["web"].files.get("app/pirogue.lock").is_none()
    );
}

#[test]
fn locked_refuses_what_would_change_the_lock() {
    let shop = Shop::new();
    let refused = |more: &[&str]| shop.build(&[&["--locked"], more].concat()).to_string();
    assert_snapshot!(refused(&[]), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    error: `--locked`, but pirogue.lock has no entry for the base: `[HOST]/base/node:20-alpine`
    hint: build once without `--locked`, and check pirogue.lock in
    ");
    succeeds(&shop.build(&[]));
    assert_snapshot!(refused(&["--base", &format!("oci:{BASE}:20-alpine")]).replace(BASE, "[BASE]"), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    error: `--locked`, but nothing pins the base: `oci:[BASE]:20-alpine`
    hint: name it in pirogue.toml, or by its digest, such as `--base node@sha256:…`
    ");
    let path = shop.workspace.root().join("pirogue.lock");
    let whole = fs::read_to_string(&path).unwrap();

    let recipe = whole.lines().find(|line| line.starts_with("recipe")).unwrap();
    fs::write(&path, whole.replace(recipe, "recipe = \"1: another\"")).unwrap();
    assert_snapshot!(refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: `--locked`, but pirogue.lock was written for other rules of making layers, `1: another`: `3: libdeflate 1.25 level 6, pieces of 1 MiB; zstd 1.5 level 3, pieces of 4 MiB, runs of 256 KiB; sets of packages in parts of 32 MiB`
    hint: build once without `--locked`, and check pirogue.lock in
    ");
    let rewritten = shop.build(&[]);
    assert_snapshot!(rewritten.stderr, @r"
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    planning layers
    warning: pirogue.lock was written by a pirogue that makes layers by other rules: images get other digests
    writing pirogue.lock
    writing one image to ../out
    ");
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);

    let other = whole[whole.find("\n[[base]]").unwrap()..].replace("20-alpine", "18-alpine");
    fs::write(&path, format!("{whole}{other}")).unwrap();
    assert_snapshot!(refused(&[]), @r"
    exit code: 1
    ----- stderr
    error: `--locked`, but pirogue.lock has an entry for a base that no service has: `[HOST]/base/node:18-alpine`
    hint: build once without `--locked`, and check pirogue.lock in
    ");
    succeeds(&shop.build(&[]));
    assert_eq!(fs::read_to_string(&path).unwrap(), whole, "an entry that nobody needs is gone");
}

#[test]
fn locks_that_cannot_be_used() {
    let shop = Shop::new();
    succeeds(&shop.build(&[]));
    let path = shop.workspace.root().join("pirogue.lock");
    let whole = fs::read_to_string(&path).unwrap();
    let with = |text: &str| {
        fs::write(&path, text).unwrap();
        shop.build(&[]).to_string()
    };
    assert_snapshot!(with(&whole.replace("digest = ", "digest ")), @r"
    exit code: 1
    ----- stderr
    error: key with no value, expected `=`: `pirogue.lock:7:8`
    hint: take it back from version control, `git checkout -- pirogue.lock`; or remove it, and the next build writes it anew
    ");
    assert_snapshot!(with(&whole.replace("version = 1", "version = 2")), @r"
    exit code: 1
    ----- stderr
    error: the lock has version 2, and this pirogue knows only 1: `pirogue.lock:2:1`
    hint: a newer pirogue wrote it: use that one, or a later
    ");
    assert_snapshot!(with(&format!("<<<<<<< HEAD\n{whole}=======\n{whole}>>>>>>> theirs\n")), @r"
    exit code: 1
    ----- stderr
    error: a merge left both sides in the lock: `pirogue.lock:1:1`
    hint: take either side, such as `git checkout --ours -- pirogue.lock`, and renew it with `pirogue base update`
    ");
    // Somebody changed a digest.
    let manifest = whole.lines().find(|line| line.starts_with("\"linux/amd64\"")).unwrap();
    let other = format!("\"linux/amd64\" = \"{}\"", sha256(b"nothing"));
    assert_snapshot!(with(&whole.replace(manifest, &other)), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    error: the lock has another image for the platform than the index that it names, which has `sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c`: `[HOST]/base/node:20-alpine`
    hint: take what its name stands for now: `pirogue base update [HOST]/base/node:20-alpine`
    ");
    let index = whole.lines().find(|line| line.starts_with("digest")).unwrap();
    assert_snapshot!(with(&whole.replace(index, &format!("digest = \"{}\"", sha256(b"nothing")))), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    error: the base is locked to an image that is not there, `sha256:1785cfc3bc6ac7738e8b38cdccd1af12563c2b9070e07af336a1bf8c0f772b6a`: `[HOST]/base/node:20-alpine`
    hint: take what its name stands for now: `pirogue base update [HOST]/base/node:20-alpine`
    ");
    let arm = whole.lines().find(|line| line.starts_with("\"linux/arm64")).unwrap();
    let swapped = format!("\"linux/amd64\" = {}", arm.split(" = ").nth(1).unwrap());
    let contradicting = whole.replace(manifest, &swapped);
    assert_snapshot!(with(&contradicting), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    error: the lock has another image for the platform than the index that it names, which has `sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c`: `[HOST]/base/node:20-alpine`
    hint: take what its name stands for now: `pirogue base update [HOST]/base/node:20-alpine`
    ");
    assert_eq!(fs::read_to_string(&path).unwrap(), contradicting, "a build that fails changes nothing");
    succeeds(&shop.run(&["base", "update", "--platform", "linux/amd64"]));
    assert_eq!(fs::read_to_string(&path).unwrap(), whole);
}

#[test]
fn an_image_that_the_registry_lost_or_changed() {
    let shop = Shop::new();
    succeeds(&shop.build(&[]));
    let manifest = shop.lock().lines().find(|line| line.starts_with("\"linux/amd64\"")).unwrap().to_owned();
    let digest = manifest.split('"').nth(3).unwrap();
    let held = {
        let mut state = shop.registry.state();
        let contents = state.repositories.get_mut(REPOSITORY).unwrap();
        let held = contents.manifests[digest].clone();
        contents.manifests.get_mut(digest).unwrap().1.push(b' ');
        held
    };
    assert_snapshot!(shop.build_with("new-cache", &[]), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    error: cannot get the base `[HOST]/base/node:20-alpine`: the digest is `sha256:7806b12da59ce77605dbc002065b2e9102f18de971c1d9391c2c84db6e1094f1` and not `sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c`: `http://[HOST]/v2/base/node/manifests/sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c`
    hint: something between here and there gives out other bytes than were asked for: ask who runs the registry, or the mirror or proxy before it
    ");
    shop.registry.state().repositories.get_mut(REPOSITORY).unwrap().manifests.remove(digest);
    assert_snapshot!(shop.build_with("new-cache", &[]), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    error: the base is locked to an image that is not there, `sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`: `[HOST]/base/node:20-alpine`
    hint: take what its name stands for now: `pirogue base update [HOST]/base/node:20-alpine`
    ");
    // What the cache has is not asked for.
    succeeds(&shop.build(&["--locked"]));

    let mut state = shop.registry.state();
    let contents = state.repositories.get_mut(REPOSITORY).unwrap();
    let document: Value = serde_json::from_slice(&held.1).unwrap();
    contents.manifests.insert(digest.to_owned(), held);
    contents.blobs.remove(document["layers"][0]["digest"].as_str().unwrap());
    drop(state);
    assert_snapshot!(shop.build_with("new-cache", &[]), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/node:20-alpine
    error: the base is locked to an image that is not there, `sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`: `[HOST]/base/node:20-alpine`
    hint: take what its name stands for now: `pirogue base update [HOST]/base/node:20-alpine`
    ");
}

#[test]
fn a_reference_with_a_digest_and_a_lock_that_disagrees() {
    let shop = Shop::new();
    let index = fs::read(Path::new(BASE).join("index.json")).unwrap();
    let digest =
        serde_json::from_slice::<Value>(&index).unwrap()["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let base = format!("{}/{REPOSITORY}@{digest}", shop.registry.host());
    let workspace = workspace(&base);
    let build = |more: &[&str]| {
        let run = workspace.run(&[&["build", "--platform", "linux/amd64", "--to", "oci:../out"], more].concat());
        run.replaced(&shop.registry.host(), "[HOST]")
    };
    succeeds(&build(&["--locked", "--base", &base]));
    succeeds(&build(&[]));
    let annotations = &manifest(&workspace)["annotations"];
    assert_eq!(annotations["org.opencontainers.image.base.name"], base);
    let written = lock(&workspace).unwrap();
    succeeds(&build(&["--locked"]));
    let (was, other) = (format!("digest = \"{digest}\""), format!("digest = \"{}\"", sha256(b"another")));
    fs::write(workspace.root().join("pirogue.lock"), written.replace(&was, &other)).unwrap();
    assert_snapshot!(build(&[]), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base [HOST]/base/node@sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b
    error: the base is locked to another image than its own name says, `sha256:ae448ac86c4e8e4dec645729708ef41873ae79c6dff84eff73360989487f08e5`: `[HOST]/base/node@sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`
    hint: take what its name stands for now: `pirogue base update [HOST]/base/node@sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`
    ");
}

#[test]
fn a_layout_is_pinned_too() {
    let workspace = workspace("oci:../base:20-alpine");
    let place = workspace.beside("base");
    let copy = |from: &Path| {
        let copied = workspace.run(&["copy", &format!("oci:{}:20-alpine", from.display()), "oci:../base:20-alpine"]);
        succeeds(&copied);
    };
    let build =
        |more: &[&str]| workspace.run(&[&["build", "--platform", "linux/amd64", "--to", "oci:../out"], more].concat());
    copy(Path::new(BASE));
    let first = build(&[]);
    succeeds(&first);
    let annotations = base_annotations(&workspace);
    assert_snapshot!(annotations, @r#"{"org.opencontainers.image.base.digest":"sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c"}"#);
    // The name moves on, and the layout holds both.
    copy(&next_base(&workspace));
    let stale = build(&["--locked"]);
    assert_eq!(built(&stale), built(&first));
    assert!(stale.stderr.contains("and the base now stands for another image") && stale.code == Some(0), "{stale}");
    assert!(!first.stderr.contains("warning"), "{first}");
    // Nothing but the new one is left.
    fs::remove_dir_all(&place).unwrap();
    copy(&next_base(&workspace));
    assert_snapshot!(build(&[]), @r"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:../base:20-alpine
    error: the base is locked to an image that is not there, `sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`: `oci:../base:20-alpine`
    hint: take what its name stands for now: `pirogue base update oci:../base:20-alpine`
    ");
    succeeds(&workspace.run(&["base", "update", "oci:../base:20-alpine"]));
    let updated = build(&["--locked"]);
    succeeds(&updated);
    assert_ne!(built(&updated), built(&first));
}

#[test]
fn updates_and_what_they_change() {
    let shop = Shop::new();
    let update = |more: &[&str]| shop.run(&[&["base", "update", "--platform", "linux/amd64"], more].concat());
    assert_snapshot!(update(&[]), @r"
    exit code: 0
    ----- stdout
    [HOST]/base/node:20-alpine
      new: 93d4da87b6c5
      linux/amd64  new: f933c1fb44be
        Node   20.18.0
        OS     Alpine Linux 3.21.3
        libc   unknown
        layers 2 of 2 new, 2.5 kB
      linux/arm64/v8  new: 9a700c997cb8

    written: [DIR]/workspace/pirogue.lock
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    ");
    let before = shop.lock();
    assert_snapshot!(update(&[]), @r"
    exit code: 0
    ----- stdout
    [HOST]/base/node:20-alpine
      unchanged: 93d4da87b6c5

    The lock is up to date.
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    ");
    shop.move_tag();
    assert_snapshot!(update(&["--dry-run"]), @r"
    exit code: 0
    ----- stdout
    [HOST]/base/node:20-alpine
      93d4da87b6c5 -> 242a483861be
      linux/amd64  f933c1fb44be -> 53ee44186724
        Node   20.18.0 -> 20.19.0
        OS     Alpine Linux 3.21.3 -> Alpine Linux 3.21.4
        libc   unknown -> musl 1.2.5-r10
        layers 1 of 3 new, 6.1 kB
      linux/arm64/v8  9a700c997cb8 -> 43c60c203356

    Nothing was written.
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    ");
    assert_eq!(shop.lock(), before);
    assert_snapshot!(update(&["--json", "--dry-run"]).stdout, @r#"
    {
      "bases": [
        {
          "reference": "[HOST]/base/node:20-alpine",
          "digest_before": "sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b",
          "digest": "sha256:242a483861bebc8066b9acbbf2ac78ff38359c33c3b66face736c1704aaf8030",
          "platforms": [
            {
              "platform": "linux/amd64",
              "digest_before": "sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c",
              "digest": "sha256:53ee44186724772737ee2c27e8930a2f7a1050d33b640a0ee586f6bcd756acba",
              "image": {
                "before": {
                  "node": "20.18.0",
                  "os": "Alpine Linux 3.21.3",
                  "libc": null
                },
                "after": {
                  "node": "20.19.0",
                  "os": "Alpine Linux 3.21.4",
                  "libc": "musl 1.2.5-r10"
                },
                "layers": 3,
                "new_layers": 1,
                "new_bytes": 6144
              }
            },
            {
              "platform": "linux/arm64/v8",
              "digest_before": "sha256:9a700c997cb8b48bb89786c2dcc845e62b27de5ce4e64ca329256565eac703c4",
              "digest": "sha256:43c60c203356abac6fa84f3488cf45bc8bc15da751236df765a84fafcc7d8937",
              "image": null
            }
          ],
          "packages": []
        }
      ],
      "removed": [],
      "written": null,
      "dry_run": true
    }
    "#);
    let old = shop.build(&["--locked"]);
    let host = shop.registry.host();
    succeeds(&update(&[&format!("{host}/{REPOSITORY}:20-alpine")]));
    assert_ne!(shop.lock(), before);
    let new = shop.build(&["--locked"]);
    assert_ne!(built(&old), built(&new));
    assert_snapshot!(update(&["node:99"]), @r"
    exit code: 1
    ----- stderr
    error: no service has this base: `node:99`
    hint: there are: `[HOST]/base/node:20-alpine`
    ");
}

#[test]
fn an_update_from_an_image_that_is_gone() {
    let shop = Shop::new();
    succeeds(&shop.build(&[]));
    shop.registry.state().repositories.clear();
    shop.move_tag();
    let run = shop.told(&["base", "update", "--platform", "linux/amd64"], "new-cache");
    assert_snapshot!(run, @r"
    exit code: 0
    ----- stdout
    [HOST]/base/node:20-alpine
      93d4da87b6c5 -> 242a483861be
      linux/amd64  f933c1fb44be -> 53ee44186724
        Node   20.19.0
        OS     Alpine Linux 3.21.4
        libc   musl 1.2.5-r10
        layers 3 of 3 new, 8.7 kB
        the image before is no longer there to compare with
      linux/arm64/v8  9a700c997cb8 -> 43c60c203356

    written: [DIR]/workspace/pirogue.lock
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    ");
}

/// Severity, code and message of what the checks say of bases.
fn said_of_bases(run: &Run) -> Vec<String> {
    let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|error| panic!("{error}: {run}"));
    let findings = report["services"][0]["findings"].as_array().expect("a list");
    let of_bases = findings.iter().filter(|finding| ["base-stale", "base-not-locked"].contains(&text(finding, "code")));
    of_bases.map(|it| format!("{} {}: {}", text(it, "severity"), text(it, "code"), text(it, "message"))).collect()
}

fn text<'v>(of: &'v Value, key: &str) -> &'v str {
    of[key].as_str().expect("a text")
}

#[test]
fn the_checks_ask_for_a_newer_base_if_they_may() {
    let shop = Shop::new();
    let check = |more: &[&str]| {
        let run = shop.run(&[&["check", "--json", "--platform", "linux/amd64"], more].concat());
        assert_eq!(run.code, Some(0), "{run}");
        run
    };
    succeeds(&shop.build(&[]));
    assert_eq!(said_of_bases(&check(&["--online"])), [""; 0]);
    shop.move_tag();
    let asked = shop.asked_while(|| assert_eq!(said_of_bases(&check(&[])), [""; 0]));
    assert_eq!(asked, [""; 0], "nobody is asked");
    assert_snapshot!(said_of_bases(&check(&["--online"])).join("\n"), @"warning base-stale: the image lies on f933c1fb44be for linux/amd64, and the base now stands for another image, 53ee44186724: `[HOST]/base/node:20-alpine`");
    assert_eq!(said_of_bases(&check(&["--online", "--platform", "linux/arm64"])).len(), 2, "one for each platform");
    succeeds(&shop.run(&["base", "update", "--platform", "linux/amd64"]));
    assert_eq!(said_of_bases(&check(&["--online"])), [""; 0]);
    // What cannot be asked is told, and does not count as stale.
    shop.registry.state().repositories.clear();
    let run = check(&["--online"]);
    assert_eq!(said_of_bases(&run), [""; 0]);
    assert!(run.stderr.contains("warning: cannot get the base"), "{run}");
}

#[test]
fn the_checks_see_a_base_that_the_lock_lacks() {
    let shop = Shop::new();
    let check = || said_of_bases(&shop.run(&["check", "--json", "--platform", "linux/amd64"]));
    assert_eq!(check(), [""; 0], "there is no lock");
    succeeds(&shop.build(&[]));
    assert_eq!(check(), [""; 0]);
    shop.registry.hold(REPOSITORY, "22-alpine", Path::new(BASE));
    let other = format!("base = \"{}/{REPOSITORY}:22-alpine\"", shop.registry.host());
    fs::write(shop.workspace.root().join("pirogue.toml"), other).unwrap();
    assert_snapshot!(check().join("\n"), @"note base-not-locked: the lock does not say what the base stands for, so that is asked each time: `[HOST]/base/node:22-alpine`");
    succeeds(&shop.build(&[]));
    assert_eq!(check(), [""; 0]);
}

#[test]
fn which_images_are_stale() {
    let shop = Shop::new();
    let to = format!("{}/shop", shop.registry.host());
    let push = |tag: &str| {
        let mut command = shop.workspace.pirogue(&["build", "--platform", "linux/amd64", "--to", &to, "--tag", tag]);
        command.env("SOURCE_DATE_EPOCH", "1735776000");
        succeeds(&shop.workspace.told(&command.output().unwrap()));
    };
    let status = |more: &[&str]| {
        let run = shop.run(&[&["base", "status", "--to", &to, "--tag", "1", "--tag", "2"], more].concat());
        without_ages(&run.to_string())
    };
    push("1");
    assert_snapshot!(status(&[]), @r"
    exit code: 0
    ----- stdout
    IMAGE PLATFORM MADE BASE LIES ON BASE MADE LOCK NOW
    [HOST]/shop/web:1 linux/amd64 N days ago [HOST]/base/node:20-alpine f933c1fb44be N days ago same same
    [HOST]/shop/web:2 not there

    1 found: 1 on the base in the lock, 1 on what its name stands for now.
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    asking for the images that were pushed
    ");
    shop.move_tag();
    assert_snapshot!(status(&["web"]), @r"
    exit code: 0
    ----- stdout
    IMAGE PLATFORM MADE BASE LIES ON BASE MADE LOCK NOW
    [HOST]/shop/web:1 linux/amd64 N days ago [HOST]/base/node:20-alpine f933c1fb44be N days ago same other
    [HOST]/shop/web:2 not there

    1 found: 1 on the base in the lock, 0 on what its name stands for now.
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    asking for the images that were pushed
    ");
    succeeds(&shop.run(&["base", "update", "--platform", "linux/amd64"]));
    push("2");
    assert_snapshot!(status(&[]), @r"
    exit code: 0
    ----- stdout
    IMAGE PLATFORM MADE BASE LIES ON BASE MADE LOCK NOW
    [HOST]/shop/web:1 linux/amd64 N days ago [HOST]/base/node:20-alpine f933c1fb44be N days ago other other
    [HOST]/shop/web:2 linux/amd64 N days ago [HOST]/base/node:20-alpine 53ee44186724 N days ago same same

    2 found: 1 on the base in the lock, 1 on what its name stands for now.
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    asking for the images that were pushed
    ");
    let json = shop.run(&["base", "status", "--to", &to, "--tag", "2", "--json"]);
    let json: Value = serde_json::from_str(&json.stdout).unwrap();
    let found = &json["images"][0]["found"];
    assert_eq!(found["created"], "2025-01-02T00:00:00Z");
    assert_eq!(found["base_created"], "2025-06-01T00:00:00Z");
    assert!(found["age_seconds"].as_i64().unwrap() > found["base_age_seconds"].as_i64().unwrap());
    // Without the base's registry one question stays open, and is said to.
    shop.registry.state().repositories.remove(REPOSITORY);
    assert_snapshot!(status(&[]), @r"
    exit code: 0
    ----- stdout
    IMAGE PLATFORM MADE BASE LIES ON BASE MADE LOCK NOW
    [HOST]/shop/web:1 linux/amd64 N days ago [HOST]/base/node:20-alpine f933c1fb44be N days ago other unknown
    [HOST]/shop/web:2 linux/amd64 N days ago [HOST]/base/node:20-alpine 53ee44186724 N days ago same unknown

    2 found: 1 on the base in the lock, 0 on what its name stands for now.
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    warning: cannot get the base `[HOST]/base/node:20-alpine`: the registry does not have it, status 404 `MANIFEST_UNKNOWN` (played): `GET http://[HOST]/v2/base/node/manifests/20-alpine`
    asking for the images that were pushed
    ");
    let run = shop.told(&["base", "status", "--to", &to, "--tag", "2"], "new-cache");
    assert_snapshot!(without_ages(&run.to_string()), @"
    exit code: 0
    ----- stdout
    IMAGE PLATFORM MADE BASE LIES ON BASE MADE LOCK NOW
    [HOST]/shop/web:2 linux/amd64 N days ago [HOST]/base/node:20-alpine 53ee44186724? unknown unknown unknown

    1 found: 0 on the base in the lock, 0 on what its name stands for now.
    ----- stderr
    resolving the base [HOST]/base/node:20-alpine
    warning: cannot get the base `[HOST]/base/node:20-alpine`: the registry does not have it, status 404 `MANIFEST_UNKNOWN` (played): `GET http://[HOST]/v2/base/node/manifests/20-alpine`
    asking for the images that were pushed
    warning: cannot get the base `[HOST]/base/node:20-alpine`: the registry does not have it, status 404 `MANIFEST_UNKNOWN` (played): `GET http://[HOST]/v2/base/node/manifests/sha256:53ee44186724772737ee2c27e8930a2f7a1050d33b640a0ee586f6bcd756acba`
    ");
    assert_snapshot!(shop.run(&["base", "status", "--to", "oci:images"]), @r"
    exit code: 1
    ----- stderr
    error: no registry is named in which images could be
    hint: name the one that they are pushed to: `--to HOST/PREFIX`, or `to` in pirogue.toml
    ");
}

/// A table whatever the width of its columns and the number of days: they grow, and ports have four digits or five.
fn without_ages(text: &str) -> String {
    let is_number = |word: &&str| word.parse::<u32>().is_ok();
    let line = |line: &str| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let follows = |at: usize| words.get(at + 1) == Some(&"days");
        let shown = words.iter().enumerate().map(|(at, word)| if is_number(word) && follows(at) { "N" } else { word });
        shown.collect::<Vec<_>>().join(" ")
    };
    text.lines().map(line).collect::<Vec<_>>().join("\n")
}
