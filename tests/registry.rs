//! The registry client against a real registry, and against one that plays the quirks of others.

mod harness;

use std::fs;
use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::blob::Blob;
use harness::misbehaving::{Answer, Asked, Misbehaving};
use harness::registry::Registry;
use pirogue::digest::Digest;
use pirogue::manifest::{Descriptor, media_type};
use pirogue::registry::{
    Client, ClientOptions, CredentialFiles, Failure, Offer, Reference, RegistryError, Repository, RetryPolicy,
};
use tempfile::TempDir;

const OCTETS: &str = "application/octet-stream";

fn options() -> ClientOptions {
    let retry = RetryPolicy { attempts: 4, first_wait: Duration::from_millis(5), longest_wait: Duration::from_secs(3) };
    // With one place, a call that holds it while it asks for another would hang, and the test with it.
    ClientOptions { retry, concurrency: NonZero::new(1), ..ClientOptions::default() }
}

fn client() -> Client {
    Client::new(options()).unwrap()
}

/// A client that finds one user's password for `host` in a `config.json`.
fn client_of(folder: &TempDir, host: &str, user: &str, password: &str) -> Client {
    let path = folder.path().join("config.json");
    let config = format!(r#"{{"auths": {{"{host}": {{"username": "{user}", "password": "{password}"}}}}}}"#);
    fs::write(&path, config).unwrap();
    let credentials = CredentialFiles { docker_config: Some(path), auth_file: None };
    Client::new(ClientOptions { credentials, ..options() }).unwrap()
}

fn repository(host: &str, name: &str) -> Repository {
    format!("{host}/{name}").parse().unwrap()
}

/// Holds the compiler to it that a call can be awaited on any thread.
fn movable<T: Send>(call: T) -> T {
    call
}

/// How a blob came to be in a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Pushed {
    AlreadyThere,
    Mounted,
    Uploaded,
}

impl Blob {
    async fn push(&self, client: &Client, to: &Repository, from: Option<&Repository>) -> Result<Pushed, RegistryError> {
        let told = AtomicU64::new(0);
        let on_bytes = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        let pushed = match movable(client.offer_blob(to, &self.descriptor, from)).await? {
            Offer::AlreadyThere => Pushed::AlreadyThere,
            Offer::Mounted => Pushed::Mounted,
            Offer::Wanted(session) => {
                movable(client.send_blob(to, &self.descriptor, &self.path, session, &on_bytes)).await?;
                Pushed::Uploaded
            }
        };
        let expected = if pushed == Pushed::Uploaded { self.descriptor.size } else { 0 };
        assert_eq!(told.into_inner(), expected, "what is told adds up");
        Ok(pushed)
    }

    async fn pull(&self, client: &Client, from: &Repository) -> Result<Vec<u8>, RegistryError> {
        let told = AtomicU64::new(0);
        let on_bytes = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        let mut bytes = Vec::new();
        movable(client.blob(from, &self.descriptor, &mut bytes, &on_bytes)).await?;
        assert_eq!(told.into_inner(), self.descriptor.size, "what is told adds up");
        Ok(bytes)
    }
}

#[tokio::test]
async fn what_is_pushed_comes_back() {
    let Some(registry) = Registry::start() else { return };
    let (client, repository) = (client(), repository(registry.host(), "acme/api"));
    let blob = Blob::new(3_000_000);
    assert!(!client.has_blob(&repository, &blob.descriptor).await.unwrap());
    assert_eq!(blob.push(&client, &repository, None).await.unwrap(), Pushed::Uploaded);
    assert_eq!(blob.push(&client, &repository, None).await.unwrap(), Pushed::AlreadyThere);
    assert!(client.has_blob(&repository, &blob.descriptor).await.unwrap());
    assert!(blob.pull(&client, &repository).await.unwrap() == blob.bytes);

    let empty = Blob::new(0);
    empty.push(&client, &repository, None).await.unwrap();
    assert_eq!(empty.pull(&client, &repository).await.unwrap(), b"");

    let manifest = image_manifest(&blob.descriptor);
    let reference = repository.with_tag("1.0").unwrap();
    assert_eq!(client.head_manifest(&reference, &[media_type::MANIFEST]).await.unwrap(), None);
    let digest = client.push_manifest(&reference, media_type::MANIFEST, manifest.clone()).await.unwrap();
    let pinned = repository.with_digest(digest);
    for reference in [&reference, &pinned, &reference.with_digest(digest)] {
        let pulled = client.manifest(reference, &[media_type::MANIFEST, media_type::INDEX]).await.unwrap();
        assert_eq!(pulled.bytes, manifest, "{reference}");
        assert_eq!(pulled.descriptor, Descriptor::of(media_type::MANIFEST, &manifest), "{reference}");
        let seen = client.head_manifest(reference, &[media_type::MANIFEST]).await.unwrap();
        assert_eq!(seen, Some(pulled.descriptor), "{reference}");
    }
}

