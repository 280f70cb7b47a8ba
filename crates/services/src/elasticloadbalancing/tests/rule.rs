use serde_json::{Value, json};

use super::{HERE, World, answer, each, forward, text};

/// A listener of an application balancer that answers.
fn listener(world: &World) -> String {
    let balancer = world.balancer("web");
    let input = json!({"LoadBalancerArn": balancer, "Protocol": "HTTP", "Port": 80, "DefaultActions": [answer("404")]});
    text(&world.ok("CreateListener", input)["Listeners"][0]["ListenerArn"])
}

fn priorities(world: &World, listener: &str) -> Vec<String> {
    each(&world.ok("DescribeRules", json!({"ListenerArn": listener}))["Rules"], "Priority")
}

#[test]
fn rules_are_tried_by_priority_and_the_default_one_last() {
    let world = World::new();
    let listener = listener(&world);
    let rules = [30, 5, 200].map(|priority| world.rule(&listener, priority));
    assert_eq!(priorities(&world, &listener), ["5", "30", "200", "default"]);
    let used = json!({"ListenerArn": listener, "Priority": 30, "Actions": [answer("200")],
        "Conditions": [{"Field": "path-pattern", "Values": ["/x"]}]});
    world.refuses("CreateRule", vec![(used, "PriorityInUse: Priority '30' is currently in use")]);
    // Two change places, as one.
    let pairs = json!([{"RuleArn": rules[0], "Priority": 5}, {"RuleArn": rules[1], "Priority": 30}]);
    let set = world.ok("SetRulePriorities", json!({"RulePriorities": pairs}));
    assert_eq!(each(&set["Rules"], "Priority"), ["5", "30"]);
    let told = world.ok("DescribeRules", json!({"ListenerArn": listener}))["Rules"].clone();
    assert_eq!(each(&told, "RuleArn")[..3], [rules[0].clone(), rules[1].clone(), rules[2].clone()]);
    let default = text(&told[3]["RuleArn"]);
    assert_eq!((&told[3]["IsDefault"], &told[3]["Conditions"]), (&json!(true), &json!([])));
    world.refuses(
        "SetRulePriorities",
        vec![
            (json!({"RulePriorities": [{"RuleArn": rules[0], "Priority": 200}]}), "PriorityInUse"),
            (json!({"RulePriorities": [{"RuleArn": default, "Priority": 7}]}), "OperationNotPermitted"),
            (json!({"RulePriorities": []}), "ValidationError"),
            (json!({"RulePriorities": [{"RuleArn": rules[0], "Priority": 0}]}), "ValidationError: 1 validation error"),
        ],
    );
    world.refuses("DeleteRule", vec![(json!({"RuleArn": default}), "OperationNotPermitted: Default rule '")]);
    let change = json!({"RuleArn": default, "Actions": [answer("200")]});
    world.refuses("ModifyRule", vec![(change, "OperationNotPermitted: Default rule '")]);
    world.ok("DeleteRule", json!({"RuleArn": rules[1]}));
    world.refuses("DeleteRule", vec![(json!({"RuleArn": rules[1]}), "RuleNotFound: One or more rules not found")]);
    assert_eq!(priorities(&world, &listener), ["5", "200", "default"]);
    assert_eq!(world.ok("DescribeRules", json!({"RuleArns": [default]}))["Rules"][0]["Priority"], "default");
}

#[test]
fn a_rule_shows_its_conditions_in_both_forms() {
    let world = World::new();
    let listener = listener(&world);
    let group = world.group("g", "HTTP");
    let conditions = json!([
        {"Field": "host-header", "Values": ["*.example.com"]},
        {"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": "X-A", "Values": ["b"]}},
        {"Field": "query-string", "QueryStringConfig": {"Values": [{"Key": "v", "Value": "1"}]}},
        {"Field": "source-ip", "SourceIpConfig": {"Values": ["10.0.0.0/8"]}},
        {"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": ["GET"]}},
    ]);
    let input = json!({"ListenerArn": listener, "Priority": 1, "Conditions": conditions, "Actions": [forward(&group)]});
    let rule = world.ok("CreateRule", input)["Rules"][0].clone();
    let arn = text(&rule["RuleArn"]);
    assert!(arn.starts_with(&format!("{HERE}listener-rule/app/web/")), "{arn}");
    let wanted = json!({"Field": "host-header", "Values": ["*.example.com"],
        "HostHeaderConfig": {"Values": ["*.example.com"]}});
    assert_eq!(rule["Conditions"][0], wanted);
    assert_eq!(rule["Conditions"].as_array().unwrap()[1..], conditions.as_array().unwrap()[1..]);
    world.refuses("DeleteTargetGroup", vec![(json!({"TargetGroupArn": group}), "ResourceInUse")]);
    let paths = json!([{"Field": "path-pattern", "PathPatternConfig": {"Values": ["/a", "/b*"]}}]);
    let changed = world.ok("ModifyRule", json!({"RuleArn": arn, "Conditions": paths}))["Rules"][0].clone();
    assert_eq!(changed["Conditions"][0]["Values"], json!(["/a", "/b*"]));
    assert_eq!(changed["Actions"], rule["Actions"]);
    world.ok("ModifyRule", json!({"RuleArn": arn, "Actions": [answer("503")]}));
    world.ok("DeleteTargetGroup", json!({"TargetGroupArn": group}));
    assert_eq!(world.ok("DescribeRules", json!({"RuleArns": [arn]}))["Rules"][0]["Conditions"], changed["Conditions"]);
}

