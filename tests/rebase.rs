//! `pirogue rebase`: images without their sources become what a build of the sources upon the new base would be, and stay
//! where they are if what they rely on is another there.

mod harness;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use harness::build::Build;
use harness::certificates::Ca;
use harness::locked_shop::LockedShop;
use harness::misbehaving::{PlayedRegistry, Profile};
use harness::registry::Registry;
use harness::sample::{self, SERVICES as SAMPLE};
use harness::workspace::{BASE, Run, TestWorkspace};
use harness::{layout, scratch, sha256, tiny_base};
use insta::assert_snapshot;
use serde_json::{Value, json};

const REPOSITORY: &str = "base/node";
const CONTRACT: &str = "dev.pirogue.contract";
const SERVICES: [&str; 2] = ["api", "web"];
const PLATFORMS: &str = "linux/amd64,linux/arm64";

/// Two services that were pushed, upon a base for two platforms.
struct Shop {
    workspace: TestWorkspace,
    registry: PlayedRegistry,
}

impl Shop {
    /// With these settings beside the base.
    fn new(settings: &str) -> Self {
        let registry = PlayedRegistry::start(Profile::named("plain"));
        registry.hold(REPOSITORY, "20-alpine", Path::new(BASE));
        let (host, package) = (registry.host(), r#"{"name": "left", "version": "1.2.0"}"#);
        let service = |name: &str| {
            format!(
                r#"{{"name": "{name}", "version": "1.0.0", "main": "dist/main.js", "dependencies": {{"left": "1"}}}}"#
            )
        };
        let workspace = TestWorkspace::new(&[
            ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
            ("package-lock.json", r#"{"name": "shop", "lockfileVersion": 3, "packages": {}}"#),
            ("node_modules/left/package.json", package),
            ("apps/web/package.json", &service("web")),
            ("apps/web/dist/main.js", "console.log(process.env.PORT || 3000);\n"),
            ("apps/api/package.json", &service("api")),
            ("apps/api/dist/main.js", "console.log('api');\n"),
            ("assets/fonts/a.ttf", "no font\n"),
            ("corp.pem", &Ca::new().pem().replace('\r', "")),
            (
                "pirogue.toml",
                &format!(
                    "base = \"{host}/{REPOSITORY}:20-alpine\"\nto = [\"{host}/shop\"]\n\
                     platforms = [\"linux/amd64\", \"linux/arm64\"]\n{settings}"
                ),
            ),
        ]);
        Self { workspace, registry }
    }

    fn run_in(&self, cache: &str, arguments: &[&str]) -> Run {
        // What is moved here need not start.
        let unchecked: &[&str] = if arguments.first() == Some(&"build") { &["--no-check"] } else { &[] };
        let mut command = self.workspace.pirogue(&[arguments, unchecked].concat());
        command.env("PIROGUE_CACHE_DIR", self.workspace.beside(cache));
        command.env("SOURCE_DATE_EPOCH", "1735776000");
        self.workspace.told(&command.output().expect("pirogue starts")).replaced(&self.registry.host(), "[HOST]")
    }

    fn run(&self, arguments: &[&str]) -> Run {
        self.run_in("cache", arguments)
    }

    fn succeeds(&self, arguments: &[&str]) -> Run {
        let run = self.run(arguments);
        assert_eq!(run.code, Some(0), "{run}");
        run
    }

    /// A rebase in a directory with nothing but `pirogue.toml` and `pirogue.lock`, on a machine that has seen nothing.
    fn rebase(&self, more: &[&str]) -> Run {
        let operations = self.workspace.beside("operations");
        fs::create_dir_all(&operations).unwrap();
        for file in ["pirogue.toml", "pirogue.lock"] {
            fs::copy(self.workspace.root().join(file), operations.join(file)).unwrap();
        }
        self.run_in("operations-cache", &[&["rebase", "-C", "../operations", "api", "web"], more].concat())
    }

    /// Moves the tag of the base, and has the lock follow.
    fn move_base(&self, layout: &Path) {
        self.registry.hold(REPOSITORY, "20-alpine", layout);
        self.succeeds(&["base", "update"]);
    }

    /// A base that has one more layer of these files, and a changed config.
    fn changed(&self, entries: &[(&str, u32, &str)], change: impl Fn(&mut Value)) -> PathBuf {
        let layout = self.workspace.beside("changed-base");
        tiny_base::write_changed(Path::new(BASE), &layout, entries, change);
        layout
    }

    /// What each service's tag names.
    fn deployed(&self) -> BTreeMap<String, String> {
        let state = self.registry.state();
        let digest = |service: &str| state.repositories[&format!("shop/{service}")].tags["latest"].clone();
        SERVICES.iter().map(|service| ((*service).to_owned(), digest(service))).collect()
    }

    /// What a build of the sources would push now.
    fn fresh(&self) -> BTreeMap<String, String> {
        let built = self.succeeds(&["build", "--json", "--locked", "--to", "oci:../fresh"]);
        let report: Value = serde_json::from_str(&built.stdout).unwrap();
        let services = report["services"].as_array().unwrap().iter();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        services.map(|service| (text(&service["name"]), text(&service["digest"]))).collect()
    }

    /// Puts another manifest in the place of that of a service's image for amd64, which is all that its tag names then.
    fn altered(&self, service: &str, alter: impl Fn(&mut Value)) {
        let mut state = self.registry.state();
        let contents = state.repositories.get_mut(&format!("shop/{service}")).unwrap();
        let read = |digest: &str| serde_json::from_slice::<Value>(&contents.manifests[digest].1).unwrap();
        let index = read(&contents.tags["latest"]);
        let child = index["manifests"].as_array().map_or("", |list| list[0]["digest"].as_str().unwrap());
        let mut manifest = if child.is_empty() { index } else { read(child) };
        alter(&mut manifest);
        let bytes = manifest.to_string().into_bytes();
        let media_type = manifest["mediaType"].as_str().unwrap().to_owned();
        contents.tags.insert("latest".to_owned(), sha256(&bytes));
        contents.manifests.insert(sha256(&bytes), (media_type, bytes));
    }

    /// Has a service's image say something else of its making.
    fn with_contract(&self, service: &str, alter: impl Fn(&mut Value)) {
        self.altered(service, |manifest| {
            let text = manifest["annotations"][CONTRACT].as_str().unwrap();
            let mut contract: Value = serde_json::from_str(text).unwrap();
            alter(&mut contract);
            manifest["annotations"][CONTRACT] = contract.to_string().into();
        });
    }
}

fn nothing(_: &mut Value) {}

#[test]
fn what_an_image_says_of_its_making() {
    let shop = Shop::new(SETTINGS);
    shop.succeeds(&["build"]);
    let state = shop.registry.state();
    let contents = &state.repositories["shop/api"];
    let read = |digest: &str| serde_json::from_slice::<Value>(&contents.manifests[digest].1).unwrap();
    let manifest = read(read(&contents.tags["latest"])["manifests"][0]["digest"].as_str().unwrap());
    let text = manifest["annotations"][CONTRACT].as_str().unwrap();
    let certificate = fs::read_to_string(shop.workspace.root().join("corp.pem")).unwrap();
    let text = text.replace(&json!(certificate).to_string(), "\"[PEM]\"").replace("},", "},\n").replace("],", "],\n");
    assert_snapshot!(text, @r#"
    {"version":1,"recipe":"3: libdeflate 1.25 level 6, pieces of 1 MiB; zstd 1.5 level 3, pieces of 4 MiB, runs of 256 KiB; sets of packages in parts of 32 MiB","compression":"gzip","hard_links":true,"root":"/app","extension":{"user":{"new":{"name":"api","uid":1200,"gid":1200,"home":"/home/api","shell":"/bin/sh","groups":["node"]}},
    "certificates":[{"name":"corp","pem":"[PEM]"}],
    "time_zone":"Europe/Paris"},
    "run":{"working_dir":"/app/apps/api","command":["node","dist/main.js"],
    "env":{"NODE_ENV":"production","NODE_EXTRA_CA_CERTS":"/usr/local/share/ca-certificates/node-extra.pem","PORT":"3001","TZ":"Europe/Paris"},
    "expose":["3001/tcp"],
    "labels":{"team":"shop"},
    "health":{"command":["node","-e","fetch(`http://127.0.0.1:${process.env.PORT||3001}/health`).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))"],
    "interval":30,"timeout":5,"start_period":30,"retries":3}},
    "base":{"layers":2,"chain_id":"sha256:9340fe014eeafa043a08196cd296e284bccac3f57fb6fe2d0be4be337eab4f97","node":"20","entrypoint":["docker-entrypoint.sh"],
    "owner":{"uid":1200,"gid":1200},
    "places":{"/usr":"0755 0:0","/usr/share":"0755 0:0","/usr/share/fonts":"nothing","/var":"0755 0:0","/var/spool":"0755 0:0","/var/spool/shop":"nothing"}},
    "layers":["user","packages","application"]}
    "#);
}

/// Every setting that the base has a part in.
const SETTINGS: &str = r#"
port = 3001
ca = ["corp.pem"]
timezone = "Europe/Paris"
health = "/health"
writable = ["/var/spool/shop"]
labels = { team = "shop" }

[service.api]
user = { name = "api", uid = 1200, groups = ["node"] }
files = [{ from = "assets/fonts", to = "/usr/share/fonts/shop" }]
"#;

const USERS: &str =
    "root:x:0:0:root:/root:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nnew:x:777:777::/:/sbin/nologin\n";

#[test]
fn a_moved_image_is_what_a_build_gives() {
    type Row<'a> = (&'a str, &'a [(&'a str, u32, &'a str)], fn(&mut Value));
    let table: [Row<'_>; 9] = [
        ("another layer", &[("etc/", 0o755, ""), ("etc/motd", 0o644, "hello\n")], nothing),
        ("a new user", &[("etc/", 0o755, ""), ("etc/passwd", 0o600, USERS)], nothing),
        (
            "another bundle",
            &[
                ("etc/", 0o755, ""),
                ("etc/ssl/", 0o755, ""),
                ("etc/ssl/certs/", 0o755, ""),
                ("etc/ssl/certs/ca-certificates.crt", 0o644, "other\n"),
            ],
            nothing,
        ),
        (
            "the image's own user",
            &[
                ("etc/", 0o755, ""),
                (
                    "etc/passwd",
                    0o644,
                    "root:x:0:0::/:/bin/sh\nnode:x:1000:1000::/home/node:/bin/sh\nnodeuser:x:1001:1001::/home/nodeuser:/bin/sh\n",
                ),
            ],
            nothing,
        ),
        (
            "the zone",
            &[
                ("usr/", 0o755, ""),
                ("usr/share/", 0o755, ""),
                ("usr/share/zoneinfo/", 0o755, ""),
                ("usr/share/zoneinfo/Europe/", 0o755, ""),
                ("usr/share/zoneinfo/Europe/Paris", 0o644, "TZif"),
            ],
            nothing,
        ),
        ("a file less", &[("etc/", 0o755, ""), ("etc/.wh.hosts", 0o644, "")], nothing),
        ("other variables", &[("tmp/", 0o1777, "")], |config| {
            config["config"]["Env"] = json!(["PATH=/bin", "NODE_VERSION=20.19.9", "PORT=1", "NEW=1"]);
        }),
        ("labels, ports, a signal, a health check", &[("tmp/", 0o1777, "")], |config| {
            config["config"]["Labels"] = json!({"team": "base", "version": "2"});
            config["config"]["ExposedPorts"] = json!({"9000/tcp": {}});
            config["config"]["StopSignal"] = json!("SIGQUIT");
            config["config"]["Healthcheck"] = json!({"Test": ["CMD", "true"]});
        }),
        ("a history that does not fit", &[("tmp/", 0o1777, "")], |config| config["history"] = json!([])),
    ];
    for (comment, entries, change) in table {
        let shop = Shop::new(SETTINGS);
        shop.succeeds(&["build"]);
        let before = shop.deployed();
        shop.move_base(&shop.changed(entries, change));
        let asked = shop.registry.server.lines().len();
        let moved = shop.rebase(&["--json"]);
        assert_eq!(moved.code, Some(0), "{comment}: {moved}");
        let asked = shop.registry.server.lines().split_off(asked);
        let (fresh, now) = (shop.fresh(), shop.deployed());
        assert_eq!(now, fresh, "{comment}");
        assert!(SERVICES.iter().all(|service| now[*service] != before[*service]), "{comment}");

        // Of the images nothing is fetched but configs.
        let state = shop.registry.state();
        let is_layer = |line: &&String| {
            let digest = line.rsplit('/').next().unwrap();
            line.starts_with("GET /v2/shop/")
                && line.contains("/blobs/sha256:")
                && serde_json::from_slice::<Value>(state.blob(digest).unwrap()).is_err()
        };
        assert_eq!(asked.iter().filter(is_layer).count(), 0, "{comment}: {asked:#?}");
        assert!(asked.iter().any(|line| line.starts_with("GET /v2/shop/web/blobs/")), "{comment}: {asked:#?}");
        drop(state);
        // No layer of pirogue's deletes anything, and the harness takes none that does.
        let deletes = entries.iter().any(|(path, ..)| path.contains(".wh."));
        for service in SERVICES.iter().filter(|_| !deletes) {
            let out = shop.workspace.beside("out");
            let from = format!("{}/shop/{service}", shop.registry.host());
            shop.succeeds(&["copy", &from, &format!("oci:{}:{service}", out.display())]);
            assert_eq!(layout::validate(&out).len() % 2, 0, "{comment}: both platforms");
        }

        let again = shop.rebase(&["--json"]);
        let report: Value = serde_json::from_str(&again.stdout).unwrap();
        assert!(report["images"].as_array().unwrap().iter().all(|image| image["outcome"] == "up to date"), "{again}");
        assert_eq!(shop.deployed(), now, "{comment}");
    }
}

#[test]
fn a_base_that_breaks_what_layers_rely_on() {
    let text = |node: &str| format!("NODE_VERSION={node}");
    let refused = |settings: &str, entries: &[(&str, u32, &str)], change: &dyn Fn(&mut Value)| {
        let shop = Shop::new(settings);
        shop.succeeds(&["build"]);
        let before = shop.deployed();
        shop.move_base(&shop.changed(entries, change));
        let run = shop.rebase(&[]);
        assert_eq!(shop.deployed(), before, "nothing was pushed: {run}");
        let uploads = shop.registry.uploads().len();
        assert_eq!((shop.rebase(&["--dry-run"]).code, shop.registry.uploads().len()), (Some(1), uploads));
        run.to_string()
    };
    let tmp: &[(&str, u32, &str)] = &[("tmp/", 0o1777, "")];
    assert_snapshot!(refused("", tmp, &|config| config["config"]["Env"] = json!([text("22.1.0")])), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): Node's major version changed, 20 -> 22
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): Node's major version changed, 20 -> 22
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    let taken = "root:x:0:0:root:/root:/bin/sh\nother:x:1001:1001::/:/bin/sh\n";
    assert_snapshot!(refused("", &[("etc/", 0o755, ""), ("etc/passwd", 0o644, taken)], &nothing), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): the base's user `other:1001` conflicts with the one wanted: `nodeuser:1001`
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the base's user `other:1001` conflicts with the one wanted: `nodeuser:1001`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    let moved = "root:x:0:0:root:/root:/bin/sh\nnode:x:1010:1010::/home/node:/bin/sh\n";
    assert_snapshot!(
        refused("user = \"node\"\n", &[("etc/", 0o755, ""), ("etc/passwd", 0o644, moved)], &nothing),
        @r"
        exit code: 1
        ----- stderr
        asking for the images that were pushed
        resolving the base [HOST]/base/node:20-alpine
        error: nothing was pushed, for not all images can be moved to another base
          `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): the numbers of the image's user changed, 1000:1000 -> 1010:1010
          `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the numbers of the image's user changed, 1000:1000 -> 1010:1010
        hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
        "
    );
    assert_snapshot!(
        refused(
            "writable = [\"/opt/shop\"]\n[service.api]\nwritable = [\"/srv/deep/shop\"]\n",
            &[("opt/", 0o700, ""), ("srv/", 0o755, ""), ("srv/deep/", 0o755, "")],
            &nothing,
        ),
        @r"
        exit code: 1
        ----- stderr
        asking for the images that were pushed
        resolving the base [HOST]/base/node:20-alpine
        error: nothing was pushed, for not all images can be moved to another base
          `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): the base has something else where the image's layers lie, nothing -> 0755 0:0: `/srv/deep`
          `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the base has something else where the image's layers lie, 0755 0:0 -> 0700 0:0: `/opt`
        hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
        "
    );
    assert_snapshot!(refused("", &[("app/", 0o755, ""), ("app/left-behind", 0o644, "")], &nothing), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): the base holds other files where the image's layers lie: `/app`
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the base holds other files where the image's layers lie: `/app`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    let entrypoint = |config: &mut Value| config["config"]["Entrypoint"] = json!(["/usr/local/bin/node"]);
    assert_snapshot!(refused("[service.api]\ncommand = [\"node\", \"x\"]\n", tmp, &entrypoint), @r#"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the base's entrypoint changed, ["docker-entrypoint.sh"] -> ["/usr/local/bin/node"]
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    "#);
    // All reasons at once.
    let all = |config: &mut Value| {
        entrypoint(config);
        config["config"]["Env"] = json!([]);
    };
    assert_snapshot!(refused("", &[("etc/", 0o755, ""), ("etc/passwd", 0o644, taken)], &all), @r#"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): Node's major version changed, 20 -> unknown
      `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): the base's entrypoint changed, ["docker-entrypoint.sh"] -> ["/usr/local/bin/node"]
      `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): the base's user `other:1001` conflicts with the one wanted: `nodeuser:1001`
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): Node's major version changed, 20 -> unknown
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the base's entrypoint changed, ["docker-entrypoint.sh"] -> ["/usr/local/bin/node"]
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the base's user `other:1001` conflicts with the one wanted: `nodeuser:1001`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    "#);
}

/// What the base has counts for settings that are about it.
#[test]
fn health_checks_and_certificates_of_bases() {
    const BUNDLE: &str = "/etc/ssl/certs/ca-certificates.crt";
    let tmp: &[(&str, u32, &str)] = &[("tmp/", 0o1777, "")];
    let checked = |config: &mut Value| config["config"]["Healthcheck"] = json!({"Test": ["CMD", "true"]});
    let led = |config: &mut Value| {
        let env = config["config"]["Env"].as_array_mut().expect("a list");
        env.push(json!(format!("NODE_EXTRA_CA_CERTS={BUNDLE}")));
    };
    type Change<'a> = &'a dyn Fn(&mut Value);
    let table: [(&str, &str, Change<'_>, Change<'_>, bool); 4] = [
        ("no health check", "health = false\n", &nothing, &checked, true),
        ("certificates that both bases lead Node to", "ca = [\"corp.pem\"]\n", &led, &led, true),
        ("certificates that only the new one leads Node to", "ca = [\"corp.pem\"]\n", &nothing, &led, false),
        ("certificates that only the old one leads Node to", "ca = [\"corp.pem\"]\n", &led, &nothing, false),
    ];
    for (comment, settings, before, after, moves) in table {
        let shop = Shop::new(settings);
        // Of the bases here none has a bundle.
        let bundle = [("etc/", 0o755, ""), ("etc/ssl/", 0o755, ""), ("etc/ssl/certs/", 0o755, "")];
        let bundle = [&bundle[..], &[(&BUNDLE[1..], 0o644, "a bundle\n")]].concat();
        let first = shop.workspace.beside("first-base");
        tiny_base::write_changed(Path::new(BASE), &first, &bundle, before);
        shop.registry.hold(REPOSITORY, "20-alpine", &first);
        shop.succeeds(&["build"]);
        let second = shop.workspace.beside("second-base");
        tiny_base::write_changed(Path::new(BASE), &second, &[&bundle[..], tmp].concat(), after);
        shop.move_base(&second);
        let run = shop.rebase(&[]);
        assert_eq!(run.code, Some(i32::from(!moves)), "{comment}: {run}");
        assert_eq!(shop.deployed() == shop.fresh(), moves, "{comment}");
        let says_why = run.stderr.contains("the base leads Node to other certificates, by NODE_EXTRA_CA_CERTS");
        assert_eq!(says_why, !moves, "{comment}: {run}");
    }
}

#[test]
fn a_base_with_another_c_library() {
    let shop = Shop::new("");
    let musl = [("lib/", 0o755, ""), ("lib/ld-musl-x86_64.so.1", 0o755, ""), ("lib/ld-musl-aarch64.so.1", 0o755, "")];
    shop.registry.hold(REPOSITORY, "20-alpine", &shop.changed(&musl, nothing));
    shop.succeeds(&["build"]);
    shop.move_base(&shop.changed(&[("lib64/", 0o755, ""), ("lib64/ld-linux-x86-64.so.2", 0o755, "")], nothing));
    assert_snapshot!(shop.rebase(&[]), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64, linux/arm64/v8): the C library changed, musl -> glibc
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): the C library changed, musl -> glibc
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
}

#[test]
fn images_that_say_too_little_or_too_much() {
    let shop = Shop::new("");
    shop.succeeds(&["build"]);
    shop.move_base(&shop.changed(&[("tmp/", 0o1777, "")], nothing));
    let refused = || shop.rebase(&[]).to_string();
    shop.altered("web", |manifest| _ = manifest["annotations"].as_object_mut().unwrap().remove(CONTRACT));
    shop.with_contract("api", |contract| contract["version"] = json!(2));
    assert_snapshot!(refused(), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): its contract is of another version than this pirogue's, which is 1: `2`
      `[HOST]/shop/web:latest` (linux/amd64): it says nothing of its making: another tool made it, or a pirogue that is too old
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    let whole = || shop.succeeds(&["build", "--base", &format!("oci:{BASE}:20-alpine")]);
    whole();
    shop.with_contract("web", |contract| contract["recipe"] = json!("1: other rules"));
    shop.with_contract("api", |contract| contract["system"] = json!({"init": {"package": "upstart"}}));
    assert_snapshot!(refused(), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): no init that this pirogue knows: `upstart`
      `[HOST]/shop/web:latest` (linux/amd64): its layers were made by other rules than this pirogue's, `1: other rules` and not `3: libdeflate 1.25 level 6, pieces of 1 MiB; zstd 1.5 level 3, pieces of 4 MiB, runs of 256 KiB; sets of packages in parts of 32 MiB`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    whole();
    shop.with_contract("web", |contract| contract["run"]["shell"] = json!("sh"));
    shop.altered("api", |manifest| _ = manifest["layers"].as_array_mut().unwrap().pop());
    assert_snapshot!(refused(), @"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): its layers are not those that it was made of: another tool changed it
      `[HOST]/shop/web:latest` (linux/amd64): its contract cannot be read: unknown field `shell`, expected one of `working_dir`, `entrypoint`, `command`, `env`, `expose`, `labels`, `health` at line 1 column 493
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    whole();
    shop.with_contract("web", |contract| contract["base"]["layers"] = json!(3));
    shop.with_contract("api", |contract| contract["base"]["chain_id"] = json!(sha256(b"another")));
    assert_snapshot!(refused(), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): its layers are not those that it was made of: another tool changed it
      `[HOST]/shop/web:latest` (linux/amd64): its layers are not those that it was made of: another tool changed it
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    shop.succeeds(&["build", "--format", "docker", "--base", &format!("oci:{BASE}:20-alpine"), "web"]);
    shop.succeeds(&["build", "--base", &format!("oci:{BASE}:20-alpine"), "api"]);
    assert_snapshot!(refused(), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/web:latest` (linux/amd64, linux/arm64/v8): it is in Docker's format, which has no place for what has to be known of its making
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    assert_snapshot!(shop.rebase(&["--platform", "linux/s390x"]), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base [HOST]/base/node:20-alpine
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/s390x): there is no image for this platform to be moved
      `[HOST]/shop/web:latest` (linux/s390x): there is no image for this platform to be moved
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    ");
    let one = shop.workspace.beside("one");
    tiny_base::write(&one, "amd64", "lib/ld-musl-x86_64.so.1");
    whole();
    assert_snapshot!(shop.rebase(&["--base", "oci:../one"]), @r#"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    resolving the base oci:../one
    error: nothing was pushed, for not all images can be moved to another base
      `[HOST]/shop/api:latest` (linux/amd64): Node's major version changed, 20 -> unknown
      `[HOST]/shop/api:latest` (linux/amd64): the C library changed, unknown -> musl
      `[HOST]/shop/api:latest` (linux/amd64): the base's entrypoint changed, ["docker-entrypoint.sh"] -> []
      `[HOST]/shop/api:latest` (linux/arm64/v8): the base has no image for this platform, only for: `linux/amd64`
      `[HOST]/shop/web:latest` (linux/amd64): Node's major version changed, 20 -> unknown
      `[HOST]/shop/web:latest` (linux/amd64): the C library changed, unknown -> musl
      `[HOST]/shop/web:latest` (linux/amd64): the base's entrypoint changed, ["docker-entrypoint.sh"] -> []
      `[HOST]/shop/web:latest` (linux/arm64/v8): the base has no image for this platform, only for: `linux/amd64`
    hint: build these from their sources, `pirogue build SERVICE`, or move only the others by naming them
    "#);
}

/// Digests hold what registries give out.
#[test]
fn documents_that_are_not_what_their_digests_say() {
    let shop = Shop::new("");
    shop.succeeds(&["build"]);
    shop.move_base(&shop.changed(&[("tmp/", 0o1777, "")], nothing));
    let tampered = |repository: &str, digest: &str| {
        {
            let mut state = shop.registry.state();
            let contents = state.repositories.get_mut(repository).unwrap();
            let held = match contents.manifests.get_mut(digest) {
                Some((_, bytes)) => bytes,
                None => contents.blobs.get_mut(digest).unwrap(),
            };
            held.push(b' ');
        }
        let run = shop.rebase(&[]);
        let mut state = shop.registry.state();
        let contents = state.repositories.get_mut(repository).unwrap();
        let held = match contents.manifests.get_mut(digest) {
            Some((_, bytes)) => bytes,
            None => contents.blobs.get_mut(digest).unwrap(),
        };
        held.pop();
        assert_eq!(run.code, Some(1), "{run}");
        run.stderr.lines().find(|line| line.starts_with("error")).unwrap().to_owned()
    };
    let document = |repository: &str, digest: &str| -> Value {
        let state = shop.registry.state();
        serde_json::from_slice(&state.repositories[repository].manifests[digest].1).unwrap()
    };
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let index = shop.deployed()["web"].clone();
    let manifest = text(&document("shop/web", &index)["manifests"][0]["digest"]);
    let config = text(&document("shop/web", &manifest)["config"]["digest"]);
    let base = shop.registry.state().repositories[REPOSITORY].tags["20-alpine"].clone();
    let base_manifest = text(&document(REPOSITORY, &base)["manifests"][1]["digest"]);
    let layer = text(&document(REPOSITORY, &base_manifest)["layers"][2]["digest"]);
    for (comment, repository, digest) in [
        ("the image's manifest", "shop/web", manifest),
        ("its config", "shop/web", config),
        ("the base's index", REPOSITORY, base),
        ("its manifest", REPOSITORY, base_manifest),
        ("a layer of it", REPOSITORY, layer),
    ] {
        let said = tampered(repository, &digest);
        assert!(said.contains("the digest is `sha256:") || said.contains("bytes"), "{comment}: {said}");
    }
    assert_eq!(shop.rebase(&[]).code, Some(0));
}

/// Neither sources nor settings: what is named, and what the images say.
#[test]
fn images_that_are_named_alone() {
    let shop = Shop::new("");
    shop.succeeds(&["build"]);
    shop.move_base(&shop.changed(&[("tmp/", 0o1777, "")], nothing));
    let empty = shop.workspace.beside("empty");
    fs::create_dir(&empty).unwrap();
    let host = shop.registry.host();
    let rebase = |more: &[&str]| shop.run(&[&["rebase", "-C", "../empty"], more].concat());
    assert_snapshot!(rebase(&[]), @r"
    exit code: 1
    ----- stderr
    error: nothing says which services there are: neither sources nor pirogue.toml name one
    hint: name them, or their images: `HOST/REPOSITORY:TAG`
    ");
    assert_snapshot!(rebase(&["--to", &format!("{host}/shop")]), @r"
    exit code: 1
    ----- stderr
    error: nothing says which services there are: neither sources nor pirogue.toml name one
    hint: name them, or their images: `HOST/REPOSITORY:TAG`
    ");
    assert_snapshot!(rebase(&["--to", &format!("{host}/shop"), "wbe"]), @r"
    exit code: 1
    ----- stderr
    asking for the images that were pushed
    error: there is no image under any of these names: `[HOST]/shop/wbe:latest`
    hint: name the registry and the tag that they were pushed to: `--to`, `--tag`
    ");
    assert_snapshot!(rebase(&[&format!("{host}/shop/web@{}", sha256(b""))]), @r"
    exit code: 1
    ----- stderr
    error: an image that is named by its digest cannot become another: `[HOST]/shop/web@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855`
    hint: name its tag
    ");
    let dry = rebase(&["--dry-run", "--to", &format!("{host}/shop"), "web", &format!("{host}/shop/api:latest")]);
    assert_eq!(dry.code, Some(0), "{dry}");
    assert!(dry.stdout.contains("2 of 2 would move; nothing was pushed."), "{dry}");
    let moved = rebase(&["--to", &format!("{host}/shop"), "web", &format!("{host}/shop/api:latest"), "new"]);
    assert_eq!(moved.code, Some(0), "{moved}");
    assert!(moved.stdout.contains("not there") && moved.stdout.contains("2 of 3 moved."), "{moved}");
    assert_eq!(shop.deployed(), shop.fresh());
}

/// Packages of a lockfile lie in their layers like installed ones; nobody is asked for them again.
#[test]
fn images_from_a_lockfile_move() {
    let registry = PlayedRegistry::start(Profile::named("plain"));
    registry.hold(REPOSITORY, "20-alpine", Path::new(BASE));
    let host = registry.host();
    let settings = format!(
        "base = \"{host}/{REPOSITORY}:20-alpine\"\nto = [\"{host}/shop\"]\npackages = \"lockfile\"\n\
         platforms = [\"linux/amd64\", \"linux/arm64\"]\n{SETTINGS}"
    );
    let settings = settings.replace("[service.api]", "[service.web]");
    let pem = Ca::new().pem().replace('\r', "");
    let shop =
        LockedShop::new().and(&[("pirogue.toml", &settings), ("corp.pem", &pem), ("assets/fonts/a.ttf", "no font\n")]);
    let succeeds = |arguments: &[&str]| {
        let run = shop.workspace.run(arguments);
        assert_eq!(run.code, Some(0), "{run}");
        run
    };
    let deployed = || registry.state().repositories["shop/web"].tags["latest"].clone();
    succeeds(&["build", "--no-check"]);
    let before = deployed();
    let renewed = shop.workspace.beside("renewed");
    tiny_base::write_renewed(Path::new(BASE), &renewed, "20.19.0", &[("etc/alpine-release", "3.21.4\n")]);
    registry.hold(REPOSITORY, "20-alpine", &renewed);
    succeeds(&["base", "update"]);
    let operations = shop.workspace.beside("operations");
    fs::create_dir(&operations).unwrap();
    for file in ["pirogue.toml", "pirogue.lock"] {
        fs::copy(shop.workspace.root().join(file), operations.join(file)).unwrap();
    }
    let asked = shop.registry.lines().len();
    succeeds(&["rebase", "-C", "../operations", "web"]);
    assert_eq!(shop.registry.lines().len(), asked, "no package is asked for");
    let fresh = succeeds(&["build", "--no-check", "--json", "--locked", "--to", "oci:../fresh"]);
    let fresh: Value = serde_json::from_str(&fresh.stdout).unwrap();
    assert_eq!(fresh["services"][0]["digest"], json!(deployed()));
    assert_ne!(deployed(), before);
    assert_eq!(layout::validate(&shop.workspace.beside("fresh")).len(), 2);
}

/// The whole sample in a registry that tests did not write, for both platforms, with no source present.
#[test]
fn all_services_of_the_sample_move() {
    let Some(workspace) = sample::workspace() else { return };
    let Some(registry) = Registry::start() else { return };
    let (base, to) = (format!("{}/{REPOSITORY}:20-alpine", registry.host()), format!("{}/wanzo", registry.host()));
    let elsewhere = TestWorkspace::new(&[]);
    let run = |arguments: &[&str]| {
        let run = elsewhere.run(arguments);
        assert_eq!(run.code, Some(0), "{run}");
        run
    };
    let build = || Build::of(&workspace, &scratch::folder().join("cache")).base(&base).with("--platform", PLATFORMS);
    run(&["copy", &format!("oci:{BASE}:20-alpine"), &base]);
    let before = build().to(&to).run().digests();
    let renewed = elsewhere.beside("renewed");
    tiny_base::write_renewed(Path::new(BASE), &renewed, "20.19.0", &[("etc/alpine-release", "3.21.4\n")]);
    run(&["copy", &format!("oci:{}:20-alpine", renewed.display()), &base]);

    let moved = run(&[&["rebase", "--json", "--to", &to], &SAMPLE[..]].concat());
    let moved: Value = serde_json::from_str(&moved.stdout).unwrap();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let digests = |key: &str| -> BTreeMap<String, String> {
        let images = moved["images"].as_array().unwrap().iter();
        images.map(|image| (text(&image["service"]), text(&image[key]))).collect()
    };
    assert_eq!(digests("before"), before);
    let layout = elsewhere.beside("fresh");
    assert_eq!(digests("digest"), build().into_layout(&layout).run().digests());
    assert_eq!(layout::validate(&layout).len(), 2 * SAMPLE.len());
    let pulled = elsewhere.beside("pulled");
    for service in SAMPLE {
        run(&["copy", &format!("{to}/{service}"), &format!("oci:{}:{service}", pulled.display())]);
    }
    assert_eq!(layout::validate(&pulled).len(), 2 * SAMPLE.len());
}
