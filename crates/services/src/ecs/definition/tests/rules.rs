//! Each rule a row of `rules.txt`: a change to a good definition, and the answer.

use serde_json::{Value, json};

use super::{fargate, instance, outcome, patched};
use crate::ecs::testing::World;

/// One row: where it stands, the definition, and what is wanted.
struct Row<'a> {
    line: usize,
    definition: Value,
    wanted: &'a str,
}

/// The rows of the file: each two lines.
fn rows(text: &str) -> Vec<Row<'_>> {
    let lines = text.lines().enumerate();
    let mut lines = lines.filter(|(_, line)| !line.is_empty() && !line.starts_with(['#', '/']));
    let mut rows = Vec::new();
    while let Some((index, head)) = lines.next() {
        let (base, patch) = head.split_once(' ').unwrap();
        let base = match base {
            "fargate" => fargate(),
            "instance" => instance(),
            other => panic!("line {}: no base {other}", index + 1),
        };
        let definition = patched(base, &serde_json::from_str(patch).unwrap());
        let (_, wanted) = lines.next().unwrap();
        rows.push(Row { line: index + 1, definition, wanted: wanted.trim() });
    }
    rows
}

/// Whether the answer is the one that is wanted: whole, or after `…` a part of a ClientException.
fn is_as_wanted(found: &str, wanted: &str) -> bool {
    match wanted.strip_prefix('…') {
        Some(part) => found.starts_with("ClientException: ") && found.contains(part),
        None => found == wanted,
    }
}

#[test]
fn every_rule_answers_in_ecs_words() {
    let mut world = World::new();
    let mut wrong = Vec::new();
    for row in rows(include_str!("rules.txt")) {
        let found = outcome(&mut world, row.definition);
        if !is_as_wanted(&found, row.wanted) {
            wrong.push(format!("line {}\n found: {found}\nwanted: {}", row.line, row.wanted));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn names_have_a_longest_length() {
    let long = |length: usize| "a".repeat(length);
    let rows = [
        (json!({"family": long(255)}), "OK"),
        (json!({"family": long(256)}), "ClientException: Family should not be longer than 255 characters."),
        (json!({"app": {"name": long(255)}}), "OK"),
        (
            json!({"app": {"name": long(256)}}),
            "ClientException: Container.name should not be longer than 255 characters.",
        ),
        (json!({"app": {"image": long(255)}}), "OK"),
        (
            json!({"app": {"image": long(256)}}),
            "ClientException: Container.image repository should not be longer than 255 characters.",
        ),
    ];
    let mut world = World::new();
    for (patch, wanted) in rows {
        assert_eq!(outcome(&mut world, patched(fargate(), &patch)), wanted);
    }
}

/// W14: 64 KiB and more.
#[test]
fn a_definition_has_a_longest_length() {
    let mut world = World::new();
    let long = |length: usize| {
        let command = json!({"app": {"command": ["x".repeat(length)]}});
        patched(fargate(), &command)
    };
    assert_eq!(outcome(&mut world, long(64 * 1024 - 2048)), "OK");
    let refused = outcome(&mut world, long(64 * 1024));
    assert!(refused.starts_with("ClientException: Actual length: '"), "{refused}");
    assert!(refused.ends_with("Max allowed length is '65536' bytes."), "{refused}");
}

#[test]
fn fargate_fetches_with_the_execution_role() {
    let logs = json!({"logDriver": "awslogs", "options": {
        "awslogs-group": "g", "awslogs-region": "us-east-1", "awslogs-stream-prefix": "p"}});
    let file = json!([{"type": "s3", "value": "arn:aws:s3:::bucket/a.env"}]);
    let rows = [
        (json!({"logConfiguration": logs}), "log driver awslogs"),
        (json!({"image": "123456789012.dkr.ecr.us-east-1.amazonaws.com/web:1"}), "ECR images"),
        (json!({"image": "123456789012.dkr.ecr.us-east-1.localhost:4566/web:1"}), "ECR images"),
        (json!({"repositoryCredentials": {"credentialsParameter": "arn"}}), "repositoryCredentials"),
        (json!({"environmentFiles": file}), "environmentFiles"),
    ];
    let mut world = World::new();
    for (app, what) in rows {
        let with = patched(fargate(), &json!({"app": app}));
        let without = patched(with.clone(), &json!({"executionRoleArn": null}));
        assert_eq!(outcome(&mut world, with), "OK", "{what}");
        assert_eq!(
            outcome(&mut world, without),
            format!("ClientException: Fargate requires task definition to have execution role ARN to support {what}.")
        );
    }
    let secret = json!([{"name": "A", "valueFrom": "parameter"}]);
    let with = patched(fargate(), &json!({"app": {"secrets": secret}}));
    assert_eq!(outcome(&mut world, with.clone()), "OK");
    assert_eq!(
        outcome(&mut world, patched(with, &json!({"executionRoleArn": null}))),
        "ClientException: When you are specifying container secrets, you must also specify a value for 'executionRoleArn'."
    );
}
