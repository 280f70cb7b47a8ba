use proptest::prelude::*;
use serde_json::{Value, json};

use super::testing::{Bench, NOW};
use super::*;

const HOUR: i64 = 60 * 60 * 1000;
const DAY: i64 = 24 * HOUR;

/// An account with the group `g` and its streams `s` and `t`.
fn bench() -> Bench {
    let bench = Bench::new();
    bench.ok("CreateLogGroup", json!({"logGroupName": "g"}));
    for stream in ["s", "t"] {
        bench.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": stream}));
    }
    bench
}

fn event(timestamp: i64, message: &str) -> Value {
    json!({"timestamp": timestamp, "message": message})
}

fn batch(stream: &str, events: Vec<Value>) -> Value {
    json!({"logGroupName": "g", "logStreamName": stream, "logEvents": events})
}

fn put(bench: &Bench, stream: &str, events: Vec<Value>) -> Value {
    bench.ok("PutLogEvents", batch(stream, events))
}

/// The messages of an answer, joined.
fn messages(answer: &Value) -> String {
    let events = answer["events"].as_array().unwrap();
    let messages: Vec<_> = events.iter().map(|event| event["message"].as_str().unwrap()).collect();
    messages.join(" ")
}

fn get(bench: &Bench, more: Value) -> Value {
    bench.ok("GetLogEvents", merge(json!({"logGroupName": "g", "logStreamName": "s"}), more))
}

fn filter(bench: &Bench, more: Value) -> Value {
    bench.ok("FilterLogEvents", merge(json!({"logGroupName": "g"}), more))
}

fn merge(mut one: Value, other: Value) -> Value {
    one.as_object_mut().unwrap().extend(other.as_object().unwrap().clone());
    one
}

fn names(answer: &Value, list: &str, name: &str) -> Vec<String> {
    let rows = answer[list].as_array().unwrap();
    rows.iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
}

#[test]
fn groups_are_made_described_and_deleted() {
    let bench = Bench::new();
    for name in ["/ecs/b", "/ecs/a", "other"] {
        bench.ok("CreateLogGroup", json!({"logGroupName": name, "tags": {"stage": "test"}}));
    }
    assert_eq!(
        bench.fault("CreateLogGroup", json!({"logGroupName": "other"})),
        "ResourceAlreadyExistsException: The specified log group already exists"
    );
    let list = |filter| names(&bench.ok("DescribeLogGroups", filter), "logGroups", "logGroupName");
    assert_eq!(list(json!({})), ["/ecs/a", "/ecs/b", "other"]);
    assert_eq!(list(json!({"logGroupNamePrefix": "/ecs/"})), ["/ecs/a", "/ecs/b"]);
    assert_eq!(list(json!({"logGroupNamePattern": "the"})), ["other"]);
    assert_eq!(list(json!({"logGroupNamePattern": "The"})), [""; 0]);
    assert_eq!(list(json!({"logGroupIdentifiers": ["other", "none"]})), ["other"]);
    assert_eq!(list(json!({"logGroupClass": "ESSENTIALS"})), [""; 0]);
    let first = bench.ok("DescribeLogGroups", json!({"limit": 2}));
    assert_eq!(names(&first, "logGroups", "logGroupName"), ["/ecs/a", "/ecs/b"]);
    let rest = bench.ok("DescribeLogGroups", json!({"limit": 2, "nextToken": first["nextToken"]}));
    assert_eq!(names(&rest, "logGroups", "logGroupName"), ["other"]);
    assert!(rest.get("nextToken").is_none());
    let other = json!({"limit": 2, "logGroupNamePrefix": "/", "nextToken": first["nextToken"]});
    assert!(bench.fault("DescribeLogGroups", other).starts_with("InvalidParameterException"));
    bench.ok("DeleteLogGroup", json!({"logGroupName": "other"}));
    assert_eq!(
        bench.fault("DeleteLogGroup", json!({"logGroupName": "other"})),
        "ResourceNotFoundException: The specified log group does not exist."
    );
    assert_eq!(list(json!({})), ["/ecs/a", "/ecs/b"]);
}

