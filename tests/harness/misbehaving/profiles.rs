//! Habits of registries and of proxies before them, by name. What a name tells is not said again.

use std::time::{Duration, SystemTime};

use super::access::Door;
use super::profile::{Part, Profile, Turn};
use super::registry::error;
use super::server::Answer;
use super::uploads::{Leads, Uploads};

const MIB: usize = 1 << 20;

/// All of them. The image that tests push has a layer of more than 8 MiB and small ones; each blob of the base has some
/// hundred bytes at least.
pub fn profiles() -> Vec<Profile> {
    [uploads(), locations(), statuses(), mounts(), refusals(), overloads(), access(), manifests(), downloads()].concat()
}

fn page(status: u16) -> Answer {
    Answer::new(status).header("Content-Type", "text/html").body("<html>Please log in</html>")
}

/// How blobs are taken.
fn uploads() -> Vec<Profile> {
    let named = Profile::named;
    let base = Uploads::default;
    vec![
        named("as-specified"),
        // A chunk is answered by success and thrown away, but for the first.
        named("ecr-201-patch")
            .uploads(Uploads { body_limit: 4 * MIB, kept_patches: 1, ..base() })
            .then(patched_201)
            .push_fails("it takes a chunk and does not keep it"),
        named("ecr-201-patch-after-a-break")
            .uploads(Uploads { cuts: vec![MIB], cut_from: MIB, kept_patches: 1, ..base() })
            .then(patched_201),
        named("gar-puts-only")
            .uploads(Uploads { cuts: vec![MIB], cut_from: MIB, ..base() })
            .instead(|it| (it.asked.method == "PATCH").then(|| error(405, "UNSUPPORTED"))),
        named("ghcr-4mib").uploads(Uploads { cuts: vec![MIB], cut_from: MIB, patch_limit: 4 * MIB, ..base() }),
        named("ghcr-octet-stream").instead(|it| {
            let right = it.asked.header("content-type") == "application/octet-stream";
            (it.part == Part::Session && it.brings() && !right).then(|| error(415, "UNSUPPORTED"))
        }),
        named("ghcr-upload-unknown")
            .instead(|it| (it.is("PUT", Part::Session) && it.before == 0).then(|| error(404, "BLOB_UPLOAD_UNKNOWN"))),
        named("artifactory-no-put").instead(refuses_put),
        named("quay-no-cancelling").uploads(Uploads { cancelling: 405, ..base() }).instead(refuses_put),
        named("chunk-min-length").uploads(Uploads { body_limit: 6 * MIB, least_chunk: Some(3 << 20), ..base() }),
        named("chunk-min-length-of-the-moon").uploads(Uploads { least_chunk: Some(1 << 63), ..base() }),
        named("chunk-min-length-of-the-moon-behind-a-limit")
            .uploads(Uploads { body_limit: 6 * MIB, least_chunk: Some(1 << 63), ..base() })
            .push_fails("the body is too large for the registry or a proxy before it"),
        named("cf-413").uploads(Uploads { body_limit: 3 * MIB, ..base() }),
        named("nginx-413-unread").uploads(Uploads { body_limit: 3 * MIB, refuses_at_once: true, ..base() }),
        named("413-below-a-mebibyte")
            .uploads(Uploads { body_limit: MIB - 1, ..base() })
            .push_fails("the body is too large for the registry or a proxy before it"),
        named("r2-equal-parts").uploads(Uploads { body_limit: 5 * MIB, equal_patches: true, ..base() }),
        named("acr-content-range").uploads(Uploads { body_limit: 3 * MIB, ..base() }).instead(|it| {
            let range = it.asked.header("content-range");
            range.contains(['/', ' ', '=', '*']).then(|| error(416, "RANGE_INVALID"))
        }),
        named("cut-in-the-middle").uploads(Uploads { cuts: vec![100, 2 * MIB, 5 * MIB, 3], cut_from: MIB, ..base() }),
        // The blob is there, but nobody says so.
        named("lost-answer").then(|it, answer| match it.is("PUT", Part::Session) && it.before == 0 {
            true => Answer::none(),
            false => answer,
        }),
        named("lost-answer-to-a-manifest").then(|it, answer| match it.is("PUT", Part::Manifest) && it.before == 0 {
            true => Answer::none(),
            false => answer,
        }),
        named("gitlab-slow-first-push")
            .instead(|it| (it.is("POST", Part::Uploads) && it.before == 0).then(|| page(504))),
    ]
}

