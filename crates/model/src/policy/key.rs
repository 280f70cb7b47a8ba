//! The condition keys that are known, and of what type each is.
//!
//! Keys of `aws:` and of services that Longshore has are all listed; one that is not is refused when a policy is written,
//! because a condition on a key that nobody ever sets says something else than its author thinks. Of other services
//! (`s3:prefix`) nothing is known: any key, any type.

/// What the values of a key are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyType {
    Text,
    Arn,
    Bool,
    Number,
    Date,
    Address,
    Binary,
    /// A service that Longshore knows nothing of.
    Unknown,
}

/// Services all of whose keys are listed.
const LISTED: &[&str] =
    &["acm", "aws", "ecr", "ecs", "elasticloadbalancing", "iam", "kms", "logs", "secretsmanager", "ssm", "sts"];

use KeyType::{Address, Arn, Bool, Date, Number, Text};

/// In lower case. One that ends in `/` or `:` is the beginning of keys that name a tag or the like.
const KEYS: &[(&str, KeyType)] = &[
    ("acm:certificateauthority", Arn),
    ("acm:certificatetransparencylogging", Text),
    ("acm:domainnames", Text),
    ("acm:export", Text),
    ("acm:keyalgorithm", Text),
    ("acm:validationmethod", Text),
    ("aws:calledvia", Text),
    ("aws:calledviafirst", Text),
    ("aws:calledvialast", Text),
    ("aws:currenttime", Date),
    ("aws:ec2instancesourceprivateipv4", Address),
    ("aws:ec2instancesourcevpc", Text),
    ("aws:epochtime", Date),
    ("aws:federatedprovider", Text),
    ("aws:multifactorauthage", Number),
    ("aws:multifactorauthpresent", Bool),
    ("aws:principalaccount", Text),
    ("aws:principalarn", Arn),
    ("aws:principalisawsservice", Bool),
    ("aws:principalorgid", Text),
    ("aws:principalorgpaths", Text),
    ("aws:principalservicename", Text),
    ("aws:principalservicenameslist", Text),
    ("aws:principaltag/", Text),
    ("aws:principaltype", Text),
    ("aws:referer", Text),
    ("aws:requestedregion", Text),
    ("aws:requesttag/", Text),
    ("aws:resourceaccount", Text),
    ("aws:resourceorgid", Text),
    ("aws:resourceorgpaths", Text),
    ("aws:resourcetag/", Text),
    ("aws:securetransport", Bool),
    ("aws:sourceaccount", Text),
    ("aws:sourcearn", Arn),
    ("aws:sourceidentity", Text),
    ("aws:sourceip", Address),
    ("aws:sourceorgid", Text),
    ("aws:sourceorgpaths", Text),
    ("aws:sourceowner", Text),
    ("aws:sourcevpc", Text),
    ("aws:sourcevpcarn", Arn),
    ("aws:sourcevpce", Text),
    ("aws:ssoinstancearn", Arn),
    ("aws:tagkeys", Text),
    ("aws:tokenissuetime", Date),
    ("aws:useragent", Text),
    ("aws:userid", Text),
    ("aws:username", Text),
    ("aws:viaawsservice", Bool),
    ("aws:vpcsourceip", Address),
    ("ecr:resourcetag/", Text),
    ("ecs:account-setting", Text),
    ("ecs:auto-assign-public-ip", Bool),
    ("ecs:capacity-provider", Arn),
    ("ecs:cluster", Arn),
    ("ecs:compute-compatibility", Text),
    ("ecs:container-instances", Arn),
    ("ecs:container-name", Text),
    ("ecs:createaction", Text),
    ("ecs:enable-ebs-volumes", Text),
    ("ecs:enable-ecs-managed-tags", Text),
    ("ecs:enable-execute-command", Text),
    ("ecs:enable-service-connect", Text),
    ("ecs:enable-vpc-lattice", Text),
    ("ecs:fargate-ephemeral-storage-kms-key", Text),
    ("ecs:instance-metadata-tags-propagation", Bool),
    ("ecs:namespace", Arn),
    ("ecs:privileged", Text),
    ("ecs:propagate-tags", Text),
    ("ecs:resourcetag/", Text),
    ("ecs:service", Arn),
    ("ecs:subnet", Text),
    ("ecs:task", Arn),
    ("ecs:task-cpu", Number),
    ("ecs:task-definition", Arn),
    ("ecs:task-memory", Number),
    ("elasticloadbalancing:createaction", Text),
    ("elasticloadbalancing:listenerprotocol", Text),
    ("elasticloadbalancing:resourcetag/", Text),
    ("elasticloadbalancing:scheme", Text),
    ("elasticloadbalancing:securitygroup", Text),
    ("elasticloadbalancing:securitypolicy", Text),
    ("elasticloadbalancing:subnet", Text),
    ("iam:associatedresourcearn", Arn),
    ("iam:awsservicename", Text),
    ("iam:passedtoservice", Text),
    ("iam:permissionsboundary", Arn),
    ("iam:policyarn", Arn),
    ("iam:resourcetag/", Text),
    ("kms:bypasspolicylockoutsafetycheck", Bool),
    ("kms:calleraccount", Text),
    ("kms:customermasterkeyspec", Text),
    ("kms:encryptionalgorithm", Text),
    ("kms:encryptioncontext:", Text),
    ("kms:encryptioncontextkeys", Text),
    ("kms:grantconstrainttype", Text),
    ("kms:granteeprincipal", Text),
    ("kms:grantisforawsresource", Bool),
    ("kms:grantoperations", Text),
    ("kms:keyorigin", Text),
    ("kms:keyspec", Text),
    ("kms:keyusage", Text),
    ("kms:multiregion", Bool),
    ("kms:requestalias", Text),
    ("kms:resourcealiases", Text),
    ("kms:retiringprincipal", Text),
    ("kms:rotationperiodindays", Number),
    ("kms:schedulekeydeletionpendingwindowindays", Number),
    ("kms:viaservice", Text),
    ("logs:destinationarn", Arn),
    ("logs:loggeneratingresourcearns", Arn),
    ("secretsmanager:addreplicaregions", Text),
    ("secretsmanager:blockpublicpolicy", Bool),
    ("secretsmanager:description", Text),
    ("secretsmanager:forcedeletewithoutrecovery", Bool),
    ("secretsmanager:forceoverwritereplicasecret", Bool),
    ("secretsmanager:kmskeyarn", Arn),
    ("secretsmanager:kmskeyid", Text),
    ("secretsmanager:modifyrotationrules", Bool),
    ("secretsmanager:name", Text),
    ("secretsmanager:recoverywindowindays", Number),
    ("secretsmanager:resource/allowrotationlambdaarn", Arn),
    ("secretsmanager:resourcetag/", Text),
    ("secretsmanager:rotateimmediately", Bool),
    ("secretsmanager:rotationlambdaarn", Arn),
    ("secretsmanager:secretid", Arn),
    ("secretsmanager:secretprimaryregion", Text),
    ("secretsmanager:type", Text),
    ("secretsmanager:versionid", Text),
    ("secretsmanager:versionstage", Text),
    ("ssm:overwrite", Text),
    ("ssm:policies", Text),
    ("ssm:recursive", Text),
    ("ssm:resourcetag/", Text),
    ("ssm:sessiondocumentaccesscheck", Bool),
    ("sts:awsservicename", Text),
    ("sts:externalid", Text),
    ("sts:rolesessionname", Text),
    ("sts:sourceidentity", Text),
    ("sts:transitivetagkeys", Text),
];

