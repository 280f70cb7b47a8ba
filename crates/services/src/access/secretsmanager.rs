//! AWS Secrets Manager. A secret is judged by its whole ARN, whatever name a request calls it by; one that is not there, or
//! is yet to be made, as if its ARN ended in `-??????`. A secret under a customer's key needs that key as well, through this
//! service; the AWS managed key needs nothing.

use longshore_model::secret::Secret;
use longshore_plan::rotate;
use longshore_wire::Value;

use super::asked::{set, set_tags};
use super::ecs::key::PASSED_TO_TASKS;
use super::ecs::resource::{found as ecs_found, roles_of, runnable_definition};
use super::{Access, Asked, Found, Key, NONE, Need, Resource, Table, kms};
use crate::kms::{Ciphertext, find as find_key};
use crate::secretsmanager::{NAME, current, find};

fn secret<'a>(asked: &Asked<'a>) -> Option<&'a Secret> {
    find(asked.state, asked.place, asked.text("SecretId")?).map(AsRef::as_ref)
}

fn unknown(asked: &Asked<'_>, name: &str) -> String {
    match name.starts_with("arn:") {
        true => name.to_owned(),
        false => asked.place.arn(NAME, &format!("secret:{name}-??????")),
    }
}

fn arn(asked: &Asked<'_>) -> String {
    let name = || asked.given("SecretId").or_else(|| asked.given("Name")).unwrap_or_default();
    secret(asked).map_or_else(|| unknown(asked, name()), |secret| secret.arn(asked.place))
}

fn found(asked: &Asked<'_>) -> Vec<Found> {
    let tags = secret(asked).map(|secret| secret.tags.clone().into_iter().collect()).unwrap_or_default();
    vec![Found { arn: arn(asked), tags }]
}

/// A customer's key by a name that it has.
fn key(asked: &Asked<'_>, given: Option<&str>) -> Vec<Found> {
    let found = given.and_then(|given| find_key(asked.state, asked.place, given).ok());
    found.filter(|key| key.service.is_none()).map(|key| kms::found(asked, key)).into_iter().collect()
}

/// The key that the value which a request reads is under.
fn key_of_version(asked: &Asked<'_>) -> Vec<Found> {
    let version = secret(asked)
        .and_then(|secret| current(asked.state, secret, asked.given("VersionId"), asked.given("VersionStage")));
    let blob = version.and_then(|version| Ciphertext::parse(&version.sealed.0));
    key(asked, blob.map(|blob| blob.key()).as_deref())
}

/// The key that the value which a request writes will be under.
fn key_to_be(asked: &Asked<'_>) -> Vec<Found> {
    let given = asked.given("KmsKeyId");
    key(asked, given.or_else(|| secret(asked).and_then(|secret| secret.kms_key.as_deref())))
}

/// As [`key_to_be`], of a request that writes a value or encrypts it anew.
fn key_of_update(asked: &Asked<'_>) -> Vec<Found> {
    let writes = ["KmsKeyId", "SecretString", "SecretBinary"].iter().any(|member| asked.member(member).is_some());
    if writes { key_to_be(asked) } else { Vec::new() }
}

