//! Images for several platforms in one index: each is what it is when it is built alone, and shares all layers with the
//! others that are no native package's.

mod harness;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use harness::build::{Build, Report};
use harness::failure::failed_to;
use harness::misbehaving::Misbehaving;
use harness::package_tarball::{Entry, tarball};
use harness::registry::Registry;
use harness::tarball_cache::integrity;
use harness::workspace::{BASE, TestWorkspace};
use harness::{layout, program, proxy, tiny_base};
use insta::assert_snapshot;
use serde_json::{Value, json};

const BOTH: &str = "linux/amd64,linux/arm64";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// What two services need: `native` has a variant for each processor, and one of them a package that `api` needs anyway.
const PACKAGES: [(&str, &str); 5] = [
    ("left", r#"{"name": "left", "version": "1.2.0"}"#),
    (
        "native",
        r#"{"name": "native", "version": "1.0.0", "dependencies": {"left": "1"},
            "optionalDependencies": {"native-arm64": "1.0.0", "native-x64": "1.0.0"}}"#,
    ),
    ("native-arm64", r#"{"name": "native-arm64", "version": "1.0.0", "os": ["linux"], "cpu": ["arm64"]}"#),
    (
        "native-x64",
        r#"{"name": "native-x64", "version": "1.0.0", "os": ["linux"], "cpu": ["x64"], "dependencies": {"loader": "1"}}"#,
    ),
    ("loader", r#"{"name": "loader", "version": "1.0.0"}"#),
];

const SERVICES: [(&str, &str); 2] =
    [("web", r#"{"left": "1", "native": "1"}"#), ("api", r#"{"left": "1", "loader": "1"}"#)];

/// A workspace with both variants in its lockfile.
fn workspace() -> TestWorkspace {
    let package_json = r#"{"name": "shop", "private": true, "packageManager": "npm@11.0.0", "workspaces": ["apps/*"]}"#;
    let mut workspace = TestWorkspace::new(&[("package.json", package_json)]);
    let mut locked = json!({"": {"name": "shop", "workspaces": ["apps/*"]}});
    for (name, dependencies) in SERVICES {
        let main = format!(
            r#"{{"name": "{name}", "version": "1.0.0", "main": "dist/main.js", "dependencies": {dependencies}}}"#
        );
        let dir = format!("apps/{name}");
        workspace = workspace.and(&[(&format!("{dir}/package.json"), &main), (&format!("{dir}/dist/main.js"), "")]);
        let dependencies: Value = serde_json::from_str(dependencies).unwrap();
        locked[&dir] = json!({"name": name, "version": "1.0.0", "dependencies": dependencies});
        locked[format!("node_modules/{name}")] = json!({"resolved": dir, "link": true});
    }
    fs::create_dir(workspace.beside("mirror")).unwrap();
    for (name, package_json) in PACKAGES {
        let bytes = tarball(&[Entry::file("package/package.json", package_json)]);
        let mut package: Value = serde_json::from_str(package_json).unwrap();
        let version = package["version"].as_str().unwrap().to_owned();
        fs::write(workspace.beside("mirror").join(format!("{name}-{version}.tgz")), &bytes).unwrap();
        package["integrity"] = integrity(&bytes).into();
        package["optional"] = package["cpu"].is_array().into();
        locked[format!("node_modules/{name}")] = package;
    }
    let lockfile = json!({"name": "shop", "lockfileVersion": 3, "packages": locked});
    workspace.and(&[("package-lock.json", &lockfile.to_string())])
}

/// The same with everything installed, for both processors.
fn installed() -> TestWorkspace {
    let mut workspace = workspace();
    for (name, package_json) in PACKAGES {
        workspace = workspace.and(&[(&format!("node_modules/{name}/package.json"), package_json)]);
    }
    workspace
}

/// A build into the layout `images` beside the workspace.
fn build(workspace: &TestWorkspace, platforms: &str) -> Build {
    let (cache, images) = (workspace.beside("cache"), workspace.beside("images"));
    let build = Build::of(&workspace.root(), &cache).base(&base()).with("--platform", platforms);
    build.into_layout(&images)
}

/// The same from the lockfile.
fn locked_build(workspace: &TestWorkspace, platforms: &str) -> Build {
    let mirror = workspace.beside("mirror");
    build(workspace, platforms).locked().with("--npm-mirror", mirror.to_str().unwrap())
}

/// An index of two platforms.
fn base() -> String {
    format!("oci:{BASE}:20-alpine")
}

/// The labels of the packages of an image in the layout `images`, whose files are all in order.
fn packages(workspace: &TestWorkspace, image: &str) -> BTreeSet<String> {
    layout::validate(&workspace.beside("images"))[image].files.packages().into_values().collect()
}

/// The layers of an image, by role.
fn layers<'r>(report: &'r Report, service: &str, number: usize, role: &str) -> BTreeSet<&'r str> {
    let layers = report.service(service)["images"][number]["layers"].as_array().unwrap();
    layers.iter().filter(|layer| layer["role"] == role).map(|layer| layer["digest"].as_str().unwrap()).collect()
}

/// The index that a name of a layout stands for.
fn index(layout: &Path, digest: &str) -> Value {
    let bytes = fs::read(layout.join("blobs").join(digest.replace(':', "/"))).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn an_image_built_alone_is_the_one_in_the_index() {
    for (build, workspace) in [(build as fn(&_, &_) -> _, installed()), (locked_build, workspace())] {
        let both = build(&workspace, BOTH).run();
        let digests = both.digests();
        for (service, index_digest) in &digests {
            let platforms = both.platforms(service);
            assert_eq!(platforms.keys().collect::<Vec<_>>(), ["linux/amd64", "linux/arm64/v8"]);
            let index = index(&workspace.beside("images"), index_digest);
            let listed: Vec<&Value> =
                index["manifests"].as_array().unwrap().iter().map(|child| &child["digest"]).collect();
            assert_eq!(listed, platforms.values().collect::<Vec<_>>());
            for (platform, digest) in platforms {
                let alone = build(&workspace, &platform).services(&[service]).run();
                assert_eq!(alone.digests(), [(service.clone(), digest)].into(), "{platform}: a plain manifest");
            }
        }
        let other_order = build(&workspace, "linux/arm64/v8").with("--platform", "linux/amd64,linux/arm64").run();
        assert_eq!(other_order.digests(), digests);
        assert_eq!(other_order.layers_written(), 0);
    }
}

#[test]
fn only_native_packages_have_layers_of_their_own() {
    for (build, workspace) in [(build as fn(&_, &_) -> _, installed()), (locked_build, workspace())] {
        let report = build(&workspace, BOTH).run();
        for service in ["api", "web"] {
            for role in ["user", "workspace", "application"] {
                assert_eq!(layers(&report, service, 0, role), layers(&report, service, 1, role), "{service}: {role}");
            }
        }
        let (amd64, arm64) = (layers(&report, "web", 0, "packages"), layers(&report, "web", 1, "packages"));
        assert_eq!((amd64.len(), arm64.len()), (3, 3), "what both services need, what web needs, its variant");
        assert_eq!(amd64.intersection(&arm64).count(), 2);
        assert_eq!(layers(&report, "api", 0, "packages"), layers(&report, "api", 1, "packages"));

        let labels = |labels: &[&str]| labels.iter().map(ToString::to_string).collect::<BTreeSet<_>>();
        let expected = labels(&["left@1.2.0", "loader@1.0.0", "native@1.0.0", "native-x64@1.0.0"]);
        assert_eq!(packages(&workspace, "web linux/amd64"), expected);
        let expected = labels(&["left@1.2.0", "native@1.0.0", "native-arm64@1.0.0"]);
        assert_eq!(packages(&workspace, "web linux/arm64"), expected);
        assert_eq!(packages(&workspace, "api linux/amd64"), packages(&workspace, "api linux/arm64"));
    }
}

#[test]
fn any_number_of_threads_gives_the_same_index() {
    let mut found = BTreeSet::new();
    for threads in ["1", "2", "8"] {
        found.insert(build(&installed(), BOTH).with("--jobs", threads).run().digests());
    }
    assert_eq!(found.len(), 1, "{found:?}");
}

/// Attestations are passed over; what only the base's index says of a platform stands in ours, and in the configs.
#[test]
fn what_a_base_says_of_its_platforms() {
    let workspace = installed();
    let base = workspace.beside("base");
    let platforms = [
        (
            json!({"architecture": "arm64", "os": "linux", "variant": "v8", "os.version": "6.6"}),
            "lib/ld-musl-aarch64.so.1",
        ),
        (
            json!({"architecture": "amd64", "os": "linux", "variant": "v2", "os.features": ["bpf", "uring"]}),
            "lib/ld-musl-x86_64.so.1",
        ),
    ];
    tiny_base::write_index(&base, &platforms);
    let images = workspace.beside("images");
    let build = Build::of(&workspace.root(), &workspace.beside("cache")).base(&format!("oci:{}", base.display()));
    let report = build.with("--platform", BOTH).into_layout(&images).run();
    assert_eq!(layout::validate(&images).len(), 4);
    let index = index(&images, &report.digests()["web"]);
    assert_eq!(index["mediaType"], INDEX);
    let listed: Vec<&Value> = index["manifests"].as_array().unwrap().iter().map(|child| &child["platform"]).collect();
    assert_eq!(listed, [&platforms[1].0, &platforms[0].0]);

    // Of the lock, which has no more than people write, too.
    let toml = format!("base = \"oci:{}\"\nplatforms = [\"linux/amd64\", \"linux/arm64\"]\n", base.display());
    let workspace = workspace.and(&[("pirogue.toml", &toml)]);
    for more in [&[][..], &["--locked"]] {
        let images = workspace.beside(&format!("images-{}", more.len()));
        let to = format!("oci:{}", images.display());
        let run = workspace.run(&[&["build", "--no-check", "--json", "--to", &to], more].concat());
        assert_eq!(run.code, Some(0), "{run}");
        let built: Value = serde_json::from_str(&run.stdout).unwrap();
        let web = built["services"].as_array().unwrap().iter().find(|service| service["name"] == "web").unwrap();
        assert_eq!(web["digest"].as_str(), report.digests().get("web").map(String::as_str));
    }
}

/// A layout of one image is a base for its platform only.
#[test]
fn a_base_that_lacks_a_platform() {
    let (workspace, base) = (installed(), base());
    assert_snapshot!(failed_to(&workspace, &["build", "--base", &base, "--platform", "linux/s390x,linux/amd64"]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    error: the base has no image for linux/s390x, only for `linux/amd64`, `linux/arm64/v8`: `oci:[BASE]:20-alpine`
    hint: build for one it has: `--platform linux/amd64`
    ");
    tiny_base::write(&workspace.beside("base"), "arm64", "lib/ld-musl-aarch64.so.1");
    assert_snapshot!(failed_to(&workspace, &["build", "--base", "oci:../base", "--platform", BOTH]), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:../base
    error: the base has no image for linux/amd64, only for `linux/arm64`: `oci:../base`
    hint: build for one it has: `--platform linux/arm64`
    ");
}

#[test]
fn what_holds_one_platform_is_no_place_for_several() {
    let (workspace, base) = (installed(), base());
    let build = ["build", "--base", &base, "--platform", BOTH];
    assert_snapshot!(failed_to(&workspace, &[&build[..], &["--to", "docker-archive:a.tar:acme"]].concat()), @"
    exit code: 1
    ----- stderr
    error: the destination holds images for one platform, but `linux/amd64`, `linux/arm64` are built for: `docker-archive:a.tar`
    hint: build for one of them, `--platform linux/amd64`, or write an archive for all, `oci-archive:FILE`
    ");
    assert_snapshot!(failed_to(&workspace, &[&build[..], &["--load"]].concat()), @"
    exit code: 1
    ----- stderr
    error: the destination holds images for one platform, but `linux/amd64`, `linux/arm64` are built for: `docker-daemon:`
    hint: build for one of them, `--platform linux/amd64`, or write an archive for all, `oci-archive:FILE`
    ");
}

#[test]
fn platforms_in_the_settings() {
    let settings = |text: &str| installed().and(&[("pirogue.toml", text)]);
    let base = base();
    let built = |text: &str| {
        let workspace = settings(text);
        let images = workspace.beside("images");
        let build = Build::of(&workspace.root(), &workspace.beside("cache")).base(&base).into_layout(&images);
        build.run().platforms("web").into_keys().collect::<Vec<_>>()
    };
    let both = ["linux/amd64", "linux/arm64/v8"];
    assert_eq!(built("platforms = [\"linux/arm64\", \"linux/amd64\"]\n"), both);
    assert_eq!(built("platform = [\"linux/arm64\", \"linux/amd64\"]\n"), both);
    assert_eq!(built("platforms = \"linux/arm64\"\n"), ["linux/arm64/v8"]);
    let failed = |text: &str| failed_to(&settings(text), &["build", "--base", &base]).to_string();
    assert_snapshot!(failed("platform = \"linux/amd64\"\nplatforms = [\"linux/arm64\"]\n"), @"
    exit code: 1
    ----- stderr
    error: `platforms` stands next to `platform`, which says the same: `pirogue.toml:2:1`
    ");
    assert_snapshot!(failed("platforms = [\"linux/amd64\", 64]\n"), @"
    exit code: 1
    ----- stderr
    error: `platforms` has to be a text or a list of texts, not a list: `pirogue.toml:1:1`
    ");
    assert_snapshot!(failed("platforms = [\"linux/amd64\", \"arm64\"]\n"), @r#"
    exit code: 1
    ----- stderr
    error: not a platform (`os/architecture[/variant]`, such as `linux/amd64`): `arm64`
    hint: write such as `platform = "linux/amd64"` in pirogue.toml, or a list of them
    "#);
}

#[test]
fn the_plan_of_two_platforms() {
    let workspace = installed();
    assert_snapshot!(workspace.run(&["plan", "--base", &base(), "--platform", BOTH]), @"
    exit code: 0
    ----- stdout
    LAYER          FOR                   PLATFORMS  PARTS  FILES    SIZE  SERVICES
    0             user  linux/amd64 linux/arm64/v8      2      3  0.8 kB  api web
    1         packages  linux/amd64 linux/arm64/v8      2      1  0.0 kB  api web
    2         packages  linux/amd64 linux/arm64/v8      2      1  0.0 kB  api
    3      application  linux/amd64 linux/arm64/v8      2      2  0.1 kB  api
    4         packages  linux/amd64 linux/arm64/v8      2      1  0.2 kB  web
    5         packages                 linux/amd64      3      2  0.1 kB  web
    6      application  linux/amd64 linux/arm64/v8      2      2  0.1 kB  web
    7         packages              linux/arm64/v8      2      1  0.1 kB  web

    layer 0: directories user

    layer 1: directories left@1.2.0

    layer 2: directories loader@1.0.0

    layer 3: directories apps/api

    layer 4: directories native@1.0.0

    layer 5: directories loader@1.0.0 native-x64@1.0.0

    layer 6: directories apps/web

    layer 7: directories native-arm64@1.0.0
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    ");
}

/// The report without digests and what the layers' recipe decides.
#[test]
fn the_report_on_two_platforms() {
    let workspace = installed();
    let run = workspace.run(&["build", "--base", &base(), "--platform", BOTH, "--to", "oci:../images"]);
    let (table, rest) = run.stdout.split_once("\n\n").unwrap();
    let columns = |row: &str| row.split_whitespace().take(5).collect::<Vec<_>>().join(" ");
    let table: Vec<String> = table.lines().map(columns).collect();
    let rest: Vec<&str> = rest.lines().map(|line| line.split("sha256:").next().unwrap()).collect();
    assert_snapshot!(format!("{}\n\n{}", table.join("\n"), rest.join("\n")), @"
    SERVICE PLATFORM PACKAGES FILES UNPACKED
    api linux/amd64 2 7 1.0
    api linux/arm64/v8 2 7 1.0
    web linux/amd64 4 9 1.2
    web linux/arm64/v8 3 8 1.2

    Each lies on oci:[BASE]:20-alpine (linux/amd64), 2.5 kB packed; (linux/arm64/v8), 2.5 kB packed.
    With all 4 production packages of the workspace (0.3 kB) in each image, the 4 images would carry 1.3 kB; they carry 0.8 kB: 0.5 kB less (41 %).
    Of the packages of 4 images, `trace = true` would leave out up to 0.8 kB, which no import leads to.
    The checks have 2 notes: `pirogue check --verbose`.

    oci:../images:api@
    oci:../images:web@
    ");
}

/// What the registry is asked for manifests of `web`, digests aside.
fn manifest_requests(registry: &Misbehaving) -> Vec<String> {
    let of_manifest = |line: &String| line.contains("/web/manifests/");
    let steady = |line: String| line.split_once("sha256:").map_or(line.clone(), |(start, _)| format!("{start}DIGEST"));
    registry.lines().into_iter().filter(of_manifest).map(steady).collect()
}

#[test]
fn an_index_in_a_registry() {
    let Some(registry) = Registry::start() else { return };
    let proxy = proxy::with_limit(registry.host(), usize::MAX);
    let workspace = installed();
    let push = || {
        let cache = workspace.beside("cache");
        let build = Build::of(&workspace.root(), &cache).base(&base()).with("--platform", BOTH).services(&["web"]);
        build.to(&format!("{}/shop", proxy.host())).run()
    };
    let report = push();
    let children = "PUT /v2/shop/web/manifests/DIGEST";
    let expected = ["HEAD /v2/shop/web/manifests/latest", children, children, "PUT /v2/shop/web/manifests/latest"];
    assert_eq!(manifest_requests(&proxy), expected, "the tag comes last");
    let uploaded: Vec<String> =
        proxy.lines().into_iter().filter(|line| line.starts_with("HEAD") && line.contains("/blobs/")).collect();
    assert_eq!(
        uploaded.iter().collect::<BTreeSet<_>>().len(),
        uploaded.len(),
        "a blob of both images is asked for once"
    );

    let before = proxy.lines().len();
    let again = push();
    assert_eq!((again.sent_bytes(), again.digests()), (0, report.digests()));
    assert_eq!(proxy.lines()[before..], ["HEAD /v2/shop/web/manifests/latest"]);

    if !program::are_installed(&["skopeo"]) {
        return;
    }
    for (platform, digest) in report.platforms("web") {
        let layout = workspace.beside(&platform.replace('/', "-"));
        let architecture = platform.split('/').nth(1).unwrap();
        let (from, to) = (format!("docker://{}/shop/web", registry.host()), format!("oci:{}:web", layout.display()));
        let options =
            ["--override-os", "linux", "--override-arch", architecture, "copy", "--quiet", "--src-tls-verify=false"];
        program::run(Command::new("skopeo").args(options).args([from, to]));
        let images = layout::validate(&layout);
        assert_eq!(
            (images["web"].digest.as_str(), &images["web"].config["architecture"]),
            (&*digest, &architecture.into())
        );
    }
}

#[test]
fn an_index_in_an_archive() {
    let workspace = installed();
    let archive = format!("oci-archive:{}", workspace.beside("images.tar").display());
    let report = build(&workspace, BOTH).to(&archive).run();
    let copied = workspace.run(&["copy", &format!("{archive}:web"), "oci:../copied:web"]);
    assert_eq!(copied.code, Some(0), "{copied}");
    let images = layout::validate(&workspace.beside("copied"));
    let digests: Vec<&String> = images.values().map(|image| &image.digest).collect();
    assert_eq!(digests, report.platforms("web").values().collect::<Vec<_>>());
}
