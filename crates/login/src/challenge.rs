//! What a registry that refuses says of how to come back: with a name and a password (`Basic`), or with a token that a server
//! hands out for those or for nothing (`Bearer realm="…",service="…",scope="…"`).

use std::collections::HashMap;

use http::HeaderMap;
use http::header::WWW_AUTHENTICATE;
use serde::Deserialize;

/// What a registry asks for.
#[derive(Debug, PartialEq, Eq)]
pub enum Challenge {
    /// Name and password.
    Basic,
    /// A token from `realm`.
    Bearer { realm: String, service: Option<String>, scope: Option<String> },
}

impl Challenge {
    /// The first challenge of a refusal that is understood, tokens before passwords.
    pub fn find(headers: &HeaderMap) -> Option<Self> {
        let values = headers.get_all(WWW_AUTHENTICATE).iter().filter_map(|value| value.to_str().ok());
        let challenges: Vec<Self> = values.filter_map(Self::parse).collect();
        let at = challenges.iter().position(|challenge| matches!(challenge, Self::Bearer { .. })).unwrap_or_default();
        challenges.into_iter().nth(at)
    }

    fn parse(value: &str) -> Option<Self> {
        let (scheme, rest) = value.split_once(' ').unwrap_or((value, ""));
        if scheme.eq_ignore_ascii_case("basic") {
            return Some(Self::Basic);
        }
        if !scheme.eq_ignore_ascii_case("bearer") {
            return None;
        }
        let mut parameters = parameters(rest);
        let realm = parameters.remove("realm")?;
        Some(Self::Bearer { realm, service: parameters.remove("service"), scope: parameters.remove("scope") })
    }
}

/// `name="value"` or `name=value`, separated by commas; a comma may stand in quotes.
fn parameters(text: &str) -> HashMap<String, String> {
    let mut found = HashMap::new();
    let mut rest = text.trim();
    while let Some((name, after)) = rest.split_once('=') {
        let (value, left) = match after.strip_prefix('"') {
            Some(quoted) => quoted.split_once('"').unwrap_or((quoted, "")),
            None => after.split_once(',').unwrap_or((after, "")),
        };
        found.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned());
        rest = left.trim_start_matches([',', ' ']);
    }
    found
}

/// The token in the answer of a token server; `None` unless it is one that can be shown in a header.
pub fn token(answer: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Answer {
        token: Option<String>,
        access_token: Option<String>,
    }
    let answer: Answer = serde_json::from_slice(answer).ok()?;
    let is_shown = |token: &String| !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic());
    answer.token.or(answer.access_token).filter(is_shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bearer(realm: &str, service: Option<&str>, scope: Option<&str>) -> Option<Challenge> {
        let own = |text: Option<&str>| text.map(str::to_owned);
        Some(Challenge::Bearer { realm: realm.to_owned(), service: own(service), scope: own(scope) })
    }

    #[test]
    fn challenges_are_understood() {
        let rows = [
            (
                r#"Bearer realm="https://t/x",service="s",scope="repository:a:pull,push""#,
                bearer("https://t/x", Some("s"), Some("repository:a:pull,push")),
            ),
            (r#"bearer REALM=https://t , service="a b""#, bearer("https://t", Some("a b"), None)),
            (r#"Basic realm="x""#, Some(Challenge::Basic)),
            ("BASIC", Some(Challenge::Basic)),
            ("Bearer service=x", None),
            ("Digest realm=x", None),
            ("", None),
            (r#"Bearer realm="unclosed"#, bearer("unclosed", None, None)),
        ];
        for (value, expected) in rows {
            assert_eq!(Challenge::parse(value), expected, "{value}");
        }
    }

    #[test]
    fn a_token_is_preferred_to_a_password() {
        let mut headers = HeaderMap::new();
        headers.append(WWW_AUTHENTICATE, "Basic realm=x".parse().unwrap());
        headers.append(WWW_AUTHENTICATE, "Bearer realm=https://t".parse().unwrap());
        assert_eq!(Challenge::find(&headers), bearer("https://t", None, None));
        headers.remove(WWW_AUTHENTICATE);
        assert_eq!(Challenge::find(&headers), None);
    }

    #[test]
    fn tokens_are_those_that_can_be_shown() {
        let rows = [
            (r#"{"token":"a.b-c"}"#, Some("a.b-c")),
            (r#"{"access_token":"x","expires_in":60}"#, Some("x")),
            (r#"{"token":"t","access_token":"x"}"#, Some("t")),
            (r#"{"token":""}"#, None),
            (r#"{"token":"a\r\nb"}"#, None),
            (r#"{"token":7}"#, None),
            ("{}", None),
            ("not json", None),
        ];
        for (answer, expected) in rows {
            assert_eq!(token(answer.as_bytes()).as_deref(), expected, "{answer}");
        }
    }
}
