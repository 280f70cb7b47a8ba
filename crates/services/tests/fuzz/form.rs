//! Forms: awsQuery's and EC2's requests are read, or refused as the caller's fault; what was read can be judged.

use http::header::CONTENT_TYPE;
use longshore_model::{AccountId, Place, State};
use longshore_services::SERVICES;
use longshore_services::access::{Asked, needed};
use longshore_wire::ServiceDef;
use longshore_wire::protocol::route;

use crate::Target;

pub static TARGET: Target = Target {
    name: "forms",
    seeds: &[
        "Action=ListUsers&Version=2010-05-08&MaxItems=10&PathPrefix=%2Fa%2F",
        "Action=CreateUser&Version=2010-05-08&UserName=ann&Tags.member.1.Key=a&Tags.member.1.Value=b&Tags.member.2.Key=c",
        "Action=SimulatePrincipalPolicy&Version=2010-05-08&PolicySourceArn=arn:aws:iam::000000000000:user/ann&ActionNames.member.1\
         =ecs:RunTask&ContextEntries.member.1.ContextKeyName=aws:userid&ContextEntries.member.1.ContextKeyValues.member.1=x",
        "Action=AssumeRole&Version=2011-06-15&RoleArn=arn:aws:iam::000000000000:role/app&RoleSessionName=one&DurationSeconds=900&\
         PolicyArns.member.1.arn=arn:aws:iam::aws:policy/AdministratorAccess&TransitiveTagKeys.member.1=a",
        "Action=GetCallerIdentity&Version=2011-06-15",
        "Action=DescribeSubnets&Version=2016-11-15&Filter.1.Name=vpc-id&Filter.1.Value.1=vpc-1&SubnetId.1=subnet-1&DryRun=true",
    ],
    words: &[
        "Action=",
        "&Version=",
        "2010-05-08",
        "2011-06-15",
        "2016-11-15",
        ".member.",
        ".member.1",
        ".member.1000000000",
        ".member.0",
        ".1",
        ".entry.1.key",
        "=",
        "&",
        "&&",
        "%",
        "%2",
        "%00",
        "%ff",
        "+",
        "MaxItems=",
        "Tags",
        ".Key=",
        ".Value=",
        "true",
        "RoleArn",
        "PolicyDocument",
        "UserName",
        "PolicySourceArn",
        "CreateRole",
        "PutUserPolicy",
        "DescribeVpcs",
        "ListRoles",
    ],
    run,
    least: 25,
};

fn run(input: &[u8]) -> String {
    let definitions: Vec<&'static ServiceDef> = SERVICES.iter().map(|service| service.def).collect();
    let request = http::Request::post("/").header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let head = request.body(()).expect("a head").into_parts().0;
    let call = match route(&definitions, &head, input) {
        Ok(call) => call,
        Err(refusal) => return refused("not routed", &refusal.fault),
    };
    let (service, operation) = (call.service.name, call.operation.name);
    let value = match call.input(&head, input) {
        Ok(value) => value,
        Err(fault) => return refused(operation, &fault),
    };
    assert_eq!(call.input(&head, input).ok().as_ref(), Some(&value));
    let place = Place::new("us-east-1", &AccountId::parse("000000000000").expect("an account"));
    let asked = Asked { place: &place, state: &State::default(), input: &value, user: Some("ann") };
    let needed = needed(service, operation, &asked).map(|needed| needed.len().min(8));
    format!("{operation}: {needed:?} judgements")
}

/// The code and the beginning of the words.
fn refused(what: &str, fault: &longshore_wire::Fault) -> String {
    assert!((400..500).contains(&fault.status) || fault.status == 501, "{fault}");
    let words: String = fault.to_string().chars().take_while(|letter| *letter != '\'').take(40).collect();
    format!("{what}: {words}")
}
