//! AWS's own managed policies, and where a policy's ARN leads.
//!
//! Those of AWS are no records: they are the same in every account, and nobody changes them. Only the ones are here that a
//! container platform's guides name; what they allow is AWS's list of actions, in a form of our own.

use std::sync::Arc;

use longshore_model::iam::{ManagedPolicy, key};
use longshore_model::{AccountId, Arn, State};
use longshore_wire::Fault;

use super::fault;

/// One of AWS's.
pub struct AwsPolicy {
    pub path: &'static str,
    pub name: &'static str,
    pub document: &'static str,
}

macro_rules! allow {
    ($path:literal, $name:literal, $($action:literal)+) => {
        AwsPolicy {
            path: $path,
            name: $name,
            document: concat!(
                r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["#,
                allow!(@list $($action)+),
                r#"],"Resource":"*"}]}"#
            ),
        }
    };
    (@list $first:literal $($rest:literal)*) => { concat!("\"", $first, "\"" $(, ",\"", $rest, "\"")*) };
}

/// Sorted by name within a path.
pub static AWS: &[AwsPolicy] = &[
    AwsPolicy {
        path: "/",
        name: "AWSCertificateManagerFullAccess",
        document: concat!(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"acm:*","Resource":"*"},"#,
            r#"{"Effect":"Allow","Action":["iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","#,
            r#""iam:GetServiceLinkedRoleDeletionStatus","iam:GetRole"],"#,
            r#""Resource":"arn:aws:iam::*:role/aws-service-role/acm.amazonaws.com/*"}]}"#
        ),
    },
    allow!("/", "AWSCertificateManagerReadOnly",
        "acm:DescribeCertificate" "acm:ListCertificates" "acm:GetCertificate" "acm:ListTagsForCertificate"
        "acm:GetAccountConfiguration"),
    allow!("/", "AdministratorAccess", "*"),
    allow!("/", "AmazonEC2ContainerRegistryFullAccess", "ecr:*" "cloudtrail:LookupEvents"),
    allow!("/", "AmazonEC2ContainerRegistryPowerUser",
        "ecr:GetAuthorizationToken" "ecr:BatchCheckLayerAvailability" "ecr:GetDownloadUrlForLayer" "ecr:GetRepositoryPolicy"
        "ecr:DescribeRepositories" "ecr:ListImages" "ecr:DescribeImages" "ecr:BatchGetImage" "ecr:GetLifecyclePolicy"
        "ecr:GetLifecyclePolicyPreview" "ecr:ListTagsForResource" "ecr:DescribeImageScanFindings" "ecr:InitiateLayerUpload"
        "ecr:UploadLayerPart" "ecr:CompleteLayerUpload" "ecr:PutImage"),
    allow!("/", "AmazonEC2ContainerRegistryPullOnly",
        "ecr:GetAuthorizationToken" "ecr:BatchImportUpstreamImage" "ecr:BatchGetImage" "ecr:GetDownloadUrlForLayer"),
    allow!("/", "AmazonEC2ContainerRegistryReadOnly",
        "ecr:GetAuthorizationToken" "ecr:BatchCheckLayerAvailability" "ecr:GetDownloadUrlForLayer" "ecr:GetRepositoryPolicy"
        "ecr:DescribeRepositories" "ecr:ListImages" "ecr:DescribeImages" "ecr:BatchGetImage" "ecr:GetLifecyclePolicy"
        "ecr:GetLifecyclePolicyPreview" "ecr:ListTagsForResource" "ecr:DescribeImageScanFindings"),
    allow!("/", "AmazonEC2FullAccess", "ec2:*" "elasticloadbalancing:*" "cloudwatch:*" "autoscaling:*"),
    AwsPolicy {
        path: "/",
        name: "AmazonECS_FullAccess",
        document: concat!(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecs:*","application-autoscaling:*","#,
            r#""appmesh:Describe*","appmesh:List*","autoscaling:*","cloudformation:*Stack*","cloudwatch:*Alarm*","#,
            r#""cloudwatch:GetMetricStatistics","codedeploy:*","ec2:*","elasticloadbalancing:*","events:*Rule*","events:*Targets*","#,
            r#""fsx:DescribeFileSystems","iam:ListAttachedRolePolicies","iam:ListInstanceProfiles","iam:ListRoles","#,
            r#""lambda:ListFunctions","logs:*","route53:*HostedZone*","servicediscovery:*","sns:ListTopics","#,
            r#""elasticfilesystem:Describe*"],"Resource":"*"},"#,
            r#"{"Effect":"Allow","Action":["ssm:GetParameter","ssm:GetParameters","ssm:GetParametersByPath"],"#,
            r#""Resource":"arn:aws:ssm:*:*:parameter/aws/service/ecs*"},"#,
            r#"{"Effect":"Allow","Action":"iam:PassRole","Resource":"*","#,
            r#""Condition":{"StringLike":{"iam:PassedToService":"ecs-tasks.amazonaws.com"}}},"#,
            r#"{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::*:role/ecsInstanceRole*","#,
            r#""Condition":{"StringLike":{"iam:PassedToService":"ec2.amazonaws.com"}}},"#,
            r#"{"Effect":"Allow","Action":"iam:PassRole","Resource":"arn:aws:iam::*:role/ecsAutoscaleRole*","#,
            r#""Condition":{"StringLike":{"iam:PassedToService":"application-autoscaling.amazonaws.com"}}},"#,
            r#"{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*","#,
            r#""Condition":{"StringLike":{"iam:AWSServiceName":["ecs.amazonaws.com","autoscaling.amazonaws.com","#,
            r#""ecs.application-autoscaling.amazonaws.com"]}}}]}"#
        ),
    },
    allow!("/", "AmazonSSMReadOnlyAccess", "ssm:Describe*" "ssm:Get*" "ssm:List*"),
    allow!("/", "CloudWatchFullAccess", "autoscaling:Describe*" "cloudwatch:*" "logs:*" "sns:*" "iam:GetPolicy" "iam:GetPolicyVersion" "iam:GetRole"),
    allow!("/", "CloudWatchLogsFullAccess", "logs:*" "cloudwatch:GenerateQuery"),
    allow!("/", "CloudWatchLogsReadOnlyAccess", "logs:Describe*" "logs:Get*" "logs:List*" "logs:StartQuery" "logs:StopQuery" "logs:TestMetricFilter" "logs:FilterLogEvents" "logs:StartLiveTail" "logs:StopLiveTail"),
    AwsPolicy {
        path: "/",
        name: "ElasticLoadBalancingFullAccess",
        document: concat!(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["elasticloadbalancing:*","#,
            r#""ec2:Describe*","ec2:GetCoipPoolUsage","ec2:GetSecurityGroupsForVpc","#,
            r#""cognito-idp:DescribeUserPoolClient","arc-zonal-shift:*"],"Resource":"*"},"#,
            r#"{"Effect":"Allow","Action":"iam:CreateServiceLinkedRole","Resource":"*","#,
            r#""Condition":{"StringEquals":{"iam:AWSServiceName":"elasticloadbalancing.amazonaws.com"}}}]}"#
        ),
    },
    allow!("/", "ElasticLoadBalancingReadOnly",
        "elasticloadbalancing:Describe*" "elasticloadbalancing:Get*" "ec2:DescribeInstances"
        "ec2:DescribeClassicLinkInstances" "ec2:DescribeSecurityGroups" "ec2:GetSecurityGroupsForVpc"
        "arc-zonal-shift:GetManagedResource" "arc-zonal-shift:ListManagedResources" "arc-zonal-shift:ListZonalShifts"),
    allow!("/", "IAMFullAccess", "iam:*"),
    allow!("/", "IAMReadOnlyAccess", "iam:Get*" "iam:List*" "iam:Simulate*" "iam:GenerateCredentialReport" "iam:GenerateServiceLastAccessedDetails"),
    AwsPolicy {
        path: "/",
        name: "PowerUserAccess",
        document: concat!(
            r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","NotAction":["iam:*","organizations:*","account:*"],"#,
            r#""Resource":"*"},{"Effect":"Allow","Action":["iam:CreateServiceLinkedRole","iam:DeleteServiceLinkedRole","#,
            r#""iam:ListRoles"],"Resource":"*"}]}"#
        ),
    },
    allow!("/", "SecretsManagerReadWrite", "secretsmanager:*" "kms:DescribeKey" "kms:ListAliases" "kms:ListKeys" "tag:GetResources"),
    allow!("/aws-service-role/", "AWSApplicationAutoscalingECSServicePolicy",
        "ecs:DescribeServices" "ecs:UpdateService" "cloudwatch:PutMetricAlarm" "cloudwatch:DescribeAlarms" "cloudwatch:DeleteAlarms"),
    allow!("/aws-service-role/", "AWSElasticLoadBalancingServiceRolePolicy", "ec2:*" "logs:*"),
    allow!("/aws-service-role/", "AmazonECSServiceRolePolicy",
        "ec2:*" "elasticloadbalancing:*" "servicediscovery:*" "autoscaling:*" "cloudwatch:*Alarm*" "events:*" "logs:*" "ecs:*"),
    allow!("/aws-service-role/", "AutoScalingServiceRolePolicy", "ec2:*" "elasticloadbalancing:*" "cloudwatch:*Alarm*" "sns:Publish"),
    allow!("/service-role/", "AmazonEC2ContainerServiceAutoscaleRole",
        "ecs:DescribeServices" "ecs:UpdateService" "cloudwatch:DescribeAlarms" "cloudwatch:PutMetricAlarm"),
    allow!("/service-role/", "AmazonEC2ContainerServiceEventsRole", "ecs:RunTask" "ecs:TagResource"),
    allow!("/service-role/", "AmazonEC2ContainerServiceRole",
        "ec2:AuthorizeSecurityGroupIngress" "ec2:Describe*" "elasticloadbalancing:DeregisterInstancesFromLoadBalancer"
        "elasticloadbalancing:DeregisterTargets" "elasticloadbalancing:Describe*"
        "elasticloadbalancing:RegisterInstancesWithLoadBalancer" "elasticloadbalancing:RegisterTargets"),
    allow!("/service-role/", "AmazonEC2ContainerServiceforEC2Role",
        "ec2:DescribeTags" "ecs:CreateCluster" "ecs:DeregisterContainerInstance" "ecs:DiscoverPollEndpoint" "ecs:Poll"
        "ecs:RegisterContainerInstance" "ecs:StartTelemetrySession" "ecs:UpdateContainerInstancesState" "ecs:Submit*"
        "ecs:TagResource" "ecr:GetAuthorizationToken" "ecr:BatchCheckLayerAvailability" "ecr:GetDownloadUrlForLayer"
        "ecr:BatchGetImage" "logs:CreateLogStream" "logs:PutLogEvents"),
    allow!("/service-role/", "AmazonECSTaskExecutionRolePolicy",
        "ecr:GetAuthorizationToken" "ecr:BatchCheckLayerAvailability" "ecr:GetDownloadUrlForLayer" "ecr:BatchGetImage"
        "logs:CreateLogStream" "logs:PutLogEvents"),
];

impl AwsPolicy {
    pub fn arn(&self) -> String {
        format!("arn:aws:iam::aws:policy{}{}", self.path, self.name)
    }
}

/// The one of AWS's that has this ARN.
pub fn find(arn: &str) -> Option<&'static AwsPolicy> {
    let rest = arn.strip_prefix("arn:aws:iam::aws:policy")?;
    AWS.iter().find(|policy| rest.strip_prefix(policy.path) == Some(policy.name))
}

