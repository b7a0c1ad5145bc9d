//! The ways to a registry: certificates, mirrors, proxies, tokens; and what must not take them.

mod harness;

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::Duration;

use harness::certificates::Ca;
use harness::forward_proxy::ForwardProxy;
use harness::misbehaving::{Answer, Misbehaving, PlayedRegistry, Profile};
use harness::registry::Registry;
use harness::token_server::TokenServer;
use harness::workspace::{BASE, Run, TestWorkspace};
use insta::assert_snapshot;
use pirogue::digest::Digest;
use pirogue::http::Secret;
use pirogue::manifest::{Descriptor, media_type};
use pirogue::registry::{
    Client, ClientOptions, Failure, GivenCredentials, Offer, RegistryError, RegistrySettings, Repository, RetryPolicy,
};
use tempfile::TempDir;

const BLOB: &[u8] = b"the bytes of a blob";

fn repository(host: &str, name: &str) -> Repository {
    format!("{host}/{name}").parse().unwrap()
}

fn retry() -> RetryPolicy {
    RetryPolicy { attempts: 3, first_wait: Duration::from_millis(1), longest_wait: Duration::from_secs(1) }
}

/// Options with these `registries.toml`.
fn options(dir: &Path, registries: &str) -> ClientOptions {
    let path = dir.join("registries.toml");
    fs::write(&path, registries).unwrap();
    let registries = RegistrySettings::read(&path).unwrap();
    ClientOptions { registries, retry: retry(), ..ClientOptions::default() }
}

fn client(dir: &Path, registries: &str) -> Client {
    Client::new(options(dir, registries)).unwrap()
}

/// An image of the one blob.
fn manifest() -> Vec<u8> {
    let (digest, size) = (Digest::of(BLOB), BLOB.len());
    let descriptor = |kind| format!(r#"{{"mediaType":"{kind}","digest":"{digest}","size":{size}}}"#);
    let (config, layer) = (descriptor(media_type::CONFIG), descriptor(media_type::LAYER_GZIP));
    let kind = media_type::MANIFEST;
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layer}]}}"#).into_bytes()
}

async fn push(client: &Client, to: &Repository) -> Result<(), RegistryError> {
    let dir = TempDir::new().unwrap();
    let path = dir.path().join("blob");
    fs::write(&path, BLOB).unwrap();
    let descriptor = Descriptor::of("application/octet-stream", BLOB);
    if let Offer::Wanted(session) = client.offer_blob(to, &descriptor, None).await? {
        client.send_blob(to, &descriptor, &path, session, &|_| {}).await?;
    }
    Ok(())
}

async fn pull(client: &Client, from: &Repository) -> Result<Vec<u8>, RegistryError> {
    let mut bytes = Vec::new();
    let descriptor = Descriptor::of("application/octet-stream", BLOB);
    client.blob(from, &descriptor, &mut bytes, &|_| {}).await?;
    Ok(bytes)
}

#[tokio::test]
async fn a_certificate_of_ones_own_ca() {
    let ca = Ca::new();
    let Some(registry) = Registry::start_under(&ca, &["127.0.0.1"], false) else { return };
    let (dir, host) = (TempDir::new().unwrap(), registry.host());
    fs::write(dir.path().join("ca.pem"), ca.pem()).unwrap();
    let certs = dir.path().join("certs.d");
    fs::create_dir_all(certs.join(host)).unwrap();
    fs::write(certs.join(host).join("any.crt"), ca.pem()).unwrap();
    let repository = repository(host, "acme/api");

    let named = client(dir.path(), &format!("[registry.\"{host}\"]\nca = \"ca.pem\""));
    push(&named, &repository).await.unwrap();
    let unverified = client(dir.path(), &format!("[registry.\"{host}\"]\ntls = \"unverified\""));
    assert_eq!(pull(&unverified, &repository).await.unwrap(), BLOB);
    let by_directory = ClientOptions { certificate_dirs: vec![certs], ..options(dir.path(), "") };
    assert_eq!(pull(&Client::new(by_directory).unwrap(), &repository).await.unwrap(), BLOB);

    fs::write(dir.path().join("ca.pem"), "no certificate").unwrap();
    let broken = client(dir.path(), &format!("[registry.\"{host}\"]\nca = \"ca.pem\""));
    let error = pull(&broken, &repository).await.unwrap_err().to_string();
    let path = dir.path().join("ca.pem");
    assert_eq!(error, format!("cannot use a certificate (it holds no certificate in PEM): `{}`", path.display()));

    let strict = client(dir.path(), &format!("[registry.\"{host}\"]\ntls = \"verified\""));
    let error = pull(&strict, &repository).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { failure: Failure::Tls, .. }), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("registries.toml: `ca = \"ca.pem\"`")), "{error}");
}

