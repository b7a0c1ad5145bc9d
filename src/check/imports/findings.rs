use std::collections::BTreeMap;

use super::{Graph, Missing, Reached};
use crate::check::{CheckError, Code, Finding, Severity, Subject};
use crate::closure::package_of;
use crate::javascript::{Request, RequestKind, When};
use crate::workspace::WorkspacePath;

impl Graph {
    /// What is missing: one finding for each package and what it asks for, with the first place.
    pub fn findings(&self, subject: &Subject<'_>) -> Result<Vec<Finding>, CheckError> {
        let mut groups: BTreeMap<(Severity, Option<WorkspacePath>, String), Group<'_>> = BTreeMap::new();
        // What is called like Node's function may be that of a bundle.
        for (file, request, missing) in self.missing().filter(|(_, request, _)| request.kind != RequestKind::Parameter)
        {
            let severity = match file.when.max(request.when) {
                When::AtStart => Severity::Error,
                _ if is_done_without(request) => Severity::Note,
                _ if is_of_what_is_there(subject, file, request) => Severity::Warning,
                _ if file.is_ours && request.kind == RequestKind::Framework => Severity::Warning,
                _ if is_asked_for_by_listed(file, request) => Severity::Warning,
                When::Guarded | When::Later => Severity::Note,
            };
            let package = subject.package_at(&file.path).map(|package| package.dir);
            let wanted = package_of(&request.specifier).filter(|_| severity == Severity::Note);
            let key = (severity, package, wanted.unwrap_or_else(|| wanted_file(file, request)));
            let group = groups.entry(key).or_insert_with(|| Group { file, request, missing, places: 0 });
            group.places += 1;
            if (&file.path, request.line) < (&group.file.path, group.request.line) {
                (group.file, group.request, group.missing) = (file, request, missing);
            }
        }
        let mut findings = Vec::new();
        for ((severity, ..), group) in groups {
            findings.push(group.finding(severity, subject)?);
        }
        findings.extend(self.syntax_errors(subject));
        Ok(findings)
    }

    /// Files that node will most likely refuse.
    fn syntax_errors(&self, subject: &Subject<'_>) -> impl Iterator<Item = Finding> {
        self.modules().filter_map(|(file, module)| {
            let error = module.syntax_error.as_ref()?;
            let is_certain = file.is_ours && file.when == When::AtStart;
            Some(Finding {
                severity: if is_certain { Severity::Warning } else { Severity::Note },
                code: Code::SyntaxError,
                place: Some(subject.place(&file.path, None)),
                message: format!("this is not JavaScript as the parser knows it: {error}"),
                fix: None,
            })
        })
    }
}

/// Whether nothing fails without it: that is caught, or a condition keeps it from being asked for.
fn is_done_without(request: &Request) -> bool {
    request.when != When::AtStart && (request.is_caught || request.is_unlikely)
}

/// Whether a file is missing of what else is there: of the same package, which is whole, whatever the condition under which
/// it asks for it; or of another that is installed and that is asked for without a condition. Addons are made by scripts that
/// need not have run.
fn is_of_what_is_there(subject: &Subject<'_>, file: &Reached, request: &Request) -> bool {
    let is_there = |name: String| subject.package_near(&file.path, &name).is_some();
    match request.specifier.starts_with('.') {
        true => !is_addon(&request.specifier),
        false => request.when == When::AtStart && package_of(&request.specifier).is_some_and(is_there),
    }
}

/// Whether code asks for something as soon as it is loaded that the service loads by its directory. What begins at the
/// root is for browsers.
fn is_asked_for_by_listed(file: &Reached, request: &Request) -> bool {
    file.is_listed && request.when == When::AtStart && !request.specifier.starts_with('/')
}

fn is_addon(specifier: &str) -> bool {
    specifier.ends_with(".node") || ["/build/", "/prebuilds/", "/out/"].iter().any(|dir| specifier.contains(dir))
}

/// A relative specifier means another file in every directory.
fn wanted_file(file: &Reached, request: &Request) -> String {
    match request.specifier.starts_with('.') {
        true => format!("{} {}", file.path.parent().unwrap_or(&file.path).display(), request.specifier),
        false => request.specifier.clone(),
    }
}

/// Requests of one package for the same thing.
struct Group<'g> {
    file: &'g Reached,
    request: &'g Request,
    missing: &'g Missing,
    places: usize,
}

impl Group<'_> {
    fn finding(&self, severity: Severity, subject: &Subject<'_>) -> Result<Finding, CheckError> {
        let Self { file, request, missing, places } = self;
        let package = subject.package_at(&file.path);
        let cause = super::cause::of(subject, &file.path, package.as_ref(), request, missing)?;
        let who = package.as_ref().map_or_else(|| "this file".to_owned(), |package| format!("`{}`", package.label()));
        let verb = match (severity, file.when.max(request.when)) {
            (Severity::Error, _) => "asks at the start for",
            (Severity::Warning, _) if file.is_listed && request.when == When::AtStart => {
                "asks, once it is loaded with its directory, for"
            }
            (Severity::Warning, When::Guarded) => "may ask for",
            (_, When::Guarded) => "tries to load",
            _ if request.is_caught => "may later try to load",
            _ => "may later ask for",
        };
        let more = match places {
            1 => String::new(),
            2 => " (and at one more place)".to_owned(),
            more => format!(" (and at {} more places)", more - 1),
        };
        Ok(Finding {
            severity,
            code: if severity == Severity::Error { Code::ImportMissing } else { Code::LazyImportMissing },
            place: Some(subject.place(&file.path, Some(request.line))),
            message: format!("{who} {verb} `{}`{more}, {}", request.specifier, cause.why),
            fix: cause.fix,
        })
    }
}
