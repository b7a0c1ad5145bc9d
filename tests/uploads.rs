//! Uploads against registries that take little at a time, and over connections that break.

mod harness;

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use harness::blob::Blob;
use harness::misbehaving::{Answer, Leads, Misbehaving, PlayedRegistry, Profile, Told, Uploads};
use harness::proxy;
use harness::registry::Registry;
use harness::workspace::{BASE, TestWorkspace};
use pirogue::manifest::media_type;
use pirogue::registry::{Client, ClientOptions, Offer, RegistryError, Repository, RetryPolicy};
use proptest::prelude::*;

const MIB: usize = 1 << 20;

fn client(attempts: u32) -> Client {
    let (first_wait, longest_wait) = (Duration::from_millis(1), Duration::from_millis(5));
    let retry = RetryPolicy { attempts, first_wait, longest_wait };
    Client::new(ClientOptions { retry, concurrency: NonZero::new(1), ..ClientOptions::default() }).unwrap()
}

fn played(uploads: Uploads) -> PlayedRegistry {
    PlayedRegistry::start(Profile::named("uploads").uploads(uploads))
}

fn repository(host: &str) -> Repository {
    format!("{host}/a").parse().unwrap()
}

impl Blob {
    async fn push(&self, client: &Client, to: &Repository) -> Result<(), RegistryError> {
        let told = AtomicU64::new(0);
        let on_bytes = |bytes| {
            told.fetch_add(bytes, Ordering::Relaxed);
        };
        let Offer::Wanted(session) = client.offer_blob(to, &self.descriptor, None).await? else {
            panic!("the registry is empty");
        };
        let outcome = client.send_blob(to, &self.descriptor, &self.path, session, &on_bytes).await;
        let told = told.into_inner();
        assert!(told <= self.descriptor.size, "{told} bytes are told of {}", self.descriptor.size);
        assert!(outcome.is_err() || told == self.descriptor.size, "what is told adds up");
        outcome
    }
}

/// The requests of one push, joined, with blobs of so many bytes one after another.
async fn uploads_of(registry: &PlayedRegistry, client: &Client, sizes: &[usize]) -> String {
    for size in sizes {
        let blob = Blob::new(*size);
        let outcome = blob.push(client, &repository(&registry.server.host())).await;
        if let Err(error) = outcome {
            return format!("{}: {error}", registry.uploads().join(", "));
        }
        assert!(registry.state().blob(&blob.descriptor.digest.to_string()) == Some(&blob.bytes));
    }
    registry.uploads().join(", ")
}

