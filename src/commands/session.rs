use std::num::NonZero;
use std::sync::Arc;

use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;

use super::{CommandError, terminal};
use crate::build::{BuildError, Context, NpmAccess};
use crate::cancel::{Cancellation, Cancelled};
use crate::cli::Build;
use crate::environment::Environment;
use crate::npm_registry::Mirror;
use crate::path::HostPath;
use crate::progress::Progress;
use crate::registry::{Client, ClientOptions, GivenCredentials, RegistrySettings, Warnings};
use crate::store::Store;

/// How registries are spoken to, as the environment has it.
pub(super) fn client_options(
    environment: &Environment,
    progress: &Arc<dyn Progress>,
) -> Result<ClientOptions, CommandError> {
    let progress = Arc::clone(progress);
    Ok(ClientOptions {
        credentials: environment.credentials.clone(),
        given_credentials: GivenCredentials::from_variables(&environment.variables),
        registries: environment
            .registries
            .as_deref()
            .map_or(Ok(RegistrySettings::default()), RegistrySettings::read)?,
        certificate_dirs: environment.certificate_dirs.clone(),
        warnings: Warnings::to(move |text| progress.warn(text)),
        ..ClientOptions::default()
    })
}

/// What `build` and `plan` run in.
pub(super) struct Session {
    pub context: Context,
    _cache: Cache,
}

/// Where blobs are kept.
pub(super) struct Cache {
    pub store: Store,
    /// The directory of `--no-cache`, removed at the end.
    _temporary: Option<tempfile::TempDir>,
}

impl Cache {
    pub fn new(no_cache: bool, environment: &Environment) -> Result<Self, CommandError> {
        let temporary = no_cache.then(tempfile::tempdir).transpose().map_err(CommandError::Start)?;
        let dir = temporary.as_ref().map_or(environment.cache_dir.clone(), |dir| HostPath::new(dir.path()));
        Ok(Self { store: Store::open(&dir)?, _temporary: temporary })
    }
}

/// The client of all registries.
pub(super) fn client(environment: &Environment, progress: &Arc<dyn Progress>) -> Result<Client, CommandError> {
    Ok(Client::new(client_options(environment, progress)?)?)
}

impl Session {
    pub fn new(arguments: &Build, environment: &Environment) -> Result<Self, CommandError> {
        let progress = terminal::progress();
        let defaults = client_options(environment, &progress)?;
        let options = ClientOptions { concurrency: arguments.connections, ..defaults };
        let cache = Cache::new(arguments.no_cache, environment)?;
        let threads = arguments.jobs.map_or(environment.threads, NonZero::get);
        // Where somebody made the pool before, as a test may, theirs is used; no result depends on it.
        let _ = rayon::ThreadPoolBuilder::new().num_threads(threads).build_global();
        let here = HostPath::new("");
        let mirror = arguments.npm_mirror.as_deref().map(|mirror| Mirror::parse(mirror, &here));
        let npm = NpmAccess {
            home: environment.home.clone(),
            variables: environment.variables.clone(),
            mirror: mirror.transpose().map_err(BuildError::from)?,
            offline: arguments.offline,
        };
        Ok(Self::with(environment, cache, Client::new(options)?, npm, threads, progress))
    }

    /// What looks at bases and images alone runs in.
    pub fn without_packages(environment: &Environment) -> Result<Self, CommandError> {
        let progress = terminal::progress();
        let (cache, client) = (Cache::new(false, environment)?, client(environment, &progress)?);
        Ok(Self::with(environment, cache, client, NpmAccess::default(), environment.threads, progress))
    }

    fn with(
        environment: &Environment,
        cache: Cache,
        client: Client,
        npm: NpmAccess,
        threads: usize,
        progress: Arc<dyn Progress>,
    ) -> Self {
        let context = Context {
            store: cache.store.clone(),
            client,
            npm,
            threads,
            mtime: environment.epoch,
            began: environment.now,
            cancellation: Cancellation::default(),
            progress,
        };
        Self { context, _cache: cache }
    }

    pub fn run<T>(&self, work: impl Future<Output = Result<T, BuildError>>) -> Result<T, CommandError> {
        run(work, &self.context.cancellation, &self.context.client)
    }
}

/// Runs `work`; Ctrl-C and SIGTERM end it, and it takes back what it has half written and half sent.
pub(super) fn run<T, E>(
    work: impl Future<Output = Result<T, E>>,
    cancellation: &Cancellation,
    client: &Client,
) -> Result<T, CommandError>
where
    CommandError: From<E>,
{
    let runtime = Runtime::new().map_err(CommandError::Start)?;
    runtime.block_on(async {
        let interrupted = Arc::new(Notify::new());
        let mut interrupt = signal(SignalKind::interrupt()).map_err(CommandError::Start)?;
        let mut terminate = signal(SignalKind::terminate()).map_err(CommandError::Start)?;
        let (notify, cancellation) = (interrupted.clone(), cancellation.clone());
        tokio::spawn(async move {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            cancellation.cancel();
            notify.notify_one();
        });
        let result = tokio::select! {
            result = work => result.map_err(CommandError::from),
            () = interrupted.notified() => Err(BuildError::from(Cancelled).into()),
        };
        if result.is_err() {
            client.cancel_uploads().await;
        }
        result
    })
}

/// Leaves what a command made to the system: the program ends here, and memory is taken back faster as a whole than it can
/// be given back tree by tree.
pub(super) fn leave_to_the_system<T>(made: T) {
    std::mem::forget(made);
}