/// The customer's one that has this ARN, in the account that the ARN names.
pub fn of_account<'a>(state: &'a State, account: &AccountId, arn: &str) -> Option<&'a ManagedPolicy> {
    record(state, account, arn).map(AsRef::as_ref)
}

/// As [`of_account`]: the shared record, which is another one as soon as anything of it has changed.
pub fn record<'a>(state: &'a State, account: &AccountId, arn: &str) -> Option<&'a Arc<ManagedPolicy>> {
    let parsed = Arn::parse(arn).filter(|parsed| parsed.account == account.as_str())?;
    let found = state.managed_policies.get(&key(account, parsed.resource.rsplit('/').next()?))?;
    (found.arn() == arn).then_some(found)
}

/// The document in force of the managed policy with this ARN.
///
/// # Errors
/// `NoSuchEntity`
pub fn document<'a>(state: &'a State, account: &AccountId, arn: &str) -> Result<&'a str, Fault> {
    let own = || of_account(state, account, arn).and_then(ManagedPolicy::document);
    let found = find(arn).map(|policy| policy.document).or_else(own);
    found.ok_or_else(|| fault::absent(format!("Policy {arn} does not exist or is not attachable.")))
}

/// # Errors
/// `PolicyNotAttachable` for one that only a service-linked role has.
pub fn check_attachable(arn: &str) -> Result<(), Fault> {
    let linked = find(arn).is_some_and(|policy| policy.path == super::linked::PATH);
    match linked {
        true => Err(Fault::new(
            &longshore_api::iam::fault::POLICY_NOT_ATTACHABLE_EXCEPTION,
            "Cannot attach a Service Role Policy to a Customer Role.",
        )),
        false => Ok(()),
    }
}