fn image_manifest(blob: &Descriptor) -> Vec<u8> {
    let descriptor = |kind| format!(r#"{{"mediaType":"{kind}","digest":"{}","size":{}}}"#, blob.digest, blob.size);
    let (config, layer) = (descriptor(media_type::CONFIG), descriptor(media_type::LAYER_GZIP));
    let kind = media_type::MANIFEST;
    format!(r#"{{"schemaVersion":2,"mediaType":"{kind}","config":{config},"layers":[{layer}]}}"#).into_bytes()
}

#[tokio::test]
async fn a_blob_is_mounted_from_another_repository() {
    let Some(registry) = Registry::start() else { return };
    let (client, blob) = (client(), Blob::new(5000));
    let (a, b) = (repository(registry.host(), "acme/a"), repository(registry.host(), "acme/b"));
    blob.push(&client, &a, None).await.unwrap();
    assert_eq!(blob.push(&client, &b, Some(&a)).await.unwrap(), Pushed::Mounted);
    assert_eq!(blob.pull(&client, &b).await.unwrap(), blob.bytes);
    let c = repository(registry.host(), "acme/c");
    let elsewhere = repository("localhost:1", "acme/a");
    assert_eq!(blob.push(&client, &c, Some(&elsewhere)).await.unwrap(), Pushed::Uploaded, "not of another registry");
}

#[tokio::test]
async fn a_wrong_digest_is_refused() {
    let Some(registry) = Registry::start() else { return };
    let (client, repository) = (client(), repository(registry.host(), "acme/api"));
    let mut blob = Blob::new(5000);
    blob.descriptor.digest = Digest::of(b"something else");
    let error = blob.push(&client, &repository, None).await.unwrap_err();
    assert!(error.exchange().is_some_and(|exchange| exchange.has_code("DIGEST_INVALID")), "{error}");
    assert!(!error.is_temporary());

    let mut blob = Blob::new(5000);
    blob.descriptor.size = 4999;
    let error = blob.push(&client, &repository, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::Source { .. }), "{error}");
}

#[tokio::test]
async fn passwords_right_wrong_and_none() {
    let Some(registry) = Registry::start_with_htpasswd("anna", "secret") else { return };
    let (folder, blob) = (TempDir::new().unwrap(), Blob::new(5000));
    let repository = repository(registry.host(), "acme/api");
    let right = client_of(&folder, registry.host(), "anna", "secret");
    assert_eq!(blob.push(&right, &repository, None).await.unwrap(), Pushed::Uploaded);
    assert_eq!(blob.pull(&right, &repository).await.unwrap(), blob.bytes);

    let wrong = client_of(&folder, registry.host(), "anna", "s3cr3t");
    let error = blob.push(&wrong, &repository, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::CredentialsRefused { .. }), "{error}");
    assert!(!format!("{error} {error:?}").contains("s3cr3t"));

    let error = blob.pull(&client(), &repository).await.unwrap_err();
    assert!(matches!(error, RegistryError::CredentialsMissing { .. }), "{error}");
    assert!(error.hint().is_some_and(|hint| hint.contains("pirogue login")));
}

#[tokio::test]
async fn a_host_where_nobody_listens() {
    let error = Blob::new(1).pull(&client(), &repository("127.0.0.1:1", "a")).await.unwrap_err();
    assert!(error.is_temporary());
    assert_eq!(error.hint().as_deref(), Some("is the registry running, and the port right?"));
    assert!(error.to_string().contains("Connection refused"), "{error}");
}

