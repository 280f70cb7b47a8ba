//! Container instances as operators see them: described, listed, drained, deregistered.
//!
//! Nodes that serve every cluster are seen in the pseudo cluster `longshore.fargate`.

use std::sync::Arc;

use longshore_api::ecs;
use longshore_model::node::{FARGATE_CLUSTER, Node};
use longshore_model::{Place, State};
use longshore_plan::heal;
use longshore_wire::Fault;

use super::page::{Asked, Page};
use super::{cluster, describe as show, fault, resolve};
use crate::{Context, node};

const DESCRIBED: usize = 100;
const UPDATED: usize = 10;
const PAGE: i32 = 100;

/// Tasks told to stop, or ended, together with their node and its key; the rest are the healing loop's.
const AT_ONCE: usize = longshore_model::MAX_CHANGES - 2;

/// A cluster's name, the pseudo cluster's included.
fn cluster_name(place: &Place, given: Option<&str>) -> Result<String, Fault> {
    match given {
        Some(given) if given == FARGATE_CLUSTER || given == place.cluster(FARGATE_CLUSTER) => Ok(given_name()),
        given => resolve::cluster_name(place, given),
    }
}

fn given_name() -> String {
    FARGATE_CLUSTER.to_owned()
}

fn check_cluster(state: &State, place: &Place, name: &str) -> Result<(), Fault> {
    match name {
        FARGATE_CLUSTER => Ok(()),
        name => cluster::active(state, &place.account, name).map(drop),
    }
}

/// The node with this id, if it is in the cluster.
fn find<'a>(state: &'a State, place: &Place, cluster: &str, id: &str) -> Option<&'a Arc<Node>> {
    state.nodes.get(id).filter(|node| is_in(node, place, cluster))
}

fn is_in(node: &Node, place: &Place, cluster: &str) -> bool {
    node.account == place.account.as_str() && node.cluster.as_deref().unwrap_or(FARGATE_CLUSTER) == cluster
}

fn not_found() -> Fault {
    fault::invalid_parameter("Referenced container instance was not found.")
}

/// DescribeContainerInstances.
pub fn describe(
    context: &mut Context<'_>,
    request: ecs::DescribeContainerInstancesRequest,
) -> Result<ecs::DescribeContainerInstancesResponse, Fault> {
    let place = context.place.clone();
    let name = cluster_name(&place, request.cluster.as_deref())?;
    let ids = ids(&place, &name, request.container_instances.as_deref(), DESCRIBED)?;
    let with_tags = request.include.unwrap_or_default().contains(&ecs::ContainerInstanceField::Tags);
    let state = context.read();
    check_cluster(&state, &place, &name)?;
    let (mut instances, mut failures) = (Vec::new(), Vec::new());
    for id in ids {
        match find(&state, &place, &name, &id) {
            Some(node) => instances.push(show::instance(&state, node, with_tags)),
            None => failures.push(show::failure(place.container_instance(&name, &id), "MISSING")),
        }
    }
    Ok(ecs::DescribeContainerInstancesResponse { container_instances: Some(instances), failures: Some(failures) })
}

fn ids(place: &Place, cluster: &str, given: Option<&[String]>, limit: usize) -> Result<Vec<String>, Fault> {
    let given = given.unwrap_or_default();
    match given.len() {
        0 => Err(fault::invalid_parameter("Container instances cannot be empty.")),
        count if count > limit => Err(fault::too_many("containerInstances", limit)),
        _ => given.iter().map(|given| resolve::container_instance_id(place, cluster, given)).collect(),
    }
}

/// ListContainerInstances, by status. The cluster query language is not built.
pub fn list(
    context: &mut Context<'_>,
    request: ecs::ListContainerInstancesRequest,
) -> Result<ecs::ListContainerInstancesResponse, Fault> {
    let place = context.place.clone();
    let name = cluster_name(&place, request.cluster.as_deref())?;
    if request.filter.as_deref().is_some_and(|filter| !filter.is_empty()) {
        return Err(super::task::launch::unsupported("filters of the cluster query language"));
    }
    let text = format!("{name} {:?}", request.status);
    let asked = Asked { token: request.next_token.as_deref(), max_results: request.max_results };
    let page = Page::open(context, "ListContainerInstances", &text, asked, PAGE)?;
    let state = context.read();
    check_cluster(&state, &place, &name)?;
    let wanted = |node: &Node| match request.status {
        None => node.status != "INACTIVE",
        Some(status) => node.status == status.as_str(),
    };
    let rows = state.nodes.scan_after("", page.after());
    let rows = rows.filter(|(_, node)| is_in(node, &place, &name) && wanted(node));
    let rows: Vec<(String, String)> =
        rows.map(|(id, node)| (id.to_string(), node.arn.clone())).take(page.limit() + 1).collect();
    drop(state);
    let (arns, token) = page.take(context, "ListContainerInstances", &text, rows);
    Ok(ecs::ListContainerInstancesResponse { container_instance_arns: Some(arns), next_token: token })
}