#[tokio::test]
async fn a_client_certificate() {
    let ca = Ca::new();
    let Some(registry) = Registry::start_under(&ca, &["127.0.0.1"], true) else { return };
    let (dir, host) = (TempDir::new().unwrap(), registry.host());
    let certs = dir.path().join("certs.d");
    let own = certs.join(host);
    fs::create_dir_all(&own).unwrap();
    fs::write(own.join("ca.crt"), ca.pem()).unwrap();
    ca.issue(&own, "client", &[]);
    let repository = repository(host, "acme/api");

    let by_directory = ClientOptions { certificate_dirs: vec![certs.clone()], ..options(dir.path(), "") };
    push(&Client::new(by_directory).unwrap(), &repository).await.unwrap();
    let place = format!("certs.d/{host}");
    let table = format!("[registry.\"{host}\"]\nca = \"{place}/ca.crt\"\n");
    let keys = format!("client-certificate = \"{place}/client.cert\"\nclient-key = \"{place}/client.key\"");
    assert_eq!(pull(&client(dir.path(), &(table.clone() + &keys)), &repository).await.unwrap(), BLOB);

    let error = pull(&client(dir.path(), &table), &repository).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { .. }), "{error}");
    fs::remove_file(own.join("client.key")).unwrap();
    let without_key = ClientOptions { certificate_dirs: vec![certs], ..options(dir.path(), "") };
    let error = pull(&Client::new(without_key).unwrap(), &repository).await.unwrap_err();
    assert!(error.to_string().ends_with(&format!("{}`", own.join("client.key").display())), "{error}");
}

#[tokio::test]
async fn a_registry_on_ipv6() {
    let Some(registry) = Registry::start_on_ipv6() else { return };
    let dir = TempDir::new().unwrap();
    let (client, repository) = (client(dir.path(), ""), repository(registry.host(), "acme/api"));
    assert!(registry.host().starts_with("[::1]:"), "{}", registry.host());
    push(&client, &repository).await.unwrap();
    assert_eq!(pull(&client, &repository).await.unwrap(), BLOB);
}

#[tokio::test]
async fn a_pull_through_cache_stands_for_its_registry() {
    let Some(upstream) = Registry::start() else { return };
    let Some(mirror) = Registry::start_as_mirror(upstream.host()) else { return };
    let dir = TempDir::new().unwrap();
    let direct = client(dir.path(), "");
    let there = repository(upstream.host(), "library/node");
    push(&direct, &there).await.unwrap();
    direct.push_manifest(&there.with_tag("20").unwrap(), media_type::MANIFEST, manifest()).await.unwrap();

    // The registry itself is nowhere: all there is comes from the mirror.
    let settings = format!("[registry.\"hub.invalid\"]\nmirrors = [\"127.0.0.1:1\", \"{}\"]", mirror.host());
    let (client, node) = (client(dir.path(), &settings), repository("hub.invalid", "library/node"));
    let pulled = client.manifest(&node.with_tag("20").unwrap(), &[media_type::MANIFEST]).await.unwrap();
    assert_eq!(pulled.bytes, manifest());
    assert_eq!(pull(&client, &node).await.unwrap(), BLOB);
    let error = push(&client, &node).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { failure: Failure::Name, .. }), "never to a mirror: {error}");
}

/// Plays a mirror or a registry that has one manifest and one blob for whoever asks.
fn holding(asked: &harness::misbehaving::Asked) -> Answer {
    match asked.target.contains("/manifests/") {
        true => Answer::new(200).header("Content-Type", media_type::MANIFEST).body(manifest()),
        false => Answer::new(200).body(BLOB),
    }
}

