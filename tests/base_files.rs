//! What images do to the files of their bases: links are followed, users, certificates and the time zone are added, and a
//! container sees all of it where it was asked for.

mod harness;

use std::path::{Path, PathBuf};

use harness::build::Build;
use harness::certificates::Ca;
use harness::container::Container;
use harness::image_files::FileKind;
use harness::layout::{self, Image};
use harness::one_service::{MAIN, workspace as shop};
use harness::registry::Registry;
use harness::workspace::{BASE, Run, TestWorkspace};
use harness::{program, sample, tiny_base};
use insta::assert_snapshot;
use serde_json::{Value, json};

/// What a service is run with.
fn can_run() -> Option<PathBuf> {
    if !program::are_installed(&["jq", "runc", "umoci"]) {
        return None;
    }
    Some(sample::runnable_base()?.trim_start_matches("oci:").into())
}

/// Builds the service on a base, and finds its image valid.
fn build(workspace: &TestWorkspace, base: &Path) -> (PathBuf, Image) {
    let images = workspace.beside("images");
    let build = Build::of(&workspace.root(), &workspace.beside("cache")).into_layout(&images);
    build.with("--platform", "linux/amd64").base(&format!("oci:{}", base.display())).run();
    let image = layout::validate(&images).remove("web").expect("the service was built");
    (images, image)
}