/// UpdateContainerInstancesState: ACTIVE or DRAINING.
pub fn update_state(
    context: &mut Context<'_>,
    request: ecs::UpdateContainerInstancesStateRequest,
) -> Result<ecs::UpdateContainerInstancesStateResponse, Fault> {
    let place = context.place.clone();
    let name = cluster_name(&place, request.cluster.as_deref())?;
    let ids = ids(&place, &name, request.container_instances.as_deref(), UPDATED)?;
    let status = match request.status {
        Some(status @ (ecs::ContainerInstanceStatus::Active | ecs::ContainerInstanceStatus::Draining)) => status,
        _ => return Err(fault::invalid_parameter("Container instance status must be ACTIVE or DRAINING.")),
    };
    context.transact(|state, changes, _| {
        check_cluster(state, &place, &name)?;
        let (mut instances, mut failures) = (Vec::new(), Vec::new());
        for id in ids {
            let arn = place.container_instance(&name, &id);
            match find(state, &place, &name, &id) {
                None => failures.push(show::failure(arn, "MISSING")),
                Some(node) if node.status == "INACTIVE" => failures.push(show::failure(arn, "INACTIVE")),
                Some(node) => {
                    let mut node = Node::clone(node);
                    node.status = status.as_str().to_owned();
                    instances.push(show::instance(state, &node, true));
                    changes.push(node.into());
                }
            }
        }
        Ok(ecs::UpdateContainerInstancesStateResponse {
            container_instances: Some(instances),
            failures: Some(failures),
        })
    })
}

/// DeregisterContainerInstance: the node takes nothing any more. With `force`, a node that is connected is told to stop its
/// tasks, and what they hold is free when it has; the tasks of a node that is away end, for whoever asks says that it is
/// gone. (AWS leaves forced tasks running and forgets them.) The node's own key is void at once; the session that is open goes
/// on until the tasks have stopped.
///
/// # Errors
/// `InvalidParameterException` while it has tasks, unless forced.
pub fn deregister(
    context: &mut Context<'_>,
    request: ecs::DeregisterContainerInstanceRequest,
) -> Result<ecs::DeregisterContainerInstanceResponse, Fault> {
    let place = context.place.clone();
    let now = context.now;
    let name = cluster_name(&place, request.cluster.as_deref())?;
    let given = request.container_instance.as_deref().unwrap_or_default();
    let id = resolve::container_instance_id(&place, &name, given)?;
    let forced = request.force == Some(true);
    let instance = context.transact(|state, changes, _| {
        check_cluster(state, &place, &name)?;
        let mut node = Node::clone(find(state, &place, &name, &id).ok_or_else(not_found)?);
        let tasks: Vec<_> = state.index.node(&id).into_iter().flat_map(|used| &used.tasks).collect();
        if !tasks.is_empty() && !forced {
            return Err(fault::invalid_parameter("Found running tasks on the instance."));
        }
        let connected = node.connected;
        node.status = "INACTIVE".to_owned();
        let shown = show::instance(state, &node, true);
        changes.push(node.into());
        changes.extend(node::void(state, &id));
        let tasks = tasks.into_iter().filter_map(|key| state.tasks.get(key));
        let over = tasks.filter_map(|task| match connected {
            true => heal::told_to_stop(state, task, now),
            false => Some(heal::ended(state, task, now)),
        });
        for over in over {
            if changes.len() + over.len() > AT_ONCE {
                break;
            }
            changes.extend(over);
        }
        Ok(shown)
    })?;
    Ok(ecs::DeregisterContainerInstanceResponse { container_instance: Some(instance) })
}