#[tokio::test]
async fn what_mirrors_are_asked_for_and_never_shown() {
    let (plain, prefixed, own) =
        (Misbehaving::start(|_| Answer::new(404)), Misbehaving::start(holding), Misbehaving::start(holding));
    let dir = TempDir::new().unwrap();
    let settings =
        format!("[registry.\"{}\"]\nmirrors = [\"{}\", \"{}/proxy/hub\"]", own.host(), plain.host(), prefixed.host());
    let given = GivenCredentials::of(&own.host().parse().unwrap(), "anna", Secret::new("secret"));
    let client = Client::new(ClientOptions { given_credentials: given, ..options(dir.path(), &settings) }).unwrap();
    let repository = repository(&own.host(), "acme/api");
    client.manifest(&repository.with_tag("1").unwrap(), &[media_type::MANIFEST]).await.unwrap();
    pull(&client, &repository).await.unwrap();
    let namespace = own.host().replace(':', "%3A");
    let digest = Digest::of(BLOB);
    assert_eq!(
        plain.lines(),
        [
            format!("GET /v2/acme/api/manifests/1?ns={namespace}"),
            format!("GET /v2/acme/api/blobs/{digest}?ns={namespace}")
        ]
    );
    let expected =
        ["GET /v2/proxy/hub/acme/api/manifests/1".to_owned(), format!("GET /v2/proxy/hub/acme/api/blobs/{digest}")];
    assert_eq!(prefixed.lines(), expected);
    assert_eq!(own.lines(), [""; 0]);

    // What is pushed to is asked itself: a mirror may be behind.
    client.head_manifest(&repository.with_tag("1").unwrap(), &[media_type::MANIFEST]).await.unwrap();
    client.has_blob(&repository, &Descriptor::of("x", BLOB)).await.unwrap();
    assert_eq!((plain.lines().len(), prefixed.lines().len()), (2, 2));
    assert!(!own.lines().is_empty());
}

