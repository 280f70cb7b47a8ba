//! Rules of a listener: what a request must be like, and what is done with it.

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

/// A rule. A request is for it if each of its conditions holds; the rule with the lowest priority counts.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub arn: String,
    /// 1–50000.
    pub priority: u32,
    pub conditions: Vec<Condition>,
    pub action: Action,
}

/// What must hold of a request: one of the values. `*` stands for any characters, `?` for one, in host, path, header and
/// query values.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "field", rename_all = "kebab-case")]
pub enum Condition {
    /// Case does not count; the port is no part of it.
    HostHeader { values: Vec<String> },
    /// Case counts; the query is no part of it.
    PathPattern { values: Vec<String> },
    /// Case does not count, neither in the name nor in the values.
    HttpHeader { name: String, values: Vec<String> },
    /// Exactly so.
    HttpRequestMethod { values: Vec<String> },
    /// Case does not count.
    QueryString { values: Vec<QueryPair> },
    /// The address of the connection, not of `X-Forwarded-For`.
    SourceIp { values: Vec<IpNet> },
}

/// A pair of the query; without a key, the value of any.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct QueryPair {
    pub key: Option<String>,
    pub value: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", rename_all_fields = "camelCase")]
pub enum Action {
    Forward {
        /// At least one.
        groups: Vec<WeightedGroup>,
        /// Seconds that a client stays with the group it was given; `None` if it does not.
        #[serde(default)]
        stickiness_seconds: Option<u32>,
    },
    Redirect(Redirect),
    FixedResponse {
        /// 2XX, 4XX or 5XX.
        status: u16,
        #[serde(default)]
        content_type: Option<String>,
        #[serde(default)]
        body: Option<String>,
    },
}

impl Action {
    /// To the one group with this ARN.
    pub fn forward(group: &str) -> Self {
        let group = WeightedGroup { target_group: group.to_owned(), weight: 1 };
        Self::Forward { groups: vec![group], stickiness_seconds: None }
    }

    /// ARNs of the target groups it leads to.
    pub fn groups(&self) -> impl Iterator<Item = &str> {
        let groups = match self {
            Action::Forward { groups, .. } => groups.as_slice(),
            Action::Redirect(_) | Action::FixedResponse { .. } => &[],
        };
        groups.iter().map(|group| group.target_group.as_str())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WeightedGroup {
    /// ARN.
    pub target_group: String,
    /// 0–999: its share among the weights of the action. Nothing goes to a group of weight zero, unless its cookie says so.
    pub weight: u32,
}

/// Where a client is sent; parts may hold `#{protocol}`, `#{host}`, `#{port}`, `#{path}` and `#{query}` of the request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Redirect {
    /// `HTTP`, `HTTPS` or `#{protocol}`.
    pub protocol: String,
    pub host: String,
    pub port: String,
    /// Begins with `/`; `#{path}` stands for the path without its first `/`.
    pub path: String,
    /// Without `?`.
    pub query: String,
    /// 301 or 302.
    pub status: u16,
}

/// AWS's defaults: every part as it was asked.
impl Default for Redirect {
    fn default() -> Self {
        Self {
            protocol: "#{protocol}".to_owned(),
            host: "#{host}".to_owned(),
            port: "#{port}".to_owned(),
            path: "/#{path}".to_owned(),
            query: "#{query}".to_owned(),
            status: 302,
        }
    }
}
