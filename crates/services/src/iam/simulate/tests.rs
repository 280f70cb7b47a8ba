//! What the simulator answers, by requests as they come over the wire.

use serde_json::{Value, json};

use crate::iam::SERVICE;
use crate::logs::testing::Bench;

const ANN: &str = "arn:aws:iam::123456789012:user/team/ann";
const APP: &str = "arn:aws:iam::123456789012:role/app";
const TASK: &str = "arn:aws:ecs:us-east-1:123456789012:task/prod/1";

fn call(bench: &Bench, operation: &str, input: Value) -> Value {
    let shown = input.to_string();
    bench.of(&SERVICE, operation, input).unwrap_or_else(|fault| panic!("{operation} {shown:.2000}: {fault}"))
}

fn policy(statements: &Value) -> String {
    json!({ "Version": "2012-10-17", "Statement": statements }).to_string()
}

fn allow(action: &str, resource: &str) -> Value {
    json!({ "Effect": "Allow", "Action": action, "Resource": resource })
}

fn deny(action: &str) -> Value {
    json!({ "Effect": "Deny", "Action": action, "Resource": "*" })
}

/// A user in a group, a role; each with a policy of its own.
fn bench() -> Bench {
    let bench = Bench::new();
    call(
        &bench,
        "CreateUser",
        json!({ "UserName": "ann", "Path": "/team/", "Tags": [{ "Key": "cost", "Value": "1" }] }),
    );
    call(&bench, "CreateGroup", json!({ "GroupName": "devs" }));
    call(&bench, "AddUserToGroup", json!({ "GroupName": "devs", "UserName": "ann" }));
    let own =
        policy(&json!([allow("ecs:StopTask", "arn:aws:ecs:*:*:task/${aws:username}/*"), allow("ecs:List*", "*")]));
    call(&bench, "PutUserPolicy", json!({ "UserName": "ann", "PolicyName": "own", "PolicyDocument": own }));
    let denied = policy(&json!([deny("ecs:DeleteCluster")]));
    call(&bench, "PutGroupPolicy", json!({ "GroupName": "devs", "PolicyName": "never", "PolicyDocument": denied }));
    let read = "arn:aws:iam::aws:policy/IAMReadOnlyAccess";
    call(&bench, "AttachGroupPolicy", json!({ "GroupName": "devs", "PolicyArn": read }));
    let trust = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": { "Service": "ecs-tasks.amazonaws.com" } } });
    call(&bench, "CreateRole", json!({ "RoleName": "app", "AssumeRolePolicyDocument": trust.to_string() }));
    let managed = policy(&json!([allow("ecs:*", "*")]));
    let made = call(&bench, "CreatePolicy", json!({ "PolicyName": "all-ecs", "PolicyDocument": managed }));
    call(&bench, "AttachRolePolicy", json!({ "RoleName": "app", "PolicyArn": made["Policy"]["Arn"] }));
    bench
}

/// Each result as `action resource decision policy:type …`.
fn results(answer: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap_or("?").to_owned();
    let results = answer["EvaluationResults"].as_array().unwrap().iter();
    let line = |result: &Value| {
        let mut words: Vec<String> =
            ["EvalActionName", "EvalResourceName", "EvalDecision"].map(|name| text(&result[name])).into();
        for matched in result["MatchedStatements"].as_array().unwrap() {
            words.push(format!("{}:{}", text(&matched["SourcePolicyId"]), text(&matched["SourcePolicyType"])));
        }
        words.join(" ")
    };
    results.map(line).collect()
}

#[test]
fn a_users_own_policies_and_its_groups_decide() {
    let bench = bench();
    let actions = ["ecs:ListTasks", "iam:GetUser", "ecs:DeleteCluster", "ecs:RunTask"];
    let answer = call(&bench, "SimulatePrincipalPolicy", json!({ "PolicySourceArn": ANN, "ActionNames": actions }));
    let wanted = [
        "ecs:ListTasks * allowed own:user",
        "iam:GetUser * allowed IAMReadOnlyAccess:aws-managed",
        "ecs:DeleteCluster * explicitDeny never:group",
        "ecs:RunTask * implicitDeny",
    ];
    assert_eq!(results(&answer), wanted);
    assert_eq!(answer["IsTruncated"], json!(false));
}