#[tokio::test]
async fn tls_with_a_ca_of_ones_own_behind_redirects() {
    let Some((registry, certificate)) = Registry::start_with_tls() else { return };
    let place = format!("https://{}", registry.host());
    let front = Misbehaving::start(move |asked| Answer::new(308).header("Location", place.clone() + &asked.target));
    let (repository, blob) = (repository(&front.host(), "acme/api"), Blob::new(3_000_000));
    let trusting = Client::new(ClientOptions { extra_roots: vec![certificate], ..options() }).unwrap();
    assert_eq!(blob.push(&trusting, &repository, None).await.unwrap(), Pushed::Uploaded);
    assert!(blob.pull(&trusting, &repository).await.unwrap() == blob.bytes);

    let error = blob.pull(&client(), &repository).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { failure: Failure::Tls, .. }), "{error}");
    assert!(!error.is_temporary());
}

/// Plays a registry that has nothing and takes blobs the usual way.
fn usual(asked: &Asked) -> Answer {
    match asked.method.as_str() {
        "POST" => Answer::new(202).header("Location", "/v2/a/blobs/uploads/1?_state=x%2Fy"),
        "PATCH" => Answer::new(202).header("Location", "/v2/a/blobs/uploads/1?_state=z"),
        "PUT" => Answer::new(201),
        _ => Answer::new(404),
    }
}

#[tokio::test]
async fn mount_202_opens_the_session_that_is_used() {
    let server = Misbehaving::start(usual);
    let (a, b, blob) = (repository(&server.host(), "a"), repository(&server.host(), "b"), Blob::new(70_000));
    assert_eq!(blob.push(&client(), &a, Some(&b)).await.unwrap(), Pushed::Uploaded);
    let (digest, hex) = (blob.descriptor.digest, blob.descriptor.digest.hex());
    let expected = [
        format!("HEAD /v2/a/blobs/{digest}"),
        format!("POST /v2/a/blobs/uploads/?mount=sha256%3A{hex}&from=b"),
        format!("PUT /v2/a/blobs/uploads/1?_state=x%2Fy&digest=sha256%3A{hex}"),
    ];
    assert_eq!(server.lines(), expected);
    let put = &server.asked()[2];
    assert!(put.body == blob.bytes);
    assert_eq!(put.header("content-type"), OCTETS);
    assert_eq!(put.header("accept-encoding"), "identity");
    assert_eq!(put.header("content-length"), "70000");
}

#[tokio::test]
async fn a_refused_mount_is_not_tried_again() {
    let server = Misbehaving::start(|asked| match asked.target.contains("mount=") {
        true => Answer::new(500),
        false => usual(asked),
    });
    let (a, b, client) = (repository(&server.host(), "a"), repository(&server.host(), "b"), client());
    for size in [10, 20] {
        assert_eq!(Blob::new(size).push(&client, &a, Some(&b)).await.unwrap(), Pushed::Uploaded);
    }
    assert_eq!(server.lines().iter().filter(|line| line.contains("mount=")).count(), 1);
}

#[tokio::test]
async fn a_location_relative_to_the_request() {
    let server = Misbehaving::start(|asked| match asked.method.as_str() {
        "POST" => Answer::new(202).header("Location", "7"),
        _ => usual(asked),
    });
    let blob = Blob::new(10);
    blob.push(&client(), &repository(&server.host(), "a"), None).await.unwrap();
    let expected = format!("PUT /v2/a/blobs/uploads/7?digest=sha256%3A{}", blob.descriptor.digest.hex());
    assert_eq!(server.lines().last(), Some(&expected));
}

#[tokio::test]
async fn a_location_on_another_host_gets_no_authorization() {
    let storage = Misbehaving::start(usual);
    let place = format!("http://{}/bucket/1?sig=s", storage.host());
    let server = Misbehaving::start(move |asked| match (asked.header("authorization"), asked.method.as_str()) {
        ("", _) => Answer::new(401).header("WWW-Authenticate", "Basic realm=\"r\""),
        (_, "POST") => Answer::new(202).header("Location", &place),
        _ => usual(asked),
    });
    let folder = TempDir::new().unwrap();
    let client = client_of(&folder, &server.host(), "anna", "secret");
    Blob::new(10).push(&client, &repository(&server.host(), "a"), None).await.unwrap();
    assert_eq!(storage.asked().len(), 1);
    assert_eq!(storage.asked()[0].header("authorization"), "");
    assert!(server.asked().iter().any(|asked| asked.header("authorization").starts_with("Basic ")));
}

