//! Amazon ECR. A repository is judged by its ARN in the account whose registry is named, there or not; what its own policy says
//! counts as well, and so a caller of another account may be let in. Requests under `/v2/` are judged as the operations that
//! they amount to.

use longshore_model::{AccountId, Place, registry};

use super::asked::{set, set_tags};
use super::{Access, Asked, Found, Key, NONE, Need, Resource, Table, kms};
use crate::kms::find as find_key;

/// Region, and the account whose registry is meant.
fn place(asked: &Asked<'_>) -> Place {
    let named = asked.given("registryId").and_then(AccountId::parse);
    Place::new(&asked.place.region, named.as_ref().unwrap_or(&asked.place.account))
}

fn by_name(asked: &Asked<'_>, name: &str) -> Found {
    let place = place(asked);
    let known = asked.state.repository(place.account.as_str(), name);
    let tags = known.map(|known| known.tags.clone().into_iter().collect()).unwrap_or_default();
    Found { arn: place.arn("ecr", &format!("repository/{name}")), tags }
}

fn named(asked: &Asked<'_>) -> Vec<Found> {
    vec![by_name(asked, asked.text("repositoryName").unwrap_or_default())]
}

/// Those that are named; all, if none is.
fn all_named(asked: &Asked<'_>) -> Vec<Found> {
    let names = asked.texts("repositoryNames");
    match names.is_empty() {
        true => vec![by_name(asked, "*")],
        false => names.into_iter().map(|name| by_name(asked, name)).collect(),
    }
}

fn by_arn(asked: &Asked<'_>) -> Vec<Found> {
    let arn = asked.text("resourceArn").unwrap_or_default();
    let known = registry::key_of(arn).and_then(|key| asked.state.repositories.get(&key));
    let Some(known) = known else { return vec![Found { arn: arn.to_owned(), tags: Vec::new() }] };
    // What is judged is what is found, however it was named.
    let account = AccountId::parse(&known.account).unwrap_or_else(|| asked.place.account.clone());
    let arn = known.arn(&Place::new(&asked.place.region, &account));
    vec![Found { arn, tags: known.tags.clone().into_iter().collect() }]
}

/// The customer's key that a repository is to be encrypted with.
fn key(asked: &Asked<'_>) -> Vec<Found> {
    let given = asked.given("encryptionConfiguration.kmsKey");
    let found = given.and_then(|given| find_key(asked.state, asked.place, given).ok());
    found.filter(|key| key.service.is_none()).map(|key| kms::found(asked, key)).into_iter().collect()
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident $form:literal $find:expr;)*) => {
        $($(#[$doc])* static $name: Resource = Resource { form: $form, find: $find };)*
    };
}

resources! {
    REPOSITORY "repository/NAME" named;
    REPOSITORIES "repository/NAME" all_named;
    TAGGED "repository/NAME" by_arn;
    /// One that is made with tags.
    TAGGED_NEW "repository/NAME" |asked| match asked.list("tags").is_empty() {
        true => Vec::new(),
        false => named(asked),
    };
    KEY "key/ID" key;
}

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("tags")) };

static TAG_KEYS: Key =
    Key { name: "aws:TagKeys", set: |asked, context| set(context, "aws:TagKeys", asked.texts("tagKeys")) };

/// A key is used through this service.
static VIA: Key = Key {
    name: "kms:ViaService",
    set: |asked, context| context.set("kms:ViaService", [format!("ecr.{}.amazonaws.com", asked.place.region)]),
};

static CALLER: Key = Key {
    name: "kms:CallerAccount",
    set: |asked, context| context.set("kms:CallerAccount", [asked.place.account.as_str()]),
};

macro_rules! access {
    ($($name:literal: $($action:literal on $resource:ident [$($key:ident)*]),+;)*) => {
        &[$(Access::new($name, &[$(Need::new($action, &$resource, &[$(&$key),*])),+]),)*]
    };
}

