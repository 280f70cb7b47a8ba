//! Which task this is: the task metadata endpoint says it, and without one the host name stands in.

use std::sync::Mutex;

use crate::http;

/// The id of the task. It is asked for at the first request and remembered once it is known.
pub fn id() -> String {
    static KNOWN: Mutex<Option<String>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if known.is_none() {
        *known = ask();
    }
    known.clone().unwrap_or_else(host_name)
}

fn ask() -> Option<String> {
    let endpoint = std::env::var("ECS_CONTAINER_METADATA_URI_V4").ok()?;
    let (status, body) = http::get(&format!("{endpoint}/task")).ok()?;
    if status == 200 { id_in(&body) } else { None }
}

/// The last part of the `TaskARN` in a JSON document. ARNs hold no quotes, so no more of JSON needs to be understood.
fn id_in(document: &str) -> Option<String> {
    let after = document.split_once("\"TaskARN\"")?.1.trim_start().strip_prefix(':')?.trim_start();
    let arn = after.strip_prefix('"')?.split('"').next()?;
    arn.rsplit('/').next().filter(|id| !id.is_empty()).map(str::to_owned)
}

fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    if name.trim().is_empty() { "unknown".to_owned() } else { name.trim().to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_is_the_end_of_the_task_arn() {
        let arn = r#"{"Cluster":"c","TaskARN" : "arn:aws:ecs:r:1:task/c/0123abcd","Family":"f"}"#;
        assert_eq!(id_in(arn).as_deref(), Some("0123abcd"));
        assert_eq!(id_in("{}"), None);
        assert_eq!(id_in(r#"{"TaskARN":null}"#), None);
    }

    #[test]
    fn without_metadata_the_host_name_stands_in() {
        assert_eq!(id(), host_name());
    }
}
