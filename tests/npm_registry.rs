//! Fetching packages: from registries that misbehave, from mirrors, and from the public registry.

mod harness;

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use harness::misbehaving::{Answer, Asked, Misbehaving};
use pirogue::cancel::Cancellation;
use pirogue::http::{Failure, RetryPolicy};
use pirogue::npm_registry::{Mirror, NpmClient, NpmClientOptions, NpmRegistryError, NpmSettings, Tarball, Variables};
use pirogue::path::HostPath;
use pirogue::progress::{Progress, Silent, Task};
use pirogue::store::Store;
use pirogue::workspace::lockfiles::{Checksum, Integrity, LockedPackage, Lockfile, Source, YarnCacheChecksum};
use pirogue::workspace::{PackageManager, Workspace};
use tempfile::TempDir;

/// Of the bytes `abc`, as in FIPS 180-2.
const ABC: &str = "sha512-3a81oZNherrMQXNJriBBMRLm+k6JqX6iCp7u5ktV05ohkpkqJ0/BqDa6PCOj/uu9RU1EI2Q86A4qmslPpUyknw==";
const ABC_SHA1: &str = "sha1-qZk+NkcGgWq6PiVxeFDCbJzQ2J0=";

/// A package whose tarball is the bytes `abc`.
fn abc(source: Source) -> LockedPackage {
    LockedPackage {
        name: "@s/abc".into(),
        version: Some("1.0.0".into()),
        source,
        checksum: Integrity::parse(ABC).map(Checksum::Tarball),
        limits: None,
        bins: None,
        has_install_script: None,
        bundled: false,
        dependencies: Default::default(),
        peers: Default::default(),
        places: Vec::new(),
        patches: Vec::new(),
    }
}

fn from_registry() -> LockedPackage {
    abc(Source::Registry { tarball: None })
}

/// A project with a `.npmrc`, a store, and a client that waits for nobody.
struct Project {
    folder: TempDir,
    options: NpmClientOptions,
}

impl Project {
    fn new(npmrc: &str) -> Self {
        Self::with(PackageManager::Npm, ".npmrc", npmrc)
    }

    fn with(manager: PackageManager, file: &str, text: &str) -> Self {
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join(file), text).unwrap();
        let dir = HostPath::new(folder.path());
        let settings = NpmSettings::read(manager, &dir, None, &Variables::new()).unwrap();
        let wait = Duration::from_millis(1);
        let retry = RetryPolicy { attempts: 3, first_wait: wait, longest_wait: Duration::from_secs(5) };
        Self { folder, options: NpmClientOptions { settings, retry, ..NpmClientOptions::default() } }
    }

    fn store(&self) -> Store {
        Store::open(&HostPath::new(self.folder.path().join("store"))).unwrap()
    }

    fn fetch(&self, packages: &[LockedPackage]) -> Result<Vec<Tarball>, NpmRegistryError> {
        self.fetch_with(packages, &Silent, &Cancellation::default())
    }

    fn fetch_with(
        &self,
        packages: &[LockedPackage],
        progress: &dyn Progress,
        cancellation: &Cancellation,
    ) -> Result<Vec<Tarball>, NpmRegistryError> {
        let client = NpmClient::new(self.options.clone()).unwrap();
        let runtime = tokio::runtime::Runtime::new().unwrap();
        runtime.block_on(client.fetch_all(packages, &self.store(), progress, cancellation, &|_, _| ()))
    }

    /// The bytes of a tarball in the store.
    fn bytes(&self, tarball: &Tarball) -> Vec<u8> {
        let path = self.store().intact_blob(&tarball.descriptor).unwrap().expect("the store has it");
        fs::read(path).unwrap()
    }

    /// How many files the store keeps: blobs, facts, and what is half written.
    fn kept(&self) -> usize {
        let count = |dir: &str| fs::read_dir(self.folder.path().join("store").join(dir)).map_or(0, Iterator::count);
        count("blobs/sha256") + count("facts") + count("tmp")
    }
}

fn registry_at(server: &Misbehaving) -> Project {
    Project::new(&format!("registry=http://{}/npm\n", server.host()))
}

