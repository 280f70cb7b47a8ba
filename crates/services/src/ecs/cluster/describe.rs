//! DescribeClusters and ListClusters, and the counts they show.

use longshore_api::ecs;
use longshore_model::State;
use longshore_model::cluster::key;
use longshore_wire::Fault;

use crate::Context;
use crate::ecs::page::{Asked, Page};
use crate::ecs::{fault, resolve};

/// Clusters that one request may ask for.
const CLUSTERS: usize = 100;

/// What a cluster holds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub instances: i32,
    pub running: i32,
    pub pending: i32,
    pub active_services: i32,
    pub draining_services: i32,
}

impl Counts {
    /// `cluster` is the cluster's key.
    pub fn of(state: &State, cluster: &str) -> Self {
        let held = state.index.cluster(cluster);
        Self {
            instances: held.instances,
            running: held.running,
            pending: held.pending,
            active_services: held.active_services,
            draining_services: held.draining_services,
        }
    }
}

/// DescribeClusters. Without names, `default`. What is not there is listed under `failures`.
pub fn describe(
    context: &mut Context<'_>,
    request: ecs::DescribeClustersRequest,
) -> Result<ecs::DescribeClustersResponse, Fault> {
    let place = context.place.clone();
    let asked = match request.clusters.filter(|names| !names.is_empty()) {
        Some(names) if names.len() > CLUSTERS => return Err(fault::too_many("clusters", CLUSTERS)),
        Some(names) => names,
        None => vec![resolve::DEFAULT_CLUSTER.to_owned()],
    };
    let include = request.include.unwrap_or_default();
    let state = context.read();
    let (mut clusters, mut failures, mut seen) = (Vec::new(), Vec::new(), Vec::new());
    for asked in &asked {
        let name = resolve::cluster_name(&place, Some(asked))?;
        if seen.contains(&name) {
            continue;
        }
        let key = key(&place.account, &name);
        match state.clusters.get(&key) {
            Some(cluster) => clusters.push(shown(&state, &key, &cluster.api, &include)),
            None => failures.push(missing(place.cluster(&name))),
        }
        seen.push(name);
    }
    Ok(ecs::DescribeClustersResponse { clusters: Some(clusters), failures: Some(failures) })
}

fn missing(arn: String) -> ecs::Failure {
    ecs::Failure { arn: Some(arn), reason: Some("MISSING".to_owned()), detail: None }
}

/// The cluster with its counts and everything else that is kept of it.
pub fn whole(state: &State, key: &str, api: &ecs::Cluster) -> ecs::Cluster {
    let counts = Counts::of(state, key);
    ecs::Cluster {
        registered_container_instances_count: Some(counts.instances),
        running_tasks_count: Some(counts.running),
        pending_tasks_count: Some(counts.pending),
        active_services_count: Some(counts.active_services),
        statistics: Some(Vec::new()),
        ..api.clone()
    }
}

/// The cluster with the parts that were asked for; lists that were not are empty, as ECS has them.
fn shown(state: &State, key: &str, api: &ecs::Cluster, include: &[ecs::ClusterField]) -> ecs::Cluster {
    use ecs::ClusterField as Field;
    let wants = |field| include.contains(&field);
    let mut cluster = whole(state, key, api);
    if wants(Field::Statistics) {
        cluster.statistics = Some(statistics(state, key));
    }
    if wants(Field::Attachments) {
        cluster.attachments = Some(Vec::new());
    }
    if !wants(Field::Settings) {
        cluster.settings = Some(Vec::new());
    }
    if !wants(Field::Tags) {
        cluster.tags = Some(Vec::new());
    }
    if !wants(Field::Configurations) {
        cluster.configuration = None;
    }
    cluster
}

/// Kinds of capacity, in the words of the statistics and the order of [`longshore_model::index::kind`].
const KINDS: [&str; 3] = ["EC2", "Fargate", "External"];

/// Tasks and services by kind of capacity, under the names ECS gives them.
fn statistics(state: &State, key: &str) -> Vec<ecs::KeyValuePair> {
    let kinds = state.index.cluster_kinds(key);
    let rows = kinds.map(|one| [one.running, one.pending, one.active_services, one.draining_services]);
    let names = [
        ("running", "TasksCount"),
        ("pending", "TasksCount"),
        ("active", "ServiceCount"),
        ("draining", "ServiceCount"),
    ];
    let mut pairs = Vec::new();
    for (column, (state, what)) in names.iter().enumerate() {
        for (kind, row) in KINDS.iter().zip(&rows) {
            let (name, value) = (format!("{state}{kind}{what}"), row[column].to_string());
            pairs.push(ecs::KeyValuePair { name: Some(name), value: Some(value) });
        }
    }
    pairs
}

/// ListClusters: the ARNs of those that are ACTIVE, by name.
pub fn list(context: &mut Context<'_>, request: ecs::ListClustersRequest) -> Result<ecs::ListClustersResponse, Fault> {
    const OPERATION: &str = "ListClusters";
    let asked = Asked { token: request.next_token.as_deref(), max_results: request.max_results };
    let page = Page::open(context, OPERATION, "", asked, 100)?;
    let account = context.account().to_string();
    let prefix = format!("{account}/");
    let state = context.read();
    let rows = state.clusters.scan_after(&prefix, page.after()).filter(|(_, cluster)| cluster.is_active());
    let rows = rows.map(|(key, cluster)| (key.to_string(), cluster.api.cluster_arn.clone().unwrap_or_default()));
    let (arns, next) = page.take(context, OPERATION, "", rows);
    Ok(ecs::ListClustersResponse { cluster_arns: Some(arns), next_token: next })
}
