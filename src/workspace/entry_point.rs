use std::path::{Path, PathBuf};

use super::{Member, WorkspacePath};
use crate::host::{self, HostError};
use crate::path::HostPath;

/// The directories that compilers write to by custom.
pub(super) const BUILD_OUTPUTS: [&str; 3] = ["dist", "build", "out"];

/// The scripts that start a service in production, most telling first.
const START_SCRIPTS: [&str; 4] = ["start:prod", "start:production", "prod", "start"];

/// The file that a service starts with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntryPoint {
    /// Relative to the member's directory.
    pub file: PathBuf,
    /// Options for node that the start script names, such as `--enable-source-maps`.
    pub node_options: Vec<String>,
    /// What the start script hands to the file.
    pub arguments: Vec<String>,
    /// Where it was found: `main`, ``the script `start` ``, `search`.
    pub found_by: String,
}

/// Why a member has no entry point, though it looks as if it should.
#[derive(Debug, thiserror::Error)]
pub enum EntryPointError {
    /// A file is named that is not there: most often the service was not compiled.
    #[error("{named_by} of `{member}` names a file that does not exist: `{file}`")]
    Missing {
        /// The member's directory.
        member: WorkspacePath,
        /// What names the file.
        named_by: String,
        /// The file, relative to the member.
        file: String,
    },
    /// There are sources to compile, but nothing compiled.
    #[error("there is no build output for the source `{source_file}` of `{member}`")]
    NotBuilt {
        /// The member's directory.
        member: WorkspacePath,
        /// The source that would become the entry point.
        source_file: String,
    },
    /// Several files could be it.
    #[error("several files could be the entry point of `{member}`: {}", backticked(candidates))]
    Several {
        /// The member's directory.
        member: WorkspacePath,
        /// The files, relative to the member.
        candidates: Vec<PathBuf>,
    },
    /// A member that was asked for by name has nothing that starts.
    #[error(
        "nothing in `{member}` could be an entry point: no `main`, `bin` or start script names a file, and there is no `main.js`, `server.js` or `index.js` under `dist`, `build` or `out`"
    )]
    None {
        /// The member's directory.
        member: WorkspacePath,
    },
    /// A read failed.
    #[error(transparent)]
    Host(#[from] HostError),
}

impl EntryPointError {
    /// The directory of the member that it is about.
    pub fn member(&self) -> Option<&WorkspacePath> {
        match self {
            Self::Missing { member, .. }
            | Self::NotBuilt { member, .. }
            | Self::Several { member, .. }
            | Self::None { member } => Some(member),
            Self::Host(_) => None,
        }
    }
}

fn backticked(paths: &[PathBuf]) -> String {
    paths.iter().map(|path| format!("`{}`", path.display())).collect::<Vec<_>>().join(", ")
}

impl EntryPoint {
    /// Finds the entry point of `member`, which lies at `dir` on this disk.
    ///
    /// In this order: `configured` (from `pirogue.toml`); the files that `main`, `bin` and the start script name; the one
    /// `main.js` or `server.js` under the build output, else the one `index.js`. `None` if nothing speaks of one.
    pub fn find(member: &Member, dir: &HostPath, configured: Option<&str>) -> Result<Option<Self>, EntryPointError> {
        if let Some(file) = configured {
            let found = resolve(dir, file)?.map(|file| Self::new(file, "pirogue.toml"));
            return found.map(Some).ok_or_else(|| missing(member, "`entry-point` in pirogue.toml", file));
        }
        let named = named(member);
        let mut found: Vec<Self> = Vec::new();
        for candidate in &named {
            if let Some(file) = resolve(dir, &candidate.file.to_string_lossy())? {
                match found.iter_mut().find(|known| known.file == file) {
                    // `main` and the start script agree; the script, which comes last, knows the options.
                    Some(known) => {
                        known.node_options.clone_from(&candidate.node_options);
                        known.arguments.clone_from(&candidate.arguments);
                    }
                    None => found.push(Self { file, ..candidate.clone() }),
                }
            }
        }
        if found.is_empty() {
            let searched = searched(dir)?;
            // Where such a file is named and there is none, an `index.js` is what some library compiled to.
            if let (Some(gone), true) =
                (named.iter().find(|named| starts(&named.file)), searched.iter().any(|file| is_index(file)))
            {
                return Err(missing(member, &gone.found_by, &gone.file.to_string_lossy()));
            }
            found = searched.into_iter().map(|file| Self::new(file, "search")).collect();
        }
        if found.len() > 1 {
            let candidates = found.into_iter().map(|entry| entry.file).collect();
            return Err(EntryPointError::Several { member: member.dir.clone(), candidates });
        }
        match found.pop() {
            Some(entry) => Ok(Some(entry)),
            None => nothing_found(member, dir, &named),
        }
    }

