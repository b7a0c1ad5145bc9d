use std::fmt;

use serde::Serialize;

use crate::registry::{Check, Feature, Verdict};

/// What a registry supports, for people and for programs.
#[derive(Clone, Debug, Serialize)]
pub struct CheckReport {
    /// The repository that was tried.
    pub repository: String,
    /// Whether this user may push to it.
    pub may_push: bool,
    /// What was tried.
    pub findings: Vec<FindingReport>,
    /// What could not be removed again.
    pub left_behind: Vec<String>,
}

/// One thing that was tried.
#[derive(Clone, Debug, Serialize)]
pub struct FindingReport {
    /// What, such as `mount`.
    pub feature: &'static str,
    /// `yes`, `no`, or `unknown` where it was not tried.
    pub works: &'static str,
    /// What was seen.
    pub observed: String,
    /// What pirogue does about it.
    pub pirogue: &'static str,
}

impl CheckReport {
    /// The report on a check.
    pub fn new(check: &Check) -> Self {
        let finding = |finding: &crate::registry::Finding| FindingReport {
            feature: name(finding.feature),
            works: match finding.verdict {
                Verdict::Works => "yes",
                Verdict::Fails => "no",
                Verdict::Untried => "unknown",
            },
            observed: finding.observed.clone(),
            pirogue: consequence(finding.feature, finding.verdict),
        };
        Self {
            repository: check.repository.to_string(),
            may_push: check.may_push,
            findings: check.findings.iter().map(finding).collect(),
            left_behind: check.left_behind.clone(),
        }
    }
}

fn name(feature: Feature) -> &'static str {
    match feature {
        Feature::Login => "login",
        Feature::Pull => "pull",
        Feature::Push => "push",
        Feature::SinglePut => "single upload",
        Feature::Chunks => "chunks",
        Feature::Cancel => "cancel",
        Feature::Mount => "mount",
        Feature::Zstd => "zstd",
        Feature::Referrers => "referrers",
        Feature::Delete => "delete",
        Feature::Limits => "limits",
    }
}

/// What pirogue does, now that this works or does not.
fn consequence(feature: Feature, verdict: Verdict) -> &'static str {
    let works = verdict == Verdict::Works;
    match feature {
        Feature::Login => "credentials of docker and podman are used where it asks for them",
        Feature::Pull if works => "bases and images can be read from here",
        Feature::Pull => "nothing can be read from here: log in, or ask for the right to pull",
        Feature::Push if works => "images can be pushed here",
        Feature::Push => "images cannot be pushed here: log in, ask for the right to push, or create the repository",
        Feature::SinglePut if verdict == Verdict::Fails => "blobs go by PATCH and PUT instead",
        Feature::SinglePut => "each blob goes in one request",
        Feature::Chunks if works => "large blobs go in pieces where a proxy wants it, and go on after a break",
        Feature::Chunks => "blobs go whole, and begin again after a break",
        Feature::Cancel if works => "uploads that are given up are cancelled",
        Feature::Cancel => "uploads that are given up are left for the registry to drop",
        Feature::Mount if works => "blobs that another repository here has are not sent again",
        Feature::Mount => "where a mount is refused, the blob is sent",
        Feature::Zstd if works => "`--compression zstd` can be used",
        Feature::Zstd => "images are compressed with gzip, unless `--compression zstd` is asked for",
        Feature::Referrers if works => "signatures and SBOMs are found through the registry's own list",
        Feature::Referrers => "signatures and SBOMs are listed under the tag `sha256-HEX` instead",
        Feature::Delete => "nothing: pirogue deletes only what this check pushed",
        Feature::Limits => "smaller pieces after a refusal for size, fewer requests when told to wait",
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n", self.repository)?;
        for finding in &self.findings {
            // Limits are told; there is nothing about them that works or not.
            let works = if finding.feature == name(Feature::Limits) { "" } else { finding.works };
            writeln!(f, "{:<14} {works:<8} {}", finding.feature, finding.observed)?;
            writeln!(f, "{:<14} {:<8} -> {}", "", "", finding.pirogue)?;
        }
        match self.may_push {
            true => writeln!(f, "\nThis user may push here.")?,
            false => writeln!(f, "\nThis user may not push here.")?,
        }
        if self.left_behind.is_empty() {
            return writeln!(f, "Nothing was left behind.");
        }
        writeln!(f, "Left behind, since it could not be removed:")?;
        self.left_behind.iter().try_for_each(|what| writeln!(f, "- {what}"))
    }
}
