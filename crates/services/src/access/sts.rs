//! AWS STS. Whether a role may be taken is the role's trust policy's to say as well: the operation itself asks it.

use super::asked::{inner, set, set_tags};
use super::{Access, Found, Key, Need, Resource, Table};

static ROLE: Resource = Resource {
    form: "role/PATH/ROLE",
    find: |asked| {
        asked.given("RoleArn").map(|arn| Found { arn: arn.to_owned(), tags: Vec::new() }).into_iter().collect()
    },
};

/// The role, if the session is to have tags.
static ROLE_TAGGED: Resource = Resource {
    form: ROLE.form,
    find: |asked| if asked.list("Tags").is_empty() { Vec::new() } else { (ROLE.find)(asked) },
};

static ROLE_WITH_SOURCE: Resource = Resource {
    form: ROLE.form,
    find: |asked| if asked.given("SourceIdentity").is_none() { Vec::new() } else { (ROLE.find)(asked) },
};

static EXTERNAL_ID: Key =
    Key { name: "sts:ExternalId", set: |asked, context| set(context, "sts:ExternalId", asked.text("ExternalId")) };

static SESSION_NAME: Key = Key {
    name: "sts:RoleSessionName",
    set: |asked, context| set(context, "sts:RoleSessionName", asked.text("RoleSessionName")),
};

static SOURCE: Key = Key {
    name: "sts:SourceIdentity",
    set: |asked, context| set(context, "sts:SourceIdentity", asked.given("SourceIdentity")),
};

static TRANSITIVE: Key = Key {
    name: "sts:TransitiveTagKeys",
    set: |asked, context| set(context, "sts:TransitiveTagKeys", asked.texts("TransitiveTagKeys")),
};

static TAGS: Key = Key {
    name: "aws:RequestTag/",
    set: |asked, context| {
        let tags: Vec<(&str, &str)> = asked
            .list("Tags")
            .iter()
            .filter_map(|tag| Some((inner(tag, "Key")?, inner(tag, "Value").unwrap_or_default())))
            .collect();
        set_tags(context, &tags);
    },
};

/// The keys of a request for a role, which its trust policy is asked with too.
static KEYS: &[&Key] = &[&EXTERNAL_ID, &SESSION_NAME, &SOURCE, &TRANSITIVE, &TAGS];

pub(super) static TABLE: Table = Table {
    service: "sts",
    operations: &[
        Access::new(
            "AssumeRole",
            &[
                Need::new("sts:AssumeRole", &ROLE, KEYS),
                Need::new("sts:TagSession", &ROLE_TAGGED, KEYS),
                Need::new("sts:SetSourceIdentity", &ROLE_WITH_SOURCE, KEYS),
            ],
        ),
        Access::open("GetCallerIdentity"),
        Access::open("GetSessionToken"),
    ],
};
