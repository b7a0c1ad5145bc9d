use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::WorkspaceError;
use super::lockfiles::PlatformLimits;
use crate::host;
use crate::path::HostPath;

/// What pirogue needs to know of a `package.json`.
///
/// Read leniently, as npm and Node do: a field of a shape nobody defined counts as absent, for published packages hold
/// every shape there is. Only what is no JSON object at all is an error.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PackageJson {
    /// `name`
    pub name: Option<String>,
    /// `version`
    pub version: Option<String>,
    /// `main`
    pub main: Option<String>,
    /// `bin`, its files sorted by the name of the command
    pub bin: Vec<String>,
    /// `scripts`
    pub scripts: BTreeMap<String, String>,
    /// `dependencies`, without those that are also optional
    pub dependencies: BTreeMap<String, String>,
    /// `devDependencies`
    pub dev_dependencies: BTreeMap<String, String>,
    /// `optionalDependencies`
    pub optional_dependencies: BTreeMap<String, String>,
    /// `peerDependencies` that are not marked optional
    pub peer_dependencies: BTreeMap<String, String>,
    /// `peerDependencies` that `peerDependenciesMeta` marks optional, and those that only it names
    pub optional_peers: BTreeMap<String, String>,
    /// `workspaces`, the list itself or its `packages`; `None` where there is no such field
    pub workspaces: Option<Vec<String>>,
    /// `packageManager`
    pub package_manager: Option<String>,
    /// `files`
    pub files: Option<Vec<String>>,
    /// `os`, `cpu` and `libc`: the platforms the package is for
    pub limits: PlatformLimits,
    /// `node` of `engines`: the versions of Node it is for
    pub node: Option<String>,
    /// The files that `exports`, `module`, `browser` (as a text) and `types` name
    pub exported_files: Vec<String>,
    /// Whether `types`, `typings` or `exports` say that other packages import this one
    pub is_library: bool,
}

impl PackageJson {
    /// Reads the file at `path`; `None` where there is none.
    pub fn read(path: &HostPath) -> Result<Option<Self>, WorkspaceError> {
        let Some(bytes) = host::read_if_present(path)? else { return Ok(None) };
        Self::parse(&bytes)
            .map(Some)
            .map_err(|reason| WorkspaceError::InvalidPackageJson { path: path.clone(), reason })
    }

    /// Reads the bytes of a `package.json`. The error says what is wrong with them.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let value: Value = serde_json::from_slice(bytes).map_err(|error| format!("not valid JSON: {error}"))?;
        match value {
            Value::Object(fields) => Ok(Self::from_fields(&fields)),
            _ => Err("not a JSON object".into()),
        }
    }

    fn from_fields(fields: &Map<String, Value>) -> Self {
        let optional_dependencies = texts_by_name(fields.get("optionalDependencies"));
        let mut dependencies = texts_by_name(fields.get("dependencies"));
        dependencies.retain(|name, _| !optional_dependencies.contains_key(name));
        let (peer_dependencies, optional_peers) = peers(fields);
        let mut exported_files = Vec::new();
        for field in ["exports", "module", "browser", "types", "typings"] {
            collect_files(fields.get(field), &mut exported_files);
        }
        Self {
            name: text(fields.get("name")),
            version: text(fields.get("version")),
            main: text(fields.get("main")).filter(|main| !main.is_empty()),
            bin: match fields.get("bin") {
                Some(Value::String(file)) => vec![file.clone()],
                bin => texts_by_name(bin).into_values().collect(),
            },
            scripts: texts_by_name(fields.get("scripts")),
            dependencies,
            dev_dependencies: texts_by_name(fields.get("devDependencies")),
            optional_dependencies,
            peer_dependencies,
            optional_peers,
            workspaces: match fields.get("workspaces") {
                Some(Value::Object(workspaces)) => Some(texts(workspaces.get("packages"))),
                Some(Value::Array(_)) => Some(texts(fields.get("workspaces"))),
                _ => None,
            },
            package_manager: text(fields.get("packageManager")),
            files: fields.get("files").filter(|files| files.is_array()).map(|files| texts(Some(files))),
            limits: PlatformLimits {
                os: texts(fields.get("os")),
                cpu: texts(fields.get("cpu")),
                libc: texts(fields.get("libc")),
            },
            node: text(fields.get("engines").and_then(|engines| engines.get("node"))),
            is_library: ["types", "typings", "exports"].iter().any(|field| fields.contains_key(*field)),
            exported_files,
        }
    }

    /// `name@version`, as people write it.
    pub fn label(&self) -> String {
        let name = self.name.as_deref().unwrap_or("(no name)");
        match &self.version {
            Some(version) => format!("{name}@{version}"),
            None => name.to_owned(),
        }
    }
}

