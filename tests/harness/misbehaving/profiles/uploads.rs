use super::super::profile::{Part, Profile, Turn};
use super::super::registry::error;
use super::super::server::Answer;
use super::super::uploads::{Leads, Uploads};
use super::{MIB, page};

/// How blobs are taken.
pub fn uploads() -> Vec<Profile> {
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
    if it.asked.method == "PATCH" && answer.status() == 202 { answer.with_status(201) } else { answer }
}

fn refuses_put(it: &Turn<'_>) -> Option<Answer> {
    (it.is("PUT", Part::Session) && it.brings()).then(|| error(404, "BLOB_UNKNOWN"))
}

/// Where answers lead.
pub fn locations() -> Vec<Profile> {
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
pub fn statuses() -> Vec<Profile> {
    let named = Profile::named;
    let chunked = |name| Profile::named(name).uploads(Uploads { body_limit: 3 * MIB, ..Uploads::default() });
    vec![
        named("put-200").then(|it, answer| committed(it, answer, Part::Session, 200)),
        named("put-202").then(|it, answer| committed(it, answer, Part::Session, 202)),
        named("put-204").then(|it, answer| committed(it, answer, Part::Session, 204)),
        chunked("pulp-patch-204").then(|it, answer| match (it.asked.method.as_str(), answer.status()) {
            ("PATCH", 202) => answer.with_status(204),
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
    if it.is("PUT", part) && answer.status() == 201 { answer.with_status(status) } else { answer }
}

/// What is answered to a mount.
pub fn mounts() -> Vec<Profile> {
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
