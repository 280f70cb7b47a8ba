//! Elastic Load Balancing. What is there is judged by its ARN and tags; what is made, by an ARN without an id.

use longshore_wire::Value;

use super::asked::{inner, set, set_tags};
use super::{Access, Asked, Found, Key, NONE, Need, Resource, Table};
use crate::elasticloadbalancing::tags_of;

const SERVICE: &str = "elasticloadbalancing";

fn found(asked: &Asked<'_>, arn: &str) -> Found {
    Found { arn: arn.to_owned(), tags: tags_of(asked.state, asked.place, arn) }
}

/// What a member names by its ARN.
fn named(asked: &Asked<'_>, member: &str) -> Vec<Found> {
    asked.given(member).map(|arn| found(asked, arn)).into_iter().collect()
}

fn made(asked: &Asked<'_>, resource: &str) -> Vec<Found> {
    vec![Found { arn: asked.place.arn(SERVICE, resource), tags: Vec::new() }]
}

fn made_balancer(asked: &Asked<'_>) -> Vec<Found> {
    let word = if asked.given("Type") == Some("network") { "net" } else { "app" };
    made(asked, &format!("loadbalancer/{word}/{}/*", asked.text("Name").unwrap_or("*")))
}

fn made_group(asked: &Asked<'_>) -> Vec<Found> {
    made(asked, &format!("targetgroup/{}/*", asked.text("Name").unwrap_or("*")))
}

/// A listener of the balancer, or a rule of the listener, that a member names: the same path, one part more.
fn made_within(asked: &Asked<'_>, member: &str, (outer, own): (&str, &str)) -> Vec<Found> {
    let arn = asked.given(member).unwrap_or_default();
    let arn = arn.replacen(&format!(":{outer}/"), &format!(":{own}/"), 1);
    vec![Found { arn: format!("{arn}/*"), tags: Vec::new() }]
}

/// Nothing unless the request has tags.
fn if_tagged(asked: &Asked<'_>, found: impl FnOnce(&Asked<'_>) -> Vec<Found>) -> Vec<Found> {
    if asked.tags("Tags").is_empty() { Vec::new() } else { found(asked) }
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident $form:literal $find:expr;)*) => {
        $($(#[$doc])* static $name: Resource = Resource { form: $form, find: $find };)*
    };
}

resources! {
    BALANCER "loadbalancer/KIND/NAME/ID" |asked| named(asked, "LoadBalancerArn");
    GROUP "targetgroup/NAME/ID" |asked| named(asked, "TargetGroupArn");
    LISTENER "listener/KIND/NAME/BALANCER/ID" |asked| named(asked, "ListenerArn");
    RULE "listener-rule/KIND/NAME/BALANCER/LISTENER/ID" |asked| named(asked, "RuleArn");
    MADE_BALANCER "loadbalancer/KIND/NAME/*" made_balancer;
    MADE_GROUP "targetgroup/NAME/*" made_group;
    TAGGED_BALANCER "loadbalancer/KIND/NAME/*" |asked| if_tagged(asked, made_balancer);
    TAGGED_GROUP "targetgroup/NAME/*" |asked| if_tagged(asked, made_group);
    TAGGED_LISTENER "listener/KIND/NAME/BALANCER/*" |asked| if_tagged(asked, |asked| {
        made_within(asked, "LoadBalancerArn", ("loadbalancer", "listener"))
    });
    TAGGED_RULE "listener-rule/KIND/NAME/BALANCER/LISTENER/*" |asked| if_tagged(asked, |asked| {
        made_within(asked, "ListenerArn", ("listener", "listener-rule"))
    });
    /// Rules that get priorities.
    RULES "listener-rule/KIND/NAME/BALANCER/LISTENER/ID" |asked| {
        let arns = asked.list("RulePriorities").iter().filter_map(|pair| inner(pair, "RuleArn"));
        arns.map(|arn| found(asked, arn)).collect()
    };
    /// Whatever is tagged.
    ANY "KIND/…" |asked| asked.texts("ResourceArns").into_iter().map(|arn| found(asked, arn)).collect();
}

macro_rules! keys {
    ($($name:ident $key:literal |$asked:ident| $values:expr;)*) => {
        $(static $name: Key = Key { name: $key, set: |$asked, context| set(context, $key, $values) };)*
    };
}

keys! {
    SCHEME "elasticloadbalancing:Scheme" |asked| [asked.given("Scheme").unwrap_or("internet-facing")];
    SECURITY_GROUP "elasticloadbalancing:SecurityGroup" |asked| asked.texts("SecurityGroups");
    SUBNET "elasticloadbalancing:Subnet" |asked| subnets(asked);
    PROTOCOL "elasticloadbalancing:ListenerProtocol" |asked| asked.given("Protocol");
    SECURITY_POLICY "elasticloadbalancing:SecurityPolicy" |asked| asked.given("SslPolicy");
    TAG_KEYS "aws:TagKeys" |asked| asked.texts("TagKeys");
}

fn subnets<'a>(asked: &Asked<'a>) -> Vec<&'a str> {
    let mapped = asked.list("SubnetMappings").iter().filter_map(|mapping: &Value| inner(mapping, "SubnetId"));
    asked.texts("Subnets").into_iter().chain(mapped).collect()
}

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("Tags")) };

