//! Cases out of few words, so that they meet: the same actions, resources, keys and values stand in policies and requests.

use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};

use crate::case::{ACCOUNT, Case, FEDERATED, ROLE, SERVICE, SESSION, USER};

const ACTIONS: &[&str] = &["ecs:StopTask", "ecs:RunTask", "logs:PutLogEvents", "iam:PassRole", "sts:AssumeRole"];

const ACTION_PATTERNS: &[&str] = &[
    "*",
    "ecs:*",
    "ECS:stop*",
    "ecs:?topTask",
    "ecs:*Task*?",
    "ecs:**",
    "ecs:StopTask",
    "logs:Put*",
    "logs:*",
    "iam:PassRole",
    "iam:*Role",
    "sts:*",
    "sts:AssumeRole",
];

const RESOURCES: &[&str] = &[
    "*",
    "arn:aws:ecs:us-east-1:111111111111:task/prod/1",
    "arn:aws:ecs:us-east-1:111111111111:task/ann/2",
    "arn:aws:ecs:eu-west-1:222222222222:task/prod/a*b",
    "arn:aws:logs:us-east-1:111111111111:log-group:web:log-stream:one",
    "arn:aws:iam::111111111111:role/app",
];

const RESOURCE_PATTERNS: &[&str] = &[
    "*",
    "arn:aws:ecs:*:*:*",
    "arn:aws:ecs:us-east-1:111111111111:task/prod/1",
    "arn:aws:ecs:*:111111111111:task/*",
    "arn:aws:ecs:*:*:task/${aws:username}/*",
    "arn:aws:ecs:*:*:task/${aws:PrincipalTag/team}/*",
    "arn:aws:ecs:*:*:task/${aws:PrincipalTag/team, 'prod'}/?",
    "arn:aws:ecs:*:*:task/prod/a${*}b",
    "arn:aws:ecs:us-*-1:*:task/*/?",
    "arn:aws:logs:*:*:log-group:web:*",
    "arn:aws:logs:*:*:log-group:*:log-stream:o?e",
    "arn:aws:iam::*:role/*",
];

const NAMED: &[&str] = &[
    "*",
    ACCOUNT,
    "arn:aws:iam::111111111111:root",
    "222222222222",
    USER,
    ROLE,
    SESSION,
    FEDERATED,
    "arn:aws:iam::111111111111:user/bob",
];

/// Operators that go with a key, the key, values in policies, values in requests.
struct Words {
    operators: &'static [&'static str],
    key: &'static str,
    wanted: &'static [&'static str],
    found: &'static [&'static str],
}

const STRINGS: &[&str] = &[
    "StringEquals",
    "StringNotEquals",
    "StringEqualsIgnoreCase",
    "StringNotEqualsIgnoreCase",
    "StringLike",
    "StringNotLike",
];
const ARNS: &[&str] = &["ArnEquals", "ArnNotEquals", "ArnLike", "ArnNotLike", "StringLike", "StringNotEquals"];
const NUMBERS: &[&str] = &[
    "NumericEquals",
    "NumericNotEquals",
    "NumericLessThan",
    "NumericLessThanEquals",
    "NumericGreaterThan",
    "NumericGreaterThanEquals",
];
const DATES: &[&str] =
    &["DateEquals", "DateNotEquals", "DateLessThan", "DateLessThanEquals", "DateGreaterThan", "DateGreaterThanEquals"];