#[tokio::test]
async fn a_mirror_that_wants_a_password_does_not_get_the_registrys() {
    let mirror = Misbehaving::start(|_| Answer::new(401).header("WWW-Authenticate", "Basic realm=\"m\""));
    let own = Misbehaving::start(|asked| match asked.header("authorization") {
        "" => Answer::new(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        _ => holding(asked),
    });
    let dir = TempDir::new().unwrap();
    let settings = format!("[registry.\"{}\"]\nmirrors = [\"{}\"]", own.host(), mirror.host());
    let given = GivenCredentials::of(&own.host().parse().unwrap(), "anna", Secret::new("secret"));
    let client = Client::new(ClientOptions { given_credentials: given, ..options(dir.path(), &settings) }).unwrap();
    let repository = repository(&own.host(), "acme/api");
    assert_eq!(pull(&client, &repository).await.unwrap(), BLOB);
    assert_eq!(pull(&client, &repository).await.unwrap(), BLOB);
    assert!(mirror.asked().iter().all(|asked| asked.header("authorization").is_empty()));
    assert_eq!(mirror.asked().len(), 1, "a mirror that failed is not asked again");
}

#[tokio::test]
async fn a_download_from_a_mirror_goes_on_in_the_registry() {
    let mirror = Misbehaving::start(|_| Answer::new(200).header("Content-Length", BLOB.len()).body(&BLOB[..7]));
    let own = Misbehaving::start(|asked| match asked.header("range") {
        "bytes=7-" => Answer::new(206)
            .header("Content-Range", format!("bytes 7-{}/{}", BLOB.len() - 1, BLOB.len()))
            .body(&BLOB[7..]),
        _ => Answer::new(500),
    });
    let dir = TempDir::new().unwrap();
    let settings = format!("[registry.\"{}\"]\nmirrors = [\"{}\"]", own.host(), mirror.host());
    let pulled = pull(&client(dir.path(), &settings), &repository(&own.host(), "a")).await.unwrap();
    assert_eq!(pulled, BLOB);
}

fn tokens_client(dir: &Path, host: &str, password: &str) -> Client {
    let given_credentials = GivenCredentials::of(&host.parse().unwrap(), "anna", Secret::new(password));
    Client::new(ClientOptions { given_credentials, ..options(dir, "") }).unwrap()
}

#[tokio::test]
async fn tokens_of_a_real_registry() {
    for ahead in [0, 300, -300] {
        let tokens = TokenServer::start(ahead);
        let Some(registry) = Registry::start_with_tokens(&tokens) else { return };
        let (dir, host) = (TempDir::new().unwrap(), registry.host());
        let (a, b) = (repository(host, "acme/a"), repository(host, "acme/b"));
        let anna = tokens_client(dir.path(), host, "secret");
        push(&anna, &a).await.unwrap();
        push(&anna, &b).await.unwrap();
        assert_eq!(tokens.scopes(), [["repository:acme/a:pull,push"], ["repository:acme/b:pull,push"]], "{ahead}");
        assert_eq!(pull(&client(dir.path(), ""), &a).await.unwrap(), BLOB, "{ahead}");

        let error = push(&client(dir.path(), ""), &repository(host, "acme/c")).await.unwrap_err();
        assert!(matches!(error, RegistryError::CredentialsMissing { .. }), "{error}");
        let error = push(&tokens_client(dir.path(), host, "s3cr3t"), &a).await.unwrap_err();
        assert!(matches!(error, RegistryError::CredentialsRefused { .. }), "{error}");
        assert!(!format!("{error} {error:?}").contains("s3cr3t"));
    }
}

#[tokio::test]
async fn a_token_of_a_real_registry_that_has_ended_is_renewed() {
    let tokens = TokenServer::start(0);
    let Some(registry) = Registry::start_with_tokens(&tokens) else { return };
    let (dir, host) = (TempDir::new().unwrap(), registry.host());
    let anna = tokens_client(dir.path(), host, "secret");
    // The first token is over when it comes, though it says that it lives five minutes.
    tokens.late.store(3600, Ordering::SeqCst);
    push(&anna, &repository(host, "acme/a")).await.unwrap();
    assert_eq!(tokens.scopes().len(), 2);
}

#[tokio::test]
async fn a_scope_that_the_registry_wants_besides() {
    let server = Misbehaving::start(|asked| {
        let host = asked.header("host");
        let challenge = |scope: &str| format!("Bearer realm=\"http://{host}/token\",service=\"s\",scope=\"{scope}\"");
        if let Some(query) = asked.target.strip_prefix("/token?") {
            return Answer::new(200).body(format!(r#"{{"token":"{}"}}"#, query.matches("scope=").count()));
        }
        match asked.header("authorization") {
            "" => Answer::new(401).header("WWW-Authenticate", challenge("repository:a:pull")),
            "Bearer 1" => {
                let scope =
                    format!("{},error=\"insufficient_scope\"", challenge("repository:a:pull repository:up/a:pull"));
                Answer::new(403).header("WWW-Authenticate", scope)
            }
            _ => Answer::new(200).body(BLOB),
        }
    });
    let dir = TempDir::new().unwrap();
    let client = client(dir.path(), "");
    for _ in 0..2 {
        assert_eq!(pull(&client, &repository(&server.host(), "a")).await.unwrap(), BLOB);
    }
    let asked: Vec<_> = server.lines().into_iter().filter(|line| line.contains("/token")).collect();
    let first = "GET /token?service=s&scope=repository%3Aa%3Apull";
    assert_eq!(asked, [first.to_owned(), format!("{first}&scope=repository%3Aup%2Fa%3Apull")]);
}

#[tokio::test]
async fn a_403_that_names_what_we_have_is_final() {
    let server = Misbehaving::start(|asked| {
        let challenge = format!("Bearer realm=\"http://{}/token\",scope=\"repository:a:pull\"", asked.header("host"));
        match (asked.target.starts_with("/token"), asked.header("authorization")) {
            (true, _) => Answer::new(200).body(r#"{"token":"t"}"#),
            (false, "") => Answer::new(401).header("WWW-Authenticate", challenge),
            (false, _) => Answer::new(403).header("WWW-Authenticate", challenge),
        }
    });
    let dir = TempDir::new().unwrap();
    let error = pull(&client(dir.path(), ""), &repository(&server.host(), "a")).await.unwrap_err();
    assert!(matches!(error, RegistryError::Denied(_)), "{error}");
    assert_eq!(server.lines().len(), 3);
}

#[tokio::test]
async fn a_host_that_is_led_to_and_challenges_gets_a_token_for_nobody() {
    let storage = Misbehaving::start(|asked| {
        let challenge = format!("Bearer realm=\"http://{}/token\",scope=\"repository:x:pull\"", asked.header("host"));
        match (asked.target.starts_with("/token"), asked.header("authorization")) {
            (true, _) => Answer::new(200).body(r#"{"token":"nobody"}"#),
            (false, "Bearer nobody") => Answer::new(200).body(BLOB),
            (false, _) => Answer::new(401).header("WWW-Authenticate", challenge),
        }
    });
    let place = format!("http://{}/blob", storage.host());
    let server = Misbehaving::start(move |asked| match asked.header("authorization") {
        "" => Answer::new(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        _ => Answer::new(307).header("Location", &place),
    });
    let dir = TempDir::new().unwrap();
    let client = tokens_client(dir.path(), &server.host(), "secret");
    assert_eq!(pull(&client, &repository(&server.host(), "a")).await.unwrap(), BLOB);
    let shown: Vec<_> = storage.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect();
    assert_eq!(shown, ["", "", "Bearer nobody"]);
    assert_eq!(storage.lines()[1], "GET /token?scope=repository%3Ax%3Apull");
}

#[tokio::test]
async fn an_identity_token_goes_by_post_or_as_a_password() {
    for by_post in [true, false] {
        let server = Misbehaving::start(move |asked| {
            let token = Answer::new(200).body(r#"{"access_token":"t"}"#);
            match (asked.target.starts_with("/token"), asked.method.as_str(), asked.header("authorization")) {
                (true, "POST", _) if by_post => token,
                (true, "POST", _) => Answer::new(405),
                // <token>:refresh
                (true, _, "Basic PHRva2VuPjpyZWZyZXNo") => token,
                (false, _, "Bearer t") => Answer::new(200).body(BLOB),
                _ => Answer::new(401)
                    .header("WWW-Authenticate", format!("Bearer realm=\"http://{}/token\"", asked.header("host"))),
            }
        });
        let given_credentials =
            GivenCredentials::of(&server.host().parse().unwrap(), "<token>", Secret::new("refresh"));
        let dir = TempDir::new().unwrap();
        let client = Client::new(ClientOptions { given_credentials, ..options(dir.path(), "") }).unwrap();
        assert_eq!(pull(&client, &repository(&server.host(), "a")).await.unwrap(), BLOB);
        let post = server.asked().into_iter().find(|asked| asked.method == "POST").unwrap();
        let form = String::from_utf8(post.body).unwrap();
        assert!(form.starts_with("grant_type=refresh_token&") && form.ends_with("&refresh_token=refresh"), "{form}");
    }
}

#[tokio::test]
async fn to_ask_whether_one_may_push_leaves_nothing_behind() {
    let registry = PlayedRegistry::start(Profile::named("usual"));
    let dir = TempDir::new().unwrap();
    let client = client(dir.path(), "");
    let (a, b) = (repository(&registry.server.host(), "a"), repository(&registry.server.host(), "b"));
    for repository in [&a, &b] {
        client.ask_to_push(repository).await.unwrap();
    }
    push(&client, &a).await.unwrap();
    client.end_spare_uploads().await;
    assert_eq!(registry.uploads(), ["POST", "POST", "PUT 19", "DELETE"]);
    assert_eq!(registry.state().sessions.open.len(), 0);
}

#[tokio::test]
async fn a_tag_that_is_kept() {
    let refusal = r#"{"errors":[{"code":"TAG_INVALID","message":"The image tag '1' already exists in the 'a' repository and cannot be overwritten because the repository is immutable."}]}"#;
    for (comment, there, same) in [("this image", manifest(), true), ("another", b"{}".to_vec(), false)] {
        let server = Misbehaving::start(move |asked| match asked.method.as_str() {
            "PUT" => Answer::new(400).body(refusal),
            _ => Answer::new(200)
                .header("Content-Type", media_type::MANIFEST)
                .header("Docker-Content-Digest", Digest::of(&there))
                .body(there.clone()),
        });
        let dir = TempDir::new().unwrap();
        let reference = repository(&server.host(), "a").with_tag("1").unwrap();
        let pushed = client(dir.path(), "").push_manifest(&reference, media_type::MANIFEST, manifest()).await;
        match pushed {
            Ok(digest) => assert!(same && digest == Digest::of(&manifest()), "{comment}"),
            Err(error) => assert!(!same && matches!(error, RegistryError::ImmutableTag { .. }), "{comment}: {error}"),
        }
    }
}

/// One compiled service.
const SHOP: [(&str, &str); 3] = [
    ("package.json", r#"{"name": "shop", "private": true, "workspaces": ["apps/*"]}"#),
    ("apps/web/package.json", r#"{"name": "web", "version": "1.0.0", "scripts": {"start": "node dist/main.js"}}"#),
    ("apps/web/dist/main.js", "console.log('up');\n"),
];

fn shop() -> TestWorkspace {
    TestWorkspace::new(&SHOP)
}

/// A build of the shop to `destination`, with these variables.
fn build(workspace: &TestWorkspace, destination: &str, variables: &[(&str, &str)]) -> Run {
    let base = format!("oci:{BASE}:20-alpine");
    let mut command = workspace.pirogue(&["build", "--base", &base, "--platform", "linux/amd64", "--to", destination]);
    command.envs(variables.iter().copied());
    workspace.told(&command.output().unwrap())
}

#[test]
fn through_a_proxy() {
    let ca = Ca::new();
    let Some(plain) = Registry::start() else { return };
    let Some(secure) = Registry::start_under(&ca, &["secure.test"], false) else { return };
    let (to_plain, to_secure) = (ForwardProxy::start(plain.host()), ForwardProxy::start(secure.host()));
    let shop = shop();
    let settings = shop.beside("registries.toml");
    fs::write(shop.beside("ca.pem"), ca.pem()).unwrap();
    let text = "[registry.\"plain.test\"]\ntls = \"none\"\n[registry.\"secure.test\"]\nca = \"ca.pem\"\n";
    fs::write(&settings, text).unwrap();
    let variables = [
        ("PIROGUE_REGISTRIES", settings.to_str().unwrap()),
        ("HTTP_PROXY", &to_plain.url()),
        ("HTTPS_PROXY", &to_secure.url()),
    ];
    for (destination, proxy, line) in [
        ("plain.test/shop", &to_plain, "POST http://plain.test/v2/shop/web/blobs/uploads/ HTTP/1.1"),
        ("secure.test/shop", &to_secure, "CONNECT secure.test:443 HTTP/1.1"),
    ] {
        let run = build(&shop, destination, &variables);
        assert_eq!(run.code, Some(0), "{run}");
        assert!(proxy.asked().iter().any(|asked| asked == line), "{:?}", proxy.asked());
    }
    let without = [variables[0], variables[1], ("NO_PROXY", "plain.test")];
    let run = build(&shop, "plain.test/shop", &without);
    assert!(run.stderr.contains("error: cannot talk to the registry") && run.stderr.contains("plain.test"), "{run}");
}

#[test]
fn a_name_that_leads_nowhere() {
    let run = build(&shop(), "registry.invalid/shop", &[]);
    let reason =
        run.stderr.split_once("registry (").and_then(|(_, rest)| rest.split_once("): `")).unwrap().0.to_owned();
    assert_snapshot!(run.replaced(&reason, "[REASON]"), @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    error: cannot talk to the registry ([REASON]): `POST https://registry.invalid/v2/shop/web/blobs/uploads/`
    hint: check the host's spelling, and DNS
    ");
}

#[test]
fn variables_hold_credentials_for_the_registry_that_is_pushed_to() {
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let (shop, to) = (shop(), format!("{}/shop", registry.host()));
    let user = ("PIROGUE_REGISTRY_USER", "anna");
    let run = build(&shop, &to, &[user, ("PIROGUE_REGISTRY_PASSWORD", "secret")]);
    assert_eq!(run.code, Some(0), "{run}");

    let end = registry.host().replace(['.', ':'], "_");
    let (own_user, own_password) = (format!("PIROGUE_REGISTRY_USER_{end}"), format!("PIROGUE_REGISTRY_PASSWORD_{end}"));
    let wrong = [user, ("PIROGUE_REGISTRY_PASSWORD", "secret"), (&own_user, "anna"), (&own_password, "s3cr3t")];
    let run = build(&shop, &to, &wrong).replaced(registry.host(), "[HOST]").replaced(&end, "[END]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the registry `[HOST]` does not accept the credentials, status 401: `HEAD http://[HOST]/v2/shop/web/manifests/latest`
    hint: the password may have expired: log in again with `pirogue login [HOST] --user NAME`; what is in PIROGUE_REGISTRY_USER_[END] and PIROGUE_REGISTRY_PASSWORD_[END] comes first
    ");

    let run = build(&shop, &to, &[user]).replaced(registry.host(), "[HOST]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the registry `[HOST]` wants credentials, and there are none for it, status 401: `HEAD http://[HOST]/v2/shop/web/manifests/latest`
    hint: PIROGUE_REGISTRY_USER is set, and PIROGUE_REGISTRY_PASSWORD is not
    ");
    let run = build(&shop, &to, &[]).replaced(registry.host(), "[HOST]").replaced(&end, "[END]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    error: the registry `[HOST]` wants credentials, and there are none for it, status 401: `HEAD http://[HOST]/v2/shop/web/manifests/latest`
    hint: log in with `pirogue login [HOST] --user NAME` (or with docker or podman), or set PIROGUE_REGISTRY_USER_[END] and PIROGUE_REGISTRY_PASSWORD_[END]
    ");
}

#[test]
fn variables_of_the_target_are_not_shown_to_the_base() {
    let base = Misbehaving::start(|_| Answer::new(401).header("WWW-Authenticate", "Basic realm=\"b\""));
    let (shop, name) = (shop(), format!("{}/node:20", base.host()));
    let mut command = shop.pirogue(&["build", "--base", &name, "--to", "registry.invalid/shop"]);
    command.env("PIROGUE_REGISTRY_USER", "anna").env("PIROGUE_REGISTRY_PASSWORD", "secret");
    let run = shop.told(&command.output().unwrap());
    assert!(run.stderr.contains("wants credentials, and there are none for it"), "{run}");
    assert!(!base.asked().is_empty() && base.asked().iter().all(|asked| asked.header("authorization").is_empty()));
}

#[test]
fn a_missing_helper_is_named() {
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let shop = shop();
    let config = format!(r#"{{"credHelpers": {{"{}": "ecr-login"}}}}"#, registry.host());
    fs::create_dir_all(shop.beside("home/.docker")).unwrap();
    fs::write(shop.beside("home/.docker/config.json"), config).unwrap();
    let run = build(&shop, &format!("{}/shop", registry.host()), &[]).replaced(registry.host(), "[HOST]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    error: the registry `[HOST]` wants credentials, and there are none for it, status 401 `UNAUTHORIZED` (authentication required): `POST http://[HOST]/v2/shop/web/blobs/uploads/`
    hint: the credential helper is not installed (it is part of amazon-ecr-credential-helper): `docker-credential-ecr-login`
    ");
}

#[test]
fn who_may_not_push_hears_it_before_anything_is_packed() {
    let registry = Misbehaving::start(|asked| match asked.method.as_str() {
        "POST" => Answer::new(403).body(r#"{"errors": [{"code": "DENIED", "message": "you may only look"}]}"#),
        _ => Answer::new(404),
    });
    let run = build(&shop(), &format!("{}/shop", registry.host()), &[]).replaced(&registry.host(), "[HOST]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    error: the registry denies access, status 403 `DENIED` (you may only look): `POST http://[HOST]/v2/shop/web/blobs/uploads/`
    hint: ask for the right to push to (or pull from) this repository
    ");
    assert_eq!(registry.lines(), ["POST /v2/shop/web/blobs/uploads/"]);
}

#[test]
fn a_tag_that_is_kept_has_an_error_of_its_own() {
    let refusal = r#"{"errors":[{"code":"PRECONDITION","message":"web:latest is configured as immutable"}]}"#;
    let registry =
        Misbehaving::start(move |asked| match (asked.method.as_str(), asked.target.contains("/manifests/")) {
            ("PUT", true) => Answer::new(412).body(refusal),
            (_, true) => Answer::new(200).header("Content-Type", media_type::MANIFEST).body("{}"),
            ("POST", _) => Answer::new(202).header("Location", "/v2/shop/web/blobs/uploads/1"),
            _ => Answer::new(200),
        });
    let run = build(&shop(), &format!("{}/shop", registry.host()), &[]).replaced(&registry.host(), "[HOST]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    packing 2 of 2 layers
    pushing [HOST]/shop/web:latest
    error: the registry keeps the tag `latest`, which names another image, status 412 `PRECONDITION` (web:latest is configured as immutable): `PUT http://[HOST]/v2/shop/web/manifests/latest`
    hint: push under a new tag (`--tag`), or let the registry's repository change its tags
    ");
    assert_eq!(registry.lines().last().unwrap(), "DELETE /v2/shop/web/blobs/uploads/1", "nothing stays open");
}

#[test]
fn a_registry_that_leads_to_no_safe_place() {
    let registry = Misbehaving::start(|_| Answer::new(202).header("Location", "file:///etc/passwd?secret=1"));
    let run = build(&shop(), &format!("{}/shop", registry.host()), &[]).replaced(&registry.host(), "[HOST]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    error: the registry leads to an unsafe address: `file:///etc/passwd?secret=***`
    hint: name the registry by the address that it leads to, if that is trusted; pirogue follows nobody into a private network or away from TLS
    ");
}

#[test]
fn settings_of_registries_that_are_wrong() {
    let shop = shop();
    let settings = shop.beside("registries.toml");
    let variables = [("PIROGUE_REGISTRIES", settings.to_str().unwrap())];
    assert_snapshot!(build(&shop, "registry.invalid/shop", &variables), @"
    exit code: 1
    ----- stderr
    error: cannot read the settings of registries (No such file or directory (os error 2)): `[DIR]/registries.toml`
    hint: PIROGUE_REGISTRIES names the file; without it there need not be one
    ");
    fs::write(&settings, "[registry.\"docker.io\"]\nmirror = [\"mirror.gcr.io\"]\n").unwrap();
    assert_snapshot!(build(&shop, "registry.invalid/shop", &variables), @"
    exit code: 1
    ----- stderr
    error: there is no setting `registry.docker.io.mirror`: `[DIR]/registries.toml:2:1`
    hint: did you mean `mirrors`?
    ");
}

#[test]
fn an_image_that_is_there_costs_one_request() {
    let Some(registry) = Registry::start() else { return };
    let host = registry.host().to_owned();
    let front = harness::proxy::with_limit(&host, usize::MAX);
    let (shop, to) = (shop(), format!("{}/shop", front.host()));
    assert_eq!(build(&shop, &to, &[]).code, Some(0));
    let methods: Vec<_> = front.asked().iter().map(|asked| asked.method.clone()).collect();
    assert_eq!(methods.first().map(String::as_str), Some("POST"), "whether one may push is asked first");
    let (posts, puts) = (count(&methods, "POST"), count(&methods, "PUT"));
    // Each upload that was opened became a blob; the manifest is put besides.
    assert_eq!((posts + 1, count(&methods, "DELETE")), (puts, 0), "{methods:?}");
    assert_eq!(build(&shop, &to, &[]).code, Some(0));
    assert_eq!(front.lines()[methods.len()..], ["HEAD /v2/shop/web/manifests/latest"]);
}

fn count(methods: &[String], wanted: &str) -> usize {
    methods.iter().filter(|method| *method == wanted).count()
}

#[test]
fn a_registrys_warning_is_shown_once() {
    let registry = Misbehaving::start(|_| {
        Answer::new(404)
            .header("Warning", "299 - \"this registry is read-only from Monday\"")
            .header("Warning", "110 - \"stale\"")
    });
    let run = build(&shop(), &format!("{}/shop", registry.host()), &[]).replaced(&registry.host(), "[HOST]");
    assert_snapshot!(run, @"
    exit code: 1
    ----- stderr
    computing dependency closures
    resolving the base oci:[BASE]:20-alpine
    planning layers
    asking whether pushing is allowed
    warning: the registry [HOST] says: this registry is read-only from Monday
    error: the registry does not have it, status 404: `POST http://[HOST]/v2/shop/web/blobs/uploads/`
    ");
}
