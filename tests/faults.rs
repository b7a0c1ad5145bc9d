//! Registries and networks that fail in the middle: an image arrives whole or nothing is tagged, the next run sends what is
//! missing and no more, and nobody waits for ever.

mod harness;

use std::collections::BTreeSet;
use std::num::NonZero;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use harness::layout;
use harness::misbehaving::{Answer, Door, Misbehaving, PASSWORD, Part, PlayedRegistry, Profile, USER, Uploads};
use harness::program;
use harness::proxy;
use harness::registry::Registry;
use harness::workspace::{BASE, Run, TestWorkspace};
use pirogue::digest::Digest;
use pirogue::manifest::Descriptor;
use pirogue::registry::{Client, ClientOptions, Failure, Offer, RegistryError, Repository, RetryPolicy};

const MIB: usize = 1 << 20;

/// A workspace whose image has a layer of more than 8 MiB.
fn workspace() -> TestWorkspace {
    let workspace = TestWorkspace::shop();
    workspace.with_noise("apps/web/noise", 9 << 20)
}

fn local_base() -> String {
    format!("oci:{BASE}:20-alpine")
}

/// pirogue, about to push the image to `shop/web` of a registry.
fn pushing(workspace: &TestWorkspace, base: &str, host: &str, more: &[&str]) -> Command {
    let to = format!("{host}/shop");
    let arguments = ["build", "--compression", "none", "--platform", "linux/amd64", "--base", base, "--to", &to];
    workspace.pirogue(&[&arguments[..], more].concat())
}

fn push(workspace: &TestWorkspace, host: &str) -> Run {
    workspace.told(&pushing(workspace, &local_base(), host, &[]).output().unwrap())
}

/// Checks the whole image in `shop/web`.
fn validate(registry: &PlayedRegistry) {
    let folder = tempfile::tempdir().unwrap();
    registry.state().repositories["shop/web"].write_layout("latest", folder.path());
    assert_eq!(layout::validate(folder.path()).len(), 1);
}

/// The blobs of `shop/web`, with their sizes.
fn blobs(registry: &PlayedRegistry) -> BTreeSet<(String, usize)> {
    let state = registry.state();
    let blobs = state.repositories.get("shop/web").into_iter().flat_map(|contents| &contents.blobs);
    blobs.map(|(digest, bytes)| (digest.clone(), bytes.len())).collect()
}

#[test]
fn the_next_run_sends_what_is_missing() {
    let table: [(&str, Profile); 5] = [
        (
            "every connection breaks",
            Profile::named("cuts").uploads(Uploads { cuts: vec![1000; 200], ..Uploads::default() }),
        ),
        (
            "no tag is taken",
            Profile::named("tags").instead(|it| it.is("PUT", Part::Manifest).then(|| Answer::new(503))),
        ),
        (
            "large bodies are too many",
            Profile::named("429").instead(|it| {
                let size: usize = it.asked.header("content-length").parse().unwrap_or_default();
                (size > MIB).then(|| Answer::new(429).header("Retry-After", 7200))
            }),
        ),
        (
            "nobody is let in any more",
            Profile::named("door")
                .instead(|it| (it.is("PUT", Part::Session) && it.before > 1).then(|| Answer::new(401))),
        ),
        (
            "what was opened is forgotten",
            Profile::named("sessions")
                .instead(|it| (it.part == Part::Session && it.brings()).then(|| Answer::new(404))),
        ),
    ];
    let workspace = workspace();
    for (comment, profile) in table {
        let registry = PlayedRegistry::start(profile);
        let run = push(&workspace, &registry.host());
        assert_eq!(run.code, Some(1), "{comment}: {run}");
        assert!(registry.state().tags().is_empty(), "{comment}");
        let (there, before) = (blobs(&registry), registry.server.asked().len());
        registry.heal();
        let run = push(&workspace, &registry.host());
        assert_eq!(run.code, Some(0), "{comment}: {run}");
        validate(&registry);
        let missing: usize = blobs(&registry).difference(&there).map(|(_, size)| size).sum();
        let asked = &registry.server.asked()[before..];
        let sent = asked.iter().filter(|asked| asked.target.contains("/blobs/")).map(|asked| asked.body.len());
        assert_eq!(sent.sum::<usize>(), missing, "{comment}");
    }
}

