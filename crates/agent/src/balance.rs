//! The edge of this node: the real one, or one that only says that targets are well.

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use longshore_edge::{Dialer, Edge};
use longshore_link::edge::{EdgeConfiguration, EdgeReport, Refusal, TargetGroup, TargetHealth, TargetState};
use parking_lot::Mutex;
use tokio::sync::Notify;

use crate::clock;
use crate::error::Error;
use crate::network::dns::Names;

/// For access logs to be finished when the node ends.
const ENDS: Duration = Duration::from_secs(5);

/// What carries the traffic of load balancers here.
pub(crate) enum Balance {
    Real(Edge),
    Simulated(Simulated),
}

impl Balance {
    /// Listens on this machine and in the tasks' network, which `dialer` makes sockets of, tells the tasks' resolver the `names` of
    /// balancers, and writes access logs below the data directory.
    pub(crate) fn real(dialer: Dialer, names: &Names, data_dir: &Path) -> Result<Self, Error> {
        let logs = data_dir.join("access-logs");
        let edge = Edge::reaching(dialer).logging(logs.clone()).map_err(Error::file(logs))?;
        names.know(edge.places());
        Ok(Self::Real(edge))
    }

    pub(crate) fn simulated() -> Self {
        Self::Simulated(Simulated::default())
    }

    pub(super) async fn apply(&self, configuration: EdgeConfiguration) -> Result<(), Refusal> {
        match self {
            Self::Real(edge) => edge.apply(configuration).await,
            Self::Simulated(edge) => edge.apply(&configuration),
        }
    }

    /// Nothing is carried any more, and the access logs are whole. A disk that is too slow is not waited for.
    pub(crate) async fn end(&self) {
        if let Self::Real(edge) = self
            && tokio::time::timeout(ENDS, edge.end()).await.is_err()
        {
            tracing::warn!("access logs were not finished");
        }
    }

    /// What has changed since the last report, once something has.
    pub(super) async fn report(&self) -> EdgeReport {
        match self {
            Self::Real(edge) => edge.report().await,
            Self::Simulated(edge) => edge.report().await,
        }
    }

    /// All that is known, if there is more than what is reported next.
    pub(super) async fn whole_report(&self) -> Option<EdgeReport> {
        match self {
            Self::Real(edge) => Some(edge.whole_report().await),
            Self::Simulated(_) => None,
        }
    }
}

/// Of simulated tasks every target is healthy as soon as it is registered. Nothing is listened on.
#[derive(Default)]
pub(crate) struct Simulated {
    said: Mutex<Said>,
    news: Notify,
}

#[derive(Default)]
struct Said {
    generation: i64,
    healthy: BTreeSet<Registered>,
    next: Option<EdgeReport>,
}

impl Simulated {
    fn apply(&self, configuration: &EdgeConfiguration) -> Result<(), Refusal> {
        let mut said = self.said.lock();
        if said.generation > configuration.generation {
            return Err(Refusal::Older { had: said.generation, came: configuration.generation });
        }
        configuration.check()?;
        said.generation = configuration.generation;
        let healthy: BTreeSet<_> =
            configuration.target_groups.iter().flat_map(|(arn, group)| registered(arn, group)).collect();
        let health = healthy.difference(&said.healthy).map(well).collect();
        let before = said.next.take().map(|report| report.health).unwrap_or_default();
        let report = EdgeReport { generation: said.generation, health, ..EdgeReport::default() };
        said.next = Some(EdgeReport { health: [before, report.health].concat(), ..report });
        said.healthy = healthy;
        self.news.notify_one();
        Ok(())
    }

    async fn report(&self) -> EdgeReport {
        loop {
            if let Some(report) = self.said.lock().next.take() {
                return report;
            }
            self.news.notified().await;
        }
    }
}

/// A target by its group, id, port and the time that it was registered at.
type Registered = (String, String, u16, i64);

fn registered<'a>(arn: &'a str, group: &'a TargetGroup) -> impl Iterator<Item = Registered> + use<'a> {
    let targets = group.targets.iter().filter(|target| target.draining_since.is_none());
    targets.map(move |target| (arn.to_owned(), target.id.clone(), target.port, target.registered_at))
}

fn well((group, id, port, _): &Registered) -> TargetHealth {
    TargetHealth {
        target_group: group.clone(),
        id: id.clone(),
        port: *port,
        state: TargetState::Healthy,
        reason: None,
        description: None,
        at: i64::try_from(clock::now()).unwrap_or(i64::MAX),
    }
}

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use longshore_link::edge::{Action, Address, Balancer, BalancerKind, Listener, ListenerProtocol, Target};

    use super::*;

    fn given(generation: i64, targets: &[(&str, Option<i64>)]) -> EdgeConfiguration {
        let balancer = Balancer {
            addresses: vec![Address { ip: "127.64.0.1".parse().unwrap(), zone: "a".to_owned(), inside: false }],
            listeners: vec![Listener::new("l", 80, ListenerProtocol::Http, Action::forward("g"))],
            ..Balancer::new("b", BalancerKind::Application)
        };
        let target = |(id, draining_since): &(&str, Option<i64>)| Target {
            draining_since: *draining_since,
            ..Target::new(SocketAddr::new(id.parse().unwrap(), 80))
        };
        let group = TargetGroup { targets: targets.iter().map(target).collect(), ..TargetGroup::default() };
        EdgeConfiguration {
            generation,
            balancers: vec![balancer],
            target_groups: [("g".to_owned(), group)].into(),
            ..EdgeConfiguration::default()
        }
    }

    fn ids(report: &EdgeReport) -> Vec<&str> {
        report.health.iter().map(|target| target.id.as_str()).collect()
    }

    #[tokio::test]
    async fn a_simulated_target_is_healthy_once_and_again_when_it_is_registered_again() {
        let edge = Simulated::default();
        edge.apply(&given(1, &[("10.0.0.1", None), ("10.0.0.2", Some(5))])).unwrap();
        edge.apply(&given(2, &[("10.0.0.1", None), ("10.0.0.3", None)])).unwrap();
        let report = edge.report().await;
        assert_eq!((report.generation, ids(&report)), (2, vec!["10.0.0.1", "10.0.0.3"]));
        edge.apply(&given(3, &[("10.0.0.3", None)])).unwrap();
        assert_eq!(ids(&edge.report().await), [""; 0]);
        edge.apply(&given(4, &[("10.0.0.1", None), ("10.0.0.3", None)])).unwrap();
        assert_eq!(ids(&edge.report().await), ["10.0.0.1"]);
        let mut anew = given(5, &[("10.0.0.1", None), ("10.0.0.3", None)]);
        anew.target_groups.get_mut("g").unwrap().targets[1].registered_at = 9;
        edge.apply(&anew).unwrap();
        assert_eq!(ids(&edge.report().await), ["10.0.0.3"]);
        let older = edge.apply(&given(3, &[]));
        assert_eq!(older, Err(Refusal::Older { had: 5, came: 3 }));
    }
}
