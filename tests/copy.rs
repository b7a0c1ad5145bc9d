//! Images between registries, layouts, archives and podman: the same bytes everywhere, and other tools read them.

mod harness;

use std::fs;
use std::path::Path;
use std::process::Command;

use harness::failure::assert_failed;
use harness::misbehaving::{Answer, Asked, Misbehaving, PlayedRegistry, Profile};
use harness::podman::Podman;
use harness::program::{are_installed, run};
use harness::registry::Registry;
use harness::workspace::{BASE, Run, TestWorkspace};
use harness::{layout, sha256};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// The base for tests: an index of two platforms.
const INDEX: &str = "sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b";
const AMD64: &str = "sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

fn scratch() -> TestWorkspace {
    TestWorkspace::new(&[])
}

fn base() -> String {
    format!("oci:{BASE}:20-alpine")
}

/// A copy that has to come off. Gives the report.
fn copied(scratch: &TestWorkspace, arguments: &[&str]) -> Value {
    let run = scratch.run(&[&["copy", "--json"], arguments].concat());
    assert_eq!(run.code, Some(0), "{run}");
    serde_json::from_str(&run.stdout).expect("the report is JSON")
}

/// A copy that has to fail, and to leave nothing behind.
fn failed(scratch: &TestWorkspace, arguments: &[&str]) -> Run {
    let before = scratch.paths();
    let run = scratch.run(&[&["copy"], arguments].concat());
    assert_failed(&run);
    assert_eq!(scratch.paths(), before, "a copy that fails leaves nothing behind");
    assert_eq!(scratch.unfinished(), [].into(), "nor in the cache");
    run
}

fn skopeo(arguments: &[&str]) -> String {
    run(Command::new("skopeo").args(arguments))
}

#[test]
fn digests_are_the_same_all_the_way_round() {
    let (Some(first), Some(second)) = (Registry::start(), Registry::start_without_deletes()) else { return };
    if !are_installed(&["skopeo", "umoci"]) {
        return;
    }
    let scratch = scratch();
    let (one, two) = (format!("{}/acme/base:1", first.host()), format!("{}/deep/er/base:2", second.host()));
    let hops = [base(), one.clone(), "oci-archive:a.tar".into(), "oci:layout".into(), two.clone()];
    for hop in hops.windows(2) {
        let report = copied(&scratch, &[&hop[0], &hop[1]]);
        assert_eq!(report["digest"], INDEX, "{hop:?}");
        assert!(report["sent_bytes"].as_u64().is_some_and(|bytes| bytes > 0), "{hop:?}");
    }
    let again = copied(&scratch, &["oci:layout:1", &two]);
    assert_eq!((&again["digest"], &again["sent_bytes"]), (&json!(INDEX), &json!(0)));
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &format!("docker://{two}")]);
    assert_eq!(sha256(raw.as_bytes()), INDEX);
    // Every blob of every platform can be had.
    let folder = scratch.beside("all");
    skopeo(&[
        "copy",
        "--all",
        "--src-tls-verify=false",
        &format!("docker://{two}"),
        &format!("dir:{}", folder.display()),
    ]);
    assert_eq!(run(Command::new("umoci").args(["ls", "--layout"]).arg(scratch.root().join("layout"))).trim(), "1");
    // Between repositories of one registry nothing is sent.
    let mounted = copied(&scratch, &[&one, &format!("{}/acme/other:1", first.host())]);
    assert_eq!((&mounted["digest"], &mounted["sent_bytes"]), (&json!(INDEX), &json!(0)));
}

