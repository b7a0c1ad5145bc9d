//! Findings that the user knows about and accepts, each by its exact path and with a reason.

use std::path::Path;

use super::{Checked, Code, Finding, Severity, Subject};

/// A finding that is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Allowance {
    /// The file: relative to the workspace's root, or the absolute path in the image.
    pub path: String,
    /// What is accepted there.
    pub code: Code,
    /// Why.
    pub reason: String,
}

impl Allowance {
    fn covers(&self, finding: &Finding) -> bool {
        let is_here = |place: &super::Place| place.path == self.path || place.source.as_ref() == Some(&self.path);
        finding.code == self.code && finding.place.as_ref().is_some_and(is_here)
    }

    /// Whether it is about this service: what it names lies in the image, or where its files come from.
    fn is_about(&self, subject: &Subject<'_>) -> bool {
        let path = subject.root.as_path().join(&self.path);
        let is_part = |dir: &Path| {
            let own = [&subject.service.dir].into_iter().chain(subject.closure.members.keys());
            own.chain(subject.closure.packages.keys()).any(|part| part.as_path() == dir)
        };
        subject.files.find(&path).is_some()
            || subject.in_workspace(&path).is_some_and(|path| path.as_path().ancestors().any(is_part))
    }
}

impl Checked {
    /// The same without what is accepted.
    pub fn accepting(mut self, allowed: &[Allowance]) -> Self {
        self.findings.retain(|finding| !allowed.iter().any(|allowance| allowance.covers(finding)));
        self
    }
}

/// Takes out what is accepted; what is accepted in vain becomes a note.
pub(super) fn apply(subject: &Subject<'_>, findings: &mut Vec<Finding>) {
    let is_unused = |allowance: &&Allowance| !findings.iter().any(|finding| allowance.covers(finding));
    let unused: Vec<&Allowance> = subject.allowed.iter().filter(is_unused).collect();
    findings.retain(|finding| !subject.allowed.iter().any(|allowance| allowance.covers(finding)));
    findings.extend(unused.into_iter().filter(|allowance| allowance.is_about(subject)).map(|allowance| Finding {
        severity: Severity::Note,
        code: Code::AllowanceUnused,
        place: None,
        message: format!("pirogue.toml allows `{}` where there is none: `{}`", allowance.code, allowance.path),
        fix: Some("take the entry out of `[[check.allow]]`".to_owned()),
    }));
}