pub(super) static TABLE: Table = Table {
    service: "ecr",
    operations: access! {
        "BatchCheckLayerAvailability": "ecr:BatchCheckLayerAvailability" on REPOSITORY [];
        "BatchDeleteImage": "ecr:BatchDeleteImage" on REPOSITORY [];
        "BatchGetImage": "ecr:BatchGetImage" on REPOSITORY [];
        "BatchGetRepositoryScanningConfiguration": "ecr:BatchGetRepositoryScanningConfiguration" on REPOSITORIES [];
        "CompleteLayerUpload": "ecr:CompleteLayerUpload" on REPOSITORY [];
        "CreatePullThroughCacheRule": "ecr:CreatePullThroughCacheRule" on NONE [];
        "CreateRepository":
            "ecr:CreateRepository" on REPOSITORY [TAGS],
            "ecr:TagResource" on TAGGED_NEW [TAGS],
            "kms:DescribeKey" on KEY [VIA CALLER],
            "kms:CreateGrant" on KEY [VIA CALLER];
        "CreateRepositoryCreationTemplate": "ecr:CreateRepositoryCreationTemplate" on NONE [];
        "DeleteLifecyclePolicy": "ecr:DeleteLifecyclePolicy" on REPOSITORY [];
        "DeletePullThroughCacheRule": "ecr:DeletePullThroughCacheRule" on NONE [];
        "DeleteRegistryPolicy": "ecr:DeleteRegistryPolicy" on NONE [];
        "DeleteRepository": "ecr:DeleteRepository" on REPOSITORY [];
        "DeleteRepositoryCreationTemplate": "ecr:DeleteRepositoryCreationTemplate" on NONE [];
        "DeleteRepositoryPolicy": "ecr:DeleteRepositoryPolicy" on REPOSITORY [];
        "DescribeImageReplicationStatus": "ecr:DescribeImageReplicationStatus" on REPOSITORY [];
        "DescribeImageScanFindings": "ecr:DescribeImageScanFindings" on REPOSITORY [];
        "DescribeImages": "ecr:DescribeImages" on REPOSITORY [];
        "DescribePullThroughCacheRules": "ecr:DescribePullThroughCacheRules" on NONE [];
        "DescribeRegistry": "ecr:DescribeRegistry" on NONE [];
        "DescribeRepositories": "ecr:DescribeRepositories" on REPOSITORIES [];
        "DescribeRepositoryCreationTemplates": "ecr:DescribeRepositoryCreationTemplates" on NONE [];
        "GetAccountSetting": "ecr:GetAccountSetting" on NONE [];
        "GetAuthorizationToken": "ecr:GetAuthorizationToken" on NONE [];
        "GetDownloadUrlForLayer": "ecr:GetDownloadUrlForLayer" on REPOSITORY [];
        "GetLifecyclePolicy": "ecr:GetLifecyclePolicy" on REPOSITORY [];
        "GetLifecyclePolicyPreview": "ecr:GetLifecyclePolicyPreview" on REPOSITORY [];
        "GetRegistryPolicy": "ecr:GetRegistryPolicy" on NONE [];
        "GetRegistryScanningConfiguration": "ecr:GetRegistryScanningConfiguration" on NONE [];
        "GetRepositoryPolicy": "ecr:GetRepositoryPolicy" on REPOSITORY [];
        "InitiateLayerUpload": "ecr:InitiateLayerUpload" on REPOSITORY [];
        "ListImageReferrers": "ecr:ListImageReferrers" on REPOSITORY [];
        "ListImages": "ecr:ListImages" on REPOSITORY [];
        "ListTagsForResource": "ecr:ListTagsForResource" on TAGGED [];
        "PutAccountSetting": "ecr:PutAccountSetting" on NONE [];
        "PutImage": "ecr:PutImage" on REPOSITORY [];
        "PutImageScanningConfiguration": "ecr:PutImageScanningConfiguration" on REPOSITORY [];
        "PutImageTagMutability": "ecr:PutImageTagMutability" on REPOSITORY [];
        "PutLifecyclePolicy": "ecr:PutLifecyclePolicy" on REPOSITORY [];
        "PutRegistryPolicy": "ecr:PutRegistryPolicy" on NONE [];
        "PutRegistryScanningConfiguration": "ecr:PutRegistryScanningConfiguration" on NONE [];
        "PutReplicationConfiguration": "ecr:PutReplicationConfiguration" on NONE [];
        "SetRepositoryPolicy": "ecr:SetRepositoryPolicy" on REPOSITORY [];
        "StartImageScan": "ecr:StartImageScan" on REPOSITORY [];
        "StartLifecyclePolicyPreview": "ecr:StartLifecyclePolicyPreview" on REPOSITORY [];
        "TagResource": "ecr:TagResource" on TAGGED [TAGS];
        "UntagResource": "ecr:UntagResource" on TAGGED [TAG_KEYS];
        "UpdatePullThroughCacheRule": "ecr:UpdatePullThroughCacheRule" on NONE [];
        "UpdateRepositoryCreationTemplate": "ecr:UpdateRepositoryCreationTemplate" on NONE [];
        "UploadLayerPart": "ecr:UploadLayerPart" on REPOSITORY [];
        "ValidatePullThroughCacheRule": "ecr:ValidatePullThroughCacheRule" on NONE [];
    },
};
