//! A node as DescribeContainerInstances shows it.

use longshore_api::ecs;
use longshore_model::State;
use longshore_model::node::Node;
use longshore_model::task::TaskStatus;

/// The node, with its tags when `with_tags` says so.
pub fn instance(state: &State, node: &Node, with_tags: bool) -> ecs::ContainerInstance {
    let used = state.index.node(&node.id);
    let (cpu, memory_mib) = used.map_or((0, 0), |used| (used.cpu, used.memory_mib));
    let tasks = used.into_iter().flat_map(|used| &used.tasks).filter_map(|key| state.tasks.get(key));
    let (mut running, mut pending) = (0, 0);
    for task in tasks {
        match task.last {
            TaskStatus::Running => running += 1,
            last if last < TaskStatus::Running => pending += 1,
            _ => {}
        }
    }
    ecs::ContainerInstance {
        container_instance_arn: Some(node.arn.clone()),
        version: Some(node.epoch),
        version_info: node.version_info.clone(),
        registered_resources: Some(resources(i64::from(node.cpu), i64::from(node.memory_mib))),
        remaining_resources: Some(resources(i64::from(node.cpu) - cpu, i64::from(node.memory_mib) - memory_mib)),
        status: Some(node.status.clone()),
        agent_connected: Some(node.connected),
        running_tasks_count: Some(running),
        pending_tasks_count: Some(pending),
        attributes: Some(node.attributes.clone()),
        registered_at: Some(node.registered_at),
        attachments: Some(Vec::new()),
        tags: Some(if with_tags { node.tags.clone() } else { Vec::new() }),
        ..ecs::ContainerInstance::default()
    }
}

fn resources(cpu: i64, memory_mib: i64) -> Vec<ecs::Resource> {
    let resource = |name: &str, amount: i64| ecs::Resource {
        name: Some(name.to_owned()),
        r#type: Some("INTEGER".to_owned()),
        double_value: Some(0.0),
        long_value: Some(0),
        integer_value: Some(i32::try_from(amount.max(0)).unwrap_or(i32::MAX)),
        string_set_value: None,
    };
    vec![resource("CPU", cpu), resource("MEMORY", memory_mib)]
}
