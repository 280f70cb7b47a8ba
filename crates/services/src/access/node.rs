//! What a node may do with its key, whatever policies say: be the one node it is. No policy is asked, for none is a node's.
//!
//! What it reports is of its own tasks (`ecs::agent` sees to that), and so are the logs that it writes: of tasks without an
//! execution role, which writes those of the others (`docs/decisions/0028`).

use longshore_model::iam::{Caller, Identity};
use longshore_model::policy::{Lack, Reason, Request};
use longshore_model::task::Task;
use longshore_model::{Arn, State};

use super::{Asked, entry};

/// Whether an action opens a channel that a node may have, its own: the gateway sees to that. That of an edge is for those
/// which joined as one.
pub(super) fn opens(state: &State, caller: &Caller, action: &str) -> bool {
    let Some(node) = caller.node() else { return false };
    match action {
        "ecs:Poll" | "ecs:StartTelemetrySession" => true,
        "longshore:StartEdgeSession" => state.node_keys.get(node).is_some_and(|key| key.edge),
        _ => false,
    }
}

/// Whether a node may carry out an operation with this input.
///
/// # Errors
/// AWS's sentence, if not.
pub(super) fn judge(service: &str, operation: &str, asked: &Asked<'_>, caller: &Caller) -> Result<(), String> {
    match may(service, operation, asked, caller) {
        true => Ok(()),
        false => {
            let action = entry(service, operation).and_then(|entry| entry.needs.first()).map(|need| need.action);
            Err(sentence(caller, action.unwrap_or(&format!("{service}:{operation}"))))
        }
    }
}

/// Why a node may not.
pub(super) fn sentence(caller: &Caller, action: &str) -> String {
    let (principal, context) = (caller.principal(), caller.context());
    let request = Request { principal: &principal, action, resource: "*", owner: &caller.account, context: &context };
    Reason::Implicit(Lack::Identity).sentence(&request)
}

fn may(service: &str, operation: &str, asked: &Asked<'_>, caller: &Caller) -> bool {
    let Some(node) = caller.node() else {
        return matches!(caller.identity, Identity::Node { .. }) && (service, operation) == ("longshore", "JoinNode");
    };
    match (service, operation) {
        (
            "ecs",
            "RegisterContainerInstance"
            | "DiscoverPollEndpoint"
            | "SubmitTaskStateChange"
            | "SubmitContainerStateChange"
            | "SubmitAttachmentStateChanges",
        )
        | ("sts", "GetCallerIdentity") => true,
        ("ecs", "ListTagsForResource") => {
            let arn = asked.text("resourceArn").unwrap_or_default();
            arn == caller.arn() || is_own_task(asked.state, node, arn)
        }
        ("logs", "CreateLogGroup") => writes(asked, node, None),
        ("logs", "CreateLogStream" | "PutLogEvents") => writes(asked, node, asked.text("logStreamName")),
        _ => false,
    }
}

fn is_own_task(state: &State, node: &str, arn: &str) -> bool {
    let task = Arn::parse(arn).and_then(|arn| {
        let path = arn.resource.strip_prefix("task/")?;
        state.tasks.get(&format!("{}/{path}", arn.account))
    });
    task.is_some_and(|task| task.node.as_deref() == Some(node))
}

/// Whether one of the node's tasks has a container that logs to the group of a request, and to this stream of it. Its last
/// lines come when the task has stopped.
fn writes(asked: &Asked<'_>, node: &str, stream: Option<&str>) -> bool {
    let (state, group) = (asked.state, asked.text("logGroupName").unwrap_or_default());
    let logs = |task: &Task| streams(state, task, group).any(|own| stream.is_none_or(|stream| own.is(stream, task)));
    let open = state.index.node(node).into_iter().flat_map(|used| &used.tasks);
    let mut own = open.chain(state.index.stopped_on(node));
    // Of many tasks only the one is looked at whose stream it is.
    own.any(|key| {
        stream.is_none_or(|stream| may_be(stream, key)) && state.tasks.get(key).is_some_and(|task| logs(task))
    })
}

/// Whether a stream's name ends with the id of the task with this key, or begins with it.
fn may_be(stream: &str, key: &str) -> bool {
    let id = key.rsplit('/').next().unwrap_or_default();
    stream.ends_with(id) || stream.starts_with(id)
}

/// Where one container's lines go.
struct Stream<'a> {
    container: &'a str,
    prefix: Option<&'a str>,
}

impl Stream<'_> {
    /// `PREFIX/CONTAINER/TASK`, or without a prefix what the container runs as: `TASK-NUMBER`.
    fn is(&self, name: &str, task: &Task) -> bool {
        match self.prefix {
            Some(prefix) => name == format!("{prefix}/{}/{}", self.container, task.id),
            None => name.strip_prefix(&*task.id).is_some_and(|rest| rest.starts_with('-')),
        }
    }
}

/// The streams of a task's containers in a log group.
fn streams<'a>(state: &'a State, task: &Task, group: &'a str) -> impl Iterator<Item = Stream<'a>> + use<'a> {
    let definition = state.definition_of(task);
    let containers = definition.into_iter().flat_map(|row| row.api.container_definitions.iter().flatten());
    containers.filter_map(move |container| {
        let options = container.log_configuration.as_ref()?.options.as_ref()?;
        let named = options.get("awslogs-group").is_some_and(|name| name == group);
        let prefix = options.get("awslogs-stream-prefix").map(String::as_str).filter(|prefix| !prefix.is_empty());
        named.then(|| Stream { container: container.name.as_deref().unwrap_or_default(), prefix })
    })
}