/// Runs the image, and gives what the service says of what it finds.
fn run(images: &Path, variables: &[&str]) -> Value {
    let images = images.to_str().expect("a temporary directory has a plain name");
    let said = Container::run("run-image", &[&[images, "web"], variables].concat());
    serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// What a pirogue that fails says.
fn failed(workspace: &TestWorkspace) -> String {
    let run = workspace.run(&["build", "--platform", "linux/amd64", "--base", sample::SMALL_BASE]);
    assert_eq!(run.code, Some(1), "{run}");
    run.stderr
        .lines()
        .filter(|line| line.starts_with("error") || line.starts_with("hint"))
        .collect::<Vec<_>>()
        .join("\n")
}

#[test]
fn a_container_sees_everything_behind_links_of_the_base() {
    let Some(runnable) = can_run() else { return };
    let workspace = shop().and(&[
        ("tool", "a tool\n"),
        ("fonts/a.ttf", "a font\n"),
        (
            "pirogue.toml",
            r#"
            user = { name = "app", uid = 2000, home = "/var/home/app", groups = ["users"] }
            writable = ["/var/run/web", "/var/lock"]
            files = [{ from = "tool", to = "/bin/tool" }, { from = "fonts", to = "/data/fonts" }, { from = "fonts", to = "/etc" }]
            "#,
        ),
        (
            MAIN,
            r#"
            const fs = require("fs"), os = require("os");
            for (const dir of ["/var/run/web", "/var/lock", "/run/lock", os.homedir(), "."]) fs.writeFileSync(dir + "/mark", "x");
            console.log(JSON.stringify({
                links: ["/bin", "/var/run", "/var/lock", "/data", "/app"].map(link => fs.readlinkSync(link)),
                tool: fs.readFileSync("/bin/tool", "utf8"),
                font: fs.readFileSync("/data/fonts/a.ttf", "utf8"),
                names: require("names").it,
                directory: process.cwd(),
                home: os.homedir(),
                groups: process.getgroups().sort((a, b) => a - b),
                owner_of_etc: fs.statSync("/etc").uid,
                shell: fs.existsSync("/bin/sh"),
            }));
            "#,
        ),
    ]);
    let base = workspace.beside("base");
    let links = [
        ("bin", "usr/bin"),
        ("var/run", "/run"),
        ("var/lock", "run/lock"),
        ("data", "/srv/data"),
        ("app", "opt/../opt/app"),
        ("var/home", "../home"),
    ];
    tiny_base::write_linked(&base, &runnable, "amd64", &links);
    let (images, image) = build(&workspace, &base);
    for (link, target) in links {
        assert_eq!(image.files.link(link), Some(target), "{link}");
    }
    assert_eq!(image.config["config"]["User"], "2000");
    assert_eq!(
        run(&images, &[]),
        json!({
            "links": ["usr/bin", "/run", "run/lock", "/srv/data", "opt/../opt/app"],
            "tool": "a tool\n",
            "font": "a font\n",
            "names": "names",
            "directory": "/opt/app/apps/web",
            "home": "/var/home/app",
            "groups": [100, 2000],
            "owner_of_etc": 0,
            "shell": true,
        })
    );
}

#[test]
fn node_trusts_a_server_by_the_ca_of_the_image() {
    let Some(runnable) = can_run() else { return };
    let ca = Ca::new();
    let Some(registry) = Registry::start_under(&ca, &["127.0.0.1"], false) else { return };
    let workspace = shop().and(&[
        ("pirogue.toml", "ca = [\"certs/corp.pem\"]\n"),
        ("certs/corp.pem", ca.pem()),
        (
            MAIN,
            r#"
            const says = value => console.log(JSON.stringify(value));
            fetch(process.env.URL).then(answer => says(answer.status), error => says(error.cause.code));
            "#,
        ),
    ]);
    let (images, image) = build(&workspace, &runnable);
    let url = format!("URL=https://{}/v2/", registry.host());
    assert_eq!(run(&images, &[&url]), json!(200));
    assert_eq!(run(&images, &[&url, "NODE_EXTRA_CA_CERTS="]), json!("UNABLE_TO_VERIFY_LEAF_SIGNATURE"));
    for bundle in ["etc/ssl/certs/ca-certificates.crt", "usr/local/share/ca-certificates/corp.crt"] {
        let file = image.files.get(bundle).unwrap_or_else(|| panic!("{bundle}"));
        let FileKind::File(bytes) = &file.kind else { panic!("{bundle}: {file:?}") };
        assert_eq!((file.mode, file.uid, file.gid), (0o644, 0, 0), "{bundle}");
        assert_eq!(String::from_utf8_lossy(bytes), ca.pem().replace("\r\n", "\n"), "{bundle}");
    }
    assert_eq!(image.files.link("etc/ssl/cert.pem"), Some("certs/ca-certificates.crt"));
}

/// An image upon the small base with this change of its config, and these settings.
fn image_upon(change: impl Fn(&mut Value), settings: &str) -> Result<Image, Run> {
    let workspace = TestWorkspace::shop().and(&[("corp.pem", Ca::new().pem()), ("pirogue.toml", settings)]);
    let entries = [("opt/", 0o755, ""), ("opt/base.pem", 0o644, "of the base\n")];
    tiny_base::write_changed(Path::new(BASE), &workspace.beside("base"), &entries, change);
    let run = workspace.run(&[
        "build",
        "--no-check",
        "--base",
        "oci:../base",
        "--platform",
        "linux/amd64",
        "--to",
        "oci:../images",
    ]);
    match run.code {
        Some(0) => Ok(layout::validate(&workspace.beside("images")).remove("web").expect("it was built")),
        _ => Err(run),
    }
}

#[test]
fn a_health_check_of_the_base_can_be_left_out() {
    let checked = |config: &mut Value| config["config"]["Healthcheck"] = json!({"Test": ["CMD", "true"]});
    let table = [
        ("", "[\"CMD\",\"true\"]"),
        ("health = false\n", "null"),
        ("port = 80\nhealth = \"/health\"\n[service.web]\nhealth = false\n", "null"),
        ("health = false\n[service.web]\nhealth = { command = [\"ls\"] }\n", "[\"CMD\",\"ls\"]"),
    ];
    for (settings, expected) in table {
        let image = image_upon(checked, settings).unwrap_or_else(|run| panic!("{run}"));
        assert_eq!(image.config["config"]["Healthcheck"]["Test"].to_string(), expected, "{settings}");
    }
}

#[test]
fn certificates_that_the_base_leads_node_to_are_not_lost() {
    let led = |file: &'static str| {
        move |config: &mut Value| config["config"]["Env"] = json!([format!("NODE_EXTRA_CA_CERTS={file}")])
    };
    let variable = |image: &Image| {
        let env = image.config["config"]["Env"].as_array().expect("there are variables").clone();
        let named =
            env.iter().filter_map(|line| line.as_str()?.strip_prefix("NODE_EXTRA_CA_CERTS=").map(str::to_owned));
        named.collect::<Vec<_>>()
    };
    const OWN: &str = "/usr/local/share/ca-certificates/node-extra.pem";
    let ca = "ca = [\"corp.pem\"]\n";
    let env = format!("{ca}[env]\nNODE_EXTRA_CA_CERTS = \"/opt/base.pem\"\n");
    let table = [
        ("nothing is added", "/opt/base.pem", "", "/opt/base.pem"),
        ("the user says which", "/opt/base.pem", &env, "/opt/base.pem"),
        ("a file that is not there", "/opt/none.pem", ca, OWN),
    ];
    for (comment, file, settings, expected) in table {
        let image = image_upon(led(file), settings).unwrap_or_else(|run| panic!("{comment}: {run}"));
        assert_eq!(variable(&image), [expected], "{comment}");
    }
    let Err(refused) = image_upon(led("/opt/base.pem"), ca) else { panic!("it is refused") };
    assert_snapshot!(refused, @r#"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:../base
    planning layers
    error: the base has certificates of its own for Node (NODE_EXTRA_CA_CERTS), whose place those of `ca` would take: `/opt/base.pem`
    hint: say which file Node reads, under `env` in pirogue.toml: `NODE_EXTRA_CA_CERTS = "/opt/base.pem"`, or "/usr/local/share/ca-certificates/node-extra.pem" for those of `ca`
    "#);
}

#[test]
fn every_program_has_the_time_zone() {
    let Some(runnable) = can_run() else { return };
    let workspace = shop().and(&[
        ("pirogue.toml", "timezone = \"africa/kinshasa\"\n"),
        (
            MAIN,
            r#"
            const { execFileSync } = require("child_process");
            const date = env => execFileSync("date", ["-d", "@0", "+%H %Z"], { env, encoding: "utf8" }).trim();
            const { PATH, TZ } = process.env;
            console.log(JSON.stringify({ TZ, node: new Date(0).getHours(), by_variable: date({ PATH, TZ }), by_link: date({ PATH }) }));
            "#,
        ),
    ]);
    let (images, image) = build(&workspace, &runnable);
    let expected = json!({ "TZ": "Africa/Kinshasa", "node": 1, "by_variable": "01 WAT", "by_link": "01 WAT" });
    assert_eq!(run(&images, &[]), expected);
    assert_eq!(image.files.link("etc/localtime"), Some("../usr/share/zoneinfo/Africa/Kinshasa"));
    assert_eq!(run(&images, &["TZ=America/New_York"])["node"], 19, "the variable is for whoever runs it to change");
}

#[test]
fn what_cannot_be_trusted_is_refused() {
    let key = "-----BEGIN PRIVATE KEY-----\nMC4=\n-----END PRIVATE KEY-----\n";
    let workspace = shop().and(&[("certs/corp.pem", key), ("pirogue.toml", "ca = [\"certs/corp.pem\"]\n")]);
    assert_snapshot!(failed(&workspace), @"
    error: `ca` names a file with a private key in it, which must not get into an image: `certs/corp.pem`
    hint: write the certificates alone into a file: `openssl x509 -in certs/corp.pem -out ca.pem`
    ");
    let workspace = workspace.and(&[("certs/corp.pem", "not PEM")]);
    assert_snapshot!(failed(&workspace), @"
    error: `ca` names a file without a certificate in PEM: `certs/corp.pem`
    hint: if it is DER: `openssl x509 -inform der -in certs/corp.pem -out ca.pem`
    ");
    let workspace = workspace.and(&[("pirogue.toml", "[service.web]\nca = [\"certs/crop.pem\"]\n")]);
    assert_snapshot!(failed(&workspace), @"
    error: `ca` of the service `web` names something that does not exist: `certs/crop.pem`
    hint: such paths start at the root of the workspace
    ");
    let workspace = workspace.and(&[("pirogue.toml", "[service.web]\ntimezone = \"Kinshassa\"\n")]);
    assert_snapshot!(failed(&workspace), @"
    error: there is no time zone `Kinshassa`: `pirogue.toml:2:1`
    hint: zones that are written like it: `Africa/Kinshasa`, `America/Nassau`, `Asia/Kamchatka`
    ");
}

#[test]
fn users_that_cannot_be_had_are_refused() {
    let user = |user: &str| failed(&shop().and(&[("pirogue.toml", &format!("user = {user}\n"))]));
    assert_snapshot!(user("{ name = \"app\", uid = 1000 }"), @r#"
    error: the base's user `node:1000` conflicts with the one wanted: `app:1000`
    hint: 1001 is free: `user = { name = "app", uid = 1001 }` in pirogue.toml
    "#);
    assert_snapshot!(user("{ name = \"node\", uid = 1001 }"), @r#"
    error: the base's user `node:1000` conflicts with the one wanted: `node:1001`
    hint: use the base's own: `user = "node"` in pirogue.toml
    "#);
    assert_snapshot!(user("\"nodd\""), @r#"
    error: the base has no user named `nodd`
    hint: to add it, set `user = { name = "nodd", uid = 1001 }` in pirogue.toml
    "#);
    assert_snapshot!(user("{ name = \"app\", groups = [\"vdeo\"] }"), @"
    error: the base has no group named `vdeo`
    hint: there are: `bin`, `cron`, `daemon`, `disk`, `mail`, `nobody`, `node`, `nogroup`, `root`, `shadow`, `tty`, `users`, `www-data`
    ");
    assert_snapshot!(user("\"4294967295\""), @"error: `user` is neither a name, `uid`, nor `uid:gid`: `pirogue.toml:1:1`");
}

#[test]
fn a_link_of_the_base_that_leads_nowhere_is_refused() {
    let workspace = shop().and(&[("pirogue.toml", "writable = [\"/etc/mtab/x\"]\n")]);
    assert_snapshot!(failed(&workspace), @"
    error: a link of the base leads to `/proc/mounts`, where nothing is: `/etc/mtab`
    hint: name another directory in pirogue.toml: `root`, `workdir`, `writable`, `to` of `files`, or the user's `home`
    ");
    let workspace = shop().and(&[("tool", "x"), ("pirogue.toml", "files = [{ from = \"tool\", to = \"/etc\" }]\n")]);
    assert_snapshot!(failed(&workspace), @r#"
    error: the base has a directory where the image needs a file or link: `/etc`
    hint: name a file in that directory, such as `to = "/etc/NAME"`
    "#);
}
