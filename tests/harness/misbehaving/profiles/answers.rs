use std::time::{Duration, SystemTime};

use super::super::access::Door;
use super::super::profile::{Part, Profile, Turn};
use super::super::registry::error;
use super::super::server::Answer;
use super::super::uploads::Uploads;
use super::page;

/// What is answered for what is not there, or must not be done.
pub fn refusals() -> Vec<Profile> {
    let named = Profile::named;
    vec![
        named("artifactory-head-403")
            .instead(|it| (it.is("HEAD", Part::Blob) && !it.has_blob()).then(|| Answer::new(403))),
        // A blob that HEAD says is there and GET does not find. It is not, as the manifest shows.
        named("artifactory-head-lies")
            .instead(|it| (it.is("HEAD", Part::Blob)).then(|| Answer::new(200)))
            .then(manifest_invalid),
        named("gitlab-head-401")
            .door(Door::tokens())
            .instead(|it| (it.is("HEAD", Part::Blob) && !it.has_blob()).then(|| Answer::new(401))),
        named("head-405").instead(|it| (it.asked.method == "HEAD").then(|| Answer::new(405))),
        named("harbor-404-unknown").then(|it, answer| match answer.status() {
            404 if it.asked.method != "HEAD" => error(404, "UNKNOWN"),
            _ => answer,
        }),
        named("html-404").then(|_, answer| match answer.status() {
            404 => page(404).body(vec![b'x'; 100_000]),
            _ => answer,
        }),
        named("ecr-name-unknown")
            .instead(|it| (it.part == Part::Uploads).then(|| error(404, "NAME_UNKNOWN")))
            .push_fails("the registry does not know the repository"),
        named("denied")
            .instead(|it| (it.part == Part::Uploads).then(|| error(403, "DENIED")))
            .push_fails("the registry denies access"),
        named("login-page")
            .instead(|it| {
                let page = it.asked.target.starts_with("/login").then(|| page(200));
                page.or_else(|| Some(Answer::new(302).header("Location", "/login")))
            })
            .push_fails("the answer is not that of a registry")
            .pull_fails("the answer is not that of a registry"),
        named("harbor-csrf")
            .instead(|it| (!it.asked.header("cookie").is_empty()).then(|| error(403, "FORBIDDEN")))
            .then(|_, answer| answer.header("Set-Cookie", "sid=1; Path=/; HttpOnly")),
        named("only-identity")
            .instead(|it| (it.asked.header("accept-encoding") != "identity").then(|| Answer::new(406))),
        named("warning").then(|_, answer| answer.header("Warning", "299 - \"moves on Monday\"")),
    ]
}

fn manifest_invalid(it: &Turn<'_>, answer: Answer) -> Answer {
    if it.is("PUT", Part::Manifest) && answer.status() == 400 { error(400, "MANIFEST_INVALID") } else { answer }
}

/// Too much at once.
pub fn overloads() -> Vec<Profile> {
    let named = Profile::named;
    vec![
        named("429-seconds").instead(|it| (it.before == 0).then(|| Answer::new(429).header("Retry-After", 0))),
        named("429-date").instead(|it| (it.before == 0).then(|| later(0, 1))),
        named("429-past-date").instead(|it| (it.before == 0).then(|| later(0, -3600))),
        named("429-date-of-another-clock").instead(|it| (it.before == 0).then(|| later(300, 301))),
        // Not a word in it, as from what guards Docker Hub against single addresses.
        named("hub-bare-429").instead(|it| (it.before == 0).then(|| Answer::new(429))),
        named("429-for-an-hour")
            .instead(|_| Some(Answer::new(429).header("Retry-After", 3600)))
            .push_fails("the registry wants fewer requests")
            .pull_fails("the registry wants fewer requests"),
        named("429-for-an-hour-in-an-upload")
            .instead(|it| (it.is("PUT", Part::Session)).then(|| Answer::new(429).header("Retry-After", 3600)))
            .push_fails("the registry wants fewer requests"),
        named("hub-pull-limit")
            .instead(|it| {
                it.is("GET", Part::Manifest).then(|| {
                    error(429, "TOOMANYREQUESTS").header("Retry-After", 3600).header("ratelimit-remaining", "0;w=21600")
                })
            })
            .pull_fails("the registry wants fewer requests"),
        named("503-storm").instead(|it| (it.before < 3).then(|| page(503))),
        named("522-of-a-proxy").instead(|it| (it.before == 0).then(|| page(522))),
        named("503-for-every-tag")
            .instead(|it| it.is("PUT", Part::Manifest).then(|| page(503)))
            .push_fails("status 503"),
        named("503-after-taking").uploads(Uploads { overloads: 2, ..Uploads::default() }),
    ]
}