/// The type of a condition key, whatever the case of its letters; `None` if there is no such key.
pub fn key_type(name: &str) -> Option<KeyType> {
    let name = name.to_ascii_lowercase();
    let (vendor, rest) = name.split_once(':')?;
    if vendor.is_empty() || rest.is_empty() || name.chars().any(char::is_control) {
        return None;
    }
    if !LISTED.contains(&vendor) {
        return Some(KeyType::Unknown);
    }
    let exact = KEYS.binary_search_by(|(key, _)| (*key).cmp(&name)).ok().map(|index| &KEYS[index]);
    let found = match exact {
        Some((key, _)) if is_beginning(key) => None,
        Some(found) => Some(found),
        None => KEYS.iter().find(|(key, _)| is_beginning(key) && is_named(&name, key)),
    };
    found.map(|(_, kind)| *kind)
}

fn is_beginning(key: &str) -> bool {
    key.ends_with(['/', ':'])
}

fn is_named(name: &str, beginning: &str) -> bool {
    name.strip_prefix(beginning).is_some_and(|tag| (1..=128).contains(&tag.chars().count()))
}

pub(super) fn is_key(name: &str) -> bool {
    key_type(name).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_sorted_and_in_lower_case() {
        assert!(KEYS.is_sorted_by(|one, other| one.0 < other.0));
        assert!(KEYS.iter().all(|(key, _)| key.chars().all(|character| !character.is_ascii_uppercase())));
        assert!(KEYS.iter().all(|(key, _)| LISTED.contains(&key.split(':').next().unwrap_or_default())));
    }

    #[test]
    fn known_keys_have_their_type_and_unknown_ones_of_known_services_have_none() {
        let cases = [
            ("aws:SourceIp", Some(KeyType::Address)),
            ("AWS:SOURCEIP", Some(KeyType::Address)),
            ("aws:ResourceTag/a b", Some(KeyType::Text)),
            ("aws:ResourceTag/", None),
            ("aws:ResourceTag", None),
            ("aws:Nothing", None),
            ("ecs:cluster", Some(KeyType::Arn)),
            ("ecs:clusters", None),
            ("kms:EncryptionContext:app", Some(KeyType::Text)),
            ("s3:prefix", Some(KeyType::Unknown)),
            ("ec2:InstanceType", Some(KeyType::Unknown)),
            ("oidc.example.org/id/1:sub", Some(KeyType::Unknown)),
            ("prefix", None),
            (":x", None),
            ("x:", None),
            ("", None),
            ("s3:\u{7}", None),
        ];
        for (name, wanted) in cases {
            assert_eq!(key_type(name), wanted, "{name}");
        }
    }
}