    /// The `index.js` at the top, which Node runs for a directory where nothing else is named. Libraries and settings for
    /// tools have one too, so that only who asks for the member by name can mean it.
    pub(super) fn at_top(dir: &HostPath) -> Result<Option<Self>, HostError> {
        let is_there = host::is_file(&dir.join("index.js"))?;
        Ok(is_there.then(|| Self::new("index.js".into(), "`index.js` at the top")))
    }

    fn new(file: PathBuf, found_by: &str) -> Self {
        Self { file, node_options: Vec::new(), arguments: Vec::new(), found_by: found_by.to_owned() }
    }
}

/// Whether a file has a name that what starts a service has.
fn starts(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "main" || stem == "server")
}

fn is_index(file: &Path) -> bool {
    file.file_stem().is_some_and(|stem| stem == "index")
}

fn missing(member: &Member, named_by: &str, file: &str) -> EntryPointError {
    EntryPointError::Missing { member: member.dir.clone(), named_by: named_by.to_owned(), file: file.to_owned() }
}

/// The files that package.json names, existing or not.
fn named(member: &Member) -> Vec<EntryPoint> {
    let package_json = &member.package_json;
    let mut named = Vec::new();
    named.extend(package_json.main.as_ref().map(|file| EntryPoint::new(file.into(), "`main`")));
    named.extend(package_json.bin.iter().map(|file| EntryPoint::new(file.into(), "`bin`")));
    let started =
        START_SCRIPTS.iter().find_map(|script| Some((script, node_command(package_json.scripts.get(*script)?)?)));
    if let Some((script, NodeCommand { options, file, arguments })) = started {
        let found_by = format!("the script `{script}`");
        named.push(EntryPoint { file: file.into(), node_options: options, arguments, found_by });
    }
    named
}

/// Nothing that exists was found: an error if the member looks like a service that was not compiled.
fn nothing_found(member: &Member, dir: &HostPath, named: &[EntryPoint]) -> Result<Option<EntryPoint>, EntryPointError> {
    if let Some(by_script) = named.iter().find(|entry| entry.found_by.starts_with("the script")) {
        return Err(missing(member, &by_script.found_by, &by_script.file.to_string_lossy()));
    }
    for source in ["src/main.ts", "src/server.ts"] {
        if host::is_file(&dir.join(source))? {
            return Err(EntryPointError::NotBuilt { member: member.dir.clone(), source_file: source.to_owned() });
        }
    }
    Ok(None)
}

/// The file that Node would run for `node FILE` in `dir`, relative to it.
/// Source: Node's documentation, "Modules: CommonJS modules", LOAD_AS_FILE and LOAD_INDEX.
fn resolve(dir: &HostPath, file: &str) -> Result<Option<PathBuf>, HostError> {
    let Some(file) = WorkspacePath::new(file) else { return Ok(None) };
    let plain = file.as_path().display();
    for candidate in [format!("{plain}"), format!("{plain}.js"), format!("{plain}.cjs"), format!("{plain}.mjs")] {
        if host::is_file(&dir.join(&candidate))? {
            return Ok(Some(candidate.into()));
        }
    }
    let index = file.as_path().join("index.js");
    Ok(host::is_file(&dir.join(&index))?.then_some(index))
}

