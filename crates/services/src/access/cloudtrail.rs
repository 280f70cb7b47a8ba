//! AWS CloudTrail. A trail is judged by its ARN, also where a request calls it by its name.

use super::asked::{set, set_tags};
use super::{Access, Asked, Found, Key, NONE, Need, Resource, Table};

fn trail(asked: &Asked<'_>, member: &str) -> Vec<Found> {
    let Some(name) = asked.given(member) else { return Vec::new() };
    vec![named(asked, name)]
}

fn named(asked: &Asked<'_>, name: &str) -> Found {
    let here = asked.place.arn("cloudtrail", "trail/");
    let name = name.strip_prefix(&here).unwrap_or(name);
    let record = asked.state.trails.get(&longshore_model::trail::key(&asked.place.account, name));
    let tags = record.map(|trail| trail.tags.clone().into_iter().collect()).unwrap_or_default();
    let arn = if name.starts_with("arn:") { name.to_owned() } else { format!("{here}{name}") };
    Found { arn, tags }
}

static TRAIL: Resource = Resource { form: "trail/NAME", find: |asked| trail(asked, "Name") };
static SELECTED: Resource = Resource { form: "trail/NAME", find: |asked| trail(asked, "TrailName") };
static TAGGED: Resource = Resource { form: "trail/NAME", find: |asked| trail(asked, "ResourceId") };

static LISTED: Resource = Resource {
    form: "trail/NAME",
    find: |asked| asked.texts("ResourceIdList").into_iter().map(|name| named(asked, name)).collect(),
};

/// The trail that is made, if it is to have tags.
static MADE_WITH_TAGS: Resource = Resource {
    form: "trail/NAME",
    find: |asked| if asked.tags("TagsList").is_empty() { Vec::new() } else { trail(asked, "Name") },
};

/// The role that is to write to a log group.
static LOG_ROLE: Resource = Resource {
    form: "role/PATH/ROLE",
    find: |asked| {
        let arn = asked.given("CloudWatchLogsRoleArn").map(str::to_owned);
        arn.map(|arn| Found { arn, tags: Vec::new() }).into_iter().collect()
    },
};

static PASSED_TO_CLOUDTRAIL: Key = Key {
    name: "iam:PassedToService",
    set: |_, context| set(context, "iam:PassedToService", ["cloudtrail.amazonaws.com"]),
};

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("TagsList")) };

static TAG_KEYS: Key = Key {
    name: "aws:TagKeys",
    set: |asked, context| set(context, "aws:TagKeys", asked.tags("TagsList").iter().map(|(key, _)| *key)),
};

pub(super) static TABLE: Table = Table {
    service: "cloudtrail",
    operations: &[
        Access::new("LookupEvents", &[Need::new("cloudtrail:LookupEvents", &NONE, &[])]),
        Access::new(
            "CreateTrail",
            &[
                Need::new("cloudtrail:CreateTrail", &TRAIL, &[&TAGS]),
                Need::new("cloudtrail:AddTags", &MADE_WITH_TAGS, &[&TAGS]),
                Need::new("iam:PassRole", &LOG_ROLE, &[&PASSED_TO_CLOUDTRAIL]),
            ],
        ),
        Access::new(
            "UpdateTrail",
            &[
                Need::new("cloudtrail:UpdateTrail", &TRAIL, &[]),
                Need::new("iam:PassRole", &LOG_ROLE, &[&PASSED_TO_CLOUDTRAIL]),
            ],
        ),
        Access::new("DeleteTrail", &[Need::new("cloudtrail:DeleteTrail", &TRAIL, &[])]),
        Access::new("DescribeTrails", &[Need::new("cloudtrail:DescribeTrails", &NONE, &[])]),
        Access::new("GetTrail", &[Need::new("cloudtrail:GetTrail", &TRAIL, &[])]),
        Access::new("ListTrails", &[Need::new("cloudtrail:ListTrails", &NONE, &[])]),
        Access::new("StartLogging", &[Need::new("cloudtrail:StartLogging", &TRAIL, &[])]),
        Access::new("StopLogging", &[Need::new("cloudtrail:StopLogging", &TRAIL, &[])]),
        Access::new("GetTrailStatus", &[Need::new("cloudtrail:GetTrailStatus", &TRAIL, &[])]),
        Access::new("PutEventSelectors", &[Need::new("cloudtrail:PutEventSelectors", &SELECTED, &[])]),
        Access::new("GetEventSelectors", &[Need::new("cloudtrail:GetEventSelectors", &SELECTED, &[])]),
        Access::new("AddTags", &[Need::new("cloudtrail:AddTags", &TAGGED, &[&TAGS])]),
        Access::new("RemoveTags", &[Need::new("cloudtrail:RemoveTags", &TAGGED, &[&TAG_KEYS])]),
        Access::new("ListTags", &[Need::new("cloudtrail:ListTags", &LISTED, &[])]),
    ],
};
