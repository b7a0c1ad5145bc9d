//! Whether Node takes files that run at the start for what they are written as: ES modules or CommonJS.
//!
//! Source: Node's documentation, "Modules: Packages", "Determining module system"; "Modules: CommonJS modules", "Loading
//! ECMAScript modules using require()".

use std::ffi::{OsStr, OsString};
use std::path::Path;

use hashbrown::HashMap;
use serde::Deserialize;

use super::imports::{Graph, Reached};
use super::{CheckError, Code, Finding, Severity, Subject};
use crate::javascript::{Module, RequestKind, When};

/// What Node takes a file for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    EsModule,
    CommonJs,
    /// Nobody says: what it is written as, for a Node that looks, else CommonJS.
    Unsaid,
}

#[derive(Deserialize)]
struct PackageType {
    r#type: Option<String>,
}

/// One finding for each file of the first kind that is written as the second, or asked for in a way that it does not bear.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph) -> Result<Vec<Finding>, CheckError> {
    let mut kinds = Kinds { subject, of_directories: HashMap::new() };
    let mut findings = Vec::new();
    for (file, module) in graph.modules() {
        if file.when == When::AtStart {
            let kind = kinds.of(&file.path)?;
            findings.extend(written_for_another(subject, file, module, kind));
        }
        for (request, target) in graph.targets(file) {
            let is_required =
                matches!(request.kind, RequestKind::Require | RequestKind::Framework) && request.when == When::AtStart;
            if is_required && !subject.node_loads_es_modules_by_require() && kinds.of(&target.path)? == Kind::EsModule {
                let message = format!(
                    "`require` asks for an ES module, which this Node does not load that way: `{}`",
                    request.specifier
                );
                let fix = "`await import(…)`, a version of it for CommonJS, or a base with Node 22.12 or later";
                findings.push(finding(subject, file, Some(request.line), message, fix));
            }
        }
    }
    Ok(findings)
}

fn written_for_another(subject: &Subject<'_>, file: &Reached, module: &Module, kind: Kind) -> Option<Finding> {
    let written = &module.written;
    match (kind, &written.for_commonjs) {
        (Kind::EsModule, Some((line, name))) => {
            let message = format!("node takes this for an ES module, and those do not have `{name}`");
            let fix = "call it `.cjs`, compile it as an ES module, or mend `type` of its package.json";
            Some(finding(subject, file, Some(*line), message, fix))
        }
        (Kind::CommonJs, _) if written.as_es_module => Some(es_in_commonjs(subject, file)),
        (Kind::Unsaid, _) if written.as_es_module && !subject.node_tells_modules_apart() => {
            Some(es_in_commonjs(subject, file))
        }
        _ => None,
    }
}

fn es_in_commonjs(subject: &Subject<'_>, file: &Reached) -> Finding {
    let message = "this has `import` or `export`, and node takes it for CommonJS".to_owned();
    let fix = "call it `.mjs`, compile it for CommonJS, or `\"type\": \"module\"` in its package.json";
    finding(subject, file, None, message, fix)
}

fn finding(subject: &Subject<'_>, file: &Reached, line: Option<u32>, message: String, fix: &str) -> Finding {
    Finding {
        // What is loaded later fails then.
        severity: if file.when == When::AtStart { Severity::Error } else { Severity::Warning },
        code: Code::WrongModuleKind,
        place: Some(subject.place(&file.path, line)),
        message,
        fix: Some(fix.to_owned()),
    }
}

/// What package.json files say of what lies below them, each read once.
struct Kinds<'a> {
    subject: &'a Subject<'a>,
    of_directories: HashMap<OsString, Kind>,
}

impl Kinds<'_> {
    fn of(&mut self, path: &Path) -> Result<Kind, CheckError> {
        match path.extension().and_then(OsStr::to_str) {
            Some("mjs") => Ok(Kind::EsModule),
            Some("cjs") => Ok(Kind::CommonJs),
            Some("js") => self.of_directory(path.parent().unwrap_or(path)),
            _ => Ok(Kind::Unsaid),
        }
    }

    fn of_directory(&mut self, dir: &Path) -> Result<Kind, CheckError> {
        if let Some(known) = self.of_directories.get(dir.as_os_str()) {
            return Ok(*known);
        }
        let package_json = self.subject.files.find(&dir.join("package.json")).map(|(path, _)| path);
        let kind = match (package_json, dir.parent()) {
            (Some(path), _) => kind_said(&self.subject.files.read(&path)?.unwrap_or_default()),
            (None, Some(above)) if !dir.ends_with("node_modules") => self.of_directory(above)?,
            (None, _) => Kind::Unsaid,
        };
        self.of_directories.insert(dir.into(), kind);
        Ok(kind)
    }
}

fn kind_said(package_json: &[u8]) -> Kind {
    // One that is no JSON is a finding of whoever resolves by it.
    let said = serde_json::from_slice(package_json).ok().and_then(|json: PackageType| json.r#type);
    match said.as_deref() {
        Some("module") => Kind::EsModule,
        Some("commonjs") => Kind::CommonJs,
        _ => Kind::Unsaid,
    }
}

impl Subject<'_> {
    /// Whether the base's Node loads ES modules by `require`: since 20.19 and 22.12.
    fn node_loads_es_modules_by_require(&self) -> bool {
        self.node_is_at_least(12)
    }

    /// Whether the base's Node tells by its syntax what a file is where nobody says: since 20.19 and 22.7.
    fn node_tells_modules_apart(&self) -> bool {
        self.node_is_at_least(7)
    }
}