#[test]
fn what_was_fetched_once_is_never_asked_for_again() {
    let server = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let mut project = registry_at(&server);
    let tarballs = project.fetch(&[from_registry(), from_registry()]).unwrap();
    assert_eq!(tarballs.len(), 2);
    assert!(tarballs.iter().all(|tarball| tarball.is_verified && project.bytes(tarball) == b"abc"));
    assert_eq!(project.fetch(&[from_registry()]).unwrap(), tarballs[..1]);
    project.options.offline = true;
    assert_eq!(project.fetch(&[from_registry()]).unwrap(), tarballs[..1]);
    assert_eq!(server.lines(), ["GET /npm/@s/abc/-/abc-1.0.0.tgz"], "one tarball, asked for once");
}

#[test]
fn offline_names_the_first_that_is_missing_and_how_many() {
    let server = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let mut project = registry_at(&server);
    project.options.offline = true;
    let mut other = from_registry();
    other.checksum = Integrity::parse(ABC_SHA1).map(Checksum::Tarball);
    let error = project.fetch(&[from_registry(), other]).unwrap_err();
    let said = "2 packages were never fetched, and nothing may be asked offline; the first: `@s/abc@1.0.0`";
    assert_eq!(error.to_string(), said);
    assert!(server.lines().is_empty());
}

#[test]
fn tokens_go_where_they_belong() {
    let server = Misbehaving::start(|asked| match asked.header("authorization") {
        "Bearer right" => Answer::new(200).body("abc"),
        _ => Answer::new(401),
    });
    let project = |token: &str| {
        let host = server.host();
        Project::new(&format!("registry=http://{host}/npm\n//{host}/npm/:_authToken={token}\n"))
    };
    project("right").fetch(&[from_registry()]).unwrap();
    let refused = project("wrong").fetch(&[from_registry()]).unwrap_err();
    assert!(matches!(refused, NpmRegistryError::CredentialsRefused { status: 401, .. }), "{refused:?}");
    let unset = project("${NPM_TOKEN}").fetch(&[from_registry()]).unwrap_err();
    assert!(unset.hint().unwrap().contains("export NPM_TOKEN="), "{unset:?}");
    let none = registry_at(&server).fetch(&[from_registry()]).unwrap_err();
    assert!(matches!(none, NpmRegistryError::CredentialsMissing { status: 401, .. }), "{none:?}");
    for error in [refused, unset, none] {
        assert!(!format!("{error} {error:?}").contains("wrong"), "{error:?}");
    }
    let elsewhere = format!("registry=http://{}/npm\n//127.0.0.1:1/:_authToken=right\n", server.host());
    assert!(Project::new(&elsewhere).fetch(&[from_registry()]).is_err());
    assert_eq!(server.asked().last().unwrap().header("authorization"), "");
}

#[test]
fn yarn_shows_its_token_to_who_asks() {
    let server = Misbehaving::start(|asked| match asked.header("authorization") {
        "" => Answer::new(401),
        _ => Answer::new(200).body("abc"),
    });
    let yarnrc = |always: bool| {
        let host = server.host();
        format!("npmRegistryServer: http://{host}/\nnpmAuthToken: t\nnpmAlwaysAuth: {always}\n")
    };
    for (always, expected) in [(false, vec!["", "Bearer t"]), (true, vec!["Bearer t"])] {
        let before = server.asked().len();
        Project::with(PackageManager::YarnBerry, ".yarnrc.yml", &yarnrc(always)).fetch(&[from_registry()]).unwrap();
        let shown: Vec<_> = server.asked()[before..].iter().map(|it| it.header("authorization").to_owned()).collect();
        assert_eq!(shown, expected, "always: {always}");
    }
}

#[test]
fn redirects_take_no_credentials_to_another_host() {
    let other = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let (port, here) = (other.host(), Arc::new(Mutex::new(String::new())));
    let named = Arc::clone(&here);
    let server = Misbehaving::start(move |asked: &Asked| match asked.target.as_str() {
        "/within" => Answer::new(307).header("Location", format!("http://{port}/file?X-Signature=secret")),
        _ => Answer::new(302).header("Location", named.lock().unwrap().as_str()),
    });
    let host = server.host();
    "/within".clone_into(&mut here.lock().unwrap());
    // The token lies under the other host's name too: not even its own is shown to a host that was only redirected to.
    let tokens = format!("//{host}/:_authToken=t\n//{}/:_authToken=u\n", other.host());
    let project = Project::new(&format!("registry=http://{host}/\n{tokens}"));
    project.fetch(&[from_registry()]).unwrap();
    let shown = |server: &Misbehaving| -> Vec<_> {
        server.asked().iter().map(|asked| asked.header("authorization").to_owned()).collect()
    };
    assert_eq!(shown(&server), ["Bearer t", "Bearer t"], "the same host");
    assert_eq!(shown(&other), [""], "another host");

    for unsafe_location in ["file:///etc/passwd", "/again", "http://"] {
        unsafe_location.clone_into(&mut here.lock().unwrap());
        let error = Project::new(&format!("registry=http://{host}/\n")).fetch(&[from_registry()]).unwrap_err();
        assert!(matches!(error, NpmRegistryError::UnsafeRedirect { .. }), "{unsafe_location}: {error:?}");
    }
}

