//! TCS: the channel on which a node tells health (and later, metrics). The agent's frames are the signing headers, an
//! empty line, then the usual JSON; [`body`] finds the JSON.

use serde::{Deserialize, Serialize};

/// Health of the containers of some tasks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct PublishHealthRequest {
    pub metadata: HealthMetadata,
    pub tasks: Vec<TaskHealth>,
    pub timestamp: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct HealthMetadata {
    pub cluster: String,
    pub container_instance: String,
    pub fin: bool,
    pub message_id: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct TaskHealth {
    pub task_arn: String,
    pub cluster_arn: Option<String>,
    pub containers: Vec<ContainerHealth>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ContainerHealth {
    pub container_name: String,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health_status: String,
    /// Milliseconds since 1970.
    pub status_since: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AckPublishHealth {
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AckPublishMetric {
    pub message: String,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct AckPublishInstanceStatus {
    pub message: String,
}

crate::messages! { PublishHealthRequest, AckPublishHealth, AckPublishMetric, AckPublishInstanceStatus, }

/// The JSON of a frame that may begin with header lines.
pub fn body(text: &str) -> &str {
    match text.find('{') {
        Some(start) => &text[start..],
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_json_behind_the_headers_is_found() {
        let signed = "Authorization: AWS4-HMAC-SHA256 …\r\nHost: x\r\n\r\n{\"type\":\"PublishHealthRequest\"}";
        assert_eq!(body(signed), "{\"type\":\"PublishHealthRequest\"}");
        assert_eq!(body("{}"), "{}");
    }
}