#[tokio::test]
async fn a_put_refused_becomes_patch_and_put() {
    let server = Misbehaving::start(|asked| match asked.method.as_str() {
        "PUT" if !asked.body.is_empty() => Answer::new(404).body(r#"{"errors":[{"code":"BLOB_UNKNOWN"}]}"#),
        _ => usual(asked),
    });
    let (a, client) = (repository(&server.host(), "a"), client());
    let blob = Blob::new(70_000);
    blob.push(&client, &a, None).await.unwrap();
    let methods = |server: &Misbehaving| server.asked().iter().map(|asked| asked.method.clone()).collect::<Vec<_>>();
    assert_eq!(methods(&server), ["HEAD", "POST", "PUT", "DELETE", "POST", "PATCH", "PUT"]);
    assert!(server.asked()[5].body == blob.bytes);
    assert!(server.lines()[6].contains("?_state=z&digest="), "the last Location counts");

    Blob::new(10).push(&client, &a, None).await.unwrap();
    assert_eq!(methods(&server)[7..], ["HEAD", "POST", "PATCH", "PUT"], "what was learned is used");
}

#[tokio::test]
async fn a_put_cut_off_is_repeated_in_a_new_session() {
    let (opened, cut) = (AtomicU64::new(0), AtomicU64::new(0));
    let server = Misbehaving::start(move |asked| match asked.method.as_str() {
        "POST" => Answer::new(202).header("Location", format!("/up/{}", opened.fetch_add(1, Ordering::SeqCst))),
        "PUT" if cut.fetch_add(1, Ordering::SeqCst) == 0 => Answer::none(),
        _ => usual(asked),
    });
    let blob = Blob::new(70_000);
    blob.push(&client(), &repository(&server.host(), "a"), None).await.unwrap();
    let puts: Vec<_> = server.asked().into_iter().filter(|asked| asked.method == "PUT").collect();
    assert_eq!(puts.len(), 2);
    assert!(puts[0].target.starts_with("/up/0?") && puts[1].target.starts_with("/up/1?"));
    assert!(puts[1].body == blob.bytes, "the body is sent again whole");
}

#[tokio::test]
async fn a_mount_cut_off_becomes_an_upload() {
    let server = Misbehaving::start(|asked| match asked.target.contains("mount=") {
        true => Answer::none(),
        false => usual(asked),
    });
    let (a, b) = (repository(&server.host(), "a"), repository(&server.host(), "b"));
    assert_eq!(Blob::new(10).push(&client(), &a, Some(&b)).await.unwrap(), Pushed::Uploaded);
}

#[tokio::test]
async fn a_429_is_waited_for() {
    let failed = AtomicU64::new(0);
    let server = Misbehaving::start(move |_| match failed.fetch_add(1, Ordering::SeqCst) {
        0 => Answer::new(429).header("Retry-After", 1),
        1 => Answer::new(503),
        _ => Answer::new(200),
    });
    let begin = Instant::now();
    let blob = Blob::new(10);
    assert!(client().has_blob(&repository(&server.host(), "a"), &blob.descriptor).await.unwrap());
    assert!(begin.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn a_429_for_too_long_is_told() {
    let server = Misbehaving::start(|_| Answer::new(429).header("Retry-After", 3600));
    let error = Blob::new(10).pull(&client(), &repository(&server.host(), "a")).await.unwrap_err();
    assert!(matches!(error, RegistryError::RateLimited(_)), "{error}");
    assert!(error.is_temporary());
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_truncated_get_is_resumed() {
    let blob = Blob::new(100_000);
    let bytes = blob.bytes.clone();
    let server = Misbehaving::start(move |asked| {
        let start: usize =
            asked.header("range").trim_start_matches("bytes=").trim_end_matches('-').parse().unwrap_or(0);
        let end = bytes.len().min(start + 40_000);
        let answer = Answer::new(if start > 0 { 206 } else { 200 }).header("Content-Length", bytes.len() - start);
        let range = format!("bytes {start}-{}/{}", bytes.len() - 1, bytes.len());
        answer.header("Content-Range", range).body(&bytes[start..end])
    });
    let pulled = blob.pull(&client(), &repository(&server.host(), "a")).await.unwrap();
    assert!(pulled == blob.bytes);
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=40000-", "bytes=80000-"]);
}

#[tokio::test]
async fn a_registry_that_cannot_resume_sends_it_again() {
    let blob = Blob::new(100_000);
    let (bytes, count) = (blob.bytes.clone(), AtomicU64::new(0));
    let server = Misbehaving::start(move |_| {
        let end = if count.fetch_add(1, Ordering::SeqCst) == 0 { 40_000 } else { bytes.len() };
        Answer::new(200).header("Content-Length", bytes.len()).body(&bytes[..end])
    });
    assert!(blob.pull(&client(), &repository(&server.host(), "a")).await.unwrap() == blob.bytes);
}

#[tokio::test]
async fn bytes_that_are_not_the_blob_are_refused() {
    let blob = Blob::new(1000);
    let table = [("other bytes", vec![7; 1000], true), ("too many", vec![7; 1001], false)];
    for (comment, body, wrong_digest) in table {
        let server = Misbehaving::start(move |_| Answer::new(200).body(body.clone()));
        let error = blob.pull(&client(), &repository(&server.host(), "a")).await.unwrap_err();
        assert_eq!(matches!(error, RegistryError::WrongDigest { .. }), wrong_digest, "{comment}: {error}");
        assert_eq!(matches!(error, RegistryError::WrongSize { .. }), !wrong_digest, "{comment}: {error}");
    }
}

/// Plays a registry and its token service in one. A token is good for `life` requests, then the next is needed.
fn token_server(life: u64) -> Misbehaving {
    let (issued, served) = (AtomicU64::new(0), AtomicU64::new(0));
    Misbehaving::start(move |asked| {
        let host = asked.header("host");
        if asked.target.starts_with("/token") {
            let number = issued.fetch_add(1, Ordering::SeqCst) + 1;
            return Answer::new(200).body(format!(r#"{{"access_token":"t{number}","expires_in":300}}"#));
        }
        let spent = served.load(Ordering::SeqCst) / life;
        let number = asked.header("authorization").strip_prefix("Bearer t").and_then(|number| number.parse().ok());
        if number.is_none_or(|number: u64| number <= spent) {
            let challenge = format!("Bearer realm=\"http://{host}/token?x=y\",service=\"reg\",scope=\"ignored\"");
            return Answer::new(401).header("WWW-Authenticate", challenge);
        }
        served.fetch_add(1, Ordering::SeqCst);
        usual(asked)
    })
}

#[tokio::test]
async fn a_token_that_ends_in_the_middle_is_renewed() {
    let server = token_server(2);
    let blob = Blob::new(70_000);
    blob.push(&client(), &repository(&server.host(), "a"), None).await.unwrap();
    let kinds: Vec<_> = server
        .asked()
        .iter()
        .map(|asked| format!("{} {}", asked.method, asked.header("authorization")).trim_end().to_owned())
        .collect();
    let expected = ["HEAD", "GET", "HEAD Bearer t1", "POST Bearer t1", "PUT Bearer t1", "GET", "PUT Bearer t2"];
    assert_eq!(kinds, expected);
    assert!(server.asked()[6].body == blob.bytes, "the body is sent again whole");
    let token = &server.lines()[1];
    assert_eq!(token, "GET /token?x=y&service=reg&scope=repository%3Aa%3Apull%2Cpush");
}

#[tokio::test]
async fn a_mount_asks_for_both_scopes_the_push_first() {
    let server = token_server(u64::MAX);
    let (a, b) = (repository(&server.host(), "a"), repository(&server.host(), "b"));
    Blob::new(10).push(&client(), &a, Some(&b)).await.unwrap();
    let scopes = "&scope=repository%3Aa%3Apull%2Cpush&scope=repository%3Ab%3Apull";
    assert!(server.lines().iter().any(|line| line.ends_with(scopes)), "{:#?}", server.lines());
}

#[tokio::test]
async fn many_requests_at_once_share_one_token() {
    let issued = AtomicU64::new(0);
    let server = Misbehaving::start(move |asked| {
        let host = asked.header("host");
        if asked.target.starts_with("/token") {
            issued.fetch_add(1, Ordering::SeqCst);
            return Answer::new(200).body(r#"{"token":"t"}"#);
        }
        match asked.header("authorization") {
            "Bearer t" => Answer::new(200),
            _ => Answer::new(401).header("WWW-Authenticate", format!("Bearer realm=\"http://{host}/token\"")),
        }
    });
    let client = Client::new(ClientOptions { concurrency: NonZero::new(4), ..options() }).unwrap();
    let (a, blob) = (repository(&server.host(), "a"), Blob::new(10));
    let asking = (0..12).map(|_| client.has_blob(&a, &blob.descriptor));
    let found = futures_util::future::join_all(asking).await;
    assert!(found.into_iter().all(Result::unwrap));
    assert_eq!(server.lines().iter().filter(|line| line.starts_with("GET /token")).count(), 1);
}

#[tokio::test]
async fn manifests_are_checked() {
    let manifest = image_manifest(&Blob::new(10).descriptor);
    let bytes = manifest.clone();
    let server = Misbehaving::start(move |asked| match asked.target.as_str() {
        "/v2/a/manifests/html" => Answer::new(200).header("Content-Type", "text/html").body("<html>log in"),
        "/v2/a/manifests/huge" => Answer::new(200).body(vec![b' '; (4 << 20) + 1]),
        "/v2/a/manifests/plain" => Answer::new(200).header("Content-Type", "application/json").body(bytes.clone()),
        "/v2/a/manifests/gone" => Answer::new(404).body(vec![b'x'; 200_000]),
        _ if asked.method == "HEAD" => Answer::new(405),
        _ => Answer::new(200).header("Content-Type", media_type::MANIFEST).body(bytes.clone()),
    });
    let (client, a) = (client(), repository(&server.host(), "a"));
    let get = async |tag: &str| client.manifest(&a.with_tag(tag).unwrap(), &[media_type::MANIFEST]).await;
    assert!(matches!(get("html").await, Err(RegistryError::NotARegistry { .. })));
    assert!(matches!(get("huge").await, Err(RegistryError::ManifestTooLarge { .. })));
    assert!(matches!(get("gone").await, Err(RegistryError::NotFound(_))));
    assert_eq!(get("plain").await.unwrap().descriptor.media_type, media_type::MANIFEST);

    let other = a.with_digest(Digest::of(b"other"));
    let error = client.manifest(&other, &[media_type::MANIFEST]).await.unwrap_err();
    assert!(matches!(error, RegistryError::WrongDigest { .. }), "{error}");

    let reference: Reference = a.with_tag("no-head").unwrap();
    let seen = client.head_manifest(&reference, &[media_type::MANIFEST]).await.unwrap();
    assert_eq!(seen, Some(Descriptor::of(media_type::MANIFEST, &manifest)));
}

#[tokio::test]
async fn a_server_that_says_yes_to_all_is_no_registry() {
    let server = Misbehaving::start(|asked| match asked.method.as_str() {
        "HEAD" | "GET" => Answer::new(404),
        _ => Answer::new(200).header("Location", "/x"),
    });
    let a = repository(&server.host(), "a");
    let error = Blob::new(10).push(&client(), &a, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotARegistry { .. }), "{error}");
    let tagged = a.with_tag("1").unwrap();
    let error = client().push_manifest(&tagged, media_type::MANIFEST, "{}").await.unwrap_err();
    assert!(matches!(error, RegistryError::NotARegistry { .. }), "{error}");
}

#[tokio::test]
async fn a_helper_that_fails_is_told() {
    let server = Misbehaving::start(|asked| match asked.header("authorization") {
        // Basic anna:secret
        "Basic YW5uYTpzZWNyZXQ=" => Answer::new(200),
        _ => Answer::new(401).header("WWW-Authenticate", "Negotiate, Basic realm=\"r\""),
    });
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("config.json");
    fs::write(&path, r#"{"credsStore": "pirogue-has-no-such"}"#).unwrap();
    let credentials = CredentialFiles { docker_config: Some(path), auth_file: None };
    let client = Client::new(ClientOptions { credentials, ..options() }).unwrap();
    let blob = Blob::new(10);
    let error = client.has_blob(&repository(&server.host(), "a"), &blob.descriptor).await.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.contains("docker-credential-pirogue-has-no-such")), "{error}");
}