#[test]
fn a_proxy_is_used_and_its_password_is_not_shown() {
    let proxy = Misbehaving::start(|asked| match asked.target.as_str() {
        "http://npm.example/@s/abc/-/abc-1.0.0.tgz" => Answer::new(200).body("abc"),
        _ => Answer::new(502),
    });
    let npmrc = |registry: &str| {
        format!("registry={registry}\nproxy=http://user:secret@{}\nnoproxy=direct.invalid\n", proxy.host())
    };
    Project::new(&npmrc("http://npm.example/")).fetch(&[from_registry()]).unwrap();
    assert_eq!(proxy.asked()[0].header("proxy-authorization"), "Basic dXNlcjpzZWNyZXQ=");
    let refused = Project::new(&npmrc("http://other.example/")).fetch(&[from_registry()]).unwrap_err();
    let asked = proxy.lines().len();
    let direct = Project::new(&npmrc("http://direct.invalid/")).fetch(&[from_registry()]).unwrap_err();
    assert_eq!(proxy.lines().len(), asked, "past the proxy");
    let malformed = Project::new("proxy=http://user:secret@:x\n");
    let malformed = NpmClient::new(malformed.options).map(|_| ()).unwrap_err();
    for error in [refused, direct, malformed] {
        assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
    }
}

/// A registry behind TLS that answers every request with the bytes `abc`; its certificate, in PEM, is its own CA's.
fn abc_behind_tls() -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let config = config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
            let mut stream = rustls::StreamOwned::new(connection, stream);
            let mut request = [0; 4096];
            if stream.read(&mut request).is_ok_and(|length| length > 0) {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc");
                stream.conn.send_close_notify();
                let _ = stream.flush();
            }
        }
    });
    (address, made.cert.pem())
}

#[test]
fn a_ca_of_ones_own() {
    let (address, pem) = abc_behind_tls();
    let files = TempDir::new().unwrap();
    let cafile = files.path().join("ca.pem");
    fs::write(&cafile, &pem).unwrap();
    let quoted = serde_json::to_string(&pem).unwrap();
    let registry = format!("registry=https://{address}/\n");
    for npmrc in [format!("{registry}cafile={}\n", cafile.display()), format!("{registry}ca[]={quoted}\n")] {
        Project::new(&npmrc).fetch(&[from_registry()]).unwrap_or_else(|error| panic!("{npmrc}: {error}"));
    }
    for npmrc in [registry.clone(), format!("{registry}strict-ssl=false\n")] {
        let error = Project::new(&npmrc).fetch(&[from_registry()]).unwrap_err();
        assert!(matches!(error, NpmRegistryError::Unreachable { failure: Failure::Tls, .. }), "{npmrc}: {error:?}");
        assert!(error.hint().unwrap().contains("cafile"));
    }
}

/// Plays `faults`, one to a request, and gives the right answer from then on.
fn faulty(faults: Vec<Answer>) -> Misbehaving {
    let at = AtomicUsize::new(0);
    let right = Answer::new(200).body("abc");
    Misbehaving::start(move |_| faults.get(at.fetch_add(1, Ordering::SeqCst)).unwrap_or(&right).clone())
}