#[test]
fn children_come_before_their_index_and_blobs_before_both() {
    let registry = PlayedRegistry::start(Profile::named("usual"));
    let scratch = scratch();
    let host = registry.server.host();
    copied(&scratch, &[&base(), &format!("{host}/acme/base:1")]);
    let puts: Vec<String> = registry
        .server
        .lines()
        .into_iter()
        .filter_map(|line| line.strip_prefix("PUT /v2/acme/base/").map(str::to_owned))
        .map(|line| line.split(['?', ':']).next().unwrap_or_default().trim_end_matches(char::is_numeric).to_owned())
        .collect();
    let blob = "blobs/uploads/";
    let first = [blob, blob, blob, "manifests/sha"];
    assert_eq!(puts[..4], first, "layers and config, then the manifest");
    assert_eq!(puts.last().map(String::as_str), Some("manifests/"), "the tag is last: {puts:?}");
    assert_eq!(puts.iter().filter(|line| line.starts_with("manifests")).count(), 3);
}

#[test]
fn an_image_that_is_there_costs_one_request() {
    let there = Misbehaving::start(|_| {
        let answer = Answer::new(200).header("Content-Type", "application/vnd.oci.image.index.v1+json");
        answer.header("Docker-Content-Digest", INDEX).header("Content-Length", 1234)
    });
    let reference = format!("{}/acme/base:1", there.host());
    assert_eq!(copied(&scratch(), &[&base(), &reference])["sent_bytes"], 0);
    // Pinned, it is the tag all the same that has to lead there.
    copied(&scratch(), &[&base(), &format!("{reference}@{INDEX}")]);
    assert_eq!(there.lines(), ["HEAD /v2/acme/base/manifests/1", "HEAD /v2/acme/base/manifests/1"]);
    let run = failed(&scratch(), &[&base(), &format!("{reference}@{AMD64}")]);
    assert_snapshot!(run.replaced(&there.host(), "[HOST]"), @r"
    exit code: 1
    ----- stderr
    copying oci:[BASE]:20-alpine to [HOST]/acme/base:1@sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c
    error: the image has the digest `sha256:93d4da87b6c59578dc06863bb48fca22d14996d6ebed7b73f9945f9b59db7f8b`, not the one of the place it is to go to: `[HOST]/acme/base:1@sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c`
    hint: name the target by a tag alone, or copy one platform with `--platform`
    ");
}

#[test]
fn archives_are_the_same_bytes_whatever_they_come_from() {
    let Some(registry) = Registry::start() else { return };
    let scratch = scratch();
    let reference = format!("{}/acme/base:1", registry.host());
    copied(&scratch, &[&base(), &reference]);
    for form in ["oci-archive", "docker-archive"] {
        for (from, file) in [(base(), "one.tar"), (base(), "two.tar"), (reference.clone(), "three.tar")] {
            copied(&scratch, &["--no-cache", &from, &format!("{form}:{file}:acme/name:1")]);
        }
        let bytes = ["one.tar", "two.tar", "three.tar"].map(|file| fs::read(scratch.root().join(file)).unwrap());
        assert!(bytes[0] == bytes[1] && bytes[0] == bytes[2], "{form}");
        let files = ["one.tar", "two.tar", "three.tar"].map(|file| scratch.root().join(file));
        assert_eq!(scratch.paths().len(), 1 + files.len(), "nothing lies beside them");
    }
}

#[test]
fn one_archive_is_read_by_old_docker_s_readers_and_by_those_of_the_oci() {
    let Some(podman) = Podman::new() else { return };
    if !are_installed(&["skopeo", "buildah"]) {
        return;
    }
    let scratch = scratch();
    let report = copied(&scratch, &["--platform", "linux/amd64", &base(), "docker-archive:a.tar:acme/web:2"]);
    assert_eq!(report["digest"], AMD64);
    let file = scratch.root().join("a.tar").display().to_string();
    let inspected = skopeo(&["inspect", "--config", "--raw", &format!("docker-archive:{file}:acme/web:2")]);
    assert_eq!(inspected, skopeo(&["inspect", "--config", "--raw", &format!("oci-archive:{file}:2")]));
    let digest = skopeo(&["inspect", "--format", "{{.Digest}}", &format!("oci-archive:{file}:2")]);
    assert_eq!(digest.trim(), AMD64);
    assert!(podman.run(&["load", "--input", &file]).contains("docker.io/acme/web:2"));
    let mut buildah = Command::new("buildah");
    buildah.args(["pull", "--quiet", &format!("docker-archive:{file}")]);
    let path = std::env::var_os("PATH").unwrap_or_default();
    podman.surround(&mut buildah);
    run(buildah.env("PATH", path));
    // And read by pirogue the digest is what it was.
    assert_eq!(copied(&scratch, &["docker-archive:a.tar:acme/web:2", "oci:layout"])["digest"], AMD64);
    layout::validate(&scratch.root().join("layout"));
}

#[test]
fn archives_of_other_tools_are_read() {
    let Some(podman) = Podman::new() else { return };
    if !are_installed(&["skopeo"]) {
        return;
    }
    let scratch = scratch();
    let path = |name: &str| scratch.root().join(name).display().to_string();
    copied(&scratch, &["--platform", "linux/amd64", &base(), "oci:one:x"]);
    let one = format!("oci:{}:x", path("one"));
    skopeo(&["copy", "--quiet", &one, &format!("oci-archive:{}:name", path("skopeo-oci.tar"))]);
    skopeo(&["copy", "--quiet", &one, &format!("docker-archive:{}:acme/web:1", path("skopeo-docker.tar"))]);
    copied(&scratch, &["oci:one:x", "docker-archive:load.tar:acme/web:1"]);
    podman.run(&["load", "--input", &path("load.tar")]);
    podman.run(&["tag", "docker.io/acme/web:1", "localhost/other:2"]);
    podman.run(&["save", "--format", "oci-archive", "--output", &path("podman-oci.tar"), "docker.io/acme/web:1"]);
    podman.run(&["save", "--output", &path("podman-docker.tar"), "docker.io/acme/web:1"]);
    let many =
        ["save", "--multi-image-archive", "--output", &path("many.tar"), "docker.io/acme/web:1", "localhost/other:2"];
    podman.run(&many);
    let table = [
        ("oci-archive:skopeo-oci.tar", "name"),
        ("oci-archive:skopeo-oci.tar:name", "name"),
        ("docker-archive:skopeo-docker.tar", "1"),
        ("docker-archive:skopeo-docker.tar:acme/web:1", "1"),
        ("oci-archive:podman-oci.tar", "1"),
        ("docker-archive:podman-docker.tar", "1"),
        ("docker-archive:many.tar:localhost/other:2", "2"),
    ];
    for (at, (from, name)) in table.into_iter().enumerate() {
        let report = copied(&scratch, &[from, &format!("oci:layout-{at}")]);
        assert_eq!(report["place"], format!("oci:layout-{at}:{name}"), "{from}");
        let to = path(&format!("layout-{at}"));
        skopeo(&["copy", "--quiet", &format!("oci:{to}:{name}"), &format!("dir:{}", path("checked"))]);
        // The very config, whatever became of the layers' compression.
        let config = skopeo(&["inspect", "--config", "--raw", &format!("oci:{to}:{name}")]);
        assert_eq!(config, skopeo(&["inspect", "--config", "--raw", &one]), "{from}");
    }
}

#[test]
fn podman_is_handed_images_and_gives_them_back() {
    let Some(podman) = Podman::new() else { return };
    let scratch = scratch();
    let pirogue = |arguments: &[&str]| {
        let mut command = scratch.pirogue(arguments);
        podman.surround(&mut command);
        scratch.told(&command.output().expect("pirogue starts"))
    };
    let platform = ["copy", "--platform", "linux/amd64"];
    assert_snapshot!(pirogue(&[&platform[..], &[&base(), "docker-daemon:acme/web:3"]].concat()), @r"
    exit code: 0
    ----- stdout
    sent 3.5 kB
    docker-daemon:docker.io/acme/web:3@sha256:f933c1fb44bed7df2b315fdb4541b339bcd2d79666c0a5190586a2b60663026c
    ----- stderr
    copying oci:[BASE]:20-alpine to docker-daemon:docker.io/acme/web:3
    loading docker.io/acme/web:3 into podman
    ");
    let config = podman.run(&["image", "inspect", "--format", "{{.Config.Cmd}}", "docker.io/acme/web:3"]);
    assert_eq!(config.trim(), "[node]");
    let run = pirogue(&["copy", "docker-daemon:acme/web:3", "oci:layout"]);
    assert_eq!(run.code, Some(0), "{run}");
    assert!(layout::validate(&scratch.root().join("layout")).contains_key("3"));
    assert_snapshot!(pirogue(&["copy", "docker-daemon:acme/none:1", "oci:other"]), @r"
    exit code: 1
    ----- stderr
    copying docker-daemon:docker.io/acme/none:1 to oci:other
    saving docker.io/acme/none:1 from podman
    error: `podman save` failed (Error: docker.io/acme/none:1: image not known): `docker.io/acme/none:1`
    hint: see whether `podman images` works on this machine
    ");
    // With neither program.
    let mut command = scratch.pirogue(&["copy", &base(), "docker-daemon:acme/web:3"]);
    let output = command.env("PATH", scratch.beside("nothing")).output().expect("pirogue starts");
    assert_snapshot!(scratch.told(&output), @r"
    exit code: 1
    ----- stderr
    copying oci:[BASE]:20-alpine to docker-daemon:docker.io/acme/web:3
    error: `docker-daemon:` needs `docker` with a running daemon, or `podman`; `docker` is not installed, `podman` is not installed: `docker.io/acme/web:3`
    hint: start Docker or install podman; or write an archive with `docker-archive:FILE`, and load it elsewhere
    ");
}

/// Writes a layout with an image and a signature of it, as oras does: an entry that names its subject.
fn write_signed(dir: &Path) -> String {
    let blobs = dir.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8], media_type: &str| {
        let digest = sha256(bytes);
        fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes).unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    };
    let config = json!({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}});
    let config = put(config.to_string().as_bytes(), "application/vnd.oci.image.config.v1+json");
    let image = json!({"schemaVersion": 2, "mediaType": MANIFEST, "config": config, "layers": []});
    let mut image = put(image.to_string().as_bytes(), MANIFEST);
    let signature = put(b"signed", "application/vnd.example.signature");
    let empty = put(b"{}", "application/vnd.oci.empty.v1+json");
    let kind = "application/vnd.example.signature.v1";
    let signing = json!({
        "schemaVersion": 2, "mediaType": MANIFEST, "artifactType": kind, "config": empty, "layers": [signature],
        "subject": image, "annotations": {"by": "somebody"},
    });
    let signing = put(signing.to_string().as_bytes(), MANIFEST);
    image["annotations"] = json!({"org.opencontainers.image.ref.name": "signed"});
    let index = json!({"schemaVersion": 2, "manifests": [image, signing]});
    fs::write(dir.join("index.json"), index.to_string()).unwrap();
    fs::write(dir.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    image["digest"].as_str().unwrap().to_owned()
}

#[test]
fn what_refers_to_an_image_comes_along() {
    let (Some(first), Some(second)) = (Registry::start(), Registry::start()) else { return };
    if !are_installed(&["skopeo"]) {
        return;
    }
    let scratch = scratch();
    let image = write_signed(&scratch.root().join("signed"));
    let tag = image.replace(':', "-");
    let (one, two) = (format!("{}/acme/signed:1", first.host()), format!("{}/acme/signed:1", second.host()));
    let hops =
        ["oci:signed:signed".to_owned(), one.clone(), "oci-archive:a.tar".into(), "oci:copy".into(), two.clone()];
    for hop in hops.windows(2) {
        let report = copied(&scratch, &["--referrers", &hop[0], &hop[1]]);
        assert_eq!((&report["digest"], &report["referrers"]), (&json!(image), &json!(1)), "{hop:?}");
    }
    // docker-registry keeps no list of its own, so there is one under the tag.
    let raw = |host: &str| {
        let list = format!("docker://{host}/acme/signed:{tag}");
        skopeo(&["inspect", "--raw", "--tls-verify=false", &list])
    };
    assert_eq!(raw(first.host()), raw(second.host()));
    let list: Value = serde_json::from_str(&raw(second.host())).unwrap();
    assert_eq!(list["manifests"][0]["artifactType"], "application/vnd.example.signature.v1");
    assert_eq!(list["manifests"][0]["annotations"]["by"], "somebody");
    // Without being asked for, nothing but the image.
    assert_eq!(copied(&scratch, &[&one, "oci:alone"])["referrers"], 0);
    let alone: Value = serde_json::from_slice(&fs::read(scratch.root().join("alone/index.json")).unwrap()).unwrap();
    assert_eq!(alone["manifests"].as_array().unwrap().len(), 1);
}

/// A registry with one image whose layer lies at `address`.
fn registry_with_foreign_layer(layer: &'static [u8], address: String) -> Misbehaving {
    let config = json!({
        "architecture": "amd64", "os": "windows", "rootfs": {"type": "layers", "diff_ids": [sha256(layer)]},
    });
    let config = config.to_string();
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": {
            "mediaType": "application/vnd.oci.image.config.v1+json", "digest": sha256(config.as_bytes()),
            "size": config.len(),
        },
        "layers": [{
            "mediaType": "application/vnd.oci.image.layer.nondistributable.v1.tar", "digest": sha256(layer),
            "size": layer.len(), "urls": [address],
        }],
    });
    let manifest = manifest.to_string();
    Misbehaving::start(move |asked: &Asked| match asked.target.rsplit('/').next().unwrap_or_default() {
        _ if asked.header("authorization").is_empty() => {
            Answer::new(401).header("WWW-Authenticate", "Basic realm=\"test\"")
        }
        "1" => Answer::new(200).header("Content-Type", MANIFEST).body(manifest.clone()),
        digest if digest == sha256(config.as_bytes()) => Answer::new(200).body(config.clone()),
        _ => Answer::new(404),
    })
}

