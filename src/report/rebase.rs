use std::fmt;

use serde::Serialize;

use super::base_update::short;
use super::table::{aligned, megabytes};
use crate::build::{Outcome, Rebase, RebasedImage};

/// What `pirogue rebase` did.
#[derive(Clone, Debug, Serialize)]
pub struct RebaseReport {
    /// The images, by service and reference.
    pub images: Vec<RebasedStatus>,
    /// Whether nothing was pushed because that was asked for.
    pub dry_run: bool,
}

/// What became of one image. Digests are of what the reference stands for: of an index, if there are several platforms.
#[derive(Clone, Debug, Serialize)]
pub struct RebasedStatus {
    /// The service.
    pub service: String,
    /// The reference.
    pub reference: String,
    /// `moved`, `up to date` or `not there`.
    pub outcome: &'static str,
    /// The base that it lies on then, as it was named.
    pub base: Option<String>,
    /// What the reference stood for.
    pub before: Option<String>,
    /// What it stands for then.
    pub digest: Option<String>,
    /// The platforms of what was moved.
    pub platforms: Vec<String>,
    /// How many bytes of blobs had to be sent.
    pub sent_bytes: u64,
}

impl RebaseReport {
    /// Reports on a rebase.
    pub fn new(rebase: &Rebase, dry_run: bool) -> Self {
        Self { images: rebase.images.iter().map(RebasedStatus::new).collect(), dry_run }
    }
}

impl RebasedStatus {
    fn new(image: &RebasedImage) -> Self {
        let status = Self {
            service: image.service.clone(),
            reference: image.reference.to_string(),
            outcome: "not there",
            base: None,
            before: None,
            digest: None,
            platforms: Vec::new(),
            sent_bytes: 0,
        };
        match &image.outcome {
            Outcome::NotThere => status,
            Outcome::UpToDate { digest, base } => {
                let digest = Some(digest.to_string());
                Self { outcome: "up to date", base: Some(base.clone()), before: digest.clone(), digest, ..status }
            }
            Outcome::Moved { before, after, base, platforms, sent_bytes } => Self {
                outcome: "moved",
                base: Some(base.clone()),
                before: Some(before.to_string()),
                digest: Some(after.to_string()),
                platforms: platforms.iter().map(ToString::to_string).collect(),
                sent_bytes: *sent_bytes,
                ..status
            },
        }
    }

    fn row(&self) -> Vec<String> {
        let short = |digest: &Option<String>| digest.as_deref().map(short).unwrap_or_default().to_owned();
        vec![
            self.reference.clone(),
            self.outcome.to_owned(),
            self.base.clone().unwrap_or_default(),
            short(&self.before),
            short(&self.digest),
            if self.outcome == "moved" { megabytes(self.sent_bytes) } else { String::new() },
        ]
    }
}

impl fmt::Display for RebaseReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let header = ["IMAGE", "", "BASE", "BEFORE", "NOW", "SENT"];
        let rows =
            std::iter::once(header.map(str::to_owned).to_vec()).chain(self.images.iter().map(RebasedStatus::row));
        f.write_str(&aligned(&rows.collect::<Vec<_>>()))?;
        let moved = self.images.iter().filter(|image| image.outcome == "moved").count();
        let all = self.images.len();
        match self.dry_run {
            true => writeln!(f, "\n{moved} of {all} would move; nothing was pushed."),
            false => writeln!(f, "\n{moved} of {all} moved."),
        }
    }
}