/// What is to rotate the secret: what the request names, else what the secret knows.
fn function<'a>(asked: &Asked<'a>) -> Option<&'a str> {
    let known = || secret(asked)?.rotation.as_ref().map(|rotation| rotation.function.as_str());
    asked.given("RotationLambdaARN").or_else(known)
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident $form:literal $find:expr;)*) => {
        $($(#[$doc])* static $name: Resource = Resource { form: $form, find: $find };)*
    };
}

resources! {
    SECRET "secret:NAME-SUFFIX" found;
    /// The secret, if there is one to be told apart from a policy alone.
    SECRET_GIVEN "secret:NAME-SUFFIX" |asked| match asked.given("SecretId") {
        Some(_) => found(asked),
        None => Vec::new(),
    };
    SECRET_NEW "secret:NAME-??????" found;
    TAGGED_SECRET "secret:NAME-??????" |asked| match asked.list("Tags").is_empty() {
        true => Vec::new(),
        false => found(asked),
    };
    /// The task definition that rotates the secret, and the roles that its tasks have.
    FUNCTION "task-definition/FAMILY:REVISION" |asked| {
        function(asked).map(|given| ecs_found(asked, runnable_definition(asked, given))).into_iter().collect()
    };
    ROLES_OF_FUNCTION "role/PATH/ROLE" |asked| {
        function(asked).map(|given| roles_of(asked, given)).into_iter().flatten().map(|arn| ecs_found(asked, arn)).collect()
    };
    KEY_OF_VERSION "key/ID" key_of_version;
    KEY_TO_BE "key/ID" key_to_be;
    KEY_OF_UPDATE "key/ID" key_of_update;
    /// The key that a value is under which is encrypted anew.
    KEY_THAT_WAS "key/ID" |asked| match asked.given("KmsKeyId") {
        Some(_) => key_of_version(asked),
        None => Vec::new(),
    };
}

macro_rules! keys {
    ($($name:ident $key:literal |$asked:ident| $values:expr;)*) => {
        $(static $name: Key = Key { name: $key, set: |$asked, context| set(context, $key, $values) };)*
    };
}

keys! {
    VERSION_ID "secretsmanager:VersionId" |asked| asked.given("VersionId");
    VERSION_STAGE "secretsmanager:VersionStage" |asked| asked.given("VersionStage");
    DESCRIPTION "secretsmanager:Description" |asked| asked.given("Description");
    KMS_KEY "secretsmanager:KmsKeyId" |asked| asked.given("KmsKeyId");
    FORCE "secretsmanager:ForceDeleteWithoutRecovery" |asked| asked.flag("ForceDeleteWithoutRecovery");
    BLOCK "secretsmanager:BlockPublicPolicy" |asked| asked.flag("BlockPublicPolicy");
    ROTATION_FUNCTION "secretsmanager:RotationLambdaARN" |asked| asked.given("RotationLambdaARN");
    ROTATE_IMMEDIATELY "secretsmanager:RotateImmediately" |asked| asked.flag("RotateImmediately");
    ROTATION_RULES "secretsmanager:ModifyRotationRules" |asked| {
        asked.member("RotationRules").map(|_| "true").or(Some("false"))
    };
    TAG_KEYS "aws:TagKeys" |asked| asked.texts("TagKeys");
    CALLER "kms:CallerAccount" |asked| [asked.place.account.as_str()];
}

static SECRET_ID: Key = Key {
    name: "secretsmanager:SecretId",
    set: |asked, context| {
        if asked.given("SecretId").is_some() {
            context.set("secretsmanager:SecretId", [arn(asked)]);
        }
    },
};

static SECRET_NAME: Key = Key {
    name: "secretsmanager:Name",
    set: |asked, context| {
        let known = secret(asked).map(|secret| secret.name.as_str());
        set(context, "secretsmanager:Name", known.or_else(|| asked.given("Name")));
    },
};

static WINDOW: Key = Key {
    name: "secretsmanager:RecoveryWindowInDays",
    set: |asked, context| {
        if let Some(Value::Integer(days)) = asked.member("RecoveryWindowInDays") {
            context.set("secretsmanager:RecoveryWindowInDays", [days.to_string()]);
        }
    },
};

/// Where tasks that rotate run.
static CLUSTER_OF_TASKS: Key = Key {
    name: "ecs:cluster",
    set: |asked, context| context.set("ecs:cluster", [asked.place.cluster(rotate::CLUSTER)]),
};

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("Tags")) };

/// A key is used through this service, for this secret.
static VIA: Key = Key {
    name: "kms:ViaService",
    set: |asked, context| {
        context.set("kms:ViaService", [format!("{NAME}.{}.amazonaws.com", asked.place.region)]);
        if let Some(secret) = secret(asked) {
            context.set("kms:EncryptionContext:SecretARN", [secret.arn(asked.place)]);
        }
    },
};