#[test]
fn a_group_is_described_with_all_that_is_known() {
    let bench = bench();
    put(&bench, "s", vec![event(NOW, "12345")]);
    bench.ok("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 7}));
    let answer = bench.ok("DescribeLogGroups", json!({}));
    assert_eq!(
        answer["logGroups"][0],
        json!({
            "logGroupName": "g",
            "creationTime": NOW,
            "retentionInDays": 7,
            "metricFilterCount": 0,
            "arn": "arn:aws:logs:us-east-1:123456789012:log-group:g:*",
            "storedBytes": 31,
            "logGroupClass": "STANDARD",
            "logGroupArn": "arn:aws:logs:us-east-1:123456789012:log-group:g",
            "deletionProtectionEnabled": false,
        })
    );
}

#[test]
fn what_may_not_be_is_refused() {
    let bench = bench();
    let kms = "arn:aws:kms:us-east-1:123456789012:key/1";
    let rows = [
        ("CreateLogGroup", json!({"logGroupName": "aws/x"}), "InvalidParameterException: Log groups starting"),
        ("CreateLogGroup", json!({"logGroupName": "a b"}), "InvalidParameterException"),
        ("CreateLogGroup", json!({"logGroupName": "x".repeat(513)}), "InvalidParameterException"),
        (
            "CreateLogGroup",
            json!({"logGroupName": "x", "kmsKeyId": kms}),
            "InvalidParameterException: The specified KMS",
        ),
        ("CreateLogGroup", json!({"logGroupName": "x", "tags": {"aws:x": "y"}}), "InvalidParameterException"),
        ("CreateLogGroup", json!({}), "InvalidParameterException"),
        ("DescribeLogGroups", json!({"limit": 0}), "InvalidParameterException"),
        ("DescribeLogGroups", json!({"limit": 51}), "InvalidParameterException"),
        ("DescribeLogGroups", json!({"nextToken": "forged"}), "InvalidParameterException"),
        (
            "DescribeLogGroups",
            json!({"logGroupNamePrefix": "a", "logGroupNamePattern": "a"}),
            "InvalidParameterException: LogGroup name prefix and LogGroup name pattern are mutually exclusive",
        ),
        ("CreateLogStream", json!({"logGroupName": "x", "logStreamName": "s"}), "ResourceNotFoundException"),
        ("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "a:b"}), "InvalidParameterException"),
        ("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"}), "ResourceAlreadyExistsException"),
        ("DeleteLogStream", json!({"logGroupName": "g", "logStreamName": "x"}), "ResourceNotFoundException"),
        ("DescribeLogStreams", json!({}), "InvalidParameterException"),
        (
            "DescribeLogStreams",
            json!({"logGroupName": "g", "orderBy": "LastEventTime", "logStreamNamePrefix": "s"}),
            "InvalidParameterException: Cannot order by LastEventTime with a logStreamNamePrefix.",
        ),
        ("DescribeLogStreams", json!({"logGroupName": "g", "orderBy": "Size"}), "InvalidParameterException"),
        ("GetLogEvents", json!({"logGroupName": "g", "logStreamName": "x"}), "ResourceNotFoundException"),
        (
            "GetLogEvents",
            json!({"logGroupName": "g", "logStreamName": "s", "limit": 10_001}),
            "InvalidParameterException",
        ),
        ("FilterLogEvents", json!({"logGroupName": "g", "logGroupIdentifier": "g"}), "InvalidParameterException"),
        ("FilterLogEvents", json!({"logGroupName": "g", "logStreamNames": ["x"]}), "ResourceNotFoundException"),
        (
            "FilterLogEvents",
            json!({"logGroupName": "g", "logStreamNames": ["s"], "logStreamNamePrefix": "s"}),
            "InvalidParameterException",
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": "g", "filterPattern": "{ $.a = }"}),
            "InvalidParameterException: Invalid filter pattern",
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": "g", "filterPattern": "x".repeat(1025)}),
            "InvalidParameterException",
        ),
        (
            "FilterLogEvents",
            json!({"logGroupName": "g", "startFromHead": false, "startTime": 1}),
            "InvalidParameterException: startFromHead",
        ),
        ("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 2}), "InvalidParameterException"),
        ("PutRetentionPolicy", json!({"logGroupName": "x", "retentionInDays": 1}), "ResourceNotFoundException"),
        ("TagLogGroup", json!({"logGroupName": "x", "tags": {"a": "b"}}), "ResourceNotFoundException"),
        ("ListTagsForResource", json!({"resourceArn": "g"}), "InvalidParameterException"),
    ];
    for (operation, input, wanted) in rows {
        let fault = bench.fault(operation, input.clone());
        assert!(fault.starts_with(wanted), "{operation} {input}: {fault}");
    }
}

#[test]
fn identifiers_are_names_or_arns_of_this_place() {
    let bench = bench();
    let describe = |identifier: &str| bench.call("DescribeLogStreams", json!({"logGroupIdentifier": identifier}));
    for identifier in ["g", "arn:aws:logs:us-east-1:123456789012:log-group:g"] {
        let answer = describe(identifier).unwrap();
        assert_eq!(names(&answer, "logStreams", "logStreamName"), ["s", "t"]);
    }
    for (identifier, code) in [
        ("arn:aws:logs:us-east-1:999999999999:log-group:g", "ResourceNotFoundException"),
        ("arn:aws:logs:eu-west-1:123456789012:log-group:g", "ResourceNotFoundException"),
        ("arn:aws:ecs:us-east-1:123456789012:cluster/g", "InvalidParameterException"),
        ("arn:aws:logs:us-east-1:123456789012:log-group:", "InvalidParameterException"),
        ("arn:aws:logs", "InvalidParameterException"),
    ] {
        assert_eq!(describe(identifier).unwrap_err().code, code, "{identifier}");
    }
}

#[test]
fn a_group_made_again_begins_empty_and_what_it_held_is_forgotten() {
    let bench = bench();
    put(&bench, "s", vec![event(NOW, "old")]);
    bench.ok("DeleteLogGroup", json!({"logGroupName": "g"}));
    let fault = bench.fault("PutLogEvents", batch("s", vec![event(NOW, "late")]));
    assert_eq!(fault, "ResourceNotFoundException: The specified log group does not exist.");
    bench.ok("CreateLogGroup", json!({"logGroupName": "g"}));
    let streams = bench.ok("DescribeLogStreams", json!({"logGroupName": "g"}));
    assert_eq!(streams["logStreams"], json!([]));
    bench.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "s"}));
    put(&bench, "s", vec![event(NOW, "new")]);
    keep(&bench);
    assert_eq!(bench.logs.groups().unwrap().len(), 1);
    assert_eq!(messages(&get(&bench, json!({}))), "new");
    assert_eq!(messages(&filter(&bench, json!({}))), "new");
}