#[test]
fn what_passes_is_tried_again() {
    let table: [(&str, Vec<Answer>); 7] = [
        ("503", vec![Answer::new(503), Answer::new(500)]),
        ("429", vec![Answer::new(429).header("Retry-After", "0")]),
        ("no answer", vec![Answer::none()]),
        ("a cut body", vec![Answer::new(200).header("Content-Length", "3").body("ab")]),
        ("an empty body", vec![Answer::new(200).header("Content-Length", "3")]),
        (
            "a cut body of unknown length",
            vec![Answer::new(200).header("Transfer-Encoding", "chunked").body("2\r\nab\r\n")],
        ),
        ("a timeout", vec![Answer::new(408)]),
    ];
    for (comment, faults) in table {
        let tries = faults.len() + 1;
        let server = faulty(faults);
        let project = registry_at(&server);
        let tarballs = project.fetch(&[from_registry()]).unwrap_or_else(|error| panic!("{comment}: {error}"));
        assert_eq!(project.bytes(&tarballs[0]), b"abc", "{comment}");
        assert_eq!(server.lines().len(), tries, "{comment}");
        assert_eq!(project.kept(), 2, "{comment}: a blob and a fact");
    }
}

#[test]
fn retry_after_is_obeyed() {
    let server = faulty(vec![Answer::new(429).header("Retry-After", "1")]);
    let begun = Instant::now();
    registry_at(&server).fetch(&[from_registry()]).unwrap();
    assert!(begun.elapsed() >= Duration::from_secs(1));
    let server = Misbehaving::start(|_| Answer::new(429).header("Retry-After", "3600"));
    let error = registry_at(&server).fetch(&[from_registry()]).unwrap_err();
    assert!(matches!(error, NpmRegistryError::RateLimited { .. }), "{error:?}");
    assert_eq!(server.lines().len(), 1, "longer than anyone waits");
}

#[test]
fn all_are_quiet_when_the_registry_asks_one() {
    let begun: Arc<Mutex<Vec<Instant>>> = Arc::default();
    let times = Arc::clone(&begun);
    let server = Misbehaving::start(move |_| {
        let mut times = times.lock().unwrap();
        times.push(Instant::now());
        if times.len() == 1 {
            return Answer::new(429).header("Retry-After", "1");
        }
        drop(times);
        thread::sleep(Duration::from_millis(200));
        Answer::new(200).body("abc")
    });
    let mut project = registry_at(&server);
    project.options.concurrency = 2;
    project.fetch(&many(4)).unwrap();
    let times = begun.lock().unwrap();
    let soon = times.iter().filter(|time| time.duration_since(times[0]) < Duration::from_millis(900)).count();
    assert_eq!(times.len(), 5);
    assert!(soon <= 2, "the one, and what was on its way: {soon}");
}

#[test]
fn what_is_refused_leaves_nothing_behind() {
    let answer = |status: u16| Answer::new(status).body("secret");
    let table: [(&str, Answer, usize, &str); 7] = [
        (
            "404",
            answer(404),
            1,
            "the registry does not have `@s/abc@1.0.0` (status 404): `http://HOST/npm/@s/abc/-/abc-1.0.0.tgz`",
        ),
        ("403", answer(403), 1, "the registry gives `@s/abc@1.0.0` only to those it knows"),
        ("503", answer(503), 3, "the registry does not give `@s/abc@1.0.0` (status 503)"),
        ("206", answer(206), 1, "the registry does not give `@s/abc@1.0.0` (status 206)"),
        (
            "wrong bytes",
            Answer::new(200).body("abd"),
            1,
            "`@s/abc@1.0.0` is not what the lockfile has: its hash is `sha512-",
        ),
        (
            "announced too large",
            Answer::new(200).header("Content-Length", "4000000000").body("abc"),
            1,
            "the tarball of `@s/abc@1.0.0` has more than 1000 bytes",
        ),
        (
            "too large",
            Answer::new(200).header("Transfer-Encoding", "chunked").body(format!("800\r\n{}\r\n", "x".repeat(2048))),
            1,
            "the tarball of `@s/abc@1.0.0` has more than 1000 bytes",
        ),
    ];
    for (comment, answer, tries, expected) in table {
        let server = Misbehaving::start(move |_| answer.clone());
        let mut project = registry_at(&server);
        project.options.size_limit = 1000;
        let error = project.fetch(&[from_registry()]).unwrap_err();
        let said = error.to_string().replace(&server.host(), "HOST");
        assert!(said.starts_with(expected), "{comment}: {said}");
        assert!(!said.contains("secret"), "{comment}: {said}");
        assert_eq!(server.lines().len(), tries, "{comment}");
        assert_eq!(project.kept(), 0, "{comment}");
    }
    let server = Misbehaving::start(|_| Answer::new(200).body("abd"));
    let said = registry_at(&server).fetch(&[from_registry()]).unwrap_err().to_string();
    let url = format!("http://{}/npm/@s/abc/-/abc-1.0.0.tgz", server.host());
    assert!(said.contains(&format!("and not `{ABC}`: `{url}`")), "both hashes, the package and the address: {said}");
}

