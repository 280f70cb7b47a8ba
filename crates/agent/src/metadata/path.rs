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

/// The id of the credentials that a path asks for, which may be empty; `None` if it asks for something else.
pub(super) fn credentials<'a>(path: &'a str, query: Option<&'a str>) -> Option<&'a str> {
    match parts(path)[..] {
        ["v2", "credentials"] => Some(""),
        ["v2", "credentials", id] => Some(id),
        ["v1", "credentials"] => {
            let mut pairs = query.unwrap_or_default().split('&');
            Some(pairs.find_map(|pair| pair.strip_prefix("id=")).unwrap_or_default())
        }
        _ => None,
    }
}

fn parts(path: &str) -> Vec<&str> {
    path.trim_start_matches('/').trim_end_matches('/').split('/').collect()
}

/// Reads a path. Nothing in it is decoded: ids hold neither percent signs nor dots.
pub(super) fn read(path: &str) -> Option<Asked<'_>> {
    match parts(path)[..] {
        ["v2", "metadata"] => Some(Asked { level: Level::V2, id: None, what: What::Task }),
        ["v2", "stats"] => Some(Asked { level: Level::V2, id: None, what: What::TaskStats }),
        ["v2", "metadata", id] => Some(Asked { level: Level::V2, id: Some(id), what: What::Own }),
        ["v2", "stats", id] => Some(Asked { level: Level::V2, id: Some(id), what: What::OwnStats }),
        ["v3", id, ref rest @ ..] => versioned(Level::V3, id, rest),
        ["v4", id, ref rest @ ..] => versioned(Level::V4, id, rest),
        _ => None,
    }
}

fn versioned<'a>(level: Level, id: &'a str, rest: &[&str]) -> Option<Asked<'a>> {
    let what = match rest {
        [] => What::Own,
        ["stats"] => What::OwnStats,
        ["task" | "tasks"] => What::Task,
        ["taskWithTags"] => What::TaskWithTags,
        ["task" | "tasks", "stats"] => What::TaskStats,
        _ => return None,
    };
    Some(Asked { level, id: Some(id), what })
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
            assert_eq!(read(path), Some(Asked { level, id, what }), "{path}");
        }
    }

    #[test]
    fn all_else_is_unknown() {
        for path in
            ["", "/", "/v4", "/v5/a", "/v4/a/b", "/v4/a/task/stats/x", "/v4/../v4/a", "/latest/meta-data", "/api/a/x"]
        {
            assert_eq!(read(path), None, "{path}");
        }
    }

    #[test]
    fn credentials_are_asked_for_by_id() {
        let rows = [
            ("/v2/credentials/x-1", None, Some("x-1")),
            ("/v2/credentials/x-1/", Some("id=y"), Some("x-1")),
            ("/v2/credentials", None, Some("")),
            ("/v2/credentials/", None, Some("")),
            ("/v1/credentials", Some("a=b&id=x-1"), Some("x-1")),
            ("/v1/credentials", Some("idx=x-1"), Some("")),
            ("/v1/credentials", None, Some("")),
            ("/v1/credentials/x-1", None, None),
            ("/v2/credentials/x/y", None, None),
            ("/v2/metadata", None, None),
            ("/v3/credentials/x", None, None),
        ];
        for (path, query, id) in rows {
            assert_eq!(credentials(path, query), id, "{path} {query:?}");
        }
    }
}
