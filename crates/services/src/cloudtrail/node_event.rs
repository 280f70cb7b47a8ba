//! What happens on the channels of nodes and is no call, as events: a task's role was assumed for it, messages were dropped.

use longshore_model::task_role::SERVICE;
use longshore_wire::Writer as _;
use longshore_wire::json::JsonWriter;

use super::event::{Notice, WORDS, begin, cut, end, kind};
use super::identity::pair;
use super::resource;

/// Credentials of a task's role went to the node that runs the task, or did not.
#[derive(Clone, Copy, Debug)]
pub struct Lending<'a> {
    /// ARN of the container instance.
    pub node: &'a str,
    /// ARN of the task.
    pub task: &'a str,
    /// ARN of the role, if the task has one.
    pub role: Option<&'a str>,
    /// `TaskApplication` or `TaskExecution`.
    pub role_type: &'a str,
    /// Why there are none.
    pub refused: Option<&'a str>,
}

/// AssumeRole, as CloudTrail has it where ECS assumes a task's role: by the service, in the task's name. The credentials are
/// not in it.
pub fn lent(lending: &Lending<'_>, of: &Notice<'_>) -> Vec<u8> {
    let mut json = begin("sts.amazonaws.com", "AssumeRole", of);
    json.key("userIdentity");
    json.map(0);
    pair(&mut json, "type", "AWSService");
    pair(&mut json, "invokedBy", SERVICE);
    json.end();
    pair(&mut json, "sourceIPAddress", SERVICE);
    pair(&mut json, "userAgent", SERVICE);
    kind(&mut json, "AwsApiCall", true);
    json.key("requestParameters");
    json.map(0);
    if let Some(role) = lending.role {
        pair(&mut json, "roleArn", role);
    }
    pair(&mut json, "roleSessionName", lending.task.rsplit('/').next().unwrap_or_default());
    json.end();
    if let Some(reason) = lending.refused {
        pair(&mut json, "errorCode", "AccessDenied");
        pair(&mut json, "errorMessage", cut(reason, WORDS));
    }
    json.key("responseElements");
    json.null();
    resources(&mut json, lending.role.into_iter().chain([lending.task, lending.node]));
    json.key("additionalEventData");
    json.map(0);
    pair(&mut json, "roleType", lending.role_type);
    json.end();
    end(json, of)
}

/// Messages of one session of a node's that were dropped, by why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dropped {
    /// They did not read.
    pub unreadable: u64,
    /// They were of no known type.
    pub unknown: u64,
    /// They were about tasks that are not the node's.
    pub foreign: u64,
    /// ARN of the last of these tasks.
    pub task: Option<String>,
}

/// So many messages were dropped. `channel` is `ACS` or `TCS`, `node` the container instance's ARN.
pub fn dropped(dropped: &Dropped, node: &str, channel: &str, of: &Notice<'_>) -> Vec<u8> {
    let mut json = begin("ecs.amazonaws.com", "AgentMessagesDropped", of);
    kind(&mut json, "AwsServiceEvent", false);
    resources(&mut json, [node].into_iter().chain(dropped.task.as_deref()));
    json.key("serviceEventDetails");
    json.map(0);
    pair(&mut json, "channel", channel);
    for (what, count) in
        [("unreadable", dropped.unreadable), ("unknownType", dropped.unknown), ("foreignTask", dropped.foreign)]
    {
        json.key(what);
        json.integer(i64::try_from(count).unwrap_or(i64::MAX));
    }
    json.end();
    end(json, of)
}

fn resources<'a>(json: &mut JsonWriter, arns: impl Iterator<Item = &'a str>) {
    json.key("resources");
    json.list(0);
    arns.for_each(|arn| resource::write(json, arn));
    json.end();
}

#[cfg(test)]
mod tests {
    use longshore_wire::Timestamp;
    use serde_json::{Value, json};

    use super::*;

    const NODE: &str = "arn:aws:ecs:us-east-1:000000000000:container-instance/longshore.fargate/n1";
    const TASK: &str = "arn:aws:ecs:us-east-1:123456789012:task/prod/t1";
    const ROLE: &str = "arn:aws:iam::123456789012:role/app";

    fn read(event: &[u8]) -> Value {
        serde_json::from_slice(event).unwrap()
    }

    fn notice() -> Notice<'static> {
        Notice { now: Timestamp::from_millis(1_500), region: "us-east-1", account: "123456789012", event_id: "e" }
    }

    #[test]
    fn a_role_that_is_lent_to_a_task_is_assumed_by_the_service_of_tasks() {
        let lending = Lending { node: NODE, task: TASK, role: Some(ROLE), role_type: "TaskExecution", refused: None };
        let event = read(&lent(&lending, &notice()));
        assert_eq!(event["userIdentity"], json!({"type": "AWSService", "invokedBy": SERVICE}));
        assert_eq!(event["requestParameters"], json!({"roleArn": ROLE, "roleSessionName": "t1"}));
        let named = event["resources"].as_array().unwrap().iter().map(|one| (&one["type"], &one["ARN"]));
        let wanted = [("AWS::IAM::Role", ROLE), ("AWS::ECS::Task", TASK), ("AWS::ECS::ContainerInstance", NODE)];
        assert!(named.eq(wanted.map(|(kind, arn)| (json!(kind), json!(arn))).iter().map(|(kind, arn)| (kind, arn))));
        assert_eq!((&event["eventTime"], &event["readOnly"]), (&json!("1970-01-01T00:00:01Z"), &json!(true)));
        assert_eq!((&event["recipientAccountId"], event.get("errorCode")), (&json!("123456789012"), None));
        let refused = read(&lent(&Lending { role: None, refused: Some("none"), ..lending }, &notice()));
        assert_eq!((&refused["errorCode"], &refused["errorMessage"]), (&json!("AccessDenied"), &json!("none")));
        assert_eq!(refused["requestParameters"], json!({"roleSessionName": "t1"}));
    }

    #[test]
    fn what_was_dropped_is_counted_by_why_and_names_the_last_task() {
        let messages = Dropped { unreadable: 1, unknown: 2, foreign: 3, task: Some(TASK.to_owned()) };
        let event = read(&dropped(&messages, NODE, "ACS", &notice()));
        let counts = json!({"channel": "ACS", "unreadable": 1, "unknownType": 2, "foreignTask": 3});
        assert_eq!(event["serviceEventDetails"], counts);
        assert_eq!((&event["resources"][0]["ARN"], &event["resources"][1]["ARN"]), (&json!(NODE), &json!(TASK)));
    }
}