#[test]
fn nobody_listens() {
    let server = Misbehaving::start(|_| Answer::none());
    let project = registry_at(&server);
    drop(server);
    // The listener may take one more connection before it ends.
    let error = project.fetch(&[from_registry()]).unwrap_err();
    let failure = match &error {
        NpmRegistryError::Unreachable { failure, .. } => *failure,
        other => panic!("{other:?}"),
    };
    assert!(matches!(failure, Failure::Refused | Failure::Broken), "{error:?}");
}

#[test]
fn mirrors() {
    let table = ["@s/abc-1.0.0.tgz", "s-abc-1.0.0.tgz"];
    for name in table {
        let mut project = Project::new("registry=http://127.0.0.1:1/\n");
        let mirror = project.folder.path().join("mirror");
        fs::create_dir_all(mirror.join("@s")).unwrap();
        project.options.mirror = Some(Mirror::parse(mirror.to_str().unwrap(), &HostPath::new("/")).unwrap());
        project.options.offline = true;
        let missing = project.fetch(&[from_registry()]).unwrap_err();
        assert!(matches!(missing, NpmRegistryError::NotInMirror { .. }), "{missing:?}");
        fs::write(mirror.join(name), "abd").unwrap();
        let wrong = project.fetch(&[from_registry()]).unwrap_err();
        assert!(matches!(wrong, NpmRegistryError::WrongIntegrity { .. }), "{wrong:?}");
        assert_eq!(project.kept(), 0);
        fs::write(mirror.join(name), "abc").unwrap();
        assert_eq!(project.bytes(&project.fetch(&[from_registry()]).unwrap()[0]), b"abc", "{name}");
    }
    let server = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let mut project = Project::new("registry=http://127.0.0.1:1/\n");
    project.options.mirror = Some(Mirror::parse(&format!("http://{}/m", server.host()), &HostPath::new("/")).unwrap());
    let elsewhere = Source::Registry { tarball: Some("http://127.0.0.1:1/@s/abc/-/abc-1.0.0.tgz".into()) };
    project.fetch(&[abc(elsewhere)]).unwrap();
    assert_eq!(server.lines(), ["GET /m/@s/abc/-/abc-1.0.0.tgz"]);
}

#[test]
fn what_cannot_be_verified_is_not_fetched() {
    let server = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let table =
        [("none", None, false), ("MD5", Some("md5-kAFQmDzST7DWlj99KOF/cg=="), false), ("SHA-1", Some(ABC_SHA1), true)];
    for (comment, integrity, expected) in table {
        let mut package = from_registry();
        package.checksum = integrity.and_then(Integrity::parse).map(Checksum::Tarball);
        let project = registry_at(&server);
        let result = project.fetch(&[package]);
        assert_eq!(result.is_ok(), expected, "{comment}: {result:?}");
        if let Err(error) = result {
            assert!(matches!(error, NpmRegistryError::NoIntegrity { .. }), "{comment}: {error:?}");
            assert_eq!(project.kept(), 0, "{comment}");
        }
    }
}

#[test]
fn what_yarn_did_not_hash_is_told_and_found_again() {
    let server = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let locked = |hash: char| LockedPackage {
        checksum: Some(Checksum::YarnCache(YarnCacheChecksum {
            // A level whose archives are not made again.
            cache_key: "10c5".into(),
            sha512: String::from(hash).repeat(128),
        })),
        ..from_registry()
    };
    let mut project = registry_at(&server);
    let tarballs = project.fetch(&[locked('a')]).unwrap();
    assert!(!tarballs[0].is_verified);
    project.options.offline = true;
    assert_eq!(project.fetch(&[locked('a')]).unwrap(), tarballs);
    let another = project.fetch(&[locked('b')]).unwrap_err();
    assert!(matches!(another, NpmRegistryError::Offline { count: 1, .. }), "another archive: {another:?}");
    let verified = project.fetch(&[from_registry()]).unwrap_err();
    assert!(
        matches!(verified, NpmRegistryError::Offline { .. }),
        "what nobody checked counts for no hash: {verified:?}"
    );
}

