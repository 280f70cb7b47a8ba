//! The loops: each wakes, looks at the newest state, lets a planner decide and commits what it decided, in one
//! transaction. A loop takes no input and holds nothing that cannot be found again; the next turn is the retry.

use std::sync::Arc;
use std::time::{Duration, Instant};

use longshore_model::{Change, State};
use longshore_plan::agenda::Agenda;
use longshore_plan::reconcile::Roles;
use longshore_plan::{Plan, expire, heal, prune, reap, replicate, rotate, scan};
use longshore_services::logs::Upkeep;
use longshore_store::{Commit, Full, Missed, Watch};
use tokio::task::JoinHandle;

use crate::registry::collect;
use crate::{Error, Server, certificates, clock, lifecycle, replicas, scans, trails};

/// The longest a loop sleeps.
const PERIOD: Duration = Duration::from_secs(60);

/// Before services are looked at again when the disk was full.
const FULL_PAUSE: Duration = Duration::from_secs(1);

/// Planning services for longer than this calls for a pause of at most [`LONGEST_PAUSE`].
const LONG: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// How soon tasks of a vanished node are ended.
const HEAL_PERIOD: Duration = Duration::from_secs(5);

/// How soon a rotation begins, and its end is seen.
const ROTATE_PERIOD: Duration = Duration::from_secs(1);

/// How soon targets that have drained go.
const EXPIRE_PERIOD: Duration = Duration::from_secs(1);

pub fn start(server: &Arc<Server>) -> Vec<JoinHandle<()>> {
    vec![
        tokio::spawn(services(server.clone())),
        tokio::spawn(periodic(server.clone(), "heal", HEAL_PERIOD, |server, state| {
            heal::turn(state, clock::now(), server.node_lost_seconds)
        })),
        tokio::spawn(periodic(server.clone(), "reap", PERIOD, |server, state| {
            reap::turn(state, clock::now(), server.settings.stopped_task_ttl_seconds)
        })),
        tokio::spawn(periodic(server.clone(), "expire", EXPIRE_PERIOD, |_, state| expire::turn(state, clock::now()))),
        tokio::spawn(periodic(server.clone(), "rotate", ROTATE_PERIOD, |server, state| {
            rotate::turn(state, &server.settings.region, clock::now(), &mut clock::mint())
        })),
        tokio::spawn(periodic(server.clone(), "prune", PERIOD, |_, state| prune::turn(state, clock::now()))),
        tokio::spawn(lifecycle::run(server.clone())),
        tokio::spawn(retention(server.clone())),
        tokio::spawn(trails::run(server.clone())),
        tokio::spawn(certificates::renew(server.clone())),
        tokio::spawn(collect::run(server.clone())),
        tokio::spawn(scans::run(server.clone())),
        tokio::spawn(replicas::run(server.clone())),
        tokio::spawn(periodic(server.clone(), "replicate", PERIOD, |_, state| replicate::turn(state, clock::now()))),
        tokio::spawn(periodic(server.clone(), "scan", PERIOD, |_, state| scan::turn(state, clock::now()))),
    ]
}

/// Move every service towards what is wanted of it.
async fn services(server: Arc<Server>) {
    let (mut agenda, mut commits) = follow(&server);
    loop {
        let began = Instant::now();
        if clear(&server, &mut agenda).is_err() {
            tokio::time::sleep(FULL_PAUSE).await;
            (agenda, commits) = follow(&server);
            continue;
        }
        breathe(began.elapsed()).await;
        let now = clock::now();
        let sleep = agenda.not_before(now).map_or(PERIOD, |at| clock::until(at, now).min(PERIOD));
        let noted = tokio::select! {
            commit = commits.next() => commit.and_then(|commit| note(&server, &mut agenda, &mut commits, &commit)),
            () = tokio::time::sleep(sleep) => Ok(()),
        };
        match noted {
            Ok(()) => {}
            Err(Missed::Compacted(_)) => (agenda, commits) = follow(&server),
            Err(Missed::Closed(_)) => return,
        }
    }
}

/// Planning a service of thousands of tasks takes milliseconds, in which nobody else writes. While its tasks come and go
/// one by one it is planned for several of them at a time: three quarters of the time are the others'.
async fn breathe(planned: Duration) {
    if planned > LONG {
        tokio::time::sleep((planned * 3).min(LONGEST_PAUSE)).await;
    }
}

/// An agenda of everything, and what comes after it.
fn follow(server: &Server) -> (Agenda, Watch) {
    let (state, commits) = server.store.read_and_watch();
    let roles = if server.settings.enforces { Roles::Lent } else { Roles::Any };
    (Agenda::new(&state).with_roles(roles), commits)
}

/// Plan until nothing is due. An agenda whose plan was refused has forgotten it: it must be made afresh.
fn clear(server: &Server, agenda: &mut Agenda) -> Result<(), Full> {
    let mut next = |state: &State| agenda.next(state, clock::now(), &mut clock::mint()).map(|(_, plan)| plan);
    while turn(server, "services", &mut next)? {}
    Ok(())
}

/// Tell the agenda of a commit and of all that queued up behind it.
fn note(server: &Server, agenda: &mut Agenda, commits: &mut Watch, first: &Commit) -> Result<(), Missed> {
    let state = server.store.read();
    agenda.note(&state, &first.changes);
    while let Some(commit) = commits.try_next()? {
        agenda.note(&state, &commit.changes);
    }
    Ok(())
}

/// One planner, every `period` or when it asks.
async fn periodic(server: Arc<Server>, name: &'static str, period: Duration, plan: fn(&Server, &State) -> Plan) {
    loop {
        let mut wake = None;
        let turned = turn(&server, name, |state| {
            let plan = plan(&server, state);
            wake = plan.not_before;
            Some(plan)
        });
        let wake = wake.filter(|_| turned.is_ok());
        let sleep = wake.map_or(period, |at| clock::until(at, clock::now()).min(period));
        tokio::time::sleep(sleep).await;
    }
}

/// Plan against the newest state and commit. Returns whether there was a plan.
fn turn(server: &Server, name: &'static str, plan: impl FnOnce(&State) -> Option<Plan>) -> Result<bool, Full> {
    let decided = server.store.transact(|state, changes: &mut Vec<Change>| {
        let Some(plan) = plan(state) else { return Ok(false) };
        for reason in &plan.reasons {
            tracing::info!(planner = name, reason);
        }
        changes.extend(plan.changes);
        Ok(true)
    });
    decided.map(|(planned, _)| planned)
}

/// Forget log events past their group's retention, and what deleted groups and streams held.
async fn retention(server: Arc<Server>) {
    loop {
        match retention_turn(&server).await {
            Ok(true) => {}
            Ok(false) => tokio::time::sleep(PERIOD).await,
            Err(error) => {
                tracing::error!(%error, "expired log events could not be removed");
                tokio::time::sleep(PERIOD).await;
            }
        }
    }
}

/// Returns whether there is more to do.
async fn retention_turn(server: &Server) -> Result<bool, Error> {
    let uids = server.logs.groups()?;
    let (upkeep, revision) = {
        let state = server.store.read();
        (Upkeep::plan(&state, &uids), state.revision())
    };
    server.store.durable(revision).await.map_err(|_| Error::StoreFailed)?;
    let logs = server.logs.clone();
    let turn = tokio::task::spawn_blocking(move || upkeep.run(&logs, clock::wall())).await;
    Ok(turn.map_err(|_| Error::StoreFailed)??)
}
