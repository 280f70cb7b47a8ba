//! CloudTrail's `resources`: what a call is about.

use longshore_model::Arn;
use longshore_wire::Writer as _;
use longshore_wire::json::JsonWriter;

use super::identity::pair;

/// What the resources of a service are called: the beginning of the resource's part of the ARN, and the type.
const TYPES: &[(&str, &str, &str)] = &[
    ("acm", "certificate/", "AWS::CertificateManager::Certificate"),
    ("cloudtrail", "trail/", "AWS::CloudTrail::Trail"),
    ("ec2", "network-interface/", "AWS::EC2::NetworkInterface"),
    ("ec2", "security-group/", "AWS::EC2::SecurityGroup"),
    ("ec2", "subnet/", "AWS::EC2::Subnet"),
    ("ec2", "vpc/", "AWS::EC2::VPC"),
    ("ecs", "capacity-provider/", "AWS::ECS::CapacityProvider"),
    ("ecs", "cluster/", "AWS::ECS::Cluster"),
    ("ecs", "container-instance/", "AWS::ECS::ContainerInstance"),
    ("ecs", "service/", "AWS::ECS::Service"),
    ("ecs", "task-definition/", "AWS::ECS::TaskDefinition"),
    ("ecs", "task/", "AWS::ECS::Task"),
    ("elasticloadbalancing", "listener-rule/", "AWS::ElasticLoadBalancingV2::ListenerRule"),
    ("elasticloadbalancing", "listener/", "AWS::ElasticLoadBalancingV2::Listener"),
    ("elasticloadbalancing", "loadbalancer/", "AWS::ElasticLoadBalancingV2::LoadBalancer"),
    ("elasticloadbalancing", "targetgroup/", "AWS::ElasticLoadBalancingV2::TargetGroup"),
    ("iam", "group/", "AWS::IAM::Group"),
    ("iam", "instance-profile/", "AWS::IAM::InstanceProfile"),
    ("iam", "policy/", "AWS::IAM::Policy"),
    ("iam", "role/", "AWS::IAM::Role"),
    ("iam", "user/", "AWS::IAM::User"),
    ("kms", "alias/", "AWS::KMS::Alias"),
    ("kms", "key/", "AWS::KMS::Key"),
    ("logs", "log-group:", "AWS::Logs::LogGroup"),
    ("secretsmanager", "secret:", "AWS::SecretsManager::Secret"),
    ("ssm", "parameter/", "AWS::SSM::Parameter"),
];

/// The CloudFormation type of an ARN's resource, where there is one.
pub fn kind(arn: &str) -> Option<&'static str> {
    let arn = Arn::parse(arn)?;
    let found = TYPES.iter().find(|(service, prefix, _)| arn.service == *service && arn.resource.starts_with(prefix));
    found.map(|(_, _, kind)| *kind)
}

/// Writes one element of `resources`.
pub fn write(to: &mut JsonWriter, arn: &str) {
    to.map(0);
    if let Some(account) = Arn::parse(arn).map(|arn| arn.account).filter(|account| !account.is_empty()) {
        pair(to, "accountId", account);
    }
    if let Some(kind) = kind(arn) {
        pair(to, "type", kind);
    }
    pair(to, "ARN", arn);
    to.end();
}

/// Whether somebody who looks for `wanted` means the resource of this ARN: the ARN itself, or its last part, its name.
pub fn is_called(arn: &str, wanted: &str) -> bool {
    let resource = Arn::parse(arn).map_or(arn, |arn| arn.resource);
    let name = resource.split_once(['/', ':']).map_or(resource, |(_, name)| name);
    arn == wanted || name == wanted || resource.rsplit('/').next() == Some(wanted)
}
