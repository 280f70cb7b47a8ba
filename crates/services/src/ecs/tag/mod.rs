//! Tags: what may be one, and the operations that read and write them on every kind of resource.

use longshore_api::ecs::{Tag, fault as def};
use longshore_wire::Fault;

use super::fault;

mod operation;
#[cfg(test)]
mod resource_tests;

pub use operation::{list, tag, untag};

/// Most tags of one resource.
pub const LIMIT: usize = 50;

const KEY_LENGTH: usize = 128;
const VALUE_LENGTH: usize = 256;

/// The tags of a request that makes something, in the caller's order; a tag without value has the empty one.
///
/// # Errors
/// `InvalidParameterException`: more than 50, a key empty or over 128 characters or given twice, a value over 256, a
/// character that tags may not hold, the prefix `aws:`.
pub fn check(tags: &[Tag]) -> Result<Vec<Tag>, Fault> {
    if tags.len() > LIMIT {
        return Err(fault::too_many("Tags", LIMIT));
    }
    let mut checked: Vec<Tag> = Vec::with_capacity(tags.len());
    for tag in tags {
        let (key, value) = (tag.key.as_deref().unwrap_or(""), tag.value.as_deref().unwrap_or(""));
        check_key(key)?;
        check_value(value)?;
        if checked.iter().any(|seen| seen.key.as_deref() == Some(key)) {
            return Err(fault::invalid_parameter("Duplicate tag keys found. A tag key can be given only once."));
        }
        checked.push(Tag { key: Some(key.to_owned()), value: Some(value.to_owned()) });
    }
    Ok(checked)
}

/// As [`check`], where the request may leave its tags out.
pub fn check_given(tags: Option<&[Tag]>) -> Result<Vec<Tag>, Fault> {
    check(tags.unwrap_or_default())
}

/// A key that tags may carry.
pub fn check_key(key: &str) -> Result<(), Fault> {
    let length = key.chars().count();
    if !(1..=KEY_LENGTH).contains(&length) {
        return Err(fault::invalid_parameter(format!("Tag keys must be between 1 and {KEY_LENGTH} characters long.")));
    }
    if key.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err(fault::invalid_parameter("Tag keys beginning with aws: are reserved for AWS use."));
    }
    check_characters(key)
}

fn check_value(value: &str) -> Result<(), Fault> {
    if value.chars().count() > VALUE_LENGTH {
        return Err(fault::invalid_parameter(format!("Tag values can be at most {VALUE_LENGTH} characters long.")));
    }
    if value.get(..4).is_some_and(|prefix| prefix.eq_ignore_ascii_case("aws:")) {
        return Err(fault::invalid_parameter("Tag values beginning with aws: are reserved for AWS use."));
    }
    check_characters(value)
}

fn check_characters(text: &str) -> Result<(), Fault> {
    let valid = |character: char| character.is_alphanumeric() || is_space(character) || "_.:/=+-@".contains(character);
    match text.chars().all(valid) {
        true => Ok(()),
        false => Err(fault::invalid_parameter(
            "Some tags contain invalid characters. Valid characters: UTF-8 letters, spaces, numbers and _ . / = + - : @.",
        )),
    }
}

/// Unicode separators; tabs, line ends and other control characters are none.
fn is_space(character: char) -> bool {
    character.is_whitespace() && !character.is_control()
}

/// `old` with `new` on top, checked again as a whole.
///
/// # Errors
/// `LimitExceededException` when the resource would have more than 50.
pub fn merge(old: &[Tag], new: Vec<Tag>) -> Result<Vec<Tag>, Fault> {
    let mut merged = old.to_vec();
    for tag in new {
        match merged.iter_mut().find(|seen| seen.key == tag.key) {
            Some(seen) => seen.value = tag.value,
            None => merged.push(tag),
        }
    }
    match merged.len() > LIMIT {
        true => Err(fault::of(&def::LIMIT_EXCEEDED_EXCEPTION, format!("A resource can have at most {LIMIT} tags."))),
        false => Ok(merged),
    }
}

/// `old` without the tags of these keys; a key that is not there is no error.
pub fn remove(old: &[Tag], keys: &[String]) -> Vec<Tag> {
    let gone = |tag: &&Tag| !tag.key.as_ref().is_some_and(|key| keys.contains(key));
    old.iter().filter(gone).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tag(key: &str, value: &str) -> Tag {
        Tag { key: Some(key.into()), value: Some(value.into()) }
    }

    fn many(count: usize) -> Vec<Tag> {
        (0..count).map(|index| tag(&format!("key{index}"), "")).collect()
    }

    /// W11
    #[test]
    fn tags_are_checked() {
        let cases = [
            (vec![], true),
            (many(50), true),
            (many(51), false),
            (vec![tag(&"k".repeat(128), &"v".repeat(256))], true),
            (vec![tag(&"k".repeat(129), "")], false),
            (vec![tag("k", &"v".repeat(257))], false),
            (vec![tag(&"ü".repeat(128), "")], true),
            (vec![tag("", "v")], false),
            (vec![Tag::default()], false),
            (vec![tag("aws:mine", "v")], false),
            (vec![tag("AWS:mine", "v")], false),
            (vec![tag("awsome", "v")], true),
            (vec![tag("k", "aws:v")], false),
            (vec![tag("k", "1"), tag("k", "2")], false),
            (vec![tag("k", "1"), tag("K", "2")], true),
            (vec![tag("team name", "a_b.c:d/e=f+g-h@i")], true),
            (vec![tag("k", "a,b")], false),
            (vec![tag("k", "a\nb")], false),
            (vec![tag("<script>", "")], false),
            (vec![tag("k\0", "")], false),
            (vec![tag("\u{202e}k", "")], false),
        ];
        for (tags, good) in cases {
            let outcome = check(&tags);
            assert_eq!(outcome.is_ok(), good, "{tags:?}");
            if let Err(refused) = outcome {
                assert_eq!(refused.code, "InvalidParameterException");
            }
        }
    }

    #[test]
    fn merging_replaces_by_key_and_keeps_to_the_limit() {
        let merged = merge(&[tag("a", "1"), tag("b", "1")], vec![tag("b", "2"), tag("c", "2")]).unwrap();
        assert_eq!(merged, [tag("a", "1"), tag("b", "2"), tag("c", "2")]);
        assert!(merge(&many(50), vec![tag("key0", "new")]).is_ok());
        assert_eq!(merge(&many(50), vec![tag("new", "")]).unwrap_err().code, "LimitExceededException");
        assert_eq!(remove(&merged, &["a".into(), "zz".into()]), [tag("b", "2"), tag("c", "2")]);
    }
}
