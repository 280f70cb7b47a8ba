//! Tagging resources by their ARNs.

use serde_json::{Value, json};

use crate::ecs::testing::{HERE, TASK, World, node, service, task};

fn world() -> World {
    let mut world = World::new();
    world.ok("CreateCluster", json!({"clusterName": "prod"}));
    let container = json!({"name": "app", "image": "nginx", "memory": 64});
    world.ok("RegisterTaskDefinition", json!({"family": "web", "containerDefinitions": [container]}));
    world
}

fn tags(world: &mut World, arn: &str) -> Value {
    world.ok("ListTagsForResource", json!({"resourceArn": arn}))["tags"].clone()
}

#[test]
fn tags_are_put_replaced_and_taken_away() {
    let mut world = world();
    world.put([node(json!({})), service(json!({})), task(json!({}))]);
    for arn in [
        format!("{HERE}service/prod/web"),
        format!("{HERE}task/prod/{TASK}"),
        format!("{HERE}container-instance/prod/{TASK}"),
        format!("{HERE}cluster/prod"),
        format!("{HERE}task-definition/web:1"),
    ] {
        assert_eq!(tags(&mut world, &arn), json!([]));
        let tag = |world: &mut World, tags: Value| world.ok("TagResource", json!({"resourceArn": arn, "tags": tags}));
        tag(&mut world, json!([{"key": "a", "value": "1"}, {"key": "b"}]));
        tag(&mut world, json!([{"key": "a", "value": "2"}]));
        assert_eq!(tags(&mut world, &arn), json!([{"key": "a", "value": "2"}, {"key": "b", "value": ""}]));
        world.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "gone"]}));
        assert_eq!(tags(&mut world, &arn), json!([{"key": "b", "value": ""}]));
    }
}

#[test]
fn a_resource_that_is_not_there_has_no_tags() {
    let mut world = world();
    let cases = [
        ("cluster/gone", "ClusterNotFoundException: Cluster not found."),
        ("task-definition/web:2", "ResourceNotFoundException: The specified resource wasn't found."),
        ("service/prod/gone", "ResourceNotFoundException: "),
        ("task/prod/0123456789abcdef0123456789abcdef", "ResourceNotFoundException: "),
        ("container-instance/prod/0123456789abcdef0123456789abcdef", "ResourceNotFoundException: "),
        ("service/web", "InvalidParameterException: Long arn format must be used for tagging operations"),
        ("task-definition/web", "InvalidParameterException: "),
        ("cluster/prod/x", "InvalidParameterException: "),
        ("nothing/x", "InvalidParameterException: "),
    ];
    for (resource, wanted) in cases {
        let arn = format!("{HERE}{resource}");
        let found = world.fault("TagResource", json!({"resourceArn": arn, "tags": []}));
        assert!(found.starts_with(wanted), "{arn}: {found}");
    }
    for arn in
        ["prod", "arn:aws:ecs:us-east-1:999999999999:cluster/prod", "arn:aws:ecs:eu-west-1:123456789012:cluster/prod"]
    {
        let found = world.fault("ListTagsForResource", json!({"resourceArn": arn}));
        assert!(found.starts_with("InvalidParameterException: "), "{arn}: {found}");
    }
    world.ok("DeleteCluster", json!({"cluster": "prod"}));
    assert_eq!(
        world.fault("ListTagsForResource", json!({"resourceArn": format!("{HERE}cluster/prod")})),
        "InvalidParameterException: The specified cluster is inactive. Specify an active cluster and try again."
    );
}

/// W11, over the wire's own checks.
#[test]
fn bad_tags_are_refused_before_anything_is_changed() {
    let mut world = world();
    let arn = format!("{HERE}cluster/prod");
    let many: Vec<Value> = (0..51).map(|number| json!({"key": format!("k{number}"), "value": ""})).collect();
    let cases = [
        json!(many),
        json!([{"key": "aws:x", "value": ""}]),
        json!([{"key": "a", "value": "1"}, {"key": "a", "value": "2"}]),
        json!([{"key": "", "value": ""}]),
        json!([{"key": "k".repeat(129), "value": ""}]),
        json!([{"key": "k", "value": "v".repeat(257)}]),
        json!([{"key": "<b>", "value": ""}]),
    ];
    for bad in cases {
        for (operation, input) in [
            ("TagResource", json!({"resourceArn": arn, "tags": bad})),
            ("CreateCluster", json!({"clusterName": "new", "tags": bad})),
        ] {
            let found = world.fault(operation, input);
            assert!(found.starts_with("InvalidParameterException: "), "{operation} {bad}: {found}");
        }
    }
    assert_eq!(tags(&mut world, &arn), json!([]));
    assert_eq!(world.ok("DescribeClusters", json!({"clusters": ["new"]}))["clusters"], json!([]));
}
