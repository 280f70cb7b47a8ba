//! A node from its start to its end.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use crate::api::ControlPlane;
use crate::config::{Config, EngineKind, Instance};
use crate::engine::report::Courier;
use crate::engine::runner::Runner;
use crate::engine::simulated::Simulated;
use crate::engine::{Engine, Found};
use crate::error::Error;
use crate::node::Registrar;
use crate::session;

/// Runs a node until `shutdown`. Tasks go on after it; the next node of the same data directory takes them over.
///
/// # Errors
/// What keeps the node from starting, and a control plane that refuses it for good. A control plane that is away is
/// waited for.
pub async fn run(config: Config, shutdown: impl Future<Output = ()>) -> Result<(), Error> {
    tokio::select! {
        error = serve(config) => Err(error),
        () = shutdown => Ok(()),
    }
}

async fn serve(config: Config) -> Error {
    match config.engine {
        EngineKind::Simulated => match Instance::of(&config.data_dir) {
            Ok(_) => keep(&config, Simulated, None, Vec::new()).await,
            Err(error) => error,
        },
        EngineKind::Containerd => Error::Runtime("not yet".to_owned()),
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

async fn keep<R: Runner>(config: &Config, runner: R, public_pool: Option<String>, found: Vec<Found<R>>) -> Error {
    let plane = ControlPlane::new(&config.endpoint, &config.region, config.key());
    let registrar = match Registrar::open(config, plane.clone(), public_pool) {
        Ok(registrar) => registrar,
        Err(error) => return error,
    };
    let engine = Engine::new(runner, Courier::new(plane.clone()), &config.region);
    let _detach = Detach(Arc::clone(&engine));
    for found in found {
        engine.adopt(found);
    }
    let host = config.endpoint.rsplit_once(':').map_or(config.endpoint.as_str(), |(host, _)| host);
    let local = host == "localhost" || host.starts_with("127.") || host == "[::1]";
    session::keep(engine, plane, registrar, local).await
}
