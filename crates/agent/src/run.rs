//! A node from its start to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::api::ControlPlane;
use crate::balance::Balance;
use crate::config::{Config, EngineKind};
use crate::engine::real::Real;
use crate::engine::report::Courier;
use crate::engine::runner::Runner;
use crate::engine::simulated::Simulated;
use crate::engine::{Engine, Found};
use crate::error::Error;
use crate::join;
use crate::metadata::Metadata;
use crate::node::Registrar;
use crate::session;
use crate::wallet::Wallet;

/// Runs a node until `shutdown`. Tasks go on after it; the next node of the same data directory takes them over.
///
/// # Errors
/// What keeps the node from starting, and a control plane that refuses it for good. A control plane that is away is
/// waited for.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    let balance = OnceLock::new();
    let ended = tokio::select! {
        error = serve(config, &balance) => Err(error),
        () = shutdown => Ok(()),
    };
    if let Some(balance) = balance.get() {
        balance.end().await;
    }
    ended
}

/// How often a private containerd is looked at.
const KEEP_EVERY: Duration = Duration::from_millis(250);

/// Public addresses of simulated tasks: of the range for benchmarks, so nobody else's.
const SIMULATED_POOL: &str = "198.18.0.0/15";

/// `balance` is what carries the traffic, once there is something.
async fn serve(config: Config, balance: &OnceLock<Balance>) -> Error {
    match config.engine {
        EngineKind::Simulated => {
            // No container asks for credentials.
            let pool = Some(SIMULATED_POOL.to_owned());
            let plane = match plane(&config) {
                Ok(plane) => plane,
                Err(error) => return error,
            };
            let means = Means {
                pool,
                found: Vec::new(),
                wallet: Wallet::default(),
                balance: balance.get_or_init(Balance::simulated),
            };
            keep(&config, plane, Simulated, means, |_| {}).await
        }
        EngineKind::Containerd => match contain(&config, balance).await {
            Ok(never) => match never {},
            Err(error) => error,
        },
    }
}

/// A node with real containers. Runs until something ends it.
async fn contain(config: &Config, balance: &OnceLock<Balance>) -> Result<std::convert::Infallible, Error> {
    if !nix::unistd::geteuid().is_root() {
        let reason = "containers need root; --engine simulated does not".to_owned();
        return Err(Error::Setting { what: "--engine containerd", reason });
    }
    raise_file_limit();
    let endpoint = resolve(&config.endpoint).await?;
    let plane = plane(config)?;
    let metadata = Metadata::new(plane.clone());
    let (runner, found) = Real::open(config, endpoint, metadata.clone()).await?;
    let wallet = metadata.wallet().clone();
    let (dialer, names) = runner.balancing()?;
    let real = Balance::real(dialer, &names, &config.data_dir)?;
    let balance = balance.get_or_init(|| real);
    let (pool, containerd, images) = (runner.public_pool(), runner.containerd(), runner.images());
    let named = move |node: &str| metadata.set_node(node);
    let means = Means { pool: Some(pool), found, wallet, balance };
    tokio::select! {
        error = keep(config, plane, runner, means, named) => Err(error),
        never = images.clean(config.image_cleanup) => match never {},
        () = containerd.keep(KEEP_EVERY) => Err(Error::Runtime("containerd is not looked after".to_owned())),
    }
}

/// What tasks ask and have carried takes descriptors: as many as this process may have.
fn raise_file_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files was not raised");
    }
}

/// The control plane as a numeric address, for the supervisors, which look up no names.
async fn resolve(endpoint: &str) -> Result<SocketAddr, Error> {
    let fail = |reason: String| Error::Setting { what: "the endpoint of the control plane", reason };
    let mut found = tokio::net::lookup_host(endpoint).await.map_err(|error| fail(format!("{endpoint}: {error}")))?;
    found.next().ok_or_else(|| fail(format!("{endpoint} has no address")))
}

/// Lets go of the tasks when the node ends, however it ends.
struct Detach<R: Runner>(Arc<Engine<R>>);

impl<R: Runner> Drop for Detach<R> {
    fn drop(&mut self) {
        self.0.detach();
    }
}

/// The control plane, with the key of the node if it has joined: tasks that are found are begun with it, before it registers.
fn plane(config: &Config) -> Result<ControlPlane, Error> {
    let key = join::key(&config.data_dir)?;
    Ok(ControlPlane::new(&config.endpoint, &config.region, &config.account, key))
}

/// What a node has beside its runner.
struct Means<'b, R: Runner> {
    /// The block that public addresses are of.
    pool: Option<String>,
    /// Tasks of an agent before.
    found: Vec<Found<R>>,
    wallet: Wallet,
    balance: &'b Balance,
}

/// Runs tasks by `runner`, beginning with those that were found, as the control plane orders. `named` hears which node
/// this is.
async fn keep<R: Runner>(
    config: &Config,
    plane: ControlPlane,
    runner: R,
    means: Means<'_, R>,
    named: impl Fn(&str) + Send + Sync,
) -> Error {
    let registrar = match Registrar::open(config, plane.clone(), means.pool) {
        Ok(registrar) => registrar,
        Err(error) => return error,
    };
    let engine = Engine::new(runner, Courier::new(plane.clone()), &config.region);
    let _detach = Detach(Arc::clone(&engine));
    for found in means.found {
        engine.adopt(found);
    }
    let host = config.endpoint.rsplit_once(':').map_or(config.endpoint.as_str(), |(host, _)| host);
    let local = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    session::keep(engine, plane, registrar, means.wallet, means.balance, local, named).await
}