#[test]
fn a_roles_policies_decide_and_an_input_is_one_more() {
    let bench = bench();
    let ask = |more: Value| {
        let mut input = json!({ "PolicySourceArn": APP, "ActionNames": ["ecs:RunTask"] });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        results(&call(&bench, "SimulatePrincipalPolicy", input))
    };
    assert_eq!(ask(json!({})), ["ecs:RunTask * allowed all-ecs:user-managed"]);
    let denial = policy(&json!([deny("*")]));
    let denied = ask(json!({ "PolicyInputList": [denial] }));
    assert_eq!(denied, ["ecs:RunTask * explicitDeny PolicyInputList.1:none"]);
    assert_eq!(
        ask(json!({ "PolicyExclusionList": [{ "PolicyType": "user-managed" }] })),
        ["ecs:RunTask * implicitDeny"]
    );
    let arn = "arn:aws:iam::123456789012:policy/all-ecs";
    assert_eq!(ask(json!({ "PolicyExclusionList": [{ "PolicyArn": arn }] })), ["ecs:RunTask * implicitDeny"]);
}

#[test]
fn an_inline_policy_is_left_out_by_its_name() {
    let bench = bench();
    let inline = json!({ "PolicyName": "own", "AttachmentType": "user", "AttachmentName": "ann" });
    let input = json!({ "PolicySourceArn": ANN, "ActionNames": ["ecs:ListTasks", "ecs:DeleteCluster"],
        "PolicyExclusionList": [{ "InlinePolicyIdentifier": inline }] });
    let answer = call(&bench, "SimulatePrincipalPolicy", input);
    assert_eq!(results(&answer), ["ecs:ListTasks * implicitDeny", "ecs:DeleteCluster * explicitDeny never:group"]);
}

#[test]
fn each_action_is_judged_on_each_resource_with_the_entitys_own_keys() {
    let bench = bench();
    let mine = "arn:aws:ecs:us-east-1:123456789012:task/ann/1";
    let input = json!({ "PolicySourceArn": ANN, "ActionNames": ["ecs:StopTask"], "ResourceArns": [TASK, mine] });
    let answer = call(&bench, "SimulatePrincipalPolicy", input);
    let wanted = [format!("ecs:StopTask {TASK} implicitDeny"), format!("ecs:StopTask {mine} allowed own:user")];
    assert_eq!(results(&answer), wanted);
    let specific = &answer["EvaluationResults"][1]["ResourceSpecificResults"];
    assert_eq!(
        (&specific[0]["EvalResourceName"], &specific[0]["EvalResourceDecision"]),
        (&json!(mine), &json!("allowed"))
    );
    assert_eq!(specific[0]["MatchedStatements"], answer["EvaluationResults"][1]["MatchedStatements"]);
}

#[test]
fn a_statement_is_told_by_where_it_stands() {
    let bench = Bench::new();
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*","Condition":{"DateGreaterThan":{"aws:CurrentTime":"2015-08-16T12:00:00Z"}}}}"#;
    let input = json!({ "PolicyInputList": [text], "ActionNames": ["dynamodb:CreateBackup"] });
    let answer = call(&bench, "SimulateCustomPolicy", input);
    let wanted = json!([{
        "EvalActionName": "dynamodb:CreateBackup", "EvalResourceName": "*", "EvalDecision": "allowed",
        "MatchedStatements": [{ "SourcePolicyId": "PolicyInputList.1", "SourcePolicyType": "none",
            "StartPosition": { "Line": 1, "Column": 38 }, "EndPosition": { "Line": 1, "Column": 167 } }],
        "MissingContextValues": [],
    }]);
    assert_eq!(answer["EvaluationResults"], wanted);
}

#[test]
fn keys_that_nobody_gave_are_named_and_those_that_are_given_count() {
    let bench = Bench::new();
    let mut statement = allow("ecs:*", "*");
    statement["Condition"] = json!({ "StringEquals": { "aws:SourceVpc": "v", "aws:PrincipalTag/Team": "web" } });
    let text = policy(&json!([statement, allow("s3:*", "arn:aws:s3:::${aws:userid}")]));
    let ask = |more: Value| {
        let mut input = json!({ "PolicyInputList": [text], "ActionNames": ["ecs:StopTask"] });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        call(&bench, "SimulateCustomPolicy", input)["EvaluationResults"][0].clone()
    };
    let none = ask(json!({}));
    assert_eq!(none["EvalDecision"], "implicitDeny");
    assert_eq!(none["MissingContextValues"], json!(["aws:PrincipalTag/Team", "aws:SourceVpc"]));
    let entry = |key: &str, value: &str| json!({ "ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string" });
    let one = ask(json!({ "ContextEntries": [entry("AWS:sourcevpc", "v")], "ResourceArns": [TASK] }));
    assert_eq!(one["MissingContextValues"], json!([]));
    assert_eq!(one["ResourceSpecificResults"][0]["MissingContextValues"], json!(["aws:PrincipalTag/Team"]));
    let both = json!({ "ContextEntries": [entry("aws:sourcevpc", "v"), entry("aws:principaltag/team", "web")] });
    assert_eq!(ask(both)["EvalDecision"], "allowed");
    let keys = call(&bench, "GetContextKeysForCustomPolicy", json!({ "PolicyInputList": [text] }));
    assert_eq!(keys["ContextKeyNames"], json!(["aws:PrincipalTag/Team", "aws:SourceVpc", "aws:userid"]));
}