fn patched_201(it: &Turn<'_>, answer: Answer) -> Answer {
    if it.asked.method == "PATCH" && answer.status() == 202 { answer.as_status(201) } else { answer }
}

fn refuses_put(it: &Turn<'_>) -> Option<Answer> {
    (it.is("PUT", Part::Session) && it.brings()).then(|| error(404, "BLOB_UNKNOWN"))
}

/// Where answers lead.
fn locations() -> Vec<Profile> {
    let led = |name, leads| Profile::named(name).uploads(Uploads { leads, ..Uploads::default() });
    let chunked =
        |name, leads| Profile::named(name).uploads(Uploads { leads, body_limit: 3 * MIB, ..Uploads::default() });
    vec![
        led("relative-location", Leads::Name),
        led("absolute-location", Leads::Url),
        led("location-without-scheme", Leads::NoScheme),
        led("acr-state-in-location", Leads::State),
        chunked("acr-state-changes-with-each-chunk", Leads::State),
        led("presigned-location", Leads::Storage),
        led("location-of-a-file", Leads::File).push_fails("the registry leads to an unsafe address"),
        chunked("patch-without-location", Leads::Path)
            .then(|it, answer| if it.asked.method == "PATCH" { answer.without("location") } else { answer }),
        Profile::named("location-missing")
            .then(|it, answer| if it.part == Part::Uploads { answer.without("location") } else { answer })
            .push_fails("it opens an upload and does not say where"),
    ]
}

/// Statuses of success.
fn statuses() -> Vec<Profile> {
    let named = Profile::named;
    let chunked = |name| Profile::named(name).uploads(Uploads { body_limit: 3 * MIB, ..Uploads::default() });
    vec![
        named("put-200").then(|it, answer| committed(it, answer, Part::Session, 200)),
        named("put-202").then(|it, answer| committed(it, answer, Part::Session, 202)),
        named("put-204").then(|it, answer| committed(it, answer, Part::Session, 204)),
        chunked("pulp-patch-204").then(|it, answer| match (it.asked.method.as_str(), answer.status()) {
            ("PATCH", 202) => answer.as_status(204),
            _ => answer,
        }),
        named("manifest-200").then(|it, answer| committed(it, answer, Part::Manifest, 200)),
        named("manifest-202").then(|it, answer| committed(it, answer, Part::Manifest, 202)),
        named("html-200")
            .instead(|_| Some(page(200)))
            .push_fails("the answer is not that of a registry")
            .pull_fails("the answer is not that of a registry"),
        // A login page in place of what one is not allowed to do.
        named("html-200-for-writes")
            .instead(|it| matches!(it.asked.method.as_str(), "POST" | "PUT" | "PATCH").then(|| page(200)))
            .push_fails("the answer is not that of a registry"),
        named("blobs-that-get-lost")
            .instead(|it| it.is("PUT", Part::Session).then(|| Answer::new(200)))
            .push_fails("it took a blob and does not have it"),
    ]
}

fn committed(it: &Turn<'_>, answer: Answer, part: Part, status: u16) -> Answer {
    if it.is("PUT", part) && answer.status() == 201 { answer.as_status(status) } else { answer }
}

