use serde_json::{Value, json};

use super::findings::FindingsReport;
use crate::check::{Code, Finding, Severity};

/// The findings as tools that review code read them.
///
/// Source: OASIS, "Static Analysis Results Interchange Format (SARIF) Version 2.1.0".
pub fn sarif(report: &FindingsReport) -> Value {
    let rule = |code: &Code| {
        json!({
            "id": code.name(),
            "shortDescription": {"text": code.summary()},
        })
    };
    let results = report
        .services
        .iter()
        .flat_map(|service| service.findings.iter().map(|finding| result(&service.name, finding)).collect::<Vec<_>>());
    json!({
        "$schema": "https://json.schemastore.org/sarif-2.1.0.json",
        "version": "2.1.0",
        "runs": [{
            "tool": {"driver": {
                "name": "pirogue",
                "version": env!("CARGO_PKG_VERSION"),
                "rules": Code::ALL.iter().map(rule).collect::<Vec<_>>(),
            }},
            "originalUriBaseIds": {"WORKSPACE": {"description": {"text": "The root of the workspace"}}},
            "results": results.collect::<Vec<_>>(),
        }],
    })
}

fn result(service: &str, finding: &Finding) -> Value {
    let Finding { severity, code, place, message, fix } = finding;
    let fix = fix.as_ref().map(|fix| format!("\nFix: {fix}")).unwrap_or_default();
    let mut result = json!({
        "ruleId": code.name(),
        "ruleIndex": Code::ALL.iter().position(|known| known == code),
        "level": match severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Note => "note",
        },
        "message": {"text": format!("{service}: {message}{fix}")},
        "properties": {"service": service},
    });
    if let Some(place) = place {
        // What lies in the image only has no file to show, but a name.
        let location = match &place.source {
            Some(source) => json!({"uri": uri(source), "uriBaseId": "WORKSPACE"}),
            None => json!({"uri": uri(place.path.trim_start_matches('/'))}),
        };
        let mut physical = json!({"artifactLocation": location});
        if let Some(line) = place.line {
            physical["region"] = json!({"startLine": line});
        }
        result["locations"] = json!([{"physicalLocation": physical}]);
    }
    result
}

/// A relative path as a relative reference. Source: RFC 3986, section 4.2.
fn uri(path: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/@+=!$&'(),;".contains(&byte);
    let escaped = path.bytes().map(|byte| match is_plain(byte) {
        true => char::from(byte).to_string(),
        false => format!("%{byte:02X}"),
    });
    escaped.collect()
}
