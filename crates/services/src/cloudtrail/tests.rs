//! Trails by their operations, and what is delivered to them.

use std::io::Read as _;
use std::path::{Path, PathBuf};

use flate2::read::GzDecoder;
use longshore_model::{AccountId, Change};
use longshore_store::audit::{Audit, Options, Weight};
use longshore_store::logs::{Cursor, Logs, Span};
use longshore_store::{Memory, Store};
use longshore_wire::json::{self, JsonWriter};
use longshore_wire::{Fault, Timestamp, validate};
use serde_json::{Value, json};

use super::deliver::Deliverer;
use crate::{Context, Settings};

const NOW: i64 = 1_714_521_600_000;
const ACCOUNT: &str = "123456789012";
const ROLE: &str = "arn:aws:iam::123456789012:role/trail";
const GROUP: &str = "arn:aws:logs:us-east-1:123456789012:log-group:/trail:*";

/// An empty account with an audit log.
struct World {
    store: Store,
    logs: Logs,
    audit: Audit,
    settings: Settings,
    directory: PathBuf,
    calls: u64,
}

impl World {
    fn new(name: &str) -> Self {
        let directory = std::env::temp_dir().join(format!("longshore-trails-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&directory);
        std::fs::create_dir_all(directory.join("logs")).unwrap();
        let tell = Box::new(|_| (NOW, b"{}".to_vec()));
        let options = Options { segment_bytes: 4096, total_bytes: 1 << 30, tell };
        let account = AccountId::parse(ACCOUNT).unwrap();
        Self {
            store: Store::open(Memory::default()).unwrap(),
            logs: Logs::open(&directory.join("logs")).unwrap(),
            audit: Audit::open(&directory.join("audit"), options).unwrap(),
            settings: Settings {
                region: "us-east-1".to_owned(),
                account,
                zones: Vec::new(),
                endpoint: String::new(),
                stopped_task_ttl_seconds: 3600,
                enforces: true,
                peers: Default::default(),
                page_key: [7; 32],
                vault: crate::Vault::new(&[8; 32]),
                upstreams: Vec::new(),
            },
            directory,
            calls: 0,
        }
    }

    fn call(&mut self, operation: &str, input: &Value) -> Result<Value, Fault> {
        self.calls += 1;
        let service = &super::SERVICE;
        let def = service.def.operation(operation).unwrap().input.unwrap().get();
        let value = json::decode(input.to_string().as_bytes(), def).unwrap();
        let violations = validate::validate(&value, def);
        if !violations.is_empty() {
            return Err(Fault::validation(service.def, &violations));
        }
        let (account, now) = (self.settings.account.clone(), Timestamp::from_millis(NOW));
        let mut context = Context::new(&self.store, &self.logs, &self.settings, account, now, self.calls);
        context.audit = Some(&self.audit);
        let output = (service.operation(operation).unwrap().run)(&mut context, value)?;
        let mut writer = JsonWriter::default();
        output.write_to(&mut writer);
        Ok(serde_json::from_slice(&writer.into_bytes()).unwrap())
    }

    fn ok(&mut self, operation: &str, input: Value) -> Value {
        self.call(operation, &input).unwrap_or_else(|fault| panic!("{operation} {input}: {fault}"))
    }

    /// The code of a call that must fail.
    fn fault(&mut self, operation: &str, input: Value) -> &'static str {
        match self.call(operation, &input) {
            Ok(output) => panic!("{operation} {input}: {output}"),
            Err(fault) => fault.code,
        }
    }

    fn trail(&mut self, name: &str) {
        self.ok("CreateTrail", json!({"Name": name, "S3BucketName": "bucket", "S3KeyPrefix": "p/q"}));
        self.ok("StartLogging", json!({"Name": name}));
    }

    /// A record of a call, in the audit log.
    fn record(&self, name: &str, source: &str, read_only: bool, account: &str) {
        let event = json!({
            "eventName": name, "eventSource": source, "readOnly": read_only, "recipientAccountId": account,
            "managementEvent": name != "PutLogEvents",
        });
        self.audit.push(NOW, event.to_string().as_bytes(), Weight::Light);
    }

    fn deliver(&self) -> bool {
        let directory = &self.directory.join("trails");
        let deliverer =
            Deliverer { store: &self.store, logs: &self.logs, audit: &self.audit, directory, region: "us-east-1" };
        deliverer.turn(Timestamp::from_millis(NOW + 1000)).unwrap()
    }

    /// Names of the events in all files, in the order of the files' names.
    fn delivered(&self) -> Vec<String> {
        let mut paths = Vec::new();
        find(&self.directory.join("trails"), &mut paths);
        paths.sort();
        paths.iter().flat_map(|path| names(path)).collect()
    }

    /// A log group and a role that may write to it.
    fn log_group(&mut self, actions: &str) {
        let put = |changes: Vec<Change>| {
            let put = |_: &_, to: &mut Vec<Change>| {
                to.extend(changes);
                Ok::<_, Fault>(())
            };
            self.store.transact(put).unwrap();
        };
        let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
            "Principal": {"Service": "cloudtrail.amazonaws.com"}}]});
        let allow = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": actions,
            "Resource": "arn:aws:logs:us-east-1:123456789012:log-group:/trail:log-stream:123456789012_CloudTrail*"}]});
        let role = json!({"account": ACCOUNT, "name": "trail", "path": "/", "id": "AROA", "createdAt": 1,
            "trust": trust.to_string(), "maxSessionSeconds": 3600, "grants": {"inline": {"it": allow.to_string()}}});
        let group = json!({"account": ACCOUNT, "name": "/trail", "uid": "u", "createdAt": 1});
        let role: longshore_model::iam::Role = json::from_slice(role.to_string().as_bytes()).unwrap();
        let group: longshore_model::setting::LogGroup = json::from_slice(group.to_string().as_bytes()).unwrap();
        put(vec![role.into(), group.into()]);
    }

    fn logged(&self) -> Vec<Value> {
        let span = Span { start: None, end: None };
        let page = self.logs.get("u", "123456789012_CloudTrail_us-east-1", span, Cursor::Head, 1000).unwrap();
        page.events.iter().map(|event| serde_json::from_str(&event.message).unwrap()).collect()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

fn find(dir: &Path, paths: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(dir).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { find(&path, paths) } else { paths.push(path) }
    }
}

