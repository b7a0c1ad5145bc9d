use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::layer::Owner;
use crate::manifest::{ContainerConfig, Healthcheck};
use crate::path::ImagePath;

/// What a container of the image runs, over what the base says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// In which directory.
    pub working_dir: ImagePath,
    /// The entrypoint; `None` keeps the base's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// The command.
    pub command: Vec<String>,
    /// Variables added to, or in place of, the base's.
    pub env: BTreeMap<String, String>,
    /// Ports it listens on, such as `8000/tcp`.
    pub expose: BTreeSet<String>,
    /// Labels added to, or in place of, the base's.
    pub labels: BTreeMap<String, String>,
    /// What becomes of the base's health check; `None` keeps it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub health: Option<ImageHealth>,
}

/// What becomes of the health check of the base. Written as the check, or as `false`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "WrittenHealth", into = "WrittenHealth")]
pub enum ImageHealth {
    /// The image has none.
    Off,
    /// The image has this one.
    Check(HealthCheck),
}

/// A health check as a contract has it.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum WrittenHealth {
    Off(bool),
    Check(HealthCheck),
}

impl TryFrom<WrittenHealth> for ImageHealth {
    type Error = &'static str;

    fn try_from(written: WrittenHealth) -> Result<Self, Self::Error> {
        match written {
            WrittenHealth::Off(false) => Ok(Self::Off),
            WrittenHealth::Off(true) => Err("a health check cannot be `true`"),
            WrittenHealth::Check(check) => Ok(Self::Check(check)),
        }
    }
}

impl From<ImageHealth> for WrittenHealth {
    fn from(health: ImageHealth) -> Self {
        match health {
            ImageHealth::Off => Self::Off(false),
            ImageHealth::Check(check) => Self::Check(check),
        }
    }
}

/// As whom a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RunUser {
    /// The user's number and that of its own group.
    pub owner: Owner,
    /// Whether it is a member of other groups too.
    pub in_other_groups: bool,
}

/// How a runtime asks whether the service is well. Times are in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The command, which ends with 0 if all is well.
    pub command: Vec<String>,
    /// Time between two checks.
    pub interval: u64,
    /// How long a check may take.
    pub timeout: u64,
    /// Time for the service to start.
    pub start_period: u64,
    /// Failures in a row until the service counts as unhealthy.
    pub retries: u64,
}

impl HealthCheck {
    /// Asks for `path` over HTTP with the own `fetch` of `node`, so that the image needs no curl. The port is that of the
    /// variable `PORT` at run time, else `port`.
    pub fn http(node: &str, path: &str, port: u16) -> Self {
        let url = format!("http://127.0.0.1:${{process.env.PORT||{port}}}{path}");
        let script = format!("fetch(`{url}`).then(r=>process.exit(r.ok?0:1),()=>process.exit(1))");
        Self {
            command: vec![node.to_owned(), "-e".to_owned(), script],
            interval: 30,
            timeout: 5,
            start_period: 30,
            retries: 3,
        }
    }

    fn to_config(&self) -> Healthcheck {
        const SECOND: u64 = 1_000_000_000;
        Healthcheck {
            test: std::iter::once("CMD".to_owned()).chain(self.command.iter().cloned()).collect(),
            interval: self.interval * SECOND,
            timeout: self.timeout * SECOND,
            start_period: self.start_period * SECOND,
            start_interval: 0,
            retries: self.retries,
        }
    }
}

impl RunSettings {
    /// The base's container config with these settings over it.
    pub fn over(&self, base: &ContainerConfig, user: RunUser) -> ContainerConfig {
        let mut config = base.clone();
        // By number, so that Kubernetes can see that it is not root. Runtimes look groups up where none is named.
        let Owner { uid, gid } = user.owner;
        config.user = if user.in_other_groups { uid.to_string() } else { format!("{uid}:{gid}") };
        config.working_dir = self.working_dir.to_string();
        if let Some(entrypoint) = &self.entrypoint {
            config.entrypoint.clone_from(entrypoint);
        }
        config.cmd.clone_from(&self.command);
        for (name, value) in &self.env {
            let line = format!("{name}={value}");
            match config.env.iter_mut().find(|line| line.split('=').next() == Some(name)) {
                Some(existing) => *existing = line,
                None => config.env.push(line),
            }
        }
        let ports = self.expose.iter().map(|port| (port.clone(), Value::Object(Map::new())));
        config.exposed_ports.extend(ports);
        config.labels.extend(self.labels.clone());
        match &self.health {
            None => {}
            Some(ImageHealth::Off) => config.healthcheck = None,
            Some(ImageHealth::Check(check)) => config.healthcheck = Some(check.to_config()),
        }
        config
    }
}
