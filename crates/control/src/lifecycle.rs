//! The loop that acts on the lifecycle policies of repositories: each that is due is evaluated once, where nobody waits for it, and
//! what it lets go goes a transaction at a time. What is cut short is evaluated anew.
//!
//! Repositories are looked through for policies once a period, and all that are due then have their turn before they are again. So
//! what fails each time keeps nobody from theirs, and a look at every repository needs no index to be cheap.

use std::sync::Arc;
use std::time::Duration;

use longshore_model::Change;
use longshore_model::registry::Repository;
use longshore_plan::lifecycle::{Errand, Picture, due};
use longshore_store::{Full, Unsettled};
use longshore_wire::Timestamp;

use crate::{Server, clock};

/// How soon a lifecycle policy that was put is acted on, if no other is due; and the pause after one that could not be.
const PERIOD: Duration = Duration::from_secs(20);

pub(crate) async fn run(server: Arc<Server>) {
    loop {
        let due = due(&server.store.read(), clock::now());
        for repository in due {
            if act(&server, repository).await.is_err() {
                tokio::time::sleep(PERIOD).await;
            }
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// Acts on the policy of a repository.
///
/// # Errors
/// If it could not be done to the end: the disk is full, say.
async fn act(server: &Arc<Server>, repository: Arc<Repository>) -> Result<(), ()> {
    let name = repository.key();
    let mut errand = evaluate(server, repository).await.map_err(|error| {
        tracing::error!(repository = name, %error, "a lifecycle policy could not be evaluated");
    })?;
    while !errand.is_over() {
        let revision = turn(server, &mut errand, clock::now()).map_err(drop)?;
        // Others write in between.
        match server.store.durable(revision).await {
            Ok(()) => {}
            Err(Unsettled::Full(_) | Unsettled::Closed(_)) => return Err(()),
        }
    }
    Ok(())
}

async fn evaluate(server: &Arc<Server>, repository: Arc<Repository>) -> Result<Errand, tokio::task::JoinError> {
    let server = server.clone();
    let evaluate = move || {
        let picture = Picture::of(&server.store.read(), &repository.id);
        Errand::new(repository, picture, clock::now())
    };
    tokio::task::spawn_blocking(evaluate).await
}

fn turn(server: &Server, errand: &mut Errand, now: Timestamp) -> Result<longshore_store::Revision, Full> {
    let planned = server.store.transact(|state, changes: &mut Vec<Change>| {
        let plan = errand.turn(state, now);
        plan.reasons.iter().for_each(|reason| tracing::info!(planner = "lifecycle", reason));
        changes.extend(plan.changes);
        Ok::<_, Full>(())
    });
    planned.map(|((), revision)| revision)
}
