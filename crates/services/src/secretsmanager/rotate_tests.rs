//! What callers say of rotation; what becomes of it is the planner's.

use longshore_model::{Change, Mint};
use longshore_plan::rotate::turn;
use longshore_wire::Timestamp;
use serde_json::{Value, json};

use crate::logs::testing::Bench;

const DAY_MILLIS: i64 = 24 * 60 * 60 * 1000;
const FUNCTION: &str = "arn:aws:ecs:us-east-1:123456789012:task-definition/rotate";
const INCOMPLETE: &str =
    "InvalidRequestException: A previous rotation isn't complete. That rotation will be reattempted.";

fn call(bench: &Bench, operation: &str, mut input: Value) -> Result<Value, String> {
    input["SecretId"] = "s".into();
    let answer = bench.of(&super::SERVICE, operation, input).map_err(|fault| fault.to_string());
    assert_eq!(longshore_plan::check::state(&bench.store.read()), [], "{operation}");
    answer
}

fn ok(bench: &Bench, operation: &str, input: Value) -> Value {
    call(bench, operation, input).unwrap_or_else(|fault| panic!("{operation}: {fault}"))
}

fn fault(bench: &Bench, input: Value) -> String {
    call(bench, "RotateSecret", input.clone()).expect_err(&input.to_string())
}

fn described(bench: &Bench) -> Value {
    ok(bench, "DescribeSecret", json!({}))
}

fn token(number: usize) -> String {
    format!("{number:032}")
}

/// An account with the secret `s`, and task definitions to rotate it by.
fn bench() -> Bench {
    let bench = Bench::new();
    let made = json!({"Name": "s", "SecretString": "first", "ClientRequestToken": token(0)});
    bench.of(&super::SERVICE, "CreateSecret", made).unwrap();
    for (family, mode, kind) in [("rotate", "awsvpc", "FARGATE"), ("machines", "host", "EC2")] {
        let definition = json!({
            "family": family, "networkMode": mode, "requiresCompatibilities": [kind], "cpu": "256", "memory": "512",
            "containerDefinitions": [{"name": "main", "image": "python", "memory": 128}],
        });
        bench.of(&crate::ecs::SERVICE, "RegisterTaskDefinition", definition).unwrap();
    }
    bench
}

/// The loop's turn.
fn plan(bench: &Bench) -> Vec<Change> {
    turn(&bench.store.read(), "us-east-1", Timestamp::from_millis(bench.now), &mut Mint::new(1)).changes
}

#[test]
fn rotation_is_set_up_and_begun() {
    let bench = bench();
    let rules = json!({"ScheduleExpression": "rate(10 days)", "Duration": "3h"});
    let asked = json!({"RotationLambdaARN": FUNCTION, "RotationRules": rules, "ClientRequestToken": token(1)});
    assert_eq!(ok(&bench, "RotateSecret", asked.clone())["VersionId"], token(1));
    let shown = described(&bench);
    assert_eq!((&shown["RotationEnabled"], &shown["RotationLambdaARN"]), (&json!(true), &json!(FUNCTION)));
    assert_eq!((&shown["RotationRules"], shown.get("LastRotatedDate")), (&rules, None));
    assert_eq!(shown["NextRotationDate"], (bench.now + 10 * DAY_MILLIS) as f64 / 1000.0);
    let stages = json!({token(0): ["AWSCURRENT"], token(1): ["AWSPENDING"]});
    assert_eq!(shown["VersionIdsToStages"], stages);
    assert_eq!(ok(&bench, "RotateSecret", asked)["VersionId"], token(1), "the same request again");
    assert_eq!(fault(&bench, json!({})), INCOMPLETE);
    assert_eq!(fault(&bench, json!({"ClientRequestToken": token(2)})), INCOMPLETE);
    assert!(!plan(&bench).is_empty(), "the loop finds it");
    let versions = ok(&bench, "ListSecretVersionIds", json!({}))["Versions"].clone();
    assert_eq!(versions.as_array().map(Vec::len), Some(1), "a version without a value is none");
}

#[test]
fn a_later_call_keeps_what_it_does_not_name() {
    let bench = bench();
    let rules = json!({"AutomaticallyAfterDays": 7});
    let later = json!({"RotateImmediately": false, "RotationLambdaARN": FUNCTION, "RotationRules": rules});
    assert_eq!(ok(&bench, "RotateSecret", later).get("VersionId"), None);
    assert_eq!(plan(&bench).len(), 0, "its time has not come");
    ok(&bench, "CancelRotateSecret", json!({}));
    let shown = described(&bench);
    assert_eq!((&shown["RotationEnabled"], shown.get("NextRotationDate")), (&json!(false), None));
    assert_eq!(shown["RotationLambdaARN"], FUNCTION);
    ok(&bench, "RotateSecret", json!({}));
    let shown = described(&bench);
    assert_eq!((&shown["RotationEnabled"], &shown["RotationRules"]), (&json!(true), &rules));
}

