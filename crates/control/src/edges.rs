//! The channel of each edge: the configuration goes out whole whenever it has changed and is durable, the health of targets
//! comes in and is written with them.
//!
//! ```text
//! commit of a balancer, listener, group, target ─► wake ─► configuration ─► edge ─► report: "generation n is served"
//!                                                            ▲                              │
//!                                                            └── the next one not before ───┘
//! ```
//! While an edge takes one configuration the changes that follow gather: the next one has them all. The generation is the
//! store's revision, so it rises over restarts.

use std::collections::BTreeMap;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use longshore_link::edge::{CookieKey, EdgeConfiguration, EdgeReport, TargetHealth};
use longshore_link::{Frame, Message as _, balancing, frame};
use longshore_model::balancer::Health;
use longshore_model::certificate::Certificate;
use longshore_model::{Change, State, TableName};
use longshore_plan::{MAX_CHANGES, balancer};
use longshore_services::acm;
use longshore_store::{Missed, Revision, Watch};
use longshore_wire::Timestamp;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_tungstenite::tungstenite::{Error as SocketError, Message};

use crate::drops::Drops;
use crate::session::{Peer, Socket};
use crate::{Server, audit, clock};

/// How often an edge is asked for a sign of life.
const HEARTBEAT: Duration = Duration::from_secs(20);

/// An edge that answers nothing for so long is gone.
const SILENCE: Duration = Duration::from_secs(50);

/// An edge that has not said by then that it serves what it was given is given the next configuration all the same.
const TAKES: Duration = Duration::from_secs(2);

/// Characters of what an edge says of a target.
const LONGEST_DESCRIPTION: usize = 256;

/// One edge's channel, from connect to disconnect.
struct Channel {
    server: Arc<Server>,
    peer: Peer,
    drops: Drops,
    commits: Watch,
    /// What the edge was given last, and when, as long as it has not said that it serves it.
    given: Option<EdgeConfiguration>,
    unserved: Option<Instant>,
    /// The revision that was looked at last, and whether something has changed since.
    seen: Revision,
    stale: bool,
    problems: BTreeMap<String, String>,
}

/// Serve an edge's channel until it ends.
pub async fn serve(server: Arc<Server>, peer: Peer, socket: Socket) {
    let node = peer.id.clone();
    tracing::info!(node, "an edge connected");
    let (_, commits) = server.store.read_and_watch();
    let mut channel = Channel {
        server: server.clone(),
        peer,
        drops: Drops::default(),
        commits,
        given: None,
        unserved: None,
        seen: 0,
        stale: true,
        problems: BTreeMap::new(),
    };
    let ended = channel.run(socket).await;
    audit::dropped(&server, &node, "EDGE", channel.drops.rest());
    tracing::info!(node, reason = ended.err().map(|error| error.to_string()), "an edge disconnected");
}

impl Channel {
    async fn run(&mut self, mut socket: Socket) -> Result<(), SocketError> {
        let server = self.server.clone();
        let stopping = server.stopping();
        tokio::pin!(stopping);
        let mut heartbeat = interval(HEARTBEAT);
        heartbeat.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut heard = Instant::now();
        loop {
            if self.stale && self.unserved.is_none() {
                self.give(&mut socket).await?;
            }
            let patience = self.unserved.map(|since| since + TAKES);
            tokio::select! {
                commit = self.commits.next() => match commit {
                    Ok(commit) => {
                        self.stale |= commit.revision > self.seen && commit.changes.iter().any(concerns);
                    }
                    Err(Missed::Compacted(_)) => {
                        (_, self.commits) = server.store.read_and_watch();
                        self.stale = true;
                    }
                    Err(Missed::Closed(_)) => return Ok(()),
                },
                message = socket.next() => match message {
                    Some(message) => {
                        heard = Instant::now();
                        self.on_message(&message?);
                    }
                    None => return Ok(()),
                },
                () = until(patience) => self.unserved = None,
                _ = heartbeat.tick() => {
                    if heard.elapsed() > SILENCE || self.peer.is_over(&server.store.read()) {
                        return socket.close(None).await;
                    }
                    audit::dropped(&server, &self.peer.id, "EDGE", self.drops.due(clock::now()));
                    socket.send(Message::Ping(Vec::new().into())).await?;
                }
                () = &mut stopping => return socket.close(None).await,
            }
        }
    }

    /// Sends what is to be served now once it is durable, unless the edge has it.
    async fn give(&mut self, socket: &mut Socket) -> Result<(), SocketError> {
        self.stale = false;
        let generation = self.given.as_ref().map(|given| given.generation);
        let (mut configuration, seen) = self.server.edge_configuration(&self.peer.id, generation.unwrap_or_default());
        self.seen = seen;
        if self.given.as_ref() == Some(&configuration) {
            return Ok(());
        }
        configuration.generation = i64::try_from(self.seen).unwrap_or(i64::MAX);
        self.server.store.durable(self.seen).await.map_err(|_| SocketError::ConnectionClosed)?;
        self.unserved = Some(Instant::now());
        let configuration = self.given.insert(configuration);
        socket.send(Message::text(frame(configuration))).await
    }

    fn on_message(&mut self, message: &Message) {
        let heard = match message {
            Message::Text(text) => Frame::parse(text),
            Message::Binary(_) => return self.drops.unknown(),
            _ => return,
        };
        let report = heard.and_then(|received| match received.kind.as_str() {
            EdgeReport::TYPE => received.read::<EdgeReport>().map(Some),
            _ => Ok(None),
        });
        match report {
            Ok(Some(report)) => self.on_report(report),
            Ok(None) => self.drops.unknown(),
            Err(error) => {
                tracing::debug!(node = self.peer.id, %error, "an edge's message was dropped");
                self.drops.unreadable();
            }
        }
    }