/// Every `main` and `server` file under the build output, else every `index` file there. `index.js` counts last, since
/// compiled barrels have that name at every level.
fn searched(dir: &HostPath) -> Result<Vec<PathBuf>, HostError> {
    let mut mains = Vec::new();
    let mut indexes = Vec::new();
    for output in BUILD_OUTPUTS {
        if host::link_metadata(&dir.join(output))?.is_some_and(|metadata| metadata.is_dir()) {
            search(dir, Path::new(output), &mut mains, &mut indexes)?;
        }
    }
    Ok(if mains.is_empty() { indexes } else { mains })
}

fn search(dir: &HostPath, below: &Path, mains: &mut Vec<PathBuf>, indexes: &mut Vec<PathBuf>) -> Result<(), HostError> {
    for entry in host::read_directory(&dir.join(below))? {
        let path = below.join(&entry.name);
        if entry.kind.is_dir() && entry.name != "node_modules" {
            search(dir, &path, mains, indexes)?;
        } else if entry.kind.is_file()
            && path.extension().is_some_and(|ext| ext == "js" || ext == "mjs" || ext == "cjs")
        {
            if starts(&path) {
                mains.push(path);
            } else if is_index(&path) {
                indexes.push(path);
            }
        }
    }
    Ok(())
}

/// A call of node, `node [OPTION…] FILE [ARGUMENT…]`.
#[derive(Debug, PartialEq, Eq)]
struct NodeCommand {
    options: Vec<String>,
    file: String,
    arguments: Vec<String>,
}

/// Finds a call of node in a shell command: the last one of a chain such as `npm run build && node a.js`.
fn node_command(script: &str) -> Option<NodeCommand> {
    script.split(['&', ';', '|']).rev().find_map(|command| {
        let words: Vec<&str> = command.split_whitespace().map(|word| word.trim_matches(['"', '\''])).collect();
        let node = words.iter().position(|word| *word == "node")?;
        let is_prefix = |word: &&str| {
            word.contains('=') || matches!(*word, "exec" | "env" | "cross-env" | "dumb-init" | "tini" | "--")
        };
        if !words[..node].iter().all(is_prefix) {
            return None;
        }
        let mut options = Vec::new();
        let mut rest = words[node + 1..].iter();
        while let Some(word) = rest.next() {
            if !word.starts_with('-') {
                let behind = rest.as_slice().len();
                return Some(NodeCommand { options, file: (*word).to_owned(), arguments: arguments(command, behind) });
            }
            options.push((*word).to_owned());
            if takes_a_value(word) {
                options.push((*rest.next()?).to_owned());
            }
        }
        None
    })
}

/// The last words of a shell command, so many; none where the shell would make something else of one of them.
fn arguments(command: &str, count: usize) -> Vec<String> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let arguments = words.get(words.len().saturating_sub(count)..).unwrap_or_default();
    let is_plain = |word: &&str| !word.contains(['"', '\'', '`', '$', '<', '>', '*', '?', '\\', '~', '(']);
    match arguments.iter().all(is_plain) {
        true => arguments.iter().map(ToString::to_string).collect(),
        false => Vec::new(),
    }
}

