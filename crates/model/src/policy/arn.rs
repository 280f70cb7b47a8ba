//! ARNs in policies: six segments, each compared by itself, so that no wildcard reaches over a colon.

use super::Malformed;
use super::context::Context;
use super::glob::Text;
use super::pattern::{Match, Pattern, Syntax, split_variable};

const SEGMENTS: usize = 6;

/// A pattern of ARNs.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum ArnPattern {
    /// `*` alone: everything, also what has no ARN.
    Any,
    /// What the segments must be, by their places and from the last on, which differs most; those that are what they may
    /// be in any ARN are left out.
    Segments(Box<[(usize, Pattern)]>),
    /// One variable that stands for the whole.
    Whole(Pattern),
}

/// A text cut into its six segments, or one that is no ARN.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cut<'a> {
    text: &'a str,
    segments: Option<[Text<'a>; SEGMENTS]>,
}

impl<'a> Cut<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut parts = text.splitn(SEGMENTS, ':');
        let mut segments = [""; SEGMENTS];
        let all = segments.iter_mut().all(|segment| parts.next().map(|part| *segment = part).is_some());
        Self { text, segments: (all && segments[0] == "arn").then(|| segments.map(Text::new)) }
    }

    pub(super) fn is_arn(&self) -> bool {
        self.segments.is_some()
    }
}

impl ArnPattern {
    /// A value of `Resource` or `NotResource`, in AWS's words if it is none.
    ///
    /// # Errors
    /// If it is neither `*` nor an ARN that names its service.
    pub(super) fn resource(text: &str, variables: bool) -> Result<Self, Malformed> {
        if text == "*" {
            return Ok(ArnPattern::Any);
        }
        if !text.starts_with("arn:") {
            return Err(Malformed::document(format!("Resource {text:.200} must be in ARN format or \"*\".")));
        }
        let parts = cut_pattern(text, variables);
        let Some([_, partition, service, ..]) = parts.as_deref().and_then(<[&str]>::first_chunk::<SEGMENTS>) else {
            return Err(Malformed::document("The policy failed legacy parsing"));
        };
        if parts.iter().flatten().take(SEGMENTS - 1).any(|part| variables && part.contains("${")) {
            return Err(Malformed::syntax(format!("a variable before the fifth colon of {text:.200}")));
        }
        if service.is_empty() || !service.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return Err(Malformed::document("Resource vendor must be fully qualified and cannot contain regexes."));
        }
        if !matches!(*partition, "aws" | "*" | "aws-cn" | "aws-us-gov") {
            let message = format!("Partition \"{partition:.100}\" is not valid for resource \"{text:.200}\".");
            return Err(Malformed::document(message));
        }
        Self::segments(text, variables)
    }

    /// A value of an ARN condition operator.
    ///
    /// # Errors
    /// If it has fewer than six segments and is not one variable.
    pub(super) fn value(text: &str, variables: bool) -> Result<Self, Malformed> {
        let whole = text.strip_prefix("${").filter(|_| variables).and_then(split_variable);
        if whole.is_some_and(|(_, behind)| behind.is_empty()) {
            return Pattern::parse(text, Syntax { variables, ..Syntax::default() }).map(ArnPattern::Whole);
        }
        Self::segments(text, variables)
    }

    fn segments(text: &str, variables: bool) -> Result<Self, Malformed> {
        let syntax = Syntax { wildcards: true, variables, fold: false };
        let parts = cut_pattern(text, variables)
            .ok_or_else(|| Malformed::syntax(format!("{text:.200} is not an ARN of six parts")))?;
        // What has segments begins with `arn`.
        let asking =
            parts.into_iter().enumerate().rev().filter(|(at, part)| *part != "*" && (*at, *part) != (0, "arn"));
        let patterns = asking.map(|(at, part)| Ok((at, Pattern::parse(part, syntax)?)));
        patterns.collect::<Result<_, Malformed>>().map(ArnPattern::Segments)
    }

    pub(super) fn matches(&self, arn: Cut<'_>, context: &Context) -> Match {
        let segments = match self {
            ArnPattern::Any => return Match::Yes,
            ArnPattern::Whole(pattern) => return pattern.matches(Text::new(arn.text), context),
            ArnPattern::Segments(segments) => segments,
        };
        let Some(texts) = arn.segments else { return Match::No };
        let mut outcome = Match::Yes;
        for (at, pattern) in segments {
            match pattern.matches(texts[*at], context) {
                Match::Yes => {}
                Match::No => return Match::No,
                Match::Undefined => outcome = Match::Undefined,
            }
        }
        outcome
    }

    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let (segments, whole) = match self {
            ArnPattern::Any => (&[][..], None),
            ArnPattern::Segments(segments) => (&segments[..], None),
            ArnPattern::Whole(pattern) => (&[][..], Some(pattern)),
        };
        segments.iter().map(|(_, pattern)| pattern).chain(whole).flat_map(Pattern::keys)
    }
}

