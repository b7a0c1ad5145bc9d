//! Whether the service answers where the image says it does: on its port, and to its health check.

use super::imports::{Graph, Reached};
use super::{CheckError, Code, Finding, Severity, Subject};
use crate::javascript::Module;

/// What is known to be wrong with where the service listens. Where anything is computed, nothing is said.
pub(super) fn check(subject: &Subject<'_>, graph: &Graph) -> Result<Vec<Finding>, CheckError> {
    let own: Vec<(&Reached, &Module)> = graph.modules().filter(|(file, _)| file.is_ours).collect();
    let mut findings: Vec<Finding> = hard_coded_port(subject, &own).into_iter().collect();
    findings.extend(unknown_health_path(subject, &own)?);
    Ok(findings)
}

/// The code listens on constant ports only, none of which is `PORT`, a word it does not know.
fn hard_coded_port(subject: &Subject<'_>, own: &[(&Reached, &Module)]) -> Option<Finding> {
    let expected: u16 = subject.variable("PORT")?.parse().ok()?;
    let listens = || own.iter().flat_map(|(file, module)| module.serving.listens.iter().map(move |it| (*file, *it)));
    let is_honoured = own.iter().any(|(_, module)| module.serving.names_port_variable)
        || listens().any(|(_, (_, port))| port.is_none_or(|port| port == expected));
    let (file, (line, port)) = listens().find(|_| !is_honoured)?;
    let port = port?;
    Some(Finding {
        severity: Severity::Warning,
        code: Code::PortHardCoded,
        place: Some(subject.place(&file.path, Some(line))),
        message: format!("the code listens on {port}, whatever `PORT` is; the image says `{expected}`"),
        fix: Some(format!("listen on `process.env.PORT`, or `port = {port}` in pirogue.toml")),
    })
}

/// The code has routes, and the last name of the health check's path stands nowhere in it.
fn unknown_health_path(subject: &Subject<'_>, own: &[(&Reached, &Module)]) -> Result<Option<Finding>, CheckError> {
    let Some(path) = subject.health_path else { return Ok(None) };
    let name = path.split(['?', '#']).next().unwrap_or(path).rsplit('/').find(|name| !name.is_empty());
    let Some(name) = name.filter(|_| own.iter().any(|(_, module)| module.serving.has_routes)) else { return Ok(None) };
    for (file, _) in own {
        let text = subject.files.read(&file.path)?.unwrap_or_default();
        if text.windows(name.len()).any(|window| window == name.as_bytes()) {
            return Ok(None);
        }
    }
    Ok(Some(Finding {
        severity: Severity::Warning,
        code: Code::HealthPathUnknown,
        place: None,
        message: format!("no code of the service has the word `{name}`, and its health check asks for `{path}`"),
        fix: Some("add the route, or correct `health` in pirogue.toml".to_owned()),
    }))
}