const WORDS: &[Words] = &[
    Words {
        operators: STRINGS,
        key: "aws:ResourceTag/team",
        wanted: &["web", "WEB", "w*", "?eb", "${aws:PrincipalTag/team}", "${aws:username}", "${*}", "*", ""],
        found: &["web", "WEB", "ann", "*", ""],
    },
    Words {
        operators: STRINGS,
        key: "aws:TagKeys",
        wanted: &["team", "Team", "t*", "env", "${aws:PrincipalTag/team, 'env'}"],
        found: &["team", "Team", "env", "cost"],
    },
    Words { operators: STRINGS, key: "aws:username", wanted: &["ann", "a*", "bob"], found: &["bob"] },
    Words {
        operators: ARNS,
        key: "aws:SourceArn",
        wanted: &[
            "arn:aws:ecs:us-east-1:111111111111:*",
            "arn:aws:ecs:*:*:service/*",
            "arn:*:*:*:*:*",
            "arn:aws:ecs:*:${aws:PrincipalAccount}:*",
        ],
        found: &["arn:aws:ecs:us-east-1:111111111111:service/a:b", "arn:aws:ecs:x:2:task/1", "no-arn", "arn:aws:ecs"],
    },
    Words {
        operators: NUMBERS,
        key: "aws:MultiFactorAuthAge",
        wanted: &["256", "512", "-1", "256.0", "1e3"],
        found: &["256", "512.5", "1000", "many", ""],
    },
    Words {
        operators: DATES,
        key: "aws:CurrentTime",
        wanted: &["2026-02-28T00:00:00Z", "2024-03-01", "1709251200"],
        found: &["2024-03-01T00:00:00Z", "2026-02-28T00:00:01Z", "1709251199", "noon"],
    },
    Words {
        operators: &["Bool"],
        key: "aws:SecureTransport",
        wanted: &["true", "False"],
        found: &["true", "FALSE", "x"],
    },
    Words { operators: &["BinaryEquals"], key: "aws:userid", wanted: &["AQID", "AQI="], found: &["AQID", "AQI="] },
    Words {
        operators: &["IpAddress", "NotIpAddress"],
        key: "aws:SourceIp",
        wanted: &["10.0.0.0/8", "10.1.2.3", "0.0.0.0/0", "192.168.1.0/25"],
        found: &["10.1.2.3", "192.168.1.127", "192.168.1.128", "home"],
    },
];

fn one_or_more(words: &'static [&'static str], most: usize) -> impl Strategy<Value = Value> {
    let many = subsequence(words, 1..=most).prop_map(|list| json!(list));
    prop_oneof![select(words).prop_map(|word| json!(word)), many]
}

fn operator(words: &'static Words) -> impl Strategy<Value = String> {
    let prefix = select(&["", "", "ForAllValues:", "ForAnyValue:"][..]);
    (prefix, select(words.operators), any::<bool>()).prop_map(|(prefix, operator, if_exists)| {
        format!("{prefix}{operator}{}", if if_exists { "IfExists" } else { "" })
    })
}

fn condition() -> impl Strategy<Value = (String, &'static str, Value)> {
    let typed = (0..WORDS.len()).prop_flat_map(|index| {
        let words = &WORDS[index];
        (operator(words), Just(words.key), one_or_more(words.wanted, 2))
    });
    let null = (0..WORDS.len(), any::<bool>())
        .prop_map(|(index, absent)| ("Null".to_owned(), WORDS[index].key, json!(absent.to_string())));
    prop_oneof![8 => typed, 1 => null]
}

fn conditions() -> impl Strategy<Value = Option<Value>> {
    let some = prop::collection::vec(condition(), 1..3).prop_map(|list| {
        let mut operators = Map::new();
        for (operator, key, values) in list {
            let keys = operators.entry(operator).or_insert_with(|| json!({}));
            keys.as_object_mut().unwrap().insert(key.to_owned(), values);
        }
        Some(Value::Object(operators))
    });
    prop_oneof![2 => Just(None), 3 => some]
}

fn principal() -> impl Strategy<Value = Value> {
    let aws = one_or_more(NAMED, 2).prop_map(|named| json!({ "AWS": named }));
    let service = select(&[SERVICE, "ecs.amazonaws.com"][..]).prop_map(|name| json!({ "Service": name }));
    let both = one_or_more(NAMED, 2).prop_map(|named| json!({ "AWS": named, "Service": [SERVICE] }));
    prop_oneof![1 => Just(json!("*")), 6 => aws, 1 => service, 1 => both]
}