#[test]
fn layers_elsewhere_are_fetched_without_credentials_and_verified() {
    const LAYER: &[u8] = b"of somebody else";
    let elsewhere = Misbehaving::start(|asked: &Asked| match asked.target.as_str() {
        "/layer" => Answer::new(307).header("Location", "/moved"),
        "/moved" => Answer::new(200).body(LAYER),
        "/inwards" => Answer::new(307).header("Location", "http://localhost:1/"),
        _ => Answer::new(200).body(&b"of somebody evil"[..]),
    });
    let host = elsewhere.host();
    let (_, port) = host.split_once(':').expect("an address has a port");
    let copy = |address: String, to: &str| {
        let registry = registry_with_foreign_layer(LAYER, address);
        let scratch = scratch();
        let auths = json!({"auths": {registry.host(): {"username": "user", "password": "secret"}}});
        fs::create_dir(scratch.beside("home/.docker")).unwrap();
        fs::write(scratch.beside("home/.docker/config.json"), auths.to_string()).unwrap();
        let run = scratch.run(&["copy", &format!("{}/windows/nano:1", registry.host()), to]);
        let run = run.replaced(&registry.host(), "[REGISTRY]").replaced(&host, "[ELSEWHERE]");
        (run, scratch)
    };
    let (run, scratch) = copy(format!("http://{host}/layer"), "oci:layout");
    assert_eq!(run.code, Some(0), "{run}");
    let blob = sha256(LAYER).replace(':', "/");
    assert_eq!(fs::read(scratch.root().join("layout/blobs").join(blob)).unwrap(), LAYER);
    assert!(elsewhere.asked().iter().all(|asked| asked.header("authorization").is_empty()), "{:?}", elsewhere.asked());
    assert_eq!(elsewhere.lines(), ["GET /layer", "GET /moved"]);

    // To this machine by another name than the registry's, it is not even asked.
    let (run, _) = copy(format!("http://localhost:{port}/layer"), "oci:layout");
    assert_snapshot!(run.replaced(port, "[PORT]"), @r"
    exit code: 1
    ----- stderr
    copying [REGISTRY]/windows/nano:1 to oci:layout
    error: the registry leads to an unsafe address: `http://localhost:[PORT]/layer`
    hint: name the registry by the address that it leads to, if that is trusted; pirogue follows nobody into a private network or away from TLS
    ");
    assert_eq!(elsewhere.lines().len(), 2);
    let (run, _) = copy(format!("http://{host}/inwards"), "oci:layout");
    assert_snapshot!(run, @r"
    exit code: 1
    ----- stderr
    copying [REGISTRY]/windows/nano:1 to oci:layout
    error: the registry leads to an unsafe address: `http://localhost:1/`
    hint: name the registry by the address that it leads to, if that is trusted; pirogue follows nobody into a private network or away from TLS
    ");
    let (run, _) = copy(format!("http://{host}/evil"), "oci:layout");
    assert_snapshot!(run, @r"
    exit code: 1
    ----- stderr
    copying [REGISTRY]/windows/nano:1 to oci:layout
    error: the digest is `sha256:d411929af36f89714c3dfedad732bc60545304731aa1d615ca6c6bcc0b7132ef` and not `sha256:56ddc30e1f66bacc19803ec1a9c939a74bce66321da5533bc0f86cd278988cbf`: `http://[ELSEWHERE]/evil`
    hint: something between here and there gives out other bytes than were asked for: ask who runs the registry, or the mirror or proxy before it
    ");
    // Nor where clouds keep what only a machine of theirs is to know.
    let (run, _) = copy("http://169.254.169.254/latest/meta-data".to_owned(), "oci:layout");
    assert_snapshot!(run, @r"
    exit code: 1
    ----- stderr
    copying [REGISTRY]/windows/nano:1 to oci:layout
    error: the registry leads to an unsafe address: `http://169.254.169.254/latest/meta-data`
    hint: name the registry by the address that it leads to, if that is trusted; pirogue follows nobody into a private network or away from TLS
    ");

    // In a registry such layers stay elsewhere.
    let Some(registry) = Registry::start_with_foreign_layers() else { return };
    let before = elsewhere.lines().len();
    let (run, _) = copy(format!("http://{host}/layer"), &format!("{}/windows/nano:1", registry.host()));
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(elsewhere.lines().len(), before);
}

#[test]
fn nothing_is_tagged_unless_all_of_it_is_there() {
    let Some(registry) = Registry::start() else { return };
    let scratch = scratch();
    copied(&scratch, &[&base(), "oci:layout:1"]);
    // The last layer of the second platform is gone.
    let read = |digest: &str| -> Value {
        let path = scratch.root().join("layout/blobs").join(digest.replace(':', "/"));
        serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
    };
    let second = read(INDEX)["manifests"][1]["digest"].as_str().unwrap().to_owned();
    let layer = read(&second)["layers"][1]["digest"].as_str().unwrap().to_owned();
    let path = scratch.root().join("layout/blobs").join(layer.replace(':', "/"));
    let bytes = fs::read(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let reference = format!("{}/acme/base:1", registry.host());
    let into_registry =
        |cache: &str| failed(&scratch, &[cache, "oci:layout:1", &reference]).replaced(registry.host(), "[HOST]");
    assert_snapshot!(into_registry("--no-cache"), @r"
    exit code: 1
    ----- stderr
    copying oci:layout:1 to [HOST]/acme/base:1
    error: cannot read the layout: No such file or directory (os error 2): `layout/blobs/sha256/187b059f5157337ea1df8d924cc57c0039ea68223efedf83c63ec3f10395a083`
    hint: the layout is not whole: copy it anew from where it came
    ");
    fs::write(&path, b"damaged").unwrap();
    assert_snapshot!(into_registry("--no-cache"), @r"
    exit code: 1
    ----- stderr
    copying oci:layout:1 to [HOST]/acme/base:1
    error: a blob of the layout is damaged: its content has the digest `sha256:41f0c27c00e8018f7715b5f50f67b5b54c229c1b843a014152785d9005f58fde`: `layout/blobs/sha256/187b059f5157337ea1df8d924cc57c0039ea68223efedf83c63ec3f10395a083`
    hint: copy the layout anew from where it came
    ");
    for target in ["oci:other", "oci-archive:other.tar", "docker-archive:other.tar"] {
        failed(&scratch, &["--no-cache", "--platform", "linux/arm64", "oci:layout:1", target]);
    }
    let head = run(Command::new("curl")
        .args(["-s", "-o", "/dev/null", "-w", "%{http_code}"])
        .arg(format!("http://{}/v2/acme/base/manifests/1", registry.host())));
    assert_eq!(head, "404");
    // Mended, the same command ends it.
    fs::write(&path, bytes).unwrap();
    assert_eq!(copied(&scratch, &["oci:layout:1", &reference])["digest"], INDEX);
}

#[test]
fn mistakes_are_told_with_what_to_type() {
    let scratch = scratch();
    fs::write(scratch.root().join("text.tar"), "no archive at all\n".repeat(50)).unwrap();
    fs::write(scratch.root().join("gzip.tar"), [&[0x1f, 0x8b][..], &[0; 1000]].concat()).unwrap();
    fs::write(scratch.root().join("zeros.tar"), [0; 2048]).unwrap();
    copied(&scratch, &[&base(), "oci:two:a"]);
    copied(&scratch, &["--platform", "linux/amd64", &base(), "oci:two:b"]);
    let table: [&[&str]; 11] = [
        &["oci:two:a", "images"],
        &["oci:two:a", "docker://ghcr.io/acme/api"],
        &["oci:two", "oci:three"],
        &["oci:two:c", "oci:three"],
        &["oci:two:a", "docker-daemon:"],
        &["oci:two:a", "oci-archive:two"],
        &["oci-archive:text.tar", "oci:three"],
        &["oci-archive:gzip.tar", "oci:three"],
        &["oci-archive:zeros.tar", "oci:three"],
        &["docker-archive:zeros.tar", "oci:three"],
        &["--platform", "linux/s390x", "oci:two:a", "oci:three"],
    ];
    let told: String = table
        .iter()
        .map(|arguments| {
            let run = scratch.run(&[&["copy"], *arguments].concat());
            assert_eq!((run.code, run.stdout.as_str()), (Some(1), ""), "{run}");
            let said = run.stderr.lines().filter(|line| !line.starts_with("copying"));
            format!("{}\n{}\n", arguments.join(" "), said.map(|line| format!("    {line}\n")).collect::<String>())
        })
        .collect();
    assert_snapshot!(told, @r"
    oci:two:a images
        error: neither a file (`oci:DIR`, `oci-archive:FILE`, `docker-archive:FILE`), `docker-daemon:REF` nor a registry (`HOST/REPOSITORY`): `images`
        hint: for Docker Hub: `docker.io/images`; for a directory: `oci:images`

    oci:two:a docker://ghcr.io/acme/api
        error: pirogue knows no such kind of place: `docker://ghcr.io/acme/api`
        hint: an image in a registry has no prefix: `ghcr.io/acme/api`

    oci:two oci:three
        error: the layout has several images, `a`, `b`: `two`
        hint: name one of them, such as `oci:two:a`

    oci:two:c oci:three
        error: the layout has no image named `c`; it has `a`, `b`: `two`
        hint: name one it has, such as `oci:two:a`

    oci:two:a docker-daemon:
        error: an image reference is empty
        hint: write one such as `ghcr.io/acme/api:1.0`

    oci:two:a oci-archive:two
        error: cannot write to the layout: is a directory: `two`
        hint: a directory is in the way: name a file, such as `oci-archive:FILE`

    oci-archive:text.tar oci:three
        error: cannot read the archive, there is no tar header at byte 0: `text.tar`
        hint: write the archive anew with the tool it came from

    oci-archive:gzip.tar oci:three
        error: cannot read the archive, it is compressed as a whole: `gzip.tar`
        hint: uncompress it first, such as with `zcat gzip.tar` or `zstdcat gzip.tar` into another file

    oci-archive:zeros.tar oci:three
        error: not an archive of images, for it has no `oci-layout`: `zeros.tar`
        hint: an archive of Docker's is named with `docker-archive:FILE`

    docker-archive:zeros.tar oci:three
        error: not an archive of images, for it has no `manifest.json`: `zeros.tar`
        hint: an archive of the OCI's form is named with `oci-archive:FILE`

    --platform linux/s390x oci:two:a oci:three
        error: there is no image for linux/s390x, only for `linux/amd64`, `linux/arm64/v8`: `oci:two:a`
        hint: copy one it has: `--platform linux/amd64`
    ");
}

#[test]
fn a_build_goes_to_the_same_places() {
    let shop = TestWorkspace::new(&[
        ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
        ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "main": "dist/main.js"}"#),
        ("apps/web/dist/main.js", "console.log('up');\n"),
        ("apps/api/package.json", r#"{"name": "api", "version": "1.0.0", "main": "dist/main.js"}"#),
        ("apps/api/dist/main.js", "console.log('up too');\n"),
    ]);
    let base = base();
    let build = |more: &[&str]| {
        let arguments = ["build", "--base", &base, "--platform", "linux/amd64", "--json"];
        let run = shop.run(&[&arguments, more].concat());
        assert_eq!(run.code, Some(0), "{run}");
        serde_json::from_str::<Value>(&run.stdout).expect("the report is JSON")
    };
    let report =
        build(&["--to", "oci:images", "--to", "oci-archive:o.tar", "--to", "docker-archive:d.tar", "--tag", "1"]);
    let delivered: Vec<&str> = report["services"]
        .as_array()
        .into_iter()
        .flatten()
        .flat_map(|service| service["delivered"].as_array().into_iter().flatten())
        .filter_map(|delivered| delivered["name"].as_str())
        .collect();
    let expected = [
        "oci:images:api:1",
        "oci-archive:o.tar:api:1",
        "docker-archive:d.tar:docker.io/library/api:1",
        "oci:images:web:1",
        "oci-archive:o.tar:web:1",
        "docker-archive:d.tar:docker.io/library/web:1",
    ];
    assert_eq!(delivered, expected);
    for (service, report) in ["api", "web"].into_iter().zip(report["services"].as_array().unwrap()) {
        for from in [format!("oci-archive:o.tar:{service}:1"), format!("docker-archive:d.tar:{service}:1")] {
            assert_eq!(copied(&shop, &[&from, "oci:back"])["digest"], report["digest"], "{from}");
        }
    }
    layout::validate(&shop.root().join("back"));
    // An archive of the build before is no part of the next, and can be a base.
    let again = build(&["--to", "oci-archive:o.tar", "--tag", "1"]);
    assert_eq!(again["services"][0]["digest"], report["services"][0]["digest"]);
    shop.run(&["build", "--base", "oci-archive:o.tar:api:1", "--platform", "linux/amd64", "--to", "oci:over"]);
    assert!(layout::validate(&shop.root().join("over")).contains_key("web"));
    let Some(podman) = Podman::new() else { return };
    let mut command = shop.pirogue(&["build", "--base", &base, "--platform", "linux/amd64", "--load", "--tag", "1"]);
    podman.surround(&mut command);
    let loaded = shop.told(&command.output().expect("pirogue starts"));
    assert_eq!(loaded.code, Some(0), "{loaded}");
    let images = podman.run(&["images", "--format", "{{.Repository}}:{{.Tag}}"]);
    assert!(images.contains("library/web:1") && images.contains("library/api:1"), "{images}");
}