fn names(path: &Path) -> Vec<String> {
    let mut text = String::new();
    GzDecoder::new(std::fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
    let file: Value = serde_json::from_str(&text).unwrap();
    file["Records"].as_array().unwrap().iter().map(|event| event["eventName"].as_str().unwrap().to_owned()).collect()
}

const ECS: &str = "ecs.amazonaws.com";

#[test]
fn a_trail_is_made_shown_changed_and_deleted() {
    let mut world = World::new("made");
    let made = world.ok("CreateTrail", json!({"Name": "one", "S3BucketName": "bucket"}));
    let arn = "arn:aws:cloudtrail:us-east-1:123456789012:trail/one";
    assert_eq!(made["TrailARN"], arn);
    assert_eq!(world.ok("GetTrail", json!({"Name": arn}))["Trail"]["HasCustomEventSelectors"], false);
    world.ok("UpdateTrail", json!({"Name": "one", "S3KeyPrefix": "p", "IsMultiRegionTrail": true}));
    let trail = world.ok("DescribeTrails", json!({"trailNameList": ["one", "two"]}))["trailList"][0].clone();
    assert_eq!((&trail["S3KeyPrefix"], &trail["S3BucketName"]), (&json!("p"), &json!("bucket")));
    assert_eq!(world.ok("ListTrails", json!({}))["Trails"][0]["TrailARN"], arn);
    assert_eq!(world.ok("GetTrailStatus", json!({"Name": "one"}))["IsLogging"], false);
    world.ok("AddTags", json!({"ResourceId": arn, "TagsList": [{"Key": "a", "Value": "1"}, {"Key": "b"}]}));
    world.ok("RemoveTags", json!({"ResourceId": arn, "TagsList": [{"Key": "b"}]}));
    let tags = world.ok("ListTags", json!({"ResourceIdList": [arn]}));
    assert_eq!(tags["ResourceTagList"][0]["TagsList"], json!([{"Key": "a", "Value": "1"}]));
    let selectors = json!([{"ReadWriteType": "WriteOnly", "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]);
    world.ok("PutEventSelectors", json!({"TrailName": "one", "EventSelectors": selectors}));
    let shown = world.ok("GetEventSelectors", json!({"TrailName": "one"}))["EventSelectors"][0].clone();
    assert_eq!((&shown["ReadWriteType"], &shown["IncludeManagementEvents"]), (&json!("WriteOnly"), &json!(true)));
    assert_eq!(world.ok("GetTrail", json!({"Name": "one"}))["Trail"]["HasCustomEventSelectors"], true);
    world.ok("DeleteTrail", json!({"Name": "one"}));
    assert_eq!(world.fault("GetTrail", json!({"Name": "one"})), "TrailNotFoundException");
}

#[test]
fn what_a_trail_may_not_be_is_refused() {
    let mut world = World::new("refused");
    let create = |more: Value| {
        let mut input = json!({"Name": "one", "S3BucketName": "bucket"});
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        input
    };
    for (more, code) in [
        (json!({"Name": "a"}), "InvalidTrailNameException"),
        (json!({"Name": "arn:aws:cloudtrail:us-east-1:1:trail/x"}), "InvalidTrailNameException"),
        (json!({"S3BucketName": "../up"}), "InvalidS3BucketNameException"),
        (json!({"S3KeyPrefix": "a/../../b"}), "InvalidS3PrefixException"),
        (json!({"KmsKeyId": "k"}), "UnsupportedOperationException"),
        (json!({"EnableLogFileValidation": true}), "UnsupportedOperationException"),
        (json!({"IsOrganizationTrail": true}), "UnsupportedOperationException"),
        (json!({"CloudWatchLogsLogGroupArn": GROUP}), "InvalidCloudWatchLogsRoleArnException"),
        (json!({"CloudWatchLogsRoleArn": ROLE}), "InvalidCloudWatchLogsLogGroupArnException"),
        (
            json!({"CloudWatchLogsLogGroupArn": GROUP, "CloudWatchLogsRoleArn": ROLE}),
            "InvalidCloudWatchLogsLogGroupArnException",
        ),
        (json!({"TagsList": [{"Key": "aws:x"}]}), "InvalidTagParameterException"),
        (json!({"TagsList": [{"Key": "x"}, {"Key": "x"}]}), "InvalidTagParameterException"),
    ] {
        assert_eq!(world.fault("CreateTrail", create(more.clone())), code, "{more}");
    }
    let many: Vec<Value> = (0..51).map(|at| json!({"Key": format!("k{at}")})).collect();
    assert_eq!(world.fault("CreateTrail", create(json!({"TagsList": many}))), "TagsLimitExceededException");
    for number in 0..5 {
        world.ok("CreateTrail", create(json!({"Name": format!("trail{number}")})));
    }
    assert_eq!(world.fault("CreateTrail", create(json!({"Name": "trail0"}))), "TrailAlreadyExistsException");
    assert_eq!(world.fault("CreateTrail", create(json!({}))), "MaximumNumberOfTrailsExceededException");
    let other = "arn:aws:cloudtrail:us-east-1:999999999999:trail/trail0";
    assert_eq!(world.fault("GetTrail", json!({"Name": other})), "CloudTrailARNInvalidException");
    assert_eq!(
        world.fault("AddTags", json!({"ResourceId": "trail0", "TagsList": []})),
        "CloudTrailARNInvalidException"
    );
    let excluded = json!([{"ExcludeManagementEventSources": ["ecs.amazonaws.com"]}]);
    for (selectors, code) in [
        (excluded, "InvalidEventSelectorsException"),
        (json!([]), "InvalidEventSelectorsException"),
        (json!([{"DataResources": [{"Type": "AWS::S3::Object"}]}]), "UnsupportedOperationException"),
    ] {
        let input = json!({"TrailName": "trail0", "EventSelectors": selectors});
        assert_eq!(world.fault("PutEventSelectors", input), code);
    }
}

#[test]
fn a_trail_gets_what_its_selectors_take_once_and_from_its_start_on() {
    let mut world = World::new("selectors");
    world.record("Before", ECS, false, ACCOUNT);
    world.trail("one");
    let selectors = json!([{"ReadWriteType": "WriteOnly", "ExcludeManagementEventSources": ["kms.amazonaws.com"]}]);
    world.ok("PutEventSelectors", json!({"TrailName": "one", "EventSelectors": selectors}));
    world.record("CreateCluster", ECS, false, ACCOUNT);
    world.record("ListClusters", ECS, true, ACCOUNT);
    world.record("CreateKey", "kms.amazonaws.com", false, ACCOUNT);
    world.record("CreateCluster", ECS, false, "999999999999");
    world.record("PutLogEvents", "logs.amazonaws.com", false, ACCOUNT);
    world.record("DeleteCluster", ECS, false, ACCOUNT);
    assert!(!world.deliver());
    assert_eq!(world.delivered(), ["CreateCluster", "DeleteCluster"]);
    assert!(!world.deliver());
    world.record("CreateService", ECS, false, ACCOUNT);
    world.deliver();
    assert_eq!(world.delivered(), ["CreateCluster", "DeleteCluster", "CreateService"]);
    world.ok("StopLogging", json!({"Name": "one"}));
    world.record("After", ECS, false, ACCOUNT);
    world.deliver();
    assert_eq!(world.delivered().len(), 3);
    let status = world.ok("GetTrailStatus", json!({"Name": "one"}));
    assert_eq!(status["LatestDeliveryTime"], json!((NOW + 1000) / 1000));
    assert_eq!(status.get("LatestDeliveryError"), None);
    let dir = world.directory.join("trails/bucket/p/q/AWSLogs/123456789012/CloudTrail/us-east-1/2024/05/01");
    assert!(dir.is_dir());
}

#[test]
fn a_delivery_that_is_repeated_delivers_nothing_twice() {
    let mut world = World::new("repeated");
    world.log_group("logs:*");
    world.ok(
        "CreateTrail",
        json!({"Name": "one", "S3BucketName": "bucket", "CloudWatchLogsLogGroupArn": GROUP, "CloudWatchLogsRoleArn": ROLE}),
    );
    world.ok("StartLogging", json!({"Name": "one"}));
    let before = world.store.read().trails.get("123456789012/one").unwrap().as_ref().clone();
    for _ in 0..3 {
        world.record("CreateCluster", ECS, false, ACCOUNT);
    }
    world.deliver();
    // As if the process had died before the position was noted.
    let undo = |_: &_, to: &mut Vec<Change>| {
        to.push(before.into());
        Ok::<_, Fault>(())
    };
    world.store.transact(undo).unwrap();
    world.deliver();
    assert_eq!((world.delivered().len(), world.logged().len()), (3, 3));
    assert_eq!(world.logged()[0]["eventName"], "CreateCluster");
}

#[test]
fn a_role_that_may_not_write_is_refused_and_one_that_may_no_longer_is_told_of() {
    let mut world = World::new("role");
    let input = json!({"Name": "one", "S3BucketName": "bucket", "CloudWatchLogsLogGroupArn": GROUP, "CloudWatchLogsRoleArn": ROLE});
    world.log_group("logs:CreateLogStream");
    assert_eq!(world.fault("CreateTrail", input.clone()), "InvalidCloudWatchLogsRoleArnException");
    world.log_group("logs:*");
    world.ok("CreateTrail", input);
    world.ok("StartLogging", json!({"Name": "one"}));
    world.log_group("logs:CreateLogStream");
    world.record("CreateCluster", ECS, false, ACCOUNT);
    world.deliver();
    let status = world.ok("GetTrailStatus", json!({"Name": "one"}));
    assert_eq!(status["LatestCloudWatchLogsDeliveryError"], "Access denied. Check the permissions for your role.");
    world.log_group("logs:*");
    world.deliver();
    assert_eq!((world.delivered().len(), world.logged().len()), (1, 1));
    assert_eq!(world.ok("GetTrailStatus", json!({"Name": "one"})).get("LatestCloudWatchLogsDeliveryError"), None);
}

#[test]
fn events_of_another_account_are_not_found_whatever_they_hold() {
    let mut world = World::new("foreign");
    world.record("CreateCluster", ECS, false, ACCOUNT);
    let spoof = json!({"eventName": "CreateLogGroup", "managementEvent": true, "recipientAccountId": "999999999999",
        "requestParameters": {"tags": {"recipientAccountId": ACCOUNT}}});
    world.audit.push(NOW, spoof.to_string().as_bytes(), Weight::Light);
    world.record("PutLogEvents", "logs.amazonaws.com", false, ACCOUNT);
    let found = world.ok("LookupEvents", json!({}));
    let names: Vec<_> = found["Events"].as_array().unwrap().iter().map(|event| &event["EventName"]).collect();
    assert_eq!(names, ["CreateCluster"]);
    assert_eq!(found.get("NextToken"), None);
}