#[test]
fn the_keys_of_an_entitys_policies_are_those_of_its_groups_too() {
    let bench = bench();
    let keys = |input| call(&bench, "GetContextKeysForPrincipalPolicy", input)["ContextKeyNames"].clone();
    assert_eq!(keys(json!({ "PolicySourceArn": ANN })), json!(["aws:username"]));
    let mut statement = allow("*", "*");
    statement["Condition"] = json!({ "Bool": { "aws:SecureTransport": "true" } });
    let more = policy(&json!([statement]));
    let both = json!({ "PolicySourceArn": ANN, "PolicyInputList": [more] });
    assert_eq!(keys(both), json!(["aws:SecureTransport", "aws:username"]));
    assert_eq!(keys(json!({ "PolicySourceArn": APP })), json!([]));
}

#[test]
fn a_boundary_narrows_and_says_so() {
    let bench = bench();
    let narrow = policy(&json!([allow("ecs:Describe*", "*")]));
    let ask = |action: &str, boundaries: Value| {
        let input = json!({ "PolicySourceArn": APP, "ActionNames": [action], "PermissionsBoundaryPolicyInputList": boundaries });
        let result = call(&bench, "SimulatePrincipalPolicy", input)["EvaluationResults"][0].clone();
        (
            result["EvalDecision"].clone(),
            result["PermissionsBoundaryDecisionDetail"]["AllowedByPermissionsBoundary"].clone(),
        )
    };
    assert_eq!(ask("ecs:RunTask", json!([])), (json!("allowed"), Value::Null));
    assert_eq!(ask("ecs:RunTask", json!([narrow])), (json!("implicitDeny"), json!(false)));
    assert_eq!(ask("ecs:DescribeTasks", json!([narrow])), (json!("allowed"), json!(true)));
    let read = "arn:aws:iam::aws:policy/IAMReadOnlyAccess";
    call(&bench, "PutRolePermissionsBoundary", json!({ "RoleName": "app", "PermissionsBoundary": read }));
    assert_eq!(ask("ecs:RunTask", json!([])), (json!("implicitDeny"), json!(false)));
    assert_eq!(ask("ecs:DescribeTasks", json!([narrow])), (json!("allowed"), json!(true)));
}

#[test]
fn a_resource_policy_counts_for_the_caller_that_it_names() {
    let bench = bench();
    let own = json!({ "Version": "2012-10-17", "Statement": { "Effect": "Allow", "Action": "secretsmanager:*",
        "Resource": "*", "Principal": { "AWS": ANN } } });
    let secret = "arn:aws:secretsmanager:us-east-1:123456789012:secret:a-abcdef";
    let ask = |source: &str, more: Value| {
        let mut input = json!({ "PolicySourceArn": source, "ActionNames": ["secretsmanager:GetSecretValue"],
            "ResourceArns": [secret], "ResourcePolicy": own.to_string() });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let answer = bench.of(&SERVICE, "SimulatePrincipalPolicy", input);
        answer.map_or_else(|fault| fault.to_string(), |answer| results(&answer)[0].replace(secret, "SECRET"))
    };
    let allowed = "secretsmanager:GetSecretValue SECRET allowed ResourcePolicy:resource";
    assert_eq!(ask(ANN, json!({})), allowed);
    assert_eq!(ask(APP, json!({ "CallerArn": ANN })), allowed);
    let other = "arn:aws:iam::123456789012:user/bob";
    assert_eq!(ask(ANN, json!({ "CallerArn": other })), "secretsmanager:GetSecretValue SECRET implicitDeny");
    assert_eq!(ask(APP, json!({})), "InvalidInput: CallerArn is required when a ResourcePolicy is given");
    let foreign = "arn:aws:iam::999999999999:user/eve";
    assert_eq!(ask(ANN, json!({ "CallerArn": foreign })), "secretsmanager:GetSecretValue SECRET implicitDeny");
}