/// 429 with a date, in seconds from now, by a clock that differs from ours by so many seconds.
fn later(clock: i64, wait: i64) -> Answer {
    let date = |seconds: i64| {
        let offset = Duration::from_secs(seconds.unsigned_abs());
        let now = SystemTime::now();
        httpdate::fmt_http_date(if seconds < 0 { now - offset } else { now + offset })
    };
    Answer::new(429).header("Date", date(clock)).header("Retry-After", date(wait))
}

/// Who is let in, and how that is told.
pub fn access() -> Vec<Profile> {
    let named = Profile::named;
    let tokens = |answer, life| Door::Tokens { answer, life };
    vec![
        named("docr-basic").door(Door::Basic),
        named("token").door(Door::tokens()),
        named("access-token").door(tokens(r#"{"access_token":"TOKEN","expires_in":300}"#, usize::MAX)),
        named("token-without-an-end").door(tokens(r#"{"token":"TOKEN"}"#, usize::MAX)),
        named("token-of-a-second").door(tokens(r#"{"token":"TOKEN","expires_in":1}"#, usize::MAX)),
        named("token-of-another-clock")
            .door(tokens(r#"{"token":"TOKEN","expires_in":300,"issued_at":"2020-01-01T00:00:00Z"}"#, usize::MAX)),
        // It ends in the middle of a push, and is good for more requests than wait for their turn at a time.
        named("hub-5min-token").door(tokens(r#"{"token":"TOKEN","expires_in":300}"#, 12)),
        named("gcr-challenge-at-the-root-only").door(Door::tokens()).then(|it, answer| match it.part {
            Part::Root => answer,
            _ => answer.without("www-authenticate"),
        }),
        named("negotiate-first").door(Door::Basic).then(|_, answer| match answer.status() {
            401 => answer
                .without("www-authenticate")
                .header("WWW-Authenticate", "Negotiate")
                .header("WWW-Authenticate", "Basic realm=\"played\", charset=\"UTF-8\""),
            _ => answer,
        }),
        named("token-service-overloaded")
            .door(Door::tokens())
            .instead(|it| (it.part == Part::Token && it.before == 0).then(|| page(503))),
        named("token-that-nobody-takes")
            .door(tokens(r#"{"token":"other"}"#, usize::MAX))
            .push_fails("does not accept the credentials")
            .pull_fails("does not accept the credentials"),
    ]
}

/// How manifests are taken and told of.
pub fn manifests() -> Vec<Profile> {
    let named = Profile::named;
    vec![
        named("ecr-no-manifest-location").then(|it, answer| match it.is("PUT", Part::Manifest) {
            true => answer.without("location").without("docker-content-digest"),
            false => answer,
        }),
        named("no-content-digest").then(|_, answer| answer.without("docker-content-digest")),
        named("another-content-digest").then(|it, answer| match it.is("PUT", Part::Manifest) {
            true => answer.without("docker-content-digest").header(
                "Docker-Content-Digest",
                "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            ),
            false => answer,
        }),
        named("manifests-that-show-late")
            .instead(|it| {
                let is_asked = matches!(it.asked.method.as_str(), "HEAD" | "GET") && it.part == Part::Manifest;
                (is_asked && it.asked.target.contains("web/manifests/") && it.before < 3)
                    .then(|| error(404, "MANIFEST_UNKNOWN"))
            })
            .then(|it, answer| match it.is("PUT", Part::Manifest) {
                true => answer.without("docker-content-digest"),
                false => answer,
            }),
        named("blobs-that-show-late")
            .instead(|it| (it.is("PUT", Part::Manifest) && it.before < 2).then(|| error(404, "MANIFEST_BLOB_UNKNOWN"))),
        named("ecr-media-type").instead(|it| {
            let untyped =
                !String::from_utf8_lossy(&it.asked.body).contains(r#""mediaType":"application/vnd.oci.image.manifest"#);
            (it.is("PUT", Part::Manifest) && untyped).then(|| error(405, "UNSUPPORTED"))
        }),
        named("zot-no-docker-types").instead(|it| {
            let docker = String::from_utf8_lossy(&it.asked.body).contains("vnd.docker");
            (it.is("PUT", Part::Manifest) && docker).then(|| error(415, "MANIFEST_INVALID"))
        }),
        named("old-quay-no-oci")
            .instead(|it| it.is("PUT", Part::Manifest).then(|| error(415, "MANIFEST_INVALID")))
            .push_fails("the registry refused, status 415 `MANIFEST_INVALID`"),
        named("ecr-immutable-tags").instead(|it| {
            let is_taken = it.contents.is_some_and(|contents| contents.tags.contains_key(it.name()));
            (it.is("PUT", Part::Manifest) && is_taken).then(|| error(400, "ImageTagAlreadyExistsException"))
        }),
        named("media-type-with-parameters").then(|it, answer| match (it.part, answer.status()) {
            (Part::Manifest, 200) => {
                answer.without("content-type").header("Content-Type", "application/json; charset=utf-8")
            }
            _ => answer,
        }),
    ]
}