#[tokio::test]
async fn requests_of_uploads() {
    const BIG: usize = 9 * MIB;
    let base = Uploads::default;
    let table: [(&str, Uploads, &[usize], &str); 20] = [
        ("one PUT", base(), &[BIG], "POST, PUT 9437184"),
        ("an empty blob", base(), &[0], "POST, PUT"),
        (
            "a limit on bodies, and what was learned of it",
            Uploads { body_limit: 3 * MIB, ..base() },
            &[5 * MIB, 5 * MIB + 1, 2 * MIB],
            "POST, PUT 5242880, DELETE, POST, PATCH 5242880, DELETE, \
             POST, PATCH 0-4194303, PATCH 0-2097151, PATCH 2097152-4194303, PATCH 4194304-5242879, PUT, \
             POST, PATCH 0-2097151, PATCH 2097152-4194303, PATCH 4194304-5242880, PUT, \
             POST, PUT 2097152",
        ),
        (
            "refusals that come while the body is sent",
            Uploads { body_limit: 12 * MIB, refuses_at_once: true, ..base() },
            &[20 * MIB],
            "POST, PUT 20971520, DELETE, POST, PATCH 20971520, DELETE, POST, PATCH 0-16777215, PATCH 0-8388607, \
             PATCH 8388608-16777215, PATCH 16777216-20971519, PUT",
        ),
        (
            "each answer moves the upload",
            Uploads { body_limit: 3 * MIB, leads: Leads::State, ..base() },
            &[5 * MIB],
            "POST, PUT 5242880, DELETE, POST, PATCH 5242880, DELETE, \
             POST, PATCH 0-4194303, PATCH 0-2097151, PATCH 2097152-4194303, PATCH 4194304-5242879, PUT",
        ),
        (
            "a session that wants larger chunks",
            Uploads { body_limit: 4 * MIB, least_chunk: Some(3 << 20), ..base() },
            &[9 * MIB / 2],
            "POST, PUT 4718592, DELETE, POST, PATCH 4718592, DELETE, \
             POST, PATCH 0-4194303, PATCH 4194304-4718591, PUT",
        ),
        (
            "a session that wants larger chunks than it gets through",
            Uploads { body_limit: 2 * MIB, least_chunk: Some(3 << 20), ..base() },
            &[9 * MIB / 2],
            "POST, PUT 4718592, DELETE, POST, PATCH 4718592, DELETE, POST, PATCH 0-4194303, PATCH 0-3145727, DELETE: \
             the body is too large for the registry or a proxy before it",
        ),
        (
            "a session that wants the moon",
            Uploads { body_limit: 2 * MIB, least_chunk: Some(1 << 63), ..base() },
            &[3 * MIB],
            "POST, PUT 3145728, DELETE, POST, PATCH 3145728, DELETE: the body is too large",
        ),
        (
            "a limit below every chunk",
            Uploads { body_limit: MIB - 1, ..base() },
            &[2 * MIB],
            "POST, PUT 2097152, DELETE, POST, PATCH 2097152, DELETE, POST, PATCH 0-1048575, DELETE: \
             the body is too large",
        ),
        (
            "no cancelling",
            Uploads { body_limit: 2 * MIB, cancelling: 405, ..base() },
            &[3 * MIB],
            "POST, PUT 3145728, DELETE, POST, PATCH 3145728, POST, PATCH 0-2097151, PATCH 2097152-3145727, PUT",
        ),
        (
            "a small PUT cut off",
            Uploads { cuts: vec![MIB], ..base() },
            &[8 * MIB],
            "POST, PUT 8388608, DELETE, POST, PUT 8388608",
        ),
        (
            "a large PUT cut off, then a PATCH, twice",
            Uploads { cuts: vec![MIB, 2 * MIB, 3], leads: Leads::Url, ..base() },
            &[BIG],
            "POST, PUT 9437184, DELETE, POST, PATCH 9437184, GET, PATCH 2097152-9437183, GET, PATCH 2097155-9437183, PUT",
        ),
        (
            "nothing arrived",
            Uploads { cuts: vec![0, 0], ..base() },
            &[BIG],
            "POST, PUT 9437184, DELETE, POST, PATCH 9437184, GET, PATCH 9437184, PUT",
        ),
        (
            "states that have to be the last, over a break",
            Uploads { cuts: vec![MIB, 2 * MIB], leads: Leads::State, ..base() },
            &[BIG],
            "POST, PUT 9437184, DELETE, POST, PATCH 9437184, GET, PATCH 2097152-9437183, PUT",
        ),
        (
            "a session that is gone after a break is not cancelled",
            Uploads { cuts: vec![MIB, 2 * MIB], told: Told::Nothing, ..base() },
            &[BIG],
            "POST, PUT 9437184, DELETE, POST, PATCH 9437184, GET, POST, PATCH 9437184, PUT",
        ),
        (
            "a page instead of a position",
            Uploads { cuts: vec![MIB, 2 * MIB], told: Told::APage, ..base() },
            &[BIG],
            "POST, PUT 9437184, DELETE, POST, PATCH 9437184, GET, DELETE, POST, PATCH 9437184, PUT",
        ),
        (
            "more than was ever sent",
            Uploads { cuts: vec![MIB, 2 * MIB], told: Told::TooMuch, ..base() },
            &[BIG],
            "POST, PUT 9437184, DELETE, POST, PATCH 9437184, GET, DELETE, POST, PATCH 9437184, PUT",
        ),
        (
            "no PATCH as large, after a PUT cut off",
            Uploads { cuts: vec![MIB], patch_limit: 4 * MIB, ..base() },
            &[BIG, 9 * MIB + 1],
            "POST, PUT 9437184, DELETE, POST, PATCH 9437184, GET, DELETE, POST, PUT 9437184, POST, PUT 9437185",
        ),
        (
            "a limit on bodies by 413, on those of PATCH by 416",
            Uploads { body_limit: 5 * MIB, patch_limit: 2 * MIB, ..base() },
            &[6 * MIB],
            "POST, PUT 6291456, DELETE, POST, PATCH 6291456, DELETE, POST, PATCH 0-4194303, GET, PATCH 0-2097151, \
             PATCH 2097152-4194303, PATCH 4194304-6291455, PUT",
        ),
        (
            "a chunk that was taken and answered by 503",
            Uploads { body_limit: 2 * MIB, overloads: 1, ..base() },
            &[3 * MIB],
            "POST, PUT 3145728, DELETE, POST, PATCH 3145728, DELETE, POST, PATCH 0-2097151, GET, PATCH 2097152-3145727, \
             PUT",
        ),
    ];
    for (comment, habits, sizes, expected) in table {
        let registry = played(habits);
        let uploads = uploads_of(&registry, &client(4), sizes).await;
        assert!(uploads.starts_with(expected), "{comment}:\n{uploads}");
        assert!(expected.contains(": ") || uploads == expected, "{comment}:\n{uploads}");
    }
}

