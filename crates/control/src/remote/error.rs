//! Why nothing was had from another registry.

use std::time::Duration;

use http::StatusCode;

use super::plain;

/// Characters of what another says that are told on.
const LONGEST_WORDS: usize = 300;

/// Each names the host that was asked.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    #[error("{host} cannot be reached: {reason}")]
    Unreachable { host: String, reason: String },
    #[error("{host} does not answer in time")]
    Late { host: String },
    /// 401, 403, or credentials that a token server does not take.
    #[error("{host} refuses: {said}")]
    Denied { host: String, status: StatusCode, said: String },
    #[error("{host} does not have {what}")]
    NotFound { host: String, what: String },
    #[error("{host} is asked too often: {said}")]
    TooMany { host: String, said: String, wait: Option<Duration> },
    /// Any other status.
    #[error("{host} answers {status}{said}")]
    Status { host: String, status: StatusCode, said: String },
    /// What it sent is not what it must be.
    #[error("{host} {what}")]
    Wrong { host: String, what: String },
    /// No connection can be made at all.
    #[error("no connection to another registry can be made: {0}")]
    Client(String),
}

impl Error {
    pub fn wrong(url: &reqwest::Url, what: impl Into<String>) -> Self {
        Self::Wrong { host: plain(url), what: what.into() }
    }

    /// What the connection broke by.
    pub fn sent(url: &reqwest::Url, error: &reqwest::Error) -> Self {
        let host = plain(url);
        match error.is_timeout() {
            true => Self::Late { host },
            false => Self::Unreachable { host, reason: innermost(error) },
        }
    }

    /// Whether the other may answer otherwise before long: it is away, or has too much to do.
    pub fn passes(&self) -> bool {
        match self {
            Self::Unreachable { .. } | Self::Late { .. } | Self::TooMany { .. } => true,
            Self::Status { status, .. } => status.is_server_error() || *status == StatusCode::REQUEST_TIMEOUT,
            Self::Denied { .. } | Self::NotFound { .. } | Self::Wrong { .. } | Self::Client(_) => false,
        }
    }
}

/// The last cause in a chain: what the system said, without the layers above.
pub(super) fn innermost(error: &dyn std::error::Error) -> String {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    innermost.to_string()
}

/// What a registry says in its refusal: `CODE: message`. Nothing but letters that print is told on.
pub(super) fn words(text: &[u8]) -> Option<String> {
    let value: serde_json::Value = serde_json::from_slice(text).ok()?;
    let first = value.get("errors").and_then(|errors| errors.get(0)).unwrap_or(&value);
    let part = |names: &[&str]| {
        let found = names.iter().find_map(|name| first.get(name)?.as_str()).unwrap_or_default();
        found.chars().filter(|letter| !letter.is_control()).take(LONGEST_WORDS).collect::<String>()
    };
    match (part(&["code"]), part(&["message", "details", "error"])) {
        (code, message) if code.is_empty() && message.is_empty() => None,
        (code, message) if code.is_empty() => Some(message),
        (code, message) if message.is_empty() => Some(code),
        (code, message) => Some(format!("{code}: {message}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_a_refusal_are_told_on_within_bounds() {
        let check = |text: &str, wanted: Option<&str>| assert_eq!(words(text.as_bytes()).as_deref(), wanted, "{text}");
        check(r#"{"errors":[{"code":"DENIED","message":"no"}]}"#, Some("DENIED: no"));
        check(r#"{"details":"incorrect username or password"}"#, Some("incorrect username or password"));
        check(r#"{"errors":[{"code":"DENIED"}]}"#, Some("DENIED"));
        check("{\"errors\":[{\"message\":\"a\\u001b[2Jb\"}]}", Some("a[2Jb"));
        for text in ["", "<html>", "[]", "{}", r#"{"errors":[]}"#, r#"{"errors":[{"code":1}]}"#] {
            check(text, None);
        }
        let long = format!(r#"{{"errors":[{{"message":"{}"}}]}}"#, "x".repeat(1000));
        assert_eq!(words(long.as_bytes()).map(|words| words.len()), Some(LONGEST_WORDS));
    }
}