#[test]
fn pages_hold_every_result_once() {
    let bench = Bench::new();
    let resources: Vec<String> =
        (0..7).map(|at| format!("arn:aws:ecs:us-east-1:123456789012:task/prod/{at}")).collect();
    let input = json!({ "PolicyInputList": [policy(&json!([allow("ecs:StopTask", TASK)]))],
        "ActionNames": ["ecs:StopTask", "ecs:RunTask"], "ResourceArns": resources });
    let whole = call(&bench, "SimulateCustomPolicy", input.clone());
    let (mut found, mut marker) = (Vec::new(), Value::Null);
    loop {
        let mut page = input.clone();
        page["MaxItems"] = json!(4);
        if !marker.is_null() {
            page["Marker"] = marker;
        }
        let answer = call(&bench, "SimulateCustomPolicy", page);
        found.extend(results(&answer));
        marker = answer["Marker"].clone();
        if marker.is_null() {
            break;
        }
    }
    assert_eq!((found.len(), found), (14, results(&whole)));
    let mut other = input;
    other["Marker"] = json!("AAAA");
    let refused = bench.of(&SERVICE, "SimulateCustomPolicy", other).unwrap_err().to_string();
    assert_eq!(refused, "InvalidInput: Invalid Marker: AAAA");
}

#[test]
fn a_page_ends_when_much_was_read_for_it() {
    let bench = Bench::new();
    let long: Vec<Value> = (0..100).map(|at| allow("s3:Get*", &format!("arn:aws:s3:::bucket-{at}/*"))).collect();
    let text = policy(&json!(long));
    let resources: Vec<String> = (0..500).map(|at| format!("arn:aws:s3:::bucket-{at}/x")).collect();
    let input = json!({ "PolicyInputList": vec![text.clone(); 20], "ActionNames": ["s3:GetObject"],
        "ResourceArns": resources, "MaxItems": 500 });
    let answer = call(&bench, "SimulateCustomPolicy", input);
    let count = results(&answer).len();
    assert!(count >= 1 && count * 20 * text.len() <= 1024 * 1024, "{count}");
    assert_eq!(answer["IsTruncated"], json!(true));
}

#[test]
fn what_cannot_be_simulated_is_refused() {
    let bench = bench();
    let good = policy(&json!([allow("*", "*")]));
    let custom = |input| bench.of(&SERVICE, "SimulateCustomPolicy", input).unwrap_err().to_string();
    let with = |name: &str, value: Value| {
        let mut input = json!({ "PolicyInputList": [good], "ActionNames": ["ecs:RunTask"] });
        input[name] = value;
        custom(input)
    };
    assert_eq!(with("ActionNames", json!(["ecs:*"])), "InvalidInput: Invalid Entity Action: ecs:*");
    assert_eq!(with("ActionNames", json!(["RunTask"])), "InvalidInput: Invalid Entity Action: RunTask");
    assert_eq!(with("ResourceArns", json!(["prod"])), "InvalidInput: Invalid Entity Arn: prod");
    assert_eq!(
        with("ResourceHandlingOption", json!("EC2-VPC-EBS")),
        "InvalidInput: ResourceHandlingOption: EC2-VPC-EBS is not simulated here"
    );
    assert_eq!(with("CallerArn", json!(APP)), format!("InvalidInput: CallerArn: {APP} is not the ARN of an IAM user"));
    assert_eq!(with("ResourceOwner", json!("me")), "InvalidInput: ResourceOwner: me is not an account");
    assert_eq!(
        with("PermissionsBoundaryPolicyInputList", json!([good, good])),
        "InvalidInput: PermissionsBoundaryPolicyInputList may hold one policy only"
    );
    assert!(
        with("PolicyInputList", json!(["{}"])).starts_with("InvalidInput: PolicyInputList.1: Syntax errors in policy.")
    );
    let two = json!([{ "ContextKeyName": "aws:userid", "ContextKeyValues": ["a", "b"], "ContextKeyType": "string" }]);
    assert!(with("ContextEntries", two).starts_with("InvalidInput: ContextEntries: aws:userid is no key"));
    let source = |arn: &str| {
        let input = json!({ "PolicySourceArn": arn, "ActionNames": ["ecs:RunTask"] });
        bench.of(&SERVICE, "SimulatePrincipalPolicy", input).unwrap_err().to_string()
    };
    assert_eq!(source("arn:aws:iam::123456789012:user/bob"), "NoSuchEntity: The user with name bob cannot be found.");
    assert_eq!(source("arn:aws:iam::999999999999:user/ann"), "NoSuchEntity: The user with name ann cannot be found.");
    let elsewhere = "arn:aws:iam::123456789012:user/other/ann";
    assert_eq!(source(elsewhere), "NoSuchEntity: The user with name ann cannot be found.");
    let root = "arn:aws:iam::123456789012:root";
    assert_eq!(
        source(root),
        format!("InvalidInput: Invalid Entity Arn: {root} does not clearly define entity type and name.")
    );
}
