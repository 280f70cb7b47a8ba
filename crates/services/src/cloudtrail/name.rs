//! What trails, buckets and prefixes may be called. Buckets and prefixes become directories: nothing in them may lead
//! anywhere else.

use std::net::Ipv4Addr;
use std::sync::Arc;

use longshore_model::trail::{Trail, key};
use longshore_model::{Arn, Place, State};
use longshore_wire::Fault;

use super::fault;

/// # Errors
/// `InvalidTrailNameException`, in the words of the rule that is broken.
pub fn check_trail(name: &str) -> Result<(), Fault> {
    let refuse = |message| Err(fault::trail_name(message));
    let mark = |byte: u8| b"._-".contains(&byte);
    let ends = |byte: Option<u8>| byte.is_some_and(|byte| byte.is_ascii_alphanumeric());
    if !(3..=128).contains(&name.len()) {
        return refuse("Trail name must be between 3 and 128 characters.");
    }
    if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || mark(byte)) {
        return refuse("Trail name must hold only letters, digits, periods, underscores and hyphens.");
    }
    if !ends(name.bytes().next()) || !ends(name.bytes().next_back()) {
        return refuse("Trail name must begin and end with a letter or a digit.");
    }
    if name.as_bytes().windows(2).any(|pair| mark(pair[0]) && mark(pair[1])) {
        return refuse("Trail name must not have adjacent periods, underscores or hyphens.");
    }
    match name.parse::<Ipv4Addr>() {
        Ok(_) => refuse("Trail name must not be an IP address."),
        Err(_) => Ok(()),
    }
}

/// # Errors
/// `InvalidS3BucketNameException`
pub fn check_bucket(name: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<u8>| byte.is_some_and(plain);
    let sound = (3..=63).contains(&name.len())
        && name.bytes().all(|byte| plain(byte) || b".-".contains(&byte))
        && ends(name.bytes().next())
        && ends(name.bytes().next_back())
        && !name.contains("..")
        && name.parse::<Ipv4Addr>().is_err();
    if sound { Ok(()) } else { Err(fault::bucket()) }
}

/// # Errors
/// `InvalidS3PrefixException`
pub fn check_prefix(prefix: &str) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"!-_.*'()".contains(&byte);
    let part = |part: &str| !part.is_empty() && part != "." && part != ".." && part.bytes().all(plain);
    let sound = prefix.len() <= 200 && prefix.split('/').all(part);
    if sound { Ok(()) } else { Err(fault::prefix()) }
}

/// The name in a name or an ARN.
///
/// # Errors
/// `CloudTrailARNInvalidException` for an ARN of something else, `InvalidTrailNameException`.
pub fn of_trail<'a>(place: &Place, given: &'a str) -> Result<&'a str, Fault> {
    let name = if given.starts_with("arn:") { in_arn(place, given)? } else { given };
    check_trail(name)?;
    Ok(name)
}

/// The name in an ARN.
///
/// # Errors
/// `CloudTrailARNInvalidException` for anything else.
pub fn in_arn<'a>(place: &Place, arn: &'a str) -> Result<&'a str, Fault> {
    let parts = Arn::local(arn, place, "cloudtrail", "trail").ok_or_else(fault::trail_arn)?;
    match parts[..] {
        [name] => Ok(name),
        _ => Err(fault::trail_arn()),
    }
}

/// The trail of a name or an ARN.
///
/// # Errors
/// As [`of_trail`]; `TrailNotFoundException`.
pub fn find<'a>(state: &'a State, place: &Place, given: &str) -> Result<&'a Arc<Trail>, Fault> {
    let name = of_trail(place, given)?;
    let found = state.trails.get(&key(&place.account, name));
    found.ok_or_else(|| fault::trail_not_found(name, place.account.as_str()))
}

pub fn arn(place: &Place, name: &str) -> String {
    place.arn("cloudtrail", &format!("trail/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_lead_elsewhere_are_refused() {
        for name in ["abc", "my-trail", "a.b_c-d", "123"] {
            assert!(check_trail(name).is_ok(), "{name}");
        }
        let long = "x".repeat(129);
        for name in ["", "ab", "-ab", "ab-", "a..b", "a-_b", "a b c", "a/b", "ä-trail", "10.0.0.1", "a\u{0}b", &long] {
            assert!(check_trail(name).is_err(), "{name}");
        }
        for name in ["abc", "my-bucket.logs", "0-0"] {
            assert!(check_bucket(name).is_ok(), "{name}");
        }
        for name in ["", "ab", "Abc", "a..b", "../x", "a/b", ".ab", "ab-", "10.0.0.1", "a_b", &"x".repeat(64)] {
            assert!(check_bucket(name).is_err(), "{name}");
        }
        for prefix in ["a", "a/b", "team.1/x_y", "(x)!"] {
            assert!(check_prefix(prefix).is_ok(), "{prefix}");
        }
        for prefix in ["", "/a", "a/", "a//b", "..", "a/../b", ".", "a/./b", "a\\b", "a b", "a\0", &"x/".repeat(101)] {
            assert!(check_prefix(prefix).is_err(), "{prefix}");
        }
    }
}
