//! Real requests through the real tables: as the AWS CLI sends them, as it reads the replies.

use longshore_api::{SERVICES, ec2, ecs, sts};
use longshore_wire::protocol::route;
use longshore_wire::{Fault, Value};

fn head(target: &str, media_type: &str) -> http::request::Parts {
    let request = http::Request::builder().method("POST").uri("/").header("content-type", media_type);
    let request = if target.is_empty() { request } else { request.header("x-amz-target", target) };
    request.body(()).expect("a request head").into_parts().0
}

fn json(operation: &str) -> http::request::Parts {
    head(&format!("AmazonEC2ContainerServiceV20141113.{operation}"), "application/x-amz-json-1.1")
}

fn form() -> http::request::Parts {
    head("", "application/x-www-form-urlencoded; charset=utf-8")
}

#[test]
fn a_cluster_is_asked_for_and_answered() {
    let body = br#"{"clusterName":"production","settings":[{"name":"containerInsights","value":"enabled"}],"new":1}"#;
    let head = json("CreateCluster");
    let call = route(SERVICES, &head, body).expect("a call");
    let input: ecs::CreateClusterRequest = call.typed_input(&head, body).expect("an input");
    assert_eq!(input.cluster_name.as_deref(), Some("production"));
    let settings = input.settings.expect("settings");
    assert_eq!(settings[0].name, Some(ecs::ClusterSettingName::ContainerInsights));
    let cluster = ecs::Cluster { cluster_name: input.cluster_name, tags: Some(Vec::new()), ..Default::default() };
    let reply = call.reply(Some(&ecs::CreateClusterResponse { cluster: Some(cluster) }), "id");
    assert_eq!(String::from_utf8_lossy(reply.body()), r#"{"cluster":{"clusterName":"production","tags":[]}}"#);
}

#[test]
fn a_fault_carries_what_its_shape_has() {
    let head = json("RunTask");
    let call = route(SERVICES, &head, b"{}").expect("a call");
    let ids = Value::List(vec![Value::String("arn".into())]);
    let def = &ecs::fault::CONFLICT_EXCEPTION;
    let fault = Fault::new(def, "taken").with(def, "resourceIds", ids).with(def, "nonsense", Value::Null);
    let reply = call.fault(&fault, "id");
    assert_eq!(reply.status(), 400);
    let expected = r#"{"__type":"ConflictException","message":"taken","resourceIds":["arn"]}"#;
    assert_eq!(String::from_utf8_lossy(reply.body()), expected);
}

#[test]
fn a_missing_member_is_asked_for() {
    let head = json("RunTask");
    let call = route(SERVICES, &head, b"{}").expect("a call");
    let fault = call.input(&head, b"{}").expect_err("no task definition");
    assert_eq!(fault.code, "InvalidParameterException");
    assert_eq!(
        fault.message,
        "1 validation error detected: Value null at 'taskDefinition' failed to satisfy constraint: Member must not be null"
    );
}

#[test]
fn the_caller_is_told_in_a_result_element() {
    let body = b"Action=GetCallerIdentity&Version=2011-06-15";
    let call = route(SERVICES, &form(), body).expect("a call");
    let output = sts::GetCallerIdentityResponse { account: Some("000000000000".into()), ..Default::default() };
    assert_eq!(
        String::from_utf8_lossy(call.reply(Some(&output), "id").body()),
        "<GetCallerIdentityResponse xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\"><GetCallerIdentityResult>\
         <Account>000000000000</Account></GetCallerIdentityResult><ResponseMetadata><RequestId>id</RequestId>\
         </ResponseMetadata></GetCallerIdentityResponse>"
    );
}

#[test]
fn subnets_are_filtered_and_listed_as_items() {
    let body =
        b"Action=DescribeSubnets&Version=2016-11-15&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1&SubnetId.1=subnet-1";
    let call = route(SERVICES, &form(), body).expect("a call");
    let input: ec2::DescribeSubnetsRequest = call.typed_input(&form(), body).expect("an input");
    assert_eq!(input.subnet_ids, Some(vec!["subnet-1".to_owned()]));
    let filters = input.filters.expect("filters");
    assert_eq!((filters[0].name.as_deref(), filters[0].values.clone()), (Some("vpc-id"), Some(vec!["vpc-1".into()])));
    let subnet = ec2::Subnet { subnet_id: Some("subnet-1".into()), ..Default::default() };
    let output = ec2::DescribeSubnetsResult { subnets: Some(vec![subnet]), ..Default::default() };
    let reply = call.reply(Some(&output), "id");
    assert_eq!(
        String::from_utf8_lossy(reply.body()),
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<DescribeSubnetsResponse xmlns=\"http://ec2.amazonaws.com/doc/2016-11-15\"><requestId>id</requestId>\
         <subnetSet><item><subnetId>subnet-1</subnetId></item></subnetSet></DescribeSubnetsResponse>"
    );
}

#[test]
fn an_operation_that_is_not_built_says_so() {
    let call = route(SERVICES, &json("CreateDaemon"), b"{}").expect("a call");
    let fault = Fault::not_implemented(call.service, call.operation);
    assert_eq!(fault.message, "Longshore does not implement ecs:CreateDaemon yet");
    assert_eq!((fault.status, fault.code), (400, "UnsupportedOperationException"));
}