/// A plain tar of one file.
fn tar_of(name: &str, content: &[u8]) -> Vec<u8> {
    let mut header = tar::Header::new_ustar();
    header.set_mode(0o644);
    header.set_size(content.len() as u64);
    let mut tar = tar::Builder::new(Vec::new());
    tar.append_data(&mut header, name, content).unwrap();
    tar.into_inner().unwrap()
}

#[test]
fn what_yarn_locked_is_its_archive_of_the_tarball() {
    // Written by yarn 4.18.1 for a tarball of this one file.
    const SHA512: &str = "5286e032eb2a556faf0d9a4bde7572f6c896bc22873533ec902e5d79734d3b6ea3767696dffa5308a1c7a9a8b5da63fe71d14bea0d4dc519669536e52bcf07bc";
    let manifest = br#"{"name":"@s/abc","version":"1.0.0"}"#;
    let right = tar_of("package/package.json", manifest);
    let wrong = tar_of("package/package.json", br#"{"name":"@s/abc","version":"6.6.6"}"#);
    let answers = Mutex::new(vec![b"abc".to_vec(), right, wrong]);
    let server = Misbehaving::start(move |_| Answer::new(200).body(answers.lock().unwrap().pop().unwrap_or_default()));
    let archive = YarnCacheChecksum { cache_key: "10c0".into(), sha512: SHA512.into() };
    let locked = [LockedPackage { checksum: Some(Checksum::YarnCache(archive)), ..from_registry() }];
    let mut project = registry_at(&server);
    let error = project.fetch(&locked).unwrap_err();
    let NpmRegistryError::WrongIntegrity { expected, actual, .. } = &error else { panic!("{error:?}") };
    assert_eq!(expected, &format!("10c0/{SHA512}"));
    assert!(actual.starts_with("10c0/") && actual != expected, "{actual}");

    let tarballs = project.fetch(&locked).unwrap();
    assert!(tarballs[0].is_verified);
    project.options.offline = true;
    assert_eq!(project.fetch(&locked).unwrap(), tarballs, "what was checked once is known");

    let another = registry_at(&server);
    let error = another.fetch(&locked).unwrap_err();
    assert!(matches!(error, NpmRegistryError::Unverifiable { .. }), "{error:?}");
    assert!(error.to_string().contains("`@s/abc@1.0.0` is not what the lockfile has"), "{error}");
}

#[test]
fn what_yarn_states_no_hash_of_is_told_and_found_again_where_it_came_from() {
    let server = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let unstated = || LockedPackage { checksum: Some(Checksum::Unstated), ..from_registry() };
    let mut project = registry_at(&server);
    let tarballs = project.fetch(&[unstated()]).unwrap();
    assert!(!tarballs[0].is_verified);
    project.options.offline = true;
    assert_eq!(project.fetch(&[unstated()]).unwrap(), tarballs);
    let elsewhere = Source::Registry { tarball: Some("https://elsewhere.example/abc-1.0.0.tgz".into()) };
    let another = project.fetch(&[LockedPackage { source: elsewhere, ..unstated() }]).unwrap_err();
    assert!(matches!(another, NpmRegistryError::Offline { count: 1, .. }), "of another registry: {another:?}");
    let verified = project.fetch(&[from_registry()]).unwrap_err();
    assert!(
        matches!(verified, NpmRegistryError::Offline { .. }),
        "what nobody checked counts for no hash: {verified:?}"
    );
}

#[test]
fn a_damaged_tarball_is_fetched_again() {
    let server = Misbehaving::start(|_| Answer::new(200).body("abc"));
    let project = registry_at(&server);
    let tarballs = project.fetch(&[from_registry()]).unwrap();
    let path = project.store().blob(&tarballs[0].descriptor).unwrap().unwrap();
    fs::write(&path, "\0\0\0").unwrap();
    assert_eq!(project.fetch(&[from_registry()]).unwrap(), tarballs);
    assert_eq!(fs::read(&path).unwrap(), b"abc");
    assert_eq!(server.lines().len(), 2);
}

/// Counts what it is told.
#[derive(Default)]
struct Counting {
    announced: AtomicU64,
    done: Arc<AtomicU64>,
}

struct CountingTask(Arc<AtomicU64>);

impl Task for CountingTask {
    fn advance(&self, amount: u64) {
        self.0.fetch_add(amount, Ordering::SeqCst);
    }
}

impl Progress for Counting {
    fn step(&self, _text: &str) {}

    fn warn(&self, text: &str) {
        panic!("{text}");
    }

    fn note(&self, _text: &str) {}

    fn task(&self, text: &str, _total_bytes: u64) -> Box<dyn Task> {
        panic!("{text}");
    }

    fn count(&self, _text: &str, total: u64) -> Box<dyn Task> {
        self.announced.fetch_add(total, Ordering::SeqCst);
        Box::new(CountingTask(Arc::clone(&self.done)))
    }
}

/// Packages that differ in their hash's options only, so that each has a tarball of its own.
fn many(count: usize) -> Vec<LockedPackage> {
    let sha1 = |at: usize| format!("{ABC} sha1-{}", base64_of(at));
    let package = |at| LockedPackage {
        version: Some(format!("1.0.{at}")),
        checksum: Integrity::parse(&sha1(at)).map(Checksum::Tarball),
        ..from_registry()
    };
    (0..count).map(package).collect()
}

/// Twenty bytes in Base64 that differ for each number below 4096.
fn base64_of(at: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    format!("{}{}{}=", char::from(DIGITS[at / 64]), char::from(DIGITS[at % 64]), "A".repeat(25))
}

#[test]
fn many_at_once_and_no_more_than_that() {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let (running, highest) = (Arc::clone(&now), Arc::clone(&most));
    let server = Misbehaving::start(move |_| {
        highest.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
        thread::sleep(Duration::from_millis(30));
        running.fetch_sub(1, Ordering::SeqCst);
        Answer::new(200).body("abc")
    });
    let mut project = registry_at(&server);
    project.options.concurrency = 4;
    let progress = Counting::default();
    let tarballs = project.fetch_with(&many(20), &progress, &Cancellation::default()).unwrap();
    assert_eq!((tarballs.len(), server.lines().len()), (20, 20));
    assert_eq!((progress.announced.into_inner(), progress.done.load(Ordering::SeqCst)), (20, 20));
    let most = most.load(Ordering::SeqCst);
    assert!((2..=4).contains(&most), "{most} at once");
}

#[test]
fn a_cancelled_run_ends_soon_and_leaves_nothing_half_written() {
    let cancellation = Cancellation::default();
    let cancel = cancellation.clone();
    let server = Misbehaving::start(move |_| {
        cancel.cancel();
        thread::sleep(Duration::from_secs(5));
        Answer::new(200).body("abc")
    });
    let project = registry_at(&server);
    let begun = Instant::now();
    let error = project.fetch_with(&many(3), &Silent, &cancellation).unwrap_err();
    assert!(matches!(error, NpmRegistryError::Cancelled(_)), "{error:?}");
    assert!(begun.elapsed() < Duration::from_secs(4), "{:?}", begun.elapsed());
    assert_eq!(project.kept(), 0);
}

#[test]
fn twenty_packages_of_the_sample_from_the_public_registry() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-fixtures/wanzo");
    let lockfile = Lockfile::read(&Workspace::discover(&HostPath::new(sample)).unwrap()).unwrap();
    let is_registry = |package: &&LockedPackage| matches!(package.source, Source::Registry { .. });
    let packages: Vec<_> = lockfile.packages.into_values().filter(|it| is_registry(&it)).take(20).collect();
    let project = Project::new("");
    let tarballs = match project.fetch(&packages) {
        Err(NpmRegistryError::Unreachable { reason, .. }) => {
            return harness::skip(&format!("the npm registry cannot be reached ({reason})"));
        }
        result => result.unwrap(),
    };
    assert_eq!(tarballs.len(), 20);
    for (package, tarball) in packages.iter().zip(&tarballs) {
        assert!(tarball.is_verified, "{}", package.label());
        let bytes = project.bytes(tarball);
        let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(&bytes[..]));
        let is_manifest = |path: &Path| path.ends_with("package.json") && path.components().count() == 2;
        let manifest = archive.entries().unwrap().map(Result::unwrap).find(|it| is_manifest(&it.path().unwrap()));
        let manifest: serde_json::Value = serde_json::from_reader(manifest.expect("there is one")).unwrap();
        assert_eq!(
            format!("{}@{}", manifest["name"].as_str().unwrap(), manifest["version"].as_str().unwrap()),
            package.label()
        );
    }
    let mut offline = project;
    offline.options.offline = true;
    assert_eq!(offline.fetch(&packages).unwrap(), tarballs, "and now from the store");
}