/// A statement, of a policy of a resource or of another kind.
pub fn statement(names_principals: bool) -> impl Strategy<Value = Value> {
    let effect = prop_oneof![4 => Just("Allow"), 1 => Just("Deny")];
    let broad = select(&["*", "ecs:*"][..]).prop_map(|action| json!(action));
    let action = prop_oneof![1 => broad, 1 => one_or_more(ACTION_PATTERNS, 3)];
    let resource = prop_oneof![1 => Just(json!("*")), 2 => one_or_more(RESOURCE_PATTERNS, 2)];
    let parts = (effect, action, resource, conditions(), principal());
    let nots = (0..10u8, 0..6u8, 0..6u8, any::<bool>());
    (parts, nots).prop_map(move |((effect, action, resource, condition, principal), (not, other, third, none))| {
        let mut statement = json!({ "Effect": effect });
        let mut put = |name: &str, not: bool, value| {
            let name = if not { format!("Not{name}") } else { name.to_owned() };
            statement[name] = value;
        };
        put("Action", not == 0, action);
        if !names_principals || !none {
            put("Resource", other == 0, resource);
        }
        if names_principals {
            put("Principal", third == 0, principal);
        }
        if let Some(condition) = condition {
            put("Condition", false, condition);
        }
        statement
    })
}

fn policy(names_principals: bool) -> impl Strategy<Value = Value> {
    let version = prop_oneof![6 => Just(Some("2012-10-17")), 1 => Just(Some("2008-10-17")), 1 => Just(None)];
    (version, prop::collection::vec(statement(names_principals), 1..3)).prop_map(|(version, statements)| {
        let mut policy = match statements.as_slice() {
            [one] => json!({ "Statement": one }),
            many => json!({ "Statement": many }),
        };
        if let Some(version) = version {
            policy["Version"] = json!(version);
        }
        policy
    })
}

fn context() -> impl Strategy<Value = Vec<(String, Vec<String>)>> {
    let values = |words: &'static [&'static str]| {
        let single = select(words).prop_map(|word| vec![word.to_owned()]);
        let many = subsequence(words, 0..=2.min(words.len()))
            .prop_map(|list| list.iter().map(|word| (*word).to_owned()).collect());
        prop_oneof![3 => single, 2 => many]
    };
    let word =
        (0..WORDS.len()).prop_flat_map(move |index| (Just(WORDS[index].key.to_owned()), values(WORDS[index].found)));
    let tag = values(&["prod", "web", "*"]).prop_map(|values| ("aws:PrincipalTag/team".to_owned(), values));
    prop::collection::vec(prop_oneof![3 => word, 1 => tag], 0..6)
}

fn owner() -> impl Strategy<Value = &'static str> {
    prop_oneof![3 => Just(ACCOUNT), 1 => Just("222222222222")]
}

pub fn case() -> impl Strategy<Value = Case> {
    let who = prop_oneof![1 => Just("root"), 4 => Just("user"), 4 => Just("session"), 1 => Just("federated"), 1 => Just("service")];
    let action = prop_oneof![2 => Just(ACTIONS[0]), 3 => select(ACTIONS)];
    let request = (who, action, select(RESOURCES), owner(), context(), 0..5u8);
    let own = (
        prop::collection::vec(policy(false), 0..4),
        prop::option::weighted(0.3, policy(false)),
        prop::option::weighted(0.3, prop::collection::vec(policy(false), 0..3)),
        prop::collection::vec(policy(true), 0..2),
    );
    (request, own).prop_map(
        |((who, action, resource, owner, context, rule), (identity, boundary, session, policies))| Case {
            who,
            action: action.to_owned(),
            resource: resource.to_owned(),
            owner: owner.to_owned(),
            context,
            identity,
            boundary,
            session,
            resource_policies: policies,
            required: rule == 0,
        },
    )
}
