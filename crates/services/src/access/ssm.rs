//! SSM's Parameter Store. A parameter is judged as `parameter/NAME`, without the slash that its name may begin with and
//! without version or label.

use longshore_model::parameter::parameter_key;

use super::asked::{set, set_tags};
use super::{Access, Asked, Found, Key, Need, Resource, Table};
use crate::ssm::name;

/// A parameter by its name or ARN. One of another account or region is judged by the ARN that is given.
fn found(asked: &Asked<'_>, text: &str) -> Found {
    let Ok(wanted) = name::parse(asked.place, text) else {
        let foreign = text.starts_with("arn:aws:ssm:").then(|| text.to_owned());
        let arn = foreign.unwrap_or_else(|| asked.place.arn("ssm", "parameter/*"));
        return Found { arn, tags: Vec::new() };
    };
    let names = wanted.names().map(|name| parameter_key(&asked.place.account, name));
    let record = names.into_iter().find_map(|key| asked.state.parameters.get(&key));
    let tags = record.map(|head| head.tags.clone().into_iter().collect()).unwrap_or_default();
    Found { arn: name::arn(asked.place, &wanted.name), tags }
}

fn one(asked: &Asked<'_>, member: &str) -> Vec<Found> {
    vec![found(asked, asked.text(member).unwrap_or_default())]
}

static PARAMETER: Resource = Resource { form: "parameter/NAME", find: |asked| one(asked, "Name") };

static PARAMETERS: Resource = Resource {
    form: "parameter/NAME",
    find: |asked| asked.texts("Names").into_iter().map(|text| found(asked, text)).collect(),
};

/// A path as it is given, with what may be behind it.
static PATH: Resource = Resource {
    form: "parameter/PATH",
    find: |asked| {
        let path = asked.text("Path").unwrap_or_default();
        vec![Found { arn: name::arn(asked.place, path), tags: Vec::new() }]
    },
};

/// What has tags: a parameter.
static TAGGED: Resource = Resource { form: "parameter/NAME", find: |asked| one(asked, "ResourceId") };

/// The parameter that is made, if it is to have tags.
static NEW_TAGGED: Resource = Resource {
    form: "parameter/NAME",
    find: |asked| if asked.tags("Tags").is_empty() { Vec::new() } else { one(asked, "Name") },
};

/// All parameters, whatever is asked about them.
static ALL: Resource =
    Resource { form: "*", find: |asked| vec![Found { arn: asked.place.arn("ssm", "*"), tags: Vec::new() }] };

static TAGS: Key = Key { name: "aws:RequestTag/", set: |asked, context| set_tags(context, &asked.tags("Tags")) };

static TAG_KEYS: Key =
    Key { name: "aws:TagKeys", set: |asked, context| set(context, "aws:TagKeys", asked.texts("TagKeys")) };

static OVERWRITE: Key = Key {
    name: "ssm:Overwrite",
    set: |asked, context| context.set("ssm:Overwrite", [asked.flag("Overwrite").unwrap_or("false")]),
};

static POLICIES: Key =
    Key { name: "ssm:Policies", set: |asked, context| set(context, "ssm:Policies", asked.given("Policies")) };

static RECURSIVE: Key = Key {
    name: "ssm:Recursive",
    set: |asked, context| context.set("ssm:Recursive", [asked.flag("Recursive").unwrap_or("false")]),
};

macro_rules! access {
    ($($name:literal on $resource:ident $(with $key:ident)*;)*) => {
        &[$(Access::new($name, &[Need::new(concat!("ssm:", $name), &$resource, &[$(&$key),*])]),)*
            Access::new(
                "PutParameter",
                &[
                    Need::new("ssm:PutParameter", &PARAMETER, &[&TAGS, &OVERWRITE, &POLICIES]),
                    Need::new("ssm:AddTagsToResource", &NEW_TAGGED, &[&TAGS]),
                ],
            ),
        ]
    };
}

pub(super) static TABLE: Table = Table {
    service: "ssm",
    operations: access! {
        "AddTagsToResource" on TAGGED with TAGS;
        "DeleteParameter" on PARAMETER;
        "DeleteParameters" on PARAMETERS;
        "DescribeParameters" on ALL;
        "GetParameter" on PARAMETER;
        "GetParameterHistory" on PARAMETER;
        "GetParameters" on PARAMETERS;
        "GetParametersByPath" on PATH with RECURSIVE;
        "LabelParameterVersion" on PARAMETER;
        "ListTagsForResource" on TAGGED;
        "RemoveTagsFromResource" on TAGGED with TAG_KEYS;
        "UnlabelParameterVersion" on PARAMETER;
    },
};
