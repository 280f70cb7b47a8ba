//! AWS IAM. An entity is judged by the ARN it has, path and all; one that is not there, as if it had none but the name.

use longshore_model::iam::{arn, key};

use super::asked::{set, set_tags};
use super::{Access, Asked, Found, Key, NONE, Need, Resource, Table};

type Tags = Vec<(String, String)>;

/// Of a record its ARN and tags, else the ARN of a name without path.
fn entity(asked: &Asked<'_>, kind: &str, name: &str, record: Option<(String, Tags)>) -> Found {
    let (arn, tags) = record.unwrap_or_else(|| (arn(asked.place.account.as_str(), kind, "/", name), Vec::new()));
    Found { arn, tags }
}

/// What a request would make: with the path that it gives.
fn made(asked: &Asked<'_>, kind: &str, name: &str) -> Vec<Found> {
    let (path, name) = (asked.given("Path").unwrap_or("/"), asked.text(name).unwrap_or_default());
    vec![Found { arn: arn(asked.place.account.as_str(), kind, path, name), tags: Vec::new() }]
}

/// What a request moves, as it will be; nothing if it stays.
fn moved(asked: &Asked<'_>, kind: &str, name: &str, new_name: &str, path: &str) -> Vec<Found> {
    if asked.given("NewPath").is_none() && asked.given(new_name).is_none() {
        return Vec::new();
    }
    let name = asked.given(new_name).or_else(|| asked.given(name)).unwrap_or_default();
    let path = asked.given("NewPath").unwrap_or(path);
    vec![Found { arn: arn(asked.place.account.as_str(), kind, path, name), tags: Vec::new() }]
}

fn record_key(asked: &Asked<'_>, name: &str) -> String {
    key(&asked.place.account, name)
}

fn user_name<'a>(asked: &Asked<'a>) -> Option<&'a str> {
    asked.given("UserName").or(asked.user)
}

fn user(asked: &Asked<'_>) -> Vec<Found> {
    let Some(name) = user_name(asked) else { return Vec::new() };
    let record = asked.state.users.get(&record_key(asked, name));
    vec![entity(asked, "user", name, record.map(|user| (user.arn(), user.tags.clone().into_iter().collect())))]
}

fn group(asked: &Asked<'_>) -> Vec<Found> {
    let name = asked.text("GroupName").unwrap_or_default();
    let record = asked.state.groups.get(&record_key(asked, name));
    vec![entity(asked, "group", name, record.map(|group| (group.arn(), Vec::new())))]
}

fn role(asked: &Asked<'_>) -> Vec<Found> {
    let name = asked.text("RoleName").unwrap_or_default();
    let record = asked.state.roles.get(&record_key(asked, name));
    vec![entity(asked, "role", name, record.map(|role| (role.arn(), role.tags.clone().into_iter().collect())))]
}

fn profile(asked: &Asked<'_>) -> Vec<Found> {
    let name = asked.text("InstanceProfileName").unwrap_or_default();
    let record = asked.state.instance_profiles.get(&record_key(asked, name));
    let found = record.map(|profile| (profile.arn(), profile.tags.clone().into_iter().collect()));
    vec![entity(asked, "instance-profile", name, found)]
}

fn policy(asked: &Asked<'_>) -> Vec<Found> {
    let Some(arn) = asked.given("PolicyArn") else { return Vec::new() };
    let name = arn.rsplit('/').next().unwrap_or_default();
    let record = asked.state.managed_policies.get(&record_key(asked, name)).filter(|policy| policy.arn() == arn);
    let tags = record.map(|policy| policy.tags.clone().into_iter().collect()).unwrap_or_default();
    vec![Found { arn: arn.to_owned(), tags }]
}

fn path_of(found: &[Found], kind: &str) -> String {
    let resource = found.first().and_then(|found| found.arn.split_once(kind)).map_or("/", |(_, rest)| rest);
    resource.rsplit_once('/').map_or("/".to_owned(), |(path, _)| format!("{path}/"))
}