/// The six segments of a pattern: cut at colons, those within variables aside.
fn cut_pattern(text: &str, variables: bool) -> Option<Vec<&str>> {
    let mut segments = Vec::with_capacity(SEGMENTS);
    let (mut begin, mut at) = (0, 0);
    while segments.len() < SEGMENTS - 1 {
        let rest = &text[at..];
        let colon = rest.find(':')?;
        let variable = rest.find("${").filter(|open| variables && *open < colon);
        match variable.and_then(|open| split_variable(&rest[open + 2..])) {
            Some((_, behind)) => at = text.len() - behind.len(),
            None => {
                segments.push(&text[begin..at + colon]);
                at += colon + 1;
                begin = at;
            }
        }
    }
    segments.push(&text[begin..]);
    Some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wildcard_reaches_over_a_colon() {
        let cases = [
            ("*", "*", Match::Yes),
            ("*", "arn:aws:ecs:us-east-1:1:task/a", Match::Yes),
            ("arn:aws:ecs:*:*:*", "*", Match::No),
            ("arn:aws:ecs:*:*:*", "arn:aws:ecs:us-east-1:1:task/a", Match::Yes),
            ("arn:aws:ecs:*:*:task/*", "arn:aws:ecs:us-east-1:1:task/a/b", Match::Yes),
            ("arn:aws:ecs:*:*:task/*", "arn:aws:ecs:us-east-1:1:Task/a", Match::No),
            ("arn:aws:ecs:*:1:*", "arn:aws:ecs:us-east-1:2:x:1:y", Match::No),
            ("arn:aws:ecs:us*:task/a", "arn:aws:ecs:us-east-1:1:task/a", Match::No),
            ("arn:aws:logs:*:*:log-group:*:*", "arn:aws:logs:r:1:log-group:a:log-stream:b", Match::Yes),
            ("arn:aws:iam::1:user/${aws:username}", "arn:aws:iam::1:user/x", Match::Undefined),
            ("arn:aws:iam::1:user/${aws:username, 'a:b'}", "arn:aws:iam::1:user/a:b", Match::Yes),
            ("arn:aws:iam::2:user/${aws:username}", "arn:aws:iam::1:user/x", Match::No),
        ];
        for (pattern, text, wanted) in cases {
            let Ok(pattern) = ArnPattern::resource(pattern, true) else {
                assert_eq!(wanted, Match::No, "{pattern}");
                continue;
            };
            assert_eq!(pattern.matches(Cut::new(text), &Context::default()), wanted, "{pattern:?} {text}");
        }
    }

    #[test]
    fn resources_that_are_none_are_refused_in_awss_words() {
        let cases = [
            ("", "Resource  must be in ARN format or \"*\"."),
            ("**", "Resource ** must be in ARN format or \"*\"."),
            (
                "arn:aws:ecs:*:${aws:PrincipalAccount}:*",
                "Syntax errors in policy. (a variable before the fifth colon of arn:aws:ecs:*:${aws:PrincipalAccount}:*)",
            ),
            ("arn:aws:ecs:*", "The policy failed legacy parsing"),
            ("arn:aws:*:*:*:*", "Resource vendor must be fully qualified and cannot contain regexes."),
            ("arn:*:*:*:*:*", "Resource vendor must be fully qualified and cannot contain regexes."),
            ("arn:mine:ecs:::x", "Partition \"mine\" is not valid for resource \"arn:mine:ecs:::x\"."),
        ];
        for (text, wanted) in cases {
            assert_eq!(ArnPattern::resource(text, true).unwrap_err().to_string(), wanted);
        }
    }
}