/// What is answered to a mount.
fn mounts() -> Vec<Profile> {
    let named = Profile::named;
    vec![
        named("mount-202").uploads(Uploads { mounts: false, ..Uploads::default() }),
        named("mount-400").instead(|it| it.mounts().then(|| error(400, "UNSUPPORTED"))),
        named("mount-401").instead(|it| it.mounts().then(|| Answer::new(401))),
        named("harbor-mount-403").instead(|it| it.mounts().then(|| error(403, "DENIED"))),
        named("nexus-mount-404").instead(|it| it.mounts().then(|| page(404))),
        named("mount-405").instead(|it| it.mounts().then(|| error(405, "UNSUPPORTED"))),
        named("mount-500").instead(|it| it.mounts().then(|| page(500))),
        named("mount-cut-off").instead(|it| it.mounts().then(Answer::none)),
        named("quay-mount-wants-from")
            .instead(|it| (it.mounts() && !it.asked.target.contains("from=")).then(|| page(500))),
        named("hub-mount-with-origin").instead(|it| it.asked.target.contains("origin=").then(|| page(500))),
    ]
}

/// What is answered for what is not there, or must not be done.
fn refusals() -> Vec<Profile> {
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
fn overloads() -> Vec<Profile> {
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
fn access() -> Vec<Profile> {
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
        named("hub-5min-token").door(tokens(r#"{"token":"TOKEN","expires_in":300}"#, 3)),
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
fn manifests() -> Vec<Profile> {
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

/// How blobs are given out.
fn downloads() -> Vec<Profile> {
    let named = Profile::named;
    vec![
        named("truncating-get").then(|it, answer| if is_long(it, &answer) { answer.cut_after(200) } else { answer }),
        named("truncating-get-without-ranges")
            .instead(|it| (it.is("GET", Part::Blob) && !it.asked.header("range").is_empty()).then(|| whole(it)))
            .then(cut_first),
        named("206-without-content-range").then(|it, answer| cut_first(it, answer.without("content-range"))),
        named("206-from-elsewhere").then(|it, answer| match answer.status() {
            206 => answer.without("content-range").header("Content-Range", "bytes 7-8/9"),
            _ => cut_first(it, answer),
        }),
        named("416-to-ranges")
            .instead(|it| (it.is("GET", Part::Blob) && !it.asked.header("range").is_empty()).then(|| Answer::new(416)))
            .then(cut_first),
        named("presigned-download").instead(|it| {
            let place = format!("http://{}{}?X-Signature=a%2Bb", it.storage, it.asked.target);
            (it.is("GET", Part::Blob) && it.has_blob()).then(|| Answer::new(307).header("Location", place))
        }),
        named("presigned-download-cut")
            .instead(|it| {
                let place = format!("http://{}{}?X-Signature=a%2Bb", it.storage, it.asked.target);
                (it.is("GET", Part::Blob) && it.has_blob() && !it.asked.header("range").is_empty())
                    .then(|| Answer::new(307).header("Location", place))
            })
            .then(cut_first),
        named("chunked-download").then(|it, answer| if it.is("GET", Part::Blob) { answer.chunked() } else { answer }),
        named("too-many-bytes")
            .instead(|it| (it.is("GET", Part::Blob) && it.has_blob()).then(|| Answer::new(200).body(vec![7; 1 << 20])))
            .pull_fails("the size is"),
        named("other-bytes")
            .instead(|it| {
                let size = whole(it).size();
                (it.is("GET", Part::Blob) && it.has_blob()).then(|| Answer::new(200).body(vec![7; size]))
            })
            .pull_fails("the digest is"),
        named("harbor-head-length").then(|it, answer| {
            if it.is("HEAD", Part::Blob) {
                answer.without("content-length").header("Content-Length", 7)
            } else {
                answer
            }
        }),
    ]
}

fn is_long(it: &Turn<'_>, answer: &Answer) -> bool {
    it.is("GET", Part::Blob) && matches!(answer.status(), 200 | 206) && answer.size() > 200
}

/// Cuts the answers to the first requests for blobs, so that each has to be asked for again.
fn cut_first(it: &Turn<'_>, answer: Answer) -> Answer {
    if is_long(it, &answer) && it.asked.header("range").is_empty() && it.before < 3 {
        answer.cut_after(150)
    } else {
        answer
    }
}

/// A blob, whatever part of it was asked for.
fn whole(it: &Turn<'_>) -> Answer {
    match it.contents.and_then(|contents| contents.blobs.get(it.name())) {
        Some(bytes) => Answer::new(200).body(bytes.clone()),
        None => error(404, "BLOB_UNKNOWN"),
    }
}
