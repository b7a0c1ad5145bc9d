use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::build::ServiceCheck;
use crate::check::{Finding, Severity};

/// What the checks found, for people and for programs.
#[derive(Clone, Debug, Serialize)]
pub struct FindingsReport {
    /// How many errors there are, all services together.
    pub errors: usize,
    /// How many warnings.
    pub warnings: usize,
    /// How many notes.
    pub notes: usize,
    /// The services in the order of their directories.
    pub services: Vec<ServiceFindings>,
}

/// What was found of one service.
#[derive(Clone, Debug, Serialize)]
pub struct ServiceFindings {
    /// Its name.
    pub name: String,
    /// What was found, what matters most first.
    pub findings: Vec<Finding>,
    /// How many files of code can be reached from its entry point.
    pub reached_files: usize,
    /// Where modules are asked for whose names only running code knows: how many places in each package.
    pub computed_imports: BTreeMap<String, usize>,
    /// Files of code that were not read, each with the reason.
    pub unread_files: BTreeMap<String, String>,
}

impl FindingsReport {
    /// The report on these checks.
    pub fn new(checks: &[ServiceCheck]) -> Self {
        let count = |severity| checks.iter().map(|check| check.checked.count(severity)).sum();
        let service = |check: &ServiceCheck| ServiceFindings {
            name: check.service.clone(),
            findings: check.checked.findings.clone(),
            reached_files: check.checked.reached,
            computed_imports: check.checked.computed.clone(),
            unread_files: check.checked.unread.clone(),
        };
        Self {
            errors: count(Severity::Error),
            warnings: count(Severity::Warning),
            notes: count(Severity::Note),
            services: checks.iter().map(service).collect(),
        }
    }

    /// The report for people; notes only if they are asked for.
    pub fn text(&self, verbose: bool) -> String {
        let mut text = String::new();
        // Writing into a text cannot fail.
        for service in &self.services {
            let _ = service.write(verbose, &mut text);
        }
        let hint = if self.notes > 0 && !verbose { " (`--verbose` shows them)" } else { "" };
        let [errors, warnings, notes] = [(self.errors, "error"), (self.warnings, "warning"), (self.notes, "note")].map(
            |(count, what)| match count {
                0 => format!("no {what}s"),
                1 => format!("1 {what}"),
                count => format!("{count} {what}s"),
            },
        );
        let _ = writeln!(text, "{errors}, {warnings}, {notes}{hint}");
        text
    }
}

impl ServiceFindings {
    fn write(&self, verbose: bool, text: &mut String) -> std::fmt::Result {
        let shown = self.findings.iter().filter(|finding| verbose || finding.severity != Severity::Note);
        let files = if self.reached_files == 1 { "file" } else { "files" };
        writeln!(text, "{} ({} {files} of code)", self.name, self.reached_files)?;
        for Finding { severity, code, place, message, fix } in shown {
            match place {
                Some(place) => writeln!(text, "  {severity}[{code}] {place}\n    {message}")?,
                None => writeln!(text, "  {severity}[{code}]\n    {message}")?,
            }
            fix.iter().try_for_each(|fix| writeln!(text, "    fix: {fix}"))?;
        }
        if verbose {
            for (package, places) in &self.computed_imports {
                let places = if *places == 1 { "one place".to_owned() } else { format!("{places} places") };
                writeln!(text, "  not followed: {package} computes the names of modules at {places}")?;
            }
            for (file, why) in &self.unread_files {
                writeln!(text, "  not read: {file}: {why}")?;
            }
        }
        writeln!(text)
    }
}