/// Run the upkeep to its end.
fn keep(bench: &Bench) {
    let uids = bench.logs.groups().unwrap();
    let upkeep = Upkeep::plan(&bench.store.read(), &uids);
    while upkeep.run(&bench.logs, longshore_wire::Timestamp::from_millis(bench.now)).unwrap() {}
}

#[test]
fn a_protected_group_is_not_deleted() {
    let bench = Bench::new();
    bench.ok("CreateLogGroup", json!({"logGroupName": "p", "deletionProtectionEnabled": true}));
    bench.ok("CreateLogStream", json!({"logGroupName": "p", "logStreamName": "s"}));
    assert!(bench.fault("DeleteLogGroup", json!({"logGroupName": "p"})).starts_with("ValidationException"));
    let stream = json!({"logGroupName": "p", "logStreamName": "s"});
    assert!(bench.fault("DeleteLogStream", stream).starts_with("ValidationException"));
}

#[test]
fn streams_are_listed_by_name_or_last_event_page_by_page() {
    let bench = bench();
    bench.ok("CreateLogStream", json!({"logGroupName": "g", "logStreamName": "a b"}));
    put(&bench, "t", vec![event(NOW - 5, "x"), event(NOW - 2, "x")]);
    put(&bench, "s", vec![event(NOW - 1, "x")]);
    let list = |more: Value| {
        let (mut all, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut input = merge(json!({"logGroupName": "g", "limit": 1}), more.clone());
            if !token.is_null() {
                input["nextToken"] = token;
            }
            let answer = bench.ok("DescribeLogStreams", input);
            all.extend(names(&answer, "logStreams", "logStreamName"));
            token = answer["nextToken"].clone();
            if token.is_null() {
                return all;
            }
        }
    };
    assert_eq!(list(json!({})), ["a b", "s", "t"]);
    assert_eq!(list(json!({"descending": true})), ["t", "s", "a b"]);
    assert_eq!(list(json!({"logStreamNamePrefix": "s"})), ["s"]);
    assert_eq!(list(json!({"orderBy": "LastEventTime"})), ["a b", "t", "s"]);
    assert_eq!(list(json!({"orderBy": "LastEventTime", "descending": true})), ["s", "t", "a b"]);
    let answer = bench.ok("DescribeLogStreams", json!({"logGroupName": "g", "logStreamNamePrefix": "t"}));
    let stream = &answer["logStreams"][0];
    assert_eq!(stream["firstEventTimestamp"], NOW - 5);
    assert_eq!(stream["lastEventTimestamp"], NOW - 2);
    assert_eq!(stream["lastIngestionTime"], NOW);
    assert_eq!(stream["storedBytes"], 0);
    assert_eq!(stream["arn"], "arn:aws:logs:us-east-1:123456789012:log-group:g:log-stream:t");
    assert_eq!(stream["uploadSequenceToken"].as_str().unwrap().len(), 56);
}