fn text(value: Option<&Value>) -> Option<String> {
    value?.as_str().map(str::to_owned)
}

/// A list of texts; a single text counts as a list of one.
fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(list)) => list.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn texts_by_name(value: Option<&Value>) -> BTreeMap<String, String> {
    let fields = value.and_then(Value::as_object).into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
}

/// Required and optional peers.
fn peers(fields: &Map<String, Value>) -> (BTreeMap<String, String>, BTreeMap<String, String>) {
    let mut required = texts_by_name(fields.get("peerDependencies"));
    let mut optional = BTreeMap::new();
    let metas = fields.get("peerDependenciesMeta").and_then(Value::as_object).into_iter().flatten();
    for (name, _) in metas.filter(|(_, meta)| meta.get("optional") == Some(&Value::Bool(true))) {
        let wanted = required.remove(name).unwrap_or_else(|| "*".to_owned());
        optional.insert(name.clone(), wanted);
    }
    (required, optional)
}

/// The file names anywhere below a value of `exports`, whatever the conditions.
fn collect_files(value: Option<&Value>, files: &mut Vec<String>) {
    match value {
        Some(Value::String(file)) => files.push(file.clone()),
        Some(Value::Array(list)) => list.iter().for_each(|value| collect_files(Some(value), files)),
        Some(Value::Object(fields)) => fields.values().for_each(|value| collect_files(Some(value), files)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_shapes_count_as_absent() {
        let package = PackageJson::parse(
            br#"{"name":7,"main":"","dependencies":["a"],"scripts":null,"workspaces":{"packages":["apps/*"]},
                 "peerDependencies":{"a":"1","b":"2"},"peerDependenciesMeta":{"b":{"optional":true},"c":{"optional":true}}}"#,
        )
        .unwrap();
        assert_eq!(package.name, None);
        assert_eq!(package.main, None);
        assert!(package.dependencies.is_empty());
        assert_eq!(package.workspaces.as_deref(), Some(&["apps/*".to_owned()][..]));
        assert_eq!(package.peer_dependencies.keys().collect::<Vec<_>>(), ["a"]);
        assert_eq!(package.optional_peers.keys().collect::<Vec<_>>(), ["b", "c"]);
    }

    #[test]
    fn not_json_is_an_error() {
        for bytes in [&b"{"[..], b"[]", b"", b"\xff"] {
            assert!(PackageJson::parse(bytes).is_err(), "{bytes:?}");
        }
        assert!(PackageJson::parse(b"\xef\xbb\xbf{}").is_ok(), "a byte order mark is no error");
    }

    #[test]
    fn platforms() {
        let table = [
            ("no list", r#"{}"#, ["", "", ""]),
            ("lists", r#"{"os":["linux","!win32"],"cpu":["x64"],"libc":["musl"]}"#, ["linux !win32", "x64", "musl"]),
            ("texts", r#"{"os":"linux","cpu":"x64","libc":"musl"}"#, ["linux", "x64", "musl"]),
            ("odd shapes", r#"{"os":{"linux":true},"cpu":64,"libc":null}"#, ["", "", ""]),
        ];
        for (comment, json, expected) in table {
            let limits = PackageJson::parse(json.as_bytes()).unwrap().limits;
            assert_eq!([limits.os.join(" "), limits.cpu.join(" "), limits.libc.join(" ")], expected, "{comment}");
        }
    }
}
