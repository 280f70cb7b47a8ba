//! The faults Elastic Load Balancing answers with.

use longshore_api::elasticloadbalancing::fault as def;
use longshore_wire::Fault;

use crate::fault::faults;
pub use crate::fault::not_built;

/// `ValidationError`
pub fn invalid(message: impl Into<String>) -> Fault {
    Fault::common("ValidationError", 400, message)
}

/// `UnsupportedCertificate`, which the model does not name.
pub fn unsupported_certificate(arn: &str) -> Fault {
    let message = format!(
        "The certificate '{arn}' must have a fully-qualified domain name, a supported signature, and a supported key size."
    );
    Fault::common("UnsupportedCertificate", 400, message)
}

faults! {
    configuration INVALID_CONFIGURATION_REQUEST_EXCEPTION "InvalidConfigurationRequest";
    balancer_not_found LOAD_BALANCER_NOT_FOUND_EXCEPTION "LoadBalancerNotFound";
    group_not_found TARGET_GROUP_NOT_FOUND_EXCEPTION "TargetGroupNotFound";
    listener_not_found LISTENER_NOT_FOUND_EXCEPTION "ListenerNotFound";
    rule_not_found RULE_NOT_FOUND_EXCEPTION "RuleNotFound";
    duplicate_balancer DUPLICATE_LOAD_BALANCER_NAME_EXCEPTION "DuplicateLoadBalancerName";
    duplicate_group DUPLICATE_TARGET_GROUP_NAME_EXCEPTION "DuplicateTargetGroupName";
    duplicate_listener DUPLICATE_LISTENER_EXCEPTION "DuplicateListener";
    duplicate_tags DUPLICATE_TAG_KEYS_EXCEPTION "DuplicateTagKeys";
    too_many_balancers TOO_MANY_LOAD_BALANCERS_EXCEPTION "TooManyLoadBalancers";
    too_many_groups TOO_MANY_TARGET_GROUPS_EXCEPTION "TooManyTargetGroups";
    too_many_unique_groups TOO_MANY_UNIQUE_TARGET_GROUPS_PER_LOAD_BALANCER_EXCEPTION "TooManyUniqueTargetGroupsPerLoadBalancer";
    too_many_listeners TOO_MANY_LISTENERS_EXCEPTION "TooManyListeners";
    too_many_rules TOO_MANY_RULES_EXCEPTION "TooManyRules";
    too_many_targets TOO_MANY_TARGETS_EXCEPTION "TooManyTargets";
    too_many_actions TOO_MANY_ACTIONS_EXCEPTION "TooManyActions";
    too_many_tags TOO_MANY_TAGS_EXCEPTION "TooManyTags";
    certificate_not_found CERTIFICATE_NOT_FOUND_EXCEPTION "CertificateNotFound";
    too_many_certificates TOO_MANY_CERTIFICATES_EXCEPTION "TooManyCertificates";
    alpn ALPN_POLICY_NOT_SUPPORTED_EXCEPTION "ALPNPolicyNotFound";
    policy_not_found SSL_POLICY_NOT_FOUND_EXCEPTION "SSLPolicyNotFound";
    subnet_not_found SUBNET_NOT_FOUND_EXCEPTION "SubnetNotFound";
    subnet INVALID_SUBNET_EXCEPTION "InvalidSubnet";
    security_group INVALID_SECURITY_GROUP_EXCEPTION "InvalidSecurityGroup";
    allocation_not_found ALLOCATION_ID_NOT_FOUND_EXCEPTION "AllocationIdNotFound";
    not_permitted OPERATION_NOT_PERMITTED_EXCEPTION "OperationNotPermitted";
    in_use RESOURCE_IN_USE_EXCEPTION "ResourceInUse";
    association TARGET_GROUP_ASSOCIATION_LIMIT_EXCEPTION "TargetGroupAssociationLimit";
    incompatible INCOMPATIBLE_PROTOCOLS_EXCEPTION "IncompatibleProtocols";
    protocol UNSUPPORTED_PROTOCOL_EXCEPTION "UnsupportedProtocol";
    action INVALID_LOAD_BALANCER_ACTION_EXCEPTION "InvalidLoadBalancerAction";
    priority PRIORITY_IN_USE_EXCEPTION "PriorityInUse";
    target INVALID_TARGET_EXCEPTION "InvalidTarget";
}
