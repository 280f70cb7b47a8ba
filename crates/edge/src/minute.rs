//! What was counted, once a minute.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use longshore_link::edge::{EdgeConfiguration, MAX_SERIES, Metrics, Series};
use tokio::sync::Mutex;

use crate::chance;
use crate::front::Group;
use crate::report::Reports;
use crate::{Served, Task};

const MINUTE: i64 = 60_000;

/// Takes what was counted at the end of each minute, and lets go of connections to targets that have waited for too long, as
/// long as the task is not dropped.
pub fn watch(served: Arc<Mutex<Served>>, reports: Arc<Reports>) -> Task {
    Task(tokio::spawn(async move {
        loop {
            let left = MINUTE - chance::now_millis().rem_euclid(MINUTE);
            tokio::time::sleep(Duration::from_millis(u64::try_from(left).unwrap_or(1))).await;
            let metrics = {
                let served = served.lock().await;
                served.members.values().for_each(|member| member.prune());
                measure(&served)
            };
            if !metrics.series.is_empty() {
                reports.put_metrics(metrics);
            }
        }
    }))
}

/// The balancer of each group, by their ARNs. A group has one.
pub fn owners(configuration: &EdgeConfiguration) -> BTreeMap<String, String> {
    let of = |group: &str, balancer: &str| (group.to_owned(), balancer.to_owned());
    let listeners = configuration.listeners();
    let groups = listeners.flat_map(|(balancer, listener)| listener.groups().map(|group| of(group, &balancer.arn)));
    groups.collect()
}

/// What was counted since it was last taken.
pub fn measure(served: &Served) -> Metrics {
    let now = chance::now_millis();
    // The task may wake a little early or late; the minute is the one that most of it was.
    let at = (now - MINUTE / 2).div_euclid(MINUTE) * MINUTE;
    let mut balancers: BTreeMap<&str, Series> = BTreeMap::new();
    for (arn, tally) in &served.tallies {
        let (values, _) = tally.take();
        balancers.insert(arn, Series { balancer: arn.clone(), values, ..Series::default() });
    }
    let mut series = Vec::new();
    for (group, balancer) in &served.owners {
        let Some((known, whole)) = served.groups.get(group).zip(balancers.get_mut(balancer.as_str())) else { continue };
        let (values, response_times) = known.tally.take();
        for (name, value) in &values {
            *whole.values.entry(name.clone()).or_default() += value;
        }
        if let Some(times) = &response_times {
            whole.response_times.get_or_insert_default().add(times);
        }
        let values = values.into_iter().chain(hosts(known)).collect();
        let target_group = Some(group.clone());
        series.push(Series { balancer: balancer.clone(), target_group, values, response_times });
    }
    series.splice(..0, balancers.into_values());
    series.retain(|one| !one.values.is_empty());
    series.truncate(MAX_SERIES);
    Metrics { at, series }
}

/// Targets that are registered, by their health; none of a group without any.
fn hosts(group: &Group) -> impl Iterator<Item = (String, u64)> {
    let registered = group.members.iter().filter(|member| !member.is_draining());
    let (healthy, unhealthy): (Vec<_>, Vec<_>) = registered.partition(|member| member.is_healthy());
    let named = [("HealthyHostCount", healthy.len()), ("UnHealthyHostCount", unhealthy.len())];
    let any = healthy.len() + unhealthy.len() > 0;
    named.into_iter().filter(move |_| any).map(|(name, count)| (name.to_owned(), count as u64))
}
