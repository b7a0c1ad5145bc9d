//! `pirogue login` and `pirogue logout`: what is kept where, and for whom.

mod harness;

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use harness::misbehaving::{Answer, Misbehaving};
use harness::program;
use harness::registry::Registry;
use harness::workspace::{Run, TestWorkspace};
use insta::assert_snapshot;

/// A home, and what pirogue does in it.
struct Home(TestWorkspace);

impl Home {
    fn new() -> Self {
        Self(TestWorkspace::new(&[("package.json", "{}")]))
    }

    fn config(&self) -> PathBuf {
        self.0.beside("home/.docker/config.json")
    }

    /// Writes Docker's `config.json`.
    fn with_config(self, text: &str) -> Self {
        fs::create_dir_all(self.0.beside("home/.docker")).unwrap();
        fs::write(self.config(), text).unwrap();
        self
    }

    /// Runs pirogue with a password on its standard input, and gives what it said without the registry's port.
    fn run(&self, arguments: &[&str], password: &str, registry: &str) -> Run {
        let mut command = self.0.pirogue(arguments);
        let path = std::env::var("PATH").unwrap();
        command.env("PATH", format!("{}:{path}", self.0.beside("bin").display()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // One that fails at once does not read.
        let _ = child.stdin.take().unwrap().write_all(password.as_bytes());
        self.0.told(&child.wait_with_output().unwrap()).replaced(registry, "[HOST]")
    }

    fn log_in(&self, registry: &str, password: &str) -> Run {
        self.run(&["login", registry, "--user", "anna", "--password-stdin"], password, registry)
    }

    fn log_out(&self, registry: &str) -> Run {
        self.run(&["logout", registry], "", registry)
    }
}

#[test]
fn in_and_out() {
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let home = Home::new().with_config(r#"{"auths": {"quay.io": {"auth": "eA=="}}, "currentContext": "x"}"#);
    let host = registry.host();
    assert_snapshot!(home.log_in(host, "secret\n"), @"
    exit code: 0
    ----- stdout
    anna is logged in to [HOST], kept by [DIR]/home/.docker/config.json
    ");
    let text = fs::read_to_string(home.config()).unwrap().replace(host, "[HOST]");
    assert_snapshot!(text, @r#"
    {
      "auths": {
        "quay.io": {
          "auth": "eA=="
        },
        "[HOST]": {
          "auth": "YW5uYTpzZWNyZXQ="
        }
      },
      "currentContext": "x"
    }
    "#);
    assert_eq!(fs::metadata(home.config()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_snapshot!(home.log_out(host), @"
    exit code: 0
    ----- stdout
    logged out of [HOST], removed from [DIR]/home/.docker/config.json
    ");
    let text = fs::read_to_string(home.config()).unwrap();
    assert!(text.contains("quay.io") && !text.contains(host), "{text}");
    assert_snapshot!(home.log_out(host), @"
    exit code: 0
    ----- stdout
    nobody was logged in to [HOST]
    ");
}

#[test]
fn what_podman_reads_too() {
    if !program::are_installed(&["skopeo"]) {
        return;
    }
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let (home, host) = (Home::new(), registry.host());
    assert_eq!(home.log_in(host, "secret").code, Some(0));
    let mut skopeo = Command::new("skopeo");
    skopeo.args(["list-tags", "--tls-verify=false", "--authfile"]).arg(home.config());
    let output = skopeo.arg(format!("docker://{host}/none/such")).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("404 (Not Found)"), "it is let in, and finds nothing: {said}");
}

#[test]
fn a_wrong_password_is_not_kept() {
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let home = Home::new();
    assert_snapshot!(home.log_in(registry.host(), "s3cr3t"), @"
    exit code: 1
    ----- stderr
    error: the registry `[HOST]` does not accept the credentials, status 401 `UNAUTHORIZED` (authentication required): `GET http://[HOST]/v2/`
    hint: check the user and the password; many registries want a token in place of the password
    ");
    assert!(!home.config().exists());
}

#[test]
fn a_token_service_decides() {
    let server = Misbehaving::start(|asked| {
        let challenge = format!("Bearer realm=\"http://{}/token\",service=\"s\"", asked.header("host"));
        match (asked.target.starts_with("/token"), asked.header("authorization")) {
            // anna:secret
            (true, "Basic YW5uYTpzZWNyZXQ=") => Answer::new(200).body(r#"{"token":"t"}"#),
            (false, "Bearer t") => Answer::new(200),
            _ => Answer::new(401).header("WWW-Authenticate", challenge),
        }
    });
    let home = Home::new();
    assert_eq!(home.log_in(&server.host(), "secret").code, Some(0));
    assert_eq!(server.lines(), ["GET /v2/", "GET /token?service=s", "GET /v2/"]);
    assert_snapshot!(home.log_in(&server.host(), "wrong"), @"
    exit code: 1
    ----- stderr
    error: the registry `[HOST]` does not accept the credentials, status 401: `GET http://[HOST]/token?service=s`
    hint: check the user and the password; many registries want a token in place of the password
    ");
}

#[test]
fn a_registry_that_asks_nobody() {
    let Some(registry) = Registry::start() else { return };
    assert_snapshot!(Home::new().log_in(registry.host(), "secret"), @"
    exit code: 0
    ----- stdout
    anna is logged in to [HOST], kept by [DIR]/home/.docker/config.json
    ----- stderr
    warning: the registry asks nobody for a password, so this one was not checked: `[HOST]`
    ");
}

#[test]
fn no_password() {
    let home = Home::new();
    assert_snapshot!(home.log_in("registry.example.com", ""), @"
    exit code: 1
    ----- stderr
    error: there is no password: standard input is empty or no terminal
    hint: hand it in on standard input: `pirogue login … --password-stdin < FILE`
    ");
    let run = home.run(&["login", "registry.example.com", "--user", "anna"], "secret", "-");
    assert!(run.stderr.contains("error: there is no password"), "only where it is said: {run}");
    assert_snapshot!(home.log_in("registry.example.com/acme", "secret"), @"
    exit code: 1
    ----- stderr
    error: not a registry host: `[HOST]`
    hint: a host without a path, such as `ghcr.io` or `registry.example.com:5000`
    ");
}

/// A helper that keeps what it is given in a file beside it.
const HELPER: &str = r#"#!/bin/sh
kept=$(dirname "$0")/kept
case $1 in
    store) cat > "$kept" ;;
    get) [ -f "$kept" ] && cat "$kept" || { echo 'credentials not found in native keychain'; exit 1; } ;;
    erase) cat > /dev/null; rm "$kept" ;;
esac
"#;

#[test]
fn by_a_helper() {
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let host = registry.host();
    // What an earlier login left in the file goes.
    let config = format!(r#"{{"credHelpers": {{"{host}": "test"}}, "auths": {{"{host}": {{"auth": "eA=="}}}}}}"#);
    let home = Home::new().with_config(&config);
    let helper = home.0.beside("bin/docker-credential-test");
    fs::create_dir(helper.parent().unwrap()).unwrap();
    fs::write(&helper, HELPER).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();

    assert_snapshot!(home.log_in(host, "secret"), @"
    exit code: 0
    ----- stdout
    anna is logged in to [HOST], kept by docker-credential-test
    ");
    let kept = fs::read_to_string(home.0.beside("bin/kept")).unwrap();
    assert_eq!(kept, format!(r#"{{"ServerURL":"{host}","Username":"anna","Secret":"secret"}}"#));
    assert!(!fs::read_to_string(home.config()).unwrap().contains("auth\""), "not in the file");
    let base = format!("{host}/none:1");
    let run = home.run(&["plan", "--base", &base], "", host);
    assert!(!run.stderr.contains("credentials"), "the helper is asked: {run}");

    assert_snapshot!(home.log_out(host), @"
    exit code: 0
    ----- stdout
    logged out of [HOST], removed from docker-credential-test
    ");
    assert!(!home.0.beside("bin/kept").exists());
    assert_snapshot!(home.log_out(host), @"
    exit code: 0
    ----- stdout
    nobody was logged in to [HOST]
    ");
    fs::remove_file(&helper).unwrap();
    assert_snapshot!(home.log_in(host, "secret"), @"
    exit code: 1
    ----- stderr
    error: cannot keep the credentials: the credential helper is not installed: `docker-credential-test`
    hint: `credsStore` and `credHelpers` in Docker's config.json name the helper
    ");
}

#[test]
fn a_file_that_is_no_json_is_left_alone() {
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let home = Home::new().with_config("{\"auths\": \n secret");
    assert_snapshot!(home.log_in(registry.host(), "secret"), @"
    exit code: 1
    ----- stderr
    error: cannot keep the credentials: line 2 is no credentials JSON: `[DIR]/home/.docker/config.json`
    hint: mend the file or the rights to it; where there is none, one is made
    ");
    assert_eq!(fs::read_to_string(home.config()).unwrap(), "{\"auths\": \n secret");
}

#[test]
fn on_a_terminal_the_password_is_not_shown() {
    if !program::are_installed(&["script"]) {
        return;
    }
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let home = Home::new();
    let mut script = Command::new("script");
    home.0.surround(&mut script);
    let line = format!("{} login {} --user anna", env!("CARGO_BIN_EXE_pirogue"), registry.host());
    script.args(["--quiet", "--return", "--command", &line, "/dev/null"]);
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let mut said = Vec::new();
    // What is typed before the question could be shown.
    while !said.ends_with(b": ") {
        let mut byte = [0];
        std::io::Read::read_exact(&mut stdout, &mut byte).unwrap();
        said.push(byte[0]);
    }
    child.stdin.take().unwrap().write_all(b"secret\n").unwrap();
    std::io::Read::read_to_end(&mut stdout, &mut said).unwrap();
    assert!(child.wait().unwrap().success());
    let said = String::from_utf8_lossy(&said).replace(registry.host(), "[HOST]").replace('\r', "");
    assert!(!said.contains("secret"), "{said}");
    assert!(said.contains("anna is logged in to [HOST]"), "{said}");
}