/// Options of node whose value is the next word. Source: Node's documentation, "Command-line API".
fn takes_a_value(option: &str) -> bool {
    matches!(
        option,
        "-r" | "--require" | "--import" | "--loader" | "--experimental-loader" | "-C" | "--conditions" | "--env-file"
    )
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::workspace::PackageJson;

    #[test]
    fn start_scripts() {
        let table: [(&str, Option<(&[&str], &str, &[&str])>); 14] = [
            ("node dist/main", Some((&[], "dist/main", &[]))),
            ("NODE_ENV=production node dist/main.js --port 1", Some((&[], "dist/main.js", &["--port", "1"]))),
            ("cross-env A=1 node --enable-source-maps dist/main", Some((&["--enable-source-maps"], "dist/main", &[]))),
            ("node -r dotenv/config dist/main", Some((&["-r", "dotenv/config"], "dist/main", &[]))),
            ("npm run build && node dist/main", Some((&[], "dist/main", &[]))),
            ("node 'dist/main.js' serve && echo done", Some((&[], "dist/main.js", &["serve"]))),
            ("node dist/main --port $PORT", Some((&[], "dist/main", &[]))),
            ("node dist/main > log.txt", Some((&[], "dist/main", &[]))),
            ("node dist/main --name 'a b'", Some((&[], "dist/main", &[]))),
            ("node -r dist/main.js dist/main.js", Some((&["-r", "dist/main.js"], "dist/main.js", &[]))),
            ("nest start", None),
            ("ts-node src/main.ts", None),
            ("echo node dist/main", None),
            ("node", None),
        ];
        for (script, expected) in table {
            let words = |words: &[&str]| words.iter().map(ToString::to_string).collect();
            let expected = expected.map(|(options, file, arguments)| NodeCommand {
                options: words(options),
                file: file.to_owned(),
                arguments: words(arguments),
            });
            assert_eq!(node_command(script), expected, "{script}");
        }
    }

    #[test]
    fn entry_points() {
        let table: [(&str, &str, &[&str], Result<Option<&str>, &str>); 16] = [
            ("by main", r#"{"main":"dist/main.js"}"#, &["dist/main.js"], Ok(Some("dist/main.js"))),
            ("main without extension", r#"{"main":"dist/main"}"#, &["dist/main.js"], Ok(Some("dist/main.js"))),
            ("by bin", r#"{"bin":{"x":"./cli.js"}}"#, &["cli.js"], Ok(Some("cli.js"))),
            (
                "main and script agree",
                r#"{"main":"dist/main.js","scripts":{"start":"node dist/main"}}"#,
                &["dist/main.js"],
                Ok(Some("dist/main.js")),
            ),
            (
                "main left over from npm init",
                r#"{"main":"index.js","scripts":{"start:prod":"node dist/main"}}"#,
                &["dist/main.js"],
                Ok(Some("dist/main.js")),
            ),
            (
                "by search",
                "{}",
                &["dist/apps/x/src/main.js", "dist/apps/x/src/index.js"],
                Ok(Some("dist/apps/x/src/main.js")),
            ),
            ("index when there is no other", "{}", &["build/index.js"], Ok(Some("build/index.js"))),
            ("two by search", "{}", &["dist/main.js", "dist/apps/x/main.js"], Err("several files")),
            (
                "main and script disagree",
                r#"{"main":"a.js","scripts":{"start":"node b.js"}}"#,
                &["a.js", "b.js"],
                Err("several files"),
            ),
            (
                "script names what is not there",
                r#"{"scripts":{"start":"node dist/main"}}"#,
                &["src/main.ts"],
                Err("does not exist"),
            ),
            (
                "main names what is not there beside a library",
                r#"{"main":"dist/src/main.js"}"#,
                &["dist/lib/index.js"],
                Err("does not exist"),
            ),
            ("main has moved", r#"{"main":"dist/main.js"}"#, &["dist/src/main.js"], Ok(Some("dist/src/main.js"))),
            ("npm's own main", r#"{"main":"index.js"}"#, &["dist/index.js"], Ok(Some("dist/index.js"))),
            ("not compiled", "{}", &["src/main.ts"], Err("no build output")),
            ("nothing", "{}", &["README.md"], Ok(None)),
            ("not in node_modules", "{}", &["dist/node_modules/x/main.js"], Ok(None)),
        ];
        for (comment, package_json, files, expected) in table {
            let dir = tempfile::tempdir().unwrap();
            for file in files {
                let file = dir.path().join(file);
                fs::create_dir_all(file.parent().unwrap()).unwrap();
                fs::write(file, "").unwrap();
            }
            let package_json = PackageJson::parse(package_json.as_bytes()).unwrap();
            let member = Member { dir: WorkspacePath::new("apps/x").unwrap(), package_json };
            match (EntryPoint::find(&member, &HostPath::new(dir.path()), None), expected) {
                (Ok(found), Ok(expected)) => {
                    assert_eq!(found.map(|entry| entry.file), expected.map(PathBuf::from), "{comment}");
                }
                (Err(error), Err(expected)) => assert!(error.to_string().contains(expected), "{comment}: {error}"),
                (actual, _) => panic!("{comment}: {actual:?}"),
            }
        }
    }
}
