//! The loop that delivers audit records to trails.

use std::sync::Arc;
use std::time::Duration;

use longshore_services::cloudtrail::deliver::Deliverer;

use crate::{Server, clock};

/// Deliver now and then, for good.
pub async fn run(server: Arc<Server>) {
    loop {
        match turn(&server).await {
            Some(true) => {}
            Some(false) => tokio::time::sleep(server.trail_period).await,
            None => tokio::time::sleep(server.trail_period.max(Duration::from_secs(10))).await,
        }
    }
}

/// Whether there is more to deliver now; `None` if it failed.
async fn turn(server: &Arc<Server>) -> Option<bool> {
    let server = server.clone();
    let delivered = tokio::task::spawn_blocking(move || {
        let deliverer = Deliverer {
            store: &server.store,
            logs: &server.logs,
            audit: &server.audit,
            directory: &server.trails,
            region: &server.settings.region,
        };
        deliverer.turn(clock::now())
    });
    match delivered.await.ok()? {
        Ok(more) => Some(more),
        Err(error) => {
            tracing::error!(error = &error as &dyn std::error::Error, "audit records were not delivered");
            None
        }
    }
}
