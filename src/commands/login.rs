use tokio::runtime::Runtime;

use super::session::client_options;
use super::{CommandError, terminal};
use crate::cli;
use crate::environment::Environment;
use crate::http::Secret;
use crate::registry::{Client, ClientOptions, GivenCredentials, Login, LoginError, RegistryHost};

/// `pirogue login`
pub(super) fn run(arguments: &cli::Login, environment: &Environment) -> Result<(), CommandError> {
    let (host, user) = (arguments.host.parse::<RegistryHost>().map_err(CommandError::Host)?, &arguments.user);
    let password = terminal::password(arguments.password_stdin, &format!("Password of {user} for {host}"))
        .map_err(CommandError::Input)?
        .map(Secret::new)
        .ok_or(CommandError::NoPassword)?;
    let progress = terminal::progress();
    let given_credentials = GivenCredentials::of(&host, user, password.clone());
    let options = ClientOptions { given_credentials, ..client_options(environment, &progress)? };
    let kept_by = Runtime::new().map_err(CommandError::Start)?.block_on(async {
        let login = Client::new(options)?.log_in(&host).await.map_err(LoginError::Registry)?;
        if login == Login::NotAsked {
            progress.warn(&format!("the registry asks nobody for a password, so this one was not checked: `{host}`"));
        }
        Ok::<_, CommandError>(environment.credentials.keep(&host, user, &password).await?)
    })?;
    terminal::output(&format!("{user} is logged in to {host}, kept by {kept_by}\n")).map_err(CommandError::Output)
}
