//! The newest time in the state: what time it must be at least.

use longshore_wire::Timestamp;

use crate::State;
use crate::node::Node;
use crate::service::Service;
use crate::task::Task;

impl State {
    /// The newest time at which anything happened that a planner looks back on. Looks at every record: for the start.
    pub fn newest(&self) -> Timestamp {
        let tasks = self.tasks.iter().flat_map(|(_, task)| of_task(task));
        let services = self.services.iter().flat_map(|(_, service)| of_service(service));
        let nodes = self.nodes.iter().flat_map(|(_, node)| of_node(node));
        let tokens = self.tokens.iter().map(|(_, token)| token.created_at);
        let definitions = self.definitions.iter().filter_map(|(_, definition)| definition.api.delete_requested_at);
        let joins = self.join_tokens.iter().map(|(_, token)| token.created_at);
        tasks.chain(services).chain(nodes).chain(tokens).chain(definitions).chain(joins).max().unwrap_or_default()
    }
}

fn of_task(task: &Task) -> impl Iterator<Item = Timestamp> {
    let later = [task.connectivity_at, task.started_at, task.stopping_at, task.execution_stopped_at, task.stopped_at];
    later.into_iter().flatten().chain([task.created_at])
}

fn of_service(service: &Service) -> impl Iterator<Item = Timestamp> {
    let deployments = service.deployments.iter().flat_map(|deployment| {
        let counted = [deployment.throttle.counted_at, deployment.throttle.quick_counted_at];
        counted.into_iter().flatten().chain([deployment.created_at, deployment.updated_at])
    });
    let events = service.events.iter().filter_map(|event| event.created_at);
    deployments.chain(events).chain(service.inactive_at).chain([service.created_at])
}

fn of_node(node: &Node) -> impl Iterator<Item = Timestamp> {
    node.disconnected_at.into_iter().chain([node.registered_at])
}
