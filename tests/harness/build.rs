use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// A call of `pirogue build`. Nothing of the caller's environment that means something to pirogue is passed on.
pub struct Build {
    wrapper: Vec<OsString>,
    program: PathBuf,
    arguments: Vec<OsString>,
    cache: PathBuf,
    environment: Vec<(OsString, OsString)>,
}

impl Build {
    /// A build of `workspace`, with a cache of its own.
    pub fn of(workspace: &Path, cache: &Path) -> Self {
        Self {
            wrapper: Vec::new(),
            program: env!("CARGO_BIN_EXE_pirogue").into(),
            // What is built for a test of something else need not start.
            arguments: vec!["build".into(), "--no-check".into(), "--json".into(), "-C".into(), workspace.into()],
            cache: cache.to_owned(),
            environment: Vec::new(),
        }
    }

    pub fn base(self, base: &str) -> Self {
        self.with("--base", base)
    }

    /// To a layout.
    pub fn into_layout(self, dir: &Path) -> Self {
        let destination = format!("oci:{}", dir.display());
        self.to(&destination)
    }

    pub fn to(self, destination: &str) -> Self {
        self.with("--to", destination)
    }

    /// With an option of the command line and its value.
    pub fn with(mut self, option: &str, value: &str) -> Self {
        self.arguments.extend([option.into(), value.into()]);
        self
    }

    /// With packages from the lockfile.
    pub fn locked(self) -> Self {
        self.with("--packages", "lockfile")
    }

    /// With an option of the command line that has no value.
    pub fn option(mut self, option: &str) -> Self {
        self.arguments.push(option.into());
        self
    }

    /// Of these services alone.
    pub fn services(mut self, names: &[&str]) -> Self {
        self.arguments.extend(names.iter().map(OsString::from));
        self
    }

    /// With a variable in its environment.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        self.environment.push((name.into(), value.as_ref().to_owned()));
        self
    }

    /// By another copy of the program.
    pub fn program(mut self, program: &Path) -> Self {
        self.program = program.to_owned();
        self
    }

    /// Through a program that calls the rest of its command line.
    pub fn through(mut self, wrapper: &[&str]) -> Self {
        self.wrapper = wrapper.iter().map(OsString::from).collect();
        self
    }

    /// Runs it. Panics if it fails.
    pub fn run(self) -> Report {
        self.report().unwrap_or_else(|said| panic!("pirogue fails: {said}"))
    }

    /// Runs it. `None`, with a word on it, where it cannot fetch packages; panics if it fails otherwise.
    pub fn run_if_packages_can_be_fetched(self) -> Option<Report> {
        match self.report() {
            Err(said) if said.contains("error: cannot fetch `") => {
                super::skip("the npm registry cannot be reached");
                None
            }
            result => Some(result.unwrap_or_else(|said| panic!("pirogue fails: {said}"))),
        }
    }

    /// Runs it. Gives the report, or what it said where it fails.
    pub fn report(self) -> Result<Report, String> {
        let output = self.command().output().unwrap_or_else(|error| panic!("pirogue does not start: {error}"));
        match output.status.success() {
            true => Ok(Report::read(&String::from_utf8_lossy(&output.stdout))),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn command(self) -> Command {
        let mut words = self.wrapper;
        words.push(self.program.into());
        words.extend(self.arguments);
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]);
        let own = ["PIROGUE_REGISTRIES", "PIROGUE_REGISTRY_USER", "PIROGUE_REGISTRY_PASSWORD"];
        for name in ["SOURCE_DATE_EPOCH", "REGISTRY_AUTH_FILE", "XDG_RUNTIME_DIR"].into_iter().chain(own) {
            command.env_remove(name);
        }
        let no_config = self.cache.join("no-such-config");
        command
            .env("PIROGUE_CACHE_DIR", &self.cache)
            .env("DOCKER_CONFIG", &no_config)
            .env("XDG_CONFIG_HOME", no_config);
        command.envs(self.environment);
        command
    }
}

/// What `pirogue build --json` says.
#[derive(Debug)]
pub struct Report(Value);

impl Report {
    fn read(text: &str) -> Self {
        Self(serde_json::from_str(text).expect("the report is JSON"))
    }

    /// The digest of each service's image.
    pub fn digests(&self) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        self.services().map(|service| (text(&service["name"]), text(&service["digest"]))).collect()
    }

    /// How many bytes were sent, all services together.
    pub fn sent_bytes(&self) -> u64 {
        let deliveries = self.services().flat_map(|service| service["delivered"].as_array().expect("a list"));
        deliveries.map(|delivery| delivery["sent_bytes"].as_u64().expect("a number")).sum()
    }

    /// How many layers were written.
    pub fn layers_written(&self) -> u64 {
        self.0["work"]["layers_written"].as_u64().expect("a number")
    }

    /// The labels of the fragments that were compressed.
    pub fn fragments_compressed(&self) -> Vec<String> {
        let labels = self.0["work"]["fragments_compressed"].as_array().expect("a list").iter();
        labels.map(|label| label.as_str().expect("a text").to_owned()).collect()
    }

    /// What the report says of a service.
    pub fn service(&self, name: &str) -> &Value {
        self.services().find(|service| service["name"] == name).expect("the service was built")
    }

    /// What the report says of a service's only image, or that for the first platform.
    pub fn image(&self, name: &str) -> &Value {
        &self.service(name)["images"][0]
    }

    /// The digests of a service's images, by platform.
    pub fn platforms(&self, name: &str) -> BTreeMap<String, String> {
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let images = self.service(name)["images"].as_array().expect("a list").iter();
        images.map(|image| (text(&image["platform"]), text(&image["digest"]))).collect()
    }

    /// The layers of all services above their bases, each once, by their digests.
    pub fn layers(&self) -> BTreeMap<&str, &Value> {
        let images = self.services().flat_map(|service| service["images"].as_array().expect("a list"));
        let layers = images.flat_map(|image| image["layers"].as_array().expect("a list"));
        layers.map(|layer| (layer["digest"].as_str().expect("a text"), layer)).collect()
    }

    fn services(&self) -> impl Iterator<Item = &Value> {
        self.0["services"].as_array().expect("a list").iter()
    }
}