#[test]
fn a_batch_keeps_the_rules() {
    let bench = bench();
    let kilobyte = "x".repeat(1024 - 26);
    let rows = [
        (vec![], "failed to satisfy constraint"),
        (vec![event(NOW, ""); 1], "failed to satisfy constraint"),
        (vec![event(NOW, "x"); 10_001], "failed to satisfy constraint"),
        (vec![event(-1, "x")], "failed to satisfy constraint"),
        (vec![event(NOW, "b"), event(NOW - 1, "a")], "must be in chronological order."),
        (vec![event(NOW - DAY - 1, "a"), event(NOW, "b")], "cannot span more than 24 hours."),
        (vec![event(NOW, &"x".repeat(1_048_576 - 25))], "Log event too large: 1048577 bytes exceeds limit of 1048576"),
        (vec![event(NOW, &kilobyte); 1025], "Upload too large: 1049600 bytes exceeds limit of 1048576"),
    ];
    for (events, wanted) in rows {
        let count = events.len();
        let fault = bench.fault("PutLogEvents", batch("s", events));
        assert!(fault.starts_with("InvalidParameterException: "), "{count} events: {fault}");
        assert!(fault.contains(wanted), "{count} events: {fault}");
    }
    assert!(bench.fault("PutLogEvents", batch("x", vec![event(NOW, "x")])).starts_with("ResourceNotFoundException"));
    put(&bench, "s", vec![event(NOW, &"x".repeat(1_048_576 - 26))]);
    put(&bench, "t", vec![event(NOW, &kilobyte); 1024]);
    put(&bench, "t", vec![event(NOW - DAY, "a"), event(NOW, "b")]);
    let answer = put(&bench, "t", vec![event(NOW, "x"); 10_000]);
    assert_eq!(answer["nextSequenceToken"].as_str().unwrap().len(), 56);
    assert!(answer.get("rejectedLogEventsInfo").is_none());
}

