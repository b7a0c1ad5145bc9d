use super::super::profile::{Part, Profile, Turn};
use super::super::registry::error;
use super::super::server::Answer;

/// How blobs are given out.
pub fn downloads() -> Vec<Profile> {
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
