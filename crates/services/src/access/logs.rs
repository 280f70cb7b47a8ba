//! Amazon CloudWatch Logs. A group is judged as `log-group:NAME:log-stream:`, which is what AWS does and why its guide
//! writes `log-group:NAME:*` in policies; operations on tags take the group's bare ARN.

use longshore_model::setting::log_group_key;

use super::asked::{set, set_tags};
use super::{Access, Asked, Found, Key, Need, Resource, Table};
use crate::logs::resolve;

/// The group of a request: by name, by identifier (a name or an ARN), or by ARN.
fn name(asked: &Asked<'_>) -> Option<String> {
    if let Some(name) = asked.given("logGroupName") {
        return Some(name.to_owned());
    }
    let identifier = asked.given("logGroupIdentifier").or_else(|| asked.given("resourceArn"))?;
    Some(resolve::from_identifier(asked.place, identifier).unwrap_or_else(|_| "*".to_owned()))
}

fn found(asked: &Asked<'_>, suffix: &str) -> Found {
    let name = name(asked).unwrap_or_default();
    let record = asked.state.log_groups.get(&log_group_key(&asked.place.account, &name));
    let tags = record.map(|group| group.tags.clone().into_iter().collect()).unwrap_or_default();
    Found { arn: asked.place.log_group(&format!("{name}{suffix}")), tags }
}

static GROUP: Resource =
    Resource { form: "log-group:NAME:log-stream:", find: |asked| vec![found(asked, ":log-stream:")] };

/// As tags are written on it.
static BARE_GROUP: Resource = Resource { form: "log-group:NAME", find: |asked| vec![found(asked, "")] };

static STREAM: Resource = Resource {
    form: "log-group:NAME:log-stream:STREAM",
    find: |asked| {
        let stream = asked.text("logStreamName").unwrap_or_default();
        vec![found(asked, &format!(":log-stream:{stream}"))]
    },
};

/// The group that is made, if it is to have tags.
static TAGGED_GROUP: Resource = Resource {
    form: BARE_GROUP.form,
    find: |asked| if asked.tags("tags").is_empty() { Vec::new() } else { vec![found(asked, "")] },
};

/// All groups, whatever is asked about them.
static GROUPS: Resource = Resource {
    form: "log-group::log-stream:",
    find: |asked| vec![Found { arn: asked.place.log_group(":log-stream:"), tags: Vec::new() }],
};

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("tags")) };

static TAG_KEYS: Key = Key {
    name: "aws:TagKeys",
    set: |asked, context| {
        let keys = asked.texts("tagKeys");
        let keys = if keys.is_empty() { asked.texts("tags") } else { keys };
        set(context, "aws:TagKeys", keys);
    },
};

macro_rules! access {
    ($($name:literal on $resource:ident $(with $key:ident)*;)*) => {
        &[$(Access::new($name, &[Need::new(concat!("logs:", $name), &$resource, &[$(&$key),*])]),)*
            Access::new(
                "CreateLogGroup",
                &[
                    Need::new("logs:CreateLogGroup", &GROUP, &[&TAGS]),
                    Need::new("logs:TagResource", &TAGGED_GROUP, &[&TAGS]),
                ],
            ),
        ]
    };
}

pub(super) static TABLE: Table = Table {
    service: "logs",
    operations: access! {
        "CreateLogStream" on STREAM;
        "DeleteLogGroup" on GROUP;
        "DeleteLogStream" on STREAM;
        "DeleteRetentionPolicy" on GROUP;
        "DescribeLogGroups" on GROUPS;
        "DescribeLogStreams" on GROUP;
        "FilterLogEvents" on GROUP;
        "GetLogEvents" on STREAM;
        "ListTagsForResource" on BARE_GROUP;
        "ListTagsLogGroup" on GROUP;
        "PutLogEvents" on STREAM;
        "PutRetentionPolicy" on GROUP;
        "TagLogGroup" on GROUP with TAGS;
        "TagResource" on BARE_GROUP with TAGS;
        "UntagLogGroup" on GROUP with TAG_KEYS;
        "UntagResource" on BARE_GROUP with TAG_KEYS;
    },
};