#[test]
fn events_out_of_time_are_reported_and_left_out() {
    let mut bench = bench();
    let sift = |bench: &Bench, events: Vec<Value>| put(bench, "s", events)["rejectedLogEventsInfo"].clone();
    let rejected = sift(&bench, vec![event(NOW - 14 * DAY - 1, "old"), event(NOW - 14 * DAY, "edge")]);
    assert_eq!(rejected, json!({"tooOldLogEventEndIndex": 1}));
    let rejected =
        sift(&bench, vec![event(NOW, "now"), event(NOW + 2 * HOUR, "edge"), event(NOW + 2 * HOUR + 1, "new")]);
    assert_eq!(rejected, json!({"tooNewLogEventStartIndex": 2}));
    let rejected = sift(&bench, vec![event(NOW - 20 * DAY, "old"), event(NOW + DAY, "new")]);
    assert_eq!(rejected, json!({"tooOldLogEventEndIndex": 1, "tooNewLogEventStartIndex": 1}));
    assert_eq!(messages(&get(&bench, json!({}))), "edge now edge");
    bench.ok("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 1}));
    bench.now += HOUR;
    let rejected = sift(&bench, vec![event(NOW - DAY, "past"), event(NOW, "kept")]);
    assert_eq!(rejected, json!({"expiredLogEventEndIndex": 1}));
}

#[test]
fn a_batch_that_comes_again_is_stored_once() {
    let mut bench = bench();
    bench.batch = Some("pump-1/1".to_owned());
    put(&bench, "s", vec![event(NOW, "a")]);
    put(&bench, "s", vec![event(NOW, "a")]);
    bench.batch = Some("pump-1/2".to_owned());
    put(&bench, "s", vec![event(NOW, "b")]);
    bench.batch = None;
    put(&bench, "s", vec![event(NOW, "c")]);
    put(&bench, "s", vec![event(NOW, "c")]);
    assert_eq!(messages(&get(&bench, json!({}))), "a b c c");
    for header in ["", "1", "/1", "p/", "p/x", "p/-1", "a b/1", &format!("{}/1", "p".repeat(65))] {
        bench.batch = Some(header.to_owned());
        let fault = bench.fault("PutLogEvents", batch("s", vec![event(NOW, "x")]));
        assert!(fault.starts_with("InvalidParameterException"), "{header}: {fault}");
    }
}

#[test]
fn a_reader_goes_both_ways_and_meets_the_same_token_at_the_ends() {
    let bench = bench();
    let events = (0..5).map(|at| event(NOW - 10 + at, &at.to_string())).collect();
    put(&bench, "s", events);
    let latest = get(&bench, json!({"limit": 2}));
    assert_eq!(messages(&latest), "3 4");
    let (back, forth) = (&latest["nextBackwardToken"], &latest["nextForwardToken"]);
    assert!(back.as_str().unwrap().starts_with("b/") && forth.as_str().unwrap().starts_with("f/"));
    assert_eq!(back.as_str().unwrap().len(), 2 + 56 + 2);
    assert_eq!(messages(&get(&bench, json!({"limit": 2, "nextToken": back}))), "1 2");
    let end = get(&bench, json!({"nextToken": forth}));
    assert_eq!((messages(&end).as_str(), &end["nextForwardToken"]), ("", forth));
    put(&bench, "s", vec![event(NOW - 6, "new")]);
    assert_eq!(messages(&get(&bench, json!({"nextToken": forth}))), "new");
    let first = get(&bench, json!({"limit": 3, "startFromHead": true}));
    assert_eq!(messages(&first), "0 1 2");
    let start = get(&bench, json!({"nextToken": first["nextBackwardToken"]}));
    assert_eq!(start["nextBackwardToken"], first["nextBackwardToken"]);
    let within = json!({"startTime": NOW - 9, "endTime": NOW - 7, "startFromHead": true});
    assert_eq!(messages(&get(&bench, within)), "1 2");
}

#[test]
fn a_token_is_good_for_its_stream_only() {
    let bench = bench();
    put(&bench, "s", vec![event(NOW, "x")]);
    let token = get(&bench, json!({}))["nextForwardToken"].as_str().unwrap().to_owned();
    let rows = [
        ("t", token.clone()),
        ("s", token.replace("f/", "x/")),
        ("s", token.replace("/s", "")),
        ("s", format!("f/{}/s", "1".repeat(56))),
        ("s", format!("f/{}/s", "ü".repeat(28))),
        ("s", token.replacen("f/0", "f/1", 1)),
        ("s", "f//s".to_owned()),
    ];
    for (stream, token) in rows {
        let input = json!({"logGroupName": "g", "logStreamName": stream, "nextToken": token});
        let fault = bench.fault("GetLogEvents", input);
        assert_eq!(fault, "InvalidParameterException: The specified nextToken is invalid.", "{stream} {token}");
    }
    let page = filter(&bench, json!({}));
    assert!(page.get("nextToken").is_none());
    put(&bench, "s", vec![event(NOW, "y")]);
    let page = filter(&bench, json!({"limit": 1}));
    let other = json!({"logGroupName": "g", "limit": 1, "filterPattern": "y", "nextToken": page["nextToken"]});
    assert!(bench.fault("FilterLogEvents", other).starts_with("InvalidParameterException"));
}

#[test]
fn a_search_finds_across_streams_in_order() {
    let bench = bench();
    put(&bench, "s", vec![event(NOW - 4, "GET /a 200"), event(NOW - 2, "GET /b 500")]);
    put(&bench, "t", vec![event(NOW - 3, "GET /c 500"), event(NOW - 2, "POST /d 500")]);
    let find = |more| messages(&filter(&bench, more));
    assert_eq!(find(json!({})), "GET /a 200 GET /c 500 GET /b 500 POST /d 500");
    assert_eq!(find(json!({"filterPattern": "GET -200"})), "GET /c 500 GET /b 500");
    assert_eq!(find(json!({"filterPattern": "[method, path, status = 5*]"})), "GET /c 500 GET /b 500 POST /d 500");
    assert_eq!(find(json!({"logStreamNames": ["t"]})), "GET /c 500 POST /d 500");
    assert_eq!(find(json!({"logStreamNamePrefix": "s", "filterPattern": "500"})), "GET /b 500");
    assert_eq!(find(json!({"startTime": NOW - 3, "endTime": NOW - 3})), "GET /c 500");
    assert_eq!(find(json!({"startFromHead": false, "limit": 2})), "POST /d 500 GET /b 500");
    let back = filter(&bench, json!({"startFromHead": false, "limit": 2}));
    let rest = json!({"limit": 9, "nextToken": back["nextToken"]});
    assert_eq!(find(rest), "GET /c 500 GET /a 200");
    let first = &filter(&bench, json!({"limit": 1}))["events"][0];
    assert_eq!(first["logStreamName"], "s");
    assert_eq!(first["ingestionTime"], NOW);
    assert_eq!(first["eventId"].as_str().unwrap().len(), 56);
}

#[test]
fn retention_hides_at_once_and_frees_later() {
    let mut bench = bench();
    put(&bench, "s", vec![event(NOW - 2 * DAY, "old")]);
    put(&bench, "s", vec![event(NOW, "new")]);
    bench.ok("PutRetentionPolicy", json!({"logGroupName": "g", "retentionInDays": 1}));
    assert_eq!(messages(&get(&bench, json!({}))), "new");
    assert_eq!(messages(&filter(&bench, json!({}))), "new");
    let bytes = |bench: &Bench| bench.ok("DescribeLogGroups", json!({}))["logGroups"][0]["storedBytes"].clone();
    assert_eq!(bytes(&bench), 2 * (3 + 26));
    keep(&bench);
    assert_eq!(bytes(&bench), 3 + 26);
    bench.ok("DeleteRetentionPolicy", json!({"logGroupName": "g"}));
    bench.now += 30 * DAY;
    keep(&bench);
    assert_eq!(messages(&get(&bench, json!({}))), "new");
    assert!(bench.ok("DescribeLogGroups", json!({}))["logGroups"][0].get("retentionInDays").is_none());
}

#[test]
fn tags_are_set_and_removed_by_arn_and_by_name() {
    let bench = bench();
    let arn = "arn:aws:logs:us-east-1:123456789012:log-group:g";
    bench.ok("TagResource", json!({"resourceArn": arn, "tags": {"a": "1", "b": "2"}}));
    bench.ok("TagLogGroup", json!({"logGroupName": "g", "tags": {"b": "3", "c": ""}}));
    bench.ok("UntagResource", json!({"resourceArn": arn, "tagKeys": ["a", "none"]}));
    let tags = json!({"tags": {"b": "3", "c": ""}});
    assert_eq!(bench.ok("ListTagsForResource", json!({"resourceArn": arn})), tags);
    assert_eq!(bench.ok("ListTagsLogGroup", json!({"logGroupName": "g"})), tags);
    bench.ok("UntagLogGroup", json!({"logGroupName": "g", "tags": ["b"]}));
    let many: serde_json::Map<String, Value> = (0..50).map(|at| (format!("k{at}"), json!("v"))).collect();
    let fault = bench.fault("TagResource", json!({"resourceArn": arn, "tags": many}));
    assert!(fault.starts_with("TooManyTagsException"), "{fault}");
    assert_eq!(bench.ok("ListTagsLogGroup", json!({"logGroupName": "g"})), json!({"tags": {"c": ""}}));
}

#[test]
fn accounts_do_not_see_each_other() {
    let mut bench = bench();
    bench.account = longshore_model::AccountId::parse("999999999999").unwrap();
    assert_eq!(bench.ok("DescribeLogGroups", json!({})), json!({"logGroups": []}));
    let fault = bench.fault("FilterLogEvents", json!({"logGroupName": "g"}));
    assert_eq!(fault, "ResourceNotFoundException: The specified log group does not exist.");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn the_pages_of_a_search_hold_each_match_once(
        times in prop::collection::vec((0i64..5, any::<bool>()), 1..20),
        limit in 1u32..4,
        from_head in any::<bool>(),
    ) {
        let bench = bench();
        let mut wanted = Vec::new();
        for (number, (at, matches)) in times.iter().enumerate() {
            let text = format!("{} {number}", if *matches { "hit" } else { "miss" });
            put(&bench, if number % 2 == 0 { "s" } else { "t" }, vec![event(NOW + at, &text)]);
            if *matches {
                wanted.push((*at, number, text));
            }
        }
        wanted.sort();
        if !from_head {
            wanted.reverse();
        }
        let (mut found, mut token) = (Vec::new(), Value::Null);
        loop {
            let mut more = json!({"filterPattern": "hit", "limit": limit, "startFromHead": from_head});
            if !token.is_null() {
                more["nextToken"] = token;
            }
            let page = filter(&bench, more);
            found.extend(names(&page, "events", "message"));
            token = page["nextToken"].clone();
            if token.is_null() {
                break;
            }
        }
        let wanted: Vec<_> = wanted.into_iter().map(|(_, _, text)| text).collect();
        prop_assert_eq!(found, wanted);
    }
}
