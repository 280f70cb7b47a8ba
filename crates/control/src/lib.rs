//! The control-plane process: gateway, loops and node sessions over one store.
//!
//! ```text
//!     client ──► gateway ──► services ──► store ──► answer          what is wanted
//!                                 commit │ wakes
//!                                  loops ▼ plan and commit          what is decided
//!                               sessions ▼ order the nodes          what is done
//!     node ──► gateway (Submit…) ──► store                          what was seen
//! ```
//! Nothing is told to anyone before it is durable: answers wait for their revision, sessions and loops follow durable
//! commits.

mod audit;
mod balancing;
mod body;
mod bootstrap;
mod certificates;
mod clock;
mod config;
mod drops;
mod edges;
mod gateway;
mod line;
mod loops;
mod master_key;
mod metrics;
mod nodes;
mod registry;
mod root_key;
mod scans;
mod session;
mod signin;
mod telemetry;
mod throttle;
mod trails;

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use longshore_model::AccountId;
use longshore_services::{Settings, Vault};
use longshore_store::audit::Audit;
use longshore_store::blobs::Blobs;
use longshore_store::logs::Logs;
use longshore_store::{Revision, Sqlite, Store};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use parking_lot::Mutex;
use tokio::net::TcpListener;
use tokio::sync::watch;

pub use config::{AUDIT_MIB, Auth, Config, NODE_LOST_HOURS, TRAIL_SECONDS, audit_log};
pub use longshore_store::audit::{Mark, verify};
pub use root_key::RootKey;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{address} cannot be listened on")]
    Listen {
        address: SocketAddr,
        #[source]
        source: std::io::Error,
    },
    #[error("{path} cannot be used")]
    File {
        path: std::path::PathBuf,
        #[source]
        source: std::io::Error,
    },
    #[error(transparent)]
    Store(#[from] longshore_store::Error),
    /// What is wrong with it.
    #[error("the master key: {0}")]
    MasterKey(String),
    #[error("the store failed; see the log")]
    StoreFailed,
}

/// Everything the parts of the control plane share.
pub struct Server {
    pub(crate) store: Store,
    pub(crate) logs: Logs,
    pub(crate) audit: Audit,
    pub(crate) blobs: Blobs,
    /// The database of known vulnerabilities, if one was imported.
    pub(crate) scan_database: PathBuf,
    pub(crate) strangers: audit::Strangers,
    pub(crate) keys: signin::Keys,
    /// The directory that trails are delivered to, and how often.
    pub(crate) trails: PathBuf,
    pub(crate) trail_period: Duration,
    pub(crate) balancer_address: IpAddr,
    pub(crate) throttle: throttle::Throttle,
    pub(crate) settings: Settings,
    pub(crate) auth: Auth,
    pub(crate) root_key: RootKey,
    pub(crate) node_lost_seconds: i64,
    pub(crate) sessions: session::Sessions,
    pub(crate) telemetry: telemetry::Channels,
    pub(crate) metrics: metrics::Metrics,
    /// Accounts whose defaults exist, unless this revision was undone.
    pub(crate) accounts: Mutex<HashMap<AccountId, Revision>>,
    stop: watch::Sender<bool>,
}

/// A control plane that listens and has not begun to serve.
pub struct Bound {
    server: Arc<Server>,
    listener: TcpListener,
    pub address: SocketAddr,
}

/// Open the stores, make what a fresh account has, and listen.
pub async fn bind(config: &Config) -> Result<Bound, Error> {
    raise_file_limit();
    let store = Store::open(Sqlite::open(&config.database())?)?;
    clock::begin(store.read().newest());
    let logs = Logs::open(&config.log_store())?;
    let audit = audit::open(config)?;
    let blobs = Blobs::open(&config.blobs()).map_err(longshore_store::Error::from)?;
    let in_listen = |source| Error::Listen { address: config.listen, source };
    let listener = TcpListener::bind(config.listen).await.map_err(in_listen)?;
    let address = listener.local_addr().map_err(in_listen)?;
    let settings = Settings {
        region: config.region.clone(),
        account: config.account.clone(),
        zones: config.zones(),
        endpoint: address.to_string(),
        stopped_task_ttl_seconds: STOPPED_TASK_TTL_SECONDS,
        enforces: config.auth == Auth::Enforce,
        page_key: root_key::page_key(&config.data_dir)?,
        vault: vault(config, &store)?,
    };
    let server = Arc::new(Server {
        store,
        logs,
        audit,
        blobs,
        scan_database: scans::database(&config.data_dir),
        strangers: audit::Strangers::new(),
        keys: signin::Keys::default(),
        trails: config.data_dir.join("trails"),
        trail_period: Duration::from_secs(config.trail_seconds.max(1)),
        balancer_address: config.balancer_address,
        throttle: throttle::Throttle::new(config.throttle),
        settings,
        auth: config.auth,
        root_key: RootKey::ensure(&config.data_dir)?,
        node_lost_seconds: i64::from(config.node_lost_hours) * 3600,
        sessions: session::Sessions::default(),
        telemetry: telemetry::Channels::default(),
        metrics: metrics::Metrics::default(),
        accounts: Mutex::default(),
        stop: watch::channel(false).0,
    });
    server.ensure_account(&config.account).map_err(|_| longshore_store::Error::Full)?;
    server.ensure_authority(&config.data_dir).await?;
    server.forget_sessions().map_err(|_| longshore_store::Error::Full)?;
    Ok(Bound { server, listener, address })
}

/// The vault under this installation's master key; the secrets of access keys are what it must open.
fn vault(config: &Config, store: &Store) -> Result<Vault, Error> {
    let state = store.read();
    let opens = |vault: &Vault| state.access_keys.iter().all(|(_, key)| vault.open(&key.id, &key.sealed).is_some());
    master_key::vault(&config.data_dir, &master_key::Outside::of_process(), opens)
}

/// A session takes a descriptor and a client another: as many as this process may have.
fn raise_file_limit() {
    let raised =
        getrlimit(Resource::RLIMIT_NOFILE).and_then(|(_, hard)| setrlimit(Resource::RLIMIT_NOFILE, hard, hard));
    if let Err(error) = raised {
        tracing::warn!(%error, "the limit of open files was not raised");
    }
}

/// ECS shows a stopped task for at least an hour.
const STOPPED_TASK_TTL_SECONDS: i64 = 3600;

impl Bound {
    /// Serve until `shutdown` ends or the store fails.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
        let server = self.server;
        let loops = loops::start(&server);
        let dispatch = tokio::spawn(session::dispatch(server.clone()));
        let accept = tokio::spawn(gateway::accept(server.clone(), self.listener));
        let outcome = tokio::select! {
            () = shutdown => Ok(()),
            () = server.store.failed() => Err(Error::StoreFailed),
            () = server.logs.failed() => Err(Error::StoreFailed),
            () = server.audit.failed() => Err(Error::StoreFailed),
        };
        server.stop.send_replace(true);
        let _ = accept.await;
        dispatch.abort();
        for running in loops {
            running.abort();
        }
        outcome
    }
}

impl Server {
    /// Ends when the control plane is told to stop.
    pub(crate) async fn stopping(&self) {
        let mut stop = self.stop.subscribe();
        let _ = stop.wait_for(|stop| *stop).await;
    }
}