/// The operation that makes what is tagged.
static CREATE_ACTION: Key = Key {
    name: "elasticloadbalancing:CreateAction",
    set: |asked, context| {
        if let Value::Structure(structure) = asked.input {
            set(context, "elasticloadbalancing:CreateAction", structure.def.name.strip_suffix("Input"));
        }
    },
};

macro_rules! plain {
    ($operation:literal, $on:expr) => {
        plain!($operation, $on, &[])
    };
    ($operation:literal, $on:expr, $keys:expr) => {
        Access::new($operation, &[Need::new(concat!("elasticloadbalancing:", $operation), $on, $keys)])
    };
}

/// An operation that makes something, and tags it where it is to have tags.
macro_rules! making {
    ($operation:literal, $on:expr, $tagged:expr, $keys:expr) => {
        Access::new(
            $operation,
            &[
                Need::new(concat!("elasticloadbalancing:", $operation), $on, $keys),
                Need::new("elasticloadbalancing:AddTags", $tagged, &[&TAGS, &CREATE_ACTION]),
            ],
        )
    };
}

pub(super) static TABLE: Table = Table {
    service: SERVICE,
    operations: &[
        making!("CreateLoadBalancer", &MADE_BALANCER, &TAGGED_BALANCER, &[&TAGS, &SCHEME, &SECURITY_GROUP, &SUBNET]),
        plain!("DescribeLoadBalancers", &NONE),
        plain!("DeleteLoadBalancer", &BALANCER),
        plain!("DescribeLoadBalancerAttributes", &NONE),
        plain!("ModifyLoadBalancerAttributes", &BALANCER),
        plain!("SetSubnets", &BALANCER, &[&SUBNET]),
        plain!("SetSecurityGroups", &BALANCER, &[&SECURITY_GROUP]),
        plain!("SetIpAddressType", &BALANCER),
        making!("CreateTargetGroup", &MADE_GROUP, &TAGGED_GROUP, &[&TAGS]),
        plain!("DescribeTargetGroups", &NONE),
        plain!("ModifyTargetGroup", &GROUP),
        plain!("DeleteTargetGroup", &GROUP),
        plain!("DescribeTargetGroupAttributes", &NONE),
        plain!("ModifyTargetGroupAttributes", &GROUP),
        plain!("RegisterTargets", &GROUP),
        plain!("DeregisterTargets", &GROUP),
        plain!("DescribeTargetHealth", &NONE),
        making!("CreateListener", &BALANCER, &TAGGED_LISTENER, &[&TAGS, &PROTOCOL, &SECURITY_POLICY]),
        plain!("DescribeListeners", &NONE),
        plain!("ModifyListener", &LISTENER, &[&PROTOCOL, &SECURITY_POLICY]),
        plain!("DeleteListener", &LISTENER),
        plain!("AddListenerCertificates", &LISTENER),
        plain!("RemoveListenerCertificates", &LISTENER),
        plain!("DescribeListenerCertificates", &NONE),
        plain!("DescribeListenerAttributes", &NONE),
        plain!("ModifyListenerAttributes", &LISTENER),
        making!("CreateRule", &LISTENER, &TAGGED_RULE, &[&TAGS]),
        plain!("DescribeRules", &NONE),
        plain!("ModifyRule", &RULE),
        plain!("DeleteRule", &RULE),
        plain!("SetRulePriorities", &RULES),
        plain!("AddTags", &ANY, &[&TAGS]),
        plain!("RemoveTags", &ANY, &[&TAG_KEYS]),
        plain!("DescribeTags", &NONE),
        plain!("DescribeSSLPolicies", &NONE),
        plain!("DescribeAccountLimits", &NONE),
    ],
};