macro_rules! access {
    ($($name:literal: $($action:literal on $resource:ident [$($key:ident)*]),+;)*) => {
        &[$(Access::new($name, &[$(Need::new($action, &$resource, &[$(&$key),*])),+]),)*]
    };
}

pub(super) static TABLE: Table = Table {
    service: NAME,
    operations: access! {
        "BatchGetSecretValue": "secretsmanager:BatchGetSecretValue" on NONE [];
        "CancelRotateSecret": "secretsmanager:CancelRotateSecret" on SECRET [SECRET_ID SECRET_NAME];
        "CreateSecret":
            "secretsmanager:CreateSecret" on SECRET_NEW [SECRET_NAME DESCRIPTION KMS_KEY TAGS],
            "secretsmanager:TagResource" on TAGGED_SECRET [TAGS],
            "kms:GenerateDataKey" on KEY_TO_BE [VIA CALLER],
            "kms:Decrypt" on KEY_TO_BE [VIA CALLER];
        "DeleteResourcePolicy": "secretsmanager:DeleteResourcePolicy" on SECRET [SECRET_ID SECRET_NAME];
        "DeleteSecret": "secretsmanager:DeleteSecret" on SECRET [SECRET_ID SECRET_NAME WINDOW FORCE];
        "DescribeSecret": "secretsmanager:DescribeSecret" on SECRET [SECRET_ID SECRET_NAME];
        "GetRandomPassword": "secretsmanager:GetRandomPassword" on NONE [];
        "GetResourcePolicy": "secretsmanager:GetResourcePolicy" on SECRET [SECRET_ID SECRET_NAME];
        "GetSecretValue":
            "secretsmanager:GetSecretValue" on SECRET [SECRET_ID SECRET_NAME VERSION_ID VERSION_STAGE],
            "kms:Decrypt" on KEY_OF_VERSION [VIA CALLER];
        "ListSecretVersionIds": "secretsmanager:ListSecretVersionIds" on SECRET [SECRET_ID SECRET_NAME];
        "ListSecrets": "secretsmanager:ListSecrets" on NONE [];
        "PutResourcePolicy": "secretsmanager:PutResourcePolicy" on SECRET [SECRET_ID SECRET_NAME BLOCK];
        "PutSecretValue":
            "secretsmanager:PutSecretValue" on SECRET [SECRET_ID SECRET_NAME],
            "kms:GenerateDataKey" on KEY_TO_BE [VIA CALLER],
            "kms:Decrypt" on KEY_TO_BE [VIA CALLER];
        "RestoreSecret": "secretsmanager:RestoreSecret" on SECRET [SECRET_ID SECRET_NAME];
        "RotateSecret":
            "secretsmanager:RotateSecret" on SECRET [
                SECRET_ID SECRET_NAME ROTATION_FUNCTION ROTATION_RULES ROTATE_IMMEDIATELY
            ],
            "ecs:RunTask" on FUNCTION [CLUSTER_OF_TASKS],
            "iam:PassRole" on ROLES_OF_FUNCTION [PASSED_TO_TASKS];
        "TagResource": "secretsmanager:TagResource" on SECRET [SECRET_ID SECRET_NAME TAGS];
        "UntagResource": "secretsmanager:UntagResource" on SECRET [SECRET_ID SECRET_NAME TAG_KEYS];
        "UpdateSecret":
            "secretsmanager:UpdateSecret" on SECRET [SECRET_ID SECRET_NAME DESCRIPTION KMS_KEY],
            "kms:GenerateDataKey" on KEY_OF_UPDATE [VIA CALLER],
            "kms:Decrypt" on KEY_OF_UPDATE [VIA CALLER],
            "kms:Decrypt" on KEY_THAT_WAS [VIA CALLER];
        "UpdateSecretVersionStage":
            "secretsmanager:UpdateSecretVersionStage" on SECRET [SECRET_ID SECRET_NAME VERSION_STAGE];
        "ValidateResourcePolicy": "secretsmanager:ValidateResourcePolicy" on SECRET_GIVEN [SECRET_ID SECRET_NAME];
    },
};