#[test]
fn what_is_no_condition_is_refused() {
    let world = World::new();
    let listener = listener(&world);
    let plain = |field: &str, values: &[&str]| json!({"Field": field, "Values": values});
    let long = "a".repeat(129);
    let header =
        |name: &str| json!({"Field": "http-header", "HttpHeaderConfig": {"HttpHeaderName": name, "Values": ["b"]}});
    let source = |value: &str| json!({"Field": "source-ip", "SourceIpConfig": {"Values": [value]}});
    let method = |value: &str| json!({"Field": "http-request-method", "HttpRequestMethodConfig": {"Values": [value]}});
    let query = |pair: Value| json!({"Field": "query-string", "QueryStringConfig": {"Values": [pair]}});
    let invalid = "ValidationError";
    let rows: Vec<(Vec<Value>, &str)> = vec![
        (vec![], "ValidationError: A condition must be specified"),
        (vec![plain("no-field", &["/"])], "ValidationError: Condition field 'no-field' is not supported"),
        (vec![plain("path-pattern", &[])], "ValidationError: A value must be specified"),
        (vec![plain("path-pattern", &["/ "])], invalid),
        (vec![plain("path-pattern", &[&long])], invalid),
        (
            vec![plain("path-pattern", &["/1", "/2", "/3", "/4", "/5", "/6"])],
            "ValidationError: A rule can only have '5' condition values",
        ),
        (
            vec![plain("path-pattern", &["/*/*/*/?/?/?"])],
            "ValidationError: A rule can only have '5' condition wildcards",
        ),
        (
            vec![plain("path-pattern", &["/a"]), plain("path-pattern", &["/b"])],
            "ValidationError: A rule can only have one 'path-pattern' condition",
        ),
        (vec![plain("host-header", &["nodot"])], invalid),
        (vec![plain("host-header", &["a_b.c"])], invalid),
        (vec![plain("source-ip", &["10.0.0.0/8"])], invalid),
        (vec![json!({"Field": "path-pattern", "Values": ["/"], "PathPatternConfig": {"Values": ["/"]}})], invalid),
        (vec![json!({"Field": "path-pattern", "HostHeaderConfig": {"Values": ["a.b"]}})], invalid),
        (vec![json!({"Field": "path-pattern", "RegexValues": ["^/"]})], "UnsupportedOperationException"),
        (vec![header("Host")], invalid),
        (vec![header("a b")], invalid),
        (vec![header(&long)], invalid),
        (vec![source("10.0.0.0")], invalid),
        (vec![source("10.0.0.0/33")], invalid),
        (vec![source("10.0.0.0/+8")], invalid),
        (vec![source("x/8")], invalid),
        (vec![method("get")], invalid),
        (vec![query(json!({"Key": "a"}))], "ValidationError: A query string condition must have a value"),
        (vec![query(json!({"Key": long, "Value": "1"}))], invalid),
    ];
    let input = |conditions: Vec<Value>| json!({"ListenerArn": listener, "Priority": 1, "Conditions": conditions, "Actions": [answer("200")]});
    world.refuses("CreateRule", rows.into_iter().map(|(conditions, wanted)| (input(conditions), wanted)).collect());
    let moved = json!({"ListenerArn": listener, "Priority": 1, "Conditions": [plain("path-pattern", &["/"])],
        "Actions": [answer("200")], "Transforms": [{"Type": "url-rewrite"}]});
    world.refuses("CreateRule", vec![(moved, "UnsupportedOperationException")]);
    world.ok("CreateRule", input(vec![source("fd00::/8"), method("M-SEARCH"), query(json!({"Value": "x"}))]));
}

#[test]
fn a_hundred_rules_are_the_most_of_a_balancer() {
    let world = World::new();
    let listener = listener(&world);
    (1..=100).for_each(|priority| drop(world.rule(&listener, priority)));
    let more = json!({"ListenerArn": listener, "Priority": 101, "Actions": [answer("200")],
        "Conditions": [{"Field": "path-pattern", "Values": ["/x"]}]});
    world.refuses("CreateRule", vec![(more, "TooManyRules")]);
    let first = world.ok("DescribeRules", json!({"ListenerArn": listener, "PageSize": 60}));
    let asked = json!({"ListenerArn": listener, "PageSize": 60, "Marker": first["NextMarker"]});
    let second = world.ok("DescribeRules", asked);
    let all = [each(&first["Rules"], "Priority"), each(&second["Rules"], "Priority")].concat();
    let wanted: Vec<String> = (1..=100).map(|priority| priority.to_string()).chain(["default".to_owned()]).collect();
    assert_eq!(all, wanted);
}