#[test]
fn a_registry_is_restarted_in_the_middle() {
    let Some(registry) = Registry::start() else { return };
    let host = registry.host().to_owned();
    let proxy = proxy::with_restarts(registry, &[MIB, 5 * MIB]);
    let workspace = workspace();
    let run = push(&workspace, &proxy.host());
    assert_eq!(run.code, Some(0), "{run}");
    assert_eq!(proxy.asked().iter().filter(|asked| asked.cut).count(), 2);
    let before = proxy.asked().len();
    assert_eq!(push(&workspace, &proxy.host()).code, Some(0));
    assert_eq!(proxy.lines()[before..], ["HEAD /v2/shop/web/manifests/latest"]);
    // Read back by a client that is not ours.
    if program::are_installed(&["skopeo"]) {
        let images = workspace.beside("images");
        let (from, to) = (format!("docker://{host}/shop/web:latest"), format!("oci:{}:web", images.display()));
        program::run(Command::new("skopeo").args([
            "copy",
            "--src-tls-verify=false",
            "--dest-oci-accept-uncompressed-layers",
            &from,
            &to,
        ]));
        layout::validate(&images);
    }
}

#[test]
fn what_a_crash_left_in_the_registry_is_sent_again() {
    let Some(registry) = Registry::start() else { return };
    let workspace = TestWorkspace::shop();
    assert_eq!(push(&workspace, registry.host()).code, Some(0));
    assert!(registry.empty_links() > 1);
    let proxy = proxy::with_cuts(registry.host(), &[]);
    let run = push(&workspace, &proxy.host());
    assert_eq!(run.code, Some(0), "{run}");
    let before = proxy.asked().len();
    assert_eq!(push(&workspace, &proxy.host()).code, Some(0));
    assert_eq!(proxy.lines()[before..], ["HEAD /v2/shop/web/manifests/latest"]);
}

#[test]
fn an_image_that_is_there_is_asked_for_once_a_tag() {
    let registry = PlayedRegistry::start(Profile::named("as-specified"));
    registry.hold("base/node", "20", Path::new(BASE));
    let digest = registry.state().repositories["base/node"].tags["20"].clone();
    let workspace = workspace();
    let tagged = format!("{}/base/node:20", registry.host());
    let pinned = format!("{tagged}@{digest}");
    let lines = |base: &str, tags: &[&str]| {
        let before = registry.server.asked().len();
        let run = workspace.told(&pushing(&workspace, base, &registry.host(), tags).output().unwrap());
        assert_eq!(run.code, Some(0), "{run}");
        registry.server.lines()[before..].to_vec()
    };
    let tags = ["--tag", "1", "--tag", "2"];
    let first = lines(&tagged, &tags);
    let counted = first.iter().filter(|line| line.starts_with("GET /v2/base/node/manifests/")).count();
    assert_eq!(counted, 2, "index and manifest: {first:#?}");
    let own = ["HEAD /v2/shop/web/manifests/1", "HEAD /v2/shop/web/manifests/2"];
    assert_eq!(lines(&tagged, &tags), [&["HEAD /v2/base/node/manifests/20"], &own[..]].concat());
    assert_eq!(lines(&pinned, &tags), own, "what is pinned and known is not asked for");
    // Another tag of what is there: no blob is sent, and each is asked for once.
    let third = lines(&pinned, &["--tag", "3"]);
    let blobs = blobs(&registry).len();
    let heads = third.iter().filter(|line| line.starts_with("HEAD /v2/shop/web/blobs/")).count();
    assert_eq!((heads, third.len()), (blobs, blobs + 2), "{third:#?}");
}