#[tokio::test]
async fn a_cancelling_that_hangs_does_not_delay_a_failure() {
    let server = Misbehaving::start(|asked| match asked.method.as_str() {
        "POST" => Answer::new(202).header("Location", "1"),
        "DELETE" => {
            std::thread::park_timeout(Duration::from_secs(30));
            Answer::none()
        }
        "PUT" => Answer::new(400).body(r#"{"errors":[{"code":"DIGEST_INVALID"}]}"#),
        _ => Answer::new(404),
    });
    let begin = Instant::now();
    let error = Blob::new(10).push(&client(4), &repository(&server.host())).await.unwrap_err();
    assert!(error.exchange().is_some_and(|exchange| exchange.has_code("DIGEST_INVALID")), "{error}");
    assert!(begin.elapsed() < Duration::from_secs(10));
}

#[tokio::test]
async fn chunks_make_a_valid_blob_in_a_real_registry() {
    let Some(registry) = Registry::start() else { return };
    let proxy = proxy::with_limit(registry.host(), 3 * MIB / 2);
    let (client, blob) = (client(4), Blob::new(5 * MIB + 17));
    blob.push(&client, &repository(&proxy.host())).await.unwrap();
    let chunks = proxy.asked().iter().filter(|asked| !asked.header("content-range").is_empty()).count();
    assert_eq!(chunks, 2 + 6, "two were too large");
    let mut bytes = Vec::new();
    client.blob(&repository(registry.host()), &blob.descriptor, &mut bytes, &|_| ()).await.unwrap();
    assert!(bytes == blob.bytes);
}

#[tokio::test]
async fn connections_to_a_real_registry_break() {
    let Some(registry) = Registry::start() else { return };
    let proxy = proxy::with_cuts(registry.host(), &[MIB, 5 * MIB, 2 * MIB]);
    let (client, blob) = (client(6), Blob::new(9 * MIB));
    blob.push(&client, &repository(&proxy.host())).await.unwrap();
    assert_eq!(proxy.asked().iter().filter(|asked| asked.cut).count(), 3);
    let mut bytes = Vec::new();
    client.blob(&repository(registry.host()), &blob.descriptor, &mut bytes, &|_| ()).await.unwrap();
    assert!(bytes == blob.bytes);
}

#[test]
fn a_build_whose_uploads_always_break_leaves_nothing_tagged() {
    let workspace = TestWorkspace::shop();
    let push = |cuts: Vec<usize>| {
        let registry = played(Uploads { cuts, ..Uploads::default() });
        let (base, to) = (format!("oci:{BASE}:20-alpine"), format!("{}/shop", registry.server.host()));
        let arguments = ["build", "--base", &base, "--platform", "linux/amd64", "--to", &to];
        (workspace.pirogue(&arguments).output().unwrap(), registry)
    };
    let (output, registry) = push(vec![1; 200]);
    assert!(!output.status.success());
    assert!(registry.state().sessions.arrived > 0, "{}", String::from_utf8_lossy(&output.stderr));
    assert!(registry.state().tags().is_empty());

    let (output, registry) = push(vec![1, 100]);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(registry.state().tags().len(), 1);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// Whatever breaks where: the blob arrives whole or the push says that it failed, and what a session has is not sent
    /// into it again.
    #[test]
    fn connections_may_break_anywhere(
        size in prop_oneof![1..2 * MIB, 8 * MIB + 1..10 * MIB],
        cuts in prop::collection::vec(prop_oneof![0..300_000_usize, 0..10 * MIB], 0..6),
        limit in prop_oneof![Just(usize::MAX), Just(MIB), Just(3 * MIB)],
        told in prop_oneof![
            3 => Just(Told::Exactly),
            2 => Just(Told::InBlocks(65_536)),
            1 => Just(Told::Nothing),
            1 => Just(Told::APage),
            1 => Just(Told::TooMuch),
        ],
        leads in prop_oneof![Just(Leads::Path), Just(Leads::Url), Just(Leads::State)],
        attempts in prop_oneof![4 => Just(8_u32), 1 => Just(2)],
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let registry = played(Uploads { told, leads, body_limit: limit, cuts: cuts.clone(), ..Uploads::default() });
        let (client, blob, a) = (client(attempts), Blob::new(size), repository(&registry.server.host()));
        let outcome = runtime.block_on(async {
            blob.push(&client, &a).await?;
            client.push_manifest(&a.with_tag("1").unwrap(), media_type::MANIFEST, "{}").await
        });
        let state = registry.state();
        let digest = blob.descriptor.digest.to_string();
        match outcome {
            Ok(_) => prop_assert!(state.blob(&digest) == Some(&blob.bytes)),
            Err(error) => {
                prop_assert!(attempts == 2 && error.is_temporary(), "{error}");
                prop_assert!(state.tags().is_empty() && state.blob(&digest).is_none());
                return Ok(());
            }
        }
        prop_assert!(!state.tags().is_empty());
        // What sessions held that were given up, and what others held beyond the position that they told.
        let abandoned: usize = state.sessions.open.values().map(Vec::len).sum();
        let twice = state.sessions.arrived - size;
        prop_assert!(twice <= state.sessions.unconfirmed + abandoned, "{twice} bytes twice: {:?}", registry.uploads());
        let resumed = registry.uploads().iter().any(|line| line == "GET");
        if told == Told::Exactly && resumed {
            // Nothing but what a PUT brought before the first break.
            prop_assert!(twice <= cuts[0], "{twice} bytes twice: {:?}", registry.uploads());
        }
    }
}