macro_rules! resources {
    ($($(#[$doc:meta])* $name:ident $form:literal $find:expr;)*) => {
        $($(#[$doc])* static $name: Resource = Resource { form: $form, find: $find };)*
    };
}

resources! {
    USER "user/PATH/NAME" user;
    USER_NEW "user/PATH/NAME" |asked| made(asked, "user", "UserName");
    USER_MOVED "user/PATH/NAME" |asked| moved(asked, "user", "UserName", "NewUserName", &path_of(&user(asked), ":user"));
    GROUP "group/PATH/NAME" group;
    GROUP_NEW "group/PATH/NAME" |asked| made(asked, "group", "GroupName");
    GROUP_MOVED "group/PATH/NAME" |asked| moved(asked, "group", "GroupName", "NewGroupName", &path_of(&group(asked), ":group"));
    ROLE "role/PATH/NAME" role;
    ROLE_NEW "role/PATH/NAME" |asked| made(asked, "role", "RoleName");
    ROLE_LINKED "role/aws-service-role/SERVICE/*" |asked| {
        let service = asked.text("AWSServiceName").unwrap_or_default();
        let arn = format!("arn:aws:iam::{}:role/aws-service-role/{service}/*", asked.place.account);
        vec![Found { arn, tags: Vec::new() }]
    };
    PROFILE "instance-profile/PATH/NAME" profile;
    PROFILE_NEW "instance-profile/PATH/NAME" |asked| made(asked, "instance-profile", "InstanceProfileName");
    /// The entity whose policies are simulated, as its ARN says it.
    SIMULATED "TYPE/PATH/NAME" |asked| {
        let given = asked.given("PolicySourceArn").into_iter();
        given.map(|arn| Found { arn: arn.to_owned(), tags: Vec::new() }).collect()
    };
    POLICY "policy/PATH/NAME" policy;
    POLICY_NEW "policy/PATH/NAME" |asked| made(asked, "policy", "PolicyName");
}

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("Tags")) };

static TAG_KEYS: Key =
    Key { name: "aws:TagKeys", set: |asked, context| set(context, "aws:TagKeys", asked.texts("TagKeys")) };

static POLICY_ARN: Key =
    Key { name: "iam:PolicyARN", set: |asked, context| set(context, "iam:PolicyARN", asked.given("PolicyArn")) };

static SERVICE: Key = Key {
    name: "iam:AWSServiceName",
    set: |asked, context| set(context, "iam:AWSServiceName", asked.given("AWSServiceName")),
};

/// The boundary that a request gives, or the one that its user or role has.
static BOUNDARY: Key = Key {
    name: "iam:PermissionsBoundary",
    set: |asked, context| {
        let (role, user) = (asked.given("RoleName"), user_name(asked));
        let (state, given) = (asked.state, asked.given("PermissionsBoundary"));
        let of_role = |name| state.roles.get(&record_key(asked, name)).and_then(|role| role.boundary.as_deref());
        let of_user = |name| state.users.get(&record_key(asked, name)).and_then(|user| user.boundary.as_deref());
        let has = if role.is_some() { role.and_then(of_role) } else { user.and_then(of_user) };
        set(context, "iam:PermissionsBoundary", given.or(has));
    },
};

static PASSED_TO_EC2: Key =
    Key { name: "iam:PassedToService", set: |_, context| context.set("iam:PassedToService", ["ec2.amazonaws.com"]) };

static PLAIN: &[&Key] = &[];
static TAGGED: &[&Key] = &[&TAGS];
static UNTAGGED: &[&Key] = &[&TAG_KEYS];
static BOUNDED: &[&Key] = &[&BOUNDARY];
static MAKING: &[&Key] = &[&BOUNDARY, &TAGS];
static ATTACHING: &[&Key] = &[&BOUNDARY, &POLICY_ARN];
static LINKING: &[&Key] = &[&SERVICE];

macro_rules! access {
    ($($resource:ident $keys:ident: $($name:literal)*;)*) => {
        &[
            $($(Access::new($name, &[Need::new(concat!("iam:", $name), &$resource, $keys)]),)*)*
            Access::new(
                "UpdateUser",
                &[Need::new("iam:UpdateUser", &USER, PLAIN), Need::new("iam:UpdateUser", &USER_MOVED, PLAIN)],
            ),
            Access::new(
                "UpdateGroup",
                &[Need::new("iam:UpdateGroup", &GROUP, PLAIN), Need::new("iam:UpdateGroup", &GROUP_MOVED, PLAIN)],
            ),
            Access::new(
                "AddRoleToInstanceProfile",
                &[
                    Need::new("iam:AddRoleToInstanceProfile", &PROFILE, PLAIN),
                    Need::new("iam:PassRole", &ROLE, &[&PASSED_TO_EC2]),
                ],
            ),
        ]
    };
}

pub(super) static TABLE: Table = Table {
    service: "iam",
    operations: access! {
        NONE PLAIN:
            "ListUsers" "ListGroups" "ListRoles" "ListInstanceProfiles" "ListPolicies" "CreateAccountAlias"
            "DeleteAccountAlias" "ListAccountAliases" "GetAccountSummary" "GetServiceLinkedRoleDeletionStatus"
            "SimulateCustomPolicy" "GetContextKeysForCustomPolicy";
        SIMULATED PLAIN: "SimulatePrincipalPolicy" "GetContextKeysForPrincipalPolicy";
        USER_NEW MAKING: "CreateUser";
        USER PLAIN:
            "GetUser" "DeleteUser" "ListUserTags" "ListGroupsForUser" "ListAttachedUserPolicies" "GetUserPolicy"
            "ListUserPolicies" "CreateAccessKey" "ListAccessKeys" "UpdateAccessKey" "DeleteAccessKey";
        USER TAGGED: "TagUser";
        USER UNTAGGED: "UntagUser";
        USER BOUNDED:
            "PutUserPolicy" "DeleteUserPolicy" "PutUserPermissionsBoundary" "DeleteUserPermissionsBoundary";
        USER ATTACHING: "AttachUserPolicy" "DetachUserPolicy";
        GROUP_NEW PLAIN: "CreateGroup";
        GROUP PLAIN:
            "GetGroup" "DeleteGroup" "AddUserToGroup" "RemoveUserFromGroup" "ListAttachedGroupPolicies" "PutGroupPolicy"
            "GetGroupPolicy" "DeleteGroupPolicy" "ListGroupPolicies";
        GROUP ATTACHING: "AttachGroupPolicy" "DetachGroupPolicy";
        ROLE_NEW MAKING: "CreateRole";
        ROLE PLAIN:
            "GetRole" "UpdateRole" "UpdateRoleDescription" "UpdateAssumeRolePolicy" "DeleteRole" "ListRoleTags"
            "DeleteServiceLinkedRole" "ListInstanceProfilesForRole" "ListAttachedRolePolicies" "GetRolePolicy"
            "ListRolePolicies";
        ROLE TAGGED: "TagRole";
        ROLE UNTAGGED: "UntagRole";
        ROLE BOUNDED:
            "PutRolePolicy" "DeleteRolePolicy" "PutRolePermissionsBoundary" "DeleteRolePermissionsBoundary";
        ROLE ATTACHING: "AttachRolePolicy" "DetachRolePolicy";
        ROLE_LINKED LINKING: "CreateServiceLinkedRole";
        PROFILE_NEW TAGGED: "CreateInstanceProfile";
        PROFILE PLAIN:
            "GetInstanceProfile" "DeleteInstanceProfile" "RemoveRoleFromInstanceProfile" "ListInstanceProfileTags";
        PROFILE TAGGED: "TagInstanceProfile";
        PROFILE UNTAGGED: "UntagInstanceProfile";
        POLICY_NEW TAGGED: "CreatePolicy";
        POLICY PLAIN:
            "GetPolicy" "DeletePolicy" "CreatePolicyVersion" "GetPolicyVersion" "ListPolicyVersions"
            "SetDefaultPolicyVersion" "DeletePolicyVersion" "ListEntitiesForPolicy" "ListPolicyTags";
        POLICY TAGGED: "TagPolicy";
        POLICY UNTAGGED: "UntagPolicy";
    },
};