/// The ARN of a service-linked role's policy.
pub fn service_role_arn(name: &str) -> String {
    format!("arn:aws:iam::aws:policy{}{name}", super::linked::PATH)
}

/// The name in a policy's ARN.
pub fn name(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

/// The path in a policy's ARN.
pub fn path(arn: &str) -> &str {
    let resource = Arn::parse(arn).map_or("", |arn| arn.resource);
    let rest = resource.strip_prefix("policy").unwrap_or_default();
    rest.strip_suffix(name(arn)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use longshore_model::policy::{Kind, Policy};

    #[test]
    fn every_policy_of_awss_reads_and_is_found_by_its_arn() {
        for policy in AWS {
            let arn = policy.arn();
            Policy::parse(Kind::Identity, policy.document).unwrap_or_else(|malformed| panic!("{arn}: {malformed}"));
            assert_eq!(find(&arn).map(|found| found.name), Some(policy.name));
            assert_eq!((path(&arn), name(&arn)), (policy.path, policy.name));
        }
        for named in [
            "AWSCertificateManagerFullAccess",
            "AWSCertificateManagerReadOnly",
            "AdministratorAccess",
            "AmazonECS_FullAccess",
            "AmazonEC2ContainerRegistryFullAccess",
            "AmazonEC2ContainerRegistryPowerUser",
            "AmazonEC2ContainerRegistryPullOnly",
            "AmazonEC2ContainerRegistryReadOnly",
            "CloudWatchLogsFullAccess",
            "ElasticLoadBalancingFullAccess",
            "ElasticLoadBalancingReadOnly",
            "service-role/AmazonEC2ContainerServiceforEC2Role",
            "service-role/AmazonECSTaskExecutionRolePolicy",
        ] {
            assert!(find(&format!("arn:aws:iam::aws:policy/{named}")).is_some(), "{named}");
        }
        assert!(find("arn:aws:iam::aws:policy/AmazonECSTaskExecutionRolePolicy").is_none());
        assert!(find("arn:aws:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy").is_some());
    }
}
