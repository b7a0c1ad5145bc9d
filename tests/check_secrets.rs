//! What `pirogue check` says of secrets in images, each beside a twin that has none. The secrets are put together here, so
//! that nobody takes this file for a leak.

mod harness;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use harness::checks::{assert_found, found, run, shop};
use harness::sample;
use insta::assert_snapshot;
use serde_json::Value;

/// As good as drawn by lot, and the same every time.
fn random(length: usize) -> String {
    let symbols = b"aZ3bY4cX5dW6eV7fU8gT9hS0iR1jQ2kPlOmNnMoLpKqJrIsHtGuFvEwDxCyBzA";
    (0..length).map(|at| char::from(symbols[(at * 17 + at / 62) % symbols.len()])).collect()
}

/// A token as GitHub makes them: the last six are a checksum of the others.
fn github() -> String {
    let random = random(30);
    let mut crc = flate2::Crc::new();
    crc.update(random.as_bytes());
    let digits = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    let digit = |power| char::from(digits[(u64::from(crc.sum()) / 62_u64.pow(power) % 62) as usize]);
    format!("ghp{}{random}{}", "_", (0..6).rev().map(digit).collect::<String>())
}

fn pem(label: &str, body: &str) -> String {
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}

#[test]
fn secrets_in_the_files_of_a_service() {
    let key = random(64);
    let aws = |id: &str, secret: &str| format!("accessKeyId: '{id}', secretAccessKey: '{secret}'");
    let id = format!("AKIA{}", "Q7RT5XW2Z3YBN4KM");
    let google =
        format!(r#"{{"type": "service_account", "private_key": "{}"}}"#, pem("PRIVATE KEY", &key).replace('\n', "\\n"));
    let azure = |key: &str| format!("AccountName=a;Account{}={key}==;EndpointSuffix=core.windows.net", "Key");
    let base64 = |text: &str| STANDARD.encode(text);
    let pem_of = |label: &str| pem(label, &key);
    let putty =
        |lines: &str| format!("PuTTY-User-Key-File-3: ssh-rsa\nEncryption: none\nPublic-Lines: 1\n{key}\n{lines}");
    let login = |auth: &str| format!(r#"{{"auths":{{"registry.example":{{"auth":"{auth}"}}}}}}"#);
    let lines = |text: &str| {
        text.as_bytes().chunks(60).map(|line| format!("  {}\n", String::from_utf8_lossy(line))).collect::<String>()
    };
    let hex = "0123456789abcdef".repeat(4);
    let table: [(&str, String, bool); 54] = [
        ("a private key", pem("PRIVATE KEY", &key), true),
        ("of the old kind", pem("RSA PRIVATE KEY", &key), true),
        ("of SSH", pem("OPENSSH PRIVATE KEY", &key), true),
        ("with a password", pem("RSA PRIVATE KEY", &format!("Proc-Type: 4,ENCRYPTED\n\n{key}")), true),
        ("as a text in code", pem("EC PRIVATE KEY", &key).replace('\n', "\\n' +\n '"), true),
        ("of PGP", pem("PGP PRIVATE KEY BLOCK", &format!("Version: 1\n\n{key}")), true),
        ("a public key of PGP", pem("PGP PUBLIC KEY BLOCK", &key), false),
        ("of PuTTY", putty(&format!("Private-Lines: 1\n{key}\n")), true),
        ("the public half of PuTTY", putty(""), false),
        ("in base64", format!("client-key-data: {}", base64(&pem_of("EC PRIVATE KEY"))), true),
        ("in base64, in lines", format!("{}\n", lines(&base64(&pem_of("RSA PRIVATE KEY")))), true),
        ("a certificate in base64", format!("client-certificate-data: {}", base64(&pem_of("CERTIFICATE"))), false),
        ("how keys begin, in base64", base64("-----BEGIN PRIVATE KEY-----"), false),
        (
            "in a source map",
            format!(r#"{{"sourcesContent": ["const key = `{}`"]}}"#, pem_of("PRIVATE KEY").replace('\n', "\\n")),
            true,
        ),
        ("with line ends of Windows", pem_of("PRIVATE KEY").replace('\n', "\r\n"), true),
        ("logins of Kubernetes", format!(".dockerconfigjson: {}", base64(&login(&random(20)))), true),
        ("no logins of Kubernetes", format!(".dockerconfigjson: {}", base64(&login(""))), false),
        ("logins as docker writes them", base64(&login(&random(20)).replace("{\"auths\":", "{\n\t\"auths\": ")), true),
        ("of Docker Hub", format!("dckr_{}_{}", "pat", random(27)), true),
        ("of Docker Hub, as a placeholder", "dckr_pat_your-token-goes-here-please".to_owned(), false),
        ("of DigitalOcean", format!("dop_{}_{hex}", "v1"), true),
        ("of DigitalOcean, shortened", format!("dop_{}_{}", "v1", &hex[1..]), false),
        ("of a client of Google", format!("GOCSPX{}{}", "-", random(28)), true),
        ("of a client of Google, as a placeholder", "GOCSPX-your-client-secret".to_owned(), false),
        ("much that looks drawn by lot", random(4096), false),
        ("a sum of a package", format!(r#"integrity: "sha512-{}==""#, random(86)), false),
        ("a picture in code", format!("url(data:image/png;base64,{})", random(2000)), false),
        ("a token of a session", format!("eyJhbGciOiJIUzI1NiJ9.{}.{}", random(40), random(43)), false),
        ("a public key", pem("PUBLIC KEY", &key), false),
        ("a certificate", pem("CERTIFICATE", &key), false),
        ("code that knows how keys begin", "text.startsWith('-----BEGIN PRIVATE KEY-----')".to_owned(), false),
        ("an example of a key", pem("PRIVATE KEY", "MIIE..."), false),
        ("a key of x", pem("PRIVATE KEY", &"x".repeat(64)), false),
        ("of a Google service account", google, true),
        ("of AWS", aws(&id, &random(40)), true),
        ("of AWS, without its secret", aws(&id, ""), false),
        ("of AWS, as its documentation has it", aws(&format!("AKIA{}", "IOSFODNN7EXAMPLE"), &random(40)), false),
        ("of Azure", azure(&random(86)), true),
        ("of Azure, shortened", azure(&random(20)), false),
        ("of GitHub", github(), true),
        ("of GitHub, with a wrong checksum", format!("{}0", github().split_at(39).0), false),
        ("of GitHub, fine-grained", format!("github_{}_{}_{}", "pat", random(22), random(59)), true),
        ("of GitLab", format!("gl{}-{}", "pat", random(20)), true),
        ("of GitLab, as a placeholder", "glpat-xxxxxxxxxxxxxxxxxxxx".to_owned(), false),
        ("of npm", format!("npm{}{}", "_", random(36)), true),
        ("of npm's own variables", "npm_config_registry npm_package_version".to_owned(), false),
        ("of Slack", format!("xox{}-123456789012-1234567890123-{}", "b", random(24)), true),
        ("of Slack, as a placeholder", "xoxb-your-token".to_owned(), false),
        ("a webhook", format!("https://hooks.slack.com/{}/T01234567/B01234567/{}", "services", random(24)), true),
        (
            "a webhook's placeholder",
            "https://hooks.slack.com/services/T000/B000/XXXXXXXXXXXXXXXXXXXXXXXX".to_owned(),
            false,
        ),
        ("of Stripe", format!("sk_{}_{}", "live", random(24)), true),
        ("of Stripe, for tests", format!("sk_{}_{}", "test", random(24)), false),
        ("within a word", format!("desk_{}_{}", "live", random(24)), false),
        ("nothing", "const a = 1".to_owned(), false),
    ];
    for (comment, text, expected) in table {
        let found = found(&shop(&[("apps/web/dist/config.txt", &format!("first line\n{text}\n"))]));
        let expected: &[&str] = if expected { &["error secret-in-file apps/web/dist/config.txt:2"] } else { &[] };
        assert_eq!(found, expected, "{comment}: {text}");
    }
}

#[test]
fn files_with_secrets() {
    let login = format!(r#"{{"auths": {{"registry.example": {{"auth": "{}"}}}}}}"#, random(20));
    let table: [(&str, &str, &str, &[&str]); 24] = [
        ("variables", "env", ".env", &["error secret-file apps/web/.env"]),
        ("variables of a stage", "env", ".env.production", &["error secret-file"]),
        ("an example of variables", "env", ".env.example", &[]),
        ("a key of SSH", "key", "id_rsa", &["error secret-file"]),
        ("its public half", "key", "id_rsa.pub", &[]),
        ("a store of keys", "key", "server.p12", &["error secret-file"]),
        ("a history", "key", ".git/HEAD", &["error secret-file apps/web/.git"]),
        ("what SSH knows", "key", "/home/node/.ssh/config", &["error secret-file /home/node/.ssh/config"]),
        ("a token for npm", "token", ".npmrc", &["error secret-in-file apps/web/.npmrc:2"]),
        ("a variable for npm", "variable", ".npmrc", &[]),
        ("a token under another name", "token", "npmrc", &[]),
        ("a token for yarn", "yarn", ".yarnrc.yml", &["error secret-in-file apps/web/.yarnrc.yml:1"]),
        ("a token for yarn 1", "yarn1", ".yarnrc", &["error secret-in-file apps/web/.yarnrc:1"]),
        ("a token for bun", "bun", "bunfig.toml", &["error secret-in-file apps/web/bunfig.toml:1"]),
        ("a variable for bun", "bun-variable", "bunfig.toml", &[]),
        ("a password in a URL", "url", ".npmrc", &["error secret-in-file apps/web/.npmrc:1"]),
        ("a cluster", "key", "/home/node/.kube/config", &["error secret-file /home/node/.kube/config"]),
        ("passwords of PostgreSQL", "key", ".pgpass", &["error secret-file"]),
        ("passwords of curl", "key", ".netrc", &["error secret-file"]),
        ("something else of a netrc", "key", "netrc.js", &[]),
        ("a login", "login", "/home/node/.docker/config.json", &["error secret-in-file"]),
        ("a helper for logins", "helper", "/home/node/.docker/config.json", &[]),
        ("something else of that name", "login", "config.json", &[]),
        ("a password of git", "key", ".git-credentials", &["error secret-file"]),
    ];
    let contents = [
        ("given/env", "A=b"),
        ("given/key", "binary"),
        ("given/token", "registry=https://npm.example/\n//npm.example/:_authToken=abcdef\n"),
        ("given/variable", "//npm.example/:_authToken=${NPM_TOKEN}\n"),
        ("given/yarn", "npmAuthToken: abcdef\n"),
        ("given/yarn1", "\"//npm.example/:_authToken\" \"abcdef\"\n"),
        ("given/bun", "[install.registry]\nurl = \"https://npm.example\"\ntoken = \"abcdef\"\n"),
        ("given/bun-variable", "[install.registry]\nurl = \"https://npm.example\"\ntoken = \"$NPM_TOKEN\"\n"),
        ("given/url", "registry=https://ann:secret@npm.example/\n"),
        ("given/login", &login),
        ("given/helper", r#"{"auths": {"registry.example": {}}, "credsStore": "pass"}"#),
    ];
    for (comment, from, to, expected) in table {
        let files = format!("[[files]]\nfrom = 'given/{from}'\nto = '{to}'");
        assert_found(&shop(&contents).and(&[("pirogue.toml", &files)]), expected, comment);
    }
}

/// What a package ships is public.
#[test]
fn secrets_in_packages_are_notes() {
    let key = pem("PRIVATE KEY", &random(64));
    let in_package = |path: &str, text: &str| {
        let path = format!("node_modules/left/{path}");
        run(&shop(&[(&path, text)]), "check", &["--verbose"]).stdout
    };
    assert_snapshot!(in_package("test/fixtures/server.key", &key), @r#"
    web (2 files of code)
      note[base-without-programs]
        the base has no programs, so nothing in it can run node
        fix: build on a base that has node, such as `base = "node:22-alpine"`
      note[secret-in-file] /app/node_modules/left/test/fixtures/server.key:1
        `left@1.2.0` ships a private key, in a file; it is public, since the package is

    no errors, no warnings, 2 notes
    "#);
    assert_snapshot!(in_package("test/.env", "A=b"), @r#"
    web (2 files of code)
      note[base-without-programs]
        the base has no programs, so nothing in it can run node
        fix: build on a base that has node, such as `base = "node:22-alpine"`
      note[secret-file] /app/node_modules/left/test/.env
        `left@1.2.0` ships variables that may be secret, by the name of a file; it is public, since the package is

    no errors, no warnings, 2 notes
    "#);
    let nothing = in_package("test/server.js", &key);
    assert_eq!(in_package("README.md", ""), nothing, "only what looks like keys is opened in packages");
}

#[test]
fn directories_of_the_build_host() {
    let workspace = shop(&[]);
    let root = workspace.root().display().to_string();
    let map = |source: &str| format!(r#"{{"version": 3,"sources": ["{source}"]}}"#);
    let table = [
        ("in a source map", map(&format!("{root}/apps/web/src/main.ts")), true),
        ("as a URL", map(&format!("file://{root}/apps/web/src/main.ts")), true),
        ("relative", map("../src/main.ts"), false),
        ("another directory", map(&format!("{root}-2/main.ts")), false),
        ("below another", map(&format!("x{root}/main.ts")), false),
        ("of the image", map("apps/web/src/main.ts"), false),
    ];
    let mut workspace = workspace;
    for (comment, text, expected) in table {
        workspace = workspace.and(&[("apps/web/dist/main.js.map", &text)]);
        let expected: &[&str] = if expected { &["warning build-host-path apps/web/dist/main.js.map:1"] } else { &[] };
        assert_eq!(found(&workspace), expected, "{comment}");
    }
}

#[test]
fn what_is_allowed() {
    let key = pem("PRIVATE KEY", &random(64));
    let shop = |entry: &str| {
        let settings = format!("[[check.allow]]\n{entry}\n");
        shop(&[("apps/web/dist/test.pem", &key), ("apps/web/dist/other.pem", ""), ("pirogue.toml", &settings)])
    };
    let said = |entry: &str| run(&shop(entry), "check", &["--verbose"]).to_string();
    let reason = "reason = 'signs what tests send'";
    let right = format!("path = 'apps/web/dist/test.pem'\ncode = 'secret-in-file'\n{reason}");
    assert_eq!(found(&shop(&right)), [""; 0]);
    assert_eq!(found(&shop(&right.replace("apps/", "/app/apps/"))), [""; 0], "by its place in the image");
    assert_snapshot!(run(&shop(&right.replace("test.pem", "other.pem")), "check", &["--verbose"]).stdout, @r#"
    web (2 files of code)
      error[secret-in-file] apps/web/dist/test.pem:1
        a private key lies in the image, where everyone who pulls it can read it
        fix: keep it out of the image, and give it to the container when it runs; if it is no secret, say so in pirogue.toml with `[[check.allow]]`
      note[base-without-programs]
        the base has no programs, so nothing in it can run node
        fix: build on a base that has node, such as `base = "node:22-alpine"`
      note[allowance-unused]
        pirogue.toml allows `secret-in-file` where there is none: `apps/web/dist/other.pem`
        fix: take the entry out of `[[check.allow]]`

    1 error, no warnings, 2 notes
    "#);
    assert_snapshot!(said(&right.replace(reason, "")), @"
    exit code: 1
    ----- stderr
    error: `check.allow` needs `path`, `code` and `reason` in every entry: `pirogue.toml:1:9`
    ");
    assert_snapshot!(said(&right.replace("-in-file", "s")), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: `check.allow` names a code that no finding has, `secrets`: `pirogue.toml:1:9`
    ");
    let both = format!("check = {{ level = 'warn', allow = [{{ {} }}] }}", right.replace('\n', ", "));
    let both = shop("").and(&[("pirogue.toml", &both), ("apps/web/dist/main.js", "require('lost')")]);
    assert_eq!(found(&both), ["warning import-missing apps/web/dist/main.js:1"]);
    let own = format!("[[service.web.check.allow]]\n{right}");
    assert_eq!(found(&both.and(&[("pirogue.toml", &own), ("apps/web/dist/main.js", "")])), [""; 0]);
}

/// Accepting something is not forgotten, nor is it remembered too long.
#[test]
fn a_build_refuses_secrets() {
    let workspace = shop(&[("apps/web/dist/test.pem", &pem("PRIVATE KEY", &random(64)))]);
    let to = ["--to", "oci:images", "--json"];
    let first = run(&workspace, "build", &to);
    assert_snapshot!(first.stderr, @"
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the service `web` does not pass the checks
      web: apps/web/dist/test.pem:1: a private key lies in the image, where everyone who pulls it can read it [secret-in-file]
        keep it out of the image, and give it to the container when it runs; if it is no secret, say so in pirogue.toml with `[[check.allow]]`
    hint: what each code means stands in docs/checks.md; to build all the same: `--no-check`
    ");
    assert!(!workspace.root().join("images").exists());
    let allow = "[[check.allow]]\npath = 'apps/web/dist/test.pem'\ncode = 'secret-in-file'\nreason = 'public'\n";
    let workspace = workspace.and(&[("pirogue.toml", allow)]);
    assert_eq!(run(&workspace, "build", &to).code, Some(0));
    let workspace = workspace.without("pirogue.toml");
    assert_eq!(run(&workspace, "build", &to).code, Some(1));
}

#[test]
fn the_sample_has_no_secrets() {
    let Some(workspace) = sample::workspace() else { return };
    let output = std::process::Command::new(env!("CARGO_BIN_EXE_pirogue"))
        .args(["check", "--json", "--no-cache", "--base", sample::SMALL_BASE, "--platform", "linux/amd64", "-C"])
        .arg(workspace)
        .output()
        .expect("pirogue starts");
    let report: Value = serde_json::from_slice(&output.stdout).expect("the report is JSON");
    assert_eq!((&report["errors"], &report["warnings"]), (&0.into(), &0.into()), "{report:#}");
}