#[test]
fn a_token_stands_for_one_version() {
    let bench = bench();
    ok(&bench, "PutSecretValue", json!({"SecretString": "second", "ClientRequestToken": token(1)}));
    let with = |number| json!({"RotationLambdaARN": FUNCTION, "ClientRequestToken": token(number)});
    let told =
        format!("InvalidParameterException: ClientRequestToken {} is in use for a version of the secret.", token(0));
    assert_eq!(fault(&bench, with(0)), told);
    // That of the current version: the rotation was asked for before, and is done.
    assert_eq!(ok(&bench, "RotateSecret", with(1))["VersionId"], token(1));
    assert!(!described(&bench)["VersionIdsToStages"].to_string().contains("AWSPENDING"));
    ok(&bench, "RotateSecret", with(2));
    let kept = json!({"SecretString": "third", "ClientRequestToken": token(2), "VersionStages": ["AWSPENDING"]});
    ok(&bench, "PutSecretValue", kept);
    let pending = ok(&bench, "GetSecretValue", json!({"VersionStage": "AWSPENDING"}));
    assert_eq!((&pending["SecretString"], &pending["VersionId"]), (&json!("third"), &json!(token(2))));
}

#[test]
fn a_label_without_a_version_can_be_taken_away() {
    let bench = bench();
    ok(&bench, "RotateSecret", json!({"RotationLambdaARN": FUNCTION, "ClientRequestToken": token(1)}));
    let away = json!({"VersionStage": "AWSPENDING", "RemoveFromVersionId": token(1)});
    let current = json!({"VersionStage": "AWSCURRENT", "RemoveFromVersionId": token(0), "MoveToVersionId": token(1)});
    let told = call(&bench, "UpdateSecretVersionStage", current).unwrap_err();
    assert!(told.starts_with("InvalidParameterException: Not a valid version:"), "{told}");
    ok(&bench, "UpdateSecretVersionStage", away);
    ok(&bench, "RotateSecret", json!({"ClientRequestToken": token(2)}));
}

#[test]
fn what_cannot_rotate_a_secret_is_refused() {
    let bench = bench();
    let cluster = |bench: &Bench| bench.store.read().clusters.len();
    let rules = |rules: Value| json!({"RotationLambdaARN": FUNCTION, "RotationRules": rules});
    let rows = [
        (
            json!({}),
            "InvalidRequestException: You tried to enable rotation on a secret that doesn't already have a Lambda",
        ),
        (json!({"RotationLambdaARN": "rotate"}), "InvalidParameterException: RotationLambdaARN must be the ARN of an"),
        (
            json!({"RotationLambdaARN": "arn:aws:lambda:us-east-1:123456789012:function:f"}),
            "InvalidParameterException: RotationLambdaARN must be the ARN of an Amazon ECS task definition",
        ),
        (json!({"RotationLambdaARN": format!("{FUNCTION}:9")}), "InvalidRequestException: TaskDefinition not found."),
        (
            json!({"RotationLambdaARN": FUNCTION.replace("/rotate", "/machines")}),
            "InvalidRequestException: The task definition that rotates a secret must be for FARGATE.",
        ),
        (
            rules(json!({"ScheduleExpression": "rate(2 hours)"})),
            "InvalidParameterException: Invalid ScheduleExpression.",
        ),
        (rules(json!({"ScheduleExpression": "cron(0 8 31 FEB ? *)"})), "InvalidParameterException: Invalid Schedule"),
        (
            rules(json!({"ScheduleExpression": "rate(1 day)", "AutomaticallyAfterDays": 1})),
            "InvalidParameterException: You can't specify both AutomaticallyAfterDays and ScheduleExpression.",
        ),
        (rules(json!({"Duration": "0h"})), "InvalidParameterException: Duration must be between 1h and 24h."),
        (rules(json!({"Duration": "25h"})), "InvalidParameterException: Duration must be between 1h and 24h."),
        (json!({"ExternalSecretRotationMetadata": []}), "InvalidParameterException: Longshore does not rotate secrets"),
    ];
    for (asked, told) in rows {
        let answer = fault(&bench, asked.clone());
        assert!(answer.starts_with(told), "{asked}: {answer}");
    }
    assert_eq!((described(&bench).get("RotationEnabled"), cluster(&bench)), (None, 0));
    ok(&bench, "RotateSecret", json!({"RotationLambdaARN": FUNCTION}));
    assert_eq!(cluster(&bench), 1, "where its tasks run");
    ok(&bench, "DeleteSecret", json!({}));
    let deleted =
        "InvalidRequestException: You can't perform this operation on the secret because it was marked for deletion.";
    assert_eq!(fault(&bench, json!({})), deleted);
    assert_eq!(call(&bench, "CancelRotateSecret", json!({})).unwrap_err(), deleted);
    assert_eq!(plan(&bench).len(), 0, "it is not rotated any more");
}
