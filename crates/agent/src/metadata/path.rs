//! The paths of the endpoint.

use super::document::Level;

/// What a path asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum What {
    /// The container itself.
    Own,
    OwnStats,
    Task,
    TaskWithTags,
    TaskStats,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Asked<'a> {
    pub(super) level: Level,
    /// Runtime id of a container.
    pub(super) id: Option<&'a str>,
    pub(super) what: What,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unknown {
    Credentials,
    Path,
}

/// Reads a path. Nothing in it is decoded: ids hold neither percent signs nor dots.
pub(super) fn read(path: &str) -> Result<Asked<'_>, Unknown> {
    let parts: Vec<&str> = path.trim_start_matches('/').trim_end_matches('/').split('/').collect();
    match parts[..] {
        ["v2" | "v1", "credentials", ..] => Err(Unknown::Credentials),
        ["v2", "metadata"] => Ok(Asked { level: Level::V2, id: None, what: What::Task }),
        ["v2", "stats"] => Ok(Asked { level: Level::V2, id: None, what: What::TaskStats }),
        ["v2", "metadata", id] => Ok(Asked { level: Level::V2, id: Some(id), what: What::Own }),
        ["v2", "stats", id] => Ok(Asked { level: Level::V2, id: Some(id), what: What::OwnStats }),
        ["v3", id, ref rest @ ..] => versioned(Level::V3, id, rest),
        ["v4", id, ref rest @ ..] => versioned(Level::V4, id, rest),
        _ => Err(Unknown::Path),
    }
}

fn versioned<'a>(level: Level, id: &'a str, rest: &[&str]) -> Result<Asked<'a>, Unknown> {
    let what = match rest {
        [] => What::Own,
        ["stats"] => What::OwnStats,
        ["task" | "tasks"] => What::Task,
        ["taskWithTags"] => What::TaskWithTags,
        ["task" | "tasks", "stats"] => What::TaskStats,
        _ => return Err(Unknown::Path),
    };
    Ok(Asked { level, id: Some(id), what })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_documented_path_is_known() {
        let rows = [
            ("/v4/a-1", Level::V4, Some("a-1"), What::Own),
            ("/v4/a-1/", Level::V4, Some("a-1"), What::Own),
            ("/v4/a-1/task", Level::V4, Some("a-1"), What::Task),
            ("/v4/a-1/tasks", Level::V4, Some("a-1"), What::Task),
            ("/v4/a-1/taskWithTags", Level::V4, Some("a-1"), What::TaskWithTags),
            ("/v4/a-1/stats", Level::V4, Some("a-1"), What::OwnStats),
            ("/v4/a-1/task/stats", Level::V4, Some("a-1"), What::TaskStats),
            ("/v3/a-1/task/stats", Level::V3, Some("a-1"), What::TaskStats),
            ("/v3/a-1", Level::V3, Some("a-1"), What::Own),
            ("/v2/metadata", Level::V2, None, What::Task),
            ("/v2/metadata/a-1", Level::V2, Some("a-1"), What::Own),
            ("/v2/stats", Level::V2, None, What::TaskStats),
            ("/v2/stats/a-1", Level::V2, Some("a-1"), What::OwnStats),
        ];
        for (path, level, id, what) in rows {
            assert_eq!(read(path), Ok(Asked { level, id, what }), "{path}");
        }
    }

    #[test]
    fn all_else_is_unknown() {
        for path in
            ["", "/", "/v4", "/v5/a", "/v4/a/b", "/v4/a/task/stats/x", "/v4/../v4/a", "/latest/meta-data", "/api/a/x"]
        {
            assert_eq!(read(path).err(), Some(Unknown::Path), "{path}");
        }
        for path in ["/v2/credentials/x", "/v1/credentials", "/v2/credentials"] {
            assert_eq!(read(path).err(), Some(Unknown::Credentials), "{path}");
        }
    }
}
