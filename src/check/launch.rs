//! What a container starts: the program, and what node is told to load.

use std::path::{Path, PathBuf};

use super::Subject;
use super::file_system::normal;

/// The script that the official images of Node start with. It calls node where its first argument is no program.
const DOCKER_ENTRYPOINT: &str = "docker-entrypoint.sh";

/// Options of node that are followed by a value. Source: Node's documentation, "Command-line API".
const WITH_VALUE: [&str; 10] = [
    "-C",
    "--conditions",
    "--env-file",
    "--env-file-if-exists",
    "--title",
    "--loader",
    "--experimental-loader",
    "--icu-data-dir",
    "--inspect-port",
    "--watch-path",
];

/// What a container starts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Launch {
    /// The programs that have to be there, as they are written.
    pub programs: Vec<String>,
    /// The file that node is given.
    pub main: Option<PathBuf>,
    /// What node loads before it: with `require`.
    pub required: Vec<String>,
    /// And with `import`.
    pub imported: Vec<String>,
    /// Whether node reads the source map of all code that it loads.
    pub maps_sources: bool,
}

impl Launch {
    /// What the container of `subject` starts.
    pub fn of(subject: &Subject<'_>) -> Self {
        let mut words = subject.command().into_iter().peekable();
        let mut launch = Self::default();
        launch.programs.extend(words.next());
        let mut is_node = launch.programs.first().is_some_and(|program| is_node(program));
        if launch.programs.first().is_some_and(|program| program.ends_with(DOCKER_ENTRYPOINT))
            && words.peek().is_some_and(|word| word.starts_with('-') || program(subject, word).is_none())
            && !words.peek().is_some_and(|word| self::is_node(word))
        {
            launch.programs.push("node".to_owned());
            is_node = true;
        }
        // An init takes options of its own, then a program.
        while !is_node {
            let Some(word) = words.next() else { return launch };
            is_node = self::is_node(&word);
            launch.programs.extend(is_node.then_some(word));
        }
        if let Some(options) = subject.variable("NODE_OPTIONS") {
            launch.options(&mut options.split_whitespace().map(str::to_owned), subject);
        }
        launch.main = launch.options(&mut words, subject);
        launch
    }

    /// Reads node's options. Gives the file that follows them.
    fn options(&mut self, words: &mut dyn Iterator<Item = String>, subject: &Subject<'_>) -> Option<PathBuf> {
        while let Some(word) = words.next() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if word.starts_with("--") => (name, Some(value.to_owned())),
                _ => (word.as_str(), None),
            };
            match name {
                "-r" | "--require" => self.required.extend(value.or_else(|| words.next())),
                "--import" => self.imported.extend(value.or_else(|| words.next())),
                "--enable-source-maps" => self.maps_sources = true,
                "--no-enable-source-maps" => self.maps_sources = false,
                "-e" | "--eval" | "-p" | "--print" | "-v" | "--version" => return None,
                "--" => return words.next().and_then(|main| self::main(subject, &main)),
                _ if WITH_VALUE.contains(&name) && value.is_none() => _ = words.next(),
                _ if name.starts_with('-') => {}
                _ => return main(subject, &word),
            }
        }
        None
    }
}

fn main(subject: &Subject<'_>, word: &str) -> Option<PathBuf> {
    normal(&subject.run.working_dir.as_path().join(word))
}

fn is_node(program: &str) -> bool {
    matches!(program.rsplit('/').next(), Some("node" | "nodejs"))
}

/// The real path of a program, looked for as a shell does: through `PATH`, or from the working directory.
pub(super) fn program(subject: &Subject<'_>, word: &str) -> Option<PathBuf> {
    let runs = |path: &Path| {
        let (real, found) = subject.files.find(path)?;
        (found.is_file() && found.mode() & 0o111 != 0).then_some(real)
    };
    if word.contains('/') {
        return runs(&normal(&subject.run.working_dir.as_path().join(word))?);
    }
    let path = subject.variable("PATH").unwrap_or("/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin");
    path.split(':').find_map(|dir| runs(&Path::new(dir).join(word)))
}
