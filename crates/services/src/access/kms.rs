//! AWS KMS. A key is judged by its ARN, whatever name a request calls it by; a ciphertext, by the key that it names.

use std::sync::Arc;

use longshore_model::kms::EncryptionKey;
use longshore_wire::Value;

use super::asked::{set, set_tags};
use super::{Access, Asked, Found, Key, NONE, Need, Resource, Table};
use crate::kms::{Ciphertext, GRANT_ID, NamedGrant, arn, find};

/// Of a key its ARN and tags.
pub(super) fn found(asked: &Asked<'_>, key: &EncryptionKey) -> Found {
    Found { arn: arn(asked.place, &key.id), tags: key.tags.clone().into_iter().collect() }
}

/// The key that a member names.
fn named(asked: &Asked<'_>, member: &str) -> Vec<Found> {
    let Some(given) = asked.given(member) else { return Vec::new() };
    let known = find(asked.state, asked.place, given).ok();
    let unknown = || Found { arn: arn(asked.place, "*"), tags: Vec::new() };
    vec![known.map_or_else(unknown, |key| found(asked, key))]
}

/// The key that a ciphertext names.
fn of_ciphertext<'a>(asked: &Asked<'a>) -> Option<&'a Arc<EncryptionKey>> {
    let Some(Value::Blob(blob)) = asked.member("CiphertextBlob") else { return None };
    find(asked.state, asked.place, &Ciphertext::parse(&blob.0)?.key()).ok()
}

/// The grant that a request would end.
fn retired(asked: &Asked<'_>) -> Option<NamedGrant> {
    NamedGrant::of(asked.text("GrantToken"), asked.text("KeyId"), asked.text("GrantId")).ok()
}

fn alias(asked: &Asked<'_>) -> Vec<Found> {
    let name = asked.text("AliasName").unwrap_or_default();
    vec![Found { arn: asked.place.arn("kms", name), tags: Vec::new() }]
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident $form:literal $find:expr;)*) => {
        $($(#[$doc])* static $name: Resource = Resource { form: $form, find: $find };)*
    };
}

resources! {
    KEY "key/ID" |asked| named(asked, "KeyId");
    /// The key that decrypts; of what is no ciphertext, the key that the request names.
    KEY_OF_CIPHERTEXT "key/ID" |asked| match of_ciphertext(asked) {
        Some(key) => vec![found(asked, key)],
        None if asked.given("SourceKeyId").is_some() => named(asked, "SourceKeyId"),
        None => named(asked, "KeyId"),
    };
    KEY_OF_GRANT "key/ID" |asked| match retired(asked).and_then(|named| find(asked.state, asked.place, &named.key).ok()) {
        Some(key) => vec![found(asked, key)],
        None => vec![Found { arn: arn(asked.place, "*"), tags: Vec::new() }],
    };
    KEY_OF_DESTINATION "key/ID" |asked| named(asked, "DestinationKeyId");
    KEY_OF_TARGET "key/ID" |asked| named(asked, "TargetKeyId");
    /// The key that an alias stands for now.
    KEY_OF_ALIAS "key/ID" |asked| match find(asked.state, asked.place, asked.text("AliasName").unwrap_or_default()) {
        Ok(key) => vec![found(asked, key)],
        Err(_) => Vec::new(),
    };
    ALIAS "alias/NAME" alias;
    /// The key that is made, if it is to have tags.
    TAGGED_KEY "*" |asked| match asked.list("Tags").is_empty() {
        true => Vec::new(),
        false => vec![Found { arn: "*".to_owned(), tags: Vec::new() }],
    };
}

macro_rules! keys {
    ($($name:ident $key:literal |$asked:ident| $values:expr;)*) => {
        $(static $name: Key = Key { name: $key, set: |$asked, context| set(context, $key, $values) };)*
    };
}

keys! {
    CALLER "kms:CallerAccount" |asked| [asked.place.account.as_str()];
    USAGE "kms:KeyUsage" |asked| [asked.given("KeyUsage").unwrap_or("ENCRYPT_DECRYPT")];
    SPEC "kms:KeySpec" |asked| [asked.given("KeySpec").unwrap_or("SYMMETRIC_DEFAULT")];
    ORIGIN "kms:KeyOrigin" |asked| [asked.given("Origin").unwrap_or("AWS_KMS")];
    REGIONS "kms:MultiRegion" |asked| [asked.flag("MultiRegion").unwrap_or("false")];
    ALGORITHM "kms:EncryptionAlgorithm" |_asked| ["SYMMETRIC_DEFAULT"];
    REQUEST_ALIAS "kms:RequestAlias" |asked| request_alias(asked);
    BYPASS "kms:BypassPolicyLockoutSafetyCheck" |asked| asked.flag("BypassPolicyLockoutSafetyCheck");
    GRANTEE "kms:GranteePrincipal" |asked| asked.given("GranteePrincipal");
    RETIRING "kms:RetiringPrincipal" |asked| asked.given("RetiringPrincipal");
    OPERATIONS "kms:GrantOperations" |asked| asked.texts("Operations");
    TAG_KEYS "aws:TagKeys" |asked| asked.texts("TagKeys");
}

/// The grant that is to end: what a grant says of its own end is about this one alone.
static GRANT: Key = Key {
    name: GRANT_ID,
    set: |asked, context| set(context, GRANT_ID, retired(asked).iter().map(|named| named.grant.as_str())),
};

fn request_alias<'a>(asked: &Asked<'a>) -> Option<&'a str> {
    let given = asked.given("KeyId").or_else(|| asked.given("DestinationKeyId"))?;
    let at = given.find("alias/")?;
    (at == 0 || given.starts_with("arn:")).then(|| &given[at..])
}

