use std::fmt::Write as _;

use tokio::runtime::Runtime;

use super::{CommandError, terminal};
use crate::environment::Environment;
use crate::registry::RegistryHost;

/// `pirogue logout`
pub(super) fn run(host: &str, environment: &Environment) -> Result<(), CommandError> {
    let host: RegistryHost = host.parse().map_err(CommandError::Host)?;
    let logout = Runtime::new().map_err(CommandError::Start)?.block_on(environment.credentials.forget(&host))?;
    let mut text = String::new();
    for place in &logout.kept_by {
        let _ = writeln!(text, "logged out of {host}, removed from {place}");
    }
    if text.is_empty() {
        text = format!("nobody was logged in to {host}\n");
    }
    terminal::output(&text).map_err(CommandError::Output)
}