#[test]
fn a_token_is_asked_for_once_a_scope() {
    let registry = PlayedRegistry::start(Profile::named("tokens").door(Door::tokens()));
    let workspace = workspace();
    let config =
        format!(r#"{{"auths": {{"{}": {{"username": "{USER}", "password": "{PASSWORD}"}}}}}}"#, registry.host());
    std::fs::write(workspace.beside("config.json"), config).unwrap();
    let mut command = pushing(&workspace, &local_base(), &registry.host(), &[]);
    let run = workspace.told(&command.env("DOCKER_CONFIG", workspace.beside("")).output().unwrap());
    assert_eq!(run.code, Some(0), "{run}");
    let tokens = registry.server.lines().iter().filter(|line| line.starts_with("GET /token")).count();
    assert_eq!(tokens, 1, "who may push may look for the tag too: {:#?}", registry.server.lines());
}

#[test]
fn so_many_requests_at_a_time() {
    let workspace = workspace();
    let settings = workspace.beside("registries.toml");
    let table: [(_, &[&str], _, _); 5] = [
        ("nothing is said", &[], None, 2..=4),
        ("the option", &["--connections", "1"], None, 1..=1),
        ("the setting", &[], Some(1), 1..=1),
        ("the option is less", &["--connections", "1"], Some(4), 1..=1),
        ("the option is more", &["--connections", "3"], Some(1), 2..=3),
    ];
    for (comment, options, setting, expected) in table {
        let (running, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
        let seen = Arc::clone(&most);
        let server = Misbehaving::start(move |asked| {
            seen.fetch_max(running.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            // As long as an answer takes.
            std::thread::sleep(Duration::from_millis(50));
            running.fetch_sub(1, Ordering::SeqCst);
            // Whoever asks may push, so that all layers are offered at once.
            match asked.method.as_str() {
                "POST" => Answer::new(202).header("Location", "/v2/shop/web/blobs/uploads/1"),
                _ => Answer::new(404),
            }
        });
        let mut command = pushing(&workspace, &local_base(), &server.host(), options);
        if let Some(connections) = setting {
            let text = format!("[registry.\"{}\"]\nconnections = {connections}\n", server.host());
            std::fs::write(&settings, text).unwrap();
            command.env("PIROGUE_REGISTRIES", &settings);
        }
        assert_eq!(command.output().unwrap().status.code(), Some(1), "nothing can be uploaded there");
        let most = most.load(Ordering::SeqCst);
        assert!(expected.contains(&most), "{comment}: {most}");
    }
}

#[test]
fn an_interrupted_push_cancels_its_uploads() {
    for hangs in [false, true] {
        let profile = Profile::named("never answers").instead(match hangs {
            false => |it| it.is("PUT", Part::Session).then(Answer::never),
            true => |it| matches!(it.asked.method.as_str(), "PUT" | "DELETE").then(Answer::never),
        });
        let registry = PlayedRegistry::start(profile);
        let workspace = workspace();
        let mut command = pushing(&workspace, &local_base(), &registry.host(), &[]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        while !registry.server.lines().iter().any(|line| line.starts_with("PUT ")) {
            assert!(child.try_wait().unwrap().is_none(), "it goes on until it is interrupted");
            std::thread::yield_now();
        }
        assert!(!registry.state().sessions.open.is_empty());
        let signal = rustix::process::Signal::INT;
        rustix::process::kill_process(rustix::process::Pid::from_child(&child), signal).unwrap();
        let run = workspace.told(&child.wait_with_output().unwrap());
        assert_eq!(run.code, Some(130), "{run}");
        assert!(registry.server.lines().iter().any(|line| line.starts_with("DELETE ")));
        assert_eq!(registry.state().sessions.open.is_empty(), !hangs);
        assert!(registry.state().tags().is_empty());
    }
}

#[test]
fn uploads_are_cancelled_when_another_fails() {
    let registry = PlayedRegistry::start(Profile::named("one fails").instead(|it| {
        let size: usize = it.asked.header("content-length").parse().unwrap_or_default();
        match (it.is("PUT", Part::Session), size > MIB) {
            (true, true) => Some(Answer::never()),
            (true, false) => Some(Answer::new(403)),
            _ => None,
        }
    }));
    let run = push(&workspace(), &registry.host());
    assert_eq!(run.code, Some(1), "{run}");
    assert!(registry.state().sessions.open.is_empty());
}

fn client(concurrency: usize) -> Client {
    let retry = RetryPolicy { attempts: 6, first_wait: Duration::from_millis(2), longest_wait: Duration::from_secs(3) };
    let silence_limit = Duration::from_millis(300);
    let concurrency = NonZero::new(concurrency);
    Client::new(ClientOptions { retry, concurrency, silence_limit, ..ClientOptions::default() }).unwrap()
}

fn repository(host: &str) -> Repository {
    format!("{host}/a").parse().unwrap()
}

#[tokio::test]
async fn a_download_that_stands_still_goes_on() {
    let bytes: Vec<u8> = (0..300_000_u32).map(|at| (at * 7 / 3) as u8).collect();
    let descriptor = Descriptor::of("application/octet-stream", &bytes);
    let (held, asked) = (bytes.clone(), AtomicUsize::new(0));
    let server = Misbehaving::start(move |request| {
        let range = request.header("range").trim_start_matches("bytes=").trim_end_matches('-');
        let start = range.parse().unwrap_or(0);
        let range = format!("bytes {start}-{}/{}", held.len() - 1, held.len());
        let answer = Answer::new(if start > 0 { 206 } else { 200 }).header("Content-Range", range).body(&held[start..]);
        match asked.fetch_add(1, Ordering::SeqCst) {
            0 => answer.cut_after(100_000).stalling(),
            1 => Answer::never(),
            _ => answer,
        }
    });
    let mut sink = Vec::new();
    client(1).blob(&repository(&server.host()), &descriptor, &mut sink, &|_| ()).await.unwrap();
    assert!(sink == bytes);
    let ranges: Vec<_> = server.asked().iter().map(|asked| asked.header("range").to_owned()).collect();
    assert_eq!(ranges, ["", "bytes=100000-", "bytes=100000-"]);
}

#[tokio::test]
async fn an_upload_that_nobody_answers_begins_again() {
    let registry = PlayedRegistry::start(
        Profile::named("silent").instead(|it| (it.is("PUT", Part::Session) && it.before < 2).then(Answer::never)),
    );
    let bytes = vec![7; MIB];
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let descriptor = Descriptor::of("application/octet-stream", &bytes);
    let (client, a) = (client(1), repository(&registry.host()));
    let Offer::Wanted(session) = client.offer_blob(&a, &descriptor, None).await.unwrap() else { panic!("it is empty") };
    client.send_blob(&a, &descriptor, file.path(), session, &|_| ()).await.unwrap();
    assert_eq!(registry.state().blob(&descriptor.digest.to_string()), Some(&bytes));
    assert!(registry.state().sessions.open.is_empty(), "what was given up is cancelled");
}

#[tokio::test]
async fn requests_become_fewer_where_they_are_too_many() {
    let (running, refused) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let count = Arc::clone(&refused);
    let server = Misbehaving::start(move |_| {
        let others = running.fetch_add(1, Ordering::SeqCst);
        // As long as an answer takes.
        std::thread::sleep(Duration::from_millis(10));
        running.fetch_sub(1, Ordering::SeqCst);
        if others < 2 {
            return Answer::new(200);
        }
        count.fetch_add(1, Ordering::SeqCst);
        Answer::new(429)
    });
    let (client, a) = (client(8), repository(&server.host()));
    let descriptor = Descriptor::of("application/octet-stream", b"");
    let asking = (0..40).map(|_| client.has_blob(&a, &descriptor));
    assert!(futures_util::future::join_all(asking).await.into_iter().all(Result::unwrap));
    let refused = refused.load(Ordering::SeqCst);
    assert!((1..=20).contains(&refused), "{refused} of 40 were refused");
}

#[tokio::test]
async fn a_certificate_of_another_time() {
    let Some((registry, certificate)) = Registry::start_with_tls_of_yesteryear() else { return };
    let place = format!("https://{}", registry.host());
    let front = Misbehaving::start(move |asked| Answer::new(308).header("Location", place.clone() + &asked.target));
    let options = ClientOptions { extra_roots: vec![certificate], ..ClientOptions::default() };
    let descriptor = Descriptor::new("application/octet-stream", Digest::of(b""), 0);
    let asked = Client::new(options).unwrap().has_blob(&repository(&front.host()), &descriptor).await;
    let error = asked.unwrap_err();
    assert!(error.hint().is_some_and(|hint| hint.starts_with("check this machine's clock")), "{error}");
}

#[tokio::test]
async fn a_name_that_leads_nowhere() {
    let descriptor = Descriptor::new("application/octet-stream", Digest::of(b""), 0);
    let error = client(1).has_blob(&repository("registry.invalid"), &descriptor).await.unwrap_err();
    assert!(matches!(error, RegistryError::Unreachable { failure: Failure::Name, .. }), "{error}");
    assert_eq!(error.hint().as_deref(), Some("check the host's spelling, and DNS"));
}