macro_rules! numbers {
    ($($name:ident $key:literal $member:literal;)*) => {
        $(static $name: Key = Key {
            name: $key,
            set: |asked, context| {
                if let Some(Value::Integer(number)) = asked.member($member) {
                    context.set($key, [number.to_string()]);
                }
            },
        };)*
    };
}

numbers! {
    WINDOW "kms:ScheduleKeyDeletionPendingWindowInDays" "PendingWindowInDays";
    PERIOD "kms:RotationPeriodInDays" "RotationPeriodInDays";
}

macro_rules! contexts {
    ($($name:ident $member:literal;)*) => {
        $(static $name: Key = Key {
            name: "kms:EncryptionContext:",
            set: |asked, context| {
                let pairs = asked.tags($member);
                for (key, value) in &pairs {
                    context.set(&format!("kms:EncryptionContext:{key}"), [*value]);
                }
                set(context, "kms:EncryptionContextKeys", pairs.iter().map(|(key, _)| *key));
            },
        };)*
    };
}

contexts! {
    CONTEXT "EncryptionContext";
    SOURCE_CONTEXT "SourceEncryptionContext";
    DESTINATION_CONTEXT "DestinationEncryptionContext";
}

static TAGS: Key = Key {
    name: "aws:RequestTag/",
    set: |asked, context| {
        let pair = |tag| Some((super::asked::inner(tag, "TagKey")?, super::asked::inner(tag, "TagValue")?));
        set_tags(context, &asked.list("Tags").iter().filter_map(pair).collect::<Vec<_>>());
    },
};

macro_rules! access {
    ($($name:literal: $($action:literal on $resource:ident [$($key:ident)*]),+;)*) => {
        &[$(Access::new($name, &[$(Need::new(
            concat!("kms:", $action),
            &$resource,
            &[&CALLER, &USAGE, &SPEC, &ORIGIN, &REGIONS, $(&$key),*],
        )),+]),)*]
    };
}

pub(super) static TABLE: Table = Table {
    service: "kms",
    operations: access! {
        "CancelKeyDeletion": "CancelKeyDeletion" on KEY [];
        "CreateAlias": "CreateAlias" on ALIAS [], "CreateAlias" on KEY_OF_TARGET [];
        "CreateGrant": "CreateGrant" on KEY [GRANTEE OPERATIONS RETIRING];
        "CreateKey": "CreateKey" on NONE [TAGS BYPASS], "TagResource" on TAGGED_KEY [TAGS];
        "Decrypt": "Decrypt" on KEY_OF_CIPHERTEXT [CONTEXT ALGORITHM REQUEST_ALIAS];
        "DeleteAlias": "DeleteAlias" on ALIAS [], "DeleteAlias" on KEY_OF_ALIAS [];
        "DescribeKey": "DescribeKey" on KEY [REQUEST_ALIAS];
        "DisableKey": "DisableKey" on KEY [];
        "DisableKeyRotation": "DisableKeyRotation" on KEY [];
        "EnableKey": "EnableKey" on KEY [];
        "EnableKeyRotation": "EnableKeyRotation" on KEY [PERIOD];
        "Encrypt": "Encrypt" on KEY [CONTEXT ALGORITHM REQUEST_ALIAS];
        "GenerateDataKey": "GenerateDataKey" on KEY [CONTEXT ALGORITHM REQUEST_ALIAS];
        "GenerateDataKeyWithoutPlaintext":
            "GenerateDataKeyWithoutPlaintext" on KEY [CONTEXT ALGORITHM REQUEST_ALIAS];
        "GenerateRandom": "GenerateRandom" on NONE [];
        "GetKeyPolicy": "GetKeyPolicy" on KEY [];
        "GetKeyRotationStatus": "GetKeyRotationStatus" on KEY [];
        "ListAliases": "ListAliases" on NONE [];
        "ListGrants": "ListGrants" on KEY [GRANTEE];
        "ListKeyPolicies": "ListKeyPolicies" on KEY [];
        "ListKeyRotations": "ListKeyRotations" on KEY [];
        "ListKeys": "ListKeys" on NONE [];
        "ListResourceTags": "ListResourceTags" on KEY [];
        "ListRetirableGrants": "ListRetirableGrants" on NONE [];
        "PutKeyPolicy": "PutKeyPolicy" on KEY [BYPASS];
        "ReEncrypt":
            "ReEncryptFrom" on KEY_OF_CIPHERTEXT [SOURCE_CONTEXT ALGORITHM],
            "ReEncryptTo" on KEY_OF_DESTINATION [DESTINATION_CONTEXT ALGORITHM REQUEST_ALIAS];
        "RetireGrant": "RetireGrant" on KEY_OF_GRANT [GRANT];
        "RevokeGrant": "RevokeGrant" on KEY [];
        "RotateKeyOnDemand": "RotateKeyOnDemand" on KEY [];
        "ScheduleKeyDeletion": "ScheduleKeyDeletion" on KEY [WINDOW];
        "TagResource": "TagResource" on KEY [TAGS];
        "UntagResource": "UntagResource" on KEY [TAG_KEYS];
        "UpdateAlias":
            "UpdateAlias" on ALIAS [],
            "UpdateAlias" on KEY_OF_ALIAS [],
            "UpdateAlias" on KEY_OF_TARGET [];
        "UpdateKeyDescription": "UpdateKeyDescription" on KEY [];
    },
};
