use std::fmt;

use jiff::Timestamp;
use serde::Serialize;

use super::base_update::short;
use super::table::aligned;
use crate::build::{DeployedImage, FoundImage, Match};

const DAY: i64 = 86_400;

/// What `pirogue base status` found.
#[derive(Clone, Debug, Serialize)]
pub struct BaseStatusReport {
    /// The images: by destination, service, tag and platform.
    pub images: Vec<ImageStatus>,
}

/// One image of a service.
#[derive(Clone, Debug, Serialize)]
pub struct ImageStatus {
    /// The service.
    pub service: String,
    /// The reference that was asked for.
    pub reference: String,
    /// The base that the service has, as the user named it.
    pub base: String,
    /// What was found; `None` where there is no such image.
    pub found: Option<FoundStatus>,
}

/// What a registry has.
#[derive(Clone, Debug, Serialize)]
pub struct FoundStatus {
    /// The digest of the manifest.
    pub digest: String,
    /// The platform.
    pub platform: String,
    /// When the image was made, RFC 3339; `None` where it says nothing that can be true.
    pub created: Option<String>,
    /// How long ago that was.
    pub age_seconds: Option<i64>,
    /// What it says to lie on: the reference.
    pub base_name: Option<String>,
    /// What it says to lie on: the digest of the manifest.
    pub base_digest: Option<String>,
    /// Whether its layers are those of the base that it says to lie on; `None` where that cannot be looked at.
    pub base_proven: Option<bool>,
    /// When what it lies on was made.
    pub base_created: Option<String>,
    /// How long ago that was.
    pub base_age_seconds: Option<i64>,
    /// Whether it lies on the base in the lock: `same`, `same layers`, `other`, `contradiction` or `unknown`.
    pub against_lock: &'static str,
    /// Whether it lies on what the base's reference stands for now, in the same words.
    pub against_reference: &'static str,
}

impl BaseStatusReport {
    /// Reports on images, at a time in nanoseconds since 1970.
    pub fn new(images: &[DeployedImage], now: i64) -> Self {
        let now = now / 1_000_000_000;
        let status = |image: &DeployedImage| ImageStatus {
            service: image.service.clone(),
            reference: image.reference.to_string(),
            base: image.base.clone(),
            found: image.found.as_ref().map(|found| FoundStatus::new(found, now)),
        };
        Self { images: images.iter().map(status).collect() }
    }
}

impl FoundStatus {
    fn new(found: &FoundImage, now: i64) -> Self {
        let created = found.created.as_deref().filter(|text| age(text, now).is_some());
        let base_created = found.base_created.as_deref().filter(|text| age(text, now).is_some());
        Self {
            digest: found.digest.to_string(),
            platform: found.platform.to_string(),
            created: created.map(str::to_owned),
            age_seconds: created.and_then(|text| age(text, now)),
            base_name: found.base_name.clone(),
            base_digest: found.base_digest.clone(),
            base_proven: found.base_proven,
            base_created: base_created.map(str::to_owned),
            base_age_seconds: base_created.and_then(|text| age(text, now)),
            against_lock: word(found.against_lock),
            against_reference: word(found.against_reference),
        }
    }

    fn row(&self, image: &ImageStatus) -> Vec<String> {
        let old = |seconds: Option<i64>| match seconds.map(|seconds| seconds / DAY) {
            None => "unknown".to_owned(),
            Some(0) => "today".to_owned(),
            Some(1) => "1 day ago".to_owned(),
            Some(days) => format!("{days} days ago"),
        };
        vec![
            image.reference.clone(),
            self.platform.clone(),
            old(self.age_seconds),
            image.base.clone(),
            match (self.base_digest.as_deref().map(short), self.base_proven) {
                (None, _) => "unknown".to_owned(),
                (Some(digest), Some(true)) => digest.to_owned(),
                (Some(digest), Some(false)) => format!("not {digest}"),
                (Some(digest), None) => format!("{digest}?"),
            },
            old(self.base_age_seconds),
            self.against_lock.to_owned(),
            self.against_reference.to_owned(),
        ]
    }
}

/// How many seconds ago a time was. Times of the first day of 1970 and times to come say nothing: images that are to be
/// the same for everybody have such.
fn age(created: &str, now: i64) -> Option<i64> {
    let created: Timestamp = created.parse().ok()?;
    let seconds = created.as_second();
    (seconds > DAY && seconds <= now).then(|| now - seconds)
}

fn word(found: Match) -> &'static str {
    match found {
        Match::Same => "same",
        Match::SameLayers => "same layers",
        Match::Other => "other",
        Match::Contradiction => "contradiction",
        Match::Unknown => "unknown",
    }
}

impl fmt::Display for BaseStatusReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["IMAGE", "PLATFORM", "MADE", "BASE", "LIES ON", "BASE MADE", "LOCK", "NOW"];
        let mut rows = vec![header.map(str::to_owned).to_vec()];
        rows.extend(self.images.iter().map(|image| {
            let absent = || vec![image.reference.clone(), "not there".to_owned()];
            let mut row = image.found.as_ref().map_or_else(absent, |found| found.row(image));
            row.resize(header.len(), String::new());
            row
        }));
        f.write_str(&aligned(&rows))?;
        let count = |wanted: fn(&FoundStatus) -> bool| {
            self.images.iter().filter_map(|image| image.found.as_ref()).filter(|found| wanted(found)).count()
        };
        let all = self.images.iter().filter(|image| image.found.is_some()).count();
        writeln!(
            f,
            "\n{all} found: {} on the base in the lock, {} on what its name stands for now.",
            count(|found| found.against_lock == "same"),
            count(|found| found.against_reference == "same"),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ages() {
        let now = 1_800_000_000;
        let table = [
            ("a day", "2027-01-14T08:00:00Z", Some(DAY)),
            ("now", "2027-01-15T08:00:00Z", Some(0)),
            ("in another zone", "2027-01-15T09:00:00+01:00", Some(0)),
            ("to come", "2027-01-15T08:00:01Z", None),
            ("the time of images that are the same for everybody", "1970-01-01T00:00:01Z", None),
            ("no time", "yesterday", None),
        ];
        for (comment, created, expected) in table {
            assert_eq!(age(created, now), expected, "{comment}");
        }
    }
}