    fn on_report(&mut self, report: EdgeReport) {
        let Some(given) = &self.given else { return };
        if report.generation >= given.generation {
            self.unserved = None;
        }
        let (own, others): (Vec<_>, Vec<_>) = report.health.into_iter().partition(|target| has(given, target));
        if !others.is_empty() {
            tracing::debug!(
                node = self.peer.id,
                count = others.len(),
                "health of targets that are another's was dropped"
            );
        }
        if let Some(metrics) = report.metrics {
            let has = |arn: &str| given.balancers.iter().any(|balancer| balancer.arn == arn);
            self.server.metrics.balancing.take(metrics, clock::wall().millis(), has);
        }
        own.chunks(MAX_CHANGES).for_each(|few| self.server.health_found(few));
        self.tell_of(report.problems.into_iter().map(|problem| (problem.listener, problem.problem)).collect());
    }

    /// Logs what is new of the listeners that are not served.
    fn tell_of(&mut self, problems: BTreeMap<String, String>) {
        for (listener, problem) in
            problems.iter().filter(|(listener, problem)| self.problems.get(*listener) != Some(problem))
        {
            tracing::warn!(node = self.peer.id, listener, problem, "a listener is not served");
        }
        self.problems = problems;
    }
}

/// Whether a change may be one of what edges serve.
fn concerns(change: &Change) -> bool {
    use TableName::{Certificate, Listener, LoadBalancer, Target, TargetGroup};
    matches!(change.table(), LoadBalancer | TargetGroup | Listener | Target | Certificate)
}

/// Whether a target is one of those that an edge was given.
fn has(given: &EdgeConfiguration, found: &TargetHealth) -> bool {
    let group = given.target_groups.get(&found.target_group);
    group.is_some_and(|group| group.targets.iter().any(|target| (&target.id, target.port) == (&found.id, found.port)))
}

/// At that time; never without one.
async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}

impl Server {
    /// What the edge on this node is to serve, under this generation, and the revision that it is of.
    fn edge_configuration(&self, node: &str, generation: i64) -> (EdgeConfiguration, Revision) {
        let state = self.store.read();
        let vault = &self.settings.vault;
        let open = |certificate: &Certificate| acm::private_key(vault, certificate);
        let near = |address| is_near(&state, node, address);
        let configuration = balancing::configuration(&state, &self.settings.region, generation, &near, &open);
        let configuration = EdgeConfiguration {
            door: Some(self.balancer_address),
            cookie_key: Some(CookieKey(vault.derived("cookies of edges"))),
            ..configuration
        };
        (configuration, state.revision())
    }

    /// What an edge found of targets; those whose word does not read are left as they are.
    fn health_found(&self, found: &[TargetHealth]) {
        let now = clock::now();
        let _ = self.write(|state| {
            let changes = found.iter().filter_map(|target| {
                balancer::found(state, &target.target_group, &target.id, target.port, health(target, now)?)
            });
            changes.collect()
        });
    }
}

/// As the record has it.
fn health(found: &TargetHealth, at: Timestamp) -> Option<Health> {
    let reason = found.reason.map(|reason| reason.to_string().parse()).transpose().ok()?;
    let description = found.description.as_ref().map(|text| text.chars().take(LONGEST_DESCRIPTION).collect());
    Some(Health { state: found.state.to_string().parse().ok()?, reason, description, at })
}

/// Whether a node reaches an address: not that of a task on another node, whose network is another.
fn is_near(state: &State, node: &str, address: Ipv4Addr) -> bool {
    let address = u32::from(address);
    let has = |node: &str| state.index.node(node).is_some_and(|used| used.addresses.contains(address));
    has(node) || !state.nodes.iter().any(|(id, _)| has(id))
}

#[cfg(test)]
mod tests {
    use longshore_link::edge::{Reason, TargetState};

    use super::*;

    #[test]
    fn the_words_of_edges_are_those_of_records() {
        let found = |state, reason| TargetHealth {
            target_group: String::new(),
            id: "10.0.0.1".to_owned(),
            port: 80,
            state,
            reason,
            description: Some("x".repeat(1000)),
            at: 0,
        };
        for state in [
            TargetState::Initial,
            TargetState::Healthy,
            TargetState::Unhealthy,
            TargetState::UnhealthyDraining,
            TargetState::Unused,
            TargetState::Draining,
            TargetState::Unavailable,
        ] {
            let kept = health(&found(state, None), Timestamp::default()).unwrap();
            assert_eq!(kept.state.to_string(), state.to_string());
            assert_eq!(kept.description.map(|text| text.len()), Some(LONGEST_DESCRIPTION));
        }
        for reason in [
            Reason::RegistrationInProgress,
            Reason::InitialHealthChecking,
            Reason::InternalError,
            Reason::ResponseCodeMismatch,
            Reason::Timeout,
            Reason::FailedHealthChecks,
            Reason::NotRegistered,
            Reason::NotInUse,
            Reason::DeregistrationInProgress,
            Reason::InvalidState,
            Reason::IpUnusable,
            Reason::HealthCheckDisabled,
        ] {
            let kept = health(&found(TargetState::Unhealthy, Some(reason)), Timestamp::default()).unwrap();
            assert_eq!(kept.reason.unwrap().to_string(), reason.to_string());
        }
    }
}
